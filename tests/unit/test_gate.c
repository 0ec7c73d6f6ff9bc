/* SPDX-License-Identifier: BSD-3-Clause */
/* shm/gate.h: the single steps of switching over, in the orders that matter. */
#include "support.h"

#include "gate.h"

#define SIZE  64u
#define DOWNS 2u

struct box {
	struct hwy_ring ring;
	uint64_t desc[SIZE];
	uint8_t data[SIZE * HWY_SLOT];
};

static struct box link_box, up_box, down_box[DOWNS];
static struct hwy_ring *const link_ring = &link_box.ring, *const up_ring = &up_box.ring;
static struct hwy_ring *const downs[DOWNS] = {&down_box[0].ring, &down_box[1].ring};
static const uint32_t *const down_cons[DOWNS] = {&down_box[0].ring.delivered,
						 &down_box[1].ring.delivered};
static struct hwy_producer out, up;
static struct hwy_consumer in;

static struct hwy_ring_at
at_of(struct box *box)
{
	return (struct hwy_ring_at){&box->ring, box->desc, box->data, SIZE - 1};
}

static void
start_at(uint32_t link_index, uint32_t up_index, uint32_t down_index)
{
	memset(&link_box, 0, sizeof(link_box));
	memset(&up_box, 0, sizeof(up_box));
	memset(down_box, 0, sizeof(down_box));
	link_ring->prod = link_ring->cons = link_ring->delivered = link_ring->stop = link_index;
	up_ring->prod = up_ring->cons = up_index;
	for (uint32_t d = 0; d < DOWNS; d++)
		downs[d]->prod = downs[d]->cons = downs[d]->delivered = down_index + d;
	hwy_producer_init(&out, at_of(&link_box));
	hwy_producer_init(&up, at_of(&up_box));
	hwy_consumer_init(&in, at_of(&link_box));
}

static int
set_up(void **state)
{
	(void)state;
	start_at(0, 0, 0);
	return 0;
}

static int
set_up_near_the_wrap(void **state)
{
	(void)state;
	start_at(UINT32_MAX - 1, UINT32_MAX - 2, UINT32_MAX - 1);
	return 0;
}

static void
send(struct hwy_producer *p, uint32_t n)
{
	p->prod += n;
	hwy_producer_publish(p);
}

static uint32_t
link_limit(void)
{
	assert_true(hwy_consumer_refresh(&in));
	return hwy_gate_link_limit(&in, down_cons, DOWNS);
}

static bool
answer(uint32_t up_cons, uint32_t *limit)
{
	*limit = hwy_load_acquire(&up_ring->prod);
	return hwy_gate_answer(link_ring, up_cons, downs, DOWNS, limit);
}

static uint32_t
down_limit(uint32_t d, uint32_t stop)
{
	return hwy_gate_down_limit(link_ring, link_ring->cons, stop, d, downs[d]->cons,
				   downs[d]->prod);
}

static void
a_fresh_link_may_be_joined(void **state)
{
	(void)state;
	assert_true(hwy_gate_may_join(link_ring));
}

static void
joining_notes_both_indexes_and_rings_the_bell(void **state)
{
	uint32_t epoch = link_ring->gate_epoch, bell = up_ring->gate_bell;

	(void)state;
	send(&up, 5);
	send(&out, 3);
	hwy_gate_join(&out, &up);
	assert_int_equal(link_ring->hold_from, out.prod);
	assert_int_equal(link_ring->gate, up.prod);
	assert_int_equal(link_ring->gate_epoch, epoch + 1);
	assert_int_equal(up_ring->gate_bell, bell + 1);
}

static void
no_gate_lets_a_reader_beyond_what_was_written(void **state)
{
	static const uint32_t far_off[] = {0x7fffffff, 0x80000000, 0x80000001};
	uint32_t first = in.cons;

	(void)state;
	send(&out, 4);
	for (uint32_t taken = 0; taken <= 4; taken += 4) {
		in.cons = link_ring->cons = link_ring->delivered = first + taken;
		for (size_t i = 0; i < 3; i++) {
			link_ring->gate_epoch++;
			link_ring->hold_from = in.cons + far_off[i];
			assert_true(link_limit() - in.cons <= 4 - taken);
			link_ring->open_epoch = link_ring->gate_epoch;
			link_ring->opening[0] = downs[0]->cons + far_off[i];
			downs[0]->prod = downs[0]->cons + 3;
			assert_true(down_limit(0, in.cons + 1) - downs[0]->cons <= 3);
		}
	}
}

static void
nobody_joins_while_a_gate_is_open(void **state)
{
	(void)state;
	hwy_gate_join(&out, &up);
	assert_false(hwy_gate_may_join(link_ring));
}

