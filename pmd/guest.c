/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The slow side of a guest end: taking routes and links over when they change, joining
 * and leaving links, start and stop.  The bursts are in guest_rxtx.c.
 */
#include "guest.h"

void
hwy_guest_leave(struct hwy_tx_queue *q, struct hwy_path *path)
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

/* The link region that a link's rings are in, NULL if it is not mapped. */
static struct hwy_mapping *
mapping_of(const struct hwy_dev *dev, const struct hwy_link *link)
{
	uint32_t slot = hwy_load(&link->attach) - 1;

	return slot < HWY_MAX_ATTACH ? hwy_load_acquire(&dev->attach.at[slot]) : NULL;
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
	if (link->attach != 0)
		return link->src == q->dev->index && link->dst == HWY_PORT_FAR &&
		       q->ring < link->queues && mapping_of(q->dev, link) != NULL;
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
	path->sent = &link->queue[q->ring].sent;
	if (link->attach != 0) {
		struct hwy_mapping *far = mapping_of(q->dev, link);

		hwy_producer_init(&path->out,
				  hwy_region_ring(far->region, HWY_LINK_RING(far->end, q->ring)));
		path->out.far = far;
		path->to = &far->region->ports[0].end[1 - far->end];
		q->far_slots |= 1u << far->slot;
	} else {
		hwy_producer_init(&path->out, hwy_region_ring(r, link->ring[q->ring]));
		path->to = &r->ports[link->dst].end[HWY_GUEST];
	}
	return (uint16_t)q->n_paths++;
}

/*
 * Takes the port's routes over.  A class that used a link and no longer has it leaves
 * it now; one that has a new route waits to join.  Everything is published.
 */
void
hwy_guest_routes(struct hwy_tx_queue *q, uint32_t seq)
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
	hwy_store_release(&q->far_slots, 0);
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
		for (at = hwy_class_hash(c->key); q->hash[at] != 0;)
			at = (at + 1) & (HWY_CLASS_HASH - 1);
		q->hash[at] = (uint8_t)(++q->n_classes);
	}
	q->all = q->n_classes == 1 && q->classes[0].key == HWY_CLASS_ALL ? &q->classes[0] : NULL;
	q->route_seq = seq;
	hwy_store_release(&q->dev->end->route_ack[q->ring], seq);
	hwy_dev_attach_quick(q->dev);
}

/* Lets waiting classes join where rule 2 allows it: one gate for all of a link. */
void
hwy_guest_join(struct hwy_tx_queue *q)
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

/* Of the time that a receiver is given to get past a third one's lies. */
#define STALL_PATIENCES 3

/*
 * A receiver that takes less than half a ring of packets in all that time, although each burst
 * finds it full or without chunks: it has stopped, or wants us to.
 */
void
hwy_guest_stalled(struct hwy_tx_queue *q, struct hwy_path *path)
{
	uint64_t now = hwy_monotonic_ms();
	uint64_t patience_ms = (uint64_t)STALL_PATIENCES * hwy_guest_patience_ms;
	bool goes_on = now - path->stalled_ms < patience_ms / 4;

	path->stalled_ms = now;
	if (goes_on && now - path->stalled_since_ms < patience_ms)
		return;
	if (goes_on && path->out.prod - path->stalled_prod <= path->out.at.mask / 2)
		hwy_store(&q->dev->attach.broken[path->out.far->slot], ETIMEDOUT);
	path->stalled_since_ms = now;
	path->stalled_prod = path->out.prod;
}

/* --- receiving ----------------------------------------------------------------- */

unsigned int hwy_guest_patience_ms = 2000;

/* Two looks further apart are not one hold, and HOLD_PARDON of what lies between them pays for
 * one of what was held. */
#define HOLD_GAP_MS 20
#define HOLD_PARDON 16

/*
 * A sender that has written a 'stop' and never gets there, or has spoilt the words that are ours
 * or the host's, keeps us from what all others send by the switch.  A moment of that is in every
 * switch-over.
 */
void
hwy_guest_held(struct hwy_rx_queue *q, const struct hwy_inlet *down, const uint32_t *stops)
{
	uint64_t now = hwy_monotonic_ms();
	uint32_t held = 0;

	for (uint16_t i = 0; i < q->n_watch; i++) {
		const struct hwy_ring *ring = q->watch[i];

		if (q->watch_slot[i] != 0 &&
		    hwy_gate_down_limit(ring, hwy_load_acquire(&ring->delivered), stops[i],
					down->queue, down->in.cons,
					down->in.prod_seen) == down->in.cons)
			held |= 1u << (q->watch_slot[i] - 1);
	}
	for (uint32_t slot = 0; slot < HWY_MAX_ATTACH; slot++) {
		struct hwy_hold *hold = &q->holds[slot];
		uint64_t passed = now - hold->last_ms;

		if ((held >> slot & 1) == 0)
			continue;
		if (passed <= HOLD_GAP_MS)
			hold->sum_ms += passed;
		else
			hold->sum_ms -= RTE_MIN(hold->sum_ms, passed / HOLD_PARDON);
		hold->last_ms = now;
		if (hold->sum_ms >= hwy_guest_patience_ms)
			hwy_store(&q->dev->attach.broken[slot], EBADMSG);
	}
}

