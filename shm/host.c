/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "host_private.h"

/* Is it alive?  An agent that was there before this host is, from its next beat on. */
static void
agent_follow(struct hwy_host *h)
{
	struct hwy_header *hdr = h->region->hdr;
	uint32_t beat = hwy_load_acquire(&hdr->agent_beat);
	uint64_t now = hwy_monotonic_ms();

	if (hwy_load(&hdr->agent_client) == 0) {
		h->agent_alive = false;
	} else if (beat != h->agent_beat) {
		h->beat_ms = now;
		h->agent_alive = true;
	} else if (now - h->beat_ms > HWY_AGENT_LAPSE_MS) {
		h->agent_alive = false;
	}
	h->agent_beat = beat;
	if (hwy_load(&hdr->agent_heard) != h->agent_alive)
		hwy_store(&hdr->agent_heard, h->agent_alive);
}

int
hwy_host_new(struct hwy_region *region, struct hwy_host **host)
{
	struct hwy_host *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return -ENOMEM;
	h->region = region;
	h->agent_beat = hwy_load(&region->hdr->agent_beat);
	pthread_mutex_init(&h->mutex, NULL);
	hwy_routes_adopt(region);
	hwy_links_adopt(region);
	*host = h;
	return 0;
}

void
hwy_host_free(struct hwy_host *h)
{
	if (h == NULL)
		return;
	pthread_mutex_destroy(&h->mutex);
	free(h);
}

bool
hwy_host_has_agent(struct hwy_host *h)
{
	bool alive;

	pthread_mutex_lock(&h->mutex);
	agent_follow(h);
	alive = h->agent_alive;
	pthread_mutex_unlock(&h->mutex);
	return alive;
}

void
hwy_host_refresh(struct hwy_host *h)
{
	pthread_mutex_lock(&h->mutex);
	hwy_routes_refresh_all(h);
	pthread_mutex_unlock(&h->mutex);
}

void
hwy_host_port_gone(struct hwy_host *h, uint32_t port)
{
	pthread_mutex_lock(&h->mutex);
	memset(&h->ports[port], 0, sizeof(h->ports[port]));
	memset(&h->far[port], 0, sizeof(h->far[port]));
	hwy_slots_forget(h, port);
	hwy_routes_refresh_all(h);
	hwy_links_tick(h);
	pthread_mutex_unlock(&h->mutex);
}

void
hwy_host_tick(struct hwy_host *h)
{
	pthread_mutex_lock(&h->mutex);
	agent_follow(h);
	hwy_routes_refresh_all(h);
	hwy_links_tick(h);
	pthread_mutex_unlock(&h->mutex);
}

bool
hwy_host_linked(struct hwy_host *h, uint32_t src, uint32_t dst)
{
	struct hwy_link *link;
	bool open;

	pthread_mutex_lock(&h->mutex);
	link = hwy_links_find(h->region, src, dst);
	open = link != NULL && link->state == HWY_LINK_OPEN;
	pthread_mutex_unlock(&h->mutex);
	return open;
}
