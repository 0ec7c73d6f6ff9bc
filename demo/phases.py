# SPDX-License-Identifier: BSD-3-Clause
"""The phases with generated traffic, both ways, every packet numbered and checked.

Peak throughput is measured apart.  Packets are counted in *segments*: from a moment at
which nothing is under way, at a fixed rate below what the path carries, to the next
such moment.  In a segment every packet that was sent must arrive, in order, whatever
happens to the rules meanwhile.
"""

import json
import os
import random
import time

from chain import SWITCH_CPU, VNF_CPU, busy_share, prefer
from controller import P2P, STEERING
from lab import LabError, Traffic, wait_until

MAX_RATE = 20_000
"""Packets a second each way in segments: a twentieth of the switch's measured peak, but
not more than this."""

SIZE = 64
MAXSLEEP_US = 200
"""How long the switch's PMD thread may sleep where its core is used by others."""

STORM = 40
"""Switch-overs under numbered traffic, at least."""


class Source:
    """highway-traffic with ports a and b: sends on both, checks on both."""

    def __init__(self, chain, binary):
        self.chain = chain
        self.traffic = Traffic(
            chain.lab, "traffic", "gensink", [chain.device("a", 0), chain.device("b", 1)], plugin=chain.plugin,
            huge=chain.huge, cpus=(0, 0), memory_mb=128, binary=binary, bidir=True, hold=True, idle="yield", size=SIZE,
            timestamps=16, interval=1, drain=2000, link_wait=30)
        self.traffic.start()
        self.traffic.expect("ready", 60)
        prefer(self.traffic)

    def move(self, cpu):
        """Lets it run on another CPU."""
        for thread in self.traffic.thread_cpu():
            os.sched_setaffinity(thread, {cpu})

    def report(self):
        """Its totals since the last reset."""
        self.traffic.skip()
        self.traffic.control("report")
        return json.loads(self.traffic.expect(r"^\{.*\}\s*$").group(0))

    def begin(self, rate):
        """Starts at a rate (0: as fast as it can), its counters at 0."""
        self.traffic.control("reset")
        wait_until(lambda: self.report()["sent"] == 0, 30, "the generator's reset", self.traffic)
        self.traffic.control(f"rate {rate}")
        self.traffic.control("start")

    def settle(self, deadline_s=20):
        """Stops sending and waits until nothing is under way; returns the totals."""
        self.traffic.control("stop")
        end, quiet_since, last = time.monotonic() + deadline_s, time.monotonic(), None
        while True:
            now = self.report()
            counted = now["sent"], now["received"]
            if counted != last:
                last, quiet_since = counted, time.monotonic()
            quiet = time.monotonic() - quiet_since
            waiting = sum(self.chain.region.in_flight(self.chain.links).values())
            if quiet >= (0.2 if counted[0] == counted[1] else 2 if waiting else 0.6) or time.monotonic() >= end:
                return now
            time.sleep(0.05)

    def end(self):
        """Ends it and returns its final report."""
        if self.traffic.quit(30):
            raise LabError(f"{self.traffic.name} failed ({self.traffic.how_ended()}): see {self.traffic.log}")
        return self.traffic.result()


