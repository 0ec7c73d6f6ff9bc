/* SPDX-License-Identifier: BSD-3-Clause */
/* shm/pool.c: taking chunks and giving them back. */
#include "support.h"

#include <pthread.h>

#include "pool.h"

#define COUNT 8192u

static _Alignas(64) uint8_t owners[COUNT];
static struct hwy_pool pool;

static int
set_up(void **state)
{
	(void)state;
	memset(owners, 0, sizeof(owners));
	hwy_pool_init(&pool, owners, COUNT, 7, 0);
	return 0;
}

static uint32_t
owned_by(uint8_t client)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < COUNT; i++)
		n += owners[i] == client;
	return n;
}

static void
every_chunk_is_given_out_exactly_once(void **state)
{
	static uint8_t seen[COUNT];
	uint32_t chunk, n = 0;

	(void)state;
	memset(seen, 0, sizeof(seen));
	while (hwy_pool_take(&pool, &chunk)) {
		assert_true(chunk < COUNT);
		assert_int_equal(seen[chunk]++, 0);
		n++;
	}
	assert_int_equal(n, COUNT);
	assert_int_equal(owned_by(7), COUNT);
}

static void
an_exhausted_pool_gives_nothing(void **state)
{
	uint32_t chunk;

	(void)state;
	memset(owners, 1, sizeof(owners));
	assert_false(hwy_pool_take(&pool, &chunk));
	assert_int_equal(hwy_pool_refill(&pool), 0);
	assert_int_equal(owned_by(1), COUNT);
}

static void
refill_at_exhaustion_finds_the_last_free_chunk(void **state)
{
	static const uint32_t places[] = {0, 1, 7, 8, COUNT / 2, COUNT - 1};
	uint32_t chunk;

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		memset(owners, 1, sizeof(owners));
		owners[places[i]] = 0;
		assert_true(hwy_pool_take(&pool, &chunk));
		assert_int_equal(chunk, places[i]);
		assert_false(hwy_pool_take(&pool, &chunk));
	}
}

static void
a_chunk_given_back_can_be_taken_again(void **state)
{
	uint32_t chunk = 0, last = 0;

	(void)state;
	while (hwy_pool_take(&pool, &chunk))
		last = chunk;
	hwy_pool_give(owners, last);
	assert_int_equal(owners[last], 0);
	assert_true(hwy_pool_take(&pool, &chunk));
	assert_int_equal(chunk, last);
	assert_false(hwy_pool_take(&pool, &chunk));
}

static void
the_owner_byte_names_the_taker(void **state)
{
	struct hwy_pool other;
	uint32_t mine = 0, its = 0;

	(void)state;
	hwy_pool_init(&other, owners, COUNT, 254, 3);
	assert_true(hwy_pool_take(&pool, &mine));
	assert_true(hwy_pool_take(&other, &its));
	assert_int_equal(owners[mine], 7);
	assert_int_equal(owners[its], 254);
}

static void
a_refill_leaves_the_chunks_of_others_alone(void **state)
{
	uint32_t chunk;

	(void)state;
	for (uint32_t i = 0; i < COUNT; i += 3)
		owners[i] = 9;
	while (hwy_pool_take(&pool, &chunk))
		assert_true(chunk % 3 != 0);
	assert_int_equal(owned_by(9), (COUNT + 2) / 3);
	assert_int_equal(owned_by(7), COUNT - (COUNT + 2) / 3);
}

static void
the_cache_never_overflows(void **state)
{
	uint32_t chunk;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		assert_true(hwy_pool_refill(&pool) <= HWY_POOL_CACHE);
		if (hwy_pool_take(&pool, &chunk))
			hwy_pool_give(owners, chunk);
	}
}

