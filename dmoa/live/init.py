"""Writing a new cluster: one file for all nodes, and for each node a folder of its own."""

from __future__ import annotations

import ipaddress
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from dmoa.errors import ScenarioError
from dmoa.live.cluster import cluster_file
from dmoa.live.config import check_url
from dmoa.live.init_files import (
    NodeLayout,
    absolute_model,
    cluster_text,
    default_model,
    node_text,
)
from dmoa.live.keys import KeyPair, make_keys, write_secret
from dmoa.live.weights import resolve_weights
from dmoa.scenario import Scenario, Setup, load
from dmoa.scenario.addresses import PORT_MAX, is_loopback, parse_address, written
from dmoa.scenario.choices import GENERATED, taken
from dmoa.scenario.inclusion import unknown_node
from dmoa.scenario.live_schema import Kind
from dmoa.scenario.overlay_files import is_file_name
from dmoa.scenario.overlays import some
from dmoa.scenario.ready import ready_overlays

NODES_MAX = 1000
BASE_PORT = 7401
#: A node's HTTP door has the port of its ear, and so much more.
GATEWAY_OFFSET = 1000
LOOPBACK = "127.0.0.1"
_ANYWHERE = "0.0.0.0"  # noqa: S104 - only for a node that was given a name other machines know

#: What a new cluster has unless its user says otherwise.
DEFAULTS: dict[str, Any] = {
    "overlay.topology": "ring",
    "plan.layers": 1,
    "plan.proposers": 2,
    "plan.patience": 4.0,
    "plan.attempts": 3,
    "plan.prompt_deadline_s": 600.0,
    "station.queue_max": 64,
    "service.service_time_s": 5.0,
    "arrivals.arrival_rate_hz": 0.02,
}
NODES = 4


class ClusterLayout(msgspec.Struct, frozen=True, kw_only=True):
    """Where a new cluster is, what its nodes answer with, and they, in the overlay's order."""

    folder: Path
    model: str
    nodes: tuple[NodeLayout, ...]
    notes: tuple[str, ...]

    @property
    def file(self) -> Path:
        """Its cluster.toml."""
        return cluster_file(self.folder)


def init_cluster(
    folder: Path,
    values: Mapping[str, Any] | None = None,
    *,
    engine: Kind = "llama",
    model: str | None = None,
    node_models: Mapping[str, str] | None = None,
    hosts: Mapping[str, str] | None = None,
    url: str | None = None,
    api_key_env: str | None = None,
    base_port: int = BASE_PORT,
) -> ClusterLayout:
    """Write a new cluster into a folder, all of it or nothing.

    Args:
        folder: Where; it must not exist, or be empty.
        values: Path to value of the scenario, such as ``{"overlay.nodes": 8}``; the rest are
            `DEFAULTS`.
        engine: What answers on all nodes.
        model: Their model; by default the engine's.
        node_models: Models of single nodes, by name.
        hosts: Addresses of single nodes that are on other machines, by name.
        url: For openai: where the server is.
        api_key_env: For openai: the environment variable that holds its key.
        base_port: Port of the first node; the others follow, HTTP doors `GATEWAY_OFFSET` above.

    Raises:
        ScenarioError: The folder has something in it, or a value is wrong; nothing was written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ScenarioError(
            "exists already, and what it holds is never overwritten",
            path=str(folder),
            remedy="start it with `dmoa up`, or name another folder",
        )
    models = {name: absolute_model(own) for name, own in (node_models or {}).items()}
    model, places = absolute_model(model) if model is not None else None, dict(hosts or {})
    scenario, overlay_file = _scenario(folder, dict(values or {}), engine, model)
    setup = resolve_weights(scenario)
    _check_nodes(setup, {**models, **places}, places, base_port)
    if engine == "openai":
        _check_server(url, [models.get(name, model) for name in setup.names])
    if overlay_file is not None:
        # Copied beside the cluster file, so that the folder can go to other machines.
        scenario = load(scenario, {"overlay.topology": overlay_file.name})
    nodes = _nodes(setup.names, engine, models, places, base_port)
    cluster = cluster_text(scenario, [node for node, _ in nodes])
    texts = {node.folder: node_text(node, url, api_key_env) for node, _ in nodes}
    with _whole(folder) as part:
        cluster_file(part).write_text(cluster, encoding="utf-8")
        if overlay_file is not None:
            shutil.copyfile(overlay_file, part / overlay_file.name)
        for node, keys in nodes:
            place = part / node.folder
            place.mkdir(parents=True)
            (place / "node.toml").write_text(texts[node.folder], encoding="utf-8")
            write_secret(place / "secret.key", keys)
    layout = tuple(node for node, _ in nodes)
    return ClusterLayout(
        folder=folder,
        model=model or default_model(engine) or engine,
        nodes=layout,
        notes=(*setup.notes, *_notes(layout)),
    )


def _notes(nodes: Sequence[NodeLayout]) -> Iterator[str]:
    here = [node.name for node in nodes if node.gateway is not None]
    if 0 < len(here) < len(nodes):
        who = "1 node is" if len(here) == 1 else f"{len(here)} nodes are"
        yield f"{who} at {LOOPBACK}, where no other machine can reach them: {some(here)}"


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Give a folder to fill; it takes its place when it is full, and vanishes after an error."""
    part: Path | None = None
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".dmoa-init-", dir=folder.absolute().parent))
        yield part
        part.replace(folder)
    except OSError as error:
        raise ScenarioError(
            f"cannot be written ({error.strerror})",
            path=str(folder),
            remedy="name a folder that does not exist yet, where this user may write",
        ) from None
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def _scenario(
    folder: Path, given: dict[str, Any], engine: Kind, model: str | None
) -> tuple[Scenario, Path | None]:
    """Make the cluster's scenario; name the file of its overlay if it has one."""
    topology = given.get("overlay.topology", DEFAULTS["overlay.topology"])
    if "nodes" in GENERATED.get(topology, {}) and GENERATED[topology]["nodes"] is not None:
        given.setdefault("overlay.nodes", NODES)
    if "plan.layer_deadline_s" in given:
        given.setdefault("plan.patience", None)
    live: dict[str, Any] = {"live.engine": engine, "live.model": model or default_model(engine)}
    live["plan.overlap"] = engine == "llama"  # the others cannot read ahead
    name = folder.absolute().name or "cluster"
    defaults = {key: value for key, value in DEFAULTS.items() if _fits(key, given)}
    scenario = load({}, {"name": name[:200], **defaults, **live, **given})
    is_file = isinstance(topology, str) and topology not in ready_overlays()
    return scenario, Path(topology) if is_file and is_file_name(topology) else None


