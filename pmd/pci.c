/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking for regions among the PCI devices of a virtual machine, through sysfs: neither a
 * kernel module, nor UIO or VFIO is needed to map a BAR.
 */
#include "pci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices"
#define VENDOR  0x1af4u /* ivshmem-plain; QEMU, docs/specs/ivshmem-spec */
#define DEVICE  0x1110u

static void
resource_of(const char *address, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, DEVICES "/%s/resource2", address);
}

static bool
read_attribute(const char *address, const char *name, char *value, size_t size)
{
	char path[PATH_MAX];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), DEVICES "/%s/%s", address, name);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	ok = fgets(value, (int)size, f) != NULL;
	fclose(f);
	return ok;
}

static bool
attribute_is(const char *address, const char *name, unsigned long wanted)
{
	char value[32];

	return read_attribute(address, name, value, sizeof(value)) &&
	       strtoul(value, NULL, 0) == wanted;
}

static bool
enable(const char *address, const char *value)
{
	char path[PATH_MAX];
	bool ok;
	int fd;

	snprintf(path, sizeof(path), DEVICES "/%s/enable", address);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = write(fd, value, 1) == 1;
	close(fd);
	return ok;
}

/* Copies the header out of the BAR, if that is what it holds. */
static bool
read_header(const char *resource, struct hwy_header *header)
{
	int fd = open(resource, O_RDWR | O_CLOEXEC);
	bool ours = false;
	struct stat st;
	void *at;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && st.st_size >= (off_t)HWY_MIN_REGION) {
		at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
		if (at != MAP_FAILED) {
			ours = hwy_load_acquire((uint64_t *)at) == HWY_MAGIC;
			memcpy(header, at, sizeof(*header));
			header->domain[sizeof(header->domain) - 1] = 0;
			ours = ours && header->file_size == (uint64_t)st.st_size;
			munmap(at, 4096);
		}
	}
	close(fd);
	return ours;
}

bool
hwy_pci_at(const char *address, struct hwy_pci *pci)
{
	char driver[PATH_MAX];
	bool off;

	if (strlen(address) >= sizeof(pci->address) || strchr(address, '/') != NULL ||
	    !attribute_is(address, "vendor", VENDOR) || !attribute_is(address, "device", DEVICE))
		return false;
	snprintf(driver, sizeof(driver), DEVICES "/%s/driver", address);
	if (access(driver, F_OK) == 0)
		return false; /* it belongs to somebody */
	memset(pci, 0, sizeof(*pci));
	snprintf(pci->address, sizeof(pci->address), "%s", address);
	resource_of(address, pci->resource);
	off = attribute_is(address, "enable", 0);
	if (off && !enable(address, "1"))
		return false;
	if (read_header(pci->resource, &pci->header))
		return true;
	if (off)
		(void)enable(address, "0");
	return false;
}

static int
is_address(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && strlen(entry->d_name) < HWY_PCI_ADDRESS;
}

