/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/detector: what a flow-mod, with the verdicts that it changes, costs at 10^2 to 10^6
 * rules.  With the name of a file as its argument, it also writes the figures there, as JSON.
 */
#include "detector_support.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "packets.h"

#define SIZES 5
#define PORTS 16
#define OPS   2000
/* All of a rule: match, actions and the detector's own.  The index is to need less than this. */
#define MAX_BYTES_PER_RULE 600
/* From 10^3 to 10^6 rules a logarithm doubles; the rest is for caches and for a busy machine.
 * A cost that is linear in the number of rules grows by 1000. */
#define MAX_GROWTH (2 * 8)

static const char *json_path;

struct cost {
	size_t rules;
	double below_us[2], deciding_us[2], bytes; /* Medians and 99th percentiles. */
};

static double
cpu_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int
compare(const void *a_, const void *b_)
{
	const double *a = a_, *b = b_;

	return *a < *b ? -1 : *a > *b;
}

static void
percentiles(double *values, size_t n, double to[2])
{
	qsort(values, n, sizeof(*values), compare);
	to[0] = values[n / 2];
	to[1] = values[n * 99 / 100];
}

/* Rule 'i' of a big table: none of them is above those that decide. */
static void
background_match(size_t i, unsigned int *table_id, int *priority, struct match *match)
{
	struct eth_addr mac;

	match_init_catchall(match);
	eth_addr_from_uint64(i, &mac);
	*priority = (int)(i % 50000);
	*table_id = i & 1;
	switch (i & 3) {
	case 0: /* Packets of one port. */
		match_set_in_port(match, u16_to_ofp((uint16_t)(1 + i / 4 % PORTS)));
		match_set_dl_dst(match, mac);
		break;
	case 1: /* One value of the metadata each. */
		match_set_metadata(match, htonll(1000 + i));
		break;
	case 2: /* Packets of any port. */
		match_set_dl_type(match, htons(ETH_TYPE_IP));
		match_set_nw_dst(match, htonl((uint32_t)i));
		break;
	default: /* Packets of one tenant. */
		match_set_metadata(match, htonll(1 + i / 4 % PORTS));
		match_set_dl_src(match, mac);
		break;
	}
}

static void
add_background(size_t i)
{
	struct ofpact_output output = {.port = u16_to_ofp(3), .max_len = 0};
	unsigned int table_id;
	struct match match;
	int priority;

	ofpact_init(&output.ofpact, OFPACT_OUTPUT, sizeof(output));
	background_match(i, &table_id, &priority, &match);
	assert_int_equal(hwy_detector_rule_add(bridge, table_id, priority, htonll(i), &match,
					       &output.ofpact, sizeof(output)),
			 0);
}

static void
delete_background(size_t i)
{
	unsigned int table_id;
	struct match match;
	int priority;

	background_match(i, &table_id, &priority, &match);
	assert_int_equal(hwy_detector_rule_delete(bridge, table_id, priority, &match), 0);
}

static void
count_change(struct hwy_detector *detector, const struct hwy_verdict *before,
	     const struct hwy_verdict *now, void *aux)
{
	size_t *n = aux;

	(void)detector;
	(void)before;
	(void)now;
	++*n;
}

/* Flow-mods of rules that decide nothing: most of what a busy controller sends. */
static void
measure_below(size_t rules, double to[2])
{
	double values[OPS];

	for (size_t i = 0; i < OPS; i++) {
		size_t n = 0;
		double start = cpu_us();

		add_background(rules + i);
		hwy_detector_run(bridge, count_change, &n);
		delete_background(rules + i);
		hwy_detector_run(bridge, count_change, &n);
		values[i] = (cpu_us() - start) / 2;
		assert_int_equal(n, 0);
	}
	percentiles(values, OPS, to);
}

