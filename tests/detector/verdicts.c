/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A detector on standard input and output, for differential.py.  One command a line:
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
#include "rules.h"
#include "util.h"

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

	(void)argc;
	set_program_name(argv[0]);
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
			error = rules_add(detector, rest);
		} else if (!strcmp(command, "group")) {
			error = rules_group(detector, rest);
		} else if (!strcmp(command, "flush")) {
			hwy_detector_flush(detector);
			hwy_detector_group_delete(detector, OFPG_ALL);
		} else if (!strcmp(command, "verdict")) {
			answer(detector, atoi(rest));
		} else {
			ovs_fatal(0, "%s is no command", command);
		}
		if (error) {
			ovs_fatal(0, "%s", error);
		}
	}
	ds_destroy(&line);
	hwy_detector_destroy(detector);
	return 0;
}
