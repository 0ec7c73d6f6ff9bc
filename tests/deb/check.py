#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Builds the Debian packages and tries them on a machine that has nothing but Debian: a small
system in a folder, with Open vSwitch and testpmd as Debian packages them.  Nothing of it
touches the machine that it runs on: where services are started, it is by a systemd of
namespaces, which end with all that is in them.

Prints `ok|FAIL|skip  what` lines and `N passed, N failed, N skipped`.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import zlib
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE = ("openvswitch-switch-dpdk", "dpdk-dev", "bash-completion", "iproute2", "procps", "systemd",
        "systemd-sysv")
OURS = ("librte-net-highway", "highway", "highway-traffic")
FOREIGN = re.compile(r"^/(var/(lib/(dpkg|apt)|cache|log)|run|tmp|proc|sys|dev)(/|$)|^/etc/ld\.so\.cache$")
"""Where package managers and daemons keep books of their own."""

DEVICES = {"null": "1 3", "zero": "1 5", "full": "1 7", "random": "1 8", "urandom": "1 9", "tty": "5 0",
           "net/tun": "10 200"}
"""Nodes of its own: owners and modes that are changed there stay there."""


class Trouble(Exception):
    """The rest cannot be done."""


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def line(self, good, what, detail=""):
        print(f"{'ok  ' if good else 'FAIL'}  {what}", flush=True)
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print("\n".join("      " + line for line in detail.splitlines()[-25:]), flush=True)

    def skip(self, what, why):
        print(f"skip  {what}  {why}", flush=True)
        self.skipped += 1


def run(argv, deadline_s, log, **options):
    """Runs a program with its output in 'log'; returns (exit status, output)."""
    try:
        done = subprocess.run([str(word) for word in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=deadline_s, stdin=subprocess.DEVNULL, cwd=ROOT, **options)
        status, text = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        status, text = -1, f"{(error.stdout or b'').decode(errors='replace')}\nnot done within {deadline_s} s"
    with open(log, "a") as out:
        out.write(f"$ {' '.join(str(word) for word in argv)}\n{text}\n")
    return status, text


def sources():
    """apt's lines of the Debian archives that this machine uses."""
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)",
                             "Created-By: Packages"], capture_output=True, text=True, check=True).stdout
    return sorted({f"deb {uri} {release} {component}" for uri, release, component, origin in
                   (line.split("|") for line in listed.splitlines()) if origin == "Debian"})


