/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtual device: net_highway<N>,domain=...,port=...[,...]
 *
 *   option   meaning                                       default      valid
 *   domain   trust domain: names the region file           none         1-31 of [A-Za-z0-9._-]
 *   port     port of the domain, or an isolated one        (required)   1-31 of [A-Za-z0-9._-]
 *   pci      in a virtual machine, instead of domain:                   0000:00:05.0
 *            the device that shows the region
 *   role     which end of the port this is                 guest        guest, host
 *   queues   rings each way; both ends must agree          1            1-8
 *   dir      folder of the region file                     see below    an absolute path
 *   size     of the region                                 see below    power of two, 1M-64G
 *   ring     entries of each ring                          1024         power of two, 64-16384
 *   buf      bytes of each buffer, headroom included       2368         multiple of 64, 1024-65472
 *   idle     what an empty receive poll does               poll         poll, yield, pause, sleep
 *   policy   what the bypass needs; role=host only         auto         auto, agent
 *   keep     whether the region stays without users        no           no, yes
 *   mac      address of this end                           from names   xx:xx:xx:xx:xx:xx
 *
 * A port without domain= is isolated: it has a region of its own, the file "@PORT", which
 * nobody but the switch and its VNF needs to map.
 *
 * policy=agent opens no link without the permit of a living agent (highwayd); policy=auto
 * needs none, but obeys one that forbids.  All host ends of a domain must agree.
 *
 * The default of size is 64M for a domain, 16M for an isolated port.
 * size, ring and buf are the region's: they count for whoever makes its region, and
 * whoever comes later may leave them out or must name the same.  Without dir= the
 * region is looked for, and made, in /dev/hugepages/highway if huge pages are mounted
 * there and free, else in /dev/shm/highway.
 */
#include <bus_vdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_kvargs.h>

#include "highway.h"

RTE_LOG_REGISTER_DEFAULT(hwy_logtype, INFO);

static const char *const roles[] = {[HWY_HOST] = "host", [HWY_GUEST] = "guest", NULL};
static const char *const idles[] = {[HWY_IDLE_POLL] = "poll",
				    [HWY_IDLE_YIELD] = "yield",
				    [HWY_IDLE_PAUSE] = "pause",
				    [HWY_IDLE_SLEEP] = "sleep",
				    NULL};

static const char *const policies[] = {
	[HWY_POLICY_AUTO] = "auto", [HWY_POLICY_AGENT] = "agent", NULL};

static const char *const keeps[] = {"no", "yes", NULL};

static int
parse_choice(const char *key, const char *value, const char *const *choices, int *out, char *err)
{
	char list[64] = "";

	for (int i = 0; choices[i] != NULL; i++) {
		if (strcmp(value, choices[i]) == 0) {
			*out = i;
			return 0;
		}
		strcat(strcat(list, i == 0 ? "" : ", "), choices[i]);
	}
	return hwy_fail(err, -EINVAL, "%s=%s is unknown: use one of %s", key, value, list);
}

/* A number with an optional K, M or G. */
static int
parse_number(const char *key, const char *value, uint64_t max, uint64_t *out, char *err)
{
	static const char units[] = "KMG";
	char *end;

	errno = 0;
	*out = strtoull(value, &end, 10);
	if (end != value && *end != 0) {
		const char *unit = strchr(units, *end & ~0x20);

		if (unit != NULL && *out <= max >> (10 * (unit - units + 1))) {
			*out <<= 10 * (unit - units + 1);
			end++;
		}
	}
	if (errno != 0 || end == value || *end != 0 || value[0] == '-' || *out == 0 || *out > max)
		return hwy_fail(err, -EINVAL, "%s=%s is not a number between 1 and %" PRIu64, key,
				value, max);
	return 0;
}

static int
parse_name(const char *key, const char *value, char *out, char *err)
{
	if (!hwy_name_ok(value))
		return hwy_fail(
			err, -EINVAL,
			"%s=%s is not a name: use 1 to 31 letters, digits, '.', '_' and '-'", key,
			value);
	snprintf(out, HWY_NAME_SIZE, "%s", value);
	return 0;
}

