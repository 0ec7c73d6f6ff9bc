/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The switch-over protocol with real threads on the rings of a real region.
 *
 *   stress_gate [seconds [seed [classes [queues [pollers [receivers]]]]]]
 *
 *   X        one thread, 'queues' transmit queues, the classes spread over them
 *   pollers  one or two threads of the switch: up rings to down rings, burst by burst
 *   rules    adds and deletes flows at random (hwy_host_flow_add(), hwy_host_flow_del())
 *   Y        'receivers' threads, each with its share of down rings and link rings
 *
 * The steps are those of pmd/guest_rxtx.c and pmd/host_rxtx.c, function by function and
 * under the same names, with the helpers of shm/gate.h; packets are their class and a
 * sequence number.  The application behind Y checks each class when it gets the packets
 * of a receive call: nothing lost, duplicated or reordered.  At the end everything must have
 * arrived and no link may be left in a state in which nobody can join it any more.
 *
 * Broken on purpose (these succeed if the violation is found):
 *   BREAK_RULE1   a receive call takes packets from both sides of an unanswered gate
 *   BREAK_RULE2   X joins although Y has not passed the last gate, or not drained
 *   BREAK_RULE3   Y reads the down ring without asking the links
 *   BREAK_STOP    Y reads 'stop' before the down ring's producer index
 *   BREAK_EARLY   Y publishes what it has read before the application has got it
 *   BREAK_EMPTY   Y does not look at gates of links that are empty: X joins, leaves
 *                 before it sends, and can never join again
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "class.h"
#include "gate.h"
#include "host.h"
#include "port.h"

#define MAX_CLASSES 8
#define MAX_QUEUES  4
#define FOREIGN     MAX_CLASSES /* class of what the switch sends to Y by itself, per down ring */
#define BURST       32
#define SETTLE_NS   10000000000ULL

#if defined(BREAK_RULE1) || defined(BREAK_RULE2) || defined(BREAK_RULE3) || defined(BREAK_STOP) || \
	defined(BREAK_EARLY) || defined(BREAK_EMPTY)
#define BROKEN 1
#else
#define BROKEN 0
#endif

struct payload {
	uint32_t class;
	uint32_t seq;
};

/* A packet that Y has received, and how it came. */
struct packet {
	struct payload payload;
	const char *where;
	uint32_t ring;
};

/* --- what the run is about ----------------------------------------------------- */

static uint32_t n_classes = 3, n_queues = 2, n_pollers = 1, n_receivers = 2;
static struct hwy_region *region;
static struct hwy_host *host;
static uint32_t port_x, port_y;

static uint32_t rules_over, x_over, all_over; /* "end", thread by thread */

static uint64_t sent, received, by_link, joins, leaves, blocked_full;
static uint32_t sent_of[MAX_CLASSES + MAX_QUEUES];
static uint32_t last_of[MAX_CLASSES + MAX_QUEUES];
static uint32_t errors;

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state >> 12; /* xorshift64*, Vigna 2014 */
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ULL >> 16;
}

/* Lets the others run at odd moments: there may be fewer cores than threads. */
static void
shake(uint64_t *seed)
{
	uint64_t dice = next_random(seed);

	if (dice % 16 == 0)
		sched_yield();
	else if (dice % 4096 == 1)
		usleep((useconds_t)(dice >> 16) % 200);
}

static uint64_t
class_key(uint32_t class)
{
	return hwy_class_key((uint16_t)(0x1000 | class), HWY_ETH_IPV4);
}

static void
violation(const char *where, uint32_t ring, uint32_t class, uint32_t before, uint32_t now)
{
	if (__atomic_fetch_add(&errors, 1, __ATOMIC_RELAXED) < 5)
		fprintf(stderr, "%s %u: class %u, packet %u came after %u: %s\n", where, ring,
			class, now, before,
			(int32_t)(now - before) > 0 ? "some are missing before it"
						    : "it is late, or came twice");
}

