# SPDX-License-Identifier: BSD-3-Clause
"""B. The life of a virtual machine: restarts, reboots, deaths and pauses."""
