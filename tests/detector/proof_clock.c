/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long it takes from a flow-mod to a proof in the region, and to its withdrawal, with a
 * real Open vSwitch and highwayd: proof_time.py starts them.
 *
 *   proof_clock SWITCH REGION PORT MATCH TIMES    SWITCH: unix:FILE, a bridge's OpenFlow socket
 *
 * PORT has a proof.  A rule that drops what matches MATCH (as for `ovs-ofctl`, with the
 * priority) ends it; it is added and deleted TIMES times.  Prints a line for each time:
 * microseconds until the proof was withdrawn, and until it was back.  The clock starts before the
 * flow-mod is sent.
 *
 * It looks at the region every 20 microseconds, at real-time priority: it is on time then, and
 * leaves the processor to Open vSwitch and highwayd in between.
 */
#include <config.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "flow.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/vconn.h"
#include "openvswitch/vlog.h"
#include "port.h"
#include "util.h"

#define PAUSE_NS   20000
#define DEADLINE_S 10

static double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

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

/* Returns when the switch has done everything, and what it has said is read. */
static void
barrier(struct vconn *bridge)
{
	struct ofpbuf *reply;
	int error = vconn_transact(bridge, ofputil_encode_barrier_request(OFP15_VERSION), &reply);

	if (error) {
		ovs_fatal(error, "the switch is gone");
	}
	ofpbuf_delete(reply);
}

/* Sends 'message', and returns after how many microseconds there is a proof, or none. */
static double
measure(struct vconn *bridge, struct ofpbuf *message, const struct hwy_port *port, bool proof)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	double start = now_us(), end;
	int error = vconn_send_block(bridge, message);

	if (error) {
		ovs_fatal(error, "the switch is gone");
	}
	while ((hwy_load_acquire(&port->proof) != HWY_PROOF_NONE) != proof) {
		if (now_us() > start + DEADLINE_S * 1e6) {
			ovs_fatal(0, "%s within %d s", proof ? "no proof" : "no withdrawal",
				  DEADLINE_S);
		}
		nanosleep(&pause, NULL);
	}
	end = now_us();
	barrier(bridge);
	return end - start;
}

int
main(int argc, char *argv[])
{
	const struct sched_param priority = {.sched_priority = 1};
	struct hwy_region *region;
	char err[HWY_ERR_SIZE] = "";
	struct vconn *bridge;
	int error, number;
	char *rule;

	set_program_name(argv[0]);
	vlog_set_levels(NULL, VLF_CONSOLE, VLL_OFF);
	if (argc != 6) {
		ovs_fatal(0, "usage: proof_clock SWITCH REGION PORT MATCH TIMES");
	}
	error = vconn_open_block(argv[1], 1u << OFP15_VERSION, 0, -1, &bridge);
	if (error) {
		ovs_fatal(error, "%s", argv[1]);
	}
	if (hwy_region_inspect(argv[2], &region, err)) {
		ovs_fatal(0, "%s", err);
	}
	number = hwy_port_find(region, argv[3]);
	if (number < 0) {
		ovs_fatal(0, "%s has no port %s", argv[2], argv[3]);
	}
	/* Without the right to it: less exact. */
	ignore(sched_setscheduler(0, SCHED_FIFO, &priority));
	prctl(PR_SET_TIMERSLACK, 1UL);
	rule = xasprintf("%s,actions=drop", argv[4]);
	for (int i = atoi(argv[5]); i > 0; i--) {
		const struct hwy_port *port = &region->ports[number];
		double withdrawn = measure(bridge, flow_mod(rule, OFPFC_ADD), port, false);
		double proved = measure(bridge, flow_mod(argv[4], OFPFC_DELETE_STRICT), port, true);

		printf("%.1f %.1f\n", withdrawn, proved);
	}
	free(rule);
	vconn_close(bridge);
	hwy_region_close(region);
	return 0;
}
