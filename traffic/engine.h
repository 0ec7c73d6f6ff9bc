/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#ifndef HWT_ENGINE_H
#define HWT_ENGINE_H

/*
 * The loops that move packets.
 *
 * The work is cut into units: generate on a port, receive and check on a port,
 * reflect on a port, forward from a port to another.  A unit has some of the
 * queues of its port and belongs to one lcore.  Each lcore goes round its
 * units; nothing is shared between lcores but the steering below, which is
 * written rarely.
 */

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "flows.h"
#include "histogram.h"
#include "options.h"
#include "packet.h"

#define HWT_MAX_WORKERS 32
#define HWT_MAX_UNITS   64

enum hwt_unit_kind {
	HWT_UNIT_TX,
	HWT_UNIT_RX,
	HWT_UNIT_REFLECT,
	HWT_UNIT_FORWARD,
};

/* Written by the lcore of the unit, read by the reporting thread. */
struct hwt_counters {
	uint64_t tx_packets; /* accepted by the device */
	uint64_t tx_bytes;
	uint64_t tx_full;    /* bursts not accepted, or not wholly */
	uint64_t tx_dropped; /* given up with --drop-on-full */
	uint64_t tx_first;   /* TSC of the first and last packet */
	uint64_t tx_last;
	uint64_t tx_busy; /* cycles spent in steps that sent */
	uint64_t no_mbuf;
	uint64_t rx_packets; /* everything received */
	uint64_t rx_bytes;
	uint64_t rx_first;
	uint64_t rx_last;
	uint64_t rx_busy;
	uint64_t foreign;
	uint64_t corrupted;
	uint64_t finished; /* generator: nothing more to send for now */
} __rte_cache_aligned;

/* Packets that wait for the device to take them. */
struct hwt_pending {
	uint16_t first;
	uint16_t count;
	struct rte_mbuf *pkts[HWT_MAX_BURST];
	uint16_t len[HWT_MAX_BURST];
};

struct hwt_tx_queue {
	struct hwt_pending wait;
	struct hwt_template *flows;
	uint32_t nb_flows;
	uint32_t next_flow;
	uint32_t stamp_skip; /* packets until the next stamped one */
	uint16_t queue;
};

struct hwt_tx {
	struct hwt_tx_queue *queues;
	uint32_t next_queue;
	bool simple;    /* one size, one segment, fixed header place */
	uint64_t rearm; /* first fields of a fresh buffer */
	uint16_t hdr_off;
	uint16_t next_size;
	uint16_t max_segs_len; /* data room of a segment */
	double share;          /* of the rate of its direction */
	bool limited;          /* by --count */
	uint64_t count;        /* packets to send from a start on */
	uint64_t remaining;
	uint64_t start_seen;
	uint64_t rate_seen;
	double per_cycle;
	double issued;
	uint64_t base;
	uint16_t id;
};

struct hwt_rx {
	struct hwt_flows *flows;
	struct hwt_hist *latency;
	uint64_t ns_mult; /* nanoseconds a cycle, times 2^32 */
	uint64_t head;    /* first 6 bytes of the last test header looked at, 0: none */
};

struct hwt_unit {
	struct hwt_counters c;
	uint32_t (*step)(struct hwt_unit *unit, uint64_t now);
	const struct hwt_options *o;
	const struct hwt_control *control;
	struct rte_mempool *pool;
	struct hwt_tx tx;
	struct hwt_rx rx;
	struct hwt_pending *relay; /* reflect and forward, per queue */
	enum hwt_unit_kind kind;
	uint16_t port;
	uint16_t out_port;
	uint16_t nb_queues;
	uint16_t queues[HWT_MAX_QUEUES];
	uint32_t worker;
} __rte_cache_aligned;

/* Steering: written by the reporting thread, read by the workers. */
struct hwt_control {
	uint64_t quit;
	uint64_t running; /* generators may send */
	uint64_t start;   /* number of starts so far */
	uint64_t rate;    /* per direction */
	uint64_t reset;   /* number of resets asked for */
} __rte_cache_aligned;

struct hwt_engine;

struct hwt_worker {
	uint64_t reset_done;
	struct hwt_engine *engine;
	uint32_t nb_units;
	struct hwt_unit *units[HWT_MAX_UNITS];
	/* Only when the worker is the main lcore too: what it does then. */
	void (*aside)(void *arg, uint64_t now);
	void *aside_arg;
	uint64_t aside_cycles;
	/* Processor time of the thread, set once it runs. */
	uint64_t cpu_known;
	clockid_t cpu_clock;
	uint64_t cpu_begin; /* in nanoseconds */
} __rte_cache_aligned;

struct hwt_engine {
	struct hwt_control control;
	const struct hwt_options *o;
	struct rte_mempool *pool;
	struct hwt_worker *workers;
	uint32_t nb_workers;
	struct hwt_unit **units;
	uint32_t nb_units;
	bool was_reset;
};

/* Sums over all units. */
struct hwt_totals {
	struct hwt_counters c;
	struct hwt_flow_totals flows;
	uint64_t tx_cycles; /* from the first to the last packet */
	uint64_t rx_cycles;
	uint64_t own_sent; /* gensink: what we sent, and of that arrived */
	uint64_t own_arrived;
	uint64_t own_gaps; /* lost, as seen from the sequence alone */
	uint64_t cpu_ns;   /* processor time of the workers */
	bool own_exact;    /* own_sent and own_arrived tell the loss */
};

/* Set up units for nb_workers lcores; false after a printed sentence. */
bool hwt_engine_create(struct hwt_engine *e, const struct hwt_options *o, struct rte_mempool *pool,
		       uint32_t nb_workers);
void hwt_engine_free(struct hwt_engine *e);

/* The loop of a worker, for rte_eal_remote_launch(). */
int hwt_worker_run(void *worker);

void hwt_engine_start(struct hwt_engine *e);
void hwt_engine_stop(struct hwt_engine *e);
void hwt_engine_rate(struct hwt_engine *e, uint64_t rate);
void hwt_engine_quit(struct hwt_engine *e);
/* Ask all workers to set their counters to 0, and whether they have. */
void hwt_engine_reset(struct hwt_engine *e);
bool hwt_engine_reset_done(const struct hwt_engine *e);

void hwt_engine_totals(const struct hwt_engine *e, struct hwt_totals *t);
void hwt_engine_latency(const struct hwt_engine *e, struct hwt_hist *h);
/* Have all generators sent what they had to? */
bool hwt_engine_finished(const struct hwt_engine *e);

/* engine_tx.c */
bool hwt_tx_setup(struct hwt_unit *u, uint16_t id, double share, uint64_t count);
uint32_t hwt_tx_step(struct hwt_unit *u, uint64_t now);
void hwt_tx_free(struct hwt_unit *u);

/* engine_rx.c */
bool hwt_rx_setup(struct hwt_unit *u);
uint32_t hwt_rx_step(struct hwt_unit *u, uint64_t now);
void hwt_rx_reset(struct hwt_unit *u);
void hwt_rx_free(struct hwt_unit *u);

/* engine_relay.c */
bool hwt_relay_setup(struct hwt_unit *u);
uint32_t hwt_relay_step(struct hwt_unit *u, uint64_t now);
void hwt_relay_free(struct hwt_unit *u);

/* Hand waiting packets to the device and count them. */
uint16_t hwt_pending_send(struct hwt_unit *u, struct hwt_pending *w, uint16_t port, uint16_t queue);

static inline uint64_t
hwt_load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

#endif /* HWT_ENGINE_H */
