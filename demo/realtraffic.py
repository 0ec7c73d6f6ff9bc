# SPDX-License-Identifier: BSD-3-Clause
"""Real traffic: at both ends of the chain a testpmd between the port and a tap device.

    [kernel of namespace west] tap --- testpmd --- a ... b --- testpmd --- tap [kernel of namespace east]

First a capture file is replayed into the western tap and compared with what comes out
of the eastern one, then the kernels' TCP downloads a file.  Links go back and forth
all the while.
"""

import random
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

from lab import HttpServer, LabError, Netns, Process, download, pcap, wait_until

FLIPS = 20
"""Times that links are switched back and forth, for each of the two."""

FRAMES, REPLAY_RATE = 1000, 2000
FILE_BYTES = 32 << 20
ADDRESSES = {"west": "10.77.0.1", "east": "10.77.0.2"}


class RealTraffic:
    """The two ends, and what is done with them; running when the constructor returns."""

    def __init__(self, chain, screen, seed):
        self.chain, self.screen = chain, screen
        self.random = random.Random(seed)
        self.spaces = {side: Netns(chain.lab, side) for side in ("west", "east")}
        self.ends = [
            chain.testpmd(f"end-{side}", [chain.device(port, 0), f"net_tap0,iface={side}"], netns=self.spaces[side])
            for side, port in (("west", "a"), ("east", "b"))]
        chain.start_all(self.ends)
        for side, space in self.spaces.items():
            # More than the longest time that an end may have to wait for its CPU.
            wait_until(lambda s=side, n=space: n.has(s), 30, f"tap {side}")
            space.ip("link", "set", side, "txqueuelen", "10000")
            space.configure(side)

    def _flip(self, links):
        """Switches some of 'links' back and forth once; they must be in use to return."""
        chosen = self.random.sample(links, self.random.randint(1, len(links)))
        self.chain.back_to_switch(chosen)
        self.chain.back_to_bypass(chosen)

    # -- a capture file -----------------------------------------------------

    def replay(self):
        """Replays a file of mixed frames while links are switched; {"frames": ...}."""
        self.screen.heading("6. A pcap file is replayed through the chain")
        original, received = (self.chain.lab.folder / f"{name}.pcap" for name in ("replayed", "received"))
        frames = [few_vlans(frame) for frame in pcap.mixed_frames(FRAMES, seed=3)]
        pcap.write(original, frames)
        capture = self._helper("capture", "east", received)
        self.screen.event(f"{FRAMES} frames of eleven kinds, round and round at {REPLAY_RATE} a second; "
                          f"links go back and forth {FLIPS} times")
        sender = self._helper("send", "west", original, REPLAY_RATE)
        self.chain.wait_open(self.chain.hops)
        before = self.chain.switchovers()
        for _ in range(FLIPS):
            self._flip(self.chain.hops)
        flips = self.chain.switchovers() - before
        sent = int(self._finish(sender, r"sent (\d+)")[1])
        time.sleep(0.5)
        counts = self._finish(capture, r"captured (\d+) dropped (\d+)")
        result = compare(frames, sent, pcap.read(received))
        result |= {"switchovers": flips, "dropped_by_capture": int(counts[2])}
        self.screen.settle()
        self.screen.event(f"{sent:,} frames in, {result['received']:,} out, byte by byte the same: "
                          f"{'yes' if result['ok'] else 'NO'}; {flips} switch-overs meanwhile")
        return result

    def _helper(self, what, side, path, *more):
        script = Path(__file__).resolve().parent / "replay.py"
        helper = Process(self.chain.lab, what, [sys.executable, script, what, side, path, *more],
                         netns=self.spaces[side]).start()
        helper.expect("ready")
        return helper

    @staticmethod
    def _finish(helper, regex):
        helper.send("end")
        answer = helper.expect(regex, 60)
        helper.wait()
        return answer

    # -- TCP ----------------------------------------------------------------

    def http(self):
        """Downloads a file again and again while links are switched; {"ok": ...}."""
        self.screen.heading("7. The kernel's TCP downloads a file by HTTP")
        for side, space in self.spaces.items():
            space.configure(side, f"{ADDRESSES[side]}/24")
        server = HttpServer(self.chain.lab, self.spaces["east"], ADDRESSES["east"]).start()
        url, digest = server.file("file", FILE_BYTES)
        loop = Downloads(self.chain.lab, self.spaces["west"], url, digest)
        before = self.chain.switchovers()
        self.screen.event(f"{FILE_BYTES >> 20} MiB, again and again; links go back and forth {FLIPS} times")
        loop.start()
        try:
            self.chain.wait_open(self.chain.links)
            for _ in range(FLIPS):
                loop.check()
                self._flip(self.chain.links)
        finally:
            loop.stop()
        loop.check()
        flips = self.chain.switchovers() - before
        self.screen.settle()
        result = {"ok": loop.count > 0, "downloads": loop.count, "bytes": loop.bytes,
                  "mbit_per_s": round(8e-6 * loop.bytes / loop.seconds, 1), "sha256": digest, "switchovers": flips}
        self.screen.event(f"{loop.count} downloads at {result['mbit_per_s']:.0f} Mbit/s, every SHA-256 right; "
                          f"{flips} switch-overs meanwhile")
        server.stop()
        return result

    def close(self):
        """Ends the two ends and returns what they sent: {port: (packets, bytes)}."""
        sent = {}
        for end, port in zip(self.ends, ("a", "b")):
            end.stop_forwarding()
            stats = end.port_stats(0)
            sent[port] = stats["TX-packets"], stats["TX-bytes"]
        return sent


