# SPDX-License-Identifier: BSD-3-Clause
"""E. Errors as Open vSwitch shows them."""

import shutil
import tempfile

from lab import LabError, wait_until

from .kit import clean, finish, go, same, seconds, sure

REFUSED_PORT = [r"EAL: (Driver cannot attach|Failed to attach) ", r"Invalid port_id=", r"Error attaching device",
                r"could not (set|add|create)", r"could not open network device"]
"""What EAL and Open vSwitch say about a port that the driver refused."""


def _said(ovs, sentence):
    """Waits until the switch's log, which another thread of it writes, has the sentence."""
    wait_until(lambda: sentence in ovs.log.read_text(errors="replace"), 20, f"'{sentence}' in the log", ovs.log)


def test_wrong_argument_in_the_switch(t):
    """A port with a wrong argument is refused by Open vSwitch, the sentence is in its log, other ports go on."""
    bed = t.bed(2)
    t.allow += [r"colour=blue is no option", *REFUSED_PORT]
    try:
        bed.ovs.add_highway_port(bed.bridge, f"{t.short}bad", t.devargs("bad", "host", 900, colour="blue"), 9)
        raise AssertionError("the port was accepted")
    except LabError as error:
        sure("Error attaching device" in str(error) or "colour" in str(error), f"Open vSwitch says: {error}")
    _said(bed.ovs, "colour=blue is no option: known are domain, port")
    bed.rules("in_port=1,actions=output:2")
    t.once("p1", "p2", count=5000)


def test_port_of_another_host(t):
    """A port whose domain another host serves is refused; the log names that host's pid."""
    host = t.host(2)
    ovs = t.ovs()
    ovs.add_bridge(f"br-{t.short}")
    t.defer(ovs.vsctl, "del-br", f"br-{t.short}")
    t.allow += [r"host end already", *REFUSED_PORT]
    try:
        ovs.add_highway_port(f"br-{t.short}", f"{t.short}p1", t.devargs("p1", "host", 901), 1)
        raise AssertionError("the port was accepted")
    except LabError:
        pass
    _said(ovs, f"held by pid {host.pid}")


@seconds(90)
def test_without_hw_offload(t):
    """Without hw-offload packets take the normal path, and the log says once how to have them bypass the switch."""
    ovs = t.own_ovs(hw_offload=False)
    t.allow += [r"offers no flows"]
    bed = t.bed(2, ovs=ovs)
    bed.rules("in_port=1,actions=output:2")
    one = t.traffic("gensink", "p1", "p2", rate=10e3).start()
    go(one)
    _said(ovs, "other_config:hw-offload=true, then restart ovs-vswitchd")
    sure(t.end("p1")["tx_bypass_packets"] == 0, "nothing went by a link")
    report = clean(finish(one))
    bed.wait_packets((report["sent"], report["sent_bytes"]))
    same(ovs.log.read_text().count("the switch offers no flows"), 1, "how often it is said")


@seconds(60)
def test_plugin_refused_by_eal(t):
    """A plug-in below /tmp: ovs-vswitchd says why and offers no DPDK; it does not pretend."""
    folder = tempfile.mkdtemp(dir="/tmp", prefix="highway-plugin-")
    t.defer(shutil.rmtree, folder)
    copy = shutil.copy(t.plugin, folder)
    try:
        ovs = t.own_ovs(dies=True, plugin=copy)
    except (LabError, TimeoutError):
        log = t.lab.folder / f"{t.short}-vswitchd.log"
        sure("world-writable" in log.read_text(errors="replace"), "EAL's reason is in the log")
        return
    raise AssertionError(f"ovs-vswitchd started DPDK with {copy}: {ovs.log}")
