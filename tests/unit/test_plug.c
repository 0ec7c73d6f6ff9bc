/* SPDX-License-Identifier: BSD-3-Clause */
/* agent/hotplug/plug.h: a device comes and goes, whatever fails on the way. */
#include "vm_support.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE (1u << 20)

/* The guest end that is none. */
static struct {
	bool refuses_offer;
	bool never_retracts;
	bool offered;
	enum hwy_plug_ack ack;
	char *states; /* all that were entered, by their words */
} guest;

static char *
offer(struct hwy_plug *p, void *aux)
{
	(void)p;
	(void)aux;
	guest.offered = true;
	return guest.refuses_offer ? xstrdup("no attach slot is free") : NULL;
}

static enum hwy_plug_ack
ack(struct hwy_plug *p, void *aux)
{
	(void)p;
	(void)aux;
	return guest.ack;
}

static void
retract(struct hwy_plug *p, void *aux)
{
	(void)p;
	(void)aux;
	if (!guest.never_retracts)
		guest.ack = HWY_ACK_NONE;
}

static void
changed(struct hwy_plug *p, void *aux)
{
	char *old = guest.states;

	(void)aux;
	guest.states = old == NULL ? xstrdup(hwy_plug_state_word(p->state))
				   : xasprintf("%s %s", old, hwy_plug_state_word(p->state));
	free(old);
}

static const struct hwy_plug_guest calls = {offer, ack, retract, changed};

static char *region;
static struct hwy_plug *plug;

static int
set_up(void **state)
{
	int rc = vm_set_up(state);

	region = xasprintf("%s/link", folder);
	close(open(region, O_CREAT | O_RDWR, 0600));
	memset(&guest, 0, sizeof guest);
	guest.ack = HWY_ACK_MAPPED;
	hwy_plug_limits = (struct hwy_plug_limits){
		.command_ms = 300, .guest_ms = 300, .retract_ms = 100, .delete_ms = 300};
	return rc;
}

static int
tear_down(void **state)
{
	hwy_plug_free(plug);
	plug = NULL;
	unlink(region);
	free(region);
	free(guest.states);
	return vm_tear_down(state);
}

static struct hwy_plug *
plug_in(void)
{
	vm_until(vm_known() != NULL);
	plug = hwy_plug_in(vm_known(), "a-b", region, SIZE, &calls, NULL);
	return plug;
}

static void
until(enum hwy_plug_state state)
{
	vm_until(plug->state == state);
}

static void
nothing_is_left(void)
{
	assert_null(plug->vm);
	assert_int_equal(fake.n_devices, 0);
	assert_int_equal(fake.n_objects, 0);
}

#define UP   "object-add device_add offered seen mapped"
#define DOWN " retracted device_del deleting object-del ended"

static void
test_in_and_out(void **state)
{
	(void)state;
	plug_in();
	until(HWY_PLUG_MAPPED);
	assert_string_equal(guest.states, UP);
	assert_int_equal(fake.n_objects, 1);
	assert_string_equal(fake.objects[0].id, "hwy-a-b-mem");
	assert_string_equal(fake.objects[0].path, region);
	assert_int_equal(fake.n_devices, 1);
	assert_string_equal(fake.devices[0].id, "hwy-a-b");
	assert_string_equal(fake.devices[0].memdev, "hwy-a-b-mem");
	assert_null(plug->trouble);
	for (int s = HWY_PLUG_OBJECT_ADD; s < HWY_PLUG_MAPPED; s++)
		assert_true(plug->entered_us[s] > 0 &&
			    plug->entered_us[s] <= plug->entered_us[s + 1]);
	hwy_plug_out(plug);
	until(HWY_PLUG_ENDED);
	assert_non_null(strstr(guest.states, UP " retracted device_del"));
	assert_null(plug->trouble);
	nothing_is_left();
}

/* Each fault at each command of the way in: it ends, nothing is left, and why is said. */
static void
test_every_step_in_that_fails_is_taken_back(void **state)
{
	static const char *const commands[] = {"object-add", "device_add"};
	static const enum fake_fault faults[] = {FAKE_REFUSE, FAKE_MUTE, FAKE_DONE_MUTE};

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(commands); c++) {
		for (size_t f = 0; f < ARRAY_SIZE(faults); f++) {
			fake.fault_at = commands[c];
			fake.fault = faults[f];
			plug_in();
			until(HWY_PLUG_ENDED);
			nothing_is_left();
			assert_non_null(plug->trouble);
			assert_non_null(strstr(plug->trouble, commands[c]));
			assert_non_null(strstr(plug->trouble, "virtual machine vm1"));
			assert_false(guest.offered);
			hwy_plug_free(plug);
			plug = NULL;
		}
	}
}

