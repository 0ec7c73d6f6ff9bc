/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bursts of the guest end: X and Y of docs/internals/switch-over.md.  Compiled once for
 * each width of vectors, see isa.h.
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
#include "guest.h"
#include "isa.h"
#include "mbuf.h"

/* --- sending ------------------------------------------------------------------- */

/* Class entry of a packet's key, with a memory for the last answer. */
static inline struct hwy_class_entry *
class_look_up(struct hwy_tx_queue *q, uint64_t key)
{
	if (likely(key == q->last_key))
		return q->last;
	q->last_key = key;
	q->last = hwy_class_find(q, key);
	return q->last;
}

static __rte_noinline uint64_t
key_of(const struct rte_mbuf *m)
{
	return hwy_class_of(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len);
}

static inline void
count_path(struct hwy_tx_queue *q, struct hwy_path *path, const struct hwy_packets_bytes *sent)
{
	hwy_count(&path->sent->packets, sent->packets);
	hwy_count(&path->sent->bytes, sent->bytes);
	hwy_count(&q->counters->bypass_packets, sent->packets);
	hwy_count(&q->counters->bypass_bytes, sent->bytes);
}

static inline void
count_slot(struct hwy_tx_queue *q, uint32_t slot, uint64_t packets, uint64_t bytes)
{
	struct hwy_packets_bytes *by_slot = &q->dev->port->sent[q->ring][slot];

	hwy_count(&by_slot->packets, packets);
	hwy_count(&by_slot->bytes, bytes);
}

/* Puts packets into a link's ring.  What the other VNF of a link region sees must be the packets
 * alone; within a domain everybody sees everything. */
static __rte_noinline uint16_t
put_far(struct hwy_tx_queue *q, struct hwy_path *path, struct rte_mbuf **pkts, uint16_t n,
	struct hwy_packets_bytes *sent, struct hwy_free_list *list)
{
	uint16_t took = hwy_put_burst(q, &path->out, pkts, n, sent, list, true);

	if (unlikely(took < n))
		hwy_guest_stalled(q, path);
	return took;
}

/*
 * Packets that follow one another and go the same way: parts of one class each.  They are written
 * to the ring together; what is counted for each class is known before, as they are gone then.
 */
#define MAX_PARTS 32

struct part {
	const struct hwy_class_entry *class; /* NULL: by the switch */
	uint32_t end;                        /* its packets are those before this one */
	uint64_t bytes;                      /* of all packets so far */
};

struct run {
	struct part parts[MAX_PARTS];
	uint32_t n_parts;
	bool by_link;
	uint16_t path;
};

static inline bool
plain_ipv4(const struct rte_mbuf *m)
{
	return hwy_class_plain_ipv4(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len);
}

/* None that hwy_put_burst() drops is among these. */
static inline bool
all_fit(const struct hwy_tx_queue *q, struct rte_mbuf *const *pkts, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (pkts[i]->pkt_len > q->dev->max_frame || pkts[i]->pkt_len == 0)
			return false;
	return true;
}

/* Finds how many of 'n' > 0 packets go the same way. */
static inline uint16_t
run_of(struct hwy_tx_queue *q, struct rte_mbuf **pkts, uint16_t n, struct run *run)
{
	const struct hwy_class_entry *class = class_look_up(q, key_of(pkts[0]));
	uint64_t key = q->last_key, bytes = pkts[0]->pkt_len;
	uint32_t limit = UINT32_MAX, i;

	run->n_parts = 0;
	run->by_link = class != NULL && class->joined;
	run->path = run->by_link ? class->path : 0;
	for (i = 1; i < n; i++) {
		uint32_t length = pkts[i]->pkt_len;
		uint64_t other;

		if (likely(key == HWY_CLASS_IPV4 && plain_ipv4(pkts[i]) && length <= limit)) {
			bytes += length;
			continue;
		}
		other = key_of(pkts[i]);
		if (other != key || length > limit) {
			const struct hwy_class_entry *next = class_look_up(q, other);
			bool by_link = next != NULL && next->joined;

			if (by_link != run->by_link)
				break;
			if (by_link && next != class) {
				if (next->path != run->path || run->n_parts == MAX_PARTS - 1 ||
				    !all_fit(q, pkts, limit == UINT32_MAX ? i : 0))
					break;
				run->parts[run->n_parts++] = (struct part){class, i, bytes};
				limit = q->dev->max_frame;
			}
			if (length > limit)
				break;
			class = next;
			key = other;
		}
		bytes += length;
	}
	run->parts[run->n_parts++] = (struct part){class, i, bytes};
	return (uint16_t)i;
}

/* Counts the first 'took' packets of a run of several classes for each of them; those from 'took'
 * on are still ours. */
static __rte_noinline void
count_parts(struct hwy_tx_queue *q, struct rte_mbuf *const *pkts, const struct run *run,
	    uint32_t took)
{
	uint32_t begin = 0;
	uint64_t before = 0;

	for (uint32_t p = 0; p < run->n_parts && begin < took; p++) {
		const struct part *part = &run->parts[p];
		uint32_t end = RTE_MIN(part->end, took);
		uint64_t bytes = part->bytes - before;

		for (uint32_t i = end; i < part->end; i++)
			bytes -= pkts[i]->pkt_len;
		count_slot(q, part->class->slot, end - begin, bytes);
		begin = part->end;
		before = part->bytes;
	}
}

