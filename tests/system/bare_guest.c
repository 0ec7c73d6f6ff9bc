/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest end made of nothing but include/highway/layout.h: no DPDK, nothing of shm/.  It takes a
 * port as a client of another kernel does, and sends back all that it receives, by the switch and
 * by links.  As it runs together with the real driver, the layout is what the two share, and
 * nothing else.
 *
 *   bare-guest REGION PORT
 *
 * Prints "ready", and its counters when SIGTERM ends it.  Ports with one queue only; packets of a
 * class that it does not know take the switch, which is always right.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <highway/layout.h>

#define load(p)       __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store(p, v)   __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define add(p, n)     store((p), *(p) + (n))
#define before(a, b)  ((int32_t)((a) - (b)) < 0)
#define BURST         32
#define MAX_INLETS    (HWY_MAX_IN_LINKS * HWY_MAX_QUEUES)
#define NAP_POLLS     1000
#define KEEP_UP_AFTER (1u << 30)

static uint8_t *base;
static struct hwy_header *header;
static struct hwy_client *client;
static uint32_t me, life;
static struct hwy_port *port;
static struct hwy_end *end;
static volatile sig_atomic_t ended;

/* A route that is acted upon; 'joined': the class goes by the link now. */
struct route {
	struct hwy_route route;
	bool joined;
};
static struct route classes[HWY_MAX_ROUTES];
static uint32_t n_classes, route_seq = 1;

static struct hwy_ring *inlets[MAX_INLETS];
static uint32_t n_inlets, in_gen = 1;

static void
die(const char *what)
{
	fprintf(stderr, "bare-guest: %s\n", what);
	exit(1);
}

static void
on_signal(int number)
{
	(void)number;
	ended = 1;
}

/* --- where things lie ---------------------------------------------------------- */

static struct hwy_ring *
ring_at(uint32_t index)
{
	if (index >= header->ring_count)
		die("a ring's index is beyond the last ring");
	return (void *)(base + header->off_rings + index * header->ring_stride);
}

static uint64_t *
desc_at(struct hwy_ring *ring, uint32_t index)
{
	uint64_t *descs = (void *)(ring + 1);

	return &descs[index % header->ring_size];
}

static uint8_t *
slot_at(struct hwy_ring *ring, uint32_t index)
{
	uint8_t *slots = (uint8_t *)(ring + 1) + 8ULL * header->ring_size;

	return slots + (uint64_t)HWY_SLOT * (index % header->ring_size);
}

static struct hwy_link *
link_at(uint32_t index)
{
	struct hwy_link *links = (void *)(base + header->off_links);

	return &links[index % header->link_count];
}

static struct hwy_port *
port_at(uint32_t index)
{
	struct hwy_port *ports = (void *)(base + header->off_ports);

	return &ports[index % header->port_count];
}

/* --- coming and going ---------------------------------------------------------- */

static void
map(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < (off_t)HWY_MIN_REGION)
		die("the region cannot be opened");
	base = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		die("the region cannot be mapped");
	header = (void *)base;
	if (header->magic != HWY_MAGIC || header->major != HWY_VERSION_MAJOR ||
	    header->header_size != sizeof(*header) || header->features_required != 0 ||
	    header->file_size != (uint64_t)st.st_size || header->slot_size != HWY_SLOT)
		die("that is no region of the layout that this was built for");
}

