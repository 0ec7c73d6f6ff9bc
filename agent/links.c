/* SPDX-License-Identifier: BSD-3-Clause */
/* Permits and proofs: see links.h. */
#include <config.h>

#include "links.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "agent.h"
#include "bridge.h"
#include "domain.h"
#include "far.h"
#include "flow.h"
#include "journal.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovsdb.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hwy_links);

#define LOOK_MS 50      /* between two looks at what the regions have made of our words, */
#define SOON_MS 5       /* and for a while after we have written some */
#define ALL_MS  500     /* between two comparisons of all words with what they should be */
#define SOON_US 1000000 /* a link that opens or closes later does so for another reason */

/* Times of time_msec(): when to look at the links, and until when that often; when to compare
 * everything; when the first proof that is held back for its rules' flapping may be given. */
static long long int next_look, busy_until, next_all, next_give = LLONG_MAX;

/* --- reasons ---------------------------------------------------------------------- */

const struct hwy_policy_reason *
hwy_links_prohibition(const struct hwy_ofport *port)
{
	const struct hwy_policy_reason *r = hwy_policy_first(&port->policy, true);

	return r != NULL ? r : hwy_policy_first(&port->bridge->policy, true);
}

/* The first reason of any kind that forbids a proof from or to the port. */
static const struct hwy_policy_reason *
obstacle(const struct hwy_ofport *port)
{
	const struct hwy_policy_reason *r = hwy_policy_first(&port->policy, false);

	return r != NULL ? r : hwy_policy_first(&port->bridge->policy, false);
}

/* Does OpenFlow say that the port takes part?  Else the reason is put to 'why'. */
static bool
takes_part(const struct hwy_ofport *port, enum ofputil_port_config not_with, const char *what,
	   struct ds *why)
{
	const struct hwy_port_desc *desc = hwy_bridge_port_desc(port);

	if (desc == NULL) {
		ds_put_format(why, "OpenFlow does not know port %s (yet)", port->name);
		return false;
	}
	if (desc->config & OFPUTIL_PC_PORT_DOWN) {
		ds_put_format(why, "port %s is set down by OpenFlow", port->name);
		return false;
	}
	if (desc->config & not_with) {
		ds_put_format(why, "port %s is set %s by OpenFlow", port->name, what);
		return false;
	}
	return true;
}

struct hwy_ofport *
hwy_links_proof(const struct hwy_ofport *x, struct ds *why, bool *by_rules)
{
	const struct hwy_bridge *b = x->bridge;
	const struct hwy_policy_reason *reason;
	struct ds unwanted = DS_EMPTY_INITIALIZER;
	struct hwy_ofport *y = NULL;
	const struct hwy_verdict *verdict;

	*by_rules = false;
	if (why == NULL)
		why = &unwanted; /* short sentences; the rules' are not made for nothing */
	if (!hwy_ofport_is_highway(x)) {
		ds_put_format(why, "%s is not a Highway port", x->name);
	} else if ((reason = obstacle(x)) != NULL) {
		ds_put_cstr(why, reason->text);
	} else if (b->sync != HWY_SYNC_LIVE) {
		ds_put_format(why, "the rules of bridge %s are not known: %s", b->name,
			      b->trouble != NULL ? b->trouble : hwy_sync_word(b->sync));
	} else if (b->drops_fragments) {
		ds_put_format(why, "bridge %s drops IP fragments by OpenFlow setting", b->name);
	} else if (x->ofport == OFPP_NONE) {
		ds_put_format(why, "Open vSwitch has given port %s no OpenFlow number", x->name);
	} else if (takes_part(x, OFPUTIL_PC_NO_RECV, "no-receive", why)) {
		verdict = hwy_detector_verdict(b->detector, x->ofport);
		*by_rules = true;
		if (!verdict->p2p) {
			if (why != &unwanted)
				hwy_verdict_format(b->detector, verdict, why);
		} else if ((y = hwy_ofport_by_number(b, verdict->out_port)) == NULL) {
			ds_put_format(why,
				      "all packets go to OpenFlow port %" PRIu32
				      ", which the database does not know (yet)",
				      ofp_to_u16(verdict->out_port));
		} else if (!hwy_ofport_is_highway(y) || !hwy_far_possible(x, y)) {
			ds_put_format(why,
				      "all packets go to %s, which is no Highway port of the "
				      "same folder",
				      y->name);
			y = NULL;
		} else if (y == x) {
			ds_put_cstr(why, "all packets go back to the port itself");
			y = NULL;
		} else if (x->is_protected && y->is_protected) {
			ds_put_format(why, "all packets go to %s, but both ports are protected",
				      y->name);
			*by_rules = false;
			y = NULL;
		} else if ((reason = obstacle(y)) != NULL) {
			ds_put_format(why, "all packets go to %s, but: %s", y->name, reason->text);
			*by_rules = false;
			y = NULL;
		} else if (!takes_part(y, OFPUTIL_PC_NO_FWD, "no-forward", why)) {
			*by_rules = false;
			y = NULL;
		}
	}
	ds_destroy(&unwanted);
	return y;
}

