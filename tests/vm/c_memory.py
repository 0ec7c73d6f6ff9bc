# SPDX-License-Identifier: BSD-3-Clause
"""C. What a virtual machine can reach of other ones' memory."""
