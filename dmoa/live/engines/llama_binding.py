"""llama.cpp behind three small classes: the only place that calls it.

Its structures move between releases, so exactly one release of llama-cpp-python is accepted.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from dmoa.errors import EngineError, ScenarioError

SUPPORTED = "0.3.36"
INSTALL = "pip install 'dmoa[llama]'"
BATCH_TOKENS = 512
#: How soon a cancelled generation is noticed inside a long computation, s.
NOTICE_S = 0.02
#: Results of llama_decode.
DONE, FULL, ABORTED = 0, 1, 2
_PIECE_BYTES = 256
_PENALTY_TOKENS = 64
_ERROR = 4
_NO, _YES = False, True

_log = logging.getLogger("dmoa.llama")
_said: list[str] = []
_loading = threading.Lock()
_loaded: list[Any] = []
_kept: list[Any] = []  # what C calls as long as the process lives


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How the next token is drawn; temperature 0 takes the likeliest."""

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.1
    seed: int = 0
    grammar: str | None = None


def library() -> Any:
    """Import llama.cpp once, its log sent to ours.

    Raises:
        ScenarioError: It is not installed, or another release is.
    """
    with _loading:
        if not _loaded:
            _loaded.append(_import())
        return _loaded[0]


def _import() -> Any:
    try:
        lib = importlib.import_module("llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        raise ScenarioError(
            f"the engine llama needs llama-cpp-python ({error})", path="engine", remedy=INSTALL
        ) from error
    if lib.__version__ != SUPPORTED:
        raise ScenarioError(
            f"the engine llama works with llama-cpp-python {SUPPORTED}, whose structures it knows",
            path="engine",
            given=lib.__version__,
            remedy=INSTALL,
        )
    _kept.append(lib.llama_log_callback(_hear))
    lib.llama_log_set(_kept[0], ctypes.c_void_p(0))
    lib.llama_backend_init()
    return lib


def _hear(level: int, text: bytes, _data: object) -> None:
    line = text.decode("utf-8", "replace").strip()
    if line and level == _ERROR and not _said:
        _said.append(line)
    if line:
        _log.debug("%s", line)


def reason() -> str:
    """Give the first error of llama.cpp since its work began: the others follow it."""
    return _said[0][:300] if _said else "llama.cpp gave no reason"


