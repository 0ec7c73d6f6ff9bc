/* SPDX-License-Identifier: BSD-3-Clause */
/* Link regions in the machines that they link: see pair.h. */
#include <config.h>

#include "pair.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "plug.h"
#include "timeval.h"
#include "util.h"
#include "vms.h"

VLOG_DEFINE_THIS_MODULE(hwy_pair);

#define RETRY_MS  5000 /* between two tries to make a spare one that failed */
#define REFILL_MS 200  /* from the taking of one to the making of the next */

static struct ovs_list pairs = OVS_LIST_INITIALIZER(&pairs);
static struct ovs_list spares = OVS_LIST_INITIALIZER(&spares);

/* What is wanted of spare ones for two machines. */
struct stock {
	struct ovs_list node;
	const struct hwy_vm *of[2];
	unsigned int n;
	long long int next_try; /* time_msec() */
	bool said;
};
static struct ovs_list stocks = OVS_LIST_INITIALIZER(&stocks);

const char *
hwy_pair_state_word(enum hwy_pair_state state)
{
	static const char *const words[] = {
		[HWY_PAIR_PLUGGING] = "plugging",
		[HWY_PAIR_PLUGGED] = "plugged",
		[HWY_PAIR_LEAVING] = "leaving",
		[HWY_PAIR_ENDED] = "ended",
	};

	return words[state];
}

/* --- life --------------------------------------------------------------------------- */

/* Whether the guest ends have mapped it is not asked here: plugged is enough. */
static const struct hwy_plug_guest no_guest;

struct hwy_pair *
hwy_pair_in(struct hwy_vm *a, struct hwy_vm *b, uint64_t id, const char *path, uint64_t size)
{
	struct hwy_pair *pair = xzalloc(sizeof *pair);
	char *name = xasprintf("%016" PRIx64, id);

	pair->id = id;
	pair->path = xstrdup(path);
	pair->of[0] = a;
	pair->of[1] = b;
	pair->wanted = true;
	pair->started_us = time_usec();
	ovs_list_push_back(&pairs, &pair->node);
	if (a != NULL)
		pair->plug[0] = hwy_plug_in(a, name, path, size, &no_guest, pair);
	if (b != NULL && b != a)
		pair->plug[1] = hwy_plug_in(b, name, path, size, &no_guest, pair);
	free(name);
	return pair;
}

static void
pair_free(struct hwy_pair *pair)
{
	for (int i = 0; i < 2; i++)
		hwy_plug_free(pair->plug[i]);
	ovs_list_remove(&pair->node);
	free(pair->path);
	free(pair->trouble);
	free(pair);
}

static void
leave(struct hwy_pair *pair)
{
	pair->state = HWY_PAIR_LEAVING;
	for (int i = 0; i < 2; i++) {
		if (pair->plug[i] != NULL)
			hwy_plug_out(pair->plug[i]);
	}
}

void
hwy_pair_out(struct hwy_pair *pair)
{
	pair->wanted = false;
	if (pair->state < HWY_PAIR_LEAVING)
		leave(pair);
	/* Freed by hwy_pairs_run(). */
	ovs_list_remove(&pair->node);
	ovs_list_push_back(&pairs, &pair->node);
}

static void
pair_run(struct hwy_pair *pair)
{
	bool all_mapped = true, all_ended = true;

	for (int i = 0; i < 2; i++) {
		const struct hwy_plug *p = pair->plug[i];

		if (p == NULL)
			continue;
		all_mapped &= p->state == HWY_PLUG_MAPPED;
		all_ended &= p->state == HWY_PLUG_ENDED;
		if (p->trouble != NULL && pair->trouble == NULL)
			pair->trouble = xstrdup(p->trouble);
		if (!p->wanted || p->state > HWY_PLUG_MAPPED)
			all_mapped = false;
		/* What one machine does not have is of no use to the other one. */
		if (p->state > HWY_PLUG_MAPPED && pair->state < HWY_PAIR_LEAVING)
			leave(pair);
	}
	if (pair->state == HWY_PAIR_PLUGGING && all_mapped) {
		pair->state = HWY_PAIR_PLUGGED;
		pair->plugged_us = time_usec();
	}
	if (pair->state == HWY_PAIR_LEAVING && all_ended)
		pair->state = HWY_PAIR_ENDED;
}

void
hwy_pairs_run(void)
{
	struct ovs_list *lists[] = {&pairs, &spares};
	struct hwy_pair *pair, *next;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		LIST_FOR_EACH_SAFE (pair, next, node, lists[i]) {
			pair_run(pair);
			if (pair->state != HWY_PAIR_ENDED || pair->wanted)
				continue;
			/* A QEMU that was late with object-add has made the file anew. */
			if (pair->path[0] != 0)
				(void)unlink(pair->path);
			pair_free(pair);
		}
	}
}

void
hwy_pairs_wait(void)
{
	const struct stock *s;

	/* Plugs wake the loop by themselves. */
	LIST_FOR_EACH (s, node, &stocks) {
		if (s->next_try > time_msec())
			poll_timer_wait_until(s->next_try);
	}
}

/* The link region of a device's name, or 0. */
static uint64_t
id_of(const char *device)
{
	uint64_t id = 0;
	int n = 0;

	if (ovs_scan(device, "hwy-%16" SCNx64 "%n", &id, &n) && n == 4 + 16 && device[n] == 0)
		return id;
	return 0;
}

