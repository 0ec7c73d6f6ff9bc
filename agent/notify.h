/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What highwayd tells the service manager that started it: sd_notify(3)'s protocol, of which
 * a datagram is all there is.  Where no manager listens ($NOTIFY_SOCKET is not set) nothing is
 * done.  One thread.
 */
#ifndef HIGHWAY_AGENT_NOTIFY_H
#define HIGHWAY_AGENT_NOTIFY_H

#include <stdbool.h>

/* Reads the environment and takes it out of it, so that no child speaks for us.  Call it in
 * the process that serves, after it has detached. */
void hwy_notify_init(void);

/* Once 'ready' is true for the first time: READY=1, with the version as STATUS.  Then, where
 * the manager has a watchdog, WATCHDOG=1, twice as often as it asks for.  Before that, tells
 * in STATUS that the database is waited for. */
void hwy_notify_run(bool ready);
void hwy_notify_wait(void);

/* STOPPING=1 */
void hwy_notify_exit(void);

#endif /* HIGHWAY_AGENT_NOTIFY_H */
