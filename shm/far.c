/* SPDX-License-Identifier: BSD-3-Clause */
#include "far.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "gate.h"
#include "port.h"

#define LOOK_MS  50  /* between two looks for a ledger that is not there, */
#define CHECK_MS 500 /* and whether it is still the one */
#define NO_LINK  UINT32_MAX
#define ORPHANS  64 /* slots of an earlier host at a time */

/* A link out of a port, as its receive calls see it. */
struct gates {
	const struct hwy_region *region; /* the link region */
	uint32_t end;                    /* X's */
	uint32_t n_down;
	struct hwy_ring *down[HWY_MAX_QUEUES];
};

struct hwy_far_port {
	struct hwy_far_port *next;
	struct hwy_host *host;
	struct hwy_region *region;
	uint32_t port;
	uint32_t id;
	uint32_t queues; /* as they were when it came */
	bool fresh;      /* its slots were not looked at yet for what an earlier host left */
	uint64_t since_ms;
	char name[HWY_NAME_SIZE];
	uint32_t busy; /* spin lock of what follows */
	uint32_t n_gates;
	struct gates gates[HWY_MAX_ATTACH];
};

struct side {
	struct hwy_far_port *port; /* NULL: gone */
	uint32_t slot, epoch;
	uint32_t out, in; /* links in its region, NO_LINK: none */
	bool forgotten;   /* 'in' was taken out of the list */
};

struct pair {
	enum hwy_far_state state;
	uint32_t life, done; /* of the entry; the last that has come to its end */
	uint64_t id;
	uint64_t deadline_ms;
	int why;
	struct hwy_region *region;
	struct side side[2];
};

struct hwy_far {
	pthread_mutex_t mutex;
	struct hwy_ledger ledger; /* .file: NULL if it is not there */
	uint64_t next_look_ms;
	uint32_t beat;
	uint64_t beat_ms;
	bool agent_alive;
	struct hwy_far_port *ports;
	struct pair pairs[HWY_LEDGER_ENTRIES];
	struct pair orphans[ORPHANS]; /* of no entry, and with one side only */
	char dir[PATH_MAX];
};

/* --- gates ------------------------------------------------------------------------ */

static void
spin_lock(uint32_t *word)
{
	while (__atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE) != 0)
		continue;
}

static void
spin_unlock(uint32_t *word)
{
	hwy_store_release(word, 0);
}

static void
gates_add(struct hwy_far_port *x, const struct hwy_far_port *y, const struct hwy_region *region,
	  uint32_t end)
{
	struct gates g = {.region = region, .end = end, .n_down = y->queues};

	for (uint32_t d = 0; d < g.n_down; d++)
		g.down[d] = hwy_region_ring(y->region, y->region->ports[y->port].down[d]).ring;
	spin_lock(&x->busy);
	if (x->n_gates < HWY_MAX_ATTACH)
		x->gates[x->n_gates++] = g;
	spin_unlock(&x->busy);
}

static void
gates_del(struct hwy_far_port *x, const struct hwy_region *region)
{
	uint32_t kept = 0;

	spin_lock(&x->busy);
	for (uint32_t i = 0; i < x->n_gates; i++) {
		if (x->gates[i].region != region)
			x->gates[kept++] = x->gates[i];
	}
	x->n_gates = kept;
	spin_unlock(&x->busy);
}

bool
hwy_far_answer(struct hwy_far_port *x, uint32_t queue, uint32_t up_cons, uint32_t *limit)
{
	bool answered = true;

	spin_lock(&x->busy);
	for (uint32_t i = 0; i < x->n_gates; i++) {
		const struct gates *g = &x->gates[i];
		uint32_t gate = *limit;

		if (!hwy_gate_answer(hwy_region_ring(g->region, HWY_LINK_RING(g->end, queue)).ring,
				     up_cons, g->down, g->n_down, &gate)) {
			*limit = hwy_earlier(*limit, gate);
			answered = false;
		}
	}
	spin_unlock(&x->busy);
	return answered;
}

/* --- both sides ------------------------------------------------------------------- */

static struct hwy_attach *
slot_of(const struct side *s)
{
	return hwy_region_attach(s->port->region, s->port->port, s->slot);
}

