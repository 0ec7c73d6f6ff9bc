/* SPDX-License-Identifier: BSD-3-Clause */
/* highwayctl show: tables for people. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "highwayctl.h"

#define SILENT_S 2 /* a host whose core is busy may take its time */

bool
hwy_view_port(const struct hwy_view *view, const struct hwy_snap_port *port)
{
	if (!port->used || view->part == HWY_PART_LINKS)
		return false;
	return view->part == HWY_PART_ALL || strcmp(port->name, view->port) == 0;
}

bool
hwy_view_link(const struct hwy_view *view, const struct hwy_snap *s,
	      const struct hwy_snap_link *link)
{
	if (link->state == HWY_LINK_FREE)
		return false;
	return view->part != HWY_PART_PORT ||
	       strcmp(hwy_snap_port_name(s, link->src), view->port) == 0 ||
	       strcmp(hwy_snap_port_name(s, link->dst), view->port) == 0;
}

void
hwy_show_head(FILE *out, const struct hwy_snap *s, bool narrow)
{
	char size[HWY_WORD_SIZE], age[HWY_WORD_SIZE], title[HWY_TITLE_SIZE];
	const struct hwy_snap_client *host = &s->clients[s->host];

	fprintf(out, "%s: %s, %s, age %s,%s", hwy_region_title(&s->geo, title), s->path,
		hwy_word_bytes(s->geo.file_size, size),
		hwy_word_age(s->geo.created_ns, s->now_ns, age), narrow ? "\n  " : " ");
	if (s->host == 0)
		fprintf(out, "no host, ");
	else
		fprintf(out, "host %u %s, ", host->pid, host->comm);
	if (s->host != 0 && !s->host_alive)
		fprintf(out, "which is dead, ");
	else if (s->host != 0 && s->silent_s >= SILENT_S)
		fprintf(out, "without a sign of life for %.0f s, ", s->silent_s);
	fprintf(out, "switch offload seen: %s, ", s->offload ? "yes" : "no");
	if (s->counted)
		fprintf(out, "buffers %u of %u free, ", s->census.free, s->geo.chunk_count);
	fprintf(out, "bypass %s\n", s->bypass_off ? "off" : "on");
}

static void
end_cell(struct hwy_table *t, const struct hwy_snap *s, const struct hwy_snap_end *end)
{
	if (end->client == 0)
		hwy_table_cell(t, "-");
	else
		hwy_table_cell(t, "%u %s %s", s->clients[end->client].pid,
			       s->clients[end->client].comm, hwy_word_end_state(end));
}

static void
show_ports(FILE *out, const struct hwy_view *view, const struct hwy_snap *s,
	   const struct hwy_snap *before)
{
	static const char *const heads[] = {
		"PORT",          "HOST END",     "GUEST END",    ">QUEUES",
		">MTU",          "BYPASS",       ">NORMAL RX",   ">NORMAL TX",
		">BYPASSED OUT", ">BYPASSED IN", ">RX PPS",      ">TX PPS",
		">OUT PPS",      ">IN PPS",      ">GBIT/S SENT", ">GBIT/S RECEIVED"};
	struct hwy_table t = {.n = 0};

	for (size_t i = 0; i < (view->rates ? 16 : 10); i++)
		hwy_table_column(&t, heads[i]);
	for (uint32_t p = 0; p < HWY_MAX_PORTS; p++) {
		const struct hwy_snap_port *port = &s->ports[p];
		const struct hwy_snap_end *guest = &port->end[HWY_GUEST];
		struct hwy_port_rates rates;

		if (!hwy_view_port(view, port))
			continue;
		hwy_table_cell(&t, "%s", port->name);
		end_cell(&t, s, &port->end[HWY_HOST]);
		end_cell(&t, s, guest);
		hwy_table_cell(&t, "%u", port->queues);
		if (guest->client != 0)
			hwy_table_cell(&t, "%u", guest->mtu);
		else
			hwy_table_cell(&t, "-");
		hwy_table_cell(&t, "%s",
			       port->bypass_off ? "off"
			       : s->bypass_off  ? "off (domain)"
						: "on");
		hwy_table_cell(&t, "%" PRIu64, guest->rx.normal_packets);
		hwy_table_cell(&t, "%" PRIu64, guest->tx.normal_packets);
		hwy_table_cell(&t, "%" PRIu64, port->out.packets);
		hwy_table_cell(&t, "%" PRIu64, port->in.packets);
		if (!view->rates)
			continue;
		rates = hwy_rates_of_port(s, before, p);
		hwy_table_cell(&t, "%.0f", rates.switch_in.pps);
		hwy_table_cell(&t, "%.0f", rates.switch_out.pps);
		hwy_table_cell(&t, "%.0f", rates.bypass_out.pps);
		hwy_table_cell(&t, "%.0f", rates.bypass_in.pps);
		hwy_table_cell(&t, "%.3f", (rates.switch_out.bps + rates.bypass_out.bps) / 1e9);
		hwy_table_cell(&t, "%.3f", (rates.switch_in.bps + rates.bypass_in.bps) / 1e9);
	}
	hwy_table_print(&t, out, "no ports");
}

