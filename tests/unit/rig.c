/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <rte_bus_vdev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ETHER_TYPE  0x9000
#define DEADLINE_MS 20000

struct rte_mempool *rig_pool;

static const char *const names[RIG_PORTS] = {"x", "y", "z"};
static const int ends[RIG_LINKS][2] = {{RIG_X, RIG_Y}, {RIG_Z, RIG_Y}};

int
rig_start(void **state)
{
	static char words[] = "rig --no-huge -m 128 --no-pci --no-shconf --no-telemetry --lcores 0 "
			      "--iova-mode=va --log-level lib.eal:error";
	char *argv[16] = {NULL}, *rest = words;
	int argc = 0;

	while (argc < 15 && (argv[argc] = strtok_r(rest, " ", &rest)) != NULL)
		argc++;
	if (test_dir_make(state) < 0)
		return -1;
	if (rte_eal_init(argc, argv) < 0)
		return -1;
	rig_pool = rte_pktmbuf_pool_create("rig", 16383, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					   SOCKET_ID_ANY);
	return rig_pool == NULL ? -1 : 0;
}

int
rig_end(void **state)
{
	return test_dir_remove(state);
}

/* --- what highwayd does ------------------------------------------------------------ */

/* Hands every link region over that it is asked for. */
static void
serve(int listener)
{
	struct hwy_fetch_request request;
	struct hwy_fetch_answer answer = {0};
	char name[HWY_NAME_SIZE], path[PATH_MAX];
	int s = accept(listener, NULL, NULL), region = -1, fd = -1;

	if (s >= 0 && hwy_fd_receive(s, &request, sizeof(request), &region) == 0) {
		snprintf(path, sizeof(path), "%s/%s", test_dir(),
			 hwy_link_region_name(request.id, name));
		fd = open(path, O_RDWR | O_CLOEXEC);
		answer.id = request.id;
		answer.error = fd < 0 ? (uint32_t)errno : 0;
		(void)hwy_fd_send(s, &answer, sizeof(answer), fd);
	}
	for (size_t i = 0; i < 3; i++) {
		int open_one = ((int[]){fd, region, s})[i];

		if (open_one >= 0)
			close(open_one);
	}
}

static void *
agent(void *rig_)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	struct rig *rig = rig_;
	struct pollfd asked = {.fd = socket(AF_UNIX, SOCK_SEQPACKET, 0), .events = POLLIN};

	snprintf(where.sun_path, sizeof(where.sun_path), "%s/%s", test_dir(), HWY_LEDGER_SOCKET);
	if (bind(asked.fd, (struct sockaddr *)&where, sizeof(where)) < 0 || listen(asked.fd, 8) < 0)
		print_error("%s: %s\n", where.sun_path, strerror(errno));
	while (!hwy_load(&rig->stop)) {
		hwy_store(&rig->ledger.file->agent_beat, rig->ledger.file->agent_beat + 1);
		if (poll(&asked, 1, 20) == 1)
			serve(asked.fd);
	}
	close(asked.fd);
	unlink(where.sun_path);
	return NULL;
}

static struct hwy_ledger_entry *
entry_of(const struct rig *rig, int n)
{
	return &rig->ledger.file->entry[n];
}

void
rig_want(struct rig *rig, int n, uint32_t life)
{
	struct hwy_ledger_entry *entry = entry_of(rig, n);
	char err[HWY_ERR_SIZE];

	/* As long as its last life has not ended for the ledger, the host would end the new one. */
	hwy_store_release(&entry->state, HWY_LEDGER_FREE);
	entry->id = 0xabcdef0000000000ULL + (uint64_t)n * 0x10000 + life;
	if (hwy_link_region_make(test_dir(), entry->id, 2 << 20, err) != 0)
		fail_msg("%s", err);
	entry->life = life;
	for (int e = 0; e < 2; e++) {
		snprintf(entry->side[e].region, HWY_NAME_SIZE, "@%s", names[ends[n][e]]);
		snprintf(entry->side[e].port, HWY_NAME_SIZE, "%s", names[ends[n][e]]);
	}
	entry->proof[0] = 1;
	entry->proof[1] = 0;
	hwy_store_release(&entry->state, HWY_LEDGER_WANTED);
}

void
rig_withdraw(struct rig *rig, int n)
{
	hwy_store_release(&entry_of(rig, n)->state, HWY_LEDGER_WITHDRAWN);
}

enum hwy_far_state
rig_answer(const struct rig *rig, int n)
{
	const struct hwy_ledger_entry *entry = entry_of(rig, n);
	uint64_t answer = hwy_load_acquire(&entry->answer);

	return answer >> 32 == entry->life ? (enum hwy_far_state)(uint32_t)answer : HWY_FAR_NONE;
}

void
rig_reach(struct rig *rig, int n, enum hwy_far_state state, unsigned int within_ms)
{
	uint64_t until = hwy_monotonic_ms() + within_ms;

	while (rig_answer(rig, n) != state && hwy_monotonic_ms() < until) {
		(void)rig_switch(rig);
		usleep(200);
	}
	assert_int_equal(rig_answer(rig, n), state);
}

/* --- ports -------------------------------------------------------------------------- */

