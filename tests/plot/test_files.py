"""Figures as files: what is written, that it repeats, and what is refused beforehand."""

from __future__ import annotations

import subprocess
import sys

import pytest
from matplotlib.axes import Axes

from dmoa import plot
from dmoa.errors import ScenarioError
from dmoa.plot import style


def test_a_stem_becomes_a_png_and_an_svg_in_a_new_folder(tmp_path):
    ax = style.axes_for(None)
    written = plot.save(ax, tmp_path / "new" / "ring-0.2")
    assert [file.name for file in written] == ["ring-0.2.png", "ring-0.2.svg"]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in written[1].read_bytes()


@pytest.mark.parametrize("name", ["a.png", "a.SVG"])
def test_a_suffix_chooses_the_format(tmp_path, name):
    assert plot.save(style.axes_for(None), tmp_path / name) == [tmp_path / name]
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_whole_figure_can_be_saved(tmp_path):
    figure = style.axes_for(None).figure
    assert plot.save(figure, tmp_path / "a.svg")[0].stat().st_size > 1000


def test_the_same_figure_gives_the_same_bytes(tmp_path, ring):
    for name in ("a", "b"):
        plot.save(plot.overlay(ring.setup, ring.theory.offered_load), tmp_path / name)
    for ending in (".png", ".svg"):
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a.svg").read_bytes()


def test_what_was_written_before_makes_no_difference(tmp_path, ring):
    def draw() -> Axes:
        return plot.queue_length_over_time(ring)  # names beside the axes: the layout moves them

    plot.save(draw(), tmp_path / "alone.svg")
    ax = draw()
    places = [one.get_position().bounds for one in ax.figure.axes]
    plot.save(ax, tmp_path / "both")
    assert [one.get_position().bounds for one in ax.figure.axes] == places
    plot.save(ax, tmp_path / "again")
    for name in ("both", "again"):
        assert (tmp_path / f"{name}.svg").read_bytes() == (tmp_path / "alone.svg").read_bytes()
    assert (tmp_path / "both.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def test_axes_of_the_caller_stay_out_of_a_layout_that_they_had_left(tmp_path):
    ax = style.axes_for(None)
    ax.set_position((0.2, 0.3, 0.5, 0.4))
    plot.save(ax, tmp_path / "a")
    assert ax.get_position().bounds == pytest.approx((0.2, 0.3, 0.5, 0.4))
    assert not ax.get_in_layout()


@pytest.mark.parametrize("name", ["a.pdf", "a.jpeg", ""])
def test_other_formats_and_no_name_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScenarioError, match="figure"):
        plot.check_writable(name)


def test_a_folder_is_no_figure(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ScenarioError, match="is a folder, not a figure"):
        plot.check_writable(tmp_path / "a")
    with pytest.raises(ScenarioError, match="is a folder, not a figure"):
        plot.save(style.axes_for(None), tmp_path / "a.png")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "taken").write_text("")
    for path, folder in ((tmp_path / "taken", True), (tmp_path / "taken" / "a", False)):
        with pytest.raises(ScenarioError, match="is a file, not a folder"):
            plot.check_writable(path, folder=folder)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_names_that_no_system_takes_are_refused(tmp_path, name):
    for folder in (True, False):
        with pytest.raises(ScenarioError, match=r"cannot be (used|a name)"):
            plot.check_writable(tmp_path / name, folder=folder)


def test_a_missing_permission_is_said_before_anything_is_written(tmp_path, monkeypatch):
    (tmp_path / "old.png").write_text("")
    monkeypatch.setattr("os.access", lambda path, _: path.name != "old.png")
    with pytest.raises(ScenarioError, match="may not be overwritten"):
        plot.check_writable(tmp_path / "old.png")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ScenarioError, match="no permission"):
        plot.check_writable(tmp_path / "missing" / "new", folder=True)
    assert [file.name for file in tmp_path.iterdir()] == ["old.png"]


def test_checking_writes_nothing(tmp_path):
    plot.check_writable(tmp_path / "a" / "b", folder=True)
    plot.check_writable(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fails_is_an_error_with_a_remedy(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.raises(ScenarioError, match="No space left on device"):
        plot.save(style.axes_for(None), tmp_path / "a.svg")


def test_figures_leave_matplotlib_as_it_was(tmp_path):
    code = (
        "import sys, dmoa.plot\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import matplotlib\n"
        "before = dict(matplotlib.rcParams)\n"
        "from dmoa.plot.style import axes_for\n"
        "dmoa.plot.save(axes_for(None), sys.argv[1])\n"
        "assert dict(matplotlib.rcParams) == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.svg")], check=True)
