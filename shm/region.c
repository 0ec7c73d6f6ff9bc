/* SPDX-License-Identifier: BSD-3-Clause */
/* The region file: geometry, making, opening, validating, mapping. */
#include "region.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "realm.h"

#define HUGETLBFS_SUPER 0x958458f6 /* statfs(2) */

const char *const hwy_default_dirs[] = {"/dev/hugepages/highway", "/dev/shm/highway", NULL};

bool
hwy_name_ok(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length >= HWY_NAME_SIZE || name[0] == '.')
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL)
			return false;
	}
	return true;
}

bool
hwy_region_name_ok(const char *name, enum hwy_kind kind)
{
	if (kind == HWY_KIND_DOMAIN)
		return hwy_name_ok(name);
	if (kind == HWY_KIND_PORT)
		return name[0] == HWY_MARK_PORT && strlen(name) < HWY_NAME_SIZE &&
		       hwy_name_ok(name + 1);
	return kind == HWY_KIND_LINK && name[0] == HWY_MARK_LINK && strlen(name) == 17 &&
	       strspn(name + 1, "0123456789abcdef") == 16;
}

const char *
hwy_region_title(const struct hwy_header *header, char title[HWY_TITLE_SIZE])
{
	static const char *const words[] = {
		[HWY_KIND_DOMAIN] = "domain", [HWY_KIND_PORT] = "port", [HWY_KIND_LINK] = "link"};

	snprintf(title, HWY_TITLE_SIZE, "%s %s", words[header->kind],
		 header->domain + (header->kind != HWY_KIND_DOMAIN));
	return title;
}

static uint64_t
default_size(enum hwy_kind kind)
{
	return kind == HWY_KIND_DOMAIN ? HWY_DEFAULT_SIZE
	       : kind == HWY_KIND_PORT ? HWY_DEFAULT_PORT
				       : HWY_DEFAULT_LINK;
}

/* How many ports, links, attach slots and, at most, rings a region of its size holds. */
static void
lay_tables_out(struct hwy_header *h, enum hwy_kind kind, uint64_t size)
{
	bool large = size >= 16u << 20;

	h->kind = kind;
	h->port_count = kind != HWY_KIND_DOMAIN ? 1 : large ? HWY_MAX_PORTS : 8;
	h->link_count = kind == HWY_KIND_LINK   ? 1
			: kind == HWY_KIND_PORT ? 2 * HWY_MAX_ATTACH
			: large                 ? HWY_MAX_LINKS
						: 32;
	h->attach_count = kind == HWY_KIND_LINK ? 0 : HWY_MAX_ATTACH;
	h->ring_count = kind == HWY_KIND_DOMAIN ? 65535 : 2 * HWY_MAX_QUEUES;
}

