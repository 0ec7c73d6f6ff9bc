/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One shared-memory file plugged into one running machine as an ivshmem-plain device, and
 * taken out again.
 *
 *   object-add -> device_add -> offered -> seen -> MAPPED
 *        |             |           |         |        |  hwy_plug_out(), or any failure
 *        v             v           v         v        v
 *      object-del <- deleted <- device_del <- retracted            -> ended
 *
 * object-add and device_add are sent in one go, as a monitor carries them out in order.  Where
 * object-add has failed, device_del finds out what has become of the other one.
 *
 * Offered, seen, mapped and retracted are between highwayd and the guest end, in the control
 * block that the guest has already: see struct hwy_plug_guest.  Every step has a deadline.
 * What fails on the way in goes the way out from where it is; the normal path of the port is
 * not touched by any of it.
 *
 * A guest may keep a device: then the plug stays in DELETING, asks again now and
 * then, and its file stays mapped there until the guest gives it back, is reset, or is gone.
 *
 * One thread.  'changed' is called from hwy_vms_run() or from the call that changes it.
 */
#ifndef HIGHWAY_AGENT_PLUG_H
#define HIGHWAY_AGENT_PLUG_H

#include <stdbool.h>
#include <stdint.h>

#include "openvswitch/list.h"

struct hwy_vm;

/* How long each step may take; changed by tests only. */
struct hwy_plug_limits {
	unsigned int command_ms; /* until a monitor answers */
	unsigned int guest_ms;   /* until the guest has found, and then until it has mapped it */
	unsigned int retract_ms; /* until it has unmapped it */
	unsigned int delete_ms;  /* until DEVICE_DELETED, before device_del is repeated */
};
extern struct hwy_plug_limits hwy_plug_limits;

enum hwy_plug_state {
	HWY_PLUG_OBJECT_ADD,
	HWY_PLUG_DEVICE_ADD,
	HWY_PLUG_OFFERED, /* the device is there; the guest is told which one it is */
	HWY_PLUG_SEEN,    /* it has found it */
	HWY_PLUG_MAPPED,  /* it has mapped it: usable */
	HWY_PLUG_RETRACTED,
	HWY_PLUG_DEVICE_DEL,
	HWY_PLUG_DELETING, /* DEVICE_DELETED is to come */
	HWY_PLUG_OBJECT_DEL,
	HWY_PLUG_ENDED, /* nothing of it is left in the machine */
};
#define HWY_PLUG_N_STATES (HWY_PLUG_ENDED + 1)

/* What a guest end says of a device that it is offered. */
enum hwy_plug_ack {
	HWY_ACK_NONE,   /* nothing: it has not seen it, or has let it go */
	HWY_ACK_SEEN,   /* found, not mapped yet */
	HWY_ACK_MAPPED, /* mapped */
	HWY_ACK_REFUSED /* found, and of no use */
};

struct hwy_plug;

/* The guest end's side of it, filled in by whoever plugs. */
struct hwy_plug_guest {
	/* The device is there: tells the guest which one.  A sentence without the final stop if
	 * that cannot be, to be freed by the caller; else NULL. */
	char *(*offer)(struct hwy_plug *plug, void *aux);
	/* What it says; asked every few milliseconds while an answer is due. */
	enum hwy_plug_ack (*ack)(struct hwy_plug *plug, void *aux);
	/* It shall let go. */
	void (*retract)(struct hwy_plug *plug, void *aux);
	/* The state is another one now.  No plug may be freed inside the call. */
	void (*changed)(struct hwy_plug *plug, void *aux);
};

struct hwy_plug {
	struct ovs_list node; /* in hwy_vm.plugs, while it is not ended */
	struct hwy_vm *vm;    /* NULL when it is ended */
	char *name;           /* device "hwy-NAME", backend "hwy-NAME-mem" */
	char *path;           /* of the file */
	uint64_t size;        /* of the file, bytes */
	char *bus;            /* root port that it took, or NULL: the machine's choice */
	const struct hwy_plug_guest *guest;
	void *aux;

	enum hwy_plug_state state;
	bool wanted;                                 /* false: on its way out */
	bool found;                                  /* the device was there already */
	bool asked;                                  /* device_add was sent */
	long long int deadline;                      /* of the state, time_msec() */
	long long int entered_us[HWY_PLUG_N_STATES]; /* time_usec(); 0: never */
	char *trouble; /* why it did not come to be mapped, or does not go; or NULL */
};

/*
 * Plugs 'path' into 'vm', which is known.  'name' is up to 40 letters, digits, '.', '_' and
 * '-', unique in the machine.  If a device of that name with this very file is there, left by
 * an earlier highwayd, it is taken over.
 */
struct hwy_plug *hwy_plug_in(struct hwy_vm *vm, const char *name, const char *path, uint64_t size,
			     const struct hwy_plug_guest *guest, void *aux);

/* The plug of a device of 'vm', or NULL. */
struct hwy_plug *hwy_plug_find(const struct hwy_vm *vm, const char *device);

/* Takes out what somebody else has plugged into 'vm' under that name. */
struct hwy_plug *hwy_plug_out_left(struct hwy_vm *vm, const char *name,
				   const struct hwy_plug_guest *guest, void *aux);

/* Takes it out, from whatever state. */
void hwy_plug_out(struct hwy_plug *plug);

/* Frees it.  If it is not ended, what is in the machine stays there, without an owner. */
void hwy_plug_free(struct hwy_plug *plug);

const char *hwy_plug_state_word(enum hwy_plug_state state);

/*
 * The two commands of QEMU's human monitor that plug 'path' in by hand; each to be freed.  'vm'
 * is the machine if it is known, else NULL: on q35 a free root port has to be named.
 */
void hwy_plug_by_hand(const struct hwy_vm *vm, const char *name, const char *path, uint64_t size,
		      char *commands[2]);

/* For vms.c: a machine's plugs. */
void hwy_plugs_run(struct hwy_vm *vm);
void hwy_plugs_wait(struct hwy_vm *vm);
void hwy_plugs_vm_gone(struct hwy_vm *vm, const char *why);
void hwy_plugs_vm_reset(struct hwy_vm *vm);
void hwy_plugs_device_deleted(struct hwy_vm *vm, const char *device);
void hwy_plugs_device_kept(struct hwy_vm *vm, const char *device);

#endif /* HIGHWAY_AGENT_PLUG_H */
