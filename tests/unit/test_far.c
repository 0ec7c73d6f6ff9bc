/* SPDX-License-Identifier: BSD-3-Clause */
/* shm/far.h and shm/attach.h: a link region from the ledger's entry to its end. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "far.h"
#include "gate.h"
#include "port.h"

#define ID     0x0123456789abcdefULL
#define TICKS  100
#define FAR(e) (HWY_FAR_PORT + 10u + (uint32_t)(e))

static struct hwy_region *r[2]; /* of isolated ports x and y */
static struct hwy_host *h[2];
static struct hwy_far_port *port[2];
static struct hwy_attachments guest[2];
static struct hwy_far *far;
static struct hwy_ledger ledger;
static struct hwy_ledger_entry *entry;
static int fetch_error;
static bool used[2];
static char err[HWY_ERR_SIZE];

static int
fetch(void *aux, uint64_t id)
{
	char name[HWY_NAME_SIZE];

	(void)aux;
	return fetch_error != 0 ? -fetch_error
				: open(test_path(hwy_link_region_name(id, name)), O_RDWR);
}

static struct hwy_region *prepared; /* of both guest ends: mapped beforehand */

static struct hwy_region *
take(void *aux, uint64_t id, bool wait)
{
	struct hwy_region *region = prepared;

	(void)aux;
	(void)id;
	(void)wait;
	prepared = NULL;
	return region;
}

static bool
in_use(void *aux, uint32_t slot)
{
	(void)slot;
	return *(bool *)aux;
}

static int
set_up(void **state)
{
	static const char *const names[] = {"x", "y"};
	struct hwy_region_config config = test_config();

	(void)state;
	test_dir_clean();
	fetch_error = 0;
	assert_int_equal(hwy_far_new(test_dir(), &far), 0);
	for (int e = 0; e < 2; e++) {
		config.domain = e == 0 ? "@x" : "@y";
		config.kind = HWY_KIND_PORT;
		config.size = 2 << 20;
		assert_int_equal(hwy_region_open(&config, &r[e], err), 0);
		assert_int_equal(test_port_up(r[e], names[e], 1), 0);
		assert_int_equal(hwy_host_new(r[e], &h[e]), 0);
		port[e] = hwy_far_add(far, h[e], r[e], 0, FAR(e));
		assert_non_null(port[e]);
		hwy_attach_init(&guest[e], r[e], 0);
		guest[e].fetch = fetch;
		guest[e].take = take;
		guest[e].in_use = in_use;
		guest[e].aux = &used[e];
		used[e] = false;
	}
	assert_int_equal(hwy_ledger_open(&ledger, test_dir(), true, err), 0);
	assert_int_equal(hwy_link_region_make(test_dir(), ID, 2 << 20, err), 0);
	entry = &ledger.file->entry[3];
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	for (int e = 0; e < 2; e++) {
		hwy_attach_close(&guest[e]);
		hwy_region_close(prepared);
		prepared = NULL;
		if (port[e] != NULL)
			hwy_far_del(far, port[e]);
		hwy_host_free(h[e]);
		hwy_region_close(r[e]);
	}
	hwy_far_free(far);
	hwy_ledger_close(&ledger);
	return 0;
}

static void
want(uint32_t life)
{
	entry->id = ID;
	entry->life = life;
	for (int e = 0; e < 2; e++) {
		snprintf(entry->side[e].region, HWY_NAME_SIZE, "@%c", "xy"[e]);
		snprintf(entry->side[e].port, HWY_NAME_SIZE, "%c", "xy"[e]);
	}
	entry->proof[0] = entry->proof[1] = 0;
	hwy_store_release(&entry->state, HWY_LEDGER_WANTED);
}

static uint32_t broken; /* slots: as hwy_attach_tick() says */

static void
tick(bool beat)
{
	if (beat)
		ledger.file->agent_beat++;
	hwy_far_tick(far, h[0]);
	for (int e = 0; e < 2; e++)
		hwy_attach_tick(&guest[e], true, &broken);
}

static enum hwy_far_state
answer(void)
{
	return entry->answer >> 32 == entry->life ? (enum hwy_far_state)(uint32_t)entry->answer
						  : HWY_FAR_NONE;
}

