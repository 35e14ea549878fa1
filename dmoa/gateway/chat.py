"""What a client asks in a chat completion: read, checked, and put into the words of a node."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec

from dmoa.core.messages import Options, Turn
from dmoa.gateway.bodies import (
    BEAMS,
    LOCAL,
    NETWORK,
    bad,
    check_model,
    convert,
    ignored,
    kind_of,
    read_object,
    refuse_unsupported,
    shown,
)

T = TypeVar("T")

MESSAGES_MAX, STOPS_MAX = 10_000, 16
#: The longest that a user may wait: a week, as long as a journal remembers.
TIMEOUT_MAX_S = 7 * 86400

Tokens = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=100)]
TopP = Annotated[float, msgspec.Meta(gt=0, le=1)]
TopK = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
MinP = Annotated[float, msgspec.Meta(ge=0, le=1)]
RepeatPenalty = Annotated[float, msgspec.Meta(gt=0, le=100)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Stop = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Stops = Annotated[list[Stop], msgspec.Meta(max_length=STOPS_MAX)]
Grammar = Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
Layers = Annotated[int, msgspec.Meta(ge=0, le=1000)]
Proposers = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
TopLogprobs = Annotated[int, msgspec.Meta(ge=0, le=20)]
Timeout = Annotated[float, msgspec.Meta(gt=0, le=TIMEOUT_MAX_S)]

#: What changes the meaning of a request and is not done here, with the values that ask for
#: nothing; null asks for nothing anywhere.
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    **BEAMS,
    "audio": (),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "guided_choice": (),
    "guided_grammar": (),
    "guided_json": (),
    "guided_regex": (),
    "ignore_eos": (False,),
    "json_schema": (),
    "logit_bias": ({}, []),
    "mirostat": (0,),
    "modalities": (["text"],),
    "n": (1,),
    "n_probs": (0,),
    "prediction": (),
    "presence_penalty": (0,),
    "prompt": (),
    "response_format": ({"type": "text"},),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "typical_p": (1,),
    "web_search_options": (),
}


class StreamOptions(msgspec.Struct, frozen=True):
    """How a stream shall be told."""

    include_usage: bool = False


class Own(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What other servers do not have: the object ``dmoa`` of a request."""

    layers: Layers | None = None
    proposers: Proposers | None = None
    timeout_s: Timeout | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    repeat_penalty: RepeatPenalty | None = None
    grammar: Grammar | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """The body of ``POST /v1/chat/completions``."""

    messages: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=MESSAGES_MAX)]
    model: str = NETWORK
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    stop: Stop | Stops | None = None
    seed: Seed | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    repeat_penalty: RepeatPenalty | None = None
    grammar: Grammar | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None
    dmoa: Own | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A request as a node takes it."""

    text: str
    options: Options
    model: str
    layers: int | None
    proposers: int | None
    timeout_s: float | None
    stream: bool
    include_usage: bool
    ignored: tuple[str, ...]
    """Parameters that this server does not know."""


def read_question(body: bytes) -> Question:
    """Read the body of a chat completion.

    Raises:
        ApiError: 400 with the parameter to blame; 404 if the model is unknown.

    >>> asked = read_question(b'{"messages": [{"role": "user", "content": "Why?"}], "seed": 7}')
    >>> asked.text, asked.options.seed, asked.model
    ('Why?', 7, 'dmoa')
    """
    raw = read_object(body)
    refuse_unsupported(raw, UNSUPPORTED)
    request = convert(raw, ChatRequest, "messages", "give a list of messages")
    check_model(request.model)
    own = request.dmoa or Own()
    turns = [_turn(index, message) for index, message in enumerate(request.messages)]
    last = turns.pop()
    where = f"messages[{len(turns)}]"
    if last.role != "user":
        raise bad(f"{where}.role", f"the last message must be the user's, not {last.role!r}")
    if not last.text.strip():
        raise bad(f"{where}.content", "the question is empty; give some text")
    return Question(
        text=last.text,
        options=_options(request, own, tuple(turns)),
        model=request.model,
        layers=_layers(request, own),
        proposers=own.proposers,
        timeout_s=own.timeout_s,
        stream=bool(request.stream),
        include_usage=request.stream_options is not None and request.stream_options.include_usage,
        ignored=ignored(raw, {*ChatRequest.__struct_fields__, *UNSUPPORTED}),
    )


def _turn(index: int, message: dict[str, Any]) -> Turn:
    where = f"messages[{index}]"
    role = message.get("role")
    if role == "developer":  # the newer name of the same
        role = "system"
    if role not in ("system", "user", "assistant"):
        raise bad(f"{where}.role", f"expected system, user or assistant, not {shown(role)}")
    if message.get("tool_calls") or message.get("function_call"):
        raise bad(f"{where}.tool_calls", "tools are not supported here")
    return Turn(role, _text(f"{where}.content", message.get("content"), role))


def _text(where: str, content: object, role: Literal["system", "user", "assistant"]) -> str:
    if isinstance(content, str):
        return content
    if content is None and role == "assistant":
        return ""
    if not isinstance(content, list):
        raise bad(where, f"expected a text or a list of text parts, not {kind_of(content)}")
    texts = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else kind_of(part)
        text = part.get("text") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(text, str):
            raise bad(
                f"{where}[{index}]", f"only parts of type 'text' are understood, not {kind!r}"
            )
        texts.append(text)
    return "\n".join(texts)


def _layers(request: ChatRequest, own: Own) -> int | None:
    if request.model != LOCAL:
        return own.layers
    if own.layers:
        raise bad(
            "dmoa.layers", f"{LOCAL!r} has no layers of proposals; ask {NETWORK!r}, or leave it out"
        )
    return 0


def _options(request: ChatRequest, own: Own, history: tuple[Turn, ...]) -> Options:
    stop = request.stop or ()
    return Options(
        history=history,
        max_tokens=_one("max_completion_tokens", request.max_tokens, request.max_completion_tokens),
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=_one("dmoa.top_k", request.top_k, own.top_k),
        min_p=_one("dmoa.min_p", request.min_p, own.min_p),
        repeat_penalty=_one("dmoa.repeat_penalty", request.repeat_penalty, own.repeat_penalty),
        seed=request.seed,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        grammar=_one("dmoa.grammar", request.grammar, own.grammar),
        logprobs=_logprobs(request),
    )


def _logprobs(request: ChatRequest) -> int | None:
    """Give how many of the likeliest tokens to tell beside each of the answer; None: tell none."""
    if request.logprobs:
        return request.top_logprobs or 0
    if request.top_logprobs:
        raise bad("top_logprobs", 'top_logprobs needs "logprobs": true')
    return None


def _one(name: str, first: T | None, second: T | None) -> T | None:
    if first is not None and second is not None and first != second:
        raise bad(name, f"{name} is given twice, with different values; give it once")
    return second if first is None else first
