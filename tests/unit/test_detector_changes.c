/* SPDX-License-Identifier: BSD-3-Clause */
/* agent/detector: groups, ports, and what a change of them and of rules reports. */
#include "detector_support.h"

/* --- groups ----------------------------------------------------------------------------- */

static void
an_indirect_group_is_followed(void **state)
{
	(void)state;
	flow("in_port=1,actions=group:5");
	expect_none(1, "table 0: priority=32768,cookie=0x0,in_port=p1 by group 5, which does not "
		       "exist, drops them");
	group("group_id=5,type=indirect,bucket=output:2");
	expect_link(1, 2);
	assert_string_equal(explain(1),
			    "p1 to p2 by table 0: priority=32768,cookie=0x0,in_port=p1; "
			    "group 5");
}

static void
a_group_of_all_is_followed_into_all_its_buckets(void **state)
{
	(void)state;
	flow("in_port=1,actions=group:5");
	group("group_id=5,type=all,bucket=output:2");
	expect_link(1, 2);
	group("group_id=5,type=all,bucket=output:2,bucket=output:3");
	expect_none(1,
		    "table 0: priority=32768,cookie=0x0,in_port=p1 by group 5 sends p1's packets "
		    "to a second port");
	/* Each bucket has a copy of the packet and its metadata. */
	flow("table=1,reg0=7,actions=output:3");
	group("group_id=5,type=all,bucket=load:7->NXM_NX_REG0[],output:2,bucket=resubmit(,1)");
	expect_link(1, 2);
	group("group_id=5,type=all,bucket=output:1,bucket=output:3");
	expect_link(1, 3);
	group("group_id=5,type=all");
	expect_none(1, "table 0: priority=32768,cookie=0x0,in_port=p1 drops p1's packets");
}

static void
a_select_group_is_followed_if_one_bucket_lives_and_it_does_not_recirculate(void **state)
{
	(void)state;
	flow("in_port=1,actions=group:5");
	group("group_id=5,type=select,selection_method=hash,fields(eth_src),bucket=output:2");
	expect_link(1, 2);
	group("group_id=5,type=select,selection_method=hash,bucket=output:2,bucket=output:2");
	assert_non_null(strstr(explain(1), "selects among several live buckets"));
	group("group_id=5,type=select,selection_method=hash,bucket=weight:0,output:3,"
	      "bucket=watch_port:2,output:2,bucket=watch_port:3,output:3");
	assert_non_null(strstr(explain(1), "selects among several live buckets"));
	port(3, HWY_PORT_HIGHWAY | HWY_PORT_DOWN);
	expect_link(1, 2);
	port(3, HWY_PORT_HIGHWAY | HWY_PORT_LIVE);
	assert_non_null(strstr(explain(1), "selects among several live buckets"));
	group("group_id=5,type=select,bucket=output:2");
	assert_non_null(strstr(explain(1), "selects by dp_hash"));
	group("group_id=5,type=select,selection_method=hash,bucket=weight:0,output:2");
	assert_non_null(strstr(explain(1), "no bucket is live"));
}

static void
a_failover_group_is_followed_to_its_first_live_port(void **state)
{
	(void)state;
	flow("in_port=1,actions=group:5");
	group("group_id=5,type=ff,bucket=watch_port:2,output:2,bucket=watch_port:3,output:3");
	expect_link(1, 2);
	port(2, HWY_PORT_HIGHWAY | HWY_PORT_DOWN);
	expect_link(1, 3);
	port(3, HWY_PORT_HIGHWAY);
	expect_none(1,
		    "table 0: priority=32768,cookie=0x0,in_port=p1 by group 5, of which no bucket "
		    "is live, drops them");
	hwy_detector_port_delete(bridge, u16_to_ofp(3));
	assert_non_null(strstr(explain(1), "no bucket is live"));
	port(2, UP);
	expect_link(1, 2);
}

