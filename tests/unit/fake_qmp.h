/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A QEMU monitor that is none: it answers as QEMU 7.2 does, keeps memory backends and devices,
 * and does wrong what a test asks it to.  It runs in the test's own thread.
 */
#ifndef HIGHWAY_FAKE_QMP_H
#define HIGHWAY_FAKE_QMP_H

#include <stdbool.h>
#include <stddef.h>

#define FAKE_MAX 64

struct fake_object {
	char *id, *path;
};

struct fake_device {
	char *id, *type, *memdev, *bus;
	bool leaving; /* device_del was taken, DEVICE_DELETED was not sent */
};

enum fake_fault {
	FAKE_FINE,
	FAKE_REFUSE,    /* an error, nothing is done */
	FAKE_MUTE,      /* nothing is done or said */
	FAKE_DONE_MUTE, /* done, but not answered */
	FAKE_DIE,       /* QEMU is gone before it does anything */
	FAKE_DONE_DIE,  /* QEMU is gone after it has done it, without an answer */
	FAKE_HANG_UP,   /* only the connection is closed; nothing is done */
	FAKE_NONSENSE,  /* an answer that is no JSON */
};

struct fake_qmp {
	char *path;
	const char *uuid, *name, *type, *status;
	struct fake_object objects[FAKE_MAX];
	struct fake_device devices[FAKE_MAX];
	size_t n_objects, n_devices;
	unsigned int slots; /* devices that the machine has room for on its own bus */

	const char *fault_at; /* command, NULL: none */
	enum fake_fault fault;
	bool no_greeting;
	int event_age_s;    /* of events: their timestamps lie in the past */
	bool keeps_devices; /* DEVICE_DELETED comes with fake_qmp_release() only */
	unsigned int commands;
	unsigned int connections;

	struct pstream *listener;
	struct stream *stream;
	struct json_parser *parser;
};

/* Listens at 'path'. */
void fake_qmp_start(struct fake_qmp *fake, const char *path);
/* As when the process is killed: the socket's file stays. */
void fake_qmp_die(struct fake_qmp *fake);
void fake_qmp_stop(struct fake_qmp *fake);
void fake_qmp_run(struct fake_qmp *fake);
void fake_qmp_wait(struct fake_qmp *fake);

void fake_qmp_add_device(struct fake_qmp *fake, const char *type, const char *id,
			 const char *memdev, const char *bus);
void fake_qmp_add_object(struct fake_qmp *fake, const char *id, const char *path);
/* Sends an event; 'device' and 'reason' may be NULL. */
void fake_qmp_event(struct fake_qmp *fake, const char *name, const char *device,
		    const char *reason);
/* Gives all devices back that are leaving. */
void fake_qmp_release(struct fake_qmp *fake);

#endif /* HIGHWAY_FAKE_QMP_H */
