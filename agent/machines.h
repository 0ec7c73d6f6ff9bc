/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which virtual machine holds which port, and what its life means for the port's guest end.
 *
 * A port's machine is, in this order, the one
 *   - whose uuid the Interface names (external_ids:vm-uuid as Nova sets it, vm-id as libvirt
 *     does),
 *   - one of whose devices or memory backends is called like external_ids:iface-id,
 *   - one of whose devices, or backend, with the port's region behind it is called like the
 *     port or its interface,
 *   - that is the only one with the region of an isolated port.
 *
 * A machine that is reset or gone is told to the region at once, so that nobody waits for a
 * guest end that cannot beat any more; one that is paused is told, too, so that nobody takes
 * it for dead.
 */
#ifndef HIGHWAY_AGENT_MACHINES_H
#define HIGHWAY_AGENT_MACHINES_H

#include "model.h"
#include "openvswitch/dynamic-string.h"

struct hwy_vm;
struct json;

void hwy_machines_init(void);
void hwy_machines_run(void);
void hwy_machines_wait(void);
/* As one who will be back at once ('keep'), what is said of paused machines stays said. */
void hwy_machines_exit(bool keep);

/* How a port's machine is known; the words are part of the JSON output. */
enum hwy_machine_by {
	HWY_MACHINE_NONE,
	HWY_MACHINE_BY_UUID,
	HWY_MACHINE_BY_IFACE_ID,
	HWY_MACHINE_BY_NAME,
	HWY_MACHINE_BY_MEMORY,
};

/* The machine of a Highway port, or NULL; 'by' may be NULL. */
struct hwy_vm *hwy_machine_of(const struct hwy_ofport *port, enum hwy_machine_by *by);

/* For explain: a line about the port's machine, if there is anything to say. */
void hwy_machine_text(const struct hwy_ofport *port, struct ds *out);
struct json *hwy_machine_json(const struct hwy_ofport *port);

#endif /* HIGHWAY_AGENT_MACHINES_H */
