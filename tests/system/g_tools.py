# SPDX-License-Identifier: BSD-3-Clause
"""G. The tools of these tests, and that nothing else was touched."""

from lab import find_program, run, wait_until
from lab.ovs import VSWITCHD

from .kit import Skip, finish, go, same, sure, system_state


def _hold_in_the_up_ring(t, host, **options):
    """A gensink whose next packets wait in p1's up ring, as the host end does not look."""
    one = t.traffic("gensink", "p1", "p2", rate=20e3, **options).start()
    go(one)
    wait_until(lambda: t.end("p2")["rx_packets"] > 500, 15, "packets", one)
    host.stop_forwarding()
    wait_until(lambda: t.end("p1")["tx_packets"] > t.end("p2")["rx_packets"] + 100, 15, "packets to wait", one)
    return one


def test_traffic_detects_loss(t):
    """highway-traffic tells how many packets are missing when testpmd throws away what waited before its start."""
    host = t.host(2)
    one = _hold_in_the_up_ring(t, host)
    host.start_forwarding()  # It begins by emptying its receive rings.
    mark = t.end("p2")["rx_packets"]
    wait_until(lambda: t.end("p2")["rx_packets"] > mark + 500, 15, "packets again", one)
    report = finish(one)
    same(report["lost"], report["sent"] - report["received"], "lost packets")
    sure(report["lost"] >= 100, f"only {report['lost']} are lost")
    same((report["duplicated"], report["corrupted"]), (0, 0), "duplicated, corrupted")


def test_traffic_detects_corruption(t):
    """highway-traffic tells that packets were changed whose last byte somebody else flips in the region."""
    host = t.host(2, extra=["--no-flush-rx"])
    one = _hold_in_the_up_ring(t, host, size=600)
    with t.region() as region:
        waiting = region.waiting("p1")
    sure(len(waiting) >= 100, f"{len(waiting)} packets wait")
    with t.region_path().open("r+b") as file:
        for at, length in waiting[:50]:
            file.seek(at + length - 1)
            byte = file.read(1)[0]
            file.seek(at + length - 1)
            file.write(bytes([byte ^ 0x40]))
    host.start_forwarding()
    mark = t.end("p2")["rx_packets"]
    wait_until(lambda: t.end("p2")["rx_packets"] > mark + 1500, 15, "packets again", one)
    report = finish(one)
    same((report["corrupted"], report["duplicated"]), (50, 0), "corrupted, duplicated")


def test_traffic_detects_foreign_packets(t):
    """highway-traffic tells others' packets from its own, and is not disturbed by them."""
    t.host(2)
    sink = t.sink("p2")
    other = t.testpmd("other", t.guests("p1"), forward="txonly").start()
    other.start_forwarding()
    wait_until(lambda: t.end("p2")["rx_packets"] > 1000, 15, "packets", other)
    other.stop_forwarding()
    same(other.quit(), 0, "exit status")
    sent = t.traffic("gen", "p1", count=2000, rate=20e3, control=False).run(60)["sent"]
    wait_until(lambda: sink.live().get("received", 0) >= sent, 15, "the generator's packets", sink)
    report = finish(sink)
    same((report["received"], report["lost"], report["corrupted"]), (sent, 0, 0), "received, lost, corrupted")
    sure(report["foreign"] > 1000, f"foreign: {report['foreign']}")


def test_traffic_duration_counts_from_the_start(t):
    """--duration counts from the start command when --hold waits for it."""
    t.host(2)
    one = t.traffic("gensink", "p1", "p2", rate=10e3, duration=1).start()
    go(one)
    wait_until(lambda: not one.alive or one.live().get("sent", 0) > 5000, 15, "a second of packets", one)
    wait_until(lambda: not one.alive or not one.live().get("running", True), 15, "the end of the second", one)
    if one.alive:
        one.quit()
    report = one.result()
    sure(5000 < report["sent"] < 30000, f"about 10,000 packets in a second: {report['sent']}")


def test_expect_clean(t):
    """--expect-clean gives exit status 1 when packets were lost, and 0 when not."""
    t.host(2)
    good = t.traffic("gensink", "p1", "p2", name="good", count=2000, rate=20e3, expect_clean=True, control=False)
    good.run(60)
    same(good.status, 0, "exit status of a clean run")
    bad = t.traffic("gensink", "p1", "q9", name="bad", count=2000, rate=20e3, expect_clean=True, control=False,
                    link_wait=0).start()
    sure(bad.wait(60) in (1, 3), f"exit status of a run without a peer: {bad.status}")


def test_programs_are_the_distribution_s(t):
    """Open vSwitch, DPDK and testpmd are the files of Debian's packages, and load no library of ours."""
    import shutil

    if not shutil.which("dpkg"):
        raise Skip("no dpkg on this machine")
    testpmd = find_program("HIGHWAY_TESTPMD", "dpdk-testpmd")
    for program in (VSWITCHD, testpmd):
        libraries = run(["ldd", program])
        sure("highway" not in libraries and "not found" not in libraries, f"libraries of {program}: {libraries}")
        for line in libraries.splitlines():
            path = line.partition("=> ")[2].partition(" ")[0]
            sure(not path or path.startswith(("/lib", "/usr/lib")), f"{program} loads {path}")
    packages = [p for p in ("openvswitch-switch-dpdk", "openvswitch-switch", "openvswitch-common", "dpdk")
                if run(["dpkg-query", "-W", "-f", "${Status}", p], check=False).endswith("installed")]
    sure("openvswitch-switch-dpdk" in packages and "dpdk" in packages, f"packages: {packages}")
    changed = [line for line in run(["dpkg", "-V", *packages], check=False).splitlines()
               if " c /etc/" not in line and "missing" not in line]
    same(changed, [], "changed files")


def test_system_switch_untouched(t):
    """What belongs to a system-wide Open vSwitch is as it was before the run."""
    same(system_state(), t.bench.system_before, "files of a system-wide Open vSwitch")


def test_no_trace_in_default_folders(t):
    """No region of these tests is in the default folders."""
    import os

    for folder in ("/dev/shm/highway", "/dev/hugepages/highway"):
        names = os.listdir(folder) if os.path.isdir(folder) else []
        sure(not [n for n in names if n.startswith("dt")], f"regions in {folder}: {names}")
