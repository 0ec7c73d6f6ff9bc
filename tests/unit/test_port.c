/* SPDX-License-Identifier: BSD-3-Clause */
/* shm/port.c, shm/client.c: ports and their two ends. */
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "class.h"
#include "client.h"
#include "gate.h"
#include "host.h"
#include "pool.h"
#include "port.h"

static char err[HWY_ERR_SIZE];
static struct hwy_region *r;

static int
set_up(void **state)
{
	(void)state;
	test_dir_clean();
	err[0] = 0;
	r = test_region();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	hwy_region_close(r);
	return 0;
}

static uint32_t
attach(struct hwy_region *by, const char *name, enum hwy_role role, uint32_t queues)
{
	uint32_t port = UINT32_MAX;

	if (hwy_port_attach(by, name, role, queues, &port, err) != 0)
		fail_msg("%s", err);
	return port;
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
owned_by(uint32_t client)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->geo.chunk_count; i++)
		n += r->owners[i] == client;
	return n;
}

/* Puts 'n' chunks taken by 'by' into ring 'index'. */
static void
put_chunks(struct hwy_region *by, uint32_t index, uint32_t n)
{
	struct hwy_producer p;
	struct hwy_pool pool;
	uint32_t chunk = 0;

	hwy_pool_init(&pool, by->owners, by->geo.chunk_count, (uint8_t)by->me, 0);
	hwy_producer_init(&p, hwy_region_ring(by, index));
	while (n-- > 0) {
		assert_true(hwy_pool_take(&pool, &chunk));
		hwy_store(&p.at.desc[p.prod & p.at.mask], HWY_DESC(chunk, 0, 128, 200));
		p.prod++;
	}
	hwy_producer_publish(&p);
	hwy_pool_drain(&pool);
}

/* --- attach and detach --------------------------------------------------------- */

static void
the_first_end_makes_the_port(void **state)
{
	uint32_t p = attach(r, "vnf1", HWY_GUEST, 2);
	const struct hwy_port *port = &r->ports[p];

	(void)state;
	assert_int_equal(port->state, HWY_PORT_USED);
	assert_string_equal(port->name, "vnf1");
	assert_int_equal(port->queues, 2);
	assert_int_equal(rings_of(HWY_TAG_PORT(p)), 4);
	assert_int_equal(port->end[HWY_GUEST].state, HWY_END_STOPPED);
	assert_int_equal(port->end[HWY_GUEST].client, r->me);
	assert_int_equal(port->end[HWY_GUEST].rx_queues, 2);
	assert_int_equal(port->end[HWY_HOST].state, HWY_END_DETACHED);
	assert_int_equal(r->hdr->host_client, 0);
	assert_int_equal(hwy_port_find(r, "vnf1"), p);
	assert_int_equal(hwy_port_find(r, "vnf"), -ENOENT);
	hwy_port_detach(r, p, HWY_GUEST);
}

static void
the_other_end_finds_it_by_name(void **state)
{
	struct hwy_region *other = test_region();
	uint32_t p = attach(r, "vnf1", HWY_GUEST, 0);

	(void)state;
	assert_int_equal(attach(other, "vnf1", HWY_HOST, 0), p);
	assert_int_equal(r->hdr->host_client, other->me);
	assert_int_not_equal(attach(other, "vnf2", HWY_HOST, 0), p);
	hwy_region_close(other);
}

static void
queues_default_to_one_or_to_the_other_end(void **state)
{
	uint32_t p = attach(r, "one", HWY_HOST, 0), q = attach(r, "three", HWY_HOST, 3);

	(void)state;
	assert_int_equal(r->ports[p].queues, 1);
	assert_int_equal(attach(r, "three", HWY_GUEST, 0), q);
	assert_int_equal(r->ports[q].end[HWY_GUEST].tx_queues, 3);
}

static void
queues_that_contradict_the_other_end_are_refused(void **state)
{
	uint32_t p = attach(r, "vnf1", HWY_HOST, 2), q;

	(void)state;
	assert_int_equal(hwy_port_attach(r, "vnf1", HWY_GUEST, 4, &q, err), -EINVAL);
	assert_contains(err, "queues=4");
	assert_contains(err, "port=vnf1");
	assert_contains(err, "queues=2");
	assert_contains(err, "same number");
	assert_int_equal(r->ports[p].end[HWY_GUEST].state, HWY_END_DETACHED);
	assert_int_equal(attach(r, "vnf1", HWY_GUEST, 2), p);
}

