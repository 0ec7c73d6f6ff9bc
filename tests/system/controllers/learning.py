# SPDX-License-Identifier: BSD-3-Clause
"""A learning switch that also has one pair of ports patched together (OpenFlow 1.3)."""

from talk import App, tell

from os_ken.lib.packet import ethernet, packet

PATCHED = {3: 4, 4: 3}


class Learning(App):
    """Learns addresses from packet-ins; a known pair of addresses gets a rule."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.where = {}

    def _rule(self, priority, match, port, cookie):
        ofp, parser = self.ofp, self.parser
        actions = [parser.OFPActionOutput(port, ofp.OFPCML_NO_BUFFER)]
        self.send(parser.OFPFlowMod(
            self.switch, cookie=cookie, priority=priority, match=match, flags=ofp.OFPFF_SEND_FLOW_REM,
            instructions=[parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions)]))

    def connected(self):
        self._rule(0, self.parser.OFPMatch(), self.ofp.OFPP_CONTROLLER, 1)
        for src, dst in PATCHED.items():
            self._rule(100, self.parser.OFPMatch(in_port=src), dst, 0x10 + src)
        self.do_barrier()
        tell(message="connected")

    def packet_in(self, message):
        ofp, parser = self.ofp, self.parser
        frame = packet.Packet(message.data).get_protocol(ethernet.ethernet)
        port = message.match["in_port"]
        self.where[frame.src] = port
        to = self.where.get(frame.dst)
        if to is not None:
            self._rule(10, parser.OFPMatch(in_port=port, eth_src=frame.src, eth_dst=frame.dst), to, 0x20 + port)
        self.send(parser.OFPPacketOut(
            datapath=self.switch, buffer_id=ofp.OFP_NO_BUFFER, in_port=port, data=message.data,
            actions=[parser.OFPActionOutput(ofp.OFPP_FLOOD if to is None else to)]))

    def do_forget(self):
        """Deletes all rules."""
        self.send(self.parser.OFPFlowMod(
            self.switch, command=self.ofp.OFPFC_DELETE, out_port=self.ofp.OFPP_ANY, out_group=self.ofp.OFPG_ANY,
            match=self.parser.OFPMatch()))

    def do_stats(self):
        """Asks for statistics of all flows, their sum, and of all ports."""
        self.send(self.parser.OFPFlowStatsRequest(self.switch))
        self.send(self.parser.OFPAggregateStatsRequest(self.switch, 0, self.ofp.OFPTT_ALL, self.ofp.OFPP_ANY,
                                                       self.ofp.OFPG_ANY, 0, 0, self.parser.OFPMatch()))
        self.send(self.parser.OFPPortStatsRequest(self.switch, 0, self.ofp.OFPP_ANY))
