# SPDX-License-Identifier: BSD-3-Clause
"""What the controllers of the tests share.  Open vSwitch's side of them is os-ken's; the
test's side is one JSON object a line: commands on standard input, and on standard output,
after '@ ', what happened: every message of the switch, without what differs from one
session to the next by its nature (transaction, buffer, times, addresses of ports)."""

import json
import os
import sys

from eventlet import hubs

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_0, ofproto_v1_3, ofproto_v1_5

VERSIONS = {"OpenFlow10": ofproto_v1_0, "OpenFlow13": ofproto_v1_3, "OpenFlow15": ofproto_v1_5}
VERSION = VERSIONS[os.environ["HIGHWAY_OPENFLOW"]]

_NOT_COMPARED = {"datapath", "buf", "xid", "msg_len", "buffer_id", "duration_sec", "duration_nsec", "hw_addr",
                 "datapath_id", "length", "_len", "len"}


def plain(value):
    """A message, or a part of one, as JSON can say it."""
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, dict):
        return {str(key): len(each) if key == "data" and each is not None else plain(each)
                for key, each in value.items() if key not in _NOT_COMPARED}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if type(value).__name__ == "OFPMatch" and hasattr(value, "items") and VERSION is not ofproto_v1_0:
        return sorted([str(key), plain(each)] for key, each in value.items())
    if type(value).__name__ == "OFPStats":  # OpenFlow 1.5's
        return sorted([key, plain(each)] for key, each in value.items() if key not in ("duration", "idle_time"))
    return {"is": type(value).__name__} | plain(dict(vars(value)))


def tell(**what):
    print("@ " + json.dumps(what, sort_keys=True), flush=True)


def _events(*names):
    """Those of os-ken's event classes that this version of OpenFlow has."""
    return [getattr(ofp_event, f"EventOFP{name}") for name in names if hasattr(ofp_event, f"EventOFP{name}")]


class App(app_manager.OSKenApp):
    """Tells what the switch says, and does what it is told to: see do_*() of subclasses."""

    OFP_VERSIONS = [VERSION.OFP_VERSION]

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.switch = None
        self.ports = {}
        hub.spawn(self._listen)

    def _listen(self):
        text = b""
        while True:
            hubs.trampoline(sys.stdin.fileno(), read=True)
            more = os.read(sys.stdin.fileno(), 65536)
            if not more:
                os._exit(0)
            *lines, text = (text + more).split(b"\n")
            for line in lines:
                command = json.loads(line)
                getattr(self, "do_" + command.pop("do"))(**command)

    def send(self, message):
        self.switch.send_msg(message)

    @property
    def ofp(self):
        return self.switch.ofproto

    @property
    def parser(self):
        return self.switch.ofproto_parser

    def do_barrier(self):
        self.send(self.parser.OFPBarrierRequest(self.switch))

    # -- what the switch says -----------------------------------------------

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def _features(self, event):
        self.switch = event.msg.datapath
        if VERSION is ofproto_v1_0:
            self._know(event.msg.ports.values())
        else:
            self.send(self.parser.OFPPortDescStatsRequest(self.switch, 0))
        self.connected()

    @set_ev_cls(_events("PortDescStatsReply"), [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def _descs(self, event):
        self._know(event.msg.body)

    def _know(self, ports):
        self.ports |= {port.port_no: port.hw_addr for port in ports}
        tell(message="ports", numbers=sorted(number for number in self.ports if number < 0xff00))

    @set_ev_cls(_events("BarrierReply", "FlowRemoved", "ErrorMsg", "PacketIn", "FlowStatsReply", "FlowDescStatsReply",
                        "AggregateStatsReply", "PortStatsReply"), [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def _message(self, event):
        tell(message=type(event.msg).__name__, content=plain(dict(vars(event.msg))))
        if isinstance(event, ofp_event.EventOFPPacketIn):
            self.packet_in(event.msg)

    @set_ev_cls(_events("PortStatus"), MAIN_DISPATCHER)
    def _port_status(self, event):
        desc = event.msg.desc
        tell(message="port status", port=desc.port_no, config=desc.config)

    # -- for subclasses -----------------------------------------------------

    def connected(self):
        """The switch is there."""

    def packet_in(self, message):
        """It has sent a packet."""
