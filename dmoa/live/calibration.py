"""How fast a model is on this machine, in the words of a scenario: `dmoa calibrate`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

import msgspec
import numpy as np

from dmoa.errors import ScenarioError
from dmoa.live import calibration_rounds as rounds_of
from dmoa.live.calibration_fit import Estimate, estimate, medians, relative_errors
from dmoa.live.calibration_host import Host
from dmoa.live.calibration_rounds import Hosted, Plan, Round
from dmoa.live.calibration_runs import Run, serve
from dmoa.live.cores import cores
from dmoa.live.engines import make_engine
from dmoa.live.engines.spec import EngineSpec

ROUNDS, ROUNDS_MIN = 5, 3
#: A number whose interval reaches further from it than this share of it is not to be relied on.
HALF_WIDTH_MAX = 0.15
#: Of the service time of the longest task; what a coefficient adds below this does not matter.
_SHARE_MIN = 0.05
_DIGITS = 4

Progress = Callable[[int, int], None]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a model is on this machine. Every estimate comes with its 95 % interval.

    Attributes:
        model: Its name.
        threads: How many threads compute; None where that is up to a server.
        slots: How many tasks it serves at once.
        rounds: How often everything was measured.
        base_s: a of S = a + b·tokens_in + g·tokens_out, the service time of a task alone, s.
        input_token_s: b, time to read a token, s.
        output_token_s: g, time to write a token, s.
        error: By how much that misses the measured times, by the time: the median of all points.
        error_max: The largest of them.
        known_tokens: How many tokens of any prompt need no reading, since all prompts begin with
            them: the chat template's beginning.
        tokens_per_s: Tokens written per second by one task alone.
        speedup: Tokens written per second by 1, 2, … tasks at once, by those of one alone.
        chunk_tokens: How many tokens of a prompt are read in one turn while others are written;
            None where that was not to be seen.
        cores: How many threads' worth of computing this machine gives at once; None if that was
            not measured.
        longest: Tokens in and out of the longest task that was measured.
    """

    model: str
    threads: int | None
    slots: int
    rounds: int
    base_s: Estimate
    input_token_s: Estimate
    output_token_s: Estimate
    error: float
    error_max: float
    known_tokens: int
    tokens_per_s: float
    speedup: tuple[Estimate, ...]
    chunk_tokens: int | None
    cores: Estimate | None
    longest: tuple[float, float]

    def wide(self) -> list[str]:
        """Name the numbers whose intervals are too wide to be relied on, with the intervals."""
        tokens_in, tokens_out = self.longest
        times_s = {
            "base_s": (self.base_s, 1.0),
            "input_token_s": (self.input_token_s, tokens_in),
            "output_token_s": (self.output_token_s, tokens_out),
        }
        whole_s = sum(each.value * factor for each, factor in times_s.values())
        judged = {
            name: each
            for name, (each, factor) in times_s.items()
            if max(each.value, (each.high - each.low) / 2) * factor > _SHARE_MIN * whole_s
        }
        judged |= {f"speedup at {n}": each for n, each in enumerate(self.speedup, 1)}
        if self.cores is not None:
            judged["cores"] = self.cores
        return [
            f"{name} {each.value:.3g} ({each.low:.3g} to {each.high:.3g})"
            for name, each in judged.items()
            if each.relative_half_width > HALF_WIDTH_MAX
        ]

    def scenario_values(self) -> dict[str, Any]:
        """Give what a scenario needs to be simulated at this speed, path by path."""
        values: dict[str, Any] = {
            "service.distribution": "tokens",
            "service.base_s": _rounded(self.base_s.value),
            "service.input_token_s": _rounded(self.input_token_s.value),
            "service.output_token_s": _rounded(self.output_token_s.value),
            "station.slots": self.slots,
            "station.speedup": [_rounded(each.value) for each in self.speedup],
            "station.reuse": True,
        }
        if self.chunk_tokens is not None:
            values["station.chunk_tokens"] = self.chunk_tokens
        if self.cores is not None:
            values["host.cores"] = _rounded(self.cores.value)
            values["host.threads"] = self.threads
        return values


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def calibrate(
    spec: EngineSpec,
    *,
    rounds: int = ROUNDS,
    host: bool = False,
    seed: int = 1,
    progress: Progress | None = None,
) -> Calibration:
    """Measure how fast an engine is on this machine; it takes minutes.

    Args:
        spec: The engine, with its model, slots and threads.
        rounds: How often everything is measured, 3 or more.
        host: Whether to measure too what this machine gives to as many such engines at once as it
            has cores for.
        seed: Of the prompts and of the intervals.
        progress: Called with the runs that are done and those that there will be.

    Raises:
        ScenarioError: The engine has no speed of its own, or what is configured does not exist.
        EngineError: It could not serve what it was asked.
    """
    if spec.kind == "scripted":
        raise ScenarioError(
            "the engine scripted has no speed of its own: its service_time_s is what it takes",
            path="engine",
            given=spec.kind,
            remedy="calibrate a node whose engine is llama or openai",
        )
    if spec.kind == "openai" and host:
        raise ScenarioError(
            "the engine openai computes elsewhere, so this machine's cores say nothing of it",
            path="--host",
            remedy="leave it out",
        )
    threads = spec.threads or cores() if spec.kind == "llama" else None
    count = 1 if threads is None or not host else max(1, cores() // threads)
    with ExitStack() as held:
        engine = held.enter_context(closing(make_engine(spec)))
        plan = Plan.of(slots=spec.slots, context_tokens=engine.context_tokens, host=count > 1)
        hosted = None
        if plan.host:
            alone = msgspec.structs.replace(spec, slots=1, cache_tokens=None, threads=threads)
            hosted = held.enter_context(Host(alone, count)).serve
        measured = _measured(
            plan, lambda requests: serve(engine, requests), rounds, seed, hosted, progress
        )
        model = engine.model
    found = conclude(plan, measured, model=model, threads=threads, seed=seed)
    if host and not plan.host and threads is not None:
        # One engine takes all cores, so this machine gives what one of them needs.
        whole = Estimate(float(threads), float(threads), float(threads))
        return msgspec.structs.replace(found, cores=whole)
    return found


def _measured(
    plan: Plan, run: Run, rounds: int, seed: int, hosted: Hosted | None, progress: Progress | None
) -> list[Round]:
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, rounds * plan.runs)

    return rounds_of.measure(plan, run, rounds=rounds, seed=seed, hosted=hosted, progress=step)


