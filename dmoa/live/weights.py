"""Whom each node asks how often, where a cluster asks for the best weights."""

from __future__ import annotations

from dmoa.scenario import Scenario, Setup, resolve, with_values
from dmoa.scenario.stage_times import stage_times


def resolve_weights(scenario: Scenario) -> Setup:
    """Resolve a scenario, and solve for the best weights if it asks for them.

    Raises:
        ScenarioError: The scenario does not fit its overlay.

    >>> from dmoa.scenario import load
    >>> resolve_weights(load("star", {"plan.selection": "weighted"})).inclusion is None
    False
    """
    plan = scenario.plan
    if plan.selection == "uniform" or isinstance(plan.weights, dict):
        return resolve(scenario)
    # Imported here: nodes that choose uniformly need no linear program.
    import numpy as np

    from dmoa import theory

    alike = resolve(with_values(scenario, {"plan.selection": "uniform"}))
    times = stage_times(alike)
    inclusion = theory.best_inclusion(
        alike.matrix(),
        np.array(alike.arrival_rate_hz),
        plan.proposers,
        times.full_s,
        layers=plan.layers,
        slots=times.servers,
    )
    return resolve(scenario, inclusion=inclusion)
