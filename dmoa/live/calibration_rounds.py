"""What a calibration measures in each of its rounds, and in which order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np

from dmoa.core.streams import derive, uniform
from dmoa.errors import EngineError, ScenarioError
from dmoa.live.calibration_fit import Array, fit_service, medians
from dmoa.live.calibration_runs import Request, Run, Timeline, chunk_tokens, speed_hz

#: Shares of the longest prompt, and lengths of the response, of the generations that run alone.
ALONE = ((1 / 24, 8), (1 / 24, 48), (1 / 3, 24), (1.0, 8), (1.0, 48))
READ_TOKENS_MAX, CONTEXT_TOKENS_MIN = 384, 256
#: Lengths of the prompts and responses that run together.
TOGETHER_WORDS, TOGETHER_TOKENS = 8, 32
#: So many tasks at once are measured; what lies between is interpolated.
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_CHUNKED_TOKENS, _CHUNKED_AFTER = 96, 4
_THINGS = """\
anchor barrel bridge candle captain castle copper corner desert diamond engine evening feather \
forest garden glacier hammer harbour island jacket journey kettle ladder lantern marble market \
meadow mirror mountain needle ocean orchard palace pepper picture pillow planet pocket quarry \
rabbit ribbon river saddle shadow silver spider spring stable station summer sunset table \
temple thunder timber tower turtle valley velvet village violin wagon window winter\
"""
_WORDS = _THINGS.split()


Hosted = Callable[[Request, bool], list[Timeline]]
"""Serves a request with one engine in a process of its own; if told so, with each at once."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a round consists of.

    Attributes:
        read_tokens: Length of the longest prompt, about.
        sizes: How many tasks at once are measured, from 1.
        host: Whether as many engines as this machine can take are measured too.
    """

    read_tokens: int
    sizes: tuple[int, ...]
    host: bool = False

    @classmethod
    def of(cls, *, slots: int, context_tokens: int, host: bool = False) -> Plan:
        """Plan a round for an engine.

        Raises:
            ScenarioError: Its context is too short to measure anything.

        >>> Plan.of(slots=5, context_tokens=4096).sizes
        (1, 2, 3, 4, 5)
        """
        if context_tokens < CONTEXT_TOKENS_MIN:
            raise ScenarioError(
                "too short to measure how long prompts of different lengths take",
                path="context_tokens",
                given=context_tokens,
                remedy=f"calibrate with at least {CONTEXT_TOKENS_MIN}",
            )
        sizes = sorted({*(size for size in SIZES if size < slots), slots})
        return cls(
            read_tokens=min(READ_TOKENS_MAX, context_tokens // 3), sizes=tuple(sizes), host=host
        )

    @property
    def runs(self) -> int:
        """How many runs a round has."""
        return len(ALONE) + len(self.sizes) + (self.sizes[-1] > 1) + 2 * self.host


class Round(msgspec.Struct, kw_only=True):
    """What one round measured.

    Attributes:
        alone: Tokens read, tokens written and seconds of each generation that ran alone.
        known_tokens: The fewest tokens of a prompt that needed no reading.
        speeds_hz: Tokens per second at each of the plan's sizes; None where it was not measured.
        chunked: The two generations of which one was written while the other's prompt was read.
        host_hz: Tokens per second of one engine alone, and of all at once.
    """

    alone: list[tuple[int, int, float]] = []
    known_tokens: int | None = None
    speeds_hz: list[float | None] = []
    chunked: tuple[Timeline, Timeline] | None = None
    host_hz: tuple[float | None, float | None] = (None, None)

    def row(self, plan: Plan) -> Array:
        """Write it as one row: the points, the speeds by that of one, the host's speed by one."""
        points = [value for point in self.alone for value in point]
        alone_hz, together_hz = self.host_hz
        one_hz = self.speeds_hz[0]
        speedups = [_ratio(speed_hz, one_hz) for speed_hz in self.speeds_hz]
        host = [_ratio(together_hz, alone_hz)] if plan.host else []
        return np.array([*points, *speedups, *host], dtype=np.float64)


def _ratio(one: float | None, other: float | None) -> float:
    return math.nan if one is None or not other else one / other


def split(row: Array, plan: Plan) -> tuple[Array, Array, float | None]:
    """Take a row apart: points ``(points, 3)``, speedups at the plan's sizes, the host's speed."""
    end = 3 * len(ALONE)
    points, speedups = row[:end].reshape(-1, 3), row[end : end + len(plan.sizes)]
    return points, speedups, float(row[-1]) if plan.host else None


