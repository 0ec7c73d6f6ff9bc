/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables and JSON for unixctl: see report.h. */
#include <config.h>

#include "report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../cli/highwayctl.h"
#include "bridge.h"
#include "domain.h"
#include "explain.h"
#include "flow.h"
#include "journal.h"
#include "hotplug/plug.h"
#include "hotplug/libvirt.h"
#include "hotplug/qmp.h"
#include "hotplug/vms.h"
#include "links.h"
#include "machines.h"
#include "openvswitch/json.h"
#include "ovsdb.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"
#include "status.h"

/* --- a reply: a table or JSON ------------------------------------------------------ */

struct reply {
	struct unixctl_conn *conn;
	struct json *list;      /* with --json, else NULL */
	struct hwy_table table; /* without */
	const char *name;       /* what the JSON list is called */
	const char *empty;      /* what an empty table says */
};

static struct reply
reply_start(struct unixctl_conn *conn, bool json, const char *name, const char *const heads[],
	    const char *empty)
{
	struct reply r = {.conn = conn, .name = name, .empty = empty};

	if (json)
		r.list = json_array_create_empty();
	for (size_t i = 0; heads[i] != NULL; i++)
		hwy_table_column(&r.table, heads[i]);
	return r;
}

static void
reply_json(struct unixctl_conn *conn, struct json *json)
{
	char *text = json_to_string(json, JSSF_PRETTY | JSSF_SORT);
	char *line = xasprintf("%s\n", text);

	unixctl_command_reply(conn, line);
	free(line);
	free(text);
	json_destroy(json);
}

static void
reply_end(struct reply *r)
{
	if (r->list != NULL) {
		struct json *root = json_object_create();

		json_object_put(root, r->name, r->list);
		reply_json(r->conn, root);
	} else {
		char *text = NULL;
		size_t size;
		FILE *out = open_memstream(&text, &size);

		hwy_table_print(&r->table, out, r->empty);
		fclose(out);
		unixctl_command_reply(r->conn, text);
		free(text);
	}
}

/* Takes --json out of the words.  Returns how many are left after the command's name. */
static int
arguments(int argc, const char *argv[], bool *json)
{
	int n = 0;

	*json = false;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json") || !strcmp(argv[i], "-j"))
			*json = true;
		else
			argv[++n] = argv[i];
	}
	return n;
}

static void
put_integer(struct json *o, const char *name, uint64_t value)
{
	json_object_put(o, name, json_integer_create((long long int)value));
}

static void
put_boolean(struct json *o, const char *name, bool value)
{
	json_object_put(o, name, json_boolean_create(value));
}

static void
put_string(struct json *o, const char *name, const char *value)
{
	json_object_put(o, name, value != NULL ? json_string_create(value) : json_null_create());
}

static void
wrong(struct unixctl_conn *conn, const char *argument, const char *usage)
{
	char *text = xasprintf("'%s' is not understood: the command is %s", argument, usage);

	unixctl_command_reply_error(conn, text);
	free(text);
}

/* --- ports ------------------------------------------------------------------------ */

static int
by_name(const void *a_, const void *b_)
{
	const struct hwy_ofport *a = *(const struct hwy_ofport *const *)a_;
	const struct hwy_ofport *b = *(const struct hwy_ofport *const *)b_;
	int order = strcmp(a->bridge->name, b->bridge->name);

	return order != 0 ? order : strcmp(a->name, b->name);
}

/* All Highway ports, by bridge and name, and how many they are.  To be freed. */
static const struct hwy_ofport **
all_ports(size_t *n)
{
	const struct hwy_ofport **list = NULL, *port;
	const struct hwy_bridge *b;
	size_t allocated = 0;

	*n = 0;
	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		HMAP_FOR_EACH (port, node, &b->ports) {
			if (!hwy_ofport_is_highway(port) && port->trouble == NULL)
				continue;
			if (*n == allocated)
				list = x2nrealloc(list, &allocated, sizeof list[0]);
			list[(*n)++] = port;
		}
	}
	if (*n > 0)
		qsort(list, *n, sizeof list[0], by_name);
	return list;
}

