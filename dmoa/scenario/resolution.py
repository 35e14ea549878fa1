"""Resolving a scenario: its overlay, files and nodes' own values become a set-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dmoa.errors import ScenarioError
from dmoa.scenario.choices import GRAPH, bound_keys
from dmoa.scenario.distributions import Empirical
from dmoa.scenario.inclusion import check_inclusion, table_inclusion, unknown_node
from dmoa.scenario.overlays import Neighbours, build_overlay, some
from dmoa.scenario.overrides import override
from dmoa.scenario.parse import from_dict, to_dict
from dmoa.scenario.places import check_places
from dmoa.scenario.recorded import RecordedPrompt, read_prompts, read_service_times
from dmoa.scenario.schema import NodeValues, Scenario
from dmoa.scenario.setup import Setup
from dmoa.scenario.station_schema import Station, total_speed
from dmoa.scenario.token_service import TokenService

if TYPE_CHECKING:
    import networkx as nx

    from dmoa.scenario.inclusion import Given
    from dmoa.scenario.rows import Chances

_HORIZON_SERVICE_TIMES = 5000
COMMON_HOST = "common"
"""The machine of all nodes that name none."""


def resolve(
    scenario: Scenario,
    graph: nx.Graph[Any] | None = None,
    inclusion: Given | None = None,
) -> Setup:
    """Resolve a scenario against its overlay.

    Args:
        scenario: The scenario.
        graph: A networkx graph to use instead of ``overlay.topology``.
        inclusion: For ``plan.weights = "best"``: the chances that the linear program gives,
            ``(n, n)`` with origins in rows, dense or from scipy.sparse, or a row over the peers of
            each node.

    Raises:
        ScenarioError: The overlay, a file or a node's value is wrong.

    >>> from dmoa.scenario import from_dict
    >>> resolve(from_dict({})).peers[0]
    (1, 7)
    """
    if graph is not None:
        removed = dict.fromkeys((f"overlay.{key}" for key in bound_keys("overlay")), None)
        scenario = from_dict(override(to_dict(scenario), {**removed, "overlay.topology": GRAPH}))
    else:
        scenario = from_dict(to_dict(scenario))
    return _resolved(scenario, build_overlay(scenario.overlay, graph), inclusion)


def resolve_like(scenario: Scenario, setup: Setup) -> Setup:
    """Resolve a scenario on the overlay of a set-up, which is not built or read again.

    Its notes are those on the scenario; what the set-up says of the overlay is not repeated.

    Raises:
        ScenarioError: A node's value is wrong.

    >>> from dmoa.scenario import from_dict
    >>> ring = resolve(from_dict({}))
    >>> resolve_like(from_dict({"plan": {"layers": 3}}), ring).peers is ring.peers
    True
    """
    overlay = Neighbours(setup.names, setup.peers, setup.positions, ())
    return _resolved(from_dict(to_dict(scenario)), overlay, None)


def _resolved(scenario: Scenario, overlay: Neighbours, inclusion: Given | None) -> Setup:
    recorded = _read_recorded(scenario)
    values = _read_values(scenario)
    own = _own_values(scenario, overlay.names)
    rates = _arrival_rates(scenario, own, recorded)
    tokens = _mean_tokens(scenario, recorded)
    speed = tuple(1.0 if o.speed is None else o.speed for o in own)
    alike = _service_means(scenario, own, values, overlay, tokens)
    means = tuple(mean / factor for mean, factor in zip(alike, speed, strict=True))
    station = scenario.station
    slots = tuple(station.slots if o.slots is None else o.slots for o in own)
    full_speed = {tasks: total_speed(station, tasks) for tasks in set(slots)}
    setup = Setup(
        scenario=scenario,
        names=overlay.names,
        peers=overlay.peers,
        arrival_rate_hz=rates,
        service_time_s=means,
        slots=slots,
        full_speed=tuple(full_speed[tasks] for tasks in slots),
        hosts=_hosts(scenario, own),
        queue_max=tuple(station.queue_max if o.queue_max is None else o.queue_max for o in own),
        inclusion=_inclusion(scenario, overlay, inclusion),
        horizon_s=_horizon_s(scenario, means, recorded),
        prompt_tokens=tokens[0],
        response_tokens=tokens[1],
        speed=speed,
        service_values_s=values,
        recorded=recorded,
        positions=overlay.positions,
        notes=(*overlay.notes, *_notes(scenario, overlay, slots)),
    )
    check_places(setup)
    return setup


def _horizon_s(
    scenario: Scenario, means: tuple[float, ...], recorded: tuple[RecordedPrompt, ...]
) -> float:
    if scenario.run.horizon_s is not None:
        return scenario.run.horizon_s
    # After a trace there is time left for its last prompts; a run that is done ends earlier.
    arrived_s = recorded[-1].time_s if recorded else 0.0
    return arrived_s + _HORIZON_SERVICE_TIMES * max(means)


def _own_values(scenario: Scenario, names: tuple[str, ...]) -> list[NodeValues]:
    known = set(names)
    for name in scenario.nodes:
        if name not in known:
            raise unknown_node(name, f"nodes.{name}", names)
    for name in scenario.live.peers if scenario.live is not None else ():
        if name not in known:
            raise unknown_node(name, f"live.peers.{name}", names)
    common = NodeValues()
    return [scenario.nodes.get(name, common) for name in names]


def _read_recorded(scenario: Scenario) -> tuple[RecordedPrompt, ...]:
    arrivals = scenario.arrivals
    if arrivals.file is None:
        return ()
    recorded = read_prompts(arrivals.file, arrivals.time_scale or 1.0)
    if recorded[-1].time_s == 0:
        raise ScenarioError(
            "all its prompts come at one time, so it has no rate",
            path="arrivals.file",
            given=arrivals.file,
            remedy="use process 'burst'",
        )
    return recorded


def _read_values(scenario: Scenario) -> tuple[float, ...]:
    service = scenario.service
    if service.file is not None:
        return read_service_times(service.file)
    return tuple(service.values or ())


def _arrival_rates(
    scenario: Scenario, own: list[NodeValues], recorded: tuple[RecordedPrompt, ...]
) -> tuple[float, ...]:
    common = scenario.arrivals.arrival_rate_hz
    if common is None:
        return (len(recorded) / recorded[-1].time_s / len(own),) * len(own)
    rates = tuple(common if o.arrival_rate_hz is None else o.arrival_rate_hz for o in own)
    if not any(rates):
        raise ScenarioError(
            "no node has prompts",
            path="nodes",
            remedy="give one of them an arrival_rate_hz above 0",
        )
    return rates


def _mean_tokens(scenario: Scenario, recorded: tuple[RecordedPrompt, ...]) -> tuple[float, float]:
    if not recorded:
        return scenario.tokens.prompt_tokens, scenario.tokens.response_tokens
    count = len(recorded)
    prompts = sum(prompt.prompt_tokens for prompt in recorded)
    return prompts / count, sum(prompt.response_tokens for prompt in recorded) / count


def _service_means(
    scenario: Scenario,
    own: list[NodeValues],
    values: tuple[float, ...],
    overlay: Neighbours,
    tokens: tuple[float, float],
) -> list[float]:
    """Mean service time of each node before its speed counts."""
    service, plan = scenario.service, scenario.plan
    if service.distribution == "empirical":
        return [Empirical(values).mean] * len(own)
    if service.distribution != "tokens":
        common = service.service_time_s or 0.0
        return [common if o.service_time_s is None else o.service_time_s for o in own]
    by_tokens = TokenService.of(service)
    asked = [min(plan.proposers, count) for count in overlay.peers.lengths().tolist()]
    times = {
        count: by_tokens.task_time_s(plan.layers, count, *tokens, plan.instruction_tokens)
        for count in dict.fromkeys(asked)
    }
    return [times[count] for count in asked]


def _inclusion(
    scenario: Scenario,
    overlay: Neighbours,
    given: Given | None,
) -> Chances | None:
    plan = scenario.plan
    if plan.selection == "uniform":
        return None
    if isinstance(plan.weights, dict):
        return table_inclusion(plan.weights, overlay.names, overlay.peers, plan.proposers)
    if given is None:
        raise ScenarioError(
            "the best weights must be computed first",
            path="plan.weights",
            given="best",
            remedy="give inclusion=, for example from dmoa.theory.best_inclusion",
        )
    return check_inclusion(given, overlay.names, overlay.peers, plan.proposers)


def _hosts(scenario: Scenario, own: list[NodeValues]) -> tuple[str, ...] | None:
    if scenario.host is None:
        return None
    return tuple(COMMON_HOST if o.host is None else o.host for o in own)


def _notes(scenario: Scenario, overlay: Neighbours, slots: tuple[int, ...]) -> list[str]:
    plan, notes = scenario.plan, _falling_speed(scenario.station, max(slots))
    if plan.layers == 0:
        return notes
    degrees = overlay.peers.lengths()
    few = [overlay.names[node] for node in (degrees < plan.proposers).nonzero()[0]]
    if few:
        who = "1 node has" if len(few) == 1 else f"{len(few)} nodes have"
        ask = "asks" if len(few) == 1 else "ask"
        notes.append(
            f"{who} fewer than {plan.proposers} neighbours and {ask} all of them: {some(few)}"
        )
    quorum = plan.quorum or 1
    if degrees.min() + 1 < quorum:
        notes.append(f"where a layer has fewer than {quorum} responses, all of them are needed")
    return notes


def _falling_speed(station: Station, slots: int) -> list[str]:
    """Say where more tasks at once make a node slower in all: fewer slots would serve better."""
    curve = (station.speedup or [])[:slots]
    if not curve or max(curve) == curve[-1]:
        return []
    best = curve.index(max(curve)) + 1
    said = (
        f"station.speedup falls: {slots} tasks at once are served {curve[-1]:g} times as fast as"
        f" one, {best} at once {max(curve):g} times; station.slots = {best} would serve more"
    )
    return [said]
