/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtual machines that libvirt runs: see libvirt.h. */
#include <config.h>

#include "libvirt.h"

#include "util.h"

#ifdef HWY_HAVE_LIBVIRT

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libvirt_names.h"
#include "openvswitch/json.h"
#include "openvswitch/list.h"
#include "openvswitch/shash.h"
#include "qmp.h"

#define LOOK_MS        2000 /* between two looks at which domains run, if no event tells */
#define KEEPALIVE_S    5    /* a libvirtd that hangs is left after */
#define KEEPALIVE_N    2    /* so many unanswered questions */
#define BACKEND_MS     2000 /* until libvirt has deleted the backend of a device that is gone */
#define BACKEND_ASK_MS 20
#define MAX_LINE       (1u << 20)
#define SHM            "/dev/shm/hwy-" /* where libvirt wants the files of <shmem> to be */

/* One running domain.  Its thread frees it. */
struct machine {
	struct ovs_list node; /* in machines, until 'ended' */
	char uuid[VIR_UUID_STRING_BUFLEN];
	int id; /* of this run of it */
	char *path;
	int listener, client, wake;
	struct ds said; /* by the client: no whole line yet */
	bool negotiated;
	bool seen; /* mark of the last look */

	/* Under 'mutex'. */
	virDomainPtr domain; /* of the present connection; NULL: there is none */
	struct ds events;    /* for the client */
	bool ended;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct ovs_list machines = OVS_LIST_INITIALIZER(&machines);
static char *wanted_uri; /* under 'mutex', like all up to here */
static char *left_out;
static char *trouble;
static bool look_again, hung_up;

static char *folder; /* the main loop's */
static int folder_fd = -1;

/* --- speaking to the client ---------------------------------------------------------- */

static void
send_text(struct machine *m, const char *text, size_t n)
{
	while (n > 0 && m->client >= 0) {
		ssize_t sent = send(m->client, text, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0) {
			close(m->client);
			m->client = -1;
			return;
		}
		text += sent;
		n -= (size_t)sent;
	}
}

/* Sends an object, which is taken over, as the answer to command 'id'. */
static void
send_answer(struct machine *m, struct json *answer, const struct json *id)
{
	char *text;

	json_destroy(shash_find_and_delete(json_object(answer), "id"));
	if (id != NULL)
		json_object_put(answer, "id", json_deep_clone(id));
	text = json_to_string(answer, 0);
	send_text(m, text, strlen(text));
	send_text(m, "\n", 1);
	free(text);
	json_destroy(answer);
}

static struct json *
returned(void)
{
	struct json *answer = json_object_create();

	json_object_put(answer, "return", json_object_create());
	return answer;
}

static struct json *
refused(const char *why)
{
	struct json *answer = json_object_create(), *error = json_object_create();

	json_object_put_string(error, "class", "GenericError");
	json_object_put_string(error, "desc", why);
	json_object_put(answer, "error", error);
	return answer;
}

static struct json *
refused_by_libvirt(void)
{
	const char *why = virGetLastErrorMessage();
	char *text = xasprintf("libvirt: %s", why != NULL ? why : "no reason is given");
	struct json *answer = refused(text);

	free(text);
	return answer;
}

/* --- commands ------------------------------------------------------------------------- */

/* Has QEMU do the command, a JSON text with plug.c's names. */
static struct json *
pass_through(virDomainPtr domain, const char *command)
{
	struct ds in = DS_EMPTY_INITIALIZER, out = DS_EMPTY_INITIALIZER;
	struct json *answer;
	char *said = NULL;

	hwy_libvirt_to(command, &in);
	if (virDomainQemuMonitorCommand(domain, ds_cstr(&in), &said, 0) < 0) {
		answer = refused_by_libvirt();
	} else {
		hwy_libvirt_from(said, &out);
		answer = json_from_string(ds_cstr(&out));
		if (answer->type != JSON_OBJECT) {
			json_destroy(answer);
			answer = refused("libvirt passes on no JSON object");
		}
	}
	free(said);
	ds_destroy(&in);
	ds_destroy(&out);
	return answer;
}

/* libvirt makes a path of a name itself: the file is shown to it where it looks. */
static struct json *
show_file(const struct json *arguments, const char *name)
{
	const char *path = hwy_qmp_string(arguments, "mem-path");
	char *link = xasprintf(SHM "%s", name);
	struct json *answer;

	if (path == NULL) {
		answer = refused("mem-path is missing");
	} else if ((unlink(link) != 0 && errno != ENOENT) || symlink(path, link) != 0) {
		char *why = xasprintf("%s cannot be made: %s", link, ovs_strerror(errno));

		answer = refused(why);
		free(why);
	} else {
		answer = returned();
	}
	free(link);
	return answer;
}

/* libvirt takes an ivshmem device for one of conventional PCI, for which it finds no place on q35,
 * unless a root port is named.  Its alias of the one with index N is "pci.N". */
static char *
address_on(const char *bus)
{
	unsigned int index;

	if (bus == NULL || sscanf(bus, "pci.%u", &index) != 1 || index > 255)
		return xstrdup("");
	return xasprintf("<address type='pci' domain='0x0000' bus='0x%02x' slot='0x00' "
			 "function='0x0'/>",
			 index);
}

static struct json *
attach(virDomainPtr domain, const char *name, const char *bus)
{
	char *link = xasprintf(SHM "%s", name), *xml, *address;
	struct json *answer;
	struct stat st;

	if (stat(link, &st) != 0) {
		free(link);
		return refused("the link region's file is gone");
	}
	address = address_on(bus);
	xml = xasprintf("<shmem name='hwy-%s'><model type='ivshmem-plain'/>"
			"<size unit='b'>%lld</size><alias name='ua-hwy-%s'/>%s</shmem>",
			name, (long long int)st.st_size, name, address);
	free(address);
	answer = virDomainAttachDeviceFlags(domain, xml, VIR_DOMAIN_AFFECT_LIVE) < 0
			 ? refused_by_libvirt()
			 : returned();
	free(xml);
	free(link);
	return answer;
}

static struct json *
detach(virDomainPtr domain, const char *name)
{
	char *alias = xasprintf("ua-hwy-%s", name);
	struct json *answer = virDomainDetachDeviceAlias(domain, alias, VIR_DOMAIN_AFFECT_LIVE) < 0
				      ? refused_by_libvirt()
				      : returned();

	free(alias);
	return answer;
}

/* libvirt deletes a backend after its device, a moment later than QEMU says that the device is
 * gone. */
static struct json *
await_deletion(virDomainPtr domain, const char *name)
{
	char *word = xasprintf("\"hwy-%s-mem\"", name), *link = xasprintf(SHM "%s", name);
	struct json *answer = NULL;

	for (int ms = 0; answer == NULL; ms += BACKEND_ASK_MS) {
		struct json *list = pass_through(domain, "{\"execute\":\"qom-list\",\"arguments\":"
							 "{\"path\":\"/objects\"}}");
		char *text = json_to_string(list, 0);

		if (strstr(text, "\"return\"") != NULL && strstr(text, word) == NULL) {
			unlink(link);
			answer = returned();
		} else if (ms >= BACKEND_MS) {
			answer = refused("libvirt has not deleted it");
		} else {
			poll(NULL, 0, BACKEND_ASK_MS);
		}
		free(text);
		json_destroy(list);
	}
	free(word);
	free(link);
	return answer;
}

static struct json *
carry_out(virDomainPtr domain, const char *command, const struct json *arguments, const char *line)
{
	struct ds name = DS_EMPTY_INITIALIZER;
	const char *id = hwy_qmp_string(arguments, "id");
	bool backend = !strcmp(command, "object-add") || !strcmp(command, "object-del");
	struct json *answer;

	if (!strncmp(command, "query-", 6) || !strncmp(command, "qom-list", 8) ||
	    !strcmp(command, "qom-get"))
		answer = pass_through(domain, line);
	else if (!hwy_libvirt_plug_name(id, backend, &name))
		answer = refused("highwayd has no business with that in a machine of libvirt's");
	else if (!strcmp(command, "object-add"))
		answer = show_file(arguments, ds_cstr(&name));
	else if (!strcmp(command, "device_add"))
		answer = attach(domain, ds_cstr(&name), hwy_qmp_string(arguments, "bus"));
	else if (!strcmp(command, "device_del"))
		answer = detach(domain, ds_cstr(&name));
	else if (!strcmp(command, "object-del"))
		answer = await_deletion(domain, ds_cstr(&name));
	else
		answer = refused("that is passed on to no machine of libvirt's");
	ds_destroy(&name);
	return answer;
}

static void
on_line(struct machine *m, const char *line)
{
	struct json *message = json_from_string(line), *answer, *bare;
	const struct json *id = NULL, *arguments = NULL;
	const char *command = hwy_qmp_string(message, "execute");
	virDomainPtr domain;
	char *text;

	if (message->type == JSON_OBJECT) {
		id = shash_find_data(json_object(message), "id");
		arguments = shash_find_data(json_object(message), "arguments");
	}
	pthread_mutex_lock(&mutex);
	domain = m->domain;
	if (domain != NULL)
		virDomainRef(domain);
	pthread_mutex_unlock(&mutex);
	if (command == NULL) {
		answer = refused("that is no command");
	} else if (!strcmp(command, "qmp_capabilities")) {
		m->negotiated = true;
		answer = returned();
	} else if (domain == NULL) {
		answer = refused("libvirt is not connected");
	} else {
		bare = json_deep_clone(message);
		/* libvirt has its own */
		json_destroy(shash_find_and_delete(json_object(bare), "id"));
		text = json_to_string(bare, 0);
		answer = carry_out(domain, command, arguments, text);
		free(text);
		json_destroy(bare);
	}
	send_answer(m, answer, id);
	if (domain != NULL)
		virDomainFree(domain);
	json_destroy(message);
}

/* --- a machine's thread ------------------------------------------------------------------ */

static void
receive(struct machine *m)
{
	char bytes[4096], *end;
	ssize_t n = recv(m->client, bytes, sizeof bytes, 0);

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0 || m->said.length > MAX_LINE) {
		close(m->client);
		m->client = -1;
		return;
	}
	ds_put_buffer(&m->said, bytes, (size_t)n);
	while ((end = strchr(ds_cstr(&m->said), '\n')) != NULL) {
		size_t length = (size_t)(end - m->said.string) + 1;

		*end = 0;
		on_line(m, m->said.string);
		memmove(m->said.string, m->said.string + length, m->said.length - length + 1);
		m->said.length -= length;
	}
}

