"""Calibrate, then simulate the very arrivals that real nodes got: do the two agree?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from _common import Column, Experiment, begin, panels, share_legend
from _live import lengths, question
from load import Load, live_traces, recorded

import dmoa as library
from dmoa.live.calibration import Calibration, calibrate
from dmoa.live.calibration_file import calibrated_toml
from dmoa.live.engines.spec import DEFAULT_CONTEXT_TOKENS, EngineSpec
from dmoa.plot import style
from dmoa.study import MeasuredResult, measure_traces

SLOTS, RESPONSE_TOKENS = 4, 24
SHARES, RUNS = (0.2, 0.4, 0.6), 2
OVERLOAD, OVERLOAD_RUNS = 1.6, 3
#: A verdict needs runs of a hundred times the time of a prompt alone, and real boxes may be slower.
OVERLOAD_PROMPTS = 170
#: A point counts if the machine was as fast after it as before it, up to this part; else it is
#: measured again, at most so often. The real nodes' own times have no say in that.
STEADY, TRIES_MAX = 0.04, 4
#: A task by which speeds are compared: tokens in and out, near those of the experiment's.
TYPICAL = (150, RESPONSE_TOKENS)
PORT = 7601
COLUMNS = (
    Column("nodes", "nodes"),
    Column("slots", "slots"),
    Column("share", "λ / λ*", ".1f"),
    Column("tries", "tries"),
    Column("drift", "machine slower after", "+.1%"),
    Column("prompts", "prompts"),
    Column("live_sojourn_s", "sojourn, real (s)", ".2f"),
    Column("simulated_sojourn_s", "simulated (s)", ".2f"),
    Column("sojourn_ratio", "ratio", ".2f"),
    Column("live_utilization", "utilization, real", ".3f"),
    Column("simulated_utilization", "simulated", ".3f"),
    Column("utilization_ratio", "ratio", ".2f"),
    Column("live_verdict", "verdict, real"),
    Column("simulated_verdict", "simulated"),
)


class Point(NamedTuple):
    """A network to compare, the share of λ* at which it is, and its slots, if they are others."""

    nodes: int
    proposers: int
    share: float
    slots: int | None = None


def scenario_values(point: Point, speed: Mapping[str, Any]) -> dict[str, Any]:
    """Give what real nodes and simulated ones have in common."""
    speedup, slots = speed["station.speedup"], point.slots or speed["station.slots"]
    own = {"station.slots": slots, "station.speedup": speedup[:slots]}
    return {
        "overlay.topology": "complete",
        "overlay.nodes": point.nodes,
        "plan.layers": 1,
        "plan.proposers": point.proposers,
        "plan.overlap": True,
        # Deadlines are for failures: here nobody fails, and an overloaded node is to be seen as it
        # is.
        "plan.patience": 1000.0,
        "plan.prompt_deadline_s": 100_000.0,
        "station.queue_max": 100_000,
        "live.context_tokens": 1024,
        "live.max_tokens": RESPONSE_TOKENS,
        **speed,
        **own,
    }


def simulated(
    scenario: library.Scenario, load: Load, folder: Path, seed: int, horizon_s: float
) -> Path:
    """Simulate a recorded load; give the trace."""
    recording = folder / f"{seed}.csv"
    load.write(recording)
    file = folder / f"{seed}.trace"
    arrivals = {
        "arrivals.process": "trace",
        "arrivals.file": str(recording),
        "arrivals.split": "round-robin",
        "run.horizon_s": horizon_s,
        "run.replications": 1,
    }
    library.simulate(library.load(scenario, arrivals), trace=file, workers=1)
    return file


def alone_s(scenario: library.Scenario) -> float:
    """Give how long one prompt takes that meets no other; they are a thousand seconds apart."""
    tokens = scenario.tokens
    load = Load((0.0, 1000.0), round(tokens.prompt_tokens), round(tokens.response_tokens))
    with TemporaryDirectory() as folder:
        trace = simulated(scenario, load, Path(folder), seed=0, horizon_s=2000.0)
        return measure_traces([trace], whole=True).summary["sojourn_time_s"].mean


def scenario_of(
    point: Point, tokens: Mapping[str, int], speed: Mapping[str, Any]
) -> library.Scenario:
    """Give what is simulated, with these lengths, at this speed."""
    values = scenario_values(point, speed)
    shared = {key: value for key, value in values.items() if not key.startswith("live.")}
    return library.load({}, {**shared, **tokens, "tokens.response_tokens": RESPONSE_TOKENS})


def typical_s(found: Calibration) -> float:
    """Give how long a task takes that is like those of the experiment."""
    tokens_in, tokens_out = TYPICAL
    read_s, write_s = found.input_token_s.value, found.output_token_s.value
    return found.base_s.value + read_s * tokens_in + write_s * tokens_out


def between(before: Calibration, after: Calibration) -> dict[str, Any]:
    """Give the mean of two calibrations' values; where they are no measures, those before."""
    values = before.scenario_values()
    for key, value in after.scenario_values().items():
        if isinstance(value, float):
            values[key] = (values[key] + value) / 2
        elif isinstance(value, list):
            pairs = zip(values[key], value, strict=True)
            values[key] = [(one + other) / 2 for one, other in pairs]
    return values


