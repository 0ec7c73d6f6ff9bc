/* SPDX-License-Identifier: BSD-3-Clause */
/* Serving metrics over HTTP, by libmicrohttpd: see metrics.h; the text is made in prometheus.c. */
#include <config.h>

#include "metrics.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fatal-signal.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovsdb.h"
#include "socket-util.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hwy_metrics);

#define DEFAULT_PORT  9404
#define BACKLOG       16
#define MAX_CLIENTS   16
#define CLIENT_IDLE_S 10
#define RETRY_MS      5000

static struct MHD_Daemon *server;
static char *serving;            /* the setting that 'server' was started, or failed, with */
static char *socket_path;        /* of a Unix socket, to be removed */
static long long int next_retry; /* after a failure that may pass, time_msec() */

/* --- answering -------------------------------------------------------------------- */

static enum MHD_Result
answer(struct MHD_Connection *connection, unsigned int code, const char *type, char *text,
       size_t size)
{
	struct MHD_Response *response;
	enum MHD_Result rc;

	response = MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	rc = MHD_queue_response(connection, code, response);
	MHD_destroy_response(response);
	return rc;
}

static enum MHD_Result
request(void *aux OVS_UNUSED, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version OVS_UNUSED, const char *data OVS_UNUSED,
	size_t *data_size, void **state)
{
	static int seen;
	char *text = NULL;
	size_t size = 0;
	FILE *out;

	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		*data_size = 0;
		text = xstrdup("only GET is answered\n");
		return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", text,
			      strlen(text));
	}
	if (*state == NULL) { /* the headers have just been read */
		*state = &seen;
		return MHD_YES;
	}
	if (strcmp(url, "/metrics") != 0) {
		text = xstrdup("metrics are at /metrics\n");
		return answer(connection, MHD_HTTP_NOT_FOUND, "text/plain", text, strlen(text));
	}
	out = open_memstream(&text, &size);
	if (out == NULL)
		return MHD_NO;
	hwy_metrics_write(out);
	fclose(out);
	return answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text,
		      size);
}

/* --- listening -------------------------------------------------------------------- */

/* Nothing but a socket is removed to make room for ours. */
static int
listen_unix(const char *path, char **why)
{
	struct stat st;
	int fd;

	if (path[0] != '/') {
		*why = xasprintf("is not an absolute path");
		return -EINVAL;
	}
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
		*why = xasprintf("is there already and is not a socket: name another path");
		return -EEXIST;
	}
	fd = make_unix_socket(SOCK_STREAM, true, path, NULL);
	if (fd < 0) {
		*why = xasprintf("cannot be made: %s", ovs_strerror(-fd));
		return fd;
	}
	if (listen(fd, BACKLOG) < 0) {
		int rc = -errno;

		*why = xasprintf("cannot be listened on: %s", ovs_strerror(errno));
		close(fd);
		return rc;
	}
	socket_path = xstrdup(path);
	return fd;
}

static bool
is_loopback(const struct sockaddr_storage *ss)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	memcpy(&in, ss, sizeof in);
	memcpy(&in6, ss, sizeof in6);
	return ss->ss_family == AF_INET    ? ntohl(in.sin_addr.s_addr) >> 24 == 127
	       : ss->ss_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr)
					   : false;
}

static int
listen_inet(const char *target, char **why)
{
	struct sockaddr_storage ss;
	int fd, rc, one = 1;

	if (!inet_parse_active(target, DEFAULT_PORT, &ss, false, NULL) || !is_loopback(&ss)) {
		*why = xasprintf("is neither a loopback address nor a socket: write "
				 "127.0.0.1:%d, [::1]:%d or unix:/PATH",
				 DEFAULT_PORT, DEFAULT_PORT);
		return -EINVAL;
	}
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(fd, (struct sockaddr *)&ss, ss_length(&ss)) < 0 || listen(fd, BACKLOG) < 0) {
		rc = -errno;
		*why = xasprintf("cannot be listened on: %s", ovs_strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	return fd;
}

static void
stop(void)
{
	if (server != NULL)
		MHD_stop_daemon(server);
	server = NULL;
	if (socket_path != NULL)
		fatal_signal_unlink_file_now(socket_path);
	free(socket_path);
	socket_path = NULL;
}

/* Why 'serving' is not served, in a sentence; or NULL. */
static char *trouble;

/* Notes why 'target' is not served, and logs it unless it was the reason before. */
static void
complain(const char *target, const char *why)
{
	char *text = xasprintf("highway-metrics=%s %s", target, why);

	if (!nullable_string_is_equal(text, trouble))
		VLOG_WARN("%s", text);
	free(trouble);
	trouble = text;
}

const char *
hwy_metrics_trouble(void)
{
	return trouble;
}

static void
start(const char *target)
{
	char *why = NULL;
	int fd = !strncmp(target, "unix:", 5) ? listen_unix(target + 5, &why)
					      : listen_inet(target, &why);

	next_retry = fd == -EINVAL ? LLONG_MAX : time_msec() + RETRY_MS;
	if (fd < 0) {
		complain(target, why);
		free(why);
		return;
	}
	server = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, request, NULL,
				  MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
				  MAX_CLIENTS, MHD_OPTION_CONNECTION_TIMEOUT, CLIENT_IDLE_S,
				  MHD_OPTION_END);
	if (server == NULL) {
		complain(target, "is not served: the HTTP server does not start");
		close(fd);
		stop();
		return;
	}
	free(trouble);
	trouble = NULL;
	VLOG_INFO("metrics are served at %s", target);
}

/* --- main loop -------------------------------------------------------------------- */

void
hwy_metrics_run(void)
{
	const char *target = hwy_settings.metrics;

	if (!nullable_string_is_equal(serving, target)) {
		stop();
		free(trouble);
		trouble = NULL;
		free(serving);
		serving = nullable_xstrdup(target);
		if (target != NULL)
			start(target);
	} else if (server == NULL && target != NULL && time_msec() >= next_retry) {
		start(target);
	}
	if (server != NULL)
		MHD_run(server);
}

void
hwy_metrics_wait(void)
{
	const union MHD_DaemonInfo *info;
	MHD_UNSIGNED_LONG_LONG timeout;

	if (server == NULL)
		return;
	info = MHD_get_daemon_info(server, MHD_DAEMON_INFO_EPOLL_FD);
	if (info != NULL)
		poll_fd_wait(info->epoll_fd, POLLIN);
	if (MHD_get_timeout(server, &timeout) == MHD_YES)
		poll_timer_wait((long long int)MIN(timeout, 1000));
}

void
hwy_metrics_exit(void)
{
	stop();
	free(trouble);
	trouble = NULL;
	free(serving);
	serving = NULL;
}
