/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_version.h>

#include "report.h"

#define HWT_JSON_DIGITS JSON_REAL_PRECISION(9)

bool
hwt_report_open(struct hwt_report *r, const struct hwt_options *o, const struct hwt_engine *engine,
		const struct hwt_ports *ports)
{
	memset(r, 0, sizeof(*r));
	r->o = o;
	r->engine = engine;
	r->ports = ports;
	/* Where JSON goes to standard output, nothing else does. */
	r->text = stdout;
	if (o->stdin_control || (o->json != NULL && strcmp(o->json, "-") == 0))
		r->text = stderr;
	r->hist_now = calloc(1, sizeof(*r->hist_now));
	r->hist_before = calloc(1, sizeof(*r->hist_before));
	r->hist_delta = calloc(1, sizeof(*r->hist_delta));
	r->intervals = json_array();
	if (r->hist_now == NULL || r->hist_before == NULL || r->hist_delta == NULL ||
	    r->intervals == NULL) {
		fprintf(stderr, "highway-traffic: no memory for the report; free some.\n");
		return false;
	}
	hwt_report_reset(r, rte_rdtsc());
	return true;
}

void
hwt_report_close(struct hwt_report *r)
{
	free(r->hist_now);
	free(r->hist_before);
	free(r->hist_delta);
	json_decref(r->intervals);
}

void
hwt_report_reset(struct hwt_report *r, uint64_t now)
{
	r->begin = now;
	r->last = now;
	r->end = 0;
	memset(&r->before, 0, sizeof(r->before));
	hwt_hist_reset(r->hist_now);
	hwt_hist_reset(r->hist_before);
	json_array_clear(r->intervals);
}

static double
seconds(uint64_t cycles)
{
	return (double)cycles / (double)rte_get_tsc_hz();
}

static double
mpps(uint64_t packets, uint64_t cycles)
{
	return cycles == 0 ? 0 : (double)packets / seconds(cycles) / 1e6;
}

static double
micros(uint64_t ns)
{
	return (double)ns / 1000;
}

/* Our packets: what was received, the foreign ones taken off. */
static uint64_t
received(const struct hwt_totals *t)
{
	return t->c.rx_packets - t->c.foreign;
}

static uint64_t
lost(const struct hwt_totals *t, bool final)
{
	uint64_t others = t->flows.lost - t->own_gaps;

	if (!final || !t->own_exact)
		return t->flows.lost;
	return others + (t->own_sent > t->own_arrived ? t->own_sent - t->own_arrived : 0);
}

static json_t *
json_count(bool known, uint64_t value)
{
	return known ? json_integer((json_int_t)value) : json_null();
}

static json_t *
json_latency(const struct hwt_hist *h)
{
	static const struct {
		const char *key;
		double percent;
	} points[] = {
		{"p50", 50},
		{"p90", 90},
		{"p99", 99},
		{"p999", 99.9},
	};
	json_t *j = json_object();
	bool known = h->count > 0;
	unsigned int i;

	json_object_set_new(j, "min", known ? json_real(micros(h->min)) : json_null());
	for (i = 0; i < RTE_DIM(points); i++)
		json_object_set_new(
			j, points[i].key,
			known ? json_real(micros(hwt_hist_percentile(h, points[i].percent)))
			      : json_null());
	json_object_set_new(j, "max", known ? json_real(micros(h->max)) : json_null());
	json_object_set_new(j, "samples", json_integer((json_int_t)h->count));
	return j;
}

/* Counters that all kinds of JSON have. */
static void
json_counters(const struct hwt_report *r, json_t *j, const struct hwt_totals *t, bool final)
{
	bool checks = hwt_mode_checks(r->o);

#define HWT_SET(key, value)         json_object_set_new(j, key, json_integer((json_int_t)(value)))
#define HWT_SET_CHECKED(key, value) json_object_set_new(j, key, json_count(checks, value))
	HWT_SET("sent", t->c.tx_packets);
	HWT_SET("sent_bytes", t->c.tx_bytes);
	HWT_SET("received", received(t));
	HWT_SET("received_bytes", t->c.rx_bytes);
	HWT_SET_CHECKED("foreign", t->c.foreign);
	HWT_SET_CHECKED("lost", lost(t, final));
	HWT_SET_CHECKED("duplicated", t->flows.duplicated);
	HWT_SET_CHECKED("reordered", t->flows.reordered);
	HWT_SET_CHECKED("corrupted", t->c.corrupted);
	HWT_SET_CHECKED("beyond_window", t->flows.beyond);
	HWT_SET_CHECKED("restarts", t->flows.restarts);
	HWT_SET_CHECKED("old_run", t->flows.old_run);
	HWT_SET_CHECKED("untracked", t->flows.untracked);
	HWT_SET_CHECKED("flows_seen", t->flows.flows);
	HWT_SET("tx_full", t->c.tx_full);
	HWT_SET("tx_dropped", t->c.tx_dropped);
	HWT_SET("no_mbuf", t->c.no_mbuf);
#undef HWT_SET
#undef HWT_SET_CHECKED
}

