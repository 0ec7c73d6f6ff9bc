/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rte_flow: which of Open vSwitch's megaflows become routes.
 *
 * Accepted are transfer flows whose mask is at most the class key and whose only action
 * besides COUNT is output to one other port of the domain.  The patterns are those of
 * parse_flow_match() in Open vSwitch's lib/netdev-offload-dpdk.c:
 *
 *   eth (type, has_vlan)                              any ether type but IP
 *   eth / vlan (VLAN ID, inner_type)                  the same, tagged
 *   eth [/ vlan] / ipv4 (fragment_offset 0/0x3fff)    unfragmented IPv4
 *   eth [/ vlan] / ipv6 (has_frag_ext 0/1)            unfragmented IPv6
 *
 * A flow with a narrower mask, or other actions, is refused and stays in the switch --
 * except for two kinds of heirs, which carry nothing, but answer for packets:
 *
 *   - one which lies in the class of a route that was just withdrawn answers for what the
 *     route carried after its last query;
 *   - the new form of a flow that was accepted before, whatever it does now: Open vSwitch
 *     modifies a flow by destroying and creating it, and forgets what it was told of the
 *     old form unless it gets the new one.  The flow's packets so far would be taken from
 *     its rule's counter then, if the flow ends before it is looked at once more.
 *
 * Where an agent proves links, a flow with a narrower mask that leads to one port of the
 * domain is accepted too, whatever it matches: it is no route, but it may have to answer
 * for what goes there by a proof.
 */
#include <rte_flow_driver.h>
#include <rte_jhash.h>
#include <rte_malloc.h>

#include "class.h"
#include "highway.h"

struct rte_flow {
	LIST_ENTRY(rte_flow) next;
	uint64_t key;     /* class that it lies in, or HWY_CLASS_NONE */
	uint32_t pattern; /* see digest() */
	uint32_t slot;    /* HWY_SLOT_NONE: an heir without one */
	bool heir;
	struct hwy_packets_bytes kept; /* counted, but not yet reset by a query */
};

struct parsed {
	uint64_t key; /* class, HWY_CLASS_NONE if the flow lies in none */
	bool exact;   /* the mask is the class key's and no more */
	uint32_t dst; /* port of the region, UINT32_MAX if there is no such */
};

/* The flow that this thread destroyed last, if it has asked for nothing since: Open vSwitch's
 * thread that modifies a flow creates the new form next. */
static __thread struct {
	const struct hwy_dev *dev; /* NULL: none */
	uint32_t pattern;
} destroyed;

static int
refuse(struct rte_flow_error *error, enum rte_flow_error_type type, const void *cause,
       const char *message)
{
	return rte_flow_error_set(error, ENOTSUP, type, cause, message);
}

static bool
all_zero(const void *p, size_t size)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

/* A hash of all that a pattern matches; 0 for one that cannot be told from others.  What
 * collides is accepted once as an heir, without need and without harm. */
static uint32_t
digest(const struct rte_flow_item *item)
{
	uint32_t hash = 1;

	for (; item->type != RTE_FLOW_ITEM_TYPE_END; item++) {
		union {
			struct rte_flow_item item;
			uint8_t bytes[1024];
		} copy;
		int size;

		memset(&copy, 0, sizeof(copy));
		size = rte_flow_conv(RTE_FLOW_CONV_OP_ITEM, &copy, sizeof(copy), item, NULL);
		if (size < 0 || (size_t)size > sizeof(copy))
			return 0;
		copy.item.spec = NULL; /* What they point to follows. */
		copy.item.last = NULL;
		copy.item.mask = NULL;
		hash = rte_jhash(&copy, (uint32_t)size, hash);
	}
	return hash;
}

/* True if 'mask' is zero outside of [from, from + length). */
static bool
only(const void *mask, size_t size, size_t from, size_t length)
{
	const uint8_t *bytes = mask;

	return all_zero(bytes, from) && all_zero(bytes + from + length, size - from - length);
}

static const struct rte_flow_item *
next_item(const struct rte_flow_item *item)
{
	while (item->type == RTE_FLOW_ITEM_TYPE_VOID)
		item++;
	return item;
}

