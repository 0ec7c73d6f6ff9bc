#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Builds the Debian packages and tries them on a machine that has nothing but Debian: a small
system in a folder, with Open vSwitch and testpmd as Debian packages them.  Nothing of it
touches the machine that it runs on; no service is started.

Prints `ok|FAIL|skip  what` lines and `N passed, N failed, N skipped`.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE = ("openvswitch-switch-dpdk", "dpdk-dev", "bash-completion", "iproute2", "procps")
OURS = ("librte-net-highway", "highway", "highway-traffic")
FOREIGN = re.compile(r"^/(var/(lib/(dpkg|apt)|cache|log)|run|tmp|proc|sys|dev)(/|$)|^/etc/ld\.so\.cache$")
"""Where package managers and daemons keep books of their own."""


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
            'for n in null zero full random urandom tty; do touch "$R/dev/$n" && mount --bind "/dev/$n" "$R/dev/$n"; done',
            'mkdir "$R/dev/net" "$R/dev/shm" && touch "$R/dev/net/tun" && mount --bind /dev/net/tun "$R/dev/net/tun"',
             'mount -t tmpfs -o mode=1777 tmpfs "$R/dev/shm"', 'exec chroot "$R" "$@"'))
        return run(["unshare", "--mount", "--pid", "--fork", "--kill-child", *([] if network else ["--net"]), "sh", "-c",
                    mounts, "inside", *words], deadline_s, self.log,
                   env={"R": str(self.root), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C",
                        "DEBIAN_FRONTEND": "noninteractive",
                        **{k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}})

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
    status, text = machine.inside(["sh", "/tmp/inside.sh"], 170)
    (machine.root / "tmp/inside.sh").unlink(missing_ok=True)
    seen = failed = 0
    for line in text.splitlines():
        found = re.match(r"(ok|FAIL)\s+(.*)", line)
        if found:
            seen += 1
            failed += found[1] == "FAIL"
            tally.line(found[1] == "ok", found[2], "see below")
        else:
            print("      " + line, flush=True)
    if status and not failed:
        tally.line(False, "what is tried inside comes to its end", f"status {status} after {seen} steps: see {log}")
    machine.apt("purge", *OURS)
    machine.apt("autoremove", "--purge")
    after = machine.files()
    changed = [path for path in sorted(before | after) if before.get(path) != after.get(path)]
    tally.line(not changed, "purged they leave nothing", "\n".join(changed))


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
