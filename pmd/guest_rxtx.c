/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bursts of the guest end: X and Y of docs/internals/switch-over.md.
 *
 * Sending.  At the beginning of a burst, when everything is published, the queue looks
 * whether its routes changed: it leaves links whose route is gone and joins those whose
 * turn it is (rule 2).  Then each packet goes by its class: to a link it has joined, or
 * to the up ring.  Where an agent has proved that all packets go to one port, none is
 * looked at.
 *
 * Receiving.  The down ring's producer index first, then who may send to us, then what
 * they have stopped at, then the links, then the down ring (rule 3).
 */
#include "class.h"
#include "mbuf.h"

/* --- sending ------------------------------------------------------------------- */

static inline uint32_t
hash_of(uint64_t key)
{
	return (uint32_t)((key * 0x9e3779b97f4a7c15ULL) >> 57) & (HWY_CLASS_HASH - 1);
}

static struct hwy_class_entry *
class_find(struct hwy_tx_queue *q, uint64_t key)
{
	for (uint32_t i = hash_of(key); q->hash[i] != 0; i = (i + 1) & (HWY_CLASS_HASH - 1)) {
		if (q->classes[q->hash[i] - 1].key == key)
			return &q->classes[q->hash[i] - 1];
	}
	return NULL;
}

/* Class entry of a packet's key, with a memory for the last answer. */
static inline struct hwy_class_entry *
class_look_up(struct hwy_tx_queue *q, uint64_t key)
{
	if (likely(key == q->last_key))
		return q->last;
	q->last_key = key;
	q->last = class_find(q, key);
	return q->last;
}

static void
path_leave(struct hwy_tx_queue *q, struct hwy_path *path)
{
	hwy_gate_leave(&path->out);
	for (uint32_t i = 0; i < q->n_classes; i++) {
		struct hwy_class_entry *c = &q->classes[i];

		if (&q->paths[c->path] == path && c->joined) {
			c->joined = false;
			path->joined--;
			path->waiting++;
			q->joined--;
			q->waiting++;
		}
	}
}

