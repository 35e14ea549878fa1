"""Fixtures of the live tests."""

import pytest


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"
