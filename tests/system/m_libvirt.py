# SPDX-License-Identifier: BSD-3-Clause
"""M. highwayd and the machines of a libvirt, which gives it no monitor."""

from lab import LabError, wait_until
from lab.libvirt import Libvirtd
from lab.process import DEADLINE

from .h_kit import agent, wait_explained
from .kit import Skip, clean, finish, go, same, seconds, sure

UUID = "aaaabbbb-1111-2222-3333-000000000077"
DOMAIN = f"""<domain type='qemu'><name>alpha</name><uuid>{UUID}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><memballoon model='none'/></devices></domain>
"""


def _libvirtd(test):
    try:
        one = Libvirtd(test.lab, f"{test.short}-libvirtd")
    except LabError as error:
        raise Skip(str(error)) from error
    test.defer(one.stop)
    return one.start()


def _told(one):
    return [event["kind"] for event in one.events() if event["kind"].startswith("vm-")]


def _wait_told(one, *kinds):
    wait_until(lambda: _told(one) == list(kinds), DEADLINE, f"{kinds} to be told", lambda: one.appctl("events"), [one])


@seconds(150)
def test_the_machines_of_a_libvirt(test):
    """highwayd knows the machines of highway-libvirt-uri, and which has which port; while libvirtd is dead, it takes
    none of them for dead, and links go on"""
    libvirtd = _libvirtd(test)
    if not (test.bench.build / "tests/test_libvirt").exists():
        raise Skip("highwayd is built without libvirt (libvirt-dev)")
    bed = test.bed(2)
    bed.rules("in_port=1,actions=output:2")
    one = agent(test, bed)
    port = bed.ovs_name("p1")
    bed.ovs.vsctl("set", "Interface", port, f"external_ids:vm-uuid={UUID}")
    bed.ovs.vsctl("set", "Open_vSwitch", ".", f"other_config:highway-libvirt-uri=\"{libvirtd.uri}\"")
    test.defer(bed.ovs.vsctl, "remove", "Open_vSwitch", ".", "other_config", "highway-libvirt-uri")
    xml = test.lab.folder / f"{test.short}-alpha.xml"
    xml.write_text(DOMAIN)
    libvirtd.virsh("create", xml)
    said = wait_explained(one, port, lambda s: s["machine"]["name"] == "alpha", "the machine to be known", 30)["machine"]
    same((said["by"], said["state"], said["uuid"]), ("vm-uuid", "running", UUID), "the machine")
    libvirtd.virsh("suspend", "alpha")
    libvirtd.virsh("resume", "alpha")
    _wait_told(one, "vm-seen", "vm-paused", "vm-resumed")

    traffic = test.traffic("gensink", "p1", "p2", rate=10e3, drain=3000).start()
    go(traffic)
    test.wait_link("p1", "p2")
    libvirtd.kill9()
    wait_until(lambda: "libvirt at" in one.logfile.read_text(), DEADLINE, "the loss of libvirtd to be told",
               lambda: one.logfile.read_text(), [one])
    mark = test.end("p2")["rx_bypass_packets"]
    wait_until(lambda: test.end("p2")["rx_bypass_packets"] > mark + 20000, DEADLINE, "packets by the link", traffic,
               [traffic, one])
    same(_told(one), ["vm-seen", "vm-paused", "vm-resumed"], "what is told while libvirtd is dead")
    same(one.explain(port)["machine"]["name"], "alpha", "the machine of the port")

    libvirtd.start()
    wait_until(lambda: "alpha" in libvirtd.virsh("list"), DEADLINE, "libvirtd to find its machine again", libvirtd)
    # Events are heard when highwayd has connected again, within some seconds.
    wait_until(lambda: libvirtd.virsh("reset", "alpha") is not None and "vm-reset" in _told(one), DEADLINE,
               "a reset to be heard of", lambda: one.appctl("events"), [one])
    libvirtd.virsh("destroy", "alpha")
    wait_until(lambda: _told(one)[-1] == "vm-gone", DEADLINE, "it to be gone", lambda: one.appctl("events"), [one])
    same(_told(one).count("vm-gone"), 1, f"how often it is gone: {one.appctl('events')}")
    clean(finish(traffic))


def test_a_libvirt_that_is_not_there(test):
    """An address at which nobody answers is told with the reason, and highwayd works on"""
    bed = test.bed(2)
    one = agent(test, bed)
    bed.ovs.vsctl("set", "Open_vSwitch", ".", "other_config:highway-libvirt-uri=\"qemu:///system?socket=/nonexistent\"")
    test.defer(bed.ovs.vsctl, "remove", "Open_vSwitch", ".", "other_config", "highway-libvirt-uri")
    wait_until(lambda: "libvirt" in one.appctl("machines") and "nonexistent" in one.appctl("machines") or
               "without libvirt" in one.appctl("machines"), DEADLINE, "the reason to be told",
               lambda: one.appctl("machines"), [one])
    sure(one.explain(bed.ovs_name("p1"))["machine"]["name"] is None, "it has a machine")
