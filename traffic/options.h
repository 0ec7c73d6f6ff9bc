/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#ifndef HWT_OPTIONS_H
#define HWT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_ether.h>

#include "packet.h"

#define HWT_MAX_QUEUES 8
#define HWT_MAX_BURST  512
#define HWT_MAX_LIST   16
#define HWT_MAX_SEGS   32
#define HWT_MAX_SIZES  (HWT_SIZE_MAX - HWT_SIZE_MIN + 1)
#define HWT_NO_PORT    UINT16_MAX

/* Exit statuses. */
#define HWT_EXIT_OK      0
#define HWT_EXIT_UNCLEAN 1
#define HWT_EXIT_USAGE   2
#define HWT_EXIT_SETUP   3

enum hwt_mode {
	HWT_MODE_GEN,
	HWT_MODE_SINK,
	HWT_MODE_GENSINK,
	HWT_MODE_REFLECT,
	HWT_MODE_FORWARD,
};

struct hwt_options {
	enum hwt_mode mode;
	bool bidir;
	uint16_t rx_port; /* HWT_NO_PORT until chosen */
	uint16_t tx_port;
	uint16_t queues;
	uint16_t burst;

	uint16_t sizes[HWT_MAX_SIZES];
	uint16_t nb_sizes;
	uint16_t min_size;
	uint16_t max_size;
	uint32_t flows;
	uint16_t types[HWT_MAX_LIST];
	uint16_t nb_types;
	uint16_t vlans[HWT_MAX_LIST];
	uint16_t nb_vlans;
	uint16_t id;
	uint16_t segs;
	bool payload_check;
	uint32_t stamp_every; /* 0: none */
	bool have_src_mac;
	struct rte_ether_addr src_mac;
	struct rte_ether_addr dst_mac;

	uint64_t rate;   /* packets a second, 0: unlimited */
	uint64_t count;  /* 0: no limit */
	double duration; /* seconds, 0: no limit */
	bool drop_on_full;
	enum hwt_idle { HWT_IDLE_POLL, HWT_IDLE_YIELD, HWT_IDLE_SLEEP } idle;
	uint32_t drain_ms;
	double link_wait;

	uint16_t mtu; /* 0: as needed */
	uint16_t mbuf_size;
	uint32_t mbufs; /* 0: as needed */
	uint16_t rxd;
	uint16_t txd;
	const char *mempool;
	const char *ring_pair;
	bool no_configure;

	double interval;
	bool intervals;
	const char *json;
	const char *stats_file;
	bool stdin_control;
	bool hold; /* until "start" comes */
	bool expect_clean;

	/* The whole command line, for the report. */
	int argc;
	char **argv;
};

const char *hwt_mode_name(enum hwt_mode mode);

/* Does this mode send, check, or need the two sides at all? */
bool hwt_mode_generates(const struct hwt_options *o);
bool hwt_mode_checks(const struct hwt_options *o);

/*
 * Read the options that follow "--".  Prints one sentence and returns false
 * on the first bad one.  argv[0] is skipped.
 */
bool hwt_options_parse(struct hwt_options *o, int argc, char **argv);

/* A rate: number with optional k, M or G. */
bool hwt_parse_rate(const char *text, uint64_t *rate);

void hwt_options_usage(void);

#endif /* HWT_OPTIONS_H */
