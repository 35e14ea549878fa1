"""From a resolved scenario to the kernel's arrays."""

from __future__ import annotations

from itertools import chain
from math import log, log1p, sqrt

import msgspec
import numpy as np

from dmoa.core.streams import derive, mix64
from dmoa.scenario import Setup
from dmoa.scenario.arrivals import arrivals
from dmoa.scenario.distributions import (
    Deterministic,
    Distribution,
    Empirical,
    Exponential,
    Gamma,
    Lognormal,
)
from dmoa.scenario.station_schema import CHUNK_TOKENS
from dmoa.sim.compiled import draws, layout
from dmoa.sim.compiled.calendar import TUNED_FIRST
from dmoa.sim.compiled.draws import Law
from dmoa.sim.compiled.encode import ENTRY_BYTES, ENTRY_NAMES
from dmoa.sim.compiled.layout import Fixed, Keys, Node, Source, State, Table

FLIGHTS_MIN = 256
_MASK = 0xFFFFFFFFFFFFFFFF
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NOTHING = Law(
    draws.DETERMINISTIC, spread=0.0, power=0.0, boosted=False, d=0.0, c=0.0, values=np.zeros(0)
)
_PROCESSES = {
    "poisson": layout.POISSON,
    "deterministic": layout.REGULAR,
    "on-off": layout.ON_OFF,
    "burst": layout.LISTED,
    "trace": layout.LISTED,
}


def keys(key: int, *labels: str, count: int) -> Keys:
    """Derive the keys of a stream that every node has, (count,), as `derive` does one by one."""
    # Scrambled before the label comes in, as there.
    value = np.uint64(mix64(derive(key, *labels) + int(_GOLDEN) & _MASK))
    with np.errstate(over="ignore"):
        return _mix(value + np.arange(count, dtype=np.uint64) * _GOLDEN)


def _mix(value: Keys) -> Keys:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def law(distribution: Distribution) -> tuple[Law, float]:
    """Give the kernel's form of a distribution, and the scale of this one."""
    mean = distribution.mean
    if isinstance(distribution, Deterministic):
        return _NOTHING, mean
    if isinstance(distribution, Exponential):
        return _NOTHING._replace(kind=draws.EXPONENTIAL), mean
    if isinstance(distribution, Lognormal):
        variance = log1p(distribution.cv * distribution.cv)
        made = _NOTHING._replace(kind=draws.LOGNORMAL, spread=sqrt(variance))
        return made, log(mean) - variance / 2
    if isinstance(distribution, Gamma):
        shape = 1 / (distribution.cv * distribution.cv)
        boosted = shape < 1
        d = shape + 1 - 1 / 3 if boosted else shape - 1 / 3
        made = _NOTHING._replace(
            kind=draws.GAMMA, power=1 / shape, boosted=boosted, d=d, c=1 / sqrt(9 * d)
        )
        return made, mean / shape
    if isinstance(distribution, Empirical):
        values = np.array(sorted(distribution.values))
        return _NOTHING._replace(kind=draws.EMPIRICAL, values=values), distribution.factor
    raise TypeError(distribution)


def make_nodes(setup: Setup, key: int) -> Table[Node]:
    """Make the nodes as they are in the beginning."""
    count = len(setup.names)
    plan = setup.scenario.plan
    nodes = layout.make(layout.Node, count)
    nodes["slots"][:] = setup.slots
    nodes["places"][:] = [
        -1 if queue_max is None else queue_max + slots
        for queue_max, slots in zip(setup.queue_max, setup.slots, strict=True)
    ]
    nodes["degree"][:] = setup.peers.lengths()
    nodes["offset"][:] = setup.peers.offsets[:-1]
    nodes["plan_tasks"][:] = (np.minimum(plan.proposers, nodes["degree"]) + 1) * plan.layers + 1
    nodes["service_key"][:] = keys(key, "service", count=count)
    nodes["select_key"][:] = keys(key, "select", count=count)
    if not setup.by_tokens:
        nodes["scale"][:] = _scales(setup)
    return nodes


def _scales(setup: Setup) -> list[float]:
    """Give each node's scale of the service law; equal nodes are worked out once."""
    known: dict[tuple[float, float], float] = {}
    scales = []
    for node, own in enumerate(zip(setup.service_time_s, setup.speed, strict=True)):
        if own not in known:
            known[own] = law(setup.service(node))[1]
        scales.append(known[own])
    return scales


def make_sources(setup: Setup, key: int) -> Table[Source]:
    """Make the sources of prompts as they are in the beginning."""
    count = len(setup.names)
    made = layout.make(layout.Source, count)
    made["key"][:] = keys(key, "arrival", count=count)
    made["tokens_key"][:] = keys(key, "prompt-tokens", count=count)
    made["response_key"][:] = keys(key, "response", count=count)
    made["phase_key"][:] = keys(key, "phase", count=count)
    made["rate_hz"][:] = setup.arrival_rate_hz
    return made


