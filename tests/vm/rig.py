# SPDX-License-Identifier: BSD-3-Clause
"""Virtual machines that highwayd follows, and links that are plugged in between them under traffic."""

import re
import statistics
import time

from lab import wait_until
from tests.system.h_kit import agent, wait_explained
from tests.system.kit import ISOLATED, clean, patient, same, sure
from tests.system.region import Region

from .kit import PATIENCE, pick

UUID = "cccc0000-1111-2222-3333-%012d"
STEPS = ("detected", "region made", "plugged", "seen", "mapped", "opened", "first packet")
FLAP_S = 1.2
"""A proof that is withdrawn twice within HWY_FLAP_MS is given only after a while: no measure of a set-up."""
GROWTH_KB = 8192
"""What QEMU, the switch and an application may allocate meanwhile: caches, threads.  A link region has several MiB."""
GROWTH_HIGHWAYD_KB = 2048
"""Its journal grows until it is full: 664 KiB in 49 links."""


def monitors(t, bed, spare_links=0):
    """A folder for monitors' sockets, which highwayd is told of."""
    folder = t.lab.rundir / f"{t.short}-monitors"
    folder.mkdir()
    bed.ovs.vsctl("set", "Open_vSwitch", ".", f"other_config:highway-qmp-dir={folder}",
                  f"other_config:highway-spare-links={spare_links}")
    for key in ("highway-qmp-dir", "highway-spare-links"):
        t.defer(bed.ovs.vsctl, "remove", "Open_vSwitch", ".", "other_config", key)
    return folder


def machine(t, bed, folder, number, ports=None, **options):
    """Virtual machine vm<number> of these ports, p<number> if none are named, with a monitor for highwayd."""
    uuid = UUID % number
    for port in ports or (number,):
        bed.ovs.vsctl("set", "Interface", bed.ovs_name(f"p{port}"), f"external_ids:vm-uuid={uuid}")
    args = ["-name", f"vm{number}", "-uuid", uuid, "-qmp", f"unix:{folder}/vm{number}.sock,server=on,wait=off"]
    return t.vm(f"vm{number}", args=[*args, *options.pop("args", ())], **options)


def wait_machine(one, bed, number, state="running"):
    """Waits until highwayd says so of the machine of port p<number>."""
    wait_explained(one, bed.ovs_name(f"p{number}"), lambda s: s["machine"]["state"] == state,
                   f"the machine of p{number} to be {state}", PATIENCE)


def wait_told(one, kind, count=1):
    """Waits for so many events of the kind; returns the last."""
    return wait_until(lambda: len(one.events(kind)) >= count and one.events(kind)[-1], PATIENCE, f"{kind}",
                      lambda: one.appctl("events"), [one])


def backends(vm):
    """Memory that highwayd has given the machine."""
    return sorted(o["name"] for o in vm.qmp("qom-list", path="/objects") if o["name"].startswith("hwy-"))


def devices(vm):
    """Link devices that the machine has."""
    return sorted(o["name"] for o in vm.qmp("qom-list", path="/machine/peripheral") if o["name"].startswith("hwy-"))


