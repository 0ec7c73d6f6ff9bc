/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions that a virtual machine is shown as PCI devices: ivshmem-plain, BAR 2. */
#ifndef HIGHWAY_PMD_PCI_H
#define HIGHWAY_PMD_PCI_H

#include <stdbool.h>

#include "region.h"

#define HWY_PCI_LINK    '+' /* first character of a link region's name: not a port's */
#define HWY_PCI_ADDRESS 16  /* bytes of "0000:00:05.0" and some */

/* One device that holds a region. */
struct hwy_pci {
	char address[HWY_PCI_ADDRESS];
	char resource[PATH_MAX];  /* file of its BAR 2 */
	struct hwy_header header; /* a copy, as it was when it was looked at */
};

/*
 * Calls 'each' for every ivshmem-plain device whose BAR 2 holds a region, until it says
 * true.  Enables the device if need be; any other one is left as found.  Returns whether
 * 'each' said true.
 */
bool hwy_pci_each(bool (*each)(const struct hwy_pci *pci, void *arg), void *arg);

/* The device at 'address'.  False if it is none, or holds no region. */
bool hwy_pci_at(const char *address, struct hwy_pci *pci);

/*
 * The file of the BAR whose region has this name (hwy_header.domain).  False if there is none
 * now.  Only devices that are new since the last call are read, so it may be called often; but
 * it need not be if '*told': hwy_pci_events() will tell of a new one.
 */
bool hwy_pci_find(const char *name, char resource[PATH_MAX], bool *told);

/* A file descriptor to poll for input, or -1: a device may have come or gone.  hwy_pci_hear() takes
 * note of it, as hwy_pci_find() does. */
int hwy_pci_events(void);
void hwy_pci_hear(void);

/* Reads devices that are new, and maps the link regions that they hold, so that one is there when
 * a link wants it. */
void hwy_pci_look(void);

/*
 * The link region of this name and identity as hwy_pci_look() has mapped it, which is the
 * caller's from now on; NULL if it has not, or another thread looks just now and the caller
 * does not 'wait' for that.
 */
struct hwy_region *hwy_pci_take(const char *name, bool wait);

#endif /* HIGHWAY_PMD_PCI_H */
