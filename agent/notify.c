/* SPDX-License-Identifier: BSD-3-Clause */
/* What the service manager is told: see notify.h. */
#include <config.h>

#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovsdb.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hwy_notify);

static int manager = -1; /* a socket that is connected to the service manager's */
static bool told_ready, told_waiting;
static long long int watchdog_ms; /* between two WATCHDOG=1; 0: nobody asks for them */
static long long int next_watchdog;

static void
tell(const char *words)
{
	/* A manager that does not read has lost interest; the main loop must not block. */
	if (manager >= 0 && send(manager, words, strlen(words), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		VLOG_DBG("the service manager was not told %s: %s", words, ovs_strerror(errno));
}

/* $WATCHDOG_USEC, if it is meant for this process. */
static long long int
watchdog_period(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	long long int n;

	if (usec == NULL || !str_to_llong(usec, 10, &n) || n <= 0)
		return 0;
	if (pid != NULL && strtoll(pid, NULL, 10) != getpid())
		return 0;
	return MAX(n / 2000, 1);
}

void
hwy_notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	if (path == NULL)
		return;
	if ((path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path) {
		VLOG_WARN("NOTIFY_SOCKET=%s is neither a path nor an abstract socket: nobody is "
			  "told that highwayd is ready",
			  path);
	} else {
		socklen_t length = offsetof(struct sockaddr_un, sun_path) + strlen(path);

		memcpy(to.sun_path, path, strlen(path));
		if (path[0] == '@')
			to.sun_path[0] = 0;
		manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (manager < 0 || connect(manager, (struct sockaddr *)&to, length) != 0) {
			VLOG_WARN("NOTIFY_SOCKET=%s cannot be reached: %s; nobody is told that "
				  "highwayd is ready",
				  path, ovs_strerror(errno));
			if (manager >= 0)
				close(manager);
			manager = -1;
		} else {
			watchdog_ms = watchdog_period();
		}
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void
hwy_notify_run(bool ready)
{
	if (manager < 0)
		return;
	if (ready && !told_ready) {
		told_ready = true;
		tell("READY=1\nSTATUS=Follows the database and its bridges");
	} else if (!ready && !told_ready && !told_waiting) {
		char *status = xasprintf("STATUS=Waits for the database at %s", hwy_ovsdb_remote());

		told_waiting = true;
		tell(status);
		free(status);
	}
	if (watchdog_ms > 0 && time_msec() >= next_watchdog) {
		next_watchdog = time_msec() + watchdog_ms;
		tell("WATCHDOG=1");
	}
}

void
hwy_notify_wait(void)
{
	if (manager >= 0 && watchdog_ms > 0)
		poll_timer_wait_until(next_watchdog);
}

void
hwy_notify_exit(void)
{
	tell("STOPPING=1");
	if (manager >= 0)
		close(manager);
	manager = -1;
}
