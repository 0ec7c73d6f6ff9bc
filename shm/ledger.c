/* SPDX-License-Identifier: BSD-3-Clause */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Makes the file under a name of its own and links it into place when it is complete. */
static int
make_file(const char *path)
{
	char temporary[PATH_MAX];
	struct hwy_ledger_file *at;
	struct statfs fs;
	size_t size = sizeof(*at);
	int fd, rc = 0;

	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) == 0 && (size_t)fs.f_bsize > size)
		size = (size_t)fs.f_bsize; /* a huge page */
	at = MAP_FAILED;
	if (ftruncate(fd, (off_t)size) == 0 && posix_fallocate(fd, 0, (off_t)size) == 0)
		at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		rc = -ENOSPC;
	} else {
		at->version = HWY_LEDGER_VERSION;
		at->entries = HWY_LEDGER_ENTRIES;
		at->magic = HWY_LEDGER_MAGIC;
		munmap(at, size);
		if (link(temporary, path) < 0 && errno != EEXIST)
			rc = -errno;
	}
	unlink(temporary);
	close(fd);
	return rc;
}

int
hwy_ledger_open(struct hwy_ledger *l, const char *dir, bool make, char *err)
{
	char path[PATH_MAX];
	struct stat st;
	int rc = 0;

	memset(l, 0, sizeof(*l));
	l->fd = -1;
	snprintf(l->dir, sizeof(l->dir), "%s", dir);
	if (snprintf(path, sizeof(path), "%s/%s", dir, HWY_LEDGER_FILE) >= (int)sizeof(path))
		return hwy_fail(err, -ENAMETOOLONG, "%s is too long a path", dir);
	l->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (l->fd < 0 && errno == ENOENT && make) {
		rc = make_file(path);
		if (rc == 0)
			l->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	}
	if (l->fd < 0) {
		rc = rc < 0 ? rc : -errno;
		return hwy_fail(err, rc, "%s cannot be opened: %s", path, strerror(-rc));
	}
	if (fstat(l->fd, &st) < 0 || (size_t)st.st_size < sizeof(*l->file)) {
		hwy_ledger_close(l);
		return hwy_fail(err, -EPROTO, "%s is no ledger: remove the file", path);
	}
	l->size = (size_t)st.st_size;
	l->file = mmap(NULL, l->size, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);
	if (l->file == MAP_FAILED) {
		l->file = NULL;
		rc = -errno;
		hwy_ledger_close(l);
		return hwy_fail(err, rc, "%s cannot be mapped: %s", path, strerror(-rc));
	}
	if (l->file->magic != HWY_LEDGER_MAGIC || l->file->version != HWY_LEDGER_VERSION ||
	    l->file->entries != HWY_LEDGER_ENTRIES) {
		hwy_ledger_close(l);
		return hwy_fail(err, -EPROTO, "%s is no ledger of this release: remove the file",
				path);
	}
	return 0;
}

void
hwy_ledger_close(struct hwy_ledger *l)
{
	if (l->file != NULL)
		munmap(l->file, l->size);
	if (l->fd >= 0)
		close(l->fd);
	l->file = NULL;
	l->fd = -1;
}

bool
hwy_ledger_is_current(const struct hwy_ledger *l)
{
	char path[PATH_MAX + sizeof(HWY_LEDGER_FILE)];
	struct stat ours, there;

	snprintf(path, sizeof(path), "%s/%s", l->dir, HWY_LEDGER_FILE);
	return l->file != NULL && fstat(l->fd, &ours) == 0 && stat(path, &there) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}
