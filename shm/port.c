/* SPDX-License-Identifier: BSD-3-Clause */
#include "port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "pool.h"
#include "realm.h"

int
hwy_port_find(const struct hwy_region *r, const char *name)
{
	for (uint32_t p = 0; p < r->geo.port_count; p++) {
		if (hwy_load_acquire(&r->ports[p].state) == HWY_PORT_USED &&
		    strncmp(r->ports[p].name, name, HWY_NAME_SIZE) == 0)
			return (int)p;
	}
	return -ENOENT;
}

static int
port_make(struct hwy_region *r, const char *name, uint32_t queues, uint32_t *index, char *err)
{
	uint32_t p, life;

	for (p = 0; p < r->geo.port_count; p++) {
		if (r->ports[p].state == HWY_PORT_FREE)
			break;
	}
	if (p == r->geo.port_count)
		return hwy_fail(
			err, -ENOSPC,
			"domain=%s has %u ports already, port=%s does not fit: remove one, or use "
			"another domain=",
			r->geo.domain, p, name);
	life = r->ports[p].life + 1;
	memset(&r->ports[p], 0, sizeof(r->ports[p]));
	r->ports[p].life = life;
	for (uint32_t q = 0; q < queues; q++) {
		if (hwy_region_take_ring(r, HWY_TAG_PORT(p), &r->ports[p].up[q]) < 0 ||
		    hwy_region_take_ring(r, HWY_TAG_PORT(p), &r->ports[p].down[q]) < 0) {
			hwy_region_give_rings(r, HWY_TAG_PORT(p));
			return hwy_fail(
				err, -ENOSPC,
				"domain=%s has no rings left for port=%s with queues=%u: make the "
				"domain with a larger size=",
				r->geo.domain, name, queues);
		}
	}
	snprintf(r->ports[p].name, HWY_NAME_SIZE, "%s", name);
	r->ports[p].queues = queues;
	hwy_store_release(&r->ports[p].state, HWY_PORT_USED);
	*index = p;
	return 0;
}

/* Drops what waits in a ring, acting as its consumer.  Returns the entries dropped. */
static uint64_t
drain_ring(struct hwy_region *r, uint32_t index)
{
	struct hwy_consumer c;
	uint64_t dropped;

	if (index >= r->geo.ring_count)
		return 0;
	hwy_consumer_init(&c, hwy_region_ring(r, index));
	if (!hwy_consumer_refresh(&c))
		c.cons = c.prod_seen = hwy_load(&c.at.ring->prod); /* garbage: start over */
	dropped = c.prod_seen - c.cons;
	while (c.cons != c.prod_seen) {
		uint64_t desc = hwy_load(&c.at.desc[c.cons & c.at.mask]);

		if (HWY_DESC_CHUNK(desc) < r->geo.chunk_count)
			hwy_pool_give(r->owners, HWY_DESC_CHUNK(desc));
		c.cons += hwy_desc_entries(desc, c.prod_seen - c.cons);
	}
	/* A gate that is open stays open: what X sent by the switch before it may be yet to
	 * come, and the next receiver passes it as any other. */
	hwy_consumer_publish(&c);
	return dropped;
}

/* Is the link in use, with rings of this region?  What it leaves in a link region goes with
 * that: a guest end that dies ends the links that it has there. */
static bool
link_is_near(const struct hwy_link *link)
{
	return hwy_load_acquire(&link->state) != HWY_LINK_FREE && hwy_load(&link->attach) == 0;
}

/* Takes a guest end over from its last holder, as the receiver: what waits is dropped. */
static uint64_t
drain_guest(struct hwy_region *r, uint32_t p)
{
	uint64_t dropped = 0;

	for (uint32_t q = 0; q < r->ports[p].queues && q < HWY_MAX_QUEUES; q++)
		dropped += drain_ring(r, r->ports[p].down[q]);
	for (uint32_t l = 0; l < r->geo.link_count; l++) {
		struct hwy_link *link = &r->links[l];

		if (!link_is_near(link) || link->dst != p)
			continue;
		for (uint32_t q = 0; q < link->queues && q < HWY_MAX_QUEUES; q++)
			dropped += drain_ring(r, link->ring[q]);
	}
	return dropped;
}

/* And as the sender: what an earlier life left in a link comes before what this one
 * sends by the switch. */
