"""What is done about nodes that die: start them again, wait longer each time, give up.

The policy only. Processes and the clock are handed in, so nothing here waits: `check` is called
again and again, and says what it did.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from dmoa.live.cluster import ClusterNode
from dmoa.live.tails import last_lines

NodeState = Literal["running", "waiting", "given up", "stopped"]

#: How a process of dmoa ends when its files or arguments are wrong: trying again will not help.
BAD_INPUT = 2
#: Lines of a node's log that are shown when it is given up.
LINES_SHOWN = 5


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """When to start a node again. Times in seconds.

    A death within ``rapid_s`` of the start is rapid. After the n-th rapid death in a row the node
    waits ``min(first_wait_s * 2**(n - 1), wait_max_s)``; after ``deaths_max`` it is given up.
    """

    first_wait_s: float = 0.5
    wait_max_s: float = 30.0
    rapid_s: float = 20.0
    deaths_max: int = 5
    grace_s: float = 15.0
    """How long a node may take to leave before it is killed."""

    def wait_s(self, deaths: int) -> float:
        """Give the time to wait after so many rapid deaths in a row.

        >>> [Policy().wait_s(deaths) for deaths in (1, 2, 3, 40)]
        [0.5, 1.0, 2.0, 30.0]
        """
        return min(self.first_wait_s * 2.0 ** min(deaths - 1, 60), self.wait_max_s)


class Process(Protocol):
    """A process that runs a node."""

    @property
    def pid(self) -> int | None:
        """Its id, if it is known."""
        ...

    @property
    def adopted(self) -> bool:
        """Whether it ran already when it was to be started."""
        ...

    def ended(self) -> int | str | None:
        """Say how it ended, by its code (negative: the signal) or in words; None while it runs."""
        ...

    def send_signal(self, number: int) -> None:
        """Signal it, and with SIGKILL all its children; nothing happens if it has ended."""
        ...


Spawn = Callable[[ClusterNode], Process]


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the supervisor sees a node; ``reason`` says how it last died."""

    name: str
    state: NodeState
    pid: int | None = None
    restarts: int = 0
    reason: str = ""


class _Life:
    """A node and the process that runs it now."""

    def __init__(self, node: ClusterNode) -> None:
        self.node = node
        self.process: Process | None = None
        self.state: NodeState = "waiting"
        self.started_s = 0.0
        self.due_s = 0.0
        self.deaths = self.starts = 0
        self.proven = False
        self.reason = ""

    def report(self) -> NodeReport:
        pid = self.process.pid if self.process is not None else None
        return NodeReport(
            name=self.node.name,
            state=self.state,
            pid=pid,
            restarts=max(self.starts - 1, 0),
            reason=self.reason,
        )


class Supervisor:
    """Keeps the nodes of a local cluster running until it is told to stop.

    Args:
        nodes: The nodes, in the order in which they are started.
        spawn: Starts a node's process; it may raise OSError.
        now: A clock that never goes back, s.
        say: Called with every line that a user should read.
        policy: When to start a node again.
    """

    def __init__(
        self,
        nodes: Sequence[ClusterNode],
        *,
        spawn: Spawn,
        now: Callable[[], float],
        say: Callable[[str], None],
        policy: Policy | None = None,
    ) -> None:
        self._lives = [_Life(node) for node in nodes]
        self._spawn, self._now, self._say = spawn, now, say
        self._policy = Policy() if policy is None else policy
        self._kill_at_s: float | None = None

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._kill_at_s is not None

    @property
    def over(self) -> bool:
        """Whether nothing is left to look after: all were stopped or given up."""
        return all(life.state in ("given up", "stopped") for life in self._lives)

    def report(self) -> list[NodeReport]:
        """Say how every node is."""
        return [life.report() for life in self._lives]

    def check(self) -> None:
        """Notice what happened since the last time, and do what is due."""
        now = self._now()
        for life in self._lives:
            if life.process is not None:
                self._notice_end(life, life.process, now)
            if life.state == "waiting" and now >= life.due_s:
                self._start(life, now)
        if self._kill_at_s is not None and now >= self._kill_at_s:
            self.kill()

    def stop(self) -> None:
        """Ask every node to leave; after the grace, `check` kills those that have not."""
        if self.stopping:
            return
        self._kill_at_s = self._now() + self._policy.grace_s
        for life in self._lives:
            if life.process is not None:
                life.process.send_signal(signal.SIGTERM)
            elif life.state == "waiting":
                life.state = "stopped"

    def kill(self) -> None:
        """Kill every node that still runs, at once."""
        self.stop()
        for life in self._lives:
            if life.process is not None and life.state == "running":
                self._say(f"node {life.node.name} has not left; killing it")
                life.process.send_signal(signal.SIGKILL)
        self._kill_at_s = self._now() + self._policy.grace_s

    def _start(self, life: _Life, now: float) -> None:
        try:
            process = self._spawn(life.node)
        except OSError as error:
            self._mourn(life, f"cannot be started ({error.strerror or error})", 0.0)
            return
        life.process, life.state, life.started_s = process, "running", now
        life.starts += 1
        if process.adopted:
            self._say(f"node {life.node.name} runs already (pid {process.pid}); kept as it is")
        elif life.starts > 1:
            self._say(f"node {life.node.name} started again (pid {process.pid})")

    def _notice_end(self, life: _Life, process: Process, now: float) -> None:
        end = process.ended()
        if end is None:
            life.proven = life.proven or now - life.started_s >= self._policy.rapid_s
            return
        life.process = None
        if self.stopping:
            life.state, life.reason = "stopped", ""
            return
        hopeless = end == BAD_INPUT and not life.proven
        lived_s = now - life.started_s
        what = f"died after {lived_s:.1f} s ({how_it_ended(end)})"
        self._mourn(life, what, lived_s, hopeless=hopeless)

    def _mourn(self, life: _Life, what: str, lived_s: float, *, hopeless: bool = False) -> None:
        """Decide about a node that has ended or could not be started."""
        life.deaths = life.deaths + 1 if lived_s < self._policy.rapid_s else 1
        life.reason = what
        if hopeless or life.deaths >= self._policy.deaths_max:
            life.state = "given up"
            self._say(self._farewell(life, what, hopeless=hopeless))
            return
        wait_s = self._policy.wait_s(life.deaths)
        life.state, life.due_s = "waiting", self._now() + wait_s
        self._say(f"node {life.node.name} {what}; starting it again in {wait_s:g} s")

    def _farewell(self, life: _Life, what: str, *, hopeless: bool) -> str:
        count = "" if hopeless else f", {life.deaths} times in a row"
        return (
            f"node {life.node.name} {what}{count}, and is given up: mend the cause, then run "
            f"`dmoa down` and `dmoa up`{log_end(life.node.log_file)}"
        )


def how_it_ended(end: int | str) -> str:
    """Write how a process ended.

    >>> [how_it_ended(end) for end in (1, -9, -200, "nobody knows how")]
    ['exit code 1', 'SIGKILL', 'signal 200', 'nobody knows how']
    """
    if isinstance(end, str):
        return end
    if end >= 0:
        return f"exit code {end}"
    try:
        return signal.Signals(-end).name
    except ValueError:
        return f"signal {-end}"


def log_end(log_file: Path) -> str:
    """Quote the last lines of a log, each on a line of its own; empty if there is nothing."""
    lines = last_lines(log_file, LINES_SHOWN)
    if not lines:
        return ""
    return "\n  ".join([f"\nThe end of its log, {log_file}:", *lines])
