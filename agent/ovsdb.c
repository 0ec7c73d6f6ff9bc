/* SPDX-License-Identifier: BSD-3-Clause */
/* What the database says: see ovsdb.h. */
#include <config.h>

#include "ovsdb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"
#include "domain.h"
#include "flow.h"
#include "hash.h"
#include "journal.h"
#include "keys.h"
#include "lib/vswitch-idl.h"
#include "links.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovsdb-idl.h"
#include "policy.h"
#include "smap.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hwy_ovsdb);

#define DRIVER "net_highway"

static struct ovsdb_idl *idl;
static char *idl_remote;
static unsigned int idl_seqno;
static bool known;

struct hwy_settings hwy_settings = {
	.debounce_ms = HWY_DEBOUNCE_DEFAULT,
};

void
hwy_ovsdb_init(const char *remote)
{
	static const struct ovsdb_idl_column *const columns[] = {
		&ovsrec_open_vswitch_col_bridges,
		&ovsrec_open_vswitch_col_manager_options,
		&ovsrec_open_vswitch_col_other_config,
		&ovsrec_open_vswitch_col_external_ids,
		&ovsrec_manager_col_target,
		&ovsrec_manager_col_connection_mode,
		&ovsrec_bridge_col_name,
		&ovsrec_bridge_col_datapath_type,
		&ovsrec_bridge_col_ports,
		&ovsrec_bridge_col_mirrors,
		&ovsrec_bridge_col_sflow,
		&ovsrec_bridge_col_netflow,
		&ovsrec_bridge_col_ipfix,
		&ovsrec_bridge_col_controller,
		&ovsrec_bridge_col_fail_mode,
		&ovsrec_bridge_col_stp_enable,
		&ovsrec_bridge_col_rstp_enable,
		&ovsrec_bridge_col_other_config,
		&ovsrec_bridge_col_external_ids,
		&ovsrec_controller_col_target,
		&ovsrec_controller_col_connection_mode,
		&ovsrec_controller_col_is_connected,
		&ovsrec_controller_col_inactivity_probe,
		&ovsrec_mirror_col_name,
		&ovsrec_mirror_col_select_all,
		&ovsrec_mirror_col_select_src_port,
		&ovsrec_mirror_col_select_dst_port,
		&ovsrec_mirror_col_select_vlan,
		&ovsrec_mirror_col_output_port,
		&ovsrec_port_col_name,
		&ovsrec_port_col_interfaces,
		&ovsrec_port_col_qos,
		&ovsrec_port_col_lacp,
		&ovsrec_port_col_protected_,
		&ovsrec_qos_col_type,
		&ovsrec_interface_col_name,
		&ovsrec_interface_col_type,
		&ovsrec_interface_col_options,
		&ovsrec_interface_col_ofport,
		&ovsrec_interface_col_other_config,
		&ovsrec_interface_col_external_ids,
		&ovsrec_interface_col_ingress_policing_rate,
		&ovsrec_interface_col_ingress_policing_kpkts_rate,
		&ovsrec_interface_col_bfd,
		&ovsrec_interface_col_cfm_mpid,
		&ovsrec_interface_col_lldp,
	};

	idl_remote = xstrdup(remote);
	idl = ovsdb_idl_create(remote, &ovsrec_idl_class, false, true);
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		ovsdb_idl_add_column(idl, columns[i]);
	ovsdb_idl_add_table(idl, &ovsrec_table_sflow);
	ovsdb_idl_add_table(idl, &ovsrec_table_netflow);
	ovsdb_idl_add_table(idl, &ovsrec_table_ipfix);
}

bool
hwy_ovsdb_known(void)
{
	return known;
}

bool
hwy_ovsdb_connected(void)
{
	return idl != NULL && ovsdb_idl_is_connected(idl);
}

const char *
hwy_ovsdb_remote(void)
{
	return idl_remote;
}

/* --- settings --------------------------------------------------------------------- */

static long long int
number(const struct smap *config, const char *key, long long int standard, long long int lowest,
       long long int highest)
{
	const char *value = smap_get(config, key);
	long long int n;

	if (value == NULL)
		return standard;
	if (!str_to_llong(value, 10, &n) || n < lowest || n > highest) {
		hwy_keys_complain("Open_vSwitch", ".",
				  "%s=%s of Open_vSwitch is not a number from %lld to %lld: %lld "
				  "is used",
				  key, value, lowest, highest, standard);
		return standard;
	}
	return n;
}

static void
set(char **to, const char *value)
{
	if (!nullable_string_is_equal(value, *to)) {
		free(*to);
		*to = nullable_xstrdup(value);
	}
}

