"""What the options of a new cluster mean where there is a cluster already: they must agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dmoa.errors import ScenarioError

if TYPE_CHECKING:
    from dmoa.cli.new_cluster import NewCluster
    from dmoa.scenario import Scenario


class Difference(NamedTuple):
    """An option that says otherwise than the cluster's files."""

    flag: str
    given: Any
    found: Any


def check_agreement(new_cluster: NewCluster, folder: Path) -> None:
    """See that the options say nothing else than the files of a cluster.

    Raises:
        ScenarioError: They do: nothing is overwritten, and nothing is silently left out.
    """
    for difference in _differences(new_cluster.arguments, folder):
        raise ScenarioError(
            f"the cluster in {folder} has {difference.found}",
            path=difference.flag,
            given=difference.given,
            remedy=f"leave the option out, edit {folder / 'cluster.toml'}, or make another cluster "
            "with another --dir",
        )


def _differences(arguments: dict[str, Any], folder: Path) -> Iterator[Difference]:
    if not arguments:
        return
    from dmoa.live.cluster import cluster_file  # the help page does without them
    from dmoa.live.config import read_cluster_file

    setup, live, _ = read_cluster_file(cluster_file(folder))
    for path, given in arguments.get("values", {}).items():
        if not _agrees(setup.scenario, path, given):
            yield Difference(path, given, _found(setup.scenario, path))
    for key in ("engine", "model"):
        if key in arguments and arguments[key] != getattr(live, key):
            yield Difference(f"--{key}", arguments[key], getattr(live, key))
    addresses = {name: peer.address for name, peer in live.peers.items()}
    yield from _in_addresses(arguments, addresses)
    if {"node_models", "url", "api_key_env"} & arguments.keys():
        yield from _in_nodes(arguments, folder)


def _in_addresses(arguments: dict[str, Any], addresses: dict[str, str]) -> Iterator[Difference]:
    for name, given in arguments.get("hosts", {}).items():
        address = addresses.get(name, "")
        if address.rpartition("//")[2].rpartition(":")[0] != given:
            yield Difference(f"--host {name}", given, address or "no such node")
    first = next(iter(addresses.values()), "")
    if "base_port" in arguments and first.rpartition(":")[2] != str(arguments["base_port"]):
        yield Difference("--base-port", arguments["base_port"], first)


def _in_nodes(arguments: dict[str, Any], folder: Path) -> Iterator[Difference]:
    from dmoa.live.cluster import read_cluster  # the help page does without them
    from dmoa.live.config import read_node

    cluster = read_cluster(folder)
    engines = {node.name: read_node(node.config_file).engine for node in cluster.nodes}
    for name, given in arguments.get("node_models", {}).items():
        model = engines[cluster.node(name).name].model
        if model not in (given, str(Path(given).absolute())):
            yield Difference(f"--node-model {name}", given, model)
    for key in ("url", "api_key_env"):
        there = [getattr(engine, key) for engine in engines.values()]
        if key in arguments and arguments[key] not in there:
            yield Difference(f"--{key.replace('_', '-')}", arguments[key], there[0])


def _agrees(scenario: Scenario, path: str, given: Any) -> bool:
    """Whether a value changes nothing; the file of an overlay was copied beside the cluster's."""
    from dmoa.scenario import load

    if path == "overlay.topology" and Path(given).name == scenario.overlay.topology:
        return True
    try:
        return load(scenario, {path: given}) == scenario
    except ScenarioError:
        return False


def _found(scenario: Scenario, path: str) -> Any:
    found: Any = scenario
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else getattr(found, key, None)
    return found
