/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copies of whole slots, in the width of vectors that this file is compiled for (isa.h), and what
 * the caches are told about them.
 */
#ifndef HIGHWAY_PMD_COPY_H
#define HIGHWAY_PMD_COPY_H

#include <rte_common.h>
#include <rte_prefetch.h>
#include <string.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "ring.h"

/*
 * Asks for a line that will be written.  By its own instruction on x86: compilers make a
 * fetch for reading of their builtin, unless the processor chosen at build time is known
 * to have this one, and that leaves the line where it is; where the processor lacks it, it does
 * nothing.
 */
static __rte_always_inline void
hwy_prefetch_write(const void *line)
{
#ifdef RTE_ARCH_X86
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
#else
	rte_prefetch0_write(line);
#endif
}

/* From HWY_SLOT - n on: n bytes that keep what they are combined with, then such as clear it. */
extern const uint8_t hwy_slot_mask[2 * HWY_SLOT]; /* mbuf.c */

/*
 * Copies one slot; HWY_SLOT bytes are read from 'from' whatever 'length' is.
 *
 * 'bare', a constant: keeps the first 'length' bytes, at most HWY_SLOT, and clears the rest, before
 * any of it is in 'to': a reader that looks too early finds nothing either.
 * 'past', a constant: past the caches, to 'to', which is aligned to HWY_SLOT, and in no order with
 * other stores until hwy_past_fence().
 */
static __rte_always_inline void
hwy_write_slot(uint8_t *restrict to, const uint8_t *restrict from, uint32_t length, const bool bare,
	       const bool past)
{
	const uint8_t *mask = &hwy_slot_mask[bare ? HWY_SLOT - length : 0];
#if defined(__AVX512F__)
	__m512i v = _mm512_loadu_si512(from);

	if (bare)
		v = _mm512_and_si512(v, _mm512_loadu_si512(mask));
	if (past)
		_mm512_stream_si512((__m512i *)(void *)to, v);
	else
		_mm512_storeu_si512(to, v);
#elif defined(__AVX2__)
	__m256i *out = (__m256i *)(void *)to, v[2];

	for (int i = 0; i < 2; i++) {
		v[i] = _mm256_loadu_si256((const __m256i *)(const void *)from + i);
		if (bare)
			v[i] = _mm256_and_si256(
				v[i], _mm256_loadu_si256((const __m256i *)(const void *)mask + i));
	}
	for (int i = 0; i < 2; i++)
		past ? _mm256_stream_si256(out + i, v[i]) : _mm256_storeu_si256(out + i, v[i]);
#elif defined(__SSE2__)
	__m128i *out = (__m128i *)(void *)to, v[4];

	for (int i = 0; i < 4; i++) {
		v[i] = _mm_loadu_si128((const __m128i *)(const void *)from + i);
		if (bare)
			v[i] = _mm_and_si128(
				v[i], _mm_loadu_si128((const __m128i *)(const void *)mask + i));
	}
	for (int i = 0; i < 4; i++)
		past ? _mm_stream_si128(out + i, v[i]) : _mm_storeu_si128(out + i, v[i]);
#else
	(void)mask;
	(void)past;
	memcpy(to, from, bare ? length : HWY_SLOT);
	if (bare)
		memset(to + length, 0, HWY_SLOT - length);
#endif
}

/* What was written past the caches comes before all that is stored after this. */
static __rte_always_inline void
hwy_past_fence(void)
{
#ifdef __SSE2__
	_mm_sfence();
#endif
}

/*
 * Copies one slot: HWY_SLOT bytes are read from 'from', whatever the packet's length.  What
 * lies behind the packet goes along: only for those who may see all of the sender's memory.
 */
static __rte_always_inline void
hwy_copy_slot(uint8_t *restrict to, const uint8_t *restrict from)
{
	hwy_write_slot(to, from, HWY_SLOT, false, false);
}

/* Copies one slot of which 'length' bytes, at most HWY_SLOT, are the packet's, and clears the rest.
 */
static __rte_always_inline void
hwy_copy_tail(uint8_t *restrict to, const uint8_t *restrict from, uint32_t length)
{
	hwy_write_slot(to, from, length, true, false);
}

/*
 * How many of 'n' descriptors, from the first on, are 'desc'?  In groups of eight: of a smaller
 * rest, and of a group with another among them, none.
 */
static __rte_always_inline uint32_t
hwy_alike(const uint64_t *from, uint32_t n, uint64_t desc)
{
	uint32_t i;

	for (i = 0; i + 8 <= n; i += 8) {
#if defined(__AVX512F__)
		if (_mm512_cmpneq_epi64_mask(_mm512_loadu_si512(from + i),
					     _mm512_set1_epi64((long long)desc)) != 0)
			break;
#else
		uint64_t other = 0;

		for (int j = 0; j < 8; j++)
			other |= hwy_load(&from[i + (uint32_t)j]) ^ desc;
		if (other != 0)
			break;
#endif
	}
	return i;
}

#endif /* HIGHWAY_PMD_COPY_H */