static json_t *
json_port(uint16_t port)
{
	char name[RTE_ETH_NAME_MAX_LEN] = "";
	struct rte_eth_dev_info info;
	struct rte_eth_stats s;
	struct rte_eth_link link;
	const char *driver = "";

	memset(&s, 0, sizeof(s));
	memset(&link, 0, sizeof(link));
	(void)rte_eth_dev_get_name_by_port(port, name);
	if (rte_eth_dev_info_get(port, &info) == 0)
		driver = info.driver_name;
	(void)rte_eth_stats_get(port, &s);
	if (rte_eth_link_get_nowait(port, &link) != 0)
		link.link_status = RTE_ETH_LINK_DOWN;
	return json_pack("{s:i,s:s,s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "port", port, "name",
			 name, "driver", driver, "link_up", link.link_status == RTE_ETH_LINK_UP,
			 "ipackets", (json_int_t)s.ipackets, "opackets", (json_int_t)s.opackets,
			 "ibytes", (json_int_t)s.ibytes, "obytes", (json_int_t)s.obytes, "imissed",
			 (json_int_t)s.imissed, "ierrors", (json_int_t)s.ierrors, "oerrors",
			 (json_int_t)s.oerrors, "rx_nombuf", (json_int_t)s.rx_nombuf);
}

static json_t *
json_per_packet(uint64_t cycles, uint64_t packets)
{
	if (packets == 0)
		return json_null();
	return json_real((double)cycles / (double)packets);
}

json_t *
hwt_report_totals(struct hwt_report *r, uint64_t now, bool final)
{
	uint64_t end = r->end != 0 ? r->end : now;
	json_t *j = json_object(), *args = json_array(), *ports;
	struct hwt_totals t;
	int i;

	hwt_engine_totals(r->engine, &t);
	hwt_engine_latency(r->engine, r->hist_now);
	json_object_set_new(j, "versions", json_pack("{s:s}", "dpdk", rte_version()));
	json_object_set_new(j, "mode", json_string(hwt_mode_name(r->o->mode)));
	for (i = 0; i < r->o->argc; i++)
		json_array_append_new(args, json_string(r->o->argv[i]));
	json_object_set_new(j, "args", args);
	json_object_set_new(j, "final", json_boolean(final));
	json_object_set_new(j, "duration_s", json_real(seconds(end - r->begin)));
	json_object_set_new(j, "flows", json_integer(r->o->flows));
	json_counters(r, j, &t, final);
	json_object_set_new(j, "tx_mpps", json_real(mpps(t.c.tx_packets, t.tx_cycles)));
	json_object_set_new(j, "rx_mpps", json_real(mpps(t.c.rx_packets, t.rx_cycles)));
	json_object_set_new(j, "latency_us", json_latency(r->hist_now));
	json_object_set_new(j, "cycles_per_packet",
			    json_pack("{s:o,s:o}", "tx",
				      json_per_packet(t.c.tx_busy, t.c.tx_packets), "rx",
				      json_per_packet(t.c.rx_busy, t.c.rx_packets)));
	json_object_set_new(j, "worker_cpu_s", json_real((double)t.cpu_ns / 1e9));
	json_object_set_new(j, "tsc_hz", json_integer((json_int_t)rte_get_tsc_hz()));
	ports = json_array();
	for (i = 0; i < r->ports->nb; i++)
		json_array_append_new(ports, json_port(r->ports->port[i]));
	json_object_set_new(j, "per_port", ports);
	if (final && r->o->intervals)
		json_object_set(j, "intervals", r->intervals);
	return j;
}

/* A reader sees the old file or the new one, never half of one. */
static bool
write_atomically(const char *path, json_t *json, size_t flags)
{
	char tmp[PATH_MAX];

	snprintf(tmp, sizeof(tmp), "%s.%d.tmp", path, (int)getpid());
	if (json_dump_file(json, tmp, flags) == 0 && rename(tmp, path) == 0)
		return true;
	fprintf(stderr,
		"highway-traffic: %s cannot be written (%s); give a path in a directory that can "
		"be.\n",
		path, strerror(errno));
	(void)unlink(tmp);
	return false;
}

bool
hwt_report_write(const char *path, json_t *json)
{
	if (strcmp(path, "-") != 0)
		return write_atomically(path, json, JSON_INDENT(2) | HWT_JSON_DIGITS);
	json_dumpf(json, stdout, JSON_COMPACT | HWT_JSON_DIGITS);
	putchar('\n');
	fflush(stdout);
	return true;
}

