# SPDX-License-Identifier: BSD-3-Clause
"""Virtual machines: QEMU with Debian's kernel and an initramfs of busybox, testpmd, the
plug-in and our traffic generator.  Under emulation, a guest boots in about 3 s.

    image = GuestImage("build")
    vm = Vm(lab, "vm1", image, shares=[region_file]).start()
    pmd = vm.testpmd(forward="io").start()

`python3 -m lab.vm BUILD` builds the image.
"""

import fcntl
import gzip
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from .dpdk import TestpmdPrompt, find_program
from .process import DEADLINE, LabError, Process, run, wait_until

BOOT = 120.0
"""Seconds to wait for a guest that is up in 3 s unless the machine is saturated."""

_PROMPT = r"guest# "
_TESTPMD = r"testpmd> "
_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /var/run /run /root
/bin/busybox --install -s /bin
chmod 755 /
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
export PATH=/bin:/usr/bin HOME=/root
cd /root
while :; do setsid cttyhack sh /console; done
"""
# A shell without a line editor, which would wrap lines and ask the terminal things; QEMU
# adds the carriage returns.
_CONSOLE = """trap : INT
stty -onlcr
printf 'guest# '
while read -r line; do
    eval "$line"
    printf 'guest# '
done
"""


class GuestImage:
    """Kernel and initramfs below 'build'/vm, made if what they are made of changed.

    'extra': more programs to have in the guest's /usr/bin.
    """

    def __init__(self, build, extra=()):
        self.build = Path(build).resolve()
        self.folder = self.build / "vm"
        self.plugin = self.build / "pmd/librte_net_highway.so"
        self.extra = [Path(path) for path in extra]
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.kernel = self._kernel()
            self.initramfs = self._initramfs()

    def _kernel(self):
        """Debian's kernel for virtual machines: unpacked here, not installed."""
        found = sorted(self.folder.glob("vmlinuz-*"))
        if found:
            return found[-1]
        said = run(["apt-cache", "depends", "linux-image-cloud-amd64"])
        package = re.search(r"Depends: (linux-image-\S+-cloud-amd64)", said)
        if not package:
            raise LabError("apt knows no linux-image-cloud-amd64: run `apt-get update`, or use Debian 12 on amd64")
        where = self.folder / "download"
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir()
        try:
            run(["apt-get", "-o", "APT::Sandbox::User=root", "download", package[1]], 300, cwd=where)
        except LabError:
            run(["apt-get", "update"], 300)
            run(["apt-get", "-o", "APT::Sandbox::User=root", "download", package[1]], 300, cwd=where)
        deb = next(where.glob("*.deb"))
        run(["sh", "-c", f"dpkg-deb --fsys-tarfile {deb} | tar -x -C {where} --wildcards './boot/vmlinuz-*'"], 120)
        kernel = next((where / "boot").glob("vmlinuz-*"))
        target = self.folder / kernel.name
        kernel.rename(target)
        shutil.rmtree(where, ignore_errors=True)
        return target

    def _programs(self):
        """{path in the guest: file here} of all programs and what they are linked with."""
        found = {"/bin/busybox": Path("/bin/busybox")}
        programs = {f"/usr/bin/{path.name}": path for path in (
            Path(find_program("HIGHWAY_TESTPMD", "dpdk-testpmd")), self.build / "traffic/highway-traffic", *self.extra)}
        programs["/usr/lib/highway/librte_net_highway.so"] = self.plugin
        drivers = next(iter(sorted(Path("/usr/lib").glob("*/dpdk/pmds-*"))), None)
        if drivers is None:
            raise LabError("DPDK's drivers are not installed: apt-get install dpdk")
        # By one name only: EAL would load a second file of the same driver too.
        for path in (drivers / "librte_mempool_ring.so", *Path("/lib").glob("*-linux-gnu/libgcc_s.so.1")):
            programs[str(path)] = path  # glibc loads the latter when a thread is cancelled
        for path in programs.values():
            for library in re.findall(r"(/\S+) \(0x", run(["ldd", path])):
                found[library] = Path(library)
        found.update(programs)
        return found

    def _initramfs(self):
        files = self._programs()
        digest = hashlib.sha256((_INIT + _CONSOLE).encode())
        for name, path in sorted(files.items()):
            status = path.stat()
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
        target = self.folder / f"initramfs-{digest.hexdigest()[:16]}"
        if target.exists():
            return target
        root = self.folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        for name, path in files.items():
            there = root / name.lstrip("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, there)
        (root / "init").write_text(_INIT)
        (root / "init").chmod(0o755)
        (root / "console").write_text(_CONSOLE)
        names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        archive = self.folder / "archive"
        with open(archive, "wb") as out:
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names.encode(), stdout=out,
                           check=True)
        for old in self.folder.glob("initramfs-*"):
            old.unlink()
        with open(archive, "rb") as plain, gzip.open(f"{target}.new", "wb", compresslevel=1) as packed:
            shutil.copyfileobj(plain, packed)
        os.rename(f"{target}.new", target)
        archive.unlink()
        shutil.rmtree(root)
        return target


