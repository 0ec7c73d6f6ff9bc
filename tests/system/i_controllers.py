# SPDX-License-Identifier: BSD-3-Clause
"""Real controllers, unchanged: with the bypass on and off they get the same messages and
count the same.

os-ken runs what is in controllers/ (Debian's python3-os-ken, and so Debian's Python);
ovs-testcontroller is Open vSwitch's own."""

import json
import re
import shutil
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from lab import DEADLINE, Process, pcap, wait_until

from .h_kit import agent, wait_words
from .kit import Skip, clean, finish, go, same, seconds, sure

APPS = Path(__file__).resolve().parent / "controllers"
MANAGER = "osken-manager"
PACKETS, SIZE, RATE = 30000, 100, 20e3
OUT, OUTS = pcap.ethernet(0x88B5, b"packet-out" * 6), 10


class Controller(Process):
    """An os-ken application that a bridge is connected to, in the switch's own network
    namespace; 'heard' are the messages it has told of, one JSON text each."""

    def __init__(self, test, bed, app, version):
        if not shutil.which(MANAGER):
            raise Skip(f"{MANAGER} is missing: install python3-os-ken")
        self.bed = bed
        port = 20000 + next(test.bench.numbers)
        self.target = f"tcp:127.0.0.1:{port}"
        super().__init__(test.lab, f"{test.short}-{app}-{port}", [
            "nsenter", f"--net=/proc/{bed.ovs.vswitchd.pid}/ns/net", MANAGER, "--ofp-listen-host", "127.0.0.1",
            "--ofp-tcp-listen-port", port, APPS / f"{app}.py",
        ], env={"HIGHWAY_OPENFLOW": version, "PYTHONPATH": APPS, "PYTHONDONTWRITEBYTECODE": 1})
        test.allow.append(rf"rconn\|WARN\|.*{self.target}")
        test.defer(self.stop)
        self.start()

    @property
    def messages(self):
        return [json.loads(line[2:]) for line in self.output.splitlines() if line.startswith("@ ")]

    @property
    def heard(self):
        """How often each message came; not those on ports, whose number is a matter of timing."""
        return Counter(json.dumps(message, sort_keys=True) for message in self.messages
                       if message["message"] not in ("port status", "ports"))

    def tell(self, do, **words):
        self.send(json.dumps({"do": do, **words}))

    def wait_for(self, kind, number=1, **content):
        """Waits for so many messages of a kind, with this content."""
        def found():
            return [m for m in self.messages if m["message"] == kind and content.items() <= m.items()]
        wait_until(lambda: len(found()) >= number, DEADLINE, f"{number} {kind} with {content} at the controller", self,
                   [self])
        return found()

    def barrier(self):
        """Returns when the switch has done what it was told."""
        before = sum(m["message"] == "OFPBarrierReply" for m in self.messages)
        self.tell("barrier")
        self.wait_for("OFPBarrierReply", before + 1)


def connect(bed, target, *columns):
    """Gives the bridge its controller.  (By default that would be in-band, which forbids
    every bypass.)"""
    bed.ovs.vsctl("set-controller", bed.bridge, target, "--", "set", "Controller", bed.bridge,
                  "connection_mode=out-of-band", "inactivity_probe=60000", *columns)


@contextmanager
def session(test, ports, bypass):
    """A bridge of its own with highwayd, where the bypass is on or off."""
    bed = test.bed(ports)
    one = None
    try:
        bed.ovs.vsctl("set", "Bridge", bed.bridge, f"other_config:highway-bypass={'on' if bypass else 'off'}")
        one = agent(test, bed)
        wait_words(test, "p1", "yes" if bypass else "no", None)
        yield bed, one
    finally:
        bed.ovs.vsctl("del-controller", bed.bridge)
        bed.remove_all()
        if one:
            one.stop()
    left = test.region_path()
    wait_until(lambda: not left.exists(), 15, f"{left} to be removed by its last user")


def counted(bed):
    """What the switch counts: of its rules, and of its ports."""
    ports = bed.ovs.port_stats(bed.bridge)
    return (sorted((f["match"], f["priority"], f["cookie"], f["n_packets"], f["n_bytes"])
                   for f in bed.ovs.flows(bed.bridge)),
            {number: ports[number] for number in bed.ports})


def compare(on, off):
    """Two sessions: (messages, counters) each."""
    same(on[1], off[1], "counters with the bypass on, and off")
    sure(on[0] == off[0], "the messages differ:\n" + "\n".join(
        [f"  only on:  {n} {m}" for m, n in (on[0] - off[0]).items()]
        + [f"  only off: {n} {m}" for m, n in (off[0] - on[0]).items()]))


# --- a service chain ------------------------------------------------------------------


