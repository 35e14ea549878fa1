"""What theory says of a scenario: loads, limits and the means below them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from dmoa import theory
from dmoa.errors import ScenarioError
from dmoa.scenario import Scenario, Setup, resolve
from dmoa.scenario.inclusion import check_inclusion
from dmoa.scenario.resolution import resolve_like
from dmoa.scenario.stage_times import StageTimes
from dmoa.study.loads import Loads, best_chances, by_host, chances, crowded, loads

if TYPE_CHECKING:
    import networkx as nx

    from dmoa.scenario.schema import Plan

Floats = NDArray[np.float64]

FORMULA_PEERS_MAX = 19
"""The formula for unequal nodes sums over all sets of peers."""

FORMULA_SETS_MAX = 500_000_000
"""Sets of peers of all nodes together: half a minute."""

GAP_SAID = 1e-6
"""Above this share the distance to the best weights is worth a note."""

NODES_LISTED_MAX = 1000
"""Nodes in the JSON object; of a larger overlay those with the largest share of their capacity."""


class Sufficiency(msgspec.Struct, frozen=True):
    """Whether an offered load below the slots everywhere is enough: the case, and why."""

    case: str
    text: str


class HostLoad(msgspec.Struct, frozen=True):
    """A machine that several nodes share: its name, its nodes, and how much of it they need."""

    name: str
    nodes: list[str]
    saturation: float


class Bound(msgspec.Struct, frozen=True):
    """The theory of one scenario. Rates are prompts per second and node, times seconds.

    ``critical_rate_hz`` is λ* of this scenario's own selection, ``best_critical_rate_hz`` that of
    the best weights (None where they could not be computed), which is proven to be below the
    highest one by no more than the share ``best_gap``. ``offered_load`` is in Erlang,
    in the order of ``nodes``; ``saturation`` is what share of each node's capacity that is, 1 at
    its limit, and ``offered_load_max`` the largest share of a node or host: the ``bottleneck``,
    whose name it is (of a host, "host NAME"). ``waiting_time_s`` per node and ``sojourn_time_s``
    overall are approximations (None where none is known), infinite beyond the limit, and so is
    ``utilization``, the mean share of slots in service below the limit.

    Where tasks in service share a processor, capacity is counted at full batch, and
    ``single_slot_critical_rate_hz`` is λ* of the same nodes with one slot. Where nodes share
    machines, ``hosts`` has their loads and ``host_critical_rate_hz`` is the limit that they set.
    """

    critical_rate_hz: float
    theorem1_critical_rate_hz: float
    best_critical_rate_hz: float | None
    arrival_rate_hz: float
    offered_load: list[float]
    offered_load_max: float
    bottleneck: str
    sufficient: Sufficiency
    nodes: list[str]
    waiting_time_s: list[float] | None
    sojourn_time_s: float | None
    saturation: list[float]
    utilization: list[float] | None
    single_slot_critical_rate_hz: float | None = None
    host_critical_rate_hz: float | None = None
    best_gap: float | None = None
    hosts: list[HostLoad] = []
    notes: list[str] = []

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON object of ``dmoa bound --json``; infinities become null.

        Of more than `NODES_LISTED_MAX` nodes only the busiest are listed, the busiest first, and
        so are the nodes of each host; ``nodes_total`` counts all.
        """
        total, listed = len(self.nodes), self
        if total > NODES_LISTED_MAX:
            busiest = np.argsort(-np.array(self.saturation), kind="stable")[:NODES_LISTED_MAX]
            per_node = ("nodes", "offered_load", "waiting_time_s", "saturation", "utilization")
            columns = {name: getattr(self, name) for name in per_node}
            listed = msgspec.structs.replace(
                self,
                **{
                    name: None if values is None else [values[node] for node in busiest]
                    for name, values in columns.items()
                },
                hosts=[
                    msgspec.structs.replace(host, nodes=host.nodes[:NODES_LISTED_MAX])
                    for host in self.hosts
                ],
                notes=[
                    *self.notes,
                    f"of {total:,} nodes only the {NODES_LISTED_MAX:,} busiest are listed",
                ],
            )
        return {**to_json(listed), "nodes_total": total}


