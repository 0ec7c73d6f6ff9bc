# SPDX-License-Identifier: BSD-3-Clause
"""E. Region files that are garbage, cut, of another version or lie: told, not believed."""

import struct

from .e_devargs import _refused
from .kit import same, say


def _header(t, pmd):
    """The beginning of a good region."""
    with t.region_path().open("rb") as file:
        return bytearray(file.read(4096))


def test_damaged_region_files(t):
    """Garbage, a cut file, another version, unknown features, absurd geometry: each with its sentence and remedy."""
    pmd = t.testpmd("pmd", t.guests("p0")).start()
    good = _header(t, pmd)
    with t.region_path().open("rb") as file:
        size = file.seek(0, 2)

    def put(at, form, value):
        bad = bytearray(good)
        struct.pack_into(form, bad, at, value)
        return bad
    remedy = "remove the file if no process uses it"
    cases = {
        "empty": (b"", 0, ("is not a Highway region", remedy)),
        "small": (b"hello", 5, ("is not a Highway region", remedy)),
        "garbage": (b"\xa5" * 4096, size, ("is not a Highway region", remedy)),
        "zeros": (b"\0" * 4096, size, ("is not a Highway region", remedy)),
        "cut": (good, size // 2, ("bytes long, its header says", remedy)),
        "version": (put(8, "<H", 2), size, ("has region version 2.0, this program knows 1", "same major version")),
        "features": (put(24, "<Q", 1 << 40), size, ("needs features 0x10000000000", "upgrade")),
        "ports": (put(72, "<I", 1 << 30), size, ("a header that makes no sense", remedy)),
        "rings": (put(84, "<I", 1000), size, ("a header that makes no sense", remedy)),
        "chunks": (put(92, "<I", 0xFFFFC0), size, ("a header that makes no sense", remedy)),
        "offset": (put(160, "<Q", 1 << 63), size, ("a header that makes no sense", remedy)),
        "overflow": (put(104, "<Q", (1 << 64) - 64), size, ("a header that makes no sense", remedy)),
        "name": (put(40, "32s", b"x" * 32), size, ("a header that makes no sense", remedy)),
        "reserved": (put(192, "<Q", 1), size, ("uses reserved words", "upgrade this program")),
    }
    for number, (kind, (head, length, words)) in enumerate(cases.items()):
        path = t.dir / f"{t.domain}{kind}"
        t.defer(path.unlink, True)
        with path.open("wb") as file:
            file.write(head)
            file.truncate(length)
        _refused(pmd, f"net_highway{number + 5},domain={t.domain}{kind},port=x,dir={t.dir}", str(path), *words)
    folder = t.dir / f"{t.domain}dir"
    folder.mkdir()
    t.defer(folder.rmdir)
    _refused(pmd, f"net_highway30,domain={t.domain}dir,port=x,dir={t.dir}", str(folder))
    say(pmd, f"port attach {t.devargs('right', number=31)}", "is attached")
    same(pmd.quit(), 0, "exit status")


def test_no_room(t):
    """A region that does not fit in the folder's file system is refused with size and remedy, and leaves no file."""
    pmd = t.testpmd("pmd", t.guests("p0")).start()
    _refused(pmd, f"net_highway5,domain={t.domain}big,port=x,dir={t.dir},size=64G", "no room for a region",
             "size=65536M", "name a smaller size= or another dir=")
    same([p.name for p in t.dir.glob(f"{t.domain}big*")], [], "files left behind")


def test_region_is_private(t):
    """The region file can be read and written by its owner only."""
    t.testpmd("pmd", t.guests("p0")).start()
    same(oct(t.region_path().stat().st_mode & 0o777), oct(0o600), "mode of the region file")
