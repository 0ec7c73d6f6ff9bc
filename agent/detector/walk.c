/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The walk of one port's packets through the pipeline.  The order in which things happen, and
 * what is restored after them, follows do_xlate_actions() and what it calls in
 * ofproto/ofproto-dpif-xlate.c of Open vSwitch 3.1; its limits are MAX_DEPTH and MAX_RESUBMITS.
 */
#include <config.h>

#include "walk.h"

#include <string.h>

#include "hash.h"
#include "openvswitch/meta-flow.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofpbuf.h"
#include "util.h"

/* As deep as Open vSwitch goes. */
#define MAX_DEPTH 64
/* Open vSwitch allows 4096; a path of so many rules is not worth a proof. */
#define MAX_LOOKUPS 1000
/* Buckets looked at for liveness. */
#define MAX_LIVENESS 1000

struct walk {
	struct hwy_detector *detector;
	struct hwy_detector_port *port;
	struct hwy_verdict *verdict;
	struct hwy_known known;

	/* Where the walk is. */
	uint8_t table_id;
	struct hwy_rule *rule; /* Whose actions are executed. */
	uint32_t group_id;     /* Whose bucket is executed, or OFPG_ANY. */
	unsigned int depth;
	unsigned int n_lookups;
	unsigned int n_liveness;

	/* The action set, and the rule that wrote to it last. */
	struct ofpbuf action_set;
	struct hwy_rule *action_set_rule;

	bool has_output;
	bool skipped_input; /* An output to the input port was ignored. */
	ofp_port_t out_port;
	struct hwy_rule *out_rule;
};

/* The walk ends here, without a proof: functions return what this returns, -1. */
static int
end(struct walk *walk, enum hwy_reason reason)
{
	struct hwy_verdict *verdict = walk->verdict;

	verdict->reason = reason;
	verdict->group_id = walk->group_id;
	if (!verdict->rule && walk->rule) {
		verdict->rule = walk->rule;
		verdict->rule->n_refs++;
	}
	return -1;
}

static int
end_with(struct walk *walk, enum hwy_reason reason, const char *what)
{
	walk->verdict->what = what;
	return end(walk, reason);
}

static void
add_step(struct walk *walk, struct hwy_rule *rule, uint32_t group_id)
{
	struct hwy_verdict *verdict = walk->verdict;

	if (!(verdict->n_steps & (verdict->n_steps - 1))) {
		verdict->steps = xrealloc(verdict->steps,
					  MAX(1, 2 * verdict->n_steps) * sizeof(*verdict->steps));
	}
	verdict->steps[verdict->n_steps++] = (struct hwy_step){rule, group_id};
	if (rule) {
		rule->n_refs++;
	}
}

/* --- look-up ---------------------------------------------------------------------------- */

static int execute(struct walk *walk, const struct ofpact *ofpacts, size_t ofpacts_len);

static struct hwy_visit *
add_visit(struct walk *walk, struct hwy_table *table)
{
	struct hwy_visit *visit = xmalloc(sizeof(*visit));

	visit->table = table;
	visit->port = walk->port;
	visit->in_port = walk->known.value.in_port.ofp_port;
	visit->priority = -1;
	memcpy(visit->value, &walk->known.value, sizeof(visit->value));
	memcpy(visit->mask, &walk->known.mask, sizeof(visit->mask));
	hmap_insert(&table->visits, &visit->node, hash_int(ofp_to_u16(visit->in_port), 0));
	ovs_list_push_back(&walk->port->visits, &visit->port_node);
	return visit;
}

/* Looks up 'table_id' as if the packet had come in at 'in_port', and executes the rule.  With
 * 'miss_is_drop', that no rule is found does nothing (resubmit); else it ends the walk. */
