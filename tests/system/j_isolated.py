# SPDX-License-Identifier: BSD-3-Clause
"""J. Ports without domain=: a region each, which only the switch and the VNF map."""

import json

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


def _wait_far(t, *ways, deadline_s=15, agent=None):
    """Waits until the links are open, as the sender's region has it."""
    def are_open():
        return all(t.links(f"@{src}").get((src, dst)) == "open" and dst in t.routed(src, f"@{src}") for src, dst in ways)
    wait_until(are_open, deadline_s, f"links {ways} to be open", agent and agent.logfile)


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
