"""What an engine needs is looked at before any node is started."""

import pytest

from dmoa.errors import ScenarioError
from dmoa.live.engines import check_engine, llama_library
from dmoa.live.engines.spec import EngineSpec


def test_a_script_needs_nothing():
    check_engine(EngineSpec(kind="scripted"))


def test_a_url_has_to_be_given():
    with pytest.raises(ScenarioError, match="url: the engine openai needs it"):
        check_engine(EngineSpec(kind="openai", model="some"))
    check_engine(EngineSpec(kind="openai", model="some", url="http://127.0.0.1:9/v1"))


def test_a_missing_binding_is_named_with_the_command_that_helps(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(llama_library, "_loaded", [])
    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(ScenarioError) as caught:
        check_engine(EngineSpec())
    assert caught.value.remedy == "pip install 'dmoa[llama]'"


@pytest.mark.llama
def test_a_missing_model_is_named(tmp_path):
    pytest.importorskip("llama_cpp", reason="needs the extra dmoa[llama]")
    with pytest.raises(ScenarioError, match=r"gone\.gguf"):
        check_engine(EngineSpec(model=str(tmp_path / "gone.gguf")))
    check_engine(EngineSpec())
