"""Sweeps as tables: a data frame with pandas, CSV without."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path

import pytest

from dmoa.errors import ScenarioError
from dmoa.study.store import Manifest, Outcome, Point, Store
from dmoa.study.tidy import export_csv, load_sweep

GRID: dict[str, list] = {
    "service.values": [[1.0, 2.0]],
    "overlay.topology": ["ring", "star"],
    "run.seed": [7],
}
ABOUT = Manifest(
    scenario={"plan": {"layers": 1, "proposers": 2}, "arrivals": {"process": "trace"}},
    grid=GRID,
    dmoa="0.1.0",
)
FIXED = ["plan.layers", "plan.proposers", "arrivals.arrival_rate_hz"]
POINTS = [
    Point(name, place, {"service.values": [1.0, 2.0], "overlay.topology": name, "run.seed": 7})
    for place, name in enumerate(GRID["overlay.topology"])
]
RESULT = {
    "verdict": "stable", "critical_rate_hz": 0.25, "theorem1_critical_rate_hz": 0.25,
    "offered_load_max": 0.8, "bottleneck": "0", "horizon_s": 5000.0, "warmup_s": 500.0,
    "digest": "ab", "queue_length_mean": 1.5, "queue_length_low": None, "queue_length_high": None,
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Store(tmp_path / "sweep.db", ABOUT, POINTS) as store:
        store.record([(POINTS[1], Outcome(error='does not fit, "really"'))])
        store.record([(POINTS[0], Outcome(RESULT))])
    return tmp_path / "sweep.db"


def test_a_frame_has_a_row_for_every_point_and_numbers_are_numbers(path):
    frame = load_sweep(path)
    assert list(frame.columns) == [*GRID, *FIXED, "status", *RESULT, "error"]
    assert list(frame["overlay.topology"]) == ["ring", "star"]
    assert list(frame["status"]) == ["finished", "failed"]
    assert frame["run.seed"].dtype.kind == "i"
    texts = {"verdict", "bottleneck", "digest"}
    assert {frame[name].dtype.kind for name in RESULT if name not in texts} == {"f"}
    assert list(frame["plan.layers"]) == [1, 1]
    assert frame["plan.proposers"].dtype.kind == "i"
    assert frame["arrivals.arrival_rate_hz"].dtype.kind == "f"
    assert frame["arrivals.arrival_rate_hz"].isna().all()
    assert frame["queue_length_mean"][0] == 1.5
    assert math.isnan(frame["queue_length_mean"][1])
    assert frame["bottleneck"][0] == "0"
    assert frame["error"][1] == 'does not fit, "really"'


def test_a_frame_of_a_sweep_without_points_has_its_columns(tmp_path):
    with Store(tmp_path / "new.db", ABOUT, POINTS):
        pass
    frame = load_sweep(tmp_path / "new.db")
    assert len(frame) == 0
    assert [*frame.columns][:7] == [*GRID, *FIXED, "status"]


def test_without_pandas_the_remedy_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ScenarioError, match=r'pip install "dmoa\[data\]"'):
        load_sweep(path)


def test_csv_has_the_same_rows_and_needs_no_pandas(path, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert export_csv(path, tmp_path / "points.csv") == 2
    with (tmp_path / "points.csv").open(encoding="utf-8", newline="") as file:
        good, bad = csv.DictReader(file)
    assert list(good) == [*GRID, *FIXED, "status", *RESULT, "error"]
    assert json.loads(good["service.values"]) == [1.0, 2.0]
    assert (good["overlay.topology"], good["run.seed"], good["critical_rate_hz"]) == (
        "ring", "7", "0.25",
    )  # fmt: skip
    assert (good["queue_length_low"], good["error"]) == ("", "")
    assert (bad["verdict"], bad["error"]) == ("", 'does not fit, "really"')


def test_csv_does_not_replace_the_store(path):
    content = path.read_bytes()
    with pytest.raises(ScenarioError, match="is the store itself"):
        export_csv(path, path.parent / "." / path.name)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["missing/points.csv", "."])
def test_a_csv_file_that_cannot_be_written_is_said(path, name):
    with pytest.raises(ScenarioError, match="out: cannot be written"):
        export_csv(path, path.parent / name)