def _memory(pid):
    """KiB of memory that a process has to itself."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmData:\s*(\d+)", status.read())[1])


def _mapped(pid):
    """How often it has mapped a link region."""
    with open(f"/proc/{pid}/maps") as maps:
        return sum("/+" in line for line in maps)


class Rig:
    """A bridge with isolated ports, highwayd, and machines that have them; running when the constructor returns.

    'ports': the numbers of the ports of each machine, in turn; 'others': how many more ports there are, behind those;
    'kinds': the type of each machine, or of all; 'args': more of QEMU's arguments.
    """

    def __init__(self, t, ports, kinds="q35", *, others=0, spare_links=0, spare_slots=3, args=()):
        self.t = t
        self.ports = [n for some in ports for n in some]
        self.ports += range(len(self.ports) + 1, len(self.ports) + 1 + others)
        self.bed = t.bed(len(self.ports), domain=ISOLATED)
        self.one = agent(t, self.bed)
        self.bed.ovs.set_other_config(pmd_maxsleep=500)
        t.defer(self.bed.ovs.set_other_config, pmd_maxsleep=0)
        folder = monitors(t, self.bed, spare_links)
        if isinstance(kinds, str):
            kinds = [kinds] * len(ports)
        self.vms = [machine(t, self.bed, folder, n, some, shares=[self.path(port) for port in some], machine=kind,
                            spare_slots=spare_slots, vcpus=2, args=args)
                    for n, (some, kind) in enumerate(zip(ports, kinds), 1)]
        for some in ports:
            wait_machine(self.one, self.bed, some[0])
        self.guests = []  # applications that are looked at for what they hold

    def path(self, number):
        return self.t.region_path(f"@p{number}")

    def end(self, number):
        return self.t.end(f"p{number}", domain=f"@p{number}")

    def traffic(self, vm, mode, **options):
        """Our generator or sink, running in the background of the machine's guest."""
        return vm.traffic(mode, allow=pick(vm, idle="sleep"), behind=True, idle="sleep", **options).start()

    # -- rules --------------------------------------------------------------

    def steer(self, x, y):
        """A rule that looks into the packet: it proves nothing."""
        self.bed.rules(f"priority=1,in_port={x},udp,actions=output:{y}")

    def join(self, x, y):
        """A rule that makes a link from x to y."""
        self.bed.rules(f"priority=100,in_port={x},actions=output:{y}")

    def part(self, x):
        """It goes, and with it the link."""
        self.bed.delete(f"priority=100,in_port={x}", strict=True)

    def shatter(self, x, y):
        """A rule of a higher priority breaks the link, and leads the packets where they went."""
        self.bed.rules(f"priority=200,in_port={x},udp,actions=output:{y}")

    def mend(self, x):
        self.bed.delete(f"priority=200,in_port={x},udp", strict=True)

    # -- what happens -------------------------------------------------------

    def wait(self, condition, what):
        """Waits; what lives now is to go on living."""
        wait_until(condition, PATIENCE, what, lambda: self.one.appctl("machines") + self.one.appctl("events"),
                   [*(vm for vm in self.vms if vm.alive), self.one])

    def wait_started(self, *numbers):
        for n in numbers:
            self.wait(lambda: self.end(n)["state"] == "started", f"p{n} to be started")

    def more(self, number, key, count=200):
        """Waits until the guest end has counted so many more."""
        mark = self.end(number)[key]
        self.wait(lambda: self.end(number)[key] >= mark + count, f"{count} more {key} of p{number}")

    def wait_bypassed(self, *ways, count=200):
        """Waits until so many packets of each way went by its link, and none by the switch."""
        def counts(kind):
            return [self.end(y)[f"rx_{kind}_packets"] for _, y in ways]

        def undisturbed():
            switched, mark = counts("normal"), counts("bypass")
            self.wait(lambda: all(now >= was + count for now, was in zip(counts("bypass"), mark)),
                      f"{count} packets each by the links {ways}")
            return counts("normal") == switched

        self.wait(undisturbed, f"no packet to take the switch on the ways {ways}")

    def still(self, *generators, arrived):
        """Stops generators, and waits until nothing moves and all has 'arrived'."""
        for generator in generators:
            generator.control("stop")

        def counts():
            return [(self.end(n)["tx_packets"], self.end(n)["rx_packets"]) for n in self.ports]

        def is_still():
            before = counts()
            time.sleep(0.3)  # some 150 packets, else
            return counts() == before and arrived()

        self.wait(is_still, "all packets to arrive")

    def wait_counted(self):
        """Waits until the controller is told of each port what its guest end has counted."""
        for n in self.ports:
            end = self.end(n)
            self.bed.wait_port(n, rx_pkts=end["tx_packets"], rx_bytes=end["tx_bytes"], tx_pkts=end["rx_packets"],
                               tx_bytes=end["rx_bytes"])

    # -- what is there ------------------------------------------------------

    def plugged(self):
        """How many devices highwayd has plugged into each machine, or is about to; None of one that it does not know."""
        known = {m["name"]: m["plugged"] for m in self.one.ask("machines")["machines"]}
        return [known.get(f"vm{n}") for n in range(1, len(self.vms) + 1)]

    def used(self):
        """Attach slots that are not free."""
        found = []
        for n in self.ports:
            with Region(self.path(n)) as region:
                found += [slot for slot in region.slots(f"p{n}") if slot[0][0] != "free"]
        return found

    def files(self):
        """Link regions."""
        return sorted(path.name for path in self.t.dir.glob("+*"))

    def wait_taken_out(self, plugged=0):
        """Waits until no link is left, and so many devices in each machine that lives."""
        self.wait(lambda: all(n == plugged for n, vm in zip(self.plugged(), self.vms) if vm.alive) and not self.used()
                  and len(self.files()) == plugged, "the devices to be taken out")

    def held(self):
        """What links take: memory backends, root ports, files, mappings, file descriptors, KiB of memory."""
        programs = (*self.vms, self.one, self.bed.ovs.vswitchd)
        guests = [guest.held() for guest in self.guests]
        return {"backends": [backends(vm) for vm in self.vms], "files": self.files(),
                "ports": {m["name"]: m["free_root_ports"] for m in self.one.ask("machines")["machines"]},
                "mapped": [_mapped(p.pid) for p in programs],
                "bars and devices of guests": [(guest["bars"], guest["devices"]) for guest in guests],
                "fds": [p.fds() for p in programs] + [guest["fds"] for guest in guests],
                "memory": [_memory(p.pid) for p in programs] + [guest["memory"] for guest in guests]}

    def wait_held(self, want):
        """Waits until no more is held than 'want'; others' file descriptors and memory come and go a little."""
        room = [GROWTH_KB] * len(want["memory"])
        room[len(self.vms)] = GROWTH_HIGHWAYD_KB

        def is_back():
            now = self.held()
            return (all(a <= b + 1 for a, b in zip(now.pop("fds"), want["fds"]))
                    and all(a <= b + c for a, b, c in zip(now.pop("memory"), want["memory"], room))
                    and all(now[key] == want[key] for key in now))

        wait_until(is_back, PATIENCE, f"what is held to be {want}", lambda: str(self.held()))


