# SPDX-License-Identifier: BSD-3-Clause
"""E. Links that are plugged into virtual machines."""

from lab import wait_until
from tests.system.h_kit import agent
from tests.system.kit import ISOLATED, same, seconds

from .d_agent import machine, monitors, wait_machine, wait_told
from .kit import PATIENCE, pick


def plugged(one, number):
    return {m["name"]: m["plugged"] for m in one.ask("machines")["machines"]}.get(f"vm{number}")


def _two_machines(t, machine_type, spare_links=0):
    bed = t.bed(2, domain=ISOLATED)
    one = agent(t, bed)
    folder = monitors(t, bed, spare_links)
    vms = [machine(t, bed, folder, n, shares=[t.region_path(f"@p{n}")], machine=machine_type, spare_slots=3)
           for n in (1, 2)]
    for n in (1, 2):
        wait_machine(one, bed, n)
    return bed, one, vms


def _link_comes_and_goes(t, bed, one, vms, times):
    sink = vms[1].traffic("sink", allow=pick(vms[1])).start()
    gen = vms[0].traffic("gen", allow=pick(vms[0]), rate=2000, size="64-1500").start()
    for n in (1, 2):
        wait_until(lambda: t.end(f"p{n}", domain=f"@p{n}")["state"] == "started", PATIENCE, f"p{n} to be started")
    for round_ in range(times):
        before = t.end("p2", domain="@p2")["rx_bypass_packets"]
        bed.rules("in_port=1,actions=output:2")
        mapped = wait_told(one, "mapped", round_ + 1)
        t.note(f"set-up {mapped['took_us'] / 1e3:.1f} ms: {mapped['parts_us']}")
        wait_until(lambda: t.end("p2", domain="@p2")["rx_bypass_packets"] > before + 1000, PATIENCE,
                   "packets by the link", lambda: one.appctl("events"), [*vms, one])
        bed.delete("in_port=1")
        wait_until(lambda: plugged(one, 1) == plugged(one, 2) == 0, PATIENCE, "the devices to be taken out",
                   lambda: one.appctl("machines") + one.appctl("events"), [*vms, one])
    gen.quit()
    sent = t.end("p1", domain="@p1")["tx_bypass_packets"]
    wait_until(lambda: t.end("p2", domain="@p2")["rx_bypass_packets"] == sent, PATIENCE, "all of the link to arrive",
               lambda: str((sent, t.end("p2", domain="@p2"))))
    found = sink.quit()
    t.note({key: found[key] for key in ("received", "lost", "duplicated", "reordered", "corrupted")})
    for key in ("duplicated", "reordered", "corrupted"):
        same(found[key], 0, f"packets {key}")


@seconds(400)
def test_a_link_is_hot_plugged_between_two_machines(t):
    """A proof between isolated ports of two q35 machines has a link region plugged into both; packets take it; the device
    is taken out with the rule"""
    bed, one, vms = _two_machines(t, "q35")
    _link_comes_and_goes(t, bed, one, vms, 3)


@seconds(400)
def test_a_link_is_hot_plugged_between_two_older_machines(t):
    """The same with two i440fx machines"""
    bed, one, vms = _two_machines(t, "pc")
    _link_comes_and_goes(t, bed, one, vms, 1)
