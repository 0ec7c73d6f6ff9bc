/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

/* Sums over the units, taken by the reporting thread. */

#include <string.h>

#include "engine.h"

static void
add_counters(struct hwt_counters *sum, const struct hwt_counters *c)
{
	uint64_t first;

	sum->tx_packets += hwt_load(&c->tx_packets);
	sum->tx_bytes += hwt_load(&c->tx_bytes);
	sum->tx_full += hwt_load(&c->tx_full);
	sum->tx_dropped += hwt_load(&c->tx_dropped);
	sum->tx_busy += hwt_load(&c->tx_busy);
	sum->no_mbuf += hwt_load(&c->no_mbuf);
	sum->rx_packets += hwt_load(&c->rx_packets);
	sum->rx_bytes += hwt_load(&c->rx_bytes);
	sum->rx_busy += hwt_load(&c->rx_busy);
	sum->foreign += hwt_load(&c->foreign);
	sum->corrupted += hwt_load(&c->corrupted);
	first = hwt_load(&c->tx_first);
	if (first != 0 && (sum->tx_first == 0 || first < sum->tx_first))
		sum->tx_first = first;
	first = hwt_load(&c->rx_first);
	if (first != 0 && (sum->rx_first == 0 || first < sum->rx_first))
		sum->rx_first = first;
	sum->tx_last = RTE_MAX(sum->tx_last, hwt_load(&c->tx_last));
	sum->rx_last = RTE_MAX(sum->rx_last, hwt_load(&c->rx_last));
}

static void
add_flows(struct hwt_flow_totals *sum, const struct hwt_flow_totals *f)
{
	sum->received += f->received;
	sum->unique += f->unique;
	sum->lost += f->lost;
	sum->duplicated += f->duplicated;
	sum->reordered += f->reordered;
	sum->beyond += f->beyond;
	sum->restarts += f->restarts;
	sum->old_run += f->old_run;
	sum->untracked += f->untracked;
	sum->flows += f->flows;
}

static uint64_t
worker_cpu_ns(const struct hwt_worker *w)
{
	struct timespec t;

	if (__atomic_load_n(&w->cpu_known, __ATOMIC_ACQUIRE) == 0 ||
	    clock_gettime(w->cpu_clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec - w->cpu_begin;
}

void
hwt_engine_totals(const struct hwt_engine *e, struct hwt_totals *t)
{
	const struct hwt_options *o = e->o;
	struct hwt_flow_totals f;
	uint32_t i, d;

	memset(t, 0, sizeof(*t));
	for (i = 0; i < e->nb_units; i++) {
		const struct hwt_unit *u = e->units[i];

		add_counters(&t->c, &u->c);
		if (u->kind != HWT_UNIT_RX)
			continue;
		hwt_flows_totals(u->rx.flows, &f);
		add_flows(&t->flows, &f);
		if (o->mode != HWT_MODE_GENSINK)
			continue;
		for (d = 0; d < (o->bidir ? 2 : 1); d++) {
			hwt_flows_stream_totals(u->rx.flows, (uint16_t)(o->id + d), &f);
			t->own_arrived += f.unique;
			t->own_gaps += f.lost;
		}
	}
	for (i = 0; i < e->nb_workers; i++)
		t->cpu_ns += worker_cpu_ns(&e->workers[i]);
	t->own_sent = t->c.tx_packets;
	t->own_exact = o->mode == HWT_MODE_GENSINK && !e->was_reset;
	if (t->c.tx_last > t->c.tx_first && t->c.tx_first != 0)
		t->tx_cycles = t->c.tx_last - t->c.tx_first;
	if (t->c.rx_last > t->c.rx_first && t->c.rx_first != 0)
		t->rx_cycles = t->c.rx_last - t->c.rx_first;
}

void
hwt_engine_latency(const struct hwt_engine *e, struct hwt_hist *h)
{
	uint32_t i;

	hwt_hist_reset(h);
	for (i = 0; i < e->nb_units; i++)
		if (e->units[i]->kind == HWT_UNIT_RX)
			hwt_hist_merge(h, e->units[i]->rx.latency);
}
