# SPDX-License-Identifier: BSD-3-Clause
"""A. Without a switch: the life of a port as DPDK sees it, its settings, its link
status, its statistics and its telemetry."""

import json
import re
import socket

from lab import wait_until

from .kit import flow_line, same, say, sure
from .region import GUEST, HOST


def _pair(t, name="vnf", **options):
    """A VNF with p2 that echoes nothing, only receives."""
    one = t.testpmd(name, t.guests("p2"), forward="rxonly", **options).start()
    one.start_forwarding()
    return one


def _send(t, count=5000, **options):
    """A generator alone on p1; returns what it sent."""
    one = t.traffic("gen", "p1", name=f"gen{next(t.bench.numbers)}", count=count, rate=40e3, control=False, **options)
    return one.run(60)["sent"]


def test_stop_start_close(t):
    """A port can be stopped, started and closed; between, nothing arrives, after a start everything does."""
    host = t.host(2)
    say(host, flow_line(0, 1), "created")
    vnf = _pair(t)
    for turn in range(3):
        sent = _send(t)
        want = vnf.port_stats()["RX-packets"] if turn == 0 else None
        wait_until(lambda s=sent: t.end("p2")["rx_packets"] >= s * (turn + 1), 10, "all to arrive", vnf)
        sure(want is None or want <= sent, "no more than was sent arrives")
        vnf.stop_forwarding()
        say(vnf, "port stop 0", "Done")
        same(t.end("p2")["state"], "stopped", "state of the stopped end")
        host.wait_link(1, up=False)
        say(vnf, "port start 0", "Done")
        host.wait_link(1)
        vnf.start_forwarding()
    vnf.stop_forwarding()
    say(vnf, "port stop 0", "Done")
    say(vnf, "port close 0", "Done")
    same(t.end("p2")["state"], "detached", "state of the closed end")
    same(vnf.quit(), 0, "exit status")
    again = _pair(t, "again")
    sent = _send(t)
    wait_until(lambda: t.end("p2")["rx_packets"] == sent, 10, "all to arrive at the next holder", again)


def test_unplug_and_plug(t):
    """testpmd detaches a port and attaches it again while the rest of it runs on."""
    host = t.host(2)
    say(host, flow_line(0, 1), "created")
    vnf = t.testpmd("vnf", t.guests("p2", "p3"), forward="rxonly").start()
    vnf.start_forwarding()
    sent = _send(t)
    wait_until(lambda: t.end("p2")["rx_packets"] == sent, 10, "all to arrive", vnf)
    for turn in range(3):
        vnf.stop_forwarding()
        say(vnf, "port stop 0", "Done")
        say(vnf, "port detach 0", "is detached")
        same(t.end("p2")["state"], "detached", "state of the unplugged end")
        say(vnf, f"port attach {t.devargs('p2', number=0)}", "is attached")
        say(vnf, "port start 0", "Done")
        host.wait_link(1)
        vnf.start_forwarding()
        sent = _send(t)
        wait_until(lambda s=sent: t.end("p2")["rx_packets"] == s, 10, f"all to arrive after plugging {turn}", vnf)
    host.stop_forwarding()
    say(host, "port stop 1", "Done")
    say(host, "port detach 1", "is detached")
    vnf.wait_link(0, up=False)
    say(host, f"port attach {t.devargs('p2', 'host', 1)}", "is attached")
    say(host, "port start 1", "Done")
    vnf.wait_link(0)


def test_mtu_mac_promiscuous(t):
    """MTU, MAC address and promiscuous mode can be set and are seen by the other processes."""
    host = t.host(2)
    vnf = _pair(t)
    say(vnf, "mac_addr set 0 02:11:22:33:44:55", "")
    same(vnf.port_info()["MAC address"], "02:11:22:33:44:55", "MAC address in testpmd")
    same(t.end("p2")["mac"], "02:11:22:33:44:55", "MAC address in the region")
    for state, value in (("off", 0), ("on", 1)):
        vnf.command(f"set promisc 0 {state}")
        same(t.end("p2")["promiscuous"], value, f"promiscuous after {state}")
        sure(("enabled" if value else "disabled") in vnf.port_info()["Promiscuous mode"], "testpmd agrees")
    vnf.stop_forwarding()
    vnf.command("port stop 0")
    for mtu in (68, 1400, 2100):
        vnf.command(f"port config mtu 0 {mtu}")
        vnf.command("port start 0")
        same(t.end("p2")["mtu"], mtu, "MTU in the region")
        vnf.command("port stop 0")
    for mtu in (60, 9001):
        said = vnf.command(f"port config mtu 0 {mtu}")
        sure(re.search("(?i)fail|invalid|error|device m(in|ax) MTU", said), f"MTU {mtu} should be refused: {said.strip()}")
    same(t.end("p2")["mtu"], 2100, "MTU after two refused ones")
    info = host.port_info(0)
    sure(info["MAC address"].startswith("02") or int(info["MAC address"][:2], 16) & 2, "a local address by default")


