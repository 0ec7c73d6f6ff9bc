/* SPDX-License-Identifier: BSD-3-Clause */
/* Why the database keeps a port at the switch: see policy.h. */
#include <config.h>

#include "policy.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>

#include "openflow/openflow-common.h"
#include "jsonrpc.h"
#include "keys.h"
#include "lib/stream.h"
#include "smap.h"
#include "util.h"

/* A controller's state is in the database at most this long after it has changed. */
#define STATUS_LAG_S 5

const char *
hwy_policy_word(enum hwy_policy_code code)
{
	static const char *const words[] = {
		[HWY_POLICY_OPERATOR] = "operator",
		[HWY_POLICY_POLICING] = "policing",
		[HWY_POLICY_QOS] = "qos",
		[HWY_POLICY_MIRROR] = "mirror",
		[HWY_POLICY_IN_BAND] = "in-band",
		[HWY_POLICY_SAMPLING] = "sampling",
		[HWY_POLICY_SPECIAL] = "special",
		[HWY_POLICY_FAIL_OPEN] = "fail-open",
		[HWY_POLICY_FRAGMENTS] = "fragments",
		[HWY_POLICY_PORT_STATE] = "port-state",
		[HWY_POLICY_UNKNOWN] = "unknown",
	};

	return words[code];
}

void
hwy_policy_add(struct hwy_policy_reasons *reasons, enum hwy_policy_code code, bool permit,
	       const char *format, ...)
{
	va_list args;

	if (reasons->n == reasons->allocated)
		reasons->list =
			x2nrealloc(reasons->list, &reasons->allocated, sizeof reasons->list[0]);
	va_start(args, format);
	reasons->list[reasons->n++] = (struct hwy_policy_reason){
		.code = code, .permit = permit, .text = xvasprintf(format, args)};
	va_end(args);
}

void
hwy_policy_clear(struct hwy_policy_reasons *reasons)
{
	for (size_t i = 0; i < reasons->n; i++)
		free(reasons->list[i].text);
	free(reasons->list);
	memset(reasons, 0, sizeof *reasons);
}

const struct hwy_policy_reason *
hwy_policy_first(const struct hwy_policy_reasons *reasons, bool permit)
{
	for (size_t i = 0; i < reasons->n; i++) {
		if (reasons->list[i].permit || !permit)
			return &reasons->list[i];
	}
	return NULL;
}

/* "off" and "on" as the operator may write them, in other_config or external_ids; where the
 * two differ, off counts.  What is neither counts as "off": the operator meant something, and
 * off is safe. */
static void
bypass_word(const struct smap *settings, const char *column, const char *table, const char *name,
	    struct hwy_policy_reasons *reasons)
{
	const char *value = smap_get(settings, "highway-bypass");

	if (value == NULL || !strcasecmp(value, "on") || !strcasecmp(value, "true"))
		return;
	if (!strcasecmp(value, "off") || !strcasecmp(value, "false")) {
		hwy_policy_add(reasons, HWY_POLICY_OPERATOR, true,
			       "%s:highway-bypass=%s of %s %s: the operator's word", column, value,
			       table, name);
		return;
	}
	hwy_policy_add(reasons, HWY_POLICY_OPERATOR, true,
		       "%s:highway-bypass=%s of %s %s is neither on nor off and counts as off: "
		       "write one of them",
		       column, value, table, name);
	hwy_keys_complain(table, name, "%s", reasons->list[reasons->n - 1].text);
}

static void
bypass_words(const char *table, const char *name, const struct smap *other_config,
	     const struct smap *external_ids, struct hwy_policy_reasons *reasons)
{
	bypass_word(other_config, "other_config", table, name, reasons);
	bypass_word(external_ids, "external_ids", table, name, reasons);
}

/* Would Open vSwitch make in-band rules for this remote?  As it decides itself: an IPv4
 * address that it connects to.  It may know an address for a name that we do not resolve. */
static bool
is_in_band_remote(const char *target, int default_port, bool loopback_counts)
{
	struct sockaddr_storage ss;
	struct sockaddr_in in;

	if (strncmp(target, "tcp:", 4) != 0 && strncmp(target, "ssl:", 4) != 0)
		return false;
	if (!stream_parse_target_with_default_port(target, default_port, &ss))
		return true;
	if (ss.ss_family != AF_INET)
		return false;
	memcpy(&in, &ss, sizeof in);
	return loopback_counts || in.sin_addr.s_addr != htonl(INADDR_LOOPBACK);
}

