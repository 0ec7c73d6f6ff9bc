/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cost of each step of the data path, on one CPU with warm caches: a process holds both
 * host ends and all guest ends, sends bursts and receives them again, and counts cycles
 * (TSC) around either; under callgrind, instructions.
 *
 *   microbench EAL-ARGUMENTS -- DIR SIZE PORTS CLASSES LINKS REGION_MIB BURSTS STEP ROUTE
 *
 * PORTS in the domain, of which LINKS send into one; its first sender has CLASSES classes, which
 * take turns: IPv4, and ether types that nobody uses. STEP is send or receive (what callgrind
 * counts), or both.  ROUTE is class, or proof: then an agent has proved that all of the first
 * sender's packets go there.  Prints one line of JSON.
 */
#include <rte_bus_vdev.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_flow.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

#include "agent.h"
#include "client.h"
#include "port.h"

#define BURST     32
#define WARM      64
#define FIRST     0x9000 /* ether types of the second class and those after it */
#define DEADLINE  10     /* seconds */
#define MAX_LINKS 8
#define HEADROOM  1024

struct bench {
	const char *dir;
	unsigned int size, ports, classes, links, region_mib, bursts;
	uint16_t host[MAX_LINKS + 1], guest[MAX_LINKS + 1]; /* number 0 receives */
	struct rte_mempool *pool;
	struct hwy_region *agent; /* where the proof is, if there is one */
};

static void
fail(const char *what, int rc)
{
	fprintf(stderr, "microbench: %s failed (%s)\n", what, strerror(rc < 0 ? -rc : rc));
	exit(1);
}

static uint16_t
make_port(struct bench *b, unsigned int number, const char *role)
{
	char name[64], args[512];
	uint16_t port;
	int rc;

	snprintf(name, sizeof(name), "net_highway%u%s", number, role[0] == 'h' ? "0" : "1");
	snprintf(args, sizeof(args), "domain=micro,port=p%u,role=%s,dir=%s,size=%uM", number, role,
		 b->dir, b->region_mib);
	rc = rte_vdev_init(name, args);
	if (rc < 0)
		fail(name, rc);
	if (rte_eth_dev_get_port_by_name(name, &port) < 0)
		fail(name, -ENODEV);
	return port;
}

static void
start_port(struct bench *b, uint16_t port)
{
	struct rte_eth_conf conf;
	int rc;

	memset(&conf, 0, sizeof(conf));
	rc = rte_eth_dev_configure(port, 1, 1, &conf);
	if (rc == 0)
		rc = rte_eth_rx_queue_setup(port, 0, 1024, SOCKET_ID_ANY, NULL, b->pool);
	if (rc == 0)
		rc = rte_eth_tx_queue_setup(port, 0, 1024, SOCKET_ID_ANY, NULL);
	if (rc == 0)
		rc = rte_eth_dev_start(port);
	if (rc < 0)
		fail("starting a port", rc);
}

/* Ether type of a class. */
static rte_be16_t
type_of(unsigned int class)
{
	return rte_cpu_to_be_16((uint16_t)(class == 0 ? RTE_ETHER_TYPE_IPV4 : FIRST + class - 1));
}

static void
add_flow(struct bench *b, unsigned int sender, unsigned int class)
{
	struct rte_flow_attr attr = {.transfer = 1};
	struct rte_flow_item_eth spec, mask;
	struct rte_flow_action_port_id to = {.id = b->host[0]};
	struct rte_flow_item_ipv4 whole = {.hdr.fragment_offset = 0};
	struct rte_flow_item_ipv4 which = {.hdr.fragment_offset = RTE_BE16(0x3fff)};
	struct rte_flow_item pattern[] = {
		{.type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &spec, .mask = &mask},
		{.type = RTE_FLOW_ITEM_TYPE_END},
		{.type = RTE_FLOW_ITEM_TYPE_END},
	};
	struct rte_flow_action actions[] = {
		{.type = RTE_FLOW_ACTION_TYPE_COUNT},
		{.type = RTE_FLOW_ACTION_TYPE_PORT_ID, .conf = &to},
		{.type = RTE_FLOW_ACTION_TYPE_END},
	};
	struct rte_flow_error error = {0};

	memset(&spec, 0, sizeof(spec));
	memset(&mask, 0, sizeof(mask));
	spec.type = type_of(class);
	mask.type = 0xffff;
	if (class == 0)
		pattern[1] = (struct rte_flow_item){
			.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &whole, .mask = &which};
	if (rte_flow_create(b->host[sender], &attr, pattern, actions, &error) == NULL) {
		fprintf(stderr, "microbench: no flow: %s\n", error.message ? error.message : "?");
		exit(1);
	}
}

