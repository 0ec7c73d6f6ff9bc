# SPDX-License-Identifier: BSD-3-Clause
"""System tests: the driver under stock Open vSwitch and DPDK applications."""