/* Time passes until the host has answered so; the ledger may be found late. */
static void
reach(enum hwy_far_state state)
{
	struct timespec pause = {.tv_nsec = 5000000};

	for (int i = 0; i < 4000 && answer() != state; i++) {
		tick(true);
		nanosleep(&pause, NULL);
	}
	assert_int_equal(answer(), state);
}

static uint32_t
flow(int e)
{
	uint32_t slot = UINT32_MAX;

	assert_int_equal(hwy_host_flow_add(h[e], 0, HWY_CLASS_ALL, FAR(1 - e), &slot), 0);
	return slot;
}

static bool
routed(int e)
{
	return r[e]->ports[0].n_routes == 1 && r[e]->ports[0].routes[0].key == HWY_CLASS_ALL;
}

/* The queues of both VNFs do their part. */
static void
queues_look(void)
{
	for (int e = 0; e < 2; e++) {
		r[e]->ports[0].end[HWY_GUEST].route_ack[0] = r[e]->ports[0].route_seq;
		r[e]->ports[0].end[HWY_GUEST].in_ack[0] = r[e]->ports[0].in_gen;
	}
}

static void
nothing_is_left(void)
{
	for (int e = 0; e < 2; e++) {
		assert_false(routed(e));
		assert_int_equal(r[e]->ports[0].n_in, 0);
		for (uint32_t l = 0; l < r[e]->geo.link_count; l++)
			assert_int_equal(r[e]->links[l].state, HWY_LINK_FREE);
		for (uint32_t s = 0; s < r[e]->geo.attach_count; s++)
			assert_int_equal(HWY_ATTACH_STATE(hwy_region_attach(r[e], 0, s)->want),
					 HWY_ATTACH_FREE);
		for (uint32_t s = 0; s < HWY_MAX_ATTACH; s++)
			assert_null(guest[e].at[s]);
	}
}

/* From the entry to an open link from x to y. */
static void
open_link(void)
{
	want(1);
	reach(HWY_FAR_USABLE);
	assert_false(routed(0));
	flow(0);
	entry->proof[0] = 1;
	tick(true);
	assert_true(routed(0));
	assert_false(routed(1));
}

/* The host wants the link region mapped, and nobody has looked yet. */
static void
call_guests(void)
{
	want(1);
	for (int i = 0; i < TICKS && answer() != HWY_FAR_WANTED; i++) {
		ledger.file->agent_beat++;
		hwy_far_tick(far, h[0]);
		usleep(5000);
	}
	assert_int_equal(answer(), HWY_FAR_WANTED);
}

static void
a_link_region_is_mapped_by_both_before_a_link_opens(void **state)
{
	(void)state;
	call_guests();
	hwy_attach_tick(&guest[0], true, &broken);
	hwy_far_tick(far, h[0]);
	assert_int_equal(answer(), HWY_FAR_WANTED); /* one is not enough */
	hwy_attach_tick(&guest[1], true, &broken);
	hwy_far_tick(far, h[0]);
	assert_int_equal(answer(), HWY_FAR_USABLE);
	assert_int_equal(guest[0].at[0]->end, 0);
	assert_int_equal(guest[1].at[0]->end, 1);
	assert_int_equal(r[1]->ports[0].n_in, 1);
}

/* One guest end has the link region mapped before it is wanted. */
static void
prepare(void)
{
	int fd = fetch(NULL, ID);

	assert_true(fd >= 0);
	assert_int_equal(hwy_link_region_map(fd, ID, &prepared, err), 0);
	close(fd);
}

static void
queues_are_called_when_a_slot_is_wanted(void **state)
{
	uint32_t in_gen[2], route_seq[2];

	(void)state;
	for (int e = 0; e < 2; e++) {
		in_gen[e] = r[e]->ports[0].in_gen;
		route_seq[e] = r[e]->ports[0].route_seq;
	}
	call_guests();
	for (int e = 0; e < 2; e++) {
		assert_int_equal(r[e]->ports[0].in_gen, in_gen[e] + 2);
		assert_int_equal(r[e]->ports[0].route_seq, route_seq[e] + 2);
	}
}

