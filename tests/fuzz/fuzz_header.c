/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region file with a damaged header: it is refused with a sentence, or whatever is
 * then read through it lies inside the file.
 *
 * Input: the first byte chooses between a header made of the input and a good one in
 * which (offset, width, value) triples of the input are changed.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "port.h"
#include "region.h"

const size_t fuzz_max_size = sizeof(struct hwy_header) + 8;

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static int file = -1;
static char path[64];
static struct hwy_header good;

/* A good header, made by the library itself, in a file of no folder. */
static void
prepare(void)
{
	struct hwy_region_config config = {
		.domain = "fuzz", .size = HWY_MIN_REGION, .ring_size = 64};
	const char *base = getenv("TMPDIR");
	char dir[128], err[HWY_ERR_SIZE];
	struct hwy_region *r;

	if (base == NULL)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(dir, sizeof(dir), "%s/highway-fuzz-XXXXXX", base);
	config.dir = mkdtemp(dir);
	MUST(config.dir != NULL && hwy_region_open(&config, &r, err) == 0);
	good = r->geo;
	hwy_region_close(r);
	rmdir(dir);
	file = memfd_create("fuzz_header", MFD_CLOEXEC);
	MUST(file >= 0 && ftruncate(file, HWY_MIN_REGION) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
}

/* Touches the first and the last byte of everything. */
static void
walk(const struct hwy_region *r)
{
	struct hwy_chunk_census census;
	uint64_t sum = 0;

	sum += r->clients[0].state + r->clients[HWY_MAX_CLIENTS - 1].reserved[7];
	for (uint32_t p = 0; p < r->geo.port_count; p++) {
		sum += r->ports[p].end[1].tx[HWY_MAX_QUEUES - 1].reserved[3];
		sum += hwy_port_links_out(r, p).packets + hwy_port_links_in(r, p).bytes;
	}
	for (uint32_t i = 0; i < r->geo.ring_count; i++) {
		struct hwy_ring_at at = hwy_region_ring(r, i);

		sum += r->ring_tags[i] + at.ring->prod + at.desc[0] + at.desc[at.mask];
		sum += *hwy_ring_slot(&at, at.mask);
		sum += hwy_ring_slot(&at, at.mask)[HWY_SLOT - 1];
		MUST(hwy_ring_slot(&at, at.mask) + HWY_SLOT <= r->base + r->size);
	}
	sum += *hwy_region_chunk(r, 0);
	sum += hwy_region_chunk(r, r->geo.chunk_count - 1)[r->geo.chunk_stride - 1];
	hwy_region_census(r, &census);
	MUST(strlen(r->geo.domain) < HWY_NAME_SIZE);
	(void)hwy_port_find(r, "fuzz");
	__asm__ volatile("" : : "r"(sum));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[HWY_ERR_SIZE] = "";
	struct hwy_header header;
	struct hwy_region *r = NULL;
	int rc;

	if (file < 0)
		prepare();
	if (size < 2)
		return 0;
	header = good;
	if (data[0] % 8 == 0) {
		memcpy(&header, data + 1, size - 1 < sizeof(header) ? size - 1 : sizeof(header));
		if (data[0] & 8) {
			header.magic = HWY_MAGIC;
			header.major = HWY_VERSION_MAJOR;
			header.features_required = 0;
			header.file_size = HWY_MIN_REGION;
		}
	} else {
		/* One to four fields, to a small, a large or a near value. */
		for (size_t n = 0, at = 1; n < 1 + data[0] / 64u && at + 12 <= size;
		     n++, at += 12) {
			size_t width = data[at] & 1 ? 8 : 4;
			size_t offset = 72 + (data[at + 1] % 25u) * 4; /* the geometry */
			uint64_t value, is = 0;

			if (data[at] & 2)
				offset = (size_t)data[at + 1] * 2 % (sizeof(header) - 8);
			memcpy(&is, (char *)&header + offset, width);
			memcpy(&value, data + at + 2, 8);
			switch (data[at] >> 2 & 3) {
			case 0:
				value = is + (value & 0xff) * 64;
				break;
			case 1:
				value = is - (value & 0xff) * 64;
				break;
			case 2:
				value &= 0xfffff;
				break;
			}
			memcpy((char *)&header + offset, &value, width);
		}
	}
	MUST(pwrite(file, &header, sizeof(header), 0) == sizeof(header));
	rc = hwy_region_inspect(path, &r, err);
	if (rc == 0)
		walk(r);
	else
		MUST(rc == -EPROTO && r == NULL && strlen(err) > 20);
	hwy_region_close(r);
	return 0;
}
