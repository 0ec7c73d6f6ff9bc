# SPDX-License-Identifier: BSD-3-Clause
"""E. Links that are plugged into virtual machines."""

import time

from tests.system.kit import long, same, seconds, sure

from .rig import FLAP_S, Pair


def _comes_and_goes(t, kind, times):
    pair = Pair(t, kind)
    pair.start()
    pair.cycle(times)
    pair.finish()


@seconds(300)
def test_a_link_is_hot_plugged_between_two_machines(t):
    """A proof between isolated ports of two q35 machines has a link region plugged into both, and its end taken out: no
    packet is lost, duplicated or reordered, nothing is left"""
    _comes_and_goes(t, "q35", 3)


@long
@seconds(300)
def test_a_link_is_hot_plugged_between_two_older_machines(t):
    """The same with two i440fx machines"""
    _comes_and_goes(t, "pc", 3)


@long
@seconds(600)
def test_fifty_links(t):
    """The same fifty times: no slot, memory backend, root port, file, file descriptor or memory is lost, on the host and in
    the guests"""
    _comes_and_goes(t, "q35", 50)


@long
@seconds(300)
def test_spare_links(t):
    """With spare devices a link is there within milliseconds; a spare one is plugged in for each that is taken"""
    pair = Pair(t, spare_links=1)
    pair.start()
    for _ in range(5):
        pair.wait(lambda: pair.plugged() == [1, 1], "a spare device in both machines")
        parts = pair.come()
        sure("plugged" not in parts, f"it was plugged in after the proof: {parts}")
        sure("on a spare device" in pair.one.events("mapped")[-1]["text"], "it is on no spare device")
        pair.wait(lambda: pair.plugged() == [2, 2], "another spare device")
        pair.go(plugged=1)
        time.sleep(FLAP_S)
    pair.finish()


def _no_room(pair, reason):
    """highwayd says so, again later, and the packets take the switch: nothing is lost, nothing is left."""
    pair.start()
    pair.join(1, 2)
    for times in (1, 2):
        pair.wait(lambda: pair.one.logfile.read_text().count("could not be linked: virtual machine vm") >= times,
                  f"a refusal, {times} times")
    sure(reason in pair.one.logfile.read_text(), "the reason is not told")
    pair.part(1)
    pair.wait_taken_out()
    same(pair.held()["backends"], [[], []], "memory in the machines")
    same(pair.end(2)["rx_bypass_packets"], 0, "packets by a link that never was")
    pair.finish()


@long
@seconds(300)
def test_no_root_port(t):
    """Where a machine has no root port left, highwayd says so, again later, and the packets take the switch: nothing is
    lost, nothing is left"""
    _no_room(Pair(t, spare_slots=0), "has no free pcie-root-port")


@long
@seconds(300)
def test_no_slot(t):
    """The same where the bus of an i440fx is full"""
    # 32 slots: the host bridge, PIIX3 and the port's region have one each.
    full = [word for _ in range(29) for word in ("-device", "pci-testdev")]
    _no_room(Pair(t, "pc", args=full), "no slot/function available")