static void
only_those_who_wait_look_often(void **state)
{
	(void)state;
	assert_false(hwy_far_tick(far, h[0]));
	call_guests();
	assert_true(hwy_far_tick(far, h[0]));
	assert_true(hwy_far_tick(far, h[1]));
	assert_false(hwy_far_tick(far, NULL)); /* another port's */
	reach(HWY_FAR_USABLE);
	assert_false(hwy_far_tick(far, h[0]));
}

static void
what_was_mapped_beforehand_is_attached_without_looking_for_it(void **state)
{
	const struct hwy_attach *slot = hwy_region_attach(r[0], 0, 0);

	(void)state;
	call_guests();
	assert_true(hwy_attach_quick(&guest[0], true)); /* it has to be looked for */
	assert_null(guest[0].at[0]);
	assert_int_equal(HWY_ATTACH_STATE(slot->ack), HWY_ATTACH_FREE);
	prepare();
	fetch_error = EIO;
	assert_false(hwy_attach_quick(&guest[0], true));
	assert_non_null(guest[0].at[0]);
	assert_int_equal(slot->ack, HWY_ATTACH(HWY_ATTACH_EPOCH(slot->want), HWY_ATTACH_MAPPED));
	assert_int_equal(slot->seen, HWY_ATTACH_EPOCH(slot->want));
	assert_false(hwy_attach_quick(&guest[0], true));
	/* The other one's control thread finds it mapped as well. */
	fetch_error = 0;
	prepare();
	fetch_error = EIO;
	reach(HWY_FAR_USABLE);
	fetch_error = 0;
}

static void
what_was_spoilt_after_it_was_mapped_is_refused(void **state)
{
	const struct hwy_attach *slot = hwy_region_attach(r[0], 0, 0);
	struct hwy_header *header;

	(void)state;
	for (int what = 0; what < 3; what++) {
		struct hwy_header good;

		prepare();
		header = prepared->hdr;
		good = *header;
		assert_int_equal(hwy_link_region_again(prepared, ID, err), 0);
		assert_int_equal(hwy_link_region_again(prepared, ID + 1, err), -EPROTO);
		if (what == 0)
			header->chunk_count *= 2;
		else if (what == 1)
			header->domain[3] ^= 1;
		else
			header->magic = 0;
		assert_int_equal(hwy_link_region_again(prepared, ID, err), -EPROTO);
		*header = good;
		hwy_region_close(prepared);
		prepared = NULL;
	}
	call_guests();
	prepare();
	prepared->hdr->off_chunks = prepared->hdr->file_size;
	assert_false(hwy_attach_quick(&guest[0], true));
	assert_null(guest[0].at[0]);
	assert_int_equal(slot->ack, HWY_ATTACH(HWY_ATTACH_EPOCH(slot->want), HWY_ATTACH_UNMAPPED));
	assert_int_equal(slot->error, EPROTO);
	reach(HWY_FAR_GONE);
	assert_int_equal(entry->why, EPROTO);
}

static void
a_name_tells_the_identity(void **state)
{
	static const char *const wrong[] = {"",
					    "+",
					    "+0123456789abcde",
					    "+0123456789abcdef0",
					    "+0123456789abcdeg",
					    "@0123456789abcdef",
					    "+0123456789ABCDEF",
					    "+ 123456789abcdef"};
	char name[HWY_NAME_SIZE];
	uint64_t id = 0;

	(void)state;
	assert_true(hwy_link_region_id(hwy_link_region_name(ID, name), &id));
	assert_int_equal(id, ID);
	assert_true(hwy_link_region_id(hwy_link_region_name(~0ULL, name), &id));
	assert_int_equal(id, ~0ULL);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(hwy_link_region_id(wrong[i], &id));
}

static void
only_a_proof_of_a_living_agent_opens_it(void **state)
{
	struct timespec pause = {.tv_nsec = 20000000};

	(void)state;
	open_link();
	for (int i = 0; i < 500 && routed(0); i++) {
		tick(false);
		nanosleep(&pause, NULL);
	}
	assert_false(routed(0));
	assert_int_equal(answer(), HWY_FAR_USABLE); /* and may come back */
	tick(true);
	tick(true);
	assert_true(routed(0));
	entry->proof[0] = 0;
	tick(true);
	assert_false(routed(0));
}

