"""Whether a cluster that is there is the one that was described."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dmoa.live.cluster import Cluster, cluster_file, read_cluster
from dmoa.live.init_files import absolute_model
from dmoa.live.toml_lines import read_toml
from dmoa.scenario import Scenario, load, value_at
from dmoa.scenario.addresses import parse_address


def differences(folder: Path, arguments: Mapping[str, Any]) -> list[str]:
    """Say in which of some arguments of `init_cluster` an existing cluster differs.

    Raises:
        ScenarioError: The cluster's files cannot be read, or a value is wrong.
    """
    scenario = load(cluster_file(folder))
    return [
        *_values(scenario, arguments),
        *_nodes(read_cluster(folder), arguments),
        *_addresses(scenario, arguments.get("hosts", {}), arguments.get("base_port")),
    ]


def _values(scenario: Scenario, arguments: Mapping[str, Any]) -> Iterator[str]:
    values = dict(arguments.get("values", {}))
    if "engine" in arguments:
        values["live.engine"] = arguments["engine"]
    if "model" in arguments:
        values["live.model"] = absolute_model(arguments["model"])
    topology = values.get("overlay.topology")
    # A file was copied beside the cluster file, so only its name is the same.
    if topology is not None and Path(topology).name == Path(scenario.overlay.topology).name:
        del values["overlay.topology"]
    wanted = load(scenario, values)
    for path in values:
        found, sought = value_at(scenario, path), value_at(wanted, path)
        if found != sought:
            yield f"{path} is {found}, not {sought}"


def _nodes(cluster: Cluster, arguments: Mapping[str, Any]) -> Iterator[str]:
    own = {node.name: read_toml(node.config_file)[1] for node in cluster.nodes}
    for name, model in arguments.get("node_models", {}).items():
        found = own.get(name, {}).get("model")
        if found != absolute_model(model):
            yield f"the model of node {name} is {found or 'that of all'}, not {model}"
    for key in ("url", "api_key_env"):
        for name, values in own.items():
            if key in arguments and values.get(key) != arguments[key]:
                yield f"{key} of node {name} is {values.get(key)}, not {arguments[key]}"


def _addresses(
    scenario: Scenario, hosts: Mapping[str, str], base_port: int | None
) -> Iterator[str]:
    peers = scenario.live.peers if scenario.live is not None else {}
    found = {
        name: parse_address(peer.address, scheme="tcp", path=f"live.peers.{name}.address")
        for name, peer in peers.items()
    }
    for name, host in hosts.items():
        if name not in found or found[name].host != host:
            yield f"node {name} is not at {host}"
    port = next((address.port for address in found.values()), None)
    if base_port not in (None, port):
        yield f"its first port is {port}, not {base_port}"
