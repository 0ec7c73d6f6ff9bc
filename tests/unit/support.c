/* SPDX-License-Identifier: BSD-3-Clause */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "port.h"

static char folder[128];

const char *
test_dir(void)
{
	return folder;
}

int
test_dir_make(void **state)
{
	const char *base = getenv("TMPDIR");

	(void)state;
	if (base == NULL)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(folder, sizeof(folder), "%s/highway-test-XXXXXX", base);
	return mkdtemp(folder) == NULL ? -1 : 0;
}

void
test_dir_clean(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			(void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
}

bool
test_dir_empty(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int n = 0;

	if (dir == NULL)
		return false;
	while ((entry = readdir(dir)) != NULL)
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return n == 0;
}

int
test_dir_remove(void **state)
{
	(void)state;
	test_dir_clean();
	return rmdir(folder);
}

const char *
test_path(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

struct hwy_region_config
test_config(void)
{
	struct hwy_region_config config = {
		.dir = folder,
		.domain = "unit",
		.size = TEST_SIZE,
		.ring_size = 64,
	};

	return config;
}

struct hwy_region *
test_region(void)
{
	struct hwy_region_config config = test_config();
	char err[HWY_ERR_SIZE] = "";
	struct hwy_region *region;

	if (hwy_region_open(&config, &region, err) != 0)
		fail_msg("%s", err);
	return region;
}

uint32_t
test_port_up(struct hwy_region *region, const char *name, uint32_t queues)
{
	char err[HWY_ERR_SIZE] = "";
	uint32_t port = 0;

	for (int role = HWY_HOST; role <= HWY_GUEST; role++) {
		struct hwy_end *end;

		if (hwy_port_attach(region, name, (enum hwy_role)role, queues, &port, err) != 0)
			fail_msg("%s", err);
		end = &region->ports[port].end[role];
		end->mtu = 1500;
		hwy_store_release(&end->state, HWY_END_STARTED);
	}
	return port;
}

struct hwy_host *
test_host_up(struct hwy_region **region, uint32_t *x, uint32_t *y, uint32_t *z)
{
	struct hwy_host *host = NULL;

	test_dir_clean();
	*region = test_region();
	*x = test_port_up(*region, "x", 1);
	*y = test_port_up(*region, "y", 1);
	*z = test_port_up(*region, "z", 1);
	if (hwy_host_new(*region, &host) != 0)
		fail_msg("no host");
	return host;
}

void
test_child_start(struct test_child *child, int (*body)(struct test_child *, void *), void *arg)
{
	int down[2], up[2];

	if (pipe(down) < 0 || pipe(up) < 0)
		fail_msg("pipe: %s", strerror(errno));
	fflush(NULL);
	child->pid = fork();
	if (child->pid < 0)
		fail_msg("fork: %s", strerror(errno));
	if (child->pid == 0) {
		close(down[1]);
		close(up[0]);
		child->to = up[1];
		child->from = down[0];
		_exit(body(child, arg));
	}
	close(down[0]);
	close(up[1]);
	child->to = down[1];
	child->from = up[0];
}

void
test_tell(struct test_child *child)
{
	if (write(child->to, "", 1) != 1)
		print_error("the other side does not listen\n");
}

bool
test_wait(struct test_child *child)
{
	struct pollfd wait = {.fd = child->from, .events = POLLIN};
	char byte;

	return poll(&wait, 1, 30000) == 1 && read(child->from, &byte, 1) == 1;
}

int
test_child_end(struct test_child *child)
{
	int status = 0;

	while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(child->to);
	close(child->from);
	return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

uint64_t
test_seed(void)
{
	const char *given = getenv("HIGHWAY_SEED");
	uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : hwy_now_ns();

	print_message("HIGHWAY_SEED=%llu\n", (unsigned long long)seed);
	return seed | 1;
}

/* xorshift64*, Vigna 2014 */
uint64_t
test_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ULL >> 16;
}
