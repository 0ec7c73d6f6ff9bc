/* SPDX-License-Identifier: BSD-3-Clause */
/* Links between ports of different regions: see far.h. */
#include <config.h>

#include "far.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "attach.h"
#include "bridge.h"
#include "domain.h"
#include "hotplug/pair.h"
#include "hotplug/vms.h"
#include "journal.h"
#include "ledger.h"
#include "links.h"
#include "machines.h"
#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovsdb.h"
#include "random.h"
#include "timeline.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hwy_far);

#define LOOK_MS    5      /* between two looks at entries that are on their way */
#define RETRY_MS   500    /* after the first failure; doubled with each */
#define RETRY_MAX  30000  /* at most */
#define RETRY_LIAR 300000 /* after one that does not keep to the protocol: it would do it again */
#define TIDY_MS    1000   /* between two looks for devices that were left over */
#define SPARES_MS  20     /* between two looks at spare devices while a link is set up */
#define MAX_ASKING 32     /* guest ends at the socket at a time */

/* What we know of an entry beside what it says itself. */
struct linking {
	uint32_t seen;   /* enum hwy_far_state of the last look */
	uint32_t failed; /* how often the same two did not manage, one after the other */
	long long int next_try;
	bool want[2]; /* of this round, by direction */
	bool ours;    /* made by this highwayd */

	/* The region in the virtual machines of the two ports; NULL if they are in none. */
	struct hwy_pair *pair;
	bool spare; /* it was plugged in beforehand */
	struct hwy_timeline timeline;
};

struct folder {
	struct ovs_list node;
	char *path;
	struct hwy_ledger ledger;
	struct linking linking[HWY_LEDGER_ENTRIES];
	int listener;
	int asking[MAX_ASKING]; /* -1: free */
	char *trouble;
};

static struct ovs_list folders = OVS_LIST_INITIALIZER(&folders);
static long long int started; /* time_msec() of the first round */

/* --- folders ---------------------------------------------------------------------- */

/* Folder of the domain's region, or NULL if it is not there.  To be freed. */
static char *
folder_of(const struct hwy_domain *d)
{
	const char *slash;

	if (d->region == NULL)
		return NULL;
	slash = strrchr(d->region->path, '/');
	return slash != NULL ? xmemdup0(d->region->path, slash - d->region->path) : NULL;
}

bool
hwy_far_possible(const struct hwy_ofport *x, const struct hwy_ofport *y)
{
	char *a, *b;
	bool same;

	if (x->domain == y->domain)
		return true;
	a = folder_of(x->domain);
	b = folder_of(y->domain);
	same = a != NULL && b != NULL && !strcmp(a, b);
	free(a);
	free(b);
	return same;
}

/* Where guest ends of this folder ask. */
static int
listen_at(const char *folder)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	int s;

	if (snprintf(where.sun_path, sizeof where.sun_path, "%s/%s", folder, HWY_LEDGER_SOCKET) >=
	    (int)sizeof where.sun_path)
		return -ENAMETOOLONG;
	s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s < 0)
		return -errno;
	(void)unlink(where.sun_path);
	if (bind(s, (struct sockaddr *)&where, sizeof where) < 0 ||
	    chmod(where.sun_path, 0600) < 0 || listen(s, MAX_ASKING) < 0) {
		int error = errno;

		close(s);
		return -error;
	}
	return s;
}

static void
trouble(struct folder *f, const char *sentence)
{
	if (!nullable_string_is_equal(f->trouble, sentence)) {
		if (sentence != NULL)
			VLOG_WARN("%s", sentence);
		free(f->trouble);
		f->trouble = nullable_xstrdup(sentence);
	}
}

