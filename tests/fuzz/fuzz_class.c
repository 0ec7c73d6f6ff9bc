/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hwy_class_of() on anything.  Checked against a second reading of the rules, written
 * the other way round: what must hold of a packet that was given a class.
 *
 * Input: three bytes that choose the header to start from, the rest is laid over it.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "class.h"

const size_t fuzz_max_size = 128;

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static void
check(const uint8_t *p, uint32_t linear, uint32_t length)
{
	uint64_t key = hwy_class_of(p, linear, length);
	uint32_t type = (uint32_t)(key >> 16) & 0xffff, tci = (uint32_t)(key >> 32), l3;

	if (key == HWY_CLASS_NONE)
		return;
	MUST(key != HWY_CLASS_ALL && key >> 48 == 0);
	MUST(type >= HWY_ETH_MIN_TYPE && type != HWY_ETH_VLAN && type != HWY_ETH_QINQ);
	MUST(linear >= 14);
	if (tci == 0) {
		l3 = 14;
	} else {
		MUST(linear >= 18 && hwy_be16(p + 12) == HWY_ETH_VLAN);
		MUST(tci >> 12 == 1 && (hwy_be16(p + 14) & 0xfff) == (tci & 0xfff));
		l3 = 18;
	}
	MUST(hwy_be16(p + l3 - 2) == type);
	if (type == HWY_ETH_IPV4) {
		MUST((key & 0xffff) == HWY_CLASS_NO_FRAG && linear >= l3 + 20);
		MUST((p[l3] & 0xf0) == 0x40 && (p[l3] & 15) >= 5);
		MUST(l3 + hwy_be16(p + l3 + 2) <= length);
		MUST(hwy_be16(p + l3 + 2) >= (p[l3] & 15) * 4u);
		MUST((p[l3 + 6] & 0x3f) == 0 && p[l3 + 7] == 0);
	} else if (type == HWY_ETH_IPV6) {
		MUST((key & 0xffff) == HWY_CLASS_NO_FRAG && linear >= l3 + 40);
		MUST((p[l3] & 0xf0) == 0x60);
		MUST(l3 + 40 + hwy_be16(p + l3 + 4) <= length);
		switch (p[l3 + 6]) { /* extension headers, and IPv6 in OVS's list of them */
		case 0:
		case 43:
		case 44:
		case 50:
		case 51:
		case 60:
		case 135:
		case 139:
		case 140:
			abort();
		}
	} else {
		MUST((key & 0xffff) == HWY_CLASS_NOT_IP);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = {0x0800, 0x86dd, 0x0806, 0x8847, 0x8100, 0x88a8, 46, 0x600};
	uint8_t header[64] = {0};
	uint32_t l3 = 14, linear, length;
	uint8_t *exact;

	check(data, (uint32_t)size, (uint32_t)size);
	if (size < 4)
		return 0;
	/* A header that is nearly right, with some of its bytes changed. */
	if (data[0] & 1) {
		header[12] = 0x81;
		header[14] = data[3];
		l3 = 18;
	}
	header[l3 - 2] = (uint8_t)(types[data[0] >> 1 & 7] >> 8);
	header[l3 - 1] = (uint8_t)types[data[0] >> 1 & 7];
	linear = data[1] % 65u;
	length = linear + (data[0] >> 4) * 40u;
	if ((data[0] >> 1 & 7) == 0) {
		uint32_t total = length > l3 ? length - l3 : 0;

		header[l3] = 0x45;
		header[l3 + 2] = (uint8_t)(total >> 8);
		header[l3 + 3] = (uint8_t)total;
	} else if ((data[0] >> 1 & 7) == 1) {
		uint32_t payload = length > l3 + 40 ? length - l3 - 40 : 0;

		header[l3] = 0x60;
		header[l3 + 4] = (uint8_t)(payload >> 8);
		header[l3 + 5] = (uint8_t)payload;
		header[l3 + 6] = data[2] & 0x80 ? 17 : data[2];
	}
	for (size_t i = 4; i + 1 < size && i < 4 + (data[2] & 7u) * 2; i += 2)
		header[data[i] % 64] ^= data[i + 1];
	exact = malloc(linear + 1);
	if (exact == NULL)
		return 0;
	memcpy(exact + 1, header, linear);
	check(exact + 1, linear, length);
	free(exact);
	return 0;
}
