# SPDX-License-Identifier: BSD-3-Clause
"""L. Ends of a port that share nothing with ours but the region: a program made of the layout
alone, and a driver built for another DPDK release."""

import os
from pathlib import Path

from lab import Process, Testpmd, Traffic, wait_until

from .kit import Skip, clean, finish, go, patient, same, seconds, sure

RULES = ("in_port=1,actions=output:3", "in_port=3,actions=output:2")


def _counts(t, port="p3"):
    end = t.end(port)
    return {key: end[key] for key in ("rx_normal_packets", "rx_bypass_packets", "tx_normal_packets", "tx_bypass_packets")}


def _more(t, one, *keys, count=3000):
    """Waits until p3 has counted some more of each."""
    mark = _counts(t)
    wait_until(lambda: all(_counts(t)[key] >= mark[key] + count for key in keys), 30, f"{count} more of {keys} at p3", one,
               [one])


def _in_between(t, bed, alive=()):
    """Numbered packets from p1 to p3, whose guest end is there and sends them back, and from there to p2: by the switch,
    by links, and by the switch again.  Returns the report; nothing is lost, reordered or damaged."""
    def bypass(word):
        t.ctl(f"--dir={t.dir}", "set", "domain", t.domain, f"bypass={word}")

    bypass("off")
    bed.rules(*RULES)
    one = t.traffic("gensink", "p1", "p2", rate=60e3, size="60-1500", payload_check="on", drain=3000).start()
    go(one)
    _more(t, one, "rx_normal_packets", "tx_normal_packets")
    same([_counts(t)[key] for key in ("rx_bypass_packets", "tx_bypass_packets")], [0, 0], "packets by links too early")
    for _ in range(3):
        bypass("on")
        t.wait_link("p1", "p3")
        t.wait_link("p3", "p2")
        _more(t, one, "rx_bypass_packets", "tx_bypass_packets")
        bypass("off")
        t.wait_no_link("p1", "p3")
        t.wait_no_link("p3", "p2")
        _more(t, one, "rx_normal_packets", "tx_normal_packets")
    for process in alive:
        sure(process.alive, f"{process.name} has ended: {process.how_ended()}")
    report = clean(finish(one))
    t.note(f"{report['sent']} packets: {_counts(t)}")
    for side in ("rx", "tx"):
        same(sum(count for key, count in _counts(t).items() if key.startswith(side)), report["sent"], f"what p3 counted, {side}")
    for number, key in ((1, "rx"), (2, "tx"), (3, "rx"), (3, "tx")):
        bed.wait_port(number, **{f"{key}_pkts": report["sent"], f"{key}_bytes": report["sent_bytes"]})
    return report


@seconds(150)
def test_a_guest_end_made_of_the_layout_alone(t):
    """A guest end that includes the layout's header and nothing else receives and sends by the switch and by links,
    together with the real driver, over six switch-overs under traffic: nothing is lost, reordered or damaged, and
    OpenFlow counts all"""
    program = t.bench.build / "tests/bare-guest"
    bed = t.bed(3)
    bare = Process(t.lab, f"{t.short}-bare", [program, t.region_path(), "p3"], cpus="0")
    t.defer(bare.stop)
    bare.start()
    bare.expect("ready")
    _in_between(t, bed, [bare])
    bare.ask_to_end()
    same(bare.wait(10), 0, "exit status of the bare guest")
    wait_until(lambda: t.end("p3")["state"] == "detached", 10, "its end to be cleaned up after", lambda: str(t.end("p3")))
    with t.region() as region:
        same(region.lost_chunks(), 0, "chunks that it has left")


def _other(t):
    """The build for another DPDK, and the environment in which its programs run."""
    build, testpmd = os.environ.get("HIGHWAY_OTHER_BUILD"), os.environ.get("HIGHWAY_OTHER_TESTPMD")
    if not build or not testpmd:
        raise Skip("HIGHWAY_OTHER_BUILD and HIGHWAY_OTHER_TESTPMD name no build for another DPDK: see docs/howto.md")
    folder = Path(testpmd).resolve().parent.parent
    libraries = next((str(path.parent) for path in sorted(folder.glob("lib*/**/librte_eal.so"))), "")
    return Path(build).resolve(), Path(testpmd).resolve(), {"LD_LIBRARY_PATH": libraries}


def _start_testpmd(t, build, testpmd, env):
    one = Testpmd(t.lab, f"{t.short}-other", t.guests("p3"), plugin=build / "pmd/librte_net_highway.so", cpus=(0, 0),
                  memory_mb=128, mbufs=8192, env=env)
    one.argv[0] = str(testpmd)
    t.defer(one.stop)
    one.start()
    patient(one)
    one.start_forwarding()
    return one


@seconds(150)
def test_a_guest_end_of_another_release(t):
    """testpmd of another DPDK release, with the driver built for it, is the guest end of a port whose host end is stock
    Open vSwitch: packets pass it by the switch and by links, nothing is lost"""
    build, testpmd, env = _other(t)
    bed = t.bed(3)
    _in_between(t, bed, [_start_testpmd(t, build, testpmd, env)])


@seconds(120)
def test_a_generator_of_another_release(t):
    """A generator built for another DPDK release sends by a link to a sink built for this one, and back"""
    build, _, env = _other(t)
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2", "in_port=2,actions=output:1")
    for src, dst in (("p1", "p2"), ("p2", "p1")):
        ours = t.sink(dst, name=f"sink-{dst}")
        other = Traffic(t.lab, f"{t.short}-other-{src}", "gen", t.guests(src), plugin=build / "pmd/librte_net_highway.so",
                        binary=build / "traffic/highway-traffic", env=env, cpus=(0,), memory_mb=128, mbufs=8192,
                        idle="yield", timestamps="off", hold=True, rate=20e3, size="60-1500", payload_check="on")
        t.defer(other.stop)
        other.start()
        go(other)
        t.wait_link(src, dst)
        mark = t.end(dst)["rx_bypass_packets"]
        wait_until(lambda: t.end(dst)["rx_bypass_packets"] > mark + 20000, 30, "20,000 packets by the link", other, [other])
        sent = finish(other)["sent"]
        wait_until(lambda: t.end(dst)["rx_packets"] >= sent, 20, f"{sent} packets to arrive", ours)
        clean(finish(ours), sent)