static struct folder *
folder_get(const char *path)
{
	char err[HWY_ERR_SIZE];
	struct folder *f;

	LIST_FOR_EACH (f, node, &folders) {
		if (!strcmp(f->path, path))
			break;
	}
	if (f == NULL || &f->node == &folders) {
		f = xzalloc(sizeof *f);
		f->path = xstrdup(path);
		f->ledger.fd = f->listener = -1;
		for (size_t i = 0; i < MAX_ASKING; i++)
			f->asking[i] = -1;
		ovs_list_push_back(&folders, &f->node);
	}
	if (f->ledger.file != NULL && !hwy_ledger_is_current(&f->ledger)) {
		hwy_ledger_close(&f->ledger);
		memset(f->linking, 0, sizeof f->linking);
	}
	if (f->ledger.file == NULL) {
		if (hwy_ledger_open(&f->ledger, path, true, err) < 0) {
			trouble(f, err);
			return NULL;
		}
	}
	if (f->listener < 0) {
		f->listener = listen_at(path);
		if (f->listener < 0) {
			hwy_fail(err, 0, "%s/%s cannot be listened at: %s", path, HWY_LEDGER_SOCKET,
				 ovs_strerror(-f->listener));
			trouble(f, err);
			return NULL;
		}
	}
	trouble(f, NULL);
	return f;
}

/* --- entries ---------------------------------------------------------------------- */

static bool
is_side(const struct hwy_ledger_side *side, const struct hwy_ofport *port)
{
	return !strncmp(side->region, port->domain->name, HWY_NAME_SIZE) &&
	       !strncmp(side->port, port->hwname, HWY_NAME_SIZE);
}

static void
remove_region(const struct folder *f, uint64_t id)
{
	char name[HWY_NAME_SIZE];
	char *path = xasprintf("%s/%s", f->path, hwy_link_region_name(id, name));

	if (unlink(path) < 0 && errno != ENOENT)
		VLOG_WARN("%s cannot be removed: %s", path, ovs_strerror(errno));
	free(path);
}

static void
fill_side(struct hwy_ledger_side *side, const struct hwy_ofport *port)
{
	memset(side, 0, sizeof *side);
	ovs_strlcpy(side->region, port->domain->name, sizeof side->region);
	ovs_strlcpy(side->port, port->hwname, sizeof side->port);
}

static bool
make_region(const struct folder *f, uint64_t id, char err[HWY_ERR_SIZE])
{
	return hwy_link_region_make(f->path, id, 0, err) == 0;
}

/* Plugs the region 'id' into the machines of x and y. */
static struct hwy_pair *
plug(const struct folder *f, uint64_t id, struct hwy_vm *a, struct hwy_vm *b)
{
	char name[HWY_NAME_SIZE];
	char *path = xasprintf("%s/%s", f->path, hwy_link_region_name(id, name));
	struct stat st = {.st_size = 0};
	struct hwy_pair *pair;

	(void)stat(path, &st);
	pair = hwy_pair_in(a, b, id, path, (uint64_t)st.st_size);
	free(path);
	return pair;
}

/* The entry is at its end: so is what is plugged in for it, and the region. */
static void
entry_end(const struct folder *f, struct hwy_ledger_entry *entry, struct linking *l)
{
	if (l->pair != NULL)
		hwy_pair_out(l->pair);
	l->pair = NULL;
	remove_region(f, entry->id);
	hwy_store_release(&entry->state, HWY_LEDGER_FREE);
	l->seen = HWY_FAR_NONE;
	l->ours = false;
	l->timeline.runs = false;
}

/* What the host, or a guest end through it, has answered. */
static const char *
reason(int why)
{
	return why == EBADMSG ? "one of them does not keep to the protocol, see its driver's log"
	       : why == ETIMEDOUT ? "one of them did not do its part in time"
				  : ovs_strerror(why);
}

static void
entry_failed(const struct hwy_ledger_entry *entry, struct linking *l, bool liar, const char *why)
{
	l->failed++;
	l->next_try =
		time_msec() + (liar ? RETRY_LIAR : MIN(RETRY_MAX, RETRY_MS << MIN(l->failed, 8)));
	VLOG_WARN("ports %s and %s could not be linked: %s; their packets take the switch, and it "
		  "is tried again%s",
		  entry->side[0].port, entry->side[1].port, why, liar ? " after 5 minutes" : "");
}

