/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "option_values.h"

bool
hwt_bad_value(const char *option, const char *value, const char *remedy)
{
	fprintf(stderr, "highway-traffic: --%s %s is not valid; %s.\n", option, value, remedy);
	return false;
}

bool
hwt_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	bool hex = strncmp(text, "0x", 2) == 0;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, hex ? 16 : 10);
	return errno == 0 && *end == '\0' && *value >= min && *value <= max;
}

static bool
parse_real(const char *text, double max, double *value)
{
	char *end;

	if ((*text < '0' || *text > '9') && *text != '.')
		return false;
	errno = 0;
	*value = strtod(text, &end);
	return errno == 0 && end != text && *end == '\0' && isfinite(*value) && *value >= 0 &&
	       *value <= max;
}

bool
hwt_parse_rate(const char *text, uint64_t *rate)
{
	double value, factor = 1;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	value = strtod(text, &end);
	if (*end == 'k' || *end == 'K')
		factor = 1e3;
	else if (*end == 'm' || *end == 'M')
		factor = 1e6;
	else if (*end == 'g' || *end == 'G')
		factor = 1e9;
	if (factor > 1)
		end++;
	value *= factor;
	if (*end != '\0' || !isfinite(value) || value > 1e12 || (value > 0 && value < 1))
		return false;
	*rate = (uint64_t)(value + 0.5);
	return true;
}

bool
hwt_option_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	char remedy[96];

	if (hwt_parse_number(text, min, max, value))
		return true;
	snprintf(remedy, sizeof(remedy), "give a whole number from %llu to %llu",
		 (unsigned long long)min, (unsigned long long)max);
	return hwt_bad_value(option, text, remedy);
}

bool
hwt_option_u16(const char *option, const char *text, uint16_t min, uint16_t max, uint16_t *out)
{
	uint64_t value = 0;

	if (!hwt_option_number(option, text, min, max, &value))
		return false;
	*out = (uint16_t)value;
	return true;
}

bool
hwt_option_u32(const char *option, const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t value = 0;

	if (!hwt_option_number(option, text, min, max, &value))
		return false;
	*out = (uint32_t)value;
	return true;
}

bool
hwt_option_seconds(const char *option, const char *text, double *out)
{
	if (parse_real(text, 1e6, out))
		return true;
	return hwt_bad_value(option, text, "give seconds from 0 to 1000000");
}

bool
hwt_option_on_off(const char *option, const char *text, bool *out)
{
	if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
		return hwt_bad_value(option, text, "give on or off");
	*out = strcmp(text, "on") == 0;
	return true;
}

bool
hwt_option_size(struct hwt_options *o, const char *option, const char *text)
{
	static const uint16_t imix[] = {
		64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594, 64,
	};
	uint64_t low, high, i;
	char first[16];
	const char *dash = strchr(text, '-');

	if (strcmp(text, "imix") == 0) {
		memcpy(o->sizes, imix, sizeof(imix));
		o->nb_sizes = RTE_DIM(imix);
		return true;
	}
	if (dash != NULL && (size_t)(dash - text) < sizeof(first)) {
		memcpy(first, text, dash - text);
		first[dash - text] = '\0';
	} else {
		snprintf(first, sizeof(first), "%s", text);
		dash = NULL;
	}
	if (!hwt_parse_number(first, HWT_SIZE_MIN, HWT_SIZE_MAX, &low) ||
	    !hwt_parse_number(dash != NULL ? dash + 1 : first, low, HWT_SIZE_MAX, &high))
		return hwt_bad_value(option, text,
				     "give a frame length from 60 to 9018, a range of them such as "
				     "64-1518, or imix");
	o->nb_sizes = (uint16_t)(high - low + 1);
	for (i = 0; i < o->nb_sizes; i++)
		o->sizes[i] = (uint16_t)(low + i);
	return true;
}

/* Read a list of Ethernet types or VLAN numbers, separated by commas. */
static bool
option_list(const char *option, const char *text, const char *remedy,
	    bool (*item)(const char *, uint16_t *), uint16_t *list, uint16_t *nb)
{
	char copy[256], *save = NULL, *word;

	*nb = 0;
	if (strlen(text) >= sizeof(copy))
		return hwt_bad_value(option, text, remedy);
	strcpy(copy, text);
	for (word = strtok_r(copy, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
		if (*nb == HWT_MAX_LIST || !item(word, &list[*nb]))
			return hwt_bad_value(option, text, remedy);
		(*nb)++;
	}
	return *nb > 0 || hwt_bad_value(option, text, remedy);
}

static bool
item_eth_type(const char *text, uint16_t *type)
{
	uint64_t value;

	if (strcmp(text, "ipv4") == 0) {
		*type = RTE_ETHER_TYPE_IPV4;
	} else if (strcmp(text, "ipv6") == 0) {
		*type = RTE_ETHER_TYPE_IPV6;
	} else if (strcmp(text, "arp") == 0) {
		*type = RTE_ETHER_TYPE_ARP;
	} else {
		if (strncmp(text, "0x", 2) != 0 || !hwt_parse_number(text, 0x600, 0xffff, &value) ||
		    value == RTE_ETHER_TYPE_VLAN)
			return false;
		*type = (uint16_t)value;
	}
	return true;
}

static bool
item_vlan(const char *text, uint16_t *vlan)
{
	uint64_t value;

	if (!hwt_parse_number(text, 0, 4094, &value))
		return false;
	*vlan = (uint16_t)value;
	return true;
}

bool
hwt_option_mac(const char *option, const char *text, struct rte_ether_addr *mac)
{
	if (rte_ether_unformat_addr(text, mac) == 0)
		return true;
	return hwt_bad_value(option, text,
			     "give six bytes in hexadecimal such as 02:00:00:00:00:01");
}

bool
hwt_option_name(const char *option, const char *text, size_t max)
{
	char remedy[64];

	if (*text != '\0' && strlen(text) <= max)
		return true;
	snprintf(remedy, sizeof(remedy), "give a name of 1 to %zu characters", max);
	return hwt_bad_value(option, text, remedy);
}

bool
hwt_option_eth_types(struct hwt_options *o, const char *option, const char *text)
{
	return option_list(option, text,
			   "give a list of at most 16 of ipv4, ipv6, arp or 0xNNNN from 0x0600 on, "
			   "without 0x8100",
			   item_eth_type, o->types, &o->nb_types);
}

bool
hwt_option_vlans(struct hwt_options *o, const char *option, const char *text)
{
	return option_list(option, text,
			   "give a list of at most 16 numbers from 0 (untagged) to 4094", item_vlan,
			   o->vlans, &o->nb_vlans);
}