/* Further ports of the domain, which nobody uses. */
static void
fill_domain(struct bench *b)
{
	struct hwy_region_config config = {
		.dir = b->dir, .domain = "micro", .size = (uint64_t)b->region_mib << 20};
	struct hwy_region *region;
	char err[HWY_ERR_SIZE] = "", name[HWY_NAME_SIZE];
	uint32_t port;
	int rc;

	if (b->ports <= b->links + 1)
		return;
	rc = hwy_region_open(&config, &region, err);
	if (rc == 0)
		rc = hwy_client_attach(region, err);
	for (unsigned int i = b->links + 1; rc == 0 && i < b->ports; i++) {
		snprintf(name, sizeof(name), "x%u", i);
		rc = hwy_port_attach(region, name, HWY_GUEST, 1, &port, err);
	}
	if (rc < 0) {
		fprintf(stderr, "microbench: %s\n", err);
		exit(1);
	}
}

static uint16_t
build(struct bench *b, struct rte_mbuf **pkts, unsigned int *class)
{
	if (rte_pktmbuf_alloc_bulk(b->pool, pkts, BURST) < 0)
		fail("taking mbufs", -ENOMEM);
	for (int i = 0; i < BURST; i++) {
		struct rte_ether_hdr *eth =
			(struct rte_ether_hdr *)rte_pktmbuf_append(pkts[i], (uint16_t)b->size);

		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);

		memset(&eth->dst_addr, 2, 12);
		eth->ether_type = type_of(*class);
		memset(ip, 0, sizeof(*ip));
		ip->version_ihl = 0x45;
		ip->total_length = rte_cpu_to_be_16((uint16_t)(b->size - sizeof(*eth)));
		*class = (*class + 1) % b->classes;
	}
	return BURST;
}

static void
poll_hosts(struct bench *b)
{
	struct rte_mbuf *pkts[BURST];

	for (unsigned int i = 0; i <= b->links; i++) {
		uint16_t n = rte_eth_rx_burst(b->host[i], 0, pkts, BURST), sent = 0;

		if (i > 0)
			sent = rte_eth_tx_burst(b->host[0], 0, pkts, n);
		rte_pktmbuf_free_bulk(pkts + sent, n - sent);
	}
}

static uint64_t
by_link(uint16_t port)
{
	const char *name = "tx_bypass_packets";
	uint64_t id, value = 0;

	if (rte_eth_xstats_get_id_by_name(port, name, &id) < 0 ||
	    rte_eth_xstats_get_by_id(port, &id, &value, 1) != 1)
		fail("reading tx_bypass_packets", -ENOENT);
	return value;
}

/* Sends by all senders until each uses its link for every class. */
static void
open_links(struct bench *b)
{
	uint64_t limit = rte_rdtsc() + DEADLINE * rte_get_tsc_hz();
	struct rte_mbuf *pkts[BURST];
	unsigned int class = 0;

	for (unsigned int s = 1; s <= b->links; s++) {
		unsigned int clean = 0;

		while (clean < 8) {
			uint64_t before = by_link(b->guest[s]);
			uint16_t n = build(b, pkts, &class), sent;

			sent = rte_eth_tx_burst(b->guest[s], 0, pkts, n);
			rte_pktmbuf_free_bulk(pkts + sent, n - sent);
			clean = by_link(b->guest[s]) - before == BURST ? clean + 1 : 0;
			poll_hosts(b);
			n = rte_eth_rx_burst(b->guest[0], 0, pkts, BURST);
			rte_pktmbuf_free_bulk(pkts, n);
			usleep(100);
			if (rte_rdtsc() > limit)
				fail("opening the links", -ETIMEDOUT);
		}
	}
}

/* Has the first sender's packets routed by a proof. */
static void
prove(struct bench *b)
{
	struct hwy_region_config config = {
		.dir = b->dir, .domain = "micro", .size = (uint64_t)b->region_mib << 20};
	uint64_t limit = rte_rdtsc() + DEADLINE * rte_get_tsc_hz();
	char err[HWY_ERR_SIZE] = "";
	const struct hwy_port *x;
	int from = 0, to = 0, rc;

	rc = hwy_region_open(&config, &b->agent, err);
	if (rc == 0)
		rc = hwy_agent_attach(b->agent, err);
	if (rc == 0) {
		from = hwy_port_find(b->agent, "p1");
		to = hwy_port_find(b->agent, "p0");
	}
	if (rc < 0 || from < 0 || to < 0) {
		fprintf(stderr, "microbench: no agent: %s\n", err);
		exit(1);
	}
	hwy_agent_prove(b->agent, (uint32_t)from, (uint32_t)to);
	x = &b->agent->ports[from];
	while (hwy_load_acquire(&x->n_routes) != 1 || x->routes[0].key != HWY_CLASS_ALL) {
		hwy_agent_beat(b->agent);
		usleep(100);
		if (rte_rdtsc() > limit)
			fail("opening the link by proof", -ETIMEDOUT);
	}
}

