/* SPDX-License-Identifier: BSD-3-Clause */
/* The OpenFlow connection of a bridge: see bridge.h. */
#include <config.h>

#include "bridge.h"

#include <string.h>

#include "dirs.h"
#include "flow.h"
#include "hash.h"
#include "journal.h"
#include "openflow/nicira-ext.h"
#include "openvswitch/ofp-connection.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/ofp-group.h"
#include "openvswitch/ofp-monitor.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-switch.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/rconn.h"
#include "openvswitch/vlog.h"
#include "socket-util.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hwy_bridge);

#define VERSIONS                                                                                   \
	((1u << OFP10_VERSION) | (1u << OFP11_VERSION) | (1u << OFP12_VERSION) |                   \
	 (1u << OFP13_VERSION) | (1u << OFP14_VERSION) | (1u << OFP15_VERSION))
#define PROBE_S      5
#define MAX_PAUSE_S  1
#define LOOK_MS      500    /* between two looks at the bridge's settings */
#define COUNT_MS     5000   /* between two comparisons of the number of rules */
#define RUN_MS       5      /* what one round of the main loop spends on messages at most */
#define MAX_RESYNC_S 30     /* longest pause before the rules are read again */
#define NOBODY_ID    0xfffe /* a controller ID that no rule names: misses are not ours */

#define LINGER_MS 2000 /* how long Open vSwitch may take to remove a bridge */

struct hmap hwy_bridges = HMAP_INITIALIZER(&hwy_bridges);

/* Connections of bridges that are no more: Open vSwitch, which may still be sending, is to
 * close them, as it complains of a reader who leaves. */
struct lingering {
	struct ovs_list node;
	struct rconn *rconn;
	long long int until; /* time_msec() */
};
static struct ovs_list lingering = OVS_LIST_INITIALIZER(&lingering);

/* --- life ------------------------------------------------------------------------- */

struct hwy_bridge *
hwy_bridge_find(const char *name)
{
	struct hwy_bridge *b;

	HMAP_FOR_EACH_WITH_HASH (b, node, hash_string(name, 0), &hwy_bridges) {
		if (!strcmp(b->name, name))
			return b;
	}
	return NULL;
}

struct hwy_ofport *
hwy_ofport_find(const struct hwy_bridge *b, const char *name)
{
	struct hwy_ofport *port;

	HMAP_FOR_EACH_WITH_HASH (port, node, hash_string(name, 0), &b->ports) {
		if (!strcmp(port->name, name))
			return port;
	}
	return NULL;
}

struct hwy_ofport *
hwy_ofport_by_number(const struct hwy_bridge *b, ofp_port_t ofport)
{
	struct hwy_ofport *port;

	HMAP_FOR_EACH (port, node, &b->ports) {
		if (port->ofport == ofport)
			return port;
	}
	return NULL;
}

struct hwy_bridge *
hwy_bridge_create(const char *name)
{
	struct hwy_bridge *b = xzalloc(sizeof *b);
	struct hwy_openflow *of = xzalloc(sizeof *of);

	b->name = xstrdup(name);
	hmap_init(&b->ports);
	hmap_insert(&hwy_bridges, &b->node, hash_string(name, 0));
	b->created = time_msec();
	b->detector = hwy_detector_create();
	b->openflow = of;
	hmap_init(&of->ports);
	of->target = xasprintf("unix:%s/%s.mgmt", ovs_rundir(), name);
	of->rconn = rconn_create(PROBE_S, MAX_PAUSE_S, DSCP_DEFAULT, VERSIONS);
	rconn_connect(of->rconn, of->target, name);
	return b;
}

/* Nothing is known any more of what OpenFlow has told. */
static void
forget(struct hwy_bridge *b)
{
	struct hwy_port_desc *desc;

	HMAP_FOR_EACH_POP (desc, node, &b->openflow->ports) {
		hwy_detector_port_delete(b->detector, desc->ofport);
		free(desc);
	}
	hwy_detector_flush(b->detector);
	hwy_detector_group_delete(b->detector, OFPG_ALL);
}

static void
linger(struct rconn *rconn)
{
	struct lingering *l = xzalloc(sizeof *l);

	l->rconn = rconn;
	l->until = time_msec() + LINGER_MS;
	ovs_list_push_back(&lingering, &l->node);
}

