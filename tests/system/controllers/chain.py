# SPDX-License-Identifier: BSD-3-Clause
"""A service chain's controller: what comes from one port goes to the next one."""

from talk import VERSION, App, ofproto_v1_0, ofproto_v1_3, tell


class Chain(App):
    """Rules, statistics, packet-outs and port-mods as its standard input says."""

    def _match(self, port=None):
        return self.parser.OFPMatch() if port is None else self.parser.OFPMatch(in_port=port)

    def _output(self, port):
        return [self.parser.OFPActionOutput(port)]

    def do_chain(self, src, dst, cookie):
        """All packets of 'src' go to 'dst'."""
        self._flow_mod(self.ofp.OFPFC_ADD, src, cookie, self._output(dst))

    def do_unchain(self, src):
        self._flow_mod(self.ofp.OFPFC_DELETE, src, 0, [])

    def _flow_mod(self, command, src, cookie, actions):
        ofp, parser = self.ofp, self.parser
        words = {"datapath": self.switch, "command": command, "cookie": cookie, "priority": 100,
                 "match": self._match(src), "flags": ofp.OFPFF_SEND_FLOW_REM}
        if VERSION is ofproto_v1_0:
            words |= {"actions": actions, "out_port": ofp.OFPP_NONE}
        else:
            words |= {"instructions": [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions)],
                      "out_port": ofp.OFPP_ANY, "out_group": ofp.OFPG_ANY}
        self.send(parser.OFPFlowMod(**words))

    def do_stats(self):
        """Asks for statistics of all flows, their sum, and, where os-ken can read the
        answer (of OpenFlow 1.5 it cannot), of all ports."""
        ofp, parser, switch = self.ofp, self.parser, self.switch
        if VERSION is ofproto_v1_0:
            self.send(parser.OFPFlowStatsRequest(switch, 0, self._match(), 0xff, ofp.OFPP_NONE))
            self.send(parser.OFPAggregateStatsRequest(switch, 0, self._match(), 0xff, ofp.OFPP_NONE))
            self.send(parser.OFPPortStatsRequest(switch, 0, ofp.OFPP_NONE))
            return
        what = switch, 0, ofp.OFPTT_ALL, ofp.OFPP_ANY, ofp.OFPG_ANY, 0, 0, self._match()
        flows = parser.OFPFlowStatsRequest if VERSION is ofproto_v1_3 else parser.OFPFlowDescStatsRequest
        self.send(flows(*what))
        self.send(parser.OFPAggregateStatsRequest(*what))
        if VERSION is ofproto_v1_3:
            self.send(parser.OFPPortStatsRequest(switch, 0, ofp.OFPP_ANY))

    def do_packet_out(self, port, data, times):
        ofp, parser = self.ofp, self.parser
        nowhere = ofp.OFPP_NONE if VERSION is ofproto_v1_0 else ofp.OFPP_CONTROLLER
        words = {"datapath": self.switch, "buffer_id": 0xffffffff, "actions": self._output(port),
                 "data": bytes.fromhex(data)}
        if VERSION in (ofproto_v1_0, ofproto_v1_3):
            words["in_port"] = nowhere
        else:
            words["match"] = parser.OFPMatch(in_port=nowhere)
        for _ in range(times):
            self.send(parser.OFPPacketOut(**words))

    def do_port_down(self, port, down):
        ofp, parser = self.ofp, self.parser
        words = {"datapath": self.switch, "port_no": port, "hw_addr": self.ports[port],
                 "config": ofp.OFPPC_PORT_DOWN if down else 0, "mask": ofp.OFPPC_PORT_DOWN}
        self.send(parser.OFPPortMod(**words))

    def connected(self):
        tell(message="connected")
