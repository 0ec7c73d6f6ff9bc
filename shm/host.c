/* SPDX-License-Identifier: BSD-3-Clause */
#include "host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent.h"
#include "pool.h"
#include "port.h"

#define NO_PORT UINT32_MAX

struct slot {
	uint64_t key; /* 0: never used */
	uint32_t dst;
	uint32_t flows;     /* live flows that are routes */
	uint32_t heirs;     /* live flows that answer for what is owed */
	uint32_t withdrawn; /* route_seq after the route was withdrawn */
	bool routed;        /* X has been told to use it */
	struct hwy_packets_bytes credited;
};

struct port_state {
	struct slot slots[HWY_MAX_ROUTES];
	bool awaits;         /* proved and permitted, but no flow is there */
	bool mistrusted;     /* advanced, and no flow came: not once more until one has */
	uint64_t advance_ms; /* CLOCK_MONOTONIC: until then it needs no flow; 0: it does */
	uint32_t proof;      /* port + 1: where the last proof led; 0: there was none */
	uint64_t hold_ms;    /* CLOCK_MONOTONIC: until then the switch's flows are stale */
};

struct hwy_host {
	struct hwy_region *region;
	pthread_mutex_t mutex;
	bool short_of_links; /* somebody waits for a link: retire what is not used */
	bool agent_alive;    /* it has beaten within HWY_AGENT_LAPSE_MS */
	uint32_t agent_beat; /* the last beat seen, */
	uint64_t beat_ms;    /* and when: CLOCK_MONOTONIC */
	struct port_state ports[HWY_MAX_PORTS];
	uint32_t retire_gen[HWY_MAX_LINKS]; /* in_gen of Y that X's retired link needs */
	struct far_route {
		uint32_t dst; /* HWY_FAR_PORT and above; 0: none */
		uint32_t link;
	} far[HWY_MAX_PORTS];
};

/* --- the link table ------------------------------------------------------------ */

static void
link_state(struct hwy_link *link, enum hwy_link_state state)
{
	if (link->state == state)
		return;
	if (state == HWY_LINK_OPEN)
		hwy_store(&link->opened, link->opened + 1);
	hwy_store(&link->since_ns, hwy_now_ns());
	hwy_store_release(&link->state, state);
}

static struct hwy_link *
link_find(struct hwy_region *r, uint32_t src, uint32_t dst)
{
	for (uint32_t l = 0; l < r->geo.link_count; l++) {
		struct hwy_link *link = &r->links[l];

		if (link->src == src && link->dst == dst &&
		    (link->state == HWY_LINK_READY || link->state == HWY_LINK_OPEN ||
		     link->state == HWY_LINK_CLOSING))
			return link;
	}
	return NULL;
}

/* The tables are the host's own, but they lie where every client can write. */
static bool
link_sane(const struct hwy_region *r, const struct hwy_link *link)
{
	return hwy_load(&link->src) < r->geo.port_count &&
	       hwy_load(&link->dst) < r->geo.port_count &&
	       hwy_load(&link->queues) <= HWY_MAX_QUEUES;
}

static uint32_t
in_links_count(const struct hwy_port *y)
{
	uint32_t n = hwy_load(&y->n_in);

	return n < HWY_MAX_IN_LINKS ? n : HWY_MAX_IN_LINKS;
}