/* Makes the link region of x and y, then their entry; 'entry' if it is not NULL.  Where one of
 * them is in a virtual machine, its guest end looks for the region while it is plugged in. */
static struct hwy_ledger_entry *
entry_make(struct folder *f, struct hwy_ledger_entry *entry, const struct hwy_ofport *x,
	   const struct hwy_ofport *y)
{
	struct hwy_vm *a, *b;
	struct linking *l;
	char err[HWY_ERR_SIZE];
	uint64_t id;

	for (size_t i = 0; i < HWY_LEDGER_ENTRIES && entry == NULL; i++) {
		if (f->ledger.file->entry[i].state == HWY_LEDGER_FREE &&
		    time_msec() >= f->linking[i].next_try) {
			entry = &f->ledger.file->entry[i];
			f->linking[i].failed = 0;
		}
	}
	if (entry == NULL)
		return NULL;
	l = &f->linking[entry - f->ledger.file->entry];
	a = hwy_machine_of(x, NULL);
	b = hwy_machine_of(y, NULL);
	l->pair = a != NULL || b != NULL ? hwy_spare_take(a, b) : NULL;
	l->spare = l->pair != NULL;
	id = l->spare ? l->pair->id : random_uint64();
	if (!l->spare && !make_region(f, id, err)) {
		trouble(f, err);
		return NULL;
	}
	hwy_timeline_start(&l->timeline, x->decided.cause_us, x->decided.given_us);
	hwy_timeline_step(&l->timeline, HWY_STEP_REGION);
	l->timeline.plugs = !l->spare && (a != NULL || b != NULL);
	l->ours = true;
	entry->id = id;
	entry->life++;
	fill_side(&entry->side[0], x);
	fill_side(&entry->side[1], y);
	entry->proof[0] = entry->proof[1] = 0;
	hwy_store_release(&entry->state, HWY_LEDGER_WANTED);
	hwy_domain_ring(x->domain);
	if (!l->spare && (a != NULL || b != NULL))
		l->pair = plug(f, id, a, b);
	return entry;
}

/* Is its guest end there? */
static bool
is_up(const struct hwy_ofport *port)
{
	uint32_t hint = port->hint;
	uint32_t at = hwy_domain_port(port->domain, port->hwname, &hint);

	return at != HWY_SNAP_NONE && hwy_domain_has_guest(port->domain, at);
}

/* Marks the direction from x to y as wanted, making an entry if there is none. */
static void
want(const struct hwy_ofport *x, const struct hwy_ofport *y)
{
	char *path = folder_of(x->domain);
	struct folder *f = path != NULL ? folder_get(path) : NULL;
	struct hwy_ledger_entry *entry = NULL, *before = NULL;
	size_t i = 0, e = 0;

	free(path);
	if (f == NULL)
		return;
	for (i = 0; i < HWY_LEDGER_ENTRIES; i++) {
		struct hwy_ledger_entry *at = &f->ledger.file->entry[i];

		for (e = 0; e < 2; e++) {
			if (is_side(&at->side[e], x) && is_side(&at->side[1 - e], y))
				break;
		}
		if (e < 2 && at->state == HWY_LEDGER_FREE) {
			if (time_msec() < f->linking[i].next_try)
				return; /* it went wrong a moment ago */
			before = at;
		} else if (e < 2) {
			entry = at;
			break;
		}
	}
	if (entry == NULL) {
		entry = entry_make(f, before, x, y);
		if (entry == NULL)
			return;
		i = (size_t)(entry - f->ledger.file->entry);
		e = 0;
	}
	if (entry->state == HWY_LEDGER_WANTED)
		f->linking[i].want[e] = true;
}