static uint64_t
round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/* Lays a region of 'size' bytes out: a third for rings, what is left for chunks. */
static int
lay_out(struct hwy_header *h, const struct hwy_region_config *config, char *err)
{
	uint64_t size = config->size != 0 ? config->size : default_size(config->kind);
	uint64_t at, rings, left;

	memset(h, 0, sizeof(*h));
	if (size < HWY_MIN_REGION || size > HWY_MAX_REGION || (size & (size - 1)) != 0)
		return hwy_fail(err, -EINVAL,
				"size=%llu is not a power of two between 1M and 64G: try size=64M",
				(unsigned long long)size);
	h->major = HWY_VERSION_MAJOR;
	h->minor = HWY_VERSION_MINOR;
	h->header_size = sizeof(*h);
	h->file_size = size;
	snprintf(h->domain, sizeof(h->domain), "%s", config->domain);
	lay_tables_out(h, config->kind, size);
	h->ring_size = config->ring_size != 0 ? config->ring_size
		       : size >= (config->kind == HWY_KIND_LINK ? 8u : 16u) << 20 ? HWY_DEFAULT_RING
										  : 128;
	if (h->ring_size < 64 || h->ring_size > 16384 || (h->ring_size & (h->ring_size - 1)) != 0)
		return hwy_fail(err, -EINVAL,
				"ring=%u is not a power of two between 64 and 16384: try ring=1024",
				h->ring_size);
	h->slot_size = HWY_SLOT;
	h->chunk_stride = config->chunk_stride != 0 ? config->chunk_stride : HWY_DEFAULT_STRIDE;
	if (h->chunk_stride < 1024 || h->chunk_stride > 65472 || h->chunk_stride % 64 != 0)
		return hwy_fail(
			err, -EINVAL,
			"buf=%u is not a multiple of 64 between 1024 and 65472: try buf=2368",
			h->chunk_stride);
	h->ring_stride = round_up(sizeof(struct hwy_ring) + (uint64_t)h->ring_size * (8 + HWY_SLOT),
				  HWY_CACHE_LINE);

	at = round_up(sizeof(*h), 4096);
	h->off_clients = at;
	at += sizeof(struct hwy_client) * HWY_MAX_CLIENTS;
	h->off_ports = at = round_up(at, 4096);
	at += sizeof(struct hwy_port) * h->port_count;
	h->off_links = at = round_up(at, 4096);
	at += sizeof(struct hwy_link) * h->link_count;
	h->off_attach = at = round_up(at, HWY_CACHE_LINE);
	at += sizeof(struct hwy_attach) * h->attach_count * h->port_count;
	h->off_ring_tags = at = round_up(at, HWY_CACHE_LINE);
	rings = (size - at) / 3 / h->ring_stride;
	if (rings < h->ring_count)
		h->ring_count = (uint32_t)rings;
	if (h->ring_count < 4 || (config->kind == HWY_KIND_LINK && rings < 2 * HWY_MAX_QUEUES))
		return hwy_fail(
			err, -ENOSPC,
			"size=%llu has no room for four rings of ring=%u entries: enlarge size= "
			"or shorten ring=",
			(unsigned long long)size, h->ring_size);
	at += 4ULL * h->ring_count;
	h->off_owners = at = round_up(at, HWY_CACHE_LINE);
	left = size - at - h->ring_stride * h->ring_count - 3 * 4096;
	left = left / (h->chunk_stride + 1) / 64 * 64;
	h->chunk_count = left < HWY_CHUNK_INLINE - 64 ? (uint32_t)left : HWY_CHUNK_INLINE - 63;
	h->chunk_count = h->chunk_count / 64 * 64;
	if (h->chunk_count < 64)
		return hwy_fail(
			err, -ENOSPC,
			"size=%llu leaves fewer than 64 buffers of buf=%u bytes: enlarge size=",
			(unsigned long long)size, h->chunk_stride);
	at += h->chunk_count;
	h->off_rings = at = round_up(at, 4096);
	at += h->ring_stride * h->ring_count;
	h->off_chunks = round_up(at, 4096);
	h->created_ns = hwy_now_ns();
	return 0;
}

static bool
part_fits(const struct hwy_header *h, uint64_t offset, uint64_t each, uint64_t count)
{
	uint64_t bytes;

	return offset % HWY_CACHE_LINE == 0 && offset >= sizeof(*h) && offset <= h->file_size &&
	       !__builtin_mul_overflow(each, count, &bytes) && bytes <= h->file_size - offset;
}

static bool
parts_in_order(const struct hwy_header *h)
{
	const uint64_t parts[][2] = {
		{sizeof(*h), 0},
		{h->off_clients, sizeof(struct hwy_client) * HWY_MAX_CLIENTS},
		{h->off_ports, sizeof(struct hwy_port) * h->port_count},
		{h->off_links, sizeof(struct hwy_link) * h->link_count},
		{h->off_attach, sizeof(struct hwy_attach) * h->attach_count * h->port_count},
		{h->off_ring_tags, 4ULL * h->ring_count},
		{h->off_owners, h->chunk_count},
		{h->off_rings, h->ring_stride * h->ring_count},
		{h->off_chunks, 0},
	};

	for (size_t i = 1; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i][0] < parts[i - 1][0] + parts[i - 1][1])
			return false;
	}
	return true;
}

