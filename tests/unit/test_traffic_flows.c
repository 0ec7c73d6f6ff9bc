/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "flows.h"

#define ID    7
#define FLOW  300
#define EPOCH 42

static struct hwt_flows *table;

static int
setup(void **state)
{
	table = hwt_flows_create();
	*state = table;
	return table != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	hwt_flows_free(table);
	return 0;
}

static enum hwt_flow_verdict
see(uint32_t seq)
{
	return hwt_flows_track(table, ID, FLOW, EPOCH, seq);
}

static void
see_range(uint32_t first, uint32_t count)
{
	while (count-- > 0)
		see(first++);
}

static struct hwt_flow_totals
totals(void)
{
	struct hwt_flow_totals t;

	hwt_flows_totals(table, &t);
	return t;
}

static void
packets_in_order_are_clean(void **state)
{
	struct hwt_flow_totals t;

	(void)state;
	see_range(0, 5000);
	t = totals();
	assert_int_equal(t.received, 5000);
	assert_int_equal(t.unique, 5000);
	assert_int_equal(t.lost + t.duplicated + t.reordered, 0);
	assert_int_equal(t.flows, 1);
}

static void
a_gap_is_lost(void **state)
{
	(void)state;
	see_range(0, 10);
	assert_int_equal(see(14), HWT_FLOW_AFTER_GAP);
	assert_int_equal(totals().lost, 4);
	assert_int_equal(totals().unique, 11);
}

static void
a_late_packet_is_reordered_and_no_longer_lost(void **state)
{
	(void)state;
	see_range(0, 10);
	see(11);
	assert_int_equal(totals().lost, 1);
	assert_int_equal(see(10), HWT_FLOW_REORDERED);
	assert_int_equal(totals().lost, 0);
	assert_int_equal(totals().reordered, 1);
	assert_int_equal(totals().duplicated, 0);
}

static void
the_highest_packet_seen_again_is_duplicated(void **state)
{
	(void)state;
	see_range(0, 10);
	assert_int_equal(see(9), HWT_FLOW_DUPLICATED);
	assert_int_equal(totals().duplicated, 1);
	assert_int_equal(totals().unique, 10);
	assert_int_equal(totals().received, 11);
}

static void
an_older_packet_seen_again_is_duplicated_not_reordered(void **state)
{
	(void)state;
	see_range(0, 1000);
	assert_int_equal(see(500), HWT_FLOW_DUPLICATED);
	assert_int_equal(totals().reordered, 0);
}

static void
a_late_packet_seen_twice_is_reordered_once_and_duplicated_once(void **state)
{
	(void)state;
	see(0);
	see(5);
	see(3);
	see(3);
	assert_int_equal(totals().reordered, 1);
	assert_int_equal(totals().duplicated, 1);
	assert_int_equal(totals().lost, 3);
}

static void
the_oldest_packet_of_the_window_is_still_known(void **state)
{
	(void)state;
	see_range(0, 3000);
	assert_int_equal(see(2999 - (HWT_FLOW_WINDOW - 1)), HWT_FLOW_DUPLICATED);
}

static void
a_packet_older_than_the_window_is_beyond_and_counts_as_reordered(void **state)
{
	(void)state;
	see_range(0, 3000);
	assert_int_equal(see(2999 - HWT_FLOW_WINDOW), HWT_FLOW_BEYOND);
	assert_int_equal(totals().beyond, 1);
	assert_int_equal(totals().reordered, 1);
	assert_int_equal(totals().duplicated, 0);
	assert_int_equal(totals().unique, 3000);
}

static void
a_jump_of_more_than_the_window_loses_all_between(void **state)
{
	(void)state;
	see(0);
	see(100000);
	assert_int_equal(totals().lost, 99999);
	assert_int_equal(see(100000 - 500), HWT_FLOW_REORDERED);
	assert_int_equal(totals().lost, 99998);
}

static void
a_gap_in_reused_window_positions_is_not_taken_for_seen(void **state)
{
	(void)state;
	see_range(0, 2 * HWT_FLOW_WINDOW);
	see(2 * HWT_FLOW_WINDOW + 100);
	assert_int_equal(see(2 * HWT_FLOW_WINDOW + 50), HWT_FLOW_REORDERED);
	assert_int_equal(see(2 * HWT_FLOW_WINDOW + 50), HWT_FLOW_DUPLICATED);
}

