/* SPDX-License-Identifier: BSD-3-Clause */
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

void
hwy_attach_init(struct hwy_attachments *a, struct hwy_region *region, uint32_t port)
{
	memset(a, 0, sizeof(*a));
	a->region = region;
	a->port = port;
}

static void
acknowledge(struct hwy_attachments *a, uint32_t slot, uint32_t epoch, enum hwy_attach_state state,
	    int error)
{
	struct hwy_attach *at = hwy_region_attach(a->region, a->port, slot);

	hwy_store(&at->error, (uint32_t)error);
	hwy_store_release(&at->ack, HWY_ATTACH(epoch, state));
}

static void
say_up(const struct hwy_mapping *m, enum hwy_end_state state)
{
	uint32_t *at = &m->region->ports[0].end[m->end].state;

	if (hwy_load(at) != state)
		hwy_store_release(at, state);
}

/* The link region of a slot, mapped and checked as it is now. */
static int
map_region(struct hwy_attachments *a, uint32_t slot, uint32_t epoch, bool quick,
	   struct hwy_region **region)
{
	struct hwy_attach *at = hwy_region_attach(a->region, a->port, slot);
	uint64_t id = hwy_load(&at->id);
	int fd, rc;

	*region = a->take != NULL ? a->take(a->aux, id, !quick) : NULL;
	if (*region != NULL) {
		hwy_store_release(&at->seen, epoch);
		rc = hwy_link_region_again(*region, id, NULL);
		if (rc < 0)
			hwy_region_close(*region);
		return rc;
	}
	if (quick)
		return -EAGAIN;
	fd = a->fetch(a->aux, id);
	if (fd < 0)
		return fd;
	hwy_store_release(&at->seen, epoch);
	rc = hwy_link_region_map(fd, id, region, NULL);
	close(fd);
	return rc;
}

static int
map_slot(struct hwy_attachments *a, uint32_t slot, uint32_t epoch, bool up, bool quick)
{
	uint32_t end = hwy_load(&hwy_region_attach(a->region, a->port, slot)->end);
	struct hwy_region *region;
	struct hwy_mapping *m;
	int rc;

	if (end > 1)
		return -EPROTO;
	rc = map_region(a, slot, epoch, quick, &region);
	if (rc < 0)
		return rc;
	m = calloc(1, sizeof(*m));
	if (m == NULL) {
		hwy_region_close(region);
		return -ENOMEM;
	}
	m->region = region;
	m->end = end;
	m->slot = slot;
	for (uint32_t q = 0; q < HWY_MAX_QUEUES; q++)
		hwy_pool_init(&m->pool[q], region->owners, region->geo.chunk_count,
			      HWY_LINK_OWNER(end), q);
	say_up(m, up ? HWY_END_STARTED : HWY_END_STOPPED);
	hwy_store(&a->broken[slot], 0);
	hwy_store_release(&a->at[slot], m);
	return 0;
}

/* Maps what is wanted of a slot and says so.  Returns whether it has to be waited for. */
static bool
follow_want(struct hwy_attachments *a, uint32_t slot, uint32_t epoch, bool up, bool quick)
{
	int rc = map_slot(a, slot, epoch, up, quick);

	if (rc == -EAGAIN)
		return true; /* how long that may go on is the host's affair */
	a->epoch[slot] = epoch;
	acknowledge(a, slot, epoch, rc < 0 ? HWY_ATTACH_UNMAPPED : HWY_ATTACH_MAPPED, -rc);
	return false;
}

static void
unmap_slot(struct hwy_attachments *a, uint32_t slot)
{
	struct hwy_mapping *m = a->at[slot];

	hwy_store_release(&a->at[slot], NULL);
	say_up(m, HWY_END_DETACHED);
	hwy_region_close(m->region);
	free(m);
}

/* Tells the host what a queue has found out.  True if it was not told before. */
static bool
say_broken(struct hwy_attachments *a, uint32_t slot)
{
	uint64_t broken = HWY_ATTACH(a->epoch[slot], HWY_ATTACH_BROKEN);
	uint32_t why = hwy_load(&a->broken[slot]);

	if (why == 0 || hwy_region_attach(a->region, a->port, slot)->ack == broken)
		return false;
	acknowledge(a, slot, a->epoch[slot], HWY_ATTACH_BROKEN, (int)why);
	return true;
}

/* Returns whether it waits for something; '*broken': its link was found to be broken. */
static bool
slot_tick(struct hwy_attachments *a, uint32_t slot, bool up, bool *broken)
{
	uint64_t want = hwy_load_acquire(&hwy_region_attach(a->region, a->port, slot)->want);
	uint32_t epoch = HWY_ATTACH_EPOCH(want), state = HWY_ATTACH_STATE(want);
	bool wanted = state == HWY_ATTACH_WANTED || state == HWY_ATTACH_USABLE;

	if (a->at[slot] != NULL && (!wanted || a->epoch[slot] != epoch)) {
		if (a->in_use(a->aux, slot))
			return true;
		unmap_slot(a, slot);
		acknowledge(a, slot, a->epoch[slot], HWY_ATTACH_UNMAPPED, 0);
	}
	if (a->at[slot] != NULL) {
		say_up(a->at[slot], up ? HWY_END_STARTED : HWY_END_STOPPED);
		*broken = say_broken(a, slot);
	} else if (state == HWY_ATTACH_WANTED && a->epoch[slot] != epoch) {
		return follow_want(a, slot, epoch, up, false);
	} else if (state == HWY_ATTACH_CLOSING &&
		   HWY_ATTACH_EPOCH(hwy_region_attach(a->region, a->port, slot)->ack) != epoch) {
		a->epoch[slot] = epoch; /* an earlier guest end's */
		acknowledge(a, slot, epoch, HWY_ATTACH_UNMAPPED, 0);
	}
	return false;
}

