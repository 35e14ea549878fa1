"""What the nodes of a scenario are given, as a share of what each can do: the one place for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from dmoa import theory
from dmoa.scenario import Setup
from dmoa.scenario.stage_times import StageTimes, stage_times

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]

#: A host is the bottleneck where it is loaded more than any node by at least this share.
_TIE = 1e-9


class Loads(NamedTuple):
    """The load of one choice of peers; rates are prompts per second and node.

    ``offered`` (n,) is in Erlang, ``saturation`` (n,) by each node's capacity and ``hosts`` by that
    of each host, in the order of `by_host`. ``single_slot_critical_rate_hz`` is None where every
    slot has a processor of its own, ``host_critical_rate_hz`` where every node has a host.
    """

    times: StageTimes
    offered: Floats
    saturation: Floats
    hosts: list[float]
    bottleneck: str
    critical_rate_hz: float
    single_slot_critical_rate_hz: float | None
    host_critical_rate_hz: float | None


def loads(setup: Setup, inclusion: Floats) -> Loads:
    """Compute what the nodes and hosts of a scenario are given.

    Args:
        setup: the resolved scenario.
        inclusion: the chance of each peer to be asked in a layer, in the order of
            ``setup.peers.targets``, (edges,).
    """
    layers, rates = setup.scenario.plan.layers, np.array(setup.arrival_rate_hz)
    times, matrix = stage_times(setup, inclusion), setup.matrix(inclusion)
    offered = theory.offered_load(rates, matrix, times.alone_s, layers)
    full = offered
    if times.full_s is not times.alone_s:
        full = theory.offered_load(rates, matrix, times.full_s, layers)
    saturation = full / times.servers
    limit_hz = theory.critical_rate_hz(rates, full, times.servers)
    bottleneck = setup.names[theory.bottleneck(full, times.servers)]
    hosts, host_limit_hz = _host_limit(setup, saturation)
    single_hz = None
    if setup.shares_processor:
        single_hz = theory.critical_rate_hz(rates, offered)
        single_hz = min(single_hz, _host_limit(setup, offered)[1] or single_hz)
    if host_limit_hz is not None and host_limit_hz < limit_hz * (1 - _TIE):
        limit_hz = host_limit_hz
        bottleneck = f"host {list(by_host(setup))[int(np.argmax(hosts))]}"
    return Loads(times, offered, saturation, hosts, bottleneck, limit_hz, single_hz, host_limit_hz)


def by_host(setup: Setup) -> dict[str, list[str]]:
    """Name the nodes of every host; there is none where every node has its own.

    >>> from dmoa.scenario import from_dict, resolve
    >>> two = {"overlay": {"nodes": 3}, "host": {"cores": 1.0}, "nodes": {"1": {"host": "b"}}}
    >>> by_host(resolve(from_dict(two)))
    {'common': ['0', '2'], 'b': ['1']}
    """
    found: dict[str, list[str]] = {}
    for name, host in zip(setup.names, setup.hosts or (), strict=False):
        found.setdefault(host, []).append(name)
    return found


def crowded(setup: Setup) -> bool:
    """Tell whether a host cannot serve all of its nodes at full speed."""
    host = setup.scenario.host
    if host is None:
        return False
    return max(map(len, by_host(setup).values())) * host.threads > host.cores


def capacity(setup: Setup) -> Floats:
    """Give the offered load, in Erlang, at which each node saturates (n,): its mix of tasks counts.

    Where every slot has a processor of its own, these are the slots.

    >>> from dmoa.scenario import from_dict, resolve
    >>> station = {"slots": 2, "speedup": [1.0, 1.5]}
    >>> capacity(resolve(from_dict({"station": station})))[:2].round(9)
    array([1.5, 1.5])
    """
    if not setup.shares_processor:
        return np.array(setup.slots, float)
    found = loads(setup, chances(setup))
    given = found.saturation > 0
    carried = np.array(setup.full_speed)
    np.divide(found.offered, found.saturation, out=carried, where=given)
    return carried


def chances(setup: Setup) -> Floats:
    """Give the chance of each peer to be asked in a layer, as the selection has it.

    Returns:
        In the order of ``setup.peers.targets``, (edges,).

    >>> from dmoa.scenario import from_dict, resolve
    >>> chances(resolve(from_dict({"overlay": {"topology": "path", "nodes": 2}})))
    array([1., 1.])
    """
    if setup.inclusion is not None:
        return setup.inclusion.probabilities
    return theory.uniform_inclusion(setup.matrix(), setup.scenario.plan.proposers).data


def best_chances(setup: Setup) -> tuple[Floats, float]:
    """Solve for the chances that carry the highest arrival rate; hosts do not count.

    Returns:
        The chances in the order of ``setup.peers.targets``, (edges,), and the share by which their
        critical rate may be below the highest one.

    Raises:
        ScenarioError: the solver gives up.
    """
    times = stage_times(setup)
    best = theory.best_weights(
        setup.matrix(),
        np.array(setup.arrival_rate_hz),
        setup.scenario.plan.proposers,
        times.full_s,
        layers=setup.scenario.plan.layers,
        slots=times.servers,
    )
    return cast("csr_array", best.inclusion).data, best.gap


def _host_limit(setup: Setup, needed: Floats) -> tuple[list[float], float | None]:
    """Give what the nodes need of each host, and the arrival rate at which one saturates."""
    host, hosts = setup.scenario.host, {name: i for i, name in enumerate(by_host(setup))}
    if host is None or setup.hosts is None:
        return [], None
    places = [hosts[name] for name in setup.hosts]
    shares = theory.host_load(needed, places, host.cores, host.threads)
    return shares.tolist(), float(np.mean(setup.arrival_rate_hz) / shares.max())
