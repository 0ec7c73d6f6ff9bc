/* SPDX-License-Identifier: BSD-3-Clause */
#include "bell.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "region.h"

uint32_t
hwy_bell_heard(const struct hwy_region *r)
{
	return hwy_load_acquire(&r->hdr->bell);
}

void
hwy_bell_ring(struct hwy_region *r)
{
	__atomic_fetch_add(&r->hdr->bell, 1, __ATOMIC_RELEASE);
	if (r->realm == 0)
		(void)syscall(SYS_futex, &r->hdr->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void
hwy_bell_wait(struct hwy_region *r, uint32_t heard, unsigned int us)
{
	struct timespec limit = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};

	if (r->realm == 0)
		(void)syscall(SYS_futex, &r->hdr->bell, FUTEX_WAIT, heard, &limit, NULL, 0);
	else
		nanosleep(&limit, NULL);
}