def measure(
    plan: Plan,
    run: Run,
    *,
    rounds: int,
    seed: int,
    hosted: Hosted | None = None,
    progress: Callable[[], None] = lambda: None,
) -> list[Round]:
    """Measure round by round, so that whatever else the machine does meets all runs alike.

    Args:
        plan: What a round consists of.
        run: Serves requests at once with the engine.
        rounds: How many.
        seed: Of the prompts.
        hosted: Serves a request with one engine of those that share this machine, or with all of
            them at once; None: they are not measured.
        progress: Called after each run.

    Raises:
        EngineError: A run failed, or responses ended too early to measure anything.
    """
    prompts = _prompts(seed)
    found = []
    run([Request(prompt=prompts(TOGETHER_WORDS), tokens=4)])  # warms caches up
    for _ in range(rounds):
        current = Round(alone=[], speeds_hz=[])
        for share, tokens in ALONE:
            _measure_alone(current, run, prompts(round(share * plan.read_tokens)), tokens)
            progress()
        for size in plan.sizes:
            requests = [
                Request(prompt=prompts(TOGETHER_WORDS), tokens=TOGETHER_TOKENS) for _ in range(size)
            ]
            current.speeds_hz.append(speed_hz(run(requests)))
            progress()
        if plan.sizes[-1] > 1:
            current.chunked = _measure_chunked(run, prompts, plan.read_tokens)
            progress()
        if hosted is not None:
            current.host_hz = _measure_host(hosted, prompts, progress)
        found.append(current)
    _check_measured(plan, found)
    return found


def _measure_alone(current: Round, run: Run, prompt: str, tokens: int) -> None:
    (one,) = run([Request(prompt=prompt, tokens=tokens)])
    current.alone.append((one.read_tokens, one.tokens, one.ended_s - one.started_s))
    known = current.known_tokens
    current.known_tokens = one.known_tokens if known is None else min(known, one.known_tokens)


def _measure_chunked(
    run: Run, prompts: Callable[[int], str], read_tokens: int
) -> tuple[Timeline, Timeline]:
    writing, reading = run(
        [
            Request(prompt=prompts(TOGETHER_WORDS), tokens=_CHUNKED_TOKENS),
            Request(prompt=prompts(read_tokens), tokens=1, after=_CHUNKED_AFTER),
        ]
    )
    return writing, reading


def _measure_host(
    hosted: Hosted, prompts: Callable[[int], str], progress: Callable[[], None]
) -> tuple[float | None, float | None]:
    speeds = []
    for together in (False, True):
        request = Request(prompt=prompts(TOGETHER_WORDS), tokens=2 * TOGETHER_TOKENS)
        speeds.append(speed_hz(hosted(request, together)))
        progress()
    return speeds[0], speeds[1]


def chunks(rounds: Sequence[Round], coefficients: Array) -> int | None:
    """Tell the chunk in which prompts are read while others are written; None: not measured."""
    _, input_token_s, output_token_s = (float(value) for value in coefficients)
    found = [
        chunk
        for each in rounds
        if each.chunked is not None
        and (chunk := chunk_tokens(*each.chunked, input_token_s, output_token_s)) is not None
    ]
    return max(1, round(float(np.median(found)))) if found else None


def interpolated(plan: Plan, speedups: Array) -> Array:
    """Give the speedup of every number of tasks, from 1 to the slots, ``(slots,)``.

    >>> plan = Plan(read_tokens=384, sizes=(1, 2, 4))
    >>> interpolated(plan, np.array([1.0, 1.5, 2.5]))
    array([1. , 1.5, 2. , 2.5])
    """
    counts = np.arange(1, plan.sizes[-1] + 1)
    return np.interp(counts, plan.sizes, speedups)


def statistic(plan: Plan) -> Callable[[list[Array]], Array]:
    """Give what is computed of some rounds: a, b, g, all speedups, and the host's speed."""

    def compute(rows: list[Array]) -> Array:
        points, speedups, host = split(medians(rows), plan)
        found = [fit_service(points), interpolated(plan, speedups)]
        return np.concatenate([*found, [] if host is None else [host]])

    return compute


def _check_measured(plan: Plan, rounds: Sequence[Round]) -> None:
    """Refuse what most rounds could not measure."""
    table = np.array([each.row(plan) for each in rounds])
    if (np.isnan(table).mean(axis=0) > 0.5).any():
        raise EngineError(
            "the responses ended too early to time them: this model does not write on when it is"
            " asked to; calibrate another one"
        )


def _prompts(seed: int) -> Callable[[int], str]:
    """Make prompts of about so many tokens, each with a beginning of its own.

    An engine that keeps what it has read of earlier prompts would else not read them again.
    """
    key = derive(seed, "calibration")
    serials: Iterator[int] = iter(range(1, 1 << 40))

    def prompt(words: int) -> str:
        serial = next(serials)
        own = derive(key, serial)
        drawn = [_WORDS[int(uniform(own, place) * len(_WORDS))] for place in range(max(1, words))]
        return f"{' '.join(drawn)}. Write a very long story about all of this, number {serial}."

    return prompt