static void
lingering_run(void)
{
	struct lingering *l, *next;

	LIST_FOR_EACH_SAFE (l, next, node, &lingering) {
		struct ofpbuf *msg;

		rconn_run(l->rconn);
		while ((msg = rconn_recv(l->rconn)) != NULL)
			ofpbuf_delete(msg);
		if (!rconn_is_connected(l->rconn) || time_msec() >= l->until) {
			rconn_destroy(l->rconn);
			ovs_list_remove(&l->node);
			free(l);
		}
	}
}

static void
lingering_wait(void)
{
	struct lingering *l;

	LIST_FOR_EACH (l, node, &lingering) {
		rconn_run_wait(l->rconn);
		rconn_recv_wait(l->rconn);
		poll_timer_wait_until(l->until);
	}
}

void
hwy_bridge_destroy(struct hwy_bridge *b)
{
	ovs_assert(hmap_is_empty(&b->ports));
	forget(b);
	hmap_destroy(&b->openflow->ports);
	linger(b->openflow->rconn);
	free(b->openflow->target);
	free(b->openflow);
	free(b->trouble);
	hwy_detector_destroy(b->detector);
	hwy_policy_clear(&b->policy);
	hmap_remove(&hwy_bridges, &b->node);
	hmap_destroy(&b->ports);
	free(b->name);
	free(b);
}

/* --- state ------------------------------------------------------------------------ */

const char *
hwy_sync_word(enum hwy_sync sync)
{
	static const char *const words[] = {
		[HWY_SYNC_NONE] = "not connected", [HWY_SYNC_DUMPING] = "reading the rules",
		[HWY_SYNC_LIVE] = "live",          [HWY_SYNC_PAUSED] = "paused",
		[HWY_SYNC_BLIND] = "blind",
	};

	return words[sync];
}

void
hwy_bridge_set_sync(struct hwy_bridge *b, enum hwy_sync sync)
{
	if (b->sync == sync)
		return;
	b->sync = sync;
	if (sync != HWY_SYNC_BLIND) {
		free(b->trouble);
		b->trouble = NULL;
	}
	hwy_bridge_touch(b);
}

void
hwy_bridge_touch(struct hwy_bridge *b)
{
	if (b->changed_us == 0)
		b->changed_us = time_usec();
	b->changed = true;
}

static void
send_message(struct hwy_bridge *b, struct ofpbuf *msg)
{
	rconn_send(b->openflow->rconn, msg, NULL);
}

/* What the bridge is told to tell us, before anything is asked for, so that nothing is
 * missed in between: changes of ports and groups, and no packets at all. */
static void
subscribe(struct hwy_bridge *b)
{
	struct hwy_openflow *of = b->openflow;
	struct ofputil_async_cfg wanted = OFPUTIL_ASYNC_CFG_INIT;
	uint32_t kinds = 1u << OAM_PACKET_IN | 1u << OAM_PORT_STATUS | 1u << OAM_FLOW_REMOVED;
	struct ofpbuf *msg;

	wanted.primary[OAM_PORT_STATUS] = 1u << OFPPR_ADD | 1u << OFPPR_DELETE | 1u << OFPPR_MODIFY;
	wanted.secondary[OAM_PORT_STATUS] = wanted.primary[OAM_PORT_STATUS];
	of->tells_groups = of->version >= OFP14_VERSION;
	if (of->tells_groups) {
		kinds |= 1u << OAM_ROLE_STATUS | 1u << OAM_TABLE_STATUS | 1u << OAM_REQUESTFORWARD;
		wanted.primary[OAM_REQUESTFORWARD] = 1u << OFPRFR_GROUP_MOD;
		wanted.secondary[OAM_REQUESTFORWARD] = 1u << OFPRFR_GROUP_MOD;
	}
	send_message(b, ofputil_encode_set_async_config(&wanted, kinds, of->version));
	send_message(b, ofputil_encode_port_desc_stats_request(of->version, OFPP_ANY));
	if (of->tells_groups)
		send_message(b, ofputil_encode_group_desc_request(of->version, OFPG_ALL));
	hwy_flowmon_start(b);
	msg = ofputil_encode_barrier_request(of->version);
	of->barrier_xid = ((struct ofp_header *)msg->data)->xid;
	send_message(b, msg);
	of->subscribed = true;
}

static void
ask_for_settings(struct hwy_bridge *b)
{
	struct hwy_openflow *of = b->openflow;

	if (of->asked_for_settings)
		return;
	of->asked_for_settings = true;
	of->next_look = time_msec() + LOOK_MS;
	send_message(b, ofpraw_alloc(OFPRAW_OFPT_GET_CONFIG_REQUEST, of->version, 0));
}

