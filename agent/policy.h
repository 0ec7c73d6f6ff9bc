/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why the database keeps a port at the switch.
 *
 * Open vSwitch does not put these into its megaflows, so the driver cannot know: ingress
 * policing, egress QoS, mirrors, the operator's word.  Others it does put there, yet no
 * rule tells of them, so a proof from rules alone would be wrong: STP, CFM and the like.
 * The former forbid every bypass, the latter only a proof.
 *
 * Functions of the rows alone, without state but for what keys.h complains of.  The keys are
 * listed in highwayd(8).
 */
#ifndef HIGHWAY_AGENT_POLICY_H
#define HIGHWAY_AGENT_POLICY_H

#include "lib/vswitch-idl.h"
#include "model.h"

/* What concerns all ports of the bridge. */
void hwy_policy_bridge(const struct ovsrec_open_vswitch *ovs, const struct ovsrec_bridge *bridge,
		       struct hwy_policy_reasons *reasons);

/* What concerns one port; 'domain' is the Highway domain it is in. */
void hwy_policy_port(const struct ovsrec_open_vswitch *ovs, const struct ovsrec_bridge *bridge,
		     const struct ovsrec_port *port, const struct ovsrec_interface *interface,
		     const char *domain, struct hwy_policy_reasons *reasons);

#endif /* HIGHWAY_AGENT_POLICY_H */
