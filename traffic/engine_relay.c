/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

/* Reflect (send back, addresses exchanged) and forward (as it is). */

#include <stdlib.h>

#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_prefetch.h>

#include "engine.h"

bool
hwt_relay_setup(struct hwt_unit *u)
{
	u->step = hwt_relay_step;
	u->relay = calloc(u->nb_queues, sizeof(*u->relay));
	return u->relay != NULL;
}

void
hwt_relay_free(struct hwt_unit *u)
{
	uint16_t q;

	for (q = 0; u->relay != NULL && q < u->nb_queues; q++)
		rte_pktmbuf_free_bulk(u->relay[q].pkts + u->relay[q].first, u->relay[q].count);
	free(u->relay);
}

static inline void
relay_swap(struct rte_mbuf *m)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ether_addr addr;

	rte_ether_addr_copy(&eth->dst_addr, &addr);
	rte_ether_addr_copy(&eth->src_addr, &eth->dst_addr);
	rte_ether_addr_copy(&addr, &eth->src_addr);
}

static void
relay_drop(struct hwt_unit *u, struct hwt_pending *w)
{
	u->c.tx_dropped += w->count;
	rte_pktmbuf_free_bulk(w->pkts + w->first, w->count);
	w->count = 0;
}

uint32_t
hwt_relay_step(struct hwt_unit *u, uint64_t now)
{
	const bool reflect = u->kind == HWT_UNIT_REFLECT;
	uint64_t bytes = 0;
	uint32_t moved = 0;
	uint16_t q, i, n;

	for (q = 0; q < u->nb_queues; q++) {
		struct hwt_pending *w = &u->relay[q];

		if (w->count == 0) {
			n = rte_eth_rx_burst(u->port, u->queues[q], w->pkts, u->o->burst);
			if (n == 0)
				continue;
			if (unlikely(u->c.rx_first == 0))
				u->c.rx_first = now;
			if (reflect)
				for (i = 0; i < n && i < 4; i++)
					rte_prefetch0(rte_pktmbuf_mtod(w->pkts[i], void *));
			for (i = 0; i < n; i++) {
				if (reflect && i + 4 < n)
					rte_prefetch0(rte_pktmbuf_mtod(w->pkts[i + 4], void *));
				w->len[i] = (uint16_t)w->pkts[i]->pkt_len;
				bytes += w->len[i];
				if (reflect)
					relay_swap(w->pkts[i]);
			}
			u->c.rx_packets += n;
			w->first = 0;
			w->count = n;
			moved += n;
		}
		moved += hwt_pending_send(u, w, u->out_port, u->queues[q]);
		if (unlikely(w->count > 0 && u->o->drop_on_full))
			relay_drop(u, w);
	}
	u->c.rx_bytes += bytes;
	if (moved > 0 && unlikely(u->c.tx_first == 0))
		u->c.tx_first = now;
	return moved;
}
