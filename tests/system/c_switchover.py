# SPDX-License-Identifier: BSD-3-Clause
"""C. Switch-overs under sequence-numbered traffic: nothing lost, duplicated, reordered
or corrupted, however often and by whatever cause."""

from lab import wait_until

from .kit import clean, finish, go, same, seconds

ASIDE = "priority=200,in_port={0},actions=output:{1},output:3"


def _more(t, ports, kind, count, program):
    """Waits until each of 'ports' has sent 'count' more packets by 'kind'."""
    key = f"tx_{kind}_packets"
    marks = {port: t.end(port)[key] for port in ports}
    wait_until(lambda: all(t.end(port)[key] >= mark + count for port, mark in marks.items()), 15,
               f"{count} packets of {ports} by {kind}", program, [program])


def _switch_over(t, one, off, on, ways, times, count=150):
    """'times' times to the switch and back again, under traffic all the while."""
    go(one)
    for src, dst in ways:
        t.wait_link(src, dst)
    for _ in range(times):
        off()
        for src, dst in ways:
            t.wait_no_link(src, dst)
        _more(t, [src for src, _ in ways], "normal", count, one)
        on()
        for src, dst in ways:
            t.wait_link(src, dst)
        _more(t, [src for src, _ in ways], "bypass", count, one)
    return clean(finish(one))


def _by_rules(t, bed, one, ways, times=20):
    """Rules are changed in place: to two outputs and back."""
    number = {port: n for n, port in bed.ports.items()}
    pairs = [(number[src], number[dst]) for src, dst in ways]
    bed.rules(*(f"priority=100,in_port={a},actions=output:{b}" for a, b in pairs))
    return _switch_over(t, one, lambda: bed.rules(*(ASIDE.format(a, b) for a, b in pairs)),
                        lambda: [bed.delete(f"priority=200,in_port={a}", strict=True) for a, _ in pairs], ways, times)


@seconds(150)
def test_by_rule_changes(t):
    """40 switch-overs by rule changes, packets of 64 to 1500 bytes, one direction."""
    bed = t.bed(3)
    one = t.traffic("gensink", "p1", "p2", rate=30e3, size="64-1500", flows=8).start()
    _by_rules(t, bed, one, [("p1", "p2")])


@seconds(150)
def test_by_rule_changes_in_both_directions(t):
    """40 switch-overs of each direction, by rule changes, with traffic both ways."""
    bed = t.bed(3)
    one = t.traffic("gensink", "p1", "p2", rate=20e3, size="64-300", flows=4, bidir=True).start()
    _by_rules(t, bed, one, [("p1", "p2"), ("p2", "p1")])


@seconds(150)
def test_by_rule_changes_with_two_queues(t):
    """40 switch-overs with two queues and two PMD threads: every flow keeps its order."""
    bed = t.bed(3, ovs=t.ovs("two"), queues=2)
    more = {"queues": 2}
    one = t.traffic("gensink", ("p1", more), ("p2", more), queues=2, flows=16, rate=30e3, size="64-600").start()
    _by_rules(t, bed, one, [("p1", "p2")])


@seconds(150)
def test_with_unequal_queues(t):
    """40 switch-overs from a port with four queues to one with two, two PMD threads."""
    bed = t.bed(3, ovs=t.ovs("two"), queues=[4, 2, 1], n_rxq=2)
    sink = t.sink(("p2", {"queues": 2}), queues=2)
    one = t.traffic("gen", ("p1", {"queues": 4}), queues=4, flows=16, rate=30e3).start()
    bed.rules("priority=100,in_port=1,actions=output:2")
    go(one)
    t.wait_link("p1", "p2")
    for _ in range(20):
        bed.rules(ASIDE.format(1, 2))
        t.wait_no_link("p1", "p2")
        _more(t, ["p1"], "normal", 150, one)
        bed.delete("priority=200,in_port=1", strict=True)
        t.wait_link("p1", "p2")
        _more(t, ["p1"], "bypass", 150, one)
    sent = finish(one)["sent"]
    wait_until(lambda: t.end("p2")["rx_packets"] >= sent, 10, "the rest", sink)
    clean(finish(sink), sent)


@seconds(150)
def test_by_operator(t):
    """40 switch-overs by `highwayctl set port bypass=off|on`."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    one = t.traffic("gensink", "p1", "p2", rate=30e3, size="64-600").start()
    word = ["--dir", t.dir, "--domain", t.domain, "set", "port"]
    report = _switch_over(t, one, lambda: t.ctl(*word, "p1", "bypass=off"), lambda: t.ctl(*word, "p1", "bypass=on"),
                          [("p1", "p2")], 20)
    bed.wait_packets((report["sent"], report["sent_bytes"]))


def test_by_operator_for_a_domain(t):
    """10 switch-overs of both directions by `highwayctl set domain bypass=off|on`."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2", "in_port=2,actions=output:1")
    one = t.traffic("gensink", "p1", "p2", rate=20e3, bidir=True).start()
    word = ["--dir", t.dir, "set", "domain", t.domain]
    _switch_over(t, one, lambda: t.ctl(*word, "bypass=off"), lambda: t.ctl(*word, "bypass=on"),
                 [("p1", "p2"), ("p2", "p1")], 5)


@seconds(150)
def test_along_a_chain(t):
    """A chain of two links with a forwarding VNF: each is switched over in turn, 20 times."""
    bed = t.bed(5)
    vnf = t.testpmd("vnf", t.guests("p2", "p4")).start()
    vnf.start_forwarding()
    bed.rules("priority=100,in_port=1,actions=output:2", "priority=100,in_port=4,actions=output:5")
    one = t.traffic("gensink", "p1", "p5", rate=20e3, size="200-1500").start()
    go(one)
    t.wait_link("p1", "p2")
    t.wait_link("p4", "p5")
    for turn in range(10):
        src, dst = ((1, 2), (4, 5))[turn % 2]
        bed.rules(ASIDE.format(src, dst))
        t.wait_no_link(f"p{src}", f"p{dst}")
        _more(t, [f"p{src}"], "normal", 200, one)
        bed.delete(f"priority=200,in_port={src}", strict=True)
        t.wait_link(f"p{src}", f"p{dst}")
        _more(t, [f"p{src}"], "bypass", 200, one)
    clean(finish(one))
    same(vnf.quit(), 0, "exit status of the VNF")


@seconds(150)
def test_with_fan_in(t):
    """Two senders into one port, one of them switched over 20 times: both keep their order."""
    bed = t.bed({1: "p1", 2: "p2", 3: "p3", 4: "p4"})
    bed.rules("priority=100,in_port=1,actions=output:2", "priority=100,in_port=4,actions=output:2")
    sink = t.sink("p2")
    first = t.traffic("gen", "p1", name="gen1", id=1, rate=15e3, size="64-600").start()
    other = t.traffic("gen", "p4", name="gen4", id=4, rate=15e3, size="64-600").start()
    go(first, other)
    t.wait_link("p1", "p2")
    t.wait_link("p4", "p2")
    for _ in range(10):
        bed.rules(ASIDE.format(1, 2))
        t.wait_no_link("p1", "p2")
        _more(t, ["p1"], "normal", 200, first)
        bed.delete("priority=200,in_port=1", strict=True)
        t.wait_link("p1", "p2")
        _more(t, ["p1"], "bypass", 200, first)
    sent = finish(first)["sent"] + finish(other)["sent"]
    wait_until(lambda: t.end("p2")["rx_packets"] >= sent, 10, "the rest", sink)
    clean(finish(sink), sent)
