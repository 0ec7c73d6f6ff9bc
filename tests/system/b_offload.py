# SPDX-License-Identifier: BSD-3-Clause
"""B. With Open vSwitch: which rules open links, and which keep packets at the switch."""

from lab import wait_until

from .kit import clean, finish, go, same, sure


def _bypassed(t, bed, src, dst, name=None, domain=None, count=20000, **options):
    """Sends until the link is open, then 'count' more.  The checks: nothing lost, and
    the link did carry packets."""
    one = t.traffic("gensink", src, dst, rate=30e3, name=name or f"{src}{dst}", domain=domain, **options).start()
    go(one)
    t.wait_link(src, dst, domain=domain)
    before = t.end(src, domain=domain)["tx_bypass_packets"]
    wait_until(lambda: t.end(src, domain=domain)["tx_bypass_packets"] >= before + count, 20, f"{count} by the link", one)
    links = t.links(domain)
    one.quit()
    same(one.wait(), 0, "exit status")
    return clean(one.result()), links


def _switched(t, bed, src, dst, match="", count=10000, domain=None, per_packet=1, **options):
    """Sends 'count' packets which all go by the switch and arrive, and are counted once
    (per rule that they pass)."""
    before = bed.packets(match)
    one = t.traffic("gensink", src, dst, rate=20e3, name=f"sw{next(t.bench.numbers)}", count=count, domain=domain,
                    **options).start()
    go(one)
    wait_until(lambda: t.end(dst, domain=domain)["rx_packets"] >= count, 20, f"{count} packets", one, [one])
    end, links = t.end(src, domain=domain), t.links(domain)
    one.quit()
    same(one.wait(), 0, "exit status")
    report = clean(one.result())
    same(end["tx_bypass_packets"], 0, "packets by a link")
    sure((src, dst) not in links or links[src, dst] != "open", f"no link is open: {links}")
    after = (before[0] + report["sent"] * per_packet, before[1] + report["sent_bytes"] * per_packet)
    bed.wait_packets(after, match)
    return report


def test_one_rule_opens_one_direction(t):
    """A rule from 1 to 2 opens the link from 1 to 2 and none back."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    report, links = _bypassed(t, bed, "p1", "p2")
    same(links, {("p1", "p2"): "open"}, "links")
    bed.wait_packets((report["sent"], report["sent_bytes"]))
    bed.wait_port(1, rx_pkts=report["sent"], rx_bytes=report["sent_bytes"])
    bed.wait_port(2, tx_pkts=report["sent"], tx_bytes=report["sent_bytes"])


def test_two_rules_open_both_directions(t):
    """Rules both ways open both links, under traffic both ways."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2", "in_port=2,actions=output:1")
    one = t.traffic("gensink", "p1", "p2", bidir=True, rate=20e3).start()
    go(one)
    t.wait_link("p1", "p2")
    t.wait_link("p2", "p1")
    wait_until(lambda: min(t.end(p)["tx_bypass_packets"] for p in ("p1", "p2")) > 10000, 20, "packets both ways", one)
    one.quit()
    same(one.wait(), 0, "exit status")
    clean(one.result())


def test_fan_in(t):
    """Three links into one port deliver everything in order."""
    bed = t.bed(4)
    bed.rules(*(f"in_port={n},actions=output:4" for n in (1, 2, 3)))
    sink = t.sink("p4")
    senders = [t.traffic("gen", f"p{n}", name=f"gen{n}", id=n, rate=12e3, size="64-800").start() for n in (1, 2, 3)]
    go(*senders)
    for n in (1, 2, 3):
        t.wait_link(f"p{n}", "p4")
    wait_until(lambda: all(t.end(f"p{n}")["tx_bypass_packets"] > 12000 for n in (1, 2, 3)), 20, "packets", sink)
    for sender in senders:
        sender.quit()
        same(sender.wait(), 0, f"exit status of {sender.name}")
    sent = sum(sender.result()["sent"] for sender in senders)
    wait_until(lambda: t.end("p4")["rx_packets"] >= sent, 10, "the rest", sink)
    sink.quit()
    same(sink.wait(), 0, "exit status of the sink")
    clean(sink.result(), sent)
    bed.wait_packets((sent, sum(s.result()["sent_bytes"] for s in senders)))


