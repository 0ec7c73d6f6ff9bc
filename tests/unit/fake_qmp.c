/* SPDX-License-Identifier: BSD-3-Clause */
/* A QEMU monitor that is none: see fake_qmp.h. */
#include <config.h>

#include "fake_qmp.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "stream.h"
#include "timeval.h"
#include "util.h"

/* --- what it has ---------------------------------------------------------------------- */

void
fake_qmp_add_object(struct fake_qmp *f, const char *id, const char *path)
{
	ovs_assert(f->n_objects < FAKE_MAX);
	f->objects[f->n_objects++] = (struct fake_object){xstrdup(id), nullable_xstrdup(path)};
}

void
fake_qmp_add_device(struct fake_qmp *f, const char *type, const char *id, const char *memdev,
		    const char *bus)
{
	ovs_assert(f->n_devices < FAKE_MAX);
	f->devices[f->n_devices++] = (struct fake_device){
		.id = xstrdup(id),
		.type = xstrdup(type),
		.memdev = nullable_xstrdup(memdev),
		.bus = xasprintf("/machine/x/%s", bus != NULL ? bus : "pci.0"),
	};
}

static struct fake_object *
object_find(struct fake_qmp *f, const char *id)
{
	for (size_t i = 0; i < f->n_objects; i++) {
		if (!strcmp(f->objects[i].id, id))
			return &f->objects[i];
	}
	return NULL;
}

static struct fake_device *
device_find(struct fake_qmp *f, const char *id)
{
	for (size_t i = 0; i < f->n_devices; i++) {
		if (!strcmp(f->devices[i].id, id))
			return &f->devices[i];
	}
	return NULL;
}

static void
device_remove(struct fake_qmp *f, struct fake_device *d)
{
	free(d->id);
	free(d->type);
	free(d->memdev);
	free(d->bus);
	*d = f->devices[--f->n_devices];
}

static void
object_remove(struct fake_qmp *f, struct fake_object *o)
{
	free(o->id);
	free(o->path);
	*o = f->objects[--f->n_objects];
}

/* --- what it says ---------------------------------------------------------------------- */

static void
send_text(struct fake_qmp *f, const char *text)
{
	if (f->stream != NULL)
		stream_send(f->stream, text, strlen(text));
}

static void
send_json(struct fake_qmp *f, struct json *message)
{
	char *text = json_to_string(message, 0);
	char *line = xasprintf("%s\r\n", text);

	send_text(f, line);
	free(line);
	free(text);
	json_destroy(message);
}

void
fake_qmp_event(struct fake_qmp *f, const char *name, const char *device, const char *reason)
{
	struct json *event = json_object_create(), *data = json_object_create();
	struct json *at = json_object_create();
	long long int now = time_wall_msec();

	json_object_put_string(event, "event", name);
	if (device != NULL)
		json_object_put_string(data, "device", device);
	if (reason != NULL)
		json_object_put_string(data, "reason", reason);
	json_object_put(event, "data", data);
	json_object_put(at, "seconds", json_integer_create(now / 1000 - f->event_age_s));
	json_object_put(at, "microseconds", json_integer_create(now % 1000 * 1000));
	json_object_put(event, "timestamp", at);
	send_json(f, event);
}

void
fake_qmp_release(struct fake_qmp *f)
{
	for (size_t i = f->n_devices; i-- > 0;) {
		char *id;

		if (!f->devices[i].leaving)
			continue;
		id = xstrdup(f->devices[i].id);
		device_remove(f, &f->devices[i]);
		fake_qmp_event(f, "DEVICE_DELETED", id, NULL);
		free(id);
	}
}

/* --- commands ---------------------------------------------------------------------------- */

static const char *
word(const struct json *o, const char *name)
{
	const struct json *value = o != NULL ? shash_find_data(json_object(o), name) : NULL;

	return value != NULL && value->type == JSON_STRING ? json_string(value) : "";
}

static struct json *
entry(const char *name, const char *type)
{
	struct json *o = json_object_create();

	json_object_put_string(o, "name", name);
	json_object_put_format(o, "type", "child<%s>", type);
	return o;
}

static struct json *
one(const char *name, const char *value)
{
	struct json *o = json_object_create();

	json_object_put_string(o, name, value);
	return o;
}

