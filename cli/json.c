/* SPDX-License-Identifier: BSD-3-Clause */
/* highwayctl show --json.  The format is described in highwayctl(1). */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "highwayctl.h"

static json_t *
number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* Nanoseconds since 1970 as seconds. */
static json_t *
seconds(uint64_t ns)
{
	return json_real((double)(ns / 1000000u) / 1e3);
}

static void
put(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value) < 0)
		abort(); /* no memory, or a text that is not ASCII: copy_text() sees to that */
}

static json_t *
packets_bytes(struct hwy_packets_bytes sent)
{
	json_t *o = json_object();

	put(o, "packets", number(sent.packets));
	put(o, "bytes", number(sent.bytes));
	return o;
}

static json_t *
counters(const struct hwy_counters *c)
{
	json_t *o = json_object();

#define PUT(field) put(o, #field, number(c->field))
	PUT(normal_packets);
	PUT(normal_bytes);
	PUT(bypass_packets);
	PUT(bypass_bytes);
	PUT(inlined);
	PUT(zero_copy);
	PUT(copied);
	PUT(ring_full);
	PUT(no_buffer);
	PUT(bad_desc);
	PUT(too_big);
	PUT(link_down);
#undef PUT
	return o;
}

static json_t *
end(const struct hwy_snap *s, const struct hwy_snap_end *e)
{
	char mac[18];
	json_t *o;

	if (e->client == 0)
		return json_null();
	o = json_object();
	put(o, "pid", number(s->clients[e->client].pid));
	put(o, "comm", json_string(s->clients[e->client].comm));
	put(o, "alive", json_boolean(e->alive));
	put(o, "state", json_string(hwy_word_end_state(e)));
	put(o, "mtu", number(e->mtu));
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", e->mac[0], e->mac[1], e->mac[2],
		 e->mac[3], e->mac[4], e->mac[5]);
	put(o, "mac", json_string(mac));
	put(o, "rx_queues", number(e->rx_queues));
	put(o, "tx_queues", number(e->tx_queues));
	put(o, "rx", counters(&e->rx));
	put(o, "tx", counters(&e->tx));
	return o;
}

static json_t *
routes(const struct hwy_snap *s, const struct hwy_snap_port *port)
{
	char word[HWY_WORD_SIZE], key[20];
	json_t *list = json_array();

	for (uint32_t i = 0; i < port->n_routes; i++) {
		const struct hwy_snap_route *r = &port->routes[i];
		json_t *o = json_object();

		put(o, "class", json_string(hwy_word_class(r->key, word)));
		snprintf(key, sizeof(key), "0x%016" PRIx64, r->key);
		put(o, "key", json_string(key));
		put(o, "to", json_string(hwy_snap_port_name(s, r->dst)));
		put(o, "packets", number(r->sent.packets));
		put(o, "bytes", number(r->sent.bytes));
		json_array_append_new(list, o);
	}
	return list;
}

static void
put_port_rates(json_t *o, const struct hwy_port_rates *r)
{
	json_t *pps = json_object(), *bps = json_object();

#define PUT(name, field)                                                                           \
	put(pps, name, json_real(r->field.pps));                                                   \
	put(bps, name, json_real(r->field.bps))
	PUT("normal_rx", switch_in);
	PUT("normal_tx", switch_out);
	PUT("bypass_in", bypass_in);
	PUT("bypass_out", bypass_out);
#undef PUT
	put(o, "pps", pps);
	put(o, "bps", bps);
}

