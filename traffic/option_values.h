/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#ifndef HWT_OPTION_VALUES_H
#define HWT_OPTION_VALUES_H

/*
 * Readers of option values.  Each prints one sentence that names option,
 * value and remedy and returns false when the value is bad.
 */

#include "options.h"

bool hwt_bad_value(const char *option, const char *value, const char *remedy);

/* A whole number from min to max, hexadecimal with 0x; prints nothing. */
bool hwt_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *value);

bool hwt_option_number(const char *option, const char *text, uint64_t min, uint64_t max,
		       uint64_t *value);
bool hwt_option_u16(const char *option, const char *text, uint16_t min, uint16_t max,
		    uint16_t *out);
bool hwt_option_u32(const char *option, const char *text, uint32_t min, uint32_t max,
		    uint32_t *out);
bool hwt_option_seconds(const char *option, const char *text, double *out);
bool hwt_option_on_off(const char *option, const char *text, bool *out);
bool hwt_option_size(struct hwt_options *o, const char *option, const char *text);
bool hwt_option_eth_types(struct hwt_options *o, const char *option, const char *text);
bool hwt_option_vlans(struct hwt_options *o, const char *option, const char *text);
bool hwt_option_mac(const char *option, const char *text, struct rte_ether_addr *mac);
bool hwt_option_name(const char *option, const char *text, size_t max);

#endif /* HWT_OPTION_VALUES_H */
