"""From node.toml and cluster.toml to all that one node process needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from dmoa.errors import ScenarioError
from dmoa.live.allowlist import PeerAddress
from dmoa.live.cores import cores
from dmoa.live.engines.spec import DEFAULT_MODEL, EngineSpec
from dmoa.live.keys import KeyPair, read_secret
from dmoa.live.limits import TransportLimits
from dmoa.live.node_schema import TAKEN, NodeFile
from dmoa.live.toml_lines import locating, place_of, read_toml
from dmoa.live.weights import resolve_weights
from dmoa.scenario import Scenario, Setup, load
from dmoa.scenario.addresses import Address, is_http_url, is_loopback, parse_address
from dmoa.scenario.fields import keys_of
from dmoa.scenario.inclusion import unknown_node
from dmoa.scenario.live_schema import Durability, Kind, Live
from dmoa.scenario.parse import checked_table, nearest, plain


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one node process needs, checked; paths are absolute or as the user gave them.

    Attributes:
        file: Its node.toml.
        cluster_file: Its cluster.toml.
        name: Its name in the overlay.
        index: Its place in ``setup.names``.
        setup: The cluster's scenario, resolved.
        listen: Where it hears its peers, ``tcp://HOST:PORT``.
        gateway: Host and port of its HTTP door.
        api_keys_file: Keys of the door's clients; None: this machine alone needs none.
        secret_key: File of its secret key.
        keys: Its key pair, out of that file.
        state: Folder of its journal and traces.
        engine: What answers.
        peers: Whom it may ask and who may ask it, by name.
        asks: Those of them that it may ask.
        gateways: HTTP doors of all nodes of the cluster that say where theirs is.
        limits: Of the transport.
        durability: What an accepted prompt survives.
        retention_s: How long a prompt is remembered after its end.
        trace_bytes_max: Size at which it stops to write its trace.
        notes: What its user should know.
    """

    file: Path
    cluster_file: Path
    name: str
    index: int
    setup: Setup
    listen: str
    gateway: Address
    api_keys_file: Path | None
    secret_key: Path
    keys: KeyPair
    state: Path
    engine: EngineSpec
    peers: dict[str, PeerAddress]
    asks: frozenset[str]
    gateways: dict[str, str]
    limits: TransportLimits
    durability: Durability
    retention_s: float
    trace_bytes_max: int
    notes: tuple[str, ...]

    @property
    def journal(self) -> Path:
        """Where its promises are kept."""
        return self.state / "journal.sqlite"

    @property
    def trace_folder(self) -> Path:
        """Where it writes its traces, one for each incarnation."""
        return self.state / "trace"


def read_node(path: Path) -> NodeConfig:
    """Read a node's file and what it names, and check that it all fits.

    Raises:
        ScenarioError: With file, key and, where it can be found, line.
    """
    text, data = read_toml(path)
    folder = path.parent
    with locating(path, text):
        node = _node_file(data)
        gateway = _gateway(node)
        if node.listen is not None:
            parse_address(node.listen, scheme="tcp", path="listen", port_min=0)
        api_keys_file = _api_keys_file(node, folder)
        cluster = _cluster_file(node, folder)
    setup, live, cluster_text = read_cluster_file(cluster)
    with locating(path, text):
        index = _index(node, setup)
        engine = _engine(setup, index, node, live, folder, cluster.parent)
    with locating(cluster, cluster_text):
        neighbours = _neighbours(setup, index)
        peers = {setup.names[peer]: _peer(live, setup, peer, index) for peer in neighbours}
        own = _peer(live, setup, index, index)
    secret = folder / node.secret_key
    return NodeConfig(
        file=path,
        cluster_file=cluster,
        name=node.name,
        index=index,
        setup=setup,
        listen=node.listen or own.address,
        gateway=gateway,
        api_keys_file=api_keys_file,
        secret_key=secret,
        keys=_own_keys(node.name, secret, own, cluster, cluster_text),
        state=folder / node.state,
        engine=engine,
        peers=peers,
        asks=frozenset(setup.names[peer] for peer in setup.peers[index]),
        gateways={name: peer.gateway for name, peer in live.peers.items() if peer.gateway},
        limits=node.limits,
        durability=live.durability,
        retention_s=live.retention_s,
        trace_bytes_max=live.trace_bytes_max,
        notes=(*setup.notes, *_warnings(setup)),
    )


