/* SPDX-License-Identifier: BSD-3-Clause */
/* highwayctl: the command line. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "highwayctl.h"

#define MAX_INTERVAL_S 86400.0

int
hwy_complain(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("highwayctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return HWY_EXIT_FAILED;
}

int
hwy_misused(const char *format, ...)
{
	va_list args;

	fputs("highwayctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("; see highwayctl --help\n", stderr);
	return HWY_EXIT_USAGE;
}

void
hwy_sleep(double seconds)
{
	struct timespec nap = {.tv_sec = (time_t)seconds};

	nap.tv_nsec = (long)((seconds - (double)nap.tv_sec) * 1e9);
	while (nanosleep(&nap, &nap) < 0 && errno == EINTR)
		continue;
}

enum { OPT_NO_WAIT = 256 };

static const struct option long_options[] = {
	{"dir", required_argument, NULL, 'd'},
	{"domain", required_argument, NULL, 'D'},
	{"interval", required_argument, NULL, 'i'},
	{"count", required_argument, NULL, 'n'},
	{"rates", no_argument, NULL, 'r'},
	{"json", no_argument, NULL, 'j'},
	{"no-wait", no_argument, NULL, OPT_NO_WAIT},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{"agent", required_argument, NULL, 'a'},
	{NULL, 0, NULL, 0},
};

static const struct command {
	const char *name;
	int (*run)(const struct hwy_options *options, int argc, char **argv);
	const char *takes; /* options, by their letter; 'w': --no-wait */
} commands[] = {
	{"show", hwy_cmd_show, "dDirj"},
	{"top", hwy_cmd_top, "dDin"},
	{"set", hwy_cmd_set, "dDw"},
	{"check", hwy_cmd_check, "dD"},
	{"qemu-args", hwy_cmd_qemu_args, "dD"},
	{"libvirt-xml", hwy_cmd_libvirt_xml, "dD"},
	{"explain", hwy_cmd_explain, "aj"},
	{"ports", hwy_cmd_ports, "aj"},
	{"links", hwy_cmd_links, "aj"},
	{"domains", hwy_cmd_domains, "aj"},
	{"bridges", hwy_cmd_bridges, "aj"},
	{"machines", hwy_cmd_machines, "aj"},
	{"events", hwy_cmd_events, "aj"},
	{"watch", hwy_cmd_watch, "ainj"},
	{"help", hwy_cmd_help, "dDa"},
};

static const struct command *
find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static int
parse_interval(const char *text, double *out)
{
	char *end;

	errno = 0;
	*out = strtod(text, &end);
	if (errno != 0 || end == text || *end != 0 || !isfinite(*out) || *out < 0.01 ||
	    *out > MAX_INTERVAL_S)
		return hwy_misused("--interval %s is not a number of seconds from 0.01 to %.0f",
				   text, MAX_INTERVAL_S);
	return HWY_EXIT_OK;
}

static int
parse_count(const char *text, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != 0 || text[0] == '-' || *out == 0)
		return hwy_misused("--count %s is not a number from 1 on", text);
	return HWY_EXIT_OK;
}

static int
add_dir(struct hwy_options *options, const char *dir)
{
	const char **dirs = reallocarray(options->dirs, options->n_dirs + 1, sizeof(dirs[0]));

	if (dirs == NULL)
		return hwy_complain("out of memory");
	options->dirs = dirs;
	if (dir[0] == 0)
		return hwy_misused("--dir names no folder");
	dirs[options->n_dirs++] = dir;
	return HWY_EXIT_OK;
}

struct given {
	bool help, version;
	char letters[32]; /* the options that a command may or may not take */
};

static int
parse_options(int argc, char **argv, struct hwy_options *options, struct given *given)
{
	int c, rc = HWY_EXIT_OK;

	while (rc == HWY_EXIT_OK &&
	       (c = getopt_long(argc, argv, "a:d:D:i:n:rjhV", long_options, NULL)) != -1) {
		char letter = (char)(c == OPT_NO_WAIT ? 'w' : c);

		switch (c) {
		case 'd':
			rc = add_dir(options, optarg);
			break;
		case 'D':
			options->domain = optarg;
			break;
		case 'a':
			options->agent = optarg;
			break;
		case 'i':
			rc = parse_interval(optarg, &options->interval_s);
			break;
		case 'n':
			rc = parse_count(optarg, &options->count);
			break;
		case 'r':
			options->rates = true;
			break;
		case 'j':
			options->json = true;
			break;
		case OPT_NO_WAIT:
			options->no_wait = true;
			break;
		case 'h':
			given->help = true;
			continue;
		case 'V':
			given->version = true;
			continue;
		default: /* getopt_long() has said what is wrong */
			fputs("highwayctl: see highwayctl --help\n", stderr);
			return HWY_EXIT_USAGE;
		}
		if (strchr(given->letters, letter) == NULL)
			given->letters[strlen(given->letters)] = letter;
	}
	return rc;
}

static int
refuse_option(const char *command, char letter)
{
	for (const struct option *o = long_options; o->name != NULL; o++) {
		if (o->val == letter || (o->val == OPT_NO_WAIT && letter == 'w'))
			return hwy_misused("%s takes no --%s", command, o->name);
	}
	return HWY_EXIT_USAGE;
}

static int
run(int argc, char **argv, struct hwy_options *options)
{
	const struct command *command;
	struct given given = {.help = false};
	size_t wrong;
	int rc = parse_options(argc, argv, options, &given);

	if (rc != HWY_EXIT_OK)
		return rc;
	if (given.version) {
		puts("highwayctl " HWY_VERSION);
		return HWY_EXIT_OK;
	}
	if (optind == argc) {
		hwy_help(given.help ? stdout : stderr, NULL);
		return given.help ? HWY_EXIT_OK : HWY_EXIT_USAGE;
	}
	command = find_command(argv[optind]);
	if (command == NULL)
		return hwy_misused("there is no command '%s'", argv[optind]);
	if (given.help)
		return hwy_help(stdout, command->name) ? HWY_EXIT_OK : HWY_EXIT_FAILED;
	wrong = strspn(given.letters, command->takes);
	if (given.letters[wrong] != 0)
		return refuse_option(command->name, given.letters[wrong]);
	return command->run(options, argc - optind - 1, argv + optind + 1);
}

int
main(int argc, char **argv)
{
	struct hwy_options options = {.interval_s = 1};
	static char name[] = "highwayctl";
	int rc;

	if (argc > 0)
		argv[0] = name; /* getopt_long() starts its messages with it */
	rc = run(argc, argv, &options);
	free(options.dirs);
	if ((fflush(stdout) != 0 || ferror(stdout)) && rc != HWY_EXIT_USAGE)
		rc = hwy_complain("the output cannot be written: %s", strerror(errno));
	return rc;
}
