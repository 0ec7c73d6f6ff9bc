# SPDX-License-Identifier: BSD-3-Clause
"""report.md: machine, method, tables and plots of one run."""

from . import model
from .plots import TITLES
from .results import SETUP_PARTS, median

PROMISES = [  # ratio, what, at least (True) or at most (False), how much
    ("direct64_vs_memif_zc", "direct link, 64 B, over memif zero-copy", True, 2.2),
    ("direct64_vs_net_ring", "direct link, 64 B, over net_ring between processes", True, 1.0),
    ("direct1518_vs_best_isolating", "direct link, 1518 B, over the best peer that isolates", True, 1.2),
    ("chain8_vs_vhost", "chain of 8, over OVS + vhost-user", True, 6.0),
    ("chain8_vs_normal", "chain of 8, over the own normal channel", True, 4.0),
    ("latency8_p50_vs_vhost", "latency p50 of 8 VNFs, over that of OVS + vhost-user", False, 0.2),
    ("latency8_p99_vs_vhost", "latency p99 of 8 VNFs, over that of OVS + vhost-user", False, 0.2),
    ("switch_busy_open", "share of its core that the switch uses, all links open", False, 0.05),
    ("setup_ms_p50_saturated", "set-up, p50, saturated cores (ms)", False, 20),
    ("setup_ms_p50_free_core", "set-up, p50, a core free for control threads (ms)", False, 3),
]

METHOD = """\
- **Two CPUs for every variant.** Through the switch: its PMD thread alone on CPU 1, all VNFs on
  CPU 0. By the bypass: the switch's thread sleeps (`pmd-maxsleep`), so the first half of the
  chain is on CPU 0 and the second half on CPU 1, beside that thread; with traffic from outside
  (5b) the switch has work, and CPU 1 is its own in every variant. Direct links: sender on CPU 1,
  receiver on CPU 0.
- **Highway, bypass is what a user runs**: with `highwayd`, which proves that a port's packets all go one way, so that
  no packet is looked at. On the direct link, where there is no switch, a program stands in for it that says the same
  (`bench/prover.c`). *Without highwayd*, each packet goes by its class.
- **The same programs.** Source, sink and forwarders are `highway-traffic` in every variant; only
  the devices differ. A chain of N VNFs with source and sink inside is N processes, of which the
  first and the last send and receive, and the others forward both ways. With traffic from outside
  all N forward, and one more process sends and receives at two memif ports of the switch.
- **Every poller of a chain yields** the processor after a round that moved nothing, and after 2048 packets in a row:
  `--idle yield` in the tool, so that no driver needs an option for it; all of net_highway's guest ends are
  `idle=poll`. Without the second, a source that is never held back keeps its core for whole time slices from those that
  are to receive; vhost-user carried a hundredth then, at times.
- **Scheduling**: real-time round robin for all programs of a run, where that is allowed: nothing else takes the cores,
  and a poller that yields leaves its core to the next one at once. Linux's fair scheduler makes a
  thread that yields wait behind whatever else runs, for milliseconds, which hits longer chains in
  every variant. Set-up times are measured without it, as usual programs run.
- **Open vSwitch** is the distribution's. All rules match on the port alone, so that its *simple
  match* is in force; rings of 1024 everywhere; one bridge; EMC as it is by default (simple match
  goes before it). hw-offload is on for Highway only. memif needs two queues, as the PMD thread
  of Open vSwitch always sends on its second queue; the VNFs poll both.
- **Frames** of 64 and 1518 bytes without FCS; IMIX is 7:4:1 of 64, 594 and 1518. memif's largest
  MTU, 1500, is everybody's.
- **Interleaved**: every round measures each variant once more, in new processes each time. Direct links of all variants
  are there at once, all but one stopped, and are measured in turn, each every few seconds: the CPUs of a virtual
  machine may be threads of one core now, and far apart soon. Their ratios are of two runs of one turn, and what is given is
  the median over all turns, with its quartiles in brackets.
- **Throughput** is what arrived in the time, both ways together. The *non-drop rate* is found by binary
  search: the highest rate at which nothing at all is lost in {ndr_seconds:g} s, and at least 97% of it could be sent
  (a full ring of the bypass holds its sender back, and loses nothing). A rate has to fail three times, since
  whatever else wants a core for a moment makes a ring run over, and those that failed are tried again in the end. Sources are stopped, and the last packet has arrived,
  before priorities are given up; what a source sent a second is taken from its first to its last packet.
- **Latency** from the time stamp before a packet is first offered to the device to its reception,
  one packet in 64, at a rate that all variants carry ({latency_rate:,} packets a second each way).
- **The switch's core**: CPU time of the PMD thread (a thread that sleeps uses none); *working* is
  the share of its cycles that moved packets, as `dpif-netdev/pmd-stats-show` counts them. Where the table says
  *rate, pmd-maxsleep* the peers have `pmd-maxsleep=500` as well; Highway's bypass always has.
- {rule}
"""


