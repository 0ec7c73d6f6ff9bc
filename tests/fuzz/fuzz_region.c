/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that writes nonsense where it may write, and where it may not: the host, the
 * sweep, the tools and other guests must not follow it out of the region.
 *
 * Input: (part, place, value) records that are written to the ports, links, rings and
 * tags of a domain in use; after each few everything that the host does is done.  With
 * -DITS_OWN only to what a guest writes anyway: its end, and indexes, descriptors and
 * gate words of rings.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "class.h"
#include "host.h"
#include "port.h"
#include "region.h"

const size_t fuzz_max_size = 240;

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static struct hwy_region *r;
static uint8_t *saved;
static size_t saved_size;
static char dir[128];

static uint32_t
port_up(const char *name)
{
	char err[HWY_ERR_SIZE];
	uint32_t port = 0;

	for (int role = HWY_HOST; role <= HWY_GUEST; role++) {
		MUST(hwy_port_attach(r, name, (enum hwy_role)role, 1, &port, err) == 0);
		r->ports[port].end[role].mtu = 1500;
		r->ports[port].end[role].state = HWY_END_STARTED;
	}
	return port;
}

static void
clean_up(void)
{
	memcpy(r->base, saved, saved_size);
	hwy_region_close(r);
	free(saved);
}

static void
prepare(void)
{
	struct hwy_region_config config = {
		.domain = "fuzz", .size = HWY_MIN_REGION, .ring_size = 64};
	const char *base = getenv("TMPDIR");
	char err[HWY_ERR_SIZE];

	if (base == NULL)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(dir, sizeof(dir), "%s/highway-fuzz-XXXXXX", base);
	config.dir = mkdtemp(dir);
	MUST(config.dir != NULL && hwy_region_open(&config, &r, err) == 0);
	/* A crash must leave nothing behind: the file has no name from here on. */
	unlink(r->path);
	rmdir(dir);
	(void)port_up("x");
	(void)port_up("y");
	(void)port_up("z");
	/* Everything up to the chunks is put back before each input. */
	saved_size = r->geo.off_chunks;
	saved = malloc(saved_size);
	MUST(saved != NULL);
	memcpy(saved, r->base, saved_size);
	atexit(clean_up);
}

static void
write_nonsense(const uint8_t *input)
{
	uint8_t record[7] = {input[0], input[1], input[2], input[3], input[4], input[5], input[6]};
	uint32_t place = (uint32_t)record[1] | (uint32_t)record[2] << 8;
	struct hwy_ring *ring = hwy_region_ring(r, place % r->geo.ring_count).ring;
	uint32_t value, word = place % 16;

	memcpy(&value, record + 3, 4);
	if (record[0] & 0x80)
		value &= 0xff;
	if (record[0] & 0x40)
		value %= 16;
#ifdef ITS_OWN
	switch (1 + (record[0] & 7) % 5) {
#else
	switch (record[0] & 7) {
#endif
	case 0:
		((uint32_t *)(void *)&r->ports[record[1] % 3])[record[2] % 64] = value;
		break;
	case 1:
#ifdef ITS_OWN
		record[2] |= 1; /* the guest's; its client slot is ctl's */
		if (record[2] % 26 == 1)
			break;
#endif
		((uint32_t *)(void *)&r->ports[record[1] % 3].end[record[2] & 1])[record[2] % 26] =
			value;
		break;
	case 2:
#ifdef ITS_OWN
		((uint32_t *)(void *)ring)[1 + word % 5] = value;
#else
		((uint32_t *)(void *)&r->links[record[1] % 4])[word] = value;
#endif
		break;
	case 3:
		ring->prod = value;
		break;
	case 4:
		ring->cons = value;
		break;
	case 5:
		memcpy(hwy_region_ring(r, place % r->geo.ring_count).desc + word, record, 7);
		ring->prod = ring->cons + value % 64;
		break;
	case 6:
		r->ring_tags[place % r->geo.ring_count] = value;
		break;
	default:
		r->ports[record[1] % 3].in_links[record[2] % 4] = value;
		r->ports[record[1] % 3].n_in = record[2] & 1 ? 3 : value;
	}
}

/* What the host end and its control thread do, and what anybody may ask. */
static void
live(struct hwy_host *host, uint32_t slot)
{
	struct hwy_chunk_census census;
	char err[HWY_ERR_SIZE];
	uint32_t port, added;

	hwy_host_tick(host);
	(void)hwy_region_sweep(r, NULL);
	hwy_region_census(r, &census);
	for (uint32_t p = 0; p < 3; p++) {
		(void)hwy_port_links_out(r, p);
		(void)hwy_port_links_in(r, p);
		(void)hwy_host_flow_count(host, p, slot % HWY_MAX_ROUTES, HWY_CLASS_NONE, false);
		(void)hwy_host_linked(host, p, (p + 1) % 3);
	}
	if (hwy_host_flow_add(host, 1, hwy_class_key(0, 0x0806), 2, &added) == 0)
		hwy_host_flow_del(host, 1, added);
	if (hwy_port_attach(r, "w", HWY_GUEST, 1, &port, err) == 0)
		hwy_port_detach(r, port, HWY_GUEST);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hwy_host *host, *next;
	uint32_t slot = 0;

	if (r == NULL)
		prepare();
	memcpy(r->base, saved, saved_size);
	MUST(hwy_host_new(r, &host) == 0);
	MUST(hwy_host_flow_add(host, 0, hwy_class_key(0, HWY_ETH_IPV4), 1, &slot) == 0);
	for (size_t at = 0; at + 7 <= size; at += 7) {
		write_nonsense(data + at);
		if (at % 14 == 0)
			live(host, slot);
	}
	hwy_host_flow_del(host, 0, slot);
	hwy_port_detach(r, 1, HWY_GUEST);
	live(host, slot);
	/* And a new host that has to make sense of it. */
	if (hwy_host_new(r, &next) == 0) {
		hwy_host_tick(next);
		hwy_host_free(next);
	}
	hwy_host_free(host);
	return 0;
}
