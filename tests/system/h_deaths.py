# SPDX-License-Identifier: BSD-3-Clause
"""highwayd: when it, the database or the switch dies, hangs or comes back."""

import signal
import threading
import time

from lab import wait_until

from .h_kit import agent, beat, wait_words, words
from .kit import same, seconds, sure, within

LINE = ("in_port=1,actions=output:2", "in_port=2,actions=output:1")


class Watch:
    """Looks at a port's words all the time, until it is left; 'seen' are all that it saw."""

    def __init__(self, test, port):
        self.test, self.port = test, port
        self.seen, self._end = [], threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self):
        while not self._end.is_set():
            found = words(self.test, self.port)
            if not self.seen or self.seen[-1] != found:
                self.seen.append(found)
            time.sleep(0.0005)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()


def test_killed_and_restarted_it_adopts(test):
    """Killed with -9 its words stay and lapse within 1 s by themselves; started again it adopts them without ever
    taking them away"""
    bed = test.bed(2)
    bed.rules(*LINE)
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    wait_until(lambda: beat(test)[2], 5, "the host to hear the agent")
    one.kill9()
    with Watch(test, "p1") as watch:
        wait_until(lambda: not beat(test)[2], 3, "the host to take the agent for dead")
        one.start()
        one.wait_synced(bed.bridge)
        wait_until(lambda: beat(test)[2], 5, "the host to hear the new agent")
        wait_until(lambda: any(", as found" in e["text"] for e in one.events("proven")), 5, "the proof to be adopted",
                   lambda: one.appctl("events"))
    same(watch.seen, [("yes", "p2")], "the words all the while")


def test_what_changed_meanwhile_is_corrected(test):
    """A rule, and a policy, that changed while it was dead are acted upon when it is back"""
    bed = test.bed(2)
    bed.rules(*LINE)
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    wait_words(test, "p2", "yes", "p1")
    one.kill9()
    bed.rules("priority=65000,in_port=1,tcp,actions=drop")
    bed.ovs.vsctl("set", "Interface", bed.ovs_name("p2"), "ingress_policing_rate=1000")
    one.start()
    wait_words(test, "p1", "yes", None)
    wait_words(test, "p2", "no", None)


def test_stopped_it_is_taken_for_dead(test):
    """Stopped (SIGSTOP) it is taken for dead within 1 s; continued it is heard again and acts upon what changed"""
    bed = test.bed(2)
    bed.rules(*LINE)
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    wait_until(lambda: beat(test)[2], 5, "the host to hear the agent")
    one.signal(signal.SIGSTOP)
    try:
        begin = time.monotonic()
        wait_until(lambda: not beat(test)[2], 3, "the host to take the agent for dead")
        within(begin, 2, "to take the agent for dead")
        bed.rules("priority=65000,in_port=1,tcp,actions=drop")
        same(words(test, "p1"), ("yes", "p2"), "the words of a stopped agent")
    finally:
        one.signal(signal.SIGCONT)
    wait_words(test, "p1", "yes", None)
    wait_until(lambda: beat(test)[2], 5, "the host to hear the agent again")


def test_it_ends_in_good_order(test):
    """Ended by SIGTERM or `exit` it withdraws what it gave; with `exit --restart` it leaves it for the next one"""
    bed = test.bed(2)
    bed.rules(*LINE)
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    one.appctl("exit", "--restart")
    wait_until(lambda: not one.alive, 10, "highwayd to end")
    same(words(test, "p1"), ("yes", "p2"), "the words after exit --restart")
    one.start()
    one.wait_synced(bed.bridge)
    one.appctl("exit")
    wait_until(lambda: not one.alive, 10, "highwayd to end")
    same(words(test, "p1"), ("unsaid", None), "the words after exit")
    one.start()
    wait_words(test, "p1", "yes", "p2")
    one.signal(signal.SIGTERM)
    wait_until(lambda: not one.alive, 10, "highwayd to end")
    same(words(test, "p1"), ("unsaid", None), "the words after SIGTERM")


def test_the_database_restarts(test):
    """ovsdb-server is killed and comes back: the words stay, and what changes afterwards is seen"""
    bed = test.bed(2, ovs=test.own_ovs())
    bed.ovs.vsctl("set", "Open_vSwitch", ".", "external_ids:x=y")
    test.allow.append(r"\|(reconnect|jsonrpc|ovsdb_idl|stream)\|WARN\|.*")
    bed.rules(*LINE)
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    with Watch(test, "p1") as watch:
        bed.ovs.ovsdb.kill9()
        bed.ovs.start_ovsdb()
        bed.ovs.vsctl("set", "Interface", bed.ovs_name("p2"), "other_config:highway-bypass=on")
    same(watch.seen, [("yes", "p2")], "the words meanwhile")
    bed.ovs.vsctl("set", "Interface", bed.ovs_name("p1"), "ingress_policing_rate=1000")
    wait_words(test, "p1", "no", None, 20)
    sure(one.alive, "highwayd died")


@seconds(120)
def test_the_switch_restarts(test):
    """ovs-vswitchd is killed and comes back without rules: highwayd withdraws its proofs, connects again and proves
    the rules it then gets"""
    bed = test.bed(2, ovs=test.own_ovs(dies=True))
    bed.rules(*LINE)
    one = agent(test, bed)
    wait_words(test, "p1", "yes", "p2")
    syncs = one.bridges()[bed.bridge]["syncs"]
    keepers = [test.sink(port, name=f"keep-{port}") for port in ("p1", "p2")]  # Else the ports go with the switch.
    bed.ovs.vswitchd.kill9()
    wait_until(lambda: one.bridges()[bed.bridge]["state"] == "not connected", 10, "the loss to be noticed")
    wait_words(test, "p1", "yes", None)
    bed.ovs.start_vswitchd()
    one.wait_synced(bed.bridge)
    sure(one.bridges()[bed.bridge]["syncs"] > syncs, "the rules were not read again")
    same(one.bridges()[bed.bridge]["rules"], 0, "rules")
    bed.rules(*LINE)
    wait_words(test, "p1", "yes", "p2")
    for keeper in keepers:
        keeper.stop()
