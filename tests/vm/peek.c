/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Run inside a virtual machine: vm-peek HEX...  Looks through all memory that its PCI
 * devices show and prints, for each pattern, in how many BARs it is: "HEX COUNT"; then
 * "bytes COUNT" that were looked at.
 */
#include <fcntl.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct pattern {
	unsigned char bytes[64];
	size_t length;
	unsigned int found;
};

static void
parse(const char *hex, struct pattern *p)
{
	for (; hex[0] != 0 && hex[1] != 0 && p->length < sizeof(p->bytes); hex += 2) {
		char pair[3] = {hex[0], hex[1], 0};

		p->bytes[p->length++] = (unsigned char)strtoul(pair, NULL, 16);
	}
}

static void
enable(const char *resource)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%.*s/enable", (int)(strrchr(resource, '/') - resource),
		 resource);
	fd = open(path, O_WRONLY);
	/* One that a driver has is enabled already, and says no. */
	if (fd >= 0 && write(fd, "1", 1) <= 1)
		close(fd);
}

/* Returns the bytes looked at: none of a BAR that is no memory. */
static size_t
look(const char *resource, struct pattern *patterns, int n)
{
	int fd = open(resource, O_RDWR);
	struct stat st = {.st_size = 0};
	size_t size = 0;
	void *at;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (at != MAP_FAILED) {
		size = (size_t)st.st_size;
		for (int i = 0; i < n; i++)
			patterns[i].found +=
				memmem(at, size, patterns[i].bytes, patterns[i].length) != NULL;
		munmap(at, size);
	}
	close(fd);
	return size;
}

int
main(int argc, char **argv)
{
	struct pattern *patterns = calloc((size_t)argc, sizeof(patterns[0]));
	size_t bytes = 0;
	glob_t files;

	if (patterns == NULL)
		return 1;
	for (int i = 1; i < argc; i++)
		parse(argv[i], &patterns[i - 1]);
	if (glob("/sys/bus/pci/devices/*/resource[0-9]", 0, NULL, &files) != 0)
		return 1;
	for (size_t i = 0; i < files.gl_pathc; i++) {
		enable(files.gl_pathv[i]);
		bytes += look(files.gl_pathv[i], patterns, argc - 1);
	}
	globfree(&files);
	for (int i = 1; i < argc; i++)
		printf("%s %u\n", argv[i], patterns[i - 1].found);
	printf("bytes %zu\n", bytes);
	free(patterns);
	return 0;
}