/* --- writing ---------------------------------------------------------------------- */

/* Rules that an earlier highwayd has proven something by are not read yet. */
static bool
is_adopting(const struct hwy_bridge *b)
{
	return !b->was_live && time_msec() < b->created + HWY_ADOPT_MS;
}

/* Something was written: the host end acts upon it within a few milliseconds. */
static void
look_soon(void)
{
	next_look = time_msec();
	busy_until = next_look + 2 * LOOK_MS;
}

static void
withdrawn(struct hwy_ofport *x, const char *to, const char *why)
{
	struct hwy_decision *d = &x->decided;
	long long int now = time_msec();

	d->flapping = d->withdrawn != 0 && now - d->withdrawn < HWY_FLAP_MS;
	d->withdrawn = now;
	d->withdrawn_wall_us = time_wall_usec();
	d->peer = NULL;
	hwy_journal_note(HWY_EVENT_WITHDRAWN, x->bridge->name, x->name, to,
			 time_usec() - x->bridge->changed_us,
			 "bridge %s: the proof that all of %s goes to %s is withdrawn: %s",
			 x->bridge->name, x->name, to, why);
}

/* Does its proof lead to a port of another region?  Then the ledger has it. */
static bool
leads_far(const struct hwy_ofport *x, const struct hwy_ofport *y)
{
	return y != NULL && y->domain != x->domain;
}

/* Takes away what is there and should not be.  Returns false if the region is not there. */
static bool
take(struct hwy_ofport *x)
{
	struct hwy_decision *d = &x->decided;
	struct hwy_words words, wanted;
	uint32_t at, to = HWY_NO_PROOF;

	d->known = false;
	at = hwy_domain_port(x->domain, x->hwname, &x->hint);
	if (at == HWY_SNAP_NONE || !hwy_domain_read(x->domain, at, &words))
		return false;
	d->known = true;
	wanted = words;
	if (leads_far(x, d->peer) && d->peer != d->want_peer) {
		struct ds why = DS_EMPTY_INITIALIZER;
		const char *was = d->peer->name;
		bool by_rules;

		hwy_links_proof(x, &why, &by_rules);
		withdrawn(x, was, ds_cstr(&why));
		ds_destroy(&why);
	}
	if (d->want_peer != NULL && !leads_far(x, d->want_peer))
		to = hwy_domain_port(x->domain, d->want_peer->hwname, &d->want_peer->hint);
	if (!d->want_permit)
		wanted.permit = HWY_PERMIT_NO;
	if (words.proof != HWY_NO_PROOF && words.proof != to && !is_adopting(x->bridge))
		wanted.proof = HWY_NO_PROOF;
	if (wanted.permit == words.permit && wanted.proof == words.proof)
		return true;
	hwy_domain_write(x->domain, at, &wanted);
	look_soon();
	if (wanted.proof != words.proof) {
		struct ds why = DS_EMPTY_INITIALIZER;
		bool by_rules;
		struct hwy_ofport *y = hwy_links_proof(x, &why, &by_rules);

		if (y != NULL)
			ds_put_format(&why, "all packets go to %s now", y->name);
		withdrawn(x, d->peer != NULL ? d->peer->name : "another port", ds_cstr(&why));
		ds_destroy(&why);
	}
	if (wanted.permit != words.permit) {
		hwy_journal_note(HWY_EVENT_PROHIBITED, x->bridge->name, x->name, NULL, -1,
				 "bridge %s: %s may not bypass the switch: %s", x->bridge->name,
				 x->name, hwy_links_prohibition(x)->text);
		d->permit = false;
	}
	return true;
}