static void
too_many_queues_are_refused(void **state)
{
	uint32_t p;

	(void)state;
	assert_int_equal(hwy_port_attach(r, "vnf1", HWY_GUEST, 9, &p, err), -EINVAL);
	assert_contains(err, "queues=9");
	assert_contains(err, "port=vnf1");
	assert_contains(err, "between 1 and 8");
	assert_int_equal(hwy_port_find(r, "vnf1"), -ENOENT);
}

static void
a_port_name_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = {"", "a b", "../x", ".x",
					  "0123456789012345678901234567890x"};
	uint32_t p;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(hwy_port_attach(r, bad[i], HWY_GUEST, 0, &p, err), -EINVAL);
		assert_contains(err, "port=");
		assert_contains(err, bad[i]);
		assert_contains(err, "use 1 to 31");
	}
}

static void
a_full_domain_refuses_another_port(void **state)
{
	char name[16];
	uint32_t p;

	(void)state;
	for (uint32_t i = 0; i < r->geo.port_count; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		attach(r, name, HWY_GUEST, 1);
	}
	assert_int_equal(hwy_port_attach(r, "more", HWY_GUEST, 1, &p, err), -ENOSPC);
	assert_contains(err, "domain=unit");
	assert_contains(err, "port=more");
	assert_contains(err, "another domain=");
}

static void
a_port_that_gets_no_rings_leaves_none_behind(void **state)
{
	uint32_t p, n = 0, free_rings;
	char name[16];

	(void)state;
	while ((free_rings = rings_of(HWY_TAG_FREE)) >= 16) {
		snprintf(name, sizeof(name), "p%u", n++);
		attach(r, name, HWY_GUEST, 8);
	}
	assert_true(n < r->geo.port_count);
	assert_int_equal(hwy_port_attach(r, "c", HWY_GUEST, 8, &p, err), -ENOSPC);
	assert_contains(err, "port=c");
	assert_contains(err, "queues=8");
	assert_contains(err, "larger size=");
	assert_int_equal(rings_of(HWY_TAG_FREE), free_rings);
	assert_int_equal(hwy_port_find(r, "c"), -ENOENT);
}

static void
the_port_goes_when_both_ends_went(void **state)
{
	uint32_t free_rings = rings_of(HWY_TAG_FREE), p = attach(r, "vnf1", HWY_HOST, 2);

	(void)state;
	attach(r, "vnf1", HWY_GUEST, 2);
	hwy_port_detach(r, p, HWY_HOST);
	assert_int_equal(r->ports[p].state, HWY_PORT_USED);
	assert_int_equal(r->hdr->host_client, 0);
	hwy_port_detach(r, p, HWY_GUEST);
	assert_int_equal(r->ports[p].state, HWY_PORT_FREE);
	assert_int_equal(rings_of(HWY_TAG_FREE), free_rings);
	assert_int_equal(hwy_port_find(r, "vnf1"), -ENOENT);
}

static void
a_port_is_reused_after_both_ends_went(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 50; i++) {
		uint32_t p = attach(r, i & 1 ? "odd" : "even", HWY_HOST, 1 + i % 4);

		assert_int_equal(p, 0);
		assert_int_equal(attach(r, i & 1 ? "odd" : "even", HWY_GUEST, 0), 0);
		assert_int_equal(r->ports[0].queues, 1 + i % 4);
		hwy_port_detach(r, p, i & 2 ? HWY_HOST : HWY_GUEST);
		hwy_port_detach(r, p, i & 2 ? HWY_GUEST : HWY_HOST);
		assert_int_equal(r->ports[0].state, HWY_PORT_FREE);
	}
	assert_int_equal(rings_of(HWY_TAG_FREE), r->geo.ring_count);
}

static void
the_host_side_is_free_again_only_after_the_last_port(void **state)
{
	struct hwy_region *other = test_region();
	uint32_t a = attach(r, "a", HWY_HOST, 1), b = attach(r, "b", HWY_HOST, 1), p;

	(void)state;
	hwy_port_detach(r, a, HWY_HOST);
	assert_int_equal(hwy_port_attach(other, "a", HWY_HOST, 1, &p, err), -EBUSY);
	hwy_port_detach(r, b, HWY_HOST);
	attach(other, "a", HWY_HOST, 1);
	assert_int_equal(r->hdr->host_client, other->me);
	hwy_region_close(other);
}

