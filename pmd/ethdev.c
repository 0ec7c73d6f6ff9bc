/* SPDX-License-Identifier: BSD-3-Clause */
/* The control operations of a net_highway ethdev. */
#include <rte_malloc.h>

#include "isa.h"
#include "mbuf.h"

int
hwy_link_update(struct rte_eth_dev *eth, int wait __rte_unused)
{
	const struct hwy_dev *dev = hwy_dev_of(eth);
	struct rte_eth_link link = {
		.link_speed = RTE_ETH_SPEED_NUM_100G,
		.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
		.link_autoneg = RTE_ETH_LINK_FIXED,
		.link_status = hwy_end_up(dev->end) && hwy_end_up(dev->peer) ? RTE_ETH_LINK_UP
									     : RTE_ETH_LINK_DOWN,
	};

	return rte_eth_linkstatus_set(eth, &link);
}

/* Something changed that others act upon: tell the host's bookkeeping at once. */
static void
state_changed(struct hwy_dev *dev)
{
	if (dev->domain->host != NULL)
		hwy_host_refresh(dev->domain->host);
	hwy_link_update(dev->eth, 0);
	hwy_domain_poke(dev->domain);
}

static int
dev_configure(struct rte_eth_dev *eth)
{
	struct hwy_dev *dev = hwy_dev_of(eth);

	if (eth->data->nb_rx_queues > dev->queues || eth->data->nb_tx_queues > dev->queues) {
		HWY_LOG(ERR,
			"port %s has queues=%u, %u rx and %u tx are too many: name more queues= at "
			"both ends",
			dev->name, dev->queues, eth->data->nb_rx_queues, eth->data->nb_tx_queues);
		return -EINVAL;
	}
	return 0;
}

static bool
scatter_on(const struct rte_eth_dev *eth)
{
	return eth->data->dev_conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_SCATTER;
}

/* Can frames of 'mtu' be received with the buffers there are? */
static int
check_mtu(const struct rte_eth_dev *eth, uint32_t mtu)
{
	const struct hwy_dev *dev = hwy_dev_of(eth);
	uint32_t frame = mtu + HWY_L2_OVERHEAD;
	uint32_t chunk = dev->region->geo.chunk_stride - HWY_CHUNK_HEADROOM;

	for (uint16_t i = 0; i < eth->data->nb_rx_queues; i++) {
		const struct hwy_rx_queue *q = dev->rxq[i];
		uint32_t room = q == NULL ? frame : q->room;

		if (!dev->domain->copy_rx && room < chunk)
			room = chunk; /* such a frame arrives in a chunk, not in the mbuf */
		if (frame > room && (!scatter_on(eth) || dev->domain->copy_rx)) {
			HWY_LOG(ERR,
				"port %s: mtu=%u needs mbufs with %u bytes of room, queue %u has "
				"%u: use larger mbufs, or enable the SCATTER offload",
				dev->name, mtu, frame, i, q->room);
			return -EINVAL;
		}
	}
	return 0;
}

static void
apply_mtu(struct hwy_dev *dev, uint32_t mtu)
{
	dev->max_frame = mtu + HWY_L2_OVERHEAD;
	hwy_store_release(&dev->end->mtu, mtu);
}

static void
host_start(struct hwy_dev *dev)
{
	uint16_t n_rx = dev->eth->data->nb_rx_queues;

	for (uint16_t i = 0; i < n_rx; i++) {
		struct hwy_rx_queue *q = dev->rxq[i];

		q->n_normal = 0;
		q->turn = 0;
		for (uint32_t u = i; u < dev->queues; u += n_rx) {
			struct hwy_inlet *up = &q->normal[q->n_normal++];

			up->queue = u;
			up->pending = 1; /* look for gates that an earlier life left open */
			hwy_consumer_init(&up->in, hwy_region_ring(dev->region, dev->port->up[u]));
		}
		q->started = true;
	}
	for (uint16_t i = 0; i < dev->eth->data->nb_tx_queues; i++) {
		struct hwy_tx_queue *q = dev->txq[i];

		hwy_producer_init(&q->out, hwy_region_ring(dev->region, dev->port->down[i]));
		q->started = true;
	}
}

