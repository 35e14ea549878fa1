"""What the cache keeps, gives again and forgets; its cells are a fake that is strict about use."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dmoa.live.engines.llama_cache import KEPT_MAX, Cache, Held

SEQUENCES = 3


class FakeCells:
    """Sequences as lists; without cutting, only as a whole are they copied or forgotten."""

    def __init__(self, *, can_cut: bool = True) -> None:
        self.sequences: dict[int, list[int]] = {}
        self.can_cut = can_cut

    def length(self, sequence: int) -> int:
        return len(self.sequences.get(sequence, ()))

    def cut(self, sequence: int, length: int) -> bool:
        if length and not self.can_cut:
            return False
        del self.sequences.setdefault(sequence, [])[length:]
        return True

    def copy(self, source: int, target: int, length: int) -> None:
        assert not self.length(target), "a number was given that is in use"
        assert length <= self.length(source)
        assert self.can_cut or length == self.length(source)
        self.sequences[target] = self.sequences[source][:length]


class World:
    """A cache with its cells, and computations that put tokens into both."""

    def __init__(
        self, *, kept_tokens: int = 100, can_cut: bool = True, sequences: int = SEQUENCES
    ) -> None:
        self.cells = FakeCells(can_cut=can_cut)
        self.cache = Cache(self.cells, sequences, kept_tokens=kept_tokens, can_cut=can_cut)

    def compute(self, held: Held, *tokens: int) -> None:
        self.cells.sequences.setdefault(held.number, []).extend(tokens)
        held.tokens += tokens

    def keep(self, *tokens: int) -> None:
        held = self.cache.begin([])
        self.compute(held, *tokens)
        self.cache.keep(held)

    def begun(self, *tokens: int) -> list[int]:
        """Say what a prompt need not compute."""
        held = self.cache.begin(tokens)
        known = list(held.tokens)
        assert self.cells.sequences.get(held.number, []) == known
        self.cache.drop(held)
        return known

    @property
    def kept(self) -> list[list[int]]:
        return [held.tokens for held in self.cache._kept]


def test_a_prompt_takes_over_the_longest_beginning_that_is_there() -> None:
    world = World()
    world.keep(1, 2, 3, 4)
    world.keep(1, 2, 9)
    working = world.cache.begin([])
    world.compute(working, 1, 2, 3, 5, 6)
    for prompt, known in (
        ((1, 2, 3, 4, 7), [1, 2, 3, 4]),
        ((1, 2, 3, 7), [1, 2, 3]),
        ((1, 2, 9, 7), [1, 2, 9]),
        ((1, 2, 3, 5, 6, 7), [1, 2, 3, 5, 6]),
        ((8, 1, 2), []),
        ((), []),
    ):
        assert world.begun(*prompt) == known


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    world = World()
    world.keep(1, 2, 3)
    assert world.begun(1, 2, 3) == [1, 2]
    assert world.begun(1) == []


def test_what_cannot_be_cut_is_used_as_a_whole_or_not_at_all() -> None:
    world = World(can_cut=False)
    world.keep(1, 2, 3)
    assert world.begun(1, 2, 3, 4) == [1, 2, 3]
    assert world.begun(1, 2, 3) == []
    assert world.begun(1, 2, 9) == []
    world.keep(1, 2)
    assert world.begun(1, 2, 9) == [1, 2]
    world.keep(1, 2)
    assert world.kept == [[1, 2, 3], [1, 2]]


def test_a_beginning_of_another_one_is_not_kept_beside_it() -> None:
    world = World()
    world.keep(1, 2)
    world.keep(1, 2, 3)
    assert world.kept == [[1, 2, 3]]
    world.keep(7, 8)
    world.keep(1, 2)
    assert world.kept == [[7, 8], [1, 2, 3]], "the longer one counts as used"
    world.keep()
    assert world.kept == [[7, 8], [1, 2, 3]]


def test_the_least_recently_used_gives_way() -> None:
    world = World(kept_tokens=6)
    world.keep(1, 1, 1)
    world.keep(2, 2, 2)
    world.begun(1, 1, 9)
    world.keep(3, 3)
    assert world.kept == [[1, 1, 1], [3, 3]]
    assert world.cache.kept == 5
    assert world.cache.evict()
    assert world.kept == [[3, 3]]
    assert world.cache.evict()
    assert not world.cache.evict()


def test_the_last_one_stays_however_long() -> None:
    world = World(kept_tokens=4)
    world.keep(1)
    world.keep(*range(50))
    assert world.kept == [list(range(50))]


def test_there_are_at_most_so_many() -> None:
    world = World(kept_tokens=10_000)
    for first in range(3 * KEPT_MAX):
        world.keep(first, 1, 2)
    assert [tokens[0] for tokens in world.kept] == list(range(2 * KEPT_MAX, 3 * KEPT_MAX))


@pytest.mark.parametrize(
    ("there", "can_cut", "left"),
    [(5, True, 3), (3, True, 3), (2, True, 2), (0, True, 0), (3, False, 0)],
)
def test_after_a_computation_that_did_not_end_both_agree(
    there: int, *, can_cut: bool, left: int
) -> None:
    world = World(can_cut=can_cut)
    held = world.cache.begin([])
    world.compute(held, 1, 2, 3)
    world.cells.sequences[held.number] = [1, 2, 3, 4, 5][:there]
    world.cache.reconcile(held)
    assert held.tokens == world.cells.sequences[held.number] == [1, 2, 3][:left]


def test_cells_that_refuse_a_cut_lose_all() -> None:
    world = World()
    held = world.cache.begin([])
    world.compute(held, 1, 2, 3)
    world.cells.can_cut = False
    world.cache.reconcile(held)
    assert held.tokens == world.cells.sequences[held.number] == []


def test_all_that_are_at_work_can_be_forgotten_at_once() -> None:
    world = World()
    world.keep(7)
    for first in range(SEQUENCES):
        world.compute(world.cache.begin([]), first)
    world.cache.drop_all()
    assert world.kept == [[7]]
    assert sorted(world.cache._free) == sorted(
        {*range(SEQUENCES + KEPT_MAX)} - {world.cache._kept[0].number}
    )


PROMPTS = st.lists(st.integers(0, 2), max_size=9)


class Life(RuleBasedStateMachine):
    """Sequences begin, grow, fail, are kept and dropped, in any order."""

    world: World
    working: list[Held]

    @initialize(
        kept_tokens=st.integers(0, 30), can_cut=st.booleans(), sequences=st.integers(1, SEQUENCES)
    )
    def make(self, kept_tokens: int, sequences: int, *, can_cut: bool) -> None:
        self.world = World(kept_tokens=kept_tokens, can_cut=can_cut, sequences=sequences)
        self.kept_tokens, self.sequences, self.working = kept_tokens, sequences, []

    @precondition(lambda self: len(self.working) < self.sequences)
    @rule(tokens=PROMPTS)
    def begin(self, tokens: list[int]) -> None:
        world = self.world
        there = [*world.kept, *(held.tokens for held in self.working)]
        held = world.cache.begin(tokens)
        assert held.tokens == tokens[: len(held.tokens)]
        assert len(held.tokens) < max(1, len(tokens))
        assert len(held.tokens) == max((self.usable(one, tokens[:-1]) for one in there), default=0)
        self.working.append(held)

    def usable(self, one: list[int], wanted: list[int]) -> int:
        if not self.world.cells.can_cut:
            return len(one) if wanted[: len(one)] == one else 0
        return max(n for n in range(min(len(one), len(wanted)) + 1) if one[:n] == wanted[:n])

    @precondition(lambda self: self.working)
    @rule(data=st.data(), tokens=PROMPTS)
    def compute(self, data: st.DataObject, tokens: list[int]) -> None:
        self.world.compute(data.draw(st.sampled_from(self.working)), *tokens)

    @precondition(lambda self: self.working)
    @rule(data=st.data(), lost=st.integers(0, 3), more=PROMPTS)
    def fail(self, data: st.DataObject, lost: int, more: list[int]) -> None:
        held = data.draw(st.sampled_from(self.working))
        cells = self.world.cells.sequences.setdefault(held.number, [])
        cells[:] = [*cells, *more][: max(0, len(cells) + len(more) - lost)]
        self.world.cache.reconcile(held)

    @precondition(lambda self: self.working)
    @rule(data=st.data(), end=st.sampled_from([Cache.keep, Cache.drop]))
    def end(self, data: st.DataObject, end: Callable[[Cache, Held], None]) -> None:
        held = data.draw(st.sampled_from(self.working))
        self.working.remove(held)
        end(self.world.cache, held)
        if end is Cache.keep and held.tokens:
            assert any(one[: len(held.tokens)] == held.tokens for one in self.world.kept)

    @rule()
    def evict(self) -> None:
        before = self.world.kept
        assert self.world.cache.evict() == bool(before)
        assert self.world.kept == before[1:]

    @invariant()
    def every_number_is_in_one_place(self) -> None:
        if not hasattr(self, "world"):
            return
        cache = self.world.cache
        used = [held.number for held in (*cache._working, *cache._kept)]
        assert sorted([*used, *cache._free]) == list(range(self.sequences + KEPT_MAX))

    @invariant()
    def cells_hold_what_the_cache_says(self) -> None:
        if not hasattr(self, "world"):
            return
        cache, cells = self.world.cache, self.world.cells
        for held in (*cache._working, *cache._kept):
            assert cells.sequences.get(held.number, []) == held.tokens
        for number in cache._free:
            assert not cells.length(number)

    @invariant()
    def what_is_kept_has_its_limits(self) -> None:
        if not hasattr(self, "world"):
            return
        cache = self.world.cache
        assert len(cache._kept) <= KEPT_MAX
        assert len(cache._kept) <= 1 or cache.kept <= self.kept_tokens
        assert all(held.tokens for held in cache._kept)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40)
