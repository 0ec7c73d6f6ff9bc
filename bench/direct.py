# SPDX-License-Identifier: BSD-3-Clause
"""One link: a process sends, another receives, each alone on its core."""

import signal

from lab import LabError, Process, Testpmd, wait_until

from .rig import report, reset

LINK_FLOW = ("flow create 0 transfer pattern eth type is 0x0800 / ipv4 fragment_offset spec 0 "
             "fragment_offset mask 0x3fff / end actions count / port_id id 1 / end")
SINK_CPU, SOURCE_CPU = 0, 1
RING = 1024
"""Entries of a ring, as the driver makes them unless it is told otherwise."""


class Pair:
    """Both programs run from start() to stop(), but for when they rest(); measure() may be called often."""

    isolates = True
    huge_only = False

    def __init__(self, rig):
        self.rig = rig
        self.sink = self.source = None

    def start(self, size):
        self._make(size)
        self.sink.start()
        self._wait_listening()
        self.source.start()
        self.source.expect("ready", 20)
        self.source.control("start")
        self._open()
        wait_until(lambda: report(self.sink)["received"] > 0, 20, f"{self.name}: packets", self.sink,
                   [self.source, self.sink])
        self.rig.hurry([self.source, self.sink])

    def rest(self):
        """Stops both, as they are, until wake(): somebody else is measured."""
        for process in (self.source, self.sink):
            process.signal(signal.SIGSTOP)

    def wake(self):
        for process in (self.sink, self.source):
            process.signal(signal.SIGCONT)

    def stop(self):
        for process in (self.source, self.sink):
            if process and process.alive:
                process.signal(signal.SIGCONT)
        self.rig.hurry([p for p in (self.source, self.sink) if p], False)
        for process in (self.source, self.sink):
            if process and process.alive:
                process.control("quit")
                try:
                    process.wait(20)
                except TimeoutError:
                    process.kill9()

    def measure(self, seconds):
        """{"mpps", "rx_cycles", "tx_cycles"} of one run."""
        self._settle()
        reset(self.sink, self.source)
        self.rig.watch(seconds, [self.sink, self.source])
        receiver, sender = report(self.sink), report(self.source)
        if not receiver["rx_mpps"]:
            raise LabError(f"{self.name}: nothing was received")
        return {"mpps": receiver["received"] / receiver["duration_s"] / 1e6, "rx_cycles": receiver["cycles_per_packet"]["rx"],
                "tx_cycles": sender["cycles_per_packet"]["tx"]}

    def command_lines(self):
        return {"sink": self.sink.argv, "source": self.source.argv}

    def _both(self, sink, source, size, sink_options=None, source_options=None):
        # Nobody else wants the core of either.
        self.sink = self.rig.traffic(f"{self.name}-sink", "sink", sink, (SINK_CPU,), idle="poll", **(sink_options or {}))
        self.source = self.rig.traffic(f"{self.name}-gen", "gen", source, (SOURCE_CPU,), hold=True, size=size,
                                       idle="poll", **(source_options or {}))

    def _wait_listening(self):
        self.sink.expect("ready", 20)

    def _open(self):
        """Returns when packets take the path that is measured."""

    def _settle(self):
        """Returns when packets go as they did before a rest."""
        reset(self.sink)
        wait_until(lambda: report(self.sink)["received"] > 100_000, 20, f"{self.name}: packets after a rest", self.sink,
                   [self.source, self.sink])


class HighwayClass(Pair):
    """A link that a transfer flow opens, for the packets of one class; the host end is a third
    process, which stops polling when the link is open."""

    name = "highway-driver"

    def start(self, size):
        self.domain = f"direct{self.rig.turn()}"
        self.host = Testpmd(self.rig.lab, f"host-{self.rig.turn()}",
                            [self.rig.devargs(n, self.domain, port, "host", idle="yield") for n, port in enumerate("ab")],
                            plugin=self.rig.plugin, huge=self.rig.huge, cpus=(0, 0), memory_mb=64, mbufs=4096,
                            extra=["--no-lsc-interrupt", "--max-pkt-len=1522"]).start()
        self.host.command(LINK_FLOW)
        self.host.start_forwarding()
        super().start(size)

    def _make(self, size):
        self._both([self.rig.devargs(0, self.domain, "b")], [self.rig.devargs(0, self.domain, "a")], size)

    def _open(self):
        self._wait_passed()
        self.host.stop_forwarding()

    def _wait_passed(self):
        """Waits until more went by the link than a ring holds: then the receiver takes them, and the host end
        has no part in the switch-over any more."""
        before = self._by_link()
        wait_until(lambda: self._by_link() > before + 4 * RING, 20, "packets by the link", self.host,
                   [self.source, self.sink])

    def _by_link(self):
        return self.host.xstats(1)["tx_bypass_packets"]

    def stop(self):
        super().stop()
        self.host.stop()

    def command_lines(self):
        return {"host": self.host.argv, **super().command_lines()}


