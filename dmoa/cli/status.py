"""`dmoa status`: how the nodes of a cluster are."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click
import msgspec
import rich_click

from dmoa.cli import options
from dmoa.cli.doors import Address, Doors, door_options
from dmoa.cli.output import console, duration, number, print_json
from dmoa.errors import DmoaError, ScenarioError

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from dmoa.cli.live_bound import LiveBound

#: How long a node may take to say how it is, and how often `--watch` asks, s.
ANSWER_S, WATCH_S = 2.0, 2.0
ASKED_AT_ONCE = 16
NOT_RUNNING = 1
UNREACHABLE, UNKNOWN = "unreachable", "unknown"
STYLES = {
    "ready": "green",
    "starting": "yellow",
    "draining": "yellow",
    UNREACHABLE: "red",
    UNKNOWN: "red",
}

#: What engines can beyond writing texts, as people read it.
ABILITIES = {
    "grammar": "grammars",
    "logprobs": "log-probabilities",
    "embeddings": "embeddings",
    "prefill": "reading ahead",
    "beams": "beams",
}

#: What is known of a node that does not say how it is.
NOTHING = {
    "pid": None,
    "model": None,
    "queue_length": None,
    "utilization": None,
    "prompts": None,
    "capabilities": None,
}


@rich_click.command("status")
@door_options
@rich_click.option("--watch", is_flag=True, help=f"Renew it every {WATCH_S:g} s, until Ctrl-C.")
@options.json_option
@click.pass_context
def command(ctx: click.Context, *, doors: Doors, watch: bool, as_json: bool) -> None:
    """Show the nodes: state, model, queue, service time α, utilization ρ, prompts, peers.

    Below the table stands what each engine can do beyond writing texts.

    A node that does not answer is shown as unreachable; if none does, the exit code is 1.
    The verdict compares the arrival rates with the critical rate λ* at the measured service times,
    as `dmoa bound` does for a scenario.
    """
    if watch and as_json:
        raise ScenarioError("cannot be given together with --json", path="--watch")
    if watch:
        _watch(doors)
        return
    nodes = ask_all(doors)
    limit, why_not = _bound(doors, nodes)
    if as_json:
        print_json({"nodes": nodes, "bound": limit and msgspec.to_builtins(limit)})
    else:
        console().print(_page(doors, nodes, limit, why_not))
    if not any(_answers(node) for node in nodes):
        ctx.exit(NOT_RUNNING)


def ask_all(doors: Doors) -> list[dict[str, Any]]:
    """Ask all nodes at once how they are."""
    with ThreadPoolExecutor(min(ASKED_AT_ONCE, len(doors.addresses))) as pool:
        return list(pool.map(lambda address: _ask(address, doors.key), doors.addresses))


def _ask(address: Address, key: str | None) -> dict[str, Any]:
    from dmoa.gateway.client import Client, Unavailable  # the help page does without HTTP

    known = {"name": address.name, "url": address.url}
    try:
        with Client(address.url, key=key) as client:
            told = client.get("/v1/dmoa/status", timeout_s=ANSWER_S)
    except Unavailable as error:
        return {**known, **NOTHING, "state": UNREACHABLE, "reason": str(error)}
    except DmoaError as error:
        return {**known, **NOTHING, "state": UNKNOWN, "reason": str(error)}
    return {**known, **told, "url": address.url}


def _watch(doors: Doors) -> None:
    from rich.live import Live  # needed here alone

    with Live(console=console(), auto_refresh=False) as live:
        try:
            while True:
                nodes = ask_all(doors)
                live.update(_page(doors, nodes, *_bound(doors, nodes)), refresh=True)
                time.sleep(WATCH_S)
        except KeyboardInterrupt:
            return


def _answers(node: dict[str, Any]) -> bool:
    return node["state"] not in {UNREACHABLE, UNKNOWN}


def _bound(doors: Doors, nodes: list[dict[str, Any]]) -> tuple[LiveBound | None, str]:
    """Give the bound of the cluster, or why there is none."""
    from dmoa.cli.live_bound import live_bound  # the help page does without it
    from dmoa.live.cluster import cluster_file

    if doors.folder is None:
        return None, "the overlay is not known without --dir"
    if doors.chosen:
        return None, "it takes all nodes; leave --node out"
    try:
        return live_bound(cluster_file(doors.folder), nodes), "no task has been served yet"
    except ScenarioError as error:
        return None, str(error)


def _page(
    doors: Doors, nodes: list[dict[str, Any]], limit: LiveBound | None, why_not: str
) -> Group:
    """Make the page for people."""
    from rich.console import Group  # a command that prints JSON never needs it
    from rich.text import Text

    verdict = Text(f"No verdict: {why_not}.", style="dim") if limit is None else _verdict(limit)
    lines = [Text(line, style="dim") for line in _notes(doors, nodes)]
    return Group(_table(nodes), verdict, *lines)


def _verdict(limit: LiveBound) -> Text:
    from rich.text import Text

    style = {"stable": "green", "unstable": "red"}.get(limit.verdict, "yellow")
    critical = f"λ* = {number(limit.critical_rate_hz)} prompts/s per node"
    if limit.verdict == "idle":
        why = f"no prompts arrive; {critical} would be the limit"
    else:
        side = "below" if limit.verdict == "stable" else "not below"
        # A host's name says that it is one.
        kind = "" if limit.bottleneck.startswith("host ") else "node "
        why = (
            f"λ = {number(limit.arrival_rate_hz)} is {side} {critical}; the bottleneck, {kind}"
            f"{limit.bottleneck}, is offered {100 * limit.offered_load_max:.0f} % of its capacity"
        )
    return Text.assemble((limit.verdict.upper(), f"bold {style}"), f"  {why} at the measured α.")


def _table(nodes: list[dict[str, Any]]) -> Table:
    from rich.text import Text

    from dmoa.cli import tables

    columns = ("queue", "α", "ρ", "λ", "prompts", "peers")
    table = tables.plain_table("node", "state", "model", *columns, left=3)
    table.padding = (0, 1, 0, 0)  # the narrowest terminals have 80 columns
    for column in table.columns[:2]:
        column.no_wrap = True
    table.columns[2].min_width = 12
    for node in nodes:
        state = Text(node["state"], style=STYLES.get(node["state"], ""))
        if not _answers(node):
            table.add_row(node["name"], state, *["–"] * (len(columns) + 1))
            continue
        prompts, peers = node["prompts"], node["peers"]
        asked = [peer for peer in peers if peer["asks"]]
        table.add_row(
            node["name"],
            state,
            node["model"],
            f"{node['queue_length']}+{node['serving']}",
            _short(node["mean_service_time_s"]),
            f"{100 * node['utilization']:.0f} %",
            _short(node["arrival_rate_hz"]),
            f"{prompts['answered']}/{prompts['accepted']}",
            f"{sum(peer['connected'] for peer in asked)}/{len(asked)}",
        )
    return table


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _abilities(nodes: list[dict[str, Any]]) -> list[str]:
    """Say once for all nodes with the same engine what it can do."""
    alike: dict[str, list[str]] = {}
    for node in nodes:
        able = node.get("capabilities")
        if able is not None:
            slots = f"{able['slots']} slot" + ("s" if able["slots"] != 1 else "")
            more = [word for name, word in ABILITIES.items() if able[name]]
            listed = f"{slots}; {', '.join(more) or 'texts only'}"
            alike.setdefault(f"engine {node['engine']}, {listed}", []).append(node["name"])
    return [
        f"{'node' if len(names) == 1 else 'nodes'} {', '.join(names)}: {told}"
        for told, names in alike.items()
    ]


def _notes(doors: Doors, nodes: list[dict[str, Any]]) -> list[str]:
    answering = [node for node in nodes if _answers(node)]
    silent = [node for node in nodes if not _answers(node)]
    lines = []
    if answering:
        lines.append(
            "queue: tasks waiting + served; α: mean service time, s; ρ: utilization; λ: prompts/s; "
            "prompts: answered/accepted; peers: connected."
        )
        lines.append(f"up {duration(max(node['uptime_s'] for node in answering))}")
    lines += _abilities(answering)
    for node in answering:
        name, prompts = node["name"], node["prompts"]
        ends = ", ".join(f"{prompts[end]} {end}" for end in ("failed", "expired") if prompts[end])
        if ends:
            lines.append(f"node {name}: {ends}; `{doors.logs_command(name)}` tells more")
        lines += [f"node {name}: {note}" for note in node.get("notes", ())]
        away = [peer["name"] for peer in node["peers"] if peer["asks"] and not peer["connected"]]
        if away:
            lines.append(f"node {name} is not connected to {', '.join(away)}")
    lines += [f"node {node['name']} at {node['url']}: {node['reason']}" for node in silent]
    if silent:
        lines.append(f"Next: `{doors.start_command()}` starts what does not run.")
    else:
        lines.append(f"Next: ask with `dmoa ask`, or any OpenAI client at {nodes[0]['url']}/v1")
    return lines