static void
what_waited_for_an_earlier_guest_is_dropped(void **state)
{
	uint32_t p = attach(r, "vnf1", HWY_HOST, 1);
	const struct hwy_ring *down;

	(void)state;
	attach(r, "vnf1", HWY_GUEST, 1);
	hwy_port_detach(r, p, HWY_GUEST);
	put_chunks(r, r->ports[p].down[0], 5);
	assert_int_equal(owned_by(r->me), 5);
	attach(r, "vnf1", HWY_GUEST, 1);
	down = hwy_region_ring(r, r->ports[p].down[0]).ring;
	assert_int_equal(down->cons, down->prod);
	assert_int_equal(owned_by(r->me), 0);
}

static void
what_an_earlier_switch_did_not_read_is_dropped(void **state)
{
	uint32_t p = attach(r, "vnf1", HWY_GUEST, 1);
	const struct hwy_ring *ring;

	(void)state;
	put_chunks(r, r->ports[p].up[0], 5);
	attach(r, "vnf1", HWY_HOST, 1);
	ring = hwy_region_ring(r, r->ports[p].up[0]).ring;
	assert_int_equal(ring->cons, ring->prod);
	assert_int_equal(owned_by(r->me), 0);
}

static void
garbage_in_a_ring_does_not_keep_a_guest_from_attaching(void **state)
{
	uint32_t p = attach(r, "vnf1", HWY_HOST, 1);
	struct hwy_ring *ring = hwy_region_ring(r, r->ports[p].down[0]).ring;

	(void)state;
	memset(hwy_region_ring(r, r->ports[p].down[0]).desc, 0xff, 64 * 8);
	ring->prod = 0x80000001u;
	ring->cons = 17;
	attach(r, "vnf1", HWY_GUEST, 1);
	assert_int_equal(ring->cons, ring->prod);
}

static void
dropping_a_long_inline_packet_frees_no_chunk(void **state)
{
	uint32_t p = attach(r, "vnf1", HWY_HOST, 1);
	struct hwy_producer down;

	(void)state;
	memset(r->owners, r->me, r->geo.chunk_count);
	hwy_producer_init(&down, hwy_region_ring(r, r->ports[p].down[0]));
	hwy_store(&down.at.desc[0], HWY_DESC(HWY_CHUNK_INLINE, 0, 0, HWY_INLINE_MAX));
	hwy_store(&down.at.desc[1], HWY_DESC(HWY_CHUNK_INLINE, 0, 0, 0));
	down.prod += 2;
	hwy_producer_publish(&down);
	attach(r, "vnf1", HWY_GUEST, 1);
	assert_int_equal(owned_by(0), 0);
}

static void
attaching_clears_counters_and_acknowledgements(void **state)
{
	uint32_t p = attach(r, "vnf1", HWY_HOST, 1);
	struct hwy_end *guest = &r->ports[p].end[HWY_GUEST];

	(void)state;
	attach(r, "vnf1", HWY_GUEST, 1);
	guest->rx[0].normal_packets = guest->tx[7].bypass_bytes = 5;
	guest->route_ack[3] = guest->in_ack[2] = 9;
	guest->starts = 4;
	hwy_port_detach(r, p, HWY_GUEST);
	assert_int_equal(guest->route_ack[3], 0);
	assert_int_equal(guest->client, 0);
	attach(r, "vnf1", HWY_GUEST, 1);
	assert_int_equal(guest->rx[0].normal_packets, 0);
	assert_int_equal(guest->tx[7].bypass_bytes, 0);
	assert_int_equal(guest->starts, 0);
	assert_true(guest->attached_ns > 0);
}

static void
counters_are_summed_over_queues(void **state)
{
	struct hwy_counters counters[HWY_MAX_QUEUES];

	(void)state;
	memset(counters, 0, sizeof(counters));
	for (uint64_t q = 0; q < HWY_MAX_QUEUES; q++) {
		counters[q].bypass_bytes = 1ULL << (8 * q);
		counters[q].bypass_packets = 1;
	}
	assert_true(hwy_counters_sum(counters, offsetof(struct hwy_counters, bypass_bytes)) ==
		    0x0101010101010101ULL);
	assert_int_equal(hwy_counters_sum(counters, offsetof(struct hwy_counters, bypass_packets)),
			 8);
}

