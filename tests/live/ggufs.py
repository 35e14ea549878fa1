"""Small GGUF files, whole and damaged, without any weights worth the name."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

TENSOR_BYTES = 32 * 4


def gguf_bytes(metadata: dict[str, Any] | None = None, *, version: int = 3) -> bytes:
    """Write a file of one tensor with 32 numbers."""
    entries = {
        "general.architecture": "llama",
        "general.name": "Tiny",
        "general.file_type": 3,
        "llama.context_length": 512,
        "llama.block_count": 2,
        "llama.embedding_length": 64,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "tokenizer.ggml.tokens": [f"t{i}" for i in range(20)],
        "tokenizer.ggml.scores": [0.5] * 20,
        "general.tags": ["a", "b"],
        **(metadata or {}),
    }
    head = b"GGUF" + struct.pack("<IQQ", version, 1, len(entries))
    head += b"".join(_text(key) + _value(value) for key, value in entries.items())
    head += _text("weights") + struct.pack("<IQIQ", 1, 32, 0, 0)
    return head + b"\0" * (-len(head) % 32) + b"\0" * TENSOR_BYTES


def write_gguf(path: Path, metadata: dict[str, Any] | None = None) -> Path:
    """Write such a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gguf_bytes(metadata))
    return path


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: Any) -> bytes:
    kinds = {bool: (7, "?"), int: (4, "I"), float: (6, "f")}
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value, list):
        number, body = (8, None) if isinstance(value[0], str) else kinds[type(value[0])]
        head = struct.pack("<IIQ", 9, number, len(value))
        if body is None:
            return head + b"".join(_text(each) for each in value)
        return head + b"".join(struct.pack(f"<{body}", each) for each in value)
    number, code = kinds[type(value)]
    return struct.pack(f"<I{code}", number, value)
