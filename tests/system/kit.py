# SPDX-License-Identifier: BSD-3-Clause
"""What the tests share: the bench (one lab, one Open vSwitch) and, per test, a `Test`
with domains, ports and programs of its own that are gone when it ends."""

import json
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

from lab import DEADLINE, HugePages, LabError, Ovs, Process, Testpmd, Traffic, run, wait_until

from .region import GUEST, HOST, Region

ISOLATED = "@"
"""As 'domain' of devargs: none.  The region of such a port is "@PORT"."""
REFUSED = r"rte_flow creation failed|netdev_offload_dpdk.*Failed flow:"
"""What Open vSwitch says when a flow stays in software: normal."""


class Skip(Exception):
    """The test cannot be done here; the text says what is missing."""


class Miscounted(AssertionError):
    """Open vSwitch shows another sum than it was told.  Two of its threads race when one
    modifies an offloaded flow and the other reads its counters (README, Limits)."""


def seconds(limit):
    """Decorator: the test may take that long (default 90 s)."""
    def mark(function):
        function.seconds = limit
        return function
    return mark


def long(function):
    """Decorator: the test is left out where --short is asked for."""
    function.long = True
    return function


def sure(truth, what):
    if not truth:
        raise AssertionError(what)


def same(left, right, what):
    if left != right:
        raise AssertionError(f"{what}: {left} is not {right}")


def within(begin, limit_s, what):
    """Since 'begin' (time.monotonic()) less than 'limit_s' have gone by.  Else it is a deadline
    that was met, as in wait_until(): on a busy machine a single one says nothing."""
    took = time.monotonic() - begin
    if took >= limit_s:
        raise TimeoutError(f"{what} took {took:.2f} s, not below {limit_s:g} s")


def clean(report, received=None):
    """A report of a gensink or a sink that saw every packet once, in order, whole."""
    found = {key: report[key] for key in ("sent", "received", "lost", "duplicated", "reordered", "corrupted",
                                          "untracked", "foreign", "tx_dropped")}
    bad = [key for key in ("lost", "duplicated", "reordered", "corrupted", "untracked") if found[key]]
    if received is None and report["mode"] == "gensink":
        received = found["sent"]
    if bad or (received is not None and found["received"] != received) or not found["received"]:
        raise AssertionError(f"not clean ({', '.join(bad) or 'count'}; {received} expected): {found}")
    return report


class Bench:
    """The lab, the build and the Open vSwitch that all tests share."""

    def __init__(self, lab, build, verbose=False):
        self.lab, self.verbose = lab, verbose
        self.build = Path(build).resolve()
        self.plugin = self.build / "pmd/librte_net_highway.so"
        self.highway_traffic = self.build / "traffic/highway-traffic"
        self.highwayctl = self.build / "cli/highwayctl"
        for path in (self.plugin, self.highway_traffic):
            if not path.exists():
                raise LabError(f"{path} is not there: build it with `ninja -C {self.build}`, or name another --build")
        self.dir = Path(tempfile.mkdtemp(prefix="highway-system-", dir="/dev/shm"))
        # Three switches of 256 MiB at a time (main, two PMD threads, a test's own), and some.
        self.huge = HugePages(lab, 512)
        self.numbers = iter(range(1, 100000))
        self._ovs = {}
        self.system_before = system_state()

    def ovs(self, kind="main"):
        """A running Open vSwitch: "main" (shared), "two" (two PMD threads)."""
        ovs = self._ovs.get(kind)
        if ovs and not (ovs.vswitchd.alive and ovs.ovsdb.alive):
            self.drop(kind)
            ovs = None
        if ovs is None:
            options = {"main": {"pmd_cpus": "1"}, "two": {"pmd_cpus": "0,1"}}[kind]
            ovs = self.new_ovs(f"{kind}{next(self.numbers)}", **options)
            self._ovs[kind] = ovs
        return ovs

    def new_ovs(self, name, **options):
        options.setdefault("plugin", self.plugin)
        options.setdefault("huge", self.huge)
        options.setdefault("memory_mb", 256)
        options.setdefault("cpus", "0")
        return Ovs(self.lab, name, **options)

    def drop(self, kind):
        ovs = self._ovs.pop(kind, None)
        if ovs:
            ovs.stop()

    def close(self):
        for kind in list(self._ovs):
            try:
                self.drop(kind)
            except (LabError, TimeoutError):
                pass
        shutil.rmtree(self.dir, ignore_errors=True)


def system_state():
    """Names, sizes and times of what belongs to a system-wide Open vSwitch."""
    found = []
    for base in ("/etc/openvswitch", "/var/lib/openvswitch", "/var/run/openvswitch", "/var/log/openvswitch"):
        for path in [Path(base), *sorted(Path(base).rglob("*"))] if os.path.isdir(base) else []:
            stat = path.lstat()
            found.append((str(path), stat.st_mode, stat.st_size, stat.st_mtime_ns))
    return found


