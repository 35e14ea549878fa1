"""From a resolved scenario to the nodes of the core: the same ones in every world."""

from __future__ import annotations

from math import ceil
from typing import Any

from dmoa.core import Join, Node, Selection, Uniform, Weighted, derive, layered
from dmoa.scenario.parse import to_dict
from dmoa.scenario.recurring import template
from dmoa.scenario.setup import Setup


def run_key(seed: int, replication: int) -> int:
    """Give the key from which all random streams of one replication are derived.

    >>> run_key(1, 0) != run_key(1, 1)
    True
    """
    return derive(seed, "replication", replication)


def build_nodes(setup: Setup, key: int) -> list[Node]:
    """Build every node of a scenario, in the order of ``setup.names``.

    Args:
        setup: the resolved scenario.
        key: of the replication (`run_key`).

    >>> from dmoa.scenario import load, resolve
    >>> [node.name for node in build_nodes(resolve(load("ring")), key=1)]
    ['0', '1', '2', '3', '4', '5', '6', '7']
    """
    spec = setup.scenario.plan
    join = Join(spec.layer_deadline_s, spec.quorum or 1, spec.patience, spec.attempts or 1)
    plan = layered(spec.layers, spec.proposers, join=join, deadline_s=spec.prompt_deadline_s)
    nodes = []
    for index, name in enumerate(setup.names):
        peers = [setup.names[peer] for peer in setup.peers[index]]
        selection: Selection
        if setup.inclusion is None:
            selection = Uniform(peers)
        else:
            selection = Weighted(peers, setup.inclusion[index])
        nodes.append(
            Node(
                name,
                plan=plan,
                selection=selection,
                key=derive(key, "select", index),
                slots=setup.slots[index],
                queue_max=setup.queue_max[index],
                template=template(spec),
                service_time_s=setup.service_time_s[index],
                overlap=spec.overlap,
                cache_tokens=setup.scenario.station.cache_tokens,
                response_tokens=response_tokens(setup),
                # Not where nobody reads them: reports make every response longer.
                reporting=spec.patience is not None or setup.scenario.live is not None,
            )
        )
    return nodes


def response_tokens(setup: Setup) -> int:
    """Give what a response is taken to need in a language model's memory, tokens.

    In a cluster the longest that its nodes write, elsewhere the mean.

    >>> from dmoa.scenario import from_dict, resolve
    >>> response_tokens(resolve(from_dict({"tokens": {"response_tokens": 99.5}})))
    100
    """
    live = setup.scenario.live
    return ceil(setup.response_tokens) if live is None else live.max_tokens


def replay_facts(setup: Setup) -> dict[str, Any]:
    """Give what a trace's header says of a scenario, so that its nodes can be built again.

    >>> from dmoa.scenario import load, resolve
    >>> sorted(replay_facts(resolve(load("ring"))))
    ['inclusion', 'names', 'peers', 'response_tokens', 'scenario', 'service_time_s']
    """
    return {
        "names": list(setup.names),
        "scenario": to_dict(setup.scenario),
        "peers": [list(peers) for peers in setup.peers],
        "inclusion": None if setup.inclusion is None else [list(row) for row in setup.inclusion],
        "service_time_s": list(setup.service_time_s),
        "response_tokens": response_tokens(setup),
    }