static void
stop_links(struct hwy_region *r, uint32_t p)
{
	for (uint32_t l = 0; l < r->geo.link_count; l++) {
		struct hwy_link *link = &r->links[l];

		if (!link_is_near(link) || link->src != p)
			continue;
		for (uint32_t q = 0; q < link->queues && q < HWY_MAX_QUEUES; q++) {
			struct hwy_ring *ring;

			if (link->ring[q] >= r->geo.ring_count)
				continue;
			ring = hwy_region_ring(r, link->ring[q]).ring;
			hwy_store_release(&ring->stop, hwy_load(&ring->prod));
			/* It may have died between starting a gate and saying so. */
			if (ring->pass_epoch != ring->gate_epoch) {
				struct hwy_ring *up = hwy_region_ring(r, r->ports[p].up[q]).ring;

				hwy_store_release(&up->gate_bell, up->gate_bell + 1);
			}
		}
	}
}

/* A guest end that is no more has nothing mapped, and the next one has not yet. */
static void
acks_clear(struct hwy_region *r, uint32_t p)
{
	for (uint32_t s = 0; s < r->geo.attach_count; s++) {
		struct hwy_attach *a = hwy_region_attach(r, p, s);

		hwy_store(&a->error, 0);
		hwy_store_release(&a->ack, 0);
	}
}

static void
end_clear(struct hwy_end *end)
{
	hwy_store_release(&end->state, HWY_END_DETACHED);
	memset(end->route_ack, 0, sizeof(end->route_ack));
	memset(end->in_ack, 0, sizeof(end->in_ack));
}

/* Nobody has the end any more: from now on a virtual machine may take it. */
static void
end_free(struct hwy_end *end)
{
	hwy_store_release(&end->client, 0);
}

