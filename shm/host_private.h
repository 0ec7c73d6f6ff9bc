/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the domain's host (host.h) share, and nobody else sees.
 *
 *   host.c         the host as a whole: begins, ends, ticks; whether there is an agent
 *   host_flows.c   flows, the slots that count for them, and what slots owe
 *   host_routes.c  the decision which routes a port has now
 *   host_links.c   the link table and the lists of incoming links
 *   host_far.c     links to ports of other regions, in the tables of this one
 *
 * A change of a flow, a guest or an operator's wish ends in hwy_routes_refresh(), which asks
 * for links; what becomes of links that no route uses any more is hwy_links_tick()'s.
 *
 * Threads: the mutex is held by whoever calls a function of this header.
 */
#ifndef HIGHWAY_SHM_HOST_PRIVATE_H
#define HIGHWAY_SHM_HOST_PRIVATE_H

#include "host.h"

#define HWY_NO_PORT UINT32_MAX

struct hwy_slot {
	uint64_t key; /* 0: never used */
	uint32_t dst;
	uint32_t flows;     /* live flows that are routes */
	uint32_t heirs;     /* live flows that answer for what is owed */
	uint32_t withdrawn; /* route_seq after the route was withdrawn */
	bool routed;        /* X has been told to use it */
	struct hwy_packets_bytes credited;
};

struct hwy_host_port {
	struct hwy_slot slots[HWY_MAX_ROUTES];
	bool awaits;         /* proved and permitted, but no flow is there */
	bool mistrusted;     /* advanced, and no flow came: not once more until one has */
	uint64_t advance_ms; /* CLOCK_MONOTONIC: until then it needs no flow; 0: it does */
	uint32_t proof;      /* port + 1: where the last proof led; 0: there was none */
	uint64_t hold_ms;    /* CLOCK_MONOTONIC: until then the switch's flows are stale */
};

struct hwy_far_route {
	uint32_t dst; /* HWY_FAR_PORT and above; 0: none */
	uint32_t link;
};

struct hwy_host {
	struct hwy_region *region;
	pthread_mutex_t mutex;
	bool short_of_links; /* somebody waits for a link: retire what is not used */
	bool agent_alive;    /* it has beaten within HWY_AGENT_LAPSE_MS */
	uint32_t agent_beat; /* the last beat seen, */
	uint64_t beat_ms;    /* and when: CLOCK_MONOTONIC */
	struct hwy_host_port ports[HWY_MAX_PORTS];
	uint32_t retire_gen[HWY_MAX_LINKS]; /* in_gen of Y that X's retired link needs */
	struct hwy_far_route far[HWY_MAX_PORTS];
};

/* --- host_flows.c -------------------------------------------------------------- */

/* Finds or makes the slot where port 'src' counts what goes to 'dst' in class 'key'.
 * Returns its index, or -ENOSPC. */
int hwy_slots_find(struct hwy_host *host, uint32_t src, uint64_t key, uint32_t dst);

/* Port 'dst' is gone: flows of others may outlive it, and the next one that gets this index
 * is not what they meant.  They lead nowhere (HWY_NO_PORT). */
void hwy_slots_forget(struct hwy_host *host, uint32_t dst);

/* --- host_routes.c ------------------------------------------------------------- */

/* Withdraws what an earlier host has left, which may have died in the middle of a change. */
void hwy_routes_adopt(struct hwy_region *region);

/* Recomputes the routes of port 'src' and publishes them if they changed. */
void hwy_routes_refresh(struct hwy_host *host, uint32_t src);
void hwy_routes_refresh_all(struct hwy_host *host);

/* --- host_links.c -------------------------------------------------------------- */

/* Takes over the links of an earlier host, of which none is open any more. */
void hwy_links_adopt(struct hwy_region *region);

/* The link from 'src' to 'dst' that routes use, used or may use again, or NULL. */
struct hwy_link *hwy_links_find(struct hwy_region *region, uint32_t src, uint32_t dst);

/* Finds or makes it.  False if there is none to be had now; the next tick frees some. */
bool hwy_links_for(struct hwy_host *host, uint32_t src, uint32_t dst, uint32_t *index);

void hwy_links_state(struct hwy_link *link, enum hwy_link_state state);

/* Does every sending queue of X act upon routes at least as new as 'seq'? */
bool hwy_links_left(const struct hwy_port *x, uint32_t seq);

/* The list of links that Y polls: is there room, and one more. */
bool hwy_links_in_full(const struct hwy_port *y);
void hwy_links_in_add(struct hwy_port *y, uint32_t link);

/* Takes a link out of Y's list; it is free once Y has seen that. */
void hwy_links_retire(struct hwy_host *host, uint32_t link);

/* Moves links that are not open towards READY, and unneeded ones towards FREE. */
void hwy_links_tick(struct hwy_host *host);

#endif /* HIGHWAY_SHM_HOST_PRIVATE_H */
