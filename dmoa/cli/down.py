"""`dmoa down`: stop a local cluster, whatever is left of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click

from dmoa.cli import options
from dmoa.cli.cluster_options import dir_option, grace_option
from dmoa.cli.output import console, error_console, print_json
from dmoa.errors import ScenarioError

#: What the supervisor may take beyond its nodes' grace, s.
MARGIN_S = 10.0


@rich_click.command("down")
@dir_option
@grace_option
@options.json_option
def command(folder: Path, *, grace_s: float, as_json: bool) -> None:
    """Stop a local cluster: its supervisor and all its nodes.

    Nodes leave in good order; accepted prompts that are not finished go on after the next
    `dmoa up`. Nodes that a supervisor left behind, because it was killed, are found and stopped.
    """
    from dmoa.live import pid_files  # the help page does without them
    from dmoa.live.cluster import cluster_file, supervisor_file
    from dmoa.live.processes import stop_holders

    supervisor = supervisor_file(folder, "pid")
    nodes = {file.parent.name: file for file in sorted(folder.glob("nodes/*/pid"))}
    if not nodes and not cluster_file(folder).is_file():
        raise ScenarioError(
            "there is no cluster in this folder", path=str(folder), remedy="name it with --dir"
        )
    ran = [name for name, file in nodes.items() if pid_files.holder(file) is not None]
    if not as_json and (ran or pid_files.holder(supervisor) is not None):
        error_console().print(f"stopping {_count(len(ran))}, at most {grace_s:g} s each …")
    # A supervisor stops its nodes; with less time for that than it takes itself, it is killed.
    overseer = stop_holders([supervisor], grace_s=grace_s + MARGIN_S, groups=False)[supervisor]
    strays = stop_holders(list(nodes.values()), grace_s=grace_s)
    results = {name: strays[file] for name, file in nodes.items()}
    for name in ran:
        if results[name] == "not running":
            results[name] = "stopped"
    report = {
        "supervisor": overseer,
        "nodes": [{"name": name, "result": result} for name, result in results.items()],
    }
    if as_json:
        print_json(report)
    else:
        _print(report, ran)


def _print(report: dict[str, Any], ran: list[str]) -> None:
    page = console()
    if report["supervisor"] == "not running" and not ran:
        page.print("Nothing was running.")
        return
    if report["supervisor"] == "not running":
        page.print("There was no supervisor any more; nodes that it left behind were stopped.")
    for node in report["nodes"]:
        if node["name"] in ran:
            page.print(f"node {node['name']}: {node['result']}")
    if report["supervisor"] != "not running":
        page.print(f"supervisor: {report['supervisor']}")


def _count(nodes: int) -> str:
    return "one node" if nodes == 1 else f"{nodes} nodes"
