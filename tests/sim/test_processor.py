"""The processor that tasks in service share: turns, chunks, reading ahead, machines, by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from dmoa.core import Content, TaskId
from dmoa.sim.hosts import Hosts, Turn
from dmoa.sim.processor import KEPT_MAX, Memory, Pace, Processor

RESPONSE = Content(10)


def task(prompt: int, stage: int = 0, origin: str = "a") -> TaskId:
    return TaskId(origin, prompt, stage, 0)


class Run:
    """Hosts that are driven by hand: what happens when, in whole."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self.ends: dict[TaskId, float] = {}
        self._turns: list[Turn] = []

    def at(self, time_s: float, change: Callable[..., None], *arguments: object) -> None:
        self.until(time_s)
        change(*arguments, time_s)
        self._settle(time_s)

    def until(self, time_s: float) -> None:
        """Take turns in their order; void ones too, as the kernel does."""
        while self._turns:
            turn = min(self._turns, key=lambda one: one.at_s)
            if turn.at_s > time_s:
                return
            self._turns.remove(turn)
            ended = self.hosts.end(turn)
            if ended is not None:
                self.ends[ended[1]] = turn.at_s
            self._settle(turn.at_s)

    def _settle(self, now_s: float) -> None:
        for host, version, _node, delay_s in self.hosts.settle(now_s):
            self._turns.append(Turn([], host, version, now_s + delay_s))


def hosts(
    pace: Pace,
    works: dict[TaskId, tuple[float, float]],
    *,
    nodes: int = 1,
    places: Sequence[int] | None = None,
    share: float = float("inf"),
    memory: Callable[[], Memory] | None = None,
) -> Hosts:
    """Make nodes that read a token in 0.01 s; of a task its work is given, reading and writing."""
    return Hosts(
        lambda _node, one, _content: (sum(works[one]), RESPONSE),
        [pace] * nodes,
        [0.01] * nodes,
        places=places,
        share=share,
        memories=None if memory is None else [memory() for _ in range(nodes)],
    )


def reads(seconds: float) -> Content:
    return Content(round(100 * seconds))


def test_a_turn_gives_every_writer_a_token_and_reads_a_chunk():
    # Tokens take 0.1 s alone, two at once 1.6 times as many; a chunk of 32 tokens takes 0.32 s.
    first, second = task(1), task(2)
    work = {first: (1.0, 1.0), second: (1.0, 1.0)}
    run = Run(hosts(Pace(0.1, 0.32, (1.0, 1.6)), work))
    run.at(0.0, run.hosts.start, 0, first, reads(1.0))
    run.at(1.0, run.hosts.start, 0, second, reads(1.0))
    run.until(99.0)
    # Reading 1 s takes 1 / 0.32 turns of 0.42 s, in which the first writes as many tokens.
    read_s = 1.0 + 0.42 / 0.32
    left_s = 1.0 - 0.1 / 0.32
    first_s = read_s + left_s / 0.8
    assert run.ends[first] == pytest.approx(first_s)
    assert run.ends[second] == pytest.approx(first_s + (1.0 - left_s))


def test_one_task_reads_at_a_time_in_the_order_of_their_start():
    # Nobody writes until the first has read: 2 s; then turns of 0.5 + 0.5 s, for 2 s of reading.
    first, second = task(1), task(2)
    work = {first: (2.0, 4.0), second: (2.0, 1.0)}
    run = Run(hosts(Pace(0.5, 0.5), work))
    run.at(0.0, run.hosts.start, 0, first, reads(2.0))
    run.at(0.0, run.hosts.start, 0, second, reads(2.0))
    run.until(99.0)
    # At 6 s both write, at full speed each; the first has written 2 of its 4 s.
    assert run.ends == {second: pytest.approx(7.0), first: pytest.approx(8.0)}