class Pair(Rig):
    """A generator in one machine and a sink in another, whose isolated ports a link comes and goes between."""

    def __init__(self, t, kinds="q35", **options):
        super().__init__(t, ((1,), (2,)), kinds, **options)
        self.times = []

    def start(self, **options):
        """Numbered packets from one to the other, by the switch."""
        self.steer(1, 2)
        self.start_sink()
        self.gen = self.traffic(self.vms[0], "gen", rate=1000, size="64-1500", hold=True, **options)
        self.wait_started(1, 2)
        self.gen.control("start")
        self.more(2, "rx_packets")

    def start_sink(self):
        self.sink = self.traffic(self.vms[1], "sink")

    def come(self):
        """A rule makes the link; notes how long that took."""
        before = self.end(2)["rx_bypass_packets"], len(self.one.events("first-packet"))
        self.join(1, 2)
        told = wait_told(self.one, "first-packet", before[1] + 1)
        parts = {step: told["parts_us"][step] for step in STEPS if step in told["parts_us"]}
        same(sum(parts.values()), told["took_us"], "the sum of the parts")
        self.times.append(told["took_us"] / 1e3)
        self.t.note(f"set-up {self.times[-1]:.1f} ms: "
                    + ", ".join(f"{step} {us / 1e3:.1f}" for step, us in parts.items()))
        self.wait(lambda: self.end(2)["rx_bypass_packets"] > before[0] + 200, "packets by the link")
        return parts

    def go(self, plugged=0):
        """The rule goes, and with it the link."""
        self.part(1)
        self.wait_taken_out(plugged)

    def cycle(self, times):
        """The link comes and goes under traffic, again and again; nothing is left of it."""
        self.guests = [self.gen, self.sink]
        before = self.held()
        same((before["backends"], before["files"]), ([[], []], []), "what is held before the first link")
        for number in range(times):
            parts = self.come()
            sure(list(parts) == list(STEPS), f"the time line lacks steps: {parts}")
            self.go()
            if number == 0:
                before = self.held()  # with the ledger, and what is allocated once
            self.wait_held(before)
            time.sleep(FLAP_S)
        grown = [now - then for now, then in zip(self.held()["memory"], before["memory"])]
        self.t.note(f"KiB more of memory, of both QEMUs, highwayd, the switch, generator and sink: {grown}")

    def finish(self):
        """The traffic ends; every packet arrived once, in order."""
        sent = self.gen.quit()
        self.wait(lambda: self.end(2)["rx_packets"] >= sent["sent"], f"{sent['sent']} packets to arrive")
        clean(self.sink.quit(), sent["sent"])
        if self.times:
            self.t.note(f"{len(self.times)} set-ups: median {statistics.median(self.times):.1f} ms, "
                        f"{min(self.times):.1f} to {max(self.times):.1f} ms; {sent['sent']} packets")


class Chain(Rig):
    """Three machines: the middle one's testpmd forwards between the outer ones, each of which has a generator and a sink.

    [vm1] p1 --- p2 [vm2: testpmd] p3 --- p4 [vm3]     each '---' leads through the switch, both ways
    """

    ways = ((1, 2), (2, 1), (3, 4), (4, 3))
    rate = 500
    """Packets a second each way: what three emulated guests and a switch carry on two processors that others use too."""

    def __init__(self, t):
        super().__init__(t, ((1,), (2, 3), (4,)), ("pc", "q35", "pc"))
        for way in self.ways:
            self.steer(*way)
        pmd = self.vms[1].testpmd(allow=[f"{address},idle=sleep" for address in self.vms[1].devices()]).start()
        patient(pmd)
        pmd.start_forwarding()
        self.ends = [self.traffic(self.vms[n], "gensink", id=n, rate=self.rate, size="64-1500", hold=True, drain=3000)
                     for n in (0, 2)]
        self.guests = list(self.ends)
        self.wait_started(*self.ports)

    def start(self):
        for end in self.ends:
            end.control("start")

    def stop(self):
        """Nothing is sent any more, and all that was has arrived."""
        self.still(*self.ends, arrived=lambda: all(self.end(x)["tx_packets"] == self.end(y)["rx_packets"]
                                                   for x, y in self.ways))

    def finish(self):
        """Each end has what the other one has sent, once, in order, whole."""
        self.stop()
        reports = [end.quit() for end in self.ends]
        for there, here in (reports, reversed(reports)):
            same({key: here[key] for key in ("received", "duplicated", "reordered", "corrupted", "untracked", "foreign")},
                 {"received": there["sent"], "duplicated": 0, "reordered": 0, "corrupted": 0, "untracked": 0, "foreign": 0},
                 "what arrived of what was sent at the other end")
        self.t.note(f"{[report['sent'] for report in reports]} packets each way, all of them arrived")
