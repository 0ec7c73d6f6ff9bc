/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Layout of a Highway region: the shared-memory file through which the ports of
 * one trust domain exchange packets; or that of one isolated port, or of the links
 * between two ports of different regions (enum hwy_kind).
 *
 *   offset 0          struct hwy_header          identity, geometry, heartbeat
 *   off_clients       struct hwy_client[255]     who is attached (slot 0 unused)
 *   off_ports         struct hwy_port[]          ports: ends, routes, counters
 *   off_links         struct hwy_link[]          directed links X to Y
 *   off_attach        struct hwy_attach[]        attach_count for each port: links to
 *                                              ports of other regions
 *   off_ring_tags     uint32_t[ring_count]       which port or link holds a ring
 *   off_owners        uint8_t[chunk_count]       which client holds a chunk; 0: free
 *   off_rings         rings, ring_stride bytes each: struct hwy_ring,
 *                     uint64_t descriptors[ring_size], 64 bytes[ring_size]
 *   off_chunks        chunks, chunk_stride bytes each
 *
 * Rules of the layout
 *   - Little-endian, fixed width, offsets and indexes only, never a pointer.  It does
 *     not depend on a DPDK version: ends built for different releases share a region.
 *   - Everything is naturally aligned; parts start on HWY_CACHE_LINE boundaries.
 *   - Every field has one writer, named in its comment:
 *       creator   whoever made the file, before anybody else can see it
 *       ctl       any client that holds the control lock (HWY_LOCK_CONTROL)
 *       host      the one client that holds HWY_LOCK_HOST (Open vSwitch)
 *       X         the sending guest end of a port or link, one thread per queue
 *       Y         the receiving guest end, one thread per queue
 *       end       the process that holds the lock of that end of the port
 *       operator  highwayctl
 *       agent     the one client that holds HWY_LOCK_AGENT (highwayd)
 *       client    the process in that client slot
 *   - Ring indexes are free-running uint32_t: entry i is slot i % ring_size, and
 *     prod - cons is the number of entries, never above ring_size.
 *   - Reserved words are zero and are checked to be zero.
 *   - A reader refuses another major version, and any feature bit that it does not
 *     know in features_required; it ignores unknown bits in features_optional.
 *
 * Locks are open-file-description locks (fcntl(2), F_OFD_SETLK) on single bytes of
 * the file at HWY_LOCK_*; the kernel drops them when their holder dies.  They hold between
 * the processes of one kernel.  A client in a virtual machine has another one: it takes its
 * client slot and its end by compare-and-swap, shows by its 'beat' that it lives, and leaves
 * all cleaning up to the kernel that the file is in ('realm' 0).
 */
#ifndef HIGHWAY_LAYOUT_H
#define HIGHWAY_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define HWY_MAGIC         0x0059415748474948ULL /* "HIGHWAY\0", little-endian */
#define HWY_VERSION_MAJOR 1
#define HWY_VERSION_MINOR 0

#define HWY_CACHE_LINE   64
#define HWY_NAME_SIZE    32  /* domain and port names, with the final NUL */
#define HWY_MAX_PORTS    64  /* ports in a domain */
#define HWY_MAX_LINKS    512 /* links in a domain */
#define HWY_MAX_QUEUES   8   /* queues of a port, each way */
#define HWY_MAX_ROUTES   64  /* classes of one port that may be routed at once */
#define HWY_MAX_IN_LINKS 64  /* links that may end at one port */
#define HWY_MAX_ATTACH   8   /* link regions that one port may be in */
#define HWY_MAX_CLIENTS  255 /* slots 1 to 254 are given out; 255 is reserved */
#define HWY_MIN_REGION   (1ULL << 20)
#define HWY_MAX_REGION   (1ULL << 36)

/* Lock bytes, far beyond any file size: locks need no data under them. */
#define HWY_LOCK_CONTROL         (1LL << 40)
#define HWY_LOCK_HOST            (HWY_LOCK_CONTROL + 1)
#define HWY_LOCK_AGENT           (HWY_LOCK_CONTROL + 2)
#define HWY_LOCK_CLIENT(c)       (HWY_LOCK_CONTROL + 0x1000 + (c))
#define HWY_LOCK_END(port, role) (HWY_LOCK_CONTROL + 0x2000 + 2 * (int64_t)(port) + (role))