class Test:
    """One test's view of the bench.  'allow': regular expressions of warnings that
    it provokes in the switch's log."""

    def __init__(self, bench, name):
        self.bench, self.lab = bench, bench.lab
        self.name = name
        self.short = f"t{next(bench.numbers)}"
        self.domain = f"d{self.short}"
        self.dir = bench.dir
        self.plugin = bench.plugin
        self.allow = [REFUSED]
        self.stack = ExitStack()
        self.beds = []
        self._logs = {}

    # -- life ---------------------------------------------------------------

    def defer(self, function, *args, **options):
        self.stack.callback(function, *args, **options)

    def close(self):
        """Undoes what the test did; returns what is wrong with the switch now."""
        troubles = [f"ovs-vswitchd is dead: {ovs.vswitchd.how_ended()}; see {ovs.log}"
                    for ovs, (_, dies, _) in self._logs.items() if not dies and not ovs.vswitchd.alive]
        try:
            self.stack.close()
        except Exception as error:  # Tell it and go on.
            troubles.append(f"cleaning up: {error}")
        for ovs, (start, _, since) in self._logs.items():
            troubles += [f"the switch warns: {line}" for line in self.warnings(ovs, start, since)]
        for left in (self.region_path(), *sorted(self.dir.glob("@*"))):
            try:
                wait_until(lambda: not left.exists(), 10, f"{left} to be removed by its last user")
            except TimeoutError as error:
                troubles.append(str(error))
                left.unlink(missing_ok=True)
        return troubles

    def warnings(self, ovs, start, since):
        """Those of the log from 'start' on.  Another thread of the switch writes it: what is from
        before 'since' is the last test's, which may have allowed it."""
        try:
            new = set(ovs.log.read_bytes()[start:].decode(errors="replace").splitlines())
        except OSError:
            return []
        return [line for line in ovs.log_warnings(allow=self.allow) if line in new and line >= since]

    def explain(self):
        """What the region counts that might be the reason for a failure."""
        found = []
        for path in sorted((*self.dir.glob(self.domain + "*"), *self.dir.glob("@*"))):
            try:
                with Region(path) as region:
                    found.append(f"region {path.name}: links {region.links()}")
                    for name in region.ports():
                        for role in (HOST, GUEST):
                            end = region.end(name, role)
                            odd = {key: value for key, value in end.items() if value and key.partition("_")[2] in
                                   ("packets", "bypass_packets", "ring_full", "no_buffer", "bad_desc", "too_big",
                                    "link_down")}
                            found.append(f"  {name} {('host', 'guest')[role]} {end['state']}: {odd}")
            except (OSError, ValueError) as error:
                found.append(f"region {path.name}: {error}")
        for bed in self.beds:
            if bed.ovs.vswitchd.alive:
                found.append(bed.ovs.ofctl("dump-ports", bed.bridge).strip())
        return "\n".join(found)

    def note(self, *words):
        if self.bench.verbose:
            print("      ", *words, flush=True)

    # -- the switch ---------------------------------------------------------

    def watch(self, ovs, dies=False):
        """Has the switch's log looked through, from now on, when the test ends."""
        start = ovs.log.stat().st_size if ovs.log.exists() else 0
        since = datetime.now(timezone.utc).isoformat(timespec="milliseconds")[:23]
        self._logs.setdefault(ovs, (start, dies, since))
        return ovs

    def ovs(self, kind="main"):
        return self.watch(self.bench.ovs(kind))

    def own_ovs(self, dies=False, **options):
        """A switch for this test alone."""
        ovs = self.bench.new_ovs(self.short, **options)
        self.defer(ovs.stop)
        return self.watch(ovs, dies)

    def bed(self, ports, **options):
        return Bed(self, ports, **options)

    # -- ports and programs -------------------------------------------------

    def devargs(self, port, role="guest", number=0, domain=None, **more):
        domain = domain or self.domain
        words = [f"net_highway{number}", *([f"domain={domain}"] if domain != ISOLATED else []), f"port={port}",
                 f"role={role}", f"dir={self.dir}", "idle=yield"]
        return ",".join(words + [f"{key}={value}" for key, value in more.items()])

    def guests(self, *ports, **more):
        """Devargs of several guest ends in one process; a port is a name or a tuple
        (name, {further devargs})."""
        found = []
        for number, port in enumerate(ports):
            port, extra = port if isinstance(port, tuple) else (port, {})
            found.append(self.devargs(port, number=number, **{**more, **extra}))
        return found

    def traffic(self, mode, *ports, name=None, domain=None, devargs=(), **options):
        """A Traffic, not started; ports as in guests()."""
        options.setdefault("cpus", (0,))
        options.setdefault("memory_mb", 128)
        options.setdefault("idle", "yield")
        options.setdefault("interval", 0.1)
        options.setdefault("timestamps", "off")
        options.setdefault("mbufs", 8192)
        if mode in ("gen", "gensink") and options.get("control", True):
            options.setdefault("hold", True)  # until control("start")
        if mode == "gensink":
            options.setdefault("drain", 3000)  # It ends before, as soon as all packets are there.
            options.setdefault("tx_port", 0)
            options.setdefault("rx_port", 1)
        extra = dict(devargs)
        if domain:
            extra["domain"] = domain
        one = Traffic(self.lab, f"{self.short}-{name or mode}", mode, self.guests(*ports, **extra), plugin=self.plugin,
                      binary=self.bench.highway_traffic, **options)
        self.defer(one.stop)
        return one

    def sink(self, port, **options):
        """A sink that is up."""
        one = self.traffic("sink", port, **options).start()
        one.expect("ready")
        return one

    def once(self, *ports, count=20000, rate=40e3, name=None, deadline_s=60, **options):
        """Sends 'count' packets from the first port to the second and checks that all
        arrive; returns the report."""
        one = self.traffic("gensink", *ports, name=name or f"once{next(self.bench.numbers)}", count=count, rate=rate,
                           control=False, **options)
        return clean(one.run(deadline_s))

    def testpmd(self, name, vdevs, **options):
        options.setdefault("cpus", (0, 0))
        options.setdefault("memory_mb", 128)
        options.setdefault("mbufs", 8192)
        one = Testpmd(self.lab, f"{self.short}-{name}", vdevs, plugin=self.plugin, **options)
        self.defer(one.stop)
        return one

    def host(self, ports=4, start=True, devargs=None, domain=None, prefix="p", **options):
        """testpmd with the host ends of p1 to pN, which forwards p1 to p2, p3 to p4 (in
        both directions) until a flow says otherwise."""
        vdevs = [self.devargs(f"{prefix}{n + 1}", "host", n, domain=domain, **(devargs or {})) for n in range(ports)]
        options.setdefault("cpus", (0, 1))
        one = self.testpmd(options.pop("name", "host"), vdevs, **options).start()
        patient(one)
        if start:
            one.start_forwarding()
        return one

    # -- the region ---------------------------------------------------------

    def region_path(self, domain=None):
        return self.dir / (domain or self.domain)

    def region(self, domain=None):
        return Region(self.region_path(domain))

    def links(self, domain=None):
        with self.region(domain) as region:
            return region.links()

    def end(self, port, role=GUEST, domain=None):
        with self.region(domain) as region:
            return region.end(port, role)

    def credited(self, port, domain=None):
        with self.region(domain) as region:
            return region.credited(port)

    def routed(self, port, domain=None):
        with self.region(domain) as region:
            return region.routed(port)

    def wait_link(self, src, dst, deadline_s=10, domain=None):
        """Waits until the link is open and the sender may see a route to it."""
        def is_open():
            with self.region(domain) as region:
                return region.links().get((src, dst)) == "open" and dst in region.routed(src)
        wait_until(is_open, deadline_s, f"link {src} to {dst} to be open", lambda: str(self.links(domain)))

    def wait_no_link(self, src, dst, deadline_s=10, domain=None):
        wait_until(lambda: self.links(domain).get((src, dst)) != "open", deadline_s,
                   f"link {src} to {dst} not to be open", lambda: str(self.links(domain)))

    # -- the tool -----------------------------------------------------------

    def ctl(self, *words, check=True):
        if not self.bench.highwayctl.exists():
            raise Skip("highwayctl is not built")
        return run([self.bench.highwayctl, *words], check=check)


