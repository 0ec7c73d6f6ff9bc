/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/hotplug against a real QEMU, of both machine types.  No guest runs: its processor is
 * stopped, and what a guest's kernel would do for an ejection, a reset does.
 *
 * Skipped where QEMU is not installed.
 */
#include "vm_support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "openvswitch/json.h"

#define QEMU   "qemu-system-x86_64"
#define SIZE   (1u << 20)
#define CYCLES 50

extern char **environ;

static pid_t qemu;
static char *region;
static enum hwy_plug_ack guest_says;

static enum hwy_plug_ack
ack(struct hwy_plug *p, void *aux)
{
	(void)p;
	(void)aux;
	return guest_says;
}

static void
retract(struct hwy_plug *p, void *aux)
{
	(void)p;
	(void)aux;
	guest_says = HWY_ACK_NONE;
}

static const struct hwy_plug_guest calls = {.ack = ack, .retract = retract};

static void
start_qemu(const char *machine, const char *const more[])
{
	char *socket = xasprintf("unix:%s/real.sock,server=on,wait=off", folder);
	const char *argv[40] = {QEMU,
				"-machine",
				machine,
				"-S",
				"-nodefaults",
				"-display",
				"none",
				"-m",
				"32",
				"-name",
				"real",
				"-uuid",
				"deadbeef-1111-2222-3333-444455556666",
				"-qmp",
				socket};
	size_t n = 0;

	while (argv[n] != NULL)
		n++;
	while (*more != NULL)
		argv[n++] = *more++;
	assert_int_equal(posix_spawnp(&qemu, QEMU, NULL, NULL, (char *const *)argv, environ), 0);
	free(socket);
}

static struct hwy_vm *
real(void)
{
	return hwy_vm_by_uuid("deadbeef-1111-2222-3333-444455556666");
}

static int
set_up(void **state)
{
	int rc = vm_set_up(state), fd;

	fake_qmp_stop(&fake); /* the real one is enough */
	fake.path = xstrdup("/nonexistent");
	hwy_plug_limits = (struct hwy_plug_limits){
		.command_ms = 20000, .guest_ms = 20000, .retract_ms = 20000, .delete_ms = 60000};
	region = xasprintf("%s/link", folder);
	fd = open(region, O_CREAT | O_RDWR, 0600);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	return rc;
}

static void
end_qemu(void)
{
	if (qemu <= 0)
		return;
	kill(qemu, SIGKILL);
	waitpid(qemu, NULL, 0);
	qemu = 0;
}

static int
tear_down(void **state)
{
	char *socket = xasprintf("%s/real.sock", folder);

	end_qemu();
	unlink(socket);
	unlink(region);
	free(socket);
	free(region);
	return vm_tear_down(state);
}

static void
ignored(struct hwy_qmp *qmp, const struct json *result, const char *error, void *aux)
{
	(void)qmp;
	(void)result;
	(void)error;
	(void)aux;
}

static void
reset(void)
{
	hwy_qmp_call(real()->qmp, "system_reset", NULL, 20000, ignored, NULL);
}

static unsigned int
files_of(pid_t pid)
{
	char *path = xasprintf("/proc/%d/fd", (int)pid);
	DIR *dir = opendir(path);
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	free(path);
	return n;
}

/* How often the file is mapped by the process. */
static unsigned int
mappings_of(pid_t pid)
{
	char *path = xasprintf("/proc/%d/maps", (int)pid), *line = NULL;
	FILE *f = fopen(path, "r");
	unsigned int n = 0;
	size_t size = 0;

	assert_non_null(f);
	while (getline(&line, &size, f) > 0)
		n += strstr(line, region) != NULL;
	free(line);
	fclose(f);
	free(path);
	return n;
}

static struct hwy_plug *
plug_in(const char *name)
{
	guest_says = HWY_ACK_MAPPED;
	return hwy_plug_in(real(), name, region, SIZE, &calls, NULL);
}

static void
cycle(void)
{
	struct hwy_plug *p = plug_in("cycle");

	vm_until(p->state == HWY_PLUG_MAPPED);
	assert_true(mappings_of(qemu) > 0);
	hwy_plug_out(p);
	vm_until(p->state == HWY_PLUG_DELETING);
	reset();
	vm_until(p->state == HWY_PLUG_ENDED);
	assert_null(p->trouble);
	hwy_plug_free(p);
}

