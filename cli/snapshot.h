/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region at one moment, as plain structs.  Every index is in range or says that it is
 * not (HWY_SNAP_NONE), every text is printable and ends with a NUL, whatever the region
 * held.  The words of it were read one by one: counters of different threads may be a
 * few packets apart.
 */
#ifndef HIGHWAY_CLI_SNAPSHOT_H
#define HIGHWAY_CLI_SNAPSHOT_H

#include "region.h"

#define HWY_SNAP_NONE UINT32_MAX
#define HWY_SNAP_FAR  0x10000u /* an end of a link in another region */

struct hwy_snap_client {
	bool used;
	bool alive;   /* its lock is held, or it is one of a virtual machine */
	uint32_t pid; /* in the client's own PID namespace */
	char comm[17];
	uint64_t attached_ns;
	uint64_t realm; /* not 0: it runs in a virtual machine */
	uint32_t life;
};

struct hwy_snap_end {
	uint32_t client; /* slot, 0: nobody */
	bool alive;      /* the lock of the end is held */
	uint32_t state;  /* enum hwy_end_state */
	uint32_t rx_queues, tx_queues;
	uint32_t mtu;
	uint8_t mac[6];
	struct hwy_counters rx, tx; /* summed over the queues */
};

struct hwy_snap_route {
	uint64_t key;
	uint32_t link; /* index, or HWY_SNAP_NONE */
	uint32_t dst;  /* port index, HWY_SNAP_FAR + 'link', or HWY_SNAP_NONE */
	struct hwy_packets_bytes sent;
};

struct hwy_snap_port {
	bool used;
	char name[HWY_NAME_SIZE + 1];
	uint32_t queues;
	bool bypass_off;
	bool link_up; /* both ends are started */
	struct hwy_snap_end end[2];
	struct hwy_packets_bytes out, in; /* by links, since the port was made */
	uint32_t n_routes;
	struct hwy_snap_route routes[HWY_MAX_ROUTES];
};

struct hwy_snap_link {
	uint32_t state;    /* enum hwy_link_state; HWY_LINK_FREE: nothing else counts */
	uint32_t src, dst; /* port indexes, HWY_SNAP_FAR + the link's index, or HWY_SNAP_NONE */
	char peer[HWY_NAME_SIZE + 1]; /* name of the end that is in another region */
	uint32_t queues;
	uint64_t since_ns;
	uint32_t opened;
	struct hwy_packets_bytes sent;
	uint64_t waiting; /* entries in its rings */
};

struct hwy_snap {
	char path[PATH_MAX];
	struct hwy_header geo;
	uint64_t now_ns;  /* CLOCK_REALTIME */
	double monotonic; /* seconds */
	uint32_t host;    /* client slot, 0: nobody */
	bool host_alive;  /* the host's lock is held */
	uint32_t heartbeat;
	double silent_s; /* the heartbeat has not moved for so long: hwy_snap_follow() */
	bool offload;
	bool bypass_off;
	uint32_t sweeps, reclaimed;
	bool counted; /* the census was taken */
	struct hwy_chunk_census census;
	struct hwy_snap_client clients[HWY_MAX_CLIENTS];
	struct hwy_snap_port ports[HWY_MAX_PORTS];
	struct hwy_snap_link links[HWY_MAX_LINKS];
};

/*
 * Calls fn(arg), which may touch regions.  Returns 0, or -EFAULT if a file was cut
 * short under it (it then did not end, and what it held is lost).  Not to be nested.
 */
int hwy_guarded(void (*fn)(void *), void *arg);

/* Takes a snapshot, with a census of the buffers if 'count'.  NULL if the file was cut
 * short or there is no memory.  To be freed with free(). */
struct hwy_snap *hwy_snap_take(const struct hwy_region *region, bool count);

/* Notes for how long the host has been silent.  'before': an earlier snapshot of the same
 * region, or NULL. */
void hwy_snap_follow(struct hwy_snap *s, const struct hwy_snap *before);

/* Name of port 'index', "?" if it is none. */
const char *hwy_snap_port_name(const struct hwy_snap *s, uint32_t index);

/* Index of port 'name', or HWY_SNAP_NONE. */
uint32_t hwy_snap_find(const struct hwy_snap *s, const char *name);

/* Routes out of and into port 'index', HWY_SNAP_NONE: of all ports. */
uint32_t hwy_snap_routes(const struct hwy_snap *s, uint32_t index);

/* Entries of a ring, 0 if its indexes make no sense or there is no such ring.  To be
 * called under hwy_guarded(). */
uint32_t hwy_ring_waiting(const struct hwy_region *region, uint32_t ring);

struct hwy_rate {
	double pps; /* packets per second */
	double bps; /* bits of frames per second, from the first address byte to the last
		     * of the payload */
};

/* Between two snapshots of a region.  0 if a counter started over, or before is NULL. */
struct hwy_port_rates {
	struct hwy_rate switch_out, switch_in; /* sent, received by the guest end */
	struct hwy_rate bypass_out, bypass_in;
};
struct hwy_port_rates hwy_rates_of_port(const struct hwy_snap *s, const struct hwy_snap *before,
					uint32_t port);
struct hwy_rate hwy_rate_of_link(const struct hwy_snap *s, const struct hwy_snap *before,
				 uint32_t link);

#endif /* HIGHWAY_CLI_SNAPSHOT_H */
