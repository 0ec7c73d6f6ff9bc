# SPDX-License-Identifier: BSD-3-Clause
"""highwayd: its keys in the database, each on and off, in each place; and what it says of those
that make no sense."""

from lab import wait_until

from .h_kit import agent, wait_explained, wait_words
from .kit import same, sure

LINE = ("in_port=1,actions=output:2", "in_port=2,actions=output:1")


def start(test):
    bed = test.bed(2)
    bed.rules(*LINE)
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    wait_words(test, "p2", "yes", "p1")
    # The switch is the next test's, too.
    for column in ("other_config", "external_ids"):
        test.defer(bed.ovs.vsctl, "remove", "Open_vSwitch", ".", column, "highway-bypass",
                   "highway-bypass-off-domains", "highway-debounce-ms", "highway-metrics", "highway-bypas")
    return bed, one


def test_keys_bypass_everywhere(test):
    """highway-bypass=off in other_config or external_ids of the interface, the bridge or the whole switch forbids the
    bypass, and on permits it again"""
    bed, one = start(test)
    name = bed.ovs_name("p1")
    for table, row, others in (("Interface", name, "yes"), ("Bridge", bed.bridge, "no"), ("Open_vSwitch", ".", "no")):
        for column in ("other_config", "external_ids"):
            bed.ovs.vsctl("set", table, row, f"{column}:highway-bypass=off")
            wait_words(test, "p1", "no", None)
            wait_words(test, "p2", others, None)
            said = one.explain(name)
            same([r["text"] for r in said["policy"]["reasons"]],
                 [f"{column}:highway-bypass=off of {table} {row}: the operator's word"], "the reason")
            same(said["notes"], [], "notes on keys that are right")
            bed.ovs.vsctl("set", table, row, f"{column}:highway-bypass=on")
            wait_words(test, "p1", "yes", "p2")
            wait_words(test, "p2", "yes", "p1")
            bed.ovs.vsctl("remove", table, row, column, "highway-bypass")


def test_keys_off_wins(test):
    """Where other_config and external_ids, or interface and bridge, contradict each other, off counts"""
    bed, one = start(test)
    name = bed.ovs_name("p1")
    for here, there in (("other_config", "external_ids"), ("external_ids", "other_config")):
        bed.ovs.vsctl("set", "Interface", name, f"{here}:highway-bypass=off", f"{there}:highway-bypass=on")
        wait_words(test, "p1", "no", None)
        bed.ovs.vsctl("remove", "Interface", name, here, "highway-bypass")
        wait_words(test, "p1", "yes", "p2")
    bed.ovs.vsctl("set", "Interface", name, "other_config:highway-bypass=on", "--", "set", "Bridge", bed.bridge,
                  "external_ids:highway-bypass=off")
    wait_words(test, "p1", "no", None)
    wait_words(test, "p2", "no", None)
    sure(one.alive, "highwayd died")


def test_keys_domains(test):
    """highway-bypass-off-domains in other_config and in external_ids add up"""
    bed, _ = start(test)
    for column in ("other_config", "external_ids"):
        bed.ovs.vsctl("set", "Open_vSwitch", ".", f'{column}:highway-bypass-off-domains="other, {test.domain}"')
        wait_words(test, "p1", "no", None)
        wait_words(test, "p2", "no", None)
        bed.ovs.vsctl("set", "Open_vSwitch", ".", f'{column}:highway-bypass-off-domains="other"')
        wait_words(test, "p1", "yes", "p2")


def test_keys_bad_values_are_told_once(test):
    """A value that makes no sense, a key that is none, and one in the wrong place are told in one sentence: once in
    the log however often the database changes, in explain while it lasts, and once more if it comes again"""
    bed, one = start(test)
    name, vsctl = bed.ovs_name("p1"), bed.ovs.vsctl
    for number, (table, row, setting, text) in enumerate((
            ("Interface", name, "external_ids:highway-bypass=maybe", "is neither on nor off and counts as off"),
            ("Bridge", bed.bridge, "other_config:highway-bypass=7", "is neither on nor off and counts as off"),
            ("Interface", name, "other_config:highway-bypas=off", "is no key of highwayd"),
            ("Open_vSwitch", ".", "external_ids:highway-bypas=off", "is no key of highwayd"),
            ("Interface", name, "other_config:highway-debounce-ms=7", "write it to other_config of Open_vSwitch"),
            ("Open_vSwitch", ".", "other_config:highway-debounce-ms=soon", "is not a number from 0 to 60000: 50 is used"),
            ("Open_vSwitch", ".", "other_config:highway-metrics=0.0.0.0:9404", "is neither a loopback address"))):
        column, _, word = setting.partition(":")
        key = word.partition("=")[0]
        sentence = f"{word} of {table}" if "metrics" not in key else word

        def told():
            return [line for line in one.logfile.read_text().splitlines()
                    if "|WARN|" in line and text in line and sentence in line]

        for times in (1, 2):
            vsctl("set", table, row, setting)
            said = wait_explained(one, name, lambda s: any(text in note for note in s["notes"]),
                                  f"{setting} of {table} to be told")
            same(len([note for note in said["notes"] if text in note]), 1, "how often it is told")
            sure(text in one.appctl("explain", name), "explain does not tell it in words")
            same(said["policy"]["permitted"], key != "highway-bypass", "the permit")
            for again in ("a", "b"):  # The database changes, the complaint does not.
                vsctl("set", "Interface", name, f"external_ids:seen={number}{times}{again}")
            vsctl("set", "Interface", bed.ovs_name("p2"), "other_config:highway-bypass=off")
            wait_words(test, "p2", "no", None)
            vsctl("remove", "Interface", bed.ovs_name("p2"), "other_config", "highway-bypass")
            wait_words(test, "p2", "no" if table == "Bridge" and key == "highway-bypass" else "yes",
                       "p1" if key != "highway-bypass" else None)
            same(len(told()), times, f"lines in the log on {setting} of {table}")
            vsctl("remove", table, row, column, key)
            wait_explained(one, name, lambda s: not s["notes"] and s["policy"]["permitted"], "the note to be gone")
            wait_words(test, "p1", "yes", "p2")
            wait_words(test, "p2", "yes", "p1")
