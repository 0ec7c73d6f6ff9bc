/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Moving packets between mbufs and rings.
 *
 *   up to HWY_INLINE_MAX bytes copied into the ring's own slots: two cache lines cost
 *                             less than the bookkeeping of a buffer
 *   an mbuf that is the sole owner of a chunk of this region
 *                             passed on by index, nothing copied
 *   anything else             copied once into a fresh chunk, or several (HWY_DESC_MORE)
 *
 * On receive a chunk is attached to an mbuf of the application's own pool as external
 * buffer; its shared info lies in this process's memory, as it holds pointers.
 */
#ifndef HIGHWAY_PMD_MBUF_H
#define HIGHWAY_PMD_MBUF_H

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "copy.h"
#include "highway.h"

#define HWY_FREE_BATCH 64
#define HWY_MAX_PARTS  16 /* descriptors of one packet */

/* mbufs to be given back to the pool they all come from. */
struct hwy_free_list {
	struct rte_mempool *pool;
	unsigned int n;
	struct rte_mbuf *mbufs[HWY_FREE_BATCH];
};

static inline void
hwy_free_flush(struct hwy_free_list *list)
{
	if (list->n > 0)
		rte_mempool_put_bulk(list->pool, (void **)list->mbufs, list->n);
	list->n = 0;
}

/* 'm' is unused: one reference, no chain, no attachment. */
static inline void
hwy_free_raw(struct hwy_free_list *list, struct rte_mbuf *m)
{
	if (unlikely(list->n == HWY_FREE_BATCH || m->pool != list->pool)) {
		hwy_free_flush(list);
		list->pool = m->pool;
	}
	list->mbufs[list->n++] = m;
}

/*
 * Is 'm', the head of a packet, a buffer of its pool and nothing more: one reference, no chain, no
 * attachment?  Both counts are looked at in one load.  'next' is not: it lies in the mbuf's second
 * cache line, and is NULL where there is one segment (rte_mbuf_core.h).
 */
static __rte_always_inline bool
hwy_mbuf_plain(const struct rte_mbuf *m)
{
	uint32_t counts;

	static_assert(offsetof(struct rte_mbuf, nb_segs) == offsetof(struct rte_mbuf, refcnt) + 2,
		      "mbuf fields moved");
	static_assert(RTE_MBUF_F_EXTERNAL == UINT64_C(1) << 61 &&
			      RTE_MBUF_F_INDIRECT == UINT64_C(1) << 62,
		      "mbuf flags moved");
	memcpy(&counts, &m->refcnt, sizeof(counts));
#if RTE_BYTE_ORDER == RTE_LITTLE_ENDIAN
	/* What does not fit an instruction is looked for in a byte of its own. */
	return counts == 0x00010001u && (((const uint8_t *)&m->ol_flags)[7] & 0x60) == 0;
#else
	return counts == 0x00010001u && RTE_MBUF_DIRECT(m);
#endif
}

static inline void
hwy_free(struct hwy_free_list *list, struct rte_mbuf *m)
{
	if (likely(hwy_mbuf_plain(m)))
		hwy_free_raw(list, m);
	else
		rte_pktmbuf_free(m);
}

/* mbufs 'from' to 'to' of a burst, all plain and of one pool, go back to it. */
static inline void
hwy_free_run(struct rte_mempool *pool, struct rte_mbuf **pkts, uint16_t from, uint16_t to)
{
	if (to > from)
		rte_mempool_put_bulk(pool, (void **)&pkts[from], (unsigned int)(to - from));
}

/*
 * How many entries a sender, and a receiver, asks for ahead of the one it is at.  One by
 * one, between packets: a burst's worth at a time would wait for the processor's fill buffers.
 */
#define HWY_AHEAD      32
#define HWY_LOOKS      16 /* of so many looks at the receiver's index, one is timed */
#define HWY_LINE_DESCS (HWY_CACHE_LINE / 8)

/*
 * Has the lines of an entry that will be written soon made this core's own.  The receiver
 * has them from a lap ago; stores become visible in order, so each that has to fetch its
 * line first holds up all later ones (see docs/internals/performance.md).
 */
