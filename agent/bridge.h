/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bridge's OpenFlow connection, on its management socket.
 *
 * No controller can notice it: Open vSwitch takes what connects there for a service
 * connection, which counts for nothing in fail_mode; we ask for no role, no packet-in and
 * no flow-removed, and send nothing that changes a rule, a group or a port.
 *
 *   connected -> settings -> what changes is told (ports, groups) -> all ports, groups,
 *   rules asked for -> barrier -> live, until the connection ends or nothing can be relied
 *   on any more: then all of it again.
 */
#ifndef HIGHWAY_AGENT_BRIDGE_H
#define HIGHWAY_AGENT_BRIDGE_H

#include "model.h"
#include "openvswitch/ofp-protocol.h"

struct hwy_openflow {
	struct rconn *rconn;
	char *target;
	unsigned int connection; /* rconn's sequence number of the one in use */
	enum ofp_version version;
	enum ofputil_protocol protocol;
	bool asked_for_settings;   /* a reply is due */
	bool subscribed;           /* the settings are made, and all has been asked for */
	bool tells_groups;         /* changes of groups are told: OpenFlow 1.4 on */
	ovs_be32 flows_xid;        /* of the flow monitor request */
	ovs_be32 barrier_xid;      /* behind all requests */
	bool counting;             /* a table statistics request is under way */
	unsigned int n_counted;    /* rules that the replies so far tell of */
	long long int next_look;   /* settings, time_msec() */
	long long int next_count;  /* time_msec() */
	long long int next_resync; /* while blind, time_msec() */
	unsigned int resync_s;     /* pause before the next try */
	struct hmap ports;         /* struct hwy_port_desc: what OpenFlow says there is */
};

/* A port as OpenFlow describes it. */
struct hwy_port_desc {
	struct hmap_node node; /* by number */
	ofp_port_t ofport;
	char name[OFP_MAX_PORT_NAME_LEN];
	enum ofputil_port_config config;
	enum ofputil_port_state state;
	unsigned int told; /* what the detector knows: enum hwy_port_flags, HWY_PORT_TOLD */
};
#define HWY_PORT_TOLD (1u << 31)

struct hwy_bridge *hwy_bridge_create(const char *name);
void hwy_bridge_destroy(struct hwy_bridge *bridge);

void hwy_bridges_run(void);
void hwy_bridges_wait(void);

/* The description of the port's number, NULL if OpenFlow knows none or another name. */
const struct hwy_port_desc *hwy_bridge_port_desc(const struct hwy_ofport *port);

/* The database has changed: tells the detector which ports are Highway's. */
void hwy_bridge_feed_ports(struct hwy_bridge *bridge);

/* Nothing that we know of the rules can be relied on: asks for all of it again, after a
 * pause if that was tried before.  'why' completes "the rules are read again: ". */
void hwy_bridge_resync(struct hwy_bridge *bridge, const char *why);

const char *hwy_sync_word(enum hwy_sync sync);
void hwy_bridge_set_sync(struct hwy_bridge *bridge, enum hwy_sync sync);

/* --- flowmon.c ------------------------------------------------------------------- */

/* Sends the request for all rules and every change of them. */
void hwy_flowmon_start(struct hwy_bridge *bridge);
/* Takes a flow monitor's message of any kind. */
void hwy_flowmon_message(struct hwy_bridge *bridge, const struct ofpbuf *msg);
/* The switch's own number of rules, to compare: see flowmon.c. */
void hwy_flowmon_count(struct hwy_bridge *bridge);
void hwy_flowmon_counted(struct hwy_bridge *bridge, const struct ofpbuf *msg);

#endif /* HIGHWAY_AGENT_BRIDGE_H */
