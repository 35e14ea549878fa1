"""What must hold between the keys of a scenario; each by itself is checked by the parser."""

from __future__ import annotations

from dmoa.errors import ScenarioError
from dmoa.scenario.live_checks import check_live
from dmoa.scenario.recurring import template
from dmoa.scenario.schema import Plan, Run, Scenario
from dmoa.scenario.station_schema import Service


def check(scenario: Scenario) -> None:
    """Refuse combinations of values that mean nothing.

    Raises:
        ScenarioError: With the path of the key to change.
    """
    _check_plan(scenario.plan)
    _check_service(scenario.service)
    _check_station(scenario)
    _check_nodes(scenario)
    _check_run(scenario.run)
    if scenario.live is not None:
        check_live(scenario.live)
    _check_losses(scenario)


def _check_losses(scenario: Scenario) -> None:
    """Refuse prompts that a lost message would keep waiting forever."""
    plan = scenario.plan
    asks = plan.layers > 0 and plan.proposers > 0
    if scenario.links.loss == 0 or not asks or plan.prompt_deadline_s is not None:
        return
    if plan.layer_deadline_s is None and plan.patience is None:
        raise ScenarioError(
            "a prompt would wait forever for a lost message",
            path="links.loss",
            given=scenario.links.loss,
            remedy="give plan.layer_deadline_s, plan.patience or plan.prompt_deadline_s",
        )
    if (plan.quorum or 1) > 1:
        raise ScenarioError(
            "a prompt would wait forever where lost messages leave fewer responses than that",
            path="plan.quorum",
            given=plan.quorum,
            remedy="give 1: a node's own response is never lost; or give plan.prompt_deadline_s",
        )


def _check_plan(plan: Plan) -> None:
    if plan.patience is not None and plan.layer_deadline_s is not None:
        raise ScenarioError(
            "excludes plan.layer_deadline_s: a layer has one deadline",
            path="plan.patience",
            given=plan.patience,
            remedy="remove one of them",
        )
    if plan.quorum is not None and plan.layer_deadline_s is None and plan.patience is None:
        raise ScenarioError(
            "counts only at a deadline",
            path="plan.quorum",
            given=plan.quorum,
            remedy="give plan.layer_deadline_s too, or plan.patience",
        )
    if plan.quorum is not None and plan.quorum > plan.proposers + 1:
        raise ScenarioError(
            f"a layer has only {plan.proposers + 1} responses (plan.proposers and the node itself)",
            path="plan.quorum",
            given=plan.quorum,
            remedy=f"give at most {plan.proposers + 1}",
        )
    template(plan)


def _check_service(service: Service) -> None:
    if service.distribution == "empirical":
        if (service.values is None) == (service.file is None):
            raise ScenarioError(
                "needs either values or file",
                path="service",
                remedy="give measured service times, s, as service.values or as service.file",
            )
        if service.values == []:
            raise ScenarioError(
                "must have at least one entry",
                path="service.values",
                given=[],
                remedy="give measured service times, s",
            )
    coefficients = (service.base_s, service.input_token_s, service.output_token_s)
    if service.distribution == "tokens" and not any(coefficients):
        raise ScenarioError(
            "base_s, input_token_s and output_token_s are all 0",
            path="service",
            remedy="give at least one of them, for example output_token_s = 0.02",
        )


def _check_station(scenario: Scenario) -> None:
    station = scenario.station
    if scenario.host is None:
        for name, own in scenario.nodes.items():
            if own.host is not None:
                raise ScenarioError(
                    "names a machine, but it is not said what machines give",
                    path=f"nodes.{name}.host",
                    given=own.host,
                    remedy="give host.cores, how many threads' worth of computing one gives",
                )
    if station.speedup is None:
        return
    slots = max([station.slots, *(own.slots or 0 for own in scenario.nodes.values())])
    if len(station.speedup) < slots:
        raise ScenarioError(
            f"must have a value for each number of tasks up to {slots}, the slots",
            path="station.speedup",
            given=f"{len(station.speedup)} of them",
            remedy=f"give {slots} values, or at most {len(station.speedup)} slots",
        )
    if station.speedup[0] != 1:
        raise ScenarioError(
            "must begin with 1: speeds are relative to that of one task alone",
            path="station.speedup[0]",
            given=station.speedup[0],
            remedy="divide all values by the first",
        )


def _check_nodes(scenario: Scenario) -> None:
    for name, own in scenario.nodes.items():
        path = f"nodes.{name}"
        if own.service_time_s is not None and own.speed is not None:
            raise ScenarioError(
                "service_time_s and speed exclude each other",
                path=path,
                remedy="remove one of them",
            )
        if own.service_time_s is not None and scenario.service.service_time_s is None:
            raise ScenarioError(
                f"service by {scenario.service.distribution} has no mean to replace",
                path=f"{path}.service_time_s",
                given=own.service_time_s,
                remedy="give speed instead",
            )
        if own.arrival_rate_hz is not None and scenario.arrivals.arrival_rate_hz is None:
            raise ScenarioError(
                "a trace decides the arrivals",
                path=f"{path}.arrival_rate_hz",
                given=own.arrival_rate_hz,
                remedy="remove it",
            )


def _check_run(run: Run) -> None:
    if run.replications_max is None:
        return
    if run.relative_half_width is None:
        raise ScenarioError(
            "counts only where replications are added",
            path="run.replications_max",
            given=run.replications_max,
            remedy="give run.relative_half_width too",
        )
    if run.replications_max < run.replications:
        raise ScenarioError(
            f"is less than run.replications, {run.replications}",
            path="run.replications_max",
            given=run.replications_max,
            remedy=f"give at least {run.replications}",
        )
