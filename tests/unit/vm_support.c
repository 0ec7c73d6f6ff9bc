/* SPDX-License-Identifier: BSD-3-Clause */
/* A folder with a monitor in it that is none: see vm_support.h. */
#include "vm_support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"

#define UUID "0a1b2c3d-1111-2222-3333-444455556666"

struct fake_qmp fake;
char *folder;
struct ds told = DS_EMPTY_INITIALIZER;
unsigned int n_late;

static void
happened(struct hwy_vm *vm, enum hwy_vm_event event, bool late, const char *text OVS_UNUSED)
{
	static const char *const words[] = {
		[HWY_VM_SEEN] = "seen",       [HWY_VM_GONE] = "gone",
		[HWY_VM_RESET] = "reset",     [HWY_VM_STOPPED] = "stopped",
		[HWY_VM_RESUMED] = "resumed", [HWY_VM_FORGOTTEN] = "forgotten",
		[HWY_VM_LEARNED] = NULL,
	};

	if (words[event] != NULL)
		ds_put_format(&told, "%s:%s ", words[event], vm->name);
	n_late += late;
}

int
vm_set_up(void **state OVS_UNUSED)
{
	char template[] = "/tmp/highway-vms-XXXXXX";
	char *socket;

	vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
	folder = xstrdup(mkdtemp(template));
	fake = (struct fake_qmp){
		.uuid = UUID,
		.name = "vm1",
		.type = "pc-i440fx-7.2-machine",
		.status = "running",
		.slots = 4,
	};
	socket = xasprintf("%s/vm1.sock", folder);
	fake_qmp_start(&fake, socket);
	free(socket);
	ds_clear(&told);
	n_late = 0;
	hwy_vms_init(happened);
	hwy_vms_set_dir(folder);
	return 0;
}

int
vm_tear_down(void **state OVS_UNUSED)
{
	hwy_vms_exit();
	fake_qmp_stop(&fake);
	rmdir(folder);
	free(folder);
	ds_destroy(&told);
	ds_init(&told);
	return 0;
}

long long int
vm_clock(void)
{
	return time_msec();
}

void
vm_round(void)
{
	fake_qmp_run(&fake);
	hwy_vms_run();
	fake_qmp_wait(&fake);
	hwy_vms_wait();
	poll_timer_wait(20);
	poll_block();
}

void
vm_pass(long long int ms)
{
	long long int until = time_msec() + ms;

	while (time_msec() < until)
		vm_round();
}

struct hwy_vm *
vm_known(void)
{
	struct hwy_vm *vm;

	HMAP_FOR_EACH (vm, node, &hwy_vms) {
		if (vm->known)
			return vm;
	}
	return NULL;
}

unsigned int
vm_told(const char *word)
{
	char *needle = xasprintf("%s:", word);
	unsigned int n = 0;

	for (const char *at = ds_cstr(&told); (at = strstr(at, needle)) != NULL; at++)
		n++;
	free(needle);
	return n;
}
