# SPDX-License-Identifier: BSD-3-Clause
"""What all figures share: programs, cores, and a watch on the machine."""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from lab import DEADLINE, Traffic

ROOT = Path(__file__).resolve().parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")

MTU = 1500
"""Which lets frames of 1518 bytes pass, as the drivers allow for a VLAN tag; memif has no more."""

LOST_LIMIT = 0.03
FAULTS_LIMIT = 20
RULE = (f"A run is disturbed if of the CPUs' time more than {100 * LOST_LIMIT:g}% was neither idle nor used by the "
        "programs of the run: other programs had it, or the hypervisor (steal time); or if the VNFs "
        f"took more than {FAULTS_LIMIT} page faults, which pollers do only when the kernel moves their memory for "
        "somebody else. It is measured again then, up to "
        "{tries} times; if all tries are disturbed the last one is kept and counted as disturbed in the tables. "
        "No run is left out because of its result.")


CPUS = ("cpu0", "cpu1")
"""As /proc/stat calls those that are used."""


class Rig:
    """The lab, the build, huge pages and a folder for regions."""

    def __init__(self, lab, build, huge, tries=1):
        self.lab, self.huge, self.tries = lab, huge, tries
        self.realtime = True  # until it is refused
        self.disturbed = None  # why the last measurement was, if it was
        self.build = Path(build).resolve()
        self.plugin = self.build / "pmd/librte_net_highway.so"
        self.binary = self.build / "traffic/highway-traffic"
        self._turn = 0
        self.regions = Path(tempfile.mkdtemp(prefix="highway-bench-", dir=huge.dir if huge else "/dev/shm"))

    def close(self):
        shutil.rmtree(self.regions, ignore_errors=True)

    def hurry(self, processes, on=True):
        """Has all threads of the run run at real-time priority, round robin, for a
        measurement (or as usual again): whatever else runs here does not take the cores
        away, and a poller that yields leaves its core to the next one at once.  This
        program, which sleeps meanwhile and whose threads read what the others say, goes
        before them.  Not while things are set up: the kernel's own threads have to have
        a turn."""
        for pid, priority in [("self", 20)] + [(p.pid, 10) for p in processes if p.alive]:
            self._schedule(pid, priority if on else 0)

    def ahead(self, process):
        """Has a program that sleeps nearly always run before those that are measured."""
        self._schedule(process.pid, 20)

    def _schedule(self, pid, priority):
        for thread in Path(f"/proc/{pid}/task").iterdir() if self.realtime else ():
            try:
                os.sched_setscheduler(int(thread.name), os.SCHED_RR if priority else os.SCHED_OTHER,
                                      os.sched_param(priority))
            except ProcessLookupError:
                continue  # Ended meanwhile.
            except PermissionError:
                self.realtime = False

    def turn(self):
        """A number that no other program of this run has."""
        self._turn += 1
        return self._turn

    def devargs(self, number, domain, port, role="guest", **more):
        words = {"domain": domain, "port": port, "role": role, "dir": self.regions, **more}
        return f"net_highway{number}," + ",".join(f"{key}={value}" for key, value in words.items())

    def traffic(self, name, mode, vdevs, cpus, **options):
        """highway-traffic, not started: without checks of the payload or time stamps,
        yielding the processor when a round of polls moved nothing, or many did."""
        options = {"interval": 0, "payload_check": "off", "timestamps": "off", "idle": "yield", "memory_mb": 128,
                   "mtu": MTU, "stats": False, **options}
        return Traffic(self.lab, f"{name}-{self.turn()}", mode, vdevs, plugin=self.plugin, huge=self.huge, cpus=cpus,
                       binary=self.binary, **options)

    def watch(self, seconds, processes, probe=lambda: ()):
        """Sleeps that long, which is the measurement, and returns by how much each
        number of 'probe()' grew, per second.  Sets 'disturbed' by RULE; 'processes'
        belong to the run."""
        traffic = [process for process in processes if isinstance(process, Traffic)]
        faults = sum(map(page_faults, traffic))
        # Every clock is read as long after its first reading as it took to sleep.
        start, before = time.monotonic(), self._clock(processes)
        probed = [*probe(), time.monotonic()]
        time.sleep(seconds)
        length, after = time.monotonic() - start, self._clock(processes)
        *probed, took = (new - old for new, old in zip([*probe(), time.monotonic()], probed))
        probed = [grown / took for grown in probed]
        idle, own = (new - old for new, old in zip(after, before))
        total = len(CPUS) * length
        lost = (total - idle - own - 1 / _TICKS) / total
        faults = sum(map(page_faults, traffic)) - faults
        self.disturbed = None
        if lost > LOST_LIMIT:
            self.disturbed = f"others had {100 * lost:.1f}% of the CPUs' time"
        elif faults > FAULTS_LIMIT:
            self.disturbed = f"{faults} page faults"
        return probed

    def undisturbed(self, measure, *arguments):
        """What 'measure' answers, and None or why it is disturbed after all tries."""
        for _ in range(self.tries):
            values = measure(*arguments)
            if not self.disturbed:
                break
        return values, self.disturbed

    def _clock(self, processes):
        """Seconds so far that the CPUs were idle, and that the run itself used."""
        idle = 0
        for line in Path("/proc/stat").read_text().splitlines():
            words = line.split()
            if words[0] in CPUS:
                idle += (int(words[4]) + int(words[5])) / _TICKS
        return idle, sum(cpu_time(process) for process in processes) + sum(os.times()[:2])


def cpu_time(process, threads=""):
    """Seconds of CPU time of the threads whose names begin with 'threads', to the ns."""
    total = 0
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        if (thread / "comm").read_text().startswith(threads):
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def page_faults(process):
    """Page faults of the whole program so far."""
    text = Path(f"/proc/{process.pid}/stat").read_text()
    words = text[text.rindex(")") + 2:].split()
    return int(words[7]) + int(words[9])


def report(process):
    """The report of a running highway-traffic, as a dict."""
    process.skip()
    process.control("report")
    return json.loads(process.expect(r"\{\"versions.*\}", DEADLINE).group(0))


def reset(*processes):
    for process in processes:
        process.skip()
        process.control("reset")
