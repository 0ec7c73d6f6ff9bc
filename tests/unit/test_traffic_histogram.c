/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "histogram.h"

struct fixture {
	struct hwt_hist a;
	struct hwt_hist b;
	struct hwt_hist c;
};

static int
setup(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	if (f == NULL)
		return -1;
	hwt_hist_reset(&f->a);
	hwt_hist_reset(&f->b);
	hwt_hist_reset(&f->c);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	free(*state);
	return 0;
}

static void
an_empty_histogram_has_percentile_zero(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(hwt_hist_percentile(&f->a, 50), 0);
	assert_int_equal(hwt_hist_percentile(&f->a, 100), 0);
	assert_int_equal(f->a.count, 0);
}

static void
a_single_value_is_every_percentile(void **state)
{
	struct fixture *f = *state;

	hwt_hist_record(&f->a, 123456789);
	assert_int_equal(hwt_hist_percentile(&f->a, 0), 123456789);
	assert_int_equal(hwt_hist_percentile(&f->a, 50), 123456789);
	assert_int_equal(hwt_hist_percentile(&f->a, 100), 123456789);
}

static void
small_values_are_kept_exactly(void **state)
{
	struct fixture *f = *state;
	uint64_t v;

	for (v = 1; v <= 1000; v++)
		hwt_hist_record(&f->a, v);
	assert_int_equal(hwt_hist_percentile(&f->a, 50), 500);
	assert_int_equal(hwt_hist_percentile(&f->a, 90), 900);
	assert_int_equal(hwt_hist_percentile(&f->a, 99), 990);
	assert_int_equal(hwt_hist_percentile(&f->a, 99.9), 999);
	assert_int_equal(hwt_hist_percentile(&f->a, 100), 1000);
}

static void
a_bucket_is_never_wider_than_a_thousandth_of_its_values(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 2 * HWT_HIST_HALF; i < HWT_HIST_BUCKETS; i++) {
		uint64_t low = hwt_hist_low(i), high = hwt_hist_high(i);

		assert_true((high - low + 1) * 1000 <= low);
	}
}

static void
buckets_follow_each_other_without_gap(void **state)
{
	uint32_t i;

	(void)state;
	assert_int_equal(hwt_hist_low(0), 0);
	for (i = 1; i < HWT_HIST_BUCKETS; i++)
		assert_int_equal(hwt_hist_low(i), hwt_hist_high(i - 1) + 1);
	assert_int_equal(hwt_hist_high(HWT_HIST_BUCKETS - 1),
			 (UINT64_C(1) << HWT_HIST_MAX_BITS) - 1);
}

static void
both_ends_of_a_bucket_fall_into_it(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < HWT_HIST_BUCKETS; i++) {
		assert_int_equal(hwt_hist_index(hwt_hist_low(i)), i);
		assert_int_equal(hwt_hist_index(hwt_hist_high(i)), i);
	}
}

static void
values_beyond_the_range_share_the_last_bucket_and_keep_max(void **state)
{
	struct fixture *f = *state;

	hwt_hist_record(&f->a, UINT64_MAX);
	hwt_hist_record(&f->a, UINT64_C(1) << HWT_HIST_MAX_BITS);
	assert_int_equal(f->a.bucket[HWT_HIST_BUCKETS - 1], 2);
	assert_true(f->a.max == UINT64_MAX);
	assert_true(hwt_hist_percentile(&f->a, 50) == UINT64_MAX);
}

static void
min_and_max_are_exact(void **state)
{
	struct fixture *f = *state;

	hwt_hist_record(&f->a, 1000003);
	hwt_hist_record(&f->a, 70000001);
	assert_int_equal(f->a.min, 1000003);
	assert_int_equal(f->a.max, 70000001);
}

