#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs every test and adds their results up.

Parts: lint, unit (cmocka), stress and fuzz, the same under ASan/UBSan and TSan, model
(spin), detector (random pipelines, compared with stock Open vSwitch), system (stock Open
vSwitch and testpmd), vm (virtual machines, short form), bench in its shortest form; and, only
when it is named, deb (the packages on a small Debian).  The last line is
`N passed, N failed, N skipped`; the exit status is 1 if anything failed.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Tally:
    """What was counted so far."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def line(self, status, name, seconds=None, reason=""):
        kind = {"ok": "passed", "FAIL": "failed", "skip": "skipped"}[status]
        setattr(self, kind, getattr(self, kind) + 1)
        took = f"  {seconds:.1f} s" if seconds is not None else ""
        print(f"{status:4}  {name}{took}{'  ' + reason if reason else ''}", flush=True)


def shell(argv, log, **options):
    """Runs a command with its output in 'log'; returns the exit status."""
    with open(log, "w") as out:
        return subprocess.run([str(word) for word in argv], stdout=out, stderr=subprocess.STDOUT, cwd=ROOT,
                              **options).returncode


def lint(tally, build):
    done = subprocess.run([ROOT / "setup/lint.sh"], capture_output=True, text=True, cwd=ROOT)
    for line in done.stdout.splitlines():
        found = re.match(r"(ok|FAIL)\s+(.*)", line)
        if found:
            tally.line(found[1], "lint: " + found[2])
        else:
            print(line)
    if done.returncode and "FAIL" not in done.stdout:
        tally.line("FAIL", "lint", reason=done.stderr.strip()[-300:])


def meson(tally, build, name, options):
    """Configures and builds a folder, runs its tests, one line each."""
    folder = build / name if options else build
    openvswitch = build / "openvswitch"
    if options and (openvswitch / ".version").exists():
        options = [*options, f"-Dopenvswitch={openvswitch}"]
    log = build / f"{name}.log"
    if options and not (folder / "build.ninja").exists():
        if shell(["meson", "setup", folder, *options], log):
            tally.line("FAIL", f"{name}: meson setup", reason=f"see {log}")
            return
    if shell(["ninja", "-C", folder], log):
        tally.line("FAIL", f"{name}: build", reason=f"see {log}")
        return
    shell(["meson", "test", "-C", folder, "--no-rebuild", "--num-processes", "2"], log)
    results = folder / "meson-logs/testlog.json"
    if not results.exists():
        tally.line("FAIL", f"{name}: meson test", reason=f"see {log}")
        return
    for line in results.read_text().splitlines():
        test = json.loads(line)
        status = {"OK": "ok", "EXPECTEDFAIL": "ok", "SKIP": "skip"}.get(test["result"], "FAIL")
        reason = "" if status == "ok" else test["result"]
        if status != "ok":
            reason += ": " + " ".join((test.get("stdout") or test.get("stderr") or "").split())[-300:]
        cases = re.findall(r"^\s*ok \d+", test.get("stdout") or "", re.MULTILINE)
        tally.line(status, f"{name}: {test['name'].split(' / ')[-1]}", test["duration"],
                   reason or (f"{len(cases)} cases" if cases else ""))


def listing(tally, name, argv):
    """A runner of our own that prints `ok|FAIL|skip  test ...` lines."""
    process = subprocess.Popen([str(word) for word in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, cwd=ROOT)
    seen = False
    for line in process.stdout:
        found = re.match(r"(ok|FAIL|skip|skipped)\b:?\s+(.*)", line.rstrip())
        if found:
            seen = True
            tally.line(found[1].replace("skipped", "skip"), f"{name}: {found[2]}")
        elif not re.match(r"\d+ passed, \d+ failed", line):
            print("      " + line.rstrip(), flush=True)
    failed_before = tally.failed
    if process.wait() and (not seen or tally.failed == 0) and failed_before == tally.failed:
        tally.line("FAIL", f"{name}: its runner ended with status {process.returncode}")


PARTS = {
    "lint": lint,
    "unit": lambda tally, build: meson(tally, build, "unit", []),
    "asan": lambda tally, build: meson(tally, build, "asan", [
        "-Ddpdk=false", "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dbuildtype=debugoptimized"]),
    "tsan": lambda tally, build: meson(tally, build, "tsan", [
        "-Ddpdk=false", "-Db_sanitize=thread", "-Db_lundef=false", "-Dbuildtype=debugoptimized"]),
    "model": lambda tally, build: listing(tally, "model", ["tests/model/check.sh", build / "model"]),
    "detector": lambda tally, build: listing(tally, "detector", [
        "tests/detector/differential.py", "--build", build]),
    "system": lambda tally, build: listing(tally, "system", [
        sys.executable, "-m", "tests.system", "--build", build]),
    "vm": lambda tally, build: listing(tally, "vm", [
        sys.executable, "-m", "tests.vm", "--build", build, "--short"]),
    "bench": lambda tally, build: listing(tally, "bench", [
        sys.executable, "tests/bench_smoke.py", "--build", build]),
    "deb": lambda tally, build: listing(tally, "deb", [
        sys.executable, "tests/deb/check.py", "--build", build]),
}
NAMED_ONLY = ("deb",)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("parts", nargs="*", default=[], help=f"some of: {', '.join(PARTS)} (default: all but {' and '.join(NAMED_ONLY)})")
    args = parser.parse_args()
    for part in args.parts:
        if part not in PARTS:
            parser.error(f"{part} is no part: use some of {', '.join(PARTS)}")
    build = args.build.resolve()
    tally = Tally()
    for part in args.parts or [name for name in PARTS if name not in NAMED_ONLY]:
        started = time.monotonic()
        PARTS[part](tally, build)
        print(f"----  {part}: {time.monotonic() - started:.0f} s", flush=True)
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
