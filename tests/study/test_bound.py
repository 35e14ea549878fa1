"""`bound`: what theory says of a whole scenario."""

from __future__ import annotations

import json

import networkx as nx
import pytest

from dmoa import theory
from dmoa.errors import ScenarioError
from dmoa.scenario import resolve
from dmoa.study import at_rate, bound, bounds, loads, prepare
from dmoa.study.bounds import to_json
from tests.sim.runs import scenario
from tests.theory.table import OVERLAYS, TABLE


@pytest.mark.parametrize(
    "row", TABLE, ids=[f"{row.overlay}-{row.layers}-{row.proposers}" for row in TABLE]
)
def test_the_critical_rates_of_the_overlays_are_those_known(row):
    plan = {"layers": row.layers, "proposers": row.proposers}
    limit = bound(scenario(plan=plan), OVERLAYS[row.overlay])
    rates = (
        limit.theorem1_critical_rate_hz, limit.critical_rate_hz, limit.best_critical_rate_hz
    )  # fmt: skip
    assert [round(rate, 4) for rate in rates if rate] == [
        row.theorem1_hz, row.uniform_hz, row.best_hz
    ]  # fmt: skip
    weighted = scenario(plan={**plan, "selection": "weighted", "weights": "best"})
    assert bound(weighted, OVERLAYS[row.overlay]).critical_rate_hz == pytest.approx(
        limit.best_critical_rate_hz
    )


def test_the_critical_rate_is_where_the_largest_offered_load_reaches_the_slots():
    made = {"nodes": {"0": {"speed": 2.0}, "2": {"slots": 3}}}
    limit = bound(scenario("star", **made))
    scale = limit.critical_rate_hz / limit.arrival_rate_hz
    at_limit = bound(scenario("star", **{**made, "arrivals.arrival_rate_hz": 0.09 * scale}))
    assert at_limit.offered_load_max == pytest.approx(1)
    assert (
        max(at_limit.offered_load)
        == at_limit.offered_load[at_limit.nodes.index(at_limit.bottleneck)]
    )


@pytest.mark.parametrize(
    ("preset", "values", "case"),
    [
        ("ring", {"plan.layers": 0}, "proven"),
        ("ring", {}, "conjectured"),
        ("tokens", {}, "class-dependent"),
    ],
)
def test_it_says_whether_a_load_below_the_limit_is_enough(preset: str, values: dict, case: str):
    limit = bound(scenario(preset, **values))
    assert limit.sufficient.case == case
    assert "ecessary" in limit.sufficient.text


def test_a_directed_overlay_is_asked_only_along_its_edges():
    # 0 asks 1, 1 asks 0 and 2; nobody asks 3, and 2 asks nobody.
    graph = nx.DiGraph([(0, 1), (1, 0), (1, 2)])
    graph.add_node(3)
    limit = bound(
        scenario(plan={"layers": 1, "proposers": 2}, arrivals__arrival_rate_hz=0.1), graph
    )
    assert limit.nodes == ["0", "1", "2", "3"]
    assert limit.offered_load == pytest.approx([0.3, 0.3, 0.3, 0.2])
    assert any("fewer than 2 neighbours" in note for note in limit.notes)


def test_isolated_nodes_and_separate_parts_are_allowed_and_said():
    graph = nx.Graph([(0, 1), (2, 3)])
    graph.add_node(4)
    limit = bound(
        scenario(plan={"layers": 1, "proposers": 1}, arrivals__arrival_rate_hz=0.1), graph
    )
    assert limit.offered_load == pytest.approx([0.3, 0.3, 0.3, 0.3, 0.2])
    notes = " ".join(limit.notes)
    assert "no neighbours" in notes
    assert "disconnected" in notes


def test_more_proposers_than_neighbours_asks_all_of_them():
    few, many = (bound(scenario("ring", **{"plan.proposers": k})) for k in (2, 7))
    assert many.offered_load == few.offered_load
    assert any("fewer than 7 neighbours" in note for note in many.notes)


# --- means ----------------------------------------------------------------------------------


def test_without_layers_the_means_are_those_of_m_m_1():
    limit = bound(scenario(arrivals__arrival_rate_hz=0.5))
    assert limit.waiting_time_s == pytest.approx([1.0, 1.0])
    assert limit.sojourn_time_s == pytest.approx(2.0)


def test_beyond_the_limit_the_means_are_infinite_and_null_in_json():
    limit = bound(scenario("ring", **{"arrivals.arrival_rate_hz": 0.3}))
    assert limit.sojourn_time_s == float("inf")
    said = json.loads(json.dumps(limit.to_dict(), allow_nan=False))
    assert said["sojourn_time_s"] is None
    assert said["waiting_time_s"] == [None] * 8