def test_where_writing_takes_no_time_a_task_ends_when_it_has_read():
    first, second, idle = task(1), task(2), task(3)
    work = {first: (1.0, 0.0), second: (1.0, 0.0), idle: (0.0, 0.5)}
    run = Run(hosts(Pace(0.0, 0.32), work))
    for one in (first, second, idle):
        run.at(0.0, run.hosts.start, 0, one, reads(work[one][0]))
    run.until(99.0)
    # What a task needs beside its tokens waits until nobody reads.
    assert run.ends == {first: 1.0, second: 2.0, idle: 2.5}


def test_a_cancelled_task_frees_its_share_at_once():
    first, second, third = task(1), task(2), task(3)
    work = {first: (0.0, 2.0), second: (0.0, 9.0), third: (4.0, 1.0)}
    run = Run(hosts(Pace(0.1, 0.3, (1.0, 1.0, 1.0)), work))
    run.at(0.0, run.hosts.start, 0, first, reads(0.0))
    run.at(0.0, run.hosts.start, 0, second, reads(0.0))
    run.at(1.0, run.hosts.cancel, 0, second)
    run.at(1.5, run.hosts.start, 0, third, reads(4.0))
    run.at(1.5, run.hosts.cancel, 0, third)
    run.at(1.5, run.hosts.cancel, 0, task(99))
    run.until(99.0)
    assert run.ends == {first: pytest.approx(2.5)}


def test_what_is_read_ahead_is_not_read_again_and_no_task_waits_for_it():
    own, later = task(1), task(1, stage=1)
    work = {own: (0.0, 1.0), later: (4.0, 1.0)}
    run = Run(hosts(Pace(0.1, 0.3), work))
    run.at(0.0, run.hosts.prefill, 0, later, reads(2.0))
    # After 0.5 s of 2 a task comes: it is served as if nothing else were there.
    run.at(0.5, run.hosts.start, 0, own, reads(0.0))
    run.at(1.0, run.hosts.prefill, 0, later, reads(3.0))
    # Read on from 1.5 s to 4 s, when all that was told is read.
    run.at(6.0, run.hosts.start, 0, later, reads(4.0))
    run.until(99.0)
    assert run.ends == {own: pytest.approx(1.5), later: pytest.approx(6.0 + 1.0 + 1.0)}


def test_prompts_are_read_ahead_in_the_order_they_were_told_and_dropped_when_they_end():
    first, second, third = (task(prompt, stage=1) for prompt in (1, 2, 3))
    work = dict.fromkeys((first, second, third), (2.0, 1.0))
    run = Run(hosts(Pace(0.1, 0.3), work))
    for one in (first, second, third):
        run.at(0.0, run.hosts.prefill, 0, one, reads(2.0))
    run.at(1.0, run.hosts.cancel, 0, first)
    # The second is read from 1 s on; of the third nothing, and of the first nothing is left.
    run.at(2.0, run.hosts.start, 0, second, reads(2.0))
    run.at(5.0, run.hosts.start, 0, first, reads(2.0))
    run.until(99.0)
    assert run.ends == {second: pytest.approx(4.0), first: pytest.approx(8.0)}


def test_a_prompt_that_is_told_again_is_read_on():
    later = task(1, stage=1)
    run = Run(hosts(Pace(0.1, 0.3), {later: (3.0, 1.0)}))
    run.at(0.0, run.hosts.prefill, 0, later, reads(1.0))
    run.at(3.0, run.hosts.prefill, 0, later, reads(1.0))
    run.at(4.0, run.hosts.prefill, 0, later, reads(2.0))
    run.at(4.5, run.hosts.start, 0, later, reads(3.0))
    run.until(99.0)
    assert run.ends == {later: pytest.approx(4.5 + 1.5 + 1.0)}


def memory() -> Memory:
    """Remember that 1 s of reading recurs after a first stage, 1.5 s after a later one."""
    return Memory(lambda one: 1.5 if one.stage else 1.0, slots=1)


