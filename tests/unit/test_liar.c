/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VNF that writes what it likes into the link region that it shares with another one: it may
 * spoil what the two of them send each other, and nothing else, and not for long.  Random
 * nonsense from a printed seed, written while the driver works.
 */
#include "rig.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <stdio.h>
#include <unistd.h>

#include "guest.h"

#define PATIENCE_MS 150   /* instead of the driver's 2 s */
#define CLOSED_MS   15000 /* in which a link must be gone: on a slow machine too */
#define TRIALS      4
#define LIES_MS     (2 * PATIENCE_MS)
#define FRAME       60

static struct rig rig;
static uint64_t seed;
static uint32_t life[RIG_LINKS];
static unsigned int buffers; /* free ones, before */

static int
set_up(void **state)
{
	(void)state;
	hwy_guest_patience_ms = PATIENCE_MS;
	buffers = rte_mempool_avail_count(rig_pool);
	rig_up(&rig);
	memset(life, 0, sizeof(life));
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	rig_down(&rig);
	assert_int_equal(rte_mempool_avail_count(rig_pool), buffers);
	return 0;
}

static void
open_link(int n, int sender)
{
	rig_want(&rig, n, ++life[n]);
	rig_reach(&rig, n, HWY_FAR_USABLE, CLOSED_MS);
	rig_reach_route(&rig, sender);
}

/* --- traffic ----------------------------------------------------------------------- */

/* Numbered frames from one sender to y, which says who has sent them. */
struct stream {
	uint8_t mark;
	uint32_t sent, got;
	bool broken; /* one was missing, or out of order */
};

static struct rte_mbuf *
numbered(struct stream *s)
{
	struct rte_mbuf *m = rig_frame(FRAME, s->mark);

	memcpy(rte_pktmbuf_mtod_offset(m, void *, RTE_ETHER_HDR_LEN + 4), &s->sent, 4);
	return m;
}

/* One more frame of the stream through port 'port'.  False: it was not taken. */
static bool
send_one(uint16_t port, struct stream *s)
{
	struct rte_mbuf *m = numbered(s);

	if (rte_eth_tx_burst(port, 0, &m, 1) == 0) {
		rte_pktmbuf_free(m);
		return false;
	}
	s->sent++;
	return true;
}

/* y takes what is there; what belongs to none of the streams is nonsense. */
static void
take(struct stream *streams, size_t n)
{
	struct rte_mbuf *pkts[RIG_BURST];
	uint16_t got = rte_eth_rx_burst(rig.guest[RIG_Y], 0, pkts, RIG_BURST);

	for (uint16_t i = 0; i < got; i++) {
		const uint8_t *data = rte_pktmbuf_mtod(pkts[i], const uint8_t *);

		for (size_t s = 0; s < n && pkts[i]->pkt_len == FRAME; s++) {
			uint32_t number;

			if (data[RTE_ETHER_HDR_LEN] != streams[s].mark ||
			    data[FRAME - 1] != streams[s].mark)
				continue;
			memcpy(&number, data + RTE_ETHER_HDR_LEN + 4, 4);
			streams[s].broken |= number != streams[s].got;
			streams[s].got = number + 1;
		}
		rte_pktmbuf_free(pkts[i]);
	}
}

/* --- nonsense ---------------------------------------------------------------------- */

static uint32_t
nonsense(const struct hwy_ring *ring)
{
	uint32_t near[] = {ring->prod, ring->cons, ring->delivered, ring->stop, ring->gate_epoch};
	uint64_t r = test_random(&seed);

	switch (r % 5) {
	case 0:
		return (uint32_t)(r >> 8);
	case 1:
		return (uint32_t)(r >> 8) % 16;
	case 2:
		return near[(r >> 8) % 5] + 0x7ffffff0u + (uint32_t)(r >> 16) % 32;
	default:
		return near[(r >> 8) % 5] + (uint32_t)(r >> 16) % 64 - 16;
	}
}

