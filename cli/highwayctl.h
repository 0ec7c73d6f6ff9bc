/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * highwayctl: what the operator sees of Highway's regions, and sets in them.
 *
 *   find.c      which region files there are
 *   snapshot.c  a region at one moment, copied into plain structs, all indexes checked
 *   show.c top.c json.c check.c   say what a snapshot holds
 *   set.c       the operator's word on the bypass
 *   vm.c        virtual machines: their arguments, and the operator's word on them
 *   ask.c       what highwayd knows, asked through ovs-appctl
 *
 * A region is other processes' memory and may change, or be cut short, while it is
 * read.  So regions are touched in snapshot.c, check.c and set.c only, in functions
 * that hwy_guarded() calls, and nothing read there is used as an index unchecked.
 *
 * Errors: functions return one of the exit codes below, having said why on stderr, or
 * 0 / -errno where their comment says so.  One thread.
 */
#ifndef HIGHWAY_CLI_HIGHWAYCTL_H
#define HIGHWAY_CLI_HIGHWAYCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "snapshot.h"

#define HWY_EXIT_OK     0
#define HWY_EXIT_FAILED 1
#define HWY_EXIT_USAGE  2

struct hwy_options {
	const char **dirs; /* --dir, in order */
	size_t n_dirs;
	const char *agent;   /* --agent: highwayd's name or socket, or NULL */
	const char *domain;  /* --domain: a name, or the path of a region file; or NULL */
	double interval_s;   /* --interval */
	unsigned long count; /* --count, 0: without end */
	bool json;
	bool rates;
	bool no_wait;
};

/* --- main.c -------------------------------------------------------------------- */

/* "highwayctl: <sentence>" on stderr.  Returns HWY_EXIT_FAILED. */
int hwy_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for a command line that makes no sense.  Returns HWY_EXIT_USAGE. */
int hwy_misused(const char *format, ...) __attribute__((format(printf, 1, 2)));
void hwy_sleep(double seconds);

/* --- find.c -------------------------------------------------------------------- */

/* The regions found, open for reading, by name and path. */
struct hwy_found {
	struct hwy_region **regions;
	size_t n;
	size_t bad; /* files that looked like regions but could not be used */
};

/*
 * Looks for regions: those of options->domain, or all.  With 'quiet', what is wrong with
 * single files is not said.  HWY_EXIT_OK also if nothing was found.
 */
int hwy_find(const struct hwy_options *options, bool quiet, struct hwy_found *found);
void hwy_found_free(struct hwy_found *found);
/* Says that nothing was found, where it was looked for and what to do about it. */
int hwy_found_nothing(const struct hwy_options *options);

/* --- commands: 'argv' are the words after the command ---------------------------- */

int hwy_cmd_show(const struct hwy_options *options, int argc, char **argv);
int hwy_cmd_top(const struct hwy_options *options, int argc, char **argv);
int hwy_cmd_set(const struct hwy_options *options, int argc, char **argv);
int hwy_cmd_qemu_args(const struct hwy_options *options, int argc, char **argv);
int hwy_cmd_libvirt_xml(const struct hwy_options *options, int argc, char **argv);
/* set port PORT guest=WORD: vm.c */
int hwy_set_guest(const struct hwy_options *options, const char *port, const char *word);
int hwy_cmd_check(const struct hwy_options *options, int argc, char **argv);
/* What highwayd answers: ask.c. */
int hwy_cmd_explain(const struct hwy_options *options, int argc, char **argv);
int hwy_cmd_ports(const struct hwy_options *options, int argc, char **argv);
int hwy_cmd_links(const struct hwy_options *options, int argc, char **argv);
int hwy_cmd_domains(const struct hwy_options *options, int argc, char **argv);
int hwy_cmd_bridges(const struct hwy_options *options, int argc, char **argv);
int hwy_cmd_machines(const struct hwy_options *options, int argc, char **argv);
int hwy_cmd_events(const struct hwy_options *options, int argc, char **argv);
int hwy_cmd_watch(const struct hwy_options *options, int argc, char **argv);
int hwy_cmd_help(const struct hwy_options *options, int argc, char **argv);
/* Help for 'command', or in general.  False if there is no such command. */
bool hwy_help(FILE *out, const char *command);

/* --- what to show ---------------------------------------------------------------- */

enum hwy_part { HWY_PART_ALL, HWY_PART_PORT, HWY_PART_LINKS };

struct hwy_view {
	enum hwy_part part;
	const char *port; /* with HWY_PART_PORT */
	bool rates;       /* of the interval between an earlier snapshot and this one */
};

/* Does the view take in this port or link? */
bool hwy_view_port(const struct hwy_view *view, const struct hwy_snap_port *port);
bool hwy_view_link(const struct hwy_view *view, const struct hwy_snap *s,
		   const struct hwy_snap_link *link);

/* Says that 'port' is none of those of 'n' snapshots, and which there are. */
int hwy_unknown_port(const char *port, struct hwy_snap *const *snaps, size_t n);

/* Prints the domain's line; with 'narrow', as two lines. */
void hwy_show_head(FILE *out, const struct hwy_snap *s, bool narrow);

/* Prints {"domains": [...]} of 'n' snapshots; before[i] may be NULL. */
int hwy_json_print(FILE *out, const struct hwy_view *view, struct hwy_snap *const *snaps,
		   struct hwy_snap *const *before, size_t n);

/* --- table.c --------------------------------------------------------------------- */

#define HWY_TABLE_COLUMNS 20

struct hwy_table {
	const char *head[HWY_TABLE_COLUMNS]; /* '>' in front: right-aligned */
	size_t columns;
	char **cells;
	size_t n;
};

void hwy_table_column(struct hwy_table *table, const char *head);
void hwy_table_cell(struct hwy_table *table, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Prints with an indent of two, or 'empty' if there are no rows, and frees the cells. */
void hwy_table_print(struct hwy_table *table, FILE *out, const char *empty);

/* --- words.c --------------------------------------------------------------------- */

#define HWY_WORD_SIZE 96

/* Each writes at most HWY_WORD_SIZE bytes to 'out' and returns it. */
const char *hwy_word_class(uint64_t key, char *out);
const char *hwy_word_age(uint64_t from_ns, uint64_t to_ns, char *out);
const char *hwy_word_since(uint64_t ns, uint64_t now_ns, char *out);
const char *hwy_word_bytes(uint64_t bytes, char *out);
const char *hwy_word_link_state(uint32_t state);
const char *hwy_word_end_state(const struct hwy_snap_end *end);

/* The classes that take the link, separated by ", "; "-" if none.  To be freed. */
char *hwy_words_of_link(const struct hwy_snap *s, const struct hwy_snap_link *link);

#endif /* HIGHWAY_CLI_HIGHWAYCTL_H */