def chain_session(test, version, bypass):
    """Flow-mods, traffic, packet-outs, statistics, port-mods and flow-removed, in one session."""
    with session(test, 2, bypass) as (bed, _):
        boss = Controller(test, bed, "chain", version)
        connect(bed, boss.target)
        boss.wait_for("connected")
        boss.wait_for("ports", numbers=[1, 2])
        for src, dst in ((1, 2), (2, 1)):
            boss.tell("chain", src=src, dst=dst, cookie=0x10 + src)
        boss.barrier()
        sink = test.sink("p2", name=f"sink-{version}-{bypass}")
        if bypass:
            wait_words(test, "p1", "yes", "p2")
        one = test.traffic("gen", "p1", name=f"gen-{version}-{bypass}", count=PACKETS, rate=RATE, size=SIZE).start()
        go(one)
        if bypass:
            test.wait_link("p1", "p2")
            before = test.end("p1")["tx_bypass_packets"]
            wait_until(lambda: test.end("p1")["tx_bypass_packets"] > before + 500, DEADLINE, "packets by the link", one)
        boss.tell("packet_out", port=2, data=OUT.hex(), times=OUTS)
        boss.barrier()
        same((one.wait(60), one.result()["sent"]), (0, PACKETS), "exit status, packets sent")
        wait_until(lambda: test.end("p2")["rx_packets"] == PACKETS + OUTS, DEADLINE, "all packets to arrive", sink)
        by_link = test.end("p2")["rx_bypass_packets"]
        sure(bypass == (by_link > 0), f"{by_link} packets by the link with bypass={bypass}")
        bed.wait_packets((PACKETS, PACKETS * SIZE), "in_port=1")
        bed.wait_port(1, rx_pkts=PACKETS, rx_bytes=PACKETS * SIZE)
        bed.wait_port(2, tx_pkts=PACKETS + OUTS, tx_bytes=PACKETS * SIZE + OUTS * len(OUT))
        boss.tell("stats")
        boss.barrier()

        # A port that is down gets nothing; the switch says so, and that it is up again.
        for down in (True, False):
            boss.tell("port_down", port=2, down=down)
            boss.barrier()
            boss.wait_for("port status", port=2, config=int(down))
            boss.tell("packet_out", port=2, data=OUT.hex(), times=OUTS)
            boss.barrier()
        wait_until(lambda: test.end("p2")["rx_packets"] == PACKETS + 2 * OUTS, DEADLINE,
                   "packet-outs to arrive when the port is up again, and only those", sink)
        report = finish(sink)
        same((clean(report)["received"], report["foreign"]), (PACKETS, 2 * OUTS), "what arrived")
        found = counted(bed)
        boss.tell("stats")
        for src in (1, 2):
            boss.tell("unchain", src=src)
        boss.barrier()
        removed = [m["content"] for m in boss.wait_for("OFPFlowRemoved", 2)]
        check_removed(version, removed)
        return boss.heard, found


def check_removed(version, removed):
    """The flow-removed messages say what was sent."""
    def numbers(message):
        if version != "OpenFlow15":
            return message["packet_count"], message["byte_count"]
        fields = dict(re.findall(r"'(packet_count|byte_count)', (?:'value', )?(\d+)", str(message).replace("{", "").replace(
            "[", "").replace("]", "")))
        return int(fields["packet_count"]), int(fields["byte_count"])
    same(sorted(map(numbers, removed)), [(0, 0), (PACKETS, PACKETS * SIZE)], "packets and bytes of flow-removed")


def chain(test, version):
    on, off = (chain_session(test, version, bypass) for bypass in (True, False))
    for kind in ("OFPBarrierReply", "OFPFlowRemoved", "AggregateStatsReply", "OFPFlow"):
        sure(any(kind in message for message in on[0]), f"no {kind} was heard")
    sure(not any("OFPErrorMsg" in message for message in on[0]), f"errors: {on[0]}")
    compare(on, off)


@seconds(240)
def test_service_chain_in_openflow_1_0(test):
    """os-ken's OpenFlow 1.0 session of a service chain is the same with the bypass on and off: messages, statistics,
    packet-outs, port-mods, flow-removed"""
    chain(test, "OpenFlow10")


@seconds(240)
def test_service_chain_in_openflow_1_3(test):
    """os-ken's OpenFlow 1.3 session of a service chain is the same with the bypass on and off"""
    chain(test, "OpenFlow13")


@seconds(240)
def test_service_chain_in_openflow_1_5(test):
    """os-ken's OpenFlow 1.5 session of a service chain is the same with the bypass on and off"""
    chain(test, "OpenFlow15")


# --- learning switches ------------------------------------------------------------------

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


def learning_traffic(test, bed, bypass):
    """p1 and p2 get to know each other, one packet at a time, and then talk, while p3 sends to
    p4, to which it is patched."""
    def send(src, dst, macs, count):
        report = test.once(src, dst, count=count, rate=RATE, size=SIZE, src_mac=macs[0], dst_mac=macs[1], drain=5000)
        same(report["received"], count, f"packets from {src} to {dst}")
    for turn in (("p1", "p2", (A, B)), ("p2", "p1", (B, A)), ("p1", "p2", (A, B))):
        send(*turn, 1)
        # Else the next packet may hit a megaflow from before the rule that it makes the
        # controller add, and which of the two rules counts it would be a matter of timing.
        bed.ovs.appctl("revalidator/purge")
    one = test.traffic("gensink", "p3", "p4", name=f"patched-{bypass}", count=PACKETS, rate=RATE, size=SIZE).start()
    go(one)
    if bypass:
        test.wait_link("p3", "p4")
    for turn in (("p1", "p2", (A, B)), ("p2", "p1", (B, A))):
        send(*turn, PACKETS)
    same(one.wait(60), 0, "exit status")
    same(clean(one.result())["received"], PACKETS, "packets of the patched ports")


