/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * highwayctl set: writes the operator's word, hwy_port.bypass_off or
 * hwy_header.bypass_off, and waits until the host has acted upon it.
 *
 * The page with that word is mapped for writing, and nothing else of the region; no
 * client slot is taken, so this works when all are, and nobody has to clean up after it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "highwayctl.h"

#define HUGETLBFS_SUPER 0x958458f6 /* statfs(2) */
#define DEADLINE_MS     2000
#define POLL_MS         5

struct order {
	const struct hwy_region *region;
	uint32_t port;    /* index, HWY_SNAP_NONE: the domain */
	const char *name; /* of the port */
	bool off;
	int fd;
	int rc;
	char err[HWY_ERR_SIZE];
	char what[2 * HWY_NAME_SIZE + 32]; /* "port a of domain d" */
};

/* --- writing -------------------------------------------------------------------- */

/* Maps the page that holds 'offset' and stores the word there. */
static int
store_word(struct order *o, uint64_t offset)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct statfs fs;
	uint8_t *at;

	if (fstatfs(o->fd, &fs) == 0 && (uint64_t)fs.f_type == HUGETLBFS_SUPER)
		page = (uint64_t)fs.f_bsize;
	at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, o->fd,
		  (off_t)(offset / page * page));
	if (at == MAP_FAILED)
		return hwy_fail(o->err, -errno, "%s cannot be mapped for writing: %s",
				o->region->path, strerror(errno));
	hwy_store_release((uint32_t *)(void *)(at + offset % page), o->off ? 1 : 0);
	munmap(at, page);
	return 0;
}

/* A port may go, and another take its place, unless the control lock is held. */
static int
store_of_port(struct order *o)
{
	const struct hwy_port *port = &o->region->ports[o->port];
	int rc = hwy_lock_wait(o->fd, HWY_LOCK_CONTROL, HWY_LOCK_DEADLINE_MS);

	if (rc < 0)
		return hwy_fail(o->err, rc,
				"%s: another process has held its control lock for %d ms: end the "
				"stuck one of those that highwayctl show names",
				o->region->path, HWY_LOCK_DEADLINE_MS);
	if (hwy_load_acquire(&port->state) != HWY_PORT_USED ||
	    strncmp(port->name, o->name, HWY_NAME_SIZE) != 0)
		rc = hwy_fail(o->err, -ENOENT, "%s is gone: nothing was set", o->what);
	else
		rc = store_word(o, o->region->geo.off_ports +
					   (uint64_t)o->port * sizeof(struct hwy_port) +
					   offsetof(struct hwy_port, bypass_off));
	hwy_lock_drop(o->fd, HWY_LOCK_CONTROL);
	return rc;
}

static void
store(void *arg)
{
	struct order *o = arg;
	struct stat seen, now;

	/* What was validated is what is written to, also if the path leads elsewhere now. */
	if (fstat(o->region->fd, &seen) < 0 || fstat(o->fd, &now) < 0 ||
	    seen.st_dev != now.st_dev || seen.st_ino != now.st_ino ||
	    (uint64_t)now.st_size != o->region->geo.file_size)
		o->rc = hwy_fail(o->err, -ESTALE, "%s was replaced just now: try again",
				 o->region->path);
	else if (o->port == HWY_SNAP_NONE)
		o->rc = store_word(o, offsetof(struct hwy_header, bypass_off));
	else
		o->rc = store_of_port(o);
}