static void
parse_pattern(const struct rte_flow_item *item, struct parsed *out)
{
	const struct rte_flow_item_eth *eth, *eth_mask;
	uint16_t type, tci = 0;

	out->key = HWY_CLASS_NONE;
	out->exact = true;
	item = next_item(item);
	if (item->type != RTE_FLOW_ITEM_TYPE_ETH || item->spec == NULL || item->last != NULL)
		return;
	eth = item->spec;
	eth_mask = item->mask != NULL ? item->mask : &rte_flow_item_eth_mask;
	type = rte_be_to_cpu_16(eth->type);
	if (!all_zero(&eth_mask->dst, sizeof(eth_mask->dst)) ||
	    !all_zero(&eth_mask->src, sizeof(eth_mask->src)))
		out->exact = false;
	item = next_item(item + 1);
	if (item->type == RTE_FLOW_ITEM_TYPE_VLAN) {
		const struct rte_flow_item_vlan *vlan = item->spec;
		const struct rte_flow_item_vlan *mask =
			item->mask != NULL ? item->mask : &rte_flow_item_vlan_mask;

		/* The tag's own type is either unmatched or the usual one. */
		if (vlan == NULL || item->last != NULL ||
		    (mask->tci & RTE_BE16(0x0fff)) != RTE_BE16(0x0fff) ||
		    mask->inner_type != RTE_BE16(0xffff) ||
		    (eth_mask->type != 0 &&
		     (eth_mask->type != RTE_BE16(0xffff) || type != HWY_ETH_VLAN)))
			return;
		if (mask->tci & RTE_BE16(0xe000))
			out->exact = false; /* it looks at the priority */
		tci = (uint16_t)((rte_be_to_cpu_16(vlan->tci) & 0x0fff) | 0x1000);
		type = rte_be_to_cpu_16(vlan->inner_type);
		item = next_item(item + 1);
	} else if (eth_mask->type != RTE_BE16(0xffff) || (eth_mask->has_vlan && eth->has_vlan)) {
		return;
	}
	if (type < HWY_ETH_MIN_TYPE || type == HWY_ETH_VLAN || type == HWY_ETH_QINQ)
		return;
	if (type == HWY_ETH_IPV4) {
		const struct rte_flow_item_ipv4 *ip = item->spec, *mask = item->mask;
		const size_t at = offsetof(struct rte_ipv4_hdr, fragment_offset);

		if (item->type != RTE_FLOW_ITEM_TYPE_IPV4 || ip == NULL || mask == NULL ||
		    item->last != NULL || mask->hdr.fragment_offset != RTE_BE16(0x3fff) ||
		    ip->hdr.fragment_offset != 0)
			return;
		if (!only(&mask->hdr, sizeof(mask->hdr), at, 2))
			out->exact = false;
		item = next_item(item + 1);
	} else if (type == HWY_ETH_IPV6) {
		const struct rte_flow_item_ipv6 *ip = item->spec, *mask = item->mask;

		if (item->type != RTE_FLOW_ITEM_TYPE_IPV6 || ip == NULL || mask == NULL ||
		    item->last != NULL || !mask->has_frag_ext || ip->has_frag_ext)
			return;
		if (!all_zero(&mask->hdr, sizeof(mask->hdr)) || mask->has_hop_ext ||
		    mask->has_route_ext || mask->has_auth_ext || mask->has_esp_ext ||
		    mask->has_dest_ext || mask->has_mobil_ext || mask->has_hip_ext ||
		    mask->has_shim6_ext)
			out->exact = false;
		item = next_item(item + 1);
	}
	out->key = hwy_class_key(tci, type);
	if (item->type != RTE_FLOW_ITEM_TYPE_END)
		out->exact = false;
}

/* Index in the region of the port behind ethdev 'port_id', HWY_FAR_PORT + 'port_id' if it is
 * a host end of another region, to which a proof may lead, UINT32_MAX if it is none. */
static uint32_t
port_of(const struct hwy_dev *dev, uint32_t port_id)
{
	const struct rte_eth_dev *eth;

	if (!rte_eth_dev_is_valid_port((uint16_t)port_id) || port_id > UINT16_MAX)
		return UINT32_MAX;
	eth = &rte_eth_devices[port_id];
	if (eth->dev_ops != &hwy_ops || hwy_dev_of(eth)->role != HWY_HOST)
		return UINT32_MAX;
	if (hwy_dev_of(eth)->domain != dev->domain)
		return dev->far != NULL && hwy_dev_of(eth)->far == dev->far ? HWY_FAR_PORT + port_id
									    : UINT32_MAX;
	return hwy_dev_of(eth)->index;
}

static int
parse_actions(const struct hwy_dev *dev, const struct rte_flow_action *action, struct parsed *out,
	      struct rte_flow_error *error)
{
	unsigned int outputs = 0;
	bool count = false;

