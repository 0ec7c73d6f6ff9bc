/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtual machines and their ports: see machines.h. */
#include <config.h>

#include "machines.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dirs.h"
#include "domain.h"
#include "hotplug/libvirt.h"
#include "hotplug/plug.h"
#include "hotplug/vms.h"
#include "journal.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovsdb.h"
#include "realm.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hwy_machines);

/* --- whose port is it --------------------------------------------------------------- */

static bool
is_called(const struct hwy_vm_device *d, const char *name)
{
	return name != NULL && name[0] != 0 && (!strcmp(d->id, name) || !strcmp(d->backend, name));
}

/* The file of the port's region.  False if there is none (yet). */
static bool
region_file(const struct hwy_ofport *port, struct stat *st)
{
	const struct hwy_domain *d = port->domain;

	return d != NULL && d->region != NULL && fstat(d->region->fd, st) == 0;
}

/* The one machine with a device of that file, or NULL if there are none or several. */
static struct hwy_vm *
only_one_with(const struct stat *st)
{
	struct hwy_vm *vm, *found = NULL;

	HMAP_FOR_EACH (vm, node, &hwy_vms) {
		if (!vm->known || hwy_vm_maps(vm, st->st_dev, st->st_ino) == NULL)
			continue;
		if (found != NULL)
			return NULL;
		found = vm;
	}
	return found;
}

static struct hwy_vm *
by_device_name(const struct hwy_ofport *port, const struct stat *st)
{
	struct hwy_vm *vm;

	HMAP_FOR_EACH (vm, node, &hwy_vms) {
		for (size_t i = 0; vm->known && i < vm->n_devices; i++) {
			const struct hwy_vm_device *d = &vm->devices[i];

			if (d->st_ino == st->st_ino && d->st_dev == st->st_dev &&
			    (is_called(d, port->hwname) || is_called(d, port->name)))
				return vm;
		}
	}
	return NULL;
}

static struct hwy_vm *
by_iface_id(const struct hwy_ofport *port)
{
	struct hwy_vm *vm;

	HMAP_FOR_EACH (vm, node, &hwy_vms) {
		for (size_t i = 0; vm->known && i < vm->n_devices; i++) {
			if (is_called(&vm->devices[i], port->iface_id))
				return vm;
		}
	}
	return NULL;
}

struct hwy_vm *
hwy_machine_of(const struct hwy_ofport *port, enum hwy_machine_by *by_)
{
	enum hwy_machine_by by = HWY_MACHINE_NONE;
	struct hwy_vm *vm = NULL;
	struct stat st;

	if (port->vm_uuid != NULL) {
		/* It is that one or none. */
		vm = hwy_vm_by_uuid(port->vm_uuid);
		by = HWY_MACHINE_BY_UUID;
	} else if ((vm = by_iface_id(port)) != NULL) {
		by = HWY_MACHINE_BY_IFACE_ID;
	} else if (region_file(port, &st)) {
		if ((vm = by_device_name(port, &st)) != NULL)
			by = HWY_MACHINE_BY_NAME;
		else if (hwy_domain_is_isolated(port->domain) && (vm = only_one_with(&st)) != NULL)
			by = HWY_MACHINE_BY_MEMORY;
	}
	if (by_ != NULL)
		*by_ = vm != NULL ? by : HWY_MACHINE_NONE;
	return vm;
}

static const char *
by_word(enum hwy_machine_by by)
{
	static const char *const words[] = {
		[HWY_MACHINE_NONE] = "none",
		[HWY_MACHINE_BY_UUID] = "vm-uuid",
		[HWY_MACHINE_BY_IFACE_ID] = "iface-id",
		[HWY_MACHINE_BY_NAME] = "name",
		[HWY_MACHINE_BY_MEMORY] = "memory",
	};

	return words[by];
}

/* --- what happens to them ------------------------------------------------------------ */

/* Between two looks at who holds the guest ends. */
#define LOOK_MS 200

static long long int next_look; /* time_msec() */
static bool keeping;            /* another highwayd will be here at once */

/* Who holds the port's guest end now; false if nobody of a virtual machine does. */
static bool
holder_of(struct hwy_ofport *port, struct hwy_holder *holder)
{
	uint32_t at = hwy_domain_port(port->domain, port->hwname, &port->hint);

	return at != HWY_SNAP_NONE && hwy_domain_holder(port->domain, at, holder);
}

