# SPDX-License-Identifier: BSD-3-Clause
"""A private Open vSwitch with DPDK: stock programs, nothing of the system's.

ovsdb-server and ovs-vswitchd-dpdk have their database, sockets and logs in the
lab, and ovs-vswitchd a network namespace of its own.  The latter is not for
neatness: a netdev bridge makes *persistent* tap devices (ovs-netdev and one per
bridge) that would collide with another Open vSwitch's and outlive a killed
daemon, and a starting ovs-vswitchd deletes all kernel datapaths it can see that
are not in its own database.
"""

import json
import os
import re
from pathlib import Path

from . import ovsparse
from .dpdk import find_program
from .process import DEADLINE, LabError, Process, cpu_set, run, wait_until

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
VSWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
PROTOCOLS = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"

BENIGN = (
    r"failed to enumerate system datapaths",
    r"Unreasonably long \d+ms poll interval",
    r"\|timeval\S*\|WARN\|(faults|disk|context switches|\d+ (minor|major))",
    r"blocked \d+ ms waiting for \S+ to quiesce",
    r"EAL: No free \d+ kB hugepages reported",
    r"is not associated with an rte flow",  # A modified flow that cannot be offloaded, later deleted.
    # A packet that met a purge of its megaflow; it is forwarded, and the flow made by the next one.
    r"upcall_cb failure: ukey installation fails",
    # Two of its threads, one of which takes a megaflow away that the other one looks at.
    r"Failed to acquire udpif_key corresponding to unexpected flow",
    r"Invalid state transition for ukey",
    r"failed to (flow_del|flow_get|put\[modify\]) \(No such file or directory\)",
    r"Rx checksum offload is not supported on port",
    r"[Dd]ropped \d+ log messages",
    # A client of a management socket ended, was killed, or was written to after it had gone.
    r"rconn\|WARN\|\S+<->unix#\d+: connection dropped \((Connection reset by peer|Broken pipe)\)",
    r"jsonrpc\|WARN\|unix#\d+: (receive|send) error: (Connection reset by peer|Broken pipe)",
    r"reconnect\|WARN\|unix#\d+: connection dropped \((Connection reset by peer|Broken pipe)\)",
)
"""Warnings of a healthy switch on a busy machine."""

_COLUMNS = {"mtu_request", "mac", "ingress_policing_rate", "ingress_policing_burst", "ofport_request", "lldp:enable"}


def mask(cpus):
    """Hexadecimal mask of a set of CPUs, as OVS wants it."""
    return hex(sum(1 << cpu for cpu in cpu_set(cpus)))


class _Daemon(Process):
    """ovs-vswitchd: `appctl exit --cleanup` is its way to end."""

    stop_deadline = 20.0

    def __init__(self, ovs, *args, **options):
        super().__init__(ovs.lab, *args, **options)
        self._ovs = ovs

    def ask_to_end(self):
        try:
            self._ovs.appctl("exit", "--cleanup", deadline_s=15)
        except (LabError, TimeoutError):
            super().ask_to_end()


