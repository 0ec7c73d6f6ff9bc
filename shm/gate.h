/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Switching a class of packets between the switch and a link without loss,
 * duplication or reordering: the steps of the three parties, on the gate words of a
 * link's ring.  docs/internals/switch-over.md tells the protocol and why it is right,
 * tests/model/ checks it; the rules named here are the ones named there.
 *
 * Every step is taken by the one thread that owns the queue concerned.
 */
#ifndef HIGHWAY_SHM_GATE_H
#define HIGHWAY_SHM_GATE_H

#include "ring.h"

extern uint32_t hwy_gate_answering; /* lock.c: a spin lock of this process */

/*
 * X: may a class join the link now (rule 2)?  Only if Y has passed the previous gate
 * and has drained what the last leave told it to.  The acquire pairs with Y's release
 * of pass_epoch and delivered.
 */
static inline bool
hwy_gate_may_join(const struct hwy_ring *link)
{
	return hwy_load_acquire(&link->pass_epoch) == link->gate_epoch &&
	       !hwy_before(hwy_load_acquire(&link->delivered), link->stop);
}

/*
 * X: a class joins the link.  'link' and 'up' must have published all they hold.
 * What X writes to the link from now on waits until the host end has forwarded
 * everything that X has written to 'up' so far.  Epoch before bell, both after the
 * words they announce; the next publication of prod on either ring carries them.
 */
static inline void
hwy_gate_join(const struct hwy_producer *link, const struct hwy_producer *up)
{
	struct hwy_ring *ring = link->at.ring;

	hwy_store(&ring->hold_from, link->prod);
	hwy_store(&ring->gate, up->prod);
	hwy_store_release(&ring->gate_epoch, ring->gate_epoch + 1);
	hwy_store_release(&up->at.ring->gate_bell, up->at.ring->gate_bell + 1);
}

/* X: a class leaves the link.  'link' must have published all it holds.  Whatever X
 * writes to its up ring after this is delivered after what is in the link now. */
static inline void
hwy_gate_leave(struct hwy_producer *link)
{
	link->stop = link->prod;
	hwy_store_release(&link->at.ring->stop, link->stop);
}

/*
 * X: now and then, while it stays on the link and has just published.  An index means
 * something only for half of the numbers there are; 'stop' is moved along before it is
 * left behind, to what Y is known to have consumed.
 */
static inline void
hwy_gate_keep_up(struct hwy_producer *link)
{
	if (__builtin_expect(link->prod - link->stop > 1u << 30, 0)) {
		link->stop = link->cons_seen;
		hwy_store_release(&link->at.ring->stop, link->stop);
	}
}

/*
 * Host end, at the beginning of a receive call on X's up ring, which is consumed, and
 * forwarded, up to 'up_cons'.  If the link has an unanswered gate that is reached,
 * answers it with the down rings' present producer indexes.  Returns true if no gate
 * is left unanswered; otherwise the call must not take entries from '*limit' on,
 * which is the gate (rule 1).
 *
 * The caller has loaded the up ring's prod (acquire) before.
 */
static inline bool
hwy_gate_answer(struct hwy_ring *link, uint32_t up_cons, struct hwy_ring *const *down,
		unsigned int n_down, uint32_t *limit)
{
	uint32_t epoch = hwy_load_acquire(&link->gate_epoch);
	uint32_t gate = hwy_load(&link->gate);

	if (epoch == hwy_load(&link->open_epoch))
		return true;
	if (hwy_before(up_cons, gate)) {
		*limit = gate;
		return false;
	}
	/* One answer at a time in this process: two that cross on two down rings of one
	 * receiver would wait for each other for ever. */
	while (__atomic_exchange_n(&hwy_gate_answering, 1, __ATOMIC_SEQ_CST) != 0)
		continue;
	for (unsigned int i = 0; i < n_down; i++)
		hwy_store(&link->opening[i], hwy_load_acquire(&down[i]->prod));
	hwy_store_release(&link->open_epoch, epoch);
	hwy_store_release(&hwy_gate_answering, 0);
	return true;
}

/*
 * Y: how far may the link be read?  'link' has been refreshed: prod first, then the
 * epoch here.  'down_cons' are the 'delivered' words of all Y's down rings.  May mark
 * the gate as passed.
 */
static inline uint32_t
hwy_gate_link_limit(struct hwy_consumer *link, const uint32_t *const *down_cons,
		    unsigned int n_down)
{
	struct hwy_ring *ring = link->at.ring;
	uint32_t epoch = hwy_load_acquire(&ring->gate_epoch);
	uint32_t hold;

	if (__builtin_expect(ring->pass_epoch == epoch, 1))
		return link->prod_seen;
	hold = hwy_load(&ring->hold_from);
	if (hwy_before(link->cons, hold))
		return hwy_nearer(link->cons, hold, link->prod_seen);
	if (hwy_load_acquire(&ring->open_epoch) != epoch)
		return link->cons;
	for (unsigned int i = 0; i < n_down; i++) {
		if (hwy_before(hwy_load_acquire(down_cons[i]), hwy_load(&ring->opening[i])))
			return link->cons;
	}
	hwy_store_release(&ring->pass_epoch, epoch);
	return link->prod_seen;
}

/*
 * Y: how far may down ring 'd', which is consumed up to 'cons', be read as far as
 * this link is concerned (rule 3)?  'limit' is the index allowed so far, 'stop' was
 * read after the down ring's prod, 'link_cons' is what the link has delivered.
 */
static inline uint32_t
hwy_gate_down_limit(const struct hwy_ring *link, uint32_t link_cons, uint32_t stop, unsigned int d,
		    uint32_t cons, uint32_t limit)
{
	uint32_t epoch, opening;

	if (__builtin_expect(!hwy_before(link_cons, stop), 1))
		return limit;
	epoch = hwy_load_acquire(&link->gate_epoch);
	if (hwy_load_acquire(&link->pass_epoch) == epoch)
		return cons; /* first the link, to 'stop' */
	if (hwy_load_acquire(&link->open_epoch) != epoch)
		return limit; /* all of it was sent before the gate */
	/* Once: in a link region the peer could change it between the check and its use. */
	opening = hwy_load(&link->opening[d]);
	if (hwy_before(opening, cons))
		return cons;
	return hwy_nearer(cons, opening, limit);
}

#endif /* HIGHWAY_SHM_GATE_H */
