/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#ifdef HWT_HAVE_NET_RING
#include <rte_eth_ring.h>
#endif

#include "ports.h"

#define HWT_POOL_CACHE 512
#define HWT_RETRY_US   100000

__rte_format_printf(1, 2) static bool refuse(const char *format, ...)
{
	va_list args;

	fputs("highway-traffic: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return false;
}

#ifdef HWT_HAVE_NET_RING
static bool
make_rings(const struct hwt_options *o, char side, struct rte_ring **rings)
{
	/* One slot stays free, hence the exact size. */
	unsigned int flags = RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ;
	char name[RTE_RING_NAMESIZE];
	uint16_t q;

	for (q = 0; q < o->queues; q++) {
		if (q == 0)
			snprintf(name, sizeof(name), "%s_%c", o->ring_pair, side);
		else
			snprintf(name, sizeof(name), "%s_%c%u", o->ring_pair, side, q);
		rings[q] = rte_ring_create(name, o->txd, (int)rte_socket_id(), flags);
		if (rings[q] == NULL)
			return refuse("--ring-pair %s: ring %s cannot be made (%s); choose another "
				      "name or give more memory.",
				      o->ring_pair, name, rte_strerror(rte_errno));
	}
	return true;
}

/*
 * The primary makes the ethdevs of both ends, and a secondary finds those in
 * the shared memory: a net_ring port cannot be made in a secondary process.
 */
static bool
make_ring_pair(const struct hwt_options *o)
{
	struct rte_ring *a[HWT_MAX_QUEUES], *b[HWT_MAX_QUEUES];
	char name[32];
	bool ok;

	if (!make_rings(o, 'a', a) || !make_rings(o, 'b', b))
		return false;
	snprintf(name, sizeof(name), "%s_p", o->ring_pair);
	ok = rte_eth_from_rings(name, b, o->queues, a, o->queues, rte_socket_id()) >= 0;
	snprintf(name, sizeof(name), "%s_s", o->ring_pair);
	ok = ok && rte_eth_from_rings(name, a, o->queues, b, o->queues, rte_socket_id()) >= 0;
	if (!ok)
		return refuse("--ring-pair %s: the ports cannot be made (%s); choose another name.",
			      o->ring_pair, rte_strerror(rte_errno));
	return true;
}
#else
static bool
make_ring_pair(const struct hwt_options *o)
{
	return refuse("--ring-pair %s: this program was built without the ring driver; build it "
		      "where librte_net_ring is installed.",
		      o->ring_pair);
}
#endif

static bool
ring_pair_port(const struct hwt_options *o, char side, uint16_t *port)
{
	char name[RTE_ETH_NAME_MAX_LEN];

	snprintf(name, sizeof(name), "net_ring_%s_%c", o->ring_pair, side);
	if (rte_eth_dev_get_port_by_name(name, port) != 0)
		return refuse("--ring-pair %s: there is no port %s; start the primary process with "
			      "the same --ring-pair first.",
			      o->ring_pair, name);
	return true;
}

static void
use_port(struct hwt_ports *p, uint16_t port)
{
	uint16_t i;

	for (i = 0; i < p->nb; i++)
		if (p->port[i] == port)
			return;
	p->port[p->nb++] = port;
}

static bool
choose_ports(struct hwt_ports *p, struct hwt_options *o, bool primary)
{
	uint16_t ours = 0, theirs = 0;
	bool two = o->bidir || o->mode == HWT_MODE_FORWARD;

	if (o->ring_pair != NULL) {
		if (primary && !make_ring_pair(o))
			return false;
		if (!ring_pair_port(o, primary ? 'p' : 's', &ours) ||
		    !ring_pair_port(o, primary ? 's' : 'p', &theirs))
			return false;
		if (primary && !o->no_configure) {
			use_port(p, ours);
			use_port(p, theirs);
		}
	} else {
		theirs = 1;
	}
	if (o->rx_port == HWT_NO_PORT && o->tx_port == HWT_NO_PORT && o->mode == HWT_MODE_FORWARD) {
		o->rx_port = ours;
		o->tx_port = theirs;
	}
	if (o->tx_port == HWT_NO_PORT)
		o->tx_port = ours;
	if (o->rx_port == HWT_NO_PORT)
		o->rx_port = two ? theirs : ours;
	if (o->bidir && o->rx_port == o->tx_port)
		return refuse("--bidir needs two ports, and --tx-port and --rx-port are both %u; "
			      "give different ones.",
			      o->tx_port);
	if (o->mode == HWT_MODE_GEN)
		o->rx_port = o->tx_port;
	else if (o->mode == HWT_MODE_SINK || o->mode == HWT_MODE_REFLECT)
		o->tx_port = o->rx_port;
	if (!rte_eth_dev_is_valid_port(o->tx_port))
		return refuse("--tx-port %u: there is no such port; name a device with --vdev or "
			      "-a before the --, or give a lower number.",
			      o->tx_port);
	if (!rte_eth_dev_is_valid_port(o->rx_port))
		return refuse("--rx-port %u: there is no such port; name a device with --vdev or "
			      "-a before the --, or give a lower number.",
			      o->rx_port);
	use_port(p, o->tx_port);
	use_port(p, o->rx_port);
	return true;
}

static bool
make_pool(struct hwt_ports *p, const struct hwt_options *o, bool primary, unsigned int nb_workers)
{
	uint32_t n = o->mbufs;

	if (!primary) {
		p->pool = rte_mempool_lookup(o->mempool);
		if (p->pool == NULL)
			return refuse("--mempool %s: the primary process has no such buffers; give "
				      "the name it uses.",
				      o->mempool);
		return true;
	}
	if (n == 0) {
		n = p->nb * o->queues * (uint32_t)(o->rxd + o->txd + 2 * HWT_MAX_BURST) +
		    (nb_workers + 2) * HWT_POOL_CACHE * 3;
		n = RTE_MAX(n, UINT32_C(8191));
	}
	p->pool = rte_pktmbuf_pool_create(o->mempool, n, HWT_POOL_CACHE, 0, o->mbuf_size,
					  (int)rte_socket_id());
	if (p->pool == NULL)
		return refuse("%u buffers of %u bytes cannot be had (%s); give more memory with -m "
			      "or --socket-mem, or fewer with --mbufs.",
			      n, o->mbuf_size, rte_strerror(rte_errno));
	p->own_pool = true;
	return true;
}

/* Largest MTU the device says it can be configured for. */
static uint32_t
device_max_mtu(const struct rte_eth_dev_info *info)
{
	uint32_t overhead = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN, max;

	if (info->max_mtu != UINT16_MAX && info->max_rx_pktlen > info->max_mtu)
		overhead = info->max_rx_pktlen - info->max_mtu;
	max = info->max_rx_pktlen > overhead ? info->max_rx_pktlen - overhead : 0;
	return RTE_MIN(max, (uint32_t)info->max_mtu);
}

static bool
choose_mtu(uint16_t port, const struct hwt_options *o, const struct rte_eth_dev_info *info,
	   struct rte_eth_conf *conf)
{
	uint32_t max = device_max_mtu(info), needed;

	if (o->mtu != 0) {
		if (o->mtu > max || o->mtu < info->min_mtu)
			return refuse("--mtu %u is not possible on port %u (%s); give %u to %u.",
				      o->mtu, port, info->driver_name, info->min_mtu, max);
		conf->rxmode.mtu = o->mtu;
		return true;
	}
	/* As needed, as far as the device admits to it. */
	needed = o->max_size - RTE_ETHER_HDR_LEN;
	if (needed > RTE_ETHER_MTU && max > RTE_ETHER_MTU)
		conf->rxmode.mtu = RTE_MIN(needed, max);
	return true;
}

static bool
choose_offloads(uint16_t port, const struct hwt_options *o, const struct rte_eth_dev_info *info,
		struct rte_eth_conf *conf)
{
	uint32_t room = (uint32_t)o->mbuf_size - RTE_PKTMBUF_HEADROOM;
	uint32_t frame =
		conf->rxmode.mtu != 0 ? conf->rxmode.mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN : 0;

	if (RTE_MAX(frame, (uint32_t)o->max_size) > room &&
	    (info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER))
		conf->rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	if (!hwt_mode_generates(o) || (o->segs == 1 && o->max_size <= room)) {
		/* A reflector must send back whatever it received. */
		if (!hwt_mode_generates(o))
			conf->txmode.offloads |=
				info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
		return true;
	}
	if (!(info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS)) {
		if (o->segs > 1)
			return refuse("--segs %u: port %u (%s) does not send packets of several "
				      "segments; give --segs 1.",
				      o->segs, port, info->driver_name);
		return refuse("--mbuf-size %u is too small for frames of %u bytes, and port %u "
			      "(%s) does not send packets of several segments; give %u or more.",
			      o->mbuf_size, o->max_size, port, info->driver_name,
			      o->max_size + RTE_PKTMBUF_HEADROOM);
	}
	conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	return true;
}

static bool
start_port(struct hwt_ports *p, const struct hwt_options *o, uint16_t index,
	   const volatile sig_atomic_t *stop)
{
	uint16_t port = p->port[index], q, rxd = o->rxd, txd = o->txd;
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf;
	uint64_t until;
	int socket, ret;

	memset(&conf, 0, sizeof(conf));
	ret = rte_eth_dev_info_get(port, &info);
	if (ret != 0)
		return refuse("port %u does not tell its properties (%s); check its --vdev or -a "
			      "argument.",
			      port, rte_strerror(-ret));
	if (o->queues > info.max_rx_queues || o->queues > info.max_tx_queues)
		return refuse("--queues %u is more than port %u (%s) has; give %u or less, or more "
			      "in its --vdev argument.",
			      o->queues, port, info.driver_name,
			      RTE_MIN(info.max_rx_queues, info.max_tx_queues));
	if (!choose_mtu(port, o, &info, &conf) || !choose_offloads(port, o, &info, &conf))
		return false;

	ret = rte_eth_dev_configure(port, o->queues, o->queues, &conf);
	if (ret != 0)
		return refuse(
			"port %u (%s) cannot be configured (%s); try another --queues or --mtu.",
			port, info.driver_name, rte_strerror(-ret));
	ret = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rxd, &txd);
	if (ret != 0)
		return refuse("port %u (%s) refuses --rxd %u and --txd %u (%s); give others.", port,
			      info.driver_name, o->rxd, o->txd, rte_strerror(-ret));
	socket = rte_eth_dev_socket_id(port);
	for (q = 0; ret == 0 && q < o->queues; q++) {
		ret = rte_eth_rx_queue_setup(port, q, rxd, (unsigned int)socket, NULL, p->pool);
		if (ret == 0)
			ret = rte_eth_tx_queue_setup(port, q, txd, (unsigned int)socket, NULL);
	}
	if (ret != 0)
		return refuse("queue %u of port %u (%s) cannot be set up (%s); try another --rxd, "
			      "--txd or --mbuf-size.",
			      q - 1, port, info.driver_name, rte_strerror(-ret));
	until = rte_rdtsc() + (uint64_t)(o->link_wait * (double)rte_get_tsc_hz());
	while ((ret = rte_eth_dev_start(port)) != 0) {
		if (*stop != 0 || rte_rdtsc() >= until)
			return refuse("port %u (%s) does not start (%s); start its peer, or check "
				      "its --vdev or -a argument.",
				      port, info.driver_name, rte_strerror(-ret));
		usleep(HWT_RETRY_US);
	}
	p->started[index] = true;
	/* Devices without filters cannot do this and need not. */
	(void)rte_eth_promiscuous_enable(port);
	return true;
}

