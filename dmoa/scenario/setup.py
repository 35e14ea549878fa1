"""A scenario resolved against its overlay: one value per node, ready for theory and simulator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dmoa.errors import ScenarioError
from dmoa.scenario.choices import bound_keys
from dmoa.scenario.distributions import Distribution, Empirical, spread
from dmoa.scenario.inclusion import check_inclusion, table_inclusion
from dmoa.scenario.overlays import GRAPH, Neighbours, build_overlay
from dmoa.scenario.overrides import override
from dmoa.scenario.parse import from_dict, nearest, to_dict
from dmoa.scenario.recorded import RecordedPrompt, read_prompts, read_service_times
from dmoa.scenario.schema import NodeValues, Scenario
from dmoa.scenario.token_service import TokenService

if TYPE_CHECKING:
    import networkx as nx
    import numpy as np
    from numpy.typing import NDArray

_HORIZON_SERVICE_TIMES = 5000
_STAGE_TIMES_MAX = 200_000_000
_LISTED_MAX = 5


@dataclass(frozen=True)
class Setup:
    """A scenario resolved against its overlay. ``n`` is the number of nodes.

    Attributes:
        scenario: The scenario, with all defaults filled in.
        names: Name of each node, ``(n,)``.
        peers: Indices of the nodes that each node may ask, ascending, ``(n,)``.
        arrival_rate_hz: λ_i, prompts per second at each node, ``(n,)``; for a trace its mean rate.
        service_time_s: Mean service time of each node, s, ``(n,)``; by tokens the mean over the
            tasks of a prompt.
        slots: Tasks that each node serves at once, ``(n,)``.
        queue_max: Waiting tasks beyond which each node refuses, or ``None``, ``(n,)``.
        inclusion: For weighted selection, row j over ``peers[j]``: the chance of each peer to be
            asked in a layer; its sum is min(k, d_j). ``None`` for uniform selection.
        horizon_s: Simulated time, s.
        prompt_tokens: Mean length of a prompt, tokens.
        response_tokens: Mean length of a response, tokens.
        speed: Factor by which each node is faster than the scenario's service, ``(n,)``.
        service_values_s: Measured service times, for empirical service; else empty.
        recorded: Prompts of the trace, times scaled; else empty.
        positions: Where to draw each node, or ``None`` where the overlay does not say.
        notes: What the user should know, in sentences.
    """

    scenario: Scenario
    names: tuple[str, ...]
    peers: tuple[tuple[int, ...], ...]
    arrival_rate_hz: tuple[float, ...]
    service_time_s: tuple[float, ...]
    slots: tuple[int, ...]
    queue_max: tuple[int | None, ...]
    inclusion: tuple[tuple[float, ...], ...] | None
    horizon_s: float
    prompt_tokens: float
    response_tokens: float
    speed: tuple[float, ...]
    service_values_s: tuple[float, ...]
    recorded: tuple[RecordedPrompt, ...]
    positions: tuple[tuple[float, float], ...] | None
    notes: tuple[str, ...]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    def node_index(self, name: str) -> int:
        """Index of a node by its name.

        Raises:
            ScenarioError: There is no such node; the nearest name is suggested.

        >>> resolve(from_dict({})).node_index("3")
        3
        """
        if name not in self._index:
            raise _unknown_node(name, "node", self.names)
        return self._index[name]

    def graph(self) -> nx.Graph[str]:
        """Draw the overlay as a networkx graph of node names; directed if any edge is one-way.

        Nodes have an attribute ``pos`` where the overlay says where they are.

        >>> resolve(from_dict({})).graph().number_of_edges()
        8
        """
        import networkx as nx  # imported here: it takes longer than the whole command line

        edges = [(i, j) for i, own in enumerate(self.peers) for j in own]
        one_way = any(i not in self.peers[j] for i, j in edges)
        graph: nx.Graph[str] = nx.DiGraph() if one_way else nx.Graph()
        graph.add_nodes_from(self.names)
        graph.add_edges_from((self.names[i], self.names[j]) for i, j in edges)
        if self.positions is not None:
            nx.set_node_attributes(graph, dict(zip(self.names, self.positions, strict=True)), "pos")
        return graph

    @property
    def by_tokens(self) -> bool:
        """Whether the service time follows from the tokens read and written."""
        return self.scenario.service.distribution == "tokens"

    def service(self, node: int) -> Distribution:
        """Distribution of the service time of a node, s; not for service by tokens.

        Raises:
            ScenarioError: The service time follows from the tokens.

        >>> resolve(from_dict({})).service(0)
        Exponential(mean=1.0)
        """
        service = self.scenario.service
        if self.by_tokens:
            raise ScenarioError(
                "service by tokens has no distribution of its own",
                path="service.distribution",
                given="tokens",
                remedy="use Setup.token_service(node)",
            )
        if service.distribution == "empirical":
            return Empirical(self.service_values_s, 1 / self.speed[node])
        return spread(service.distribution, self.service_time_s[node], service.cv)

    def token_service(self, node: int) -> Callable[[int, int], float]:
        """Make the function ``(tokens_in, tokens_out) -> service time, s`` of a node.

        >>> made = {"distribution": "tokens", "base_s": 1.0, "output_token_s": 0.1}
        >>> resolve(from_dict({"service": made})).token_service(0)(50, 10)
        2.0
        """
        return TokenService.of(self.scenario.service).timer(self.speed[node])

    def prompt_length(self) -> Distribution:
        """Distribution of the length of a prompt, tokens; not used where a trace gives it.

        >>> resolve(from_dict({})).prompt_length().mean
        100.0
        """
        return self._length(self.prompt_tokens)

    def response_length(self) -> Distribution:
        """Distribution of the length of a response, tokens; not used where a trace gives it.

        >>> resolve(from_dict({})).response_length().mean
        200.0
        """
        return self._length(self.response_tokens)

    def _length(self, mean: float) -> Distribution:
        tokens = self.scenario.tokens
        return spread(tokens.distribution, mean, tokens.cv)

    def link_delay(self) -> Distribution:
        """Distribution of the delay of a message, s.

        >>> resolve(from_dict({})).link_delay()
        Deterministic(mean=0.0)
        """
        links = self.scenario.links
        return spread(links.distribution, links.delay_s, links.cv)

    def stage_service_time_s(self) -> NDArray[np.float64]:
        """Mean service time, s, of each stage: layers 1 to M, then the aggregation.

        Without tokens it is the same in all stages. By tokens, later stages read the responses
        of the stage before, as many as the origin asks: exact, because S is linear in tokens.

        Returns:
            ``(n,)`` by server; by tokens ``(M + 1, n)`` by stage and server where all origins
            ask equally many peers, else ``(M + 1, n, n)`` by stage, origin and server.

        Raises:
            ScenarioError: The last shape would be too large.

        >>> resolve(from_dict({})).stage_service_time_s().shape
        (8,)
        """
        import numpy as np  # imported here: the command line's help does not need it

        if not self.by_tokens:
            return np.array(self.service_time_s)
        plan, nodes = self.scenario.plan, len(self.names)
        asked = [min(plan.proposers, len(own)) for own in self.peers]
        if len(set(asked)) > 1 and (plan.layers + 1) * nodes**2 > _STAGE_TIMES_MAX:
            raise ScenarioError(
                f"service by tokens needs {plan.layers + 1} x {nodes} x {nodes} mean times here",
                path="overlay.nodes",
                given=nodes,
                remedy="use fewer nodes, or an overlay with at least k neighbours everywhere",
            )
        rows = {count: self._stage_times(count) for count in dict.fromkeys(asked)}
        speed = np.array(self.speed)
        if len(rows) == 1:
            return np.array(rows[asked[0]])[:, None] / speed
        by_origin = np.array([rows[count] for count in asked]).T
        return by_origin[:, :, None] / speed

    def _stage_times(self, asked: int) -> list[float]:
        plan = self.scenario.plan
        return TokenService.of(self.scenario.service).stage_times_s(
            plan.layers, asked, self.prompt_tokens, self.response_tokens, plan.instruction_tokens
        )


def resolve(
    scenario: Scenario,
    graph: nx.Graph[Any] | None = None,
    inclusion: Sequence[Sequence[float]] | NDArray[np.float64] | None = None,
) -> Setup:
    """Resolve a scenario against its overlay.

    Args:
        scenario: The scenario.
        graph: A networkx graph to use instead of ``overlay.topology``.
        inclusion: For ``plan.weights = "best"``: the chances that the linear program gives,
            ``(n, n)`` with origins in rows, or a row over the peers of each node.

    Raises:
        ScenarioError: The overlay, a file or a node's value is wrong.

    >>> resolve(from_dict({})).peers[0]
    (1, 7)
    """
    if graph is not None:
        removed = dict.fromkeys((f"overlay.{key}" for key in bound_keys("overlay")), None)
        scenario = from_dict(override(to_dict(scenario), {**removed, "overlay.topology": GRAPH}))
    else:
        scenario = from_dict(to_dict(scenario))
    overlay = build_overlay(scenario.overlay, graph)
    recorded = _read_recorded(scenario)
    values = _read_values(scenario)
    own = _own_values(scenario, overlay.names)
    rates = _arrival_rates(scenario, own, recorded)
    prompt_tokens, response_tokens = _mean_tokens(scenario, recorded)
    speed, means = _service_means(scenario, own, values, overlay, prompt_tokens, response_tokens)
    horizon_s = scenario.run.horizon_s
    station = scenario.station
    return Setup(
        scenario=scenario,
        names=overlay.names,
        peers=overlay.peers,
        arrival_rate_hz=rates,
        service_time_s=means,
        slots=tuple(station.slots if o.slots is None else o.slots for o in own),
        queue_max=tuple(station.queue_max if o.queue_max is None else o.queue_max for o in own),
        inclusion=_inclusion(scenario, overlay, inclusion),
        horizon_s=_HORIZON_SERVICE_TIMES * max(means) if horizon_s is None else horizon_s,
        prompt_tokens=prompt_tokens,
        response_tokens=response_tokens,
        speed=speed,
        service_values_s=values,
        recorded=recorded,
        positions=overlay.positions,
        notes=(*overlay.notes, *_notes(scenario, overlay)),
    )


def _unknown_node(name: str, path: str, names: Sequence[str]) -> ScenarioError:
    known = nearest(name, names[:1000])
    shown = known if len(known) < 500 else known[:500] + "..."
    return ScenarioError("there is no such node", path=path, given=name, remedy=shown)


def _own_values(scenario: Scenario, names: tuple[str, ...]) -> list[NodeValues]:
    known = set(names)
    for name in scenario.nodes:
        if name not in known:
            raise _unknown_node(name, f"nodes.{name}", names)
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
    prompt_tokens: float,
    response_tokens: float,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Speed and mean service time of each node."""
    speed = tuple(1.0 if o.speed is None else o.speed for o in own)
    service, plan = scenario.service, scenario.plan
    if service.distribution == "tokens":
        common = [
            TokenService.of(service).task_time_s(
                plan.layers,
                min(plan.proposers, len(peers)),
                prompt_tokens,
                response_tokens,
                plan.instruction_tokens,
            )
            for peers in overlay.peers
        ]
    elif service.distribution == "empirical":
        common = [Empirical(values).mean] * len(own)
    else:
        common = [
            (service.service_time_s or 0.0) if o.service_time_s is None else o.service_time_s
            for o in own
        ]
    return speed, tuple(mean / factor for mean, factor in zip(common, speed, strict=True))


def _inclusion(
    scenario: Scenario,
    overlay: Neighbours,
    given: Sequence[Sequence[float]] | NDArray[np.float64] | None,
) -> tuple[tuple[float, ...], ...] | None:
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


def _notes(scenario: Scenario, overlay: Neighbours) -> list[str]:
    plan, notes = scenario.plan, []
    if plan.layers == 0:
        return []
    few = [
        name
        for name, own in zip(overlay.names, overlay.peers, strict=True)
        if len(own) < plan.proposers
    ]
    if few:
        have = "node has" if len(few) == 1 else "nodes have"
        more = f" and {len(few) - _LISTED_MAX} more" if len(few) > _LISTED_MAX else ""
        notes.append(
            f"{len(few)} {have} fewer than {plan.proposers} neighbours and ask all of them: "
            + ", ".join(few[:_LISTED_MAX])
            + more
        )
    quorum = plan.quorum or 1
    if any(len(own) + 1 < quorum for own in overlay.peers):
        notes.append(f"where a layer has fewer than {quorum} responses, all of them are needed")
    return notes