enum hwy_role { HWY_HOST = 0, HWY_GUEST = 1 };

/* What a region is for.  Its file bears the name that the header has in 'domain'. */
enum hwy_kind {
	HWY_KIND_DOMAIN = 0, /* a trust domain, under its own name */
	HWY_KIND_PORT = 1,   /* one isolated port, under its name with HWY_MARK_PORT before it */
	HWY_KIND_LINK = 2,   /* the links between two ports of different regions, under
			      * HWY_MARK_LINK and 16 digits (base 16) of its identity */
};
#define HWY_MARK_PORT '@'
#define HWY_MARK_LINK '+'

/* Feature bits, none of them needed yet. */
#define HWY_FEATURES_REQUIRED_KNOWN 0ULL

/*
 * Descriptor, one 64-bit word: chunk index (bits 0-23), flags (24-31), offset of the
 * first byte in the chunk (32-47), length in bytes (48-63).
 */
#define HWY_DESC_CHUNK(d)  ((uint32_t)(d)&0xffffffu)
#define HWY_DESC_FLAGS(d)  ((uint32_t)((d) >> 24) & 0xffu)
#define HWY_DESC_OFFSET(d) ((uint32_t)((d) >> 32) & 0xffffu)
#define HWY_DESC_LENGTH(d) ((uint32_t)((d) >> 48))
#define HWY_DESC(chunk, flags, offset, length)                                                     \
	((uint64_t)(chunk) | (uint64_t)(flags) << 24 | (uint64_t)(offset) << 32 |                  \
	 (uint64_t)(length) << 48)
/*
 * The bytes are in the ring's own slots of HWY_SLOT bytes: those of this entry and, if
 * the packet is longer, of the next one, whose descriptor says the same with length 0.
 */
#define HWY_CHUNK_INLINE 0xffffffu
#define HWY_SLOT         64
#define HWY_INLINE_MAX   128   /* bytes of a packet that travels inside the ring */
#define HWY_DESC_MORE    0x01u /* the next descriptor continues this packet */

/*
 * A ring: single producer, single consumer.  'X' below is the ring's producer and
 * 'Y' its consumer; for an up ring X is the guest end and Y the host end, for a down
 * ring the other way round, for a link's ring X and Y are the two guest ends.  The
 * gate words are used on links' rings only: see docs/internals/switch-over.md.
 * The three groups are 128 bytes apart, as processors prefetch pairs of lines.
 */
struct hwy_ring {
	uint32_t prod;       /* X: next entry to be written */
	uint32_t hold_from;  /* X: entries from here on wait for the gate */
	uint32_t gate;       /* X: the up ring must be consumed to here, and forwarded */
	uint32_t gate_epoch; /* X: number of gates so far, written last */
	uint32_t stop;       /* X: consume to here before what X sends by the switch */
	uint32_t gate_bell;  /* X, on up rings: gates started by this queue on any link */
	uint32_t reserved0[26];

	uint32_t cons;       /* Y: next entry to be read */
	uint32_t pass_epoch; /* Y: the last gate it has passed */
	uint32_t delivered;  /* Y: the application has come back for more since this entry */
	uint32_t reserved1[29];

	uint32_t open_epoch;              /* host: the gate that 'opening' answers */
	uint32_t opening[HWY_MAX_QUEUES]; /* host: index of each down ring of Y, see gate */
	uint32_t reserved2[23];
};

/* Counters of one queue of one end.  Writer: that end, the thread of that queue. */
struct hwy_counters {
	uint64_t normal_packets; /* by the switch */
	uint64_t normal_bytes;
	uint64_t bypass_packets; /* by a link */
	uint64_t bypass_bytes;
	uint64_t inlined;   /* packets copied into or out of a ring's inline area */
	uint64_t zero_copy; /* packets passed on, or received, by chunk index */
	uint64_t copied;    /* packets copied into or out of chunks */
	uint64_t ring_full; /* tx: bursts cut short by a full ring */
	uint64_t no_buffer; /* tx: no free chunk; rx: no mbuf in the application's pool */
	uint64_t bad_desc;  /* rx: descriptors or indexes that make no sense, skipped */
	uint64_t too_big;   /* packets dropped: longer than the MTU or the buffers allow */
	uint64_t link_down; /* tx: packets refused because the other end is not there */
	uint64_t reserved[4];
};