class Highway(HighwayClass):
    """What a user runs: the link is proved to be for all packets, so that none is looked at."""

    name = "highway"

    def start(self, size):
        self.prover = None
        super().start(size)

    def _open(self):
        self._wait_passed()
        self.prover = Process(self.rig.lab, f"prover-{self.rig.turn()}",
                              [self.rig.build / "bench/prover", self.rig.regions, self.domain, "a", "b"],
                              cpus=(SINK_CPU,)).start()
        self.prover.expect("proved", 25)
        super()._open()
        # It beats, or the proof is withdrawn, also beside pollers at real-time priority.
        self.rig.ahead(self.prover)

    def stop(self):
        super().stop()
        if self.prover:
            self.prover.stop()

    def command_lines(self):
        return {"prover": self.prover.argv, **super().command_lines()}


class Memif(Pair):
    def __init__(self, rig, zero_copy):
        super().__init__(rig)
        self.zero_copy = self.huge_only = zero_copy
        self.name = "memif-zc" if zero_copy else "memif-copy"

    def _make(self, size):
        self.socket = self.rig.lab.rundir / f"{self.name}-{self.rig.turn()}.sock"
        common = f"socket={self.socket},socket-abstract=no,rsize=10,bsize=2048"
        more = ",zero-copy=yes" if self.zero_copy else ""
        self._both([f"net_memif0,role=server,{common}"], [f"net_memif0,role=client,{common}{more}"], size)

    def _wait_listening(self):
        wait_until(self.socket.exists, 20, f"{self.name} to listen", self.sink, [self.sink])


class Vhost(Pair):
    """virtio_user sends (the guest's side), net_vhost receives (the host's)."""

    name = "vhost"
    huge_only = True

    def _make(self, size):
        self.socket = self.rig.lab.rundir / f"vhost-{self.rig.turn()}.sock"
        self._both([f"net_vhost0,iface={self.socket},queues=1"],
                   [f"net_virtio_user0,path={self.socket},queues=1,queue_size=1024{self.virtio}"], size)

    virtio = ""

    def _wait_listening(self):
        wait_until(self.socket.exists, 20, f"{self.name} to listen", self.sink, [self.sink])


class VhostOut(Vhost):
    """The other way round: net_vhost sends, virtio_user receives."""

    name = "vhost-out"

    def start(self, size):
        self._make(size)
        self.source.start()
        wait_until(self.socket.exists, 20, f"{self.name} to listen", self.source, [self.source])
        self.sink.start()
        self.source.expect("ready", 20)
        self.source.control("start")
        wait_until(lambda: report(self.sink)["received"] > 0, 20, f"{self.name}: packets", self.sink,
                   [self.source, self.sink])
        self.rig.hurry([self.source, self.sink])

    def _make(self, size):
        super()._make(size)
        self._both([f"net_virtio_user0,path={self.socket},queues=1,queue_size=1024"],
                   [f"net_vhost0,iface={self.socket},queues=1"], size)


class NetRing(Pair):
    """Rings of pointers between a primary and a secondary process: no isolation."""

    name = "net-ring"
    isolates = False
    huge_only = True

    def _make(self, size):
        common = {"ring_pair": "pair", "prefix": f"ring{self.rig.turn()}"}
        self._both([], [], size, common, {**common, "first_lcore": 1, "eal": ["--proc-type", "secondary"]})


class RingFloor(Pair):
    """Pointers through a bare rte_ring between two threads: the physical floor."""

    name = "ring-floor"
    isolates = False

    def start(self, size):
        self.process = None

    def rest(self):
        pass

    wake = rest

    def stop(self):
        if self.process:
            self.process.stop()

    def measure(self, seconds):
        self.process = Process(self.rig.lab, "ring-floor", [self.rig.build / "bench/ring-floor", seconds + 0.2]).start()
        self.rig.watch(seconds, [self.process])
        mpps = float(self.process.expect(r"[\d.]+", 10).group(0))
        self.process.wait(10)
        return {"mpps": mpps}

    def command_lines(self):
        return {"ring-floor": self.process.argv}


def variants(rig):
    """All that work here: some need huge pages."""
    made = [Highway(rig), HighwayClass(rig), Memif(rig, True), Memif(rig, False), Vhost(rig), VhostOut(rig), NetRing(rig), RingFloor(rig)]
    return [variant for variant in made if rig.huge or not variant.huge_only]