/* One write of a liar at end 'end', of what is its own to write or of anything. */
static void
lie(const struct hwy_region *r, uint32_t end, bool anything)
{
	uint64_t what = test_random(&seed);
	/* Those of the first queue are in use. */
	uint32_t from = anything ? what >> 20 & 1 : end;
	struct hwy_ring_at at = hwy_region_ring(r, HWY_LINK_RING(from, 0));
	uint32_t *words = (uint32_t *)(void *)at.ring;
	uint64_t desc = test_random(&seed);

	switch (what % 6) {
	case 0: /* producer's words, and bell */
		hwy_store(&words[(what >> 8) % 6], nonsense(at.ring));
		break;
	case 1: /* consumer's */
		if (!anything)
			at = hwy_region_ring(r, HWY_LINK_RING(1 - end, 0));
		hwy_store(&((uint32_t *)(void *)at.ring)[32 + (what >> 8) % 3], nonsense(at.ring));
		break;
	case 2: /* the host's, which no VNF is to write */
		if (anything)
			hwy_store(&words[64 + (what >> 8) % 9], nonsense(at.ring));
		break;
	case 3:
		hwy_store(&at.desc[(what >> 8) & at.mask], desc);
		if (what & 1 << 19)
			hwy_store(&at.desc[(what >> 8) & at.mask],
				  HWY_DESC(desc % (r->geo.chunk_count + 1), desc >> 24 & 1,
					   desc >> 32 & 0xfff, desc >> 48 & 0xfff));
		break;
	case 4:
		for (uint32_t i = 0; i < 64; i++)
			hwy_store(&r->owners[(what >> 8) % (r->geo.chunk_count - 64) + i],
				  (uint8_t)desc);
		break;
	default:
		hwy_store(&r->ports[0].end[anything ? what >> 8 & 1 : end].state,
			  (uint32_t)(desc % 4));
	}
}

/* --- a receiver, and a sender that lies -------------------------------------------- */

/* What the switch, and z by its link, sends to y arrives, although x lies; 'lies' go on for
 * LIES_MS. */
static void
y_hears_the_others(bool lies, bool anything)
{
	struct stream streams[] = {{.mark = 0x51}, {.mark = 0x52}}; /* switch, z */
	uint64_t until = hwy_monotonic_ms() + CLOSED_MS, lied = hwy_monotonic_ms() + LIES_MS;
	const struct hwy_mapping *m = rig_guest(&rig, RIG_X)->attach.at[0];
	struct hwy_dev *z = rig_guest(&rig, RIG_Z);
	uint64_t by_link = z->end->tx[0].bypass_packets;

	assert_non_null(m);
	while (hwy_monotonic_ms() < lied) {
		/* Once the link is closed its region is unmapped; lies have ended by then. */
		for (int i = 0; lies && i < 4 && rig_answer(&rig, 0) == HWY_FAR_USABLE; i++)
			lie(m->region, m->end, anything);
		(void)send_one(rig.host[RIG_Y], &streams[0]);
		(void)send_one(rig.guest[RIG_Z], &streams[1]);
		(void)rig_switch(&rig);
		take(streams, 2);
	}
	while ((streams[0].got != streams[0].sent || streams[1].got != streams[1].sent) &&
	       hwy_monotonic_ms() < until) {
		(void)rig_switch(&rig);
		take(streams, 2);
		usleep(10);
	}
	assert_int_equal(streams[0].got, streams[0].sent);
	assert_int_equal(streams[1].got, streams[1].sent);
	assert_false(streams[0].broken);
	assert_false(streams[1].broken);
	assert_true(streams[0].sent > 0);
	/* z's link was not concerned. */
	assert_int_equal(z->end->tx[0].bypass_packets - by_link, streams[1].sent);
	assert_int_equal(rig_answer(&rig, 1), HWY_FAR_USABLE);
}

static void
close_link(int n)
{
	rig_withdraw(&rig, n);
	for (uint64_t until = hwy_monotonic_ms() + CLOSED_MS;
	     rig_answer(&rig, n) != HWY_FAR_GONE && hwy_monotonic_ms() < until;) {
		struct rte_mbuf *pkts[RIG_BURST];

		/* All of them poll; x and y also send, so that they see routes that change. */
		for (int port = 0; port < RIG_PORTS; port++) {
			rte_pktmbuf_free_bulk(
				pkts, rte_eth_rx_burst(rig.guest[port], 0, pkts, RIG_BURST));
			pkts[0] = rig_frame(FRAME, 1);
			if (rte_eth_tx_burst(rig.guest[port], 0, pkts, 1) == 0)
				rte_pktmbuf_free(pkts[0]);
		}
		(void)rig_switch(&rig);
		usleep(50);
	}
	assert_int_equal(rig_answer(&rig, n), HWY_FAR_GONE);
}

static void
a_stop_that_is_never_reached_closes_the_link(void **state)
{
	struct hwy_ring *ring;

	(void)state;
	open_link(1, RIG_Z);
	open_link(0, RIG_X);
	ring = hwy_region_ring(rig_mapping(&rig, RIG_X)->region, HWY_LINK_RING(0, 0)).ring;
	hwy_store_release(&ring->stop, ring->cons + 5);
	y_hears_the_others(false, false);
	rig_reach(&rig, 0, HWY_FAR_GONE, CLOSED_MS);
	assert_int_equal(rig.ledger.file->entry[0].why, EBADMSG);
}