static void
nobody_joins_before_the_last_leave_is_drained(void **state)
{
	(void)state;
	send(&out, 2);
	hwy_gate_leave(&out);
	assert_false(hwy_gate_may_join(link_ring));
	in.cons++;
	hwy_consumer_publish(&in);
	assert_false(hwy_gate_may_join(link_ring));
	in.cons++;
	hwy_consumer_publish(&in);
	assert_true(hwy_gate_may_join(link_ring));
}

static void
a_link_without_a_gate_is_read_to_its_end(void **state)
{
	(void)state;
	send(&out, 4);
	assert_int_equal(link_limit(), out.prod);
}

static void
entries_before_the_gate_are_not_held_back(void **state)
{
	uint32_t hold;

	(void)state;
	send(&out, 3);
	hold = out.prod;
	hwy_gate_join(&out, &up);
	send(&out, 4);
	assert_int_equal(link_limit(), hold);
	assert_int_equal(link_ring->pass_epoch + 1, link_ring->gate_epoch);
	/* What is published is the bound if that comes first. */
	in.prod_seen = hold - 1;
	assert_int_equal(hwy_gate_link_limit(&in, down_cons, DOWNS), hold - 1);
}

static void
entries_behind_an_unanswered_gate_are_held_back(void **state)
{
	(void)state;
	hwy_gate_join(&out, &up);
	send(&out, 4);
	assert_int_equal(link_limit(), in.cons);
	assert_false(hwy_gate_may_join(link_ring));
}

static void
a_receive_call_ends_at_a_gate_that_is_not_reached(void **state)
{
	uint32_t limit, gate, opening = downs[0]->prod + 77;

	(void)state;
	send(&up, 5);
	gate = up.prod;
	hwy_gate_join(&out, &up);
	send(&up, 3);
	link_ring->opening[0] = opening;
	assert_false(answer(gate - 5, &limit));
	assert_int_equal(limit, gate);
	assert_false(answer(gate - 1, &limit));
	assert_int_equal(limit, gate);
	assert_int_equal(link_ring->open_epoch + 1, link_ring->gate_epoch);
	assert_int_equal(link_ring->opening[0], opening);
}

static void
a_reached_gate_is_answered_with_all_down_rings(void **state)
{
	uint32_t limit, gate;

	(void)state;
	send(&up, 5);
	gate = up.prod;
	hwy_gate_join(&out, &up);
	send(&up, 3);
	downs[0]->prod += 6;
	downs[1]->prod += 9;
	assert_true(answer(gate, &limit));
	assert_int_equal(limit, up.prod);
	assert_int_equal(link_ring->opening[0], downs[0]->prod);
	assert_int_equal(link_ring->opening[1], downs[1]->prod);
	assert_int_equal(link_ring->open_epoch, link_ring->gate_epoch);
}

static void
an_answered_gate_is_not_answered_again(void **state)
{
	uint32_t limit, first;

	(void)state;
	hwy_gate_join(&out, &up);
	assert_true(answer(up.prod, &limit));
	first = link_ring->opening[0];
	downs[0]->prod += 5;
	assert_true(answer(up.prod, &limit));
	assert_int_equal(link_ring->opening[0], first);
}

static void
a_gate_is_passed_when_every_down_ring_is_consumed_to_its_opening(void **state)
{
	uint32_t limit;

	(void)state;
	downs[0]->prod += 2;
	downs[1]->prod += 3;
	hwy_gate_join(&out, &up);
	send(&out, 4);
	assert_true(answer(up.prod, &limit));
	assert_int_equal(link_limit(), in.cons);
	downs[0]->delivered = downs[0]->cons += 2;
	assert_int_equal(link_limit(), in.cons);
	downs[1]->delivered = downs[1]->cons += 2;
	assert_int_equal(link_limit(), in.cons);
	assert_int_equal(link_ring->pass_epoch + 1, link_ring->gate_epoch);
	downs[1]->delivered = downs[1]->cons += 1;
	assert_int_equal(link_limit(), out.prod);
	assert_int_equal(link_ring->pass_epoch, link_ring->gate_epoch);
	assert_true(hwy_gate_may_join(link_ring));
}

static void
a_down_ring_consumed_beyond_the_opening_passes_too(void **state)
{
	uint32_t limit;

	(void)state;
	hwy_gate_join(&out, &up);
	send(&out, 1);
	assert_true(answer(up.prod, &limit));
	downs[0]->prod += 8;
	downs[0]->delivered = downs[0]->cons += 8;
	assert_int_equal(link_limit(), out.prod);
}

static void
an_empty_link_passes_its_gate_too(void **state)
{
	uint32_t limit;

	(void)state;
	hwy_gate_join(&out, &up);
	assert_true(answer(up.prod, &limit));
	assert_int_equal(link_limit(), in.cons);
	assert_int_equal(link_ring->pass_epoch, link_ring->gate_epoch);
	assert_true(hwy_gate_may_join(link_ring));
}

