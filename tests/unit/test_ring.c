/* SPDX-License-Identifier: BSD-3-Clause */
/* shm/ring.h: the two sides of a ring. */
#include "support.h"

#include <pthread.h>
#include <sched.h>

#define SIZE      64u
#define NEAR_WRAP (UINT32_MAX - 3)

struct box {
	struct hwy_ring ring;
	uint64_t desc[SIZE];
	uint8_t data[SIZE * HWY_SLOT];
};

static struct box box;
static struct hwy_ring_at at;
static struct hwy_producer p;
static struct hwy_consumer c;

static void
start_at(uint32_t index)
{
	memset(&box, 0, sizeof(box));
	box.ring.prod = box.ring.cons = index;
	at = (struct hwy_ring_at){&box.ring, box.desc, box.data, SIZE - 1};
	hwy_producer_init(&p, at);
	hwy_consumer_init(&c, at);
}

static void
put(uint64_t value)
{
	hwy_store(&at.desc[p.prod & at.mask], value);
	p.prod++;
}

static uint64_t
get(void)
{
	return hwy_load(&at.desc[c.cons++ & at.mask]);
}

static void
before_orders_indexes_across_the_wrap(void **state)
{
	(void)state;
	assert_true(hwy_before(UINT32_MAX, 0));
	assert_true(hwy_before(UINT32_MAX - 3, 5));
	assert_false(hwy_before(0, UINT32_MAX));
	assert_false(hwy_before(7, 7));
	assert_int_equal(hwy_earlier(UINT32_MAX, 2), UINT32_MAX);
	assert_int_equal(hwy_earlier(2, UINT32_MAX), UINT32_MAX);
	assert_int_equal(hwy_earlier(8, 9), 8);
}

static void
entries_come_out_in_order_while_the_indexes_wrap(void **state)
{
	uint64_t in = 0, out = 0;

	(void)state;
	start_at(NEAR_WRAP);
	for (uint32_t round = 0; round < 1000; round++) {
		uint32_t n = 1 + round % SIZE;

		assert_true(hwy_producer_room(&p, n) >= n);
		for (uint32_t i = 0; i < n; i++)
			put(in++);
		hwy_producer_publish(&p);
		assert_true(hwy_consumer_refresh(&c));
		assert_int_equal(c.prod_seen - c.cons, n);
		while (c.cons != c.prod_seen)
			assert_int_equal(get(), out++);
		hwy_consumer_publish(&c);
	}
	assert_int_equal(in, out);
}

static void
a_full_ring_takes_nothing(void **state)
{
	static const uint32_t starts[] = {0, 17, NEAR_WRAP, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		start_at(starts[i]);
		for (uint32_t n = 0; n < SIZE; n++) {
			assert_int_equal(hwy_producer_room(&p, 1), SIZE - n);
			put(n);
		}
		assert_int_equal(hwy_producer_room(&p, 1), 0);
		hwy_producer_publish(&p);
		assert_int_equal(hwy_producer_room(&p, 1), 0);
	}
}

static void
a_full_ring_can_be_read_to_its_end(void **state)
{
	(void)state;
	start_at(NEAR_WRAP);
	for (uint32_t n = 0; n < SIZE; n++)
		put(n);
	hwy_producer_publish(&p);
	assert_true(hwy_consumer_refresh(&c));
	assert_int_equal(c.prod_seen - c.cons, SIZE);
	for (uint32_t n = 0; n < SIZE; n++)
		assert_int_equal(get(), n);
}

static void
an_empty_ring_gives_nothing(void **state)
{
	(void)state;
	start_at(NEAR_WRAP);
	assert_true(hwy_consumer_refresh(&c));
	assert_int_equal(c.prod_seen, c.cons);
}

static void
nothing_is_seen_before_it_is_published(void **state)
{
	(void)state;
	start_at(0);
	put(1);
	assert_true(hwy_consumer_refresh(&c));
	assert_int_equal(c.prod_seen, c.cons);
	hwy_producer_publish(&p);
	assert_true(hwy_consumer_refresh(&c));
	assert_int_equal(c.prod_seen - c.cons, 1);
}

static void
slots_are_free_only_after_the_consumer_published(void **state)
{
	(void)state;
	start_at(NEAR_WRAP);
	for (uint32_t n = 0; n < SIZE; n++)
		put(n);
	hwy_producer_publish(&p);
	assert_true(hwy_consumer_refresh(&c));
	(void)get();
	assert_int_equal(hwy_producer_room(&p, 1), 0);
	hwy_consumer_publish(&c);
	assert_int_equal(hwy_producer_room(&p, 1), 1);
}

static void
room_asks_the_consumer_only_when_it_must(void **state)
{
	(void)state;
	start_at(0);
	for (uint32_t n = 0; n < 10; n++)
		put(n);
	hwy_producer_publish(&p);
	hwy_store(&box.ring.cons, 10);
	assert_int_equal(hwy_producer_room(&p, SIZE - 10), SIZE - 10);
	assert_int_equal(p.cons_seen, 0);
	assert_int_equal(hwy_producer_room(&p, SIZE - 9), SIZE);
	assert_int_equal(p.cons_seen, 10);
}

static void
a_consumer_index_that_makes_no_sense_reads_as_full(void **state)
{
	static const uint32_t lies[] = {1, SIZE, SIZE + 1, 0x80000000u, UINT32_MAX - SIZE};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		start_at(0);
		for (uint32_t n = 0; n < SIZE; n++)
			put(n);
		hwy_producer_publish(&p);
		/* Ahead of prod, or more than a ring behind it. */
		hwy_store(&box.ring.cons, p.prod + lies[i]);
		assert_int_equal(hwy_producer_room(&p, 1), 0);
		assert_int_equal(hwy_producer_room(&p, SIZE), 0);
		/* And it recovers when the other side does. */
		hwy_store(&box.ring.cons, p.prod);
		assert_int_equal(hwy_producer_room(&p, 1), SIZE);
	}
}

