/* SPDX-License-Identifier: BSD-3-Clause */
#include <config.h>

#include "index.h"

#include <string.h>

#include "hash.h"
#include "packets.h"
#include "util.h"

/* If a tuple looks at bits that a walk does not know, all its values have to be tried. */
#define MAX_TRIES 64

BUILD_ASSERT_DECL(HWY_KNOWN_UNITS <= UINT8_MAX);
BUILD_ASSERT_DECL(offsetof(struct flow, dl_dst) % sizeof(uint64_t) == 0);
/* Whoever builds this with another struct flow has to look whether hwy_known_init() still names
 * everything that comes before the Ethernet header. */
BUILD_ASSERT_DECL(FLOW_WC_SEQ == 42);

static const uint64_t *
units(const struct flow *flow)
{
	return (const uint64_t *)flow;
}

void
hwy_known_init(struct hwy_known *known, ofp_port_t in_port)
{
	memset(known, 0, sizeof(*known));
	memset(&known->mask, 0xff, offsetof(struct flow, dl_dst));
	/* Tunnel options are matched through a table of the switch that is not known here. */
	memset(&known->mask.tunnel.metadata, 0, sizeof(known->mask.tunnel.metadata));
	known->value.in_port.ofp_port = in_port;
	known->value.packet_type = htonl(PT_ETH);
	known->value.actset_output = OFPP_UNSET;
}

/* --- tuples and buckets ----------------------------------------------------------------- */

void
hwy_table_init(struct hwy_table *table)
{
	ovs_list_init(&table->tuples);
	hmap_init(&table->visits);
}

void
hwy_table_destroy(struct hwy_table *table)
{
	ovs_assert(ovs_list_is_empty(&table->tuples));
	hmap_destroy(&table->visits);
}

static struct hwy_tuple *
find_tuple(struct hwy_table *table, const struct match *match)
{
	const uint64_t *mask = units(&match->wc.masks);
	struct hwy_tuple *tuple;

	LIST_FOR_EACH (tuple, node, &table->tuples) {
		unsigned int at = 0;
		unsigned int i;

		for (i = 0; i < HWY_KNOWN_UNITS; i++) {
			bool has = at < tuple->n_units && tuple->units[at] == i;

			if (mask[i] != (has ? tuple->masks[at] : 0)) {
				break;
			}
			at += has;
		}
		if (i == HWY_KNOWN_UNITS) {
			return tuple;
		}
	}
	tuple = xzalloc(sizeof(*tuple));
	for (unsigned int i = 0; i < HWY_KNOWN_UNITS; i++) {
		if (mask[i]) {
			tuple->units[tuple->n_units] = (uint8_t)i;
			tuple->masks[tuple->n_units++] = mask[i];
		}
	}
	hmap_init(&tuple->buckets);
	ovs_list_push_back(&table->tuples, &tuple->node);
	return tuple;
}

/* The bucket of 'tuple' with the values of 'flow', or null; sets '*hash'. */
static struct hwy_bucket *
find_bucket(const struct hwy_tuple *tuple, const struct flow *flow, uint32_t *hash)
{
	const uint64_t *value = units(flow);
	struct hwy_bucket *bucket;
	uint32_t h = 0;

	for (unsigned int i = 0; i < tuple->n_units; i++) {
		h = hash_add64(h, value[tuple->units[i]] & tuple->masks[i]);
	}
	*hash = hash_finish(h, tuple->n_units);
	HMAP_FOR_EACH_WITH_HASH (bucket, node, *hash, &tuple->buckets) {
		unsigned int i = 0;

		while (i < tuple->n_units &&
		       bucket->values[i] == (value[tuple->units[i]] & tuple->masks[i])) {
			i++;
		}
		if (i == tuple->n_units) {
			return bucket;
		}
	}
	return NULL;
}

void
hwy_table_insert(struct hwy_table *table, struct hwy_rule *rule, const struct match *match)
{
	const uint64_t *mask = units(&match->wc.masks);
	struct hwy_tuple *tuple = find_tuple(table, match);
	uint32_t hash;
	struct hwy_bucket *bucket = find_bucket(tuple, &match->flow, &hash);

	if (!bucket) {
		bucket = xmalloc(sizeof(*bucket) + tuple->n_units * sizeof(uint64_t));
		bucket->tuple = tuple;
		heap_init(&bucket->rules);
		for (unsigned int i = 0; i < tuple->n_units; i++) {
			bucket->values[i] = units(&match->flow)[tuple->units[i]] & tuple->masks[i];
		}
		hmap_insert(&tuple->buckets, &bucket->node, hash);
	}
	rule->narrow = false;
	for (unsigned int i = HWY_KNOWN_UNITS; i < FLOW_U64S; i++) {
		rule->narrow |= mask[i] != 0;
	}
	rule->bucket = bucket;
	heap_insert(&bucket->rules, &rule->heap_node, (uint64_t)rule->priority);
}

