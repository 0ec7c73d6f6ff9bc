/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The chunk pool of a region is its array of owner bytes: 0 means free, anything else
 * is the client that holds the chunk.  Taking a chunk and saying who took it is one
 * compare-and-swap, giving it back is one byte store, so a client may be killed at any
 * instruction and what it held can still be told (hwy_region_sweep()).
 *
 * Eight owner bytes are taken at a time.  A taker always begins to look at a home of
 * its own, so it takes first what came back last: chunks are used again while they are
 * still in the processor's cache.
 */
#ifndef HIGHWAY_SHM_POOL_H
#define HIGHWAY_SHM_POOL_H

#include "ring.h"

#define HWY_POOL_CACHE 128 /* chunks a taker keeps ready */

struct hwy_pool {
	uint8_t *owners;
	uint32_t words; /* chunk_count / 8 */
	uint32_t home;  /* in words */
	uint32_t free;  /* chunks in cache[] */
	uint8_t me;     /* client slot */
	uint32_t cache[HWY_POOL_CACHE];
};

void hwy_pool_init(struct hwy_pool *pool, uint8_t *owners, uint32_t count, uint8_t client,
		   uint32_t seed);

/* Fills the cache.  Returns the number of chunks in it, 0 if the region has none. */
uint32_t hwy_pool_refill(struct hwy_pool *pool);

/* Gives the cached chunks back. */
void hwy_pool_drain(struct hwy_pool *pool);

/* Takes one chunk.  Returns false if there is none. */
static inline bool
hwy_pool_take(struct hwy_pool *pool, uint32_t *chunk)
{
	if (__builtin_expect(pool->free == 0, 0) && hwy_pool_refill(pool) == 0)
		return false;
	*chunk = pool->cache[--pool->free];
	return true;
}

/* Gives a chunk back to the region; any thread of the holder may do so. */
static inline void
hwy_pool_give(uint8_t *owners, uint32_t chunk)
{
	hwy_store_release(&owners[chunk], 0);
}

#endif /* HIGHWAY_SHM_POOL_H */