struct hwy_packets_bytes {
	uint64_t packets;
	uint64_t bytes;
};

enum hwy_end_state {
	HWY_END_DETACHED = 0,
	HWY_END_STOPPED = 1, /* attached, not started or set link-down */
	HWY_END_STARTED = 2, /* sends and receives */
	HWY_END_LEFT = 3,    /* its holder, of another realm, is done with it: to be cleaned up */
};

/* One end of a port.  Writer of all: end. */
struct hwy_end {
	uint32_t state;     /* enum hwy_end_state */
	uint32_t client;    /* client slot of the holder, 0: none; taken by compare-and-swap */
	uint32_t rx_queues; /* queues in use, 1 to hwy_port.queues, valid when started */
	uint32_t tx_queues;
	uint32_t mtu;    /* bytes of layer 3, 68 to 9000 */
	uint32_t starts; /* how often it was started */
	uint8_t mac[6];
	uint8_t promiscuous;
	uint8_t reserved0;
	uint64_t attached_ns;               /* CLOCK_REALTIME */
	uint32_t route_ack[HWY_MAX_QUEUES]; /* per tx queue: the route_seq it acts upon */
	uint32_t in_ack[HWY_MAX_QUEUES];    /* per rx queue: the in_gen it acts upon */
	uint8_t reserved1[88];
	struct hwy_counters rx[HWY_MAX_QUEUES];
	struct hwy_counters tx[HWY_MAX_QUEUES];
};

/*
 * A class of packets, the grain at which Open vSwitch always matches in its
 * userspace datapath: key = vlan_tci << 32 | eth_type << 16 | HWY_CLASS_*, where
 * vlan_tci is 0 for an untagged packet and 0x1000 | VLAN ID for a tagged one, whatever
 * its priority.
 */
#define HWY_CLASS_NO_FRAG 1u      /* not a fragment (IPv4, IPv6) */
#define HWY_CLASS_NOT_IP  2u      /* neither IPv4 nor IPv6 */
#define HWY_CLASS_NONE    0ULL    /* no class: take the normal path */
#define HWY_CLASS_ALL     (~0ULL) /* every packet of the port: no header is read */

/* What the agent's policy says of a port's links. */
enum hwy_permit {
	HWY_PERMIT_UNSAID = 0,
	HWY_PERMIT_YES = 1, /* counts as unsaid when the agent has not been heard of for 1 s */
	HWY_PERMIT_NO = 2,  /* holds until the agent says otherwise, whether it lives or not */
};

/* What the bypass of a domain's ports needs. */
enum hwy_policy {
	HWY_POLICY_AUTO = 0,  /* nothing; an agent may forbid it */
	HWY_POLICY_AGENT = 1, /* HWY_PERMIT_YES of a living agent at both ports */
};

/* A proof: all packets of the port go to port 'dst', in that port's life 'life'. */
#define HWY_PROOF(dst, life)  ((uint64_t)(life) << 32 | ((uint64_t)(dst) + 1))
#define HWY_PROOF_NONE        0ULL
#define HWY_PROOF_DST(proof)  ((uint32_t)(proof)-1) /* UINT32_MAX: none */
#define HWY_PROOF_LIFE(proof) ((uint32_t)((proof) >> 32))

struct hwy_route {
	uint64_t key;  /* class, or HWY_CLASS_ALL */
	uint32_t link; /* index of the link to use */
	uint32_t slot; /* index of the counters that this class counts in */
};

enum hwy_port_state { HWY_PORT_FREE = 0, HWY_PORT_USED = 1 };

