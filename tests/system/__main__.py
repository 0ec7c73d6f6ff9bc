# SPDX-License-Identifier: BSD-3-Clause
"""`python3 -m tests.system`: see run.py."""

import sys

from .run import main

sys.exit(main(sys.argv[1:]))
