/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a peer finds in the memory that it shares with a sender: packets, and nothing of what
 * else the sender's buffers hold.
 *
 *   test_bare         the tests
 *   test_bare cost    what that costs a sender, in cycles a packet
 */
#include "rig.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <unistd.h>

#include "mbuf.h"

#define SECRET  0xee
#define FILL    0x11
#define LARGEST 400
#define WAIT_MS 20000

static struct rig rig;

static int
set_up(void **state)
{
	(void)state;
	rig_up(&rig);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	rig_down(&rig);
	return 0;
}

static void
spoil(struct rte_mempool *pool, void *arg, void *object, unsigned int index)
{
	const struct rte_mbuf *m = object;

	(void)pool;
	(void)arg;
	(void)index;
	memset(m->buf_addr, SECRET, m->buf_len);
}

/* In the slots of a ring, or in a chunk? */
static bool
holds_secret(const struct hwy_region *region)
{
	for (uint32_t i = 0; i < region->geo.ring_count; i++) {
		if (memchr(hwy_region_ring(region, i).data, SECRET,
			   (size_t)region->geo.ring_size * HWY_SLOT) != NULL)
			return true;
	}
	return memchr(region->chunks, SECRET,
		      (size_t)region->geo.chunk_count * region->geo.chunk_stride) != NULL;
}

/* A frame in two mbufs, of which the first holds 'first' bytes. */
static struct rte_mbuf *
split(uint32_t size, uint32_t first)
{
	struct rte_mbuf *m = rig_frame(first, FILL), *rest = rte_pktmbuf_alloc(rig_pool);

	assert_non_null(rest);
	memset(rte_pktmbuf_append(rest, (uint16_t)(size - first)), FILL, size - first);
	assert_int_equal(rte_pktmbuf_chain(m, rest), 0);
	return m;
}

/* x sends 'm', and it arrives at y as it was. */
static void
pass(struct rte_mbuf *m)
{
	uint64_t until = hwy_monotonic_ms() + WAIT_MS;
	uint32_t size = m->pkt_len;
	struct rte_mbuf *got = NULL;
	const uint8_t *data;

	assert_int_equal(rte_eth_tx_burst(rig.guest[RIG_X], 0, &m, 1), 1);
	while (rte_eth_rx_burst(rig.guest[RIG_Y], 0, &got, 1) == 0 && hwy_monotonic_ms() < until)
		(void)rig_switch(&rig);
	assert_non_null(got);
	assert_int_equal(got->pkt_len, size);
	data = rte_pktmbuf_mtod(got, const uint8_t *);
	for (uint32_t i = RTE_ETHER_HDR_LEN; i < size; i++)
		assert_int_equal(data[i], FILL);
	memset(got->buf_addr, SECRET, got->buf_len);
	rte_pktmbuf_free(got);
}

static void
pass_all_sizes(void)
{
	rte_mempool_obj_iter(rig_pool, spoil, NULL);
	for (uint32_t size = RTE_ETHER_HDR_LEN; size <= LARGEST; size++)
		pass(rig_frame(size, FILL));
	for (uint32_t size = 60; size <= LARGEST; size += 7)
		pass(split(size, size / 2));
}

/* More packets of one size than the ring has entries, written past the caches or not; how many? */
static uint32_t
pass_laps(struct hwy_producer *out)
{
	static const uint32_t sizes[] = {HWY_SLOT, 33, RTE_ETHER_HDR_LEN};
	uint32_t n = 0, lap = out->at.mask + 1;

	rte_mempool_obj_iter(rig_pool, spoil, NULL);
	for (size_t s = 0; s < RTE_DIM(sizes); s++) {
		for (uint32_t i = 0; i < 2 * lap; i++, n++) {
			out->past = i >= lap + lap / 2;
			pass(rig_frame(sizes[s], FILL));
			assert_int_equal(out->alike, RTE_MIN(i + 1, lap));
		}
	}
	return n;
}