bool
hwy_pci_each(bool (*each)(const struct hwy_pci *pci, void *arg), void *arg)
{
	struct dirent **entries;
	struct hwy_pci pci;
	bool done = false;
	int n = scandir(DEVICES, &entries, is_address, alphasort);

	for (int i = 0; i < n; i++) {
		if (!done && hwy_pci_at(entries[i]->d_name, &pci))
			done = each(&pci, arg);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return done;
}

/* --- devices that come while the application runs --------------------------------------- */

#define READ_TIMES 100
#define LOOK_MS    20 /* between two looks although the kernel tells nothing */

/*
 * What is known of a device.  Its entry of the folder gets another number when it is taken
 * out and put in again, so that nothing has to be read to see that it is still the same.
 */
struct known {
	char address[HWY_PCI_ADDRESS];
	ino_t ino;
	bool there;                /* in this look */
	unsigned int left;         /* how often it is worth reading, as no region was found */
	char name[HWY_NAME_SIZE];  /* of the region it holds; empty: it holds none */
	bool tried;                /* to map the link region */
	struct hwy_region *region; /* mapped beforehand; NULL: not, or it was taken */
};

static pthread_mutex_t known_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct known *known;
static size_t n_known;

/* The kernel's events (uevents), -1: none to be had.  A network namespace may get none of them, so
 * they are relied on only when one has come. */
static int events = -1;
static bool events_tried, events_come;
static bool news; /* a device may have come or gone since the last look */
static uint64_t next_look_ms;

static struct known *
known_get(const struct dirent *entry)
{
	struct known *more;

	for (size_t i = 0; i < n_known; i++) {
		if (known[i].ino == entry->d_ino && strcmp(known[i].address, entry->d_name) == 0)
			return &known[i];
	}
	more = realloc(known, (n_known + 1) * sizeof(*known));
	if (more == NULL)
		return NULL;
	known = more;
	more = &known[n_known++];
	*more = (struct known){.ino = entry->d_ino, .left = READ_TIMES};
	snprintf(more->address, sizeof(more->address), "%.*s", HWY_PCI_ADDRESS - 1, entry->d_name);
	return more;
}

static void
known_forget(size_t i)
{
	hwy_region_close(known[i].region);
	known[i] = known[--n_known];
}

/* Reads a device that is new.  The kernel may not be done with it: the file of its BAR comes
 * last. */
static void
known_read(struct known *k)
{
	char path[PATH_MAX];
	struct hwy_pci pci;

	if (k->left == READ_TIMES && (!attribute_is(k->address, "vendor", VENDOR) ||
				      !attribute_is(k->address, "device", DEVICE))) {
		k->left = 0;
		return;
	}
	resource_of(k->address, path);
	if (access(path, F_OK) != 0)
		return;
	k->left--;
	if (hwy_pci_at(k->address, &pci)) {
		k->left = 0;
		snprintf(k->name, sizeof(k->name), "%s", pci.header.domain);
	}
}

static void
known_read_all(void)
{
	for (size_t i = 0; i < n_known; i++) {
		if (known[i].left > 0)
			known_read(&known[i]);
	}
}

/* Whoever sends what looks like one, or none, costs or spares us a look and nothing else. */
static void
events_open(void)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = 1};

	events_tried = true;
	events =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	if (events >= 0 && bind(events, (struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
		close(events);
		events = -1;
	}
}

static void
events_read(void)
{
	char event[64];
	ssize_t n;

	if (!events_tried)
		events_open();
	while (events >= 0) {
		n = recv(events, event, sizeof(event), 0);
		if (n < 0 && errno == EAGAIN)
			return;
		events_come = true;
		news = true; /* also if some are lost (ENOBUFS) */
		if (n < 0 && errno != ENOBUFS && errno != EINTR) {
			close(events);
			events = -1;
			events_come = false;
		}
	}
}

/* Brings what is known up to date. */
static void
known_look(void)
{
	DIR *dir = opendir(DEVICES);
	const struct dirent *entry;

	news = false;
	next_look_ms = hwy_monotonic_ms() + LOOK_MS;
	for (size_t i = 0; i < n_known; i++)
		known[i].there = false;
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		struct known *k = is_address(entry) ? known_get(entry) : NULL;

		if (k == NULL)
			continue;
		k->there = true;
	}
	for (size_t i = n_known; i > 0; i--) {
		if (!known[i - 1].there)
			known_forget(i - 1);
	}
	if (dir != NULL)
		closedir(dir);
	known_read_all();
}

/* Maps a link region that nobody wants yet.  If that fails, whoever wants it will be told why. */
static void
known_map(struct known *k)
{
	char path[PATH_MAX];
	uint64_t id;
	int fd;

	k->tried = true;
	if (!hwy_link_region_id(k->name, &id))
		return;
	resource_of(k->address, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)hwy_link_region_map(fd, id, &k->region, NULL);
	close(fd);
}

void
hwy_pci_look(void)
{
	pthread_mutex_lock(&known_mutex);
	events_read(); /* before the folder, so that none is missed */
	known_look();
	for (size_t i = 0; i < n_known; i++) {
		if (known[i].name[0] == HWY_PCI_LINK && !known[i].tried)
			known_map(&known[i]);
	}
	pthread_mutex_unlock(&known_mutex);
}

struct hwy_region *
hwy_pci_take(const char *name, bool wait)
{
	struct hwy_region *region = NULL;

	if (wait)
		pthread_mutex_lock(&known_mutex);
	else if (pthread_mutex_trylock(&known_mutex) != 0)
		return NULL;
	for (size_t i = 0; i < n_known && region == NULL; i++) {
		if (strcmp(known[i].name, name) != 0)
			continue;
		region = known[i].region;
		known[i].region = NULL;
		known[i].tried = true;
	}
	pthread_mutex_unlock(&known_mutex);
	return region;
}

static bool
known_find(const char *name, char resource[PATH_MAX])
{
	for (size_t i = 0; i < n_known; i++) {
		if (strcmp(known[i].name, name) != 0)
			continue;
		resource_of(known[i].address, resource);
		return true;
	}
	return false;
}

/* Is there one that is not to be read yet? */
static bool
known_pending(void)
{
	bool pending = false;

	for (size_t i = 0; i < n_known; i++)
		pending |= known[i].left > 0;
	return pending;
}

bool
hwy_pci_find(const char *name, char resource[PATH_MAX], bool *told)
{
	bool found;

	*told = false;
	pthread_mutex_lock(&known_mutex);
	found = known_find(name, resource); /* no two regions ever have the same name */
	if (!found) {
		events_read();
		if (news || !events_come || hwy_monotonic_ms() >= next_look_ms)
			known_look();
		else
			known_read_all();
		*told = events_come && !known_pending();
		found = known_find(name, resource);
	}
	pthread_mutex_unlock(&known_mutex);
	return found;
}

int
hwy_pci_events(void)
{
	int fd;

	pthread_mutex_lock(&known_mutex);
	fd = events;
	pthread_mutex_unlock(&known_mutex);
	return fd;
}

void
hwy_pci_hear(void)
{
	pthread_mutex_lock(&known_mutex);
	events_read();
	pthread_mutex_unlock(&known_mutex);
}
