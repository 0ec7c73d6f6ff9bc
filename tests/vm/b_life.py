# SPDX-License-Identifier: BSD-3-Clause
"""B. The life of a virtual machine: restarts, reboots, deaths and pauses."""

import time

from lab import LabError, Process, wait_until
from tests.system.kit import clean, long, same, seconds, sure
from tests.system.region import HOST

from .kit import LAPSE, PATIENCE


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
@seconds(240)
def test_pause_of_which_nobody_says_a_word(t):
    """A VM that is paused for longer than 5 s without a word loses its port, which a process takes; when it runs again it
    sees that, says so, and disturbs its successor in nothing; its application, started anew, has the port after that"""
    t.line()
    vm = t.vm()
    loser, gen = t.under_traffic(vm)
    vm.qmp("stop")
    t.wait_end("p2", "detached")
    gen.quit()
    t.wait_settled()
    successor = t.sink("p2", name="successor")
    gen = t.traffic("gen", "p1", name="second", rate=2000, size="64-1500", hold=None).start()
    t.wait_count("p2", "rx_bypass_packets", 500, alive=[successor, gen])
    vm.qmp("cont")
    wait_until(lambda: "port p2 was given up: this virtual machine was paused" in loser.said(), PATIENCE,
               "the driver in the VM to say that its port is another's", loser.said, [vm])
    loser.quit()
    t.wait_count("p2", "rx_bypass_packets", t.end("p2")["rx_bypass_packets"] + 1000, alive=[successor, gen])
    gen.quit()
    sent = gen.result()["sent"]
    t.wait_count("p2", "rx_packets", sent)
    same(successor.quit(), 0, "exit status of the successor")
    clean(successor.result(), sent)
    t.wait_settled()
    t.receives(vm, "last")
    t.allow.append("cleaned up after")


@long
@seconds(300)
def test_reboot_and_power_off(t):
    """A VM that is reset, and one whose guest reboots, in the middle of traffic has its port again after it; when the
    guest powers off, or QEMU quits, the port is down, and the next VM has it"""
    t.line()
    vm = t.vm()

    def reset():
        vm.skip()
        vm.qmp("system_reset")
        vm.wait_boot()

    def power_off():
        vm.send("poweroff -f")
        same(vm.wait(PATIENCE), 0, "exit status of QEMU")

    def end():
        vm.qmp("quit")
        same(vm.wait(), 0, "exit status of QEMU")

    for number, how in enumerate((reset, vm.reboot, power_off, end)):
        _, gen = t.under_traffic(vm, f"gen{number}", rate=1000)
        how()
        gen.quit()
        if not vm.alive:
            t.wait_end("p2", "detached")
            vm.start()
        t.receives(vm, f"after{number}")
    t.allow.append("cleaned up after")


@seconds(120)
def test_guest_without_the_driver(t):
    """A VM that has the device but starts no application: its port stays down, and nothing else suffers."""
    bed = t.bed(3)
    bed.rules("in_port=1,actions=output:3")
    t.vm()
    same(t.end("p2")["state"], "detached", "the guest end")
    same(t.end("p2", HOST)["state"], "started", "the host end")
    same(bed.ovs.interface(bed.ovs_name("p2"))["link_state"], "down", "the port as the switch has it")
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


@long
@seconds(240)
def test_live_migration_without_the_region(t):
    """A VM whose region was taken out is migrated, and has its port again with a device that is plugged in at the
    destination"""
    t.line()
    vm = t.vm(spare_slots=1)
    t.receives(vm, "before")
    vm.qmp("device_del", id="ivshmem0")
    vm.qmp.wait_event("DEVICE_DELETED")
    vm.qmp("object-del", id="share0")
    by = f"unix:{t.lab.rundir}/{t.short}-migration"
    there = t.new_vm("there", shares=(), spare_slots=2, args=["-incoming", by])
    Process.start(there)  # its guest does not boot
    wait_until(lambda: there.qmp("query-status")["status"] == "inmigrate", PATIENCE, "the destination to wait", there,
               [there])
    vm.qmp("migrate", uri=by)
    wait_until(lambda: vm.qmp("query-migrate").get("status") in ("completed", "failed"), PATIENCE, "the migration", vm,
               [vm])
    same(vm.qmp("query-migrate")["status"], "completed", "the migration")
    path = t.region_path()
    there.qmp("object-add", qom_type="memory-backend-file", id="share0", share=True, mem_path=str(path),
              size=path.stat().st_size)
    there.qmp("device_add", driver="ivshmem-plain", id="ivshmem0", memdev="share0", bus="port0")
    wait_until(lambda: "0x1110" in there.shell("cat /sys/bus/pci/devices/*/device"), PATIENCE, "the device", there, [there])
    t.receives(there, "after")
