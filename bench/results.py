# SPDX-License-Identifier: BSD-3-Clause
"""Runs on disk (so that a bench that was interrupted goes on), and what they sum up to.

A run is one line of runs.jsonl: {"figure", "variant", "round", further keys that name
the point, "values": {...}, "disturbed": reason or null}.
"""

import json
import re
import shlex
import statistics
from pathlib import Path

LONG_PATH = re.compile(r"(?<![\w./-])/[^\s,=:]*/([^\s,=:/]+)")
NAMES = ("variant", "chain", "size", "direction")
SETUP_PARTS = {
    "flow-mod": ("to proof", "to route", "to first packet sent", "to its reception"),
    "first packet": ("to route", "to first packet sent", "to its reception"),
    "way back": ("to withdrawal of the proof", "to withdrawal of the route", "to first packet sent", "to its reception"),
}
"""By kind, in the order in which they happen: each part begins where the one before ends."""


class Runs:
    """All runs so far.  Those that were made with other 'settings' are put aside (as
    runs.old.jsonl), unless they are only to be read."""

    def __init__(self, folder, settings, only_read=False):
        self.path = Path(folder) / "runs.jsonl"
        self.lines = []
        self.resumed = False
        self._about = Path(folder) / "about.json"
        about = json.loads(self._about.read_text()) if self._about.exists() else {}
        self.machine, self.commands = about.get("machine", {}), about.get("commands", {})
        self.scheduling, self.complete = about.get("scheduling", "?"), about.get("complete", False)
        head = json.loads(json.dumps({"settings": settings}))
        if self.path.exists():
            lines = [json.loads(line) for line in self.path.read_text().splitlines() if line.endswith("}")]
            if lines and (lines[0] == head or only_read):
                self.lines = lines[1:]
                self.resumed = bool(self.lines)
                return
            self.path.replace(self.path.with_suffix(".old.jsonl"))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(head) + "\n")

    def add(self, figure, point, values, disturbed=None):
        line = {"figure": figure, **point, "values": values, "disturbed": disturbed}
        self.lines.append(line)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._tell_about()

    def conclude(self, complete, scheduling):
        """Notes whether all runs are there, for whoever only reads them."""
        self.complete, self.scheduling = complete, scheduling
        self._tell_about()

    def _tell_about(self):
        self._about.write_text(json.dumps({"machine": self.machine, "commands": self.commands,
                                           "scheduling": self.scheduling, "complete": self.complete}))

    def describe(self, machine):
        self.machine = machine

    def done(self, figure, point):
        """Is there a run of the figure with all these keys?"""
        return any(line["figure"] == figure and all(line.get(key) == value for key, value in point.items())
                   for line in self.lines)

    def of(self, figure):
        return [line for line in self.lines if line["figure"] == figure]


def median(values):
    return statistics.median(values) if values else None


def summed(runs, *keys):
    """Rows, one for each point: its names and, for each key of the values, median, min,
    max; "runs": how many; "disturbed": how many of them stayed so after all tries."""
    points = {}
    for run in runs:
        name = tuple(sorted((key, value) for key, value in run.items()
                            if key not in ("figure", "values", "disturbed", "round", "again")))
        points.setdefault(name, []).append(run)
    rows = []
    for name, members in points.items():
        row = dict(name) | {"runs": len(members), "disturbed": sum(bool(m["disturbed"]) for m in members)}
        for key in keys or sorted({k for m in members for k in m["values"]}):
            values = [m["values"][key] for m in members if m["values"].get(key) is not None]
            if values and not isinstance(values[0], str):
                row[key] = {"median": median(values), "min": min(values), "max": max(values)}
        rows.append(row)
    return rows


def find(rows, key, **names):
    """Median of 'key' in the row with these names, or None."""
    for row in rows:
        if key in row and all(row.get(name) == value for name, value in names.items()):
            return row[key]["median"]
    return None


def _over(left, right):
    return left / right if left is not None and right else None


def in_turn(runs, key, left, right):
    """The ratios of what two runs of one turn measured, 'left' and 'right' (names of points) over another, one for
    each turn: they are seconds apart, and what the machine did meanwhile it did to both."""
    def by_turn(names):
        return {run["round"]: run["values"][key] for run in runs if all(run.get(k) == v for k, v in names.items())}
    over, under = by_turn(left), by_turn(right)
    return [over[turn] / under[turn] for turn in sorted(over.keys() & under.keys()) if under[turn]]


def _row(row, main):
    """A row in the agreed form: the main value flat, min and max beside it."""
    out = {name: row.get(name) for name in NAMES}
    out |= {key: value for key, value in row.items() if not isinstance(value, dict) and key not in out}
    if main == "latency":
        out["latency_us"] = {p: row[p]["median"] for p in ("p50", "p99")}
        out["min"], out["max"] = ({p: row[p][side] for p in ("p50", "p99")} for side in ("min", "max"))
    else:
        out[main] = row[main]["median"]
        out["min"], out["max"] = row[main]["min"], row[main]["max"]
    out |= {key: value for key, value in row.items() if isinstance(value, dict) and key not in (main, "p50", "p99")}
    return out


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))] if values else None