/* The application gets a packet. */
static void
check(const struct packet *packet)
{
	struct payload p = packet->payload;
	uint32_t before;

	if (p.class >= MAX_CLASSES + MAX_QUEUES) {
		violation(packet->where, packet->ring, UINT32_MAX, 0, p.seq);
		return;
	}
	before = __atomic_exchange_n(&last_of[p.class], p.seq, __ATOMIC_RELAXED);
	if (p.seq != before + 1)
		violation(packet->where, packet->ring, p.class, before, p.seq);
	__atomic_fetch_add(&received, 1, __ATOMIC_RELAXED);
}

/* Y takes an entry. */
static void
take(struct packet *packet, const char *where, uint32_t ring, const struct hwy_consumer *in)
{
	packet->where = where;
	packet->ring = ring;
	memcpy(&packet->payload, hwy_ring_slot(&in->at, in->cons), sizeof(packet->payload));
	if (hwy_load(&in->at.desc[in->cons & in->at.mask]) !=
	    HWY_DESC(HWY_CHUNK_INLINE, 0, 0, sizeof(packet->payload)))
		packet->payload.class = UINT32_MAX;
}

static void
put(struct hwy_producer *out, struct payload p)
{
	memcpy(hwy_ring_slot(&out->at, out->prod), &p, sizeof(p));
	hwy_store(&out->at.desc[out->prod & out->at.mask],
		  HWY_DESC(HWY_CHUNK_INLINE, 0, 0, sizeof(p)));
	out->prod++;
}

/* --- X: pmd/guest_rxtx.c, sending ---------------------------------------------- */

struct path {
	struct hwy_producer out;
	const struct hwy_end *to;
	uint32_t link, joined, waiting;
};

struct class_entry {
	uint64_t key;
	uint32_t path;
	bool joined;
};

struct tx_queue {
	uint32_t ring;
	struct hwy_producer out;
	uint32_t route_seq, n_paths, n_classes, joined, waiting;
	struct path paths[MAX_CLASSES];
	struct class_entry classes[MAX_CLASSES];
};

static struct tx_queue txq[MAX_QUEUES];

static struct class_entry *
class_find(struct tx_queue *q, uint64_t key)
{
	for (uint32_t i = 0; i < q->n_classes; i++) {
		if (q->classes[i].key == key)
			return &q->classes[i];
	}
	return NULL;
}

