/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gates to one receiver that are answered by two threads of the switch.
 *
 *   stress_answer [seconds]
 *
 * Each thread transmits to a down ring of its own, a third one (if there is a
 * core for it) to two more, then the two answer a gate with the producer indexes of all.  One
 * answer must not be later than the other in all down rings but earlier in one: two links with such
 * answers wait for each other, and the receiver reads neither its down rings nor the links ever
 * again.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "gate.h"
#include "region.h"

#define DOWNS 4

static struct hwy_ring down[DOWNS], link_ring[2];
static uint32_t round_of[2]; /* how far each thread is */
static uint32_t over;
static uint64_t rounds, crossed;

static void
wait_for(const uint32_t *word, uint32_t value)
{
	for (uint32_t spins = 0; hwy_before(hwy_load_acquire(word), value); spins++) {
		if (hwy_load_acquire(&over))
			return;
		if (spins % 1024 == 1023)
			sched_yield();
	}
}

static void *
poller(void *arg)
{
	/* In the order of their numbers, as the driver has them. */
	struct hwy_ring *const downs[DOWNS] = {&down[0], &down[1], &down[2], &down[3]};
	uint32_t me = (uint32_t)(uintptr_t)arg, limit = 0;

	for (uint32_t n = 1; !hwy_load(&over); n++) {
		hwy_store(&link_ring[me].gate, 0);
		hwy_store_release(&link_ring[me].gate_epoch, n);
		hwy_store_release(&round_of[me], 2 * n - 1);
		wait_for(&round_of[1 - me], 2 * n - 1); /* both at once */
		for (volatile uint32_t delay = (n * 7 + me * 13) % 31; delay > 0;)
			delay--;
		hwy_store_release(&down[me].prod, n);
		(void)hwy_gate_answer(&link_ring[me], 0, downs, DOWNS, &limit);
		hwy_store_release(&round_of[me], 2 * n);
		wait_for(&round_of[1 - me], 2 * n);
		if (me == 0 && !hwy_load(&over)) {
			bool earlier = false, later = false;

			for (uint32_t d = 0; d < DOWNS; d++) {
				uint32_t a = hwy_load(&link_ring[0].opening[d]);
				uint32_t b = hwy_load(&link_ring[1].opening[d]);

				earlier |= hwy_before(a, b);
				later |= hwy_before(b, a);
			}
			rounds++;
			hwy_count(&crossed, earlier && later);
		}
	}
	return NULL;
}

static void *
third_poller(void *arg)
{
	(void)arg;
	for (uint32_t n = 1; !hwy_load(&over); n++) {
		hwy_store_release(&down[2].prod, n);
		hwy_store_release(&down[3].prod, n);
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 0) : 2;
	uint64_t end = hwy_now_ns() + seconds * 1000000000ULL;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t threads[3];

	if (cores < 2) {
		printf("skipped: needs two cores\n");
		return 77;
	}
	for (uintptr_t i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, poller, (void *)i);
	if (cores > 2)
		pthread_create(&threads[2], NULL, third_poller, NULL);
	while (hwy_now_ns() < end && hwy_load(&crossed) == 0) {
		const struct timespec nap = {.tv_nsec = 5000000};

		nanosleep(&nap, NULL);
	}
	hwy_store(&over, 1);
	for (int i = 0; i < (cores > 2 ? 3 : 2); i++)
		pthread_join(threads[i], NULL);
	printf("%llu pairs of answers, %llu crossed\n", (unsigned long long)rounds,
	       (unsigned long long)crossed);
	return crossed > 0;
}
