/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A detector on standard input and output, for differential.py:
 *
 *   detector_verdicts SWITCH    SWITCH: unix:FILE, a bridge's OpenFlow socket
 *
 * Rules and groups go to the switch as well: many times faster than by a program that is started
 * for each pipeline.  One command a line:
 *
 *   port N NAME FLAG...   FLAG: highway, live, down, no-receive, no-forward
 *   flow TEXT, group TEXT as for `ovs-ofctl add-flow` and `add-group`
 *   flush                 no rules, no groups
 *   verdict N             answers "Y" or "-", and a blank and the explanation
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detector.h"
#include "flow.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-print.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/vconn.h"
#include "openvswitch/vlog.h"
#include "rules.h"
#include "util.h"

static struct vconn *bridge;

static void
send_request(struct ofpbuf *request)
{
	int error = vconn_send_block(bridge, request);

	if (error) {
		ovs_fatal(error, "the switch is gone");
	}
}

/* Waits until the switch has done what it was sent; it must have refused nothing. */
static void
barrier(void)
{
	send_request(ofputil_encode_barrier_request(OFP15_VERSION));
	for (;;) {
		struct ofpbuf *message;
		enum ofptype type;
		int error = vconn_recv_block(bridge, &message);

		if (error) {
			ovs_fatal(error, "the switch is gone");
		}
		if (ofptype_decode(&type, message->data) || type == OFPTYPE_ERROR) {
			ovs_fatal(0, "the switch refuses: %s",
				  ofp_to_string(message->data, message->size, NULL, NULL, 1));
		}
		ofpbuf_delete(message);
		if (type == OFPTYPE_BARRIER_REPLY) {
			return;
		}
	}
}

static char *
add_flow(struct hwy_detector *detector, const char *text)
{
	enum ofputil_protocol usable;
	struct ofputil_flow_mod mod;
	char *error = parse_ofp_flow_mod_str(&mod, text, NULL, NULL, OFPFC_ADD, &usable);

	if (error) {
		return error;
	}
	send_request(ofputil_encode_flow_mod(&mod, OFPUTIL_P_OF15_OXM));
	error = rules_add_mod(detector, &mod);
	free(mod.ofpacts);
	minimatch_destroy(&mod.match);
	return error;
}

static char *
add_group(struct hwy_detector *detector, const char *text)
{
	enum ofputil_protocol usable;
	struct ofputil_group_mod mod;
	char *error = parse_ofp_group_mod_str(&mod, OFPGC11_ADD, text, NULL, NULL, &usable);

	if (error) {
		return error;
	}
	send_request(ofputil_encode_group_mod(OFP15_VERSION, &mod, NULL, -1));
	rules_group_mod(detector, &mod);
	ofputil_uninit_group_mod(&mod);
	return NULL;
}

static char *
flush(struct hwy_detector *detector)
{
	enum ofputil_protocol usable;
	struct ofputil_flow_mod flows;
	struct ofputil_group_mod groups;
	char *error = parse_ofp_flow_mod_str(&flows, "", NULL, NULL, OFPFC_DELETE, &usable);

	if (error) {
		return error;
	}
	send_request(ofputil_encode_flow_mod(&flows, OFPUTIL_P_OF15_OXM));
	minimatch_destroy(&flows.match);
	error = parse_ofp_group_mod_str(&groups, OFPGC11_DELETE, "group_id=all", NULL, NULL,
					&usable);
	if (error) {
		return error;
	}
	send_request(ofputil_encode_group_mod(OFP15_VERSION, &groups, NULL, -1));
	ofputil_uninit_group_mod(&groups);
	hwy_detector_flush(detector);
	hwy_detector_group_delete(detector, OFPG_ALL);
	return NULL;
}

static void
set_port(struct hwy_detector *detector, char *words)
{
	static const struct {
		const char *name;
		unsigned int flag;
	} names[] = {
		{"highway", HWY_PORT_HIGHWAY},   {"live", HWY_PORT_LIVE},
		{"down", HWY_PORT_DOWN},         {"no-receive", HWY_PORT_NO_RECV},
		{"no-forward", HWY_PORT_NO_FWD},
	};
	char *rest = NULL;
	const char *number = strtok_r(words, " ", &rest);
	const char *name = strtok_r(NULL, " ", &rest);
	const char *word;
	unsigned int flags = 0;

	while ((word = strtok_r(NULL, " ", &rest))) {
		size_t i = 0;

		while (i < ARRAY_SIZE(names) && strcmp(names[i].name, word)) {
			i++;
		}
		if (i == ARRAY_SIZE(names)) {
			ovs_fatal(0, "%s is no flag of a port", word);
		}
		flags |= names[i].flag;
	}
	if (!name) {
		ovs_fatal(0, "port needs a number and a name");
	}
	hwy_detector_port_set(detector, u16_to_ofp((uint16_t)atoi(number)), name, flags);
}

static void
answer(struct hwy_detector *detector, int in_port)
{
	const struct hwy_verdict *verdict =
		hwy_detector_verdict(detector, u16_to_ofp((uint16_t)in_port));
	struct ds text = DS_EMPTY_INITIALIZER;

	hwy_verdict_format(detector, verdict, &text);
	if (verdict->p2p) {
		printf("%u %s\n", (unsigned int)ofp_to_u16(verdict->out_port), ds_cstr(&text));
	} else {
		printf("- %s\n", ds_cstr(&text));
	}
	fflush(stdout);
	ds_destroy(&text);
}

int
main(int argc, char *argv[])
{
	struct hwy_detector *detector = hwy_detector_create();
	struct ds line = DS_EMPTY_INITIALIZER;

	int status;

	set_program_name(argv[0]);
	vlog_set_levels(NULL, VLF_CONSOLE, VLL_OFF);
	if (argc != 2) {
		ovs_fatal(0, "needs a bridge's OpenFlow socket, as unix:FILE");
	}
	status = vconn_open_block(argv[1], 1u << OFP15_VERSION, 0, -1, &bridge);
	if (status) {
		ovs_fatal(status, "%s", argv[1]);
	}
	while (!ds_get_line(&line, stdin)) {
		char *rest = NULL;
		const char *command = strtok_r(ds_cstr(&line), " ", &rest);
		char *error = NULL;

		if (!command) {
			continue;
		}
		if (!strcmp(command, "port")) {
			set_port(detector, rest);
		} else if (!strcmp(command, "flow")) {
			error = add_flow(detector, rest);
		} else if (!strcmp(command, "group")) {
			error = add_group(detector, rest);
		} else if (!strcmp(command, "flush")) {
			error = flush(detector);
		} else if (!strcmp(command, "verdict")) {
			barrier();
			answer(detector, atoi(rest));
		} else {
			ovs_fatal(0, "%s is no command", command);
		}
		if (error) {
			ovs_fatal(0, "%s", error);
		}
	}
	vconn_close(bridge);
	ds_destroy(&line);
	hwy_detector_destroy(detector);
	return 0;
}
