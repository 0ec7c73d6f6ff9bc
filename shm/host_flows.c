/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "host_private.h"

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
slot_owes(const struct hwy_port *x, const struct hwy_slot *s, uint32_t index)
{
	struct hwy_packets_bytes sent = slot_sent(x, index);

	return sent.packets != s->credited.packets || sent.bytes != s->credited.bytes ||
	       !hwy_links_left(x, s->withdrawn);
}

int
hwy_slots_find(struct hwy_host *h, uint32_t src, uint64_t key, uint32_t dst)
{
	struct hwy_port *x = &h->region->ports[src];
	struct hwy_host_port *p = &h->ports[src];
	int spare = -ENOSPC;

	for (int i = 0; i < HWY_MAX_ROUTES; i++) {
		struct hwy_slot *s = &p->slots[i];

		if (s->key == key && s->dst == dst)
			return i;
		if (spare >= 0 && p->slots[spare].key == 0)
			continue;
		if (s->key == 0 ||
		    (s->flows == 0 && s->heirs == 0 && !s->routed && !slot_owes(x, s, (uint32_t)i)))
			spare = i;
	}
	if (spare >= 0) {
		struct hwy_slot *s = &p->slots[spare];

		memset(s, 0, sizeof(*s));
		s->key = key;
		s->dst = dst;
		s->credited = slot_sent(x, (uint32_t)spare);
		s->withdrawn = x->route_seq;
	}
	return spare;
}

int
hwy_host_flow_add(struct hwy_host *h, uint32_t src, uint64_t key, uint32_t dst, uint32_t *slot)
{
	int rc;

	if (src == dst)
		return -EINVAL;
	pthread_mutex_lock(&h->mutex);
	rc = hwy_slots_find(h, src, key, dst);
	if (rc >= 0) {
		*slot = (uint32_t)rc;
		h->ports[src].slots[rc].flows++;
		hwy_routes_refresh(h, src);
		rc = 0;
	}
	pthread_mutex_unlock(&h->mutex);
	return rc;
}

void
hwy_host_flow_del(struct hwy_host *h, uint32_t src, uint32_t slot)
{
	struct hwy_host_port *p = &h->ports[src];

	pthread_mutex_lock(&h->mutex);
	p->slots[slot].flows--;
	hwy_routes_refresh(h, src);
	pthread_mutex_unlock(&h->mutex);
}

int
hwy_host_take_over(struct hwy_host *h, uint32_t src, uint64_t key, uint32_t *slot)
{
	struct hwy_host_port *p = &h->ports[src];
	int rc = -ENOENT;

	pthread_mutex_lock(&h->mutex);
	for (uint32_t i = 0; i < HWY_MAX_ROUTES; i++) {
		struct hwy_slot *s = &p->slots[i];

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

void
hwy_slots_forget(struct hwy_host *h, uint32_t dst)
{
	for (uint32_t p = 0; p < HWY_MAX_PORTS; p++) {
		for (int i = 0; i < HWY_MAX_ROUTES; i++) {
			if (h->ports[p].slots[i].key != 0 && h->ports[p].slots[i].dst == dst)
				h->ports[p].slots[i].dst = HWY_NO_PORT;
		}
	}
}

/* Moves what slot 'i' of port 'src' owes to '*sum'. */
static void
slot_collect(struct hwy_host *h, uint32_t src, uint32_t i, struct hwy_packets_bytes *sum)
{
	struct hwy_slot *s = &h->ports[src].slots[i];
	struct hwy_packets_bytes sent = slot_sent(&h->region->ports[src], i);

	sum->packets += sent.packets - s->credited.packets;
	sum->bytes += sent.bytes - s->credited.bytes;
	s->credited = sent;
}

struct hwy_packets_bytes
hwy_host_flow_count(struct hwy_host *h, uint32_t src, uint32_t slot, uint64_t key, bool heir)
{
	struct hwy_port *x = &h->region->ports[src];
	struct hwy_host_port *p = &h->ports[src];
	struct hwy_packets_bytes delta = {0, 0};

	pthread_mutex_lock(&h->mutex);
	if (slot != HWY_SLOT_NONE && (!heir || p->slots[slot].flows == 0))
		slot_collect(h, src, slot, &delta);
	for (uint32_t i = 0; i < HWY_MAX_ROUTES; i++) {
		const struct hwy_slot *s = &p->slots[i];

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
