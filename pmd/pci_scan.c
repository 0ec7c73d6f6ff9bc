/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In a virtual machine: the regions that its PCI devices show become virtual devices, one
 * for each port, by themselves.
 *
 * EAL's PCI bus wants a kernel driver that hands the device over; ours needs none.  So the
 * devices are not left to that bus: when EAL scans the bus of virtual devices, this adds
 * one for each port to be had, as if --vdev had named it.  EAL's lists of PCI devices that
 * are allowed or blocked count all the same, and what stands behind the address in -a is
 * an argument of ours: -a 0000:00:05.0,port=p2,port=p3,idle=yield.
 */
#include <bus_vdev_driver.h>
#include <rte_devargs.h>
#include <rte_eal.h>

#include "highway.h"
#include "pci.h"

/* The PCI devargs of this address, and whether the user allows any but those he names. */
static const struct rte_devargs *
pci_devargs(const char *address, bool *listed)
{
	const struct rte_devargs *found = NULL;
	struct rte_devargs *da;

	*listed = false;
	RTE_EAL_DEVARGS_FOREACH("pci", da)
	{
		const char *name = da->name;

		*listed |= da->policy == RTE_DEV_ALLOWED;
		/* 00:05.0 is 0000:00:05.0 */
		if (strcmp(name, address) == 0 ||
		    (strlen(name) + 5 == strlen(address) && strncmp(address, "0000:", 5) == 0 &&
		     strcmp(address + 5, name) == 0))
			found = da;
	}
	return found;
}

/* Did the user, or an earlier scan, name a virtual device for it? */
static bool
named(const char *address)
{
	struct rte_devargs *da;
	char word[HWY_PCI_ADDRESS + 8];

	snprintf(word, sizeof(word), "pci=%s", address);
	RTE_EAL_DEVARGS_FOREACH("vdev", da)
	{
		if (strncmp(da->name, "net_highway", 11) == 0 && da->args != NULL &&
		    strstr(da->args, word) != NULL)
			return true;
	}
	return false;
}

/* 'port' is "port=NAME" or empty, 'more' empty or ",key=value,...". */
static void
add(const struct hwy_pci *pci, unsigned int number, const char *port, const char *more)
{
	char text[512];
	int length = snprintf(text, sizeof(text), "net_highway_%s_%u,pci=%s%s%s%s", pci->address,
			      number, pci->address, port[0] != 0 ? "," : "", port, more);

	if (length >= (int)sizeof(text) || rte_devargs_add(RTE_DEVTYPE_VIRTUAL, text) < 0)
		HWY_LOG(ERR, "%s: cannot be added as '%s'", pci->address, text);
	else
		HWY_LOG(INFO, "%s: region %s", pci->address, pci->header.domain);
}

/* One device for each port= of 'args', which share the other arguments; or a single one. */
static void
add_ports(const struct hwy_pci *pci, const char *args)
{
	char *ports = strdup(args), *words = strdup(args), *more = calloc(1, strlen(args) + 2);
	char *word, *save = NULL;
	unsigned int n = 0;

	if (ports == NULL || words == NULL || more == NULL)
		goto out;
	for (word = strtok_r(words, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
		if (strncmp(word, "port=", 5) != 0)
			strcat(strcat(more, ","), word);
	}
	for (word = strtok_r(ports, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
		if (strncmp(word, "port=", 5) == 0)
			add(pci, n++, word, more);
	}
	if (n == 0)
		add(pci, 0, "", more);
out:
	free(ports);
	free(words);
	free(more);
}

static bool
consider(const struct hwy_pci *pci, void *arg __rte_unused)
{
	const struct rte_devargs *da;
	bool listed;

	if (pci->header.domain[0] == HWY_PCI_LINK || named(pci->address))
		return false;
	da = pci_devargs(pci->address, &listed);
	if (da != NULL ? da->policy == RTE_DEV_BLOCKED : listed)
		return false;
	add_ports(pci, da != NULL && da->args != NULL ? da->args : "");
	return false;
}

static void
scan(void *arg __rte_unused)
{
	if (rte_eal_process_type() == RTE_PROC_PRIMARY && rte_eal_has_pci())
		(void)hwy_pci_each(consider, NULL);
}

RTE_INIT(hwy_pci_scan)
{
	rte_vdev_add_custom_scan(scan, NULL);
}