static void
a_failover_group_can_watch_a_group(void **state)
{
	(void)state;
	flow("in_port=1,actions=group:5");
	group("group_id=5,type=ff,bucket=watch_group:6,output:2,bucket=watch_port:3,output:3");
	expect_link(1, 3);
	group("group_id=6,type=ff,bucket=watch_port:4,output:4");
	expect_link(1, 2);
	port(4, HWY_PORT_HIGHWAY);
	expect_link(1, 3);
	port(4, UP);
	hwy_detector_group_delete(bridge, 6);
	expect_link(1, 3);
}

static void
groups_that_watch_each_other_are_no_proof(void **state)
{
	(void)state;
	flow("in_port=1,actions=group:5");
	group("group_id=5,type=ff,bucket=watch_group:6,output:2,bucket=watch_group:6,output:3");
	group("group_id=6,type=ff,bucket=watch_group:5,output:2,bucket=watch_group:5,output:3");
	assert_non_null(strstr(explain(1), "watches what is not known"));
}

static void
a_group_in_a_group_is_followed(void **state)
{
	(void)state;
	flow("in_port=1,actions=group:5");
	group("group_id=5,type=indirect,bucket=group:6");
	group("group_id=6,type=indirect,bucket=output:2");
	expect_link(1, 2);
	group("group_id=6,type=indirect,bucket=group:5");
	assert_non_null(strstr(explain(1), "too deep"));
}

static void
a_bucket_works_on_a_copy_of_the_registers(void **state)
{
	(void)state;
	flow("in_port=1,actions=load:1->NXM_NX_REG0[],group:5,resubmit(,1)");
	group("group_id=5,type=indirect,bucket=load:2->NXM_NX_REG0[],resubmit(,2)");
	flow("table=2,reg0=2,actions=note:00");
	flow("table=1,reg0=2,actions=drop");
	flow("table=1,reg0=1,actions=output:2");
	expect_link(1, 2);
}

static void
a_bucket_that_modifies_ends_the_proof(void **state)
{
	(void)state;
	flow("in_port=1,actions=group:5");
	group("group_id=5,type=indirect,bucket=set_field:00:00:00:00:00:01->eth_dst,output:2");
	expect_none(1, "table 0: priority=32768,cookie=0x0,in_port=p1 by group 5 writes the field "
		       "eth_dst");
}

static void
a_group_and_an_output_are_two(void **state)
{
	(void)state;
	group("group_id=5,type=indirect,bucket=output:2");
	flow("in_port=1,actions=group:5,output:3");
	assert_non_null(strstr(explain(1), "second port"));
}

/* --- ports ------------------------------------------------------------------------------ */

static void
only_highway_ports_have_links(void **state)
{
	(void)state;
	flow("in_port=1,actions=output:9");
	flow("in_port=9,actions=output:1");
	flow("in_port=2,actions=output:77");
	expect_none(1, "table 0: priority=32768,cookie=0x0,in_port=p1 sends to lan, which is no "
		       "highway port");
	expect_none(9, "lan is no highway port");
	expect_none(2, "table 0: priority=32768,cookie=0x0,in_port=p2 sends to port 77, which does "
		       "not exist");
	expect_none(77, "the bridge has no port 77");
}

static void
a_port_that_is_down_or_forbidden_has_no_links(void **state)
{
	(void)state;
	flow("in_port=1,actions=output:2");
	flow("in_port=2,actions=output:1");
	port(2, HWY_PORT_HIGHWAY | HWY_PORT_DOWN);
	expect_none(1, "table 0: priority=32768,cookie=0x0,in_port=p1 sends to p2, which is down");
	expect_none(2, "p2 is down");
	port(2, UP | HWY_PORT_NO_RECV);
	expect_link(1, 2);
	expect_none(2, "p2 is set no-receive");
	port(2, UP | HWY_PORT_NO_FWD);
	expect_none(1, "table 0: priority=32768,cookie=0x0,in_port=p1 sends to p2, which is set "
		       "no-forward");
	expect_link(2, 1);
	port(2, UP);
	expect_link(1, 2);
	expect_link(2, 1);
}

