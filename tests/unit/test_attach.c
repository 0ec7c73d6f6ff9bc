/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest end that is called to map a link region: its queues notice first. */
#include "rig.h"

#include <poll.h>
#include <rte_ethdev.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WAIT_MS 10000
#define FRAME   60

static struct rig rig;
static int bell; /* in place of what wakes x's control thread */

static int
set_up(void **state)
{
	(void)state;
	rig_up(&rig);
	bell = eventfd(0, EFD_NONBLOCK);
	assert_true(bell >= 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	close(bell);
	rig_down(&rig);
	return 0;
}

static bool
rung(void)
{
	struct pollfd fd = {.fd = bell, .events = POLLIN};
	uint64_t value;

	return poll(&fd, 1, 0) == 1 && read(bell, &value, sizeof(value)) == sizeof(value);
}

static void
receive(void)
{
	struct rte_mbuf *pkts[RIG_BURST];

	rte_pktmbuf_free_bulk(pkts, rte_eth_rx_burst(rig.guest[RIG_X], 0, pkts, RIG_BURST));
}

static void
transmit(void)
{
	struct rte_mbuf *m = rig_frame(FRAME, 1);

	if (rte_eth_tx_burst(rig.guest[RIG_X], 0, &m, 1) == 0)
		rte_pktmbuf_free(m);
}

/* A slot of x is wanted while its control thread is kept from looking: 'look' has it woken. */
static void
a_queue_calls(void (*look)(void))
{
	struct hwy_dev *x = rig_guest(&rig, RIG_X);
	const struct hwy_attach *slot = hwy_region_attach(x->region, x->index, 0);
	uint64_t until = hwy_monotonic_ms() + WAIT_MS;
	int own = x->domain->stop_fd;

	bool early, called = false, again;

	receive();
	transmit();
	pthread_mutex_lock(&x->domain->mutex);
	x->domain->stop_fd = bell;
	(void)rung();
	look();
	early = rung(); /* nothing has changed */
	rig_want(&rig, 0, 1);
	while (HWY_ATTACH_STATE(hwy_load_acquire(&slot->want)) != HWY_ATTACH_WANTED &&
	       hwy_monotonic_ms() < until)
		usleep(200);
	while (!called && hwy_monotonic_ms() < until) {
		look();
		called = rung();
	}
	look();
	again = rung(); /* once is enough */
	x->domain->stop_fd = own;
	pthread_mutex_unlock(&x->domain->mutex);
	assert_false(early);
	assert_true(called);
	assert_false(again);
	rig_reach(&rig, 0, HWY_FAR_USABLE, WAIT_MS);
}

static void
one_that_receives_has_its_control_thread_look(void **state)
{
	(void)state;
	a_queue_calls(receive);
}

static void
one_that_sends_does_too(void **state)
{
	(void)state;
	a_queue_calls(transmit);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_that_receives_has_its_control_thread_look),
		TEST(one_that_sends_does_too),
	};

	return cmocka_run_group_tests(tests, rig_start, rig_end);
}
