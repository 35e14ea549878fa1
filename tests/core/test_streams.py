"""The keyed random streams."""

from collections import Counter

import pytest

from dmoa.core import Stream, derive, mix64, uniform

GOLDEN = 0x9E3779B97F4A7C15


def test_mix64_gives_the_reference_outputs_of_splitmix64_from_seed_0():
    # The first outputs of the reference implementation (Vigna, prng.di.unimi.it/splitmix64.c).
    outputs = [mix64(step * GOLDEN % 2**64) for step in (1, 2, 3)]
    assert outputs == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_uniform_is_the_upper_52_bits_of_splitmix64_centred_in_their_cell():
    assert uniform(0, 1) == ((0xE220A8397B1DCDAF >> 12) + 0.5) / 2**52
    assert uniform(GOLDEN, 0) == uniform(0, 1)


@pytest.mark.parametrize("key", [0, 1, derive(1, "service"), 2**64 - 1])
def test_draws_are_uniform(key):
    # Chi-square over 20 cells: 32.85 is the 97.5 % and 8.91 the 2.5 % quantile of 19 degrees.
    cells = Counter(int(uniform(key, position) * 20) for position in range(20_000))
    chi_square = sum((cells[cell] - 1000) ** 2 / 1000 for cell in range(20))
    assert 8.91 < chi_square < 32.85


def test_no_draw_is_0_or_1_even_where_all_bits_are_equal():
    key_of_ones = 0xCF9A04AFFA6BADC0  # found by running mix64 backwards
    assert (mix64(0), mix64(key_of_ones)) == (0, 2**64 - 1)
    assert uniform(0, 0) == 0.5 / 2**52
    assert uniform(key_of_ones, 0) == 1 - 0.5 / 2**52 < 1


def test_a_stream_gives_the_draws_at_its_positions_in_order():
    stream = Stream(7, position=4)
    assert [stream.uniform(), stream.uniform()] == [uniform(7, 5), uniform(7, 6)]


def test_every_label_gives_a_stream_of_its_own():
    words: list[tuple[int | str, ...]] = [("a",), ("b",), ("ab",), ("a", "b"), ("b", "a"), ("",)]
    numbers: list[tuple[int | str, ...]] = [(0,), (1,), (-1,), (1, 2), (2, 1), ("1",), (97,)]
    labels = [(), *words, *numbers]
    keys = [derive(seed, *label) for seed in (5, 6) for label in labels]
    assert keys == [derive(seed, *label) for seed in (5, 6) for label in labels]
    assert len(set(keys)) == len(keys)
    assert all(0 <= key < 2**64 for key in keys)


def test_labels_may_be_given_one_by_one():
    assert derive(derive(5, "node"), 3) == derive(5, "node", 3)
