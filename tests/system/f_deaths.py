# SPDX-License-Identifier: BSD-3-Clause
"""F. Deaths: VNFs and ovs-vswitchd killed with -9 under traffic."""

from lab import wait_until

from .kit import clean, finish, go, same, seconds, sure
from .region import HOST


def _account(t, what):
    """Every chunk is free, in a ring, or with a client that lives."""
    def settled():
        with t.region() as region:
            return region.lost_chunks() == 0
    wait_until(settled, 10, f"every chunk to be accounted for {what}", lambda: str(t.region().owners()))
    if t.bench.highwayctl.exists():
        t.ctl("--dir", t.dir, "check", t.domain)


@seconds(150)
def test_thirty_kills_of_a_forwarder(t):
    """A forwarding VNF dies 30 times in the middle of large packets: no chunk is lost, traffic resumes each time."""
    host = t.host(4)
    for src, dst in ((0, 1), (2, 3)):
        host.command(f"flow create {src} transfer pattern eth type is 0x0800 / ipv4 fragment_offset spec 0 "
                     f"fragment_offset mask 0x3fff / end actions count / port_id id {dst} / end")
    sink = t.sink("p4")
    sender = t.traffic("gen", "p1", rate=20e3, size="1000-1500", drop_on_full=True).start()
    go(sender)
    for turn in range(30):
        vnf = t.traffic("forward", "p2", "p3", name=f"vnf{turn}", rx_port=0, tx_port=1).start()
        mark = t.end("p4")["rx_packets"]
        wait_until(lambda m=mark: t.end("p4")["rx_packets"] > m + 300, 15, "packets through the VNF", vnf, [vnf, sink])
        vnf.kill9()
    wait_until(lambda: t.end("p2")["state"] == t.end("p3")["state"] == "detached", 10, "the dead one's ends")
    _account(t, "after 30 kills under traffic")
    with t.region() as region:
        sure(region.sweeps >= 25, f"sweeps: {region.sweeps}")
    finish(sender)
    report = finish(sink)
    same((report["duplicated"], report["corrupted"], report["reordered"]), (0, 0, 0),
         "duplicated, corrupted, reordered")
    _account(t, "at rest")


@seconds(150)
def test_thirty_kills_of_a_sender(t):
    """The sender of a link dies 30 times: its chunks come back, the receiver sees no packet twice."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    sink = t.sink("p2")
    for turn in range(30):
        sender = t.traffic("gen", "p1", name=f"gen{turn}", id=turn, rate=20e3, size="600-1500", hold=None).start()
        wait_until(lambda: t.region_path().exists() and t.end("p1")["tx_packets"] > 300, 15, "packets", sender, [sender])
        sender.kill9()
    wait_until(lambda: t.end("p1")["state"] == "detached", 10, "the dead one's end")
    _account(t, "after 30 kills")
    report = finish(sink)
    same((report["duplicated"], report["corrupted"], report["reordered"]), (0, 0, 0),
         "duplicated, corrupted, reordered")


def test_region_goes_with_its_last_user(t):
    """When all ends are gone, killed or not, the region file is removed by the last one that could."""
    first = t.testpmd("first", t.guests("p1")).start()
    second = t.testpmd("second", t.guests("p2")).start()
    sure(t.region_path().exists(), "there is a region")
    first.kill9()
    same(second.quit(), 0, "exit status")
    wait_until(lambda: not t.region_path().exists(), 5, "the file to be removed")
    third = t.testpmd("third", t.guests("p1")).start()
    third.kill9()
    sure(t.region_path().exists(), "after the death of all the file is there")
    fourth = t.testpmd("fourth", t.guests("p1")).start()
    same(fourth.quit(), 0, "exit status")
    wait_until(lambda: not t.region_path().exists(), 5, "the file to be removed by the next user")


@seconds(120)
def test_switch_killed(t):
    """ovs-vswitchd dies with -9: links go on; after its restart ports come up and traffic resumes, no VNF restarted."""
    ovs = t.own_ovs()
    bed = t.bed(2, ovs=ovs)
    bed.rules("in_port=1,actions=output:2")
    one = t.traffic("gensink", "p1", "p2", rate=20e3, size="64-1500", drop_on_full=True).start()
    go(one)
    for turn in range(2):
        t.wait_link("p1", "p2")
        mark = t.end("p2")["rx_bypass_packets"]
        wait_until(lambda m=mark: t.end("p2")["rx_bypass_packets"] > m + 2000, 15, "packets by the link", one)
        ovs.vswitchd.kill9()
        mark = t.end("p2")["rx_bypass_packets"]
        wait_until(lambda m=mark: t.end("p2")["rx_bypass_packets"] > m + 10000, 15, "the link to go on", one, [one])
        ovs.start_vswitchd()
        wait_until(lambda: t.end("p1", HOST)["state"] == t.end("p2", HOST)["state"] == "started", 20, "the ports")
        bed.rules("in_port=1,actions=output:2")
    t.wait_link("p1", "p2")
    mark = t.end("p2")["rx_bypass_packets"]
    wait_until(lambda: t.end("p2")["rx_bypass_packets"] > mark + 2000, 15, "packets by the link again", one, [one])
    report = finish(one)
    same((report["duplicated"], report["corrupted"], report["reordered"]), (0, 0, 0),
         "duplicated, corrupted, reordered")
    t.allow.append(r"cleaned up after")


@seconds(90)
def test_switch_restarted_in_good_order(t):
    """ovs-vswitchd ends by `exit` and starts again: traffic resumes by the link, in order."""
    ovs = t.own_ovs()
    bed = t.bed(2, ovs=ovs)
    bed.rules("in_port=1,actions=output:2")
    one = t.traffic("gensink", "p1", "p2", rate=20e3, drop_on_full=True).start()
    go(one)
    t.wait_link("p1", "p2")
    ovs.restart_vswitchd("term")
    bed.rules("in_port=1,actions=output:2")
    t.wait_link("p1", "p2")
    mark = t.end("p2")["rx_bypass_packets"]
    wait_until(lambda: t.end("p2")["rx_bypass_packets"] > mark + 2000, 15, "packets by the link again", one, [one])
    report = finish(one)
    same((report["duplicated"], report["corrupted"], report["reordered"]), (0, 0, 0),
         "duplicated, corrupted, reordered")


def test_both_die(t):
    """The switch and both VNFs die at once: whoever comes next finds everything in order."""
    host = t.host(2)
    pairs = [t.testpmd(f"vnf{n}", t.guests(f"p{n}"), forward="macswap").start() for n in (1, 2)]
    pairs[1].start_forwarding()
    pairs[0].start_forwarding(first_bursts=4)
    wait_until(lambda: t.end("p1")["rx_packets"] > 1000, 15, "packets", host)
    for program in (host, *pairs):
        program.kill9()
    t.host(2, name="host2")
    report = t.once("p1", "p2", size="64-1500")
    clean(report)
    _account(t, "after all died")
