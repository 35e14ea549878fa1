"""A scenario against its overlay: values per node, notes, and what does not fit."""

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csr_array

from dmoa.errors import ScenarioError
from dmoa.scenario import from_dict, resolve, setup

TOKENS = {"distribution": "tokens", "base_s": 1.0, "input_token_s": 0.01}


def resolved(graph=None, inclusion=None, /, **sections):
    return resolve(from_dict(sections), graph, inclusion)


def refused(graph=None, inclusion=None, /, **sections):
    with pytest.raises(ScenarioError) as caught:
        resolved(graph, inclusion, **sections)
    return caught.value


def weighted(weights="best", proposers=1):
    return {"selection": "weighted", "weights": weights, "proposers": proposers}


PATH = {"topology": "path", "nodes": 3}


def test_a_node_has_values_of_its_own():
    own = {"service_time_s": 3.0, "arrival_rate_hz": 0.0, "slots": 2, "queue_max": 5}
    made = resolved(overlay=PATH, nodes={"1": own, "2": {"speed": 4.0}})
    assert made.service_time_s == (1.0, 3.0, 0.25)
    assert made.arrival_rate_hz == (0.2, 0.0, 0.2)
    assert (made.slots, made.queue_max) == ((1, 2, 1), (None, 5, None))
    assert made.service(2).mean == 0.25


def test_the_default_horizon_is_5000_of_the_largest_mean_service_time():
    assert resolved(overlay=PATH, nodes={"1": {"service_time_s": 3.0}}).horizon_s == 15_000.0
    assert resolved(run={"horizon_s": 7.0}).horizon_s == 7.0


def test_speed_divides_service_by_tokens_and_measured_times():
    fast = {"1": {"speed": 2.0}}
    by_tokens = resolved(overlay=PATH, service=TOKENS, plan={"layers": 0}, nodes=fast)
    assert by_tokens.service_time_s == (2.0, 1.0, 2.0)
    assert by_tokens.token_service(1).timer()(100, 0) == 1.0
    measured = {"distribution": "empirical", "values": [1.0, 3.0]}
    assert resolved(overlay=PATH, service=measured, nodes=fast).service(1).mean == 1.0


def test_a_name_that_is_no_node_is_refused():
    error = refused(overlay={"topology": "nsfnet"}, nodes={"Seatle": {"slots": 2}})
    assert (error.path, error.remedy) == ("nodes.Seatle", "did you mean 'Seattle'?")
    error = refused(overlay={"nodes": 30}, nodes={"zzz": {"slots": 2}})
    assert error.remedy.startswith("known are: 0, 1, 2")
    assert error.remedy.endswith("19, ...")


def test_a_scenario_without_any_prompt_is_refused():
    nodes = {name: {"arrival_rate_hz": 0} for name in "012"}
    error = refused(overlay=PATH, nodes=nodes)
    assert (error.path, error.problem) == ("nodes", "no node has prompts")


