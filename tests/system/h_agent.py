# SPDX-License-Identifier: BSD-3-Clause
"""highwayd: what it proves, publishes and explains."""

import json
import re
import time

from lab import LabError, run, wait_until

from .h_kit import agent, beat, wait_explained, wait_words, words
from .kit import clean, finish, go, same, seconds, sure

LINE = ("cookie=0x5,in_port=1,actions=output:2", "cookie=0x6,in_port=2,actions=output:1")


def test_a_p2p_rule_is_proven_and_explained(test):
    """A p-2-p rule is published as a proof before any packet is sent, and explain names its bridge, table, priority,
    cookie and match"""
    bed = test.bed(2)
    bed.rules(*LINE)
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    wait_words(test, "p2", "yes", "p1")
    said = one.explain(bed.ovs_name("p1"))
    same(said["bridge"], bed.bridge, "the bridge")
    same(said["rules"]["to"], bed.ovs_name("p2"), "where it leads")
    rule = said["rules"]["rule"]
    same((rule["table"], rule["priority"], rule["cookie"]), (0, 32768, "0x5"), "the rule")
    sure("in_port" in rule["match"], f"no in_port in the match: {rule}")
    text = one.appctl("explain", bed.ovs_name("p1"))
    for word in (bed.bridge, "table 0", "32768", "0x5", "in_port", "permits"):
        sure(word in text, f"'{word}' is not in: {text}")


def test_a_breaking_rule_is_named(test):
    """A rule that takes some packets away withdraws the proof and is named by explain; when it is gone the proof
    returns"""
    bed = test.bed(2)
    bed.rules(*LINE)
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    bed.rules("cookie=0x77,priority=65000,in_port=1,tcp,tp_dst=80,actions=drop")
    wait_words(test, "p1", "yes", None)
    same(words(test, "p2"), ("yes", "p1"), "the other direction")
    said = one.explain(bed.ovs_name("p1"))
    rule = said["rules"]["rule"]
    same((rule["table"], rule["priority"], rule["cookie"]), (0, 65000, "0x77"), "the rule that decides")
    sure("tp_dst=80" in rule["match"], f"no tp_dst in the match: {rule}")
    text = one.appctl("explain", bed.ovs_name("p1"))
    for word in ("does not bypass", bed.bridge, "65000", "0x77", "tp_dst=80"):
        sure(word in text, f"'{word}' is not in: {text}")
    bed.delete("cookie=0x77/-1")
    wait_words(test, "p1", "yes", "p2")
    wait_explained(one, bed.ovs_name("p1"), lambda s: s["rules"]["published"], "the proof to be published")


def test_a_rule_that_cannot_match_does_not_disturb(test):
    """A rule for another port, and one below the p-2-p rule, leave the proof as it is"""
    bed = test.bed(3)
    bed.rules(*LINE)
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    before = len(one.events("withdrawn"))
    bed.rules("priority=65000,in_port=3,tcp,tp_dst=80,actions=drop", "priority=7,udp,actions=output:3")
    wait_until(lambda: one.bridges()[bed.bridge]["rules"] == 4, 10, "the rules to be known")
    same(words(test, "p1"), ("yes", "p2"), "the words")
    same(len(one.events("withdrawn")), before, "withdrawals")


def test_the_link_opens_by_proof(test):
    """With traffic the region routes all packets of the proven port by one link, and explain, links, ports and events
    say so"""
    bed = test.bed(2)
    bed.rules(*LINE)
    one = agent(test, bed)
    x, y = bed.ovs_name("p1"), bed.ovs_name("p2")
    test.sink("p2")
    source = test.traffic("gen", "p1", rate=5e3, count=10**9, control=True)
    source.start()
    source.expect("ready")
    source.control("start")
    said = wait_explained(one, x, lambda s: s["bypass"] == "proof", "p1 to bypass by proof")
    same([r["class"] for r in said["region"]["routes"]], ["all"], "routes")
    link = wait_until(lambda: one.links().get((x, y)), 5, "the link to be listed")
    same((link["state"], link["proven"], link["classes"]), ("open", True, "all"), "the link")
    same(one.ports()[x]["bypass"], "proof", "ports")
    opened = wait_until(lambda: one.events("opened"), 5, "the event")[-1]
    same((opened["port"], opened["peer"]), (x, y), "the event's ports")
    bed.rules("priority=65000,in_port=1,tcp,actions=drop")
    wait_explained(one, x, lambda s: s["bypass"] != "proof", "p1 to leave the proof's route")
    wait_until(lambda: one.events("closed"), 10, "the link's closing to be noted")

    def unlike():
        """Events that are not in the log as often as in the journal."""
        texts, log = [event["text"] for event in one.events()], one.logfile.read_text()
        return [text for text in texts if log.count(text) != texts.count(text)]
    wait_until(lambda: not unlike(), 5, "each event to have its line in the log", lambda: str(unlike()))
    source.stop()


