# SPDX-License-Identifier: BSD-3-Clause
"""A. Without a switch: several queues, as many at both VNFs or not."""

from lab import wait_until

from .kit import clean, flow_line, go, patient, same, say, sure


def _cross(t, n_tx, n_rx, link, count=24000):
    """A generator with n_tx queues, a sink with n_rx; every flow keeps its order."""
    host = patient(t.testpmd("host", [t.devargs("p1", "host", 0, queues=n_tx), t.devargs("p2", "host", 1, queues=n_rx)],
                     cpus=(0, 1)).start())
    host.start_forwarding()
    if link:
        say(host, flow_line(0, 1), "created")
    sink = t.sink(("p2", {"queues": n_rx}), queues=n_rx)
    sender = t.traffic("gen", ("p1", {"queues": n_tx}), queues=n_tx, flows=16, rate=40e3, size="64-600").start()
    if link:
        t.wait_link("p1", "p2")
    go(sender)
    wait_until(lambda: t.end("p2")["rx_packets"] >= count, 20, f"{count} packets", sink, [sink, sender])
    same(sender.quit(), 0, "exit status of the generator")
    sent = sender.result()["sent"]
    wait_until(lambda: t.end("p2")["rx_packets"] >= sent, 10, "the rest", sink)
    bypassed = t.end("p2")["rx_bypass_packets"]
    same(sink.quit(), 0, "exit status of the sink")
    report = clean(sink.result(), sent)
    same(report["flows_seen"], 16, "flows seen")
    same(bypassed, sent if link else 0, "packets by the link")


def test_two_queues(t):
    """Two queues at both ends keep the order of every flow, by a link."""
    _cross(t, 2, 2, True)


def test_four_queues(t):
    """Four queues at both ends keep the order of every flow, by a link."""
    _cross(t, 4, 4, True)


def test_four_queues_to_one(t):
    """A link from a port with four queues to one with a single queue."""
    _cross(t, 4, 1, True)


def test_one_queue_to_four(t):
    """A link from a port with a single queue to one with four."""
    _cross(t, 1, 4, True)


def test_two_queues_to_three(t):
    """A link from two queues to three."""
    _cross(t, 2, 3, True)


def test_fewer_queues_in_use_than_rings(t):
    """An application may use fewer queues than the port has: nothing gets stuck in the others."""
    host = patient(t.testpmd("host", [t.devargs("p1", "host", 0, queues=4), t.devargs("p2", "host", 1, queues=4)],
                     cpus=(0, 1), extra=["--rxq=2", "--txq=2"]).start())
    host.start_forwarding()
    more = {"queues": 4}
    t.once(("p1", more), ("p2", more), queues=3, flows=12)
    say(host, flow_line(0, 1), "created")
    t.once(("p1", more), ("p2", more), queues=2, flows=12)
    t.once(("p1", more), ("p2", more), queues=1, flows=12)


def test_too_many_queues_are_refused(t):
    """More queues than the port has are refused with the numbers and the remedy."""
    traffic = t.traffic("gen", ("p1", {"queues": 2}), queues=4, flows=8, link_wait=1).start()
    sure(traffic.wait() != 0, "highway-traffic fails")
    sure("queues=2" in traffic.output or "2" in traffic.output and "queues" in traffic.output,
         f"the number of queues is told: {traffic.output[-400:]}")
    pmd = t.testpmd("pmd", t.guests(("p3", {"queues": 2})), extra=["--rxq=4", "--txq=4"])
    try:
        pmd.start()
    except Exception:  # testpmd may end, or come to its prompt with the port down.
        pass
    sure("queues" in pmd.output, f"testpmd or the driver tells: {pmd.output[-600:]}")
