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
                             _seconds(plan, point, number, lengths)))
    return made


def _seconds(plan, point, number, lengths):
    """About how long a pass takes: to start, grow, begin and end is most of it."""
    runs = plan.chain_runs * (plan.seconds + 0.05)
    small = point["size"] == 64
    searched = sum(length in plan.ndr_lengths for length in lengths) if small and number < plan.ndr_rounds else 0
    return 3 + len(lengths) * (2 + runs + (1 + runs) * small) + searched * plan.ndr_steps * 2.5 * (plan.ndr_seconds + 0.2)


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
            saturated = 0.0
            for _ in range(plan.chain_runs):
                values, disturbed = rig.undisturbed(chain.measure, plan.seconds)
                saturated = max(saturated, values["mpps"] * 1e6)
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
            if length in plan.sleep_lengths and point["scenario"] == "inside":
                values, disturbed = _sleepy(chain, plan)
                keep("cores", (_cores(values), disturbed), chain=length, load="rate, pmd-maxsleep")
            if number < plan.ndr_rounds and length in plan.ndr_lengths:
                keep("ndr", (search(chain, plan, saturated), rig.disturbed), chain=length)
        runs.commands.setdefault(f"chain {variant.name}, {point['scenario']}", chain.command_lines())
    finally:
        chain.stop()
    for each in measured:  # Only now: a pass that was interrupted is done anew.
        runs.add(*each)


def _sleepy(chain, plan):
    """The same at the rate of the latency figure, where the switch's thread may sleep."""
    with chain.sleepy():
        chain.run_traffic(plan.latency_rate)
        found = chain.rig.undisturbed(chain.measure, plan.seconds)
        chain.halt_traffic()
    return found


def _cores(values):
    """'busy': share of its core that the switch's thread used, which with pmd-maxsleep is
    its CPU time; 'working': share of its cycles that moved packets."""
    return {"busy": values["pmd_cpu"], "working": values["busy"], "vnf_cpu": values["vnf_cpu"],
            "cpu_us_per_packet": values["cpu_us_per_packet"], "mpps": values["mpps"]}


def search(chain, plan, saturated):
    """Non-drop rate, both ways together, in Mpps: the highest at which nothing is lost, nor held back.

    A binary search between none and twice what arrived at saturation ('saturated', in packets a second, both
    ways), as a switch that is offered too much may carry less than it could.  In the end the rates that failed
    are tried once more, upwards, so that one that failed for another reason does not decide."""
    low, high, found = 0.0, saturated, 0.0  # each way
    failed = []
    for _ in range(plan.ndr_steps):
        rate = (low + high) / 2
        carried = _carried(chain, plan, rate)
        if carried:
            low, found = rate, carried
        else:
            high = rate
            failed.append(rate)
    for rate in reversed(failed):
        carried = _carried(chain, plan, rate)
        if not carried:
            break
        found = carried
    chain.halt_traffic()
    return {"mpps": found / 1e6}


def _carried(chain, plan, rate):
    """Packets a second, both ways, if 'rate' is carried each way, else 0; it has to fail three times."""
    for _ in range(3):
        (lost, carried), _ = chain.rig.undisturbed(chain.loss, rate, plan.ndr_seconds)
        if not lost and carried >= 0.97 * 2 * rate:
            return carried
    return 0
