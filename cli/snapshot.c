/* SPDX-License-Identifier: BSD-3-Clause */
#include "snapshot.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "port.h"

/* --- guard ---------------------------------------------------------------------- */

static sigjmp_buf guard;
static volatile sig_atomic_t guarding;

static void
on_sigbus(int number)
{
	if (guarding)
		siglongjmp(guard, 1);
	signal(number, SIG_DFL);
	raise(number);
}

int
hwy_guarded(void (*fn)(void *), void *arg)
{
	struct sigaction action = {.sa_handler = on_sigbus};
	const volatile sig_atomic_t before = guarding; /* one inside of another */
	sigjmp_buf outer;
	int rc = 0;

	memcpy(&outer, &guard, sizeof(outer));
	sigaction(SIGBUS, &action, NULL);
	if (sigsetjmp(guard, 1) == 0) {
		guarding = 1;
		fn(arg);
	} else {
		rc = -EFAULT;
	}
	memcpy(&guard, &outer, sizeof(guard));
	guarding = before;
	return rc;
}

/* --- reading -------------------------------------------------------------------- */

/* Copies a text that need not be one.  'out' has room for size + 1 bytes. */
static void
copy_text(char *out, const char *from, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++) {
		char c = hwy_load(&from[i]);

		if (c == 0)
			break;
		out[i] = c > ' ' && c <= '~' ? c : c == ' ' ? ' ' : '?';
	}
	out[i] = 0;
}

static uint32_t
client_slot(uint32_t slot)
{
	return slot < HWY_MAX_CLIENTS ? slot : 0;
}

static void
read_clients(const struct hwy_region *r, struct hwy_snap *s)
{
	for (uint32_t c = 1; c < HWY_MAX_CLIENTS; c++) {
		const struct hwy_client *from = &r->clients[c];
		struct hwy_snap_client *to = &s->clients[c];

		to->used = hwy_load_acquire(&from->state) != 0;
		to->realm = hwy_load(&from->realm);
		to->life = hwy_load(&from->life);
		/* Of one in a virtual machine, the host finds out. */
		to->alive = to->realm != 0 ? to->used : hwy_lock_held(r->fd, HWY_LOCK_CLIENT(c));
		to->pid = hwy_load(&from->pid);
		to->attached_ns = hwy_load(&from->attached_ns);
		copy_text(to->comm, from->comm, sizeof(from->comm));
	}
}

static void
sum_counters(const struct hwy_counters counters[HWY_MAX_QUEUES], struct hwy_counters *sum)
{
	/* All of them are 64-bit counters, those to come included. */
	for (size_t at = 0; at < sizeof(*sum); at += sizeof(uint64_t))
		((uint64_t *)(void *)sum)[at / sizeof(uint64_t)] = hwy_counters_sum(counters, at);
}

static void
read_end(const struct hwy_region *r, uint32_t port, enum hwy_role role, struct hwy_snap_end *to)
{
	const struct hwy_end *from = &r->ports[port].end[role];

	to->state = hwy_load_acquire(&from->state);
	to->client = client_slot(hwy_load(&from->client));
	to->alive = hwy_lock_held(r->fd, HWY_LOCK_END(port, role)) ||
		    (to->client != 0 && hwy_load(&r->clients[to->client].realm) != 0);
	to->rx_queues = hwy_load(&from->rx_queues);
	to->tx_queues = hwy_load(&from->tx_queues);
	to->mtu = hwy_load(&from->mtu);
	for (size_t i = 0; i < sizeof(to->mac); i++)
		to->mac[i] = hwy_load(&from->mac[i]);
	sum_counters(from->rx, &to->rx);
	sum_counters(from->tx, &to->tx);
}

static void
read_route(const struct hwy_region *r, const struct hwy_port *from, const struct hwy_route *route,
	   struct hwy_snap_route *to)
{
	uint32_t slot = hwy_load(&route->slot);

	memset(to, 0, sizeof(*to));
	to->key = hwy_load(&route->key);
	to->link = hwy_load(&route->link);
	to->dst = HWY_SNAP_NONE;
	if (to->link < r->geo.link_count)
		to->dst = hwy_load(&r->links[to->link].dst);
	else
		to->link = HWY_SNAP_NONE;
	if (to->dst == HWY_PORT_FAR && to->link != HWY_SNAP_NONE)
		to->dst = HWY_SNAP_FAR + to->link;
	else if (to->dst >= r->geo.port_count)
		to->dst = HWY_SNAP_NONE;
	for (uint32_t q = 0; slot < HWY_MAX_ROUTES && q < HWY_MAX_QUEUES; q++) {
		to->sent.packets += hwy_load(&from->sent[q][slot].packets);
		to->sent.bytes += hwy_load(&from->sent[q][slot].bytes);
	}
}