/* --- who is in the way --------------------------------------------------------- */

struct hold {
	const char *port;
	enum hwy_role role;
};

static int
hold_end(struct test_child *child, void *arg)
{
	const struct hold *hold = arg;
	struct hwy_region *mine = test_region();
	char message[HWY_ERR_SIZE] = "";
	uint32_t p;

	if (hwy_port_attach(mine, hold->port, hold->role, 1, &p, message) != 0) {
		print_error("%s\n", message);
		return 1;
	}
	test_tell(child);
	(void)test_wait(child);
	return 0;
}

static void
a_second_guest_of_a_port_is_told_who_holds_it(void **state)
{
	struct hold hold = {"vnf1", HWY_GUEST};
	struct test_child child;
	char pid[32];
	uint32_t p;

	(void)state;
	test_child_start(&child, hold_end, &hold);
	assert_true(test_wait(&child));
	assert_int_equal(hwy_port_attach(r, "vnf1", HWY_GUEST, 0, &p, err), -EBUSY);
	snprintf(pid, sizeof(pid), "pid %d ", (int)child.pid);
	assert_contains(err, pid);
	assert_contains(err, "port=vnf1");
	assert_contains(err, "guest end");
	assert_contains(err, "another port=");
	test_tell(&child);
	assert_int_equal(test_child_end(&child), 0);
	/* It left without a word; the port is ours all the same. */
	attach(r, "vnf1", HWY_GUEST, 0);
}

static void
a_second_guest_in_the_same_process_is_refused_too(void **state)
{
	uint32_t p = attach(r, "vnf1", HWY_GUEST, 0), q;

	(void)state;
	assert_int_equal(hwy_port_attach(r, "vnf1", HWY_GUEST, 0, &q, err), -EBUSY);
	/* And that did not take the lock from the first. */
	assert_true(r->ports[p].end[HWY_GUEST].client == r->me);
	struct hwy_region *other = test_region();

	assert_int_equal(hwy_port_attach(other, "vnf1", HWY_GUEST, 0, &q, err), -EBUSY);
	hwy_region_close(other);
}

static void
a_second_host_of_a_domain_is_told_who_serves_it(void **state)
{
	struct hold hold = {"vnf1", HWY_HOST};
	struct test_child child;
	char pid[32];
	uint32_t p;

	(void)state;
	test_child_start(&child, hold_end, &hold);
	assert_true(test_wait(&child));
	assert_int_equal(hwy_port_attach(r, "vnf2", HWY_HOST, 0, &p, err), -EBUSY);
	snprintf(pid, sizeof(pid), "pid %d ", (int)child.pid);
	assert_contains(err, pid);
	assert_contains(err, "domain=unit");
	assert_contains(err, "another domain=");
	/* The port that it would have made is not left behind. */
	assert_int_equal(hwy_port_find(r, "vnf2"), -ENOENT);
	test_tell(&child);
	assert_int_equal(test_child_end(&child), 0);
	attach(r, "vnf2", HWY_HOST, 0);
}

/* --- after a death ------------------------------------------------------------- */

struct victim {
	uint32_t chunks; /* that it takes */
	uint32_t sent;   /* of which it puts into its up ring */
};

static int
live_and_die(struct test_child *child, void *arg)
{
	const struct victim *victim = arg;
	struct hwy_region *mine = test_region();
	char message[HWY_ERR_SIZE] = "";
	struct hwy_producer p;
	struct hwy_pool pool;
	uint32_t port, chunk;

	CHILD_CHECK(hwy_port_attach(mine, "vnf1", HWY_GUEST, 1, &port, message) == 0);
	mine->ports[port].end[HWY_GUEST].state = HWY_END_STARTED;
	hwy_pool_init(&pool, mine->owners, mine->geo.chunk_count, (uint8_t)mine->me, 0);
	hwy_producer_init(&p, hwy_region_ring(mine, mine->ports[port].up[0]));
	for (uint32_t i = 0; i < victim->chunks; i++) {
		CHILD_CHECK(hwy_pool_take(&pool, &chunk));
		if (i < victim->sent)
			hwy_store(&p.at.desc[p.prod++ & p.at.mask], HWY_DESC(chunk, 0, 128, 64));
	}
	hwy_producer_publish(&p);
	test_tell(child);
	CHILD_CHECK(test_wait(child));
	raise(SIGKILL);
	return 0;
}

