/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#include <string.h>

#include <rte_arp.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "packet.h"

#define HWT_PATTERN_STEP UINT64_C(0x9e3779b97f4a7c15)
/* 198.18.0.0 and 198.19.0.1, of the range set aside for measuring. */
#define HWT_NET_SOURCE UINT32_C(0xc6120000)
#define HWT_NET_TARGET UINT32_C(0xc6130001)

uint16_t
hwt_packet_header_offset(uint16_t eth_type, bool vlan)
{
	uint16_t offset = RTE_ETHER_HDR_LEN;

	if (vlan)
		offset += RTE_VLAN_HLEN;
	switch (eth_type) {
	case RTE_ETHER_TYPE_IPV4:
		offset += sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr);
		break;
	case RTE_ETHER_TYPE_IPV6:
		offset += sizeof(struct rte_ipv6_hdr) + sizeof(struct rte_udp_hdr);
		break;
	case RTE_ETHER_TYPE_ARP:
		offset += sizeof(struct rte_arp_hdr);
		break;
	}
	return offset;
}

uint16_t
hwt_packet_min_size(uint16_t eth_type, bool vlan)
{
	uint16_t size = hwt_packet_header_offset(eth_type, vlan) + HWT_HDR_LEN;

	return RTE_MAX(size, (uint16_t)HWT_SIZE_MIN);
}

static uint16_t
fold16(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void
template_udp(uint8_t *p, uint16_t flow)
{
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)p;

	udp->src_port = rte_cpu_to_be_16((uint16_t)(1024 + flow % 60000));
	udp->dst_port = rte_cpu_to_be_16(HWT_UDP_PORT);
}

/* A source address for each flow. */
static void
template_ipv4(struct hwt_template *t, uint16_t flow)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(t->data + t->l3_off);

	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->time_to_live = 64;
	ip->next_proto_id = IPPROTO_UDP;
	ip->fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG);
	ip->src_addr = rte_cpu_to_be_32(HWT_NET_SOURCE | flow);
	ip->dst_addr = rte_cpu_to_be_32(HWT_NET_TARGET);
	t->ip_sum = rte_raw_cksum(ip, sizeof(*ip));
	template_udp((uint8_t *)(ip + 1), flow);
}

/* 2001:2::/48, set aside for measuring. */
static void
template_ipv6(struct hwt_template *t, uint16_t flow)
{
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(t->data + t->l3_off);
	static const uint8_t net[] = {0x20, 0x01, 0x00, 0x02};
	uint8_t *source, *target;

	ip->vtc_flow = rte_cpu_to_be_32(UINT32_C(6) << 28 | flow);
	ip->proto = IPPROTO_UDP;
	ip->hop_limits = 64;
	/* By bytes: DPDK 24.11 has made a structure of what was an array. */
	source = (uint8_t *)&ip->src_addr;
	target = (uint8_t *)&ip->dst_addr;
	memcpy(source, net, sizeof(net));
	memcpy(target, net, sizeof(net));
	source[13] = 1;
	source[14] = (uint8_t)(flow >> 8);
	source[15] = (uint8_t)flow;
	target[13] = 2;
	target[15] = 1;
	template_udp((uint8_t *)(ip + 1), flow);
}

static void
template_arp(struct hwt_template *t, const struct hwt_packet_spec *spec)
{
	struct rte_arp_hdr *arp = (struct rte_arp_hdr *)(t->data + t->l3_off);

	arp->arp_hardware = rte_cpu_to_be_16(RTE_ARP_HRD_ETHER);
	arp->arp_protocol = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	arp->arp_hlen = RTE_ETHER_ADDR_LEN;
	arp->arp_plen = sizeof(uint32_t);
	arp->arp_opcode = rte_cpu_to_be_16(RTE_ARP_OP_REQUEST);
	arp->arp_data.arp_sha = spec->src_mac;
	arp->arp_data.arp_sip = rte_cpu_to_be_32(HWT_NET_SOURCE | spec->flow);
	arp->arp_data.arp_tip = rte_cpu_to_be_32(HWT_NET_TARGET);
}

