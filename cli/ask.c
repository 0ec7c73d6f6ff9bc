/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * highwayctl explain, ports, links, domains, bridges, machines, events, watch: what highwayd knows.
 *
 * It is asked through ovs-appctl(8), which comes with every Open vSwitch and speaks the
 * protocol of its daemons: highwayd(8) is one of the family.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "highwayctl.h"

#define APPCTL       "ovs-appctl"
#define MAX_WORDS    8
#define WATCH_EVENTS "10"

extern char **environ;

static const char *
agent_of(const struct hwy_options *options)
{
	const char *agent = options->agent != NULL ? options->agent : getenv("HIGHWAY_AGENT");

	return agent != NULL && agent[0] != 0 ? agent : "highwayd";
}

/* Starts 'argv' with its standard error in a pipe, of which '*errors' is our end. */
static int
start(char *const argv[], pid_t *pid, FILE **errors)
{
	posix_spawn_file_actions_t actions;
	int fds[2], rc;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDERR_FILENO);
	rc = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	*errors = rc == 0 ? fdopen(fds[0], "r") : NULL;
	if (*errors == NULL) {
		close(fds[0]);
		return rc != 0 ? -rc : -errno;
	}
	return 0;
}

/* Passes on what highwayd complains of, or says that it does not answer. */
static void
complain(FILE *errors, const char *agent, bool failed)
{
	char *line = NULL, why[256] = "";
	size_t size = 0;
	bool answered = false;

	while (getline(&line, &size, errors) > 0) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, APPCTL ": ", strlen(APPCTL ": ")) == 0) {
			answered |= strstr(line, "server returned an error") != NULL;
			snprintf(why, sizeof(why), "%s", line + strlen(APPCTL ": "));
		} else if (failed && strstr(line, "|WARN|") == NULL && line[0] != 0) {
			hwy_complain("%s", line);
		}
	}
	free(line);
	if (failed && !answered)
		hwy_complain("highwayd does not answer: %s; start it, or name it or its socket "
			     "with --agent (now %s)",
			     why[0] != 0 ? why : "no reason given", agent);
}

static int
ask(const struct hwy_options *options, const char *const words[])
{
	const char *argv[MAX_WORDS + 5] = {APPCTL, "-t", agent_of(options)};
	size_t n = 3;
	FILE *errors;
	int rc, status;
	pid_t pid;

	for (size_t i = 0; i < MAX_WORDS && words[i] != NULL; i++)
		argv[n++] = words[i];
	if (options->json)
		argv[n++] = "--json";
	fflush(stdout);
	rc = start((char *const *)argv, &pid, &errors);
	if (rc < 0)
		return hwy_complain("%s cannot be run: %s; install Debian's package "
				    "openvswitch-common",
				    APPCTL, strerror(-rc));
	/* It says little on standard error, less than a pipe holds. */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	complain(errors, argv[2], status != 0);
	fclose(errors);
	return status == 0 ? HWY_EXIT_OK : HWY_EXIT_FAILED;
}

int
hwy_cmd_explain(const struct hwy_options *options, int argc, char **argv)
{
	if (argc != 1)
		return hwy_misused("explain takes the name of one port");
	return ask(options, (const char *const[]){"explain", argv[0], NULL});
}

int
hwy_cmd_events(const struct hwy_options *options, int argc, char **argv)
{
	if (argc > 1)
		return hwy_misused("events takes at most a number");
	return ask(options, (const char *const[]){"events", argc == 1 ? argv[0] : NULL, NULL});
}

#define COMMAND_WITHOUT_WORDS(name)                                                                \
	int hwy_cmd_##name(const struct hwy_options *options, int argc, char **argv)               \
	{                                                                                          \
		(void)argv;                                                                        \
		if (argc != 0)                                                                     \
			return hwy_misused(#name " takes no words");                               \
		return ask(options, (const char *const[]){#name, NULL});                           \
	}
COMMAND_WITHOUT_WORDS(ports)
COMMAND_WITHOUT_WORDS(links)
COMMAND_WITHOUT_WORDS(domains)
COMMAND_WITHOUT_WORDS(bridges)
COMMAND_WITHOUT_WORDS(machines)

static int
watch_once(const struct hwy_options *options, const char *port)
{
	int rc;

	if (port != NULL)
		return ask(options, (const char *const[]){"explain", port, NULL});
	rc = ask(options, (const char *const[]){"ports", NULL});
	puts("");
	if (rc == HWY_EXIT_OK)
		rc = ask(options, (const char *const[]){"links", NULL});
	puts("");
	if (rc == HWY_EXIT_OK)
		rc = ask(options, (const char *const[]){"events", WATCH_EVENTS, NULL});
	return rc;
}

int
hwy_cmd_watch(const struct hwy_options *options, int argc, char **argv)
{
	bool in_place = isatty(STDOUT_FILENO) && !options->json;
	int rc = HWY_EXIT_OK;

	if (argc > 1)
		return hwy_misused("watch takes at most the name of one port");
	for (unsigned long i = 0; rc == HWY_EXIT_OK; i++) {
		if (i > 0)
			hwy_sleep(options->interval_s);
		if (in_place)
			fputs("\033[H\033[2J", stdout);
		rc = watch_once(options, argc == 1 ? argv[0] : NULL);
		if (!in_place)
			puts("");
		if (options->count != 0 && i + 1 == options->count)
			break;
	}
	return rc;
}
