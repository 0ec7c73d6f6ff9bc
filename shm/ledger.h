/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ledger of a run directory: a file that only the agent and the host map, in which the
 * agent writes which ports of different regions are to be linked, by which link region, and
 * what it has proved of them; and the host, how far it is.  What a guest could write, its
 * own region, is not a place for that.
 *
 *   state, life, id, side, proof    agent
 *   answer, why                     host
 *
 * An answer counts for the life that it names.  The agent makes the link region, then the
 * entry (HWY_LEDGER_WANTED); takes it back with HWY_LEDGER_WITHDRAWN; and removes the region
 * when the host has answered HWY_FAR_GONE, or when there is no host.
 */
#ifndef HIGHWAY_SHM_LEDGER_H
#define HIGHWAY_SHM_LEDGER_H

#include "region.h"

#define HWY_LEDGER_FILE    ".ledger"
#define HWY_LEDGER_SOCKET  ".agent" /* where guest ends ask the agent for link regions */
#define HWY_LEDGER_MAGIC   0x00524544474c5948ULL
#define HWY_LEDGER_VERSION 1
#define HWY_LEDGER_ENTRIES 255

enum hwy_ledger_state {
	HWY_LEDGER_FREE = 0,
	HWY_LEDGER_WANTED = 1,
	HWY_LEDGER_WITHDRAWN = 2,
};

/* How far the host is with an entry. */
enum hwy_far_state {
	HWY_FAR_NONE = 0,
	HWY_FAR_WANTED = 1,   /* both guest ends were told to map the region */
	HWY_FAR_USABLE = 2,   /* both have; links open and close */
	HWY_FAR_DRAINING = 3, /* no new packets; what is in the rings is delivered */
	HWY_FAR_CLOSING = 4,  /* both guest ends were told to unmap it */
	HWY_FAR_GONE = 5,     /* nobody uses it any more */
};
#define HWY_LEDGER_ANSWER(life, state) ((uint64_t)(life) << 32 | (uint32_t)(state))

struct hwy_ledger_side {
	char region[HWY_NAME_SIZE]; /* of the port */
	char port[HWY_NAME_SIZE];
};

struct hwy_ledger_entry {
	uint32_t state; /* enum hwy_ledger_state, written last */
	uint32_t life;  /* how many links the entry has been so far */
	uint64_t id;    /* of the link region */
	struct hwy_ledger_side side[2];
	uint32_t proof[2]; /* 1: all packets of that side's port go to the other one */
	uint8_t reserved0[40];

	uint64_t answer; /* HWY_LEDGER_ANSWER() */
	uint32_t why;    /* an errno, if it has come to an end by itself */
	uint8_t reserved1[52];
};

struct hwy_ledger_file {
	uint64_t magic;
	uint32_t version;
	uint32_t entries;
	uint32_t agent_beat; /* agent: grows while it lives */
	uint8_t reserved[236];
	struct hwy_ledger_entry entry[HWY_LEDGER_ENTRIES];
};

static_assert(sizeof(struct hwy_ledger_entry) == 256, "hwy_ledger_entry grew");
static_assert(sizeof(struct hwy_ledger_file) == 65536, "hwy_ledger_file grew");

struct hwy_ledger {
	int fd;
	size_t size;
	struct hwy_ledger_file *file;
	char dir[PATH_MAX];
};

/* Opens the ledger of 'dir', making it if 'make' and there is none (-ENOENT). */
int hwy_ledger_open(struct hwy_ledger *ledger, const char *dir, bool make, char *err);
void hwy_ledger_close(struct hwy_ledger *ledger);

/* Is its file still the one of that name? */
bool hwy_ledger_is_current(const struct hwy_ledger *ledger);

#endif /* HIGHWAY_SHM_LEDGER_H */
