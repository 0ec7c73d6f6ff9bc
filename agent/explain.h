/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why a port is, or is not, bypassed: the rules (bridge, table, priority, cookie and match of
 * the one that decides), the policy, and what the region makes of it.
 */
#ifndef HIGHWAY_AGENT_EXPLAIN_H
#define HIGHWAY_AGENT_EXPLAIN_H

#include "model.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "status.h"

void hwy_explain_text(const struct hwy_ofport *port, struct hwy_status *snaps, struct ds *out);
struct json *hwy_explain_json(const struct hwy_ofport *port, struct hwy_status *snaps);

#endif /* HIGHWAY_AGENT_EXPLAIN_H */
