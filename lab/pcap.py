# SPDX-License-Identifier: BSD-3-Clause
"""Capture files (classic pcap, Ethernet) and frames to put into them."""

import random
import struct
from pathlib import Path

_MICRO, _NANO = 0xA1B2C3D4, 0xA1B23C4D
_ETHERNET = 1


def write(path, frames, interval_us=1):
    """Writes 'frames' (bytes each), 'interval_us' apart from time 0 on."""
    with Path(path).open("wb") as out:
        out.write(struct.pack("<IHHiIII", _MICRO, 2, 4, 0, 0, 262144, _ETHERNET))
        for number, frame in enumerate(frames):
            seconds, micros = divmod(number * interval_us, 1_000_000)
            out.write(struct.pack("<IIII", seconds, micros, len(frame), len(frame)) + frame)


def read(path, times=False):
    """Frames of a capture file, or with 'times' pairs (seconds, frame).

    Raises ValueError for what is no such file; a last record that is cut short
    (the writer was killed) is left out.
    """
    data = Path(path).read_bytes()
    order = next((o for o in "<>" if len(data) >= 24 and struct.unpack_from(o + "I", data)[0] in (_MICRO, _NANO)), None)
    if order is None:
        raise ValueError(f"{path} is no pcap file")
    unit = 1e-9 if struct.unpack_from(order + "I", data)[0] == _NANO else 1e-6
    if struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF != _ETHERNET:
        raise ValueError(f"{path} holds no Ethernet frames")
    found = []
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, size, _ = struct.unpack_from(order + "IIII", data, at)
        frame = data[at + 16:at + 16 + size]
        if len(frame) < size:
            break
        found.append((seconds + fraction * unit, frame) if times else frame)
        at += 16 + size
    return found


def mac(number):
    """A locally administered address as bytes."""
    return struct.pack(">HI", 0x0200, number)


def checksum(data):
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(eth_type, payload, src=1, dst=2, vlan=None):
    """An Ethernet frame, padded to 60 bytes; 'vlan': TCI of an 802.1Q tag."""
    tag = struct.pack(">HH", 0x8100, vlan) if vlan is not None else b""
    return (mac(dst) + mac(src) + tag + struct.pack(">H", eth_type) + payload).ljust(60, b"\0")


def ipv4(protocol, payload, src=0x0A000001, dst=0x0A000002, fragment=0, ident=0, tos=0):
    """An IPv4 packet; 'fragment': flags and offset field (0x2000 = more follow)."""
    head = struct.pack(">BBHHHBBHII", 0x45, tos, 20 + len(payload), ident, fragment, 64, protocol, 0, src, dst)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ipv6(protocol, payload, src=1, dst=2):
    """An IPv6 packet between two addresses of fd00::/8."""
    net = 0xFD << 120
    return (struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64)
            + (net | src).to_bytes(16, "big") + (net | dst).to_bytes(16, "big") + payload)


def udp(payload, sport=1000, dport=2000):
    """A UDP datagram without a checksum (IPv4 allows that)."""
    return struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload


def mixed_frames(count, seed=1, biggest=1514):
    """'count' reproducible frames of many kinds and sizes, each with its number in
    its payload: UDP in IPv4, IPv6 and VLANs, TCP, ICMP, first and later fragments,
    ARP, MPLS, LLDP, an unknown type."""
    pick = random.Random(seed)
    frames = []
    for number in range(count):
        room = pick.choice((18, 46, 64, 200, 512, 1000, biggest - 62))
        body = struct.pack(">I", number) + pick.randbytes(max(0, min(room, biggest - 62) - 4))
        port = pick.randrange(1024, 65536)
        kinds = (
            lambda: ethernet(0x0800, ipv4(17, udp(body, port))),
            lambda: ethernet(0x0800, ipv4(17, udp(body, port)), vlan=pick.randrange(1, 4095)),
            lambda: ethernet(0x86DD, ipv6(17, udp(body, port))),
            lambda: ethernet(0x0800, ipv4(6, struct.pack(">HHIIHHHH", port, 80, number, 0, 0x5010, 512, 0, 0) + body)),
            lambda: ethernet(0x0800, ipv4(1, struct.pack(">BBHHH", 8, 0, 0, 1, number & 0xFFFF) + body)),
            lambda: ethernet(0x0800, ipv4(17, udp(body, port), fragment=0x2000, ident=number & 0xFFFF)),
            lambda: ethernet(0x0800, ipv4(17, body, fragment=185, ident=number & 0xFFFF)),
            lambda: ethernet(0x0806, struct.pack(">HHBBH6sI6sI", 1, 0x0800, 6, 4, 1, mac(1), number, mac(0), 1)),
            lambda: ethernet(0x8847, struct.pack(">I", (number & 0xFFFFF) << 12 | 0x140) + ipv4(17, udp(body, port))),
            lambda: ethernet(0x88CC, body),
            lambda: ethernet(0x88B5, body),
        )
        frames.append(pick.choice(kinds)())
    return frames
