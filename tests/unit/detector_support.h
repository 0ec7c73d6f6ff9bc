/* SPDX-License-Identifier: BSD-3-Clause */
/* What the detector's unit tests share: a bridge with p1..p8, and short words for it. */
#ifndef HIGHWAY_TESTS_DETECTOR_SUPPORT_H
#define HIGHWAY_TESTS_DETECTOR_SUPPORT_H

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "detector.h"
#include "flow.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

#include "../detector/rules.h"

#define UP (HWY_PORT_HIGHWAY | HWY_PORT_LIVE)
/* A port that is no highway port. */
#define LAN 9

extern struct hwy_detector *bridge;

/* cmocka set-up and tear-down of each test: 'bridge' with the ports, no rules. */
int bridge_make(void **state);
int bridge_remove(void **state);

/* Rules and groups as for ovs-ofctl; the test fails if the text is wrong. */
void flow(const char *text);
void delete_flow(const char *text);
void group(const char *text);
void port(unsigned int number, unsigned int flags);

/* "p1 to p2 by ...", or the reason; until the next call. */
const char *explain(unsigned int in_port);

#define expect_link(x, y)      expect_link_at(x, y, __FILE__, __LINE__)
#define expect_none(x, reason) expect_none_at(x, reason, __FILE__, __LINE__)
/* A proof that all packets of 'x' go to 'y'. */
void expect_link_at(unsigned int x, unsigned int y, const char *file, int line);
/* No proof, with exactly this reason. */
void expect_none_at(unsigned int x, const char *reason, const char *file, int line);

/* "p1>p2 p3>-" for each port that the run reports, in its order; until the next call. */
const char *changes(void);

#endif