void
hwy_pairs_tidy(struct hwy_vm *vm, bool (*wants)(uint64_t id))
{
	for (size_t i = 0; i < vm->n_devices; i++) {
		const char *device = vm->devices[i].id;
		uint64_t id = id_of(device);
		struct hwy_pair *pair;

		if (id == 0 || hwy_plug_find(vm, device) != NULL || wants(id))
			continue;
		VLOG_INFO("virtual machine %s: %s is left over: it is taken out", vm->name, device);
		pair = xzalloc(sizeof *pair);
		pair->id = id;
		pair->path = xstrdup("");
		pair->state = HWY_PAIR_LEAVING;
		pair->plug[0] = hwy_plug_out_left(vm, device + 4, &no_guest, pair);
		ovs_list_push_back(&pairs, &pair->node);
	}
}

size_t
hwy_pairs_count(void)
{
	return ovs_list_size(&pairs) + ovs_list_size(&spares);
}

/* --- spare ones ----------------------------------------------------------------------- */

static bool
is_of(const struct hwy_pair *pair, const struct hwy_vm *a, const struct hwy_vm *b)
{
	return (pair->of[0] == a && pair->of[1] == b) || (pair->of[0] == b && pair->of[1] == a);
}

static unsigned int
count(const struct hwy_vm *a, const struct hwy_vm *b, enum hwy_pair_state last)
{
	const struct hwy_pair *pair;
	unsigned int n = 0;

	LIST_FOR_EACH (pair, node, &spares)
		n += is_of(pair, a, b) && pair->state <= last;
	return n;
}

unsigned int
hwy_spares_ready(const struct hwy_vm *a, const struct hwy_vm *b)
{
	const struct hwy_pair *pair;
	unsigned int n = 0;

	LIST_FOR_EACH (pair, node, &spares)
		n += is_of(pair, a, b) && pair->state == HWY_PAIR_PLUGGED;
	return n;
}

static struct stock *
stock_of(const struct hwy_vm *a, const struct hwy_vm *b)
{
	struct stock *s;

	LIST_FOR_EACH (s, node, &stocks) {
		if ((s->of[0] == a && s->of[1] == b) || (s->of[0] == b && s->of[1] == a))
			return s;
	}
	s = xzalloc(sizeof *s);
	s->of[0] = a;
	s->of[1] = b;
	ovs_list_push_back(&stocks, &s->node);
	return s;
}

void
hwy_spares_want(struct hwy_vm *a, struct hwy_vm *b, unsigned int n, hwy_spare_make *make, void *aux)
{
	struct stock *s = stock_of(a, b);
	const struct hwy_pair *failed;

	s->said = true;
	s->n = n;
	LIST_FOR_EACH (failed, node, &spares) {
		/* Not at once again: what failed, fails. */
		if (failed->trouble != NULL && is_of(failed, a, b))
			s->next_try = time_msec() + RETRY_MS;
	}
	while (count(a, b, HWY_PAIR_PLUGGED) < n && time_msec() >= s->next_try) {
		struct hwy_pair *pair;
		uint64_t id, size;
		char *path;

		if (!make(&id, &path, &size, aux)) {
			s->next_try = time_msec() + RETRY_MS;
			return;
		}
		pair = hwy_pair_in(a, b, id, path, size);
		ovs_list_remove(&pair->node);
		ovs_list_push_back(&spares, &pair->node);
		free(path);
	}
}

/* Is one of so many wanted? */
static bool
is_wanted(const struct hwy_pair *pair)
{
	const struct stock *s;

	LIST_FOR_EACH (s, node, &stocks) {
		if (s->said && is_of(pair, s->of[0], s->of[1]))
			return count(s->of[0], s->of[1], HWY_PAIR_PLUGGED) <= s->n;
	}
	return false;
}

void
hwy_spares_sweep(hwy_spare_remove *remove)
{
	struct hwy_pair *pair, *next;
	struct stock *s, *next_stock;

	LIST_FOR_EACH_SAFE (pair, next, node, &spares) {
		if (pair->state < HWY_PAIR_LEAVING && is_wanted(pair))
			continue;
		if (pair->trouble != NULL)
			VLOG_INFO("a spare link device is given up: %s", pair->trouble);
		if (remove != NULL)
			remove(pair->path);
		hwy_pair_out(pair);
	}
	LIST_FOR_EACH_SAFE (s, next_stock, node, &stocks) {
		if (!s->said) {
			ovs_list_remove(&s->node);
			free(s);
		} else {
			s->said = false;
		}
	}
}

struct hwy_pair *
hwy_spare_take(const struct hwy_vm *a, const struct hwy_vm *b)
{
	struct hwy_pair *pair;
	struct stock *s;

	LIST_FOR_EACH (pair, node, &spares) {
		if (pair->state != HWY_PAIR_PLUGGED || !is_of(pair, a, b))
			continue;
		ovs_list_remove(&pair->node);
		ovs_list_push_back(&pairs, &pair->node);
		/* Plugging in another one now would keep both guests from using this one. */
		LIST_FOR_EACH (s, node, &stocks) {
			if (is_of(pair, s->of[0], s->of[1]))
				s->next_try = MAX(s->next_try, time_msec() + REFILL_MS);
		}
		return pair;
	}
	return NULL;
}

void
hwy_pairs_exit(void)
{
	struct ovs_list *lists[] = {&pairs, &spares};
	struct hwy_pair *pair, *next;
	struct stock *s, *next_stock;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		LIST_FOR_EACH_SAFE (pair, next, node, lists[i])
			pair_free(pair);
	}
	LIST_FOR_EACH_SAFE (s, next_stock, node, &stocks) {
		ovs_list_remove(&s->node);
		free(s);
	}
}
