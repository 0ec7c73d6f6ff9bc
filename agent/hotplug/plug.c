/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared memory plugged into running machines: see plug.h. */
#include <config.h>

#include "plug.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "qmp.h"
#include "timeval.h"
#include "util.h"
#include "vms.h"

VLOG_DEFINE_THIS_MODULE(hwy_plug);

#define ASK_MS      1  /* between two looks at what the guest says, at first */
#define ASK_LATE_MS 20 /* and later */
#define SOON_US     200000

struct hwy_plug_limits hwy_plug_limits = {
	.command_ms = 3000,
	.guest_ms = 10000,
	.retract_ms = 2000,
	.delete_ms = 10000,
};

const char *
hwy_plug_state_word(enum hwy_plug_state state)
{
	static const char *const words[] = {
		[HWY_PLUG_OBJECT_ADD] = "object-add", [HWY_PLUG_DEVICE_ADD] = "device_add",
		[HWY_PLUG_OFFERED] = "offered",       [HWY_PLUG_SEEN] = "seen",
		[HWY_PLUG_MAPPED] = "mapped",         [HWY_PLUG_RETRACTED] = "retracted",
		[HWY_PLUG_DEVICE_DEL] = "device_del", [HWY_PLUG_DELETING] = "deleting",
		[HWY_PLUG_OBJECT_DEL] = "object-del", [HWY_PLUG_ENDED] = "ended",
	};

	return words[state];
}

/* --- states ------------------------------------------------------------------------- */

static void object_del(struct hwy_plug *p);

static void
enter(struct hwy_plug *p, enum hwy_plug_state state, unsigned int deadline_ms)
{
	p->state = state;
	p->deadline = deadline_ms > 0 ? time_msec() + deadline_ms : LLONG_MAX;
	p->entered_us[state] = time_usec();
	if (state == HWY_PLUG_ENDED) {
		if (p->vm != NULL) {
			hwy_qmp_forget(p->vm->qmp, p);
			ovs_list_remove(&p->node);
			hwy_vm_relearn(p->vm);
		}
		p->vm = NULL;
	}
	if (p->guest->changed != NULL)
		p->guest->changed(p, p->aux);
}

/* Notes why it failed; the first reason is the one that counts. */
static void fail(struct hwy_plug *p, const char *format, ...) OVS_PRINTF_FORMAT(2, 3);

static void
fail(struct hwy_plug *p, const char *format, ...)
{
	va_list args;

	if (p->trouble != NULL)
		return;
	va_start(args, format);
	p->trouble = xvasprintf(format, args);
	va_end(args);
	VLOG_INFO("%s", p->trouble);
}

static struct json *
id_argument(const struct hwy_plug *p, bool backend)
{
	struct json *arguments = json_object_create();

	json_object_put_format(arguments, "id", "hwy-%s%s", p->name, backend ? "-mem" : "");
	return arguments;
}

/* --- the way out ------------------------------------------------------------------------ */

static void
on_device_del(struct hwy_qmp *qmp OVS_UNUSED, const struct json *result OVS_UNUSED,
	      const char *error, void *p_)
{
	struct hwy_plug *p = p_;

	if (p->state != HWY_PLUG_DEVICE_DEL)
		return;
	/* Refused: there is no such device, or it is being deleted already.  The backend can be
	 * deleted only if nothing uses it, so object-del finds out. */
	if (error != NULL)
		object_del(p);
	else
		enter(p, HWY_PLUG_DELETING, hwy_plug_limits.delete_ms);
}

static void
device_del(struct hwy_plug *p)
{
	/* First the state, as 'changed' may be in the middle of anything. */
	enter(p, HWY_PLUG_DEVICE_DEL, 0);
	hwy_qmp_call(p->vm->qmp, "device_del", id_argument(p, false), hwy_plug_limits.command_ms,
		     on_device_del, p);
}

/* Is the backend still there, of which object-del did not say that it is gone? */
static void
on_objects(struct hwy_qmp *qmp OVS_UNUSED, const struct json *result, const char *error, void *p_)
{
	struct hwy_plug *p = p_;
	char *name = xasprintf("hwy-%s-mem", p->name);
	bool there = error != NULL || result->type != JSON_ARRAY;

	for (size_t i = 0; !there && i < result->array.n; i++) {
		const struct json *entry = result->array.elems[i], *its;

		if (entry->type != JSON_OBJECT)
			continue;
		its = shash_find_data(json_object(entry), "name");
		there = its != NULL && its->type == JSON_STRING && !strcmp(json_string(its), name);
	}
	free(name);
	if (p->state != HWY_PLUG_OBJECT_DEL)
		return;
	if (!there) {
		enter(p, HWY_PLUG_ENDED, 0);
		return;
	}
	if (error == NULL)
		fail(p, "virtual machine %s still uses %s", p->vm->name, p->path);
	enter(p, HWY_PLUG_DELETING, hwy_plug_limits.delete_ms);
}

