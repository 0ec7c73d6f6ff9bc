# SPDX-License-Identifier: BSD-3-Clause
"""A. Traffic of virtual machines: by the switch, by the bypass, and from one to the other."""

from xml.etree import ElementTree

from lab import wait_until
from tests.system.kit import clean, finish, long, same, seconds, sure

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


@seconds(300)
def test_switch_over_between_vms(t):
    """Two VMs, 10 switch-overs under traffic: nothing lost, duplicated or reordered, counters exact; i440fx and q35."""
    bed = t.bed(3)
    bed.rules("priority=100,in_port=1,actions=output:2")
    first, second = t.vm("vm1", machine="pc"), t.vm("vm2")
    sink = second.traffic("sink", allow=pick(second, "p2")).start()
    gen = first.traffic("gen", allow=pick(first, "p1"), rate=2000, size="64-1500", hold=True).start()
    gen.control("start")
    t.wait_link("p1", "p2", PATIENCE)
    for _ in range(5):
        for kind, change in (("normal", lambda: bed.rules("priority=200,in_port=1,actions=output:2,output:3")),
                             ("bypass", lambda: bed.delete("priority=200,in_port=1", strict=True))):
            change()
            mark = t.end("p1")[f"tx_{kind}_packets"]
            t.wait_count("p1", f"tx_{kind}_packets", mark + 100, log=first, alive=[first, second])
    sent = gen.quit()
    t.wait_count("p2", "rx_packets", sent["sent"], log=second)
    clean(sink.quit(), sent["sent"])
    bed.ovs.appctl("revalidator/purge")
    bed.wait_port(1, rx_pkts=sent["sent"])


@long
@seconds(300)
def test_chain_of_three(t):
    """Source in the first VM, a forwarding testpmd in the second, sink in the third: nothing is lost on the way."""
    bed = t.bed(4)
    bed.rules("in_port=1,actions=output:2", "in_port=3,actions=output:4")
    first, middle, last = (t.vm(f"vm{n}") for n in (1, 2, 3))
    sink = last.traffic("sink", allow=pick(last, "p4")).start()
    pmd = middle.testpmd(allow=pick(middle, "p2", "p3")).start()
    pmd.start_forwarding()
    gen = first.traffic("gen", allow=pick(first, "p1"), rate=1000, size="64-1500", count=5000, hold=True).start()
    gen.control("start")
    for src, dst in (("p1", "p2"), ("p3", "p4")):
        t.wait_link(src, dst, PATIENCE)
    t.wait_count("p4", "rx_packets", 5000, log=last, alive=[first, middle, last])
    sent = gen.quit()
    same(sent["sent"], 5000, "sent")
    sure(t.end("p3")["tx_bypass_packets"] > 0, "the second link carried packets")
    clean(sink.quit(), 5000)


@seconds(120)
def test_what_highwayctl_prints(t):
    """A VM that is started with exactly what `highwayctl qemu-args` prints has the port; libvirt's XML says the same."""
    t.bed(1)
    word = ["--dir", t.dir, "--domain", t.domain]
    args = t.ctl(*word, "qemu-args", "p1").split()
    xml = ElementTree.fromstring(t.ctl(*word, "libvirt-xml", "p1"))
    same([arg.get("value") for arg in xml], args, "arguments in the XML")
    vm = t.vm(shares=(), args=args)
    pmd = vm.testpmd().start()
    same(pmd.port_info(0)["MAC address"], t.end("p1")["mac"], "address of the port")
    pmd.quit()
