/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client of one QEMU monitor, by the QEMU Machine Protocol (QMP): JSON objects on a unix
 * socket, one a line.  Source: docs/interop/qmp-spec.rst of QEMU.
 *
 *   connect -> greeting -> qmp_capabilities -> up: commands and events -> connect ...
 *
 * A monitor serves one client at a time and lets the others wait without a word; so highwayd
 * wants one of its own, and says so when no greeting comes.
 *
 * One thread.  Nothing here blocks.  Callbacks run inside hwy_qmp_run() and may call
 * hwy_qmp_call() and hwy_qmp_forget(), never hwy_qmp_destroy().
 */
#ifndef HIGHWAY_AGENT_QMP_H
#define HIGHWAY_AGENT_QMP_H

#include <stdbool.h>

struct hwy_qmp;
struct json;

/* What the owner of a client is told. */
struct hwy_qmp_watcher {
	/* Commands are taken from now on. */
	void (*up)(struct hwy_qmp *qmp, void *aux);
	/* The connection is lost; every open command has been answered with an error. */
	void (*down)(struct hwy_qmp *qmp, const char *why, void *aux);
	/* An event, with its data or NULL, and how long ago it was by QEMU's clock. */
	void (*event)(struct hwy_qmp *qmp, const char *name, const struct json *data,
		      long long int age_ms, void *aux);
};

/* A client of the monitor at unix socket 'path', connected to from now on whenever it is
 * there.  'watcher' outlives it. */
struct hwy_qmp *hwy_qmp_create(const char *path, const struct hwy_qmp_watcher *watcher, void *aux);

/* Closes the connection.  Open commands are answered with an error. */
void hwy_qmp_destroy(struct hwy_qmp *qmp);

void hwy_qmp_run(struct hwy_qmp *qmp);
void hwy_qmp_wait(struct hwy_qmp *qmp);

/* Sends what waits now, where hwy_qmp_run() would do so only in the next round. */
void hwy_qmp_flush(struct hwy_qmp *qmp);

bool hwy_qmp_is_up(const struct hwy_qmp *qmp);

/* Why it is not up, as a sentence without the final stop; NULL while there is nothing to say. */
const char *hwy_qmp_trouble(const struct hwy_qmp *qmp);

/* The last attempt to connect found nobody at the socket: no QEMU listens there any more. */
bool hwy_qmp_nobody(const struct hwy_qmp *qmp);

/* The socket has just been made: connects at once instead of after the usual pause. */
void hwy_qmp_hurry(struct hwy_qmp *qmp);

/*
 * An answer: what the command returned ('error' is NULL), or why it did not ('result' is
 * NULL), as a sentence without the final stop that names the command.
 */
typedef void hwy_qmp_done(struct hwy_qmp *qmp, const struct json *result, const char *error,
			  void *aux);

/*
 * Sends 'command' with 'arguments' (taken over; NULL: none).  'done' is called exactly once,
 * from hwy_qmp_run(), at the latest after 'deadline_ms' or when the connection is lost,
 * unless hwy_qmp_forget() comes first.  An answer that comes after the
 * deadline is dropped: what the command did has to be found out by another one.
 */
void hwy_qmp_call(struct hwy_qmp *qmp, const char *command, struct json *arguments,
		  unsigned int deadline_ms, hwy_qmp_done *done, void *aux);

/* Forgets the callbacks of all open commands with this 'aux'. */
void hwy_qmp_forget(struct hwy_qmp *qmp, const void *aux);

/* How many commands have not been answered yet. */
unsigned int hwy_qmp_n_open(const struct hwy_qmp *qmp);

/* The string 'name' of a JSON object, NULL: 'object' is none (or NULL), or has no such string. */
const char *hwy_qmp_string(const struct json *object, const char *name);

#endif /* HIGHWAY_AGENT_QMP_H */