static const struct hwy_port *
port_of(const struct side *s)
{
	return &s->port->region->ports[s->port->port];
}

static bool
guest_attached(const struct side *s)
{
	return s->port != NULL && hwy_load_acquire(&port_of(s)->end[HWY_GUEST].client) != 0;
}

static bool
acknowledged(const struct side *s, enum hwy_attach_state state)
{
	return s->port != NULL && hwy_load_acquire(&slot_of(s)->ack) == HWY_ATTACH(s->epoch, state);
}

/* Has the guest end the link region mapped, as far as it says? */
static bool
has_mapped(const struct side *s)
{
	return acknowledged(s, HWY_ATTACH_MAPPED) || acknowledged(s, HWY_ATTACH_BROKEN);
}

static void
tell(const struct side *s, enum hwy_attach_state state)
{
	if (s->port != NULL)
		hwy_store_release(&slot_of(s)->want, HWY_ATTACH(s->epoch, state));
}

/* May a link lead to it, or from it? */
static bool
side_up(const struct side *s)
{
	const struct hwy_port *p;

	if (s->port == NULL)
		return false;
	p = port_of(s);
	return hwy_load(&p->state) == HWY_PORT_USED && hwy_end_up(&p->end[HWY_HOST]) &&
	       hwy_end_up(&p->end[HWY_GUEST]) && !hwy_load(&p->bypass_off) &&
	       !hwy_load(&s->port->region->hdr->bypass_off) &&
	       hwy_load(&p->permit) != HWY_PERMIT_NO;
}

static bool
mtu_fits(const struct side *x, const struct side *y)
{
	uint32_t mtu = hwy_load(&port_of(x)->end[HWY_GUEST].mtu);

	return mtu <= hwy_load(&port_of(y)->end[HWY_HOST].mtu) &&
	       mtu <= hwy_load(&port_of(y)->end[HWY_GUEST].mtu);
}

static bool
rings_empty(const struct pair *p, uint32_t sender)
{
	for (uint32_t q = 0; q < HWY_MAX_QUEUES && p->region != NULL; q++) {
		struct hwy_ring_at at = hwy_region_ring(p->region, HWY_LINK_RING(sender, q));
		uint32_t left = hwy_load_acquire(&at.ring->delivered);

		left = hwy_load_acquire(&at.ring->prod) - left;
		/* A ring's worth may be consumed and not delivered, and another one may wait;
		 * more is nonsense, to which nobody will ever get. */
		if (left != 0 && left <= 2 * (at.mask + 1))
			return false;
	}
	return true;
}

/* What X has counted is what Y's region is told: X cannot write there. */
static void
pair_sync(const struct pair *p)
{
	for (int e = 0; e < 2; e++) {
		const struct side *x = &p->side[e], *y = &p->side[1 - e];
		const struct hwy_link *from;
		struct hwy_link *to;

		if (x->port == NULL || y->port == NULL || x->out == NO_LINK || y->in == NO_LINK)
			continue;
		from = &x->port->region->links[x->out];
		to = &y->port->region->links[y->in];
		for (int q = 0; q < HWY_MAX_QUEUES; q++) {
			hwy_store(&to->queue[q].sent.packets,
				  hwy_load(&from->queue[q].sent.packets));
			hwy_store(&to->queue[q].sent.bytes, hwy_load(&from->queue[q].sent.bytes));
		}
	}
}

/* --- the states of a pair ----------------------------------------------------------- */

static void
enter(struct hwy_far *f, struct pair *p, enum hwy_far_state state, uint64_t within_ms)
{
	struct hwy_ledger_entry *entry;

	p->state = state;
	p->deadline_ms = hwy_monotonic_ms() + within_ms;
	if (p < f->pairs || p >= f->pairs + HWY_LEDGER_ENTRIES)
		return;
	entry = &f->ledger.file->entry[p - f->pairs];
	hwy_store(&entry->why, (uint32_t)p->why);
	hwy_store_release(&entry->answer,
			  HWY_LEDGER_ANSWER(p->life, state == HWY_FAR_NONE ? HWY_FAR_GONE : state));
}

static bool
late(const struct pair *p)
{
	return hwy_monotonic_ms() >= p->deadline_ms;
}

