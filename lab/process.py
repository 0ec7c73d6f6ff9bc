# SPDX-License-Identifier: BSD-3-Clause
"""Processes that are waited for by condition and never left behind.

A `Process` wraps one program.  The kernel kills it when this Python dies, even
by SIGKILL (PR_SET_PDEATHSIG).  Such a signal belongs to the *thread* that
started the program, so start programs from a thread that lives as long as the
programs should.
"""

import codecs
import ctypes
import fcntl
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import termios
import threading
import time
import tty
from pathlib import Path

DEADLINE = 30.0
"""Seconds to wait for something that is quick unless the machine is saturated."""

_KEEP = 8 << 20  # characters of output kept in memory
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_ticks = os.sysconf("SC_CLK_TCK")


class LabError(RuntimeError):
    """Something that was started did not do what it should."""


class ProcessDied(LabError):
    """A program ended while something was expected of it."""


def tail(text, lines=15):
    """Last 'lines' lines of 'text', indented, for a message."""
    kept = text.rstrip().splitlines()[-lines:]
    return "\n".join("    " + line for line in kept)


def log_tail(source, lines=15):
    """Indented end of a log: 'source' is a path, a Process, a callable or None."""
    if source is None:
        return ""
    if isinstance(source, Process):
        name, text = source.log, source.output
    elif callable(source):
        name, text = "output", source()
    else:
        name = source
        try:
            text = Path(source).read_text(errors="replace")
        except OSError as error:
            text = str(error)
    return f"\n  end of {name}:\n{tail(text, lines)}" if text.strip() else ""


def wait_until(predicate, deadline_s, what, log=None, alive=()):
    """Calls 'predicate' until it answers something true, and returns that.

    Raises TimeoutError naming 'what' and the end of 'log' after 'deadline_s'
    seconds, and ProcessDied as soon as one of the processes 'alive' has ended.
    """
    end = time.monotonic() + deadline_s
    pause = 0.002
    while True:
        late = time.monotonic() >= end
        answer = predicate()
        if answer:
            return answer
        for process in alive:
            if not process.alive:
                raise ProcessDied(
                    f"{process.name} ended ({process.how_ended()}) while waiting for "
                    f"{what}{log_tail(process)}{log_tail(log)}"
                )
        if late:
            raise TimeoutError(f"waited {deadline_s:g} s in vain for {what}{log_tail(log)}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def run(argv, deadline_s=DEADLINE, check=True, env=None, cwd=None, stdin=None):
    """Runs 'argv' to its end and returns its standard output.

    Raises LabError with what it wrote to standard error if it fails.
    """
    argv = [str(word) for word in argv]
    parent = os.getpid()
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=deadline_s,
            env=_environment(env), cwd=cwd, input=stdin, check=False,
            preexec_fn=lambda: _die_with_parent(parent),
        )
    except FileNotFoundError as error:
        raise LabError(f"cannot run {argv[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{shlex.join(argv)} did not end within {deadline_s:g} s") from error
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise LabError(f"{shlex.join(argv)} failed ({done.returncode}): {said}")
    return done.stdout


def _environment(extra):
    """This process's environment with 'extra'; a value of None removes a name."""
    env = dict(os.environ)
    env.update(extra or {})
    return {name: str(value) for name, value in env.items() if value is not None}