static void
connected(struct hwy_bridge *b)
{
	struct hwy_openflow *of = b->openflow;
	struct nx_controller_id *id;
	struct ofpbuf *msg;
	int version = rconn_get_version(of->rconn);

	if (version < 0)
		return;
	of->connection = rconn_get_connection_seqno(of->rconn);
	of->version = (enum ofp_version)version;
	of->protocol = ofputil_protocol_from_ofp_version(of->version);
	of->asked_for_settings = of->subscribed = of->counting = false;
	of->next_count = time_msec() + COUNT_MS;
	b->n_syncs++;
	forget(b);
	hwy_bridge_set_sync(b, HWY_SYNC_DUMPING);

	/* Before OpenFlow 1.3 a connection with the ID 0 makes the bridge send table misses
	 * to all controllers. */
	msg = ofpraw_alloc(OFPRAW_NXT_SET_CONTROLLER_ID, of->version, 0);
	id = ofpbuf_put_zeros(msg, sizeof *id);
	id->controller_id = htons(NOBODY_ID);
	send_message(b, msg);
	ask_for_settings(b);
}

static void
disconnected(struct hwy_bridge *b)
{
	if (b->sync == HWY_SYNC_NONE)
		return;
	hwy_journal_note(HWY_EVENT_BRIDGE, b->name, NULL, NULL, -1,
			 "bridge %s: the connection to %s is lost", b->name, b->openflow->target);
	hwy_bridge_set_sync(b, HWY_SYNC_NONE);
	forget(b);
}

void
hwy_bridge_resync(struct hwy_bridge *b, const char *why)
{
	struct hwy_openflow *of = b->openflow;

	if (b->sync == HWY_SYNC_BLIND)
		return;
	hwy_bridge_set_sync(b, HWY_SYNC_BLIND);
	free(b->trouble);
	b->trouble = xstrdup(why);
	hwy_journal_note(HWY_EVENT_BRIDGE, b->name, NULL, NULL, -1,
			 "bridge %s: the rules are read again in %u s: %s", b->name, of->resync_s,
			 why);
	of->next_resync = time_msec() + of->resync_s * 1000LL;
	of->resync_s = MIN(MAX(1, of->resync_s * 2), MAX_RESYNC_S);
}

/* --- messages --------------------------------------------------------------------- */

static void
settings(struct hwy_bridge *b, const struct ofp_header *oh)
{
	struct hwy_openflow *of = b->openflow;
	struct ofputil_switch_config config;
	bool drops;

	ofputil_decode_get_config_reply(oh, &config);
	of->asked_for_settings = false;
	drops = config.frag == OFPUTIL_FRAG_DROP;
	if (drops != b->drops_fragments) {
		b->drops_fragments = drops;
		hwy_bridge_touch(b);
	}
	if (!of->subscribed) {
		/* A service connection is told of nothing as long as its miss length is 0.
		 * The rest of this message is the bridge's own, and so is repeated. */
		config.miss_send_len = OFP_DEFAULT_MISS_SEND_LEN;
		config.invalid_ttl_to_controller = -1;
		subscribe(b);
		send_message(b, ofputil_encode_set_config(&config, of->version));
	}
}

const struct hwy_port_desc *
hwy_bridge_port_desc(const struct hwy_ofport *port)
{
	const struct hmap *ports = &port->bridge->openflow->ports;
	struct hwy_port_desc *desc;

	HMAP_FOR_EACH_WITH_HASH (desc, node, hash_int(ofp_to_u16(port->ofport), 0), ports) {
		/* OpenFlow cuts long names. */
		if (desc->ofport == port->ofport &&
		    !strncmp(desc->name, port->name, sizeof desc->name - 1))
			return desc;
	}
	return NULL;
}

/* Tells the detector of a port, if it does not know yet.  A port without a link is not
 * down for it: the switch sends there all the same. */
static void
feed_port(struct hwy_bridge *b, struct hwy_port_desc *desc)
{
	const struct hwy_ofport *port = hwy_ofport_by_number(b, desc->ofport);
	unsigned int flags = HWY_PORT_TOLD;

	if (port != NULL && hwy_ofport_is_highway(port) && hwy_bridge_port_desc(port) == desc)
		flags |= HWY_PORT_HIGHWAY;
	if (desc->config & OFPUTIL_PC_PORT_DOWN)
		flags |= HWY_PORT_DOWN;
	if (desc->state & OFPUTIL_PS_LIVE)
		flags |= HWY_PORT_LIVE;
	if (desc->config & (OFPUTIL_PC_NO_RECV | OFPUTIL_PC_NO_RECV_STP))
		flags |= HWY_PORT_NO_RECV;
	if (desc->config & OFPUTIL_PC_NO_FWD)
		flags |= HWY_PORT_NO_FWD;
	if (flags == desc->told)
		return;
	desc->told = flags;
	hwy_detector_port_set(b->detector, desc->ofport, desc->name, flags & ~HWY_PORT_TOLD);
}