/* Flow-mods that take a proof away and give it back. */
static void
measure_deciding(double to[2])
{
	double values[OPS];
	struct match match;

	match_init_catchall(&match);
	match_set_metadata(&match, htonll(1));
	match_set_dl_type(&match, htons(ETH_TYPE_IP));
	match_set_nw_proto(&match, IPPROTO_TCP);
	for (size_t i = 0; i < OPS; i++) {
		size_t n = 0;
		double start = cpu_us();

		hwy_detector_rule_add(bridge, 1, 61000, 0, &match, NULL, 0);
		hwy_detector_run(bridge, count_change, &n);
		hwy_detector_rule_delete(bridge, 1, 61000, &match);
		hwy_detector_run(bridge, count_change, &n);
		values[i] = (cpu_us() - start) / 2;
		assert_int_equal(n, 2);
	}
	percentiles(values, OPS, to);
	expect_link(1, 2);
}

static void
write_json(const struct cost *costs)
{
	FILE *file = fopen(json_path, "w");

	if (!file) {
		fail_msg("%s: %s", json_path, ovs_strerror(errno));
		return;
	}
	fprintf(file, "[");
	for (size_t i = 0; i < SIZES; i++) {
		const struct cost *c = &costs[i];

		fprintf(file,
			"%s\n {\"rules\": %zu, \"flowmod_us\": {\"p50\": %.3f, \"p99\": %.3f}, "
			"\"deciding_flowmod_us\": {\"p50\": %.3f, \"p99\": %.3f}, "
			"\"bytes_per_rule\": %.0f}",
			i ? "," : "", c->rules, c->below_us[0], c->below_us[1], c->deciding_us[0],
			c->deciding_us[1], c->bytes);
	}
	fprintf(file, "\n]\n");
	fclose(file);
}

static void
a_flow_mod_costs_at_most_the_logarithm_of_the_number_of_rules(void **state)
{
	struct cost costs[SIZES];
	size_t done = 0;
	size_t before;

	(void)state;
	for (unsigned int i = 1; i <= PORTS; i++) {
		char *rules[] = {
			xasprintf(
				"priority=60000,in_port=%u,actions=write_metadata:%u,goto_table:1",
				i, i),
			xasprintf("table=1,priority=60000,metadata=%u,actions=output:%u", i,
				  i ^ 3)};

		port(i, UP);
		for (size_t j = 0; j < ARRAY_SIZE(rules); j++) {
			flow(rules[j]);
			free(rules[j]);
		}
	}
	expect_link(1, 2);
	changes();
	print_message("%10s %26s %26s %12s\n", "", "flow-mod below, us CPU",
		      "deciding flow-mod, us CPU", "bytes");
	print_message("%10s %13s%13s %13s%13s %12s\n", "rules", "p50", "p99", "p50", "p99",
		      "per rule");
	before = mallinfo2().uordblks;
	for (size_t s = 0, rules = 100; s < SIZES; s++, rules *= 10) {
		struct cost *c = &costs[s];

		for (; done < rules; done++) {
			add_background(done);
		}
		c->rules = rules;
		c->bytes = (double)(mallinfo2().uordblks - before) / (double)rules;
		measure_below(rules, c->below_us);
		measure_deciding(c->deciding_us);
		print_message("%10zu %13.2f%13.2f %13.2f%13.2f %12.0f\n", c->rules, c->below_us[0],
			      c->below_us[1], c->deciding_us[0], c->deciding_us[1], c->bytes);
	}
	if (json_path) {
		write_json(costs);
	}
	assert_true(costs[SIZES - 1].below_us[0] < MAX_GROWTH * costs[1].below_us[0]);
	assert_true(costs[SIZES - 1].deciding_us[0] < MAX_GROWTH * costs[1].deciding_us[0]);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* Theirs count nothing. */
	assert_true(costs[SIZES - 1].bytes > 0 && costs[SIZES - 1].bytes < MAX_BYTES_PER_RULE);
#endif
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_flow_mod_costs_at_most_the_logarithm_of_the_number_of_rules, bridge_make,
			bridge_remove),
	};

	json_path = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests_name("detector-scale", tests, NULL, NULL);
}
