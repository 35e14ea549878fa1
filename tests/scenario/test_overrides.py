"""``--set``, sweeps and looking values up by dotted path."""

import pytest

from dmoa.errors import ScenarioError
from dmoa.scenario import (
    Scenario,
    from_dict,
    override,
    parse_set,
    parse_sets,
    paths,
    value_at,
    with_values,
)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("plan.layers=2", "plan.layers", 2),
        ("plan.layers = 2", "plan.layers", 2),
        ("links.delay_s=1e-3", "links.delay_s", 0.001),
        ("overlay.topology=star", "overlay.topology", "star"),
        ('overlay.topology="star"', "overlay.topology", "star"),
        ("overlay.topology=my/file=1.json", "overlay.topology", "my/file=1.json"),
        ("service.values=[1, 2]", "service.values", [1, 2]),
        ("plan.weights={a = {b = 1.0}}", "plan.weights", {"a": {"b": 1.0}}),
        ("name=", "name", ""),
        ("name=two\nwords = 3", "name", "two\nwords = 3"),
    ],
)
def test_a_set_is_a_path_and_a_toml_value_or_a_bare_text(text, path, value):
    assert parse_set(text) == (path, value)


@pytest.mark.parametrize(
    ("text", "path", "remedy"),
    [
        ("plan.layers", "--set", "for example plan.layers=2"),
        ("=2", "--set", "for example plan.layers=2"),
        ("service.values=[1, 2", "service.values", "close its brackets and quotes"),
        ('name="x', "name", "close its brackets and quotes"),
    ],
)
def test_a_broken_set_is_refused(text, path, remedy):
    with pytest.raises(ScenarioError) as caught:
        parse_set(text)
    assert (caught.value.path, caught.value.remedy) == (path, remedy)


def test_the_last_of_two_sets_of_one_key_counts():
    assert parse_sets(["a=1", "b=2", "a=3"]) == {"a": 3, "b": 2}


def test_a_new_choice_drops_the_keys_of_the_old_one():
    gamma = from_dict({"service": {"distribution": "gamma", "cv": 0.5, "service_time_s": 3}})
    changed = with_values(gamma, {"service.distribution": "exponential"})
    assert (changed.service.cv, changed.service.service_time_s) == (None, 3.0)
    assert with_values(gamma, {"service.distribution": "lognormal"}).service.cv == 0.5


def test_a_new_choice_gets_its_own_keys_set_beside_it():
    ring = from_dict({"overlay": {"topology": "ring", "nodes": 12}})
    values = {"overlay.topology": "random-regular", "overlay.degree": 4}
    assert with_values(ring, values).overlay.degree == 4
    assert with_values(ring, values).overlay.nodes == 12
    assert with_values(ring, {"overlay.topology": "nsfnet"}).overlay.nodes is None


def test_a_key_that_the_new_choice_does_not_take_is_refused_if_set():
    with pytest.raises(ScenarioError, match="does not take this key"):
        with_values(Scenario(), {"overlay.topology": "nsfnet", "overlay.nodes": 4})


def test_none_takes_an_optional_value_away():
    bounded = from_dict({"station": {"queue_max": 5}})
    assert with_values(bounded, {"station.queue_max": None}).station.queue_max is None


def test_a_node_whose_name_has_dots_can_be_set():
    changed = with_values(Scenario(), {"nodes.10.0.0.1.speed": 2, "nodes.b.slots": 3})
    assert changed.nodes["10.0.0.1"].speed == 2.0
    assert value_at(changed, "nodes.10.0.0.1.speed") == 2.0
    assert value_at(changed, "nodes.b.slots") == 3
    assert value_at(changed, "nodes.absent.slots") is None


def test_an_override_leaves_its_source_alone():
    data = {"plan": {"layers": 1}}
    override(data, {"plan.layers": 2})
    assert data == {"plan": {"layers": 1}}


@pytest.mark.parametrize(
    ("values", "path", "text"),
    [
        ({"plan.layerz": 2}, "plan.layerz", "did you mean 'layers'?"),
        ({"plan.layers.x": 2}, "plan.layers.x", "did you mean 'plan.layers'?"),
        ({"plam.layers": 2}, "plam", "did you mean 'plan'?"),
        ({"plan.layers": "many"}, "plan.layers", "but 'many' was given"),
        ({"plan": 3}, "plan", "must be a table"),
    ],
)
def test_an_unknown_path_is_refused(values, path, text):
    with pytest.raises(ScenarioError) as caught:
        with_values(Scenario(), values)
    assert caught.value.path == path
    assert text in str(caught.value)


def test_a_broken_table_is_left_for_the_parser_to_refuse():
    with pytest.raises(ScenarioError, match="no such key"):
        override({"overlay": 3}, {"overlay.topology": "ring"})


def test_values_are_looked_up_by_path():
    scenario = from_dict({})
    assert value_at(scenario, "overlay.nodes") == 8
    assert value_at(scenario, "name") == "scenario"
    assert value_at(scenario, "station.queue_max") is None


@pytest.mark.parametrize("path", ["plan.layerz", "nodes.a.sped", "nodes.a", "plan"])
def test_looking_up_an_unknown_path_is_refused(path):
    with pytest.raises(ScenarioError, match="no such key") as caught:
        value_at(Scenario(), path)
    assert caught.value.path == path


def test_every_path_is_listed_once():
    assert len(paths()) == len(set(paths()))
    assert {"plan.layers", "nodes.NAME.speed", "run.horizon_s"} <= set(paths())