/* The routes belong together: read again what changed meanwhile.  A host that died in
 * the middle of a change leaves them half done; then that is what is shown. */
static void
read_routes(const struct hwy_region *r, const struct hwy_port *from, struct hwy_snap_port *to)
{
	for (int attempt = 0; attempt < 100; attempt++) {
		uint32_t seq = hwy_load_acquire(&from->route_seq);
		uint32_t n = hwy_load(&from->n_routes);

		to->n_routes = n < HWY_MAX_ROUTES ? n : HWY_MAX_ROUTES;
		for (uint32_t i = 0; i < to->n_routes; i++)
			read_route(r, from, &from->routes[i], &to->routes[i]);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if ((seq & 1) == 0 && hwy_load(&from->route_seq) == seq)
			return;
	}
}

static void
read_port(const struct hwy_region *r, uint32_t index, struct hwy_snap_port *to)
{
	const struct hwy_port *from = &r->ports[index];

	to->used = hwy_load_acquire(&from->state) == HWY_PORT_USED;
	if (!to->used)
		return;
	copy_text(to->name, from->name, sizeof(from->name));
	to->queues = hwy_load(&from->queues);
	to->bypass_off = hwy_load(&from->bypass_off) != 0;
	read_end(r, index, HWY_HOST, &to->end[HWY_HOST]);
	read_end(r, index, HWY_GUEST, &to->end[HWY_GUEST]);
	to->link_up = to->end[HWY_HOST].state == HWY_END_STARTED &&
		      to->end[HWY_GUEST].state == HWY_END_STARTED;
	to->out = hwy_port_links_out(r, index);
	to->in = hwy_port_links_in(r, index);
	read_routes(r, from, to);
}

uint32_t
hwy_ring_waiting(const struct hwy_region *r, uint32_t ring)
{
	const struct hwy_ring *at;
	uint32_t cons, n;

	if (ring >= r->geo.ring_count)
		return 0;
	at = hwy_region_ring(r, ring).ring;
	cons = hwy_load_acquire(&at->cons);
	n = hwy_load_acquire(&at->prod) - cons;
	return n <= r->geo.ring_size ? n : 0;
}

/* The end of a link that is in another region: the attach slot knows its name. */
static uint32_t
read_far(const struct hwy_region *r, uint32_t index, uint32_t near, struct hwy_snap_link *to)
{
	uint32_t slot = hwy_load(&r->links[index].attach) - 1;

	if (slot >= r->geo.attach_count || near >= r->geo.port_count)
		return HWY_SNAP_NONE;
	copy_text(to->peer, hwy_region_attach(r, near, slot)->peer, HWY_NAME_SIZE);
	return HWY_SNAP_FAR + index;
}

static void
read_link(const struct hwy_region *r, uint32_t index, struct hwy_snap_link *to)
{
	const struct hwy_link *from = &r->links[index];

	to->state = hwy_load_acquire(&from->state);
	if (to->state == HWY_LINK_FREE)
		return;
	to->src = hwy_load(&from->src);
	to->dst = hwy_load(&from->dst);
	if (to->src == HWY_PORT_FAR && to->dst < r->geo.port_count)
		to->src = read_far(r, index, to->dst, to);
	else if (to->dst == HWY_PORT_FAR && to->src < r->geo.port_count)
		to->dst = read_far(r, index, to->src, to);
	if (to->src >= r->geo.port_count && to->src != HWY_SNAP_FAR + index)
		to->src = HWY_SNAP_NONE;
	if (to->dst >= r->geo.port_count && to->dst != HWY_SNAP_FAR + index)
		to->dst = HWY_SNAP_NONE;
	to->queues = hwy_load(&from->queues);
	to->since_ns = hwy_load(&from->since_ns);
	to->opened = hwy_load(&from->opened);
	to->sent = hwy_link_sent(from);
	for (uint32_t q = 0; to->peer[0] == 0 && q < to->queues && q < HWY_MAX_QUEUES; q++)
		to->waiting += hwy_ring_waiting(r, hwy_load(&from->ring[q]));
}

struct taking {
	const struct hwy_region *region;
	struct hwy_snap *s;
	bool count;
};

