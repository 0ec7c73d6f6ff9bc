/* SPDX-License-Identifier: BSD-3-Clause */
#include "agent.h"

#include <errno.h>

#include "bell.h"
#include "client.h"

int
hwy_agent_attach(struct hwy_region *r, char *err)
{
	char holder[64];

	if (hwy_lock_try(r->fd, HWY_LOCK_AGENT) != 0) {
		hwy_client_describe(r, hwy_load(&r->hdr->agent_client), holder, sizeof(holder));
		return hwy_fail(err, -EBUSY, "domain=%s has an agent already, %s: end that process",
				r->geo.domain, holder);
	}
	hwy_store_release(&r->hdr->agent_client, r->me);
	hwy_agent_beat(r);
	return 0;
}

void
hwy_agent_detach(struct hwy_region *r)
{
	for (uint32_t p = 0; p < r->geo.port_count; p++) {
		if (hwy_load(&r->ports[p].state) != HWY_PORT_USED)
			continue;
		hwy_agent_prove(r, p, HWY_NO_PROOF);
		if (hwy_load(&r->ports[p].permit) == HWY_PERMIT_YES)
			hwy_agent_permit(r, p, HWY_PERMIT_UNSAID);
	}
	hwy_store_release(&r->hdr->agent_client, 0);
	hwy_lock_drop(r->fd, HWY_LOCK_AGENT);
}

void
hwy_agent_beat(struct hwy_region *r)
{
	hwy_store_release(&r->hdr->agent_beat, r->hdr->agent_beat + 1);
}

void
hwy_agent_permit(struct hwy_region *r, uint32_t port, enum hwy_permit permit)
{
	if (hwy_load(&r->ports[port].permit) == permit)
		return;
	hwy_store_release(&r->ports[port].permit, permit);
	hwy_bell_ring(r);
}

void
hwy_agent_prove(struct hwy_region *r, uint32_t port, uint32_t dst)
{
	uint64_t proof = dst == HWY_NO_PROOF ? HWY_PROOF_NONE
					     : HWY_PROOF(dst, hwy_load(&r->ports[dst].life));

	if (hwy_load(&r->ports[port].proof) == proof)
		return;
	hwy_store_release(&r->ports[port].proof, proof);
	hwy_bell_ring(r);
}

uint32_t
hwy_agent_proof(const struct hwy_region *r, uint32_t port)
{
	uint64_t proof = hwy_load_acquire(&r->ports[port].proof);
	uint32_t dst = HWY_PROOF_DST(proof);

	if (proof == HWY_PROOF_NONE || dst >= r->geo.port_count || dst == port ||
	    hwy_load(&r->ports[dst].state) != HWY_PORT_USED ||
	    hwy_load(&r->ports[dst].life) != HWY_PROOF_LIFE(proof))
		return HWY_NO_PROOF;
	return dst;
}
