"""The best weights of large overlays: nodes shift what they ask away from overloaded peers.

An accelerated gradient method in which a node needs to know no more than how overloaded the
peers are that it may ask, and one number that all share. Prices, the overloads, prove a bound on
what any choice can reach, so every result comes with its distance from the optimum.
``docs/theory.md`` derives it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from dmoa.theory.checks import FloatArray
    from dmoa.theory.edges import Indices
    from dmoa.theory.program import Program

ROUNDS_MAX: Final = 2000
"""Rounds after which the best choice so far is returned, with the gap that is proven for it."""

_NEWTON_MAX: Final = 100
_ROUNDING: Final = 1e-9


class Balanced(NamedTuple):
    """Chances of the free edges (e,), the load of their bottleneck, and what none can go below."""

    chances: FloatArray
    filled_max: float
    bound: float
    rounds: int

    @property
    def gap(self) -> float:
        """The share of the largest load by which the optimum may be below it."""
        return max(1 - self.bound / self.filled_max, 0.0)


class _Rows(NamedTuple):
    """The free edges of each origin that has any, one row each, and how many of them it asks."""

    row: Indices
    starts: Indices
    asked: FloatArray

    @classmethod
    def of(cls, program: Program) -> _Rows:
        first = np.concatenate([[True], np.diff(program.origin) > 0])
        starts = np.flatnonzero(first)
        row = np.cumsum(first, dtype=program.origin.dtype) - 1
        return cls(row, starts, np.add.reduceat(program.uniform, starts))

    def sums(self, amounts: FloatArray) -> FloatArray:
        return np.add.reduceat(amounts, self.starts)


def balance(program: Program, gap: float, rounds_max: int = ROUNDS_MAX) -> Balanced:
    """Find chances whose bottleneck is proven to be within a gap of the optimum.

    Args:
        program: the choice, with at least one free edge.
        gap: share of the largest load by which the optimum may be below it.
        rounds_max: rounds after which it stops in any case.
    """
    rows = _Rows.of(program)
    fixed = program.base - program.received(program.work * program.uniform)
    reach = program.received(program.work) / program.slots
    # The curvature of each chance in the sum of squared overloads is at most its inverse.
    ease = 1 / (program.work * reach[program.server])
    chosen = before = best = program.uniform
    filled = filled_before = program.filled(chosen)
    # What no choice moves away, and what there is to do in all, divided evenly.
    even = np.ones(len(fixed))
    dearest = np.maximum.reduceat(program.work, rows.starts)
    bound = _bound(program, rows, fixed, even, program.work, dearest)
    bound, least = max(bound, float((fixed / program.slots).max())), float(filled.max())
    level, pace, rounds = np.zeros(len(rows.starts)), 1.0, 0
    while 1 - bound / least > gap and rounds < rounds_max:
        rounds += 1
        next_pace = (1 + math.sqrt(1 + 4 * pace * pace)) / 2
        pull = (pace - 1) / next_pace
        ahead = chosen + pull * (chosen - before)
        # Halfway into the gap: beneath the optimum prices prove it, above it loads come down.
        target = bound * (1 + gap / 2)
        price = np.maximum(filled + pull * (filled - filled_before) - target, 0)
        cost = program.work * price[program.server]
        found, level = _nearest(ahead - cost * ease, ease, rows, level)
        bound = max(bound, _bound(program, rows, fixed, price, cost, level))
        turned = float(np.dot((ahead - found) / ease, found - chosen)) > 0
        before, chosen, pace = chosen, found, 1.0 if turned else next_pace
        filled_before, filled = filled, program.filled(chosen)
        if filled.max() < least:
            least, best = float(filled.max()), chosen
    exact = program.exact_sums(best)
    return Balanced(exact, float(program.filled(exact).max()), bound, rounds)


def _nearest(
    wanted: FloatArray, ease: FloatArray, rows: _Rows, level: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Project onto what can be chosen: clip(wanted + level ease), rows adding up to what is asked.

    The level of each row is found by Newton's method within a bracket, from where it was before.
    """
    low = np.minimum.reduceat(-wanted / ease, rows.starts)
    high = np.maximum.reduceat((1 - wanted) / ease, rows.starts)
    level, chosen = np.clip(level, low, high), wanted
    for _ in range(_NEWTON_MAX):
        moved = wanted + level[rows.row] * ease
        chosen = np.clip(moved, 0.0, 1.0)
        missing = rows.asked - rows.sums(chosen)
        short, over = missing > _ROUNDING, missing < -_ROUNDING
        if not (short.any() or over.any()):
            break
        low, high = np.where(short, level, low), np.where(over, level, high)
        slope = rows.sums(np.where(chosen == moved, ease, 0.0))
        step = level + missing / np.where(slope > 0, slope, np.inf)
        inside = (step > low) & (step < high)
        level = np.where(short | over, np.where(inside, step, (low + high) / 2), level)
    return chosen, level


def _bound(
    program: Program,
    rows: _Rows,
    fixed: FloatArray,
    price: FloatArray,
    cost: FloatArray,
    level: FloatArray,
) -> float:
    """Bound the largest load from below by prices (n,), whatever they are (weak duality).

    For every choice, max_i load_i / slots_i is at least the mean of load_i / slots_i weighted by
    slots_i price_i. That mean is least where each origin takes its cheapest peers, which cost it
    at least asked · level - Σ max(level - cost, 0), whatever the level.
    """
    weight = float(np.dot(program.slots, price))
    if weight <= 0:
        return 0.0
    saved = rows.sums(np.maximum(level[rows.row] - cost, 0.0))
    cheapest = float(np.sum(rows.asked * level - saved))
    return (float(np.dot(price, fixed)) + cheapest) / weight
