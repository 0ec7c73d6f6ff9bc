#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the system tests: python3 -m tests.system --build BUILD_DIR [--only PATTERN] [--list] [-v]
(and those with virtual machines: python3 -m tests.vm).

Prints one line per test and at the end `N passed, N failed, N skipped`; the exit
status is 0 if none failed.  --only takes a letter (A to M), a part of a test's name
or of its sentence, or a shell pattern; it may be given several times.
"""

import argparse
import fnmatch
import importlib
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from lab import Lab, LabError, sweep  # noqa: E402
from tests.system.kit import Bench, Miscounted, Skip, Test  # noqa: E402

MODULES = ("a_direct", "a_ports", "a_queues", "b_offload", "b_classes", "b_flow", "c_switchover", "c_changes",
           "d_statistics", "e_devargs", "e_region", "e_switch", "f_deaths", "g_tools",
           "h_agent", "h_policy", "h_keys", "h_deaths", "h_metrics", "h_service", "h_traffic", "i_controllers",
           "j_isolated", "k_machines", "l_outside", "m_libvirt")


class Case:
    """One test: a function whose docstring is its sentence."""

    def __init__(self, module, function):
        self.function = function
        self.letter = module.__name__.rpartition(".")[2][0].upper()
        self.name = f"{self.letter}.{function.__name__.removeprefix('test_')}"
        self.sentence = " ".join((function.__doc__ or function.__name__).split()).rstrip(".")
        self.seconds = getattr(function, "seconds", 90)
        self.long = getattr(function, "long", False)

    def matches(self, patterns):
        if not patterns:
            return True
        return any(p.upper() == self.letter or p in self.name or p in self.sentence
                   or fnmatch.fnmatch(self.name, p) for p in patterns)


def collect(package, modules):
    cases = []
    for name in modules:
        module = importlib.import_module(f"{package}.{name}")
        cases += [Case(module, value) for key, value in vars(module).items()
                  if key.startswith("test_") and value.__module__ == module.__name__]
    return cases


def _alarm(_number, _frame):
    raise TimeoutError("the test took too long")


def _explanation(test):
    try:
        return test.explain()
    except Exception as error:
        return f"(no explanation: {error})"


def run_one(bench, case, verbose, new_test=Test, tries=6, late=None):
    """Returns ("ok" | "FAIL" | "skip", reason).  A test in which Open vSwitch, and not what
    is under test, counted wrong is done again.  So is, once, one that met a deadline: on a
    machine that others use too, a single one says nothing.  Its name is added to 'late'."""
    test = new_test(bench, case.name)
    troubles = []
    result, reason, again = "ok", "", False
    signal.alarm(case.seconds)
    try:
        case.function(test)
    except Skip as why:
        result, reason = "skip", str(why)
    except Miscounted as why:
        again = tries > 1
        print(f"      {case.name}: {why}{'; once more' if again else ''}", flush=True)
        if not again:
            troubles.append(str(why))
    except TimeoutError as why:
        signal.alarm(20)
        text = traceback.format_exc() + _explanation(test)
        again = late is not None and case.name not in late
        if again:
            late.append(case.name)
            print(f"      {case.name}: {str(why).splitlines()[0]}; once more", flush=True)
        else:
            troubles.append(text)
    except KeyboardInterrupt:
        raise
    except BaseException:  # SystemExit by SIGTERM is handed on by the caller's finally.
        if isinstance(sys.exc_info()[1], SystemExit):
            raise
        signal.alarm(20)
        troubles.append(traceback.format_exc() + _explanation(test))
    finally:
        signal.alarm(0)
    signal.alarm(60)
    try:
        troubles += test.close()
    except Exception:  # A test that cannot be cleaned up must not end the run.
        troubles.append(traceback.format_exc())
    finally:
        signal.alarm(0)
    if again and not troubles:
        return run_one(bench, case, verbose, new_test, tries - 1, late)
    if troubles:
        result = "FAIL"
        reason = "\n".join(t.rstrip() for t in troubles)
    return result, reason


def parse(arguments, package):
    parser = argparse.ArgumentParser(prog=package, description=__doc__.partition("\n")[0])
    parser.add_argument("--build", help="meson build folder (default: HIGHWAY_BUILD, else build or build/dev)")
    parser.add_argument("--only", action="append", metavar="PATTERN")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--keep", metavar="DIR", help="folder for the logs, which are kept then")
    parser.add_argument("--short", action="store_true", help="leave out the tests that are marked as long")
    parser.add_argument("-v", "--verbose", action="store_true", help="print each test's sentence and notes")
    return parser.parse_args(arguments)


def main(arguments=None, package="tests.system", modules=MODULES, new_test=Test):
    """'new_test': makes a test's view of the bench, of which the test is the argument."""
    options = parse(arguments, package)
    cases = [case for case in collect(package, modules)
             if case.matches(options.only) and not (options.short and case.long)]
    if options.list:
        for case in cases:
            print(f"{case.name:34} {case.sentence}")
        return 0
    build = options.build or os.environ.get("HIGHWAY_BUILD") or next(
        (str(ROOT / b) for b in ("build", "build/dev") if (ROOT / b / "pmd/librte_net_highway.so").exists()), "build")
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    late = []
    if os.geteuid() != 0:
        print("skip  everything: root is needed (network namespaces, DPDK)")
        return 77
    sweep()
    signal.signal(signal.SIGALRM, _alarm)
    keep = options.keep or tempfile.mkdtemp(prefix="highway-system-")
    with Lab(keep) as lab:
        try:
            bench = Bench(lab, build, options.verbose)
        except LabError as error:
            print(f"FAIL  {error}")
            return 1
        try:
            for case in cases:
                begin = time.monotonic()
                result, reason = run_one(bench, case, options.verbose, new_test, late=late)
                counts[result] += 1
                words = case.sentence if options.verbose else ""
                first = f"[{reason}]" if result == "skip" else words
                print(f"{result:4}  {case.name:34} {time.monotonic() - begin:6.1f} s  {first}".rstrip(), flush=True)
                if result == "FAIL":
                    print("\n".join("      " + line for line in reason.splitlines()), flush=True)
        finally:
            bench.close()
    if counts["FAIL"] or options.keep:
        print(f"logs are in {keep}")
    else:
        import shutil

        shutil.rmtree(keep, ignore_errors=True)
    if late:
        print(f"met a deadline, and were run once more: {', '.join(late)}")
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
