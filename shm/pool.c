/* SPDX-License-Identifier: BSD-3-Clause */
#include "pool.h"

#include <string.h>

void
hwy_pool_init(struct hwy_pool *pool, uint8_t *owners, uint32_t count, uint8_t client, uint32_t seed)
{
	memset(pool, 0, sizeof(*pool));
	pool->owners = owners;
	pool->words = count / 8;
	pool->me = client;
	/* Spread the takers: a multiplicative hash (Knuth, TAOCP 3, 6.4). */
	pool->home = (uint32_t)((uint64_t)((client * 8 + seed) * 2654435761u) * pool->words >> 32);
}

/* Takes the free bytes among eight.  Returns how many were taken. */
static uint32_t
take_word(struct hwy_pool *pool, uint32_t word)
{
	uint64_t *at = (uint64_t *)(void *)(pool->owners + (size_t)word * 8);
	uint64_t old = hwy_load(at), new = old;
	uint32_t taken = 0;

	for (uint32_t i = 0; i < 8; i++) {
		if ((old >> (8 * i) & 0xff) == 0) {
			new |= (uint64_t)pool->me << (8 * i);
			pool->cache[pool->free + taken++] = word * 8 + i;
		}
	}
	/* Acquire: pairs with hwy_pool_give(), whoever gave is done with the chunk. */
	if (taken == 0 ||
	    !__atomic_compare_exchange_n(at, &old, new, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return 0;
	return taken;
}

uint32_t
hwy_pool_refill(struct hwy_pool *pool)
{
	uint32_t want = HWY_POOL_CACHE / 2, word = pool->home;

	for (uint32_t looked = 0; looked < pool->words && pool->free < want; looked++) {
		pool->free += take_word(pool, word);
		if (++word == pool->words)
			word = 0;
	}
	return pool->free;
}

void
hwy_pool_drain(struct hwy_pool *pool)
{
	while (pool->free > 0)
		hwy_pool_give(pool->owners, pool->cache[--pool->free]);
}
