"""Whose speed is to be measured: a model's, or that of a node as its files describe it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from dmoa.errors import ScenarioError
from dmoa.live.cluster import DEFAULT_FOLDER, read_cluster
from dmoa.live.config import NodeConfig, read_node
from dmoa.live.cores import cores
from dmoa.live.engines.spec import DEFAULT_MODEL, EngineSpec
from dmoa.scenario.addresses import parse_address

#: What a model is calibrated with where nothing says how many tasks it shall serve at once.
SLOTS = 8


class Target(msgspec.Struct, frozen=True):
    """An engine to calibrate, and whether to measure what its machine gives to several."""

    spec: EngineSpec
    host: bool


def choose_target(
    *,
    model: str | None = None,
    node: Path | None = None,
    folder: Path | None = None,
    name: str | None = None,
    threads: int | None = None,
    slots: int | None = None,
    host: bool | None = None,
) -> Target:
    """Find the engine that a user means.

    Args:
        model: A model to run with the engine llama; without a node the default one.
        node: A node's file.
        folder: A cluster's folder; with or without ``name`` it stands for one of its nodes.
        name: A node of that cluster; by default its first.
        threads: How many compute, instead of the node's.
        slots: How many tasks are served at once, instead of the node's.
        host: Whether to measure what the machine gives to several engines; None: if the node's
            cluster has several at its address.

    Raises:
        ScenarioError: Two were named, or a file is wrong.

    >>> choose_target(slots=2).spec.slots
    2
    """
    named = [
        option
        for option, given in (
            ("--model", model),
            ("--node", node),
            ("--dir and --name", folder or name),
        )
        if given is not None
    ]
    if len(named) > 1:
        raise ScenarioError(
            f"{' and '.join(named)} contradict each other",
            path=named[0],
            remedy="name one model or one node",
        )
    own = {"threads": threads, "slots": slots}
    changed = {key: value for key, value in own.items() if value is not None}
    if folder is not None or name is not None:
        cluster = read_cluster(folder or Path(DEFAULT_FOLDER))
        node = (cluster.nodes[0] if name is None else cluster.node(name)).config_file
    if node is None:
        spec = EngineSpec(model=model or DEFAULT_MODEL, slots=SLOTS)
        return Target(msgspec.structs.replace(spec, **changed), host=bool(host))
    config = read_node(node)
    spec = msgspec.structs.replace(config.engine, slots=config.setup.slots[config.index])
    several = spec.kind == "llama" and _several(config)
    return Target(msgspec.structs.replace(spec, **changed), several if host is None else host)


def _several(config: NodeConfig) -> bool:
    """Whether other nodes of the cluster have this node's address, so that they share a machine."""
    own = parse_address(config.listen, scheme="tcp", path="listen", port_min=0).host
    hosts = [
        parse_address(peer.address, scheme="tcp", path="address").host
        for peer in config.peers.values()
    ]
    return own in hosts


def load_problem() -> str:
    """Say that this machine is busy already; nothing if it is not, or does not tell."""
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows knows no load average
        return ""
    if load <= cores():
        return ""
    return f"it is busy: its load average is {load:.1f}, and it has {cores()} cores"
