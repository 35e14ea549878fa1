"""A scenario resolved against its overlay: one value per node, ready for theory and simulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from dmoa.errors import ScenarioError
from dmoa.scenario.distributions import Distribution, Empirical, spread
from dmoa.scenario.inclusion import unknown_node
from dmoa.scenario.recorded import RecordedPrompt
from dmoa.scenario.schema import Scenario
from dmoa.scenario.token_service import TokenService

if TYPE_CHECKING:
    import networkx as nx
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from dmoa.scenario.rows import Chances, Peers

STAGE_TIMES_MAX = 200_000_000
"""Mean times by stage and by who asks whom at most: 1.6 GB of them."""


@dataclass(frozen=True)
class Setup:
    """A scenario resolved against its overlay. ``n`` is the number of nodes.

    Attributes:
        scenario: The scenario, with all defaults filled in.
        names: Name of each node, ``(n,)``.
        peers: Indices of the nodes that each node may ask, ascending, ``(n,)``; ``peers.targets``
            has those of all nodes, ``(edges,)``.
        arrival_rate_hz: λ_i, prompts per second at each node, ``(n,)``; for a trace its mean rate.
        service_time_s: Mean service time of each node, s, ``(n,)``; by tokens the mean over the
            tasks of a prompt.
        slots: Tasks that each node serves at once, ``(n,)``.
        full_speed: Total speed at which each node writes with all slots in service, relative to
            one task alone, ``(n,)``.
        hosts: Name of the machine that each node shares with others, ``(n,)``; ``None`` where
            every node has its own.
        queue_max: Waiting tasks beyond which each node refuses, or ``None``, ``(n,)``.
        inclusion: For weighted selection, row j over ``peers[j]``: the chance of each peer to be
            asked in a layer; its sum is min(k, d_j). ``inclusion.probabilities`` has all of them
            in the order of ``peers.targets``, ``(edges,)``. ``None`` for uniform selection.
        horizon_s: Simulated time, s.
        prompt_tokens: Mean length of a prompt, tokens.
        response_tokens: Mean length of a response, tokens.
        speed: Factor by which each node is faster than the scenario's service, ``(n,)``.
        service_values_s: Measured service times, for empirical service; else empty.
        recorded: Prompts of the trace, times scaled; else empty.
        positions: Where to draw each node, or ``None`` where the overlay does not say.
        notes: What the user should know, in sentences.
        best_gap: Where ``inclusion`` are the best weights: the share by which their critical rate
            may be below the highest one. Else ``None``.
    """

    scenario: Scenario
    names: tuple[str, ...]
    peers: Peers
    arrival_rate_hz: tuple[float, ...]
    service_time_s: tuple[float, ...]
    slots: tuple[int, ...]
    full_speed: tuple[float, ...]
    hosts: tuple[str, ...] | None
    queue_max: tuple[int | None, ...]
    inclusion: Chances | None
    horizon_s: float
    prompt_tokens: float
    response_tokens: float
    speed: tuple[float, ...]
    service_values_s: tuple[float, ...]
    recorded: tuple[RecordedPrompt, ...]
    positions: tuple[tuple[float, float], ...] | None
    notes: tuple[str, ...]
    best_gap: float | None = field(default=None, compare=False)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    def node_index(self, name: str) -> int:
        """Index of a node by its name.

        Raises:
            ScenarioError: There is no such node; the nearest name is suggested.

        >>> from dmoa.scenario import from_dict, resolve
        >>> resolve(from_dict({})).node_index("3")
        3
        """
        if name not in self._index:
            raise unknown_node(name, "node", self.names)
        return self._index[name]

    def graph(self) -> nx.Graph[str]:
        """Draw the overlay as a networkx graph of node names; directed if any edge is one-way.

        Nodes have an attribute ``pos`` where the overlay says where they are.

        >>> from dmoa.scenario import from_dict, resolve
        >>> resolve(from_dict({})).graph().number_of_edges()
        8
        """
        import networkx as nx  # imported here: it takes longer than the whole command line

        origins, servers = self.peers.origins(), self.peers.targets
        graph: nx.Graph[str] = nx.Graph() if self.peers.two_way else nx.DiGraph()
        graph.add_nodes_from(self.names)
        graph.add_edges_from(
            (self.names[i], self.names[j])
            for i, j in zip(origins.tolist(), servers.tolist(), strict=True)
        )
        if self.positions is not None:
            nx.set_node_attributes(graph, dict(zip(self.names, self.positions, strict=True)), "pos")
        return graph

    @property
    def by_tokens(self) -> bool:
        """Whether the service time follows from the tokens read and written."""
        return self.scenario.service.distribution == "tokens"

    @property
    def shares_processor(self) -> bool:
        """Whether the tasks in service share a processor, instead of each having its own.

        They do if the scenario asks for anything that follows from it: ``station.speedup``,
        ``station.reuse``, ``plan.overlap`` or ``[host]``.

        >>> from dmoa.scenario import from_dict, resolve
        >>> resolve(from_dict({"station": {"slots": 2, "speedup": [1.0, 1.4]}})).shares_processor
        True
        """
        scenario = self.scenario
        station = scenario.station
        return (
            station.speedup is not None
            or station.reuse
            or scenario.plan.overlap
            or scenario.host is not None
        )

    def service(self, node: int) -> Distribution:
        """Distribution of the service time of a node, s; not for service by tokens.

        Raises:
            ScenarioError: The service time follows from the tokens.

        >>> from dmoa.scenario import from_dict, resolve
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

    def token_service(self, node: int) -> TokenService:
        """Give the coefficients of S = a + b·tokens_in + g·tokens_out at a node, its speed counted.

        All are 0 where service is not by tokens.

        >>> from dmoa.scenario import from_dict, resolve
        >>> made = {"distribution": "tokens", "base_s": 1.0, "output_token_s": 0.1}
        >>> resolve(from_dict({"service": made})).token_service(0).timer()(50, 10)
        2.0
        """
        return TokenService.of(self.scenario.service).at_speed(self.speed[node])

    def prompt_length(self) -> Distribution:
        """Distribution of the length of a prompt, tokens; not used where a trace gives it.

        >>> from dmoa.scenario import from_dict, resolve
        >>> resolve(from_dict({})).prompt_length().mean
        100.0
        """
        return self._length(self.prompt_tokens)

    def response_length(self) -> Distribution:
        """Distribution of the length of a response, tokens; not used where a trace gives it.

        >>> from dmoa.scenario import from_dict, resolve
        >>> resolve(from_dict({})).response_length().mean
        200.0
        """
        return self._length(self.response_tokens)

    def _length(self, mean: float) -> Distribution:
        tokens = self.scenario.tokens
        return spread(tokens.distribution, mean, tokens.cv)

    def link_delay(self) -> Distribution:
        """Distribution of the delay of a message, s.

        >>> from dmoa.scenario import from_dict, resolve
        >>> resolve(from_dict({})).link_delay()
        Deterministic(mean=0.0)
        """
        links = self.scenario.links
        return spread(links.distribution, links.delay_s, links.cv)

    def matrix(self, values: NDArray[np.float64] | None = None) -> csr_array:
        """Give a number for each edge of the overlay as a sparse matrix, as theory takes it.

        Args:
            values: In the order of ``peers.targets``, ``(edges,)``; absent: 1 for every edge.

        Returns:
            ``(n, n)``, origins in rows.

        >>> from dmoa.scenario import from_dict, resolve
        >>> resolve(from_dict({"overlay": {"topology": "path", "nodes": 3}})).matrix().toarray()
        array([[0., 1., 0.],
               [1., 0., 1.],
               [0., 1., 0.]])
        """
        import numpy as np  # imported here: the command line's help does not need it
        from scipy.sparse import csr_array

        peers, nodes = self.peers, len(self.names)
        filled = np.ones(len(peers.targets)) if values is None else values
        return csr_array((filled, peers.targets, peers.offsets), shape=(nodes, nodes))

    def classes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the classes of tasks by who asks whom: each edge, and every node for itself.

        Returns:
            Their origins and their servers, ``(c,)`` each, c = n + edges, ascending.

        >>> from dmoa.scenario import from_dict, resolve
        >>> resolve(from_dict({"overlay": {"topology": "path", "nodes": 2}})).classes()
        (array([0, 0, 1, 1]), array([0, 1, 0, 1]))
        """
        import numpy as np

        nodes = len(self.names)
        edges = self.peers.origins() * nodes + self.peers.targets
        keys = np.sort(np.concatenate([edges, np.arange(nodes) * (nodes + 1)]))
        origins, servers = np.divmod(keys, nodes)
        return origins, servers

    def stage_service_time_s(self) -> NDArray[np.float64]:
        """Mean service time, s, of each stage: layers 1 to M, then the aggregation.

        Without tokens it is the same in all stages. By tokens, later stages read the responses
        of the stage before, as many as the origin asks: exact, because S is linear in tokens.

        Returns:
            ``(n,)`` by server; by tokens ``(M + 1, n)`` by stage and server where all origins
            ask equally many peers, else ``(M + 1, c)`` by stage and class of `classes`.

        Raises:
            ScenarioError: The last shape would be too large.

        >>> from dmoa.scenario import from_dict, resolve
        >>> resolve(from_dict({})).stage_service_time_s().shape
        (8,)
        """
        return self._by_stage(TokenService.of(self.scenario.service), self.service_time_s)

    def stage_reading_time_s(self) -> NDArray[np.float64]:
        """Mean time, s, that the reading of a task takes alone, by stage; 0 if not by tokens.

        It is part of ``stage_service_time_s``, and of the same shape; the rest is writing.

        Raises:
            ScenarioError: The shape would be too large.

        >>> from dmoa.scenario import from_dict, resolve
        >>> made = {"distribution": "tokens", "input_token_s": 0.01, "output_token_s": 0.1}
        >>> setup = resolve(from_dict({"service": made, "plan": {"layers": 0}}))
        >>> float(setup.stage_reading_time_s()[0, 0])
        1.0
        """
        reading = TokenService.of(self.scenario.service)._replace(base_s=0.0, output_token_s=0.0)
        return self._by_stage(reading, (0.0,) * len(self.names))

    def check_stage_times(self, path: str, given: object) -> None:
        """Refuse mean times by stage and class where they would be too many.

        Raises:
            ScenarioError: With their number, at ``path``.
        """
        stages, classes = self.scenario.plan.layers + 1, len(self.names) + len(self.peers.targets)
        if stages * classes > STAGE_TIMES_MAX:
            raise ScenarioError(
                f"service by tokens needs {stages} x {classes} mean times here",
                path=path,
                given=given,
                remedy="use fewer nodes or layers, or an overlay with fewer edges",
            )

    def _by_stage(self, service: TokenService, otherwise: tuple[float, ...]) -> NDArray[np.float64]:
        import numpy as np  # imported here: the command line's help does not need it

        if not self.by_tokens:
            return np.array(otherwise)
        plan, speed = self.scenario.plan, np.array(self.speed)
        asked, kind = np.unique(
            np.minimum(plan.proposers, self.peers.lengths()), return_inverse=True
        )
        tokens = self.prompt_tokens, self.response_tokens, plan.instruction_tokens
        times = np.array(
            [service.stage_times_s(plan.layers, count, *tokens) for count in asked.tolist()]
        ).T
        if len(asked) == 1:
            by_server: NDArray[np.float64] = times / speed
            return by_server
        self.check_stage_times("overlay.nodes", len(self.names))
        origins, servers = self.classes()
        by_class: NDArray[np.float64] = times[:, kind[origins]] / speed[servers]
        return by_class