def wait_learned(bed):
    """Waits until the switch has counted all packets: also those that the controller sent on."""
    ports = {1: 2 * PACKETS + 3, 2: 2 * PACKETS + 3}
    wait_until(lambda: all(bed.ovs.port_stats(bed.bridge, port)["rx_pkts"] + bed.ovs.port_stats(
        bed.bridge, port)["tx_pkts"] == count for port, count in ports.items()), DEADLINE,
        f"ports to have sent and received {ports}", lambda: str(bed.ovs.port_stats(bed.bridge)))
    bed.wait_packets((PACKETS, PACKETS * SIZE), "in_port=3")
    wait_until(lambda: sum(f["n_packets"] for f in bed.ovs.flows(bed.bridge) if A in f["match"]) == 2 * PACKETS,
               DEADLINE, "the learned rules to count", lambda: str(bed.ovs.flows(bed.bridge)))


def by_link(test, bypass):
    """The patched ports' packets went by a link, or not, and nobody else's did."""
    went = {port: test.end(port)["rx_bypass_packets"] for port in ("p1", "p2", "p4")}
    sure((went["p4"] > PACKETS / 10) == bypass and not went["p1"] + went["p2"], f"by links with bypass={bypass}: {went}")


@seconds(240)
def test_learning_switch(test):
    """os-ken's learning switch (OpenFlow 1.3), which also patches two ports, hears and counts the same with the bypass
    on and off: packet-ins, statistics, flow-removed"""
    def learn(bypass):
        with session(test, 4, bypass) as (bed, _):
            boss = Controller(test, bed, "learning", "OpenFlow13")
            connect(bed, boss.target)
            boss.wait_for("connected")
            boss.barrier()
            if bypass:
                wait_words(test, "p3", "yes", "p4")
            learning_traffic(test, bed, bypass)
            by_link(test, bypass)
            wait_learned(bed)
            boss.tell("stats")
            boss.barrier()
            found = counted(bed)
            boss.tell("forget")
            boss.barrier()
            boss.wait_for("OFPFlowRemoved", 5)
            return boss.heard, found
    on, off = (learn(bypass) for bypass in (True, False))
    sure(sum(n for message, n in on[0].items() if "OFPPacketIn" in message) == 3, f"not three packet-ins: {on[0]}")
    compare(on, off)


def exchanged(controller):
    """How often each kind of message went between ovs-testcontroller and the switch, by its
    log; not those of keeping the connection, nor those on ports, whose number is a matter
    of timing."""
    found = re.findall(r"\|vconn\|DBG\|\S+: (sent|received)\b.*?: ((?:OFPT|OFPST|NXT)_\w+)", controller.output)
    return Counter(" ".join(each) for each in found if not re.search("ECHO|HELLO|PORT_STATUS", each[1]))


@seconds(240)
def test_testcontroller(test):
    """ovs-testcontroller, as a learning switch with the rules of two patched ports, exchanges the same messages and
    counts the same with the bypass on and off"""
    program = shutil.which("ovs-testcontroller")
    if not program:
        raise Skip("ovs-testcontroller is missing: install openvswitch-testcontroller")
    rules = test.lab.folder / f"{test.short}-rules"
    rules.write_text("priority=60000,in_port=3,actions=output:4\npriority=60000,in_port=4,actions=output:3\n")

    def learn(bypass):
        with session(test, 4, bypass) as (bed, _):
            at = f"{bed.ovs.run}/test{next(test.bench.numbers)}"
            test.allow.append(rf"rconn\|WARN\|.*{at}")
            boss = Process(test.lab, f"{test.short}-testcontroller-{bypass}", [
                program, "-O", "OpenFlow13", f"punix:{at}", f"--unixctl={at}.ctl", f"--pidfile={at}.pid", "--max-idle=300",
                f"--with-flows={rules}", "-vconsole:off", "-vvconn:console:dbg"], env=bed.ovs.env)
            test.defer(boss.stop)
            boss.start()
            wait_until(Path(at).exists, DEADLINE, "ovs-testcontroller's socket", boss, [boss])
            connect(bed, f"unix:{at}")
            wait_until(lambda: len(bed.ovs.flows(bed.bridge, "in_port=4")) == 1, DEADLINE, "its rules", boss, [boss])
            if bypass:
                wait_words(test, "p3", "yes", "p4")
            learning_traffic(test, bed, bypass)
            by_link(test, bypass)
            wait_learned(bed)
            found = counted(bed)
            bed.ovs.vsctl("del-controller", bed.bridge)
            boss.stop()
            return exchanged(boss), found
    on, off = (learn(bypass) for bypass in (True, False))
    for kind, number in (("received OFPT_PACKET_IN", 3), ("sent OFPT_PACKET_OUT", 3)):
        same(on[0][kind], number, kind)
    compare(on, off)
