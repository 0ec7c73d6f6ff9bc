/* SPDX-License-Identifier: BSD-3-Clause */
/* agent/detector: rules of one and of several tables, and their actions. */
#include "detector_support.h"

/* --- the deciding rule ------------------------------------------------------------------ */

static void
a_rule_on_the_port_alone_is_a_link(void **state)
{
	(void)state;
	flow("in_port=1,actions=output:2");
	expect_link(1, 2);
	expect_none(2, "table 0: no rule takes p2's packets");
}

static void
a_rule_that_matches_everything_is_a_link_for_every_port(void **state)
{
	(void)state;
	flow("actions=output:2");
	expect_link(1, 2);
	expect_link(3, 2);
}

static void
a_proof_names_the_rules_of_its_path(void **state)
{
	(void)state;
	flow("cookie=0x5,priority=100,in_port=1,actions=goto_table:3");
	flow("cookie=0x6,table=3,actions=output:2");
	assert_string_equal(explain(1), "p1 to p2 by table 0: priority=100,cookie=0x5,in_port=p1; "
					"table 3: priority=32768,cookie=0x6");
}

static void
a_narrower_rule_above_ends_the_proof(void **state)
{
	(void)state;
	flow("priority=10,in_port=1,actions=output:2");
	flow("cookie=0x5,priority=65000,tcp,tp_dst=80,actions=output:2");
	expect_none(1,
		    "table 0: priority=65000,cookie=0x5,tcp,tp_dst=80 takes some of p1's packets "
		    "away");
}

static void
a_narrower_rule_below_does_not_disturb(void **state)
{
	(void)state;
	flow("priority=10,in_port=1,actions=output:2");
	flow("priority=9,in_port=1,tcp,tp_dst=80,actions=drop");
	expect_link(1, 2);
}

static void
a_rule_on_another_port_does_not_disturb(void **state)
{
	(void)state;
	flow("priority=10,in_port=1,actions=output:2");
	flow("priority=11,in_port=2,actions=output:1");
	flow("priority=12,in_port=3,udp,actions=drop");
	expect_link(1, 2);
	expect_link(2, 1);
}

static void
a_rule_on_values_that_the_packet_cannot_have_does_not_disturb(void **state)
{
	(void)state;
	flow("priority=10,in_port=1,actions=output:2");
	flow("priority=11,in_port=1,metadata=5,actions=drop");
	flow("priority=11,reg3=7,actions=drop");
	flow("priority=11,tun_id=9,actions=drop");
	flow("priority=11,ct_state=+trk+est,ip,actions=drop");
	flow("priority=11,conj_id=3,actions=drop");
	flow("priority=11,pkt_mark=3,actions=drop");
	expect_link(1, 2);
}

static void
a_rule_on_values_that_the_packet_must_have_decides(void **state)
{
	(void)state;
	flow("priority=10,in_port=1,actions=output:2");
	flow("priority=11,metadata=0,reg0=0,actions=output:3");
	expect_link(1, 3);
}

static void
the_highest_of_many_priorities_decides(void **state)
{
	(void)state;
	for (int priority = 1; priority <= 1000; priority++) {
		char *rule = xasprintf("priority=%d,in_port=1,vlan_tci=%d,actions=drop", priority,
				       priority);

		flow(rule);
		free(rule);
	}
	flow("priority=1001,in_port=1,actions=output:2");
	expect_link(1, 2);
	delete_flow("priority=1001,in_port=1");
	flow("priority=999,in_port=1,actions=output:2");
	assert_non_null(strstr(explain(1), "priority=1000,"));
	delete_flow("priority=1000,in_port=1,vlan_tci=1000");
	assert_non_null(strstr(explain(1), "priority=999,"));
	delete_flow("priority=999,in_port=1,vlan_tci=999");
	expect_link(1, 2);
}

static void
a_second_rule_of_the_same_priority_ends_the_proof(void **state)
{
	(void)state;
	flow("priority=10,in_port=1,actions=output:2");
	flow("priority=10,reg0=0,actions=output:2");
	assert_false(hwy_detector_verdict(bridge, u16_to_ofp(1))->p2p);
	assert_non_null(
		strstr(explain(1), "have the same priority, and p1's packets can match both"));
	delete_flow("priority=10,reg0=0");
	expect_link(1, 2);
	/* Of the same bucket of the index, too. */
	flow("priority=10,in_port=1,udp,actions=output:2");
	assert_false(hwy_detector_verdict(bridge, u16_to_ofp(1))->p2p);
	delete_flow("priority=10,in_port=1,udp");
	/* One that cannot match is no matter. */
	flow("priority=10,in_port=3,actions=output:4");
	flow("priority=10,reg0=1,actions=output:4");
	expect_link(1, 2);
}