static void
take(void *arg)
{
	const struct hwy_region *r = ((struct taking *)arg)->region;
	struct hwy_snap *s = ((struct taking *)arg)->s;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	s->monotonic = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
	s->now_ns = hwy_now_ns();
	memcpy(s->path, r->path, sizeof(s->path));
	s->geo = r->geo;
	s->host = client_slot(hwy_load_acquire(&r->hdr->host_client));
	s->host_alive = hwy_lock_held(r->fd, HWY_LOCK_HOST);
	s->heartbeat = hwy_load(&r->hdr->heartbeat);
	s->offload = hwy_load(&r->hdr->offload) != 0;
	s->bypass_off = hwy_load(&r->hdr->bypass_off) != 0;
	s->sweeps = hwy_load(&r->hdr->sweeps);
	s->reclaimed = hwy_load(&r->hdr->reclaimed);
	read_clients(r, s);
	for (uint32_t p = 0; p < r->geo.port_count; p++)
		read_port(r, p, &s->ports[p]);
	for (uint32_t l = 0; l < r->geo.link_count; l++)
		read_link(r, l, &s->links[l]);
	if (((struct taking *)arg)->count)
		hwy_region_census(r, &s->census);
	s->counted = ((struct taking *)arg)->count;
}

struct hwy_snap *
hwy_snap_take(const struct hwy_region *region, bool count)
{
	struct taking taking = {.region = region, .count = count};

	taking.s = calloc(1, sizeof(*taking.s));
	if (taking.s != NULL && hwy_guarded(take, &taking) < 0) {
		free(taking.s);
		return NULL;
	}
	return taking.s;
}

void
hwy_snap_follow(struct hwy_snap *s, const struct hwy_snap *before)
{
	if (before != NULL && before->host == s->host && before->heartbeat == s->heartbeat)
		s->silent_s = before->silent_s + (s->monotonic - before->monotonic);
}

/* --- looking things up ------------------------------------------------------------ */

const char *
hwy_snap_port_name(const struct hwy_snap *s, uint32_t index)
{
	uint32_t link = index - HWY_SNAP_FAR;

	if (index >= HWY_SNAP_FAR && link < HWY_MAX_LINKS && s->links[link].peer[0] != 0)
		return s->links[link].peer;
	return index < HWY_MAX_PORTS && s->ports[index].used ? s->ports[index].name : "?";
}

uint32_t
hwy_snap_find(const struct hwy_snap *s, const char *name)
{
	for (uint32_t p = 0; p < HWY_MAX_PORTS; p++) {
		if (s->ports[p].used && strcmp(s->ports[p].name, name) == 0)
			return p;
	}
	return HWY_SNAP_NONE;
}

uint32_t
hwy_snap_routes(const struct hwy_snap *s, uint32_t index)
{
	uint32_t n = 0;

	for (uint32_t p = 0; p < HWY_MAX_PORTS; p++) {
		for (uint32_t i = 0; s->ports[p].used && i < s->ports[p].n_routes; i++) {
			if (index == HWY_SNAP_NONE || p == index ||
			    s->ports[p].routes[i].dst == index)
				n++;
		}
	}
	return n;
}

/* --- rates ------------------------------------------------------------------------ */

static struct hwy_rate
rate(uint64_t packets, uint64_t bytes, uint64_t old_packets, uint64_t old_bytes, double seconds)
{
	struct hwy_rate zero = {0, 0};

	if (seconds <= 0 || packets < old_packets || bytes < old_bytes)
		return zero;
	return (struct hwy_rate){
		.pps = (double)(packets - old_packets) / seconds,
		.bps = (double)(bytes - old_bytes) * 8 / seconds,
	};
}

struct hwy_port_rates
hwy_rates_of_port(const struct hwy_snap *s, const struct hwy_snap *before, uint32_t port)
{
	const struct hwy_snap_port *new = &s->ports[port], *old;
	struct hwy_port_rates rates;
	double t;

	memset(&rates, 0, sizeof(rates));
	if (before == NULL)
		return rates;
	old = &before->ports[port];
	if (!old->used || strcmp(old->name, new->name) != 0)
		return rates;
	t = s->monotonic - before->monotonic;
#define RATE(dir)                                                                                  \
	rate(new->end[HWY_GUEST].dir.normal_packets, new->end[HWY_GUEST].dir.normal_bytes,         \
	     old->end[HWY_GUEST].dir.normal_packets, old->end[HWY_GUEST].dir.normal_bytes, t)
	rates.switch_out = RATE(tx);
	rates.switch_in = RATE(rx);
#undef RATE
	rates.bypass_out =
		rate(new->out.packets, new->out.bytes, old->out.packets, old->out.bytes, t);
	rates.bypass_in = rate(new->in.packets, new->in.bytes, old->in.packets, old->in.bytes, t);
	return rates;
}

struct hwy_rate
hwy_rate_of_link(const struct hwy_snap *s, const struct hwy_snap *before, uint32_t link)
{
	const struct hwy_snap_link *new = &s->links[link], *old;
	struct hwy_rate none = {0, 0};

	if (before == NULL)
		return none;
	old = &before->links[link];
	if (old->state == HWY_LINK_FREE || old->src != new->src || old->dst != new->dst)
		return none;
	return rate(new->sent.packets, new->sent.bytes, old->sent.packets, old->sent.bytes,
		    s->monotonic - before->monotonic);
}
