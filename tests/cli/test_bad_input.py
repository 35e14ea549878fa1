"""Bad input: exit code 2, what was given, what was expected, what to do; nothing written."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import SHORT, Run

FILES = {
    "broken.toml": 'name = "x"\n[plan]\nlayers = = 1\n',
    "empty.toml": "",
    "key.toml": "[plan]\nlayer = 1\n",
    "broken.graphml": "<graphml>\n<graph\n</graphml>\n",
    "empty.edgelist": "",
    "odd.edgelist": "a b\na b c\n",
    "lonely.edgelist": "a a\n",
    "broken.json": '{"nodes": [',
    "words.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,many,5\n",
    "short.csv": "TIMESTAMP\n",
    "note.txt": "not a trace\n",
}

CASES = [
    ("bound --topology rign", "did you mean 'ring'?"),
    ("bound --topology ring --nodes 1", "overlay.nodes: must be a whole number from 2"),
    ("bound --proposers -1", "plan.proposers: must be a whole number from 0"),
    ("bound --layers -1", "plan.layers: must be a whole number from 0"),
    ("bound --nodes many", "'many' is not a valid integer"),
    ("bound --arrival-rate 0", "arrivals.arrival_rate_hz: must be a number above 0"),
    ("bound --arrival-rate -1", "arrivals.arrival_rate_hz: must be a number above 0"),
    ("bound --arrival-rate nan", "arrivals.arrival_rate_hz: must be finite"),
    ("bound --arrival-rate inf", "arrivals.arrival_rate_hz: must be finite"),
    ("bound --service-time 0", "service.service_time_s: must be a number above 0"),
    ("bound --service-time nan", "service.service_time_s: must be finite"),
    ("bound --service exponental", "did you mean 'exponential'?"),
    ("bound --service gamma", "service.cv"),
    ("bound --service-time 1 --service tokens", "service.service_time_s"),
    ("bound --selection best", "plan.selection"),
    ("bound --horizon 0", "run.horizon_s"),
    ("bound --replications 0", "run.replications"),
    ("bound --seed -1", "run.seed"),
    ("bound --set plan.layers", "must be key=value"),
    ("bound --set plan.layer=1", "plan.layer"),
    ("bound ''", "there is no such preset"),
    ("bound rnig", "did you mean 'ring'?"),
    ("bound missing.toml", "there is no such file"),
    ("bound broken.toml", "line 3, column 10"),
    ("bound empty.toml", "the file is empty"),
    ("bound key.toml", "plan.layer: unknown key"),
    ("bound --topology missing.graphml", "there is no such file"),
    ("bound --topology broken.graphml", "line 3"),
    ("bound --topology empty.edgelist", "empty.edgelist"),
    ("bound --topology odd.edgelist", "line 2"),
    ("bound --topology lonely.edgelist", "2 to 1,000,000 nodes"),
    ("bound --topology broken.json", "line 1"),
    ("bound --set arrivals.process=trace --set arrivals.file=words.csv", "line 2, column 24"),
    ("bound --set arrivals.process=trace --set arrivals.file=short.csv", "lacks ContextTokens"),
    ("simulate --workers 0", "--workers"),
    ("simulate ring --workers 1 --trace no/such/folder/t.dmoa", "cannot be written"),
    ("simulate ring --figures note.txt --trace t.dmoa", "note.txt"),
    ("capacity --set arrivals.process=burst --set arrivals.prompts=5", "arrivals.process"),
    ("capacity --width 2", "width"),
    ("capacity --engine compiled --set plan.patience=2", "plan.patience"),
    ("capacity --engine c", "'auto', 'simpy', 'compiled'"),
    ("sweep ring", "--grid"),
    ("sweep ring --grid plan.layers", "must be path=values"),
    ("sweep ring --grid plan.layer=1,2", "plan.layer"),
    ("sweep ring --grid plan.layers=0:1", "is no range"),
    ("sweep ring --grid plan.layers=0,1 --store note.txt", "is not an SQLite file"),
    ("sweep ring --grid plan.layers=0,1 --figure curve.pdf", ".png or .svg"),
    ("plot stability missing.db", "there is no such file"),
    ("plot phase missing.db", "there is no such file"),
    ("plot phase note.txt", "is not an SQLite file"),
    ("plot queue missing.dmoa", "missing.dmoa: cannot be read"),
    ("plot queue note.txt", "is no header of a dmoa trace"),
    ("plot timeline note.txt --prompt 3", "is no prompt such as 3:17"),
    ("plot timeline note.txt --prompt 3:x", "is no prompt such as 3:17"),
    ("plot heatmap ring --layers a..b", "is no list of whole numbers"),
    ("plot heatmap ring --layers 4..0", "has to hold 1 to 400 numbers"),
    ("plot heatmap ring --layers 0..100000000", "has to hold 1 to 400 numbers"),
    ("plot overlay ring -o overlay.jpeg", ".png or .svg"),
    ("plot overlay ring -o note.txt/overlay.png", "is a file, not a folder"),
    ("plot circle", "circle"),
    ("topology show rign", "did you mean 'ring'?"),
    ("topology draw", "Missing argument"),
    ("replay note.txt", "is no header of a dmoa trace"),
    ("replay missing.dmoa", "cannot be read"),
    ("export note.txt out.jsonl", "is no header of a dmoa trace"),
]


@pytest.mark.parametrize(("line", "expected"), CASES, ids=[line for line, _ in CASES])
@pytest.mark.parametrize("as_json", [False, True])
def test_it_is_refused_and_nothing_is_written(
    dmoa: Run, workdir: Path, line: str, expected: str, *, as_json: bool
) -> None:
    for name, text in FILES.items():
        (workdir / name).write_text(text, encoding="utf-8")
    if as_json and line.split(maxsplit=1)[0] != "plot" and line != "topology draw":
        line += " --json"
    result = dmoa(*shlex.split(line))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert expected in " ".join(result.stderr.split())
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert {file.name for file in workdir.iterdir()} == set(FILES)


def test_the_remedy_stands_on_a_line_of_its_own(dmoa: Run) -> None:
    lines = dmoa("bound", "--topology", "rign").stderr.splitlines()
    assert lines[0] == "error: overlay.topology: unknown topology, but 'rign' was given"
    assert lines[1].startswith("did you mean 'ring'?")


def test_an_unknown_topology_is_named_before_its_parameters(dmoa: Run) -> None:
    result = dmoa("bound", "--topology", "rign", "--nodes", "7")
    assert "did you mean 'ring'?" in result.stderr


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("a b\nc d\n", "the overlay is disconnected: 2 parts"),
        ("a b\na a\n", "1 self-loop was dropped"),
        ("a b\nb a\na b\n", "dropped"),
    ],
)
def test_unusual_overlays_are_allowed_and_said(
    dmoa: Run, workdir: Path, text: str, note: str
) -> None:
    (workdir / "odd.edgelist").write_text(text, encoding="utf-8")
    result = dmoa("simulate", "--topology", "odd.edgelist", *SHORT)
    assert result.exit_code == 0
    assert note in " ".join(result.stdout.split())