void
hwy_bridge_feed_ports(struct hwy_bridge *b)
{
	struct hwy_port_desc *desc;

	HMAP_FOR_EACH (desc, node, &b->openflow->ports)
		feed_port(b, desc);
}

static void
set_port(struct hwy_bridge *b, const struct ofputil_phy_port *pp, bool gone)
{
	struct hmap *ports = &b->openflow->ports;
	uint32_t hash = hash_int(ofp_to_u16(pp->port_no), 0);
	struct hwy_port_desc *desc = NULL, *each;

	HMAP_FOR_EACH_WITH_HASH (each, node, hash, ports) {
		if (each->ofport == pp->port_no)
			desc = each;
	}
	hwy_bridge_touch(b);
	if (gone) {
		hwy_detector_port_delete(b->detector, pp->port_no);
		if (desc != NULL) {
			hmap_remove(ports, &desc->node);
			free(desc);
		}
		return;
	}
	if (desc == NULL) {
		desc = xzalloc(sizeof *desc);
		desc->ofport = pp->port_no;
		hmap_insert(ports, &desc->node, hash);
	}
	memcpy(desc->name, pp->name, sizeof desc->name);
	desc->config = pp->config;
	desc->state = pp->state;
	feed_port(b, desc);
}

static void
port_descs(struct hwy_bridge *b, const struct ofp_header *oh)
{
	struct ofpbuf msg = ofpbuf_const_initializer(oh, ntohs(oh->length));
	struct ofputil_phy_port pp;

	ofpraw_pull_assert(&msg);
	while (!ofputil_pull_phy_port(oh->version, &msg, &pp))
		set_port(b, &pp, false);
}

static void
port_status(struct hwy_bridge *b, const struct ofp_header *oh)
{
	struct ofputil_port_status ps;

	if (ofputil_decode_port_status(oh, &ps) == 0)
		set_port(b, &ps.desc, ps.reason == OFPPR_DELETE);
}

static void
group_descs(struct hwy_bridge *b, const struct ofp_header *oh)
{
	struct ofpbuf msg = ofpbuf_const_initializer(oh, ntohs(oh->length));

	hwy_bridge_touch(b);
	for (;;) {
		struct ofputil_group_desc desc;
		int rc = ofputil_decode_group_desc_reply(&desc, &msg, oh->version);

		if (rc != 0) {
			if (rc != EOF)
				hwy_bridge_resync(b, "a group cannot be read");
			return;
		}
		hwy_detector_group_set(b->detector, &desc);
		ofputil_uninit_group_desc(&desc);
	}
}

static void
set_group(struct hwy_bridge *b, const struct ofputil_group_mod *gm)
{
	struct ofputil_group_desc desc = {
		.type = gm->type, .group_id = gm->group_id, .props = gm->props};

	ovs_list_init(&desc.buckets);
	ofputil_bucket_clone_list(&desc.buckets, &gm->buckets, NULL);
	hwy_detector_group_set(b->detector, &desc);
	ofputil_bucket_list_destroy(&desc.buckets);
}

/* Somebody changed a group.  What the message says in full is taken; after a change of
 * single buckets the group is unknown until the bridge has described it. */
static void
group_changed(struct hwy_bridge *b, const struct ofp_header *oh)
{
	struct ofputil_requestforward rf;
	const struct ofputil_group_mod *gm;

	hwy_bridge_touch(b);
	if (ofputil_decode_requestforward(oh, &rf) != 0) {
		hwy_bridge_resync(b, "a change of a group cannot be read");
		return;
	}
	if (rf.reason == OFPRFR_GROUP_MOD) {
		gm = rf.group_mod;
		switch (gm->command) {
		case OFPGC11_ADD:
		case OFPGC11_MODIFY:
		case OFPGC11_ADD_OR_MOD:
			set_group(b, gm);
			break;
		case OFPGC11_DELETE:
			hwy_detector_group_delete(b->detector, gm->group_id);
			break;
		default:
			hwy_detector_group_delete(b->detector, gm->group_id);
			send_message(b, ofputil_encode_group_desc_request(b->openflow->version,
									  gm->group_id));
			break;
		}
	}
	ofputil_destroy_requestforward(&rf);
}