static void
the_second_gate_is_held_until_it_is_answered_itself(void **state)
{
	uint32_t limit;

	(void)state;
	hwy_gate_join(&out, &up);
	send(&out, 2);
	assert_true(answer(up.prod, &limit));
	assert_int_equal(link_limit(), out.prod);
	in.cons = out.prod;
	hwy_consumer_publish(&in);
	send(&up, 1);
	hwy_gate_join(&out, &up);
	send(&out, 2);
	assert_int_equal(link_limit(), in.cons); /* the old answer is none */
	assert_true(answer(up.prod, &limit));
	assert_int_equal(link_limit(), out.prod);
}

static void
leaving_marks_where_the_link_stops(void **state)
{
	(void)state;
	send(&out, 7);
	hwy_gate_leave(&out);
	assert_int_equal(link_ring->stop, out.prod);
}

static void
a_drained_link_does_not_hold_the_down_ring(void **state)
{
	(void)state;
	send(&out, 2);
	hwy_gate_leave(&out);
	in.cons = out.prod;
	hwy_consumer_publish(&in);
	downs[0]->prod += 4;
	assert_int_equal(down_limit(0, link_ring->stop), downs[0]->prod);
}

static void
the_down_ring_waits_for_the_link_to_be_drained_to_stop(void **state)
{
	(void)state;
	send(&out, 2);
	hwy_gate_leave(&out);
	downs[0]->prod += 4;
	assert_int_equal(down_limit(0, link_ring->stop), downs[0]->cons);
	in.cons++;
	hwy_consumer_publish(&in);
	assert_int_equal(down_limit(0, link_ring->stop), downs[0]->cons);
	in.cons++;
	hwy_consumer_publish(&in);
	assert_int_equal(down_limit(0, link_ring->stop), downs[0]->prod);
}

static void
a_stop_read_before_it_was_written_holds_nothing(void **state)
{
	uint32_t stop = link_ring->stop;

	(void)state;
	send(&out, 2);
	hwy_gate_leave(&out);
	downs[0]->prod += 4;
	assert_int_equal(down_limit(0, stop), downs[0]->prod);
}

static void
behind_an_unanswered_gate_the_whole_down_ring_is_read(void **state)
{
	(void)state;
	hwy_gate_join(&out, &up);
	send(&out, 2);
	hwy_gate_leave(&out);
	downs[0]->prod += 4;
	assert_int_equal(down_limit(0, link_ring->stop), downs[0]->prod);
}

static void
behind_an_answered_gate_each_down_ring_is_read_to_its_opening(void **state)
{
	uint32_t limit, opening[DOWNS];

	(void)state;
	hwy_gate_join(&out, &up);
	send(&out, 2);
	hwy_gate_leave(&out);
	downs[0]->prod += 4;
	downs[1]->prod += 1;
	opening[0] = downs[0]->prod;
	opening[1] = downs[1]->prod;
	assert_true(answer(up.prod, &limit));
	downs[0]->prod += 3;
	downs[1]->prod += 3;
	assert_int_equal(down_limit(0, link_ring->stop), opening[0]);
	assert_int_equal(down_limit(1, link_ring->stop), opening[1]);
	downs[0]->cons = opening[0];
	assert_int_equal(down_limit(0, link_ring->stop), opening[0]);
	/* The limit of another link, if lower, stays. */
	assert_int_equal(hwy_gate_down_limit(link_ring, link_ring->cons, link_ring->stop, 1,
					     downs[1]->cons, downs[1]->cons),
			 downs[1]->cons);
}

static void
a_down_ring_already_beyond_the_opening_waits(void **state)
{
	uint32_t limit;

	(void)state;
	hwy_gate_join(&out, &up);
	send(&out, 2);
	assert_true(answer(up.prod, &limit));
	downs[0]->prod += 3;
	downs[0]->delivered = downs[0]->cons += 3;
	downs[0]->prod += 3;
	hwy_gate_leave(&out);
	assert_int_equal(down_limit(0, link_ring->stop), downs[0]->cons);
}

static void
once_the_gate_is_passed_stop_holds_the_down_ring(void **state)
{
	uint32_t limit;

	(void)state;
	hwy_gate_join(&out, &up);
	send(&out, 2);
	hwy_gate_leave(&out);
	assert_true(answer(up.prod, &limit));
	downs[0]->prod += 3;
	assert_int_equal(link_limit(), out.prod);
	assert_int_equal(down_limit(0, link_ring->stop), downs[0]->cons);
}

