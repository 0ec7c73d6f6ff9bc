# SPDX-License-Identifier: BSD-3-Clause
"""highwayd: what policy keeps at the switch, each reason on and off."""

from contextlib import contextmanager

from lab import wait_until

from .h_kit import agent, wait_explained, wait_words
from .kit import same, sure

LINE = ("in_port=1,actions=output:2", "in_port=2,actions=output:1")


@contextmanager
def reason(test, one, bed, word, forbids, *text, port="p1"):
    """While the caller's block has set it, the reason is told, with these words in its text,
    and kept in the region; afterwards all is as before."""
    wait_words(test, "p1", "yes", "p2")
    wait_words(test, "p2", "yes", "p1")
    yield
    name = bed.ovs_name(port)
    said = wait_explained(one, name, lambda s: any(r["reason"] == word for r in s["policy"]["reasons"]),
                          f"{port} to have the reason {word}")
    found = next(r for r in said["policy"]["reasons"] if r["reason"] == word)
    same(found["forbids"], forbids, "what it forbids")
    for part in text:
        sure(part in found["text"], f"'{part}' is not in: {found['text']}")
    same(said["policy"]["permitted"], forbids == "proof", "the permit")
    sure(not said["rules"]["proven"], "a proof is still claimed")
    wait_words(test, port, "no" if forbids == "bypass" else "yes", None)
    sure(found["text"] in one.appctl("explain", name), "explain does not tell the reason in words")


def start(test, ports=2):
    bed = test.bed(ports)
    bed.rules(*LINE)
    return bed, agent(test, bed), bed.ovs.vsctl


def test_policing(test):
    """Ingress policing, by bits or by packets, forbids the port's bypass, and no longer when it is removed"""
    bed, one, vsctl = start(test)
    name = bed.ovs_name("p1")
    for column, unit in (("ingress_policing_rate", "1000 kbit/s"), ("ingress_policing_kpkts_rate", "1000 kpkts/s")):
        with reason(test, one, bed, "policing", "bypass", unit, name):
            vsctl("set", "Interface", name, f"{column}=1000")
        vsctl("set", "Interface", name, f"{column}=0")
    wait_words(test, "p1", "yes", "p2")


def test_qos(test):
    """Egress QoS forbids the port's bypass, and no longer when it is removed"""
    bed, one, vsctl = start(test)
    name = bed.ovs_name("p2")
    with reason(test, one, bed, "qos", "bypass", "egress-policer", name, port="p2"):
        vsctl("set", "Port", name, "qos=@q", "--", "--id=@q", "create", "QoS", "type=egress-policer",
              "other_config:cir=46000000", "other_config:cbs=2048")
    wait_words(test, "p1", "yes", None)
    vsctl("--", "destroy", "QoS", name, "--", "clear", "Port", name, "qos")
    wait_words(test, "p1", "yes", "p2")


def test_mirrors(test):
    """A mirror that selects the port as source, as destination or with all others, or that sends to it, forbids the
    port's bypass; one of other ports does not"""
    bed, one, vsctl = start(test, 4)
    names = {port: bed.ovs_name(port) for port in ("p1", "p2", "p3", "p4")}
    get = [word for port in names for word in ("--", f"--id=@{port}", "get", "Port", names[port])]

    def mirror(*columns):
        vsctl("set", "Bridge", bed.bridge, "mirrors=@m", *get, "--", "--id=@m", "create", "Mirror", "name=mirror7",
              *columns)

    for columns, text in ((("select_src_port=@p1", "output_port=@p4"), "what the port sends"),
                          (("select_dst_port=@p1", "output_port=@p4"), "what the port receives"),
                          (("select_all=true", "output_port=@p4"), "all ports"),
                          (("select_vlan=7", "output_port=@p4"), "VLANs"),
                          (("select_src_port=@p3", "output_port=@p1"), "sends to the port")):
        with reason(test, one, bed, "mirror", "bypass", "mirror7", text):
            mirror(*columns)
        vsctl("clear", "Bridge", bed.bridge, "mirrors")
    wait_words(test, "p1", "yes", "p2")
    mirror("select_src_port=@p3", "output_port=@p4")
    wait_explained(one, names["p3"], lambda s: not s["policy"]["permitted"], "p3 to be forbidden")
    wait_words(test, "p1", "yes", "p2")
    vsctl("clear", "Bridge", bed.bridge, "mirrors")


