"""Studies: what a researcher asks of a scenario, in one call each."""

from dmoa.study.bound import Bound, Sufficiency, bound, prepare
from dmoa.study.capacity import at_rate, capacity
from dmoa.study.replay import load_track, replay
from dmoa.study.results import CapacityResult, NodeSummary, RateVerdict, SimulationResult
from dmoa.study.simulate import expected_tasks, simulate

__all__ = [
    "Bound",
    "CapacityResult",
    "NodeSummary",
    "RateVerdict",
    "SimulationResult",
    "Sufficiency",
    "at_rate",
    "bound",
    "capacity",
    "expected_tasks",
    "load_track",
    "prepare",
    "replay",
    "simulate",
]
