/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guests killed with -9 at any instruction: every chunk comes back, however often.
 * The parent is the switch: it takes what the guest sends, gives it chunks to receive,
 * and looks after the dead, as the driver does.
 */
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pool.h"
#include "port.h"

#define KILLS     1000
#define MOST_HELD 48u

static struct hwy_region *r;
static uint32_t port;
static struct hwy_pool pool;

static int
set_up(void **state)
{
	char err[HWY_ERR_SIZE] = "";

	(void)state;
	test_dir_clean();
	r = test_region();
	if (hwy_port_attach(r, "vnf", HWY_HOST, 1, &port, err) != 0)
		fail_msg("%s", err);
	hwy_store_release(&r->ports[port].end[HWY_HOST].state, HWY_END_STARTED);
	hwy_pool_init(&pool, r->owners, r->geo.chunk_count, (uint8_t)r->me, 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	hwy_region_close(r);
	return 0;
}

/*
 * Takes up to 'most' entries, becomes the owner of their chunks before the consumer's
 * index moves, and lets go of them after that: passes them on if 'to' has room, else
 * gives them back.  Returns how many.
 *
 * The order is what everything here rests on.  If the index moved later than that, the
 * sweep would free chunks that are in somebody else's hands by then.
 */
static uint32_t
receive(const struct hwy_region *by, struct hwy_consumer *c, uint32_t most, struct hwy_producer *to)
{
	uint32_t chunks[64], n = 0;

	(void)hwy_consumer_refresh(c);
	while (c->cons != c->prod_seen && n < most && n < 64) {
		uint64_t desc = hwy_load(&c->at.desc[c->cons++ & c->at.mask]);

		chunks[n] = HWY_DESC_CHUNK(desc);
		hwy_store(&by->owners[chunks[n++]], (uint8_t)by->me);
	}
	hwy_consumer_publish(c);
	for (uint32_t i = 0; i < n; i++) {
		if (to != NULL && hwy_producer_room(to, 1) > 0)
			hwy_store(&to->at.desc[to->prod++ & to->at.mask],
				  HWY_DESC(chunks[i], 0, 128, 100));
		else
			hwy_pool_give(by->owners, chunks[i]);
	}
	if (to != NULL)
		hwy_producer_publish(to);
	return n;
}

/* Sends up to 'most' fresh chunks. */
static uint32_t
transmit(struct hwy_pool *from, struct hwy_producer *p, uint32_t most)
{
	uint32_t room = hwy_producer_room(p, most), n = 0, chunk = 0;

	while (n < most && n < room && hwy_pool_take(from, &chunk)) {
		hwy_store(&p->at.desc[p->prod++ & p->at.mask], HWY_DESC(chunk, 0, 128, 100));
		n++;
	}
	hwy_producer_publish(p);
	return n;
}

static int
guest(struct test_child *child, void *arg)
{
	uint64_t seed = *(uint64_t *)arg ^ (uint64_t)getpid() << 32;
	struct hwy_region_config config = test_config();
	uint32_t held[MOST_HELD], n = 0, p;
	char message[HWY_ERR_SIZE] = "";
	struct hwy_region *mine;
	struct hwy_producer up;
	struct hwy_consumer down;
	struct hwy_pool my_pool;

	CHILD_CHECK(hwy_region_open(&config, &mine, message) == 0);
	CHILD_CHECK(hwy_port_attach(mine, "vnf", HWY_GUEST, 1, &p, message) == 0);
	hwy_pool_init(&my_pool, mine->owners, mine->geo.chunk_count, (uint8_t)mine->me, 0);
	hwy_producer_init(&up, hwy_region_ring(mine, mine->ports[p].up[0]));
	hwy_consumer_init(&down, hwy_region_ring(mine, mine->ports[p].down[0]));
	hwy_store_release(&mine->ports[p].end[HWY_GUEST].state, HWY_END_STARTED);
	test_tell(child);
	for (;;) {
		uint64_t dice = test_random(&seed);

		switch (dice % 4) {
		case 0:
			transmit(&my_pool, &up, (uint32_t)(dice >> 8) % 8);
			break;
		case 1:
			/* Half of them are passed on, as a forwarder does.  Some die of it. */
			if (receive(mine, &down, (uint32_t)(dice >> 8) % 8,
				    dice >> 16 & 1 ? &up : NULL) > 0 &&
			    (dice >> 20) % 64 == 0)
				raise(SIGKILL);
			break;
		case 2:
			if (n < MOST_HELD && hwy_pool_take(&my_pool, &held[n]))
				n++;
			break;
		default:
			if (n > 0)
				hwy_pool_give(mine->owners, held[--n]);
		}
	}
	return 0;
}

static void
every_chunk_is_accounted_for_after_a_thousand_kills(void **state)
{
	uint64_t seed = test_seed(), dropped = 0, waited = 0;
	struct hwy_chunk_census census;
	struct hwy_consumer up;
	struct hwy_producer down;
	uint32_t in = 0, out = 0;
	int swept;

	(void)state;
	hwy_consumer_init(&up, hwy_region_ring(r, r->ports[port].up[0]));
	hwy_producer_init(&down, hwy_region_ring(r, r->ports[port].down[0]));
	for (int i = 0; i < KILLS; i++) {
		struct test_child child;

		test_child_start(&child, guest, &seed);
		assert_true(test_wait(&child));
		/* Traffic both ways for a random while, and the end at any instruction. */
		for (uint64_t k = test_random(&seed) % 30; k > 0; k--) {
			in += receive(r, &up, 16, NULL);
			out += transmit(&pool, &down, (uint32_t)(test_random(&seed) % 16));
		}
		if (i % 4 == 0)
			nanosleep(
				&(struct timespec){.tv_nsec = (long)(test_random(&seed) % 500000)},
				NULL);
		kill(child.pid, SIGKILL);
		if (i % 2 == 0) /* send to the dying */
			out += transmit(&pool, &down, 4);
		assert_int_equal(test_child_end(&child), 256 + SIGKILL);
		swept = hwy_region_sweep(r, &waited);
		assert_int_equal(swept, 1);
		dropped += waited;
		(void)hwy_consumer_refresh(&up);
		for (uint32_t k = up.cons; k != up.prod_seen; k++) {
			uint64_t desc = hwy_load(&up.at.desc[k & up.at.mask]);

			if (r->owners[HWY_DESC_CHUNK(desc)] == 0)
				fail_msg("after %d kills: chunk %u is free, and on its way to us",
					 i + 1, HWY_DESC_CHUNK(desc));
		}
		in += receive(r, &up, 64, NULL);
		hwy_pool_drain(&pool);
		hwy_region_census(r, &census);
		if (census.free + census.in_rings != r->geo.chunk_count)
			fail_msg("after %d kills: %u free, %u in rings, of %u", i + 1, census.free,
				 census.in_rings, r->geo.chunk_count);
	}
	print_message("%u chunks received, %u sent, %llu waited for the dead, %u reclaimed\n", in,
		      out, (unsigned long long)dropped, r->hdr->reclaimed);
	assert_true(in > 0 && out > 0 && dropped > 0 && r->hdr->reclaimed > 0);
	assert_int_equal(r->hdr->sweeps, KILLS);
	while (receive(r, &up, 64, NULL) > 0)
		;
	hwy_region_census(r, &census);
	assert_int_equal(census.in_rings, 0);
	assert_int_equal(census.free, r->geo.chunk_count);
	for (uint32_t c = 1; c < HWY_MAX_CLIENTS; c++)
		assert_int_equal(r->clients[c].state, c == r->me);
}

/* Killed in open and attach too. */
static void
every_slot_comes_back_from_guests_killed_while_they_start(void **state)
{
	uint64_t seed = test_seed();
	struct hwy_chunk_census census;

	(void)state;
	for (int i = 0; i < 200; i++) {
		struct test_child child;

		test_child_start(&child, guest, &seed);
		nanosleep(&(struct timespec){.tv_nsec = (long)(test_random(&seed) % 1500000)},
			  NULL);
		kill(child.pid, SIGKILL);
		assert_int_equal(test_child_end(&child), 256 + SIGKILL);
		assert_true(hwy_region_sweep(r, NULL) >= 0);
	}
	for (uint32_t c = 1; c < HWY_MAX_CLIENTS; c++)
		assert_int_equal(r->clients[c].state, c == r->me);
	assert_int_equal(r->ports[port].end[HWY_GUEST].client, 0);
	hwy_region_census(r, &census);
	assert_int_equal(census.free + census.in_rings, r->geo.chunk_count);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_chunk_is_accounted_for_after_a_thousand_kills),
		TEST(every_slot_comes_back_from_guests_killed_while_they_start),
	};

	return cmocka_run_group_tests_name("kill", tests, test_dir_make, test_dir_remove);
}
