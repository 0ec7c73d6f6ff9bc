/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "agent.h"
#include "host_private.h"
#include "port.h"

/* May the port have links at all, as far as the agent has a say? */
static bool
agent_permits(const struct hwy_host *h, const struct hwy_port *port)
{
	uint32_t permit = hwy_load_acquire(&port->permit);

	if (hwy_load(&h->region->hdr->policy) == HWY_POLICY_AGENT)
		return permit == HWY_PERMIT_YES && h->agent_alive;
	return permit != HWY_PERMIT_NO;
}

static bool
permitted(const struct hwy_host *h, uint32_t src, uint32_t dst)
{
	const struct hwy_region *r = h->region;
	const struct hwy_port *x, *y;
	uint32_t mtu;

	if (dst == HWY_NO_PORT)
		return false;
	x = &r->ports[src];
	y = &r->ports[dst];
	mtu = hwy_load(&x->end[HWY_GUEST].mtu);
	return hwy_load(&x->state) == HWY_PORT_USED && hwy_load(&y->state) == HWY_PORT_USED &&
	       hwy_end_up(&x->end[HWY_HOST]) && hwy_end_up(&x->end[HWY_GUEST]) &&
	       hwy_end_up(&y->end[HWY_HOST]) && hwy_end_up(&y->end[HWY_GUEST]) &&
	       mtu <= hwy_load(&y->end[HWY_HOST].mtu) && mtu <= hwy_load(&y->end[HWY_GUEST].mtu) &&
	       !hwy_load(&x->bypass_off) && !hwy_load(&y->bypass_off) &&
	       !hwy_load(&r->hdr->bypass_off) && agent_permits(h, x) && agent_permits(h, y);
}

/* Two flows of one class that disagree about Y: the switch is changing its mind. */
static bool
contradicted(const struct hwy_host_port *p, const struct hwy_slot *s)
{
	for (int i = 0; i < HWY_MAX_ROUTES; i++) {
		const struct hwy_slot *other = &p->slots[i];

		if (other != s && other->flows > 0 && other->key == s->key &&
		    other->dst != HWY_NO_PORT)
			return true;
	}
	return false;
}

