"""The ready overlays that come with dmoa, as files of the folder ``topologies``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_SUFFIXES = (".graphml", ".edgelist", ".json")


def _folder() -> Path:
    """The folder inside an installed package, else the one beside the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "topologies"
    return inside if inside.is_dir() else package.parent / "topologies"


@cache
def _files() -> dict[str, Path]:
    found = sorted(file for file in _folder().glob("*") if file.suffix in _SUFFIXES)
    return {file.stem: file for file in found}


def ready_overlays() -> tuple[str, ...]:
    """Names of the ready overlays, sorted.

    >>> "nsfnet" in ready_overlays()
    True
    """
    return tuple(_files())


def ready_file(name: str) -> Path:
    """File of a ready overlay.

    >>> ready_file("nsfnet").name
    'nsfnet.graphml'
    """
    return _files()[name]
