/* SPDX-License-Identifier: BSD-3-Clause */
/* Chooses the burst functions by what the processor has and EAL allows. */
#include "isa.h"

#include <rte_cpuflags.h>
#include <rte_vect.h>

const struct hwy_bursts *
hwy_isa_bursts(enum hwy_role role, const char **name)
{
#ifdef HWY_HAVE_AVX
	uint16_t width = rte_vect_get_max_simd_bitwidth();

	if (width >= RTE_VECT_SIMD_512 && rte_cpu_get_flag_enabled(RTE_CPUFLAG_AVX512F) > 0) {
		*name = "avx512";
		return role == HWY_HOST ? &hwy_host_bursts_avx512 : &hwy_guest_bursts_avx512;
	}
	if (width >= RTE_VECT_SIMD_256 && rte_cpu_get_flag_enabled(RTE_CPUFLAG_AVX2) > 0) {
		*name = "avx2";
		return role == HWY_HOST ? &hwy_host_bursts_avx2 : &hwy_guest_bursts_avx2;
	}
#endif
	*name = "base";
	return role == HWY_HOST ? &hwy_host_bursts_base : &hwy_guest_bursts_base;
}
