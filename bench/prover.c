/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stands in for highwayd where there is no switch: proves that all packets of one port go to
 * another.
 *
 *   prover DIR DOMAIN FROM TO
 *
 * Says "proved" once the route is there, and beats until its input ends.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "port.h"

#define DEADLINE_S 20

static int
failed(const char *what, const char *why)
{
	fprintf(stderr, "prover: %s: %s\n", what, why);
	return 1;
}

/* True once input has ended; waits 'ms' at most. */
static bool
ended(int ms)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	char byte;

	return poll(&input, 1, ms) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

int
main(int argc, char **argv)
{
	struct hwy_region_config config = {0};
	char err[HWY_ERR_SIZE] = "";
	struct hwy_region *region;
	const struct hwy_port *x;
	struct timespec now;
	time_t limit;
	int from, to;

	if (argc != 5) {
		fprintf(stderr, "usage: prover DIR DOMAIN FROM TO\n");
		return 2;
	}
	config.dir = argv[1];
	config.domain = argv[2];
	if (hwy_region_open(&config, &region, err) < 0 || hwy_agent_attach(region, err) < 0)
		return failed(argv[2], err);
	from = hwy_port_find(region, argv[3]);
	to = hwy_port_find(region, argv[4]);
	if (from < 0 || to < 0)
		return failed(from < 0 ? argv[3] : argv[4], "no such port in the domain");
	hwy_agent_prove(region, (uint32_t)from, (uint32_t)to);
	x = &region->ports[from];
	clock_gettime(CLOCK_MONOTONIC, &now);
	limit = now.tv_sec + DEADLINE_S;
	while (hwy_load_acquire(&x->n_routes) != 1 ||
	       hwy_load(&x->routes[0].key) != HWY_CLASS_ALL) {
		hwy_agent_beat(region);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec >= limit)
			return failed(
				argv[3],
				"no route by the proof: send packets, and have the host end poll");
		if (ended(1))
			return 0;
	}
	puts("proved");
	fflush(stdout);
	do {
		hwy_agent_beat(region);
	} while (!ended(HWY_AGENT_BEAT_MS));
	hwy_agent_detach(region);
	return 0;
}
