/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receiving from a link region.  The other VNF has it mapped too and may change it at any
 * time: a descriptor is read once, what is checked is what is used, and a packet is copied
 * before the application sees it.
 */
#include "mbuf.h"

/* Copies 'length' bytes behind what chain 'head' has so far, '*last' being its last mbuf.
 * Further mbufs come from 'rest'. */
static void
append(struct rte_mbuf **last, struct rte_mbuf ***rest, const struct hwy_rx_queue *q,
       const uint8_t *from, uint32_t length)
{
	while (length > 0) {
		uint32_t left = (uint32_t)q->room - (*last)->data_len, part;

		if (left == 0) {
			(*last)->next = **rest;
			*last = *(*rest)++;
			hwy_mbuf_fill(*last, q->rearm, 0);
			left = q->room;
		}
		part = RTE_MIN(left, length);
		memcpy(rte_pktmbuf_mtod_offset(*last, uint8_t *, (*last)->data_len), from, part);
		(*last)->data_len = (uint16_t)((*last)->data_len + part);
		from += part;
		length -= part;
	}
}

/* Gives the chunks of the next 'entries' back and moves on. */
static uint32_t
pass(const struct hwy_region *region, struct hwy_consumer *in, const uint64_t *copies,
     uint32_t entries)
{
	for (uint32_t i = 0; i < entries; i++) {
		if (HWY_DESC_CHUNK(copies[i]) < region->geo.chunk_count)
			hwy_pool_give(region->owners, HWY_DESC_CHUNK(copies[i]));
	}
	in->cons += entries;
	return entries;
}

uint32_t
hwy_get_far(struct hwy_rx_queue *q, struct hwy_consumer *in, uint64_t desc, uint32_t avail,
	    struct rte_mbuf *head, bool *filled)
{
	const struct hwy_region *region = in->far->region;
	struct rte_mbuf *more[HWY_MAX_PARTS * 64], **rest = more, *last = head;
	uint64_t copies[HWY_MAX_PARTS];
	uint32_t entries = 0, length = 0, mbufs;
	bool ok = true, goes_on;

	*filled = false;
	do {
		copies[entries] = desc;
		ok = ok && hwy_desc_ok(&region->geo, desc) && HWY_DESC_LENGTH(desc) > 0 &&
		     HWY_DESC_CHUNK(desc) != HWY_CHUNK_INLINE;
		length += HWY_DESC_LENGTH(desc);
		goes_on = (HWY_DESC_FLAGS(desc) & HWY_DESC_MORE) != 0;
		entries++;
		if (goes_on && (entries == avail || entries == HWY_MAX_PARTS)) {
			hwy_count(&q->counters->bad_desc, 1);
			return pass(region, in, copies, entries);
		}
		if (goes_on)
			desc = hwy_load(&in->at.desc[(in->cons + entries) & in->at.mask]);
	} while (goes_on);
	if (!ok) {
		hwy_count(&q->counters->bad_desc, 1);
		return pass(region, in, copies, entries);
	}
	if (length > HWY_MAX_MTU + HWY_L2_OVERHEAD || (length > q->room && !q->scatter)) {
		hwy_count(&q->counters->too_big, 1);
		return pass(region, in, copies, entries);
	}
	mbufs = (length + q->room - 1) / q->room;
	if (mbufs > 1 && rte_mempool_get_bulk(q->pool, (void **)more, mbufs - 1) < 0) {
		hwy_count(&q->counters->no_buffer, 1);
		return 0;
	}
	hwy_mbuf_fill(head, q->rearm, 0);
	for (uint32_t i = 0; i < entries; i++)
		append(&last, &rest, q,
		       hwy_region_chunk(region, HWY_DESC_CHUNK(copies[i])) +
			       HWY_DESC_OFFSET(copies[i]),
		       HWY_DESC_LENGTH(copies[i]));
	head->nb_segs = (uint16_t)mbufs;
	head->pkt_len = length;
	hwy_count(&q->counters->copied, 1);
	*filled = true;
	return pass(region, in, copies, entries);
}