static json_t *
ports(const struct hwy_view *view, const struct hwy_snap *s, const struct hwy_snap *before)
{
	json_t *list = json_array();

	for (uint32_t p = 0; p < HWY_MAX_PORTS; p++) {
		const struct hwy_snap_port *port = &s->ports[p];
		struct hwy_port_rates rates;
		json_t *o;

		if (!hwy_view_port(view, port))
			continue;
		o = json_object();
		put(o, "name", json_string(port->name));
		put(o, "queues", number(port->queues));
		put(o, "bypass", json_boolean(!port->bypass_off));
		put(o, "link_up", json_boolean(port->link_up));
		put(o, "host", end(s, &port->end[HWY_HOST]));
		put(o, "guest", end(s, &port->end[HWY_GUEST]));
		put(o, "bypass_out", packets_bytes(port->out));
		put(o, "bypass_in", packets_bytes(port->in));
		put(o, "routes", routes(s, port));
		if (view->rates) {
			rates = hwy_rates_of_port(s, before, p);
			put_port_rates(o, &rates);
		}
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *
classes(const struct hwy_snap *s, uint32_t link, uint32_t src)
{
	char word[HWY_WORD_SIZE];
	json_t *list = json_array();

	for (uint32_t i = 0; src < HWY_MAX_PORTS && i < s->ports[src].n_routes; i++) {
		if (s->ports[src].routes[i].link == link)
			json_array_append_new(list, json_string(hwy_word_class(
							    s->ports[src].routes[i].key, word)));
	}
	return list;
}

static json_t *
links(const struct hwy_view *view, const struct hwy_snap *s, const struct hwy_snap *before)
{
	json_t *list = json_array();

	for (uint32_t l = 0; l < HWY_MAX_LINKS; l++) {
		const struct hwy_snap_link *link = &s->links[l];
		json_t *o;

		if (!hwy_view_link(view, s, link))
			continue;
		o = json_object();
		put(o, "from", json_string(hwy_snap_port_name(s, link->src)));
		put(o, "to", json_string(hwy_snap_port_name(s, link->dst)));
		put(o, "state", json_string(hwy_word_link_state(link->state)));
		put(o, "classes", classes(s, l, link->src));
		put(o, "since", seconds(link->since_ns));
		put(o, "opened", number(link->opened));
		put(o, "queues", number(link->queues));
		put(o, "packets", number(link->sent.packets));
		put(o, "bytes", number(link->sent.bytes));
		put(o, "waiting", number(link->waiting));
		if (view->rates) {
			struct hwy_rate rate = hwy_rate_of_link(s, before, l);

			put(o, "pps", json_real(rate.pps));
			put(o, "bps", json_real(rate.bps));
		}
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *
host(const struct hwy_snap *s)
{
	json_t *o;

	if (s->host == 0)
		return json_null();
	o = json_object();
	put(o, "pid", number(s->clients[s->host].pid));
	put(o, "comm", json_string(s->clients[s->host].comm));
	put(o, "alive", json_boolean(s->host_alive));
	put(o, "heartbeat", number(s->heartbeat));
	return o;
}

static json_t *
buffers(const struct hwy_snap *s)
{
	json_t *o = json_object(), *held = json_array();

	put(o, "total", number(s->geo.chunk_count));
	put(o, "free", number(s->census.free));
	put(o, "in_rings", number(s->census.in_rings));
	for (uint32_t c = 1; c <= HWY_MAX_CLIENTS; c++) {
		const struct hwy_snap_client *client = c < HWY_MAX_CLIENTS ? &s->clients[c] : NULL;
		bool known = client != NULL && (client->used || client->alive);
		json_t *one;

		if (s->census.held[c] == 0)
			continue;
		one = json_object();
		put(one, "pid", known ? number(client->pid) : json_null());
		put(one, "comm", known ? json_string(client->comm) : json_null());
		put(one, "chunks", number(s->census.held[c]));
		json_array_append_new(held, one);
	}
	put(o, "held", held);
	return o;
}

static json_t *
clients(const struct hwy_snap *s)
{
	json_t *list = json_array();

	for (uint32_t c = 1; c < HWY_MAX_CLIENTS; c++) {
		json_t *o;

		if (!s->clients[c].used)
			continue;
		o = json_object();
		put(o, "slot", number(c));
		put(o, "pid", number(s->clients[c].pid));
		put(o, "comm", json_string(s->clients[c].comm));
		put(o, "alive", json_boolean(s->clients[c].alive));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *
domain(const struct hwy_view *view, const struct hwy_snap *s, const struct hwy_snap *before)
{
	json_t *o = json_object();
	json_t *file = json_string(s->path);

	put(o, "name", json_string(s->geo.domain));
	put(o, "kind", json_string(s->geo.kind == HWY_KIND_PORT ? "port" : "domain"));
	put(o, "file", file != NULL ? file : json_null()); /* a path need not be UTF-8 */
	put(o, "size", number(s->geo.file_size));
	put(o, "created", seconds(s->geo.created_ns));
	put(o, "host", host(s));
	put(o, "offload", json_boolean(s->offload));
	put(o, "bypass", json_boolean(!s->bypass_off));
	put(o, "buffers", buffers(s));
	if (view->part != HWY_PART_LINKS) {
		put(o, "clients", clients(s));
		put(o, "ports", ports(view, s, before));
	}
	put(o, "links", links(view, s, before));
	return o;
}

int
hwy_json_print(FILE *out, const struct hwy_view *view, struct hwy_snap *const *snaps,
	       struct hwy_snap *const *before, size_t n)
{
	json_t *root = json_object(), *list = json_array();

	for (size_t i = 0; i < n; i++) {
		if (view->part == HWY_PART_PORT &&
		    hwy_snap_find(snaps[i], view->port) == HWY_SNAP_NONE)
			continue;
		json_array_append_new(list, domain(view, snaps[i], before[i]));
	}
	put(root, "domains", list);
	if (json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) < 0) {
		json_decref(root);
		return hwy_complain("the output cannot be written");
	}
	putc('\n', out);
	json_decref(root);
	return HWY_EXIT_OK;
}
