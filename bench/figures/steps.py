# SPDX-License-Identifier: BSD-3-Clause
"""Figure: what each step of the data path costs a packet, in cycles and instructions."""

from .. import micro
from . import Pass

FIGURE = "steps"
STEPS = ("send", "receive")
CASES = [
    ("64 B, inline", {"size": 64}),
    ("128 B, inline", {"size": 128}),
    ("256 B, copied once, then by index", {"size": 256}),
    ("1518 B, copied once, then by index", {"size": 1518}),
    ("64 B, 8 classes in turn", {"size": 64, "classes": 8}),
    ("64 B, inline, by a proof", {"size": 64, "route": "proof"}),
]


def passes(rig, plan):
    if not micro.available(rig):
        return []
    return [Pass("cost of each step", number, lambda runs, n=number: work(rig, runs, n),
                 lambda runs, n=number: runs.done(FIGURE, {"step": STEPS[-1], "case": CASES[-1][0], "round": n}), 4)
            for number in range(plan.steps_rounds)]


def work(rig, runs, number):
    for case, options in CASES:
        cost = micro.cycles(rig, **options)
        for step in STEPS:
            values = {"cycles": cost[step]}
            if number == 0:  # They are the same each time.
                counted = micro.instructions(rig, step, **options)
                if counted is not None:
                    values["instructions"] = counted
            runs.add(FIGURE, {"variant": "highway", "case": case, "step": step, "size": options["size"], "chain": 2,
                              "direction": "one", "round": number}, values)
