"""Which doors a command line means: those of a cluster's nodes, one of them, or an address."""

from __future__ import annotations

import functools
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import rich_click

from dmoa.cli.cluster_options import DEFAULT_FOLDER, dir_option
from dmoa.errors import ScenarioError
from dmoa.live.cluster import cluster_file

Function = Callable[..., Any]


class Address(msgspec.Struct, frozen=True):
    """Where the door of a node is."""

    name: str
    url: str


class Doors(msgspec.Struct, frozen=True, kw_only=True):
    """The doors that a command may use, in the order in which it tries them."""

    addresses: tuple[Address, ...]
    folder: Path | None
    """The cluster's folder; None if an address was given instead."""
    chosen: bool
    """Whether the user named the node, so that no other may stand in for it."""
    key: str | None = None

    def start_command(self) -> str:
        """Give the command that starts the cluster."""
        if self.folder is None:
            return "dmoa node"
        return f"dmoa up{self._dir()}"

    def status_command(self) -> str:
        """Give the command that shows the nodes."""
        if self.folder is None:
            return f"dmoa status --url {self.addresses[0].url}"
        return f"dmoa status{self._dir()}"

    def logs_command(self, node: str) -> str:
        """Give the command that shows what a node says of itself."""
        return f"dmoa logs{self._dir()} --node {node}"

    def _dir(self) -> str:
        default = self.folder is None or self.folder == Path(DEFAULT_FOLDER)
        return "" if default else f" --dir {shlex.quote(str(self.folder))}"


def door_options(function: Function) -> Function:
    """Add the options that say which nodes are meant; the command gets ``doors``, a `Doors`."""

    @functools.wraps(function)
    def command(
        folder: Path, node: str | None, url: str | None, key_file: str | None, **rest: Any
    ) -> Any:
        return function(doors=find_doors(folder, node=node, url=url, key_file=key_file), **rest)

    decorated = rich_click.option(
        "--key-file", metavar="FILE", help="File with an API key, where the nodes need one."
    )(command)
    decorated = rich_click.option(
        "--url",
        metavar="URL",
        help="Door of a node, such as http://127.0.0.1:8401, instead of --dir.",
    )(decorated)
    decorated = rich_click.option("--node", metavar="NAME", help="This node and no other.")(
        decorated
    )
    return dir_option(decorated)


def find_doors(folder: Path, *, node: str | None, url: str | None, key_file: str | None) -> Doors:
    """Find the doors of a command line.

    Raises:
        ScenarioError: There is no cluster, no such node, or the key file is bad.
    """
    key = None
    if key_file is not None:
        from dmoa.gateway.auth import read_keys  # loads a web framework, which few need

        key = read_keys(Path(key_file))[0]
    if url is not None:
        if node is not None:
            raise ScenarioError(
                "cannot be given together with --url",
                path="--node",
                given=node,
                remedy="leave one of them out",
            )
        return Doors(addresses=(Address(url, url),), folder=None, chosen=True, key=key)
    addresses = _read_addresses(folder)
    if node is not None:
        addresses = tuple(address for address in addresses if address.name == node)
        if not addresses:
            known = ", ".join(address.name for address in _read_addresses(folder))
            raise ScenarioError(
                "there is no node of that name in the cluster, or it has no door",
                path="--node",
                given=node,
                remedy=f"known are: {known}",
            )
    return Doors(addresses=addresses, folder=folder, chosen=node is not None, key=key)


def _read_addresses(folder: Path) -> tuple[Address, ...]:
    path = cluster_file(folder)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ScenarioError(
            "there is no cluster in this folder",
            path=str(folder),
            remedy="start one with `dmoa up`, or say where it is with --dir or --url",
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScenarioError(f"cannot be read ({error})", path=str(path)) from None
    live = data.get("live")
    peers = live.get("peers") if isinstance(live, dict) else None
    found = tuple(
        Address(name, peer["gateway"].rstrip("/"))
        for name, peer in (peers.items() if isinstance(peers, dict) else ())
        if isinstance(peer, dict) and isinstance(peer.get("gateway"), str)
    )
    if not found:
        raise ScenarioError(
            "no peer has a door",
            path=f"{path}: live.peers",
            remedy='give each its gateway = "http://HOST:PORT", or use --url',
        )
    return found