def to_json(value: Any) -> dict[str, Any]:
    """Turn records into a JSON object; what JSON cannot hold, infinities and nan, becomes None.

    >>> to_json({"a": [1.0, float("inf")]})
    {'a': [1.0, None]}
    """
    return cast("dict[str, Any]", _finite(msgspec.to_builtins(value)))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def prepare(
    scenario: Scenario | Setup,
    graph: nx.Graph[Any] | None = None,
    *,
    like: Setup | None = None,
) -> Setup:
    """Resolve a scenario against its overlay, and solve for the best weights if it asks for them.

    Args:
        scenario: a scenario, or a setup, which is returned as it is.
        graph: a networkx graph in place of the overlay that the scenario names.
        like: a set-up with the same overlay, which then is not built again.

    Raises:
        ScenarioError: the scenario does not fit its overlay.
    """
    if isinstance(scenario, Setup):
        return scenario
    on_overlay = (
        partial(resolve, graph=graph) if like is None else partial(resolve_like, setup=like)
    )
    if scenario.plan.selection == "weighted" and scenario.plan.weights == "best":
        uniform = msgspec.structs.replace(scenario.plan, selection="uniform", weights=None)
        plain = on_overlay(msgspec.structs.replace(scenario, plan=uniform))
        plan, (best, gap) = scenario.plan, best_chances(plain)
        return replace(
            plain,
            scenario=msgspec.structs.replace(plain.scenario, plan=plan),
            inclusion=check_inclusion(plain.matrix(best), plain.names, plain.peers, plan.proposers),
            best_gap=gap,
        )
    return on_overlay(scenario)


def bound(
    scenario: Scenario | Setup, graph: nx.Graph[Any] | None = None, *, best: bool = True
) -> Bound:
    """Compute offered loads a_i, the critical rate λ*, Theorem 1 beside it and the best weights.

    Args:
        scenario: a scenario or a resolved one.
        graph: a networkx graph in place of the overlay that the scenario names.
        best: whether to solve for the best weights too: on a million nodes they take a minute, all
            else takes seconds. Where the scenario asks for them, they are known already.

    Raises:
        ScenarioError: the scenario does not fit its overlay.

    >>> from dmoa.scenario import load
    >>> limit = bound(load("ring"))
    >>> round(limit.critical_rate_hz, 4), round(limit.offered_load_max, 4), limit.sufficient.case
    (0.25, 0.8, 'conjectured')
    """
    setup = prepare(scenario, graph)
    plan, rates = setup.scenario.plan, np.array(setup.arrival_rate_hz)
    inclusion = chances(setup)
    found = loads(setup, inclusion)
    best_critical_rate_hz, best_gap, said = _best(setup, found, solve=best)
    notes = [*setup.notes, *said]
    if setup.scenario.links.loss or _deadlines(plan) or any(setup.queue_max):
        notes.append("offered loads count every task, also those that are lost, late or refused")
    # Remark 1 takes the slowest; a batch of slots works like a server that many times as fast.
    slowest = found.times.slowest_s()
    waiting, sojourn = _means(setup, rates, inclusion)
    return Bound(
        critical_rate_hz=found.critical_rate_hz,
        theorem1_critical_rate_hz=theory.theorem1_critical_rate_hz(
            plan.layers, plan.proposers, slowest
        ),
        best_critical_rate_hz=best_critical_rate_hz,
        arrival_rate_hz=float(rates.mean()),
        offered_load=found.offered.tolist(),
        offered_load_max=max(float(found.saturation.max()), *found.hosts, 0.0),
        bottleneck=found.bottleneck,
        sufficient=_sufficiency(setup, found.times),
        nodes=list(setup.names),
        waiting_time_s=waiting,
        sojourn_time_s=sojourn,
        saturation=found.saturation.tolist(),
        utilization=_utilization(setup, found.saturation),
        single_slot_critical_rate_hz=found.single_slot_critical_rate_hz,
        host_critical_rate_hz=found.host_critical_rate_hz,
        best_gap=best_gap,
        hosts=[
            HostLoad(name, nodes, needed)
            for (name, nodes), needed in zip(by_host(setup).items(), found.hosts, strict=True)
        ],
        notes=notes,
    )


