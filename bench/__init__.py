# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark: what is measured, in which variants, and what is made of it.

    bench.py     the command: plan, loop, progress
    rig.py       programs, cores, and whether a run was disturbed
    direct.py    one link: the variants of it
    chains.py    chains through Open vSwitch, by the bypass, and without a switch
    rule_clock.c a stop-watch: from a flow-mod to what the region shows
    figures/     one file per figure: what is measured, point by point
    results.py   runs on disk, medians, ratios
    model.py     the throughput that the VNFs' own share of the cores explains
    plots.py     gnuplot
    report.py    report.md
"""