static void
show_links(FILE *out, const struct hwy_view *view, const struct hwy_snap *s,
	   const struct hwy_snap *before)
{
	static const char *const heads[] = {"FROM",    "TO",       "STATE",  "CLASSES", "SINCE",
					    ">OPENED", ">PACKETS", ">BYTES", ">PPS",    ">GBIT/S"};
	struct hwy_table t = {.n = 0};
	char since[HWY_WORD_SIZE];

	for (size_t i = 0; i < (view->rates ? 10 : 8); i++)
		hwy_table_column(&t, heads[i]);
	for (uint32_t l = 0; l < HWY_MAX_LINKS; l++) {
		const struct hwy_snap_link *link = &s->links[l];
		struct hwy_rate rate;
		char *classes;

		if (!hwy_view_link(view, s, link))
			continue;
		classes = hwy_words_of_link(s, link);
		hwy_table_cell(&t, "%s", hwy_snap_port_name(s, link->src));
		hwy_table_cell(&t, "%s", hwy_snap_port_name(s, link->dst));
		hwy_table_cell(&t, "%s", hwy_word_link_state(link->state));
		hwy_table_cell(&t, "%s", classes != NULL ? classes : "?");
		free(classes);
		hwy_table_cell(&t, "%s", hwy_word_since(link->since_ns, s->now_ns, since));
		hwy_table_cell(&t, "%u", link->opened);
		hwy_table_cell(&t, "%" PRIu64, link->sent.packets);
		hwy_table_cell(&t, "%" PRIu64, link->sent.bytes);
		if (!view->rates)
			continue;
		rate = hwy_rate_of_link(s, before, l);
		hwy_table_cell(&t, "%.0f", rate.pps);
		hwy_table_cell(&t, "%.3f", rate.bps / 1e9);
	}
	hwy_table_print(&t, out, "no links");
}

int
hwy_unknown_port(const char *port, struct hwy_snap *const *snaps, size_t n)
{
	char *text = NULL;
	size_t size, known = 0;
	FILE *f = open_memstream(&text, &size);

	if (f == NULL)
		return hwy_complain("out of memory");
	for (size_t i = 0; i < n; i++) {
		for (uint32_t p = 0; p < HWY_MAX_PORTS; p++) {
			if (!snaps[i]->ports[p].used)
				continue;
			fprintf(f, "%s%s", known++ > 0 ? ", " : "", snaps[i]->ports[p].name);
			if (n > 1)
				fprintf(f, " (domain %s)", snaps[i]->geo.domain);
		}
	}
	fclose(f);
	hwy_complain("there is no port '%s': %s%s", port,
		     known > 0 ? "known are " : "there is none at all", text);
	free(text);
	return HWY_EXIT_FAILED;
}

