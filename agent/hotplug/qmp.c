/* SPDX-License-Identifier: BSD-3-Clause */
/* A client of a QEMU monitor: see qmp.h. */
#include <config.h>

#include "qmp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "reconnect.h"
#include "stream.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hwy_qmp);

#define MIN_BACKOFF_MS 100
#define MAX_BACKOFF_MS 2000
#define MAX_MESSAGE    (16u << 20) /* bytes of one message; QEMU's are a few KB */
#define MAX_UNSENT     (1u << 20)  /* bytes that a monitor that does not read may cost us */

enum state {
	STATE_DOWN,
	STATE_CONNECTING,
	STATE_GREETING,    /* connected, nothing heard yet */
	STATE_NEGOTIATING, /* qmp_capabilities is under way */
	STATE_UP,
};

struct call {
	struct ovs_list node; /* in hwy_qmp.calls, oldest first */
	long long int id;
	char *command;
	long long int deadline; /* time_msec() */
	unsigned int deadline_ms;
	hwy_qmp_done *done; /* NULL: forgotten */
	void *aux;
};

struct hwy_qmp {
	char *path, *remote;
	const struct hwy_qmp_watcher *watcher;
	void *aux;

	enum state state;
	struct reconnect *reconnect;
	struct stream *stream;
	char *trouble;
	bool nobody; /* the last attempt to connect was refused */

	struct json_parser *parser; /* of the message that is being read, or NULL */
	size_t message_size;        /* bytes of it so far */
	struct ds unsent;

	struct ovs_list calls; /* struct call */
	unsigned int n_calls;
	long long int last_id;
};

/* --- life ------------------------------------------------------------------------- */

struct hwy_qmp *
hwy_qmp_create(const char *path, const struct hwy_qmp_watcher *watcher, void *aux)
{
	struct hwy_qmp *q = xzalloc(sizeof *q);

	q->path = xstrdup(path);
	q->remote = xasprintf("unix:%s", path);
	q->watcher = watcher;
	q->aux = aux;
	ds_init(&q->unsent);
	ovs_list_init(&q->calls);
	q->reconnect = reconnect_create(time_msec());
	reconnect_set_name(q->reconnect, q->remote);
	reconnect_set_quiet(q->reconnect, true);
	reconnect_set_backoff(q->reconnect, MIN_BACKOFF_MS, MAX_BACKOFF_MS);
	reconnect_set_probe_interval(q->reconnect, 0);
	reconnect_enable(q->reconnect, time_msec());
	return q;
}

static void
call_free(struct hwy_qmp *q, struct call *c)
{
	ovs_list_remove(&c->node);
	q->n_calls--;
	free(c->command);
	free(c);
}

static void
close_stream(struct hwy_qmp *q)
{
	stream_close(q->stream);
	q->stream = NULL;
	json_parser_abort(q->parser);
	q->parser = NULL;
	q->message_size = 0;
	ds_clear(&q->unsent);
	q->state = STATE_DOWN;
}

bool
hwy_qmp_is_up(const struct hwy_qmp *q)
{
	return q->state == STATE_UP;
}

const char *
hwy_qmp_trouble(const struct hwy_qmp *q)
{
	return q->trouble;
}

bool
hwy_qmp_nobody(const struct hwy_qmp *q)
{
	return q->nobody;
}

void
hwy_qmp_hurry(struct hwy_qmp *q)
{
	if (q->stream != NULL)
		return;
	/* What was disabled starts again without a pause. */
	reconnect_disable(q->reconnect, time_msec());
	reconnect_enable(q->reconnect, time_msec());
}

/* Answers a command.  'error' may be NULL. */
static void
answer(struct hwy_qmp *q, struct call *c, const struct json *result, const char *error)
{
	hwy_qmp_done *done = c->done;
	void *aux = c->aux;

	call_free(q, c);
	if (done != NULL)
		done(q, result, error, aux);
}

/* Answers all that are open, but not those that are sent by whoever is told so. */
static void
answer_all(struct hwy_qmp *q, const char *why)
{
	long long int last = q->last_id;

	while (!ovs_list_is_empty(&q->calls)) {
		struct call *c = CONTAINER_OF(ovs_list_front(&q->calls), struct call, node);
		char *text;

		if (c->id > last)
			break;
		text = xasprintf("%s got no answer: %s", c->command, why);
		answer(q, c, NULL, text);
		free(text);
	}
}