static void
greet(struct machine *m)
{
	static const char greeting[] = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n";

	m->client = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC);
	m->negotiated = false;
	ds_clear(&m->said);
	send_text(m, greeting, sizeof greeting - 1);
}

static void *
serve(void *m_)
{
	struct machine *m = m_;

	for (bool ended = false; !ended;) {
		struct pollfd fds[] = {{.fd = m->wake, .events = POLLIN},
				       {.fd = m->client, .events = POLLIN},
				       {.fd = m->client < 0 ? m->listener : -1, .events = POLLIN}};
		struct ds events = DS_EMPTY_INITIALIZER;
		uint64_t count;

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[0].revents != 0)
			ignore(read(m->wake, &count, sizeof count));
		pthread_mutex_lock(&mutex);
		ended = m->ended;
		ds_swap(&events, &m->events);
		pthread_mutex_unlock(&mutex);
		if (m->negotiated)
			send_text(m, ds_cstr(&events), events.length);
		ds_destroy(&events);
		if (fds[1].revents != 0 && m->client >= 0)
			receive(m);
		if (fds[2].revents != 0 && !ended)
			greet(m);
	}
	if (m->client >= 0)
		close(m->client);
	close(m->listener);
	close(m->wake);
	ds_destroy(&m->said);
	ds_destroy(&m->events);
	free(m->path);
	free(m);
	return NULL;
}