static int
enter_table(struct walk *walk, uint8_t table_id, ofp_port_t in_port, bool miss_is_drop)
{
	ofp_port_t own_in_port = walk->known.value.in_port.ofp_port;
	struct hwy_rule *own_rule = walk->rule;
	uint8_t own_table_id = walk->table_id;
	bool deepens = own_rule && table_id <= own_table_id;
	struct hwy_visit *visit;
	struct hwy_found found;
	int error;

	if (walk->depth >= MAX_DEPTH || walk->n_lookups >= MAX_LOOKUPS) {
		return end(walk, HWY_TOO_DEEP);
	}
	if (table_id >= HWY_INTERNAL_TABLE_ID) {
		walk->verdict->table_id = table_id;
		return end(walk, HWY_INTERNAL_TABLE);
	}
	walk->n_lookups++;
	walk->known.value.in_port.ofp_port = in_port;
	visit = add_visit(walk, &walk->detector->tables[table_id]);
	hwy_table_lookup(visit->table, &walk->known, &found);
	walk->known.value.in_port.ofp_port = own_in_port;

	if (found.too_many) {
		walk->verdict->table_id = table_id;
		return end(walk, HWY_TOO_MANY_UNKNOWN);
	}
	if (!found.rule) {
		if (miss_is_drop) {
			return 0;
		}
		walk->verdict->table_id = table_id;
		return end(walk, HWY_TABLE_MISS);
	}
	visit->priority = found.rule->priority;
	walk->rule = found.rule;
	if (!found.all) {
		return end(walk, HWY_NARROW);
	}
	if (found.other) {
		walk->verdict->other = found.other;
		found.other->n_refs++;
		return end(walk, HWY_EQUAL_PRIORITY);
	}
	add_step(walk, found.rule, OFPG_ANY);

	walk->table_id = table_id;
	walk->depth += deepens;
	error = execute(walk, found.rule->ofpacts, found.rule->ofpacts_len);
	walk->depth -= deepens;
	walk->table_id = own_table_id;
	walk->rule = own_rule;
	return error;
}

static int
resubmit(struct walk *walk, const struct ofpact_resubmit *action)
{
	if (action->with_ct_orig) {
		return end_with(walk, HWY_ACTION,
				"resubmit with the connection's original headers");
	}
	return enter_table(walk, action->table_id == 255 ? walk->table_id : action->table_id,
			   action->in_port == OFPP_IN_PORT ? walk->known.value.in_port.ofp_port
							   : action->in_port,
			   true);
}

/* --- output ----------------------------------------------------------------------------- */

static int
output(struct walk *walk, ofp_port_t port)
{
	switch (port) {
	case OFPP_NONE:
		return 0;
	case OFPP_NORMAL:
		return end_with(walk, HWY_ACTION, "NORMAL");
	case OFPP_FLOOD:
		return end_with(walk, HWY_ACTION, "FLOOD");
	case OFPP_ALL:
		return end_with(walk, HWY_ACTION, "ALL");
	case OFPP_CONTROLLER:
		return end_with(walk, HWY_ACTION, "CONTROLLER");
	case OFPP_TABLE:
		return end_with(walk, HWY_ACTION, "TABLE");
	case OFPP_IN_PORT:
		port = walk->known.value.in_port.ofp_port;
		break;
	default:
		if (port == walk->known.value.in_port.ofp_port) {
			walk->skipped_input = true;
			return 0;
		}
	}
	if (walk->has_output) {
		return end(walk, HWY_MANY_OUTPUTS);
	}
	walk->has_output = true;
	walk->out_port = port;
	walk->out_rule = walk->rule;
	return 0;
}

/* --- metadata and registers ------------------------------------------------------------- */

/* Fields of the pipeline alone, which no packet carries out of the switch. */
static bool
is_metadata(const struct mf_field *field)
{
	return field->id == MFF_METADATA || mf_is_register(field->id);
}

static bool
is_in_port(const struct mf_field *field)
{
	return field->id == MFF_IN_PORT || field->id == MFF_IN_PORT_OXM;
}

static int
set_field(struct walk *walk, const struct ofpact_set_field *action)
{
	const struct mf_field *field = action->field;
	const union mf_value *mask = ofpact_set_field_mask(action);
	union mf_value ones;

	if (is_in_port(field)) {
		if (!is_all_ones(mask, field->n_bytes)) {
			return end_with(walk, HWY_SETS_FIELD, field->name);
		}
		/* Its mask is and stays full. */
		mf_set_flow_value(field, action->value, &walk->known.value);
		return 0;
	}
	if (!is_metadata(field)) {
		return end_with(walk, HWY_SETS_FIELD, field->name);
	}
	memset(&ones, 0xff, sizeof(ones));
	mf_set_flow_value_masked(field, action->value, mask, &walk->known.value);
	mf_set_flow_value_masked(field, &ones, mask, &walk->known.mask);
	return 0;
}