/* A consistent copy of the port's routes; false if the host is changing them. */
static bool
routes_copy(const struct hwy_port *port, uint32_t seq, struct hwy_route *routes, uint32_t *n)
{
	if (seq & 1)
		return false;
	*n = hwy_load(&port->n_routes);
	if (*n > HWY_MAX_ROUTES)
		return false;
	for (uint32_t i = 0; i < *n; i++) {
		routes[i].key = hwy_load(&port->routes[i].key);
		routes[i].link = hwy_load(&port->routes[i].link);
		routes[i].slot = hwy_load(&port->routes[i].slot);
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return hwy_load(&port->route_seq) == seq;
}

/* Does the region's own table agree that 'route' may be used by queue q? */
static bool
route_ok(const struct hwy_tx_queue *q, const struct hwy_route *route)
{
	const struct hwy_region *r = q->dev->region;
	const struct hwy_link *link;

	if (route->link >= r->geo.link_count || route->slot >= HWY_MAX_ROUTES)
		return false;
	link = &r->links[route->link];
	return link->src == q->dev->index && link->dst < r->geo.port_count &&
	       q->ring < link->queues && link->ring[q->ring] < r->geo.ring_count;
}

static uint16_t
path_of(struct hwy_tx_queue *q, uint32_t index)
{
	struct hwy_region *r = q->dev->region;
	struct hwy_link *link = &r->links[index];
	struct hwy_path *path;

	for (uint32_t i = 0; i < q->n_paths; i++) {
		if (q->paths[i].link == index)
			return (uint16_t)i;
	}
	path = &q->paths[q->n_paths];
	memset(path, 0, sizeof(*path));
	path->link = index;
	hwy_producer_init(&path->out, hwy_region_ring(r, link->ring[q->ring]));
	path->sent = &link->queue[q->ring].sent;
	path->to = &r->ports[link->dst].end[HWY_GUEST];
	return (uint16_t)q->n_paths++;
}

/*
 * Takes the port's routes over.  A class that used a link and no longer has it leaves
 * it now; one that has a new route waits to join.  Everything is published.
 */
static void
routes_update(struct hwy_tx_queue *q, uint32_t seq)
{
	struct hwy_class_entry before[HWY_MAX_ROUTES];
	uint32_t before_link[HWY_MAX_ROUTES];
	uint32_t n_before = q->n_classes, n;
	struct hwy_route routes[HWY_MAX_ROUTES];

	if (!routes_copy(q->dev->port, seq, routes, &n))
		return; /* the next burst tries again */
	memcpy(before, q->classes, sizeof(before[0]) * n_before);
	for (uint32_t i = 0; i < n_before; i++) {
		struct hwy_path *path = &q->paths[before[i].path];
		bool stays = false;

		before_link[i] = path->link;
		for (uint32_t k = 0; k < n; k++)
			stays |= routes[k].key == before[i].key && routes[k].link == path->link;
		if (before[i].joined && !stays)
			hwy_gate_leave(&path->out);
	}
	q->n_paths = q->n_classes = q->joined = q->waiting = 0;
	q->last_key = HWY_CLASS_NONE;
	q->last = NULL;
	memset(q->hash, 0, sizeof(q->hash));
	for (uint32_t k = 0; k < n; k++) {
		struct hwy_class_entry *c = &q->classes[q->n_classes];
		struct hwy_path *path;
		uint32_t at;

		if (!route_ok(q, &routes[k]))
			continue;
		c->key = routes[k].key;
		c->slot = routes[k].slot;
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
		for (at = hash_of(c->key); q->hash[at] != 0;)
			at = (at + 1) & (HWY_CLASS_HASH - 1);
		q->hash[at] = (uint8_t)(++q->n_classes);
	}
	q->all = q->n_classes == 1 && q->classes[0].key == HWY_CLASS_ALL ? &q->classes[0] : NULL;
	q->route_seq = seq;
	hwy_store_release(&q->dev->end->route_ack[q->ring], seq);
}

/* Lets waiting classes join where rule 2 allows it: one gate for all of a link. */
static void
join(struct hwy_tx_queue *q)
{
	for (uint32_t p = 0; p < q->n_paths; p++) {
		struct hwy_path *path = &q->paths[p];

		if (path->waiting == 0 || !hwy_end_up(path->to) ||
		    !hwy_gate_may_join(path->out.at.ring))
			continue;
		hwy_gate_join(&path->out, &q->out);
		for (uint32_t i = 0; i < q->n_classes; i++) {
			struct hwy_class_entry *c = &q->classes[i];

			if (c->path == p && !c->joined) {
				c->joined = true;
				q->joined++;
				q->waiting--;
			}
		}
		path->joined += path->waiting;
		path->waiting = 0;
	}
}

static inline uint64_t
key_of(const struct rte_mbuf *m)
{
	return hwy_class_of(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len);
}

static inline void
count_link(struct hwy_tx_queue *q, struct hwy_path *path, uint32_t slot,
	   const struct hwy_packets_bytes *sent)
{
	struct hwy_packets_bytes *by_slot = &q->dev->port->sent[q->ring][slot];

	hwy_count(&path->sent->packets, sent->packets);
	hwy_count(&path->sent->bytes, sent->bytes);
	hwy_count(&by_slot->packets, sent->packets);
	hwy_count(&by_slot->bytes, sent->bytes);
	hwy_count(&q->counters->bypass_packets, sent->packets);
	hwy_count(&q->counters->bypass_bytes, sent->bytes);
}

/* Sends a burst of which some may go by links: runs of packets of one class. */
static uint16_t
tx_by_class(struct hwy_tx_queue *q, struct rte_mbuf **pkts, uint16_t n,
	    struct hwy_packets_bytes *normal, struct hwy_free_list *list)
{
	bool touched[HWY_MAX_ROUTES] = {false};
	struct hwy_class_entry *next = class_look_up(q, key_of(pkts[0]));
	uint16_t done = 0;

	while (done < n) {
		struct hwy_class_entry *c = next;
		struct hwy_packets_bytes sent = {0, 0};
		uint16_t run = 1, took;

		for (; done + run < n; run++) {
			next = class_look_up(q, key_of(pkts[done + run]));
			if (next != c)
				break;
		}
		if (c != NULL && c->joined && !hwy_end_up(q->paths[c->path].to))
			path_leave(q, &q->paths[c->path]);
		if (c != NULL && c->joined) {
			struct hwy_path *path = &q->paths[c->path];

			took = hwy_put_burst(q, &path->out, pkts + done, run, &sent, list);
			count_link(q, path, c->slot, &sent);
			touched[c->path] = true;
		} else {
			took = hwy_put_burst(q, &q->out, pkts + done, run, normal, list);
		}
		done = (uint16_t)(done + took);
		if (took < run)
			break; /* a full ring ends the burst, as a full NIC queue would */
	}
	for (uint32_t p = 0; p < q->n_paths; p++) {
		if (touched[p]) {
			hwy_producer_publish(&q->paths[p].out);
			hwy_gate_keep_up(&q->paths[p].out);
		}
	}
	return done;
}

/* Sends a burst all of which goes by one link, whatever it is. */
static inline uint16_t
tx_all(struct hwy_tx_queue *q, struct rte_mbuf **pkts, uint16_t n, struct hwy_free_list *list)
{
	struct hwy_path *path = &q->paths[q->all->path];
	struct hwy_packets_bytes sent = {0, 0};
	uint16_t done = hwy_put_burst(q, &path->out, pkts, n, &sent, list);

	count_link(q, path, q->all->slot, &sent);
	hwy_producer_publish(&path->out);
	hwy_gate_keep_up(&path->out);
	return done;
}

static uint16_t
tx_once(struct hwy_tx_queue *q, struct rte_mbuf **pkts, uint16_t n)
{
	struct hwy_packets_bytes normal = {0, 0};
	struct hwy_free_list list;
	uint32_t seq = hwy_load_acquire(&q->dev->port->route_seq);
	uint16_t done;

	list.n = 0;
	list.pool = pkts[0]->pool;
	if (unlikely(seq != q->route_seq))
		routes_update(q, seq);
	if (unlikely(q->waiting > 0))
		join(q);
	if (q->all != NULL && q->joined > 0 && unlikely(!hwy_end_up(q->paths[q->all->path].to)))
		path_leave(q, &q->paths[q->all->path]);
	if (q->joined > 0 && q->all != NULL) {
		done = tx_all(q, pkts, n, &list);
	} else if (q->joined > 0) {
		done = tx_by_class(q, pkts, n, &normal, &list);
	} else if (likely(hwy_end_up(q->dev->peer))) {
		done = hwy_put_burst(q, &q->out, pkts, n, &normal, &list);
	} else {
		hwy_count(&q->counters->link_down, n);
		done = 0;
	}
	if (normal.packets > 0) {
		hwy_producer_publish(&q->out);
		hwy_count(&q->counters->normal_packets, normal.packets);
		hwy_count(&q->counters->normal_bytes, normal.bytes);
	}
	hwy_free_flush(&list);
	return done;
}

uint16_t
hwy_guest_tx(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct hwy_tx_queue *q = queue;
	uint16_t done;

	if (unlikely(n == 0 || !q->started))
		return 0;
	done = tx_once(q, pkts, n);
	if (unlikely(done < n && q->dev->idle == HWY_IDLE_YIELD)) {
		hwy_idle_full(q->dev);
		done = (uint16_t)(done + tx_once(q, pkts + done, (uint16_t)(n - done)));
	}
	return done;
}

/* --- receiving ----------------------------------------------------------------- */

/*
 * Takes the list of links that end here over: those whose ring this queue polls, and
 * all of them for rule 3.  The consumer side of a ring lives in the region, so that it
 * can be taken up where it was left.
 */
static void
in_links_update(struct hwy_rx_queue *q)
{
	const struct hwy_region *r = q->dev->region;
	const struct hwy_port *port = q->dev->port;
	uint32_t gen = hwy_load_acquire(&port->in_gen);
	uint32_t list[HWY_MAX_IN_LINKS], n = hwy_load(&port->n_in);
	uint32_t queues = hwy_load(&q->dev->end->rx_queues);

	if ((gen & 1) || n > HWY_MAX_IN_LINKS)
		return;
	for (uint32_t i = 0; i < n; i++)
		list[i] = hwy_load(&port->in_links[i]);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (hwy_load(&port->in_gen) != gen)
		return;
	q->n_links = q->n_watch = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct hwy_link *link = &r->links[list[i] % r->geo.link_count];

		for (uint32_t k = 0; k < link->queues && k < HWY_MAX_QUEUES; k++) {
			struct hwy_ring_at at;

			if (link->ring[k] >= r->geo.ring_count)
				continue;
			at = hwy_region_ring(r, link->ring[k]);
			q->watch[q->n_watch++] = at.ring;
			if (k % queues == q->id) {
				struct hwy_inlet *inlet = &q->links[q->n_links++];

				inlet->link = list[i];
				inlet->queue = k;
				hwy_consumer_init(&inlet->in, at);
			}
		}
	}
	q->in_gen = gen;
	q->turn = 0;
	hwy_store_release(&q->dev->end->in_ack[q->id], gen);
}

