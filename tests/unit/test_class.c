/* SPDX-License-Identifier: BSD-3-Clause */
/* shm/class.h: the class of a packet, or none. */
#include "support.h"

#include "class.h"

#define TCI(tci) ((uint16_t)((tci) | 0x1000))

struct packet {
	uint32_t linear;
	uint32_t length;
	uint8_t b[512];
};

struct row {
	const char *what;
	void (*build)(struct packet *p);
	uint64_t expected;
};

static void
be16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* Ethernet header, with a tag if 'tci' is not negative.  Returns the offset of L3. */
static uint32_t
ether(struct packet *p, int tpid, int tci, uint32_t type)
{
	uint32_t at = 12;

	memset(p->b, 0xa5, sizeof(p->b));
	if (tci >= 0) {
		be16(p->b + at, (uint32_t)tpid);
		be16(p->b + at + 2, (uint32_t)tci);
		at += 4;
	}
	be16(p->b + at, type);
	p->linear = p->length = 60;
	return at + 2;
}

static uint8_t *
ipv4(struct packet *p, int tci, uint32_t payload)
{
	uint32_t l3 = ether(p, HWY_ETH_VLAN, tci, HWY_ETH_IPV4);
	uint8_t *h = p->b + l3;

	memset(h, 0, 20);
	h[0] = 0x45;
	be16(h + 2, 20 + payload);
	h[9] = 17;
	p->linear = p->length = l3 + 20 + payload;
	return h;
}

static uint8_t *
ipv6(struct packet *p, int tci, uint8_t next, uint32_t payload)
{
	uint32_t l3 = ether(p, HWY_ETH_VLAN, tci, HWY_ETH_IPV6);
	uint8_t *h = p->b + l3;

	memset(h, 0, 40);
	h[0] = 0x60;
	be16(h + 4, payload);
	h[6] = next;
	p->linear = p->length = l3 + 40 + payload;
	return h;
}

