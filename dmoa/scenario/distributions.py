"""Distributions of service times, link delays and lengths, drawn by keyed streams.

A draw depends on its key and position alone. All but the gamma distribution invert one uniform
draw, so two scenarios that share a key see monotonically related values (common random numbers).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log, log1p, sqrt
from statistics import NormalDist

from dmoa.core.streams import Stream, derive, uniform

#: Draws the value of a key at a position.
Sampler = Callable[[int, int], float]

_normal = NormalDist().inv_cdf


class Distribution(ABC):
    """A distribution of values >= 0 with its exact first two moments."""

    @property
    @abstractmethod
    def mean(self) -> float:
        """Mean E[S]."""

    @property
    @abstractmethod
    def second_moment(self) -> float:
        """Second moment E[S²], as Pollaczek and Khinchine's formula needs it."""

    @abstractmethod
    def sampler(self) -> Sampler:
        """Make the function ``(key, position) -> value``, for the hot path."""

    def sample(self, key: int, position: int) -> float:
        """Draw the value of a key at a position."""
        return self.sampler()(key, position)


@dataclass(frozen=True)
class Deterministic(Distribution):
    """Always the mean.

    >>> Deterministic(2.0).sample(key=1, position=0)
    2.0
    """

    mean: float = 1.0

    @property
    def second_moment(self) -> float:
        """E[S²] = E[S]²."""
        return self.mean * self.mean

    def sampler(self) -> Sampler:
        """Make the function ``(key, position) -> value``."""
        mean = self.mean
        return lambda _key, _position: mean


@dataclass(frozen=True)
class Exponential(Distribution):
    """Exponential, by inversion of one draw.

    >>> Exponential(2.0).second_moment
    8.0
    """

    mean: float = 1.0

    @property
    def second_moment(self) -> float:
        """E[S²] = 2 E[S]²."""
        return 2 * self.mean * self.mean

    def sampler(self) -> Sampler:
        """Make the function ``(key, position) -> value``."""
        scale = -self.mean
        return lambda key, position: scale * log(uniform(key, position))


@dataclass(frozen=True)
class Lognormal(Distribution):
    """Lognormal with a coefficient of variation, by inversion of one draw.

    >>> round(Lognormal(2.0, cv=0.5).second_moment, 12)
    5.0
    """

    mean: float = 1.0
    cv: float = 1.0

    @property
    def second_moment(self) -> float:
        """E[S²] = E[S]² (1 + cv²)."""
        return self.mean * self.mean * (1 + self.cv * self.cv)

    def sampler(self) -> Sampler:
        """Make the function ``(key, position) -> value``."""
        variance = log1p(self.cv * self.cv)
        location, scale = log(self.mean) - variance / 2, sqrt(variance)
        return lambda key, position: exp(location + scale * _normal(uniform(key, position)))


@dataclass(frozen=True)
class Gamma(Distribution):
    """Gamma with a coefficient of variation; each value has a stream of its own.

    Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000):
    rejection from a cubed normal for shapes of at least 1, and the power of one more draw below.

    >>> round(Gamma(2.0, cv=0.5).second_moment, 12)
    5.0
    """

    mean: float = 1.0
    cv: float = 1.0

    @property
    def second_moment(self) -> float:
        """E[S²] = E[S]² (1 + cv²)."""
        return self.mean * self.mean * (1 + self.cv * self.cv)

    def sampler(self) -> Sampler:
        """Make the function ``(key, position) -> value``."""
        shape = 1 / (self.cv * self.cv)
        scale = self.mean / shape
        boosted = shape < 1
        d = shape + 1 - 1 / 3 if boosted else shape - 1 / 3
        c = 1 / sqrt(9 * d)

        def draw(key: int, position: int) -> float:
            stream = Stream(derive(key, position))
            while True:
                normal = _normal(stream.uniform())
                cube = (1 + c * normal) ** 3
                accept = log(stream.uniform())
                if cube > 0 and accept < normal * normal / 2 + d * (1 - cube + log(cube)):
                    break
            value = d * cube * scale
            return value * stream.uniform() ** (1 / shape) if boosted else value

        return draw


@dataclass(frozen=True)
class Empirical(Distribution):
    """Measured values, each equally likely, times a factor.

    >>> Empirical((1.0, 3.0)).mean, Empirical((1.0, 3.0), factor=2.0).second_moment
    (2.0, 20.0)
    """

    values: tuple[float, ...]
    factor: float = 1.0

    @property
    def mean(self) -> float:
        """E[S], the mean of the values times the factor."""
        return self.factor * sum(self.values) / len(self.values)

    @property
    def second_moment(self) -> float:
        """E[S²], the mean of the squares times the squared factor."""
        return self.factor**2 * sum(value * value for value in self.values) / len(self.values)

    def sampler(self) -> Sampler:
        """Make the function ``(key, position) -> value``."""
        values = sorted(self.factor * value for value in self.values)
        count = len(values)
        return lambda key, position: values[int(uniform(key, position) * count)]


def spread(distribution: str, mean: float, cv: float | None) -> Distribution:
    """Make the distribution that a section of a scenario names, with its mean.

    Args:
        distribution: deterministic, exponential, lognormal or gamma.
        mean: Mean >= 0; with mean 0 the value is always 0.
        cv: Standard deviation over mean, for lognormal and gamma.

    >>> spread("gamma", 45.0, 0.5)
    Gamma(mean=45.0, cv=0.5)
    """
    if mean == 0 or distribution == "deterministic":
        return Deterministic(mean)
    if distribution == "exponential":
        return Exponential(mean)
    kind = Lognormal if distribution == "lognormal" else Gamma
    return kind(mean, 1.0 if cv is None else cv)


def token_sampler(distribution: Distribution) -> Callable[[int, int], int]:
    """Make the function ``(key, position) -> tokens``: a length rounded to at least 1 token.

    >>> token_sampler(Deterministic(99.6))(1, 0)
    100
    """
    draw = distribution.sampler()
    return lambda key, position: max(1, round(draw(key, position)))
