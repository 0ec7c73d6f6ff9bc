/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients of another realm: processes in virtual machines, whose kernel's locks are not
 * seen here.
 *
 *   what                    realm 0 (this kernel)         another realm
 *   takes a client slot     under the control lock        by compare-and-swap
 *   makes ports             yes                           no: the host end does
 *   takes an end            lock, then compare-and-swap   by compare-and-swap
 *   lives, as is known by   its lock                      its beat
 *   leaves an end, ends     cleans up after itself        says so; realm 0 cleans up
 *   sweeps after the dead   yes                           no
 *
 * A client of another realm is dead when somebody who knows says so (hwy_client_say()), or
 * when it has not beaten for HWY_BEAT_LAPSE_MS and nobody has said that it is only paused.
 * Inside one virtual machine the locks on the device's file hold as usual: they keep two of
 * its processes apart, and tell one that its predecessor is dead.
 */
#ifndef HIGHWAY_SHM_REALM_H
#define HIGHWAY_SHM_REALM_H

#include "region.h"

#define HWY_BEAT_LAPSE_MS 5000
/* For how long a new client waits for its predecessor to be cleaned up after. */
#define HWY_TAKE_OVER_MS 15000

/* A number for this boot of this kernel, never 0. */
uint64_t hwy_realm_own(void);

/* Takes a client slot, the one that was free for longest.  -EBUSY. */
int hwy_realm_attach(struct hwy_region *region, char *err);

/* To be called every few milliseconds.  False: this client was taken for dead and cleaned
 * up after, all that it had in the region is gone. */
bool hwy_realm_beat(struct hwy_region *region);

/* Is end HWY_GUEST of the port still this client's?  To be asked before the port is used: who was
 * paused for too long may have lost it to another. */
static inline bool
hwy_realm_holds(const struct hwy_region *region, uint32_t port)
{
	return hwy_load_acquire(&region->ports[port].end[HWY_GUEST].client) == region->me &&
	       hwy_load(&region->clients[region->me].life) == region->life;
}

/*
 * Takes end HWY_GUEST of port 'name', which must be there; NULL: the first one that is
 * free and has a host end.  Waits for a predecessor that is dead to be cleaned up after,
 * HWY_TAKE_OVER_MS at most.  -ENOENT, -EBUSY, -EINVAL.
 */
int hwy_realm_take_end(struct hwy_region *region, const char *name, uint32_t queues, uint32_t *port,
		       char *err);
void hwy_realm_leave_end(struct hwy_region *region, uint32_t port);

/* Is client 'c', in use, dead?  For realm 0, its lock is then the caller's. */
bool hwy_client_dead(struct hwy_region *region, uint32_t c);

/* Says of client 'c' in its life 'life' what the caller knows of its virtual machine; a
 * successor in the slot is not concerned. */
static inline void
hwy_client_say(struct hwy_region *region, uint32_t c, uint32_t life, enum hwy_said what)
{
	hwy_store_release(&region->clients[c].said, HWY_SAID(life, what));
}

#endif /* HIGHWAY_SHM_REALM_H */