static void
cycles(void)
{
	unsigned int theirs, ours;

	vm_until(real() != NULL);
	cycle(); /* what is allocated once is allocated now */
	vm_until(real()->lesson == NULL && hwy_qmp_n_open(real()->qmp) == 0);
	theirs = files_of(qemu);
	ours = files_of(getpid());
	for (int i = 0; i < CYCLES; i++)
		cycle();
	vm_until(real()->lesson == NULL && hwy_qmp_n_open(real()->qmp) == 0);
	/* QEMU lets go of memory a moment later (RCU). */
	vm_until(mappings_of(qemu) == 0 && files_of(qemu) <= theirs);
	assert_int_equal(files_of(getpid()), ours);
	hwy_vm_relearn(real());
	vm_until(real()->lesson != NULL);
	vm_until(real()->lesson == NULL);
	assert_int_equal(real()->n_devices, 0);
}

static const char *const nothing[] = {NULL};
static const char *const root_ports[] = {"-device", "pcie-root-port,id=rp1,chassis=1", "-device",
					 "pcie-root-port,id=rp2,chassis=2", NULL};

static void
test_fifty_cycles_on_i440fx_leave_nothing(void **state)
{
	(void)state;
	start_qemu("pc,accel=tcg", nothing);
	cycles();
}

static void
test_fifty_cycles_on_q35_leave_nothing(void **state)
{
	(void)state;
	start_qemu("q35,accel=tcg", root_ports);
	cycles();
	assert_int_equal(real()->n_ports, 2);
}

/* As many as there is room for, then one more. */
static void
exhaust(size_t room)
{
	struct hwy_plug *plugs[40] = {NULL};
	const char *trouble = NULL;
	size_t n;

	vm_until(real() != NULL);
	for (n = 0; n < ARRAY_SIZE(plugs) && trouble == NULL; n++) {
		char *name = xasprintf("slot%" PRIuSIZE, n);

		plugs[n] = plug_in(name);
		vm_until(plugs[n]->state == HWY_PLUG_MAPPED || plugs[n]->state == HWY_PLUG_ENDED);
		trouble = plugs[n]->trouble;
		free(name);
	}
	assert_int_equal(n - 1, room);
	assert_non_null(strstr(trouble, real()->pcie ? "no free pcie-root-port"
						     : "no slot/function available"));
	for (size_t i = 0; i < n; i++)
		hwy_plug_free(plugs[i]);
}

static void
test_an_i440fx_has_no_slot_left(void **state)
{
	(void)state;
	start_qemu("pc,accel=tcg", nothing);
	exhaust(30); /* 32 less the host bridge and PIIX3 */
}

static void
test_a_q35_has_no_root_port_left(void **state)
{
	(void)state;
	start_qemu("q35,accel=tcg", root_ports);
	exhaust(2);
}

static void
test_a_qemu_that_is_killed_ends_its_plugs(void **state)
{
	struct hwy_plug *p;

	(void)state;
	start_qemu("pc,accel=tcg", nothing);
	vm_until(real() != NULL);
	p = plug_in("killed");
	vm_until(p->state == HWY_PLUG_MAPPED);
	end_qemu();
	vm_until(p->state == HWY_PLUG_ENDED);
	assert_non_null(strstr(p->trouble, "virtual machine real is gone"));
	hwy_plug_free(p);
	vm_until(vm_told("gone") == 1);
}

static void
test_pause_and_reset_of_a_real_one(void **state)
{
	(void)state;
	start_qemu("pc,accel=tcg", nothing);
	vm_until(real() != NULL);
	assert_int_equal(real()->state, HWY_VM_PAUSED); /* -S */
	hwy_qmp_call(real()->qmp, "cont", NULL, 20000, ignored, NULL);
	vm_until(vm_told("resumed") == 1);
	hwy_qmp_call(real()->qmp, "stop", NULL, 20000, ignored, NULL);
	vm_until(vm_told("stopped") == 1);
	reset();
	vm_until(vm_told("reset") == 1);
	hwy_qmp_call(real()->qmp, "quit", NULL, 20000, ignored, NULL);
	vm_until(vm_told("gone") == 1);
	assert_string_equal(ds_cstr(&told),
			    "seen:real resumed:real stopped:real reset:real gone:real ");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_fifty_cycles_on_i440fx_leave_nothing),
		TEST(test_fifty_cycles_on_q35_leave_nothing),
		TEST(test_an_i440fx_has_no_slot_left),
		TEST(test_a_q35_has_no_root_port_left),
		TEST(test_a_qemu_that_is_killed_ends_its_plugs),
		TEST(test_pause_and_reset_of_a_real_one),
	};

	if (system("command -v " QEMU " >/dev/null") != 0) {
		fprintf(stderr, QEMU " is missing (package qemu-system-x86)\n");
		return 77; /* meson: skipped */
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
