"""Grids: how they are written, which points they have, what they refuse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dmoa.errors import ScenarioError
from dmoa.scenario import Scenario, load
from dmoa.study.grid import POINTS_MAX, Grid, check_grid, configurations, parse_grid, parse_grids


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0, 1,2", [0, 1, 2]),
        ("ring,star", ["ring", "star"]),
        ("0.5", [0.5]),
        ("true,false", [True, False]),
        ("'a,b', \"c:d\"", ["a,b", "c:d"]),
        ("[1.0, 2.0], [3.0]", [[1.0, 2.0], [3.0]]),
        ("0:4:5", [0, 1, 2, 3, 4]),
        ("4:0:3", [4, 2, 0]),
        ("0:1:3", [0.0, 0.5, 1.0]),
        ("0.0:4:3", [0.0, 2.0, 4.0]),
        ("0.1, 0.2:0.4:3, 9", [0.1, 0.2, 0.3, 0.4, 9]),
        ("1:1000:4:log", [1.0, 10.0, 100.0, 1000.0]),
        ("1e300:1e-300:3:log", [1e300, 1.0, 1e-300]),
    ],
)
def test_values_and_ranges(text, values):
    found = parse_grid(f"a.b={text}")
    assert found == ("a.b", values)
    assert [type(value) for value in found[1]] == [type(value) for value in values]


def test_a_linear_range_has_the_values_that_one_would_write_down():
    path, values = parse_grid("arrivals.arrival_rate_hz=0.02:0.24:12")
    assert path == "arrivals.arrival_rate_hz"
    assert values == [float(f"0.{hundredth:02}") for hundredth in range(2, 25, 2)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("plan.layers", "path=values"),
        ("=1", "path=values"),
        ("plan.layers=", "path=values"),
        ("plan.layers=1,,2", "a value is missing"),
        ("plan.layers=1,", "a value is missing"),
        ("plan.template='a", "no TOML values"),
        ("plan.template=['a'", "no TOML values"),
        ("plan.template='a'] \n other = ['b'", "no TOML values"),
        ("plan.layers=0:4", "is no range"),
        ("plan.layers=0:4:x", "is no range"),
        ("plan.layers=0:4:5:linear", "is no range"),
        ("plan.layers=0:4:5:6:log", "is no range"),
        ("plan.layers=0:4:log", "is no range"),
        ("plan.layers=::", "is no range"),
        ("plan.layers=nan:4:5", "is no range"),
        ("plan.layers=0:1e999:5", "is no range"),
        ("overlay.topology=C:ring.json", "in quotes"),
        ("plan.layers=0:4:1", "2 to 100,000 values"),
        ("plan.layers=0:4:100001", "2 to 100,000 values"),
        ("service.service_time_s=0:1:5:log", "ends above 0"),
    ],
)
def test_a_malformed_text_is_refused_with_its_remedy(text, problem):
    with pytest.raises(ScenarioError, match=problem) as caught:
        parse_grid(text)
    assert caught.value.path in {"grid", text.partition("=")[0]}
    assert caught.value.remedy


def test_a_path_is_given_once():
    assert parse_grids(["plan.layers=0", "plan.proposers=1,2"]) == {
        "plan.layers": [0],
        "plan.proposers": [1, 2],
    }
    with pytest.raises(ScenarioError, match=r"plan\.layers: is given twice"):
        parse_grids(["plan.layers=0", "plan.layers=1"])


def test_values_from_python_become_plain():
    grid = check_grid(
        Scenario(),
        {
            "arrivals.arrival_rate_hz": np.array([0.1, 0.2]),
            "plan.layers": (np.int64(layers) for layers in range(2)),
            "station.queue_max": (None, 5),
        },
    )
    assert grid == {
        "arrivals.arrival_rate_hz": [0.1, 0.2],
        "plan.layers": [0, 1],
        "station.queue_max": [None, 5],
    }
    assert [type(value) for value in grid["plan.layers"]] == [int, int]


@pytest.mark.parametrize(
    ("grid", "path", "problem"),
    [
        ({}, "grid", "at least one path"),
        (["plan.layers=0"], "grid", "at least one path"),
        ({1: [2]}, "grid", "paths are texts"),
        ({"plan.layer": [1]}, "plan.layer", "did you mean 'plan.layers'"),
        ({"plan": [{}]}, "plan", "no such key"),
        ({"plan.layers": 1}, "plan.layers", "sequence of values"),
        ({"overlay.topology": "ring"}, "overlay.topology", "sequence of values"),
        ({"plan.layers": []}, "grid", "0 values"),
        ({"plan.layers": itertools.count()}, "grid", "100,000 points"),
        ({"plan.layers": range(400), "run.seed": range(300)}, "grid", "400 x 300 values"),
        (
            {"arrivals.arrival_rate_hz": [0.1, float("nan")]},
            "arrivals.arrival_rate_hz[1]",
            "finite",
        ),
    ],
)
def test_a_grid_that_cannot_be_is_refused_with_its_path(grid, path, problem):
    with pytest.raises(ScenarioError, match=problem) as caught:
        check_grid(Scenario(), grid)
    assert caught.value.path == path


def test_a_grid_of_the_greatest_size_is_accepted():
    assert len(check_grid(Scenario(), {"run.seed": range(POINTS_MAX)})["run.seed"]) == POINTS_MAX


def test_points_come_in_the_order_of_the_grid_the_last_path_fastest():
    grid: Grid = {"plan.layers": [2, 0], "arrivals.arrival_rate_hz": [1, 0.5]}
    points = list(configurations(load("ring"), grid))
    assert [tuple(values.values()) for values, _ in points] == [
        (2, 1.0), (2, 0.5), (0, 1.0), (0, 0.5),
    ]  # fmt: skip
    assert isinstance(points[0][0]["arrivals.arrival_rate_hz"], float)
    assert [point.plan.layers for _, point in points] == [2, 2, 0, 0]


def test_values_that_need_each_other_are_checked_together():
    grid: Grid = {"service.distribution": ["gamma", "lognormal"], "service.cv": [0.5, 2.0]}
    assert len(list(configurations(load("ring"), grid))) == 4
    with pytest.raises(ScenarioError, match=r"service\.cv.*needs this key"):
        list(configurations(load("ring"), {"service.distribution": ["gamma"]}))


def test_a_value_outside_its_range_is_refused_with_its_path():
    with pytest.raises(ScenarioError, match=r"plan\.layers: .*-1 was given"):
        list(configurations(load("ring"), {"plan.layers": [0, 1, -1]}))