static void
on_object_del(struct hwy_qmp *qmp, const struct json *result OVS_UNUSED, const char *error,
	      void *p_)
{
	struct hwy_plug *p = p_;
	struct json *arguments;

	if (p->state != HWY_PLUG_OBJECT_DEL)
		return;
	if (error == NULL) {
		enter(p, HWY_PLUG_ENDED, 0);
		return;
	}
	arguments = json_object_create();
	json_object_put_string(arguments, "path", "/objects");
	hwy_qmp_call(qmp, "qom-list", arguments, hwy_plug_limits.command_ms, on_objects, p);
}

static void
object_del(struct hwy_plug *p)
{
	enter(p, HWY_PLUG_OBJECT_DEL, 0);
	hwy_qmp_call(p->vm->qmp, "object-del", id_argument(p, true), hwy_plug_limits.command_ms,
		     on_object_del, p);
}

void
hwy_plug_out(struct hwy_plug *p)
{
	p->wanted = false;
	switch (p->state) {
	case HWY_PLUG_OBJECT_ADD:
	case HWY_PLUG_DEVICE_ADD:
		break; /* when the answer comes */
	case HWY_PLUG_OFFERED:
	case HWY_PLUG_SEEN:
	case HWY_PLUG_MAPPED:
		enter(p, HWY_PLUG_RETRACTED, hwy_plug_limits.retract_ms);
		if (p->guest->retract != NULL)
			p->guest->retract(p, p->aux);
		break;
	case HWY_PLUG_RETRACTED:
	case HWY_PLUG_DEVICE_DEL:
	case HWY_PLUG_DELETING:
	case HWY_PLUG_OBJECT_DEL:
	case HWY_PLUG_ENDED:
		break;
	}
}

/* --- the way in ------------------------------------------------------------------------- */

static void
offer(struct hwy_plug *p)
{
	char *why = p->guest->offer != NULL ? p->guest->offer(p, p->aux) : NULL;

	enter(p, HWY_PLUG_OFFERED, hwy_plug_limits.guest_ms);
	if (why != NULL) {
		fail(p, "%s", why);
		free(why);
		hwy_plug_out(p);
	}
}

static void
on_device_add(struct hwy_qmp *qmp OVS_UNUSED, const struct json *result OVS_UNUSED,
	      const char *error, void *p_)
{
	struct hwy_plug *p = p_;

	if (p->state != HWY_PLUG_DEVICE_ADD && p->state != HWY_PLUG_OBJECT_ADD)
		return;
	if (p->state == HWY_PLUG_OBJECT_ADD) {
		fail(p, "virtual machine %s answers device_add, but not object-add", p->vm->name);
		p->wanted = false;
	}
	if (error != NULL)
		fail(p, "virtual machine %s: %s", p->vm->name, error);
	/* The command may have been carried out without that we heard of it: device_del. */
	if (error != NULL || !p->wanted)
		device_del(p);
	else
		offer(p);
}

static bool
is_taken(const struct hwy_vm *vm, const char *port)
{
	const struct hwy_plug *p;

	LIST_FOR_EACH (p, node, &vm->plugs) {
		if (p->bus != NULL && !strcmp(p->bus, port))
			return true;
	}
	return false;
}

/* A root port of 'vm' without a device, or NULL. */
static const char *
free_port(const struct hwy_vm *vm)
{
	for (size_t i = 0; i < vm->n_ports; i++) {
		if (!is_taken(vm, vm->ports[i]))
			return vm->ports[i];
	}
	return NULL;
}

void
hwy_plug_by_hand(const struct hwy_vm *vm, const char *name, const char *path, uint64_t size,
		 char *commands[2])
{
	const char *port = vm != NULL && vm->pcie ? free_port(vm) : NULL;

	commands[0] = xasprintf("object_add memory-backend-file,id=hwy-%s-mem,share=on,mem-path=%s,"
				"size=%" PRIu64,
				name, path, size);
	commands[1] = xasprintf("device_add ivshmem-plain,id=hwy-%s,memdev=hwy-%s-mem%s%s", name,
				name, port != NULL ? ",bus=" : "", port != NULL ? port : "");
}