static void
without_a_rule_there_is_no_proof(void **state)
{
	(void)state;
	expect_none(1, "table 0: no rule takes p1's packets");
	flow("in_port=1,actions=goto_table:7");
	expect_none(1, "table 7: no rule takes p1's packets, sent there by table 0: "
		       "priority=32768,cookie=0x0,in_port=p1");
}

static void
a_conjunction_ends_the_proof(void **state)
{
	(void)state;
	flow("priority=10,in_port=1,actions=output:2");
	flow("priority=11,ip,nw_src=10.0.0.1,actions=conjunction(1,1/2)");
	expect_none(1, "table 0: priority=11,cookie=0x0,ip,nw_src=10.0.0.1 takes some of p1's "
		       "packets away");
}

/* --- tables ----------------------------------------------------------------------------- */

static void
goto_table_is_followed(void **state)
{
	(void)state;
	flow("in_port=1,actions=goto_table:1");
	flow("table=1,actions=goto_table:200");
	flow("table=200,in_port=1,actions=output:2");
	expect_link(1, 2);
	flow("table=1,priority=40000,arp,actions=drop");
	expect_none(1, "table 1: priority=40000,cookie=0x0,arp takes some of p1's packets away");
}

static void
a_resubmit_comes_back(void **state)
{
	(void)state;
	flow("in_port=1,actions=resubmit(,1),resubmit(,2)");
	flow("table=1,actions=load:5->NXM_NX_REG0[]");
	flow("table=2,reg0=5,actions=output:2");
	expect_link(1, 2);
}

static void
a_resubmit_that_finds_no_rule_goes_on(void **state)
{
	(void)state;
	flow("in_port=1,actions=resubmit(,1),output:2");
	expect_link(1, 2);
	flow("table=1,in_port=1,dl_type=0x806,actions=drop");
	expect_none(1,
		    "table 1: priority=32768,cookie=0x0,arp,in_port=p1 takes some of p1's packets "
		    "away");
}

static void
a_resubmit_looks_up_with_another_port_and_then_forgets_it(void **state)
{
	(void)state;
	flow("in_port=1,actions=resubmit(5,1)");
	flow("table=1,in_port=1,actions=drop");
	flow("table=1,in_port=5,actions=goto_table:2");
	flow("table=2,in_port=5,actions=drop");
	flow("table=2,in_port=1,actions=output:5");
	expect_link(1, 5);
}

static void
a_resubmit_to_the_same_table_names_only_a_port(void **state)
{
	(void)state;
	flow("in_port=1,actions=resubmit:7");
	flow("in_port=7,actions=output:2");
	expect_link(1, 2);
	expect_link(7, 2);
}

static void
a_loop_of_resubmits_is_no_proof(void **state)
{
	(void)state;
	flow("in_port=1,actions=resubmit(,0)");
	expect_none(1, "table 0: priority=32768,cookie=0x0,in_port=p1 nests tables and groups too "
		       "deep, or follows too many");
}

static void
resubmits_nest_as_deep_as_the_switch_allows(void **state)
{
	/* From table 100 downwards each resubmit counts: 64 of them are too many. */
	(void)state;
	flow("in_port=1,actions=resubmit(,100)");
	for (int table = 100; table > 100 - 63; table--) {
		char *rule = xasprintf("table=%d,actions=resubmit(,%d)", table, table - 1);

		flow(rule);
		free(rule);
	}
	flow("table=37,actions=output:2");
	expect_link(1, 2);
	flow("table=37,actions=resubmit(,36)");
	flow("table=36,actions=resubmit(,35)");
	flow("table=35,actions=output:2");
	assert_non_null(strstr(explain(1), "too deep"));
}

static void
goto_table_does_not_nest(void **state)
{
	(void)state;
	for (int table = 0; table < 253; table++) {
		char *rule = xasprintf("table=%d,actions=goto_table:%d", table, table + 1);

		flow(rule);
		free(rule);
	}
	flow("table=253,actions=output:2");
	expect_link(1, 2);
}

