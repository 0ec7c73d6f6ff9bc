/* SPDX-License-Identifier: BSD-3-Clause */
/* The detector's own view of its ports and groups, and the walk of one port's packets. */
#ifndef HWY_DETECTOR_WALK_H
#define HWY_DETECTOR_WALK_H 1

#include "detector.h"
#include "index.h"

/* Open vSwitch's own table, which holds no rules that a controller can see. */
#define HWY_INTERNAL_TABLE_ID 254

/* One look-up of a port's walk: what a change of the table has to be compared with. */
struct hwy_visit {
	struct hmap_node node;     /* In the table's 'visits', by 'in_port'. */
	struct ovs_list port_node; /* In the port's 'visits'. */
	struct hwy_table *table;
	struct hwy_detector_port *port;
	ofp_port_t in_port; /* Of the look-up: a resubmit may name another one. */
	int priority;       /* Of the rule found; a lower one changes nothing.  -1: none. */
	uint64_t value[HWY_KNOWN_UNITS];
	uint64_t mask[HWY_KNOWN_UNITS];
};

struct hwy_detector_port {
	struct hmap_node node; /* In the detector's 'ports'. */
	ofp_port_t number;
	char *name;
	unsigned int flags;
	bool present;                 /* False: deleted, and not reported yet. */
	bool stale;                   /* 'verdict' has to be found anew. */
	bool pending;                 /* In the detector's 'pending'. */
	struct ovs_list pending_node; /* In the detector's 'pending'. */
	struct hwy_verdict verdict;
	struct hwy_verdict reported; /* At the last run. */

	/* What 'verdict' rests on. */
	struct ovs_list visits;
	uint32_t *groups; /* Asked for, whether they exist or not. */
	size_t n_groups, allocated_groups;
};

struct hwy_group {
	struct hmap_node node; /* In the detector's 'groups'. */
	struct ofputil_group_desc desc;
};

struct hwy_detector {
	struct hwy_table tables[HWY_INTERNAL_TABLE_ID + 1];
	struct hmap rules; /* By table, priority and match. */
	struct hmap groups;
	struct hmap ports;
	struct ovs_list pending;    /* Ports that the next run looks at. */
	struct hwy_verdict unknown; /* Of a port that does not exist. */
};

struct hwy_detector_port *hwy_detector_port_find(const struct hwy_detector *detector,
						 ofp_port_t port);
struct hwy_group *hwy_group_find(const struct hwy_detector *detector, uint32_t group_id);

void hwy_rule_unref(struct hwy_rule *rule);

/* Drops what 'verdict' holds; it is then as if memset to 0. */
void hwy_verdict_uninit(struct hwy_verdict *verdict);

/* Finds 'port->verdict', and what it rests on, anew. */
void hwy_walk(struct hwy_detector *detector, struct hwy_detector_port *port);

/* Forgets what the verdict rests on. */
void hwy_walk_forget(struct hwy_detector_port *port);

#endif