static int
dev_start(struct rte_eth_dev *eth)
{
	struct hwy_dev *dev = hwy_dev_of(eth);
	int rc = check_mtu(eth, eth->data->mtu);

	if (dev->domain->lost)
		return -ENODEV;
	if (rc < 0)
		return rc;
	apply_mtu(dev, eth->data->mtu);
	hwy_store(&dev->end->rx_queues, eth->data->nb_rx_queues);
	hwy_store(&dev->end->tx_queues, eth->data->nb_tx_queues);
	hwy_store(&dev->end->starts, dev->end->starts + 1);
	if (dev->role == HWY_GUEST)
		hwy_guest_start(dev);
	else
		host_start(dev);
	for (uint16_t i = 0; i < eth->data->nb_rx_queues; i++)
		eth->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
	for (uint16_t i = 0; i < eth->data->nb_tx_queues; i++)
		eth->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
	__atomic_add_fetch(&hwy_polled_queues, eth->data->nb_rx_queues, __ATOMIC_RELAXED);
	dev->started = true;
	if (dev->link_wanted)
		hwy_store_release(&dev->end->state, HWY_END_STARTED);
	state_changed(dev);
	return 0;
}

static int
dev_stop(struct rte_eth_dev *eth)
{
	struct hwy_dev *dev = hwy_dev_of(eth);

	if (!dev->started)
		return 0;
	dev->started = false;
	hwy_store_release(&dev->end->state, HWY_END_STOPPED);
	if (dev->role == HWY_GUEST) {
		hwy_guest_stop(dev);
	} else {
		for (uint16_t i = 0; i < eth->data->nb_rx_queues; i++)
			dev->rxq[i]->started = false;
		for (uint16_t i = 0; i < eth->data->nb_tx_queues; i++)
			dev->txq[i]->started = false;
	}
	for (uint16_t i = 0; i < eth->data->nb_rx_queues; i++)
		eth->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
	for (uint16_t i = 0; i < eth->data->nb_tx_queues; i++)
		eth->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
	__atomic_sub_fetch(&hwy_polled_queues, eth->data->nb_rx_queues, __ATOMIC_RELAXED);
	state_changed(dev);
	return 0;
}

static int
set_link_up(struct rte_eth_dev *eth)
{
	struct hwy_dev *dev = hwy_dev_of(eth);

	dev->link_wanted = true;
	if (dev->started)
		hwy_store_release(&dev->end->state, HWY_END_STARTED);
	state_changed(dev);
	return 0;
}

static int
set_link_down(struct rte_eth_dev *eth)
{
	struct hwy_dev *dev = hwy_dev_of(eth);

	dev->link_wanted = false;
	hwy_store_release(&dev->end->state, HWY_END_STOPPED);
	state_changed(dev);
	return 0;
}

static int
dev_infos_get(struct rte_eth_dev *eth, struct rte_eth_dev_info *info)
{
	const struct hwy_dev *dev = hwy_dev_of(eth);

	info->max_rx_queues = (uint16_t)dev->queues;
	info->max_tx_queues = (uint16_t)dev->queues;
	info->max_mac_addrs = 1;
	info->min_rx_bufsize = 2 * HWY_INLINE_MAX;
	info->min_mtu = HWY_MIN_MTU;
	info->max_mtu = HWY_MAX_MTU;
	info->max_rx_pktlen = HWY_MAX_MTU + HWY_L2_OVERHEAD;
	info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER;
	info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	info->speed_capa = RTE_ETH_LINK_SPEED_100G;
	/* The rings' size is the domain's (ring= devarg): any number of descriptors goes. */
	info->default_rxportconf.ring_size = (uint16_t)dev->region->geo.ring_size;
	info->default_txportconf.ring_size = (uint16_t)dev->region->geo.ring_size;
	info->default_rxportconf.burst_size = 32;
	info->default_txportconf.burst_size = 32;
	info->default_rxportconf.nb_queues = 1;
	info->default_txportconf.nb_queues = 1;
	return 0;
}

