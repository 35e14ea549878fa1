"""Which engine runs a scenario: SimPy, or the compiled one where it covers it. Same traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from dmoa.errors import ScenarioError
from dmoa.scenario import Scenario, Setup, resolve
from dmoa.sim.compiled.coverage import INSTALL, objection, trouble

Wanted = Literal["auto", "simpy", "compiled"]
WANTED: tuple[str, ...] = get_args(Wanted)

COMPILED_TASKS_MIN = 20_000
"""Below this many expected tasks loading the compiled engine takes longer than the work."""


FINITE = ("burst", "trace")
"""Arrival processes that end: their runs are measured whole, without a warm-up."""

TOTALS = (
    "only totals were kept: no digest, no figures of single steps; of a stationary run the second"
    " half is measured"
)

COLUMNS_TASKS_MAX = 10_000_000
"""Above this many expected tasks, a gigabyte of columns, only totals are kept."""


COMPILING = "Compiling the engine: once, ten seconds or so; the next runs find it compiled."


class Choice(NamedTuple):
    """An engine, what is to be said of the choice, and whether only totals are kept."""

    engine: Literal["simpy", "compiled"]
    note: str | None = None
    totals: bool = False


def choose(setup: Setup, wanted: str, tasks: float, *, totals: bool | None = False) -> Choice:
    """Choose the engine, and what it keeps.

    Args:
        setup: the resolved scenario.
        wanted: ``simpy``, ``compiled``, or ``auto``: compiled where it is worth it.
        tasks: that the run will serve, about.
        totals: whether only totals shall be kept; None: if the columns were too large.

    Raises:
        ScenarioError: there is no such engine, or it cannot run this scenario.

    >>> from dmoa.scenario import load, resolve
    >>> choose(resolve(load("ring")), "auto", tasks=100).engine
    'simpy'
    """
    _check_name(wanted)
    if totals:
        return Choice("compiled", _totals(setup, wanted), totals=True)
    found = _engine(setup, wanted, tasks)
    endless = setup.scenario.arrivals.process not in FINITE
    if totals is None and found.engine == "compiled" and endless and tasks > COLUMNS_TASKS_MAX:
        return found._replace(totals=True, note=TOTALS)
    return found


def check_engine(wanted: str, scenario: Scenario) -> None:
    """Refuse an engine that is not there or does not cover a scenario, whatever its overlay.

    Raises:
        ScenarioError: as of `choose`, which needs the overlay too.

    >>> from dmoa.scenario import load
    >>> check_engine("auto", load("ring", ["plan.prompt_deadline_s=9"]))
    """
    _check_name(wanted)
    if wanted == "compiled":
        choose(replace(_any_setup(), scenario=scenario), wanted, tasks=0.0)


@cache
def _any_setup() -> Setup:
    return resolve(Scenario())


def _check_name(wanted: str) -> None:
    if wanted not in WANTED:
        raise ScenarioError(f"must be one of {', '.join(WANTED)}", path="engine", given=wanted)


def _totals(setup: Setup, wanted: str) -> str:
    """See that totals can be kept; give the note that says so.

    Raises:
        ScenarioError: they cannot.
    """
    if setup.scenario.arrivals.process in FINITE:
        raise ScenarioError(
            "totals are kept of prompts that go on for ever",
            path="arrivals.process",
            given=setup.scenario.arrivals.process,
            remedy="leave out --totals",
        )
    if wanted == "simpy":
        raise ScenarioError(
            "only the compiled engine keeps totals",
            path="engine",
            given=wanted,
            remedy="use --engine compiled, or leave out --totals",
        )
    problem = trouble()
    if problem is not None:
        raise ScenarioError(
            f"totals are kept by the compiled engine, and that is not there: {problem}",
            path="totals",
            given=True,
            remedy=f"{INSTALL}, or leave out --totals",
        )
    _engine(setup, "compiled", 0.0)
    return TOTALS


def _engine(setup: Setup, wanted: str, tasks: float) -> Choice:
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


def make_ready(choice: Choice, tell: Callable[[str], None] | None) -> None:
    """Have the engine compiled before the work is handed out, and tell whoever has to wait."""
    if choice.engine == "compiled":
        from dmoa.sim.compiled import jit  # numba is heavy, and may not be there

        if tell is not None and not jit.is_cached(totals=choice.totals):
            tell(COMPILING)
        load_kernel(totals=choice.totals)


@cache
def load_kernel(*, totals: bool) -> None:
    """Have the kernel in this process: one process of a machine compiles it, others wait for it."""
    from dmoa.sim.compiled import jit, run

    if jit.is_cached(totals=totals):
        run.compile_now(totals=totals)
        return
    with _alone(jit.cache_folder()):
        run.compile_now(totals=totals)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock beside a folder, where there can be one; it ends with the process."""
    with ExitStack() as stack:
        with suppress(ImportError, OSError):  # not on Windows; no folder that can be written
            import fcntl

            folder.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((folder.parent / f"{folder.name}.lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