@pytest.mark.parametrize(
    "values",
    [
        {"station.slots": 2},
        {"station.queue_max": 5},
        {"plan.layer_deadline_s": 3.0},
        {"plan.patience": 2.0},
        {"plan.prompt_deadline_s": 30.0},
        {"arrivals.process": "deterministic"},
        {"service": {"distribution": "tokens", "base_s": 1.0}},
    ],
)
def test_means_are_given_only_where_a_formula_is_known(values: dict):
    limit = bound(scenario("ring", **values))
    assert limit.waiting_time_s is None
    assert limit.sojourn_time_s is None


@pytest.mark.parametrize(
    "values",
    [{"service.distribution": "deterministic"}, {"links.delay_s": 0.1}, {"overlay.nodes": 21}],
)
def test_a_waiting_time_may_be_known_without_a_sojourn_time(values: dict):
    limit = bound(scenario("complete", **values))
    assert limit.waiting_time_s is not None
    assert limit.sojourn_time_s is None


# --- large overlays --------------------------------------------------------------------------


def test_best_weights_that_cannot_be_computed_are_said(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise ScenarioError("out of time")

    monkeypatch.setattr(theory, "best_weights", refuse)
    limit = bound(scenario("ring"))
    assert (limit.best_critical_rate_hz, limit.best_gap) == (None, None)
    assert "best weights not computed: out of time" in limit.notes


def test_best_weights_are_left_out_where_nobody_asks_for_them():
    limit = bound(scenario("ring"), best=False)
    assert (limit.best_critical_rate_hz, limit.best_gap, limit.notes) == (None, None, [])
    assert limit.critical_rate_hz == bound(scenario("ring")).critical_rate_hz


def test_best_weights_of_large_overlays_say_how_near_they_are(monkeypatch: pytest.MonkeyPatch):
    made = scenario("scale-free", **{"plan.layers": 1, "plan.proposers": 1})
    exact = bound(made)
    assert exact.best_gap == 0
    monkeypatch.setattr(theory.weights, "EDGES_MAX", 0)
    near = bound(made)
    assert near.best_gap is not None
    assert 0 < near.best_gap <= 0.01
    assert exact.best_critical_rate_hz is not None
    assert near.best_critical_rate_hz is not None
    share = near.best_critical_rate_hz / exact.best_critical_rate_hz
    assert 1 - near.best_gap <= share <= 1 + 1e-9
    assert any("of the highest" in note for note in near.notes)


def test_only_the_busiest_nodes_of_a_large_overlay_are_listed(monkeypatch: pytest.MonkeyPatch):
    made = scenario("star", host__cores=8.0)
    every = bound(made)
    assert every.to_dict()["nodes_total"] == len(every.to_dict()["nodes"]) == 8
    monkeypatch.setattr(bounds, "NODES_LISTED_MAX", 2)
    listed = every.to_dict()
    assert listed.keys() == to_json(every).keys() | {"nodes_total"}
    assert (listed["nodes"], listed["nodes_total"]) == (["0", "1"], 8)
    assert listed["offered_load"] == every.offered_load[:2]
    assert listed["hosts"][0]["nodes"] == ["0", "1"]
    assert listed["notes"][-1] == "of 8 nodes only the 2 busiest are listed"


def test_a_setup_is_taken_as_it_is():
    setup = prepare(scenario("ring"))
    assert prepare(setup) is setup
    assert bound(setup) == bound(scenario("ring"))


def test_a_setup_with_the_best_weights_is_that_of_its_scenario():
    made = scenario("star", **{"plan.selection": "weighted", "plan.weights": "best"})
    graph = nx.barabasi_albert_graph(20, 2, seed=1)
    for given in (None, graph):
        setup = prepare(made, given)
        assert setup.inclusion is not None
        assert setup == resolve(made, given, inclusion=tuple(setup.inclusion))


def test_best_weights_are_solved_for_once(monkeypatch: pytest.MonkeyPatch):
    solved = []
    solve = theory.best_weights

    def count(*arguments, **options):
        solved.append(arguments)
        return solve(*arguments, **options)

    monkeypatch.setattr(theory, "best_weights", count)
    made = scenario("star", **{"plan.selection": "weighted", "plan.weights": "best"})
    setup = prepare(made)
    limit = bound(setup, best=False)
    assert (limit.best_critical_rate_hz, limit.best_gap) == (limit.critical_rate_hz, 0.0)
    # Weights that are best at one rate are best at all.
    busier = bound(at_rate(setup, 0.7 * limit.critical_rate_hz))
    assert busier.best_critical_rate_hz == pytest.approx(limit.critical_rate_hz)
    assert len(solved) == 1
    uniform = bound(scenario("star"))
    assert uniform.best_critical_rate_hz == pytest.approx(limit.critical_rate_hz)


def test_another_scenario_takes_over_an_overlay_that_is_there(monkeypatch: pytest.MonkeyPatch):
    weighted = {"plan.selection": "weighted", "plan.weights": "best", "plan.layers": 3}
    made = [scenario("scale-free"), scenario("scale-free", **weighted)]
    expected = [prepare(one) for one in made]
    monkeypatch.setattr("dmoa.scenario.resolution.build_overlay", None)
    found = [prepare(one, like=expected[0]) for one in made]
    assert found[0].peers is found[1].peers is expected[0].peers
    assert found == expected


def test_best_weights_must_be_solved_for_before_they_are_used():
    with pytest.raises(ScenarioError, match="computed first"):
        resolve(scenario("ring", **{"plan.selection": "weighted", "plan.weights": "best"}))


# --- slots that share a processor, nodes that share a host ----------------------------------

CURVE = {"slots": 3, "speedup": [1.0, 1.4, 1.6]}


def test_at_full_batch_a_node_is_worth_its_total_speed():
    limit = bound(scenario("ring", station=CURVE))
    one = bound(scenario("ring"))
    assert limit.critical_rate_hz == pytest.approx(1.6 * one.critical_rate_hz)
    assert limit.theorem1_critical_rate_hz == pytest.approx(1.6 * one.theorem1_critical_rate_hz)
    assert limit.single_slot_critical_rate_hz == pytest.approx(one.critical_rate_hz)
    assert limit.offered_load == one.offered_load
    assert limit.saturation == pytest.approx([load / 1.6 for load in one.offered_load])
    assert limit.offered_load_max == pytest.approx(0.8 / 1.6)
    assert (limit.host_critical_rate_hz, limit.hosts, limit.utilization) == (None, [], None)
    assert limit.sufficient.case == "conjectured"
    assert "all slots busy" in limit.sufficient.text


def test_slots_without_a_curve_have_a_processor_each():
    limit = bound(scenario("ring", station__slots=2))
    assert limit.single_slot_critical_rate_hz is None
    assert limit.saturation == limit.utilization == pytest.approx([0.4] * 8)


def test_reading_does_not_become_faster():
    service = {"distribution": "tokens", "input_token_s": 0.01, "output_token_s": 0.005}
    limit = bound(scenario(service=service, station=CURVE))
    assert limit.single_slot_critical_rate_hz == pytest.approx(1 / 2)
    assert limit.critical_rate_hz == pytest.approx(1 / (1 + 1 / 1.6))
    assert limit.sufficient.case == "necessary"
    assert "one task reads" in limit.sufficient.text


def test_what_is_not_read_again_is_no_load():
    service = {"distribution": "tokens", "input_token_s": 0.001}
    again = bound(scenario("complete", service=service))
    once = bound(scenario("complete", service=service, station__reuse=True))
    spared = 0.2 * 100 * 0.001  # each prompt's question, once
    assert once.offered_load == pytest.approx([load - spared for load in again.offered_load])
    assert once.utilization == pytest.approx(once.saturation)


@pytest.mark.parametrize(
    ("cores", "bottleneck", "share"), [(2.0, "host common", 8 * 0.8 / 2), (8.0, "0", 0.8)]
)
def test_a_host_may_saturate_before_its_nodes(cores: float, bottleneck: str, share: float):
    limit = bound(scenario("ring", host__cores=cores))
    assert limit.bottleneck == bottleneck
    assert limit.offered_load_max == pytest.approx(share)
    assert limit.critical_rate_hz == pytest.approx(0.2 / share)
    assert limit.host_critical_rate_hz == pytest.approx(0.2 * cores / (8 * 0.8))
    assert limit.single_slot_critical_rate_hz == pytest.approx(limit.critical_rate_hz)
    (host,) = limit.hosts
    assert (host.name, len(host.nodes)) == ("common", 8)
    assert host.saturation == pytest.approx(8 * 0.8 / cores)
    assert (limit.waiting_time_s is None) == (limit.utilization is None) == (cores < 8)


def test_a_memory_that_holds_fewer_tasks_than_slots_is_said():
    assert bound(scenario("ring", station={"slots": 2, "cache_tokens": 999})).sufficient.case == (
        "necessary"
    )
    assert bound(scenario("ring", station__cache_tokens=999)).sufficient.case == "conjectured"


def test_the_capacity_of_a_node_is_the_load_at_which_it_saturates():
    assert loads.capacity(prepare(scenario("ring", station__slots=2))).tolist() == [2.0] * 8
    idle = {"1": {"arrival_rate_hz": 0.0}}
    made = prepare(scenario(station=CURVE, nodes=idle))
    assert loads.capacity(made) == pytest.approx([1.6, 1.6])
