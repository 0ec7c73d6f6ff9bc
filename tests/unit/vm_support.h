/* SPDX-License-Identifier: BSD-3-Clause */
/* What the unit tests of agent/hotplug share: a folder with a monitor in it that is none. */
#ifndef HIGHWAY_TESTS_VM_SUPPORT_H
#define HIGHWAY_TESTS_VM_SUPPORT_H

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_qmp.h"
#include "openvswitch/dynamic-string.h"
#include "plug.h"
#include "qmp.h"
#include "util.h"
#include "vms.h"

extern struct fake_qmp fake; /* socket 'folder'/vm1.sock */
extern char *folder;
extern struct ds told; /* events of machines: "seen:vm1 gone:vm1 ..." */

extern unsigned int n_late; /* how many of them were told as late */

/* cmocka set-up and tear-down: the folder is watched, the monitor listens; it is an i440fx
 * with 4 free slots. */
int vm_set_up(void **state);
int vm_tear_down(void **state);

/* One round of the main loop. */
void vm_round(void);

/* Rounds until 'condition' holds; the test fails if it does not in time. */
#define vm_until(condition)                                                                        \
	do {                                                                                       \
		long long int give_up_ = vm_clock() + 20000;                                       \
		while (!(condition)) {                                                             \
			if (vm_clock() > give_up_)                                                 \
				fail_msg("in vain: %s; told: %s", #condition, ds_cstr(&told));     \
			vm_round();                                                                \
		}                                                                                  \
	} while (0)
long long int vm_clock(void);

/* Rounds for so long, where something is not to happen. */
void vm_pass(long long int ms);

/* The one machine, once it is known. */
struct hwy_vm *vm_known(void);

/* How often 'word' was told. */
unsigned int vm_told(const char *word);

#endif /* HIGHWAY_TESTS_VM_SUPPORT_H */
