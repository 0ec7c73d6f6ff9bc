/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The net_highway driver: what its files share.
 *
 *   vdev.c        device arguments, probe and remove
 *   pci_scan.c    in a virtual machine: devices become ports by themselves
 *   pci.c         regions among its PCI devices
 *   domain.c      regions opened by this process, their control thread
 *   ethdev.c      the ethdev's control operations
 *   guest_rxtx.c  bursts of the guest end: normal channel and links
 *   guest.c       its slow side: routes and links that change, start and stop
 *   host_rxtx.c   bursts of the host end: normal channel, gates
 *   isa.c         which of the compiled bursts to use
 *   mbuf.h        moving packets between mbufs and rings
 *   attach.c      link regions: which this process has mapped, and which it hosts
 *   far.c         receiving from a link region
 *   flow.c        rte_flow: which megaflows become routes
 *   stats.c       basic and extended statistics
 *   telemetry.c   rte_telemetry endpoints
 */
#ifndef HIGHWAY_PMD_HIGHWAY_H
#define HIGHWAY_PMD_HIGHWAY_H

#include <ethdev_driver.h>
#include <rte_log.h>
#include <sys/queue.h>

#include "attach.h"
#include "far.h"
#include "gate.h"
#include "host.h"
#include "pool.h"
#include "port.h"
#include "region.h"

#define HWY_MIN_MTU RTE_ETHER_MIN_MTU
#define HWY_MAX_MTU 9000
/* Ethernet header and two VLAN tags; the rings carry no CRC. */
#define HWY_L2_OVERHEAD (RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN)