/* May the proof be given now?  Else the main loop is woken when it may. */
static bool
is_settled(const struct hwy_decision *d)
{
	long long int at = d->stable_since + hwy_settings.debounce_ms;

	if (!d->flapping || time_msec() >= at)
		return true;
	next_give = MIN(next_give, at);
	return false;
}

static void
give(struct hwy_ofport *x)
{
	struct hwy_decision *d = &x->decided;
	struct hwy_words words, wanted;
	uint32_t at, to = HWY_NO_PROOF;

	at = hwy_domain_port(x->domain, x->hwname, &x->hint);
	if (at == HWY_SNAP_NONE || !hwy_domain_read(x->domain, at, &words))
		return;
	wanted = words;
	if (d->want_permit)
		wanted.permit = HWY_PERMIT_YES;
	if (d->want_peer != NULL && !leads_far(x, d->want_peer))
		to = hwy_domain_port(x->domain, d->want_peer->hwname, &d->want_peer->hint);
	if (to != HWY_SNAP_NONE && to != HWY_NO_PROOF && (words.proof == to || is_settled(d)))
		wanted.proof = to;
	if (wanted.permit != words.permit || wanted.proof != words.proof) {
		hwy_domain_write(x->domain, at, &wanted);
		look_soon();
	}
	if (wanted.permit == HWY_PERMIT_YES && !d->permit) {
		d->permit = true;
		hwy_journal_note(HWY_EVENT_PERMITTED, x->bridge->name, x->name, NULL, -1,
				 "bridge %s: %s may bypass the switch", x->bridge->name, x->name);
	}
	if (d->want_peer != NULL && d->peer != d->want_peer &&
	    (leads_far(x, d->want_peer) ? is_settled(d) : wanted.proof == to)) {
		struct ds why = DS_EMPTY_INITIALIZER;

		d->peer = d->want_peer;
		d->given_wall_us = time_wall_usec();
		d->given_us = time_usec();
		hwy_verdict_format(x->bridge->detector,
				   hwy_detector_verdict(x->bridge->detector, x->ofport), &why);
		hwy_journal_note(HWY_EVENT_PROVEN, x->bridge->name, x->name, d->peer->name,
				 time_usec() - d->cause_us, "bridge %s: all of %s goes to %s%s: %s",
				 x->bridge->name, x->name, d->peer->name,
				 words.proof == to ? ", as found" : "", ds_cstr(&why));
		ds_destroy(&why);
	}
}

static void
want(struct hwy_ofport *x)
{
	struct hwy_decision *d = &x->decided;
	struct hwy_ofport *peer;
	bool by_rules;

	d->want_permit = hwy_links_prohibition(x) == NULL;
	peer = hwy_links_proof(x, NULL, &by_rules);
	if (peer != d->want_peer) {
		d->want_peer = peer;
		d->stable_since = time_msec();
		/* It may be a while until the proof is given, if that is held back. */
		d->cause_us = x->bridge->changed_us != 0 ? x->bridge->changed_us : time_usec();
	}
}

void
hwy_links_forget(struct hwy_ofport *gone)
{
	struct hwy_words none = {.permit = HWY_PERMIT_NO, .proof = HWY_NO_PROOF};
	struct hwy_ofport *x;
	uint32_t at;

	HMAP_FOR_EACH (x, node, &gone->bridge->ports) {
		if (x->decided.want_peer == gone)
			x->decided.want_peer = NULL;
		if (x == gone || x->decided.peer != gone)
			continue;
		at = hwy_domain_port(x->domain, x->hwname, &x->hint);
		if (at != HWY_SNAP_NONE) {
			struct hwy_words words;

			if (hwy_domain_read(x->domain, at, &words)) {
				words.proof = HWY_NO_PROOF;
				hwy_domain_write(x->domain, at, &words);
			}
		}
		withdrawn(x, gone->name, "that port is gone");
	}
	if (hwy_ofport_is_highway(gone)) {
		at = hwy_domain_port(gone->domain, gone->hwname, &gone->hint);
		if (at != HWY_SNAP_NONE) {
			none.permit = HWY_PERMIT_UNSAID;
			hwy_domain_write(gone->domain, at, &none);
		}
		if (gone->decided.peer != NULL)
			withdrawn(gone, gone->decided.peer->name, "the port itself is gone");
	}
	memset(&gone->decided, 0, sizeof gone->decided);
	hwy_bridge_touch(gone->bridge);
}

