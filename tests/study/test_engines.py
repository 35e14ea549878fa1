"""Which engine runs a scenario, what it keeps, and what is said where the faster one cannot."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from dmoa.errors import ScenarioError
from dmoa.scenario import Setup, load
from dmoa.sim.compiled import coverage
from dmoa.study import engines, prepare, simulate
from dmoa.study.engines import COLUMNS_TASKS_MAX, COMPILED_TASKS_MIN, choose
from dmoa.trace import Totals

compiled = pytest.mark.skipif(coverage.trouble() is not None, reason=str(coverage.trouble()))
MANY = COMPILED_TASKS_MIN + 1.0


@pytest.fixture
def setup() -> Setup:
    return prepare(load("ring"))


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("dmoa.sim.compiled.")]:
        if not name.endswith("coverage"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numba", None)


@compiled
def test_auto_takes_the_compiled_engine_where_it_is_worth_it(setup: Setup) -> None:
    assert choose(setup, "auto", MANY) == ("compiled", None, False)
    assert choose(setup, "auto", COMPILED_TASKS_MIN - 1.0).engine == "simpy"


def test_auto_says_what_is_not_covered() -> None:
    setup = prepare(load("ring", {"plan.patience": 3.0}))
    choice = choose(setup, "auto", MANY)
    assert choice.engine == "simpy"
    assert choice.note == "the compiled engine does not cover plan.patience"


@pytest.mark.usefixtures("without_numba")
def test_without_numba_simpy_runs_and_a_note_says_how_to_get_it(setup: Setup) -> None:
    choice = choose(setup, "auto", MANY)
    assert choice.engine == "simpy"
    assert "numba is not installed; pip install 'dmoa[fast]'" in str(choice.note)


@pytest.mark.usefixtures("without_numba")
def test_without_numba_the_compiled_engine_is_refused(setup: Setup) -> None:
    with pytest.raises(ScenarioError, match=r"not there: numba is not installed") as caught:
        choose(setup, "compiled", MANY)
    assert "--engine simpy" in str(caught.value)


@pytest.mark.usefixtures("without_numba")
def test_without_numba_totals_are_refused(setup: Setup) -> None:
    with pytest.raises(ScenarioError, match=r"totals are kept by the compiled engine") as caught:
        choose(setup, "auto", MANY, totals=True)
    assert caught.value.path == "totals"


def test_a_platform_that_numba_does_not_know_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> Any:
        raise ImportError("Numba needs NumPy 9.9 or less")

    monkeypatch.setattr(importlib, "import_module", refuse)
    assert coverage.trouble() == "numba cannot be used here: Numba needs NumPy 9.9 or less"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("plan.layer_deadline_s", 2.0),
        ("plan.prompt_deadline_s", 9.0),
        ("plan.attempts", 3),
        ("plan.overlap", True),
        ("station.reuse", True),
        ("station.cache_tokens", 900),
        ("host", {"cores": 2, "threads": 1}),
    ],
)
def test_what_is_not_covered_is_refused_by_name(path: str, value: object) -> None:
    tokens = {"distribution": "tokens", "output_token_s": 0.01}
    setup = prepare(load("ring", {"plan.layers": 2, "service": tokens, path: value}))
    with pytest.raises(ScenarioError, match=r"does not cover this") as caught:
        choose(setup, "compiled", MANY)
    assert caught.value.path == path
    assert "--engine simpy" in str(caught.value)


def test_there_is_no_other_engine(setup: Setup) -> None:
    with pytest.raises(ScenarioError, match="must be one of auto, simpy, compiled"):
        choose(setup, "c", MANY)


@compiled
def test_totals_are_kept_where_columns_are_too_large(setup: Setup) -> None:
    choice = choose(setup, "auto", COLUMNS_TASKS_MAX + 1.0, totals=None)
    assert choice == ("compiled", engines.TOTALS, True)
    assert not choose(setup, "auto", COLUMNS_TASKS_MAX + 1.0, totals=False).totals


@pytest.mark.parametrize(
    ("values", "engine", "path"),
    [
        ({"arrivals": {"process": "burst", "prompts": 9}}, "auto", "arrivals.process"),
        ({}, "simpy", "engine"),
        ({"plan.overlap": True}, "auto", "plan.overlap"),
    ],
)
def test_totals_that_cannot_be_kept(values: dict[str, Any], engine: str, path: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        choose(prepare(load("ring", values)), engine, MANY, totals=True)
    assert caught.value.path == path


@compiled
def test_totals_agree_with_the_columns_of_the_same_window() -> None:
    made = load("scale-free", {"run.horizon_s": 4000.0, "run.replications": 4})
    totals, columns = (
        simulate(made, engine="compiled", totals=kept, workers=1) for kept in (True, False)
    )
    assert all(isinstance(one, Totals) for one in totals.kept)
    assert totals.digest is None
    assert totals.stationary
    assert totals.warmup_s == 2000.0
    assert totals.prompts == columns.prompts
    assert totals.verdict.status == columns.verdict.status
    for name in ("tasks_exponent", "prompts_exponent"):
        one, other = getattr(totals.verdict, name), getattr(columns.verdict, name)
        assert one.mean == pytest.approx(other.mean, rel=1e-9)
    slots = columns.setup.slots
    from dmoa.trace import measure

    expected = [measure(track, 2000.0, slots=slots).summary() for track in columns.tracks]
    for name, estimate in totals.summary.items():
        mean = sum(one[name] for one in expected) / len(expected)
        assert estimate.mean == pytest.approx(mean, rel=1e-9), name


@compiled
def test_a_figure_of_steps_needs_the_steps() -> None:
    made = load("ring", {"run.horizon_s": 500.0, "run.replications": 2})
    result = simulate(made, engine="compiled", totals=True, workers=1)
    with pytest.raises(ScenarioError, match="needs a run of which they were kept"):
        _ = result.tracks


@compiled
def test_the_user_hears_of_the_compilation_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from dmoa.sim.compiled import jit

    told: list[str] = []
    made = load("ring", {"run.horizon_s": 50.0, "run.replications": 1})
    monkeypatch.setattr(jit, "is_cached", lambda **_: False)
    simulate(made, engine="compiled", tell=told.append)
    monkeypatch.setattr(jit, "is_cached", lambda **_: True)
    simulate(made, engine="compiled", tell=told.append)
    assert told == [engines.COMPILING]