static int
parse_view(struct hwy_options *options, int argc, char **argv, struct hwy_view *view)
{
	view->part = HWY_PART_ALL;
	view->rates = options->rates;
	if (argc == 0)
		return HWY_EXIT_OK;
	if (strcmp(argv[0], "links") == 0 && argc == 1) {
		view->part = HWY_PART_LINKS;
	} else if (strcmp(argv[0], "port") == 0 && argc == 2) {
		view->part = HWY_PART_PORT;
		view->port = argv[1];
	} else if (strcmp(argv[0], "domain") == 0 && argc == 2) {
		if (options->domain != NULL && strcmp(options->domain, argv[1]) != 0)
			return hwy_misused("show domain %s contradicts --domain %s", argv[1],
					   options->domain);
		options->domain = argv[1];
	} else {
		return hwy_misused("show takes nothing, 'domain DOMAIN', 'port PORT' or 'links'");
	}
	return HWY_EXIT_OK;
}

static void
show(const struct hwy_view *view, struct hwy_snap *const *snaps, struct hwy_snap *const *before,
     size_t n)
{
	bool first = true;

	for (size_t i = 0; i < n; i++) {
		if (view->part == HWY_PART_PORT &&
		    hwy_snap_find(snaps[i], view->port) == HWY_SNAP_NONE)
			continue;
		if (!first)
			putchar('\n');
		first = false;
		hwy_show_head(stdout, snaps[i], false);
		if (view->part != HWY_PART_LINKS)
			show_ports(stdout, view, snaps[i], before[i]);
		show_links(stdout, view, snaps[i], before[i]);
	}
}

/* Says it all, from the snapshots. */
static int
say(const struct hwy_options *options, const struct hwy_view *view, struct hwy_snap *const *snaps,
    struct hwy_snap *const *before, size_t n)
{
	bool known = view->part != HWY_PART_PORT;

	for (size_t i = 0; i < n; i++)
		known = known || hwy_snap_find(snaps[i], view->port) != HWY_SNAP_NONE;
	if (!known)
		return hwy_unknown_port(view->port, snaps, n);
	if (options->json)
		return hwy_json_print(stdout, view, snaps, before, n);
	show(view, snaps, before, n);
	return HWY_EXIT_OK;
}

int
hwy_cmd_show(const struct hwy_options *given, int argc, char **argv)
{
	struct hwy_options options = *given;
	struct hwy_snap **snaps, **before;
	struct hwy_found found;
	struct hwy_view view;
	size_t n = 0;
	int rc = parse_view(&options, argc, argv, &view);

	if (rc == HWY_EXIT_OK)
		rc = hwy_find(&options, false, &found);
	if (rc != HWY_EXIT_OK)
		return rc;
	if (found.n == 0) {
		if (options.json)
			hwy_json_print(stdout, &view, NULL, NULL, 0);
		return hwy_found_nothing(&options);
	}
	snaps = calloc(found.n, sizeof(snaps[0]));
	before = calloc(found.n, sizeof(before[0]));
	if (snaps == NULL || before == NULL)
		abort();
	for (size_t i = 0; view.rates && i < found.n; i++)
		before[i] = hwy_snap_take(found.regions[i], false);
	if (view.rates)
		hwy_sleep(options.interval_s);
	for (size_t i = 0; i < found.n; i++) {
		before[n] = before[i];
		snaps[n] = hwy_snap_take(found.regions[i], true);
		if (snaps[n] != NULL) {
			hwy_snap_follow(snaps[n], before[n]);
			n++;
			continue;
		}
		free(before[n]);
		before[n] = NULL;
		found.bad++;
		hwy_complain(
			"%s was cut short while it was read: remove the file if no process uses it",
			found.regions[i]->path);
	}
	rc = n > 0 ? say(&options, &view, snaps, before, n) : HWY_EXIT_FAILED;
	for (size_t i = 0; i < n; i++) {
		free(snaps[i]);
		free(before[i]);
	}
	free(snaps);
	free(before);
	if (found.bad > 0)
		rc = HWY_EXIT_FAILED;
	hwy_found_free(&found);
	return rc;
}