class Ovs:
    """ovsdb-server and ovs-vswitchd-dpdk; running when the constructor returns.

    'plugin': driver(s) to load with -d, or None; 'cpus': where the main and the
    other ordinary threads run; 'pmd_cpus': one PMD thread on each of these;
    'huge': a HugePages or None; 'netns': "private" (an anonymous one), a Netns,
    or None for the machine's own (see above why not); 'extra_other_config':
    more keys of Open_vSwitch's other_config; 'dpdk_extra': more EAL arguments;
    'env': more environment of ovs-vswitchd.
    """

    def __init__(self, lab, name="ovs", *, plugin=None, cpus="0", pmd_cpus="1", hw_offload=True, huge=None,
                 memory_mb=512, max_idle_ms=None, extra_other_config=None, dpdk_extra=(), netns="private",
                 env=None, start=True):
        self.lab = lab
        self.name = name
        self.run = lab.rundir / name
        self.run.mkdir()
        self.db = f"unix:{self.run}/db.sock"
        self.log = lab.folder / f"{name}-vswitchd.log"
        self.openflow = "OpenFlow13"
        self._busy = {}
        self.env = {variable: self.run for variable in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")}
        extra = ["--no-pci", "--no-telemetry", "--file-prefix", f"{name}-{os.getpid()}"]
        for path in [plugin] if isinstance(plugin, (str, Path)) else plugin or ():
            extra += ["-d", str(path)]
        config = {"dpdk-init": "true", "hw-offload": str(hw_offload).lower(),
                  "dpdk-lcore-mask": mask(cpus), "pmd-cpu-mask": mask(pmd_cpus)}
        if huge:
            config |= {"dpdk-hugepage-dir": huge.dir, "dpdk-socket-mem": memory_mb, "dpdk-socket-limit": memory_mb}
        else:
            extra += ["--no-huge", "--legacy-mem", "-m", str(memory_mb)]
        config["dpdk-extra"] = " ".join([*extra, *dpdk_extra])
        if max_idle_ms is not None:
            config["max-idle"] = max_idle_ms
        config |= extra_other_config or {}
        self.other_config = config
        self.ovsdb = Process(lab, f"{name}-ovsdb-server", [
            find_program("HIGHWAY_OVSDB_SERVER", "ovsdb-server"), self.run / "conf.db",
            f"--remote=punix:{self.run}/db.sock", f"--unixctl={self.run}/ovsdb.ctl",
            f"--pidfile={self.run}/ovsdb.pid", "-vconsole:off", f"--log-file={lab.folder}/{name}-ovsdb-server.log",
        ], env=self.env, log=lab.folder / f"{name}-ovsdb-server.out")
        self.vswitchd = _Daemon(self, f"{name}-vswitchd", [
            find_program("HIGHWAY_VSWITCHD", VSWITCHD, "ovs-vswitchd-dpdk"), self.db,
            f"--unixctl={self.run}/vswitchd.ctl", f"--pidfile={self.run}/vswitchd.pid",
            "-vconsole:off", f"--log-file={self.log}",
        ], env={**self.env, "RUNTIME_DIRECTORY": lab.rundir, **(env or {})},
            log=lab.folder / f"{name}-vswitchd.out", netns=netns)
        if start:
            self.start()

    # -- life ---------------------------------------------------------------

    def start(self):
        """Makes an empty database and starts both programs."""
        run(["ovsdb-tool", "create", self.run / "conf.db", SCHEMA], env=self.env)
        self.log.unlink(missing_ok=True)
        self.start_ovsdb()
        self.vsctl("--no-wait", "init")
        self.set_other_config(**self.other_config, wait=False)
        self.start_vswitchd()
        return self

    def start_ovsdb(self):
        """Starts ovsdb-server and waits until it answers.  One that was killed has left its
        socket behind, to which nobody listens."""
        (self.run / "db.sock").unlink(missing_ok=True)
        self.ovsdb.start()
        wait_until(self._ovsdb_answers, DEADLINE, "ovsdb-server to answer", self.ovsdb, [self.ovsdb])

    def _ovsdb_answers(self):
        if not (self.run / "db.sock").exists():
            return False
        try:
            return "Open_vSwitch" in run(["ovsdb-client", "--timeout=5", "list-dbs", self.db], env=self.env)
        except LabError:
            return False

    def start_vswitchd(self, deadline_s=2 * DEADLINE):
        """Starts ovs-vswitchd and waits until DPDK is initialized and the bridges
        of the database are there."""
        self.vsctl("--no-wait", "clear", "Open_vSwitch", ".", "dpdk_version", "--",
                   "set", "Open_vSwitch", ".", "dpdk_initialized=false")
        self._busy = {}
        self.vswitchd.start()
        wait_until(lambda: self.vsctl("--no-wait", "get", "Open_vSwitch", ".", "dpdk_initialized").strip() == "true",
                   deadline_s, "dpdk_initialized", self.log, [self.vswitchd, self.ovsdb])
        self.sync(deadline_s)

    def stop(self):
        """Stops both programs."""
        self.vswitchd.stop()
        self.ovsdb.stop()

    def restart_vswitchd(self, how="exit"):
        """Ends ovs-vswitchd by 'how' ("exit", "term" or "kill9") and starts it again;
        its database, and so bridges and ports, stay; OpenFlow rules do not."""
        {"exit": self.vswitchd.stop, "kill9": self.vswitchd.kill9, "term": self._terminate}[how]()
        self.start_vswitchd()

    def _terminate(self):
        self.vswitchd.signal(15)
        self.vswitchd.wait()

    @property
    def pids(self):
        return {"ovsdb-server": self.ovsdb.pid, "ovs-vswitchd": self.vswitchd.pid}

    def check(self):
        """Raises LabError if one of the two programs is dead."""
        for process in (self.ovsdb, self.vswitchd):
            if not process.alive:
                raise LabError(f"{process.name} is dead: {process.how_ended()}; see {self.log}")

    # -- tools --------------------------------------------------------------

    def vsctl(self, *args, deadline_s=DEADLINE):
        """ovs-vsctl: waits for the daemon to follow, unless given --no-wait."""
        argv = ["ovs-vsctl", f"--db={self.db}", f"--timeout={int(deadline_s)}", *args]
        return run(argv, deadline_s + 5, env=self.env)

    def ofctl(self, *args, version=None, deadline_s=DEADLINE, stdin=None):
        """ovs-ofctl; a bridge is named by its name; 'version': of OpenFlow."""
        return run(["ovs-ofctl", "-O", version or self.openflow, *args], deadline_s, env=self.env, stdin=stdin)

    def appctl(self, *args, target="vswitchd", deadline_s=DEADLINE):
        """ovs-appctl to ovs-vswitchd (or target="ovsdb")."""
        return run(["ovs-appctl", "-t", self.run / f"{target}.ctl", *args], deadline_s, env=self.env)

    def inside(self, *argv, deadline_s=DEADLINE):
        """Runs a program in ovs-vswitchd's network namespace, where the bridges'
        own (LOCAL) devices are."""
        return run(["nsenter", f"--net=/proc/{self.vswitchd.pid}/ns/net", *argv], deadline_s, env=self.env)

    def sync(self, deadline_s=DEADLINE):
        """Returns when the daemon has done all that is in the database now."""
        self.vsctl("set", "Open_vSwitch", ".", f"external_ids:lab-sync={os.urandom(4).hex()}", deadline_s=deadline_s)

    def set_other_config(self, wait=True, **settings):
        """Sets keys of Open_vSwitch's other_config; '_' in a key stands for '-'."""
        words = [f"other_config:{key.replace('_', '-')}={json.dumps(str(value))}" for key, value in settings.items()]
        self.vsctl(*([] if wait else ["--no-wait"]), "set", "Open_vSwitch", ".", *words)

    # -- bridges and ports --------------------------------------------------

    def add_bridge(self, name="br0", protocols=PROTOCOLS, fail_mode="secure", **columns):
        """Adds a userspace bridge; further columns of Bridge by name."""
        words = [f"{key}={value}" for key, value in columns.items()]
        self.vsctl("add-br", name, "--", "set", "Bridge", name, "datapath_type=netdev", f"protocols={protocols}",
                   f"fail_mode={fail_mode}", *words)
        return name

    def add_port(self, bridge, name, kind, ofport=None, *settings, **columns):
        """Adds a port and returns its OpenFlow number; if it cannot be set up,
        removes it again and raises LabError with OVS's reason.

        'kind': the interface's type; 'settings': words as for `ovs-vsctl set`;
        further keywords are columns of Interface (mtu_request, mac, ...) and
        otherwise its options (n_rxq, dpdk_devargs, ...; '_' stands for '-').
        Number ports yourself: OVS numbers several new ones in any order.
        """
        words = [f"type={kind}", *settings]
        if ofport is not None:
            words.append(f"ofport_request={ofport}")
        for key, value in columns.items():
            if key not in _COLUMNS:
                key = "options:" + (key if key.startswith("n_") else key.replace("_", "-"))
            words.append(f"{key}={json.dumps(str(value)) if isinstance(value, (str, Path)) else value}")
        self.vsctl("add-port", bridge, name, "--", "set", "Interface", name, *words)
        interface = wait_until(lambda: self._settled(name), DEADLINE, f"port {name} to be set up", self.log,
                               [self.vswitchd])
        number = interface["ofport"]
        if number == -1 or interface["error"]:
            self.del_port(name)
            raise LabError(f"port {name}: {interface['error'] or 'no OpenFlow number'}")
        if ofport is not None and number != ofport:
            raise LabError(f"port {name} has OpenFlow number {number}, not {ofport}")
        return number

    def add_highway_port(self, bridge, name, devargs, ofport=None, *settings, **columns):
        """Adds a port of type=dpdk with these devargs; see add_port()."""
        return self.add_port(bridge, name, "dpdk", ofport, *settings, dpdk_devargs=devargs, **columns)

    def del_port(self, name, bridge=None):
        """Removes a port and returns when the daemon has let it go."""
        self.vsctl("--if-exists", "del-port", *([bridge] if bridge else []), name)

    def _settled(self, name):
        interface = self.interface(name)
        return interface if interface.get("ofport") is not None or interface.get("error") else None

    def interface(self, name):
        """Interface's row as a dict; 'statistics' there is some seconds old."""
        return ovsparse.row(self.vsctl("--format=json", "list", "Interface", name))

    # -- OpenFlow and the datapath ------------------------------------------

    def add_flow(self, bridge, flow):
        """One flow, as for `ovs-ofctl add-flow`."""
        self.ofctl("add-flow", bridge, flow)

    def del_flows(self, bridge, match="", strict=False):
        """Removes the matching flows (all, by default)."""
        self.ofctl(*(["--strict"] if strict else []), "del-flows", bridge, *([match] if match else []))

    def flows(self, bridge, match=""):
        """OpenFlow rules as dicts: see ovsparse.flow()."""
        return ovsparse.flows(self.ofctl("--no-names", "dump-flows", bridge, *([match] if match else [])))

    def port_stats(self, bridge, port=None):
        """OpenFlow port statistics: a dict for 'port', without one of all ports."""
        which = [str(port)] if port is not None else []
        stats = ovsparse.ports(self.ofctl("--no-names", "dump-ports", bridge, *which))
        return next(iter(stats.values())) if port is not None else stats

    def datapath_flows(self):
        """Datapath flows as dicts: see ovsparse.datapath_flows()."""
        return ovsparse.datapath_flows(self.appctl("dpctl/dump-flows", "-m"))

    def offloads_waiting(self):
        """How many changes of datapath flows wait for the offload threads, besides what they are
        at now."""
        said = self.appctl("dpctl/offload-stats-show")
        return int(re.search(r"Total\s+Enqueued offloads:\s*(\d+)", said)[1])

    def pmd_stats(self):
        """PMD statistics since their last clearing, by core."""
        return ovsparse.pmd_stats(self.appctl("dpif-netdev/pmd-stats-show"))

    def pmd_busy(self):
        """{core: share of its cycles that it worked} since the last call (at first:
        since the start)."""
        shares = {}
        for core, stats in self.pmd_stats().items():
            now = stats.get("processing cycles", 0), stats.get("idle cycles", 0)
            before = self._busy.get(core, (0, 0))
            self._busy[core] = now
            if now < before or core == "main":
                before = 0, 0  # Cleared meanwhile.
            busy, idle = now[0] - before[0], now[1] - before[1]
            if core != "main":
                shares[core] = busy / (busy + idle) if busy + idle > 0 else 0.0
        return shares

    def log_warnings(self, allow=(), benign=BENIGN):
        """WARN, ERR and EMER lines of ovs-vswitchd's log that match none of the
        regular expressions."""
        patterns = [re.compile(pattern) for pattern in (*allow, *benign)]
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if re.search(r"\|(WARN|ERR|EMER)\|", line)
                and not any(pattern.search(line) for pattern in patterns)]
