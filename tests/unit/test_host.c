/* SPDX-License-Identifier: BSD-3-Clause */
/* shm/host*.c: flows become routes, links come and go, counters are answered for. */
#include "support.h"

#include <errno.h>
#include <stdio.h>

#include "class.h"
#include "gate.h"
#include "host.h"
#include "pool.h"
#include "port.h"

#define IPV4 hwy_class_key(0, HWY_ETH_IPV4)
#define IPV6 hwy_class_key(0, HWY_ETH_IPV6)
#define ARP  hwy_class_key(0, 0x0806)

static struct hwy_region *r;
static struct hwy_host *h;
static uint32_t x, y, z;

static int
set_up(void **state)
{
	(void)state;
	h = test_host_up(&r, &x, &y, &z);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	hwy_host_free(h);
	hwy_region_close(r);
	return 0;
}

static uint32_t
add(uint32_t src, uint64_t key, uint32_t dst)
{
	uint32_t slot = UINT32_MAX;

	assert_int_equal(hwy_host_flow_add(h, src, key, dst, &slot), 0);
	assert_true(slot < HWY_MAX_ROUTES);
	return slot;
}

static const struct hwy_route *
route(uint32_t src, uint64_t key)
{
	for (uint32_t i = 0; i < r->ports[src].n_routes; i++) {
		if (r->ports[src].routes[i].key == key)
			return &r->ports[src].routes[i];
	}
	return NULL;
}

static uint32_t
link_state_of(uint32_t src, uint32_t dst)
{
	for (uint32_t l = 0; l < r->geo.link_count; l++) {
		if (r->links[l].state != HWY_LINK_FREE && r->links[l].src == src &&
		    r->links[l].dst == dst)
			return r->links[l].state;
	}
	return HWY_LINK_FREE;
}

static bool
polled(uint32_t port, uint32_t l)
{
	for (uint32_t i = 0; i < r->ports[port].n_in; i++) {
		if (r->ports[port].in_links[i] == l)
			return true;
	}
	return false;
}

/* The guests act upon what they were told. */
static void
guests_look(void)
{
	for (uint32_t p = 0; p < r->geo.port_count; p++) {
		for (uint32_t q = 0; q < HWY_MAX_QUEUES; q++) {
			r->ports[p].end[HWY_GUEST].route_ack[q] = r->ports[p].route_seq;
			r->ports[p].end[HWY_GUEST].in_ack[q] = r->ports[p].in_gen;
		}
	}
}

static void
x_sends(uint32_t slot, uint64_t packets, uint64_t bytes)
{
	r->ports[x].sent[0][slot].packets += packets;
	r->ports[x].sent[0][slot].bytes += bytes;
}

/* What a flow of IPv4 is credited with. */
static struct hwy_packets_bytes
counted(uint32_t src, uint32_t slot, bool heir)
{
	return hwy_host_flow_count(h, src, slot, IPV4, heir);
}

static uint32_t
rings_of(uint32_t tag)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->geo.ring_count; i++)
		n += r->ring_tags[i] == tag;
	return n;
}

static uint32_t
rings_free(void)
{
	return rings_of(HWY_TAG_FREE);
}

/* --- routes -------------------------------------------------------------------- */

static void
a_flow_becomes_a_route_when_both_ports_are_up(void **state)
{
	uint32_t seq = r->ports[x].route_seq, slot = add(x, IPV4, y);
	const struct hwy_route *found = route(x, IPV4);
	const struct hwy_link *link;

	(void)state;
	assert_non_null(found);
	assert_int_equal(r->ports[x].n_routes, 1);
	assert_int_equal(found->slot, slot);
	link = &r->links[found->link];
	assert_int_equal(link->src, x);
	assert_int_equal(link->dst, y);
	assert_int_equal(link->state, HWY_LINK_OPEN);
	assert_int_equal(link->opened, 1);
	assert_true(link->since_ns > 0);
	assert_int_equal(r->ring_tags[link->ring[0]], HWY_TAG_LINK(found->link));
	assert_true(polled(y, found->link));
	assert_int_equal(r->ports[x].route_seq, seq + 2);
	assert_int_equal(r->ports[x].in_gen & 1, 0);
	assert_true(hwy_host_linked(h, x, y));
	assert_false(hwy_host_linked(h, y, x));
}

