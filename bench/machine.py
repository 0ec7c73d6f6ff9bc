# SPDX-License-Identifier: BSD-3-Clause
"""The machine and the versions, for the report."""

import os
import platform
import re
from pathlib import Path

from lab import run


def describe(huge):
    cpu = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.+)", cpu)
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
    release = re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text())
    flags = re.search(r"flags\s*: (.+)", cpu)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cpus": os.cpu_count(),
        "virtual": bool(flags and " hypervisor" in flags[1]),
        "memory_gib": round(memory / 2**20, 1),
        "kernel": platform.release(),
        "system": release[1] if release else "?",
        "huge_pages": bool(huge),
        "packages": _packages(),
    }


def _packages():
    listed = run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package} ${Version}\n", "openvswitch-switch-dpdk",
                  "dpdk", "librte-ethdev23", "gcc"], check=False)
    return dict(line[2:].split() for line in listed.splitlines() if line.startswith("ii"))
