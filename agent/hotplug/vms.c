/* SPDX-License-Identifier: BSD-3-Clause */
/* The virtual machines that highwayd knows: see vms.h. */
#include <config.h>

#include "vms.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "plug.h"
#include "qmp.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hwy_vms);

#define LOOK_MS     1000 /* between two looks at the folder, should inotify miss something */
#define LESSON_MS   5000 /* between two lessons of a machine */
#define ANSWER_MS   5000 /* a monitor may be busy */
#define LATE_MS     1000 /* an event that old may have a successor of its guest already */
#define MAX_ENTRIES 1000 /* of a list that a monitor sends; a machine has some tens */

struct hmap hwy_vms = HMAP_INITIALIZER(&hwy_vms);

static hwy_vm_happened *happened;
static char *folder, *folder_trouble;
static char *own_folder; /* of highwayd itself, see libvirt.h */
static int inotify_fd = -1;
static long long int next_look; /* time_msec() */

const char *
hwy_vm_state_word(enum hwy_vm_state state)
{
	static const char *const words[] = {
		[HWY_VM_UNKNOWN] = "unknown",
		[HWY_VM_RUNNING] = "running",
		[HWY_VM_PAUSED] = "paused",
		[HWY_VM_OFF] = "off",
	};

	return words[state];
}

static void
tell(struct hwy_vm *vm, enum hwy_vm_event event, bool late, const char *text)
{
	happened(vm, event, late, text);
}

static void gone(struct hwy_vm *vm, enum hwy_vm_state state, bool late, const char *why);
static void stopped(struct hwy_vm *vm, bool is_running);

/* --- lessons: what a machine is and has --------------------------------------------- */

/* An entry of /machine/peripheral or /machine/peripheral-anon. */
struct child {
	char *path, *id, *type;
	char *memdev; /* of ivshmem-plain: "/objects/ID" */
	char *bus;    /* where it is plugged: "/machine/.../BUS" */
};

struct backend {
	char *id, *path;
};

/* All that is being learned; becomes the machine's when all answers are there. */
struct hwy_vm_lesson {
	struct hwy_vm *vm;
	unsigned int open; /* answers to come */
	bool failed;
	bool running, off;
	char *name, *uuid, *type;
	struct child *children;
	size_t n_children, allocated_children;
	struct backend *backends;
	size_t n_backends, allocated_backends;
};

/* A question whose answer is a string that goes to 'children[index]' or 'backends[index]'. */
struct question {
	struct hwy_vm_lesson *lesson;
	enum { ASK_TYPE, ASK_MEMDEV, ASK_BUS, ASK_PATH, ASK_OBJECTS, ASK_CHILDREN } what;
	size_t index;
	char *path;
};

static void
lesson_free(struct hwy_vm_lesson *l)
{
	for (size_t i = 0; i < l->n_children; i++) {
		free(l->children[i].path);
		free(l->children[i].id);
		free(l->children[i].type);
		free(l->children[i].memdev);
		free(l->children[i].bus);
	}
	for (size_t i = 0; i < l->n_backends; i++) {
		free(l->backends[i].id);
		free(l->backends[i].path);
	}
	free(l->children);
	free(l->backends);
	free(l->name);
	free(l->uuid);
	free(l->type);
	free(l);
}

static void
devices_free(struct hwy_vm *vm)
{
	for (size_t i = 0; i < vm->n_devices; i++) {
		free(vm->devices[i].id);
		free(vm->devices[i].backend);
		free(vm->devices[i].path);
	}
	free(vm->devices);
	for (size_t i = 0; i < vm->n_ports; i++)
		free(vm->ports[i]);
	free(vm->ports);
	vm->devices = NULL;
	vm->ports = NULL;
	vm->n_devices = vm->n_ports = 0;
}

