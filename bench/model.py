# SPDX-License-Identifier: BSD-3-Clause
"""What a chain could carry if the VNFs' own share of the cores were all that counted.

A packet of a chain of N VNFs, source and sink inside, costs E seconds of CPU time in the
two VNFs at its ends (once sent, once received) and F in each of the N - 2 between them.
C cores that do nothing else carry

    X(N) = C / (E + (N - 2) F)

packets a second, both ways together.  E and F come from the measurement itself, from the
two shortest chains: X(2) gives E, and F is the rest of a packet's cost in the chain of
three (or the next that was measured).  Whatever a longer chain costs beyond that (caches,
scheduling, waiting) shows as a measured curve below the model's.
"""

CORES = 2


def fit(points, cores=CORES):
    """(E, F) in microseconds, of {chain length: Mpps}, or None if it has not two lengths."""
    lengths = sorted(points)
    if len(lengths) < 2 or lengths[0] != 2 or not all(points.values()):
        return None
    ends = cores / points[2]
    forward = (cores / points[lengths[1]] - ends) / (lengths[1] - 2)
    return ends, max(forward, 0.0)


def predict(points, cores=CORES):
    """{chain length: Mpps} by the model, for the lengths of 'points'."""
    costs = fit(points, cores)
    if not costs:
        return {}
    ends, forward = costs
    return {length: cores / (ends + (length - 2) * forward) for length in sorted(points)}
