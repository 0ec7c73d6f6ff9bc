# SPDX-License-Identifier: BSD-3-Clause
"""E. Wrong device arguments: one sentence with the thing, its value and the remedy; the
port is refused and the application goes on."""

from lab import LabError, ProcessDied

from .kit import same, say, seconds, sure


def _refused(pmd, devargs, *words):
    """Attaches a port that must be refused with a sentence that holds 'words'."""
    said = pmd.command(f"port attach {devargs}")
    lines = [line for line in said.splitlines() if "net_highway: " in line]
    sure("is attached" not in said, f"{devargs} was accepted: {said.strip()}")
    same(len(lines), 1, f"sentences of the driver about {devargs} ({said.strip()})")
    missing = [word for word in words if word not in lines[0]]
    sure(not missing, f"the sentence lacks {missing}: {lines[0]}")


def test_each_wrong_argument(t):
    """Each wrong device argument is refused with one sentence, and a right one is taken afterwards."""
    pmd = t.testpmd("pmd", t.guests("p0")).start()
    base = f"net_highway7,domain={t.domain},dir={t.dir}"
    name = "1 to 31 letters, digits"
    for devargs, *words in (
            (f"{base},port=x,colour=blue", "colour=blue", "is no option", "known are domain, port, pci, role"),
            (f"{base},port=x,port=y", "port=y", "a second time", "leave one out"),
            (f"{base},port=x,queues=9", "queues=9", "between 1 and 8"),
            (f"{base},port=x,queues=0", "queues=0", "between 1 and"),
            (f"{base},port=x,queues=two", "queues=two", "not a number"),
            (f"{base},port=x,size=-1", "size=-1", "not a number"),
            (f"{base},port=x,size=64X", "size=64X", "not a number"),
            (f"{base},port=x,size=99999999999999999999", "size=99999999999999999999", "not a number"),
            (f"{base},port=x,role=boss", "role=boss", "host, guest"),
            (f"{base},port=x,idle=doze", "idle=doze", "poll, yield, pause, sleep"),
            (f"{base},port=x,mac=ff:ff:ff:ff:ff:ff", "mac=ff:ff:ff:ff:ff:ff", "unicast address like 02:"),
            (f"{base},port=x,mac=12", "mac=12", "unicast address like 02:"),
            (f"{base}", "port= is missing", "name the port", f"domain={t.domain}"),
            (f"{base},port=a/b", "port=a/b", name),
            (f"{base},port={'n' * 32}", "port=nnnn", name),
            (f"net_highway7,dir={t.dir},port={'n' * 31}", "port=nnnn", "too long for a port without domain="),
            (f"net_highway7,dir={t.dir},port=x,role=host,policy=agent", "policy=agent", "belongs to a domain"),
            (f"{base},port=x,keep=maybe", "keep=maybe", "no, yes"),
            ("net_highway7,pci=0000:00:00.0", "pci=0000:00:00.0 is no ivshmem-plain", "highwayctl qemu-args"),
            ("net_highway7,pci=0000:00:00.0,role=host", "role=host does not go with pci=", "outside"),
            ("net_highway7,pci=0000:00:00.0,size=1M", "size= does not go with pci=", "leave it out"),
            ("net_highway7,pci=../x", "pci=../x is not the address"),
            (f"net_highway7,dir={t.dir},port=x,domain=..", "domain=..", name),
            (f"net_highway7,dir=relative,port=x,domain={t.domain}", "dir=relative", "absolute path"),
            (f"net_highway7,dir={t.dir}/no/where,port=x,domain={t.domain}", "/no/where", "cannot be made",
             "existing folder"),
            (f"{base},port=p0,role=host,queues=3", "queues=3 contradicts", "queues=1", "same number at both ends"),
            (f"{base},port=p0,role=guest", "port=p0", "guest end already", f"pid {pmd.pid}", "name another port"),
            (f"net_highway7,dir={t.dir},port=x,domain={t.domain}n,size=3M", "size=3145728", "not a power of two",
             "size=64M"),
            (f"net_highway7,dir={t.dir},port=x,domain={t.domain}n,ring=100", "ring=100", "power of two"),
            (f"net_highway7,dir={t.dir},port=x,domain={t.domain}n,buf=1000", "buf=1000", "multiple of 64"),
            (f"net_highway7,dir={t.dir},port=x,domain={t.domain}n,size=1M,ring=16384", "size=1048576", "ring=16384")):
        _refused(pmd, devargs, *words)
    say(pmd, f"port attach {base},port=right", "is attached")
    same(pmd.quit(), 0, "exit status")


