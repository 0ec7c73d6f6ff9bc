/* SPDX-License-Identifier: BSD-3-Clause */
/* How long the set-up of a link region took, and what of it took how long. */
#ifndef HIGHWAY_AGENT_TIMELINE_H
#define HIGHWAY_AGENT_TIMELINE_H

#include "model.h"

/* In this order; a step that there was none of is at 0. */
enum hwy_setup_step {
	HWY_STEP_CAUSE,    /* the flow-mod was heard of */
	HWY_STEP_DETECTED, /* a proof was given */
	HWY_STEP_REGION,   /* the link region is there */
	HWY_STEP_PLUGGED,  /* the machines have it as a device */
	HWY_STEP_SEEN,     /* both guest ends have found it, */
	HWY_STEP_MAPPED,   /* and mapped it */
	HWY_STEP_OPENED,   /* the link may be used */
	HWY_STEP_CARRIED,  /* and was, by a first packet */
};
#define HWY_N_STEPS (HWY_STEP_CARRIED + 1)

struct hwy_timeline {
	bool runs;
	bool plugs;                       /* there is to be a step HWY_STEP_PLUGGED */
	long long int at_us[HWY_N_STEPS]; /* time_usec() */
};

/* Once, at the beginning: makes the timer that looks at new links go by; without it they are looked
 * at each millisecond. */
void hwy_timeline_init(void);

/* The cause is of 'cause_us' and was understood at 'proof_us'; no time line if these are not
 * known. */
void hwy_timeline_start(struct hwy_timeline *t, long long int cause_us, long long int proof_us);

/* That step is done by now, if it was not before. */
void hwy_timeline_step(struct hwy_timeline *t, enum hwy_setup_step step);

/* Looks how far link region 'id' between x and y is, x's packets being the ones to come first;
 * either may be NULL.  Ends the time line when there is nothing more to come. */
void hwy_timeline_look(struct hwy_timeline *t, const struct hwy_ofport *x,
		       const struct hwy_ofport *y, uint64_t id);

/* Wakes the main loop for the next look. */
void hwy_timeline_wait(const struct hwy_timeline *t);

/* From the cause to a step; -1 if one of them is not known. */
long long int hwy_timeline_took(const struct hwy_timeline *t, enum hwy_setup_step step);

/* Adds the parts up to 'last' to the event that was noted last. */
void hwy_timeline_tell(const struct hwy_timeline *t, enum hwy_setup_step last);

#endif /* HIGHWAY_AGENT_TIMELINE_H */
