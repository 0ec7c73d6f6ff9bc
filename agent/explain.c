/* SPDX-License-Identifier: BSD-3-Clause */
/* Why a port is, or is not, bypassed: see explain.h. */
#include <config.h>

#include "explain.h"

#include <inttypes.h>
#include <stdlib.h>

#include "../cli/highwayctl.h"
#include "bridge.h"
#include "byte-order.h"
#include "flow.h"
#include "keys.h"
#include "links.h"
#include "machines.h"
#include "metrics.h"
#include "util.h"

/* All that is known of one port. */
struct facts {
	const struct hwy_ofport *x;
	const struct hwy_snap *snap;
	const struct hwy_snap_port *at; /* in the snapshot, or NULL */
	enum hwy_travel travel;
	const struct hwy_policy_reason *prohibition;
	struct hwy_ofport *peer; /* proven, or NULL */
	bool by_rules;           /* 'why' is about rules */
	struct ds why;           /* why not proven; of a proof, the rules */
	char *region;            /* what keeps the region from carrying all, or NULL */
};

static void
facts_init(struct facts *f, const struct hwy_ofport *x, struct hwy_status *snaps)
{
	*f = (struct facts){.x = x, .why = DS_EMPTY_INITIALIZER};
	f->snap = hwy_status_snap(snaps, x->domain);
	f->at = hwy_status_port(f->snap, x);
	f->travel = hwy_status_travel(f->at);
	f->prohibition = hwy_links_prohibition(x);
	f->peer = hwy_links_proof(x, &f->why, &f->by_rules);
	if (f->peer != NULL)
		hwy_verdict_format(x->bridge->detector,
				   hwy_detector_verdict(x->bridge->detector, x->ofport), &f->why);
	if (f->prohibition == NULL && hwy_ofport_is_highway(x) && f->travel != HWY_TRAVEL_PROOF)
		f->region = hwy_status_region_reason(f->snap, x);
}

static void
facts_destroy(struct facts *f)
{
	ds_destroy(&f->why);
	free(f->region);
}

/* --- text ------------------------------------------------------------------------- */

static void
classes(const struct hwy_snap *s, const struct hwy_snap_port *at, struct ds *out)
{
	char word[HWY_WORD_SIZE];

	for (uint32_t i = 0; i < at->n_routes; i++)
		ds_put_format(out, "%s%s to %s", i > 0 ? ", " : "",
			      hwy_word_class(at->routes[i].key, word),
			      hwy_snap_port_name(s, at->routes[i].dst));
}

static void
headline(const struct facts *f, struct ds *out)
{
	const struct hwy_ofport *x = f->x;

	ds_put_format(out, "%s ", x->name);
	if (x->trouble != NULL)
		ds_put_format(out, "is no Highway port: %s\n", x->trouble);
	else if (f->travel == HWY_TRAVEL_PROOF)
		ds_put_format(out, "bypasses the switch with all its packets, to %s\n",
			      hwy_snap_port_name(f->snap, f->at->routes[0].dst));
	else if (f->travel == HWY_TRAVEL_CLASSES)
		ds_put_cstr(out, "bypasses the switch with some classes of packets\n");
	else
		ds_put_cstr(out, "does not bypass the switch\n");
}

static void
policy_lines(const struct facts *f, struct ds *out)
{
	const struct hwy_policy_reasons *lists[] = {&f->x->policy, &f->x->bridge->policy};

	ds_put_format(out, "  policy:  %s\n",
		      f->prohibition == NULL ? "permits it" : "forbids every bypass:");
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		for (size_t i = 0; i < lists[l]->n; i++)
			ds_put_format(out, "           - %s%s\n",
				      lists[l]->list[i].permit ? "" : "no proof: ",
				      lists[l]->list[i].text);
	}
}

/* Calls 'each' for every sentence on keys of the database that concern the port. */
static void
notes(const struct hwy_ofport *x, void (*each)(const char *text, void *aux), void *aux)
{
	const char *rows[][2] = {
		{"Interface", x->name}, {"Bridge", x->bridge->name}, {"Open_vSwitch", "."}};
	const char *text;

	for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
		for (size_t i = 0; (text = hwy_keys_trouble(rows[r][0], rows[r][1], i)); i++)
			each(text, aux);
	}
	text = hwy_metrics_trouble();
	if (text != NULL)
		each(text, aux);
}

