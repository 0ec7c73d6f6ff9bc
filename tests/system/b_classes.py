# SPDX-License-Identifier: BSD-3-Clause
"""B. With Open vSwitch: what packets look like decides which way they go."""

from lab import pcap, wait_until

from .kit import clean, finish, go, patient, same, sure


def _replay(t, frames):
    """Sends 'frames' from p1 by testpmd's pcap port and records what p2 gets; returns
    (received frames, bypassed packets)."""
    source, taken = t.lab.folder / f"{t.short}-in.pcap", t.lab.folder / f"{t.short}-out.pcap"
    pcap.write(source, frames)
    sink = t.testpmd("sink", [*t.guests("p2"), f"net_pcap0,tx_pcap={taken}"]).start()
    sink.start_forwarding()
    sender = t.testpmd("source", [*t.guests("p1"), f"net_pcap0,rx_pcap={source}"], extra=["--no-flush-rx"]).start()
    patient(sender)
    patient(sink)
    sender.wait_link(0)
    sink.wait_link(0)
    sender.start_forwarding()
    wait_until(lambda: t.end("p1")["tx_packets"] >= len(frames), 20, "all frames to be sent", sender)
    wait_until(lambda: t.end("p2")["rx_packets"] >= len(frames), 20, "all frames to arrive", sink)
    bypassed = t.end("p2")["rx_bypass_packets"]
    same(sender.quit(), 0, "exit status of the source")
    same(sink.quit(), 0, "exit status of the sink")
    return pcap.read(taken), bypassed


def _udp(number, **ip):
    return pcap.ethernet(0x0800, pcap.ipv4(17, pcap.udp(b"%08d" % number), **ip))


def test_mixed_frames_arrive_as_they_were(t):
    """2,000 frames of many kinds and sizes arrive byte for byte and in the order of their class."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    frames = pcap.mixed_frames(2000, seed=7)
    got, _ = _replay(t, frames)
    same(len(got), len(frames), "number of frames")
    same(sorted(got), sorted(frames), "the frames")
    bed.wait_packets((len(frames), sum(map(len, frames))))


def test_tagged_and_untagged(t):
    """Each VLAN tag is a class of its own, with a route of its own, and nothing is mixed up."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    one = t.traffic("gensink", "p1", "p2", rate=20e3, vlan="0,5,6", flows=3, size="80-300").start()
    go(one)
    t.wait_link("p1", "p2")
    wait_until(lambda: len(t.routed("p1").get("p2", ())) == 3, 10, "three routes", lambda: str(t.routed("p1")))
    same(sorted(key >> 32 for key in t.routed("p1")["p2"]), [0, 0x1005, 0x1006], "tags of the routes")
    mark = t.end("p1")["tx_bypass_packets"]
    wait_until(lambda: t.end("p1")["tx_bypass_packets"] > mark + 6000, 10, "packets by the link", one)
    report = clean(finish(one))
    bed.wait_packets((report["sent"], report["sent_bytes"]))


def test_tags_to_different_ports(t):
    """Untagged packets go to one port, those of VLAN 5 to another, VLAN 6 is dropped."""
    bed = t.bed(3)
    bed.rules("in_port=1,vlan_tci=0,actions=output:2", "in_port=1,dl_vlan=5,actions=output:3",
              "in_port=1,dl_vlan=6,actions=drop")
    sinks = [t.sink(f"p{n}", name=f"sink{n}") for n in (2, 3)]
    sender = t.traffic("gen", "p1", rate=20e3, vlan="0,5,6", flows=3, size="80-300").start()
    go(sender)
    t.wait_link("p1", "p2")
    wait_until(lambda: min(t.end(f"p{n}")["rx_packets"] for n in (2, 3)) > 4000, 20, "packets at both", sender)
    sent = finish(sender)["sent"]
    wait_until(lambda: bed.packets("in_port=1")[0] == sent, 15, "all packets to be counted")
    tagged = bed.packets("in_port=1,dl_vlan=5")[0]
    wait_until(lambda: t.end("p3")["rx_packets"] >= tagged, 10, "the rest", sender)
    for sink in sinks:
        same(clean(finish(sink))["flows_seen"], 1, "flows seen")
    same(sinks[1].result()["received"], tagged, "tag 5 at p3")


def _kinds_by_switch(t, frames, kind):
    """'frames' arrive by the switch, which keeps the order within each 'kind' (megaflow)."""
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    got, bypassed = _replay(t, frames)
    for value in sorted({kind(frame) for frame in frames}):
        same([f for f in got if kind(f) == value], [f for f in frames if kind(f) == value], f"the frames with {value}")
    same((len(got), bypassed), (len(frames), 0), "frames, frames by a link")
    bed.wait_packets((len(frames), sum(map(len, frames))))


def test_fragments_stay_at_the_switch(t):
    """First and later IPv4 fragments go by the switch and arrive."""
    frames = []
    for n in range(300):
        frames.append(_udp(n, fragment=0x2000, ident=n))
        frames.append(_udp(n, fragment=185, ident=n))
    _kinds_by_switch(t, frames, lambda frame: frame[20:22])


def test_qinq_stays_at_the_switch(t):
    """Packets with two tags go by the switch and arrive."""
    inner = b"\x88\xb5" + b"inner" * 20
    frames = [pcap.ethernet(0x88A8, b"\x00\x07\x81\x00\x00\x08" + inner + b"%04d" % n) for n in range(300)]
    frames += [pcap.ethernet(0x8100, b"\x00\x07\x81\x00\x00\x08" + inner + b"%04d" % n) for n in range(300)]
    _kinds_by_switch(t, frames, lambda frame: frame[12:14])


def test_802_3_stays_at_the_switch(t):
    """802.3 frames with a length instead of a type go by the switch and arrive."""
    llc = b"\x42\x42\x03" + b"hello" * 7
    frames = [pcap.ethernet(len(llc) + 4, llc + b"%04d" % n) for n in range(300)]
    frames += [pcap.ethernet(8 + 40, b"\xaa\xaa\x03\x00\x00\x00\x08\x00" + b"%040d" % n) for n in range(300)]
    _kinds_by_switch(t, frames, lambda frame: frame[12:14])


def test_runts_and_lies_arrive(t):
    """Frames whose IP header is cut or lies about its length are no reason to stumble."""
    good = _udp(1)
    frames = [good[:14] + bytes([0x4F]) + good[15:] + b"%04d" % n for n in range(100)]
    frames += [good[:16] + b"\xff\xff" + good[18:] + b"%04d" % n for n in range(100)]
    frames += [pcap.ethernet(0x0800, b"\x45\x00")[:34] + b"%02d" % n for n in range(100)]
    frames += [pcap.ethernet(0x86DD, b"\x60\x00" + b"%04d" % n) for n in range(100)]
    bed = t.bed(2)
    bed.rules("in_port=1,actions=output:2")
    got, _ = _replay(t, frames)
    same(sorted(got), sorted(frames), "the frames")