/* What is not a domain has one port, and a name that says what it is. */
static bool
kind_makes_sense(const struct hwy_header *h)
{
	return h->port_count == 1 && hwy_region_name_ok(h->domain, (enum hwy_kind)h->kind) &&
	       (h->kind != HWY_KIND_LINK || h->ring_count >= 2 * HWY_MAX_QUEUES);
}

static bool
reserved_used(const struct hwy_header *h)
{
	uint8_t used = 0;

	for (size_t i = 0; i < sizeof(h->reserved1); i++)
		used |= h->reserved1[i];
	for (size_t i = 0; i < sizeof(h->reserved2); i++)
		used |= h->reserved2[i];
	for (size_t i = 0; i < sizeof(h->reserved3); i++)
		used |= h->reserved3[i];
	for (size_t i = 0; i < sizeof(h->reserved4); i++)
		used |= h->reserved4[i];
	return used != 0;
}

/* A region file is somebody else's data: nothing in it is believed unchecked. */
static int
validate(const struct hwy_header *h, uint64_t file_size, const char *path, char *err)
{
	static const char remedy[] = "remove the file if no process uses it";

	if (file_size < HWY_MIN_REGION || h->magic != HWY_MAGIC)
		return hwy_fail(err, -EPROTO, "%s is not a Highway region: %s", path, remedy);
	if (h->major != HWY_VERSION_MAJOR)
		return hwy_fail(
			err, -EPROTO,
			"%s has region version %u.%u, this program knows %u: use the same major "
			"version on both sides, or %s",
			path, h->major, h->minor, HWY_VERSION_MAJOR, remedy);
	if (h->features_required & ~HWY_FEATURES_REQUIRED_KNOWN)
		return hwy_fail(
			err, -EPROTO,
			"%s needs features 0x%llx that this program does not have: upgrade it",
			path, (unsigned long long)h->features_required);
	if (h->file_size != file_size)
		return hwy_fail(
			err, -EPROTO,
			"%s is %llu bytes long, its header says %llu: it was cut or is damaged, %s",
			path, (unsigned long long)file_size, (unsigned long long)h->file_size,
			remedy);
	if (h->header_size < sizeof(*h) || h->port_count < 1 || h->port_count > HWY_MAX_PORTS ||
	    h->link_count < 1 || h->link_count > HWY_MAX_LINKS || h->ring_count < 4 ||
	    h->ring_count > 65535 || h->ring_size < 64 || h->ring_size > 16384 ||
	    (h->ring_size & (h->ring_size - 1)) != 0 || h->slot_size != HWY_SLOT ||
	    h->chunk_stride < 1024 || h->chunk_stride > 65472 || h->chunk_stride % 64 != 0 ||
	    h->chunk_count < 64 || h->chunk_count >= HWY_CHUNK_INLINE || h->chunk_count % 64 != 0 ||
	    h->ring_stride % HWY_CACHE_LINE != 0 ||
	    h->ring_stride < sizeof(struct hwy_ring) + (uint64_t)h->ring_size * (8 + HWY_SLOT) ||
	    !part_fits(h, h->off_clients, sizeof(struct hwy_client), HWY_MAX_CLIENTS) ||
	    !part_fits(h, h->off_ports, sizeof(struct hwy_port), h->port_count) ||
	    !part_fits(h, h->off_links, sizeof(struct hwy_link), h->link_count) ||
	    !part_fits(h, h->off_attach, sizeof(struct hwy_attach) * h->port_count,
		       h->attach_count) ||
	    !part_fits(h, h->off_ring_tags, 4, h->ring_count) ||
	    !part_fits(h, h->off_owners, 1, h->chunk_count) ||
	    !part_fits(h, h->off_rings, h->ring_stride, h->ring_count) ||
	    !part_fits(h, h->off_chunks, h->chunk_stride, h->chunk_count) ||
	    h->attach_count > HWY_MAX_ATTACH || h->kind > HWY_KIND_LINK ||
	    memchr(h->domain, 0, sizeof(h->domain)) == NULL ||
	    (h->kind != HWY_KIND_DOMAIN && !kind_makes_sense(h)))
		return hwy_fail(err, -EPROTO, "%s has a header that makes no sense: %s", path,
				remedy);
	if (!parts_in_order(h))
		return hwy_fail(err, -EPROTO, "%s has a header whose parts overlap: %s", path,
				remedy);
	if (reserved_used(h))
		return hwy_fail(err, -EPROTO,
				"%s uses reserved words of the header: upgrade this program, or %s",
				path, remedy);
	return 0;
}

