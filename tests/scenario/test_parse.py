"""Values into scenarios: what is filled in, and every refusal with its path and remedy."""

import math

import msgspec
import numpy as np
import pytest

from dmoa.errors import ScenarioError
from dmoa.scenario import Scenario, from_dict, to_dict, with_values
from dmoa.scenario.parse import nearest, plain


def refused(data):
    with pytest.raises(ScenarioError) as caught:
        from_dict(data)
    return caught.value


@pytest.mark.parametrize(
    ("data", "path", "text"),
    [
        ({"planx": {}}, "planx", "did you mean 'plan'?"),
        ({"zzz": 1}, "zzz", "known are: name, description, overlay"),
        ({"name": 3}, "name", "a text of at most 200 characters, but 3 was given"),
        ({"plan": {"layerz": 1}}, "plan.layerz", "did you mean 'layers'?"),
        ({"plan": 3}, "plan", "must be a table, but 3 was given; write [plan] above"),
        ({"plan": {"layers": -1}}, "plan.layers", "a whole number from 0 to 1,000 (layers)"),
        ({"plan": {"layers": 1.5}}, "plan.layers", "a whole number from 0"),
        ({"plan": {"layers": True}}, "plan.layers", "but True was given"),
        ({"plan": {"proposers": -1}}, "plan.proposers", "meaning: peers k asked in each layer"),
        ({"plan": {"selection": "weigted"}}, "plan.selection", "did you mean 'weighted'?"),
        ({"plan": {"selection": "weighted", "weights": "bst"}}, "plan.weights", "did you mean 'be"),
        ({"plan": {"weights": "best"}}, "plan.weights", "remove it, or choose one of: weighted"),
        ({"arrivals": {"arrival_rate_hz": 0}}, "arrivals.arrival_rate_hz", "a number above 0 and"),
        ({"arrivals": {"arrival_rate_hz": -1}}, "arrivals.arrival_rate_hz", "(prompts/s)"),
        ({"arrivals": {"process": "posson"}}, "arrivals.process", "did you mean 'poisson'?"),
        (
            {"arrivals": {"process": "on-off", "on_s": 1}},
            "arrivals.off_s",
            "needs this key; give a",
        ),
        ({"arrivals": {"process": "burst"}}, "arrivals.prompts", "needs this key"),
        ({"arrivals": {"process": "trace"}}, "arrivals.file", "needs this key"),
        ({"arrivals": {"prompts": 3}}, "arrivals.prompts", "choose one of: burst"),
        ({"service": {"service_time_s": 0}}, "service.service_time_s", "a number above 0"),
        ({"service": {"distribution": "gamma"}}, "service.cv", "needs this key"),
        ({"service": {"cv": 1.0}}, "service.cv", "choose one of: lognormal, gamma"),
        ({"service": {"distribution": "empirical"}}, "service", "needs either values or file"),
        (
            {"service": {"distribution": "empirical", "values": [1.0], "file": "a"}},
            "service",
            "needs either values or file",
        ),
        ({"service": {"distribution": "empirical", "values": []}}, "service.values", "one entry"),
        (
            {"service": {"distribution": "empirical", "values": [1.0, -2.0]}},
            "service.values",
            "a list of at most 1,000,000, each a number above 0",
        ),
        ({"service": {"distribution": "tokens"}}, "service", "for example output_token_s = 0.02"),
        ({"tokens": {"prompt_tokens": 0}}, "tokens.prompt_tokens", "from 1 to 10,000,000 (tokens)"),
        ({"tokens": {"distribution": "gamma"}}, "tokens.cv", "needs this key"),
        ({"links": {"loss": 1.0}}, "links.loss", "a number from 0 to below 1"),
        ({"links": {"loss": 0.1}}, "links.loss", "give plan.layer_deadline_s"),
        (
            {"links": {"loss": 0.1}, "plan": {"layer_deadline_s": 5, "quorum": 2}},
            "plan.quorum",
            "give 1: a node's own response is never lost",
        ),
        ({"links": {"cv": 1.0}}, "links.cv", "does not take this key"),
        ({"plan": {"quorum": 2}}, "plan.quorum", "give plan.layer_deadline_s too"),
        ({"plan": {"quorum": 4, "layer_deadline_s": 1}}, "plan.quorum", "give at most 3"),
        ({"plan": {"closing_tokens": 61}}, "plan.closing_tokens", "must be from 0 to 60"),
        ({"plan": {"template": "{prompt}"}}, "plan.template", "must hold {prompt}"),
        ({"plan": {"template": "{responses}"}}, "plan.template", "must hold {prompt}"),
        ({"station": {"slots": 0}}, "station.slots", "a whole number from 1"),
        ({"nodes": 1}, "nodes", "write [nodes.NAME] above its keys"),
        ({"nodes": {"a": 1}}, "nodes.a", "write [nodes.a] above its keys"),
        ({"nodes": {"a": {"sped": 1}}}, "nodes.a.sped", "did you mean 'speed'?"),
        ({"nodes": {"a": {"speed": 0}}}, "nodes.a.speed", "factor by which it is faster"),
        ({"nodes": {"a": {"speed": 1, "service_time_s": 1}}}, "nodes.a", "exclude each other"),
        (
            {
                "nodes": {"a": {"service_time_s": 1}},
                "service": {"distribution": "tokens", "base_s": 1},
            },
            "nodes.a.service_time_s",
            "give speed instead",
        ),
        (
            {
                "nodes": {"a": {"arrival_rate_hz": 1}},
                "arrivals": {"process": "trace", "file": "x.csv"},
            },
            "nodes.a.arrival_rate_hz",
            "a trace decides the arrivals",
        ),
        ({"overlay": {"nodes": 1}}, "overlay.nodes", "from 2 to 1,000,000 (nodes)"),
        ({"overlay": {"degree": 2}}, "overlay.degree", "choose one of: random-regular"),
        ({"overlay": {"topology": "nsfnet", "nodes": 3}}, "overlay.nodes", "topology 'nsfnet'"),
        ({"overlay": {"topology": "rnig"}}, "overlay.topology", "did you mean 'ring'? known are:"),
        ({"overlay": {"topology": "nsfnt"}}, "overlay.topology", "did you mean 'nsfnet'?"),
        ({"overlay": {"topology": ""}}, "overlay.topology", "or give a .graphml, .edgelist, .txt,"),
        (
            {"overlay": {"topology": "rnig", "nodes": 9}},
            "overlay.topology",
            "unknown topology, but 'rnig' was given; did you mean 'ring'?",
        ),
        ({"overlay": {"topology": "grid", "nodes": 7}}, "overlay.nodes", "give 8 nodes, or choose"),
        (
            {"overlay": {"topology": "grid", "nodes": 6, "rows": 4}},
            "overlay.rows",
            "give a divisor",
        ),
        ({"overlay": {"topology": "torus", "nodes": 6, "columns": 4}}, "overlay.columns", "lines"),
        (
            {"overlay": {"topology": "grid", "nodes": 6, "rows": 2, "columns": 2}},
            "overlay.nodes",
            "2 rows of 2 make 4 nodes, but 6 was given",
        ),
        (
            {"station": {"slots": 3, "speedup": [1, 1.4]}},
            "station.speedup",
            "up to 3, the slots, but '2 of them' was given; give 3 values, or at most 2 slots",
        ),
        (
            {"station": {"speedup": [1, 1.4]}, "nodes": {"1": {"slots": 4}}},
            "station.speedup",
            "give 4 values, or at most 2 slots",
        ),
        ({"station": {"speedup": []}}, "station.speedup", "up to 1, the slots"),
        ({"station": {"speedup": [2, 3]}}, "station.speedup[0]", "divide all values by the first"),
        ({"station": {"speedup": [1, 0]}}, "station.speedup", "each a number above 0"),
        ({"station": {"speedup": 1.4}}, "station.speedup", "must be a list"),
        ({"station": {"chunk_tokens": 0}}, "station.chunk_tokens", "from 1 to"),
        ({"station": {"cache_tokens": 0.5}}, "station.cache_tokens", "a whole number"),
        ({"station": {"reuse": 1}}, "station.reuse", "true or false"),
        ({"host": {}}, "host.cores", "must be given"),
        ({"host": {"cores": 0}}, "host.cores", "above 0"),
        ({"host": {"cores": 2, "threads": 0}}, "host.threads", "from 1 to"),
        ({"host": {"core": 2}}, "host.core", "did you mean 'cores'?"),
        ({"host": 2}, "host", "must be a table"),
        ({"nodes": {"1": {"host": "b"}}}, "nodes.1.host", "give host.cores"),
        ({"nodes": {"1": {"host": 3}}}, "nodes.1.host", "a text"),
        ({"run": {"seed": 2**63}}, "run.seed", "from 0 to 2^63 - 1"),
        ({"run": {"replications": 0}}, "run.replications", "(runs)"),
        ({"run": {"relative_half_width": 1}}, "run.relative_half_width", "above 0 and below 1"),
        ({"run": {"replications_max": 5}}, "run.replications_max", "give run.relative_half_width"),
        (
            {"run": {"relative_half_width": 0.1, "replications_max": 5}},
            "run.replications_max",
            "is less than run.replications, 10, but 5 was given; give at least 10",
        ),
        ({"run": {"horizon_s": math.inf}}, "run.horizon_s", "must be finite, but inf was given"),
        ({"links": {"delay_s": math.nan}}, "links.delay_s", "must be finite, but nan was given"),
        ({"service": {"values": [1.0, math.nan]}}, "service.values[1]", "must be finite"),
        ({"nodes": {1: {}}}, "nodes", "keys must be text, but 1 was given"),
        ({2: {}}, "", "keys must be text"),
        ({"name": "x" * 300}, "name", "..."),
    ],
)
def test_a_bad_value_is_refused_with_its_path_and_remedy(data, path, text):
    error = refused(data)
    assert error.path == path
    assert text in str(error)


