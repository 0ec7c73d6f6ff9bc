# SPDX-License-Identifier: BSD-3-Clause
"""Starts and steers the unmodified programs around Highway, and cleans up.

    from lab import HugePages, Lab, Ovs, Testpmd

    with Lab("build/lab") as lab:
        huge = HugePages(lab, 512)
        ovs = Ovs(lab, plugin=plugin, huge=huge)
        ovs.add_bridge("br0")
        ovs.add_highway_port("br0", "p1", "net_highway0,...", ofport=1)

Needs root.  `python3 -m lab selftest` shows that it works on this machine.
"""

from . import pcap
from .dpdk import Testpmd, Traffic, eal_args, find_program
from .hugepages import HugePages
from .net import HttpServer, Netns, download, veth
from .ovs import Ovs
from .process import DEADLINE, LabError, Process, ProcessDied, run, wait_until
from .registry import Lab, sweep

__all__ = [
    "DEADLINE", "HttpServer", "HugePages", "Lab", "LabError", "Netns", "Ovs", "Process", "ProcessDied",
    "Testpmd", "Traffic", "download", "eal_args", "find_program", "pcap", "run", "sweep", "veth", "wait_until",
]