	out->dst = UINT32_MAX;
	for (; action->type != RTE_FLOW_ACTION_TYPE_END; action++) {
		uint32_t port_id;

		switch (action->type) {
		case RTE_FLOW_ACTION_TYPE_VOID:
			continue;
		case RTE_FLOW_ACTION_TYPE_COUNT:
			count = true;
			continue;
		case RTE_FLOW_ACTION_TYPE_PORT_ID:
			port_id = ((const struct rte_flow_action_port_id *)action->conf)->id;
			if (((const struct rte_flow_action_port_id *)action->conf)->original)
				port_id = dev->port_id;
			break;
		case RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT:
			port_id = ((const struct rte_flow_action_ethdev *)action->conf)->port_id;
			break;
		default:
			outputs += 2; /* whatever it does, it is not a plain output */
			continue;
		}
		out->dst = port_of(dev, port_id);
		outputs++;
	}
	if (!count)
		return refuse(error, RTE_FLOW_ERROR_TYPE_ACTION, NULL,
			      "a flow without COUNT cannot be bypassed");
	if (outputs != 1 || out->dst == dev->index)
		out->dst = UINT32_MAX;
	return 0;
}

static int
parse(const struct hwy_dev *dev, const struct rte_flow_attr *attr,
      const struct rte_flow_item *pattern, const struct rte_flow_action *actions,
      struct parsed *out, struct rte_flow_error *error)
{
	if (dev->role != HWY_HOST || dev->domain->host == NULL)
		return refuse(error, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, NULL,
			      "only the host end of a port takes flows");
	if (attr->group != 0 || !attr->transfer)
		return refuse(error, RTE_FLOW_ERROR_TYPE_ATTR, attr,
			      "only transfer flows of group 0 can be bypassed");
	parse_pattern(pattern, out);
	return parse_actions(dev, actions, out, error);
}

static int
check_route(const struct parsed *p, struct rte_flow_error *error)
{
	if (p->key == HWY_CLASS_NONE || !p->exact)
		return refuse(error, RTE_FLOW_ERROR_TYPE_ITEM, NULL,
			      "the match looks at more than VLAN tag, ether type and fragment");
	if (p->dst == UINT32_MAX)
		return refuse(error, RTE_FLOW_ERROR_TYPE_ACTION, NULL,
			      "the actions are not output to one other port of the same domain");
	return 0;
}

static int
flow_validate(struct rte_eth_dev *eth, const struct rte_flow_attr *attr,
	      const struct rte_flow_item pattern[], const struct rte_flow_action actions[],
	      struct rte_flow_error *error)
{
	struct parsed p;
	int rc = parse(hwy_dev_of(eth), attr, pattern, actions, &p, error);

	return rc < 0 ? rc : check_route(&p, error);
}

/* Finds out what the flow is good for, the new form of an accepted one if 'modified'.
 * -ENOTSUP if for nothing. */
static int
flow_admit(struct hwy_dev *dev, const struct parsed *p, bool modified, struct rte_flow *flow,
	   struct rte_flow_error *error)
{
	struct hwy_host *host = dev->domain->host;
	int rc = -ENOTSUP; /* check_route() says why */

	if (p->dst >= HWY_FAR_PORT && p->dst != UINT32_MAX)
		/* No class leads out of the region, but a proof may, now or later. */
		rc = hwy_host_flow_add(host, dev->index, HWY_CLASS_ALL, p->dst, &flow->slot);
	else if (check_route(p, error) == 0)
		rc = hwy_host_flow_add(host, dev->index, p->key, p->dst, &flow->slot);
	else if (p->dst != UINT32_MAX && hwy_host_has_agent(host))
		rc = hwy_host_flow_add(host, dev->index, HWY_CLASS_ALL, p->dst, &flow->slot);
	if (rc == 0)
		return 0;
	flow->heir = true;
	if (rc == -ENOTSUP && p->key != HWY_CLASS_NONE &&
	    hwy_host_take_over(host, dev->index, p->key, &flow->slot) == 0)
		return 0;
	flow->slot = HWY_SLOT_NONE;
	if (modified)
		return 0;
	if (rc != -ENOTSUP)
		rte_flow_error_set(error, -rc, RTE_FLOW_ERROR_TYPE_HANDLE, NULL,
				   "all classes of the port are in use");
	return rc;
}

static struct rte_flow *
flow_create(struct rte_eth_dev *eth, const struct rte_flow_attr *attr,
	    const struct rte_flow_item pattern[], const struct rte_flow_action actions[],
	    struct rte_flow_error *error)
{
	struct hwy_dev *dev = hwy_dev_of(eth);
	uint32_t hash = digest(pattern);
	bool modified = destroyed.dev == dev && destroyed.pattern == hash && hash != 0;
	struct rte_flow *flow;
	struct parsed p;

