# SPDX-License-Identifier: BSD-3-Clause
"""G. A chain of three virtual machines."""

from tests.system.kit import long, same, seconds

from .rig import Chain


def _links_come(chain):
    """Rules make links, one way after the other."""
    for number, way in enumerate(chain.ways):
        chain.join(*way)
        chain.wait_bypassed(*chain.ways[:number + 1])
    same(chain.plugged(), [1, 2, 1], "link devices")


def _links_break(chain):
    """Rules of higher priority break the second hop, one way after the other; the first one goes on."""
    chain.shatter(3, 4)
    chain.more(4, "rx_normal_packets")
    chain.wait_bypassed((1, 2), (2, 1), (4, 3))
    same(chain.plugged(), [1, 2, 1], "link devices: one way still needs that of the second hop")
    chain.shatter(4, 3)
    chain.wait(lambda: chain.plugged() == [1, 1, 0], "the second hop's device to be taken out")
    chain.more(3, "rx_normal_packets")
    chain.wait_bypassed((1, 2), (2, 1))
    for x in (3, 4):
        chain.mend(x)
    chain.wait_bypassed(*chain.ways)


@long
@seconds(400)
def test_a_chain_of_three_machines(t):
    """Numbered packets go both ways through a chain of three machines, i440fx and q35, the middle one's testpmd forwarding:
    by the switch, by links that are plugged in as rules make them, without one that a rule breaks, by the switch again,
    twice; the controller is told the same as ever, no packet is lost, duplicated, reordered or damaged, nothing is left"""
    chain = Chain(t)
    chain.start()
    for n in chain.ports:
        chain.more(n, "rx_normal_packets")
        same(chain.end(n)["rx_bypass_packets"], 0, f"packets of p{n} by a link that is not there")
    before = None
    for _ in range(2):
        _links_come(chain)
        chain.stop()
        chain.wait_counted()
        same(chain.plugged(), [1, 2, 1], "link devices while the statistics were read")
        chain.start()
        _links_break(chain)
        for x, _ in chain.ways:
            chain.part(x)
        chain.wait_taken_out()
        for n in chain.ports:
            chain.more(n, "rx_normal_packets")
        before = before or chain.held()
        chain.wait_held(before)
    chain.finish()
