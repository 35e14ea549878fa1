"""The options that all commands share, and the scenario that they describe."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import rich_click

from dmoa.errors import ScenarioError

if TYPE_CHECKING:
    from dmoa.scenario import Scenario

Function = Callable[..., Any]


class Key(NamedTuple):
    """An option that stands for a key of the scenario."""

    flag: str
    path: str
    type: click.ParamType[Any]
    metavar: str
    help: str


# Ranges and choices are checked by the scenario, which knows them; here only the type is.
KEYS = (
    Key(
        "--topology",
        "overlay.topology",
        click.STRING,
        "NAME|FILE",
        "Overlay: ring, star, nsfnet, … (see `dmoa topology list`), or a file.",
    ),
    Key("--nodes", "overlay.nodes", click.INT, "N", "Number of nodes of a generated overlay."),
    Key("--layers", "plan.layers", click.INT, "M", "Layers of proposals before the aggregation."),
    Key(
        "--proposers",
        "plan.proposers",
        click.INT,
        "K",
        "Peers asked in each layer; the node itself comes on top.",
    ),
    Key(
        "--arrival-rate",
        "arrivals.arrival_rate_hz",
        click.FLOAT,
        "PROMPTS/S",
        "Prompts per second at each node.",
    ),
    Key(
        "--service-time",
        "service.service_time_s",
        click.FLOAT,
        "SECONDS",
        "Mean service time of one task.",
    ),
    Key(
        "--service",
        "service.distribution",
        click.STRING,
        "NAME",
        "Service times: exponential, deterministic, lognormal, gamma, empirical, tokens; "
        "their other keys come with --set.",
    ),
    Key(
        "--selection",
        "plan.selection",
        click.STRING,
        "NAME",
        "How peers are chosen: uniform, or weighted (the best weights).",
    ),
    Key(
        "--horizon",
        "run.horizon_s",
        click.FLOAT,
        "SECONDS",
        "Simulated time; by default 5000 of the largest mean service time, for a trace after its"
        " last prompt.",
    ),
    Key("--replications", "run.replications", click.INT, "N", "Independent runs."),
    Key("--seed", "run.seed", click.INT, "N", "Seed of all random streams of the run."),
)

OVERLAY_KEYS = KEYS[1:2]
PLAN = ("plan.layers", "plan.proposers")


def scenario_options(function: Function) -> Function:
    """Add the scenario argument and its options; the command gets ``scenario``, a `Scenario`."""
    return _scenario_options(function, KEYS)


def scenario_options_but_plan(function: Function) -> Function:
    """Add the same without --layers and --proposers, which the command has in its own way."""
    return _scenario_options(function, tuple(key for key in KEYS if key.path not in PLAN))


def _scenario_options(function: Function, keys: tuple[Key, ...]) -> Function:
    @functools.wraps(function)
    def command(
        source: str | None, given: dict[str, Any], sets: tuple[str, ...], **rest: Any
    ) -> Any:
        return function(scenario=build_scenario(source, given, sets), **rest)

    return source_options(command, keys)


def source_options(function: Function, keys: tuple[Key, ...] = KEYS) -> Function:
    """Add the same without building a scenario yet.

    The command gets what `build_scenario` takes: ``source``, ``given`` and ``sets``.
    """
    return click.argument("source", metavar="[SCENARIO]", required=False)(
        value_options(function, keys)
    )


def value_options(function: Function, keys: tuple[Key, ...]) -> Function:
    """Add ``--set`` and the options of some keys; the command gets ``sets`` and ``given``."""

    @functools.wraps(function)
    def command(**rest: Any) -> Any:
        given = _take_given(rest, keys)
        return function(given=given, **rest)

    decorated = _set_option(command)
    for key in reversed(keys):
        decorated = _option(key)(decorated)
    return decorated


def overlay_options(function: Function) -> Function:
    """Add an overlay argument and the options it may need; the command gets ``scenario``."""

    @functools.wraps(function)
    def command(topology: str, given: dict[str, Any], sets: tuple[str, ...], **rest: Any) -> Any:
        return function(scenario=build_overlay_scenario(topology, given, sets), **rest)

    return click.argument("topology", metavar="NAME|FILE")(value_options(command, OVERLAY_KEYS))


def json_option(function: Function) -> Function:
    """Add ``--json``; the command gets ``as_json``."""
    return rich_click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object and nothing else."
    )(function)


def output_option(function: Function) -> Function:
    """Add ``--output``; the command gets ``output``, None for a name of the command's choice."""
    return rich_click.option(
        "--output", "-o", metavar="FILE", help="Figure: .png, .svg, or without an ending both."
    )(function)


def workers_option(function: Function) -> Function:
    """Add ``--workers``; the command gets ``workers``, None for all cores."""
    return rich_click.option(
        "--workers",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Processes to use; by default one per core.",
    )(function)


def engine_option(function: Function) -> Function:
    """Add ``--engine``; the command gets ``engine``."""
    return rich_click.option(
        "--engine",
        type=click.Choice(["auto", "simpy", "compiled"]),
        default="auto",
        show_default=True,
        help="What simulates: SimPy, or the compiled engine where it covers the scenario. The "
        "results are the same.",
    )(function)


def build_scenario(source: str | None, given: dict[str, Any], sets: tuple[str, ...]) -> Scenario:
    """Load the scenario of a command line.

    Without a scenario, a topology starts from the preset of its name if there is one, else from
    the defaults of the schema; without both, it is the preset ``ring``. Options replace values of
    the scenario, and ``--set`` replaces both.
    """
    from dmoa.scenario import load, parse_sets, presets  # the help pages do without it

    topology = given.get("overlay.topology", "ring")
    if source is None and topology not in presets():
        return build_overlay_scenario(topology, given, sets)
    if source is not None and source not in presets():
        _refuse_overlay(source)
    return load(topology if source is None else source, {**given, **parse_sets(sets)})


def build_overlay_scenario(topology: str, given: dict[str, Any], sets: tuple[str, ...]) -> Scenario:
    """Make a scenario of an overlay and the defaults of the schema, named after the overlay."""
    from dmoa.scenario import load, parse_sets  # the help pages do without it

    values = {"name": Path(topology).stem[:200], "overlay.topology": topology, **given}
    return load({}, {**values, **parse_sets(sets)})


def _refuse_overlay(source: str) -> None:
    """Refuse the name of an overlay where a scenario is expected: a likely slip."""
    from dmoa.scenario import ready_overlays  # the help pages do without it
    from dmoa.scenario.choices import GENERATED

    if source in GENERATED or source in ready_overlays():
        raise ScenarioError(
            "this is an overlay, not a scenario",
            path="scenario",
            given=source,
            remedy=f"write --topology {source}",
        )


def _take_given(rest: dict[str, Any], keys: tuple[Key, ...]) -> dict[str, Any]:
    """Take the shared options out of a command's arguments; those that were given, by path."""
    values = {key.path: rest.pop(_parameter(key)) for key in keys}
    return {path: value for path, value in values.items() if value is not None}


def _parameter(key: Key) -> str:
    return key.flag.removeprefix("--").replace("-", "_")


def _option(key: Key) -> Callable[[Function], Function]:
    return rich_click.option(
        key.flag,
        _parameter(key),
        type=key.type,
        metavar=key.metavar,
        help=key.help,
        panel="Scenario",
    )


def _set_option(function: Function) -> Function:
    return rich_click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set any key of the scenario, such as service.cv=0.5; repeatable.",
        panel="Scenario",
    )(function)