static void
wake(struct machine *m)
{
	uint64_t one = 1;

	ignore(write(m->wake, &one, sizeof one));
}

/* --- the machines; all with 'mutex' ------------------------------------------------------ */

/* Listens at the machine's socket; through the folder's descriptor, as a socket's path is short. */
static int
listen_at(const char *uuid)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/%s.sock", folder_fd, uuid);
	unlink(at.sun_path);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 4) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void
machine_start(const char *uuid, int id, virDomainPtr domain)
{
	struct machine *m = xzalloc(sizeof *m);
	pthread_t thread;

	ovs_strlcpy(m->uuid, uuid, sizeof m->uuid);
	m->id = id;
	m->client = -1;
	m->seen = true;
	ds_init(&m->said);
	ds_init(&m->events);
	m->path = xasprintf("%s/%s.sock", folder, uuid);
	m->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->listener = listen_at(uuid);
	if (m->wake < 0 || m->listener < 0 || pthread_create(&thread, NULL, serve, m) != 0) {
		if (m->wake >= 0)
			close(m->wake);
		if (m->listener >= 0)
			close(m->listener);
		free(m->path);
		free(m);
		return; /* the next look tries again */
	}
	pthread_detach(thread);
	virDomainRef(domain);
	m->domain = domain;
	ovs_list_push_back(&machines, &m->node);
}

static void
machine_lose(struct machine *m)
{
	if (m->domain != NULL)
		virDomainFree(m->domain);
	m->domain = NULL;
}

/* From now on nobody listens there: for whoever follows it the machine is gone. */
static void
machine_end(struct machine *m)
{
	machine_lose(m);
	unlink(m->path);
	shutdown(m->listener, SHUT_RDWR); /* its thread, which may be busy, closes it */
	ovs_list_remove(&m->node);
	m->ended = true;
	wake(m);
}