static void
barrier_reply(struct hwy_bridge *b, const struct ofp_header *oh)
{
	struct hwy_openflow *of = b->openflow;

	if (oh->xid != of->barrier_xid || b->sync != HWY_SYNC_DUMPING)
		return;
	hwy_bridge_set_sync(b, HWY_SYNC_LIVE);
	of->resync_s = 0;
	hwy_journal_note(HWY_EVENT_BRIDGE, b->name, NULL, NULL, -1,
			 "bridge %s is followed by %s: %" PRIuSIZE " rules, %" PRIuSIZE " ports",
			 b->name, ofputil_version_to_string(of->version),
			 hwy_detector_n_rules(b->detector), hmap_count(&of->ports));
}

static void
error(struct hwy_bridge *b, const struct ofp_header *oh)
{
	struct ofpbuf payload;
	enum ofperr code = ofperr_decode_msg(oh, &payload);
	char *why = xasprintf("the bridge answers \"%s\"", ofperr_get_name(code));

	ofpbuf_uninit(&payload);
	hwy_bridge_resync(b, why);
	free(why);
}

static void
message(struct hwy_bridge *b, const struct ofpbuf *msg)
{
	const struct ofp_header *oh = msg->data;
	enum ofptype type;

	if (ofptype_decode(&type, oh) != 0)
		return;
	switch ((int)type) {
	case OFPTYPE_ECHO_REQUEST:
		send_message(b, ofputil_encode_echo_reply(oh));
		break;
	case OFPTYPE_ERROR:
		error(b, oh);
		break;
	case OFPTYPE_GET_CONFIG_REPLY:
		settings(b, oh);
		break;
	case OFPTYPE_PORT_DESC_STATS_REPLY:
		port_descs(b, oh);
		break;
	case OFPTYPE_PORT_STATUS:
		port_status(b, oh);
		break;
	case OFPTYPE_GROUP_DESC_STATS_REPLY:
		group_descs(b, oh);
		break;
	case OFPTYPE_REQUESTFORWARD:
		group_changed(b, oh);
		break;
	case OFPTYPE_FLOW_MONITOR_STATS_REPLY:
	case OFPTYPE_FLOW_MONITOR_PAUSED:
	case OFPTYPE_FLOW_MONITOR_RESUMED:
		hwy_flowmon_message(b, msg);
		break;
	case OFPTYPE_TABLE_STATS_REPLY:
		hwy_flowmon_counted(b, msg);
		break;
	case OFPTYPE_BARRIER_REPLY:
		barrier_reply(b, oh);
		break;
	}
}

/* --- main loop -------------------------------------------------------------------- */

static void
bridge_run(struct hwy_bridge *b)
{
	struct hwy_openflow *of = b->openflow;
	long long int end = time_msec() + RUN_MS;
	bool more = true;

	rconn_run(of->rconn);
	if (!rconn_is_connected(of->rconn)) {
		disconnected(b);
		return;
	}
	if (b->sync == HWY_SYNC_NONE || of->connection != rconn_get_connection_seqno(of->rconn))
		connected(b);
	if (b->sync == HWY_SYNC_BLIND && time_msec() >= of->next_resync) {
		rconn_reconnect(of->rconn);
		return;
	}
	while (more) {
		struct ofpbuf *msg = rconn_recv(of->rconn);

		more = msg != NULL;
		if (msg != NULL && b->sync != HWY_SYNC_NONE)
			message(b, msg);
		ofpbuf_delete(msg);
		if (more && time_msec() >= end) {
			poll_immediate_wake();
			break;
		}
	}
	if (b->sync == HWY_SYNC_NONE)
		return;
	if (time_msec() >= of->next_look)
		ask_for_settings(b);
	if (b->sync == HWY_SYNC_LIVE && time_msec() >= of->next_count) {
		of->next_count = time_msec() + COUNT_MS;
		hwy_flowmon_count(b);
	}
}

void
hwy_bridges_run(void)
{
	struct hwy_bridge *b;

	HMAP_FOR_EACH (b, node, &hwy_bridges)
		bridge_run(b);
	lingering_run();
}

void
hwy_bridges_wait(void)
{
	struct hwy_bridge *b;

	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		rconn_run_wait(b->openflow->rconn);
		rconn_recv_wait(b->openflow->rconn);
		if (b->sync != HWY_SYNC_NONE)
			poll_timer_wait_until(b->openflow->next_look);
		if (b->sync == HWY_SYNC_BLIND)
			poll_timer_wait_until(b->openflow->next_resync);
	}
	lingering_wait();
}