static int
reg_move(struct walk *walk, const struct ofpact_reg_move *action)
{
	const struct mf_subfield *src = &action->src;
	const struct mf_subfield *dst = &action->dst;
	struct flow *parts[] = {&walk->known.value, &walk->known.mask};

	if (!is_metadata(dst->field)) {
		return end_with(walk, HWY_SETS_FIELD, dst->field->name);
	}
	/* Bits that come from the packet are not known.  Nor, to be short, are those of other
	 * metadata. */
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		union mf_value from, to;

		memset(&from, 0, sizeof(from));
		if (is_metadata(src->field) || is_in_port(src->field)) {
			mf_get_value(src->field, parts[i], &from);
		}
		mf_get_value(dst->field, parts[i], &to);
		bitwise_copy(&from, src->field->n_bytes, src->ofs, &to, dst->field->n_bytes,
			     dst->ofs, src->n_bits);
		mf_set_flow_value(dst->field, &to, parts[i]);
	}
	return 0;
}

static int
output_reg(struct walk *walk, const struct ofpact_output_reg *action)
{
	const struct mf_subfield *src = &action->src;
	uint64_t port, mask, all;

	all = src->n_bits >= 64 ? UINT64_MAX : (UINT64_C(1) << src->n_bits) - 1;
	if (!is_metadata(src->field) && !is_in_port(src->field)) {
		return end(walk, HWY_UNKNOWN_VALUE);
	}
	port = mf_get_subfield(src, &walk->known.value);
	mask = mf_get_subfield(src, &walk->known.mask);
	if (mask != all) {
		return end(walk, HWY_UNKNOWN_VALUE);
	}
	/* Open vSwitch ignores what is no port number. */
	return port <= UINT16_MAX ? output(walk, u16_to_ofp((uint16_t)port)) : 0;
}

/* --- groups ----------------------------------------------------------------------------- */

enum liveness { DEAD, ALIVE, NOT_KNOWN };

static struct hwy_group *
use_group(struct walk *walk, uint32_t group_id)
{
	struct hwy_detector_port *port = walk->port;

	if (port->n_groups == port->allocated_groups) {
		port->groups =
			x2nrealloc(port->groups, &port->allocated_groups, sizeof(*port->groups));
	}
	port->groups[port->n_groups++] = group_id;
	return hwy_group_find(walk->detector, group_id);
}

static enum liveness first_live(struct walk *walk, const struct hwy_group *group,
				unsigned int depth, const struct ofputil_bucket **chosen);

static enum liveness
bucket_liveness(struct walk *walk, const struct hwy_group *group,
		const struct ofputil_bucket *bucket, unsigned int depth)
{
	const struct ofputil_bucket *chosen;

	if (group->desc.type == OFPGT11_SELECT && !bucket->weight) {
		return DEAD;
	}
	if (!ofputil_bucket_has_liveness(bucket)) {
		return ALIVE;
	}
	/* Whether a controller is connected is not known here. */
	if (depth >= MAX_DEPTH || walk->n_liveness++ >= MAX_LIVENESS ||
	    bucket->watch_port == OFPP_CONTROLLER) {
		return NOT_KNOWN;
	}
	if (bucket->watch_port != OFPP_ANY) {
		const struct hwy_detector_port *port =
			hwy_detector_port_find(walk->detector, bucket->watch_port);

		if (port && port->present && port->flags & HWY_PORT_LIVE) {
			return ALIVE;
		}
	}
	if (bucket->watch_group != OFPG_ANY) {
		const struct hwy_group *watched = use_group(walk, bucket->watch_group);

		return watched ? first_live(walk, watched, depth + 1, &chosen) : DEAD;
	}
	return DEAD;
}

/* DEAD: no bucket lives.  NOT_KNOWN: cannot be told which is the first one that does. */
static enum liveness
first_live(struct walk *walk, const struct hwy_group *group, unsigned int depth,
	   const struct ofputil_bucket **chosen)
{
	const struct ofputil_bucket *bucket;

	LIST_FOR_EACH (bucket, list_node, &group->desc.buckets) {
		enum liveness liveness = bucket_liveness(walk, group, bucket, depth);

		if (liveness != DEAD) {
			*chosen = bucket;
			return liveness;
		}
	}
	return DEAD;
}

/* The one bucket that all packets take, of a group that selects one; null with 0: there is
 * none, and none is needed. */
