/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients, and what is done when one of them dies. */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "port.h"
#include "realm.h"

static void
own_name(char *comm, size_t size)
{
	FILE *f = fopen("/proc/self/comm", "re");

	memset(comm, 0, size);
	if (f == NULL)
		return;
	if (fgets(comm, (int)size, f) != NULL)
		comm[strcspn(comm, "\n")] = 0;
	fclose(f);
}

void
hwy_client_fill(struct hwy_region *r, uint32_t c, uint64_t realm)
{
	struct hwy_client *client = &r->clients[c];

	hwy_store(&client->life, client->life + 1);
	hwy_store(&client->said, 0);
	hwy_store(&client->beat, 0);
	hwy_store(&client->realm, realm);
	client->pid = (uint32_t)getpid();
	client->attached_ns = hwy_now_ns();
	own_name(client->comm, sizeof(client->comm));
	r->me = c;
	r->life = client->life;
	hwy_store_release(&client->state, HWY_CLIENT_USED);
}

int
hwy_client_attach(struct hwy_region *r, char *err)
{
	int rc = hwy_region_lock(r, err);

	if (rc < 0)
		return rc;
	rc = -EBUSY;
	for (uint32_t c = 1; c < HWY_MAX_CLIENTS; c++) {
		uint32_t none = HWY_CLIENT_FREE;

		/* A slot in use with its lock free is a dead client's: the sweep's business. */
		if (hwy_load(&r->clients[c].state) != HWY_CLIENT_FREE ||
		    hwy_lock_try(r->fd, HWY_LOCK_CLIENT(c)) != 0)
			continue;
		if (!__atomic_compare_exchange_n(&r->clients[c].state, &none, HWY_CLIENT_TAKING,
						 false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
			hwy_lock_drop(r->fd, HWY_LOCK_CLIENT(c)); /* a virtual machine's now */
			continue;
		}
		hwy_client_fill(r, c, 0);
		rc = 0;
		break;
	}
	hwy_region_unlock(r);
	if (rc == -EBUSY)
		hwy_fail(err, rc,
			 "%s: all %d client slots are taken: end a process that uses the domain",
			 r->path, HWY_MAX_CLIENTS - 1);
	return rc;
}

void
hwy_client_release(struct hwy_region *r)
{
	hwy_store_release(&r->clients[r->me].state, 0);
	hwy_lock_drop(r->fd, HWY_LOCK_CLIENT(r->me));
	r->me = 0;
}

void
hwy_client_detach(struct hwy_region *r)
{
	if (r->me != 0 && hwy_region_lock(r, NULL) == 0) {
		hwy_client_release(r);
		hwy_region_unlock(r);
	}
}

bool
hwy_client_alone(const struct hwy_region *r)
{
	for (uint32_t c = 1; c < HWY_MAX_CLIENTS; c++) {
		if (c == r->me || hwy_load(&r->clients[c].state) == HWY_CLIENT_FREE)
			continue;
		if (hwy_lock_held(r->fd, HWY_LOCK_CLIENT(c)))
			return false;
	}
	return true;
}

void
hwy_client_describe(const struct hwy_region *r, uint32_t slot, char *text, size_t size)
{
	char comm[sizeof(r->clients[0].comm) + 1] = "";

	if (slot == 0 || slot >= HWY_MAX_CLIENTS) {
		snprintf(text, size, "nobody");
		return;
	}
	memcpy(comm, r->clients[slot].comm, sizeof(r->clients[0].comm));
	snprintf(text, size, "pid %u (%s)%s", r->clients[slot].pid, comm,
		 r->clients[slot].realm != r->realm ? " of a virtual machine" : "");
}

/* Marks in 'seen' the chunks of all entries that are on the way in any ring. */
static void
mark_rings(const struct hwy_region *r, uint8_t *seen)
{
	for (uint32_t i = 0; i < r->geo.ring_count; i++) {
		struct hwy_ring_at at = hwy_region_ring(r, i);
		uint32_t cons, prod;

		if (hwy_load_acquire(&r->ring_tags[i]) == HWY_TAG_FREE)
			continue;
		/* The consumer's index first: what it lets go of later has an owner by then. */
		cons = hwy_load_acquire(&at.ring->cons);
		prod = hwy_load_acquire(&at.ring->prod);
		if (prod - cons > at.mask + 1)
			continue;
		while (cons != prod) {
			uint64_t desc = hwy_load(&at.desc[cons & at.mask]);

			if (HWY_DESC_CHUNK(desc) < r->geo.chunk_count)
				seen[HWY_DESC_CHUNK(desc)] = 1;
			cons += hwy_desc_entries(desc, prod - cons);
		}
	}
}

/*
 * Gives back what dead client 'c' held.  Nobody puts a chunk of its into a ring any
 * more, and whoever takes one from a ring becomes its owner before it moves the
 * consumer's index: so a chunk that is still the dead one's after the rings were
 * looked at, and was not in them, is in nobody's hands.
 */
static uint32_t
reclaim(struct hwy_region *r, uint32_t c)
{
	uint8_t *seen = calloc(r->geo.chunk_count, 1);
	uint32_t reclaimed = 0;

	if (seen == NULL)
		return 0; /* the next sweep tries again */
	mark_rings(r, seen);
	for (uint32_t i = 0; i < r->geo.chunk_count; i++) {
		if (!seen[i] && hwy_load_acquire(&r->owners[i]) == c) {
			hwy_store_release(&r->owners[i], 0);
			reclaimed++;
		}
	}
	free(seen);
	return reclaimed;
}

int
hwy_region_sweep(struct hwy_region *r, uint64_t *dropped)
{
	uint64_t waiting = 0;
	int swept = 0, rc;

	if (r->realm != 0)
		return 0; /* the kernel that the file is in does it */
	if (pthread_mutex_trylock(&r->mutex) != 0)
		return 0;
	rc = hwy_lock_try(r->fd, HWY_LOCK_CONTROL);
	if (rc < 0) {
		pthread_mutex_unlock(&r->mutex);
		return rc == -EAGAIN ? 0 : rc;
	}
	for (uint32_t c = 1; c < HWY_MAX_CLIENTS; c++) {
		if (c == r->me || hwy_load(&r->clients[c].state) == HWY_CLIENT_FREE ||
		    !hwy_client_dead(r, c))
			continue;
		waiting += hwy_port_bury(r, c);
		hwy_store(&r->hdr->reclaimed, r->hdr->reclaimed + reclaim(r, c));
		hwy_store(&r->hdr->sweeps, r->hdr->sweeps + 1);
		hwy_store_release(&r->clients[c].state, 0);
		hwy_lock_drop(r->fd, HWY_LOCK_CLIENT(c));
		swept++;
	}
	waiting += hwy_port_bury_left(r);
	hwy_port_reap(r);
	hwy_region_unlock(r);
	if (dropped != NULL)
		*dropped = waiting;
	return swept;
}

void
hwy_region_census(const struct hwy_region *r, struct hwy_chunk_census *census)
{
	uint8_t *seen = calloc(r->geo.chunk_count, 1);

	memset(census, 0, sizeof(*census));
	if (seen == NULL)
		return;
	mark_rings(r, seen);
	for (uint32_t i = 0; i < r->geo.chunk_count; i++) {
		uint8_t owner = hwy_load_acquire(&r->owners[i]);

		if (owner == 0)
			census->free++;
		else if (seen[i])
			census->in_rings++;
		else
			census->held[owner]++;
	}
	free(seen);
}