class Qmp:
    """QEMU's monitor: one client, commands in turn."""

    def __init__(self, path, deadline_s=DEADLINE):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(deadline_s)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("r")
        self.events = []
        json.loads(self._lines.readline())  # the greeting
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        """Has QEMU do 'command' and returns what it answers."""
        request = {"execute": command}
        if arguments:
            request["arguments"] = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._socket.sendall(json.dumps(request).encode())
        while True:
            answer = self._read()
            if "error" in answer:
                raise LabError(f"QEMU refuses {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def _read(self):
        line = self._lines.readline()
        if not line:
            raise LabError("QEMU closed its monitor")
        answer = json.loads(line)
        if "event" in answer:
            self.events.append(answer)
        return answer

    def wait_event(self, name):
        """Waits for the event 'name' and returns it."""
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            self._read()

    def close(self):
        self._lines.close()
        self._socket.close()


class Vm(Process):
    """One virtual machine.  start() returns when its shell is there.

    'shares': files that it gets as ivshmem-plain devices, in order; 'machine': q35
    (each device behind a root port of its own) or pc (i440fx); 'spare_slots': root
    ports, or room on the bus, left for devices that are plugged in later; 'vcpus': with
    2, DPDK has the first one and the kernel works on the other; 'args': more of QEMU's
    arguments; 'cpus': the CPUs that it may use here.
    """

    def __init__(self, lab, name, image, shares=(), *, machine="q35", memory_mb=384, spare_slots=0, vcpus=1,
                 args=(), cpus=None):
        self.image, self.machine = image, machine
        self.shares = [Path(path) for path in shares]
        self.monitor = lab.rundir / f"{name}.qmp"
        self._qmp = None
        argv = [find_program("HIGHWAY_QEMU", "qemu-system-x86_64"), "-nodefaults", "-no-user-config", "-display", "none",
                "-machine", machine, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", vcpus, "-m", memory_mb,
                "-kernel", image.kernel, "-initrd", image.initramfs,
                "-append", "console=ttyS0 quiet loglevel=3 panic=-1 rdinit=/init random.trust_cpu=on mitigations=off",
                "-serial", "stdio", "-qmp", f"unix:{self.monitor},server=on,wait=off"]
        for number in range(len(self.shares) + spare_slots if machine == "q35" else 0):
            argv += ["-device", f"pcie-root-port,id=port{number},chassis={number + 1},slot={number + 1},"
                                "pref64-reserve=32M"]
        for number, path in enumerate(self.shares):
            bus = f",bus=port{number}" if machine == "q35" else ""
            argv += ["-object", f"memory-backend-file,id=share{number},share=on,mem-path={path},"
                                f"size={path.stat().st_size}",
                     "-device", f"ivshmem-plain,id=ivshmem{number},memdev=share{number}{bus}"]
        super().__init__(lab, name, [*argv, *args], cpus=cpus, tty=True)

    def start(self, deadline_s=BOOT):
        self.monitor.unlink(missing_ok=True)
        super().start()
        try:
            self.wait_boot(deadline_s)
        except BaseException:
            self.kill9()
            raise
        return self

    def wait_boot(self, deadline_s=BOOT):
        """Waits for the guest's shell: after start(), or a reboot."""
        self.expect(_PROMPT, deadline_s)

    def _ended(self):
        if self._qmp:
            self._qmp.close()
            self._qmp = None
        return super()._ended()

    @property
    def qmp(self):
        if self._qmp is None:
            wait_until(self.monitor.exists, DEADLINE, f"the monitor of {self.name}", self, [self])
            self._qmp = Qmp(self.monitor)
        return self._qmp

    def shell(self, line, deadline_s=DEADLINE, check=True):
        """Has the guest's shell run 'line'; returns what it printed."""
        self.skip()
        self.send(f"{line}; echo \"status=$?\"")
        self.expect(r'echo "status=\$\?"\r*\n', deadline_s)
        start = self._mark
        status = int(self.expect(r"^.*status=(\d+)\r*\n", deadline_s)[1])
        end = self._mark
        self.expect(_PROMPT, deadline_s)
        with self._news:
            text = self._text[start - self._dropped:end - self._dropped]
        text = text.replace("\r", "")
        text = text[:text.rindex("status=")]
        if check and status:
            raise LabError(f"in {self.name}, `{line}` failed ({status}): {text.strip()[-2000:]}")
        return text

    def devices(self):
        """PCI addresses of the guest's ivshmem devices, in order."""
        said = self.shell("grep -l 0x1110 /sys/bus/pci/devices/*/device")
        return [path.split("/")[5] for path in said.split()]

    def reboot(self):
        """Has the guest restart; returns when its shell is there again."""
        self.skip()
        self.send("reboot -f")
        self.wait_boot()

    def ask_to_end(self):
        try:
            self.qmp("quit")
        except (LabError, OSError):
            super().ask_to_end()

    def testpmd(self, *, allow=(), vdevs=(), forward="io", mbufs=4096, eal=(), extra=()):
        """testpmd on the guest's console; 'allow': addresses, as for -a, with arguments."""
        return VmTestpmd(self, allow=allow, vdevs=vdevs, forward=forward, mbufs=mbufs, eal=eal, extra=extra)

    def traffic(self, mode, *, allow=(), vdevs=(), eal=(), behind=False, **options):
        """highway-traffic on the guest's console, or behind it: then the shell is free."""
        kind = VmTrafficBehind if behind else VmTraffic
        return kind(self, mode, allow=allow, vdevs=vdevs, eal=eal, **options)


def guest_eal(allow=(), vdevs=(), memory_mb=64, eal=()):
    """EAL's arguments of a program in the guest: nothing but the plug-in is needed."""
    args = ["--no-huge", "-m", str(memory_mb), "--no-telemetry", "--lcores", "0@0,1@0", "--main-lcore", "0",
            "-d", "/usr/lib/highway/librte_net_highway.so"]
    for word in allow:
        args += ["-a", word]
    for word in vdevs:
        args += ["--vdev", word]
    return args + [str(word) for word in eal]


class _OnConsole:
    """A program on a guest's console; talks like a Process."""

    def __init__(self, vm, line):
        self.vm, self.line = vm, line
        self.name = f"{line.split()[0]} in {vm.name}"

    def __getattr__(self, name):
        return getattr(self.vm, name)


class VmTestpmd(TestpmdPrompt, _OnConsole):
    """testpmd at its prompt, in a guest.  start() returns when the prompt is there."""

    def __init__(self, vm, *, allow, vdevs, forward, mbufs, eal, extra):
        self.forward = forward
        super().__init__(vm, " ".join(
            ["dpdk-testpmd", *guest_eal(allow, vdevs, eal=eal), "--", "-i", "--disable-link-check", "--no-mlockall",
             "--mask-event=intr_lsc", f"--forward-mode={forward}", f"--total-num-mbufs={mbufs}", "--nb-cores=1", *extra]))

    def start(self, deadline_s=BOOT):
        self.vm.skip()
        self.vm.send(self.line)
        found = self.vm.expect(f"(?s:.*?)({_TESTPMD}|{_PROMPT})", deadline_s)
        if found[1] != _TESTPMD:
            raise LabError(f"{self.name} did not start: {found[0].strip()[-2000:]}")
        return self

    def quit(self, deadline_s=BOOT):
        """Ends testpmd; returns what it said."""
        self.vm.skip()
        self.vm.send("quit")
        return self.vm.expect(f"(?s:.*?)^{_PROMPT}", deadline_s)[0]


class VmTraffic(_OnConsole):
    """highway-traffic in a guest, steered by its console: see dpdk.Traffic."""

    def __init__(self, vm, mode, *, allow, vdevs, eal, **options):
        words = ["highway-traffic", *guest_eal(allow, vdevs, eal=eal), "--", "--mode", mode, "--json", "/tmp/report.json",
                 "--stdin-control"]
        options = {"idle": "yield", "timestamps": "off", "mbufs": 4096, **options}
        for option, value in options.items():
            if value is not None and value is not False:
                words.append("--" + option.replace("_", "-"))
                if value is not True:
                    words.append(str(int(value) if isinstance(value, float) and value.is_integer() else value))
        super().__init__(vm, " ".join(words))

    def start(self, deadline_s=BOOT):
        self.vm.skip()
        self.vm.send("rm -f /tmp/report.json; " + self.line)
        found = self.vm.expect(f"(?s:.*?)(^ready|{_PROMPT})", deadline_s)
        if found[1] != "ready":
            raise LabError(f"{self.name} did not start: {found[0].strip()[-2000:]}")
        return self

    def control(self, line):
        self.vm.send(line)

    def quit(self, deadline_s=BOOT):
        """Ends it in good order and returns its report."""
        self.vm.skip()
        self.vm.send("quit")
        self.vm.expect(f"^{_PROMPT}", deadline_s)
        return json.loads(self.vm.shell("cat /tmp/report.json", deadline_s))


class VmTrafficBehind(VmTraffic):
    """highway-traffic in the background of a guest, one at a time, steered by a pipe."""

    pid = None

    def start(self, deadline_s=BOOT):
        self.vm.shell("rm -f /tmp/report.json /tmp/control; mkfifo /tmp/control")
        # Opened both ways, the pipe waits for nobody and has no end.
        self.pid = int(self.vm.shell(f"{{ {self.line} <>/tmp/control >/tmp/said 2>&1 & }}; echo $!"))
        wait_until(self._is_ready, deadline_s, f"{self.name} to be ready", self.said, [self.vm])
        return self

    def said(self):
        """What it has written so far."""
        return self.vm.shell("cat /tmp/said")

    def _is_ready(self):
        said = self.vm.shell(f"cat /tmp/said; kill -0 {self.pid} || echo ended", check=False)
        if said.endswith("ended\n"):
            raise LabError(f"{self.name} did not start: {said.strip()[-2000:]}")
        return "ready" in said.splitlines()

    def control(self, line):
        self.vm.shell(f"echo {line} >/tmp/control")

    def kill9(self):
        """Kills it, not its machine."""
        self.vm.shell(f"kill -9 {self.pid}; wait {self.pid}", check=False)

    def quit(self, deadline_s=BOOT):
        self.control("quit")
        self.vm.shell(f"wait {self.pid}", deadline_s)
        return json.loads(self.vm.shell("cat /tmp/report.json"))

    def held(self):
        """What it holds: file descriptors, mapped BARs, devices that its guest has, KiB of memory."""
        said = self.vm.shell(f"ls /proc/{self.pid}/fd | wc -l; grep -c resource2 /proc/{self.pid}/maps; "
                             f"ls /sys/bus/pci/devices | wc -l; grep VmData /proc/{self.pid}/status")
        return dict(zip(("fds", "bars", "devices", "memory"), map(int, re.findall(r"\d+", said))))


def main():
    image = GuestImage(sys.argv[1] if len(sys.argv) > 1 else "build")
    print(image.kernel, image.initramfs, f"{image.initramfs.stat().st_size >> 20} MiB")


if __name__ == "__main__":
    main()