def test_sampling(test):
    """sFlow, NetFlow and IPFIX on the bridge forbid the bypass of all its ports"""
    bed, one, vsctl = start(test)
    for column, table, target in (("sflow", "sFlow", "127.0.0.1:16343"), ("netflow", "NetFlow", "127.0.0.1:16344"),
                                  ("ipfix", "IPFIX", "127.0.0.1:16345")):
        with reason(test, one, bed, "sampling", "bypass", table, bed.bridge):
            vsctl("set", "Bridge", bed.bridge, f"{column}=@s", "--", "--id=@s", "create", table,
                  f'targets="{target}"')
        wait_words(test, "p2", "no", None)
        vsctl("clear", "Bridge", bed.bridge, column)
    wait_words(test, "p1", "yes", "p2")


def test_in_band_control(test):
    """A controller in in-band mode, the default, forbids the bypass; out-of-band, by a socket, or with in-band
    disabled, it does not"""
    bed, one, vsctl = start(test)
    test.allow += [r"rconn\|WARN\|.*127\.0\.0\.1:1666", r"in_band\|WARN\|.*cannot find route"]
    with reason(test, one, bed, "in-band", "bypass", "tcp:127.0.0.1:16661", "out-of-band"):
        vsctl("set-controller", bed.bridge, "tcp:127.0.0.1:16661")
    vsctl("set", "Controller", bed.bridge, "connection_mode=out-of-band")
    wait_explained(one, bed.ovs_name("p1"), lambda s: s["policy"]["permitted"], "out-of-band control to be permitted")
    vsctl("clear", "Controller", bed.bridge, "connection_mode")
    wait_words(test, "p1", "no", None)
    vsctl("set", "Bridge", bed.bridge, "other_config:disable-in-band=true")
    wait_explained(one, bed.ovs_name("p1"), lambda s: s["policy"]["permitted"], "disabled in-band to be permitted")
    vsctl("remove", "Bridge", bed.bridge, "other_config", "disable-in-band", "--", "set-controller", bed.bridge,
          f"punix:{bed.ovs.run}/{bed.bridge}.ctl")
    wait_explained(one, bed.ovs_name("p1"), lambda s: s["policy"]["permitted"], "a socket to be permitted")
    vsctl("del-controller", bed.bridge)


def test_fail_open(test):
    """A standalone bridge whose controller is away proves nothing, as it may forward by a hidden rule"""
    bed, one, vsctl = start(test)
    test.allow.append(r"rconn\|WARN\|.*127\.0\.0\.1:1666")
    vsctl("set", "Bridge", bed.bridge, "fail_mode=standalone")
    vsctl("set-controller", bed.bridge, "tcp:127.0.0.1:16662", "--", "set", "Controller", bed.bridge,
          "connection_mode=out-of-band", "inactivity_probe=60000")
    said = wait_explained(one, bed.ovs_name("p1"),
                          lambda s: any(r["reason"] == "fail-open" for r in s["policy"]["reasons"]),
                          "the reason fail-open")
    sure("fail_mode=secure" in one.appctl("explain", bed.ovs_name("p1")), "the remedy is not told")
    same(said["policy"]["permitted"], True, "the permit: classes are safe")
    wait_words(test, "p1", "yes", None)
    vsctl("set", "Bridge", bed.bridge, "fail_mode=secure")
    bed.rules(*LINE)  # Open vSwitch has flushed them.
    wait_words(test, "p1", "yes", "p2")
    vsctl("del-controller", bed.bridge)