class Model:
    """Weights and vocabulary of a model file."""

    def __init__(self, path: Path) -> None:
        self.lib = library()
        _said.clear()
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
        self.context_tokens: int = self.lib.llama_model_n_ctx_train(self._model)
        self.words: int = self.lib.llama_vocab_n_tokens(self._vocabulary)
        own = self.lib.llama_model_chat_template(self._model, None)
        self.template: str | None = own.decode("utf-8", "replace") if own else None
        self.begin, self.end = (
            self._special(self.lib.llama_vocab_bos), self._special(self.lib.llama_vocab_eos)
        )  # fmt: skip
        self.begins = bool(self.begin and self.lib.llama_vocab_get_add_bos(self._vocabulary))
        self._piece = ctypes.create_string_buffer(_PIECE_BYTES)

    def _special(self, function: Any) -> str:
        token = function(self._vocabulary)
        return "" if token < 0 else self.text_of(token)

    def text_of(self, token: int) -> str:
        """Give how the vocabulary writes a token."""
        text: bytes = self.lib.llama_vocab_get_text(self._vocabulary, token)
        return text.decode("utf-8", "replace")

    def tokenize(self, text: str) -> list[int]:
        """Give the tokens of a text; what reads like a control token becomes one."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 16  # no token is shorter than a byte
        tokens = (self.lib.llama_token * room)()
        count = self.lib.llama_tokenize(
            self._vocabulary,
            data,
            len(data),
            tokens,
            room,
            _NO,
            _YES,
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
        """Give the bytes that a token stands for; possibly a part of a character. Not reentrant."""
        size = self.lib.llama_token_to_piece(
            self._vocabulary,
            token,
            self._piece,
            _PIECE_BYTES,
            0,
            _NO,
        )
        if size >= 0:
            return self._piece.raw[:size]
        longer = ctypes.create_string_buffer(-size)
        size = self.lib.llama_token_to_piece(
            self._vocabulary,
            token,
            longer,
            -size,
            0,
            _NO,
        )
        return longer.raw[:size]

    def context(self, tokens: int, threads: int) -> Context:
        """Make room for a sequence of tokens.

        Raises:
            ScenarioError: There is not enough memory.
        """
        params = self.lib.llama_context_default_params()
        params.n_ctx = tokens
        params.n_batch = params.n_ubatch = min(BATCH_TOKENS, tokens)
        params.n_seq_max = params.n_outputs_max = 1
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        _said.clear()
        context = self.lib.llama_init_from_model(self._model, params)
        if not context:
            raise ScenarioError(
                f"llama.cpp cannot make a context of {tokens:,} tokens ({reason()})",
                path="context_tokens",
                given=tokens,
                remedy="set a smaller context_tokens or end other programs",
            )
        return Context(self, context, params.n_batch)

    def sampler(self, sampling: Sampling) -> Sampler:
        """Make what draws the next tokens of one generation.

        Raises:
            EngineError: The grammar is no valid GBNF.
        """
        return Sampler(self, self._vocabulary, sampling)

    def close(self) -> None:
        """Give the memory back; contexts go first."""
        self.lib.llama_model_free(self._model)


class Context:
    """The keys and values of one sequence, and the computation that extends it."""

    def __init__(self, model: Model, context: Any, batch_tokens: int) -> None:
        self._lib, self._context, self.batch_tokens = model.lib, context, batch_tokens
        self.handle = context
        self._batch = self._lib.llama_batch_init(batch_tokens, 0, 1)
        for place in range(batch_tokens):
            self._batch.n_seq_id[place] = 1
            self._batch.seq_id[place][0] = 0
        self._flag = ctypes.create_string_buffer(2)
        # The test runs inside the computation, between its operations. C's strlen on an empty
        # string or one of a letter is such a test, and unlike a Python function it never has to
        # wait for the interpreter, which may be busy elsewhere.
        strlen = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value
        self._test = self._lib.ggml_abort_callback(strlen)

    def clear(self) -> None:
        """Forget the sequence."""
        _said.clear()
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self._context), _YES)

    @contextmanager
    def abortable(self, cancelled: threading.Event) -> Iterator[None]:
        """Let an event abort the computation, also inside a long one."""
        # A flag of its own: a watcher that wakes late can only abort what has ended.
        flag = self._flag = ctypes.create_string_buffer(2)
        ended = threading.Event()

        def watch() -> None:
            while not ended.is_set():
                if cancelled.wait(NOTICE_S):
                    flag[0] = b"x"
                    return

        self._lib.llama_set_abort_callback(
            self._context, self._test, ctypes.cast(flag, ctypes.c_void_p)
        )
        threading.Thread(target=watch, name="dmoa-cancel", daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def extend(self, tokens: Sequence[int], position: int, *, draw: bool) -> int:
        """Compute the next tokens, at most `batch_tokens`; give the result of llama_decode.

        Args:
            tokens: They follow what is there.
            position: How many are there.
            draw: Whether a token will be drawn after the last of them.
        """
        batch = self._batch
        for place, token in enumerate(tokens):
            batch.token[place] = token
            batch.pos[place] = position + place
            batch.logits[place] = 0
        batch.logits[len(tokens) - 1] = draw
        batch.n_tokens = len(tokens)
        result: int = self._lib.llama_decode(self._context, batch)
        return result

    def close(self) -> None:
        """Give the memory back."""
        self._lib.llama_batch_free(self._batch)
        self._lib.llama_free(self._context)


class Sampler:
    """llama.cpp's chain of samplers, for one generation."""

    def __init__(self, model: Model, vocabulary: Any, sampling: Sampling) -> None:
        lib = self._lib = model.lib
        self._model = model
        self._grammar = self._make_grammar(vocabulary, sampling.grammar)
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        if sampling.repeat_penalty != 1:
            self._add(
                lib.llama_sampler_init_penalties(
                    model.words, _PENALTY_TOKENS, sampling.repeat_penalty, 0.0, 0.0
                )
            )
        if sampling.temperature <= 0:
            self._add(lib.llama_sampler_init_greedy())
            return
        if sampling.top_k > 0:
            self._add(lib.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1:
            self._add(lib.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0:
            self._add(lib.llama_sampler_init_min_p(sampling.min_p, 1))
        self._add(lib.llama_sampler_init_temp(sampling.temperature))
        self._add(lib.llama_sampler_init_dist(sampling.seed))

    def _add(self, sampler: Any) -> None:
        self._lib.llama_sampler_chain_add(self._chain, sampler)

    def _make_grammar(self, vocabulary: Any, grammar: str | None) -> Any:
        if grammar is None:
            return None
        made = None
        if grammar.strip():  # an empty one would allow everything
            made = self._lib.llama_sampler_init_grammar(
                vocabulary, grammar.encode("utf-8", "replace"), b"root"
            )
        if not made:
            raise EngineError("the grammar is no valid GBNF with a rule `root`; correct it")
        return made

    def draw(self, context: Context) -> int:
        """Draw the token that follows what the context has computed last."""
        if self._grammar is not None:
            return self._draw_by_grammar(context)
        token: int = self._lib.llama_sampler_sample(self._chain, context.handle, -1)
        return token

    def _draw_by_grammar(self, context: Context) -> int:
        """Draw among the tokens that the grammar allows.

        Were a token accepted that it forbids, llama.cpp would end the process.
        """
        import numpy as np  # llama-cpp-python brings it; without a grammar it is not used

        lib, words = self._lib, self._model.words
        kinds = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        table = np.zeros(words, dtype=kinds)
        table["id"] = np.arange(words)
        table["logit"] = np.ctypeslib.as_array(
            lib.llama_get_logits_ith(context.handle, -1), shape=(words,)
        )
        array = lib.llama_token_data_array(
            data=table.ctypes.data_as(lib.llama_token_data_p), size=words, selected=-1, sorted=False
        )
        lib.llama_sampler_apply(self._grammar, ctypes.byref(array))
        if not np.isfinite(table["logit"]).any():
            raise EngineError("the grammar allows nothing that this model could write next")
        lib.llama_sampler_apply(self._chain, ctypes.byref(array))
        token = int(array.data[array.selected].id)
        if not np.isfinite(array.data[array.selected].logit):
            raise EngineError("the grammar allows nothing that this model would write next")
        if not self._model.is_end(token):
            lib.llama_sampler_accept(self._grammar, token)
            lib.llama_sampler_accept(self._chain, token)
        return token

    def close(self) -> None:
        """Give the memory back."""
        self._lib.llama_sampler_free(self._chain)
        if self._grammar is not None:
            self._lib.llama_sampler_free(self._grammar)