def compare(
    experiment: Experiment, point: Point, before: Calibration, again: Callable[[], Calibration]
) -> tuple[dict[str, Any], Calibration]:
    """Put one load on real nodes and on simulated ones; give the row of both, and the speed after.

    Args:
        experiment: How much is to be done.
        point: The network and its load.
        before: The machine's speed.
        again: Measures that again.
    """
    values = scenario_values(point, before.scenario_values())
    tokens = lengths(question(0), point.proposers + 1, before.known_tokens)
    scenario = scenario_of(point, tokens, before.scenario_values())
    rate_hz = point.share * library.bound(scenario).critical_rate_hz
    stable = point.share < 1
    window_s = experiment.choose(50.0 if stable else OVERLOAD_PROMPTS * alone_s(scenario), 8.0)
    loads = [
        recorded(
            rate_hz, point.nodes, window_s, tokens["tokens.prompt_tokens"], RESPONSE_TOKENS, seed
        )
        for seed in range(experiment.choose(RUNS, 1) if stable else OVERLOAD_RUNS)
    ]
    options = ("--topology", "complete", "--nodes", str(point.nodes))
    rest = {key: value for key, value in values.items() if not key.startswith("overlay.")}
    with live_traces(loads, window_s, PORT, rest, options, drain=stable) as (folder, real):
        after = again()
        scenario = scenario_of(point, tokens, between(before, after))
        # What is left at the end of a stable run is finished; an overloaded one is cut there.
        horizon_s = 3 * window_s if stable else window_s
        traces = [
            simulated(scenario, load, folder, seed, horizon_s) for seed, load in enumerate(loads)
        ]
        live, model = measure_traces(real, whole=True), measure_traces(traces, whole=True)
    drift = typical_s(after) / typical_s(before) - 1
    print(f"{point.nodes} nodes at {point.share:.1f} λ* = {rate_hz:.3f} prompts/s each", flush=True)
    for name, each in (("real", live), ("simulated", model)):
        print(f"  {name}: {each.prompts}; {each.verdict.reason}", flush=True)
    found = {**row(point, live, model, window_s), "drift": drift}
    for key in ("drift", "sojourn_ratio", "utilization_ratio"):
        print(f"  {key}: {found[key]}", flush=True)
    return found, after


