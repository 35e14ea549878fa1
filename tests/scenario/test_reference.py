"""The schema in words, and the page that shows it."""

import pytest

from dmoa.scenario import paths, reference

RENEW = "put dmoa.scenario.reference() under the heading 'Reference' of docs/scenario.md"


def test_the_page_shows_the_schema_as_it_is(root):
    page = (root / "docs" / "scenario.md").read_text("utf-8")
    _, heading, tables = page.partition("### Top level\n")
    assert (heading + tables).rstrip() == reference().rstrip(), f"the tables are old: {RENEW}"


def test_every_key_has_a_row():
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) == len(paths())


@pytest.mark.parametrize(
    ("key", "cells"),
    [
        ("description", ["a text of at most 10,000 characters", "", "empty", ""]),
        ("nodes", ["a whole number from 2 to 1,000,000", "nodes", "`8`", "generated overlays"]),
        ("probability", ["a number from 0 to 1", "", "`0.4` or `0.1`", "erdos-renyi, watts-str"]),
        ("prompts", ["from 1 to 10,000,000", "prompts", "must be given", "burst"]),
        ("loss", ["a number from 0 to below 1", "", "`0.0`", ""]),
        ("relative_half_width", ["a number above 0 and below 1", "", "", ""]),
        ("speed", ["a number from 1e-06 to 1,000,000", "", "", ""]),
        ("weights", ["'best' or a table {node = {peer = probability}}", "", "`best`", "weighted"]),
    ],
)
def test_a_row_says_range_unit_default_and_choices(key, cells):
    row = next(line for line in reference().splitlines() if line.startswith(f"| `{key}` |"))
    shown = [cell.strip() for cell in row.split(" | ")[2:]]
    shown[-1] = shown[-1].removesuffix("|").strip()
    assert all(part in cell for part, cell in zip(cells, shown, strict=True))
    assert [bool(part) for part in cells] == [bool(cell) for cell in shown]
