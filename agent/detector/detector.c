/* SPDX-License-Identifier: BSD-3-Clause */
#include <config.h>

#include "walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "util.h"

/* --- rules ------------------------------------------------------------------------------ */

static void
rule_free(struct hwy_rule *rule)
{
	minimatch_destroy(&rule->match);
	free(rule->ofpacts);
	free(rule);
}

void
hwy_rule_unref(struct hwy_rule *rule)
{
	if (rule && !--rule->n_refs) {
		rule_free(rule);
	}
}

unsigned int
hwy_rule_table(const struct hwy_rule *rule)
{
	return rule->table_id;
}

int
hwy_rule_priority(const struct hwy_rule *rule)
{
	return rule->priority;
}

ovs_be64
hwy_rule_cookie(const struct hwy_rule *rule)
{
	return rule->cookie;
}

static struct hwy_rule *
find_rule(const struct hwy_detector *detector, unsigned int table_id, int priority,
	  const struct minimatch *match, uint32_t *hash)
{
	struct hwy_rule *rule;

	*hash = minimatch_hash(match, hash_2words(table_id, (uint32_t)priority));
	HMAP_FOR_EACH_WITH_HASH (rule, node, *hash, &detector->rules) {
		if (rule->table_id == table_id && rule->priority == priority &&
		    minimatch_equal(&rule->match, match)) {
			return rule;
		}
	}
	return NULL;
}

static void
mark_stale(struct hwy_detector *detector, struct hwy_detector_port *port)
{
	port->stale = true;
	if (!port->pending) {
		port->pending = true;
		ovs_list_push_back(&detector->pending, &port->pending_node);
	}
}

static void
check_visit(struct hwy_detector *detector, const struct hwy_visit *visit,
	    const struct hwy_rule *rule)
{
	if (!visit->port->stale && rule->priority >= visit->priority &&
	    hwy_rule_can_match(rule, visit->value, visit->mask)) {
		mark_stale(detector, visit->port);
	}
}

/* 'rule', which is in its table, was added or is about to go: which verdicts does it touch? */
static void
touch(struct hwy_detector *detector, const struct hwy_rule *rule)
{
	const struct hwy_table *table = &detector->tables[rule->table_id];
	const struct hwy_visit *visit;
	ofp_port_t in_port;

	if (hwy_rule_in_port(rule, &in_port)) {
		HMAP_FOR_EACH_WITH_HASH (visit, node, hash_int(ofp_to_u16(in_port), 0),
					 &table->visits) {
			check_visit(detector, visit, rule);
		}
	} else {
		HMAP_FOR_EACH (visit, node, &table->visits) {
			check_visit(detector, visit, rule);
		}
	}
}

static void
remove_rule(struct hwy_detector *detector, struct hwy_rule *rule)
{
	touch(detector, rule);
	hwy_table_remove(rule);
	hmap_remove(&detector->rules, &rule->node);
	hwy_rule_unref(rule);
}

int
hwy_detector_rule_add(struct hwy_detector *detector, unsigned int table_id, int priority,
		      ovs_be64 cookie, const struct match *match, const struct ofpact *ofpacts,
		      size_t ofpacts_len)
{
	struct minimatch minimatch;
	struct hwy_rule *rule;
	uint32_t hash;

	if (table_id > HWY_INTERNAL_TABLE_ID || priority < 0 || priority > UINT16_MAX) {
		return -EINVAL;
	}
	minimatch_init(&minimatch, match);
	rule = find_rule(detector, table_id, priority, &minimatch, &hash);
	if (rule) {
		if (rule->cookie == cookie &&
		    ofpacts_equal(rule->ofpacts, rule->ofpacts_len, ofpacts, ofpacts_len)) {
			minimatch_destroy(&minimatch);
			return 0;
		}
		remove_rule(detector, rule);
	}
	rule = xzalloc(sizeof(*rule));
	rule->match = minimatch;
	rule->ofpacts = ofpacts_len ? xmemdup(ofpacts, ofpacts_len) : NULL;
	rule->ofpacts_len = (uint32_t)ofpacts_len;
	rule->cookie = cookie;
	rule->priority = priority;
	rule->table_id = (uint8_t)table_id;
	rule->n_refs = 1;
	hmap_insert(&detector->rules, &rule->node, hash);
	hwy_table_insert(&detector->tables[table_id], rule, match);
	touch(detector, rule);
	return 0;
}

int
hwy_detector_rule_delete(struct hwy_detector *detector, unsigned int table_id, int priority,
			 const struct match *match)
{
	struct minimatch minimatch;
	struct hwy_rule *rule;
	uint32_t hash;

	minimatch_init(&minimatch, match);
	rule = find_rule(detector, table_id, priority, &minimatch, &hash);
	minimatch_destroy(&minimatch);
	if (!rule) {
		return -ENOENT;
	}
	remove_rule(detector, rule);
	return 0;
}

