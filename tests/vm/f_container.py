# SPDX-License-Identifier: BSD-3-Clause
"""F. A link between a virtual machine and a container."""

import shutil
import time

from lab import run, wait_until
from tests.system.kit import ISOLATED, Skip, clean, same, seconds, sure

from .kit import PATIENCE
from .rig import FLAP_S, Rig, wait_told


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


@seconds(300)
def test_a_link_between_a_machine_and_a_container(t):
    """A proof leads from the port of a virtual machine to that of a process in namespaces of its own: the link region is
    plugged into the machine, and handed to the container by highwayd's socket, as it sees no other file of the folder;
    it comes and goes twice under traffic, and no packet is lost, duplicated or reordered"""
    rig = Rig(t, ((1,),), others=1)
    wait_until((t.dir / ".agent").exists, PATIENCE, "highwayd's socket", rig.one.logfile, [rig.one])
    inside = _container(t, "p2")
    same(sorted(run([*inside, "ls", "-A", t.dir]).split()), [".agent", "@p2"], "what the container sees of the folder")
    rig.steer(1, 2)
    sink = t.traffic("sink", "p2", domain=ISOLATED, idle="sleep")
    sink.argv = [*inside, *sink.argv]
    sink.start()
    sink.expect("ready", PATIENCE)
    gen = rig.traffic(rig.vms[0], "gen", rate=1000, size="64-1500", hold=True)
    rig.wait_started(1, 2)
    gen.control("start")
    rig.more(2, "rx_normal_packets", 300)
    for cycle in (1, 2):
        rig.join(1, 2)
        told = wait_told(rig.one, "first-packet", cycle)
        t.note(f"set-up {told['took_us'] / 1e3:.1f} ms: {told['parts_us']}")
        rig.more(2, "rx_bypass_packets", 300)
        same(rig.plugged(), [1], "link devices in the machine")
        sure(any("/+" in line for line in run(["sh", "-c", f"cat /proc/{_child(sink.pid)}/maps"]).splitlines()),
             "the container has not mapped a link region")
        rig.part(1)
        rig.wait_taken_out()
        rig.more(2, "rx_normal_packets", 300)
        time.sleep(FLAP_S)
    sent = gen.quit()
    rig.wait(lambda: rig.end(2)["rx_packets"] >= sent["sent"], f"{sent['sent']} packets to arrive")
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
