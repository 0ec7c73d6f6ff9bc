/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * highwayctl check: does everything in a region add up?
 *
 * The region goes on changing while it is looked at, and living clients clean up after
 * dead ones by themselves.  So only that is wrong which stays wrong: what the first look
 * finds is looked for again, and again.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "highwayctl.h"

#define LOOKS        10
#define LOOK_EVERY_S 0.1
#define MAX_WRONGS   256

enum kind {
	DEAD_CLIENT,
	LEAKED_CHUNKS,
	DEAD_END,
	DEAD_HOST,
	HALF_CHANGED,
	BAD_ROUTE,
	BAD_LINK,
	NOT_POLLED,
	BAD_IN_LINK,
	BAD_RING,
	BAD_TAG,
};

struct wrong {
	enum kind kind;
	uint32_t index; /* of whatever is wrong */
	char text[200];
};

struct look {
	const struct hwy_region *region;
	struct hwy_snap *s;
	uint32_t *users; /* per ring: the tag that it should have */
	size_t n;
	struct wrong wrongs[MAX_WRONGS];
};

static void __attribute__((format(printf, 4, 5)))
wrong(struct look *look, enum kind kind, uint32_t index, const char *format, ...)
{
	struct wrong *w = &look->wrongs[look->n];
	va_list args;

	if (look->n == MAX_WRONGS)
		return;
	look->n++;
	w->kind = kind;
	w->index = index;
	va_start(args, format);
	vsnprintf(w->text, sizeof(w->text), format, args);
	va_end(args);
}

static void
check_clients(struct look *look)
{
	const struct hwy_snap *s = look->s;

	for (uint32_t c = 1; c <= HWY_MAX_CLIENTS; c++) {
		const struct hwy_snap_client *client = c < HWY_MAX_CLIENTS ? &s->clients[c] : NULL;

		if (client != NULL && client->used && !client->alive)
			wrong(look, DEAD_CLIENT, c,
			      "client %u, pid %u (%s), is dead and nobody has cleaned up after it: "
			      "it "
			      "holds %u buffers",
			      c, client->pid, client->comm, s->census.held[c]);
		if (s->census.held[c] > 0 && (client == NULL || (!client->used && !client->alive)))
			wrong(look, LEAKED_CHUNKS, c,
			      "%u buffers are leaked: they belong to client %u, which is not in "
			      "use",
			      s->census.held[c], c);
	}
	if (s->host != 0 && !s->host_alive)
		wrong(look, DEAD_HOST, 0, "the host, pid %u (%s), is dead", s->clients[s->host].pid,
		      s->clients[s->host].comm);
}

static void
check_ports(struct look *look)
{
	const struct hwy_snap *s = look->s;

	for (uint32_t p = 0; p < s->geo.port_count; p++) {
		const struct hwy_snap_port *port = &s->ports[p];

		if (!port->used)
			continue;
		for (uint32_t role = HWY_HOST; role <= HWY_GUEST; role++) {
			if (port->end[role].client != 0 && !port->end[role].alive)
				wrong(look, DEAD_END, 2 * p + role,
				      "port %s: nobody holds its %s end although client %u should",
				      port->name, role == HWY_HOST ? "host" : "guest",
				      port->end[role].client);
		}
		if (port->queues < 1 || port->queues > HWY_MAX_QUEUES || !hwy_name_ok(port->name))
			wrong(look, BAD_LINK, 0x10000 + p, "port %s has a damaged entry",
			      port->name);
		if (hwy_load(&look->region->ports[p].route_seq) & 1)
			wrong(look, HALF_CHANGED, p,
			      "port %s: a change of its routes was not finished", port->name);
		for (uint32_t i = 0; i < port->n_routes; i++) {
			const struct hwy_snap_route *route = &port->routes[i];
			char word[HWY_WORD_SIZE];

			if (route->link == HWY_SNAP_NONE || s->links[route->link].src != p ||
			    s->links[route->link].state != HWY_LINK_OPEN)
				wrong(look, BAD_ROUTE, p * HWY_MAX_ROUTES + i,
				      "port %s: the route of %s leads to no open link of the port",
				      port->name, hwy_word_class(route->key, word));
		}
	}
}

/* How often is 'link' among those that port 'dst' polls? */
static uint32_t
polled(const struct hwy_region *r, uint32_t dst, uint32_t link)
{
	uint32_t times = 0;

	for (uint32_t i = 0; i < hwy_load(&r->ports[dst].n_in) && i < HWY_MAX_IN_LINKS; i++) {
		if (hwy_load(&r->ports[dst].in_links[i]) == link)
			times++;
	}
	return times;
}

/* Can a link have such an end? */
static bool
is_end(const struct hwy_snap *s, uint32_t port)
{
	return port < HWY_MAX_PORTS ? s->ports[port].used : port != HWY_SNAP_NONE;
}