static void
a_flow_waits_for_each_of_the_four_ends(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct hwy_end *end = &r->ports[i & 1 ? x : y].end[i >> 1];
		uint32_t slot;

		hwy_store(&end->state, HWY_END_STOPPED);
		slot = add(x, IPV4, y);
		assert_null(route(x, IPV4));
		hwy_store(&end->state, HWY_END_STARTED);
		hwy_host_tick(h);
		assert_non_null(route(x, IPV4));
		hwy_host_flow_del(h, x, slot);
		assert_null(route(x, IPV4));
	}
}

static void
an_end_that_stops_takes_the_route_away(void **state)
{
	(void)state;
	(void)add(x, IPV4, y);
	hwy_store(&r->ports[y].end[HWY_GUEST].state, HWY_END_STOPPED);
	hwy_host_tick(h);
	assert_int_equal(r->ports[x].n_routes, 0);
	assert_int_equal(link_state_of(x, y), HWY_LINK_CLOSING);
	hwy_store(&r->ports[y].end[HWY_GUEST].state, HWY_END_STARTED);
	hwy_host_refresh(h);
	assert_non_null(route(x, IPV4));
}

static void
a_sender_with_larger_packets_gets_no_route(void **state)
{
	(void)state;
	r->ports[x].end[HWY_GUEST].mtu = 9000;
	(void)add(x, IPV4, y);
	assert_null(route(x, IPV4));
	r->ports[y].end[HWY_GUEST].mtu = 9000;
	hwy_host_tick(h);
	assert_null(route(x, IPV4)); /* the switch would still drop them */
	r->ports[y].end[HWY_HOST].mtu = 9000;
	hwy_host_tick(h);
	assert_non_null(route(x, IPV4));
}

static void
the_operator_keeps_links_closed(void **state)
{
	uint32_t *switches[] = {&r->hdr->bypass_off, &r->ports[x].bypass_off,
				&r->ports[y].bypass_off};

	(void)state;
	(void)add(x, IPV4, y);
	for (size_t i = 0; i < 3; i++) {
		hwy_store(switches[i], 1);
		hwy_host_tick(h);
		assert_null(route(x, IPV4));
		hwy_store(switches[i], 0);
		hwy_host_tick(h);
		assert_non_null(route(x, IPV4));
	}
}

static void
a_port_is_not_linked_to_itself(void **state)
{
	uint32_t slot;

	(void)state;
	assert_int_equal(hwy_host_flow_add(h, x, IPV4, x, &slot), -EINVAL);
	assert_int_equal(r->ports[x].n_routes, 0);
}

static void
two_classes_to_one_port_share_a_link(void **state)
{
	uint32_t free_before, a = add(x, IPV4, y), b;

	(void)state;
	free_before = rings_free();
	b = add(x, ARP, y);
	assert_int_not_equal(a, b);
	assert_int_equal(r->ports[x].n_routes, 2);
	assert_int_equal(route(x, IPV4)->link, route(x, ARP)->link);
	assert_int_equal(r->ports[y].n_in, 1);
	assert_int_equal(rings_free(), free_before);
	hwy_host_flow_del(h, x, a);
	assert_null(route(x, IPV4));
	assert_non_null(route(x, ARP));
	assert_int_equal(link_state_of(x, y), HWY_LINK_OPEN);
	hwy_host_flow_del(h, x, b);
	assert_int_equal(link_state_of(x, y), HWY_LINK_CLOSING);
}

static void
classes_of_one_port_go_to_different_ports(void **state)
{
	(void)state;
	(void)add(x, IPV4, y);
	(void)add(x, IPV6, z);
	assert_int_equal(r->ports[x].n_routes, 2);
	assert_int_not_equal(route(x, IPV4)->link, route(x, IPV6)->link);
	assert_int_equal(r->links[route(x, IPV6)->link].dst, z);
	assert_true(polled(z, route(x, IPV6)->link));
	assert_false(polled(y, route(x, IPV6)->link));
}

static void
both_directions_have_links_of_their_own(void **state)
{
	(void)state;
	(void)add(x, IPV4, y);
	(void)add(y, IPV4, x);
	assert_true(hwy_host_linked(h, x, y));
	assert_true(hwy_host_linked(h, y, x));
	assert_int_not_equal(route(x, IPV4)->link, route(y, IPV4)->link);
}

