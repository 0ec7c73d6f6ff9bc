/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#ifndef HWT_PACKET_H
#define HWT_PACKET_H

/*
 * Layout of a test packet.
 *
 *   Ethernet [VLAN] then one of
 *     IPv4 (20) UDP (8)     valid lengths and header checksum, UDP checksum 0
 *     IPv6 (40) UDP (8)     valid lengths and UDP checksum
 *     ARP (28)              a request
 *     nothing               any other type
 *   then the test header, 18 bytes, little endian, so that a 60-byte
 *   IPv4 frame holds it:
 *
 *     0  magic    8   HWT_MAGIC
 *     1  mark     8   bit 7: the payload holds the pattern; bits 0..6: epoch,
 *                     a random mark of this run of the generator
 *     2  id      16   stream
 *     4  flow    16
 *     6  seq     32   number of the packet in its flow, from 0
 *    10  tsc     48   low bits of the time stamp counter, 0 when not stamped
 *    16  check   16   over all of the above
 *
 *   then the payload.  With the pattern it depends on id, flow and seq, and
 *   the receiver compares every byte with what must be there.
 *
 * check is the sum of two multiplicative hashes, one of magic..seq and one of
 * tsc that is 0 for no time, so that stamping a finished packet is one load
 * and one store.  It finds every single-bit error, misses about 1 in
 * 25000 of two wrong bytes, and 1 in 65536 of errors at random.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#define HWT_MAGIC       0x48
#define HWT_MARK_FILLED 0x80
#define HWT_EPOCH_MASK  0x7f
#define HWT_UDP_PORT    18519
#define HWT_HDR_LEN     18
#define HWT_HDR_SEQ     6
#define HWT_HDR_TSC     10
#define HWT_TSC_MASK    ((UINT64_C(1) << 48) - 1)
/* Ethernet, VLAN, IPv6, UDP, test header: what a template holds. */
#define HWT_TEMPLATE_LEN 128

#define HWT_SIZE_MIN 60
#define HWT_SIZE_MAX 9018

struct hwt_packet_spec {
	struct rte_ether_addr src_mac;
	struct rte_ether_addr dst_mac;
	uint16_t eth_type;
	uint16_t vlan; /* 0: untagged */
	uint16_t id;
	uint16_t flow;
	uint8_t epoch;
	bool filled;
};

/* What the generator keeps per flow. */
struct hwt_template {
	uint8_t data[HWT_TEMPLATE_LEN];
	uint64_t head;   /* first 6 bytes of the test header */
	uint32_t seq;    /* of the next packet */
	uint32_t ip_sum; /* IPv4 header sum without total length */
	uint16_t eth_type;
	uint8_t l3_off;
	uint8_t hdr_off;
} __rte_cache_aligned;

/* What the receiver finds in the test header. */
struct hwt_header {
	uint64_t tsc;
	uint32_t seq;
	uint16_t id;
	uint16_t flow;
	uint8_t mark;
};

/* Offset of the test header, and the shortest frame that holds it. */
uint16_t hwt_packet_header_offset(uint16_t eth_type, bool vlan);
uint16_t hwt_packet_min_size(uint16_t eth_type, bool vlan);

/* Build the template of a flow for frames of size bytes. */
void hwt_packet_template(struct hwt_template *t, const struct hwt_packet_spec *spec, uint16_t size);

/* Give a frame made of the template another length. */
void hwt_packet_resize(const struct hwt_template *t, uint8_t *frame, uint16_t size);

/* IPv6 only: compute the UDP checksum over the finished packet. */
void hwt_packet_udp6_checksum(const struct hwt_template *t, struct rte_mbuf *m);

/* Fill the payload of a packet of any number of segments with the pattern. */
void hwt_packet_fill(struct rte_mbuf *m, uint32_t offset, uint64_t key);

/* Is the payload the pattern? */
bool hwt_packet_filled(const struct rte_mbuf *m, uint32_t offset, uint64_t key);

/*
 * Are the lengths, the IPv4 header checksum and the UDP checksum right?
 * frame: the headers in one piece.
 */
bool hwt_packet_network_valid(const struct rte_mbuf *m, const uint8_t *frame);

/* Offset of the test header in a received frame; 0 when it is not ours. */
uint32_t hwt_packet_locate_slow(const uint8_t *frame, uint32_t len);