static void
check_links(struct look *look)
{
	const struct hwy_snap *s = look->s;

	for (uint32_t l = 0; l < s->geo.link_count; l++) {
		const struct hwy_snap_link *link = &s->links[l];
		uint32_t times;

		if (link->state == HWY_LINK_FREE)
			continue;
		if (link->state > HWY_LINK_RETIRING || !is_end(s, link->src) ||
		    !is_end(s, link->dst) || link->src == link->dst || link->queues < 1 ||
		    link->queues > HWY_MAX_QUEUES) {
			wrong(look, BAD_LINK, l, "link %u from %s to %s has a damaged entry", l,
			      hwy_snap_port_name(s, link->src), hwy_snap_port_name(s, link->dst));
			continue;
		}
		if (link->dst >= HWY_SNAP_FAR)
			continue; /* the other region knows who polls it */
		times = polled(look->region, link->dst, l);
		if ((link->state == HWY_LINK_READY || link->state == HWY_LINK_OPEN ||
		     link->state == HWY_LINK_CLOSING) &&
		    times != 1)
			wrong(look, NOT_POLLED, l,
			      "link %u from %s to %s is %s, but polled %u times instead of once", l,
			      hwy_snap_port_name(s, link->src), s->ports[link->dst].name,
			      hwy_word_link_state(link->state), times);
	}
	for (uint32_t p = 0; p < s->geo.port_count; p++) {
		const struct hwy_port *port = &look->region->ports[p];

		for (uint32_t i = 0;
		     s->ports[p].used && i < hwy_load(&port->n_in) && i < HWY_MAX_IN_LINKS; i++) {
			uint32_t l = hwy_load(&port->in_links[i]);

			if (l >= s->geo.link_count || s->links[l].state == HWY_LINK_FREE ||
			    s->links[l].dst != p)
				wrong(look, BAD_IN_LINK, p * HWY_MAX_IN_LINKS + i,
				      "port %s polls link %u, which does not lead to it",
				      s->ports[p].name, l);
		}
	}
}

/* Says who holds, or should hold, a ring. */
static const char *
tag_word(const struct hwy_snap *s, uint32_t tag, char *out)
{
	uint32_t index = tag & 0xffff;

	if (tag == HWY_TAG_FREE)
		snprintf(out, HWY_WORD_SIZE, "nobody");
	else if (tag == HWY_TAG_PORT(index))
		snprintf(out, HWY_WORD_SIZE, "port %s", hwy_snap_port_name(s, index));
	else if (tag == HWY_TAG_LINK(index))
		snprintf(out, HWY_WORD_SIZE, "link %u", index);
	else
		snprintf(out, HWY_WORD_SIZE, "tag 0x%x", tag);
	return out;
}

static void
use_rings(struct look *look, const uint32_t rings[HWY_MAX_QUEUES], uint32_t n, uint32_t tag)
{
	char a[HWY_WORD_SIZE], b[HWY_WORD_SIZE];

	for (uint32_t q = 0; q < n && q < HWY_MAX_QUEUES; q++) {
		uint32_t ring = hwy_load(&rings[q]);

		if (ring >= look->s->geo.ring_count)
			wrong(look, BAD_TAG, tag, "%s uses ring %u, which does not exist",
			      tag_word(look->s, tag, a), ring);
		else if (look->users[ring] != HWY_TAG_FREE)
			wrong(look, BAD_TAG, tag, "%s and %s use the same ring %u",
			      tag_word(look->s, tag, a), tag_word(look->s, look->users[ring], b),
			      ring);
		else
			look->users[ring] = tag;
	}
}

static void
check_rings(struct look *look)
{
	const struct hwy_region *r = look->region;
	const struct hwy_snap *s = look->s;
	char is[HWY_WORD_SIZE], should[HWY_WORD_SIZE];

	for (uint32_t p = 0; p < s->geo.port_count; p++) {
		if (s->ports[p].used) {
			use_rings(look, r->ports[p].up, s->ports[p].queues, HWY_TAG_PORT(p));
			use_rings(look, r->ports[p].down, s->ports[p].queues, HWY_TAG_PORT(p));
		}
	}
	for (uint32_t l = 0; l < s->geo.link_count; l++) {
		if (s->links[l].state != HWY_LINK_FREE && s->links[l].peer[0] == 0)
			use_rings(look, r->links[l].ring, s->links[l].queues, HWY_TAG_LINK(l));
	}
	for (uint32_t i = 0; i < s->geo.ring_count; i++) {
		uint32_t tag = hwy_load_acquire(&r->ring_tags[i]);
		const struct hwy_ring *ring = hwy_region_ring(r, i).ring;
		uint32_t cons = hwy_load_acquire(&ring->cons);

		if (tag != look->users[i])
			wrong(look, BAD_TAG, 0x30000 + i, "ring %u is kept for %s, but %s uses it",
			      i, tag_word(s, tag, is), tag_word(s, look->users[i], should));
		if (tag != HWY_TAG_FREE && hwy_load_acquire(&ring->prod) - cons > s->geo.ring_size)
			wrong(look, BAD_RING, i, "ring %u of %s has indexes that make no sense", i,
			      tag_word(s, tag, is));
	}
}