def _warnings(setup: Setup) -> list[str]:
    """Say what is allowed and unwise."""
    plan = setup.scenario.plan
    if plan.layers == 0 or plan.proposers == 0 or plan.prompt_deadline_s is not None:
        return []
    if plan.patience is not None or plan.layer_deadline_s is not None:
        return []
    return ["without plan.patience or a deadline one lost message can keep a prompt for ever"]


def read_cluster_file(path: Path) -> tuple[Setup, Live, str]:
    """Read a cluster file: its scenario, resolved; what real nodes need of it; its text.

    Raises:
        ScenarioError: With file, key and, where it can be found, line.
    """
    text, _ = read_toml(path)
    with locating(path, text):
        scenario = load(path)
        return resolve_weights(scenario), _live(scenario), text


def _live(scenario: Scenario) -> Live:
    if scenario.live is None:
        raise ScenarioError(
            "there is no [live] section: this is a scenario for the simulator alone",
            path="live",
            remedy="`dmoa init` writes a cluster of real nodes",
        )
    return scenario.live


def _cluster_file(node: NodeFile, folder: Path) -> Path:
    file = folder / node.cluster
    if not file.is_file():
        raise ScenarioError(
            "there is no such file",
            path="cluster",
            given=node.cluster,
            remedy="give the path of cluster.toml, from the folder of this file",
        )
    return file.resolve()  # shown in messages, so without the dots


def _node_file(data: dict[str, Any]) -> NodeFile:
    raw = plain(data)
    limits = raw.pop("limits", {})
    values = checked_table(raw, keys_of(NodeFile), "")
    return msgspec.convert({**values, "limits": _limits(limits)}, NodeFile)


def _limits(data: object) -> dict[str, Any]:
    known = [field.name for field in msgspec.structs.fields(TransportLimits)]
    if not isinstance(data, dict):
        raise ScenarioError(
            "must be a table", path="limits", given=data, remedy="write [limits] above its keys"
        )
    for name, value in data.items():
        if name not in known:
            raise ScenarioError(
                "unknown key", path=f"limits.{name}", given=value, remedy=nearest(name, known)
            )
        try:
            msgspec.convert({name: value}, TransportLimits)
        except msgspec.ValidationError as error:
            raise ScenarioError(
                f"is no such limit ({str(error).partition(' - ')[0]})",
                path=f"limits.{name}",
                given=value,
                remedy="give a number above 0, or remove it",
            ) from None
    return data


def _gateway(node: NodeFile) -> Address:
    gateway = parse_address(node.gateway_listen, scheme="", path="gateway_listen", port_min=0)
    if node.api_keys_file is None and not is_loopback(gateway.host):
        raise ScenarioError(
            "can be reached from other machines, so it needs API keys",
            path="gateway_listen",
            given=node.gateway_listen,
            remedy="give api_keys_file, a file with one key a line, or listen on 127.0.0.1",
        )
    return gateway


def _api_keys_file(node: NodeFile, folder: Path) -> Path | None:
    if node.api_keys_file is None:
        return None
    file = folder / node.api_keys_file
    if not file.is_file():
        raise ScenarioError(
            "there is no such file",
            path="api_keys_file",
            given=node.api_keys_file,
            remedy="write a file with one key a line; `openssl rand -hex 32` makes a good one",
        )
    return file


def _index(node: NodeFile, setup: Setup) -> int:
    if node.name not in setup.names:
        raise unknown_node(node.name, "name", setup.names)
    return setup.node_index(node.name)


def _neighbours(setup: Setup, index: int) -> list[int]:
    """Find whom a node may ask and who may ask it."""
    asking = [peer for peer, own in enumerate(setup.peers) if index in own]
    return sorted({*setup.peers[index], *asking})


