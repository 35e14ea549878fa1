"""Every snippet of the README and of the documentation does what its page says."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.docs.snippets import SnippetError, find_snippets, run_page

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def dmoa(arguments: list[str]) -> int:
    """Run the command line in this process; what it printed is shown when it fails."""
    from dmoa.cli import main  # here, so that the other pages are tested without it

    result = CliRunner().invoke(main, arguments)
    print(result.output)  # noqa: T201 - pytest shows it with the failure
    return result.exit_code


def never(arguments: list[str]) -> int:
    raise AssertionError(f"no command expected, got {arguments}")


@pytest.mark.usefixtures("workdir")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_snippets_run(path: Path) -> None:
    run_page(path, path.read_text(encoding="utf-8"), dmoa)


def test_a_page_is_one_session_and_output_is_compared() -> None:
    page = "```python\nhalf = 2\n```\n\ntext\n\n```pycon\n>>> half * 2\n4\n```\n"
    assert run_page(Path("page.md"), page, never) == 2
    with pytest.raises(SnippetError, match="Expected:\n    5"):
        run_page(Path("page.md"), page.replace("\n4\n", "\n5\n"), never)


def test_a_name_bound_in_a_session_lasts_to_the_next_block() -> None:
    page = "```python\n>>> half = 2\n```\n```python\nassert half == 2\n```\n"
    assert run_page(Path("page.md"), page, never) == 2


def test_a_failing_block_points_at_its_line_of_the_page() -> None:
    page = "title\n\n```python\nok = 1\nraise LookupError('why')\n```\n"
    with pytest.raises(LookupError, match="why") as caught:
        run_page(Path("page.md"), page, never)
    assert caught.traceback[-1].lineno + 1 == 5


def test_only_marked_commands_run_and_all_must_succeed() -> None:
    block = "```console\n$ dmoa bound \\\n  --topology ring # why\nnoise\n$ make demo\n```\n"
    seen: list[list[str]] = []

    def record(arguments: list[str]) -> int:
        seen.append(arguments)
        return 2

    assert run_page(Path("page.md"), block, never) == 0
    with pytest.raises(SnippetError, match=r"page\.md:4: .*exit code 2"):
        run_page(Path("page.md"), f"<!-- run -->\n\n{block}", record)
    assert seen == [["bound", "--topology", "ring"]]


def test_a_block_is_left_out_only_with_a_reason() -> None:
    block = "```python\nraise LookupError('why')\n```\n"
    assert run_page(Path("page.md"), f"<!-- skip: takes an hour -->\n{block}", never) == 0
    with pytest.raises(LookupError, match="why"):
        run_page(Path("page.md"), f"<!-- skip: -->\n{block}", never)


def test_a_longer_fence_may_hold_a_shorter_one() -> None:
    page = "````markdown\n```python\nraise ValueError\n```\n````\n"
    assert [snippet.language for snippet in find_snippets(page)] == ["markdown"]
