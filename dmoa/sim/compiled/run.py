"""One replication with the compiled engine: room for the kernel, and what it recorded."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from math import inf
from typing import Any

import numpy as np

from dmoa.errors import InvariantError, UnstableError
from dmoa.scenario import Setup, from_dict, resolve
from dmoa.sim.compiled import layout, prepare
from dmoa.sim.compiled.jit import note_cached
from dmoa.sim.compiled.layout import Fixed, Log, State
from dmoa.sim.compiled.loop import DONE, FULL_FLIGHTS, STOPPED, run
from dmoa.trace import Links, Moment, Prompts, Steps, Tasks, Totals, Track
from dmoa.trace.statistics import WARM_UP_CELLS

ROWS_MIN, BYTES_MIN = 1 << 12, 1 << 20

Sink = Callable[[memoryview], None]


class Run:
    """A run of the kernel, and the room for it.

    Args:
        setup: the resolved scenario, one that `coverage.objection` has nothing against.
        key: of the replication.
        sink: called with the bytes of the trace as they come; what happens is kept as columns then.
            Without it the run keeps sums only.
        room_bytes: memory that the run may take; it stops where it would need more.
    """

    def __init__(
        self, setup: Setup, key: int, sink: Sink | None = None, *, room_bytes: float = inf
    ) -> None:
        self._setup, self._sink, self._room_bytes = setup, sink, room_bytes
        self._state = prepare.make_state(setup, key)
        self._fixed = prepare.make_fixed(setup, key, self._state.sources, records=sink is not None)
        self._log = None if sink is None else _make_log(self._fixed, self._state)
        #: The limit that stopped the run, if one did.
        self.stopped: str | None = None

    def advance(self, until_s: float) -> None:
        """Go on until a time, or until a limit is reached."""
        fixed = self._fixed._replace(horizon_s=float(until_s))
        status = -1
        while status not in {DONE, STOPPED}:
            with np.errstate(over="ignore"):  # where the kernel is not compiled
                status = run(fixed, self._state, self._log)
            self._pass_on()
            if status not in {DONE, STOPPED} and not self._grow(status):
                return
        if status == STOPPED:
            node = int(self._state.numbers[layout.STOPPED_AT])
            self._stop("the limit run.queue_length_max was reached", node)

    def _grow(self, status: int) -> bool:
        """Make room for what is full; say whether there was memory for it."""
        kept = (self._state, self._log or ())
        size_bytes = sum(array.nbytes for array in chain(*kept) if isinstance(array, np.ndarray))
        # The longer copy stands beside the old one for a moment.
        if 3 * size_bytes > self._room_bytes:
            nodes = self._state.nodes
            self._stop(
                f"what the run keeps would need more than {self._room_bytes / 2**30:.1f} GiB",
                int(np.argmax(nodes["waiting"])),
            )
            return False
        if status == FULL_FLIGHTS:
            flights = 2 * len(self._state.flights)
            self._state = prepare.grow_flights(self._state, flights, self._fixed.shift)
        elif self._log is not None:
            self._log = _grown(self._log, self._state)
        return True

    def _stop(self, problem: str, node: int) -> None:
        """Note that a limit stopped the run."""
        length = int(self._state.nodes["waiting"][node])
        self.stopped = str(
            UnstableError(problem, node=self._setup.names[node], queue_length=length)
        )

    def _pass_on(self) -> None:
        """Give away the bytes of the trace so far."""
        if self._sink is not None and self._log is not None:
            self._sink(self._log.bytes[: int(self._state.numbers[layout.BYTES])].data)
            self._state.numbers[layout.BYTES] = 0

    @property
    def events(self) -> int:
        """Prompts that arrived, services that ended and messages that took time."""
        return int(self._state.numbers[layout.EVENTS])

    @property
    def ended_s(self) -> float:
        """When the run ended, as `dmoa.sim.driver.Simulation` has it."""
        nodes, numbers = self._state.nodes, self._state.numbers
        counts = (nodes["waiting"], nodes["serving"], nodes["joining"], nodes["unfinished"])
        idle = numbers[layout.AWAITED] == 0 and not any(count.any() for count in counts)
        if idle or self.stopped is not None:
            return float(self._state.times_s[layout.LAST_S])
        return self._setup.horizon_s

    def track(self) -> Track:
        """Give the columns."""
        log, numbers = self._log, self._state.numbers
        if log is None:
            raise InvariantError("a run without a sink keeps no columns")
        steps, prompts, tasks, links = (
            int(numbers[at]) for at in (layout.STEPS, layout.PROMPTS, layout.TASKS, layout.LINKS)
        )
        origin, outcome = log.prompts[:, :prompts]
        arrived_s, ended_s = log.prompts_s[:, :prompts]
        server, of, stage, slot, end = log.tasks[:, :tasks]
        queued_s, started_s, served_s = log.tasks_s[:, :tasks]
        numbered = log.task_numbers[:tasks]
        return Track(
            self._setup.names,
            self.ended_s,
            Steps(log.steps_s[:steps], *log.steps[:, :steps]),
            Prompts(origin, log.prompt_numbers[:prompts], arrived_s, ended_s, outcome),
            Tasks(server, of, numbered, stage, slot, queued_s, started_s, served_s, end),
            Links(*log.links[:, :links], *log.links_s[:, :links]) if self._fixed.delayed else None,
            np.zeros(len(self._setup.names), np.bool_),
        )

    def unfinished_s(self, time_s: float) -> float:
        """Give the integral of all unfinished prompts to the time to which it was advanced."""
        nodes = self._state.nodes
        return float(
            (nodes["unfinished_s"] + nodes["unfinished"] * (time_s - nodes["seen_s"])).sum()
        )

    def moment(self, time_s: float, *, known: bool = True) -> Moment:
        """Give the totals at the time to which the run was advanced.

        Args:
            time_s: that time.
            known: whether the run was there at all; if not the integrals are nan.
        """
        nodes, flights, numbers = self._state.nodes, self._state.flights, self._state.numbers
        times_s = self._state.times_s
        since_s = time_s - nodes["seen_s"] if known else np.full(len(nodes["seen_s"]), np.nan)
        pending = flights["origin"] >= 0
        return Moment(
            time_s=time_s,
            waiting_s=nodes["waiting_s"] + nodes["waiting"] * since_s,
            serving_s=nodes["serving_s"] + nodes["serving"] * since_s,
            joining_s=nodes["joining_s"] + nodes["joining"] * since_s,
            unfinished_s=nodes["unfinished_s"] + nodes["unfinished"] * since_s,
            busy_s=nodes["busy_s"] + (nodes["waiting"] > 0) * since_s,
            present=nodes["waiting"] + nodes["serving"],
            unfinished=int(nodes["unfinished"].sum()),
            answered_at=self._state.sources["answered"].copy(),
            arrived=int(numbers[layout.ARRIVED]),
            answered=int(numbers[layout.ANSWERED]),
            refused=int(numbers[layout.REFUSED]),
            started=int(numbers[layout.STARTED]),
            served=int(numbers[layout.SERVED]),
            sojourn_s=float(times_s[layout.SOJOURN_S]),
            waited_s=float(times_s[layout.WAITED_S]),
            service_s=float(times_s[layout.SERVICE_S]),
            pending_sojourn_s=float((time_s - flights["arrived_s"][pending]).sum()),
            pending_waited_s=time_s * int(nodes["waiting"].sum()) - float(times_s[layout.QUEUED_S]),
        )

    @property
    def ramp_s(self) -> float:
        """About how long a prompt would take alone: its stages' service and first links."""
        served = int(self._state.numbers[layout.SERVED])
        if not served:
            return 0.0
        times_s = self._state.times_s
        service_s = float(times_s[layout.SERVICE_S]) / served
        return (service_s + 2 * float(times_s[layout.LINK_S])) * (self._fixed.layers + 1)


