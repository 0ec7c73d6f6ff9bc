# SPDX-License-Identifier: BSD-3-Clause
"""highwayd under traffic: each reason of policy comes and goes, and it, the database and the
switch die and come back, while numbered packets flow.  Nothing is lost by that, and the
counters stay exact."""

import signal
import time
from contextlib import contextmanager

from lab import wait_until

from .h_kit import Listener, agent, beat, wait_words, words
from .kit import clean, finish, go, same, seconds, sure, within

LINE = ("in_port=1,actions=output:2", "in_port=2,actions=output:1")
RATE, SIZE = 10e3, 100
ALL = (1 << 64) - 1  # the class of a route for all packets


def moves(test, one, key, count=500):
    """Waits until p2 has received some more packets by the link (key="bypass") or by the
    switch ("normal")."""
    key = f"rx_{key}_packets"
    mark = test.end("p2")[key]
    wait_until(lambda: test.end("p2")[key] >= mark + count, 20, f"{count} more of {key} at p2", one, [one])


@contextmanager
def flow(test, ports=2, before=(), ovs=None, rules_count=True):
    """A bed with highwayd on which p1 sends to p2 by the link.  When the caller is done the
    link is open again; nothing is lost, and ports and, with 'rules_count', rules have counted
    all."""
    bed = test.bed(ports, ovs=ovs)
    for command in before:
        bed.ovs.vsctl(*[bed.bridge if word == "BRIDGE" else word for word in command])
    bed.rules(*LINE)
    agent_ = agent(test, bed)
    one = test.traffic("gensink", "p1", "p2", rate=RATE, size=SIZE).start()
    go(one)
    test.wait_link("p1", "p2")
    moves(test, one, "bypass")
    yield bed, agent_, one
    wait_words(test, "p1", "yes", "p2")
    test.wait_link("p1", "p2")
    moves(test, one, "bypass")
    bed.wait_answered(1)
    report = clean(finish(one))
    if rules_count:
        bed.wait_packets((report["sent"], report["sent_bytes"]), "in_port=1", sender="p1")
    bed.wait_port(1, rx_pkts=report["sent"], rx_bytes=report["sent_bytes"])
    bed.wait_port(2, tx_pkts=report["sent"], tx_bytes=report["sent_bytes"])


def away_and_back(test, one, on, off, port="p1", permit="no"):
    """While the reason is on, all packets go by the switch, and afterwards by the link."""
    on()
    wait_words(test, port, permit, None)
    test.wait_no_link("p1", "p2")
    moves(test, one, "normal")  # What was in the link's ring has come.
    mark = test.end("p2")["rx_bypass_packets"]
    moves(test, one, "normal")
    same(test.end("p2")["rx_bypass_packets"], mark, "packets by the link while it is forbidden")
    off()
    wait_words(test, "p1", "yes", "p2")
    test.wait_link("p1", "p2")
    moves(test, one, "bypass")


@seconds(120)
def test_policing_under_traffic(test):
    """Ingress policing that lets all pass comes and goes under traffic"""
    with flow(test) as (bed, _, one):
        name = bed.ovs_name("p1")
        for column in ("ingress_policing_rate", "ingress_policing_kpkts_rate"):
            away_and_back(test, one, lambda c=column: bed.ovs.vsctl(
                "set", "Interface", name, f"{c}=1000000", f"{c.replace('rate', 'burst')}=1000000"),
                lambda c=column: bed.ovs.vsctl("set", "Interface", name, f"{c}=0", f"{c.replace('rate', 'burst')}=0"))


@seconds(120)
def test_qos_under_traffic(test):
    """Egress QoS that lets all pass comes and goes under traffic, at the receiver and at the sender"""
    with flow(test) as (bed, _, one):
        for port in ("p2", "p1"):
            name = bed.ovs_name(port)
            away_and_back(test, one, lambda n=name: bed.ovs.vsctl(
                "set", "Port", n, "qos=@q", "--", "--id=@q", "create", "QoS", "type=egress-policer",
                "other_config:cir=1000000000", "other_config:cbs=100000000"),
                lambda n=name: bed.ovs.vsctl("--", "destroy", "QoS", n, "--", "clear", "Port", n, "qos"), port)


