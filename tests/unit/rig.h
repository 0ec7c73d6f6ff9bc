/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver itself, under test in one process: isolated ports with both ends, links between
 * them as highwayd would ask for them, and a switch, which forwards what it is told to when the
 * test polls it.  The control threads are the driver's own.
 */
#ifndef HIGHWAY_TESTS_RIG_H
#define HIGHWAY_TESTS_RIG_H

#include "support.h"

#include "highway.h"
#include "ledger.h"

struct rte_flow;

#define RIG_PORTS 3 /* x, y and z */
#define RIG_X     0
#define RIG_Y     1
#define RIG_Z     2
#define RIG_LINKS 2 /* entry 0: x and y, entry 1: z and y */
#define RIG_BURST 32

struct rig {
	uint16_t host[RIG_PORTS], guest[RIG_PORTS]; /* ethdevs */
	int to[RIG_PORTS];                          /* where the switch forwards to */
	struct hwy_ledger ledger;
	pthread_t agent;
	bool stop; /* the agent */
};

/* cmocka group set-up and tear-down: EAL, a pool of mbufs, a folder. */
int rig_start(void **state);
int rig_end(void **state);
extern struct rte_mempool *rig_pool;

/* The ports, up, and an agent that wants no link yet. */
void rig_up(struct rig *rig);
void rig_down(struct rig *rig);

struct hwy_dev *rig_host(const struct rig *rig, int port);
struct hwy_dev *rig_guest(const struct rig *rig, int port);

/* Wants link 'n' in its life 'life', with a proof of what its first port sends. */
void rig_want(struct rig *rig, int n, uint32_t life);
void rig_withdraw(struct rig *rig, int n);
enum hwy_far_state rig_answer(const struct rig *rig, int n);
/* Looks, and polls the switch, until the host has answered so. */
void rig_reach(struct rig *rig, int n, enum hwy_far_state state, unsigned int within_ms);

/* Port 'port' sends by a link: its route is there. */
bool rig_routed(const struct rig *rig, int port);
void rig_reach_route(struct rig *rig, int port);

/* The mapping of link 'n' by guest end 'port', NULL: it has none. */
struct hwy_mapping *rig_mapping(const struct rig *rig, int port);

/* The switch forwards what waits.  Returns how many packets. */
unsigned int rig_switch(struct rig *rig);

/* A switch offers that host end 'from' forwards to host end 'to', as Open vSwitch does: all packets
 * of an ether type, untagged; of IPv4 those that are no fragments. */
struct rte_flow *rig_offer(uint16_t from, uint16_t to, uint16_t ether_type);

/* A frame of 'size' bytes, filled with 'fill' behind its header. */
struct rte_mbuf *rig_frame(uint32_t size, uint8_t fill);

#endif /* HIGHWAY_TESTS_RIG_H */
