# SPDX-License-Identifier: BSD-3-Clause
"""highwayd: what the service manager is told, and the service's sandbox.  A socket of the test
stands for the manager's."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

from lab import Process, wait_until

from .h_kit import agent, wait_words
from .kit import Skip, same, seconds, sure

LINE = ("in_port=1,actions=output:2", "in_port=2,actions=output:1")


class Manager:
    """The service manager's end of NOTIFY_SOCKET: notes what comes, and when."""

    def __init__(self, test, abstract=False):
        name = f"{'@highway-' + str(os.getpid()) + '-' if abstract else str(test.lab.rundir) + '/'}{test.short}.notify"
        self.env = {"NOTIFY_SOCKET": name}
        self.told = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name[1:] if abstract else name)
        threading.Thread(target=self._listen, daemon=True).start()
        test.defer(self._close)

    def _listen(self):
        while True:
            try:
                text = self._socket.recv(4096).decode()
            except OSError:
                return
            if not text:
                return
            self.told += text.splitlines()

    def _close(self):
        try:
            self._socket.shutdown(socket.SHUT_RD)
        except OSError:
            pass
        self._socket.close()

    def wait(self, line, process):
        wait_until(lambda: line in self.told, 20, f"the manager to be told {line}", lambda: str(self.told), [process])

    def count(self, line):
        return self.told.count(line)


def start(test, bed, manager, database=None, **env):
    """highwayd, started as the manager would, with 'database' instead of the bed's."""
    one = agent(test, bed, start=False)
    one.env = {**one.env, **manager.env, **env}
    if database:
        one.argv[1] = f"unix:{database}"
    return one.start()


def test_service_ready(test):
    """READY=1 comes once the database was read, not before, and STOPPING=1 at the end, over a path and an abstract
    socket"""
    bed = test.bed(2)
    for abstract in (False, True):
        manager = Manager(test, abstract)
        database = Path(test.lab.rundir) / f"{test.short}-{abstract}.db"
        one = start(test, bed, manager, database)
        manager.wait(f"STATUS=Waits for the database at unix:{database}", one)
        one.appctl("version")  # Another round of its main loop.
        sure("READY=1" not in manager.told, f"ready without a database: {manager.told}")
        database.symlink_to(bed.ovs.db.removeprefix("unix:"))
        manager.wait("READY=1", one)
        sure(bed.bridge in one.bridges(), "ready, but the database was not read")
        sure("STOPPING=1" not in manager.told, f"stopping too early: {manager.told}")
        one.stop()
        wait_until(lambda: "STOPPING=1" in manager.told, 10, "STOPPING=1", lambda: str(manager.told))
        same((manager.count("READY=1"), manager.count("STOPPING=1")), (1, 1), "ready and stopping, each once")


def test_service_watchdog(test):
    """With a watchdog WATCHDOG=1 keeps coming, not while highwayd is stopped, and never where the watchdog is
    another process's"""
    bed = test.bed(2)
    manager = Manager(test)
    one = start(test, bed, manager, WATCHDOG_USEC=400000)
    manager.wait("READY=1", one)

    def comes():
        before = manager.count("WATCHDOG=1")
        wait_until(lambda: manager.count("WATCHDOG=1") >= before + 3, 20, "WATCHDOG=1", lambda: str(manager.told))

    comes()
    one.signal(signal.SIGSTOP)
    wait_until(lambda: Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", 10,
               "highwayd to be stopped")

    def quiet():
        before = manager.count("WATCHDOG=1")
        time.sleep(0.3)
        return manager.count("WATCHDOG=1") == before
    wait_until(quiet, 10, "what it had sent to be read")
    before = manager.count("WATCHDOG=1")
    time.sleep(1)
    still = manager.count("WATCHDOG=1")
    one.signal(signal.SIGCONT)
    same(still, before, "WATCHDOG=1 while it was stopped")
    comes()
    one.stop()
    other = Manager(test, abstract=True)
    one = start(test, bed, other, WATCHDOG_USEC=10000, WATCHDOG_PID=1)
    other.wait("READY=1", one)
    for _ in range(5):
        one.appctl("version")
    same(other.count("WATCHDOG=1"), 0, "WATCHDOG=1 for another process")


def test_service_without_manager(test):
    """A NOTIFY_SOCKET that makes no sense or that nobody holds is said once, and highwayd works"""
    bed = test.bed(2)
    for name in ("relative", str(test.lab.rundir / "nobody.notify")):
        one = agent(test, bed, start=False)
        one.env = {**one.env, "NOTIFY_SOCKET": name}
        one.start()
        one.wait_synced(bed.bridge)
        lines = [line for line in one.logfile.read_text().splitlines() if f"NOTIFY_SOCKET={name} " in line]
        same(len(lines), 1, f"lines on NOTIFY_SOCKET={name}")
        one.stop()


@seconds(120)
def test_service_sandbox(test):
    """In a user namespace of its own and without a capability, as the service has it, highwayd permits and proves"""
    confined = ["unshare", "--user", "--map-root-user", "setpriv", "--bounding-set=-all", "--inh-caps=-all",
                "--no-new-privs"]
    if Process(test.lab, f"{test.short}-try", [*confined, "true"]).start().wait() != 0:
        raise Skip("user namespaces are not permitted here")
    bed = test.bed(2)
    bed.rules(*LINE)
    one = agent(test, bed, start=False)
    one.argv = [*confined, *one.argv]
    one.start()
    one.wait_synced(bed.bridge)
    capabilities = [line.split()[1] for line in Path(f"/proc/{one.pid}/status").read_text().splitlines()
                    if line.startswith(("CapEff", "CapPrm", "CapBnd"))]
    same([int(word, 16) for word in capabilities], [0, 0, 0], "its capabilities")
    wait_words(test, "p1", "yes", "p2")
    bed.ovs.vsctl("set", "Interface", bed.ovs_name("p1"), "other_config:highway-bypass=off")
    wait_words(test, "p1", "no", None)
    same(one.stop(), -signal.SIGTERM, "its exit status")
