/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The flow monitor: every rule of a bridge, and every change of one, into its detector.
 *
 * Open vSwitch sends changes in the order in which it makes them, and before it answers
 * whoever asked for them.  When we do not read fast enough it says "paused" and holds back
 * what is added or modified; at "resumed" it has sent all of that.  In between nothing is
 * proven.
 *
 * Now and then the number of rules is compared with the switch's own.  The answer comes in
 * order with the changes, so the numbers are equal, or something was missed.
 */
#include <config.h>

#include "bridge.h"

#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/ofp-monitor.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-table.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/rconn.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hwy_flowmon);

void
hwy_flowmon_start(struct hwy_bridge *b)
{
	struct ofputil_flow_monitor_request request = {
		.id = 1,
		.command = OFPFMC_ADD,
		.flags = OFPFMF_INITIAL | OFPFMF_ADD | OFPFMF_REMOVED | OFPFMF_MODIFY |
			 OFPFMF_INSTRUCTIONS,
		.out_port = OFPP_NONE,
		.out_group = OFPG_ANY,
		.table_id = 0xff,
	};
	struct ofpbuf *msg = ofpbuf_new(0);

	match_init_catchall(&request.match);
	ofputil_append_flow_monitor_request(&request, msg, b->openflow->protocol);
	ofpmsg_update_length(msg);
	b->openflow->flows_xid = ((struct ofp_header *)msg->data)->xid;
	rconn_send(b->openflow->rconn, msg, NULL);
}

static void
paused(struct hwy_bridge *b)
{
	b->n_pauses++;
	if (b->sync == HWY_SYNC_LIVE)
		hwy_bridge_set_sync(b, HWY_SYNC_PAUSED);
}

static void
resumed(struct hwy_bridge *b)
{
	if (b->sync == HWY_SYNC_PAUSED)
		hwy_bridge_set_sync(b, HWY_SYNC_LIVE);
}

static void
apply(struct hwy_bridge *b, const struct ofputil_flow_update *u)
{
	switch (u->event) {
	case OFPFME_INITIAL:
	case OFPFME_ADDED:
	case OFPFME_MODIFIED:
		hwy_detector_rule_add(b->detector, u->table_id, u->priority, u->cookie, &u->match,
				      u->ofpacts, u->ofpacts_len);
		break;
	case OFPFME_REMOVED:
		hwy_detector_rule_delete(b->detector, u->table_id, u->priority, &u->match);
		break;
	case OFPFME_PAUSED:
		paused(b);
		break;
	case OFPFME_RESUMED:
		resumed(b);
		break;
	case OFPFME_ABBREV: /* only of our own changes, and we make none */
	default:
		hwy_bridge_resync(b, "the flow monitor sent an update that makes no sense");
		break;
	}
	b->n_updates++;
	if (b->changed_us == 0)
		b->changed_us = time_usec();
}

static void
updates(struct hwy_bridge *b, const struct ofpbuf *msg)
{
	uint64_t stub[1024 / 8];
	struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
	struct ofpbuf rest = ofpbuf_const_initializer(msg->data, msg->size);
	int rc;

	for (;;) {
		struct ofputil_flow_update u;

		rc = ofputil_decode_flow_update(&u, &rest, &ofpacts);
		if (rc != 0)
			break;
		apply(b, &u);
	}
	ofpbuf_uninit(&ofpacts);
	if (rc != EOF) {
		char *why = xasprintf("an update of the flow monitor cannot be read (%s)",
				      ofperr_to_string(rc));

		hwy_bridge_resync(b, why);
		free(why);
	}
}

void
hwy_flowmon_message(struct hwy_bridge *b, const struct ofpbuf *msg)
{
	enum ofptype type;

	if (ofptype_decode(&type, msg->data) != 0)
		return;
	if (type == OFPTYPE_FLOW_MONITOR_PAUSED)
		paused(b);
	else if (type == OFPTYPE_FLOW_MONITOR_RESUMED)
		resumed(b);
	else
		updates(b, msg);
}

void
hwy_flowmon_count(struct hwy_bridge *b)
{
	struct hwy_openflow *of = b->openflow;

	if (of->counting)
		return;
	of->counting = true;
	of->n_counted = 0;
	rconn_send(of->rconn, ofpraw_alloc(OFPRAW_OFPST_TABLE_REQUEST, of->version, 0), NULL);
}

void
hwy_flowmon_counted(struct hwy_bridge *b, const struct ofpbuf *msg)
{
	struct ofpbuf rest = ofpbuf_const_initializer(msg->data, msg->size);
	struct hwy_openflow *of = b->openflow;
	bool more = ofpmp_more(msg->data);

	for (;;) {
		struct ofputil_table_features features;
		struct ofputil_table_stats stats;

		if (ofputil_decode_table_stats_reply(&rest, &stats, &features) != 0)
			break;
		of->n_counted += stats.active_count;
	}
	if (more)
		return;
	of->counting = false;
	if (b->sync == HWY_SYNC_LIVE && of->n_counted != hwy_detector_n_rules(b->detector)) {
		char *why = xasprintf("the bridge has %u rules, we know %" PRIuSIZE, of->n_counted,
				      hwy_detector_n_rules(b->detector));

		hwy_bridge_resync(b, why);
		free(why);
	}
}
