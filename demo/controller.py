# SPDX-License-Identifier: BSD-3-Clause
"""The controller's side of the demo: ovs-ofctl, and nothing else.

Three sets of rules, one rule per directed link X to Y in each:

    steering  in_port=X,udp              output:Y          looks into the packet
    p2p       in_port=X                  output:Y          everything of X goes to Y
    mirror    in_port=X (priority 200)   output:Y,mirror   the packet goes to two ports

Every rule asks for a flow-removed message.  Open vSwitch sends it when the last packet
is accounted, so that what the rules of a link counted is known exactly however often
they were replaced.
"""

import re

from lab import Process, wait_until

BRIDGE = "br0"
STEERING, P2P, BREAK = 0x100, 0x200, 0x300
_MATCH = {STEERING: "priority=110,{}in_port={},udp", P2P: "priority=100,{}in_port={}",
          BREAK: "priority=200,{}in_port={}"}


class Controller:
    """Writes rules, and knows what they counted."""

    def __init__(self, chain):
        self.chain = chain
        self.ovs = chain.ovs
        # It prints the flow-removed messages (and would print packet-ins).
        self.monitor = Process(chain.lab, "controller", [
            "ovs-ofctl", "-O", "OpenFlow13", "monitor", BRIDGE, "65534"], env=self.ovs.env).start()
        self.removed = 0
        self._written = 0

    def _actions(self, kind, link):
        to = [self.chain.ofport[link[1]]] + ([self.chain.ofport["mirror"]] if kind == BREAK else [])
        return ",".join(f"output:{port}" for port in to)

    def _change(self, kind, links, add):
        lines = []
        for link in links:
            number = self.chain.ofport[link[0]]
            if add:
                match = _MATCH[kind].format(f"cookie={kind + number:#x},", number)
                lines.append(f"add send_flow_rem,{match},actions={self._actions(kind, link)}")
            else:
                lines.append("delete_strict " + _MATCH[kind].format("", number))
        self._written += len(lines)
        self.removed += 0 if add else len(lines)
        # All or nothing: Open vSwitch looks at its flow cache once, not once per rule.
        self.ovs.ofctl("--bundle", "add-flows", BRIDGE, "-", version="OpenFlow14", stdin="\n".join(lines) + "\n")

    def add(self, kind, links):
        """Adds the rules of a kind for some links."""
        self._change(kind, links, True)

    def delete(self, kind, links):
        """Deletes them again."""
        self._change(kind, links, False)

    def replace(self, old, new, links):
        """Replaces rules of one kind by another: no packet finds no rule.

        Open vSwitch keeps the flow cache entries of the old rules while they are in
        use if they are merely narrower than needed, so it is asked to look again.
        """
        self.add(new, links)
        self.delete(old, links)
        self.ovs.appctl("revalidator/purge")

    def rules(self):
        """{link: its rules that exist now, the decisive one first}, as ovs-ofctl tells."""
        by_port = {self.chain.ofport[link[0]]: link for link in self.chain.links}
        found = {link: [] for link in self.chain.links}
        for rule in self.ovs.flows(BRIDGE):
            link = by_port.get((rule.get("cookie", 0) & 0xFF))
            if link:
                found[link].append(rule)
        for rules in found.values():
            rules.sort(key=lambda rule: -rule["priority"])
        return found

    def counted(self):
        """{link: (packets, bytes)} that its rules counted, removed ones included."""
        totals = {self.chain.ofport[link[0]]: [0, 0] for link in self.chain.links}
        for cookie, packets, size in self._messages():
            totals[cookie & 0xFF][0] += packets
            totals[cookie & 0xFF][1] += size
        for link, rules in self.rules().items():
            for rule in rules:
                totals[self.chain.ofport[link[0]]][0] += rule["n_packets"]
                totals[self.chain.ofport[link[0]]][1] += rule["n_bytes"]
        return {link: tuple(totals[self.chain.ofport[link[0]]]) for link in self.chain.links}

    def _messages(self):
        return [(int(cookie, 16), int(packets), int(size)) for cookie, packets, size in
                re.findall(r"OFPT_FLOW_REMOVED.* cookie:(0x[0-9a-f]+).*pkts(\d+) bytes(\d+)", self.monitor.output)]

    def wait_removed(self, deadline_s=30):
        """Waits for the flow-removed message of every rule that was deleted."""
        wait_until(lambda: len(self._messages()) >= self.removed, deadline_s, "all flow-removed messages", self.monitor)
