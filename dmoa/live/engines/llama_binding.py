"""llama.cpp's model and context behind two small classes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmoa.errors import EngineError, ScenarioError
from dmoa.live.engines.llama_library import array_of, library, listen, reason
from dmoa.live.engines.llama_sampler import Sampler, Sampling

BATCH_TOKENS = 128
#: Tokens whose hidden states are computed at once.
STATES_MAX = 32
#: Results of llama_decode.
DONE, FULL, ABORTED = 0, 1, 2
_PIECE_BYTES = 256
_NO, _YES = False, True


class Model:
    """Weights and vocabulary of a model file.

    Args:
        path: Where it is.
        whole_window: Whether a model with a sliding window keeps what has left the window, so
            that a sequence can be cut anywhere; without it, less memory is used.
    """

    def __init__(self, path: Path, *, whole_window: bool = True) -> None:
        self.lib = library()
        self.whole_window = whole_window
        listen()
        self._model = self.lib.llama_model_load_from_file(
            str(path).encode(), self.lib.llama_model_default_params()
        )
        if not self._model:
            raise ScenarioError(
                f"llama.cpp cannot load this model ({reason()})",
                path="model",
                given=str(path),
                remedy="choose a model of an architecture that llama.cpp knows, or fetch the file "
                "again",
            )
        if self.lib.llama_model_has_encoder(self._model) or not self.lib.llama_model_has_decoder(
            self._model
        ):
            self.close()
            raise ScenarioError(
                "this model does not generate text from left to right",
                path="model",
                given=str(path),
                remedy="choose an instruction-tuned decoder, such as the default model",
            )
        self._vocabulary = self.lib.llama_model_get_vocab(self._model)
        self.width: int = self.lib.llama_model_n_embd(self._model)
        self.context_tokens: int = self.lib.llama_model_n_ctx_train(self._model)
        self.words: int = self.lib.llama_vocab_n_tokens(self._vocabulary)
        own = self.lib.llama_model_chat_template(self._model, None)
        self.template: str | None = own.decode("utf-8", "replace") if own else None
        self.begin, self.end = (
            self._special(self.lib.llama_vocab_bos), self._special(self.lib.llama_vocab_eos)
        )  # fmt: skip
        self.begins = bool(self.begin and self.lib.llama_vocab_get_add_bos(self._vocabulary))

    def _special(self, function: Any) -> str:
        token = function(self._vocabulary)
        return "" if token < 0 else self.text_of(token)

    def text_of(self, token: int) -> str:
        """Give how the vocabulary writes a token."""
        text: bytes = self.lib.llama_vocab_get_text(self._vocabulary, token)
        return text.decode("utf-8", "replace")

    @property
    def can_cut(self) -> bool:
        """Whether a sequence can be cut anywhere, as most can; else only forgotten as a whole.

        The state of a recurrent model is that after its last token, and a cache that holds just
        the sliding window has nothing from before it.
        """
        lib, model = self.lib, self._model
        recurrent = lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model)
        slides = lib.llama_model_n_swa(model) > 0 and not self.whole_window
        return not recurrent and not slides

    def tokenize(self, text: str, *, control: bool = True) -> list[int]:
        """Give the tokens of a text; with ``control``, what reads like a control token is one."""
        data = text.encode("utf-8", "replace")
        # No token is shorter than a byte. Powers of two: few lengths need few classes.
        room = 1 << (len(data) + 16).bit_length()
        tokens = array_of(self.lib.llama_token, room)()
        count = self.lib.llama_tokenize(
            self._vocabulary,
            data,
            len(data),
            tokens,
            room,
            _NO,
            control,
        )
        if count < 0:
            raise EngineError(f"llama.cpp cannot split a text of {len(data):,} bytes into tokens")
        return list(tokens[:count])

    def is_control(self, token: int) -> bool:
        """Say whether a token is a turn's marker or the like, not text."""
        return bool(self.lib.llama_vocab_is_control(self._vocabulary, token))

    def is_end(self, token: int) -> bool:
        """Say whether a token ends the response."""
        return bool(self.lib.llama_vocab_is_eog(self._vocabulary, token))

    def piece(self, token: int) -> bytes:
        """Give the bytes that a token stands for; possibly a part of a character."""
        size = _PIECE_BYTES
        while True:
            buffer = array_of(ctypes.c_char, size)()
            found = self.lib.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, _NO)
            if found >= 0:
                return bytes(buffer.raw[:found])
            size = -found

    def context(self, cells: int, threads: int, *, sequences: int, outputs: int) -> Context:
        """Make room for the tokens of several sequences.

        Args:
            cells: Tokens of all sequences together; what sequences share counts once.
            threads: How many compute.
            sequences: How many there may be.
            outputs: After how many tokens of a batch something can be drawn.

        Raises:
            ScenarioError: There is not enough memory.
        """
        params = self._params(cells, threads)
        params.n_seq_max, params.n_outputs_max, params.n_outputs_max_per_seq = sequences, outputs, 0
        # One pool of cells for all, so that what sequences have in common is there once.
        params.kv_unified = True
        return Context(self, self._init(params, cells), params.n_batch)

    def embedder(self, cells: int, threads: int) -> Context:
        """Make room for one sequence whose hidden states are wanted, not its next tokens.

        Raises:
            ScenarioError: There is not enough memory.
        """
        params = self._params(cells, threads)
        # Each token of a batch takes a row as long as the vocabulary.
        params.n_batch = params.n_ubatch = min(STATES_MAX, cells)
        params.embeddings, params.pooling_type = True, self.lib.LLAMA_POOLING_TYPE_NONE
        return Context(self, self._init(params, cells), params.n_batch)

    def _params(self, cells: int, threads: int) -> Any:
        params = self.lib.llama_context_default_params()
        params.n_ctx = cells
        params.n_batch = params.n_ubatch = min(BATCH_TOKENS, cells)
        params.n_threads = params.n_threads_batch = threads
        params.swa_full = self.whole_window
        params.no_perf = True
        return params

    def _init(self, params: Any, cells: int) -> Any:
        listen()
        context = self.lib.llama_init_from_model(self._model, params)
        if not context:
            raise ScenarioError(
                f"llama.cpp cannot make a context of {cells:,} tokens ({reason()})",
                path="context_tokens",
                given=cells,
                remedy="set a smaller context_tokens, fewer slots, or end other programs",
            )
        return context

    def sampler(self, sampling: Sampling) -> Sampler:
        """Make what draws the next tokens of one generation.

        Raises:
            EngineError: The grammar is no valid GBNF.
        """
        return Sampler(self, self._vocabulary, sampling)

    def close(self) -> None:
        """Give the memory back; contexts go first."""
        self.lib.llama_model_free(self._model)


