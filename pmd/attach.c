/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Link regions in this process.  A guest end follows its attach slots (shm/attach.h), the
 * host ends of one run directory share a struct hwy_far (shm/far.h).  Control threads only.
 */
#include <fcntl.h>

#include "guest.h"
#include "pci.h"

struct run_dir {
	LIST_ENTRY(run_dir) next;
	unsigned int users;
	struct hwy_far *far;
	char path[PATH_MAX];
};

static pthread_mutex_t dirs_mutex = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, run_dir) dirs = LIST_HEAD_INITIALIZER(dirs);

/* Folder of the region's file. */
static void
folder_of(const struct hwy_region *r, char path[PATH_MAX])
{
	char *slash;

	snprintf(path, PATH_MAX, "%s", r->path);
	slash = strrchr(path, '/');
	if (slash != NULL)
		*slash = 0;
}

/* --- host ends -------------------------------------------------------------------- */

static struct hwy_far *
far_get(const char *path)
{
	struct run_dir *d;

	pthread_mutex_lock(&dirs_mutex);
	LIST_FOREACH (d, &dirs, next) {
		if (strcmp(d->path, path) == 0)
			break;
	}
	if (d == NULL) {
		d = calloc(1, sizeof(*d));
		if (d != NULL && hwy_far_new(path, &d->far) < 0) {
			free(d);
			d = NULL;
		}
		if (d != NULL) {
			snprintf(d->path, sizeof(d->path), "%s", path);
			LIST_INSERT_HEAD(&dirs, d, next);
		}
	}
	if (d != NULL)
		d->users++;
	pthread_mutex_unlock(&dirs_mutex);
	return d != NULL ? d->far : NULL;
}

static void
far_put(struct hwy_far *far)
{
	struct run_dir *d;

	pthread_mutex_lock(&dirs_mutex);
	LIST_FOREACH (d, &dirs, next) {
		if (d->far == far)
			break;
	}
	if (d != NULL && --d->users == 0) {
		LIST_REMOVE(d, next);
		hwy_far_free(d->far);
		free(d);
	}
	pthread_mutex_unlock(&dirs_mutex);
}

int
hwy_dev_far_add(struct hwy_dev *dev)
{
	char path[PATH_MAX];

	folder_of(dev->region, path);
	dev->far = far_get(path);
	if (dev->far == NULL)
		return -ENOMEM;
	dev->far_port = hwy_far_add(dev->far, dev->domain->host, dev->region, dev->index,
				    HWY_FAR_PORT + dev->port_id);
	if (dev->far_port == NULL) {
		far_put(dev->far);
		dev->far = NULL;
		return -ENOMEM;
	}
	return 0;
}

void
hwy_dev_far_del(struct hwy_dev *dev)
{
	if (dev->far == NULL)
		return;
	hwy_far_del(dev->far, dev->far_port);
	far_put(dev->far);
	dev->far = NULL;
	dev->far_port = NULL;
}

/* --- guest ends ------------------------------------------------------------------- */

static int
fetch(void *aux, uint64_t id)
{
	const struct hwy_dev *dev = aux;
	char path[PATH_MAX + sizeof(HWY_LEDGER_SOCKET)], name[HWY_NAME_SIZE];
	char err[HWY_ERR_SIZE] = "";
	int fd;

	if (dev->region->realm != 0) {
		/* In a virtual machine it is a device, which may take a moment to be there. */
		if (!hwy_pci_find(hwy_link_region_name(id, name), path, &dev->domain->told))
			return -EAGAIN;
		fd = open(path, O_RDWR | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	folder_of(dev->region, path);
	strcat(strcat(path, "/"), HWY_LEDGER_SOCKET);
	fd = hwy_attach_ask(path, dev->region, id, err);
	if (fd == -EPERM) /* anything else comes and goes */
		HWY_LOG(WARNING, "port %s: %s; packets take the switch", dev->name, err);
	return fd;
}

static struct hwy_region *
take(void *aux, uint64_t id, bool wait)
{
	const struct hwy_dev *dev = aux;
	char name[HWY_NAME_SIZE];

	return dev->region->realm != 0 ? hwy_pci_take(hwy_link_region_name(id, name), wait) : NULL;
}

static bool
in_use(void *aux, uint32_t slot)
{
	const struct hwy_dev *dev = aux;
	uint32_t used = 0;

	for (int i = 0; i < HWY_MAX_QUEUES; i++) {
		if (dev->rxq[i] != NULL)
			used |= hwy_load_acquire(&dev->rxq[i]->far_slots);
		if (dev->txq[i] != NULL)
			used |= hwy_load_acquire(&dev->txq[i]->far_slots);
	}
	return (used >> slot & 1) != 0;
}

void
hwy_dev_attach_init(struct hwy_dev *dev)
{
	hwy_attach_init(&dev->attach, dev->region, dev->index);
	dev->attach.fetch = fetch;
	dev->attach.take = take;
	dev->attach.in_use = in_use;
	dev->attach.aux = dev;
}

/* Could a packet of a link be more than an mbuf holds?  It is copied into one. */
static bool
frames_fit(const struct hwy_dev *dev)
{
	for (int i = 0; i < HWY_MAX_QUEUES; i++) {
		if (dev->rxq[i] != NULL && !dev->rxq[i]->scatter &&
		    dev->rxq[i]->room < dev->max_frame)
			return false;
	}
	return true;
}

static bool
may_send(const struct hwy_dev *dev)
{
	return hwy_end_up(dev->end) && frames_fit(dev);
}

void
hwy_dev_attach_quick(struct hwy_dev *dev)
{
	struct hwy_domain *d = dev->domain;
	bool more = true;

	/* Who holds it may have looked before there was anything to see. */
	if (pthread_mutex_trylock(&d->mutex) == 0) {
		more = !d->lost && hwy_attach_quick(&dev->attach, may_send(dev));
		pthread_mutex_unlock(&d->mutex);
	}
	if (more)
		hwy_domain_wake(d);
}

bool
hwy_dev_attach_tick(struct hwy_dev *dev)
{
	uint32_t broken;
	bool waits = hwy_attach_tick(&dev->attach, may_send(dev), &broken);

	for (uint32_t slot = 0; slot < HWY_MAX_ATTACH; slot++) {
		if ((broken >> slot & 1) == 0)
			continue;
		HWY_LOG(WARNING,
			"port %s: its link with port %.*s is given up, as that one %s; "
			"packets take the switch",
			dev->name, HWY_NAME_SIZE - 1,
			hwy_region_attach(dev->region, dev->index, slot)->peer,
			hwy_load(&dev->attach.broken[slot]) == EBADMSG
				? "keeps it from receiving by the switch, against the protocol"
				: "takes no packets");
	}
	return waits;
}

void
hwy_dev_attach_close(struct hwy_dev *dev)
{
	if (dev->attach.region != NULL)
		hwy_attach_close(&dev->attach);
}
