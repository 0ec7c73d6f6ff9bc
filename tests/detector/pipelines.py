# SPDX-License-Identifier: BSD-3-Clause
"""Random pipelines, and packets that are likely to hit their rules.

A pipeline is a list of lines for `ovs-ofctl bundle` (without the word `add`): most ports get
a plan that would make a link, and around it lie rules that may spoil it, or only look so.
"""

PORTS = range(1, 9)
GROUPS = range(1, 7)
TABLES = (0, 1, 2, 3, 10)
PRIORITIES = (10, 20, 30, 40)
MACS = ("00:00:00:00:00:01", "00:00:00:00:00:02", "01:80:c2:00:00:00", "ff:ff:ff:ff:ff:ff")
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.1.1", "224.0.0.1")
V6 = ("fe80::1", "2001:db8::1", "2001:db8::2")
L4 = (53, 80, 443)

# What a rule can ask of a packet: ({field: value} that a packet can be made of, the match's text).
NARROW = (
    [({"dl_type": "0x0806"}, "arp"), ({"dl_type": "0x88cc"}, "dl_type=0x88cc"),
     ({"dl_type": "0x86dd"}, "ipv6"), ({"dl_type": "0x0800"}, "ip"), ({"dl_type": "0x8809"}, "dl_type=0x8809"),
     ({"dl_type": "0x8847", "mpls_label": "5"}, "mpls,mpls_label=5")]
    + [({"dl_dst": mac}, f"dl_dst={mac}") for mac in MACS]
    + [({"dl_src": mac}, f"dl_src={mac}") for mac in MACS[:2]]
    + [({"dl_dst": MACS[2]}, "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00")]
    + [({"vlan_tci": "0x1005"}, "dl_vlan=5"), ({"vlan_tci": "0"}, "vlan_tci=0x0000"),
       ({"vlan_tci": "0x3007"}, "vlan_tci=0x1000/0x1000")]
    + [({"dl_type": "0x0800", "nw_dst": a}, f"ip,nw_dst={a}") for a in ADDRESSES]
    + [({"dl_type": "0x0800", "nw_src": "10.0.0.2"}, "ip,nw_src=10.0.0.0/24")]
    + [({"dl_type": "0x0800", "nw_proto": "6", "tcp_dst": str(p)}, f"tcp,tp_dst={p}") for p in L4]
    + [({"dl_type": "0x0800", "nw_proto": "17", "udp_src": str(p)}, f"udp,tp_src={p}") for p in L4]
    + [({"dl_type": "0x0800", "nw_proto": "1", "icmp_type": "8"}, "icmp,icmp_type=8"),
       ({"dl_type": "0x0800", "nw_tos": "32"}, "ip,nw_tos=32"), ({"dl_type": "0x0800", "nw_ttl": "1"}, "ip,nw_ttl=1"),
       ({"dl_type": "0x0800", "ip_frag": "first"}, "ip,ip_frag=first"),
       ({"dl_type": "0x0800", "ip_frag": "later"}, "ip,ip_frag=yes"),
       ({"dl_type": "0x0800"}, "ip,ip_frag=no")]
    + [({"dl_type": "0x86dd", "ipv6_dst": a}, f"ipv6,ipv6_dst={a}") for a in V6]
)

# Matches on metadata: some always true at the start, some never, some after a write.
METADATA = ["metadata=0", "metadata=1", "metadata=2", "metadata=0/0x2", "metadata=1/0x1", "reg0=0", "reg0=1",
            "reg0=2", "reg0=0x10000/0xffff0000", "reg1=0", "reg1=1", "reg1=1/0x1", "reg2=7", "reg0=0x800", "xreg0=0",
            "xreg0=0x100000000", "xxreg0=0", "tun_id=0", "tun_id=5", "pkt_mark=0", "pkt_mark=1", "conj_id=1",
            "ct_state=-trk", "ct_state=+trk", "ct_zone=0", "ct_mark=1", "actset_output=2", "actset_output=unset",
            "reg15=0", "recirc_id=0"]