class Machine:
    """The small Debian, in a folder."""

    def __init__(self, root, log):
        self.root, self.log = root, log

    def make(self, base):
        """Unpacks 'base', which is made if it is not there."""
        if not base.exists():
            new = base.with_suffix(".new")
            status, text = run(["mmdebstrap", "--variant=apt", "--mode=root", "--format=tar",
                                f"--include={','.join(BASE)}", "bookworm", new, *sources()], 600, self.log)
            if status:
                raise Trouble(f"mmdebstrap made no Debian: {text[-1500:]}")
            new.rename(base)
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        status, text = run(["tar", "-C", self.root, "-xf", base], 300, self.log)
        if status:
            raise Trouble(text)
        policy = self.root / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")

    def inside(self, words, deadline_s, network=False):
        """Runs a program there, in namespaces that end with it; returns (exit status, output)."""
        mounts = " && ".join((
            'mount --make-rprivate /', 'mount -t proc proc "$R/proc"', 'mount --rbind /sys "$R/sys"',
            'mount -t tmpfs -o mode=755 tmpfs "$R/run"', 'mount -t tmpfs -o mode=755 tmpfs "$R/dev"',
            'mkdir "$R/dev/net" "$R/dev/shm"',
            *(f'mknod -m 666 "$R/dev/{node}" c {numbers}' for node, numbers in DEVICES.items()),
            'mount -t tmpfs -o mode=1777 tmpfs "$R/dev/shm"', 'exec chroot "$R" "$@"'))
        return run(["unshare", "--mount", "--pid", "--fork", "--kill-child", *([] if network else ["--net"]), "sh", "-c",
                    mounts, "inside", *words], deadline_s, self.log,
                   env={"R": str(self.root), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C",
                        "DEBIAN_FRONTEND": "noninteractive",
                        **{k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}})

    @contextmanager
    def booted(self):
        """With systemd as PID 1 there; gives a function like inside(), or None where that cannot be had."""
        (self.root / "usr/sbin/policy-rc.d").unlink()
        with open(self.log, "a") as out:
            init = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc",
                                     "--cgroup", "sh", ROOT / "tests/deb/boot.sh"], env={**os.environ, "R": str(self.root)},
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            def enter(words, deadline_s):
                child = Path(f"/proc/{init.pid}/task/{init.pid}/children").read_text().split()[0]
                return run(["nsenter", "-t", child, "-m", "-p", "-n", "-u", "-i", "-C", "-r", "-w", "env", "-i",
                            "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", *words], deadline_s, self.log)

            end = time.monotonic() + 60
            up = False
            while not up and init.poll() is None and time.monotonic() < end:
                time.sleep(0.5)
                try:
                    _, text = enter(["systemctl", "is-system-running"], 10)
                    up = text.strip() in ("running", "degraded")
                except (OSError, IndexError):
                    pass
            yield enter if up else None
        finally:
            init.kill()
            init.wait()

    def apt(self, *words):
        status, text = self.inside(["apt-get", "-y", "-q", "--no-install-recommends", *words], 300, network=True)
        if status:
            raise Trouble(f"apt-get {' '.join(words)}: {text[-1500:]}")
        return text

    def files(self):
        """{path: kind, mode and size} of all there is."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            for name in folders + names:
                path = Path(folder, name)
                inside = "/" + str(path.relative_to(self.root))
                if not FOREIGN.match(inside):
                    stat = path.lstat()
                    found[inside] = (stat.st_mode, None if path.is_dir() and not path.is_symlink() else stat.st_size)
        return found


def retell(tally, status, text):
    """What a script said that prints `ok|FAIL  what` lines."""
    seen = failed = 0
    for line in text.splitlines():
        found = re.match(r"(ok|FAIL)\s+(.*)", line)
        if found:
            seen += 1
            failed += found[1] == "FAIL"
            tally.line(found[1] == "ok", found[2], "see below")
        else:
            print("      " + line, flush=True)
    if (status and not failed) or not seen:
        tally.line(False, "what is tried comes to its end", f"status {status} after {seen} steps")


def try_packages(tally, build, folder, log):
    packages = sorted((build / "deb").glob("*.deb"))
    tally.line({p.name.split("_")[0] for p in packages} == set(OURS),
               "the packages are there, those with debug symbols apart", str(packages))
    machine = Machine(folder / "root", log)
    machine.make(folder / f"base-{zlib.crc32(repr(BASE).encode()):08x}.tar")
    machine.apt("update")
    before = machine.files()
    for package in packages:
        shutil.copy(package, machine.root / "tmp")
    machine.apt("install", *(f"/tmp/{package.name}" for package in packages))
    tally.line(True, "apt installs them on a Debian with Open vSwitch")
    wants = machine.root / "etc/systemd/system/openvswitch-switch.service.wants/highwayd.service"
    tally.line(wants.is_symlink(), "highwayd.service starts with Open vSwitch's", f"{wants} is not there")
    shutil.copy(ROOT / "tests/deb/inside.sh", machine.root / "tmp")
    retell(tally, *machine.inside(["sh", "/tmp/inside.sh"], 170))
    (machine.root / "tmp/inside.sh").unlink(missing_ok=True)
    machine.apt("purge", *OURS)
    machine.apt("autoremove", "--purge")
    after = machine.files()
    changed = [path for path in sorted(before | after) if before.get(path) != after.get(path)]
    tally.line(not changed, "purged they leave nothing", "\n".join(changed))
    for package in packages:
        shutil.copy(package, machine.root / "tmp")
    machine.apt("install", *(f"/tmp/{package.name}" for package in packages))
    shutil.copy(ROOT / "tests/deb/booted.sh", machine.root / "usr/local/bin")  # systemd empties /tmp.
    with machine.booted() as enter:
        if enter is None:
            tally.skip("highwayd.service under systemd", "no systemd can be PID 1 of namespaces here")
        else:
            retell(tally, *enter(["sh", "/usr/local/bin/booted.sh"], 170))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--no-make", action="store_true", help="try the packages that are there")
    args = parser.parse_args()
    build = args.build.resolve()
    tally = Tally()
    if os.geteuid() != 0 or not shutil.which("mmdebstrap") or not shutil.which("dh"):
        print("skip  packages: root, mmdebstrap and debhelper are needed")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    folder = build / "debtest"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    log.write_text("")
    try:
        if not args.no_make:
            status, text = run(["setup/deb.sh"], 900, log)
            tally.line(status == 0, "the packages build", text)
            if status:
                raise Trouble("nothing to try")
        try_packages(tally, build, folder, log)
    except Trouble as trouble:
        tally.line(False, "the packages could be tried", str(trouble))
    finally:
        shutil.rmtree(folder / "root", ignore_errors=True)
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
