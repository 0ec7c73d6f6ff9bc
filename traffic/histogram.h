/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#ifndef HWT_HISTOGRAM_H
#define HWT_HISTOGRAM_H

/*
 * Log-linear histogram of unsigned values (nanoseconds, but any unit will do).
 *
 * Values below 2^HWT_HIST_SUB_BITS have a bucket each.  Above, every power of
 * two is cut into 2^(HWT_HIST_SUB_BITS - 1) equal buckets, so that a bucket is
 * never wider than 1/1024 of its values: three significant digits.  Values of
 * 2^HWT_HIST_MAX_BITS and more share the last bucket (as nanoseconds: more
 * than 73 minutes); min and max stay exact.
 *
 * One thread records; another may merge the same histogram meanwhile and gets
 * a picture that is at most a few samples old.  Plain C, no DPDK.
 */

#include <stdint.h>

#define HWT_HIST_SUB_BITS 11
#define HWT_HIST_MAX_BITS 42
#define HWT_HIST_HALF     (1u << (HWT_HIST_SUB_BITS - 1))
#define HWT_HIST_BUCKETS  ((HWT_HIST_MAX_BITS - HWT_HIST_SUB_BITS + 2) * HWT_HIST_HALF)

struct hwt_hist {
	uint64_t count;
	uint64_t min; /* UINT64_MAX while empty */
	uint64_t max; /* 0 while empty */
	uint64_t bucket[HWT_HIST_BUCKETS];
};

/* Bucket number of a value. */
static inline uint32_t
hwt_hist_index(uint64_t value)
{
	uint32_t shift;

	if (value < (UINT64_C(1) << HWT_HIST_SUB_BITS))
		return (uint32_t)value;
	if (value >= (UINT64_C(1) << HWT_HIST_MAX_BITS))
		return HWT_HIST_BUCKETS - 1;
	shift = 63 - (uint32_t)__builtin_clzll(value) - (HWT_HIST_SUB_BITS - 1);
	return shift * HWT_HIST_HALF + (uint32_t)(value >> shift);
}

static inline void
hwt_hist_record(struct hwt_hist *h, uint64_t value)
{
	h->bucket[hwt_hist_index(value)]++;
	h->count++;
	if (value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
}

/* Smallest and largest value that fall into a bucket. */
uint64_t hwt_hist_low(uint32_t index);
uint64_t hwt_hist_high(uint32_t index);

void hwt_hist_reset(struct hwt_hist *h);

/* Add the samples of src to dst. */
void hwt_hist_merge(struct hwt_hist *dst, const struct hwt_hist *src);

/*
 * Set dst to the samples that are in now and not in before, where before is
 * an earlier copy of now.  Its min and max are those of its buckets.
 */
void hwt_hist_delta(struct hwt_hist *dst, const struct hwt_hist *now,
		    const struct hwt_hist *before);

/*
 * Smallest value that at least percent (0..100) of the samples do not exceed,
 * rounded up to the end of its bucket but never beyond max; 0 when empty.
 */
uint64_t hwt_hist_percentile(const struct hwt_hist *h, double percent);

#endif /* HWT_HISTOGRAM_H */