static int
parse_one(struct hwy_devargs *a, const char *key, const char *value, char *err)
{
	uint64_t number = 0;
	int rc, choice = 0;

	if (value == NULL)
		return hwy_fail(err, -EINVAL, "%s has no value: write %s=...", key, key);
	if (strcmp(key, "domain") == 0)
		return parse_name(key, value, a->domain, err);
	if (strcmp(key, "port") == 0)
		return parse_name(key, value, a->port, err);
	if (strcmp(key, "pci") == 0) {
		if (strlen(value) >= sizeof(a->pci) || strchr(value, '/') != NULL)
			return hwy_fail(err, -EINVAL,
					"pci=%s is not the address of a device like 0000:00:05.0",
					value);
		snprintf(a->pci, sizeof(a->pci), "%s", value);
		return 0;
	}
	if (strcmp(key, "role") == 0) {
		rc = parse_choice(key, value, roles, &choice, err);
		a->role = (enum hwy_role)choice;
		return rc;
	}
	if (strcmp(key, "idle") == 0) {
		rc = parse_choice(key, value, idles, &choice, err);
		a->idle = (enum hwy_idle)choice;
		return rc;
	}
	if (strcmp(key, "policy") == 0) {
		rc = parse_choice(key, value, policies, &choice, err);
		a->policy = (enum hwy_policy)choice;
		a->has_policy = true;
		return rc;
	}
	if (strcmp(key, "keep") == 0) {
		rc = parse_choice(key, value, keeps, &choice, err);
		a->keep = choice == 1;
		a->has_keep = true;
		return rc;
	}
	if (strcmp(key, "dir") == 0) {
		if (value[0] != '/' || strlen(value) >= sizeof(a->dir) - 64)
			return hwy_fail(err, -EINVAL, "dir=%s is not an absolute path", value);
		snprintf(a->dir, sizeof(a->dir), "%s", value);
		return 0;
	}
	if (strcmp(key, "mac") == 0) {
		if (rte_ether_unformat_addr(value, &a->mac) < 0 ||
		    !rte_is_valid_assigned_ether_addr(&a->mac))
			return hwy_fail(err, -EINVAL,
					"mac=%s is not a unicast address like 02:00:00:00:00:01",
					value);
		a->has_mac = true;
		return 0;
	}
	rc = parse_number(key, value, strcmp(key, "size") == 0 ? HWY_MAX_REGION : 65535, &number,
			  err);
	if (rc < 0)
		return rc;
	if (strcmp(key, "size") == 0)
		a->region.size = number;
	else if (strcmp(key, "ring") == 0)
		a->region.ring_size = (uint32_t)number;
	else if (strcmp(key, "buf") == 0)
		a->region.chunk_stride = (uint32_t)number;
	else
		a->queues = (uint32_t)number;
	return 0;
}

/* A port of no domain has a region of its own. */
static int
isolate(struct hwy_devargs *a, char *err)
{
	if (snprintf(a->domain, sizeof(a->domain), "%c%s", HWY_MARK_PORT, a->port) >=
	    (int)sizeof(a->domain))
		return hwy_fail(err, -EINVAL,
				"port=%s is too long for a port without domain=: use at most 30 "
				"characters",
				a->port);
	a->region.kind = HWY_KIND_PORT;
	a->policy = HWY_POLICY_AGENT;
	return 0;
}

/* What pci= names is there already, and has a host. */
static int
check_pci(const struct hwy_devargs *a, char *err)
{
	const char *other = a->domain[0] != 0             ? "domain"
			    : a->dir[0] != 0              ? "dir"
			    : a->region.size != 0         ? "size"
			    : a->region.ring_size != 0    ? "ring"
			    : a->region.chunk_stride != 0 ? "buf"
							  : NULL;

	if (a->role == HWY_HOST)
		return hwy_fail(err, -EINVAL,
				"role=host does not go with pci=%s: the host end belongs outside "
				"of the virtual machine",
				a->pci);
	if (other != NULL)
		return hwy_fail(err, -EINVAL,
				"%s= does not go with pci=%s, whose region is made already: leave "
				"it out",
				other, a->pci);
	return 0;
}

