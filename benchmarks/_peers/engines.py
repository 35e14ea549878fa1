"""What is compared: each engine's name, where its code is, and what it needs or cannot do."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from _peers.network import Network, Run, UnavailableError

Simulate = Callable[[Network, float, int], Run]


class Engine(NamedTuple):
    """An engine: the functions are `module.function` in this folder.

    ``check`` is the function of the runs that are checked, where they need to observe more than
    the runs that are timed. ``scans`` says that it looks at every node at each event, ``studies``
    that its time has a part that does not grow with the run, so that short runs would belie it.
    ``lacks`` says why it has no layered network.
    """

    title: str
    function: str
    package: str = ""
    check: str = ""
    scans: bool = False
    studies: bool = False
    lacks: str = ""


ENGINES = {
    "dmoa": Engine("dmoa, core and SimPy driver", "ours.core", check="ours.core_measured"),
    "dmoa-whole": Engine("dmoa.simulate, SimPy", "ours.whole", studies=True),
    "dmoa-compiled": Engine("dmoa, compiled engine", "ours.compiled"),
    "dmoa-compiled-whole": Engine("dmoa.simulate, compiled", "ours.compiled_whole", studies=True),
    "calendar": Engine("the same calendar queue in C", "calendar_queue.same"),
    "calendar-tuned": Engine("calendar queue in C, tuned", "calendar_queue.tuned"),
    "cimba-events": Engine("cimba, events", "cimba_models.events", "cimba"),
    "cimba-processes": Engine("cimba, processes", "cimba_models.processes", "cimba"),
    "heapq": Engine("Python, heapq", "heap.run"),
    "simpy-callbacks": Engine("SimPy, callbacks", "simpy_callbacks.run", "simpy"),
    "simpy-processes": Engine("SimPy, process per node", "simpy_processes.run", "simpy"),
    "salabim": Engine("salabim", "salabim_components.run", "salabim"),
    "ciw": Engine(
        "Ciw", "ciw_network.run", "ciw", scans=True, lacks="no fork whose parts join again"
    ),
}

BASELINE = "simpy-callbacks"
REFERENCE = "dmoa"
"""Whose layered network the others are checked against: it is tested against theory itself."""


def function_of(name: str, *, check: bool) -> Simulate:
    """Load an engine's function.

    Raises:
        UnavailableError: what it needs is not installed.
    """
    engine = ENGINES[name]
    if engine.package and importlib.util.find_spec(engine.package) is None:
        raise UnavailableError(f"not installed: pip install {engine.package}")
    module, _, function = ((check and engine.check) or engine.function).partition(".")
    found: Simulate = getattr(import_module(f"_peers.{module}"), function)
    return found
