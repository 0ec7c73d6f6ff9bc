/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The highway authors
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "engine.h"
#include "options.h"
#include "ports.h"
#include "report.h"

#define HWT_WATCH_MS  2
#define HWT_INPUT_MAX 4096

enum hwt_phase {
	HWT_PHASE_RUN,   /* generators may send, or there are none */
	HWT_PHASE_DRAIN, /* what is under way may still arrive */
	HWT_PHASE_DONE,
};

struct hwt_app {
	struct hwt_options o;
	struct hwt_ports ports;
	struct hwt_engine engine;
	struct hwt_report report;
	enum hwt_phase phase;
	bool idle;         /* stopped, or not started yet */
	bool reset_wanted; /* asked of the workers, not yet done */
	uint64_t hz;
	uint64_t started; /* TSC of the last start */
	uint64_t next_interval;
	uint64_t progress; /* packets at the last look, and when */
	uint64_t progress_at;
	bool input_end;
	char input[HWT_INPUT_MAX];
	size_t input_len;
};

static volatile sig_atomic_t hwt_signal;

static void
on_signal(int number)
{
	hwt_signal = number;
}

static void
app_start(struct hwt_app *a, uint64_t now)
{
	a->idle = false;
	a->started = now;
	a->report.end = 0;
	if (a->engine.control.start == 0)
		hwt_report_reset(&a->report, now);
	hwt_engine_start(&a->engine);
}

static void
app_stop(struct hwt_app *a, uint64_t now)
{
	hwt_engine_stop(&a->engine);
	if (!a->idle)
		a->report.end = now;
	a->idle = true;
}

/* Stop sending, and end once everything has arrived. */
static void
app_end(struct hwt_app *a, uint64_t now)
{
	if (a->phase != HWT_PHASE_RUN)
		return;
	app_stop(a, now);
	a->phase = HWT_PHASE_DRAIN;
	a->progress_at = now;
	if (!hwt_mode_generates(&a->o))
		a->phase = HWT_PHASE_DONE;
}

static void
app_command(struct hwt_app *a, const char *line, uint64_t now)
{
	uint64_t rate;
	json_t *j;

	if (strcmp(line, "start") == 0) {
		app_start(a, now);
	} else if (strcmp(line, "stop") == 0) {
		app_stop(a, now);
	} else if (strcmp(line, "quit") == 0) {
		app_end(a, now);
	} else if (strcmp(line, "reset") == 0) {
		hwt_engine_reset(&a->engine);
		a->reset_wanted = true;
	} else if (strcmp(line, "report") == 0) {
		j = hwt_report_totals(&a->report, now, false);
		(void)hwt_report_write("-", j);
		json_decref(j);
	} else if (strncmp(line, "rate ", 5) == 0 && hwt_parse_rate(line + 5, &rate)) {
		hwt_engine_rate(&a->engine, rate);
	} else if (*line != '\0') {
		fprintf(stderr,
			"highway-traffic: command \"%s\" is unknown; give start, stop, rate PPS, "
			"reset, report or quit.\n",
			line);
	}
}

/* Obey the whole lines there are, but none before a reset is done. */
static void
app_lines(struct hwt_app *a)
{
	char *end;

	while (!a->reset_wanted && (end = memchr(a->input, '\n', a->input_len)) != NULL) {
		size_t used = (size_t)(end - a->input) + 1;

		*end = '\0';
		if (end > a->input && end[-1] == '\r')
			end[-1] = '\0';
		app_command(a, a->input, rte_rdtsc());
		a->input_len -= used;
		memmove(a->input, a->input + used, a->input_len);
	}
}

/* Take what standard input has; its end is like "quit". */
static void
app_input(struct hwt_app *a, int timeout_ms)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	ssize_t n;

	app_lines(a);
	if (a->input_len == sizeof(a->input))
		a->input_len = 0; /* a line nobody would write */
	if (a->input_end && !a->reset_wanted)
		app_end(a, rte_rdtsc());
	if (a->input_end || a->reset_wanted || poll(&in, 1, timeout_ms) <= 0)
		return;
	n = read(STDIN_FILENO, a->input + a->input_len, sizeof(a->input) - a->input_len);
	if (n > 0)
		a->input_len += (size_t)n;
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		a->input_end = true;
	app_lines(a);
}

