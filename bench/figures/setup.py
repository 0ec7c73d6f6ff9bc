# SPDX-License-Identifier: BSD-3-Clause
"""Figure: set-up time of a bypass and time back to the switch (papers, Fig. 9).

Traffic flows all the time, so what starts a set-up is a flow-mod.  A small C program,
setup-clock, polls the region: when the host end makes the link, when the sender is given
the route, the first packet in the link's ring, and the first one taken out of it.

    flow-mod     ovs-ofctl is started .. the switch's reply (barrier) is read
    translation  .. the host end makes the link: rte_flow_create() has been called
    link         .. the sender sees a route
    first        .. the first packet has been received by the link

"saturated": generator, sink and Open vSwitch's control threads share CPU 0, the PMD
thread has CPU 1.  "free core": the generator and sink share CPU 1 with the PMD thread,
and CPU 0 is left to the control threads.  Scheduled as usual, without real-time priority.
"""

import json
import os
import re
import subprocess
import time

from lab import LabError, Process, wait_until

from .. import chains
from . import Pass

FIGURE = "setup"
CORES = ("saturated", "free core")


class Bed(chains.Highway):
    """Two VNFs whose rules are changed under traffic."""

    other_config = {}

    def __init__(self, rig, cores):
        super().__init__(rig)
        self.cores = cores

    def place(self):
        cpu = chains.VNF_CPU if self.cores == "saturated" else chains.SWITCH_CPU
        for vnf in self.vnfs:
            for thread in vnf.thread_cpu():
                os.sched_setaffinity(thread, {cpu})


def passes(rig, plan):
    made = []
    for cores in CORES:
        point = {"variant": "highway", "cores": cores}
        made.append(Pass(f"set-up and way back, {plan.setups} times, {cores}", 0,
                         lambda runs, p=point: work(rig, plan, runs, p),
                         lambda runs, p=point: runs.done(FIGURE, {**p, "round": plan.setups - 1}),
                         5 + plan.setups * 0.6))
    return made


def work(rig, plan, runs, point):
    bed = Bed(rig, point["cores"])
    try:
        bed.start()
        bed.grow(2)
        bed.run_traffic(100_000)
        rig.hurry(bed.processes(), False)
        bed.ovs.ofctl("add-flow", chains.BRIDGE, "priority=40000,in_port=1,actions=output:2,output:LOCAL")
        for number in range(plan.setups):
            for kind, words in (("set-up", ["--strict", "del-flows", chains.BRIDGE, "priority=40000,in_port=1"]),
                                ("way back", ["add-flow", chains.BRIDGE,
                                              "priority=40000,in_port=1,actions=output:2,output:LOCAL"])):
                values = once(rig, bed, kind, words)
                runs.add(FIGURE, {**point, "kind": kind, "round": number}, values)
    finally:
        bed.stop()


def once(rig, bed, kind, words):
    """One change of rules; returns the times in milliseconds."""
    want = "open" if kind == "set-up" else "closed"
    wait_until(lambda: bed.is_open("first", "last") == (want == "closed"), 20, f"the link to be ready for a {kind}",
               bed.ovs.log, bed.processes())
    time.sleep(0.1)  # Both ends at rest; not part of what is measured.
    clock = Process(rig.lab, "setup-clock", [rig.build / "bench/setup-clock", rig.regions / bed.domain, "first", "last",
                                             want, 20]).start()
    clock.expect("ready", 10)
    begin = time.monotonic_ns()
    bed.ovs.ofctl(*words)
    replied = time.monotonic_ns()
    said = clock.expect(r"\{.*\}", 25).group(0)
    clock.wait(10)
    at = json.loads(said)
    found = {"total": (at["done"] - begin) / 1e6, "flow-mod": (replied - begin) / 1e6}
    if kind == "set-up":
        found["to link"] = (at["link"] - begin) / 1e6
        found["link to route"] = (at["route"] - at["link"]) / 1e6
        found["route to first packet"] = (at["done"] - at["route"]) / 1e6
    else:
        found["to withdrawal"] = (at["route"] - begin) / 1e6
        found["withdrawal to first packet by the switch"] = (at["done"] - at["route"]) / 1e6
    return found