static inline uint16_t
rx_links(struct hwy_rx_queue *q, struct rte_mbuf **pkts, uint16_t n, struct hwy_packets_bytes *got)
{
	uint16_t done = 0, at = q->turn;

	for (uint16_t i = 0; i < q->n_links && done < n; i++) {
		struct hwy_consumer *in = &q->links[at].in;
		uint32_t limit;

		if (unlikely(!hwy_consumer_refresh(in)))
			hwy_count(&q->counters->bad_desc, 1);
		/* A gate wants to be passed even if nothing came after it. */
		if (in->prod_seen != in->cons ||
		    unlikely(hwy_load(&in->at.ring->gate_epoch) != in->at.ring->pass_epoch)) {
			limit = hwy_gate_link_limit(in, q->down_cons, q->dev->port->queues);
			if (likely(limit != in->cons))
				done = (uint16_t)(done + hwy_get_burst(q, in, limit, pkts + done,
								       (uint16_t)(n - done), got));
		}
		if (++at == q->n_links)
			at = 0;
	}
	q->turn = at; /* the one that was not reached goes first */
	return done;
}

/* How far the down ring of this queue may be read: rule 3 over all links. */
static inline uint32_t
down_limit(const struct hwy_rx_queue *q, const struct hwy_inlet *down, const uint32_t *stops)
{
	uint32_t limit = down->in.prod_seen;

	for (uint16_t i = 0; i < q->n_watch; i++)
		limit = hwy_gate_down_limit(q->watch[i], hwy_load_acquire(&q->watch[i]->delivered),
					    stops[i], down->queue, down->in.cons, limit);
	return limit;
}