static uint64_t
ms_cycles(const struct hwt_app *a, uint64_t ms)
{
	return a->hz * ms / 1000;
}

/* Has the run come to its end by itself? */
static void
app_limits(struct hwt_app *a, uint64_t now)
{
	bool over = a->o.duration > 0 && !a->idle &&
		    (double)(int64_t)(now - a->started) >= a->o.duration * (double)a->hz;
	struct hwt_totals t;

	if (!a->idle && hwt_mode_generates(&a->o) && hwt_engine_finished(&a->engine))
		over = true;
	if (!hwt_mode_generates(&a->o) && a->o.count > 0) {
		hwt_engine_totals(&a->engine, &t);
		over |= t.c.rx_packets - t.c.foreign >= a->o.count;
	}
	if (over)
		app_end(a, now);
}

static void
app_drain(struct hwt_app *a, uint64_t now)
{
	struct hwt_totals t;
	uint64_t moved;

	hwt_engine_totals(&a->engine, &t);
	moved = t.c.tx_packets + t.c.rx_packets;
	if (moved != a->progress) {
		a->progress = moved;
		a->progress_at = now;
	}
	/* A peer may still be reading, so that only a check ends it early. */
	if (a->o.mode == HWT_MODE_GENSINK && t.own_exact && hwt_engine_finished(&a->engine) &&
	    t.own_arrived >= t.own_sent)
		a->phase = HWT_PHASE_DONE;
	if (now - a->progress_at >= ms_cycles(a, a->o.drain_ms))
		a->phase = HWT_PHASE_DONE;
}

/* Look after everything but the packets; on the main lcore. */
static void
app_watch(void *arg, uint64_t now)
{
	struct hwt_app *a = arg;
	double interval = a->o.interval > 0 ? a->o.interval : 1;

	if (hwt_signal != 0)
		app_end(a, now);
	if (a->reset_wanted && hwt_engine_reset_done(&a->engine)) {
		a->reset_wanted = false;
		hwt_report_reset(&a->report, now);
		a->next_interval = now + (uint64_t)(interval * (double)a->hz);
	}
	if (a->phase == HWT_PHASE_RUN)
		app_limits(a, now);
	if (a->phase == HWT_PHASE_DRAIN)
		app_drain(a, now);
	if (now >= a->next_interval && !a->reset_wanted) {
		if (a->o.interval > 0 || a->o.stats_file != NULL || a->o.intervals)
			hwt_report_interval(&a->report, now);
		a->next_interval += (uint64_t)(interval * (double)a->hz);
		if (a->next_interval <= now)
			a->next_interval = now + (uint64_t)(interval * (double)a->hz);
	}
	if (a->phase == HWT_PHASE_DONE)
		hwt_engine_quit(&a->engine);
}

/* The same where a worker runs on the main lcore: never wait. */
static void
app_aside(void *arg, uint64_t now)
{
	struct hwt_app *a = arg;

	if (a->o.stdin_control)
		app_input(a, 0);
	app_watch(a, now);
}

static bool
app_link_wait(struct hwt_app *a)
{
	uint64_t deadline = rte_rdtsc() + (uint64_t)(a->o.link_wait * (double)a->hz);
	uint16_t port = 0;

	while (!hwt_ports_link_up(&a->ports, &port)) {
		if (hwt_signal != 0)
			return true;
		if (rte_rdtsc() >= deadline) {
			fprintf(stderr,
				"highway-traffic: the link of port %u did not come up in %g "
				"seconds; start its peer, or wait longer with --link-wait.\n",
				port, a->o.link_wait);
			return false;
		}
		usleep(1000);
	}
	return true;
}

