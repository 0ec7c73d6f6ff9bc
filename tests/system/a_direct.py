# SPDX-License-Identifier: BSD-3-Clause
"""A. Without a switch: testpmd holds the host ends and is given the flows by hand.
How packets travel: by index, copied once, inline, in segments, jumbo."""

from lab import LabError, wait_until

from .kit import clean, flow_line, go, same, say, sure
from .region import HOST


def _chain(t):
    """p1 -> p2 (forwarder) p3 -> p4, both links open; returns (host, forwarder)."""
    host = t.host(4)
    forwarder = t.testpmd("vnf", t.guests("p2", "p3")).start()
    forwarder.start_forwarding()
    for src, dst in ((0, 1), (2, 3)):
        say(host, flow_line(src, dst), "created")
    return host, forwarder


def _through_chain(t, host, forwarder, size, count=30000, **options):
    """Sends through the chain; returns what p1 and p3 counted on sending."""
    traffic = t.traffic("gensink", "p1", "p4", name=f"gensink-{size}", size=size, rate=40e3, **options).start()
    for link in (("p1", "p2"), ("p3", "p4")):
        t.wait_link(*link)
    before = t.end("p1"), t.end("p3")
    go(traffic)
    wait_until(lambda: t.end("p3")["tx_packets"] - before[1]["tx_packets"] >= count, 30, f"{count} packets", traffic,
               [traffic])
    traffic.control("stop")
    wait_until(lambda: t.end("p4")["rx_packets"] >= t.end("p1")["tx_packets"], 10, "the rest to arrive", traffic)
    after = t.end("p1"), t.end("p3")
    same(traffic.quit(), 0, "exit status of highway-traffic")
    clean(traffic.result())
    return [{key: a[key] - b[key] for key in a if key.startswith("tx_")} for a, b in zip(after, before)]


def test_zero_copy_inside_a_domain(t):
    """A forwarding VNF passes packets of 512 to 1500 bytes on by index; only their source copies them."""
    host, forwarder = _chain(t)
    first, middle = _through_chain(t, host, forwarder, "512-1500")
    same(middle["tx_zero_copy"], middle["tx_bypass_packets"], "packets that the forwarder passed on by index")
    same((middle["tx_copied"], middle["tx_inlined"]), (0, 0), "packets that the forwarder copied")
    same(first["tx_copied"], first["tx_bypass_packets"], "packets that the source copied")
    same(first["tx_normal_packets"] + middle["tx_normal_packets"], 0, "packets by the switch while links are open")
    xstats = forwarder.xstats(1)
    sure(xstats["tx_zero_copy"] >= middle["tx_zero_copy"] > 0, f"xstats show tx_zero_copy: {xstats['tx_zero_copy']}")
    sure(xstats["tx_copied"] == 0, f"xstats show tx_copied: {xstats['tx_copied']}")


def test_small_packets_are_inlined(t):
    """Packets of up to 128 bytes travel in the ring itself, longer ones never."""
    host, forwarder = _chain(t)
    for side in _through_chain(t, host, forwarder, "60-128"):
        same((side["tx_inlined"], side["tx_zero_copy"], side["tx_copied"]), (side["tx_packets"], 0, 0),
             "inlined, by index, copied")
    for side in _through_chain(t, host, forwarder, "129-200"):
        same(side["tx_inlined"], 0, "inlined packets above 128 bytes")


def test_copied_at_the_edges(t):
    """Without flows the packets go by testpmd, which passes them on by index too, and arrive."""
    t.host(2)
    report = t.once("p1", "p2", size="200-1500")
    sure(report["per_port"][0]["opackets"] == report["sent"], "the generator's port counted what it sent")


def test_multi_segment_packets_arrive_complete(t):
    """Packets of 2, 3 and 8 segments arrive whole, by a link and by the switch."""
    host = t.host(2)
    for segs in (2, 3, 8):
        t.once("p1", "p2", size="300-1500", segs=segs, count=8000, payload_check="on")
    say(host, flow_line(0, 1), "created")
    for segs in (2, 3, 8):
        t.once("p1", "p2", size="300-1500", segs=segs, count=8000, payload_check="on")
    t.once("p1", "p2", size="100-128", segs=2, count=8000, payload_check="on")