/*
 * With several receive queues, another thread may deliver what has to come after the
 * packets of this one.  It looks at what was delivered for that, which moves when the
 * application has come back for more, and not before it has seen the packets.
 */
static void
publish_all(struct hwy_rx_queue *q)
{
	for (uint16_t i = 0; i < q->n_normal; i++) {
		if (q->normal[i].in.cons != q->normal[i].in.at.ring->delivered)
			hwy_consumer_publish(&q->normal[i].in);
	}
	for (uint16_t i = 0; i < q->n_links; i++) {
		if (q->links[i].in.cons != q->links[i].in.at.ring->delivered)
			hwy_consumer_publish(&q->links[i].in);
	}
}

uint16_t
hwy_guest_rx(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct hwy_rx_queue *q = queue;
	struct hwy_packets_bytes bypass = {0, 0}, normal = {0, 0};
	uint32_t stops[HWY_MAX_INLETS];
	uint16_t done, reserve = 0, waiting = 0;

	if (unlikely(!q->started))
		return 0;
	if (q->deferred)
		publish_all(q);
	/* Down rings first; then the links, whose news came before what is down there. */
	for (uint16_t i = 0; i < q->n_normal; i++) {
		if (unlikely(!hwy_consumer_refresh(&q->normal[i].in)))
			hwy_count(&q->counters->bad_desc, 1);
		waiting |= q->normal[i].in.prod_seen != q->normal[i].in.cons;
	}
	if (unlikely(hwy_load_acquire(&q->dev->port->in_gen) != q->in_gen))
		in_links_update(q);
	if (unlikely(waiting)) {
		for (uint16_t i = 0; i < q->n_watch; i++)
			stops[i] = hwy_load_acquire(&q->watch[i]->stop);
		reserve = n > 3 ? n / 4 : 0; /* a busy link must not starve the switch */
	}
	done = rx_links(q, pkts, (uint16_t)(n - reserve), &bypass);
	if (bypass.packets > 0) {
		hwy_count(&q->counters->bypass_packets, bypass.packets);
		hwy_count(&q->counters->bypass_bytes, bypass.bytes);
	}
	for (uint16_t i = 0; unlikely(waiting) && i < q->n_normal && done < n; i++) {
		struct hwy_inlet *down = &q->normal[i];
		uint32_t limit;

		if (down->in.prod_seen == down->in.cons)
			continue;
		limit = down_limit(q, down, stops);
		if (limit != down->in.cons)
			done = (uint16_t)(done + hwy_get_burst(q, &down->in, limit, pkts + done,
							       (uint16_t)(n - done), &normal));
	}
	if (normal.packets > 0) {
		hwy_count(&q->counters->normal_packets, normal.packets);
		hwy_count(&q->counters->normal_bytes, normal.bytes);
	}
	hwy_idle(q, done);
	return done;
}

