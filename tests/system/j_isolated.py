# SPDX-License-Identifier: BSD-3-Clause
"""J. Ports without domain=: a region each, which only the switch and the VNF map."""

import errno
import json
import os
import socket
import struct

from lab import wait_until

from .h_kit import agent
from .kit import HOST, ISOLATED, clean, finish, go, same, seconds, sure

LINE = ("in_port=1,actions=output:2", "in_port=2,actions=output:1")


def _bed(t, ports=2, **options):
    return t.bed(ports, domain=ISOLATED, **options)


def _mapped(pid, folder):
    """Files of the folder that the process has mapped."""
    with open(f"/proc/{pid}/maps") as maps:
        return {line.rsplit("/", 1)[1].strip() for line in maps if str(folder) + "/" in line}


def test_a_port_without_a_domain_has_a_region_of_its_own(t):
    """Each port without domain= has a region of its own, named by the port, which its VNF alone maps besides the
    switch, and highwayctl shows it"""
    bed = _bed(t)
    first, second = (t.testpmd(f"vnf{n}", t.guests(f"p{n}", domain=ISOLATED)).start() for n in (1, 2))
    for number, one in ((1, first), (2, second)):
        with t.region(f"@p{number}") as region:
            same(region.kind, 1, f"kind of the region of p{number}")
            same(list(region.ports()), [f"p{number}"], "its ports")
            same(region.end(f"p{number}", 1)["state"], "started", "its guest end")
        same(_mapped(one.pid, t.dir), {f"@p{number}"}, f"what {one.name} maps")
    same(_mapped(bed.ovs.vswitchd.pid, t.dir), {"@p1", "@p2"}, "what the switch maps")
    shown = json.loads(t.ctl("--json", f"--dir={t.dir}", "show"))["domains"]
    same([(one["name"], one["kind"]) for one in shown if one["name"][0] == "@"], [("@p1", "port"), ("@p2", "port")],
         "what highwayctl shows")
    sure("port p1: " in t.ctl(f"--dir={t.dir}", "show"), "its title")
    same(t.ctl(f"--dir={t.dir}", "set", "port", "p1", "bypass=off").strip()[:7], "port p1", "highwayctl set")


def test_keep_no_removes_the_region_with_its_last_user(t):
    """The last user removes the region, unless keep=yes was the last word of one of its users"""
    path = t.region_path("@p1")
    for words, kept in (({}, False), ({"keep": "yes"}, True), ({}, True), ({"keep": "no"}, False)):
        pmd = t.testpmd(f"pmd{next(t.bench.numbers)}", t.guests("p1", domain=ISOLATED, **words)).start()
        sure(path.exists(), "the region is not there")
        same(pmd.quit(), 0, "exit status")
        same(path.exists(), kept, f"is the region there after {words or 'no word'}?")


@seconds(120)
def test_no_class_is_a_route_between_isolated_ports(t):
    """Rules that open links within a domain leave isolated ports at the switch, and their counters are exact"""
    bed = _bed(t)
    bed.rules(*LINE)
    one = t.traffic("gensink", "p1", "p2", rate=20e3, count=20000, domain=ISOLATED, bidir=True).start()
    go(one)
    wait_until(lambda: all(t.end(f"p{n}", domain=f"@p{n}")["rx_packets"] >= 20000 for n in (1, 2)), 30,
               "20,000 packets each way", one, [one])
    for n in (1, 2):
        same(t.end(f"p{n}", domain=f"@p{n}")["tx_bypass_packets"], 0, f"packets of p{n} by a link")
        same(t.links(f"@p{n}"), {}, f"links of p{n}")
    report = clean(finish(one))
    bed.wait_packets((report["sent"], report["sent_bytes"]))


def test_isolated_ports_pass_by_the_switch_and_are_copied(t):
    """Packets of all sizes reach the other port by the switch, which copies each into memory of its own"""
    bed = _bed(t)
    bed.rules(*LINE)
    t.once("p1", "p2", count=5000, size="64-1500", domain=ISOLATED)
    host = t.end("p1", HOST, domain="@p1")
    sure(host["rx_copied"] > 1000, f"packets that the switch copied: {host}")
    same(host["rx_zero_copy"], 0, "packets that it did not")
    same(host["rx_copied"] + host["rx_inlined"], host["rx_packets"], "all of them")