def steady(
    experiment: Experiment, point: Point, before: Calibration, again: Callable[[], Calibration]
) -> tuple[dict[str, Any], Calibration]:
    """Compare until the machine stayed as it was meanwhile; after some tries take the steadiest."""
    tries_max = 1 if point.share > 1 else experiment.choose(TRIES_MAX, 1)
    tries: list[dict[str, Any]] = []
    while len(tries) < tries_max and not any(abs(each["drift"]) <= STEADY for each in tries):
        found, before = compare(experiment, point, before, again)
        tries.append(found)
    return {**min(tries, key=lambda each: abs(each["drift"])), "tries": len(tries)}, before


def row(
    point: Point, live: MeasuredResult, model: MeasuredResult, window_s: float
) -> dict[str, Any]:
    """Set what was measured beside what was simulated."""
    sojourns = [each.summary["sojourn_time_s"].mean for each in (live, model)]
    # The busy time of a slot by the time in which prompts came, so that what a cluster waits before
    # the first and after the last prompt does not matter.
    busy = [
        sum(node.utilization for node in each.nodes) / len(each.nodes) * each.duration_s / window_s
        for each in (live, model)
    ]
    stable = point.share < 1
    return {
        "nodes": point.nodes,
        "slots": point.slots or SLOTS,
        "share": point.share,
        "prompts": live.prompts["arrived"],
        "live_sojourn_s": sojourns[0] if stable else None,
        "simulated_sojourn_s": sojourns[1] if stable else None,
        "sojourn_ratio": sojourns[1] / sojourns[0] if stable else None,
        "live_utilization": busy[0],
        "simulated_utilization": busy[1],
        "utilization_ratio": busy[1] / busy[0],
        "live_verdict": "" if stable else live.verdict.status,
        "simulated_verdict": "" if stable else model.verdict.status,
    }


def draw(experiment: Experiment, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw both measures against the share of λ*, real beside simulated."""
    figure, axes = panels(1, 2, 7.2, 3.2)
    labels = ("mean sojourn time (s)", "utilization")
    for ax, measure, label in zip(axes[0], ("sojourn_s", "utilization"), labels, strict=True):
        for place, nodes in enumerate(sorted({row["nodes"] for row in rows})):
            points = [row for row in rows if row["nodes"] == nodes and row["share"] < 1]
            shares = [row["share"] for row in points]
            colour = style.CURVES[place]
            simulated_values = [row[f"simulated_{measure}"] for row in points]
            named = f"{nodes} nodes, simulated"
            ax.plot(shares, simulated_values, "-D", color=colour, mfc="white", ms=7, label=named)
            measured = [row[f"live_{measure}"] for row in points]
            ax.plot(shares, measured, "o", color=colour, label=f"{nodes} nodes, real")
        style.label(ax, x="arrival rate by the critical rate, λ / λ*", y=label)
        ax.margins(y=0.1)
        ax.set_ylim(bottom=0)
    share_legend(figure, axes[0, 0], columns=4)
    experiment.save(figure, "agreement")


def main() -> None:
    """Calibrate, compare two nodes and four at several rates, write all down."""
    experiment = begin(__file__)
    spec = EngineSpec(
        threads=1,
        slots=experiment.choose(SLOTS, 2),
        context_tokens=experiment.choose(DEFAULT_CONTEXT_TOKENS, 256),
    )
    points = experiment.choose(
        (
            *(Point(2, 1, share) for share in SHARES),
            Point(4, 2, 0.5),
            Point(2, 1, OVERLOAD, slots=1),
        ),
        (Point(2, 1, 0.5),),
    )

    def again() -> Calibration:
        return calibrate(spec, rounds=experiment.choose(5, 3), host=not experiment.quick)

    speed = again()
    rows = []
    for point in points:
        found, speed = steady(experiment, point, speed, again)
        rows.append(found)
    experiment.write_text(f"```toml\n{calibrated_toml(speed)}```", "calibrated")
    experiment.write_table(COLUMNS, rows)
    draw(experiment, rows)
    experiment.end()


if __name__ == "__main__":
    main()
