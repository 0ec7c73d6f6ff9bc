/* SPDX-License-Identifier: BSD-3-Clause */
/* agent/hotplug/pair.h: link regions in two machines at a time, and spare ones. */
#include "vm_support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "openvswitch/poll-loop.h"
#include "pair.h"

#define SIZE (1u << 20)

static struct fake_qmp second;
static unsigned int n_made, n_removed;
static uint64_t last_id;

static int
set_up(void **state)
{
	int rc = vm_set_up(state);
	char *path = xasprintf("%s/vm2.sock", folder);

	second = (struct fake_qmp){.uuid = "second",
				   .name = "vm2",
				   .type = "pc-i440fx-7.2-machine",
				   .status = "running",
				   .slots = 4};
	fake_qmp_start(&second, path);
	free(path);
	n_made = n_removed = 0;
	hwy_plug_limits = (struct hwy_plug_limits){
		.command_ms = 300, .guest_ms = 300, .retract_ms = 100, .delete_ms = 300};
	return rc;
}

static int
tear_down(void **state)
{
	hwy_pairs_exit();
	fake_qmp_stop(&second);
	return vm_tear_down(state);
}

static void
step(void)
{
	fake_qmp_run(&second);
	fake_qmp_wait(&second);
	hwy_pairs_run();
	vm_round();
	hwy_pairs_run();
}