static void
drain_gives_back_what_is_cached_and_nothing_else(void **state)
{
	uint32_t chunk[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(hwy_pool_take(&pool, &chunk[i]));
	assert_true(pool.free > 0);
	hwy_pool_drain(&pool);
	assert_int_equal(pool.free, 0);
	assert_int_equal(owned_by(7), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(owners[chunk[i]], 7);
}

static void
chunks_that_came_back_are_used_again_before_others(void **state)
{
	uint32_t flight[64], chunk = 0, used = 0;
	static uint8_t seen[COUNT];

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (uint32_t i = 0; i < 64; i++)
		assert_true(hwy_pool_take(&pool, &flight[i]));
	for (uint32_t i = 0; i < 100000; i++) {
		hwy_pool_give(owners, flight[i % 64]);
		assert_true(hwy_pool_take(&pool, &chunk));
		flight[i % 64] = chunk;
		used += seen[chunk] == 0;
		seen[chunk] = 1;
	}
	/* No more than are on the way, cached, and looked at a word at a time. */
	assert_true(used <= 64 + 2 * HWY_POOL_CACHE);
}

static void
a_small_pool_is_used_up_too(void **state)
{
	uint32_t chunk, n = 0;

	(void)state;
	hwy_pool_init(&pool, owners, 64, 200, 5);
	while (hwy_pool_take(&pool, &chunk)) {
		assert_true(chunk < 64);
		n++;
	}
	assert_int_equal(n, 64);
	assert_int_equal(owned_by(200), 64);
}

static void
takers_start_in_different_places(void **state)
{
	uint32_t homes[32], same = 0;

	(void)state;
	for (uint32_t i = 0; i < 32; i++) {
		hwy_pool_init(&pool, owners, COUNT, (uint8_t)(1 + i / 8), i % 8);
		assert_true(pool.home < pool.words);
		homes[i] = pool.home;
		for (uint32_t k = 0; k < i; k++)
			same += homes[k] == homes[i];
	}
	assert_true(same < 4);
}

/* --- two threads --------------------------------------------------------------- */

static uint8_t held[COUNT];
static uint32_t clashes;

struct taker {
	pthread_t thread;
	uint8_t client;
	uint32_t count; /* size of the pool that they fight for */
	uint64_t seed;
	uint64_t taken;
};

static void *
take_and_give(void *arg)
{
	struct taker *t = arg;
	struct hwy_pool mine;
	uint32_t flight[256], n = 0;

	hwy_pool_init(&mine, owners, t->count, t->client, 0);
	for (uint32_t i = 0; i < 300000; i++) {
		uint64_t dice = test_random(&t->seed);

		if (n < 256 && (dice & 1)) {
			uint32_t chunk = 0;

			if (!hwy_pool_take(&mine, &chunk))
				continue;
			t->taken++;
			if (__atomic_exchange_n(&held[chunk], t->client, __ATOMIC_RELAXED) != 0 ||
			    hwy_load(&owners[chunk]) != t->client)
				__atomic_fetch_add(&clashes, 1, __ATOMIC_RELAXED);
			flight[n++] = chunk;
		} else if (n > 0) {
			uint32_t at = (uint32_t)(dice >> 8) % n, chunk = flight[at];

			flight[at] = flight[--n];
			hwy_store(&held[chunk], 0);
			hwy_pool_give(owners, chunk);
		}
	}
	while (n > 0) {
		hwy_store(&held[flight[--n]], 0);
		hwy_pool_give(owners, flight[n]);
	}
	hwy_pool_drain(&mine);
	return NULL;
}

static void
two_takers_never_hold_the_same_chunk(void **state)
{
	uint64_t seed = test_seed();
	struct taker takers[2] = {
		{.client = 1, .count = 256, .seed = seed},
		{.client = 2, .count = 256, .seed = seed * 3 | 1},
	};

	(void)state;
	memset(held, 0, sizeof(held));
	clashes = 0;
	for (int i = 0; i < 2; i++)
		pthread_create(&takers[i].thread, NULL, take_and_give, &takers[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(takers[i].thread, NULL);
	assert_int_equal(clashes, 0);
	assert_true(takers[0].taken > 1000 && takers[1].taken > 1000);
	assert_int_equal(owned_by(0), COUNT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_chunk_is_given_out_exactly_once, set_up),
		cmocka_unit_test_setup(an_exhausted_pool_gives_nothing, set_up),
		cmocka_unit_test_setup(refill_at_exhaustion_finds_the_last_free_chunk, set_up),
		cmocka_unit_test_setup(a_chunk_given_back_can_be_taken_again, set_up),
		cmocka_unit_test_setup(the_owner_byte_names_the_taker, set_up),
		cmocka_unit_test_setup(a_refill_leaves_the_chunks_of_others_alone, set_up),
		cmocka_unit_test_setup(the_cache_never_overflows, set_up),
		cmocka_unit_test_setup(drain_gives_back_what_is_cached_and_nothing_else, set_up),
		cmocka_unit_test_setup(chunks_that_came_back_are_used_again_before_others, set_up),
		cmocka_unit_test_setup(a_small_pool_is_used_up_too, set_up),
		cmocka_unit_test_setup(takers_start_in_different_places, set_up),
		cmocka_unit_test_setup(two_takers_never_hold_the_same_chunk, set_up),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
