"""The compiled engine's memory is what its documentation says, and does not grow with a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmoa.scenario import load
from dmoa.scenario.nodes import run_key
from dmoa.sim.compiled.coverage import trouble
from dmoa.study import prepare, replication, simulate

pytestmark = pytest.mark.skipif(trouble() is not None, reason=str(trouble()))

PAGE = Path(__file__).parents[2] / "docs" / "compiled.md"


def record_bytes(records: Any) -> int:
    return int(records.itemsize)


def test_the_table_of_the_documentation() -> None:
    from dmoa.sim.compiled import layout

    nodes, sources, flights, tasks, processors, shares, events = (
        record_bytes(layout.make(view, 2))
        for view in (
            layout.Node,
            layout.Source,
            layout.Flight,
            layout.Task,
            layout.Processor,
            layout.Share,
            layout.Event,
        )
    )
    said = [
        int(number)
        for line in PAGE.read_text("utf-8").splitlines()
        if re.match(r"\| (a node|a prompt|with a speed)", line)
        for number in re.findall(r"\b\d\d+\b", line)
    ]
    assert nodes == 128
    expected = [nodes + sources + events, 16, 32, flights, tasks + events]
    assert said == [
        *expected, flights + 4 * (tasks + events), processors + events, shares,
    ]  # fmt: skip


def test_totals_take_no_more_for_a_longer_run() -> None:
    from dmoa.sim.compiled.run import Run

    setup = prepare(load("ring"))
    sizes = []
    for horizon_s in (500.0, 20_000.0):
        run = Run(setup, run_key(1, 0))
        run.advance(horizon_s)
        arrays: list[Any] = [*run._state, *run._fixed]
        sizes.append(sum(array.nbytes for array in arrays if isinstance(array, np.ndarray)))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("totals", [True, False])
def test_a_run_that_outgrows_memory_stops_with_what_it_has(
    monkeypatch: pytest.MonkeyPatch, totals: bool
) -> None:
    monkeypatch.setattr(replication, "_room_bytes", lambda: 2e6)
    result = simulate(
        load("ring", {"arrivals.arrival_rate_hz": 2.0, "run.horizon_s": 50_000.0}),
        engine="compiled",
        totals=totals,
        workers=1,
    )
    assert "would need more than 0.0 GiB" in str(result.stopped)
    assert result.verdict.status == "unstable"
    assert result.prompts["unfinished"] > 0
    assert 0 < result.kept[0].end_s < 50_000