def test_a_megaflow_too_narrow_does_not_keep_the_link_closed(test):
    """When a narrower rule goes, the link opens by proof although Open vSwitch keeps the narrow megaflow, and the
    rule's counters stay exact"""
    bed = test.bed(2)
    bed.rules(*LINE, "cookie=0x77,priority=65000,in_port=1,udp,tp_dst=7777,actions=drop")
    one = agent(test, bed)
    x = bed.ovs_name("p1")
    wait_words(test, "p1", "yes", None)
    source = test.traffic("gensink", "p1", "p2", rate=5e3).start()
    go(source)
    narrow = r"udp\(.*dst="
    wait_until(lambda: any(re.search(narrow, str(f)) for f in bed.ovs.datapath_flows()), 10, "a narrow megaflow")
    same(test.routed("p1"), {}, "routes while the narrow rule is there")
    bed.delete("priority=65000,in_port=1,udp,tp_dst=7777", strict=True)
    wait_explained(one, x, lambda s: s["bypass"] == "proof", "p1 to bypass by proof")
    mark = test.end("p1")["tx_bypass_packets"]
    wait_until(lambda: test.end("p1")["tx_bypass_packets"] > mark + 2000, 10, "packets by the link", source)
    sure(any(re.search(narrow, str(f)) for f in bed.ovs.datapath_flows()), "the megaflow is narrow still")
    report = clean(finish(source))
    bed.wait_packets((report["sent"], report["sent_bytes"]), "in_port=1", sender="p1")


def test_groups_are_followed(test):
    """A proof leads through a group with one bucket, follows its change and ends with a second bucket"""
    bed = test.bed(3)
    bed.ovs.ofctl("add-group", bed.bridge, "group_id=9,type=indirect,bucket=output:2")
    bed.rules("in_port=1,actions=group:9")
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    bed.ovs.ofctl("mod-group", bed.bridge, "group_id=9,type=indirect,bucket=output:3")
    wait_words(test, "p1", "yes", "p3")
    bed.ovs.ofctl("mod-group", bed.bridge, "group_id=9,type=all,bucket=output:3,bucket=output:2")
    wait_words(test, "p1", "yes", None)
    sure("9" in one.explain(bed.ovs_name("p1"))["rules"]["text"], "the group is not named")
    bed.ovs.ofctl("mod-group", bed.bridge, "group_id=9,type=all,bucket=output:2")
    wait_words(test, "p1", "yes", "p2")
    bed.ovs.ofctl("del-groups", bed.bridge, "group_id=9")
    wait_words(test, "p1", "yes", None)


def test_fragments_that_are_dropped_end_proofs(test):
    """A bridge that is set to drop IP fragments proves nothing; highwayd itself leaves that setting as it is"""
    bed = test.bed(2)
    bed.rules(*LINE)
    bed.ovs.ofctl("set-frags", bed.bridge, "nx-match")
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    sure("nx-match" in bed.ovs.ofctl("get-frags", bed.bridge), "highwayd changed the handling of fragments")
    bed.ovs.ofctl("set-frags", bed.bridge, "drop")
    wait_words(test, "p1", "yes", None)
    sure("fragments" in one.appctl("explain", bed.ovs_name("p1")), "the reason is not told")
    bed.ovs.ofctl("set-frags", bed.bridge, "normal")
    wait_words(test, "p1", "yes", "p2")


