"""Ports for the clusters that tests start."""

import os

import pytest


@pytest.fixture
def base_port() -> int:
    """Give the first of a few ports that no other test process uses, nor the system by itself."""
    return 10_000 + os.getpid() % 500 * 40