extern int hwy_logtype;
#define HWY_LOG(level, format, ...)                                                                \
	rte_log(RTE_LOG_##level, hwy_logtype, "net_highway: " format "\n", ##__VA_ARGS__)

enum hwy_idle { HWY_IDLE_POLL, HWY_IDLE_YIELD, HWY_IDLE_PAUSE, HWY_IDLE_SLEEP };

struct hwy_dev;

/* A region opened by this process, shared by all its ports in the domain. */
struct hwy_domain {
	TAILQ_ENTRY(hwy_domain) next;
	unsigned int users; /* ethdevs */
	struct hwy_region *region;
	char pci[16];                            /* the device that shows it, or empty */
	struct hwy_host *host;                   /* if this process is the domain's host */
	struct rte_mbuf_ext_shared_info *shinfo; /* [chunk_count], this process's own */
	bool offload_said;          /* the warning that there is no offload was given */
	unsigned int offload_since; /* tick without traffic before it */
	bool lost;                  /* taken for dead: the region is not ours any more */
	bool copy_rx; /* no chunk reaches the application: a device may DMA from it, or a guest
		       * that is not trusted may change it */
	bool extmem;  /* the region is known to EAL */
	bool told;    /* of the device that is waited for, when it comes */
	pthread_t thread;
	int stop_fd;           /* eventfd that ends the control thread */
	pthread_mutex_t mutex; /* of 'devs' */
	struct hwy_dev *devs[2 * HWY_MAX_PORTS];
};

struct hwy_devargs {
	struct hwy_region_config region;
	char dir[PATH_MAX];
	char domain[HWY_NAME_SIZE];
	char port[HWY_NAME_SIZE]; /* empty: with pci=, the first to be had */
	char pci[16];             /* PCI address of the region, in a virtual machine */
	enum hwy_role role;
	uint32_t queues; /* 0: not given */
	enum hwy_idle idle;
	enum hwy_policy policy;
	bool has_policy;
	bool keep;
	bool has_keep;
	struct rte_ether_addr mac;
	bool has_mac;
};

/* One way out of a guest end: a link as this queue uses it. */
struct hwy_path {
	struct hwy_producer out;
	struct hwy_packets_bytes *sent;
	const struct hwy_end *to; /* guest end of Y */
	uint32_t link;
	uint32_t joined;  /* classes that use it now */
	uint32_t waiting; /* classes that are to join as soon as rule 2 allows */
	/* of a link region, see hwy_guest_stalled() */
	uint32_t stalled_prod;
	uint64_t stalled_since_ms, stalled_ms;
};

struct hwy_class_entry {
	uint64_t key;
	uint32_t slot;
	uint16_t path;
	bool joined;
};

#define HWY_CLASS_HASH 128 /* open addressing, at most half full */

struct hwy_tx_queue {
	struct hwy_dev *dev;
	uint16_t id;
	uint16_t ring; /* guest end: up ring of this queue */
	bool started;
	bool losable;            /* a guest end in a virtual machine: see hwy_guest_has() */
	struct hwy_producer out; /* up ring of a guest end, down ring of a host end */
	struct hwy_counters *counters;
	struct hwy_pool pool;
	/* guest end */
	uint32_t route_seq;
	uint32_t n_paths;
	uint32_t n_classes;
	uint32_t joined;  /* sum over paths */
	uint32_t waiting; /* sum over paths */
	uint64_t last_key;
	struct hwy_class_entry *last;
	struct hwy_class_entry *all; /* the only route, and it takes every packet; or NULL */
	uint32_t far_slots;          /* bits: attach slots whose link regions are in paths[] */
	struct hwy_path paths[HWY_MAX_ROUTES];
	struct hwy_class_entry classes[HWY_MAX_ROUTES];
	uint8_t hash[HWY_CLASS_HASH]; /* index into classes + 1 */
} __rte_cache_aligned;

/* A ring that a receive queue polls. */
struct hwy_inlet {
	struct hwy_consumer in;
	uint32_t link;    /* index of the link, or of the port's queue */
	uint32_t queue;   /* ring number within it */
	uint32_t bell;    /* host end: the last gate_bell seen */
	uint32_t pending; /* host end: a gate may be unanswered */
};

#define HWY_MAX_INLETS (HWY_MAX_IN_LINKS * HWY_MAX_QUEUES)

/* For how long a link region's peer has kept a queue from its down rings: hwy_guest_held() */
struct hwy_hold {
	uint64_t last_ms;
	uint64_t sum_ms;
};

struct hwy_rx_queue {
	struct hwy_dev *dev;
	struct rte_mempool *pool;
	struct hwy_counters *counters;
	uint64_t rearm; /* data_off, refcnt, nb_segs, port of a fresh mbuf */
	uint16_t id;
	uint16_t room; /* bytes of data in an mbuf of the pool */
	bool started;
	bool losable; /* as in hwy_tx_queue */
	bool scatter;
	bool deferred;     /* what a burst took counts as delivered at the next call */
	uint16_t turn;     /* which inlet goes first */
	uint16_t n_normal; /* normal rings polled by this queue */
	uint16_t n_links;  /* link rings polled by this queue */
	uint16_t n_watch;  /* link rings into the port, of all queues */
	uint32_t in_gen;
	uint32_t far_slots; /* bits: attach slots whose link regions are in links or watch */
	struct hwy_inlet normal[HWY_MAX_QUEUES];
	struct hwy_inlet *links; /* [HWY_MAX_INLETS] guest end only */
	/* all link rings into the port, with their queues' consumer indexes, for rule 3 */
	const struct hwy_ring **watch;
	uint8_t watch_slot[HWY_MAX_INLETS]; /* where each lies: attach slot + 1, or 0 */
	struct hwy_hold holds[HWY_MAX_ATTACH];
	/* consumer indexes of all down rings of the port, as the gates ask for them */
	const uint32_t *down_cons[HWY_MAX_QUEUES];
} __rte_cache_aligned;

struct hwy_dev {
	struct hwy_domain *domain;
	struct hwy_region *region;
	struct rte_eth_dev *eth;
	struct hwy_port *port; /* in the region */
	struct hwy_end *end;   /* ours */
	struct hwy_end *peer;  /* the other one */
	uint32_t index;        /* of the port in the region */
	uint32_t queues;       /* of the port, as they were when it was attached to */
	uint16_t port_id;      /* ethdev */
	enum hwy_role role;
	enum hwy_idle idle;
	bool started;
	bool awaits;      /* host end: its link opens at the first packet, see hwy_host_awaits() */
	bool arrived;     /* that packet has come */
	bool link_wanted; /* set_link_up, set_link_down */
	uint32_t max_frame;
	struct hwy_rx_queue *rxq[HWY_MAX_QUEUES];
	struct hwy_tx_queue *txq[HWY_MAX_QUEUES];
	struct rte_eth_stats baseline;
	uint64_t *xbaseline;
	struct hwy_attachments attach; /* guest end */
	struct hwy_far *far;           /* host end: links to other regions */
	struct hwy_far_port *far_port;
	pthread_mutex_t flow_mutex;
	LIST_HEAD(, rte_flow) flows;
	char name[HWY_NAME_SIZE];
	char domain_name[HWY_NAME_SIZE];
};

/* vdev.c */
int hwy_devargs_parse(const char *params, struct hwy_devargs *args, char *err);

/* domain.c */
int hwy_domain_get(const struct hwy_devargs *args, struct hwy_domain **domain, char *err);
void hwy_domain_put(struct hwy_domain *domain);
int hwy_domain_add(struct hwy_domain *domain, struct hwy_dev *dev, const struct hwy_devargs *args,
		   char *err);
void hwy_domain_del(struct hwy_domain *domain, struct hwy_dev *dev);
void hwy_domain_poke(struct hwy_domain *domain); /* something changed: look now */
void hwy_domain_wake(struct hwy_domain *domain); /* of this process: its control thread looks now */
void hwy_domain_each_dev(void (*cb)(struct hwy_dev *dev, void *arg), void *arg);

/* ethdev.c */
extern const struct eth_dev_ops hwy_ops;
int hwy_dev_init(struct rte_eth_dev *eth, const struct hwy_devargs *args, char *err);
int hwy_link_update(struct rte_eth_dev *eth, int wait);
static inline struct hwy_dev *
hwy_dev_of(const struct rte_eth_dev *eth)
{
	return eth->data->dev_private;
}

/* guest.c */
void hwy_guest_start(struct hwy_dev *dev);
void hwy_guest_stop(struct hwy_dev *dev);
void hwy_guest_lose(struct hwy_dev *dev); /* its port is not ours any more */

/* attach.c: on control threads; but hwy_dev_attach_quick() is for those of the queues, when their
 * routes or links have changed: it does what can be done at once, and wakes the control thread
 * for the rest */
void hwy_dev_attach_quick(struct hwy_dev *dev);
int hwy_dev_far_add(struct hwy_dev *dev); /* a host end, of a domain that has its host */
void hwy_dev_far_del(struct hwy_dev *dev);
void hwy_dev_attach_init(struct hwy_dev *dev); /* a guest end */
bool hwy_dev_attach_tick(struct hwy_dev *dev);
void hwy_dev_attach_close(struct hwy_dev *dev);

/* idle.c: what an empty poll does, by the idle= devarg */
extern uint32_t hwy_polled_queues; /* started receive queues of this process */
void hwy_idle_wait(const struct hwy_rx_queue *q);
void hwy_idle_full(const struct hwy_dev *dev); /* and what a full ring does */
static inline void
hwy_idle(const struct hwy_rx_queue *q, uint16_t received)
{
	extern __thread uint32_t hwy_empty_polls;

	if (likely(received > 0))
		hwy_empty_polls = 0;
	else if (q->dev->idle != HWY_IDLE_POLL)
		hwy_idle_wait(q);
}

/* flow.c */
extern const struct rte_flow_ops hwy_flow_ops;
void hwy_flow_forget(struct hwy_dev *dev); /* the port goes: free its flows */

/* stats.c */
int hwy_stats_get(struct rte_eth_dev *eth, struct rte_eth_stats *stats);
int hwy_stats_reset(struct rte_eth_dev *eth);
int hwy_xstats_get(struct rte_eth_dev *eth, struct rte_eth_xstat *xstats, unsigned int n);
int hwy_xstats_names(struct rte_eth_dev *eth, struct rte_eth_xstat_name *names, unsigned int n);
int hwy_xstats_reset(struct rte_eth_dev *eth);

#endif /* HIGHWAY_PMD_HIGHWAY_H */
