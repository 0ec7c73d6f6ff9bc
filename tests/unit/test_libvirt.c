/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/hotplug against a real libvirt with a real QEMU: its driver for QEMU, in this process.  No
 * guest runs: what a guest's kernel would do for an ejection, a reset does.
 *
 * libvirt's driver wants a user libvirt-qemu, whom its daemon's package makes; here a mount
 * namespace of the test's own has one.  Skipped where the driver is not installed, and for
 * anybody but root.
 */
#include "vm_support.h"

#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libvirt.h"
#include "libvirt_names.h"
#include "openvswitch/json.h"

#define UUID "deadbeef-1111-2222-3333-444455557777"
#define SIZE (1u << 20)

static char *root, *uri, *sockets, *region;
static virConnectPtr conn;
static virDomainPtr domain;

/* Puts 'text' behind what 'path' holds, for this process alone. */
static int
append_privately(const char *path, const char *text)
{
	char *copy = xasprintf("%s/%s", root, strrchr(path, '/') + 1);
	char *command = xasprintf("cp %s %s && printf '%s\\n' >> %s", path, copy, text, copy);
	int rc = system(command) != 0 || mount(copy, path, NULL, MS_BIND, NULL) != 0;

	free(command);
	free(copy);
	return rc;
}

static int
prepare(void)
{
	char template[] = "/tmp/highway-libvirt-XXXXXX";
	char *command;
	int rc;

	if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return 77;
	root = xstrdup(mkdtemp(template));
	uri = xasprintf("qemu:///embed?root=%s", root);
	sockets = xasprintf("%s/sockets", root);
	command = xasprintf(
		"mkdir %s/etc && printf 'user = \"root\"\\ngroup = \"root\"\\n"
		"namespaces = []\\ncgroup_controllers = []\\nsecurity_driver = \"none\"\\n"
		"stdio_handler = \"file\"\\n' > %s/etc/qemu.conf",
		root, root);
	rc = system(command) != 0 ||
	     append_privately("/etc/passwd", "libvirt-qemu:x:64055:64055::/:/bin/false") != 0 ||
	     append_privately("/etc/group", "libvirt-qemu:x:64055:") != 0;
	free(command);
	if (rc != 0)
		return 77;
	virEventRegisterDefaultImpl();
	/* One after the other: the driver starts with the first. */
	conn = virConnectOpen(uri);
	if (conn == NULL) {
		fprintf(stderr, "no %s: %s\n", uri, virGetLastErrorMessage());
		return 77;
	}
	hwy_libvirt_set_uri(uri, sockets);
	return 0;
}

static void
start_domain(const char *machine, const char *more)
{
	char *xml = xasprintf("<domain type='qemu'><name>real</name><uuid>" UUID "</uuid>"
			      "<memory unit='MiB'>64</memory><vcpu>1</vcpu><os>"
			      "<type arch='x86_64' machine='%s'>hvm</type></os>"
			      "<features><acpi/></features><devices>"
			      "<emulator>/usr/bin/qemu-system-x86_64</emulator>"
			      "<memballoon model='none'/>%s</devices></domain>",
			      machine, more);

	/* Firmware that runs would reset the machine once more after a reset. */
	domain = virDomainCreateXML(conn, xml, VIR_DOMAIN_START_PAUSED);
	if (domain == NULL)
		fail_msg("no domain: %s", virGetLastErrorMessage());
	free(xml);
}

static void
end_domain(void)
{
	if (domain == NULL)
		return;
	virDomainDestroy(domain);
	virDomainFree(domain);
	domain = NULL;
}

static int
set_up(void **state)
{
	int rc = vm_set_up(state), fd;

	fake_qmp_stop(&fake); /* the real one is enough */
	fake.path = xstrdup("/nonexistent");
	hwy_plug_limits = (struct hwy_plug_limits){
		.command_ms = 20000, .guest_ms = 20000, .retract_ms = 20000, .delete_ms = 60000};
	hwy_vms_set_own_dir(hwy_libvirt_folder());
	region = xasprintf("%s/link", folder);
	fd = open(region, O_CREAT | O_RDWR, 0600);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	return rc;
}

static int
tear_down(void **state)
{
	end_domain();
	hwy_libvirt_leave_out("");
	unlink(region);
	free(region);
	return vm_tear_down(state);
}

static struct hwy_vm *
real(void)
{
	return hwy_vm_by_uuid(UUID);
}

static bool
libvirt_has(const char *text)
{
	char *xml = virDomainGetXMLDesc(domain, 0);
	bool has = xml != NULL && strstr(xml, text) != NULL;

	free(xml);
	return has;
}

static enum hwy_plug_ack
ack(struct hwy_plug *p, void *aux)
{
	(void)aux;
	return p->wanted ? HWY_ACK_MAPPED : HWY_ACK_NONE;
}

static const struct hwy_plug_guest calls = {.ack = ack};

