/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * highwayd: the agent of Highway's domains.
 *
 * One thread and one poll loop, as the daemons of the Open vSwitch family have it.  Each
 * round beats first: the host ends of the regions take us for dead after a second without.
 */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "bridge.h"
#include "command-line.h"
#include "daemon.h"
#include "dirs.h"
#include "domain.h"
#include "far.h"
#include "fatal-signal.h"
#include "journal.h"
#include "links.h"
#include "machines.h"
#include "metrics.h"
#include "notify.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "ovsdb.h"
#include "report.h"
#include "stream.h"
#include "timeline.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(highwayd);

/* Half of what is allowed: a round may take a while. */
#define BEAT_MS (HWY_AGENT_BEAT_MS / 2)

struct exit_request {
	bool exiting;
	bool restart;
};

OVS_NO_RETURN static void
usage(void)
{
	printf("%s: the agent of Highway's domains\n"
	       "usage: %s [OPTIONS] [DATABASE]\n"
	       "where DATABASE is a socket on which ovsdb-server is listening\n"
	       "      (default: \"unix:%s/db.sock\").\n",
	       program_name, program_name, ovs_rundir());
	daemon_usage();
	vlog_usage();
	printf("\nOther options:\n"
	       "  --unixctl=SOCKET        override default control socket name\n"
	       "  -h, --help              display this help message\n"
	       "  -V, --version           display version information\n");
	exit(EXIT_SUCCESS);
}

/* Returns the database's remote, to be freed. */
static char *
parse_options(int argc, char *argv[], char **unixctl_path)
{
	enum {
		OPT_UNIXCTL = UCHAR_MAX + 1,
		DAEMON_OPTION_ENUMS,
		VLOG_OPTION_ENUMS,
	};
	static const struct option long_options[] = {
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{"unixctl", required_argument, NULL, OPT_UNIXCTL},
		DAEMON_LONG_OPTIONS,
		VLOG_LONG_OPTIONS,
		{NULL, 0, NULL, 0},
	};
	char *short_options = ovs_cmdl_long_options_to_short_options(long_options);
	int c;

	while ((c = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		switch (c) {
		case 'h':
			usage();
		case 'V':
			printf("highwayd (Highway) %s, with libopenvswitch %s\n", HWY_VERSION,
			       VERSION);
			exit(EXIT_SUCCESS);
		case OPT_UNIXCTL:
			*unixctl_path = optarg;
			break;
			VLOG_OPTION_HANDLERS
			DAEMON_OPTION_HANDLERS
		default: /* getopt_long() has said what is wrong */
			exit(EXIT_FAILURE);
		}
	}
	free(short_options);
	if (argc - optind > 1)
		ovs_fatal(0, "'%s' is one argument too many: give at most one database",
			  argv[optind + 1]);
	return argc > optind ? xstrdup(argv[optind]) : xasprintf("unix:%s/db.sock", ovs_rundir());
}

static void
on_exit_command(struct unixctl_conn *conn, int argc, const char *argv[], void *request_)
{
	struct exit_request *request = request_;

	if (argc == 2 && strcmp(argv[1], "--restart") != 0) {
		unixctl_command_reply_error(conn, "exit takes nothing but --restart");
		return;
	}
	request->exiting = true;
	request->restart = argc == 2;
	unixctl_command_reply(conn, NULL);
}

/* SIGTERM and the like: what is proven and permitted ends with us, at once. */
static void
on_signal(void *aux OVS_UNUSED)
{
	hwy_notify_exit();
	hwy_far_exit(false);
	hwy_domains_exit(false);
}

int
main(int argc, char *argv[])
{
	struct exit_request request = {.exiting = false};
	struct unixctl_server *unixctl;
	char *unixctl_path = NULL, *remote;

	ovs_set_program_name(argv[0], HWY_VERSION);
	ovs_cmdl_proctitle_init(argc, argv);
	service_start(&argc, &argv);
	remote = parse_options(argc, argv, &unixctl_path);
	if (stream_verify_name(remote) != 0)
		ovs_fatal(0, "%s is no database: write unix:SOCKET", remote);
	fatal_ignore_sigpipe();

	daemonize_start(false);
	if (unixctl_server_create(unixctl_path, &unixctl) != 0)
		exit(EXIT_FAILURE);
	unixctl_command_register("exit", "[--restart]", 0, 1, on_exit_command, &request);
	hwy_report_init();
	hwy_machines_init();
	hwy_timeline_init();
	hwy_ovsdb_init(remote);
	free(remote);
	fatal_signal_add_hook(on_signal, NULL, NULL, false);
	daemonize_complete();
	hwy_notify_init();

	while (!request.exiting) {
		hwy_domains_run();
		hwy_ovsdb_run();
		hwy_notify_run(hwy_ovsdb_known());
		hwy_machines_run();
		hwy_bridges_run();
		hwy_links_run();
		hwy_metrics_run();
		unixctl_server_run(unixctl);

		hwy_domains_wait();
		hwy_ovsdb_wait();
		hwy_notify_wait();
		hwy_machines_wait();
		hwy_bridges_wait();
		hwy_links_wait();
		hwy_metrics_wait();
		unixctl_server_wait(unixctl);
		poll_timer_wait(BEAT_MS);
		if (request.exiting)
			poll_immediate_wake();
		poll_block();
		if (should_service_stop())
			request.exiting = true;
	}
	hwy_notify_exit();
	hwy_far_exit(request.restart);
	hwy_machines_exit(request.restart);
	hwy_domains_exit(request.restart);
	hwy_ovsdb_exit();
	hwy_metrics_exit();
	hwy_journal_free();
	unixctl_server_destroy(unixctl);
	service_stop();
	ovsrcu_exit();
	return 0;
}
