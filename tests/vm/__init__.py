# SPDX-License-Identifier: BSD-3-Clause
"""Tests with virtual machines: `python3 -m tests.vm --build BUILD`."""