static void
several_ports_link_to_one(void **state)
{
	(void)state;
	(void)add(x, IPV4, z);
	(void)add(y, IPV4, z);
	assert_int_equal(r->ports[z].n_in, 2);
}

static void
a_link_has_a_ring_for_every_queue_of_the_sender(void **state)
{
	uint32_t w = test_port_up(r, "w", 4);
	const struct hwy_link *link;

	(void)state;
	(void)add(w, IPV4, y);
	link = &r->links[route(w, IPV4)->link];
	assert_int_equal(link->queues, 4);
	for (uint32_t q = 0; q < 4; q++) {
		assert_int_equal(r->ring_tags[link->ring[q]], HWY_TAG_LINK(route(w, IPV4)->link));
		for (uint32_t k = 0; k < q; k++)
			assert_int_not_equal(link->ring[q], link->ring[k]);
	}
}

static void
nothing_is_published_when_nothing_changes(void **state)
{
	uint32_t seq;

	(void)state;
	(void)add(x, IPV4, y);
	seq = r->ports[x].route_seq;
	(void)add(x, IPV4, y);
	for (int i = 0; i < 10; i++)
		hwy_host_tick(h);
	assert_int_equal(r->ports[x].route_seq, seq);
}

static void
deleting_the_flow_withdraws_the_route(void **state)
{
	uint32_t slot = add(x, IPV4, y);

	(void)state;
	hwy_host_flow_del(h, x, slot);
	assert_int_equal(r->ports[x].n_routes, 0);
	assert_int_equal(r->ports[x].route_seq & 1, 0);
	assert_false(hwy_host_linked(h, x, y));
	assert_int_equal(link_state_of(x, y), HWY_LINK_CLOSING);
}

static void
the_route_lives_as_long_as_one_flow_of_the_class(void **state)
{
	uint32_t a = add(x, IPV4, y), b = add(x, IPV4, y);

	(void)state;
	assert_int_equal(a, b);
	hwy_host_flow_del(h, x, a);
	assert_non_null(route(x, IPV4));
	hwy_host_flow_del(h, x, b);
	assert_null(route(x, IPV4));
}

static void
flows_of_one_class_that_disagree_publish_neither(void **state)
{
	uint32_t a = add(x, IPV4, y), b;

	(void)state;
	(void)add(x, ARP, y);
	b = add(x, IPV4, z);
	assert_int_not_equal(a, b);
	assert_null(route(x, IPV4));
	assert_non_null(route(x, ARP));
	hwy_host_flow_del(h, x, a);
	assert_non_null(route(x, IPV4));
	assert_int_equal(r->links[route(x, IPV4)->link].dst, z);
}

/* --- slots --------------------------------------------------------------------- */

static void
a_port_has_room_for_all_its_classes_and_no_more(void **state)
{
	uint32_t slot, slots[HWY_MAX_ROUTES];

	(void)state;
	for (uint16_t i = 0; i < HWY_MAX_ROUTES; i++) {
		slots[i] = add(x, hwy_class_key((uint16_t)(0x1000 | i), HWY_ETH_IPV4), y);
		for (uint16_t k = 0; k < i; k++)
			assert_int_not_equal(slots[i], slots[k]);
	}
	assert_int_equal(r->ports[x].n_routes, HWY_MAX_ROUTES);
	assert_int_equal(hwy_host_flow_add(h, x, ARP, y, &slot), -ENOSPC);
	/* A class that is there already still fits, and other ports have their own. */
	assert_int_equal(hwy_host_flow_add(h, x, hwy_class_key(0x1000, HWY_ETH_IPV4), y, &slot), 0);
	assert_int_equal(slot, slots[0]);
	assert_int_equal(hwy_host_flow_add(h, y, ARP, z, &slot), 0);
}

static void
a_slot_is_free_again_when_the_sender_has_seen_and_nothing_is_owed(void **state)
{
	uint32_t slot, slots[HWY_MAX_ROUTES];

	(void)state;
	for (uint16_t i = 0; i < HWY_MAX_ROUTES; i++)
		slots[i] = add(x, hwy_class_key((uint16_t)(0x1000 | i), HWY_ETH_IPV4), y);
	guests_look();
	hwy_host_flow_del(h, x, slots[5]);
	assert_int_equal(hwy_host_flow_add(h, x, ARP, y, &slot), -ENOSPC);
	x_sends(slots[5], 3, 300); /* before it looked */
	guests_look();
	assert_int_equal(hwy_host_flow_add(h, x, ARP, y, &slot), -ENOSPC);
	assert_int_equal(counted(x, slots[5], false).packets, 3);
	assert_int_equal(hwy_host_flow_add(h, x, ARP, y, &slot), 0);
	assert_int_equal(slot, slots[5]);
	assert_int_equal(counted(x, slot, false).packets, 0);
}