/* Are the rules known that an earlier highwayd has made entries by? */
static bool
is_adopting(void)
{
	const struct hwy_bridge *b;

	if (time_msec() >= started + HWY_ADOPT_MS)
		return false;
	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		if (!b->was_live)
			return true;
	}
	return hmap_is_empty(&hwy_bridges);
}

/* Both guest ends have mapped the region. */
static void
note_mapped(const struct hwy_ledger_entry *entry, struct linking *l)
{
	const char *how = l->pair == NULL ? "" : l->spare ? ", on a spare device" : ", hot-plugged";

	hwy_timeline_step(&l->timeline, HWY_STEP_SEEN);
	hwy_timeline_step(&l->timeline, HWY_STEP_MAPPED);
	hwy_journal_note(HWY_EVENT_MAPPED, NULL, entry->side[0].port, entry->side[1].port,
			 hwy_timeline_took(&l->timeline, HWY_STEP_MAPPED),
			 "ports %s and %s have a link region%s", entry->side[0].port,
			 entry->side[1].port, how);
	hwy_timeline_tell(&l->timeline, HWY_STEP_MAPPED);
}

static void
note_progress(const struct folder *f, struct hwy_ledger_entry *entry, struct linking *l,
	      uint32_t state)
{
	static const char *const words[] = {
		[HWY_FAR_NONE] = "none",
		[HWY_FAR_WANTED] = "is being mapped",
		[HWY_FAR_USABLE] = "is usable",
		[HWY_FAR_DRAINING] = "is being drained",
		[HWY_FAR_CLOSING] = "is being unmapped",
		[HWY_FAR_GONE] = "is gone",
	};
	char name[HWY_NAME_SIZE];

	if (state == l->seen || state > HWY_FAR_GONE)
		return;
	l->seen = state;
	VLOG_DBG("%s: link region %s between %s and %s %s", f->path,
		 hwy_link_region_name(entry->id, name), entry->side[0].port, entry->side[1].port,
		 words[state]);
	if (state == HWY_FAR_USABLE)
		note_mapped(entry, l);
}

static const struct hwy_ofport *
port_of(const struct hwy_ledger_side *side)
{
	const struct hwy_ofport *port;
	const struct hwy_bridge *b;

	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		HMAP_FOR_EACH (port, node, &b->ports) {
			if (hwy_ofport_is_highway(port) && is_side(side, port))
				return port;
		}
	}
	return NULL;
}

/* Of an entry that is in use: takes over what an earlier highwayd plugged in for it, and
 * withdraws it when a machine or a device of it is gone. */
static void
machines_run(struct folder *f, struct hwy_ledger_entry *entry, struct linking *l)
{
	struct hwy_vm *vm[2] = {NULL, NULL};

	if (l->pair != NULL) {
		if (l->pair->state == HWY_PAIR_PLUGGED && l->timeline.plugs)
			hwy_timeline_step(&l->timeline, HWY_STEP_PLUGGED);
		if (l->pair->state >= HWY_PAIR_LEAVING && entry->state == HWY_LEDGER_WANTED) {
			if (l->seen < HWY_FAR_USABLE)
				entry_failed(entry, l, false,
					     l->pair->trouble != NULL ? l->pair->trouble
								      : "no reason");
			hwy_store_release(&entry->state, HWY_LEDGER_WITHDRAWN);
		}
		return;
	}
	if (l->ours)
		return; /* no machine is concerned */
	for (int e = 0; e < 2; e++) {
		const struct hwy_ofport *port = port_of(&entry->side[e]);

		vm[e] = port != NULL ? hwy_machine_of(port, NULL) : NULL;
	}
	if (entry->state == HWY_LEDGER_WANTED && (vm[0] != NULL || vm[1] != NULL))
		l->pair = plug(f, entry->id, vm[0], vm[1]);
}

