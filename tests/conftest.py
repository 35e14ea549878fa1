"""What every test relies on: reproducible examples, no windows, a place of its own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import hypothesis
import pytest

# Before anything imports matplotlib: figures are drawn into files, never into a window.
os.environ["MPLBACKEND"] = "Agg"

# Whoever runs the tests in the background hands down that Ctrl-C is ignored; the commands that
# tests start and interrupt have to hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# `ci` tries the same examples in every run, so that a red test is red for everybody. To hunt for
# new ones: HYPOTHESIS_PROFILE=explore. No deadline: a slow machine is not a failure.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("explore", max_examples=2000, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """Give the folder of the checkout."""
    return ROOT


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, for what writes into the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Give the folder of recorded data, which is not part of the repository."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the recorded data (../shared/data) is not on this machine")
    return folder


@pytest.fixture
def base_port() -> int:
    """Give the first of a few ports that no other test process uses, nor the system by itself."""
    return 10_000 + os.getpid() % 500 * 40