/* --- what comes of it ------------------------------------------------------------- */

static struct hwy_ofport *
find_by_hwname(const struct hwy_domain *d, const char *hwname)
{
	struct hwy_bridge *b;
	struct hwy_ofport *port;

	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		HMAP_FOR_EACH (port, node, &b->ports) {
			if (port->domain == d && !strcmp(port->hwname, hwname))
				return port;
		}
	}
	return NULL;
}

static void
link_changed(struct hwy_domain *d, const char *src, const char *dst, uint32_t was OVS_UNUSED,
	     uint32_t is, uint64_t since_ns)
{
	const struct hwy_ofport *x = find_by_hwname(d, src), *y = find_by_hwname(d, dst);
	const char *bridge = x != NULL ? x->bridge->name : NULL;
	long long int since_us = (long long int)(since_ns / 1000), took = -1;
	bool opened = is == HWY_LINK_OPEN;
	const char *how = "";

	if (y == NULL && x != NULL && leads_far(x, x->decided.peer) &&
	    !strcmp(x->decided.peer->hwname, dst))
		y = x->decided.peer;
	if (x != NULL && opened && x->decided.peer != NULL && x->decided.peer == y) {
		how = ", proven";
		if (since_us >= x->decided.given_wall_us &&
		    since_us - x->decided.given_wall_us < SOON_US)
			took = since_us - x->decided.given_wall_us;
	} else if (x != NULL && !opened && x->decided.withdrawn_wall_us != 0 &&
		   since_us >= x->decided.withdrawn_wall_us &&
		   since_us - x->decided.withdrawn_wall_us < SOON_US) {
		how = ", after its proof was withdrawn";
		took = since_us - x->decided.withdrawn_wall_us;
	}
	hwy_journal_note(opened ? HWY_EVENT_OPENED : HWY_EVENT_CLOSED, bridge,
			 x != NULL ? x->name : src, y != NULL ? y->name : dst, took,
			 "domain %s: the link from %s to %s %s%s", d->name, src, dst,
			 opened ? "is open" : "is closed", how);
}

/* --- main loop -------------------------------------------------------------------- */

static void
verdict_changed(struct hwy_detector *detector OVS_UNUSED, const struct hwy_verdict *before,
		const struct hwy_verdict *now, void *b)
{
	if (before->p2p || now->p2p)
		hwy_bridge_touch(b);
}

/* Looks at the ports of all bridges that have changed, or of all ('everything'): first what
 * should be, then what has to go, then what may come. */
static void
look_at_ports(bool everything)
{
	struct hwy_ofport *x;
	struct hwy_bridge *b;

	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		b->looking = b->changed || everything;
		HMAP_FOR_EACH (x, node, &b->ports) {
			if (b->looking && hwy_ofport_is_highway(x))
				want(x);
		}
	}
	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		HMAP_FOR_EACH (x, node, &b->ports) {
			if (b->looking && hwy_ofport_is_highway(x))
				take(x);
		}
	}
	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		HMAP_FOR_EACH (x, node, &b->ports) {
			if (b->looking && hwy_ofport_is_highway(x) && x->decided.known)
				give(x);
		}
		if (b->looking) {
			b->changed = false;
			b->changed_us = 0;
		}
	}
}

void
hwy_links_run(void)
{
	bool everything = time_msec() >= MIN(next_all, next_give);
	struct hwy_domain *d;
	struct hwy_bridge *b;

	if (!hwy_ovsdb_known())
		return;
	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		b->was_live |= b->sync == HWY_SYNC_LIVE;
		if (b->sync == HWY_SYNC_LIVE && hwy_detector_is_dirty(b->detector))
			hwy_detector_run(b->detector, verdict_changed, b);
	}
	if (time_msec() >= next_look) {
		HMAP_FOR_EACH (d, node, &hwy_domains)
			everything |= hwy_domain_watch(d, link_changed);
		next_look = time_msec() + (time_msec() < busy_until ? SOON_MS : LOOK_MS);
	}
	if (everything) {
		next_give = LLONG_MAX;
		next_all = time_msec() + ALL_MS;
	}
	look_at_ports(everything);
	hwy_far_run();
}

void
hwy_links_wait(void)
{
	if (!hmap_is_empty(&hwy_domains))
		poll_timer_wait_until(MIN(next_look, MIN(next_all, next_give)));
	hwy_far_wait();
}
