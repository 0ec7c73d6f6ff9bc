/* SPDX-License-Identifier: BSD-3-Clause */
/* Verdicts in words. */
#include <config.h>

#include "walk.h"

#include <stdio.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-port.h"
#include "util.h"

const char *
hwy_detector_port_name(const struct hwy_detector *detector, ofp_port_t number, char text[16])
{
	const struct hwy_detector_port *port = hwy_detector_port_find(detector, number);

	if (port) {
		return port->name;
	}
	if (number == OFPP_LOCAL) {
		return "LOCAL";
	}
	snprintf(text, 16, "port %u", (unsigned int)ofp_to_u16(number));
	return text;
}

void
hwy_rule_format_match(const struct hwy_detector *detector, const struct hwy_rule *rule,
		      struct ds *out)
{
	struct ofputil_port_map map = OFPUTIL_PORT_MAP_INITIALIZER(&map);
	const struct hwy_detector_port *port;

	HMAP_FOR_EACH (port, node, &detector->ports) {
		ofputil_port_map_put(&map, port->number, port->name);
	}
	/* This priority is the one that is not printed. */
	minimatch_format(&rule->match, NULL, &map, out, OFP_DEFAULT_PRIORITY);
	ofputil_port_map_destroy(&map);
}

void
hwy_rule_format(const struct hwy_detector *detector, const struct hwy_rule *rule, struct ds *out)
{
	ds_put_format(out, "table %u: priority=%d,cookie=0x%" PRIx64, rule->table_id,
		      rule->priority, ntohll(rule->cookie));
	if (!minimask_is_catchall(rule->match.mask)) {
		ds_put_char(out, ',');
		hwy_rule_format_match(detector, rule, out);
	}
}

static void
format_path(const struct hwy_detector *detector, const struct hwy_verdict *verdict, struct ds *out)
{
	for (size_t i = 0; i < verdict->n_steps; i++) {
		const struct hwy_step *step = &verdict->steps[i];

		ds_put_cstr(out, i ? "; " : "");
		if (step->rule) {
			hwy_rule_format(detector, step->rule, out);
		} else {
			ds_put_format(out, "group %" PRIu32, step->group_id);
		}
	}
}

/* Reasons that are said of a port or a table; false if the reason is one of a rule. */
static bool
format_without_rule(const struct hwy_detector *detector, const struct hwy_verdict *verdict,
		    const char *in, struct ds *out)
{
	char number[16];

	if (!verdict->rule) {
		const char *port = hwy_detector_port_name(detector, verdict->port, number);

		switch ((int)verdict->reason) {
		case HWY_NO_PORT:
			ds_put_format(out, "the bridge has no port %u",
				      (unsigned int)ofp_to_u16(verdict->in_port));
			return true;
		case HWY_NOT_HIGHWAY:
			ds_put_format(out, "%s is no highway port", port);
			return true;
		case HWY_PORT_IS_DOWN:
			ds_put_format(out, "%s is down", port);
			return true;
		case HWY_PORT_CONFIG:
			ds_put_format(out, "%s is set %s", port, verdict->what);
			return true;
		}
	}
	switch ((int)verdict->reason) {
	case HWY_TABLE_MISS:
		ds_put_format(out, "table %u: no rule takes %s's packets", verdict->table_id, in);
		break;
	case HWY_TOO_MANY_UNKNOWN:
		ds_put_format(out,
			      "table %u: too many rules look at values that are not known of %s's "
			      "packets",
			      verdict->table_id, in);
		break;
	default:
		return false;
	}
	if (verdict->rule) {
		ds_put_cstr(out, ", sent there by ");
		hwy_rule_format(detector, verdict->rule, out);
	}
	return true;
}

static void
format_of_rule(const struct hwy_detector *detector, const struct hwy_verdict *verdict,
	       const char *in, struct ds *out)
{
	char number[16];
	const char *port = hwy_detector_port_name(detector, verdict->port, number);
	bool in_group = verdict->group_id != OFPG_ANY;

	if (verdict->reason == HWY_EQUAL_PRIORITY) {
		hwy_rule_format(detector, verdict->rule, out);
		ds_put_cstr(out, " and ");
		hwy_rule_format(detector, verdict->other, out);
		ds_put_format(out, " have the same priority, and %s's packets can match both", in);
		return;
	}
	hwy_rule_format(detector, verdict->rule, out);
	if (in_group) {
		ds_put_format(out, " by group %" PRIu32, verdict->group_id);
	}
	switch (verdict->reason) {
	case HWY_NARROW:
		ds_put_format(out, " takes some of %s's packets away", in);
		break;
	case HWY_INTERNAL_TABLE:
		ds_put_format(out, " leads to table %u, which is the switch's own",
			      verdict->table_id);
		break;
	case HWY_ACTION:
		ds_put_format(out, " has the action %s, which is not followed", verdict->what);
		break;
	case HWY_SETS_FIELD:
		ds_put_format(out, " writes the field %s", verdict->what);
		break;
	case HWY_UNKNOWN_VALUE:
		ds_put_cstr(out, " outputs to a port that depends on the packet");
		break;
	case HWY_DROP:
		ds_put_format(out, " drops %s's packets", in);
		break;
	case HWY_TO_ITSELF:
		ds_put_format(out, " sends %s's packets back to it", in);
		break;
	case HWY_MANY_OUTPUTS:
		ds_put_format(out, " sends %s's packets to a second port", in);
		break;
	case HWY_NO_OUTPUT_PORT:
		ds_put_format(out, " sends to %s, which does not exist", port);
		break;
	case HWY_NOT_HIGHWAY:
		ds_put_format(out, " sends to %s, which is no highway port", port);
		break;
	case HWY_PORT_IS_DOWN:
		ds_put_format(out, " sends to %s, which is down", port);
		break;
	case HWY_PORT_CONFIG:
		ds_put_format(out, " sends to %s, which is set %s", port, verdict->what);
		break;
	case HWY_NO_GROUP:
		ds_put_cstr(out, ", which does not exist, drops them");
		break;
	case HWY_GROUP_BUCKETS:
		ds_put_cstr(out, " selects among several live buckets");
		break;
	case HWY_GROUP_NOT_LIVE:
		ds_put_cstr(out, ", of which no bucket is live, drops them");
		break;
	case HWY_GROUP_RECIRCULATES:
		ds_put_cstr(out, " selects by dp_hash, which takes packets twice through the "
				 "switch: use an indirect group, or selection_method=hash");
		break;
	case HWY_TOO_DEEP:
		ds_put_cstr(out, " nests tables and groups too deep, or follows too many");
		break;
	case HWY_PROVEN:
	case HWY_NO_PORT:
	case HWY_TABLE_MISS:
	case HWY_EQUAL_PRIORITY:
	case HWY_TOO_MANY_UNKNOWN:
	default:
		OVS_NOT_REACHED();
	}
}

void
hwy_verdict_format(const struct hwy_detector *detector, const struct hwy_verdict *verdict,
		   struct ds *out)
{
	char number[2][16];
	const char *in = hwy_detector_port_name(detector, verdict->in_port, number[0]);

	if (verdict->p2p) {
		ds_put_format(out, "%s to %s by ", in,
			      hwy_detector_port_name(detector, verdict->out_port, number[1]));
		format_path(detector, verdict, out);
	} else if (!format_without_rule(detector, verdict, in, out)) {
		format_of_rule(detector, verdict, in, out);
	}
}