def test_ipv6_and_arp_are_classes_too(t):
    """IPv4, IPv6, ARP, MPLS and unknown ether types of one rule share one link."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    report, _ = _bypassed(t, bed, "p1", "p2", eth_type="ipv4,ipv6,arp,0x8847,0x88b5", size="86-600", flows=5)
    same(report["flows_seen"], 5, "flows seen")
    bed.wait_packets((report["sent"], report["sent_bytes"]))


def test_classes_to_different_ports(t):
    """IP of port 1 goes to port 2 and ARP to port 3, each by a link of its own."""
    bed = t.bed(3)
    bed.rules("in_port=1,ip,actions=output:2", "in_port=1,arp,actions=output:3")
    sinks = {n: t.sink(f"p{n}", name=f"sink{n}") for n in (2, 3)}
    sender = t.traffic("gen", "p1", rate=20e3, eth_type="ipv4,arp", flows=4, size="64-300").start()
    go(sender)
    for n in (2, 3):
        t.wait_link("p1", f"p{n}")
        wait_until(lambda n=n: t.end(f"p{n}")["rx_bypass_packets"] > 5000, 20, f"packets at p{n}", sender)
    sent = finish(sender)["sent"]
    wait_until(lambda: sum(t.end(f"p{n}")["rx_packets"] for n in (2, 3)) >= sent, 10, "the rest", sender)
    for n, sink in sinks.items():
        sink.quit()
        same(clean(sink.result())["flows_seen"], 2, f"flows seen at p{n}")
    same(sum(s.result()["received"] for s in sinks.values()), sent, "packets of both")


def test_l4_match_stays_at_the_switch(t):
    """A rule that looks at UDP ports keeps the class at the switch, with right counters."""
    bed = t.bed(2)
    bed.rules("priority=10,in_port=1,actions=output:2", "priority=20,in_port=1,udp,tp_dst=53,actions=drop")
    _switched(t, bed, "p1", "p2")


def test_two_outputs_stay_at_the_switch(t):
    """Packets for two ports are copied by the switch, and arrive at both."""
    bed = t.bed(3)
    bed.rules("in_port=1,actions=output:2,output:3")
    third = t.sink("p3")
    report = _switched(t, bed, "p1", "p2")
    wait_until(lambda: t.end("p3")["rx_packets"] >= report["sent"], 10, "the copies", third)
    third.quit()
    clean(third.result(), report["sent"])


def test_normal_action_stays_at_the_switch(t):
    """NORMAL (learning) stays at the switch and everything arrives."""
    bed = t.bed(2)
    bed.rules("actions=NORMAL")
    _switched(t, bed, "p1", "p2")


def test_drop_is_obeyed(t):
    """A rule without output drops, counts, and opens no link."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=drop")
    receiver = t.sink("p2")
    one = t.traffic("gen", "p1", count=5000, rate=20e3, control=False)
    report = one.run(60)
    bed.wait_packets((report["sent"], report["sent_bytes"]))
    same((t.end("p2")["rx_packets"], t.links()), (0, {}), "received, links")
    receiver.quit()


def test_output_to_a_foreign_port(t):
    """Output to a port that is none of Highway's stays at the switch."""
    t.allow.append(r"xlate_key failed")  # net_null sends until the bridge is gone.
    bed = t.bed(2)
    bed.ovs.add_port(bed.bridge, f"{t.short}null", "dpdk", 9, dpdk_devargs=f"net_null{next(t.bench.numbers)}")
    bed.rules("in_port=1,actions=output:9")
    receiver = t.sink("p2")
    report = t.traffic("gen", "p1", count=5000, rate=20e3, control=False).run(60)
    bed.wait_packets((report["sent"], report["sent_bytes"]), "in_port=1")
    wait_until(lambda: bed.ovs.port_stats(bed.bridge, 9)["tx_pkts"] == report["sent"], 10, "the foreign port's count")
    same(t.links(), {}, "links")
    receiver.quit()


def test_other_domain_stays_at_the_switch(t):
    """Between two domains packets are copied by the switch, and arrive."""
    bed = t.bed(1)
    other = t.domain + "b"
    bed.add(2, "q2", domain=other)
    bed.rules("in_port=1,actions=output:2")
    one = t.traffic("gensink", "p1", ("q2", {"domain": other}), count=10000, rate=20e3, size="64-1500",
                    control=False)
    report = clean(one.run(60))
    bed.wait_packets((report["sent"], report["sent_bytes"]))


def test_vlan_push_stays_at_the_switch(t):
    """A rule that pushes a VLAN tag stays at the switch; the tag arrives, 4 bytes longer."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=push_vlan:0x8100,set_field:4101->vlan_vid,output:2")
    sink = t.sink("p2")
    report = t.traffic("gen", "p1", count=5000, rate=20e3, size=200, control=False).run(60)
    wait_until(lambda: t.end("p2")["rx_packets"] == report["sent"], 10, "all to arrive", sink)
    same(t.end("p2")["rx_bytes"], 204 * report["sent"], "bytes with the tag")
    same(t.end("p2")["rx_bypass_packets"], 0, "packets by a link")
    sink.quit()


def test_two_bridges(t):
    """Two bridges of one switch with ports of one domain: each has its own link."""
    first = t.bed({1: "p1", 2: "p2"})
    second = t.bed({1: "p3", 2: "p4"}, bridge=f"br-{t.short}b")
    first.rules("in_port=1,actions=output:2")
    second.rules("in_port=1,actions=output:2")
    _bypassed(t, first, "p1", "p2", count=5000)
    _, links = _bypassed(t, second, "p3", "p4", count=5000)
    same(links["p3", "p4"], "open", "the second link")