static void
routes_publish(struct hwy_port *x, const struct hwy_route *routes, uint32_t n)
{
	hwy_store(&x->route_seq, x->route_seq + 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (uint32_t i = 0; i < n; i++) {
		hwy_store(&x->routes[i].key, routes[i].key);
		hwy_store(&x->routes[i].link, routes[i].link);
		hwy_store(&x->routes[i].slot, routes[i].slot);
	}
	hwy_store(&x->n_routes, n);
	hwy_store_release(&x->route_seq, x->route_seq + 1);
}

void
hwy_routes_adopt(struct hwy_region *r)
{
	for (uint32_t p = 0; p < r->geo.port_count; p++) {
		struct hwy_port *x = &r->ports[p];

		if (x->state != HWY_PORT_USED)
			continue;
		if (x->route_seq & 1)
			hwy_store(&x->route_seq, x->route_seq + 1);
		routes_publish(x, NULL, 0);
	}
}

/* How many slots have live flows to 'dst', -1 if any has flows that lead elsewhere. */
static int
carriers(const struct hwy_host_port *p, uint32_t dst)
{
	int n = 0;

	for (uint32_t i = 0; i < HWY_MAX_ROUTES; i++) {
		if (p->slots[i].flows == 0)
			continue;
		if (p->slots[i].dst != dst)
			return -1;
		n++;
	}
	return n;
}

/* Where an agent that is alive says that all packets of 'src' go, or HWY_NO_PROOF. */
static uint32_t
agent_proof(const struct hwy_host *h, uint32_t src)
{
	return h->agent_alive ? hwy_agent_proof(h->region, src) : HWY_NO_PROOF;
}

/*
 * The port that all packets of 'src' may go to by one route, or HWY_NO_PORT: 'dst', if any.
 * Somebody must answer for them, so there has to be a live flow that leads there, or the
 * prospect of one (hwy_host_advance()); and none that leads elsewhere, as then the proof and
 * the switch are not of one mind.
 */
static uint32_t
proved(struct hwy_host *h, uint32_t src, uint32_t dst)
{
	struct hwy_host_port *p = &h->ports[src];
	int n;

	p->awaits = false;
	if (dst == HWY_NO_PROOF || !permitted(h, src, dst)) {
		p->advance_ms = 0; /* the packet that it was for belonged to this proof */
		return HWY_NO_PORT;
	}
	n = carriers(p, dst);
	if (n < 0)
		return HWY_NO_PORT;
	if (n > 0) {
		p->advance_ms = 0;
		p->mistrusted = false;
		return dst;
	}
	if (p->advance_ms != 0 && hwy_monotonic_ms() < p->advance_ms)
		return dst;
	if (p->advance_ms != 0) {
		p->advance_ms = 0;
		p->mistrusted = true;
	}
	p->awaits = !p->mistrusted && hwy_load(&h->region->hdr->offload);
	return HWY_NO_PORT;
}

/* Can the port have links at all, as far as it is concerned itself? */
static bool
near_ok(const struct hwy_host *h, uint32_t src)
{
	const struct hwy_region *r = h->region;
	const struct hwy_port *x = &r->ports[src];

	return hwy_load(&x->state) == HWY_PORT_USED && hwy_end_up(&x->end[HWY_HOST]) &&
	       hwy_end_up(&x->end[HWY_GUEST]) && !hwy_load(&x->bypass_off) &&
	       !hwy_load(&r->hdr->bypass_off) &&
	       (r->geo.kind == HWY_KIND_PORT || agent_permits(h, x));
}

/* The port of another region that all packets of 'src' may go to, or HWY_NO_PORT. */
static uint32_t
proved_far(const struct hwy_host *h, uint32_t src)
{
	uint32_t dst = h->far[src].dst;

	if (dst == 0 || !near_ok(h, src))
		return HWY_NO_PORT;
	return carriers(&h->ports[src], dst) > 0 ? dst : HWY_NO_PORT;
}

/*
 * Has an agent that is alive taken a proof back a moment ago?  Then the rules have changed, but
 * flows that the switch has offloaded are still as they were before: Open vSwitch's offload
 * threads sleep for up to 64 ms.
 */
static bool
holds_back(struct hwy_host *h, uint32_t src, uint32_t dst)
{
	struct hwy_host_port *p = &h->ports[src];
	uint32_t proof = dst == HWY_NO_PROOF ? 0 : dst + 1;

	if (!h->agent_alive)
		p->hold_ms = 0;
	else if (p->proof != 0 && p->proof != proof)
		p->hold_ms = hwy_monotonic_ms() + HWY_HOST_HOLD_MS;
	else if (p->hold_ms != 0 && hwy_monotonic_ms() >= p->hold_ms)
		p->hold_ms = 0;
	p->proof = proof;
	return p->hold_ms != 0;
}

/* The routes of port 'src' as they should be now.  Returns how many they are. */
static uint32_t
routes_wanted(struct hwy_host *h, uint32_t src, struct hwy_route *routes)
{
	struct hwy_host_port *p = &h->ports[src];
	uint32_t proof = agent_proof(h, src); /* it may change at any time: looked at once */
	uint32_t dst = proved(h, src, proof), n = 0;
	bool held = holds_back(h, src, proof);

	if (dst != HWY_NO_PORT) {
		int slot = hwy_slots_find(h, src, HWY_CLASS_ALL, dst);

		if (slot >= 0 && hwy_links_for(h, src, dst, &routes[0].link)) {
			routes[0].key = HWY_CLASS_ALL;
			routes[0].slot = (uint32_t)slot;
			return 1;
		}
	}
	dst = proved_far(h, src);
	if (dst != HWY_NO_PORT) {
		int slot = hwy_slots_find(h, src, HWY_CLASS_ALL, dst);

		if (slot >= 0) {
			routes[0].key = HWY_CLASS_ALL;
			routes[0].link = h->far[src].link;
			routes[0].slot = (uint32_t)slot;
			return 1;
		}
	}
	for (uint32_t i = 0; i < HWY_MAX_ROUTES && !held; i++) {
		struct hwy_slot *s = &p->slots[i];

		if (s->flows == 0 || s->key == HWY_CLASS_ALL || s->dst >= HWY_FAR_PORT ||
		    !permitted(h, src, s->dst) || contradicted(p, s) ||
		    !hwy_links_for(h, src, s->dst, &routes[n].link))
			continue;
		routes[n].key = s->key;
		routes[n].slot = i;
		n++;
	}
	return n;
}

void
hwy_routes_refresh(struct hwy_host *h, uint32_t src)
{
	struct hwy_region *r = h->region;
	struct hwy_port *x = &r->ports[src];
	struct hwy_host_port *p = &h->ports[src];
	struct hwy_route routes[HWY_MAX_ROUTES];
	bool used[HWY_MAX_LINKS] = {false}, now[HWY_MAX_ROUTES] = {false};
	uint32_t n;

	if (hwy_load(&x->state) != HWY_PORT_USED)
		return;
	memset(routes, 0, sizeof(routes));
	n = routes_wanted(h, src, routes);
	for (uint32_t i = 0; i < n; i++) {
		used[routes[i].link] = true;
		now[routes[i].slot] = true;
	}
	if (n != x->n_routes || memcmp(routes, x->routes, n * sizeof(routes[0])) != 0) {
		for (uint32_t i = 0; i < n; i++)
			hwy_links_state(&r->links[routes[i].link], HWY_LINK_OPEN);
		routes_publish(x, routes, n);
		for (uint32_t i = 0; i < HWY_MAX_ROUTES; i++) {
			if (p->slots[i].routed && !now[i])
				p->slots[i].withdrawn = x->route_seq;
			p->slots[i].routed = now[i];
		}
	}
	for (uint32_t l = 0; l < r->geo.link_count; l++) {
		if (r->links[l].state == HWY_LINK_OPEN && r->links[l].src == src && !used[l])
			hwy_links_state(&r->links[l], HWY_LINK_CLOSING);
	}
}

void
hwy_routes_refresh_all(struct hwy_host *h)
{
	for (uint32_t p = 0; p < h->region->geo.port_count; p++)
		hwy_routes_refresh(h, p);
}

bool
hwy_host_awaits(struct hwy_host *h, uint32_t src)
{
	bool awaits;

	pthread_mutex_lock(&h->mutex);
	awaits = h->ports[src].awaits;
	pthread_mutex_unlock(&h->mutex);
	return awaits;
}

void
hwy_host_advance(struct hwy_host *h, uint32_t src)
{
	pthread_mutex_lock(&h->mutex);
	if (h->ports[src].awaits) {
		h->ports[src].advance_ms = hwy_monotonic_ms() + HWY_HOST_ADVANCE_MS;
		hwy_routes_refresh(h, src);
	}
	pthread_mutex_unlock(&h->mutex);
}