static void
rx_queue_release(struct rte_eth_dev *eth, uint16_t id)
{
	struct hwy_dev *dev = hwy_dev_of(eth);
	struct hwy_rx_queue *q = dev->rxq[id];

	if (q == NULL)
		return;
	rte_free(q->links);
	rte_free(q->watch);
	rte_free(q);
	dev->rxq[id] = NULL;
	eth->data->rx_queues[id] = NULL;
}

static int
rx_queue_setup(struct rte_eth_dev *eth, uint16_t id, uint16_t n_desc __rte_unused,
	       unsigned int socket, const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct hwy_dev *dev = hwy_dev_of(eth);
	struct rte_mbuf fresh = {
		.data_off = RTE_PKTMBUF_HEADROOM,
		.nb_segs = 1,
		.port = eth->data->port_id,
	};
	uint32_t room = rte_pktmbuf_data_room_size(pool);
	struct hwy_rx_queue *q;

	rx_queue_release(eth, id);
	if (room < RTE_PKTMBUF_HEADROOM + 2 * HWY_INLINE_MAX) {
		HWY_LOG(ERR,
			"port %s: mbufs of pool %s have %u bytes of room, %u are needed: make the "
			"pool with larger ones",
			dev->name, pool->name, room, RTE_PKTMBUF_HEADROOM + 2 * HWY_INLINE_MAX);
		return -EINVAL;
	}
	q = rte_zmalloc_socket("highway rx", sizeof(*q), RTE_CACHE_LINE_SIZE, (int)socket);
	if (q == NULL)
		return -ENOMEM;
	dev->rxq[id] = q;
	q->links = rte_zmalloc_socket("highway links", sizeof(q->links[0]) * HWY_MAX_INLETS,
				      RTE_CACHE_LINE_SIZE, (int)socket);
	q->watch = rte_zmalloc_socket("highway watch", sizeof(q->watch[0]) * HWY_MAX_INLETS,
				      RTE_CACHE_LINE_SIZE, (int)socket);
	if (q->links == NULL || q->watch == NULL) {
		rx_queue_release(eth, id);
		return -ENOMEM;
	}
	q->dev = dev;
	q->id = id;
	q->pool = pool;
	q->room = (uint16_t)(room - RTE_PKTMBUF_HEADROOM);
	q->scatter =
		(conf->offloads | eth->data->dev_conf.rxmode.offloads) & RTE_ETH_RX_OFFLOAD_SCATTER;
	q->counters = &dev->end->rx[id];
	rte_mbuf_refcnt_set(&fresh, 1);
	memcpy(&q->rearm, &fresh.rearm_data, sizeof(q->rearm));
	eth->data->rx_queues[id] = q;
	return 0;
}

static void
tx_queue_release(struct rte_eth_dev *eth, uint16_t id)
{
	struct hwy_dev *dev = hwy_dev_of(eth);

	if (dev->txq[id] == NULL)
		return;
	if (!dev->domain->lost) /* else they are others' by now */
		hwy_pool_drain(&dev->txq[id]->pool);
	rte_free(dev->txq[id]);
	dev->txq[id] = NULL;
	eth->data->tx_queues[id] = NULL;
}

