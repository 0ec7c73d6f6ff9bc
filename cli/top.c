/* SPDX-License-Identifier: BSD-3-Clause */
/* highwayctl top: rates, again and again. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "highwayctl.h"

struct sample {
	struct hwy_snap **snaps;
	size_t n;
};

static void
sample_free(struct sample *sample)
{
	for (size_t i = 0; i < sample->n; i++)
		free(sample->snaps[i]);
	free(sample->snaps);
	memset(sample, 0, sizeof(*sample));
}

/* Looks for the regions each time: domains come and go. */
static int
sample_take(const struct hwy_options *options, bool quiet, struct sample *sample)
{
	struct hwy_found found;
	int rc = hwy_find(options, quiet, &found);

	memset(sample, 0, sizeof(*sample));
	if (rc != HWY_EXIT_OK)
		return rc;
	sample->snaps = calloc(found.n + 1, sizeof(sample->snaps[0]));
	if (sample->snaps == NULL)
		abort();
	for (size_t i = 0; i < found.n; i++) {
		sample->snaps[sample->n] = hwy_snap_take(found.regions[i], true);
		if (sample->snaps[sample->n] != NULL)
			sample->n++;
	}
	hwy_found_free(&found);
	return HWY_EXIT_OK;
}

/* The same region in an earlier sample, or NULL. */
static const struct hwy_snap *
earlier(const struct sample *before, const struct hwy_snap *s)
{
	for (size_t i = 0; i < before->n; i++) {
		if (strcmp(before->snaps[i]->path, s->path) == 0 &&
		    before->snaps[i]->geo.created_ns == s->geo.created_ns)
			return before->snaps[i];
	}
	return NULL;
}

static void
print_links(FILE *out, const struct hwy_snap *s, const struct hwy_snap *before)
{
	struct hwy_table t = {.n = 0};

	hwy_table_column(&t, "FROM");
	hwy_table_column(&t, "TO");
	hwy_table_column(&t, "STATE");
	hwy_table_column(&t, "CLASSES");
	hwy_table_column(&t, ">MPPS");
	hwy_table_column(&t, ">GBIT/S");
	for (uint32_t l = 0; l < HWY_MAX_LINKS; l++) {
		const struct hwy_snap_link *link = &s->links[l];
		struct hwy_rate rate;
		char *classes;

		if (link->state == HWY_LINK_FREE)
			continue;
		rate = hwy_rate_of_link(s, before, l);
		classes = hwy_words_of_link(s, link);
		hwy_table_cell(&t, "%s", hwy_snap_port_name(s, link->src));
		hwy_table_cell(&t, "%s", hwy_snap_port_name(s, link->dst));
		hwy_table_cell(&t, "%s", hwy_word_link_state(link->state));
		hwy_table_cell(&t, "%s", classes != NULL ? classes : "?");
		hwy_table_cell(&t, "%.3f", rate.pps / 1e6);
		hwy_table_cell(&t, "%.3f", rate.bps / 1e9);
		free(classes);
	}
	hwy_table_print(&t, out, "no links");
}

static void
print_ports(FILE *out, const struct hwy_snap *s, const struct hwy_snap *before)
{
	struct hwy_table t = {.n = 0};

	hwy_table_column(&t, "PORT");
	hwy_table_column(&t, "LINK");
	hwy_table_column(&t, "BYPASS");
	hwy_table_column(&t, ">SWITCH IN PPS");
	hwy_table_column(&t, ">SWITCH OUT PPS");
	hwy_table_column(&t, ">BYPASS IN PPS");
	hwy_table_column(&t, ">BYPASS OUT PPS");
	for (uint32_t p = 0; p < HWY_MAX_PORTS; p++) {
		const struct hwy_snap_port *port = &s->ports[p];
		struct hwy_port_rates rates;

		if (!port->used)
			continue;
		rates = hwy_rates_of_port(s, before, p);
		hwy_table_cell(&t, "%s", port->name);
		hwy_table_cell(&t, "%s", port->link_up ? "up" : "down");
		hwy_table_cell(&t, "%s", port->bypass_off || s->bypass_off ? "off" : "on");
		hwy_table_cell(&t, "%.0f", rates.switch_in.pps);
		hwy_table_cell(&t, "%.0f", rates.switch_out.pps);
		hwy_table_cell(&t, "%.0f", rates.bypass_in.pps);
		hwy_table_cell(&t, "%.0f", rates.bypass_out.pps);
	}
	hwy_table_print(&t, out, "no ports");
}

static void
print_sample(FILE *out, const struct sample *now, const struct sample *before)
{
	char clock[32] = "";
	time_t seconds = time(NULL);
	struct tm tm;

	if (localtime_r(&seconds, &tm) != NULL)
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fprintf(out, "highwayctl top, %s\n", clock);
	if (now->n == 0)
		fprintf(out, "no region any more\n");
	for (size_t i = 0; i < now->n; i++) {
		const struct hwy_snap *old = earlier(before, now->snaps[i]);

		fputc('\n', out);
		hwy_snap_follow(now->snaps[i], old);
		hwy_show_head(out, now->snaps[i], true);
		print_links(out, now->snaps[i], old);
		print_ports(out, now->snaps[i], old);
	}
}

/* Over what is on the screen, as much as it has room for. */
static void
redraw(const char *text)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row < 2 || size.ws_col < 2) {
		size.ws_row = 24;
		size.ws_col = 80;
	}
	fputs("\033[H", stdout);
	for (unsigned int row = 0; *text != 0 && row + 1 < size.ws_row; row++) {
		size_t length = strcspn(text, "\n");
		size_t shown = length < size.ws_col ? length : size.ws_col - 1u;

		printf("%.*s\033[K\n", (int)shown, text);
		text += length + (text[length] == '\n');
	}
	fputs("\033[J", stdout);
}

static int
print(const struct sample *now, const struct sample *before, bool first)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return hwy_complain("out of memory");
	print_sample(out, now, before);
	fclose(out);
	if (isatty(STDOUT_FILENO)) {
		if (first)
			fputs("\033[2J", stdout);
		redraw(text);
	} else {
		printf("%s%s", first ? "" : "\n", text);
	}
	free(text);
	if (fflush(stdout) != 0 || ferror(stdout))
		return HWY_EXIT_FAILED; /* main() says so */
	return HWY_EXIT_OK;
}

int
hwy_cmd_top(const struct hwy_options *options, int argc, char **argv)
{
	struct sample before, now;
	int rc;

	if (argc > 0)
		return hwy_misused("top takes no '%s': use --domain to choose a domain", argv[0]);
	rc = sample_take(options, false, &before);
	if (rc == HWY_EXIT_OK && before.n == 0)
		rc = hwy_found_nothing(options);
	for (unsigned long i = 0; rc == HWY_EXIT_OK && (options->count == 0 || i < options->count);
	     i++) {
		hwy_sleep(options->interval_s);
		rc = sample_take(options, true, &now);
		if (rc == HWY_EXIT_OK)
			rc = print(&now, &before, i == 0);
		sample_free(&before);
		before = now;
	}
	sample_free(&before);
	return rc;
}