static void
v4(struct packet *p)
{
	ipv4(p, -1, 26);
}
static void
v4_tagged(struct packet *p)
{
	ipv4(p, 42, 22);
}
static void
v4_priority(struct packet *p)
{
	ipv4(p, 0xe000, 22);
}
static void
v4_vid0(struct packet *p)
{
	ipv4(p, 0, 22);
}
static void
v4_cfi(struct packet *p)
{
	ipv4(p, 0x1005, 22);
}
static void
v4_bare(struct packet *p)
{
	ipv4(p, -1, 0);
}
static void
v4_df(struct packet *p)
{
	be16(ipv4(p, -1, 26) + 6, 0x4000);
}
static void
v4_evil_bit(struct packet *p)
{
	be16(ipv4(p, -1, 26) + 6, 0x8000);
}
static void
v4_first(struct packet *p)
{
	be16(ipv4(p, -1, 26) + 6, 0x2000);
}
static void
v4_later(struct packet *p)
{
	be16(ipv4(p, -1, 26) + 6, 0x0001);
}
static void
v4_last(struct packet *p)
{
	be16(ipv4(p, -1, 26) + 6, 0x1fff);
}
static void
v4_middle(struct packet *p)
{
	be16(ipv4(p, 9, 26) + 6, 0x2001);
}
static void
v4_padded(struct packet *p)
{
	ipv4(p, -1, 6);
	p->linear = p->length = 60;
}
static void
v4_padded_255(struct packet *p)
{
	ipv4(p, -1, 0);
	p->length = 34 + 255;
}
static void
v4_padded_256(struct packet *p)
{
	ipv4(p, -1, 0);
	p->length = 34 + 256;
}
static void
v4_options(struct packet *p)
{
	ipv4(p, -1, 26)[0] = 0x46;
}
static void
v4_short_ihl(struct packet *p)
{
	ipv4(p, -1, 26)[0] = 0x44;
}
static void
v4_long_ihl(struct packet *p)
{
	uint8_t *h = ipv4(p, -1, 26);
	h[0] = 0x4f;
}
static void
v4_version(struct packet *p)
{
	ipv4(p, -1, 26)[0] = 0x65;
}
static void
v4_total_long(struct packet *p)
{
	be16(ipv4(p, -1, 26) + 2, 47);
}
static void
v4_total_short(struct packet *p)
{
	be16(ipv4(p, -1, 26) + 2, 19);
}
static void
v4_total_zero(struct packet *p)
{
	be16(ipv4(p, -1, 26) + 2, 0);
}
static void
v4_header_cut(struct packet *p)
{
	ipv4(p, -1, 26);
	p->linear = 33;
}
static void
v4_cut_at_l3(struct packet *p)
{
	ipv4(p, -1, 26);
	p->linear = p->length = 14;
}
static void
v4_tagged_cut(struct packet *p)
{
	ipv4(p, 42, 26);
	p->linear = 37;
}
static void
v4_linear_header(struct packet *p)
{
	ipv4(p, -1, 200);
	p->linear = 34;
}
static void
v6_tcp(struct packet *p)
{
	ipv6(p, -1, 6, 20);
}
static void
v6_udp(struct packet *p)
{
	ipv6(p, -1, 17, 20);
}
static void
v6_icmp(struct packet *p)
{
	ipv6(p, -1, 58, 20);
}
static void
v6_sctp(struct packet *p)
{
	ipv6(p, -1, 132, 20);
}
static void
v6_tagged(struct packet *p)
{
	ipv6(p, 0x2fff, 17, 20);
}
static void
v6_hop(struct packet *p)
{
	ipv6(p, -1, 0, 20);
}
static void
v6_routing(struct packet *p)
{
	ipv6(p, -1, 43, 20);
}
static void
v6_fragment(struct packet *p)
{
	ipv6(p, -1, 44, 20);
}
static void
v6_ah(struct packet *p)
{
	ipv6(p, -1, 51, 20);
}
static void
v6_options(struct packet *p)
{
	ipv6(p, -1, 60, 20);
}
static void
v6_none(struct packet *p)
{
	ipv6(p, -1, 59, 20);
}
static void
v6_jumbo(struct packet *p)
{
	be16(ipv6(p, -1, 17, 255) + 4, 0);
	p->length++;
}
static void
v6_long(struct packet *p)
{
	be16(ipv6(p, -1, 17, 20) + 4, 21);
}
static void
v6_padded(struct packet *p)
{
	ipv6(p, -1, 17, 20);
	p->length += 255;
}
static void
v6_padded_more(struct packet *p)
{
	ipv6(p, -1, 17, 20);
	p->length += 256;
}
static void
v6_version(struct packet *p)
{
	ipv6(p, -1, 17, 20)[0] = 0x45;
}
static void
v6_cut(struct packet *p)
{
	ipv6(p, -1, 17, 20);
	p->linear = 53;
}
static void
arp(struct packet *p)
{
	ether(p, 0, -1, 0x0806);
}
static void
arp_tagged(struct packet *p)
{
	ether(p, HWY_ETH_VLAN, 7, 0x0806);
}
static void
arp_14(struct packet *p)
{
	ether(p, 0, -1, 0x0806);
	p->linear = p->length = 14;
}
static void
mpls(struct packet *p)
{
	ether(p, 0, -1, 0x8847);
}
static void
length_60(struct packet *p)
{
	ether(p, 0, -1, 46);
}
static void
length_0(struct packet *p)
{
	ether(p, 0, -1, 0);
}
static void
length_5ff(struct packet *p)
{
	ether(p, 0, -1, 0x5ff);
}
static void
type_600(struct packet *p)
{
	ether(p, 0, -1, 0x600);
}
static void
length_tagged(struct packet *p)
{
	ether(p, HWY_ETH_VLAN, 5, 46);
}
static void
qinq(struct packet *p)
{
	ether(p, HWY_ETH_QINQ, 5, HWY_ETH_VLAN);
}
static void
outer_88a8(struct packet *p)
{
	ether(p, HWY_ETH_QINQ, 5, HWY_ETH_IPV4);
}
static void
two_tags(struct packet *p)
{
	ether(p, HWY_ETH_VLAN, 5, HWY_ETH_VLAN);
}
static void
inner_88a8(struct packet *p)
{
	ether(p, HWY_ETH_VLAN, 5, HWY_ETH_QINQ);
}
static void
tag_cut(struct packet *p)
{
	ether(p, HWY_ETH_VLAN, 5, 0x806);
	p->linear = 17;
}
static void
runt_0(struct packet *p)
{
	v4(p);
	p->linear = p->length = 0;
}
static void
runt_13(struct packet *p)
{
	v4(p);
	p->linear = p->length = 13;
}