static bool
routes_copy(const struct hwy_port *port, uint32_t seq, struct hwy_route *routes, uint32_t *n)
{
	if (seq & 1)
		return false;
	*n = hwy_load(&port->n_routes);
	if (*n > MAX_CLASSES)
		return false;
	for (uint32_t i = 0; i < *n; i++) {
		routes[i].key = hwy_load(&port->routes[i].key);
		routes[i].link = hwy_load(&port->routes[i].link);
		routes[i].slot = hwy_load(&port->routes[i].slot);
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return hwy_load(&port->route_seq) == seq;
}

static uint32_t
path_of(struct tx_queue *q, uint32_t index)
{
	const struct hwy_link *link = &region->links[index];
	struct path *path;

	for (uint32_t i = 0; i < q->n_paths; i++) {
		if (q->paths[i].link == index)
			return i;
	}
	path = &q->paths[q->n_paths];
	memset(path, 0, sizeof(*path));
	path->link = index;
	hwy_producer_init(&path->out, hwy_region_ring(region, link->ring[q->ring]));
	path->to = &region->ports[link->dst].end[HWY_GUEST];
	return q->n_paths++;
}

static void
routes_update(struct tx_queue *q, uint32_t seq)
{
	struct class_entry before[MAX_CLASSES];
	uint32_t before_link[MAX_CLASSES], n_before = q->n_classes, n;
	struct hwy_route routes[HWY_MAX_ROUTES];

	if (!routes_copy(&region->ports[port_x], seq, routes, &n))
		return;
	memcpy(before, q->classes, sizeof(before));
	for (uint32_t i = 0; i < n_before; i++) {
		struct path *path = &q->paths[before[i].path];
		bool stays = false;

		before_link[i] = path->link;
		for (uint32_t k = 0; k < n; k++)
			stays |= routes[k].key == before[i].key && routes[k].link == path->link;
		if (before[i].joined && !stays) {
			hwy_gate_leave(&path->out);
			leaves++;
		}
	}
	q->n_paths = q->n_classes = q->joined = q->waiting = 0;
	for (uint32_t k = 0; k < n; k++) {
		struct class_entry *c = &q->classes[q->n_classes++];
		struct path *path;

		c->key = routes[k].key;
		c->path = path_of(q, routes[k].link);
		c->joined = false;
		path = &q->paths[c->path];
		for (uint32_t i = 0; i < n_before; i++)
			c->joined |= before[i].joined && before[i].key == c->key &&
				     before_link[i] == path->link;
		if (c->joined) {
			path->joined++;
			q->joined++;
		} else {
			path->waiting++;
			q->waiting++;
		}
	}
	q->route_seq = seq;
	hwy_store_release(&region->ports[port_x].end[HWY_GUEST].route_ack[q->ring], seq);
}

static void
join(struct tx_queue *q)
{
	for (uint32_t p = 0; p < q->n_paths; p++) {
		struct path *path = &q->paths[p];

		if (path->waiting == 0 || !hwy_end_up(path->to))
			continue;
#ifndef BREAK_RULE2
		if (!hwy_gate_may_join(path->out.at.ring))
			continue;
#endif
		hwy_gate_join(&path->out, &q->out);
		for (uint32_t i = 0; i < q->n_classes; i++) {
			struct class_entry *c = &q->classes[i];

			if (c->path == p && !c->joined) {
				c->joined = true;
				q->joined++;
				q->waiting--;
				joins++;
			}
		}
		path->joined += path->waiting;
		path->waiting = 0;
	}
}

static uint32_t
put_burst(struct hwy_producer *out, uint32_t class, uint32_t n)
{
	uint32_t room = hwy_producer_room(out, n);

	if (n > room) {
		n = room;
		blocked_full++;
	}
	for (uint32_t i = 0; i < n; i++)
		put(out, (struct payload){class, sent_of[class]++});
	sent += n;
	return n;
}

/* Sends runs of one class each; what finds no room is tried again by the application. */
static void
tx_once(struct tx_queue *q, const uint32_t *classes, const uint32_t *runs, uint32_t n)
{
	uint32_t seq = hwy_load_acquire(&region->ports[port_x].route_seq), normal = 0;
	bool touched[MAX_CLASSES] = {false};

	if (seq != q->route_seq)
		routes_update(q, seq);
	if (q->waiting > 0)
		join(q);
	for (uint32_t i = 0; i < n; i++) {
		struct class_entry *c = class_find(q, class_key(classes[i]));
		uint32_t took;

		if (c != NULL && c->joined) {
			took = put_burst(&q->paths[c->path].out, classes[i], runs[i]);
			touched[c->path] = true;
			by_link += took;
		} else {
			took = put_burst(&q->out, classes[i], runs[i]);
			normal += took;
		}
		if (took < runs[i])
			break;
	}
	for (uint32_t p = 0; p < q->n_paths; p++) {
		if (touched[p]) {
			hwy_producer_publish(&q->paths[p].out);
			hwy_gate_keep_up(&q->paths[p].out);
		}
	}
	if (normal > 0)
		hwy_producer_publish(&q->out);
}

static void *
thread_x(void *arg)
{
	uint64_t seed = *(uint64_t *)arg;

	for (uint32_t i = 0; i < n_queues; i++) {
		txq[i].ring = i;
		txq[i].route_seq = 1;
		hwy_producer_init(&txq[i].out,
				  hwy_region_ring(region, region->ports[port_x].up[i]));
	}
	while (!hwy_load(&x_over)) {
		uint64_t dice = next_random(&seed);
		uint32_t at = (uint32_t)dice % n_queues, n = 0;
		uint32_t classes[4], runs[4];

		for (n = 0; n <= (dice >> 8) % 4; n++) {
			classes[n] = (uint32_t)(next_random(&seed) % n_classes);
			classes[n] = classes[n] - classes[n] % n_queues + at; /* of this queue */
			if (classes[n] >= n_classes)
				classes[n] = at;
			runs[n] = 1 + (uint32_t)(next_random(&seed) % 8);
		}
		tx_once(&txq[at], classes, runs, n);
		shake(&seed);
	}
	return NULL;
}

/* --- the switch: pmd/host_rxtx.c ----------------------------------------------- */

struct up_inlet {
	struct hwy_consumer in;
	uint32_t queue, bell, pending;
};

struct poller {
	pthread_t thread;
	uint64_t seed;
	uint32_t id, turn, n_normal;
	struct up_inlet normal[MAX_QUEUES];
	struct hwy_producer down[MAX_QUEUES]; /* those that are this thread's */
};

static uint32_t
gates(struct up_inlet *up)
{
	struct hwy_ring *down[HWY_MAX_QUEUES];
	uint32_t limit = up->in.prod_seen;

	up->bell = hwy_load_acquire(&up->in.at.ring->gate_bell);
	up->pending = 0;
	for (uint32_t l = 0; l < region->geo.link_count; l++) {
		const struct hwy_link *link = &region->links[l];
		uint32_t state = hwy_load_acquire(&link->state), gate = limit;
		const struct hwy_port *y;

		if (state == HWY_LINK_FREE || state == HWY_LINK_PREPARING || link->src != port_x ||
		    up->queue >= link->queues)
			continue;
		y = &region->ports[link->dst];
		for (uint32_t d = 0; d < y->queues; d++)
			down[d] = hwy_region_ring(region, y->down[d]).ring;
		if (!hwy_gate_answer(hwy_region_ring(region, link->ring[up->queue]).ring,
				     up->in.cons, down, y->queues, &gate)) {
			limit = hwy_earlier(limit, gate);
			up->pending = 1;
		}
	}
#ifdef BREAK_RULE1
	limit = up->in.prod_seen;
#endif
	return limit;
}

static uint32_t
host_rx(struct poller *q, struct payload *pkts, uint32_t n)
{
	uint32_t done = 0, at = q->turn;

	for (uint32_t i = 0; i < q->n_normal && done < n; i++) {
		struct up_inlet *up = &q->normal[at];
		uint32_t limit;

		if (!hwy_consumer_refresh(&up->in))
			violation("up ring", up->queue, UINT32_MAX, up->in.cons, 0);
		limit = up->in.prod_seen;
		if (up->pending || hwy_load_acquire(&up->in.at.ring->gate_bell) != up->bell)
			limit = gates(up);
		while (up->in.cons != limit && done < n) {
			memcpy(&pkts[done++], hwy_ring_slot(&up->in.at, up->in.cons),
			       sizeof(pkts[0]));
			up->in.cons++;
		}
		hwy_consumer_publish(&up->in);
		if (++at == q->n_normal)
			at = 0;
	}
	q->turn = at;
	return done;
}

/*
 * Down ring of a packet: a thread of the switch always uses the same transmit queue, or
 * picks it by the flow.  Whatever it is, it is not bound to X's queue: here the two ways
 * of a class mostly end at different receivers.
 */
static uint32_t
down_of(const struct poller *q, uint32_t class)
{
	if (class >= FOREIGN)
		return class - FOREIGN;
	return n_pollers > 1 ? (q->id + 1) % n_queues : (class + class / n_queues + 1) % n_queues;
}

/* Is the down ring this thread's? */
static bool
sends_to(const struct poller *q, uint32_t d)
{
	return n_pollers == 1 || d == (q->id + 1) % n_queues;
}

/* One packet to Y. */
static void
host_tx(struct poller *q, struct payload p)
{
	struct hwy_producer *out = &q->down[down_of(q, p.class)];

	while (hwy_producer_room(out, 1) == 0) {
		hwy_producer_publish(out);
		if (hwy_load(&all_over))
			return;
		sched_yield();
	}
	put(out, p);
}

static void *
thread_poller(void *arg)
{
	struct poller *q = arg;

	for (uint32_t u = q->id; u < n_queues; u += n_pollers) {
		struct up_inlet *up = &q->normal[q->n_normal++];

		up->queue = u;
		up->pending = 1;
		hwy_consumer_init(&up->in, hwy_region_ring(region, region->ports[port_x].up[u]));
	}
	for (uint32_t d = 0; d < n_queues; d++)
		hwy_producer_init(&q->down[d],
				  hwy_region_ring(region, region->ports[port_y].down[d]));
	while (!hwy_load(&all_over)) {
		struct payload pkts[BURST];
		uint32_t n = host_rx(q, pkts, 1 + (uint32_t)(next_random(&q->seed) % BURST));

		shake(&q->seed); /* between receiving and transmitting: what rule 1 is about */
		for (uint32_t i = 0; i < n; i++)
			host_tx(q, pkts[i]);
		if (next_random(&q->seed) % 64 == 0 && !hwy_load(&x_over)) {
			uint32_t d = (uint32_t)(next_random(&q->seed) % n_queues);

			if (sends_to(q, d)) {
				host_tx(q, (struct payload){FOREIGN + d, sent_of[FOREIGN + d]});
				hwy_count(&sent_of[FOREIGN + d], 1);
			}
		}
		for (uint32_t d = 0; d < n_queues; d++) {
			if (sends_to(q, d))
				hwy_producer_publish(&q->down[d]);
		}
		shake(&q->seed);
		if (n == 0)
			sched_yield();
	}
	return NULL;
}

static void *
thread_rules(void *arg)
{
	uint32_t slot[MAX_CLASSES];
	bool there[MAX_CLASSES] = {false};
	uint64_t seed = *(uint64_t *)arg;

	while (!hwy_load(&rules_over)) {
		uint64_t dice = next_random(&seed);
		uint32_t c = (uint32_t)dice % n_classes;

		if (dice % 64 == 0) {
			hwy_host_tick(host);
		} else if (there[c]) {
			hwy_host_flow_del(host, port_x, slot[c]);
			there[c] = false;
		} else {
			there[c] = hwy_host_flow_add(host, port_x, class_key(c), port_y,
						     &slot[c]) == 0;
		}
		if ((dice >> 8) % 4 == 0)
			usleep((useconds_t)(dice >> 16) % 300);
		else
			sched_yield();
	}
	return NULL;
}

/* --- Y: pmd/guest_rxtx.c, receiving -------------------------------------------- */

struct inlet {
	struct hwy_consumer in;
	uint32_t queue;
};

struct rx_queue {
	pthread_t thread;
	uint64_t seed;
	uint32_t id, turn, n_normal, n_links, n_watch, in_gen;
	uint32_t n_pkts;
	bool deferred; /* several receivers: publish when the application comes back */
	struct packet pkts[BURST];
	struct inlet normal[MAX_QUEUES];
	struct inlet links[HWY_MAX_IN_LINKS * MAX_QUEUES];
	const struct hwy_ring *watch[HWY_MAX_IN_LINKS * MAX_QUEUES];
	const uint32_t *down_cons[HWY_MAX_QUEUES];
};

static void
in_links_update(struct rx_queue *q)
{
	struct hwy_port *port = &region->ports[port_y];
	uint32_t gen = hwy_load_acquire(&port->in_gen);
	uint32_t list[HWY_MAX_IN_LINKS], n = hwy_load(&port->n_in);

	if ((gen & 1) || n > HWY_MAX_IN_LINKS)
		return;
	for (uint32_t i = 0; i < n; i++)
		list[i] = hwy_load(&port->in_links[i]);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (hwy_load(&port->in_gen) != gen)
		return;
	q->n_links = q->n_watch = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct hwy_link *link = &region->links[list[i]];

		for (uint32_t k = 0; k < link->queues && k < MAX_QUEUES; k++) {
			struct hwy_ring_at at = hwy_region_ring(region, link->ring[k]);

			q->watch[q->n_watch++] = at.ring;
			if (k % n_receivers == q->id) {
				struct inlet *inlet = &q->links[q->n_links++];

				inlet->queue = k;
				hwy_consumer_init(&inlet->in, at);
			}
		}
	}
	q->in_gen = gen;
	q->turn = 0;
	hwy_store_release(&port->end[HWY_GUEST].in_ack[q->id], gen);
}