void
hwt_packet_template(struct hwt_template *t, const struct hwt_packet_spec *spec, uint16_t size)
{
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)t->data;
	uint8_t mark = spec->epoch & HWT_EPOCH_MASK;

	memset(t, 0, sizeof(*t));
	if (spec->filled)
		mark |= HWT_MARK_FILLED;
	t->eth_type = spec->eth_type;
	t->l3_off = RTE_ETHER_HDR_LEN;
	t->hdr_off = (uint8_t)hwt_packet_header_offset(spec->eth_type, spec->vlan != 0);
	t->head = HWT_MAGIC | (uint64_t)mark << 8 | (uint64_t)spec->id << 16 |
		  (uint64_t)spec->flow << 32;

	eth->dst_addr = spec->dst_mac;
	eth->src_addr = spec->src_mac;
	eth->ether_type = rte_cpu_to_be_16(spec->eth_type);
	if (spec->vlan != 0) {
		struct rte_vlan_hdr *tag = (struct rte_vlan_hdr *)(eth + 1);

		eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN);
		tag->vlan_tci = rte_cpu_to_be_16(spec->vlan);
		tag->eth_proto = rte_cpu_to_be_16(spec->eth_type);
		t->l3_off += RTE_VLAN_HLEN;
	}

	if (spec->eth_type == RTE_ETHER_TYPE_IPV4)
		template_ipv4(t, spec->flow);
	else if (spec->eth_type == RTE_ETHER_TYPE_IPV6)
		template_ipv6(t, spec->flow);
	else if (spec->eth_type == RTE_ETHER_TYPE_ARP)
		template_arp(t, spec);
	hwt_header_write(t->data + t->hdr_off, t->head, 0);
	hwt_packet_resize(t, t->data, size);
}

void
hwt_packet_resize(const struct hwt_template *t, uint8_t *frame, uint16_t size)
{
	uint16_t len = size - t->l3_off;

	if (t->eth_type == RTE_ETHER_TYPE_IPV4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + t->l3_off);
		struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
		uint16_t total = rte_cpu_to_be_16(len);

		ip->total_length = total;
		ip->hdr_checksum = (uint16_t)~fold16(t->ip_sum + total);
		udp->dgram_len = rte_cpu_to_be_16((uint16_t)(len - sizeof(*ip)));
	} else if (t->eth_type == RTE_ETHER_TYPE_IPV6) {
		struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(frame + t->l3_off);
		struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);

		ip->payload_len = rte_cpu_to_be_16((uint16_t)(len - sizeof(*ip)));
		udp->dgram_len = ip->payload_len;
	}
}

/*
 * One's complement sum of a UDP packet and its pseudo header (whose sum is
 * pseudo), with whatever checksum is in it: 0xffff when that is right.
 * Not rte_raw_cksum_mbuf(), which in DPDK 22.11 is wrong where a segment
 * begins at an odd place.
 */
static uint16_t
udp_sum(const struct rte_mbuf *m, uint32_t udp_off, uint16_t pseudo)
{
	uint32_t sum = pseudo, done = 0;

	for (; m != NULL; m = m->next) {
		uint32_t len = m->data_len;
		uint16_t part;

		if (udp_off >= len) {
			udp_off -= len;
			continue;
		}
		part = rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const void *, udp_off),
				     len - udp_off);
		sum += done % 2 != 0 ? rte_bswap16(part) : part;
		done += len - udp_off;
		udp_off = 0;
	}
	return fold16(sum);
}

void
hwt_packet_udp6_checksum(const struct hwt_template *t, struct rte_mbuf *m)
{
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv6_hdr *, t->l3_off);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);

	udp->dgram_cksum = 0;
	udp->dgram_cksum =
		(uint16_t)~udp_sum(m, t->l3_off + sizeof(*ip), rte_ipv6_phdr_cksum(ip, 0));
	if (udp->dgram_cksum == 0)
		udp->dgram_cksum = 0xffff;
}

/* Word n of the pattern. */
static inline uint64_t
pattern_word(uint64_t key, uint64_t n)
{
	return rte_cpu_to_le_64(key + n * HWT_PATTERN_STEP);
}

static inline uint8_t
pattern_byte(uint64_t key, uint32_t offset)
{
	return (uint8_t)((key + (offset / 8) * HWT_PATTERN_STEP) >> (8 * (offset % 8)));
}

/* The pattern from byte offset on, len bytes. */
static void
pattern_write(uint8_t *p, uint32_t len, uint32_t offset, uint64_t key)
{
	uint64_t word;

	for (; offset % 8 != 0 && len > 0; len--)
		*p++ = pattern_byte(key, offset++);
	word = key + (offset / 8) * HWT_PATTERN_STEP;
	for (; len >= 8; len -= 8, p += 8, offset += 8) {
		hwt_put64(p, rte_cpu_to_le_64(word));
		word += HWT_PATTERN_STEP;
	}
	for (; len > 0; len--)
		*p++ = pattern_byte(key, offset++);
}