static void
note_line(const char *text, void *out)
{
	ds_put_format(out, "  note:    %s\n", text);
}

static void
region_lines(const struct facts *f, struct ds *out)
{
	ds_put_cstr(out, "  region:  ");
	if (f->at != NULL && f->at->n_routes > 0) {
		ds_put_cstr(out, "routes ");
		classes(f->snap, f->at, out);
		ds_put_format(out, "%s%s\n", f->region != NULL ? "; " : "",
			      f->region != NULL ? f->region : "");
	} else if (f->region != NULL) {
		ds_put_format(out, "no route: %s\n", f->region);
	} else {
		ds_put_cstr(out, "no route\n");
	}
	for (uint32_t l = 0; f->at != NULL && l < HWY_MAX_LINKS; l++) {
		const struct hwy_snap_link *link = &f->snap->links[l];
		char since[HWY_WORD_SIZE];

		if (link->state == HWY_LINK_FREE || link->src >= HWY_MAX_PORTS ||
		    &f->snap->ports[link->src] != f->at)
			continue;
		ds_put_format(out,
			      "           link to %s is %s since %s, opened %u times, %" PRIu64
			      " packets\n",
			      hwy_snap_port_name(f->snap, link->dst),
			      hwy_word_link_state(link->state),
			      hwy_word_since(link->since_ns, f->snap->now_ns, since), link->opened,
			      link->sent.packets);
	}
}

void
hwy_explain_text(const struct hwy_ofport *x, struct hwy_status *snaps, struct ds *out)
{
	struct facts f;

	facts_init(&f, x, snaps);
	headline(&f, out);
	if (hwy_ofport_is_highway(x)) {
		ds_put_format(out, "  port:    bridge %s, ", x->bridge->name);
		if (x->ofport != OFPP_NONE)
			ds_put_format(out, "OpenFlow port %" PRIu32, ofp_to_u16(x->ofport));
		else
			ds_put_cstr(out, "no OpenFlow number");
		ds_put_format(out, "; port %s of domain %s\n", x->hwname, x->domain->name);
		hwy_machine_text(x, out);
		policy_lines(&f, out);
		if (f.peer != NULL)
			ds_put_format(out, "  rules:   every packet goes to %s: %s\n", f.peer->name,
				      ds_cstr(&f.why));
		else if (f.by_rules)
			ds_put_format(out, "  rules:   no proof on bridge %s: %s\n",
				      x->bridge->name, ds_cstr(&f.why));
		else
			ds_put_format(out, "  rules:   no proof: %s\n", ds_cstr(&f.why));
		if (f.peer != NULL && x->decided.peer != f.peer)
			ds_put_format(
				out, "           the proof is not published: %s\n",
				x->decided.flapping
					? "it has to be the same for highway-debounce-ms first"
					: "the region does not have both ports");
		region_lines(&f, out);
	}
	notes(x, note_line, out);
	facts_destroy(&f);
}

/* --- JSON ------------------------------------------------------------------------- */

static void
put_string(struct json *o, const char *name, const char *value)
{
	json_object_put(o, name, value != NULL ? json_string_create(value) : json_null_create());
}

static struct json *
rule_json(const struct hwy_detector *detector, const struct hwy_rule *rule)
{
	struct json *o = json_object_create();
	struct ds match = DS_EMPTY_INITIALIZER;

	json_object_put(o, "table", json_integer_create(hwy_rule_table(rule)));
	json_object_put(o, "priority", json_integer_create(hwy_rule_priority(rule)));
	json_object_put_format(o, "cookie", "0x%" PRIx64, ntohll(hwy_rule_cookie(rule)));
	hwy_rule_format_match(detector, rule, &match);
	put_string(o, "match", ds_cstr(&match));
	ds_destroy(&match);
	return o;
}

