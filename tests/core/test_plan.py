"""Plans: which are refused, how many tasks they ask for, and which order they run in."""

import math
import re

import pytest

from dmoa.core import Content, Join, Origin, Peers, Plan, Stage, layered
from dmoa.errors import ScenarioError
from tests.core.driver import complete, label, node, run

OWN, FINAL = (Origin(),), Stage((Origin(),), reads=(0,), role="aggregate")

# The design's tree: three clusters of three, each read by one task, and one final aggregator.
TREE = Plan(
    (
        *[Stage((Peers(3),))] * 3,
        *[Stage((Peers(1),), reads=(cluster,), role="aggregate") for cluster in range(3)],
        Stage((Origin(),), reads=(3, 4, 5), role="aggregate"),
    )
)


@pytest.mark.parametrize(
    ("stages", "problem", "path"),
    [
        ((), "1 to 1024 stages, but 0 was given", "plan.stages"),
        ((Stage(OWN),) * 1025, "1 to 1024 stages, but 1025 was given", "plan.stages"),
        ((Stage(()), FINAL), "needs at least one task", "plan.stages[0]"),
        ((Stage(OWN, reads=(0,)), FINAL), "reads only earlier stages", "plan.stages[0].reads"),
        ((Stage(OWN, reads=(1,)), FINAL), "reads only earlier stages", "plan.stages[0].reads"),
        ((Stage(OWN), Stage(OWN, reads=(-1,))), "only earlier", "plan.stages[1].reads"),
        ((Stage(OWN), Stage(OWN, reads=(0, 0))), "each once", "plan.stages[1].reads"),
        ((Stage(OWN), Stage(OWN)), "must be read, but [0] was given", "plan.stages"),
        ((Stage(OWN), Stage(OWN), FINAL), "must be read, but [1] was given", "plan.stages"),
        ((Stage((Peers(1),)),), "the last stage is one task", "plan.stages[0].placements"),
        ((Stage((Origin(), Origin())),), "the last stage is one", "plan.stages[0].placements"),
    ],
    ids=lambda value: None if isinstance(value, tuple) else value,
)
def test_a_plan_that_cannot_end_in_one_answer_is_refused(stages, problem, path):
    with pytest.raises(ScenarioError, match=re.escape(problem)) as caught:
        Plan(stages)
    assert caught.value.path == path


@pytest.mark.parametrize("count", [0, -1])
def test_asking_nobody_is_refused(count):
    with pytest.raises(ScenarioError, match="must be 1 or more peers"):
        Peers(count)


@pytest.mark.parametrize("deadline_s", [-1.0, math.nan, math.inf])
def test_a_deadline_at_no_time_is_refused(deadline_s):
    with pytest.raises(ScenarioError, match="finite number of seconds") as caught:
        Join(deadline_s)
    assert caught.value.path == "plan.layer_deadline_s"


@pytest.mark.parametrize("quorum", [0, -1])
def test_a_quorum_of_nothing_is_refused(quorum):
    with pytest.raises(ScenarioError, match="must be 1 or more responses") as caught:
        Join(1.0, quorum)
    assert caught.value.path == "plan.quorum"


@pytest.mark.parametrize("patience", [0.0, -1.0, math.nan, math.inf])
def test_a_patience_that_waits_for_no_time_is_refused(patience):
    with pytest.raises(ScenarioError, match="finite factor above 0") as caught:
        Join(patience=patience)
    assert caught.value.path == "plan.patience"


def test_a_deadline_and_patience_exclude_each_other():
    with pytest.raises(ScenarioError, match=r"excludes plan\.layer_deadline_s") as caught:
        Join(1.0, patience=2.0)
    assert caught.value.path == "plan.patience"


@pytest.mark.parametrize("attempts", [0, -1, 1025])
def test_attempts_out_of_range_are_refused(attempts):
    with pytest.raises(ScenarioError, match="must be 1 to 1024 peers") as caught:
        Join(attempts=attempts)
    assert caught.value.path == "plan.attempts"


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, math.nan, math.inf])
def test_a_prompt_that_has_no_time_is_refused(deadline_s):
    with pytest.raises(ScenarioError, match="finite number of seconds above 0") as caught:
        layered(1, 1, deadline_s=deadline_s)
    assert caught.value.path == "plan.prompt_deadline_s"