/* A machine is paused or not: says so of its guest end, unless it has been said. */
static void
tell_pause(struct hwy_ofport *port, const struct hwy_vm *vm)
{
	enum hwy_said what = vm->state == HWY_VM_PAUSED ? HWY_SAID_PAUSED : HWY_SAID_NOTHING;
	struct hwy_holder now;

	if (!holder_of(port, &now)) {
		port->holder.client = 0;
		return;
	}
	port->holder = now;
	if (now.said == what || now.said == HWY_SAID_GONE)
		return;
	hwy_domain_say(port->domain, &now, what);
	port->holder.said = what;
}

/* Its guest is dead: whoever held the end then is.  If that was a while ago, somebody else may
 * hold it by now, so only who was seen there before is meant. */
static void
tell_death(struct hwy_ofport *port, bool late)
{
	struct hwy_holder dead = port->holder;

	if (!late)
		holder_of(port, &dead);
	hwy_domain_say(port->domain, &dead, HWY_SAID_GONE);
	port->holder.client = 0;
}

/* Nobody follows the machine any more: its guest end is to show by itself that it lives. */
static void
tell_nothing(struct hwy_ofport *port)
{
	if (port->holder.said == HWY_SAID_PAUSED)
		hwy_domain_say(port->domain, &port->holder, HWY_SAID_NOTHING);
	port->holder.client = 0;
}

static void
look(void)
{
	struct hwy_bridge *b;
	struct hwy_ofport *port;

	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		HMAP_FOR_EACH (port, node, &b->ports) {
			const struct hwy_vm *vm =
				hwy_ofport_is_highway(port) ? hwy_machine_of(port, NULL) : NULL;

			if (vm != NULL)
				tell_pause(port, vm);
		}
	}
}

static void
happened(struct hwy_vm *vm, enum hwy_vm_event event, bool late, const char *text)
{
	static const enum hwy_event_kind kinds[] = {
		[HWY_VM_SEEN] = HWY_EVENT_VM_SEEN,
		[HWY_VM_GONE] = HWY_EVENT_VM_GONE,
		[HWY_VM_RESET] = HWY_EVENT_VM_RESET,
		[HWY_VM_STOPPED] = HWY_EVENT_VM_PAUSED,
		[HWY_VM_RESUMED] = HWY_EVENT_VM_RESUMED,
		[HWY_VM_FORGOTTEN] = HWY_EVENT_VM_FORGOTTEN,
	};
	struct ds names = DS_EMPTY_INITIALIZER;
	struct hwy_bridge *b;
	struct hwy_ofport *port;

	next_look = 0;
	if (event == HWY_VM_LEARNED)
		return;
	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		HMAP_FOR_EACH (port, node, &b->ports) {
			if (!hwy_ofport_is_highway(port) || hwy_machine_of(port, NULL) != vm)
				continue;
			if (event == HWY_VM_GONE || event == HWY_VM_RESET)
				tell_death(port, late);
			else if (event == HWY_VM_FORGOTTEN && !keeping)
				tell_nothing(port);
			ds_put_format(&names, "%s%s", names.length > 0 ? ", " : "", port->name);
		}
	}
	hwy_journal_note(kinds[event], NULL, NULL, vm->name, -1, "%s%s%s", text,
			 names.length > 0 ? "; its ports: " : "", ds_cstr(&names));
	ds_destroy(&names);
}

/* --- main loop -------------------------------------------------------------------------- */

void
hwy_machines_init(void)
{
	hwy_vms_init(happened);
}

/* libvirt, if it is to be asked: of those that give us no monitor. */
static void
follow_libvirt(void)
{
	static char *told;
	char *folder = xasprintf("%s/highwayd-libvirt", ovs_rundir()), *trouble;
	struct ds uuids = DS_EMPTY_INITIALIZER;
	struct hwy_vm *vm;

	hwy_libvirt_set_uri(hwy_settings.libvirt_uri, folder);
	hwy_vms_set_own_dir(hwy_libvirt_folder());
	HMAP_FOR_EACH (vm, node, &hwy_vms) {
		if (vm->known && !hwy_vm_is_own(vm))
			ds_put_format(&uuids, "%s ", vm->uuid);
	}
	hwy_libvirt_leave_out(ds_cstr(&uuids));
	trouble = hwy_libvirt_trouble();
	if (trouble != NULL && !nullable_string_is_equal(trouble, told))
		VLOG_WARN("%s", trouble);
	free(told);
	told = trouble;
	ds_destroy(&uuids);
	free(folder);
}

void
hwy_machines_run(void)
{
	if (hwy_ovsdb_known()) {
		hwy_vms_set_dir(hwy_settings.qmp_dir);
		follow_libvirt();
	}
	hwy_vms_run();
	if (hwy_vms_dir() != NULL && time_msec() >= next_look) {
		look();
		next_look = time_msec() + LOOK_MS;
	}
}

