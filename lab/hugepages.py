# SPDX-License-Identifier: BSD-3-Clause
"""Huge pages, if they can be had, for the length of one run."""

import os
from pathlib import Path

from .process import LabError, run, wait_until
from .registry import huge_page_pool, lower_huge_pages

_POOL = Path("/sys/kernel/mm/hugepages/hugepages-2048kB")


class HugePages:
    """Adds 'count_2m' pages of 2 MiB to the kernel's pool and mounts a private
    hugetlbfs on 'dir'; takes both back at the end of 'lab'.

    If the pool cannot be raised (not root, container), pages that are free in
    it serve too.  Otherwise, or with HIGHWAY_HUGEPAGES=no in the environment,
    'available' is False and 'why' says why: nothing is mounted then and 'dir'
    is None.  A false HugePages may be given wherever one is wanted.
    """

    name = "huge pages"

    def __init__(self, lab, count_2m=512):
        self.lab = lab
        self.count = count_2m
        self.dir = None
        self.why = ""
        self._added = 0
        if os.environ.get("HIGHWAY_HUGEPAGES", "").lower() in ("no", "0", "off"):
            self.why = "HIGHWAY_HUGEPAGES=no"
            return
        if not _POOL.is_dir():
            self.why = "the kernel has no huge pages of 2 MiB"
            return
        lab.add(self)
        try:
            self._reserve()
            self._mount()
        except (OSError, LabError) as error:
            self.why = str(error)
            self.stop()

    @property
    def available(self):
        return self.dir is not None

    def __bool__(self):
        return self.available

    def _reserve(self):
        free = int((_POOL / "free_hugepages").read_text())
        try:
            with huge_page_pool() as pool:
                before = int(pool.read_text())
                pool.write_text(str(before + self.count))
                self._added = max(0, int(pool.read_text()) - before)
                # Noted afterwards: if we are killed in between, better leave
                # pages behind than take somebody else's away.
                if self._added:
                    self.lab.note("hugepages", self._added)
        except OSError:
            if free < self.count:
                raise
        if self._added < self.count and free < self.count:
            raise LabError(f"the kernel has room for {self._added} huge pages, not {self.count}")

    def _mount(self):
        where = self.lab.rundir / "huge"
        where.mkdir()
        self.lab.note("mount", where)
        run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M,mode=0700", "highway-lab", where])
        self.dir = where

    def free(self):
        """Free pages in the pool now, whoever they are meant for."""
        return int((_POOL / "free_hugepages").read_text())

    def stop(self):
        """Unmounts, and lowers the pool by what was added (and no further)."""
        if self.dir:
            where, self.dir = self.dir, None
            wait_until(lambda: _unmounted(where), 10, f"nobody to use {where}")
            self.lab.forget("mount", where)
        if self._added:
            added, self._added = self._added, 0
            self.lab.forget("hugepages", added)
            lower_huge_pages(added)


def _unmounted(where):
    run(["umount", where], check=False)
    return not os.path.ismount(where)
