#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark: Highway beside its peers, on two cores.

Writes build/bench/results.json, plots, and report.md, in about 25 minutes on a quiet machine.  BENCH=quick in
the environment measures less (about 5 minutes), BENCH=smoke only tries everything once.  One that was
interrupted goes on where it was; --fresh begins anew.
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import machine, plan as plans, plots, report, results  # noqa: E402
from bench.figures import chain, direct, growth, setup, steps  # noqa: E402
from bench.rig import RULE, Rig  # noqa: E402
from lab import HugePages, Lab, LabError  # noqa: E402

FIGURES = {"direct": direct, "chain": chain, "setup": setup, "steps": steps, "growth": growth}
HUGE_2M = 1500


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=ROOT / "build", help="build folder (default: build)")
    parser.add_argument("--only", help="of direct, chain, setup, steps, growth; comma separated (default: all)")
    parser.add_argument("--fresh", action="store_true", help="forget the runs that are there")
    parser.add_argument("--budget", type=float, help="seconds after which to stop, and to be called again")
    parser.add_argument("--report", action="store_true", help="measure nothing: write the report anew")
    parser.add_argument("--publish", metavar="DIR", help="copy report, plots and results.json there in the end")
    return parser.parse_args()


def main():
    args = arguments()
    mode = os.environ.get("BENCH", "full")
    if mode not in plans.MODES:
        print(f"bench: BENCH={mode} is unknown: use one of {', '.join(plans.MODES)}", file=sys.stderr)
        return 2
    only = args.only.split(",") if args.only else list(FIGURES)
    unknown = [name for name in only if name not in FIGURES]
    if unknown:
        print(f"bench: --only {unknown[0]} is unknown: use some of {', '.join(FIGURES)}", file=sys.stderr)
        return 2
    plan = plans.MODES[mode]()
    out = Path(args.build) / "bench"
    folder = out / mode
    if mode == "smoke":
        out = folder  # It says nothing: what was measured stays where it is.
    if args.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    runs = results.Runs(folder, plan.settings(), args.report)
    troubles = [] if args.report else measure(args, plan, runs, folder, only)
    for trouble in troubles:
        print(f"bench: failed: {trouble}", file=sys.stderr)
    if not runs.lines:
        print("bench: there are no runs to report", file=sys.stderr)
        return 1
    found = results.collect(runs, {"mode": mode, "machine": runs.machine, "plan": plan.settings(),
                                   "scheduling": runs.scheduling, "rule": RULE.format(tries=plan.tries),
                                   "complete": runs.complete})
    (out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    drawn = plots.draw(out, found)
    report.write(out / "report.md", found, drawn)
    print(f"bench: {out}/report.md, results.json and {len(drawn)} plots are written"
          + ("" if runs.complete else "; not all runs are there yet: call it again"))
    for name, value in found["ratios"].items():
        print(f"  {name:32} {'-' if value is None else f'{value:.3g}'}")
    if args.publish:
        publish(out, Path(args.publish), drawn)
    return 1 if troubles else 0


def measure(args, plan, runs, folder, only):
    """Does the passes of the figures 'only' that are not done yet; returns what went wrong."""
    start, troubles, every = time.monotonic(), [], []
    with Lab(folder / "logs") as lab:
        huge = HugePages(lab, HUGE_2M)
        runs.describe(machine.describe(huge))
        rig = Rig(lab, args.build, huge, plan.tries)
        try:
            every = [each for figure in FIGURES.values() for each in figure.passes(rig, plan)]
            passes = [each for name in only for each in FIGURES[name].passes(rig, plan)]
            passes.sort(key=lambda each: each.round)  # Stable: the figures keep their order.
            left = [each for each in passes if not each.done(runs)]
            if runs.resumed:
                print(f"bench: {len(passes) - len(left)} of {len(passes)} passes are there already")
            for index, each in enumerate(left):
                rest = sum(other.seconds for other in left[index:])
                if args.budget and time.monotonic() - start + each.seconds > args.budget:
                    break
                print(f"[{len(passes) - len(left) + index + 1:3}/{len(passes)}] {time.monotonic() - start:5.0f} s, "
                      f"about {rest:4.0f} s left: {each.title}", flush=True)
                try:
                    each.work(runs)
                except (LabError, TimeoutError) as error:
                    troubles.append(f"{each.title}: {error}")
        finally:
            runs.conclude(all(each.done(runs) for each in every),
                          "SCHED_RR while measuring" if rig.realtime else "as usual, SCHED_RR was refused")
            rig.close()
    return troubles


def publish(out, target, drawn):
    target.mkdir(parents=True, exist_ok=True)
    for name in ["report.md", "results.json", *drawn]:
        shutil.copy(out / name, target / Path(name).name)
    (target / "report.md").replace(target / "README.md")


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
