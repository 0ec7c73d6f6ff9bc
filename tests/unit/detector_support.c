/* SPDX-License-Identifier: BSD-3-Clause */
#include "detector_support.h"

struct hwy_detector *bridge;

static struct ds text = DS_EMPTY_INITIALIZER;

void
port(unsigned int number, unsigned int flags)
{
	char name[8];

	snprintf(name, sizeof(name), number == LAN ? "lan" : "p%u", number);
	hwy_detector_port_set(bridge, u16_to_ofp((uint16_t)number), name, flags);
}

static void
no_report(struct hwy_detector *detector, const struct hwy_verdict *before,
	  const struct hwy_verdict *now, void *aux)
{
	(void)detector;
	(void)before;
	(void)now;
	(void)aux;
}

int
bridge_make(void **state)
{
	(void)state;
	bridge = hwy_detector_create();
	for (unsigned int i = 1; i <= 8; i++) {
		port(i, UP);
	}
	port(LAN, HWY_PORT_LIVE);
	hwy_detector_run(bridge, no_report, NULL);
	return 0;
}

int
bridge_remove(void **state)
{
	(void)state;
	hwy_detector_destroy(bridge);
	ds_destroy(&text);
	ds_init(&text);
	return 0;
}

static void
right(char *error)
{
	if (error) {
		fail_msg("%s", error);
	}
}

void
flow(const char *rule)
{
	right(rules_add(bridge, rule));
}

void
delete_flow(const char *rule)
{
	right(rules_delete(bridge, rule));
}

void
group(const char *description)
{
	right(rules_group(bridge, description));
}

const char *
explain(unsigned int in_port)
{
	const struct hwy_verdict *verdict =
		hwy_detector_verdict(bridge, u16_to_ofp((uint16_t)in_port));

	ds_clear(&text);
	hwy_verdict_format(bridge, verdict, &text);
	return ds_cstr(&text);
}

void
expect_link_at(unsigned int x, unsigned int y, const char *file, int line)
{
	const struct hwy_verdict *verdict = hwy_detector_verdict(bridge, u16_to_ofp((uint16_t)x));

	if (!verdict->p2p || ofp_to_u16(verdict->out_port) != y) {
		print_error("%s:%d: p%u to p%u is not proven: %s\n", file, line, x, y, explain(x));
		_fail(file, line);
	}
}

void
expect_none_at(unsigned int x, const char *reason, const char *file, int line)
{
	const struct hwy_verdict *verdict = hwy_detector_verdict(bridge, u16_to_ofp((uint16_t)x));

	if (verdict->p2p || strcmp(explain(x), reason)) {
		print_error("%s:%d: not \"%s\" but: %s\n", file, line, reason, explain(x));
		_fail(file, line);
	}
}

static void
note_change(struct hwy_detector *detector, const struct hwy_verdict *before,
	    const struct hwy_verdict *now, void *aux)
{
	char number[16];
	struct ds *seen = aux;

	(void)before;
	ds_put_format(seen, "%s%s>", seen->length ? " " : "",
		      hwy_detector_port_name(detector, now->in_port, number));
	ds_put_cstr(seen, now->p2p ? hwy_detector_port_name(detector, now->out_port, number) : "-");
}

const char *
changes(void)
{
	ds_clear(&text);
	hwy_detector_run(bridge, note_change, &text);
	return ds_cstr(&text);
}
