"""The store: what it keeps, what it refuses, and that a refused file is left as it was."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from dmoa.errors import ScenarioError
from dmoa.study.store import FORMAT, Manifest, Outcome, Point, Store, file_named, read_store

ABOUT = Manifest(
    scenario={"plan": {"layers": 1}, "run": {"seed": 1}}, grid={"run.seed": [1, 2]}, dmoa="0.1.0"
)
POINTS = [Point("one", 0, {"run.seed": 1}), Point("two", 1, {"run.seed": 2})]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweep.db"


@pytest.fixture
def written(path: Path) -> Path:
    with Store(path, ABOUT, POINTS) as store:
        store.record([(POINTS[0], Outcome({"verdict": "stable", "queue_length_mean": 0.1 + 0.2}))])
    return path


def execute(path: Path, statement: str, *values: object) -> list[tuple]:
    """Change or look at a file behind the store's back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return db.execute(statement, values).fetchall()


def refused(path: Path, about: Manifest = ABOUT, points: list[Point] = POINTS) -> ScenarioError:
    """Open a store that has to be refused; say why, after a look at what became of the file."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ScenarioError) as caught:
        Store(path, about, points)
    assert caught.value.path == "store"
    assert caught.value.given == str(path)
    assert caught.value.remedy
    assert (path.read_bytes() if path.is_file() else None) == before
    return caught.value


def test_a_point_is_kept_and_need_not_run_again(written):
    with Store(written, ABOUT, POINTS) as store:
        assert store.finished() == {"one"}
        store.record([(POINTS[1], Outcome({"verdict": "unstable", "join_buffer_mean": None}))])
        assert store.finished() == {"one", "two"}
    grid, columns, rows = read_store(written)
    assert grid == ["run.seed"]
    assert columns[:4] == ["run.seed", "plan.layers", "plan.proposers", "arrivals.arrival_rate_hz"]
    assert columns[4:6] == ["status", "verdict"]
    assert columns[-3:] == ["queue_length_mean", "join_buffer_mean", "error"]
    assert [list(row) for row in rows] == [columns, columns]
    assert rows[0]["queue_length_mean"] == 0.1 + 0.2
    assert [row["verdict"] for row in rows] == ["stable", "unstable"]
    assert rows[1]["queue_length_mean"] is None


def test_points_that_hold_swept_values_alone_take_the_others_from_the_scenario(path):
    point = Point("two", 1, {"run.seed": 2, "plan.layers": None})
    with Store(path, ABOUT, [POINTS[0], point]) as store:
        store.record([(POINTS[0], Outcome({}))])
        store.record([(point, Outcome({}))])
    assert [row["plan.layers"] for row in read_store(path).rows] == [1, None]


def test_a_point_is_on_the_disk_before_the_next(path):
    with Store(path, ABOUT, POINTS) as store:
        assert read_store(path).rows == []
        for done, point in enumerate(POINTS, 1):
            store.record([(point, Outcome({}))])
            assert len(read_store(path).rows) == done


def test_a_failed_point_is_kept_with_its_reason_and_runs_again(path):
    with Store(path, ABOUT, POINTS) as store:
        store.record([(POINTS[0], Outcome(error="no node has prompts"))])
        assert store.finished() == set()
    (row,) = read_store(path).rows
    assert (row["status"], row["error"], row["verdict"]) == ("failed", "no node has prompts", None)
    with Store(path, ABOUT, POINTS) as store:
        store.record([(POINTS[0], Outcome({"verdict": "stable"}))])
    (row,) = read_store(path).rows
    assert (row["status"], row["error"], row["verdict"]) == ("finished", None, "stable")


def test_a_store_that_is_closed_is_one_file(written):
    assert [file.name for file in written.parent.iterdir()] == [written.name]


def test_a_store_can_be_closed_while_somebody_reads_it(written):
    with closing(sqlite3.connect(written)) as reader:
        store = Store(written, ABOUT, POINTS)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM points").fetchone()
        with store:
            store.record([(POINTS[1], Outcome({}))])
        assert len(reader.execute("SELECT * FROM points").fetchall()) == 1
    assert len(read_store(written).rows) == 2


def test_what_is_not_committed_is_undone(written):
    with Store(written, ABOUT, POINTS) as store:
        store._db.execute("DELETE FROM points")
    assert len(read_store(written).rows) == 1


def test_a_grid_that_grew_keeps_its_points_in_their_new_places(written):
    about = msgspec.structs.replace(ABOUT, grid={"run.seed": [0, 2, 1], "plan.layers": [1]})
    points = [
        Point("new", 0, {"run.seed": 0, "plan.layers": 1}),
        Point("two", 1, {"run.seed": 2, "plan.layers": 1}),
        Point("one", 2, {"run.seed": 1, "plan.layers": 1}),
    ]
    with Store(written, about, points) as store:
        assert store.finished() == {"one"}
        store.record([(points[0], Outcome({"verdict": "stable"}))])
    grid, _, rows = read_store(written)
    assert grid == ["run.seed", "plan.layers"]
    assert [(row["run.seed"], row["plan.layers"]) for row in rows] == [(0, 1), (1, 1)]
    assert rows[1]["queue_length_mean"] == 0.1 + 0.2


def test_an_empty_file_becomes_a_store(path):
    path.touch()
    with pytest.raises(ScenarioError, match="holds no sweep yet"):
        read_store(path)
    with Store(path, ABOUT, POINTS) as store:
        assert store.finished() == set()


# --- another sweep --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"scenario": {"plan": {"layers": 2}, "run": {"seed": 1}}},
            "plan.layers is 1 there and 2 here",
        ),
        (
            {"scenario": {"plan": {"layers": 1, "quorum": 2}, "run": {"seed": 7}}},
            "plan.quorum is None there and 2 here",
        ),
        ({"grid": {"run.seed": [2, 3]}}, "run.seed lacks 1"),
        (
            {"grid": {"plan.layers": [1]}},
            "run.seed is swept only there, plan.layers is swept only here",
        ),
        ({"graph": "abc"}, "the graph is another one"),
        ({}, "a file that the scenario names has changed"),
    ],
)
def test_another_sweep_is_refused_with_what_differs(written, changes, said):
    about = msgspec.structs.replace(ABOUT, **changes)
    error = refused(written, about, [Point("other", 0, {})])
    assert error.problem.startswith("holds another sweep: ")
    assert said in error.problem
    assert "delete" in error.remedy


def test_a_long_list_of_differences_is_cut(written):
    about = msgspec.structs.replace(ABOUT, scenario=dict.fromkeys("abcdefg", 0), grid={})
    error = refused(written, about, [Point("other", 0, {})])
    assert error.problem.count(" and 0 here") == 4
    assert error.problem.endswith("d is None there and 0 here and 4 more")


def test_a_swept_value_of_the_scenario_makes_no_difference(written):
    about = msgspec.structs.replace(ABOUT, scenario={"plan": {"layers": 1}, "run": {"seed": 9}})
    with Store(written, about, POINTS) as store:
        assert store.finished() == {"one"}


def test_another_version_of_dmoa_is_refused(written):
    error = refused(written, msgspec.structs.replace(ABOUT, dmoa="0.2.0"))
    assert "was written by dmoa 0.1.0, and this is 0.2.0" in error.problem


@pytest.mark.parametrize("number", ["2", "null", '"1"'])
def test_another_format_is_refused(written, number):
    execute(written, "UPDATE manifest SET value = ? WHERE name = 'format'", number)
    assert f"instead of {FORMAT}" in refused(written).problem
    with pytest.raises(ScenarioError, match="instead of 1"):
        read_store(written)


# --- files that are no stores ---------------------------------------------------------------


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"x", b"x" * 10_000, b"SQLite format 3\0"])
def test_a_file_that_is_not_sqlite_is_refused(path, content):
    path.write_bytes(content)
    refused(path)
    with pytest.raises(ScenarioError):
        read_store(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE songs (title TEXT)", "CREATE TABLE manifest (name TEXT, value TEXT)"],
)
def test_an_sqlite_file_of_something_else_is_refused(path, statement):
    execute(path, statement)
    assert "something else" in refused(path).problem


def test_tables_of_the_same_names_do_not_make_a_store(path):
    execute(path, "CREATE TABLE manifest (title TEXT)")
    execute(path, "CREATE TABLE points (title TEXT)")
    assert "cannot be used as a store (no such column: name)" in refused(path).problem


@pytest.fixture
def large(path: Path) -> Path:
    """Give a store of many pages, so that a cut may fall into its points."""
    points = [Point(f"{number:064}", number, {"run.seed": number}) for number in range(60)]
    with Store(path, ABOUT, points) as store:
        for point in points:
            store.record([(point, Outcome({"digest": "x" * 500}))])
    return path


def test_a_store_cut_off_anywhere_is_refused(large):
    content = large.read_bytes()
    for length in range(1, len(content), 1500):
        large.write_bytes(content[:length])
        refused(large)
        with pytest.raises(ScenarioError):
            read_store(large)


def test_a_store_without_its_last_byte_is_refused(large):
    large.write_bytes(large.read_bytes()[:-1])
    refused(large)


def test_a_store_with_a_page_of_noise_is_refused(large):
    content = bytearray(large.read_bytes())
    content[3 * 4096 : 4 * 4096] = b"\xff" * 4096
    large.write_bytes(content)
    assert "is damaged" in refused(large).problem


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE manifest SET value = '{' WHERE name = 'scenario'",
        "UPDATE manifest SET value = '[]' WHERE name = 'grid'",
        "DELETE FROM manifest WHERE name = 'scenario'",
        "UPDATE manifest SET value = CAST(X'ff' AS TEXT)",
    ],
)
def test_a_damaged_manifest_is_refused(written, statement):
    execute(written, statement)
    assert "is damaged" in refused(written).problem


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE points SET result = '{'",
        "UPDATE points SET result = 1",
        "UPDATE points SET point = '1'",
    ],
)
def test_a_damaged_point_is_said(written, statement):
    execute(written, statement)
    with pytest.raises(ScenarioError, match="is damaged"):
        read_store(written)


# --- places that cannot be written ----------------------------------------------------------


def test_a_missing_folder_and_a_folder_are_refused(tmp_path):
    assert "cannot be opened" in refused(tmp_path / "missing" / "sweep.db").problem
    assert "cannot be opened" in refused(tmp_path).problem
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_may_not_be_written_is_refused(written, monkeypatch):
    # Rights do not bind root, so SQLite is told what it would find out.
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **rest: connect(f"file:{path}?mode=ro", uri=True, **rest)
    )
    assert "cannot be written" in refused(written).problem


def test_a_full_disk_is_said_and_what_was_written_stays(path):
    with Store(path, ABOUT, POINTS) as store:
        store.record([(POINTS[0], Outcome({}))])
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(ScenarioError, match="make room on the disk"):
            store.record([(POINTS[1], Outcome({"digest": "x" * 100_000}))])
    assert len(read_store(path).rows) == 1


def test_a_store_in_use_is_refused_and_can_be_read(written):
    with Store(written, ABOUT, POINTS) as store:
        assert "another process is writing to it" in refused(written).problem
        assert len(read_store(written).rows) == 1
        store.record([(POINTS[1], Outcome({}))])
    assert len(read_store(written).rows) == 2


def test_a_missing_file_is_not_made_by_reading_it(path):
    with pytest.raises(ScenarioError, match="no such file"):
        read_store(path)
    assert not path.exists()


@pytest.mark.parametrize("name", ["", "a\0b", 3, None, b"sweep.db"])
def test_a_store_must_have_a_name(name):
    with pytest.raises(ScenarioError, match="must name a file"):
        file_named(name)


@pytest.mark.parametrize("name", ["what?.db", "50%20.db", "a#b.db", "file:x.db", ":memory:"])
def test_any_name_is_the_name_of_the_file(workdir, name):
    with Store(Path(name), ABOUT, POINTS) as store:
        store.record([(POINTS[0], Outcome({}))])
    assert [file.name for file in workdir.iterdir()] == [name]
    assert len(read_store(name).rows) == 1
