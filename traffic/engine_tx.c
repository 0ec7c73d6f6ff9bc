/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

/* Generate. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_memcpy.h>
#include <rte_prefetch.h>

#include "engine.h"

/* How far a paced generator that was held up may catch up, at least. */
#define HWT_CATCH_UP_BURSTS 4
#define HWT_CATCH_UP_MS     1

uint16_t
hwt_pending_send(struct hwt_unit *u, struct hwt_pending *w, uint16_t port, uint16_t queue)
{
	uint16_t i, sent;

	sent = rte_eth_tx_burst(port, queue, w->pkts + w->first, w->count);
	u->c.tx_packets += sent;
	if (likely(u->tx.simple)) {
		u->c.tx_bytes += (uint64_t)sent * u->o->max_size;
	} else {
		uint64_t bytes = 0;

		for (i = 0; i < sent; i++)
			bytes += w->len[w->first + i];
		u->c.tx_bytes += bytes;
	}
	w->count -= sent;
	if (likely(w->count == 0)) {
		w->first = 0;
	} else {
		w->first += sent;
		u->c.tx_full++;
	}
	return sent;
}

static uint16_t
tx_random_epoch(void)
{
	uint64_t x = rte_rdtsc();

	x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
	x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return (uint16_t)(x >> 40 & HWT_EPOCH_MASK);
}

static bool
tx_setup_queue(struct hwt_unit *u, struct hwt_tx_queue *q, struct hwt_packet_spec *spec)
{
	const struct hwt_options *o = u->o;
	uint32_t flow, n = 0;

	for (flow = q->queue; flow < o->flows; flow += o->queues)
		q->nb_flows++;
	q->flows = rte_zmalloc("hwt_flows", q->nb_flows * sizeof(*q->flows), RTE_CACHE_LINE_SIZE);
	if (q->flows == NULL)
		return false;
	for (flow = q->queue; flow < o->flows; flow += o->queues) {
		struct hwt_template *t = &q->flows[n++];

		spec->flow = (uint16_t)flow;
		spec->eth_type = o->types[flow % o->nb_types];
		spec->vlan = o->vlans[flow / o->nb_types % o->nb_vlans];
		hwt_packet_template(t, spec, o->sizes[0]);
		if (u->tx.hdr_off == 0)
			u->tx.hdr_off = t->hdr_off;
		if (u->tx.hdr_off != t->hdr_off || t->eth_type == RTE_ETHER_TYPE_IPV6)
			u->tx.simple = false;
	}
	return true;
}

/* First fields of a fresh packet buffer, as one number. */
static uint64_t
tx_rearm(void)
{
	struct rte_mbuf m;
	uintptr_t p = (uintptr_t)&m.rearm_data;

	memset(&m, 0, sizeof(m));
	m.data_off = RTE_PKTMBUF_HEADROOM;
	m.nb_segs = 1;
	m.port = RTE_MBUF_PORT_INVALID;
	rte_mbuf_refcnt_set(&m, 1);
	rte_compiler_barrier();
	return *(const uint64_t *)p;
}

bool
hwt_tx_setup(struct hwt_unit *u, uint16_t id, double share, uint64_t count)
{
	const struct hwt_options *o = u->o;
	struct hwt_packet_spec spec = {
		.dst_mac = o->dst_mac,
		.src_mac = o->src_mac,
		.id = id,
		.epoch = (uint8_t)tx_random_epoch(),
		.filled = o->payload_check,
	};
	struct hwt_tx *tx = &u->tx;
	uint16_t i;

	u->step = hwt_tx_step;
	tx->rearm = tx_rearm();
	if (!o->have_src_mac)
		rte_eth_macaddr_get(u->port, &spec.src_mac);
	tx->id = id;
	tx->share = share;
	tx->count = count;
	tx->limited = o->count != 0;
	tx->max_segs_len = rte_pktmbuf_data_room_size(u->pool) - RTE_PKTMBUF_HEADROOM;
	tx->simple = o->nb_sizes == 1 && o->segs == 1 && !o->payload_check &&
		     o->max_size <= tx->max_segs_len;
	tx->queues =
		rte_zmalloc("hwt_queues", u->nb_queues * sizeof(*tx->queues), RTE_CACHE_LINE_SIZE);
	if (tx->queues == NULL)
		return false;
	for (i = 0; i < u->nb_queues; i++) {
		tx->queues[i].queue = u->queues[i];
		if (!tx_setup_queue(u, &tx->queues[i], &spec))
			return false;
	}
	/* The simple path copies 64 bytes, and these must hold the header. */
	if (tx->hdr_off + HWT_HDR_LEN > 64)
		tx->simple = false;
	return true;
}

void
hwt_tx_free(struct hwt_unit *u)
{
	uint16_t i;

	for (i = 0; u->tx.queues != NULL && i < u->nb_queues; i++) {
		struct hwt_tx_queue *q = &u->tx.queues[i];

		rte_pktmbuf_free_bulk(q->wait.pkts + q->wait.first, q->wait.count);
		rte_free(q->flows);
	}
	rte_free(u->tx.queues);
}