def test_testpmd_segments_arrive_complete(t):
    """testpmd's packets of 64 + 200 + 1000 bytes in three mbufs arrive as 1264 bytes."""
    host = t.host(2)
    say(host, flow_line(0, 1), "created")
    multi = ["--tx-offloads=0x8000"]
    sink = t.testpmd("sink", t.guests("p2"), forward="rxonly").start()
    source = t.testpmd("source", t.guests("p1"), forward="txonly", extra=multi, mbufs=4096).start()
    sink.start_forwarding()
    source.command("set txpkts 64,200,1000")
    t.wait_link("p1", "p2")
    source.start_forwarding()
    wait_until(lambda: t.end("p2")["rx_packets"] > 20000, 30, "20,000 packets", sink)
    sent = source.stop_forwarding()["TX-packets"]
    wait_until(lambda: t.end("p2")["rx_packets"] == t.end("p1")["tx_packets"] == sent, 20, "all of them", sink)
    stats = sink.port_stats()
    same((stats["RX-packets"], stats["RX-bytes"]), (sent, 1264 * sent), "packets and bytes received")
    sure(source.xstats()["tx_copied"] > 0, "they went by chunks")


def test_jumbo_frames_with_scatter(t):
    """Frames of up to 9014 bytes arrive in chains of mbufs where SCATTER is on."""
    host = t.host(2, start=False, mbufs=4096, extra=["--mbuf-size=10240"])
    for port in (0, 1):
        host.command(f"port stop {port}")
        host.command(f"port config mtu {port} 9000")
        host.command(f"port start {port}")
    host.start_forwarding()
    t.once("p1", "p2", size="60-9014", count=8000, rate=8e3, mtu=9000, name="normal", deadline_s=20)
    say(host, flow_line(0, 1), "created")
    t.once("p1", "p2", size="60-9014", count=8000, rate=8e3, mtu=9000, name="bypass", deadline_s=20)
    same(host.xstats(0)["rx_bad_desc"], 0, "bad descriptors")


def test_jumbo_frames_without_scatter(t):
    """MTU 9000 is refused with a clear sentence if mbufs are small and SCATTER is off, and works with large mbufs."""
    host = t.host(2, start=False, mbufs=4096, extra=["--mbuf-size=10240"])
    say(host, "port stop 0", "Done")
    host.command("port config mtu 0 9000")
    host.command("port start 0")
    same(t.end("p1", HOST)["mtu"], 9000, "MTU of a host end with large mbufs")
    small = t.testpmd("small", t.guests("p1"), extra=["--mbuf-size=2176"]).start()
    small.command("port stop 0")
    said = small.command("port config mtu 0 9000") + small.command("port start 0")
    sure("mtu=9000" in said and "use larger mbufs, or enable the SCATTER offload" in said,
         f"the sentence with the remedy is missing: {said.strip()}")
    sure(t.end("p1")["mtu"] <= 1500, f"the refused MTU counts all the same: {t.end('p1')['mtu']}")


def test_too_long_packets_are_dropped_and_counted(t):
    """A packet above the MTU is dropped and counted as an error, and blocks nothing behind it."""
    t.host(2)
    sink = t.testpmd("sink", t.guests("p2"), forward="rxonly").start()
    source = t.testpmd("source", t.guests("p1"), forward="txonly", mbufs=4096).start()
    sink.start_forwarding()
    source.command("set txpkts 2000")
    source.start_forwarding()
    wait_until(lambda: t.end("p1")["tx_too_big"] > 1000, 20, "packets to be dropped", source)
    source.stop_forwarding()
    same(t.end("p1")["tx_packets"], 0, "packets sent although too long")
    sure(source.port_stats()["TX-errors"] == t.end("p1")["tx_too_big"], "TX-errors counts them")
    source.command("set txpkts 1000")
    source.start_forwarding()
    wait_until(lambda: t.end("p2")["rx_packets"] > 1000, 20, "shorter packets to pass", sink)
    source.stop_forwarding()


def test_all_ether_types_and_sizes_cross(t):
    """IPv4, IPv6, ARP, MPLS and unknown ether types, tagged or not, of all sizes cross a chain with links for two."""
    host, forwarder = _chain(t)
    say(host, flow_line(0, 1, kind="arp"), "created")
    report = t.once("p1", "p4", size="86-1500", count=30000, eth_type="ipv4,ipv6,arp,0x8847,0x88b5", vlan="0,5,4094",
                    flows=15)
    same(report["flows_seen"], 15, "flows seen")
    end = t.end("p1") if t.region_path().exists() and "p1" in t.region().ports() else None
    sure(end is None or end["tx_bypass_packets"] > 0 or end["state"] == "detached", "some went by the link")


def test_missing_program_arguments_are_told(t):
    """highway-traffic with a driver that is not there says so and fails."""
    traffic = t.traffic("gen", "p1")
    traffic.argv[traffic.argv.index(str(t.plugin))] = str(t.plugin) + ".missing"
    traffic.start()
    try:
        status = traffic.wait(20)
    except LabError as error:
        raise AssertionError(error) from error
    sure(status == 3 and "EAL does not start" in traffic.output, f"status {status}: {traffic.output[-300:]}")
