"""`dmoa topology`: which overlays there are, what they are like, how they look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click

from dmoa.cli import options
from dmoa.cli.output import console, number, print_json

if TYPE_CHECKING:
    from dmoa.scenario import Scenario, Setup

#: Plans whose critical rates `topology show` compares: (M, k).
PLANS = ((1, 1), (1, 2), (2, 2), (2, 3))
#: Above this many nodes, the diameter would take minutes.
DIAMETER_NODES_MAX = 2000
#: Above this many, so would the best weights of all these plans.
BEST_NODES_MAX = 100_000
BEST_LEFT_OUT = (
    f"the best weights of more than {BEST_NODES_MAX:,} nodes are left out here; dmoa bound has them"
)


@rich_click.group("topology")
def command() -> None:
    """List, describe and draw overlays."""


@command.command("list")
@options.json_option
def list_overlays(*, as_json: bool) -> None:
    """List the overlays that are generated, with their parameters, and those that are ready.

    Parameters are set with --nodes and --set overlay.NAME=VALUE.
    """
    generated, ready = _generated(), _ready()
    if as_json:
        print_json({"generated": generated, "ready": ready})
        return
    from dmoa.cli import tables

    out = console()
    table = tables.plain_table("generated", "parameters and their defaults", left=2)
    for overlay in generated:
        values = overlay["parameters"].items()
        table.add_row(
            overlay["name"],
            ", ".join(key if value is None else f"{key} = {value}" for key, value in values),
        )
    out.print(table)
    table = tables.plain_table("ready", "nodes", "edges")
    table.columns[0].overflow = "fold"
    table.add_column("description")
    for overlay in ready:
        table.add_row(
            overlay["name"], str(overlay["nodes"]), str(overlay["edges"]), overlay["description"]
        )
    out.print(table)


@command.command("show")
@options.overlay_options
@options.json_option
def show(scenario: Scenario, *, as_json: bool) -> None:
    """Describe an overlay: its nodes, edges and degrees, and what it can carry.

    NAME is one of `dmoa topology list`, FILE a GraphML file, an edge list or node-link JSON. The
    critical rates are those of nodes with a mean service time of 1 s.
    """
    from dmoa import study  # the help page does without it

    setup = study.prepare(scenario)
    facts = facts_of(setup)
    if as_json:
        print_json(facts)
    else:
        _print_facts(facts)


@command.command("draw")
@options.overlay_options
@options.output_option
@options.json_option
def draw(scenario: Scenario, output: str | None, *, as_json: bool) -> None:
    """Draw an overlay, its nodes coloured by offered load, the bottleneck marked.

    The load is that of one layer of two proposers and 0.2 prompts per second and node; `dmoa plot
    overlay` draws any scenario.
    """
    from dmoa.cli.figures import draw_overlay  # the help page does without it

    draw_overlay(scenario, output, as_json=as_json)


def _generated() -> list[dict[str, Any]]:
    from dmoa.scenario.choices import GENERATED

    return [{"name": name, "parameters": dict(keys)} for name, keys in GENERATED.items()]


def _ready() -> list[dict[str, Any]]:
    from dmoa.scenario import ready_file, ready_overlays
    from dmoa.scenario.overlay_files import read_overlay

    found = []
    for name in ready_overlays():
        file = ready_file(name)
        graph = read_overlay(file)
        # An edge list has no place for a description but the comment in its first line.
        comment = file.read_text("utf-8").partition("\n")[0].partition(": ")[2]
        found.append(
            {
                "name": name,
                "nodes": graph.number_of_nodes(),
                "edges": graph.number_of_edges(),
                "description": graph.graph.get("description", comment),
            }
        )
    return found


def facts_of(setup: Setup) -> dict[str, Any]:
    """Describe an overlay as `dmoa topology show` does."""
    # A networkx graph of a million nodes takes gigabytes, and only the diameter needs one.
    peers, degrees = setup.peers, setup.peers.lengths()
    two_way, connected = peers.two_way, peers.parts() == 1
    measurable = connected and len(setup.names) <= DIAMETER_NODES_MAX
    return {
        "topology": setup.scenario.overlay.topology,
        "nodes": len(setup.names),
        "edges": len(peers.targets) // (2 if two_way else 1),
        "directed": not two_way,
        "connected": connected,
        "diameter": _diameter(setup) if measurable else None,
        "degree": {
            "min": int(degrees.min()),
            "mean": len(peers.targets) / len(degrees),
            "max": int(degrees.max()),
        },
        "critical_rates": _critical_rates(setup),
        "notes": [*setup.notes, *([] if len(degrees) <= BEST_NODES_MAX else [BEST_LEFT_OUT])],
    }


def _diameter(setup: Setup) -> int:
    """Count the edges of the longest shortest way, whatever their direction."""
    import networkx as nx

    plain: nx.Graph[str] = nx.Graph(setup.graph())
    return int(nx.diameter(plain))


def _critical_rates(setup: Setup) -> list[dict[str, Any]]:
    from dmoa import study
    from dmoa.scenario import with_values

    rows, best = [], len(setup.names) <= BEST_NODES_MAX
    for layers, proposers in PLANS:
        values = {"plan.layers": layers, "plan.proposers": proposers}
        made = study.prepare(with_values(setup.scenario, values), like=setup)
        limit = study.bound(made, best=best).to_dict()
        kept = (
            "critical_rate_hz",
            "theorem1_critical_rate_hz",
            "best_critical_rate_hz",
            "bottleneck",
        )
        rows.append({"layers": layers, "proposers": proposers, **{key: limit[key] for key in kept}})
    return rows


def _print_facts(facts: dict[str, Any]) -> None:
    from dmoa.cli import tables

    out = console()
    kind = "directed overlay" if facts["directed"] else "overlay"
    joined = "connected" if facts["connected"] else "disconnected"
    out.print(f"{facts['topology']} · {joined} {kind}", style="bold", soft_wrap=True)
    degree = facts["degree"]
    out.print(
        f"{facts['nodes']:,} nodes, {facts['edges']:,} edges, diameter "
        f"{'–' if facts['diameter'] is None else facts['diameter']}, neighbours per node "
        f"{degree['min']} to {degree['max']}, {number(degree['mean'])} on average"
    )
    table = tables.plain_table("(M, k)", "λ*", "Theorem 1", "best weights", "bottleneck")
    for row in facts["critical_rates"]:
        table.add_row(
            f"({row['layers']}, {row['proposers']})",
            number(row["critical_rate_hz"]),
            number(row["theorem1_critical_rate_hz"]),
            number(row["best_critical_rate_hz"]),
            row["bottleneck"],
        )
    out.print(table)
    out.print("Rates are prompts per second and node, for a mean service time of 1 s.")
    tables.print_notes(out, facts["notes"])
