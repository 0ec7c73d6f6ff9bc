/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bursts of the host end: the normal channel as Open vSwitch polls it, and the host's
 * part of docs/internals/switch-over.md, answering gates.  Compiled once for each width
 * of vectors, see isa.h.
 *
 * Rule 1 rests on the way in which Open vSwitch's PMD threads work: what one receive
 * call of a queue returned has been transmitted before the next call for that queue
 * (dp_netdev_process_rxq_port(), with tx-flush-interval at its default of 0).
 */
#include "bell.h"
#include "isa.h"
#include "mbuf.h"

/*
 * Answers the gates of X's queue 'up' that are reached, and returns how far the up ring
 * may be read in this call.
 */
static uint32_t
gates(struct hwy_rx_queue *q, struct hwy_inlet *up)
{
	const struct hwy_region *r = q->dev->region;
	struct hwy_ring *down[HWY_MAX_QUEUES];
	uint32_t limit = up->in.prod_seen;

	up->bell = hwy_load_acquire(&up->in.at.ring->gate_bell);
	up->pending = 0;
	for (uint32_t l = 0; l < r->geo.link_count; l++) {
		const struct hwy_link *link = &r->links[l];
		uint32_t state = hwy_load_acquire(&link->state), gate = limit;
		const struct hwy_port *y;
		uint32_t n;

		if (state == HWY_LINK_FREE || state == HWY_LINK_PREPARING ||
		    link->src != q->dev->index || up->queue >= link->queues ||
		    link->dst >= r->geo.port_count)
			continue;
		y = &r->ports[link->dst];
		n = RTE_MIN(y->queues, (uint32_t)HWY_MAX_QUEUES);
		for (uint32_t d = 0; d < n; d++)
			down[d] = hwy_region_ring(r, y->down[d]).ring;
		if (!hwy_gate_answer(hwy_region_ring(r, link->ring[up->queue]).ring, up->in.cons,
				     down, n, &gate)) {
			limit = hwy_earlier(limit, gate);
			up->pending = 1;
		}
	}
	if (!hwy_far_answer(q->dev->far_port, up->queue, up->in.cons, &limit))
		up->pending = 1;
	return limit;
}

static uint16_t
host_rx(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct hwy_rx_queue *q = queue;
	struct hwy_packets_bytes got = {0, 0};
	uint16_t done = 0, at = q->turn;

	if (unlikely(!q->started))
		return 0;
	for (uint16_t i = 0; i < q->n_normal && done < n; i++) {
		struct hwy_inlet *up = &q->normal[at];
		uint32_t limit;

		if (unlikely(!hwy_consumer_refresh(&up->in)))
			hwy_count(&q->counters->bad_desc, 1);
		limit = up->in.prod_seen;
		/* prod first, then the bell, which lies in the same line */
		if (unlikely(up->pending ||
			     hwy_load_acquire(&up->in.at.ring->gate_bell) != up->bell))
			limit = gates(q, up);
		if (limit != up->in.cons)
			done = (uint16_t)(done + hwy_get_burst(q, &up->in, limit, pkts + done,
							       (uint16_t)(n - done), &got));
		if (++at == q->n_normal)
			at = 0;
	}
	q->turn = at;
	if (got.packets > 0) {
		hwy_count(&q->counters->normal_packets, got.packets);
		hwy_count(&q->counters->normal_bytes, got.bytes);
		if (unlikely(hwy_load(&q->dev->awaits))) {
			hwy_store(&q->dev->awaits, false);
			hwy_store_release(&q->dev->arrived, true);
			hwy_bell_ring(q->dev->region);
		}
	}
	hwy_idle(q, done);
	return done;
}

static uint16_t
tx_once(struct hwy_tx_queue *q, struct rte_mbuf **pkts, uint16_t n)
{
	struct hwy_packets_bytes sent = {0, 0};
	struct hwy_free_list list;
	uint16_t done;

	list.n = 0;
	list.pool = pkts[0]->pool;
	/* The switch's own buffers have held packets of other domains. */
	done = hwy_put_burst(q, &q->out, pkts, n, &sent, &list, true);
	hwy_producer_publish(&q->out);
	hwy_free_flush(&list);
	hwy_count(&q->counters->normal_packets, sent.packets);
	hwy_count(&q->counters->normal_bytes, sent.bytes);
	return done;
}

static uint16_t
host_tx(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct hwy_tx_queue *q = queue;
	uint16_t done;

	if (unlikely(!q->started || n == 0))
		return 0;
	if (unlikely(!hwy_end_up(q->dev->peer))) {
		hwy_count(&q->counters->link_down, n);
		return 0;
	}
	done = tx_once(q, pkts, n);
	if (unlikely(done < n && q->dev->idle == HWY_IDLE_YIELD)) {
		hwy_idle_full(q->dev);
		done = (uint16_t)(done + tx_once(q, pkts + done, (uint16_t)(n - done)));
	}
	return done;
}

const struct hwy_bursts HWY_ISA_NAME(hwy_host_bursts) = {.rx = host_rx, .tx = host_tx};
