/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rte_telemetry endpoints, beside those that every ethdev has:
 *
 *   /highway/ports         names of the ports that this process has
 *   /highway/port,<name>   one of them: domain, role, link, paths and counters
 */
#include <rte_telemetry.h>
#include <rte_version.h>

#include "highway.h"

static void
list_one(struct hwy_dev *dev, void *arg)
{
	rte_tel_data_add_array_string(arg, dev->name);
}

static int
handle_ports(const char *cmd __rte_unused, const char *params __rte_unused, struct rte_tel_data *d)
{
	rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
	hwy_domain_each_dev(list_one, d);
	return 0;
}

struct wanted {
	const char *name;
	struct rte_tel_data *d;
	bool found;
};

static void
add_counter(struct rte_tel_data *d, const char *name, uint64_t value)
{
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
	rte_tel_data_add_dict_uint(d, name, value);
#else
	rte_tel_data_add_dict_u64(d, name, value);
#endif
}

static void
show_one(struct hwy_dev *dev, void *arg)
{
	struct wanted *w = arg;
	struct rte_eth_xstat_name names[64];
	struct rte_eth_xstat values[64];
	int n;

	if (w->found || strcmp(w->name, dev->name) != 0)
		return;
	w->found = true;
	rte_tel_data_start_dict(w->d);
	rte_tel_data_add_dict_string(w->d, "domain", dev->domain_name);
	rte_tel_data_add_dict_string(w->d, "region", dev->region->path);
	rte_tel_data_add_dict_string(w->d, "role", dev->role == HWY_HOST ? "host" : "guest");
	rte_tel_data_add_dict_int(w->d, "link_up", hwy_end_up(dev->end) && hwy_end_up(dev->peer));
	rte_tel_data_add_dict_int(w->d, "queues", (int)dev->queues);
	rte_tel_data_add_dict_int(w->d, "mtu", (int)hwy_load(&dev->end->mtu));
	rte_tel_data_add_dict_int(w->d, "routes", (int)hwy_load(&dev->port->n_routes));
	rte_tel_data_add_dict_int(w->d, "links_in", (int)hwy_load(&dev->port->n_in));
	n = hwy_xstats_names(dev->eth, names, RTE_DIM(names));
	hwy_xstats_get(dev->eth, values, RTE_DIM(values));
	for (int i = 0; i < n; i++)
		add_counter(w->d, names[i].name, values[i].value);
}

static int
handle_port(const char *cmd __rte_unused, const char *params, struct rte_tel_data *d)
{
	struct wanted w = {.name = params != NULL ? params : "", .d = d};

	hwy_domain_each_dev(show_one, &w);
	return w.found ? 0 : -ENOENT;
}

RTE_INIT(highway_telemetry)
{
	rte_telemetry_register_cmd("/highway/ports", handle_ports,
				   "Names of the Highway ports of this process. No parameters.");
	rte_telemetry_register_cmd("/highway/port", handle_port,
				   "State and counters of one Highway port. Parameter: its name.");
}