static __rte_always_inline void
hwy_ahead_to_write_desc(const struct hwy_ring_at *at, uint32_t index)
{
	if (index % HWY_LINE_DESCS == 0)
		hwy_prefetch_write(&at->desc[index & at->mask]);
}

static __rte_always_inline void
hwy_ahead_to_write(const struct hwy_ring_at *at, uint32_t index)
{
	hwy_prefetch_write(hwy_ring_slot(at, index));
	hwy_ahead_to_write_desc(at, index);
}

/* Index of the chunk that 'm' owns alone, or HWY_CHUNK_INLINE. */
static inline uint32_t
hwy_mbuf_chunk(const struct hwy_domain *domain, const struct rte_mbuf *m)
{
	size_t index;

	if (!RTE_MBUF_HAS_EXTBUF(m) || m->shinfo < domain->shinfo)
		return HWY_CHUNK_INLINE;
	index = (size_t)(m->shinfo - domain->shinfo);
	if (index >= domain->region->geo.chunk_count || rte_mbuf_refcnt_read(m) != 1 ||
	    rte_mbuf_ext_refcnt_read(m->shinfo) != 1 ||
	    m->buf_addr != hwy_region_chunk(domain->region, (uint32_t)index))
		return HWY_CHUNK_INLINE;
	return (uint32_t)index;
}

/* Takes the chunk away from 'm', which becomes a plain mbuf of its pool again. */
static inline void
hwy_mbuf_detach(struct rte_mbuf *m)
{
	const struct rte_pktmbuf_pool_private *priv = rte_mempool_get_priv(m->pool);
	size_t size = sizeof(*m) + priv->mbuf_priv_size;

	m->buf_addr = (char *)m + size;
	m->buf_iova = rte_mempool_virt2iova(m) + size;
	m->buf_len = priv->mbuf_data_room_size;
	m->ol_flags = 0;
	m->next = NULL;
	m->nb_segs = 1;
}

/* Attaches 'chunk' to the plain mbuf 'm'. */
static inline void
hwy_mbuf_attach(const struct hwy_domain *domain, struct rte_mbuf *m, uint32_t chunk,
		uint32_t offset, uint32_t length)
{
	struct rte_mbuf_ext_shared_info *info = &domain->shinfo[chunk];
	uint8_t *at = hwy_region_chunk(domain->region, chunk);

	rte_mbuf_ext_refcnt_set(info, 1);
	m->buf_addr = at;
	m->buf_iova = (rte_iova_t)(uintptr_t)at; /* see prepare_dma() */
	m->buf_len = (uint16_t)domain->region->geo.chunk_stride;
	m->shinfo = info;
	m->ol_flags = RTE_MBUF_F_EXTERNAL;
	m->data_off = (uint16_t)offset;
	m->data_len = (uint16_t)length;
}

void hwy_time_look(struct hwy_producer *out);

/* hwy_put() results below zero */
#define HWY_PUT_FULL    (-1) /* no room in the ring, or no chunk: try again later */
#define HWY_PUT_DROPPED (-2) /* can never be sent; it was freed and counted */

int hwy_put_large(struct hwy_tx_queue *q, struct hwy_producer *out, struct rte_mbuf *m,
		  uint32_t room, struct hwy_free_list *list);
uint32_t hwy_get_far(struct hwy_rx_queue *q, struct hwy_consumer *in, uint64_t desc, uint32_t avail,
		     struct rte_mbuf *head, bool *filled); /* far.c: the same of a link region */
uint32_t hwy_get_large(struct hwy_rx_queue *q, struct hwy_consumer *in, uint64_t desc,
		       uint32_t avail, struct rte_mbuf *head, bool *filled);

/*
 * Loops over packets have one running number, 8 times the packet's: pointers and descriptors
 * are 8 bytes and slots 8 times 8, so all arrays are addressed by it.  Compilers would rather
 * move one pointer along each array, half of them on the stack; so where it comes from is hidden.
 */
static __rte_always_inline size_t
hwy_next(size_t i)
{
	static_assert(HWY_SLOT == 64 && sizeof(void *) == 8, "or the arrays need numbers each");
	i += 8;
	__asm__("" : "+r"(i));
	return i;
}

/* Element 'i' / 8 of an array of 8-byte elements. */
#define HWY_AT(array, i) (*(__typeof__(&(array)[0]))((uintptr_t)(array) + (i)))