static const char *
last_word(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static void
learn_device(struct hwy_vm *vm, const struct hwy_vm_lesson *l, const struct child *c)
{
	struct hwy_vm_device *d = &vm->devices[vm->n_devices++];
	struct stat st;

	*d = (struct hwy_vm_device){
		.id = xstrdup(c->id),
		.backend = xstrdup(last_word(c->memdev)),
	};
	for (size_t i = 0; i < l->n_backends; i++) {
		if (!strcmp(l->backends[i].id, d->backend) && l->backends[i].path != NULL)
			d->path = xstrdup(l->backends[i].path);
	}
	if (d->path != NULL && stat(d->path, &st) == 0) {
		d->st_dev = st.st_dev;
		d->st_ino = st.st_ino;
	}
}

static bool
is_occupied(const struct hwy_vm_lesson *l, const char *port)
{
	for (size_t i = 0; i < l->n_children; i++) {
		if (l->children[i].bus != NULL && !strcmp(last_word(l->children[i].bus), port))
			return true;
	}
	return false;
}

static void
replace(char **old, char **new)
{
	free(*old);
	*old = *new;
	*new = NULL;
}

static void
lesson_ends(struct hwy_vm_lesson *l)
{
	struct hwy_vm *vm = l->vm;
	bool was_known = vm->known;

	vm->lesson = NULL;
	vm->next_lesson = time_msec() + (l->failed ? LOOK_MS : LESSON_MS);
	if (l->failed || !hwy_qmp_is_up(vm->qmp)) {
		lesson_free(l);
		return;
	}
	replace(&vm->name, &l->name);
	replace(&vm->uuid, &l->uuid);
	replace(&vm->type, &l->type);
	vm->pcie = vm->type != NULL && strstr(vm->type, "q35") != NULL;
	devices_free(vm);
	vm->devices = xcalloc(l->n_children + 1, sizeof vm->devices[0]);
	vm->ports = xcalloc(l->n_children + 1, sizeof vm->ports[0]);
	for (size_t i = 0; i < l->n_children; i++) {
		const struct child *c = &l->children[i];

		if (c->memdev != NULL)
			learn_device(vm, l, c);
		else if (!strcmp(c->type, "child<pcie-root-port>") && !is_occupied(l, c->id))
			vm->ports[vm->n_ports++] = xstrdup(c->id);
	}
	if (!was_known && !l->off) {
		char *text = xasprintf("virtual machine %s (uuid %s, %s) is seen at %s", vm->name,
				       vm->uuid, vm->type, vm->socket);

		vm->known = true;
		vm->state = l->running ? HWY_VM_RUNNING : HWY_VM_PAUSED;
		tell(vm, HWY_VM_SEEN, false, text);
		free(text);
	} else if (was_known && l->off) {
		gone(vm, HWY_VM_OFF, false, "its guest has shut down");
	} else if (was_known) {
		stopped(vm, l->running); /* should an event have been missed */
	}
	lesson_free(l);
	tell(vm, HWY_VM_LEARNED, false, "");
}

static void
answered(struct hwy_vm_lesson *l)
{
	if (--l->open == 0)
		lesson_ends(l);
}

static void on_answer(struct hwy_qmp *qmp, const struct json *result, const char *error, void *q);

static void
ask(struct hwy_vm_lesson *l, int what, size_t index, const char *path, const char *property)
{
	struct question *q = xzalloc(sizeof *q);
	struct json *arguments = json_object_create();

	q->lesson = l;
	q->what = what;
	q->index = index;
	q->path = xstrdup(path);
	json_object_put_string(arguments, "path", path);
	if (property != NULL)
		json_object_put_string(arguments, "property", property);
	l->open++;
	hwy_qmp_call(l->vm->qmp, property != NULL ? "qom-get" : "qom-list", arguments, ANSWER_MS,
		     on_answer, q);
}

/* One entry of qom-list. */
static void
learn_entry(const struct question *q, const char *name, const char *type)
{
	struct hwy_vm_lesson *l = q->lesson;
	char *path = xasprintf("%s/%s", q->path, name);

	if (q->what == ASK_OBJECTS && !strncmp(type, "child<memory-backend-", 21)) {
		if (l->n_backends == l->allocated_backends)
			l->backends = x2nrealloc(l->backends, &l->allocated_backends,
						 sizeof l->backends[0]);
		l->backends[l->n_backends] = (struct backend){.id = xstrdup(name)};
		if (!strcmp(type, "child<memory-backend-file>"))
			ask(l, ASK_PATH, l->n_backends, path, "mem-path");
		l->n_backends++;
	} else if (q->what == ASK_CHILDREN && !strncmp(type, "child<", 6)) {
		bool has_id = !strcmp(q->path, "/machine/peripheral");

		if (l->n_children == l->allocated_children)
			l->children = x2nrealloc(l->children, &l->allocated_children,
						 sizeof l->children[0]);
		l->children[l->n_children] = (struct child){
			.path = xstrdup(path),
			.id = xstrdup(has_id ? name : ""),
			.type = xstrdup(type),
		};
		ask(l, ASK_BUS, l->n_children, path, "parent_bus");
		if (!strcmp(type, "child<ivshmem-plain>"))
			ask(l, ASK_MEMDEV, l->n_children, path, "memdev");
		l->n_children++;
	}
	free(path);
}

static void
learn_list(const struct question *q, const struct json *list)
{
	if (list->type != JSON_ARRAY)
		return;
	for (size_t i = 0; i < MIN(list->array.n, MAX_ENTRIES); i++) {
		const char *name = hwy_qmp_string(list->array.elems[i], "name");
		const char *type = hwy_qmp_string(list->array.elems[i], "type");

		if (name != NULL && type != NULL)
			learn_entry(q, name, type);
	}
}

static void
on_answer(struct hwy_qmp *qmp OVS_UNUSED, const struct json *result, const char *error, void *q_)
{
	struct question *q = q_;
	struct hwy_vm_lesson *l = q->lesson;
	const char *text =
		result != NULL && result->type == JSON_STRING ? json_string(result) : NULL;

	/* What was listed may be gone by now: only what every machine has must be there. */
	if (error != NULL && (q->what == ASK_TYPE || q->what == ASK_OBJECTS)) {
		VLOG_INFO("%s: %s", l->vm->socket, error);
		l->failed = true;
	} else if (q->what == ASK_OBJECTS || q->what == ASK_CHILDREN) {
		if (result != NULL)
			learn_list(q, result);
	} else if (text != NULL) {
		char **to = q->what == ASK_TYPE     ? &l->type
			    : q->what == ASK_MEMDEV ? &l->children[q->index].memdev
			    : q->what == ASK_BUS    ? &l->children[q->index].bus
						    : &l->backends[q->index].path;

		free(*to);
		*to = xstrdup(text);
	}
	free(q->path);
	free(q);
	answered(l);
}

static void
on_uuid(struct hwy_qmp *qmp OVS_UNUSED, const struct json *result, const char *error OVS_UNUSED,
	void *l_)
{
	struct hwy_vm_lesson *l = l_;
	const char *uuid = hwy_qmp_string(result, "UUID");

	l->uuid = xstrdup(uuid != NULL ? uuid : "");
	for (char *c = l->uuid; *c != 0; c++)
		*c = (char)tolower((unsigned char)*c);
	answered(l);
}

static void
on_name(struct hwy_qmp *qmp OVS_UNUSED, const struct json *result, const char *error OVS_UNUSED,
	void *l_)
{
	struct hwy_vm_lesson *l = l_;
	const char *name = hwy_qmp_string(result, "name");

	l->name = xstrdup(name != NULL && name[0] != 0 ? name : l->vm->label);
	answered(l);
}

static void
on_status(struct hwy_qmp *qmp OVS_UNUSED, const struct json *result, const char *error, void *l_)
{
	struct hwy_vm_lesson *l = l_;
	const char *status = hwy_qmp_string(result, "status");

	l->failed |= error != NULL || status == NULL;
	l->running = status != NULL && !strcmp(status, "running");
	l->off = status != NULL && !strcmp(status, "shutdown");
	answered(l);
}

static void
lesson_starts(struct hwy_vm *vm)
{
	struct hwy_vm_lesson *l = xzalloc(sizeof *l);

	vm->lesson = l;
	l->vm = vm;
	l->open = 3;
	hwy_qmp_call(vm->qmp, "query-uuid", NULL, ANSWER_MS, on_uuid, l);
	hwy_qmp_call(vm->qmp, "query-name", NULL, ANSWER_MS, on_name, l);
	hwy_qmp_call(vm->qmp, "query-status", NULL, ANSWER_MS, on_status, l);
	ask(l, ASK_TYPE, 0, "/machine", "type");
	ask(l, ASK_OBJECTS, 0, "/objects", NULL);
	ask(l, ASK_CHILDREN, 0, "/machine/peripheral", NULL);
	ask(l, ASK_CHILDREN, 0, "/machine/peripheral-anon", NULL);
}

void
hwy_vm_relearn(struct hwy_vm *vm)
{
	vm->next_lesson = 0;
}

/* --- what a monitor tells ----------------------------------------------------------- */

/* It is not known any more, and neither are its devices. */
static void
unknown(struct hwy_vm *vm, enum hwy_vm_state state, enum hwy_vm_event event, bool late,
	const char *what, const char *why)
{
	char *text;

	vm->state = state;
	if (vm->lesson != NULL)
		vm->lesson->failed = true; /* what it has learned so far is of one that was */
	hwy_plugs_vm_gone(vm, why);
	if (!vm->known)
		return;
	text = xasprintf("virtual machine %s %s: %s", vm->name, what, why);
	tell(vm, event, late, text);
	free(text);
	vm->known = false;
	devices_free(vm);
}

static void
gone(struct hwy_vm *vm, enum hwy_vm_state state, bool late, const char *why)
{
	unknown(vm, state, HWY_VM_GONE, late, "is gone", why);
}

/* Notes which socket it is that we are connected to.  Returns false if it is another one than
 * last time: a new QEMU has made it. */
static bool
same_socket(struct hwy_vm *vm)
{
	struct stat st = {.st_ino = 0};
	bool same;

	if (stat(vm->socket, &st) != 0)
		return true; /* removed, yet it answers: nobody else can have bound to it */
	same = st.st_ino == vm->socket_ino && st.st_ctim.tv_sec == vm->socket_at.tv_sec &&
	       st.st_ctim.tv_nsec == vm->socket_at.tv_nsec;
	vm->socket_ino = st.st_ino;
	vm->socket_at = st.st_ctim;
	return same;
}

static void
found_again(struct hwy_vm *vm, bool same)
{
	char *lost = vm->lost;

	vm->lost = NULL;
	if (lost != NULL && !same)
		gone(vm, HWY_VM_UNKNOWN, true, "another QEMU is at its monitor's socket");
	free(lost);
}

static void
on_up(struct hwy_qmp *qmp OVS_UNUSED, void *vm_)
{
	struct hwy_vm *vm = vm_;

	found_again(vm, same_socket(vm));
	if (vm->state == HWY_VM_OFF)
		vm->state = HWY_VM_UNKNOWN;
	hwy_vm_relearn(vm);
}

/* A monitor may be lost without that the machine is: whether somebody still listens there is
 * found out at once. */
static void
on_down(struct hwy_qmp *qmp, const char *why, void *vm_)
{
	struct hwy_vm *vm = vm_;

	free(vm->lost);
	vm->lost = xstrdup(why);
	hwy_qmp_hurry(qmp);
}

static void
lost_for_good(struct hwy_vm *vm)
{
	char *why = vm->lost;

	vm->lost = NULL;
	gone(vm, HWY_VM_UNKNOWN, false, why);
	free(why);
}

static void
stopped(struct hwy_vm *vm, bool is_running)
{
	char *text;

	if (!vm->known || vm->state == (is_running ? HWY_VM_RUNNING : HWY_VM_PAUSED))
		return;
	vm->state = is_running ? HWY_VM_RUNNING : HWY_VM_PAUSED;
	text = xasprintf("virtual machine %s %s", vm->name,
			 is_running ? "runs again" : "is paused");
	tell(vm, is_running ? HWY_VM_RESUMED : HWY_VM_STOPPED, false, text);
	free(text);
}

static void
on_event(struct hwy_qmp *qmp OVS_UNUSED, const char *name, const struct json *data,
	 long long int age_ms, void *vm_)
{
	struct hwy_vm *vm = vm_;
	bool late = age_ms > LATE_MS;

	if (!strcmp(name, "SHUTDOWN")) {
		const char *reason = hwy_qmp_string(data, "reason");
		char *why = xasprintf("its guest has shut down (%s)",
				      reason != NULL ? reason : "no reason is given");

		gone(vm, HWY_VM_OFF, late, why);
		free(why);
	} else if (!strcmp(name, "RESET")) {
		hwy_plugs_vm_reset(vm);
		if (vm->known) {
			char *text = xasprintf("virtual machine %s is reset", vm->name);

			tell(vm, HWY_VM_RESET, late, text);
			free(text);
		} else {
			vm->state = HWY_VM_UNKNOWN; /* it was off, and comes back */
		}
		hwy_vm_relearn(vm);
	} else if (!strcmp(name, "STOP")) {
		stopped(vm, false);
	} else if (!strcmp(name, "RESUME")) {
		stopped(vm, true);
	} else if (!strcmp(name, "DEVICE_DELETED")) {
		const char *device = hwy_qmp_string(data, "device");

		if (device != NULL)
			hwy_plugs_device_deleted(vm, device);
		hwy_vm_relearn(vm);
	} else if (!strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") ||
		   !strcmp(name, "MEM_UNPLUG_ERROR")) {
		const char *device = hwy_qmp_string(data, "device");

		if (device != NULL)
			hwy_plugs_device_kept(vm, device);
	}
}

static const struct hwy_qmp_watcher watcher = {on_up, on_down, on_event};

/* --- the folder --------------------------------------------------------------------- */

static struct hwy_vm *
vm_create(const char *socket)
{
	struct hwy_vm *vm = xzalloc(sizeof *vm);
	char *dot;

	vm->socket = xstrdup(socket);
	vm->label = xstrdup(last_word(socket));
	dot = strrchr(vm->label, '.');
	if (dot != NULL && (!strcmp(dot, ".sock") || !strcmp(dot, ".qmp")))
		*dot = 0;
	vm->name = xstrdup(vm->label);
	ovs_list_init(&vm->plugs);
	vm->qmp = hwy_qmp_create(socket, &watcher, vm);
	hmap_insert(&hwy_vms, &vm->node, hash_string(socket, 0));
	return vm;
}

static void
vm_destroy(struct hwy_vm *vm, const char *why)
{
	unknown(vm, HWY_VM_UNKNOWN, HWY_VM_FORGOTTEN, false, "is not followed any more", why);
	hwy_qmp_destroy(vm->qmp); /* ends the lesson, too */
	hmap_remove(&hwy_vms, &vm->node);
	devices_free(vm);
	free(vm->lost);
	free(vm->socket);
	free(vm->label);
	free(vm->name);
	free(vm->uuid);
	free(vm->type);
	free(vm);
}

static struct hwy_vm *
vm_find(const char *socket)
{
	struct hwy_vm *vm;

	HMAP_FOR_EACH_WITH_HASH (vm, node, hash_string(socket, 0), &hwy_vms) {
		if (!strcmp(vm->socket, socket))
			return vm;
	}
	return NULL;
}

static void
set_folder_trouble(char *why)
{
	if (why != NULL && !nullable_string_is_equal(why, folder_trouble))
		VLOG_WARN("%s", why);
	free(folder_trouble);
	folder_trouble = why;
}

static void
watch_folder(const char *path)
{
	if (inotify_fd < 0)
		inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (inotify_fd >= 0) /* again and again: the folder may be another one by now */
		inotify_add_watch(inotify_fd, path,
				  IN_CREATE | IN_DELETE | IN_MOVE | IN_DELETE_SELF | IN_MOVE_SELF |
					  IN_ONLYDIR);
}

/* The socket 'name' has just been made in 'path'. */
static void
hurry(const char *path, const char *name)
{
	char *socket = path != NULL ? xasprintf("%s/%s", path, name) : NULL;
	struct hwy_vm *vm = socket != NULL ? vm_find(socket) : NULL;

	if (vm != NULL)
		hwy_qmp_hurry(vm->qmp);
	free(socket);
}

/* Takes what inotify says.  Returns true if anything has happened. */
static bool
folder_changed(void)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool changed = false;
	ssize_t n;

	if (inotify_fd < 0)
		return false;
	while ((n = read(inotify_fd, events, sizeof events)) > 0) {
		changed = true;
		for (char *at = events; at < events + n;) {
			const struct inotify_event *e = (const void *)at;

			if (e->len > 0 && e->mask & (IN_CREATE | IN_MOVED_TO)) {
				hurry(folder, e->name);
				hurry(own_folder, e->name);
			}
			at += sizeof *e + e->len;
		}
	}
	return changed;
}