class Downloads(threading.Thread):
    """Downloads a file again and again until it is stopped, each time with its checksum
    checked."""

    def __init__(self, lab, space, url, digest):
        super().__init__(daemon=True)
        self.lab, self.space, self.url, self.digest = lab, space, url, digest
        self.count = self.bytes = 0
        self.seconds = 0.0
        self._error = None
        self._enough = threading.Event()

    def run(self):
        try:
            while not self._enough.is_set():
                done = download(self.lab, self.space, self.url, 60, self.digest)
                self.count += 1
                self.bytes += done["bytes"]
                self.seconds += done["seconds"]
        except (LabError, TimeoutError, OSError) as error:
            self._error = error

    def stop(self):
        """Ends with the present download."""
        self._enough.set()
        self.join()

    def check(self):
        """Raises what went wrong, if anything did."""
        if self._error:
            raise self._error


def few_vlans(frame):
    """The frame, with its VLAN ID (if it is tagged) one of three."""
    if frame[12:14] != b"\x81\x00":
        return frame
    return frame[:14] + (100 + int.from_bytes(frame[14:16], "big") % 3).to_bytes(2, "big") + frame[16:]


def compare(frames, sent, received):
    """What became of 'sent' frames, which went round 'frames': {"ok": ...}.

    The order is kept within what Open vSwitch always tells apart: VLAN tag, type, and
    being no, the first or a later fragment.
    """
    def by_class(sequence):
        found = defaultdict(list)
        for frame in sequence:
            found[_class(frame)].append(frame)
        return found

    expected = by_class(frames * (sent // len(frames)))
    got = by_class(received)
    wrong = [key for key in expected.keys() | got.keys() if expected.get(key) != got.get(key)]
    return {"ok": not wrong and sent % len(frames) == 0 and sent > 0, "frames": sent, "received": len(received),
            "classes": len(expected), "classes_wrong": len(wrong)}


def _class(frame):
    at = 12
    tag = b""
    if frame[at:at + 2] == b"\x81\x00":
        tag, at = frame[14:16], 16
    kind = frame[at:at + 2]
    fragment = int.from_bytes(frame[at + 8:at + 10], "big") & 0x3FFF if kind == b"\x08\x00" else 0
    return tag, kind, "no" if not fragment else "later" if fragment & 0x1FFF else "first"