def _wait_far(t, *ways, agent=None):
    """Waits until the links are open, as the sender's region has it.  A VNF that has not mapped
    the link region within 3 s has to be tried again, after pauses that grow."""
    def are_open():
        return all(t.links(f"@{src}").get((src, dst)) == "open" and dst in t.routed(src, f"@{src}") for src, dst in ways)
    wait_until(are_open, 45, f"links {ways} to be open", agent and agent.logfile)


@seconds(120)
def test_a_proof_opens_a_link_between_isolated_ports(t):
    """With a proof two isolated ports get a link region, which their two VNFs and the switch map, and their packets
    leave the switch; nothing is lost and all counters are exact"""
    bed = _bed(t)
    bed.rules(*LINE)
    one = agent(t, bed)
    source = t.traffic("gensink", "p1", "p2", rate=20e3, size="64-1500", domain=ISOLATED, bidir=True).start()
    go(source)
    _wait_far(t, ("p1", "p2"), ("p2", "p1"), agent=one)
    for n in (1, 2):
        wait_until(lambda: t.end(f"p{n}", domain=f"@p{n}")["rx_bypass_packets"] > 20000, 20, "20,000 packets by the link",
                   source, [source])
    report = clean(finish(source))
    _exact(bed, report)


def _exact(bed, report):
    """The rules and ports 1 and 2 of the bed count what the program has sent by its two ports."""
    first, second = ((port["opackets"], port["obytes"]) for port in report["per_port"])
    bed.wait_packets(first, "in_port=1")
    bed.wait_packets(second, "in_port=2")
    for number, (sent, got) in ((1, (first, second)), (2, (second, first))):
        bed.wait_port(number, rx_pkts=sent[0], rx_bytes=sent[1], tx_pkts=got[0], tx_bytes=got[1])


@seconds(120)
def test_a_proof_opens_a_link_between_two_domains(t):
    """Without a proof the packets of one domain's port reach another domain's by the switch; with one they take a link,
    and all counters are exact"""
    other = f"{t.domain}b"
    bed = t.bed({1: "p1"})
    bed.ports[2] = "p2"
    bed.add(2, "p2", domain=other)
    bed.rules(*LINE)
    source = t.traffic("gensink", "p1", ("p2", {"domain": other}), rate=20e3, size="64-1500", bidir=True).start()
    go(source)
    wait_until(lambda: t.end("p2", domain=other)["rx_packets"] > 5000, 20, "5,000 packets", source, [source])
    same((t.links(), t.links(other)), ({}, {}), "links without a proof")
    one = agent(t, bed)
    for src, dst, domain in (("p1", "p2", t.domain), ("p2", "p1", other)):
        wait_until(lambda s=src, d=dst, o=domain: t.links(o).get((s, d)) == "open", 20, f"the link from {src} to {dst}",
                   one.logfile)
        wait_until(lambda s=src, o=domain: t.end(s, domain=o)["tx_bypass_packets"] > 5000, 20, "5,000 packets by it",
                   source, [source])
    _exact(bed, clean(finish(source)))


ASIDE = "priority=65000,in_port=1,actions=output:2,output:3"
"""Takes the proof away, and leaves every packet its way to port 2."""


def _pair(t, bed, rate=20e3, **options):
    """A generator at p1 and a sink at p2, a process each, running."""
    sink = t.sink("p2", domain=ISOLATED)
    source = t.traffic("gen", "p1", rate=rate, size="64-1500", domain=ISOLATED, **options).start()
    go(source)
    return source, sink


def _wait_closed(t, *ports, deadline_s=20):
    """Waits until nothing of a link region is left: no link, no slot, no file."""
    def closed():
        for port in ports:
            with t.region(f"@{port}") as region:
                if region.links() or any(want[0] != "free" for want, _, _ in region.slots(port)):
                    return False
        return not list(t.dir.glob("+*"))

    def state():
        found = [f.name for f in t.dir.glob("+*")]
        for port in ports:
            with t.region(f"@{port}") as region:
                found += [port, region.links(), region.slots(port)[:2]]
        return str(found)
    wait_until(closed, deadline_s, f"the link region of {ports} to be gone", state)


