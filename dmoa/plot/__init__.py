"""One figure per function: each takes ``ax=None`` and returns the `Axes` it drew into.

Without ``ax`` a figure of its own is made, outside pyplot: nothing is shown, nothing is global,
and `save` writes it. matplotlib is imported by the first call.
"""

from dmoa.plot.capacity_map import critical_rate_map
from dmoa.plot.files import check_writable, save
from dmoa.plot.overlay import overlay
from dmoa.plot.phase import phase_diagram, phase_panels
from dmoa.plot.queues import queue_length_over_time
from dmoa.plot.sojourn import sojourn_distribution
from dmoa.plot.stability import stability_curves
from dmoa.plot.standard import standard_figures
from dmoa.plot.timeline import prompt_timeline

__all__ = [
    "check_writable",
    "critical_rate_map",
    "overlay",
    "phase_diagram",
    "phase_panels",
    "prompt_timeline",
    "queue_length_over_time",
    "save",
    "sojourn_distribution",
    "stability_curves",
    "standard_figures",
]
