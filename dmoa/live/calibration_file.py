"""Writing what was calibrated into a scenario, all of it or nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from dmoa.errors import ScenarioError
from dmoa.live.calibration import Calibration
from dmoa.live.toml_edit import edit_toml
from dmoa.live.toml_lines import read_toml
from dmoa.scenario import load
from dmoa.scenario.toml_text import to_toml

#: Keys that say in another way how long a task takes.
REPLACED = ("service.service_time_s", "service.cv", "service.values", "service.file")


def calibrated_toml(found: Calibration) -> str:
    """Write the sections that a scenario needs to be simulated at this speed, as TOML."""
    data: dict[str, Any] = {}
    for path, value in found.scenario_values().items():
        section, _, key = path.partition(".")
        data.setdefault(section, {})[key] = value
    return to_toml(data) + "\n"


def check_place(file: Path) -> None:
    """See that a file can be written or, if it exists, is a scenario.

    Raises:
        ScenarioError: It is neither.
    """
    if file.exists():
        load(file)
    folder = file.resolve().parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unwritable(file, "there is no such folder" if not folder.exists() else "not allowed")


def _unwritable(file: Path, reason: str) -> ScenarioError:
    return ScenarioError(
        f"cannot be written ({reason})",
        path=str(file),
        remedy="name a file in a folder that exists and that you may write",
    )


def write_calibration(found: Calibration, file: Path) -> None:
    """Put what was measured into a scenario: a new one, or just these keys of one that exists.

    The file is replaced at once when the new one has been written and loaded; until then, and
    after any error, it is what it was.

    Raises:
        ScenarioError: The file is no scenario, would be none with these keys, or cannot be
            written.
    """
    place = file.resolve()  # a link stays one
    if place.exists():
        load(place)  # what is wrong already is told as it is, not as our doing
        text, _ = read_toml(place)
        text = edit_toml(text, found.scenario_values(), REPLACED, path=str(file))
    else:
        head = to_toml({"name": place.stem[:200], "description": f"Calibrated: {found.model}"})
        text = f"{head}\n\n{calibrated_toml(found)}"
    try:
        _replace(place, text)
    except OSError as error:
        raise _unwritable(file, error.strerror or str(error)) from None


def _replace(place: Path, text: str) -> None:
    # Beside it, since a scenario may name other files, from its own folder.
    handle, name = tempfile.mkstemp(suffix=".toml", prefix=f".{place.stem}-", dir=place.parent)
    try:
        with open(handle, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        load(Path(name))
        if place.exists():
            shutil.copymode(place, name)
        else:
            Path(name).chmod(0o666 & ~_umask())  # mkstemp lets nobody else read
        Path(name).replace(place)
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