static int
write_order(struct order *o)
{
	o->fd = open(o->region->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (o->fd < 0)
		return hwy_complain("%s cannot be opened for writing: %s; run as its owner",
				    o->region->path, strerror(errno));
	if (hwy_guarded(store, o) < 0)
		o->rc = hwy_fail(o->err, -EFAULT, "%s was cut short: nothing was set",
				 o->region->path);
	close(o->fd);
	return o->rc < 0 ? hwy_complain("%s", o->err) : HWY_EXIT_OK;
}

/* --- waiting -------------------------------------------------------------------- */

/* The host looks at the word in every tick, after it has counted the heartbeat: when it
 * has counted twice, one look lies behind it that began after the word was written. */
static bool
acted(const struct order *o, const struct hwy_snap *s, uint32_t heartbeat)
{
	return s->heartbeat - heartbeat >= 2 && (!o->off || hwy_snap_routes(s, o->port) == 0);
}

/* Says what else keeps the bypass closed. */
static void
say_other_words(const struct order *o, const struct hwy_snap *s)
{
	const char *separator = "; its own word still keeps closed";

	if (o->off)
		return;
	if (o->port != HWY_SNAP_NONE && s->bypass_off)
		printf("; but bypass is off for the whole domain: highwayctl set domain %s "
		       "bypass=on",
		       s->geo.domain);
	for (uint32_t p = 0; o->port == HWY_SNAP_NONE && p < HWY_MAX_PORTS; p++) {
		if (s->ports[p].used && s->ports[p].bypass_off) {
			printf("%s port %s", separator, s->ports[p].name);
			separator = ",";
		}
	}
}

static int
say_outcome(const struct order *o, const struct hwy_snap *s, bool done)
{
	const struct hwy_snap_client *host = &s->clients[s->host];
	uint32_t routes = hwy_snap_routes(s, o->port);

	if (!s->host_alive && o->off && routes > 0)
		return hwy_complain("%s: bypass=off is set, but no switch serves the domain: %u "
				    "route%s stay%s open until one does, or the VNFs end",
				    o->what, routes, routes > 1 ? "s" : "", routes > 1 ? "" : "s");
	if (s->host_alive && !done)
		return hwy_complain(
			"%s: bypass=%s is set, but the host, pid %u (%s), has not acted "
			"upon it within %d ms: see whether it is stopped or hangs",
			o->what, o->off ? "off" : "on", host->pid, host->comm, DEADLINE_MS);
	printf("%s: bypass %s", o->what, o->off ? "off" : "on");
	if (!s->host_alive)
		printf(", but no switch serves the domain: it counts as soon as one does");
	else if (o->port != HWY_SNAP_NONE && s->ports[o->port].end[HWY_HOST].client == 0)
		printf(", but the port has no host end: it counts as soon as the switch has it");
	else if (o->off)
		printf(", no route is left");
	else
		printf(", %u route%s open", routes, routes == 1 ? "" : "s");
	say_other_words(o, s);
	putchar('\n');
	return HWY_EXIT_OK;
}

static int
wait_and_say(const struct order *o)
{
	uint32_t heartbeat = 0;

	for (int waited = 0;; waited += POLL_MS) {
		struct hwy_snap *s = hwy_snap_take(o->region, false);
		bool done;
		int rc;

		if (s == NULL)
			return hwy_complain("%s was cut short while it was read", o->region->path);
		if (waited == 0)
			heartbeat = s->heartbeat;
		done = acted(o, s, heartbeat);
		if (done || !s->host_alive || waited >= DEADLINE_MS) {
			rc = say_outcome(o, s, done);
			free(s);
			return rc;
		}
		free(s);
		hwy_sleep(POLL_MS / 1e3);
	}
}

/* --- the command ---------------------------------------------------------------- */

static int
give_order(const struct hwy_options *options, struct order *o)
{
	int rc = write_order(o);

	if (rc != HWY_EXIT_OK)
		return rc;
	if (!options->no_wait)
		return wait_and_say(o);
	printf("%s: bypass=%s is set\n", o->what, o->off ? "off" : "on");
	return HWY_EXIT_OK;
}

/* Says that there is more than one 'kind' called 'name', and where. */
static int
ambiguous(const char *kind, const char *name, const struct hwy_found *found, const bool *has)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	const char *separator = "";

	if (f == NULL)
		return hwy_complain("out of memory");
	for (size_t i = 0; i < found->n; i++) {
		if (!has[i])
			continue;
		fprintf(f, "%s%s", separator, found->regions[i]->path);
		separator = ", ";
	}
	fclose(f);
	hwy_complain("there is more than one %s '%s', in %s: name one of these files %s", kind,
		     name, text, strcmp(kind, "port") == 0 ? "with --domain" : "instead");
	free(text);
	return HWY_EXIT_FAILED;
}

