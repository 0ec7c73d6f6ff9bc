/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

/* Receive and check. */

#include <stdio.h>
#include <stdlib.h>

#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>

#include "engine.h"

#define HWT_RX_AHEAD 4

__extension__ typedef unsigned __int128 hwt_uint128;

bool
hwt_rx_setup(struct hwt_unit *u)
{
	u->rx.flows = hwt_flows_create();
	u->rx.latency = calloc(1, sizeof(*u->rx.latency));
	u->rx.ns_mult = (uint64_t)(1e9 * 4294967296.0 / (double)rte_get_tsc_hz());
	u->step = hwt_rx_step;
	if (u->rx.flows == NULL || u->rx.latency == NULL)
		return false;
	hwt_hist_reset(u->rx.latency);
	return true;
}

void
hwt_rx_reset(struct hwt_unit *u)
{
	hwt_flows_reset(u->rx.flows);
	hwt_hist_reset(u->rx.latency);
}

void
hwt_rx_free(struct hwt_unit *u)
{
	hwt_flows_free(u->rx.flows);
	free(u->rx.latency);
}

/* Free a burst, the plain buffers of one pool together. */
static inline void
rx_free_burst(struct rte_mbuf **pkts, uint16_t n)
{
	void *plain[HWT_MAX_BURST];
	struct rte_mempool *pool = pkts[0]->pool;
	unsigned int nb_plain = 0;
	uint16_t i;

	for (i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];

		if (likely(m->pool == pool && m->nb_segs == 1)) {
			m = rte_pktmbuf_prefree_seg(m);
			if (likely(m != NULL))
				plain[nb_plain++] = m;
		} else {
			rte_pktmbuf_free(m);
		}
	}
	if (likely(nb_plain > 0))
		rte_mempool_put_bulk(pool, plain, nb_plain);
}

static inline void
rx_latency(struct hwt_unit *u, uint64_t stamp, uint64_t now)
{
	uint64_t cycles = (now - stamp) & HWT_TSC_MASK;

	/* Counters of two cores a little apart: never less than 0. */
	if (unlikely(cycles > HWT_TSC_MASK / 2))
		cycles = 0;
	hwt_hist_record(u->rx.latency, (uint64_t)((hwt_uint128)cycles * u->rx.ns_mult >> 32));
}

static inline void
rx_check(struct hwt_unit *u, struct rte_mbuf *m, uint64_t now, bool payload)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	uint8_t copy[HWT_TEMPLATE_LEN];
	struct hwt_header h;
	uint32_t off;

	if (unlikely(m->data_len < HWT_TEMPLATE_LEN && m->nb_segs > 1))
		frame = rte_pktmbuf_read(m, 0, RTE_MIN(m->pkt_len, sizeof(copy)), copy);
	off = hwt_packet_locate(frame, m->pkt_len);
	if (unlikely(off == 0)) {
		u->c.foreign++;
		return;
	}
	if (unlikely(!hwt_header_read(frame + off, &h))) {
		u->c.corrupted++;
		return;
	}
	if (payload &&
	    (!hwt_packet_network_valid(m, frame) ||
	     ((h.mark & HWT_MARK_FILLED) &&
	      !hwt_packet_filled(m, off + HWT_HDR_LEN, hwt_packet_key(h.id, h.flow, h.seq)))))
		u->c.corrupted++;
	hwt_flows_track(u->rx.flows, h.id, h.flow, h.mark & HWT_EPOCH_MASK, h.seq);
	u->rx.head = hwt_header_head(&h);
	if (h.tsc != 0)
		rx_latency(u, h.tsc, now);
}

static inline void
rx_ahead(struct rte_mbuf *const *pkts, uint16_t i, uint16_t n)
{
	if (i + HWT_RX_AHEAD < n)
		rte_prefetch0(rte_pktmbuf_mtod(pkts[i + HWT_RX_AHEAD], void *));
}

/*
 * How many packets, from the first on, are just what comes next in the flow of the packet before:
 * untagged IPv4 with UDP, in order, right, without time stamp or payload to check.  Takes note of
 * them.
 */
static inline uint16_t
rx_train(struct hwt_unit *u, struct rte_mbuf *const *pkts, uint16_t n, uint64_t *bytes)
{
	const uint64_t head = u->rx.head;
	const uint16_t id = (uint16_t)(head >> 16), flow = (uint16_t)(head >> 32);
	struct hwt_flow *f = hwt_flows_find(u->rx.flows, id, flow, head >> 8 & HWT_EPOCH_MASK);
	uint64_t sum = 0;
	uint32_t seq;
	uint16_t i;

	if (f == NULL)
		return 0;
	seq = (uint32_t)f->highest + 1;
	for (i = 0; i < n; i++) {
		const uint8_t *frame = rte_pktmbuf_mtod(pkts[i], const uint8_t *);

		rx_ahead(pkts, i, n);
		if (unlikely(hwt_packet_locate(frame, pkts[i]->data_len) != HWT_HDR_OFFSET_UDP4 ||
			     !hwt_header_is(frame + HWT_HDR_OFFSET_UDP4, head, seq + i)))
			break;
		sum += pkts[i]->pkt_len;
	}
	hwt_flow_follow(u->rx.flows->stream[id], f, i);
	*bytes += sum;
	return i;
}

uint32_t
hwt_rx_step(struct hwt_unit *u, uint64_t now)
{
	struct rte_mbuf *pkts[HWT_MAX_BURST];
	const bool payload = u->o->payload_check;
	uint64_t bytes = 0;
	uint32_t total = 0;
	uint16_t q, i, n;

	for (q = 0; q < u->nb_queues; q++) {
		n = rte_eth_rx_burst(u->port, u->queues[q], pkts, u->o->burst);
		if (n == 0)
			continue;
		now = rte_rdtsc();
		if (unlikely(u->c.rx_first == 0))
			u->c.rx_first = now;
		for (i = 0; i < n && i < HWT_RX_AHEAD; i++)
			rte_prefetch0(rte_pktmbuf_mtod(pkts[i], void *));
		for (i = payload ? 0 : rx_train(u, pkts, n, &bytes); i < n; i++) {
			rx_ahead(pkts, i, n);
			bytes += pkts[i]->pkt_len;
			rx_check(u, pkts[i], now, payload);
		}
		rx_free_burst(pkts, n);
		total += n;
	}
	u->c.rx_packets += total;
	u->c.rx_bytes += bytes;
	return total;
}
