/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What only the domain's host does: turns offloaded flows into routes, opens and
 * closes links, and answers for the counters.
 *
 *   flow      one offloaded megaflow of port X: "packets of this class go to port Y"
 *   slot      where X counts one (class, Y); flows of the same class and Y share it
 *   route     what X reads: class -> link, slot
 *
 * A slot outlives its flows: what X counted after the last query of the last flow is
 * owed, and is credited to the next flow of the same packets (hwy_host_take_over()).
 * So no packet is ever unaccounted.
 *
 * Threads: every function may be called from any thread; one mutex serialises them.
 * It is taken before the region's lock.
 */
#ifndef HIGHWAY_SHM_HOST_H
#define HIGHWAY_SHM_HOST_H

#include "region.h"

struct hwy_host;

/* Becomes the host of 'region', of which this process holds a host end.  Links and
 * routes of an earlier host are taken over, and all routes withdrawn. */
int hwy_host_new(struct hwy_region *region, struct hwy_host **host);
void hwy_host_free(struct hwy_host *host);

/* A flow of port 'src': class 'key' goes to port 'dst'.  Opens the link as soon as
 * both ports are up and nothing forbids it.  'slot' identifies the flow's counters.
 * With HWY_CLASS_ALL the flow covers less than a class and is no route by itself, but it
 * answers for packets that go from 'src' to 'dst' by an agent's proof.
 * -EINVAL (src is dst), -ENOSPC (HWY_MAX_ROUTES classes are in use). */
int hwy_host_flow_add(struct hwy_host *host, uint32_t src, uint64_t key, uint32_t dst,
		      uint32_t *slot);

/* Withdraws the route, unless another flow of the same slot lives. */
void hwy_host_flow_del(struct hwy_host *host, uint32_t src, uint32_t slot);

/*
 * A flow that lies inside class 'key' but cannot be a route: does it have to answer for
 * packets of a route that has just been withdrawn?  Returns 0 and the slot if so,
 * -ENOENT if nothing is owed.  Ends with hwy_host_give_up().  Without a slot of its own,
 * HWY_SLOT_NONE, an heir answers for what slots without flows of their own are owed.
 */
#define HWY_SLOT_NONE UINT32_MAX
int hwy_host_take_over(struct hwy_host *host, uint32_t src, uint64_t key, uint32_t *slot);
void hwy_host_give_up(struct hwy_host *host, uint32_t src, uint32_t slot);

/*
 * What X has counted in 'slot' since the last call for it, by whichever flow; and what
 * slots without flows have left behind: those of class 'key', the flow's own (or
 * HWY_CLASS_NONE), and those of packets that went by a proof.  A flow that has taken over
 * ('heir') gets nothing while the slot has flows of its own.
 */
struct hwy_packets_bytes hwy_host_flow_count(struct hwy_host *host, uint32_t src, uint32_t slot,
					     uint64_t key, bool heir);

/* Is there an agent that beats?  See agent.h. */
bool hwy_host_has_agent(struct hwy_host *host);

/* Port 'port' changed: its host end starts, stops or leaves, or its MTU changes. */
void hwy_host_refresh(struct hwy_host *host);
void hwy_host_port_gone(struct hwy_host *host, uint32_t port);

/*
 * Has port 'src' all that its bypass needs, an agent's proof and permits, but for a flow that
 * answers for its packets?  As of the last tick or refresh.
 */
bool hwy_host_awaits(struct hwy_host *host, uint32_t src);

/*
 * The switch has got a packet of 'src', which awaits a flow: one will be offloaded soon, so
 * the link opens now.  What goes by it meanwhile is owed to that flow.  If none has come after
 * HWY_HOST_ADVANCE_MS the link closes again, and is not opened in advance until one has come.
 */
#define HWY_HOST_ADVANCE_MS 1000
void hwy_host_advance(struct hwy_host *host, uint32_t src);

/*
 * For so long after an agent has taken a proof back, packets take the switch, whatever flows are
 * offloaded: the switch may not have had the time yet to take back those of the old rules.
 */
#define HWY_HOST_HOLD_MS 150

/* To be called every few milliseconds: follows guests that come and go and what the
 * operator sets, moves closing links on. */
void hwy_host_tick(struct hwy_host *host);

/*
 * Links to ports of other regions: what far.c decides, in the tables of this region.  A flow's
 * 'dst' from HWY_FAR_PORT on is such a port, under a number that the caller has chosen; its
 * key is always HWY_CLASS_ALL, as no class is a route out of the region.
 */
#define HWY_FAR_PORT 0x10000u

/* Finds or makes the entry of a link out of 'port' or into it ('out'), in the link region of
 * attach slot 'slot', sent by end 'sender' of that with 'queues' queues.  A link into the
 * port is put into its list.  Returns its index, or -ENOSPC. */
int hwy_host_far_link(struct hwy_host *host, uint32_t port, bool out, uint32_t slot,
		      uint32_t sender, uint32_t queues);

/* Something in the attach slots of 'port' is for its guest end: its queues take its routes and
 * links over once more, as if they had changed, and have the slots looked at. */
void hwy_host_far_call(struct hwy_host *host, uint32_t port);

/* All packets of 'src' may go by 'link' to 'dst', or may not any more. */
void hwy_host_far_route(struct hwy_host *host, uint32_t src, uint32_t dst, uint32_t link, bool on);

/* Shows the state of a link into a port. */
void hwy_host_far_show(struct hwy_host *host, uint32_t link, bool open);

/* Do all queues of X act upon the routes as they are? */
bool hwy_host_far_left(struct hwy_host *host, uint32_t src);

/* Takes a link out of Y's list. */
void hwy_host_far_forget(struct hwy_host *host, uint32_t link);

/* Frees the entry; what it counted is the port's. */
void hwy_host_far_free(struct hwy_host *host, uint32_t port, uint32_t link, bool out);

/* Port 'dst' of another region is gone: flows that lead there lead nowhere. */
void hwy_host_far_gone(struct hwy_host *host, uint32_t dst);

/* Is a class of 'src' routed to 'dst' now?  For telemetry and tests. */
bool hwy_host_linked(struct hwy_host *host, uint32_t src, uint32_t dst);

#endif /* HIGHWAY_SHM_HOST_H */