@seconds(120)
def test_mirrors_under_traffic(test):
    """A mirror is added and removed under traffic: the port that it sends to gets the packets, which Open vSwitch alone
    would not do for a link that is open"""
    with flow(test, 3) as (bed, _, one):
        names = {port: bed.ovs_name(port) for port in ("p1", "p2", "p3")}
        get = [word for port in names for word in ("--", f"--id=@{port}", "get", "Port", names[port])]
        watcher = test.sink("p3", name="watcher")

        def on(select):
            bed.ovs.vsctl("set", "Bridge", bed.bridge, "mirrors=@m", *get, "--", "--id=@m", "create", "Mirror",
                          "name=watch", select, "output_port=@p3")
            wait_words(test, "p1", "no", None)
            bed.ovs.appctl("revalidator/purge")  # Open vSwitch does not look at its megaflows again.
            mark = test.end("p3")["rx_packets"]
            wait_until(lambda: test.end("p3")["rx_packets"] > mark + 500, 20, "packets by the mirror", watcher)

        def off():
            bed.ovs.vsctl("clear", "Bridge", bed.bridge, "mirrors")
            bed.ovs.appctl("revalidator/purge")  # Nor does it now.
        for select in ("select_src_port=@p1", "select_all=true"):
            away_and_back(test, one, lambda s=select: on(s), off)
        report = finish(watcher)
        same((report["duplicated"], report["reordered"], report["corrupted"]), (0, 0, 0), "what the mirror sent")


@seconds(120)
def test_sampling_under_traffic(test):
    """sFlow, NetFlow and IPFIX come and go under traffic"""
    test.allow.append(r"collectors\S*\|WARN\|.*127\.0\.0\.1:16343")
    # Open vSwitch forgets what its last reading of a flow that sFlow changes has missed.
    with flow(test, rules_count=False) as (bed, _, one):
        for column, table in (("sflow", "sFlow"), ("netflow", "NetFlow"), ("ipfix", "IPFIX")):
            away_and_back(test, one, lambda c=column, t=table: bed.ovs.vsctl(
                "set", "Bridge", bed.bridge, f"{c}=@s", "--", "--id=@s", "create", t, 'targets="127.0.0.1:16343"'),
                lambda c=column: bed.ovs.vsctl("clear", "Bridge", bed.bridge, c))


@seconds(120)
def test_in_band_under_traffic(test):
    """A controller's connection becomes in-band and out-of-band again under traffic"""
    test.allow += [r"rconn\|WARN\|.*127\.0\.0\.1:16663", r"in_band\|WARN\|.*cannot find route"]
    # The first controller of a bridge, not a later one, has Open vSwitch flush all rules.
    before = (("set-controller", "BRIDGE", "tcp:127.0.0.1:16663", "--", "set", "Controller", "BRIDGE",
               "connection_mode=out-of-band"),)
    with flow(test, before=before) as (bed, _, one):
        for _ in range(2):
            away_and_back(test, one, lambda: bed.ovs.vsctl("set", "Controller", bed.bridge, "connection_mode=in-band"),
                          lambda: bed.ovs.vsctl("set", "Controller", bed.bridge, "connection_mode=out-of-band"))


@seconds(120)
def test_bypass_off_under_traffic(test):
    """highway-bypass=off of the sender, of the receiver, of the bridge and of the domain, on and off under traffic"""
    with flow(test) as (bed, _, one):
        vsctl, key = bed.ovs.vsctl, "other_config:highway-bypass"
        for port in ("p1", "p2"):
            row = "Interface", bed.ovs_name(port)
            away_and_back(test, one, lambda r=row: vsctl("set", *r, f"{key}=off"), lambda r=row: vsctl("set", *r, f"{key}=on"),
                          port)
        away_and_back(test, one, lambda: vsctl("set", "Bridge", bed.bridge, f"{key}=off"),
                      lambda: vsctl("remove", "Bridge", bed.bridge, "other_config", "highway-bypass"))
        away_and_back(test, one, lambda: bed.ovs.set_other_config(highway_bypass_off_domains=test.domain),
                      lambda: vsctl("remove", "Open_vSwitch", ".", "other_config", "highway-bypass-off-domains"))


@seconds(120)
def test_monitoring_protocols_under_traffic(test):
    """With CFM, BFD, LLDP and LACP there is no route for all packets, and with BFD, which is in UDP, none for IPv4; the
    packets go on, and all of them by the link when it is off"""
    test.allow.append(r"\|(cfm|bfd|lldp|lacp)\S*\|WARN\|")
    with flow(test) as (bed, _, one):
        name = bed.ovs_name("p1")
        for on, off, classes in (
                (("set", "Interface", name, "cfm_mpid=7"), ("clear", "Interface", name, "cfm_mpid"), True),
                (("set", "Interface", name, "bfd:enable=true"), ("clear", "Interface", name, "bfd"), False),
                (("set", "Interface", name, "lldp:enable=true"), ("clear", "Interface", name, "lldp"), True),
                (("set", "Port", name, "lacp=active"), ("clear", "Port", name, "lacp"), True)):
            wait_route(test, True)
            bed.ovs.vsctl(*on)
            wait_words(test, "p1", "yes", None)
            if classes:
                wait_route(test, False)
            else:
                wait_until(lambda: not test.routed("p1"), 10, "p1 to have no route", lambda: str(test.routed("p1")))
            moves(test, one, "bypass" if classes else "normal")
            sure(ALL not in test.routed("p1").get("p2", ()), f"a route for all packets after {on}")
            bed.ovs.vsctl(*off)
            wait_words(test, "p1", "yes", "p2")
            moves(test, one, "bypass")
            if not classes:
                bed.ovs.appctl("revalidator/purge")  # The megaflow of that time is too narrow for a class.


