/* SPDX-License-Identifier: BSD-3-Clause */
#include <config.h>

#include "rules.h"

#include "detector.h"
#include "openvswitch/ofp-flow.h"
#include "util.h"

static unsigned int
table_of(const struct ofputil_flow_mod *mod)
{
	return mod->table_id == 0xff ? 0 : mod->table_id;
}

static void
uninit_flow_mod(struct ofputil_flow_mod *mod)
{
	free(mod->ofpacts);
	minimatch_destroy(&mod->match);
}

char *
rules_add_mod(struct hwy_detector *detector, const struct ofputil_flow_mod *mod)
{
	struct match match;
	int status;

	minimatch_expand(&mod->match, &match);
	status = hwy_detector_rule_add(detector, table_of(mod), mod->priority, mod->new_cookie,
				       &match, mod->ofpacts, mod->ofpacts_len);
	return status ? xstrdup(ovs_strerror(-status)) : NULL;
}

char *
rules_add(struct hwy_detector *detector, const char *text)
{
	enum ofputil_protocol usable;
	struct ofputil_flow_mod mod;
	char *error = parse_ofp_flow_mod_str(&mod, text, NULL, NULL, OFPFC_ADD, &usable);

	if (!error) {
		error = rules_add_mod(detector, &mod);
		uninit_flow_mod(&mod);
	}
	return error;
}

char *
rules_delete(struct hwy_detector *detector, const char *text)
{
	enum ofputil_protocol usable;
	struct ofputil_flow_mod mod;
	char *error = parse_ofp_flow_mod_str(&mod, text, NULL, NULL, OFPFC_DELETE_STRICT, &usable);
	struct match match;

	if (!error) {
		minimatch_expand(&mod.match, &match);
		if (hwy_detector_rule_delete(detector, table_of(&mod), mod.priority, &match)) {
			error = xasprintf("%s: there is no such rule", text);
		}
		uninit_flow_mod(&mod);
	}
	return error;
}

void
rules_group_mod(struct hwy_detector *detector, const struct ofputil_group_mod *mod)
{
	struct ofputil_group_desc desc = {
		.type = (uint8_t)mod->type, .group_id = mod->group_id, .props = mod->props};

	ovs_list_init(&desc.buckets);
	ofputil_bucket_clone_list(&desc.buckets, &mod->buckets, NULL);
	hwy_detector_group_set(detector, &desc);
	ofputil_bucket_list_destroy(&desc.buckets);
}

char *
rules_group(struct hwy_detector *detector, const char *text)
{
	enum ofputil_protocol usable;
	struct ofputil_group_mod mod;
	char *error = parse_ofp_group_mod_str(&mod, OFPGC11_ADD, text, NULL, NULL, &usable);

	if (!error) {
		rules_group_mod(detector, &mod);
		ofputil_uninit_group_mod(&mod);
	}
	return error;
}
