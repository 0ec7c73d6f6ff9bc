/* SPDX-License-Identifier: BSD-3-Clause */
/* shm/agent.h: what an agent permits and proves, and what the host makes of it. */
#include "support.h"

#include <errno.h>
#include <sys/wait.h>
#include <time.h>

#include "agent.h"
#include "class.h"
#include "client.h"
#include "host.h"
#include "port.h"

#define IPV4 hwy_class_key(0, HWY_ETH_IPV4)
#define ARP  hwy_class_key(0, 0x0806)

static struct hwy_region *r;
static struct hwy_host *h;
static uint32_t x, y, z;
static char err[HWY_ERR_SIZE];

static int
set_up(void **state)
{
	(void)state;
	h = test_host_up(&r, &x, &y, &z);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	hwy_host_free(h);
	hwy_region_close(r);
	return 0;
}

static uint32_t
add(uint64_t key, uint32_t dst)
{
	uint32_t slot = UINT32_MAX;

	assert_int_equal(hwy_host_flow_add(h, x, key, dst, &slot), 0);
	return slot;
}

static bool
routed(uint64_t key)
{
	for (uint32_t i = 0; i < r->ports[x].n_routes; i++) {
		if (r->ports[x].routes[i].key == key)
			return true;
	}
	return false;
}

/* A living agent. */
static void
agent(void)
{
	assert_int_equal(hwy_agent_attach(r, err), 0);
	hwy_host_tick(h);
	assert_int_equal(r->hdr->agent_heard, 1);
}

static void
x_sends(uint64_t packets)
{
	assert_true(r->ports[x].n_routes > 0);
	r->ports[x].sent[0][r->ports[x].routes[0].slot].packets += packets;
}

/* Time passes, more than an agent may be silent. */
static void
the_agent_is_silent(void)
{
	struct timespec pause = {.tv_nsec = 20000000};

	for (int i = 0; i < 200 && r->hdr->agent_heard; i++) {
		nanosleep(&pause, NULL);
		hwy_host_tick(h);
	}
	assert_int_equal(r->hdr->agent_heard, 0);
}

/* Time passes until the classes of x count again; not much. */
static void
x_is_held_no_more(void)
{
	struct timespec pause = {.tv_nsec = 5000000};

	for (int i = 0; i < 200 && r->ports[x].n_routes == 0; i++) {
		nanosleep(&pause, NULL);
		hwy_host_tick(h);
	}
	assert_int_equal(r->hdr->agent_heard, 1);
}

static void
after_a_proof_packets_take_the_switch_for_a_while(void **state)
{
	(void)state;
	add(IPV4, y);
	agent();
	hwy_agent_prove(r, x, y);
	hwy_host_tick(h);
	hwy_agent_prove(r, x, HWY_NO_PROOF);
	hwy_host_tick(h);
	assert_int_equal(r->ports[x].n_routes, 0);
	add(ARP, y); /* that may be of the old rules too */
	assert_int_equal(r->ports[x].n_routes, 0);
	x_is_held_no_more();
	assert_true(routed(IPV4) && routed(ARP));
	/* A proof that leads elsewhere is as much a change, though flows speak against it. */
	hwy_agent_prove(r, x, y);
	hwy_host_tick(h);
	hwy_agent_prove(r, x, z);
	hwy_host_tick(h);
	assert_int_equal(r->ports[x].n_routes, 0);
	/* When the first one is back there is no reason to wait. */
	hwy_agent_prove(r, x, y);
	hwy_host_tick(h);
	assert_true(routed(HWY_CLASS_ALL));
}

static void
a_proof_with_a_flow_makes_one_route_of_all_classes(void **state)
{
	(void)state;
	add(IPV4, y);
	add(ARP, y);
	agent();
	hwy_agent_prove(r, x, y);
	hwy_host_tick(h);
	assert_int_equal(r->ports[x].n_routes, 1);
	assert_true(routed(HWY_CLASS_ALL));
	hwy_agent_prove(r, x, HWY_NO_PROOF);
	hwy_host_tick(h);
	x_is_held_no_more();
	assert_int_equal(r->ports[x].n_routes, 2);
	assert_true(routed(IPV4) && routed(ARP));
}