static void
port_line(struct reply *r, const struct hwy_ofport *x, struct hwy_status *snaps)
{
	const struct hwy_snap_port *at = hwy_status_port(hwy_status_snap(snaps, x->domain), x);
	const struct hwy_vm *vm = hwy_machine_of(x, NULL);
	char number[8];

	snprintf(number, sizeof number, "%" PRIu32, ofp_to_u16(x->ofport));
	hwy_table_cell(&r->table, "%s", x->name);
	hwy_table_cell(&r->table, "%s", x->bridge->name);
	hwy_table_cell(&r->table, "%s", x->ofport == OFPP_NONE ? "-" : number);
	hwy_table_cell(&r->table, "%s", x->domain != NULL ? x->domain->name : "-");
	hwy_table_cell(&r->table, "%s", x->domain != NULL ? x->hwname : "-");
	hwy_table_cell(&r->table, "%s",
		       x->domain == NULL        ? "-"
		       : x->decided.want_permit ? "yes"
						: "no");
	hwy_table_cell(&r->table, "%s", x->decided.peer != NULL ? x->decided.peer->name : "-");
	hwy_table_cell(&r->table, "%s", hwy_travel_word(hwy_status_travel(at)));
	hwy_table_cell(&r->table, "%s", vm != NULL ? vm->name : "-");
}

static void
ports(struct unixctl_conn *conn, int argc, const char *argv[], void *aux OVS_UNUSED)
{
	static const char *const heads[] = {"PORT",   "BRIDGE", ">OFPORT", "DOMAIN",  "NAME",
					    "PERMIT", "PROOF",  "BYPASS",  "MACHINE", NULL};
	struct hwy_status snaps;
	const struct hwy_ofport **list;
	struct reply r;
	size_t n;
	bool json;

	if (arguments(argc, argv, &json) > 0) {
		wrong(conn, argv[1], "ports [--json]");
		return;
	}
	hwy_status_init(&snaps);
	r = reply_start(conn, json, "ports", heads, "no Highway ports");
	list = all_ports(&n);
	for (size_t i = 0; i < n; i++) {
		if (json)
			json_array_add(r.list, hwy_explain_json(list[i], &snaps));
		else
			port_line(&r, list[i], &snaps);
	}
	free(list);
	hwy_status_destroy(&snaps);
	reply_end(&r);
}

/* --- explain ---------------------------------------------------------------------- */

/* The port that 'name' means: an Interface, DOMAIN/PORT, or the name in its domain. */
static const struct hwy_ofport *
find_port(const char *name, char **complaint)
{
	const struct hwy_ofport **list, *found = NULL;
	struct ds known = DS_EMPTY_INITIALIZER;
	bool twice = false;
	size_t n;

	list = all_ports(&n);
	for (int way = 0; way < 3 && found == NULL; way++) {
		for (size_t i = 0; i < n; i++) {
			const struct hwy_ofport *p = list[i];
			char *full = xasprintf("%s/%s", p->domain != NULL ? p->domain->name : "",
					       p->hwname);
			const char *names[] = {p->name, full, p->hwname};

			if (names[way][0] != 0 && !strcmp(names[way], name)) {
				twice |= found != NULL;
				found = p;
			}
			free(full);
		}
	}
	for (size_t i = 0; i < n; i++)
		ds_put_format(&known, "%s%s", i > 0 ? ", " : "", list[i]->name);
	*complaint = NULL;
	if (twice) {
		*complaint = xasprintf("%s is the name of several ports: name the interface, one "
				       "of %s",
				       name, ds_cstr(&known));
		found = NULL;
	} else if (found == NULL) {
		*complaint = n > 0 ? xasprintf("%s is no Highway port: known are %s", name,
					       ds_cstr(&known))
				   : xasprintf("%s is no Highway port: the database at %s has none",
					       name, hwy_ovsdb_remote());
	}
	ds_destroy(&known);
	free(list);
	return found;
}