def compile_now(*, totals: bool) -> None:
    """Compile the kernel, or load what was compiled before: its first run does that.

    Args:
        totals: whether it will keep totals only; it is compiled without the rest then.
    """
    tiny = resolve(from_dict({"run": {"horizon_s": 0.001}}))
    Run(tiny, 0, None if totals else _forget).advance(tiny.horizon_s)
    note_cached(totals=totals)


def _forget(encoded: memoryview) -> None:
    """Take the bytes of a trace that nobody wants."""


def summed(setup: Setup, key: int, room_bytes: float = inf) -> tuple[Totals, str | None]:
    """Run one replication and keep totals only; give them, and the limit that stopped it, if any.

    Args:
        setup: the resolved scenario, one that `coverage.objection` has nothing against and whose
            prompts do not end.
        key: of the replication.
        room_bytes: memory that the run may take; it stops where it would need more.
    """
    made = Run(setup, key, room_bytes=room_bytes)
    grid_s = np.linspace(0.0, setup.horizon_s, WARM_UP_CELLS + 1)
    integrals = [0.0]
    middle = None
    for place, until_s in enumerate(grid_s[1:].tolist(), 1):
        made.advance(until_s)
        if made.stopped is not None:
            break
        integrals.append(made.unfinished_s(until_s))
        if place == WARM_UP_CELLS // 2:
            middle = made.moment(until_s)
    end = made.moment(made.ended_s)
    cells = np.diff(integrals) / np.diff(grid_s[: len(integrals)]) / len(setup.names)
    if middle is None or made.stopped is not None:
        middle = made.moment(made.ended_s, known=False)
    return Totals(setup.names, middle, end, cells, made.ramp_s), made.stopped