static void
tx_pace(struct hwt_unit *u, uint64_t now)
{
	struct hwt_tx *tx = &u->tx;

	tx->rate_seen = hwt_load(&u->control->rate);
	tx->per_cycle = (double)tx->rate_seen * tx->share / (double)rte_get_tsc_hz();
	tx->base = now;
	tx->issued = -1; /* the first one is due at once */
}

/* How many packets may be built now? */
static inline uint32_t
tx_allowance(struct hwt_unit *u, uint64_t now)
{
	const struct hwt_control *control = u->control;
	struct hwt_tx *tx = &u->tx;
	uint32_t n = u->o->burst;
	double due, cap;

	if (unlikely(hwt_load(&control->start) != tx->start_seen)) {
		tx->remaining = tx->count;
		tx_pace(u, now);
		u->c.finished = 0;
		__atomic_store_n(&tx->start_seen, control->start, __ATOMIC_RELEASE);
	}
	if (hwt_load(&control->running) == 0)
		return 0;
	if (tx->limited) {
		if (tx->remaining == 0)
			return 0;
		n = RTE_MIN((uint64_t)n, tx->remaining);
	}
	if (unlikely(hwt_load(&control->rate) != tx->rate_seen))
		tx_pace(u, now);
	if (tx->rate_seen != 0) {
		due = (double)(now - tx->base) * tx->per_cycle - tx->issued;
		if (due < 1)
			return 0;
		cap = tx->per_cycle * (double)rte_get_tsc_hz() * HWT_CATCH_UP_MS / 1000;
		cap = RTE_MAX(cap, (double)HWT_CATCH_UP_BURSTS * u->o->burst);
		if (unlikely(due > cap)) {
			tx->issued += due - cap;
			due = cap;
		}
		if (due < n)
			n = (uint32_t)due;
	}
	return n;
}

/* Next flow of the round. */
static inline struct hwt_template *
tx_next_flow(struct hwt_tx_queue *q)
{
	struct hwt_template *t = &q->flows[q->next_flow];

	if (++q->next_flow == q->nb_flows)
		q->next_flow = 0;
	else
		rte_prefetch0(t + 1);
	return t;
}

static inline void
tx_stamp(struct hwt_tx_queue *q, uint32_t n, uint32_t every, const uint16_t *hdr_off,
	 uint16_t same_hdr_off)
{
	uint64_t tsc = rte_rdtsc();
	uint32_t i;

	for (i = q->stamp_skip; i < n; i += every)
		hwt_header_stamp(rte_pktmbuf_mtod_offset(q->wait.pkts[i], uint8_t *,
							 hdr_off ? hdr_off[i] : same_hdr_off),
				 tsc);
	q->stamp_skip = i - n;
}

/*
 * Make a packet of a buffer as it comes from the pool, the way the receive
 * functions of drivers do it: in few, wide stores.  Such a buffer has one
 * segment, one reference and no successor already, and the offload lengths
 * mean nothing without flags.
 */