static bool
pattern_compare(const uint8_t *p, uint32_t len, uint32_t offset, uint64_t key)
{
	uint64_t differs = 0;
	uint32_t n, words;

	for (; offset % 8 != 0 && len > 0; len--)
		differs |= *p++ ^ pattern_byte(key, offset++);
	words = len / 8;
	for (n = 0; n < words; n++)
		differs |= hwt_get64(p + 8 * n) ^ pattern_word(key, offset / 8 + n);
	p += 8 * words;
	offset += 8 * words;
	for (len %= 8; len > 0; len--)
		differs |= *p++ ^ pattern_byte(key, offset++);
	return differs == 0;
}

void
hwt_packet_fill(struct rte_mbuf *m, uint32_t offset, uint64_t key)
{
	uint32_t done = 0;

	for (; m != NULL; m = m->next) {
		uint32_t len = m->data_len;

		if (offset >= len) {
			offset -= len;
			continue;
		}
		pattern_write(rte_pktmbuf_mtod_offset(m, uint8_t *, offset), len - offset, done,
			      key);
		done += len - offset;
		offset = 0;
	}
}

bool
hwt_packet_filled(const struct rte_mbuf *m, uint32_t offset, uint64_t key)
{
	uint32_t done = 0;

	for (; m != NULL; m = m->next) {
		uint32_t len = m->data_len;

		if (offset >= len) {
			offset -= len;
			continue;
		}
		if (!pattern_compare(rte_pktmbuf_mtod_offset(m, const uint8_t *, offset),
				     len - offset, done, key))
			return false;
		done += len - offset;
		offset = 0;
	}
	return true;
}

static bool
ipv4_valid(const struct rte_mbuf *m, const struct rte_ipv4_hdr *ip, uint32_t off)
{
	const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)(ip + 1);
	uint32_t len = m->pkt_len - off;

	return rte_be_to_cpu_16(ip->total_length) == len &&
	       rte_be_to_cpu_16(udp->dgram_len) == len - sizeof(*ip) &&
	       rte_raw_cksum(ip, sizeof(*ip)) == 0xffff &&
	       (udp->dgram_cksum == 0 ||
		udp_sum(m, off + sizeof(*ip), rte_ipv4_phdr_cksum(ip, 0)) == 0xffff);
}

static bool
ipv6_valid(const struct rte_mbuf *m, const struct rte_ipv6_hdr *ip, uint32_t off)
{
	return rte_be_to_cpu_16(ip->payload_len) + off + sizeof(*ip) == m->pkt_len &&
	       udp_sum(m, off + sizeof(*ip), rte_ipv6_phdr_cksum(ip, 0)) == 0xffff;
}

bool
hwt_packet_network_valid(const struct rte_mbuf *m, const uint8_t *frame)
{
	uint16_t type = hwt_get16(frame + 12);
	uint16_t off = RTE_ETHER_HDR_LEN;

	if (type == RTE_BE16(RTE_ETHER_TYPE_VLAN)) {
		type = hwt_get16(frame + 16);
		off += RTE_VLAN_HLEN;
	}
	if (type == RTE_BE16(RTE_ETHER_TYPE_IPV4))
		return ipv4_valid(m, (const struct rte_ipv4_hdr *)(frame + off), off);
	if (type == RTE_BE16(RTE_ETHER_TYPE_IPV6))
		return ipv6_valid(m, (const struct rte_ipv6_hdr *)(frame + off), off);
	return true;
}

uint32_t
hwt_packet_locate_slow(const uint8_t *frame, uint32_t len)
{
	uint32_t off = RTE_ETHER_HDR_LEN;
	bool udp = false;
	uint16_t type;

	if (len < HWT_SIZE_MIN)
		return 0;
	type = hwt_get16(frame + 12);
	if (type == RTE_BE16(RTE_ETHER_TYPE_VLAN)) {
		type = hwt_get16(frame + 16);
		off += RTE_VLAN_HLEN;
	}
	if (type == RTE_BE16(RTE_ETHER_TYPE_IPV4)) {
		if (frame[off] != 0x45 || frame[off + 9] != IPPROTO_UDP)
			return 0;
		off += sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr);
		udp = true;
	} else if (type == RTE_BE16(RTE_ETHER_TYPE_IPV6)) {
		if (frame[off + 6] != IPPROTO_UDP)
			return 0;
		off += sizeof(struct rte_ipv6_hdr) + sizeof(struct rte_udp_hdr);
		udp = true;
	} else if (type == RTE_BE16(RTE_ETHER_TYPE_ARP)) {
		off += sizeof(struct rte_arp_hdr);
	}
	if (off + HWT_HDR_LEN > len)
		return 0;
	if (udp && hwt_get16(frame + off - 6) != RTE_BE16(HWT_UDP_PORT))
		return 0;
	return frame[off] == HWT_MAGIC ? off : 0;
}