/* --- changes ---------------------------------------------------------------------------- */

static void
a_run_reports_what_changed_and_only_once(void **state)
{
	(void)state;
	assert_string_equal(changes(), "");
	flow("in_port=1,actions=output:2");
	assert_true(hwy_detector_is_dirty(bridge));
	assert_string_equal(changes(), "p1>p2");
	assert_false(hwy_detector_is_dirty(bridge));
	assert_string_equal(changes(), "");
	delete_flow("in_port=1");
	assert_string_equal(changes(), "p1>-");
}

static void
a_verdict_asked_for_is_reported_all_the_same(void **state)
{
	(void)state;
	flow("in_port=1,actions=output:2");
	expect_link(1, 2);
	assert_string_equal(changes(), "p1>p2");
}

static void
a_modified_rule_moves_the_link(void **state)
{
	(void)state;
	flow("in_port=1,actions=output:2");
	changes();
	flow("in_port=1,actions=output:3");
	assert_string_equal(changes(), "p1>p3");
	assert_int_equal(hwy_detector_n_rules(bridge), 1);
	/* Another cookie is another rule to an operator. */
	flow("cookie=0x7,in_port=1,actions=output:3");
	assert_string_equal(changes(), "p1>p3");
}

static void
what_is_known_already_is_no_change(void **state)
{
	(void)state;
	flow("cookie=0x7,in_port=1,actions=output:2");
	changes();
	flow("cookie=0x7,in_port=1,actions=output:2");
	port(1, UP);
	assert_false(hwy_detector_is_dirty(bridge));
}

static void
a_rule_that_cannot_matter_makes_no_work(void **state)
{
	(void)state;
	flow("priority=100,in_port=1,actions=goto_table:1");
	flow("priority=100,table=1,in_port=1,actions=output:2");
	for (unsigned int i = 2; i <= 8; i++) {
		char *rule = xasprintf("priority=100,in_port=%u,actions=output:1", i);

		flow(rule);
		free(rule);
	}
	changes();
	flow("priority=99,in_port=1,tcp,actions=drop");
	flow("priority=101,in_port=77,actions=drop");
	flow("priority=101,reg0=7,actions=drop");
	flow("priority=101,table=2,actions=drop");
	flow("priority=99,table=1,actions=drop");
	assert_false(hwy_detector_is_dirty(bridge));
	flow("priority=101,table=1,arp,actions=drop");
	assert_string_equal(changes(), "p1>-");
}

static void
a_run_reports_first_what_is_withdrawn(void **state)
{
	(void)state;
	flow("in_port=3,actions=output:4");
	changes();
	flow("in_port=1,actions=output:2");
	flow("in_port=2,actions=output:1");
	flow("in_port=3,actions=output:5");
	assert_string_equal(changes(), "p3>p5 p1>p2 p2>p1");
}

static void
a_flush_and_the_same_rules_again_are_no_change(void **state)
{
	(void)state;
	flow("cookie=0x9,in_port=1,actions=goto_table:1");
	flow("table=1,in_port=1,actions=output:2");
	changes();
	hwy_detector_flush(bridge);
	assert_int_equal(hwy_detector_n_rules(bridge), 0);
	flow("table=1,in_port=1,actions=output:2");
	flow("cookie=0x9,in_port=1,actions=goto_table:1");
	assert_string_equal(changes(), "");
	expect_link(1, 2);
	hwy_detector_flush(bridge);
	assert_string_equal(changes(), "p1>-");
}

static void
a_deleted_port_is_reported_and_forgotten(void **state)
{
	(void)state;
	flow("in_port=1,actions=output:2");
	flow("in_port=2,actions=output:1");
	changes();
	hwy_detector_port_delete(bridge, u16_to_ofp(2));
	expect_none(2, "the bridge has no port 2");
	/* In any order. */
	expect_none(1, "table 0: priority=32768,cookie=0x0,in_port=p1 sends to p2, which does not "
		       "exist");
	assert_int_equal(strlen(changes()), strlen("p1>- p2>-"));
	port(2, UP);
	assert_int_equal(strlen(changes()), strlen("p1>p2 p2>p1"));
	assert_string_equal(changes(), "");
	expect_link(1, 2);
	expect_link(2, 1);
}

