"""What figures need to know of loads, beside what a `Bound` holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from dmoa.study.loads import capacity

if TYPE_CHECKING:
    from dmoa.scenario import Setup
    from dmoa.trace.meter import Floats

# Loads that differ by less are equal: rounding must not choose the bottleneck.
_TIE = 1e-9


def overlay_name(setup: Setup) -> str:
    """Give the overlay's name for a title: of a file, without its folder and ending."""
    return PurePath(setup.scenario.overlay.topology).stem


def saturation(setup: Setup, load: Sequence[float]) -> Floats:
    """Give each node's offered load by the load at which it saturates (n,); 1 is the limit.

    That is its slots, where each has a processor of its own.
    """
    filled: Floats = np.asarray(load, float) / capacity(setup)
    return filled


def bottlenecks(setup: Setup, load: Sequence[float]) -> list[int]:
    """Tell which nodes saturate first: one, or several that are equally loaded."""
    filled = saturation(setup, load)
    return np.flatnonzero(filled >= filled.max() * (1 - _TIE)).tolist()


def asked_hz(setup: Setup, node: int) -> float:
    """Give the rate Λ_i at which tasks reach a node, M (λ_i + Σ_j λ_j p_ji) + λ_i."""
    plan, own_hz = setup.scenario.plan, setup.arrival_rate_hz[node]
    gossip_hz = own_hz
    for origin, peers in enumerate(setup.peers):
        if node in peers:
            chance = (
                min(plan.proposers, len(peers)) / len(peers)
                if setup.inclusion is None
                else setup.inclusion[origin][peers.index(node)]
            )
            gossip_hz += setup.arrival_rate_hz[origin] * chance
    return plan.layers * gossip_hz + own_hz
