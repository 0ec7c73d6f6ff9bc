/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Statistics of an ethdev.  The counters live in the region, where highwayctl reads
 * them too; a reset only notes a baseline here.
 *
 * The host end of port X has received what X sent, by the switch or by a link, and the
 * host end of Y has sent what went to Y: so Open vSwitch's port counters stay exact
 * although it did not see the packets.
 */
#include "highway.h"

struct xstat {
	const char *name;
	size_t offset; /* in struct hwy_counters */
	bool tx;
};

#define RX(field)                                                                                  \
	{                                                                                          \
		"rx_" #field, offsetof(struct hwy_counters, field), false                          \
	}
#define TX(field)                                                                                  \
	{                                                                                          \
		"tx_" #field, offsetof(struct hwy_counters, field), true                           \
	}
static const struct xstat xstats_table[] = {
	RX(normal_packets), RX(normal_bytes), RX(bypass_packets), RX(bypass_bytes), RX(inlined),
	RX(zero_copy),      RX(copied),       RX(no_buffer),      RX(bad_desc),     RX(too_big),
	TX(normal_packets), TX(normal_bytes), TX(bypass_packets), TX(bypass_bytes), TX(inlined),
	TX(zero_copy),      TX(copied),       TX(ring_full),      TX(no_buffer),    TX(too_big),
	TX(link_down),
};
#undef RX
#undef TX

#define SUM(counters, field) hwy_counters_sum(counters, offsetof(struct hwy_counters, field))

static uint64_t
xstat_value(const struct hwy_dev *dev, const struct xstat *x)
{
	/* A host end's own queues see the normal channel; what bypassed it, X and Y saw. */
	if (dev->role == HWY_HOST) {
		hwy_far_sync(dev->far);

		struct hwy_packets_bytes links =
			x->tx ? hwy_port_links_in(dev->region, dev->index)
			      : hwy_port_links_out(dev->region, dev->index);

		if (x->offset == offsetof(struct hwy_counters, bypass_packets))
			return links.packets;
		if (x->offset == offsetof(struct hwy_counters, bypass_bytes))
			return links.bytes;
	}
	return hwy_counters_sum(x->tx ? dev->end->tx : dev->end->rx, x->offset);
}

/* Totals since the end was attached, without the baseline. */
static void
totals(const struct hwy_dev *dev, struct rte_eth_stats *s)
{
	const struct hwy_counters *rx = dev->end->rx, *tx = dev->end->tx;

	memset(s, 0, sizeof(*s));
	s->ipackets = SUM(rx, normal_packets);
	s->ibytes = SUM(rx, normal_bytes);
	s->opackets = SUM(tx, normal_packets);
	s->obytes = SUM(tx, normal_bytes);
	if (dev->role == HWY_HOST) {
		struct hwy_packets_bytes in = hwy_port_links_out(dev->region, dev->index);
		hwy_far_sync(dev->far);

		struct hwy_packets_bytes out = hwy_port_links_in(dev->region, dev->index);

		s->ipackets += in.packets;
		s->ibytes += in.bytes;
		s->opackets += out.packets;
		s->obytes += out.bytes;
	} else {
		s->ipackets += SUM(rx, bypass_packets);
		s->ibytes += SUM(rx, bypass_bytes);
		s->opackets += SUM(tx, bypass_packets);
		s->obytes += SUM(tx, bypass_bytes);
	}
	s->ierrors = SUM(rx, bad_desc) + SUM(rx, too_big);
	s->oerrors = SUM(tx, too_big);
	s->rx_nombuf = SUM(rx, no_buffer);
	for (unsigned int q = 0; q < HWY_MAX_QUEUES && q < RTE_ETHDEV_QUEUE_STAT_CNTRS; q++) {
		s->q_ipackets[q] =
			hwy_load(&rx[q].normal_packets) + hwy_load(&rx[q].bypass_packets);
		s->q_ibytes[q] = hwy_load(&rx[q].normal_bytes) + hwy_load(&rx[q].bypass_bytes);
		s->q_opackets[q] =
			hwy_load(&tx[q].normal_packets) + hwy_load(&tx[q].bypass_packets);
		s->q_obytes[q] = hwy_load(&tx[q].normal_bytes) + hwy_load(&tx[q].bypass_bytes);
	}
}

int
hwy_stats_get(struct rte_eth_dev *eth, struct rte_eth_stats *stats)
{
	const struct hwy_dev *dev = hwy_dev_of(eth);
	const struct rte_eth_stats *base = &dev->baseline;

	totals(dev, stats);
	stats->ipackets -= base->ipackets;
	stats->ibytes -= base->ibytes;
	stats->opackets -= base->opackets;
	stats->obytes -= base->obytes;
	stats->ierrors -= base->ierrors;
	stats->oerrors -= base->oerrors;
	stats->rx_nombuf -= base->rx_nombuf;
	for (unsigned int q = 0; q < RTE_ETHDEV_QUEUE_STAT_CNTRS; q++) {
		stats->q_ipackets[q] -= base->q_ipackets[q];
		stats->q_ibytes[q] -= base->q_ibytes[q];
		stats->q_opackets[q] -= base->q_opackets[q];
		stats->q_obytes[q] -= base->q_obytes[q];
	}
	return 0;
}

int
hwy_stats_reset(struct rte_eth_dev *eth)
{
	totals(hwy_dev_of(eth), &hwy_dev_of(eth)->baseline);
	return 0;
}

int
hwy_xstats_names(struct rte_eth_dev *eth __rte_unused, struct rte_eth_xstat_name *names,
		 unsigned int n)
{
	for (unsigned int i = 0; names != NULL && i < RTE_DIM(xstats_table) && i < n; i++)
		snprintf(names[i].name, sizeof(names[i].name), "%s", xstats_table[i].name);
	return RTE_DIM(xstats_table);
}

int
hwy_xstats_get(struct rte_eth_dev *eth, struct rte_eth_xstat *xstats, unsigned int n)
{
	const struct hwy_dev *dev = hwy_dev_of(eth);

	for (unsigned int i = 0; xstats != NULL && i < RTE_DIM(xstats_table) && i < n; i++) {
		xstats[i].id = i;
		xstats[i].value = xstat_value(dev, &xstats_table[i]) -
				  (dev->xbaseline != NULL ? dev->xbaseline[i] : 0);
	}
	return RTE_DIM(xstats_table);
}

int
hwy_xstats_reset(struct rte_eth_dev *eth)
{
	struct hwy_dev *dev = hwy_dev_of(eth);

	if (dev->xbaseline == NULL)
		dev->xbaseline = calloc(RTE_DIM(xstats_table), sizeof(dev->xbaseline[0]));
	if (dev->xbaseline == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < RTE_DIM(xstats_table); i++)
		dev->xbaseline[i] = xstat_value(dev, &xstats_table[i]);
	return 0;
}
