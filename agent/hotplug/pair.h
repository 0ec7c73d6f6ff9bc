/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One link region plugged into the machines of the two ports that it links, and spare ones
 * that are plugged in before anybody needs them.
 *
 *   hwy_pair_in() -> PLUGGING -> PLUGGED -> hwy_pair_out() -> LEAVING -> ENDED
 *                        \______ any failure, a machine gone _/
 *
 * PLUGGED: both machines have the device, and the guest ends can be told of it.  That they
 * have mapped it is said elsewhere (attach slots), and that they have let go of it has to be,
 * before hwy_pair_out().
 *
 * Where both ports are in one machine there is one device, and where only one of them is in
 * any, likewise.
 */
#ifndef HIGHWAY_AGENT_PAIR_H
#define HIGHWAY_AGENT_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/list.h"

struct hwy_vm;
struct hwy_plug;

enum hwy_pair_state {
	HWY_PAIR_PLUGGING,
	HWY_PAIR_PLUGGED,
	HWY_PAIR_LEAVING,
	HWY_PAIR_ENDED,
};

struct hwy_pair {
	struct ovs_list node; /* in all pairs, or in the spare ones */
	uint64_t id;          /* of the link region */
	char *path;           /* of its file */
	struct hwy_plug *plug[2];
	const struct hwy_vm *of[2]; /* only to be compared: it may be gone */
	enum hwy_pair_state state;
	bool wanted;   /* somebody has it, or it is spare; else it ends by itself */
	char *trouble; /* why it is on its way out, or NULL */
	long long int started_us, plugged_us; /* time_usec(); 0: not yet */
};

/* Plugs the file of link region 'id' into 'a' and 'b', one of which may be NULL. */
struct hwy_pair *hwy_pair_in(struct hwy_vm *a, struct hwy_vm *b, uint64_t id, const char *path,
			     uint64_t size);

/* Gives it up: it is taken out of both machines and freed.  The file may be removed at once,
 * what QEMU has mapped of it stays. */
void hwy_pair_out(struct hwy_pair *pair);

const char *hwy_pair_state_word(enum hwy_pair_state state);

/* Moves all pairs on; before or after hwy_vms_run(). */
void hwy_pairs_run(void);
void hwy_pairs_wait(void);
/* Forgets all of them.  What is in the machines stays there for a successor. */
void hwy_pairs_exit(void);

/* Takes devices out that an earlier highwayd has left in 'vm', unless 'wants' wants the link
 * region behind it. */
void hwy_pairs_tidy(struct hwy_vm *vm, bool (*wants)(uint64_t id));

/* How many there are of all kinds, with those on their way out. */
size_t hwy_pairs_count(void);

/* --- spare ones ---------------------------------------------------------------------- */

/* Makes a new link region, its file and identity; false if that cannot be.  '*path' is to be
 * freed by the caller. */
typedef bool hwy_spare_make(uint64_t *id, char **path, uint64_t *size, void *aux);
/* Removes the file of one that was never used. */
typedef void hwy_spare_remove(const char *path);

/* So many spare ones are wanted for these two machines, from now on; to be said again and
 * again, see hwy_spares_sweep(). */
void hwy_spares_want(struct hwy_vm *a, struct hwy_vm *b, unsigned int n, hwy_spare_make *make,
		     void *aux);

/* Gives up those of which nobody has said since the last call that they are wanted. */
void hwy_spares_sweep(hwy_spare_remove *remove);

/* One that is plugged into these two machines, whose owner is the caller from now on; or
 * NULL. */
struct hwy_pair *hwy_spare_take(const struct hwy_vm *a, const struct hwy_vm *b);

/* How many spare ones are plugged in for these two machines. */
unsigned int hwy_spares_ready(const struct hwy_vm *a, const struct hwy_vm *b);

#endif /* HIGHWAY_AGENT_PAIR_H */
