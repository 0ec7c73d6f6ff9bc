# SPDX-License-Identifier: BSD-3-Clause
"""Shows that Open vSwitch, DPDK and testpmd are the distribution's, untouched."""

import re
import shutil
from pathlib import Path

from lab import LabError, run

_NOT_CODE = re.compile(r" c |/usr/share/(doc|man|locale|lintian|bash-completion)/")


class Packages:
    """What `dpkg` knows of the programs that run; 'versions', 'problems'."""

    def __init__(self):
        self.versions = {}
        self.problems = []
        self.checked = shutil.which("dpkg") is not None
        if not self.checked:
            return
        listed = run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package} ${Version}\n",
                      "openvswitch-*", "dpdk*", "librte-*"], check=False)
        self.versions = dict(line[2:].split() for line in listed.splitlines() if line.startswith("ii"))
        # Configuration and documentation may differ (slim images leave the latter out).
        lines = run(["dpkg", "-V", *self.versions], 60, check=False).splitlines() if self.versions else []
        self.problems = [line for line in lines if not _NOT_CODE.search(line)]

    def owners(self, paths):
        """{path: package or None} of files."""
        # Since the merge of /lib and /usr/lib a path may be registered as either.
        other = {path: path.removeprefix("/usr") if path.startswith("/usr/") else "/usr" + path for path in paths}
        said = run(["dpkg", "-S", *paths, *other.values()], 60, check=False)
        package = {path: names.partition(":")[0].partition(",")[0] for names, _, path in
                   (line.rpartition(": ") for line in said.splitlines())}
        return {path: package.get(path) or package.get(other[path]) for path in paths}

    def foreign(self, processes):
        """Files with code that run in 'processes' and belong to no package."""
        mapped = set()
        for process in processes:
            mapped |= mapped_code(process.pid)
        return sorted(path for path, owner in self.owners(sorted(mapped)).items() if owner is None)


def mapped_code(pid):
    """Files that are mapped executable in a process: the program, its libraries, plug-ins."""
    found = set()
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        words = line.split(None, 5)
        if "x" in words[1] and len(words) == 6 and words[5].startswith("/"):
            found.add(words[5])
    return found


def linked(program):
    """Libraries of a program as `ldd` finds them: {name: path}."""
    said = run(["ldd", program])
    missing = re.findall(r"(\S+) => not found", said)
    if missing:
        raise LabError(f"{program} lacks {', '.join(missing)}")
    return dict(re.findall(r"(\S+) => (\S+) \(", said))


def show(screen, chain, packages):
    """Prints the evidence and returns it for the report: {"ok": ...}."""
    programs = {"ovs-vswitchd": chain.ovs.vswitchd, "dpdk-testpmd": chain.vnfs[0]}
    evidence = {"dpkg_verify": packages.problems, "programs": {}}
    for name, process in programs.items():
        path = str(Path(f"/proc/{process.pid}/exe").resolve())
        libraries = linked(path)
        dpdk = sorted({Path(lib).resolve().name for name, lib in libraries.items() if name.startswith("librte_")})
        owner = packages.owners([path])[path] if packages.checked else None
        evidence["programs"][name] = {"path": path, "package": owner, "version": packages.versions.get(owner),
                                      "libraries": len(libraries), "dpdk_libraries": dpdk}
        screen.event(f"{path}: package {owner} {packages.versions.get(owner, '')}, "
                     f"ldd: {len(libraries)} libraries, {len(dpdk)} of DPDK")
    if not packages.checked:
        screen.event("no dpkg on this system: that they are the distribution's was not checked")
        return evidence | {"ok": True, "foreign_code": None}
    foreign = packages.foreign([chain.ovs.vswitchd, *chain.vnfs])
    evidence["foreign_code"] = foreign
    screen.event(f"dpkg -V of {len(packages.versions)} packages (openvswitch-*, dpdk*, librte-*): "
                 + (f"{len(packages.problems)} files differ: {packages.problems[0]}" if packages.problems
                    else "every file as the distribution made it"))
    screen.event(f"code in ovs-vswitchd and the {len(chain.vnfs)} VNFs that is in no package: "
                 + (", ".join(Path(path).name for path in foreign) or "none"))
    only_ours = [Path(path).name for path in foreign] == [Path(chain.plugin).name]
    return evidence | {"ok": not packages.problems and only_ours}