/* It has come to its end: the region is nobody's. */
static void
finish(struct hwy_far *f, struct pair *p)
{
	hwy_region_close(p->region);
	p->region = NULL;
	p->done = p->life;
	enter(f, p, HWY_FAR_NONE, 0);
}

/* Takes the links away from a side. */
static void
side_unlink(struct pair *p, struct side *s)
{
	if (s->port == NULL)
		return;
	gates_del(s->port, p->region);
	if (s->out != NO_LINK)
		hwy_host_far_free(s->port->host, s->port->port, s->out, true);
	if (s->in != NO_LINK) {
		if (!s->forgotten)
			hwy_host_far_forget(s->port->host, s->in);
		hwy_host_far_free(s->port->host, s->port->port, s->in, false);
	}
	s->out = s->in = NO_LINK;
}

static void
go_closing(struct hwy_far *f, struct pair *p)
{
	pair_sync(p);
	for (int e = 0; e < 2; e++) {
		side_unlink(p, &p->side[e]);
		tell(&p->side[e], HWY_ATTACH_CLOSING);
	}
	enter(f, p, HWY_FAR_CLOSING, HWY_FAR_UNMAP_MS);
}

static struct hwy_far_port *
port_find(struct hwy_far *f, const struct hwy_ledger_side *wanted)
{
	struct hwy_far_port *port;

	for (port = f->ports; port != NULL; port = port->next) {
		if (strncmp(port->region->geo.domain, wanted->region, HWY_NAME_SIZE) == 0 &&
		    strncmp(port->name, wanted->port, HWY_NAME_SIZE) == 0)
			return port;
	}
	return NULL;
}

static bool
slot_taken(const struct hwy_far *f, const struct hwy_far_port *port, uint32_t slot)
{
	for (int i = 0; i < HWY_LEDGER_ENTRIES + ORPHANS; i++) {
		const struct pair *p =
			i < HWY_LEDGER_ENTRIES ? &f->pairs[i] : &f->orphans[i - HWY_LEDGER_ENTRIES];

		for (int e = 0; e < 2 && p->state != HWY_FAR_NONE; e++) {
			if (p->side[e].port == port && p->side[e].slot == slot)
				return true;
		}
	}
	return false;
}

/* The slot that has this link region already, from an earlier host, or a free one. */
static uint32_t
slot_find(const struct hwy_far *f, const struct hwy_far_port *port, uint64_t id)
{
	uint32_t spare = UINT32_MAX;

	for (uint32_t s = 0; s < port->region->geo.attach_count; s++) {
		const struct hwy_attach *a = hwy_region_attach(port->region, port->port, s);
		uint64_t want = hwy_load(&a->want);

		if (slot_taken(f, port, s))
			continue;
		if (hwy_load(&a->id) == id && HWY_ATTACH_STATE(want) == HWY_ATTACH_USABLE)
			return s;
		if (spare == UINT32_MAX && HWY_ATTACH_STATE(want) == HWY_ATTACH_FREE)
			spare = s;
	}
	return spare;
}

static int
region_map(const struct hwy_far *f, uint64_t id, struct hwy_region **region)
{
	char name[HWY_NAME_SIZE], path[PATH_MAX + HWY_NAME_SIZE + 1];
	int fd, rc;

	snprintf(path, sizeof(path), "%s/%s", f->dir, hwy_link_region_name(id, name));
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	rc = hwy_link_region_map(fd, id, region, NULL);
	close(fd);
	return rc;
}