static void
in_links_begin(struct hwy_port *y)
{
	hwy_store(&y->in_gen, y->in_gen + 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void
in_links_end(struct hwy_port *y)
{
	hwy_store_release(&y->in_gen, y->in_gen + 1);
}

/* The link table is the truth: an earlier host may have died between the two. */
static void
in_links_rebuild(struct hwy_region *r, uint32_t p)
{
	struct hwy_port *y = &r->ports[p];
	uint32_t n = 0;

	if (y->state != HWY_PORT_USED)
		return;
	in_links_begin(y);
	for (uint32_t l = 0; l < r->geo.link_count && n < HWY_MAX_IN_LINKS; l++) {
		if (r->links[l].state != HWY_LINK_FREE && r->links[l].dst == p &&
		    (link_sane(r, &r->links[l]) || r->links[l].src == HWY_PORT_FAR))
			hwy_store(&y->in_links[n++], l);
	}
	hwy_store(&y->n_in, n);
	in_links_end(y);
}

/* Makes a link from src to dst: rings first, then Y polls them. */
static struct hwy_link *
link_make(struct hwy_region *r, uint32_t src, uint32_t dst)
{
	struct hwy_port *y = &r->ports[dst];
	struct hwy_link *link = NULL;
	uint32_t l;

	if (y->n_in >= HWY_MAX_IN_LINKS)
		return NULL;
	for (l = 0; l < r->geo.link_count; l++) {
		if (r->links[l].state == HWY_LINK_FREE) {
			link = &r->links[l];
			break;
		}
	}
	if (link == NULL || hwy_region_lock(r, NULL) < 0)
		return NULL;
	memset(link, 0, sizeof(*link));
	link->src = src;
	link->dst = dst;
	link->queues =
		r->ports[src].queues < HWY_MAX_QUEUES ? r->ports[src].queues : HWY_MAX_QUEUES;
	link_state(link, HWY_LINK_PREPARING);
	for (uint32_t q = 0; q < link->queues; q++) {
		if (hwy_region_take_ring(r, HWY_TAG_LINK(l), &link->ring[q]) < 0) {
			hwy_region_give_rings(r, HWY_TAG_LINK(l));
			link_state(link, HWY_LINK_FREE);
			link = NULL;
			break;
		}
	}
	hwy_region_unlock(r);
	if (link == NULL)
		return NULL;
	link_state(link, HWY_LINK_READY);
	in_links_begin(y);
	hwy_store(&y->in_links[y->n_in], l);
	hwy_store(&y->n_in, y->n_in + 1);
	in_links_end(y);
	return link;
}

/* Every sending queue of X acts upon routes at least as new as 'seq'? */
static bool
sender_has_seen(const struct hwy_port *x, uint32_t seq)
{
	const struct hwy_end *guest = &x->end[HWY_GUEST];

	if (!hwy_end_up(guest))
		return true;
	for (uint32_t q = 0; q < hwy_load(&guest->tx_queues) && q < HWY_MAX_QUEUES; q++) {
		if (hwy_before(hwy_load_acquire(&guest->route_ack[q]), seq))
			return false;
	}
	return true;
}

static bool
receiver_has_seen(const struct hwy_port *y, uint32_t gen)
{
	const struct hwy_end *guest = &y->end[HWY_GUEST];

	if (!hwy_end_up(guest))
		return true;
	for (uint32_t q = 0; q < hwy_load(&guest->rx_queues) && q < HWY_MAX_QUEUES; q++) {
		if (hwy_before(hwy_load_acquire(&guest->in_ack[q]), gen))
			return false;
	}
	return true;
}

static bool
link_drained(const struct hwy_region *r, const struct hwy_link *link)
{
	for (uint32_t q = 0; q < link->queues && q < HWY_MAX_QUEUES; q++) {
		const struct hwy_ring *ring = hwy_region_ring(r, link->ring[q]).ring;

		if (hwy_load_acquire(&ring->cons) != hwy_load_acquire(&ring->prod))
			return false;
	}
	return true;
}

static void
link_retire(struct hwy_host *h, uint32_t l)
{
	struct hwy_region *r = h->region;
	uint32_t dst = hwy_load(&r->links[l].dst);
	struct hwy_port *y = &r->ports[dst < r->geo.port_count ? dst : 0];
	uint32_t kept = 0;

	in_links_begin(y);
	for (uint32_t i = 0; i < in_links_count(y); i++) {
		if (y->in_links[i] != l)
			hwy_store(&y->in_links[kept++], y->in_links[i]);
	}
	hwy_store(&y->n_in, kept);
	in_links_end(y);
	h->retire_gen[l] = y->in_gen;
	link_state(&r->links[l], HWY_LINK_RETIRING);
}

static void
link_free(struct hwy_region *r, uint32_t l)
{
	struct hwy_link *link = &r->links[l];
	struct hwy_packets_bytes sent = hwy_link_sent(link);
	struct hwy_port *x = &r->ports[link->src], *y = &r->ports[link->dst];

	if (hwy_region_lock(r, NULL) < 0)
		return; /* the next tick tries again */
	hwy_store(&x->folded_out[0], x->folded_out[0] + sent.packets);
	hwy_store(&x->folded_out[1], x->folded_out[1] + sent.bytes);
	hwy_store(&y->folded_in[0], y->folded_in[0] + sent.packets);
	hwy_store(&y->folded_in[1], y->folded_in[1] + sent.bytes);
	link_state(link, HWY_LINK_FREE);
	hwy_region_give_rings(r, HWY_TAG_LINK(l));
	hwy_region_unlock(r);
}

/* Moves links that are not open towards READY, and unneeded ones towards FREE. */
static void
links_tick(struct hwy_host *h)
{
	struct hwy_region *r = h->region;

	/* An isolated port has links to other regions only, and who has its guest end may
	 * write what he likes into the table: it is not even looked at. */
	for (uint32_t l = 0; l < r->geo.link_count && r->geo.kind != HWY_KIND_PORT; l++) {
		struct hwy_link *link = &r->links[l];
		struct hwy_port *x, *y;
		bool unneeded;

		if (link->state == HWY_LINK_FREE || link->state == HWY_LINK_OPEN ||
		    !link_sane(r, link))
			continue;
		x = &r->ports[link->src];
		y = &r->ports[link->dst];
		unneeded = h->short_of_links || x->end[HWY_HOST].client == 0 ||
			   y->end[HWY_HOST].client == 0;
		if (link->state == HWY_LINK_CLOSING && sender_has_seen(x, x->route_seq)) {
			if (!link_drained(r, link) && y->end[HWY_GUEST].client == 0)
				hwy_port_drain_detached(r, link->dst);
			if (link_drained(r, link))
				link_state(link, HWY_LINK_READY);
		}
		if (link->state == HWY_LINK_READY && unneeded)
			link_retire(h, l);
		if (link->state == HWY_LINK_RETIRING && receiver_has_seen(y, h->retire_gen[l]))
			link_free(r, l);
	}
	h->short_of_links = false;
}

/* --- the agent ----------------------------------------------------------------- */

/* Is it alive?  An agent that was there before this host is, from its next beat on. */
static void
agent_follow(struct hwy_host *h)
{
	struct hwy_header *hdr = h->region->hdr;
	uint32_t beat = hwy_load_acquire(&hdr->agent_beat);
	uint64_t now = hwy_monotonic_ms();

	if (hwy_load(&hdr->agent_client) == 0) {
		h->agent_alive = false;
	} else if (beat != h->agent_beat) {
		h->beat_ms = now;
		h->agent_alive = true;
	} else if (now - h->beat_ms > HWY_AGENT_LAPSE_MS) {
		h->agent_alive = false;
	}
	h->agent_beat = beat;
	if (hwy_load(&hdr->agent_heard) != h->agent_alive)
		hwy_store(&hdr->agent_heard, h->agent_alive);
}

/* May the port have links at all, as far as the agent has a say? */
static bool
agent_permits(const struct hwy_host *h, const struct hwy_port *port)
{
	uint32_t permit = hwy_load_acquire(&port->permit);

	if (hwy_load(&h->region->hdr->policy) == HWY_POLICY_AGENT)
		return permit == HWY_PERMIT_YES && h->agent_alive;
	return permit != HWY_PERMIT_NO;
}

/* --- slots --------------------------------------------------------------------- */

static struct hwy_packets_bytes
slot_sent(const struct hwy_port *x, uint32_t slot)
{
	struct hwy_packets_bytes sum = {0, 0};

	for (uint32_t q = 0; q < x->queues && q < HWY_MAX_QUEUES; q++) {
		sum.packets += hwy_load(&x->sent[q][slot].packets);
		sum.bytes += hwy_load(&x->sent[q][slot].bytes);
	}
	return sum;
}

/* Does the slot owe packets to a flow, or may it still come to? */
static bool
slot_owes(const struct hwy_port *x, const struct slot *s, uint32_t index)
{
	struct hwy_packets_bytes sent = slot_sent(x, index);

	return sent.packets != s->credited.packets || sent.bytes != s->credited.bytes ||
	       !sender_has_seen(x, s->withdrawn);
}

static int
slot_find(struct hwy_host *h, uint32_t src, uint64_t key, uint32_t dst)
{
	struct hwy_port *x = &h->region->ports[src];
	struct port_state *p = &h->ports[src];
	int spare = -ENOSPC;

	for (int i = 0; i < HWY_MAX_ROUTES; i++) {
		struct slot *s = &p->slots[i];

		if (s->key == key && s->dst == dst)
			return i;
		if (spare >= 0 && p->slots[spare].key == 0)
			continue;
		if (s->key == 0 ||
		    (s->flows == 0 && s->heirs == 0 && !s->routed && !slot_owes(x, s, (uint32_t)i)))
			spare = i;
	}
	if (spare >= 0) {
		struct slot *s = &p->slots[spare];

		memset(s, 0, sizeof(*s));
		s->key = key;
		s->dst = dst;
		s->credited = slot_sent(x, (uint32_t)spare);
		s->withdrawn = x->route_seq;
	}
	return spare;
}

/* --- routes -------------------------------------------------------------------- */

static bool
permitted(const struct hwy_host *h, uint32_t src, uint32_t dst)
{
	const struct hwy_region *r = h->region;
	const struct hwy_port *x, *y;
	uint32_t mtu;

	if (dst == NO_PORT)
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
contradicted(const struct port_state *p, const struct slot *s)
{
	for (int i = 0; i < HWY_MAX_ROUTES; i++) {
		const struct slot *other = &p->slots[i];

		if (other != s && other->flows > 0 && other->key == s->key && other->dst != NO_PORT)
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

/* Finds or makes the link from 'src' to 'dst'. */
static bool
link_for(struct hwy_host *h, uint32_t src, uint32_t dst, uint32_t *index)
{
	struct hwy_link *link = link_find(h->region, src, dst);

	if (link == NULL)
		link = link_make(h->region, src, dst);
	if (link == NULL) {
		h->short_of_links = true;
		return false;
	}
	*index = (uint32_t)(link - h->region->links);
	return true;
}

/* How many slots have live flows to 'dst', -1 if any has flows that lead elsewhere. */
static int
carriers(const struct port_state *p, uint32_t dst)
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
 * The port that all packets of 'src' may go to by one route, or NO_PORT: 'dst', if any.
 * Somebody must answer for them, so there has to be a live flow that leads there, or the
 * prospect of one (hwy_host_advance()); and none that leads elsewhere, as then the proof and
 * the switch are not of one mind.
 */
static uint32_t
proved(struct hwy_host *h, uint32_t src, uint32_t dst)
{
	struct port_state *p = &h->ports[src];
	int n;

	p->awaits = false;
	if (dst == HWY_NO_PROOF || !permitted(h, src, dst)) {
		p->advance_ms = 0; /* the packet that it was for belonged to this proof */
		return NO_PORT;
	}
	n = carriers(p, dst);
	if (n < 0)
		return NO_PORT;
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
	return NO_PORT;
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

/* The port of another region that all packets of 'src' may go to, or NO_PORT. */
static uint32_t
proved_far(const struct hwy_host *h, uint32_t src)
{
	uint32_t dst = h->far[src].dst;

	if (dst == 0 || !near_ok(h, src))
		return NO_PORT;
	return carriers(&h->ports[src], dst) > 0 ? dst : NO_PORT;
}

/*
 * Has an agent that is alive taken a proof back a moment ago?  Then the rules have changed, but
 * flows that the switch has offloaded are still as they were before: Open vSwitch's offload
 * threads sleep for up to 64 ms.
 */
static bool
holds_back(struct hwy_host *h, uint32_t src, uint32_t dst)
{
	struct port_state *p = &h->ports[src];
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
	struct port_state *p = &h->ports[src];
	uint32_t proof = agent_proof(h, src); /* it may change at any time: looked at once */
	uint32_t dst = proved(h, src, proof), n = 0;
	bool held = holds_back(h, src, proof);

	if (dst != NO_PORT) {
		int slot = slot_find(h, src, HWY_CLASS_ALL, dst);

		if (slot >= 0 && link_for(h, src, dst, &routes[0].link)) {
			routes[0].key = HWY_CLASS_ALL;
			routes[0].slot = (uint32_t)slot;
			return 1;
		}
	}
	dst = proved_far(h, src);
	if (dst != NO_PORT) {
		int slot = slot_find(h, src, HWY_CLASS_ALL, dst);

		if (slot >= 0) {
			routes[0].key = HWY_CLASS_ALL;
			routes[0].link = h->far[src].link;
			routes[0].slot = (uint32_t)slot;
			return 1;
		}
	}
	for (uint32_t i = 0; i < HWY_MAX_ROUTES && !held; i++) {
		struct slot *s = &p->slots[i];

		if (s->flows == 0 || s->key == HWY_CLASS_ALL || s->dst >= HWY_FAR_PORT ||
		    !permitted(h, src, s->dst) || contradicted(p, s) ||
		    !link_for(h, src, s->dst, &routes[n].link))
			continue;
		routes[n].key = s->key;
		routes[n].slot = i;
		n++;
	}
	return n;
}

/* Recomputes the routes of port 'src' and publishes them if they changed. */
static void
refresh(struct hwy_host *h, uint32_t src)
{
	struct hwy_region *r = h->region;
	struct hwy_port *x = &r->ports[src];
	struct port_state *p = &h->ports[src];
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
			link_state(&r->links[routes[i].link], HWY_LINK_OPEN);
		routes_publish(x, routes, n);
		for (uint32_t i = 0; i < HWY_MAX_ROUTES; i++) {
			if (p->slots[i].routed && !now[i])
				p->slots[i].withdrawn = x->route_seq;
			p->slots[i].routed = now[i];
		}
	}
	for (uint32_t l = 0; l < r->geo.link_count; l++) {
		if (r->links[l].state == HWY_LINK_OPEN && r->links[l].src == src && !used[l])
			link_state(&r->links[l], HWY_LINK_CLOSING);
	}
}

static void
refresh_all(struct hwy_host *h)
{
	for (uint32_t p = 0; p < h->region->geo.port_count; p++)
		refresh(h, p);
}

/* --- interface ----------------------------------------------------------------- */

int
hwy_host_new(struct hwy_region *region, struct hwy_host **host)
{
	struct hwy_host *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return -ENOMEM;
	h->region = region;
	h->agent_beat = hwy_load(&region->hdr->agent_beat);
	pthread_mutex_init(&h->mutex, NULL);
	for (uint32_t p = 0; p < region->geo.port_count; p++) {
		struct hwy_port *port = &region->ports[p];

		if (port->state != HWY_PORT_USED)
			continue;
		/* An earlier host may have died in the middle of a change: make it even. */
		if (port->route_seq & 1)
			hwy_store(&port->route_seq, port->route_seq + 1);
		if (port->in_gen & 1)
			hwy_store(&port->in_gen, port->in_gen + 1);
		routes_publish(port, NULL, 0);
	}
	for (uint32_t l = 0; l < region->geo.link_count; l++) {
		struct hwy_link *link = &region->links[l];

		if (link->state == HWY_LINK_PREPARING) {
			hwy_region_give_rings(region, HWY_TAG_LINK(l));
			link_state(link, HWY_LINK_FREE);
		} else if (link->state == HWY_LINK_OPEN || link->state == HWY_LINK_RETIRING) {
			link_state(link, HWY_LINK_CLOSING);
		}
	}
	for (uint32_t p = 0; p < region->geo.port_count; p++)
		in_links_rebuild(region, p);
	*host = h;
	return 0;
}

void
hwy_host_free(struct hwy_host *h)
{
	if (h == NULL)
		return;
	pthread_mutex_destroy(&h->mutex);
	free(h);
}

int
hwy_host_flow_add(struct hwy_host *h, uint32_t src, uint64_t key, uint32_t dst, uint32_t *slot)
{
	int rc;

	if (src == dst)
		return -EINVAL;
	pthread_mutex_lock(&h->mutex);
	rc = slot_find(h, src, key, dst);
	if (rc >= 0) {
		*slot = (uint32_t)rc;
		h->ports[src].slots[rc].flows++;
		refresh(h, src);
		rc = 0;
	}
	pthread_mutex_unlock(&h->mutex);
	return rc;
}

void
hwy_host_flow_del(struct hwy_host *h, uint32_t src, uint32_t slot)
{
	struct port_state *p = &h->ports[src];

	pthread_mutex_lock(&h->mutex);
	p->slots[slot].flows--;
	refresh(h, src);
	pthread_mutex_unlock(&h->mutex);
}

int
hwy_host_take_over(struct hwy_host *h, uint32_t src, uint64_t key, uint32_t *slot)
{
	struct port_state *p = &h->ports[src];
	int rc = -ENOENT;

	pthread_mutex_lock(&h->mutex);
	for (uint32_t i = 0; i < HWY_MAX_ROUTES; i++) {
		struct slot *s = &p->slots[i];

		if ((s->key == key || s->key == HWY_CLASS_ALL) && s->flows == 0 && !s->routed &&
		    slot_owes(&h->region->ports[src], s, i)) {
			s->heirs++;
			*slot = i;
			rc = 0;
			break;
		}
	}
	pthread_mutex_unlock(&h->mutex);
	return rc;
}

void
hwy_host_give_up(struct hwy_host *h, uint32_t src, uint32_t slot)
{
	if (slot == HWY_SLOT_NONE)
		return;
	pthread_mutex_lock(&h->mutex);
	h->ports[src].slots[slot].heirs--;
	pthread_mutex_unlock(&h->mutex);
}

/* Moves what slot 'i' of port 'src' owes to '*sum'. */
static void
slot_collect(struct hwy_host *h, uint32_t src, uint32_t i, struct hwy_packets_bytes *sum)
{
	struct slot *s = &h->ports[src].slots[i];
	struct hwy_packets_bytes sent = slot_sent(&h->region->ports[src], i);

	sum->packets += sent.packets - s->credited.packets;
	sum->bytes += sent.bytes - s->credited.bytes;
	s->credited = sent;
}

struct hwy_packets_bytes
hwy_host_flow_count(struct hwy_host *h, uint32_t src, uint32_t slot, uint64_t key, bool heir)
{
	struct hwy_port *x = &h->region->ports[src];
	struct port_state *p = &h->ports[src];
	struct hwy_packets_bytes delta = {0, 0};

	pthread_mutex_lock(&h->mutex);
	if (slot != HWY_SLOT_NONE && (!heir || p->slots[slot].flows == 0))
		slot_collect(h, src, slot, &delta);
	for (uint32_t i = 0; i < HWY_MAX_ROUTES; i++) {
		const struct slot *s = &p->slots[i];

		if (i == slot)
			continue;
		if (s->key == HWY_CLASS_ALL) {
			/* What went without a look at its class belongs to any flow that
			 * leads there, or, when none is left, to any flow of the port. */
			if (heir ? s->flows == 0 && !s->routed
				 : s->dst == p->slots[slot].dst || (s->flows == 0 && !s->routed))
				slot_collect(h, src, i, &delta);
		} else if (!heir && s->key == key && s->flows == 0) {
			/* A rule that was led to another port: its class left a slot behind. */
			slot_collect(h, src, i, &delta);
		}
	}
	hwy_store(&x->credited[0], x->credited[0] + delta.packets);
	hwy_store(&x->credited[1], x->credited[1] + delta.bytes);
	pthread_mutex_unlock(&h->mutex);
	return delta;
}

bool
hwy_host_has_agent(struct hwy_host *h)
{
	bool alive;

	pthread_mutex_lock(&h->mutex);
	agent_follow(h);
	alive = h->agent_alive;
	pthread_mutex_unlock(&h->mutex);
	return alive;
}

void
hwy_host_refresh(struct hwy_host *h)
{
	pthread_mutex_lock(&h->mutex);
	refresh_all(h);
	pthread_mutex_unlock(&h->mutex);
}

void
hwy_host_port_gone(struct hwy_host *h, uint32_t port)
{
	pthread_mutex_lock(&h->mutex);
	memset(&h->ports[port], 0, sizeof(h->ports[port]));
	memset(&h->far[port], 0, sizeof(h->far[port]));
	/* Flows of other ports may outlive the port they lead to; the next port that gets
	 * this index is not what they meant. */
	for (uint32_t p = 0; p < HWY_MAX_PORTS; p++) {
		for (int i = 0; i < HWY_MAX_ROUTES; i++) {
			if (h->ports[p].slots[i].key != 0 && h->ports[p].slots[i].dst == port)
				h->ports[p].slots[i].dst = NO_PORT;
		}
	}
	refresh_all(h);
	links_tick(h);
	pthread_mutex_unlock(&h->mutex);
}

void
hwy_host_tick(struct hwy_host *h)
{
	pthread_mutex_lock(&h->mutex);
	agent_follow(h);
	refresh_all(h);
	links_tick(h);
	pthread_mutex_unlock(&h->mutex);
}

/* --- links to other regions --------------------------------------------------------- */

int
hwy_host_far_link(struct hwy_host *h, uint32_t port, bool out, uint32_t slot, uint32_t sender,
		  uint32_t queues)
{
	struct hwy_region *r = h->region;
	struct hwy_port *y = &r->ports[port];
	uint32_t spare = r->geo.link_count, l;
	struct hwy_link *link;

	pthread_mutex_lock(&h->mutex);
	for (l = 0; l < r->geo.link_count; l++) {
		link = &r->links[l];
		if (link->state == HWY_LINK_FREE && spare == r->geo.link_count)
			spare = l;
		if (link->state != HWY_LINK_FREE && link->attach == slot + 1 &&
		    link->src == (out ? port : HWY_PORT_FAR) &&
		    link->dst == (out ? HWY_PORT_FAR : port))
			break; /* an earlier host's */
	}
	if (l == r->geo.link_count && spare < l && (out || in_links_count(y) < HWY_MAX_IN_LINKS)) {
		l = spare;
		link = &r->links[l];
		memset(link, 0, sizeof(*link));
		link->src = out ? port : HWY_PORT_FAR;
		link->dst = out ? HWY_PORT_FAR : port;
		link->attach = slot + 1;
		link->queues = queues < HWY_MAX_QUEUES ? queues : HWY_MAX_QUEUES;
		for (uint32_t q = 0; q < link->queues; q++)
			link->ring[q] = HWY_LINK_RING(sender, q);
		link_state(link, HWY_LINK_READY);
		if (!out) {
			uint32_t n = in_links_count(y);

			in_links_begin(y);
			hwy_store(&y->in_links[n], l);
			hwy_store(&y->n_in, n + 1);
			in_links_end(y);
		}
	}
	pthread_mutex_unlock(&h->mutex);
	return l < r->geo.link_count ? (int)l : -ENOSPC;
}

void
hwy_host_far_call(struct hwy_host *h, uint32_t port)
{
	struct hwy_port *p = &h->region->ports[port];

	pthread_mutex_lock(&h->mutex);
	hwy_store_release(&p->in_gen, p->in_gen + 2);
	hwy_store_release(&p->route_seq, p->route_seq + 2);
	pthread_mutex_unlock(&h->mutex);
}

void
hwy_host_far_route(struct hwy_host *h, uint32_t src, uint32_t dst, uint32_t link, bool on)
{
	struct far_route *far = &h->far[src];

	pthread_mutex_lock(&h->mutex);
	if (on && (far->dst != dst || far->link != link)) {
		*far = (struct far_route){.dst = dst, .link = link};
		refresh(h, src);
	} else if (!on && far->dst == dst && far->link == link) {
		far->dst = 0;
		refresh(h, src);
	}
	pthread_mutex_unlock(&h->mutex);
}

void
hwy_host_far_show(struct hwy_host *h, uint32_t link, bool open)
{
	struct hwy_link *l = &h->region->links[link];

	pthread_mutex_lock(&h->mutex);
	if (open)
		link_state(l, HWY_LINK_OPEN);
	else if (l->state == HWY_LINK_OPEN)
		link_state(l, HWY_LINK_CLOSING);
	pthread_mutex_unlock(&h->mutex);
}

bool
hwy_host_far_left(struct hwy_host *h, uint32_t src)
{
	const struct hwy_port *x = &h->region->ports[src];
	bool left;

	pthread_mutex_lock(&h->mutex);
	left = sender_has_seen(x, x->route_seq);
	pthread_mutex_unlock(&h->mutex);
	return left;
}

void
hwy_host_far_forget(struct hwy_host *h, uint32_t link)
{
	pthread_mutex_lock(&h->mutex);
	if (h->region->links[link].dst < h->region->geo.port_count)
		link_retire(h, link);
	pthread_mutex_unlock(&h->mutex);
}

void
hwy_host_far_free(struct hwy_host *h, uint32_t port, uint32_t link, bool out)
{
	struct hwy_packets_bytes sent = hwy_link_sent(&h->region->links[link]);
	struct hwy_port *p = &h->region->ports[port];
	uint64_t *folded = out ? p->folded_out : p->folded_in;

	pthread_mutex_lock(&h->mutex);
	hwy_store(&folded[0], folded[0] + sent.packets);
	hwy_store(&folded[1], folded[1] + sent.bytes);
	link_state(&h->region->links[link], HWY_LINK_FREE);
	pthread_mutex_unlock(&h->mutex);
}

void
hwy_host_far_gone(struct hwy_host *h, uint32_t dst)
{
	pthread_mutex_lock(&h->mutex);
	for (uint32_t p = 0; p < HWY_MAX_PORTS; p++) {
		for (int i = 0; i < HWY_MAX_ROUTES; i++) {
			if (h->ports[p].slots[i].key != 0 && h->ports[p].slots[i].dst == dst)
				h->ports[p].slots[i].dst = NO_PORT;
		}
	}
	pthread_mutex_unlock(&h->mutex);
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
		refresh(h, src);
	}
	pthread_mutex_unlock(&h->mutex);
}

bool
hwy_host_linked(struct hwy_host *h, uint32_t src, uint32_t dst)
{
	struct hwy_link *link;
	bool open;

	pthread_mutex_lock(&h->mutex);
	link = link_find(h->region, src, dst);
	open = link != NULL && link->state == HWY_LINK_OPEN;
	pthread_mutex_unlock(&h->mutex);
	return open;
}
