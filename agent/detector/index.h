/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One OpenFlow table, indexed by what a walk knows.
 *
 * A walk knows the values of metadata fields (in_port, metadata, registers, ...) and nothing of
 * the packet.  So rules are sorted first by *which bits of the metadata they look at* (a group
 * of tuples, as in tuple space search: Srinivasan, Suri, Varghese, SIGCOMM 1999), then by the
 * values of these bits (a hash table per tuple), and rules that agree in both, and so differ
 * only in packet fields, are in a heap by priority.
 *
 *   look-up:          one hash look-up per tuple of the table; the best rule is on top of its heap
 *   insert, remove:   two hash operations, and O(log n) in the heap
 *
 * A pipeline has few tuples (a handful; OVN's, some dozens), whatever the number of rules.
 */
#ifndef HWY_DETECTOR_INDEX_H
#define HWY_DETECTOR_INDEX_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow.h"
#include "heap.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/match.h"
#include "openvswitch/ofp-actions.h"

/* The metadata part of struct flow, which ends at the Ethernet header, in 64-bit units. */
#define HWY_KNOWN_UNITS (offsetof(struct flow, dl_dst) / sizeof(uint64_t))

/* What is certain of a packet: the bits of 'mask' have the values of 'value'.  Of the packet's
 * own headers no bit is ever in 'mask'. */
struct hwy_known {
	struct flow value;
	struct flow mask;
};

/* One rule.  Counted, because verdicts name rules that may be deleted meanwhile. */
struct hwy_rule {
	struct hmap_node node;      /* In the detector's 'rules'. */
	struct heap_node heap_node; /* In 'bucket'. */
	struct hwy_bucket *bucket;  /* Null once deleted. */
	struct minimatch match;
	struct ofpact *ofpacts;
	ovs_be64 cookie;
	uint32_t ofpacts_len;
	int priority;
	unsigned int n_refs;
	uint8_t table_id;
	bool narrow; /* Looks at packet headers, or at metadata that a walk never knows. */
};

/* Rules of one tuple with the same values. */
struct hwy_bucket {
	struct hmap_node node; /* In 'tuple->buckets'. */
	struct hwy_tuple *tuple;
	struct heap rules; /* By priority. */
	uint64_t values[]; /* 'tuple->n_units' of them. */
};

/* Which metadata bits the rules in it look at. */
struct hwy_tuple {
	struct ovs_list node; /* In the table's 'tuples'. */
	struct hmap buckets;
	unsigned int n_units;
	uint8_t units[HWY_KNOWN_UNITS];  /* Indexes of the units that are not 0... */
	uint64_t masks[HWY_KNOWN_UNITS]; /* ...and these units. */
};

struct hwy_table {
	struct ovs_list tuples;
	struct hmap visits; /* Look-ups of walks, by in_port: walk.c. */
};

/* What a look-up found. */
struct hwy_found {
	struct hwy_rule *rule;  /* Highest priority that can match; null: none can. */
	struct hwy_rule *other; /* Another one of the same priority, or null. */
	bool all;               /* 'rule' matches every packet. */
	bool too_many;          /* Gave up: too many rules on values that are not known. */
};

void hwy_table_init(struct hwy_table *table);

/* All rules must have been removed. */
void hwy_table_destroy(struct hwy_table *table);

/* Puts 'rule' (priority set) where 'match' belongs; sets 'bucket' and 'narrow'. */
void hwy_table_insert(struct hwy_table *table, struct hwy_rule *rule, const struct match *match);

/* Takes 'rule' out. */
void hwy_table_remove(struct hwy_rule *rule);

void hwy_table_lookup(const struct hwy_table *table, const struct hwy_known *known,
		      struct hwy_found *found);

/* False if 'rule', which is in a table, cannot match a packet of which this is known. */
bool hwy_rule_can_match(const struct hwy_rule *rule, const uint64_t *known_value,
			const uint64_t *known_mask);

/* True if only packets with one certain in_port can match 'rule'; then sets '*port'. */
bool hwy_rule_in_port(const struct hwy_rule *rule, ofp_port_t *port);

/* A packet as it enters the pipeline at 'in_port', a plain Ethernet port. */
void hwy_known_init(struct hwy_known *known, ofp_port_t in_port);

#endif
