# SPDX-License-Identifier: BSD-3-Clause
"""D. OpenFlow's and the ports' statistics are exact, whichever way the packets went."""

import re
import time

from lab import Process, wait_until

from .kit import clean, finish, go, same, seconds, sure
from .region import GUEST


def _exact(t, bed, report, src=1, dst=2, match=""):
    """Rules, port rx of the sender and port tx of the receiver count what the guest
    end of the sender counted."""
    want = report["sent"], report["sent_bytes"]
    port = report["per_port"][0]
    same((port["opackets"], port["obytes"]), want, "tx_good_packets and bytes of the guest end")
    bed.wait_packets(want, match)
    bed.wait_port(src, rx_pkts=want[0], rx_bytes=want[1])
    bed.wait_port(dst, tx_pkts=want[0], tx_bytes=want[1])


def _max_idle(t, bed, value):
    bed.ovs.set_other_config(max_idle=value)
    t.defer(bed.ovs.set_other_config, max_idle=10000)


@seconds(120)
def test_exact_after_idle_expiry(t):
    """Five pauses in which Open vSwitch forgets its megaflows: not one packet goes uncounted."""
    bed = t.bed(2)
    _max_idle(t, bed, 500)
    bed.rules("in_port=1,actions=output:2")
    one = t.traffic("gensink", "p1", "p2", rate=20e3, size="64-1500", flows=4).start()
    one.expect("ready")
    for _ in range(5):
        one.control("start")
        t.wait_link("p1", "p2")
        mark = t.end("p1")["tx_bypass_packets"]
        wait_until(lambda m=mark: t.end("p1")["tx_bypass_packets"] > m + 2000, 10, "packets by the link", one)
        one.control("stop")
        wait_until(lambda: not bed.ovs.datapath_flows(), 15, "the megaflows to be forgotten")
        t.wait_no_link("p1", "p2")
    _exact(t, bed, clean(finish(one)))