def test_mac_devarg(t):
    """mac= sets the address; without it the address is the same at every start and differs between the ends."""
    first = t.testpmd("one", [t.devargs("p1", mac="02:00:00:00:00:07"), t.devargs("p2", number=1),
                              t.devargs("p2", "host", 2)]).start()
    same(first.port_info(0)["MAC address"], "02:00:00:00:00:07", "MAC address")
    guest, host = first.port_info(1)["MAC address"], first.port_info(2)["MAC address"]
    sure(guest != host, "the two ends have different addresses")
    same(first.quit(), 0, "exit status")
    second = t.testpmd("two", t.guests("p2")).start()
    same(second.port_info(0)["MAC address"], guest, "MAC address at the next start")


def test_link_status_follows_the_other_end(t):
    """The link goes up and down with the other end, also when that is killed with -9."""
    host = t.host(2)
    host.wait_link(0, up=False)
    vnf = _pair(t)
    host.wait_link(1)
    vnf.wait_link(0)
    same(vnf.quit(), 0, "exit status")
    host.wait_link(1, up=False)
    vnf = _pair(t, "vnf2")
    host.wait_link(1)
    vnf.kill9()
    host.wait_link(1, up=False, deadline_s=5)
    vnf = _pair(t, "vnf3")
    host.wait_link(1)
    say(host, "set link-down port 1", "")
    vnf.wait_link(0, up=False, deadline_s=5)
    say(host, "set link-up port 1", "")
    vnf.wait_link(0, deadline_s=5)
    host.kill9()
    vnf.wait_link(0, up=False, deadline_s=5)
    host = t.host(2, name="host2")
    vnf.wait_link(0)
    host.wait_link(1)


def test_statistics(t):
    """Basic and extended statistics agree with what was sent, and can be cleared at one end only."""
    host = t.host(2)
    vnf = _pair(t)
    sent = _send(t, count=4000, size=200)
    wait_until(lambda: t.end("p2")["rx_packets"] == sent, 10, "all to arrive", vnf)
    say(host, flow_line(0, 1), "created")
    more = t.traffic("gen", "p1", count=6000, rate=40e3, size=200, control=False)
    sent2 = more.run(60)["sent"]
    wait_until(lambda: t.end("p2")["rx_packets"] == sent + sent2, 10, "all to arrive", vnf)
    total = sent + sent2
    stats, xstats = vnf.port_stats(), vnf.xstats()
    same((stats["RX-packets"], stats["RX-bytes"], stats["RX-errors"]), (total, 200 * total, 0), "of the VNF")
    same(xstats["rx_normal_packets"] + xstats["rx_bypass_packets"], total, "extended ones of the VNF")
    sure(xstats["rx_bypass_packets"] > 0, "some came by the link")
    same(xstats["rx_good_packets"], total, "rx_good_packets")
    same(xstats["rx_q0_packets"], total, "rx_q0_packets")
    same(host.port_stats(0)["RX-packets"], total, "host end of the sender")
    same(host.port_stats(1)["TX-packets"], total, "host end of the receiver")
    same(host.port_stats(1)["TX-bytes"], 200 * total, "bytes at the host end of the receiver")
    vnf.command("clear port stats 0")
    vnf.command("clear port xstats 0")
    same(vnf.port_stats()["RX-packets"], 0, "after clearing")
    same(sum(v for k, v in vnf.xstats().items() if k.startswith("rx_")), 0, "extended ones after clearing")
    same(host.port_stats(1)["TX-packets"], total, "the other end is not cleared")


def _telemetry(path):
    """Speaks to a DPDK telemetry socket; returns a function of one command."""
    one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one.settimeout(10)
    one.connect(str(path))
    one.recv(16384)

    def ask(command):
        one.send(command.encode())
        return json.loads(one.recv(65536)).get(command.partition(",")[0])
    ask.close = one.close
    return ask


def test_telemetry(t):
    """/highway/ports and /highway/port,NAME answer with names, state and counters; an unknown port with null."""
    vnf = t.testpmd("vnf", t.guests("p1", "p2"), telemetry=True)
    host = t.host(2)
    vnf.start()
    vnf.start_forwarding()
    path = wait_until(lambda: next(iter(t.lab.rundir.glob(f"dpdk/{t.short}-vnf*/dpdk_telemetry.v2*")), None), 10,
                      "the telemetry socket", lambda: str(list(t.lab.rundir.glob("dpdk/*"))))
    ask = _telemetry(path)
    same(sorted(ask("/highway/ports")), ["p1", "p2"], "/highway/ports")
    vnf.wait_link(0)
    answer = ask("/highway/port,p1")
    same((answer["domain"], answer["role"], answer["link_up"], answer["queues"], answer["mtu"], answer["region"]),
         (t.domain, "guest", 1, 1, 1500, str(t.region_path())), "/highway/port,p1")
    sure("rx_bypass_packets" in answer and "tx_zero_copy" in answer, f"counters are in it: {answer}")
    sure(not ask("/highway/port,nosuch"), "an unknown port")
    sure(not ask("/highway/port"), "no port named")
    sure("/highway/port" in ask("/"), "the list of commands")
    ask.close()
    host.wait_link(0)
