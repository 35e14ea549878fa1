"""Distributed Mixture-of-Agents: simulate it, prove it stable, run it on edge nodes.

>>> import dmoa
>>> dmoa.bound(dmoa.load("ring")).bottleneck
'0'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dmoa.errors import (
    DmoaError,
    EngineError,
    InvariantError,
    PeerError,
    ScenarioError,
    UnstableError,
)

if TYPE_CHECKING:
    from dmoa.scenario import Scenario, Setup, load
    from dmoa.study import (
        Bound,
        CapacityResult,
        MeasuredResult,
        SimulationResult,
        SweepResult,
        bound,
        capacity,
        load_sweep,
        measure_traces,
        prepare,
        replay,
        simulate,
        sweep,
    )

__version__ = "0.1.0"

__all__ = [
    "Bound",
    "CapacityResult",
    "DmoaError",
    "EngineError",
    "InvariantError",
    "MeasuredResult",
    "PeerError",
    "Scenario",
    "ScenarioError",
    "Setup",
    "SimulationResult",
    "SweepResult",
    "UnstableError",
    "bound",
    "capacity",
    "load",
    "load_sweep",
    "measure_traces",
    "prepare",
    "replay",
    "simulate",
    "sweep",
]

_FROM_SCENARIO = ("Scenario", "Setup", "load")
_PACKAGES = ("plot", "scenario", "study", "theory", "trace")


def __getattr__(name: str) -> Any:
    # Imported on first use: numpy, networkx and simpy would cost half a second at every start.
    if name in _PACKAGES:
        return import_module(f"dmoa.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'dmoa' has no attribute {name!r}")
    package = "scenario" if name in _FROM_SCENARIO else "study"
    return getattr(import_module(f"dmoa.{package}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PACKAGES})