static void
an_avalanche_of_resubmits_is_no_proof(void **state)
{
	(void)state;
	for (int table = 0; table < 20; table++) {
		char *rule = xasprintf("table=%d,actions=resubmit(,%d),resubmit(,%d)", table,
				       table + 1, table + 1);

		flow(rule);
		free(rule);
	}
	assert_non_null(strstr(explain(1), "follows too many"));
}

static void
the_switch_s_own_table_is_not_entered(void **state)
{
	(void)state;
	flow("in_port=1,actions=resubmit(,254),output:2");
	expect_none(1, "table 0: priority=32768,cookie=0x0,in_port=p1 leads to table 254, which is "
		       "the switch's own");
}

/* --- metadata and registers ------------------------------------------------------------- */

static void
write_metadata_is_followed(void **state)
{
	(void)state;
	flow("in_port=1,actions=write_metadata:0x12/0xff,goto_table:1");
	flow("table=1,priority=2,metadata=0x13,actions=drop");
	flow("table=1,priority=1,metadata=0x12,actions=output:2");
	expect_link(1, 2);
}

static void
loads_of_parts_of_a_register_are_followed(void **state)
{
	(void)state;
	flow("in_port=1,actions=load:0xab->NXM_NX_REG1[8..15],set_field:0x3/"
	     "0xf->reg1,resubmit(,1)");
	flow("table=1,priority=2,reg1=0xab00,actions=drop");
	flow("table=1,priority=1,reg1=0xab03,actions=output:2");
	expect_link(1, 2);
}

static void
wide_registers_are_made_of_narrow_ones(void **state)
{
	(void)state;
	flow("in_port=1,actions=set_field:0x1122334455667788->xreg1,resubmit(,1)");
	flow("table=1,reg2=0x11223344,reg3=0x55667788,actions=set_field:0x5->xxreg1,resubmit(,2)");
	flow("table=2,reg4=0,reg7=5,xreg1=0x1122334455667788,actions=output:2");
	flow("table=2,priority=40000,reg7=4,actions=drop");
	flow("table=2,priority=40000,xxreg1=0x10000000000000005,actions=drop");
	expect_link(1, 2);
}

static void
a_register_keeps_what_is_moved_into_it(void **state)
{
	(void)state;
	flow("in_port=1,actions=move:NXM_OF_IN_PORT[]->NXM_NX_REG0[16..31],resubmit(,1)");
	flow("table=1,reg0=0x10000,actions=output:2");
	expect_link(1, 2);
}

static void
a_register_with_a_part_of_the_packet_is_not_known(void **state)
{
	(void)state;
	flow("in_port=1,actions=move:NXM_OF_ETH_TYPE[]->NXM_NX_REG0[0..15],resubmit(,1)");
	flow("table=1,priority=2,reg0=0x800,actions=drop");
	flow("table=1,priority=1,actions=output:2");
	expect_none(1, "table 1: priority=2,cookie=0x0,reg0=0x800 takes some of p1's packets away");
	/* Its other half is known still. */
	delete_flow("table=1,priority=2,reg0=0x800");
	flow("table=1,priority=2,reg0=0x10000/0xffff0000,actions=drop");
	expect_link(1, 2);
	/* And when it is written to, all of it. */
	flow("in_port=1,actions=move:NXM_OF_ETH_TYPE[]->NXM_NX_REG0[0..15],load:0->NXM_NX_REG0[],"
	     "resubmit(,1)");
	flow("table=1,priority=2,reg0=0x800,actions=drop");
	expect_link(1, 2);
}

static void
very_many_rules_on_an_unknown_value_are_given_up(void **state)
{
	(void)state;
	flow("in_port=1,actions=move:NXM_OF_ETH_TYPE[]->NXM_NX_REG0[0..15],resubmit(,1)");
	flow("table=1,priority=40000,actions=output:2");
	for (int i = 0; i < 200; i++) {
		char *rule = xasprintf("table=1,reg0=%d,actions=drop", i);

		flow(rule);
		free(rule);
	}
	assert_false(hwy_detector_verdict(bridge, u16_to_ofp(1))->p2p);
	assert_non_null(strstr(explain(1), "too many rules look at values that are not known"));
}

static void
output_to_a_register_needs_its_value(void **state)
{
	(void)state;
	flow("in_port=1,actions=load:2->NXM_NX_REG0[],output:NXM_NX_REG0[]");
	expect_link(1, 2);
	flow("in_port=1,actions=move:NXM_OF_VLAN_TCI[0..11]->NXM_NX_REG0[0..11],output:NXM_NX_REG0["
	     "]");
	expect_none(1,
		    "table 0: priority=32768,cookie=0x0,in_port=p1 outputs to a port that depends "
		    "on the packet");
	flow("in_port=1,actions=output:NXM_OF_ETH_TYPE[]");
	assert_non_null(strstr(explain(1), "depends on the packet"));
}

