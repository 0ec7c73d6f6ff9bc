/* SPDX-License-Identifier: BSD-3-Clause */
/* How long the set-up of a link region took: see timeline.h. */
#include <config.h>

#include "timeline.h"

#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>

#include "domain.h"
#include "journal.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

#define EARLY_NS     300000   /* between two looks at first, where nothing has to be plugged in, */
#define EARLY_US     10000    /* for so long; */
#define LOOK_MS      1        /* after that, */
#define LATE_LOOK_MS 5        /* and when it takes longer than */
#define LATE_US      500000   /* this */
#define GIVE_UP_US   10000000 /* nobody sends anything, or it is not even mapped */

void
hwy_timeline_start(struct hwy_timeline *t, long long int cause_us, long long int proof_us)
{
	memset(t, 0, sizeof *t);
	t->runs = cause_us != 0 && proof_us >= cause_us;
	t->at_us[HWY_STEP_CAUSE] = cause_us;
	t->at_us[HWY_STEP_DETECTED] = proof_us;
}

void
hwy_timeline_step(struct hwy_timeline *t, enum hwy_setup_step step)
{
	/* A guest may have found a device before its monitor says that it is there. */
	if (step == HWY_STEP_SEEN && t->plugs)
		hwy_timeline_step(t, HWY_STEP_PLUGGED);
	if (t->runs && t->at_us[step] == 0)
		t->at_us[step] = time_usec();
}

long long int
hwy_timeline_took(const struct hwy_timeline *t, enum hwy_setup_step step)
{
	return t->runs && t->at_us[step] != 0 ? t->at_us[step] - t->at_us[HWY_STEP_CAUSE] : -1;
}

void
hwy_timeline_tell(const struct hwy_timeline *t, enum hwy_setup_step last)
{
	static const char *const names[] = {
		[HWY_STEP_CAUSE] = "flow-mod",     [HWY_STEP_DETECTED] = "detected",
		[HWY_STEP_REGION] = "region made", [HWY_STEP_PLUGGED] = "plugged",
		[HWY_STEP_SEEN] = "seen",          [HWY_STEP_MAPPED] = "mapped",
		[HWY_STEP_OPENED] = "opened",      [HWY_STEP_CARRIED] = "first packet",
	};
	long long int before = t->at_us[HWY_STEP_CAUSE];

	for (int step = HWY_STEP_DETECTED; t->runs && step <= (int)last; step++) {
		if (t->at_us[step] == 0)
			continue;
		hwy_journal_part(names[step], MAX(t->at_us[step] - before, 0));
		before = MAX(before, t->at_us[step]);
	}
}

/* What the region of a port says of link region 'id'; nothing, if it is not there. */
static struct hwy_far_look
look_at(const struct hwy_ofport *port, uint64_t id)
{
	struct hwy_far_look look = {.seen = false};
	uint32_t hint = port->hint;
	uint32_t at = hwy_domain_port(port->domain, port->hwname, &hint);

	if (at != HWY_SNAP_NONE)
		hwy_domain_far_look(port->domain, at, id, &look);
	return look;
}

void
hwy_timeline_look(struct hwy_timeline *t, const struct hwy_ofport *x, const struct hwy_ofport *y,
		  uint64_t id)
{
	struct hwy_far_look of_x, of_y;

	if (!t->runs)
		return;
	if (x == NULL || y == NULL || t->at_us[HWY_STEP_CARRIED] != 0 ||
	    time_usec() - t->at_us[HWY_STEP_CAUSE] > GIVE_UP_US) {
		t->runs = false;
		return;
	}
	of_x = look_at(x, id);
	of_y = look_at(y, id);
	if (of_x.seen && of_y.seen)
		hwy_timeline_step(t, HWY_STEP_SEEN);
	if (of_x.mapped && of_y.mapped)
		hwy_timeline_step(t, HWY_STEP_MAPPED);
	if (of_x.open)
		hwy_timeline_step(t, HWY_STEP_OPENED);
	if (of_x.packets == 0)
		return;
	hwy_timeline_step(t, HWY_STEP_CARRIED);
	hwy_journal_note(HWY_EVENT_FIRST_PACKET, x->bridge->name, x->name, y->name,
			 hwy_timeline_took(t, HWY_STEP_CARRIED),
			 "the first packet from %s to %s has taken their link region", x->name,
			 y->name);
	hwy_timeline_tell(t, HWY_STEP_CARRIED);
}

static int timer = -1;

void
hwy_timeline_init(void)
{
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
}

/* Wakes the poll loop earlier than its own timers can.  False if that is not to be had. */
static bool
wait_early(void)
{
	const struct itimerspec soon = {.it_value.tv_nsec = EARLY_NS};

	/* To be set is to be unread. */
	if (timer < 0 || timerfd_settime(timer, 0, &soon, NULL) < 0)
		return false;
	poll_fd_wait(timer, POLLIN);
	return true;
}

void
hwy_timeline_wait(const struct hwy_timeline *t)
{
	long long int passed_us;

	if (!t->runs)
		return;
	passed_us = time_usec() - t->at_us[HWY_STEP_CAUSE];
	if (t->plugs || passed_us >= EARLY_US || !wait_early())
		poll_timer_wait(passed_us < LATE_US ? LOOK_MS : LATE_LOOK_MS);
}
