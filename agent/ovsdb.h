/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the database says: which bridges and ports there are, which ports are Highway's, what
 * policy says of them, and highwayd's own settings.  Read only; nothing is written to it.
 */
#ifndef HIGHWAY_AGENT_OVSDB_H
#define HIGHWAY_AGENT_OVSDB_H

#include <stdbool.h>
#include <stddef.h>

/* highwayd's settings, from Open_vSwitch's other_config; see highwayd(8). */
struct hwy_settings {
	long long int debounce_ms; /* highway-debounce-ms */
	size_t journal_size;       /* highway-journal-size */
	char *metrics;             /* highway-metrics, or NULL */
	char *qmp_dir;             /* highway-qmp-dir, or NULL */
	char *libvirt_uri;         /* highway-libvirt-uri, or NULL */
	unsigned int spare_links;  /* highway-spare-links */
};
extern struct hwy_settings hwy_settings;

#define HWY_DEBOUNCE_DEFAULT 50
#define HWY_DEBOUNCE_MAX     60000
#define HWY_SPARE_LINKS_MAX  8

/* 'remote' is the database's: "unix:...". */
void hwy_ovsdb_init(const char *remote);
void hwy_ovsdb_run(void);
void hwy_ovsdb_wait(void);
void hwy_ovsdb_exit(void);

/* Has the database been read since the start?  Nothing is decided before. */
bool hwy_ovsdb_known(void);
bool hwy_ovsdb_connected(void);
const char *hwy_ovsdb_remote(void);

#endif /* HIGHWAY_AGENT_OVSDB_H */