static void
test_device_add_does_not_wait_for_the_answer_to_object_add(void **state)
{
	(void)state;
	fake.fault_at = "object-add";
	fake.fault = FAKE_DONE_MUTE;
	plug_in();
	until(HWY_PLUG_ENDED);
	nothing_is_left();
	assert_non_null(strstr(plug->trouble, "answers device_add, but not object-add"));
}

/* Each fault at each command of the way out: it is asked again until nothing is left. */
static void
test_every_step_out_that_fails_is_tried_again(void **state)
{
	static const char *const commands[] = {"device_del", "object-del"};
	static const enum fake_fault faults[] = {FAKE_REFUSE, FAKE_MUTE, FAKE_DONE_MUTE};

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(commands); c++) {
		for (size_t f = 0; f < ARRAY_SIZE(faults); f++) {
			guest.ack = HWY_ACK_MAPPED;
			plug_in();
			until(HWY_PLUG_MAPPED);
			fake.fault_at = commands[c];
			fake.fault = faults[f];
			hwy_plug_out(plug);
			vm_pass(400);
			fake.fault = FAKE_FINE;
			until(HWY_PLUG_ENDED);
			nothing_is_left();
			hwy_plug_free(plug);
			plug = NULL;
		}
	}
}

/* QEMU dies before, or after, each command and in between. */
static void
test_qemu_is_gone_between_any_two_steps(void **state)
{
	static const char *const commands[] = {"object-add", "device_add", "device_del",
					       "object-del"};
	static const enum fake_fault faults[] = {FAKE_DIE, FAKE_DONE_DIE};
	char *path = xstrdup(fake.path);

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(commands); c++) {
		for (size_t f = 0; f < ARRAY_SIZE(faults); f++) {
			guest.ack = HWY_ACK_MAPPED;
			fake.fault_at = commands[c];
			fake.fault = faults[f];
			plug_in();
			if (c >= 2) {
				until(HWY_PLUG_MAPPED);
				hwy_plug_out(plug);
			}
			until(HWY_PLUG_ENDED);
			nothing_is_left();
			assert_int_equal(plug->trouble != NULL, c < 2);
			vm_until(vm_known() == NULL);
			hwy_plug_free(plug);
			plug = NULL;
			fake.fault_at = NULL;
			fake_qmp_start(&fake, path);
		}
	}
	free(path);
}

static void
test_a_plug_ends_with_its_machine(void **state)
{
	(void)state;
	plug_in();
	until(HWY_PLUG_MAPPED);
	fake_qmp_die(&fake);
	until(HWY_PLUG_ENDED);
	assert_non_null(strstr(plug->trouble, "virtual machine vm1 is gone"));
	nothing_is_left();
}

static void
test_a_lost_monitor_leaves_what_is_plugged(void **state)
{
	(void)state;
	plug_in();
	until(HWY_PLUG_MAPPED);
	fake.fault_at = "query-status";
	fake.fault = FAKE_HANG_UP;
	hwy_vm_relearn(vm_known());
	vm_until(fake.fault_at == NULL);
	vm_until(hwy_qmp_is_up(vm_known()->qmp));
	assert_int_equal(plug->state, HWY_PLUG_MAPPED);
	hwy_plug_out(plug);
	until(HWY_PLUG_ENDED);
	nothing_is_left();
}

static void
test_a_guest_that_does_not_look_is_given_up(void **state)
{
	(void)state;
	guest.ack = HWY_ACK_NONE;
	plug_in();
	until(HWY_PLUG_ENDED);
	assert_non_null(strstr(plug->trouble, "has not found"));
	nothing_is_left();
}

static void
test_a_guest_that_does_not_map_is_given_up(void **state)
{
	(void)state;
	guest.ack = HWY_ACK_SEEN;
	plug_in();
	until(HWY_PLUG_SEEN);
	until(HWY_PLUG_ENDED);
	assert_non_null(strstr(plug->trouble, "has not mapped"));
	nothing_is_left();
}