static uint32_t
get_burst(struct rx_queue *q, const char *where, struct inlet *from, uint32_t limit, uint32_t n)
{
	uint32_t done = 0;

	while (from->in.cons != limit && done < n) {
		take(&q->pkts[q->n_pkts++], where, from->queue, &from->in);
		from->in.cons++;
		done++;
	}
	if (!q->deferred)
		hwy_consumer_publish(&from->in);
	return done;
}

static void
publish_all(struct rx_queue *q)
{
	for (uint32_t i = 0; i < q->n_normal; i++) {
		if (q->normal[i].in.cons != q->normal[i].in.at.ring->cons)
			hwy_consumer_publish(&q->normal[i].in);
	}
	for (uint32_t i = 0; i < q->n_links; i++) {
		if (q->links[i].in.cons != q->links[i].in.at.ring->cons)
			hwy_consumer_publish(&q->links[i].in);
	}
}

static uint32_t
rx_links(struct rx_queue *q, uint32_t n)
{
	uint32_t done = 0, at = q->turn;

	for (uint32_t i = 0; i < q->n_links && done < n; i++) {
		struct hwy_consumer *in = &q->links[at].in;
		bool look;

		if (!hwy_consumer_refresh(in))
			violation("link ring", q->links[at].queue, UINT32_MAX, in->cons, 0);
		look = in->prod_seen != in->cons;
#ifndef BREAK_EMPTY
		look |= in->at.ring->pass_epoch != hwy_load_acquire(&in->at.ring->gate_epoch);
#endif
		if (look) {
			uint32_t limit = hwy_gate_link_limit(in, q->down_cons, n_queues);

			if (limit != in->cons)
				done += get_burst(q, "link ring", &q->links[at], limit, n - done);
		}
		if (++at == q->n_links)
			at = 0;
	}
	q->turn = at;
	return done;
}

