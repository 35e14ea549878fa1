"""What `dmoa up` prints once its nodes are ready, or will not be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from dmoa.cli.cluster_options import dir_argument
from dmoa.cli.output import console, print_json

if TYPE_CHECKING:
    from dmoa.live.cluster import Cluster
    from dmoa.live.supervisor import NodeReport

QUESTION = "Why is the sky blue?"


class Node(NamedTuple):
    """What a node's files say of it."""

    name: str
    url: str
    engine: str
    model: str


def print_nodes(
    cluster: Cluster,
    nodes: list[Node],
    report: list[NodeReport],
    causes: dict[str, str],
    *,
    detached: bool,
    as_json: bool,
) -> None:
    """Print the nodes, why some are not ready, and what can be done next."""
    pids = {node.name: node.pid for node in report}
    if as_json:
        print_json(_data(cluster, nodes, pids, causes, detached=detached))
        return
    from dmoa.cli.tables import plain_table

    page = console()
    table = plain_table("node", "state", "door", "model", left=4)
    table.add_column("pid", justify="right", no_wrap=True)
    for node in nodes:
        state = "not ready" if node.name in causes else "ready"
        pid = pids.get(node.name)
        table.add_row(
            node.name, state, node.url, _short(node.model), "–" if pid is None else str(pid)
        )
    page.print(table)
    for name, cause in causes.items():
        page.print(f"node {name} is not ready: {cause}", style="bold red", soft_wrap=True)
    if causes:
        page.print(f"See why: dmoa logs{dir_argument(cluster.folder)}")
    if len(causes) < len(nodes):
        place = dir_argument(cluster.folder)
        page.print(f'Ask:     dmoa ask{place} "{QUESTION}"', soft_wrap=True)
        page.print(f"Look:    dmoa status{place}", soft_wrap=True)
    page.print(f"Stop:    {f'dmoa down{dir_argument(cluster.folder)}' if detached else 'Ctrl-C'}")


def _short(model: str) -> str:
    """Name a model without the place of its file.

    >>> [_short(model) for model in ("package:p/SmolLM2-135M.gguf", "package:gemma", "scripted")]
    ['SmolLM2-135M', 'gemma', 'scripted']
    """
    return model.rpartition("/")[2].removeprefix("package:").removesuffix(".gguf")


def _data(
    cluster: Cluster,
    nodes: list[Node],
    pids: dict[str, int | None],
    causes: dict[str, str],
    *,
    detached: bool,
) -> dict[str, Any]:
    from dmoa.live import pid_files  # loaded by then

    holder = pid_files.holder(cluster.pid_file) if detached else None
    supervisor = os.getpid() if holder is None else holder.pid
    return {
        "dir": str(cluster.folder),
        "detached": detached,
        "supervisor": supervisor,
        "ready": not causes,
        "nodes": [
            {
                "name": node.name,
                "state": "not ready" if node.name in causes else "ready",
                "cause": causes.get(node.name, ""),
                "url": node.url,
                "engine": node.engine,
                "model": node.model,
                "pid": pids.get(node.name),
            }
            for node in nodes
        ],
    }