static void
take_client(void)
{
	struct hwy_client *all = (void *)(base + header->off_clients);
	uint32_t none = HWY_CLIENT_FREE;

	for (me = HWY_MAX_CLIENTS - 1; me > 0; me--, none = HWY_CLIENT_FREE) {
		client = &all[me];
		if (__atomic_compare_exchange_n(&client->state, &none, HWY_CLIENT_TAKING_FAR, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			break;
	}
	if (me == 0)
		die("all client slots are taken");
	life = client->life + 1;
	store(&client->life, life);
	store(&client->said, 0);
	store(&client->beat, 0);
	store(&client->realm, 0xba5eba5eba5e0001ULL);
	client->pid = (uint32_t)getpid();
	memcpy(client->comm, "bare-guest", sizeof("bare-guest"));
	store(&client->state, HWY_CLIENT_USED);
}

/* What waits in the port's own ring was meant for another. */
static void
drain(struct hwy_ring *ring)
{
	uint32_t prod = load(&ring->prod);

	for (uint32_t i = ring->cons; i != prod; i++) {
		uint32_t chunk = HWY_DESC_CHUNK(*desc_at(ring, i));

		if (chunk < header->chunk_count)
			store(base + header->off_owners + chunk, 0);
	}
	store(&ring->cons, prod);
	store(&ring->delivered, prod);
}

static void
take_end(const char *name)
{
	uint32_t none = 0, p;

	for (p = 0; p < header->port_count; p++) {
		port = port_at(p);
		if (load(&port->state) == HWY_PORT_USED &&
		    strncmp(port->name, name, HWY_NAME_SIZE) == 0)
			break;
	}
	if (p == header->port_count)
		die("the region has no such port");
	if (port->queues != 1)
		die("the port has more than one queue");
	end = &port->end[HWY_GUEST];
	if (!__atomic_compare_exchange_n(&end->client, &none, me, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		die("the port has a guest end already");
	store(&end->state, HWY_END_DETACHED);
	memset(end->route_ack, 0, sizeof(end->route_ack));
	memset(end->in_ack, 0, sizeof(end->in_ack));
	memset(end->rx, 0, sizeof(end->rx));
	memset(end->tx, 0, sizeof(end->tx));
	for (uint32_t s = 0; s < header->attach_count; s++) {
		struct hwy_attach *slots = (void *)(base + header->off_attach);

		store(&slots[p * header->attach_count + s].ack, 0);
	}
	drain(ring_at(port->down[0]));
	end->mtu = 1500;
	memcpy(end->mac, "\x02\xba\x5e\x00\x00\x01", 6);
	store(&end->rx_queues, 1);
	store(&end->tx_queues, 1);
	store(&end->starts, 1);
	store(&end->state, HWY_END_STARTED);
}

/* --- X: links out -------------------------------------------------------------- */

static struct hwy_ring *
out_of(const struct route *c)
{
	return ring_at(link_at(c->route.link)->ring[0]);
}

static bool
receiver_is_up(const struct route *c)
{
	return load(&port_at(link_at(c->route.link)->dst)->end[HWY_GUEST].state) == HWY_END_STARTED;
}

static void
leave(struct route *c)
{
	struct hwy_ring *ring = out_of(c);

	store(&ring->stop, ring->prod);
	c->joined = false;
}

static void
take_routes(void)
{
	struct route now[HWY_MAX_ROUTES] = {0};
	uint32_t seq = load(&port->route_seq), n = port->n_routes;

	if (seq == route_seq || (seq & 1) != 0 || n > HWY_MAX_ROUTES)
		return;
	for (uint32_t i = 0; i < n; i++)
		now[i].route = port->routes[i];
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (load(&port->route_seq) != seq)
		return;
	for (uint32_t i = 0; i < n_classes; i++) {
		bool stays = false;

		for (uint32_t k = 0; k < n; k++) {
			if (now[k].route.key == classes[i].route.key &&
			    now[k].route.link == classes[i].route.link) {
				now[k].joined = classes[i].joined;
				stays = true;
			}
		}
		if (classes[i].joined && !stays)
			leave(&classes[i]);
	}
	memcpy(classes, now, sizeof(classes));
	n_classes = n;
	route_seq = seq;
	store(&end->route_ack[0], seq);
}

/* One gate for all classes that wait for a link: rule 2. */
static void
join(void)
{
	struct hwy_ring *up = ring_at(port->up[0]);

	for (uint32_t i = 0; i < n_classes; i++) {
		struct hwy_ring *ring;

		if (classes[i].joined)
			continue;
		ring = out_of(&classes[i]);
		if (!receiver_is_up(&classes[i]) || load(&ring->pass_epoch) != ring->gate_epoch ||
		    before(load(&ring->delivered), ring->stop))
			continue;
		store(&ring->hold_from, ring->prod);
		store(&ring->gate, up->prod);
		store(&ring->gate_epoch, ring->gate_epoch + 1);
		store(&up->gate_bell, up->gate_bell + 1);
		for (uint32_t k = i; k < n_classes; k++)
			classes[k].joined |= classes[k].route.link == classes[i].route.link;
	}
}

/* IPv4 without options, fragments or a tag; everything else has no class here. */
static uint64_t
key_of(const uint8_t *p, uint32_t length)
{
	uint32_t total;

	if (length < 34 || p[12] != 8 || p[13] != 0 || p[14] != 0x45 || ((p[20] & 0x3f) | p[21]))
		return HWY_CLASS_NONE;
	total = (uint32_t)p[16] << 8 | p[17];
	if (total < 20 || total > length - 14 || length - 14 - total > 255)
		return HWY_CLASS_NONE;
	return 0x0800ULL << 16 | HWY_CLASS_NO_FRAG;
}

static struct route *
class_of(const uint8_t *packet, uint32_t length)
{
	uint64_t key = key_of(packet, length);

	for (uint32_t i = 0; i < n_classes; i++) {
		uint64_t its = classes[i].route.key;

		if (its == HWY_CLASS_ALL || (its == key && key != HWY_CLASS_NONE))
			return &classes[i];
	}
	return NULL;
}

/* --- from one ring to another -------------------------------------------------- */

/* Sends what begins at entry 'at' of 'in' on.  Returns its entries, 0 if there is no room. */
static uint32_t
pass_on(struct hwy_ring *in, uint32_t at, uint32_t limit, uint32_t *bytes)
{
	uint64_t first = *desc_at(in, at);
	uint32_t n = 1, chunk = HWY_DESC_CHUNK(first);
	struct hwy_ring *out = ring_at(port->up[0]);
	const uint8_t *packet;
	struct route *c;

	*bytes = HWY_DESC_LENGTH(first);
	if (chunk == HWY_CHUNK_INLINE) {
		packet = slot_at(in, at);
		n = *bytes > HWY_SLOT ? 2 : 1;
	} else {
		packet = base + header->off_chunks + (uint64_t)chunk * header->chunk_stride +
			 HWY_DESC_OFFSET(first);
		for (uint64_t d = first; (HWY_DESC_FLAGS(d) & HWY_DESC_MORE) && n < limit - at;
		     n++) {
			d = *desc_at(in, at + n);
			*bytes += HWY_DESC_LENGTH(d);
		}
	}
	c = class_of(packet, *bytes);
	if (c != NULL && c->joined && !receiver_is_up(c))
		leave(c);
	if (c != NULL && c->joined)
		out = out_of(c);
	else if (load(&port->end[HWY_HOST].state) != HWY_END_STARTED)
		return 0;
	if (header->ring_size - (out->prod - load(&out->cons)) < n)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t d = *desc_at(in, at + i);

		chunk = HWY_DESC_CHUNK(d);
		if (chunk < header->chunk_count)
			store(base + header->off_owners + chunk, (uint8_t)me);
		memcpy(slot_at(out, out->prod + i), slot_at(in, at + i), HWY_SLOT);
		store(desc_at(out, out->prod + i), d);
	}
	store(&out->prod, out->prod + n);
	if (c == NULL || !c->joined) {
		add(&end->tx[0].normal_packets, 1);
		add(&end->tx[0].normal_bytes, *bytes);
		return n;
	}
	if (out->prod - out->stop > KEEP_UP_AFTER)
		store(&out->stop, load(&out->cons));
	add(&end->tx[0].bypass_packets, 1);
	add(&end->tx[0].bypass_bytes, *bytes);
	add(&link_at(c->route.link)->queue[0].sent.packets, 1);
	add(&link_at(c->route.link)->queue[0].sent.bytes, *bytes);
	add(&port->sent[0][c->route.slot % HWY_MAX_ROUTES].packets, 1);
	add(&port->sent[0][c->route.slot % HWY_MAX_ROUTES].bytes, *bytes);
	return n;
}

/* Up to a burst of what 'in' holds before 'limit'.  Returns the packets. */
static uint32_t
consume(struct hwy_ring *in, uint32_t limit, uint64_t *packets, uint64_t *bytes)
{
	uint32_t done = 0, length, n;

	while (done < BURST && before(in->cons, limit)) {
		n = pass_on(in, in->cons, limit, &length);
		if (n == 0)
			break;
		store(&in->cons, in->cons + n);
		store(&in->delivered, in->cons);
		add(packets, 1);
		add(bytes, length);
		done++;
	}
	return done;
}

/* --- Y: links in --------------------------------------------------------------- */

static void
take_in_links(void)
{
	uint32_t gen = load(&port->in_gen), n = port->n_in, list[HWY_MAX_IN_LINKS];

	if (gen == in_gen || (gen & 1) != 0 || n > HWY_MAX_IN_LINKS)
		return;
	memcpy(list, port->in_links, n * sizeof(list[0]));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (load(&port->in_gen) != gen)
		return;
	n_inlets = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct hwy_link *link = link_at(list[i]);

		for (uint32_t q = 0; link->attach == 0 && q < link->queues; q++)
			inlets[n_inlets++] = ring_at(link->ring[q % HWY_MAX_QUEUES]);
	}
	in_gen = gen;
	store(&end->in_ack[0], gen);
}

/* How far a link may be read: gates. */
static uint32_t
link_limit(struct hwy_ring *link, const struct hwy_ring *down)
{
	uint32_t prod = load(&link->prod), epoch = load(&link->gate_epoch), hold;

	if (link->pass_epoch == epoch)
		return prod;
	hold = link->hold_from;
	if (before(link->cons, hold))
		return before(hold, prod) ? hold : prod;
	if (load(&link->open_epoch) != epoch || before(down->delivered, link->opening[0]))
		return link->cons;
	store(&link->pass_epoch, epoch);
	return prod;
}

/* How far the down ring may be read as far as one link is concerned: rule 3. */
static uint32_t
down_limit(const struct hwy_ring *link, uint32_t stop, const struct hwy_ring *down, uint32_t limit)
{
	uint32_t epoch;

	if (!before(link->delivered, stop))
		return limit;
	epoch = load(&link->gate_epoch);
	if (link->pass_epoch == epoch)
		return down->cons;
	if (load(&link->open_epoch) != epoch)
		return limit;
	if (before(link->opening[0], down->cons))
		return down->cons;
	return before(link->opening[0], limit) ? link->opening[0] : limit;
}

static uint32_t
round_once(void)
{
	struct hwy_ring *down = ring_at(port->down[0]);
	uint32_t limit = load(&down->prod), done = 0;
	static uint32_t stops[MAX_INLETS];

	take_routes();
	join();
	take_in_links();
	for (uint32_t i = 0; i < n_inlets; i++)
		stops[i] = load(&inlets[i]->stop);
	for (uint32_t i = 0; i < n_inlets; i++)
		done += consume(inlets[i], link_limit(inlets[i], down), &end->rx[0].bypass_packets,
				&end->rx[0].bypass_bytes);
	for (uint32_t i = 0; i < n_inlets; i++)
		limit = down_limit(inlets[i], stops[i], down, limit);
	done += consume(down, limit, &end->rx[0].normal_packets, &end->rx[0].normal_bytes);
	return done;
}

int
main(int argc, char **argv)
{
	uint32_t idle = 0;

	if (argc != 3)
		die("usage: bare-guest REGION PORT");
	signal(SIGTERM, on_signal);
	map(argv[1]);
	take_client();
	take_end(argv[2]);
	printf("ready\n");
	fflush(stdout);
	while (!ended) {
		if (load(&end->client) != me || load(&client->life) != life)
			die("it was taken for dead");
		store(&client->beat, client->beat + 1);
		idle = round_once() > 0 ? 0 : idle + 1;
		if (idle > NAP_POLLS)
			usleep(50);
		else if (idle > 0)
			sched_yield();
	}
	for (uint32_t i = 0; i < n_classes; i++) {
		if (classes[i].joined)
			leave(&classes[i]);
	}
	printf("received %llu by the switch, %llu by links; sent %llu by the switch, %llu by "
	       "links\n",
	       (unsigned long long)end->rx[0].normal_packets,
	       (unsigned long long)end->rx[0].bypass_packets,
	       (unsigned long long)end->tx[0].normal_packets,
	       (unsigned long long)end->tx[0].bypass_packets);
	store(&end->state, HWY_END_LEFT);
	store(&client->state, HWY_CLIENT_LEFT);
	return 0;
}