/* The route went before the flow did (here the operator's wish); the sender has not
 * looked since.  What it still counts must not be credited to another class. */
static void
a_slot_is_not_reused_while_the_sender_may_count_in_it(void **state)
{
	uint32_t slot, slots[HWY_MAX_ROUTES];

	(void)state;
	for (uint16_t i = 0; i < HWY_MAX_ROUTES; i++)
		slots[i] = add(x, hwy_class_key((uint16_t)(0x1000 | i), HWY_ETH_IPV4), y);
	guests_look();
	hwy_store(&r->hdr->bypass_off, 1);
	hwy_host_tick(h);
	assert_int_equal(r->ports[x].n_routes, 0);
	hwy_host_flow_del(h, x, slots[9]);
	if (hwy_host_flow_add(h, x, ARP, y, &slot) == 0) {
		x_sends(slots[9], 2, 200); /* packets of the old class */
		assert_int_equal(counted(x, slot, false).packets, 0);
	}
}

static void
packets_are_credited_once_to_two_flows_of_a_class(void **state)
{
	uint32_t a = add(x, IPV4, y), b = add(x, IPV4, y);
	struct hwy_packets_bytes first, second;

	(void)state;
	x_sends(a, 10, 1000);
	first = counted(x, a, false);
	second = counted(x, b, false);
	assert_int_equal(first.packets + second.packets, 10);
	assert_int_equal(first.bytes + second.bytes, 1000);
	assert_int_equal(r->ports[x].credited[0], 10);
	assert_int_equal(r->ports[x].credited[1], 1000);
	x_sends(b, 1, 60);
	assert_int_equal(counted(x, a, false).bytes, 60);
	assert_int_equal(counted(x, a, false).bytes, 0);
}

static void
packets_of_all_queues_are_credited(void **state)
{
	uint32_t w = test_port_up(r, "w", 3), slot = add(w, IPV4, y);

	(void)state;
	for (uint32_t q = 0; q < 3; q++)
		r->ports[w].sent[q][slot].packets += q + 1;
	assert_int_equal(counted(w, slot, false).packets, 6);
}

static void
what_is_left_over_goes_to_the_next_flow_of_the_class(void **state)
{
	uint32_t slot = add(x, IPV4, y), again;

	(void)state;
	x_sends(slot, 4, 400);
	hwy_host_flow_del(h, x, slot);
	x_sends(slot, 1, 100); /* X had not looked yet */
	again = add(x, IPV4, y);
	assert_int_equal(again, slot);
	assert_int_equal(counted(x, again, false).packets, 5);
}

static void
a_rule_led_to_another_port_answers_for_what_its_class_left_behind(void **state)
{
	uint32_t slot = add(x, IPV4, y), next;

	(void)state;
	x_sends(slot, 4, 400);
	hwy_host_flow_del(h, x, slot);
	next = add(x, IPV4, z);
	assert_int_not_equal(next, slot);
	x_sends(slot, 1, 100); /* X had not looked yet */
	x_sends(next, 2, 200);
	assert_int_equal(counted(x, next, false).packets, 7);
	assert_int_equal(counted(x, next, false).packets, 0);
}

static void
what_a_live_flow_counts_is_credited_to_no_other_port(void **state)
{
	uint32_t slot = add(x, IPV4, y), other = add(x, IPV4, z);

	(void)state;
	x_sends(slot, 4, 400);
	assert_int_equal(counted(x, other, false).packets, 0);
	assert_int_equal(counted(x, slot, false).packets, 4);
}

static void
a_successor_that_is_no_route_answers_for_what_is_left_over(void **state)
{
	uint32_t slot = add(x, IPV4, y), heir = UINT32_MAX;

	(void)state;
	guests_look();
	x_sends(slot, 4, 400);
	hwy_host_flow_del(h, x, slot);
	assert_int_equal(hwy_host_take_over(h, x, ARP, &heir), -ENOENT);
	assert_int_equal(hwy_host_take_over(h, x, IPV4, &heir), 0);
	assert_int_equal(heir, slot);
	assert_int_equal(counted(x, heir, true).packets, 4);
	x_sends(slot, 2, 200);
	guests_look();
	assert_int_equal(counted(x, heir, true).packets, 2);
	hwy_host_give_up(h, x, heir);
	assert_int_equal(hwy_host_take_over(h, x, IPV4, &heir), -ENOENT);
}

