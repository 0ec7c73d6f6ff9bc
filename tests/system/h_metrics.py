# SPDX-License-Identifier: BSD-3-Clause
"""highwayd: metrics for Prometheus."""

import http.client
import re
import socket

from lab import wait_until

from .h_kit import agent, wait_words
from .kit import same, sure

LINE = ("in_port=1,actions=output:2", "in_port=2,actions=output:1")
SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\d+)$')


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(address, path="/metrics", method="GET"):
    """(status, text) over TCP (a port) or a Unix socket (a path)."""
    connection = http.client.HTTPConnection("127.0.0.1", address if isinstance(address, int) else 80, timeout=10)
    if not isinstance(address, int):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        connection.sock.connect(str(address))
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def parse(text):
    """{(name, labels): value}; fails on a line that is not Prometheus' format."""
    found, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            types[name] = kind
        elif not line.startswith("# HELP "):
            match = SAMPLE.match(line)
            sure(match, f"not a sample: {line}")
            name, labels, value = match.groups()
            sure((types.get(name) == "counter") == name.endswith("_total"), f"{name} is a {types.get(name)}")
            found[name, frozenset(re.findall(r'([a-z]+)="([^"]*)"', labels or ""))] = int(value)
    return found


def listening(address):
    try:
        return get(address)[0] == 200
    except OSError:
        return False


def set_metrics(test, bed, value):
    bed.ovs.set_other_config(highway_metrics=value)
    test.defer(bed.ovs.vsctl, "remove", "Open_vSwitch", ".", "other_config", "highway-metrics")


def test_metrics_by_tcp(test):
    """Metrics are off by default; on a loopback address they are Prometheus' text with the labels bridge, port and
    interface, and count what the links carry"""
    bed = test.bed(2)
    bed.rules(*LINE)
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    port = free_port()
    sure(not listening(port), "something listens already")
    set_metrics(test, bed, f"127.0.0.1:{port}")
    wait_until(lambda: listening(port), 10, "the metrics to be served", one.logfile)
    x = frozenset({"bridge": bed.bridge, "port": bed.ovs_name("p1"), "interface": bed.ovs_name("p1"),
                   "domain": test.domain}.items())
    found = parse(get(port)[1])
    same(found["highway_port_permitted", x], 1, "permitted")
    same(found["highway_port_proven", x], 1, "proven")
    same(found["highway_bridge_rules", frozenset({("bridge", bed.bridge)})], 2, "rules")
    test.once("p1", "p2", count=5000, rate=5e3)

    def carried():
        now = parse(get(port)[1])
        return now["highway_port_bypass_sent_packets_total", x] + 0 > 0 and now
    now = wait_until(carried, 5, "packets of the link to be counted")
    link = frozenset(x | {("peer", bed.ovs_name("p2"))})
    same(now["highway_link_packets_total", link], now["highway_port_bypass_sent_packets_total", x],
         "packets of the link, and those that the port sent by links")
    sure(now["highway_link_packets_total", link] <= 5000, "more packets than were sent")
    sure(now["highway_events_total", frozenset({("kind", "opened")})] >= 1, "no link was opened")
    same(get(port, "/")[0], 404, "another path")
    same(get(port, method="DELETE")[0], 405, "another method")
    bed.ovs.vsctl("remove", "Open_vSwitch", ".", "other_config", "highway-metrics")
    wait_until(lambda: not listening(port), 10, "the metrics to be off again")


def test_metrics_by_socket(test):
    """Metrics on a Unix socket, which is removed in the end; a file that is no socket is left alone"""
    bed = test.bed(1)
    one = agent(test, bed)
    path = test.dir / f"{test.short}-metrics"
    path.write_text("precious")
    set_metrics(test, bed, f"unix:{path}")
    wait_until(lambda: "is not a socket" in one.logfile.read_text(), 10, "the complaint", one.logfile)
    same(path.read_text(), "precious", "the file")
    path.unlink()
    wait_until(lambda: listening(path), 10, "the metrics to be served after all", one.logfile)
    parse(get(path)[1])
    one.stop()
    sure(not path.exists(), "the socket is still there")


def test_only_loopback(test):
    """An address that is not loopback's, and nonsense, are refused with a sentence"""
    bed = test.bed(1)
    one = agent(test, bed)
    for value in ("0.0.0.0:9404", "192.0.2.1:9404", "nonsense:x", "unix:relative"):
        set_metrics(test, bed, value)
        wait_until(lambda: f"highway-metrics={value} is n" in one.logfile.read_text(), 10, f"{value} to be refused",
                   one.logfile)
    sure(one.alive, "highwayd died")
