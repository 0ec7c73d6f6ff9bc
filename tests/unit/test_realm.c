/* SPDX-License-Identifier: BSD-3-Clause */
/* shm/realm.c: clients in virtual machines, whose locks are not seen. */
#include "support.h"

#include <errno.h>

#include "pool.h"
#include "port.h"
#include "realm.h"

static char err[HWY_ERR_SIZE];
static struct hwy_region *here;
static uint32_t port;

static int
set_up(void **state)
{
	(void)state;
	test_dir_clean();
	err[0] = 0;
	here = test_region();
	assert_int_equal(hwy_port_attach(here, "p", HWY_HOST, 1, &port, err), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	hwy_region_close(here);
	return 0;
}

/* The region as a virtual machine has it.  There its locks are seen, here they are not. */
static struct hwy_region *
guest(void)
{
	struct hwy_region *there;

	if (hwy_region_open_device(test_path("unit"), &there, err) != 0)
		fail_msg("%s", err);
	hwy_lock_drop(there->fd, HWY_LOCK_CLIENT(there->me));
	return there;
}

static struct hwy_region *
guest_with_port(void)
{
	struct hwy_region *there = guest();
	uint32_t got = UINT32_MAX;

	if (hwy_port_attach(there, "p", HWY_GUEST, 0, &got, err) != 0)
		fail_msg("%s", err);
	assert_int_equal(got, port);
	hwy_lock_drop(there->fd, HWY_LOCK_END(port, HWY_GUEST));
	return there;
}

static struct hwy_end *
guest_end(void)
{
	return &here->ports[port].end[HWY_GUEST];
}

static void
a_guest_takes_a_port_that_is_there_and_leaves_it_to_be_cleaned_up(void **state)
{
	struct hwy_region *there = guest_with_port();
	uint32_t got;

	(void)state;
	assert_int_not_equal(there->realm, 0);
	assert_int_equal(guest_end()->client, there->me);
	assert_int_equal(guest_end()->state, HWY_END_STOPPED);
	assert_int_equal(hwy_port_attach(there, "q", HWY_GUEST, 0, &got, err), -ENOENT);
	assert_contains(err, "port=q");
	hwy_port_detach(there, port, HWY_GUEST);
	assert_int_equal(guest_end()->state, HWY_END_LEFT);
	assert_int_equal(hwy_region_sweep(here, NULL), 0);
	assert_int_equal(guest_end()->state, HWY_END_DETACHED);
	assert_int_equal(guest_end()->client, 0);
	hwy_region_close(there);
	assert_int_equal(hwy_region_sweep(here, NULL), 1);
}

static void
a_process_does_not_take_the_port_of_a_guest(void **state)
{
	struct hwy_region *there = guest_with_port();
	uint32_t got;

	(void)state;
	assert_int_equal(hwy_port_attach(here, "p", HWY_GUEST, 0, &got, err), -EBUSY);
	assert_contains(err, "of a virtual machine");
	assert_int_equal(guest_end()->client, there->me);
	hwy_region_close(there);
}

static void
what_is_said_counts_for_one_life_only(void **state)
{
	struct hwy_region *there = guest_with_port();
	struct hwy_pool pool;
	uint32_t chunk = 0;

	(void)state;
	hwy_pool_init(&pool, here->owners, here->geo.chunk_count, (uint8_t)there->me, 0);
	assert_true(hwy_pool_take(&pool, &chunk));
	hwy_client_say(here, there->me, there->life - 1, HWY_SAID_GONE);
	assert_int_equal(hwy_region_sweep(here, NULL), 0);
	assert_true(hwy_realm_beat(there));
	hwy_client_say(here, there->me, there->life, HWY_SAID_GONE);
	assert_int_equal(hwy_region_sweep(here, NULL), 1);
	assert_int_equal(guest_end()->client, 0);
	assert_int_equal(here->owners[chunk], 0);
	assert_false(hwy_realm_beat(there));
	hwy_region_close(there);
}

static void
a_guest_without_a_beat_is_dead_unless_it_is_paused(void **state)
{
	struct hwy_region *there = guest_with_port();
	struct hwy_watch *watch = &here->watch[there->me];

	(void)state;
	assert_int_equal(hwy_region_sweep(here, NULL), 0); /* seen for the first time */
	watch->since_ms -= HWY_BEAT_LAPSE_MS + 1000;
	assert_true(hwy_realm_beat(there));
	assert_int_equal(hwy_region_sweep(here, NULL), 0); /* it has beaten */
	hwy_client_say(here, there->me, there->life, HWY_SAID_PAUSED);
	watch->since_ms -= HWY_BEAT_LAPSE_MS + 1000;
	assert_int_equal(hwy_region_sweep(here, NULL), 0);
	hwy_client_say(here, there->me, there->life, HWY_SAID_NOTHING);
	watch->since_ms -= HWY_BEAT_LAPSE_MS + 1000;
	assert_int_equal(hwy_region_sweep(here, NULL), 1);
	assert_false(hwy_realm_beat(there));
	hwy_region_close(there);
}

static void
a_successor_in_the_slot_of_a_client_taken_for_dead_is_left_alone(void **state)
{
	struct hwy_region *there = guest_with_port(), *next;
	uint32_t slot = there->me;

	(void)state;
	hwy_client_say(here, slot, there->life, HWY_SAID_GONE);
	assert_int_equal(hwy_region_sweep(here, NULL), 1);
	next = guest_with_port();
	assert_int_not_equal(next->me, slot); /* slots are used again as late as can be */
	hwy_port_detach(there, port, HWY_GUEST);
	hwy_region_close(there);
	assert_int_equal(hwy_region_sweep(here, NULL), 0);
	assert_int_equal(guest_end()->client, next->me);
	assert_true(hwy_realm_beat(next));
	hwy_region_close(next);
}

/* All slots but one have had more lives than it. */
static void
only_slot_left(uint32_t slot)
{
	for (uint32_t c = 1; c < HWY_MAX_CLIENTS; c++) {
		if (c != slot && here->clients[c].state == HWY_CLIENT_FREE)
			here->clients[c].life = UINT32_MAX - 1;
	}
}

static void
a_client_that_was_paused_too_long_knows_it_and_touches_nothing(void **state)
{
	(void)state;
	for (int same_slot = 0; same_slot < 2; same_slot++) {
		struct hwy_region *there = guest_with_port(), *next;
		uint32_t slot = there->me;

		assert_true(hwy_realm_holds(there, port));
		assert_int_equal(hwy_region_sweep(here, NULL), 0);
		here->watch[slot].since_ms -= HWY_BEAT_LAPSE_MS + 1000;
		assert_int_equal(hwy_region_sweep(here, NULL), 1);
		assert_false(hwy_realm_holds(there, port)); /* before another has it, */
		if (same_slot)
			only_slot_left(slot);
		next = guest_with_port();
		assert_int_equal(next->me == slot, same_slot);
		assert_false(hwy_realm_holds(there, port)); /* and when */
		assert_true(hwy_realm_holds(next, port));
		assert_false(hwy_realm_beat(there));
		/* It ends in good order, which must not end the other one. */
		hwy_port_detach(there, port, HWY_GUEST);
		hwy_region_close(there);
		assert_int_equal(guest_end()->state, HWY_END_STOPPED);
		assert_int_equal(hwy_region_sweep(here, NULL), 0);
		assert_true(hwy_realm_holds(next, port));
		assert_true(hwy_realm_beat(next));
		hwy_port_detach(next, port, HWY_GUEST);
		hwy_region_close(next);
		assert_int_equal(hwy_region_sweep(here, NULL), 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_guest_takes_a_port_that_is_there_and_leaves_it_to_be_cleaned_up),
		TEST(a_process_does_not_take_the_port_of_a_guest),
		TEST(what_is_said_counts_for_one_life_only),
		TEST(a_guest_without_a_beat_is_dead_unless_it_is_paused),
		TEST(a_client_that_was_paused_too_long_knows_it_and_touches_nothing),
		TEST(a_successor_in_the_slot_of_a_client_taken_for_dead_is_left_alone),
	};

	return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