static void
a_successor_without_a_slot_counts_only_what_nobody_else_answers_for(void **state)
{
	uint32_t slot = add(x, IPV4, y), all = add(x, HWY_CLASS_ALL, z);

	(void)state;
	x_sends(slot, 4, 400);
	x_sends(all, 2, 200);
	assert_int_equal(counted(x, HWY_SLOT_NONE, true).packets, 0);
	hwy_host_flow_del(h, x, all);
	assert_int_equal(counted(x, HWY_SLOT_NONE, true).packets, 2);
	assert_int_equal(counted(x, HWY_SLOT_NONE, true).packets, 0);
	hwy_host_give_up(h, x, HWY_SLOT_NONE);
	assert_int_equal(counted(x, slot, false).packets, 4);
}

static void
a_class_that_is_routed_owes_nothing_to_others(void **state)
{
	uint32_t heir;

	(void)state;
	x_sends(add(x, IPV4, y), 3, 180);
	assert_int_equal(hwy_host_take_over(h, x, IPV4, &heir), -ENOENT);
}

static void
a_new_flow_of_the_class_goes_before_the_successor(void **state)
{
	uint32_t slot = add(x, IPV4, y), heir;

	(void)state;
	hwy_host_flow_del(h, x, slot);
	assert_int_equal(hwy_host_take_over(h, x, IPV4, &heir), 0);
	assert_int_equal(add(x, IPV4, y), slot);
	x_sends(slot, 7, 700);
	assert_int_equal(counted(x, heir, true).packets, 0);
	assert_int_equal(counted(x, slot, false).packets, 7);
}

static void
a_slot_with_a_successor_is_not_given_away(void **state)
{
	uint32_t slot = add(x, IPV4, y), heir, other;

	(void)state;
	hwy_host_flow_del(h, x, slot);
	assert_int_equal(hwy_host_take_over(h, x, IPV4, &heir), 0);
	guests_look();
	for (uint16_t i = 1; i < HWY_MAX_ROUTES; i++)
		assert_int_not_equal(add(x, hwy_class_key((uint16_t)(0x1000 | i), 0x0806), y),
				     slot);
	assert_int_equal(hwy_host_flow_add(h, x, ARP, y, &other), -ENOSPC);
	hwy_host_give_up(h, x, heir);
	assert_int_equal(hwy_host_flow_add(h, x, ARP, y, &other), 0);
}

/* --- the life of links --------------------------------------------------------- */

static void
a_closing_link_waits_for_the_sender_and_then_is_used_again(void **state)
{
	uint32_t slot = add(x, IPV4, y), l = route(x, IPV4)->link, free_rings = rings_free();

	(void)state;
	guests_look();
	hwy_host_flow_del(h, x, slot);
	hwy_host_tick(h);
	assert_int_equal(r->links[l].state, HWY_LINK_CLOSING); /* X has not looked */
	guests_look();
	hwy_host_tick(h);
	assert_int_equal(r->links[l].state, HWY_LINK_READY);
	assert_true(polled(y, l));
	(void)add(x, IPV4, y);
	assert_int_equal(route(x, IPV4)->link, l);
	assert_int_equal(r->links[l].opened, 2);
	assert_int_equal(rings_free(), free_rings);
}

static void
a_closing_link_waits_for_the_receiver_to_drain_it(void **state)
{
	uint32_t slot = add(x, IPV4, y), l = route(x, IPV4)->link;
	struct hwy_ring *ring = hwy_region_ring(r, r->links[l].ring[0]).ring;

	(void)state;
	ring->prod = 2;
	hwy_host_flow_del(h, x, slot);
	guests_look();
	hwy_host_tick(h);
	assert_int_equal(r->links[l].state, HWY_LINK_CLOSING);
	ring->cons = 2;
	hwy_host_tick(h);
	assert_int_equal(r->links[l].state, HWY_LINK_READY);
}