def _fits(key: str, given: Mapping[str, Any]) -> bool:
    """Leave out what a choice of the user's does not take."""
    for section, choice in (("service", "distribution"), ("arrivals", "process")):
        chosen = given.get(f"{section}.{choice}")
        if chosen is not None and key.startswith(f"{section}."):
            return key.partition(".")[2] in taken(section, chosen)
    return True


def _check_nodes(
    setup: Setup, named: Mapping[str, str], hosts: Mapping[str, str], base_port: int
) -> None:
    names = setup.names
    if len(names) > NODES_MAX:
        raise ScenarioError(
            f"a cluster is written for at most {NODES_MAX} nodes",
            path="overlay",
            given=len(names),
            remedy="give fewer nodes",
        )
    for name in named:
        if name not in names:
            raise unknown_node(name, "node", names)
    for name, host in hosts.items():
        parse_address(written(host, 1), scheme="", path=f"host of {name}")
    most = PORT_MAX - GATEWAY_OFFSET - len(names) + 1
    if not 1 <= base_port <= most:
        raise ScenarioError(
            f"must be 1 to {most}, so that {len(names)} nodes and their HTTP doors find ports",
            path="base port",
            given=base_port,
            remedy=f"for example {BASE_PORT}",
        )


def _check_server(url: str | None, models: Sequence[str | None]) -> None:
    check_url(url)
    if None in models:
        raise ScenarioError(
            "engine 'openai' needs the name of a model",
            path="model",
            remedy="give the name under which the server has it",
        )


def _nodes(
    names: Sequence[str],
    engine: Kind,
    models: Mapping[str, str],
    hosts: Mapping[str, str],
    base_port: int,
) -> list[tuple[NodeLayout, KeyPair]]:
    made = []
    taken_folders: set[str] = set()
    for position, name in enumerate(names):
        keys = make_keys()
        host, port = hosts.get(name, LOOPBACK), base_port + position
        door = written(LOOPBACK, port + GATEWAY_OFFSET)
        made.append(
            (
                NodeLayout(
                    name=name,
                    folder=Path("nodes") / _folder_name(name, taken_folders),
                    address=written(host, port, "tcp"),
                    listen=written(_listened(host), port, "tcp"),
                    gateway_listen=door,
                    gateway=f"http://{door}" if is_loopback(host) else None,
                    engine=engine,
                    model=models.get(name),
                    public_key=keys.public,
                ),
                keys,
            )
        )
    return made


def _listened(host: str) -> str:
    """Say where a node listens that others find at ``host``: a name is not an address to bind."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return LOOPBACK if is_loopback(host) else _ANYWHERE


def _folder_name(name: str, taken_names: set[str]) -> str:
    """Name a node's folder after it, as far as file systems can."""
    plain = re.sub(r"[^\w.-]+", "_", name)[:100].strip("._") or "node"
    free, number = plain, 1
    while free.lower() in taken_names:
        number += 1
        free = f"{plain}-{number}"
    taken_names.add(free.lower())
    return free
