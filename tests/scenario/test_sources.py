"""Presets, scenario files and what they name."""

import pytest

from dmoa.errors import ScenarioError
from dmoa.scenario import from_dict, load, presets, resolve, to_dict

TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374,44\n"


@pytest.fixture
def write(tmp_path):
    def written(text, name="mine.toml"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return written


def refused(source, overrides=()):
    with pytest.raises(ScenarioError) as caught:
        load(source, overrides)
    return caught.value


def test_there_are_presets_for_the_paper_and_for_each_kind_of_overlay():
    wanted = {"ring", "complete", "star", "grid", "scale-free", "tokens", "office-day"}
    assert wanted | {"paper-table-1", "paper-table-2"} == set(presets())
    assert list(presets()) == sorted(presets())


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_loads_and_resolves_under_its_own_name(name, write):
    trace = write(TRACE + "2023-11-16 18:15:56.68,10,20", "trace.csv")
    scenario = load(name, {"arrivals.file": str(trace)} if name == "office-day" else ())
    assert scenario.name == name
    assert scenario.description == presets()[name]
    assert len(resolve(scenario).names) >= 4


def test_the_preset_of_table_1_is_the_one_of_the_paper():
    table = load("paper-table-1")
    setup = resolve(table)
    assert [len(own) for own in setup.peers] == [3, 3, 3, 3]
    assert sum(setup.arrival_rate_hz) == 1.0
    assert (table.arrivals.process, table.arrivals.prompts) == ("burst", 10)
    assert (setup.service(0).mean, table.service.cv, table.links.delay_s) == (45.0, 0.5, 0.0)


def test_overrides_are_texts_or_a_mapping():
    texts = load("ring", ["plan.layers=2"])
    assert texts == load("ring", {"plan.layers": 2})
    assert texts.plan.layers == 2


def test_nested_values_and_scenarios_load_too():
    scenario = from_dict({"plan": {"layers": 3}})
    assert load({"plan": {"layers": 3}}) == scenario
    assert load(scenario) == scenario
    assert load(to_dict(scenario), ["plan.layers=4"]).plan.layers == 4


def test_a_file_loads_by_text_and_by_path(write):
    file = write("[plan]\nlayers = 2\n")
    assert load(file).plan.layers == load(str(file)).plan.layers == 2


def test_a_file_with_a_byte_order_mark_loads(write):
    assert load(write(b"\xef\xbb\xbf[plan]\nlayers = 2\n")).plan.layers == 2


def test_an_unknown_preset_is_refused_with_the_nearest():
    error = refused("rnig")
    assert error.path == "scenario"
    assert "did you mean 'ring'?" in error.remedy
    assert "or give a .toml file" in error.remedy


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("[plan\nlayers = 1", "is not valid TOML at line 1, column 6"),
        ("[plan]\nlayers = \n", "is not valid TOML at line 2, column 10"),
        ("[plan]\nname = 'x", "is not valid TOML at line 2, column 10"),
        ("[plan]\n[plan]\n", "is not valid TOML at line 2, column "),
        (b"[plan]\nna\xffme = 1", "must be UTF-8 text, which line 2, column 3 is not"),
    ],
)
def test_a_malformed_file_is_refused_with_line_and_column(write, text, problem):
    file = write(text)
    error = refused(file)
    assert error.problem.startswith(problem)
    assert (error.path, error.given) == ("scenario", str(file))


def test_brackets_that_nest_too_deep_are_refused(write):
    assert "is not valid TOML" in str(refused(write("a = " + "[" * 100_000)))


def test_a_missing_file_a_folder_and_an_impossible_name_are_refused(tmp_path):
    assert refused(tmp_path / "no.toml").problem == "there is no such file"
    assert refused(tmp_path).problem.startswith("cannot be read (")
    assert refused("a\0b.toml").problem.startswith("cannot be read (")


def test_a_file_that_is_too_large_is_refused(write, monkeypatch):
    monkeypatch.setattr("dmoa.scenario.sources._BYTES_MAX", 10)
    assert "at most 10 bytes" in str(refused(write("[plan]\nlayers = 2\n")))


def test_files_that_a_scenario_names_are_looked_for_beside_it(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    write("a b\nb c\n", "there/net.edgelist")
    write(TRACE, "there/trace.csv")
    file = write(
        '[overlay]\ntopology = "net.edgelist"\n'
        '[arrivals]\nprocess = "trace"\nfile = "trace.csv"\n'
        '[service]\ndistribution = "empirical"\nfile = "elsewhere.txt"\n',
        "there/mine.toml",
    )
    scenario = load(file)
    assert scenario.overlay.topology == str(tmp_path / "there" / "net.edgelist")
    assert scenario.arrivals.file == str(tmp_path / "there" / "trace.csv")
    assert scenario.service.file == "elsewhere.txt"


def test_a_section_that_is_no_table_is_left_to_the_checks(write):
    error = refused(write("overlay = 3"))
    assert (error.path, error.problem) == ("overlay", "must be a table")


def test_a_file_name_that_cannot_be_one_is_left_to_who_reads_it(write):
    scenario = load(write('[overlay]\ntopology = "a\\u0000b.json"'))
    with pytest.raises(ScenarioError, match=r"cannot be read \(embedded null byte\)") as caught:
        resolve(scenario)
    assert caught.value.path == "overlay.topology"