/* Takes an end whose 'client' says 'now'. */
static bool
end_claim(struct hwy_end *end, uint32_t now, uint32_t client)
{
	return __atomic_compare_exchange_n(&end->client, &now, client, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

static bool
of_another_realm(const struct hwy_region *r, uint32_t client)
{
	return client > 0 && client < HWY_MAX_CLIENTS &&
	       hwy_load(&r->clients[client].state) != HWY_CLIENT_FREE &&
	       hwy_load(&r->clients[client].realm) != 0;
}

static int
take_end(struct hwy_region *r, uint32_t p, enum hwy_role role, char *err)
{
	struct hwy_end *end = &r->ports[p].end[role];
	uint32_t client = hwy_load(&end->client);
	char holder[64];

	if (hwy_lock_try(r->fd, HWY_LOCK_END(p, role)) != 0 || client == r->me ||
	    of_another_realm(r, client) || !end_claim(end, client, r->me)) {
		if (client != r->me)
			hwy_lock_drop(r->fd, HWY_LOCK_END(p, role));
		hwy_client_describe(r, client, holder, sizeof(holder));
		return hwy_fail(
			err, -EBUSY,
			"port=%s of domain=%s has a %s end already, held by %s: end that process, "
			"or name another port=",
			r->ports[p].name, r->geo.domain, role == HWY_HOST ? "host" : "guest",
			holder);
	}
	if (role == HWY_HOST && r->hdr->host_client != r->me) {
		if (hwy_lock_try(r->fd, HWY_LOCK_HOST) != 0) {
			hwy_client_describe(r, r->hdr->host_client, holder, sizeof(holder));
			end_free(end);
			hwy_lock_drop(r->fd, HWY_LOCK_END(p, role));
			return hwy_fail(err, -EBUSY,
					"domain=%s is served by another host already, %s: "
					"role=host belongs "
					"to one process per domain, name another domain=",
					r->geo.domain, holder);
		}
		hwy_store_release(&r->hdr->host_client, r->me);
	}
	/* If it looked held, its holder died just now. */
	if (role == HWY_GUEST) {
		end_clear(end);
		drain_guest(r, p);
		stop_links(r, p);
	}
	hwy_port_fresh_end(r, p, role);
	return 0;
}

void
hwy_port_fresh_end(struct hwy_region *r, uint32_t p, enum hwy_role role)
{
	struct hwy_port *port = &r->ports[p];
	struct hwy_end *end = &port->end[role];

	end_clear(end);
	memset(end->rx, 0, sizeof(end->rx));
	memset(end->tx, 0, sizeof(end->tx));
	end->rx_queues = end->tx_queues = port->queues;
	end->starts = 0;
	end->attached_ns = hwy_now_ns();
	if (role == HWY_GUEST)
		acks_clear(r, p);
	/* What waits was meant for the last holder; a new switch does not deliver what an
	 * earlier one left lying about. */
	for (uint32_t q = 0; q < port->queues && q < HWY_MAX_QUEUES; q++)
		drain_ring(r, role == HWY_GUEST ? port->down[q] : port->up[q]);
	hwy_store_release(&end->state, HWY_END_STOPPED);
}

int
hwy_port_attach(struct hwy_region *r, const char *name, enum hwy_role role, uint32_t queues,
		uint32_t *port, char *err)
{
	uint32_t p = 0;
	int rc;

	if (name != NULL && !hwy_name_ok(name))
		return hwy_fail(
			err, -EINVAL,
			"port=%s is not a name: use 1 to 31 letters, digits, '.', '_' and '-'",
			name);
	if (queues > HWY_MAX_QUEUES)
		return hwy_fail(err, -EINVAL, "queues=%u of port=%s is not between 1 and %d",
				queues, name, HWY_MAX_QUEUES);
	if (r->realm != 0)
		return hwy_realm_take_end(r, name, queues, port, err);
	(void)hwy_region_sweep(r, NULL);
	rc = hwy_region_lock(r, err);
	if (rc < 0)
		return rc;
	rc = hwy_port_find(r, name);
	if (rc >= 0)
		p = (uint32_t)rc;
	else
		rc = port_make(r, name, queues != 0 ? queues : 1, &p, err);
	if (rc >= 0 && queues != 0 && r->ports[p].queues != queues)
		rc = hwy_fail(err, -EINVAL,
			      "queues=%u contradicts the other end of port=%s, which has "
			      "queues=%u: name the "
			      "same number at both ends",
			      queues, name, r->ports[p].queues);
	if (rc >= 0)
		rc = take_end(r, p, role, err);
	if (rc >= 0)
		*port = p;
	else
		hwy_port_reap(r);
	hwy_region_unlock(r);
	return rc < 0 ? rc : 0;
}

void
hwy_port_detach(struct hwy_region *r, uint32_t p, enum hwy_role role)
{
	bool host_of_another = false;

	if (r->realm != 0) {
		hwy_realm_leave_end(r, p);
		return;
	}
	if (hwy_region_lock(r, NULL) < 0)
		return; /* the sweep will do it when this process ends */
	if (role == HWY_GUEST)
		stop_links(r, p);
	end_clear(&r->ports[p].end[role]);
	if (role == HWY_GUEST) {
		acks_clear(r, p);
		drain_guest(r, p);
	}
	end_free(&r->ports[p].end[role]);
	hwy_lock_drop(r->fd, HWY_LOCK_END(p, role));
	for (uint32_t i = 0; i < r->geo.port_count; i++) {
		if (r->ports[i].state == HWY_PORT_USED && r->ports[i].end[HWY_HOST].client == r->me)
			host_of_another = true;
	}
	if (role == HWY_HOST && !host_of_another) {
		hwy_store_release(&r->hdr->host_client, 0);
		hwy_lock_drop(r->fd, HWY_LOCK_HOST);
	}
	hwy_port_reap(r);
	hwy_region_unlock(r);
}

void
hwy_port_drain_detached(struct hwy_region *r, uint32_t p)
{
	if (hwy_region_lock(r, NULL) < 0)
		return;
	/* Held meanwhile, as a virtual machine takes an end without the lock. */
	if (end_claim(&r->ports[p].end[HWY_GUEST], 0, HWY_CLIENT_CLEANING)) {
		drain_guest(r, p);
		end_free(&r->ports[p].end[HWY_GUEST]);
	}
	hwy_region_unlock(r);
}

static uint64_t
bury_end(struct hwy_region *r, uint32_t p, int role)
{
	struct hwy_end *end = &r->ports[p].end[role];
	uint64_t dropped = 0;

	end_clear(end);
	if (role == HWY_GUEST) {
		acks_clear(r, p);
		dropped = drain_guest(r, p);
		stop_links(r, p);
	}
	end_free(end);
	return dropped;
}

uint64_t
hwy_port_bury(struct hwy_region *r, uint32_t client)
{
	uint64_t dropped = 0;

	if (r->hdr->host_client == client)
		hwy_store_release(&r->hdr->host_client, 0);
	if (r->hdr->agent_client == client)
		hwy_store_release(&r->hdr->agent_client, 0);
	for (uint32_t p = 0; p < r->geo.port_count; p++) {
		if (r->ports[p].state != HWY_PORT_USED)
			continue;
		for (int role = HWY_HOST; role <= HWY_GUEST; role++) {
			if (r->ports[p].end[role].client != client)
				continue;
			dropped += bury_end(r, p, role);
		}
	}
	return dropped;
}

uint64_t
hwy_port_bury_left(struct hwy_region *r)
{
	uint64_t dropped = 0;

	for (uint32_t p = 0; p < r->geo.port_count; p++) {
		if (r->ports[p].state == HWY_PORT_USED &&
		    hwy_load_acquire(&r->ports[p].end[HWY_GUEST].state) == HWY_END_LEFT)
			dropped += bury_end(r, p, HWY_GUEST);
	}
	return dropped;
}

static bool
port_deserted(const struct hwy_region *r, uint32_t p)
{
	return p >= r->geo.port_count || r->ports[p].state != HWY_PORT_USED ||
	       (r->ports[p].end[HWY_HOST].client == 0 && r->ports[p].end[HWY_GUEST].client == 0);
}

/*
 * Links are the host's business.  Without a host, a link is kept as long as anybody is
 * at either of its ports, and goes with the last of them.
 */
static bool
links_reap(struct hwy_region *r, uint32_t p)
{
	bool kept = false;

	for (uint32_t l = 0; l < r->geo.link_count; l++) {
		struct hwy_link *link = &r->links[l];

		if (hwy_load(&link->state) == HWY_LINK_FREE || (link->src != p && link->dst != p))
			continue;
		if (r->hdr->host_client != 0 || !port_deserted(r, link->src) ||
		    !port_deserted(r, link->dst)) {
			kept = true;
			continue;
		}
		for (uint32_t q = 0; link_is_near(link) && q < link->queues && q < HWY_MAX_QUEUES;
		     q++)
			drain_ring(r, link->ring[q]);
		hwy_store_release(&link->state, HWY_LINK_FREE);
		hwy_region_give_rings(r, HWY_TAG_LINK(l));
	}
	return kept;
}

void
hwy_port_reap(struct hwy_region *r)
{
	for (uint32_t p = 0; p < r->geo.port_count; p++) {
		if (r->ports[p].state != HWY_PORT_USED || !port_deserted(r, p) ||
		    links_reap(r, p) ||
		    !end_claim(&r->ports[p].end[HWY_GUEST], 0, HWY_CLIENT_CLEANING))
			continue;
		for (uint32_t q = 0; q < r->ports[p].queues && q < HWY_MAX_QUEUES; q++) {
			drain_ring(r, r->ports[p].up[q]);
			drain_ring(r, r->ports[p].down[q]);
		}
		hwy_region_give_rings(r, HWY_TAG_PORT(p));
		hwy_store_release(&r->ports[p].state, HWY_PORT_FREE);
		end_free(&r->ports[p].end[HWY_GUEST]);
	}
}

uint64_t
hwy_counters_sum(const struct hwy_counters counters[HWY_MAX_QUEUES], size_t offset)
{
	uint64_t sum = 0;

	for (int q = 0; q < HWY_MAX_QUEUES; q++)
		sum += hwy_load(
			(const uint64_t *)(const void *)((const char *)&counters[q] + offset));
	return sum;
}

struct hwy_packets_bytes
hwy_link_sent(const struct hwy_link *link)
{
	struct hwy_packets_bytes sum = {0, 0};

	for (int q = 0; q < HWY_MAX_QUEUES; q++) {
		sum.packets += hwy_load(&link->queue[q].sent.packets);
		sum.bytes += hwy_load(&link->queue[q].sent.bytes);
	}
	return sum;
}

static struct hwy_packets_bytes
links_sum(const struct hwy_region *r, uint32_t port, const uint64_t folded[2], bool out)
{
	struct hwy_packets_bytes sum = {hwy_load(&folded[0]), hwy_load(&folded[1])};

	for (uint32_t l = 0; l < r->geo.link_count; l++) {
		const struct hwy_link *link = &r->links[l];
		struct hwy_packets_bytes sent;

		if (hwy_load_acquire(&link->state) == HWY_LINK_FREE ||
		    (out ? link->src : link->dst) != port)
			continue;
		sent = hwy_link_sent(link);
		sum.packets += sent.packets;
		sum.bytes += sent.bytes;
	}
	return sum;
}

struct hwy_packets_bytes
hwy_port_links_out(const struct hwy_region *r, uint32_t port)
{
	return links_sum(r, port, r->ports[port].folded_out, true);
}

struct hwy_packets_bytes
hwy_port_links_in(const struct hwy_region *r, uint32_t port)
{
	return links_sum(r, port, r->ports[port].folded_in, false);
}