static void
in_band(const struct ovsrec_open_vswitch *ovs, const struct ovsrec_bridge *bridge,
	struct hwy_policy_reasons *reasons)
{
	if (smap_get_bool(&bridge->other_config, "disable-in-band", false))
		return;
	for (size_t i = 0; i < bridge->n_controller; i++) {
		const struct ovsrec_controller *c = bridge->controller[i];

		if ((c->connection_mode == NULL || !strcmp(c->connection_mode, "in-band")) &&
		    is_in_band_remote(c->target, OFP_PORT, true))
			hwy_policy_add(reasons, HWY_POLICY_IN_BAND, true,
				       "in-band control by controller %s of bridge %s: its rules "
				       "are hidden; set connection_mode=out-of-band if it is not "
				       "reached through the bridge",
				       c->target, bridge->name);
	}
	for (size_t i = 0; i < ovs->n_manager_options; i++) {
		const struct ovsrec_manager *m = ovs->manager_options[i];

		if ((m->connection_mode == NULL || !strcmp(m->connection_mode, "in-band")) &&
		    is_in_band_remote(m->target, OVSDB_PORT, false))
			hwy_policy_add(reasons, HWY_POLICY_IN_BAND, true,
				       "in-band control by manager %s: its rules are hidden; set "
				       "connection_mode=out-of-band if it is not reached through "
				       "bridge %s",
				       m->target, bridge->name);
	}
}

/*
 * A bridge in fail_mode=standalone starts to forward by itself, by a hidden rule, when no
 * controller has been there for three times the longest inactivity probe.  It flushes all
 * rules when that begins, which the flow monitor does tell; but rules that are added while
 * it lasts do not decide.  The database says who is connected, some seconds late.
 */
static void
fail_open(const struct ovsrec_bridge *bridge, struct hwy_policy_reasons *reasons)
{
	int64_t longest_probe_s = 0;
	bool connected = false;
	size_t n = 0;

	if (bridge->fail_mode != NULL && !strcmp(bridge->fail_mode, "secure"))
		return;
	for (size_t i = 0; i < bridge->n_controller; i++) {
		const struct ovsrec_controller *c = bridge->controller[i];
		int64_t probe_s = c->n_inactivity_probe ? *c->inactivity_probe / 1000 : 5;

		if (!strncmp(c->target, "ptcp:", 5) || !strncmp(c->target, "pssl:", 5) ||
		    !strncmp(c->target, "punix:", 6))
			continue;
		n++;
		connected |= c->is_connected;
		longest_probe_s = MAX(longest_probe_s, probe_s);
	}
	if (n > 0 && (!connected || longest_probe_s * 3 <= STATUS_LAG_S))
		hwy_policy_add(reasons, HWY_POLICY_FAIL_OPEN, false,
			       "bridge %s has fail_mode=standalone and %s: it may forward by a "
			       "hidden rule; set fail_mode=secure",
			       bridge->name,
			       connected ? "an inactivity probe of less than 2 s"
					 : "no controller is connected");
}

void
hwy_policy_bridge(const struct ovsrec_open_vswitch *ovs, const struct ovsrec_bridge *bridge,
		  struct hwy_policy_reasons *reasons)
{
	bypass_words("Open_vSwitch", ".", &ovs->other_config, &ovs->external_ids, reasons);
	bypass_words("Bridge", bridge->name, &bridge->other_config, &bridge->external_ids, reasons);
	in_band(ovs, bridge, reasons);
	if (bridge->sflow != NULL)
		hwy_policy_add(reasons, HWY_POLICY_SAMPLING, true, "sFlow on bridge %s",
			       bridge->name);
	if (bridge->netflow != NULL)
		hwy_policy_add(reasons, HWY_POLICY_SAMPLING, true, "NetFlow on bridge %s",
			       bridge->name);
	if (bridge->ipfix != NULL)
		hwy_policy_add(reasons, HWY_POLICY_SAMPLING, true, "IPFIX on bridge %s",
			       bridge->name);
	if (bridge->stp_enable)
		hwy_policy_add(reasons, HWY_POLICY_SPECIAL, false, "STP on bridge %s",
			       bridge->name);
	if (bridge->rstp_enable)
		hwy_policy_add(reasons, HWY_POLICY_SPECIAL, false, "RSTP on bridge %s",
			       bridge->name);
	if (smap_get_bool(&ovs->other_config, "flow-restore-wait", false))
		hwy_policy_add(reasons, HWY_POLICY_UNKNOWN, false,
			       "flow-restore-wait=true: the rules are being restored");
	fail_open(bridge, reasons);
}

