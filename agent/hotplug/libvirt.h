/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtual machines that libvirt runs, whose QEMU monitors are libvirt's own.
 *
 * Each running domain gets a socket UUID.sock in a folder of highwayd's, at which it is spoken to
 * as any QEMU monitor: see vms.h.  Behind it, a thread asks libvirt.  What only asks is passed
 * through to QEMU; a link region is plugged in and taken out by libvirt itself, as a <shmem>
 * device, so that libvirt knows what the machine has.
 *
 *   highwayd's loop -> UUID.sock -> a thread for each domain -> libvirt -> QEMU
 *
 * Calls of libvirt may block for long, and so only threads make them; a command has the deadline
 * that qmp.c gives it.  While libvirt is away the sockets stay, and what is asked there is
 * refused: nobody takes a machine for dead.
 */
#ifndef HIGHWAY_AGENT_LIBVIRT_H
#define HIGHWAY_AGENT_LIBVIRT_H

#include <stdbool.h>

/* Follows libvirt at 'uri' from now on, such as "qemu:///system"; NULL: nobody.  The sockets are
 * in 'folder', which is made. */
void hwy_libvirt_set_uri(const char *uri, const char *folder);

/* The folder of the sockets, or NULL. */
const char *hwy_libvirt_folder(void);

/* Domains that are not to be followed, as they have monitors for highwayd: their uuids in one
 * string. */
void hwy_libvirt_leave_out(const char *uuids);

/* Why libvirt is not followed, a sentence without the final stop, to be freed; or NULL. */
char *hwy_libvirt_trouble(void);

#endif /* HIGHWAY_AGENT_LIBVIRT_H */
