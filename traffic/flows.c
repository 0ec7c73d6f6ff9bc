/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#include <stdlib.h>
#include <string.h>

#include "flows.h"

struct hwt_flows *
hwt_flows_create(void)
{
	return calloc(1, sizeof(struct hwt_flows));
}

void
hwt_flows_free(struct hwt_flows *t)
{
	uint32_t i, c;

	if (t == NULL)
		return;
	for (i = 0; i < t->nb_ids; i++) {
		struct hwt_stream *s = t->stream[t->id[i]];

		for (c = 0; c < HWT_STREAM_IDS / HWT_FLOW_CHUNK; c++)
			free(s->chunk[c]);
		free(s);
	}
	free(t);
}

void
hwt_flows_reset(struct hwt_flows *t)
{
	uint32_t i, c, k;

	/* The memory stays, since another thread may be reading totals. */
	for (i = 0; i < t->nb_ids; i++) {
		struct hwt_stream *s = t->stream[t->id[i]];

		memset(&s->totals, 0, sizeof(s->totals));
		for (c = 0; c < HWT_STREAM_IDS / HWT_FLOW_CHUNK; c++) {
			if (s->chunk[c] == NULL)
				continue;
			for (k = 0; k < HWT_FLOW_CHUNK; k++)
				s->chunk[c][k].epoch = HWT_FLOW_NO_EPOCH;
		}
	}
	t->untracked = 0;
}

void
hwt_flows_stream_totals(const struct hwt_flows *t, uint16_t id, struct hwt_flow_totals *totals)
{
	const struct hwt_stream *s = t->stream[id];

	if (s != NULL)
		*totals = s->totals;
	else
		memset(totals, 0, sizeof(*totals));
}

void
hwt_flows_totals(const struct hwt_flows *t, struct hwt_flow_totals *sum)
{
	uint32_t i, n = __atomic_load_n(&t->nb_ids, __ATOMIC_ACQUIRE);

	memset(sum, 0, sizeof(*sum));
	for (i = 0; i < n; i++) {
		const struct hwt_flow_totals *s = &t->stream[t->id[i]]->totals;

		sum->received += s->received;
		sum->unique += s->unique;
		sum->lost += s->lost;
		sum->duplicated += s->duplicated;
		sum->reordered += s->reordered;
		sum->beyond += s->beyond;
		sum->restarts += s->restarts;
		sum->old_run += s->old_run;
		sum->untracked += s->untracked;
		sum->flows += s->flows;
	}
	sum->received += t->untracked;
	sum->untracked += t->untracked;
}

static struct hwt_stream *
flows_stream(struct hwt_flows *t, uint16_t id)
{
	struct hwt_stream *s = t->stream[id];

	if (s != NULL)
		return s;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->id = id;
	t->stream[id] = s;
	t->id[t->nb_ids] = id;
	__atomic_store_n(&t->nb_ids, t->nb_ids + 1, __ATOMIC_RELEASE);
	return s;
}

static struct hwt_flow *
flows_flow(struct hwt_stream *s, uint16_t flow)
{
	struct hwt_flow **chunk = &s->chunk[flow / HWT_FLOW_CHUNK];
	uint32_t i;

	if (*chunk == NULL) {
		*chunk = calloc(HWT_FLOW_CHUNK, sizeof(**chunk));
		if (*chunk == NULL)
			return NULL;
		for (i = 0; i < HWT_FLOW_CHUNK; i++)
			(*chunk)[i].epoch = HWT_FLOW_NO_EPOCH;
	}
	return &(*chunk)[flow % HWT_FLOW_CHUNK];
}

static inline uint64_t *
flow_word(struct hwt_flow *f, uint64_t number)
{
	return &f->seen[(number / 64) % HWT_FLOW_WORDS];
}

static inline uint64_t
flow_bit(uint64_t number)
{
	return UINT64_C(1) << (number % 64);
}

static void
flow_begin(struct hwt_flow *f, uint8_t epoch, uint32_t seq)
{
	/* Room below, for packets that come before the first one seen. */
	f->highest = (UINT64_C(1) << 32) + seq;
	f->lowest = f->highest;
	f->epoch = epoch;
	memset(f->seen, 0, sizeof(f->seen));
	*flow_word(f, seq) |= flow_bit(seq);
}

/* Later than all before, but not by one. */
static void
flow_advance(struct hwt_flow *f, uint64_t number)
{
	uint64_t i;

	if (number - f->highest >= HWT_FLOW_WINDOW) {
		memset(f->seen, 0, sizeof(f->seen));
	} else {
		for (i = f->highest + 1; i < number; i++)
			*flow_word(f, i) &= ~flow_bit(i);
	}
	*flow_word(f, number) |= flow_bit(number);
	f->highest = number;
}

enum hwt_flow_verdict
hwt_flows_track_slow(struct hwt_flows *t, uint16_t id, uint16_t flow, uint8_t epoch, uint32_t seq)
{
	struct hwt_stream *s = flows_stream(t, id);
	enum hwt_flow_verdict verdict = HWT_FLOW_IN_ORDER;
	struct hwt_flow *f;
	int32_t ahead;
	uint64_t number;

	if (s == NULL) {
		t->untracked++;
		return HWT_FLOW_UNTRACKED;
	}
	s->totals.received++;
	f = flows_flow(s, flow);
	if (f == NULL) {
		s->totals.untracked++;
		return HWT_FLOW_UNTRACKED;
	}

	if (f->epoch != epoch) {
		if (f->epoch == HWT_FLOW_NO_EPOCH) {
			s->totals.flows++;
			f->last_epoch = HWT_FLOW_NO_EPOCH;
		} else if (f->last_epoch == epoch) {
			s->totals.old_run++;
			return HWT_FLOW_OLD_RUN;
		} else {
			s->totals.restarts++;
			f->last_epoch = f->epoch;
			verdict = HWT_FLOW_RESTARTED;
		}
		flow_begin(f, epoch, seq);
		s->totals.unique++;
		return verdict;
	}

	ahead = (int32_t)(seq - (uint32_t)f->highest);
	number = f->highest + (uint64_t)(int64_t)ahead;

	if (ahead > 0) {
		s->totals.unique++;
		s->totals.lost += (uint64_t)ahead - 1;
		if (ahead > 1)
			verdict = HWT_FLOW_AFTER_GAP;
		flow_advance(f, number);
		return verdict;
	}
	if (ahead <= -HWT_FLOW_WINDOW) {
		s->totals.reordered++;
		s->totals.beyond++;
		return HWT_FLOW_BEYOND;
	}
	if (*flow_word(f, number) & flow_bit(number)) {
		s->totals.duplicated++;
		return HWT_FLOW_DUPLICATED;
	}
	*flow_word(f, number) |= flow_bit(number);
	s->totals.unique++;
	s->totals.reordered++;
	if (number < f->lowest) {
		/* What lies between is now known to be missing. */
		s->totals.lost += f->lowest - number - 1;
		f->lowest = number;
	} else {
		s->totals.lost--;
	}
	return HWT_FLOW_REORDERED;
}