/* --- start and stop ------------------------------------------------------------ */

/* Receive queue i of n polls down rings i, i + n, ...; transmit queue i has up ring i. */
void
hwy_guest_start(struct hwy_dev *dev)
{
	uint16_t n_rx = dev->eth->data->nb_rx_queues, n_tx = dev->eth->data->nb_tx_queues;

	for (uint16_t i = 0; i < n_rx; i++) {
		struct hwy_rx_queue *q = dev->rxq[i];

		q->n_normal = 0;
		for (uint32_t d = 0; d < dev->port->queues; d++) {
			struct hwy_ring_at at = hwy_region_ring(dev->region, dev->port->down[d]);

			q->down_cons[d] = &at.ring->delivered;
			if (d % n_rx != i)
				continue;
			q->normal[q->n_normal].queue = d;
			hwy_consumer_init(&q->normal[q->n_normal++].in, at);
		}
		q->in_gen = 1; /* odd: never current */
		q->n_links = q->n_watch = 0;
		q->deferred = n_rx > 1;
		q->started = true;
	}
	for (uint16_t i = 0; i < n_tx; i++) {
		struct hwy_tx_queue *q = dev->txq[i];

		q->ring = i;
		hwy_producer_init(&q->out, hwy_region_ring(dev->region, dev->port->up[i]));
		q->n_paths = q->n_classes = q->joined = q->waiting = 0;
		q->last_key = HWY_CLASS_NONE;
		q->last = NULL;
		q->all = NULL;
		memset(q->hash, 0, sizeof(q->hash));
		q->route_seq = 1;
		q->started = true;
	}
}

/* What this life of the port left in links comes before what the next one sends by
 * the switch. */
void
hwy_guest_stop(struct hwy_dev *dev)
{
	for (uint16_t i = 0; i < dev->eth->data->nb_tx_queues; i++) {
		struct hwy_tx_queue *q = dev->txq[i];

		for (uint32_t p = 0; q->started && p < q->n_paths; p++) {
			if (q->paths[p].joined > 0)
				hwy_gate_leave(&q->paths[p].out);
		}
		q->started = false;
	}
	for (uint16_t i = 0; i < dev->eth->data->nb_rx_queues; i++) {
		if (dev->rxq[i]->started)
			publish_all(dev->rxq[i]);
		dev->rxq[i]->started = false;
	}
}
