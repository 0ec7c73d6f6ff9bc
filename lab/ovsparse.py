# SPDX-License-Identifier: BSD-3-Clause
"""What ovs-ofctl, ovs-appctl and ovs-vsctl print, as dicts."""

import json
import re


def flow(line):
    """One line of `ovs-ofctl dump-flows`.

    Numbers are int (cookie, n_packets, n_bytes, table, priority, time-outs) or
    float (duration); 'match' is the text without the priority.
    """
    head, _, actions = line.strip().partition("actions=")
    found = {"priority": 32768, "idle_timeout": 0, "hard_timeout": 0, "match": "", "actions": actions.strip(),
             "flags": []}
    for part in head.strip().rstrip(",").split(", "):
        for word in part.split(" "):
            key, is_pair, value = word.partition("=")
            if key == "duration":
                found[key] = float(value.rstrip("s"))
            elif is_pair and key in _NUMBERS:
                found[key] = int(value, 0)
            elif word in _FLAGS:
                found["flags"].append(word)
            elif word:
                match = [term for term in re.split(r",(?![^(]*\))", word) if term]
                for term in match:
                    if term.startswith("priority="):
                        found["priority"] = int(term[9:])
                found["match"] = ",".join(term for term in match if not term.startswith("priority="))
    return found


_NUMBERS = {"cookie", "table", "n_packets", "n_bytes", "idle_timeout", "hard_timeout", "idle_age", "hard_age",
            "importance"}
_FLAGS = {"send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts"}


def flows(text):
    """All flows of `ovs-ofctl dump-flows`."""
    return [flow(line) for line in text.splitlines() if "actions=" in line]


def ports(text):
    """{port (int or "LOCAL"): {"rx_pkts": ..., "tx_bytes": ...}} of `ovs-ofctl
    dump-ports`; what the port does not count is None."""
    found = {}
    stats = None
    side = ""
    for line in text.splitlines():
        match = re.match(r"\s*port\s+\"?([^\s\":]+)\"?:", line)
        if match:
            number = match[1]
            stats = found[int(number) if number.isdigit() else number] = {}
        match = re.search(r"\b([rt]x) pkts=", line)
        if match:
            side = match[1]
        elif "duration=" in line:
            side = ""
        if stats is not None and side:
            for key, value in re.findall(r"(\w+)=(\d+|\?)", line):
                stats[f"{side}_{key}"] = None if value == "?" else int(value)
        elif stats is not None:
            for key, value in re.findall(r"([\w-]+)=(\d+)(?![\d.])", line):
                if key != "duration":
                    stats[key] = int(value)
    return found


def datapath_flows(text):
    """Flows of `ovs-appctl dpctl/dump-flows -m`."""
    found = []
    for line in text.splitlines():
        if "actions:" not in line:
            continue
        head, _, rest = line.strip().partition(", packets:")
        rest = "packets:" + rest
        actions = re.search(r"actions:(.*?)(?:, dp-extra-info:(.*))?$", rest)
        ufid, _, match = head.partition(", ")
        in_port = re.search(r"in_port\(([^)]*)\)", match)
        found.append({
            "ufid": ufid.removeprefix("ufid:"),
            "match": match,
            "in_port": in_port[1] if in_port else "",
            "packets": int(_field(rest, "packets", "0")),
            "bytes": int(_field(rest, "bytes", "0")),
            "used": _field(rest, "used", ""),
            "offloaded": _field(rest, "offloaded", "no"),
            "dp": _field(rest, "dp", ""),
            "actions": actions[1] if actions else "",
            "extra": (actions[2] or "") if actions else "",
        })
    return found


def _field(text, key, default):
    match = re.search(rf"(?:^|, ){key}:([^,]*)", text)
    return match[1] if match else default


def pmd_stats(text):
    """{core: {"packets received": ..., "idle cycles": ...}} of `dpif-netdev/pmd-stats-show`
    ("main" is the main thread)."""
    found = {}
    stats = None
    for line in text.splitlines():
        match = re.match(r"pmd thread numa_id \d+ core_id (\d+):", line)
        if match or line.startswith("main thread:"):
            stats = found.setdefault(int(match[1]) if match else "main", {})
            continue
        match = re.match(r"\s+([^:]+): (\d+(?:\.\d+)?)", line)
        if match and stats is not None:
            stats[match[1]] = float(match[2]) if "." in match[2] else int(match[2])
    return found


def row(text):
    """{column: value} of one row of `ovs-vsctl --format=json list TABLE RECORD`."""
    table = json.loads(text)
    return {name: _value(cell) for name, cell in zip(table["headings"], table["data"][0])} if table["data"] else {}


def _value(cell):
    """OVSDB JSON as Python: a set of one is its member, an empty one is None."""
    if not isinstance(cell, list):
        return cell
    kind, content = cell
    if kind == "map":
        return {_value(key): _value(value) for key, value in content}
    if kind == "set":
        return [_value(member) for member in content] or None
    return content
