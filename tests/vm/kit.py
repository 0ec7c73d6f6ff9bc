# SPDX-License-Identifier: BSD-3-Clause
"""What the tests with virtual machines add to those of tests/system/kit.py."""

import shutil

from lab import LabError, wait_until
from lab.vm import GuestImage, Vm
from tests.system.kit import Skip, Test, clean, same
from tests.system.region import GUEST

_images = {}

PATIENCE = 60
"""Seconds for what an emulated guest does in one while the machine is saturated."""
LAPSE = 5
"""Seconds without a beat after which a guest end is taken for dead (HWY_BEAT_LAPSE_MS)."""


class VmTest(Test):
    """A test's view of the bench, with virtual machines."""

    def image(self):
        """The guest's image, made once."""
        if "image" not in _images:
            for program in ("qemu-system-x86_64", "cpio", "busybox"):
                if not shutil.which(program):
                    raise Skip(f"{program} is not installed: see setup/packages")
            try:
                _images["image"] = GuestImage(self.bench.build, [self.bench.build / "tests/vm-peek"])
            except LabError as error:
                raise Skip(str(error)) from error
        return _images["image"]

    def new_vm(self, name="vm", shares=None, **options):
        """A virtual machine with the test's region (or 'shares'), not started."""
        if shares is None:
            shares = [self.region_path()]
        one = Vm(self.lab, f"{self.short}-{name}", self.image(), shares, **options)
        self.defer(one.stop)
        return one

    def vm(self, name="vm", shares=None, **options):
        """The same, booted."""
        return self.new_vm(name, shares, **options).start()

    def line(self):
        """A bed whose rule makes a link from p1 to p2."""
        bed = self.bed(2)
        bed.rules("in_port=1,actions=output:2")
        return bed

    def wait_end(self, port, state, deadline_s=PATIENCE, role=GUEST):
        """Waits for an end of 'port' to be in 'state'."""
        wait_until(lambda: self.end(port, role)["state"] == state, deadline_s, f"{port} to be {state}",
                   lambda: str(self.end(port, role)))

    def wait_count(self, port, key, want, deadline_s=PATIENCE, log=None, alive=()):
        """Waits until a counter of the port's guest end is at least 'want'."""
        wait_until(lambda: self.end(port)[key] >= want, deadline_s, f"{port} to have {want} {key}",
                   log or (lambda: str(self.end(port))), alive)

    def wait_settled(self):
        """Waits until nobody is left who is dead, and every buffer is accounted for."""
        def look():
            with self.region() as region:
                return region.lost_chunks() == 0
        wait_until(look, PATIENCE, "every buffer to be accounted for", lambda: str(self.region().owners()))

    def say(self, port, word):
        """The operator says what is known of the port's virtual machine: gone, paused, running."""
        self.ctl("--dir", self.dir, "--domain", self.domain, "set", "port", port, f"guest={word}")

    def under_traffic(self, vm, name="gen", **options):
        """(sink, generator): a process sends from p1 to the guest's p2, by the bypass already."""
        sink = vm.traffic("sink", allow=pick(vm, "p2"), behind=True).start()
        options = {"rate": 2000, "size": "600-1500", "drop_on_full": True, **options}
        gen = self.traffic("gen", "p1", name=name, hold=None, **options).start()
        self.wait_count("p2", "rx_bypass_packets", self.end("p2")["rx_bypass_packets"] + 500, log=vm, alive=[vm, gen])
        return sink, gen

    def receives(self, vm, name, port="p2"):
        """Packets of a process reach the guest, all of them, by the bypass too."""
        sink = vm.traffic("sink", allow=pick(vm, port)).start()
        gen = self.traffic("gen", "p1", name=name, rate=2000, count=2000, control=False).start()
        same(gen.wait(PATIENCE), 0, "exit status of the generator")
        self.wait_count(port, "rx_packets", 2000, log=vm, alive=[vm])
        clean(sink.quit(), 2000)


def pick(vm, *ports, device=0, idle="yield"):
    """What to give as 'allow' for these ports of the guest's device."""
    words = [vm.devices()[device], *(f"port={port}" for port in ports), f"idle={idle}"]
    return [",".join(words)]
