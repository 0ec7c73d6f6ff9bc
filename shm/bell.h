/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region's bell: whoever has written something that the host should act upon at once
 * rings it, so that the host's control thread need not look every few milliseconds to be
 * quick.  It is a hint: a ring that is missed costs the time until the next look.
 *
 * A word of the header and futex(2), shared between processes.  In a virtual machine, whose
 * kernel knows nothing of the waiter, ringing does nothing and waiting just sleeps.
 */
#ifndef HIGHWAY_SHM_BELL_H
#define HIGHWAY_SHM_BELL_H

#include <stdint.h>

struct hwy_region;

/* What the bell says now: to be read before looking at what may have changed. */
uint32_t hwy_bell_heard(const struct hwy_region *region);

/* Any thread of any process that has the region mapped for writing. */
void hwy_bell_ring(struct hwy_region *region);

/* Returns when the bell was rung since it said 'heard', or after 'us' microseconds. */
void hwy_bell_wait(struct hwy_region *region, uint32_t heard, unsigned int us);

#endif /* HIGHWAY_SHM_BELL_H */
