/* SPDX-License-Identifier: BSD-3-Clause */
/* agent/hotplug: the client of a monitor, and the machines that are known by it. */
#include "vm_support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "openvswitch/json.h"

static char *answer;
static unsigned int n_answers;

static void
on_answer(struct hwy_qmp *qmp, const struct json *result, const char *error, void *aux)
{
	(void)qmp;
	(void)aux;
	free(answer);
	answer = result != NULL ? json_to_string(result, 0) : xstrdup(error);
	n_answers++;
}

static const char *
ask(struct hwy_vm *vm, const char *command, unsigned int deadline_ms)
{
	unsigned int before = n_answers;

	hwy_qmp_call(vm->qmp, command, NULL, deadline_ms, on_answer, NULL);
	vm_until(n_answers > before);
	return answer;
}

static int
tear_down(void **state)
{
	free(answer);
	answer = NULL;
	return vm_tear_down(state);
}

static void
test_a_machine_is_learned(void **state)
{
	char *file = xasprintf("%s/region", folder);
	struct hwy_vm *vm;
	struct stat st;

	(void)state;
	close(open(file, O_CREAT | O_RDWR, 0600));
	assert_int_equal(stat(file, &st), 0);
	fake_qmp_add_object(&fake, "mem0", file);
	fake_qmp_add_object(&fake, "ram", NULL);
	fake_qmp_add_device(&fake, "ivshmem-plain", "dev0", "mem0", NULL);
	fake_qmp_add_device(&fake, "virtio-net-pci", "net0", NULL, NULL);
	vm_until(vm_known() != NULL);
	vm = vm_known();
	assert_string_equal(vm->name, "vm1");
	assert_string_equal(vm->uuid, "0a1b2c3d-1111-2222-3333-444455556666");
	assert_string_equal(vm->type, "pc-i440fx-7.2-machine");
	assert_int_equal(vm->state, HWY_VM_RUNNING);
	assert_false(vm->pcie);
	assert_int_equal(vm->n_devices, 1);
	assert_string_equal(vm->devices[0].id, "dev0");
	assert_string_equal(vm->devices[0].backend, "mem0");
	assert_string_equal(vm->devices[0].path, file);
	assert_ptr_equal(hwy_vm_maps(vm, st.st_dev, st.st_ino), &vm->devices[0]);
	assert_null(hwy_vm_maps(vm, st.st_dev, st.st_ino + 1));
	assert_ptr_equal(hwy_vm_by_uuid("0A1B2C3D-1111-2222-3333-444455556666"), vm);
	assert_null(hwy_vm_by_uuid("0a1b2c3d-1111-2222-3333-444455556667"));
	unlink(file);
	free(file);
}

static void
test_free_root_ports_are_learned(void **state)
{
	struct hwy_vm *vm;

	(void)state;
	fake.type = "pc-q35-7.2-machine";
	fake_qmp_add_device(&fake, "pcie-root-port", "rp1", NULL, "pcie.0");
	fake_qmp_add_device(&fake, "pcie-root-port", "rp2", NULL, "pcie.0");
	fake_qmp_add_device(&fake, "e1000e", "net0", NULL, "rp1");
	vm_until(vm_known() != NULL);
	vm = vm_known();
	assert_true(vm->pcie);
	assert_int_equal(vm->n_ports, 1);
	assert_string_equal(vm->ports[0], "rp2");
}

static void
test_a_nameless_machine_is_called_by_its_socket(void **state)
{
	(void)state;
	fake.name = "";
	vm_until(vm_known() != NULL);
	assert_string_equal(vm_known()->name, "vm1");
}

static void
test_commands_are_answered_in_any_case(void **state)
{
	struct hwy_vm *vm;

	(void)state;
	vm_until(vm_known() != NULL);
	vm = vm_known();
	assert_non_null(strstr(ask(vm, "query-uuid", 20000), "0a1b2c3d"));
	assert_string_equal(ask(vm, "no-such-command", 20000),
			    "no-such-command was refused: no such thing");
	fake.fault_at = "query-name";
	fake.fault = FAKE_MUTE;
	assert_string_equal(ask(vm, "query-name", 50), "query-name got no answer within 50 ms");
	fake.fault = FAKE_HANG_UP;
	assert_non_null(strstr(ask(vm, "query-name", 20000), "the connection was closed"));
	vm_until(hwy_qmp_is_up(vm->qmp));
	assert_non_null(strstr(ask(vm, "query-name", 20000), "vm1"));
}