def recorded(
    setup: Setup, key: int, sink: Sink, room_bytes: float = inf
) -> tuple[Track, str | None]:
    """Run one replication; give what it did, and the limit that stopped it, if one did.

    Args:
        setup: the resolved scenario, one that `coverage.objection` has nothing against.
        key: of the replication.
        sink: called with the bytes of the trace as they come.
        room_bytes: memory that the run may take; it stops where it would need more.
    """
    made = Run(setup, key, sink, room_bytes=room_bytes)
    made.advance(setup.horizon_s)
    return made.track(), made.stopped


def _make_log(fixed: Fixed, state: State) -> Log:
    room = max(ROWS_MIN, 4 * len(state.inbox))
    # A few times what one event may need.
    room_bytes = max(BYTES_MIN, 4 * len(state.inbox) * fixed.entry_bytes)
    value = np.zeros(1)
    return Log(
        steps=np.zeros((5, room), np.int32),
        steps_s=np.zeros(room),
        prompts=np.zeros((2, room), np.int32),
        prompt_numbers=np.zeros(room, np.int64),
        prompts_s=np.zeros((2, room)),
        tasks=np.zeros((5, room), np.int32),
        task_numbers=np.zeros(room, np.int64),
        tasks_s=np.zeros((3, room)),
        links=np.zeros((2, room), np.int32),
        links_s=np.zeros((2, room)),
        bytes=np.zeros(room_bytes, np.uint8),
        actions=np.zeros(3 * (len(state.inbox) + int(state.nodes["slots"].max()) + 2), np.int64),
        heard=np.zeros(8, np.int64),
        bits=value.view(np.uint64),
        value=value,
    )


def _grown(log: Log, state: State) -> Log:
    """Make room for more rows in the tables that are nearly full."""
    room, numbers = len(state.inbox), state.numbers
    tables = (
        (layout.STEPS, ("steps", "steps_s")),
        (layout.PROMPTS, ("prompts", "prompt_numbers", "prompts_s")),
        (layout.TASKS, ("tasks", "task_numbers", "tasks_s")),
        (layout.LINKS, ("links", "links_s")),
    )
    longer: dict[str, Any] = {}
    for at, names in tables:
        rows = getattr(log, names[-1]).shape[-1]
        if numbers[at] + room > rows:
            longer |= {name: _longer(getattr(log, name), 2 * rows) for name in names}
    return log._replace(**longer)


def _longer(old: Any, rows: int) -> Any:
    made = np.zeros((*old.shape[:-1], rows), old.dtype)
    made[..., : old.shape[-1]] = old
    return made
