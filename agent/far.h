/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Links between ports of different regions: what links.c has proved becomes a link region and
 * an entry of the ledger of their folder (shm/ledger.h), and guest ends that are to map the
 * region get it through a socket there.
 *
 * An entry is taken back, and its region removed when nobody uses it any more, as soon as
 * neither direction is proved.  Of two ports that did not manage, the next try is later.
 */
#ifndef HIGHWAY_AGENT_FAR_H
#define HIGHWAY_AGENT_FAR_H

#include "model.h"

/* Could a link between them be?  Their regions lie in one folder. */
bool hwy_far_possible(const struct hwy_ofport *x, const struct hwy_ofport *y);

void hwy_far_run(void);
void hwy_far_wait(void);

/* Withdraws everything; with 'keep', as one who will be back at once. */
void hwy_far_exit(bool keep);

#endif /* HIGHWAY_AGENT_FAR_H */
