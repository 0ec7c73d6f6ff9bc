/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#ifndef HWT_FLOWS_H
#define HWT_FLOWS_H

/*
 * Sequence state of received flows: lost, duplicated, reordered.
 *
 * A flow is a (stream id, flow number) pair.  A generator numbers the packets
 * of a flow 0, 1, 2, ... modulo 2^32; the numbers are unwrapped to 64 bit
 * here.  Each run of a generator carries a run mark (epoch); a new mark begins
 * the flow anew, so that a restarted generator is no loss.
 *
 * The exact definitions, "highest" being the highest number seen so far:
 *
 *   received    every packet given to hwt_flows_track().
 *   unique      packets whose number had not been seen before.
 *   lost        numbers between the lowest and the highest one seen that have
 *               not arrived.  A number that does arrive late is taken off
 *               again.  What is missing before the first and after the last
 *               packet seen is invisible here; whoever knows how many were
 *               sent gets the whole loss as sent - unique.
 *   duplicated  packets whose number is within HWT_FLOW_WINDOW of the highest
 *               and had been seen before.
 *   reordered   packets that are no duplicates and whose number is lower than
 *               the highest: they came after a later one.  The packet that
 *               overtook them is not counted.
 *   beyond      packets HWT_FLOW_WINDOW or more numbers behind the highest.
 *               Nobody remembers whether these had been seen: they count as
 *               reordered too, and not as unique, and leave lost as it is.
 *   restarts    times a flow began anew with another run mark.
 *   old_run     packets of the run before the present one, arriving after the
 *               restart; not looked at any further.
 *   untracked   packets for which no memory was left to follow their flow.
 *
 * One thread tracks; another may read the totals meanwhile.  Plain C, no DPDK.
 */

#include <stdbool.h>
#include <stdint.h>

#define HWT_FLOW_WINDOW   1024
#define HWT_FLOW_WORDS    (HWT_FLOW_WINDOW / 64)
#define HWT_FLOW_CHUNK    256
#define HWT_FLOW_NO_EPOCH 0xff
#define HWT_STREAM_IDS    65536

enum hwt_flow_verdict {
	HWT_FLOW_IN_ORDER,
	HWT_FLOW_AFTER_GAP,
	HWT_FLOW_DUPLICATED,
	HWT_FLOW_REORDERED,
	HWT_FLOW_BEYOND,
	HWT_FLOW_RESTARTED,
	HWT_FLOW_OLD_RUN,
	HWT_FLOW_UNTRACKED,
};

struct hwt_flow_totals {
	uint64_t received;
	uint64_t unique;
	uint64_t lost;
	uint64_t duplicated;
	uint64_t reordered;
	uint64_t beyond;
	uint64_t restarts;
	uint64_t old_run;
	uint64_t untracked;
	uint64_t flows; /* flows seen */
};

struct hwt_flow {
	uint64_t highest; /* unwrapped, begins above 2^32 */
	uint64_t lowest;
	uint8_t epoch; /* HWT_FLOW_NO_EPOCH: never seen */
	uint8_t last_epoch;
	/* One bit per number modulo HWT_FLOW_WINDOW: has it been seen? */
	uint64_t seen[HWT_FLOW_WORDS];
};

struct hwt_stream {
	struct hwt_flow_totals totals;
	uint16_t id;
	struct hwt_flow *chunk[HWT_STREAM_IDS / HWT_FLOW_CHUNK];
};

struct hwt_flows {
	struct hwt_stream *stream[HWT_STREAM_IDS];
	uint16_t id[HWT_STREAM_IDS]; /* those in use, in order of arrival */
	uint32_t nb_ids;
	uint64_t untracked;
};

/* NULL when there is no memory. */
struct hwt_flows *hwt_flows_create(void);
void hwt_flows_free(struct hwt_flows *t);

/* Forget all flows and totals; only for the tracking thread. */
void hwt_flows_reset(struct hwt_flows *t);

/* Sum over all streams, and the totals of one stream (0s when unknown). */
void hwt_flows_totals(const struct hwt_flows *t, struct hwt_flow_totals *sum);
void hwt_flows_stream_totals(const struct hwt_flows *t, uint16_t id,
			     struct hwt_flow_totals *totals);

enum hwt_flow_verdict hwt_flows_track_slow(struct hwt_flows *t, uint16_t id, uint16_t flow,
					   uint8_t epoch, uint32_t seq);

/* Take note of one packet.  epoch: any value but HWT_FLOW_NO_EPOCH. */
static inline enum hwt_flow_verdict
hwt_flows_track(struct hwt_flows *t, uint16_t id, uint16_t flow, uint8_t epoch, uint32_t seq)
{
	struct hwt_stream *s = t->stream[id];

	if (__builtin_expect(s != NULL, 1)) {
		struct hwt_flow *f = s->chunk[flow / HWT_FLOW_CHUNK];

		if (__builtin_expect(f != NULL, 1)) {
			f += flow % HWT_FLOW_CHUNK;
			if (__builtin_expect(f->epoch == epoch && seq == (uint32_t)(f->highest + 1),
					     1)) {
				f->highest++;
				f->seen[(seq / 64) % HWT_FLOW_WORDS] |= UINT64_C(1) << (seq % 64);
				s->totals.received++;
				s->totals.unique++;
				return HWT_FLOW_IN_ORDER;
			}
		}
	}
	return hwt_flows_track_slow(t, id, flow, epoch, seq);
}

/* The flow if a packet of this run of it was tracked, else NULL.  Valid as long as the table. */
static inline struct hwt_flow *
hwt_flows_find(const struct hwt_flows *t, uint16_t id, uint16_t flow, uint8_t epoch)
{
	const struct hwt_stream *s = t->stream[id];
	struct hwt_flow *f = s != NULL ? s->chunk[flow / HWT_FLOW_CHUNK] : NULL;

	if (f == NULL)
		return NULL;
	f += flow % HWT_FLOW_CHUNK;
	return f->epoch == epoch ? f : NULL;
}

/* Take note of n packets of the stream's flow f that came in order, with the numbers after the
 * highest one. */
static inline void
hwt_flow_follow(struct hwt_stream *s, struct hwt_flow *f, uint32_t n)
{
	s->totals.received += n;
	s->totals.unique += n;
	while (n > 0) {
		uint32_t bit = (uint32_t)(f->highest + 1) % 64;
		uint32_t some = n < 64 - bit ? n : 64 - bit;

		f->seen[(f->highest + 1) / 64 % HWT_FLOW_WORDS] |= UINT64_MAX >> (64 - some) << bit;
		f->highest += some;
		n -= some;
	}
}

#endif /* HWT_FLOWS_H */