static void
explain(struct unixctl_conn *conn, int argc, const char *argv[], void *aux OVS_UNUSED)
{
	const struct hwy_ofport *port;
	struct hwy_status snaps;
	char *complaint;
	bool json;

	if (arguments(argc, argv, &json) != 1) {
		unixctl_command_reply_error(conn, "name one port: explain PORT [--json]");
		return;
	}
	port = find_port(argv[1], &complaint);
	if (port == NULL) {
		unixctl_command_reply_error(conn, complaint);
		free(complaint);
		return;
	}
	hwy_status_init(&snaps);
	if (json) {
		reply_json(conn, hwy_explain_json(port, &snaps));
	} else {
		struct ds text = DS_EMPTY_INITIALIZER;

		hwy_explain_text(port, &snaps, &text);
		unixctl_command_reply(conn, ds_cstr(&text));
		ds_destroy(&text);
	}
	hwy_status_destroy(&snaps);
}

/* --- links ------------------------------------------------------------------------ */

static void
link_line(struct reply *r, const struct hwy_domain *d, const struct hwy_snap *s,
	  const struct hwy_snap_link *link)
{
	const char *src = hwy_snap_port_name(s, link->src), *dst = hwy_snap_port_name(s, link->dst);
	const struct hwy_ofport *x = hwy_status_owner(d, src), *y = hwy_status_owner(d, dst);
	bool proven = x != NULL && y != NULL && x->decided.peer == y;
	char *classes = hwy_words_of_link(s, link);
	char since[HWY_WORD_SIZE];

	if (r->list == NULL) {
		hwy_table_cell(&r->table, "%s", x != NULL ? x->name : src);
		hwy_table_cell(&r->table, "%s", y != NULL ? y->name : dst);
		hwy_table_cell(&r->table, "%s", d->name);
		hwy_table_cell(&r->table, "%s", hwy_word_link_state(link->state));
		hwy_table_cell(&r->table, "%s", proven ? "yes" : "no");
		hwy_table_cell(&r->table, "%s", classes);
		hwy_table_cell(&r->table, "%s", hwy_word_since(link->since_ns, s->now_ns, since));
		hwy_table_cell(&r->table, "%u", link->opened);
		hwy_table_cell(&r->table, "%" PRIu64, link->sent.packets);
		hwy_table_cell(&r->table, "%" PRIu64, link->sent.bytes);
	} else {
		struct json *o = json_object_create();

		put_string(o, "from", x != NULL ? x->name : src);
		put_string(o, "to", y != NULL ? y->name : dst);
		put_string(o, "bridge", x != NULL ? x->bridge->name : NULL);
		put_string(o, "domain", d->name);
		put_string(o, "state", hwy_word_link_state(link->state));
		put_boolean(o, "proven", proven);
		put_string(o, "classes", classes);
		json_object_put(o, "since", json_real_create((double)link->since_ns / 1e9));
		put_integer(o, "opened", link->opened);
		put_integer(o, "packets", link->sent.packets);
		put_integer(o, "bytes", link->sent.bytes);
		json_array_add(r->list, o);
	}
	free(classes);
}

static void
links(struct unixctl_conn *conn, int argc, const char *argv[], void *aux OVS_UNUSED)
{
	static const char *const heads[] = {"FROM",     "TO",      "DOMAIN", "STATE",
					    "PROVEN",   "CLASSES", "SINCE",  ">OPENED",
					    ">PACKETS", ">BYTES",  NULL};
	const struct hwy_domain *d;
	struct reply r;
	bool json;

	if (arguments(argc, argv, &json) > 0) {
		wrong(conn, argv[1], "links [--json]");
		return;
	}
	r = reply_start(conn, json, "links", heads, "no links");
	HMAP_FOR_EACH (d, node, &hwy_domains) {
		struct hwy_snap *s = hwy_domain_look(d);

		for (uint32_t l = 0; s != NULL && l < HWY_MAX_LINKS; l++) {
			if (s->links[l].state != HWY_LINK_FREE)
				link_line(&r, d, s, &s->links[l]);
		}
		free(s);
	}
	reply_end(&r);
}

