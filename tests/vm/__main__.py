# SPDX-License-Identifier: BSD-3-Clause
"""`python3 -m tests.vm`: see tests/system/run.py."""

import sys

from tests.system.run import main

from .kit import VmTest

MODULES = ("a_traffic", "b_life", "c_memory", "d_agent", "e_hotplug", "f_container", "g_chain", "h_lives",
           "i_controller")

sys.exit(main(sys.argv[1:], "tests.vm", MODULES, VmTest))