void
hwy_machines_wait(void)
{
	hwy_vms_wait();
	if (hwy_vms_dir() != NULL)
		poll_timer_wait_until(next_look);
}

void
hwy_machines_exit(bool keep)
{
	keeping = keep;
	hwy_vms_exit();
}

/* --- what is told of them ----------------------------------------------------------------- */

/* A port's machine, how it is known, and its device with the port's region, or NULL. */
struct facts {
	struct hwy_vm *vm;
	enum hwy_machine_by by;
	const struct hwy_vm_device *device;
	bool has_region;
};

static struct facts
facts_of(const struct hwy_ofport *port)
{
	struct facts f = {.device = NULL};
	struct stat st;

	f.vm = hwy_machine_of(port, &f.by);
	f.has_region = region_file(port, &st);
	if (f.vm != NULL && f.has_region)
		f.device = hwy_vm_maps(f.vm, st.st_dev, st.st_ino);
	return f;
}

/* The commands that would attach the port's region; to be freed. */
static void
by_hand(const struct hwy_ofport *port, const struct facts *f, char *commands[2])
{
	hwy_plug_by_hand(f->vm, port->hwname, port->domain->region->path,
			 port->domain->region->size, commands);
}

/* Is there reason to think that the port is a machine's? */
static bool
is_expected(const struct hwy_ofport *port)
{
	return port->vm_uuid != NULL ||
	       ((hwy_settings.qmp_dir != NULL || hwy_settings.libvirt_uri != NULL) &&
		hwy_domain_is_isolated(port->domain));
}

void
hwy_machine_text(const struct hwy_ofport *port, struct ds *out)
{
	static const char *const how[] = {
		[HWY_MACHINE_NONE] = "",
		[HWY_MACHINE_BY_UUID] = "external_ids name it",
		[HWY_MACHINE_BY_IFACE_ID] = "it has a device of the name in external_ids:iface-id",
		[HWY_MACHINE_BY_NAME] = "its device is called like the port",
		[HWY_MACHINE_BY_MEMORY] = "the only one with the port's region",
	};
	struct facts f = facts_of(port);
	char *commands[2];

	if (f.vm == NULL && !is_expected(port))
		return;
	ds_put_cstr(out, "  machine: ");
	if (f.vm != NULL) {
		ds_put_format(out, "%s, %s (uuid %s, %s): %s", f.vm->name,
			      hwy_vm_state_word(f.vm->state), f.vm->uuid, f.vm->type, how[f.by]);
		if (f.device != NULL)
			ds_put_format(out, "; device %s",
				      f.device->id[0] != 0 ? f.device->id : f.device->backend);
	} else if (port->vm_uuid != NULL) {
		ds_put_format(out, "uuid %s, of which nothing is known", port->vm_uuid);
	} else {
		ds_put_cstr(out, "none is known with the port's region");
	}
	ds_put_char(out, '\n');
	if (f.vm == NULL && hwy_settings.qmp_dir == NULL && hwy_settings.libvirt_uri == NULL)
		ds_put_cstr(out, "           set other_config:highway-qmp-dir of Open_vSwitch to a "
				 "folder of QEMU monitor sockets\n");
	else if (f.vm == NULL && hwy_vms_trouble() != NULL)
		ds_put_format(out, "           %s\n", hwy_vms_trouble());
	if (f.device != NULL || !f.has_region)
		return;
	by_hand(port, &f, commands);
	ds_put_format(out,
		      "           to attach the port, in the monitor of its QEMU: %s\n"
		      "                                                     and: %s\n",
		      commands[0], commands[1]);
	free(commands[0]);
	free(commands[1]);
}

static void
put_string(struct json *o, const char *name, const char *value)
{
	json_object_put(o, name, value != NULL ? json_string_create(value) : json_null_create());
}

struct json *
hwy_machine_json(const struct hwy_ofport *port)
{
	struct facts f = facts_of(port);
	struct json *o = json_object_create();
	char *commands[2];

	put_string(o, "name", f.vm != NULL ? f.vm->name : NULL);
	put_string(o, "uuid", f.vm != NULL ? f.vm->uuid : port->vm_uuid);
	put_string(o, "state", f.vm != NULL ? hwy_vm_state_word(f.vm->state) : NULL);
	put_string(o, "by", by_word(f.by));
	put_string(o, "device", f.device != NULL ? f.device->id : NULL);
	if (f.device == NULL && f.has_region && (f.vm != NULL || is_expected(port))) {
		by_hand(port, &f, commands);
		json_object_put(o, "attach",
				json_array_create_2(json_string_create_nocopy(commands[0]),
						    json_string_create_nocopy(commands[1])));
	} else {
		json_object_put(o, "attach", json_null_create());
	}
	return o;
}
