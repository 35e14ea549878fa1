"""Keyed draws, to the last bit those of `dmoa.core.streams` and `dmoa.scenario.distributions`.

Everything is scalar: vectorised logarithms differ from the C library's in the last place.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmoa.sim.compiled.jit import apart, inlined

DETERMINISTIC, EXPONENTIAL, LOGNORMAL, GAMMA, EMPIRICAL, BY_TOKENS = range(6)

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_27, _30, _31, _12 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(12)
_TO_UNIT = 2.0**-52
_STAGE_BITS, _SLOT_BITS = 10, 20


class Law(NamedTuple):
    """A distribution up to a scale that may differ from node to node.

    Attributes:
        kind: One of the constants of this module.
        spread: Of a lognormal law, the standard deviation of the logarithm.
        power: Of a gamma law, one by its shape; ``boosted`` if that is below 1.
        boosted: See above.
        d: Marsaglia and Tsang's d.
        c: Marsaglia and Tsang's c.
        values: Of an empirical law, in ascending order.
    """

    kind: int
    spread: float
    power: float
    boosted: bool
    d: float
    c: float
    values: NDArray[np.float64]


@inlined
def mix(value: np.uint64) -> np.uint64:
    """Scramble 64 bits (the finaliser of splitmix64)."""
    value = (value ^ (value >> _30)) * _FIRST
    value = (value ^ (value >> _27)) * _SECOND
    return value ^ (value >> _31)


@inlined
def uniform(key: np.uint64, position: int) -> float:
    """Draw from the open interval (0, 1)."""
    value = mix(key + np.uint64(position) * _GOLDEN)
    return (np.int64(value >> _12) + 0.5) * _TO_UNIT


@inlined
def task_position(prompt: int, stage: int, slot: int) -> int:
    """Give a task's place in the streams of its origin."""
    return ((prompt << _STAGE_BITS) | stage) << _SLOT_BITS | slot


@inlined
def polynomial(c: tuple[float, ...], r: float) -> float:
    """Evaluate a polynomial of degree 7 by Horner's rule, the highest coefficient first."""
    return (
        (((((c[0] * r + c[1]) * r + c[2]) * r + c[3]) * r + c[4]) * r + c[5]) * r + c[6]
    ) * r + c[7]


_CENTRE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
     4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
     1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4,
     2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2,
     4.2313330701600911252e1, 1.0),
)  # fmt: skip
_MIDDLE = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
     1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0,
     4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
     1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
     2.05319162663775882187e0, 1.0),
)  # fmt: skip
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
     2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0,
     5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
     7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
     5.99832206555887937690e-1, 1.0),
)  # fmt: skip


@apart
def normal_quantile(p: float) -> float:
    """Invert the standard normal distribution function.

    Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied
    Statistics 37 (1988), as `statistics.NormalDist.inv_cdf` has it.
    """
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return 0.0 + polynomial(_CENTRE[0], r) * q / polynomial(_CENTRE[1], r) * 1.0
    r = sqrt(-log(p if q <= 0.0 else 1.0 - p))
    if r <= 5.0:
        r = r - 1.6
        x = polynomial(_MIDDLE[0], r) / polynomial(_MIDDLE[1], r)
    else:
        r = r - 5.0
        x = polynomial(_TAIL[0], r) / polynomial(_TAIL[1], r)
    return -x if q < 0.0 else x


@apart
def gamma(law: Law, key: np.uint64, position: int) -> tuple[float, np.uint64, int]:
    """Draw from a gamma law (Marsaglia and Tsang 2000); give the cube, its stream and the place."""
    stream = mix(mix(key + _GOLDEN) + np.uint64(position) * _GOLDEN)
    place = 0
    while True:
        normal = normal_quantile(uniform(stream, place + 1))
        cube = (1 + law.c * normal) ** 3.0
        accept = log(uniform(stream, place + 2))
        place += 2
        if cube > 0 and accept < normal * normal / 2 + law.d * (1 - cube + log(cube)):
            break
    return cube, stream, place


@inlined
def draw(law: Law, scale: float, key: np.uint64, position: int) -> float:
    """Draw a value.

    Args:
        law: The distribution.
        scale: Its mean; of a lognormal law the mean of the logarithm, of a gamma law its scale, of
            an empirical one the factor.
        key: Of the stream.
        position: In it.
    """
    if law.kind == EXPONENTIAL:
        return -scale * log(uniform(key, position))
    if law.kind == DETERMINISTIC:
        return scale
    return draw_other(law, scale, key, position)


@apart
def draw_other(law: Law, scale: float, key: np.uint64, position: int) -> float:
    """Draw a value of a law that takes longer."""
    if law.kind == LOGNORMAL:
        return exp(scale + law.spread * normal_quantile(uniform(key, position)))
    if law.kind == EMPIRICAL:
        return scale * law.values[int(uniform(key, position) * len(law.values))]
    cube, stream, place = gamma(law, key, position)
    value = law.d * cube * scale
    return value * uniform(stream, place + 1) ** law.power if law.boosted else value


@apart
def draw_tokens(law: Law, scale: float, key: np.uint64, position: int) -> int:
    """Draw a length: rounded, half to even, to at least 1 token."""
    return max(1, int(np.rint(draw(law, scale, key, position))))
