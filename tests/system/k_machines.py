# SPDX-License-Identifier: BSD-3-Clause
"""highwayd and virtual machines, without a guest: QEMUs whose processor is stopped."""

import json
import re
import shutil
import socket
import subprocess

from lab import LabError, Process, wait_until
from lab.process import DEADLINE

from .h_kit import agent, wait_explained
from .kit import ISOLATED, Skip, same, sure

UUID = "aaaabbbb-1111-2222-3333-%012d"


class Qemu(Process):
    """A QEMU without a guest: 'monitors' are sockets of its own for highwayd, the test has another one."""

    def __init__(self, test, name, number, monitors, *arguments, machine="pc"):
        binary = shutil.which("qemu-system-x86_64")
        if binary is None:
            raise Skip("qemu-system-x86_64 is missing (package qemu-system-x86)")
        self.ours = test.lab.rundir / f"{test.short}-{name}.test"
        self.uuid = UUID % number
        super().__init__(test.lab, f"{test.short}-{name}", [
            binary, "-S", "-nodefaults", "-display", "none", "-machine", f"{machine},accel=tcg", "-m", "32", "-name", name,
            "-uuid", self.uuid, "-qmp", f"unix:{monitors}/{name}.sock,server=on,wait=off", "-qmp",
            f"unix:{self.ours},server=on,wait=off", *arguments])
        test.defer(self.stop)

    def qmp(self, command, **arguments):
        """The answer to one command."""
        wait_until(self.ours.exists, DEADLINE, f"the monitor of {self.name}", self, [self])
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(DEADLINE)
            one.connect(str(self.ours))
            lines = one.makefile("rw")
            lines.readline()
            for request in ({"execute": "qmp_capabilities"},
                            {"execute": command, "arguments": arguments, "id": "ours"}):
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                while True:
                    line = lines.readline()
                    if not line:
                        return None  # quit
                    answer = json.loads(line)
                    if "error" in answer:
                        raise LabError(f"{self.name}: {command}: {answer['error']['desc']}")
                    if "return" in answer:
                        break
            return answer["return"]

    def monitor(self, line):
        """Has the human monitor do 'line'."""
        said = self.qmp("human-monitor-command", **{"command-line": line})
        sure(not said.strip(), f"{self.name}: {line}: {said}")


def monitors(test, bed):
    """A folder for monitors' sockets, which highwayd is told of."""
    folder = test.lab.rundir / f"{test.short}-monitors"
    folder.mkdir()
    bed.ovs.vsctl("set", "Open_vSwitch", ".", f"other_config:highway-qmp-dir={folder}")
    test.defer(bed.ovs.vsctl, "remove", "Open_vSwitch", ".", "other_config", "highway-qmp-dir")
    return folder


def machines(one):
    return {m["name"]: m for m in one.ask("machines")["machines"]}


def machine_of(one, port):
    return one.explain(port)["machine"]


def wait_event(one, kind, name):
    return wait_until(lambda: [e for e in one.events(kind) if e["peer"] == name], DEADLINE, f"{kind} of {name}",
                      lambda: one.appctl("events"), [one])[-1]


def test_a_port_finds_its_machine_by_uuid(test):
    """A port whose external_ids name a machine is explained with it, and with the commands that attach it; typed into
    QEMU's monitor these do"""
    bed = test.bed(2)
    one = agent(test, bed)
    qemu = Qemu(test, "alpha", 1, monitors(test, bed)).start()
    port = bed.ovs_name("p1")
    bed.ovs.vsctl("set", "Interface", port, f"external_ids:vm-uuid={qemu.uuid.upper()}")
    said = wait_explained(one, port, lambda s: s["machine"]["name"] == "alpha", "the machine to be known")["machine"]
    same((said["by"], said["state"], said["uuid"], said["device"]), ("vm-uuid", "paused", qemu.uuid, None), "the machine")
    text = one.appctl("explain", port)
    for command in said["attach"]:
        sure(command in text, f"'{command}' is not in: {text}")
        qemu.monitor(command)
    wait_explained(one, port, lambda s: s["machine"]["device"] == "hwy-p1", "the device to be seen", 60)
    sure("to attach" not in one.appctl("explain", port), "it is attached, and yet told how")
    same(machine_of(one, bed.ovs_name("p2"))["name"], None, "the other port's machine")
    sure("alpha" in one.appctl("ports"), "ports does not name the machine")


def test_a_port_finds_its_machine_by_name(test):
    """A machine that has the region behind a device called like the port is that port's, on q35 too"""
    bed = test.bed(2)
    one = agent(test, bed)
    path = test.region_path()
    Qemu(test, "beta", 2, monitors(test, bed), "-device", "pcie-root-port,id=rp1,chassis=1", "-device",
         "pcie-root-port,id=rp2,chassis=2", "-object",
         f"memory-backend-file,id=p2,share=on,mem-path={path},size={path.stat().st_size}", "-device",
         "ivshmem-plain,id=any,memdev=p2,bus=rp1", machine="q35").start()
    said = wait_explained(one, bed.ovs_name("p2"), lambda s: s["machine"]["name"] == "beta", "the machine to be known")
    same((said["machine"]["by"], said["machine"]["device"]), ("name", "any"), "how")
    same(machine_of(one, bed.ovs_name("p1"))["name"], None, "the other port's machine")
    same(machines(one)["beta"]["free_root_ports"], 1, "free root ports")


