"""The part of a scenario that says how fast a node is: its language model, queue and machine."""

from __future__ import annotations

from typing import Annotated, Literal

from dmoa.scenario.records import Section, meta

SLOTS_MAX = 1_000_000
CHUNK_TOKENS = 32
"""What ``station.chunk_tokens`` is where it is not given: what the engine ``llama`` reads."""


class Service(Section, frozen=True):
    """How long the language model takes for one task."""

    distribution: Annotated[
        Literal["exponential", "deterministic", "lognormal", "gamma", "empirical", "tokens"],
        meta("distribution of the service time S"),
    ] = "exponential"
    service_time_s: (
        Annotated[float, meta("mean service time of one task", "s", gt=0, le=1e9)] | None
    ) = None
    cv: Annotated[float, meta("standard deviation over mean", ge=0.01, le=100)] | None = None
    values: (
        Annotated[
            list[Annotated[float, meta("a service time", "s", gt=0, le=1e9)]],
            meta("measured service times, drawn with replacement", "s", max_length=1_000_000),
        ]
        | None
    ) = None
    file: (
        Annotated[str, meta("text file of measured service times, one a line", max_length=4096)]
        | None
    ) = None
    base_s: (
        Annotated[float, meta("a of S = a + b·tokens_in + g·tokens_out", "s", ge=0, le=1e9)] | None
    ) = None
    input_token_s: (
        Annotated[float, meta("b: time for each token read", "s/token", ge=0, le=1e9)] | None
    ) = None
    output_token_s: (
        Annotated[float, meta("g: time for each token written", "s/token", ge=0, le=1e9)] | None
    ) = None


class Station(Section, frozen=True):
    """The queue in front of each language model, and what the model makes of several tasks."""

    slots: Annotated[int, meta("tasks that a node serves at once", "tasks", ge=1, le=SLOTS_MAX)] = 1
    queue_max: (
        Annotated[
            int,
            meta(
                "waiting tasks beyond which a task is refused; absent: no bound",
                "tasks",
                ge=1,
                le=1_000_000_000,
            ),
        ]
        | None
    ) = None
    cache_tokens: (
        Annotated[
            int,
            meta(
                "tokens that all tasks in service may take together, each with its prompt and"
                " longest response; absent: no bound",
                "tokens",
                ge=1,
                le=1_000_000_000,
            ),
        ]
        | None
    ) = None
    speedup: (
        Annotated[
            list[Annotated[float, meta("a total speed", gt=0, le=1e6)]],
            meta(
                "total speed of writing with 1, 2, ... tasks in service, relative to one alone;"
                " absent: as many times as tasks",
                max_length=SLOTS_MAX,
            ),
        ]
        | None
    ) = None
    chunk_tokens: (
        Annotated[
            int,
            meta(
                "prompt tokens read in one turn while other tasks write; absent: 32",
                "tokens",
                ge=1,
                le=1_000_000,
            ),
        ]
        | None
    ) = None
    reuse: Annotated[
        bool,
        meta("whether a node does not read again the beginning of a prompt that it has read"),
    ] = False


class Host(Section, frozen=True):
    """The machine that several nodes share."""

    cores: Annotated[
        float, meta("threads' worth of computing that one machine gives", "cores", gt=0, le=1e6)
    ]
    threads: Annotated[
        int, meta("threads that a busy node computes with", "threads", ge=1, le=1_000_000)
    ] = 1


def total_speed(station: Station, tasks: int) -> float:
    """Give the total speed at which so many tasks are written at once, relative to one alone.

    >>> total_speed(Station(slots=2, speedup=[1.0, 1.4]), 2), total_speed(Station(slots=2), 2)
    (1.4, 2.0)
    """
    return float(tasks if station.speedup is None else station.speedup[tasks - 1])