/* Does hwy_put_small() take 'm', of at most HWY_SLOT bytes? */
static __rte_always_inline bool
hwy_mbuf_small(const struct rte_mbuf *m, const struct rte_mempool *pool)
{
	return likely(m->pool == pool) && likely(hwy_mbuf_plain(m)) &&
	       likely(m->data_off + HWY_SLOT <= m->buf_len);
}

/*
 * Writes the first of 'n' packets to the ring, from entry 'prod' on, which has room for all: as
 * many as are plain mbufs of 'pool' with at most HWY_SLOT bytes each, and not beyond the ring's
 * last slot.  '*differ' is not 0 if they are not all as long as the first one.
 */
static __rte_always_inline uint16_t
hwy_put_mixed_as(const struct hwy_ring_at *at, uint32_t prod, struct rte_mbuf **pkts, uint16_t n,
		 const struct rte_mempool *pool, uint64_t *bytes, uint32_t *differ, const bool bare)
{
	const uint32_t first = prod & at->mask, ahead = (prod + HWY_AHEAD) & at->mask;
	const uint32_t as_long = pkts[0]->pkt_len;
	uint8_t *slots = at->data + (size_t)first * HWY_SLOT;
	const uint8_t *later = at->data + (size_t)ahead * HWY_SLOT;
	uint64_t *desc = &at->desc[first];
	uint64_t sum = 0;
	uint32_t other = 0;
	size_t i, end;

	end = at->mask + 1 - RTE_MAX(first, ahead);
	end = RTE_MIN(end, (size_t)n);
	for (i = RTE_ALIGN_CEIL(ahead, HWY_LINE_DESCS); i < ahead + end; i += HWY_LINE_DESCS)
		hwy_prefetch_write(&at->desc[i]);
	for (i = 0; i < end * 8; i = hwy_next(i)) {
		const struct rte_mbuf *m = HWY_AT(pkts, i);
		uint32_t length = m->pkt_len;

		if (unlikely(length > HWY_SLOT) || !hwy_mbuf_small(m, pool))
			break;
		hwy_prefetch_write(later + i * 8);
		hwy_write_slot(slots + i * 8, rte_pktmbuf_mtod(m, const uint8_t *), length, bare,
			       false);
		hwy_store(&HWY_AT(desc, i), HWY_DESC(HWY_CHUNK_INLINE, 0, 0, length));
		other |= length ^ as_long;
		sum += length;
	}
	*bytes += sum;
	*differ = other;
	return (uint16_t)(i / 8);
}

/*
 * The same of packets that all have 'length' bytes, where every descriptor of the ring says so
 * already: they are not written, so that their lines stay where both sides have them.
 */
static __rte_always_inline uint16_t
hwy_put_alike_as(const struct hwy_ring_at *at, uint32_t prod, struct rte_mbuf **pkts, uint16_t n,
		 const struct rte_mempool *pool, uint32_t length, const bool bare, const bool past)
{
	const uint32_t first = prod & at->mask, ahead = (prod + HWY_AHEAD) & at->mask;
	uint8_t *slots = at->data + (size_t)first * HWY_SLOT;
	const uint8_t *later = at->data + (size_t)ahead * HWY_SLOT;
	size_t i, end = at->mask + 1 - (past ? first : RTE_MAX(first, ahead));

	end = RTE_MIN(end, (size_t)n);
	for (i = 0; i < end * 8; i = hwy_next(i)) {
		const struct rte_mbuf *m = HWY_AT(pkts, i);

		if (unlikely(m->pkt_len != length) || !hwy_mbuf_small(m, pool))
			break;
		if (!past)
			hwy_prefetch_write(later + i * 8);
		hwy_write_slot(slots + i * 8, rte_pktmbuf_mtod(m, const uint8_t *), length, bare,
			       past);
	}
	if (past)
		hwy_past_fence();
	return (uint16_t)(i / 8);
}

/* In functions of their own, which have all registers to themselves. */
static __rte_noinline __rte_unused uint16_t
hwy_put_mixed(const struct hwy_ring_at *at, uint32_t prod, struct rte_mbuf **pkts, uint16_t n,
	      const struct rte_mempool *pool, uint64_t *bytes, uint32_t *differ)
{
	return hwy_put_mixed_as(at, prod, pkts, n, pool, bytes, differ, false);
}