void
hwy_qmp_destroy(struct hwy_qmp *q)
{
	struct call *c, *next;

	if (q == NULL)
		return;
	close_stream(q);
	answer_all(q, "the monitor is not asked any more");
	LIST_FOR_EACH_SAFE (c, next, node, &q->calls)
		call_free(q, c);
	reconnect_destroy(q->reconnect);
	ds_destroy(&q->unsent);
	free(q->trouble);
	free(q->path);
	free(q->remote);
	free(q);
}

/* Says 'why' once, and again only when it is another reason. */
static void
set_trouble(struct hwy_qmp *q, char *why)
{
	if (why != NULL && !nullable_string_is_equal(why, q->trouble))
		VLOG_INFO("%s", why);
	free(q->trouble);
	q->trouble = why;
}

/* Ends the connection.  'why' is taken over. */
static void
disconnect(struct hwy_qmp *q, int error, char *why)
{
	bool was_up = q->state == STATE_UP;

	set_trouble(q, why);
	close_stream(q);
	if (was_up)
		reconnect_disconnected(q->reconnect, time_msec(), error);
	else
		reconnect_connect_failed(q->reconnect, time_msec(), error);

	answer_all(q, q->trouble);
	if (was_up)
		q->watcher->down(q, q->trouble, q->aux);
}

/* --- sending ---------------------------------------------------------------------- */

static void
send_json(struct hwy_qmp *q, const struct json *message)
{
	json_to_ds(message, 0, &q->unsent);
	ds_put_char(&q->unsent, '\n');
}

/* Returns 0 or a positive errno. */
static int
flush(struct hwy_qmp *q)
{
	size_t sent = 0;
	int rc = 0;

	while (sent < q->unsent.length) {
		rc = stream_send(q->stream, q->unsent.string + sent, q->unsent.length - sent);
		if (rc <= 0)
			break;
		sent += (size_t)rc;
	}
	if (sent > 0) {
		memmove(q->unsent.string, q->unsent.string + sent, q->unsent.length - sent);
		ds_truncate(&q->unsent, q->unsent.length - sent);
	}
	if (rc < 0 && rc != -EAGAIN)
		return -rc;
	return q->unsent.length > MAX_UNSENT ? ENOBUFS : 0;
}

void
hwy_qmp_call(struct hwy_qmp *q, const char *command, struct json *arguments,
	     unsigned int deadline_ms, hwy_qmp_done *done, void *aux)
{
	struct json *message = json_object_create();
	struct call *c = xzalloc(sizeof *c);

	c->id = ++q->last_id;
	c->command = xstrdup(command);
	c->deadline_ms = deadline_ms;
	c->deadline = time_msec() + deadline_ms;
	c->done = done;
	c->aux = aux;
	ovs_list_push_back(&q->calls, &c->node);
	q->n_calls++;
	json_object_put_string(message, "execute", command);
	if (arguments != NULL)
		json_object_put(message, "arguments", arguments);
	json_object_put(message, "id", json_integer_create(c->id));
	if (q->state >= STATE_NEGOTIATING)
		send_json(q, message);
	else
		c->deadline = 0; /* the next run() answers it */
	json_destroy(message);
}

void
hwy_qmp_forget(struct hwy_qmp *q, const void *aux)
{
	struct call *c;

	LIST_FOR_EACH (c, node, &q->calls) {
		if (c->aux == aux)
			c->done = NULL;
	}
}

unsigned int
hwy_qmp_n_open(const struct hwy_qmp *q)
{
	return q->n_calls;
}

/* --- receiving -------------------------------------------------------------------- */

static const struct json *
member(const struct json *object, const char *name, enum json_type type)
{
	const struct json *value = shash_find_data(json_object(object), name);

	return value != NULL && value->type == type ? value : NULL;
}

