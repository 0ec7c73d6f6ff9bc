/* SPDX-License-Identifier: BSD-3-Clause */
/* What the region's numbers are called. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "class.h"
#include "highwayctl.h"

#define HWY_ETH_ARP 0x0806u
#define DAY_S       86400u

const char *
hwy_word_class(uint64_t key, char *out)
{
	uint32_t type = (uint32_t)(key >> 16) & 0xffff, tci = (uint32_t)(key >> 32) & 0xffff;
	char vlan[32] = "", pcp[16] = "";

	if (key == HWY_CLASS_ALL) {
		snprintf(out, HWY_WORD_SIZE, "all");
		return out;
	}
	if (key != hwy_class_key((uint16_t)tci, (uint16_t)type) ||
	    (tci != 0 && (tci & 0x1000) == 0)) {
		snprintf(out, HWY_WORD_SIZE, "key 0x%016" PRIx64, key);
		return out;
	}
	if (tci != 0) {
		if (tci >> 13 != 0)
			snprintf(pcp, sizeof(pcp), "pcp %u ", tci >> 13);
		snprintf(vlan, sizeof(vlan), "vlan %u %s", tci & 0xfff, pcp);
	}
	if (type == HWY_ETH_IPV4 || type == HWY_ETH_IPV6 || type == HWY_ETH_ARP)
		snprintf(out, HWY_WORD_SIZE, "%s%s", vlan,
			 type == HWY_ETH_IPV4   ? "ipv4"
			 : type == HWY_ETH_IPV6 ? "ipv6"
						: "arp");
	else
		snprintf(out, HWY_WORD_SIZE, "%s0x%04x", vlan, type);
	return out;
}

char *
hwy_words_of_link(const struct hwy_snap *s, const struct hwy_snap_link *link)
{
	const struct hwy_snap_port *x = link->src < HWY_MAX_PORTS ? &s->ports[link->src] : NULL;
	uint32_t index = (uint32_t)(link - s->links);
	char word[HWY_WORD_SIZE];
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	bool any = false;

	if (f == NULL)
		return NULL;
	for (uint32_t i = 0; x != NULL && x->used && i < x->n_routes; i++) {
		if (x->routes[i].link != index)
			continue;
		fprintf(f, "%s%s", any ? ", " : "", hwy_word_class(x->routes[i].key, word));
		any = true;
	}
	if (!any)
		fputs("-", f);
	fclose(f);
	return text;
}

const char *
hwy_word_age(uint64_t from_ns, uint64_t to_ns, char *out)
{
	uint64_t s = to_ns > from_ns ? (to_ns - from_ns) / 1000000000u : 0;

	if (s < 60)
		snprintf(out, HWY_WORD_SIZE, "%" PRIu64 " s", s);
	else if (s < 3600)
		snprintf(out, HWY_WORD_SIZE, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < DAY_S)
		snprintf(out, HWY_WORD_SIZE, "%" PRIu64 " h %" PRIu64 " min", s / 3600,
			 s / 60 % 60);
	else
		snprintf(out, HWY_WORD_SIZE, "%" PRIu64 " d %" PRIu64 " h", s / DAY_S,
			 s / 3600 % 24);
	return out;
}

/* The time of day, or the day if that was more than a day ago. */
const char *
hwy_word_since(uint64_t ns, uint64_t now_ns, char *out)
{
	bool today = ns <= now_ns && now_ns - ns < DAY_S * 1000000000ull;
	time_t seconds = (time_t)(ns / 1000000000u);
	struct tm tm;

	if (ns == 0 || localtime_r(&seconds, &tm) == NULL ||
	    strftime(out, HWY_WORD_SIZE, today ? "%H:%M:%S" : "%Y-%m-%d", &tm) == 0)
		snprintf(out, HWY_WORD_SIZE, "-");
	return out;
}

const char *
hwy_word_bytes(uint64_t bytes, char *out)
{
	if (bytes >= 1ull << 30)
		snprintf(out, HWY_WORD_SIZE, "%" PRIu64 " GiB", bytes >> 30);
	else
		snprintf(out, HWY_WORD_SIZE, "%" PRIu64 " MiB", bytes >> 20);
	return out;
}

const char *
hwy_word_link_state(uint32_t state)
{
	static const char *const words[] = {
		[HWY_LINK_FREE] = "free",       [HWY_LINK_PREPARING] = "preparing",
		[HWY_LINK_READY] = "ready",     [HWY_LINK_OPEN] = "open",
		[HWY_LINK_CLOSING] = "closing", [HWY_LINK_RETIRING] = "retiring",
	};

	return state < sizeof(words) / sizeof(words[0]) ? words[state] : "unknown";
}

const char *
hwy_word_end_state(const struct hwy_snap_end *end)
{
	if (end->client == 0)
		return "detached";
	if (!end->alive)
		return "dead";
	return end->state == HWY_END_STARTED    ? "started"
	       : end->state == HWY_END_STOPPED  ? "stopped"
	       : end->state == HWY_END_DETACHED ? "detached"
						: "unknown";
}