static void
chunks_of_the_dead_come_back_and_those_on_their_way_arrive(void **state)
{
	struct victim victim = {.chunks = 40, .sent = 7};
	uint32_t p = attach(r, "vnf1", HWY_HOST, 1), its;
	struct hwy_chunk_census census;
	struct test_child child;
	uint64_t dropped = 99;

	(void)state;
	test_child_start(&child, live_and_die, &victim);
	assert_true(test_wait(&child));
	its = r->ports[p].end[HWY_GUEST].client;
	assert_true(owned_by(its) >= 40);
	/* The living are left alone, and what waits for them too. */
	put_chunks(r, r->ports[p].down[0], 3);
	assert_int_equal(hwy_region_sweep(r, &dropped), 0);
	assert_int_equal(dropped, 0);
	assert_int_equal(r->ports[p].end[HWY_GUEST].state, HWY_END_STARTED);
	test_tell(&child);
	assert_int_equal(test_child_end(&child), 256 + SIGKILL);

	assert_int_equal(hwy_region_sweep(r, &dropped), 1);
	assert_int_equal(dropped, 3);
	assert_int_equal(r->ports[p].end[HWY_GUEST].state, HWY_END_DETACHED);
	assert_int_equal(r->ports[p].end[HWY_GUEST].client, 0);
	assert_int_equal(r->hdr->sweeps, 1);
	hwy_region_census(r, &census);
	assert_int_equal(census.in_rings, 7);
	assert_int_equal(census.free, r->geo.chunk_count - 7);
	assert_int_equal(hwy_region_sweep(r, &dropped), 0);
	assert_int_equal(r->hdr->sweeps, 1);
}

static void
the_census_counts_what_everybody_holds(void **state)
{
	struct hwy_region *other = test_region();
	uint32_t p = attach(r, "vnf1", HWY_HOST, 1), last = r->geo.chunk_count - 1;
	struct hwy_chunk_census census;

	(void)state;
	put_chunks(r, r->ports[p].down[0], 4);
	r->owners[last] = (uint8_t)r->me;
	r->owners[last - 1] = r->owners[last - 2] = (uint8_t)other->me;
	hwy_region_census(r, &census);
	assert_int_equal(census.in_rings, 4);
	assert_int_equal(census.held[r->me], 1);
	assert_int_equal(census.held[other->me], 2);
	assert_int_equal(census.free, r->geo.chunk_count - 7);
	hwy_region_close(other);
}

static int
be_host_and_die(struct test_child *child, void *arg)
{
	struct hwy_region *mine = test_region();
	char message[HWY_ERR_SIZE] = "";
	struct hwy_host *host;
	uint32_t slot, p[2];

	(void)arg;
	for (int i = 0; i < 2; i++) {
		CHILD_CHECK(hwy_port_attach(mine, i == 0 ? "x" : "y", HWY_HOST, 1, &p[i],
					    message) == 0);
		mine->ports[p[i]].end[HWY_HOST].mtu = 1500;
		hwy_store_release(&mine->ports[p[i]].end[HWY_HOST].state, HWY_END_STARTED);
	}
	CHILD_CHECK(hwy_host_new(mine, &host) == 0);
	CHILD_CHECK(hwy_host_flow_add(host, p[0], hwy_class_key(0, HWY_ETH_IPV4), p[1], &slot) ==
		    0);
	CHILD_CHECK(mine->ports[p[0]].n_routes == 1);
	test_tell(child);
	(void)test_wait(child);
	raise(SIGKILL);
	return 0;
}

static uint32_t
guest_up(struct hwy_region *by, const char *name)
{
	uint32_t p = attach(by, name, HWY_GUEST, 1);

	by->ports[p].end[HWY_GUEST].mtu = 1500;
	hwy_store_release(&by->ports[p].end[HWY_GUEST].state, HWY_END_STARTED);
	return p;
}