/* Is 'name' one of the words of 'list', which are separated by commas or blanks? */
static bool
is_listed(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; *at != 0;) {
		size_t word;

		at += strspn(at, ", \t");
		word = strcspn(at, ", \t");
		if (word == length && !strncmp(at, name, length))
			return true;
		at += word;
	}
	return false;
}

static bool
has_port(struct ovsrec_port *const *ports, size_t n, const struct ovsrec_port *port)
{
	for (size_t i = 0; i < n; i++) {
		if (ports[i] == port)
			return true;
	}
	return false;
}

static void
mirrors(const struct ovsrec_bridge *bridge, const struct ovsrec_port *port,
	struct hwy_policy_reasons *reasons)
{
	for (size_t i = 0; i < bridge->n_mirrors; i++) {
		const struct ovsrec_mirror *m = bridge->mirrors[i];
		const char *how = NULL;

		if (m->output_port == port)
			how = "sends to the port, which then receives nothing else";
		else if (m->select_all)
			how = "selects all ports";
		else if (has_port(m->select_src_port, m->n_select_src_port, port))
			how = "selects what the port sends";
		else if (has_port(m->select_dst_port, m->n_select_dst_port, port))
			how = "selects what the port receives";
		else if (m->n_select_vlan > 0 && !m->n_select_src_port && !m->n_select_dst_port)
			how = "selects VLANs";
		if (how != NULL)
			hwy_policy_add(reasons, HWY_POLICY_MIRROR, true,
				       "mirror %s of bridge %s %s", m->name, bridge->name, how);
	}
}

static void
special(const struct ovsrec_port *port, const struct ovsrec_interface *i,
	struct hwy_policy_reasons *reasons)
{
	if (i->n_cfm_mpid > 0)
		hwy_policy_add(reasons, HWY_POLICY_SPECIAL, false, "CFM on interface %s", i->name);
	if (smap_get_bool(&i->bfd, "enable", false))
		hwy_policy_add(reasons, HWY_POLICY_SPECIAL, false, "BFD on interface %s", i->name);
	if (smap_get_bool(&i->lldp, "enable", false))
		hwy_policy_add(reasons, HWY_POLICY_SPECIAL, false, "LLDP on interface %s", i->name);
	if (port->n_interfaces > 1)
		hwy_policy_add(reasons, HWY_POLICY_SPECIAL, false,
			       "port %s is a bond of several interfaces", port->name);
	if (port->lacp != NULL && strcmp(port->lacp, "off") != 0)
		hwy_policy_add(reasons, HWY_POLICY_SPECIAL, false, "LACP on port %s", port->name);
}

void
hwy_policy_port(const struct ovsrec_open_vswitch *ovs, const struct ovsrec_bridge *bridge,
		const struct ovsrec_port *port, const struct ovsrec_interface *i,
		const char *domain, struct hwy_policy_reasons *reasons)
{
	const char *key = "highway-bypass-off-domains";

	bypass_words("Interface", i->name, &i->other_config, &i->external_ids, reasons);
	if (is_listed(smap_get_def(&ovs->other_config, key, ""), domain) ||
	    is_listed(smap_get_def(&ovs->external_ids, key, ""), domain))
		hwy_policy_add(reasons, HWY_POLICY_OPERATOR, true,
			       "highway-bypass-off-domains lists domain %s: the operator's word",
			       domain);
	if (i->ingress_policing_rate > 0)
		hwy_policy_add(reasons, HWY_POLICY_POLICING, true,
			       "ingress policing of interface %s at %" PRId64 " kbit/s", i->name,
			       i->ingress_policing_rate);
	if (i->ingress_policing_kpkts_rate > 0)
		hwy_policy_add(reasons, HWY_POLICY_POLICING, true,
			       "ingress policing of interface %s at %" PRId64 " kpkts/s", i->name,
			       i->ingress_policing_kpkts_rate);
	if (port->qos != NULL)
		hwy_policy_add(reasons, HWY_POLICY_QOS, true, "egress QoS of type %s on port %s",
			       port->qos->type, port->name);
	mirrors(bridge, port, reasons);
	special(port, i, reasons);
}
