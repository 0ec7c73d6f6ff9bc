# SPDX-License-Identifier: BSD-3-Clause
"""C. What a virtual machine can reach of other ones' memory."""

import os

from tests.system.kit import long, same, seconds, sure

from .rig import Chain


def _write(path, secret, back):
    """Puts the bytes near the end of a region, where no buffer is taken soon."""
    with open(path, "r+b", buffering=0) as file:
        file.seek(-back, os.SEEK_END)
        file.write(bytes.fromhex(secret))


def _search(vm, *patterns):
    said = vm.shell("vm-peek " + " ".join(patterns), 120).split()
    return {name: int(value) for name, value in zip(said[::2], said[1::2])}


@seconds(240)
def test_nothing_of_others(t):
    """From inside VM A every BAR it has is read: of its own region all is there, of the regions of others no byte."""
    secret, mine = os.urandom(24).hex(), os.urandom(24).hex()
    names = [t.domain, t.domain + "b", t.domain + "c"]
    for name in names:
        t.host(1, name=f"host-{name}", domain=name)
        for back in (70001, 4096 * 100 + 5, 4096 * 3, 40):
            _write(t.region_path(name), mine if name == t.domain else secret, back)
    vm = t.vm("a")
    other = t.vm("b", shares=[t.region_path(names[1])])
    found = _search(vm, secret, mine)
    same((found[secret], found[mine]), (0, 1), "BARs of VM A with others' secret, and with its own")
    sure(found["bytes"] >= t.region_path().stat().st_size, f"all of the region was read: {found}")
    same(_search(other, secret, mine), {**found, secret: 1, mine: 0}, "the same in VM B")


@long
@seconds(240)
def test_nothing_of_others_links(t):
    """Inside VM A, which has a link to VM B, every BAR is read: its own port's and link's regions are there, and no byte of
    the others' ports, or of the link between B and C, which in C is there"""
    chain = Chain(t)
    chain.start()
    for way in chain.ways:
        chain.join(*way)
    chain.wait_bypassed(*chain.ways)
    chain.stop()
    same(len(chain.files()), 2, "link regions")
    files = {name: chain.path(n) for n, name in enumerate(("p1", "p2", "p3", "p4"), 1)}
    for name in ("p1", "p3"):
        with t.region(f"@{name}") as region:
            identity = next(slot[2] for slot in region.slots(name) if slot[0][0] != "free")
        files[f"link of {name}"] = t.dir / f"+{identity:016x}"
    secrets = {name: os.urandom(24).hex() for name in files}
    for name, path in files.items():
        for back in (70001, 4096 * 3, 40):
            _write(path, secrets[name], back)
    for number, has in ((0, ("p1", "link of p1")), (2, ("p4", "link of p3"))):
        found = _search(chain.vms[number], *secrets.values())
        same({name: found[secret] for name, secret in secrets.items()}, {name: int(name in has) for name in secrets},
             f"BARs of VM {'ABC'[number]} with what was written where")
        sure(found["bytes"] >= sum(files[name].stat().st_size for name in has), f"all of it was read: {found}")


@seconds(120)
def test_foreign_device_is_left_alone(t):
    """An ivshmem device that holds something else is ignored and left disabled; the one with a region is found."""
    t.bed(1)
    foreign = t.dir / f"{t.short}.foreign"
    foreign.write_bytes(os.urandom(1 << 20))
    t.defer(foreign.unlink)
    before = foreign.read_bytes()
    vm = t.vm(shares=[foreign, t.region_path()])
    addresses = vm.devices()
    pmd = vm.testpmd().start()
    same(pmd.port_info(0)["MAC address"], t.end("p1")["mac"], "address of the port")
    sure("Invalid port" in pmd.command("show port info 1"), "there is one port only")
    pmd.quit()
    same(vm.shell(f"cat /sys/bus/pci/devices/{addresses[0]}/enable").strip(), "0", "enable of the foreign device")
    same(vm.shell(f"cat /sys/bus/pci/devices/{addresses[1]}/enable").strip(), "1", "enable of ours")
    same(foreign.read_bytes(), before, "what the foreign device holds")
    sure("no ivshmem-plain device" in _fails(vm, addresses[0]), "naming the foreign device is an error that says so")


def _fails(vm, address):
    """What testpmd says to a device that it cannot have."""
    pmd = vm.testpmd(vdevs=[f"net_highway0,pci={address},port=p1"])
    return vm.shell(pmd.line.replace(" -i ", " ") + " </dev/null", 120, check=False)