/* Takes a copy of the mapped region's header and validates it; the pointers rest on the copy. */
static int
take_header(struct hwy_region *r, char *err)
{
	struct hwy_header first;
	int rc;

	if (hwy_load_acquire(&((struct hwy_header *)(void *)r->base)->magic) != HWY_MAGIC)
		memset(&first, 0, sizeof(first));
	else
		memcpy(&first, r->base, sizeof(first));
	rc = validate(&first, r->size, r->path, err);
	if (rc < 0)
		return rc;
	r->geo = first;
	r->hdr = (void *)r->base;
	r->clients = (void *)(r->base + first.off_clients);
	r->ports = (void *)(r->base + first.off_ports);
	r->links = (void *)(r->base + first.off_links);
	r->attach = (void *)(r->base + first.off_attach);
	r->ring_tags = (void *)(r->base + first.off_ring_tags);
	r->owners = r->base + first.off_owners;
	r->rings = r->base + first.off_rings;
	r->chunks = r->base + first.off_chunks;
	return 0;
}

/* Maps region->fd, which is 'size' bytes long. */
static int
map(struct hwy_region *r, uint64_t size, char *err)
{
	int protection = r->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
	void *at;
	int rc;

	if (size < HWY_MIN_REGION)
		return hwy_fail(err, -EPROTO,
				"%s is not a Highway region: remove the file if no process uses it",
				r->path);
	at = mmap(NULL, size, protection, MAP_SHARED, r->fd, 0);
	if (at == MAP_FAILED)
		return hwy_fail(err, -errno, "%s cannot be mapped: %s; free memory or huge pages",
				r->path, strerror(errno));
	r->base = at;
	r->size = size;
	rc = take_header(r, err);
	if (rc == 0)
		(void)madvise(at, size, MADV_HUGEPAGE); /* helps on tmpfs where it is allowed */
	return rc;
}

struct hwy_ring_at
hwy_region_ring(const struct hwy_region *r, uint32_t index)
{
	/* The index may come from the region itself: never beyond the last ring. */
	uint8_t *at = r->rings + r->geo.ring_stride * (index < r->geo.ring_count ? index : 0);
	struct hwy_ring_at ring = {
		.ring = (void *)at,
		.desc = (void *)(at + sizeof(struct hwy_ring)),
		.data = at + sizeof(struct hwy_ring) + 8ULL * r->geo.ring_size,
		.mask = r->geo.ring_size - 1,
	};

	return ring;
}

static struct hwy_region *
region_new(const char *path)
{
	struct hwy_region *r = calloc(1, sizeof(*r));

	if (r != NULL) {
		r->fd = -1;
		snprintf(r->path, sizeof(r->path), "%s", path);
		pthread_mutex_init(&r->mutex, NULL);
	}
	return r;
}

