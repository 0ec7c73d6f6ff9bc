/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The domains that this process takes part in.  One region, one client slot and one
 * control thread per domain, however many ports.
 *
 * The control thread looks every HWY_TICK_MS at what other processes did: link status
 * follows the other end, the host follows guests that come and go, and whoever is
 * first cleans up after the dead.
 */
#include <poll.h>
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_version.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bell.h"
#include "highway.h"
#include "pci.h"
#include "realm.h"

#define HWY_TICK_MS       5
#define HWY_SHORT_TICK_MS 1   /* while a link region is waited for, */
#define HWY_HOST_TICK_US  200 /* and by a host end, whom a guest end in a machine cannot wake, */
#define HWY_HOST_SHORT_MS 20  /* for so long at first */
#define HWY_SWEEP_TICKS   20
#define HWY_LOOK_TICKS    20

static pthread_mutex_t domains_mutex = PTHREAD_MUTEX_INITIALIZER;
static TAILQ_HEAD(, hwy_domain) domains = TAILQ_HEAD_INITIALIZER(domains);

static void
chunk_free(void *addr __rte_unused, void *owner)
{
	hwy_store_release((uint8_t *)owner, 0);
}

/* The buffer is somebody else's by now. */
static void
chunk_lost(void *addr __rte_unused, void *owner __rte_unused)
{
}

/*
 * May 'dev' do DMA from packets that lie in the region?  Then it has to know the region's
 * memory, under the addresses that mbufs carry, which are virtual ones; if it cannot,
 * packets are copied out of the region on receive.
 */
static void
prepare_dma(struct hwy_domain *d, struct rte_device *dev)
{
	struct hwy_region *r = d->region;
	const char *why = NULL;

	if (d->copy_rx || dev == NULL || strcmp(rte_bus_name(rte_dev_bus(dev)), "vdev") == 0)
		return;
	if (rte_eal_iova_mode() != RTE_IOVA_VA)
		why = "it uses physical addresses (--iova-mode=va avoids that)";
	else if (rte_dev_dma_map(dev, r->base, (uint64_t)(uintptr_t)r->base, r->size) < 0)
		why = "it cannot map the region";
	if (why == NULL)
		return;
	d->copy_rx = true;
	HWY_LOG(NOTICE, "domain %s: packets are copied on receive because of device %s: %s",
		r->geo.domain, rte_dev_name(dev), why);
}

static int
new_port(uint16_t port, enum rte_eth_event_type event __rte_unused, void *arg,
	 void *ret __rte_unused)
{
	prepare_dma(arg, rte_eth_devices[port].device);
	return 0;
}

/* Traffic, but never a flow: the switch was not told to offload.  Packets pass all the
 * same, by the switch; say once how to have them bypass it. */
static void
watch_offload(struct hwy_domain *d, unsigned int n)
{
	uint64_t packets = 0;

	if (d->offload_said || hwy_load(&d->region->hdr->offload) || n % HWY_SWEEP_TICKS != 0)
		return;
	for (size_t i = 0; i < RTE_DIM(d->devs); i++) {
		if (d->devs[i] != NULL && d->devs[i]->role == HWY_HOST)
			packets += hwy_counters_sum(d->devs[i]->end->rx,
						    offsetof(struct hwy_counters, normal_packets));
	}
	if (packets == 0)
		d->offload_since = n;
	if (n - d->offload_since < 3000 / HWY_TICK_MS)
		return;
	d->offload_said = true;
	HWY_LOG(WARNING,
		"domain %s has traffic but the switch offers no flows, so all of it goes by the "
		"switch: "
		"ovs-vsctl set Open_vSwitch . other_config:hw-offload=true, then restart "
		"ovs-vswitchd",
		d->region->geo.domain);
}

/*
 * This virtual machine was taken for dead, as it was paused and nobody said so: its ports
 * are others' now.  Nothing is done in the region any more; the application sees its links
 * go down, and has to be started again.
 */
static void
lose(struct hwy_domain *d)
{
	d->lost = true;
	for (uint32_t i = 0; i < d->region->geo.chunk_count; i++)
		d->shinfo[i].free_cb = chunk_lost;
	for (size_t i = 0; i < RTE_DIM(d->devs); i++) {
		if (d->devs[i] == NULL)
			continue;
		hwy_guest_lose(d->devs[i]);
		HWY_LOG(ERR,
			"port %s was given up: this virtual machine was paused and nobody said so "
			"(highwayctl set port %s guest=paused); start the application again",
			d->devs[i]->name, d->devs[i]->name);
	}
}

