/* SPDX-License-Identifier: BSD-3-Clause */
#include <config.h>

#include "rules.h"

#include "detector.h"
#include "openvswitch/ofp-flow.h"
#include "util.h"

static char *
with_flow(struct hwy_detector *detector, const char *text, int command)
{
	enum ofputil_protocol usable;
	struct ofputil_flow_mod mod;
	struct match match;
	char *error = parse_ofp_flow_mod_str(&mod, text, NULL, NULL, command, &usable);
	unsigned int table_id;
	int status;

	if (error) {
		return error;
	}
	table_id = mod.table_id == 0xff ? 0 : mod.table_id;
	minimatch_expand(&mod.match, &match);
	if (command == OFPFC_ADD) {
		status = hwy_detector_rule_add(detector, table_id, mod.priority, mod.new_cookie,
					       &match, mod.ofpacts, mod.ofpacts_len);
	} else {
		status = hwy_detector_rule_delete(detector, table_id, mod.priority, &match);
	}
	free(mod.ofpacts);
	minimatch_destroy(&mod.match);
	return status ? xasprintf("%s: %s", text, ovs_strerror(-status)) : NULL;
}

char *
rules_add(struct hwy_detector *detector, const char *text)
{
	return with_flow(detector, text, OFPFC_ADD);
}

char *
rules_delete(struct hwy_detector *detector, const char *text)
{
	return with_flow(detector, text, OFPFC_DELETE_STRICT);
}

char *
rules_group(struct hwy_detector *detector, const char *text)
{
	enum ofputil_protocol usable;
	struct ofputil_group_mod mod;
	struct ofputil_group_desc desc;
	char *error = parse_ofp_group_mod_str(&mod, OFPGC11_ADD, text, NULL, NULL, &usable);

	if (error) {
		return error;
	}
	desc.type = mod.type;
	desc.group_id = mod.group_id;
	desc.props = mod.props;
	ovs_list_init(&desc.buckets);
	ovs_list_move(&desc.buckets, &mod.buckets);
	hwy_detector_group_set(detector, &desc);
	ofputil_bucket_list_destroy(&desc.buckets);
	ofputil_group_properties_destroy(&desc.props);
	return NULL;
}
