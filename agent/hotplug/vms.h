/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtual machines that highwayd knows: one for each QEMU monitor socket in a folder.
 * Sockets come and go; a machine is known while its monitor answers.
 *
 * Of each it learns uuid, name, machine type, whether it runs, its ivshmem-plain devices with
 * the files behind them, and its free PCI Express root ports; and it hears of its resets,
 * pauses and end.
 *
 * One thread.  Nothing here blocks.  Callbacks run inside hwy_vms_run() and may do anything
 * but hwy_vms_exit() and hwy_vms_set_dir().
 */
#ifndef HIGHWAY_AGENT_VMS_H
#define HIGHWAY_AGENT_VMS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "openvswitch/hmap.h"
#include "openvswitch/list.h"

struct hwy_qmp;
struct json;

/* An ivshmem-plain device of a machine. */
struct hwy_vm_device {
	char *id;      /* of the device; "" if it has none */
	char *backend; /* id of its memory backend */
	char *path;    /* of the file behind that, or NULL */
	dev_t st_dev;  /* the file's identity; st_ino is 0 if it could not be looked at */
	ino_t st_ino;
};

enum hwy_vm_state {
	HWY_VM_UNKNOWN, /* nothing heard (yet): no socket's end, or still learning */
	HWY_VM_RUNNING,
	HWY_VM_PAUSED, /* not running; nothing of it is lost */
	HWY_VM_OFF,    /* its guest has shut down; QEMU may still be there */
};

struct hwy_vm {
	struct hmap_node node; /* in hwy_vms, by socket */
	char *socket;          /* path of the monitor's socket */
	char *label;           /* file name of it, without ".sock" or ".qmp" */
	struct hwy_qmp *qmp;
	enum hwy_vm_state state;
	bool known; /* seen and not gone: 'up' was told and 'gone' was not */

	char *name; /* query-name, or the label */
	char *uuid; /* query-uuid, lower case */
	char *type; /* "pc-q35-7.2-machine" */
	struct hwy_vm_device *devices;
	size_t n_devices;
	char **ports; /* ids of pcie-root-ports without a device */
	size_t n_ports;
	bool pcie; /* the machine is q35: devices are hot-plugged into root ports only */

	struct ovs_list plugs; /* struct hwy_plug: plug.c */
	struct hwy_vm_lesson *lesson;
	long long int next_lesson; /* time_msec() */
	bool there;                /* mark of the last look at the folder */

	/* The connection is lost: is QEMU gone, or only the connection? */
	char *lost;       /* why, or NULL */
	ino_t socket_ino; /* the socket's identity when it was last up */
	struct timespec socket_at;
};

extern struct hmap hwy_vms;

enum hwy_vm_event {
	HWY_VM_SEEN,    /* its monitor answers and all is learned */
	HWY_VM_GONE,    /* its guest has shut down, or QEMU is gone */
	HWY_VM_RESET,   /* its guest starts anew */
	HWY_VM_STOPPED, /* paused */
	HWY_VM_RESUMED,
	HWY_VM_FORGOTTEN, /* it is not followed any more: what becomes of it is not known */
	HWY_VM_LEARNED,   /* devices may have changed; told after each lesson */
};

/*
 * 'text' is a sentence without the final stop.  'late': it was heard of a while after it came
 * about, so that the machine may have started anew meanwhile.
 */
typedef void hwy_vm_happened(struct hwy_vm *vm, enum hwy_vm_event event, bool late,
			     const char *text);

void hwy_vms_init(hwy_vm_happened *happened);

/* The folder of the sockets; NULL: none.  Machines of another folder are gone at once. */
void hwy_vms_set_dir(const char *dir);
/* One more folder of sockets, of highwayd's own making; NULL: none.  To be said before the first
 * hwy_vms_run() in which it counts. */
void hwy_vms_set_own_dir(const char *dir);
/* A folder that is watched; NULL: none is. */
const char *hwy_vms_dir(void);
/* Is the machine's socket in the folder of highwayd's own making? */
bool hwy_vm_is_own(const struct hwy_vm *vm);
/* Why the folder cannot be watched, a sentence without the final stop; or NULL. */
const char *hwy_vms_trouble(void);

void hwy_vms_run(void);
void hwy_vms_wait(void);
void hwy_vms_exit(void);

const char *hwy_vm_state_word(enum hwy_vm_state state);

/* The known machine with this uuid (any case), or NULL. */
struct hwy_vm *hwy_vm_by_uuid(const char *uuid);

/* The device of 'vm' behind which that very file lies, or NULL. */
const struct hwy_vm_device *hwy_vm_maps(const struct hwy_vm *vm, dev_t st_dev, ino_t st_ino);

/* Learns its devices anew, soon. */
void hwy_vm_relearn(struct hwy_vm *vm);

#endif /* HIGHWAY_AGENT_VMS_H */