/* --- domains ---------------------------------------------------------------------- */

static void
domain_line(struct reply *r, const struct hwy_domain *d)
{
	struct hwy_snap *s = hwy_domain_look(d);
	unsigned int n_ports = 0, n_open = 0;
	const char *host = "-";

	for (uint32_t p = 0; s != NULL && p < HWY_MAX_PORTS; p++)
		n_ports += s->ports[p].used;
	for (uint32_t l = 0; s != NULL && l < HWY_MAX_LINKS; l++)
		n_open += s->links[l].state == HWY_LINK_OPEN;
	if (s != NULL && s->host != 0)
		host = s->host_alive ? s->clients[s->host].comm : "dead";
	if (r->list == NULL) {
		hwy_table_cell(&r->table, "%s", d->name);
		hwy_table_cell(&r->table, "%s", d->region != NULL ? d->region->path : "-");
		hwy_table_cell(&r->table, "%s", host);
		hwy_table_cell(&r->table, "%u", n_ports);
		hwy_table_cell(&r->table, "%u", n_open);
		hwy_table_cell(&r->table, "%s",
			       d->trouble != NULL           ? d->trouble
			       : d->region == NULL          ? "no region yet"
			       : s != NULL && s->bypass_off ? "bypass=off in the region"
							    : "followed");
	} else {
		struct json *o = json_object_create();

		put_string(o, "name", d->name);
		put_string(o, "file", d->region != NULL ? d->region->path : NULL);
		put_boolean(o, "followed", d->region != NULL);
		put_string(o, "host", s != NULL && s->host_alive ? s->clients[s->host].comm : NULL);
		put_boolean(o, "offload", s != NULL && s->offload);
		put_integer(o, "ports", n_ports);
		put_integer(o, "open_links", n_open);
		put_string(o, "trouble", d->trouble);
		json_array_add(r->list, o);
	}
	free(s);
}

static void
domains(struct unixctl_conn *conn, int argc, const char *argv[], void *aux OVS_UNUSED)
{
	static const char *const heads[] = {"DOMAIN",      "REGION", "HOST", ">PORTS",
					    ">OPEN LINKS", "STATE",  NULL};
	const struct hwy_domain *d;
	struct reply r;
	bool json;

	if (arguments(argc, argv, &json) > 0) {
		wrong(conn, argv[1], "domains [--json]");
		return;
	}
	r = reply_start(conn, json, "domains", heads, "no domains");
	HMAP_FOR_EACH (d, node, &hwy_domains)
		domain_line(&r, d);
	reply_end(&r);
}

/* --- bridges ---------------------------------------------------------------------- */

