# SPDX-License-Identifier: BSD-3-Clause
"""A. Traffic of virtual machines: by the switch, by the bypass, and from one to the other."""

from lab import wait_until
from tests.system.kit import clean, finish, go, same, seconds, sure

from .kit import PATIENCE, pick


@seconds(240)
def test_vm_to_process(t):
    """A generator in a VM sends to a process on the host by the bypass: nothing is lost, the rule's counters are exact."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    vm = t.vm()
    sink = t.sink("p2")
    gen = vm.traffic("gen", allow=pick(vm, "p1"), rate=5000, size="64-1500").start()
    t.wait_link("p1", "p2", PATIENCE)
    t.wait_count("p2", "rx_bypass_packets", 5000, log=vm, alive=[vm, sink])
    report = gen.quit()
    t.wait_count("p2", "rx_packets", report["sent"])
    clean(finish(sink), report["sent"])
    bed.wait_packets((report["sent"], report["sent_bytes"]), sender="p1")
    t.wait_end("p1", "detached")


def test_nothing_but_the_plug_in(t):
    """testpmd with no other argument than the plug-in has the first port that is free, and lists of devices count."""
    t.bed(2)
    vm = t.vm()
    pmd = vm.testpmd().start()
    same(pmd.port_info(0)["MAC address"], t.end("p1")["mac"], "address of the first port")
    wait_until(lambda: pmd.port_info(0)["Link status"] == "up", PATIENCE, "the link to be up", vm)
    pmd.quit()
    address = vm.devices()[0]
    for eal in (["-b", address], ["-a", "0000:00:00.0"], ["--no-pci"]):
        pmd = vm.testpmd(eal=eal).start()
        sure("Invalid port" in pmd.command("show port info 0"), f"no port with {' '.join(eal)}")
        pmd.quit()
    pmd = vm.testpmd(vdevs=[f"net_highway7,pci={address},port=p2"]).start()
    same(pmd.port_info(0)["MAC address"], t.end("p2")["mac"], "address of the port that --vdev names")
    sure("Invalid port" in pmd.command("show port info 1"), "it is there once only")
    pmd.quit()