static void
a_written_input_port_is_followed(void **state)
{
	(void)state;
	flow("in_port=1,actions=set_field:3->in_port,goto_table:1");
	flow("table=1,in_port=1,actions=drop");
	flow("table=1,in_port=3,actions=output:2");
	expect_link(1, 2);
	/* What would go back to where it came from is no link, and no drop either. */
	flow("table=1,in_port=3,actions=output:1");
	assert_non_null(strstr(explain(1), "sends p1's packets back to it"));
}

static void
actset_output_is_not_known_once_actions_are_written(void **state)
{
	(void)state;
	flow("in_port=1,actions=write_actions(output:2),goto_table:1");
	flow("table=1,priority=2,actset_output=3,actions=drop");
	flow("table=1,priority=1,actions=note:00");
	assert_non_null(strstr(explain(1), "takes some of p1's packets away"));
	delete_flow("table=1,priority=2,actset_output=3");
	expect_link(1, 2);
}

/* --- action set ------------------------------------------------------------------------- */

static void
written_actions_are_executed_at_the_end(void **state)
{
	(void)state;
	flow("in_port=1,actions=write_actions(output:3),goto_table:1");
	flow("table=1,actions=write_actions(output:2)");
	expect_link(1, 2);
}

static void
cleared_actions_are_not_executed(void **state)
{
	(void)state;
	flow("in_port=1,actions=write_actions(output:3),goto_table:1");
	flow("table=1,actions=clear_actions");
	expect_none(1, "table 1: priority=32768,cookie=0x0 drops p1's packets");
	flow("table=1,actions=output:2,clear_actions");
	expect_link(1, 2);
}

static void
an_output_beside_that_of_the_action_set_is_a_second_one(void **state)
{
	(void)state;
	flow("in_port=1,actions=output:2,write_actions(output:3)");
	expect_none(1,
		    "table 0: priority=32768,cookie=0x0,in_port=p1 sends p1's packets to a second "
		    "port");
}

static void
written_actions_that_modify_end_the_proof(void **state)
{
	(void)state;
	flow("in_port=1,actions=write_actions(dec_ttl,output:2)");
	expect_none(1,
		    "table 0: priority=32768,cookie=0x0,in_port=p1 has the action dec_ttl, which "
		    "is not followed");
}

static void
a_group_in_the_action_set_goes_before_an_output(void **state)
{
	(void)state;
	group("group_id=1,type=indirect,bucket=output:4");
	flow("in_port=1,actions=write_actions(group:1,output:2)");
	expect_link(1, 4);
}

/* --- output ----------------------------------------------------------------------------- */

static void
a_drop_is_no_link(void **state)
{
	(void)state;
	flow("in_port=1,actions=drop");
	expect_none(1, "table 0: priority=32768,cookie=0x0,in_port=p1 drops p1's packets");
}

static void
an_output_to_the_input_port_sends_nothing(void **state)
{
	(void)state;
	flow("actions=output:1");
	expect_none(1, "table 0: priority=32768,cookie=0x0 sends p1's packets back to it");
	expect_link(2, 1);
	flow("actions=output:1,output:2");
	expect_link(1, 2);
	expect_link(2, 1);
	expect_none(3, "table 0: priority=32768,cookie=0x0 sends p3's packets to a second port");
}

static void
an_output_to_IN_PORT_is_no_link(void **state)
{
	(void)state;
	flow("in_port=1,actions=in_port");
	expect_none(1,
		    "table 0: priority=32768,cookie=0x0,in_port=p1 sends p1's packets back to it");
}

static void
the_same_port_twice_is_no_link(void **state)
{
	(void)state;
	flow("in_port=1,actions=output:2,output:2");
	assert_non_null(strstr(explain(1), "second port"));
}