static void
region_free(struct hwy_region *r)
{
	if (r->base != NULL)
		munmap(r->base, r->size);
	if (r->fd >= 0)
		close(r->fd);
	pthread_mutex_destroy(&r->mutex);
	free(r);
}

/* Reserves the memory now: a full disk or pool must be an error here, not a SIGBUS in
 * somebody's data path. */
static int
reserve(int fd, uint64_t size)
{
	int rc;

	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	do {
		rc = posix_fallocate(fd, 0, (off_t)size);
	} while (rc == EINTR);
	return -rc;
}

/*
 * Makes the region file 'path' unless there is one: built under a name of its own and
 * linked in place when complete, so nobody ever sees half a region.
 */
static int
make(const char *path, const struct hwy_region_config *config, char *err)
{
	char temporary[PATH_MAX];
	struct hwy_header header;
	struct hwy_header *at;
	int fd, rc;

	rc = lay_out(&header, config, err);
	if (rc < 0)
		return rc;
	if (snprintf(temporary, sizeof(temporary), "%s.new.XXXXXX", path) >= (int)sizeof(temporary))
		return hwy_fail(err, -ENAMETOOLONG,
				"%s is too long a path: choose a shorter dir=", path);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return hwy_fail(err, -errno,
				"%s cannot be made: %s; name a folder you may write to with dir=",
				temporary, strerror(errno));
	rc = reserve(fd, header.file_size);
	if (rc < 0) {
		hwy_fail(err, rc,
			 "%s: no room for a region of size=%lluM: %s; free memory, or name a "
			 "smaller "
			 "size= or another dir=",
			 path, (unsigned long long)header.file_size >> 20, strerror(-rc));
		goto out;
	}
	at = mmap(NULL, header.file_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		rc = hwy_fail(err, -errno, "%s cannot be mapped: %s; free memory or huge pages",
			      path, strerror(errno));
		goto out;
	}
	memcpy(at, &header, sizeof(header));
	hwy_store_release(&at->magic, HWY_MAGIC);
	munmap(at, header.file_size);
	if (link(temporary, path) < 0 && errno != EEXIST)
		rc = hwy_fail(err, -errno,
			      "%s cannot be made: %s; name another folder with dir=", path,
			      strerror(errno));
	else
		rc = 0;
out:
	close(fd);
	unlink(temporary);
	return rc;
}

/* Can a region of 'size' bytes be made in 'dir'?  Makes the folder if need be. */
static bool
dir_has_room(const char *dir, uint64_t size)
{
	char parent[PATH_MAX];
	struct statfs fs;
	char *slash;

	snprintf(parent, sizeof(parent), "%s", dir);
	slash = strrchr(parent, '/');
	if (slash == NULL || slash == parent)
		return false;
	*slash = 0;
	if (statfs(parent, &fs) < 0)
		return false;
	if (strstr(parent, "hugepages") != NULL && (uint64_t)fs.f_type != HUGETLBFS_SUPER)
		return false;
	if ((uint64_t)fs.f_bfree * (uint64_t)fs.f_bsize < size)
		return false;
	return mkdir(dir, 0700) == 0 || errno == EEXIST;
}

static int
find_path(const struct hwy_region_config *config, char *path, size_t size, char *err)
{
	const char *dir = config->dir;

	if (dir == NULL || dir[0] == 0) {
		for (size_t i = 0; hwy_default_dirs[i] != NULL; i++) {
			snprintf(path, size, "%s/%s", hwy_default_dirs[i], config->domain);
			if (access(path, F_OK) == 0)
				return 0;
		}
		for (size_t i = 0; hwy_default_dirs[i] != NULL && dir == NULL; i++) {
			if (dir_has_room(hwy_default_dirs[i],
					 config->size ? config->size : default_size(config->kind)))
				dir = hwy_default_dirs[i];
		}
		if (dir == NULL)
			return hwy_fail(
				err, -ENOSPC,
				"domain=%s: neither %s nor %s has room for its region: free "
				"memory, or name a smaller size= or another dir=",
				config->domain, hwy_default_dirs[0], hwy_default_dirs[1]);
	} else if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
		return hwy_fail(err, -errno, "dir=%s cannot be made: %s; name an existing folder",
				dir, strerror(errno));
	}
	if (snprintf(path, size, "%s/%s", dir, config->domain) >= (int)size - 16)
		return hwy_fail(err, -ENAMETOOLONG, "dir=%s is too long: choose a shorter one",
				dir);
	return 0;
}

