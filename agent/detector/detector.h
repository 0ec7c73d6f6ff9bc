/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The p-2-p link detector: do the OpenFlow rules of a bridge send *every* packet that
 * comes in at port X to exactly one other port Y, unmodified, by one path of rules?
 *
 * One detector per bridge.  It is told about rules, groups and ports as they change and
 * answers with a verdict per port: a proof, with the rules that it rests on, or the reason
 * why there is none, with the rule that decides.  Whatever it does not understand means "no
 * proof"; it never claims a link that is none.
 *
 * How.  The detector walks the pipeline as ofproto/ofproto-dpif-xlate.c of Open vSwitch 3.1
 * does, with a packet of which only the metadata are known: in_port, metadata and registers
 * (0 at first), no tunnel, no connection tracking.  At each table it asks for the rule of
 * highest priority that some packet of X can match.  If all of them match it, and no other
 * rule of its priority can be matched, its actions are followed; otherwise the walk ends
 * without a proof.  A rule that contradicts what is known, or lies below a rule that takes
 * everything, is never seen.  See index.h for the cost.
 *
 * What the detector cannot see, and its user has to check, because Open vSwitch handles it
 * before, after or beside the tables (function names are Open vSwitch's):
 *
 *   - fragments: `frags=drop` (OFPC_FRAG_DROP in the switch configuration) drops all of them
 *     before the look-up.  `normal` and `nx-match` are fine.
 *   - process_special(): on X, CFM (Interface.cfm_mpid), BFD (Interface.bfd:enable), LACP
 *     (Port.lacp), LLDP (Interface.lldp:enable), and on the bridge STP and RSTP take their
 *     own protocol's packets away.  (Other 01:80:c2 addresses are special to NORMAL alone.)
 *   - spanning tree: the port states of X and Y (blocking, learning).
 *   - mirrors that select X or Y, or have X or Y as their output port.
 *   - Port.protected set at both X and Y: the switch refuses the output.
 *   - QoS on Y with queues that set DSCP, or any QoS; policing of X.
 *   - sFlow, IPFIX, NetFlow on the bridge.
 *   - in-band control and fail-open (hidden rules above priority 65535, DHCP to LOCAL).
 *   - ports that are no plain Ethernet ports: patch, tunnel, layer 3, bond members.
 *   Port.tag, trunks and vlan_mode matter to NORMAL alone, and NORMAL is no proof.
 *
 * One thread; nothing here blocks, logs or touches a socket.
 */
#ifndef HWY_DETECTOR_H
#define HWY_DETECTOR_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/match.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-group.h"
#include "openvswitch/types.h"

struct ds;
struct hwy_detector;
struct hwy_rule;

/* What is known of a port; the user derives it from OpenFlow port status and OVSDB. */
enum hwy_port_flags {
	HWY_PORT_HIGHWAY = 1 << 0, /* May be an end of a link. */
	HWY_PORT_DOWN = 1 << 1,    /* Administratively down, or no link. */
	HWY_PORT_LIVE = 1 << 2,    /* OFPPS_LIVE: what watch_port of fast failover asks. */
	HWY_PORT_NO_RECV = 1 << 3, /* OFPPC_NO_RECV or OFPPC_NO_RECV_STP. */
	HWY_PORT_NO_FWD = 1 << 4,  /* OFPPC_NO_FWD. */
};

/* Why there is no proof; hwy_verdict_format() says it in words. */
enum hwy_reason {
	HWY_PROVEN,
	HWY_NO_PORT,            /* X is not (any more) a port of the bridge. */
	HWY_NOT_HIGHWAY,        /* 'port' (X or Y) is no highway port. */
	HWY_PORT_IS_DOWN,       /* 'port' is down. */
	HWY_PORT_CONFIG,        /* 'port' does not receive or forward: 'what'. */
	HWY_TABLE_MISS,         /* No rule of 'table_id' takes X's packets. */
	HWY_NARROW,             /* 'rule' takes some of X's packets, not all. */
	HWY_EQUAL_PRIORITY,     /* 'rule' and 'other': the same priority, both can match. */
	HWY_TOO_MANY_UNKNOWN,   /* 'table_id': rules on values that are not known. */
	HWY_INTERNAL_TABLE,     /* 'rule' leads to the switch's own 'table_id'. */
	HWY_ACTION,             /* 'rule' has the action 'what', which is not followed. */
	HWY_SETS_FIELD,         /* 'rule' writes the field 'what'. */
	HWY_UNKNOWN_VALUE,      /* 'rule' outputs to a register of unknown value. */
	HWY_DROP,               /* 'rule', the last of the path, outputs nowhere. */
	HWY_TO_ITSELF,          /* 'rule' sends back to X. */
	HWY_MANY_OUTPUTS,       /* 'rule' outputs a second time. */
	HWY_NO_OUTPUT_PORT,     /* 'rule' outputs to 'port', which does not exist. */
	HWY_NO_GROUP,           /* 'rule' uses 'group_id', which does not exist. */
	HWY_GROUP_BUCKETS,      /* 'group_id' selects among several buckets. */
	HWY_GROUP_NOT_LIVE,     /* 'group_id' has no live bucket. */
	HWY_GROUP_RECIRCULATES, /* 'group_id' selects by dp_hash: packets go round twice. */
	HWY_TOO_DEEP,           /* Resubmits nest deeper, or are more, than allowed. */
};

/* One step of the path of a proof: a rule, or a group (then 'rule' is null). */
struct hwy_step {
	struct hwy_rule *rule;
	uint32_t group_id;
};

/* What the rules do with the packets of 'in_port'. */
struct hwy_verdict {
	ofp_port_t in_port;
	bool p2p;            /* Proven: every packet goes to 'out_port' and nowhere else. */
	ofp_port_t out_port; /* OFPP_NONE without a proof. */

	/* Rules and groups in the order in which they were followed; also without a proof,
	 * up to where the walk ended. */
	struct hwy_step *steps;
	size_t n_steps;

	/* Without a proof; which of them are set depends on 'reason'. */
	enum hwy_reason reason;
	struct hwy_rule *rule, *other;
	ofp_port_t port;
	uint32_t group_id;
	uint8_t table_id;
	const char *what;
};

/* An empty table 0..254, no groups, no ports. */
struct hwy_detector *hwy_detector_create(void);
void hwy_detector_destroy(struct hwy_detector *detector);

/* A rule is there now; replaces the one with the same table, priority and match.  Copies
 * everything.  Telling it what it knows already changes nothing and costs a look-up.
 * 'match' is as Open vSwitch reports it (flow monitor, flow statistics).
 * Returns 0, or -EINVAL for a table or priority out of range (0..254, 0..65535). */
int hwy_detector_rule_add(struct hwy_detector *detector, unsigned int table_id, int priority,
			  ovs_be64 cookie, const struct match *match, const struct ofpact *ofpacts,
			  size_t ofpacts_len);

/* A rule is gone.  Returns 0, or -ENOENT if there was none. */
int hwy_detector_rule_delete(struct hwy_detector *detector, unsigned int table_id, int priority,
			     const struct match *match);

/* All rules are gone; groups and ports stay.  To synchronise again after a gap: flush, add
 * everything anew, then run: whatever is as it was is not reported. */
void hwy_detector_flush(struct hwy_detector *detector);

/* A group is there now, or has changed.  Copies everything. */
void hwy_detector_group_set(struct hwy_detector *detector, const struct ofputil_group_desc *group);

/* A group is gone; all of them with OFPG_ALL. */
void hwy_detector_group_delete(struct hwy_detector *detector, uint32_t group_id);

/* A port is there now, or has changed; 'flags' of enum hwy_port_flags. */
void hwy_detector_port_set(struct hwy_detector *detector, ofp_port_t port, const char *name,
			   unsigned int flags);
void hwy_detector_port_delete(struct hwy_detector *detector, ofp_port_t port);

/* The verdict on 'in_port' as of now.  Valid until the next call that takes 'detector'
 * without const.  Never null: of an unknown port, HWY_NO_PORT. */
const struct hwy_verdict *hwy_detector_verdict(struct hwy_detector *detector, ofp_port_t in_port);

/* 'before' and 'now' differ in p2p, out_port, the path or the reason.  Both are valid during
 * the call.  Must not change the detector. */
typedef void hwy_detector_changed(struct hwy_detector *detector, const struct hwy_verdict *before,
				  const struct hwy_verdict *now, void *aux);

/* Brings all verdicts up to date and calls 'changed' for each port whose verdict is not what
 * it was after the last run: first those that lose a proof or change its port, then the
 * others.  A new port starts from HWY_NO_PORT, and a deleted one ends there.  Costs nothing
 * if nothing that a port's walk looked at has changed. */
void hwy_detector_run(struct hwy_detector *detector, hwy_detector_changed *changed, void *aux);

/* True if hwy_detector_run() has something to do. */
bool hwy_detector_is_dirty(const struct hwy_detector *detector);

/* Number of rules. */
size_t hwy_detector_n_rules(const struct hwy_detector *detector);

/* The name of a port, or its number. */
const char *hwy_detector_port_name(const struct hwy_detector *detector, ofp_port_t port,
				   char number[16]);

/* One sentence without a full stop, for an operator:
 *   "p1 to p2 by table 0: priority=100,cookie=0x5,in_port=p1"
 *   "table 0: priority=65000,cookie=0x5,tcp,tp_dst=80 takes some of p1's packets away" */
void hwy_verdict_format(const struct hwy_detector *detector, const struct hwy_verdict *verdict,
			struct ds *out);

/* A rule of a verdict: only as long as the verdict is valid. */
unsigned int hwy_rule_table(const struct hwy_rule *rule);
int hwy_rule_priority(const struct hwy_rule *rule);
ovs_be64 hwy_rule_cookie(const struct hwy_rule *rule);

/* "tcp,tp_dst=80", without the priority; "" for a rule that matches everything. */
void hwy_rule_format_match(const struct hwy_detector *detector, const struct hwy_rule *rule,
			   struct ds *out);

/* "table 0: priority=65000,cookie=0x5,tcp,tp_dst=80" */
void hwy_rule_format(const struct hwy_detector *detector, const struct hwy_rule *rule,
		     struct ds *out);

#endif