static int
tx_queue_setup(struct rte_eth_dev *eth, uint16_t id, uint16_t n_desc __rte_unused,
	       unsigned int socket, const struct rte_eth_txconf *conf __rte_unused)
{
	struct hwy_dev *dev = hwy_dev_of(eth);
	struct hwy_region *r = dev->region;
	struct hwy_tx_queue *q;

	tx_queue_release(eth, id);
	q = rte_zmalloc_socket("highway tx", sizeof(*q), RTE_CACHE_LINE_SIZE, (int)socket);
	if (q == NULL)
		return -ENOMEM;
	q->dev = dev;
	q->id = id;
	q->counters = &dev->end->tx[id];
	hwy_pool_init(&q->pool, r->owners, r->geo.chunk_count, (uint8_t)r->me,
		      dev->index * HWY_MAX_QUEUES + id);
	dev->txq[id] = q;
	eth->data->tx_queues[id] = q;
	return 0;
}

static int
mtu_set(struct rte_eth_dev *eth, uint16_t mtu)
{
	struct hwy_dev *dev = hwy_dev_of(eth);
	int rc = check_mtu(eth, mtu);

	if (rc < 0)
		return rc;
	apply_mtu(dev, mtu);
	state_changed(dev);
	return 0;
}

static int
promiscuous_enable(struct rte_eth_dev *eth)
{
	hwy_dev_of(eth)->end->promiscuous = 1;
	return 0;
}

/* The switch at the other end decides what comes here; nothing is filtered. */
static int
promiscuous_disable(struct rte_eth_dev *eth)
{
	hwy_dev_of(eth)->end->promiscuous = 0;
	return 0;
}

static int
allmulticast(struct rte_eth_dev *eth __rte_unused)
{
	return 0;
}

static int
mac_addr_set(struct rte_eth_dev *eth, struct rte_ether_addr *mac)
{
	memcpy(hwy_dev_of(eth)->end->mac, mac->addr_bytes, RTE_ETHER_ADDR_LEN);
	return 0;
}

static int
flow_ops_get(struct rte_eth_dev *eth, const struct rte_flow_ops **ops)
{
	const struct hwy_dev *dev = hwy_dev_of(eth);

	if (dev->role == HWY_HOST)
		hwy_store(&dev->region->hdr->offload, 1);
	*ops = &hwy_flow_ops;
	return 0;
}

static int
dev_close(struct rte_eth_dev *eth)
{
	struct hwy_dev *dev = hwy_dev_of(eth);

	if (rte_eal_process_type() != RTE_PROC_PRIMARY || dev == NULL || dev->domain == NULL)
		return 0;
	dev_stop(eth);
	hwy_flow_forget(dev);
	hwy_domain_del(dev->domain, dev);
	for (uint16_t i = 0; i < HWY_MAX_QUEUES; i++) {
		if (i < eth->data->nb_rx_queues)
			rx_queue_release(eth, i);
		if (i < eth->data->nb_tx_queues)
			tx_queue_release(eth, i);
	}
	hwy_domain_put(dev->domain);
	dev->domain = NULL;
	free(dev->xbaseline);
	pthread_mutex_destroy(&dev->flow_mutex);
	HWY_LOG(INFO, "port %s of domain %s closed", dev->name, dev->domain_name);
	return 0;
}

const struct eth_dev_ops hwy_ops = {
	.dev_configure = dev_configure,
	.dev_start = dev_start,
	.dev_stop = dev_stop,
	.dev_close = dev_close,
	.dev_set_link_up = set_link_up,
	.dev_set_link_down = set_link_down,
	.dev_infos_get = dev_infos_get,
	.link_update = hwy_link_update,
	.rx_queue_setup = rx_queue_setup,
	.rx_queue_release = rx_queue_release,
	.tx_queue_setup = tx_queue_setup,
	.tx_queue_release = tx_queue_release,
	.mtu_set = mtu_set,
	.promiscuous_enable = promiscuous_enable,
	.promiscuous_disable = promiscuous_disable,
	.allmulticast_enable = allmulticast,
	.allmulticast_disable = allmulticast,
	.mac_addr_set = mac_addr_set,
	.stats_get = hwy_stats_get,
	.stats_reset = hwy_stats_reset,
	.xstats_get = hwy_xstats_get,
	.xstats_get_names = hwy_xstats_names,
	.xstats_reset = hwy_xstats_reset,
	.flow_ops_get = flow_ops_get,
};

