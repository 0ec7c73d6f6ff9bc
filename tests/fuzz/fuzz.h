/* SPDX-License-Identifier: BSD-3-Clause */
/* A fuzz target is one function; libFuzzer calls it, or fuzz_main.c does. */
#ifndef HIGHWAY_TESTS_FUZZ_H
#define HIGHWAY_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes that a random input has at most. */
extern const size_t fuzz_max_size;

#endif /* HIGHWAY_TESTS_FUZZ_H */
