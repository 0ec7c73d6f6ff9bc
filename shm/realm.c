/* SPDX-License-Identifier: BSD-3-Clause */
#include "realm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "port.h"

uint64_t
hwy_realm_own(void)
{
	uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a */
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	int c;

	if (f != NULL) {
		while ((c = fgetc(f)) != EOF)
			hash = (hash ^ (uint8_t)c) * 0x100000001b3ULL;
		fclose(f);
	}
	return hash | 1;
}

/* --- of the virtual machine ---------------------------------------------------- */

int
hwy_realm_attach(struct hwy_region *r, char *err)
{
	uint32_t tried = 0;

	/* What a client that was taken for dead still frees must not be a successor's. */
	for (uint32_t best; tried < HWY_MAX_CLIENTS; tried++) {
		uint32_t none = HWY_CLIENT_FREE;

		best = 0;
		for (uint32_t c = HWY_MAX_CLIENTS - 1; c > 0; c--) {
			if (hwy_load(&r->clients[c].state) == HWY_CLIENT_FREE &&
			    (best == 0 || r->clients[c].life < r->clients[best].life))
				best = c;
		}
		if (best == 0)
			break;
		if (__atomic_compare_exchange_n(&r->clients[best].state, &none,
						HWY_CLIENT_TAKING_FAR, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED)) {
			(void)hwy_lock_try(r->fd, HWY_LOCK_CLIENT(best));
			hwy_client_fill(r, best, r->realm);
			return 0;
		}
	}
	return hwy_fail(err, -EBUSY,
			"%s: all %d client slots are taken: end a process that uses the region",
			r->path, HWY_MAX_CLIENTS - 1);
}

bool
hwy_realm_beat(struct hwy_region *r)
{
	struct hwy_client *me = &r->clients[r->me];

	if (hwy_load_acquire(&me->state) != HWY_CLIENT_USED || hwy_load(&me->life) != r->life ||
	    hwy_load(&me->realm) != r->realm)
		return false;
	hwy_store(&me->beat, me->beat + 1);
	return true;
}

/* A dead process of this virtual machine had the end: it is known at once here. */
static void
predecessor_is_gone(struct hwy_region *r, uint32_t c)
{
	uint32_t life;

	if (c == 0 || c >= HWY_MAX_CLIENTS || c == r->me)
		return;
	life = hwy_load(&r->clients[c].life);
	if (hwy_load(&r->clients[c].realm) != r->realm ||
	    hwy_lock_try(r->fd, HWY_LOCK_CLIENT(c)) != 0)
		return;
	hwy_client_say(r, c, life, HWY_SAID_GONE);
	hwy_lock_drop(r->fd, HWY_LOCK_CLIENT(c));
}

