/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#include <string.h>

#include "histogram.h"

uint64_t
hwt_hist_low(uint32_t index)
{
	uint32_t shift;

	if (index < 2 * HWT_HIST_HALF)
		return index;
	shift = index / HWT_HIST_HALF - 1;
	return (uint64_t)(index - shift * HWT_HIST_HALF) << shift;
}

uint64_t
hwt_hist_high(uint32_t index)
{
	uint32_t shift;

	if (index < 2 * HWT_HIST_HALF)
		return index;
	shift = index / HWT_HIST_HALF - 1;
	return hwt_hist_low(index) + (UINT64_C(1) << shift) - 1;
}

void
hwt_hist_reset(struct hwt_hist *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

void
hwt_hist_merge(struct hwt_hist *dst, const struct hwt_hist *src)
{
	uint32_t i, end;

	/* The recorder raises max last, so look one bucket run further. */
	end = hwt_hist_index(src->max) + HWT_HIST_HALF;
	if (end > HWT_HIST_BUCKETS)
		end = HWT_HIST_BUCKETS;
	for (i = 0; i < end; i++) {
		uint64_t n = src->bucket[i];

		dst->bucket[i] += n;
		dst->count += n;
	}
	if (src->min < dst->min)
		dst->min = src->min;
	if (src->max > dst->max)
		dst->max = src->max;
}

void
hwt_hist_delta(struct hwt_hist *dst, const struct hwt_hist *now, const struct hwt_hist *before)
{
	uint32_t i, end, lowest = HWT_HIST_BUCKETS, highest = 0;

	hwt_hist_reset(dst);
	end = hwt_hist_index(now->max) + HWT_HIST_HALF;
	if (end > HWT_HIST_BUCKETS)
		end = HWT_HIST_BUCKETS;
	for (i = 0; i < end; i++) {
		uint64_t n = now->bucket[i] - before->bucket[i];

		if (n == 0)
			continue;
		dst->bucket[i] = n;
		dst->count += n;
		if (lowest == HWT_HIST_BUCKETS)
			lowest = i;
		highest = i;
	}
	if (dst->count == 0)
		return;
	dst->min = hwt_hist_low(lowest);
	if (dst->min < now->min)
		dst->min = now->min;
	dst->max = hwt_hist_high(highest);
	if (dst->max > now->max || highest == HWT_HIST_BUCKETS - 1)
		dst->max = now->max;
}

uint64_t
hwt_hist_percentile(const struct hwt_hist *h, double percent)
{
	uint64_t rank, seen = 0;
	double exact;
	uint32_t i;

	if (h->count == 0)
		return 0;
	if (percent <= 0)
		return h->min;
	exact = (double)h->count * percent / 100.0;
	rank = (uint64_t)exact;
	if ((double)rank < exact)
		rank++;
	if (rank == 0)
		rank = 1;
	if (rank >= h->count)
		return h->max;
	for (i = 0; i < HWT_HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= rank) {
			uint64_t value = hwt_hist_high(i);

			if (i == HWT_HIST_BUCKETS - 1 || value > h->max)
				return h->max;
			return value;
		}
	}
	return h->max;
}