def controller_leaves(test, fail_mode, bypass):
    """Under traffic the controller goes away for as long as it takes the switch to fail open,
    if it does, and comes back; returns the generator's report."""
    bed = test.bed(2)
    bed.ovs.vsctl("set", "Bridge", bed.bridge, f"fail_mode={fail_mode}",
                  f"other_config:highway-bypass={'on' if bypass else 'off'}")
    boss = Listener(test, bed)
    bed.rules(*LINE)
    agent(test, bed)
    one = test.traffic("gensink", "p1", "p2", name=f"{fail_mode}-{bypass}", rate=RATE, size=SIZE).start()
    go(one)

    def told(word):
        return lambda: word in bed.ovs.log.read_text(errors="replace")[start:]

    def by_proof():
        if bypass:
            wait_words(test, "p1", "yes", "p2")
            wait_route(test, True)
        moves(test, one, "bypass" if bypass else "normal")
    by_proof()
    start = len(bed.ovs.log.read_text(errors="replace"))
    boss.leave()
    boss.wait_connected(False)
    if fail_mode == "secure":
        by_proof()
        for _ in range(2 if bypass else 0):  # Longer than it would take to fail open.
            moves(test, one, "bypass", 10 * RATE)
        sure(not told("failing open")(), "it failed open")
    else:
        # It may forward by a rule that nobody sees: no proof, but classes, as long as it does not.
        wait_words(test, "p1", "yes" if bypass else "no", None)
        moves(test, one, "bypass" if bypass else "normal")
        wait_until(told("failing open"), 60, "the switch to fail open", bed.ovs.log)
        test.wait_no_link("p1", "p2")
        moves(test, one, "normal")
        bed.rules(*LINE)  # It has flushed them.
        moves(test, one, "normal")
    boss.come()
    boss.wait_connected(True)
    if fail_mode != "secure":
        wait_until(told("No longer in fail-open"), 60, "the switch to be the controller's again", bed.ovs.log)
    by_proof()
    report = finish(one)
    bed.wait_port(1, rx_pkts=report["sent"], rx_bytes=report["sent_bytes"])
    bed.remove_all()
    return report


@seconds(240)
def test_secure_without_its_controller_under_traffic(test):
    """With fail_mode=secure the controller goes away and comes back: the link stays open, nothing is lost, as without a
    bypass"""
    for bypass in (True, False):
        clean(controller_leaves(test, "secure", bypass))


@seconds(240)
def test_standalone_without_its_controller_under_traffic(test):
    """With fail_mode=standalone the controller goes away: the proof is taken back at once, when the switch fails open
    all packets are its own, and when the controller is back so is the link; no more is lost than without a bypass"""
    test.allow.append(r"fail_open\S*\|WARN\|")
    lost = {}
    for bypass in (True, False):
        report = controller_leaves(test, "standalone", bypass)
        same([report[key] for key in ("duplicated", "reordered", "corrupted")], [0, 0, 0],
             "duplicated, reordered, corrupted")
        lost[bypass] = report["lost"]
    test.note(f"lost with a bypass, and without: {lost}")
    same(lost[True], 0, "lost")