def go(*generators):
    """Has generators that wait for it begin, when all of them are ready."""
    for generator in generators:
        generator.expect("ready")
    for generator in generators:
        generator.control("start")


def finish(*programs):
    """Ends generators or sinks in good order; returns the first one's report."""
    for program in programs:
        same(program.quit(), 0, f"exit status of {program.name}")
    return programs[0].result()


def patient(testpmd):
    """Has testpmd wait for room in a full ring, where it would drop packets otherwise."""
    testpmd.command("set fwd io retry")
    testpmd.command("set burst tx delay 20 retry 2000")
    return testpmd


def flow_line(src_port, dst, action="port_id id", kind="ipv4"):
    """testpmd's command for the flow that Open vSwitch would create."""
    types = {"ipv4": "type is 0x0800 / ipv4 fragment_offset spec 0 fragment_offset mask 0x3fff", "arp": "type is 0x0806"}
    return f"flow create {src_port} transfer pattern eth {types[kind]} / end actions count / {action} {dst} / end"


def say(testpmd, line, want, deadline_s=DEADLINE):
    """Types 'line' and is sure that the answer holds 'want'."""
    said = testpmd.command(line, deadline_s)
    if want not in said:
        raise AssertionError(f"'{line}' should say '{want}' but says: {said.strip()}")
    return said