/* Marks the machines whose sockets are in 'path', new ones among them.  Returns 0 or an errno. */
static int
look_in(const char *path)
{
	struct dirent *entry;
	DIR *dir;

	watch_folder(path); /* before the look, so that nothing is missed in between */
	dir = opendir(path);
	if (dir == NULL)
		return errno;
	while ((entry = readdir(dir)) != NULL) {
		char *socket = xasprintf("%s/%s", path, entry->d_name);
		struct stat st;

		if (stat(socket, &st) == 0 && S_ISSOCK(st.st_mode)) {
			struct hwy_vm *vm = vm_find(socket);

			if (vm == NULL)
				vm = vm_create(socket);
			vm->there = true;
		}
		free(socket);
	}
	closedir(dir);
	return 0;
}

static void
look_at_folders(void)
{
	struct hwy_vm *vm, *next;
	int error;

	HMAP_FOR_EACH (vm, node, &hwy_vms)
		vm->there = false;
	error = folder != NULL ? look_in(folder) : 0;
	if (error != 0)
		set_folder_trouble(xasprintf("highway-qmp-dir=%s of Open_vSwitch cannot be read: "
					     "%s; make the folder, with one monitor socket per "
					     "virtual machine in it",
					     folder, ovs_strerror(error)));
	else
		set_folder_trouble(NULL);
	if (own_folder != NULL)
		look_in(own_folder);
	HMAP_FOR_EACH_SAFE (vm, next, node, &hwy_vms) {
		/* A monitor that answers lives on without its name. */
		if (!vm->there && !hwy_qmp_is_up(vm->qmp) && vm->lost == NULL)
			vm_destroy(vm, "its monitor's socket was removed");
	}
}

