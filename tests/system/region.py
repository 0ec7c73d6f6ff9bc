# SPDX-License-Identifier: BSD-3-Clause
"""A region file read from outside, by include/highway/layout.h and nothing else: the
tests' own eyes, so that they do not rest on the tools that are under test."""

import mmap
import struct
from pathlib import Path

PORT_SIZE, LINK_SIZE, CLIENT_SIZE, END_SIZE = 14272, 576, 64, 2240
STATES = ("free", "preparing", "ready", "open", "closing", "retiring")
ENDS = ("detached", "stopped", "started", "left")
COUNTERS = ("normal_packets", "normal_bytes", "bypass_packets", "bypass_bytes", "inlined", "zero_copy", "copied",
            "ring_full", "no_buffer", "bad_desc", "too_big", "link_down")
SLOTS = ("free", "wanted", "mapped", "usable", "closing", "unmapped")
HOST, GUEST = 0, 1
FAR, ATTACH_SIZE = 0xFFFFFFFF, 128
INLINE = 0xFFFFFF


class Region:
    """One look at a region; use as a context manager."""

    def __init__(self, path):
        with Path(path).open("rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        word = lambda at: self._at("<I", at)  # noqa: E731
        self.port_count, self.link_count, self.ring_count, self.ring_size = (word(72 + 4 * i) for i in range(4))
        self.inline_size, self.chunk_count, self.chunk_stride = (word(88 + 4 * i) for i in range(3))
        (self.ring_stride, self.off_clients, self.off_ports, self.off_links, self.off_tags, self.off_owners,
         self.off_rings, self.off_chunks) = (self._at("<Q", 104 + 8 * i) for i in range(8))
        self.off_attach, self.attach_count = self._at("<Q", 176), word(184)
        self.kind, self.keep = word(100), word(244)
        self.sweeps, self.reclaimed = word(232), word(236)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.map.close()

    def _at(self, form, at):
        found = struct.unpack_from(form, self.map, at)
        return found[0] if len(found) == 1 else found

    def _text(self, at, size):
        return self.map[at:at + size].split(b"\0")[0].decode()

    def _port_at(self, index):
        return self.off_ports + PORT_SIZE * index

    def ports(self):
        """{name: index} of the ports in use."""
        return {self._text(self._port_at(p) + 8, 32): p for p in range(self.port_count)
                if self._at("<I", self._port_at(p))}

    def end(self, name, role):
        """State, client, mtu, mac and summed counters of one end of a port."""
        at = self._port_at(self.ports()[name]) + 9792 + END_SIZE * role
        state, client, rx, tx, mtu, starts = self._at("<6I", at)
        found = {"state": ENDS[state], "client": client, "rx_queues": rx, "tx_queues": tx, "mtu": mtu,
                 "starts": starts, "mac": ":".join(f"{b:02X}" for b in self.map[at + 24:at + 30]),
                 "promiscuous": self.map[at + 30]}
        for side, base in (("rx", at + 192), ("tx", at + 1216)):
            for i, counter in enumerate(COUNTERS):
                found[f"{side}_{counter}"] = sum(self._at("<Q", base + 128 * q + 8 * i) for q in range(8))
            found[f"{side}_packets"] = found[f"{side}_normal_packets"] + found[f"{side}_bypass_packets"]
            found[f"{side}_bytes"] = found[f"{side}_normal_bytes"] + found[f"{side}_bypass_bytes"]
        return found

    def credited(self, name):
        """(packets, bytes) that the switch was told in answer to its queries for flows of the port."""
        return self._at("<2Q", self._port_at(self.ports()[name]) + 9760)

    def routed(self, name):
        """{receiver: class keys} of the routes that the port's host end has published."""
        at = self._port_at(self.ports()[name])
        seq, count = self._at("<2I", at + 192)
        found = {}
        for i in range(0 if seq & 1 else count):
            key, link = self._at("<QI", at + 256 + 16 * i)
            found.setdefault(self._ends(link)[1], []).append(key)
        return found

    def _ends(self, link):
        """Names of the ports (from, to) of a link; one in another region by the attach slot."""
        names = {index: name for name, index in self.ports().items()}
        at = self.off_links + LINK_SIZE * link
        src, dst, attach = self._at("<I", at + 4), self._at("<I", at + 8), self._at("<I", at + 60)
        if FAR in (src, dst) and 0 < attach <= self.attach_count:
            near = dst if src == FAR else src
            slot = self.off_attach + ATTACH_SIZE * (near * self.attach_count + attach - 1)
            names[FAR] = self._text(slot + 24, 32)
        return names.get(src, src), names.get(dst, dst)

    def slots(self, name):
        """[(state that is wanted, state that is acknowledged, identity)] of the port's attach slots, each state with
        its epoch."""
        found = []
        for slot in range(self.attach_count):
            at = self.off_attach + ATTACH_SIZE * (self.ports()[name] * self.attach_count + slot)
            want, identity, ack = self._at("<Q", at), self._at("<Q", at + 8), self._at("<Q", at + 64)
            found.append(((SLOTS[want & 0xFFFFFFFF], want >> 32), (SLOTS[ack & 0xFFFFFFFF], ack >> 32), identity))
        return found

    def links(self):
        """{(from, to): state} of all links in use."""
        found = {}
        for link in range(self.link_count):
            state = self._at("<I", self.off_links + LINK_SIZE * link)
            if state:
                found[self._ends(link)] = STATES[state]
        return found

    def waiting(self, name):
        """(offset in the file, length) of the packets that wait in the port's first up
        ring and lie in one chunk each."""
        at = self.off_rings + self.ring_stride * self._at("<I", self._port_at(self.ports()[name]) + 40)
        prod, cons = self._at("<I", at), self._at("<I", at + 128)
        found = []
        for i in range(min((prod - cons) & 0xFFFFFFFF, self.ring_size)):
            entry = self._at("<Q", at + 384 + 8 * ((cons + i) % self.ring_size))
            if entry & INLINE < self.chunk_count and not entry >> 24 & 0xFF:
                found.append((self.off_chunks + self.chunk_stride * (entry & INLINE) + (entry >> 32 & 0xFFFF),
                              entry >> 48))
        return found

    def clients(self):
        """{slot: pid} of the clients in use."""
        return {c: self._at("<I", self.off_clients + CLIENT_SIZE * c + 4) for c in range(1, 255)
                if self._at("<I", self.off_clients + CLIENT_SIZE * c)}

    def owners(self):
        """{owner: number of chunks}; owner 0 is nobody."""
        owners = self.map[self.off_owners:self.off_owners + self.chunk_count]
        return {owner: owners.count(owner) for owner in set(owners)}

    def lost_chunks(self):
        """Chunks whose owner is no client in use and that no ring holds: leaked."""
        alive = set(self.clients()) | {0}
        owners = self.map[self.off_owners:self.off_owners + self.chunk_count]
        if not set(owners) - alive:
            return 0
        seen = set()
        for ring in range(self.ring_count):
            if not self._at("<I", self.off_tags + 4 * ring):
                continue
            at = self.off_rings + self.ring_stride * ring
            prod, cons = self._at("<I", at), self._at("<I", at + 128)
            for i in range(min((prod - cons) & 0xFFFFFFFF, self.ring_size)):
                entry = self._at("<Q", at + 384 + 8 * ((cons + i) % self.ring_size))
                seen.add(entry & INLINE)
        return sum(owner not in alive and chunk not in seen for chunk, owner in enumerate(owners))