static __rte_noinline __rte_unused uint16_t
hwy_put_mixed_bare(const struct hwy_ring_at *at, uint32_t prod, struct rte_mbuf **pkts, uint16_t n,
		   const struct rte_mempool *pool, uint64_t *bytes, uint32_t *differ)
{
	return hwy_put_mixed_as(at, prod, pkts, n, pool, bytes, differ, true);
}

static __rte_noinline __rte_unused uint16_t
hwy_put_alike(const struct hwy_ring_at *at, uint32_t prod, struct rte_mbuf **pkts, uint16_t n,
	      const struct rte_mempool *pool, uint32_t length)
{
	return hwy_put_alike_as(at, prod, pkts, n, pool, length, false, false);
}

static __rte_noinline __rte_unused uint16_t
hwy_put_alike_bare(const struct hwy_ring_at *at, uint32_t prod, struct rte_mbuf **pkts, uint16_t n,
		   const struct rte_mempool *pool, uint32_t length)
{
	return hwy_put_alike_as(at, prod, pkts, n, pool, length, true, false);
}

static __rte_noinline __rte_unused uint16_t
hwy_put_past(const struct hwy_ring_at *at, uint32_t prod, struct rte_mbuf **pkts, uint16_t n,
	     const struct rte_mempool *pool, uint32_t length)
{
	return hwy_put_alike_as(at, prod, pkts, n, pool, length, false, true);
}

static __rte_noinline __rte_unused uint16_t
hwy_put_past_bare(const struct hwy_ring_at *at, uint32_t prod, struct rte_mbuf **pkts, uint16_t n,
		  const struct rte_mempool *pool, uint32_t length)
{
	return hwy_put_alike_as(at, prod, pkts, n, pool, length, true, true);
}

/*
 * Writes small packets by the one of these functions that fits.  Nearly all small packets come this
 * way, so it does nothing but what all of them need.
 */
static __rte_always_inline uint16_t
hwy_put_small(struct hwy_producer *out, uint32_t prod, struct rte_mbuf **pkts, uint16_t n,
	      const struct rte_mempool *pool, uint64_t *bytes, const bool bare)
{
	const struct hwy_ring_at *at = &out->at;
	uint32_t length = pkts[0]->pkt_len, differ;
	uint16_t some;

	if (likely(out->alike > at->mask && out->length == length)) {
		if (out->past)
			some = bare ? hwy_put_past_bare(at, prod, pkts, n, pool, length)
				    : hwy_put_past(at, prod, pkts, n, pool, length);
		else
			some = bare ? hwy_put_alike_bare(at, prod, pkts, n, pool, length)
				    : hwy_put_alike(at, prod, pkts, n, pool, length);
		*bytes += (uint64_t)some * length;
		return some;
	}
	some = bare ? hwy_put_mixed_bare(at, prod, pkts, n, pool, bytes, &differ)
		    : hwy_put_mixed(at, prod, pkts, n, pool, bytes, &differ);
	if (differ != 0 || out->length != length)
		out->alike = 0;
	if (differ == 0)
		out->alike = RTE_MIN(out->alike + some, at->mask + 1);
	out->length = length;
	return some;
}

#define HWY_CHUNKS_AHEAD 4 /* before a chunk's turn, its first lines are asked for */
#define HWY_LINES_AHEAD  8 /* of a chunk that is being written */

/*
 * Makes ready what will be written soon: the lines of a chunk that the last receiver has
 * read in most cases, which are the first two, and those of descriptors.
 */
static inline void
hwy_chunks_ahead(const struct hwy_region *region, const struct hwy_pool *pool,
		 const struct hwy_ring_at *at, uint32_t prod)
{
	if (pool->free >= HWY_CHUNKS_AHEAD) {
		const uint8_t *next =
			hwy_region_chunk(region, pool->cache[pool->free - HWY_CHUNKS_AHEAD]) +
			HWY_CHUNK_HEADROOM;

		hwy_prefetch_write(next);
		hwy_prefetch_write(next + HWY_CACHE_LINE);
	}
	hwy_ahead_to_write_desc(at, prod + HWY_AHEAD);
}