struct hwy_port {
	uint32_t state;                /* ctl: enum hwy_port_state */
	uint32_t queues;               /* ctl: rings each way, 1 to HWY_MAX_QUEUES */
	char name[HWY_NAME_SIZE];      /* ctl: NUL-terminated */
	uint32_t up[HWY_MAX_QUEUES];   /* ctl: ring indexes, guest to host */
	uint32_t down[HWY_MAX_QUEUES]; /* ctl: ring indexes, host to guest */
	uint32_t life;                 /* ctl: how many ports this entry has been so far */
	uint8_t reserved0[20];

	uint32_t bypass_off; /* operator: 1 keeps all links of the port closed */
	uint32_t permit;     /* agent: enum hwy_permit; ctl clears it with the port */
	uint64_t proof;      /* agent: HWY_PROOF() or HWY_PROOF_NONE; ctl likewise */
	uint8_t reserved1[48];

	uint32_t route_seq; /* host: changes with every change below, odd while it is made */
	uint32_t n_routes;  /* host */
	uint32_t in_gen;    /* host: changes with every change of in_links, likewise odd; both also
			     * change when an attach slot is wanted, which the queues see by it */
	uint32_t n_in;      /* host: links that end here, open or still being drained */
	uint8_t reserved2[48];
	struct hwy_route routes[HWY_MAX_ROUTES]; /* host */
	uint32_t in_links[HWY_MAX_IN_LINKS];     /* host: link indexes */

	/* X: what was sent by links, by queue and by class slot */
	struct hwy_packets_bytes sent[HWY_MAX_QUEUES][HWY_MAX_ROUTES];

	uint64_t folded_out[2]; /* host: packets, bytes of links of X that were freed */
	uint64_t folded_in[2];  /* host: the same of links into Y */
	uint64_t credited[2];   /* host: packets, bytes that the switch was told in queries */
	uint8_t reserved3[16];

	struct hwy_end end[2]; /* by enum hwy_role */
};

/*
 * A link between ports of different regions has an entry in the table of either: in that of
 * X with this as 'dst', in that of Y with this as 'src'.  Its rings are in the link region
 * of the port's attach slot 'attach' - 1: see struct hwy_attach.
 */
#define HWY_PORT_FAR UINT32_MAX

/* States of a link and who moves it: see docs/internals/switch-over.md. */
enum hwy_link_state {
	HWY_LINK_FREE = 0,
	HWY_LINK_PREPARING = 1, /* rings are being assigned */
	HWY_LINK_READY = 2,     /* Y polls it; no route leads here */
	HWY_LINK_OPEN = 3,      /* at least one route of X leads here */
	HWY_LINK_CLOSING = 4,   /* routes withdrawn; X still has to leave, Y to drain */
	HWY_LINK_RETIRING = 5,  /* Y has been told to forget it */
};

struct hwy_link {
	uint32_t state;                /* host: enum hwy_link_state */
	uint32_t src;                  /* host: port index of X */
	uint32_t dst;                  /* host: port index of Y */
	uint32_t queues;               /* host: rings, one per tx queue of X */
	uint32_t ring[HWY_MAX_QUEUES]; /* host: ring indexes */
	uint64_t since_ns;             /* host: CLOCK_REALTIME of the last change of state */
	uint32_t opened;               /* host: how often it was opened */
	uint32_t attach;               /* host: 0: the rings are here; else see HWY_PORT_FAR */
	struct {
		/* X: by the thread of that queue; host, where X is in another region */
		struct hwy_packets_bytes sent;
		uint64_t reserved[6];
	} queue[HWY_MAX_QUEUES];
};

/*
 * An attach slot: which link region the guest end of a port is to map, and whether it has.
 * Both words are HWY_ATTACH(epoch, state), and an acknowledgement counts for its epoch only:
 * see docs/internals/isolated-ports.md.
 *
 * A link region has port 0 only, whose two 'end' entries are its own ends 0 and 1 (the
 * slots say which is whose): 'state' there is written by the guest end that is that end.
 * What end e sends by its queue q is in ring HWY_LINK_RING(e, q), and chunks that it holds
 * have the owner HWY_LINK_OWNER(e).
 */