static uint16_t
make_port(int n, const char *role)
{
	static unsigned int serial;
	struct rte_eth_conf conf;
	char name[64], args[512];
	uint16_t port = 0;

	snprintf(name, sizeof(name), "net_highway%u", serial++);
	snprintf(args, sizeof(args), "port=%s,role=%s,dir=%s,size=4M", names[n], role, test_dir());
	assert_int_equal(rte_vdev_init(name, args), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name(name, &port), 0);
	memset(&conf, 0, sizeof(conf));
	assert_int_equal(rte_eth_dev_configure(port, 1, 1, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(port, 0, 1024, SOCKET_ID_ANY, NULL, rig_pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(port, 0, 1024, SOCKET_ID_ANY, NULL), 0);
	assert_int_equal(rte_eth_dev_start(port), 0);
	return port;
}

struct rte_flow *
rig_offer(uint16_t from, uint16_t to, uint16_t ether_type)
{
	struct rte_flow_attr attr = {.transfer = 1};
	struct rte_flow_item_eth type = {.type = rte_cpu_to_be_16(ether_type)};
	struct rte_flow_item_eth type_mask = {.type = 0xffff};
	struct rte_flow_item_ipv4 whole = {.hdr.fragment_offset = 0};
	struct rte_flow_item_ipv4 whole_mask = {.hdr.fragment_offset = RTE_BE16(0x3fff)};
	struct rte_flow_action_port_id port = {.id = to};
	struct rte_flow_item pattern[] = {
		{.type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &type, .mask = &type_mask},
		{.type = RTE_FLOW_ITEM_TYPE_END},
		{.type = RTE_FLOW_ITEM_TYPE_END},
	};
	struct rte_flow_action actions[] = {
		{.type = RTE_FLOW_ACTION_TYPE_COUNT},
		{.type = RTE_FLOW_ACTION_TYPE_PORT_ID, .conf = &port},
		{.type = RTE_FLOW_ACTION_TYPE_END},
	};
	struct rte_flow_error error = {0};
	struct rte_flow *flow;

	if (ether_type == RTE_ETHER_TYPE_IPV4)
		pattern[1] = (struct rte_flow_item){
			.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &whole, .mask = &whole_mask};
	flow = rte_flow_create(from, &attr, pattern, actions, &error);
	if (flow == NULL)
		fail_msg("no flow: %s", error.message != NULL ? error.message : "no reason");
	return flow;
}

void
rig_up(struct rig *rig)
{
	char err[HWY_ERR_SIZE];

	memset(rig, 0, sizeof(*rig));
	test_dir_clean();
	if (hwy_ledger_open(&rig->ledger, test_dir(), true, err) != 0)
		fail_msg("%s", err);
	assert_int_equal(pthread_create(&rig->agent, NULL, agent, rig), 0);
	for (int n = 0; n < RIG_PORTS; n++) {
		rig->host[n] = make_port(n, "host");
		rig->guest[n] = make_port(n, "guest");
		rig->to[n] = RIG_Y;
	}
	rig->to[RIG_Y] = RIG_X;
	for (int n = 0; n < RIG_PORTS; n++)
		(void)rig_offer(rig->host[n], rig->host[rig->to[n]], ETHER_TYPE);
}

void
rig_down(struct rig *rig)
{
	/* The guest ends first: what they have mapped is theirs. */
	for (int n = 0; n < 2 * RIG_PORTS; n++) {
		uint16_t port = n < RIG_PORTS ? rig->guest[n] : rig->host[n - RIG_PORTS];
		struct rte_device *device = rte_eth_devices[port].device;

		assert_int_equal(rte_eth_dev_stop(port), 0);
		assert_int_equal(rte_eth_dev_close(port), 0);
		assert_int_equal(rte_vdev_uninit(rte_dev_name(device)), 0);
	}
	hwy_store(&rig->stop, true);
	pthread_join(rig->agent, NULL);
	hwy_ledger_close(&rig->ledger);
}

struct hwy_dev *
rig_host(const struct rig *rig, int port)
{
	return rte_eth_devices[rig->host[port]].data->dev_private;
}

struct hwy_dev *
rig_guest(const struct rig *rig, int port)
{
	return rte_eth_devices[rig->guest[port]].data->dev_private;
}

bool
rig_routed(const struct rig *rig, int port)
{
	const struct hwy_port *p = rig_guest(rig, port)->port;

	return hwy_load(&p->n_routes) == 1 && hwy_load(&p->routes[0].key) == HWY_CLASS_ALL;
}

void
rig_reach_route(struct rig *rig, int port)
{
	uint64_t until = hwy_monotonic_ms() + DEADLINE_MS;

	while (!rig_routed(rig, port) && hwy_monotonic_ms() < until)
		usleep(200);
	assert_true(rig_routed(rig, port));
}

struct hwy_mapping *
rig_mapping(const struct rig *rig, int port)
{
	const struct hwy_attachments *a = &rig_guest(rig, port)->attach;

	for (uint32_t slot = 0; slot < HWY_MAX_ATTACH; slot++) {
		struct hwy_mapping *m = hwy_load_acquire(&a->at[slot]);

		if (m != NULL)
			return m;
	}
	return NULL;
}

unsigned int
rig_switch(struct rig *rig)
{
	struct rte_mbuf *pkts[RIG_BURST];
	unsigned int forwarded = 0;

	for (int n = 0; n < RIG_PORTS; n++) {
		uint16_t got = rte_eth_rx_burst(rig->host[n], 0, pkts, RIG_BURST);
		uint16_t sent = rte_eth_tx_burst(rig->host[rig->to[n]], 0, pkts, got);

		rte_pktmbuf_free_bulk(pkts + sent, (unsigned int)(got - sent));
		forwarded += sent;
	}
	return forwarded;
}

struct rte_mbuf *
rig_frame(uint32_t size, uint8_t fill)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rig_pool);
	struct rte_ether_hdr *eth;

	assert_non_null(m);
	eth = (struct rte_ether_hdr *)(void *)rte_pktmbuf_append(m, (uint16_t)size);
	assert_non_null(eth);
	memset(eth, fill, size);
	memset(eth, 2, 2 * RTE_ETHER_ADDR_LEN);
	eth->ether_type = rte_cpu_to_be_16(ETHER_TYPE);
	return m;
}
