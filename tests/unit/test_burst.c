/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bursts as applications send them: sizes and classes mixed, mbufs of two pools, clones and chains
 * among them, laps of one size, rings that run full and wrap around, written past the caches or
 * not.  Everything that was taken arrives as it was, in
 * the order of its class, and each flow counts exactly its own.
 */
#include "rig.h"

#include <rte_bus_vdev.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <stdio.h>
#include <stdlib.h>

#define RING      128
#define MAX_BURST 64
#define LARGEST   1522 /* with two VLAN tags */
#define BURSTS    20000
#define WAIT_MS   20000

enum kind { IPV4, FIRST, SECOND, BY_SWITCH, KINDS };

/* What a packet says of itself, behind the headers that make its class. */
struct label {
	uint32_t kind, number, size;
} __attribute__((packed));
#define LABEL_AT 34

static uint16_t host[2], guest[2]; /* x and y */
static struct rte_flow *flows[BY_SWITCH];
static struct rte_mempool *other_pool;
static uint64_t seed;
static uint32_t even; /* bursts of one size that are still to come, */
static uint32_t even_size;

/* What was taken, and what has arrived. */
static uint32_t sent[KINDS], arrived[KINDS];
static uint64_t sent_bytes[KINDS];

static uint32_t
dice(uint32_t sides)
{
	return (uint32_t)(test_random(&seed) % sides);
}

static uint16_t
type_of(enum kind kind)
{
	static const uint16_t types[KINDS] = {RTE_ETHER_TYPE_IPV4, 0x9000, 0x9001, 0x9002};

	return types[kind];
}

static uint16_t
make_port(const char *port, const char *role)
{
	static unsigned int serial;
	struct rte_eth_conf conf = {0};
	char name[64], args[512];
	uint16_t id = 0;

	snprintf(name, sizeof(name), "net_highway_b%u", serial++);
	snprintf(args, sizeof(args), "domain=burst,port=%s,role=%s,dir=%s,size=8M,ring=%d", port,
		 role, test_dir(), RING);
	assert_int_equal(rte_vdev_init(name, args), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name(name, &id), 0);
	assert_int_equal(rte_eth_dev_configure(id, 1, 1, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(id, 0, RING, SOCKET_ID_ANY, NULL, rig_pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(id, 0, RING, SOCKET_ID_ANY, NULL), 0);
	assert_int_equal(rte_eth_dev_start(id), 0);
	return id;
}

static int
set_up(void **state)
{
	if (rig_start(state) < 0)
		return -1;
	other_pool = rte_pktmbuf_pool_create("other", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					     SOCKET_ID_ANY);
	for (int n = 0; n < 2; n++)
		host[n] = make_port(n == 0 ? "x" : "y", "host");
	for (int n = 0; n < 2; n++)
		guest[n] = make_port(n == 0 ? "x" : "y", "guest");
	for (int kind = 0; kind < BY_SWITCH; kind++)
		flows[kind] = rig_offer(host[0], host[1], type_of((enum kind)kind));
	return other_pool == NULL ? -1 : 0;
}

/* Byte 'i' of packet 'number' of a class, where nothing else is. */
static uint8_t
filling(const struct label *label, uint32_t i)
{
	return (uint8_t)(label->number * 31 + label->kind * 7 + i);
}

/* A packet, maybe in several mbufs, of one pool or the other, or one that somebody else has too. */
static struct rte_mbuf *
make(enum kind kind, uint32_t number, uint32_t size, struct rte_mbuf **held)
{
	struct rte_mempool *pool = even == 0 && dice(8) == 0 ? other_pool : rig_pool;
	struct label label = {kind, number, size};
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint32_t first = dice(16) == 0 && size > 100 ? 60 + dice(size - 90) : size;
	uint8_t *p;

	assert_non_null(m);
	p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)first);
	for (uint32_t i = 0; i < first; i++)
		p[i] = filling(&label, i);
	p[12] = (uint8_t)(type_of(kind) >> 8);
	p[13] = (uint8_t)type_of(kind);
	memset(p + 14, 0, LABEL_AT - 14);
	p[14] = 0x45;
	p[16] = (uint8_t)((size - 14) >> 8);
	p[17] = (uint8_t)(size - 14);
	memcpy(p + LABEL_AT, &label, sizeof(label));
	if (first < size) {
		struct rte_mbuf *rest = rte_pktmbuf_alloc(rig_pool);

		assert_non_null(rest);
		p = (uint8_t *)rte_pktmbuf_append(rest, (uint16_t)(size - first));
		for (uint32_t i = first; i < size; i++)
			p[i - first] = filling(&label, i);
		assert_int_equal(rte_pktmbuf_chain(m, rest), 0);
	} else if (even == 0 && dice(32) == 0 && *held == NULL) {
		rte_mbuf_refcnt_update(m, 1);
		*held = m;
	}
	return m;
}