/* Is 'm', a plain mbuf, one that hwy_put_copied() takes: in one chunk, and whole slots may be read?
 */
static __rte_always_inline bool
hwy_mbuf_copies(const struct hwy_tx_queue *q, const struct hwy_region *region,
		const struct rte_mbuf *m, uint32_t length)
{
	return length > HWY_INLINE_MAX && length <= q->dev->max_frame &&
	       length <= region->geo.chunk_stride - HWY_CHUNK_HEADROOM &&
	       m->data_off + RTE_ALIGN_CEIL(length, HWY_SLOT) <= m->buf_len;
}

/*
 * Copies the packet of 'm' into a fresh chunk and writes entry 'prod'.  False if there is no
 * chunk.  Nothing but the packet gets into the chunk.  Compiled for each width of vectors, as the
 * copy is most of it.
 */
static __rte_noinline __rte_unused bool
hwy_put_copied(struct hwy_pool *pool, const struct hwy_region *region, const struct hwy_ring_at *at,
	       uint32_t prod, const struct rte_mbuf *m)
{
	const uint8_t *from = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t length = m->pkt_len, whole = (length - 1) & ~(HWY_SLOT - 1u), chunk, i;
	uint8_t *to;

	if (unlikely(!hwy_pool_take(pool, &chunk)))
		return false;
	hwy_chunks_ahead(region, pool, at, prod);
	to = hwy_region_chunk(region, chunk) + HWY_CHUNK_HEADROOM;
	for (i = 0; i < whole; i += HWY_SLOT) {
		hwy_prefetch_write(to + i + HWY_LINES_AHEAD * HWY_CACHE_LINE);
		hwy_copy_slot(to + i, from + i);
	}
	hwy_copy_tail(to + i, from + i, length - i);
	hwy_store(&at->desc[prod & at->mask], HWY_DESC(chunk, 0, HWY_CHUNK_HEADROOM, length));
	return true;
}

/*
 * As hwy_producer_room().  Now and then it takes the time that the receiver's index needs to get
 * here: some 20 to 60 ns within a core or between cores that share a cache, 130 ns and more where
 * they do not.  There packets are written past the caches, which is the shorter way then, and a
 * detour otherwise.
 */
static __rte_always_inline uint32_t
hwy_room(struct hwy_producer *out, uint32_t wanted)
{
	if (unlikely(out->at.mask + 1 - (out->prod - out->cons_seen) < wanted) &&
	    unlikely(++out->looks % HWY_LOOKS == 0))
		hwy_time_look(out);
	return hwy_producer_room(out, wanted);
}

/*
 * Writes up to 'n' packets to a ring, without publishing.  Returns how many mbufs it
 * took from 'pkts', and adds what was sent to '*sent'.
 *
 * The plain mbufs of small packets go back to their pool in runs, straight from 'pkts'.
 *
 * 'bare', a constant: nothing but the packets, for who must not see what else there is in the
 * sender's buffers, such as the end of an earlier packet.
 */
static __rte_always_inline uint16_t
hwy_put_burst(struct hwy_tx_queue *q, struct hwy_producer *out, struct rte_mbuf **pkts, uint16_t n,
	      struct hwy_packets_bytes *sent, struct hwy_free_list *list, const bool bare)
{
	/* Enough for any one packet at least: a stale view must not look like a full ring. */
	uint32_t room = hwy_room(out, 2u * n + HWY_MAX_PARTS);
	const struct hwy_ring_at at = out->at;
	struct rte_mempool *pool = pkts[0]->pool;
	uint64_t bytes = 0;
	const struct hwy_region *region =
		out->far != NULL ? out->far->region : q->dev->domain->region;
	struct hwy_pool *chunks = out->far != NULL ? &out->far->pool[q->id] : &q->pool;
	uint32_t prod = out->prod, inlined = 0, copied = 0, packets = 0;
	uint16_t i, run = 0; /* pkts[run..i) are plain mbufs of 'pool', copied */

