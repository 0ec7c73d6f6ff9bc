/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stop-watch for links: how long it takes from a flow-mod, or from a port's first packet,
 * until a region shows what it led to.  An OpenFlow connection is open all the while, and all
 * stamps are one process's, of CLOCK_MONOTONIC.
 *
 *   rule-clock SWITCH REGION FROM TO        SWITCH: unix:FILE, a bridge's OpenFlow socket
 *
 * Each line of its standard input is a measurement, `GOAL TRIGGER`:
 *
 *   proof         until the agent has proved that all of FROM goes to TO
 *   withdrawal    until that proof is gone
 *   bypass        until the first packet has been received by the link from FROM to TO
 *   switch        until the first packet has been received by the switch again
 *
 *   add FLOW      a flow-mod, as for `ovs-ofctl`; the watch starts before it is sent
 *   delete FLOW   likewise, of the one rule with this match and priority
 *   packet        FROM, which is idle, sends; prints `waiting` when it may.  The watch starts
 *                 with the last look at which its counter had not grown
 *
 * `set add FLOW`, likewise `set delete FLOW`, measures nothing: it prints `set` when the switch
 * has done it.  Each measurement prints a line of JSON, with times in microseconds, and null
 * for what was not seen to change:
 *
 *   applied       the switch has answered a barrier behind the flow-mod
 *   proof         the agent's proof is in the region (or gone)
 *   open          the link is open (or not open any more)
 *   route         the sender is told to use it (or not to)
 *   sent          FROM has sent a packet by the link (or to the switch)
 *   received      TO has received one
 *   cpu           share of one CPU that this program took meanwhile
 *
 * It looks at the region every PAUSE_NS, at real-time priority: it is on time then, and
 * leaves the processor to the others in between.  The region is mapped for reading only.
 */
#include <config.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "agent.h"
#include "flow.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/vconn.h"
#include "openvswitch/vlog.h"
#include "port.h"
#include "util.h"

#define PAUSE_NS   100000
#define DEADLINE_S 10

enum stamp { APPLIED, PROOF, OPEN, ROUTE, SENT, RECEIVED, N_STAMPS };

static const char *const names[N_STAMPS] = {"applied", "proof", "open",
					    "route",   "sent",  "received"};

static const struct goal {
	const char *name;
	bool on;          /* towards the bypass; else away from it */
	enum stamp until; /* what ends the measurement */
} goals[] = {
	{"proof", true, PROOF},
	{"withdrawal", false, PROOF},
	{"bypass", true, RECEIVED},
	{"switch", false, RECEIVED},
};

struct watch {
	struct vconn *bridge;
	struct hwy_region *region;
	uint32_t src, dst;
	uint32_t link; /* where the link was last, in the table of links */
};

static double
clock_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double
now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

/* --- the region ------------------------------------------------------------------ */

/* State of the link, HWY_LINK_FREE if there is none. */
static uint32_t
state_at(const struct watch *w, uint32_t l)
{
	const struct hwy_link *link = &w->region->links[l];
	uint32_t state = hwy_load_acquire(&link->state);

	return hwy_load(&link->src) == w->src && hwy_load(&link->dst) == w->dst ? state
										: HWY_LINK_FREE;
}

/* A link keeps its place, open or not: the whole table is seldom read. */
static bool
any_open(struct watch *w)
{
	if (state_at(w, w->link) == HWY_LINK_FREE) {
		for (uint32_t l = 0; l < w->region->geo.link_count; l++) {
			if (state_at(w, l) != HWY_LINK_FREE)
				w->link = l;
		}
	}
	return state_at(w, w->link) == HWY_LINK_OPEN;
}

static bool
is_routed(const struct watch *w)
{
	const struct hwy_region *r = w->region;
	const struct hwy_port *port = &r->ports[w->src];
	uint32_t n = hwy_load(&port->n_routes);

	for (uint32_t i = 0; i < n && i < HWY_MAX_ROUTES; i++) {
		uint32_t link = hwy_load(&port->routes[i].link);

		if (link < r->geo.link_count && hwy_load(&r->links[link].dst) == w->dst)
			return true;
	}
	return false;
}

