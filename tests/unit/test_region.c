/* SPDX-License-Identifier: BSD-3-Clause */
/* shm/region.c: the region file. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "port.h"

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

/* --- life ---------------------------------------------------------------------- */

static void
the_first_to_open_makes_the_region(void **state)
{
	struct hwy_region *r = test_region();

	(void)state;
	assert_true(r->is_new);
	assert_int_equal(r->geo.file_size, TEST_SIZE);
	assert_int_equal(r->geo.ring_size, 64);
	assert_string_equal(r->geo.domain, "unit");
	assert_int_equal(r->me, 1);
	assert_int_equal(access(test_path("unit"), F_OK), 0);
	hwy_region_close(r);
}

static void
the_second_to_open_gets_the_same_region(void **state)
{
	struct hwy_region *a = test_region(), *b = test_region();

	(void)state;
	assert_false(b->is_new);
	assert_memory_equal(&a->geo, &b->geo, sizeof(a->geo));
	assert_int_not_equal(a->me, b->me);
	a->chunks[0] = 0x5a;
	assert_int_equal(b->chunks[0], 0x5a);
	hwy_region_close(a);
	hwy_region_close(b);
}

static void
a_region_is_opened_without_any_wishes(void **state)
{
	struct hwy_region_config config = {.dir = test_dir(), .domain = "unit"};
	struct hwy_region *a = test_region(), *b = NULL;

	(void)state;
	assert_int_equal(hwy_region_open(&config, &b, err), 0);
	assert_int_equal(b->geo.file_size, TEST_SIZE);
	hwy_region_close(b);
	hwy_region_close(a);
}

static struct hwy_region *
open_isolated(const char *name)
{
	struct hwy_region_config config = test_config();
	struct hwy_region *r = NULL;

	config.domain = name;
	config.kind = HWY_KIND_PORT;
	assert_int_equal(hwy_region_open(&config, &r, err), 0);
	return r;
}

static void
an_isolated_ports_region_holds_one_port_and_its_attach_slots(void **state)
{
	struct hwy_region *r = open_isolated("@p1");
	uint32_t port = 7;

	(void)state;
	assert_int_equal(access(test_path("@p1"), F_OK), 0);
	assert_int_equal(r->geo.kind, HWY_KIND_PORT);
	assert_int_equal(r->geo.port_count, 1);
	assert_int_equal(r->geo.attach_count, HWY_MAX_ATTACH);
	assert_true(r->geo.ring_count <= 2 * HWY_MAX_QUEUES);
	assert_int_equal(hwy_port_attach(r, "p1", HWY_GUEST, 2, &port, err), 0);
	assert_int_equal(port, 0);
	assert_int_equal(hwy_port_attach(r, "p2", HWY_GUEST, 2, &port, err), -ENOSPC);
	hwy_region_close(r);
	assert_true(test_dir_empty());
}

static void
each_kind_of_region_has_names_of_its_own(void **state)
{
	(void)state;
	assert_true(hwy_region_name_ok("green", HWY_KIND_DOMAIN));
	assert_false(hwy_region_name_ok("@p1", HWY_KIND_DOMAIN));
	assert_true(hwy_region_name_ok("@p1", HWY_KIND_PORT));
	assert_false(hwy_region_name_ok("p1", HWY_KIND_PORT));
	assert_false(hwy_region_name_ok("@", HWY_KIND_PORT));
	assert_false(hwy_region_name_ok("@a/b", HWY_KIND_PORT));
	assert_true(hwy_region_name_ok("@123456789012345678901234567890", HWY_KIND_PORT));
	assert_false(hwy_region_name_ok("@1234567890123456789012345678901", HWY_KIND_PORT));
	assert_true(hwy_region_name_ok("+0123456789abcdef", HWY_KIND_LINK));
	assert_false(hwy_region_name_ok("+0123456789abcdeF", HWY_KIND_LINK));
	assert_false(hwy_region_name_ok("+0123456789abcde", HWY_KIND_LINK));
}