	for (i = 0; i < n && room > 0; i++) {
		struct rte_mbuf *m = pkts[i];
		uint32_t length = m->pkt_len;

		if (likely(length <= HWY_SLOT)) {
			uint16_t want = (uint16_t)RTE_MIN((uint32_t)(n - i), room);
			uint16_t some =
				hwy_put_small(out, prod, pkts + i, want, pool, &bytes, bare);

			prod += some;
			room -= some;
			inlined += some;
			packets += some;
			i = (uint16_t)(i + some);
			if (likely(i == n) || room == 0)
				break;
			m = pkts[i];
			length = m->pkt_len;
		}
		out->alike = 0;
		if (likely(length <= HWY_INLINE_MAX && m->nb_segs == 1 && room > 1 &&
			   m->data_off + HWY_INLINE_MAX <= m->buf_len)) {
			const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);

			hwy_ahead_to_write(&at, prod + HWY_AHEAD);
			if (bare)
				hwy_copy_tail(hwy_ring_slot(&at, prod), data,
					      RTE_MIN(length, (uint32_t)HWY_SLOT));
			else
				hwy_copy_slot(hwy_ring_slot(&at, prod), data);
			hwy_store(&at.desc[prod++ & at.mask],
				  HWY_DESC(HWY_CHUNK_INLINE, 0, 0, length));
			room--;
			if (length > HWY_SLOT) {
				/* Whoever looks through a ring finds no chunk in this one. */
				hwy_ahead_to_write(&at, prod + HWY_AHEAD);
				if (bare)
					hwy_copy_tail(hwy_ring_slot(&at, prod), data + HWY_SLOT,
						      length - HWY_SLOT);
				else
					hwy_copy_slot(hwy_ring_slot(&at, prod), data + HWY_SLOT);
				hwy_store(&at.desc[prod++ & at.mask],
					  HWY_DESC(HWY_CHUNK_INLINE, 0, 0, 0));
				room--;
			}
			inlined++;
			if (unlikely(m->pool != pool || !hwy_mbuf_plain(m))) {
				hwy_free_run(pool, pkts, run, i);
				run = (uint16_t)(i + 1);
				hwy_free(list, m);
			}
		} else if (m->pool == pool && hwy_mbuf_plain(m) &&
			   likely(hwy_mbuf_copies(q, region, m, length))) {
			if (unlikely(!hwy_put_copied(chunks, region, &at, prod, m))) {
				hwy_count(&q->counters->no_buffer, 1);
				break;
			}
			prod++;
			room--;
			copied++;
		} else {
			int used;

			hwy_free_run(pool, pkts, run, i);
			run = i;
			out->prod = prod;
			used = hwy_put_large(q, out, m, room, list);
			prod = out->prod;
			if (used == HWY_PUT_FULL)
				break;
			run = (uint16_t)(i + 1);
			if (used == HWY_PUT_DROPPED)
				continue;
			room -= (uint32_t)used;
		}
		packets++;
		bytes += length;
	}
	out->prod = prod;
	hwy_free_run(pool, pkts, run, i);
	if (unlikely(i < n))
		hwy_count(&q->counters->ring_full, 1);
	if (inlined > 0)
		hwy_count(&q->counters->inlined, inlined);
	if (copied > 0)
		hwy_count(&q->counters->copied, copied);
	sent->packets += packets;
	sent->bytes += bytes;
	return i;
}

/* What a received packet of 'length' bytes in one plain mbuf looks like. */
static __rte_always_inline void
hwy_mbuf_fill(struct rte_mbuf *m, uint64_t rearm, uint32_t length)
{
#ifdef __SSE2__
	/* rearm_data and ol_flags; packet_type, pkt_len, data_len, vlan_tci and hash */
	static_assert(offsetof(struct rte_mbuf, ol_flags) ==
			      offsetof(struct rte_mbuf, rearm_data) + 8,
		      "mbuf fields moved");
	static_assert(offsetof(struct rte_mbuf, pkt_len) ==
			      offsetof(struct rte_mbuf, rx_descriptor_fields1) + 4,
		      "mbuf fields moved");
	static_assert(offsetof(struct rte_mbuf, data_len) ==
			      offsetof(struct rte_mbuf, rx_descriptor_fields1) + 8,
		      "mbuf fields moved");
	char *at = (char *)m;

	_mm_store_si128((__m128i *)(void *)(at + offsetof(struct rte_mbuf, rearm_data)),
			_mm_set_epi64x(0, (long long)rearm));
	_mm_store_si128((__m128i *)(void *)(at + offsetof(struct rte_mbuf, rx_descriptor_fields1)),
			_mm_set_epi64x((long long)length, (long long)((uint64_t)length << 32)));
#else
	/* data_off, refcnt, nb_segs and port */
	memcpy((char *)m + offsetof(struct rte_mbuf, rearm_data), &rearm, sizeof(rearm));
	m->ol_flags = 0;
	m->packet_type = 0;
	m->pkt_len = length;
	m->data_len = (uint16_t)length;
	m->vlan_tci = 0;
#endif
}