@pytest.mark.parametrize(
    ("layers", "proposers", "path"),
    [(-1, 0, "plan.layers"), (0, -1, "plan.proposers"), (1024, 0, "plan.stages")],
)
def test_layers_and_proposers_out_of_range_are_refused(layers, proposers, path):
    with pytest.raises(ScenarioError) as caught:
        layered(layers, proposers)
    assert caught.value.path == path


def test_a_stage_that_asks_only_peers_is_refused_at_a_node_without_any():
    with pytest.raises(ScenarioError, match="node a has no peers") as caught:
        node(TREE, peers=())
    assert caught.value.path == "plan.stages[0].placements"
    assert "give the node a peer" in str(caught.value)


@pytest.mark.parametrize("layers", range(4))
@pytest.mark.parametrize("proposers", range(4))
def test_a_layered_prompt_takes_k_plus_1_tasks_per_layer_and_one_more(layers, proposers):
    # Mitra, Kaswan, Ulukus, arXiv 2412.21200: (k + 1) M + 1 tasks per prompt.
    plan = layered(layers, proposers)
    services, answers = run(complete("abcd", plan), [("a", 0), ("c", 0), ("a", 1)])
    assert len(services) == 3 * ((proposers + 1) * layers + 1)
    assert {(name, answer.prompt) for name, answer in answers} == {("a", 0), ("c", 0), ("a", 1)}
    assert all(
        answer.content.text == f"{name}/{answer.prompt}.{layers}.0" for name, answer in answers
    )


def test_a_node_with_fewer_peers_than_proposers_asks_them_all():
    services, _ = run(complete("ab", layered(2, 3)), [("a", 0)])
    assert len(services) == (1 + 1) * 2 + 1


def test_each_layer_reads_the_responses_of_the_one_before():
    services, _ = run(complete("abcd", layered(2, 2)), [("a", 0)])
    texts = {label(service.task): service.content.text or "" for service in services}
    assert texts["a/0.0.0"] == texts["a/0.0.1"] == "question"
    assert texts["a/0.1.0"] == texts["a/0.1.1"] == texts["a/0.1.2"]
    for stage in (1, 2):
        text = texts[f"a/0.{stage}.0"]
        read = [f"[{slot + 1}] a/0.{stage - 1}.{slot}" for slot in range(3)]
        assert text.startswith("question\n")
        assert "\n\n".join(read) + "\n" in text


def test_a_tree_of_clusters_runs_as_drawn():
    services, answers = run(complete("abcde", TREE), [("a", 0)])
    texts = {label(service.task): service.content.text or "" for service in services}
    clusters = [f"a/0.{stage}.{slot}" for stage in range(3) for slot in range(3)]
    assert sorted(texts) == sorted([*clusters, "a/0.3.0", "a/0.4.0", "a/0.5.0", "a/0.6.0"])
    for reader, reads in [(3, [0]), (4, [1]), (5, [2]), (6, [3, 4, 5])]:
        found = re.findall(r"a/0\.(\d)\.\d", texts[f"a/0.{reader}.0"])
        assert sorted({int(stage) for stage in found}) == reads
    assert [answer.content for _, answer in answers] == [Content(1, "a/0.6.0")]


def test_a_stage_read_by_two_is_let_go_after_both():
    diamond = Plan(
        (
            Stage((Origin(), Peers(2))),
            Stage(OWN, reads=(0,)),
            Stage((Peers(1),), reads=(0, 1)),
            Stage(OWN, reads=(1, 2)),
        )
    )
    nodes = complete("abc", diamond)
    services, answers = run(nodes, [("a", 0)])
    assert [label(service.task)[4:] for service in services][-3:] == ["1.0", "2.0", "3.0"]
    assert len(services) == 6
    assert len(answers) == 1
    assert nodes["a"].counts() == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("plan", "readers", "tasks"),
    [
        (layered(0, 2), ((),), 1),
        (layered(2, 2), ((1,), (2,), ()), 7),
        (layered(2, 5), ((1,), (2,), ()), 9),
        (Plan((Stage((Origin(), Origin())), FINAL)), ((1,), ()), 3),
        (TREE, ((3,), (4,), (5,), (6,), (6,), (6,), ()), 13),
        (Plan((Stage(OWN), Stage(OWN), Stage(OWN, reads=(0, 1)))), ((2,), (2,), ()), 3),
    ],
    ids=["alone", "layers", "fewer peers", "two own", "tree", "two roots"],
)
def test_readers_and_tasks(plan, readers, tasks):
    assert plan.readers() == readers
    assert plan.tasks(degree=3) == tasks
