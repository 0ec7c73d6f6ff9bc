/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets that do not fit a ring's inline area: by chunk, and chains of them. */
#include "mbuf.h"

#include <rte_memcpy.h>

/* All lines of a load at any place in it are there. */
const uint8_t hwy_slot_mask[2 * HWY_SLOT] __rte_cache_aligned = {
	[0 ... HWY_SLOT - 1] = 0xff,
};

#define FAR_NS        100
#define FAR_LOOKS_MAX 16

/* Were most of the last looks far?  One that was interrupted decides nothing. */
void
hwy_time_look(struct hwy_producer *out)
{
	uint64_t start = rte_rdtsc_precise(), took;

	(void)hwy_load_acquire(&out->at.ring->cons);
	took = rte_rdtsc_precise() - start;
	if (took * NS_PER_S > FAR_NS * rte_get_tsc_hz())
		out->far_looks += out->far_looks < FAR_LOOKS_MAX;
	else
		out->far_looks -= out->far_looks > 0;
	if (out->far_looks >= 3 * FAR_LOOKS_MAX / 4)
		out->past = true;
	else if (out->far_looks <= FAR_LOOKS_MAX / 4)
		out->past = false;
}

/* Copies 'length' bytes to 'to', a line at a time, asking for the lines ahead. */
static void
copy_ahead(uint8_t *to, const uint8_t *from, uint32_t length)
{
	uint32_t i = 0;

	for (; i + HWY_SLOT <= length; i += HWY_SLOT) {
		hwy_prefetch_write(to + i + HWY_LINES_AHEAD * HWY_CACHE_LINE);
		hwy_copy_slot(to + i, from + i);
	}
	if (i < length)
		rte_memcpy(to + i, from + i, length - i);
}

/* Copies 'length' bytes of chain 'm' from '*offset' of '*seg' on; moves both along. */
static void
gather(uint8_t *to, uint32_t length, const struct rte_mbuf **seg, uint32_t *offset)
{
	while (length > 0) {
		uint32_t part = (*seg)->data_len - *offset;

		if (part > length)
			part = length;
		copy_ahead(to, rte_pktmbuf_mtod_offset(*seg, const uint8_t *, *offset), part);
		to += part;
		length -= part;
		*offset += part;
		if (*offset == (*seg)->data_len && length > 0) {
			*seg = (*seg)->next;
			*offset = 0;
		}
	}
}

/* A chain whose every segment is a chunk of ours goes as it is. */
static bool
all_chunks(const struct hwy_domain *domain, const struct rte_mbuf *m)
{
	if (m->nb_segs > HWY_MAX_PARTS)
		return false;
	for (; m != NULL; m = m->next) {
		if (hwy_mbuf_chunk(domain, m) == HWY_CHUNK_INLINE || m->data_len == 0)
			return false;
	}
	return true;
}

static int
put_chunks(struct hwy_producer *out, const struct hwy_domain *domain, struct rte_mbuf *m,
	   struct hwy_free_list *list)
{
	int used = 0;

	while (m != NULL) {
		struct rte_mbuf *next = m->next;

		hwy_store(&out->at.desc[out->prod & out->at.mask],
			  HWY_DESC(hwy_mbuf_chunk(domain, m), next != NULL ? HWY_DESC_MORE : 0,
				   m->data_off, m->data_len));
		out->prod++;
		used++;
		hwy_mbuf_detach(m);
		hwy_free_raw(list, m);
		m = next;
	}
	return used;
}

int
hwy_put_large(struct hwy_tx_queue *q, struct hwy_producer *out, struct rte_mbuf *m, uint32_t room,
	      struct hwy_free_list *list)
{
	const struct hwy_domain *domain = q->dev->domain;
	const struct hwy_region *region = out->far != NULL ? out->far->region : domain->region;
	struct hwy_pool *pool = out->far != NULL ? &out->far->pool[q->id] : &q->pool;
	const struct rte_mbuf *seg = m;
	uint32_t capacity = region->geo.chunk_stride - HWY_CHUNK_HEADROOM;
	uint32_t length = m->pkt_len, offset = 0;
	uint32_t parts, first;

	if (unlikely(length > q->dev->max_frame || length == 0)) {
		hwy_count(&q->counters->too_big, 1);
		rte_pktmbuf_free(m);
		return HWY_PUT_DROPPED;
	}
	if (length <= HWY_INLINE_MAX) {
		uint32_t slots = hwy_inline_slots(length);

		if (slots > room)
			return HWY_PUT_FULL;
		for (uint32_t i = 0; i < slots; i++) {
			uint32_t left = length - i * HWY_SLOT;

			hwy_store(&out->at.desc[out->prod & out->at.mask],
				  HWY_DESC(HWY_CHUNK_INLINE, 0, 0, i == 0 ? length : 0));
			gather(hwy_ring_slot(&out->at, out->prod++),
			       RTE_MIN(left, (uint32_t)HWY_SLOT), &seg, &offset);
		}
		hwy_count(&q->counters->inlined, 1);
		rte_pktmbuf_free(m);
		return (int)slots;
	}
	if (out->far == NULL && all_chunks(domain, m) && m->nb_segs <= room) {
		hwy_count(&q->counters->zero_copy, 1);
		return put_chunks(out, domain, m, list);
	}
	parts = (length + capacity - 1) / capacity;
	if (parts > room)
		return HWY_PUT_FULL;
	if (pool->free < parts && hwy_pool_refill(pool) < parts) {
		hwy_count(&q->counters->no_buffer, 1);
		return HWY_PUT_FULL;
	}
	first = out->prod;
	for (uint32_t left = length; left > 0;) {
		uint32_t part = left < capacity ? left : capacity;
		uint32_t chunk = 0;

		left -= part;
		(void)hwy_pool_take(pool, &chunk);
		hwy_chunks_ahead(region, pool, &out->at, out->prod);
		gather(hwy_region_chunk(region, chunk) + HWY_CHUNK_HEADROOM, part, &seg, &offset);
		hwy_store(&out->at.desc[out->prod & out->at.mask],
			  HWY_DESC(chunk, left > 0 ? HWY_DESC_MORE : 0, HWY_CHUNK_HEADROOM, part));
		out->prod++;
	}
	hwy_count(&q->counters->copied, 1);
	hwy_free(list, m);
	return (int)(out->prod - first);
}

