/* SPDX-License-Identifier: BSD-3-Clause */
/* Which regions there are: looked for in --dir, in HIGHWAY_DIR and in the default folders. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "highwayctl.h"

struct search {
	const struct hwy_options *options;
	struct hwy_found *found;
	bool quiet;
	bool named; /* the file was named, not just met in a folder */
};

static void
bad_file(const struct search *search, const char *sentence)
{
	search->found->bad++;
	if (!search->quiet)
		hwy_complain("%s", sentence);
}

struct inspecting {
	const char *path;
	struct hwy_region *region;
	int rc;
	char err[HWY_ERR_SIZE];
};

static void
inspect(void *arg)
{
	struct inspecting *i = arg;

	i->rc = hwy_region_inspect(i->path, &i->region, i->err);
}

/* A folder may hold anything: pipes that block whoever opens them, other programs' files,
 * regions that are just being made.  Says whether 'path' is worth a closer look. */
static bool
looks_like_region(const struct search *search, const char *path)
{
	char err[HWY_ERR_SIZE + PATH_MAX];
	uint64_t magic = 0;
	struct stat st;
	ssize_t n;
	int fd;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		if (search->named) {
			snprintf(err, sizeof(err), "%s is not a file", path);
			bad_file(search, err);
		}
		return false;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		if (errno != ENOENT || search->named) {
			snprintf(err, sizeof(err), "%s cannot be opened: %s%s", path,
				 strerror(errno), errno == EACCES ? "; run as its owner" : "");
			bad_file(search, err);
		}
		return false;
	}
	n = pread(fd, &magic, sizeof(magic), 0);
	close(fd);
	return search->named || (n == sizeof(magic) && magic == HWY_MAGIC);
}

static bool
known_already(const struct hwy_found *found, const struct hwy_region *r)
{
	struct stat new, old;

	if (fstat(r->fd, &new) < 0)
		return true;
	for (size_t i = 0; i < found->n; i++) {
		if (fstat(found->regions[i]->fd, &old) == 0 && old.st_dev == new.st_dev &&
		    old.st_ino == new.st_ino)
			return true;
	}
	return false;
}

static void
add_file(struct search *search, const char *path)
{
	struct hwy_found *found = search->found;
	struct inspecting i = {.path = path};
	struct hwy_region **regions;
	const char *base;

	if (!looks_like_region(search, path))
		return;
	if (hwy_guarded(inspect, &i) < 0) {
		i.rc = hwy_fail(i.err, -EPROTO, "%s was cut short while it was read: %s", path,
				"remove the file if no process uses it");
	}
	if (i.rc == -ENOENT && !search->named)
		return;
	if (i.rc < 0) {
		bad_file(search, i.err);
		return;
	}
	base = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
	if (!search->named && strcmp(base, i.region->geo.domain) != 0) {
		const char *dot = strrchr(base, '.');

		/* NAME.PID.new is a region that is about to get its name. */
		if (dot == NULL || strcmp(dot, ".new") != 0) {
			hwy_fail(i.err, 0, "%s does not bear its domain's name and is left out: %s",
				 path, "remove the file if no process uses it");
			bad_file(search, i.err);
		}
		hwy_region_close(i.region);
		return;
	}
	regions = reallocarray(found->regions, found->n + 1, sizeof(regions[0]));
	if (regions != NULL)
		found->regions = regions;
	if (regions == NULL || !hwy_region_name_ok(i.region->geo.domain, i.region->geo.kind) ||
	    known_already(found, i.region)) {
		hwy_region_close(i.region);
		return;
	}
	found->regions[found->n++] = i.region;
}

static void
scan(struct search *search, const char *dir)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *d = opendir(dir);

	if (d == NULL) {
		if (errno != ENOENT) {
			snprintf(path, sizeof(path), "%s cannot be read: %s%s", dir,
				 strerror(errno), errno == EACCES ? "; run as its owner" : "");
			bad_file(search, path);
		}
		return;
	}
	while ((entry = readdir(d)) != NULL) {
		if ((!hwy_name_ok(entry->d_name) &&
		     !hwy_region_name_ok(entry->d_name, HWY_KIND_PORT)) ||
		    (search->options->domain != NULL &&
		     strcmp(entry->d_name, search->options->domain) != 0) ||
		    snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) >= (int)sizeof(path))
			continue;
		add_file(search, path);
	}
	closedir(d);
}

