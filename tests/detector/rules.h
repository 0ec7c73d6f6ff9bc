/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules and groups for a detector from ovs-ofctl's syntax. */
#ifndef HIGHWAY_TESTS_RULES_H
#define HIGHWAY_TESTS_RULES_H

struct hwy_detector;
struct ofputil_flow_mod;
struct ofputil_group_mod;

/* Each returns null, or what is wrong with 'text', for the caller to free.
 *   rules_add:    "table=1,priority=5,in_port=1,actions=output:2"
 *   rules_delete: "table=1,priority=5,in_port=1" (exactly this rule)
 *   rules_group:  "group_id=1,type=all,bucket=output:2" */
char *rules_add(struct hwy_detector *detector, const char *text);
char *rules_delete(struct hwy_detector *detector, const char *text);
char *rules_group(struct hwy_detector *detector, const char *text);

/* The same for what has been parsed already, as an addition; the caller keeps 'mod'. */
char *rules_add_mod(struct hwy_detector *detector, const struct ofputil_flow_mod *mod);
void rules_group_mod(struct hwy_detector *detector, const struct ofputil_group_mod *mod);

#endif