/* Links that open with the first packet. */
static void
first_packets(struct hwy_domain *d)
{
	for (size_t i = 0; i < RTE_DIM(d->devs); i++) {
		struct hwy_dev *dev = d->devs[i];
		bool awaits;

		if (dev == NULL || dev->role != HWY_HOST)
			continue;
		if (hwy_load_acquire(&dev->arrived)) {
			hwy_store(&dev->arrived, false);
			hwy_host_advance(d->host, dev->index);
		}
		awaits = hwy_host_awaits(d->host, dev->index);
		if (dev->awaits != awaits)
			hwy_store(&dev->awaits, awaits);
	}
}

/* Follows links to ports of other regions.  Returns whether one is on its way. */
static bool
links_tick(struct hwy_domain *d, bool look)
{
	struct hwy_far *far = NULL; /* all host ends of a domain have the same */
	bool waits = false;

	d->told = false;
	if (look && d->region->realm != 0)
		hwy_pci_look();
	for (size_t i = 0; i < RTE_DIM(d->devs); i++) {
		if (d->devs[i] == NULL)
			continue;
		if (d->devs[i]->role == HWY_GUEST && d->lost) {
			continue; /* it would answer in another's slots */
		} else if (d->devs[i]->role == HWY_GUEST) {
			waits |= hwy_dev_attach_tick(d->devs[i]);
		} else if (far != d->devs[i]->far)
			waits |= hwy_far_tick(far = d->devs[i]->far, d->host);
	}
	return waits;
}

static void
tick(struct hwy_domain *d, unsigned int n)
{
	uint64_t dropped = 0;

	if (d->region->realm != 0 && !d->lost && !hwy_realm_beat(d->region))
		lose(d);
	if (d->host != NULL) {
		hwy_store(&d->region->hdr->heartbeat, d->region->hdr->heartbeat + 1);
		hwy_host_tick(d->host);
		first_packets(d);
		watch_offload(d, n);
	}
	if (n % HWY_SWEEP_TICKS == 0) {
		int swept = hwy_region_sweep(d->region, &dropped);

		if (swept > 0)
			HWY_LOG(NOTICE,
				"domain %s: cleaned up after %d dead process%s, %" PRIu64
				" packets waited for them",
				d->region->geo.domain, swept, swept > 1 ? "es" : "", dropped);
	}
	for (size_t i = 0; i < RTE_DIM(d->devs); i++) {
		if (d->devs[i] != NULL && d->devs[i]->eth->data->dev_started &&
		    hwy_link_update(d->devs[i]->eth, 0) == 0)
			rte_eth_dev_callback_process(d->devs[i]->eth, RTE_ETH_EVENT_INTR_LSC, NULL);
	}
}

