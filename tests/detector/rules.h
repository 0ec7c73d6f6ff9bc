/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules and groups for a detector from ovs-ofctl's syntax. */
#ifndef HIGHWAY_TESTS_RULES_H
#define HIGHWAY_TESTS_RULES_H

struct hwy_detector;

/* Each returns null, or what is wrong with 'text', for the caller to free.
 *   rules_add:    "table=1,priority=5,in_port=1,actions=output:2"
 *   rules_delete: "table=1,priority=5,in_port=1" (exactly this rule)
 *   rules_group:  "group_id=1,type=all,bucket=output:2" */
char *rules_add(struct hwy_detector *detector, const char *text);
char *rules_delete(struct hwy_detector *detector, const char *text);
char *rules_group(struct hwy_detector *detector, const char *text);

#endif
