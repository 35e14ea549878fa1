"""The page on the command line is what the commands say of themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dmoa.cli.reference import reference

RENEW = "python -m dmoa.cli.reference docs/cli.md"


def test_the_page_is_up_to_date(root: Path) -> None:
    page = (root / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == reference(), f"docs/cli.md is out of date; renew it with: {RENEW}"


def test_the_named_command_renews_it(tmp_path: Path) -> None:
    page = tmp_path / "cli.md"
    subprocess.run([sys.executable, *RENEW.split()[1:3], str(page)], check=True)
    assert page.read_text(encoding="utf-8") == reference()