/* Is the port there, with the name and rings that it had when it was looked for? */
static bool
take(struct hwy_region *r, uint32_t p, const char *name)
{
	struct hwy_port *port = &r->ports[p];
	struct hwy_end *end = &port->end[HWY_GUEST];
	uint32_t none = 0, me = r->me;

	if (!__atomic_compare_exchange_n(&end->client, &none, r->me, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return false;
	if (hwy_load_acquire(&port->state) == HWY_PORT_USED && hwy_load(&end->client) == r->me &&
	    (name == NULL || strncmp(port->name, name, HWY_NAME_SIZE) == 0))
		return true;
	(void)__atomic_compare_exchange_n(&end->client, &me, 0, false, __ATOMIC_ACQ_REL,
					  __ATOMIC_RELAXED);
	return false;
}

/* Looks for the port once.  -ENOENT, or -EBUSY and who has it. */
static int
take_once(struct hwy_region *r, const char *name, uint32_t *port, uint32_t *holder)
{
	int rc = -ENOENT;

	for (uint32_t p = 0; p < r->geo.port_count; p++) {
		if (hwy_load_acquire(&r->ports[p].state) != HWY_PORT_USED ||
		    (name != NULL && strncmp(r->ports[p].name, name, HWY_NAME_SIZE) != 0) ||
		    (name == NULL && hwy_load(&r->ports[p].end[HWY_HOST].client) == 0))
			continue;
		*port = p;
		rc = -EBUSY;
		if (hwy_lock_try(r->fd, HWY_LOCK_END(p, HWY_GUEST)) != 0) {
			*holder = hwy_load(&r->ports[p].end[HWY_GUEST].client);
			continue; /* a living process of this virtual machine */
		}
		if (take(r, p, name))
			return 0;
		*holder = hwy_load(&r->ports[p].end[HWY_GUEST].client);
		hwy_lock_drop(r->fd, HWY_LOCK_END(p, HWY_GUEST));
		predecessor_is_gone(r, *holder);
	}
	return rc;
}

int
hwy_realm_take_end(struct hwy_region *r, const char *name, uint32_t queues, uint32_t *port,
		   char *err)
{
	const struct timespec nap = {.tv_nsec = 20000000};
	uint64_t until = hwy_monotonic_ms() + HWY_TAKE_OVER_MS;
	uint32_t holder = 0;
	char text[64];
	int rc;

	while ((rc = take_once(r, name, port, &holder)) == -EBUSY && hwy_monotonic_ms() < until) {
		(void)hwy_realm_beat(r);
		nanosleep(&nap, NULL);
	}
	if (rc == -ENOENT && name == NULL)
		return hwy_fail(err, rc,
				"%s: no port of %s has a host end: add it to the switch first",
				r->path, r->geo.domain);
	if (rc == -ENOENT)
		return hwy_fail(err, rc,
				"port=%s is not in the region of %s: add its host end to the "
				"switch first, or name another port=",
				name, r->path);
	if (rc < 0) {
		hwy_client_describe(r, holder, text, sizeof(text));
		return hwy_fail(err, rc,
				"port=%s of domain=%s has a guest end already, held by %s: end "
				"that process, or name another port=",
				r->ports[*port].name, r->geo.domain, text);
	}
	if (queues != 0 && r->ports[*port].queues != queues) {
		hwy_realm_leave_end(r, *port);
		return hwy_fail(err, -EINVAL,
				"queues=%u contradicts the other end of port=%s, which has "
				"queues=%u: name the same number at both ends",
				queues, r->ports[*port].name, r->ports[*port].queues);
	}
	hwy_port_fresh_end(r, *port, HWY_GUEST);
	return 0;
}

void
hwy_realm_leave_end(struct hwy_region *r, uint32_t p)
{
	if (hwy_realm_holds(r, p))
		hwy_store_release(&r->ports[p].end[HWY_GUEST].state, HWY_END_LEFT);
	hwy_lock_drop(r->fd, HWY_LOCK_END(p, HWY_GUEST));
}

/* --- of the kernel that the file is in ----------------------------------------- */

bool
hwy_client_dead(struct hwy_region *r, uint32_t c)
{
	const struct hwy_client *client = &r->clients[c];
	struct hwy_watch *watch = &r->watch[c];
	uint32_t state = hwy_load_acquire(&client->state), life = hwy_load(&client->life);
	uint32_t beat = hwy_load(&client->beat);
	uint64_t said = hwy_load_acquire(&client->said), now;

	if (hwy_lock_try(r->fd, HWY_LOCK_CLIENT(c)) != 0)
		return false;
	if (state == HWY_CLIENT_LEFT || state == HWY_CLIENT_TAKING ||
	    (state == HWY_CLIENT_USED && client->realm == 0))
		return true;
	now = hwy_monotonic_ms();
	if (HWY_SAID_LIFE(said) == life && HWY_SAID_WHAT(said) == HWY_SAID_GONE &&
	    state == HWY_CLIENT_USED)
		return true;
	if (watch->since_ms == 0 || watch->life != life || watch->beat != beat ||
	    watch->state != state ||
	    (HWY_SAID_LIFE(said) == life && HWY_SAID_WHAT(said) == HWY_SAID_PAUSED))
		*watch = (struct hwy_watch){
			.life = life, .beat = beat, .state = state, .since_ms = now};
	if (now - watch->since_ms > HWY_BEAT_LAPSE_MS)
		return true;
	hwy_lock_drop(r->fd, HWY_LOCK_CLIENT(c));
	return false;
}