static void
read_settings(const struct ovsrec_open_vswitch *ovs)
{
	static struct vlog_rate_limit limit = VLOG_RATE_LIMIT_INIT(1, 5);
	const char *metrics = smap_get(&ovs->other_config, "highway-metrics");
	const char *qmp_dir = smap_get(&ovs->other_config, "highway-qmp-dir");

	hwy_keys_check("Open_vSwitch", ".", &ovs->other_config, &ovs->external_ids);
	hwy_settings.debounce_ms = number(&ovs->other_config, "highway-debounce-ms",
					  HWY_DEBOUNCE_DEFAULT, 0, HWY_DEBOUNCE_MAX);
	hwy_journal_resize((size_t)number(&ovs->other_config, "highway-journal-size",
					  HWY_JOURNAL_DEFAULT, 1, HWY_JOURNAL_MAX));
	hwy_settings.spare_links = (unsigned int)number(&ovs->other_config, "highway-spare-links",
							0, 0, HWY_SPARE_LINKS_MAX);
	set(&hwy_settings.metrics, metrics);
	set(&hwy_settings.libvirt_uri, smap_get(&ovs->other_config, "highway-libvirt-uri"));
	if (qmp_dir != NULL && qmp_dir[0] != '/') {
		VLOG_WARN_RL(&limit,
			     "highway-qmp-dir=%s of Open_vSwitch is not an absolute path: it is "
			     "not used",
			     qmp_dir);
		qmp_dir = NULL;
	}
	set(&hwy_settings.qmp_dir, qmp_dir);
}

/* --- devargs ---------------------------------------------------------------------- */

struct devargs {
	char *domain, *port, *dir, *role;
};

/* The words of dpdk-devargs that matter here; the driver's own parser is stricter and has
 * complained of what is wrong with the others.  'text' is cut up. */
static void
parse_devargs(char *text, struct devargs *d)
{
	char *save = NULL;

	memset(d, 0, sizeof *d);
	strtok_r(text, ",", &save); /* the device's name */
	for (char *word = strtok_r(NULL, ",", &save); word != NULL;
	     word = strtok_r(NULL, ",", &save)) {
		char *value = strchr(word, '=');

		if (value == NULL)
			continue;
		*value++ = 0;
		if (!strcmp(word, "domain"))
			d->domain = value;
		else if (!strcmp(word, "port"))
			d->port = value;
		else if (!strcmp(word, "dir"))
			d->dir = value;
		else if (!strcmp(word, "role"))
			d->role = value;
	}
}

static char *
devargs_trouble(const struct ovsrec_interface *i, const struct devargs *d)
{
	if (d->role == NULL || strcmp(d->role, "host") != 0)
		return xasprintf("interface %s: its dpdk-devargs have role=%s, Open vSwitch has "
				 "host ends: write role=host",
				 i->name, d->role != NULL ? d->role : "guest");
	if (d->domain != NULL && !hwy_name_ok(d->domain))
		return xasprintf("interface %s: domain=%s of its dpdk-devargs is not a name: use 1 "
				 "to 31 letters, digits, '.', '_' and '-'",
				 i->name, d->domain);
	if (d->port == NULL || !hwy_name_ok(d->port))
		return xasprintf(
			"interface %s: port=%s of its dpdk-devargs is not a name: use 1 to "
			"31 letters, digits, '.', '_' and '-'",
			i->name, d->port != NULL ? d->port : "");
	if (d->domain == NULL && strlen(d->port) > HWY_NAME_SIZE - 2)
		return xasprintf("interface %s: port=%s of its dpdk-devargs is too long for a port "
				 "without domain=: use at most 30 characters",
				 i->name, d->port);
	if (d->dir != NULL && d->dir[0] != '/')
		return xasprintf("interface %s: dir=%s of its dpdk-devargs is not an absolute path",
				 i->name, d->dir);
	return NULL;
}

/* Which domain and port of it the interface is, if any. */
static void
read_devargs(const struct ovsrec_interface *i, struct hwy_ofport *port)
{
	const char *text = smap_get_def(&i->options, "dpdk-devargs", "");
	struct hwy_domain *domain = NULL;
	char *trouble = NULL;
	char hwname[HWY_NAME_SIZE] = "";

	if (!strcmp(i->type, "dpdk") && !strncmp(text, DRIVER, strlen(DRIVER))) {
		char *copy = xstrdup(text);
		struct devargs d;

		parse_devargs(copy, &d);
		trouble = devargs_trouble(i, &d);
		if (trouble == NULL) {
			char *isolated = xasprintf("%c%s", HWY_MARK_PORT, d.port);

			domain = hwy_domain_ref(d.domain != NULL ? d.domain : isolated, d.dir);
			free(isolated);
			ovs_strlcpy(hwname, d.port, sizeof hwname);
		}
		free(copy);
	}
	if (trouble != NULL && !nullable_string_is_equal(trouble, port->trouble))
		VLOG_WARN("%s", trouble);
	free(port->trouble);
	port->trouble = trouble;
	if (domain != port->domain || strcmp(hwname, port->hwname) != 0) {
		hwy_links_forget(port);
		hwy_domain_unref(port->domain);
		port->domain = domain;
		ovs_strlcpy(port->hwname, hwname, sizeof port->hwname);
	} else {
		hwy_domain_unref(domain);
	}
}

