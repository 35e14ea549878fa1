"""The policy of the supervisor, with a clock that a test moves."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from dmoa.live.cluster import ClusterNode
from dmoa.live.supervisor import NodeReport, Policy, Process, Supervisor


class FakeProcess:
    """A process that ends when a test says so."""

    def __init__(self, pid: int, *, adopted: bool = False) -> None:
        self._pid, self._adopted = pid, adopted
        self.end: int | str | None = None
        self.signals: list[int] = []

    @property
    def pid(self) -> int | None:
        return self._pid

    @property
    def adopted(self) -> bool:
        return self._adopted

    def ended(self) -> int | str | None:
        return self.end

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


class World:
    """A supervisor with everything around it in a test's hands."""

    def __init__(self, folder: Path, names: tuple[str, ...] = ("0",)) -> None:
        self.time_s = 100.0
        self.said: list[str] = []
        self.started: dict[str, list[FakeProcess]] = {name: [] for name in names}
        self.failure: OSError | None = None
        self.adopted = False
        nodes = [ClusterNode(name=name, folder=folder / name) for name in names]
        self.policy = Policy()
        self.supervisor = Supervisor(
            nodes, spawn=self.spawn, now=lambda: self.time_s, say=self.said.append
        )

    def spawn(self, node: ClusterNode) -> Process:
        if self.failure is not None:
            raise self.failure
        processes = self.started[node.name]
        processes.append(FakeProcess(1000 + len(processes), adopted=self.adopted))
        return processes[-1]

    def check_after(self, seconds: float) -> None:
        self.time_s += seconds
        self.supervisor.check()

    def die(self, name: str = "0", end: int | str = -9, after_s: float = 1.0) -> None:
        self.started[name][-1].end = end
        self.check_after(after_s)

    def over(self) -> bool:
        return self.supervisor.over

    def report(self, name: str = "0") -> NodeReport:
        (found,) = (report for report in self.supervisor.report() if report.name == name)
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = World(tmp_path)
    found.supervisor.check()
    return found


def test_every_node_is_started_once(tmp_path: Path) -> None:
    world = World(tmp_path, ("0", "1", "2"))
    world.supervisor.check()
    world.check_after(1000)
    assert {name: len(found) for name, found in world.started.items()} == {"0": 1, "1": 1, "2": 1}
    assert world.report("2").state == "running"
    assert world.said == []


def test_a_node_that_dies_is_started_again_after_a_wait_and_it_is_said(world: World) -> None:
    world.die()
    assert world.report().state == "waiting"
    assert world.said == ["node 0 died after 1.0 s (SIGKILL); starting it again in 0.5 s"]
    world.check_after(0.4)
    assert len(world.started["0"]) == 1
    world.check_after(0.2)
    assert len(world.started["0"]) == 2
    assert world.said[1:] == ["node 0 started again (pid 1001)"]
    assert (world.report().state, world.report().restarts) == ("running", 1)


def test_one_death_leaves_the_others_alone(tmp_path: Path) -> None:
    world = World(tmp_path, ("0", "1"))
    world.supervisor.check()
    world.die("1")
    world.check_after(10)
    assert [len(found) for found in world.started.values()] == [1, 2]
    assert world.started["0"][0].signals == []


def test_waits_double_and_the_last_rapid_death_is_the_end(world: World, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "node.log").write_text("loading\nout of memory\n", encoding="utf-8")
    for wait_s in (0.5, 1, 2, 4):
        world.die(end=1)
        assert f"starting it again in {wait_s:g} s" in world.said[-1]
        world.check_after(wait_s)
    assert not world.over()
    world.die(end=1)
    assert world.report().state == "given up"
    assert "died after 1.0 s (exit code 1), 5 times in a row, and is given up" in world.said[-1]
    assert "out of memory" in world.said[-1]
    assert "`dmoa up`" in world.said[-1]
    world.check_after(1e6)
    assert len(world.started["0"]) == 5
    assert world.over()


def test_a_node_that_lived_long_begins_a_new_count(world: World) -> None:
    for _ in range(20):
        world.check_after(world.policy.rapid_s)
        world.die()
        assert "starting it again in 0.5 s" in world.said[-1]
        world.check_after(0.5)
    assert world.report().state == "running"


def test_bad_input_at_the_first_start_is_not_tried_again(world: World) -> None:
    world.die(end=2)
    assert world.report().state == "given up"
    assert "in a row" not in world.said[-1]


def test_bad_input_of_a_node_that_ran_well_is_tried_again(world: World) -> None:
    world.check_after(world.policy.rapid_s)
    world.die(after_s=0)
    world.check_after(1)
    world.die(end=2)
    assert world.report().state == "waiting"


def test_a_node_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.failure = OSError(11, "Resource temporarily unavailable")
    world.supervisor.check()
    assert "cannot be started (Resource temporarily unavailable)" in world.said[-1]
    world.failure = None
    world.check_after(1)
    assert world.report().state == "running"
    assert world.report().restarts == 0


def test_a_node_that_runs_already_is_kept(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.adopted = True
    world.supervisor.check()
    assert world.said == ["node 0 runs already (pid 1000); kept as it is"]


def test_stopping_asks_first_and_kills_after_the_grace(tmp_path: Path) -> None:
    world = World(tmp_path, ("0", "1"))
    world.supervisor.check()
    world.supervisor.stop()
    world.supervisor.stop()
    assert [found[0].signals for found in world.started.values()] == [[signal.SIGTERM]] * 2
    world.die("0", end=0)
    assert not world.over()
    world.check_after(world.policy.grace_s - 2)
    assert world.started["1"][0].signals == [signal.SIGTERM]
    world.check_after(1)
    assert world.started["1"][0].signals == [signal.SIGTERM, signal.SIGKILL]
    assert world.said == ["node 1 has not left; killing it"]
    world.die("1")
    assert world.over()
    assert {report.state for report in world.supervisor.report()} == {"stopped"}


def test_nothing_is_started_again_once_stopping(world: World) -> None:
    world.die()
    world.supervisor.stop()
    world.check_after(100)
    assert len(world.started["0"]) == 1
    assert world.over()
