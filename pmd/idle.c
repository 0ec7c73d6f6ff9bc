/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A poller that finds nothing may give its core away (idle=yield): needed wherever
 * more pollers than cores share a machine.  It does so only after an empty poll of
 * every queue that the process may be polling, so that a thread with several ports
 * does not leave the core while one of them has work.
 *
 * It may also sleep for a moment, once that has been so for a while (idle=sleep): for machines
 * whose processors are not for pollers alone, such as the emulated ones of a small host.
 *
 * A sender that finds the ring full gives the core away too, and then tries once more:
 * on a shared core nobody can have made room in the meantime otherwise.
 */
#include <rte_pause.h>
#include <sched.h>
#include <time.h>

#include "highway.h"

uint32_t hwy_polled_queues;
__thread uint32_t hwy_empty_polls;

#define SLEEP_AFTER 16     /* empty polls of every queue, */
#define SLEEP_NS    50000  /* and so long, once each after that, doubled until */
#define SLEEP_MAX   400000 /* it is this */

void
hwy_idle_wait(const struct hwy_rx_queue *q)
{
	if (q->dev->idle == HWY_IDLE_PAUSE) {
		rte_pause();
	} else if (q->dev->idle == HWY_IDLE_SLEEP) {
		static __thread long sleep_ns = SLEEP_NS;
		uint32_t queues = hwy_load(&hwy_polled_queues);

		if (++hwy_empty_polls == 1)
			sleep_ns = SLEEP_NS; /* there was a packet */
		if (hwy_empty_polls >= SLEEP_AFTER * queues) {
			const struct timespec moment = {.tv_nsec = sleep_ns};

			hwy_empty_polls = (SLEEP_AFTER - 1) * queues;
			sleep_ns = RTE_MIN(2 * sleep_ns, SLEEP_MAX);
			nanosleep(&moment, NULL);
		}
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