#define until(condition)                                                                           \
	do {                                                                                       \
		long long int give_up_ = vm_clock() + 20000;                                       \
		while (!(condition)) {                                                             \
			if (vm_clock() > give_up_)                                                 \
				fail_msg("in vain: %s", #condition);                               \
			step();                                                                    \
		}                                                                                  \
	} while (0)

static struct hwy_vm *a, *b;

static void
both_known(void)
{
	until(vm_told("seen") == 2);
	a = hwy_vm_by_uuid(fake.uuid);
	b = hwy_vm_by_uuid(second.uuid);
	assert_non_null(a);
	assert_non_null(b);
}

static struct hwy_pair *
pair_in(struct hwy_vm *x, struct hwy_vm *y)
{
	return hwy_pair_in(x, y, ++last_id, "/nonexistent", SIZE);
}

static void
nothing_is_left(void)
{
	until(hwy_pairs_count() == 0);
	assert_int_equal(fake.n_devices + fake.n_objects, 0);
	assert_int_equal(second.n_devices + second.n_objects, 0);
}

static void
test_it_is_plugged_when_both_machines_have_it(void **state)
{
	struct hwy_pair *pair;

	(void)state;
	both_known();
	pair = pair_in(a, b);
	until(pair->state == HWY_PAIR_PLUGGED);
	assert_int_equal(fake.n_devices, 1);
	assert_int_equal(second.n_devices, 1);
	assert_string_equal(fake.devices[0].id, second.devices[0].id);
	assert_true(pair->plugged_us >= pair->started_us);
	hwy_pair_out(pair);
	nothing_is_left();
}

static void
test_one_machine_gets_one_device(void **state)
{
	struct hwy_pair *pair;

	(void)state;
	both_known();
	pair = pair_in(a, a);
	until(pair->state == HWY_PAIR_PLUGGED);
	assert_int_equal(fake.n_devices, 1);
	hwy_pair_out(pair);
	nothing_is_left();
	pair = pair_in(NULL, b);
	until(pair->state == HWY_PAIR_PLUGGED);
	assert_int_equal(second.n_devices, 1);
	hwy_pair_out(pair);
	nothing_is_left();
}

static void
test_what_one_machine_refuses_leaves_the_other(void **state)
{
	struct hwy_pair *pair;

	(void)state;
	both_known();
	second.slots = 0;
	pair = pair_in(a, b);
	until(pair->state == HWY_PAIR_ENDED);
	assert_non_null(strstr(pair->trouble, "virtual machine vm2"));
	assert_int_equal(fake.n_devices + fake.n_objects, 0);
	hwy_pair_out(pair);
	nothing_is_left();
}

static void
test_a_machine_that_dies_frees_the_other(void **state)
{
	struct hwy_pair *pair;

	(void)state;
	both_known();
	pair = pair_in(a, b);
	until(pair->state == HWY_PAIR_PLUGGED);
	fake_qmp_die(&second);
	until(pair->state == HWY_PAIR_ENDED);
	assert_non_null(strstr(pair->trouble, "virtual machine vm2 is gone"));
	hwy_pair_out(pair);
	nothing_is_left();
}

static bool
make(uint64_t *id, char **path, uint64_t *size, void *aux)
{
	(void)aux;
	*id = ++last_id;
	*path = xasprintf("/nonexistent/%u", n_made++);
	*size = SIZE;
	return true;
}

static void
removed(const char *path)
{
	(void)path;
	n_removed++;
}

static void
spares(unsigned int n)
{
	hwy_spares_want(a, b, n, make, NULL);
	hwy_spares_sweep(removed);
	step();
}

static void
test_spare_ones_are_kept_ready_and_replaced(void **state)
{
	struct hwy_pair *taken;

	(void)state;
	both_known();
	assert_null(hwy_spare_take(a, b));
	while (hwy_spares_ready(a, b) < 2)
		spares(2);
	assert_int_equal(fake.n_devices, 2);
	assert_int_equal(second.n_devices, 2);
	taken = hwy_spare_take(b, a); /* either way round */
	assert_non_null(taken);
	assert_int_equal(taken->state, HWY_PAIR_PLUGGED);
	assert_int_equal(hwy_spares_ready(a, b), 1);
	while (hwy_spares_ready(a, b) < 2)
		spares(2);
	assert_int_equal(n_made, 3);
	hwy_pair_out(taken);
	until(fake.n_devices == 2);
	/* Fewer are wanted, then none. */
	while (hwy_spares_ready(a, b) > 1)
		spares(1);
	assert_int_equal(n_removed, 1);
	hwy_spares_sweep(removed);
	hwy_spares_sweep(removed);
	assert_int_equal(n_removed, 2);
	nothing_is_left();
}

static void
test_spare_ones_that_fail_are_not_tried_in_a_hurry(void **state)
{
	(void)state;
	both_known();
	fake.slots = 0;
	for (long long int end = vm_clock() + 500; vm_clock() < end;)
		spares(1);
	assert_int_equal(n_made, 1);
	assert_int_equal(n_removed, 1);
	nothing_is_left();
}

static uint64_t wanted_id;

static bool
wants(uint64_t id)
{
	return id == wanted_id;
}

static void
test_what_an_earlier_highwayd_left_is_taken_out(void **state)
{
	(void)state;
	fake_qmp_add_object(&fake, "hwy-00000000000000aa-mem", "/nonexistent/aa");
	fake_qmp_add_device(&fake, "ivshmem-plain", "hwy-00000000000000aa",
			    "hwy-00000000000000aa-mem", NULL);
	fake_qmp_add_object(&fake, "hwy-00000000000000bb-mem", "/nonexistent/bb");
	fake_qmp_add_device(&fake, "ivshmem-plain", "hwy-00000000000000bb",
			    "hwy-00000000000000bb-mem", NULL);
	fake_qmp_add_object(&fake, "hwy-p1-mem", "/nonexistent/p1");
	fake_qmp_add_device(&fake, "ivshmem-plain", "hwy-p1", "hwy-p1-mem", NULL);
	both_known();
	wanted_id = 0xbb;
	hwy_pairs_tidy(a, wants);
	hwy_pairs_tidy(a, wants);
	assert_int_equal(hwy_pairs_count(), 1);
	until(hwy_pairs_count() == 0);
	assert_int_equal(fake.n_devices, 2);
	assert_int_equal(fake.n_objects, 2);
	for (size_t i = 0; i < fake.n_devices; i++)
		assert_string_not_equal(fake.devices[i].id, "hwy-00000000000000aa");
	while (fake.n_devices > 0) /* as the tests expect it */
		fake_qmp_die(&fake);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_it_is_plugged_when_both_machines_have_it),
		TEST(test_one_machine_gets_one_device),
		TEST(test_what_one_machine_refuses_leaves_the_other),
		TEST(test_a_machine_that_dies_frees_the_other),
		TEST(test_spare_ones_are_kept_ready_and_replaced),
		TEST(test_spare_ones_that_fail_are_not_tried_in_a_hurry),
		TEST(test_what_an_earlier_highwayd_left_is_taken_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
