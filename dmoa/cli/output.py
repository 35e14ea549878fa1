"""What is printed where: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console

#: A bar that lives shorter than this would only flicker, s.
PROGRESS_AFTER_S = 1.0


class Progress(Protocol):
    """What is called as work goes on."""

    def __call__(self, done: int, total: int, left_s: float | None = None, /) -> None:
        """Take what is done, what is to be done and, where it is known, the seconds left."""


def console() -> Console:
    """Make the console of the results. Names of nodes are never read as markup."""
    from rich.console import Console  # a command that prints JSON never needs it

    return Console(highlight=False, markup=False, emoji=False)


def error_console() -> Console:
    """Make the console of errors, notes and progress."""
    from rich.console import Console  # a command that prints JSON never needs it

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_json(data: dict[str, Any]) -> None:
    """Print one JSON object; characters that the output cannot encode are escaped."""
    encoding = (sys.stdout.encoding or "ascii").lower()
    text = json.dumps(data, indent=2, allow_nan=False, ensure_ascii=not encoding.startswith("utf"))
    sys.stdout.write(text + "\n")


def number(value: float | None) -> str:
    """Write a number for a table: four digits, no exponent where it can be avoided.

    >>> [number(value) for value in (0.25, 12.3456, 54321.9, None, float("inf"), 3e-7)]
    ['0.25', '12.35', '54,322', '–', '∞', '3e-07']
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Write a duration in the unit that suits it.

    >>> [duration(value) for value in (0.25, 90, 5000, 200000)]
    ['0.25 s', '1 min 30 s', '1 h 23 min', '2 d 7 h']
    """
    for size, unit, below, smaller in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            whole, rest = divmod(round(seconds), size)
            return f"{whole} {unit} {rest // below} {smaller}"
    return f"{number(seconds)} s"


def tell(text: str) -> None:
    """Tell whoever waits, on standard error."""
    error_console().print(text, style="dim")


@contextmanager
def progress_bar(text: str) -> Iterator[Progress | None]:
    """Show a bar with the time left on standard error while something runs.

    Gives the function to call with what is done, what is to be done and perhaps the seconds left,
    which are otherwise estimated; None where nobody would see it, because standard error is no
    terminal.
    """
    target = error_console()
    if not target.is_terminal:
        yield None
        return
    from rich import progress  # needed on a terminal alone

    bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[left]}"),
        console=target,
        transient=True,
        speed_estimate_period=math.inf,  # steps may take minutes each
    )
    task = bar.add_task(text, total=None, left="")

    def report(done: int, total: int, left_s: float | None = None, /) -> None:
        bar.update(task, completed=done, total=total)
        known_s = bar.tasks[task].time_remaining if left_s is None else left_s
        left = "" if known_s is None else f"{duration(math.ceil(known_s))} left"
        bar.update(task, left=left)

    later = threading.Timer(PROGRESS_AFTER_S, bar.start)
    later.start()
    try:
        yield report
    finally:
        later.cancel()
        later.join()
        bar.stop()
