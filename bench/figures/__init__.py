# SPDX-License-Identifier: BSD-3-Clause
"""The figures, one a file.  Each has passes(rig, plan): what is to be done, as `Pass`
objects in the order of a round; all figures' passes of one round come before the next
round, so that variants are interleaved."""


class Pass:
    """A part of a figure that is set up once: 'figure' and 'point' name its runs, 'work'
    does them (it is given the Runs), 'round' is its turn, 'done' tells whether it is
    there already."""

    def __init__(self, title, round_, work, done, seconds):
        self.title, self.round, self.work, self.done, self.seconds = title, round_, work, done, seconds
