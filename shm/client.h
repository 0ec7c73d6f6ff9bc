/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients of a region: processes that have it open for writing. */
#ifndef HIGHWAY_SHM_CLIENT_H
#define HIGHWAY_SHM_CLIENT_H

#include "region.h"

/* Fills slot 'c', which is being taken, in for this process: region->me. */
void hwy_client_fill(struct hwy_region *region, uint32_t c, uint64_t realm);

/* Takes a free client slot for this process: region->me.  -EBUSY if all are taken. */
int hwy_client_attach(struct hwy_region *region, char *err);
void hwy_client_detach(struct hwy_region *region);

/* As hwy_client_detach(), for a caller that holds the lock. */
void hwy_client_release(struct hwy_region *region);

/* True if no other client is alive.  The caller holds the lock. */
bool hwy_client_alone(const struct hwy_region *region);

/* Pid and name of the process in 'slot', for messages: "pid 17 (testpmd)". */
void hwy_client_describe(const struct hwy_region *region, uint32_t slot, char *text, size_t size);

#endif /* HIGHWAY_SHM_CLIENT_H */