@seconds(150)
def test_no_bypass_while_packets_are_dropped(test):
    """With STP and RSTP, and with no-receive or no-forward by port-mod, Open vSwitch drops packets: none of them goes by
    the link instead, and all of them do afterwards"""
    test.allow.append(r"\|(stp|rstp)\S*\|WARN\|")
    bed = test.bed(2)
    bed.rules(*LINE)
    agent(test, bed)
    sink = test.sink("p2")
    one = test.traffic("gen", "p1", rate=RATE, size=SIZE).start()
    go(one)
    changes = [(lambda c=column: bed.ovs.vsctl("set", "Bridge", bed.bridge, f"{c}=true"),
                lambda c=column: bed.ovs.vsctl("set", "Bridge", bed.bridge, f"{c}=false"))
               for column in ("stp_enable", "rstp_enable")]
    changes += [(lambda p=port, w=word: bed.ovs.ofctl("mod-port", bed.bridge, str(p), w),
                 lambda p=port, w=undo: bed.ovs.ofctl("mod-port", bed.bridge, str(p), w))
                for port, word, undo in ((1, "no-receive", "receive"), (2, "no-forward", "forward"))]
    for on, off in changes:
        wait_route(test, True)
        moves(test, sink, "bypass")
        on()
        wait_words(test, "p1", "yes", None)
        test.wait_no_link("p1", "p2")
        wait_until(lambda: test.end("p2")["rx_bypass_packets"] == test.end("p1")["tx_bypass_packets"], 10,
                   "the link to be empty", one)
        mark, sent = test.end("p1")["tx_bypass_packets"], test.end("p1")["tx_packets"]
        wait_until(lambda: test.end("p1")["tx_packets"] > sent + 3000, 20, "the generator to go on", one)
        same(test.end("p1")["tx_bypass_packets"], mark, "packets by the link meanwhile")
        off()
        wait_words(test, "p1", "yes", "p2")
    wait_route(test, True)
    moves(test, sink, "bypass")
    finish(one)
    report = finish(sink)
    same([report[key] for key in ("duplicated", "reordered", "corrupted")], [0, 0, 0], "duplicated, reordered, corrupted")


@seconds(120)
def test_counters_of_flows_that_are_modified(test):
    """Several megaflows, narrower than a class, answer for one link; a copy of the packets to another port modifies them
    all, and they are deleted before they are read again: no packet that went by the link is taken from the rule"""
    bed = test.bed(3)
    rule, narrow = "priority=100,in_port=1", [f"priority=200,in_port=1,udp,tp_src={bits}/0x7" for bits in (6, 7)]
    bed.rules(f"{rule},actions=output:2")
    agent(test, bed)
    copies = test.sink("p3", name="copies")
    one = test.traffic("gensink", "p1", "p2", rate=RATE, size=SIZE, flows=6).start()
    go(one)
    for _ in range(6):
        bed.rules(*[f"{each},actions=output:3" for each in narrow])
        bed.ovs.appctl("revalidator/purge")
        moves(test, one, "normal")  # By megaflows that look at UDP's ports, and stay.
        for each in narrow:
            bed.delete(each, strict=True)
        wait_route(test, True)
        moves(test, one, "bypass")
        sure(len(bed.ovs.datapath_flows()) > 1, f"several megaflows: {bed.ovs.datapath_flows()}")
        bed.ovs.ofctl("--strict", "mod-flows", bed.bridge, f"{rule},actions=output:2,output:3")
        bed.ovs.appctl("revalidator/wait")
        wait_until(lambda: not bed.ovs.offloads_waiting(), 10, "the offload thread to begin with the last flow")
        sure(all("," in flow["actions"] for flow in bed.ovs.datapath_flows()), "copies by all megaflows")
        bed.ovs.appctl("revalidator/purge")
        bed.ovs.ofctl("--strict", "mod-flows", bed.bridge, f"{rule},actions=output:2")
    report = finish(one)
    finish(copies)
    # Open vSwitch itself reorders when megaflows vanish in the middle of a burst.
    same((report["received"], report["lost"], report["duplicated"], report["corrupted"]), (report["sent"], 0, 0, 0),
         "received, lost, duplicated, corrupted")
    bypassed = test.end("p1")["tx_bypass_packets"]
    wait_until(lambda: test.credited("p1")[0] == bypassed, 15, "the switch to be told all that went by links",
               lambda: f"{test.credited('p1')[0]} of {bypassed}")
    # Its own race (README, Limits) is likely here, and takes a few; all would be thousands.
    wait_until(lambda: abs(bed.packets("in_port=1")[0] - report["sent"]) * 100 <= bypassed, 15,
               f"the rule to count {report['sent']}", lambda: str(bed.packets("in_port=1")))


# --- deaths -----------------------------------------------------------------------------


def wait_route(test, all_packets):
    """Waits until p1's packets are routed to p2 by a proof ('all_packets'), or by classes."""
    wait_until(lambda: (ALL in test.routed("p1").get("p2", ())) == all_packets and test.routed("p1"), 10,
               f"p1's route to be {'one for all packets' if all_packets else 'that of a class'}",
               lambda: str(test.routed("p1")))


