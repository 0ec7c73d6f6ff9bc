# SPDX-License-Identifier: BSD-3-Clause
"""The links of a domain as its region shows them: path and counters.

The region is mapped read-only: looking costs the data path nothing and needs no
lock.  Offsets and sizes come from the assertions in include/highway/layout.h, so that
this file knows the names of fields only.
"""

import mmap
import re
import struct
import time
from collections import namedtuple
from pathlib import Path

LAYOUT = Path(__file__).resolve().parent.parent / "include/highway/layout.h"

_PORT_USED = 1
_GUEST = 1
_FREE, _OPEN = 0, 3

Sample = namedtuple("Sample", "time_s sent bypassed received opened open")
"""One look: all but 'time_s' are dicts by directed link (name of X, name of Y).
'sent' is what X sent on either path, 'bypassed' what of it did not cross the switch,
'received' what Y received; 'opened': how often the link was opened; 'open': whether
it is."""


class Layout:
    """Offsets and sizes, out of the C header's static assertions."""

    def __init__(self, path=LAYOUT):
        text = Path(path).read_text()
        self.offsets = {(kind, field): int(value) for kind, field, value in
                        re.findall(r"HWY_ASSERT_OFFSET\((\w+),\s*(\w+),\s*(\d+)\)", text)}
        self.sizes = {kind: int(value) for kind, value in
                      re.findall(r"static_assert\(sizeof\(struct (\w+)\) == (\d+)", text)}
        self.magic = int(re.search(r"define HWY_MAGIC\s+(0x[0-9a-f]+)ULL", text)[1], 16)
        self.major = int(re.search(r"define HWY_VERSION_MAJOR\s+(\d+)", text)[1])

    def __call__(self, kind, field):
        return self.offsets[kind, field]


class Region:
    """A region file, read only.  Close it before its file system is unmounted.

    It counts one queue per port, which is what the demo's ports have.
    """

    name = "region"

    def __init__(self, path):
        self._at = at = Layout()
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        magic, major = struct.unpack_from("<QH", self._map, at("hwy_header", "magic"))
        if magic != at.magic or major != at.major:
            raise ValueError(f"{path} is no region of version {at.major}")
        self._names = {}
        self._rings = {}  # indexes of (up, down) ring by port
        self._credited = {}  # offset of what the switch was told of a port's flows
        self._counters = {}  # offsets of (normal, bypass) packets by (port, "rx" or "tx")
        normal, bypass = (at("hwy_counters", f"{path}_packets") for path in ("normal", "bypass"))
        for index in range(self._u32(at("hwy_header", "port_count"))):
            port = self._u64(at("hwy_header", "off_ports")) + index * at.sizes["hwy_port"]
            if self._u32(port + at("hwy_port", "state")) != _PORT_USED:
                continue
            start = port + at("hwy_port", "name")
            name = self._names[index] = self._map[start:start + 32].split(b"\0")[0].decode()
            guest = port + at("hwy_port", "end") + _GUEST * at.sizes["hwy_end"]
            self._rings[name] = tuple(self._u32(port + at("hwy_port", way)) for way in ("up", "down"))
            self._credited[name] = port + at("hwy_port", "credited")
            for way in ("rx", "tx"):
                queue = guest + at("hwy_end", way)
                self._counters[name, way] = queue + normal, queue + bypass

    def close(self):
        """Unmaps the file."""
        self._map.close()

    stop = close

    def _u32(self, offset):
        return struct.unpack_from("<I", self._map, offset)[0]

    def _u64(self, offset):
        return struct.unpack_from("<Q", self._map, offset)[0]

    def _count(self, port, way):
        """(packets by the switch, packets by links) of a guest end."""
        normal, bypass = self._counters[port, way]
        return self._u64(normal), self._u64(bypass)

    def told(self, port):
        """(packets that the switch was told in answer to its queries for flows of the port,
        packets that its present guest sent by links).  If they are equal but the rules'
        counters are not what was sent, the switch miscounted: README, Limits."""
        return self._u64(self._credited[port]), self._count(port, "tx")[1]

    def _links(self):
        """{(X, Y): (offset, state, opened)} of all links that ever were."""
        at, found = self._at, {}
        base = self._u64(at("hwy_header", "off_links"))
        for index in range(self._u32(at("hwy_header", "link_count"))):
            link = base + index * at.sizes["hwy_link"]
            opened = self._u32(link + at("hwy_link", "opened"))
            if opened == 0:
                break  # Links are taken from the front of the table.
            names = [self._names.get(self._u32(link + at("hwy_link", word))) for word in ("src", "dst")]
            found[tuple(names)] = link, self._u32(link + at("hwy_link", "state")), opened
        return found

    def _waiting(self, ring):
        """Entries in a ring now."""
        base = self._u64(self._at("hwy_header", "off_rings")) + ring * self._u64(self._at("hwy_header", "ring_stride"))
        taken = self._u32(base + self._at("hwy_ring", "cons"))
        return (self._u32(base + self._at("hwy_ring", "prod")) - taken) & 0xFFFFFFFF

    def in_flight(self, wanted):
        """{(X, Y): packets in the rings between X and Y now}: X's way into the switch, the
        way out to Y, and the link.  (What the switch itself holds cannot be seen.)"""
        rings = {(x, y): [self._rings[x][0], self._rings[y][1]] for x, y in wanted}
        for link, (offset, _, _) in self._links().items():
            if link in rings:
                rings[link].append(self._u32(offset + self._at("hwy_link", "ring")))
        return {link: sum(map(self._waiting, mine)) for link, mine in rings.items()}

    def sample(self, wanted):
        """A Sample of the directed links 'wanted'."""
        links = self._links()
        sample = Sample(time.monotonic(), {}, {}, {}, {}, {})
        for link in wanted:
            normal, bypass = self._count(link[0], "tx")
            sample.sent[link], sample.bypassed[link] = normal + bypass, bypass
            sample.received[link] = sum(self._count(link[1], "rx"))
            _, state, sample.opened[link] = links.get(link, (0, _FREE, 0))
            sample.open[link] = state == _OPEN
        return sample

    def switchovers(self, wanted):
        """How often the links 'wanted' changed their path so far, either way."""
        return sum(2 * opened - (state == _OPEN) for link, (_, state, opened) in self._links().items()
                   if link in wanted)
