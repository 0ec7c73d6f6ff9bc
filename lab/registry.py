# SPDX-License-Identifier: BSD-3-Clause
"""`Lab`: everything that a run started or changed, undone in reverse order.

A lab has a run directory with a short path (Unix sockets allow 107 bytes) below
/run.  It holds a lock file, which the kernel unlocks when we die, and a ledger
of what outlives a process: network namespaces, mounts, huge pages.  The next
lab on the machine reads the ledgers of dead ones and undoes what they list.
"""

import atexit
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

from .process import LabError, run

_BASES = ("/run", "/tmp")
_PREFIX = "hwylab-"


class Lab:
    """Use as `with Lab(folder) as lab:`; logs and results go to 'folder'.

    Everything given to `add` is stopped at the end, last first: also after an
    exception, SIGINT or SIGTERM.  'rundir' is for sockets and run-time files
    and is removed at the end.
    """

    def __init__(self, folder):
        self.folder = Path(folder).absolute()
        self.rundir = None
        self._things = []
        self._lock = None
        self._handlers = {}

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        sweep()
        base = next((b for b in _BASES if os.access(b, os.W_OK)), None)
        if base is None:
            raise LabError(f"none of {', '.join(_BASES)} can be written to: no place for run-time files")
        # Not findable by sweep() until it is locked.
        new = tempfile.mkdtemp(prefix="." + _PREFIX, dir=base)
        self._lock = os.open(f"{new}/lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.rundir = Path(base, os.path.basename(new)[1:])
        os.rename(new, self.rundir)
        atexit.register(self.close)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                self._handlers[number] = signal.signal(number, _exit_by_signal)
        return self

    def __exit__(self, kind, value, trace):
        troubles = self.close()
        if troubles and kind is None:
            raise LabError("; ".join(troubles))

    def add(self, thing):
        """Has 'thing.stop()' called at the end; returns 'thing'."""
        if thing in self._things:
            self._things.remove(thing)
        self._things.append(thing)
        return thing

    def close(self):
        """Stops everything and returns a list of what went wrong with that."""
        if self.rundir is None:
            return []
        atexit.unregister(self.close)
        troubles = []
        with _no_interrupts():
            while self._things:
                thing = self._things.pop()
                name = getattr(thing, "name", type(thing).__name__)
                try:
                    thing.stop()
                    if getattr(thing, "alive", False):
                        troubles.append(f"{name} (process {thing.pid}) still runs")
                except Exception as error:  # The others must be stopped all the same.
                    troubles.append(f"{name} could not be stopped: {error}")
            troubles += _undo(self.rundir)
            shutil.rmtree(self.rundir, ignore_errors=True)
            os.close(self._lock)
        self.rundir = None
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
        for trouble in troubles:
            print(f"lab: {trouble}", file=sys.stderr)
        return troubles

    def note(self, *words):
        """Puts a line into the ledger: "netns NAME", "mount PATH" (before it is
        made: it is looked for first) or "hugepages COUNT" (after)."""
        with open(self.rundir / "ledger", "a") as ledger:
            print(*words, file=ledger, flush=True)

    def forget(self, *words):
        """Takes the line out of the ledger again, when the thing is gone."""
        path = self.rundir / "ledger"
        lines = path.read_text().splitlines()
        lines.remove(" ".join(str(word) for word in words))
        path.write_text("".join(line + "\n" for line in lines))


def _exit_by_signal(number, _frame):
    signal.signal(number, signal.SIG_IGN)  # Once is enough: cleaning up has begun.
    raise SystemExit(128 + number)


@contextmanager
def _no_interrupts():
    """Nobody interrupts the cleaning up; signals to us are ignored meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def huge_page_pool():
    """The file of the kernel's pool size, for one lab on the machine at a time."""
    pool = Path("/proc/sys/vm/nr_hugepages")
    with pool.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield pool


def lower_huge_pages(count):
    """Takes 'count' huge pages back out of the kernel's pool."""
    with huge_page_pool() as pool:
        pool.write_text(str(max(0, int(pool.read_text()) - count)))


def _undo(rundir):
    """Undoes what the ledger in 'rundir' lists, last first; returns troubles."""
    try:
        lines = (rundir / "ledger").read_text().splitlines()
    except OSError:
        return []
    troubles = []
    for line in reversed(lines):
        kind, _, what = line.partition(" ")
        try:
            if kind == "netns" and os.path.exists(f"/run/netns/{what}"):
                run(["ip", "netns", "del", what])
            elif kind == "mount" and os.path.ismount(what):
                run(["umount", what])
            elif kind == "hugepages":
                lower_huge_pages(int(what))
        except (LabError, OSError) as error:
            troubles.append(f"left behind: {line}: {error}")
    return troubles


def sweep():
    """Undoes what labs that were killed left behind."""
    for base in _BASES:
        for rundir in Path(base).glob(_PREFIX + "*"):
            try:
                if rundir.is_symlink() or not rundir.is_dir() or rundir.stat().st_uid != os.getuid():
                    continue
                lock = os.open(rundir / "lock", os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_nlink:
                    _undo(rundir)
                    shutil.rmtree(rundir, ignore_errors=True)
            except BlockingIOError:
                pass  # Its lab lives.
            finally:
                os.close(lock)