static void
print_interval(const struct hwt_report *r, uint64_t now, const struct hwt_totals *t,
	       uint64_t cycles)
{
	const struct hwt_hist *h = r->hist_delta;

	fprintf(r->text, "%8.1f s  sent %llu  tx %.3f Mpps  received %llu  rx %.3f Mpps",
		seconds(now - r->begin), (unsigned long long)t->c.tx_packets,
		mpps(t->c.tx_packets - r->before.c.tx_packets, cycles),
		(unsigned long long)received(t),
		mpps(t->c.rx_packets - r->before.c.rx_packets, cycles));
	if (hwt_mode_checks(r->o))
		fprintf(r->text, "  lost %llu  dup %llu  reord %llu  corrupt %llu",
			(unsigned long long)t->flows.lost, (unsigned long long)t->flows.duplicated,
			(unsigned long long)t->flows.reordered, (unsigned long long)t->c.corrupted);
	if (h->count > 0)
		fprintf(r->text, "  latency p50 %.2f  p99 %.2f  max %.2f us",
			micros(hwt_hist_percentile(h, 50)), micros(hwt_hist_percentile(h, 99)),
			micros(h->max));
	fputc('\n', r->text);
	fflush(r->text);
}

void
hwt_report_interval(struct hwt_report *r, uint64_t now)
{
	uint64_t cycles = now - r->last;
	struct hwt_hist *swap;
	struct hwt_totals t;
	json_t *j;

	hwt_engine_totals(r->engine, &t);
	hwt_engine_latency(r->engine, r->hist_now);
	hwt_hist_delta(r->hist_delta, r->hist_now, r->hist_before);
	if (r->o->interval > 0)
		print_interval(r, now, &t, cycles);
	if (r->o->stats_file != NULL || r->o->intervals) {
		j = json_object();
		json_object_set_new(j, "mode", json_string(hwt_mode_name(r->o->mode)));
		json_object_set_new(j, "time_s", json_real(seconds(now - r->begin)));
		json_object_set_new(j, "interval_s", json_real(seconds(cycles)));
		json_object_set_new(j, "running",
				    json_boolean(hwt_load(&r->engine->control.running)));
		json_counters(r, j, &t, false);
		json_object_set_new(
			j, "tx_mpps",
			json_real(mpps(t.c.tx_packets - r->before.c.tx_packets, cycles)));
		json_object_set_new(
			j, "rx_mpps",
			json_real(mpps(t.c.rx_packets - r->before.c.rx_packets, cycles)));
		json_object_set_new(j, "latency_us", json_latency(r->hist_delta));
		if (r->o->stats_file != NULL)
			(void)write_atomically(r->o->stats_file, j, JSON_COMPACT | HWT_JSON_DIGITS);
		if (r->o->intervals)
			json_array_append(r->intervals, j);
		json_decref(j);
	}
	r->before = t;
	r->last = now;
	swap = r->hist_before;
	r->hist_before = r->hist_now;
	r->hist_now = swap;
}

void
hwt_report_summary(struct hwt_report *r, uint64_t now)
{
	uint64_t end = r->end != 0 ? r->end : now;
	struct hwt_totals t;
	struct hwt_hist *h;

	hwt_engine_totals(r->engine, &t);
	hwt_engine_latency(r->engine, r->hist_now);
	h = r->hist_now;
	fprintf(r->text, "total %.3f s  sent %llu (%.3f Mpps)  received %llu (%.3f Mpps)",
		seconds(end - r->begin), (unsigned long long)t.c.tx_packets,
		mpps(t.c.tx_packets, t.tx_cycles), (unsigned long long)received(&t),
		mpps(t.c.rx_packets, t.rx_cycles));
	if (hwt_mode_checks(r->o))
		fprintf(r->text, "  foreign %llu  lost %llu  dup %llu  reord %llu  corrupt %llu",
			(unsigned long long)t.c.foreign, (unsigned long long)lost(&t, true),
			(unsigned long long)t.flows.duplicated,
			(unsigned long long)t.flows.reordered, (unsigned long long)t.c.corrupted);
	fputc('\n', r->text);
	if (h->count > 0)
		fprintf(r->text,
			"latency min %.2f  p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f us "
			"of %llu\n",
			micros(h->min), micros(hwt_hist_percentile(h, 50)),
			micros(hwt_hist_percentile(h, 90)), micros(hwt_hist_percentile(h, 99)),
			micros(hwt_hist_percentile(h, 99.9)), micros(h->max),
			(unsigned long long)h->count);
	fflush(r->text);
}

bool
hwt_report_clean(const struct hwt_report *r)
{
	struct hwt_totals t;

	if (!hwt_mode_checks(r->o))
		return true;
	hwt_engine_totals(r->engine, &t);
	return lost(&t, true) == 0 && t.flows.duplicated == 0 && t.flows.reordered == 0 &&
	       t.c.corrupted == 0 && t.flows.untracked == 0;
}