static void
a_proof_without_a_flow_opens_nothing(void **state)
{
	(void)state;
	want(1);
	reach(HWY_FAR_USABLE);
	entry->proof[0] = 1;
	tick(true);
	assert_false(routed(0));
}

static void
a_flow_that_leads_elsewhere_contradicts_the_proof(void **state)
{
	uint32_t slot;

	(void)state;
	open_link();
	assert_int_equal(hwy_host_flow_add(h[0], 0, HWY_CLASS_ALL, FAR(7), &slot), 0);
	assert_false(routed(0));
	hwy_host_flow_del(h[0], 0, slot);
	assert_true(routed(0));
}

static void
a_withdrawn_entry_is_drained_unmapped_and_gone(void **state)
{
	struct hwy_ring *ring;

	(void)state;
	open_link();
	ring = hwy_region_ring(guest[0].at[0]->region, HWY_LINK_RING(0, 0)).ring;
	ring->prod = 5; /* x has sent what y has not received */
	hwy_store_release(&entry->state, HWY_LEDGER_WITHDRAWN);
	reach(HWY_FAR_DRAINING);
	assert_false(routed(0));
	queues_look();
	tick(true);
	assert_int_equal(answer(), HWY_FAR_DRAINING);
	ring->cons = ring->delivered = 5;
	reach(HWY_FAR_GONE);
	nothing_is_left();
}

static void
a_mapping_stays_as_long_as_a_queue_uses_it(void **state)
{
	(void)state;
	open_link();
	used[0] = true;
	hwy_store_release(&entry->state, HWY_LEDGER_WITHDRAWN);
	for (int i = 0; i < TICKS; i++) {
		queues_look();
		tick(true);
	}
	assert_int_equal(answer(), HWY_FAR_CLOSING);
	assert_non_null(guest[0].at[0]);
	assert_null(guest[1].at[0]);
	used[0] = false;
	reach(HWY_FAR_GONE);
	nothing_is_left();
}

static void
what_cannot_be_had_is_given_up_with_the_reason(void **state)
{
	(void)state;
	fetch_error = EACCES;
	want(1);
	reach(HWY_FAR_GONE);
	assert_int_equal(entry->why, EACCES);
	nothing_is_left();
	fetch_error = 0;
	want(2); /* the next life of the entry */
	reach(HWY_FAR_USABLE);
}

static void
a_guest_end_that_goes_ends_its_link(void **state)
{
	(void)state;
	open_link();
	/* As the sweep does for a dead one. */
	hwy_attach_close(&guest[1]);
	hwy_port_detach(r[1], 0, HWY_GUEST);
	tick(true);
	assert_false(routed(0));
	queues_look();
	reach(HWY_FAR_GONE);
	nothing_is_left();
}

static void
a_host_end_that_goes_ends_its_links(void **state)
{
	(void)state;
	open_link();
	hwy_far_del(far, port[1]);
	port[1] = NULL;
	assert_false(routed(0));
	queues_look();
	reach(HWY_FAR_GONE);
	assert_int_equal(r[0]->ports[0].n_in, 0);
}

static void
a_new_host_closes_what_an_earlier_one_left(void **state)
{
	(void)state;
	open_link();
	/* It dies: nothing is taken back. */
	hwy_store_release(&entry->state, HWY_LEDGER_FREE);
	hwy_far_free(far);
	assert_int_equal(hwy_far_new(test_dir(), &far), 0);
	for (int e = 0; e < 2; e++) {
		hwy_host_free(h[e]);
		assert_int_equal(hwy_host_new(r[e], &h[e]), 0);
		free(port[e]);
		port[e] = hwy_far_add(far, h[e], r[e], 0, FAR(e));
	}
	for (int i = 0; i < TICKS && (guest[0].at[0] != NULL || guest[1].at[0] != NULL); i++) {
		tick(true);
		queues_look();
		usleep(5000);
	}
	tick(true);
	nothing_is_left();
}