class Bed:
    """A bridge with host ends p1 to pN (OpenFlow ports 1 to N) on a switch."""

    def __init__(self, test, ports, *, ovs=None, domain=None, bridge=None, queues=1, n_rxq=None, ring=4096,
                 **columns):
        self.test, self.ovs = test, ovs or test.ovs()
        self.domain = domain or test.domain
        self.bridge = bridge or f"br-{test.short}"
        # A ring of 4096 holds what arrives while a busy machine runs somebody else.
        self.queues, self.n_rxq, self.ring, self.columns = queues, n_rxq, ring, columns
        if isinstance(ports, int):
            ports = {n: f"p{n}" for n in range(1, ports + 1)}
        self.ports = dict(ports)
        test.beds.append(self)
        self.ovs.add_bridge(self.bridge)
        test.defer(self._remove)
        for number, port in self.ports.items():
            self.add(number, port)

    def _remove(self):
        if self.ovs.vswitchd.alive:
            self.ovs.vsctl("--if-exists", "del-br", self.bridge)

    def remove_all(self):
        """Removes the bridge before the test ends."""
        self._remove()
        self.test.beds.remove(self)

    def ovs_name(self, port):
        return f"{self.test.short}{port}"

    def queues_of(self, number):
        return self.queues[number - 1] if isinstance(self.queues, (list, tuple)) else self.queues

    def add(self, number, port, domain=None):
        queues = self.queues_of(number)
        devargs = self.test.devargs(port, "host", next(self.test.bench.numbers), domain=domain or self.domain,
                                    queues=queues, ring=self.ring)
        columns = dict(self.columns)
        if (self.n_rxq or queues) > 1:
            columns["n_rxq"] = self.n_rxq or queues
        self.ovs.add_highway_port(self.bridge, self.ovs_name(port), devargs, number, **columns)

    def remove(self, number):
        self.ovs.del_port(self.ovs_name(self.ports[number]), self.bridge)

    def rules(self, *rules):
        for rule in rules:
            self.ovs.add_flow(self.bridge, rule)

    def delete(self, match, strict=False):
        self.ovs.del_flows(self.bridge, match, strict)

    def packets(self, match=""):
        """(packets, bytes) summed over the rules that match."""
        flows = self.ovs.flows(self.bridge, match)
        return sum(f["n_packets"] for f in flows), sum(f["n_bytes"] for f in flows)

    def wait_answered(self, number, deadline_s=10):
        """Waits until a flow is offloaded that answers for the port's packets: what went before
        by a proof alone (docs/internals/offload.md) is owed to it, and else told by no rule."""
        name = self.ovs_name(self.ports[number])
        wait_until(lambda: any(f["offloaded"] == "yes" and f["in_port"] == name for f in self.ovs.datapath_flows()),
                   deadline_s, f"an offloaded flow of {name}", lambda: str(self.ovs.datapath_flows()))

    def wait_packets(self, want, match="", deadline_s=15, sender=None):
        """Waits until the rules count (packets, bytes) = 'want', and is sure that they
        still do when all megaflows are gone.  'sender': the port that sent all of them;
        then a wrong sum is Miscounted if what the driver answered is right."""
        try:
            wait_until(lambda: self.packets(match) == want, deadline_s, f"the rules '{match}' to count {want}",
                       lambda: "\n".join(map(str, self.ovs.flows(self.bridge, match))))
        except TimeoutError as error:
            if sender is None:
                raise
            end = self.test.end(sender)
            told, bypassed = self.test.credited(sender), (end["tx_bypass_packets"], end["tx_bypass_bytes"])
            if told != bypassed:
                raise AssertionError(f"the switch was told {told}, and {bypassed} went by links: {error}") from error
            raise Miscounted(f"the rules count {self.packets(match)}, not {want}, though the switch was told "
                             f"exactly what went by links, {told}") from error
        self.ovs.appctl("revalidator/purge")
        same(self.packets(match), want, f"the rules '{match}' after the megaflows are gone")

    def wait_port(self, number, deadline_s=15, **want):
        """Waits until OpenFlow's statistics of the port are these."""
        def look():
            stats = self.ovs.port_stats(self.bridge, number)
            return all(stats[key] == value for key, value in want.items())
        wait_until(look, deadline_s, f"port {number} to count {want}",
                   lambda: str(self.ovs.port_stats(self.bridge, number)))