static void
a_percentile_is_within_a_thousandth_of_the_true_value(void **state)
{
	struct fixture *f = *state;
	double percents[] = {1, 25, 50, 90, 99, 99.9, 99.99};
	uint64_t v;
	unsigned int i;

	for (v = 1; v <= 1000000; v++)
		hwt_hist_record(&f->a, v * 37);
	for (i = 0; i < sizeof(percents) / sizeof(*percents); i++) {
		double truth = percents[i] * 10000 * 37;
		double seen = (double)hwt_hist_percentile(&f->a, percents[i]);

		assert_true(seen >= truth - 37);
		assert_true(seen <= truth * 1.001 + 37);
	}
}

static void
a_percentile_never_exceeds_the_largest_value(void **state)
{
	struct fixture *f = *state;

	hwt_hist_record(&f->a, 5000);
	hwt_hist_record(&f->a, 4097);
	hwt_hist_record(&f->a, 5000);
	assert_int_equal(hwt_hist_percentile(&f->a, 60), 5000);
}

static void
merging_adds_the_samples_of_both(void **state)
{
	struct fixture *f = *state;

	hwt_hist_record(&f->a, 10);
	hwt_hist_record(&f->b, 30);
	hwt_hist_record(&f->b, 9000000);
	hwt_hist_merge(&f->a, &f->b);
	assert_int_equal(f->a.count, 3);
	assert_int_equal(f->a.min, 10);
	assert_int_equal(f->a.max, 9000000);
	assert_int_equal(hwt_hist_percentile(&f->a, 50), 30);
}

static void
merging_an_empty_histogram_changes_nothing(void **state)
{
	struct fixture *f = *state;

	hwt_hist_record(&f->a, 77);
	hwt_hist_merge(&f->a, &f->b);
	assert_int_equal(f->a.count, 1);
	assert_int_equal(f->a.min, 77);
	assert_int_equal(f->a.max, 77);
}

static void
a_delta_has_only_the_samples_since_the_copy(void **state)
{
	struct fixture *f = *state;
	int i;

	for (i = 0; i < 100; i++)
		hwt_hist_record(&f->a, 5);
	f->b = f->a;
	hwt_hist_record(&f->a, 40);
	hwt_hist_record(&f->a, 60);
	hwt_hist_delta(&f->c, &f->a, &f->b);
	assert_int_equal(f->c.count, 2);
	assert_int_equal(f->c.min, 40);
	assert_int_equal(f->c.max, 60);
	assert_int_equal(hwt_hist_percentile(&f->c, 50), 40);
}

static void
a_delta_without_new_samples_is_empty(void **state)
{
	struct fixture *f = *state;

	hwt_hist_record(&f->a, 5);
	f->b = f->a;
	hwt_hist_delta(&f->c, &f->a, &f->b);
	assert_int_equal(f->c.count, 0);
	assert_int_equal(hwt_hist_percentile(&f->c, 99), 0);
}

static void
a_reset_histogram_is_empty(void **state)
{
	struct fixture *f = *state;

	hwt_hist_record(&f->a, 5);
	hwt_hist_reset(&f->a);
	hwt_hist_record(&f->a, 9);
	assert_int_equal(f->a.count, 1);
	assert_int_equal(f->a.min, 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_histogram_has_percentile_zero),
		TEST(a_single_value_is_every_percentile),
		TEST(small_values_are_kept_exactly),
		TEST(a_bucket_is_never_wider_than_a_thousandth_of_its_values),
		TEST(buckets_follow_each_other_without_gap),
		TEST(both_ends_of_a_bucket_fall_into_it),
		TEST(values_beyond_the_range_share_the_last_bucket_and_keep_max),
		TEST(min_and_max_are_exact),
		TEST(a_percentile_is_within_a_thousandth_of_the_true_value),
		TEST(a_percentile_never_exceeds_the_largest_value),
		TEST(merging_adds_the_samples_of_both),
		TEST(merging_an_empty_histogram_changes_nothing),
		TEST(a_delta_has_only_the_samples_since_the_copy),
		TEST(a_delta_without_new_samples_is_empty),
		TEST(a_reset_histogram_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
