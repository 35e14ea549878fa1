"""`dmoa check`: a scenario with all its defaults, and what simulating it would mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click

from dmoa.cli import options
from dmoa.cli.output import console, duration, print_json

if TYPE_CHECKING:
    from dmoa.scenario import Scenario, Setup


@rich_click.command("check")
@options.scenario_options
@options.json_option
def command(scenario: Scenario, *, as_json: bool) -> None:
    """Check a scenario and print it with all its defaults.

    SCENARIO is a preset or a TOML file. What is printed is TOML: saved into a file, it is the
    same scenario, whatever the defaults of a later version are.
    """
    from dmoa import study  # the help page does without it
    from dmoa.scenario import to_dict

    setup = study.prepare(scenario)
    values, size = to_dict(setup.scenario), _size(setup)
    if as_json:
        print_json({"scenario": values, "simulation": size, "notes": list(setup.notes)})
        return
    from dmoa.cli import tables
    from dmoa.scenario.toml_text import to_toml

    out = console()
    # The rest of the page is TOML's comments, so that all of it can be saved.
    out.print(f"# {tables.title(setup)}", style="bold", soft_wrap=True)
    for line in (*_size_lines(size), *(f"note: {note}" for note in setup.notes)):
        out.print(f"# {line}", style="cyan", soft_wrap=True)
    out.print()
    out.print(to_toml(values), soft_wrap=True)


def _size(setup: Setup) -> dict[str, Any]:
    """Tell how much a simulation would do; the tasks are expected in all replications."""
    from dmoa.study import expected_tasks

    return {
        "nodes": len(setup.names),
        "replications": setup.scenario.run.replications,
        "horizon_s": setup.horizon_s,
        "tasks": round(expected_tasks(setup)),
    }


def _size_lines(size: dict[str, Any]) -> list[str]:
    horizon_s = size["horizon_s"]
    return [
        f"{size['replications']} replications of {duration(horizon_s)} of simulated time each",
        f"about {size['tasks']:,} tasks in all",
    ]
