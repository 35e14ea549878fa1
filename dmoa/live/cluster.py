"""Where the parts of a local cluster are: its folder, its nodes, their files and doors."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from dmoa.errors import ScenarioError

#: Where a cluster is kept unless its user says otherwise.
DEFAULT_FOLDER = "dmoa-cluster"


class ClusterNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node of a local cluster: its name, its folder and its addresses."""

    name: str
    folder: Path
    listen: str = ""
    """Where it hears its peers, as its files say."""
    gateway_listen: str = ""
    """Where its door is, as its files say."""
    secret_key: str = "secret.key"  # noqa: S105 - the name of a file

    @property
    def config_file(self) -> Path:
        """Its node.toml."""
        return self.folder / "node.toml"

    @property
    def log_file(self) -> Path:
        """What it says of itself; older parts stand beside it."""
        return self.folder / "node.log"

    @property
    def pid_file(self) -> Path:
        """Locked while it runs."""
        return self.folder / "pid"

    @property
    def key_file(self) -> Path:
        """Its secret key."""
        return self.folder / self.secret_key

    @property
    def url(self) -> str:
        """Where clients on this machine find it, without a slash at the end."""
        host, _, port = self.gateway_listen.rpartition("//")[2].rpartition(":")
        # Who listens everywhere is asked at the loopback address.
        host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - not bound
        return f"http://{host}:{port}"


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A local cluster: the nodes whose folders are on this machine, in the overlay's order."""

    folder: Path
    nodes: tuple[ClusterNode, ...]

    @property
    def pid_file(self) -> Path:
        """Locked while a supervisor looks after the nodes."""
        return supervisor_file(self.folder, "pid")

    @property
    def log_file(self) -> Path:
        """What the supervisor said."""
        return supervisor_file(self.folder, "log")

    @property
    def report_file(self) -> Path:
        """How the supervisor sees its nodes, renewed when that changes."""
        return supervisor_file(self.folder, "json")

    def node(self, name: str) -> ClusterNode:
        """Find a node by its name.

        Raises:
            ScenarioError: There is none of that name here.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        raise ScenarioError(
            "there is no node of that name here",
            path="--node",
            given=name,
            remedy=f"known are: {', '.join(node.name for node in self.nodes)}",
        )


def cluster_file(folder: Path) -> Path:
    """Give the file that makes a folder a cluster."""
    return folder / "cluster.toml"


def supervisor_file(folder: Path, ending: str) -> Path:
    """Give a file of the supervisor of a folder's cluster."""
    return folder / f"supervisor.{ending}"


def read_cluster(folder: Path) -> Cluster:
    """Find the nodes of a cluster's folder, without checking more than finding them takes.

    Raises:
        ScenarioError: The folder holds no cluster, a file cannot be read, or no node is here.
    """
    if not cluster_file(folder).is_file():
        raise ScenarioError(
            "there is no cluster in this folder",
            path=str(folder),
            remedy="start one with `dmoa up`, or name its folder with --dir",
        )
    folder = folder.absolute()
    peers = _table(_table(_read(cluster_file(folder)), "live"), "peers")
    order = {name: position for position, name in enumerate(peers)}
    found = [_read_node(path, peers) for path in sorted(folder.glob("nodes/*/node.toml"))]
    if not found:
        raise ScenarioError(
            "the cluster has no node on this machine",
            path=str(folder / "nodes"),
            remedy="make its nodes with `dmoa init`, in a new folder",
        )
    found.sort(key=lambda node: (order.get(node.name, len(order)), node.name))
    return Cluster(folder=folder, nodes=tuple(found))


def _read_node(path: Path, peers: dict[str, Any]) -> ClusterNode:
    """Take a node's name and addresses out of its file; what it leaves out is the cluster's."""
    data = _read(path)
    name = data.get("name", path.parent.name)
    peer = _table(peers, name) if isinstance(name, str) else {}
    texts = {
        "name": name,
        "listen": data.get("listen", peer.get("address", "")),
        "gateway_listen": data.get("gateway_listen", peer.get("gateway", "")),
        "secret_key": data.get("secret_key", "secret.key"),
    }
    for key, value in texts.items():
        if not isinstance(value, str):
            raise ScenarioError("must be a text", path=f"{path}: {key}", given=value)
    return ClusterNode(folder=path.parent, **texts)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScenarioError(f"cannot be read ({error})", path=str(path)) from error


def _table(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}