static void *
control_thread(void *arg)
{
	struct hwy_domain *d = arg;
	struct pollfd poke[] = {{.fd = d->stop_fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
	uint32_t heard = hwy_bell_heard(d->region);
	bool host = false, waits = false;
	uint64_t last = 0, since = 0;

	for (unsigned int n = 0;;) {
		int ms = waits && !d->told ? HWY_SHORT_TICK_MS : HWY_TICK_MS;
		uint32_t before = heard;
		uint64_t value = 0;

		/* The bell is for the host; many other processes may have the region. */
		if (host)
			hwy_bell_wait(d->region, heard,
				      waits && hwy_monotonic_ms() - since < HWY_HOST_SHORT_MS
					      ? HWY_HOST_TICK_US
					      : (unsigned int)ms * 1000);
		poke[1].fd = d->told ? hwy_pci_events() : -1;
		if (poll(poke, RTE_DIM(poke), host ? 0 : ms) > 0 && (poke[0].revents & POLLIN) &&
		    read(d->stop_fd, &value, sizeof(value)) == sizeof(value) && value >= 1u << 16)
			return NULL;
		if (d->told && poke[1].revents != 0)
			hwy_pci_hear();
		heard = hwy_bell_heard(d->region);
		pthread_mutex_lock(&d->mutex);
		/* A short tick is for links only, unless somebody has called. */
		if (!waits || value != 0 || heard != before ||
		    hwy_monotonic_ms() - last >= HWY_TICK_MS) {
			last = hwy_monotonic_ms();
			tick(d, n++);
		}
		if (!waits)
			since = hwy_monotonic_ms();
		waits = links_tick(d, n % HWY_LOOK_TICKS == 0);
		host = d->host != NULL;
		pthread_mutex_unlock(&d->mutex);
	}
}

void
hwy_domain_wake(struct hwy_domain *d)
{
	uint64_t one = 1;

	if (write(d->stop_fd, &one, sizeof(one)) < 0)
		return; /* it looks by itself soon enough */
}

void
hwy_domain_poke(struct hwy_domain *d)
{
	hwy_domain_wake(d);
	hwy_bell_ring(d->region);
}

static void
domain_free(struct hwy_domain *d)
{
	uint64_t stop = 1u << 16;

	if (d->stop_fd >= 0 && d->thread != 0 && write(d->stop_fd, &stop, sizeof(stop)) > 0) {
		hwy_bell_ring(d->region);
		pthread_join(d->thread, NULL);
	}
	if (d->stop_fd >= 0)
		close(d->stop_fd);
	rte_eth_dev_callback_unregister(RTE_ETH_ALL, RTE_ETH_EVENT_NEW, new_port, d);
	hwy_host_free(d->host);
	if (d->extmem)
		rte_extmem_unregister(d->region->base, d->region->size);
	hwy_region_close(d->region);
	pthread_mutex_destroy(&d->mutex);
	free(d->shinfo);
	free(d);
}

static int
open_pci(const char *address, struct hwy_region **region, char *err)
{
	struct hwy_pci pci;

	if (!hwy_pci_at(address, &pci))
		return hwy_fail(err, -ENODEV,
				"pci=%s is no ivshmem-plain device whose BAR 2 holds a region: see "
				"`highwayctl qemu-args` for what the virtual machine needs",
				address);
	return hwy_region_open_device(pci.resource, region, err);
}

/* Is 'd' what 'args' mean? */
static bool
is_domain(const struct hwy_domain *d, const struct hwy_devargs *args)
{
	const char *slash = strrchr(d->region->path, '/');

	if (args->pci[0] != 0 || d->region->realm != 0)
		return strcmp(d->pci, args->pci) == 0;
	/* The same name in another folder is another domain. */
	return strcmp(d->region->geo.domain, args->domain) == 0 &&
	       (args->dir[0] == 0 || (strncmp(args->dir, d->region->path, strlen(args->dir)) == 0 &&
				      d->region->path + strlen(args->dir) == slash));
}

#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
static uint32_t
control_thread_main(void *d)
{
	(void)control_thread(d);
	return 0;
}

static int
start_control_thread(struct hwy_domain *d)
{
	rte_thread_t thread;
	int rc = rte_thread_create_control(&thread, "highway-ctl", control_thread_main, d);

	if (rc == 0)
		d->thread = (pthread_t)thread.opaque_id;
	return rc;
}
#else
static int
start_control_thread(struct hwy_domain *d)
{
	return rte_ctrl_thread_create(&d->thread, "highway-ctl", NULL, control_thread, d);
}
#endif

static int
domain_new(const struct hwy_devargs *args, struct hwy_domain **out, char *err)
{
	struct hwy_domain *d = calloc(1, sizeof(*d));
	uint16_t port;
	int rc;

	if (d == NULL)
		return hwy_fail(err, -ENOMEM, "domain=%s: out of memory", args->domain);
	d->stop_fd = -1;
	snprintf(d->pci, sizeof(d->pci), "%s", args->pci);
	pthread_mutex_init(&d->mutex, NULL);
	rc = args->pci[0] != 0 ? open_pci(args->pci, &d->region, err)
			       : hwy_region_open(&args->region, &d->region, err);
	if (rc < 0)
		goto failed;
	d->shinfo = calloc(d->region->geo.chunk_count, sizeof(d->shinfo[0]));
	d->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->shinfo == NULL || d->stop_fd < 0) {
		rc = hwy_fail(err, -ENOMEM, "domain=%s: out of memory or files", args->domain);
		goto failed;
	}
	for (uint32_t i = 0; i < d->region->geo.chunk_count; i++) {
		d->shinfo[i].free_cb = chunk_free;
		d->shinfo[i].fcb_opaque = &d->region->owners[i];
	}
	/* A guest could change a packet while the switch looks at it. */
	d->copy_rx = args->role == HWY_HOST && d->region->geo.kind == HWY_KIND_PORT;
	d->extmem = !d->copy_rx && (rte_extmem_register(d->region->base, d->region->size, NULL, 0,
							(size_t)sysconf(_SC_PAGESIZE)) == 0 ||
				    rte_errno == EEXIST);
	if (!d->copy_rx && !d->extmem) {
		d->copy_rx = true;
		HWY_LOG(NOTICE, "domain %s: packets are copied on receive: %s", args->domain,
			rte_strerror(rte_errno));
	}
	RTE_ETH_FOREACH_DEV (port)
		prepare_dma(d, rte_eth_devices[port].device);
	rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_NEW, new_port, d);
	rc = start_control_thread(d);
	if (rc != 0) {
		rc = hwy_fail(err, -EAGAIN, "domain=%s: no control thread could be started",
			      args->domain);
		d->thread = 0;
		goto failed;
	}
	*out = d;
	return 0;
failed:
	domain_free(d);
	return rc;
}