static uint64_t
packets(const struct hwy_counters *counters, bool by_link)
{
	return hwy_counters_sum(counters, by_link ? offsetof(struct hwy_counters, bypass_packets)
						  : offsetof(struct hwy_counters, normal_packets));
}

static uint64_t
sent(const struct watch *w, bool by_link)
{
	return packets(w->region->ports[w->src].end[HWY_GUEST].tx, by_link);
}

static uint64_t
received(const struct watch *w, bool by_link)
{
	return packets(w->region->ports[w->dst].end[HWY_GUEST].rx, by_link);
}

/* --- the switch ------------------------------------------------------------------ */

static struct ofpbuf *
flow_mod(const char *text, int command)
{
	enum ofputil_protocol usable;
	struct ofputil_flow_mod mod;
	struct ofpbuf *message;
	char *error = parse_ofp_flow_mod_str(&mod, text, NULL, NULL, command, &usable);

	if (error) {
		ovs_fatal(0, "%s", error);
	}
	message = ofputil_encode_flow_mod(&mod, OFPUTIL_P_OF15_OXM);
	free(mod.ofpacts);
	minimatch_destroy(&mod.match);
	return message;
}

static void
must_send(struct vconn *bridge, struct ofpbuf *message)
{
	int error = vconn_send_block(bridge, message);

	if (error) {
		ovs_fatal(error, "the switch is gone");
	}
}

/* Reads what the switch has said, and returns whether the answer to a barrier was there. */
static bool
is_applied(struct vconn *bridge)
{
	struct ofpbuf *said;
	bool applied = false;
	int error;

	vconn_run(bridge);
	while (!(error = vconn_recv(bridge, &said))) {
		enum ofptype type;

		if (!ofptype_decode(&type, said->data) && type == OFPTYPE_ERROR) {
			ovs_fatal(0, "the switch refuses the flow-mod: %s",
				  ofperr_get_name(ofperr_decode_msg(said->data, NULL)));
		}
		applied = applied || type == OFPTYPE_BARRIER_REPLY;
		ofpbuf_delete(said);
	}
	if (error != EAGAIN) {
		ovs_fatal(error, "the switch is gone");
	}
	return applied;
}

/* --- measuring ------------------------------------------------------------------- */

static void
rest(void)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};

	nanosleep(&pause, NULL);
}

/* Returns when FROM, which is idle, has sent to the switch, and since when it may have. */
static double
wait_for_packet(const struct watch *w)
{
	uint64_t before = sent(w, false);
	double since = now_us(), limit = since + DEADLINE_S * 1e6;

	puts("waiting");
	fflush(stdout);
	for (;;) {
		double now = now_us();

		if (sent(w, false) != before)
			return since;
		if (now > limit) {
			ovs_fatal(0, "no packet within %d s", DEADLINE_S);
		}
		since = now;
		rest();
	}
}

/* What the host and the agent have done so far towards the bypass, or away from it. */
static void
look(struct watch *w, bool on, bool seen[N_STAMPS])
{
	seen[PROOF] = (hwy_agent_proof(w->region, w->src) == w->dst) == on;
	seen[OPEN] = any_open(w) == on;
	seen[ROUTE] = is_routed(w) == on;
}

static void
print(const double at[N_STAMPS], double cpu)
{
	putchar('{');
	for (int i = 0; i < N_STAMPS; i++) {
		if (at[i] < 0)
			printf("\"%s\": null, ", names[i]);
		else
			printf("\"%s\": %.1f, ", names[i], at[i]);
	}
	printf("\"cpu\": %.4f}\n", cpu);
}

/* Starts the watch with 'message', or if that is NULL with FROM's first packet, and prints
 * what it shows when the goal is reached. */