/* An index means something only for half of the numbers there are. */
static void
a_link_that_is_never_left_keeps_up_its_stop(void **state)
{
	uint32_t held = 0;

	(void)state;
	for (uint64_t sent = 0; sent < 1ULL << 33; sent += 1 << 25) {
		out.prod += 1 << 25;
		out.cons_seen = in.cons = out.prod;
		hwy_producer_publish(&out);
		hwy_consumer_publish(&in);
		hwy_gate_keep_up(&out);
		downs[0]->prod = downs[0]->cons + 1;
		held += down_limit(0, link_ring->stop) != downs[0]->prod;
		held += !hwy_gate_may_join(link_ring);
	}
	assert_int_equal(held, 0);
}

static void
keeping_up_never_stops_at_what_is_not_consumed(void **state)
{
	uint32_t stop = link_ring->stop;

	(void)state;
	out.prod += 1 << 29;
	hwy_gate_keep_up(&out);
	assert_int_equal(link_ring->stop, stop);
	out.prod += 1 << 30;
	out.cons_seen = out.prod - 10;
	hwy_gate_keep_up(&out);
	assert_int_equal(link_ring->stop, out.prod - 10);
}

/* A class that joins, leaves and joins, with other packets by the switch between. */
static void
a_class_goes_to_and_fro(void **state)
{
	uint32_t limit;

	(void)state;
	for (uint32_t round = 0; round < 200; round++) {
		uint32_t n = 1 + round % 5;

		assert_true(hwy_gate_may_join(link_ring));
		send(&up, n);
		hwy_gate_join(&out, &up);
		send(&out, n);
		assert_int_equal(link_limit(), in.cons);
		assert_false(answer(up_ring->cons, &limit));
		assert_int_equal(limit, up.prod);
		up_ring->cons = limit;
		downs[round % DOWNS]->prod += n;
		assert_true(answer(up_ring->cons, &limit));
		assert_int_equal(link_limit(), in.cons);
		hwy_gate_leave(&out);
		assert_int_equal(down_limit(round % DOWNS, link_ring->stop),
				 downs[round % DOWNS]->prod);
		downs[round % DOWNS]->delivered = downs[round % DOWNS]->cons += n;
		send(&up, n);
		downs[round % DOWNS]->prod += n;
		up_ring->cons = up.prod;
		assert_int_equal(down_limit(round % DOWNS, link_ring->stop),
				 downs[round % DOWNS]->cons);
		assert_int_equal(link_limit(), out.prod);
		assert_false(hwy_gate_may_join(link_ring));
		in.cons = out.prod;
		hwy_consumer_publish(&in);
		assert_int_equal(down_limit(round % DOWNS, link_ring->stop),
				 downs[round % DOWNS]->prod);
		downs[round % DOWNS]->delivered = downs[round % DOWNS]->cons += n;
	}
}

#define BOTH(test)                                                                                 \
	{#test, test, set_up, NULL, NULL},                                                         \
	{                                                                                          \
#test "_near_the_wrap", test, set_up_near_the_wrap, NULL, NULL                     \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(a_fresh_link_may_be_joined),
		BOTH(joining_notes_both_indexes_and_rings_the_bell),
		BOTH(no_gate_lets_a_reader_beyond_what_was_written),
		BOTH(nobody_joins_while_a_gate_is_open),
		BOTH(nobody_joins_before_the_last_leave_is_drained),
		BOTH(a_link_without_a_gate_is_read_to_its_end),
		BOTH(entries_before_the_gate_are_not_held_back),
		BOTH(entries_behind_an_unanswered_gate_are_held_back),
		BOTH(a_receive_call_ends_at_a_gate_that_is_not_reached),
		BOTH(a_reached_gate_is_answered_with_all_down_rings),
		BOTH(an_answered_gate_is_not_answered_again),
		BOTH(a_gate_is_passed_when_every_down_ring_is_consumed_to_its_opening),
		BOTH(a_down_ring_consumed_beyond_the_opening_passes_too),
		BOTH(an_empty_link_passes_its_gate_too),
		BOTH(the_second_gate_is_held_until_it_is_answered_itself),
		BOTH(leaving_marks_where_the_link_stops),
		BOTH(a_drained_link_does_not_hold_the_down_ring),
		BOTH(the_down_ring_waits_for_the_link_to_be_drained_to_stop),
		BOTH(a_stop_read_before_it_was_written_holds_nothing),
		BOTH(behind_an_unanswered_gate_the_whole_down_ring_is_read),
		BOTH(behind_an_answered_gate_each_down_ring_is_read_to_its_opening),
		BOTH(a_down_ring_already_beyond_the_opening_waits),
		BOTH(once_the_gate_is_passed_stop_holds_the_down_ring),
		BOTH(a_link_that_is_never_left_keeps_up_its_stop),
		BOTH(keeping_up_never_stops_at_what_is_not_consumed),
		BOTH(a_class_goes_to_and_fro),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