static void
what_x_sent_is_counted_at_y(void **state)
{
	(void)state;
	open_link();
	r[0]->links[r[0]->ports[0].routes[0].link].queue[0].sent.packets = 7;
	hwy_far_sync(far);
	assert_int_equal(hwy_port_links_in(r[1], 0).packets, 7);
	hwy_store_release(&entry->state, HWY_LEDGER_WITHDRAWN);
	for (int i = 0; i < TICKS && answer() != HWY_FAR_GONE; i++) {
		queues_look();
		tick(true);
	}
	assert_int_equal(hwy_port_links_in(r[1], 0).packets, 7);
	assert_int_equal(hwy_port_links_out(r[0], 0).packets, 7);
}

static void
the_gate_of_a_far_link_is_answered_with_ys_down_rings(void **state)
{
	struct hwy_ring *ring;
	uint32_t limit = 9;

	(void)state;
	open_link();
	ring = hwy_region_ring(guest[0].at[0]->region, HWY_LINK_RING(0, 0)).ring;
	hwy_region_ring(r[1], r[1]->ports[0].down[0]).ring->prod = 33;
	ring->gate = 4;
	ring->gate_epoch = 1;
	assert_false(hwy_far_answer(port[0], 0, 3, &limit));
	assert_int_equal(limit, 4);
	assert_int_equal(ring->open_epoch, 0);
	limit = 9;
	assert_true(hwy_far_answer(port[0], 0, 4, &limit));
	assert_int_equal(limit, 9);
	assert_int_equal(ring->open_epoch, 1);
	assert_int_equal(ring->opening[0], 33);
}

static void
another_region_than_the_one_named_is_not_mapped(void **state)
{
	struct hwy_region *region = NULL;
	int fd = open(test_path("+0123456789abcdef"), O_RDWR);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(hwy_link_region_map(fd, ID + 1, &region, err), -EPROTO);
	assert_null(region);
	assert_int_equal(hwy_link_region_map(r[0]->fd, ID, &region, err), -EPROTO);
	assert_int_equal(hwy_link_region_map(fd, ID, &region, err), 0);
	hwy_region_close(region);
	close(fd);
}

/* A memfd that holds what the link region's file holds. */
static int
copy_in_memfd(void)
{
	int from = open(test_path("+0123456789abcdef"), O_RDONLY);
	int to = memfd_create("link", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(from >= 0 && to >= 0);
	assert_int_equal(sendfile(to, from, NULL, 2 << 20), 2 << 20);
	close(from);
	return to;
}

static void
a_file_that_others_can_cut_short_is_refused(void **state)
{
	struct hwy_region *region = NULL;
	int fd = copy_in_memfd(), file = open(test_path("+0123456789abcdef"), O_RDWR);

	(void)state;
	assert_int_equal(hwy_fd_check(fd, "+1", err), -EPERM);
	assert_contains(err, "+1 can be cut short by others (no name, mode 0777, not sealed)");
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(hwy_fd_check(fd, "+1", err), -EPERM);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	assert_int_equal(hwy_fd_check(fd, "+1", err), 0);
	assert_int_equal(hwy_link_region_map(fd, ID, &region, err), 0);
	assert_int_equal(ftruncate(fd, 0), -1);
	hwy_region_close(region);
	close(fd);

	assert_int_equal(hwy_fd_check(file, "+2", err), 0);
	assert_int_equal(fchmod(file, 0620), 0);
	assert_int_equal(hwy_fd_check(file, "+2", err), -EPERM);
	assert_contains(err, "mode 0620");
	assert_int_equal(fchmod(file, 0600), 0);
	assert_int_equal(hwy_fd_check(STDIN_FILENO, "+3", err), -EPERM);
	close(file);
}

struct giver {
	int listener, fd;
};

static void *
give(void *giver_)
{
	const struct giver *giver = giver_;
	struct hwy_fetch_request request = {0};
	struct hwy_fetch_answer given = {.id = ID};
	int region = -1, s = accept(giver->listener, NULL, NULL);

	if (hwy_fd_receive(s, &request, sizeof(request), &region) == 0)
		(void)hwy_fd_send(s, &given, sizeof(given), giver->fd);
	close(region);
	close(s);
	return NULL;
}

static void
what_is_asked_for_is_looked_at_before_it_is_mapped(void **state)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	struct giver giver = {.listener = socket(AF_UNIX, SOCK_SEQPACKET, 0)};
	pthread_t thread;
	int fd;

	(void)state;
	snprintf(where.sun_path, sizeof(where.sun_path), "%s", test_path(HWY_LEDGER_SOCKET));
	assert_int_equal(bind(giver.listener, (struct sockaddr *)&where, sizeof(where)), 0);
	assert_int_equal(listen(giver.listener, 1), 0);
	for (int sealed = 0; sealed < 2; sealed++) {
		giver.fd = copy_in_memfd();
		if (sealed)
			assert_int_equal(fcntl(giver.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW),
					 0);
		assert_int_equal(pthread_create(&thread, NULL, give, &giver), 0);
		fd = hwy_attach_ask(where.sun_path, r[0], ID, err);
		pthread_join(thread, NULL);
		if (sealed)
			assert_true(fd >= 0);
		else
			assert_int_equal(fd, -EPERM);
		if (fd >= 0)
			close(fd);
		close(giver.fd);
	}
	close(giver.listener);
	assert_true(hwy_attach_ask(test_path("nobody"), r[0], ID, err) < 0);
	assert_contains(err, "+0123456789abcdef is not to be had from");
}