class Phases:
    """Runs them one after the other; 'results' and 'totals' are for the report."""

    def __init__(self, chain, screen, monitor, source, seed):
        self.chain, self.screen, self.monitor, self.source = chain, screen, monitor, source
        self.random = random.Random(seed)
        self.results = []
        self.totals = dict.fromkeys(("sent", "received", "lost", "duplicated", "reordered", "corrupted"), 0)
        self.rate = 0  # packets a second each way in segments, once known
        self.explained = ""  # by highwayctl, of the link that a rule breaks
        self._segment = False
        self.monitor.note = self._note

    def _note(self):
        live = self.source.traffic.live()
        if not live:
            return []
        latency = live["latency_us"]
        text = f"chain, both ways: {live['rx_mpps']:.3f} Mpps"
        if latency["p50"] is not None:
            text += f", end to end p50 {latency['p50']:.0f} us, p99 {latency['p99']:.0f} us"
        if self._segment:
            return [text, f"numbered packets sent {live['sent']:,}, duplicated {live['duplicated']}, "
                          f"reordered {live['reordered']}, corrupted {live['corrupted']}"]
        return [text]

    # -- measuring ----------------------------------------------------------

    def peak(self, seconds=2.0, warm_up=0.7):
        """(Mpps received both ways together, busy share of the switch's core)."""
        self.source.begin(0)
        time.sleep(warm_up)
        cycles, before, start = self.chain.switch_cycles(), self.source.report(), time.monotonic()
        time.sleep(seconds)
        after, end, now_cycles = self.source.report(), time.monotonic(), self.chain.switch_cycles()
        final = self.source.settle()
        for key in ("duplicated", "reordered", "corrupted"):  # Never, not even where packets are dropped.
            self.totals[key] += final[key]
        pps = (after["received"] - before["received"]) / (end - start)
        self.rate = self.rate or int(max(200, min(MAX_RATE, 0.05 * pps)))
        return pps / 1e6, busy_share(cycles, now_cycles)

    def begin_segment(self):
        """Nothing is under way: from now on every packet counts."""
        self._segment = True
        self.source.begin(self.rate)

    def end_segment(self):
        """Waits for what is under way, adds to the totals; returns the generator's report."""
        final = self.source.settle()
        self._segment = False
        self.totals["sent"] += final["sent"]
        self.totals["received"] += final["received"]
        self.totals["lost"] += max(final["lost"], final["sent"] - final["received"])
        for key in ("duplicated", "reordered", "corrupted"):
            self.totals[key] += final[key]
        return final

    def measure(self, name, title, seconds=2.5, freed=False):
        """A phase with its figures: peak throughput, then latency at the fixed rate.

        The peak is measured twice, and the better one counts.  'freed': the switch has
        nothing to do, so that its core can be used: the second time, the source of the
        traffic is there, while the switch's PMD thread may sleep.  Latency is for the
        same pinning in all phases.
        """
        result = {"name": name, "title": title}
        first = self.peak()
        if freed:
            result["mpps_pinned_as_before"] = round(first[0], 4)
            self.screen.event(f"peak {first[0]:.2f} Mpps, all of it on CPU {VNF_CPU}; now the traffic's source "
                              f"takes CPU {SWITCH_CPU}, which the switch no longer needs")
        second = self._peak_on_freed_core() if freed else self.peak()
        if freed:
            result["mpps_freed_core_used"] = round(second[0], 4)
        mpps, busy = max(first, second)
        self.begin_segment()
        time.sleep(seconds)
        report = self.end_segment()
        self.screen.settle()
        if not report["latency_us"]["samples"]:
            raise LabError(f"no packet came through the chain in {seconds:g} s")
        latency = {key: round(report["latency_us"][key], 2) for key in ("p50", "p99")}
        rate = 2 * self.rate / 1e6
        self.results.append({**result, "mpps": round(mpps, 4), "latency_us": latency, "switch_busy": round(busy, 4),
                             "latency_at_mpps": rate})
        self.screen.event(f"peak {mpps:.2f} Mpps, switch core {100 * busy:.0f} % busy; at {rate:.3g} Mpps "
                          f"latency p50 {latency['p50']:.0f} us, p99 {latency['p99']:.0f} us")

    def _peak_on_freed_core(self):
        self.chain.ovs.set_other_config(pmd_maxsleep=MAXSLEEP_US)
        self.source.move(SWITCH_CPU)
        try:
            return self.peak()
        finally:
            self.source.move(VNF_CPU)
            self.chain.ovs.set_other_config(pmd_maxsleep=0)

    # -- the phases ---------------------------------------------------------

    def by_the_switch(self):
        """Rules that look into the packets: nothing can leave the switch."""
        self.screen.heading("1. Through the switch")
        self.chain.controller.add(STEERING, self.chain.links)
        self.screen.event("controller: steering rules, in_port=X,udp actions=output:Y: no link is point-to-point")
        self.measure("switch", "through the switch")

    def leaves(self):
        """The p-2-p rules come, under traffic."""
        self.screen.heading("2. Point-to-point rules: the traffic leaves the switch by itself")
        self.begin_segment()
        time.sleep(1.0)
        self.screen.event("controller: in_port=X actions=output:Y instead, while packets flow "
                          "(then ovs-appctl revalidator/purge)")
        start = time.monotonic()
        self.chain.controller.replace(STEERING, P2P, self.chain.links)
        self.chain.wait_open(self.chain.links)
        self.screen.event(f"all {len(self.chain.links)} links have left the switch, "
                          f"{time.monotonic() - start:.2f} s after the flow-mods")
        time.sleep(1.0)
        self.end_segment()
        self.measure("bypass", "by the bypass", freed=True)

    def one_link(self):
        """A new rule breaks one link: that link alone goes back, and returns."""
        link = self.chain.hops[len(self.chain.hops) // 2]
        name = self.chain.link_name(link)
        self.screen.heading("3. A new rule breaks one link")
        self.begin_segment()
        time.sleep(0.5)
        self.screen.event(f"controller: a copy of {name} to a mirror port, priority 200, while packets flow")
        self.chain.back_to_switch([link])
        others = [each for each in self.chain.links if each != link]
        if not all(self.chain.sample().open[each] for each in others):
            raise LabError("another link than the broken one left the bypass")
        self.screen.event(f"{name} is back in the switch; the other {len(others)} links are not")
        self.explained = self._explain(link[0], False)
        time.sleep(0.5)
        self.end_segment()
        self.measure("one link broken", "one of ten links by the switch", 1.5)
        self.screen.heading("4. The rule goes, and the link returns")
        self.begin_segment()
        time.sleep(0.5)
        start = time.monotonic()
        self.chain.back_to_bypass([link])
        self.screen.event(f"controller: the rule is deleted; {name} left the switch again "
                          f"{time.monotonic() - start:.2f} s later")
        self._explain(link[0], True)
        time.sleep(0.5)
        self.end_segment()
        self.measure("bypass again", "by the bypass again", 1.5)

    def _explain(self, port, bypasses):
        """Shows what highwayctl says of a port; returns it."""
        said = self.chain.explain(port, bypasses)
        self.screen.event(f"highwayctl explain {port}")
        for line in said.splitlines():
            self.screen.line(" " * 10 + line)
        return said

    def storm(self):
        """Links go back and forth at random, under numbered traffic."""
        self.screen.heading("5. Links go back and forth at random, every packet numbered")
        before = self.chain.switchovers()
        self.begin_segment()
        rounds = 0
        while self.chain.switchovers() - before < STORM:
            links = self.random.sample(self.chain.links, self.random.randint(1, 4))
            self.chain.back_to_switch(links)
            time.sleep(self.random.uniform(0, 0.15))
            self.chain.back_to_bypass(links)
            time.sleep(self.random.uniform(0, 0.15))
            rounds += 1
        final = self.end_segment()
        self.screen.settle()
        self.screen.event(f"{self.chain.switchovers() - before} switch-overs in {rounds} rounds: "
                          f"sent {final['sent']:,}, received {final['received']:,}, "
                          + ", ".join(f"{key} {final[key]}" for key in ("duplicated", "reordered", "corrupted")))