/*
 * Takes the list of links that end here over: those whose ring this queue polls, and
 * all of them for rule 3.  The consumer side of a ring lives in the region, so that it
 * can be taken up where it was left.
 */
void
hwy_guest_in_links(struct hwy_rx_queue *q)
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
	memset(q->holds, 0, sizeof(q->holds));
	hwy_store_release(&q->far_slots, 0);
	for (uint32_t i = 0; i < n; i++) {
		const struct hwy_link *link = &r->links[list[i] % r->geo.link_count];
		struct hwy_mapping *far = mapping_of(q->dev, link);

		if (far != NULL)
			hwy_store_release(&q->far_slots, q->far_slots | 1u << far->slot);
		else if (link->attach != 0)
			continue; /* it is told only of what it has mapped */
		for (uint32_t k = 0; k < link->queues && k < HWY_MAX_QUEUES; k++) {
			struct hwy_ring_at at;

			if (far == NULL && link->ring[k] >= r->geo.ring_count)
				continue;
			at = far == NULL
				     ? hwy_region_ring(r, link->ring[k])
				     : hwy_region_ring(far->region, HWY_LINK_RING(1 - far->end, k));
			q->watch_slot[q->n_watch] = far == NULL ? 0 : (uint8_t)(far->slot + 1);
			q->watch[q->n_watch++] = at.ring;
			if (k % queues == q->id) {
				struct hwy_inlet *inlet = &q->links[q->n_links++];

				inlet->link = list[i];
				inlet->queue = k;
				hwy_consumer_init(&inlet->in, at);
				inlet->in.far = far;
			}
		}
	}
	q->in_gen = gen;
	q->turn = 0;
	hwy_store_release(&q->dev->end->in_ack[q->id], gen);
	hwy_dev_attach_quick(q->dev);
}

/*
 * With several receive queues, another thread may deliver what has to come after the
 * packets of this one.  It looks at what was delivered for that, which moves when the
 * application has come back for more, and not before it has seen the packets.
 */
void
hwy_guest_publish(struct hwy_rx_queue *q)
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

/* --- start and stop ------------------------------------------------------------ */

/* Receive queue i of n polls down rings i, i + n, ...; transmit queue i has up ring i. */
void
hwy_guest_start(struct hwy_dev *dev)
{
	uint16_t n_rx = dev->eth->data->nb_rx_queues, n_tx = dev->eth->data->nb_tx_queues;

	for (uint16_t i = 0; i < n_rx; i++) {
		struct hwy_rx_queue *q = dev->rxq[i];

		q->n_normal = 0;
		for (uint32_t d = 0; d < dev->queues; d++) {
			struct hwy_ring_at at = hwy_region_ring(dev->region, dev->port->down[d]);

			q->down_cons[d] = &at.ring->delivered;
			if (d % n_rx != i)
				continue;
			q->normal[q->n_normal].queue = d;
			hwy_consumer_init(&q->normal[q->n_normal++].in, at);
		}
		q->in_gen = 1; /* odd: never current */
		q->far_slots = 0;
		q->n_links = q->n_watch = 0;
		q->deferred = n_rx > 1;
		q->losable = dev->region->realm != 0;
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
		q->far_slots = 0;
		q->losable = dev->region->realm != 0;
		q->started = true;
	}
}

/* Without a word to the region.  A burst that is under way ends by itself. */
void
hwy_guest_lose(struct hwy_dev *dev)
{
	static struct hwy_end nobody; /* detached: what is read and written from now on */

	for (uint16_t i = 0; i < HWY_MAX_QUEUES; i++) {
		if (dev->rxq[i] != NULL)
			dev->rxq[i]->started = false;
		if (dev->txq[i] != NULL)
			dev->txq[i]->started = false;
	}
	dev->end = dev->peer = &nobody;
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
		hwy_store_release(&q->far_slots, 0);
	}
	for (uint16_t i = 0; i < dev->eth->data->nb_rx_queues; i++) {
		if (dev->rxq[i]->started)
			hwy_guest_publish(dev->rxq[i]);
		dev->rxq[i]->started = false;
		hwy_store_release(&dev->rxq[i]->far_slots, 0);
	}
	hwy_attach_up(&dev->attach, false);
}