static inline uint16_t
hwt_get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t
hwt_get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void
hwt_put64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* head: first 6 bytes of the test header as a little-endian number. */
static inline uint64_t
hwt_header_check(uint64_t head, uint32_t seq)
{
	uint64_t sum = (head | (uint64_t)seq << 48) * UINT64_C(0x9e3779b97f4a7c15);

	sum += (uint64_t)(seq >> 16) * UINT64_C(0x9fb21c651e98df25);
	return sum >> 48;
}

static inline uint64_t
hwt_tsc_check(uint64_t tsc)
{
	return tsc * UINT64_C(0xd6e8feb86659fd93) >> 48;
}

/* Write a test header without time stamp. */
static inline void
hwt_header_write(uint8_t *hdr, uint64_t head, uint32_t seq)
{
	hwt_put64(hdr, rte_cpu_to_le_64(head | (uint64_t)seq << 48));
	/* Bytes 8 and 9 the rest of seq, 10..15 no time, 16 and 17 check. */
	hwt_put64(hdr + 8, rte_cpu_to_le_64(seq >> 16));
	hwt_put64(hdr + HWT_HDR_TSC, rte_cpu_to_le_64(hwt_header_check(head, seq) << 48));
}

/* Stamp a test header that has no time yet. */
static inline void
hwt_header_stamp(uint8_t *hdr, uint64_t tsc)
{
	uint64_t check = rte_le_to_cpu_64(hwt_get64(hdr + HWT_HDR_TSC)) >> 48;

	tsc &= HWT_TSC_MASK;
	check += hwt_tsc_check(tsc);
	hwt_put64(hdr + HWT_HDR_TSC, rte_cpu_to_le_64(tsc | check << 48));
}

/* Read a test header; false when its check is wrong. */
static inline bool
hwt_header_read(const uint8_t *hdr, struct hwt_header *h)
{
	uint64_t first = rte_le_to_cpu_64(hwt_get64(hdr));
	uint64_t last = rte_le_to_cpu_64(hwt_get64(hdr + HWT_HDR_TSC));
	uint64_t head = first & HWT_TSC_MASK;

	h->mark = (uint8_t)(first >> 8);
	h->id = (uint16_t)(first >> 16);
	h->flow = (uint16_t)(first >> 32);
	h->seq = (uint32_t)(first >> 48) | (uint32_t)rte_le_to_cpu_16(hwt_get16(hdr + 8)) << 16;
	h->tsc = last & HWT_TSC_MASK;
	return ((hwt_header_check(head, h->seq) + hwt_tsc_check(h->tsc)) & 0xffff) == last >> 48;
}

/* First 6 bytes of a test header that was read. */
static inline uint64_t
hwt_header_head(const struct hwt_header *h)
{
	return HWT_MAGIC | (uint64_t)h->mark << 8 | (uint64_t)h->id << 16 | (uint64_t)h->flow << 32;
}

/* Is this what hwt_header_write() writes? */
static inline bool
hwt_header_is(const uint8_t *hdr, uint64_t head, uint32_t seq)
{
	uint64_t wrong = hwt_get64(hdr) ^ rte_cpu_to_le_64(head | (uint64_t)seq << 48);

	wrong |= hwt_get64(hdr + 8) ^ rte_cpu_to_le_64(seq >> 16);
	wrong |= hwt_get16(hdr + 16) ^ rte_cpu_to_le_16((uint16_t)hwt_header_check(head, seq));
	return wrong == 0;
}

/* Key of the payload pattern of a packet. */
static inline uint64_t
hwt_packet_key(uint16_t id, uint16_t flow, uint32_t seq)
{
	uint64_t key = (uint64_t)id << 48 | (uint64_t)flow << 32 | seq;

	key = (key ^ key >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
	return key ^ key >> 29;
}

#define HWT_HDR_OFFSET_UDP4 42 /* in untagged IPv4 with UDP and no options */

static inline uint32_t
hwt_packet_locate(const uint8_t *frame, uint32_t len)
{
	/* The most frequent by far. */
	if (likely(len >= HWT_SIZE_MIN && hwt_get16(frame + 12) == RTE_BE16(RTE_ETHER_TYPE_IPV4) &&
		   frame[14] == 0x45 && frame[23] == 17)) {
		if (likely(hwt_get16(frame + 36) == RTE_BE16(HWT_UDP_PORT) &&
			   frame[HWT_HDR_OFFSET_UDP4] == HWT_MAGIC))
			return HWT_HDR_OFFSET_UDP4;
		return 0;
	}
	return hwt_packet_locate_slow(frame, len);
}

#endif /* HWT_PACKET_H */
