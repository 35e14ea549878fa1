"""Events per second of dmoa's engines and of other simulators on the same networks, in one run.

    python benchmarks/peers.py [--quick] [--json] [--engines heapq,calendar] [--nodes 10,1000]
                               [--models single,layered] [--repeats 3] [--limit 120]

Two networks of n nodes with Poisson arrivals, exponential service of mean 1 s and utilization 0.7.
"single": each prompt is one task at its own node, so each node is M/M/1. "layered": M = 2 and
k = 2 on a ring whose nodes know the two nearest on either side; a layer has a task at the origin
and at two different neighbours, and joins when all are back; 7 tasks per prompt. An event is the
arrival of a prompt or the completion of a service. Messages take no time and are no events.

Every node has an arrival process of its own, with an event of its own: no engine draws the
arrivals of all nodes as one process. Building a network is not timed, but for `dmoa.simulate`,
which is measured as a user waits for it.

An engine has a speed only if it passes two comparisons, at 99.9 % each: the time average of the
tasks that wait at a node, and the number of events. For "single" theory says both, for runs from
an empty network, whatever the horizon; "layered" is compared with dmoa's own runs. Each engine
runs in a process of its own, and engines take turns. All of it takes about half an hour, most of
that for 100,000 nodes; --quick takes a minute or two and compares less sharply.

Peers that are not installed are left out; to have them: pip install ciw salabim cimba
What was measured with: Ciw 3.2, salabim 26.0, cimba 0.9.5, whose interface still changes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from _peers.engines import BASELINE, ENGINES
from _peers.network import MODELS, NODES_MAX, NODES_MIN, Network

WIDTH = 120


def listed(known: dict[str, Any]) -> Callable[[str], list[str]]:
    """Make the type of an option that takes known names, separated by commas."""

    def parse(text: str) -> list[str]:
        names = list(dict.fromkeys(text.split(",")))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse


def sizes(text: str) -> list[int]:
    """Parse numbers of nodes, separated by commas."""
    parts = text.split(",")
    found = [int(part) for part in parts if part.isdecimal() and len(part) < 10]
    if len(found) < len(parts) or not all(NODES_MIN <= nodes <= NODES_MAX for nodes in found):
        raise argparse.ArgumentTypeError(
            f"{text!r}: give numbers from {NODES_MIN} to {NODES_MAX:,}, separated by commas"
        )
    return found


def positive(text: str) -> int:
    """Parse a whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number above zero")
    return int(text)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def add(name: str, said: str, **more: Any) -> None:
        parser.add_argument(name, help=said, **more)

    several = f"some of {', '.join(ENGINES)} (default all)"
    add("--engines", several, type=listed(ENGINES), default=list(ENGINES), metavar="NAMES")
    both = "single, layered or both (default)"
    add("--models", both, type=listed(MODELS), default=list(MODELS), metavar="NAMES")
    counts = "numbers of nodes (default 10,1000,100000; quick 10,1000)"
    add("--nodes", counts, type=sizes, metavar="NUMBERS")
    add("--repeats", "timed runs (default 3)", type=positive, default=3, metavar="RUNS")
    limit = "how long one run may take, building included (default 120)"
    add("--limit", limit, type=positive, default=120, metavar="SECONDS")
    add("--quick", "shorter runs, two sizes", action="store_true")
    add("--json", "print one JSON object", action="store_true")
    return parser.parse_args()


def measure(chosen: argparse.Namespace, results: dict[str, dict[str, Any]]) -> None:
    """Measure one network after the other into ``results``; print each, unless as JSON later."""
    # Imported here: the process of every worker imports this file, and needs none of them.
    from _peers.measuring import Cell, Effort
    from _peers.table import print_table, record
    from rich.console import Console

    effort = Effort(
        repeats=chosen.repeats,
        checked=10,
        events=10_000 if chosen.quick else 50_000,
        seconds=0.2 if chosen.quick else 1.0,
        study_events=100_000 if chosen.quick else 500_000,
        limit_s=chosen.limit,
    )
    nodes = chosen.nodes or ([10, 1000] if chosen.quick else [10, 1000, 100_000])
    with Console(stderr=True).status("") as status:
        for model in chosen.models:
            for count in nodes:
                title = f"{model}, {count:,} nodes"
                network = Network(MODELS[model], count)
                cell = Cell(network, chosen.engines, effort, status.update, title)
                found = results[model][str(count)] = record(cell.measure())
                if not chosen.json:
                    console = Console()
                    print_table(Console(width=max(WIDTH, console.width)), title, found)


def main() -> int:
    """Measure, print, and say by the exit status whether every engine simulates the networks."""
    chosen = options()
    from _peers.versions import load, versions

    results: dict[str, dict[str, Any]] = {model: {} for model in chosen.models}
    load_before, interrupted = load(), False
    try:
        measure(chosen, results)
    except KeyboardInterrupt:
        interrupted = True
    facts = {"load_before": load_before, "load_after": load(), **versions()}
    if chosen.json:
        told = {"baseline": BASELINE, "interrupted": interrupted, "facts": facts}
        print(json.dumps({**told, "results": results}))
    else:
        print("\n" + "\n".join(f"{name}: {value}" for name, value in facts.items()))
    if interrupted:
        print("interrupted: the network that was not finished is left out", file=sys.stderr)
        return 130
    cells = [cell for by_nodes in results.values() for cell in by_nodes.values()]
    return int(any(one["wrong"] for cell in cells for one in cell.values()))


if __name__ == "__main__":
    sys.exit(main())