static int
compare(const void *left, const void *right)
{
	uint64_t l = *(const uint64_t *)left, r = *(const uint64_t *)right;

	return l < r ? -1 : l > r;
}

/* Median, per packet of a burst: an interrupt in between does not count. */
static double
per_packet(uint64_t *cycles, unsigned int bursts)
{
	qsort(cycles, bursts, sizeof(*cycles), compare);
	return (double)cycles[bursts / 2] / BURST;
}

static void
measure(struct bench *b, bool count_send, bool count_receive)
{
	uint64_t *send = calloc(3ULL * b->bursts, sizeof(*send));
	uint64_t *receive = send + b->bursts, *empty = receive + b->bursts;
	double clock;
	struct rte_mbuf *out[BURST], *in[BURST];
	unsigned int class = 0;

	if (send == NULL)
		fail("taking memory", -ENOMEM);
	for (unsigned int turn = 0; turn < WARM + b->bursts; turn++) {
		uint64_t t0, t1, t2, t3;
		uint16_t n, sent, got;

		if (b->agent != NULL)
			hwy_agent_beat(b->agent);
		n = build(b, out, &class);
		t0 = rte_rdtsc_precise();
		if (count_send && turn >= WARM)
			CALLGRIND_TOGGLE_COLLECT;
		sent = rte_eth_tx_burst(b->guest[1], 0, out, n);
		if (count_send && turn >= WARM)
			CALLGRIND_TOGGLE_COLLECT;
		t1 = rte_rdtsc_precise();
		if (count_receive && turn >= WARM)
			CALLGRIND_TOGGLE_COLLECT;
		got = rte_eth_rx_burst(b->guest[0], 0, in, BURST);
		if (count_receive && turn >= WARM)
			CALLGRIND_TOGGLE_COLLECT;
		t2 = rte_rdtsc_precise();
		t3 = rte_rdtsc_precise();
		if (sent != BURST || got != BURST)
			fail("sending or receiving a burst", -EIO);
		if (turn >= WARM) {
			send[turn - WARM] = t1 - t0;
			receive[turn - WARM] = t2 - t1;
			empty[turn - WARM] = t3 - t2;
		}
		rte_pktmbuf_free_bulk(in, got);
	}
	clock = per_packet(empty, b->bursts);
	printf("{\"packets\": %u, \"send\": %.3f, \"receive\": %.3f}\n", b->bursts * BURST,
	       per_packet(send, b->bursts) - clock, per_packet(receive, b->bursts) - clock);
	free(send);
}

int
main(int argc, char **argv)
{
	struct bench b = {0};
	const char *step;
	int rc = rte_eal_init(argc, argv);

	if (rc < 0 || argc - rc != 10) {
		fprintf(stderr, "usage: microbench EAL-ARGUMENTS -- DIR SIZE PORTS CLASSES LINKS "
				"REGION_MIB BURSTS STEP ROUTE\n");
		return 2;
	}
	argv += rc;
	b.dir = argv[1];
	b.size = (unsigned int)atoi(argv[2]);
	b.ports = (unsigned int)atoi(argv[3]);
	b.classes = (unsigned int)atoi(argv[4]);
	b.links = (unsigned int)atoi(argv[5]);
	b.region_mib = (unsigned int)atoi(argv[6]);
	b.bursts = (unsigned int)atoi(argv[7]);
	step = argv[8];
	if (b.bursts < 1 || b.bursts > 10000000 || b.links < 1 || b.links > MAX_LINKS ||
	    b.classes < 1 || b.classes > HWY_MAX_ROUTES || b.ports < b.links + 1 ||
	    b.ports > HWY_MAX_PORTS || b.size < 60 || b.size > 1518) {
		fprintf(stderr, "microbench: a number is out of range\n");
		return 2;
	}
	b.pool = rte_pktmbuf_pool_create("micro", 4095, 256, 0, HEADROOM + 2176, SOCKET_ID_ANY);
	if (b.pool == NULL)
		fail("making mbufs", rte_errno);
	for (unsigned int i = 0; i <= b.links; i++)
		b.host[i] = make_port(&b, i, "host");
	for (unsigned int i = 0; i <= b.links; i++)
		b.guest[i] = make_port(&b, i, "guest");
	fill_domain(&b);
	for (unsigned int i = 0; i <= b.links; i++) {
		start_port(&b, b.host[i]);
		start_port(&b, b.guest[i]);
	}
	for (unsigned int s = 1; s <= b.links; s++)
		for (unsigned int c = 0; c < b.classes; c++)
			add_flow(&b, s, c);
	open_links(&b);
	if (strcmp(argv[9], "proof") == 0) {
		prove(&b);
		open_links(&b);
	}
	measure(&b, strcmp(step, "send") == 0, strcmp(step, "receive") == 0);
	fflush(stdout);
	_exit(0); /* The region is removed with its folder. */
}