static void
a_word_of_the_receivers_own_that_is_spoilt_closes_the_link(void **state)
{
	struct hwy_ring *ring;

	(void)state;
	open_link(1, RIG_Z);
	open_link(0, RIG_X);
	ring = hwy_region_ring(rig_mapping(&rig, RIG_X)->region, HWY_LINK_RING(0, 0)).ring;
	hwy_store_release(&ring->delivered, ring->stop - 1);
	y_hears_the_others(false, false);
	rig_reach(&rig, 0, HWY_FAR_GONE, CLOSED_MS);
	assert_int_equal(rig.ledger.file->entry[0].why, EBADMSG);
}

static void
a_moment_of_waiting_for_a_link_is_no_offence(void **state)
{
	struct stream by_switch = {.mark = 0x51};
	struct hwy_ring *ring;

	(void)state;
	open_link(0, RIG_X);
	ring = hwy_region_ring(rig_mapping(&rig, RIG_X)->region, HWY_LINK_RING(0, 0)).ring;
	for (int i = 0; i < 50; i++) {
		uint64_t until = hwy_monotonic_ms() + 2;

		hwy_store_release(&ring->stop, ring->cons + 5);
		(void)send_one(rig.host[RIG_Y], &by_switch);
		do
			take(&by_switch, 1);
		while (hwy_monotonic_ms() < until);
		hwy_store_release(&ring->stop, ring->cons);
		while (by_switch.got != by_switch.sent)
			take(&by_switch, 1);
		usleep(22000);
	}
	assert_false(by_switch.broken);
	assert_int_equal(rig_answer(&rig, 0), HWY_FAR_USABLE);
}

static void
nonsense_of_a_sender_stops_nobody_else(void **state)
{
	(void)state;
	open_link(1, RIG_Z);
	for (int trial = 0; trial < TRIALS; trial++) {
		open_link(0, RIG_X);
		y_hears_the_others(true, trial % 2 == 1);
		close_link(0);
	}
}

/* --- a sender, and a receiver that lies -------------------------------------------- */

/* Everything that x sends is taken off its hands, at a rate that a switch has. */
static void
x_can_send(bool lies, bool anything)
{
	const struct hwy_mapping *m = rig_guest(&rig, RIG_Y)->attach.at[0];
	struct hwy_dev *x = rig_guest(&rig, RIG_X), *host = rig_host(&rig, RIG_X);
	uint64_t until = hwy_monotonic_ms() + CLOSED_MS, lied = hwy_monotonic_ms() + LIES_MS, up;
	struct stream s = {.mark = 0x53};

	assert_non_null(m);
	while (hwy_monotonic_ms() < lied) {
		for (int i = 0; lies && i < 4 && rig_answer(&rig, 0) == HWY_FAR_USABLE; i++)
			lie(m->region, m->end, anything);
		for (int i = 0; i < 8; i++)
			(void)send_one(rig.guest[RIG_X], &s);
		(void)rig_switch(&rig);
	}
	/* A ring's worth and more goes: it is no longer what y lets x do. */
	for (uint32_t more = s.sent + 5 * 1024; s.sent != more && hwy_monotonic_ms() < until;) {
		(void)send_one(rig.guest[RIG_X], &s);
		(void)rig_switch(&rig);
		if (lies) /* one that takes, but never as it should */
			take(NULL, 0);
	}
	assert_true(s.sent > 5 * 1024);
	for (up = 0; up != x->end->tx[0].normal_packets && hwy_monotonic_ms() < until;
	     up = host->end->rx[0].normal_packets)
		(void)rig_switch(&rig);
	/* The switch has got all that went its way. */
	assert_int_equal(host->end->rx[0].normal_packets, x->end->tx[0].normal_packets);
}

static void
a_receiver_that_takes_nothing_gets_its_packets_by_the_switch(void **state)
{
	struct hwy_dev *x = rig_guest(&rig, RIG_X);

	(void)state;
	open_link(0, RIG_X);
	x_can_send(false, false);
	assert_true(x->end->tx[0].normal_packets > 1024);
	rig_reach(&rig, 0, HWY_FAR_GONE, CLOSED_MS);
	assert_int_equal(rig.ledger.file->entry[0].why, ETIMEDOUT);
}

static void
nonsense_of_a_receiver_stops_no_sender(void **state)
{
	(void)state;
	for (int trial = 0; trial < TRIALS; trial++) {
		open_link(0, RIG_X);
		x_can_send(true, trial % 2 == 1);
		close_link(0);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_stop_that_is_never_reached_closes_the_link),
		TEST(a_word_of_the_receivers_own_that_is_spoilt_closes_the_link),
		TEST(a_moment_of_waiting_for_a_link_is_no_offence),
		TEST(nonsense_of_a_sender_stops_nobody_else),
		TEST(a_receiver_that_takes_nothing_gets_its_packets_by_the_switch),
		TEST(nonsense_of_a_receiver_stops_no_sender),
	};

	seed = test_seed();
	return cmocka_run_group_tests(tests, rig_start, rig_end);
}
