"""What theory says of a scenario: loads, limits and the means below them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from dmoa import theory
from dmoa.errors import ScenarioError
from dmoa.scenario import Scenario, Setup, resolve

if TYPE_CHECKING:
    import networkx as nx

    from dmoa.scenario.schema import Plan

Floats = NDArray[np.float64]

DENSE_NODES_MAX = 5000
"""Overlays up to this size are handled as (n, n) matrices."""

FORMULA_PEERS_MAX = 19
"""The formula for unequal nodes sums over all sets of peers."""


class Sufficiency(msgspec.Struct, frozen=True):
    """Whether an offered load below the slots everywhere is enough: the case, and why."""

    case: str
    text: str


class Bound(msgspec.Struct, frozen=True):
    """The theory of one scenario. Rates are prompts per second and node, times seconds.

    ``critical_rate_hz`` is λ* of this scenario's own selection, ``best_critical_rate_hz`` that of
    the best weights (None where the linear program is too large). ``offered_load`` is in Erlang,
    in the order of ``nodes``. ``waiting_time_s`` per node and ``sojourn_time_s`` overall are
    approximations (None where none is known), infinite beyond the limit.
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
    notes: list[str] = []

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON object of ``dmoa bound --json``; infinities become null."""
        return to_json(self)


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


def prepare(scenario: Scenario | Setup, graph: nx.Graph[Any] | None = None) -> Setup:
    """Resolve a scenario against its overlay, and solve for the best weights if it asks for them.

    Args:
        scenario: a scenario, or a setup, which is returned as it is.
        graph: a networkx graph in place of the overlay that the scenario names.

    Raises:
        ScenarioError: the scenario does not fit its overlay.
    """
    if isinstance(scenario, Setup):
        return scenario
    if scenario.plan.selection == "weighted" and scenario.plan.weights == "best":
        uniform = msgspec.structs.replace(scenario.plan, selection="uniform", weights=None)
        plain = resolve(msgspec.structs.replace(scenario, plan=uniform), graph)
        return resolve(scenario, graph, inclusion=_best_inclusion(plain))
    return resolve(scenario, graph)


def bound(scenario: Scenario | Setup, graph: nx.Graph[Any] | None = None) -> Bound:
    """Compute offered loads a_i, the critical rate λ*, Theorem 1 beside it and the best weights.

    Args:
        scenario: a scenario or a resolved one.
        graph: a networkx graph in place of the overlay that the scenario names.

    Raises:
        ScenarioError: the scenario does not fit its overlay, or it has too many nodes.

    >>> from dmoa.scenario import load
    >>> limit = bound(load("ring"))
    >>> round(limit.critical_rate_hz, 4), round(limit.offered_load_max, 4), limit.sufficient.case
    (0.25, 0.8, 'conjectured')
    """
    setup = prepare(scenario, graph)
    plan = setup.scenario.plan
    rates, service, slots = _rates(setup), setup.stage_service_time_s(), np.array(setup.slots)
    chances = _inclusion(setup)
    load = theory.offered_load(rates, chances, service, plan.layers)
    notes = list(setup.notes)
    try:
        best = theory.offered_load(rates, _best_inclusion(setup), service, plan.layers)
        best_critical_rate_hz = theory.critical_rate_hz(rates, best, slots)
    except ScenarioError as error:
        best_critical_rate_hz = None
        notes.append(f"best weights not computed: {error}")
    if setup.scenario.links.loss or _deadlines(plan) or any(setup.queue_max):
        notes.append("offered loads count every task, also those that are lost, late or refused")
    # Remark 1 takes the slowest; a batch of slots works like a server that many times as fast.
    slowest = float((np.asarray(service, float) / slots).max())
    enough = theory.sufficient(plan.layers, plan.proposers, service)
    waiting, sojourn = _means(setup, rates, chances, service)
    return Bound(
        critical_rate_hz=theory.critical_rate_hz(rates, load, slots),
        theorem1_critical_rate_hz=theory.theorem1_critical_rate_hz(
            plan.layers, plan.proposers, slowest
        ),
        best_critical_rate_hz=best_critical_rate_hz,
        arrival_rate_hz=float(rates.mean()),
        offered_load=load.tolist(),
        offered_load_max=float((load / slots).max()),
        bottleneck=setup.names[theory.bottleneck(load, slots)],
        sufficient=Sufficiency(enough.case, enough.text),
        nodes=list(setup.names),
        waiting_time_s=waiting,
        sojourn_time_s=sojourn,
        notes=notes,
    )


def adjacency(setup: Setup) -> Floats:
    """Give who may ask whom, (n, n), 0 and 1, origins in rows.

    Raises:
        ScenarioError: the overlay has too many nodes for a dense matrix.
    """
    n = len(setup.names)
    if n > DENSE_NODES_MAX:
        raise ScenarioError(
            f"theory is computed for at most {DENSE_NODES_MAX} nodes",
            path="overlay.nodes",
            given=n,
            remedy="take a smaller overlay of the same kind",
        )
    matrix = np.zeros((n, n))
    for origin, peers in enumerate(setup.peers):
        matrix[origin, list(peers)] = 1
    return matrix


def _inclusion(setup: Setup) -> Floats:
    """Give the chance p[j, i] that origin j asks i in a layer, as its selection has it."""
    matrix = adjacency(setup)
    if setup.inclusion is None:
        return theory.uniform_inclusion(matrix, setup.scenario.plan.proposers)
    for origin, peers in enumerate(setup.peers):
        matrix[origin, list(peers)] = setup.inclusion[origin]
    return matrix


def _best_inclusion(setup: Setup) -> Floats:
    plan = setup.scenario.plan
    return theory.best_inclusion(
        adjacency(setup),
        np.array(setup.arrival_rate_hz),
        plan.proposers,
        setup.stage_service_time_s(),
        layers=plan.layers,
        slots=np.array(setup.slots),
    )


def _rates(setup: Setup) -> Floats:
    return np.array(setup.arrival_rate_hz)


def _deadlines(plan: Plan) -> bool:
    """Tell whether tasks may be withdrawn before they were served."""
    return any((plan.layer_deadline_s, plan.patience, plan.prompt_deadline_s))


def _means(
    setup: Setup, rates: Floats, chances: Floats, service: Floats
) -> tuple[list[float] | None, float | None]:
    """Approximate the waiting time per node and the sojourn time, where formulas are known."""
    spec, plan = setup.scenario, setup.scenario.plan
    # Every formula takes prompts that come at random and tasks that are all served.
    poisson = spec.arrivals.process == "poisson"
    partial = _deadlines(plan) or any(setup.queue_max)
    if not poisson or partial or max(setup.slots) > 1 or setup.by_tokens:
        return None, None
    moments = [setup.service(node) for node in range(len(setup.names))]
    cv = np.array([max(m.second_moment / m.mean**2 - 1, 0.0) ** 0.5 for m in moments])
    means = theory.node_means(rates, chances, service, plan.layers, cv)
    exponential = spec.service.distribution == "exponential"
    many = any(len(peers) > FORMULA_PEERS_MAX for peers in setup.peers)
    if not exponential or spec.links.delay_s > 0 or setup.inclusion is not None or many:
        return means.waiting_time_s.tolist(), None
    spare = 1 / service - means.task_rate_hz
    sojourns = [
        theory.sojourn_time_unequal_s(
            plan.layers, plan.proposers, spare[origin], spare[list(peers)]
        )
        for origin, peers in enumerate(setup.peers)
    ]
    return means.waiting_time_s.tolist(), float(np.average(sojourns, weights=rates))