def lapse(test, one, stop):
    """Stops highwayd by 'stop': within a second, and another for a busy machine, the host end
    takes it for dead, and the packets go on by the route of their class."""
    wait_until(lambda: beat(test)[2], 5, "the host to hear the agent")
    wait_route(test, True)
    stop()
    begin = time.monotonic()
    wait_until(lambda: not beat(test)[2], 5, "the host to take the agent for dead")
    within(begin, 2, "to take the agent for dead")
    wait_route(test, False)
    moves(test, one, "bypass")


@seconds(120)
def test_highwayd_killed_under_traffic(test):
    """highwayd is killed with -9 three times under traffic: proofs lapse within 1 s, the packets' classes go on by the
    link, and the next highwayd adopts what it finds"""
    with flow(test) as (_, agent_, one):
        for _ in range(3):
            lapse(test, one, agent_.kill9)
            same(words(test, "p1"), ("yes", "p2"), "the words of a dead agent")
            agent_.start()
            wait_route(test, True)
            wait_until(lambda: any(", as found" in e["text"] for e in agent_.events("proven")), 10,
                       "the proof to be adopted", lambda: agent_.appctl("events"))
            same(agent_.events("withdrawn"), [], "withdrawals by the new agent")
            moves(test, one, "bypass")


@seconds(120)
def test_highwayd_stopped_under_traffic(test):
    """highwayd is stopped (SIGSTOP) and continued three times under traffic: proofs lapse within 1 s and come back"""
    with flow(test) as (_, agent_, one):
        for _ in range(3):
            try:
                lapse(test, one, lambda: agent_.signal(signal.SIGSTOP))
            finally:
                agent_.signal(signal.SIGCONT)
            wait_route(test, True)
            moves(test, one, "bypass")


@seconds(120)
def test_highwayd_restarted_under_traffic(test):
    """highwayd ends in good order, and as for an upgrade, and starts again under traffic"""
    with flow(test) as (_, agent_, one):
        for how in (("exit",), ("exit", "--restart"), ("exit",)):
            agent_.appctl(*how)
            wait_until(lambda: not agent_.alive, 10, "highwayd to end")
            wait_route(test, False)
            moves(test, one, "bypass")
            agent_.start()
            wait_route(test, True)
            moves(test, one, "bypass")


@seconds(120)
def test_ovsdb_server_dies_under_traffic(test):
    """ovsdb-server is killed with -9, and restarted in good order, under traffic: the link stays open all the while, and
    a reason that comes afterwards is seen"""
    ovs = test.own_ovs()
    test.allow.append(r"\|(reconnect|jsonrpc|ovsdb_idl|stream)\|WARN\|")
    with flow(test, ovs=ovs) as (bed, agent_, one):
        normal = test.end("p2")["rx_normal_packets"]
        for end in (ovs.ovsdb.kill9, ovs.ovsdb.stop):
            end()
            moves(test, one, "bypass", 3000)
            ovs.start_ovsdb()
            moves(test, one, "bypass")
            same(test.end("p2")["rx_normal_packets"], normal, "packets by the switch")
            name = bed.ovs_name("p1")
            away_and_back(test, one, lambda n=name: ovs.vsctl("set", "Interface", n, "other_config:highway-bypass=off"),
                          lambda n=name: ovs.vsctl("set", "Interface", n, "other_config:highway-bypass=on"))
            normal = test.end("p2")["rx_normal_packets"]
        sure(agent_.alive, "highwayd died")


@seconds(150)
def test_vswitchd_dies_under_traffic(test):
    """ovs-vswitchd is killed with -9 under traffic: the link goes on without it, highwayd takes its proofs back; when
    the switch, which has no rules then, and its controller are back, so is the link; nothing is lost"""
    ovs = test.own_ovs(dies=True)
    test.allow.append(r"\|(reconnect|rconn|jsonrpc|stream)\|WARN\|")
    bed = test.bed(2, ovs=ovs)
    bed.rules(*LINE)
    agent_ = agent(test, bed)
    one = test.traffic("gensink", "p1", "p2", rate=RATE, size=SIZE).start()
    go(one)
    wait_route(test, True)
    moves(test, one, "bypass")
    ovs.vswitchd.kill9()
    wait_words(test, "p1", "yes", None)
    moves(test, one, "bypass", 10000)
    one.control("stop")  # Without rules the switch would drop the packets.
    ovs.start_vswitchd()
    agent_.wait_synced(bed.bridge)
    same(agent_.bridges()[bed.bridge]["rules"], 0, "rules")
    bed.rules(*LINE)
    wait_words(test, "p1", "yes", "p2")
    one.control("start")
    wait_route(test, True)
    moves(test, one, "bypass")
    clean(finish(one))