/* Asks for entries 'from' to 'to': they travel while mbufs are taken. */
static inline void
hwy_prefetch_entries(const struct hwy_ring_at *at, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i != to; i++)
		rte_prefetch0(hwy_ring_slot(at, i));
	rte_prefetch0(&at->desc[from & at->mask]);
}

/*
 * Reads 'n' packets of 'length' bytes each, from entry 'cons' on, none of which lies beyond the
 * ring's last slot, into the mbufs of 'pkts'.  'ahead', a constant: as for hwy_get_small().
 */
static __rte_always_inline void
hwy_get_alike(const struct hwy_ring_at *at, uint32_t cons, struct rte_mbuf **pkts, uint32_t n,
	      uint64_t rearm, uint32_t length, const bool ahead)
{
	const uint8_t *slots = at->data + (size_t)(cons & at->mask) * HWY_SLOT;
	const uint8_t *next = at->data + (size_t)((cons + HWY_AHEAD) & at->mask) * HWY_SLOT;

	for (size_t i = 0; i < (size_t)n * 8; i = hwy_next(i)) {
		struct rte_mbuf *m = HWY_AT(pkts, i);
		uint8_t *to = (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;

		if (ahead)
			rte_prefetch0(next + i * 8);
		hwy_mbuf_fill(m, rearm, length);
		hwy_copy_slot(to, slots + i * 8);
	}
}

/*
 * Reads packets from entry 'cons' on into the mbufs of 'pkts', one slot each: at most 'n', of those
 * that lie in one piece, up to the first that takes more than its slot.  'ahead', a constant: all
 * of them have an entry HWY_AHEAD further on that is there already, and is asked for.
 */
static __rte_always_inline uint16_t
hwy_get_small(const struct hwy_ring_at *at, uint32_t cons, struct rte_mbuf **pkts, uint32_t n,
	      uint64_t rearm, uint64_t *bytes, const bool ahead)
{
	const uint32_t first = cons & at->mask, later = (cons + HWY_AHEAD) & at->mask;
	const uint8_t *slots = at->data + (size_t)first * HWY_SLOT;
	const uint8_t *next = at->data + (size_t)later * HWY_SLOT;
	const uint64_t *desc = &at->desc[first];
	uint64_t sum = 0, one = hwy_load(desc);
	size_t i, end = at->mask + 1 - (ahead ? RTE_MAX(first, later) : first);
	uint32_t alike;

	end = RTE_MIN(end, (size_t)n);
	if (ahead)
		for (i = RTE_ALIGN_CEIL(later, HWY_LINE_DESCS); i < later + end;
		     i += HWY_LINE_DESCS)
			rte_prefetch0(&at->desc[i]);
	alike = hwy_alike(desc, (uint32_t)end, one);
	if (likely(alike > 0 &&
		   (one & ~HWY_DESC(0, 0, 0, UINT16_MAX)) == HWY_DESC(HWY_CHUNK_INLINE, 0, 0, 0) &&
		   HWY_DESC_LENGTH(one) <= HWY_SLOT)) {
		hwy_get_alike(at, cons, pkts, alike, rearm, HWY_DESC_LENGTH(one), ahead);
		*bytes += (uint64_t)alike * HWY_DESC_LENGTH(one);
		return (uint16_t)alike;
	}
	for (i = 0; i < end * 8; i = hwy_next(i)) {
		/* The length is on top, so that of all others at least one bit is above it then. */
		uint64_t length = hwy_load(&HWY_AT(desc, i)) - HWY_DESC(HWY_CHUNK_INLINE, 0, 0, 0);
		struct rte_mbuf *m = HWY_AT(pkts, i);
		uint8_t *to = (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;

		length = length << 16 | length >> 48;
		if (unlikely(length > HWY_SLOT))
			break;
		if (ahead)
			rte_prefetch0(next + i * 8);
		hwy_mbuf_fill(m, rearm, (uint32_t)length);
		hwy_copy_slot(to, slots + i * 8);
		sum += length;
	}
	*bytes += sum;
	return (uint16_t)(i / 8);
}

/*
 * Reads up to 'n' packets from a ring, as far as index 'limit', and publishes.
 * Returns how many mbufs it wrote to 'pkts'.
 */
static __rte_always_inline uint16_t
hwy_get_burst(struct hwy_rx_queue *q, struct hwy_consumer *in, uint32_t limit,
	      struct rte_mbuf **pkts, uint16_t n, struct hwy_packets_bytes *got)
{
	const struct hwy_ring_at at = in->at;
	const uint64_t rearm = q->rearm;
	uint32_t cons = in->cons, avail = limit - cons, inlined = 0;
	uint64_t bytes = 0;
	uint16_t filled = 0;

	if (avail < n)
		n = (uint16_t)avail;
	/* With few, those of this burst were not asked for in the last one. */
	if (avail < HWY_AHEAD)
		hwy_prefetch_entries(&at, cons, cons + n);
	while (unlikely(rte_mempool_get_bulk(q->pool, (void **)pkts, n) < 0)) {
		n /= 2;
		if (n == 0) {
			hwy_count(&q->counters->no_buffer, 1);
			return 0;
		}
	}
	/* pkts[filled..n) are mbufs not yet used. */
	while (filled < n && avail > 0) {
		uint64_t desc = hwy_load(&at.desc[cons & at.mask]);
		struct rte_mbuf *m = pkts[filled];
		uint32_t length = HWY_DESC_LENGTH(desc), slots = hwy_inline_slots(length);

		if (likely(length <= HWY_SLOT && HWY_DESC_CHUNK(desc) == HWY_CHUNK_INLINE)) {
			uint32_t want = RTE_MIN((uint32_t)n - filled, avail);
			uint16_t some = avail > HWY_AHEAD
						? hwy_get_small(&at, cons, pkts + filled,
								RTE_MIN(want, avail - HWY_AHEAD),
								rearm, &bytes, true)
						: hwy_get_small(&at, cons, pkts + filled, want,
								rearm, &bytes, false);

			cons += some;
			avail -= some;
			inlined += some;
			filled = (uint16_t)(filled + some);
			if (likely(some > 0))
				continue;
		}
		if (likely(HWY_DESC_CHUNK(desc) == HWY_CHUNK_INLINE && length <= HWY_INLINE_MAX &&
			   slots <= avail)) {
			uint8_t *to = (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;

			if (avail > HWY_AHEAD) {
				rte_prefetch0(hwy_ring_slot(&at, cons + HWY_AHEAD));
				if (cons % HWY_LINE_DESCS == 0)
					rte_prefetch0(&at.desc[(cons + HWY_AHEAD) & at.mask]);
			}
			hwy_mbuf_fill(m, rearm, length);
			hwy_copy_slot(to, hwy_ring_slot(&at, cons));
			if (slots > 1)
				hwy_copy_slot(to + HWY_SLOT, hwy_ring_slot(&at, cons + 1));
			cons += slots;
			avail -= slots;
			inlined++;
			filled++;
			bytes += length;
		} else {
			bool delivered;
			uint32_t taken;

			in->cons = cons;
			taken = hwy_get_large(q, in, desc, avail, m, &delivered);
			cons = in->cons;
			if (taken == 0)
				break; /* no mbufs for the whole of it: later */
			avail -= taken;
			if (!delivered)
				continue; /* bad or too big: the mbuf is unused still */
			bytes += m->pkt_len;
			filled++;
		}
	}
	in->cons = cons;
	if (unlikely(filled < n))
		rte_mempool_put_bulk(q->pool, (void **)&pkts[filled], (unsigned int)(n - filled));
	if (likely(!q->deferred))
		hwy_consumer_publish(in);
	else
		hwy_consumer_release(in);
	if (inlined > 0)
		hwy_count(&q->counters->inlined, inlined);
	got->packets += filled;
	got->bytes += bytes;
	return filled;
}

#endif /* HIGHWAY_PMD_MBUF_H */