/* NONE to WANTED, or back with a reason. */
static void
begin(struct hwy_far *f, struct pair *p, const struct hwy_ledger_entry *entry)
{
	int rc;

	memset(p->side, 0, sizeof(p->side));
	for (int e = 0; e < 2; e++) {
		struct side *s = &p->side[e];

		s->port = port_find(f, &entry->side[e]);
		s->out = s->in = NO_LINK;
		if (!guest_attached(s))
			return; /* wait for it */
	}
	if (p->side[0].port == p->side[1].port)
		return;
	p->life = hwy_load(&entry->life);
	p->id = hwy_load(&entry->id);
	p->why = 0;
	rc = region_map(f, p->id, &p->region);
	for (int e = 0; e < 2 && rc == 0; e++) {
		p->side[e].slot = slot_find(f, p->side[e].port, p->id);
		if (p->side[e].slot == UINT32_MAX)
			rc = -ENOSPC;
	}
	if (rc < 0) {
		p->why = -rc;
		finish(f, p);
		return;
	}
	for (int e = 0; e < 2; e++) {
		struct side *s = &p->side[e];
		struct hwy_attach *a = slot_of(s);
		uint64_t want = hwy_load(&a->want);

		s->epoch = HWY_ATTACH_EPOCH(want);
		if (HWY_ATTACH_STATE(want) == HWY_ATTACH_USABLE && hwy_load(&a->id) == p->id)
			continue; /* and goes on, if the guest end still has it */
		s->epoch++;
		hwy_store(&a->id, p->id);
		hwy_store(&a->end, (uint32_t)e);
		snprintf(a->peer, sizeof(a->peer), "%s", entry->side[1 - e].port);
		tell(s, HWY_ATTACH_WANTED);
		hwy_host_far_call(s->port->host, s->port->port);
	}
	enter(f, p, HWY_FAR_WANTED, HWY_FAR_MAP_MS);
}

/* Makes the links of both directions, closed. */
static int
make_links(struct pair *p)
{
	for (uint32_t e = 0; e < 2; e++) {
		struct side *x = &p->side[e], *y = &p->side[1 - e];
		int in = hwy_host_far_link(y->port->host, y->port->port, false, y->slot, e,
					   x->port->queues);
		int out = hwy_host_far_link(x->port->host, x->port->port, true, x->slot, e,
					    x->port->queues);

		if (in >= 0)
			y->in = (uint32_t)in;
		if (out >= 0)
			x->out = (uint32_t)out;
		if (in < 0 || out < 0)
			return -ENOSPC;
		gates_add(x->port, y->port, p->region, e);
	}
	return 0;
}

static void
wanted_tick(struct hwy_far *f, struct pair *p, bool wanted)
{
	for (int e = 0; e < 2; e++) {
		if (acknowledged(&p->side[e], HWY_ATTACH_UNMAPPED))
			p->why = (int)hwy_load(&slot_of(&p->side[e])->error);
		if (!guest_attached(&p->side[e]) || acknowledged(&p->side[e], HWY_ATTACH_UNMAPPED))
			wanted = false;
	}
	if (wanted && acknowledged(&p->side[0], HWY_ATTACH_MAPPED) &&
	    acknowledged(&p->side[1], HWY_ATTACH_MAPPED)) {
		p->why = -make_links(p);
		if (p->why != 0) {
			go_closing(f, p);
			return;
		}
		tell(&p->side[0], HWY_ATTACH_USABLE);
		tell(&p->side[1], HWY_ATTACH_USABLE);
		enter(f, p, HWY_FAR_USABLE, 0);
	} else if (!wanted || late(p)) {
		if (wanted)
			p->why = ETIMEDOUT;
		go_closing(f, p);
	}
}

static void
usable_tick(struct hwy_far *f, struct pair *p, const struct hwy_ledger_entry *entry, bool wanted)
{
	uint64_t within_ms = HWY_FAR_DRAIN_MS;

	for (int e = 0; e < 2; e++) {
		if (acknowledged(&p->side[e], HWY_ATTACH_BROKEN)) {
			p->why = (int)hwy_load(&slot_of(&p->side[e])->error);
			within_ms = HWY_FAR_BROKEN_MS;
		}
		wanted = wanted && acknowledged(&p->side[e], HWY_ATTACH_MAPPED);
	}
	for (int e = 0; e < 2; e++) {
		struct side *x = &p->side[e], *y = &p->side[1 - e];
		bool on = wanted && f->agent_alive && hwy_load_acquire(&entry->proof[e]) == 1 &&
			  side_up(x) && side_up(y) && mtu_fits(x, y);

		if (x->port != NULL && y->port != NULL)
			hwy_host_far_route(x->port->host, x->port->port, y->port->id, x->out, on);
		if (y->port != NULL)
			hwy_host_far_show(y->port->host, y->in,
					  on && hwy_load(&x->port->region->links[x->out].state) ==
							  HWY_LINK_OPEN);
	}
	if (!wanted)
		enter(f, p, HWY_FAR_DRAINING, within_ms);
}