static void
test_a_guest_that_refuses_is_given_up_at_once(void **state)
{
	long long int since;

	(void)state;
	guest.ack = HWY_ACK_REFUSED;
	hwy_plug_limits.guest_ms = 60000;
	plug_in();
	since = vm_clock();
	until(HWY_PLUG_ENDED);
	assert_true(vm_clock() - since < 30000);
	assert_non_null(strstr(plug->trouble, "cannot use"));
	nothing_is_left();
}

static void
test_an_offer_that_cannot_be_made_is_taken_back(void **state)
{
	(void)state;
	guest.refuses_offer = true;
	plug_in();
	until(HWY_PLUG_ENDED);
	assert_string_equal(plug->trouble, "no attach slot is free");
	nothing_is_left();
}

static void
test_a_guest_that_does_not_let_go_loses_the_device_all_the_same(void **state)
{
	(void)state;
	guest.never_retracts = true;
	plug_in();
	until(HWY_PLUG_MAPPED);
	hwy_plug_out(plug);
	until(HWY_PLUG_ENDED);
	nothing_is_left();
}

static void
test_a_device_that_is_kept_is_waited_for(void **state)
{
	(void)state;
	fake.keeps_devices = true;
	plug_in();
	until(HWY_PLUG_MAPPED);
	hwy_plug_out(plug);
	vm_until(plug->trouble != NULL);
	assert_non_null(strstr(plug->trouble, "has not given"));
	vm_pass(700);
	assert_int_not_equal(plug->state, HWY_PLUG_ENDED);
	assert_int_equal(fake.n_objects, 1);
	fake_qmp_release(&fake);
	until(HWY_PLUG_ENDED);
	nothing_is_left();
}

static void
test_a_guest_that_refuses_to_give_it_back_is_named(void **state)
{
	(void)state;
	fake.keeps_devices = true;
	hwy_plug_limits.delete_ms = 60000;
	plug_in();
	until(HWY_PLUG_MAPPED);
	hwy_plug_out(plug);
	until(HWY_PLUG_DELETING);
	fake_qmp_event(&fake, "DEVICE_UNPLUG_GUEST_ERROR", "hwy-a-b", NULL);
	vm_until(plug->trouble != NULL);
	assert_non_null(strstr(plug->trouble, "refuses to give"));
	fake_qmp_release(&fake);
	until(HWY_PLUG_ENDED);
}

static void
test_out_before_it_is_in(void **state)
{
	(void)state;
	plug_in();
	hwy_plug_out(plug);
	until(HWY_PLUG_ENDED);
	assert_false(guest.offered);
	assert_null(plug->trouble);
	nothing_is_left();
}

static void
test_a_reset_takes_it_out(void **state)
{
	(void)state;
	plug_in();
	until(HWY_PLUG_MAPPED);
	fake_qmp_event(&fake, "RESET", NULL, "guest-reset");
	until(HWY_PLUG_ENDED);
	assert_non_null(strstr(plug->trouble, "was reset"));
	nothing_is_left();
}

static void
test_a_device_that_somebody_else_takes_away(void **state)
{
	(void)state;
	plug_in();
	until(HWY_PLUG_MAPPED);
	fake.devices[0].leaving = true;
	fake_qmp_release(&fake);
	until(HWY_PLUG_ENDED);
	assert_non_null(strstr(plug->trouble, "somebody else"));
	nothing_is_left();
}

static void
test_exhausted_slots_are_said(void **state)
{
	(void)state;
	fake.slots = 0;
	plug_in();
	until(HWY_PLUG_ENDED);
	assert_non_null(strstr(plug->trouble, "no slot/function available"));
	nothing_is_left();
}

static void
add_root_ports(void)
{
	fake.type = "pc-q35-7.2-machine";
	fake_qmp_add_device(&fake, "pcie-root-port", "rp1", NULL, "pcie.0");
	fake_qmp_add_device(&fake, "pcie-root-port", "rp2", NULL, "pcie.0");
	fake_qmp_add_device(&fake, "e1000e", "net0", NULL, "rp1");
}

