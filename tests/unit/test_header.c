/* SPDX-License-Identifier: BSD-3-Clause */
/* shm/region.c: files that are no regions, or damaged ones, are refused. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char err[HWY_ERR_SIZE];

static int
set_up(void **state)
{
	(void)state;
	test_dir_clean();
	err[0] = 0;
	return 0;
}

static int
open_rc(const struct hwy_region_config *config)
{
	struct hwy_region *r = NULL;
	int rc = hwy_region_open(config, &r, err);

	assert_true((rc == 0) == (r != NULL));
	hwy_region_close(r);
	return rc;
}

static uint8_t image[4096]; /* the beginning of a good region */

static void
take_image(void)
{
	struct hwy_region *r = test_region();

	memcpy(image, r->base, sizeof(image));
	hwy_region_close(r);
}

/* A file of 'size' bytes, sparse, that begins with 'start'. */
static void
write_file(const void *start, size_t length, off_t size)
{
	int fd = open(test_path("unit"), O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, start, length, 0), length);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static int
inspect_rc(void)
{
	struct hwy_region *r = NULL;
	int rc = hwy_region_inspect(test_path("unit"), &r, err);

	assert_true((rc == 0) == (r != NULL));
	hwy_region_close(r);
	return rc;
}

/* Opening and inspecting fail alike, with a sentence, and leave the file alone. */
static void
expect_refusal(const char *part)
{
	struct hwy_region_config config = test_config();

	err[0] = 0;
	assert_int_equal(open_rc(&config), -EPROTO);
	assert_contains(err, test_path("unit"));
	assert_contains(err, part);
	err[0] = 0;
	assert_int_equal(inspect_rc(), -EPROTO);
	assert_contains(err, test_path("unit"));
	assert_contains(err, part);
	assert_int_equal(access(test_path("unit"), F_OK), 0);
}

static void
a_file_of_garbage_is_refused(void **state)
{
	static uint8_t garbage[TEST_SIZE];
	uint64_t seed = test_seed();

	(void)state;
	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = (uint8_t)test_random(&seed);
	write_file(garbage, sizeof(garbage), TEST_SIZE);
	expect_refusal("not a Highway region");
}

static void
a_file_that_is_too_short_is_refused(void **state)
{
	static const off_t sizes[] = {0, 1, 359, 4095, (1 << 20) - 1};

	(void)state;
	take_image();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		write_file(image, sizeof(image), sizes[i]);
		expect_refusal("remove the file");
	}
}

static void
a_truncated_region_is_refused(void **state)
{
	struct hwy_header *h = (void *)image;

	(void)state;
	take_image();
	h->file_size = 2 << 20;
	write_file(image, sizeof(image), 1 << 20);
	expect_refusal("2097152");
	assert_contains(err, "1048576");
}

static void
a_region_that_is_not_complete_is_refused(void **state)
{
	(void)state;
	take_image();
	((struct hwy_header *)image)->magic = 0; /* it is written last */
	write_file(image, sizeof(image), TEST_SIZE);
	expect_refusal("not a Highway region");
}

static void
another_major_version_is_refused(void **state)
{
	(void)state;
	take_image();
	((struct hwy_header *)image)->major = HWY_VERSION_MAJOR + 1;
	write_file(image, sizeof(image), TEST_SIZE);
	expect_refusal("version 2.0");
	assert_contains(err, "same major");
}

static void
another_minor_version_is_accepted(void **state)
{
	(void)state;
	take_image();
	((struct hwy_header *)image)->minor = HWY_VERSION_MINOR + 7;
	write_file(image, sizeof(image), TEST_SIZE);
	assert_int_equal(inspect_rc(), 0);
}

static void
a_required_feature_that_is_not_known_is_refused(void **state)
{
	(void)state;
	take_image();
	((struct hwy_header *)image)->features_required = 1ULL << 40;
	write_file(image, sizeof(image), TEST_SIZE);
	expect_refusal("0x10000000000");
	assert_contains(err, "upgrade");
}

static void
an_optional_feature_that_is_not_known_is_ignored(void **state)
{
	(void)state;
	take_image();
	((struct hwy_header *)image)->features_optional = ~0ULL;
	write_file(image, sizeof(image), TEST_SIZE);
	assert_int_equal(inspect_rc(), 0);
}

/* "Reserved words are zero and are checked to be zero." */
static void
reserved_words_must_be_zero(void **state)
{
	static const struct {
		const char *name;
		size_t offset, size;
	} reserved[] = {
		{"reserved1", offsetof(struct hwy_header, reserved1), 44},
		{"reserved2", offsetof(struct hwy_header, reserved2), 48},
		{"reserved3", offsetof(struct hwy_header, reserved3), 44},
		{"reserved4", offsetof(struct hwy_header, reserved4), 52},
	};
	uint32_t accepted = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		for (size_t b = 0; b < reserved[i].size; b++) {
			(void)unlink(test_path("unit"));
			take_image();
			image[reserved[i].offset + b] = 1;
			write_file(image, sizeof(image), TEST_SIZE);
			if (inspect_rc() == -EPROTO) {
				assert_contains(err, "reserved");
				continue;
			}
			if (b == 0)
				print_error("%s is not checked\n", reserved[i].name);
			accepted++;
		}
	}
	assert_int_equal(accepted, 0);
}

static void
a_kind_that_contradicts_the_name_is_refused(void **state)
{
	static const uint32_t kinds[] = {HWY_KIND_PORT, HWY_KIND_LINK, HWY_KIND_LINK + 1};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		(void)unlink(test_path("unit"));
		take_image();
		((struct hwy_header *)image)->kind = kinds[i];
		write_file(image, sizeof(image), TEST_SIZE);
		expect_refusal("makes no sense");
	}
}

