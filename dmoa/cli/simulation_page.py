"""How `dmoa simulate` prints its result: verdict and why, theory beside measurement, nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.text import Text

from dmoa.cli import tables
from dmoa.cli.output import console, duration, number
from dmoa.study.engines import FINITE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from dmoa.study import SimulationResult
    from dmoa.trace import Estimate

STYLES = {"stable": "green", "unstable": "red", "undetermined": "yellow"}

#: Measure, what it is called, its unit.
MEASURES = (
    ("queue_length", "queue length Lq", "tasks"),
    ("number_in_system", "number in system L", "prompts"),
    ("utilization", "utilization ρ", ""),
    ("waiting_time_s", "waiting time Wq", "s"),
    ("sojourn_time_s", "sojourn time W", "s"),
    ("throughput_hz", "throughput X", "prompts/s"),
    ("join_buffer", "join buffer", "responses"),
)


def print_result(result: SimulationResult, figures: Sequence[Path], trace: str | None) -> None:
    """Print a result for people."""
    out = console()
    status = result.verdict.status
    lines = Text("\n").join(_verdict_lines(result))
    title = Text(tables.title(result.setup))
    out.print(
        Panel(lines, title=title, title_align="left", border_style=STYLES[status], padding=(0, 1))
    )
    out.print(measures_table(result.summary, _theory(result)))
    out.print(
        "Means per node; waiting time per task, sojourn time per prompt; ≈ is an approximation.",
        style="dim",
    )
    out.print(_nodes_table(result))
    if more := tables.more_nodes(len(result.nodes)):
        out.print(more)
    out.print(_run_line(result), style="dim")
    tables.print_notes(out, result.notes)
    if result.stopped is not None:
        out.print(f"stopped early: {result.stopped}", style="bold yellow")
    _print_files(out, figures, trace)
    out.print(_next_step(result, drawn=bool(figures)), style="dim")


def _verdict_lines(result: SimulationResult) -> Iterator[Text]:
    verdict = result.verdict
    yield Text.assemble(
        (verdict.status.upper(), f"bold {STYLES[verdict.status]}"),
        "  ",
        tables.why(result.theory),
    )
    yield Text(f"Evidence: {verdict.reason}.", style="dim")


def measures_table(
    summary: Mapping[str, Estimate], theory: Mapping[str, str] | None = None
) -> Table:
    """Make the table of measures, with what theory says beside them where it is asked."""
    said = () if theory is None else ("theory",)
    table = tables.plain_table("mean", *said, "measured", "95 % interval")
    table.add_column("unit")
    for name, label, unit in MEASURES:
        estimate = summary[name]
        expected = () if theory is None else (theory.get(name, ""),)
        table.add_row(label, *expected, number(estimate.mean), _interval(estimate), unit)
    return table


def _theory(result: SimulationResult) -> dict[str, str]:
    """Give what theory says of the measures, where it says anything: only below the limit."""
    limit = result.theory
    if limit.offered_load_max >= 1:
        return {}
    known = {"throughput_hz": number(limit.arrival_rate_hz)}
    if limit.utilization is not None:
        known["utilization"] = number(sum(limit.utilization) / len(limit.utilization))
    if limit.waiting_time_s is not None:
        # Known where a task's service does not depend on what it reads: then Λ_i = a_i / α_i.
        tasks_hz = [
            load / service_s
            for load, service_s in zip(limit.offered_load, result.setup.service_time_s, strict=True)
        ]
        queued = sum(map(mul, tasks_hz, limit.waiting_time_s))
        known["queue_length"] = f"≈ {number(queued / len(tasks_hz))}"
        known["waiting_time_s"] = f"≈ {number(queued / sum(tasks_hz))}"
    if limit.sojourn_time_s is not None:
        known["sojourn_time_s"] = f"≈ {number(limit.sojourn_time_s)}"
        known["number_in_system"] = f"≈ {number(limit.arrival_rate_hz * limit.sojourn_time_s)}"
    return known


def _interval(estimate: Estimate) -> str:
    low, high = number(estimate.low), number(estimate.high)
    return "–" if low == high == "–" else f"{low} to {high}"


def _nodes_table(result: SimulationResult) -> Table:
    table = tables.plain_table("node", "offered load", "utilization", "queue length")
    marked = tables.bottlenecks(result.theory)
    marked = marked if len(marked) < len(result.nodes) else []
    for index in tables.busiest([node.offered_load for node in result.nodes]):
        node = result.nodes[index]
        mark = " ◂ bottleneck" if node.node in marked else ""
        table.add_row(
            f"{node.node}{mark}",
            number(node.offered_load),
            number(node.utilization),
            number(node.queue_length),
        )
    return table


def _run_line(result: SimulationResult) -> str:
    prompts = result.prompts
    counts = ", ".join(f"{count:,} {name}" for name, count in prompts.items() if count)
    settled = (
        f"after {duration(result.warmup_s)} of warm-up" if result.stationary else "measured whole"
    )
    kept = f"digest {result.digest[:12]}" if result.digest else "totals only"
    return (
        f"{result.replications} × {duration(result.horizon_s)}, {settled}, seed {result.seed}, "
        f"engine {result.engine}; prompts: {counts or 'none'}; {kept}"
    )


def _print_files(out: Console, figures: Sequence[Path], trace: str | None) -> None:
    for file in figures:
        out.print(f"figure: {file}", soft_wrap=True)
    if trace is not None:
        out.print(f"trace: {trace}", soft_wrap=True)


def _next_step(result: SimulationResult, *, drawn: bool) -> str:
    verdict, limit = result.verdict, result.theory
    if verdict.status == "undetermined":
        if result.setup.scenario.arrivals.process in FINITE:
            return (
                "Prompts stop arriving, so there is no steady state to judge; --set "
                "arrivals.process=poisson asks for one."
            )
        if verdict.horizon_needed_s is None:
            return "Next: give more replications (--replications), or another arrival rate."
        return f"Next: about --horizon {verdict.horizon_needed_s:.0f} would decide."
    if verdict.status == "unstable":
        best = limit.best_critical_rate_hz
        weighted = ""
        if best is not None and best > 1.01 * limit.critical_rate_hz:
            weighted = f", or --selection weighted, which carries {number(best)}"
        rate = number(0.9 * limit.critical_rate_hz)
        return f"Next: give --arrival-rate {rate}{weighted}."
    draw = "" if drawn else "; --figures DIR draws this run"
    return (
        "Next: `dmoa capacity` finds the critical rate by simulation, `dmoa sweep` the stability "
        f"curve{draw}."
    )
