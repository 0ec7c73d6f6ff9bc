/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A poller that finds nothing may give its core away (idle=yield): needed wherever
 * more pollers than cores share a machine.  It does so only after an empty poll of
 * every queue that the process may be polling, so that a thread with several ports
 * does not leave the core while one of them has work.
 *
 * A sender that finds the ring full gives the core away too, and then tries once more:
 * on a shared core nobody can have made room in the meantime otherwise.
 */
#include <rte_pause.h>
#include <sched.h>

#include "highway.h"

uint32_t hwy_polled_queues;
__thread uint32_t hwy_empty_polls;

void
hwy_idle_wait(const struct hwy_rx_queue *q)
{
	if (q->dev->idle == HWY_IDLE_PAUSE) {
		rte_pause();
	} else if (++hwy_empty_polls >= hwy_load(&hwy_polled_queues)) {
		hwy_empty_polls = 0;
		sched_yield();
	}
}

void
hwy_idle_full(const struct hwy_dev *dev)
{
	if (dev->idle == HWY_IDLE_YIELD)
		sched_yield();
}
