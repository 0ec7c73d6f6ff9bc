/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "host_private.h"
#include "port.h"

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
	if (l == r->geo.link_count && spare < l && (out || !hwy_links_in_full(y))) {
		l = spare;
		link = &r->links[l];
		memset(link, 0, sizeof(*link));
		link->src = out ? port : HWY_PORT_FAR;
		link->dst = out ? HWY_PORT_FAR : port;
		link->attach = slot + 1;
		link->queues = queues < HWY_MAX_QUEUES ? queues : HWY_MAX_QUEUES;
		for (uint32_t q = 0; q < link->queues; q++)
			link->ring[q] = HWY_LINK_RING(sender, q);
		hwy_links_state(link, HWY_LINK_READY);
		if (!out)
			hwy_links_in_add(y, l);
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
	struct hwy_far_route *far = &h->far[src];

	pthread_mutex_lock(&h->mutex);
	if (on && (far->dst != dst || far->link != link)) {
		*far = (struct hwy_far_route){.dst = dst, .link = link};
		hwy_routes_refresh(h, src);
	} else if (!on && far->dst == dst && far->link == link) {
		far->dst = 0;
		hwy_routes_refresh(h, src);
	}
	pthread_mutex_unlock(&h->mutex);
}

void
hwy_host_far_show(struct hwy_host *h, uint32_t link, bool open)
{
	struct hwy_link *l = &h->region->links[link];

	pthread_mutex_lock(&h->mutex);
	if (open)
		hwy_links_state(l, HWY_LINK_OPEN);
	else if (l->state == HWY_LINK_OPEN)
		hwy_links_state(l, HWY_LINK_CLOSING);
	pthread_mutex_unlock(&h->mutex);
}

bool
hwy_host_far_left(struct hwy_host *h, uint32_t src)
{
	const struct hwy_port *x = &h->region->ports[src];
	bool left;

	pthread_mutex_lock(&h->mutex);
	left = hwy_links_left(x, x->route_seq);
	pthread_mutex_unlock(&h->mutex);
	return left;
}

void
hwy_host_far_forget(struct hwy_host *h, uint32_t link)
{
	pthread_mutex_lock(&h->mutex);
	if (h->region->links[link].dst < h->region->geo.port_count)
		hwy_links_retire(h, link);
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
	hwy_links_state(&h->region->links[link], HWY_LINK_FREE);
	pthread_mutex_unlock(&h->mutex);
}

void
hwy_host_far_gone(struct hwy_host *h, uint32_t dst)
{
	pthread_mutex_lock(&h->mutex);
	hwy_slots_forget(h, dst);
	pthread_mutex_unlock(&h->mutex);
}
