/* SPDX-License-Identifier: BSD-3-Clause */
/* What the bursts of a guest end need of its slow side.  All of it is called by the one
 * thread that owns the queue. */
#ifndef HIGHWAY_PMD_GUEST_H
#define HIGHWAY_PMD_GUEST_H

#include "highway.h"
#include "realm.h"

/* Is the port still this process's?  A virtual machine that was paused may go on in the middle of
 * its poll loop, before its control thread looks. */
static inline bool
hwy_guest_has(const struct hwy_dev *dev, bool losable)
{
	return likely(!losable) || hwy_realm_holds(dev->region, dev->index);
}

/*
 * Takes the port's routes, whose route_seq was 'seq', over.  A class that used a link and
 * no longer has it leaves it now; one that has a new route waits to join.  Everything is
 * published.  If the host is changing them, nothing happens, and the next burst tries
 * again.
 */
void hwy_guest_routes(struct hwy_tx_queue *q, uint32_t seq);

/* Lets waiting classes join where rule 2 allows it: one gate for all of a link. */
void hwy_guest_join(struct hwy_tx_queue *q);

/* All classes leave the link and wait to join again: its receiver is not there. */
void hwy_guest_leave(struct hwy_tx_queue *q, struct hwy_path *path);

/* Takes the list of links that end here over: those whose ring this queue polls, and all
 * of them for rule 3. */
void hwy_guest_in_links(struct hwy_rx_queue *q);

/*
 * The other VNF of a link region does as it likes, and may do nothing.  A link that costs this
 * one more than its own packets is given up, after hwy_guest_patience_ms: the host is told to
 * close it (struct hwy_attachments, 'broken').
 *
 * hwy_guest_held(): packets wait in a down ring, and rule 3 lets none of them pass.
 * hwy_guest_stalled(): a burst was cut short at the link 'path'.
 */
extern unsigned int hwy_guest_patience_ms;
void hwy_guest_held(struct hwy_rx_queue *q, const struct hwy_inlet *down, const uint32_t *stops);
void hwy_guest_stalled(struct hwy_tx_queue *q, struct hwy_path *path);

/* What earlier bursts took counts as delivered. */
void hwy_guest_publish(struct hwy_rx_queue *q);

static inline uint32_t
hwy_class_hash(uint64_t key)
{
	return (uint32_t)((key * 0x9e3779b97f4a7c15ULL) >> 57) & (HWY_CLASS_HASH - 1);
}

static inline struct hwy_class_entry *
hwy_class_find(struct hwy_tx_queue *q, uint64_t key)
{
	for (uint32_t i = hwy_class_hash(key); q->hash[i] != 0;
	     i = (i + 1) & (HWY_CLASS_HASH - 1)) {
		if (q->classes[q->hash[i] - 1].key == key)
			return &q->classes[q->hash[i] - 1];
	}
	return NULL;
}

#endif /* HIGHWAY_PMD_GUEST_H */