static const struct row rows[] = {
	{"untagged IPv4", v4, (uint64_t)HWY_ETH_IPV4 << 16 | HWY_CLASS_NO_FRAG},
	{"tagged IPv4", v4_tagged,
	 (uint64_t)TCI(42) << 32 | (uint64_t)HWY_ETH_IPV4 << 16 | HWY_CLASS_NO_FRAG},
	{"priority-tagged IPv4", v4_priority,
	 (uint64_t)0x1000 << 32 | (uint64_t)HWY_ETH_IPV4 << 16 | HWY_CLASS_NO_FRAG},
	{"tag of VID 0", v4_vid0,
	 (uint64_t)0x1000 << 32 | (uint64_t)HWY_ETH_IPV4 << 16 | HWY_CLASS_NO_FRAG},
	{"tag with the CFI bit", v4_cfi,
	 (uint64_t)0x1005 << 32 | (uint64_t)HWY_ETH_IPV4 << 16 | HWY_CLASS_NO_FRAG},
	{"IPv4 without payload", v4_bare, (uint64_t)HWY_ETH_IPV4 << 16 | HWY_CLASS_NO_FRAG},
	{"IPv4, do not fragment", v4_df, (uint64_t)HWY_ETH_IPV4 << 16 | HWY_CLASS_NO_FRAG},
	{"IPv4, reserved bit", v4_evil_bit, (uint64_t)HWY_ETH_IPV4 << 16 | HWY_CLASS_NO_FRAG},
	{"IPv4 padded to 60 bytes", v4_padded, (uint64_t)HWY_ETH_IPV4 << 16 | HWY_CLASS_NO_FRAG},
	{"IPv4 padded by 255 bytes", v4_padded_255,
	 (uint64_t)HWY_ETH_IPV4 << 16 | HWY_CLASS_NO_FRAG},
	{"IPv4 with options", v4_options, (uint64_t)HWY_ETH_IPV4 << 16 | HWY_CLASS_NO_FRAG},
	{"IPv4, payload in the next segment", v4_linear_header,
	 (uint64_t)HWY_ETH_IPV4 << 16 | HWY_CLASS_NO_FRAG},
	{"IPv4 padded by 256 bytes", v4_padded_256, HWY_CLASS_NONE},
	{"IPv4, first fragment", v4_first, HWY_CLASS_NONE},
	{"IPv4, later fragment", v4_later, HWY_CLASS_NONE},
	{"IPv4, last fragment", v4_last, HWY_CLASS_NONE},
	{"IPv4, tagged, middle fragment", v4_middle, HWY_CLASS_NONE},
	{"IPv4, header length 16", v4_short_ihl, HWY_CLASS_NONE},
	{"IPv4, header longer than the packet", v4_long_ihl, HWY_CLASS_NONE},
	{"IPv4, version 6", v4_version, HWY_CLASS_NONE},
	{"IPv4, total length too long", v4_total_long, HWY_CLASS_NONE},
	{"IPv4, total length below the header", v4_total_short, HWY_CLASS_NONE},
	{"IPv4, total length 0", v4_total_zero, HWY_CLASS_NONE},
	{"IPv4, header in two segments", v4_header_cut, HWY_CLASS_NONE},
	{"IPv4, nothing after Ethernet", v4_cut_at_l3, HWY_CLASS_NONE},
	{"IPv4, tagged, header in two segments", v4_tagged_cut, HWY_CLASS_NONE},
	{"IPv6 TCP", v6_tcp, (uint64_t)HWY_ETH_IPV6 << 16 | HWY_CLASS_NO_FRAG},
	{"IPv6 UDP", v6_udp, (uint64_t)HWY_ETH_IPV6 << 16 | HWY_CLASS_NO_FRAG},
	{"IPv6 ICMP", v6_icmp, (uint64_t)HWY_ETH_IPV6 << 16 | HWY_CLASS_NO_FRAG},
	{"IPv6 SCTP", v6_sctp, (uint64_t)HWY_ETH_IPV6 << 16 | HWY_CLASS_NO_FRAG},
	{"IPv6 padded by 255 bytes", v6_padded, (uint64_t)HWY_ETH_IPV6 << 16 | HWY_CLASS_NO_FRAG},
	{"tagged IPv6", v6_tagged,
	 (uint64_t)0x1fff << 32 | (uint64_t)HWY_ETH_IPV6 << 16 | HWY_CLASS_NO_FRAG},
	{"IPv6 hop-by-hop", v6_hop, HWY_CLASS_NONE},
	{"IPv6 routing header", v6_routing, HWY_CLASS_NONE},
	{"IPv6 fragment", v6_fragment, HWY_CLASS_NONE},
	{"IPv6 authentication header", v6_ah, HWY_CLASS_NONE},
	{"IPv6 destination options", v6_options, HWY_CLASS_NONE},
	{"IPv6 no next header", v6_none, HWY_CLASS_NONE},
	{"IPv6 jumbogram", v6_jumbo, HWY_CLASS_NONE},
	{"IPv6 payload too long", v6_long, HWY_CLASS_NONE},
	{"IPv6 padded by 256 bytes", v6_padded_more, HWY_CLASS_NONE},
	{"IPv6, version 4", v6_version, HWY_CLASS_NONE},
	{"IPv6, header in two segments", v6_cut, HWY_CLASS_NONE},
	{"ARP", arp, 0x0806u << 16 | HWY_CLASS_NOT_IP},
	{"tagged ARP", arp_tagged, (uint64_t)0x1007 << 32 | 0x0806u << 16 | HWY_CLASS_NOT_IP},
	{"ARP of 14 bytes", arp_14, 0x0806u << 16 | HWY_CLASS_NOT_IP},
	{"MPLS", mpls, (uint64_t)0x8847 << 16 | HWY_CLASS_NOT_IP},
	{"lowest type", type_600, 0x600u << 16 | HWY_CLASS_NOT_IP},
	{"802.3 length", length_60, HWY_CLASS_NONE},
	{"802.3 length 0", length_0, HWY_CLASS_NONE},
	{"802.3 highest length", length_5ff, HWY_CLASS_NONE},
	{"802.3 length after a tag", length_tagged, HWY_CLASS_NONE},
	{"802.1ad and 802.1Q", qinq, HWY_CLASS_NONE},
	{"802.1ad and IPv4", outer_88a8, HWY_CLASS_NONE},
	{"two 802.1Q tags", two_tags, HWY_CLASS_NONE},
	{"802.1ad inside 802.1Q", inner_88a8, HWY_CLASS_NONE},
	{"tag cut off", tag_cut, HWY_CLASS_NONE},
	{"empty packet", runt_0, HWY_CLASS_NONE},
	{"runt of 13 bytes", runt_13, HWY_CLASS_NONE},
};