void
hwy_detector_flush(struct hwy_detector *detector)
{
	struct hwy_rule *rule;

	HMAP_FOR_EACH_SAFE (rule, node, &detector->rules) {
		remove_rule(detector, rule);
	}
	hmap_shrink(&detector->rules);
}

size_t
hwy_detector_n_rules(const struct hwy_detector *detector)
{
	return hmap_count(&detector->rules);
}

/* --- groups ----------------------------------------------------------------------------- */

struct hwy_group *
hwy_group_find(const struct hwy_detector *detector, uint32_t group_id)
{
	struct hwy_group *group;

	HMAP_FOR_EACH_WITH_HASH (group, node, hash_int(group_id, 0), &detector->groups) {
		if (group->desc.group_id == group_id) {
			return group;
		}
	}
	return NULL;
}

static void
touch_group(struct hwy_detector *detector, uint32_t group_id)
{
	struct hwy_detector_port *port;

	HMAP_FOR_EACH (port, node, &detector->ports) {
		for (size_t i = 0; i < port->n_groups; i++) {
			if (port->groups[i] == group_id) {
				mark_stale(detector, port);
				break;
			}
		}
	}
}

static void
remove_group(struct hwy_detector *detector, struct hwy_group *group)
{
	touch_group(detector, group->desc.group_id);
	hmap_remove(&detector->groups, &group->node);
	ofputil_uninit_group_desc(&group->desc);
	free(group);
}

void
hwy_detector_group_set(struct hwy_detector *detector, const struct ofputil_group_desc *desc)
{
	struct hwy_group *group = hwy_group_find(detector, desc->group_id);

	if (group) {
		remove_group(detector, group);
	}
	group = xzalloc(sizeof(*group));
	group->desc.type = desc->type;
	group->desc.group_id = desc->group_id;
	ovs_list_init(&group->desc.buckets);
	ofputil_bucket_clone_list(&group->desc.buckets, &desc->buckets, NULL);
	ofputil_group_properties_copy(&group->desc.props, &desc->props);
	hmap_insert(&detector->groups, &group->node, hash_int(desc->group_id, 0));
	touch_group(detector, desc->group_id);
}

void
hwy_detector_group_delete(struct hwy_detector *detector, uint32_t group_id)
{
	struct hwy_group *group;

	if (group_id == OFPG_ALL) {
		HMAP_FOR_EACH_SAFE (group, node, &detector->groups) {
			remove_group(detector, group);
		}
		return;
	}
	group = hwy_group_find(detector, group_id);
	if (group) {
		remove_group(detector, group);
	}
}

/* --- ports ------------------------------------------------------------------------------ */

struct hwy_detector_port *
hwy_detector_port_find(const struct hwy_detector *detector, ofp_port_t number)
{
	struct hwy_detector_port *port;

	HMAP_FOR_EACH_WITH_HASH (port, node, hash_int(ofp_to_u16(number), 0), &detector->ports) {
		if (port->number == number) {
			return port;
		}
	}
	return NULL;
}

/* Ports change seldom, and any walk may have looked at this one. */
static void
touch_all(struct hwy_detector *detector)
{
	struct hwy_detector_port *port;

	HMAP_FOR_EACH (port, node, &detector->ports) {
		mark_stale(detector, port);
	}
}

static void
no_port(struct hwy_verdict *verdict, ofp_port_t number)
{
	memset(verdict, 0, sizeof(*verdict));
	verdict->in_port = verdict->port = number;
	verdict->out_port = OFPP_NONE;
	verdict->group_id = OFPG_ANY;
	verdict->reason = HWY_NO_PORT;
}

void
hwy_detector_port_set(struct hwy_detector *detector, ofp_port_t number, const char *name,
		      unsigned int flags)
{
	struct hwy_detector_port *port = hwy_detector_port_find(detector, number);

	if (port && port->present && port->flags == flags && !strcmp(port->name, name)) {
		return;
	}
	if (!port) {
		port = xzalloc(sizeof(*port));
		port->number = number;
		ovs_list_init(&port->visits);
		no_port(&port->verdict, number);
		no_port(&port->reported, number);
		hmap_insert(&detector->ports, &port->node, hash_int(ofp_to_u16(number), 0));
	}
	free(port->name);
	port->name = xstrdup(name);
	port->flags = flags;
	port->present = true;
	touch_all(detector);
}

void
hwy_detector_port_delete(struct hwy_detector *detector, ofp_port_t number)
{
	struct hwy_detector_port *port = hwy_detector_port_find(detector, number);

	if (port && port->present) {
		port->present = false;
		touch_all(detector);
	}
}

static void
destroy_port(struct hwy_detector *detector, struct hwy_detector_port *port)
{
	hwy_walk_forget(port);
	if (port->pending) {
		ovs_list_remove(&port->pending_node);
	}
	hmap_remove(&detector->ports, &port->node);
	hwy_verdict_uninit(&port->verdict);
	hwy_verdict_uninit(&port->reported);
	free(port->groups);
	free(port->name);
	free(port);
}