/* Calls cb(arg, dir) for each folder that is to be looked in, in order. */
static void
each_dir(const struct hwy_options *options, void (*cb)(void *arg, const char *dir), void *arg)
{
	const char *env = getenv("HIGHWAY_DIR");
	char *list = env != NULL ? strdup(env) : NULL;
	char *rest = list, *dir;

	for (size_t i = 0; i < options->n_dirs; i++)
		cb(arg, options->dirs[i]);
	while ((dir = strsep(&rest, ":")) != NULL) {
		if (dir[0] != 0)
			cb(arg, dir);
	}
	free(list);
	for (size_t i = 0; hwy_default_dirs[i] != NULL; i++)
		cb(arg, hwy_default_dirs[i]);
}

static void
scan_cb(void *search, const char *dir)
{
	scan(search, dir);
}

static int
by_name(const void *a, const void *b)
{
	const struct hwy_region *const *x = a, *const *y = b;
	int order = strcmp((*x)->geo.domain, (*y)->geo.domain);

	return order != 0 ? order : strcmp((*x)->path, (*y)->path);
}

int
hwy_find(const struct hwy_options *options, bool quiet, struct hwy_found *found)
{
	struct search search = {.options = options, .found = found, .quiet = quiet};

	memset(found, 0, sizeof(*found));
	if (options->domain != NULL && strchr(options->domain, '/') != NULL) {
		search.named = true;
		add_file(&search, options->domain);
	} else if (options->domain != NULL && !hwy_name_ok(options->domain) &&
		   !hwy_region_name_ok(options->domain, HWY_KIND_PORT)) {
		return hwy_misused("domain '%s' is neither a name nor the path of a region file",
				   options->domain);
	} else {
		each_dir(options, scan_cb, &search);
	}
	if (found->n > 1)
		qsort(found->regions, found->n, sizeof(found->regions[0]), by_name);
	return HWY_EXIT_OK;
}

void
hwy_found_free(struct hwy_found *found)
{
	for (size_t i = 0; i < found->n; i++)
		hwy_region_close(found->regions[i]);
	free(found->regions);
	memset(found, 0, sizeof(*found));
}

struct naming {
	FILE *f;
	const char *separator;
};

static void
name_cb(void *arg, const char *dir)
{
	struct naming *naming = arg;

	fprintf(naming->f, "%s%s", naming->separator, dir);
	naming->separator = ", ";
}

int
hwy_found_nothing(const struct hwy_options *options)
{
	struct hwy_options all = *options;
	char *text = NULL;
	size_t size;
	struct naming naming = {open_memstream(&text, &size), ""};
	struct hwy_found found;

	if (naming.f == NULL)
		return hwy_complain("out of memory");
	if (options->domain != NULL && strchr(options->domain, '/') != NULL) {
		fclose(naming.f);
		free(text);
		return HWY_EXIT_FAILED; /* what is wrong with the file has been said */
	}
	all.domain = NULL;
	hwy_find(&all, true, &found);
	if (options->domain != NULL && found.n > 0) {
		fprintf(naming.f, "there is no domain '%s': known are ", options->domain);
		for (size_t i = 0; i < found.n; i++)
			fprintf(naming.f, "%s%s", i > 0 ? ", " : "", found.regions[i]->geo.domain);
	} else {
		fprintf(naming.f, "no %sregion in ", found.bad > 0 ? "usable " : "");
		each_dir(options, name_cb, &naming);
		fprintf(naming.f,
			": start a process with net_highway ports, or name the folder that "
			"its dir= names with --dir");
	}
	hwy_found_free(&found);
	fclose(naming.f);
	hwy_complain("%s", text);
	free(text);
	return HWY_EXIT_FAILED;
}
