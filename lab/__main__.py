# SPDX-License-Identifier: BSD-3-Clause
"""`python3 -m lab selftest [FOLDER]`: does the lab itself work on this machine?"""

import os
import re
import sys
import tempfile
from pathlib import Path

from . import HugePages, Lab, LabError, Netns, Ovs, Process, Testpmd, pcap, wait_until
from .net import HttpServer, download, veth


def main(arguments):
    if not arguments or arguments[0] != "selftest" or len(arguments) > 2:
        print(__doc__, file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("skip: the lab needs root (network namespaces, DPDK)")
        return 77
    before = _traces()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments[1] if len(arguments) == 2 else scratch
        try:
            with Lab(folder) as lab:
                _try_all(lab)
                pids = _children()
        except (LabError, TimeoutError) as error:
            print(f"FAIL {error}")
            return 1
    left = sorted(set(_traces()) - set(before)) + [f"process {pid}" for pid in pids if os.path.exists(f"/proc/{pid}")]
    if left or _children():
        print(f"FAIL left behind: {', '.join(left) or 'zombies'}")
        return 1
    print("ok   nothing is left behind")
    return 0


def _try_all(lab):
    huge = HugePages(lab, 448)
    print(f"ok   huge pages: {huge.count} of 2 MiB" if huge else f"skip huge pages: {huge.why}")

    ovs = Ovs(lab, huge=huge, hw_offload=False, memory_mb=512)
    ovs.add_bridge("br0")
    for number in (1, 2):
        ovs.add_port("br0", f"p{number}", "dpdk", number, dpdk_devargs=f"net_null{number}")
    ovs.add_flow("br0", "cookie=0x7,in_port=1,actions=output:2")
    ovs.add_flow("br0", "in_port=2,actions=drop")
    ovs.pmd_busy()
    rule = wait_until(lambda: next((f for f in ovs.flows("br0", "in_port=1") if f["n_packets"] >= 10_000), None),
                      30, "10,000 packets through the switch", ovs.log, [ovs.vswitchd])
    _sure(rule["cookie"] == 7 and rule["actions"] == "output:2", f"the rule reads {rule}")
    _sure(ovs.port_stats("br0", 2)["tx_pkts"] > 0, "port 2 counts what it sends")
    megaflows = [(flow["in_port"], flow["actions"]) for flow in ovs.datapath_flows()]
    _sure(("p1", "p2") in megaflows, "the megaflow is there")
    _sure("br0" in ovs.inside("ip", "link"), "its taps are in its own namespace")
    _sure(ovs.pmd_busy()[1] > 0.5, "the PMD thread is busy")
    warnings = ovs.log_warnings()
    _sure(not warnings, f"the switch warns: {warnings[:1]}")
    print(f"ok   ovs-vswitchd with two net_null ports: {rule['n_packets']} packets")
    ovs.stop()

    # Opposite CPUs, so that the two pollers do not take turns on one.
    socket = lab.rundir / "memif.sock"
    last = max(os.sched_getaffinity(0))
    first = min(os.sched_getaffinity(0))
    device = f"net_memif0,socket={socket},socket-abstract=no,role="
    one = Testpmd(lab, "one", [device + "server"], huge=huge, forward="rxonly", cpus=(first, last), memory_mb=128)
    two = Testpmd(lab, "two", [device + "client"], huge=huge, forward="txonly", cpus=(last, first), memory_mb=128)
    one.start()
    two.start()
    one.wait_link()
    two.wait_link()
    one.start_forwarding()
    two.start_forwarding()
    wait_until(lambda: one.port_stats()["RX-packets"] >= 10_000, 60, "10,000 packets by memif", two)
    sent = two.stop_forwarding()["TX-packets"]
    wait_until(lambda: one.port_stats()["RX-packets"] == sent, 30, f"all {sent} packets to arrive", one)
    _sure(one.xstats()["rx_good_packets"] == sent, "extended statistics agree")
    # memif of DPDK 22.11 may crash if its peer leaves while it is polled.
    _sure(one.stop_forwarding()["RX-packets"] == sent, "forwarding statistics agree")
    _sure(two.quit() == 0, "testpmd ends in good order")
    one.wait_link(up=False)
    one.stop()
    print(f"ok   two testpmd by memif: {sent} packets sent, all received")

    left, right = Netns(lab, "left"), Netns(lab, "right")
    veth(left, "eth0", right, "eth0")
    left.configure("eth0", "10.99.0.1/24", mtu=1400)
    right.configure("eth0", "10.99.0.2/24", mtu=1400)
    server = HttpServer(lab, right, "10.99.0.2").start()
    url, digest = server.file("data", 3_000_000)
    done = download(lab, left, url, sha256=digest)
    print(f"ok   HTTP between two namespaces: {done['bytes']} bytes, checksum right")

    frames = pcap.mixed_frames(500)
    pcap.write(lab.folder / "mixed.pcap", frames)
    _sure(pcap.read(lab.folder / "mixed.pcap") == frames == pcap.mixed_frames(500), "frames are read as written")
    print(f"ok   pcap: {len(frames)} frames written and read")

    _death(lab)


def _death(lab):
    """A lab that is killed by SIGKILL: its program dies with it, and the next lab
    removes its namespace and its run directory."""
    code = ("import sys, lab, lab.net\n"
            "with lab.Lab(sys.argv[1]) as l:\n"
            "    n = lab.net.Netns(l, 'orphan')\n"
            "    p = lab.Process(l, 'cat', ['cat'], netns=n).start()\n"
            "    print('pid', p.pid, n.name, l.rundir, flush=True)\n"
            "    sys.stdin.read()\n")
    victim = Process(lab, "victim", [sys.executable, "-c", code, lab.folder / "victim"],
                     env={"PYTHONPATH": Path(__file__).resolve().parent.parent}).start()
    child, netns, rundir = victim.expect(r"pid (\d+) (\S+) (\S+)\n").groups()
    victim.signal(9)
    victim.wait()
    wait_until(lambda: not _running(child), 10, "the orphan's death")
    with Lab(lab.folder / "heir"):
        _sure(not os.path.exists(rundir) and not os.path.exists(f"/run/netns/{netns}"), "the heir cleans up")
    print("ok   after SIGKILL: the program died too, the next lab cleaned up")


def _running(pid):
    try:
        return re.search(r"\) ([A-Z])", Path(f"/proc/{pid}/stat").read_text())[1] not in "ZX"
    except OSError:
        return False


def _sure(truth, what):
    if not truth:
        raise LabError(f"not so: {what}")


def _children():
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += (task / "children").read_text().split()
    return found


def _traces():
    """What a lab might leave on a machine: run directories, namespaces, mounts,
    network devices, huge pages."""
    names = [str(path) for base in ("/run", "/tmp") for path in Path(base).glob("*hwylab-*")]
    names += [f"namespace {path.name}" for path in Path("/run/netns").glob(f"hwy-{os.getpid()}-*")]
    names += [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if "hwylab-" in line]
    names += [f"device {path.name}" for path in Path("/sys/class/net").iterdir()]
    return names


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
