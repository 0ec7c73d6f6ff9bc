/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "option_values.h"

enum {
	OPT_MODE = 256,
	OPT_BIDIR,
	OPT_RX_PORT,
	OPT_TX_PORT,
	OPT_QUEUES,
	OPT_BURST,
	OPT_SIZE,
	OPT_FLOWS,
	OPT_ETH_TYPE,
	OPT_VLAN,
	OPT_ID,
	OPT_SEGS,
	OPT_PAYLOAD_CHECK,
	OPT_TIMESTAMPS,
	OPT_SRC_MAC,
	OPT_DST_MAC,
	OPT_RATE,
	OPT_COUNT,
	OPT_DURATION,
	OPT_DROP_ON_FULL,
	OPT_IDLE,
	OPT_DRAIN,
	OPT_LINK_WAIT,
	OPT_MTU,
	OPT_MBUF_SIZE,
	OPT_MBUFS,
	OPT_RXD,
	OPT_TXD,
	OPT_MEMPOOL,
	OPT_RING_PAIR,
	OPT_NO_CONFIGURE,
	OPT_INTERVAL,
	OPT_INTERVALS,
	OPT_JSON,
	OPT_STATS_FILE,
	OPT_STDIN_CONTROL,
	OPT_HOLD,
	OPT_EXPECT_CLEAN,
	OPT_HELP,
};

