#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The detector against stock Open vSwitch: is a claimed link ever none?

Random pipelines go both to a private ovs-vswitchd with a dummy datapath and to the detector;
whenever the detector claims that all packets of X go to Y, `ofproto/trace` of every packet
tried must output it to exactly Y, with nothing changed.

Where all packets tried go to one port and the detector has no proof, many more packets are
tried.  If they still do, it is a link of one of these kinds:

  several rules   packets take different paths of rules: no proof by definition, as no one rule
                  answers for all of them; Open vSwitch's megaflows (classes) carry such a link
  no order        rules that overlap have the same priority, and OpenFlow leaves open which
                  one decides: nothing can be proved
  missed          one path of rules, and no proof

    sudo tests/detector/differential.py --build build [--pipelines 10000] [--seed N] [--json FILE]

The last line is `N pipelines, N packets, N proofs, N false, N missed`.
"""

import argparse
import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from lab.dpdk import find_program  # noqa: E402
from lab.ovs import SCHEMA  # noqa: E402
from lab.process import DEADLINE, LabError, Process, run, wait_until  # noqa: E402
from lab.registry import Lab  # noqa: E402
from tests.detector.pipelines import PORTS, Pipeline  # noqa: E402

AMBIGUOUS = "have the same priority"
"""Rules that overlap with the same priority: OpenFlow leaves open which one decides."""
MORE = 60
"""Random packets that are tried where a link may be missed, beside those that rules ask for."""
NO_FORWARD, NO_RECEIVE, DOWN, NOT_HIGHWAY = 5, 6, 7, 8
"""Ports that have something the matter with them."""
DEATHS_EVERY = 2000
"""Of so many pipelines stock Open vSwitch may die of one, by an assertion of its own."""


class Unixctl:
    """One connection to a daemon's control socket, kept open (JSON-RPC 1.0)."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE)
        self._socket.connect(str(path))
        self._decoder = json.JSONDecoder()
        self._text = ""

    def calls(self, method, parameters):
        """The answers to several calls, in their order."""
        answers = []
        for start in range(0, len(parameters), 20):
            part = parameters[start:start + 20]
            self._socket.sendall("".join(json.dumps({"method": method, "params": words, "id": number})
                                         for number, words in enumerate(part)).encode())
            answers += [self._answer() for _ in part]
        return answers

    def _answer(self):
        while True:
            text = self._text.lstrip()
            try:
                answer, end = self._decoder.raw_decode(text)
            except ValueError:
                more = self._socket.recv(1 << 20)
                if not more:
                    raise LabError("ovs-vswitchd closed its control socket") from None
                self._text = text + more.decode()
                continue
            self._text = text[end:]
            if answer["error"] is not None:
                raise LabError(answer["error"].strip())
            return answer["result"]