static struct json *
rules_json(const struct facts *f)
{
	struct json *o = json_object_create(), *path = json_array_create_empty();
	const struct hwy_bridge *b = f->x->bridge;
	const struct hwy_verdict *v = NULL;
	const struct hwy_rule *decides = NULL;

	json_object_put(o, "proven", json_boolean_create(f->peer != NULL));
	put_string(o, "to", f->peer != NULL ? f->peer->name : NULL);
	put_string(o, "text", ds_cstr_ro(&f->why));
	json_object_put(o, "published",
			json_boolean_create(f->peer != NULL && f->x->decided.peer == f->peer));
	if (f->peer != NULL || f->by_rules)
		v = hwy_detector_verdict(b->detector, f->x->ofport);
	for (size_t i = 0; v != NULL && i < v->n_steps; i++) {
		if (v->steps[i].rule != NULL) {
			decides = v->steps[i].rule;
			json_array_add(path, rule_json(b->detector, decides));
		} else {
			struct json *group = json_object_create();

			json_object_put(group, "group", json_integer_create(v->steps[i].group_id));
			json_array_add(path, group);
		}
	}
	json_object_put(o, "path", path);
	if (v != NULL && !v->p2p)
		decides = v->rule;
	json_object_put(o, "rule",
			decides != NULL ? rule_json(b->detector, decides) : json_null_create());
	return o;
}

static struct json *
policy_json(const struct facts *f)
{
	const struct hwy_policy_reasons *lists[] = {&f->x->policy, &f->x->bridge->policy};
	struct json *o = json_object_create(), *list = json_array_create_empty();

	json_object_put(o, "permitted", json_boolean_create(f->prohibition == NULL));
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		for (size_t i = 0; i < lists[l]->n; i++) {
			const struct hwy_policy_reason *r = &lists[l]->list[i];
			struct json *one = json_object_create();

			put_string(one, "reason", hwy_policy_word(r->code));
			put_string(one, "forbids", r->permit ? "bypass" : "proof");
			put_string(one, "text", r->text);
			json_array_add(list, one);
		}
	}
	json_object_put(o, "reasons", list);
	return o;
}

static struct json *
routes_json(const struct facts *f)
{
	struct json *list = json_array_create_empty();
	char word[HWY_WORD_SIZE];

	for (uint32_t i = 0; f->at != NULL && i < f->at->n_routes; i++) {
		const struct hwy_snap_route *route = &f->at->routes[i];
		struct json *o = json_object_create();

		put_string(o, "class", hwy_word_class(route->key, word));
		put_string(o, "to", hwy_snap_port_name(f->snap, route->dst));
		json_object_put(o, "packets",
				json_integer_create((long long int)route->sent.packets));
		json_object_put(o, "bytes", json_integer_create((long long int)route->sent.bytes));
		json_array_add(list, o);
	}
	return list;
}

static void
note_json(const char *text, void *list)
{
	json_array_add(list, json_string_create(text));
}

struct json *
hwy_explain_json(const struct hwy_ofport *x, struct hwy_status *snaps)
{
	struct json *o = json_object_create(), *region = json_object_create();
	struct json *list = json_array_create_empty();
	struct facts f;

	facts_init(&f, x, snaps);
	put_string(o, "port", x->name);
	put_string(o, "bridge", x->bridge->name);
	json_object_put(o, "ofport",
			x->ofport != OFPP_NONE ? json_integer_create(ofp_to_u16(x->ofport))
					       : json_null_create());
	put_string(o, "domain", x->domain != NULL ? x->domain->name : NULL);
	put_string(o, "name", x->domain != NULL ? x->hwname : NULL);
	put_string(o, "trouble", x->trouble);
	put_string(o, "bypass", hwy_travel_word(f.travel));
	json_object_put(o, "machine", hwy_machine_json(x));
	json_object_put(o, "policy", policy_json(&f));
	json_object_put(o, "rules", rules_json(&f));
	json_object_put(region, "present", json_boolean_create(f.at != NULL));
	json_object_put(region, "routes", routes_json(&f));
	put_string(region, "text", f.region);
	json_object_put(o, "region", region);
	notes(x, note_json, list);
	json_object_put(o, "notes", list);
	facts_destroy(&f);
	return o;
}
