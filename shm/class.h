/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The class of a packet, as Open vSwitch would see it.
 *
 * Source of the rules: miniflow_extract() in Open vSwitch's lib/flow.c.  Whatever that
 * function treats specially and this one does not follow has no class and takes the
 * normal path: 802.3 frames with a length field, 802.1ad and stacked tags, IPv6 with
 * extension headers, fragments, headers that are too short or whose lengths do not
 * agree with the packet.
 */
#ifndef HIGHWAY_SHM_CLASS_H
#define HIGHWAY_SHM_CLASS_H

#include <stdbool.h>
#include <string.h>

#include "highway/layout.h"

#define HWY_ETH_IPV4     0x0800u
#define HWY_ETH_IPV6     0x86ddu
#define HWY_ETH_VLAN     0x8100u
#define HWY_ETH_QINQ     0x88a8u
#define HWY_ETH_MIN_TYPE 0x0600u /* below: a length (IEEE 802.3) */

/* Bytes from the start of a packet that hwy_class_of() looks at, at most. */
#define HWY_CLASS_LOOKS_AT 58

static inline uint64_t
hwy_class_key(uint16_t vlan_tci, uint16_t eth_type)
{
	uint64_t ip = eth_type == HWY_ETH_IPV4 || eth_type == HWY_ETH_IPV6;

	return (uint64_t)vlan_tci << 32 | (uint64_t)eth_type << 16 |
	       (ip ? HWY_CLASS_NO_FRAG : HWY_CLASS_NOT_IP);
}

/* That of untagged IPv4. */
#define HWY_CLASS_IPV4 ((uint64_t)HWY_ETH_IPV4 << 16 | HWY_CLASS_NO_FRAG)

static inline uint32_t
hwy_be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

/*
 * Is this packet untagged IPv4 without options and no fragment, with lengths that agree, as
 * hwy_class_of() would find?  Most packets are, and two loads tell.
 */
static inline bool
hwy_class_plain_ipv4(const uint8_t *p, uint32_t linear, uint32_t length)
{
	uint32_t first; /* ether type, version and header length, TOS */
	uint16_t fragment;
	uint32_t total;

	if (__builtin_expect(linear < 34, 0))
		return false;
	memcpy(&first, p + 12, sizeof(first));
	memcpy(&fragment, p + 20, sizeof(fragment));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	if ((first & 0xffffff) != 0x450008 || (fragment & 0xff3f) != 0)
		return false;
#else
	if (first >> 8 != 0x080045 || (fragment & 0x3fff) != 0)
		return false;
#endif
	total = hwy_be16(p + 16);
	return total >= 20 && length - 14 - total <= 255;
}

/* hwy_class_of() for all packets, one header after the other. */
static inline uint64_t
hwy_class_parse(const uint8_t *p, uint32_t linear, uint32_t length)
{
	uint32_t type, tci = 0, l3 = 14;

	if (linear < 14)
		return HWY_CLASS_NONE;
	type = hwy_be16(p + 12);
	if (type == HWY_ETH_VLAN) {
		if (linear < 18)
			return HWY_CLASS_NONE;
		tci = (hwy_be16(p + 14) & 0x0fff) | 0x1000;
		type = hwy_be16(p + 16);
		l3 = 18;
	}
	if (type == HWY_ETH_IPV4) {
		uint32_t ihl, total;

		if (linear < l3 + 20 || p[l3] >> 4 != 4)
			return HWY_CLASS_NONE;
		ihl = (p[l3] & 15) * 4u;
		total = hwy_be16(p + l3 + 2);
		if (ihl < 20 || total < ihl || total > length - l3 || length - l3 - total > 255 ||
		    (hwy_be16(p + l3 + 6) & 0x3fff) != 0)
			return HWY_CLASS_NONE;
	} else if (type == HWY_ETH_IPV6) {
		uint32_t payload, next;

		if (linear < l3 + 40 || p[l3] >> 4 != 6)
			return HWY_CLASS_NONE;
		payload = hwy_be16(p + l3 + 4);
		next = p[l3 + 6];
		/* Only protocols that no parser takes for an extension header. */
		if (payload > length - l3 - 40 || length - l3 - 40 - payload > 255 ||
		    (next != 6 && next != 17 && next != 58 && next != 132))
			return HWY_CLASS_NONE;
	} else if (type < HWY_ETH_MIN_TYPE || type == HWY_ETH_VLAN || type == HWY_ETH_QINQ) {
		return HWY_CLASS_NONE;
	}
	return hwy_class_key((uint16_t)tci, (uint16_t)type);
}

/*
 * Class of the packet whose first 'linear' bytes are at 'p' and which is 'length'
 * bytes long in all (linear <= length).  HWY_CLASS_NONE if it is not certain.
 */
static inline uint64_t
hwy_class_of(const uint8_t *p, uint32_t linear, uint32_t length)
{
	return __builtin_expect(hwy_class_plain_ipv4(p, linear, length), 1)
		       ? HWY_CLASS_IPV4
		       : hwy_class_parse(p, linear, length);
}

#endif /* HIGHWAY_SHM_CLASS_H */
