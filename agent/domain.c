/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions that highwayd is the agent of: see domain.h. */
#include <config.h>

#include "domain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "bell.h"
#include "hash.h"
#include "journal.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "realm.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hwy_domain);

#define TRY_MS   100  /* between two looks for a region that is not there */
#define CHECK_MS 1000 /* between two looks whether the file is still the same */

struct hmap hwy_domains = HMAP_INITIALIZER(&hwy_domains);

/* --- users ------------------------------------------------------------------------ */

struct hwy_domain *
hwy_domain_ref(const char *name, const char *dir)
{
	char *key = dir != NULL ? xasprintf("%s/%s", dir, name) : xstrdup(name);
	struct hwy_domain *d;

	HMAP_FOR_EACH_WITH_HASH (d, node, hash_string(key, 0), &hwy_domains) {
		if (!strcmp(d->key, key)) {
			free(key);
			d->users++;
			return d;
		}
	}
	d = xzalloc(sizeof *d);
	d->key = key;
	d->name = xstrdup(name);
	d->dir = nullable_xstrdup(dir);
	d->users = 1;
	hmap_insert(&hwy_domains, &d->node, hash_string(key, 0));
	return d;
}

bool
hwy_domain_is_isolated(const struct hwy_domain *d)
{
	return d->name[0] == HWY_MARK_PORT;
}

static void
trouble(struct hwy_domain *d, const char *sentence)
{
	if (!nullable_string_is_equal(d->trouble, sentence)) {
		if (sentence != NULL)
			VLOG_WARN("domain %s: %s", d->name, sentence);
		free(d->trouble);
		d->trouble = nullable_xstrdup(sentence);
	}
}

static void
cut_short(struct hwy_domain *d)
{
	VLOG_WARN("domain %s: %s was cut short: it is left", d->name, d->region->path);
}

static void
detach(void *region)
{
	hwy_agent_detach(region);
}

static void
close_region(void *region)
{
	hwy_region_close(region);
}

static void
leave(struct hwy_domain *d, bool keep, const char *why)
{
	if (d->region == NULL)
		return;
	if (!keep && hwy_guarded(detach, d->region) < 0)
		cut_short(d);
	if (hwy_guarded(close_region, d->region) < 0)
		cut_short(d);
	d->region = NULL;
	memset(d->links, 0, sizeof d->links);
	d->generation = 0;
	hwy_journal_note(HWY_EVENT_DOMAIN, NULL, NULL, d->name, -1, "domain %s is left: %s",
			 d->name, why);
}

void
hwy_domain_unref(struct hwy_domain *d)
{
	if (d == NULL || --d->users > 0)
		return;
	leave(d, false, "no port of the database is in it any more");
	hmap_remove(&hwy_domains, &d->node);
	free(d->key);
	free(d->name);
	free(d->dir);
	free(d->trouble);
	free(d);
}

/* --- attaching -------------------------------------------------------------------- */

/* Is its file there?  hwy_region_open() would make one, which is not for us to do. */
static bool
file_exists(const struct hwy_domain *d)
{
	const char *const *dirs =
		d->dir != NULL ? (const char *const[]){d->dir, NULL} : hwy_default_dirs;
	bool found = false;

	for (; *dirs != NULL && !found; dirs++) {
		char *path = xasprintf("%s/%s", *dirs, d->name);

		found = access(path, F_OK) == 0;
		free(path);
	}
	return found;
}

struct attaching {
	struct hwy_domain *domain;
	struct hwy_region *region;
	int rc;
	char err[HWY_ERR_SIZE];
};

static void
attach(void *arg)
{
	struct attaching *a = arg;
	struct hwy_region_config config = {
		.dir = a->domain->dir,
		.domain = a->domain->name,
		.kind = a->domain->name[0] == HWY_MARK_PORT ? HWY_KIND_PORT : HWY_KIND_DOMAIN,
	};

	a->rc = hwy_region_open(&config, &a->region, a->err);
	if (a->rc < 0)
		return;
	a->rc = hwy_agent_attach(a->region, a->err);
	if (a->rc < 0)
		hwy_region_close(a->region);
}