def test_root_ports_for_links(test):
    """`highwayctl qemu-args` says of an isolated port which root ports q35 needs for links, and QEMU takes them"""
    bed = test.bed(2, domain=ISOLATED)
    one = agent(test, bed)
    said = subprocess.run([test.bench.highwayctl, "--dir", test.dir, "qemu-args", "p1"], capture_output=True, text=True,
                          check=True)
    port = re.search(r"-device (pcie-root-port,\S+)", said.stderr)
    sure(port and "pref64-reserve=32M" in port[1], f"no root port in: {said.stderr}")
    sure("pcie-root-port" not in said.stdout, f"i440fx has no root ports: {said.stdout}")
    qemu = Qemu(test, "gamma", 3, monitors(test, bed), "-device", port[1], machine="q35").start()
    bed.ovs.vsctl("set", "Interface", bed.ovs_name("p1"), f"external_ids:vm-uuid={qemu.uuid}")
    wait_explained(one, bed.ovs_name("p1"), lambda s: s["machine"]["name"] == "gamma", "the machine to be known")
    same(machines(one)["gamma"]["free_root_ports"], 1, "free root ports")


def test_the_life_of_a_machine_is_told(test):
    """Seen, resumed, paused, reset and gone, each once and with the ports; a machine that is killed is gone within a
    second, and seen again when it is back"""
    bed = test.bed(2)
    one = agent(test, bed)
    folder = monitors(test, bed)
    qemu = Qemu(test, "gamma", 3, folder).start()
    port = bed.ovs_name("p1")
    bed.ovs.vsctl("set", "Interface", port, f"external_ids:vm-id={qemu.uuid}")
    wait_event(one, "vm-seen", "gamma")
    qemu.qmp("cont")
    wait_event(one, "vm-resumed", "gamma")
    same(machines(one)["gamma"]["state"], "running", "the state")
    qemu.qmp("stop")
    paused = wait_event(one, "vm-paused", "gamma")
    sure(port in paused["text"], f"no {port} in: {paused['text']}")
    qemu.qmp("system_reset")
    wait_event(one, "vm-reset", "gamma")
    qemu.kill9()
    wait_event(one, "vm-gone", "gamma")
    same(machine_of(one, port)["name"], None, "the machine of the port")
    again = Qemu(test, "gamma", 3, folder).start()
    wait_until(lambda: len(one.events("vm-seen")) == 2, DEADLINE, "it to be seen again", lambda: one.appctl("events"))
    again.qmp("quit")
    wait_until(lambda: len(one.events("vm-gone")) == 2, DEADLINE, "it to be gone", lambda: one.appctl("events"))
    same([e["kind"] for e in one.events() if e["kind"].startswith("vm-")],
         ["vm-seen", "vm-resumed", "vm-paused", "vm-reset", "vm-gone", "vm-seen", "vm-gone"], "events")


def test_a_monitor_that_is_taken_is_said(test):
    """A monitor that another client holds is named with the remedy"""
    bed = test.bed(2)
    folder = monitors(test, bed)
    qemu = Qemu(test, "delta", 4, folder).start()
    path = folder / "delta.sock"
    wait_until(path.exists, DEADLINE, "the monitor", qemu, [qemu])
    with socket.socket(socket.AF_UNIX) as taken:
        taken.settimeout(DEADLINE)
        taken.connect(str(path))
        taken.recv(1000)
        one = agent(test, bed)
        wait_until(lambda: "another client holds this monitor" in one.appctl("machines"), DEADLINE, "the sentence",
                   lambda: one.appctl("machines"))
    wait_event(one, "vm-seen", "delta")


def test_a_port_without_a_source_is_told_what_is_missing(test):
    """Without highway-qmp-dir explain says how to set it, and still how to attach the port"""
    bed = test.bed(2)
    one = agent(test, bed)
    port = bed.ovs_name("p1")
    sure("machine:" not in one.appctl("explain", port), "a port of no machine has one")
    bed.ovs.vsctl("set", "Interface", port, f"external_ids:vm-uuid={UUID % 9}")
    wait_explained(one, port, lambda s: s["machine"]["uuid"], "the uuid to be read")
    text = one.appctl("explain", port)
    for word in ("highway-qmp-dir", UUID % 9, "object_add memory-backend-file", str(test.region_path())):
        sure(word in text, f"'{word}' is not in: {text}")
    sure("highway-qmp-dir of Open_vSwitch is not set" in one.appctl("machines"), "machines does not say what is missing")