/* The switch, which drops nothing. */
static void
forward(void)
{
	static struct rte_mbuf *pkts[MAX_BURST];
	static uint16_t first, end;

	if (first == end) {
		first = 0;
		end = rte_eth_rx_burst(host[0], 0, pkts, MAX_BURST);
	}
	first = (uint16_t)(first +
			   rte_eth_tx_burst(host[1], 0, pkts + first, (uint16_t)(end - first)));
}

/* y takes what there is; the switch forwards before, sometimes. */
static unsigned int
receive(bool by_switch)
{
	struct rte_mbuf *pkts[MAX_BURST];
	uint16_t n;

	if (by_switch)
		forward();
	n = rte_eth_rx_burst(guest[1], 0, pkts, (uint16_t)(1 + dice(MAX_BURST)));
	for (uint16_t i = 0; i < n; i++) {
		uint8_t copy[LARGEST];
		struct label label;
		const uint8_t *p;

		assert_true(pkts[i]->pkt_len <= LARGEST);
		p = rte_pktmbuf_read(pkts[i], 0, pkts[i]->pkt_len, copy);
		assert_non_null(p);
		memcpy(&label, p + LABEL_AT, sizeof(label));
		assert_true(label.kind < KINDS);
		assert_int_equal(label.size, pkts[i]->pkt_len);
		assert_int_equal(label.number, arrived[label.kind]);
		for (uint32_t b = LABEL_AT + sizeof(label); b < label.size; b++)
			assert_int_equal(p[b], filling(&label, b));
		arrived[label.kind]++;
		rte_pktmbuf_free(pkts[i]);
	}
	return n;
}

static bool
all_arrived(void)
{
	return memcmp(sent, arrived, sizeof(sent)) == 0;
}

static void
drain(void)
{
	uint64_t until = hwy_monotonic_ms() + WAIT_MS;

	while (!all_arrived() && hwy_monotonic_ms() < until)
		(void)receive(true);
	assert_true(all_arrived());
}

static struct rte_flow_query_count
counted(enum kind kind)
{
	struct rte_flow_query_count count = {0};
	struct rte_flow_action what[] = {{.type = RTE_FLOW_ACTION_TYPE_COUNT},
					 {.type = RTE_FLOW_ACTION_TYPE_END}};
	struct rte_flow_error error = {0};

	assert_int_equal(rte_flow_query(host[0], flows[kind], what, &count, &error), 0);
	return count;
}

/* As if the receiver were far away, or not: at any time, for all rings. */
static void
move_far(bool far)
{
	struct hwy_tx_queue *q = rte_eth_devices[guest[0]].data->tx_queues[0];

	q->out.past = far;
	for (uint32_t p = 0; p < q->n_paths; p++)
		q->paths[p].out.past = far;
}

