"""The commands of ``docs/cluster.md`` sweep: with ssh and srun that start processes here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from dmoa.study.store import read_store
from tests.docs.snippets import find_snippets

pytest.importorskip("distributed")
pytestmark = pytest.mark.cluster

SSH = """#!/bin/bash
shift
exec bash -c "$*"
"""
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do
    [[ $1 == --ntasks=1 ]] && alone=yes
    shift
done
[[ $alone ]] || "$@" &
exec "$@"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a home with dmoa in its environment ``dmoa``, and ssh and srun that stay here."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, script in (("ssh", SSH), ("srun", SRUN)):
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    (tools / "dmoa").write_text(f'#!/bin/bash\nexec "{sys.executable}" -m dmoa "$@"\n')
    (tools / "dask").write_text(f'#!/bin/bash\nexec "{sys.executable}" -m dask "$@"\n')
    for name in ("dmoa", "dask"):
        (tools / name).chmod(0o755)
    (tmp_path / "dmoa").mkdir()
    (tmp_path / "dmoa" / "bin").symlink_to(tools)
    (tools / "activate").write_text("")
    return tmp_path


def script_of(root: Path, name: str) -> str:
    page = (root / "docs" / "cluster.md").read_text(encoding="utf-8")
    mark = f"<!-- test: {name} -->"
    (found,) = [snippet.text for snippet in find_snippets(page) if snippet.before == mark]
    return found


@pytest.mark.parametrize("name", ["boxes", "slurm"])
def test_the_commands_of_the_page_sweep(home, root, base_port, name):
    script = script_of(root, name)
    for written, here in (
        ("box1:8786", f"127.0.0.1:{base_port}"),
        ("$(hostname):8786", f"127.0.0.1:{base_port}"),
        ("--port 8786", f"--port {base_port} --host 127.0.0.1"),
        ("--nworkers -1", "--nworkers 1"),
        ("0.02:0.24:12", "0.02:0.24:3 --horizon 50"),
    ):
        script = script.replace(written, here)
    process = subprocess.Popen(
        ["bash", "-c", script],  # noqa: S607 - wherever it is
        cwd=home,
        env={
            **os.environ,
            "HOME": str(home),
            "PATH": f"{home / 'tools'}:{os.environ['PATH']}",
            "PYTHONPATH": str(root),
            "SLURMD_NODENAME": "box1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=120)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, out
    assert "9 of 9 points finished" in out
    assert len(read_store(home / "ring.db").rows) == 9