bool
hwy_attach_tick(struct hwy_attachments *a, bool up, uint32_t *broken)
{
	bool waits = false;

	*broken = 0;
	for (uint32_t slot = 0; slot < a->region->geo.attach_count; slot++) {
		bool is_broken = false;

		waits |= slot_tick(a, slot, up, &is_broken);
		*broken |= (uint32_t)is_broken << slot;
	}
	return waits;
}

bool
hwy_attach_quick(struct hwy_attachments *a, bool up)
{
	bool more = false;

	for (uint32_t slot = 0; slot < a->region->geo.attach_count; slot++) {
		const struct hwy_attach *at = hwy_region_attach(a->region, a->port, slot);
		uint64_t want = hwy_load_acquire(&at->want);
		uint32_t epoch = HWY_ATTACH_EPOCH(want);

		if (HWY_ATTACH_STATE(want) == HWY_ATTACH_WANTED && a->epoch[slot] != epoch)
			more |= a->at[slot] != NULL || follow_want(a, slot, epoch, up, true);
	}
	return more;
}

void
hwy_attach_up(struct hwy_attachments *a, bool up)
{
	for (uint32_t slot = 0; slot < HWY_MAX_ATTACH; slot++) {
		if (a->at[slot] != NULL)
			say_up(a->at[slot], up ? HWY_END_STARTED : HWY_END_STOPPED);
	}
}

void
hwy_attach_close(struct hwy_attachments *a)
{
	for (uint32_t slot = 0; slot < HWY_MAX_ATTACH; slot++) {
		if (a->at[slot] != NULL)
			unmap_slot(a, slot);
	}
}

/* --- file descriptors ------------------------------------------------------------- */

int
hwy_fd_send(int socket, const void *message, size_t size, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec vec = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
	struct msghdr msg = {.msg_iov = &vec, .msg_iovlen = 1};
	ssize_t n;

	memset(&control, 0, sizeof(control));
	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	do {
		n = sendmsg(socket, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (size_t)n != size ? -EMSGSIZE : 0;
}

int
hwy_fd_receive(int socket, void *message, size_t size, int *fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec vec = {.iov_base = message, .iov_len = size};
	struct msghdr msg = {.msg_iov = &vec,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t n;

	*fd = -1;
	do {
		n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (msg.msg_controllen >= CMSG_LEN(sizeof(int)) && control.head.cmsg_level == SOL_SOCKET &&
	    control.head.cmsg_type == SCM_RIGHTS && control.head.cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(&control.head), sizeof(*fd));
	if ((size_t)n == size && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
		return 0;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return -EPROTO;
}

int
hwy_fd_check(int fd, const char *name, char *err)
{
	const int fixed = F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = fcntl(fd, F_GET_SEALS); /* fails where a file cannot have any */
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return hwy_fail(err, -EPERM, "what was handed over as %s is no file of memory",
				name);
	if (seals >= 0 && (seals & fixed) == fixed)
		return 0;
	if (st.st_nlink == 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return hwy_fail(err, -EPERM,
				"what was handed over as %s can be cut short by others (%s, mode "
				"%04o, not sealed): hand over a file of mode 0600, or a memfd with "
				"F_SEAL_SHRINK and F_SEAL_GROW",
				name, st.st_nlink == 0 ? "no name" : "a file",
				(unsigned int)(st.st_mode & 07777));
	return 0;
}

int
hwy_attach_ask(const char *path, const struct hwy_region *region, uint64_t id, char *err)
{
	char name[HWY_NAME_SIZE];
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_usec = HWY_FETCH_MS * 1000};
	struct hwy_fetch_request request = {.magic = HWY_MAGIC, .id = id};
	struct hwy_fetch_answer answer;
	int s, fd = -1, rc;

	if (snprintf(where.sun_path, sizeof(where.sun_path), "%s", path) >=
	    (int)sizeof(where.sun_path))
		return hwy_fail(err, -ENAMETOOLONG, "%s is too long a path for a socket", path);
	s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (s < 0)
		return hwy_fail(err, -errno, "no socket to ask %s: %s", path, strerror(errno));
	(void)setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	rc = connect(s, (struct sockaddr *)&where, sizeof(where)) < 0 ? -errno : 0;
	if (rc == 0)
		rc = hwy_fd_send(s, &request, sizeof(request), region->fd);
	if (rc == 0)
		rc = hwy_fd_receive(s, &answer, sizeof(answer), &fd);
	close(s);
	if (rc == 0 && (answer.error != 0 || fd < 0))
		rc = answer.error != 0 ? -(int)answer.error : -EPROTO;
	if (rc < 0)
		hwy_fail(err, rc, "%s is not to be had from %s: %s", hwy_link_region_name(id, name),
			 path, strerror(-rc));
	else
		rc = hwy_fd_check(fd, hwy_link_region_name(id, name), err);
	if (rc < 0 && fd >= 0)
		close(fd);
	return rc < 0 ? rc : fd;
}