static void
every_kind_of_packet_has_the_class_of_the_table(void **state)
{
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* On the heap, exactly as long as it is linear: ASan sees a byte too far. */
		struct packet p;
		uint8_t *exact;
		uint64_t is;

		rows[i].build(&p);
		assert_true(p.linear <= p.length && p.linear <= sizeof(p.b));
		exact = malloc(p.linear + 1);
		assert_non_null(exact);
		memcpy(exact + 1, p.b, p.linear);
		is = hwy_class_of(exact + 1, p.linear, p.length);
		free(exact);
		if (is != rows[i].expected) {
			print_error("%s: 0x%llx, not 0x%llx\n", rows[i].what,
				    (unsigned long long)is, (unsigned long long)rows[i].expected);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

static void
any_cut_of_a_packet_is_read_within_its_bounds(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct packet p;

		rows[i].build(&p);
		for (uint32_t linear = 0; linear <= p.linear; linear++) {
			uint8_t *exact = malloc(linear + 1);

			assert_non_null(exact);
			memcpy(exact + 1, p.b, linear);
			(void)hwy_class_of(exact + 1, linear, linear);
			(void)hwy_class_of(exact + 1, linear, p.length);
			free(exact);
		}
	}
}

static void
the_priority_of_a_tag_makes_no_difference(void **state)
{
	struct packet p;

	(void)state;
	for (uint32_t priority = 0; priority < 8; priority++) {
		ipv4(&p, (int)(priority << 13 | 42), 22);
		assert_true(hwy_class_of(p.b, p.linear, p.length) ==
			    hwy_class_key(TCI(42), HWY_ETH_IPV4));
	}
}

static void
only_the_first_bytes_named_in_the_header_matter(void **state)
{
	struct packet p, q;

	(void)state;
	v6_tagged(&p);
	q = p;
	memset(q.b + HWY_CLASS_LOOKS_AT, 0x5a, sizeof(q.b) - HWY_CLASS_LOOKS_AT);
	assert_true(hwy_class_of(p.b, p.linear, p.length) != HWY_CLASS_NONE);
	assert_true(hwy_class_of(q.b, q.linear, q.length) == hwy_class_of(p.b, p.linear, p.length));
}

/* The short cut for most packets says nothing that the long way does not. */
static void
plain_ipv4_is_what_the_long_way_finds(void **state)
{
	uint64_t dice = test_seed();
	unsigned int plain = 0, other = 0;

	(void)state;
	for (int i = 0; i < 2000000; i++) {
		uint32_t changes = (uint32_t)(test_random(&dice) % 4);
		struct packet p;
		bool is;

		ipv4(&p, -1, 26 + (uint32_t)(test_random(&dice) % 200));
		for (uint32_t c = 0; c < changes; c++) {
			uint64_t at = test_random(&dice);

			p.b[12 + at % 12] ^= (uint8_t)(1u << (at >> 8) % 8);
		}
		if (changes == 3)
			p.linear = (uint32_t)(test_random(&dice) % (p.linear + 1));
		p.length += (uint32_t)(test_random(&dice) % 2 * (test_random(&dice) % 300));
		is = hwy_class_plain_ipv4(p.b, p.linear, p.length);
		if (is)
			assert_true(hwy_class_parse(p.b, p.linear, p.length) == HWY_CLASS_IPV4);
		plain += is;
		other += !is;
	}
	assert_true(plain > 100000 && other > 100000);
}

static void
no_class_has_the_key_of_all_or_none(void **state)
{
	(void)state;
	for (uint32_t type = HWY_ETH_MIN_TYPE; type <= 0xffff; type++) {
		assert_true(hwy_class_key(0, (uint16_t)type) != HWY_CLASS_NONE);
		assert_true(hwy_class_key(0xffff, (uint16_t)type) != HWY_CLASS_ALL);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_packet_has_the_class_of_the_table),
		cmocka_unit_test(any_cut_of_a_packet_is_read_within_its_bounds),
		cmocka_unit_test(the_priority_of_a_tag_makes_no_difference),
		cmocka_unit_test(only_the_first_bytes_named_in_the_header_matter),
		cmocka_unit_test(plain_ipv4_is_what_the_long_way_finds),
		cmocka_unit_test(no_class_has_the_key_of_all_or_none),
	};

	return cmocka_run_group_tests_name("class", tests, NULL, NULL);
}
