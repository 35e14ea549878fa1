"""Sweeps and engines: which one simulates, who compiles it, and what depends on the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmoa.errors import ScenarioError
from dmoa.scenario import load
from dmoa.sim.compiled import coverage
from dmoa.study import engines, replication, simulate
from dmoa.study.store import read_store
from dmoa.study.sweeps import sweep
from tests.study.sweeping import content

compiled = pytest.mark.skipif(coverage.trouble() is not None, reason=str(coverage.trouble()))

RING = load("ring", ["run.horizon_s=20", "run.replications=2"])
GRID: dict[str, list] = {"plan.layers": [0, 1], "arrivals.arrival_rate_hz": [0.1, 0.2]}
#: Overloaded for so long that what is in flight does not fit into two megabytes.
LONG = load("ring", ["run.horizon_s=2000", "run.replications=2"])
RATES: dict[str, list] = {"arrivals.arrival_rate_hz": [0.01, 2.0]}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "sweep.db"


# --- memory ---------------------------------------------------------------------------------


@compiled
def test_a_point_that_outgrew_memory_has_failed_and_runs_again_where_there_is_more(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as little:
        little.setattr(replication, "_room_bytes", lambda: 2e6)
        result = sweep(LONG, RATES, store=store, engine="compiled", workers=1)
    fits, outgrew = result.points
    assert (result.finished, result.failed) == (1, 1)
    assert (outgrew["status"], outgrew["verdict"], outgrew["digest"]) == ("failed", None, None)
    assert outgrew["error"].startswith("what the run keeps would need more than 0.0 GiB (node ")
    assert outgrew["error"].endswith("; where there is more memory, sweep again")
    again = sweep(LONG, RATES, store=store, engine="compiled", workers=1)
    assert (again.finished, again.failed, again.resumed) == (2, 0, 1)
    assert again.points[0] == fits
    alone = simulate(load(LONG, {"arrivals.arrival_rate_hz": 2.0}), engine="compiled", workers=1)
    assert again.points[1]["digest"] == alone.digest


@pytest.mark.parametrize("engine", ["simpy", pytest.param("compiled", marks=compiled)])
def test_a_limit_of_the_scenario_is_a_result_on_every_machine(store: Path, engine: str) -> None:
    limited = load(LONG, {"run.queue_length_max": 20})
    (row,) = sweep(
        limited, {"arrivals.arrival_rate_hz": [2.0]}, store=store, engine=engine, workers=1
    ).points
    assert (row["status"], row["verdict"]) == ("finished", "unstable")
    result = simulate(load(limited, {"arrivals.arrival_rate_hz": 2.0}), engine=engine, workers=1)
    assert result.stopped is not None
    assert not result.out_of_memory


# --- the choice -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "grid", "path", "said"),
    [
        ("c", GRID, "engine", "must be one of auto, simpy, compiled"),
        ("compiled", {"plan.patience": [1.0, 2.0]}, "plan.patience", "does not cover this"),
        (
            "compiled",
            {"plan.prompt_deadline_s": [None, 9.0]},
            "plan.prompt_deadline_s",
            "--engine simpy",
        ),
    ],
)
def test_what_an_engine_cannot_do_is_refused_before_any_work(
    store: Path, engine: str, grid: dict[str, list], path: str, said: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        sweep(RING, grid, store=store, engine=engine, workers=1)
    assert caught.value.path == path
    assert said in str(caught.value)
    assert not store.exists()


@compiled
def test_a_store_goes_on_with_another_engine_to_the_same_rows(store: Path, tmp_path: Path) -> None:
    sweep(RING, {**GRID, "plan.layers": [0]}, store=store, engine="simpy", workers=1)
    result = sweep(RING, GRID, store=store, engine="compiled", workers=2)
    assert (result.total, result.resumed) == (4, 2)
    alone = tmp_path / "alone.db"
    sweep(RING, GRID, store=alone, engine="simpy", workers=1)
    assert content(store) == content(alone)
    assert read_store(store).rows == result.points


# --- compiling ------------------------------------------------------------------------------


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Note each compilation, in place of it, as if nothing had been compiled before."""
    from dmoa.sim.compiled import jit, run

    done: list[str] = []
    monkeypatch.setattr(jit, "is_cached", lambda **_: False)
    monkeypatch.setattr(jit, "cache_folder", lambda: tmp_path / "cache" / "version")
    monkeypatch.setattr(run, "compile_now", lambda **_: done.append("compiled"))
    engines.load_kernel.cache_clear()
    return done


@compiled
def test_a_sweep_compiles_once_before_the_workers_start(
    store: Path, compilations: list[str]
) -> None:
    told: list[str] = []
    sweep(RING, GRID, store=store, engine="compiled", workers=1, tell=told.append)
    assert (told, compilations) == ([engines.COMPILING], ["compiled"])


@compiled
def test_small_points_compile_nothing(store: Path, compilations: list[str]) -> None:
    told: list[str] = []
    sweep(RING, GRID, store=store, workers=1, tell=told.append)
    assert told == compilations == []


@compiled
@pytest.mark.usefixtures("compilations")
def test_the_others_wait_while_one_process_compiles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fcntl = pytest.importorskip("fcntl")
    from dmoa.sim.compiled import run

    def compile_now(*, totals: bool) -> None:
        with (tmp_path / "cache" / "version.lock").open() as file:
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen.append("locked" if totals else "for columns")

    seen: list[str] = []
    monkeypatch.setattr(run, "compile_now", compile_now)
    engines.load_kernel(totals=True)
    assert seen == ["locked"]
    with (tmp_path / "cache" / "version.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@compiled
def test_without_a_folder_for_the_lock_it_is_compiled_all_the_same(
    compilations: list[str], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("no folder", "utf-8")
    engines.load_kernel(totals=True)
    assert compilations == ["compiled"]
