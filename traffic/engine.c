/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_pause.h>

#include "engine.h"

/*
 * With --idle yield: so many packets in a row, sent and received, and it is another's
 * turn.  A generator always has something to do, and where the scheduler lets it, as a real-time
 * one does, it keeps the core from those that are to receive what it sends.
 */
#define HWT_TURN 2048

/* How often a worker that is the main lcore too looks after the reports. */
#define HWT_ASIDE_HZ 1000

static void
worker_cpu_clock(struct hwt_worker *w)
{
	struct timespec t;

	if (pthread_getcpuclockid(pthread_self(), &w->cpu_clock) != 0 ||
	    clock_gettime(w->cpu_clock, &t) != 0)
		return;
	w->cpu_begin = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	__atomic_store_n(&w->cpu_known, 1, __ATOMIC_RELEASE);
}

static void
worker_reset(struct hwt_worker *w)
{
	uint64_t asked = __atomic_load_n(&w->engine->control.reset, __ATOMIC_ACQUIRE);
	uint32_t i;

	worker_cpu_clock(w);
	for (i = 0; i < w->nb_units; i++) {
		struct hwt_unit *u = w->units[i];
		uint64_t finished = u->c.finished;

		memset(&u->c, 0, sizeof(u->c));
		u->c.finished = finished;
		if (u->kind == HWT_UNIT_RX)
			hwt_rx_reset(u);
	}
	__atomic_store_n(&w->reset_done, asked, __ATOMIC_RELEASE);
}

/* Note that a step which began at then and ended at now moved packets. */
static inline void
worker_account(struct hwt_unit *u, uint64_t then, uint64_t now)
{
	uint64_t busy = now - then;

	if (u->kind != HWT_UNIT_RX) {
		u->c.tx_last = now;
		u->c.tx_busy += busy;
	}
	if (u->kind != HWT_UNIT_TX) {
		u->c.rx_last = now;
		u->c.rx_busy += busy;
	}
}

int
hwt_worker_run(void *arg)
{
	struct hwt_worker *w = arg;
	const struct hwt_control *control = &w->engine->control;
	const struct timespec moment = {.tv_nsec = 200000};
	const enum hwt_idle idle = w->engine->o->idle;
	uint64_t now = rte_rdtsc(), then, next_aside = now;
	uint32_t i, moved, n, turn = 0;

	worker_cpu_clock(w);
	while (likely(hwt_load(&control->quit) == 0)) {
		moved = 0;
		for (i = 0; i < w->nb_units; i++) {
			struct hwt_unit *u = w->units[i];

			then = now;
			n = u->step(u, then);
			now = rte_rdtsc();
			if (n > 0)
				worker_account(u, then, now);
			moved += n;
		}
		if (unlikely(hwt_load(&control->reset) != w->reset_done))
			worker_reset(w);
		if (w->aside != NULL && unlikely(now >= next_aside)) {
			w->aside(w->aside_arg, now);
			now = rte_rdtsc();
			next_aside = now + w->aside_cycles;
		}
		turn += moved;
		if (moved == 0 || (idle == HWT_IDLE_YIELD && turn >= HWT_TURN)) {
			if (idle == HWT_IDLE_YIELD)
				sched_yield();
			else if (idle == HWT_IDLE_SLEEP)
				nanosleep(&moment, NULL);
			else
				rte_pause();
			turn = 0;
			now = rte_rdtsc();
		}
	}
	return 0;
}

/* Workers that take units of one kind in turn. */
struct worker_set {
	uint32_t first;
	uint32_t nb;
	uint32_t next;
};

