# SPDX-License-Identifier: BSD-3-Clause
"""D. highwayd and virtual machines: whose guest end is dead, and whose only waits."""

import time

from tests.system.h_kit import agent
from tests.system.kit import same, seconds, sure

from .kit import LAPSE, pick
from .rig import machine, monitors, wait_machine, wait_told


@seconds(240)
def test_a_paused_machine_keeps_its_port(t):
    """The port of a machine that is paused stays up however long that takes, and goes on when it is resumed"""
    bed = t.bed(2)
    one = agent(t, bed)
    vm = machine(t, bed, monitors(t, bed), 1)
    wait_machine(one, bed, 1)
    pmd = vm.testpmd(allow=pick(vm, "p1")).start()
    t.wait_end("p1", "started")
    vm.qmp("stop")
    wait_machine(one, bed, 1, "paused")
    until = time.monotonic() + LAPSE + 2
    while time.monotonic() < until:
        same(t.end("p1")["state"], "started", "the guest end of the paused machine")
        time.sleep(0.1)
    vm.qmp("cont")
    wait_machine(one, bed, 1)
    sure("Link status" in pmd.command("show port info 0"), "testpmd does not go on")
    until = time.monotonic() + LAPSE + 2
    while time.monotonic() < until:
        same(t.end("p1")["state"], "started", "the guest end of the resumed machine")
        time.sleep(0.1)


@seconds(300)
def test_a_dead_guest_is_declared_dead_by_the_event(t):
    """A reset, and QEMU's death, end the guest end although the machine is paused, so that no missing beat tells it; a
    successor takes the port"""
    bed = t.bed(2)
    one = agent(t, bed)
    folder = monitors(t, bed)
    vm = machine(t, bed, folder, 1)
    wait_machine(one, bed, 1)
    vm.testpmd(allow=pick(vm, "p1")).start()
    t.wait_end("p1", "started")
    vm.qmp("stop")
    wait_machine(one, bed, 1, "paused")
    vm.qmp("system_reset")
    reset = wait_told(one, "vm-reset")
    sure(bed.ovs_name("p1") in reset["text"], f"the port is not in: {reset['text']}")
    t.wait_end("p1", "detached", 20)
    vm.skip()
    vm.qmp("cont")
    vm.wait_boot()
    vm.testpmd(allow=pick(vm, "p1")).start()
    t.wait_end("p1", "started")
    vm.qmp("stop")
    wait_machine(one, bed, 1, "paused")
    vm.kill9()
    wait_told(one, "vm-gone")
    t.wait_end("p1", "detached", 20)
