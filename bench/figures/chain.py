# SPDX-License-Identifier: BSD-3-Clause
"""Figures: throughput (5a and 5b of the papers), latency (7) and use of the cores (8)
against the length of a chain.  One pass grows one chain and measures all of them."""

from .. import chains
from . import Pass


def passes(rig, plan):
    made = []
    for number, scenario, size, lengths in plan.chain_passes:
        for variant in chains.VARIANTS:
            if (variant.huge_only or scenario == "outside") and not rig.huge:
                continue  # Zero-copy memif and vhost-user share huge pages.
            point = {"variant": variant.name, "scenario": scenario, "size": size, "direction": "both"}
            made.append(Pass(f"chain {scenario}, {variant.name}, {size} B, {lengths[0]} to {lengths[-1]} VNFs", number,
                             lambda runs, v=variant, p=point, n=number, ls=lengths: work(rig, plan, runs, v, p, n, ls),
                             lambda runs, p=point, n=number, ls=lengths:
                             runs.done("chain", {**p, "round": n, "chain": ls[-1]}),
                             3 + len(lengths) * (1.5 + plan.chain_runs * plan.seconds * 2.5)))
    return made


def work(rig, plan, runs, variant, point, number, lengths):
    chain = variant(rig, point["scenario"], point["size"])
    measured = []

    def keep(figure, found, **more):
        measured.append((figure, {**point, **more, "round": number}, *found))
    try:
        chain.start()
        for length in lengths:
            chain.grow(length)
            chain.run_traffic(0)
            for _ in range(plan.chain_runs):
                values, disturbed = rig.undisturbed(chain.measure, plan.seconds)
                keep("chain", ({key: values[key] for key in ("mpps", "p50", "p99")}, disturbed), chain=length)
                keep("cores", (_cores(values), disturbed), chain=length, load="saturation")
            chain.halt_traffic()
            if point["size"] != 64:
                continue
            chain.run_traffic(plan.latency_rate)
            for _ in range(plan.chain_runs):
                values, disturbed = rig.undisturbed(chain.measure, plan.seconds)
                keep("latency", ({key: values[key] for key in ("p50", "p99", "worst", "mpps")}, disturbed), chain=length)
                keep("cores", (_cores(values), disturbed), chain=length, load="rate")
            chain.halt_traffic()
            if number < plan.ndr_rounds and length in plan.ndr_lengths:
                keep("ndr", (search(chain, plan), rig.disturbed), chain=length)
        runs.commands.setdefault(f"chain {variant.name}, {point['scenario']}", chain.command_lines())
    finally:
        chain.stop()
    for each in measured:  # Only now: a pass that was interrupted is done anew.
        runs.add(*each)


def _cores(values):
    """'busy': share of its core that the switch's thread used, which with pmd-maxsleep is
    its CPU time; 'working': share of its cycles that moved packets."""
    return {"busy": values["pmd_cpu"], "working": values["busy"], "vnf_cpu": values["vnf_cpu"],
            "cpu_us_per_packet": values["cpu_us_per_packet"], "mpps": values["mpps"]}


def search(chain, plan):
    """Non-drop rate: the highest rate (both ways together) at which nothing is lost.

    A binary search between none and what went at saturation; a step holds for
    plan.ndr_seconds.  A source that cannot send as fast as asked for ends the search
    from above as well, unless nothing was lost and nothing was held back."""
    low, high = 0.0, plan.ndr_top
    found = 0.0
    for _ in range(plan.ndr_steps):
        rate = (low + high) / 2
        lost, sent = chain.loss(rate, plan.ndr_seconds)
        carried = sent / (2 * plan.ndr_seconds)
        if lost == 0 and carried >= 0.97 * rate:
            low, found = rate, max(found, 2 * rate)
        else:
            high = rate
            if lost == 0:  # Held back by full rings, but nothing lost: so much goes.
                found = max(found, 2 * carried)
    return {"mpps": found / 1e6}