/* Drops the entries of one packet.  Returns how many they were. */
static uint32_t
drop_packet(struct hwy_rx_queue *q, struct hwy_consumer *in, uint32_t entries, uint64_t *why)
{
	const struct hwy_region *region = q->dev->region;
	uint32_t chunks[HWY_MAX_PARTS];

	for (uint32_t i = 0; i < entries; i++)
		chunks[i] = HWY_DESC_CHUNK(hwy_load(&in->at.desc[(in->cons + i) & in->at.mask]));
	/* First the index: who dies in between leaves the chunks to the sweep. */
	in->cons += entries;
	hwy_consumer_release(in);
	for (uint32_t i = 0; i < entries; i++) {
		if (chunks[i] < region->geo.chunk_count)
			hwy_pool_give(region->owners, chunks[i]);
	}
	hwy_count(why, 1);
	return entries;
}

/*
 * Reads one packet that begins with the non-inline descriptor 'desc' into 'head' and,
 * if it comes as a chain, further mbufs of the pool.  '*filled' tells whether it was
 * delivered; if not it was dropped and counted, and 'head' is still unused.  Returns
 * the ring entries consumed: 0 if mbufs are lacking for now.
 */
uint32_t
hwy_get_large(struct hwy_rx_queue *q, struct hwy_consumer *in, uint64_t desc, uint32_t avail,
	      struct rte_mbuf *head, bool *filled)
{
	const struct hwy_domain *domain = q->dev->domain;
	const struct hwy_region *region = domain->region;
	struct rte_mbuf *rest[HWY_MAX_PARTS], *last = head;
	uint64_t copies[HWY_MAX_PARTS];
	uint32_t entries = 0, length = 0;
	bool ok = true, more;

	if (unlikely(in->far != NULL))
		return hwy_get_far(q, in, desc, avail, head, filled);
	/* Every descriptor is read once, and what is checked is what is used. */
	*filled = false;
	do {
		copies[entries] = desc;
		ok = ok && hwy_desc_ok(&region->geo, desc) && HWY_DESC_LENGTH(desc) > 0 &&
		     HWY_DESC_CHUNK(desc) != HWY_CHUNK_INLINE;
		length += HWY_DESC_LENGTH(desc);
		more = (HWY_DESC_FLAGS(desc) & HWY_DESC_MORE) != 0;
		entries++;
		if (more && (entries == avail || entries == HWY_MAX_PARTS))
			return drop_packet(q, in, entries, &q->counters->bad_desc);
		if (more)
			desc = hwy_load(&in->at.desc[(in->cons + entries) & in->at.mask]);
	} while (more);
	if (!ok)
		return drop_packet(q, in, entries, &q->counters->bad_desc);

	if (domain->copy_rx || (entries > 1 && (length <= q->room || !q->scatter))) {
		uint8_t *to;

		if (length > q->room)
			return drop_packet(q, in, entries, &q->counters->too_big);
		hwy_mbuf_fill(head, q->rearm, 0);
		to = rte_pktmbuf_mtod(head, uint8_t *);
		for (uint32_t i = 0; i < entries; i++) {
			memcpy(to,
			       hwy_region_chunk(region, HWY_DESC_CHUNK(copies[i])) +
				       HWY_DESC_OFFSET(copies[i]),
			       HWY_DESC_LENGTH(copies[i]));
			to += HWY_DESC_LENGTH(copies[i]);
			hwy_store(&region->owners[HWY_DESC_CHUNK(copies[i])], (uint8_t)region->me);
		}
		/* First the index: who dies in between leaves the chunks to the sweep. */
		in->cons += entries;
		hwy_consumer_release(in);
		for (uint32_t i = 0; i < entries; i++)
			hwy_pool_give(region->owners, HWY_DESC_CHUNK(copies[i]));
		head->data_len = (uint16_t)length;
		hwy_count(&q->counters->copied, 1);
	} else {
		if (entries > 1 && rte_mempool_get_bulk(q->pool, (void **)rest, entries - 1) < 0) {
			hwy_count(&q->counters->no_buffer, 1);
			return 0;
		}
		for (uint32_t i = 0; i < entries; i++) {
			struct rte_mbuf *seg = i == 0 ? head : rest[i - 1];

			hwy_mbuf_fill(seg, q->rearm, 0);
			if (i > 0)
				last->next = seg;
			rte_prefetch0(hwy_region_chunk(region, HWY_DESC_CHUNK(copies[i])) +
				      HWY_DESC_OFFSET(copies[i]));
			/* From here on the chunk is ours: before the consumer's index moves. */
			hwy_store(&region->owners[HWY_DESC_CHUNK(copies[i])], (uint8_t)region->me);
			hwy_mbuf_attach(domain, seg, HWY_DESC_CHUNK(copies[i]),
					HWY_DESC_OFFSET(copies[i]), HWY_DESC_LENGTH(copies[i]));
			last = seg;
		}
		head->nb_segs = (uint16_t)entries;
		in->cons += entries;
		hwy_count(&q->counters->zero_copy, 1);
	}
	head->pkt_len = length;
	*filled = true;
	return entries;
}