static void
a_proof_without_a_flow_opens_nothing(void **state)
{
	uint32_t slot;

	(void)state;
	agent();
	hwy_agent_prove(r, x, y);
	hwy_host_tick(h);
	assert_int_equal(r->ports[x].n_routes, 0);
	slot = add(IPV4, y);
	assert_true(routed(HWY_CLASS_ALL));
	hwy_host_flow_del(h, x, slot);
	assert_int_equal(r->ports[x].n_routes, 0);
}

/* Proved, and the switch offloads; is X to be opened with its first packet? */
static void
await_x(void)
{
	agent();
	hwy_agent_prove(r, x, y);
	hwy_host_tick(h);
	/* Nobody would answer for the packets if the switch offloads nothing. */
	assert_false(hwy_host_awaits(h, x));
	hwy_host_advance(h, x);
	assert_int_equal(r->ports[x].n_routes, 0);
	r->hdr->offload = 1;
	hwy_host_tick(h);
	assert_true(hwy_host_awaits(h, x));
}

static void
a_proof_opens_with_the_first_packet_and_the_flow_then_answers(void **state)
{
	uint32_t slot;

	(void)state;
	await_x();
	assert_int_equal(r->ports[x].n_routes, 0);
	hwy_host_advance(h, x);
	assert_true(routed(HWY_CLASS_ALL));
	assert_false(hwy_host_awaits(h, x));
	x_sends(7);
	slot = add(IPV4, y);
	assert_true(routed(HWY_CLASS_ALL));
	assert_int_equal(hwy_host_flow_count(h, x, slot, IPV4, false).packets, 7);
}

static void
a_link_opened_in_advance_does_not_outlive_its_proof(void **state)
{
	(void)state;
	await_x();
	hwy_host_advance(h, x);
	assert_true(routed(HWY_CLASS_ALL));
	hwy_agent_prove(r, x, HWY_NO_PROOF);
	hwy_host_tick(h);
	assert_int_equal(r->ports[x].n_routes, 0);
	hwy_agent_prove(r, x, z);
	hwy_host_tick(h);
	assert_int_equal(r->ports[x].n_routes, 0);
	assert_true(hwy_host_awaits(h, x));
}

static void
a_link_opened_in_advance_closes_if_no_flow_comes(void **state)
{
	struct timespec pause = {.tv_nsec = 20000000};
	uint32_t slot;

	(void)state;
	await_x();
	hwy_host_advance(h, x);
	x_sends(7);
	for (int i = 0; i < 500 && r->ports[x].n_routes > 0; i++) {
		nanosleep(&pause, NULL);
		hwy_agent_beat(r);
		hwy_host_tick(h);
	}
	assert_int_equal(r->ports[x].n_routes, 0);
	assert_false(hwy_host_awaits(h, x));
	hwy_host_advance(h, x);
	assert_int_equal(r->ports[x].n_routes, 0);
	/* The flow that comes after all answers for what went by then, and mends the trust. */
	slot = add(IPV4, y);
	assert_int_equal(hwy_host_flow_count(h, x, slot, IPV4, false).packets, 7);
	hwy_host_flow_del(h, x, slot);
	hwy_agent_beat(r);
	hwy_host_tick(h);
	assert_true(hwy_host_awaits(h, x));
}

static void
a_flow_narrower_than_a_class_carries_a_proof_but_is_no_route(void **state)
{
	uint32_t slot;

	(void)state;
	agent();
	slot = add(HWY_CLASS_ALL, y);
	assert_int_equal(r->ports[x].n_routes, 0);
	hwy_agent_prove(r, x, y);
	hwy_host_tick(h);
	assert_true(routed(HWY_CLASS_ALL));
	x_sends(5);
	assert_int_equal(hwy_host_flow_count(h, x, slot, HWY_CLASS_NONE, false).packets, 5);
}