static void
check_all(void *arg)
{
	struct look *look = arg;

	check_clients(look);
	check_ports(look);
	check_links(look);
	check_rings(look);
}

/* One look at everything.  False if the file was cut short. */
static bool
look_once(const struct hwy_region *region, struct look *look)
{
	bool ok;

	memset(look, 0, sizeof(*look));
	look->region = region;
	look->users = calloc(region->geo.ring_count, sizeof(look->users[0]));
	if (look->users == NULL)
		abort();
	look->s = hwy_snap_take(region, true);
	ok = look->s != NULL && hwy_guarded(check_all, look) == 0;
	free(look->users);
	look->users = NULL;
	if (!ok)
		free(look->s);
	return ok;
}

/* Keeps of 'first' what 'again' found as well. */
static void
keep_common(struct look *first, const struct look *again)
{
	size_t kept = 0;

	for (size_t i = 0; i < first->n; i++) {
		for (size_t j = 0; j < again->n; j++) {
			if (first->wrongs[i].kind == again->wrongs[j].kind &&
			    first->wrongs[i].index == again->wrongs[j].index) {
				first->wrongs[kept++] = again->wrongs[j];
				break;
			}
		}
	}
	first->n = kept;
}

static void
report(const struct look *look)
{
	const struct hwy_snap *s = look->s;
	char title[HWY_TITLE_SIZE];
	uint32_t held = 0, alive = 0;

	for (uint32_t c = 1; c <= HWY_MAX_CLIENTS; c++)
		held += s->census.held[c];
	printf("%s: %s\n", hwy_region_title(&s->geo, title), s->path);
	printf("  buffers: %u in all, %u free, %u in rings, %u held\n", s->geo.chunk_count,
	       s->census.free, s->census.in_rings, held);
	for (uint32_t c = 1; c < HWY_MAX_CLIENTS; c++) {
		const struct hwy_snap_client *client = &s->clients[c];

		if (!client->used)
			continue;
		alive += client->alive;
		printf("  client %u, pid %u (%s), %s: holds %u\n", c, client->pid, client->comm,
		       client->alive ? "alive" : "dead", s->census.held[c]);
	}
	printf("  dead clients cleaned up after so far: %u, with %u buffers\n", s->sweeps,
	       s->reclaimed);
	for (size_t i = 0; i < look->n; i++)
		printf("  wrong: %s\n", look->wrongs[i].text);
	if (look->n == 0)
		printf("  nothing is wrong\n");
	else if (alive == 0)
		printf("  nobody uses the region any more: the next process that does cleans it "
		       "up, "
		       "or remove %s\n",
		       s->path);
}

static int
check_region(const struct hwy_region *region)
{
	struct look *first = calloc(2, sizeof(*first));
	struct look *again;
	int rc = HWY_EXIT_OK;

	if (first == NULL)
		abort();
	again = first + 1;
	if (!look_once(region, first))
		rc = HWY_EXIT_FAILED;
	for (int i = 1; rc == HWY_EXIT_OK && i < LOOKS && first->n > 0; i++) {
		hwy_sleep(LOOK_EVERY_S);
		free(first->s);
		first->s = NULL;
		if (!look_once(region, again)) {
			rc = HWY_EXIT_FAILED;
			break;
		}
		keep_common(first, again);
		first->s = again->s;
	}
	if (rc == HWY_EXIT_OK) {
		report(first);
		rc = first->n == 0 ? HWY_EXIT_OK : HWY_EXIT_FAILED;
		free(first->s);
	} else {
		rc = hwy_complain(
			"%s was cut short while it was read: remove the file if no process "
			"uses it",
			region->path);
	}
	free(first);
	return rc;
}

int
hwy_cmd_check(const struct hwy_options *given, int argc, char **argv)
{
	struct hwy_options options = *given;
	struct hwy_found found;
	int rc;

	if (argc == 2 && strcmp(argv[0], "domain") == 0) {
		argc--;
		argv++;
	}
	if (argc > 1 || (argc == 1 && options.domain != NULL))
		return hwy_misused("check takes at most the name of one domain");
	if (argc == 1)
		options.domain = argv[0];
	rc = hwy_find(&options, false, &found);
	if (rc != HWY_EXIT_OK)
		return rc;
	if (found.n == 0)
		return hwy_found_nothing(&options);
	if (found.bad > 0)
		rc = HWY_EXIT_FAILED;
	for (size_t i = 0; i < found.n; i++) {
		if (check_region(found.regions[i]) != HWY_EXIT_OK)
			rc = HWY_EXIT_FAILED;
	}
	hwy_found_free(&found);
	return rc;
}