static uint32_t
down_limit(const struct rx_queue *q, const struct inlet *down, const uint32_t *stops)
{
	uint32_t limit = down->in.prod_seen;

#ifndef BREAK_RULE3
	for (uint32_t i = 0; i < q->n_watch; i++)
		limit = hwy_gate_down_limit(q->watch[i], hwy_load_acquire(&q->watch[i]->cons),
					    stops[i], down->queue, down->in.cons, limit);
#else
	(void)q;
	(void)stops;
#endif
	return limit;
}

static void
guest_rx(struct rx_queue *q, uint32_t n)
{
	uint32_t stops[HWY_MAX_IN_LINKS * MAX_QUEUES];
	uint32_t done, reserve = 0;
	bool waiting = false;

	q->n_pkts = 0;
	if (q->deferred)
		publish_all(q);
#ifdef BREAK_STOP
	for (uint32_t i = 0; i < q->n_watch; i++)
		stops[i] = hwy_load_acquire(&q->watch[i]->stop);
	shake(&q->seed);
#endif
	for (uint32_t i = 0; i < q->n_normal; i++) {
		if (!hwy_consumer_refresh(&q->normal[i].in))
			violation("down ring", i, UINT32_MAX, q->normal[i].in.cons, 0);
		waiting |= q->normal[i].in.prod_seen != q->normal[i].in.cons;
	}
	shake(&q->seed);
	if (hwy_load_acquire(&region->ports[port_y].in_gen) != q->in_gen) {
		in_links_update(q);
#ifdef BREAK_STOP
		return;
#endif
	}
	if (waiting) {
#ifndef BREAK_STOP
		for (uint32_t i = 0; i < q->n_watch; i++)
			stops[i] = hwy_load_acquire(&q->watch[i]->stop);
#endif
		reserve = n > 3 ? n / 4 : 0;
	}
	shake(&q->seed);
	done = rx_links(q, n - reserve);
	shake(&q->seed);
	for (uint32_t i = 0; waiting && i < q->n_normal && done < n; i++) {
		struct inlet *down = &q->normal[i];
		uint32_t limit;

		if (down->in.prod_seen == down->in.cons)
			continue;
		limit = down_limit(q, down, stops);
		if (limit != down->in.cons)
			done += get_burst(q, "down ring", down, limit, n - done);
	}
	if (done == 0)
		sched_yield();
}