def test_the_beginning_of_a_prompt_is_read_once_by_each_node():
    first, second, third = (task(1, stage) for stage in range(3))
    work = {first: (1.0, 0.0), second: (3.0, 0.0), third: (3.0, 0.0)}
    run = Run(hosts(Pace(0.1, 0.3), work, nodes=2, memory=memory))
    for begun_s, one in ((0.0, first), (10.0, second), (20.0, third)):
        seconds = work[one][0]
        run.at(begun_s, run.hosts.start, 0, one, reads(seconds))
    run.at(30.0, run.hosts.start, 1, third, reads(3.0))
    run.until(29.0)
    assert run.ends == {first: 1.0, second: 12.0, third: 21.5}
    run.until(99.0)
    assert run.ends[third] == 33.0  # another node has not read it


def test_what_is_known_is_not_read_ahead_either():
    first, second = task(1), task(1, stage=1)
    work = {first: (1.0, 0.0), second: (3.0, 0.0)}
    run = Run(hosts(Pace(0.1, 0.3), work, memory=memory))
    run.at(0.0, run.hosts.start, 0, first, reads(1.0))
    run.at(0.5, run.hosts.prefill, 0, second, reads(1.0))
    run.at(5.0, run.hosts.prefill, 0, second, reads(2.0))
    # The first second was known: within half a second half of the other is read.
    run.at(5.5, run.hosts.start, 0, second, reads(3.0))
    run.until(99.0)
    assert run.ends == {first: 1.0, second: pytest.approx(7.0)}


def test_a_node_remembers_the_last_prompts():
    kept = memory()
    for prompt in range(KEPT_MAX + 2):
        kept.note(task(prompt))
    assert kept.known_s(task(0)) == 0.0
    assert kept.known_s(task(1)) == kept.known_s(task(KEPT_MAX + 1, stage=1)) == 1.0
    kept.note(task(1, stage=1))
    kept.note(task(1))
    assert kept.known_s(task(1)) == 1.5


def test_busy_nodes_of_a_host_share_its_cores():
    # Two cores for three nodes with one thread each: as soon as all are busy, two thirds each.
    first, second, third = task(1), task(2), task(3)
    work = {first: (0.0, 4.0), second: (0.0, 4.0), third: (0.0, 1.0)}
    run = Run(hosts(Pace(0.1, 0.3), work, nodes=4, places=(0, 0, 0, 1), share=2.0))
    run.at(0.0, run.hosts.start, 0, first, reads(0.0))
    run.at(0.0, run.hosts.start, 1, second, reads(0.0))
    run.at(1.0, run.hosts.start, 2, third, reads(0.0))
    run.until(99.0)
    assert run.ends[third] == pytest.approx(2.5)
    assert run.ends[first] == run.ends[second] == pytest.approx(2.5 + 2.0)


def test_reading_ahead_uses_cores_but_another_machine_does_not():
    own, ahead, elsewhere = task(1), task(2, stage=1), task(3)
    work = {own: (0.0, 1.0), ahead: (0.5, 0.0), elsewhere: (0.0, 1.0)}
    run = Run(hosts(Pace(0.1, 0.3), work, nodes=3, places=(0, 0, 1), share=1.0))
    run.at(0.0, run.hosts.prefill, 1, ahead, reads(0.25))
    run.at(0.0, run.hosts.start, 0, own, reads(0.0))
    run.at(0.0, run.hosts.start, 2, elsewhere, reads(0.0))
    run.until(99.0)
    # A quarter of a second is read at half speed, in which the other gets half a second less.
    assert run.ends == {own: pytest.approx(1.25), elsewhere: pytest.approx(1.0)}


def test_a_host_with_less_than_a_thread_is_slow_for_one_node_too():
    own = task(1)
    run = Run(hosts(Pace(0.1, 0.3), {own: (0.0, 1.0)}, places=(0,), share=0.5))
    run.at(1.0, run.hosts.start, 0, own, reads(0.0))
    run.until(99.0)
    assert run.ends == {own: pytest.approx(3.0)}


def test_an_idle_processor_says_that_nothing_will_end():
    idle = Processor(Pace())
    assert idle.settle(5.0) == float("inf")
    assert not idle.busy
