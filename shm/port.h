/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports of a region and their two ends.
 *
 *   attach -> start -> stop -> ... -> detach      by the process that holds the end
 *
 * An end is held through a lock on its byte of the region file, which the kernel drops
 * when the holder dies; hwy_region_sweep() then detaches it.
 */
#ifndef HIGHWAY_SHM_PORT_H
#define HIGHWAY_SHM_PORT_H

#include "region.h"

/*
 * Attaches this process to end 'role' of port 'name', making the port with 'queues'
 * rings each way (0: as it is, or 1) if there is none.  What waited for an earlier
 * holder of a guest end is dropped.  The first host end makes this process the
 * domain's host.  -EINVAL, -EBUSY (the end, or the domain's host side, is another
 * process's), -ENOSPC.
 */
int hwy_port_attach(struct hwy_region *region, const char *name, enum hwy_role role,
		    uint32_t queues, uint32_t *port, char *err);

/* Detaches; the port goes when both ends are detached and no link knows it. */
void hwy_port_detach(struct hwy_region *region, uint32_t port, enum hwy_role role);

/* Index of port 'name', or -ENOENT. */
int hwy_port_find(const struct hwy_region *region, const char *name);

/* Ends of dead client 'client' become detached.  Returns the packets that waited for
 * it and were dropped.  The caller holds the lock. */
uint64_t hwy_port_bury(struct hwy_region *region, uint32_t client);

/* The same for ends that clients of another realm, which live, have left. */
uint64_t hwy_port_bury_left(struct hwy_region *region);

/* Makes an end that this process has just taken a stopped one: counters from zero, what
 * waits in the port's own rings dropped. */
void hwy_port_fresh_end(struct hwy_region *region, uint32_t port, enum hwy_role role);

/* Frees ports that nobody needs any more.  The caller holds the lock. */
void hwy_port_reap(struct hwy_region *region);

/* Drops what waits for guest end 'port' if nobody holds it. */
void hwy_port_drain_detached(struct hwy_region *region, uint32_t port);

/* True if the end is there and started. */
static inline bool
hwy_end_up(const struct hwy_end *end)
{
	return hwy_load_acquire(&end->state) == HWY_END_STARTED;
}

/* Sum of one counter over the queues of one direction of an end. */
uint64_t hwy_counters_sum(const struct hwy_counters counters[HWY_MAX_QUEUES], size_t offset);

/* Packets and bytes that went by links: out of the port, or into it. */
struct hwy_packets_bytes hwy_port_links_out(const struct hwy_region *region, uint32_t port);
struct hwy_packets_bytes hwy_port_links_in(const struct hwy_region *region, uint32_t port);
struct hwy_packets_bytes hwy_link_sent(const struct hwy_link *link);

#endif /* HIGHWAY_SHM_PORT_H */