/* Guests x and y with a link, and the switch has died. */
static void
host_dies(uint32_t *x, uint32_t *y)
{
	struct test_child child;

	*x = guest_up(r, "x");
	*y = guest_up(r, "y");
	test_child_start(&child, be_host_and_die, NULL);
	assert_true(test_wait(&child));
	test_tell(&child);
	assert_int_equal(test_child_end(&child), 256 + SIGKILL);
	assert_int_equal(hwy_region_sweep(r, NULL), 1);
}

static void
links_outlive_the_switch(void **state)
{
	uint32_t x, y;

	(void)state;
	host_dies(&x, &y);
	assert_int_equal(r->hdr->host_client, 0);
	assert_int_equal(r->ports[x].end[HWY_HOST].state, HWY_END_DETACHED);
	assert_int_equal(r->ports[x].state, HWY_PORT_USED);
	assert_int_equal(r->ports[x].n_routes, 1);
	assert_int_equal(r->links[r->ports[x].routes[0].link].state, HWY_LINK_OPEN);
	assert_int_equal(r->ports[y].n_in, 1);
}

/* The receiver restarts while there is no switch: x still has its route and may be
 * about to write to the ring, which must not become anybody else's. */
static void
without_a_switch_a_ring_that_a_sender_may_use_is_not_freed(void **state)
{
	uint32_t x, y, ring;

	(void)state;
	host_dies(&x, &y);
	ring = r->links[r->ports[x].routes[0].link].ring[0];
	hwy_port_detach(r, y, HWY_GUEST);
	hwy_region_sweep(r, NULL);
	assert_true(r->ports[x].n_routes == 0 || r->ring_tags[ring] != HWY_TAG_FREE);
}

/* The sender restarts while there is no switch: y still polls the ring. */
static void
without_a_switch_a_ring_that_a_receiver_polls_is_not_freed(void **state)
{
	uint32_t x, y, ring;

	(void)state;
	host_dies(&x, &y);
	ring = r->links[r->ports[x].routes[0].link].ring[0];
	assert_int_equal(r->ports[y].n_in, 1);
	hwy_port_detach(r, x, HWY_GUEST);
	hwy_region_sweep(r, NULL);
	assert_true(r->ports[y].n_in == 0 || r->ring_tags[ring] != HWY_TAG_FREE);
}

static void
without_anybody_links_and_their_rings_are_freed(void **state)
{
	uint32_t x, y;

	(void)state;
	host_dies(&x, &y);
	hwy_port_detach(r, x, HWY_GUEST);
	hwy_port_detach(r, y, HWY_GUEST);
	hwy_region_sweep(r, NULL);
	assert_int_equal(rings_of(HWY_TAG_FREE), r->geo.ring_count);
	assert_int_equal(hwy_port_find(r, "x"), -ENOENT);
	assert_int_equal(hwy_port_find(r, "y"), -ENOENT);
}

/* --- guests and links ---------------------------------------------------------- */

static struct hwy_host *h;

static struct hwy_ring *
link_up(uint32_t *x, uint32_t *y)
{
	uint32_t slot;

	*x = test_port_up(r, "x", 1);
	*y = test_port_up(r, "y", 1);
	assert_int_equal(hwy_host_new(r, &h), 0);
	assert_int_equal(hwy_host_flow_add(h, *x, hwy_class_key(0, HWY_ETH_IPV4), *y, &slot), 0);
	return hwy_region_ring(r, r->links[r->ports[*x].routes[0].link].ring[0]).ring;
}

static void
a_receiver_that_goes_leaves_no_chunk_in_its_links(void **state)
{
	uint32_t x, y;
	struct hwy_ring *ring = link_up(&x, &y);

	(void)state;
	put_chunks(r, r->links[r->ports[x].routes[0].link].ring[0], 6);
	ring->gate_epoch = 3;
	hwy_port_detach(r, y, HWY_GUEST);
	assert_int_equal(ring->cons, ring->prod);
	/* What X sent by the switch before its gate may be yet to come. */
	assert_int_equal(ring->pass_epoch, 0);
	assert_int_equal(owned_by(r->me), 0);
	hwy_host_free(h);
}