static void
test_a_late_answer_is_nobodys(void **state)
{
	struct hwy_vm *vm;
	unsigned int before;

	(void)state;
	vm_until(vm_known() != NULL);
	vm = vm_known();
	before = n_answers;
	hwy_qmp_call(vm->qmp, "query-name", NULL, 0, on_answer, NULL);
	vm_until(n_answers == before + 1);
	assert_string_equal(answer, "query-name got no answer within 0 ms");
	vm_pass(50);
	assert_int_equal(n_answers, before + 1);
	assert_non_null(strstr(ask(vm, "query-name", 20000), "vm1"));
}

static void
test_forgotten_commands_call_nobody(void **state)
{
	struct hwy_vm *vm;
	unsigned int before, of_fake;
	int aux;

	(void)state;
	vm_until(vm_known() != NULL);
	vm = vm_known();
	before = n_answers;
	of_fake = fake.commands;
	hwy_qmp_call(vm->qmp, "query-name", NULL, 20000, on_answer, &aux);
	hwy_qmp_forget(vm->qmp, &aux);
	vm_until(fake.commands > of_fake && hwy_qmp_n_open(vm->qmp) == 0);
	assert_int_equal(n_answers, before);
}

static void
test_nonsense_ends_the_connection_only(void **state)
{
	struct hwy_vm *vm;
	unsigned int connections;

	(void)state;
	vm_until(vm_known() != NULL);
	vm = vm_known();
	connections = fake.connections;
	fake.fault_at = "query-name";
	fake.fault = FAKE_NONSENSE;
	assert_non_null(strstr(ask(vm, "query-name", 20000), "speaks no QMP"));
	vm_until(hwy_qmp_is_up(vm->qmp));
	assert_true(fake.connections > connections);
	assert_int_equal(vm_told("gone"), 0);
}

static void
test_a_monitor_that_another_holds_is_explained(void **state)
{
	struct hwy_vm *vm = NULL;

	(void)state;
	fake.no_greeting = true;
	vm_until(!hmap_is_empty(&hwy_vms));
	HMAP_FOR_EACH (vm, node, &hwy_vms)
		break;
	vm_until(hwy_qmp_trouble(vm->qmp) != NULL);
	assert_non_null(strstr(hwy_qmp_trouble(vm->qmp), "another client holds this monitor"));
	fake.no_greeting = false;
	vm_until(vm_known() != NULL);
	assert_null(hwy_qmp_trouble(vm_known()->qmp));
}

static void
test_pause_and_resume_are_told(void **state)
{
	(void)state;
	vm_until(vm_known() != NULL);
	fake_qmp_event(&fake, "STOP", NULL, NULL);
	vm_until(vm_told("stopped") == 1);
	assert_int_equal(vm_known()->state, HWY_VM_PAUSED);
	fake_qmp_event(&fake, "RESUME", NULL, NULL);
	vm_until(vm_told("resumed") == 1);
	assert_int_equal(vm_known()->state, HWY_VM_RUNNING);
	assert_string_equal(ds_cstr(&told), "seen:vm1 stopped:vm1 resumed:vm1 ");
}

static void
test_reset_is_told_and_the_machine_stays(void **state)
{
	(void)state;
	vm_until(vm_known() != NULL);
	fake_qmp_event(&fake, "RESET", NULL, "guest-reset");
	vm_until(vm_told("reset") == 1);
	vm_pass(50);
	assert_string_equal(ds_cstr(&told), "seen:vm1 reset:vm1 ");
}

static void
test_an_old_event_is_told_as_late(void **state)
{
	(void)state;
	vm_until(vm_known() != NULL);
	fake.event_age_s = 5;
	fake_qmp_event(&fake, "RESET", NULL, "guest-reset");
	vm_until(vm_told("reset") == 1);
	assert_string_equal(ds_cstr(&told), "seen:vm1 reset:vm1 ");
	assert_int_equal(n_late, 1);
}

static void
test_a_machine_that_shuts_down_is_gone_once(void **state)
{
	(void)state;
	vm_until(vm_known() != NULL);
	fake.status = "shutdown";
	fake_qmp_event(&fake, "SHUTDOWN", NULL, "guest-shutdown");
	fake_qmp_event(&fake, "STOP", NULL, NULL);
	vm_until(vm_told("gone") == 1);
	fake_qmp_die(&fake);
	vm_pass(300);
	assert_string_equal(ds_cstr(&told), "seen:vm1 gone:vm1 ");
}

