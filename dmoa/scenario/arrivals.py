"""When prompts arrive at each node, and how long they are.

Interarrival number m of a node is the draw at position m of a stream of that node's own, so two
scenarios that share a seed and differ in other things have the same prompts at the same times.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate, count
from math import log

from dmoa.core.streams import derive, uniform
from dmoa.scenario.distributions import token_sampler
from dmoa.scenario.setup import Setup

#: Time, s; prompt tokens; mean tokens of each response to it, or -1 where no trace says so.
Arrival = tuple[float, int, int]

_NO_TRACE = -1


def arrivals(setup: Setup, key: int) -> list[Iterator[Arrival]]:
    """Make the prompts of each node, in order of time, lazily where they never end.

    - ``poisson``: exponential interarrival times of mean 1/λ_i.
    - ``deterministic``: exactly 1/λ_i apart; the first after a uniform part of that, so that the
      nodes do not tick together.
    - ``on-off``: phases of exponential length; Poisson at rate λ_i (on + off)/on while on, so
      that the mean rate is λ_i. A node starts in either phase as likely as it is in the long run.
    - ``burst``: exactly ``prompts`` prompts in all, Poisson at the total rate; each belongs to a
      node with a chance in proportion to its λ_i.
    - ``trace``: the recorded prompts, dealt to the nodes; it ends when the trace ends.

    Args:
        setup: The resolved scenario.
        key: Key of the replication.

    Returns:
        For each node, ``(n,)``, its arrivals ``(time_s, prompt_tokens, response_tokens)``.

    >>> from dmoa.scenario import from_dict, resolve
    >>> made = {"process": "burst", "prompts": 3}
    >>> sum(len(list(node)) for node in arrivals(resolve(from_dict({"arrivals": made})), key=1))
    3
    """
    process = setup.scenario.arrivals.process
    if process == "trace":
        return _trace(setup, key)
    length = token_sampler(setup.prompt_length())
    times = _burst(setup, key) if process == "burst" else _endless(setup, key)
    return [
        _with_lengths(own, length, derive(key, "prompt-tokens", node))
        for node, own in enumerate(times)
    ]


def _with_lengths(
    times: Iterator[float], length: Callable[[int, int], int], key: int
) -> Iterator[Arrival]:
    return ((time_s, length(key, number), _NO_TRACE) for number, time_s in enumerate(times))


def _endless(setup: Setup, key: int) -> list[Iterator[float]]:
    spec = setup.scenario.arrivals
    made: list[Iterator[float]] = []
    for node, rate_hz in enumerate(setup.arrival_rate_hz):
        own = derive(key, "arrival", node)
        if rate_hz == 0:
            made.append(iter(()))
        elif spec.process == "poisson":
            made.append(_poisson(own, rate_hz))
        elif spec.process == "deterministic":
            made.append(_regular(own, rate_hz))
        else:
            phases = derive(key, "phase", node)
            made.append(_on_off(own, phases, rate_hz, spec.on_s or 0.0, spec.off_s or 0.0))
    return made


def _poisson(key: int, rate_hz: float) -> Iterator[float]:
    return accumulate(-log(uniform(key, number)) / rate_hz for number in count())


def _regular(key: int, rate_hz: float) -> Iterator[float]:
    # A product, not a sum, so that the n-th arrival has no accumulated rounding.
    phase = uniform(key, 0)
    return ((phase + number) / rate_hz for number in count())


def _on_off(key: int, phase_key: int, rate_hz: float, on_s: float, off_s: float) -> Iterator[float]:
    """Run a Poisson process in the time spent in on-phases, and add the off-phases between."""
    share = on_s / (on_s + off_s)
    starts_on = uniform(phase_key, 0) < share
    lengths = (-log(uniform(phase_key, number)) for number in count(1))
    # The rest of an exponential phase that is under way is exponential too.
    off_total = 0.0 if starts_on else off_s * next(lengths)
    on_end = on_s * next(lengths)
    on_times = _poisson(key, rate_hz / share)
    while True:
        on_time = next(on_times)
        while on_time > on_end:
            off_total += off_s * next(lengths)
            on_end += on_s * next(lengths)
        yield on_time + off_total


def _burst(setup: Setup, key: int) -> list[Iterator[float]]:
    bounds = list(accumulate(setup.arrival_rate_hz))
    times: list[list[float]] = [[] for _ in bounds]
    own, origins = derive(key, "arrival"), derive(key, "origin")
    every = _poisson(own, bounds[-1])
    for number in range(setup.scenario.arrivals.prompts or 0):
        # The first bound above the place is never that of a node of rate 0.
        node = bisect_right(bounds, uniform(origins, number) * bounds[-1])
        times[node].append(next(every))
    return [iter(own_times) for own_times in times]


def _trace(setup: Setup, key: int) -> list[Iterator[Arrival]]:
    nodes = len(setup.names)
    dealt: list[list[Arrival]] = [[] for _ in range(nodes)]
    at_random = setup.scenario.arrivals.split == "random"
    own = derive(key, "split")
    for number, prompt in enumerate(setup.recorded):
        node = int(uniform(own, number) * nodes) if at_random else number % nodes
        # A text has at least one token, whatever was recorded.
        lengths = max(1, prompt.prompt_tokens), max(1, prompt.response_tokens)
        dealt[node].append((prompt.time_s, *lengths))
    return [iter(prompts) for prompts in dealt]