static void
what_a_sender_left_in_a_link_comes_before_what_its_next_life_sends(void **state)
{
	uint32_t x, y;
	struct hwy_ring *ring = link_up(&x, &y);

	(void)state;
	put_chunks(r, r->links[r->ports[x].routes[0].link].ring[0], 6);
	hwy_port_detach(r, x, HWY_GUEST);
	assert_int_equal(ring->stop, ring->prod);
	assert_int_equal(ring->prod - ring->cons, 6);
	hwy_host_free(h);
}

static void
a_closing_link_whose_receiver_went_is_drained_by_the_host(void **state)
{
	uint32_t x, y;
	struct hwy_ring *ring = link_up(&x, &y);
	const struct hwy_link *link = &r->links[r->ports[x].routes[0].link];

	(void)state;
	hwy_port_detach(r, y, HWY_GUEST);
	put_chunks(r, link->ring[0], 6); /* X had not noticed */
	hwy_host_tick(h);
	assert_int_equal(link->state, HWY_LINK_CLOSING);
	for (uint32_t q = 0; q < HWY_MAX_QUEUES; q++)
		r->ports[x].end[HWY_GUEST].route_ack[q] = r->ports[x].route_seq;
	hwy_host_tick(h);
	assert_int_equal(link->state, HWY_LINK_READY);
	assert_int_equal(ring->cons, ring->prod);
	assert_int_equal(owned_by(r->me), 0);
	hwy_host_free(h);
}

/* X was killed between counting a gate and ringing the bell for it: the next X must be
 * able to use the link one day. */
static void
a_gate_that_nobody_was_told_of_does_not_block_the_next_sender(void **state)
{
	uint32_t x, y, p;
	struct hwy_ring *ring = link_up(&x, &y), *up = hwy_region_ring(r, r->ports[x].up[0]).ring;
	uint32_t bell;

	(void)state;
	bell = up->gate_bell;
	ring->gate_epoch++;
	hwy_port_detach(r, x, HWY_GUEST);
	assert_int_equal(hwy_port_attach(r, "x", HWY_GUEST, 0, &p, err), 0);
	assert_true(ring->pass_epoch == ring->gate_epoch || up->gate_bell != bell);
	hwy_host_free(h);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_end_makes_the_port),
		TEST(the_other_end_finds_it_by_name),
		TEST(queues_default_to_one_or_to_the_other_end),
		TEST(queues_that_contradict_the_other_end_are_refused),
		TEST(too_many_queues_are_refused),
		TEST(a_port_name_that_is_none_is_refused),
		TEST(a_full_domain_refuses_another_port),
		TEST(a_port_that_gets_no_rings_leaves_none_behind),
		TEST(the_port_goes_when_both_ends_went),
		TEST(a_port_is_reused_after_both_ends_went),
		TEST(the_host_side_is_free_again_only_after_the_last_port),
		TEST(what_waited_for_an_earlier_guest_is_dropped),
		TEST(what_an_earlier_switch_did_not_read_is_dropped),
		TEST(garbage_in_a_ring_does_not_keep_a_guest_from_attaching),
		TEST(dropping_a_long_inline_packet_frees_no_chunk),
		TEST(attaching_clears_counters_and_acknowledgements),
		TEST(counters_are_summed_over_queues),
		TEST(a_second_guest_of_a_port_is_told_who_holds_it),
		TEST(a_second_guest_in_the_same_process_is_refused_too),
		TEST(a_second_host_of_a_domain_is_told_who_serves_it),
		TEST(chunks_of_the_dead_come_back_and_those_on_their_way_arrive),
		TEST(the_census_counts_what_everybody_holds),
		TEST(links_outlive_the_switch),
		TEST(without_a_switch_a_ring_that_a_sender_may_use_is_not_freed),
		TEST(without_a_switch_a_ring_that_a_receiver_polls_is_not_freed),
		TEST(without_anybody_links_and_their_rings_are_freed),
		TEST(a_receiver_that_goes_leaves_no_chunk_in_its_links),
		TEST(what_a_sender_left_in_a_link_comes_before_what_its_next_life_sends),
		TEST(a_closing_link_whose_receiver_went_is_drained_by_the_host),
		TEST(a_gate_that_nobody_was_told_of_does_not_block_the_next_sender),
	};

	return cmocka_run_group_tests_name("port", tests, test_dir_make, test_dir_remove);
}
