# SPDX-License-Identifier: BSD-3-Clause
"""Plots, each as SVG and as PNG, by gnuplot."""

import shutil

from lab import LabError, run

from . import model
from .results import SETUP_PARTS

TITLES = {
    "highway": "Highway, bypass", "highway-normal": "Highway, normal channel", "ovs-vhost": "OVS, vhost-user",
    "ovs-memif": "OVS, memif", "memif-zc": "direct memif, zero-copy", "memif-copy": "direct memif, copy",
    "vhost": "direct virtio-user to vhost", "vhost-out": "direct vhost to virtio-user", "net-ring": "net_ring (no isolation)",
    "ring-floor": "bare ring (floor)", "highway-driver": "Highway, without highwayd",
}
COLOURS = {"highway": "#0060ad", "highway-driver": "#6fa8dc", "highway-normal": "#6fa8dc", "ovs-vhost": "#c0392b", "ovs-memif": "#e67e22",
           "memif-zc": "#27ae60", "memif-copy": "#82c99d", "vhost": "#8e44ad", "vhost-out": "#bb8fce",
           "net-ring": "#555555", "ring-floor": "#aaaaaa", "model": "#000000"}


class Plot:
    """One plot: series of (x, y, low, high) points, or bars, with 'labels' below them if given."""

    def __init__(self, name, title, xlabel, ylabel, log=False, bars=False, labels=()):
        self.name, self.title, self.xlabel, self.ylabel, self.log, self.bars = name, title, xlabel, ylabel, log, bars
        self.labels = labels
        self.series = []

    def add(self, title, points, colour, dashed=False):
        if points:
            self.series.append((title, points, colour, dashed))

    def script(self, path, terminal):
        lines = [f"set terminal {terminal}", f"set output '{path}'", f"set title \"{self.title}\"",
                 f"set xlabel \"{self.xlabel}\"", f"set ylabel \"{self.ylabel}\"", "set grid ytics", "set key outside right",
                 "set style fill solid 0.8"]
        if self.log:
            lines.append("set logscale y")
        else:
            lines.append("set yrange [0:*]")
        blocks, parts = [], []
        for number, (title, points, colour, dashed) in enumerate(self.series):
            blocks += [f"$d{number} << EOD", *(" ".join(map(str, point)) for point in points), "EOD"]
            dash = " dashtype 2" if dashed else ""
            if self.bars:
                parts.append(f"$d{number} using 1:2 with boxes lc rgb '{colour}' title \"{title}\"")
                if len(points[0]) > 2:
                    parts.append(f"$d{number} using 1:2:3:4 with yerrorbars pt 0 lc rgb 'black' notitle")
            elif dashed:
                parts.append(f"$d{number} using 1:2 with lines lw 2 lc rgb '{colour}'{dash} title \"{title}\"")
            else:
                parts.append(f"$d{number} using 1:2 with linespoints lw 2 pt 7 ps 0.6 lc rgb '{colour}' title \"{title}\"")
                parts.append(f"$d{number} using 1:2:3:4 with yerrorbars pt 0 lc rgb '{colour}' notitle")
        if self.bars:
            ticks = ", ".join(f"\"{label}\" {number}" for number, label in enumerate(self.labels))
            lines += ["set boxwidth 0.8", f"set xtics ({ticks}) rotate by -35" if ticks else "unset xtics",
                      f"set xrange [-0.7:{len(self.labels) - 0.3 if ticks else '*'}]"]
        return "\n".join(blocks + lines + ["plot " + ", \\\n  ".join(parts), ""])


def draw(folder, found):
    """Draws what there is; returns the names of the files, PNG and SVG."""
    if not shutil.which("gnuplot"):
        raise LabError("gnuplot is not there: install gnuplot-nox")
    figures = found["figures"]
    plots = [*_direct(figures), *_throughput(figures), *_latency(figures), *_cores(figures), *_setup(figures),
             *_growth(figures)]
    files = []
    for plot in plots:
        if not plot.series:
            continue
        for ending, terminal in (("svg", "svg size 860,440 font 'sans,12'"), ("png", "pngcairo size 860,440 font 'sans,10'")):
            path = folder / f"{plot.name}.{ending}"
            run(["gnuplot", "-"], stdin=plot.script(path, terminal))
            files.append(path.name)
    return files


def _select(rows, **names):
    return [row for row in rows if all(row.get(key) == value for key, value in names.items())]


def _variants(rows):
    return sorted({row["variant"] for row in rows}, key=list(TITLES).index)


def _line(rows, key="mpps"):
    return sorted((row["chain"], row[key], row["min"], row["max"]) for row in rows)


def _direct(figures):
    for size in sorted({row["size"] for row in figures.get("direct", [])}):
        plot = Plot(f"direct-{size}", f"One link, {size} bytes, one core a side", "", "Mpps", bars=True)
        rows = _select(figures["direct"], size=size)
        for number, variant in enumerate(_variants(rows)):
            row = _select(rows, variant=variant)[0]
            plot.add(TITLES[variant], [(number, row["mpps"], row["min"], row["max"])], COLOURS[variant])
        yield plot


