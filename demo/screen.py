# SPDX-License-Identifier: BSD-3-Clause
"""What the demo shows: headings, events, and a live table of the links.

On a terminal the table is redrawn in place, about once a second.  Otherwise (a pipe,
a log) a table is printed once, at the end of each phase.
"""

import os
import sys
import threading
import time

from chain import busy_share

WIDTH = 96
_COLOURS = {"green": "32", "yellow": "33", "red": "31", "bold": "1", "dim": "2"}


class Screen:
    """Writes to 'out'; may be used by several threads."""

    def __init__(self, out=None):
        self.out = out or sys.stdout
        self.tty = self.out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._colour = self.tty and "NO_COLOR" not in os.environ
        self._lock = threading.Lock()
        self._live = []  # lines of the table, of which '_drawn' are on the terminal now
        self._drawn = 0
        self._start = time.monotonic()

    def paint(self, colour, text):
        """'text' in a colour, if that can be shown."""
        return f"\033[{_COLOURS[colour]}m{text}\033[0m" if self._colour and colour else text

    def line(self, text=""):
        """A line that stays, above the table."""
        with self._lock:
            self._erase()
            self.out.write(text + "\n")
            self._draw()

    def event(self, text):
        """A line that tells what happens, with the time since the start."""
        self.line(f"{time.monotonic() - self._start:6.1f} s  {text}")

    def heading(self, text):
        """The title of a phase."""
        self.line()
        self.line(self.paint("bold", f"== {text} " + "=" * max(0, WIDTH - len(text) - 4)))

    def table(self, lines):
        """Shows the table anew (or keeps it, where nothing can be redrawn)."""
        with self._lock:
            self._erase()
            self._live = lines
            self._draw()

    def settle(self):
        """The table as it is now stays; the next one begins below."""
        with self._lock:
            self._erase()
            for line in self._live:
                self.out.write(line + "\n")
            self._live = []
            self.out.flush()

    def _erase(self):
        if self._drawn:
            self.out.write(f"\033[{self._drawn}A\033[J")
            self._drawn = 0

    def _draw(self):
        if self.tty:
            # No line may wrap, or the next redraw would begin too low.
            room = os.get_terminal_size(self.out.fileno()).lines - 1
            for line in self._live[:room]:
                self.out.write("\033[?7l" + line + "\033[?7h\n")
            self._drawn = min(len(self._live), room)
        self.out.flush()


class Monitor(threading.Thread):
    """Looks at the chain about once a second and draws the table.

    A link's own latency is the mean number of packets in the rings between X and Y
    over the rate of the link (Little's law).
    """

    def __init__(self, chain, screen, interval_s=1.0):
        super().__init__(daemon=True)
        self.chain = chain
        self.screen = screen
        self.interval_s = interval_s
        self.note = list  # lines below the table, by whoever runs the phase
        self.error = None
        self._wake = threading.Event()
        self._off = False
        self.name = "monitor"

    def stop(self):
        """Ends it; returns when it has looked for the last time."""
        self._off = True
        self._wake.set()
        if self.is_alive():
            self.join()

    def run(self):
        before, cycles = self.chain.sample(), self.chain.switch_cycles()
        while not self._wake.wait(self.interval_s):
            try:
                flight = self._in_flight()
                now, now_cycles = self.chain.sample(), self.chain.switch_cycles()
                rules = self.chain.controller.rules()
                if not self._off:
                    self.screen.table(self._lines(before, now, flight, busy_share(cycles, now_cycles), rules))
                before, cycles = now, now_cycles
            except Exception as error:  # The phases go on without a table; it is told at the end.
                self.error = error
                return

    def _in_flight(self, rounds=32, pause_s=0.003):
        """{link: mean number of packets between X and Y} over about a tenth of a second."""
        sums = dict.fromkeys(self.chain.links, 0)
        for _ in range(rounds):
            for link, packets in self.chain.region.in_flight(self.chain.links).items():
                sums[link] += packets
            time.sleep(pause_s)
        return {link: total / rounds for link, total in sums.items()}

    def _lines(self, before, now, flight, busy, rules):
        seconds = now.time_s - before.time_s
        lines = [self.screen.paint("dim", f"{'link':11} {'path':7} {'Mpps':>7} {'latency':>9}  │ "
                                          f"{'rule (ovs-ofctl dump-flows)':40} {'n_packets':>13}")]
        for link in self.chain.links:
            rate = (now.sent[link] - before.sent[link]) / seconds
            by_link = (now.bypassed[link] - before.bypassed[link]) / seconds
            if now.open[link]:
                path, colour = "bypass", "green"
            elif by_link > 0:
                path, colour = "bypass", "yellow"  # It has just changed.
            else:
                path, colour = "switch", "yellow"
            latency = _micros(flight[link] / rate * 1e6) if rate > 100 else "-"
            lines.append(f"{self.chain.link_name(link):11} {self.screen.paint(colour, f'{path:7}')} "
                         f"{rate / 1e6:7.3f} {latency:>9}  │ {_rule(rules[link])}")
        share = self.screen.paint("red" if busy > 0.5 else "green", f"{100 * busy:3.0f} %")
        lines.append(f"switch core busy {share}   switch-overs so far {self.chain.switchovers()}")
        return [*lines, *self.note()]


def _rule(rules):
    if not rules:
        return f"{'-':40}"
    first = rules[0]
    text = f"{first['match']} actions={first['actions']}"
    return f"{text[:40]:40} {sum(rule['n_packets'] for rule in rules):13,}"


def _micros(value):
    if value < 1:
        return "< 1 us"
    return f"{value:.0f} us" if value < 10000 else f"{value / 1000:.0f} ms"
