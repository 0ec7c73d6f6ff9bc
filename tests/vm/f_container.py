# SPDX-License-Identifier: BSD-3-Clause
"""F. A link between a virtual machine and a container."""

import shutil
import time

from lab import run, wait_until
from tests.system.h_kit import agent
from tests.system.kit import ISOLATED, Skip, clean, go, same, seconds, sure
from tests.system.region import Region

from .d_agent import machine, monitors, wait_machine, wait_told
from .kit import PATIENCE, pick

STEERING = "priority=1,in_port=1,udp,actions=output:2"
P2P = "priority=100,in_port=1"
FLAP_S = 1.2
"""A proof that is withdrawn twice within HWY_FLAP_MS is given only after a while."""


def _container(t, port):
    """Words before a command that run it as a container would: mount, network, process and IPC namespaces of its own.
    Of Highway it sees the plug-in and the generator, the region of its port, and highwayd's socket."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise Skip("bwrap is missing (package bubblewrap)")
    words = [bwrap, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--proc", "/proc",
             "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind", "/usr", "/usr", "--ro-bind", "/sys", "/sys"]
    for name in ("bin", "sbin", "lib", "lib64"):
        words += ["--symlink", f"usr/{name}", f"/{name}"]
    for path in (t.plugin, t.bench.highway_traffic):
        words += ["--ro-bind", path, path]
    for path in (t.lab.folder, t.lab.rundir, t.region_path(f"@{port}"), t.dir / ".agent"):
        words += ["--bind", path, path]  # The first two are the generator's report and run-time files.
    return [str(word) for word in words]


def _slots_are_free(t, *ports):
    for port in ports:
        with Region(t.region_path(f"@{port}")) as region:
            if any(slot[0][0] != "free" for slot in region.slots(port)):
                return False
    return True


@seconds(300)
def test_a_link_between_a_machine_and_a_container(t):
    """A proof leads from the port of a virtual machine to that of a process in namespaces of its own: the link region is
    plugged into the machine, and handed to the container by highwayd's socket, as it sees no other file of the folder;
    it comes and goes twice under traffic, and no packet is lost, duplicated or reordered"""
    bed = t.bed(2, domain=ISOLATED)
    one = agent(t, bed)
    bed.ovs.set_other_config(pmd_maxsleep=500)
    t.defer(bed.ovs.set_other_config, pmd_maxsleep=0)
    vm = machine(t, bed, monitors(t, bed), 1, shares=[t.region_path("@p1")], spare_slots=2, vcpus=2)
    wait_machine(one, bed, 1)
    wait_until((t.dir / ".agent").exists, PATIENCE, "highwayd's socket", one.logfile, [one])
    inside = _container(t, "p2")
    same(sorted(run([*inside, "ls", "-A", t.dir]).split()), [".agent", "@p2"], "what the container sees of the folder")
    bed.rules(STEERING)
    sink = t.traffic("sink", "p2", domain=ISOLATED, idle="sleep")
    sink.argv = [*inside, *sink.argv]
    sink.start()
    sink.expect("ready", PATIENCE)
    gen = vm.traffic("gen", allow=pick(vm, idle="sleep"), idle="sleep", rate=1000, size="64-1500", hold=True).start()
    for n in (1, 2):
        wait_until(lambda: t.end(f"p{n}", domain=f"@p{n}")["state"] == "started", PATIENCE, f"p{n} to be started")
    gen.control("start")

    def more(key, count=300):
        mark = t.end("p2", domain="@p2")[key]
        wait_until(lambda: t.end("p2", domain="@p2")[key] >= mark + count, PATIENCE, f"{count} more {key}",
                   lambda: one.appctl("machines") + one.appctl("events"), [vm, one, sink])

    def plugged():
        return [m["plugged"] for m in one.ask("machines")["machines"]]

    more("rx_normal_packets")
    for cycle in (1, 2):
        bed.rules(f"{P2P},actions=output:2")
        told = wait_told(one, "first-packet", cycle)
        t.note(f"set-up {told['took_us'] / 1e3:.1f} ms: {told['parts_us']}")
        more("rx_bypass_packets")
        same(plugged(), [1], "link devices in the machine")
        sure(any("/+" in line for line in run(["sh", "-c", f"cat /proc/{_child(sink.pid)}/maps"]).splitlines()),
             "the container has not mapped a link region")
        bed.delete(P2P, strict=True)
        wait_until(lambda: plugged() == [0] and _slots_are_free(t, "p1", "p2") and not list(t.dir.glob("+*")), PATIENCE,
                   "nothing to be left of the link", lambda: one.appctl("machines") + one.appctl("events"), [vm, one, sink])
        more("rx_normal_packets")
        time.sleep(FLAP_S)
    sent = gen.quit()
    wait_until(lambda: t.end("p2", domain="@p2")["rx_packets"] >= sent["sent"], PATIENCE, f"{sent['sent']} packets to arrive")
    sink.control("quit")
    same(sink.wait(PATIENCE), 0, "exit status of the sink")
    report = clean(sink.result(), sent["sent"])
    t.note(f"{report['received']} packets, lost {report['lost']}")


def _child(pid):
    """The process of the container: the last of the chain that bwrap has started."""
    while True:
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            found = children.read().split()
        if not found:
            return pid
        pid = int(found[0])
