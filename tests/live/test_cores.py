"""The cores of this process, wherever it runs."""

import os

import pytest

from dmoa.live.cores import cores


def test_at_least_one_core_is_counted(monkeypatch: pytest.MonkeyPatch):
    assert cores() >= 1
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2})
        assert cores() == 3
        monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1
