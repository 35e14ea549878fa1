"""What a GGUF file says of itself, and that a damaged one is refused with the reason."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoa.errors import ScenarioError
from dmoa.live.gguf import read_gguf
from tests.live.ggufs import gguf_bytes, write_gguf


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ScenarioError) as refused:
        read_gguf(path)
    assert str(path) in str(refused.value)
    return refused.value.problem


def test_what_it_says(tmp_path: Path) -> None:
    facts = read_gguf(write_gguf(tmp_path / "a.gguf"))
    assert (facts.name, facts.architecture, facts.quantization) == ("Tiny", "llama", "Q4_1")
    assert (facts.tensors, facts.parameters, facts.context_tokens) == (1, 32, 512)
    assert facts.size_bytes == (tmp_path / "a.gguf").stat().st_size
    assert not facts.has_template
    assert facts.metadata["tokenizer.ggml.tokens"] == "[20 strings]"
    assert facts.metadata["tokenizer.ggml.scores"] == "[20 numbers]"
    assert facts.metadata["general.tags"] == ["a", "b"]


def test_what_it_does_not_say(tmp_path: Path) -> None:
    facts = read_gguf(
        write_gguf(tmp_path / "a.gguf", {"general.architecture": "new", "general.file_type": 999})
    )
    assert (facts.quantization, facts.context_tokens, facts.license) == ("unknown", None, "")
    assert facts.cache_bytes(1000) == 0


def test_the_memory_of_keys_and_values(tmp_path: Path) -> None:
    facts = read_gguf(write_gguf(tmp_path / "a.gguf"))
    # 2 layers, 2 heads of 64 / 4 numbers, for keys and for values, 2 bytes each.
    assert facts.cache_bytes(100) == 100 * 2 * 2 * (16 + 16) * 2
    wider = write_gguf(tmp_path / "b.gguf", {"llama.attention.key_length": 32})
    assert read_gguf(wider).cache_bytes(100) == 100 * 2 * 2 * (32 + 16) * 2


def test_a_file_that_is_cut_off_is_refused_with_the_numbers(tmp_path: Path) -> None:
    whole = gguf_bytes()
    problem = refusal(tmp_path / "a.gguf", whole[:-1])
    assert f"{len(whole) - 1:,} bytes of the {len(whole):,}" in problem


@pytest.mark.parametrize("length", range(4, 100, 7))
def test_a_header_that_is_cut_off_is_refused(tmp_path: Path, length: int) -> None:
    assert f"ends at byte {length}" in refusal(tmp_path / "a.gguf", gguf_bytes()[:length])


def test_no_gguf_at_all(tmp_path: Path) -> None:
    assert "empty" in refusal(tmp_path / "a.gguf", b"")
    assert "letters GGUF" in refusal(tmp_path / "a.gguf", b"<html>404</html>")
    assert "version is 9" in refusal(tmp_path / "a.gguf", gguf_bytes(version=9))


def test_claims_of_a_damaged_header_are_not_believed(tmp_path: Path) -> None:
    head = b"GGUF" + struct.pack("<I", 3)
    huge = struct.pack("<Q", 1 << 60)
    few = struct.pack("<QQ", 0, 1) + struct.pack("<Q", 1) + b"k"
    assert "tensors" in refusal(tmp_path / "a", head + huge + huge)
    assert "metadata entries" in refusal(tmp_path / "a", head + struct.pack("<Q", 0) + huge)
    assert "bytes of text" in refusal(tmp_path / "a", head + struct.pack("<QQ", 0, 1) + huge)
    assert "unknown type 99" in refusal(tmp_path / "a", head + few + struct.pack("<I", 99))
    array = struct.pack("<II", 9, 4) + huge
    assert "array of" in refusal(tmp_path / "a", head + few + array)
    nested = struct.pack("<IIQ", 9, 9, 2)
    assert "list of unknown type 9" in refusal(tmp_path / "a", head + few + nested)
    tensor = struct.pack("<QQ", 1, 0) + struct.pack("<Q", 1) + b"t" + struct.pack("<I", 77)
    assert "77 dimensions" in refusal(tmp_path / "a", head + tensor)
    alignment = gguf_bytes({"general.alignment": 0})
    assert "alignment" in refusal(tmp_path / "a", alignment)


def test_a_file_that_is_not_there_or_not_ours(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ScenarioError, match="cannot be read") as refused:
            read_gguf(path)
        assert "dmoa models list" in refused.value.remedy


@given(place=st.integers(0, 900), letter=st.integers(0, 255))
def test_any_byte_may_be_damaged(tmp_path_factory: pytest.TempPathFactory, place: int,
                                 letter: int) -> None:  # fmt: skip
    data = bytearray(gguf_bytes())
    data[place % len(data)] = letter
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    path.write_bytes(data)
    try:
        read_gguf(path)
    except ScenarioError as error:
        assert error.remedy  # noqa: PT017 - some damage leaves a valid file
