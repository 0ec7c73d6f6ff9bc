# SPDX-License-Identifier: BSD-3-Clause
"""E. Links that are plugged into virtual machines."""

import statistics
import time

from lab import wait_until
from tests.system.h_kit import agent
from tests.system.kit import ISOLATED, clean, long, same, seconds, sure
from tests.system.region import Region

from .d_agent import machine, monitors, wait_machine, wait_told
from .kit import PATIENCE, pick

STEPS = ("detected", "region made", "plugged", "seen", "mapped", "opened", "first packet")
STEERING = "priority=1,in_port=1,udp,actions=output:2"
P2P = "priority=100,in_port=1"
FLAP_S = 1.2
"""A proof that is withdrawn twice within HWY_FLAP_MS is given only after a while: no measure of a set-up."""


class Pair:
    """A generator in one machine and a sink in another, whose isolated ports a link region comes and goes between."""

    def __init__(self, t, machine_type, spare_links=0, spare_slots=3):
        self.t = t
        self.bed = t.bed(2, domain=ISOLATED)
        self.one = agent(t, self.bed)
        self.bed.ovs.set_other_config(pmd_maxsleep=500)
        t.defer(self.bed.ovs.set_other_config, pmd_maxsleep=0)
        folder = monitors(t, self.bed, spare_links)
        self.vms = [machine(t, self.bed, folder, n, shares=[t.region_path(f"@p{n}")], machine=machine_type,
                            spare_slots=spare_slots, vcpus=2) for n in (1, 2)]
        for n in (1, 2):
            wait_machine(self.one, self.bed, n)
        self.times = []

    def end(self, number):
        return self.t.end(f"p{number}", domain=f"@p{number}")

    def start(self):
        """Numbered packets from one to the other, by the switch."""
        self.bed.rules(STEERING)
        self.sink = self.vms[1].traffic("sink", allow=pick(self.vms[1], idle="sleep"), idle="sleep").start()
        self.gen = self.vms[0].traffic("gen", allow=pick(self.vms[0], idle="sleep"), idle="sleep", rate=1000,
                                       size="64-1500", hold=True).start()
        for n in (1, 2):
            wait_until(lambda: self.end(n)["state"] == "started", PATIENCE, f"p{n} to be started")
        self.gen.control("start")
        self.wait(lambda: self.end(2)["rx_packets"] > 100, "packets by the switch")

    def wait(self, condition, what):
        wait_until(condition, PATIENCE, what, lambda: self.one.appctl("machines") + self.one.appctl("events"),
                   [*self.vms, self.one])

    def come(self):
        """A rule makes the link; notes how long that took."""
        before = self.end(2)["rx_bypass_packets"], len(self.one.events("first-packet"))
        self.bed.rules(f"{P2P},actions=output:2")
        told = wait_told(self.one, "first-packet", before[1] + 1)
        parts = {step: told["parts_us"][step] for step in STEPS if step in told["parts_us"]}
        same(sum(parts.values()), told["took_us"], "the sum of the parts")
        self.times.append(told["took_us"] / 1e3)
        self.t.note(f"set-up {self.times[-1]:.1f} ms: "
                    + ", ".join(f"{step} {us / 1e3:.1f}" for step, us in parts.items()))
        self.wait(lambda: self.end(2)["rx_bypass_packets"] > before[0] + 200, "packets by the link")
        return parts

    def go(self, plugged=0):
        """The rule goes, and with it the link."""
        self.bed.delete(P2P, strict=True)
        self.wait(lambda: self.plugged() == [plugged] * 2 and not self.used(), "the devices to be taken out")

    def plugged(self):
        known = {m["name"]: m["plugged"] for m in self.one.ask("machines")["machines"]}
        return [known.get(f"vm{n}") for n in (1, 2)]

    def used(self):
        """Attach slots that are not free."""
        found = []
        for n in (1, 2):
            with Region(self.t.region_path(f"@p{n}")) as region:
                found += [slot for slot in region.slots(f"p{n}") if slot[0][0] != "free"]
        return found

    def held(self):
        """What a link takes: file descriptors, memory backends, root ports, files."""
        ports = {m["name"]: m["free_root_ports"] for m in self.one.ask("machines")["machines"]}
        backends = [sorted(o["name"] for o in vm.qmp("qom-list", path="/objects") if o["name"].startswith("hwy-"))
                    for vm in self.vms]
        return {"fds": [p.fds() for p in (*self.vms, self.one, self.bed.ovs.vswitchd)], "backends": backends,
                "ports": ports, "files": sorted(path.name for path in self.t.region_path("@p1").parent.glob("+*"))}

    def wait_held(self, want):
        """Waits until no more is held than 'want'; others' file descriptors come and go a little."""
        def is_back():
            now = self.held()
            return all(a <= b for a, b in zip(now.pop("fds"), want["fds"])) and all(now[key] == want[key] for key in now)

        wait_until(is_back, PATIENCE, f"what is held to be {want}", lambda: str(self.held()))

    def finish(self):
        """The traffic ends; every packet arrived once, in order."""
        sent = self.gen.quit()
        self.wait(lambda: self.end(2)["rx_packets"] >= sent["sent"], f"{sent['sent']} packets to arrive")
        clean(self.sink.quit(), sent["sent"])
        if self.times:
            self.t.note(f"{len(self.times)} set-ups: median {statistics.median(self.times):.1f} ms, "
                        f"{min(self.times):.1f} to {max(self.times):.1f} ms; {sent['sent']} packets")