static void
a_link_that_is_closing_opens_again_at_once(void **state)
{
	uint32_t slot = add(x, IPV4, y), l = route(x, IPV4)->link;

	(void)state;
	hwy_host_flow_del(h, x, slot);
	assert_int_equal(r->links[l].state, HWY_LINK_CLOSING);
	(void)add(x, ARP, y);
	assert_int_equal(route(x, ARP)->link, l);
	assert_int_equal(r->links[l].state, HWY_LINK_OPEN);
}

static void
unused_links_make_room_when_rings_run_out(void **state)
{
	uint32_t ports[8] = {x, y, z}, n = 3, tries = 0, slot;
	char name[16];

	(void)state;
	for (; n < r->geo.port_count; n++) {
		snprintf(name, sizeof(name), "p%u", n);
		ports[n] = test_port_up(r, name, 1);
	}
	/* Every pair, one after the other: far more links than rings and link slots. */
	for (uint32_t a = 0; a < n; a++) {
		for (uint32_t b = 0; b < n; b++) {
			if (a == b)
				continue;
			slot = add(ports[a], IPV4, ports[b]);
			for (tries = 0; route(ports[a], IPV4) == NULL && tries < 10; tries++) {
				guests_look();
				hwy_host_tick(h);
			}
			assert_non_null(route(ports[a], IPV4));
			hwy_host_flow_del(h, ports[a], slot);
			guests_look();
			hwy_host_tick(h);
		}
	}
}

static void
no_more_links_than_rings_are_open_at_once(void **state)
{
	uint32_t ports[8] = {x, y, z}, n = 3, open = 0, routed = 0;
	uint16_t key = 0;
	char name[16];

	(void)state;
	for (; n < r->geo.port_count; n++) {
		snprintf(name, sizeof(name), "p%u", n);
		ports[n] = test_port_up(r, name, 1);
	}
	for (uint32_t a = 0; a < n; a++) {
		for (uint32_t b = 0; b < n; b++) {
			if (a != b)
				(void)add(ports[a],
					  hwy_class_key((uint16_t)(0x1000 | ++key), 0x0806),
					  ports[b]);
		}
	}
	for (int i = 0; i < 5; i++) {
		guests_look();
		hwy_host_tick(h);
	}
	for (uint32_t l = 0; l < r->geo.link_count; l++)
		open += r->links[l].state == HWY_LINK_OPEN;
	for (uint32_t a = 0; a < n; a++)
		routed += r->ports[ports[a]].n_routes;
	assert_int_equal(open, routed);
	assert_true(open > 0 && open < n * (n - 1));
	assert_int_equal(rings_free() == 0 || open == r->geo.link_count, true);
}

static void
a_retired_link_is_freed_when_the_receiver_forgot_it(void **state)
{
	uint32_t l, slot = add(x, IPV4, y);

	(void)state;
	l = route(x, IPV4)->link;
	r->links[l].queue[0].sent.packets = 9;
	r->links[l].queue[0].sent.bytes = 900;
	hwy_host_flow_del(h, x, slot);
	guests_look();
	hwy_store(&r->ports[x].end[HWY_HOST].state, HWY_END_STOPPED);
	hwy_port_detach(r, x, HWY_HOST);
	hwy_host_tick(h); /* X's host end is gone: nobody needs the link */
	assert_int_equal(r->links[l].state, HWY_LINK_RETIRING);
	assert_false(polled(y, l));
	hwy_host_tick(h);
	assert_int_equal(r->links[l].state, HWY_LINK_RETIRING);
	guests_look();
	hwy_host_tick(h);
	assert_int_equal(r->links[l].state, HWY_LINK_FREE);
	assert_int_equal(rings_of(HWY_TAG_LINK(l)), 0);
	/* What it carried is not forgotten. */
	assert_int_equal(hwy_port_links_out(r, x).packets, 9);
	assert_int_equal(hwy_port_links_in(r, y).bytes, 900);
}

static void
a_port_that_goes_takes_routes_to_it_and_from_it_away(void **state)
{
	(void)state;
	(void)add(x, IPV4, y);
	(void)add(y, IPV4, z);
	(void)add(x, ARP, z);
	hwy_store(&r->ports[y].end[HWY_HOST].state, HWY_END_STOPPED);
	hwy_host_port_gone(h, y);
	hwy_port_detach(r, y, HWY_HOST);
	assert_null(route(x, IPV4));
	assert_int_equal(r->ports[y].n_routes, 0);
	assert_non_null(route(x, ARP));
}

