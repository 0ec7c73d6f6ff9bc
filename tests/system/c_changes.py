# SPDX-License-Identifier: BSD-3-Clause
"""C. Harder changes under traffic: ports that go and come, are set down, VNFs that die."""

import time

from lab import wait_until

from .kit import clean, finish, go, same, seconds, sure
from .region import HOST


def _moves(t, port, key, count, program, what):
    mark = t.end(port)[key]
    wait_until(lambda: t.end(port)[key] >= mark + count, 15, what, program, [program])


def test_port_of_others_removed(t):
    """A port is removed and added again five times: the link between two others loses nothing."""
    bed = t.bed(3)
    bed.rules("in_port=1,actions=output:2", "in_port=3,actions=output:2")
    one = t.traffic("gensink", "p1", "p2", rate=30e3).start()
    go(one)
    t.wait_link("p1", "p2")
    for _ in range(5):
        bed.remove(3)
        _moves(t, "p2", "rx_packets", 500, one, "packets without port 3")
        bed.add(3, "p3")
        _moves(t, "p2", "rx_packets", 500, one, "packets with port 3")
    clean(finish(one))


def test_own_port_removed(t):
    """The receiver's port is removed and added in the middle: traffic resumes by the link, in order, not twice."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    one = t.traffic("gensink", "p1", "p2", rate=20e3).start()
    go(one)
    t.wait_link("p1", "p2")
    for turn in range(3):
        _moves(t, "p1", "tx_bypass_packets", 500, one, "packets by the link")
        bed.remove(2)
        wait_until(lambda: t.end("p2", HOST)["state"] == "detached", 10, "the host end to be gone")
        t.wait_no_link("p1", "p2")
        bed.add(2, "p2")
        t.wait_link("p1", "p2")
    _moves(t, "p2", "rx_bypass_packets", 500, one, "packets by the link")
    report = finish(one)
    same((report["duplicated"], report["reordered"], report["corrupted"]), (0, 0, 0),
         "duplicated, reordered, corrupted")
    sure(report["received"] > 2000, f"it went on: {report['received']} received")


def test_senders_port_removed(t):
    """The sender's port is removed and added in the middle: traffic resumes by the link, in order, not twice."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    one = t.traffic("gensink", "p1", "p2", rate=20e3).start()
    go(one)
    t.wait_link("p1", "p2")
    for _ in range(3):
        _moves(t, "p1", "tx_bypass_packets", 500, one, "packets by the link")
        bed.remove(1)
        wait_until(lambda: t.links().get(("p1", "p2")) != "open", 10, "the link to be closed")
        bed.add(1, "p1")
        t.wait_link("p1", "p2")
    _moves(t, "p2", "rx_bypass_packets", 500, one, "packets by the link")
    report = finish(one)
    same((report["duplicated"], report["reordered"], report["corrupted"]), (0, 0, 0),
         "duplicated, reordered, corrupted")


def test_port_down_and_up(t):
    """mod-port down stops both paths of a port, up brings them back."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    one = t.traffic("gensink", "p1", "p2", rate=20e3, drop_on_full=True).start()
    go(one)
    t.wait_link("p1", "p2")
    for number in (1, 2, 1, 2):
        _moves(t, "p2", "rx_bypass_packets", 500, one, "packets by the link")
        bed.ovs.ofctl("mod-port", bed.bridge, bed.ovs_name(f"p{number}"), "down")
        t.wait_no_link("p1", "p2")
        wait_until(lambda: _still(t, "p2", one), 20, f"nothing to arrive while port {number} is down")
        bed.ovs.ofctl("mod-port", bed.bridge, bed.ovs_name(f"p{number}"), "up")
        t.wait_link("p1", "p2")
    _moves(t, "p2", "rx_bypass_packets", 500, one, "packets by the link")
    report = finish(one)
    same((report["duplicated"], report["reordered"], report["corrupted"]), (0, 0, 0),
         "duplicated, reordered, corrupted")


def _still(t, port, one):
    """Does the port receive nothing while the generator tries to send 2,000 more?"""
    wait_until(lambda: _quiet(t, port), 5, f"{port} to get quiet", one)
    before = t.end(port)["rx_packets"]
    tried = one.live().get("tx_dropped", 0)
    wait_until(lambda: one.live().get("tx_dropped", 0) > tried + 2000
               or t.end("p1")["tx_packets"] > before + 4000, 10, "the generator to try", one)
    return t.end(port)["rx_packets"] == before


def _quiet(t, port):
    before = t.end(port)["rx_packets"]
    time.sleep(0.05)
    return t.end(port)["rx_packets"] == before


@seconds(120)
def test_receiver_killed(t):
    """A receiver is killed with -9 five times and started again: traffic resumes, others lose nothing."""
    bed = t.bed(4)
    bed.rules("in_port=1,actions=output:2", "in_port=3,actions=output:4")
    others = t.traffic("gensink", "p3", "p4", name="others", rate=10e3).start()
    sender = t.traffic("gen", "p1", rate=10e3, size="300-1500").start()
    sink = t.sink("p2", name="sink0")
    go(others, sender)
    for turn in range(5):
        t.wait_link("p1", "p2")
        t.wait_link("p3", "p4")
        _moves(t, "p2", "rx_bypass_packets", 500, sink, "packets by the link")
        sink.kill9()
        t.wait_no_link("p1", "p2")
        _moves(t, "p4", "rx_packets", 500, others, "the others to go on")
        sink = t.sink("p2", name=f"sink{turn + 1}")
    t.wait_link("p1", "p2")
    _moves(t, "p2", "rx_bypass_packets", 500, sink, "packets by the link")
    finish(sender)
    report = finish(sink)
    same((report["duplicated"], report["reordered"], report["corrupted"]), (0, 0, 0), "duplicated, reordered, corrupted")
    clean(finish(others))


@seconds(120)
def test_sender_killed(t):
    """A sender is killed with -9 five times and started again: its link opens again, others lose nothing."""
    bed = t.bed(4)
    bed.rules("in_port=1,actions=output:2", "in_port=3,actions=output:2")
    sink = t.sink("p2")
    other = t.traffic("gen", "p3", name="other", id=3, rate=10e3, size="300-1500").start()
    go(other)
    for turn in range(5):
        sender = t.traffic("gen", "p1", name=f"gen{turn}", id=10 + turn, rate=10e3, size="300-1500").start()
        go(sender)
        t.wait_link("p1", "p2")
        _moves(t, "p1", "tx_bypass_packets", 500, sender, "packets by the link")
        sender.kill9()
        t.wait_no_link("p1", "p2")
        _moves(t, "p2", "rx_packets", 500, sink, "the other one's packets")
    finish(other)
    report = finish(sink)
    same([report[k] for k in ("lost", "duplicated", "reordered", "corrupted")], [0, 0, 0, 0],
         "lost, duplicated, reordered, corrupted")