def _comes_and_goes(pair, times):
    """The link comes and goes under traffic; nothing is left of it."""
    pair.start()
    before = pair.held()
    same((before["backends"], before["files"]), ([[], []], []), "what is held before the first link")
    for cycle in range(times):
        parts = pair.come()
        sure(list(parts) == list(STEPS), f"the time line lacks steps: {parts}")
        pair.go()
        if cycle == 0:
            before["fds"] = [n + 1 for n in pair.held()["fds"]]
        pair.wait_held(before)
        time.sleep(FLAP_S)
    pair.finish()


@seconds(300)
def test_a_link_is_hot_plugged_between_two_machines(t):
    """A proof between isolated ports of two q35 machines has a link region plugged into both, and its end taken out: no
    packet is lost, duplicated or reordered, nothing is left"""
    _comes_and_goes(Pair(t, "q35"), 3)


@long
@seconds(300)
def test_a_link_is_hot_plugged_between_two_older_machines(t):
    """The same with two i440fx machines"""
    _comes_and_goes(Pair(t, "pc"), 3)


@long
@seconds(600)
def test_fifty_links(t):
    """The same fifty times: no slot, memory backend, root port, file or file descriptor is lost"""
    _comes_and_goes(Pair(t, "q35"), 50)


@long
@seconds(300)
def test_spare_links(t):
    """With spare devices a link is there within milliseconds; a spare one is plugged in for each that is taken"""
    pair = Pair(t, "q35", spare_links=1)
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


@long
@seconds(300)
def test_no_root_port(t):
    """Where a machine has no root port left, highwayd says so, again later, and the packets take the switch: nothing is
    lost, nothing is left"""
    pair = Pair(t, "q35", spare_slots=0)
    pair.start()
    pair.bed.rules(f"{P2P},actions=output:2")
    for times in (1, 2):
        pair.wait(lambda: pair.one.logfile.read_text().count("could not be linked: virtual machine vm") >= times,
                  f"a refusal, {times} times")
    sure("has no free pcie-root-port" in pair.one.logfile.read_text(), "the reason is not told")
    pair.bed.delete(P2P, strict=True)
    pair.wait(lambda: pair.plugged() == [0, 0] and not pair.used() and not pair.held()["files"], "all to be taken back")
    same(pair.end(2)["rx_bypass_packets"], 0, "packets by a link that never was")
    pair.finish()