def test_operator(test):
    """bypass=off of an interface, of a bridge or of a domain forbids; a word that is neither on nor off counts as
    off and is said so"""
    bed, one, vsctl = start(test)
    name = bed.ovs_name("p1")
    with reason(test, one, bed, "operator", "bypass", "highway-bypass=off", name):
        vsctl("set", "Interface", name, "other_config:highway-bypass=off")
    wait_words(test, "p2", "yes", None)
    vsctl("set", "Interface", name, "other_config:highway-bypass=on")
    with reason(test, one, bed, "operator", "bypass", "highway-bypass=maybe", "neither on nor off"):
        vsctl("set", "Interface", name, "other_config:highway-bypass=maybe")
    vsctl("remove", "Interface", name, "other_config", "highway-bypass")
    with reason(test, one, bed, "operator", "bypass", bed.bridge):
        vsctl("set", "Bridge", bed.bridge, "other_config:highway-bypass=off")
    wait_words(test, "p2", "no", None)
    vsctl("remove", "Bridge", bed.bridge, "other_config", "highway-bypass")
    with reason(test, one, bed, "operator", "bypass", test.domain):
        bed.ovs.set_other_config(highway_bypass_off_domains=f"other, {test.domain}")
    vsctl("remove", "Open_vSwitch", ".", "other_config", "highway-bypass-off-domains")
    wait_words(test, "p1", "yes", "p2")


def test_special_protocols(test):
    """STP and RSTP on the bridge, CFM, BFD, LLDP at the interface, LACP and protected at the port forbid a proof, not
    the bypass of classes"""
    bed, one, vsctl = start(test)
    name = bed.ovs_name("p1")
    test.allow.append(r"\|(stp|rstp|cfm|bfd|lldp|lacp)\|WARN\|")
    for on, off, text in (
            (("set", "Bridge", bed.bridge, "stp_enable=true"), ("set", "Bridge", bed.bridge, "stp_enable=false"), "STP"),
            (("set", "Bridge", bed.bridge, "rstp_enable=true"), ("set", "Bridge", bed.bridge, "rstp_enable=false"),
             "RSTP"),
            (("set", "Interface", name, "cfm_mpid=7"), ("clear", "Interface", name, "cfm_mpid"), "CFM"),
            (("set", "Interface", name, "bfd:enable=true"), ("clear", "Interface", name, "bfd"), "BFD"),
            (("set", "Interface", name, "lldp:enable=true"), ("clear", "Interface", name, "lldp"), "LLDP"),
            (("set", "Port", name, "lacp=active"), ("clear", "Port", name, "lacp"), "LACP")):
        with reason(test, one, bed, "special", "proof", text):
            vsctl(*on)
        vsctl(*off)
    vsctl("set", "Port", name, "protected=true", "--", "set", "Port", bed.ovs_name("p2"), "protected=true")
    wait_words(test, "p1", "yes", None)
    vsctl("set", "Port", name, "protected=false")
    wait_words(test, "p1", "yes", "p2")


def test_reasons_add_up(test):
    """With two reasons the port stays forbidden until both are gone"""
    bed, one, vsctl = start(test)
    name = bed.ovs_name("p1")
    wait_words(test, "p1", "yes", "p2")
    vsctl("set", "Interface", name, "ingress_policing_rate=1000", "other_config:highway-bypass=off")
    wait_words(test, "p1", "no", None)
    wait_until(lambda: len(one.explain(name)["policy"]["reasons"]) == 2, 10, "two reasons")
    vsctl("set", "Interface", name, "ingress_policing_rate=0")
    wait_until(lambda: len(one.explain(name)["policy"]["reasons"]) == 1, 10, "one reason")
    wait_words(test, "p1", "no", None)
    vsctl("remove", "Interface", name, "other_config", "highway-bypass")
    wait_words(test, "p1", "yes", "p2")
