"""Read what a GGUF file says of itself, and whether all of it is there.

The layout: magic, version, counts, metadata, one description per tensor, then the tensors' data.
Nothing is allocated because the file claims a size; every read is held against the file's end.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from dmoa.errors import ScenarioError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
#: Beyond these, a file is taken for damaged: no model comes near.
ENTRIES_MAX, TENSORS_MAX, DIMENSIONS_MAX, NAME_BYTES_MAX = 100_000, 1_000_000, 4, 65_535
#: An array with more elements is described by its length alone.
ELEMENTS_KEPT = 8

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
            12: "d"}  # fmt: skip
_READERS = {number: struct.Struct("<" + code) for number, code in _SCALARS.items()}
_STRING, _ARRAY = 8, 9
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")

#: Elements and bytes of one block of each type of tensor.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip

#: The names that llama.cpp gives to `general.file_type`.
_QUANTIZATIONS = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M",
    30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
}  # fmt: skip


class Gguf(msgspec.Struct, frozen=True, kw_only=True):
    """What a GGUF file says of itself; long arrays of its metadata by their length alone."""

    size_bytes: int
    version: int
    tensors: int
    parameters: int
    metadata: dict[str, Any]

    @property
    def architecture(self) -> str:
        """The kind of model, such as llama."""
        return str(self.metadata.get("general.architecture", "unknown"))

    @property
    def name(self) -> str:
        """The model's name; empty if the file has none."""
        return str(self.metadata.get("general.name", ""))

    @property
    def license(self) -> str:
        """The model's licence as the file states it; empty if it does not."""
        return str(self.metadata.get("general.license", ""))

    @property
    def quantization(self) -> str:
        """How weights are stored, such as Q4_1."""
        return _QUANTIZATIONS.get(self.metadata.get("general.file_type", -1), "unknown")

    @property
    def context_tokens(self) -> int | None:
        """The context that the model was trained for."""
        return self._whole("context_length")

    @property
    def has_template(self) -> bool:
        """Whether the file has a chat template."""
        return bool(self.metadata.get("tokenizer.chat_template"))

    def cache_bytes(self, context_tokens: int) -> int:
        """Estimate the memory of keys and values of a full context, two bytes a number."""
        layers, width = self._whole("block_count"), self._whole("embedding_length")
        heads = self._whole("attention.head_count")
        if not layers or not width or not heads:
            return 0
        shared = self._whole("attention.head_count_kv") or heads
        each = width // heads
        key = self._whole("attention.key_length") or each
        value = self._whole("attention.value_length") or each
        return context_tokens * layers * shared * (key + value) * 2

    def _whole(self, key: str) -> int | None:
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) else None


def read_gguf(path: Path) -> Gguf:
    """Read a GGUF file's metadata and check that its tensors are all there.

    Raises:
        ScenarioError: The file cannot be read, is no GGUF file, or is cut off.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if not size:
                raise _damaged(path, "the file is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(path, data, size).read()
    except OSError as error:
        raise ScenarioError(
            f"the model file cannot be read ({error.strerror or error})",
            path="model",
            given=str(path),
            remedy="name a GGUF file that exists and that you may read; "
            "see `dmoa models list` for what is on this machine",
        ) from error


def _damaged(path: Path, problem: str) -> ScenarioError:
    return ScenarioError(
        f"not a complete GGUF file: {problem}",
        path="model",
        given=str(path),
        remedy="fetch the file again and compare its size or sha256 with its source",
    )


class _Reader:
    """A place in the file, and what can be read there."""

    def __init__(self, path: Path, data: mmap.mmap, size: int) -> None:
        self.path, self.data, self.size, self.at = path, data, size, 0

    def read(self) -> Gguf:
        if self.take(4) != MAGIC:
            raise _damaged(self.path, "it does not begin with the letters GGUF")
        version = self.number(_U32)
        if version not in VERSIONS:
            raise _damaged(self.path, f"its version is {version}, known are 2 and 3")
        tensors = self.count(TENSORS_MAX, "tensors")
        entries = self.count(ENTRIES_MAX, "metadata entries")
        metadata = {self.text(): self.value(self.number(_U32)) for _ in range(entries)}
        ends, parameters = 0, 0
        for end, elements in self.tensors(tensors):
            ends, parameters = max(ends, end), parameters + elements
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
            raise _damaged(self.path, "its alignment is impossible")
        needed = -(-self.at // alignment) * alignment + ends
        if needed > self.size:
            raise _damaged(
                self.path,
                f"it has {self.size:,} bytes of the {needed:,} that its {tensors} tensors need",
            )
        return Gguf(
            size_bytes=self.size,
            version=version,
            tensors=tensors,
            parameters=parameters,
            metadata=metadata,
        )

    def tensors(self, count: int) -> Iterator[tuple[int, int]]:
        """Give where each tensor ends, after the beginning of the data, and its elements."""
        for _ in range(count):
            self.text(NAME_BYTES_MAX)
            dimensions = self.number(_U32)
            if dimensions > DIMENSIONS_MAX:
                raise _damaged(self.path, f"a tensor of {dimensions} dimensions")
            elements = 1
            for _ in range(dimensions):
                elements *= self.number(_U64)
            # A type this table does not know counts as empty; llama.cpp judges it at loading.
            block, width = _BLOCKS.get(self.number(_U32), (1, 0))
            yield self.number(_U64) + elements // block * width, elements

    def skip(self, count: int) -> None:
        if count > self.size - self.at:
            raise _damaged(self.path, f"it ends at byte {self.size:,}, inside its own header")
        self.at += count

    def take(self, count: int) -> bytes:
        self.skip(count)
        return self.data[self.at - count : self.at]

    def number(self, reader: struct.Struct) -> Any:
        return reader.unpack(self.take(reader.size))[0]

    def count(self, most: int, what: str) -> int:
        found: int = self.number(_U64)
        if found > most:
            raise _damaged(self.path, f"it claims {found:,} {what}")
        return found

    def text(self, most: int = 1 << 26) -> str:
        return self.take(self.count(most, "bytes of text")).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind in _READERS:
            return self.number(_READERS[kind])
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self.array()
        raise _damaged(self.path, f"a value of unknown type {kind}")

    def array(self) -> Any:
        kind, length = self.number(_U32), self.number(_U64)
        if length > self.size:
            raise _damaged(self.path, f"it claims an array of {length:,} elements")
        if length <= ELEMENTS_KEPT and kind != _ARRAY:
            return [self.value(kind) for _ in range(length)]
        if kind == _STRING:
            for _ in range(length):
                self.skip(self.number(_U64))
            return f"[{length:,} strings]"
        if kind not in _READERS:
            raise _damaged(self.path, f"a list of unknown type {kind}")
        self.skip(_READERS[kind].size * length)
        return f"[{length:,} numbers]"
