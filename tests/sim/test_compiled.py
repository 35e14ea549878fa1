"""The compiled engine takes the very steps of SimPy's: the same digests, columns and estimates."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings

from dmoa.errors import ScenarioError
from dmoa.scenario import Setup, load
from dmoa.sim.compiled.coverage import objection, trouble
from dmoa.study import SimulationResult, prepare, simulate
from dmoa.trace import Track
from tests.sim.drawn import scenarios
from tests.sim.kinds import KINDS, karate, kind

pytestmark = pytest.mark.skipif(trouble() is not None, reason=str(trouble()))

COVERED = [name for name in KINDS if objection(kind(name)) is None]
PRESETS = (
    "complete", "grid", "office-day", "paper-table-1", "paper-table-2", "ring", "scale-free",
    "star", "tokens",
)  # fmt: skip


def both(setup: Setup) -> tuple[SimulationResult, SimulationResult]:
    reference, compiled = (
        simulate(setup, engine=engine, workers=1) for engine in ("simpy", "compiled")
    )
    return reference, compiled


def same_columns(one: Any, other: Any) -> None:
    for field in fields(one):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype, field.name
            np.testing.assert_array_equal(mine, theirs, err_msg=field.name)
        elif hasattr(mine, "__dataclass_fields__"):
            same_columns(mine, theirs)
        else:
            assert mine == theirs, field.name


def assert_same(reference: SimulationResult, compiled: SimulationResult) -> None:
    assert compiled.engine == "compiled"
    assert compiled.digest == reference.digest
    for one, other in zip(reference.tracks, compiled.tracks, strict=True):
        assert isinstance(one, Track)
        same_columns(one, other)
    ours, theirs = (result.to_dict() for result in (compiled, reference))
    for result in (ours, theirs):
        del result["engine"]
    # Written out, since nan is not equal to itself.
    assert str(ours) == str(theirs)


@pytest.mark.parametrize("name", COVERED)
def test_every_kind(name: str) -> None:
    assert_same(*both(kind(name)))


def test_long_names() -> None:
    graph = nx.relabel_nodes(nx.complete_graph(12), lambda number: "n" * 400 + str(number))
    values = {"plan.layers": 2, "plan.proposers": 9, "run.horizon_s": 60, "run.replications": 2}
    assert_same(*both(prepare(load("ring", values), graph)))


def test_a_graph_and_weights_by_hand() -> None:
    assert_same(*both(karate()))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset(preset: str, tmp_path: Path) -> None:
    recording = tmp_path / "recording.csv"
    lines = [f"2026-01-01 00:00:{n % 60:02}.{n * 7 % 10},{n % 90},{n * 3 % 50}" for n in range(60)]
    recording.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "\n".join(sorted(lines)))
    recorded = {"arrivals.file": str(recording)} if preset == "office-day" else {}
    horizon_s = min(prepare(load(preset, recorded)).horizon_s, 300.0)
    short = {"run.horizon_s": horizon_s, "run.replications": 2}
    assert_same(*both(prepare(load(preset, {**recorded, **short}))))


@settings(
    max_examples=250,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(scenarios())
def test_drawn_scenarios(drawn: dict[str, Any]) -> None:
    try:
        setup = prepare(load("ring", drawn))
    except ScenarioError:
        reject()
    if objection(setup) is not None:
        reject()
    assert_same(*both(setup))


def test_the_kernel_is_compiled_once_for_columns_and_once_for_totals() -> None:
    from dmoa.sim.compiled.loop import run

    for name in ("ring", "slots that share a processor", "delay"):
        for totals in (False, True):
            simulate(kind(name), engine="compiled", workers=1, totals=totals)
    simulate(kind("burst"), engine="compiled", workers=1)
    dispatcher: Any = run
    assert len(dispatcher.signatures) == 2


def test_the_kernel_that_is_not_compiled_does_the_same() -> None:
    names = [name for name in COVERED if name != "burst"]
    code = (
        "from dmoa.study import simulate\nfrom tests.sim.kinds import kind\n"
        f"for name in {names!r}:\n"
        "    print(simulate(kind(name), engine='compiled', workers=1).digest)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [simulate(kind(name), engine="simpy").digest for name in names]