static void
a_deleted_rule_can_still_be_named(void **state)
{
	(void)state;
	flow("cookie=0x9,priority=7,in_port=1,udp,actions=output:2");
	expect_none(1, "table 0: priority=7,cookie=0x9,udp,in_port=p1 takes some of p1's packets "
		       "away");
	delete_flow("priority=7,in_port=1,udp");
	expect_none(1, "table 0: no rule takes p1's packets");
	assert_string_equal(changes(), "");
}

static void
what_was_never_there_cannot_be_deleted(void **state)
{
	struct match match;

	(void)state;
	flow("priority=5,in_port=1,actions=output:2");
	match_init_catchall(&match);
	assert_int_equal(hwy_detector_rule_delete(bridge, 0, 5, &match), -ENOENT);
	match_set_in_port(&match, u16_to_ofp(1));
	assert_int_equal(hwy_detector_rule_delete(bridge, 1, 5, &match), -ENOENT);
	assert_int_equal(hwy_detector_rule_delete(bridge, 0, 6, &match), -ENOENT);
	assert_int_equal(hwy_detector_rule_delete(bridge, 0, 5, &match), 0);
	assert_int_equal(hwy_detector_rule_delete(bridge, 0, 5, &match), -ENOENT);
	hwy_detector_group_delete(bridge, 1);
	hwy_detector_port_delete(bridge, u16_to_ofp(77));
}

static void
tables_and_priorities_out_of_range_are_refused(void **state)
{
	struct match match;

	(void)state;
	match_init_catchall(&match);
	assert_int_equal(hwy_detector_rule_add(bridge, 255, 5, 0, &match, NULL, 0), -EINVAL);
	assert_int_equal(hwy_detector_rule_add(bridge, 0, 65536, 0, &match, NULL, 0), -EINVAL);
	assert_int_equal(hwy_detector_rule_add(bridge, 0, -1, 0, &match, NULL, 0), -EINVAL);
	assert_int_equal(hwy_detector_rule_add(bridge, 254, 65535, 0, &match, NULL, 0), 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bridge_make, bridge_remove)
	const struct CMUnitTest tests[] = {
		TEST(an_indirect_group_is_followed),
		TEST(a_group_of_all_is_followed_into_all_its_buckets),
		TEST(a_select_group_is_followed_if_one_bucket_lives_and_it_does_not_recirculate),
		TEST(a_failover_group_is_followed_to_its_first_live_port),
		TEST(a_failover_group_can_watch_a_group),
		TEST(groups_that_watch_each_other_are_no_proof),
		TEST(a_group_in_a_group_is_followed),
		TEST(a_bucket_works_on_a_copy_of_the_registers),
		TEST(a_bucket_that_modifies_ends_the_proof),
		TEST(a_group_and_an_output_are_two),
		TEST(only_highway_ports_have_links),
		TEST(a_port_that_is_down_or_forbidden_has_no_links),
		TEST(a_run_reports_what_changed_and_only_once),
		TEST(a_verdict_asked_for_is_reported_all_the_same),
		TEST(a_modified_rule_moves_the_link),
		TEST(what_is_known_already_is_no_change),
		TEST(a_rule_that_cannot_matter_makes_no_work),
		TEST(a_run_reports_first_what_is_withdrawn),
		TEST(a_flush_and_the_same_rules_again_are_no_change),
		TEST(a_deleted_port_is_reported_and_forgotten),
		TEST(a_deleted_rule_can_still_be_named),
		TEST(what_was_never_there_cannot_be_deleted),
		TEST(tables_and_priorities_out_of_range_are_refused),
	};

	return cmocka_run_group_tests_name("detector-changes", tests, NULL, NULL);
}
