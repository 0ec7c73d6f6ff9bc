# SPDX-License-Identifier: BSD-3-Clause
"""Network namespaces of our own, and an HTTP download between two of them."""

import hashlib
import os
import sys
from pathlib import Path

from .process import DEADLINE, LabError, Process, run, wait_until


class Netns:
    """A network namespace, called hwy-PID-NAME on the machine; removed with the
    lab.  Give it as 'netns' to any Process."""

    def __init__(self, lab, name):
        self.lab = lab
        self.name = f"hwy-{os.getpid()}-{name}"
        lab.note("netns", self.name)
        run(["ip", "netns", "add", self.name])
        lab.add(self)
        self.ip("link", "set", "lo", "up")

    def run(self, argv, deadline_s=DEADLINE, **options):
        """Runs 'argv' in it to its end and returns its output; see process.run()."""
        return run(["ip", "netns", "exec", self.name, *argv], deadline_s, **options)

    def ip(self, *args):
        """`ip ...` in it."""
        return run(["ip", "-n", self.name, *args])

    def process(self, name, argv, **options):
        """A Process in it, not started yet."""
        return Process(self.lab, name, argv, netns=self, **options)

    def has(self, device):
        """Whether it holds a network device of that name."""
        return f" {device}:" in self.ip("-o", "link", "show") or f" {device}@" in self.ip("-o", "link", "show")

    def configure(self, device, address=None, mtu=None, mac=None, up=True, offloads=None, deadline_s=DEADLINE):
        """Waits for 'device' (a tap, say) and sets it up.

        'address': as "10.0.0.1/24", one or several; 'offloads': as for
        `ethtool -K`, {"tx": "off"}.  IPv6's own chatter is switched off, so
        that only what a test sends is on the link.
        """
        wait_until(lambda: self.has(device), deadline_s, f"device {device} in {self.name}")
        self.run(["sh", "-c", 'f=/proc/sys/net/ipv6/conf/$0/disable_ipv6; [ ! -w $f ] || echo 1 >$f', device])
        if mac:
            self.ip("link", "set", device, "address", mac)
        if mtu:
            self.ip("link", "set", device, "mtu", str(mtu))
        addresses = [address] if isinstance(address, str) else address or ()
        for each in addresses:
            if ":" in each:
                self.run(["sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/$0/disable_ipv6", device])
                self.ip("address", "replace", each, "dev", device, "nodad")
            else:
                self.ip("address", "replace", each, "dev", device)
        for feature, state in (offloads or {}).items():
            self.run(["ethtool", "-K", device, feature, state])
        if up:
            self.ip("link", "set", device, "up")

    def device_stats(self, device):
        """{"rx_packets": ..., "tx_bytes": ...} as the kernel counts them."""
        text = self.run(["sh", "-c", 'cd /sys/class/net/$0/statistics && grep -H . *', device])
        return {key: int(value) for key, _, value in (line.partition(":") for line in text.splitlines())}

    def pids(self):
        """Processes that live in it."""
        return [int(pid) for pid in run(["ip", "netns", "pids", self.name]).split()]

    def stop(self):
        """Removes it (and with it its virtual devices)."""
        run(["ip", "netns", "del", self.name])
        self.lab.forget("netns", self.name)


def veth(one, device_one, two, device_two):
    """A pair of connected devices, one in each namespace."""
    one.ip("link", "add", device_one, "type", "veth", "peer", "name", device_two, "netns", two.name)


class HttpServer(Process):
    """Serves the files of 'directory' at http://ADDRESS:PORT/ in a namespace."""

    def __init__(self, lab, netns, address, port=8080, directory=None, name="http"):
        self.address, self.port = address, port
        self.directory = Path(directory) if directory else lab.folder / f"{name}-files"
        self.directory.mkdir(parents=True, exist_ok=True)
        super().__init__(lab, name, [
            sys.executable, "-u", "-m", "http.server", str(port), "--bind", address, "--directory", self.directory,
        ], netns=netns)

    def start(self, deadline_s=DEADLINE):
        super().start()
        self.expect("Serving HTTP on", deadline_s)
        return self

    def url(self, name):
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}/{name}"

    def file(self, name, size, seed=1):
        """Makes a file of 'size' reproducible bytes; returns its URL and SHA-256."""
        digest = hashlib.sha256()
        with (self.directory / name).open("wb") as out:
            block = hashlib.shake_256(str(seed).encode()).digest(min(size, 1 << 20))
            left = size
            while left:
                part = block[:left]
                out.write(part)
                digest.update(part)
                left -= len(part)
                block = block[1:] + block[:1]
        return self.url(name), digest.hexdigest()


def download(lab, netns, url, deadline_s=60, sha256=None):
    """curl's download of 'url' from inside 'netns': {"bytes", "sha256", "seconds",
    "bytes_per_second"}.  Raises LabError if it fails or 'sha256' differs."""
    target = lab.folder / f"download-{os.getpid()}"
    try:
        said = netns.run(["curl", "--silent", "--show-error", "--fail", "--noproxy", "*",
                          "--max-time", str(deadline_s), "--output", str(target),
                          "--write-out", "%{time_total} %{speed_download}", url], deadline_s + 5)
        with target.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        size = target.stat().st_size
    finally:
        target.unlink(missing_ok=True)
    if sha256 and digest != sha256:
        raise LabError(f"{url} arrived damaged: {size} bytes with SHA-256 {digest}, not {sha256}")
    seconds, speed = said.split()
    return {"bytes": size, "sha256": digest, "seconds": float(seconds), "bytes_per_second": float(speed)}
