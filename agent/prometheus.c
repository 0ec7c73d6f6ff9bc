/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The metrics' text, in Prometheus' exposition format.  Labels are named as the exporters of
 * Open vSwitch name them: bridge, port, interface.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"
#include "domain.h"
#include "journal.h"
#include "metrics.h"
#include "status.h"
#include "util.h"

static void
label(FILE *out, const char *separator, const char *name, const char *value)
{
	fprintf(out, "%s%s=\"", separator, name);
	for (; *value != 0; value++) {
		if (*value == '\n')
			fputs("\\n", out);
		else
			fprintf(out, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
	}
	fputc('"', out);
}

static void
head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP highway_%s %s.\n# TYPE highway_%s %s\n", name, help, name, type);
}

/* --- bridges ---------------------------------------------------------------------- */

static void
bridge_value(FILE *out, const char *name, const struct hwy_bridge *b, unsigned long long int value)
{
	fprintf(out, "highway_%s", name);
	label(out, "{", "bridge", b->name);
	fprintf(out, "} %llu\n", value);
}

static void
write_bridges(FILE *out)
{
	const struct hwy_bridge *b;

	head(out, "bridge_followed", "gauge", "Whether all rules of the bridge are known");
	HMAP_FOR_EACH (b, node, &hwy_bridges)
		bridge_value(out, "bridge_followed", b, b->sync == HWY_SYNC_LIVE);
	head(out, "bridge_rules", "gauge", "OpenFlow rules of the bridge that are known");
	HMAP_FOR_EACH (b, node, &hwy_bridges)
		bridge_value(out, "bridge_rules", b, hwy_detector_n_rules(b->detector));
	head(out, "bridge_changes_total", "counter", "Changes of rules that were told");
	HMAP_FOR_EACH (b, node, &hwy_bridges)
		bridge_value(out, "bridge_changes_total", b, b->n_updates);
	head(out, "bridge_syncs_total", "counter", "How often all rules were read");
	HMAP_FOR_EACH (b, node, &hwy_bridges)
		bridge_value(out, "bridge_syncs_total", b, b->n_syncs);
	head(out, "bridge_pauses_total", "counter", "How often the flow monitor was paused");
	HMAP_FOR_EACH (b, node, &hwy_bridges)
		bridge_value(out, "bridge_pauses_total", b, b->n_pauses);
}

/* --- ports ------------------------------------------------------------------------ */

static void
port_labels(FILE *out, const struct hwy_ofport *port)
{
	label(out, "{", "bridge", port->bridge->name);
	label(out, ",", "port", port->port_name);
	label(out, ",", "interface", port->name);
	label(out, ",", "domain", port->domain->name);
}

typedef uint64_t port_value(const struct hwy_ofport *port, const struct hwy_snap_port *at);

static uint64_t
is_permitted(const struct hwy_ofport *port, const struct hwy_snap_port *at OVS_UNUSED)
{
	return port->decided.want_permit;
}

static uint64_t
is_proven(const struct hwy_ofport *port, const struct hwy_snap_port *at OVS_UNUSED)
{
	return port->decided.peer != NULL;
}

static uint64_t
travel(const struct hwy_ofport *port OVS_UNUSED, const struct hwy_snap_port *at)
{
	return hwy_status_travel(at);
}

#define COUNTER(function, expression)                                                              \
	static uint64_t function(const struct hwy_ofport *port OVS_UNUSED,                         \
				 const struct hwy_snap_port *at)                                   \
	{                                                                                          \
		return at != NULL ? (expression) : 0;                                              \
	}
COUNTER(bypass_sent_packets, at->out.packets)
COUNTER(bypass_sent_bytes, at->out.bytes)
COUNTER(bypass_received_packets, at->in.packets)
COUNTER(bypass_received_bytes, at->in.bytes)
COUNTER(switch_sent_packets, at->end[HWY_GUEST].tx.normal_packets)
COUNTER(switch_sent_bytes, at->end[HWY_GUEST].tx.normal_bytes)
COUNTER(switch_received_packets, at->end[HWY_GUEST].rx.normal_packets)
COUNTER(switch_received_bytes, at->end[HWY_GUEST].rx.normal_bytes)

