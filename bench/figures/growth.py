# SPDX-License-Identifier: BSD-3-Clause
"""Figure: what one active link costs a packet (sending and receiving, in cycles) as the
domain grows: ports, classes of the sender, links into the receiver, size of the region."""

from .. import micro
from . import Pass

FIGURE = "growth"
BASE = {"ports": 16, "classes": 1, "links": 1, "region_mib": 64}


def passes(rig, plan):
    if not micro.available(rig):
        return []
    made = []
    for number in range(plan.growth_rounds):
        for what, values in plan.growth.items():
            made.append(Pass(f"growth, {what}", number,
                             lambda runs, w=what, vs=values, n=number: work(rig, runs, w, vs, n),
                             lambda runs, w=what, vs=values, n=number:
                             runs.done(FIGURE, {"what": w, "amount": vs[-1], "round": n}), 1.5))
    return made


def work(rig, runs, what, values, number):
    for amount in values:
        cost = micro.cycles(rig, **(BASE | {what: amount}))
        runs.add(FIGURE, {"variant": "highway", "what": what, "amount": amount, "size": 64, "chain": 2,
                          "direction": "one", "round": number},
                 {"cycles": cost["send"] + cost["receive"], "send": cost["send"], "receive": cost["receive"]})
