"""`dmoa calibrate`: how fast a model is on this machine, in the words of a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.cluster_options import DEFAULT_FOLDER
from dmoa.cli.output import console, number, print_json, progress_bar
from dmoa.errors import ScenarioError

if TYPE_CHECKING:
    from dmoa.live.calibration import Calibration
    from dmoa.live.calibration_target import Target

_FORCE = "wait until the machine is idle and try again, or use the result all the same with --force"


@rich_click.command("calibrate")
@rich_click.option("--model", metavar="MODEL", help="A model, as in a node's configuration.")
@rich_click.option(
    "--node",
    "file",
    type=click.Path(path_type=Path),
    metavar="NODE_TOML",
    help="A node: its engine, model, threads and slots.",
)
@rich_click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=f"With --name, the node's cluster; by default {DEFAULT_FOLDER}.",
)
@rich_click.option("--name", metavar="NODE", help="A node of the cluster; by default its first.")
@rich_click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Threads that compute; by default the node's, else one per core.",
)
@rich_click.option(
    "--slots",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Tasks served at once; by default the node's, else 8.",
)
@rich_click.option(
    "--repeats",
    type=click.IntRange(3, 1000),
    default=5,
    show_default=True,
    metavar="N",
    help="Rounds; every number is measured in each.",
)
@rich_click.option(
    "--host/--no-host",
    default=None,
    help="Whether to measure what this machine gives to several such nodes at once; by default "
    "if the node's cluster has several here.",
)
@rich_click.option(
    "--write",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Scenario to write the result into; what else it says stays.",
)
@rich_click.option(
    "--force", is_flag=True, help="Measure on a busy machine, and use what is uncertain."
)
@options.json_option
def command(
    *,
    model: str | None,
    file: Path | None,
    folder: Path | None,
    name: str | None,
    threads: int | None,
    slots: int | None,
    repeats: int,
    host: bool | None,
    write: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure how fast a model is on this machine, so that it can be simulated at that speed.

    It takes some minutes, in which the machine should have nothing else to do. Measured are the
    time to read and to write a token, how much more is written when several tasks are served at
    once, and the chunks in which prompts are read meanwhile; each number comes with its 95 %
    interval. Without --write, the sections of a scenario are printed. Where the machine is busy or
    an interval is wide, nothing is written, and the exit code is 2.
    """
    from dmoa.live import calibration  # the help page does without them
    from dmoa.live.calibration_file import check_place, write_calibration
    from dmoa.live.calibration_target import choose_target, load_problem

    target = choose_target(
        model=model, node=file, folder=folder, name=name, threads=threads, slots=slots, host=host
    )
    if not force and (problem := load_problem()):
        raise ScenarioError(problem, path="machine", remedy=_FORCE)
    if write is not None:
        check_place(write)  # now, not after minutes
    with progress_bar("calibrating") as progress:
        found = calibration.calibrate(
            target.spec, rounds=repeats, host=target.host, progress=progress
        )
    wide = found.wide()
    use = force or not wide
    if write is not None and use:
        write_calibration(found, write)
    written = write if use else None
    if as_json:
        print_json(_fields(found, wide, written))
    else:
        _print(found, target, written)
    if not use:
        raise ScenarioError(
            f"these are too uncertain to be relied on: {'; '.join(wide)}",
            path="calibration",
            remedy=_FORCE,
        )


def _fields(found: Calibration, wide: list[str], written: Path | None) -> dict[str, Any]:
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(found)
    fields["wide"] = wide
    fields["scenario"] = found.scenario_values()
    fields["written"] = None if written is None else str(written)
    return fields


def _print(found: Calibration, target: Target, written: Path | None) -> None:
    from dmoa.cli import tables  # the help page does without rich's tables
    from dmoa.live.calibration_file import calibrated_toml

    out = console()
    threads = "" if found.threads is None else f" · {_count(found.threads, 'thread')}"
    out.print(
        f"{found.model} ({target.spec.kind}){threads} · {_count(found.slots, 'slot')} · "
        f"{found.rounds} rounds",
        style="bold",
        soft_wrap=True,
    )
    times = tables.plain_table("one task alone", "", "95 % interval")
    for label, each in (
        ("for itself", found.base_s),
        ("for each token read", found.input_token_s),
        ("for each token written", found.output_token_s),
    ):
        low, high = (number(1000 * value) for value in (each.low, each.high))
        times.add_row(label, f"{number(1000 * each.value)} ms", f"{low} to {high} ms")
    out.print(times)
    out.print(
        f"S = a + b·tokens_in + g·tokens_out misses what was measured by {found.error:.1%}"
        f" (median), at most by {found.error_max:.1%}."
    )
    curve = tables.plain_table("tasks at once", "tokens/s", "speed-up", "95 % interval")
    for tasks, each in enumerate(found.speedup, 1):
        speed = number(found.tokens_per_s * each.value)
        interval = f"{each.low:.2f} to {each.high:.2f}"
        curve.add_row(str(tasks), speed, f"{each.value:.2f}", interval)
    out.print(curve)
    if found.cores is not None:
        each = found.cores
        out.print(
            f"This machine gives {each.value:.2f} ({each.low:.2f} to {each.high:.2f}) threads'"
            " worth of computing at once.",
            soft_wrap=True,
        )
    if found.known_tokens:
        out.print(
            f"Every prompt begins with the same {found.known_tokens} tokens, the chat template's;"
            " only the first one reads them.",
            soft_wrap=True,
        )
    out.print()
    if written is None:
        out.print(calibrated_toml(found), soft_wrap=True)
    else:
        out.print(f"Written into {written}", soft_wrap=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
