# SPDX-License-Identifier: BSD-3-Clause
"""How much is measured: full, quick (no IMIX and 1518-byte chains, three runs each), smoke (does it run?)."""

from dataclasses import asdict, dataclass, field


@dataclass
class Plan:
    mode: str = "full"
    seconds: float = 0.3
    tries: int = 4
    direct_rounds: int = 2
    direct_turns: int = 12
    direct_sizes: tuple = (64, 1518)
    chain_runs: int = 3
    chain_passes: list = field(default_factory=list)
    latency_rate: int = 150_000
    sleep_lengths: tuple = (2, 8)
    ndr_rounds: int = 2
    ndr_lengths: tuple = (2, 8)
    ndr_steps: int = 6
    ndr_seconds: float = 0.2
    setups: int = 100
    setups_driver: int = 20
    steps_rounds: int = 6
    growth_rounds: int = 6
    growth: dict = field(default_factory=dict)

    def settings(self):
        """What must be equal for an interrupted bench to go on."""
        return {key: value for key, value in asdict(self).items() if key != "chain_passes"} | {
            "chain_passes": [list(map(str, each)) for each in self.chain_passes]}


GROWTH = {"ports": (2, 16, 64), "classes": (1, 16, 64), "links": (1, 4, 8), "region_mib": (16, 64, 256)}


def full():
    """About 25 minutes.  What the ratios are made of has 12 runs, in 4 rounds (one link: 24 turns), the rest 6 in 2."""
    passes = []
    for number in range(4):
        passes.append((number, "inside", 64, (2, 4, 6, 8)))
        if number < 2:
            passes.append((number, "outside", 64, (2, 4, 8)))
            passes += [(number, "inside", size, (2, 8)) for size in ("imix", 1518)]
    return Plan(chain_passes=passes, growth=GROWTH)


def quick():
    passes = [(0, "inside", 64, (2, 8)), (0, "outside", 64, (4,))]
    return Plan("quick", seconds=0.2, tries=2, direct_rounds=1, direct_turns=3, chain_runs=3, chain_passes=passes,
                sleep_lengths=(8,), ndr_rounds=1, ndr_lengths=(8,), ndr_steps=5, ndr_seconds=0.2,
                setups=10, setups_driver=5, steps_rounds=3, growth_rounds=3,
                growth={key: (values[0], values[-1]) for key, values in GROWTH.items()})


def smoke():
    passes = [(0, "inside", 64, (3,)), (0, "outside", 64, (2,))]
    return Plan("smoke", seconds=0.1, tries=1, direct_rounds=1, direct_turns=1, chain_runs=1, chain_passes=passes,
                sleep_lengths=(3,), ndr_rounds=1, ndr_lengths=(2, 3), ndr_steps=2, ndr_seconds=0.1,
                setups=2, setups_driver=1, steps_rounds=1, growth_rounds=1,
                growth={key: (values[0], values[-1]) for key, values in GROWTH.items()})


MODES = {"full": full, "quick": quick, "smoke": smoke}