/* Has everything that X sent by the link been delivered, or is there nobody to deliver it
 * to?  Then Y need not look at it any more. */
static bool
drained(struct pair *p, int e)
{
	struct side *x = &p->side[e], *y = &p->side[1 - e];

	/* A queue that never sends never says that it has seen the routes; but if there was no
	 * route it has not used the link. */
	if (x->port != NULL && guest_attached(x) && has_mapped(x) && x->out != NO_LINK &&
	    hwy_load(&x->port->region->links[x->out].opened) != 0 &&
	    !hwy_host_far_left(x->port->host, x->port->port))
		return false;
	if (!guest_attached(y) || !has_mapped(y))
		return true;
	if (!hwy_end_up(&port_of(y)->end[HWY_GUEST]) || y->in == NO_LINK)
		return true; /* nobody polls */
	if (!y->forgotten) {
		if (!rings_empty(p, (uint32_t)e))
			return false;
		hwy_host_far_forget(y->port->host, y->in);
		y->forgotten = true;
	}
	/* An application that never receives never says that it has seen the list; the guest
	 * end knows best whether a queue still has the rings, and unmaps them then. */
	return true;
}

/* Both are looked at: each goes its way. */
static bool
drained_both(struct pair *p)
{
	bool first = drained(p, 0), second = drained(p, 1);

	return (first && second) || late(p);
}

static void
closing_tick(struct hwy_far *f, struct pair *p)
{
	bool all = true;

	for (int e = 0; e < 2; e++)
		all = all && (!guest_attached(&p->side[e]) ||
			      acknowledged(&p->side[e], HWY_ATTACH_UNMAPPED));
	if (!all && !late(p))
		return;
	for (int e = 0; e < 2; e++)
		tell(&p->side[e], HWY_ATTACH_FREE);
	finish(f, p);
}

static void
orphan_tick(struct hwy_far *f, struct pair *p)
{
	if (p->state == HWY_FAR_DRAINING && drained_both(p))
		go_closing(f, p);
	else if (p->state == HWY_FAR_CLOSING)
		closing_tick(f, p);
}

static void
pair_tick(struct hwy_far *f, struct pair *p)
{
	struct hwy_ledger_entry *entry = &f->ledger.file->entry[p - f->pairs];
	uint32_t state = hwy_load_acquire(&entry->state), life = hwy_load(&entry->life);
	bool wanted = state == HWY_LEDGER_WANTED && life == p->life;

	switch (p->state) {
	case HWY_FAR_NONE:
		if (state == HWY_LEDGER_FREE || life == p->done)
			return;
		if (state == HWY_LEDGER_WANTED) {
			begin(f, p, entry);
		} else {
			p->life = life;
			p->why = 0;
			finish(f, p);
		}
		return;
	case HWY_FAR_WANTED:
		wanted_tick(f, p, wanted);
		if (p->state == HWY_FAR_USABLE)
			usable_tick(f, p, entry, wanted);
		return;
	case HWY_FAR_USABLE:
		usable_tick(f, p, entry, wanted);
		pair_sync(p);
		return;
	case HWY_FAR_DRAINING:
		pair_sync(p);
		if (drained_both(p))
			go_closing(f, p);
		return;
	case HWY_FAR_CLOSING:
		closing_tick(f, p);
		return;
	case HWY_FAR_GONE:
		return;
	}
}

/* Does the ledger still want that link region? */
static bool
is_wanted(const struct hwy_far *f, uint64_t id)
{
	for (int i = 0; f->ledger.file != NULL && i < HWY_LEDGER_ENTRIES; i++) {
		if (hwy_load_acquire(&f->ledger.file->entry[i].state) == HWY_LEDGER_WANTED &&
		    hwy_load(&f->ledger.file->entry[i].id) == id)
			return true;
	}
	return false;
}

static struct pair *
orphan_new(struct hwy_far *f)
{
	for (int i = 0; i < ORPHANS; i++) {
		if (f->orphans[i].state == HWY_FAR_NONE)
			return &f->orphans[i];
	}
	return NULL;
}

