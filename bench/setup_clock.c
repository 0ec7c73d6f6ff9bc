/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Watches the link from one port of a region to another open, or close, and prints when
 * each step was seen, in nanoseconds of CLOCK_MONOTONIC.
 *
 *   setup-clock REGION FROM TO open|closed SECONDS
 *
 * It looks every 20 microseconds, at real-time priority, so that it is on time on a
 * saturated CPU and takes nothing from it in between.  The region is mapped for reading.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "port.h"

#define PAUSE_NS 20000

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* State of the link, HWY_LINK_FREE if there is none. */
static uint32_t
link_state(const struct hwy_region *r, uint32_t src, uint32_t dst)
{
	for (uint32_t i = 0; i < r->geo.link_count; i++) {
		const struct hwy_link *link = &r->links[i];
		uint32_t state = hwy_load_acquire(&link->state);

		if (state != HWY_LINK_FREE && link->src == src && link->dst == dst)
			return state;
	}
	return HWY_LINK_FREE;
}

static bool
routed(const struct hwy_region *r, uint32_t src, uint32_t dst)
{
	const struct hwy_port *port = &r->ports[src];
	uint32_t seq = hwy_load_acquire(&port->route_seq);
	bool found = false;

	for (uint32_t i = 0; i < hwy_load(&port->n_routes) && i < HWY_MAX_ROUTES; i++) {
		uint32_t link = hwy_load(&port->routes[i].link);

		found = found || (link < r->geo.link_count && hwy_load(&r->links[link].dst) == dst);
	}
	return (seq & 1) == 0 && found;
}

static uint64_t
received(const struct hwy_region *r, uint32_t dst, bool by_link)
{
	const struct hwy_counters *c = r->ports[dst].end[HWY_GUEST].rx;

	return hwy_counters_sum(c, by_link ? offsetof(struct hwy_counters, bypass_packets)
					   : offsetof(struct hwy_counters, normal_packets));
}

int
main(int argc, char **argv)
{
	const struct sched_param priority = {.sched_priority = 20};
	const struct timespec pause = {0, PAUSE_NS};
	uint64_t link = 0, route = 0, done = 0, first, limit;
	struct hwy_region *r;
	char err[HWY_ERR_SIZE];
	int src, dst, rc;
	bool open;

	if (argc != 6) {
		fprintf(stderr, "usage: setup-clock REGION FROM TO open|closed SECONDS\n");
		return 2;
	}
	rc = hwy_region_inspect(argv[1], &r, err);
	if (rc < 0) {
		fprintf(stderr, "setup-clock: %s\n", err);
		return 1;
	}
	src = hwy_port_find(r, argv[2]);
	dst = hwy_port_find(r, argv[3]);
	if (src < 0 || dst < 0) {
		fprintf(stderr, "setup-clock: %s has no port %s: name one that it has\n", argv[1],
			src < 0 ? argv[2] : argv[3]);
		return 1;
	}
	open = strcmp(argv[4], "open") == 0;
	(void)sched_setscheduler(0, SCHED_RR, &priority);
	first = received(r, (uint32_t)dst, open);
	limit = now_ns() + (uint64_t)(atof(argv[5]) * 1e9);
	printf("ready\n");
	fflush(stdout);
	while (done == 0 && now_ns() < limit) {
		uint32_t state = link_state(r, (uint32_t)src, (uint32_t)dst);

		if (link == 0 && (state == HWY_LINK_OPEN) == open)
			link = now_ns();
		if (route == 0 && routed(r, (uint32_t)src, (uint32_t)dst) == open)
			route = now_ns();
		if (route != 0 && received(r, (uint32_t)dst, open) > first)
			done = now_ns();
		/* On the way back, what the switch carried before is over when the route goes. */
		if (!open && route == 0)
			first = received(r, (uint32_t)dst, open);
		clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	}
	printf("{\"link\": %llu, \"route\": %llu, \"done\": %llu}\n", (unsigned long long)link,
	       (unsigned long long)route, (unsigned long long)done);
	hwy_region_close(r);
	return done == 0;
}