static struct machine *
machine_find(const char *uuid)
{
	struct machine *m;

	LIST_FOR_EACH (m, node, &machines) {
		if (!strcmp(m->uuid, uuid))
			return m;
	}
	return NULL;
}

/* --- what libvirt tells: the events' thread ---------------------------------------------- */

static void
on_qemu_event(virConnectPtr conn OVS_UNUSED, virDomainPtr domain, const char *event,
	      long long seconds, unsigned int micros, const char *details, void *aux OVS_UNUSED)
{
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct machine *m;

	if (virDomainGetUUIDString(domain, uuid) < 0)
		return;
	pthread_mutex_lock(&mutex);
	m = machine_find(uuid);
	if (m != NULL) {
		ds_put_format(&m->events, "{\"event\": \"%s\", \"data\": ", event);
		hwy_libvirt_from(details != NULL ? details : "{}", &m->events);
		ds_put_format(&m->events,
			      ", \"timestamp\": {\"seconds\": %lld, \"microseconds\": %u}}\n",
			      seconds, micros);
		wake(m);
	}
	pthread_mutex_unlock(&mutex);
}

static void
tell_keeper(bool *what)
{
	pthread_mutex_lock(&mutex);
	*what = true;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&mutex);
}

static int
on_life(virConnectPtr conn OVS_UNUSED, virDomainPtr domain OVS_UNUSED, int event OVS_UNUSED,
	int detail OVS_UNUSED, void *aux OVS_UNUSED)
{
	tell_keeper(&look_again);
	return 0;
}

static void
on_close(virConnectPtr conn OVS_UNUSED, int reason OVS_UNUSED, void *aux OVS_UNUSED)
{
	tell_keeper(&hung_up);
}

static void
on_error(void *aux OVS_UNUSED, virErrorPtr error OVS_UNUSED)
{
	/* Whoever called says it. */
}

static void *
run_events(void *aux OVS_UNUSED)
{
	while (virEventRunDefaultImpl() >= 0)
		continue;
	return NULL;
}

/* --- the keeper: connection and list of domains -------------------------------------------- */

static void
set_trouble(char *why)
{
	pthread_mutex_lock(&mutex);
	free(trouble);
	trouble = why;
	pthread_mutex_unlock(&mutex);
}

static virConnectPtr
connect_to(const char *uri)
{
	virConnectPtr conn = virConnectOpen(uri);

	if (conn == NULL) {
		set_trouble(xasprintf("libvirt at %s cannot be connected to: %s", uri,
				      virGetLastErrorMessage()));
		return NULL;
	}
	virConnectSetKeepAlive(conn, KEEPALIVE_S, KEEPALIVE_N); /* where there is a daemon */
	virConnectRegisterCloseCallback(conn, on_close, NULL, NULL);
	virConnectDomainEventRegisterAny(conn, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
					 VIR_DOMAIN_EVENT_CALLBACK(on_life), NULL, NULL);
	if (virConnectDomainQemuMonitorEventRegister(conn, NULL, NULL, on_qemu_event, NULL, NULL,
						     0) < 0) {
		set_trouble(xasprintf("libvirt at %s gives no events of QEMU: %s", uri,
				      virGetLastErrorMessage()));
		virConnectClose(conn);
		return NULL;
	}
	set_trouble(NULL);
	return conn;
}

static void
followed(virDomainPtr domain)
{
	char uuid[VIR_UUID_STRING_BUFLEN];
	unsigned int id = virDomainGetID(domain);
	struct machine *m;

	if (virDomainGetUUIDString(domain, uuid) < 0 || id == (unsigned int)-1 ||
	    (left_out != NULL && strstr(left_out, uuid) != NULL))
		return;
	m = machine_find(uuid);
	if (m != NULL && m->id != (int)id) {
		machine_end(m); /* it was started anew */
		m = NULL;
	}
	if (m == NULL) {
		machine_start(uuid, (int)id, domain);
		return;
	}
	m->seen = true;
	if (m->domain == NULL) {
		virDomainRef(domain);
		m->domain = domain;
	}
}

static bool
look(virConnectPtr conn)
{
	struct machine *m, *next;
	virDomainPtr *list;
	int n = virConnectListAllDomains(conn, &list, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

	if (n < 0)
		return false;
	pthread_mutex_lock(&mutex);
	LIST_FOR_EACH (m, node, &machines)
		m->seen = false;
	for (int i = 0; wanted_uri != NULL && i < n; i++)
		followed(list[i]);
	LIST_FOR_EACH_SAFE (m, next, node, &machines) {
		if (!m->seen)
			machine_end(m);
	}
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < n; i++)
		virDomainFree(list[i]);
	free(list);
	return true;
}