static int
choose_bucket(struct walk *walk, const struct hwy_group *group,
	      const struct ofputil_bucket **chosen)
{
	const struct ofputil_bucket *bucket;
	enum liveness liveness = DEAD;

	*chosen = NULL;
	if (ovs_list_is_empty(&group->desc.buckets)) {
		return 0;
	}
	if (group->desc.type == OFPGT11_FF) {
		liveness = first_live(walk, group, 0, chosen);
	} else {
		/* Also with a single bucket, dp_hash (the default) makes packets go through the
		 * datapath twice, by a datapath flow that cannot be offloaded. */
		if (strcmp(group->desc.props.selection_method, "hash")) {
			return end(walk, HWY_GROUP_RECIRCULATES);
		}
		LIST_FOR_EACH (bucket, list_node, &group->desc.buckets) {
			enum liveness one = bucket_liveness(walk, group, bucket, 0);

			if (one != DEAD && liveness != DEAD) {
				return end(walk, HWY_GROUP_BUCKETS);
			}
			if (one != DEAD) {
				liveness = one;
				*chosen = bucket;
			}
		}
	}
	switch (liveness) {
	case DEAD:
		return end(walk, HWY_GROUP_NOT_LIVE);
	case NOT_KNOWN:
		return end_with(walk, HWY_ACTION, "group that watches what is not known");
	case ALIVE:
	default:
		return 0;
	}
}

/* Executes an action set, of the pipeline or of a bucket. */
static int
execute_set(struct walk *walk, const void *ofpacts, size_t ofpacts_len)
{
	struct ofpbuf set = ofpbuf_const_initializer(ofpacts, ofpacts_len);
	uint64_t stub[256 / 8];
	struct ofpbuf list = OFPBUF_STUB_INITIALIZER(stub);
	int error;

	ofpacts_execute_action_set(&list, &set);
	error = execute(walk, list.data, list.size);
	ofpbuf_uninit(&list);
	return error;
}

/* A bucket works on a copy of the packet and its metadata. */
static int
execute_bucket(struct walk *walk, const struct ofputil_bucket *bucket)
{
	struct hwy_known own_known = walk->known;
	int error;

	walk->depth++;
	error = execute_set(walk, bucket->ofpacts, bucket->ofpacts_len);
	walk->depth--;
	walk->known = own_known;
	return error;
}

static int
execute_group(struct walk *walk, const struct hwy_group *group)
{
	const struct ofputil_bucket *bucket;
	int error;

	switch (group->desc.type) {
	case OFPGT11_ALL:
	case OFPGT11_INDIRECT:
		if (!ovs_list_is_empty(&group->desc.buckets)) {
			add_step(walk, NULL, group->desc.group_id);
		}
		LIST_FOR_EACH (bucket, list_node, &group->desc.buckets) {
			error = execute_bucket(walk, bucket);
			if (error) {
				return error;
			}
		}
		return 0;
	case OFPGT11_SELECT:
	case OFPGT11_FF:
		error = choose_bucket(walk, group, &bucket);
		if (error || !bucket) {
			return error;
		}
		add_step(walk, NULL, group->desc.group_id);
		return execute_bucket(walk, bucket);
	default:
		return end_with(walk, HWY_ACTION, "group of an unknown type");
	}
}

static int
enter_group(struct walk *walk, uint32_t group_id)
{
	const struct hwy_group *group = use_group(walk, group_id);
	uint32_t own_group_id = walk->group_id;
	int error;

	walk->group_id = group_id;
	if (walk->depth >= MAX_DEPTH) {
		return end(walk, HWY_TOO_DEEP);
	}
	if (!group) {
		return end(walk, HWY_NO_GROUP);
	}
	error = execute_group(walk, group);
	if (!error) {
		walk->group_id = own_group_id;
	}
	return error;
}

/* --- actions ---------------------------------------------------------------------------- */

static void
write_actions(struct walk *walk, const struct ofpact_nest *nest)
{
	ofpbuf_put(&walk->action_set, nest->actions, ofpact_nest_get_action_len(nest));
	walk->action_set_rule = walk->rule;
	/* A field that shows the output of the action set; hardly anybody matches on it. */
	memset(&walk->known.mask.actset_output, 0, sizeof(walk->known.mask.actset_output));
}

static int
execute_one(struct walk *walk, const struct ofpact *action)
{
	const struct ofpact_metadata *metadata;

	/* Whatever is not named here ends the walk. */
	switch ((int)action->type) {
	case OFPACT_NOTE:
		return 0;
	case OFPACT_OUTPUT:
		return output(walk, ofpact_get_OUTPUT(action)->port);
	case OFPACT_OUTPUT_REG:
		return output_reg(walk, ofpact_get_OUTPUT_REG(action));
	case OFPACT_GROUP:
		return enter_group(walk, ofpact_get_GROUP(action)->group_id);
	case OFPACT_RESUBMIT:
		return resubmit(walk, ofpact_get_RESUBMIT(action));
	case OFPACT_GOTO_TABLE:
		return enter_table(walk, ofpact_get_GOTO_TABLE(action)->table_id,
				   walk->known.value.in_port.ofp_port, false);
	case OFPACT_SET_FIELD:
		return set_field(walk, ofpact_get_SET_FIELD(action));
	case OFPACT_REG_MOVE:
		return reg_move(walk, ofpact_get_REG_MOVE(action));
	case OFPACT_WRITE_METADATA:
		metadata = ofpact_get_WRITE_METADATA(action);
		walk->known.value.metadata &= ~metadata->mask;
		walk->known.value.metadata |= metadata->metadata & metadata->mask;
		walk->known.mask.metadata |= metadata->mask;
		return 0;
	case OFPACT_WRITE_ACTIONS:
		write_actions(walk, ofpact_get_WRITE_ACTIONS(action));
		return 0;
	case OFPACT_CLEAR_ACTIONS:
		ofpbuf_clear(&walk->action_set);
		return 0;
	default:
		return end_with(walk, HWY_ACTION, ofpact_name(action->type));
	}
}

