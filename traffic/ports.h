/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#ifndef HWT_PORTS_H
#define HWT_PORTS_H

#include <signal.h>

#include <rte_mempool.h>

#include "options.h"

#define HWT_MAX_USED_PORTS 4

struct hwt_ports {
	struct rte_mempool *pool;
	bool own_pool;
	uint16_t nb;
	uint16_t port[HWT_MAX_USED_PORTS]; /* those in use */
	bool started[HWT_MAX_USED_PORTS];  /* by us */
};

/*
 * Choose the ports (o->rx_port, o->tx_port), make or find the buffers and
 * bring the ports up.  A port that does not start (a client whose server is
 * not there yet) is tried again for o->link_wait seconds, unless *stop is set.
 * Prints one sentence and returns false on failure.
 */
bool hwt_ports_open(struct hwt_ports *p, struct hwt_options *o, unsigned int nb_workers,
		    const volatile sig_atomic_t *stop);

/* Are the links of all ports in use up?  If not, *down is one that is not. */
bool hwt_ports_link_up(const struct hwt_ports *p, uint16_t *down);

void hwt_ports_close(struct hwt_ports *p);

#endif /* HWT_PORTS_H */
