/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The physical floor: pointers through a bare rte_ring, one producer on CPU 1 and one
 * consumer on CPU 0, bursts of 32, nothing else done.
 *
 *   ring-floor SECONDS      prints Mpps
 */
#include <pthread.h>
#include <rte_pause.h>
#include <rte_ring.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BURST   32
#define ENTRIES 1024

static struct rte_ring *ring;
static bool stop;

static void
pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0)
		fprintf(stderr, "ring-floor: CPU %d is not there\n", cpu);
}

static void *
produce(void *arg)
{
	void *burst[BURST] = {NULL};

	(void)arg;
	pin(1);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		if (rte_ring_sp_enqueue_burst(ring, burst, BURST, NULL) == 0)
			rte_pause();
	}
	return NULL;
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	double length = argc > 1 ? atof(argv[1]) : 0, start, now;
	ssize_t size = rte_ring_get_memsize(ENTRIES);
	unsigned long long packets = 0;
	void *burst[BURST];
	pthread_t thread;

	if (length <= 0) {
		fprintf(stderr, "usage: ring-floor SECONDS\n");
		return 2;
	}
	ring = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL((size_t)size, (size_t)4096));
	if (ring == NULL ||
	    rte_ring_init(ring, "floor", ENTRIES, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
		fprintf(stderr, "ring-floor: no memory\n");
		return 1;
	}
	pin(0);
	if (pthread_create(&thread, NULL, produce, NULL) != 0) {
		fprintf(stderr, "ring-floor: no thread\n");
		return 1;
	}
	start = seconds();
	do {
		for (int i = 0; i < 1000; i++) {
			unsigned int n = rte_ring_sc_dequeue_burst(ring, burst, BURST, NULL);

			if (n == 0)
				rte_pause();
			packets += n;
		}
		now = seconds();
	} while (now - start < length);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	printf("%.3f\n", (double)packets / (now - start) / 1e6);
	return 0;
}