static void
a_file_that_was_cut_short_is_refused(void **state)
{
	static const off_t sizes[] = {(2 << 20) - 4096, 1 << 20, 4096, 0};
	struct hwy_region *region = NULL;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		int fd = copy_in_memfd();

		assert_int_equal(ftruncate(fd, sizes[i]), 0);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
		assert_int_equal(hwy_fd_check(fd, "+1", err), 0);
		assert_int_equal(hwy_link_region_map(fd, ID, &region, err), -EPROTO);
		assert_contains(err, sizes[i] >= 1 << 20 ? "it was cut or is damaged"
							 : "is not a Highway region");
		assert_null(region);
		close(fd);
	}
}

static void
a_message_brings_its_file_or_none(void **state)
{
	struct hwy_fetch_request request = {.magic = HWY_MAGIC, .id = ID}, got;
	int pair[2], fd;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(hwy_fd_send(pair[0], &request, sizeof(request), r[0]->fd), 0);
	assert_int_equal(hwy_fd_receive(pair[1], &got, sizeof(got), &fd), 0);
	assert_memory_equal(&got, &request, sizeof(got));
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(hwy_fd_send(pair[0], &request, sizeof(request), -1), 0);
	assert_int_equal(hwy_fd_receive(pair[1], &got, sizeof(got), &fd), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(hwy_fd_send(pair[0], &request, 3, r[0]->fd), 0);
	assert_int_equal(hwy_fd_receive(pair[1], &got, sizeof(got), &fd), -EPROTO);
	assert_int_equal(fd, -1);
	close(pair[0]);
	close(pair[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_link_region_is_mapped_by_both_before_a_link_opens),
		TEST(queues_are_called_when_a_slot_is_wanted),
		TEST(only_those_who_wait_look_often),
		TEST(what_was_mapped_beforehand_is_attached_without_looking_for_it),
		TEST(what_was_spoilt_after_it_was_mapped_is_refused),
		TEST(a_name_tells_the_identity),
		TEST(only_a_proof_of_a_living_agent_opens_it),
		TEST(a_proof_without_a_flow_opens_nothing),
		TEST(a_flow_that_leads_elsewhere_contradicts_the_proof),
		TEST(a_withdrawn_entry_is_drained_unmapped_and_gone),
		TEST(a_mapping_stays_as_long_as_a_queue_uses_it),
		TEST(what_cannot_be_had_is_given_up_with_the_reason),
		TEST(a_guest_end_that_goes_ends_its_link),
		TEST(a_host_end_that_goes_ends_its_links),
		TEST(a_new_host_closes_what_an_earlier_one_left),
		TEST(what_x_sent_is_counted_at_y),
		TEST(the_gate_of_a_far_link_is_answered_with_ys_down_rings),
		TEST(another_region_than_the_one_named_is_not_mapped),
		TEST(a_file_that_others_can_cut_short_is_refused),
		TEST(what_is_asked_for_is_looked_at_before_it_is_mapped),
		TEST(a_file_that_was_cut_short_is_refused),
		TEST(a_message_brings_its_file_or_none),
	};

	return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