static void
a_link_region_holds_packets_and_zeros(void **state)
{
	struct hwy_dev *x = rig_guest(&rig, RIG_X);
	uint64_t before;
	uint32_t laps;

	(void)state;
	rig_want(&rig, 0, 1);
	rig_reach(&rig, 0, HWY_FAR_USABLE, WAIT_MS);
	rig_reach_route(&rig, RIG_X);
	pass(rig_frame(60, FILL));
	before = x->end->tx[0].bypass_packets;
	pass_all_sizes();
	assert_int_equal(x->end->tx[0].bypass_packets - before,
			 LARGEST - RTE_ETHER_HDR_LEN + 1 + (LARGEST - 60) / 7 + 1);
	before = x->end->tx[0].bypass_packets;
	laps = pass_laps(&x->txq[0]->paths[0].out);
	assert_int_equal(x->end->tx[0].bypass_packets - before, laps);
	assert_false(holds_secret(rig_mapping(&rig, RIG_Y)->region));
}

static void
what_the_switch_sends_is_packets_and_zeros(void **state)
{
	(void)state;
	pass_all_sizes();
	/* The switch may see all of x's memory, y only what was sent to it. */
	assert_true(holds_secret(rig_guest(&rig, RIG_X)->region));
	(void)pass_laps(&rig_host(&rig, RIG_Y)->txq[0]->out);
	assert_false(holds_secret(rig_guest(&rig, RIG_Y)->region));
}

/* --- what it costs ------------------------------------------------------------------- */

#define ROUNDS 20000
#define RUNS   15

static int
compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return left < right ? -1 : left > right;
}

static __rte_noinline uint16_t
put(struct hwy_tx_queue *q, struct rte_mbuf **pkts, bool bare)
{
	struct hwy_packets_bytes sent = {0, 0};
	struct hwy_free_list list = {.pool = pkts[0]->pool};
	uint16_t n = bare ? hwy_put_burst(q, &q->out, pkts, RIG_BURST, &sent, &list, true)
			  : hwy_put_burst(q, &q->out, pkts, RIG_BURST, &sent, &list, false);

	hwy_free_flush(&list);
	return n;
}

/* Cycles a packet of one run, the receiver taking no time. */
static double
one_run(struct hwy_tx_queue *q, uint32_t size, bool bare)
{
	static uint64_t took[ROUNDS];
	struct rte_mbuf *pkts[RIG_BURST];

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start;

		for (int i = 0; i < RIG_BURST; i++)
			pkts[i] = rig_frame(size, FILL);
		q->out.cons_seen = q->out.prod;
		start = rte_rdtsc_precise();
		(void)put(q, pkts, bare);
		took[round] = rte_rdtsc_precise() - start;
	}
	for (int i = 1; i < ROUNDS; i++) /* the minimum: another thread does not count */
		took[0] = RTE_MIN(took[0], took[i]);
	return (double)took[0] / RIG_BURST;
}

static int
cost(void)
{
	static const uint32_t sizes[] = {60, 64, 100, 128};
	struct hwy_tx_queue *q;

	if (rig_start(NULL) < 0)
		return 1;
	rig_up(&rig);
	q = rig_guest(&rig, RIG_X)->txq[0];
	printf("bytes   cycles a packet            bare / whole slots\n"
	       "        whole slots      bare      median  lowest highest of %d runs\n",
	       RUNS);
	for (size_t s = 0; s < RTE_DIM(sizes); s++) {
		double whole[RUNS], bare[RUNS], ratio[RUNS];

		for (int run = 0; run < RUNS; run++) {
			whole[run] = one_run(q, sizes[s], false);
			bare[run] = one_run(q, sizes[s], true);
			ratio[run] = bare[run] / whole[run];
		}
		qsort(whole, RUNS, sizeof(double), compare);
		qsort(bare, RUNS, sizeof(double), compare);
		qsort(ratio, RUNS, sizeof(double), compare);
		printf("%5u   %11.1f %9.1f   %9.3f %7.3f %7.3f\n", sizes[s], whole[RUNS / 2],
		       bare[RUNS / 2], ratio[RUNS / 2], ratio[0], ratio[RUNS - 1]);
	}
	fflush(stdout);
	rig_down(&rig);
	return rig_end(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_link_region_holds_packets_and_zeros),
		TEST(what_the_switch_sends_is_packets_and_zeros),
	};

	if (argc > 1 && strcmp(argv[1], "cost") == 0)
		return cost();
	return cmocka_run_group_tests(tests, rig_start, rig_end);
}