static void
bridges(struct unixctl_conn *conn, int argc, const char *argv[], void *aux OVS_UNUSED)
{
	static const char *const heads[] = {"BRIDGE",   "STATE",  ">RULES",  ">PORTS",
					    ">CHANGES", ">SYNCS", ">PAUSES", NULL};
	const struct hwy_bridge *b;
	struct reply r;
	bool json;

	if (arguments(argc, argv, &json) > 0) {
		wrong(conn, argv[1], "bridges [--json]");
		return;
	}
	r = reply_start(conn, json, "bridges", heads, "no bridges of datapath_type=netdev");
	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		size_t n_rules = hwy_detector_n_rules(b->detector);
		size_t n_ports = hmap_count(&b->openflow->ports);

		if (json) {
			struct json *o = json_object_create();

			put_string(o, "name", b->name);
			put_string(o, "state", hwy_sync_word(b->sync));
			put_string(o, "trouble", b->trouble);
			put_integer(o, "rules", n_rules);
			put_integer(o, "ports", n_ports);
			put_integer(o, "changes", b->n_updates);
			put_integer(o, "syncs", b->n_syncs);
			put_integer(o, "pauses", b->n_pauses);
			json_array_add(r.list, o);
			continue;
		}
		hwy_table_cell(&r.table, "%s", b->name);
		hwy_table_cell(&r.table, "%s%s%s", hwy_sync_word(b->sync),
			       b->trouble != NULL ? ": " : "",
			       b->trouble != NULL ? b->trouble : "");
		hwy_table_cell(&r.table, "%" PRIuSIZE, n_rules);
		hwy_table_cell(&r.table, "%" PRIuSIZE, n_ports);
		hwy_table_cell(&r.table, "%llu", b->n_updates);
		hwy_table_cell(&r.table, "%llu", b->n_syncs);
		hwy_table_cell(&r.table, "%llu", b->n_pauses);
	}
	reply_end(&r);
}

/* --- machines --------------------------------------------------------------------- */

static void
machine_line(struct reply *r, const struct hwy_vm *vm)
{
	size_t n_plugs = ovs_list_size(&vm->plugs);
	struct json *o;

	if (r->list == NULL) {
		hwy_table_cell(&r->table, "%s", vm->name);
		hwy_table_cell(&r->table, "%s", vm->uuid != NULL ? vm->uuid : "-");
		hwy_table_cell(&r->table, "%s", hwy_vm_state_word(vm->state));
		hwy_table_cell(&r->table, "%s", vm->type != NULL ? vm->type : "-");
		hwy_table_cell(&r->table, "%" PRIuSIZE, vm->n_devices);
		hwy_table_cell(&r->table, "%" PRIuSIZE, n_plugs);
		if (vm->pcie)
			hwy_table_cell(&r->table, "%" PRIuSIZE, vm->n_ports);
		else
			hwy_table_cell(&r->table, "-");
		hwy_table_cell(&r->table, "%s",
			       hwy_qmp_trouble(vm->qmp) != NULL ? hwy_qmp_trouble(vm->qmp)
								: vm->socket);
		return;
	}
	o = json_object_create();
	put_string(o, "name", vm->name);
	put_string(o, "uuid", vm->uuid);
	put_string(o, "state", hwy_vm_state_word(vm->state));
	put_string(o, "type", vm->type);
	put_string(o, "socket", vm->socket);
	put_boolean(o, "known", vm->known);
	put_integer(o, "devices", vm->n_devices);
	put_integer(o, "plugged", n_plugs);
	json_object_put(o, "free_root_ports",
			vm->pcie ? json_integer_create((long long int)vm->n_ports)
				 : json_null_create());
	put_string(o, "trouble", hwy_qmp_trouble(vm->qmp));
	json_array_add(r->list, o);
}

static void
machines(struct unixctl_conn *conn, int argc, const char *argv[], void *aux OVS_UNUSED)
{
	static const char *const heads[] = {
		"MACHINE",          "UUID",    "STATE", "TYPE", ">DEVICES", ">PLUGGED",
		">FREE ROOT PORTS", "MONITOR", NULL};
	const struct hwy_vm *vm;
	char *libvirt = hwy_libvirt_trouble();
	struct reply r;
	bool json;

	if (arguments(argc, argv, &json) > 0) {
		free(libvirt);
		wrong(conn, argv[1], "machines [--json]");
		return;
	}
	r = reply_start(conn, json, "machines", heads,
			hwy_vms_trouble() != NULL ? hwy_vms_trouble()
			: libvirt != NULL         ? libvirt
			: hwy_vms_dir() == NULL
				? "no virtual machines: other_config:highway-qmp-dir of "
				  "Open_vSwitch is not set"
				: "no virtual machines: no monitor socket in highway-qmp-dir, and "
				  "no running one at highway-libvirt-uri");
	HMAP_FOR_EACH (vm, node, &hwy_vms)
		machine_line(&r, vm);
	reply_end(&r);
	free(libvirt);
}