enum hwy_attach_state {
	HWY_ATTACH_FREE = 0,
	HWY_ATTACH_WANTED = 1,   /* host: find it and map it */
	HWY_ATTACH_MAPPED = 2,   /* guest: done */
	HWY_ATTACH_USABLE = 3,   /* host: links lead there */
	HWY_ATTACH_CLOSING = 4,  /* host: none does any more: unmap it */
	HWY_ATTACH_UNMAPPED = 5, /* guest: done; what comes after WANTED, if it cannot be had */
	HWY_ATTACH_BROKEN = 6,   /* guest: still mapped, but the other end does not do its part */
};
#define HWY_ATTACH(epoch, state)  ((uint64_t)(epoch) << 32 | (uint32_t)(state))
#define HWY_ATTACH_EPOCH(word)    ((uint32_t)((word) >> 32))
#define HWY_ATTACH_STATE(word)    ((uint32_t)(word))
#define HWY_LINK_RING(end, queue) ((end)*HWY_MAX_QUEUES + (queue))
#define HWY_LINK_OWNER(end)       ((uint8_t)(1 + (end)))

struct hwy_attach {
	uint64_t want;            /* host: written last */
	uint64_t id;              /* host: identity of the link region */
	uint32_t end;             /* host: which end of it the port is, 0 or 1 */
	uint32_t seen;            /* end: the last epoch for which it has found the region */
	char peer[HWY_NAME_SIZE]; /* host: name of the other port, for people */
	uint8_t reserved1[8];

	uint64_t ack;   /* end */
	uint32_t error; /* end: why it cannot be had, an errno, or 0 */
	uint8_t reserved2[52];
};

enum hwy_client_state {
	HWY_CLIENT_FREE = 0,
	HWY_CLIENT_USED = 1,
	HWY_CLIENT_LEFT = 2,       /* of another realm, ended in good order: to be cleaned up */
	HWY_CLIENT_TAKING = 3,     /* being filled in by a process of the file's own kernel */
	HWY_CLIENT_TAKING_FAR = 4, /* being filled in by one of another realm */
};

/* In 'client' of an end: nobody's, but not to be taken now. */
#define HWY_CLIENT_CLEANING 255u

/* What somebody who knows says of a client of another realm, in its life 'life'. */
enum hwy_said {
	HWY_SAID_NOTHING = 0,
	HWY_SAID_PAUSED = 1, /* it lives although it does not beat */
	HWY_SAID_GONE = 2,   /* it is dead */
};
#define HWY_SAID(life, what) ((uint64_t)(life) << 32 | (uint32_t)(what))
#define HWY_SAID_LIFE(word)  ((uint32_t)((word) >> 32))
#define HWY_SAID_WHAT(word)  ((uint32_t)(word))

/* Writer of all but 'state', 'life' and 'said': client. */
struct hwy_client {
	uint32_t state; /* client, ctl: enum hwy_client_state, taken by compare-and-swap */
	uint32_t pid;   /* as the client sees it */
	uint64_t attached_ns;
	char comm[16];  /* name of the process */
	uint64_t realm; /* 0: the kernel that the file is in; else one for each boot of a VM */
	uint32_t beat;  /* grows while it lives; realm 0 has locks for that */
	uint32_t life;  /* whoever takes the slot: how many clients it has been so far */
	uint64_t said;  /* operator, agent: HWY_SAID(), counts for its life only */
	uint8_t reserved[8];
};