def _peer(live: Live, setup: Setup, peer: int, index: int) -> PeerAddress:
    name = setup.names[peer]
    found = live.peers.get(name)
    if found is None:
        why = "runs" if peer == index else f"is a neighbour of node {setup.names[index]}"
        raise ScenarioError(
            f"node {name} {why}, and nobody says where it is",
            path=f"live.peers.{name}",
            remedy=f"write [live.peers.{name}] with its address and public_key",
        )
    others = tuple(found.other_public_keys or ())
    return PeerAddress(found.address, found.public_key, others)


def _own_keys(name: str, secret: Path, own: PeerAddress, cluster: Path, text: str) -> KeyPair:
    keys = read_secret(secret)
    if keys.public not in (own.public_key, *own.other_public_keys):
        path = f"live.peers.{name}.public_key"
        raise ScenarioError(
            f"the public key of {secret} is {keys.public}, so its peers would refuse this node",
            path=f"{place_of(cluster, text, path)}: {path}",
            given=own.public_key,
            remedy="write the former into the cluster file of every node, or bring back the secret"
            " key of the latter",
        )
    return keys


def _engine(
    setup: Setup, index: int, node: NodeFile, live: Live, folder: Path, cluster_folder: Path
) -> EngineSpec:
    """Put together what the node's file and the cluster's say of its engine."""
    kind = node.engine or live.engine
    for other, keys in TAKEN.items():
        for key in sorted(keys - TAKEN[kind]):
            if getattr(node, key) is not None:
                raise ScenarioError(
                    f"engine {kind!r} does not take this key",
                    path=key,
                    given=getattr(node, key),
                    remedy=f"remove it, or write engine = {other!r}",
                )
    given = {key: getattr(node, key) for key in TAKEN[kind]}
    if kind == "llama" and node.threads is None:
        given["threads"] = _threads(setup.names[index], live)
    if node.api_key_file is not None:
        given["api_key_file"] = str(folder / node.api_key_file)
    context_tokens = node.context_tokens or live.context_tokens
    if context_tokens <= live.max_tokens:
        raise ScenarioError(
            f"has to leave room for a prompt beside live.max_tokens, {live.max_tokens}",
            path="context_tokens",
            given=context_tokens,
            remedy="give more",
        )
    return EngineSpec(
        kind=kind,
        model=_model(node, live, kind, folder, cluster_folder),
        max_tokens=live.max_tokens,
        context_tokens=context_tokens,
        truncate=live.truncate,
        slots=setup.slots[index],
        cache_tokens=setup.scenario.station.cache_tokens,
        **{key: value for key, value in given.items() if value is not None},
    )


def _threads(name: str, live: Live) -> int:
    """Share the cores between the nodes of the cluster that have this node's address.

    llama.cpp's threads wait for each other by spinning: more of them than cores are many times
    slower, not a little.
    """
    if name not in live.peers:
        return cores()
    host = parse_address(live.peers[name].address, scheme="tcp", path="address").host
    here = [
        other
        for other, peer in live.peers.items()
        if parse_address(peer.address, scheme="tcp", path="address").host == host
    ]
    return max(1, cores() // len(here))


def _model(node: NodeFile, live: Live, kind: Kind, folder: Path, cluster_folder: Path) -> str:
    """Name the model: the node's, else the cluster's where that has the same engine."""
    if kind == "scripted":
        return "scripted"
    model, beside = node.model, folder
    if model is None and kind == live.engine:
        model, beside = live.model, cluster_folder
    if kind == "llama":
        if model is None:
            return DEFAULT_MODEL
        return model if model.startswith(("package:", "hf:")) else _path(model, beside)
    if model is None:
        raise ScenarioError(
            "engine 'openai' needs the name of a model",
            path="model",
            remedy="give the name under which the server has it",
        )
    check_url(node.url)
    return model


def check_url(url: str | None) -> None:
    """Refuse what is no URL of a server.

    Raises:
        ScenarioError: With an example.
    """
    if url is None or not is_http_url(url):
        raise ScenarioError(
            "engine 'openai' needs the URL of a server",
            path="url",
            given=url,
            remedy="for example http://127.0.0.1:11434/v1",
        )


def _path(text: str, folder: Path) -> str:
    return str(folder / Path(text).expanduser())