def test_port_settings_end_proofs(test):
    """no-receive at the sender, no-forward at the receiver, and down at either end the proof for as long as they
    are set"""
    bed = test.bed(2)
    bed.rules(*LINE)
    one = agent(test, bed)
    for port, setting, undo in ((1, "no-receive", "receive"), (2, "no-forward", "forward"), (1, "down", "up"),
                                (2, "down", "up")):
        wait_words(test, "p1", "yes", "p2")
        bed.ovs.ofctl("mod-port", bed.bridge, str(port), setting)
        wait_words(test, "p1", "yes", None)
        sure(bed.ovs_name(f"p{port}") in one.explain(bed.ovs_name("p1"))["rules"]["text"], "the port is not named")
        bed.ovs.ofctl("mod-port", bed.bridge, str(port), undo)
    wait_words(test, "p1", "yes", "p2")


def test_ports_come_and_go(test):
    """A port that leaves the bridge takes its proofs along; a bridge that is removed is no longer followed"""
    bed = test.bed(3)
    bed.rules(*LINE)
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    bed.remove(2)
    wait_words(test, "p1", "yes", None)
    sure(bed.ovs_name("p2") not in one.ports(), "the removed port is listed")
    bed.add(2, "p2")
    wait_words(test, "p1", "yes", "p2")
    bed.ovs.vsctl("del-br", bed.bridge)
    wait_until(lambda: bed.bridge not in one.bridges(), 10, "the bridge to be forgotten")
    wait_until(lambda: not one.ask("domains")["domains"], 10, "the domain to be left")


@seconds(120)
def test_it_keeps_up_with_flow_mods(test):
    """5,000 rules are added, and removed, in one go: highwayd knows as many as the switch, reads them all only once,
    and the proof is right in the end"""
    bed = test.bed(2)
    bed.rules(*LINE)
    one = agent(test, bed)
    many = "\n".join(f"priority={100 + n % 900},ip,nw_dst=10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255},tp_dst={n},tcp,"
                     "actions=output:1" for n in range(5000))
    bed.ovs.ofctl("add-flows", bed.bridge, "-", stdin=many, deadline_s=60)
    wait_until(lambda: one.bridges()[bed.bridge]["rules"] == 5002, 30, "5,002 rules to be known",
               lambda: one.appctl("bridges"))
    wait_words(test, "p1", "yes", "p2")
    bed.delete("tcp")
    wait_until(lambda: one.bridges()[bed.bridge]["rules"] == 2, 30, "2 rules to be left",
               lambda: one.appctl("bridges"))
    wait_words(test, "p1", "yes", "p2")
    same(one.bridges()[bed.bridge]["syncs"], 1, "how often all rules were read")


def test_bad_input_gets_a_sentence(test):
    """Unknown ports, arguments too many, and a second agent of a domain are answered with a sentence"""
    bed = test.bed(2)
    one = agent(test, bed)

    def refused(*command):
        try:
            one.appctl(*command)
        except LabError as error:
            return str(error)
        raise AssertionError(f"{command} was not refused")
    said = refused("explain", "nosuch")
    sure("nosuch is no Highway port: known are" in said and bed.ovs_name("p1") in said, said)
    sure("explain PORT" in refused("explain"), "explain without a port")
    sure("'much' is not understood" in refused("links", "much"), "links with a word")
    sure("'0' is not understood" in refused("events", "0"), "events 0")
    sure("--restart" in refused("exit", "--now"), "exit --now")
    second = agent(test, bed)
    wait_until(lambda: any("agent already" in (d["trouble"] or "") for d in second.ask("domains")["domains"]), 10,
               "the second agent to say that there is one", lambda: second.appctl("domains"))
    binary = one.argv[0]
    for argv, sentence in (([binary, "nonsense"], "is no database"), ([binary, "a", "b"], "one argument too many")):
        try:
            run(argv)
        except LabError as error:
            sure(sentence in str(error), f"{argv}: {error}")
        else:
            raise AssertionError(f"{argv} was not refused")


