/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest end's part of link regions: following the attach slots of its port, on its
 * control thread.  See docs/internals/isolated-ports.md.
 *
 *   WANTED  ->  found and mapped, MAPPED is acknowledged; or UNMAPPED, if it cannot be had
 *   USABLE  ->  BROKEN is acknowledged if a queue says that the peer does not do its part
 *   CLOSING, or anything of another epoch  ->  no queue uses it: unmapped, UNMAPPED
 */
#ifndef HIGHWAY_SHM_ATTACH_H
#define HIGHWAY_SHM_ATTACH_H

#include "pool.h"
#include "region.h"

/* A link region as a guest end has it mapped. */
struct hwy_mapping {
	struct hwy_region *region;
	uint32_t end; /* which end of it the port is */
	uint32_t slot;
	struct hwy_pool pool[HWY_MAX_QUEUES]; /* one for each sending queue */
};

struct hwy_attachments {
	struct hwy_region *region; /* the port's own */
	uint32_t port;
	uint32_t epoch[HWY_MAX_ATTACH]; /* of what is mapped, or was last tried */
	/* The data path follows these: set before, cleared after a link may lead there. */
	struct hwy_mapping *at[HWY_MAX_ATTACH];
	/* The data path says here why the link is to be closed: EBADMSG, the peer does not keep to
	 * the protocol; ETIMEDOUT, it does nothing; 0 when mapped. */
	uint32_t broken[HWY_MAX_ATTACH];

	/* Finds link region 'id'.  Returns a file descriptor, which is closed afterwards, or
	 * -errno; -EAGAIN: it may be there in a moment. */
	int (*fetch)(void *aux, uint64_t id);
	/* May be NULL.  The link region, if it was mapped beforehand: the caller's from now on,
	 * who checks it again.  NULL if it was not; or, where it must not 'wait', if somebody
	 * else looks just now. */
	struct hwy_region *(*take)(void *aux, uint64_t id, bool wait);
	/* Does a queue still use the mapping of that slot? */
	bool (*in_use)(void *aux, uint32_t slot);
	void *aux;
};

void hwy_attach_init(struct hwy_attachments *a, struct hwy_region *region, uint32_t port);

/* Looks at all slots.  'up': the guest end is started, as the other guest end is to see.
 * Returns whether one waits for its region, so that the next look should be soon.  '*broken'
 * gets those (bits) of which it was acknowledged just now that they are broken. */
bool hwy_attach_tick(struct hwy_attachments *a, bool up, uint32_t *broken);

/* Maps what is wanted and was mapped beforehand, and nothing else: for a thread that has no time.
 * Returns whether there is more to do, which is a job for hwy_attach_tick(). */
bool hwy_attach_quick(struct hwy_attachments *a, bool up);

/* Says so without looking at anything else; may be called by any control thread. */
void hwy_attach_up(struct hwy_attachments *a, bool up);

/* Unmaps everything; no queue is in use any more. */
void hwy_attach_close(struct hwy_attachments *a);

/*
 * Asks the agent at the socket 'path' for link region 'id', as the holder of 'region'.
 * Returns a file descriptor that hwy_fd_check() has found good, or -errno; waits for at most
 * HWY_FETCH_MS.
 */
#define HWY_FETCH_MS 500
int hwy_attach_ask(const char *path, const struct hwy_region *region, uint64_t id, char *err);

/*
 * May 'fd', which somebody has handed over as 'name', be mapped without fear that anybody cuts
 * it short, which is a SIGBUS?  -EPERM if it is neither sealed against that (memfd_create(2)),
 * nor a file with a name that only its owner may write to.  Its size is compared with what its
 * header says when it is mapped.
 */
int hwy_fd_check(int fd, const char *name, char *err);

/* What is asked, with the region's file descriptor beside it, and what is answered, with the
 * link region's if 'error' is 0. */
struct hwy_fetch_request {
	uint64_t magic; /* HWY_MAGIC */
	uint64_t id;
};
struct hwy_fetch_answer {
	uint64_t id;
	uint32_t error; /* an errno */
	uint32_t reserved;
};

/* One message with a file descriptor (or -1) beside it, over a SOCK_SEQPACKET socket: 0 or
 * -errno. */
int hwy_fd_send(int socket, const void *message, size_t size, int fd);
int hwy_fd_receive(int socket, void *message, size_t size, int *fd);

#endif /* HIGHWAY_SHM_ATTACH_H */
