# SPDX-License-Identifier: BSD-3-Clause
"""Figure: one link, 64 and 1518 bytes, two cores, every way to connect two processes."""

from .. import direct
from . import Pass

FIGURE = "direct"


def passes(rig, plan):
    made = []
    for number in range(plan.direct_rounds):
        for variant in direct.variants(rig):
            for size in plan.direct_sizes:
                point = {"variant": variant.name, "chain": 2, "size": size, "direction": "one"}
                made.append(Pass(f"direct link, {variant.name}, {size} B", number,
                                 lambda runs, v=variant, p=point, n=number: work(rig, plan, runs, v, p, n),
                                 lambda runs, p=point, n=number: runs.done(FIGURE, {**p, "round": n}),
                                 2 + plan.direct_runs * plan.seconds))
    return made


def work(rig, plan, runs, variant, point, number):
    measured = []
    try:
        variant.start(point["size"])
        for _ in range(plan.direct_runs):
            measured.append(rig.undisturbed(variant.measure, plan.seconds))
        runs.commands.setdefault(f"direct {variant.name}", variant.command_lines())
    finally:
        variant.stop()
    for values, disturbed in measured:
        runs.add(FIGURE, {**point, "round": number}, values, disturbed)
