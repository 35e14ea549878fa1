"""Sweeps onto a disk that gets full: what was finished is whole, and the sweep can go on."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dmoa.errors import ScenarioError
from dmoa.scenario import load
from dmoa.study import units
from dmoa.study.store import read_store
from dmoa.study.sweeps import sweep
from tests.study.sweeping import content, finished_at

RING = load("ring", ["run.horizon_s=10", "run.replications=2"])
GRID = {"run.seed": [*range(60)]}
SMALL, LARGE = 200_000, 20_000_000
START = "import sys; from tests.study import test_sweep_disk as this; this.fill(*sys.argv[1:])"


def fill(how: str, folder: str, out: str) -> None:
    """Sweep onto a disk until it is full, make room, and sweep again; say what happened."""
    store = Path(folder) / "sweep.db"
    vars(units)["UNIT_ITEMS_MAX"] = 5  # so that more than one is written
    make_room(how, folder, SMALL)
    said = ""
    try:
        sweep(RING, GRID, store=store, workers=1)
    except ScenarioError as error:
        said = str(error)
    # Read by another process would be the same: nothing of the first sweep is open any more.
    kept, readable = finished_at(store), len(read_store(store).rows)
    make_room(how, folder, LARGE)
    result = sweep(RING, GRID, store=store, workers=1)
    again = finished_at(store)
    told = {
        "said": said,
        "kept": readable,
        "resumed": result.resumed,
        "finished": result.finished,
        "untouched": kept.items() <= again.items(),
    }
    sys.stdout.write(json.dumps(told))
    shutil.copy(store, out)


def make_room(how: str, folder: str, size_bytes: int) -> None:
    if how == "tmpfs":
        subprocess.run(["mount", "-o", f"remount,size={size_bytes}", folder], check=True)  # noqa: S607 - wherever it is
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def in_a_namespace(folder: Path) -> list[str]:
    """Give what starts a command with a disk of its own in a folder; skip where none is allowed."""
    script = 'mount -t tmpfs none "$0" && exec "$@"'
    start = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, str(folder)]
    try:
        subprocess.run([*start, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("an ordinary user may not mount a disk here")
    return start


@pytest.mark.parametrize("how", ["tmpfs", "limit"])
def test_a_full_disk_ends_a_sweep_that_goes_on_when_there_is_room(tmp_path, root, how):
    folder, out = tmp_path / "disk", tmp_path / "out.db"
    folder.mkdir()
    start = in_a_namespace(folder) if how == "tmpfs" else []
    process = subprocess.run(
        [*start, sys.executable, "-c", START, how, str(folder), str(out)],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    told = json.loads(process.stdout)
    assert told["said"].startswith("store: cannot be ")
    assert told["said"].endswith(
        "make room on the disk and sweep again; what was finished before is kept"
    )
    assert 0 < told["kept"] < 60
    assert (told["resumed"], told["finished"]) == (told["kept"], 60)
    assert told["untouched"]
    alone = tmp_path / "alone.db"
    sweep(RING, GRID, store=alone, workers=1)
    assert content(out) == content(alone)
