"""Studies: what a researcher asks of a scenario, in one call each."""

from dmoa.study.bound import Bound, Sufficiency, bound, prepare
from dmoa.study.capacity import at_rate, capacity
from dmoa.study.replay import load_track, replay
from dmoa.study.results import CapacityResult, NodeSummary, RateVerdict, SimulationResult
from dmoa.study.simulate import expected_tasks, simulate
from dmoa.study.store import export_csv, load_sweep
from dmoa.study.sweep import SweepResult, parse_grid, sweep

__all__ = [
    "Bound",
    "CapacityResult",
    "NodeSummary",
    "RateVerdict",
    "SimulationResult",
    "Sufficiency",
    "SweepResult",
    "at_rate",
    "bound",
    "capacity",
    "expected_tasks",
    "export_csv",
    "load_sweep",
    "load_track",
    "parse_grid",
    "prepare",
    "replay",
    "simulate",
    "sweep",
]
