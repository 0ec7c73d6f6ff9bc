/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The burst functions are compiled several times, for vectors of 128, 256 and 512 bits
 * (meson.build gives HWY_ISA and the compiler's flags), and chosen when a port is made.
 * What differs is how a slot is copied: hwy_copy_slot().
 */
#ifndef HIGHWAY_PMD_ISA_H
#define HIGHWAY_PMD_ISA_H

#include <ethdev_driver.h>

#include "port.h"

#ifndef HWY_ISA
#define HWY_ISA base
#endif
#define HWY_ISA_PASTE(name, isa)  name##_##isa
#define HWY_ISA_EXPAND(name, isa) HWY_ISA_PASTE(name, isa)
#define HWY_ISA_NAME(name)        HWY_ISA_EXPAND(name, HWY_ISA)

struct hwy_bursts {
	eth_rx_burst_t rx;
	eth_tx_burst_t tx;
};

extern const struct hwy_bursts hwy_guest_bursts_base, hwy_host_bursts_base;
#ifdef HWY_HAVE_AVX
extern const struct hwy_bursts hwy_guest_bursts_avx2, hwy_host_bursts_avx2;
extern const struct hwy_bursts hwy_guest_bursts_avx512, hwy_host_bursts_avx512;
#endif

/* The best ones that this processor has and EAL allows.  isa.c */
const struct hwy_bursts *hwy_isa_bursts(enum hwy_role role, const char **name);

#endif /* HIGHWAY_PMD_ISA_H */