static void
a_new_port_with_the_index_of_an_old_one_gets_none_of_its_flows(void **state)
{
	uint32_t old = y, slot = add(x, IPV4, y), port;

	(void)state;
	hwy_store(&r->ports[y].end[HWY_HOST].state, HWY_END_STOPPED);
	hwy_host_port_gone(h, y);
	hwy_port_detach(r, y, HWY_HOST);
	hwy_port_detach(r, y, HWY_GUEST);
	for (int i = 0; i < 5; i++) {
		guests_look();
		hwy_host_tick(h);
		hwy_region_sweep(r, NULL);
	}
	port = test_port_up(r, "another", 1);
	assert_int_equal(port, old);
	hwy_host_tick(h);
	assert_null(route(x, IPV4));
	hwy_host_flow_del(h, x, slot);
	/* And its own start afresh. */
	(void)add(x, IPV4, port);
	assert_non_null(route(x, IPV4));
}

/* --- one host after another ---------------------------------------------------- */

static void
a_new_host_withdraws_the_routes_of_the_old_one(void **state)
{
	uint32_t seq, l, slot;

	(void)state;
	slot = add(x, IPV4, y);
	l = route(x, IPV4)->link;
	guests_look();
	seq = r->ports[x].route_seq;
	hwy_host_free(h);
	assert_int_equal(hwy_host_new(r, &h), 0);
	assert_int_equal(r->ports[x].n_routes, 0);
	assert_true(hwy_before(seq, r->ports[x].route_seq));
	assert_int_equal(r->links[l].state, HWY_LINK_CLOSING);
	assert_true(polled(y, l));
	guests_look();
	hwy_host_tick(h);
	assert_int_equal(r->links[l].state, HWY_LINK_READY);
	/* Counters go on from where they are. */
	x_sends(slot, 100, 6000);
	slot = add(x, IPV4, y);
	assert_int_equal(route(x, IPV4)->link, l);
	assert_int_equal(counted(x, slot, false).packets, 0);
}

static void
a_new_host_makes_half_a_change_whole(void **state)
{
	(void)state;
	(void)add(x, IPV4, y);
	hwy_host_free(h);
	r->ports[x].route_seq++;
	r->ports[y].in_gen++;
	assert_int_equal(hwy_host_new(r, &h), 0);
	assert_int_equal(r->ports[x].route_seq & 1, 0);
	assert_int_equal(r->ports[y].in_gen & 1, 0);
	assert_int_equal(r->ports[x].n_routes, 0);
}

static void
a_new_host_frees_a_link_that_was_in_preparation(void **state)
{
	uint32_t l, free_before;

	(void)state;
	free_before = rings_free();
	(void)add(x, IPV4, y);
	l = route(x, IPV4)->link;
	hwy_host_free(h);
	r->links[l].state = HWY_LINK_PREPARING;
	r->ports[y].n_in = 0;
	assert_int_equal(hwy_host_new(r, &h), 0);
	assert_int_equal(r->links[l].state, HWY_LINK_FREE);
	assert_int_equal(rings_free(), free_before);
}

static void
a_new_host_takes_a_retiring_link_up_again(void **state)
{
	uint32_t l, slot = add(x, IPV4, y);

	(void)state;
	l = route(x, IPV4)->link;
	hwy_host_flow_del(h, x, slot);
	hwy_host_free(h);
	r->ports[y].n_in = 0;
	r->ports[y].in_gen += 2;
	r->links[l].state = HWY_LINK_RETIRING;
	assert_int_equal(hwy_host_new(r, &h), 0);
	assert_true(polled(y, l) || r->links[l].state == HWY_LINK_RETIRING);
	guests_look();
	hwy_host_tick(h);
	(void)add(x, IPV4, y);
	assert_non_null(route(x, IPV4));
	assert_true(polled(y, route(x, IPV4)->link));
}

/* The old host was killed between making the link READY and telling Y to poll it, or
 * between telling Y to forget it and writing RETIRING. */