/* --- main loop ---------------------------------------------------------------------- */

void
hwy_vms_init(hwy_vm_happened *callback)
{
	happened = callback;
}

static void
forget_all(const char *why)
{
	struct hwy_vm *vm, *next;

	HMAP_FOR_EACH_SAFE (vm, next, node, &hwy_vms)
		vm_destroy(vm, why);
	if (inotify_fd >= 0)
		close(inotify_fd);
	inotify_fd = -1;
}

void
hwy_vms_set_dir(const char *dir)
{
	if (nullable_string_is_equal(dir, folder))
		return;
	forget_all("highway-qmp-dir is another one now");
	set_folder_trouble(NULL);
	free(folder);
	folder = nullable_xstrdup(dir);
	next_look = 0;
}

void
hwy_vms_set_own_dir(const char *dir)
{
	if (nullable_string_is_equal(dir, own_folder))
		return;
	free(own_folder);
	own_folder = nullable_xstrdup(dir);
	next_look = 0;
}

const char *
hwy_vms_dir(void)
{
	return folder != NULL ? folder : own_folder;
}

bool
hwy_vm_is_own(const struct hwy_vm *vm)
{
	size_t n = own_folder != NULL ? strlen(own_folder) : 0;

	return n > 0 && !strncmp(vm->socket, own_folder, n) && vm->socket[n] == '/';
}