bool
hwt_ports_open(struct hwt_ports *p, struct hwt_options *o, unsigned int nb_workers,
	       const volatile sig_atomic_t *stop)
{
	bool primary = rte_eal_process_type() == RTE_PROC_PRIMARY;
	uint16_t i;

	memset(p, 0, sizeof(*p));
	if (!choose_ports(p, o, primary) || !make_pool(p, o, primary, nb_workers))
		return false;
	if (!primary || o->no_configure)
		return true;
	for (i = 0; i < p->nb; i++)
		if (!start_port(p, o, i, stop))
			return false;
	return true;
}

bool
hwt_ports_link_up(const struct hwt_ports *p, uint16_t *down)
{
	struct rte_eth_link link;
	uint16_t i;

	for (i = 0; i < p->nb; i++) {
		memset(&link, 0, sizeof(link));
		if (rte_eth_link_get_nowait(p->port[i], &link) != 0 ||
		    link.link_status != RTE_ETH_LINK_UP) {
			*down = p->port[i];
			return false;
		}
	}
	return true;
}

void
hwt_ports_close(struct hwt_ports *p)
{
	uint16_t i;

	for (i = 0; i < p->nb; i++) {
		if (!p->started[i])
			continue;
		(void)rte_eth_dev_stop(p->port[i]);
		(void)rte_eth_dev_close(p->port[i]);
		p->started[i] = false;
	}
	if (p->own_pool)
		rte_mempool_free(p->pool);
	p->pool = NULL;
}