def _die_with_parent(parent):
    """In the child: be killed when 'parent' ends, also if it has ended already."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(127)


def _enter_new_network():
    """In the child: an anonymous network namespace with its loopback up."""
    if _libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 0x1))  # SIOCSIFFLAGS IFF_UP


class Process:
    """One program, from start to end.

    'lab': the Lab that stops it in the end; 'log': file for its output (default:
    NAME.log in the lab's folder); 'netns': a network namespace's name, or
    "private" for an anonymous one of its own; 'cpus': the CPUs it may use, as
    "0,2-3" or an iterable of numbers; 'tty': gives it a terminal, so that its
    output comes line by line and its prompt in its place.
    """

    stop_signal = signal.SIGTERM
    stop_deadline = 10.0

    def __init__(self, lab, name, argv, *, log=None, env=None, cwd=None, netns=None, cpus=None, tty=False):
        self.lab = lab
        self.name = name
        self.argv = [str(word) for word in argv]
        self.log = Path(log) if log else lab.folder / f"{name}.log"
        self.env = dict(env or {})
        self.cwd, self.tty = cwd, tty
        self.netns = getattr(netns, "name", netns)
        self.cpus = cpu_set(cpus) if cpus is not None else None
        self._popen = None
        self._in = self._out = None
        self._text = ""
        self._dropped = 0
        self._mark = 0
        self._eof = True
        self._news = threading.Condition()
        self._reader = None

    # -- life ---------------------------------------------------------------

    def start(self):
        """Starts the program (again, if it has ended) and returns self."""
        if self.alive:
            raise LabError(f"{self.name} runs already, as process {self.pid}")
        argv = self.argv
        if self.netns and self.netns != "private":
            argv = ["ip", "netns", "exec", self.netns, *argv]
        parent = os.getpid()

        def in_child():
            _die_with_parent(parent)
            if self.netns == "private":
                _enter_new_network()
            if self.cpus:
                os.sched_setaffinity(0, self.cpus)

        if self.tty:
            ours, theirs = pty.openpty()
            tty.setraw(theirs)
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 1000, 0, 0))
            stdin = stdout = theirs
        else:
            stdin = stdout = subprocess.PIPE
        with self.log.open("ab") as log:
            log.write(f"$ {shlex.join(argv)}\n".encode())
        try:
            self._popen = subprocess.Popen(
                argv, stdin=stdin, stdout=stdout, stderr=subprocess.STDOUT, bufsize=0,
                env=_environment(self.env), cwd=self.cwd, preexec_fn=in_child, start_new_session=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            if self.tty:
                os.close(ours)
            raise LabError(f"cannot start {self.name}: {shlex.join(argv)}: {error}") from error
        finally:
            if self.tty:
                os.close(theirs)
        if self.tty:
            self._in = self._out = ours
        else:
            self._in, self._out = self._popen.stdin.fileno(), self._popen.stdout.fileno()
        with self._news:
            self._mark = self._dropped + len(self._text)
            self._eof = False
        self.lab.add(self)
        self._reader = threading.Thread(target=self._read, args=(self._out,), daemon=True)
        self._reader.start()
        return self

    def stop(self, deadline_s=None):
        """Asks the program to end, insists after 'deadline_s' seconds (default:
        its class's 'stop_deadline'), and returns its exit status (None: never
        started)."""
        if self.alive:
            self.ask_to_end()
            try:
                self._popen.wait(self.stop_deadline if deadline_s is None else deadline_s)
            except subprocess.TimeoutExpired:
                return self.kill9()
        return self._ended() if self._popen else None

    def ask_to_end(self):
        """Tells the program to end in good order; does not wait."""
        self.signal(self.stop_signal)

    def kill9(self):
        """Kills the program and what it started in its session; returns its status."""
        if self.alive:
            # The leader is not reaped yet, so its number is still its own.
            try:
                os.killpg(self._popen.pid, signal.SIGKILL)
            except ProcessLookupError:
                self.signal(signal.SIGKILL)
            self._popen.wait(DEADLINE)
        return self._ended()

    def wait(self, deadline_s=DEADLINE):
        """Waits for the program to end by itself and returns its exit status."""
        try:
            self._popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.name} did not end within {deadline_s:g} s{log_tail(self)}") from None
        return self._ended()

    def signal(self, number):
        """Sends a signal to the program, if it lives."""
        if self.alive:
            self._popen.send_signal(number)

    def _ended(self):
        if self._reader and self._reader is not threading.current_thread():
            self._reader.join(2.0)
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream:
                try:
                    stream.close()
                except OSError:
                    pass
        if self.tty and self._out is not None:
            os.close(self._out)
        self._in = self._out = None
        return self._popen.returncode

    @property
    def alive(self):
        return self._popen is not None and self._popen.poll() is None

    @property
    def pid(self):
        return self._popen.pid if self._popen else None

    def fds(self):
        """How many file descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def status(self):
        """Exit status, negative for a signal; None while it runs."""
        return self._popen.poll() if self._popen else None

    def how_ended(self):
        """In words how it ended."""
        status = self.status
        if status is None:
            return "still running" if self._popen else "never started"
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    # -- talk ---------------------------------------------------------------

    def _read(self, fd):
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        with self.log.open("ab") as log:
            while True:
                try:
                    data = os.read(fd, 65536)
                except OSError:
                    data = b""  # A terminal whose other side is gone says EIO.
                if data:
                    log.write(data)
                    log.flush()
                with self._news:
                    self._text += decode(data, not data)
                    if len(self._text) > _KEEP:
                        drop = len(self._text) - _KEEP // 2
                        self._text = self._text[drop:]
                        self._dropped += drop
                    self._eof = not data
                    self._news.notify_all()
                if not data:
                    return

    @property
    def output(self):
        """What it has written so far (of very much, the end)."""
        with self._news:
            return self._text

    def send(self, line):
        """Writes 'line' and a line feed to its standard input."""
        data = (line + "\n").encode()
        try:
            while data and self._in is not None:
                data = data[os.write(self._in, data):]
        except OSError:
            pass
        if data:
            raise ProcessDied(f"cannot send '{line}' to {self.name} ({self.how_ended()}){log_tail(self)}")

    def skip(self):
        """Forgets the output so far: the next expect() looks only at what follows."""
        with self._news:
            self._mark = self._dropped + len(self._text)

    def expect(self, regex, deadline_s=DEADLINE):
        """Waits until the output after the last expect() matches 'regex', and
        returns the match.  Raises TimeoutError or ProcessDied with the log's end."""
        pattern = re.compile(regex, re.MULTILINE)
        end = time.monotonic() + deadline_s
        with self._news:
            while True:
                match = pattern.search(self._text, max(0, self._mark - self._dropped))
                if match:
                    self._mark = self._dropped + match.end()
                    return match
                left = end - time.monotonic()
                if self._eof or left <= 0:
                    break
                self._news.wait(left)
        if self._eof:
            try:
                self._popen.wait(1.0)
            except subprocess.TimeoutExpired:
                pass
            raise ProcessDied(f"{self.name} ended ({self.how_ended()}) before it said /{regex}/{log_tail(self)}")
        raise TimeoutError(f"{self.name} did not say /{regex}/ within {deadline_s:g} s{log_tail(self)}")

    # -- cost ---------------------------------------------------------------

    def cpu_seconds(self):
        """User and system time that the whole program has used."""
        return _stat(f"/proc/{self.pid}/stat")[1]

    def thread_cpu(self):
        """{thread id: (name, seconds)} of its threads that live now."""
        threads = {}
        for entry in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                threads[int(entry.name)] = _stat(entry / "stat")
            except OSError:
                continue  # Ended meanwhile.
        return threads


def _stat(path):
    """(name, CPU seconds) of a /proc stat file; the name may hold blanks."""
    text = Path(path).read_text()
    fields = text[text.rindex(")") + 2:].split()
    return text[text.index("(") + 1:text.rindex(")")], (int(fields[11]) + int(fields[12])) / _ticks


def cpu_set(cpus):
    """A set of CPU numbers from "0,2-3", a number or an iterable."""
    if isinstance(cpus, int):
        return {cpus}
    if not isinstance(cpus, str):
        return {int(cpu) for cpu in cpus}
    chosen = set()
    for part in cpus.split(","):
        low, _, high = part.partition("-")
        chosen.update(range(int(low), int(high or low) + 1))
    return chosen