	destroyed.dev = NULL;
	if (parse(dev, attr, pattern, actions, &p, error) < 0)
		return NULL;
	flow = calloc(1, sizeof(*flow));
	if (flow == NULL) {
		rte_flow_error_set(error, ENOMEM, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, NULL,
				   "out of memory");
		return NULL;
	}
	flow->key = p.key;
	flow->pattern = hash;
	if (flow_admit(dev, &p, modified, flow, error) < 0) {
		free(flow);
		return NULL;
	}
	pthread_mutex_lock(&dev->flow_mutex);
	LIST_INSERT_HEAD(&dev->flows, flow, next);
	pthread_mutex_unlock(&dev->flow_mutex);
	HWY_LOG(DEBUG, "port %s: flow of class 0x%" PRIx64 " %s", dev->name, p.key,
		flow->slot == HWY_SLOT_NONE          ? "keeps the counters of its old form"
		: flow->heir                         ? "answers for a withdrawn route"
		: p.exact && p.key != HWY_CLASS_NONE ? "is a route"
						     : "may answer for a proof");
	return flow;
}

static void
flow_release(struct hwy_dev *dev, struct rte_flow *flow)
{
	LIST_REMOVE(flow, next);
	if (dev->domain->host != NULL) {
		if (flow->heir)
			hwy_host_give_up(dev->domain->host, dev->index, flow->slot);
		else
			hwy_host_flow_del(dev->domain->host, dev->index, flow->slot);
	}
	free(flow);
}

static int
flow_destroy(struct rte_eth_dev *eth, struct rte_flow *flow, struct rte_flow_error *error)
{
	struct hwy_dev *dev = hwy_dev_of(eth);
	struct rte_flow *known;
	int rc = -ENOENT;

	pthread_mutex_lock(&dev->flow_mutex);
	LIST_FOREACH (known, &dev->flows, next) {
		if (known == flow) {
			destroyed.dev = dev;
			destroyed.pattern = flow->pattern;
			flow_release(dev, flow);
			rc = 0;
			break;
		}
	}
	pthread_mutex_unlock(&dev->flow_mutex);
	if (rc < 0)
		rte_flow_error_set(error, ENOENT, RTE_FLOW_ERROR_TYPE_HANDLE, flow,
				   "there is no such flow");
	return rc;
}

static int
flow_flush(struct rte_eth_dev *eth, struct rte_flow_error *error __rte_unused)
{
	hwy_flow_forget(hwy_dev_of(eth));
	return 0;
}

void
hwy_flow_forget(struct hwy_dev *dev)
{
	pthread_mutex_lock(&dev->flow_mutex);
	while (!LIST_EMPTY(&dev->flows))
		flow_release(dev, LIST_FIRST(&dev->flows));
	pthread_mutex_unlock(&dev->flow_mutex);
}

static int
flow_query(struct rte_eth_dev *eth, struct rte_flow *flow, const struct rte_flow_action *actions,
	   void *data, struct rte_flow_error *error)
{
	struct hwy_dev *dev = hwy_dev_of(eth);
	struct rte_flow_query_count *answer = data;
	struct hwy_packets_bytes delta;

	for (; actions->type != RTE_FLOW_ACTION_TYPE_END; actions++) {
		if (actions->type == RTE_FLOW_ACTION_TYPE_VOID)
			continue;
		if (actions->type != RTE_FLOW_ACTION_TYPE_COUNT)
			return refuse(error, RTE_FLOW_ERROR_TYPE_ACTION, actions,
				      "only COUNT can be queried");
		pthread_mutex_lock(&dev->flow_mutex);
		delta = hwy_host_flow_count(dev->domain->host, dev->index, flow->slot, flow->key,
					    flow->heir);
		flow->kept.packets += delta.packets;
		flow->kept.bytes += delta.bytes;
		answer->hits_set = 1;
		answer->bytes_set = 1;
		answer->hits = flow->kept.packets;
		answer->bytes = flow->kept.bytes;
		if (answer->reset)
			memset(&flow->kept, 0, sizeof(flow->kept));
		pthread_mutex_unlock(&dev->flow_mutex);
	}
	return 0;
}

const struct rte_flow_ops hwy_flow_ops = {
	.validate = flow_validate,
	.create = flow_create,
	.destroy = flow_destroy,
	.flush = flow_flush,
	.query = flow_query,
};