def test_nodes_with_fewer_neighbours_than_proposers_are_noted():
    star = {"topology": "star", "nodes": 4}
    assert resolved(overlay=star, plan={"proposers": 2}).notes == (
        "3 nodes have fewer than 2 neighbours and ask all of them: 1, 2, 3",
    )
    lollipop = nx.Graph([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")])
    assert resolved(lollipop, plan={"proposers": 2}).notes == (
        "1 node has fewer than 2 neighbours and asks all of them: d",
    )
    assert resolved(overlay=star, plan={"layers": 0}).notes == ()


def test_a_quorum_that_some_node_cannot_reach_is_noted():
    plan = {"proposers": 2, "layer_deadline_s": 5.0, "quorum": 3}
    assert resolved(overlay=PATH, plan=plan).notes[-1] == (
        "where a layer has fewer than 3 responses, all of them are needed"
    )


def test_weights_by_table_become_rows_over_the_peers():
    made = resolved(overlay=PATH, plan=weighted({"0": {"1": 1}, "1": {"2": 1}, "2": {"1": 1}}))
    assert made.inclusion == ((1.0,), (0.0, 1.0), (1.0,))


def test_inclusion_may_be_a_matrix_over_all_nodes():
    matrix = np.array([[0, 1, 0], [0.25, 0, 0.75], [0, 1, 0]])
    rows = ((1.0,), (0.25, 0.75), (1.0,))
    assert resolved(None, matrix, overlay=PATH, plan=weighted()).inclusion == rows
    assert resolved(None, rows, overlay=PATH, plan=weighted()).inclusion == rows
    assert resolved(None, csr_array(matrix), overlay=PATH, plan=weighted()).inclusion == rows


@pytest.mark.parametrize(
    ("weights", "path", "text"),
    [
        ("best", "plan.weights", "give inclusion=, for example from dmoa.theory.best_inclusion"),
        ({"9": {"1": 1}}, "plan.weights.9", "there is no such node"),
        ({"0": {"2": 1}}, "plan.weights.0.2", "is no neighbour of 0, but 1.0 was given"),
        ({"0": {"1": 1}}, "plan.weights.1", "but 0.0 was given; give its peers"),
        (
            {"0": {"1": 1}, "1": {"0": 0.25, "2": 0.25}},
            "plan.weights.1",
            "must add up to 1, the peers asked in a layer, but 0.5 was given; multiply each by 2",
        ),
        (
            {"0": {"1": 1}, "1": {"0": 1.5, "2": -0.5}},
            "plan.weights.1.0",
            "must be a chance from 0 to 1, but 1.5 was given",
        ),
    ],
)
def test_weights_that_fit_no_overlay_are_refused(weights, path, text):
    error = refused(overlay=PATH, plan=weighted(weights))
    assert error.path == path
    assert text in str(error)


@pytest.mark.parametrize(
    ("inclusion", "path", "text"),
    [
        ([[1.0], [1.0]], "plan.weights", "a row for each of the 3 nodes, but 2 was given"),
        ([[1.0], [0.5, 0.5], [0.5, 0.5]], "plan.weights.2", "must have 1 chances"),
        ([[0, 0.5, 0.5], [0.5, 0.5], [1.0]], "plan.weights.0", "a node that is no neighbour"),
        ([[np.nan], [0.5, 0.5], [1.0]], "plan.weights.0.1", "must be a chance from 0 to 1"),
        (csr_array(np.eye(3)), "plan.weights.0", "a node that is no neighbour"),
        (csr_array((2, 3)), "plan.weights", "a row for each of the 3 nodes, but 2 was given"),
        (csr_array((3, 3)), "plan.weights.0", "must add up to 1"),
    ],
)
def test_inclusion_of_a_wrong_shape_is_refused(inclusion, path, text):
    error = refused(None, inclusion, overlay=PATH, plan=weighted())
    assert error.path == path
    assert text in str(error)


def test_a_node_is_found_by_its_name():
    made = resolved(overlay={"topology": "nsfnet"})
    assert made.names[made.node_index("Houston")] == "Houston"
    with pytest.raises(ScenarioError, match="did you mean 'Houston'"):
        made.node_index("Huston")


def test_the_overlay_comes_back_as_a_graph():
    graph = nx.DiGraph([("a", "b"), ("b", "a"), ("b", "c")])
    one_way = resolved(graph).graph()
    assert one_way.is_directed()
    assert set(one_way.edges) == set(graph.edges)
    grid = resolved(overlay={"topology": "grid", "nodes": 4}).graph()
    assert not grid.is_directed()
    assert grid.nodes["1"]["pos"] == (1.0, 0.0)


def test_service_by_tokens_has_no_distribution_of_its_own():
    with pytest.raises(ScenarioError, match=r"use Setup.token_service\(node\)"):
        resolved(service=TOKENS).service(0)


def test_mean_times_by_stage_are_by_origin_only_where_origins_differ():
    made = resolved(service=TOKENS, nodes={"1": {"speed": 2.0}}).stage_service_time_s()
    assert made.shape == (2, 8)
    # 1 + 0.01·100 s in the first layer; the aggregation reads 60 + 100 + 3·200 tokens.
    np.testing.assert_allclose(made[:, :2], [[2.0, 1.0], [8.6, 4.3]])
    setup_by_tokens = resolved(overlay=PATH, service=TOKENS)
    made = setup_by_tokens.stage_service_time_s()
    origins, servers = setup_by_tokens.classes()
    assert made.shape == (2, 7)
    np.testing.assert_allclose(made[1], np.array([6.6, 8.6, 6.6])[origins])
    assert list(zip(origins.tolist(), servers.tolist(), strict=True)) == [
        (0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2)
    ]  # fmt: skip


def test_mean_times_by_stage_and_origin_have_a_limit(monkeypatch):
    monkeypatch.setattr(setup, "STAGE_TIMES_MAX", 13)
    made = resolved(overlay=PATH, service=TOKENS)
    with pytest.raises(ScenarioError, match="needs 2 x 7 mean times") as caught:
        made.stage_service_time_s()
    assert caught.value.path == "overlay.nodes"


def test_a_node_with_fewer_slots_takes_the_beginning_of_the_curve():
    station = {"slots": 3, "speedup": [1.0, 1.4, 1.6]}
    made = resolved(overlay=PATH, station=station, nodes={"1": {"slots": 2}})
    assert made.full_speed == (1.6, 1.4, 1.6)
    assert resolved(overlay=PATH, station={"slots": 3}).full_speed == (3.0, 3.0, 3.0)


def test_nodes_that_name_no_host_share_one():
    made = resolved(overlay=PATH, host={"cores": 2}, nodes={"1": {"host": "b"}})
    assert made.hosts == ("common", "b", "common")
    assert resolved(overlay=PATH).hosts is None


@pytest.mark.parametrize(
    ("values", "shares"),
    [
        ({"station": {"slots": 4, "cache_tokens": 99, "chunk_tokens": 9}}, False),
        ({"station": {"speedup": [1.0]}}, True),
        ({"station": {"reuse": True}}, True),
        ({"plan": {"overlap": True}}, True),
        ({"host": {"cores": 8}}, True),
    ],
)
def test_tasks_share_a_processor_where_a_scenario_asks_for_what_follows_from_it(values, shares):
    assert resolved(**values).shares_processor is shares


@pytest.mark.parametrize("layers", [0, 1])
def test_a_speed_that_falls_with_more_tasks_is_told(layers):
    station = {"slots": 3, "speedup": [1.0, 1.6, 1.2]}
    made = resolved(station=station, plan={"layers": layers})
    (note,) = made.notes
    assert "3 tasks at once are served 1.2 times as fast as one, 2 at once 1.6 times" in note
    assert note.endswith("station.slots = 2 would serve more")
    assert resolved(station={**station, "slots": 2}, plan={"layers": layers}).notes == ()
