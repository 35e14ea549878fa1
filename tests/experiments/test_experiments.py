"""Every experiment runs, reduced, and leaves its tables and figures; what is kept is complete."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDERS = sorted(
    path.parent for path in (Path(__file__).parents[2] / "experiments").glob("*/run.py")
)
NAMES = [folder.name for folder in FOLDERS]
PNG = b"\x89PNG\r\n"

IMAGES = re.compile(r"!\[[^\]]+\]\(([\w-]+)\.png\)")
SECTIONS = re.compile(r"<!-- (?!end)([\w-]+) -->\n(.*?)<!-- end -->", re.DOTALL)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, folder / "run.py", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def check_results(folder: Path, readme: str) -> None:
    for name in IMAGES.findall(readme):
        assert (folder / f"{name}.png").read_bytes().startswith(PNG)
        assert "<svg" in (folder / f"{name}.svg").read_text("utf-8")[:1000]
    for name, text in SECTIONS.findall(readme):
        assert text.strip(), f"{name} is empty"
        if text.strip().startswith("|"):
            with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as handle:
                rows = list(csv.reader(handle))
            assert len(rows) - 1 == text.count("\n|") - 2  # without headings and the line below


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_an_experiment_keeps_all_that_its_readme_shows(folder: Path):
    readme = (folder / "README.md").read_text("utf-8")
    assert f"python experiments/{folder.name}/run.py" in readme
    assert IMAGES.findall(readme)
    assert SECTIONS.findall(readme)
    check_results(folder, readme)


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_an_experiment_runs_reduced_and_leaves_its_results(
    folder: Path, tmp_path: Path, request: pytest.FixtureRequest
):
    if folder.name == "office-day":
        request.getfixturevalue("shared_data")
    files = [path for path in folder.iterdir() if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files}

    done = run(folder, "--quick", "--out", str(tmp_path))

    assert done.returncode == 0, done.stderr
    made = {path.name for path in tmp_path.iterdir()}
    assert {"README.md"} < made
    assert {name for name in made if name.endswith(".csv")}
    for name in IMAGES.findall((folder / "README.md").read_text("utf-8")):
        assert {f"{name}.png", f"{name}.svg"} <= made
    # The reduced run left the results beside the script as they were.
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_the_office_day_says_where_its_prompts_come_from(root: Path):
    done = run(root / "experiments" / "office-day", "--quick", "--trace", "no-such.csv")

    assert done.returncode == 1
    assert "github.com/Azure/AzurePublicDataset" in done.stderr
    assert "Traceback" not in done.stderr
