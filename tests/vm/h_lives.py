# SPDX-License-Identifier: BSD-3-Clause
"""H. Links between virtual machines one of which restarts, ends or dies."""

import signal

from tests.system.kit import clean, long, same, seconds

from .kit import PATIENCE
from .rig import Pair, backends, devices, wait_machine


def _returns(pair):
    """The receiver's application is there again, and the rule: so is the link."""
    if not pair.vms[1].alive:
        pair.vms[1].start()
    pair.start_sink()
    pair.wait_bypassed((1, 2))


def _finish(pair):
    """The last of the sink's lives saw nothing twice, out of order or damaged, and no gap."""
    pair.gen.quit()
    clean(pair.sink.quit())


@long
@seconds(400)
def test_a_link_ends_and_returns_with_its_guest(t):
    """The application of the receiving machine is killed, its guest reboots, its guest powers off: each time nothing of the
    link is left, and it is there again with the application"""
    pair = Pair(t)
    pair.start()
    pair.join(1, 2)
    pair.wait_bypassed((1, 2))
    vm = pair.vms[1]

    def power_off():
        vm.send("poweroff -f")
        same(vm.wait(PATIENCE), 0, "exit status of QEMU")

    for end in (lambda: pair.sink.kill9(), vm.reboot, power_off):
        end()
        pair.wait_taken_out()
        same([backends(one) for one in pair.vms if one.alive], [[] for one in pair.vms if one.alive], "memory in machines")
        _returns(pair)
    _finish(pair)
    t.allow.append("cleaned up after")


def _mute(pair):
    """Its QEMU answers nothing, so that object-add is under way when it dies."""
    stays, dies = pair.vms
    dies.signal(signal.SIGSTOP)
    pair.join(1, 2)
    pair.wait(lambda: backends(stays), "memory in the other machine")


def _blind(pair):
    """Its guest stands still: it has the device, and dies before it has seen it."""
    stays, dies = pair.vms
    dies.qmp("stop")
    wait_machine(pair.one, pair.bed, 2, "paused")
    pair.join(1, 2)
    pair.wait(lambda: devices(stays) and devices(dies), "the device in both machines")


def _deaf(pair):
    """Its guest stands still while the device is taken out: it dies before it has given it back."""
    stays, dies = pair.vms
    pair.join(1, 2)
    pair.wait_bypassed((1, 2))
    dies.qmp("stop")
    wait_machine(pair.one, pair.bed, 2, "paused")
    pair.part(1)
    pair.wait(lambda: not devices(stays), "the device of the other machine to be taken out")
    same(len(devices(dies)), 1, "devices in the machine whose guest stands still")


@long
@seconds(400)
def test_qemu_is_gone_between_two_steps(t):
    """QEMU dies with -9 while memory is added to it, before its guest has seen the device, and before it has given it back:
    the other machine and the switch keep nothing of the link, which returns with the machine"""
    pair = Pair(t)
    pair.start()
    for until in (_mute, _blind, _deaf):
        until(pair)
        pair.vms[1].kill9()
        pair.wait_taken_out()
        same(backends(pair.vms[0]), [], "memory in the other machine")
        pair.join(1, 2)
        _returns(pair)
        pair.go()
    _finish(pair)
    t.allow.append("cleaned up after")