static void
something_that_is_no_file_is_refused(void **state)
{
	struct hwy_region_config config = test_config();
	struct hwy_region *r;

	(void)state;
	assert_int_equal(mkdir(test_path("unit"), 0700), 0);
	assert_true(open_rc(&config) < 0);
	assert_contains(err, test_path("unit"));
	assert_true(hwy_region_inspect(test_path("unit"), &r, err) < 0);
	assert_contains(err, test_path("unit"));
	assert_int_equal(hwy_region_inspect(test_path("nothing"), &r, err), -ENOENT);
	assert_contains(err, test_path("nothing"));
}

struct part {
	uint64_t from, to;
};

/* Is this a geometry that can be worked with: parts inside the file, none on another? */
static bool
sound(const struct hwy_header *g, off_t size)
{
	const struct part parts[] = {
		{0, sizeof(*g)},
		{g->off_clients, g->off_clients + HWY_MAX_CLIENTS * sizeof(struct hwy_client)},
		{g->off_ports, g->off_ports + g->port_count * sizeof(struct hwy_port)},
		{g->off_links, g->off_links + g->link_count * sizeof(struct hwy_link)},
		{g->off_attach, g->off_attach + (uint64_t)g->port_count * g->attach_count *
							sizeof(struct hwy_attach)},
		{g->off_ring_tags, g->off_ring_tags + 4ULL * g->ring_count},
		{g->off_owners, g->off_owners + g->chunk_count},
		{g->off_rings, g->off_rings + g->ring_stride * g->ring_count},
		{g->off_chunks, g->off_chunks + (uint64_t)g->chunk_stride * g->chunk_count},
	};
	const size_t n = sizeof(parts) / sizeof(parts[0]);

	for (size_t i = 0; i < n; i++) {
		if (parts[i].to > (uint64_t)size || parts[i].from > parts[i].to)
			return false;
		for (size_t k = 0; k < i; k++) {
			if (parts[i].from < parts[k].to && parts[k].from < parts[i].to)
				return false;
		}
	}
	return g->ring_size >= 64 && (g->ring_size & (g->ring_size - 1)) == 0 &&
	       g->ring_stride >= sizeof(struct hwy_ring) + g->ring_size * (8ULL + HWY_SLOT) &&
	       memchr(g->domain, 0, sizeof(g->domain)) != NULL;
}

/* Every aligned word of the header, in both sizes, damaged in many ways. */
static void
a_damaged_header_is_refused_or_does_no_harm(void **state)
{
	static uint8_t good[4096];
	uint32_t refused = 0, accepted = 0, unsound = 0, wrong = 0;

	(void)state;
	take_image();
	memcpy(good, image, sizeof(good));
	for (size_t width = 4; width <= 8; width += 4) {
		for (size_t at = 0; at + width <= sizeof(struct hwy_header); at += width) {
			uint64_t is = 0;

			memcpy(&is, good + at, width);
			for (uint32_t k = 0; k < 80; k++) {
				uint64_t bad[] = {0,
						  1,
						  UINT64_MAX,
						  INT64_MAX,
						  1ULL << 63,
						  TEST_SIZE,
						  TEST_SIZE - 64,
						  is + 1,
						  is - 1,
						  is + 64,
						  is - 64,
						  is * 2,
						  0xffffffffffffffc0ULL,
						  ~is,
						  64,
						  is + (1ULL << 32)};
				uint64_t value = k < 16 ? bad[k] : is ^ 1ULL << (k - 16);
				struct hwy_region_config config = test_config();
				struct hwy_region *r = NULL;
				int rc;

				memcpy(image, good, sizeof(good));
				memcpy(image + at, &value, width);
				write_file(image, sizeof(image), TEST_SIZE);
				rc = hwy_region_inspect(test_path("unit"), &r, err);
				if (rc == 0) {
					struct hwy_chunk_census census;
					struct hwy_region *w = NULL;

					accepted++;
					if (!sound(&r->geo, TEST_SIZE)) {
						if (unsound++ < 8)
							print_error(
								"accepted: word at %zu is 0x%llx\n",
								at, (unsigned long long)value);
						hwy_region_close(r);
						continue;
					}
					hwy_region_census(r, &census);
					/* Opening agrees, or finds its wishes contradicted. */
					rc = hwy_region_open(&config, &w, err);
					wrong += rc != 0 && rc != -EINVAL;
					if (rc == 0)
						hwy_region_sweep(w, NULL);
					hwy_region_close(w);
				} else {
					refused++;
					wrong += rc != -EPROTO || strlen(err) < 20;
				}
				hwy_region_close(r);
			}
		}
	}
	print_message("%u damaged headers refused, %u harmless, %u with parts that overlap\n",
		      refused, accepted - unsound, unsound);
	assert_int_equal(wrong, 0);
	assert_int_equal(unsound, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_of_garbage_is_refused),
		TEST(a_file_that_is_too_short_is_refused),
		TEST(a_truncated_region_is_refused),
		TEST(a_region_that_is_not_complete_is_refused),
		TEST(another_major_version_is_refused),
		TEST(another_minor_version_is_accepted),
		TEST(a_required_feature_that_is_not_known_is_refused),
		TEST(an_optional_feature_that_is_not_known_is_ignored),
		TEST(reserved_words_must_be_zero),
		TEST(a_kind_that_contradicts_the_name_is_refused),
		TEST(something_that_is_no_file_is_refused),
		TEST(a_damaged_header_is_refused_or_does_no_harm),
	};

	return cmocka_run_group_tests_name("header", tests, test_dir_make, test_dir_remove);
}