def test_values_that_nest_too_deep_are_refused():
    data: dict[str, object] = {}
    for _ in range(20):
        data = {"a": data}
    assert "may nest 8 deep" in str(refused(data))


def test_something_else_than_a_table_is_refused():
    assert "a table of tables, but [1] was given" in str(refused([1]))


def test_a_text_is_kept_as_it_is():
    assert plain({"a": "bc", "d": b"e", "f": True}) == {"a": "bc", "d": b"e", "f": True}


def test_numbers_of_numpy_are_numbers():
    scenario = from_dict(
        {
            "plan": {"layers": np.int64(2)},
            "links": {"delay_s": np.float64(0.5)},
            "service": {"service_time_s": np.float32(2)},
        }
    )
    assert (scenario.plan.layers, scenario.links.delay_s) == (2, 0.5)
    assert scenario.service.service_time_s == 2.0


def test_nothing_given_is_a_ring_with_the_defaults_filled_in():
    scenario = from_dict({})
    assert scenario.overlay.topology == "ring"
    assert scenario.overlay.nodes == 8
    assert scenario.arrivals.arrival_rate_hz == 0.2
    assert scenario.service.service_time_s == 1.0


def test_loss_needs_no_deadline_where_nobody_is_asked():
    assert from_dict({"links": {"loss": 0.1}, "plan": {"layers": 0}}).links.loss == 0.1
    assert from_dict({"links": {"loss": 0.1}, "plan": {"proposers": 0}}).links.loss == 0.1