def conclude(
    plan: Plan, measured: list[Round], *, model: str, threads: int | None, seed: int
) -> Calibration:
    """Compute the numbers and their intervals from what the rounds measured."""
    rows = [each.row(plan) for each in measured]
    found = estimate(rows, rounds_of.statistic(plan), seed)
    points, _, _ = rounds_of.split(medians(rows), plan)
    coefficients = np.array([each.value for each in found[:3]])
    errors = relative_errors(points, coefficients)
    slots = plan.sizes[-1]
    speeds = [each.speeds_hz[0] for each in measured if each.speeds_hz[0] is not None]
    cores_found = None
    if plan.host:
        share, per = found[-1], float(threads or 1)
        cores_found = Estimate(share.value * per, share.low * per, share.high * per)
    return Calibration(
        model=model,
        threads=threads,
        slots=slots,
        rounds=len(measured),
        base_s=found[0],
        input_token_s=found[1],
        output_token_s=found[2],
        error=float(np.median(errors)),
        error_max=float(errors.max()),
        known_tokens=min(each.known_tokens or 0 for each in measured),
        tokens_per_s=float(np.median(speeds)),
        speedup=tuple(found[3 : 3 + slots]),
        chunk_tokens=rounds_of.chunks(measured, coefficients),
        cores=cores_found,
        longest=(float(points[-1, 0]), float(points[-1, 1])),
    )