static void
try_to_attach(struct hwy_domain *d)
{
	struct attaching a = {.domain = d, .rc = -EFAULT};

	d->next_try = time_msec() + TRY_MS;
	if (!file_exists(d)) {
		trouble(d, NULL);
		return;
	}
	if (hwy_guarded(attach, &a) < 0)
		snprintf(a.err, sizeof a.err, "its file was cut short: remove it");
	if (a.rc < 0) {
		trouble(d, a.err);
		d->next_try = time_msec() + CHECK_MS;
		return;
	}
	trouble(d, NULL);
	d->region = a.region;
	d->next_try = time_msec() + CHECK_MS;
	hwy_journal_note(HWY_EVENT_DOMAIN, NULL, NULL, d->name, -1, "domain %s is followed: %s",
			 d->name, d->region->path);
}

/* --- living with it --------------------------------------------------------------- */

static bool
same_file(const struct hwy_region *r)
{
	struct stat ours, there;

	return fstat(r->fd, &ours) == 0 && stat(r->path, &there) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* A region that nobody but us is in has nobody to agree or disagree with us, and its file
 * should go with its last user. */
static bool
nobody_else(const struct hwy_region *r)
{
	for (uint32_t c = 1; c < HWY_MAX_CLIENTS; c++) {
		if (c != r->me && hwy_lock_held(r->fd, HWY_LOCK_CLIENT(c)))
			return false;
	}
	return true;
}

static void
beat(void *region)
{
	hwy_agent_beat(region);
}

void
hwy_domains_run(void)
{
	struct hwy_domain *d;

	HMAP_FOR_EACH (d, node, &hwy_domains) {
		if (d->region != NULL && hwy_guarded(beat, d->region) < 0) {
			cut_short(d);
			leave(d, true, "its file was cut short");
		}
	}
	HMAP_FOR_EACH (d, node, &hwy_domains) {
		if (time_msec() < d->next_try)
			continue;
		if (d->region == NULL) {
			try_to_attach(d);
			continue;
		}
		d->next_try = time_msec() + CHECK_MS;
		if (!same_file(d->region))
			leave(d, false, "its file was removed");
		else if (nobody_else(d->region))
			leave(d, false, "nobody else is in it any more");
	}
}

void
hwy_domains_wait(void)
{
	struct hwy_domain *d;

	HMAP_FOR_EACH (d, node, &hwy_domains)
		poll_timer_wait_until(d->next_try);
}

void
hwy_domains_exit(bool keep)
{
	struct hwy_domain *d;

	HMAP_FOR_EACH (d, node, &hwy_domains)
		leave(d, keep, "highwayd ends");
}

/* --- words ------------------------------------------------------------------------ */

struct finding {
	const struct hwy_region *region;
	const char *name;
	uint32_t *hint;
	uint32_t found;
};

static bool
is_port(const struct hwy_region *r, uint32_t port, const char *name)
{
	return port < r->geo.port_count &&
	       hwy_load_acquire(&r->ports[port].state) == HWY_PORT_USED &&
	       !strncmp(r->ports[port].name, name, HWY_NAME_SIZE);
}

static void
find(void *arg)
{
	struct finding *f = arg;

	f->found = *f->hint;
	if (is_port(f->region, f->found, f->name))
		return;
	for (f->found = 0; f->found < f->region->geo.port_count; f->found++) {
		if (is_port(f->region, f->found, f->name))
			return;
	}
	f->found = HWY_SNAP_NONE;
}

uint32_t
hwy_domain_port(struct hwy_domain *d, const char *name, uint32_t *hint)
{
	struct finding f = {.region = d->region, .name = name, .hint = hint};

	if (d->region == NULL || hwy_guarded(find, &f) < 0)
		return HWY_SNAP_NONE;
	*hint = f.found;
	return f.found;
}

struct wording {
	struct hwy_region *region;
	uint32_t port;
	struct hwy_words words;
};

static void
read_words(void *arg)
{
	struct wording *w = arg;

	w->words.permit = hwy_load(&w->region->ports[w->port].permit);
	w->words.proof = hwy_agent_proof(w->region, w->port);
}

static void
write_words(void *arg)
{
	struct wording *w = arg;

	/* What takes something away goes first. */
	if (w->words.permit != HWY_PERMIT_YES)
		hwy_agent_permit(w->region, w->port, w->words.permit);
	hwy_agent_prove(w->region, w->port, w->words.proof);
	if (w->words.permit == HWY_PERMIT_YES)
		hwy_agent_permit(w->region, w->port, w->words.permit);
}

bool
hwy_domain_read(struct hwy_domain *d, uint32_t port, struct hwy_words *words)
{
	struct wording w = {.region = d->region, .port = port};

	if (d->region == NULL || hwy_guarded(read_words, &w) < 0)
		return false;
	*words = w.words;
	return true;
}

bool
hwy_domain_write(struct hwy_domain *d, uint32_t port, const struct hwy_words *words)
{
	struct wording w = {.region = d->region, .port = port, .words = *words};

	return d->region != NULL && hwy_guarded(write_words, &w) == 0;
}

/* --- virtual machines ------------------------------------------------------------- */

struct holding {
	struct hwy_region *region;
	uint32_t port;
	struct hwy_holder holder;
	enum hwy_said what;
};

static void
find_holder(void *arg)
{
	struct holding *h = arg;
	uint32_t c = hwy_load(&h->region->ports[h->port].end[HWY_GUEST].client);
	const struct hwy_client *client;
	uint64_t said;

	if (c == 0 || c >= HWY_MAX_CLIENTS)
		return;
	client = &h->region->clients[c];
	if (hwy_load_acquire(&client->state) != HWY_CLIENT_USED || hwy_load(&client->realm) == 0)
		return;
	h->holder.client = c;
	h->holder.life = hwy_load(&client->life);
	said = hwy_load(&client->said);
	if (HWY_SAID_LIFE(said) == h->holder.life)
		h->holder.said = HWY_SAID_WHAT(said);
}

bool
hwy_domain_holder(struct hwy_domain *d, uint32_t port, struct hwy_holder *holder)
{
	struct holding h = {.region = d->region, .port = port};

	if (d->region == NULL || hwy_guarded(find_holder, &h) < 0)
		return false;
	*holder = h.holder;
	return h.holder.client != 0;
}

static void
find_guest(void *arg)
{
	struct holding *h = arg;

	h->holder.client = hwy_load_acquire(&h->region->ports[h->port].end[HWY_GUEST].client);
}

bool
hwy_domain_has_guest(struct hwy_domain *d, uint32_t port)
{
	struct holding h = {.region = d->region, .port = port};

	return d->region != NULL && hwy_guarded(find_guest, &h) == 0 && h.holder.client != 0 &&
	       h.holder.client < HWY_MAX_CLIENTS;
}

static void
say(void *arg)
{
	const struct holding *h = arg;

	hwy_client_say(h->region, h->holder.client, h->holder.life, h->what);
}

void
hwy_domain_say(struct hwy_domain *d, const struct hwy_holder *holder, enum hwy_said what)
{
	struct holding h = {.region = d->region, .holder = *holder, .what = what};

	if (d->region != NULL && holder->client != 0 && hwy_guarded(say, &h) < 0)
		cut_short(d);
}

/* --- links ------------------------------------------------------------------------ */

/* Name of a port at one end of link 'l', whose other end is 'other'. */
static void
port_name(const struct hwy_region *r, uint32_t l, uint32_t port, uint32_t other,
	  char name[HWY_NAME_SIZE])
{
	uint32_t slot = hwy_load(&r->links[l].attach) - 1;

	if (port < r->geo.port_count)
		ovs_strlcpy(name, r->ports[port].name, HWY_NAME_SIZE);
	else if (other < r->geo.port_count && slot < r->geo.attach_count)
		ovs_strlcpy(name, hwy_region_attach(r, other, slot)->peer, HWY_NAME_SIZE);
	else
		ovs_strlcpy(name, "?", HWY_NAME_SIZE);
}

struct link_change {
	char src[HWY_NAME_SIZE], dst[HWY_NAME_SIZE];
	uint32_t was, is;
	uint64_t since_ns;
};

struct link_reading {
	const struct hwy_region *region;
	struct hwy_link_seen *seen;
	struct link_change *changes; /* room for 2 * HWY_MAX_LINKS */
	size_t n;
	uint64_t generation;
};

static bool
carries(uint32_t state)
{
	return state == HWY_LINK_OPEN;
}

static void
note(struct link_reading *l, uint32_t index, uint32_t src, uint32_t dst, uint32_t was, uint32_t is,
     uint64_t since)
{
	struct link_change *c = &l->changes[l->n++];

	port_name(l->region, index, src, dst, c->src);
	port_name(l->region, index, dst, src, c->dst);
	c->was = was;
	c->is = is;
	c->since_ns = since;
}

static void
read_links(void *arg)
{
	struct link_reading *l = arg;

	l->generation = 1;
	for (uint32_t i = 0; i < l->region->geo.port_count; i++)
		l->generation = l->generation * 0x100000001b3u +
				hwy_load(&l->region->ports[i].life) * 2ull +
				(hwy_load(&l->region->ports[i].state) == HWY_PORT_USED);
	for (uint32_t i = 0; i < l->region->geo.link_count; i++) {
		const struct hwy_link *link = &l->region->links[i];
		struct hwy_link_seen *old = &l->seen[i];
		struct hwy_link_seen new = {
			.state = hwy_load_acquire(&link->state),
			.src = hwy_load(&link->src),
			.dst = hwy_load(&link->dst),
			.opened = hwy_load(&link->opened),
		};
		bool same = old->src == new.src && old->dst == new.dst;
		uint64_t since = hwy_load(&link->since_ns);

		/* What comes from another region is told there. */
		if (new.src == HWY_PORT_FAR)
			new.state = HWY_LINK_FREE;
		/* It may have closed and opened again since we looked. */
		if (carries(old->state) &&
		    (!carries(new.state) || !same || new.opened != old->opened))
			note(l, i, old->src, old->dst, old->state,
			     same && !carries(new.state) ? new.state : HWY_LINK_CLOSING, since);
		if (carries(new.state) &&
		    (!carries(old->state) || !same || new.opened != old->opened))
			note(l, i, new.src, new.dst, same ? old->state : HWY_LINK_FREE, new.state,
			     since);
		*old = new;
	}
}

bool
hwy_domain_watch(struct hwy_domain *d, hwy_link_changed *changed)
{
	static struct link_change changes[2 * HWY_MAX_LINKS];
	struct link_reading l = {.region = d->region, .seen = d->links, .changes = changes};
	bool moved;

	if (d->region == NULL || hwy_guarded(read_links, &l) < 0)
		return false;
	moved = l.generation != d->generation;
	d->generation = l.generation;
	for (size_t i = 0; i < l.n; i++)
		changed(d, changes[i].src, changes[i].dst, changes[i].was, changes[i].is,
			changes[i].since_ns);
	return moved;
}

/* --- link regions ----------------------------------------------------------------- */

struct far_looking {
	const struct hwy_region *region;
	uint32_t port;
	uint64_t id;
	struct hwy_far_look *look;
};

static void
far_look(void *arg)
{
	const struct far_looking *f = arg;
	const struct hwy_region *r = f->region;
	uint32_t slot = 0;

	for (; slot < r->geo.attach_count; slot++) {
		const struct hwy_attach *a = hwy_region_attach(r, f->port, slot);
		uint64_t want = hwy_load_acquire(&a->want);
		uint32_t epoch = HWY_ATTACH_EPOCH(want);

		if (hwy_load(&a->id) != f->id || HWY_ATTACH_STATE(want) == HWY_ATTACH_FREE)
			continue;
		f->look->seen = hwy_load_acquire(&a->seen) == epoch;
		f->look->mapped = hwy_load_acquire(&a->ack) == HWY_ATTACH(epoch, HWY_ATTACH_MAPPED);
		break;
	}
	for (uint32_t l = 0; slot < r->geo.attach_count && l < r->geo.link_count; l++) {
		const struct hwy_link *link = &r->links[l];

		if (hwy_load_acquire(&link->state) != HWY_LINK_OPEN ||
		    hwy_load(&link->attach) != slot + 1 || hwy_load(&link->src) != f->port)
			continue;
		f->look->open = true;
		for (int q = 0; q < HWY_MAX_QUEUES; q++)
			f->look->packets += hwy_load(&link->queue[q].sent.packets);
	}
}

void
hwy_domain_far_look(struct hwy_domain *d, uint32_t port, uint64_t id, struct hwy_far_look *look)
{
	struct far_looking f = {.region = d->region, .port = port, .id = id, .look = look};

	memset(look, 0, sizeof *look);
	if (d->region != NULL && hwy_guarded(far_look, &f) < 0)
		cut_short(d);
}

static void
ring(void *region)
{
	hwy_bell_ring(region);
}

void
hwy_domain_ring(struct hwy_domain *d)
{
	if (d->region != NULL && hwy_guarded(ring, d->region) < 0)
		cut_short(d);
}

struct hwy_snap *
hwy_domain_look(const struct hwy_domain *d)
{
	return d->region != NULL ? hwy_snap_take(d->region, false) : NULL;
}