def _throughput(figures):
    rows = figures.get("throughput", [])
    for scenario, size in sorted({(row["scenario"], str(row["size"])) for row in rows}):
        chosen = [row for row in rows if row["scenario"] == scenario and str(row["size"]) == size]
        where = "source and sink inside" if scenario == "inside" else "in and out by ports of the switch"
        plot = Plot(f"throughput-{scenario}-{size}", f"Throughput, both ways, {size} bytes, {where}".replace("imix bytes", "IMIX"),
                    "VNFs in the chain", "Mpps", log=True)
        for variant in _variants(chosen):
            line = _line(_select(chosen, variant=variant))
            plot.add(TITLES[variant], line, COLOURS[variant])
            if variant == "highway" and scenario == "inside":
                ours = model.predict({point[0]: point[1] for point in line})
                plot.add("model: the VNFs' share of two cores", sorted(ours.items()), COLOURS["model"], dashed=True)
        yield plot


def _latency(figures):
    for scenario in ("inside", "outside"):
        rows = _select(figures.get("latency", []), scenario=scenario)
        for key in ("p50", "p99"):
            where = "inside" if scenario == "inside" else "by ports of the switch"
            plot = Plot(f"latency-{scenario}-{key}", f"One-way latency, {key}, 64 bytes, {where}", "VNFs in the chain",
                        "microseconds", log=True)
            for variant in _variants(rows):
                plot.add(TITLES[variant], sorted(
                    (row["chain"], row["latency_us"][key], row["min"][key], row["max"][key])
                    for row in _select(rows, variant=variant)), COLOURS[variant])
            yield plot


def _cores(figures):
    rows = figures.get("cores", [])
    for name, load, title in (("saturation", "saturation", "at saturation"), ("rate", "rate", "at the rate of the latency figure"),
                              ("sleep", "rate, pmd-maxsleep", "at that rate, all with pmd-maxsleep")):
        chosen = [row for row in _select(rows, load=load, scenario="inside") if row["size"] == 64]
        plot = Plot(f"switch-core-{name}", f"Use of the switch's core, 64 bytes, {title}", "VNFs in the chain",
                    "share of the core's time")
        for variant in _variants(chosen):
            plot.add(TITLES[variant], _line(_select(chosen, variant=variant), "busy"), COLOURS[variant])
        yield plot
    chosen = [row for row in _select(rows, load="saturation", scenario="inside") if row["size"] == 64]
    plot = Plot("cpu-per-packet", "CPU time a packet, switch and VNFs, at saturation, 64 bytes", "VNFs in the chain",
                "microseconds", log=True)
    for variant in _variants(chosen):
        plot.add(TITLES[variant], sorted((row["chain"], *(row["cpu_us_per_packet"][k] for k in ("median", "min", "max")))
                                         for row in _select(chosen, variant=variant)), COLOURS[variant])
    yield plot


def _setup(figures):
    rows = sorted(figures.get("setup", []), key=lambda r: (r["variant"], list(SETUP_PARTS).index(r["kind"]), r["cores"]))
    labels = [f"{row['kind']}, {row['cores']}" + (", no highwayd" if row["variant"] == "highway-driver" else "") for row in rows]
    plot = Plot("setup", "To the first packet received by the other path: p50 (bar) to p99", "", "milliseconds", bars=True,
                labels=labels)
    for variant in _variants(rows):
        plot.add(TITLES[variant], [(number, row["setup_ms"]["p50"], row["setup_ms"]["p50"], row["setup_ms"]["p99"])
                                   for number, row in enumerate(rows) if row["variant"] == variant], COLOURS[variant])
    yield plot
    plot = Plot("setup-parts", "To the first packet received by the other path, in its parts: means", "", "milliseconds", bars=True, labels=labels)
    stages = ("to the proof", "to the route", "to the first packet sent", "to its reception")
    for stage, colour in reversed(list(zip(range(len(stages)), ("#c0392b", "#0060ad", "#27ae60", "#aaaaaa")))):
        # A bar reaches to the end of its part; the shorter ones are drawn over it.
        points = []
        for number, row in enumerate(rows):
            parts = SETUP_PARTS[row["kind"]]
            ends = len(parts) - (len(stages) - 1 - stage)
            points.append((number, sum(row["parts"][part]["mean"] for part in parts[:ends] if part in row["parts"])))
        plot.add(stages[stage], points, colour)
    yield plot


def _growth(figures):
    rows = figures.get("growth", [])
    plot = Plot("growth", "Cost of one active link as its domain grows: sent and received", "number (region: MiB)",
                "cycles a packet")
    for (what, title), colour in zip((("ports", "ports in the domain"), ("classes", "classes of the sender"),
                                      ("links", "links into the receiver"), ("region_mib", "MiB of the region")),
                                     ("#0060ad", "#c0392b", "#27ae60", "#8e44ad")):
        plot.add(title, sorted((row["amount"], row["cycles"], row["min"], row["max"]) for row in _select(rows, what=what)),
                 colour)
    yield plot
