"""From samples to numbers with intervals: medians, least squares, bootstrap over rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 1000
COVERAGE = 0.95


class Estimate(msgspec.Struct, frozen=True):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def relative_half_width(self) -> float:
        """Half of the interval by the value; infinite where the value is 0.

        >>> Estimate(2.0, 1.5, 2.5).relative_half_width
        0.25
        """
        half = (self.high - self.low) / 2
        return half / self.value if self.value > 0 else float("inf") if half else 0.0


def estimate(
    samples: Sequence[Array], statistic: Callable[[list[Array]], Array], seed: int
) -> list[Estimate]:
    """Compute statistics of rounds, with intervals by the bootstrap: whole rounds are redrawn.

    Args:
        samples: What each round measured; NaN is what it could not.
        statistic: Gives the numbers for some rounds.
        seed: Of the draws.

    >>> rounds = [np.array([value]) for value in (3.0, 4.0, 5.0)]
    >>> estimate(rounds, lambda some: np.median(some, axis=0), seed=1)
    [Estimate(value=4.0, low=3.0, high=5.0)]
    """
    values = statistic(list(samples))
    rng = np.random.default_rng(seed)
    draws = np.array(
        [
            statistic([samples[place] for place in rng.integers(len(samples), size=len(samples))])
            for _ in range(RESAMPLES)
        ]
    )
    tail = (1 - COVERAGE) / 2
    # A draw of rounds none of which measured a number tells nothing of it.
    low, high = np.nanquantile(draws, [tail, 1 - tail], axis=0)
    return [
        Estimate(float(value), float(below), float(above))
        for value, below, above in zip(values, low, high, strict=True)
    ]


def medians(samples: Sequence[Array]) -> Array:
    """Take the median over rounds of each number, of those rounds that measured it.

    >>> medians([np.array([1.0, np.nan]), np.array([3.0, np.nan]), np.array([9.0, np.nan])])
    array([ 3., nan])
    """
    table = np.array(samples)
    known = ~np.isnan(table).all(axis=0)
    found = np.full(table.shape[1], np.nan)
    found[known] = np.nanmedian(table[:, known], axis=0)
    return found


def fit_service(points: Array) -> Array:
    """Fit a, b and g of S = a + b·tokens_in + g·tokens_out, none of them negative.

    The sum of squares is that of relative errors: a long task's second weighs less than a short
    one's.

    Args:
        points: Tokens in, tokens out and S in seconds, ``(points, 3)``.

    Returns:
        a, b and g, in seconds, ``(3,)``.

    >>> points = np.array([[10, 5, 2.5], [100, 5, 7.0], [10, 50, 7.0]])
    >>> fit_service(points).round(9)
    array([1.5 , 0.05, 0.1 ])
    """
    from scipy.optimize import nnls  # takes long to import

    times_s = points[:, 2:]
    factors = np.column_stack([np.ones(len(points)), points[:, :2]]) / times_s
    found, _ = nnls(factors, np.ones(len(points)))
    return np.asarray(found, dtype=np.float64)


def relative_errors(points: Array, coefficients: Array) -> Array:
    """Tell by how much the fit misses each point, by the measured time, ``(points,)``.

    >>> relative_errors(np.array([[10.0, 5.0, 2.0]]), np.array([1.0, 0.1, 0.2]))
    array([0.5])
    """
    told = coefficients[0] + points[:, :2] @ coefficients[1:]
    return np.asarray(np.abs(told / points[:, 2] - 1), dtype=np.float64)