static void
a_proof_that_a_flow_contradicts_is_not_used(void **state)
{
	uint32_t slot;

	(void)state;
	add(IPV4, y);
	agent();
	hwy_agent_prove(r, x, y);
	slot = add(ARP, z);
	hwy_host_tick(h);
	assert_false(routed(HWY_CLASS_ALL));
	assert_true(routed(IPV4) && routed(ARP));
	hwy_host_flow_del(h, x, slot);
	assert_true(routed(HWY_CLASS_ALL));
}

static void
what_went_by_a_proof_is_credited_once_to_the_flows_that_lead_there(void **state)
{
	uint32_t a = add(IPV4, y), b = add(ARP, y);
	uint64_t sum;

	(void)state;
	agent();
	hwy_agent_prove(r, x, y);
	hwy_host_tick(h);
	x_sends(9);
	sum = hwy_host_flow_count(h, x, a, IPV4, false).packets;
	sum += hwy_host_flow_count(h, x, b, ARP, false).packets;
	assert_int_equal(sum, 9);
}

static void
what_went_by_a_proof_survives_its_end(void **state)
{
	uint32_t a = add(IPV4, y);

	(void)state;
	agent();
	hwy_agent_prove(r, x, y);
	hwy_host_tick(h);
	x_sends(9);
	hwy_agent_prove(r, x, HWY_NO_PROOF);
	hwy_host_tick(h);
	x_is_held_no_more();
	assert_true(routed(IPV4));
	assert_int_equal(hwy_host_flow_count(h, x, a, IPV4, false).packets, 9);
}

static void
what_went_by_a_proof_goes_to_the_rule_s_next_flow_wherever_it_leads(void **state)
{
	uint32_t a = add(IPV4, y), next, heir;

	(void)state;
	agent();
	hwy_agent_prove(r, x, y);
	hwy_host_tick(h);
	x_sends(9);
	hwy_host_flow_del(h, x, a);
	hwy_agent_prove(r, x, HWY_NO_PROOF);
	hwy_host_tick(h);
	assert_int_equal(hwy_host_take_over(h, x, IPV4, &heir), 0);
	assert_int_equal(hwy_host_flow_count(h, x, heir, IPV4, true).packets, 9);
	hwy_host_give_up(h, x, heir);
	next = add(IPV4, z);
	assert_int_equal(hwy_host_flow_count(h, x, next, IPV4, false).packets, 0);
}

static void
a_proof_lapses_when_the_agent_is_silent_and_returns_with_it(void **state)
{
	(void)state;
	add(IPV4, y);
	agent();
	hwy_agent_prove(r, x, y);
	hwy_host_tick(h);
	assert_true(routed(HWY_CLASS_ALL));
	the_agent_is_silent();
	assert_true(routed(IPV4) && !routed(HWY_CLASS_ALL));
	hwy_agent_beat(r);
	hwy_host_tick(h);
	assert_true(routed(HWY_CLASS_ALL));
}

static void
a_proof_does_not_hold_for_the_next_port_of_the_same_index(void **state)
{
	(void)state;
	agent();
	hwy_agent_prove(r, x, y);
	assert_int_equal(hwy_agent_proof(r, x), y);
	r->ports[y].life++;
	assert_int_equal(hwy_agent_proof(r, x), HWY_NO_PROOF);
	add(IPV4, y);
	assert_false(routed(HWY_CLASS_ALL));
	assert_true(routed(IPV4));
}

static void
a_prohibition_of_either_port_closes_the_link(void **state)
{
	uint32_t ports[] = {x, y};

	(void)state;
	add(IPV4, y);
	agent();
	for (int i = 0; i < 2; i++) {
		hwy_agent_permit(r, ports[i], HWY_PERMIT_NO);
		hwy_host_tick(h);
		assert_int_equal(r->ports[x].n_routes, 0);
		hwy_agent_permit(r, ports[i], HWY_PERMIT_YES);
		hwy_host_tick(h);
		assert_true(routed(IPV4));
	}
}

