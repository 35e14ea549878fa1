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


# --- one more, and fewer ----------------------------------------------------------------------


@pytest.mark.parametrize("policy", [Uniform("bcde"), Weighted("bcde", (0.5, 0.5, 0.5, 0.5))])
def test_one_more_peer_is_never_one_that_was_tried(policy):
    for position in range(200):
        assert policy.replace({"b", "d"}, KEY, position) in {"c", "e"}
    assert policy.replace({"b", "c", "d"}, KEY, 0) == "e"
    assert policy.replace({"b", "c", "d", "e", "x"}, KEY, 0) is None


@pytest.mark.parametrize(
    ("policy", "chances"),
    [
        (Uniform("bcde"), {"c": 1 / 3, "d": 1 / 3, "e": 1 / 3}),
        (Weighted("bcde", (1.0, 0.25, 0.25, 0.5)), {"c": 0.25, "d": 0.25, "e": 0.5}),
        (Weighted("bcde", (0.5, 0.5, 0.0, 1.0)), {"c": 1 / 3, "e": 2 / 3}),
    ],
    ids=["uniform", "weighted", "weight 0"],
)
def test_one_more_peer_comes_in_proportion_to_its_chance(policy, chances):
    picked = Counter(
        policy.replace({"b"}, derive(KEY, node), task_position(n, 0, 1))
        for node in range(10)
        for n in range(DRAWS // 10)
    )
    assert set(picked) == set(chances)
    for peer, chance in chances.items():
        # 95 % for the eight chances of the table together: 2.73 standard errors (Bonferroni).
        margin = 2.73 * math.sqrt(chance * (1 - chance) / DRAWS)
        assert abs(picked[peer] / DRAWS - chance) <= margin


def test_a_peer_that_is_never_chosen_takes_nobodys_place():
    assert Weighted("bc", (1.0, 0.0)).replace({"b"}, KEY, 0) is None


def test_the_last_peer_is_picked_where_rounding_puts_the_draw_on_the_edge():
    start_of_nearly_1 = 0xCF9A04AFFA6BADC0  # a key whose first draw is the largest there is
    policy = Weighted("bcd", (1.0, 1.0 - 2**-53, 2**-53))
    assert policy.replace({"b"}, start_of_nearly_1, 0) in {"c", "d"}


@pytest.mark.parametrize("policy", [Uniform("bcd"), Weighted("bcd", (1.0, 0.5, 0.5))])
def test_while_peers_are_absent_the_others_are_chosen(policy):
    assert policy.without({"c"}).peers == ("b", "d")
    assert policy.without({"c"}).choose(2, KEY, 0) == ("b", "d")
    assert policy.without({"b", "c"}).choose(2, KEY, 0) == ("d",)
    assert policy.without(set("bcdx")).choose(2, KEY, 0) == ()
    assert policy.without({"x"}).peers == policy.peers == ("b", "c", "d")


@pytest.mark.parametrize(
    ("probabilities", "absent", "left"),
    [
        # In proportion: 1 peer among (0.2, 0.3, 0.5) without the last.
        ((0.2, 0.3, 0.5), "d", {"b": 0.4, "c": 0.6}),
        # None rises above 1: (0.9, 0.3, 0.2) sums to 1.4 of 2, so b becomes 1, and the others
        # share the rest as 0.3 to 0.2.
        ((0.9, 0.3, 0.2, 0.6), "e", {"b": 1.0, "c": 0.6, "d": 0.4}),
        # One after another: after b, c too would rise above 1.
        ((0.9, 0.85, 0.05, 0.2, 1.0), "f", {"b": 1.0, "c": 1.0, "d": 0.2, "e": 0.8}),
        # Fewer are left than are chosen: all.
        ((0.5, 0.5, 1.0), "bd", {"c": 1.0}),
        # Only peers that were never chosen are left: equally likely.
        ((1.0, 0.0, 0.0), "b", {"c": 0.5, "d": 0.5}),
        # Those that are certain are enough.
        ((1.0, 1.0, 0.0), "", {"b": 1.0, "c": 1.0, "d": 0.0}),
    ],
    ids=["proportion", "cap", "caps in turn", "too few", "weight 0", "certain"],
)
def test_without_some_the_chances_of_the_others_rise_in_proportion_up_to_1(
    probabilities, absent, left
):
    peers = "bcdefg"[: len(probabilities)]
    policy = Weighted(peers, probabilities).without(set(absent))
    assert policy.peers == tuple(left)
    count = min(round(sum(probabilities)), len(left))
    assert policy.total == count
    chosen = [pick for node in range(10) for pick in draws(policy, count, node)]
    assert all(len(set(pick)) == count for pick in chosen)
    included = Counter(peer for pick in chosen for peer in pick)
    for peer, probability in left.items():
        # 95 % for the ten uncertain chances of the table together: 2.81 standard errors.
        margin = 2.81 * math.sqrt(probability * (1 - probability) / DRAWS)
        assert abs(included[peer] / DRAWS - probability) <= margin
