"""What the compiled engine needs, and which scenarios it covers. Imports no compiler."""

from __future__ import annotations

import importlib

from dmoa.scenario import Setup

INSTALL = "pip install 'dmoa[fast]'"


def trouble() -> str | None:
    """Say why the compiled engine cannot be used here; None if it can. Imports the compiler."""
    try:
        importlib.import_module("dmoa.sim.compiled.loop")
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed"
    except Exception as error:  # noqa: BLE001 - whatever an unsupported platform brings about
        return f"numba cannot be used here: {error}"
    return None


def objection(setup: Setup) -> str | None:
    """Name what a scenario has that the kernel does not cover; None if it covers all.

    >>> from dmoa.scenario import load, resolve
    >>> objection(resolve(load("ring", ["plan.prompt_deadline_s=9"])))
    'plan.prompt_deadline_s'
    """
    scenario = setup.scenario
    plan, station = scenario.plan, scenario.station
    uncovered = {
        "plan.layer_deadline_s": plan.layer_deadline_s is not None,
        "plan.patience": plan.patience is not None,
        "plan.attempts": (plan.attempts or 1) > 1,
        "plan.prompt_deadline_s": plan.prompt_deadline_s is not None,
        "plan.overlap": plan.overlap,
        "station.reuse": station.reuse,
        "station.cache_tokens": station.cache_tokens is not None,
        "links.loss": scenario.links.loss > 0,
        "host": scenario.host is not None,
        "live": scenario.live is not None,
    }
    return next((name for name, is_there in uncovered.items() if is_there), None)
