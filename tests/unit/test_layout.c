/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The layout of a region against layout-MAJOR.MINOR.txt: where every field lies, and what a
 * region holds that was made here.  Guest ends built for other DPDK releases, in images that
 * nobody builds anew, share regions with the switch of today: what the file says must never
 * change under the same version.
 *
 *   test_layout FOLDER           compares
 *   test_layout FOLDER write     writes the file, for a new version
 */
#include "class.h"
#include "support.h"

#include <inttypes.h>
#include <stdio.h>

struct field {
	const char *name;
	size_t offset, size;
};

#define STRUCT(s)                                                                                  \
	{                                                                                          \
#s, 0, sizeof(struct s)                                                            \
	}
#define FIELD(s, f)                                                                                \
	{                                                                                          \
#s "." #f, offsetof(struct s, f), sizeof(((struct s *)NULL)->f)                    \
	}

static const struct field fields[] = {
	STRUCT(hwy_ring),
	FIELD(hwy_ring, prod),
	FIELD(hwy_ring, hold_from),
	FIELD(hwy_ring, gate),
	FIELD(hwy_ring, gate_epoch),
	FIELD(hwy_ring, stop),
	FIELD(hwy_ring, gate_bell),
	FIELD(hwy_ring, reserved0),
	FIELD(hwy_ring, cons),
	FIELD(hwy_ring, pass_epoch),
	FIELD(hwy_ring, delivered),
	FIELD(hwy_ring, reserved1),
	FIELD(hwy_ring, open_epoch),
	FIELD(hwy_ring, opening),
	FIELD(hwy_ring, reserved2),
	STRUCT(hwy_counters),
	FIELD(hwy_counters, normal_packets),
	FIELD(hwy_counters, normal_bytes),
	FIELD(hwy_counters, bypass_packets),
	FIELD(hwy_counters, bypass_bytes),
	FIELD(hwy_counters, inlined),
	FIELD(hwy_counters, zero_copy),
	FIELD(hwy_counters, copied),
	FIELD(hwy_counters, ring_full),
	FIELD(hwy_counters, no_buffer),
	FIELD(hwy_counters, bad_desc),
	FIELD(hwy_counters, too_big),
	FIELD(hwy_counters, link_down),
	FIELD(hwy_counters, reserved),
	STRUCT(hwy_packets_bytes),
	FIELD(hwy_packets_bytes, packets),
	FIELD(hwy_packets_bytes, bytes),
	STRUCT(hwy_end),
	FIELD(hwy_end, state),
	FIELD(hwy_end, client),
	FIELD(hwy_end, rx_queues),
	FIELD(hwy_end, tx_queues),
	FIELD(hwy_end, mtu),
	FIELD(hwy_end, starts),
	FIELD(hwy_end, mac),
	FIELD(hwy_end, promiscuous),
	FIELD(hwy_end, reserved0),
	FIELD(hwy_end, attached_ns),
	FIELD(hwy_end, route_ack),
	FIELD(hwy_end, in_ack),
	FIELD(hwy_end, reserved1),
	FIELD(hwy_end, rx),
	FIELD(hwy_end, tx),
	STRUCT(hwy_route),
	FIELD(hwy_route, key),
	FIELD(hwy_route, link),
	FIELD(hwy_route, slot),
	STRUCT(hwy_port),
	FIELD(hwy_port, state),
	FIELD(hwy_port, queues),
	FIELD(hwy_port, name),
	FIELD(hwy_port, up),
	FIELD(hwy_port, down),
	FIELD(hwy_port, life),
	FIELD(hwy_port, reserved0),
	FIELD(hwy_port, bypass_off),
	FIELD(hwy_port, permit),
	FIELD(hwy_port, proof),
	FIELD(hwy_port, reserved1),
	FIELD(hwy_port, route_seq),
	FIELD(hwy_port, n_routes),
	FIELD(hwy_port, in_gen),
	FIELD(hwy_port, n_in),
	FIELD(hwy_port, reserved2),
	FIELD(hwy_port, routes),
	FIELD(hwy_port, in_links),
	FIELD(hwy_port, sent),
	FIELD(hwy_port, folded_out),
	FIELD(hwy_port, folded_in),
	FIELD(hwy_port, credited),
	FIELD(hwy_port, reserved3),
	FIELD(hwy_port, end),
	STRUCT(hwy_link),
	FIELD(hwy_link, state),
	FIELD(hwy_link, src),
	FIELD(hwy_link, dst),
	FIELD(hwy_link, queues),
	FIELD(hwy_link, ring),
	FIELD(hwy_link, since_ns),
	FIELD(hwy_link, opened),
	FIELD(hwy_link, attach),
	FIELD(hwy_link, queue),
	STRUCT(hwy_attach),
	FIELD(hwy_attach, want),
	FIELD(hwy_attach, id),
	FIELD(hwy_attach, end),
	FIELD(hwy_attach, seen),
	FIELD(hwy_attach, peer),
	FIELD(hwy_attach, reserved1),
	FIELD(hwy_attach, ack),
	FIELD(hwy_attach, error),
	FIELD(hwy_attach, reserved2),
	STRUCT(hwy_client),
	FIELD(hwy_client, state),
	FIELD(hwy_client, pid),
	FIELD(hwy_client, attached_ns),
	FIELD(hwy_client, comm),
	FIELD(hwy_client, realm),
	FIELD(hwy_client, beat),
	FIELD(hwy_client, life),
	FIELD(hwy_client, said),
	FIELD(hwy_client, reserved),
	STRUCT(hwy_header),
	FIELD(hwy_header, magic),
	FIELD(hwy_header, major),
	FIELD(hwy_header, minor),
	FIELD(hwy_header, header_size),
	FIELD(hwy_header, file_size),
	FIELD(hwy_header, features_required),
	FIELD(hwy_header, features_optional),
	FIELD(hwy_header, domain),
	FIELD(hwy_header, port_count),
	FIELD(hwy_header, link_count),
	FIELD(hwy_header, ring_count),
	FIELD(hwy_header, ring_size),
	FIELD(hwy_header, slot_size),
	FIELD(hwy_header, chunk_count),
	FIELD(hwy_header, chunk_stride),
	FIELD(hwy_header, kind),
	FIELD(hwy_header, ring_stride),
	FIELD(hwy_header, off_clients),
	FIELD(hwy_header, off_ports),
	FIELD(hwy_header, off_links),
	FIELD(hwy_header, off_ring_tags),
	FIELD(hwy_header, off_owners),
	FIELD(hwy_header, off_rings),
	FIELD(hwy_header, off_chunks),
	FIELD(hwy_header, created_ns),
	FIELD(hwy_header, off_attach),
	FIELD(hwy_header, attach_count),
	FIELD(hwy_header, reserved1),
	FIELD(hwy_header, sweeps),
	FIELD(hwy_header, reclaimed),
	FIELD(hwy_header, bypass_off),
	FIELD(hwy_header, keep),
	FIELD(hwy_header, reserved2),
	FIELD(hwy_header, host_client),
	FIELD(hwy_header, heartbeat),
	FIELD(hwy_header, offload),
	FIELD(hwy_header, policy),
	FIELD(hwy_header, agent_heard),
	FIELD(hwy_header, reserved3),
	FIELD(hwy_header, agent_client),
	FIELD(hwy_header, agent_beat),
	FIELD(hwy_header, bell),
	FIELD(hwy_header, reserved4),
};

