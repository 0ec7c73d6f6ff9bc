# SPDX-License-Identifier: BSD-3-Clause
"""B. The life of a virtual machine: restarts, reboots, deaths and pauses."""

import time

from lab import LabError, wait_until
from tests.system.kit import clean, long, same, seconds, sure
from tests.system.region import HOST

from .kit import PATIENCE, pick


def _receives(t, vm, name, port="p2"):
    """Packets of a process reach the guest, all of them, by the bypass too."""
    sink = vm.traffic("sink", allow=pick(vm, port)).start()
    gen = t.traffic("gen", "p1", name=name, rate=2000, count=2000, control=False).start()
    same(gen.wait(PATIENCE), 0, "exit status of the generator")
    t.wait_count(port, "rx_packets", 2000, log=vm, alive=[vm])
    clean(sink.quit(), 2000)


def _settled(t):
    """Nobody is left who is dead, and every buffer is accounted for."""
    def look():
        with t.region() as region:
            return region.lost_chunks() == 0
    wait_until(look, PATIENCE, "every buffer to be accounted for", lambda: str(t.region().owners()))


@seconds(240)
def test_restarts_of_the_application(t):
    """testpmd in the guest ends, is killed and starts again: it has its port each time, and buffers come back."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    vm = t.vm()
    _receives(t, vm, "first")
    sink = vm.traffic("sink", allow=pick(vm, "p2"))
    vm.shell("( " + sink.line.replace(" --stdin-control", "") + " </dev/null >/tmp/log 2>&1 & )")
    gen = t.traffic("gen", "p1", name="under", rate=2000, size="600-1500", hold=None, drop_on_full=True).start()
    t.wait_count("p2", "rx_bypass_packets", 500, log=vm, alive=[vm, gen])
    vm.shell("kill -9 $(pidof highway-traffic)")
    gen.quit()
    _receives(t, vm, "second")
    _settled(t)


@seconds(240)
def test_qemu_killed(t):
    """QEMU dies with -9 under traffic: told by the operator the port is down at once, else in time; the next VM has it."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    for turn, told in enumerate((True, False)):
        vm = t.vm(f"vm{turn}")
        vm.traffic("sink", allow=pick(vm, "p2")).start()
        gen = t.traffic("gen", "p1", name=f"gen{turn}", rate=2000, size="600-1500", hold=None, drop_on_full=True).start()
        t.wait_count("p2", "rx_bypass_packets", 500, log=vm, alive=[vm, gen])
        vm.kill9()
        if told:
            t.ctl("--dir", t.dir, "--domain", t.domain, "set", "port", "p2", "guest=gone")
        t.wait_end("p2", "detached", 3 if told else PATIENCE)
        gen.quit()
        _settled(t)
    _receives(t, t.vm("next"), "last")
    t.allow.append("cleaned up after")


@long
@seconds(240)
def test_pause(t):
    """A VM that is paused, and said to be, keeps its port for longer than a dead one, and goes on when it is resumed."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    vm = t.vm()
    word = ["--dir", t.dir, "--domain", t.domain, "set", "port", "p2"]
    sink = vm.traffic("sink", allow=pick(vm, "p2")).start()
    gen = t.traffic("gen", "p1", rate=1000, drop_on_full=False, hold=None).start()
    t.wait_count("p2", "rx_bypass_packets", 500, log=vm, alive=[vm, gen])
    t.ctl(*word, "guest=paused")
    vm.qmp("stop")
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() > begin + 8, 10, "a time in which a dead one is noticed")
    same(t.end("p2")["state"], "started", "state of the paused end")
    vm.qmp("cont")
    t.ctl(*word, "guest=running")
    mark = t.end("p2")["rx_packets"]
    t.wait_count("p2", "rx_packets", mark + 500, log=vm, alive=[vm, gen])
    same(gen.quit(), 0, "exit status of the generator")
    sent = gen.result()["sent"]
    t.wait_count("p2", "rx_packets", sent, log=vm)
    clean(sink.quit(), sent)


@long
@seconds(300)
def test_reboot_and_power_off(t):
    """A VM that is reset in the middle of traffic has its port again after the reboot; powered off, the port is down."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    vm = t.vm()
    vm.traffic("sink", allow=pick(vm, "p2")).start()
    gen = t.traffic("gen", "p1", name="gen", rate=1000, hold=None, drop_on_full=True).start()
    t.wait_count("p2", "rx_bypass_packets", 500, log=vm, alive=[vm, gen])
    vm.skip()
    vm.qmp("system_reset")
    vm.wait_boot()
    gen.quit()
    _receives(t, vm, "after")
    pmd = vm.testpmd(allow=pick(vm, "p2")).start()
    t.wait_end("p2", "started")
    vm.qmp("quit")
    same(vm.wait(), 0, "exit status of QEMU")
    t.wait_end("p2", "detached")
    sure(pmd is not None, "there was an application")
    t.allow.append("cleaned up after")


@seconds(120)
def test_guest_without_the_driver(t):
    """A VM that has the device but starts no application: its port stays down, and nothing else suffers."""
    bed = t.bed(3)
    bed.rules("in_port=1,actions=output:3")
    t.vm()
    same(t.end("p2")["state"], "detached", "the guest end")
    same(t.end("p2", HOST)["state"], "started", "the host end")
    t.once("p1", "p3", count=2000, rate=20e3)


@long
@seconds(120)
def test_file_stays_for_the_vm(t):
    """The region's file is not removed while a VM has it, though all processes have left: the next switch finds it."""
    host = t.host(2)
    t.defer(t.region_path().unlink, missing_ok=True)  # nobody is left to do it when the VM goes
    t.vm()
    before = t.region_path().stat().st_ino
    same(host.quit(), 0, "exit status")
    same(t.region_path().stat().st_ino, before, "the file")
    again = t.host(2, name="again")
    same(t.region_path().stat().st_ino, before, "the file that the next host uses")
    same(again.quit(), 0, "exit status")


@seconds(120)
def test_live_migration_is_refused(t):
    """QEMU refuses to migrate a VM that has a region, and says why; the VM goes on."""
    t.bed(1)
    vm = t.vm()
    try:
        vm.qmp("migrate", uri="exec:cat >/dev/null")
    except LabError as error:
        sure("ivshmem" in str(error), f"QEMU says why: {error}")
    else:
        raise AssertionError("QEMU migrates a VM with a region")
    vm.shell("true")