def test_loss_with_a_deadline_is_allowed():
    plan = {"layer_deadline_s": 5, "quorum": 1}
    assert from_dict({"links": {"loss": 0.1}, "plan": plan}).plan.quorum == 1
    del plan["quorum"]
    assert from_dict({"links": {"loss": 0.1}, "plan": plan}).links.loss == 0.1


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"overlay": {"topology": "grid", "rows": 3, "nodes": 12}},
        {"overlay": {"topology": "torus", "rows": 3, "columns": 5}},
        {"overlay": {"topology": "nsfnet"}},
        {"overlay": {"topology": "geometric", "seed": 5}},
        {"plan": {"selection": "weighted"}},
        {"plan": {"selection": "weighted", "weights": {"0": {"1": 1, "7": 1}}}},
        {"plan": {"template": "{prompt} {responses}", "layer_deadline_s": 3}},
        {"arrivals": {"process": "on-off", "on_s": 1, "off_s": 2}},
        {"arrivals": {"process": "burst", "prompts": 10}},
        {"arrivals": {"process": "trace", "file": "x.csv"}},
        {"service": {"distribution": "gamma", "cv": 0.5}},
        {"service": {"distribution": "empirical", "values": [1, 2.5]}},
        {"service": {"distribution": "empirical", "file": "x.txt"}},
        {"service": {"distribution": "tokens", "base_s": 1}},
        {"run": {"relative_half_width": 0.1, "replications": 5, "replications_max": 5}},
        {"run": {"relative_half_width": 0.1}},
        {"station": {"slots": 2, "speedup": [1, 1.4, 1.6], "chunk_tokens": 64, "reuse": True}},
        {"host": {"cores": 1.5, "threads": 2}, "nodes": {"3": {"host": "b"}}},
        {"nodes": {"3": {"speed": 2, "slots": 4, "queue_max": 9, "arrival_rate_hz": 0}}},
    ],
)
def test_a_scenario_survives_the_way_to_plain_values_and_back(data):
    scenario = from_dict(data)
    values = to_dict(scenario)
    assert from_dict(values) == scenario
    assert from_dict(msgspec.json.decode(msgspec.json.encode(values))) == scenario
    assert to_dict(from_dict(values)) == values


def test_a_default_written_out_makes_the_same_scenario():
    written = {"overlay": {"topology": "ring", "nodes": 8}, "service": {"service_time_s": 1}}
    assert to_dict(from_dict(written)) == to_dict(from_dict({}))


def test_scenarios_are_immutable():
    with pytest.raises(AttributeError):
        from_dict({}).plan.layers = 2  # type: ignore[misc] # that it is refused is the point


def test_a_scenario_made_by_hand_gets_its_defaults_too():
    assert with_values(Scenario(), {}).overlay.nodes == 8


def test_without_a_near_name_all_known_ones_are_listed():
    assert nearest("zzzz", ["ring", "star"]) == "known are: ring, star"