/* --- events ----------------------------------------------------------------------- */

static void
event_line(struct reply *r, const struct hwy_event *e)
{
	struct ds text = DS_EMPTY_INITIALIZER;
	time_t seconds = (time_t)(e->at_ms / 1000);
	char at[32] = "-";
	struct tm tm;

	if (r->list != NULL) {
		struct json *o = json_object_create(), *parts = json_object_create();

		put_integer(o, "serial", e->serial);
		json_object_put(o, "time", json_real_create((double)e->at_ms / 1e3));
		put_string(o, "kind", hwy_event_word(e->kind));
		put_string(o, "bridge", e->bridge);
		put_string(o, "port", e->port);
		put_string(o, "peer", e->peer);
		json_object_put(o, "took_us",
				e->took_us >= 0 ? json_integer_create(e->took_us)
						: json_null_create());
		put_string(o, "text", e->text);
		for (size_t i = 0; i < e->n_parts; i++)
			put_integer(parts, e->parts[i].name, (uint64_t)e->parts[i].us);
		json_object_put(o, "parts_us", parts);
		json_array_add(r->list, o);
		return;
	}
	if (localtime_r(&seconds, &tm) != NULL)
		strftime(at, sizeof at, "%m-%d %H:%M:%S", &tm);
	hwy_table_cell(&r->table, "%" PRIu64, e->serial);
	hwy_table_cell(&r->table, "%s.%03d", at, (int)(e->at_ms % 1000));
	hwy_table_cell(&r->table, "%s", hwy_event_word(e->kind));
	if (e->took_us >= 0)
		hwy_table_cell(&r->table, "%.3f", (double)e->took_us / 1e3);
	else
		hwy_table_cell(&r->table, "-");
	for (size_t i = 0; i < e->n_parts; i++)
		ds_put_format(&text, "%s%s %.3f", i > 0 ? ", " : ": ", e->parts[i].name,
			      (double)e->parts[i].us / 1e3);
	hwy_table_cell(&r->table, "%s%s", e->text, ds_cstr(&text));
	ds_destroy(&text);
}

static void
events(struct unixctl_conn *conn, int argc, const char *argv[], void *aux OVS_UNUSED)
{
	static const char *const heads[] = {">NO", "TIME", "EVENT", ">TOOK MS", "WHAT", NULL};
	size_t count = hwy_journal_count(), n = count;
	struct reply r;
	bool json;
	int left = arguments(argc, argv, &json);
	unsigned int last;

	if (left > 1 || (left == 1 && (!str_to_uint(argv[1], 10, &last) || last == 0))) {
		wrong(conn, argv[left > 1 ? 2 : 1], "events [HOW-MANY] [--json]");
		return;
	}
	if (left == 1)
		n = MIN(count, last);
	r = reply_start(conn, json, "events", heads, "no events");
	for (size_t i = count - n; i < count; i++)
		event_line(&r, hwy_journal_get(i));
	reply_end(&r);
}

void
hwy_report_init(void)
{
	unixctl_command_register("explain", "PORT [--json]", 0, 3, explain, NULL);
	unixctl_command_register("ports", "[--json]", 0, 2, ports, NULL);
	unixctl_command_register("links", "[--json]", 0, 2, links, NULL);
	unixctl_command_register("domains", "[--json]", 0, 2, domains, NULL);
	unixctl_command_register("bridges", "[--json]", 0, 2, bridges, NULL);
	unixctl_command_register("machines", "[--json]", 0, 2, machines, NULL);
	unixctl_command_register("events", "[HOW-MANY] [--json]", 0, 3, events, NULL);
}
