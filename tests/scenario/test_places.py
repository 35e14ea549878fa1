"""A queue bound has to leave room for a prompt: as many places as its plan has tasks."""

from __future__ import annotations

import pytest

from dmoa.core import PromptArrived, Refuse
from dmoa.core.messages import Content
from dmoa.errors import ScenarioError
from dmoa.scenario import build_nodes, from_dict, resolve

PLAN = {"layers": 2, "proposers": 3}
LIVE = {"engine": "scripted"}


def values(**sections):
    """A star of 5: the hub, node 0, has 4 neighbours, so its prompts take 9 tasks; others 5."""
    return {"overlay": {"topology": "star", "nodes": 5}, "plan": PLAN, **sections}


@pytest.mark.parametrize(
    ("sections", "path", "given", "remedy"),
    [
        ({"station": {"queue_max": 7}}, "station.queue_max", 7, "at least 8"),
        ({"station": {"queue_max": 6, "slots": 2}}, "station.queue_max", 6, "at least 7"),
        ({"nodes": {"3": {"queue_max": 3}}}, "nodes.3.queue_max", 3, "at least 4"),
        (
            {"station": {"queue_max": 8}, "nodes": {"4": {"queue_max": 3}}},
            "nodes.4.queue_max",
            3,
            "at least 4",
        ),
    ],
    ids=["hub", "slots", "a leaf's own", "a leaf's own beside enough"],
)
def test_a_bound_under_which_no_prompt_could_be_accepted_is_refused(sections, path, given, remedy):
    with pytest.raises(ScenarioError, match="could never accept one") as caught:
        resolve(from_dict(values(**sections)))
    assert (caught.value.path, caught.value.given) == (path, given)
    assert remedy in str(caught.value)


def test_the_least_bound_that_is_enough_is_allowed_and_enough():
    setup = resolve(from_dict(values(station={"queue_max": 8})))
    for node in build_nodes(setup, key=1):
        assert not any(isinstance(a, Refuse) for a in node.step(PromptArrived(0, Content(1)), 0.0))


def test_a_node_without_users_needs_no_room_for_prompts_unless_it_is_live():
    idle = {"nodes": {"0": {"queue_max": 1, "arrival_rate_hz": 0.0}}}
    assert resolve(from_dict(values(**idle))).queue_max[0] == 1
    with pytest.raises(ScenarioError, match="leaves node 0 2 places"):
        resolve(from_dict(values(**idle, live=LIVE)))


def test_a_node_that_answers_alone_always_has_room():
    alone = values(station={"queue_max": 1}) | {"plan": {"layers": 0}}
    assert resolve(from_dict(alone)).queue_max == (1,) * 5