/* Writes what is wanted of an entry, and ends one that has come to its end. */
static void
entry_run(struct folder *f, size_t i, bool adopting)
{
	struct hwy_ledger_entry *entry = &f->ledger.file->entry[i];
	struct linking *l = &f->linking[i];
	uint64_t answer = hwy_load_acquire(&entry->answer);
	uint32_t state = answer >> 32 == entry->life ? (uint32_t)answer : HWY_FAR_NONE;

	if (entry->state == HWY_LEDGER_FREE)
		return;
	machines_run(f, entry, l);
	if (l->timeline.runs)
		hwy_timeline_look(&l->timeline, port_of(&entry->side[0]), port_of(&entry->side[1]),
				  entry->id);
	note_progress(f, entry, l, state);
	for (int e = 0; e < 2; e++) {
		if (entry->proof[e] != l->want[e] && (l->want[e] || !adopting))
			hwy_store_release(&entry->proof[e], l->want[e]);
	}
	if (entry->state == HWY_LEDGER_WANTED && !l->want[0] && !l->want[1] && !adopting)
		hwy_store_release(&entry->state, HWY_LEDGER_WITHDRAWN);
	if (state == HWY_FAR_GONE) {
		if (entry->state == HWY_LEDGER_WANTED && entry->why != 0)
			entry_failed(entry, l, entry->why == EBADMSG, reason((int)entry->why));
		else
			l->failed = 0;
		entry_end(f, entry, l);
	}
}

/* --- those who ask ---------------------------------------------------------------- */

struct asking {
	const struct folder *folder;
	uint64_t id;
	int region; /* what the guest end says is its region */
	int fd;
	int error;
};

/* Is 'fd' the file of the region of that name? */
static bool
holds(const struct folder *f, const char *name, int fd)
{
	struct stat theirs, ours;
	char *path = xasprintf("%s/%.*s", f->path, HWY_NAME_SIZE, name);
	bool same = fstat(fd, &theirs) == 0 && lstat(path, &ours) == 0 &&
		    theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;

	free(path);
	return same;
}

/* The link region that is asked for, if who asks holds the region of one of its ports. */
static int
answer(const struct folder *f, uint64_t id, int region)
{
	for (size_t i = 0; i < HWY_LEDGER_ENTRIES && region >= 0; i++) {
		const struct hwy_ledger_entry *entry = &f->ledger.file->entry[i];
		char name[HWY_NAME_SIZE];
		char *path;
		int fd;

		if (entry->state != HWY_LEDGER_WANTED || entry->id != id)
			continue;
		if (!holds(f, entry->side[0].region, region) &&
		    !holds(f, entry->side[1].region, region))
			return -EACCES;
		path = xasprintf("%s/%s", f->path, hwy_link_region_name(id, name));
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		free(path);
		return fd < 0 ? -errno : fd;
	}
	return -ENOENT;
}

/* Returns false if the connection is to be closed. */
static bool
serve(const struct folder *f, int s)
{
	struct hwy_fetch_request request;
	struct hwy_fetch_answer reply;
	int region = -1, fd, rc;

	rc = hwy_fd_receive(s, &request, sizeof request, &region);
	if (rc == -EAGAIN)
		return true;
	if (rc == 0 && request.magic == HWY_MAGIC) {
		fd = answer(f, request.id, region);
		memset(&reply, 0, sizeof reply);
		reply.id = request.id;
		reply.error = fd < 0 ? (uint32_t)-fd : 0;
		(void)hwy_fd_send(s, &reply, sizeof reply, fd);
		if (fd >= 0)
			close(fd);
	}
	if (region >= 0)
		close(region);
	return false;
}

static void
folder_serve(struct folder *f)
{
	bool more = true; /* may be waiting to be accepted */

	if (f->listener < 0 || f->ledger.file == NULL)
		return;
	for (size_t i = 0; i < MAX_ASKING; i++) {
		if (f->asking[i] < 0 && more) {
			f->asking[i] =
				accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
			more = f->asking[i] >= 0;
		}
		if (f->asking[i] >= 0 && !serve(f, f->asking[i])) {
			close(f->asking[i]);
			f->asking[i] = -1;
		}
	}
}