static void
a_producer_index_that_makes_no_sense_reads_as_empty(void **state)
{
	static const uint32_t lies[] = {SIZE + 1, 0x80000000u, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		start_at(NEAR_WRAP);
		hwy_store(&box.ring.prod, c.cons + lies[i]);
		assert_false(hwy_consumer_refresh(&c));
		assert_int_equal(c.prod_seen, c.cons);
		hwy_store(&box.ring.prod, c.cons + 1);
		assert_true(hwy_consumer_refresh(&c));
		assert_int_equal(c.prod_seen - c.cons, 1);
	}
}

static void
a_new_holder_goes_on_where_the_last_one_stopped(void **state)
{
	struct hwy_producer p2;
	struct hwy_consumer c2;

	(void)state;
	start_at(NEAR_WRAP);
	for (uint32_t n = 0; n < 10; n++)
		put(n);
	hwy_producer_publish(&p);
	put(99); /* never published: gone with its writer */
	assert_true(hwy_consumer_refresh(&c));
	for (uint32_t n = 0; n < 4; n++)
		(void)get();
	hwy_consumer_publish(&c);

	hwy_producer_init(&p2, at);
	hwy_consumer_init(&c2, at);
	assert_int_equal(p2.prod, NEAR_WRAP + 10);
	assert_int_equal(hwy_producer_room(&p2, SIZE), SIZE - 6);
	assert_true(hwy_consumer_refresh(&c2));
	assert_int_equal(c2.prod_seen - c2.cons, 6);
	assert_int_equal(hwy_load(&at.desc[c2.cons & at.mask]), 4);
}

static void
inline_bytes_of_two_slots_do_not_overlap(void **state)
{
	(void)state;
	start_at(NEAR_WRAP);
	for (uint32_t n = 0; n < SIZE; n++)
		memset(hwy_ring_slot(&at, NEAR_WRAP + n), (int)n, HWY_SLOT);
	for (uint32_t n = 0; n < SIZE; n++) {
		const uint8_t *bytes = hwy_ring_slot(&at, NEAR_WRAP + n);

		assert_true(bytes >= box.data && bytes + HWY_SLOT <= box.data + sizeof(box.data));
		assert_int_equal(bytes[0], n);
		assert_int_equal(bytes[HWY_SLOT - 1], n);
	}
}

static void
an_inline_packet_takes_a_slot_for_every_64_bytes(void **state)
{
	(void)state;
	assert_int_equal(hwy_inline_slots(0), 1);
	assert_int_equal(hwy_inline_slots(1), 1);
	assert_int_equal(hwy_inline_slots(HWY_SLOT), 1);
	assert_int_equal(hwy_inline_slots(HWY_SLOT + 1), 2);
	assert_int_equal(hwy_inline_slots(HWY_INLINE_MAX), HWY_INLINE_MAX / HWY_SLOT);
}

#define HAMMERED 300000u

static void *
produce(void *arg)
{
	uint64_t next = 0;

	(void)arg;
	while (next < HAMMERED) {
		uint32_t room = hwy_producer_room(&p, 8);

		if (room > 8)
			room = 8;
		for (uint32_t i = 0; i < room && next < HAMMERED; i++) {
			memcpy(hwy_ring_slot(&at, p.prod), &next, sizeof(next));
			put(next++);
		}
		hwy_producer_publish(&p);
		if (room == 0)
			sched_yield();
	}
	return NULL;
}

static void
two_threads_hand_over_everything_in_order(void **state)
{
	uint64_t expected = 0, wrong = 0;
	pthread_t thread;

	(void)state;
	start_at(UINT32_MAX - HAMMERED / 2);
	assert_int_equal(pthread_create(&thread, NULL, produce, NULL), 0);
	while (expected < HAMMERED) {
		bool sane = hwy_consumer_refresh(&c);

		wrong += !sane;
		if (c.prod_seen == c.cons)
			sched_yield();
		while (c.cons != c.prod_seen) {
			uint64_t bytes;

			memcpy(&bytes, hwy_ring_slot(&at, c.cons), sizeof(bytes));
			wrong += get() != expected || bytes != expected;
			expected++;
		}
		hwy_consumer_publish(&c);
	}
	pthread_join(thread, NULL);
	assert_int_equal(wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_orders_indexes_across_the_wrap),
		cmocka_unit_test(entries_come_out_in_order_while_the_indexes_wrap),
		cmocka_unit_test(a_full_ring_takes_nothing),
		cmocka_unit_test(a_full_ring_can_be_read_to_its_end),
		cmocka_unit_test(an_empty_ring_gives_nothing),
		cmocka_unit_test(nothing_is_seen_before_it_is_published),
		cmocka_unit_test(slots_are_free_only_after_the_consumer_published),
		cmocka_unit_test(room_asks_the_consumer_only_when_it_must),
		cmocka_unit_test(a_consumer_index_that_makes_no_sense_reads_as_full),
		cmocka_unit_test(a_producer_index_that_makes_no_sense_reads_as_empty),
		cmocka_unit_test(a_new_holder_goes_on_where_the_last_one_stopped),
		cmocka_unit_test(inline_bytes_of_two_slots_do_not_overlap),
		cmocka_unit_test(an_inline_packet_takes_a_slot_for_every_64_bytes),
		cmocka_unit_test(two_threads_hand_over_everything_in_order),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