def _best(setup: Setup, own: Loads, *, solve: bool) -> tuple[float | None, float | None, list[str]]:
    """Give λ* of the best weights, its gap to the highest, and what is to be said of it.

    Args:
        setup: the resolved scenario.
        own: its loads.
        solve: whether weights that are not known yet shall be computed.
    """
    gap, best_hz = setup.best_gap, own.critical_rate_hz
    if gap is None and not solve:
        return None, None, []
    if gap is None:
        try:
            best, gap = best_chances(setup)
        except ScenarioError as error:
            return None, None, [f"best weights not computed: {error}"]
        best_hz = loads(setup, best).critical_rate_hz
    said = f"λ* with the best weights is computed to within {100 * gap:.2g} % of the highest"
    worth_saying = gap > GAP_SAID
    return best_hz, gap, [said] if worth_saying else []


def _sufficiency(setup: Setup, times: StageTimes) -> Sufficiency:
    """Tell whether staying below the limits is enough."""
    scenario, several = setup.scenario, max(setup.slots) > 1
    plan, memory = scenario.plan, several and scenario.station.cache_tokens is not None
    if setup.shares_processor or memory:
        found = theory.sufficient_at_full_batch(
            plan.layers,
            plan.proposers,
            times.full_s,
            mixed=several and setup.shares_processor and bool(scenario.service.input_token_s),
            hosts=crowded(setup),
            memory=memory,
        )
    else:
        found = theory.sufficient(plan.layers, plan.proposers, times.full_s)
    return Sufficiency(found.case, found.text)


def _utilization(setup: Setup, saturation: Floats) -> list[float] | None:
    """Give the share of slots in service, where that is proportional to the load."""
    shared = setup.shares_processor
    if shared and (max(setup.slots) > 1 or crowded(setup) or setup.scenario.plan.overlap):
        return None
    shares: list[float] = np.minimum(saturation, 1.0).tolist()
    return shares


def _deadlines(plan: Plan) -> bool:
    """Tell whether tasks may be withdrawn before they were served."""
    return any((plan.layer_deadline_s, plan.patience, plan.prompt_deadline_s))


def _means(
    setup: Setup, rates: Floats, inclusion: Floats
) -> tuple[list[float] | None, float | None]:
    """Approximate the waiting time per node and the sojourn time, where formulas are known."""
    spec, plan = setup.scenario, setup.scenario.plan
    # Every formula takes prompts that come at random and tasks that are all served.
    poisson = spec.arrivals.process == "poisson"
    partial = _deadlines(plan) or any(setup.queue_max)
    if not poisson or partial or max(setup.slots) > 1 or setup.by_tokens or crowded(setup):
        return None, None
    # Nodes differ by a factor on their service times, which leaves the variation as it is.
    first = setup.service(0)
    cv = max(first.second_moment / first.mean**2 - 1, 0.0) ** 0.5
    service = np.array(setup.service_time_s)
    means = theory.node_means(rates, setup.matrix(inclusion), service, plan.layers, cv)
    exponential = spec.service.distribution == "exponential"
    degrees = setup.peers.lengths()
    many = degrees.max() > FORMULA_PEERS_MAX or (2.0**degrees).sum() > FORMULA_SETS_MAX
    if not exponential or spec.links.delay_s > 0 or setup.inclusion is not None or many:
        return means.waiting_time_s.tolist(), None
    spare = 1 / service - means.task_rate_hz
    sojourns = theory.sojourn_times_s(plan.layers, plan.proposers, spare, setup.matrix())
    return means.waiting_time_s.tolist(), float(np.average(sojourns, weights=rates))