static void
sequence_numbers_wrap_without_loss(void **state)
{
	(void)state;
	see_range(UINT32_MAX - 99, 200);
	assert_int_equal(totals().lost, 0);
	assert_int_equal(totals().reordered, 0);
	assert_int_equal(totals().unique, 200);
}

static void
a_packet_late_across_the_wrap_is_reordered(void **state)
{
	(void)state;
	see(UINT32_MAX - 1);
	see(0);
	assert_int_equal(totals().lost, 1);
	assert_int_equal(see(UINT32_MAX), HWT_FLOW_REORDERED);
	assert_int_equal(totals().lost, 0);
}

static void
a_sink_that_joins_late_loses_nothing(void **state)
{
	(void)state;
	see_range(123456, 100);
	assert_int_equal(totals().lost, 0);
}

static void
a_packet_before_the_first_one_seen_widens_the_range(void **state)
{
	(void)state;
	see(10);
	assert_int_equal(see(7), HWT_FLOW_REORDERED);
	assert_int_equal(totals().lost, 2);
	see(8);
	see(9);
	assert_int_equal(totals().lost, 0);
	assert_int_equal(totals().unique, 4);
	assert_int_equal(totals().reordered, 3);
}

static void
flows_do_not_touch_each_other(void **state)
{
	struct hwt_flow_totals t;
	uint32_t flow;

	(void)state;
	for (flow = 0; flow < 65536; flow++)
		hwt_flows_track(table, ID, (uint16_t)flow, EPOCH, flow);
	t = totals();
	assert_int_equal(t.flows, 65536);
	assert_int_equal(t.unique, 65536);
	assert_int_equal(t.lost + t.reordered + t.duplicated, 0);
}

static void
streams_are_told_apart_by_their_id(void **state)
{
	struct hwt_flow_totals t;

	(void)state;
	hwt_flows_track(table, 1, FLOW, EPOCH, 0);
	hwt_flows_track(table, 2, FLOW, EPOCH, 0);
	hwt_flows_track(table, 2, FLOW, EPOCH, 5);
	hwt_flows_stream_totals(table, 1, &t);
	assert_int_equal(t.unique, 1);
	assert_int_equal(t.lost, 0);
	hwt_flows_stream_totals(table, 2, &t);
	assert_int_equal(t.unique, 2);
	assert_int_equal(t.lost, 4);
	hwt_flows_stream_totals(table, 3, &t);
	assert_int_equal(t.received, 0);
}

static void
a_restarted_generator_is_no_loss(void **state)
{
	(void)state;
	see_range(0, 10000);
	assert_int_equal(hwt_flows_track(table, ID, FLOW, EPOCH + 1, 0), HWT_FLOW_RESTARTED);
	assert_int_equal(hwt_flows_track(table, ID, FLOW, EPOCH + 1, 1), HWT_FLOW_IN_ORDER);
	assert_int_equal(totals().restarts, 1);
	assert_int_equal(totals().lost, 0);
	assert_int_equal(totals().reordered, 0);
	assert_int_equal(totals().flows, 1);
}

static void
packets_of_the_run_before_a_restart_are_set_aside(void **state)
{
	(void)state;
	see_range(0, 100);
	hwt_flows_track(table, ID, FLOW, EPOCH + 1, 0);
	assert_int_equal(see(100), HWT_FLOW_OLD_RUN);
	assert_int_equal(totals().old_run, 1);
	assert_int_equal(totals().restarts, 1);
	assert_int_equal(hwt_flows_track(table, ID, FLOW, EPOCH + 1, 1), HWT_FLOW_IN_ORDER);
}

static void
a_reset_forgets_flows_and_totals(void **state)
{
	(void)state;
	see_range(0, 100);
	see(500);
	hwt_flows_reset(table);
	assert_int_equal(totals().received, 0);
	see_range(600, 10);
	assert_int_equal(totals().lost, 0);
	assert_int_equal(totals().unique, 10);
	assert_int_equal(totals().flows, 1);
	assert_int_equal(totals().restarts, 0);
}

