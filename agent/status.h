/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a port in one place: what policy, rules and region say of it.  For reports and
 * metrics.
 */
#ifndef HIGHWAY_AGENT_STATUS_H
#define HIGHWAY_AGENT_STATUS_H

#include "domain.h"
#include "model.h"

/* How a port's packets travel now, as the region says. */
enum hwy_travel {
	HWY_TRAVEL_SWITCH,  /* by the switch, all of them */
	HWY_TRAVEL_CLASSES, /* some classes by links */
	HWY_TRAVEL_PROOF,   /* all by one link, no header is read */
};
const char *hwy_travel_word(enum hwy_travel travel);

/* Snapshots of all domains, each taken once. */
struct hwy_status {
	struct hmap snaps; /* by domain */
};
void hwy_status_init(struct hwy_status *snaps);
void hwy_status_destroy(struct hwy_status *snaps);
/* The snapshot of the domain, or NULL if its region is not there. */
const struct hwy_snap *hwy_status_snap(struct hwy_status *snaps, const struct hwy_domain *d);

/* The port's entry in the snapshot, or NULL. */
const struct hwy_snap_port *hwy_status_port(const struct hwy_snap *s,
					    const struct hwy_ofport *port);
enum hwy_travel hwy_status_travel(const struct hwy_snap_port *port);

/* The interface that is 'hwname' in the domain, or NULL. */
const struct hwy_ofport *hwy_status_owner(const struct hwy_domain *d, const char *hwname);

/*
 * Why the region carries nothing, or not all, of a port that may bypass: a sentence without
 * the final stop, or NULL if there is nothing to say.  To be freed.
 */
char *hwy_status_region_reason(const struct hwy_snap *s, const struct hwy_ofport *x);

#endif /* HIGHWAY_AGENT_STATUS_H */