static void
measure(struct watch *w, const struct goal *goal, struct ofpbuf *message)
{
	uint64_t sent_before = sent(w, goal->on), received_before = received(w, goal->on);
	bool ruled = message != NULL, before[N_STAMPS] = {false};
	double at[N_STAMPS], start, cpu;

	look(w, goal->on, before);
	for (int i = 0; i < N_STAMPS; i++)
		at[i] = -1;
	start = ruled ? 0 : wait_for_packet(w);
	cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID);
	if (ruled) {
		start = now_us();
		must_send(w->bridge, message);
		must_send(w->bridge, ofputil_encode_barrier_request(OFP15_VERSION));
	}
	for (;;) {
		bool seen[N_STAMPS] = {false};
		double now;

		look(w, goal->on, seen);
		seen[APPLIED] = ruled && at[APPLIED] < 0 && is_applied(w->bridge);
		if (seen[ROUTE]) {
			seen[SENT] = sent(w, goal->on) != sent_before;
			seen[RECEIVED] = received(w, goal->on) != received_before;
		} else if (!goal->on) {
			/* From one route to another a few may take the switch. */
			sent_before = sent(w, false);
			received_before = received(w, false);
		}
		now = now_us() - start;
		for (int i = 0; i < N_STAMPS; i++) {
			if (at[i] < 0 && seen[i] && !before[i])
				at[i] = now;
		}
		if (at[goal->until] >= 0 && (!ruled || at[APPLIED] >= 0))
			break;
		if (now > DEADLINE_S * 1e6) {
			ovs_fatal(0, "the goal `%s` is not reached within %d s", goal->name,
				  DEADLINE_S);
		}
		rest();
	}
	cpu = (clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (now_us() - start);
	print(at, cpu);
}

static struct ofpbuf *
trigger(char *words)
{
	char *save = NULL, *verb = strtok_r(words, " \n", &save),
	     *flow = strtok_r(NULL, "\n", &save);

	if (verb && flow && !strcmp(verb, "add")) {
		return flow_mod(flow, OFPFC_ADD);
	} else if (verb && flow && !strcmp(verb, "delete")) {
		return flow_mod(flow, OFPFC_DELETE_STRICT);
	} else if (!verb || strcmp(verb, "packet")) {
		ovs_fatal(0, "`%s` starts nothing: use add FLOW, delete FLOW or packet",
			  verb ? verb : "");
	}
	return NULL;
}

static void
obey(struct watch *w, char *line)
{
	size_t length = strcspn(line, " \n");
	char *words = line + length + (line[length] != '\0');

	line[length] = '\0';
	if (!strcmp(line, "set")) {
		struct ofpbuf *message = trigger(words);

		if (message)
			must_send(w->bridge, message);
		must_send(w->bridge, ofputil_encode_barrier_request(OFP15_VERSION));
		while (!is_applied(w->bridge))
			rest();
		puts("set");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(goals); i++) {
		if (!strcmp(line, goals[i].name)) {
			measure(w, &goals[i], trigger(words));
			return;
		}
	}
	ovs_fatal(0, "`%s` is no goal: use proof, withdrawal, bypass, switch or set", line);
}

static uint32_t
port_number(const struct hwy_region *region, const char *path, const char *name)
{
	int number = hwy_port_find(region, name);

	if (number < 0) {
		ovs_fatal(0, "%s has no port %s: name one that `highwayctl show` lists", path,
			  name);
	}
	return (uint32_t)number;
}

int
main(int argc, char *argv[])
{
	const struct sched_param priority = {.sched_priority = 20};
	char err[HWY_ERR_SIZE] = "", line[1024];
	struct watch w = {.link = 0};
	int error;

	set_program_name(argv[0]);
	vlog_set_levels(NULL, VLF_CONSOLE, VLL_OFF);
	if (argc != 5) {
		ovs_fatal(0, "usage: rule-clock SWITCH REGION FROM TO");
	}
	error = vconn_open_block(argv[1], 1u << OFP15_VERSION, 0, -1, &w.bridge);
	if (error) {
		ovs_fatal(error, "%s", argv[1]);
	}
	if (hwy_region_inspect(argv[2], &w.region, err)) {
		ovs_fatal(0, "%s", err);
	}
	w.src = port_number(w.region, argv[2], argv[3]);
	w.dst = port_number(w.region, argv[2], argv[4]);
	/* Without the right to it: less exact. */
	ignore(sched_setscheduler(0, SCHED_FIFO, &priority));
	prctl(PR_SET_TIMERSLACK, 1UL);
	while (fgets(line, sizeof(line), stdin)) {
		obey(&w, line);
		fflush(stdout);
	}
	vconn_close(w.bridge);
	hwy_region_close(w.region);
	return 0;
}