void
hwy_table_remove(struct hwy_rule *rule)
{
	struct hwy_bucket *bucket = rule->bucket;
	struct hwy_tuple *tuple = bucket->tuple;

	rule->bucket = NULL;
	heap_remove(&bucket->rules, &rule->heap_node);
	if (!heap_is_empty(&bucket->rules)) {
		return;
	}
	hmap_remove(&tuple->buckets, &bucket->node);
	heap_destroy(&bucket->rules);
	free(bucket);
	if (hmap_is_empty(&tuple->buckets)) {
		ovs_list_remove(&tuple->node);
		hmap_destroy(&tuple->buckets);
		free(tuple);
	}
}

/* --- look-up ---------------------------------------------------------------------------- */

static struct hwy_rule *
in_heap(const struct heap *heap, size_t idx)
{
	return CONTAINER_OF(heap->array[idx], struct hwy_rule, heap_node);
}

/* Takes note of the best rules of 'bucket'; 'all': its metadata are known to match. */
static void
consider(const struct hwy_bucket *bucket, bool all, struct hwy_found *found)
{
	const struct heap *heap = &bucket->rules;
	struct hwy_rule *top = in_heap(heap, 1);

	if (found->rule && top->priority < found->rule->priority) {
		return;
	}
	if (found->rule && top->priority == found->rule->priority) {
		found->other = top;
		return;
	}
	found->rule = top;
	found->other = NULL;
	found->all = all && !top->narrow;
	/* The second best of a heap is a child of its root. */
	for (size_t child = 2; child <= 3 && child <= heap->n; child++) {
		if (in_heap(heap, child)->priority == top->priority) {
			found->other = in_heap(heap, child);
		}
	}
}

static bool
bucket_can_match(const struct hwy_bucket *bucket, const uint64_t *value, const uint64_t *mask)
{
	const struct hwy_tuple *tuple = bucket->tuple;

	for (unsigned int i = 0; i < tuple->n_units; i++) {
		unsigned int unit = tuple->units[i];

		if ((bucket->values[i] ^ value[unit]) & tuple->masks[i] & mask[unit]) {
			return false;
		}
	}
	return true;
}

void
hwy_table_lookup(const struct hwy_table *table, const struct hwy_known *known,
		 struct hwy_found *found)
{
	const uint64_t *value = units(&known->value);
	const uint64_t *mask = units(&known->mask);
	const struct hwy_tuple *tuple;

	memset(found, 0, sizeof(*found));
	LIST_FOR_EACH (tuple, node, &table->tuples) {
		const struct hwy_bucket *bucket;
		uint64_t unknown = 0;
		uint32_t hash;

		for (unsigned int i = 0; i < tuple->n_units; i++) {
			unknown |= tuple->masks[i] & ~mask[tuple->units[i]];
		}
		if (!unknown) {
			bucket = find_bucket(tuple, &known->value, &hash);
			if (bucket) {
				consider(bucket, true, found);
			}
		} else if (hmap_count(&tuple->buckets) > MAX_TRIES) {
			found->too_many = true;
			return;
		} else {
			HMAP_FOR_EACH (bucket, node, &tuple->buckets) {
				if (bucket_can_match(bucket, value, mask)) {
					consider(bucket, false, found);
				}
			}
		}
	}
}

bool
hwy_rule_can_match(const struct hwy_rule *rule, const uint64_t *known_value,
		   const uint64_t *known_mask)
{
	return bucket_can_match(rule->bucket, known_value, known_mask);
}

bool
hwy_rule_in_port(const struct hwy_rule *rule, ofp_port_t *port)
{
	ofp_port_t mask;

	mask = MINIFLOW_GET_TYPE(&rule->match.mask->masks, ofp_port_t, in_port.ofp_port);
	*port = MINIFLOW_GET_TYPE(rule->match.flow, ofp_port_t, in_port.ofp_port);
	return ofp_to_u16(mask) == UINT16_MAX;
}