/* A locally administered address that is the same at every start. */
static void
default_mac(const struct hwy_dev *dev, struct rte_ether_addr *mac)
{
	uint64_t hash = 0xcbf29ce484222325ULL ^ (uint64_t)dev->role; /* FNV-1a */

	for (const char *c = dev->domain_name; *c != 0; c++)
		hash = (hash ^ (uint8_t)*c) * 0x100000001b3ULL;
	for (const char *c = dev->name; *c != 0; c++)
		hash = (hash ^ (uint8_t)*c) * 0x100000001b3ULL;
	memcpy(mac->addr_bytes, &hash, RTE_ETHER_ADDR_LEN);
	mac->addr_bytes[0] = (uint8_t)((mac->addr_bytes[0] & 0xfc) | 0x02);
}

int
hwy_dev_init(struct rte_eth_dev *eth, const struct hwy_devargs *args, char *err)
{
	struct hwy_dev *dev = hwy_dev_of(eth);
	const struct hwy_bursts *bursts;
	struct rte_ether_addr mac = args->mac;
	const char *isa;
	int rc;

	dev->eth = eth;
	dev->port_id = eth->data->port_id;
	dev->role = args->role;
	dev->idle = args->idle;
	dev->link_wanted = true;
	pthread_mutex_init(&dev->flow_mutex, NULL);
	eth->data->mac_addrs = rte_zmalloc("highway mac", sizeof(mac), 0);
	if (eth->data->mac_addrs == NULL)
		return hwy_fail(err, -ENOMEM, "port=%s: out of memory", args->port);

	rc = hwy_domain_get(args, &dev->domain, err);
	if (rc < 0)
		return rc;
	dev->region = dev->domain->region;
	rc = hwy_port_attach(dev->region, args->port[0] != 0 ? args->port : NULL, args->role,
			     args->queues, &dev->index, err);
	if (rc < 0)
		goto put;
	dev->port = &dev->region->ports[dev->index];
	dev->queues = RTE_MIN(hwy_load(&dev->port->queues), (uint32_t)HWY_MAX_QUEUES);
	dev->end = &dev->port->end[args->role];
	dev->peer = &dev->port->end[args->role == HWY_HOST ? HWY_GUEST : HWY_HOST];
	snprintf(dev->name, sizeof(dev->name), "%s", dev->port->name);
	snprintf(dev->domain_name, sizeof(dev->domain_name), "%s", dev->region->geo.domain);
	if (!args->has_mac)
		default_mac(dev, &mac);
	*eth->data->mac_addrs = mac;
	memcpy(dev->end->mac, mac.addr_bytes, sizeof(dev->end->mac));
	apply_mtu(dev, RTE_ETHER_MTU);
	rc = hwy_domain_add(dev->domain, dev, args, err);
	if (rc < 0) {
		hwy_port_detach(dev->region, dev->index, dev->role);
		goto put;
	}
	eth->dev_ops = &hwy_ops;
	bursts = hwy_isa_bursts(args->role, &isa);
	eth->rx_pkt_burst = bursts->rx;
	eth->tx_pkt_burst = bursts->tx;
	eth->data->dev_link = (struct rte_eth_link){
		.link_speed = RTE_ETH_SPEED_NUM_100G,
		.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
		.link_autoneg = RTE_ETH_LINK_FIXED,
	};
	eth->data->dev_flags |= RTE_ETH_DEV_INTR_LSC | RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
	eth->data->promiscuous = 1;
	HWY_LOG(INFO, "port %s of domain %s attached as %s end, region %s", dev->name,
		dev->domain_name, args->role == HWY_HOST ? "host" : "guest", dev->region->path);
	HWY_LOG(DEBUG, "port %s: %s bursts", dev->name, isa);
	return 0;
put:
	hwy_domain_put(dev->domain);
	dev->domain = NULL;
	return rc;
}