static void
a_prohibition_outlives_the_agent(void **state)
{
	(void)state;
	add(IPV4, y);
	agent();
	hwy_agent_permit(r, x, HWY_PERMIT_NO);
	hwy_agent_permit(r, y, HWY_PERMIT_YES);
	hwy_agent_detach(r);
	hwy_host_tick(h);
	assert_int_equal(r->ports[x].n_routes, 0);
	assert_int_equal(r->ports[y].permit, HWY_PERMIT_UNSAID);
}

static void
policy_agent_opens_nothing_without_a_living_agents_permit(void **state)
{
	(void)state;
	r->hdr->policy = HWY_POLICY_AGENT;
	add(IPV4, y);
	assert_int_equal(r->ports[x].n_routes, 0);
	agent();
	hwy_agent_permit(r, x, HWY_PERMIT_YES);
	hwy_host_tick(h);
	assert_int_equal(r->ports[x].n_routes, 0); /* y has none yet */
	hwy_agent_permit(r, y, HWY_PERMIT_YES);
	hwy_host_tick(h);
	assert_true(routed(IPV4));
	the_agent_is_silent();
	assert_int_equal(r->ports[x].n_routes, 0);
}

static int
another_agent(struct test_child *child, void *arg)
{
	struct hwy_region_config config = test_config();
	struct hwy_region *mine;

	(void)child;
	(void)arg;
	if (hwy_region_open(&config, &mine, err) < 0)
		return 1;
	return hwy_agent_attach(mine, err) == -EBUSY && strstr(err, "has an agent already") ? 0 : 2;
}

static void
a_second_agent_is_refused_with_the_first_one_s_pid(void **state)
{
	struct test_child child;

	(void)state;
	agent();
	test_child_start(&child, another_agent, NULL);
	assert_int_equal(test_child_end(&child), 0);
}

static void
a_port_begins_without_permit_and_proof(void **state)
{
	uint32_t life, port = 0;

	(void)state;
	agent();
	hwy_agent_permit(r, z, HWY_PERMIT_NO);
	hwy_agent_prove(r, z, y);
	life = r->ports[z].life;
	hwy_port_detach(r, z, HWY_GUEST);
	hwy_port_detach(r, z, HWY_HOST);
	assert_int_equal(hwy_port_attach(r, "new", HWY_GUEST, 1, &port, err), 0);
	assert_int_equal(port, z);
	assert_int_equal(r->ports[z].permit, HWY_PERMIT_UNSAID);
	assert_int_equal(hwy_agent_proof(r, z), HWY_NO_PROOF);
	assert_int_equal(r->ports[z].life, life + 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_proof_with_a_flow_makes_one_route_of_all_classes),
		TEST(after_a_proof_packets_take_the_switch_for_a_while),
		TEST(a_proof_without_a_flow_opens_nothing),
		TEST(a_proof_opens_with_the_first_packet_and_the_flow_then_answers),
		TEST(a_link_opened_in_advance_does_not_outlive_its_proof),
		TEST(a_link_opened_in_advance_closes_if_no_flow_comes),
		TEST(a_flow_narrower_than_a_class_carries_a_proof_but_is_no_route),
		TEST(a_proof_that_a_flow_contradicts_is_not_used),
		TEST(what_went_by_a_proof_is_credited_once_to_the_flows_that_lead_there),
		TEST(what_went_by_a_proof_survives_its_end),
		TEST(what_went_by_a_proof_goes_to_the_rule_s_next_flow_wherever_it_leads),
		TEST(a_proof_lapses_when_the_agent_is_silent_and_returns_with_it),
		TEST(a_proof_does_not_hold_for_the_next_port_of_the_same_index),
		TEST(a_prohibition_of_either_port_closes_the_link),
		TEST(a_prohibition_outlives_the_agent),
		TEST(policy_agent_opens_nothing_without_a_living_agents_permit),
		TEST(a_second_agent_is_refused_with_the_first_one_s_pid),
		TEST(a_port_begins_without_permit_and_proof),
	};

	return cmocka_run_group_tests_name("agent", tests, test_dir_make, test_dir_remove);
}