/* In and out; libvirt has it as a <shmem> device meanwhile, and nothing of it afterwards. */
static void
cycle(void)
{
	struct hwy_plug *p = hwy_plug_in(real(), "cycle", region, SIZE, &calls, NULL);
	unsigned int resets = vm_told("reset");
	struct stat st;

	assert_int_equal(stat(region, &st), 0);
	vm_until(p->state == HWY_PLUG_MAPPED || p->state == HWY_PLUG_ENDED);
	if (p->trouble != NULL)
		fail_msg("%s", p->trouble);
	assert_true(libvirt_has("<shmem name='hwy-cycle'"));
	hwy_vm_relearn(real());
	vm_until(hwy_vm_maps(real(), st.st_dev, st.st_ino) != NULL);
	assert_string_equal(hwy_vm_maps(real(), st.st_dev, st.st_ino)->id, "hwy-cycle");
	assert_string_equal(hwy_vm_maps(real(), st.st_dev, st.st_ino)->backend, "hwy-cycle-mem");
	hwy_plug_out(p);
	vm_until(p->state == HWY_PLUG_DELETING);
	assert_int_equal(virDomainReset(domain, 0), 0);
	vm_until(p->state == HWY_PLUG_ENDED);
	assert_null(p->trouble);
	hwy_plug_free(p);
	vm_until(vm_told("reset") > resets); /* it would be one of the next plug's life */
	vm_until(hwy_vm_maps(real(), st.st_dev, st.st_ino) ==
		 NULL); /* as the next is of that name */
	assert_false(libvirt_has("hwy-cycle"));
	assert_int_equal(lstat("/dev/shm/hwy-cycle", &st), -1);
}

static void
test_links_are_plugged_into_an_i440fx(void **state)
{
	(void)state;
	start_domain("pc", "");
	vm_until(real() != NULL);
	assert_string_equal(real()->name, "real");
	for (int i = 0; i < 5; i++)
		cycle();
}

static void
test_links_are_plugged_into_a_q35(void **state)
{
	(void)state;
	start_domain("q35", "<controller type='pci' index='0' model='pcie-root'/>"
			    "<controller type='pci' index='1' model='pcie-root-port'/>"
			    "<controller type='pci' index='2' model='pcie-root-port'/>"
			    "<controller type='usb' model='none'/>");
	vm_until(real() != NULL);
	assert_true(real()->n_ports > 0);
	for (int i = 0; i < 3; i++)
		cycle();
}

static void
test_what_libvirt_refuses_is_told(void **state)
{
	struct hwy_plug *p;

	(void)state;
	start_domain("pc", "");
	vm_until(real() != NULL);
	p = hwy_plug_in(real(), "absent", "/nonexistent/file", SIZE, &calls, NULL);
	vm_until(p->state == HWY_PLUG_ENDED);
	assert_non_null(strstr(p->trouble, "the link region's file is gone"));
	hwy_plug_free(p);
}

static void
test_the_life_of_a_domain_is_told(void **state)
{
	(void)state;
	start_domain("pc", "");
	vm_until(vm_told("seen") == 1);
	assert_int_equal(virDomainResume(domain), 0);
	vm_until(vm_told("resumed") == 1);
	assert_int_equal(virDomainSuspend(domain), 0);
	vm_until(vm_told("stopped") == 1);
	assert_int_equal(virDomainReset(domain, 0), 0);
	vm_until(vm_told("reset") == 1);
	end_domain();
	vm_until(vm_told("gone") == 1);
	start_domain("pc", "");
	vm_until(vm_told("seen") == 2);
	end_domain();
	vm_until(vm_told("gone") == 2);
}

static void
test_a_domain_with_a_monitor_for_us_is_left_to_it(void **state)
{
	(void)state;
	hwy_libvirt_leave_out("one " UUID " another");
	start_domain("pc", "");
	vm_pass(1000);
	assert_null(real());
	hwy_libvirt_leave_out("");
	vm_until(real() != NULL);
	hwy_libvirt_leave_out(UUID);
	vm_until(real() == NULL);
}

static void
test_names_are_translated(void **state)
{
	static const char *const pairs[][2] = {
		/* of plug.c and vms.c, of QEMU under libvirt */
		{"{\"path\": \"/objects/hwy-a.b-1-mem\"}",
		 "{\"path\": \"/objects/shmmem-ua-hwy-a.b-1\"}"},
		{"{\"path\": \"/machine/peripheral/hwy-x\"}",
		 "{\"path\": \"/machine/peripheral/ua-hwy-x\"}"},
		{"{\"path\": \"/objects/ram\"}", "{\"path\": \"/objects/ram\"}"},
	};
	struct ds out = DS_EMPTY_INITIALIZER;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		ds_clear(&out);
		hwy_libvirt_to(pairs[i][0], &out);
		assert_string_equal(ds_cstr(&out), pairs[i][1]);
		ds_clear(&out);
		hwy_libvirt_from(pairs[i][1], &out);
		assert_string_equal(ds_cstr(&out), pairs[i][0]);
	}
	ds_clear(&out);
	assert_true(hwy_libvirt_plug_name("hwy-abc", false, &out));
	assert_true(hwy_libvirt_plug_name("hwy-def-mem", true, &out));
	assert_string_equal(ds_cstr(&out), "abcdef");
	assert_false(hwy_libvirt_plug_name("hwy-", false, &out));
	assert_false(hwy_libvirt_plug_name("hwy--mem", true, &out));
	assert_false(hwy_libvirt_plug_name("hwy-a/b", false, &out));
	assert_false(hwy_libvirt_plug_name("virtio0", false, &out));
	assert_false(hwy_libvirt_plug_name(NULL, false, &out));
	ds_destroy(&out);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_translated),
		TEST(test_links_are_plugged_into_an_i440fx),
		TEST(test_links_are_plugged_into_a_q35),
		TEST(test_what_libvirt_refuses_is_told),
		TEST(test_the_life_of_a_domain_is_told),
		TEST(test_a_domain_with_a_monitor_for_us_is_left_to_it),
	};
	char *command;
	int rc = prepare();

	if (rc == 77) {
		fprintf(stderr, "libvirt's driver for QEMU cannot be had (packages libvirt-daemon, "
				"libvirt-daemon-driver-qemu; root)\n");
		return rc;
	}
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	command = xasprintf("rm -rf %s", root);
	virConnectClose(conn);
	if (system(command) != 0)
		fprintf(stderr, "%s is left\n", root);
	free(command);
	return rc;
}