class Pipeline:
    """'lines': groups and flows; 'asked': packets that the rules ask for."""

    def __init__(self, random):
        self.random = random
        self.lines = []
        self.asked = []
        self._seen = set()
        if random.random() < 0.04:
            self._deep()
            return
        # The switch refuses an action to a group that is not there (yet).
        for number in reversed(GROUPS):
            self.lines.append(f"group group_id={number},{self._group(number)}")
        for port in PORTS[:6]:
            self._plan(port)
        for _ in range(random.choice((0, 0, 1, 2, 4, 8, 16))):
            self._noise()

    # -- rules ----------------------------------------------------------------

    def _flow(self, table, priority, match, actions):
        key = table, priority, match
        if key in self._seen:
            return
        self._seen.add(key)
        words = [f"table={table}", f"priority={priority}", f"cookie={self.random.randrange(100)}"]
        self.lines.append("flow " + ",".join([*words, *([match] if match else []), f"actions={actions}"]))

    def _output(self, port):
        return self.random.choices(PORTS, [1 if number == port else 3 if number <= 4 else 1 for number in PORTS])[0]

    def _plan(self, port):
        """Rules that, undisturbed, make a link out of 'port'."""
        random, out = self.random, self._output(port)
        kind = random.choice(("output", "goto", "resubmit", "metadata", "register", "group", "set", "move", "outreg",
                              "other_port", "bucket", "packet", "none"))
        at, to = 30, random.choice((1, 2, 3))
        mine = f"in_port={port}"
        if kind == "output":
            self._flow(0, at, mine, f"output:{out}")
        elif kind == "goto":
            self._flow(0, at, mine, f"goto_table:{to}")
            self._flow(to, at, mine, f"goto_table:10" if random.random() < 0.5 else f"output:{out}")
            self._flow(10, at, mine, f"output:{out}")
        elif kind == "resubmit":
            self._flow(0, at, mine, f"resubmit(,{to}),resubmit(,10)")
            self._flow(10, at, mine, f"output:{out}")
        elif kind == "metadata":
            value = random.choice(("1", "2", "0x1/0x1", "0x2/0x3"))
            self._flow(0, at, mine, f"write_metadata:{value},goto_table:{to}")
            self._flow(to, at, f"metadata={value},{mine}", f"output:{out}")
            self._flow(to, at, f"metadata=0,{mine}", f"output:{self._output(port)}")
        elif kind == "register":
            value = random.choice((1, 2))
            self._flow(0, at, mine, f"load:{value}->NXM_NX_REG0[],set_field:1->reg1,resubmit(,{to})")
            self._flow(to, at, f"reg0={value},{mine}", f"output:{out}")
        elif kind == "group":
            self._flow(0, at, mine, f"group:{random.choice(GROUPS)}")
        elif kind == "set":
            self._flow(0, at, mine, f"write_actions(output:{out}),goto_table:{to}")
            self._flow(to, at, mine, random.choice(("note:00", "write_actions(output:2)", "clear_actions",
                                                    f"write_actions(group:{random.choice(GROUPS)})")))
        elif kind == "move":
            self._flow(0, at, mine, f"move:NXM_OF_IN_PORT[]->NXM_NX_REG0[16..31],goto_table:{to}")
            self._flow(to, at, f"reg0={port << 16:#x}", f"output:{out}")
        elif kind == "outreg":
            self._flow(0, at, mine, f"load:{out}->NXM_NX_REG2[0..15],output:NXM_NX_REG2[0..15]")
        elif kind == "other_port":
            other = random.choice((11, 12, 3))
            self._flow(0, at, mine, random.choice((f"resubmit({other},{to})", f"set_field:{other}->in_port,"
                                                   f"goto_table:{to}", f"resubmit({other},0)")))
            self._flow(to, at, f"in_port={other}", random.choice((f"output:{out}", "goto_table:10", "resubmit(,10)")))
            self._flow(0, at, f"in_port={other}", f"output:{out}")
            # Whether the other port lasts beyond one look-up decides.
            self._flow(10, at, f"in_port={other}", f"output:{self._output(port)}")
            self._flow(10, at, mine, f"output:{self._output(port)}")
        elif kind == "packet":
            # No link, though each rule alone looks like one.
            kind = random.choice(("0x0800", "0x0806"))
            self._flow(0, at, mine, f"move:NXM_OF_ETH_TYPE[]->NXM_NX_REG0[0..15],resubmit(,{to})")
            self._flow(to, 40, f"reg0={kind},{mine}", f"output:{self._output(port)}")
            self.asked.append({"dl_type": kind})
            self._flow(to, at, mine, f"output:{out}")
        elif kind == "bucket":
            self._flow(0, at, mine, f"load:1->NXM_NX_REG0[],group:6,resubmit(,{to})")
            self._flow(to, at, f"reg0=1,{mine}", f"output:{out}")
            # Where the packets would go if the bucket's own load lasted.
            self._flow(to, at, f"reg0=2,{mine}", f"output:{self._output(port)}")

    def _noise(self):
        """A rule somewhere, with any match and any actions."""
        random = self.random
        table = random.choice(TABLES)
        parts, asked = [], {}
        if random.random() < 0.4:
            parts.append(f"in_port={random.choice((*PORTS, 11))}")
        while random.random() < 0.35:
            match = random.choice(METADATA)
            if match.split("=")[0] not in [part.split("=")[0] for part in parts]:
                parts.append(match)
        if random.random() < 0.6:
            asked, text = random.choice(NARROW)
            parts.append(text)
            self.asked.append(asked)
        # 30 is the plans' own priority.
        self._flow(table, random.choice(PRIORITIES), ",".join(parts), self._actions(table, asked))

    def _actions(self, table, asked):
        random = self.random
        if random.random() < 0.1:
            return "drop"
        if random.random() < 0.03:
            return f"conjunction({random.choice((1, 2))},{random.choice((1, 2))}/2)"
        words = [self._action(table, asked) for _ in range(random.choice((1, 1, 1, 2, 2, 3)))]
        if random.random() < 0.1:
            words.append("clear_actions")
        if random.random() < 0.15:
            words.append(f"write_actions({random.choice(('output:2', 'output:3', 'group:1', 'group:2'))})")
        if random.random() < 0.15:
            words.append(f"write_metadata:{random.choice(('0', '1', '2', '0x1/0x1'))}")
        if table < 10 and random.random() < 0.3:
            words.append(f"goto_table:{random.choice([later for later in TABLES if later > table])}")
        return ",".join(words)

    def _action(self, table, asked):
        random = self.random
        kind = random.random()
        if kind < 0.3:
            return f"output:{random.choice(PORTS)}"
        if kind < 0.5:
            return random.choice((f"resubmit(,{random.choice(TABLES)})", f"resubmit({random.choice((1, 2, 11))},"
                                  f"{random.choice(TABLES)})", f"resubmit:{random.choice((2, 11))}"))
        if kind < 0.75:
            return random.choice((
                "load:1->NXM_NX_REG0[]", "load:2->NXM_NX_REG0[]", "load:1->NXM_NX_REG1[0]", "set_field:1/1->reg1",
                "load:1->NXM_NX_REG0[16..31]", "set_field:0->metadata", "set_field:0x100000000->xreg0",
                "set_field:0->xxreg0", "move:NXM_OF_ETH_TYPE[]->NXM_NX_REG0[0..15]",
                "move:NXM_NX_REG0[0..15]->NXM_NX_REG1[0..15]", "move:OXM_OF_METADATA[0..31]->NXM_NX_REG2[]",
                "move:NXM_OF_VLAN_TCI[0..11]->OXM_OF_METADATA[0..11]", "set_field:2->in_port", "set_field:11->in_port",
                "move:NXM_NX_TUN_ID[0..15]->NXM_NX_REG1[0..15]", "set_field:0x2/0x2->metadata",
            ))
        if kind < 0.83:
            return f"group:{random.choice(GROUPS)}"
        if kind < 0.9:
            return random.choice(("note:01.02", "in_port", "output:NXM_NX_REG0[0..15]", "output:NXM_NX_REG2[]"))
        choices = ["set_field:00:00:00:00:00:09->eth_dst", "push_vlan:0x8100", "mod_vlan_vid:9",
                   "flood", "all", "clone(output:3)", "set_tunnel:3", "load:1->NXM_NX_PKT_MARK[]", "set_queue:1",
                   "push:NXM_NX_REG0[]", "local", "controller", "exit", "bundle(eth_src,0,hrw,ofport,members:2,3)",
                   "multipath(eth_src,50,modulo_n,2,0,NXM_NX_REG0[])", "output(port=2,max_len=20)",
                   "learn(table=3,priority=5,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])", "ct_clear",
                   "normal", "sample(probability=65535,collector_set_id=1)"]
        if asked.get("dl_type") in ("0x0800", "0x86dd"):
            choices += ["dec_ttl", "ct(table=20)", "ct(commit)"]
        return random.choice(choices)

    def _group(self, number):
        random = self.random
        def bucket():
            words = ["load:2->NXM_NX_REG0[]"] if random.random() < 0.15 else []
            words += ["set_field:00:00:00:00:00:09->eth_dst"] if random.random() < 0.05 else []
            # Groups that do not lead back to themselves.
            later = [other for other in GROUPS if other > number]
            words.append(random.choice((f"output:{random.choice(PORTS)}",) * 5 + (f"resubmit(,{random.choice(TABLES)})",)
                                       + ((f"group:{random.choice(later)}",) if later else ())))
            return ",".join(words)

        kind = random.choice(("indirect", "all", "select", "ff", "ff"))
        if number == 6:
            return "type=all" if random.random() < 0.5 else "type=all,bucket=load:2->NXM_NX_REG0[],resubmit(,9)"
        if kind == "indirect":
            return f"type=indirect,bucket={bucket()}"
        buckets = random.choice((0, 1, 1, 1, 1, 2))
        if kind == "ff":
            # Open vSwitch 3.1 takes for ever over groups that watch each other.
            watch = [random.choice((f"watch_port:{random.choice(PORTS)}",
                                    f"watch_group:{random.choice(range(number + 1, 8))}"))
                     for _ in range(max(1, buckets + 1))]
            return "type=ff" + "".join(f",bucket={what},{bucket()}" for what in watch)
        method = ",selection_method=hash,fields(eth_src,ip_dst)" if random.random() < 0.6 else ""
        return f"type={kind}{method if kind == 'select' else ''}" + "".join(
            f",bucket={'weight:0,' if kind == 'select' and random.random() < 0.1 else ''}{bucket()}"
            for _ in range(buckets))

    def _deep(self):
        """Resubmits about as deep as the switch allows, and gotos beyond that."""
        random = self.random
        depth = random.choice((5, 62, 63, 64, 64, 65, 65, 66))
        self.lines.append("group group_id=1,type=indirect,bucket=resubmit(,150)")
        self._flow(0, 30, "in_port=1", "resubmit(,150)")
        self._flow(0, 30, "in_port=2", "resubmit(,0)")
        self._flow(0, 30, "in_port=3", "goto_table:160")
        self._flow(0, 30, "in_port=4", "group:1")
        for table in range(150, 150 - depth, -1):
            self._flow(table, 30, "", f"resubmit(,{table - 1})")
        self._flow(150 - depth, 30, "", "output:2")
        for table in range(160, 253):
            self._flow(table, 30, "", f"goto_table:{table + 1}")
        self._flow(253, 30, "", "output:2")

    # -- packets ----------------------------------------------------------------

    def packets(self, number):
        """Texts for ofproto/trace, without the port: one for each that a rule asks for, and
        so many others."""
        return [self._packet(asked) for asked in self.asked] + [self._packet({}) for _ in range(number)]

    def more_packets(self, number):
        """The same for a second, closer look: also packets that several rules ask for."""
        asked = self.asked * 3
        for one in self.asked:
            other = self.random.choice(self.asked)
            together = one | other
            # Later fragments have no ports.
            if together == other | one and "ip_frag" not in together:
                asked.append(together)
        return [self._packet(each) for each in asked] + [self._packet({}) for _ in range(number)]

    def _packet(self, asked):
        random = self.random
        fields = {"dl_src": random.choice(MACS[:2]), "dl_dst": random.choice(MACS)}
        if random.random() < 0.4:
            fields["vlan_tci"] = random.choice(("0", "0x1005", "0x3007"))
        fields["dl_type"] = random.choice(("0x0800",) * 6 + ("0x86dd", "0x86dd", "0x0806", "0x88cc", "0x8847", "0x8809",
                                                             "0x1234"))
        fields |= asked
        kind = fields["dl_type"]
        if kind == "0x0800":
            default = {"nw_src": random.choice(ADDRESSES[:3]), "nw_dst": random.choice(ADDRESSES),
                       "nw_ttl": random.choice(("1", "64")), "nw_tos": random.choice(("0", "32"))}
        elif kind == "0x86dd":
            default = {"ipv6_src": random.choice(V6), "ipv6_dst": random.choice(V6)}
        elif kind == "0x8847":
            default = {"mpls_label": random.choice(("5", "6")), "mpls_bos": "1"}
        else:
            default = {}
        if kind in ("0x0800", "0x86dd") and random.random() < 0.9:
            protocol = fields.get("nw_proto", random.choice(("6", "17")))
            default["nw_proto"] = protocol
            if protocol in ("6", "17") and "ip_frag" not in fields:
                name = "tcp" if protocol == "6" else "udp"
                default |= {f"{name}_src": str(random.choice(L4)), f"{name}_dst": str(random.choice(L4))}
        fields = default | fields
        order = ("vlan_tci", "dl_type", "nw_proto")
        return ",".join(f"{name}={fields[name]}" for name in sorted(fields, key=lambda name: (
            order.index(name) if name in order else len(order))))
