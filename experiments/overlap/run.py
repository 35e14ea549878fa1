"""Time to the first token of an aggregation, with and without overlap: on real nodes, simulated."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _common import Column, Experiment, begin, panels
from _live import Cluster, cluster, dmoa, lengths, question, taking_turns

import dmoa as library
from dmoa.core import ServiceEnded, StartService
from dmoa.gateway.client import Client, Finished, Joined, Piece, Proposed
from dmoa.plot import style
from dmoa.trace.codec import read_trace

#: After so many questions of a case one is put beside another.
BESIDE = 2
CASES = (("slow", "one node half as fast"), ("equal", "three equal nodes"))
#: Each node has its turns alone, so that none slows another down; the slow one has half as many.
TURNS = {"slow": ("0", "1", "0", "1", "2"), "equal": ("0", "1", "2")}
COLUMNS = (
    Column("case", "nodes"),
    Column("overlap", "overlap"),
    Column("first_token_s", "first token, real (s)", ".3f"),
    Column("low_s", "from", ".3f"),
    Column("high_s", "to", ".3f"),
    Column("simulated_s", "simulated (s)", ".3f"),
    Column("gain", "less, real", ".0%"),
    Column("simulated_gain", "less, simulated", ".0%"),
    Column("proposals_s", "last proposal after (s)", ".2f"),
    Column("other_s", "another task meanwhile (s)", ".2f"),
)


class Timing(NamedTuple):
    """What a user sees of one prompt, in seconds, and the lengths behind it, in tokens."""

    proposals_s: float
    first_token_s: float
    response_tokens: float


def ask(url: str, question: str, tokens: int) -> Timing:
    """Ask one question and time it: its last proposal, then the first token of its answer."""
    body = {
        "model": "dmoa",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": tokens,
        "temperature": 0.0,
    }
    joined_s = first_s = 0.0
    lengths = []
    started_s = time.perf_counter()
    with Client(url) as client:
        for event in client.ask(body, idempotency_key=uuid.uuid4().hex):
            now_s = time.perf_counter()
            if isinstance(event, Proposed) and event.proposal.layer == 1:
                lengths.append(event.proposal.tokens)
                joined_s = now_s
            elif isinstance(event, Joined):
                joined_s = now_s
            elif isinstance(event, Piece) and not first_s:
                first_s = now_s
            elif isinstance(event, Finished):
                break
    return Timing(joined_s - started_s, first_s - joined_s, statistics.mean(lengths))


def ask_beside(url: str, question: str, tokens: int, after_s: float) -> float:
    """Ask a question of one node alone while a layer is under way there; say how long it took."""
    from threading import Thread

    other = Thread(target=ask, args=(url, question, tokens))
    other.start()
    time.sleep(after_s)
    body = {
        "model": "dmoa:local",
        "messages": [{"role": "user", "content": "Count from one to ten."}],
        "max_tokens": 8,
        "temperature": 0.0,
    }
    started_s = time.perf_counter()
    with Client(url) as client:
        for event in client.ask(body, idempotency_key=uuid.uuid4().hex):
            if isinstance(event, Finished):
                break
    took_s = time.perf_counter() - started_s
    other.join()
    return took_s


def simulated_s(
    experiment: Experiment,
    speeds: Mapping[str, float],
    values: Mapping[str, Any],
    *,
    overlap: bool,
) -> float:
    """Simulate the same three boxes; give the time to the first token of the aggregation."""
    nodes = {f"nodes.{name}.speed": speed for name, speed in speeds.items()}
    scenario = experiment.load({**values, **nodes, "plan.overlap": overlap})
    writes_s = scenario.service.output_token_s or 0.0
    after_first = (scenario.tokens.response_tokens - 1) * writes_s / speeds["0"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace"
        library.simulate(scenario, trace=file, workers=1)
        times = list(_aggregations(file))
    return statistics.median(times) - after_first


def _aggregations(file: Path) -> Iterator[float]:
    """Give how long each aggregation of a trace took from start to end."""
    started: dict[Any, float] = {}
    _, entries = read_trace(file)
    for now_s, _node, event, actions, *_ in entries:
        if isinstance(event, ServiceEnded) and event.task in started:
            yield now_s - started[event.task]
        for action in actions:
            if isinstance(action, StartService) and action.task.stage == 1:
                started[action.task] = now_s


def measure(
    clusters: Mapping[bool, Cluster], case: str, places: Sequence[int], tokens: int
) -> tuple[dict[bool, list[Timing]], dict[bool, list[float]]]:
    """Put every question to both clusters, taking turns; then one beside another task."""
    timings: dict[bool, list[Timing]] = {True: [], False: []}
    others: dict[bool, list[float]] = {True: [], False: []}
    for place in places:
        for overlap in (True, False) if place % 2 else (False, True):
            network = clusters[overlap]
            with taking_turns([[network.pids[name]] for name in TURNS[case]]):
                timing = ask(network.urls["0"], question(place), tokens)
                timings[overlap].append(timing)
                if place - places[0] < BESIDE:
                    # Its own proposal has ended, and with overlap the node reads ahead.
                    wait_s = timing.proposals_s * 0.75
                    text = question(2 * len(places) + place)
                    others[overlap].append(ask_beside(network.urls["0"], text, tokens, wait_s))
    return timings, others


def main() -> None:
    """Measure both clusters with and without a straggler, simulate the same, write all down."""
    experiment = begin(__file__)
    count, tokens = experiment.choose(6, 1), experiment.choose(100, 16)
    rounds = experiment.choose(5, 3)
    speed = dmoa("calibrate", "--threads", "1", "--slots", "1", "--repeats", str(rounds), "--force")
    values = {
        **speed["scenario"],
        **lengths(question(0), 3, speed["known_tokens"]),
        "tokens.response_tokens": tokens,
    }
    common = ("plan.patience=100", "live.context_tokens=2048")
    shape = ("--topology", "complete", "--nodes", "3", "--layers", "1", "--proposers", "2")
    rows = []
    with ExitStack() as stack:
        clusters = {
            overlap: stack.enter_context(
                cluster("overlap", port, (*common, f"plan.overlap={str(overlap).lower()}"), *shape)
            )
            for overlap, port in ((False, 7551), (True, 7561))
        }
        for number, case in enumerate(CASES):
            places = range(number * count, (number + 1) * count)
            rows += compare(experiment, clusters, case, places, tokens, values)
    experiment.write_table(COLUMNS, rows)
    draw(experiment, rows)
    experiment.end()


def compare(
    experiment: Experiment,
    clusters: Mapping[bool, Cluster],
    case: tuple[str, str],
    places: Sequence[int],
    tokens: int,
    values: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Give the two rows of one case: without and with overlap."""
    timings, others = measure(clusters, case[0], places, tokens)
    turns = TURNS[case[0]]
    shares = {name: turns.count(name) / len(turns) for name in sorted(set(turns))}
    rows: list[dict[str, Any]] = []
    for overlap in (False, True):
        first = sorted(timing.first_token_s for timing in timings[overlap])
        written = statistics.mean(timing.response_tokens for timing in timings[overlap])
        print(f"{case[1]}, overlap {overlap}: responses of {written:.1f} tokens", flush=True)
        row: dict[str, Any] = {
            "case": case[1],
            "overlap": "yes" if overlap else "no",
            "first_token_s": statistics.median(first),
            # Order statistics: the least and the largest of six hold the median with 96.9 %.
            "low_s": first[0],
            "high_s": first[-1],
            "simulated_s": simulated_s(experiment, shares, values, overlap=overlap),
            "proposals_s": statistics.median(t.proposals_s for t in timings[overlap]),
            "other_s": statistics.median(others[overlap]),
            "gain": None,
            "simulated_gain": None,
        }
        if rows:
            row["gain"] = 1 - row["first_token_s"] / rows[0]["first_token_s"]
            row["simulated_gain"] = 1 - row["simulated_s"] / rows[0]["simulated_s"]
        rows.append(row)
    return rows


def draw(experiment: Experiment, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw what was measured beside what was simulated."""
    figure, axes = panels(1, 1, 6.4, 3.2)
    ax = axes[0, 0]
    for place, row in enumerate(rows):
        colour = style.CURVES[0] if row["overlap"] == "yes" else style.MUTED
        height = -place - 0.5 * (place // 2)
        low, high = row["first_token_s"] - row["low_s"], row["high_s"] - row["first_token_s"]
        ax.barh(height, row["first_token_s"], 0.7, color=colour, xerr=[[low], [high]])
        ax.plot(row["simulated_s"], height, "d", color=style.INK, mfc="white", ms=7)
    ax.plot([], [], "d", color=style.INK, mfc="white", ls="none", label="simulated")
    heights = [-place - 0.5 * (place // 2) for place in range(len(rows))]
    named = [f"{row['case']},\n{'with' if row['overlap'] == 'yes' else 'without'} overlap"
             for row in rows]  # fmt: skip
    ax.set_yticks(heights, named)
    style.label(ax, x="time from the last proposal to the first token of the answer (s)", y="")
    style.legend_below(ax, columns=1)
    experiment.save(figure, "first-token")


if __name__ == "__main__":
    main()
