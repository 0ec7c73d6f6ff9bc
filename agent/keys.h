/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * highwayd's keys in the database, all of which begin with "highway-": which there are, in
 * which tables, and what is wrong with those that somebody has written.
 *
 * A complaint is logged when it comes up, once, and again only after it had gone; explain
 * tells those that stand.  The keys are listed in highwayd(8).
 */
#ifndef HIGHWAY_AGENT_KEYS_H
#define HIGHWAY_AGENT_KEYS_H

#include "openvswitch/types.h"

struct smap;

/* A reading of the database begins, and ends: what nobody has complained of in between no
 * longer stands. */
void hwy_keys_begin(void);
void hwy_keys_end(void);
void hwy_keys_free(void);

/* Complains of keys of the row 'name' ("." for the only one) of 'table' that are none of ours
 * but look like it, or belong elsewhere. */
void hwy_keys_check(const char *table, const char *name, const struct smap *other_config,
		    const struct smap *external_ids);

/* Complains of that row, in one sentence without the final stop. */
void hwy_keys_complain(const char *table, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The i-th standing complaint of that row, from 0 on; NULL if there is none. */
const char *hwy_keys_trouble(const char *table, const char *name, size_t i);

#endif /* HIGHWAY_AGENT_KEYS_H */
