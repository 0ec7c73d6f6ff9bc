# SPDX-License-Identifier: BSD-3-Clause
"""highwayd beside a private Open vSwitch."""

import json

from .process import DEADLINE, LabError, Process, run, wait_until


class Highwayd(Process):
    """The agent of the domains of 'ovs'; 'binary' is the program, 'arguments' are more words
    of its command line.  Sockets and pid file lie in the switch's own folder."""

    def __init__(self, lab, ovs, binary, name="highwayd", *, arguments=(), **options):
        self.ovs = ovs
        self.ctl = ovs.run / f"{name}.ctl"
        self.logfile = lab.folder / f"{name}-vlog.log"
        super().__init__(lab, name, [
            binary, ovs.db, f"--unixctl={self.ctl}", f"--pidfile={ovs.run}/{name}.pid",
            "-vconsole:off", f"--log-file={self.logfile}", *arguments,
        ], env=ovs.env, **options)

    def start(self, deadline_s=DEADLINE):
        """Starts it and returns when it answers."""
        super().start()
        wait_until(self.answers, deadline_s, f"{self.name} to answer", self.logfile, [self])
        return self

    def answers(self):
        if not self.ctl.exists():
            return False
        try:
            self.appctl("version", deadline_s=5)
        except (LabError, TimeoutError):
            return False
        return True

    def appctl(self, *words, deadline_s=DEADLINE):
        """What it answers to a command; LabError with its complaint."""
        return run(["ovs-appctl", "-t", self.ctl, *words], deadline_s, env=self.env)

    def ask(self, *words):
        """The JSON that it answers to a command."""
        return json.loads(self.appctl(*words, "--json"))

    def explain(self, port):
        return self.ask("explain", port)

    def ports(self):
        """{interface: what explain says}."""
        return {port["port"]: port for port in self.ask("ports")["ports"]}

    def links(self):
        """{(from, to): link}."""
        return {(link["from"], link["to"]): link for link in self.ask("links")["links"]}

    def bridges(self):
        return {bridge["name"]: bridge for bridge in self.ask("bridges")["bridges"]}

    def events(self, kind=None):
        return [event for event in self.ask("events")["events"] if kind in (None, event["kind"])]

    def wait_synced(self, bridge, deadline_s=DEADLINE):
        """Waits until it knows all rules of the bridge."""
        wait_until(lambda: self.bridges().get(bridge, {}).get("state") == "live", deadline_s,
                   f"bridge {bridge} to be followed", lambda: self.appctl("bridges"), [self])
