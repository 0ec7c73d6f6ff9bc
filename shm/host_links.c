/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "host_private.h"
#include "pool.h"
#include "port.h"

void
hwy_links_state(struct hwy_link *link, enum hwy_link_state state)
{
	if (link->state == state)
		return;
	if (state == HWY_LINK_OPEN)
		hwy_store(&link->opened, link->opened + 1);
	hwy_store(&link->since_ns, hwy_now_ns());
	hwy_store_release(&link->state, state);
}

struct hwy_link *
hwy_links_find(struct hwy_region *r, uint32_t src, uint32_t dst)
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

bool
hwy_links_in_full(const struct hwy_port *y)
{
	return in_links_count(y) == HWY_MAX_IN_LINKS;
}

void
hwy_links_in_add(struct hwy_port *y, uint32_t l)
{
	uint32_t n = in_links_count(y);

	in_links_begin(y);
	hwy_store(&y->in_links[n], l);
	hwy_store(&y->n_in, n + 1);
	in_links_end(y);
}

/* The link table is the truth: an earlier host may have died between the two. */
static void
in_links_rebuild(struct hwy_region *r, uint32_t p)
{
	struct hwy_port *y = &r->ports[p];
	uint32_t n = 0;

	in_links_begin(y);
	for (uint32_t l = 0; l < r->geo.link_count && n < HWY_MAX_IN_LINKS; l++) {
		if (r->links[l].state != HWY_LINK_FREE && r->links[l].dst == p &&
		    (link_sane(r, &r->links[l]) || r->links[l].src == HWY_PORT_FAR))
			hwy_store(&y->in_links[n++], l);
	}
	hwy_store(&y->n_in, n);
	in_links_end(y);
}

void
hwy_links_adopt(struct hwy_region *r)
{
	for (uint32_t l = 0; l < r->geo.link_count; l++) {
		struct hwy_link *link = &r->links[l];

		if (link->state == HWY_LINK_PREPARING) {
			hwy_region_give_rings(r, HWY_TAG_LINK(l));
			hwy_links_state(link, HWY_LINK_FREE);
		} else if (link->state == HWY_LINK_OPEN || link->state == HWY_LINK_RETIRING) {
			hwy_links_state(link, HWY_LINK_CLOSING);
		}
	}
	for (uint32_t p = 0; p < r->geo.port_count; p++) {
		struct hwy_port *y = &r->ports[p];

		if (y->state != HWY_PORT_USED)
			continue;
		/* It may have died in the middle of a change: make it even. */
		if (y->in_gen & 1)
			hwy_store(&y->in_gen, y->in_gen + 1);
		in_links_rebuild(r, p);
	}
}

/* Makes a link from src to dst: rings first, then Y polls them. */
static struct hwy_link *
link_make(struct hwy_region *r, uint32_t src, uint32_t dst)
{
	struct hwy_port *y = &r->ports[dst];
	struct hwy_link *link = NULL;
	uint32_t l;

	if (hwy_links_in_full(y))
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
	hwy_links_state(link, HWY_LINK_PREPARING);
	for (uint32_t q = 0; q < link->queues; q++) {
		if (hwy_region_take_ring(r, HWY_TAG_LINK(l), &link->ring[q]) < 0) {
			hwy_region_give_rings(r, HWY_TAG_LINK(l));
			hwy_links_state(link, HWY_LINK_FREE);
			link = NULL;
			break;
		}
	}
	hwy_region_unlock(r);
	if (link == NULL)
		return NULL;
	hwy_links_state(link, HWY_LINK_READY);
	hwy_links_in_add(y, l);
	return link;
}

bool
hwy_links_for(struct hwy_host *h, uint32_t src, uint32_t dst, uint32_t *index)
{
	struct hwy_link *link = hwy_links_find(h->region, src, dst);

	if (link == NULL)
		link = link_make(h->region, src, dst);
	if (link == NULL) {
		h->short_of_links = true;
		return false;
	}
	*index = (uint32_t)(link - h->region->links);
	return true;
}

bool
hwy_links_left(const struct hwy_port *x, uint32_t seq)
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

void
hwy_links_retire(struct hwy_host *h, uint32_t l)
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
	hwy_links_state(&r->links[l], HWY_LINK_RETIRING);
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
	hwy_links_state(link, HWY_LINK_FREE);
	hwy_region_give_rings(r, HWY_TAG_LINK(l));
	hwy_region_unlock(r);
}

void
hwy_links_tick(struct hwy_host *h)
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
		if (link->state == HWY_LINK_CLOSING && hwy_links_left(x, x->route_seq)) {
			if (!link_drained(r, link) && y->end[HWY_GUEST].client == 0)
				hwy_port_drain_detached(r, link->dst);
			if (link_drained(r, link))
				hwy_links_state(link, HWY_LINK_READY);
		}
		if (link->state == HWY_LINK_READY && unneeded)
			hwy_links_retire(h, l);
		if (link->state == HWY_LINK_RETIRING && receiver_has_seen(y, h->retire_gen[l]))
			link_free(r, l);
	}
	h->short_of_links = false;
}