static inline uint8_t *
tx_init(struct rte_mbuf *m, uint64_t rearm, uint16_t size)
{
	uintptr_t first = (uintptr_t)&m->rearm_data;

	*(uint64_t *)first = rearm;
	m->ol_flags = 0;
	m->packet_type = 0;
	m->pkt_len = size;
	m->data_len = size;
	return (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;
}

/* One size, one segment, no pattern: copy 64 bytes, number them, done. */
static uint32_t
tx_build_simple(struct hwt_unit *u, struct hwt_tx_queue *q, uint32_t n)
{
	const uint16_t size = u->o->max_size, hdr_off = u->tx.hdr_off;
	const uint64_t rearm = u->tx.rearm;
	struct rte_mbuf **pkts = q->wait.pkts;
	uint32_t i;

	if (unlikely(rte_mempool_get_bulk(u->pool, (void **)pkts, n) != 0))
		return 0;
	if (q->nb_flows == 1) {
		struct hwt_template *t = q->flows;
		const uint64_t head = t->head;
		uint32_t seq = t->seq;

		for (i = 0; i < n; i++) {
			uint8_t *p = tx_init(pkts[i], rearm, size);

			rte_mov64(p, t->data);
			hwt_header_write(p + hdr_off, head, seq++);
		}
		t->seq = seq;
	} else {
		for (i = 0; i < n; i++) {
			uint8_t *p = tx_init(pkts[i], rearm, size);
			struct hwt_template *t = tx_next_flow(q);

			rte_mov64(p, t->data);
			hwt_header_write(p + hdr_off, t->head, t->seq++);
		}
	}
	if (u->o->stamp_every != 0 && q->stamp_skip < n)
		tx_stamp(q, n, u->o->stamp_every, NULL, hdr_off);
	else
		q->stamp_skip -= n;
	return n;
}

/* A chain of buffers, the first one long enough for the headers. */
static struct rte_mbuf *
tx_chain(struct hwt_unit *u, uint16_t size, uint16_t headers)
{
	struct rte_mbuf *segs[UINT8_MAX];
	uint16_t room = u->tx.max_segs_len, left = size, len, i;
	uint16_t nb = RTE_MAX(u->o->segs, (uint16_t)((size + room - 1) / room));

	if (nb > RTE_DIM(segs) || rte_pktmbuf_alloc_bulk(u->pool, segs, nb) != 0)
		return NULL;
	for (i = 0; i < nb; i++) {
		len = (left + nb - i - 1) / (nb - i);
		if (i == 0)
			len = RTE_MAX(len, headers);
		segs[i]->data_len = len;
		segs[i]->next = i + 1 < nb ? segs[i + 1] : NULL;
		left -= len;
	}
	segs[0]->nb_segs = nb;
	segs[0]->pkt_len = size;
	return segs[0];
}

/* All the rest. */
static uint32_t
tx_build_any(struct hwt_unit *u, struct hwt_tx_queue *q, uint32_t n)
{
	struct hwt_template *flows[HWT_MAX_BURST];
	uint16_t hdr_off[HWT_MAX_BURST];
	const struct hwt_options *o = u->o;
	struct rte_mbuf **pkts = q->wait.pkts;
	const bool chains = o->segs > 1 || o->max_size > u->tx.max_segs_len;
	uint32_t i;

	if (!chains && unlikely(rte_mempool_get_bulk(u->pool, (void **)pkts, n) != 0))
		return 0;
	for (i = 0; i < n; i++) {
		const uint16_t size = o->sizes[u->tx.next_size];
		struct hwt_template *t = &q->flows[q->next_flow];
		const uint16_t end = t->hdr_off + HWT_HDR_LEN;
		uint8_t *p;

		if (chains) {
			pkts[i] = tx_chain(u, size, end);
			if (unlikely(pkts[i] == NULL))
				break;
			p = rte_pktmbuf_mtod(pkts[i], uint8_t *);
		} else {
			p = tx_init(pkts[i], u->tx.rearm, size);
		}
		if (++u->tx.next_size == o->nb_sizes)
			u->tx.next_size = 0;
		tx_next_flow(q);
		rte_mov64(p, t->data);
		if (end > 64)
			rte_mov64(p + 64, t->data + 64);
		if (o->nb_sizes > 1)
			hwt_packet_resize(t, p, size);
		hwt_header_write(p + t->hdr_off, t->head, t->seq);
		if (o->payload_check)
			hwt_packet_fill(
				pkts[i], end,
				hwt_packet_key(u->tx.id, (uint16_t)(t->head >> 32), t->seq));
		t->seq++;
		q->wait.len[i] = size;
		hdr_off[i] = t->hdr_off;
		flows[i] = t;
	}
	n = i;
	if (o->stamp_every != 0 && q->stamp_skip < n)
		tx_stamp(q, n, o->stamp_every, hdr_off, 0);
	else
		q->stamp_skip -= n;
	for (i = 0; i < n; i++)
		if (flows[i]->eth_type == RTE_ETHER_TYPE_IPV6)
			hwt_packet_udp6_checksum(flows[i], pkts[i]);
	return n;
}

/* Drop what the device did not take and give the numbers back. */
static void
tx_drop(struct hwt_unit *u, struct hwt_tx_queue *q)
{
	uint32_t i, n = q->wait.count;

	rte_pktmbuf_free_bulk(q->wait.pkts + q->wait.first, n);
	for (i = 0; i < n; i++) {
		if (q->next_flow == 0)
			q->next_flow = q->nb_flows;
		q->flows[--q->next_flow].seq--;
	}
	if (u->tx.limited)
		u->tx.remaining += n;
	u->c.tx_dropped += n;
	q->wait.first = 0;
	q->wait.count = 0;
}

static bool
tx_all_sent(const struct hwt_unit *u)
{
	uint16_t i;

	for (i = 0; i < u->nb_queues; i++)
		if (u->tx.queues[i].wait.count > 0)
			return false;
	return hwt_load(&u->control->running) == 0 || (u->tx.limited && u->tx.remaining == 0);
}

uint32_t
hwt_tx_step(struct hwt_unit *u, uint64_t now)
{
	struct hwt_tx *tx = &u->tx;
	struct hwt_tx_queue *q = &tx->queues[tx->next_queue];
	uint32_t n;

	if (++tx->next_queue == u->nb_queues)
		tx->next_queue = 0;
	if (q->wait.count == 0) {
		n = tx_allowance(u, now);
		if (n == 0) {
			if (u->c.finished == 0 && tx_all_sent(u))
				__atomic_store_n(&u->c.finished, 1, __ATOMIC_RELEASE);
			return 0;
		}
		if (tx->simple)
			n = tx_build_simple(u, q, n);
		else
			n = tx_build_any(u, q, n);
		if (unlikely(n == 0)) {
			u->c.no_mbuf++;
			return 0;
		}
		q->wait.first = 0;
		q->wait.count = (uint16_t)n;
		tx->issued += n;
		if (tx->limited)
			tx->remaining -= n;
	}
	if (unlikely(u->c.tx_first == 0))
		u->c.tx_first = now;
	n = hwt_pending_send(u, &q->wait, u->port, q->queue);
	if (unlikely(q->wait.count > 0 && u->o->drop_on_full))
		tx_drop(u, q);
	return n;
}