SETUP_METHOD = """\
Milliseconds between two stamps of one program, `rule-clock`, which has an OpenFlow connection open all the while and
looks at the region every 0.1 ms. No program is started in between, and all stamps are as late as the look that
saw them. What is between the two:

- *flow-mod*: traffic is on (100,000 packets a second, through the switch to two ports). From before the flow-mod that
  makes the link point-to-point is written to the connection, to the look at which the receiver has counted a packet
  that came by the link.
- *first packet*: the rule is there, Open vSwitch has no megaflow of it (`revalidator/purge`) and the sender has
  stopped; it begins again. From the last look at which it had not sent yet, to the same end. Its first packets go
  to the switch.
- *way back*: traffic is on, by the link. From before a flow-mod that adds a second output, to the look at which the
  receiver has counted a packet that came from the switch after the sender had lost its route.

Each part begins where the one before ends; a part that some repetitions did not have says in how many it was there
(the link may open by Open vSwitch's own offloaded flow before the proof is there). *Highway, bypass* is what a user
runs, with `highwayd`; `setup_ms_p50_...` are its larger p50 of *flow-mod* and *first packet*. Without `highwayd` the link
opens when Open vSwitch's offload thread gets to it, which looks every 64 ms after a rest (there are 0.2 s of it before
each measurement); and with or without, a flow that it has offloaded stays routed on the way back until it takes it
away. `highway-debounce-ms` is 0, as each change is one by itself here and not flapping, for which `highwayd` waits
with a proof.

*Saturated*: sender, receiver, `highwayd` and Open vSwitch's control threads share CPU 0 and the PMD thread polls on
CPU 1. *Free core*: sender and receiver share CPU 1 with the PMD thread, which has `pmd-maxsleep` as in the chains, and
CPU 0 is the control threads'. Nothing but `rule-clock` has real-time priority; it is on CPU 1 and took {cpu:.0f}% of it
while it waited (median). The switch answered a barrier behind the flow-mod after {applied} ms (median)."""


def write(path, found, drawn):
    about = found["about"]
    figures = found["figures"]
    parts = ["# Benchmark", "", *_machine(about), "", "## Ratios", "", *_ratios(found), "", "## Method", "",
             METHOD.format(rule=about["rule"], **about["plan"]), "## One link", "", *_direct(figures),
             "", *_images(drawn, "direct-"), "## Throughput against chain length", "", *_throughput(figures), "",
             *_images(drawn, "throughput-"), "## Non-drop rate", "", *_plain(figures.get("ndr", []), ("chain", "scenario")), "",
             "## Latency against chain length", "", *_latency(figures), "", *_images(drawn, "latency-"),
             "## Cores", "", *_cores(figures), "", *_images(drawn, "switch-core-"), *_images(drawn, "cpu-per-packet"),
             "## Set-up and way back", "", *_setup(figures), "", *_images(drawn, "setup"),
             "## Cost of each step", "", *_steps(figures), "", "## Growth", "", *_growth(figures), "",
             *_images(drawn, "growth"), "## Command lines", "", *_commands(about)]
    path.write_text("\n".join(parts) + "\n")


def _table(head, rows):
    if not rows:
        return ["Not measured."]
    align = ["---"] + ["---:"] * (len(head) - 1)
    return ["| " + " | ".join(line) + " |" for line in [head, align, *rows]]


def _number(value, digits=2):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}f}" if abs(value) < 100 else f"{value:.0f}"


def _spread(row, key, digits=2):
    """'median (min - max)' of a value of the row."""
    value = row[key]
    if isinstance(value, dict):
        return f"{_number(value['median'], digits)} ({_number(value['min'], digits)} - {_number(value['max'], digits)})"
    return f"{_number(value, digits)} ({_number(row['min'], digits)} - {_number(row['max'], digits)})"


