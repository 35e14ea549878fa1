"""`dmoa up`: start a local cluster, one process per node, and look after it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.cluster_options import dir_option, grace_option
from dmoa.cli.failures import CHECK_FAILED, INTERRUPTED
from dmoa.cli.new_cluster import NewCluster, new_cluster_options
from dmoa.cli.output import error_console

if TYPE_CHECKING:
    from dmoa.cli.up_page import Node
    from dmoa.live.cluster import Cluster, ClusterNode
    from dmoa.live.engines.spec import EngineSpec
    from dmoa.live.supervisor import Supervisor

READY_TIMEOUT_S = 600.0


@rich_click.command("up")
@dir_option
@new_cluster_options
@rich_click.option("--detach", "-d", is_flag=True, help="Go on without this terminal.")
@rich_click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(1, 86400),
    default=READY_TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long nodes may take to become ready before that is told as a failure.",
)
@grace_option
@options.json_option
# The descriptor of the cluster's locked pid file: this process is the supervisor left behind.
@rich_click.option("--lock-fd", type=click.IntRange(3), hidden=True)
@click.pass_context
def command(
    ctx: click.Context,
    folder: Path,
    *,
    new: NewCluster,
    detach: bool,
    timeout_s: float,
    grace_s: float,
    as_json: bool,
    lock_fd: int | None,
) -> None:
    """Start a local cluster: one process per node, supervised.

    Makes the cluster in --dir if there is none yet; otherwise starts the one that is there. A node
    that dies is started again, later each time, and given up if it keeps dying. Ctrl-C stops all
    nodes in good order, a second one at once.
    """
    from dmoa.live import supervision  # the help page does without it
    from dmoa.live.cluster import cluster_file, read_cluster

    if lock_fd is not None:
        ctx.exit(_supervise(read_cluster(folder), lock_fd, grace_s))
    is_new = not cluster_file(folder).exists()
    new.make_or_check(folder)
    cluster = read_cluster(folder)
    if is_new:
        count = len(cluster.nodes)
        error_console().print(f"made a cluster of {count} nodes in {folder}", soft_wrap=True)
    lock = supervision.take_cluster(cluster)
    nodes = _check(cluster, lock)
    if detach:
        ctx.exit(_detach(cluster, nodes, lock, timeout_s, grace_s, as_json=as_json))
    ctx.exit(_stay(cluster, nodes, lock, timeout_s, grace_s, as_json=as_json))


def _check(cluster: Cluster, lock: int) -> list[Node]:
    """Read every node's files, so that what is wrong is told here and not in a log."""
    from dmoa.cli.up_page import Node
    from dmoa.live import pid_files
    from dmoa.live.config import read_node
    from dmoa.live.engines import check_engine

    try:
        read = [read_node(node.config_file) for node in cluster.nodes]
        for node in cluster.nodes:
            _check_ports(node)
        checked: list[EngineSpec] = []
        for config in read:
            if config.engine not in checked:
                check_engine(config.engine)
                checked.append(config.engine)
    except BaseException:
        pid_files.release(lock)
        raise
    for note in dict.fromkeys(note for config in read for note in config.notes):
        error_console().print(f"note: {note}", style="yellow", soft_wrap=True)
    return [
        Node(name=config.name, url=node.url, engine=config.engine.kind, model=config.engine.model)
        for node, config in zip(cluster.nodes, read, strict=True)
    ]


def _check_ports(node: ClusterNode) -> None:
    """Refuse to start where others listen: a stranger's answer would be taken for the node's."""
    from dmoa.errors import ScenarioError
    from dmoa.live import pid_files
    from dmoa.live.doctor import address_problem
    from dmoa.live.machine import Machine

    if pid_files.holder(node.pid_file) is not None:
        return
    for key in ("listen", "gateway_listen"):
        found = address_problem(Machine(), getattr(node, key))
        if found is not None:
            problem, port = found
            raise ScenarioError(
                problem,
                path=f"{node.config_file}: {key}",
                remedy=f"see whose it is with `lsof -nP -iTCP:{port}`, or make another cluster "
                "with another --dir and --base-port",
            )


def _stay(
    cluster: Cluster,
    nodes: list[Node],
    lock: int,
    timeout_s: float,
    grace_s: float,
    *,
    as_json: bool,
) -> int:
    """Look after the cluster in this process."""
    from dmoa.cli.up_page import print_nodes
    from dmoa.live import logs, readiness, supervision
    from dmoa.live.supervisor import Policy

    logs.configure(file=cluster.log_file)
    notes = error_console()

    def say(text: str) -> None:
        _log(text)
        notes.print(text, soft_wrap=True)

    async def beside(supervisor: Supervisor) -> None:
        causes = await readiness.until_ready(
            cluster.nodes,
            lost=lambda: supervision.lost_nodes(supervisor.report()),
            say=_waiting(),
            timeout_s=timeout_s,
        )
        print_nodes(cluster, nodes, supervisor.report(), causes, detached=False, as_json=as_json)

    stopped = supervision.run(cluster, lock, say=say, beside=beside, policy=Policy(grace_s=grace_s))
    notes.print("All nodes are stopped." if stopped else "No node is left.")
    return 0 if stopped else CHECK_FAILED


def _detach(
    cluster: Cluster,
    nodes: list[Node],
    lock: int,
    timeout_s: float,
    grace_s: float,
    *,
    as_json: bool,
) -> int:
    """Leave a supervisor behind and wait until its nodes are ready."""
    from dmoa.cli.up_page import print_nodes
    from dmoa.live import readiness, supervision

    arguments = ["up", "--dir", str(cluster.folder), "--grace", f"{grace_s:g}"]
    supervision.detach(cluster, lock, arguments)
    waiting = readiness.until_ready(
        cluster.nodes,
        lost=lambda: supervision.lost_with_supervisor(cluster),
        say=_waiting(),
        timeout_s=timeout_s,
    )
    try:
        causes = asyncio.run(waiting)
    except KeyboardInterrupt:
        error_console().print("the nodes go on starting without this; `dmoa down` stops them")
        return INTERRUPTED
    report = supervision.read_report(cluster)
    print_nodes(cluster, nodes, report, causes, detached=True, as_json=as_json)
    return CHECK_FAILED if causes else 0


def _supervise(cluster: Cluster, lock: int, grace_s: float) -> int:
    """Be the supervisor that `--detach` left behind; nobody but the log hears it."""
    from dmoa.live import logs, supervision
    from dmoa.live.supervisor import Policy

    logs.configure(file=cluster.log_file)
    _log(f"supervisor of {len(cluster.nodes)} nodes started")
    stopped = supervision.run(cluster, lock, say=_log, policy=Policy(grace_s=grace_s))
    _log("all nodes are stopped" if stopped else "no node is left")
    return 0 if stopped else CHECK_FAILED


def _log(text: str) -> None:
    log = logging.getLogger("dmoa.supervisor")
    for line in text.splitlines():
        log.info("%s", line)


def _waiting() -> Callable[[dict[str, str]], None]:
    """Give the function that says what is waited for; nodes with the same cause share a line."""
    notes = error_console()
    said: set[str] = set()

    def say(causes: dict[str, str]) -> None:
        by_cause: dict[str, list[str]] = {}
        for name, cause in causes.items():
            by_cause.setdefault(cause, []).append(name)
        lines = {
            f"waiting for node{'s' if len(names) > 1 else ''} {', '.join(names)}: {cause}"
            for cause, names in by_cause.items()
        }
        for line in sorted(lines - said):
            notes.print(line, style="dim", soft_wrap=True)
        said.clear()
        said.update(lines)

    return say
