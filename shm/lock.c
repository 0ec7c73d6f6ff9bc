/* SPDX-License-Identifier: BSD-3-Clause */
/* Open-file-description locks on single bytes (fcntl(2), F_OFD_SETLK). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gate.h"
#include "region.h"

uint32_t hwy_gate_answering;

static int
lock(int fd, int64_t byte, int command, short type, struct flock *out)
{
	struct flock request = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = byte,
		.l_len = 1,
	};
	int rc;

	do {
		rc = fcntl(fd, command, &request);
	} while (rc < 0 && errno == EINTR);
	if (out != NULL)
		*out = request;
	if (rc == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

int
hwy_lock_try(int fd, int64_t byte)
{
	return lock(fd, byte, F_OFD_SETLK, F_WRLCK, NULL);
}

int
hwy_lock_wait(int fd, int64_t byte, unsigned int deadline_ms)
{
	const struct timespec nap = {.tv_nsec = 1000000};

	for (unsigned int waited = 0;; waited++) {
		int rc = hwy_lock_try(fd, byte);

		if (rc != -EAGAIN || waited >= deadline_ms)
			return rc;
		nanosleep(&nap, NULL);
	}
}

void
hwy_lock_drop(int fd, int64_t byte)
{
	(void)lock(fd, byte, F_OFD_SETLK, F_UNLCK, NULL);
}

bool
hwy_lock_held(int fd, int64_t byte)
{
	struct flock answer;

	return lock(fd, byte, F_OFD_GETLK, F_WRLCK, &answer) == 0 && answer.l_type != F_UNLCK;
}

uint64_t
hwy_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t
hwy_monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
