/* SPDX-License-Identifier: BSD-3-Clause */
/* What the unit tests share: a folder for regions, small regions, children. */
#ifndef HIGHWAY_TESTS_SUPPORT_H
#define HIGHWAY_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host.h"

#define TEST_SIZE (1ULL << 20) /* 8 ports, 32 links */

/* cmocka group set-up and tear-down: an empty folder of this process's own. */
int test_dir_make(void **state);
int test_dir_remove(void **state);
const char *test_dir(void);

/* Removes what an earlier test left in the folder. */
void test_dir_clean(void);

/* True if the folder holds nothing. */
bool test_dir_empty(void);

/* "folder/name", in a buffer that the next call overwrites. */
const char *test_path(const char *name);

/* Opens domain "unit" with TEST_SIZE and rings of 64 entries; fails the test if that
 * does not work. */
struct hwy_region *test_region(void);
struct hwy_region_config test_config(void);

/* Both ends of port 'name' attached and started through 'region', MTU 1500. */
uint32_t test_port_up(struct hwy_region *region, const char *name, uint32_t queues);

/* A fresh region with ports x, y and z up, and its host. */
struct hwy_host *test_host_up(struct hwy_region **region, uint32_t *x, uint32_t *y, uint32_t *z);

/*
 * Runs 'body' in a child, which may end by returning, by test_child_wait() going
 * wrong, or by a signal.  The value that it returns is its exit status.
 */
struct test_child {
	pid_t pid;
	int to;   /* the parent says "go on" */
	int from; /* the child says "I am there" */
};
void test_child_start(struct test_child *child, int (*body)(struct test_child *, void *),
		      void *arg);
/* Parent and child: tell the other side one byte, wait for one byte (30 s at most). */
void test_tell(struct test_child *child);
bool test_wait(struct test_child *child);
/* Exit status, or 256 + signal. */
int test_child_end(struct test_child *child);

/* Seed of this run: $HIGHWAY_SEED or the time.  It is printed. */
uint64_t test_seed(void);
uint64_t test_random(uint64_t *state);

/* In a child: a check that ends it with the line number on failure. */
#define CHILD_CHECK(condition)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			print_error("%s:%d: %s\n", __FILE__, __LINE__, #condition);                \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

#define assert_contains(text, part)                                                                \
	do {                                                                                       \
		if (strstr((text), (part)) == NULL)                                                \
			fail_msg("\"%s\" does not contain \"%s\"", (text), (part));                \
	} while (0)

#endif /* HIGHWAY_TESTS_SUPPORT_H */