static const struct option hwt_long_options[] = {
	{"mode", required_argument, NULL, OPT_MODE},
	{"bidir", no_argument, NULL, OPT_BIDIR},
	{"rx-port", required_argument, NULL, OPT_RX_PORT},
	{"tx-port", required_argument, NULL, OPT_TX_PORT},
	{"queues", required_argument, NULL, OPT_QUEUES},
	{"burst", required_argument, NULL, OPT_BURST},
	{"size", required_argument, NULL, OPT_SIZE},
	{"flows", required_argument, NULL, OPT_FLOWS},
	{"eth-type", required_argument, NULL, OPT_ETH_TYPE},
	{"vlan", required_argument, NULL, OPT_VLAN},
	{"id", required_argument, NULL, OPT_ID},
	{"segs", required_argument, NULL, OPT_SEGS},
	{"payload-check", required_argument, NULL, OPT_PAYLOAD_CHECK},
	{"timestamps", required_argument, NULL, OPT_TIMESTAMPS},
	{"src-mac", required_argument, NULL, OPT_SRC_MAC},
	{"dst-mac", required_argument, NULL, OPT_DST_MAC},
	{"rate", required_argument, NULL, OPT_RATE},
	{"count", required_argument, NULL, OPT_COUNT},
	{"duration", required_argument, NULL, OPT_DURATION},
	{"drop-on-full", no_argument, NULL, OPT_DROP_ON_FULL},
	{"idle", required_argument, NULL, OPT_IDLE},
	{"drain", required_argument, NULL, OPT_DRAIN},
	{"link-wait", required_argument, NULL, OPT_LINK_WAIT},
	{"mtu", required_argument, NULL, OPT_MTU},
	{"mbuf-size", required_argument, NULL, OPT_MBUF_SIZE},
	{"mbufs", required_argument, NULL, OPT_MBUFS},
	{"rxd", required_argument, NULL, OPT_RXD},
	{"txd", required_argument, NULL, OPT_TXD},
	{"mempool", required_argument, NULL, OPT_MEMPOOL},
	{"ring-pair", required_argument, NULL, OPT_RING_PAIR},
	{"no-configure", no_argument, NULL, OPT_NO_CONFIGURE},
	{"interval", required_argument, NULL, OPT_INTERVAL},
	{"intervals", no_argument, NULL, OPT_INTERVALS},
	{"json", required_argument, NULL, OPT_JSON},
	{"stats-file", required_argument, NULL, OPT_STATS_FILE},
	{"stdin-control", no_argument, NULL, OPT_STDIN_CONTROL},
	{"hold", no_argument, NULL, OPT_HOLD},
	{"expect-clean", no_argument, NULL, OPT_EXPECT_CLEAN},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static const char *const hwt_mode_names[] = {
	[HWT_MODE_GEN] = "gen",         [HWT_MODE_SINK] = "sink",
	[HWT_MODE_GENSINK] = "gensink", [HWT_MODE_REFLECT] = "reflect",
	[HWT_MODE_FORWARD] = "forward",
};

const char *
hwt_mode_name(enum hwt_mode mode)
{
	return hwt_mode_names[mode];
}

bool
hwt_mode_generates(const struct hwt_options *o)
{
	return o->mode == HWT_MODE_GEN || o->mode == HWT_MODE_GENSINK;
}

bool
hwt_mode_checks(const struct hwt_options *o)
{
	return o->mode == HWT_MODE_SINK || o->mode == HWT_MODE_GENSINK;
}

void
hwt_options_usage(void)
{
	const struct option *opt;

	puts("usage: highway-traffic EAL-ARGUMENTS -- OPTIONS");
	puts("options (README.md explains them):");
	for (opt = hwt_long_options; opt->name != NULL; opt++)
		printf("  --%s%s\n", opt->name, opt->has_arg == required_argument ? " VALUE" : "");
}

static bool
option_mode(struct hwt_options *o, const char *text)
{
	unsigned int i;

	for (i = 0; i < RTE_DIM(hwt_mode_names); i++) {
		if (strcmp(text, hwt_mode_names[i]) == 0) {
			o->mode = (enum hwt_mode)i;
			return true;
		}
	}
	return hwt_bad_value("mode", text, "give gen, sink, gensink, reflect or forward");
}

static bool
option_apply(struct hwt_options *o, int option, const char *name, const char *text)
{
	uint64_t value = 0;

	switch (option) {
	case OPT_MODE:
		return option_mode(o, text);
	case OPT_BIDIR:
		o->bidir = true;
		return true;
	case OPT_RX_PORT:
		return hwt_option_u16(name, text, 0, RTE_MAX_ETHPORTS - 1, &o->rx_port);
	case OPT_TX_PORT:
		return hwt_option_u16(name, text, 0, RTE_MAX_ETHPORTS - 1, &o->tx_port);
	case OPT_QUEUES:
		return hwt_option_u16(name, text, 1, HWT_MAX_QUEUES, &o->queues);
	case OPT_BURST:
		return hwt_option_u16(name, text, 1, HWT_MAX_BURST, &o->burst);
	case OPT_SIZE:
		return hwt_option_size(o, name, text);
	case OPT_FLOWS:
		return hwt_option_u32(name, text, 1, 65536, &o->flows);
	case OPT_ETH_TYPE:
		return hwt_option_eth_types(o, name, text);
	case OPT_VLAN:
		return hwt_option_vlans(o, name, text);
	case OPT_ID:
		return hwt_option_u16(name, text, 0, UINT16_MAX, &o->id);
	case OPT_SEGS:
		return hwt_option_u16(name, text, 1, HWT_MAX_SEGS, &o->segs);
	case OPT_PAYLOAD_CHECK:
		return hwt_option_on_off(name, text, &o->payload_check);
	case OPT_TIMESTAMPS:
		if (strcmp(text, "on") == 0)
			value = 1;
		else if (strcmp(text, "off") != 0 && !hwt_parse_number(text, 0, UINT32_MAX, &value))
			return hwt_bad_value(name, text,
					     "give on, off, or N to stamp every Nth packet");
		o->stamp_every = (uint32_t)value;
		return true;
	case OPT_SRC_MAC:
		o->have_src_mac = true;
		return hwt_option_mac(name, text, &o->src_mac);
	case OPT_DST_MAC:
		return hwt_option_mac(name, text, &o->dst_mac);
	case OPT_RATE:
		return hwt_parse_rate(text, &o->rate) ||
		       hwt_bad_value(name, text,
				     "give packets a second such as 500k or 2.5M, or 0 for as fast "
				     "as possible");
	case OPT_COUNT:
		return hwt_option_number(name, text, 0, UINT64_MAX / 2, &o->count);
	case OPT_DURATION:
		return hwt_option_seconds(name, text, &o->duration);
	case OPT_DROP_ON_FULL:
		o->drop_on_full = true;
		return true;
	case OPT_IDLE:
		if (strcmp(text, "poll") == 0)
			o->idle = HWT_IDLE_POLL;
		else if (strcmp(text, "yield") == 0)
			o->idle = HWT_IDLE_YIELD;
		else if (strcmp(text, "sleep") == 0)
			o->idle = HWT_IDLE_SLEEP;
		else
			return hwt_bad_value(name, text, "give poll, yield or sleep");
		return true;
	case OPT_DRAIN:
		return hwt_option_u32(name, text, 0, 3600000, &o->drain_ms);
	case OPT_LINK_WAIT:
		return hwt_option_seconds(name, text, &o->link_wait);
	case OPT_MTU:
		return hwt_option_u16(name, text, 68, HWT_SIZE_MAX, &o->mtu);
	case OPT_MBUF_SIZE:
		return hwt_option_u16(name, text, 512, 65535, &o->mbuf_size);
	case OPT_MBUFS:
		return hwt_option_u32(name, text, 1024, 1 << 24, &o->mbufs);
	case OPT_RXD:
		return hwt_option_u16(name, text, 32, 32768, &o->rxd);
	case OPT_TXD:
		return hwt_option_u16(name, text, 32, 32768, &o->txd);
	case OPT_MEMPOOL:
		o->mempool = text;
		return hwt_option_name(name, text, 24);
	case OPT_RING_PAIR:
		o->ring_pair = text;
		return hwt_option_name(name, text, 16);
	case OPT_NO_CONFIGURE:
		o->no_configure = true;
		return true;
	case OPT_INTERVAL:
		return hwt_option_seconds(name, text, &o->interval);
	case OPT_INTERVALS:
		o->intervals = true;
		return true;
	case OPT_JSON:
		o->json = text;
		return hwt_option_name(name, text, 4095);
	case OPT_STATS_FILE:
		o->stats_file = text;
		return hwt_option_name(name, text, 4080);
	case OPT_STDIN_CONTROL:
		o->stdin_control = true;
		return true;
	case OPT_HOLD:
		o->hold = true;
		return true;
	case OPT_EXPECT_CLEAN:
		o->expect_clean = true;
		return true;
	}
	return false;
}

static void
options_default(struct hwt_options *o)
{
	static const struct rte_ether_addr dst = {{0x02, 0x00, 0x00, 0x00, 0x00, 0x02}};

	memset(o, 0, sizeof(*o));
	o->mode = HWT_MODE_GENSINK;
	o->rx_port = HWT_NO_PORT;
	o->tx_port = HWT_NO_PORT;
	o->queues = 1;
	o->burst = 32;
	o->sizes[0] = 64;
	o->nb_sizes = 1;
	o->types[0] = RTE_ETHER_TYPE_IPV4;
	o->nb_types = 1;
	o->nb_vlans = 1;
	o->segs = 1;
	o->payload_check = true;
	o->stamp_every = 1;
	o->dst_mac = dst;
	o->drain_ms = 500;
	o->link_wait = 10;
	o->mbuf_size = RTE_MBUF_DEFAULT_BUF_SIZE;
	o->rxd = 1024;
	o->txd = 1024;
	o->mempool = "highway_traffic";
	o->interval = 1;
}

static bool
refuse(const char *sentence)
{
	fprintf(stderr, "highway-traffic: %s\n", sentence);
	return false;
}

/* Shortest frame that every kind of packet asked for fits in. */
static uint16_t
shortest_size(const struct hwt_options *o)
{
	uint16_t size, min = HWT_SIZE_MIN, i;
	bool vlan = false;

	for (i = 0; i < o->nb_vlans; i++)
		vlan |= o->vlans[i] != 0;
	for (i = 0; i < o->nb_types; i++) {
		size = hwt_packet_min_size(o->types[i], vlan);
		/* The first segment holds the headers, each other a byte. */
		size = RTE_MAX(size, (uint16_t)(o->segs - 1 + HWT_HDR_LEN +
						hwt_packet_header_offset(o->types[i], vlan)));
		min = RTE_MAX(min, size);
	}
	return min;
}

static bool
options_check(struct hwt_options *o)
{
	uint32_t kinds = (uint32_t)o->nb_types * o->nb_vlans;
	uint16_t shortest = shortest_size(o), i;
	char text[256];

	o->min_size = UINT16_MAX;
	for (i = 0; i < o->nb_sizes; i++) {
		o->min_size = RTE_MIN(o->min_size, o->sizes[i]);
		o->max_size = RTE_MAX(o->max_size, o->sizes[i]);
	}
	if (hwt_mode_generates(o) && o->min_size < shortest) {
		snprintf(text, sizeof(text),
			 "--size %u is too short for the headers that --eth-type, --vlan and "
			 "--segs ask for; give %u or more.",
			 o->min_size, shortest);
		return refuse(text);
	}
	if (o->flows == 0)
		o->flows = kinds;
	if (o->flows < kinds) {
		snprintf(text, sizeof(text),
			 "--flows %u leaves out some of the %u combinations of --eth-type and "
			 "--vlan; give %u or more.",
			 o->flows, kinds, kinds);
		return refuse(text);
	}
	if (o->bidir && o->mode != HWT_MODE_GENSINK)
		return refuse(
			"--bidir goes only with --mode gensink; leave it out or change the mode.");
	if (o->bidir && o->id == UINT16_MAX)
		return refuse("--id 65535 leaves no id for the second direction of --bidir; give "
			      "65534 or less.");
	if (o->queues > o->flows && hwt_mode_generates(o)) {
		snprintf(text, sizeof(text),
			 "--queues %u is more than the %u flows, and a flow keeps its queue; give "
			 "--flows %u or more.",
			 o->queues, o->flows, o->queues);
		return refuse(text);
	}
	if (o->hold && !o->stdin_control)
		return refuse(
			"--hold waits for \"start\" on standard input; give --stdin-control too.");
	if (o->no_configure && o->mtu != 0)
		return refuse("--mtu cannot be set with --no-configure; leave one of them out.");
	return true;
}

bool
hwt_options_parse(struct hwt_options *o, int argc, char **argv)
{
	int option, index, at;
	char text[256];

	options_default(o);
	opterr = 0;
	optind = 1;
	for (;;) {
		at = optind;
		index = -1;
		option = getopt_long(argc, argv, "+:h", hwt_long_options, &index);
		if (option == -1)
			break;
		if (option == 'h' || option == OPT_HELP) {
			hwt_options_usage();
			exit(HWT_EXIT_OK);
		}
		if (option == '?' || option == ':') {
			snprintf(text, sizeof(text),
				 option == '?' ? "option %s is unknown or ambiguous; --help lists "
						 "the options."
					       : "option %s lacks its value; give one after it.",
				 argv[at]);
			return refuse(text);
		}
		if (!option_apply(o, option, hwt_long_options[index].name, optarg))
			return false;
	}
	if (optind < argc) {
		snprintf(text, sizeof(text),
			 "argument %s does not belong to any option; remove it.", argv[optind]);
		return refuse(text);
	}
	return options_check(o);
}
