/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region as one process has it mapped, and its life: made, opened, attached to,
 * swept after the dead, closed.  Plain C; knows nothing of DPDK.
 *
 * Errors: functions return 0 or -errno; where they take 'err', a sentence that names
 * the thing, its value and the remedy is written there as well.
 *
 * Threads: everything here is control path.  A region's 'mutex' serialises the threads
 * of this process, the control lock the processes; hwy_region_lock() takes both, in
 * this order, and nothing else is waited for while they are held.
 */
#ifndef HIGHWAY_SHM_REGION_H
#define HIGHWAY_SHM_REGION_H

#include <limits.h>
#include <pthread.h>
#include <sys/types.h>

#include "ring.h"

#define HWY_ERR_SIZE 512

/* Writes the sentence to 'err' (HWY_ERR_SIZE bytes, may be NULL), returns 'code'. */
int hwy_fail(char *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define HWY_LOCK_DEADLINE_MS 5000

struct hwy_region_config {
	const char *dir;    /* folder of the file; NULL: the first usable default */
	const char *domain; /* the name in the header: see hwy_region_name_ok() */
	enum hwy_kind kind;
	uint64_t size;         /* bytes, a power of two; 0: the default of its kind */
	uint32_t ring_size;    /* entries, a power of two, 64 to 16384; 0: the default */
	uint32_t chunk_stride; /* bytes, a multiple of 64; 0: the default */
};

#define HWY_DEFAULT_SIZE   (64ULL << 20)
#define HWY_DEFAULT_PORT   (16ULL << 20) /* of an isolated port */
#define HWY_DEFAULT_LINK   (8ULL << 20)  /* of a link region */
#define HWY_DEFAULT_RING   1024
#define HWY_DEFAULT_STRIDE 2368 /* an odd number of lines: spreads over cache sets */
#define HWY_CHUNK_HEADROOM 128

/* What a process last saw of a client of another realm: see realm.h. */
struct hwy_watch {
	uint32_t life, beat, state;
	uint64_t since_ms; /* CLOCK_MONOTONIC, 0: never looked */
};

struct hwy_region {
	int fd;
	bool read_only;
	bool is_new;    /* this process made the file */
	uint64_t realm; /* 0: the file's own kernel; else this is a virtual machine */
	char path[PATH_MAX];
	uint8_t *base;
	size_t size;
	struct hwy_header geo;  /* private copy, validated: what the pointers rest on */
	struct hwy_header *hdr; /* the shared one */
	struct hwy_client *clients;
	struct hwy_port *ports;
	struct hwy_link *links;
	struct hwy_attach *attach; /* [port_count][attach_count] */
	uint32_t *ring_tags;
	uint8_t *owners;
	uint8_t *rings;
	uint8_t *chunks;
	uint32_t me;   /* client slot of this process, 0: none */
	uint32_t life; /* of the slot */
	struct hwy_watch watch[HWY_MAX_CLIENTS];
	pthread_mutex_t mutex;
};

/* Ring tags: who holds a ring. */
#define HWY_TAG_FREE    0u
#define HWY_TAG_PORT(p) (0x10000u | (p))
#define HWY_TAG_LINK(l) (0x20000u | (l))

/* True if 'name' may name a domain or a port: 1 to 31 of [A-Za-z0-9._-], no dot first. */
bool hwy_name_ok(const char *name);

/* True if 'name' may name a region of that kind.  That of an isolated port is its port's,
 * of at most 30 characters, after HWY_MARK_PORT. */
bool hwy_region_name_ok(const char *name, enum hwy_kind kind);

/* "the domain green", "port p1": what the region is to people, in a buffer of
 * HWY_TITLE_SIZE bytes. */
#define HWY_TITLE_SIZE (HWY_NAME_SIZE + 16)
const char *hwy_region_title(const struct hwy_header *header, char title[HWY_TITLE_SIZE]);

/*
 * Opens the region of config->domain, making it if there is none, and takes a client
 * slot for this process.  Size, ring and stride, where given, must be those of an
 * existing region.  -EINVAL, -ENOSPC, -EPROTO (not a region, or of another version),
 * -EBUSY (no client slot free), or what open(2), mmap(2) say.
 */
int hwy_region_open(const struct hwy_region_config *config, struct hwy_region **out, char *err);

/*
 * Opens the region that a PCI device shows in the file 'path' (its BAR), from inside a
 * virtual machine, and takes a client slot: see realm.h.  Errors as above.
 */
int hwy_region_open_device(const char *path, struct hwy_region **out, char *err);

/* -EINVAL if the region is not what 'config' wants of size, ring and buffers. */
int hwy_region_check(const struct hwy_region *region, const struct hwy_region_config *config,
		     char *err);

/* Maps the region file 'path' for reading only: no lock is taken, nobody is asked. */
int hwy_region_inspect(const char *path, struct hwy_region **out, char *err);

/*
 * Link regions (HWY_KIND_LINK).  hwy_link_region_make() makes the file of the one with
 * identity 'id' in 'dir'; hwy_link_region_map() maps one that somebody hands over as 'fd',
 * which stays the caller's, and checks that it is the one with that identity.  No client slot
 * is taken; hwy_region_close() unmaps it.  hwy_link_region_again() makes all these checks once
 * more, of one that was mapped a while before it is used.
 */
int hwy_link_region_make(const char *dir, uint64_t id, uint64_t size, char *err);
int hwy_link_region_map(int fd, uint64_t id, struct hwy_region **out, char *err);
int hwy_link_region_again(struct hwy_region *region, uint64_t id, char *err);
/* Its name, in a buffer of HWY_NAME_SIZE bytes. */
const char *hwy_link_region_name(uint64_t id, char name[HWY_NAME_SIZE]);
/* And back; false if it is no such name. */
bool hwy_link_region_id(const char *name, uint64_t *id);

/* Unmaps.  Gives the client slot back; removes the file if nobody else is attached, unless
 * it is to be kept (hwy_region_keep()). */
void hwy_region_close(struct hwy_region *region);

/* Whether the file stays when its last user leaves.  Takes the lock. */
void hwy_region_keep(struct hwy_region *region, bool keep);

int hwy_region_lock(struct hwy_region *region, char *err);
void hwy_region_unlock(struct hwy_region *region);

/* Where ring 'index' lies.  'index' < ring_count. */
struct hwy_ring_at hwy_region_ring(const struct hwy_region *region, uint32_t index);

static inline uint8_t *
hwy_region_chunk(const struct hwy_region *region, uint32_t chunk)
{
	return region->chunks + (size_t)chunk * region->geo.chunk_stride;
}

/* Attach slot 'slot' of port 'port', both in range. */
static inline struct hwy_attach *
hwy_region_attach(const struct hwy_region *region, uint32_t port, uint32_t slot)
{
	return &region->attach[port * region->geo.attach_count + slot];
}

/* Is this descriptor's chunk and extent inside the region? */
static inline bool
hwy_desc_ok(const struct hwy_header *geo, uint64_t desc)
{
	if (HWY_DESC_CHUNK(desc) == HWY_CHUNK_INLINE)
		return HWY_DESC_LENGTH(desc) <= HWY_INLINE_MAX;
	return HWY_DESC_CHUNK(desc) < geo->chunk_count &&
	       HWY_DESC_OFFSET(desc) + HWY_DESC_LENGTH(desc) <= geo->chunk_stride;
}

/* Entries that a descriptor takes together with those that continue it, at most 'left'.
 * The descriptors of slots that continue an inline packet say nothing of chunks. */
static inline uint32_t
hwy_desc_entries(uint64_t desc, uint32_t left)
{
	uint32_t slots = 1;

	if (HWY_DESC_CHUNK(desc) == HWY_CHUNK_INLINE && HWY_DESC_LENGTH(desc) <= HWY_INLINE_MAX)
		slots = hwy_inline_slots(HWY_DESC_LENGTH(desc));
	return slots < left ? slots : left;
}

/* Takes a free ring for 'tag' and clears it.  Caller holds the lock.  -ENOSPC. */
int hwy_region_take_ring(struct hwy_region *region, uint32_t tag, uint32_t *index);
void hwy_region_give_rings(struct hwy_region *region, uint32_t tag);

/*
 * Cleans up after clients that died: their ends become detached, what waited for them
 * is dropped, the chunks they held come back.  Returns the number of clients swept, or
 * -errno; does nothing (0) if somebody else holds the lock right now.  'dropped', if
 * not NULL, receives the number of packets that waited for the dead.
 */
int hwy_region_sweep(struct hwy_region *region, uint64_t *dropped);

/* Chunks by what is known of them, for the tools and the tests. */
struct hwy_chunk_census {
	uint32_t free;
	uint32_t in_rings; /* held by somebody and on the way to somebody else */
	uint32_t held[HWY_MAX_CLIENTS + 1];
};
void hwy_region_census(const struct hwy_region *region, struct hwy_chunk_census *census);

/* Locks on single bytes: 0, -EAGAIN (somebody else has it) or -errno. */
int hwy_lock_try(int fd, int64_t byte);
int hwy_lock_wait(int fd, int64_t byte, unsigned int deadline_ms);
void hwy_lock_drop(int fd, int64_t byte);
/* Is the byte locked by somebody?  Needs no write access. */
bool hwy_lock_held(int fd, int64_t byte);

uint64_t hwy_now_ns(void);       /* CLOCK_REALTIME */
uint64_t hwy_monotonic_ms(void); /* CLOCK_MONOTONIC, milliseconds */

/* Default folders, in the order in which they are looked through. */
extern const char *const hwy_default_dirs[];

#endif /* HIGHWAY_SHM_REGION_H */
