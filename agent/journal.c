/* SPDX-License-Identifier: BSD-3-Clause */
/* What happened: see journal.h. */
#include <config.h>

#include "journal.h"

#include <stdarg.h>
#include <stdlib.h>

#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hwy_event);

/* A ring: 'count' events, the oldest in slot 'first'. */
static struct hwy_event *ring;
static size_t size = HWY_JOURNAL_DEFAULT, first, count;
static uint64_t serial;
static uint64_t totals[HWY_N_EVENT_KINDS];

const char *
hwy_event_word(enum hwy_event_kind kind)
{
	static const char *const words[] = {
		[HWY_EVENT_BRIDGE] = "bridge",         [HWY_EVENT_DOMAIN] = "domain",
		[HWY_EVENT_PROVEN] = "proven",         [HWY_EVENT_WITHDRAWN] = "withdrawn",
		[HWY_EVENT_PERMITTED] = "permitted",   [HWY_EVENT_PROHIBITED] = "prohibited",
		[HWY_EVENT_OPENED] = "opened",         [HWY_EVENT_CLOSED] = "closed",
		[HWY_EVENT_MAPPED] = "mapped",         [HWY_EVENT_FIRST_PACKET] = "first-packet",
		[HWY_EVENT_VM_SEEN] = "vm-seen",       [HWY_EVENT_VM_GONE] = "vm-gone",
		[HWY_EVENT_VM_RESET] = "vm-reset",     [HWY_EVENT_VM_PAUSED] = "vm-paused",
		[HWY_EVENT_VM_RESUMED] = "vm-resumed", [HWY_EVENT_VM_FORGOTTEN] = "vm-forgotten",
	};

	return words[kind];
}

static void
forget(struct hwy_event *e)
{
	free(e->bridge);
	free(e->port);
	free(e->peer);
	free(e->text);
}

void
hwy_journal_note(enum hwy_event_kind kind, const char *bridge, const char *port, const char *peer,
		 long long int took_us, const char *format, ...)
{
	struct hwy_event *e;
	va_list args;

	if (ring == NULL)
		ring = xcalloc(size, sizeof ring[0]);
	e = &ring[(first + count) % size];
	if (count == size) {
		forget(e);
		first = (first + 1) % size;
	} else {
		count++;
	}
	totals[kind]++;
	serial++;
	va_start(args, format);
	*e = (struct hwy_event){
		.serial = serial,
		.at_ms = time_wall_msec(),
		.kind = kind,
		.bridge = nullable_xstrdup(bridge),
		.port = nullable_xstrdup(port),
		.peer = nullable_xstrdup(peer),
		.took_us = took_us,
		.text = xvasprintf(format, args),
	};
	va_end(args);
	VLOG_INFO("%s: %s", hwy_event_word(kind), e->text);
}

void
hwy_journal_part(const char *name, long long int us)
{
	struct hwy_event *e = count > 0 ? &ring[(first + count - 1) % size] : NULL;

	if (e == NULL || e->n_parts == HWY_MAX_PARTS)
		return;
	e->parts[e->n_parts++] = (struct hwy_event_part){.name = name, .us = us};
	VLOG_INFO("%s: of that, %s: %.3f ms", hwy_event_word(e->kind), name, (double)us / 1e3);
}

void
hwy_journal_resize(size_t new_size)
{
	struct hwy_event *new_ring;
	size_t keep = MIN(count, new_size);

	if (new_size == size)
		return;
	new_ring = xcalloc(new_size, sizeof new_ring[0]);
	for (size_t i = 0; i < count; i++) {
		struct hwy_event *e = &ring[(first + i) % size];

		if (i < count - keep)
			forget(e);
		else
			new_ring[i - (count - keep)] = *e;
	}
	free(ring);
	ring = new_ring;
	size = new_size;
	first = 0;
	count = keep;
}

size_t
hwy_journal_size(void)
{
	return size;
}

size_t
hwy_journal_count(void)
{
	return count;
}

const struct hwy_event *
hwy_journal_get(size_t i)
{
	return &ring[(first + i) % size];
}

uint64_t
hwy_journal_total(enum hwy_event_kind kind)
{
	return totals[kind];
}

void
hwy_journal_free(void)
{
	for (size_t i = 0; i < count; i++)
		forget(&ring[(first + i) % size]);
	free(ring);
	ring = NULL;
	first = count = 0;
}