const char *
hwy_vms_trouble(void)
{
	return folder_trouble;
}

void
hwy_vms_run(void)
{
	struct hwy_vm *vm;

	if (hwy_vms_dir() == NULL)
		return;
	if (folder_changed() || time_msec() >= next_look) {
		look_at_folders();
		next_look = time_msec() + LOOK_MS;
	}
	HMAP_FOR_EACH (vm, node, &hwy_vms) {
		hwy_qmp_run(vm->qmp);
		if (vm->lost != NULL && hwy_qmp_nobody(vm->qmp))
			lost_for_good(vm);
		if (hwy_qmp_is_up(vm->qmp) && vm->state != HWY_VM_OFF && vm->lesson == NULL &&
		    time_msec() >= vm->next_lesson)
			lesson_starts(vm);
		hwy_plugs_run(vm);
		hwy_qmp_flush(vm->qmp);
	}
}

void
hwy_vms_wait(void)
{
	struct hwy_vm *vm;

	if (hwy_vms_dir() == NULL)
		return;
	poll_timer_wait_until(next_look);
	if (inotify_fd >= 0)
		poll_fd_wait(inotify_fd, POLLIN);
	HMAP_FOR_EACH (vm, node, &hwy_vms) {
		hwy_qmp_wait(vm->qmp);
		if (hwy_qmp_is_up(vm->qmp) && vm->state != HWY_VM_OFF && vm->lesson == NULL)
			poll_timer_wait_until(vm->next_lesson);
		hwy_plugs_wait(vm);
	}
}

void
hwy_vms_exit(void)
{
	forget_all("highwayd ends");
	set_folder_trouble(NULL);
	free(folder);
	free(own_folder);
	folder = own_folder = NULL;
}

/* --- look-ups ----------------------------------------------------------------------- */

struct hwy_vm *
hwy_vm_by_uuid(const char *uuid)
{
	struct hwy_vm *vm;

	HMAP_FOR_EACH (vm, node, &hwy_vms) {
		if (vm->known && !strcasecmp(vm->uuid, uuid))
			return vm;
	}
	return NULL;
}

const struct hwy_vm_device *
hwy_vm_maps(const struct hwy_vm *vm, dev_t st_dev, ino_t st_ino)
{
	for (size_t i = 0; i < vm->n_devices; i++) {
		if (vm->devices[i].st_ino != 0 && vm->devices[i].st_ino == st_ino &&
		    vm->devices[i].st_dev == st_dev)
			return &vm->devices[i];
	}
	return NULL;
}
