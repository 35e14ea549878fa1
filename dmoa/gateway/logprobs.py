"""Log-probabilities of tokens in the two shapes that OpenAI's protocol has for them."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from dmoa.live.engines.base import TokenScore

#: JSON knows no infinity: a token that cannot be is told so, as other servers do.
IMPOSSIBLE = -9999.0


def chat_logprobs(scores: Sequence[TokenScore]) -> dict[str, Any]:
    """Give them in the shape of chat completions.

    >>> (told,) = chat_logprobs([TokenScore(b"So", -0.5, ((b"So", -0.5),))])["content"]
    >>> told["token"], told["logprob"], told["top_logprobs"]
    ('So', -0.5, [{'token': 'So', 'logprob': -0.5, 'bytes': [83, 111]}])
    """
    content = [
        {
            **_told(score.token, score.logprob),
            "top_logprobs": [_told(token, logprob) for token, logprob in score.top],
        }
        for score in scores
    ]
    return {"content": content, "refusal": None}


def text_logprobs(scores: Sequence[TokenScore]) -> dict[str, Any]:
    """Give them in the shape of legacy completions, with the place of each token in the text.

    >>> told = text_logprobs([TokenScore(b"So", None), TokenScore(b" it", -1.5)])
    >>> told["token_logprobs"], told["top_logprobs"], told["text_offset"]
    ([None, -1.5], [None, {' it': -1.5}], [0, 2])
    """
    return {
        "tokens": [shown_token(score.token) for score in scores],
        "token_logprobs": [_finite(score.logprob) for score in scores],
        "top_logprobs": [_likeliest(score) for score in scores],
        "text_offset": _offsets(scores),
    }


def text_of(scores: Sequence[TokenScore]) -> str:
    """Join the tokens; what is no UTF-8 is replaced."""
    return b"".join(score.token for score in scores).decode("utf-8", "replace")


def shown_token(token: bytes) -> str:
    r"""Write a token as text; one that is none by itself by its bytes.

    >>> shown_token(b" so"), shown_token(b"\xe2\x80")
    (' so', 'bytes:\\xe2\\x80')
    """
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)


def _told(token: bytes, logprob: float | None) -> dict[str, Any]:
    return {"token": shown_token(token), "logprob": _finite(logprob), "bytes": list(token)}


def _finite(logprob: float | None) -> float | None:
    return None if logprob is None else max(logprob, IMPOSSIBLE)


def _likeliest(score: TokenScore) -> dict[str, float] | None:
    """Give the likeliest tokens at a place, with the one that stands there."""
    if score.logprob is None:
        return None
    found: dict[str, float] = {}
    for token, logprob in (*score.top, (score.token, score.logprob)):
        # Two tokens may have the same text: who looks for the likeliest must find it.
        name = shown_token(token)
        found[name] = max(logprob, found.get(name, IMPOSSIBLE))
    return found


def _offsets(scores: Sequence[TokenScore]) -> list[int]:
    """Count the characters before each token; part of a character stands where it begins."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    offsets, characters = [], 0
    for score in scores:
        offsets.append(characters)
        characters += len(decoder.decode(score.token))
    return offsets
