/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking for regions among the PCI devices of a virtual machine, through sysfs: neither a
 * kernel module, nor UIO or VFIO is needed to map a BAR.
 */
#include "pci.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices"
#define VENDOR  0x1af4u /* ivshmem-plain; QEMU, docs/specs/ivshmem-spec */
#define DEVICE  0x1110u

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
	snprintf(pci->resource, sizeof(pci->resource), DEVICES "/%s/resource2", address);
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

struct wanted {
	const char *name;
	uint64_t created_ns;
	struct hwy_pci *pci;
};

static bool
is_wanted(const struct hwy_pci *pci, void *arg)
{
	const struct wanted *wanted = arg;

	if (strcmp(pci->header.domain, wanted->name) != 0 ||
	    (wanted->created_ns != 0 && pci->header.created_ns != wanted->created_ns))
		return false;
	*wanted->pci = *pci;
	return true;
}

bool
hwy_pci_find(const char *name, uint64_t created_ns, struct hwy_pci *pci)
{
	struct wanted wanted = {.name = name, .created_ns = created_ns, .pci = pci};

	return hwy_pci_each(is_wanted, &wanted);
}