/* The entry of a link of that slot which an earlier host has made. */
static uint32_t
link_left(const struct hwy_far_port *port, uint32_t slot, bool out)
{
	const struct hwy_region *r = port->region;

	for (uint32_t l = 0; l < r->geo.link_count; l++) {
		const struct hwy_link *link = &r->links[l];

		if (hwy_load(&link->state) != HWY_LINK_FREE &&
		    hwy_load(&link->attach) == slot + 1 &&
		    hwy_load(&link->src) == (out ? port->port : HWY_PORT_FAR) &&
		    hwy_load(&link->dst) == (out ? HWY_PORT_FAR : port->port))
			return l;
	}
	return NO_LINK;
}

/*
 * What an earlier host has left in the slots of a port and is not wanted any more is closed in
 * the same steps.  What is still wanted is taken up again by begin(), as soon as the other
 * port is there too; for that there is some time.
 */
static void
adopt(struct hwy_far *f, struct hwy_far_port *port)
{
	bool waits = hwy_monotonic_ms() < port->since_ms + HWY_FAR_MAP_MS;

	port->fresh = false;
	for (uint32_t s = 0; s < port->region->geo.attach_count; s++) {
		const struct hwy_attach *a = hwy_region_attach(port->region, port->port, s);
		uint64_t want = hwy_load(&a->want);
		struct pair *p;

		if (HWY_ATTACH_STATE(want) == HWY_ATTACH_FREE || slot_taken(f, port, s))
			continue;
		if (waits && (f->ledger.file == NULL || is_wanted(f, hwy_load(&a->id)))) {
			port->fresh = true;
			continue;
		}
		p = orphan_new(f);
		if (p == NULL) {
			port->fresh = true;
			return;
		}
		memset(p, 0, sizeof(*p));
		p->side[0] = (struct side){
			.port = port,
			.slot = s,
			.epoch = HWY_ATTACH_EPOCH(want),
			.out = link_left(port, s, true),
			.in = link_left(port, s, false),
		};
		p->side[1].out = p->side[1].in = NO_LINK;
		enter(f, p, HWY_FAR_DRAINING, HWY_FAR_DRAIN_MS);
	}
}

/* --- interface -------------------------------------------------------------------- */

/* The ledger that is there now; as long as pairs live, the one they are in. */
static void
ledger_follow(struct hwy_far *f, uint64_t now)
{
	if (now < f->next_look_ms)
		return;
	f->next_look_ms = now + (f->ledger.file != NULL ? CHECK_MS : LOOK_MS);
	if (f->ledger.file != NULL && !hwy_ledger_is_current(&f->ledger)) {
		for (int i = 0; i < HWY_LEDGER_ENTRIES; i++) {
			if (f->pairs[i].state != HWY_FAR_NONE) {
				/* Whoever removed it wants nothing any more. */
				hwy_store_release(&f->ledger.file->entry[i].state,
						  HWY_LEDGER_WITHDRAWN);
				return;
			}
			f->pairs[i].done = 0;
		}
		hwy_ledger_close(&f->ledger);
	}
	if (f->ledger.file == NULL && hwy_ledger_open(&f->ledger, f->dir, false, NULL) == 0) {
		f->beat = hwy_load(&f->ledger.file->agent_beat);
		f->agent_alive = false;
		f->next_look_ms = now + CHECK_MS;
	}
}

static void
agent_follow(struct hwy_far *f, uint64_t now)
{
	uint32_t beat = hwy_load_acquire(&f->ledger.file->agent_beat);

	if (beat != f->beat) {
		f->beat = beat;
		f->beat_ms = now;
		f->agent_alive = true;
	} else if (now - f->beat_ms > HWY_AGENT_LAPSE_MS) {
		f->agent_alive = false;
	}
}

int
hwy_far_new(const char *dir, struct hwy_far **far)
{
	struct hwy_far *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -ENOMEM;
	snprintf(f->dir, sizeof(f->dir), "%s", dir);
	f->ledger.fd = -1;
	pthread_mutex_init(&f->mutex, NULL);
	*far = f;
	return 0;
}

void
hwy_far_free(struct hwy_far *f)
{
	if (f == NULL)
		return;
	for (int i = 0; i < HWY_LEDGER_ENTRIES; i++)
		hwy_region_close(f->pairs[i].region);
	hwy_ledger_close(&f->ledger);
	pthread_mutex_destroy(&f->mutex);
	free(f);
}

