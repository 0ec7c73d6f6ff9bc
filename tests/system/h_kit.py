# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of highwayd share: an agent beside the test's switch, and its words in a
region."""

from lab import wait_until
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