class DummySwitch:
    """A bridge br0 with ports p1.. on a dummy datapath, in a network namespace of its own.
    'number' is another one for each of a lab."""

    def __init__(self, lab, number):
        self.run = lab.rundir / f"dummy{number}"
        self.run.mkdir()
        self.env = {name: self.run for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")}
        database = f"unix:{self.run}/db.sock"
        self._vsctl = ["ovs-vsctl", f"--db={database}", f"--timeout={int(DEADLINE)}"]
        run(["ovsdb-tool", "create", self.run / "conf.db", SCHEMA])
        self.log = log = lab.folder / f"vswitchd{number}.log"
        log.unlink(missing_ok=True)
        self._server = server = Process(lab, f"dummy-ovsdb-server{number}", [
            find_program("HIGHWAY_OVSDB_SERVER", "ovsdb-server"), self.run / "conf.db",
            f"--remote=punix:{self.run}/db.sock", f"--unixctl={self.run}/ovsdb.ctl", "-vconsole:off",
            f"--pidfile={self.run}/ovsdb.pid"], env=self.env).start()
        wait_until((self.run / "db.sock").exists, DEADLINE, "the database's socket", server, [server])
        run([*self._vsctl, "--no-wait", "init"], env=self.env)
        self.vswitchd = Process(lab, f"dummy-vswitchd{number}", [
            find_program("HIGHWAY_PLAIN_VSWITCHD", "/usr/lib/openvswitch-switch/ovs-vswitchd", "ovs-vswitchd"),
            database, "--enable-dummy", f"--unixctl={self.run}/vswitchd.ctl", "-vconsole:off", "-vfile:warn",
            f"--pidfile={self.run}/vswitchd.pid", f"--log-file={log}"], env=self.env, netns="private").start()
        words = ["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy", "fail_mode=secure",
                 "protocols=OpenFlow13,OpenFlow14,OpenFlow15"]
        for port in PORTS:
            words += ["--", "add-port", "br0", f"p{port}", "--", "set", "Interface", f"p{port}", "type=dummy",
                      f"ofport_request={port}"]
        run([*self._vsctl, *words], env=self.env)
        self.control = Unixctl(self.run / "vswitchd.ctl")
        self.ofctl("mod-port", "br0", f"p{NO_FORWARD}", "no-forward")
        self.ofctl("mod-port", "br0", f"p{NO_RECEIVE}", "no-receive")
        self.control.calls("netdev-dummy/set-admin-state", [[f"p{DOWN}", "down"]])
        wait_until(lambda: DOWN not in self.live(), DEADLINE, f"p{DOWN} to be down", log, [self.vswitchd])

    def failed_assertion(self):
        """What Open vSwitch said of itself if it has just died of that, else ""."""
        try:
            wait_until(lambda: not self.vswitchd.alive, 10, "ovs-vswitchd to end")
        except TimeoutError:
            return ""
        found = re.search(r"EMER\|.*?(\S+: assertion .* failed in \S+)", self.log.read_text(errors="replace"))
        return found[1] if found else ""

    def stop(self):
        """Ends what is left of it."""
        self.vswitchd.stop()
        self._server.stop()

    def ofctl(self, *words, stdin=None):
        return run(["ovs-ofctl", "-O", "OpenFlow15", *words], env=self.env, stdin=stdin)

    def live(self):
        """Numbers of the ports that the switch calls live."""
        text = self.ofctl("--no-names", "show", "br0")
        return {int(number) for number, state in re.findall(r"^ (\d+)\(.*?state: +([^\n]*)", text,
                                                            re.MULTILINE | re.DOTALL) if "LIVE" in state}

    def trace(self, packets):
        """What becomes of each packet, a text: (outcome(), path())."""
        answers = self.control.calls("ofproto/trace", [["--names", "br0", packet] for packet in packets])
        return [(outcome(answer), path(answer)) for answer in answers]


def path(text):
    """The rules and the buckets that a trace tells of, in their order."""
    return tuple(re.findall(r"^ *(?:\d+\. (.*)|-> using (bucket \d+))$", text, re.MULTILINE))


def outcome(text):
    """What a trace says: (datapath actions, whether the packet's headers were changed)."""
    actions = re.findall(r"^Datapath actions: (.*)$", text, re.MULTILINE)
    start = re.search(r"^Flow: (.*)$", text, re.MULTILINE)
    final = re.search(r"^Final flow: (.*)$", text, re.MULTILINE)
    if not actions or not start or not final:
        raise LabError(f"ofproto/trace said:\n{text}")
    changed = final[1] != "unchanged" and headers(final[1]) != headers(start[1])
    # More than one means that the packet went round again.
    return " + ".join(actions), changed


def headers(flow):
    """The fields of a flow that are the packet's own."""
    return {field for field in flow.split(",") if not re.match(r"(reg\d+|metadata|in_port)=", field)}


class Detector:
    """tests/detector/verdicts.c, kept running; it hands its rules on to the switch."""

    def __init__(self, program, switch):
        live = switch.live()
        self._process = subprocess.Popen([program, f"unix:{switch.run}/br0.mgmt"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for port in PORTS:
            flags = {NO_FORWARD: "no-forward", NO_RECEIVE: "no-receive", DOWN: "down"}.get(port, "")
            self._say(f"port {port} p{port} {flags} {'highway' * (port != NOT_HIGHWAY)} {'live' * (port in live)}")

    def _say(self, *lines):
        self._process.stdin.write("\n".join(lines) + "\n")

    def verdicts(self, lines):
        """With just these groups and flows: {port: (its partner or None, explanation)}."""
        self._say("flush", *lines, *(f"verdict {port}" for port in PORTS))
        self._process.stdin.flush()
        verdicts = {}
        for port in PORTS:
            partner, _, words = self._process.stdout.readline().rstrip("\n").partition(" ")
            if not partner:
                raise LabError(f"the detector ended: {self._process.wait()}")
            verdicts[port] = int(partner) if partner != "-" else None, words
        return verdicts

    def close(self):
        self._process.stdin.close()
        self._process.wait(DEADLINE)


class Count:
    """What was seen."""

    def __init__(self):
        self.pipelines = self.packets = self.proofs = self.links = 0
        self.false, self.missed = [], Counter()
        self.several = self.unordered = 0  # links without a proof that are none of the detector's
        self.deaths = 0  # pipelines that Open vSwitch did not survive

    def line(self):
        return (f"{self.pipelines} pipelines, {self.packets} packets, {self.proofs} proofs, "
                f"{len(self.false)} false, {sum(self.missed.values())} missed")

    def kinds(self):
        """{kind of link: how many}"""
        missed = sum(self.missed.values())
        return {"proved": self.links - self.several - self.unordered - missed, "several rules": self.several,
                "no order": self.unordered, "missed": missed}

    def as_json(self, seed):
        return {"seed": seed, "pipelines": self.pipelines, "packets": self.packets, "proofs": self.proofs,
                "false": len(self.false), "links": self.kinds(), "missed": dict(self.missed.most_common())}


def link(port, outcomes):
    """Do all packets go from 'port' to one port that can be the end of a link, unchanged?"""
    (actions, changed), *others = set(outcomes)
    goal = re.fullmatch(r"p(\d+)", actions)
    return bool(goal) and not others and not changed and int(goal[1]) not in (port, DOWN, NOT_HIGHWAY)


def compare(switch, detector, pipeline, number, count):
    """One pipeline."""
    verdicts = detector.verdicts(pipeline.lines)
    packets = pipeline.packets(number)
    count.pipelines += 1
    for port in PORTS[:6]:
        partner, words = verdicts[port]
        tried = [f"in_port={port},{packet}" for packet in packets]
        traces = switch.trace(tried)
        count.packets += len(tried)
        if partner is not None:
            count.proofs += 1
            wrong = [(packet, actions, changed) for packet, ((actions, changed), _) in zip(tried, traces)
                     if actions != f"p{partner}" or changed]
            if wrong:
                count.false.append((pipeline.lines, words, wrong[0]))
        if not link(port, [seen for seen, _ in traces]):
            continue
        if partner is None:
            more = [f"in_port={port},{packet}" for packet in pipeline.more_packets(MORE)]
            traces += switch.trace(more)
            count.packets += len(more)
            if not link(port, [seen for seen, _ in traces]):
                continue
            if len({way for _, way in traces}) > 1:
                count.several += 1
            elif AMBIGUOUS in words:
                count.unordered += 1
            else:
                count.missed[reason(words)] += 1
        count.links += 1


def reason(words):
    """What is the same in explanations of one kind."""
    for part in ("takes some of", "no rule takes", "no bucket is live", "too deep", "second port", "which is not followed",
                 "writes the field", "not known", "depends on the packet", "does not exist", "several live buckets",
                 "selects by dp_hash"):
        if part in words:
            return part
    return words


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--pipelines", type=int, default=300)
    parser.add_argument("--packets", type=int, default=12, help="random ones for each port, beside those that rules ask for")
    parser.add_argument("--json", type=Path, help="file to add the figures to")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("HIGHWAY_SEED", time.time_ns() % 10**9)))
    args = parser.parse_args()
    program = args.build.resolve() / "tests/detector_verdicts"
    if not program.exists():
        print(f"skip  differential: {program} is missing: build with -Dopenvswitch=PATH")
        return 0
    if os.geteuid() != 0:
        print("skip  differential: a network namespace for the switch needs root")
        return 0
    print(f"seed {args.seed}", flush=True)
    chance, count, started = random.Random(args.seed), Count(), time.monotonic()
    with Lab(args.build.resolve() / "detector") as lab:
        switch = DummySwitch(lab, 0)
        detector = Detector(program, switch)
        for _ in range(args.pipelines):
            pipeline = Pipeline(chance)
            try:
                compare(switch, detector, pipeline, args.packets, count)
            except (LabError, OSError) as error:
                why = switch.failed_assertion()
                count.deaths += 1
                if not why or count.deaths > 1 + args.pipelines / DEATHS_EVERY:
                    print("\n  ".join(["the pipeline that it happened on:", *pipeline.lines]))
                    print(f"FAIL  differential: {error}")
                    return 1
                print(f"a pipeline that stock Open vSwitch does not survive is left out ({why})", flush=True)
                detector.close()
                switch.stop()
                switch = DummySwitch(lab, count.deaths)
                detector = Detector(program, switch)
            if count.pipelines % 1000 == 0:
                print(f"after {time.monotonic() - started:.0f} s: {count.line()}", flush=True)
            if len(count.false) >= 5:
                break
        detector.close()
    for lines, words, (packet, actions, changed) in count.false:
        print("claimed:", words, "\n  but", packet, "->", actions, "headers changed" if changed else "")
        print("  " + "\n  ".join(lines))
    kinds = count.kinds()
    for why, times in count.missed.most_common():
        print(f"missed {times:6}: {why}")
    print(f"{count.links} links: " + ", ".join(f"{number} {kind}" for kind, number in kinds.items()) +
          f"; of those that one path of rules makes, {100 * kinds['missed'] / max(kinds['proved'] + kinds['missed'], 1):.1f} % "
          f"are missed; {time.monotonic() - started:.0f} s")
    if args.json:
        rows = json.loads(args.json.read_text()) if args.json.exists() else []
        rows = [row for row in rows if "differential" not in row] + [{"differential": count.as_json(args.seed)}]
        args.json.write_text("[\n " + ",\n ".join(map(json.dumps, rows)) + "\n]\n")
    enough = count.proofs >= args.pipelines / 2
    print("FAIL  differential: false proofs" if count.false else
          "ok    differential: no proof is false" if enough else "FAIL  differential: too few proofs to tell")
    print(count.line())
    return 0 if enough and not count.false else 1


if __name__ == "__main__":
    sys.exit(main())
