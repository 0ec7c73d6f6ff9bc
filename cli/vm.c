/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * highwayctl for virtual machines: what shows a port's region to one (qemu-args,
 * libvirt-xml), and what is known of the one that holds a guest end (set port PORT guest=).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "highwayctl.h"
#include "realm.h"

#define HUGETLBFS_SUPER 0x958458f6 /* statfs(2) */

/* Calls fn for the one region that has port 'name', with the port's index. */
static int
with_port(const struct hwy_options *options, const char *name,
	  int (*fn)(const struct hwy_region *r, const struct hwy_snap *s, uint32_t port,
		    const char *arg),
	  const char *arg)
{
	struct hwy_snap **snaps;
	struct hwy_found found;
	size_t n = 0, hits = 0, hit = 0, region = 0;
	int rc;

	if (!hwy_name_ok(name))
		return hwy_misused("'%s' is not a port's name", name);
	rc = hwy_find(options, false, &found);
	if (rc != HWY_EXIT_OK)
		return rc;
	snaps = calloc(found.n + 1, sizeof(snaps[0]));
	if (snaps == NULL)
		abort();
	for (size_t i = 0; i < found.n; i++) {
		snaps[n] = hwy_snap_take(found.regions[i], false);
		if (snaps[n] == NULL)
			continue;
		if (hwy_snap_find(snaps[n], name) != HWY_SNAP_NONE) {
			hits++;
			hit = n;
			region = i;
		}
		n++;
	}
	if (n == 0)
		rc = hwy_found_nothing(options);
	else if (hits == 0)
		rc = hwy_unknown_port(name, snaps, n);
	else if (hits > 1)
		rc = hwy_complain("there is more than one port '%s': name its domain, or region "
				  "file, with --domain",
				  name);
	else
		rc = fn(found.regions[region], snaps[hit], hwy_snap_find(snaps[hit], name), arg);
	for (size_t i = 0; i < n; i++)
		free(snaps[i]);
	free(snaps);
	hwy_found_free(&found);
	return rc;
}

/* --- what a virtual machine needs ------------------------------------------------ */

static void
put_escaped(const char *text, bool xml)
{
	for (; *text != 0; text++) {
		if (*text == ',')
			fputs(",,", stdout); /* QEMU takes a single one for the end */
		else if (xml && *text == '&')
			fputs("&amp;", stdout);
		else if (xml && *text == '<')
			fputs("&lt;", stdout);
		else if (xml && *text == '\'')
			fputs("&apos;", stdout);
		else
			putchar(*text);
	}
}

static int
print_args(const struct hwy_region *r, const struct hwy_snap *s, uint32_t port, const char *arg)
{
	const char *name = hwy_snap_port_name(s, port);
	const char *object =
		arg != NULL ? "  <qemu:arg value='-object'/>\n  <qemu:arg value='" : "-object ";
	const char *device = arg != NULL ? "'/>\n  <qemu:arg value='-device'/>\n"
					   "  <qemu:arg value='"
					 : "\n-device ";

	if (arg != NULL)
		puts("<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>");
	printf("%smemory-backend-file,id=highway-%s,share=on,mem-path=", object, name);
	put_escaped(r->path, arg != NULL);
	printf(",size=%llu%sivshmem-plain,id=highway-%s-pci,memdev=highway-%s%s\n",
	       (unsigned long long)s->geo.file_size, device, name, name, arg != NULL ? "'/>" : "");
	if (arg != NULL)
		puts("</qemu:commandline>");
	/* Only an isolated port is ever given another region by a link. */
	if (s->geo.kind == HWY_KIND_PORT) {
		fflush(stdout);
		fputs("highwayctl: on q35 each link region that is to be plugged in later needs a "
		      "root port of its own: -device pcie-root-port,id=highway-link1,chassis=101,"
		      "slot=101,pref64-reserve=32M and so on; on i440fx nothing\n",
		      stderr);
	}
	if (s->geo.port_count > 1) {
		fflush(stdout);
		fprintf(stderr,
			"highwayctl: the region of domain %s has more than one port: in the guest, "
			"say which by -a ADDRESS,port=%s, else it gets the first that is free\n",
			s->geo.domain, name);
	}
	return HWY_EXIT_OK;
}

int
hwy_cmd_qemu_args(const struct hwy_options *options, int argc, char **argv)
{
	if (argc != 1)
		return hwy_misused("qemu-args takes the name of a port");
	return with_port(options, argv[0], print_args, NULL);
}

int
hwy_cmd_libvirt_xml(const struct hwy_options *options, int argc, char **argv)
{
	if (argc != 1)
		return hwy_misused("libvirt-xml takes the name of a port");
	return with_port(options, argv[0], print_args, "xml");
}

/* --- what is known of one --------------------------------------------------------- */

struct saying {
	const struct hwy_region *region;
	uint32_t client, life;
	enum hwy_said what;
	int rc;
};

static void
say(void *arg)
{
	struct saying *s = arg;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t offset = s->region->geo.off_clients + s->client * sizeof(struct hwy_client) +
			  offsetof(struct hwy_client, said);
	int fd = open(s->region->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct statfs fs;
	uint8_t *at;

	if (fd < 0) {
		s->rc = -errno;
		return;
	}
	if (fstatfs(fd, &fs) == 0 && (uint64_t)fs.f_type == HUGETLBFS_SUPER)
		page = (uint64_t)fs.f_bsize;
	at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		  (off_t)(offset / page * page));
	if (at == MAP_FAILED) {
		s->rc = -errno;
	} else {
		hwy_store_release((uint64_t *)(void *)(at + offset % page),
				  HWY_SAID(s->life, s->what));
		munmap(at, page);
	}
	close(fd);
}

static int
say_guest(const struct hwy_region *r, const struct hwy_snap *s, uint32_t port, const char *word)
{
	uint32_t client = s->ports[port].end[HWY_GUEST].client;
	const char *name = hwy_snap_port_name(s, port);
	struct saying saying = {.region = r, .client = client, .life = s->clients[client].life};

	if (client == 0 || !s->clients[client].used)
		return hwy_complain("port %s has no guest end that could be %s", name, word);
	if (s->clients[client].realm == 0)
		return hwy_complain("port %s belongs to pid %u (%s) of this machine, whose end is "
				    "noticed by itself",
				    name, s->clients[client].pid, s->clients[client].comm);
	saying.what = strcmp(word, "gone") == 0     ? HWY_SAID_GONE
		      : strcmp(word, "paused") == 0 ? HWY_SAID_PAUSED
						    : HWY_SAID_NOTHING;
	if (hwy_guarded(say, &saying) < 0)
		saying.rc = -EFAULT;
	if (saying.rc < 0)
		return hwy_complain("%s cannot be written to: %s; run as its owner", r->path,
				    strerror(-saying.rc));
	printf("port %s: guest %s\n", name, word);
	return HWY_EXIT_OK;
}

int
hwy_set_guest(const struct hwy_options *options, const char *port, const char *word)
{
	if (strcmp(word, "gone") != 0 && strcmp(word, "paused") != 0 &&
	    strcmp(word, "running") != 0)
		return hwy_misused("guest=%s cannot be set: write guest=gone, guest=paused or "
				   "guest=running",
				   word);
	return with_port(options, port, say_guest, word);
}