static void
app_run(struct hwt_app *a)
{
	struct hwt_engine *e = &a->engine;
	unsigned int lcore, n = 0;
	uint64_t now = rte_rdtsc();

	hwt_report_reset(&a->report, now);
	a->next_interval =
		now + (uint64_t)((a->o.interval > 0 ? a->o.interval : 1) * (double)a->hz);
	a->idle = true;
	a->started = now;
	fprintf(a->report.text, "ready\n");
	fflush(a->report.text);
	if (!a->o.hold)
		app_start(a, now);

	if (rte_lcore_count() == 1) {
		e->workers[0].aside = app_aside;
		e->workers[0].aside_arg = a;
		hwt_worker_run(&e->workers[0]);
		return;
	}
	RTE_LCORE_FOREACH_WORKER (lcore) {
		if (n < e->nb_workers)
			rte_eal_remote_launch(hwt_worker_run, &e->workers[n++], lcore);
	}
	while (a->phase != HWT_PHASE_DONE) {
		if (a->o.stdin_control)
			app_input(a, HWT_WATCH_MS);
		if (!a->o.stdin_control || a->input_end || a->reset_wanted)
			usleep(HWT_WATCH_MS * 1000);
		app_watch(a, rte_rdtsc());
	}
	rte_eal_mp_wait_lcore();
}

static int
app_result(struct hwt_app *a)
{
	uint64_t now = rte_rdtsc();
	int status = HWT_EXIT_OK;
	json_t *j;

	if (a->o.stats_file != NULL)
		hwt_report_interval(&a->report, now);
	hwt_report_summary(&a->report, now);
	if (a->o.json != NULL) {
		j = hwt_report_totals(&a->report, now, true);
		if (!hwt_report_write(a->o.json, j))
			status = HWT_EXIT_SETUP;
		json_decref(j);
	}
	if (a->o.expect_clean && !hwt_report_clean(&a->report))
		status = HWT_EXIT_UNCLEAN;
	return status;
}

static int
app_main(struct hwt_app *a)
{
	unsigned int workers = rte_lcore_count() > 1 ? rte_lcore_count() - 1 : 1;
	int status = HWT_EXIT_SETUP;

	a->hz = rte_get_tsc_hz();
	if (hwt_ports_open(&a->ports, &a->o, workers, &hwt_signal)) {
		if (app_link_wait(a) &&
		    hwt_engine_create(&a->engine, &a->o, a->ports.pool, workers)) {
			if (hwt_report_open(&a->report, &a->o, &a->engine, &a->ports)) {
				app_run(a);
				status = app_result(a);
			}
			hwt_report_close(&a->report);
		}
		hwt_engine_free(&a->engine);
	}
	hwt_ports_close(&a->ports);
	return status;
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	static struct hwt_app app;
	int eal_argc = argc, i, status;

	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			eal_argc = i;
			break;
		}
	}
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		hwt_options_usage();
		return HWT_EXIT_OK;
	}
	/* Ours first: a typing error needs no EAL. */
	if (!hwt_options_parse(&app.o, RTE_MAX(argc - eal_argc, 1),
			       eal_argc < argc ? argv + eal_argc : argv))
		return HWT_EXIT_USAGE;
	app.o.argv = calloc((size_t)argc + 1, sizeof(*argv));
	if (app.o.argv == NULL)
		return HWT_EXIT_SETUP;
	app.o.argc = argc;
	memcpy(app.o.argv, argv, (size_t)argc * sizeof(*argv));

	/* getopt of EAL begins anew. */
	optind = 1;
	if (rte_eal_init(eal_argc, argv) < 0) {
		fprintf(stderr,
			"highway-traffic: EAL does not start (%s); check the arguments before the "
			"--.\n",
			rte_strerror(rte_errno));
		return HWT_EXIT_SETUP;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);

	status = app_main(&app);
	rte_eal_cleanup();
	free(app.o.argv);
	return status;
}