/* Sends device_add.  False if there is no place for the device. */
static bool
ask_for_device(struct hwy_plug *p)
{
	struct json *arguments;

	/* On i440fx QEMU finds a free slot of pci.0 itself. */
	if (p->vm->pcie)
		p->bus = nullable_xstrdup(free_port(p->vm));
	if (p->vm->pcie && p->bus == NULL)
		return false;
	arguments = id_argument(p, false);
	json_object_put_string(arguments, "driver", "ivshmem-plain");
	json_object_put_format(arguments, "memdev", "hwy-%s-mem", p->name);
	if (p->bus != NULL)
		json_object_put_string(arguments, "bus", p->bus);
	hwy_qmp_call(p->vm->qmp, "device_add", arguments, hwy_plug_limits.command_ms, on_device_add,
		     p);
	return true;
}

static void
on_object_add(struct hwy_qmp *qmp OVS_UNUSED, const struct json *result OVS_UNUSED,
	      const char *error, void *p_)
{
	struct hwy_plug *p = p_;

	if (p->state != HWY_PLUG_OBJECT_ADD)
		return;
	if (error != NULL)
		fail(p, "virtual machine %s: %s", p->vm->name, error);
	else if (!p->asked)
		fail(p,
		     "virtual machine %s has no free pcie-root-port for %s: start it with more of "
		     "them, -device pcie-root-port,id=ID,chassis=N,pref64-reserve=32M",
		     p->vm->name, p->path);
	if (!p->asked)
		object_del(p);
	else if (error != NULL)
		device_del(p); /* it may have been carried out all the same, and device_add too */
	else
		enter(p, HWY_PLUG_DEVICE_ADD, 0);
}

/* Was it plugged in by an earlier highwayd? */
static bool
is_there(const struct hwy_plug *p)
{
	char *id = xasprintf("hwy-%s", p->name);
	bool there = false;
	struct stat st;

	if (stat(p->path, &st) == 0) {
		const struct hwy_vm_device *d = hwy_vm_maps(p->vm, st.st_dev, st.st_ino);

		there = d != NULL && !strcmp(d->id, id);
	}
	free(id);
	return there;
}

struct hwy_plug *
hwy_plug_in(struct hwy_vm *vm, const char *name, const char *path, uint64_t size,
	    const struct hwy_plug_guest *guest, void *aux)
{
	struct hwy_plug *p = xzalloc(sizeof *p);
	struct json *arguments;

	p->vm = vm;
	p->name = xstrdup(name);
	p->path = xstrdup(path);
	p->size = size;
	p->guest = guest;
	p->aux = aux;
	p->wanted = true;
	ovs_list_push_back(&vm->plugs, &p->node);
	if (is_there(p)) {
		p->found = true;
		offer(p);
		return p;
	}
	arguments = id_argument(p, true);
	json_object_put_string(arguments, "qom-type", "memory-backend-file");
	json_object_put_string(arguments, "mem-path", path);
	json_object_put(arguments, "size", json_integer_create((long long int)size));
	json_object_put(arguments, "share", json_boolean_create(true));
	enter(p, HWY_PLUG_OBJECT_ADD, 0);
	hwy_qmp_call(vm->qmp, "object-add", arguments, hwy_plug_limits.command_ms, on_object_add,
		     p);
	/* In one go: the monitor carries them out in this order, without waiting for us. */
	p->asked = ask_for_device(p);
	hwy_qmp_flush(vm->qmp);
	return p;
}

struct hwy_plug *
hwy_plug_out_left(struct hwy_vm *vm, const char *name, const struct hwy_plug_guest *guest,
		  void *aux)
{
	struct hwy_plug *p = xzalloc(sizeof *p);

	p->vm = vm;
	p->name = xstrdup(name);
	p->path = xasprintf("hwy-%s", name);
	p->guest = guest;
	p->aux = aux;
	p->found = true;
	ovs_list_push_back(&vm->plugs, &p->node);
	device_del(p);
	return p;
}

void
hwy_plug_free(struct hwy_plug *p)
{
	if (p == NULL)
		return;
	if (p->vm != NULL) {
		hwy_qmp_forget(p->vm->qmp, p);
		ovs_list_remove(&p->node);
	}
	free(p->name);
	free(p->path);
	free(p->bus);
	free(p->trouble);
	free(p);
}

/* --- main loop -------------------------------------------------------------------------- */

static void
hear(struct hwy_plug *p)
{
	enum hwy_plug_ack ack = p->guest->ack != NULL ? p->guest->ack(p, p->aux) : HWY_ACK_MAPPED;

	if (ack == HWY_ACK_REFUSED) {
		fail(p, "the guest of virtual machine %s cannot use %s", p->vm->name, p->path);
		hwy_plug_out(p);
		return;
	}
	if (p->state == HWY_PLUG_OFFERED && ack >= HWY_ACK_SEEN)
		enter(p, HWY_PLUG_SEEN, hwy_plug_limits.guest_ms);
	if (p->state == HWY_PLUG_SEEN && ack == HWY_ACK_MAPPED)
		enter(p, HWY_PLUG_MAPPED, 0);
}