/* --- spare link devices ------------------------------------------------------------- */

static bool
spare_make(uint64_t *id, char **path, uint64_t *size, void *f_)
{
	const struct folder *f = f_;
	char name[HWY_NAME_SIZE], err[HWY_ERR_SIZE];
	struct stat st;

	*id = random_uint64();
	if (!make_region(f, *id, err)) {
		VLOG_WARN("no spare link region: %s", err);
		return false;
	}
	*path = xasprintf("%s/%s", f->path, hwy_link_region_name(*id, name));
	*size = stat(*path, &st) == 0 ? (uint64_t)st.st_size : 0;
	return true;
}

static void
spare_remove(const char *path)
{
	if (unlink(path) < 0 && errno != ENOENT)
		VLOG_WARN("%s cannot be removed: %s", path, ovs_strerror(errno));
}

static bool
may_have_spares(const struct hwy_ofport *port, const struct hwy_vm *vm)
{
	return vm != NULL && vm->state == HWY_VM_RUNNING && hwy_ofport_is_highway(port) &&
	       hwy_domain_is_isolated(port->domain) && port->domain->region != NULL;
}

/* Asks for spare ones for every two machines with isolated ports on one bridge. */
static void
spares_run(void)
{
	const struct hwy_ofport *x, *y;
	const struct hwy_bridge *b;

	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		HMAP_FOR_EACH (x, node, &b->ports) {
			struct hwy_vm *v =
				hwy_settings.spare_links > 0 ? hwy_machine_of(x, NULL) : NULL;
			char *path = may_have_spares(x, v) ? folder_of(x->domain) : NULL;
			struct folder *f = path != NULL ? folder_get(path) : NULL;

			free(path);
			if (f == NULL)
				continue;
			HMAP_FOR_EACH (y, node, &b->ports) {
				struct hwy_vm *w = hwy_machine_of(y, NULL);

				if (may_have_spares(y, w) && v < w && hwy_far_possible(x, y))
					hwy_spares_want(v, w, hwy_settings.spare_links, spare_make,
							f);
			}
		}
	}
	hwy_spares_sweep(spare_remove);
}

/* Is a link region in use, or on its way into a machine? */
static bool
is_known(uint64_t id)
{
	const struct folder *f;

	LIST_FOR_EACH (f, node, &folders) {
		for (size_t i = 0; f->ledger.file != NULL && i < HWY_LEDGER_ENTRIES; i++) {
			if (f->ledger.file->entry[i].id == id &&
			    f->ledger.file->entry[i].state != HWY_LEDGER_FREE)
				return true;
		}
	}
	return false;
}

/* --- main loop -------------------------------------------------------------------- */

static bool
may_bypass(const struct hwy_ofport *port)
{
	return port->decided.want_permit;
}

static void
want_all(void)
{
	struct hwy_ofport *x;
	struct hwy_bridge *b;

	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		HMAP_FOR_EACH (x, node, &b->ports) {
			struct hwy_ofport *y = x->decided.peer;

			/* Without both guest ends a region would be for nobody, and in a machine
			 * nobody could let go of its device. */
			if (hwy_ofport_is_highway(x) && y != NULL && y->domain != x->domain &&
			    may_bypass(x) && may_bypass(y) && is_up(x) && is_up(y))
				want(x, y);
		}
	}
}

/* Where there are isolated ports, so that containers can be given the socket before the first link
 * is proved; and where an earlier highwayd has left a ledger. */
static void
find_folders(void)
{
	struct hwy_domain *d;

	HMAP_FOR_EACH (d, node, &hwy_domains) {
		char *path = folder_of(d);
		char *file = path != NULL ? xasprintf("%s/%s", path, HWY_LEDGER_FILE) : NULL;

		if (file != NULL && (hwy_domain_is_isolated(d) || access(file, F_OK) == 0))
			folder_get(path);
		free(file);
		free(path);
	}
}

