"""Small GGUF files, whole and damaged, whose weights are none or drawn at random."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

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


def write_mamba(path: Path) -> Path:
    """Write a recurrent model of one layer that speaks in bytes, at random."""
    width, inner, state, kernel, rank = 32, 64, 8, 4, 2
    special = ["<unk>", "<s>", "</s>"]
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581"]
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (len(tokens), width),
        "output_norm.weight": (width,),
        "blk.0.attn_norm.weight": (width,),
        "blk.0.ssm_in.weight": (2 * inner, width),
        "blk.0.ssm_conv1d.weight": (inner, kernel),
        "blk.0.ssm_conv1d.bias": (inner,),
        "blk.0.ssm_x.weight": (rank + 2 * state, inner),
        "blk.0.ssm_dt.weight": (inner, rank),
        "blk.0.ssm_dt.bias": (inner,),
        "blk.0.ssm_a": (inner, state),
        "blk.0.ssm_d": (inner,),
        "blk.0.ssm_out.weight": (width, inner),
    }
    chance = np.random.default_rng(5)
    tensors = {name: chance.normal(size=shape) for name, shape in shapes.items()}
    tensors["blk.0.ssm_a"] = -np.abs(tensors["blk.0.ssm_a"])  # what was said before fades
    entries = {
        "general.architecture": "mamba",
        "mamba.context_length": 512,
        "mamba.embedding_length": width,
        "mamba.feed_forward_length": 0,
        "mamba.attention.head_count": 0,
        "mamba.block_count": 1,
        "mamba.ssm.conv_kernel": kernel,
        "mamba.ssm.inner_size": inner,
        "mamba.ssm.state_size": state,
        "mamba.ssm.time_step_rank": rank,
        "mamba.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, 1],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries))
    head += b"".join(_text(key) + _value(value) for key, value in entries.items())
    data = b""
    for name, tensor in tensors.items():
        shape = tensor.shape[::-1]
        head += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", 0, len(data))
        data += tensor.astype("<f4").tobytes()
        data += b"\0" * (-len(data) % 32)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)
    return path


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
        kinds[int] = (5, "i")  # as the types of tokens are
        number, body = (8, None) if isinstance(value[0], str) else kinds[type(value[0])]
        head = struct.pack("<IIQ", 9, number, len(value))
        if body is None:
            return head + b"".join(_text(each) for each in value)
        return head + b"".join(struct.pack(f"<{body}", each) for each in value)
    number, code = kinds[type(value)]
    return struct.pack(f"<I{code}", number, value)
