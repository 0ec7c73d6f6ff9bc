/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What highwayd knows: bridges, their ports, and the domains (regions) of the ports that
 * are Highway's.
 *
 *   ovsdb.c    makes and removes bridges and ports as the database says, and notes why
 *              policy keeps a port at the switch (policy.c), and what is wrong with the keys
 *              (keys.c)
 *   bridge.c   one OpenFlow connection per bridge: ports, groups, settings
 *   flowmon.c  the flow monitor on it, which feeds the bridge's detector
 *   domain.c   regions: found, attached to, told that we live
 *   far.c      links between ports of different regions: their ledger and link regions
 *   links.c    verdicts and policy become permits and proofs in the regions
 *   timeline.c how long such a link took to be set up, step by step
 *   machines.c which virtual machine holds which port; hotplug/ knows the machines
 *   journal.c  what happened, once each
 *   report.c   what the operator asks for; metrics.c what Prometheus asks for
 *   notify.c   what the service manager is told
 *
 * One thread.  Nothing here blocks; main loop and time limits are in highwayd.c.
 */
#ifndef HIGHWAY_AGENT_MODEL_H
#define HIGHWAY_AGENT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "openvswitch/hmap.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/types.h"

#include "detector/detector.h"
#include "region.h"

/* --- policy ---------------------------------------------------------------------- */

/* Why a port stays at the switch.  The words are part of the JSON output. */
enum hwy_policy_code {
	HWY_POLICY_OPERATOR,   /* highway-bypass=off */
	HWY_POLICY_POLICING,   /* ingress policing */
	HWY_POLICY_QOS,        /* egress QoS */
	HWY_POLICY_MIRROR,     /* a mirror selects the port */
	HWY_POLICY_IN_BAND,    /* in-band control on the bridge */
	HWY_POLICY_SAMPLING,   /* sFlow, NetFlow, IPFIX */
	HWY_POLICY_SPECIAL,    /* STP, RSTP, CFM, BFD, LACP, LLDP */
	HWY_POLICY_FAIL_OPEN,  /* the bridge may forward by itself any moment */
	HWY_POLICY_FRAGMENTS,  /* the bridge drops fragments */
	HWY_POLICY_PORT_STATE, /* no-receive, no-forward, down */
	HWY_POLICY_UNKNOWN,    /* the rules are not known (yet) */
};

const char *hwy_policy_word(enum hwy_policy_code code);

struct hwy_policy_reason {
	enum hwy_policy_code code;
	bool permit; /* forbids every bypass; else only a proof */
	char *text;  /* "ingress policing at 1000 kbit/s (Interface p1)" */
};

struct hwy_policy_reasons {
	struct hwy_policy_reason *list;
	size_t n, allocated;
};

void hwy_policy_add(struct hwy_policy_reasons *reasons, enum hwy_policy_code code, bool permit,
		    const char *format, ...) __attribute__((format(printf, 4, 5)));
void hwy_policy_clear(struct hwy_policy_reasons *reasons);
/* The first one that forbids a permit ('permit'), or a proof; NULL if none does. */
const struct hwy_policy_reason *hwy_policy_first(const struct hwy_policy_reasons *reasons,
						 bool permit);

/* --- ports and bridges ----------------------------------------------------------- */

/* What links.c has decided for a port, and when. */
struct hwy_decision {
	/* As it should be. */
	bool want_permit;
	struct hwy_ofport *want_peer;
	long long int stable_since; /* want_peer has been the same, time_msec() */

	/* As the region has it. */
	bool known;              /* the region has the port */
	bool permit;             /* it may bypass the switch */
	struct hwy_ofport *peer; /* where its proof leads, or NULL */

	long long int withdrawn; /* when the last proof was, time_msec(); 0: never */
	bool flapping;           /* two proofs were withdrawn within HWY_FLAP_MS */
	long long int given_wall_us, withdrawn_wall_us; /* time_wall_usec(), 0: never */
	long long int cause_us, given_us; /* of the proof wanted or given: the change, and when,
					   * time_usec() */
};

/* Who holds the guest end of a port, if that is in a virtual machine. */
struct hwy_holder {
	uint32_t client, life; /* 0: nobody there */
	enum hwy_said said;    /* what the region has been told of it: shm/realm.h */
};

struct hwy_ofport {
	struct hmap_node node; /* in hwy_bridge.ports, by name */
	struct hwy_bridge *bridge;
	char *name;        /* of the Interface */
	char *port_name;   /* of its Port */
	ofp_port_t ofport; /* OFPP_NONE while Open vSwitch has given it no number */
	bool seen;         /* mark of the last reading of the database */

	/* Highway ports. */
	struct hwy_domain *domain;        /* NULL: not Highway's */
	char hwname[HWY_NAME_SIZE];       /* port= */
	uint32_t hint;                    /* where it was in the region: hwy_domain_port() */
	char *trouble;                    /* devargs that make no sense, in a sentence; or NULL */
	bool is_protected;                /* Port.protected */
	char *vm_uuid, *iface_id;         /* of external_ids, or NULL */
	struct hwy_holder holder;         /* as machines.c saw it last */
	struct hwy_policy_reasons policy; /* by the database */
	struct hwy_decision decided;
};

enum hwy_sync {
	HWY_SYNC_NONE,    /* no connection */
	HWY_SYNC_DUMPING, /* connected, the rules are on their way */
	HWY_SYNC_LIVE,    /* all rules are known and every change arrives */
	HWY_SYNC_PAUSED,  /* Open vSwitch holds changes back */
	HWY_SYNC_BLIND,   /* a rule cannot be read: nothing can be proven */
};

struct hwy_bridge {
	struct hmap_node node; /* in hwy_bridges, by name */
	char *name;
	bool seen;
	struct hmap ports;                /* struct hwy_ofport */
	struct hwy_policy_reasons policy; /* of the whole bridge, by the database */
	long long int created;            /* time_msec() */

	struct hwy_openflow *openflow; /* bridge.c */
	struct hwy_detector *detector;
	enum hwy_sync sync;
	char *trouble;        /* why 'sync' is not live, where there is more to say; or NULL */
	bool was_live;        /* the rules have been known once */
	bool drops_fragments; /* by OpenFlow's switch configuration */
	unsigned long long int n_updates, n_syncs, n_pauses;

	bool changed;             /* links.c has to look at it */
	bool looking;             /* links.c is at it */
	long long int changed_us; /* when the first change came that it has not looked at */
};

/* Something has changed that links.c has to look at. */
void hwy_bridge_touch(struct hwy_bridge *bridge);

extern struct hmap hwy_bridges;

struct hwy_bridge *hwy_bridge_find(const char *name);
struct hwy_ofport *hwy_ofport_find(const struct hwy_bridge *bridge, const char *name);
struct hwy_ofport *hwy_ofport_by_number(const struct hwy_bridge *bridge, ofp_port_t ofport);
static inline bool
hwy_ofport_is_highway(const struct hwy_ofport *port)
{
	return port->domain != NULL;
}

#endif /* HIGHWAY_AGENT_MODEL_H */