static void *
thread_y(void *arg)
{
	struct rx_queue *q = arg;

	for (uint32_t d = 0; d < n_queues; d++) {
		struct hwy_ring_at at = hwy_region_ring(region, region->ports[port_y].down[d]);

		q->down_cons[d] = &at.ring->cons;
		if (d % n_receivers != q->id)
			continue;
		q->normal[q->n_normal].queue = d;
		hwy_consumer_init(&q->normal[q->n_normal++].in, at);
	}
	q->in_gen = 1;
#ifndef BREAK_EARLY
	q->deferred = n_receivers > 1;
#endif
	while (!hwy_load(&all_over)) {
		guest_rx(q, 1 + (uint32_t)(next_random(&q->seed) % BURST));
		if (n_receivers > 1)
			shake(&q->seed);
		for (uint32_t i = 0; i < q->n_pkts; i++)
			check(&q->pkts[i]);
	}
	return NULL;
}

/* --- the run ------------------------------------------------------------------- */

static uint32_t
port_up(const char *name, char *err)
{
	uint32_t port = 0;

	for (int role = HWY_HOST; role <= HWY_GUEST; role++) {
		struct hwy_end *end;

		if (hwy_port_attach(region, name, (enum hwy_role)role, n_queues, &port, err) < 0) {
			fprintf(stderr, "%s\n", err);
			exit(2);
		}
		end = &region->ports[port].end[role];
		end->mtu = 1500;
		if (role == HWY_GUEST && strcmp(name, "y") == 0)
			end->rx_queues = n_receivers;
		hwy_store_release(&end->state, HWY_END_STARTED);
	}
	return port;
}

