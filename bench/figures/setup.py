# SPDX-License-Identifier: BSD-3-Clause
"""Figure: set-up time of a bypass and time back to the switch (papers, Fig. 9).

Two VNFs; one sends to the other, 100,000 packets a second.  rule-clock, one program, sends the
flow-mods by an OpenFlow connection that is open all the while, looks at the region, and takes
all stamps.  Three kinds:

    flow-mod       traffic is on; a rule is added that makes the link point-to-point
                   .. the first packet is received by the link
    first packet   the rule is there, no megaflow is, the sender is idle; it begins, and its
                   first packet goes to the switch .. the first packet is received by the link
    way back       traffic is on, by the link; a rule is added that sends the packets to a second
                   port as well .. the first packet is received by the switch again

"highway" is what a user runs: the switch, the driver and highwayd.  "highway-driver" is without
highwayd: the switch has to offload a megaflow first.

"saturated": generator, sink, highwayd and Open vSwitch's control threads share CPU 0, the PMD
thread has CPU 1.  "free core": the generator and sink share CPU 1 with the PMD thread, and CPU 0
is left to the control threads.  Scheduled as usual, without real-time priority, but for rule-clock,
which has CPU 1 for as long as it takes to look, every 100 microseconds.
"""

import json
import os
import time

from lab import Process, wait_until

from tests.system.region import Region

from .. import chains
from ..results import SETUP_PARTS
from . import Pass

FIGURE = "setup"
CORES = ("saturated", "free core")
VARIANTS = ("highway", "highway-driver")
KINDS = ("flow-mod", "first packet", "way back")
RATE = 100_000
REST_S = 0.2
"""Until the offload thread of Open vSwitch, which then looks every 64 ms only, is at rest too; not measured."""
BREAKS = "priority=40000,in_port=1"
JOINS = "priority=50000,in_port=1"
STAMPS = {
    "flow-mod": ("proof", "route", "sent", "received"),
    "first packet": ("route", "sent", "received"),
    "way back": ("proof", "route", "sent", "received"),
}
"""What rule-clock calls the ends of the parts."""


class Bed(chains.Highway):
    """Two VNFs, the first of which sends."""

    def __init__(self, rig, variant, cores):
        super().__init__(rig)
        self.name, self.cores = variant, cores
        # A PMD thread that shares its core with VNFs sleeps when it has nothing to do.
        self.other_config = {} if cores == "saturated" else chains.SLEEP
        self.proved = variant == "highway"
        self.clock = None

    def start(self):
        super().start()
        # Each change is one by itself here; highwayd waits longer with a proof that flaps.
        self.ovs.set_other_config(highway_debounce_ms=0)
        self.grow(2)
        self.clock = Process(self.rig.lab, f"rule-clock{self.turn}", [
            self.rig.build / "bench/rule-clock", f"unix:{self.ovs.run}/{chains.BRIDGE}.mgmt", self.rig.regions / self.domain,
            "first", "last"], cpus=str(chains.SWITCH_CPU)).start()
        self.vnfs[0].control(f"rate {RATE}")
        self.vnfs[0].control("start")
        self.wait_open()
        return self

    def stop(self):
        if self.clock:
            self.clock.stop()
        super().stop()

    def place(self):
        cpu = chains.VNF_CPU if self.cores == "saturated" else chains.SWITCH_CPU
        for vnf in self.vnfs:
            for thread in vnf.thread_cpu():
                os.sched_setaffinity(thread, {cpu})

    def is_closed(self):
        """Is there no route?  The link itself stays `closing` until its sender, which may be idle, has seen that."""
        with Region(self.rig.regions / self.domain) as region:
            return not region.routed("first") and region.links().get(("first", "last")) != "open"

    def wait_open(self):
        wait_until(lambda: self.is_open("first", "last"), 20, "the link to be open", self.ovs.log,
                   [*self.processes(), self.clock])

    def wait_closed(self):
        wait_until(self.is_closed, 20, "the link to be closed", self.ovs.log, [*self.processes(), self.clock])

    def command_lines(self):
        return {**super().command_lines(), "rule-clock": self.clock.argv}

    def set(self, *words):
        """Changes a rule; not measured."""
        self.clock.send(" ".join(("set", *words)))
        self.clock.expect("set", 20)

    def measure(self, words, trigger=lambda: None):
        """What rule-clock says of 'words', when 'trigger' has been called."""
        time.sleep(REST_S)
        self.clock.send(words)
        trigger()
        return json.loads(self.clock.expect(r"\{.*\}", 25).group(0))

    def way_back(self):
        found = self.measure(f"switch add {BREAKS},actions=output:2,output:LOCAL")
        self.wait_closed()
        return found

    def flow_mod(self):
        """The link is not point-to-point before, and is by one rule alone after that."""
        found = self.measure(f"bypass add {JOINS},actions=output:2")
        self.wait_open()
        self.set("delete", BREAKS)
        self.set("delete", JOINS)
        self.wait_open()
        return found

    def first_packet(self):
        time.sleep(REST_S)  # A megaflow that goes before it is offloaded never is, and highwayd's link is not trusted then.
        self.quiet()
        self.ovs.appctl("revalidator/purge")
        self.wait_closed()

        def begin():
            self.clock.expect("waiting", 10)
            self.vnfs[0].control("start")
        found = self.measure("bypass packet", begin)
        self.wait_open()
        return found


def passes(rig, plan):
    made = []
    for variant in VARIANTS:
        for cores in CORES:
            point = {"variant": variant, "cores": cores}
            times = plan.setups if variant == "highway" else plan.setups_driver
            made.append(Pass(f"set-up and way back, {variant}, {times} times, {cores}", 0,
                             lambda runs, p=point, n=times: work(rig, runs, p, n),
                             lambda runs, p=point, n=times: runs.done(FIGURE, {**p, "kind": KINDS[-1], "round": n - 1}),
                             6 + times * 1.4))
    return made


def work(rig, runs, point, times):
    bed = Bed(rig, point["variant"], point["cores"])
    measured = []
    try:
        bed.start()
        for number in range(times):
            found = {"way back": bed.way_back(), "flow-mod": bed.flow_mod(), "first packet": bed.first_packet()}
            measured += [({**point, "kind": kind, "round": number}, parts(kind, found[kind])) for kind in KINDS]
        runs.commands.setdefault(f"set-up {point['variant']}, {point['cores']}", bed.command_lines())
    finally:
        bed.stop()
    for each in measured:  # Only now: a pass that was interrupted is done anew.
        runs.add(FIGURE, *each)


def parts(kind, found):
    """Total and parts in milliseconds; 'cpu' is the share of a CPU that was used to look.  A part that did not
    happen has no time: without highwayd there is no proof, and with it Open vSwitch may be faster with its flow."""
    stamps, limit = [], found["received"]
    for part, key in reversed(list(zip(SETUP_PARTS[kind], STAMPS[kind]))):
        if found[key] is not None and found[key] <= limit:
            stamps.insert(0, (part, found[key]))
            limit = found[key]
    values, before = {"total": found["received"] / 1000, "cpu": found["cpu"]}, 0.0
    for part, at in stamps:
        values[part], before = (at - before) / 1000, at
    if found["applied"] is not None:
        values["applied"] = found["applied"] / 1000
    return values