static void
a_region_that_is_to_be_kept_outlives_its_last_user(void **state)
{
	struct hwy_region *r = open_isolated("@p1");

	(void)state;
	hwy_region_keep(r, true);
	hwy_region_close(r);
	assert_int_equal(access(test_path("@p1"), F_OK), 0);
	r = open_isolated("@p1");
	assert_false(r->is_new);
	hwy_region_keep(r, false);
	hwy_region_close(r);
	assert_true(test_dir_empty());
}

static void
the_last_one_out_removes_the_file(void **state)
{
	struct hwy_region *a = test_region(), *b = test_region();

	(void)state;
	hwy_region_close(a);
	assert_int_equal(access(test_path("unit"), F_OK), 0);
	hwy_region_close(b);
	assert_true(test_dir_empty());
}

static void
a_new_region_is_made_after_the_last_one_went(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct hwy_region *r = test_region();

		assert_true(r->is_new);
		hwy_region_close(r);
	}
}

/* Somebody removed the file by hand while 'a' was using it; 'b' made a new one. */
static void
closing_a_removed_region_leaves_its_successor_alone(void **state)
{
	struct hwy_region *a = test_region(), *b;

	(void)state;
	assert_int_equal(unlink(test_path("unit")), 0);
	b = test_region();
	assert_true(b->is_new);
	hwy_region_close(a);
	assert_int_equal(access(test_path("unit"), F_OK), 0);
	hwy_region_close(b);
}

static void
the_parts_of_a_region_do_not_overlap(void **state)
{
	static const uint64_t sizes[] = {1ULL << 20, 2ULL << 20, 16ULL << 20, 64ULL << 20};
	static const uint32_t rings[] = {64, 128, 1024}, bufs[] = {1024, 2368, 9472};

	(void)state;
	for (size_t s = 0; s < 4; s++) {
		for (size_t n = 0; n < 3; n++) {
			for (size_t b = 0; b < 3; b++) {
				struct hwy_region_config config = test_config();
				struct hwy_region *r;
				struct hwy_header *g;

				config.size = sizes[s];
				config.ring_size = rings[n];
				config.chunk_stride = bufs[b];
				if (hwy_region_open(&config, &r, err) != 0) {
					assert_contains(err, "size=");
					continue;
				}
				g = &r->geo;
				assert_true(g->off_clients >= sizeof(*g));
				assert_true(g->off_ports >=
					    g->off_clients +
						    HWY_MAX_CLIENTS * sizeof(struct hwy_client));
				assert_true(g->off_links >=
					    g->off_ports + g->port_count * sizeof(struct hwy_port));
				assert_true(g->off_ring_tags >=
					    g->off_links + g->link_count * sizeof(struct hwy_link));
				assert_true(g->off_owners >=
					    g->off_ring_tags + 4ULL * g->ring_count);
				assert_true(g->off_rings >= g->off_owners + g->chunk_count);
				assert_true(g->off_chunks >=
					    g->off_rings + g->ring_stride * g->ring_count);
				assert_true(g->file_size >=
					    g->off_chunks +
						    (uint64_t)g->chunk_stride * g->chunk_count);
				hwy_region_close(r);
			}
		}
	}
}

/* --- wishes and their errors --------------------------------------------------- */

static void
a_size_that_is_no_power_of_two_is_refused(void **state)
{
	struct hwy_region_config config = test_config();

	(void)state;
	config.size = 3 << 20;
	assert_int_equal(open_rc(&config), -EINVAL);
	assert_contains(err, "size=3145728");
	assert_contains(err, "try size=");
	assert_true(test_dir_empty());
}

static void
a_size_out_of_bounds_is_refused(void **state)
{
	struct hwy_region_config config = test_config();

	(void)state;
	config.size = 512 << 10;
	assert_int_equal(open_rc(&config), -EINVAL);
	assert_contains(err, "size=524288");
	assert_contains(err, "try size=");
	config.size = HWY_MAX_REGION * 2;
	assert_int_equal(open_rc(&config), -EINVAL);
	assert_contains(err, "size=137438953472");
	assert_true(test_dir_empty());
}