static void
test_a_killed_machine_is_gone_at_once_and_comes_back(void **state)
{
	char *path = xstrdup(fake.path);
	long long int since;

	(void)state;
	vm_until(vm_known() != NULL);
	fake_qmp_die(&fake);
	since = vm_clock();
	vm_until(vm_told("gone") == 1);
	assert_true(vm_clock() - since < 1000);
	fake_qmp_start(&fake, path);
	vm_until(vm_told("seen") == 2);
	assert_string_equal(ds_cstr(&told), "seen:vm1 gone:vm1 seen:vm1 ");
	free(path);
}

static void
test_a_lost_connection_is_no_lost_machine(void **state)
{
	unsigned int connections;

	(void)state;
	vm_until(vm_known() != NULL);
	connections = fake.connections;
	fake.fault_at = "query-status";
	fake.fault = FAKE_HANG_UP;
	hwy_vm_relearn(vm_known());
	vm_until(fake.connections > connections);
	vm_pass(200);
	assert_string_equal(ds_cstr(&told), "seen:vm1 ");
}

/* Between two rounds of ours it was killed and started anew. */
static void
test_another_qemu_at_the_same_socket_is_another_machine(void **state)
{
	char *path = xstrdup(fake.path);

	(void)state;
	vm_until(vm_known() != NULL);
	fake_qmp_die(&fake);
	fake_qmp_start(&fake, path);
	vm_until(vm_told("seen") == 2);
	assert_string_equal(ds_cstr(&told), "seen:vm1 gone:vm1 seen:vm1 ");
	assert_int_equal(n_late, 1);
	free(path);
}

static void
test_sockets_come_and_go(void **state)
{
	struct fake_qmp second = {
		.uuid = "second", .name = "vm2", .type = "microvm", .status = "paused"};
	char *path = xasprintf("%s/vm2.qmp", folder);

	(void)state;
	vm_until(vm_known() != NULL);
	fake_qmp_start(&second, path);
	while (vm_told("seen") < 2) {
		fake_qmp_run(&second);
		vm_round();
	}
	assert_int_equal(hwy_vm_by_uuid("second")->state, HWY_VM_PAUSED);
	fake_qmp_stop(&second);
	vm_until(hmap_count(&hwy_vms) == 1);
	assert_string_equal(ds_cstr(&told), "seen:vm1 seen:vm2 gone:vm2 ");
	free(path);
}

static void
test_the_folder_may_come_later(void **state)
{
	char *later = xasprintf("%s/later", folder), *path = xasprintf("%s/x.sock", later);
	char *first = xstrdup(fake.path);

	(void)state;
	vm_until(vm_known() != NULL);
	hwy_vms_set_dir(later);
	assert_int_equal(vm_told("forgotten"), 1);
	assert_int_equal(vm_told("gone"), 0);
	vm_until(hwy_vms_trouble() != NULL);
	assert_non_null(strstr(hwy_vms_trouble(), "No such file or directory"));
	assert_int_equal(mkdir(later, 0700), 0);
	fake_qmp_stop(&fake);
	fake_qmp_start(&fake, path);
	vm_until(vm_told("seen") == 2);
	assert_null(hwy_vms_trouble());
	fake_qmp_stop(&fake);
	vm_until(hmap_is_empty(&hwy_vms));
	rmdir(later);
	fake_qmp_start(&fake, first);
	free(first);
	free(path);
	free(later);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, vm_set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_machine_is_learned),
		TEST(test_free_root_ports_are_learned),
		TEST(test_a_nameless_machine_is_called_by_its_socket),
		TEST(test_commands_are_answered_in_any_case),
		TEST(test_a_late_answer_is_nobodys),
		TEST(test_forgotten_commands_call_nobody),
		TEST(test_nonsense_ends_the_connection_only),
		TEST(test_a_monitor_that_another_holds_is_explained),
		TEST(test_pause_and_resume_are_told),
		TEST(test_reset_is_told_and_the_machine_stays),
		TEST(test_an_old_event_is_told_as_late),
		TEST(test_a_machine_that_shuts_down_is_gone_once),
		TEST(test_a_killed_machine_is_gone_at_once_and_comes_back),
		TEST(test_a_lost_connection_is_no_lost_machine),
		TEST(test_another_qemu_at_the_same_socket_is_another_machine),
		TEST(test_sockets_come_and_go),
		TEST(test_the_folder_may_come_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
