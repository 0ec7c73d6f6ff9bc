# SPDX-License-Identifier: BSD-3-Clause
"""Replays a capture file into a network device, or captures from one.

    replay.py send DEVICE FILE RATE    until a line comes in; then "sent N"
    replay.py capture DEVICE FILE      until a line comes in; then "captured N dropped M"

Both print "ready" when they begin.  Frames are raw; a VLAN tag that the kernel took
out of a received frame is put back.
"""

import select
import socket
import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from lab import pcap  # noqa: E402

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_AUXDATA, _PACKET_STATISTICS = 263, 8, 6
_SO_RCVBUFFORCE = 33
_OUTGOING = 4
_VLAN_VALID, _TPID_VALID = 0x10, 0x40


def _socket(device):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    sock.bind((device, _ETH_P_ALL))
    return sock


def _told_to_end():
    """An event that is set when a line comes in, or standard input ends."""
    told = threading.Event()

    def wait():
        sys.stdin.readline()
        told.set()

    threading.Thread(target=wait, daemon=True).start()
    return told


def send(device, path, rate):
    """Sends the frames of 'path' round and round; ends with the last frame of a round."""
    frames, sent, told = pcap.read(path), 0, _told_to_end()
    with _socket(device) as sock:
        print("ready", flush=True)
        start = time.monotonic()
        while not told.is_set():
            for frame in frames:
                ahead = sent / rate - (time.monotonic() - start)
                if ahead > 0:
                    time.sleep(ahead)
                elif ahead < -0.05:
                    start -= ahead  # Held up: go on at the rate, do not catch up.
                sock.send(frame)
                sent += 1
    print(f"sent {sent}", flush=True)


def _tagged(frame, ancillary):
    for level, kind, data in ancillary:
        if level == _SOL_PACKET and kind == _PACKET_AUXDATA:
            status, _, _, _, _, tci, tpid = struct.unpack_from("=IIIHHHH", data)
            if status & _VLAN_VALID:
                return frame[:12] + struct.pack(">HH", tpid if status & _TPID_VALID else 0x8100, tci) + frame[12:]
    return frame


def capture(device, path):
    """Writes all frames that 'device' receives to 'path'."""
    frames = []
    with _socket(device) as sock:
        sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        told = _told_to_end()
        print("ready", flush=True)
        while True:
            if not select.select([sock], [], [], 0.1)[0]:
                if told.is_set():
                    break
                continue
            frame, ancillary, _, address = sock.recvmsg(65536, 256)
            if address[2] != _OUTGOING:
                frames.append(_tagged(frame, ancillary))
        _, dropped = struct.unpack("=II", sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    pcap.write(path, frames)
    print(f"captured {len(frames)} dropped {dropped}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], sys.argv[3], float(sys.argv[4]))
    else:
        capture(sys.argv[2], sys.argv[3])