static void
a_ring_size_that_cannot_be_is_refused(void **state)
{
	static const uint32_t wrong[] = {1, 32, 100, 32768, UINT32_MAX};
	struct hwy_region_config config = test_config();
	char expected[32];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		config.ring_size = wrong[i];
		assert_int_equal(open_rc(&config), -EINVAL);
		snprintf(expected, sizeof(expected), "ring=%u ", wrong[i]);
		assert_contains(err, expected);
		assert_contains(err, "try ring=");
	}
	assert_true(test_dir_empty());
}

static void
a_buffer_size_that_cannot_be_is_refused(void **state)
{
	static const uint32_t wrong[] = {1, 960, 1025, 65536, UINT32_MAX};
	struct hwy_region_config config = test_config();
	char expected[32];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		config.chunk_stride = wrong[i];
		assert_int_equal(open_rc(&config), -EINVAL);
		snprintf(expected, sizeof(expected), "buf=%u ", wrong[i]);
		assert_contains(err, expected);
		assert_contains(err, "try buf=");
	}
	assert_true(test_dir_empty());
}

static void
rings_that_do_not_fit_are_refused(void **state)
{
	struct hwy_region_config config = test_config();

	(void)state;
	config.ring_size = 16384;
	assert_int_equal(open_rc(&config), -ENOSPC);
	assert_contains(err, "size=1048576");
	assert_contains(err, "ring=16384");
	assert_contains(err, "enlarge size=");
}

static void
buffers_that_do_not_fit_are_refused(void **state)
{
	struct hwy_region_config config = test_config();

	(void)state;
	config.chunk_stride = 65472;
	assert_int_equal(open_rc(&config), -ENOSPC);
	assert_contains(err, "size=1048576");
	assert_contains(err, "buf=65472");
	assert_contains(err, "enlarge size=");
}

static void
wishes_that_contradict_the_region_are_refused(void **state)
{
	struct hwy_region *r = test_region();
	struct hwy_region_config config;

	(void)state;
	config = test_config();
	config.size = 2 << 20;
	assert_int_equal(open_rc(&config), -EINVAL);
	assert_contains(err, "size=2097152");
	assert_contains(err, "size=1048576");
	assert_contains(err, "leave it out");
	config = test_config();
	config.ring_size = 128;
	assert_int_equal(open_rc(&config), -EINVAL);
	assert_contains(err, "ring=128");
	assert_contains(err, "ring=64");
	assert_contains(err, "leave it out");
	config = test_config();
	config.chunk_stride = 1024;
	assert_int_equal(open_rc(&config), -EINVAL);
	assert_contains(err, "buf=1024");
	assert_contains(err, "buf=2368");
	assert_contains(err, "leave it out");
	/* The refused ones left nothing behind. */
	assert_true(hwy_client_alone(r));
	hwy_region_close(r);
}

