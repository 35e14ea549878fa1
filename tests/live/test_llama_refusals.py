"""What the engine llama refuses before it serves, with the reason and the remedy."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dmoa.errors import ScenarioError
from dmoa.live.engines import llama_library, make_engine, memory
from dmoa.live.engines.llama import Llama
from dmoa.live.engines.spec import EngineSpec
from dmoa.live.gguf import read_gguf
from tests.live.ggufs import gguf_bytes, write_gguf


def test_a_missing_or_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        Llama(tmp_path / "absent.gguf")
    (tmp_path / "cut.gguf").write_bytes(gguf_bytes()[:-9])
    with pytest.raises(ScenarioError, match="bytes of the"):
        make_engine(EngineSpec(model=str(tmp_path / "cut.gguf")))


def test_a_file_with_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = write_gguf(tmp_path / "a.gguf")
    with pytest.raises(ScenarioError, match="hashes to"):
        make_engine(EngineSpec(model=str(file), sha256="0" * 64))


@pytest.mark.llama
@pytest.mark.skipif(
    importlib.util.find_spec("llama_cpp") is None, reason="no llama.cpp: pip install 'dmoa[llama]'"
)
def test_a_file_that_llama_cpp_cannot_load(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "a.gguf", {"general.architecture": "nonsense"})
    with pytest.raises(ScenarioError, match=r"cannot load this model \(.*nonsense"):
        Llama(file)


@pytest.mark.parametrize(
    "there", [(1 << 20, None), (1 << 40, 1 << 20)], ids=["in all", "available"]
)
def test_not_enough_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[int, int | None]
) -> None:
    monkeypatch.setattr(memory, "memory_bytes", lambda: there)
    file = write_gguf(tmp_path / "a.gguf", {"llama.context_length": 1 << 20})
    with pytest.raises(ScenarioError, match=r"not enough memory: .* MiB .* 1 MiB") as refused:
        Llama(file, context_tokens=1 << 20)
    assert refused.value.path == "context_tokens"


@pytest.mark.parametrize(
    ("fitting", "slots", "cells", "path", "says"),
    [
        (3.5, 8, 8 * 512, "station.slots", "3 slots of this context would fit"),
        (1.0, 8, 8 * 512, "station.slots", "1 slot of this context would fit"),
        (0.9, 8, 8 * 512, "context_tokens", "set a smaller context_tokens"),
        (1.5, 1, 2 * 512, "station.slots", "lower, or a smaller context_tokens"),
        (3.5, 4, 4 * 512, "station.slots", "set station.slots or station.cache_tokens lower"),
        (3.5, 4, 3 * 512, None, ""),
        (4.0, 4, 4 * 512, None, ""),
    ],
)
def test_how_many_slots_would_fit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    fitting: float,
    slots: int,
    cells: int,
    path: str | None,
    says: str,
) -> None:
    facts = read_gguf(write_gguf(tmp_path / "a.gguf"))
    room = int(fitting * facts.cache_bytes(512))
    monkeypatch.setattr(memory, "memory_bytes", lambda: (1 << 40, room))
    if path is None:
        memory.check_room(facts, cells=cells, context_tokens=512, slots=slots)
        return
    with pytest.raises(ScenarioError) as refused:
        memory.check_room(facts, cells=cells, context_tokens=512, slots=slots)
    assert refused.value.path == path
    assert refused.value.given == (slots if path == "station.slots" else 512)
    assert says in str(refused.value)


def test_memory_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "memory.max")
    whole, _ = memory.memory_bytes()
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.memory_bytes()[0] == whole
    (tmp_path / "memory.max").write_text("1048576\n")
    assert memory.memory_bytes()[0] == 1 << 20


def test_without_the_extra_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_library, "_loaded", [])
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(ScenarioError) as refused:
        Llama(write_gguf(tmp_path / "a.gguf"))
    assert refused.value.remedy == "pip install 'dmoa[llama]'"


def test_another_release_is_refused_before_its_structures_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_library, "_loaded", [])
    monkeypatch.setitem(sys.modules, "llama_cpp", SimpleNamespace(__version__="0.2.1"))
    with pytest.raises(ScenarioError, match=r"0\.3\.36.*'0\.2\.1' was given"):
        Llama(write_gguf(tmp_path / "a.gguf"))