static void
a_new_host_never_routes_to_a_link_that_is_not_polled(void **state)
{
	uint32_t l, slot = add(x, IPV4, y);

	(void)state;
	l = route(x, IPV4)->link;
	hwy_host_flow_del(h, x, slot);
	guests_look();
	hwy_host_tick(h);
	assert_int_equal(r->links[l].state, HWY_LINK_READY);
	hwy_host_free(h);
	r->ports[y].n_in = 0;
	r->ports[y].in_gen += 2;
	assert_int_equal(hwy_host_new(r, &h), 0);
	(void)add(x, IPV4, y);
	assert_non_null(route(x, IPV4));
	assert_true(polled(y, route(x, IPV4)->link));
}

static void
a_new_host_leaves_no_link_in_a_list_twice(void **state)
{
	uint32_t first, l, slot = add(x, IPV4, z);
	uint32_t times = 0;

	(void)state;
	first = route(x, IPV4)->link;
	(void)add(y, IPV4, z);
	l = route(y, IPV4)->link;
	hwy_host_flow_del(h, x, slot);
	hwy_host_free(h);
	/* Killed while 'first' was being taken out: the list is moved up, its length is
	 * still the old one. */
	assert_int_equal(r->ports[z].in_links[0], first);
	r->ports[z].in_gen++;
	r->ports[z].in_links[0] = l;
	assert_int_equal(hwy_host_new(r, &h), 0);
	for (uint32_t i = 0; i < r->ports[z].n_in; i++)
		times += r->ports[z].in_links[i] == l;
	assert_int_equal(times, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_flow_becomes_a_route_when_both_ports_are_up),
		TEST(a_flow_waits_for_each_of_the_four_ends),
		TEST(an_end_that_stops_takes_the_route_away),
		TEST(a_sender_with_larger_packets_gets_no_route),
		TEST(the_operator_keeps_links_closed),
		TEST(a_port_is_not_linked_to_itself),
		TEST(two_classes_to_one_port_share_a_link),
		TEST(classes_of_one_port_go_to_different_ports),
		TEST(both_directions_have_links_of_their_own),
		TEST(several_ports_link_to_one),
		TEST(a_link_has_a_ring_for_every_queue_of_the_sender),
		TEST(nothing_is_published_when_nothing_changes),
		TEST(deleting_the_flow_withdraws_the_route),
		TEST(the_route_lives_as_long_as_one_flow_of_the_class),
		TEST(flows_of_one_class_that_disagree_publish_neither),
		TEST(a_port_has_room_for_all_its_classes_and_no_more),
		TEST(a_slot_is_free_again_when_the_sender_has_seen_and_nothing_is_owed),
		TEST(a_slot_is_not_reused_while_the_sender_may_count_in_it),
		TEST(packets_are_credited_once_to_two_flows_of_a_class),
		TEST(packets_of_all_queues_are_credited),
		TEST(what_is_left_over_goes_to_the_next_flow_of_the_class),
		TEST(a_rule_led_to_another_port_answers_for_what_its_class_left_behind),
		TEST(what_a_live_flow_counts_is_credited_to_no_other_port),
		TEST(a_successor_that_is_no_route_answers_for_what_is_left_over),
		TEST(a_successor_without_a_slot_counts_only_what_nobody_else_answers_for),
		TEST(a_class_that_is_routed_owes_nothing_to_others),
		TEST(a_new_flow_of_the_class_goes_before_the_successor),
		TEST(a_slot_with_a_successor_is_not_given_away),
		TEST(a_closing_link_waits_for_the_sender_and_then_is_used_again),
		TEST(a_closing_link_waits_for_the_receiver_to_drain_it),
		TEST(a_link_that_is_closing_opens_again_at_once),
		TEST(unused_links_make_room_when_rings_run_out),
		TEST(no_more_links_than_rings_are_open_at_once),
		TEST(a_retired_link_is_freed_when_the_receiver_forgot_it),
		TEST(a_port_that_goes_takes_routes_to_it_and_from_it_away),
		TEST(a_new_port_with_the_index_of_an_old_one_gets_none_of_its_flows),
		TEST(a_new_host_withdraws_the_routes_of_the_old_one),
		TEST(a_new_host_makes_half_a_change_whole),
		TEST(a_new_host_frees_a_link_that_was_in_preparation),
		TEST(a_new_host_takes_a_retiring_link_up_again),
		TEST(a_new_host_never_routes_to_a_link_that_is_not_polled),
		TEST(a_new_host_leaves_no_link_in_a_list_twice),
	};

	return cmocka_run_group_tests_name("host", tests, test_dir_make, test_dir_remove);
}