static bool
all_arrived(void)
{
	for (uint32_t c = 0; c < MAX_CLASSES + MAX_QUEUES; c++) {
		if (hwy_load(&last_of[c]) + 1 != hwy_load(&sent_of[c]))
			return false;
	}
	return true;
}

/* May a class join every link ring of X?  All is quiet. */
static bool
nothing_wedged(bool tell)
{
	bool fine = true;

	for (uint32_t l = 0; l < region->geo.link_count; l++) {
		const struct hwy_link *link = &region->links[l];

		if (hwy_load_acquire(&link->state) == HWY_LINK_FREE)
			continue;
		for (uint32_t k = 0; k < link->queues; k++) {
			const struct hwy_ring *ring = hwy_region_ring(region, link->ring[k]).ring;

			if (hwy_load_acquire(&ring->pass_epoch) ==
				    hwy_load_acquire(&ring->gate_epoch) &&
			    hwy_load(&ring->cons) == hwy_load(&ring->prod))
				continue;
			fine = false;
			if (tell)
				fprintf(stderr,
					"link %u ring %u is stuck: gate %u, answered %u, passed "
					"%u, stop "
					"%u, read %u of %u\n",
					l, k, hwy_load(&ring->gate_epoch),
					hwy_load(&ring->open_epoch), hwy_load(&ring->pass_epoch),
					hwy_load(&ring->stop), hwy_load(&ring->cons),
					hwy_load(&ring->prod));
		}
	}
	return fine;
}

/* Waits until 'condition' holds, an order was violated, or 'ns' have passed. */
static bool
wait_for(bool (*condition)(void), uint64_t ns)
{
	uint64_t end = hwy_now_ns() + ns;

	while (hwy_now_ns() < end && hwy_load(&errors) == 0) {
		if (condition != NULL && condition())
			return true;
		usleep(2000);
	}
	return condition != NULL && condition();
}

static bool
quiet(void)
{
	return nothing_wedged(false);
}

static uint64_t
argument(int argc, char **argv, int i, uint64_t otherwise)
{
	return argc > i ? strtoull(argv[i], NULL, 0) : otherwise;
}

