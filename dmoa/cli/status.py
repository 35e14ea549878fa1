"""`dmoa status`: how the nodes of a cluster are."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.doors import Address, Doors, door_options
from dmoa.cli.output import console, duration, number, print_json
from dmoa.errors import DmoaError, ScenarioError

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

#: How long a node may take to say how it is, and how often `--watch` asks, s.
ANSWER_S, WATCH_S = 2.0, 2.0
ASKED_AT_ONCE = 16
NOT_RUNNING = 1
UNREACHABLE = "unreachable"
STYLES = {"ready": "green", "starting": "yellow", "draining": "yellow", UNREACHABLE: "red"}

#: What is known of a node that does not answer: nothing.
UNKNOWN = {
    "pid": None,
    "state": UNREACHABLE,
    "model": None,
    "queue_length": None,
    "utilization": None,
    "prompts": None,
}


@rich_click.command("status")
@door_options
@rich_click.option("--watch", is_flag=True, help=f"Renew it every {WATCH_S:g} s, until Ctrl-C.")
@options.json_option
@click.pass_context
def command(ctx: click.Context, *, doors: Doors, watch: bool, as_json: bool) -> None:
    """Show the nodes: state, model, queue, service time α, utilization ρ, prompts, peers, verdict.

    A node that does not answer is shown as unreachable; if none does, the exit code is 1.
    The verdict compares the arrival rate λ with the critical rate λ* at the measured service
    times, as `dmoa bound` does.
    """
    if watch and as_json:
        raise ScenarioError("cannot be given together with --json", path="--watch")
    if watch:
        _watch(doors)
        return
    nodes = ask_all(doors)
    if as_json:
        print_json({"nodes": nodes})
    else:
        console().print(page(doors, nodes))
    if all(node["state"] == UNREACHABLE for node in nodes):
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
    except (Unavailable, DmoaError) as error:
        return {**known, **UNKNOWN, "reason": str(error)}
    return {**known, **told, "url": address.url}


def _watch(doors: Doors) -> None:
    from rich.live import Live  # needed here alone

    with Live(console=console(), auto_refresh=False) as live:
        try:
            while True:
                live.update(page(doors, ask_all(doors)), refresh=True)
                time.sleep(WATCH_S)
        except KeyboardInterrupt:
            return


def page(doors: Doors, nodes: list[dict[str, Any]]) -> Group:
    """Make the page for people."""
    from rich.console import Group  # a command that prints JSON never needs it
    from rich.text import Text

    lines = [Text(line, style="dim") for line in _notes(doors, nodes)]
    return Group(_table(nodes), *lines)


def _table(nodes: list[dict[str, Any]]) -> Table:
    from rich.text import Text

    from dmoa.cli import tables

    columns = ("queue", "α", "ρ", "λ", "prompts", "peers", "verdict")
    table = tables.plain_table("node", "state", "model", *columns, left=3)
    for node in nodes:
        state = Text(node["state"], style=STYLES.get(node["state"], ""))
        if node["state"] == UNREACHABLE:
            table.add_row(node["name"], state, *["–"] * (len(columns) + 1))
            continue
        prompts, peers = node["prompts"], node["peers"]
        asked = [peer for peer in peers if peer["asks"]]
        table.add_row(
            node["name"],
            state,
            node["model"],
            f"{node['queue_length']} + {node['serving']}",
            number(node["mean_service_time_s"]),
            number(node["utilization"]),
            number(node["arrival_rate_hz"]),
            f"{prompts['answered']}/{prompts['accepted']}",
            f"{sum(peer['connected'] for peer in asked)}/{len(asked)}",
            str(node["bound"].get("verdict") or "–"),
        )
    return table


def _notes(doors: Doors, nodes: list[dict[str, Any]]) -> list[str]:
    answering = [node for node in nodes if node["state"] != UNREACHABLE]
    lines = []
    if answering:
        lines.append(
            "queue: tasks waiting + served; α: mean service time, s; ρ: utilization; λ: prompts/s; "
            "prompts: answered/accepted; peers: connected."
        )
    for node in answering:
        prompts = node["prompts"]
        bad = ", ".join(
            f"{prompts[name]} {name}" for name in ("failed", "expired") if prompts[name]
        )
        if bad:
            lines.append(
                f"node {node['name']}: {bad}; `{doors.logs_command(node['name'])}` tells more"
            )
        away = [peer["name"] for peer in node["peers"] if peer["asks"] and not peer["connected"]]
        if away:
            lines.append(f"node {node['name']}: not connected to {', '.join(away)}")
    limits = [node["bound"].get("critical_rate_hz") for node in answering]
    if rates := [limit for limit in limits if isinstance(limit, int | float)]:
        up = max(node["uptime_s"] for node in answering)
        lines.append(
            f"λ* = {number(min(rates))} prompts/s per node at the measured service times; "
            f"up {duration(up)}."
        )
    silent = [node for node in nodes if node["state"] == UNREACHABLE]
    lines += [f"node {node['name']} at {node['url']}: {node['reason']}" for node in silent]
    if silent:
        lines.append(f"Next: `{doors.start_command()}` starts what does not run.")
    else:
        lines.append(f"Next: ask with `dmoa ask`, or any OpenAI client at {nodes[0]['url']}/v1")
    return lines