static void
negotiated(struct hwy_qmp *q, const struct json *result OVS_UNUSED, const char *error,
	   void *aux OVS_UNUSED)
{
	if (q->state != STATE_NEGOTIATING)
		return;
	if (error != NULL) {
		disconnect(q, EPROTO, xasprintf("%s: %s", q->path, error));
		return;
	}
	q->state = STATE_UP;
	set_trouble(q, NULL);
	reconnect_connected(q->reconnect, time_msec());
	q->watcher->up(q, q->aux);
}

static void
answered(struct hwy_qmp *q, const struct json *message)
{
	const struct json *id = member(message, "id", JSON_INTEGER);
	const struct json *error = member(message, "error", JSON_OBJECT);
	const struct json *result = shash_find_data(json_object(message), "return");
	struct call *c;

	LIST_FOR_EACH (c, node, &q->calls) {
		const struct json *desc;
		char *text;

		if (id == NULL || c->id != json_integer(id))
			continue;
		if (error == NULL) {
			answer(q, c, result, NULL);
			return;
		}
		desc = member(error, "desc", JSON_STRING);
		text = xasprintf("%s was refused: %s", c->command,
				 desc != NULL ? json_string(desc) : "no reason is given");
		answer(q, c, NULL, text);
		free(text);
		return;
	}
	VLOG_DBG("%s: an answer that nobody waits for", q->path);
}

/* How long ago the event was; 0 if it does not say. */
static long long int
age_of(const struct json *event)
{
	const struct json *at = member(event, "timestamp", JSON_OBJECT);
	const struct json *s = at != NULL ? member(at, "seconds", JSON_INTEGER) : NULL;
	const struct json *us = at != NULL ? member(at, "microseconds", JSON_INTEGER) : NULL;

	if (s == NULL || us == NULL || json_integer(s) < 0)
		return 0;
	return time_wall_msec() - (json_integer(s) * 1000 + json_integer(us) / 1000);
}

static void
received(struct hwy_qmp *q, const struct json *message)
{
	const struct json *event;

	if (message->type != JSON_OBJECT) {
		disconnect(q, EPROTO,
			   xasprintf("%s speaks no QMP: it sends %s", q->path,
				     message->type == JSON_STRING ? json_string(message)
								  : "JSON that is no object"));
	} else if (q->state == STATE_GREETING) {
		if (member(message, "QMP", JSON_OBJECT) == NULL) {
			disconnect(q, EPROTO,
				   xasprintf("%s speaks no QMP: it does not greet", q->path));
			return;
		}
		q->state = STATE_NEGOTIATING;
		hwy_qmp_call(q, "qmp_capabilities", NULL, MAX_BACKOFF_MS * 2, negotiated, q);
	} else if ((event = member(message, "event", JSON_STRING)) != NULL) {
		if (q->state == STATE_UP)
			q->watcher->event(q, json_string(event),
					  member(message, "data", JSON_OBJECT), age_of(message),
					  q->aux);
	} else {
		answered(q, message);
	}
}

/* Feeds the parser.  Returns false if the connection has ended meanwhile. */
static bool
feed(struct hwy_qmp *q, const char *bytes, size_t n)
{
	while (n > 0) {
		struct json *message;
		size_t used;

		if (q->parser == NULL)
			q->parser = json_parser_create(0);
		used = json_parser_feed(q->parser, bytes, n);
		bytes += used;
		n -= used;
		q->message_size += used;
		if (q->message_size > MAX_MESSAGE) {
			disconnect(q, EMSGSIZE,
				   xasprintf("%s sends a message of more than %u MiB", q->path,
					     MAX_MESSAGE >> 20));
			return false;
		}
		if (!json_parser_is_done(q->parser))
			return true;
		message = json_parser_finish(q->parser);
		q->parser = NULL;
		q->message_size = 0;
		received(q, message);
		json_destroy(message);
		if (q->stream == NULL)
			return false;
	}
	return true;
}

static void
receive(struct hwy_qmp *q)
{
	char bytes[4096];

	for (int i = 0; i < 50; i++) {
		int rc = stream_recv(q->stream, bytes, sizeof bytes);

		if (rc == -EAGAIN)
			return;
		if (rc <= 0) {
			disconnect(q, rc == 0 ? EOF : -rc,
				   xasprintf("%s: the connection was closed%s%s", q->path,
					     rc < 0 ? ": " : "", rc < 0 ? ovs_strerror(-rc) : ""));
			return;
		}
		if (!feed(q, bytes, (size_t)rc))
			return;
	}
	poll_immediate_wake();
}

