"""Statistics of simulated runs: intervals, warm-up, batch means, and when to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike

from dmoa.errors import ScenarioError
from dmoa.trace.meter import Floats, Track
from dmoa.trace.metrics import series
from dmoa.trace.totals import Totals

MSER_BATCH = 5
"""Values per batch in MSER-5."""

BATCHES = 32
"""Batches that `batch_means` starts from."""

BATCHES_MIN = 8
"""Fewest batches that still give an interval."""

WARM_UP_CELLS = 1000
"""Equal parts that a run is cut into to find its warm-up."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its confidence interval. Without an interval ``low`` and ``high`` are nan."""

    mean: float
    low: float
    high: float

    @property
    def relative_half_width(self) -> float:
        """Half the interval's width by the mean's size; infinite without an interval.

        >>> Estimate(10.0, 9.0, 11.0).relative_half_width
        0.1
        """
        if not isfinite(self.high - self.low):
            return inf
        half = (self.high - self.low) / 2
        return 0.0 if half == 0 else half / abs(self.mean) if self.mean else inf


def t_quantile(probability: float, degrees: int) -> float:
    """Give the quantile of Student's t distribution.

    >>> round(t_quantile(0.975, 9), 4)
    2.2622
    """
    # Imported here because scipy takes longer to import than most runs to start.
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def estimate(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Estimate a mean from independent replications, with Student's t interval.

    Args:
        values: one value per replication (r,). Those that are nan, because nothing happened
            that could be measured, are left out.
        confidence: the chance that the interval covers the mean, in (0, 1).

    Returns:
        The estimate; its interval is nan with fewer than two values, its mean with none.

    >>> estimate([1.0, 2.0, 3.0])
    Estimate(mean=2.0, low=-0.48413771175033027, high=4.48413771175033)
    """
    given = np.asarray(values, float)
    given = given[~np.isnan(given)]
    count = len(given)
    mean = float(given.mean()) if count else nan
    if count < 2:
        return Estimate(mean, nan, nan)
    half = t_quantile((1 + confidence) / 2, count - 1) * float(given.std(ddof=1)) / sqrt(count)
    return Estimate(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Truncation:
    """Where MSER-5 cuts: drop the first ``truncated`` values.

    ``stationary`` is false where the cut falls into the second half: no steady state was seen.
    """

    truncated: int
    stationary: bool


def mser5(values: ArrayLike) -> Truncation:
    """Find the warm-up of a series by MSER-5.

    The cut is where the standard error of the mean of the remaining batches of five is least,
    as if they were independent. It says where to cut and nothing about the mean's accuracy.

    Args:
        values: time averages over intervals of equal length, (g,), or one row per replication
            (r, g), which are averaged first. At least 50 intervals.

    Raises:
        ScenarioError: there are fewer than 50 intervals.

    Source: White, "An effective truncation heuristic for bias reduction in simulation output",
    Simulation 69, 1997; Spratt, 1998 (batches of five).

    >>> mser5([9, 8, 7, 6, 5] + [0, 1, 0, 1, 0] * 19)
    Truncation(truncated=5, stationary=True)
    """
    mean = np.atleast_2d(np.asarray(values, float)).mean(axis=0)
    count = len(mean) // MSER_BATCH
    if count < 10:
        raise ScenarioError("MSER-5 needs at least 50 values", given=len(mean))
    batches = mean[: count * MSER_BATCH].reshape(count, MSER_BATCH).mean(axis=1)
    batches = batches - batches.mean()
    # Sums over each tail; the last few batches alone would look accurate by chance.
    kept = np.arange(count, 0, -1)
    sums, squares = (np.cumsum(x[::-1])[::-1] for x in (batches, batches**2))
    errors = ((squares - sums**2 / kept) / kept**2)[: count - MSER_BATCH + 1]
    # The first of equals: rounding must not choose a cut in a series that repeats itself.
    cut = int(np.argmax(errors <= errors.min() + 1e-12 * errors[0]))
    return Truncation(cut * MSER_BATCH, cut <= count / 2)


def warm_up(tracks: Sequence[Track | Totals]) -> tuple[float, bool]:
    """Find the warm-up of replications of one run, in seconds, and whether it was found.

    MSER-5 on the number of unfinished prompts, averaged over the replications and the nodes, up
    to the end of the shortest. Where that is not stationary no window is better than the whole
    run, so the warm-up is 0. Of runs of which only totals are kept the warm-up is the first half.
    """
    totals = [track for track in tracks if isinstance(track, Totals)]
    if totals:
        stationary = mser5([one.unfinished for one in totals]).stationary
        return (totals[0].middle.time_s, True) if stationary else (0.0, False)
    grid_s = np.linspace(0, min(track.end_s for track in tracks), WARM_UP_CELLS + 1)
    cut = mser5(
        [series(track, "unfinished", grid_s) for track in tracks if isinstance(track, Track)]
    )
    return (float(grid_s[cut.truncated]), True) if cut.stationary else (0.0, False)


@dataclass(frozen=True)
class BatchMeans:
    """A mean from one long run. ``independent`` is false where its interval is too narrow."""

    estimate: Estimate
    batches: int
    lag1: float
    independent: bool


def batch_means(values: ArrayLike, confidence: float = 0.95) -> BatchMeans:
    """Estimate a mean inside one long run, after its warm-up, by batch means.

    From 32 batches, the number is halved while successive batch means are correlated: lag-1
    autocorrelation above 1.645/√batches (one-sided, 5 %). If even 8 batches are, the result is
    marked as not independent.

    Args:
        values: time averages over intervals of equal length (g,), at least 32. What does not
            fill the batches is left out at the front.
        confidence: the chance that the interval covers the mean, in (0, 1).

    Raises:
        ScenarioError: there are fewer than 32 intervals.

    Source: Law, "Simulation Modeling and Analysis", 5th edition, section 9.5.3.
    """
    given = np.asarray(values, float)
    if len(given) < BATCHES:
        raise ScenarioError(f"batch means need at least {BATCHES} values", given=len(given))
    batches = BATCHES
    while True:
        size = len(given) // batches
        means = given[len(given) - size * batches :].reshape(batches, size).mean(axis=1)
        lag1 = _lag1(means)
        independent = lag1 <= 1.645 / sqrt(batches)
        if independent or batches == BATCHES_MIN:
            return BatchMeans(estimate(means, confidence), batches, lag1, independent)
        batches //= 2


def _lag1(values: Floats) -> float:
    centred = values - values.mean()
    power = float(centred @ centred)
    return float(centred[:-1] @ centred[1:]) / power if power else 0.0
