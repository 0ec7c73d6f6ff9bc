/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a plug (plug.h) is called by QEMU where libvirt has made it:
 *
 *   plug.c           libvirt
 *   hwy-NAME         ua-hwy-NAME           the device; libvirt wants "ua-" before users' names
 *   hwy-NAME-mem     shmmem-ua-hwy-NAME    its memory backend
 */
#ifndef HIGHWAY_AGENT_LIBVIRT_NAMES_H
#define HIGHWAY_AGENT_LIBVIRT_NAMES_H

#include <stdbool.h>

#include "openvswitch/dynamic-string.h"

/* A QEMU's answer or event, as JSON, with plug.c's names. */
void hwy_libvirt_from(const char *text, struct ds *out);

/* A command, as JSON, with libvirt's names in the paths of the object model. */
void hwy_libvirt_to(const char *text, struct ds *out);

/* Appends NAME of "hwy-NAME", or with 'backend' of "hwy-NAME-mem".  False: it is neither. */
bool hwy_libvirt_plug_name(const char *id, bool backend, struct ds *out);

#endif /* HIGHWAY_AGENT_LIBVIRT_NAMES_H */