int
hwy_region_check(const struct hwy_region *r, const struct hwy_region_config *config, char *err)
{
	const struct {
		const char *name;
		uint64_t wanted, is;
	} wishes[] = {
		{"size", config->size, r->geo.file_size},
		{"ring", config->ring_size, r->geo.ring_size},
		{"buf", config->chunk_stride, r->geo.chunk_stride},
	};

	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		if (wishes[i].wanted != 0 && wishes[i].wanted != wishes[i].is)
			return hwy_fail(
				err, -EINVAL,
				"%s=%llu contradicts the existing region %s, which has %s=%llu: "
				"leave it out, or stop all of the domain first",
				wishes[i].name, (unsigned long long)wishes[i].wanted, r->path,
				wishes[i].name, (unsigned long long)wishes[i].is);
	}
	return 0;
}

/* Somebody may have removed the file by hand, and another made one of that name. */
static bool
still_at_its_path(const struct hwy_region *r)
{
	struct stat ours, there;

	return fstat(r->fd, &ours) == 0 && stat(r->path, &there) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

int
hwy_region_open(const struct hwy_region_config *config, struct hwy_region **out, char *err)
{
	char path[PATH_MAX];
	struct hwy_region *r;
	struct stat st;
	int rc;

	*out = NULL;
	if (config->domain == NULL || !hwy_region_name_ok(config->domain, config->kind))
		return hwy_fail(
			err, -EINVAL,
			config->kind == HWY_KIND_PORT
				? "port=%s is not a name for a port without domain=: use 1 to 30 "
				  "letters, digits, '.', '_' and '-'"
				: "domain=%s is not a name: use 1 to 31 letters, digits, '.', '_' "
				  "and '-'",
			config->domain == NULL ? ""
					       : config->domain + (config->kind == HWY_KIND_PORT &&
								   config->domain[0] != 0));
	rc = find_path(config, path, sizeof(path), err);
	if (rc < 0)
		return rc;
	/* The file may vanish between two steps, when its last user leaves: try again. */
	for (int attempt = 0; attempt < 1000; attempt++) {
		bool made = false;

		rc = 0;
		r = region_new(path);
		if (r == NULL)
			return hwy_fail(err, -ENOMEM, "%s: out of memory", path);
		r->fd = open(path, O_RDWR | O_CLOEXEC);
		if (r->fd < 0 && errno == ENOENT) {
			rc = make(path, config, err);
			made = rc == 0;
			if (rc == 0)
				r->fd = open(path, O_RDWR | O_CLOEXEC);
		}
		if (r->fd < 0) {
			int saved = errno;

			region_free(r);
			if (rc < 0)
				return rc;
			if (saved == ENOENT)
				continue;
			return hwy_fail(err, -saved, "%s cannot be opened: %s; check its owner",
					path, strerror(saved));
		}
		if (fstat(r->fd, &st) < 0 || !S_ISREG(st.st_mode))
			rc = hwy_fail(err, -EPROTO,
				      "%s is not a file: name another domain= or dir=", path);
		else
			rc = map(r, (uint64_t)st.st_size, err);
		if (rc == 0)
			rc = hwy_region_check(r, config, err);
		if (rc == 0) {
			r->is_new = made;
			rc = hwy_client_attach(r, err);
			/* Unlinked by its last user just before we got our slot?  Not a question
			 * of st_nlink: the name under which it was made may be there still. */
			if (rc == 0 && !still_at_its_path(r)) {
				hwy_client_detach(r);
				rc = -ESTALE;
			}
		}
		if (rc == 0) {
			*out = r;
			return 0;
		}
		region_free(r);
		if (rc != -ESTALE)
			return rc;
	}
	return hwy_fail(err, -EAGAIN, "%s comes and goes: try again", path);
}

const char *
hwy_link_region_name(uint64_t id, char name[HWY_NAME_SIZE])
{
	snprintf(name, HWY_NAME_SIZE, "%c%016llx", HWY_MARK_LINK, (unsigned long long)id);
	return name;
}

bool
hwy_link_region_id(const char *name, uint64_t *id)
{
	if (!hwy_region_name_ok(name, HWY_KIND_LINK))
		return false;
	*id = strtoull(name + 1, NULL, 16);
	return true;
}

int
hwy_link_region_make(const char *dir, uint64_t id, uint64_t size, char *err)
{
	char name[HWY_NAME_SIZE], path[PATH_MAX];
	struct hwy_region_config config = {.dir = dir,
					   .domain = hwy_link_region_name(id, name),
					   .kind = HWY_KIND_LINK,
					   .size = size};
	int rc = find_path(&config, path, sizeof(path), err);

	return rc < 0 ? rc : make(path, &config, err);
}

static int
check_link(const struct hwy_region *r, const char *name, char *err)
{
	if (r->geo.kind == HWY_KIND_LINK && strcmp(r->geo.domain, name) == 0)
		return 0;
	return hwy_fail(err, -EPROTO, "what was handed over as %s is %s", name, r->geo.domain);
}

int
hwy_link_region_again(struct hwy_region *r, uint64_t id, char *err)
{
	char name[HWY_NAME_SIZE];
	int rc = take_header(r, err);

	return rc < 0 ? rc : check_link(r, hwy_link_region_name(id, name), err);
}

int
hwy_link_region_map(int fd, uint64_t id, struct hwy_region **out, char *err)
{
	char name[HWY_NAME_SIZE];
	struct hwy_region *r = region_new(hwy_link_region_name(id, name));
	struct stat st;
	int rc;

	*out = NULL;
	if (r == NULL)
		return hwy_fail(err, -ENOMEM, "%s: out of memory", name);
	r->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (r->fd < 0 || fstat(r->fd, &st) < 0)
		rc = hwy_fail(err, -errno, "%s cannot be mapped: %s", name, strerror(errno));
	else
		rc = map(r, (uint64_t)st.st_size, err);
	if (rc == 0)
		rc = check_link(r, name, err);
	if (rc < 0) {
		region_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

int
hwy_region_inspect(const char *path, struct hwy_region **out, char *err)
{
	struct hwy_region *r = region_new(path);
	struct stat st;
	int rc;

	*out = NULL;
	if (r == NULL)
		return hwy_fail(err, -ENOMEM, "%s: out of memory", path);
	r->read_only = true;
	r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block us */
	if (r->fd < 0 || fstat(r->fd, &st) < 0)
		rc = hwy_fail(err, -errno, "%s cannot be opened: %s", path, strerror(errno));
	else
		rc = map(r, (uint64_t)st.st_size, err);
	if (rc < 0) {
		region_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

int
hwy_region_open_device(const char *path, struct hwy_region **out, char *err)
{
	struct hwy_region *r = region_new(path);
	struct stat st;
	int rc;

	*out = NULL;
	if (r == NULL)
		return hwy_fail(err, -ENOMEM, "%s: out of memory", path);
	r->realm = hwy_realm_own();
	r->fd = open(path, O_RDWR | O_CLOEXEC);
	if (r->fd < 0 || fstat(r->fd, &st) < 0)
		rc = hwy_fail(err, -errno, "%s cannot be opened: %s; be root", path,
			      strerror(errno));
	else
		rc = map(r, (uint64_t)st.st_size, err);
	if (rc == 0)
		rc = hwy_realm_attach(r, err);
	if (rc < 0) {
		region_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

/*
 * Removes the file unless somebody has it open for writing: a process that attached just
 * now, or a virtual machine, whatever runs in it.  The kernel knows that, and tells by
 * refusing a lease.  A process that closes at the same time is waited for.
 */
static void
remove_if_unused(struct hwy_region *r)
{
	const struct timespec nap = {.tv_nsec = 2000000};
	int fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool there = fd >= 0 && still_at_its_path(r);

	munmap(r->base, r->size);
	r->base = NULL;
	close(r->fd);
	r->fd = fd;
	if (!there)
		return;
	/* Whoever opens it meanwhile waits, and we are sent this signal, which is ignored. */
	(void)fcntl(fd, F_SETSIG, SIGURG);
	for (int i = 0; i < 20; i++) {
		/* One remover at a time: the path is still this file's when it is removed. */
		if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
			if (!still_at_its_path(r))
				return;
			if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
				unlink(r->path);
				return; /* closing the file ends the lease and the lock */
			}
			if (errno != EAGAIN)
				return;
			flock(fd, LOCK_UN);
		}
		nanosleep(&nap, NULL);
	}
}

void
hwy_region_close(struct hwy_region *r)
{
	bool last = false;

	if (r == NULL)
		return;
	if (r->me != 0 && r->realm != 0) {
		if (hwy_realm_beat(r)) /* else it was taken for dead */
			hwy_store_release(&r->clients[r->me].state, HWY_CLIENT_LEFT);
	} else if (r->me != 0 && hwy_region_lock(r, NULL) == 0) {
		last = !hwy_load(&r->hdr->keep) && hwy_client_alone(r);
		hwy_client_release(r);
		hwy_region_unlock(r);
	}
	if (last)
		remove_if_unused(r);
	region_free(r);
}

void
hwy_region_keep(struct hwy_region *r, bool keep)
{
	if (hwy_load(&r->hdr->keep) == keep || hwy_region_lock(r, NULL) < 0)
		return;
	hwy_store(&r->hdr->keep, keep);
	hwy_region_unlock(r);
}

int
hwy_region_lock(struct hwy_region *r, char *err)
{
	int rc;

	pthread_mutex_lock(&r->mutex);
	rc = hwy_lock_wait(r->fd, HWY_LOCK_CONTROL, HWY_LOCK_DEADLINE_MS);
	if (rc == 0)
		return 0;
	pthread_mutex_unlock(&r->mutex);
	return hwy_fail(err, rc, "%s: another process has held its control lock for %d ms: %s",
			r->path, HWY_LOCK_DEADLINE_MS,
			"see highwayctl show for the holders, and end the stuck one");
}

void
hwy_region_unlock(struct hwy_region *r)
{
	hwy_lock_drop(r->fd, HWY_LOCK_CONTROL);
	pthread_mutex_unlock(&r->mutex);
}

int
hwy_region_take_ring(struct hwy_region *r, uint32_t tag, uint32_t *index)
{
	for (uint32_t i = 0; i < r->geo.ring_count; i++) {
		if (hwy_load(&r->ring_tags[i]) != HWY_TAG_FREE)
			continue;
		memset(hwy_region_ring(r, i).ring, 0, sizeof(struct hwy_ring));
		hwy_store_release(&r->ring_tags[i], tag);
		*index = i;
		return 0;
	}
	return -ENOSPC;
}

void
hwy_region_give_rings(struct hwy_region *r, uint32_t tag)
{
	for (uint32_t i = 0; i < r->geo.ring_count; i++) {
		if (hwy_load(&r->ring_tags[i]) == tag)
			hwy_store_release(&r->ring_tags[i], HWY_TAG_FREE);
	}
}