def test_highwayctl_asks_it(test):
    """highwayctl explain, ports, links, domains, bridges, events and watch answer as highwayd does, with --json too;
    what it complains of is passed on, and so is that it is not there"""
    bed = test.bed(2)
    bed.rules(*LINE)
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    name = bed.ovs_name("p1")
    ask = ("--agent", one.ctl)
    same(test.ctl(*ask, "explain", name), one.appctl("explain", name), "explain")
    same(json.loads(test.ctl(*ask, "--json", "explain", name)), one.explain(name), "explain --json")
    for command in ("ports", "domains", "bridges", "events"):
        same(test.ctl(*ask, command), one.appctl(command), command)
        same(json.loads(test.ctl(*ask, "-j", command)), one.ask(command), f"{command} --json")
    same(test.ctl(*ask, "links"), one.appctl("links"), "links")
    same(len(test.ctl(*ask, "events", "1").splitlines()), 2, "lines of events 1")
    watched = test.ctl(*ask, "-i", "0.05", "-n", "3", "watch")
    same(watched.count(name + " "), 3 * (one.appctl("ports") + one.appctl("events", "10")).count(name + " "),
         "what watch printed three times")
    same(test.ctl(*ask, "-n", "1", "watch", name).strip(), one.appctl("explain", name).strip(), "watch of a port")
    for argv, sentence in (((*ask, "explain", "nosuch"), "nosuch is no Highway port"),
                           (("--agent", test.dir / "nosuch.ctl", "ports"), "highwayd does not answer"),
                           ((*ask, "explain"), "takes the name of one port"),
                           (("--dir", test.dir, "links"), "takes no --dir")):
        try:
            test.ctl(*argv)
        except LabError as error:
            sure(sentence in str(error), f"{argv}: {error}")
        else:
            raise AssertionError(f"{argv} was not refused")


@seconds(120)
def test_every_openflow_version(test):
    """Whatever single OpenFlow version the bridge speaks, the rules are followed, and a table miss stays what it was
    before highwayd came"""
    bed = test.bed(2)
    packet = "in_port=2,dl_dst=02:00:00:00:00:01"

    def miss():
        return [line for line in bed.ovs.appctl("ofproto/trace", bed.bridge, packet).splitlines()
                if line.startswith("Datapath actions")]
    for version in ("OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"):
        bed.ovs.vsctl("set", "Bridge", bed.bridge, f"protocols={version}")
        before = miss()
        one = agent(test, bed)
        sure(any(version in e["text"] for e in one.events("bridge")), f"it does not speak {version}")
        bed.ovs.ofctl("add-flow", bed.bridge, "in_port=1,actions=output:2", version=version)
        wait_words(test, "p1", "yes", "p2")
        same(miss(), before, f"a table miss with {version}")
        bed.ovs.ofctl("del-flows", bed.bridge, version=version)
        wait_words(test, "p1", "yes", None)
        one.stop()


def test_events_are_bounded(test):
    """highway-journal-size bounds the journal, which keeps the latest events, and highway-debounce-ms holds back a
    flapping proof"""
    bed = test.bed(2)
    bed.rules(*LINE)
    bed.ovs.set_other_config(highway_journal_size=5, highway_debounce_ms=2000)
    test.defer(bed.ovs.vsctl, "remove", "Open_vSwitch", ".", "other_config", "highway-journal-size",
               "highway-debounce-ms")
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    for _ in range(30):  # Two have to come within a second, which takes a busy machine some tries.
        bed.rules("priority=65000,in_port=1,tcp,actions=drop")
        wait_words(test, "p1", "yes", None)
        bed.delete("tcp")
        if wait_until(lambda: one.explain(bed.ovs_name("p1"))["rules"]["proven"], 10, "the rules to prove it again"):
            said = one.explain(bed.ovs_name("p1"))["rules"]
            if not said["published"]:
                break
            wait_words(test, "p1", "yes", "p2")
    else:
        raise AssertionError("a proof that flaps was given at once each time")
    wait_words(test, "p1", "yes", "p2", 5)
    events = one.events()
    same(len(events), 5, "events kept")
    same([e["serial"] for e in events], sorted(e["serial"] for e in events), "their order")
    sure(events[0]["serial"] > 5, "the oldest event is still there")
    same(len(one.appctl("events", "2").splitlines()), 3, "lines of 'events 2'")


def test_it_beats(test):
    """highwayd beats at least every 200 ms, and the host takes it for alive"""
    bed = test.bed(1)
    agent(test, bed)
    wait_until(lambda: beat(test)[2], 5, "the host to hear the agent")

    def ten():
        begin, first = time.monotonic(), beat(test)[1]
        wait_until(lambda: beat(test)[1] >= first + 10, 10, "ten beats")
        return time.monotonic() - begin
    # Whoever loses the processor beats late: the best of three counts.
    took = min(ten() for _ in range(3))
    sure(took < 2.1, f"ten beats in {took:.2f} s")
