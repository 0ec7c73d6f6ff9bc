/* SPDX-License-Identifier: BSD-3-Clause */
/* highwayd's keys in the database: see keys.h. */
#include <config.h>

#include "keys.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/list.h"
#include "openvswitch/vlog.h"
#include "smap.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hwy_keys);

#define PREFIX "highway-"

struct complaint {
	struct ovs_list node; /* in complaints */
	const char *table;    /* a string constant */
	char *name, *text;
	bool standing; /* complained of in this reading */
};

static struct ovs_list complaints = OVS_LIST_INITIALIZER(&complaints);

/* Where a key may be. */
static const struct key {
	const char *name, *table;
	bool external_ids; /* there, too; else in other_config only */
} keys[] = {
	{"highway-bypass", "Interface", true},
	{"highway-bypass", "Bridge", true},
	{"highway-bypass", "Open_vSwitch", true},
	{"highway-bypass-off-domains", "Open_vSwitch", true},
	{"highway-debounce-ms", "Open_vSwitch", false},
	{"highway-journal-size", "Open_vSwitch", false},
	{"highway-libvirt-uri", "Open_vSwitch", false},
	{"highway-metrics", "Open_vSwitch", false},
	{"highway-qmp-dir", "Open_vSwitch", false},
	{"highway-spare-links", "Open_vSwitch", false},
};

static void
complaint_destroy(struct complaint *c)
{
	ovs_list_remove(&c->node);
	free(c->name);
	free(c->text);
	free(c);
}

void
hwy_keys_begin(void)
{
	struct complaint *c;

	LIST_FOR_EACH (c, node, &complaints)
		c->standing = false;
}

void
hwy_keys_end(void)
{
	struct complaint *c;

	LIST_FOR_EACH_SAFE (c, node, &complaints) {
		if (!c->standing)
			complaint_destroy(c);
	}
}

void
hwy_keys_free(void)
{
	hwy_keys_begin();
	hwy_keys_end();
}

void
hwy_keys_complain(const char *table, const char *name, const char *format, ...)
{
	struct complaint *c;
	va_list args;
	char *text;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	LIST_FOR_EACH (c, node, &complaints) {
		if (!strcmp(c->table, table) && !strcmp(c->name, name) && !strcmp(c->text, text)) {
			c->standing = true;
			free(text);
			return;
		}
	}
	VLOG_WARN("%s", text);
	c = xmalloc(sizeof *c);
	*c = (struct complaint){
		.table = table, .name = xstrdup(name), .text = text, .standing = true};
	ovs_list_push_back(&complaints, &c->node);
}

const char *
hwy_keys_trouble(const char *table, const char *name, size_t i)
{
	struct complaint *c;

	LIST_FOR_EACH (c, node, &complaints) {
		if (!strcmp(c->table, table) && !strcmp(c->name, name) && i-- == 0)
			return c->text;
	}
	return NULL;
}

static void
check_column(const char *table, const char *name, const char *column, const struct smap *settings)
{
	bool external_ids = !strcmp(column, "external_ids");
	struct smap_node *setting;

	SMAP_FOR_EACH (setting, settings) {
		struct ds places = DS_EMPTY_INITIALIZER;
		bool fits = false;

		if (strncmp(setting->key, PREFIX, strlen(PREFIX)) != 0)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
			if (strcmp(keys[k].name, setting->key) != 0)
				continue;
			fits |= !strcmp(keys[k].table, table) &&
				(!external_ids || keys[k].external_ids);
			ds_put_format(&places, "%s%s", places.length > 0 ? " or " : "",
				      keys[k].table);
		}
		if (places.length == 0)
			hwy_keys_complain(table, name,
					  "%s:%s=%s of %s %s is no key of highwayd and changes "
					  "nothing: see highwayd(8) for those that are",
					  column, setting->key, setting->value, table, name);
		else if (!fits)
			hwy_keys_complain(table, name,
					  "%s:%s=%s of %s %s changes nothing there: write it to "
					  "other_config of %s",
					  column, setting->key, setting->value, table, name,
					  ds_cstr(&places));
		ds_destroy(&places);
	}
}

void
hwy_keys_check(const char *table, const char *name, const struct smap *other_config,
	       const struct smap *external_ids)
{
	check_column(table, name, "other_config", other_config);
	check_column(table, name, "external_ids", external_ids);
}