def _contradictions(t, pmd):
    base = f"net_highway7,domain={t.domain},dir={t.dir},port=x"
    for devargs, *words in ((f"{base},size=128M", "size=134217728 contradicts", "leave it out, or stop all"),
                            (f"{base},size=3M", "size=3145728", "contradicts"),
                            (f"{base},ring=2048", "ring=2048 contradicts", "ring=1024", "leave it out"),
                            (f"{base},buf=4096", "buf=4096 contradicts", "buf=2368", "leave it out")):
        _refused(pmd, devargs, *words)
    say(pmd, f"port attach {base},size=64M,ring=1024,buf=2368", "is attached")


def test_contradictions(t):
    """size=, ring= and buf= that contradict the existing region are refused, with what it has; the same are taken."""
    t.testpmd("first", t.guests("p0")).start()
    _contradictions(t, t.testpmd("second", ()).start())


def test_contradictions_within_a_process(t):
    """The same holds in a process that has a port of the domain already."""
    _contradictions(t, t.testpmd("pmd", t.guests("p0")).start())


def test_refused_at_start(t):
    """A wrong argument at the start of highway-traffic ends it with the sentence and a status that is not 0."""
    traffic = t.traffic("gen", ("p1", {"colour": "blue"}), link_wait=1).start()
    status = traffic.wait(20)
    sure("colour=blue is no option" in traffic.output, f"the sentence: {traffic.output[-500:]}")
    sure(status > 0, f"it ended {traffic.how_ended()}")


def test_port_name_taken(t):
    """A second VNF on the same port is told who holds it, and the first one does not notice."""
    host = t.host(2)
    first = t.testpmd("first", t.guests("p1", "p2")).start()
    second = t.testpmd("second", t.guests("p3")).start()
    _refused(second, t.devargs("p1", number=5), "port=p1", f"domain={t.domain}", "guest end already",
             f"held by pid {first.pid} (dpdk-testpmd)", "end that process, or name another port=")
    first.start_forwarding()
    first.wait_link(0)
    same(first.quit(), 0, "exit status")
    say(second, f"port attach {t.devargs('p1', number=5)}", "is attached")
    host.wait_link(0, up=False)


def test_two_hosts(t):
    """A second host for a port, or for the domain, is told who is there already."""
    host = t.host(2)
    other = t.testpmd("other", t.guests("p9")).start()
    _refused(other, t.devargs("p1", "host", 5), "port=p1", "host end already", f"pid {host.pid}")
    _refused(other, t.devargs("p3", "host", 6), f"domain={t.domain}", "served by another host already",
             f"pid {host.pid}", "name another domain=")
    host.kill9()
    said = other.command(f"port attach {t.devargs('p1', 'host', 5)}")
    sure("is attached" in said, f"after the first host's death: {said.strip()}")


@seconds(60)
def test_too_many_ports(t):
    """The 65th port of a domain is refused with the number and the remedy."""
    pmd = t.testpmd("pmd", t.guests("p0")).start()
    refused = None
    for n in range(1, 40):
        said = pmd.command(f"port attach {t.devargs(f'p{n}', number=n)}")
        if "is attached" not in said:
            refused = said
            break
    if refused is None or "net_highway: " not in refused:
        return  # DPDK's own limit of 32 ports comes first.
    sure("already" in refused or "no rings left" in refused or "ethdev" in refused, refused)


def test_plugin_in_a_world_writable_folder(t):
    """A plug-in that EAL refuses, below /tmp, is told by EAL and by the application's end."""
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(dir="/tmp", prefix="highway-plugin-")
    t.defer(shutil.rmtree, folder)
    copy = shutil.copy(t.plugin, folder)
    pmd = t.testpmd("pmd", t.guests("p1"))
    pmd.argv[pmd.argv.index(str(t.plugin))] = copy
    try:
        pmd.start()
        raise AssertionError("testpmd started")
    except (ProcessDied, LabError):
        pass
    sure("world-writable" in pmd.output, f"EAL's reason: {pmd.output[-500:]}")
    sure(pmd.status > 0, f"it ended {pmd.how_ended()}")
