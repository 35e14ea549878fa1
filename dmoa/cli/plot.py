"""`dmoa plot`: one figure per subcommand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.output import progress_bar

if TYPE_CHECKING:
    from dmoa.scenario import Scenario

SPAN_MAX = 400


def _whole_numbers(ctx: click.Context, param: click.Parameter, value: str) -> list[int]:
    """Read whole numbers, ``0..4``, ``0,2,4`` or both, or refuse what is none."""
    numbers: list[int] = []
    for part in value.split(","):
        first, dots, last = part.partition("..")
        try:
            low = int(first)
            high = int(last) if dots else low
        except ValueError:
            raise click.BadParameter(
                f"{value!r} is no list of whole numbers such as 0..4 or 0,2,4", ctx, param
            ) from None
        if not 0 <= high - low < SPAN_MAX:
            raise click.BadParameter(f"{part!r} has to hold 1 to {SPAN_MAX} numbers", ctx, param)
        numbers += range(low, high + 1)
    return numbers


@rich_click.group("plot")
def command() -> None:
    """Draw a figure from a sweep, a trace or a scenario.

    Figures are written as PNG and SVG. `dmoa simulate --figures` draws those of one simulation.
    """


@command.command("stability")
@click.argument("store", metavar="STORE")
@options.output_option
@options.json_option
def stability(store: str, output: str | None, *, as_json: bool) -> None:
    """Draw mean queue length against arrival rate, from the store of `dmoa sweep`.

    One curve per (M, k), λ* as lines, the unstable side shaded.
    """
    from dmoa.cli import figures  # the help page does without it

    figures.draw(lambda: figures.stability(store), output or "stability", as_json=as_json)


@command.command("phase")
@click.argument("store", metavar="STORE")
@rich_click.option(
    "--y", metavar="KEY", help="Swept key of the rows; by default the first but the arrival rate."
)
@rich_click.option(
    "--panels", metavar="KEY", help="Swept key of the panels; by default the other one, if any."
)
@rich_click.option(
    "--relative", is_flag=True, help="Draw λ / λ* in the place of the arrival rate λ."
)
@options.output_option
@options.json_option
def phase(
    store: str,
    *,
    y: str | None,
    panels: str | None,
    relative: bool,
    output: str | None,
    as_json: bool,
) -> None:
    """Draw verdicts and queues over the arrival rate and another key, from a sweep's store.

    A cell per point, coloured by mean queue length, marked stable, unstable or undetermined; λ* as
    a line. Of two other keys that were swept, one gives the rows and one the panels.
    """
    from dmoa.cli import figures  # the help page does without it

    def make() -> Any:
        return figures.phase(store, y, panels, relative=relative)

    figures.draw(make, output or "phase", as_json=as_json)


@command.command("queue")
@click.argument("trace", metavar="TRACE")
@options.output_option
@options.json_option
def queue(trace: str, output: str | None, *, as_json: bool) -> None:
    """Draw the queue length of each node over time, from a trace or a cluster's folder."""
    from dmoa import plot, study  # the help page does without them
    from dmoa.cli import figures

    def make() -> Any:
        return plot.queue_length_over_time(study.load_track(trace)[1])

    figures.draw(make, output or "queue-length", as_json=as_json)


@command.command("heatmap")
@options.scenario_options_but_plan
@rich_click.option(
    "--layers",
    callback=_whole_numbers,
    default="0..3",
    show_default=True,
    metavar="M,…",
    help="Layers to compare, such as 0..4 or 0,2,4.",
)
@rich_click.option(
    "--proposers",
    callback=_whole_numbers,
    default="1..4",
    show_default=True,
    metavar="K,…",
    help="Proposers to compare.",
)
@options.output_option
@options.json_option
def heatmap(
    scenario: Scenario,
    *,
    layers: list[int],
    proposers: list[int],
    output: str | None,
    as_json: bool,
) -> None:
    """Draw the critical rate λ* over layers M and proposers k."""
    from dmoa import plot  # the help page does without it
    from dmoa.cli import figures

    def make() -> Any:
        return plot.critical_rate_map(scenario, layers, proposers)

    figures.draw(make, output or "critical-rate", as_json=as_json)


@command.command("overlay")
@options.scenario_options
@options.output_option
@options.json_option
def overlay(scenario: Scenario, *, output: str | None, as_json: bool) -> None:
    """Draw the overlay of a scenario, nodes coloured by offered load, the bottleneck marked."""
    from dmoa.cli.figures import draw_overlay  # the help page does without it

    draw_overlay(scenario, output, as_json=as_json)


@command.command("sojourn")
@options.scenario_options
@options.workers_option
@options.output_option
@options.json_option
def sojourn(scenario: Scenario, *, workers: int | None, output: str | None, as_json: bool) -> None:
    """Simulate a scenario and draw the distribution of its sojourn times."""
    from dmoa import plot, study  # the help page does without them
    from dmoa.cli import figures

    def make() -> Any:
        with progress_bar("replications") as progress:
            result = study.simulate(scenario, workers=workers, progress=progress)
        return plot.sojourn_distribution(result)

    figures.draw(make, output or "sojourn-time", as_json=as_json)


@command.command("timeline")
@click.argument("trace", metavar="TRACE")
@rich_click.option(
    "--prompt",
    metavar="ORIGIN:NUMBER",
    help="Which prompt, by its node and number there; without it a typical one.",
)
@options.output_option
@options.json_option
def timeline(trace: str, *, prompt: str | None, output: str | None, as_json: bool) -> None:
    """Draw one prompt's way through its layers, from a trace or a cluster's folder."""
    from dmoa import plot, study  # the help page does without them
    from dmoa.cli import figures

    origin, number = (None, None) if prompt is None else _prompt_named(prompt)

    def make() -> Any:
        return plot.prompt_timeline(study.load_track(trace)[1], origin, number)

    figures.draw(make, output or "prompt-timeline", as_json=as_json)


def _prompt_named(text: str) -> tuple[str, int]:
    origin, colon, number = text.rpartition(":")
    if not colon or not (number.isascii() and number.isdigit()):
        raise click.BadParameter(
            f"{text!r} is no prompt such as 3:17, node 3's prompt 17", param_hint="'--prompt'"
        )
    return origin, int(number)
