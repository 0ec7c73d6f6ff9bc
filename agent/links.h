/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verdicts and policy become words in the regions: who may bypass the switch, and which port
 * is proven to lead where.
 *
 * Taking something away always goes before giving, is done in the round in which the reason
 * is seen, and never waits.  A proof that was withdrawn twice within HWY_FLAP_MS is given
 * again only when it has been the same for highway-debounce-ms.
 *
 * What an earlier highwayd has left in a region is adopted: proofs stay as they are until
 * the rules have been read for the first time, for at most HWY_ADOPT_MS.
 */
#ifndef HIGHWAY_AGENT_LINKS_H
#define HIGHWAY_AGENT_LINKS_H

#include "model.h"
#include "openvswitch/dynamic-string.h"

#define HWY_FLAP_MS  1000
#define HWY_ADOPT_MS 3000

void hwy_links_run(void);
void hwy_links_wait(void);

/* The port is about to go, or is no longer the one of its domain: withdraws what it has. */
void hwy_links_forget(struct hwy_ofport *port);

/* Who is kept from a bypass by policy, and by which reason; NULL if nobody. */
const struct hwy_policy_reason *hwy_links_prohibition(const struct hwy_ofport *port);

/*
 * Where every packet of 'port' provably goes, or NULL.  Then 'why', if not NULL, receives
 * the reason as a sentence without the final stop, and '*by_rules' whether it is the rules.
 */
struct hwy_ofport *hwy_links_proof(const struct hwy_ofport *port, struct ds *why, bool *by_rules);

#endif /* HIGHWAY_AGENT_LINKS_H */