/* --- main loop -------------------------------------------------------------------- */

static bool
is_nobody(int error)
{
	return error == ECONNREFUSED || error == ENOENT;
}

static void
start(struct hwy_qmp *q)
{
	int error = stream_open(q->remote, &q->stream, DSCP_DEFAULT);

	q->nobody = is_nobody(error);
	if (error != 0) {
		q->stream = NULL;
		set_trouble(q, xasprintf("%s cannot be connected to: %s", q->path,
					 ovs_strerror(error)));
		reconnect_connect_failed(q->reconnect, time_msec(), error);
		return;
	}
	q->state = STATE_CONNECTING;
	reconnect_connecting(q->reconnect, time_msec());
}

static struct call *
first_due(const struct hwy_qmp *q)
{
	struct call *c;

	LIST_FOR_EACH (c, node, &q->calls) {
		if (time_msec() >= c->deadline)
			return c;
	}
	return NULL;
}

static void
expire(struct hwy_qmp *q)
{
	struct call *c;

	/* From the start each time: a callback may change the list. */
	while ((c = first_due(q)) != NULL) {
		char *text;

		if (c->deadline == 0)
			text = xasprintf("%s cannot be sent: %s", c->command,
					 q->trouble != NULL ? q->trouble
							    : "the monitor is not connected");
		else
			text = xasprintf("%s got no answer within %u ms", c->command,
					 c->deadline_ms);
		answer(q, c, NULL, text);
		free(text);
	}
}

void
hwy_qmp_run(struct hwy_qmp *q)
{
	int error;

	expire(q);
	switch (reconnect_run(q->reconnect, time_msec())) {
	case RECONNECT_CONNECT:
		start(q);
		break;
	case RECONNECT_DISCONNECT:
		if (q->stream != NULL)
			disconnect(
				q, ETIMEDOUT,
				xasprintf("%s does not greet: another client holds this monitor; "
					  "give highwayd one of its own: -qmp "
					  "unix:SOCKET,server=on,wait=off",
					  q->path));
		break;
	case RECONNECT_PROBE:
	default:
		break;
	}
	if (q->stream == NULL)
		return;
	stream_run(q->stream);
	if (q->state == STATE_CONNECTING) {
		error = stream_connect(q->stream);
		if (error == EAGAIN)
			return;
		q->nobody = is_nobody(error);
		if (error != 0) {
			disconnect(q, error,
				   xasprintf("%s cannot be connected to: %s", q->path,
					     ovs_strerror(error)));
			return;
		}
		q->state = STATE_GREETING;
	}
	receive(q);
	if (q->stream == NULL)
		return;
	hwy_qmp_flush(q);
}

void
hwy_qmp_flush(struct hwy_qmp *q)
{
	int error = q->stream != NULL && q->state > STATE_CONNECTING ? flush(q) : 0;

	if (error != 0)
		disconnect(q, error,
			   xasprintf("%s cannot be written to: %s", q->path, ovs_strerror(error)));
}

void
hwy_qmp_wait(struct hwy_qmp *q)
{
	struct call *c;

	reconnect_wait(q->reconnect, time_msec());
	LIST_FOR_EACH (c, node, &q->calls)
		poll_timer_wait_until(c->deadline);
	if (q->stream == NULL)
		return;
	stream_run_wait(q->stream);
	if (q->state == STATE_CONNECTING) {
		stream_connect_wait(q->stream);
		return;
	}
	stream_recv_wait(q->stream);
	if (q->unsent.length > 0)
		stream_send_wait(q->stream);
}

const char *
hwy_qmp_string(const struct json *object, const char *name)
{
	const struct json *value;

	if (object == NULL || object->type != JSON_OBJECT)
		return NULL;
	value = shash_find_data(json_object(object), name);
	return value != NULL && value->type == JSON_STRING ? json_string(value) : NULL;
}
