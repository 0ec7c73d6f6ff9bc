# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of highwayd share: an agent beside the test's switch, and its words in a
region."""

import socket
import struct
import threading
from pathlib import Path

from lab import DEADLINE, wait_until
from lab.highwayd import Highwayd

from .kit import Skip

PERMITS = ("unsaid", "yes", "no")


def agent(test, bed, *arguments, start=True, **options):
    """highwayd beside the bed's switch, running and with all rules of the bridge known."""
    binary = test.bench.build / "agent/highwayd"
    if not binary.exists():
        raise Skip("highwayd is not built: it needs libopenvswitch and libmicrohttpd-dev")
    number = next(test.bench.numbers)
    one = Highwayd(test.lab, bed.ovs, binary, f"highwayd{number}", arguments=arguments, **options)
    test.defer(one.stop)
    if start:
        one.start()
        one.wait_synced(bed.bridge)
    return one


def words(test, port, domain=None):
    """(permit, port that a proof leads to or None) of a port, as the region has them."""
    with test.region(domain) as region:
        names = {index: name for name, index in region.ports().items()}
        at = region._port_at(region.ports()[port])
        permit, proof = region._at("<I", at + 132), region._at("<Q", at + 136)
        to = (proof & 0xFFFFFFFF) - 1
        return PERMITS[permit], names.get(to) if proof else None


def beat(test, domain=None):
    """(agent's client slot, its beats, whether the host takes it for alive)."""
    with test.region(domain) as region:
        return region._at("<I", 360), region._at("<I", 364), bool(region._at("<I", 312))


def wait_words(test, port, permit, proof, deadline_s=10, log=None):
    wait_until(lambda: words(test, port) == (permit, proof), deadline_s,
               f"the words for {port} to be {permit}, {proof}", log or (lambda: str(words(test, port))))


def wait_explained(agent, port, predicate, what, deadline_s=10):
    """Waits until what highwayd explains of the port satisfies 'predicate'; returns it."""
    return wait_until(lambda: (lambda said: predicate(said) and said)(agent.explain(port)), deadline_s, what,
                      lambda: agent.appctl("explain", port), [agent])


HELLO, ECHO_REQUEST, ECHO_REPLY, PACKET_IN, BARRIER_REQUEST = 0, 2, 3, 10, 20
"""OpenFlow 1.3, 7.1."""


class Listener:
    """A controller of the bed's bridge that says no more than it has to be taken for one, and
    that goes away and comes back at the test's word."""

    def __init__(self, test, bed):
        self.bed = bed
        self.path = f"{bed.ovs.run}/listener{next(test.bench.numbers)}"
        self._connection = self._socket = None
        test.allow.append(rf"rconn\|(WARN|ERR)\|.*{self.path}")
        test.defer(self.leave)
        self.come()
        # The least that Open vSwitch takes: 5 s, and thrice that until it fails open.
        bed.ovs.vsctl("set-controller", bed.bridge, f"unix:{self.path}", "--", "set", "Controller", bed.bridge,
                      "connection_mode=out-of-band", "inactivity_probe=5000", "max_backoff=1000")
        self.wait_connected(True)

    def wait_connected(self, truth):
        wait_until(lambda: self.bed.ovs.vsctl("get", "Controller", self.bed.bridge, "is_connected").strip()
                   == str(truth).lower(), DEADLINE, f"the controller to be connected: {truth}")

    def come(self):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.path)
        self._socket.listen()
        threading.Thread(target=self._serve, args=(self._socket,), daemon=True).start()

    def leave(self):
        for one in (self._socket, self._connection):
            try:
                if one:
                    one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        Path(self.path).unlink(missing_ok=True)

    def _serve(self, listening):
        try:
            while True:
                self._connection, _ = listening.accept()
                self._talk(self._connection)
        except OSError:
            pass

    def _talk(self, one):
        def say(kind, number=1, body=b""):
            one.sendall(struct.pack("!BBHI", 4, kind, 8 + len(body), number) + body)
        with one, one.makefile("rb") as heard:
            try:
                say(HELLO)
                say(BARRIER_REQUEST)  # Who asks for something has let the switch in.
                while len(header := heard.read(8)) == 8:
                    _, kind, length, number = struct.unpack("!BBHI", header)
                    body = heard.read(length - 8)
                    if kind == ECHO_REQUEST:
                        say(ECHO_REPLY, number, body)
                    elif kind == PACKET_IN:
                        say(BARRIER_REQUEST, number)
            except OSError:
                pass
