/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happened: proofs, withdrawals, permits, links that open and close, bridges that come
 * and go.  Each event goes to the log once, and to a journal of bounded length.
 */
#ifndef HIGHWAY_AGENT_JOURNAL_H
#define HIGHWAY_AGENT_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#define HWY_JOURNAL_DEFAULT 1000
#define HWY_JOURNAL_MAX     1000000

enum hwy_event_kind {
	HWY_EVENT_BRIDGE,       /* a bridge is followed, or no longer */
	HWY_EVENT_DOMAIN,       /* a region is attached to, or left */
	HWY_EVENT_PROVEN,       /* a proof was published */
	HWY_EVENT_WITHDRAWN,    /* a proof was withdrawn */
	HWY_EVENT_PERMITTED,    /* a port may bypass the switch */
	HWY_EVENT_PROHIBITED,   /* a port may not */
	HWY_EVENT_OPENED,       /* a link carries packets */
	HWY_EVENT_CLOSED,       /* it carries none any more */
	HWY_EVENT_MAPPED,       /* two ports have a link region */
	HWY_EVENT_FIRST_PACKET, /* and a first packet has taken it */
	HWY_EVENT_VM_SEEN,      /* a virtual machine is known */
	HWY_EVENT_VM_GONE,      /* it has shut down, or QEMU is gone */
	HWY_EVENT_VM_RESET,
	HWY_EVENT_VM_PAUSED,
	HWY_EVENT_VM_RESUMED,
	HWY_EVENT_VM_FORGOTTEN, /* it is not followed any more */
};
#define HWY_N_EVENT_KINDS (HWY_EVENT_VM_FORGOTTEN + 1)

#define HWY_MAX_PARTS 8

struct hwy_event {
	uint64_t serial;     /* from 1 on */
	long long int at_ms; /* time_wall_msec() */
	enum hwy_event_kind kind;
	char *bridge, *port, *peer; /* NULL where there is none; a machine's name is 'peer' */
	long long int took_us;      /* from cause to effect; negative: not known */
	char *text;                 /* one sentence */

	/* What 'took_us' is made of, in this order. */
	struct hwy_event_part {
		const char *name; /* a constant */
		long long int us;
	} parts[HWY_MAX_PARTS];
	size_t n_parts;
};

const char *hwy_event_word(enum hwy_event_kind kind);

/* Logs the event and notes it.  'bridge', 'port' and 'peer' may be NULL. */
void hwy_journal_note(enum hwy_event_kind kind, const char *bridge, const char *port,
		      const char *peer, long long int took_us, const char *format, ...)
	__attribute__((format(printf, 6, 7)));

/* Adds to the event that was noted last how long a part of it took; also to the log. */
void hwy_journal_part(const char *name, long long int us);

/* Keeps at most 'size' events from now on. */
void hwy_journal_resize(size_t size);
size_t hwy_journal_size(void);

/* The events kept, oldest first: i from 0 to hwy_journal_count() - 1. */
size_t hwy_journal_count(void);
const struct hwy_event *hwy_journal_get(size_t i);
/* How many there were of a kind since the start. */
uint64_t hwy_journal_total(enum hwy_event_kind kind);

void hwy_journal_free(void);

#endif /* HIGHWAY_AGENT_JOURNAL_H */
