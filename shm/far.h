/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's part of links between ports of different regions, of one run directory: what
 * the ledger wants is mapped at both ends, opened, closed, and unmapped at both ends.
 *
 *   NONE -> WANTED -> USABLE -> DRAINING -> CLOSING -> NONE (the answer is GONE)
 *              \________________________________/
 *
 * Whatever goes wrong leads to CLOSING by the shortest way; meanwhile packets take the switch.
 * Every state but USABLE has a deadline.
 *
 * Threads: any; one mutex, which is taken before that of a host.  hwy_far_answer() is the data
 * path's, and takes a spin lock of the port.
 */
#ifndef HIGHWAY_SHM_FAR_H
#define HIGHWAY_SHM_FAR_H

#include "host.h"
#include "ledger.h"

#define HWY_FAR_MAP_MS   3000 /* for both guest ends to map the region */
#define HWY_FAR_DRAIN_MS 5000 /* for the queues of both to notice, and the rings to be empty */
#define HWY_FAR_UNMAP_MS 3000
/* The same as HWY_FAR_DRAIN_MS, where one guest end says that the other does not do its part. */
#define HWY_FAR_BROKEN_MS 1000

struct hwy_far;
struct hwy_far_port;

/* The links of run directory 'dir'.  -ENOMEM. */
int hwy_far_new(const char *dir, struct hwy_far **far);
void hwy_far_free(struct hwy_far *far);

/* A host end: port 'port' of 'host' and its region, under the number 'id' (HWY_FAR_PORT and
 * above) in flows that lead to it.  NULL if there is no memory. */
struct hwy_far_port *hwy_far_add(struct hwy_far *far, struct hwy_host *host,
				 struct hwy_region *region, uint32_t port, uint32_t id);
void hwy_far_del(struct hwy_far *far, struct hwy_far_port *port);

/* To be called every few milliseconds, from as many threads as there are.  Returns whether a
 * guest end is waited for by a port of 'host', so that the next call for that should be soon. */
bool hwy_far_tick(struct hwy_far *far, const struct hwy_host *host);

/* Brings the counters of links into ports up to date. */
void hwy_far_sync(struct hwy_far *far);

/*
 * Answers the gates of queue 'queue' of X that are reached, as hwy_gate_answer() does, on all
 * links of the port to other regions.  Returns false if one is left, and how far to go in
 * '*limit', which is only ever made smaller.
 */
bool hwy_far_answer(struct hwy_far_port *port, uint32_t queue, uint32_t up_cons, uint32_t *limit);

#endif /* HIGHWAY_SHM_FAR_H */