/* --- verdicts --------------------------------------------------------------------------- */

void
hwy_verdict_uninit(struct hwy_verdict *verdict)
{
	for (size_t i = 0; i < verdict->n_steps; i++) {
		hwy_rule_unref(verdict->steps[i].rule);
	}
	free(verdict->steps);
	hwy_rule_unref(verdict->rule);
	hwy_rule_unref(verdict->other);
	memset(verdict, 0, sizeof(*verdict));
}

static void
verdict_copy(struct hwy_verdict *to, const struct hwy_verdict *from)
{
	*to = *from;
	to->steps =
		from->n_steps ? xmemdup(from->steps, from->n_steps * sizeof(*from->steps)) : NULL;
	for (size_t i = 0; i < to->n_steps; i++) {
		if (to->steps[i].rule) {
			to->steps[i].rule->n_refs++;
		}
	}
	if (to->rule) {
		to->rule->n_refs++;
	}
	if (to->other) {
		to->other->n_refs++;
	}
}

/* Whether an operator would see the same rule. */
static bool
same_rule(const struct hwy_rule *a, const struct hwy_rule *b)
{
	if (a == b) {
		return true;
	}
	return a && b && a->table_id == b->table_id && a->priority == b->priority &&
	       a->cookie == b->cookie && minimatch_equal(&a->match, &b->match);
}

static bool
same_verdict(const struct hwy_verdict *a, const struct hwy_verdict *b)
{
	if (a->p2p != b->p2p || a->out_port != b->out_port || a->reason != b->reason ||
	    a->port != b->port || a->group_id != b->group_id || a->table_id != b->table_id ||
	    a->n_steps != b->n_steps || !same_rule(a->rule, b->rule) ||
	    !same_rule(a->other, b->other) || !nullable_string_is_equal(a->what, b->what)) {
		return false;
	}
	for (size_t i = 0; i < a->n_steps; i++) {
		if (a->steps[i].group_id != b->steps[i].group_id ||
		    !same_rule(a->steps[i].rule, b->steps[i].rule)) {
			return false;
		}
	}
	return true;
}

const struct hwy_verdict *
hwy_detector_verdict(struct hwy_detector *detector, ofp_port_t in_port)
{
	struct hwy_detector_port *port = hwy_detector_port_find(detector, in_port);

	if (!port) {
		no_port(&detector->unknown, in_port);
		return &detector->unknown;
	}
	if (port->stale) {
		hwy_walk(detector, port);
	}
	return &port->verdict;
}

bool
hwy_detector_is_dirty(const struct hwy_detector *detector)
{
	return !ovs_list_is_empty(&detector->pending);
}

void
hwy_detector_run(struct hwy_detector *detector, hwy_detector_changed *changed, void *aux)
{
	struct ovs_list others = OVS_LIST_INITIALIZER(&others);
	struct ovs_list losers = OVS_LIST_INITIALIZER(&losers);
	struct ovs_list *lists[] = {&losers, &others};
	struct hwy_detector_port *port;

	/* What is withdrawn comes first, for it is what is urgent. */
	LIST_FOR_EACH_POP(port, pending_node, &detector->pending)
	{
		bool loses;

		if (port->stale) {
			hwy_walk(detector, port);
		}
		loses = port->reported.p2p &&
			(!port->verdict.p2p || port->verdict.out_port != port->reported.out_port);
		ovs_list_push_back(loses ? &losers : &others, &port->pending_node);
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		LIST_FOR_EACH_POP(port, pending_node, lists[i])
		{
			port->pending = false;
			if (!same_verdict(&port->reported, &port->verdict)) {
				changed(detector, &port->reported, &port->verdict, aux);
				hwy_verdict_uninit(&port->reported);
				verdict_copy(&port->reported, &port->verdict);
			}
			if (!port->present) {
				destroy_port(detector, port);
			}
		}
	}
}

/* --- life ------------------------------------------------------------------------------- */

struct hwy_detector *
hwy_detector_create(void)
{
	struct hwy_detector *detector = xzalloc(sizeof(*detector));

	for (size_t i = 0; i < ARRAY_SIZE(detector->tables); i++) {
		hwy_table_init(&detector->tables[i]);
	}
	hmap_init(&detector->rules);
	hmap_init(&detector->groups);
	hmap_init(&detector->ports);
	ovs_list_init(&detector->pending);
	return detector;
}

void
hwy_detector_destroy(struct hwy_detector *detector)
{
	struct hwy_detector_port *port;

	if (!detector) {
		return;
	}
	HMAP_FOR_EACH_SAFE (port, node, &detector->ports) {
		destroy_port(detector, port);
	}
	hwy_detector_flush(detector);
	hwy_detector_group_delete(detector, OFPG_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(detector->tables); i++) {
		hwy_table_destroy(&detector->tables[i]);
	}
	hmap_destroy(&detector->rules);
	hmap_destroy(&detector->groups);
	hmap_destroy(&detector->ports);
	free(detector);
}