/* One burst of one class, or of all of them. */
static void
burst(uint32_t n, int only)
{
	struct rte_mbuf *pkts[MAX_BURST], *held = NULL;
	uint32_t numbers[KINDS], kinds[MAX_BURST], sizes[MAX_BURST];
	bool large = dice(4) == 0;
	uint16_t took;

	move_far(dice(2) == 0);
	/* As long as the ring needs for more than a lap. */
	if (even > 0) {
		even--;
	} else if (dice(40) == 0) {
		even = 20 + dice(20);
		even_size = 60 + dice(6);
	}
	memcpy(numbers, sent, sizeof(numbers));
	for (uint32_t i = 0; i < n; i++) {
		/* Runs, and turns; mostly such as fit a slot. */
		uint32_t kind = only >= 0              ? (uint32_t)only
				: i > 0 && dice(3) > 0 ? kinds[i - 1]
						       : dice(KINDS);
		uint32_t size = large ? 60 + dice(LARGEST - 59) : 60 + dice(dice(3) == 0 ? 90 : 5);

		if (even > 0 && dice(300) > 0)
			size = even_size;
		else if (dice(200) == 0)
			size = LARGEST + 1 + dice(300); /* is taken, dropped and counted */
		kinds[i] = kind;
		sizes[i] = size;
		pkts[i] = make((enum kind)kind, numbers[kind], size, &held);
		if (size <= LARGEST)
			numbers[kind]++;
	}
	took = rte_eth_tx_burst(guest[0], 0, pkts, (uint16_t)n);
	for (uint32_t i = 0; i < took; i++) {
		if (sizes[i] > LARGEST)
			continue;
		sent[kinds[i]]++;
		sent_bytes[kinds[i]] += sizes[i];
	}
	for (uint32_t i = took; i < n; i++)
		rte_pktmbuf_free(pkts[i]);
	if (held != NULL) {
		assert_int_equal(rte_mbuf_refcnt_read(held), 1); /* ours alone now */
		rte_pktmbuf_free(held);
	}
}

static uint64_t
by_link(enum kind kind)
{
	return counted(kind).hits;
}

static void
bursts_are_carried_and_counted(void **state)
{
	uint64_t hits[BY_SWITCH], bytes[BY_SWITCH], until = hwy_monotonic_ms() + WAIT_MS;
	uint32_t full = 0;

	(void)state;
	seed = test_seed();
	for (int kind = 0; kind < BY_SWITCH; kind++) {
		uint64_t before;

		/* Until a burst went by the link: its class has joined. */
		do {
			assert_true(hwy_monotonic_ms() < until);
			before = by_link((enum kind)kind);
			burst(MAX_BURST, kind);
			drain();
		} while (by_link((enum kind)kind) == before);
	}
	drain();
	for (int kind = 0; kind < BY_SWITCH; kind++) {
		struct rte_flow_query_count count = counted((enum kind)kind);

		hits[kind] = sent[kind] - count.hits;
		bytes[kind] = sent_bytes[kind] - count.bytes;
	}
	for (int i = 0; i < BURSTS; i++) {
		uint32_t before = sent[0] + sent[1] + sent[2] + sent[3];
		uint32_t n = 1 + dice(MAX_BURST);

		burst(n, -1);
		full += sent[0] + sent[1] + sent[2] + sent[3] - before < n / 2;
		while (dice(5) > 1)
			(void)receive(dice(2) == 0);
	}
	drain();
	assert_true(full > 0); /* rings did run full */
	for (int kind = 0; kind < BY_SWITCH; kind++) {
		struct rte_flow_query_count count = counted((enum kind)kind);

		assert_int_equal(sent[kind] - count.hits, hits[kind]);
		assert_int_equal(sent_bytes[kind] - count.bytes, bytes[kind]);
	}
	assert_int_equal(rte_mempool_avail_count(other_pool), 1023);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(bursts_are_carried_and_counted)};

	return cmocka_run_group_tests(tests, set_up, rig_end);
}