struct hwy_far_port *
hwy_far_add(struct hwy_far *f, struct hwy_host *host, struct hwy_region *region, uint32_t port,
	    uint32_t id)
{
	struct hwy_far_port *new = calloc(1, sizeof(*new));
	uint32_t queues = hwy_load(&region->ports[port].queues);

	if (new == NULL)
		return NULL;
	new->host = host;
	new->region = region;
	new->port = port;
	new->id = id;
	new->queues = queues < HWY_MAX_QUEUES ? queues : HWY_MAX_QUEUES;
	snprintf(new->name, sizeof(new->name), "%.*s", HWY_NAME_SIZE - 1, region->ports[port].name);
	new->fresh = true;
	new->since_ms = hwy_monotonic_ms();
	pthread_mutex_lock(&f->mutex);
	new->next = f->ports;
	f->ports = new;
	pthread_mutex_unlock(&f->mutex);
	return new;
}

void
hwy_far_del(struct hwy_far *f, struct hwy_far_port *gone)
{
	pthread_mutex_lock(&f->mutex);
	for (struct hwy_far_port **at = &f->ports; *at != NULL; at = &(*at)->next) {
		if (*at == gone) {
			*at = gone->next;
			break;
		}
	}
	for (int i = 0; i < HWY_LEDGER_ENTRIES + ORPHANS; i++) {
		struct pair *p =
			i < HWY_LEDGER_ENTRIES ? &f->pairs[i] : &f->orphans[i - HWY_LEDGER_ENTRIES];

		if (p->state == HWY_FAR_NONE)
			continue;
		for (int e = 0; e < 2; e++) {
			struct side *s = &p->side[e], *other = &p->side[1 - e];

			if (s->port != gone)
				continue;
			pair_sync(p);
			if (other->port != NULL) {
				gates_del(other->port, p->region);
				if (other->out != NO_LINK)
					hwy_host_far_route(other->port->host, other->port->port,
							   gone->id, other->out, false);
			}
			if (s->out != NO_LINK && other->port != NULL)
				hwy_host_far_route(gone->host, gone->port, other->port->id, s->out,
						   false);
			side_unlink(p, s);
			tell(s, HWY_ATTACH_CLOSING);
			s->port = NULL;
		}
	}
	for (struct hwy_far_port *port = f->ports; port != NULL; port = port->next)
		hwy_host_far_gone(port->host, gone->id);
	pthread_mutex_unlock(&f->mutex);
	free(gone);
}

static bool
waits_for(const struct pair *p, const struct hwy_host *host)
{
	if (p->state != HWY_FAR_WANTED && p->state != HWY_FAR_CLOSING)
		return false; /* and its ports may be gone */
	for (int e = 0; e < 2; e++) {
		if (p->side[e].port != NULL && p->side[e].port->host == host)
			return true;
	}
	return false;
}

bool
hwy_far_tick(struct hwy_far *f, const struct hwy_host *host)
{
	uint64_t now = hwy_monotonic_ms();
	bool waits = false;

	pthread_mutex_lock(&f->mutex);
	ledger_follow(f, now);
	if (f->ledger.file != NULL) {
		agent_follow(f, now);
		for (int i = 0; i < HWY_LEDGER_ENTRIES; i++) {
			pair_tick(f, &f->pairs[i]);
			waits |= waits_for(&f->pairs[i], host);
		}
	}
	for (struct hwy_far_port *port = f->ports; port != NULL; port = port->next) {
		if (port->fresh)
			adopt(f, port);
	}
	for (int i = 0; i < ORPHANS; i++)
		orphan_tick(f, &f->orphans[i]);
	pthread_mutex_unlock(&f->mutex);
	return waits;
}

void
hwy_far_sync(struct hwy_far *f)
{
	pthread_mutex_lock(&f->mutex);
	for (int i = 0; i < HWY_LEDGER_ENTRIES; i++) {
		if (f->pairs[i].state == HWY_FAR_USABLE || f->pairs[i].state == HWY_FAR_DRAINING)
			pair_sync(&f->pairs[i]);
	}
	pthread_mutex_unlock(&f->mutex);
}
