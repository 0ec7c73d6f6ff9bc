# SPDX-License-Identifier: BSD-3-Clause
"""DPDK applications: EAL arguments, testpmd steered by its prompt, traffic."""

import json
import os
import re
import shutil
from pathlib import Path

from .process import DEADLINE, LabError, Process, ProcessDied, wait_until

_PROMPT = r"testpmd> "
_ROOT = Path(__file__).resolve().parent.parent


def eal_args(plugin=None, prefix="hwy", huge=None, lcores="0@0", main="0", vdevs=(), memory_mb=256,
             telemetry=False, extra=(), shared=False):
    """EAL arguments with or without huge pages.

    'plugin': driver to load with -d (one path or several); 'huge': a HugePages,
    or None; 'lcores': as for --lcores; 'main': the main lcore's number; 'vdevs':
    devices, each as for --vdev; 'shared': memory that secondary processes with the
    same prefix can map (needs huge pages).

    With huge pages the memory is made of files without a name, one per segment
    list (memif zero-copy and virtio-user want that).  Without them EAL takes
    neither --in-memory nor a --huge-dir.
    """
    args = ["--no-pci", "--file-prefix", prefix, "--lcores", lcores, "--main-lcore", str(main)]
    if huge and shared:
        args += ["--huge-dir", str(huge.dir), "-m", str(memory_mb)]
    elif huge:
        args += ["--in-memory", "--single-file-segments", "--huge-dir", str(huge.dir), "-m", str(memory_mb)]
    else:
        args += ["--no-huge", "-m", str(memory_mb)]
    if not telemetry:
        args.append("--no-telemetry")
    for path in [plugin] if isinstance(plugin, (str, Path)) else plugin or ():
        args += ["-d", str(path)]
    for vdev in vdevs:
        args += ["--vdev", vdev]
    return args + [str(word) for word in extra]


def find_program(variable, *candidates):
    """Path of a program: the environment's 'variable', else the first of
    'candidates' (paths or names looked up in PATH and /usr/bin) that is there."""
    named = os.environ.get(variable)
    if named:
        return named
    for candidate in candidates:
        found = shutil.which(str(candidate), path=os.environ.get("PATH", "") + ":/usr/bin:/usr/sbin")
        if found:
            return found
    raise LabError(f"none of {', '.join(map(str, candidates))} is there: install or build it, or name it in {variable}")


def spread(cpus, first=0):
    """--lcores for 'cpus', one lcore each, numbered from 'first': (0, 0) gives "0@0,1@0"."""
    return ",".join(f"{lcore}@{cpu}" for lcore, cpu in enumerate(cpus, first))


def _runtime(lab):
    """Environment that keeps EAL's run-time files inside the lab."""
    return {"RUNTIME_DIRECTORY": str(lab.rundir)}


class TestpmdPrompt:
    """What is said at testpmd's prompt, wherever it runs: of a Process, or of what has its
    expect(), send() and skip()."""

    def command(self, line, deadline_s=DEADLINE):
        """Types 'line' and returns what is printed until the next prompt."""
        self.skip()
        self.send(line)
        self.expect(re.escape(line) + r"\r*\n", deadline_s)
        start = self._mark
        end = self.expect(_PROMPT, deadline_s)
        with self._news:
            text = self._text[start - self._dropped:self._mark - self._dropped]
        return text[:len(text) - len(end.group(0))].replace("\r", "")

    def start_forwarding(self, first_bursts=0):
        """Starts forwarding; 'first_bursts': bursts sent into each port first."""
        said = self.command(f"start tx_first {first_bursts}" if first_bursts else "start")
        if not re.search(r"packet forwarding.* - ports=", said):
            raise LabError(f"{self.name} does not forward: {said.strip()}")
        return said

    def stop_forwarding(self):
        """Stops forwarding and returns the totals, as {"RX-packets": ...}."""
        said = self.command("stop")
        _, _, totals = said.partition("Accumulated forward statistics")
        if not totals:
            raise LabError(f"{self.name} was not forwarding: {said.strip()}")
        return _numbers(totals)

    def port_stats(self, port=0):
        """{"RX-packets": ..., "TX-bytes": ..., "Rx-pps": ...} of one port."""
        stats = _numbers(self.command(f"show port stats {port}"))
        if "RX-packets" not in stats:
            raise LabError(f"{self.name} has no port {port}")
        return stats

    def xstats(self, port=0):
        """{"rx_good_packets": ...}: all extended statistics of one port."""
        return {name: int(value) for name, value in
                re.findall(r"^(\w\S*): (\d+)\s*$", self.command(f"show port xstats {port}"), re.MULTILINE)}

    def port_info(self, port=0):
        """{"Link status": "up", "MAC address": ...} of one port."""
        said = self.command(f"show port info {port}")
        return {key.strip(): value.strip() for key, value in re.findall(r"^([^:\n]+):[ \t]*(.+)$", said, re.MULTILINE)}

    def wait_link(self, port=0, up=True, deadline_s=DEADLINE):
        """Waits for the port's link to be up (or down)."""
        word = "up" if up else "down"
        wait_until(lambda: self.port_info(port).get("Link status") == word, deadline_s,
                   f"port {port} of {self.name} to be {word}", self)