@seconds(120)
def test_exact_after_switch_overs(t):
    """30 switch-overs by the operator's word: the counters are those of the guest."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    one = t.traffic("gensink", "p1", "p2", rate=20e3, size="64-600").start()
    go(one)
    word = ["--dir", t.dir, "--domain", t.domain, "set", "port", "p2"]
    for _ in range(15):
        t.wait_link("p1", "p2")
        mark = t.end("p1")["tx_bypass_packets"]
        wait_until(lambda m=mark: t.end("p1")["tx_bypass_packets"] > m + 200, 10, "packets by the link", one)
        t.ctl(*word, "bypass=off")
        t.wait_no_link("p1", "p2")
        t.ctl(*word, "bypass=on")
    _exact(t, bed, clean(finish(one)))


@seconds(150)
def test_exact_after_rule_changes(t):
    """Narrower rules come and go, and mod-flows leads to another port and back: sums stay exact."""
    bed = t.bed(3)
    bed.rules("priority=100,in_port=1,actions=output:2")
    sinks = [t.sink(f"p{n}", name=f"sink{n}") for n in (2, 3)]
    one = t.traffic("gen", "p1", rate=20e3, size="64-600", flows=4).start()
    go(one)
    for _ in range(4):
        t.wait_link("p1", "p2")
        bed.rules("priority=200,in_port=1,udp,tp_dst=7777,actions=output:2")
        t.wait_no_link("p1", "p2", deadline_s=20)
        bed.ovs.ofctl("--strict", "del-flows", bed.bridge, "priority=200,in_port=1,udp,tp_dst=7777")
        bed.ovs.ofctl("--strict", "mod-flows", bed.bridge, "priority=100,in_port=1,actions=output:3")
        bed.ovs.appctl("revalidator/purge")  # A narrow megaflow stays as long as it is used.
        t.wait_link("p1", "p3")
        bed.ovs.ofctl("--strict", "mod-flows", bed.bridge, "priority=100,in_port=1,actions=output:2")
    t.wait_link("p1", "p2")
    mark = t.end("p1")["tx_bypass_packets"]
    wait_until(lambda: t.end("p1")["tx_bypass_packets"] > mark + 2000, 10, "packets by the link", one)
    report = finish(one)
    want = report["sent"], report["sent_bytes"]
    wait_until(lambda: sum(t.end(f"p{n}")["rx_packets"] for n in (2, 3)) >= want[0], 10, "all to arrive", one)
    got = {n: (t.end(f"p{n}", GUEST)["rx_packets"], t.end(f"p{n}", GUEST)["rx_bytes"]) for n in (2, 3)}
    bed.wait_packets(want, sender="p1")
    bed.wait_port(1, rx_pkts=want[0], rx_bytes=want[1])
    for n in (2, 3):
        bed.wait_port(n, tx_pkts=got[n][0], tx_bytes=got[n][1])
    for sink in sinks:
        report = finish(sink)
        same((report["duplicated"], report["corrupted"]), (0, 0), "duplicated, corrupted")


@seconds(60)
def test_exact_when_a_rule_leads_elsewhere(t):
    """One rule is led from one port to another while packets bypass the switch: it counts those of both links."""
    bed = t.bed(3)
    bed.rules("priority=100,in_port=1,actions=output:2")
    sinks = [t.sink(f"p{n}", name=f"sink{n}") for n in (2, 3)]
    one = t.traffic("gen", "p1", rate=20e3, size=200).start()
    go(one)
    for n in (2, 3):
        bed.ovs.ofctl("--strict", "mod-flows", bed.bridge, f"priority=100,in_port=1,actions=output:{n}")
        t.wait_link("p1", f"p{n}")
        mark = t.end(f"p{n}")["rx_bypass_packets"]
        wait_until(lambda n=n, m=mark: t.end(f"p{n}")["rx_bypass_packets"] > m + 3000, 10, "packets by the link", one)
    report = finish(one)
    bed.wait_packets((report["sent"], report["sent_bytes"]), sender="p1")
    bed.wait_port(1, rx_pkts=report["sent"], rx_bytes=report["sent_bytes"])
    finish(*sinks)


def _removed(monitor):
    """(packets, bytes) summed over the flow-removed messages so far."""
    found = re.findall(r"FLOW_REMOVED.*?pkts(\d+) bytes(\d+)", monitor.output, re.DOTALL)
    return sum(int(p) for p, _ in found), sum(int(b) for _, b in found)


def _monitor(t, bed):
    return Process(t.lab, f"{t.short}-monitor", ["ovs-ofctl", "-O", "OpenFlow13", "monitor", bed.bridge, "65534"],
                   env=bed.ovs.env, tty=True).start()


@seconds(120)
def test_exact_over_deleted_rules(t):
    """A rule is deleted and added again under traffic: flow-removed messages and the rest account for every packet."""
    bed = t.bed(2)
    monitor = _monitor(t, bed)
    rule = "priority=100,send_flow_rem,in_port=1,actions=output:2"
    low = "priority=1,in_port=1,actions=drop"
    bed.rules(rule, low)
    one = t.traffic("gen", "p1", rate=20e3, size="64-600").start()
    sink = t.sink("p2")
    go(one)
    for _ in range(4):
        t.wait_link("p1", "p2")
        mark = t.end("p1")["tx_bypass_packets"]
        wait_until(lambda m=mark: t.end("p1")["tx_bypass_packets"] > m + 1000, 10, "packets by the link", one)
        bed.ovs.ofctl("--strict", "del-flows", bed.bridge, "priority=100,in_port=1")
        t.wait_no_link("p1", "p2")
        bed.rules(rule)
    t.wait_link("p1", "p2")
    report = finish(one)
    want = report["sent"], report["sent_bytes"]

    def total():
        left, gone = bed.packets(), _removed(monitor)
        return left[0] + gone[0], left[1] + gone[1]
    try:
        wait_until(lambda: total() == want, 15, f"rules and flow-removed messages to count {want}",
                   lambda: f"{total()} = rules {bed.packets()} + removed {_removed(monitor)}")
    finally:
        monitor.stop()
    bed.wait_port(1, rx_pkts=want[0], rx_bytes=want[1])
    report = finish(sink)
    same((report["duplicated"], report["reordered"], report["corrupted"]), (0, 0, 0), "duplicated, reordered, corrupted")


@seconds(120)
def test_idle_timeout(t):
    """idle_timeout=4 does not fire during 10 s of bypassed traffic, and does afterwards, with the exact count."""
    bed = t.bed(2)
    monitor = _monitor(t, bed)
    one = t.traffic("gensink", "p1", "p2", rate=5e3).start()
    one.expect("ready")
    bed.rules("idle_timeout=4,send_flow_rem,in_port=1,actions=output:2")
    one.control("start")
    t.wait_link("p1", "p2")
    begin, before = time.monotonic(), t.end("p1")
    wait_until(lambda: time.monotonic() > begin + 10, 20, "10 s of traffic", one)
    sure(bed.ovs.flows(bed.bridge), "the rule is still there after 10 s")
    after = t.end("p1")
    went = {kind: after[f"tx_{kind}_packets"] - before[f"tx_{kind}_packets"] for kind in ("bypass", "normal")}
    sure(went["bypass"] > 9 * went["normal"] + 5000, f"the traffic bypassed the switch: {went}")
    one.control("stop")
    wait_until(lambda: not bed.ovs.flows(bed.bridge), 20, "the rule to expire")
    report = clean(finish(one))
    try:
        wait_until(lambda: _removed(monitor)[0], 10, "the flow-removed message", monitor)
        same(_removed(monitor), (report["sent"], report["sent_bytes"]), "packets and bytes of flow-removed")
    finally:
        monitor.stop()


@seconds(90)
def test_counters_only_grow(t):
    """Rule and port counters never go back while they are sampled under switch-overs."""
    bed = t.bed(3)
    bed.rules("priority=100,in_port=1,actions=output:2")
    one = t.traffic("gensink", "p1", "p2", rate=20e3, size="64-600").start()
    go(one)
    last = {}
    end = time.monotonic() + 8
    turn = 0
    while time.monotonic() < end:
        turn += 1
        if turn % 10 == 0:
            bed.rules("priority=200,in_port=1,actions=output:2,output:3")
        elif turn % 10 == 5:
            bed.delete("priority=200,in_port=1", strict=True)
        rule = next(f for f in bed.ovs.flows(bed.bridge) if f["priority"] == 100)
        ports = bed.ovs.port_stats(bed.bridge)
        now = {"n_packets": rule["n_packets"], "n_bytes": rule["n_bytes"], "rx": ports[1]["rx_pkts"],
               "rx_bytes": ports[1]["rx_bytes"], "tx": ports[2]["tx_pkts"], "tx_bytes": ports[2]["tx_bytes"]}
        for key, value in now.items():
            sure(value >= last.get(key, 0), f"{key} went back from {last.get(key)} to {value}")
        last = now
    bed.delete("priority=200,in_port=1", strict=True)
    report = clean(finish(one))
    bed.wait_port(1, rx_pkts=report["sent"], rx_bytes=report["sent_bytes"])
    bed.wait_port(2, tx_pkts=report["sent"], tx_bytes=report["sent_bytes"])


def test_statistics_of_two_classes(t):
    """Two rules of one port, for IP and for ARP, are each counted for themselves."""
    bed = t.bed(2)
    bed.rules("in_port=1,ip,actions=output:2", "in_port=1,arp,actions=output:2")
    one = t.traffic("gensink", "p1", "p2", rate=20e3, eth_type="ipv4,ipv4,ipv4,arp", flows=4, size=100).start()
    go(one)
    t.wait_link("p1", "p2")
    wait_until(lambda: len(t.routed("p1").get("p2", ())) == 2, 10, "two routes")
    mark = t.end("p1")["tx_bypass_packets"]
    wait_until(lambda: t.end("p1")["tx_bypass_packets"] > mark + 10000, 10, "packets by the link", one)
    report = clean(finish(one))
    bed.wait_packets((report["sent"], report["sent_bytes"]))
    ip, arp = bed.packets("in_port=1,ip")[0], bed.packets("in_port=1,arp")[0]
    sure(abs(ip - 3 * arp) <= 8, f"three of four are IP: {ip} and {arp}")