def _more(t, port, kind, count, *programs):
    key = f"tx_{kind}_packets"
    mark = t.end(port, domain=f"@{port}")[key]
    wait_until(lambda: t.end(port, domain=f"@{port}")[key] >= mark + count, 20, f"{count} packets of {port} by {kind}",
               lambda: str(t.end(port, domain=f"@{port}")), programs)


def _fds(*programs):
    """Open files and mappings of link regions of processes."""
    return [(len(os.listdir(f"/proc/{one.pid}/fd")), sum("/+" in line for line in open(f"/proc/{one.pid}/maps")))
            for one in programs]


@seconds(300)
def test_50_links_between_isolated_ports_come_and_go_under_traffic(t):
    """50 times a rule takes the proof away and gives it back under traffic: each time a link region comes and goes
    whole, nothing is lost, duplicated or reordered, and no file, mapping or slot is left"""
    bed = _bed(t, 3)
    bed.rules(*LINE)
    one = agent(t, bed)
    source, sink = _pair(t, bed)
    before = None

    def fds():
        return _fds(source, sink, bed.ovs.vswitchd, one)
    for _ in range(50):
        _wait_far(t, ("p1", "p2"), agent=one)
        _more(t, "p1", "bypass", 100, source, sink)
        bed.rules(ASIDE, "priority=65000,in_port=2,actions=output:1,output:3")
        _wait_closed(t, "p1", "p2")
        _more(t, "p1", "normal", 100, source, sink)
        before = before or [sum(n) for n in fds()]
        # One that a client of the switch's has just closed may still be there.
        wait_until(lambda b=before: all(n <= most for n, most in zip(map(sum, fds()), b)), 10,
                   f"no more files and mappings than {before}", lambda: str(fds()))
        bed.delete("priority=65000,in_port=1", strict=True)
        bed.delete("priority=65000,in_port=2", strict=True)
    _wait_far(t, ("p1", "p2"), agent=one)
    report = finish(source)
    wait_until(lambda: t.end("p2", domain="@p2")["rx_packets"] >= report["sent"], 20, "the last packets", sink, [sink])
    clean(finish(sink), report["sent"])
    for number, side in ((1, "rx"), (2, "tx")):
        bed.wait_port(number, **{f"{side}_pkts": report["sent"], f"{side}_bytes": report["sent_bytes"]})
    same(len(one.events("proven")) >= 51, True, "proofs in the journal")


def _beats(t, count, agent):
    """Waits until highwayd has looked at what is wanted of link regions 'count' times."""
    def beat():
        with (t.dir / ".ledger").open("rb") as ledger:
            return struct.unpack_from("<QIII", ledger.read(20))[3]
    mark = beat()
    wait_until(lambda: (beat() - mark) & 0xffffffff >= count, 10, "highwayd to go round", agent.logfile, [agent])


@seconds(120)
def test_a_link_ends_with_either_of_its_vnfs_and_returns_with_it(t):
    """The receiver, then the sender, is killed with -9 and started again, three times: the link region goes with it and
    the next one brings it back; the other VNF goes on, and what is counted is exact"""
    bed = _bed(t)
    bed.rules(*LINE)
    one = agent(t, bed)
    source, sink = _pair(t, bed)
    for _ in range(3):
        _wait_far(t, ("p1", "p2"), agent=one)
        _more(t, "p1", "bypass", 100, source, sink)
        sink.kill9()
        wait_until(lambda: t.links("@p1").get(("p1", "p2")) != "open", 10, "the link to be closed")
        sink = t.sink("p2", domain=ISOLATED, name=f"sink{next(t.bench.numbers)}")
        _wait_far(t, ("p1", "p2"), agent=one)
        _more(t, "p1", "bypass", 100, source, sink)
        source.kill9()
        wait_until(lambda: t.links("@p1").get(("p1", "p2")) != "open", 10, "the link to be closed")
        source = t.traffic("gen", "p1", rate=20e3, size="64-1500", domain=ISOLATED,
                           name=f"gen{next(t.bench.numbers)}").start()
        go(source)
    _wait_far(t, ("p1", "p2"), agent=one)
    finish(source)
    finish(sink)
    _wait_closed(t, "p1", "p2")
    _beats(t, 5, one)
    same(list(t.dir.glob("+*")), [], "link regions although nobody is there")
    t.once("p1", "p2", count=5000, domain=ISOLATED)


