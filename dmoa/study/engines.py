"""Which engine runs a scenario: SimPy, or the compiled one where it covers it. Same traces."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from dmoa.errors import ScenarioError
from dmoa.scenario import Setup
from dmoa.sim.compiled.coverage import INSTALL, objection, trouble

Wanted = Literal["auto", "simpy", "compiled"]
WANTED: tuple[str, ...] = get_args(Wanted)

COMPILED_TASKS_MIN = 20_000
"""Below this many expected tasks loading the compiled engine takes longer than the work."""


class Choice(NamedTuple):
    """The engine that runs a scenario, and why not the faster one, where that was asked for."""

    engine: Literal["simpy", "compiled"]
    note: str | None = None


def choose(setup: Setup, wanted: str, tasks: float) -> Choice:
    """Choose the engine.

    Args:
        setup: the resolved scenario.
        wanted: ``simpy``, ``compiled``, or ``auto``: compiled where it is worth it.
        tasks: that the run will serve, about.

    Raises:
        ScenarioError: there is no such engine, or it cannot run this scenario.

    >>> from dmoa.scenario import load, resolve
    >>> choose(resolve(load("ring")), "auto", tasks=100).engine
    'simpy'
    """
    if wanted not in WANTED:
        raise ScenarioError(f"must be one of {', '.join(WANTED)}", path="engine", given=wanted)
    if wanted == "simpy" or (wanted == "auto" and tasks < COMPILED_TASKS_MIN):
        return Choice("simpy")
    uncovered = objection(setup)
    if uncovered is not None:
        if wanted == "compiled":
            raise ScenarioError(
                "the compiled engine does not cover this",
                path=uncovered,
                remedy="use the other engine: --engine simpy",
            )
        return Choice("simpy", f"the compiled engine does not cover {uncovered}")
    problem = trouble()
    if problem is None:
        return Choice("compiled")
    if wanted == "compiled":
        raise ScenarioError(
            f"the compiled engine is not there: {problem}",
            path="engine",
            given=wanted,
            remedy=f"{INSTALL}, or use --engine simpy",
        )
    return Choice("simpy", f"{problem}; {INSTALL} makes this many times as fast")
