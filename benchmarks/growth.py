"""How run time and memory of the compiled engine grow with the number of nodes.

    python benchmarks/growth.py [--json] [--figure FILE] [--repeats 3] [--nodes N ...]

Random regular overlays of degree 4, M = 2 and k = 2, exponential service of mean 1 s, every node
utilized to 0.7. For each number of nodes: resolving the scenario, the loads and limits of
`dmoa bound`, and the processor time of an event after the queues filled for 30 s. Each is measured
in a process of its own, so that its peak of memory is its own; that of a run includes resolving.
Printed are medians. An event is an arrival or the end of a service.

"theory" is the memory of docs/compiled.md: that of the process at the smallest overlay, and what
the page's table gives for every further node with its edges and its prompts in flight.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from pathlib import Path
from typing import Any

from _process import in_a_process

from dmoa.scenario import Setup, from_dict, resolve
from dmoa.study.loads import chances, loads

NODES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
STEPS = ("resolve", "bound", "run")
DEGREE, LAYERS, PROPOSERS, UTILIZATION = 4, 2, 2, 0.7
ARRIVAL_RATE_HZ = UTILIZATION / ((PROPOSERS + 1) * LAYERS + 1)
EVENTS_PER_S = ARRIVAL_RATE_HZ + UTILIZATION
#: Not timed: in it the queues fill to three quarters at least. For a million nodes that is 25
#: million events already.
FILLING_S = 30.0
EVENTS = 5e6
#: Of docs/compiled.md, in bytes: a node and its place in the calendar, an edge, a prompt in flight.
NODE_BYTES, EDGE_BYTES, PROMPT_BYTES = 264 + 24, 4, 352
WARM_UP_NODES = 500


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--figure", type=Path, help="draw it: .png, .svg, without ending both")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--nodes", type=int, action="append", help="overlay size; repeatable")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        asked = json.loads(given.run)
        run(WARM_UP_NODES, asked["step"], events=100.0)  # imports and compiling do not count
        print(json.dumps(run(**asked)))
        return
    rows: list[dict[str, Any]] = []
    if not given.json:
        print(f"{'nodes':>10}{'resolve s':>12}{'MiB':>7}{'bound s':>12}{'MiB':>7}", end="")
        print(f"{'ns/event':>10}{'events/s':>12}{'MiB':>7}{'theory':>8}")
    for nodes in sorted(given.nodes or NODES):
        rows.append(measure(nodes, max(1, given.repeats)))
        rows[-1]["theory_mib"] = theory_mib(rows)
        if not given.json:
            show(rows[-1])
    if given.json:
        print(json.dumps({"repeats": given.repeats, "rows": rows}))
    if given.figure:
        from dmoa.plot import save

        save(draw(rows), given.figure)


def measure(nodes: int, repeats: int) -> dict[str, Any]:
    """Take every step in processes of its own, and take medians."""
    row: dict[str, Any] = {"nodes": nodes}
    for step in STEPS:
        runs = [
            in_a_process(__file__, {"nodes": nodes, "step": step, "events": EVENTS})
            for _ in range(repeats)
        ]
        for key in ("seconds", "peak_mib"):
            row[f"{step}_{key}"] = statistics.median(one.pop(key) for one in runs)
        row |= runs[0]
    row["event_ns"] = 1e9 * row["run_seconds"] / row["events"]
    return row


def run(nodes: int, step: str, events: float) -> dict[str, Any]:
    """Take one step in this process; what comes before it is not timed."""
    scenario = from_dict(
        {
            "overlay": {"topology": "random-regular", "nodes": nodes, "degree": DEGREE},
            "plan": {"layers": LAYERS, "proposers": PROPOSERS},
            "arrivals": {"arrival_rate_hz": ARRIVAL_RATE_HZ},
        }
    )
    found: dict[str, Any] = {}
    setup = resolve(scenario) if step != "resolve" else None
    began_s = time.process_time()
    if setup is None:
        resolve(scenario)
    elif step == "bound":
        found["critical_rate_hz"] = loads(setup, chances(setup)).critical_rate_hz
    else:
        found = simulated(setup, events)
    seconds = time.process_time() - began_s
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak_mib": peak_mib, **found}


def simulated(setup: Setup, events: float) -> dict[str, Any]:
    """Let the queues fill, then take the time of about so many events."""
    from dmoa.sim.compiled.run import Run

    made = Run(setup, 1)
    made.advance(FILLING_S)
    before, began_s = made.events, time.process_time()
    until_s = FILLING_S + events / (EVENTS_PER_S * len(setup.names))
    made.advance(until_s)
    seconds = time.process_time() - began_s
    return {
        "seconds": seconds,
        "events": made.events - before,
        "prompts_in_flight": made.moment(until_s).unfinished,
    }


def theory_mib(rows: list[dict[str, Any]]) -> float:
    """Give the memory that the last overlay should take, from that of the first."""

    def own_bytes(row: dict[str, Any]) -> float:
        per_node = NODE_BYTES + DEGREE * EDGE_BYTES
        return float(row["nodes"] * per_node + row["prompts_in_flight"] * PROMPT_BYTES)

    first, last = rows[0], rows[-1]
    return float(first["run_peak_mib"]) + (own_bytes(last) - own_bytes(first)) / 2**20


def show(row: dict[str, Any]) -> None:
    """Print the medians of one overlay."""
    steps = (f"{row[f'{step}_seconds']:12.4f}{row[f'{step}_peak_mib']:7.0f}" for step in STEPS[:2])
    print(f"{row['nodes']:10,}", *steps, sep="", end="")
    print(f"{row['event_ns']:10.0f}{1e9 / row['event_ns']:12,.0f}", end="")
    print(f"{row['run_peak_mib']:7.0f}{row['theory_mib']:8.0f}", flush=True)


def draw(rows: list[dict[str, Any]]) -> Any:
    """Draw time and memory against the number of nodes, with the memory of theory."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from dmoa.plot import style

    figure = Figure(figsize=(8.4, 3.1), layout="constrained")
    FigureCanvasAgg(figure)
    curves = (
        ("Run", "processor time per event (ns)", {"event_ns": ""}),
        (
            "Before a run",
            "processor time (s)",
            {"resolve_seconds": "scenario resolved", "bound_seconds": "loads and λ*"},
        ),
        (
            "Memory",
            "peak of the process (MiB)",
            {"run_peak_mib": "measured", "theory_mib": "theory: table of memory"},
        ),
    )
    sizes = [row["nodes"] for row in rows]
    for place, (title, y, keys) in enumerate(curves, 1):
        ax = style.axes_for(figure.add_subplot(1, 3, place))
        for colour, (key, name) in zip(style.CURVES, keys.items(), strict=False):
            theory = key == "theory_mib"
            ax.plot(
                sizes,
                [row[key] for row in rows],
                ls=style.THEORY_DASHES if theory else "-",
                marker="" if theory else "o",
                ms=4.5,
                lw=style.LINE_PT,
                color=style.INK if theory else colour,
                label=name,
            )
        ax.set_xscale("log")
        ax.set_yscale("log")
        write_ticks(ax)
        style.label(ax, title=title, x="nodes n", y=y)
        if len(keys) > 1:
            ax.legend(frameon=False, fontsize=style.NOTE_PT, labelcolor=style.INK, loc="upper left")
    return figure


def write_ticks(ax: Any) -> None:
    """Write powers of ten; where there are few of them 2 and 5 times as much too."""
    from dmoa.plot import style

    low, high = ax.get_ylim()
    if high < 100 * low:
        ticks = [factor * 10.0**power for power in range(-9, 9) for factor in (1, 2, 5)]
        shown = [tick for tick in ticks if low <= tick <= high]
        ax.set_yticks(shown, [style.number(tick) for tick in shown])
    ax.minorticks_off()


if __name__ == "__main__":
    main()