class Testpmd(TestpmdPrompt, Process):
    """dpdk-testpmd at its prompt.

    'cpus': one for the main lcore (which only reads commands) and one for each
    forwarding lcore; 'vdevs': its ports in order; 'forward': io, mac, macswap,
    rxonly, txonly, flowgen, ...; 'extra': more of testpmd's own arguments;
    'eal': more of EAL's.  start() returns when the prompt is there.
    """

    def __init__(self, lab, name, vdevs=(), *, plugin=None, huge=None, cpus=(0, 1), forward="io",
                 memory_mb=256, mbufs=16384, extra=(), eal=(), netns=None, env=None, telemetry=False):
        self.forward = forward
        argv = [find_program("HIGHWAY_TESTPMD", "dpdk-testpmd")]
        argv += eal_args(plugin, f"{name}-{os.getpid()}", huge, spread(cpus), 0, vdevs, memory_mb, telemetry, eal)
        argv += ["--", "-i", "--disable-link-check", "--no-mlockall", "--mask-event=intr_lsc", f"--forward-mode={forward}",
                 f"--total-num-mbufs={mbufs}", f"--nb-cores={max(1, len(cpus) - 1)}", *extra]
        super().__init__(lab, name, argv, netns=netns, env={**_runtime(lab), **(env or {})}, tty=True)

    def start(self, deadline_s=DEADLINE):
        super().start()
        try:
            self.expect(_PROMPT, deadline_s)
        except BaseException:
            self.kill9()
            raise
        return self

    def quit(self, deadline_s=DEADLINE):
        """Ends testpmd by its own command and returns its exit status."""
        self.send("quit")
        return self.wait(deadline_s)

    def ask_to_end(self):
        try:
            self.send("quit")
        except LabError:
            super().ask_to_end()


def _numbers(text):
    return {name: int(value) for name, value in re.findall(r"([RT][Xx]-\w+):\s+(\d+)", text)}


class Traffic(Process):
    """Our generator and sink, build/traffic/highway-traffic (or what the
    environment's HIGHWAY_TRAFFIC names).

    'mode': gen, sink, gensink, reflect or forward; further options by name, '_'
    for '-': size=64, rate=1e6, flows=4, count=..., duration=...; True gives the
    bare option, None leaves it out.  It listens to control().  'prefix': the file
    prefix of a primary and its secondary processes, which share their memory;
    'first_lcore': must differ between them; 'stats': whether it writes the statistics
    file that live() reads (its workers may wait for the disk then).
    """

    def __init__(self, lab, name, mode, vdevs=(), *, plugin=None, huge=None, cpus=(0, 1), memory_mb=256,
                 eal=(), netns=None, env=None, telemetry=False, args=(), binary=None, control=True, prefix=None,
                 first_lcore=0, stats=True, **options):
        self.json = lab.folder / f"{name}.json"
        self.stats_file = lab.folder / f"{name}.stats"
        argv = [binary or find_program("HIGHWAY_TRAFFIC", _ROOT / "build/traffic/highway-traffic")]
        argv += eal_args(plugin, prefix or f"{name}-{os.getpid()}", huge, spread(cpus, first_lcore), first_lcore, vdevs,
                         memory_mb, telemetry, eal, prefix is not None)
        argv += ["--", "--mode", mode, "--json", self.json]
        if stats:
            argv += ["--stats-file", self.stats_file]
        if control:
            argv.append("--stdin-control")
        for option, value in options.items():
            if value is not None and value is not False:
                argv.append("--" + option.replace("_", "-"))
                if value is not True:
                    argv.append(str(int(value) if isinstance(value, float) and value.is_integer() else value))
        super().__init__(lab, name, [*argv, *args], netns=netns, env={**_runtime(lab), **(env or {})})

    def start(self):
        for path in (self.json, self.stats_file):
            path.unlink(missing_ok=True)
        return super().start()

    def run(self, deadline_s=DEADLINE):
        """Starts it, waits for its end and returns result()."""
        self.start()
        status = self.wait(deadline_s)
        if status:
            raise LabError(f"{self.name} failed ({self.how_ended()}); see {self.log}:\n{self.output[-2000:]}")
        return self.result()

    def control(self, line):
        """Sends one control line, such as "rate 1000"."""
        self.send(line)

    def quit(self, deadline_s=DEADLINE):
        """Ends it in good order and returns its exit status.  One that has reached its
        count or duration may have ended by itself."""
        try:
            self.control("quit")
        except ProcessDied:
            pass  # wait() tells how it ended
        return self.wait(deadline_s)

    def result(self):
        """Its final report; it must have ended."""
        try:
            return json.loads(self.json.read_text())
        except (OSError, ValueError) as error:
            raise LabError(f"{self.name} ({self.how_ended()}) left no report in {self.json}: {error}") from error

    def live(self):
        """The newest line of its statistics file, or {} if there is none yet."""
        try:
            lines = self.stats_file.read_text().split("\n")
        except OSError:
            return {}
        for line in reversed(lines[:-1] or lines):
            try:
                return json.loads(line)
            except ValueError:
                continue
        return {}