static int
choose(const struct hwy_options *options, const struct hwy_found *found, struct order *o)
{
	struct hwy_snap **snaps = calloc(found->n, sizeof(snaps[0]));
	bool *has = calloc(found->n, sizeof(has[0]));
	size_t n = 0, hits = 0, hit = 0;
	int rc;

	if (snaps == NULL || has == NULL)
		abort();
	for (size_t i = 0; i < found->n; i++) {
		snaps[n] = hwy_snap_take(found->regions[i], false);
		if (snaps[n] == NULL)
			continue;
		has[i] = o->name == NULL || hwy_snap_find(snaps[n], o->name) != HWY_SNAP_NONE;
		if (has[i]) {
			hits++;
			hit = n;
			o->region = found->regions[i];
		}
		n++;
	}
	if (hits == 1) {
		const char *domain = o->region->geo.domain;

		o->port = o->name != NULL ? hwy_snap_find(snaps[hit], o->name) : HWY_SNAP_NONE;
		if (o->name != NULL && o->region->geo.kind == HWY_KIND_PORT)
			snprintf(o->what, sizeof(o->what), "port %s", o->name);
		else if (o->name != NULL)
			snprintf(o->what, sizeof(o->what), "port %s of domain %s", o->name, domain);
		else
			snprintf(o->what, sizeof(o->what), "domain %s", domain);
		rc = give_order(options, o);
	} else if (hits > 1) {
		rc = ambiguous(o->name != NULL ? "port" : "domain",
			       o->name != NULL ? o->name : options->domain, found, has);
	} else if (n == 0) {
		rc = hwy_found_nothing(options);
	} else {
		rc = hwy_unknown_port(o->name, snaps, n);
	}
	for (size_t i = 0; i < n; i++)
		free(snaps[i]);
	free(snaps);
	free(has);
	return rc;
}

int
hwy_cmd_set(const struct hwy_options *given, int argc, char **argv)
{
	struct hwy_options options = *given;
	struct order order = {.port = HWY_SNAP_NONE};
	struct hwy_found found;
	int rc;

	if (argc != 3 || (strcmp(argv[0], "port") != 0 && strcmp(argv[0], "domain") != 0))
		return hwy_misused("set takes 'port PORT bypass=on|off' or 'domain DOMAIN "
				   "bypass=on|off'");
	if (strcmp(argv[0], "port") == 0 && strncmp(argv[2], "guest=", 6) == 0)
		return hwy_set_guest(given, argv[1], argv[2] + 6);
	if (strcmp(argv[2], "bypass=on") != 0 && strcmp(argv[2], "bypass=off") != 0)
		return hwy_misused("'%s' cannot be set: write bypass=on or bypass=off", argv[2]);
	order.off = strcmp(argv[2], "bypass=off") == 0;
	if (strcmp(argv[0], "port") == 0) {
		if (!hwy_name_ok(argv[1]))
			return hwy_misused("'%s' is not a port's name", argv[1]);
		order.name = argv[1];
	} else {
		if (options.domain != NULL && strcmp(options.domain, argv[1]) != 0)
			return hwy_misused("set domain %s contradicts --domain %s", argv[1],
					   options.domain);
		options.domain = argv[1];
	}
	rc = hwy_find(&options, false, &found);
	if (rc != HWY_EXIT_OK)
		return rc;
	rc = found.n > 0 ? choose(&options, &found, &order) : hwy_found_nothing(&options);
	hwy_found_free(&found);
	return rc;
}