def _images(drawn, prefix):
    return [line for name in drawn if name.startswith(prefix) and name.endswith(".svg")
            for line in (f"![{name[:-4]}]({name})", "")]


def _machine(about):
    m = about["machine"]
    lines = [f"{m['cpus']} CPUs ({m['cpu']}{', in a virtual machine' if m['virtual'] else ''}), {m['memory_gib']} GiB, "
             f"{m['system']}, Linux {m['kernel']}, huge pages: {'yes' if m['huge_pages'] else 'no'}. "
             + ", ".join(f"{name} {version}" for name, version in m["packages"].items()) + ".", "",
             f"Mode `{about['mode']}`; scheduling: {about['scheduling']}. "
             "Tables show medians, and the smallest and the largest run in brackets."]
    if not about["complete"]:
        lines += ["", "**Not complete**: some runs are missing."]
    return lines


def _ratios(found):
    rows = []
    for name, what, at_least, limit in PROMISES:
        value, spread = found["ratios"].get(name), found["ratio_spread"].get(name)
        kept = "-" if value is None else "yes" if (value >= limit if at_least else value <= limit) else "no"
        between = f" ({_number(spread['p25'])} - {_number(spread['p75'])})" if spread else ""
        rows.append([f"`{name}`", what, _number(value, 3) + between, f"{'at least' if at_least else 'at most'} {limit:g}", kept])
    return _table(["name", "what", "measured", "goal", "reached"], rows)


def _runs(row):
    return f"{row['runs']}" + (f" ({row['disturbed']} disturbed)" if row.get("disturbed") else "")


def _direct(figures):
    rows = [[TITLES[r["variant"]], f"{r['size']} B", _spread(r, "mpps"), *(
        _number(r[key]["median"], 1) if key in r else "-" for key in ("tx_cycles", "rx_cycles")), _runs(r)]
        for r in sorted(figures.get("direct", []), key=lambda r: (r["size"], -r["mpps"]))]
    return _table(["variant", "frame", "Mpps", "cycles to send", "cycles to receive", "runs"], rows)


def _throughput(figures):
    lines = []
    every = figures.get("throughput", [])
    for scenario, size in sorted({(r["scenario"], str(r["size"])) for r in every}):
        rows = [r for r in every if r["scenario"] == scenario and str(r["size"]) == size]
        lengths = sorted({r["chain"] for r in rows})
        table = []
        for variant in [v for v in TITLES if any(r["variant"] == v for r in rows)]:
            cells = {r["chain"]: _spread(r, "mpps") for r in rows if r["variant"] == variant}
            table.append([TITLES[variant], *(cells.get(length, "-") for length in lengths)])
        ours = {r["chain"]: r["mpps"] for r in rows if r["variant"] == "highway"}
        text = []
        if scenario == "inside" and model.fit(ours):
            ends, forward = model.fit(ours)
            table.append(["model", *(_number(model.predict(ours).get(length)) for length in lengths)])
            text = ["", f"Model: X(N) = {model.CORES} cores / (E + (N - 2) F), E = {1000 * ends:.0f} ns for the two VNFs "
                        f"at the ends, F = {1000 * forward:.0f} ns for each in between, from the two shortest chains."]
        name = "IMIX" if size == "imix" else f"{size} bytes"
        where = "source and sink inside" if scenario == "inside" else "in and out by ports of the switch"
        lines += [f"### {name}, {where}", "", "Mpps, both ways together, by number of VNFs; "
                  f"{min(r['runs'] for r in rows)} runs or more, {sum(r['disturbed'] for r in rows)} of "
                  f"{sum(r['runs'] for r in rows)} disturbed.", "",
                  *_table(["variant", *map(str, lengths)], table), *text, ""]
    return lines or ["Not measured."]


def _plain(rows, names):
    table = [[TITLES[r["variant"]], *(str(r[name]) for name in names), _spread(r, "mpps"), _runs(r)]
             for r in sorted(rows, key=lambda r: (r["scenario"], r["chain"], -r["mpps"]))]
    return _table(["variant", *names, "Mpps", "runs"], table)