def _floats(pointer: Any, count: int) -> NDArray[np.float32]:
    """Look at C's numbers as an array.

    Without `ctypes.cast`, which numpy would use: its result and its argument keep each other in
    memory until cycles are collected, and this is called for every token.
    """
    address = ctypes.addressof(pointer.contents)
    numbers = memoryview(array_of(ctypes.c_float, count).from_address(address))
    return np.frombuffer(numbers, np.float32)


class Part(NamedTuple):
    """What a batch computes of one sequence: its next tokens."""

    sequence: int
    position: int
    """How many tokens of it were computed before."""
    tokens: Sequence[int]
    outputs: int
    """After how many of them, from the last, something will be drawn."""


class Context:
    """The keys and values of sequences, and the computation that extends them."""

    def __init__(self, model: Model, context: Any, batch_tokens: int) -> None:
        self._lib, self._model, self._context = model.lib, model, context
        self.batch_tokens, self.handle = batch_tokens, context
        self._memory = self._lib.llama_get_memory(context)
        batch = self._batch = self._lib.llama_batch_init(batch_tokens, 0, 1)
        shape = (batch_tokens,)
        self._tokens = np.ctypeslib.as_array(batch.token, shape)
        self._positions = np.ctypeslib.as_array(batch.pos, shape)
        self._outputs = np.ctypeslib.as_array(batch.logits, shape)
        np.ctypeslib.as_array(batch.n_seq_id, shape)[:] = 1
        self._sequences = [batch.seq_id[place] for place in range(batch_tokens)]
        self._flag = ctypes.create_string_buffer(2)
        # The test runs inside the computation, between its operations. C's strlen on an empty
        # string or one of a letter is such a test, and unlike a Python function it never has to
        # wait for the interpreter, which may be busy elsewhere.
        strlen = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value
        self._test = self._lib.ggml_abort_callback(strlen)
        self._lib.llama_set_abort_callback(
            context, self._test, ctypes.cast(self._flag, ctypes.c_void_p)
        )

    def abort(self) -> None:
        """End the computation under way, or the next one, with `ABORTED`."""
        self._flag[0] = b"x"

    def arm(self) -> None:
        """Take back an abort."""
        self._flag[0] = b"\0"

    def compute(self, parts: Sequence[Part]) -> int:
        """Compute the next tokens of sequences in one batch; give the result of llama_decode.

        At most ``batch_tokens`` in all. Outputs are found by their token's place in the batch.
        """
        start = 0
        for part in parts:
            end = start + len(part.tokens)
            self._tokens[start:end] = part.tokens
            self._positions[start:end] = range(part.position, part.position + len(part.tokens))
            self._outputs[start:end] = 0
            self._outputs[end - part.outputs : end] = 1
            for place in range(start, end):
                self._sequences[place][0] = part.sequence
            start = end
        self._batch.n_tokens = start
        listen()
        result: int = self._lib.llama_decode(self._context, self._batch)
        return result

    def length(self, sequence: int) -> int:
        """Count the tokens of a sequence."""
        last: int = self._lib.llama_memory_seq_pos_max(self._memory, sequence)
        return last + 1

    def cut(self, sequence: int, length: int) -> bool:
        """Forget a sequence beyond a length; say whether that is possible, as it is for 0."""
        return bool(self._lib.llama_memory_seq_rm(self._memory, sequence, length, -1))

    def copy(self, source: int, target: int, length: int) -> None:
        """Let a sequence begin as another does; the common part is there once."""
        self._lib.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def logits(self, place: int) -> NDArray[np.float32]:
        """Give the scores of all words after a token; valid until the next computation."""
        found = self._lib.llama_get_logits_ith(self._context, place)
        return _floats(found, self._model.words)

    def states(self, count: int) -> NDArray[np.float32]:
        """Give the hidden states of the first tokens of the batch, ``(count, width)``."""
        width = self._model.width
        rows = [self._lib.llama_get_embeddings_ith(self._context, place) for place in range(count)]
        return np.stack([_floats(row, width) for row in rows])

    def close(self) -> None:
        """Give the memory back."""
        self._lib.llama_batch_free(self._batch)
        self._lib.llama_free(self._context)