static void
run(void *aux OVS_UNUSED)
{
	static long long int next_tidy, next_spares; /* time_msec() */
	bool adopting = is_adopting(), setting_up = false;
	struct hwy_vm *vm;
	struct folder *f;

	LIST_FOR_EACH (f, node, &folders) {
		for (size_t i = 0; i < HWY_LEDGER_ENTRIES; i++)
			f->linking[i].want[0] = f->linking[i].want[1] = false;
	}
	want_all();
	LIST_FOR_EACH (f, node, &folders) {
		if (f->ledger.file == NULL)
			continue;
		hwy_store_release(&f->ledger.file->agent_beat, f->ledger.file->agent_beat + 1);
		for (size_t i = 0; i < HWY_LEDGER_ENTRIES; i++) {
			entry_run(f, i, adopting);
			setting_up |= f->linking[i].timeline.runs;
		}
		folder_serve(f);
	}
	if (!setting_up || time_msec() >= next_spares) {
		next_spares = time_msec() + SPARES_MS;
		spares_run();
	}
	if (!adopting && time_msec() >= next_tidy) {
		HMAP_FOR_EACH (vm, node, &hwy_vms) {
			if (vm->known)
				hwy_pairs_tidy(vm, is_known);
		}
		next_tidy = time_msec() + TIDY_MS;
	}
}

void
hwy_far_run(void)
{
	static long long int next_find;

	if (started == 0)
		started = time_msec();
	hwy_pairs_run();
	if (time_msec() >= next_find) {
		next_find = time_msec() + 100;
		find_folders();
	}
	if (hwy_guarded(run, NULL) < 0)
		VLOG_WARN("a ledger was cut short");
}

void
hwy_far_wait(void)
{
	struct folder *f;

	hwy_pairs_wait();

	LIST_FOR_EACH (f, node, &folders) {
		if (f->listener >= 0)
			poll_fd_wait(f->listener, POLLIN);
		for (size_t i = 0; i < MAX_ASKING; i++) {
			if (f->asking[i] >= 0)
				poll_fd_wait(f->asking[i], POLLIN);
		}
		for (size_t i = 0; f->ledger.file != NULL && i < HWY_LEDGER_ENTRIES; i++) {
			uint32_t seen = f->linking[i].seen;

			hwy_timeline_wait(&f->linking[i].timeline);
			if (f->ledger.file->entry[i].state == HWY_LEDGER_WITHDRAWN ||
			    (seen != HWY_FAR_NONE && seen != HWY_FAR_USABLE))
				poll_timer_wait(LOOK_MS);
		}
	}
}

void
hwy_far_exit(bool keep)
{
	struct folder *f, *next;

	hwy_pairs_exit();
	LIST_FOR_EACH_SAFE (f, next, node, &folders) {
		for (size_t i = 0; f->ledger.file != NULL && !keep && i < HWY_LEDGER_ENTRIES; i++) {
			struct hwy_ledger_entry *entry = &f->ledger.file->entry[i];

			if (entry->state == HWY_LEDGER_FREE)
				continue;
			hwy_store_release(&entry->proof[0], 0);
			hwy_store_release(&entry->proof[1], 0);
			hwy_store_release(&entry->state, HWY_LEDGER_WITHDRAWN);
			remove_region(f, entry->id); /* its memory stays while it is mapped */
		}
		if (f->listener >= 0) {
			char *path = xasprintf("%s/%s", f->path, HWY_LEDGER_SOCKET);

			close(f->listener);
			if (!keep)
				(void)unlink(path);
			free(path);
		}
		for (size_t i = 0; i < MAX_ASKING; i++) {
			if (f->asking[i] >= 0)
				close(f->asking[i]);
		}
		hwy_ledger_close(&f->ledger);
		ovs_list_remove(&f->node);
		free(f->trouble);
		free(f->path);
		free(f);
	}
}