int
hwy_domain_get(const struct hwy_devargs *args, struct hwy_domain **out, char *err)
{
	struct hwy_domain *d;
	int rc = 0;

	pthread_mutex_lock(&domains_mutex);
	TAILQ_FOREACH (d, &domains, next) {
		if (is_domain(d, args))
			break;
	}
	if (d != NULL) {
		rc = hwy_region_check(d->region, &args->region, err);
	} else {
		rc = domain_new(args, &d, err);
		if (rc == 0)
			TAILQ_INSERT_TAIL(&domains, d, next);
	}
	if (rc == 0) {
		d->users++;
		*out = d;
	}
	pthread_mutex_unlock(&domains_mutex);
	return rc;
}

/* Does the application still hold mbufs with chunks of the region? */
static bool
chunks_outstanding(const struct hwy_region *r)
{
	for (uint32_t i = 0; i < r->geo.chunk_count; i++) {
		if (hwy_load(&r->owners[i]) == r->me)
			return true;
	}
	return false;
}

void
hwy_domain_put(struct hwy_domain *d)
{
	pthread_mutex_lock(&domains_mutex);
	/* With mbufs outstanding the region stays mapped, and the slot ours, until the
	 * process ends or uses the domain again: the mbufs must stay readable. */
	if (--d->users == 0 && !chunks_outstanding(d->region)) {
		TAILQ_REMOVE(&domains, d, next);
		domain_free(d);
	}
	pthread_mutex_unlock(&domains_mutex);
}

int
hwy_domain_add(struct hwy_domain *d, struct hwy_dev *dev, const struct hwy_devargs *args, char *err)
{
	struct hwy_header *hdr = d->region->hdr;
	int rc = 0;

	pthread_mutex_lock(&d->mutex);
	if (args->has_keep)
		hwy_region_keep(d->region, args->keep);
	if (dev->role == HWY_HOST && d->region->geo.kind == HWY_KIND_PORT)
		d->copy_rx = true;
	if (dev->role == HWY_HOST && d->host == NULL) {
		hwy_store(&hdr->policy, args->policy);
		if (hwy_host_new(d->region, &d->host) < 0)
			rc = hwy_fail(err, -ENOMEM, "port=%s: out of memory", args->port);
	} else if (args->has_policy && hwy_load(&hdr->policy) != args->policy) {
		rc = hwy_fail(
			err, -EINVAL,
			"policy= of port=%s contradicts that of the other ports of domain=%s: "
			"give all of them the same",
			args->port, args->domain);
	}
	if (rc == 0 && dev->role == HWY_HOST && hwy_dev_far_add(dev) < 0)
		rc = hwy_fail(err, -ENOMEM, "port=%s: out of memory", args->port);
	else if (rc == 0 && dev->role == HWY_GUEST)
		hwy_dev_attach_init(dev);
	for (size_t i = 0; rc == 0; i++) {
		if (d->devs[i] == NULL) {
			d->devs[i] = dev;
			break;
		}
	}
	pthread_mutex_unlock(&d->mutex);
	return rc;
}

void
hwy_domain_del(struct hwy_domain *d, struct hwy_dev *dev)
{
	bool hosts = false;

	pthread_mutex_lock(&d->mutex);
	for (size_t i = 0; i < RTE_DIM(d->devs); i++) {
		if (d->devs[i] == dev)
			d->devs[i] = NULL;
		else if (d->devs[i] != NULL && d->devs[i]->role == HWY_HOST)
			hosts = true;
	}
	hwy_dev_far_del(dev);
	hwy_dev_attach_close(dev);
	if (dev->role == HWY_HOST && d->host != NULL) {
		hwy_store_release(&dev->end->state, HWY_END_STOPPED);
		hwy_host_port_gone(d->host, dev->index);
		if (!hosts) {
			hwy_host_free(d->host);
			d->host = NULL;
		}
	}
	hwy_port_detach(d->region, dev->index, dev->role);
	pthread_mutex_unlock(&d->mutex);
}

void
hwy_domain_each_dev(void (*cb)(struct hwy_dev *dev, void *arg), void *arg)
{
	struct hwy_domain *d;

	pthread_mutex_lock(&domains_mutex);
	TAILQ_FOREACH (d, &domains, next) {
		pthread_mutex_lock(&d->mutex);
		for (size_t i = 0; i < RTE_DIM(d->devs); i++) {
			if (d->devs[i] != NULL)
				cb(d->devs[i], arg);
		}
		pthread_mutex_unlock(&d->mutex);
	}
	pthread_mutex_unlock(&domains_mutex);
}