static void
test_a_free_root_port_is_taken_and_given_back(void **state)
{
	struct hwy_plug *second;

	(void)state;
	add_root_ports();
	plug_in();
	until(HWY_PLUG_MAPPED);
	assert_string_equal(plug->bus, "rp2");
	second = hwy_plug_in(vm_known(), "a-c", region, SIZE, &calls, NULL);
	vm_until(second->state == HWY_PLUG_ENDED);
	assert_non_null(strstr(second->trouble, "virtual machine vm1 has no free pcie-root-port"));
	hwy_plug_free(second);
	hwy_plug_out(plug);
	until(HWY_PLUG_ENDED);
	vm_until(vm_known()->n_ports == 1);
	assert_int_equal(fake.n_devices, 3);
	assert_int_equal(fake.n_objects, 0);
}

static void
test_what_an_earlier_highwayd_plugged_is_taken_over(void **state)
{
	unsigned int before;

	(void)state;
	fake_qmp_add_object(&fake, "hwy-a-b-mem", region);
	fake_qmp_add_device(&fake, "ivshmem-plain", "hwy-a-b", "hwy-a-b-mem", NULL);
	vm_until(vm_known() != NULL);
	before = fake.commands;
	plug_in();
	assert_true(plug->found);
	until(HWY_PLUG_MAPPED);
	assert_int_equal(fake.commands, before);
	assert_int_equal(fake.n_devices, 1);
	hwy_plug_out(plug);
	until(HWY_PLUG_ENDED);
	nothing_is_left();
}

static unsigned int
open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void
test_fifty_cycles_leave_nothing(void **state)
{
	unsigned int files;

	(void)state;
	vm_until(vm_known() != NULL);
	files = open_files();
	for (int i = 0; i < 50; i++) {
		guest.ack = HWY_ACK_MAPPED;
		plug_in();
		until(HWY_PLUG_MAPPED);
		hwy_plug_out(plug);
		until(HWY_PLUG_ENDED);
		nothing_is_left();
		hwy_plug_free(plug);
		plug = NULL;
	}
	vm_until(hwy_qmp_n_open(vm_known()->qmp) == 0);
	assert_int_equal(open_files(), files);
	assert_true(ovs_list_is_empty(&vm_known()->plugs));
}

static void
test_the_commands_by_hand(void **state)
{
	char *commands[2];

	(void)state;
	add_root_ports();
	vm_until(vm_known() != NULL);
	hwy_plug_by_hand(NULL, "p1", "/dev/shm/highway/@p1", SIZE, commands);
	assert_string_equal(commands[0], "object_add memory-backend-file,id=hwy-p1-mem,share=on,"
					 "mem-path=/dev/shm/highway/@p1,size=1048576");
	assert_string_equal(commands[1], "device_add ivshmem-plain,id=hwy-p1,memdev=hwy-p1-mem");
	free(commands[0]);
	free(commands[1]);
	hwy_plug_by_hand(vm_known(), "p1", "/dev/shm/highway/@p1", SIZE, commands);
	assert_string_equal(commands[1],
			    "device_add ivshmem-plain,id=hwy-p1,memdev=hwy-p1-mem,bus=rp2");
	free(commands[0]);
	free(commands[1]);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_in_and_out),
		TEST(test_every_step_in_that_fails_is_taken_back),
		TEST(test_device_add_does_not_wait_for_the_answer_to_object_add),
		TEST(test_every_step_out_that_fails_is_tried_again),
		TEST(test_qemu_is_gone_between_any_two_steps),
		TEST(test_a_plug_ends_with_its_machine),
		TEST(test_a_lost_monitor_leaves_what_is_plugged),
		TEST(test_a_guest_that_does_not_look_is_given_up),
		TEST(test_a_guest_that_does_not_map_is_given_up),
		TEST(test_a_guest_that_refuses_is_given_up_at_once),
		TEST(test_an_offer_that_cannot_be_made_is_taken_back),
		TEST(test_a_guest_that_does_not_let_go_loses_the_device_all_the_same),
		TEST(test_a_device_that_is_kept_is_waited_for),
		TEST(test_a_guest_that_refuses_to_give_it_back_is_named),
		TEST(test_out_before_it_is_in),
		TEST(test_a_reset_takes_it_out),
		TEST(test_a_device_that_somebody_else_takes_away),
		TEST(test_exhausted_slots_are_said),
		TEST(test_a_free_root_port_is_taken_and_given_back),
		TEST(test_what_an_earlier_highwayd_plugged_is_taken_over),
		TEST(test_fifty_cycles_leave_nothing),
		TEST(test_the_commands_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