static int
execute(struct walk *walk, const struct ofpact *ofpacts, size_t ofpacts_len)
{
	const struct ofpact *action;

	OFPACT_FOR_EACH(action, ofpacts, ofpacts_len)
	{
		int error = execute_one(walk, action);

		if (error) {
			return error;
		}
	}
	return 0;
}

static int
execute_action_set(struct walk *walk)
{
	struct ofpbuf set = walk->action_set;
	int error;

	if (!set.size) {
		return 0;
	}
	/* What is written while the set is executed is lost. */
	ofpbuf_init(&walk->action_set, 0);
	walk->rule = walk->action_set_rule;
	error = execute_set(walk, set.data, set.size);
	ofpbuf_uninit(&set);
	return error;
}

/* --- the walk --------------------------------------------------------------------------- */

static int
check_port(struct walk *walk, const struct hwy_detector_port *port, ofp_port_t number,
	   bool receives)
{
	unsigned int config = receives ? HWY_PORT_NO_RECV : HWY_PORT_NO_FWD;

	walk->verdict->port = number;
	if (!port || !port->present) {
		return end(walk, receives ? HWY_NO_PORT : HWY_NO_OUTPUT_PORT);
	}
	if (!(port->flags & HWY_PORT_HIGHWAY)) {
		return end(walk, HWY_NOT_HIGHWAY);
	}
	if (port->flags & HWY_PORT_DOWN) {
		return end(walk, HWY_PORT_IS_DOWN);
	}
	if (port->flags & config) {
		return end_with(walk, HWY_PORT_CONFIG, receives ? "no-receive" : "no-forward");
	}
	return 0;
}

static int
follow(struct walk *walk)
{
	const struct hwy_detector_port *port = walk->port;
	int error = check_port(walk, port, port->number, true);

	if (error) {
		return error;
	}
	error = enter_table(walk, 0, port->number, false);
	if (error) {
		return error;
	}
	/* The last rule followed answers for what comes of it. */
	for (size_t i = walk->verdict->n_steps; !walk->rule && i-- > 0;) {
		walk->rule = walk->verdict->steps[i].rule;
	}
	error = execute_action_set(walk);
	if (error) {
		return error;
	}
	if (!walk->has_output) {
		return end(walk, walk->skipped_input ? HWY_TO_ITSELF : HWY_DROP);
	}
	walk->rule = walk->out_rule;
	if (walk->out_port == port->number) {
		return end(walk, HWY_TO_ITSELF);
	}
	return check_port(walk, hwy_detector_port_find(walk->detector, walk->out_port),
			  walk->out_port, false);
}

void
hwy_walk_forget(struct hwy_detector_port *port)
{
	struct hwy_visit *visit;

	LIST_FOR_EACH_POP(visit, port_node, &port->visits)
	{
		hmap_remove(&visit->table->visits, &visit->node);
		free(visit);
	}
	port->n_groups = 0;
}

void
hwy_walk(struct hwy_detector *detector, struct hwy_detector_port *port)
{
	struct walk walk = {.detector = detector,
			    .port = port,
			    .verdict = &port->verdict,
			    .group_id = OFPG_ANY};

	hwy_walk_forget(port);
	hwy_verdict_uninit(&port->verdict);
	port->verdict.in_port = port->number;
	port->verdict.group_id = OFPG_ANY;
	port->verdict.out_port = OFPP_NONE;
	port->stale = false;
	hwy_known_init(&walk.known, port->number);
	ofpbuf_init(&walk.action_set, 0);
	if (!follow(&walk)) {
		port->verdict.p2p = true;
		port->verdict.reason = HWY_PROVEN;
		port->verdict.out_port = walk.out_port;
	}
	ofpbuf_uninit(&walk.action_set);
}
