/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The agent's part of a region: what its policy permits, and what it has proved.
 *
 * The agent writes, and rings the region's bell (bell.h); the host end acts upon it at once.
 * It is taken for alive while it beats: if it has not for HWY_AGENT_LAPSE_MS, proofs and
 * positive permits lapse, until it beats again.  A prohibition does not lapse: what
 * the agent forbade, a mirror say, is likely still there.
 *
 * Threads: one thread of one process, the holder of HWY_LOCK_AGENT.
 */
#ifndef HIGHWAY_SHM_AGENT_H
#define HIGHWAY_SHM_AGENT_H

#include "region.h"

#define HWY_AGENT_LAPSE_MS 1000
#define HWY_AGENT_BEAT_MS  200 /* beat at least as often */

#define HWY_NO_PROOF UINT32_MAX

/*
 * Becomes the agent of 'region'.  Permits and proofs that an earlier agent left are kept
 * as they are, until the new one says otherwise: beat, look, then correct.  -EBUSY, with
 * a sentence in 'err', if another process is the agent.
 */
int hwy_agent_attach(struct hwy_region *region, char *err);

/* Ends being the agent, in good order: proofs and permits are withdrawn but for
 * prohibitions.  One that will be back at once just ends. */
void hwy_agent_detach(struct hwy_region *region);

void hwy_agent_beat(struct hwy_region *region);

/* What the policy says of links from and to 'port'. */
void hwy_agent_permit(struct hwy_region *region, uint32_t port, enum hwy_permit permit);

/*
 * All packets of 'port', whatever their headers, go to port 'dst' unmodified, by one rule
 * path; HWY_NO_PROOF withdraws it.  The proof is used from the first packet on that the
 * switch gets, as that makes a flow from 'port' to 'dst', which then answers for all of them.
 */
void hwy_agent_prove(struct hwy_region *region, uint32_t port, uint32_t dst);

/* The port that 'port' is proved to lead to, in its present life, or HWY_NO_PROOF. */
uint32_t hwy_agent_proof(const struct hwy_region *region, uint32_t port);

#endif /* HIGHWAY_SHM_AGENT_H */