static struct hwt_unit *
engine_unit(struct hwt_engine *e, enum hwt_unit_kind kind, uint16_t port, uint16_t out_port,
	    uint32_t worker)
{
	struct hwt_worker *w = &e->workers[worker];
	struct hwt_unit *u;

	if (e->nb_units == HWT_MAX_UNITS)
		return NULL;
	u = rte_zmalloc("hwt_unit", sizeof(*u), RTE_CACHE_LINE_SIZE);
	if (u == NULL)
		return NULL;
	u->o = e->o;
	u->control = &e->control;
	u->pool = e->pool;
	u->kind = kind;
	u->port = port;
	u->out_port = out_port;
	u->worker = worker;
	e->units[e->nb_units++] = u;
	w->units[w->nb_units++] = u;
	return u;
}

/* Flows of the queues of a unit, and of the units before it. */
static uint32_t
unit_flows(const struct hwt_unit *u)
{
	uint32_t flows = 0;
	uint16_t i;

	for (i = 0; i < u->nb_queues; i++)
		flows += (u->o->flows - u->queues[i] + u->o->queues - 1) / u->o->queues;
	return flows;
}

/* Part of the count that falls to the flows from first on. */
static uint64_t
count_part(const struct hwt_options *o, uint32_t first, uint32_t flows)
{
	__extension__ typedef unsigned __int128 wide;

	return (uint64_t)((wide)o->count * (first + flows) / o->flows) -
	       (uint64_t)((wide)o->count * first / o->flows);
}

/* The units of one kind on one port, its queues shared out over the set. */
static bool
engine_add(struct hwt_engine *e, struct worker_set *set, enum hwt_unit_kind kind, uint16_t port,
	   uint16_t out_port, uint16_t id)
{
	const struct hwt_options *o = e->o;
	uint32_t nb = RTE_MIN(set->nb, (uint32_t)o->queues), k, flows;
	uint32_t before = 0;
	uint16_t q;
	bool ok;

	for (k = 0; k < nb; k++) {
		struct hwt_unit *u =
			engine_unit(e, kind, port, out_port, set->first + set->next++ % set->nb);

		if (u == NULL)
			return false;
		for (q = (uint16_t)k; q < o->queues; q += nb)
			u->queues[u->nb_queues++] = q;
		if (kind == HWT_UNIT_TX) {
			flows = unit_flows(u);
			ok = hwt_tx_setup(u, id, (double)flows / o->flows,
					  count_part(o, before, flows));
			before += flows;
		} else if (kind == HWT_UNIT_RX) {
			ok = hwt_rx_setup(u);
		} else {
			ok = hwt_relay_setup(u);
		}
		if (!ok)
			return false;
	}
	return true;
}

static bool
engine_units(struct hwt_engine *e)
{
	const struct hwt_options *o = e->o;
	struct worker_set all = {0, e->nb_workers, 0};
	struct worker_set tx = all, rx = all;
	bool ok = true;

	if (o->mode == HWT_MODE_GENSINK && e->nb_workers > 1) {
		tx.nb = e->nb_workers / 2;
		rx.first = tx.nb;
		rx.nb = e->nb_workers - tx.nb;
	}
	switch (o->mode) {
	case HWT_MODE_GEN:
		return engine_add(e, &all, HWT_UNIT_TX, o->tx_port, o->tx_port, o->id);
	case HWT_MODE_SINK:
		return engine_add(e, &all, HWT_UNIT_RX, o->rx_port, o->rx_port, o->id);
	case HWT_MODE_REFLECT:
		return engine_add(e, &all, HWT_UNIT_REFLECT, o->rx_port, o->rx_port, o->id);
	case HWT_MODE_FORWARD:
		ok = engine_add(e, &all, HWT_UNIT_FORWARD, o->rx_port, o->tx_port, o->id);
		if (ok && o->rx_port != o->tx_port)
			ok = engine_add(e, &all, HWT_UNIT_FORWARD, o->tx_port, o->rx_port, o->id);
		return ok;
	case HWT_MODE_GENSINK:
		ok = engine_add(e, &tx, HWT_UNIT_TX, o->tx_port, o->tx_port, o->id) &&
		     engine_add(e, &rx, HWT_UNIT_RX, o->rx_port, o->rx_port, o->id);
		if (ok && o->bidir)
			ok = engine_add(e, &tx, HWT_UNIT_TX, o->rx_port, o->rx_port,
					(uint16_t)(o->id + 1)) &&
			     engine_add(e, &rx, HWT_UNIT_RX, o->tx_port, o->tx_port, o->id);
		return ok;
	}
	return false;
}