static void
run(struct hwy_plug *p)
{
	bool late;

	if (p->state == HWY_PLUG_OFFERED || p->state == HWY_PLUG_SEEN)
		hear(p);
	else if (p->state == HWY_PLUG_RETRACTED &&
		 (p->guest->ack == NULL || p->guest->ack(p, p->aux) == HWY_ACK_NONE))
		device_del(p);
	late = time_msec() >= p->deadline;
	if (!late)
		return;
	switch (p->state) {
	case HWY_PLUG_OFFERED:
	case HWY_PLUG_SEEN:
		fail(p, "the guest of virtual machine %s has not %s %s within %u ms", p->vm->name,
		     p->state == HWY_PLUG_OFFERED ? "found" : "mapped", p->path,
		     hwy_plug_limits.guest_ms);
		hwy_plug_out(p);
		break;
	case HWY_PLUG_RETRACTED:
		/* It does not say so, but the device can be taken away all the same: a guest
		 * that does not let go of a device keeps DEVICE_DELETED from coming. */
		device_del(p);
		break;
	case HWY_PLUG_DELETING:
		fail(p, "the guest of virtual machine %s has not given %s back within %u ms",
		     p->vm->name, p->path, hwy_plug_limits.delete_ms);
		device_del(p);
		break;
	default:
		p->deadline = LLONG_MAX; /* the command's own deadline is what counts */
		break;
	}
}

void
hwy_plugs_run(struct hwy_vm *vm)
{
	struct hwy_plug *p, *next;

	LIST_FOR_EACH_SAFE (p, next, node, &vm->plugs)
		run(p);
}

void
hwy_plugs_wait(struct hwy_vm *vm)
{
	struct hwy_plug *p;

	LIST_FOR_EACH (p, node, &vm->plugs) {
		if (p->state == HWY_PLUG_OFFERED || p->state == HWY_PLUG_SEEN ||
		    p->state == HWY_PLUG_RETRACTED) {
			bool soon = time_usec() - p->entered_us[p->state] < SOON_US;

			poll_timer_wait(soon ? ASK_MS : ASK_LATE_MS);
		}
		if (p->deadline != LLONG_MAX)
			poll_timer_wait_until(p->deadline);
	}
}

/* --- what the machine does ---------------------------------------------------------------- */

void
hwy_plugs_vm_gone(struct hwy_vm *vm, const char *why)
{
	while (!ovs_list_is_empty(&vm->plugs)) {
		struct hwy_plug *p =
			CONTAINER_OF(ovs_list_front(&vm->plugs), struct hwy_plug, node);

		if (p->wanted)
			fail(p, "virtual machine %s is gone: %s", vm->name, why);
		enter(p, HWY_PLUG_ENDED, 0);
	}
}

/* The guest starts anew and has nothing mapped.  Devices stay plugged, but for those that
 * were asked back, which QEMU deletes on a reset.  What was mapped is taken out: whoever
 * wants it there asks again when there is a guest end again. */
void
hwy_plugs_vm_reset(struct hwy_vm *vm)
{
	struct hwy_plug *p, *next;

	LIST_FOR_EACH_SAFE (p, next, node, &vm->plugs) {
		if (p->wanted) {
			fail(p, "virtual machine %s was reset", vm->name);
			hwy_plug_out(p);
		}
	}
}

struct hwy_plug *
hwy_plug_find(const struct hwy_vm *vm, const char *device)
{
	struct hwy_plug *p;

	if (strncmp(device, "hwy-", 4) != 0)
		return NULL;
	LIST_FOR_EACH (p, node, &vm->plugs) {
		if (!strcmp(p->name, device + 4))
			return p;
	}
	return NULL;
}

void
hwy_plugs_device_deleted(struct hwy_vm *vm, const char *device)
{
	struct hwy_plug *p = hwy_plug_find(vm, device);

	if (p == NULL || p->state == HWY_PLUG_OBJECT_DEL)
		return;
	if (p->wanted) {
		fail(p, "somebody else has taken %s out of virtual machine %s", device, vm->name);
		p->wanted = false;
	}
	object_del(p);
}

void
hwy_plugs_device_kept(struct hwy_vm *vm, const char *device)
{
	struct hwy_plug *p = hwy_plug_find(vm, device);

	if (p != NULL)
		fail(p, "the guest of virtual machine %s refuses to give %s back", vm->name,
		     p->path);
}
