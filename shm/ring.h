/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two sides of a ring, as one process sees them.
 *
 * The indexes follow the classic single-producer single-consumer scheme with cached
 * copies of the other side's index (as in FastForward, Giacomoni et al., PPoPP 2008,
 * and rte_ring): a side reads the other's cache line only when its cached copy says
 * that there is nothing left to do.
 *
 * Memory order.  Each release names the acquire that it pairs with:
 *   R1  producer's store of prod  -> consumer's load of prod: descriptors, inline
 *       bytes, chunk contents and the gate words written before it are visible.
 *   R2  consumer's store of cons  -> producer's load of cons: the slots are no longer
 *       read, and the owner bytes of the chunks taken are set.
 * Everything else is private to one side and plain.
 *
 * Neither side trusts the other: indexes more than ring_size apart, and descriptors
 * that point outside their chunk, are reported to the caller and never followed.
 */
#ifndef HIGHWAY_SHM_RING_H
#define HIGHWAY_SHM_RING_H

#include <stdatomic.h>
#include <stdbool.h>

#include "highway/layout.h"

/* Words in shared memory are plain integers in the layout; these are the only ways
 * in which code touches the ones that the other side may be touching too. */
#define hwy_load(p)             __atomic_load_n((p), __ATOMIC_RELAXED)
#define hwy_load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define hwy_store(p, v)         __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define hwy_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
/* A counter with a single writer: no read-modify-write instruction is needed. */
#define hwy_count(p, n) hwy_store((p), *(p) + (n))

/* True if free-running index 'a' lies before 'b', wrap-around included. */
static inline bool
hwy_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline uint32_t
hwy_earlier(uint32_t a, uint32_t b)
{
	return hwy_before(a, b) ? a : b;
}

/* The one of 'a' and 'b' that comes first after 'from'.  Whatever 'a' is, the result is not
 * beyond 'b', which hwy_earlier() cannot promise of a number that somebody else has written. */
static inline uint32_t
hwy_nearer(uint32_t from, uint32_t a, uint32_t b)
{
	return a - from < b - from ? a : b;
}

/* Where a ring lies in this process.  Filled in by hwy_region_ring(). */
struct hwy_ring_at {
	struct hwy_ring *ring;
	uint64_t *desc; /* [mask + 1] */
	uint8_t *data;  /* [mask + 1][HWY_SLOT] */
	uint32_t mask;  /* ring_size - 1 */
};

struct hwy_mapping; /* attach.h */

struct hwy_producer {
	struct hwy_ring_at at;
	uint32_t prod;           /* next entry to write; ahead of ring->prod until published */
	uint32_t cons_seen;      /* lower bound of the consumer's index */
	uint32_t stop;           /* ring->stop: its line is the consumer's most of the time */
	struct hwy_mapping *far; /* the link region that it is in, NULL: the port's own region */
	/* So many entries before 'prod', at most all, hold one small packet of 'length' bytes each.
	 */
	uint32_t alike;
	uint32_t length;
	/* Is the receiver far away, so that packets are written past the caches? */
	bool past;
	uint8_t far_looks;
	uint32_t looks;
};

struct hwy_consumer {
	struct hwy_ring_at at;
	uint32_t cons;           /* next entry to read; ahead of ring->cons until published */
	uint32_t prod_seen;      /* what the producer has published at least */
	uint32_t allowed;        /* link: entries before this one are held by no gate */
	struct hwy_mapping *far; /* as in hwy_producer */
};

/* Takes over the producer's side from whoever had it before. */
static inline void
hwy_producer_init(struct hwy_producer *p, struct hwy_ring_at at)
{
	p->at = at;
	p->prod = hwy_load(&at.ring->prod);
	p->cons_seen = hwy_load_acquire(&at.ring->cons);
	p->stop = hwy_load(&at.ring->stop);
	p->far = NULL;
	p->alike = 0;
	p->length = 0;
	p->past = false;
	p->far_looks = 0;
	p->looks = 0;
}

static inline void
hwy_consumer_init(struct hwy_consumer *c, struct hwy_ring_at at)
{
	c->at = at;
	c->cons = hwy_load(&at.ring->cons);
	c->prod_seen = c->cons;
	c->allowed = c->cons;
	c->far = NULL;
}

/* Free entries, at most 'wanted' of which are looked for.  A consumer index that
 * makes no sense reads as a full ring. */
static inline uint32_t
hwy_producer_room(struct hwy_producer *p, uint32_t wanted)
{
	uint32_t size = p->at.mask + 1;
	uint32_t used = p->prod - p->cons_seen;

	if (__builtin_expect(size - used < wanted || used > size, 0)) {
		p->cons_seen = hwy_load_acquire(&p->at.ring->cons); /* R2 */
		used = p->prod - p->cons_seen;
		if (used > size)
			return 0;
	}
	return size - used;
}

static inline void
hwy_producer_publish(struct hwy_producer *p)
{
	hwy_store_release(&p->at.ring->prod, p->prod); /* R1 */
}

/* Loads the producer's index.  Returns false if it makes no sense; the ring then
 * reads as empty. */
static inline bool
hwy_consumer_refresh(struct hwy_consumer *c)
{
	uint32_t prod = hwy_load_acquire(&c->at.ring->prod); /* R1 */

	if (__builtin_expect(prod - c->cons > c->at.mask + 1, 0)) {
		c->prod_seen = c->cons;
		return false;
	}
	c->prod_seen = prod;
	return true;
}

/* The slots are free again; whether the application has seen what was in them is
 * another matter: see hwy_consumer_publish(). */
static inline void
hwy_consumer_release(struct hwy_consumer *c)
{
	hwy_store_release(&c->at.ring->cons, c->cons); /* R2 */
}

/* The slots are free, and what was in them counts as delivered: the gates go by that. */
static inline void
hwy_consumer_publish(struct hwy_consumer *c)
{
	hwy_consumer_release(c);
	hwy_store_release(&c->at.ring->delivered, c->cons);
}

/* Slot of entry 'index': HWY_SLOT bytes, aligned to as many. */
static inline uint8_t *
hwy_ring_slot(const struct hwy_ring_at *at, uint32_t index)
{
	return at->data + (size_t)(index & at->mask) * HWY_SLOT;
}

/* Entries that an inline packet of 'length' bytes takes. */
static inline uint32_t
hwy_inline_slots(uint32_t length)
{
	return length <= HWY_SLOT ? 1 : (length + HWY_SLOT - 1) / HWY_SLOT;
}

#endif /* HIGHWAY_SHM_RING_H */