static void
names_are_checked(void **state)
{
	static const char *const good[] = {"a", "A-b_c.9", "0123456789012345678901234567890"};
	static const char *const bad[] = {
		"",    ".",   "..",   ".hidden", "a/b",
		"a b", "a\n", "\xe4", "a%s",     "01234567890123456789012345678901",
	};
	struct hwy_region_config config = test_config();

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(hwy_name_ok(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(hwy_name_ok(bad[i]));
		config.domain = bad[i];
		assert_int_equal(open_rc(&config), -EINVAL);
		assert_contains(err, "domain=");
		assert_contains(err, bad[i]);
		assert_contains(err, "use 1 to 31");
	}
	config.domain = NULL;
	assert_int_equal(open_rc(&config), -EINVAL);
	assert_true(test_dir_empty());
}

static void
a_folder_that_cannot_be_made_is_named(void **state)
{
	struct hwy_region_config config = test_config();
	char dir[256];

	(void)state;
	snprintf(dir, sizeof(dir), "%s", test_path("not/there"));
	config.dir = dir;
	assert_int_equal(open_rc(&config), -ENOENT);
	assert_contains(err, dir);
	assert_contains(err, "name an existing folder");
}

static void
a_path_that_is_too_long_is_refused(void **state)
{
	struct hwy_region_config config = test_config();
	char dir[PATH_MAX + 8];

	(void)state;
	memset(dir, '/', sizeof(dir));
	memcpy(dir, test_dir(), strlen(test_dir()));
	for (size_t length = PATH_MAX - 32; length < sizeof(dir); length++) {
		int rc;

		dir[length - 1] = '/';
		dir[length] = 0;
		config.dir = dir;
		err[0] = 0;
		rc = open_rc(&config);
		assert_true(rc == 0 || rc == -ENAMETOOLONG);
		if (rc != 0)
			assert_true(strlen(err) > 20);
		if (length + 1 < sizeof(dir))
			dir[length] = '/';
	}
	assert_true(test_dir_empty());
}

/* --- no room ------------------------------------------------------------------- */

static int
open_where_there_is_no_room(struct test_child *child, void *arg)
{
	struct hwy_region_config config = test_config();
	struct hwy_region *r;
	char message[HWY_ERR_SIZE] = "";

	(void)child;
	(void)arg;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", test_dir(), "tmpfs", 0, "size=256k") < 0)
		return 77;
	CHILD_CHECK(hwy_region_open(&config, &r, message) == -ENOSPC);
	CHILD_CHECK(strstr(message, "size=1M") != NULL);
	CHILD_CHECK(strstr(message, test_path("unit")) != NULL);
	CHILD_CHECK(strstr(message, "smaller") != NULL);
	CHILD_CHECK(test_dir_empty());
	/* What was reserved on the way came back: there is room for something else. */
	CHILD_CHECK(umount(test_dir()) == 0);
	return 0;
}

static void
no_room_is_an_error_that_leaves_nothing_behind(void **state)
{
	struct test_child child;
	int rc;

	(void)state;
	test_child_start(&child, open_where_there_is_no_room, NULL);
	rc = test_child_end(&child);
	if (rc == 77) {
		print_message("skipped: a private mount needs CAP_SYS_ADMIN\n");
		skip();
	}
	assert_int_equal(rc, 0);
}

/* --- rights -------------------------------------------------------------------- */

static int
look_without_rights(struct test_child *child, void *arg)
{
	struct hwy_region_config config = test_config();
	struct hwy_chunk_census census;
	struct hwy_region *r = NULL;
	char message[HWY_ERR_SIZE] = "";

	(void)child;
	(void)arg;
	if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
		return 77;
	CHILD_CHECK(hwy_region_inspect(test_path("unit"), &r, message) == 0);
	CHILD_CHECK(r->read_only && r->me == 0 && r->geo.file_size == TEST_SIZE);
	hwy_region_census(r, &census);
	CHILD_CHECK(census.free == r->geo.chunk_count);
	CHILD_CHECK(hwy_lock_held(r->fd, HWY_LOCK_CLIENT(1)));
	CHILD_CHECK(!hwy_lock_held(r->fd, HWY_LOCK_CLIENT(2)));
	hwy_region_close(r);
	CHILD_CHECK(access(test_path("unit"), F_OK) == 0);
	CHILD_CHECK(hwy_region_open(&config, &r, message) == -EACCES);
	CHILD_CHECK(strstr(message, test_path("unit")) != NULL);
	CHILD_CHECK(strstr(message, "check its owner") != NULL);
	return 0;
}

static void
inspecting_needs_no_right_to_write(void **state)
{
	struct hwy_region *r = test_region();
	struct test_child child;
	int rc;

	(void)state;
	assert_int_equal(chmod(test_dir(), 0755), 0);
	assert_int_equal(chmod(test_path("unit"), 0444), 0);
	test_child_start(&child, look_without_rights, NULL);
	rc = test_child_end(&child);
	hwy_region_close(r);
	if (rc == 77) {
		print_message("skipped: cannot become another user\n");
		skip();
	}
	assert_int_equal(rc, 0);
}

static void
inspecting_changes_nothing_and_does_not_keep_the_file(void **state)
{
	struct hwy_region *r = test_region(), *look;

	(void)state;
	assert_int_equal(hwy_region_inspect(test_path("unit"), &look, err), 0);
	assert_true(hwy_client_alone(r));
	hwy_region_close(r);
	assert_true(test_dir_empty());
	assert_int_equal(look->geo.file_size, TEST_SIZE); /* still mapped */
	assert_int_equal(look->hdr->magic, HWY_MAGIC);
	hwy_region_close(look);
}

static void
nobody_else_may_read_the_file(void **state)
{
	struct hwy_region *r = test_region();
	struct stat st;

	(void)state;
	assert_int_equal(stat(test_path("unit"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	hwy_region_close(r);
}

/* --- many at once -------------------------------------------------------------- */

#define RACERS 12

static int
race(struct test_child *child, void *arg)
{
	struct hwy_region_config config = test_config();
	struct hwy_region *r;
	char message[HWY_ERR_SIZE] = "";

	(void)arg;
	test_tell(child);
	CHILD_CHECK(test_wait(child));
	if (hwy_region_open(&config, &r, message) != 0) {
		print_error("%s\n", message);
		return 1;
	}
	__atomic_fetch_add((uint32_t *)(void *)r->chunks, 1, __ATOMIC_RELAXED);
	test_tell(child);
	CHILD_CHECK(test_wait(child)); /* all are there */
	CHILD_CHECK(hwy_load((uint32_t *)(void *)r->chunks) == RACERS);
	hwy_region_close(r);
	return 0;
}

static void
race_to_make(int (*body)(struct test_child *, void *))
{
	struct test_child racers[RACERS];
	int failed = 0, skipped = 0, rc;

	for (int round = 0; round < 25; round++) {
		for (int i = 0; i < RACERS; i++)
			test_child_start(&racers[i], body, NULL);
		for (int step = 0; step < 2; step++) {
			for (int i = 0; i < RACERS; i++)
				(void)test_wait(&racers[i]);
			for (int i = 0; i < RACERS; i++)
				test_tell(&racers[i]);
		}
		for (int i = 0; i < RACERS; i++) {
			rc = test_child_end(&racers[i]);
			skipped += rc == 77;
			failed += rc != 0 && rc != 77;
		}
		if (failed > 0 || skipped > 0)
			break;
	}
	if (skipped > 0) {
		print_message("skipped: a new pid namespace needs CAP_SYS_ADMIN\n");
		skip();
	}
	assert_int_equal(failed, 0);
	assert_true(test_dir_empty());
}

static void
many_processes_that_race_make_one_region(void **state)
{
	(void)state;
	race_to_make(race);
}

/* Containers share the folder, not the pids: everybody is number 1. */
static int
race_as_init(struct test_child *child, void *arg)
{
	int status = 0;
	pid_t pid;

	if (unshare(CLONE_NEWPID) < 0)
		return 77;
	pid = fork();
	if (pid < 0)
		return 77;
	if (pid == 0)
		_exit(race(child, arg));
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void
many_containers_that_race_make_one_region(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	race_to_make(race_as_init);
}

static int
come_and_go(struct test_child *child, void *arg)
{
	struct hwy_region_config config = test_config();
	struct hwy_region *r;
	char message[HWY_ERR_SIZE] = "";

	(void)arg;
	test_tell(child);
	CHILD_CHECK(test_wait(child));
	for (int i = 0; i < 100; i++) {
		if (hwy_region_open(&config, &r, message) != 0) {
			print_error("%s\n", message);
			return 1;
		}
		CHILD_CHECK(access(test_path("unit"), F_OK) == 0);
		hwy_region_close(r);
	}
	return 0;
}

static void
processes_that_come_and_go_never_fail_and_leave_nothing(void **state)
{
	struct test_child children[4];
	int failed = 0;

	(void)state;
	for (int i = 0; i < 4; i++)
		test_child_start(&children[i], come_and_go, NULL);
	for (int i = 0; i < 4; i++)
		assert_true(test_wait(&children[i]));
	for (int i = 0; i < 4; i++)
		test_tell(&children[i]);
	for (int i = 0; i < 4; i++)
		failed += test_child_end(&children[i]) != 0;
	assert_int_equal(failed, 0);
	assert_true(test_dir_empty());
}

static int
die_with_the_region_open(struct test_child *child, void *arg)
{
	struct hwy_region *r = test_region();

	(void)arg;
	(void)r;
	test_tell(child);
	raise(SIGKILL);
	return 0;
}

static void
the_region_of_the_dead_is_taken_over(void **state)
{
	struct test_child child;
	struct hwy_region *r;

	(void)state;
	test_child_start(&child, die_with_the_region_open, NULL);
	assert_true(test_wait(&child));
	assert_int_equal(test_child_end(&child), 256 + SIGKILL);
	r = test_region();
	assert_false(r->is_new);
	assert_int_equal(r->me, 2); /* slot 1 is the sweep's business */
	assert_int_equal(hwy_region_sweep(r, NULL), 1);
	assert_int_equal(r->clients[1].state, 0);
	hwy_region_close(r);
	assert_true(test_dir_empty());
}

/* --- clients and descriptors --------------------------------------------------- */

static void
a_client_says_who_it_is(void **state)
{
	struct hwy_region *r = test_region();
	char text[64];

	(void)state;
	assert_int_equal(r->clients[r->me].pid, getpid());
	assert_true(r->clients[r->me].attached_ns > 0);
	hwy_client_describe(r, r->me, text, sizeof(text));
	assert_contains(text, "pid ");
	assert_contains(text, "test_region");
	hwy_client_describe(r, 0, text, sizeof(text));
	assert_string_equal(text, "nobody");
	hwy_client_describe(r, 4000000000u, text, sizeof(text));
	assert_string_equal(text, "nobody");
	hwy_region_close(r);
}

static void
client_slots_run_out_with_a_sentence(void **state)
{
	struct hwy_region *all[HWY_MAX_CLIENTS], *more;
	struct hwy_region_config config = test_config();
	uint32_t n = 0;

	(void)state;
	while (n < HWY_MAX_CLIENTS - 1)
		all[n++] = test_region();
	assert_int_equal(all[n - 1]->me, HWY_MAX_CLIENTS - 1);
	assert_int_equal(hwy_region_open(&config, &more, err), -EBUSY);
	assert_contains(err, "254");
	assert_contains(err, "end a process");
	hwy_region_close(all[--n]);
	all[n++] = test_region();
	while (n > 0)
		hwy_region_close(all[--n]);
	assert_true(test_dir_empty());
}

static void
a_descriptor_is_checked_against_the_geometry(void **state)
{
	struct hwy_header geo = {.chunk_count = 100, .chunk_stride = 2368};

	(void)state;
	assert_true(hwy_desc_ok(&geo, HWY_DESC(0, 0, 0, 2368)));
	assert_true(hwy_desc_ok(&geo, HWY_DESC(99, 1, 128, 2240)));
	assert_true(hwy_desc_ok(&geo, HWY_DESC(HWY_CHUNK_INLINE, 0, 0, HWY_INLINE_MAX)));
	assert_false(hwy_desc_ok(&geo, HWY_DESC(100, 0, 0, 64)));
	assert_false(hwy_desc_ok(&geo, HWY_DESC(99, 0, 0, 2369)));
	assert_false(hwy_desc_ok(&geo, HWY_DESC(99, 0, 128, 2241)));
	assert_false(hwy_desc_ok(&geo, HWY_DESC(99, 0, 65535, 65535)));
	assert_false(hwy_desc_ok(&geo, HWY_DESC(HWY_CHUNK_INLINE, 0, 0, HWY_INLINE_MAX + 1)));
	assert_false(hwy_desc_ok(&geo, HWY_DESC(HWY_CHUNK_INLINE - 1, 0, 0, 1)));
}

static void
rings_are_taken_cleared_and_given_back_by_tag(void **state)
{
	struct hwy_region *r = test_region();
	uint32_t index, n = 0;

	(void)state;
	for (uint32_t i = 0; i < r->geo.ring_count; i++)
		hwy_region_ring(r, i).ring->prod = 77;
	assert_int_equal(hwy_region_lock(r, err), 0);
	while (hwy_region_take_ring(r, HWY_TAG_LINK(n % 2), &index) == 0) {
		assert_int_equal(hwy_region_ring(r, index).ring->prod, 0);
		n++;
	}
	assert_int_equal(n, r->geo.ring_count);
	hwy_region_give_rings(r, HWY_TAG_LINK(0));
	for (n = 0; hwy_region_take_ring(r, HWY_TAG_PORT(1), &index) == 0; n++)
		assert_int_equal(index % 2, 0);
	assert_int_equal(n, (r->geo.ring_count + 1) / 2);
	hwy_region_unlock(r);
	hwy_region_close(r);
}

static void
a_lock_is_held_by_one_and_dropped_with_its_file(void **state)
{
	struct hwy_region *a = test_region(), *b = test_region();

	(void)state;
	assert_int_equal(hwy_lock_try(a->fd, HWY_LOCK_HOST), 0);
	assert_int_equal(hwy_lock_try(b->fd, HWY_LOCK_HOST), -EAGAIN);
	assert_true(hwy_lock_held(b->fd, HWY_LOCK_HOST));
	assert_int_equal(hwy_lock_wait(b->fd, HWY_LOCK_HOST, 5), -EAGAIN);
	hwy_region_close(a);
	assert_false(hwy_lock_held(b->fd, HWY_LOCK_HOST));
	assert_int_equal(hwy_lock_wait(b->fd, HWY_LOCK_HOST, 5), 0);
	hwy_region_close(b);
}

static void
a_held_control_lock_is_waited_for_no_longer_than_the_deadline(void **state)
{
	struct hwy_region *a = test_region(), *b = test_region();
	uint64_t before;

	(void)state;
	assert_int_equal(hwy_region_lock(a, err), 0);
	assert_int_equal(hwy_region_sweep(b, NULL), 0); /* does not wait at all */
	before = hwy_now_ns();
	assert_int_equal(hwy_region_lock(b, err), -EAGAIN);
	assert_true(hwy_now_ns() - before >= HWY_LOCK_DEADLINE_MS * 1000000ULL);
	assert_true(hwy_now_ns() - before < 6 * HWY_LOCK_DEADLINE_MS * 1000000ULL);
	assert_contains(err, "control lock");
	assert_contains(err, "end the stuck one");
	hwy_region_unlock(a);
	assert_int_equal(hwy_region_lock(b, err), 0);
	hwy_region_unlock(b);
	hwy_region_close(a);
	hwy_region_close(b);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_to_open_makes_the_region),
		TEST(the_second_to_open_gets_the_same_region),
		TEST(a_region_is_opened_without_any_wishes),
		TEST(an_isolated_ports_region_holds_one_port_and_its_attach_slots),
		TEST(each_kind_of_region_has_names_of_its_own),
		TEST(a_region_that_is_to_be_kept_outlives_its_last_user),
		TEST(the_last_one_out_removes_the_file),
		TEST(a_new_region_is_made_after_the_last_one_went),
		TEST(closing_a_removed_region_leaves_its_successor_alone),
		TEST(the_parts_of_a_region_do_not_overlap),
		TEST(a_size_that_is_no_power_of_two_is_refused),
		TEST(a_size_out_of_bounds_is_refused),
		TEST(a_ring_size_that_cannot_be_is_refused),
		TEST(a_buffer_size_that_cannot_be_is_refused),
		TEST(rings_that_do_not_fit_are_refused),
		TEST(buffers_that_do_not_fit_are_refused),
		TEST(wishes_that_contradict_the_region_are_refused),
		TEST(names_are_checked),
		TEST(a_folder_that_cannot_be_made_is_named),
		TEST(a_path_that_is_too_long_is_refused),
		TEST(no_room_is_an_error_that_leaves_nothing_behind),
		TEST(inspecting_needs_no_right_to_write),
		TEST(inspecting_changes_nothing_and_does_not_keep_the_file),
		TEST(nobody_else_may_read_the_file),
		TEST(many_processes_that_race_make_one_region),
		TEST(many_containers_that_race_make_one_region),
		TEST(processes_that_come_and_go_never_fail_and_leave_nothing),
		TEST(the_region_of_the_dead_is_taken_over),
		TEST(a_client_says_who_it_is),
		TEST(client_slots_run_out_with_a_sentence),
		TEST(a_descriptor_is_checked_against_the_geometry),
		TEST(rings_are_taken_cleared_and_given_back_by_tag),
		TEST(a_lock_is_held_by_one_and_dropped_with_its_file),
		TEST(a_held_control_lock_is_waited_for_no_longer_than_the_deadline),
	};

	return cmocka_run_group_tests_name("region", tests, test_dir_make, test_dir_remove);
}
