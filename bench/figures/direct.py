# SPDX-License-Identifier: BSD-3-Clause
"""Figure: one link, 64 and 1518 bytes, two cores, every way to connect two processes.

All of them are there at once, and all but the one that is measured are stopped, so that each has its turn every
few seconds: the CPUs of a virtual machine may be threads of one core now, and far apart ten seconds later."""

from .. import direct
from . import Pass

FIGURE = "direct"


def passes(rig, plan):
    made = []
    for number in range(plan.direct_rounds):
        for size in plan.direct_sizes:
            last = {"size": size, "round": (number + 1) * plan.direct_turns - 1}
            made.append(Pass(f"direct links, {size} B, {plan.direct_turns} turns of each variant", number,
                             lambda runs, s=size, n=number: work(rig, plan, runs, s, n),
                             lambda runs, p=last: runs.done(FIGURE, p), 25 + 8 * plan.direct_turns * (plan.seconds + 0.2)))
    return made


def work(rig, plan, runs, size, number):
    pairs, measured = direct.variants(rig), []
    try:
        for pair in pairs:
            pair.start(size)
            pair.rest()
        for turn in range(plan.direct_turns):
            for pair in pairs:
                pair.wake()
                values, disturbed = rig.undisturbed(pair.measure, plan.seconds)
                pair.rest()
                point = {"variant": pair.name, "chain": 2, "size": size, "direction": "one",
                         "round": number * plan.direct_turns + turn}
                measured.append((point, values, disturbed))
        for pair in pairs:
            runs.commands.setdefault(f"direct {pair.name}", pair.command_lines())
    finally:
        for pair in pairs:
            pair.stop()
    for point, values, disturbed in measured:  # Only now: a pass that was interrupted is done anew.
        runs.add(FIGURE, point, values, disturbed)