/* A slow and obvious model to compare with. */
static void
random_traffic_agrees_with_a_plain_model(void **state)
{
	enum { NUMBERS = 20000, AHEAD = HWT_FLOW_WINDOW / 2 };
	static uint8_t seen[NUMBERS + AHEAD];
	uint64_t unique = 0, duplicated = 0, reordered = 0;
	uint32_t i, seq, highest = 0, random = 1;
	struct hwt_flow_totals t;

	(void)state;
	see(0);
	seen[0] = 1;
	unique = 1;
	for (i = 1; i < NUMBERS; i++) {
		random = random * 1664525 + 1013904223;
		/* Around the running number, most often that itself. */
		seq = i;
		if ((random >> 24) < 40)
			seq = i + (random >> 8) % AHEAD;
		else if ((random >> 24) < 80)
			seq = i > AHEAD / 2 ? i - (random >> 8) % (AHEAD / 2) : 0;
		see(seq);
		if (seen[seq])
			duplicated++;
		else
			unique++;
		if (!seen[seq] && seq < highest)
			reordered++;
		seen[seq] = 1;
		highest = seq > highest ? seq : highest;
	}
	t = totals();
	assert_int_equal(t.received, NUMBERS);
	assert_int_equal(t.unique, unique);
	assert_int_equal(t.duplicated, duplicated);
	assert_int_equal(t.reordered, reordered);
	assert_int_equal(t.lost, highest + 1 - unique);
	assert_int_equal(t.beyond, 0);
}

/* Several at once, over ends of words and of the window, are as many one by one; gaps in between.
 */
static void
several_at_once_are_each_one(void **state)
{
	struct hwt_flows *other = hwt_flows_create();
	uint32_t seq = 0, random = 1;

	(void)state;
	assert_non_null(other);
	assert_null(hwt_flows_find(other, ID, FLOW, EPOCH));
	for (int round = 0; round < 5000; round++) {
		uint32_t n = (random >> 8) % 130, late = seq - 1;
		struct hwt_flow *f, *g;

		random = random * 1664525 + 1013904223;
		if (random >> 30 == 0)
			seq += (random >> 16) % 70; /* lost, or late */
		see(seq);
		hwt_flows_track(other, ID, FLOW, EPOCH, seq++);
		f = hwt_flows_find(other, ID, FLOW, EPOCH);
		assert_non_null(f);
		assert_null(hwt_flows_find(other, ID, FLOW, EPOCH + 1));
		see_range(seq, n);
		hwt_flow_follow(other->stream[ID], f, n);
		seq += n;
		if (late != seq - 1)
			assert_int_equal(see(late + 1),
					 hwt_flows_track(other, ID, FLOW, EPOCH, late + 1));
		g = hwt_flows_find(table, ID, FLOW, EPOCH);
		assert_memory_equal(f, g, sizeof(*f));
	}
	assert_memory_equal(&table->stream[ID]->totals, &other->stream[ID]->totals,
			    sizeof(struct hwt_flow_totals));
	hwt_flows_free(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(several_at_once_are_each_one),
		TEST(packets_in_order_are_clean),
		TEST(a_gap_is_lost),
		TEST(a_late_packet_is_reordered_and_no_longer_lost),
		TEST(the_highest_packet_seen_again_is_duplicated),
		TEST(an_older_packet_seen_again_is_duplicated_not_reordered),
		TEST(a_late_packet_seen_twice_is_reordered_once_and_duplicated_once),
		TEST(the_oldest_packet_of_the_window_is_still_known),
		TEST(a_packet_older_than_the_window_is_beyond_and_counts_as_reordered),
		TEST(a_jump_of_more_than_the_window_loses_all_between),
		TEST(a_gap_in_reused_window_positions_is_not_taken_for_seen),
		TEST(sequence_numbers_wrap_without_loss),
		TEST(a_packet_late_across_the_wrap_is_reordered),
		TEST(a_sink_that_joins_late_loses_nothing),
		TEST(a_packet_before_the_first_one_seen_widens_the_range),
		TEST(flows_do_not_touch_each_other),
		TEST(streams_are_told_apart_by_their_id),
		TEST(a_restarted_generator_is_no_loss),
		TEST(packets_of_the_run_before_a_restart_are_set_aside),
		TEST(a_reset_forgets_flows_and_totals),
		TEST(random_traffic_agrees_with_a_plain_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
