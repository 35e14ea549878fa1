"""Selection: uniform sets of peers, and exact inclusion probabilities."""

import math
from collections import Counter
from itertools import combinations

import pytest

from dmoa.core import Uniform, Weighted, derive, task_position
from dmoa.errors import ScenarioError

DRAWS = 20_000
KEY = derive(1, "selection")


def draws(policy, count, node):
    """Choose for the prompts of one of ten nodes, at the positions a coordinator would use."""
    key = derive(KEY, node)
    return [policy.choose(count, key, task_position(n, 0, 1)) for n in range(DRAWS // 10)]


@pytest.mark.parametrize(
    ("degree", "count", "low", "high"),
    # 2.5 % and 97.5 % quantiles of chi-square with 10 (C(degree, count) - 1) degrees of freedom.
    [(4, 1, 16.79, 46.98), (4, 2, 32.36, 71.42), (5, 3, 65.65, 118.14), (6, 5, 32.36, 71.42)],
)
def test_uniform_chooses_every_set_of_peers_equally_often(degree, count, low, high):
    policy = Uniform(tuple("bcdefg"[:degree]))
    every = {frozenset(one) for one in combinations(policy.peers, count)}
    expected = DRAWS / 10 / len(every)
    chi_square = 0.0
    for node in range(10):
        chosen = Counter(frozenset(pick) for pick in draws(policy, count, node))
        assert set(chosen) == every
        chi_square += sum((chosen[one] - expected) ** 2 / expected for one in every)
    assert low < chi_square < high


@pytest.mark.parametrize("policy", [Uniform(("b", "c")), Weighted(("b", "c"), (0.5, 0.5))])
@pytest.mark.parametrize("count", [2, 3, 100])
def test_a_node_with_too_few_peers_asks_them_all(policy, count):
    assert policy.choose(count, KEY, 0) == ("b", "c")


@pytest.mark.parametrize("policy", [Uniform(()), Weighted((), ())])
def test_a_node_without_peers_asks_nobody(policy):
    assert policy.choose(1, KEY, 0) == ()


def test_the_same_position_gives_the_same_peers():
    policy = Uniform("bcdefg")
    assert policy.choose(3, KEY, 5) == policy.choose(3, KEY, 5)
    assert len({policy.choose(3, KEY, position) for position in range(50)}) > 10


@pytest.mark.parametrize(
    "probabilities",
    [
        (0.25, 0.75),
        (1.0, 0.5, 0.5),
        (0.2, 0.3, 0.1, 0.4),
        (0.9, 0.8, 0.7, 0.6),
        (1 / 3,) * 6,
        (0.0, 0.5, 0.0, 1.0, 0.5, 0.0),
        (0.1,) * 10,
    ],
    ids=str,
)
def test_weighted_includes_each_peer_with_its_probability_and_never_twice(probabilities):
    peers = tuple("bcdefghijk"[: len(probabilities)])
    policy = Weighted(peers, probabilities)
    assert policy.total == round(sum(probabilities))
    chosen = [pick for node in range(10) for pick in draws(policy, policy.total, node)]
    assert all(len(set(pick)) == policy.total for pick in chosen)
    included = Counter(peer for pick in chosen for peer in pick)
    for peer, probability in zip(peers, probabilities, strict=True):
        # 95 % for the 30 uncertain peers of the table together: 3.14 standard errors (Bonferroni).
        margin = 3.14 * math.sqrt(probability * (1 - probability) / DRAWS)
        assert abs(included[peer] / DRAWS - probability) <= margin


def test_weighted_stays_among_the_peers_where_rounding_shortens_the_last_edge():
    start_of_nearly_1 = 0xCF9A04AFFA6BADC0  # a key whose first draw is the largest there is
    policy = Weighted("bcd", (0.5, 0.5, 1 - 1e-9))
    assert policy.choose(2, start_of_nearly_1, 0) == ("c", "d")


def test_weighted_never_repeats_a_peer_whose_probability_rounding_raised_above_1():
    policy = Weighted("bcd", (1 + 1e-9, 0.5, 0.5))
    assert policy.choose(2, 0, 0) == ("b", "c")  # 0 is a key whose first draw is nearly 0


@pytest.mark.parametrize(
    "probabilities",
    [
        (0.5, 0.4),
        (1.5, 0.5),
        (-0.5, 1.0, 0.5),
        (1.0,),
        (0.5, 0.25, 0.25),
        (math.nan, 1.0),
        (math.inf, 1.0),
        (math.inf, -math.inf),
    ],
    ids=str,
)
def test_weights_that_are_no_inclusion_probabilities_are_refused(probabilities):
    with pytest.raises(ScenarioError, match="sum to a whole number") as caught:
        Weighted(("b", "c"), probabilities)
    assert caught.value.path == "plan.weights"


def test_weights_choose_the_number_of_peers_they_sum_to_and_no_other():
    with pytest.raises(ScenarioError, match="the weights choose 2 peers, but 1 was given"):
        Weighted("bcd", (1.0, 0.5, 0.5)).choose(1, KEY, 0)
