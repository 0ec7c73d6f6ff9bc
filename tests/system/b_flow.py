# SPDX-License-Identifier: BSD-3-Clause
"""B. The flow interface as testpmd's prompt reaches it: create, validate, query, flush,
destroy, and what is refused with which reason."""

from lab import wait_until

from .kit import clean, finish, flow_line, go, same, say, sure

HEAD = "transfer pattern eth type is 0x0800 / ipv4 fragment_offset spec 0 fragment_offset mask 0x3fff / end"


def _count(said):
    import re

    return tuple(int(re.search(rf"{key}: (\d+)", said)[1]) for key in ("hits", "bytes"))


def test_query_and_destroy(t):
    """A flow is created, counts exactly what went by it, and its end closes the link."""
    host = t.host(2)
    say(host, flow_line(0, 1), "Flow rule #0 created")
    first = t.traffic("gensink", "p1", "p2", size="64-700", count=10000, rate=40e3).start()
    first.expect("ready")
    t.wait_link("p1", "p2")
    first.control("start")
    wait_until(lambda: t.end("p2")["rx_packets"] >= 10000, 20, "10,000 packets", first)
    report = clean(finish(first))
    same(_count(host.command("flow query 0 0 count")), (report["sent"], report["sent_bytes"]), "hits and bytes")
    say(host, "flow destroy 0 rule 0", "Flow rule #0 destroyed")
    sink = t.traffic("gensink", "p1", "p2", count=5000, rate=40e3).start()
    go(sink)
    wait_until(lambda: t.end("p2")["rx_packets"] >= 5000, 20, "packets by the switch", sink)
    same(t.end("p1")["tx_bypass_packets"], 0, "packets by a link")
    clean(finish(sink))


def test_new_form_of_an_accepted_flow(t):
    """What replaces a flow is accepted whatever it does, as Open vSwitch forgets a flow's counters if it is not; once,
    and only if it matches the same"""
    host = t.host(3)
    other = "transfer pattern eth type is 0x0806 / end"

    def create(pattern, actions, accepted):
        say(host, f"flow create 0 {pattern} actions {actions} / end", "created" if accepted else "error")

    create(HEAD, "count / port_id id 1", True)
    say(host, "flow destroy 0 rule 0", "destroyed")
    create(HEAD, "count / port_id id 1 / port_id id 2", True)
    same(_count(host.command("flow query 0 0 count")), (0, 0), "hits and bytes")
    create(HEAD, "count / drop", False)
    say(host, "flow destroy 0 rule 0", "destroyed")
    create(HEAD, "count / drop", True)
    say(host, "flow destroy 0 rule 0", "destroyed")
    create(other, "count / drop", False)
    create(HEAD, "count / drop", False)
    same(host.command("flow list 0").count("COUNT"), 0, "flows that are left")


def test_flush_under_traffic(t):
    """Flush withdraws all routes in the middle of traffic; create opens the link again; nothing is lost."""
    host = t.host(2)
    one = t.traffic("gensink", "p1", "p2", rate=30e3).start()
    go(one)
    for turn in range(5):
        say(host, flow_line(0, 1), "created")
        t.wait_link("p1", "p2")
        mark = t.end("p1")["tx_bypass_packets"]
        wait_until(lambda m=mark: t.end("p1")["tx_bypass_packets"] > m + 1000, 10, "packets by the link", one)
        say(host, "flow flush 0", "")
        t.wait_no_link("p1", "p2")
        mark = t.end("p1")["tx_normal_packets"]
        wait_until(lambda m=mark: t.end("p1")["tx_normal_packets"] > m + 1000, 10, "packets by the switch", one)
    one.quit()
    clean(one.result())


def test_represented_port(t):
    """REPRESENTED_PORT, the newer name of the action, opens the link too."""
    host = t.host(2)
    say(host, flow_line(0, 1, "represented_port ethdev_port_id"), "created")
    first = t.traffic("gensink", "p1", "p2", count=5000, rate=40e3).start()
    first.expect("ready")
    t.wait_link("p1", "p2")
    first.control("start")
    wait_until(lambda: t.end("p2")["rx_bypass_packets"] >= 5000, 20, "5,000 packets by the link", first)
    clean(finish(first))


def test_validate(t):
    """validate accepts what create accepts and refuses the rest, with the reason."""
    host = t.host(3)
    say(host, f"flow validate 0 {HEAD} actions count / port_id id 1 / end", "validated")
    looks = "the match looks at more than VLAN tag, ether type and fragment"
    acts = "the actions are not output to one other port of the same domain"
    for pattern, actions, reason in (
            ("eth type is 0x0800 / ipv4 fragment_offset spec 0 fragment_offset mask 0x3fff / udp dst is 53 / end",
             "count / port_id id 1 / end", looks),
            ("eth type is 0x0800 / ipv4 dst is 10.0.0.1 fragment_offset spec 0 fragment_offset mask 0x3fff / end",
             "count / port_id id 1 / end", looks),
            ("eth dst is 02:00:00:00:00:01 type is 0x88b5 / end", "count / port_id id 1 / end", looks),
            ("eth / end", "count / port_id id 1 / end", looks),
            ("eth type is 0x0806 / end", "count / port_id id 0 / end", acts),
            ("eth type is 0x0806 / end", "count / port_id id 77 / end", acts),
            ("eth type is 0x0806 / end", "count / port_id id 1 / port_id id 2 / end", acts),
            ("eth type is 0x0806 / end", "count / drop / end", acts),
            ("eth type is 0x0806 / end", "port_id id 1 / end", "a flow without COUNT cannot be bypassed")):
        for verb in ("validate", "create"):
            say(host, f"flow {verb} 0 transfer pattern {pattern} actions {actions}", reason if verb == "validate"
                else "error")
    say(host, "flow validate 0 ingress pattern eth type is 0x0806 / end actions count / port_id id 1 / end",
        "only transfer flows of group 0 can be bypassed")
    say(host, "flow validate 0 group 1 transfer pattern eth type is 0x0806 / end actions count / port_id id 1 / end",
        "only transfer flows of group 0 can be bypassed")
    same(host.command("flow list 0").count("PORT_ID"), 0, "flows that were created all the same")


def test_guest_end_takes_no_flows(t):
    """A guest end refuses flows."""
    t.host(2)
    vnf = t.testpmd("vnf", t.guests("p1", "p2")).start()
    say(vnf, flow_line(0, 1), "only the host end of a port takes flows")


def test_contradicting_flows(t):
    """Two flows of one class to different ports: neither is used until one goes, and nothing is lost."""
    host = t.host(4)
    third = t.sink("p3")
    one = t.traffic("gensink", "p1", "p2", rate=30e3).start()
    go(one)
    say(host, flow_line(0, 1), "created")
    t.wait_link("p1", "p2")
    say(host, flow_line(0, 2), "created")
    t.wait_no_link("p1", "p2")
    sure(t.links().get(("p1", "p3")) != "open", "no link to the second receiver")
    say(host, "flow destroy 0 rule 1", "destroyed")
    t.wait_link("p1", "p2")
    mark = t.end("p1")["tx_bypass_packets"]
    wait_until(lambda: t.end("p1")["tx_bypass_packets"] > mark + 2000, 10, "packets by the link", one)
    one.quit()
    clean(one.result())
    same(t.end("p3")["rx_packets"], 0, "packets at the second receiver")
    third.quit()
