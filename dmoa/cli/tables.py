"""The parts that several commands print: title, verdict in theory, nodes, notes."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from dmoa.cli.output import number

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from dmoa.scenario import Setup
    from dmoa.study import Bound

NODES_SHOWN_MAX = 12
#: Offered loads that differ by a smaller share are equal: they went through floating-point sums.
TIE = 1e-9


def title(setup: Setup) -> str:
    """Say in a line what is studied."""
    plan = setup.scenario.plan
    topology = setup.scenario.overlay.topology
    name = setup.scenario.name
    parts = [
        name if name == topology else f"{name} ({topology})",
        f"{len(setup.names)} nodes",
        f"M = {plan.layers}, k = {plan.proposers}",
        plan.selection,
        setup.scenario.service.distribution,
    ]
    return " · ".join(parts)


def plain_table(*columns: str, left: int = 1) -> Table:
    """Make a table without a frame: the first columns to the left, numbers to the right."""
    from rich import box  # a command that prints JSON never needs it
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        if position < left:
            table.add_column(column, overflow="fold")
        else:
            table.add_column(column, justify="right", no_wrap=True)
    return table


def limits_table(limit: Bound) -> Table:
    """Make the table of critical rates, as `dmoa bound` prints it."""
    table = plain_table("prompts per second and node", "", "of λ*")
    full = "" if limit.single_slot_critical_rate_hz is None else ", all slots busy"
    label = f"critical rate λ* (this selection{full})"
    table.add_row(label, number(limit.critical_rate_hz), "100 %")
    rows = (
        ("Theorem 1 (complete overlays)", limit.theorem1_critical_rate_hz),
        ("λ* with the best weights", limit.best_critical_rate_hz),
        *_further_limits(limit),
        ("arrival rate λ", limit.arrival_rate_hz),
    )
    for label, rate in rows:
        share = "–" if rate is None else f"{100 * rate / limit.critical_rate_hz:.0f} %"
        table.add_row(label, number(rate), share)
    return table


def _further_limits(limit: Bound) -> list[tuple[str, float]]:
    """List what else limits nodes whose tasks share a processor, or that share a machine."""
    limits = (
        ("λ* with one slot", limit.single_slot_critical_rate_hz),
        ("λ* of the busiest host alone", limit.host_critical_rate_hz),
    )
    return [(label, rate) for label, rate in limits if rate is not None]


def why(limit: Bound) -> str:
    """Say in a sentence on which side of the critical rate the arrival rate lies, and where."""
    side = "below" if limit.arrival_rate_hz < limit.critical_rate_hz else "not below"
    return (
        f"λ = {number(limit.arrival_rate_hz)} is {side} λ* = {number(limit.critical_rate_hz)} "
        f"prompts/s per node: {_where(limit)} offered "
        f"{100 * limit.offered_load_max:.0f} % of the work that it can do."
    )


def bottlenecks(limit: Bound) -> list[str]:
    """Name the nodes with the largest share of their capacity: often one, on a ring all.

    None where a host saturates before any of its nodes.
    """
    if limit.bottleneck not in limit.nodes:
        return []
    largest = max(limit.saturation)
    return [
        name
        for name, share in zip(limit.nodes, limit.saturation, strict=True)
        if share >= largest * (1 - TIE)
    ]


def _where(limit: Bound) -> str:
    nodes = bottlenecks(limit)
    if not nodes:
        return f"the bottleneck, {limit.bottleneck}, is"
    if len(nodes) == len(limit.nodes):
        return "every node is"
    if len(nodes) == 1:
        return f"the bottleneck, node {limit.bottleneck}, is"
    return f"each of {len(nodes)} bottlenecks, such as node {limit.bottleneck}, is"


def busiest(offered_load: Sequence[float]) -> list[int]:
    """Give the nodes to show: all in their order if they are few, else those with most load."""
    nodes = range(len(offered_load))
    if len(nodes) <= NODES_SHOWN_MAX:
        return list(nodes)
    return nlargest(NODES_SHOWN_MAX, nodes, key=lambda node: round(offered_load[node], 9))


def more_nodes(count: int, listed: int | None = None) -> str:
    """Say how many nodes a table leaves out; nothing if it shows all.

    Args:
        count: nodes in all.
        listed: nodes in the JSON object; None: all.
    """
    hidden = count - NODES_SHOWN_MAX
    given = "all" if listed is None or count <= listed else f"the {listed:,} busiest"
    return f"… and {hidden:,} more nodes with less load; --json gives {given}" if hidden > 0 else ""


def print_notes(console: Console, notes: Sequence[str]) -> None:
    """Print what the user should know, a line each."""
    for note in notes:
        console.print(f"note: {note}", style="yellow")


def shown(value: Any) -> str:
    """Write any value of a scenario for a table."""
    return number(value) if isinstance(value, float) else str(value)