static const char *
last(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static struct json *
qom_list(struct fake_qmp *f, const char *path)
{
	struct json *list = json_array_create_empty();

	if (!strcmp(path, "/objects")) {
		for (size_t i = 0; i < f->n_objects; i++)
			json_array_add(list,
				       entry(f->objects[i].id, f->objects[i].path != NULL
								       ? "memory-backend-file"
								       : "memory-backend-memfd"));
	} else if (!strcmp(path, "/machine/peripheral")) {
		for (size_t i = 0; i < f->n_devices; i++)
			json_array_add(list, entry(f->devices[i].id, f->devices[i].type));
	}
	return list;
}

static struct json *
qom_get(struct fake_qmp *f, const char *path, const char *property)
{
	struct fake_object *o = object_find(f, last(path));
	struct fake_device *d = device_find(f, last(path));

	if (!strcmp(property, "type"))
		return json_string_create(f->type);
	if (!strcmp(property, "mem-path") && o != NULL && o->path != NULL)
		return json_string_create(o->path);
	if (!strcmp(property, "memdev") && d != NULL && d->memdev != NULL)
		return json_string_create_nocopy(xasprintf("/objects/%s", d->memdev));
	if (!strcmp(property, "parent_bus") && d != NULL)
		return json_string_create(d->bus);
	return NULL;
}

/* The slots of the machine's own bus, or whether a root port has its one device. */
static bool
has_room(struct fake_qmp *f, const char *bus)
{
	unsigned int n = 0;

	for (size_t i = 0; i < f->n_devices; i++)
		n += !strcmp(last(f->devices[i].bus), bus[0] != 0 ? bus : "pci.0");
	return n < (bus[0] != 0 ? 1 : f->slots);
}

/* Does it.  Returns what it answers, or NULL and '*error'. */
static struct json *
execute(struct fake_qmp *f, const char *command, const struct json *a, const char **error)
{
	const char *id = word(a, "id");

	*error = "no such thing";
	if (!strcmp(command, "query-uuid"))
		return one("UUID", f->uuid);
	if (!strcmp(command, "query-name"))
		return one("name", f->name);
	if (!strcmp(command, "query-status"))
		return one("status", f->status);
	if (!strcmp(command, "qom-list"))
		return qom_list(f, word(a, "path"));
	if (!strcmp(command, "qom-get"))
		return qom_get(f, word(a, "path"), word(a, "property"));
	if (!strcmp(command, "object-add")) {
		if (object_find(f, id) != NULL)
			return NULL;
		fake_qmp_add_object(f, id, word(a, "mem-path"));
	} else if (!strcmp(command, "object-del")) {
		if (object_find(f, id) == NULL)
			return NULL;
		for (size_t i = 0; i < f->n_devices; i++) {
			*error = "object is in use, can not be deleted";
			if (f->devices[i].memdev != NULL && !strcmp(f->devices[i].memdev, id))
				return NULL;
		}
		object_remove(f, object_find(f, id));
	} else if (!strcmp(command, "device_add")) {
		*error = "PCI: no slot/function available for ivshmem-plain, all in use or "
			 "reserved";
		if (!has_room(f, word(a, "bus")))
			return NULL;
		*error = "there is no such memory backend";
		if (object_find(f, word(a, "memdev")) == NULL)
			return NULL;
		fake_qmp_add_device(f, word(a, "driver"), id, word(a, "memdev"),
				    word(a, "bus")[0] != 0 ? word(a, "bus") : NULL);
	} else if (!strcmp(command, "device_del")) {
		struct fake_device *d = device_find(f, id);

		if (d == NULL || d->leaving)
			return NULL;
		d->leaving = true;
	} else if (strcmp(command, "qmp_capabilities") != 0) {
		return NULL;
	}
	return json_object_create();
}

static void
answer(struct fake_qmp *f, const struct json *request, struct json *result, const char *error)
{
	const struct json *id = shash_find_data(json_object(request), "id");
	struct json *message = json_object_create();

	if (result != NULL) {
		json_object_put(message, "return", result);
	} else {
		struct json *e = json_object_create();

		json_object_put_string(e, "class", "GenericError");
		json_object_put_string(e, "desc", error);
		json_object_put(message, "error", e);
	}
	if (id != NULL)
		json_object_put(message, "id", json_clone(id));
	send_json(f, message);
}

static void
hang_up(struct fake_qmp *f)
{
	stream_close(f->stream);
	f->stream = NULL;
	json_parser_abort(f->parser);
	f->parser = NULL;
}

static void
serve(struct fake_qmp *f, const struct json *request)
{
	const char *command = word(request, "execute"), *error;
	const struct json *a = shash_find_data(json_object(request), "arguments");
	enum fake_fault fault =
		f->fault_at != NULL && !strcmp(f->fault_at, command) ? f->fault : FAKE_FINE;
	struct json *result;

	f->commands++;
	switch (fault) {
	case FAKE_FINE:
		result = execute(f, command, a, &error);
		answer(f, request, result, error);
		if (!f->keeps_devices)
			fake_qmp_release(f);
		break;
	case FAKE_REFUSE:
		answer(f, request, NULL, "the test says so");
		break;
	case FAKE_MUTE:
		break;
	case FAKE_DONE_MUTE:
		json_destroy(execute(f, command, a, &error));
		break;
	case FAKE_DIE:
		fake_qmp_die(f);
		break;
	case FAKE_DONE_DIE:
		json_destroy(execute(f, command, a, &error));
		fake_qmp_die(f);
		break;
	case FAKE_HANG_UP:
		f->fault_at = NULL;
		hang_up(f);
		break;
	case FAKE_NONSENSE:
		send_text(f, "{\"return\": oops}\r\n");
		f->fault_at = NULL;
		break;
	}
}

/* --- main loop ----------------------------------------------------------------------------- */

void
fake_qmp_start(struct fake_qmp *f, const char *path)
{
	char *name = xasprintf("punix:%s", path);

	if (f->path != path) {
		free(f->path);
		f->path = xstrdup(path);
	}
	unlink(path);
	ovs_assert(pstream_open(name, &f->listener, 0) == 0);
	free(name);
}

void
fake_qmp_die(struct fake_qmp *f)
{
	char *aside = xasprintf("%s-aside", f->path);

	if (f->stream != NULL)
		hang_up(f);
	while (f->n_devices > 0)
		device_remove(f, &f->devices[0]);
	while (f->n_objects > 0)
		object_remove(f, &f->objects[0]);
	/* pstream_close() removes the file, which a killed process leaves behind. */
	if (f->listener != NULL && link(f->path, aside) == 0) {
		pstream_close(f->listener);
		ovs_assert(rename(aside, f->path) == 0);
	}
	f->listener = NULL;
	free(aside);
}

void
fake_qmp_stop(struct fake_qmp *f)
{
	fake_qmp_die(f);
	unlink(f->path);
	free(f->path);
	f->path = NULL;
}

static void
greet(struct fake_qmp *f)
{
	f->connections++;
	if (!f->no_greeting)
		send_text(f, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, "
			     "\"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n");
}

static void
receive(struct fake_qmp *f)
{
	char bytes[1024];
	int n;

	while (f->stream != NULL && (n = stream_recv(f->stream, bytes, sizeof bytes)) != -EAGAIN) {
		size_t used = 0;

		if (n <= 0) {
			hang_up(f);
			return;
		}
		while (used < (size_t)n && f->stream != NULL) {
			struct json *request;

			if (f->parser == NULL)
				f->parser = json_parser_create(0);
			used += json_parser_feed(f->parser, bytes + used, (size_t)n - used);
			if (!json_parser_is_done(f->parser))
				continue;
			request = json_parser_finish(f->parser);
			f->parser = NULL;
			serve(f, request);
			json_destroy(request);
		}
	}
}

void
fake_qmp_run(struct fake_qmp *f)
{
	if (f->listener != NULL && f->stream == NULL &&
	    pstream_accept(f->listener, &f->stream) == 0)
		greet(f);
	if (f->stream == NULL)
		return;
	stream_run(f->stream);
	receive(f);
}

void
fake_qmp_wait(struct fake_qmp *f)
{
	if (f->listener != NULL && f->stream == NULL)
		pstream_wait(f->listener);
	if (f->stream != NULL) {
		stream_run_wait(f->stream);
		stream_recv_wait(f->stream);
	}
}