/* Sends a burst of which some may go by links. */
static uint16_t
tx_by_class(struct hwy_tx_queue *q, struct rte_mbuf **pkts, uint16_t n,
	    struct hwy_packets_bytes *normal, struct hwy_free_list *list)
{
	bool touched[HWY_MAX_ROUTES] = {false};
	uint16_t done = 0;

	while (done < n) {
		struct hwy_packets_bytes sent = {0, 0};
		struct run run;
		uint16_t took, many = run_of(q, pkts + done, (uint16_t)(n - done), &run);
		struct hwy_path *path = &q->paths[run.path];

		if (run.by_link && unlikely(!hwy_end_up(path->to))) {
			hwy_guest_leave(q, path);
			run.by_link = false;
		}
		if (likely(run.by_link)) {
			took = unlikely(path->out.far != NULL)
				       ? put_far(q, path, pkts + done, many, &sent, list)
				       : hwy_put_burst(q, &path->out, pkts + done, many, &sent,
						       list, false);
			count_path(q, path, &sent);
			if (likely(run.n_parts == 1))
				count_slot(q, run.parts[0].class->slot, sent.packets, sent.bytes);
			else
				count_parts(q, pkts + done, &run, took);
			touched[run.path] = true;
		} else {
			took = hwy_put_burst(q, &q->out, pkts + done, many, normal, list, false);
		}
		done = (uint16_t)(done + took);
		if (took < many)
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
	uint16_t done = path->out.far != NULL
				? put_far(q, path, pkts, n, &sent, list)
				: hwy_put_burst(q, &path->out, pkts, n, &sent, list, false);

	count_path(q, path, &sent);
	count_slot(q, q->all->slot, sent.packets, sent.bytes);
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
		hwy_guest_routes(q, seq);
	if (unlikely(q->waiting > 0))
		hwy_guest_join(q);
	if (q->all != NULL && q->joined > 0 && unlikely(!hwy_end_up(q->paths[q->all->path].to)))
		hwy_guest_leave(q, &q->paths[q->all->path]);
	if (q->joined > 0 && q->all != NULL) {
		done = tx_all(q, pkts, n, &list);
	} else if (q->joined > 0) {
		done = tx_by_class(q, pkts, n, &normal, &list);
	} else if (likely(hwy_end_up(q->dev->peer))) {
		done = hwy_put_burst(q, &q->out, pkts, n, &normal, &list, false);
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

static uint16_t
guest_tx(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct hwy_tx_queue *q = queue;
	uint16_t done;

	if (unlikely(n == 0 || !q->started || !hwy_guest_has(q->dev, q->losable)))
		return 0;
	done = tx_once(q, pkts, n);
	if (unlikely(done < n && q->dev->idle == HWY_IDLE_YIELD)) {
		hwy_idle_full(q->dev);
		done = (uint16_t)(done + tx_once(q, pkts + done, (uint16_t)(n - done)));
	}
	return done;
}

/* --- receiving ----------------------------------------------------------------- */

static inline uint16_t
rx_links(struct hwy_rx_queue *q, struct rte_mbuf **pkts, uint16_t n, struct hwy_packets_bytes *got)
{
	uint16_t done = 0, at = q->turn;

	for (uint16_t i = 0; i < q->n_links && done < n; i++) {
		struct hwy_consumer *in = &q->links[at].in;
		uint16_t want = (uint16_t)(n - done);

		/* What was allowed stays so, as later gates hold what comes later: the line
		 * that the sender writes with every burst is not fetched before it has to be. */
		if (in->allowed - in->cons < (uint32_t)want + HWY_AHEAD) {
			if (unlikely(!hwy_consumer_refresh(in)))
				hwy_count(&q->counters->bad_desc, 1);
			/* A gate wants to be passed even if nothing came after it. */
			in->allowed = in->cons;
			if (in->prod_seen != in->cons ||
			    unlikely(hwy_load(&in->at.ring->gate_epoch) != in->at.ring->pass_epoch))
				in->allowed = hwy_gate_link_limit(in, q->down_cons, q->dev->queues);
		}
		if (likely(in->allowed != in->cons))
			done = (uint16_t)(done + hwy_get_burst(q, in, in->allowed, pkts + done,
							       want, got));
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

static uint16_t
guest_rx(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct hwy_rx_queue *q = queue;
	struct hwy_packets_bytes bypass = {0, 0}, normal = {0, 0};
	uint32_t stops[HWY_MAX_INLETS];
	uint16_t done, reserve = 0, waiting = 0;

	if (unlikely(!q->started || !hwy_guest_has(q->dev, q->losable)))
		return 0;
	if (q->deferred)
		hwy_guest_publish(q);
	/* Down rings first; then the links, whose news came before what is down there. */
	for (uint16_t i = 0; i < q->n_normal; i++) {
		if (unlikely(!hwy_consumer_refresh(&q->normal[i].in)))
			hwy_count(&q->counters->bad_desc, 1);
		waiting |= q->normal[i].in.prod_seen != q->normal[i].in.cons;
	}
	if (unlikely(hwy_load_acquire(&q->dev->port->in_gen) != q->in_gen))
		hwy_guest_in_links(q);
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
		else if (q->far_slots != 0)
			hwy_guest_held(q, down, stops);
	}
	if (normal.packets > 0) {
		hwy_count(&q->counters->normal_packets, normal.packets);
		hwy_count(&q->counters->normal_bytes, normal.bytes);
	}
	hwy_idle(q, done);
	return done;
}

const struct hwy_bursts HWY_ISA_NAME(hwy_guest_bursts) = {.rx = guest_rx, .tx = guest_tx};