static const char *folder;
static bool writes;
static char path[4096];

/* --- what is compared ------------------------------------------------------------ */

static void
put_fields(FILE *out)
{
	fprintf(out, "version %d.%d, lines: name, offset, bytes\n", HWY_VERSION_MAJOR,
		HWY_VERSION_MINOR);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		fprintf(out, "%s %zu %zu\n", fields[i].name, fields[i].offset, fields[i].size);
}

static void
put_words(FILE *out, const char *what, const void *from, size_t size)
{
	const uint8_t *p = from;

	fprintf(out, "%s, lines: offset, the word if it is not 0\n", what);
	for (size_t at = 0; at < size; at += 4) {
		uint32_t word;

		memcpy(&word, p + at, sizeof(word));
		if (word != 0)
			fprintf(out, "%zu %08" PRIx32 "\n", at, word);
	}
}

/* A region with three ports and a link from the first to the second. */
static void
put_region(FILE *out)
{
	uint32_t x, y, z;
	struct hwy_region *r;
	struct hwy_host *h = test_host_up(&r, &x, &y, &z);
	struct hwy_header header;
	static struct hwy_port port;
	struct hwy_link link;
	uint32_t slot;

	assert_int_equal(hwy_host_flow_add(h, x, hwy_class_key(0, HWY_ETH_IPV4), y, &slot), 0);
	hwy_host_tick(h);
	memcpy(&header, r->hdr, sizeof(header));
	header.created_ns = 0;
	header.heartbeat = header.bell = 0;
	put_words(out, "header", &header, sizeof(header));
	memcpy(&port, &r->ports[x], sizeof(port));
	port.end[0].attached_ns = port.end[1].attached_ns = 0;
	put_words(out, "port x", &port, sizeof(port));
	memcpy(&link, &r->links[0], sizeof(link));
	link.since_ns = 0;
	put_words(out, "link 0", &link, sizeof(link));
	fprintf(out,
		"ring 1 begins %zu bytes behind ring 0, its entries after %zu, its slots after "
		"%zu\n",
		(size_t)((uint8_t *)hwy_region_ring(r, 1).ring -
			 (uint8_t *)hwy_region_ring(r, 0).ring),
		(size_t)((uint8_t *)hwy_region_ring(r, 1).desc -
			 (uint8_t *)hwy_region_ring(r, 1).ring),
		(size_t)(hwy_region_ring(r, 1).data - (uint8_t *)hwy_region_ring(r, 1).ring));
	fprintf(out, "descriptor of 3 bytes at 2 of chunk 1, continued: %016" PRIx64 "\n",
		HWY_DESC(1, HWY_DESC_MORE, 2, 3));
	hwy_host_free(h);
	hwy_region_close(r);
}

static void
test_the_layout_is_that_of_its_version(void **state)
{
	char *text = NULL, was[256], *line;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	unsigned int number = 0;

	(void)state;
	put_fields(f);
	put_region(f);
	fclose(f);
	snprintf(path, sizeof(path), "%s/layout-%d.%d.txt", folder, HWY_VERSION_MAJOR,
		 HWY_VERSION_MINOR);
	f = fopen(path, writes ? "w" : "r");
	if (f == NULL)
		fail_msg("%s cannot be opened: a new version needs a new file", path);
	if (writes) {
		fputs(text, f);
	} else {
		for (line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
			number++;
			if (fgets(was, sizeof(was), f) == NULL)
				was[0] = 0;
			was[strcspn(was, "\n")] = 0;
			if (strcmp(was, line) != 0)
				fail_msg("%s:%u: was '%s', is '%s': raise the version in "
					 "include/highway/layout.h, or leave the layout as it was",
					 path, number, was, line);
		}
		assert_null(fgets(was, sizeof(was), f));
	}
	fclose(f);
	free(text);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_layout_is_that_of_its_version),
	};

	if (argc < 2) {
		fprintf(stderr, "usage: test_layout FOLDER [write]\n");
		return 2;
	}
	folder = argv[1];
	writes = argc > 2 && strcmp(argv[2], "write") == 0;
	return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