/* --- bridges and ports ------------------------------------------------------------ */

static void
port_destroy(struct hwy_ofport *port)
{
	hwy_links_forget(port);
	hwy_domain_unref(port->domain);
	hmap_remove(&port->bridge->ports, &port->node);
	hwy_policy_clear(&port->policy);
	free(port->name);
	free(port->port_name);
	free(port->trouble);
	free(port->vm_uuid);
	free(port->iface_id);
	free(port);
}

static const char *
first_of(const struct smap *map, const char *key, const char *other_key)
{
	const char *value = smap_get(map, key);

	return value != NULL ? value : smap_get(map, other_key);
}

static void
read_interface(const struct ovsrec_open_vswitch *ovs, const struct ovsrec_bridge *br,
	       const struct ovsrec_port *p, const struct ovsrec_interface *i, struct hwy_bridge *b)
{
	struct hwy_ofport *port = hwy_ofport_find(b, i->name);

	if (port == NULL) {
		port = xzalloc(sizeof *port);
		port->bridge = b;
		port->name = xstrdup(i->name);
		hmap_insert(&b->ports, &port->node, hash_string(port->name, 0));
	}
	port->seen = true;
	port->ofport =
		i->n_ofport > 0 && *i->ofport > 0 ? u16_to_ofp((uint16_t)*i->ofport) : OFPP_NONE;
	set(&port->port_name, p->name);
	set(&port->vm_uuid, first_of(&i->external_ids, "vm-uuid", "vm-id"));
	set(&port->iface_id, smap_get(&i->external_ids, "iface-id"));
	port->is_protected = p->protected_;
	read_devargs(i, port);
	hwy_policy_clear(&port->policy);
	hwy_keys_check("Interface", i->name, &i->other_config, &i->external_ids);
	if (hwy_ofport_is_highway(port))
		hwy_policy_port(ovs, br, p, i, port->domain->name, &port->policy);
}

static void
read_bridge(const struct ovsrec_open_vswitch *ovs, const struct ovsrec_bridge *br)
{
	struct hwy_bridge *b = hwy_bridge_find(br->name);
	struct hwy_ofport *port, *next;

	if (b == NULL)
		b = hwy_bridge_create(br->name);
	b->seen = true;
	hwy_bridge_touch(b);
	hwy_policy_clear(&b->policy);
	hwy_keys_check("Bridge", br->name, &br->other_config, &br->external_ids);
	hwy_policy_bridge(ovs, br, &b->policy);
	HMAP_FOR_EACH (port, node, &b->ports)
		port->seen = false;
	for (size_t p = 0; p < br->n_ports; p++) {
		for (size_t i = 0; i < br->ports[p]->n_interfaces; i++)
			read_interface(ovs, br, br->ports[p], br->ports[p]->interfaces[i], b);
	}
	HMAP_FOR_EACH_SAFE (port, next, node, &b->ports) {
		if (!port->seen)
			port_destroy(port);
	}
	hwy_bridge_feed_ports(b);
}

static void
bridge_gone(struct hwy_bridge *b)
{
	struct hwy_ofport *port, *next;

	HMAP_FOR_EACH_SAFE (port, next, node, &b->ports)
		port_destroy(port);
	hwy_bridge_destroy(b);
}

static void
read_database(void)
{
	const struct ovsrec_open_vswitch *ovs = ovsrec_open_vswitch_first(idl);
	struct hwy_bridge *b, *next;

	hwy_keys_begin();
	HMAP_FOR_EACH (b, node, &hwy_bridges)
		b->seen = false;
	if (ovs != NULL) {
		read_settings(ovs);
		for (size_t i = 0; i < ovs->n_bridges; i++) {
			if (!strcmp(ovs->bridges[i]->datapath_type, "netdev"))
				read_bridge(ovs, ovs->bridges[i]);
		}
	}
	HMAP_FOR_EACH_SAFE (b, next, node, &hwy_bridges) {
		if (!b->seen)
			bridge_gone(b);
	}
	hwy_keys_end();
}

void
hwy_ovsdb_run(void)
{
	ovsdb_idl_run(idl);
	if (!ovsdb_idl_has_ever_connected(idl) || ovsdb_idl_get_seqno(idl) == idl_seqno)
		return;
	idl_seqno = ovsdb_idl_get_seqno(idl);
	read_database();
	known = true;
}

void
hwy_ovsdb_wait(void)
{
	ovsdb_idl_wait(idl);
}

void
hwy_ovsdb_exit(void)
{
	struct hwy_bridge *b, *next;

	HMAP_FOR_EACH_SAFE (b, next, node, &hwy_bridges)
		bridge_gone(b);
	hwy_keys_free();
	ovsdb_idl_destroy(idl);
	free(idl_remote);
	free(hwy_settings.metrics);
	free(hwy_settings.qmp_dir);
	free(hwy_settings.libvirt_uri);
}
