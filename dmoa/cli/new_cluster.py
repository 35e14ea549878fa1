"""The options that describe a new cluster, for `dmoa init` and `dmoa up`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import rich_click

from dmoa.cli import options
from dmoa.errors import ScenarioError

if TYPE_CHECKING:
    from dmoa.live.init import ClusterLayout

Function = Callable[..., Any]

_PANEL = "Cluster"
_PATHS = ("overlay.topology", "overlay.nodes", "plan.layers", "plan.proposers", "plan.selection")
_KEYS = tuple(key for key in options.KEYS if key.path in _PATHS)


class NewCluster(NamedTuple):
    """A cluster as it was described on the command line."""

    arguments: dict[str, Any]
    """Those of `dmoa.live.init.init_cluster` that were given."""

    def make_or_check(self, folder: Path) -> None:
        """Write it into a folder, unless there is a cluster already; then compare.

        Raises:
            ScenarioError: The cluster that is there differs from the one described, or a value is
                wrong.
        """
        from dmoa.live.cluster import cluster_file  # the help page does without them
        from dmoa.live.init_again import differences

        if not cluster_file(folder).exists():
            self.write(folder)
            return
        differing = differences(folder, self.arguments) if self.arguments else []
        if differing:
            raise ScenarioError(
                f"there is a cluster already, and it differs: {'; '.join(differing)}",
                path=str(folder),
                remedy="change its files, leave the options out, or name another folder with --dir",
            )

    def write(self, folder: Path) -> ClusterLayout:
        """Write it into a folder.

        Raises:
            ScenarioError: The folder has something in it, or a value is wrong.
        """
        from dmoa.live.init import init_cluster  # the help page does without it

        return init_cluster(folder, **self.arguments)


def new_cluster_options(function: Function) -> Function:
    """Add the options that describe a new cluster; the command gets ``new``."""

    @functools.wraps(function)
    def command(
        given: dict[str, Any],
        sets: tuple[str, ...],
        node_models: tuple[str, ...],
        hosts: tuple[str, ...],
        **rest: Any,
    ) -> Any:
        from dmoa.scenario import parse_sets  # the help page does without it

        arguments = {
            "values": {**given, **parse_sets(sets)},
            "node_models": _pairs(node_models, "--node-model"),
            "hosts": _pairs(hosts, "--host"),
        }
        for name in ("engine", "model", "url", "api_key_env", "base_port"):
            arguments[name] = rest.pop(name)
        said = {name: value for name, value in arguments.items() if value not in (None, {})}
        return function(new=NewCluster(said), **rest)

    decorated: Function = command
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return options.value_options(decorated, _KEYS)


def _pairs(texts: tuple[str, ...], flag: str) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ScenarioError(
                "must be NAME=VALUE, with the name of a node",
                path=flag,
                given=text,
                remedy=f"for example {flag} 3=...",
            )
        found[name] = value
    return found


def _option(flag: str, metavar: str, text: str, **more: Any) -> Callable[[Function], Function]:
    return rich_click.option(flag, metavar=metavar, help=text, panel=_PANEL, **more)


_OPTIONS = (
    _option(
        "--engine",
        "NAME",
        "What answers: llama (in the node), openai (a server), scripted (a dry run).",
        type=click.Choice(["llama", "openai", "scripted"]),
    ),
    _option(
        "--model",
        "MODEL",
        "Model of all nodes: package:NAME/FILE, a path, hf:OWNER/REPO/FILE, or its name at the "
        "server.",
    ),
    rich_click.option(
        "--node-model",
        "node_models",
        multiple=True,
        metavar="NAME=MODEL",
        help="Model of one node; repeatable.",
        panel=_PANEL,
    ),
    _option("--url", "URL", "For openai: the server, such as http://127.0.0.1:11434/v1."),
    _option("--api-key-env", "VARIABLE", "For openai: environment variable with its key."),
    rich_click.option(
        "--host",
        "hosts",
        multiple=True,
        metavar="NAME=HOST",
        help="Machine of one node, as the others reach it; repeatable. By default all are here.",
        panel=_PANEL,
    ),
    _option(
        "--base-port",
        "PORT",
        "Port of the first node, by default 7401; the others follow, their HTTP doors 1000 above.",
        type=click.INT,
    ),
)