@seconds(120)
def test_a_link_between_isolated_ports_closes_without_highwayd_and_returns_with_it(t):
    """highwayd is killed with -9 under traffic: the link closes within two seconds and packets take the switch; the next
    highwayd takes the link region up as it is, and nothing is lost, duplicated or reordered"""
    bed = _bed(t)
    bed.rules(*LINE)
    one = agent(t, bed)
    source, sink = _pair(t, bed)
    _wait_far(t, ("p1", "p2"), agent=one)
    regions = [file.name for file in t.dir.glob("+*")]
    one.kill9()
    wait_until(lambda: t.links("@p1").get(("p1", "p2")) != "open", 10, "the link to be closed")
    _more(t, "p1", "normal", 100, source, sink)
    one = agent(t, bed)
    _wait_far(t, ("p1", "p2"), agent=one)
    same([file.name for file in t.dir.glob("+*")], regions, "the link regions")
    _more(t, "p1", "bypass", 100, source, sink)
    report = finish(source)
    wait_until(lambda: t.end("p2", domain="@p2")["rx_packets"] >= report["sent"], 20, "the last packets", sink, [sink])
    clean(finish(sink), report["sent"])
    bed.wait_packets((report["sent"], report["sent_bytes"]), "in_port=1")


@seconds(150)
def test_a_link_between_isolated_ports_outlives_the_switch(t):
    """ovs-vswitchd dies with -9: the link goes on; under the next one both VNFs change to a new link region, without a
    restart"""
    bed = _bed(t, ovs=t.own_ovs(dies=True))
    bed.rules(*LINE)
    one = agent(t, bed)
    source, sink = _pair(t, bed)
    _wait_far(t, ("p1", "p2"), agent=one)
    bed.ovs.vswitchd.kill9()
    _more(t, "p1", "bypass", 1000, source, sink)
    bed.ovs.start_vswitchd()
    bed.rules(*LINE)
    _wait_far(t, ("p1", "p2"), agent=one)
    wait_until(lambda: len(list(t.dir.glob("+*"))) == 1, 20, "the first link region to be gone")
    _more(t, "p1", "bypass", 1000, source, sink)
    finish(source)
    report = finish(sink)
    same((report["duplicated"], report["reordered"], report["corrupted"]), (0, 0, 0), "duplicated, reordered, corrupted")
    t.allow.append(r"cleaned up after")


def test_a_link_region_is_given_to_its_two_vnfs_only(t):
    """Who holds the region of another port is refused the link region, and who asks for one that is not is told so"""
    bed = _bed(t, 3)
    bed.rules(*LINE)
    one = agent(t, bed)
    source, sink = _pair(t, bed)
    other = t.testpmd("other", t.guests("p3", domain=ISOLATED)).start()
    _wait_far(t, ("p1", "p2"), agent=one)
    with t.region("@p1") as region:
        identity = region.slots("p1")[0][2]
    for port, wanted, error in (("p1", identity, 0), ("p2", identity, 0), ("p3", identity, errno.EACCES),
                                ("p1", identity ^ 1, errno.ENOENT)):
        same(_ask(t, port, wanted), error, f"what who holds {port} is told")
    same(_ask(t, None, identity), errno.ENOENT, "what who holds nothing is told")
    same(_mapped(other.pid, t.dir), {"@p3"}, "what a third VNF maps")
    for program, own in ((source, "@p1"), (sink, "@p2")):
        mapped = _mapped(program.pid, t.dir)
        same({name for name in mapped if name[0] != "+"}, {own}, f"regions of ports that {program.name} maps")
        same(len(mapped), 2, f"what {program.name} maps: {mapped}")
    finish(source)
    finish(sink)


def _ask(t, port, identity):
    """What highwayd answers who shows the region of 'port' and asks for a link region: an errno."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.settimeout(10)
        asking.connect(str(t.dir / ".agent"))
        message = [struct.pack("<QQ", 0x0059415748474948, identity)]
        if port is None:
            asking.sendmsg(message)
        else:
            with t.region_path(f"@{port}").open("rb") as file:
                socket.send_fds(asking, message, [file.fileno()])
        data, fds, _, _ = socket.recv_fds(asking, 64, 1)
        for fd in fds:
            os.close(fd)
        told, error, _ = struct.unpack("<QII", data)
        same((told, len(fds)), (identity, 0 if error else 1), "the answer")
        return error