def spans(values):
    return {"p50": percentile(values, 50), "p99": percentile(values, 99)}


def setup_rows(runs):
    """Set-up times: percentiles over the repetitions.  "parts": one after the other; "mean" counts a repetition
    without that part as zero, so that means add up, the percentiles are of the "runs" that had it."""
    groups = {}
    for run in runs:
        key = run["variant"], run["cores"], run["kind"]
        groups.setdefault(key, []).append(run["values"])
    rows = []
    for (variant, cores, kind), values in groups.items():
        total = [v["total"] for v in values]
        row = {"variant": variant, "chain": 2, "size": 64, "direction": "one", "cores": cores, "kind": kind,
               "runs": len(total), "setup_ms": spans(total), "min": min(total), "max": max(total), "disturbed": 0,
               "parts": {}, "watch_cpu": median([v["cpu"] for v in values])}
        applied = [v["applied"] for v in values if "applied" in v]
        if applied:
            row["applied_ms"] = spans(applied)
        for part in SETUP_PARTS[kind]:
            times = [v[part] for v in values if part in v]
            if times:
                row["parts"][part] = {**spans(times), "mean": sum(times) / len(values), "runs": len(times)}
        rows.append(row)
    return rows


def shorten(argv):
    """A command line without what only this machine and this run have."""
    words, skip = [], False
    for word in map(str, argv):
        if skip:
            skip = False
        elif word in ("--json", "--stats-file", "--file-prefix", "--huge-dir"):
            skip = True
        else:
            words.append(LONG_PATH.sub(r"\1", word))
    return shlex.join(words)


def collect(runs, about):
    """results.json as a dict."""
    about["commands"] = {what: {name: shorten(argv) for name, argv in lines.items()}
                         for what, lines in runs.commands.items()}
    direct = summed(runs.of("direct"))
    chain = summed(runs.of("chain"))
    latency = summed(runs.of("latency"))
    cores = summed(runs.of("cores"))
    setup = setup_rows(runs.of("setup"))
    figures = {
        "direct": [_row(r, "mpps") for r in direct],
        "throughput": [_row(r, "mpps") for r in chain],
        "ndr": [_row(r, "mpps") for r in summed(runs.of("ndr"))],
        "latency": [_row(r, "latency") for r in latency],
        "cores": [_row(r, "busy") for r in cores],
        "setup": setup,
        "steps": [_row(r, "cycles") for r in summed(runs.of("steps"))],
        "growth": [_row(r, "cycles") for r in summed(runs.of("growth"))],
    }
    turns = direct_turns(runs.of("direct"), direct)
    return {"about": about, "figures": {name: rows for name, rows in figures.items() if rows},
            "ratios": {name: median(values) for name, values in turns.items()} | ratios(chain, latency, cores, setup),
            "ratio_spread": {name: {"p25": percentile(values, 25), "p75": percentile(values, 75), "turns": len(values)}
                             for name, values in turns.items() if values}}


def direct_turns(runs, rows):
    """{name: ratios of the direct link, one for each turn}."""
    def over(peer, size):
        return in_turn(runs, "mpps", {"variant": "highway", "size": size}, {"variant": peer, "size": size})
    isolating = {name: find(rows, "mpps", variant=name, size=1518) for name in ("memif-zc", "memif-copy", "vhost", "vhost-out")}
    best = max((name for name in isolating if isolating[name]), key=isolating.get, default=None)
    return {"direct64_vs_memif_zc": over("memif-zc", 64), "direct64_vs_net_ring": over("net-ring", 64),
            "direct1518_vs_best_isolating": over(best, 1518)}


def ratios(chain, latency, cores, setup):
    """The other figures that decide; None where the runs for one are missing."""
    def long_chain(variant):
        return find(chain, "mpps", variant=variant, chain=8, size=64, scenario="inside")

    def delay(key, variant):
        return find(latency, key, variant=variant, chain=8, scenario="inside")

    def set_up(cores_):
        """The slower one of both kinds of set-up, with all that a user runs."""
        found = [r["setup_ms"]["p50"] for r in setup
                 if (r["variant"], r["cores"]) == ("highway", cores_) and r["kind"] != "way back"]
        return max(found, default=None)

    return {
        "chain8_vs_vhost": _over(long_chain("highway"), long_chain("ovs-vhost")),
        "chain8_vs_normal": _over(long_chain("highway"), long_chain("highway-normal")),
        "latency8_p50_vs_vhost": _over(delay("p50", "highway"), delay("p50", "ovs-vhost")),
        "latency8_p99_vs_vhost": _over(delay("p99", "highway"), delay("p99", "ovs-vhost")),
        "switch_busy_open": find(cores, "busy", variant="highway", chain=8, load="saturation", scenario="inside", size=64),
        "setup_ms_p50_saturated": set_up("saturated"),
        "setup_ms_p50_free_core": set_up("free core"),
    }