static void
write_ports(FILE *out, struct hwy_status *snaps)
{
	static const struct {
		const char *name, *type, *help;
		port_value *value;
	} metrics[] = {
		{"port_permitted", "gauge", "Whether policy lets the port bypass the switch",
		 is_permitted},
		{"port_proven", "gauge", "Whether a proof of the port's packets is published",
		 is_proven},
		{"port_bypass", "gauge",
		 "How the port's packets travel: 0 by the switch, 1 some classes by links, 2 all "
		 "by one link",
		 travel},
		{"port_bypass_sent_packets_total", "counter", "Packets that the port sent by links",
		 bypass_sent_packets},
		{"port_bypass_sent_bytes_total", "counter", "Bytes that the port sent by links",
		 bypass_sent_bytes},
		{"port_bypass_received_packets_total", "counter",
		 "Packets that the port received by links", bypass_received_packets},
		{"port_bypass_received_bytes_total", "counter",
		 "Bytes that the port received by links", bypass_received_bytes},
		{"port_switch_sent_packets_total", "counter",
		 "Packets that the VNF at the port sent by the switch", switch_sent_packets},
		{"port_switch_sent_bytes_total", "counter",
		 "Bytes that the VNF at the port sent by the switch", switch_sent_bytes},
		{"port_switch_received_packets_total", "counter",
		 "Packets that the VNF at the port received by the switch",
		 switch_received_packets},
		{"port_switch_received_bytes_total", "counter",
		 "Bytes that the VNF at the port received by the switch", switch_received_bytes},
	};
	const struct hwy_bridge *b;
	const struct hwy_ofport *port;

	for (size_t m = 0; m < ARRAY_SIZE(metrics); m++) {
		head(out, metrics[m].name, metrics[m].type, metrics[m].help);
		HMAP_FOR_EACH (b, node, &hwy_bridges) {
			HMAP_FOR_EACH (port, node, &b->ports) {
				const struct hwy_snap *s = hwy_status_snap(snaps, port->domain);

				if (!hwy_ofport_is_highway(port))
					continue;
				fprintf(out, "highway_%s", metrics[m].name);
				port_labels(out, port);
				fprintf(out, "} %" PRIu64 "\n",
					metrics[m].value(port, hwy_status_port(s, port)));
			}
		}
	}
}

/* --- links ------------------------------------------------------------------------ */

typedef uint64_t link_value(const struct hwy_snap_link *link);

static uint64_t
link_open(const struct hwy_snap_link *link)
{
	return link->state == HWY_LINK_OPEN;
}

static uint64_t
link_opened(const struct hwy_snap_link *link)
{
	return link->opened;
}

static uint64_t
link_packets(const struct hwy_snap_link *link)
{
	return link->sent.packets;
}

static uint64_t
link_bytes(const struct hwy_snap_link *link)
{
	return link->sent.bytes;
}

static void
write_links(FILE *out, struct hwy_status *snaps)
{
	static const struct {
		const char *name, *type, *help;
		link_value *value;
	} metrics[] = {
		{"link_open", "gauge", "Whether the link carries packets", link_open},
		{"link_opened_total", "counter", "How often the link was opened", link_opened},
		{"link_packets_total", "counter", "Packets sent by the link", link_packets},
		{"link_bytes_total", "counter", "Bytes sent by the link", link_bytes},
	};
	const struct hwy_domain *d;

	for (size_t m = 0; m < ARRAY_SIZE(metrics); m++) {
		head(out, metrics[m].name, metrics[m].type, metrics[m].help);
		HMAP_FOR_EACH (d, node, &hwy_domains) {
			const struct hwy_snap *s = hwy_status_snap(snaps, d);

			for (uint32_t l = 0; s != NULL && l < HWY_MAX_LINKS; l++) {
				const struct hwy_snap_link *link = &s->links[l];
				const struct hwy_ofport *x, *y;

				if (link->state == HWY_LINK_FREE)
					continue;
				x = hwy_status_owner(d, hwy_snap_port_name(s, link->src));
				y = hwy_status_owner(d, hwy_snap_port_name(s, link->dst));
				if (x == NULL || y == NULL)
					continue;
				fprintf(out, "highway_%s", metrics[m].name);
				port_labels(out, x);
				label(out, ",", "peer", y->name);
				fprintf(out, "} %" PRIu64 "\n", metrics[m].value(link));
			}
		}
	}
}

/* --- domains and events ----------------------------------------------------------- */

static void
write_rest(FILE *out, struct hwy_status *snaps)
{
	const struct hwy_domain *d;

	head(out, "domain_followed", "gauge", "Whether the domain's region is there");
	HMAP_FOR_EACH (d, node, &hwy_domains) {
		fputs("highway_domain_followed", out);
		label(out, "{", "domain", d->name);
		fprintf(out, "} %d\n", d->region != NULL);
	}
	head(out, "domain_host_alive", "gauge", "Whether a process has the domain's host ends");
	HMAP_FOR_EACH (d, node, &hwy_domains) {
		const struct hwy_snap *s = hwy_status_snap(snaps, d);

		fputs("highway_domain_host_alive", out);
		label(out, "{", "domain", d->name);
		fprintf(out, "} %d\n", s != NULL && s->host != 0 && s->host_alive);
	}
	head(out, "events_total", "counter", "Events since highwayd was started");
	for (int kind = 0; kind < HWY_N_EVENT_KINDS; kind++) {
		fputs("highway_events_total", out);
		label(out, "{", "kind", hwy_event_word((enum hwy_event_kind)kind));
		fprintf(out, "} %" PRIu64 "\n", hwy_journal_total((enum hwy_event_kind)kind));
	}
	head(out, "build_info", "gauge", "Always 1; the label says which release this is");
	fputs("highway_build_info", out);
	label(out, "{", "version", HWY_VERSION);
	fputs("} 1\n", out);
}

void
hwy_metrics_write(FILE *out)
{
	struct hwy_status snaps;

	hwy_status_init(&snaps);
	write_bridges(out);
	write_ports(out, &snaps);
	write_links(out, &snaps);
	write_rest(out, &snaps);
	hwy_status_destroy(&snaps);
}