int
main(int argc, char **argv)
{
	const char *base = getenv("TMPDIR"), *given = getenv("HIGHWAY_SEED");
	struct hwy_region_config config = {
		.domain = "stress", .size = HWY_MIN_REGION, .ring_size = 64};
	uint64_t seconds = argument(argc, argv, 1, 3);
	uint64_t seed = argument(argc, argv, 2, given != NULL ? strtoull(given, NULL, 0) : 0);
	uint64_t x_seed, rules_seed;
	uint32_t slot;
	char dir[128], err[HWY_ERR_SIZE] = "";
	static struct poller pollers[2];
	static struct rx_queue rxq[2];
	pthread_t x, rules;
	bool arrived = true, fine = true;

	n_classes = (uint32_t)argument(argc, argv, 3, n_classes);
	n_queues = (uint32_t)argument(argc, argv, 4, n_queues);
	n_pollers = (uint32_t)argument(argc, argv, 5, n_pollers);
	n_receivers = (uint32_t)argument(argc, argv, 6, n_receivers);
	if (n_queues < 1 || n_queues > MAX_QUEUES || n_classes < n_queues ||
	    n_classes > MAX_CLASSES || n_pollers < 1 || n_pollers > 2 || n_pollers > n_queues ||
	    n_receivers < 1 || n_receivers > 2 || n_receivers > n_queues) {
		fprintf(stderr,
			"usage: %s [seconds [seed [classes [queues [pollers [receivers]]]]]]\n",
			argv[0]);
		return 2;
	}
	if (seed == 0)
		seed = hwy_now_ns();
	printf("seed %llu, %u classes, %u queues, %u threads of the switch, %u receivers\n",
	       (unsigned long long)seed, n_classes, n_queues, n_pollers, n_receivers);
	fflush(stdout);
	if (base == NULL)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(dir, sizeof(dir), "%s/highway-stress-XXXXXX", base);
	config.dir = mkdtemp(dir);
	if (config.dir == NULL || hwy_region_open(&config, &region, err) < 0) {
		fprintf(stderr, "%s %s\n", dir, err);
		return 2;
	}
	port_x = port_up("x", err);
	port_y = port_up("y", err);
	memset(last_of, 0xff, sizeof(last_of));
	if (hwy_host_new(region, &host) < 0 ||
	    hwy_host_flow_add(host, port_x, class_key(0), port_y, &slot) < 0)
		return 2;
	hwy_host_flow_del(host, port_x, slot); /* the link stays */
	/* Indexes wrap during the run. */
	for (uint32_t i = 0; i < region->geo.ring_count; i++) {
		struct hwy_ring *ring = hwy_region_ring(region, i).ring;

		if (region->ring_tags[i] != HWY_TAG_FREE)
			ring->prod = ring->cons = ring->delivered = ring->stop = UINT32_MAX - 2000;
	}

	seed |= 1;
	x_seed = next_random(&seed) | 1;
	rules_seed = next_random(&seed) | 1;
	for (uint32_t i = 0; i < n_receivers; i++) {
		rxq[i].id = i;
		rxq[i].seed = next_random(&seed) | 1;
		pthread_create(&rxq[i].thread, NULL, thread_y, &rxq[i]);
	}
	for (uint32_t i = 0; i < n_pollers; i++) {
		pollers[i].id = i;
		pollers[i].seed = next_random(&seed) | 1;
		pthread_create(&pollers[i].thread, NULL, thread_poller, &pollers[i]);
	}
	pthread_create(&x, NULL, thread_x, &x_seed);
	pthread_create(&rules, NULL, thread_rules, &rules_seed);

	(void)wait_for(NULL, seconds * 1000000000ULL);
	hwy_store(&rules_over, 1);
	pthread_join(rules, NULL);
	hwy_store(&x_over, 1);
	pthread_join(x, NULL);
	if (hwy_load(&errors) == 0) {
		arrived = wait_for(all_arrived, SETTLE_NS);
		fine = wait_for(quiet, BROKEN ? 1000000000ULL : SETTLE_NS);
	}
	hwy_store(&all_over, 1);
	for (uint32_t i = 0; i < n_pollers; i++)
		pthread_join(pollers[i].thread, NULL);
	for (uint32_t i = 0; i < n_receivers; i++)
		pthread_join(rxq[i].thread, NULL);

	printf("%llu switch-overs (%llu joins, %llu leaves), %llu packets sent, %llu by links, "
	       "%llu full rings, %u violations%s%s\n",
	       (unsigned long long)(joins + leaves), (unsigned long long)joins,
	       (unsigned long long)leaves, (unsigned long long)sent, (unsigned long long)by_link,
	       (unsigned long long)blocked_full, errors, arrived ? "" : ", not everything arrived",
	       fine ? "" : ", a link is stuck");
	if (!arrived) {
		for (uint32_t c = 0; c < MAX_CLASSES + MAX_QUEUES; c++)
			fprintf(stderr, "class %u: %u sent, last was %d\n", c, sent_of[c],
				(int)last_of[c]);
	}
	if (!arrived || !fine)
		(void)nothing_wedged(true);
	hwy_host_free(host);
	hwy_region_close(region);
	rmdir(dir);
	if (BROKEN)
		return errors > 0 || !arrived || !fine ? 0 : 1;
	return errors > 0 || !arrived || !fine || joins + leaves < 300 * seconds;
}
