# SPDX-License-Identifier: BSD-3-Clause
"""A private libvirtd: its own sockets, state and users, in a mount namespace of its own."""

import shutil

from .process import DEADLINE, LabError, Process, run, wait_until

_FOLDERS = ("run/libvirt", "var/lib/libvirt", "var/cache/libvirt", "var/log/libvirt", "etc/libvirt")
_QEMU = """user = "root"
group = "root"
namespaces = []
cgroup_controllers = []
security_driver = "none"
stdio_handler = "file"
"""
_DAEMON = """unix_sock_dir = "{0}"
auth_unix_rw = "none"
auth_unix_ro = "none"
"""


class Libvirtd(Process):
    """libvirtd with the driver for QEMU.  start() returns when it answers; what it runs goes on without it, and is
    found by its successor."""

    def __init__(self, lab, name):
        program = shutil.which("libvirtd", path="/usr/sbin:/usr/bin")
        if program is None or shutil.which("virsh") is None:
            raise LabError("libvirtd or virsh is missing (packages libvirt-daemon, libvirt-daemon-driver-qemu, "
                           "libvirt-clients)")
        self.sockets = lab.rundir / f"{name}-sock"
        self.sockets.mkdir()
        self.uri = f"qemu:///system?socket={self.sockets}/libvirt-sock"
        root = lab.folder / f"{name}-root"
        lines = ["set -e"]
        for folder in _FOLDERS:
            (root / folder).mkdir(parents=True)
            lines += [f"mkdir -p /{folder}", f"mount --bind {root}/{folder} /{folder}"]
        (root / "etc/libvirt/qemu.conf").write_text(_QEMU)
        (root / "libvirtd.conf").write_text(_DAEMON.format(self.sockets))
        for file, line in (("passwd", "libvirt-qemu:x:64055:64055::/:/bin/false"), ("group", "libvirt-qemu:x:64055:")):
            with open(f"/etc/{file}") as theirs:
                (root / file).write_text(theirs.read().rstrip("\n") + f"\n{line}\n")
            lines.append(f"mount --bind {root}/{file} /etc/{file}")
        lines.append(f"exec {program} -t 0 -f {root}/libvirtd.conf -p {root}/pid")
        super().__init__(lab, name, ["unshare", "-m", "--propagation", "private", "sh", "-c", "\n".join(lines)])

    def start(self):
        super().start()
        try:
            wait_until(self.answers, DEADLINE, f"{self.name} to answer", self, [self])
        except BaseException:
            self.kill9()
            raise
        return self

    def answers(self):
        try:
            self.virsh("list")
        except (LabError, TimeoutError):
            return False
        return True

    def virsh(self, *words):
        return run(["virsh", "-q", "-c", self.uri, *words])