static void
disconnect(virConnectPtr conn, bool forget)
{
	struct machine *m, *next;

	pthread_mutex_lock(&mutex);
	LIST_FOR_EACH_SAFE (m, next, node, &machines) {
		if (forget)
			machine_end(m);
		else
			machine_lose(m);
	}
	hung_up = false;
	pthread_mutex_unlock(&mutex);
	if (conn != NULL) {
		virConnectUnregisterCloseCallback(conn, on_close);
		virConnectClose(conn);
	}
}

static void
nap(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LOOK_MS / 1000;
	pthread_mutex_lock(&mutex);
	while (!look_again && !hung_up &&
	       pthread_cond_timedwait(&changed, &mutex, &until) != ETIMEDOUT)
		continue;
	look_again = false;
	pthread_mutex_unlock(&mutex);
}

static void *
keep(void *aux OVS_UNUSED)
{
	virConnectPtr conn = NULL;
	char *uri = NULL;

	for (;;) {
		char *wanted;
		bool lost;

		pthread_mutex_lock(&mutex);
		wanted = nullable_xstrdup(wanted_uri);
		lost = hung_up;
		pthread_mutex_unlock(&mutex);
		if (!nullable_string_is_equal(wanted, uri) || (conn != NULL && lost)) {
			bool other = !nullable_string_is_equal(wanted, uri);

			disconnect(conn, other);
			conn = NULL;
			free(uri);
			uri = nullable_xstrdup(wanted);
			set_trouble(other ? NULL : xasprintf("libvirt at %s has hung up", uri));
		}
		free(wanted);
		if (uri != NULL && conn == NULL)
			conn = connect_to(uri);
		if (conn != NULL && !look(conn))
			tell_keeper(&hung_up);
		nap();
	}
	return NULL;
}

/* --- for the main loop ------------------------------------------------------------------------ */

/* An empty folder, which only we can enter. */
static bool
make_folder(const char *path)
{
	struct dirent *entry;
	DIR *dir;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return false;
	dir = opendir(path);
	if (dir == NULL)
		return false;
	while ((entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0); /* sockets of one that was killed */
	closedir(dir);
	folder_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return folder_fd >= 0;
}

static bool
start_threads(void)
{
	pthread_t events, keeper;

	if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
		return false;
	virSetErrorFunc(NULL, on_error);
	return pthread_create(&events, NULL, run_events, NULL) == 0 &&
	       pthread_create(&keeper, NULL, keep, NULL) == 0;
}

void
hwy_libvirt_set_uri(const char *uri, const char *where)
{
	static bool started;
	bool ok;

	pthread_mutex_lock(&mutex);
	ok = nullable_string_is_equal(uri, wanted_uri);
	pthread_mutex_unlock(&mutex);
	if (ok)
		return;
	if (uri != NULL && !started) {
		if (!make_folder(where)) {
			set_trouble(xasprintf("%s cannot be made: %s", where, ovs_strerror(errno)));
			return;
		}
		folder = xstrdup(where);
		started = true;
		if (!start_threads()) {
			set_trouble(xstrdup("libvirt's library cannot be started"));
			return;
		}
	}
	pthread_mutex_lock(&mutex);
	free(wanted_uri);
	wanted_uri = nullable_xstrdup(uri);
	look_again = true;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&mutex);
}

const char *
hwy_libvirt_folder(void)
{
	return folder;
}

void
hwy_libvirt_leave_out(const char *uuids)
{
	pthread_mutex_lock(&mutex);
	if (!nullable_string_is_equal(uuids, left_out)) {
		free(left_out);
		left_out = xstrdup(uuids);
		look_again = true;
		pthread_cond_signal(&changed);
	}
	pthread_mutex_unlock(&mutex);
}

char *
hwy_libvirt_trouble(void)
{
	char *why;

	pthread_mutex_lock(&mutex);
	why = nullable_xstrdup(trouble);
	pthread_mutex_unlock(&mutex);
	return why;
}

#else /* without libvirt */

static bool wanted;

void
hwy_libvirt_set_uri(const char *uri, const char *where OVS_UNUSED)
{
	wanted = uri != NULL;
}

const char *
hwy_libvirt_folder(void)
{
	return NULL;
}

void
hwy_libvirt_leave_out(const char *uuids OVS_UNUSED)
{
}

char *
hwy_libvirt_trouble(void)
{
	return wanted ? xstrdup("this highwayd was built without libvirt: build it with "
				"libvirt-dev installed")
		      : NULL;
}

#endif
