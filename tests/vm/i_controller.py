# SPDX-License-Identifier: BSD-3-Clause
"""I. What a controller does to, and is told of, virtual machines that bypass its switch."""

import time

from lab import pcap, wait_until
from tests.system.kit import same, seconds, sure

from .rig import Pair

OUT, OUTS = pcap.ethernet(0x88B5, b"packet-out" * 6), 10


def _silence(pair, number):
    """While the port is down nothing arrives at p2 for a second, in which 1,000 packets are offered."""
    def counts():
        return pair.end(2)["rx_packets"]

    def quiet():
        before, begin = counts(), time.monotonic()
        wait_until(lambda: time.monotonic() > begin + 1, 10, "a second")
        return counts() == before

    pair.wait(quiet, f"nothing to arrive while port {number} is down")
    same(pair.t.links("@p1").get(("p1", "p2")) == "open", False, "is the link open?")


@seconds(240)
def test_a_controller_and_machines_that_bypass_the_switch(t):
    """Packet-outs reach a machine that bypasses the switch, the ports' statistics equal what the guests count, and a port
    that is down gets nothing by either path until it is up again"""
    pair = Pair(t)
    pair.start(drop_on_full=True)
    pair.join(1, 2)
    pair.wait_bypassed((1, 2))
    before = pair.end(2)["rx_normal_packets"]
    for _ in range(OUTS):
        pair.bed.ovs.ofctl("packet-out", pair.bed.bridge, f"in_port=controller,packet={OUT.hex()},actions=output:2")
    pair.wait(lambda: pair.end(2)["rx_normal_packets"] >= before + OUTS, "the packet-outs to arrive")
    pair.wait_bypassed((1, 2))
    same(pair.end(2)["rx_normal_packets"], before + OUTS, "packets by the switch")
    pair.still(pair.gen, arrived=lambda: pair.end(2)["rx_packets"] == pair.end(1)["tx_packets"] + OUTS)
    pair.wait_counted()
    sure(pair.end(2)["rx_bypass_packets"] > pair.end(2)["rx_normal_packets"], "most went by the link")
    pair.gen.control("start")
    for number in (2, 1):
        pair.bed.ovs.ofctl("mod-port", pair.bed.bridge, pair.bed.ovs_name(f"p{number}"), "down")
        _silence(pair, number)
        pair.bed.ovs.ofctl("mod-port", pair.bed.bridge, pair.bed.ovs_name(f"p{number}"), "up")
        pair.wait_bypassed((1, 2))
    pair.gen.quit()
    report = pair.sink.quit()
    same({key: report[key] for key in ("duplicated", "reordered", "corrupted", "foreign")},
         {"duplicated": 0, "reordered": 0, "corrupted": 0, "foreign": OUTS}, "what the sink saw")