struct hwy_header {
	uint64_t magic;       /* creator, written last */
	uint16_t major;       /* creator */
	uint16_t minor;       /* creator */
	uint32_t header_size; /* creator: sizeof(struct hwy_header) */
	uint64_t file_size;   /* creator: bytes, a power of two, at least 1 MiB */
	uint64_t features_required;
	uint64_t features_optional;
	char domain[HWY_NAME_SIZE]; /* creator */
	uint32_t port_count;        /* creator: 1 to HWY_MAX_PORTS */
	uint32_t link_count;        /* creator: 1 to HWY_MAX_LINKS */
	uint32_t ring_count;        /* creator */
	uint32_t ring_size;         /* creator: entries, a power of two, 64 to 16384 */
	uint32_t slot_size;         /* creator: HWY_SLOT */
	uint32_t chunk_count;       /* creator: below HWY_CHUNK_INLINE */
	uint32_t chunk_stride;      /* creator: bytes, a multiple of 64, 1024 to 65472 */
	uint32_t kind;              /* creator: enum hwy_kind */
	uint64_t ring_stride;       /* creator: bytes */
	uint64_t off_clients;       /* creator: this and the next are bytes from offset 0 */
	uint64_t off_ports;
	uint64_t off_links;
	uint64_t off_ring_tags;
	uint64_t off_owners;
	uint64_t off_rings;
	uint64_t off_chunks;
	uint64_t created_ns;   /* creator: CLOCK_REALTIME */
	uint64_t off_attach;   /* creator */
	uint32_t attach_count; /* creator: attach slots of each port, 0 to HWY_MAX_ATTACH */
	uint8_t reserved1[44];
	uint32_t sweeps;     /* ctl: how many dead clients were cleaned up after */
	uint32_t reclaimed;  /* ctl: chunks they left behind */
	uint32_t bypass_off; /* operator: 1 keeps all links of the domain closed */
	uint32_t keep;       /* ctl: 1 keeps the file when its last user leaves */
	uint8_t reserved2[48];
	uint32_t host_client; /* host: its client slot, 0: none */
	uint32_t heartbeat;   /* host: grows while its control thread lives */
	uint32_t offload;     /* host: 1 once the switch has offered it a flow */
	uint32_t policy;      /* host: enum hwy_policy */
	uint32_t agent_heard; /* host: 1 while it takes the agent for alive */
	uint8_t reserved3[44];
	uint32_t agent_client; /* agent: its client slot, 0: none; ctl clears it for the dead */
	uint32_t agent_beat;   /* agent: grows while its main loop lives */
	uint32_t
		bell; /* anybody, by atomic addition: the host is to look at once, see shm/bell.h */
	uint8_t reserved4[52];
};

