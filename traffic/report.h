/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#ifndef HWT_REPORT_H
#define HWT_REPORT_H

#include <stdio.h>

#include <jansson.h>

#include "engine.h"
#include "ports.h"

struct hwt_report {
	const struct hwt_options *o;
	const struct hwt_engine *engine;
	const struct hwt_ports *ports;
	FILE *text;               /* interval lines and summary */
	uint64_t begin;           /* TSC when the run began */
	uint64_t end;             /* when the generator stopped, or 0 */
	uint64_t last;            /* TSC of the last interval */
	struct hwt_totals before; /* at the last interval */
	struct hwt_hist *hist_now;
	struct hwt_hist *hist_before;
	struct hwt_hist *hist_delta;
	json_t *intervals;
};

bool hwt_report_open(struct hwt_report *r, const struct hwt_options *o,
		     const struct hwt_engine *engine, const struct hwt_ports *ports);
void hwt_report_close(struct hwt_report *r);

/* The counters begin anew at 0. */
void hwt_report_reset(struct hwt_report *r, uint64_t now);

/* Close an interval: print its line, write the stats file, keep its numbers. */
void hwt_report_interval(struct hwt_report *r, uint64_t now);

/*
 * Totals as JSON.  final: the whole report; otherwise the present totals,
 * with losses as far as the sequence numbers show them.
 */
json_t *hwt_report_totals(struct hwt_report *r, uint64_t now, bool final);

/* Write JSON to a file, or as one line to standard output for "-". */
bool hwt_report_write(const char *path, json_t *json);

/* The closing lines for people. */
void hwt_report_summary(struct hwt_report *r, uint64_t now);

/* Is nothing lost, duplicated, reordered or corrupted? */
bool hwt_report_clean(const struct hwt_report *r);

#endif /* HWT_REPORT_H */