int
hwy_devargs_parse(const char *params, struct hwy_devargs *a, char *err)
{
	static const char *const known[] = {"domain", "port", "role", "queues", "dir",
					    "size",   "ring", "buf",  "idle",   "mac",
					    "policy", "keep", "pci"};
	struct rte_kvargs *kvlist = rte_kvargs_parse(params != NULL ? params : "", NULL);
	bool seen[RTE_DIM(known)] = {false};
	int rc = 0;

	memset(a, 0, sizeof(*a));
	a->role = HWY_GUEST;
	if (kvlist == NULL)
		return hwy_fail(err, -EINVAL, "'%s' is not a list of option=value", params);
	for (unsigned int i = 0; rc == 0 && i < kvlist->count; i++) {
		const char *key = kvlist->pairs[i].key;
		unsigned int k;

		for (k = 0; k < RTE_DIM(known) && strcmp(known[k], key) != 0;)
			k++;
		if (k == RTE_DIM(known))
			rc = hwy_fail(
				err, -EINVAL,
				"%s=%s is no option: known are domain, port, pci, role, queues, "
				"dir, size, ring, buf, idle, policy, keep and mac",
				key, kvlist->pairs[i].value ? kvlist->pairs[i].value : "");
		else if (seen[k])
			rc = hwy_fail(err, -EINVAL, "%s=%s is given a second time: leave one out",
				      key, kvlist->pairs[i].value ? kvlist->pairs[i].value : "");
		else
			rc = parse_one(a, key, kvlist->pairs[i].value, err);
		if (k < RTE_DIM(known))
			seen[k] = true;
	}
	rte_kvargs_free(kvlist);
	if (rc == 0 && a->pci[0] != 0)
		rc = check_pci(a, err);
	if (rc == 0 && a->port[0] == 0 && a->pci[0] == 0)
		rc = hwy_fail(err, -EINVAL, "port= is missing: name the port%s%s",
			      a->domain[0] != 0 ? " in domain=" : "", a->domain);
	if (rc == 0 && a->domain[0] == 0 && a->pci[0] == 0 && a->has_policy)
		rc = hwy_fail(err, -EINVAL,
			      "policy=%s belongs to a domain: leave it out for port=%s, whose "
			      "bypass needs a proof",
			      policies[a->policy], a->port);
	if (rc == 0 && a->queues > HWY_MAX_QUEUES)
		rc = hwy_fail(err, -EINVAL, "queues=%u is not between 1 and %d", a->queues,
			      HWY_MAX_QUEUES);
	if (rc == 0 && a->has_policy && a->role != HWY_HOST)
		rc = hwy_fail(err, -EINVAL,
			      "policy=%s belongs to the host end of port=%s: leave it out here",
			      policies[a->policy], a->port);
	if (rc == 0 && a->domain[0] == 0 && a->pci[0] == 0)
		rc = isolate(a, err);
	a->region.domain = a->domain;
	a->region.dir = a->dir[0] != 0 ? a->dir : NULL;
	return rc;
}

static int
vdev_probe(struct rte_vdev_device *vdev)
{
	const char *name = rte_vdev_device_name(vdev);
	char err[HWY_ERR_SIZE] = "";
	struct hwy_devargs args;
	struct rte_eth_dev *eth;
	int rc;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
		HWY_LOG(ERR,
			"%s: a secondary process cannot have Highway ports: start it as a primary "
			"one, with a --file-prefix of its own",
			name);
		return -ENOTSUP;
	}
	rc = hwy_devargs_parse(rte_vdev_device_args(vdev), &args, err);
	if (rc < 0) {
		HWY_LOG(ERR, "%s: %s", name, err);
		return rc;
	}
	eth = rte_eth_vdev_allocate(vdev, sizeof(struct hwy_dev));
	if (eth == NULL) {
		HWY_LOG(ERR, "%s: no ethdev left: remove another port", name);
		return -ENOMEM;
	}
	rc = hwy_dev_init(eth, &args, err);
	if (rc < 0) {
		HWY_LOG(ERR, "%s: %s", name, err);
		rte_eth_dev_release_port(eth);
		return rc;
	}
	rte_eth_dev_probing_finish(eth);
	return 0;
}

static int
vdev_remove(struct rte_vdev_device *vdev)
{
	struct rte_eth_dev *eth = rte_eth_dev_allocated(rte_vdev_device_name(vdev));

	if (eth == NULL)
		return 0;
	rte_eth_dev_close(eth->data->port_id);
	return 0;
}

static struct rte_vdev_driver highway_driver = {
	.probe = vdev_probe,
	.remove = vdev_remove,
};

RTE_PMD_REGISTER_VDEV(net_highway, highway_driver);
RTE_PMD_REGISTER_PARAM_STRING(net_highway, "domain=<name> "
					   "port=<name> "
					   "pci=<address> "
					   "role=guest|host "
					   "queues=<1-8> "
					   "dir=<path> "
					   "size=<bytes>[K|M|G] "
					   "ring=<entries> "
					   "buf=<bytes> "
					   "idle=poll|yield|pause|sleep "
					   "policy=auto|agent "
					   "keep=no|yes "
					   "mac=<xx:xx:xx:xx:xx:xx>");