#define HWY_ASSERT_OFFSET(type, field, value)                                                      \
	static_assert(offsetof(struct type, field) == (value), #type "." #field " moved")

HWY_ASSERT_OFFSET(hwy_ring, prod, 0);
HWY_ASSERT_OFFSET(hwy_ring, hold_from, 4);
HWY_ASSERT_OFFSET(hwy_ring, gate, 8);
HWY_ASSERT_OFFSET(hwy_ring, gate_epoch, 12);
HWY_ASSERT_OFFSET(hwy_ring, stop, 16);
HWY_ASSERT_OFFSET(hwy_ring, gate_bell, 20);
HWY_ASSERT_OFFSET(hwy_ring, cons, 128);
HWY_ASSERT_OFFSET(hwy_ring, pass_epoch, 132);
HWY_ASSERT_OFFSET(hwy_ring, delivered, 136);
HWY_ASSERT_OFFSET(hwy_ring, open_epoch, 256);
HWY_ASSERT_OFFSET(hwy_ring, opening, 260);
static_assert(sizeof(struct hwy_ring) == 384, "hwy_ring grew");

HWY_ASSERT_OFFSET(hwy_counters, normal_packets, 0);
HWY_ASSERT_OFFSET(hwy_counters, normal_bytes, 8);
HWY_ASSERT_OFFSET(hwy_counters, bypass_packets, 16);
HWY_ASSERT_OFFSET(hwy_counters, bypass_bytes, 24);
HWY_ASSERT_OFFSET(hwy_counters, inlined, 32);
HWY_ASSERT_OFFSET(hwy_counters, zero_copy, 40);
HWY_ASSERT_OFFSET(hwy_counters, copied, 48);
HWY_ASSERT_OFFSET(hwy_counters, ring_full, 56);
HWY_ASSERT_OFFSET(hwy_counters, no_buffer, 64);
HWY_ASSERT_OFFSET(hwy_counters, bad_desc, 72);
HWY_ASSERT_OFFSET(hwy_counters, too_big, 80);
HWY_ASSERT_OFFSET(hwy_counters, link_down, 88);
static_assert(sizeof(struct hwy_counters) == 128, "hwy_counters grew");

HWY_ASSERT_OFFSET(hwy_end, state, 0);
HWY_ASSERT_OFFSET(hwy_end, client, 4);
HWY_ASSERT_OFFSET(hwy_end, rx_queues, 8);
HWY_ASSERT_OFFSET(hwy_end, tx_queues, 12);
HWY_ASSERT_OFFSET(hwy_end, mtu, 16);
HWY_ASSERT_OFFSET(hwy_end, starts, 20);
HWY_ASSERT_OFFSET(hwy_end, mac, 24);
HWY_ASSERT_OFFSET(hwy_end, promiscuous, 30);
HWY_ASSERT_OFFSET(hwy_end, attached_ns, 32);
HWY_ASSERT_OFFSET(hwy_end, route_ack, 40);
HWY_ASSERT_OFFSET(hwy_end, in_ack, 72);
HWY_ASSERT_OFFSET(hwy_end, rx, 192);
HWY_ASSERT_OFFSET(hwy_end, tx, 1216);
static_assert(sizeof(struct hwy_end) == 2240, "hwy_end grew");

HWY_ASSERT_OFFSET(hwy_route, key, 0);
HWY_ASSERT_OFFSET(hwy_route, link, 8);
HWY_ASSERT_OFFSET(hwy_route, slot, 12);
static_assert(sizeof(struct hwy_route) == 16, "hwy_route grew");

HWY_ASSERT_OFFSET(hwy_port, state, 0);
HWY_ASSERT_OFFSET(hwy_port, queues, 4);
HWY_ASSERT_OFFSET(hwy_port, name, 8);
HWY_ASSERT_OFFSET(hwy_port, up, 40);
HWY_ASSERT_OFFSET(hwy_port, down, 72);
HWY_ASSERT_OFFSET(hwy_port, life, 104);
HWY_ASSERT_OFFSET(hwy_port, bypass_off, 128);
HWY_ASSERT_OFFSET(hwy_port, permit, 132);
HWY_ASSERT_OFFSET(hwy_port, proof, 136);
HWY_ASSERT_OFFSET(hwy_port, route_seq, 192);
HWY_ASSERT_OFFSET(hwy_port, n_routes, 196);
HWY_ASSERT_OFFSET(hwy_port, in_gen, 200);
HWY_ASSERT_OFFSET(hwy_port, n_in, 204);
HWY_ASSERT_OFFSET(hwy_port, routes, 256);
HWY_ASSERT_OFFSET(hwy_port, in_links, 1280);
HWY_ASSERT_OFFSET(hwy_port, sent, 1536);
HWY_ASSERT_OFFSET(hwy_port, folded_out, 9728);
HWY_ASSERT_OFFSET(hwy_port, folded_in, 9744);
HWY_ASSERT_OFFSET(hwy_port, credited, 9760);
HWY_ASSERT_OFFSET(hwy_port, end, 9792);
static_assert(sizeof(struct hwy_port) == 14272, "hwy_port grew");

HWY_ASSERT_OFFSET(hwy_link, state, 0);
HWY_ASSERT_OFFSET(hwy_link, src, 4);
HWY_ASSERT_OFFSET(hwy_link, dst, 8);
HWY_ASSERT_OFFSET(hwy_link, queues, 12);
HWY_ASSERT_OFFSET(hwy_link, ring, 16);
HWY_ASSERT_OFFSET(hwy_link, since_ns, 48);
HWY_ASSERT_OFFSET(hwy_link, opened, 56);
HWY_ASSERT_OFFSET(hwy_link, attach, 60);
HWY_ASSERT_OFFSET(hwy_link, queue, 64);
static_assert(sizeof(struct hwy_link) == 576, "hwy_link grew");

HWY_ASSERT_OFFSET(hwy_attach, want, 0);
HWY_ASSERT_OFFSET(hwy_attach, id, 8);
HWY_ASSERT_OFFSET(hwy_attach, end, 16);
HWY_ASSERT_OFFSET(hwy_attach, seen, 20);
HWY_ASSERT_OFFSET(hwy_attach, peer, 24);
HWY_ASSERT_OFFSET(hwy_attach, ack, 64);
HWY_ASSERT_OFFSET(hwy_attach, error, 72);
static_assert(sizeof(struct hwy_attach) == 128, "hwy_attach grew");

HWY_ASSERT_OFFSET(hwy_client, state, 0);
HWY_ASSERT_OFFSET(hwy_client, pid, 4);
HWY_ASSERT_OFFSET(hwy_client, attached_ns, 8);
HWY_ASSERT_OFFSET(hwy_client, comm, 16);
HWY_ASSERT_OFFSET(hwy_client, realm, 32);
HWY_ASSERT_OFFSET(hwy_client, beat, 40);
HWY_ASSERT_OFFSET(hwy_client, life, 44);
HWY_ASSERT_OFFSET(hwy_client, said, 48);
static_assert(sizeof(struct hwy_client) == 64, "hwy_client grew");

HWY_ASSERT_OFFSET(hwy_header, magic, 0);
HWY_ASSERT_OFFSET(hwy_header, major, 8);
HWY_ASSERT_OFFSET(hwy_header, minor, 10);
HWY_ASSERT_OFFSET(hwy_header, header_size, 12);
HWY_ASSERT_OFFSET(hwy_header, file_size, 16);
HWY_ASSERT_OFFSET(hwy_header, features_required, 24);
HWY_ASSERT_OFFSET(hwy_header, features_optional, 32);
HWY_ASSERT_OFFSET(hwy_header, domain, 40);
HWY_ASSERT_OFFSET(hwy_header, port_count, 72);
HWY_ASSERT_OFFSET(hwy_header, link_count, 76);
HWY_ASSERT_OFFSET(hwy_header, ring_count, 80);
HWY_ASSERT_OFFSET(hwy_header, ring_size, 84);
HWY_ASSERT_OFFSET(hwy_header, slot_size, 88);
HWY_ASSERT_OFFSET(hwy_header, chunk_count, 92);
HWY_ASSERT_OFFSET(hwy_header, chunk_stride, 96);
HWY_ASSERT_OFFSET(hwy_header, kind, 100);
HWY_ASSERT_OFFSET(hwy_header, ring_stride, 104);
HWY_ASSERT_OFFSET(hwy_header, off_clients, 112);
HWY_ASSERT_OFFSET(hwy_header, off_ports, 120);
HWY_ASSERT_OFFSET(hwy_header, off_links, 128);
HWY_ASSERT_OFFSET(hwy_header, off_ring_tags, 136);
HWY_ASSERT_OFFSET(hwy_header, off_owners, 144);
HWY_ASSERT_OFFSET(hwy_header, off_rings, 152);
HWY_ASSERT_OFFSET(hwy_header, off_chunks, 160);
HWY_ASSERT_OFFSET(hwy_header, created_ns, 168);
HWY_ASSERT_OFFSET(hwy_header, off_attach, 176);
HWY_ASSERT_OFFSET(hwy_header, attach_count, 184);
HWY_ASSERT_OFFSET(hwy_header, sweeps, 232);
HWY_ASSERT_OFFSET(hwy_header, reclaimed, 236);
HWY_ASSERT_OFFSET(hwy_header, bypass_off, 240);
HWY_ASSERT_OFFSET(hwy_header, keep, 244);
HWY_ASSERT_OFFSET(hwy_header, host_client, 296);
HWY_ASSERT_OFFSET(hwy_header, heartbeat, 300);
HWY_ASSERT_OFFSET(hwy_header, offload, 304);
HWY_ASSERT_OFFSET(hwy_header, policy, 308);
HWY_ASSERT_OFFSET(hwy_header, agent_heard, 312);
HWY_ASSERT_OFFSET(hwy_header, agent_client, 360);
HWY_ASSERT_OFFSET(hwy_header, agent_beat, 364);
HWY_ASSERT_OFFSET(hwy_header, bell, 368);
static_assert(sizeof(struct hwy_header) == 424, "hwy_header grew");

#endif /* HIGHWAY_LAYOUT_H */