static void
what_is_not_followed_ends_the_proof(void **state)
{
	static const char *const actions[] = {
		"normal",
		"flood",
		"all",
		"local",
		"controller",
		"output:2,controller",
		"set_queue:1,output:2",
		"enqueue(2,1)",
		"dec_ttl,output:2",
		"mod_vlan_vid:5,output:2",
		"strip_vlan,output:2",
		"push_vlan:0x8100,output:2",
		"push_mpls:0x8847,output:2",
		"mod_dl_dst:00:00:00:00:00:01,output:2",
		"set_field:00:00:00:00:00:01->eth_src,output:2",
		"load:1->NXM_NX_PKT_MARK[],output:2",
		"set_tunnel:5,output:2",
		"move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],output:2",
		"move:NXM_NX_REG0[0..15]->NXM_OF_IN_PORT[],output:2",
		"ct_clear,output:2",
		"learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]),output:2",
		"sample(probability=65535,collector_set_id=1),output:2",
		"meter:1,output:2",
		"clone(output:3),output:2",
		"bundle(eth_src,0,hrw,ofport,members:2,3)",
		"multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[]),output:2",
		"push:NXM_NX_REG0[],output:2",
		"exit",
		"fin_timeout(idle_timeout=10),output:2",
		"output(port=2,max_len=100)",
		"check_pkt_larger(100)->NXM_NX_REG0[0],output:2",
		"debug_slow,output:2",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		const struct hwy_verdict *verdict;
		char *rule = xasprintf("in_port=1,actions=%s", actions[i]);
		char *error = rules_add(bridge, rule);

		if (error) {
			fail_msg("%s: %s", rule, error);
		}
		verdict = hwy_detector_verdict(bridge, u16_to_ofp(1));
		if (verdict->p2p) {
			fail_msg("proven: %s", rule);
		}
		assert_true(strlen(explain(1)) > 20);
		free(rule);
	}
}

static void
notes_do_nothing(void **state)
{
	(void)state;
	flow("in_port=1,actions=note:01.02,output:2,note:03");
	expect_link(1, 2);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bridge_make, bridge_remove)
	const struct CMUnitTest tests[] = {
		TEST(a_rule_on_the_port_alone_is_a_link),
		TEST(a_rule_that_matches_everything_is_a_link_for_every_port),
		TEST(a_proof_names_the_rules_of_its_path),
		TEST(a_narrower_rule_above_ends_the_proof),
		TEST(a_narrower_rule_below_does_not_disturb),
		TEST(a_rule_on_another_port_does_not_disturb),
		TEST(a_rule_on_values_that_the_packet_cannot_have_does_not_disturb),
		TEST(a_rule_on_values_that_the_packet_must_have_decides),
		TEST(the_highest_of_many_priorities_decides),
		TEST(a_second_rule_of_the_same_priority_ends_the_proof),
		TEST(without_a_rule_there_is_no_proof),
		TEST(a_conjunction_ends_the_proof),
		TEST(goto_table_is_followed),
		TEST(a_resubmit_comes_back),
		TEST(a_resubmit_that_finds_no_rule_goes_on),
		TEST(a_resubmit_looks_up_with_another_port_and_then_forgets_it),
		TEST(a_resubmit_to_the_same_table_names_only_a_port),
		TEST(a_loop_of_resubmits_is_no_proof),
		TEST(resubmits_nest_as_deep_as_the_switch_allows),
		TEST(goto_table_does_not_nest),
		TEST(an_avalanche_of_resubmits_is_no_proof),
		TEST(the_switch_s_own_table_is_not_entered),
		TEST(write_metadata_is_followed),
		TEST(loads_of_parts_of_a_register_are_followed),
		TEST(wide_registers_are_made_of_narrow_ones),
		TEST(a_register_keeps_what_is_moved_into_it),
		TEST(a_register_with_a_part_of_the_packet_is_not_known),
		TEST(very_many_rules_on_an_unknown_value_are_given_up),
		TEST(output_to_a_register_needs_its_value),
		TEST(a_written_input_port_is_followed),
		TEST(actset_output_is_not_known_once_actions_are_written),
		TEST(written_actions_are_executed_at_the_end),
		TEST(cleared_actions_are_not_executed),
		TEST(an_output_beside_that_of_the_action_set_is_a_second_one),
		TEST(written_actions_that_modify_end_the_proof),
		TEST(a_group_in_the_action_set_goes_before_an_output),
		TEST(a_drop_is_no_link),
		TEST(an_output_to_the_input_port_sends_nothing),
		TEST(an_output_to_IN_PORT_is_no_link),
		TEST(the_same_port_twice_is_no_link),
		TEST(what_is_not_followed_ends_the_proof),
		TEST(notes_do_nothing),
	};

	return cmocka_run_group_tests_name("detector", tests, NULL, NULL);
}
