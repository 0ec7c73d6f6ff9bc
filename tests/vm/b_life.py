# SPDX-License-Identifier: BSD-3-Clause
"""B. The life of a virtual machine: restarts, reboots, deaths and pauses."""

import time

from lab import LabError, wait_until
from tests.system.kit import clean, long, same, seconds, sure
from tests.system.region import HOST

from .kit import LAPSE, PATIENCE, pick


@seconds(240)
def test_restarts_of_the_application(t):
    """testpmd in the guest ends, is killed and starts again: it has its port each time, and buffers come back."""
    t.line()
    vm = t.vm()
    t.receives(vm, "first")
    sink, gen = t.under_traffic(vm)
    sink.kill9()
    gen.quit()
    t.receives(vm, "second")
    t.wait_settled()


@seconds(240)
def test_qemu_killed(t):
    """QEMU dies with -9 under traffic: told by the operator the port is down at once, else in time; the next VM has it."""
    t.line()
    for turn, told in enumerate((True, False)):
        vm = t.vm(f"vm{turn}")
        _, gen = t.under_traffic(vm, f"gen{turn}")
        vm.kill9()
        if told:
            t.say("p2", "gone")
        t.wait_end("p2", "detached", 3 if told else PATIENCE)
        gen.quit()
        t.wait_settled()
    t.receives(t.vm("next"), "last")
    t.allow.append("cleaned up after")


@long
@seconds(240)
def test_pause(t):
    """A VM that is paused, and said to be, keeps its port for longer than a dead one, and goes on when it is resumed."""
    t.line()
    vm = t.vm()
    sink, gen = t.under_traffic(vm, rate=1000, size=64, drop_on_full=False)
    t.say("p2", "paused")
    vm.qmp("stop")
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() > begin + LAPSE + 3, 10, "a time in which a dead one is noticed")
    same(t.end("p2")["state"], "started", "state of the paused end")
    vm.qmp("cont")
    t.say("p2", "running")
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
    t.line()
    vm = t.vm()
    _, gen = t.under_traffic(vm, rate=1000)
    vm.skip()
    vm.qmp("system_reset")
    vm.wait_boot()
    gen.quit()
    t.receives(vm, "after")
    vm.testpmd(allow=pick(vm, "p2")).start()
    t.wait_end("p2", "started")
    vm.qmp("quit")
    same(vm.wait(), 0, "exit status of QEMU")
    t.wait_end("p2", "detached")
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
