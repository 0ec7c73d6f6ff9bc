# SPDX-License-Identifier: BSD-3-Clause
"""What the tests with virtual machines add to those of tests/system/kit.py."""

import shutil

from lab import LabError, wait_until
from lab.vm import GuestImage, Vm
from tests.system.kit import Skip, Test
from tests.system.region import GUEST

_images = {}

PATIENCE = 60
"""Seconds for what an emulated guest does in one while the machine is saturated."""


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

    def vm(self, name="vm", shares=None, **options):
        """A virtual machine that has booted, with the test's region (or 'shares')."""
        if shares is None:
            shares = [self.region_path()]
        one = Vm(self.lab, f"{self.short}-{name}", self.image(), shares, **options)
        self.defer(one.stop)
        return one.start()

    def wait_end(self, port, state, deadline_s=PATIENCE, role=GUEST):
        """Waits for an end of 'port' to be in 'state'."""
        wait_until(lambda: self.end(port, role)["state"] == state, deadline_s, f"{port} to be {state}",
                   lambda: str(self.end(port, role)))

    def wait_count(self, port, key, want, deadline_s=PATIENCE, log=None, alive=()):
        """Waits until a counter of the port's guest end is at least 'want'."""
        wait_until(lambda: self.end(port)[key] >= want, deadline_s, f"{port} to have {want} {key}",
                   log or (lambda: str(self.end(port))), alive)


def pick(vm, *ports, device=0, idle="yield"):
    """What to give as 'allow' for these ports of the guest's device."""
    words = [vm.devices()[device], *(f"port={port}" for port in ports), f"idle={idle}"]
    return [",".join(words)]