bool
hwt_engine_create(struct hwt_engine *e, const struct hwt_options *o, struct rte_mempool *pool,
		  uint32_t nb_workers)
{
	uint32_t i;

	memset(e, 0, sizeof(*e));
	e->o = o;
	e->pool = pool;
	e->nb_workers = RTE_MIN(nb_workers, (uint32_t)HWT_MAX_WORKERS);
	e->control.rate = o->rate;
	e->workers = rte_zmalloc("hwt_workers", e->nb_workers * sizeof(*e->workers),
				 RTE_CACHE_LINE_SIZE);
	e->units = calloc(HWT_MAX_UNITS, sizeof(*e->units));
	if (e->workers == NULL || e->units == NULL) {
		fprintf(stderr, "highway-traffic: no memory for the workers; give more with -m or "
				"--socket-mem.\n");
		return false;
	}
	for (i = 0; i < e->nb_workers; i++)
		e->workers[i].engine = e;
	if (!engine_units(e)) {
		fprintf(stderr,
			"highway-traffic: no memory for %u flows; give more with -m or "
			"--socket-mem, or fewer with --flows.\n",
			o->flows);
		return false;
	}
	e->workers[0].aside_cycles = rte_get_tsc_hz() / HWT_ASIDE_HZ;
	return true;
}

void
hwt_engine_free(struct hwt_engine *e)
{
	uint32_t i;

	for (i = 0; i < e->nb_units; i++) {
		struct hwt_unit *u = e->units[i];

		if (u->kind == HWT_UNIT_TX)
			hwt_tx_free(u);
		else if (u->kind == HWT_UNIT_RX)
			hwt_rx_free(u);
		else
			hwt_relay_free(u);
		rte_free(u);
	}
	free(e->units);
	rte_free(e->workers);
	e->units = NULL;
	e->workers = NULL;
	e->nb_units = 0;
}

void
hwt_engine_start(struct hwt_engine *e)
{
	__atomic_store_n(&e->control.running, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&e->control.start, 1, __ATOMIC_RELEASE);
}

void
hwt_engine_stop(struct hwt_engine *e)
{
	__atomic_store_n(&e->control.running, 0, __ATOMIC_RELEASE);
}

void
hwt_engine_rate(struct hwt_engine *e, uint64_t rate)
{
	__atomic_store_n(&e->control.rate, rate, __ATOMIC_RELEASE);
}

void
hwt_engine_quit(struct hwt_engine *e)
{
	__atomic_store_n(&e->control.quit, 1, __ATOMIC_RELEASE);
}

void
hwt_engine_reset(struct hwt_engine *e)
{
	e->was_reset = true;
	__atomic_add_fetch(&e->control.reset, 1, __ATOMIC_RELEASE);
}

bool
hwt_engine_reset_done(const struct hwt_engine *e)
{
	uint32_t i;

	for (i = 0; i < e->nb_workers; i++)
		if (__atomic_load_n(&e->workers[i].reset_done, __ATOMIC_ACQUIRE) !=
		    e->control.reset)
			return false;
	return true;
}

bool
hwt_engine_finished(const struct hwt_engine *e)
{
	uint32_t i;

	for (i = 0; i < e->nb_units; i++) {
		const struct hwt_unit *u = e->units[i];

		if (u->kind != HWT_UNIT_TX)
			continue;
		if (__atomic_load_n(&u->c.finished, __ATOMIC_ACQUIRE) == 0 ||
		    hwt_load(&u->tx.start_seen) != e->control.start)
			return false;
	}
	return true;
}
