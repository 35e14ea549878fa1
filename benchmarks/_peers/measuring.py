"""One network: every engine is checked, then timed, taking turns so that noise is shared."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from _peers.checks import Expected, disagreement, mm1_from_empty, seen
from _peers.engines import ENGINES, REFERENCE
from _peers.network import Network, Run, UnavailableError
from _peers.worker import Worker

LARGE, CHECKED_LARGE = 10_000, 5
"""Nodes beyond which fewer runs are checked: each tells as much as many of a small network."""
EVENTS_PER_NODE = 4
"""Of a run that is checked, at least; it starts empty, so fewer would show idle nodes."""
SCANNED_MAX = 5_000_000
"""Nodes times events of a run that is checked, at most, where each event looks at every node."""
SECONDS_MIN = 0.001
"""What a run counts as at least, where the length of a longer one is worked out from it."""


class Effort(NamedTuple):
    """How much to do.

    Attributes:
        repeats: runs that are timed.
        checked: runs that are checked, in networks of up to `LARGE` nodes.
        events: events of a run that is checked, about.
        seconds: how long a run that is timed lasts at least, about.
        study_events: events of a timed run, at least, of an engine that studies what it ran.
        limit_s: how long a run may take, building the network included.
    """

    repeats: int
    checked: int
    events: int
    seconds: float
    study_events: int
    limit_s: float


@dataclass
class Entry:
    """What is found of one engine.

    Attributes:
        horizon_s: of the runs that are checked.
        note: why the engine has no speed, if it has none.
        wrong: whether that is because it simulates something else.
        speeds: events per second of each run that was timed.
        found, expected: what was compared, as far as it came to that.
    """

    name: str
    horizon_s: float
    note: str = ""
    wrong: bool = False
    runs: list[Run] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    found: Expected | None = None
    expected: Expected | None = None

    @property
    def speed(self) -> float | None:
        """Median events per second."""
        return statistics.median(self.speeds) if self.speeds and not self.note else None


class Cell:
    """The engines on one network; those that are not asked for run only as the reference."""

    def __init__(
        self,
        network: Network,
        names: Iterable[str],
        effort: Effort,
        tell: Callable[[str], None],
        title: str,
    ) -> None:
        self.network, self.effort, self.tell, self.title = network, effort, tell, title
        self.asked = list(names)
        extra = [REFERENCE] if network.layers and REFERENCE not in self.asked else []
        self.entries = [self.enter(name) for name in [*self.asked, *extra]]
        self.workers: dict[str, Worker] = {}

    def enter(self, name: str) -> Entry:
        """Choose the length of an engine's runs, or say what it lacks."""
        engine, nodes = ENGINES[name], self.network.nodes
        events = max(self.effort.events, EVENTS_PER_NODE * nodes)
        note = engine.lacks if self.network.layers else ""
        # The layered network has one horizon for all: there is one reference.
        if engine.scans and not self.network.layers:
            events = min(events, SCANNED_MAX // nodes)
            if events < EVENTS_PER_NODE * nodes:
                note = "skipped: it looks at every node at each event"
        return Entry(name, events / self.network.event_rate_hz, note)

    def measure(self) -> list[Entry]:
        """Check and time all; stop their processes in any case."""
        checked = self.effort.checked
        if self.network.nodes > LARGE:
            checked = min(checked, CHECKED_LARGE)
        try:
            self.take_turns("check", range(1, checked + 1), self.check)
            self.judge()
            self.entries = [entry for entry in self.entries if entry.name in self.asked]
            seeds = range(checked + 1, checked + 1 + self.effort.repeats)
            self.take_turns("time", seeds, self.clock)
        finally:
            for worker in self.workers.values():
                worker.close()
        return self.entries

    def take_turns(self, what: str, seeds: range, act: Callable[[Entry, int], None]) -> None:
        """Let each engine that has not failed run once for each seed."""
        for turn, seed in enumerate(seeds, 1):
            for entry in self.entries:
                if entry.note:
                    continue
                engine = ENGINES[entry.name].title
                self.tell(f"{self.title}: {what} {turn} of {len(seeds)}, {engine}")
                try:
                    act(entry, seed)
                except UnavailableError as error:
                    entry.note = str(error)

    def run(self, entry: Entry, horizon_s: float, seed: int, *, check: bool) -> Run:
        """Run once; an engine's process begins with its first run."""
        if entry.name not in self.workers:
            self.workers[entry.name] = Worker(entry.name)
        return self.workers[entry.name].run(
            self.network, horizon_s, seed, check=check, limit_s=self.effort.limit_s
        )

    def check(self, entry: Entry, seed: int) -> None:
        """Run once to see what the engine simulates."""
        entry.runs.append(self.run(entry, entry.horizon_s, seed, check=True))

    def judge(self) -> None:
        """Compare what was seen with theory or with the reference."""
        reference = next((one for one in self.entries if one.name == REFERENCE), None)
        for entry in self.entries:
            if entry.note:
                continue
            entry.found = seen(entry.runs)
            if not self.network.layers:
                entry.expected = mm1_from_empty(self.network, entry.horizon_s)
            elif reference is None or reference.note:
                entry.note = "not checked: the reference has no runs"
                continue
            else:
                entry.expected = seen(reference.runs)
            entry.note = disagreement(entry.found, entry.expected)
            entry.wrong = bool(entry.note)

    def clock(self, entry: Entry, seed: int) -> None:
        """Time a run; those that were checked count where they were long enough."""
        engine, effort = ENGINES[entry.name], self.effort
        checked_s = max(SECONDS_MIN, statistics.median(run.seconds for run in entry.runs))
        longer = effort.seconds / checked_s
        if engine.studies:
            longer = max(longer, effort.study_events / entry.runs[0].events)
        if longer <= 1 and not engine.check:
            entry.speeds = [run.events / run.seconds for run in entry.runs]
            return
        run = self.run(entry, entry.horizon_s * max(1.0, longer), seed, check=False)
        entry.speeds.append(run.events / run.seconds)
