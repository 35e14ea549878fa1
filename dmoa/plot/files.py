"""Figures to files: PNG to look at, SVG to print; checked before the work, the same each time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmoa.errors import ScenarioError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

FORMATS = (".png", ".svg")
PNG_DPI = 200


def targets(path: str | Path) -> list[Path]:
    """Tell which files `save` writes: the one named, or a PNG and an SVG beside each other.

    Raises:
        ScenarioError: the path names another format, or no file at all.

    >>> [file.name for file in targets("figures/ring-0.2")]
    ['ring-0.2.png', 'ring-0.2.svg']
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in FORMATS:
        return [path]
    if not path.name:
        raise _refused("a figure needs a file name", path)
    if suffix[1:].isalpha():
        raise ScenarioError(
            "figures are written as .png or .svg",
            path="figure",
            given=str(path),
            remedy="name one of them, or leave the suffix out to get both",
        )
    return [path.with_name(path.name + ending) for ending in FORMATS]


def check_writable(path: str | Path, *, folder: bool = False) -> None:
    """Check, before long work and without writing anything, that figures can be written.

    Args:
        path: a figure as for `save`, or a folder for figures.
        folder: whether it is a folder.

    Raises:
        ScenarioError: a file stands where a folder is needed or the other way round, or there is
            no permission to write.

    >>> check_writable("figures/ring")
    """
    if "\0" in str(path):
        raise _refused("cannot be a name of a file", path)
    try:
        if folder:
            _check_folder(Path(path))
            return
        for target in targets(path):
            if target.is_dir():
                raise _refused("is a folder, not a figure", target)
            if target.exists() and not os.access(target, os.W_OK):
                raise _refused("may not be overwritten", target)
            _check_folder(target.parent)
    except OSError as error:  # a name too long
        raise _refused(f"cannot be used: {error.strerror}", path) from None


def save(figure: Axes | Figure | SubFigure, path: str | Path) -> list[Path]:
    """Write a figure as PNG (200 dpi) and SVG, the same bytes each time.

    What is written does not depend on what was written before, and the figure stays as it was.

    Args:
        figure: what a function of `dmoa.plot` returned, or a whole figure.
        path: a file ending in .png or .svg; without such an ending both are written. Missing
            folders are made, existing figures replaced.

    Returns:
        The files written.

    Raises:
        ScenarioError: they cannot be written.
    """
    import matplotlib as mpl  # imported here: it takes longer than the whole command line

    check_writable(path)
    whole: Any = figure
    while not hasattr(whole, "savefig"):
        whole = whole.figure
    written = targets(path)
    for target in written:
        content = BytesIO()
        # The salt and the missing date make an SVG repeatable.
        with mpl.rc_context({"svg.hashsalt": "dmoa"}), _places_kept(whole):
            kind = target.suffix.lower()[1:]
            metadata = {"Date": None} if kind == "svg" else None
            whole.savefig(content, format=kind, dpi=PNG_DPI, metadata=metadata)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.getvalue())
        except OSError as error:
            raise _refused(f"cannot be written: {error.strerror}", target) from None
    return written


@contextmanager
def _places_kept(figure: Figure) -> Iterator[None]:
    """Put the axes back where they were before a layout engine moved them.

    Its result depends on where they stood, so that a second file would differ from the first.
    """
    kept = [
        (ax, ax.get_position(original=True), ax.get_position(), ax.get_in_layout())
        for ax in figure.axes
    ]
    try:
        yield
    finally:
        for ax, original, active, in_layout in kept:
            ax.set_position(original, which="original")
            ax.set_position(active, which="active")
            ax.set_in_layout(in_layout)  # axes that are placed leave the layout


def _check_folder(folder: Path) -> None:
    """Check that a folder is there and may be written to, or that it can be made."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise _refused("is a file, not a folder", nearest)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _refused("there is no permission to write into this folder", nearest)


def _refused(problem: str, path: str | Path) -> ScenarioError:
    return ScenarioError(
        problem, path="figure", given=str(path), remedy="choose another place for the figures"
    )