def make_fixed(setup: Setup, key: int, from_: Table[Source], *, records: bool) -> Fixed:
    """Make what does not change in a run."""
    scenario, count = setup.scenario, len(setup.names)
    plan, run = scenario.plan, scenario.run
    process = _PROCESSES[scenario.arrivals.process]
    listed: list[tuple[float, int, int]] = []
    if process == layout.LISTED:
        each = [list(own) for own in arrivals(setup, key)]
        listed = list(chain.from_iterable(each))
        ends = np.cumsum([len(own) for own in each])
        from_["listed_end"][:] = ends
        from_["listed"][1:] = ends[:-1]
    if setup.by_tokens:
        service_law = _NOTHING._replace(kind=draws.BY_TOKENS)
        token_times_s = np.array([tuple(setup.token_service(node)) for node in range(count)])
    else:
        service_law, token_times_s = law(setup.service(0))[0], np.zeros(0)
    prompt_law, prompt_scale = law(setup.prompt_length())
    response_law, response_scale = law(setup.response_length())
    delay_law, delay_scale = law(setup.link_delay())
    delayed = scenario.links.delay_s > 0
    names = [msgspec.msgpack.encode(name) for name in setup.names] if records else []
    speedup = scenario.station.speedup
    return Fixed(
        nodes=count,
        first_task_event=count * (1 + setup.shares_processor),
        shares=setup.shares_processor,
        speedup=np.array(speedup or [], np.float64),
        chunk_tokens=scenario.station.chunk_tokens or CHUNK_TOKENS,
        layers=plan.layers,
        proposers=plan.proposers,
        shift=shift_of(setup),
        process=process,
        weighted=setup.inclusion is not None,
        delayed=delayed,
        instruction_tokens=plan.instruction_tokens,
        prompt_tokens=_equal_tokens(setup.prompt_length()),
        response_tokens=_equal_tokens(setup.response_length()),
        waiting_max=run.queue_length_max,
        entry_bytes=ENTRY_BYTES + ENTRY_NAMES * max(map(len, names), default=0),
        horizon_s=setup.horizon_s,
        on_s=scenario.arrivals.on_s or 0.0,
        off_s=scenario.arrivals.off_s or 0.0,
        prompt_scale=float(prompt_scale),
        response_scale=float(response_scale),
        delay_scale=float(delay_scale),
        prompt_law=prompt_law,
        response_law=response_law,
        service_law=service_law,
        delay_law=delay_law,
        targets=setup.peers.targets,
        edges=np.zeros(0) if setup.inclusion is None else setup.inclusion.probabilities.copy(),
        token_times_s=token_times_s.ravel(),
        task_delay_key=keys(key, "delay", "Task", count=count if delayed else 0),
        response_delay_key=keys(key, "delay", "Response", count=count if delayed else 0),
        listed_s=np.array([one[0] for one in listed], np.float64),
        listed_prompt_tokens=np.array([one[1] for one in listed], np.int64),
        listed_response_tokens=np.array([one[2] for one in listed], np.int64),
        names=layout.Names(
            np.frombuffer(b"".join(names), np.uint8),
            np.concatenate([[0], np.cumsum([len(name) for name in names])]).astype(np.int64),
        ),
    )


def _equal_tokens(length: Distribution) -> int:
    """Give the tokens of every text if all are equally long, or -1."""
    if not isinstance(length, Deterministic):
        return -1
    return max(1, round(length.mean))


def shift_of(setup: Setup) -> int:
    """Give the logarithm of the tasks that a prompt has room for: a shift instead of divisions."""
    return setup.scenario.plan.proposers.bit_length()


def make_state(setup: Setup, key: int) -> State:
    """Make what changes in a run, as it is in the beginning."""
    count, tasks = len(setup.names), setup.scenario.plan.proposers + 1
    sharing = count if setup.shares_processor else 0
    numbers = np.zeros(layout.NUMBERS + 1, np.int64)
    numbers[layout.FREE] = -1
    numbers[layout.AWAITED] = -1
    numbers[layout.TUNE_AT] = TUNED_FIRST
    nodes, from_ = make_nodes(setup, key), make_sources(setup, key)
    days = 1 << max(4, int(4 * count - 1).bit_length())
    times_s = np.zeros(layout.TIMES + 1)
    total_hz = float(np.sum(from_["rate_hz"] * (1 + nodes["plan_tasks"])))
    times_s[layout.DAYS_PER_S] = total_hz if total_hz > 0 else 1.0
    processors = layout.make(layout.Processor, sharing)
    for ends in (processors["first_reader"], processors["first_writer"], processors["reader"]):
        ends[:] = -1
    state = State(
        nodes=nodes,
        sources=from_,
        flights=layout.make(layout.Flight, 0),
        tasks=layout.make(layout.Task, 0),
        processors=processors,
        shares=layout.make(layout.Share, 0),
        events=layout.make(layout.Event, count + sharing),
        days=np.full(days, -1, np.int32),
        numbers=numbers,
        times_s=times_s,
        inbox=np.zeros((setup.scenario.plan.layers + 2) * (2 * tasks + 2), np.int32),
        picked=np.zeros(tasks, np.int32),
        changed=np.zeros(sharing, np.int32),
    )
    return grow_flights(state, FLIGHTS_MIN, shift_of(setup))


def grow_flights(state: State, count: int, shift: int) -> State:
    """Make room for ``count`` prompts in flight; the new records are free."""
    old = len(state.flights)
    flights = layout.grown(state.flights, layout.Flight, count)
    flights["origin"][old:] = -1
    flights["next"][old:] = np.arange(old + 1, count + 1)
    flights["next"][count - 1] = state.numbers[layout.FREE]
    state.numbers[layout.FREE] = old
    shares = state.shares
    if len(state.changed):
        shares = layout.grown(shares, layout.Share, count << shift)
    others = len(state.nodes) + len(state.changed)
    return state._replace(
        flights=flights,
        tasks=layout.grown(state.tasks, layout.Task, count << shift),
        shares=shares,
        events=layout.grown(state.events, layout.Event, others + (count << shift)),
    )
