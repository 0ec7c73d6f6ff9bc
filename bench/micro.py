# SPDX-License-Identifier: BSD-3-Clause
"""build/bench/microbench: cycles, and under callgrind instructions, of the driver alone."""

import json
import os
import re
import shutil

from lab import LabError, eal_args, run

CPU = 1
BURSTS = 20_000
BURSTS_COUNTED = 300


def available(rig):
    return (rig.build / "bench/microbench").exists()


def cycles(rig, size=64, ports=2, classes=1, links=1, region_mib=64, route="class"):
    """{"send", "receive"} in cycles a packet, or None if it cannot be run here."""
    return _run(rig, (size, ports, classes, links, region_mib, BURSTS, "both", route))


def instructions(rig, step, size=64, ports=2, classes=1, links=1, region_mib=64, route="class"):
    """Instructions a packet of one step, counted by callgrind; None without it."""
    if not shutil.which("valgrind"):
        return None
    out = rig.lab.folder / "callgrind.out"
    _run(rig, (size, ports, classes, links, region_mib, BURSTS_COUNTED, step, route),
         ["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={out}"])
    totals = re.search(r"^totals: (\d+)", out.read_text(), re.MULTILINE)
    if not totals:
        raise LabError(f"{out} names no totals: see what valgrind says")
    return int(totals[1]) / (BURSTS_COUNTED * 32)


def _run(rig, words, front=()):
    # Memory of its own, without huge pages: that is what valgrind can do.  The region is
    # where it always is.
    folder = rig.regions / f"micro{rig.turn()}"
    folder.mkdir()
    try:
        argv = [*front, rig.build / "bench/microbench",
                *eal_args(rig.plugin, f"micro-{os.getpid()}-{rig.turn()}", None, f"0@{CPU}", 0, memory_mb=128),
                "--", folder, *words]
        said = run(argv, 120, env={"RUNTIME_DIRECTORY": str(rig.lab.rundir)})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return json.loads(said[said.rindex("{"):])