def _latency(figures):
    table = []
    for r in sorted(figures.get("latency", []), key=lambda r: (r["scenario"], r["chain"], list(TITLES).index(r["variant"]))):
        cells = [f"{_number(r['latency_us'][key], 1)} ({_number(r['min'][key], 1)} - {_number(r['max'][key], 1)})"
                 for key in ("p50", "p99")]
        table.append([TITLES[r["variant"]], r["scenario"], str(r["chain"]), *cells, _runs(r)])
    return _table(["variant", "traffic", "VNFs", "p50 (us)", "p99 (us)", "runs"], table)


def _cores(figures):
    table = []
    rows = [r for r in figures.get("cores", []) if r["scenario"] == "inside" and r["size"] == 64]
    for r in sorted(rows, key=lambda r: (r["load"], r["chain"], list(TITLES).index(r["variant"]))):
        table.append([TITLES[r["variant"]], r["load"], str(r["chain"]), _spread(r, "busy", 3), _spread(r, "working", 3),
                      _spread(r, "cpu_us_per_packet", 3)])
    return _table(["variant", "load", "VNFs", "switch core", "of it working", "CPU time a packet (us)"], table)


def _setup(figures):
    rows = figures.get("setup", [])
    lines = []
    for r in sorted(rows, key=lambda r: (r["variant"], list(SETUP_PARTS).index(r["kind"]), r["cores"])):
        parts = ", ".join(f"{name} {_number(part['p50'])}" + (f" (in {part['runs']} of {r['runs']})" if part["runs"] < r["runs"] else "")
                          for name, part in r["parts"].items())
        lines.append([TITLES[r["variant"]], f"{r['kind']}, {r['cores']}", _number(r["setup_ms"]["p50"]),
                      _number(r["setup_ms"]["p99"]), _number(r["min"]), _number(r["max"]), str(r["runs"]), parts])
    text = []
    if rows:
        text = ["", SETUP_METHOD.format(cpu=100 * median([r["watch_cpu"] for r in rows]), applied=_number(
            median([r["applied_ms"]["p50"] for r in rows if "applied_ms" in r])))]
    return [*_table(["variant", "what", "p50 (ms)", "p99", "min", "max", "times", "parts, p50 (ms)"], lines), *text]


def _steps(figures):
    rows = figures.get("steps", [])
    table = [[r["case"], r["step"], _spread(r, "cycles", 1),
              _number(r["instructions"]["median"], 1) if "instructions" in r else "-"] for r in rows]
    cost = {(r["size"], r["case"].partition(",")[2], r["step"]): r["cycles"] for r in rows}
    text = []
    chunk = " copied once, then by index"
    if (256, chunk, "send") in cost and (1518, chunk, "send") in cost:
        byte = (cost[1518, chunk, "send"] - cost[256, chunk, "send"]) / (1518 - 256)
        text.append(f"A copied byte costs {byte:.3f} cycles (1518 B less 256 B, sent).")
    if (64, " 8 classes in turn", "send") in cost and (64, " inline", "send") in cost:
        text.append("A class look-up that misses the last class costs "
                    f"{cost[64, ' 8 classes in turn', 'send'] - cost[64, ' inline', 'send']:.1f} cycles more than one that hits.")
    if (64, " inline, by a proof", "send") in cost and (64, " inline", "send") in cost:
        text.append("Where a proof covers all packets of the port no header is read: "
                    f"{cost[64, ' inline, by a proof', 'send']:.1f} cycles to send, of a class "
                    f"{cost[64, ' inline', 'send']:.1f}.")
    return ["One CPU, warm caches, bursts of 32; cycles of the TSC, instructions by callgrind.", "",
            *_table(["case", "step", "cycles a packet", "instructions a packet"], table), "", *text]


def _growth(figures):
    table = [[r["what"], str(r["amount"]), _spread(r, "cycles", 1), _number(r["send"]["median"], 1),
              _number(r["receive"]["median"], 1)] for r in sorted(figures.get("growth", []), key=lambda r: (r["what"], r["amount"]))]
    return ["64 B packets on one active link; 16 ports, one class, one link into the receiver and 64 MiB but for what is "
            "varied. With several classes the sender takes all of them in turn, which is the worst case.", "",
            *_table(["what", "amount", "cycles a packet", "sent", "received"], table)]


def _commands(about):
    lines = []
    for what, words in about["commands"].items():
        lines += [f"### {what}", "", "```", *(f"{name}: {line}" for name, line in words.items()), "```", ""]
    return lines
