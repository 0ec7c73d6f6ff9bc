/* SPDX-License-Identifier: BSD-3-Clause */
/* What policy, rules and region say of a port: see status.h. */
#include <config.h>

#include "status.h"

#include <string.h>

#include "hash.h"
#include "util.h"

struct taken {
	struct hmap_node node; /* by the domain's address */
	const struct hwy_domain *domain;
	struct hwy_snap *snap;
};

const char *
hwy_travel_word(enum hwy_travel travel)
{
	static const char *const words[] = {
		[HWY_TRAVEL_SWITCH] = "switch",
		[HWY_TRAVEL_CLASSES] = "classes",
		[HWY_TRAVEL_PROOF] = "proof",
	};

	return words[travel];
}

void
hwy_status_init(struct hwy_status *snaps)
{
	hmap_init(&snaps->snaps);
}

void
hwy_status_destroy(struct hwy_status *snaps)
{
	struct taken *t;

	HMAP_FOR_EACH_POP (t, node, &snaps->snaps) {
		free(t->snap);
		free(t);
	}
	hmap_destroy(&snaps->snaps);
}

const struct hwy_snap *
hwy_status_snap(struct hwy_status *snaps, const struct hwy_domain *d)
{
	uint32_t hash = hash_pointer(d, 0);
	struct taken *t;

	if (d == NULL)
		return NULL;
	HMAP_FOR_EACH_WITH_HASH (t, node, hash, &snaps->snaps) {
		if (t->domain == d)
			return t->snap;
	}
	t = xzalloc(sizeof *t);
	t->domain = d;
	t->snap = hwy_domain_look(d);
	hmap_insert(&snaps->snaps, &t->node, hash);
	return t->snap;
}

const struct hwy_snap_port *
hwy_status_port(const struct hwy_snap *s, const struct hwy_ofport *port)
{
	uint32_t at = s != NULL ? hwy_snap_find(s, port->hwname) : HWY_SNAP_NONE;

	return at != HWY_SNAP_NONE ? &s->ports[at] : NULL;
}

enum hwy_travel
hwy_status_travel(const struct hwy_snap_port *port)
{
	if (port == NULL || port->n_routes == 0)
		return HWY_TRAVEL_SWITCH;
	for (uint32_t i = 0; i < port->n_routes; i++) {
		if (port->routes[i].key == HWY_CLASS_ALL)
			return HWY_TRAVEL_PROOF;
	}
	return HWY_TRAVEL_CLASSES;
}

const struct hwy_ofport *
hwy_status_owner(const struct hwy_domain *d, const char *hwname)
{
	const struct hwy_bridge *b;
	const struct hwy_ofport *port;

	HMAP_FOR_EACH (b, node, &hwy_bridges) {
		HMAP_FOR_EACH (port, node, &b->ports) {
			if (port->domain == d && !strcmp(port->hwname, hwname))
				return port;
		}
	}
	return NULL;
}

/* What one end of a possible link lacks. */
static char *
end_reason(const struct hwy_snap_port *p, const char *name)
{
	if (p == NULL)
		return xasprintf("port %s is not in the region: Open vSwitch has not made it, or "
				 "runs without the driver",
				 name);
	if (p->bypass_off)
		return xasprintf("bypass=off is set in the region for port %s: the operator's "
				 "word, see highwayctl set",
				 name);
	if (p->end[HWY_HOST].state != HWY_END_STARTED || !p->end[HWY_HOST].alive)
		return xasprintf("the host end of %s is not started", name);
	if (p->end[HWY_GUEST].state != HWY_END_STARTED || !p->end[HWY_GUEST].alive)
		return xasprintf("no VNF has the guest end of %s started", name);
	return NULL;
}

char *
hwy_status_region_reason(const struct hwy_snap *s, const struct hwy_ofport *x)
{
	const struct hwy_ofport *y = x->decided.peer;
	const struct hwy_snap_port *px, *py;
	char *reason;

	if (s == NULL)
		return xasprintf("the region of domain %s is not there: %s", x->domain->name,
				 x->domain->trouble != NULL ? x->domain->trouble
							    : "no process has made it yet");
	px = hwy_status_port(s, x);
	reason = end_reason(px, x->hwname);
	if (reason != NULL)
		return reason;
	if (s->bypass_off)
		return xasprintf("bypass=off is set in the region for domain %s: the operator's "
				 "word, see highwayctl set",
				 x->domain->name);
	if (y != NULL && y->domain == x->domain) {
		uint32_t mtu = px->end[HWY_GUEST].mtu;

		py = hwy_status_port(s, y);
		reason = end_reason(py, y->hwname);
		if (reason != NULL)
			return reason;
		if (mtu > py->end[HWY_GUEST].mtu || mtu > py->end[HWY_HOST].mtu)
			return xasprintf("the MTU of %s, %u, is larger than that of %s", x->hwname,
					 mtu, y->hwname);
	}
	if (!s->offload)
		return xstrdup("the switch has offered no flow yet: nothing was sent, or "
			       "other_config:hw-offload is not true");
	if (px->n_routes == 0 && (y != NULL || x->decided.permit))
		return xstrdup("no flow of the port is offloaded now: the link opens with the "
			       "next packets");
	return NULL;
}
