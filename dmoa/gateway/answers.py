"""What a client is told: bodies, chunks of a stream, lines of progress."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from dmoa.gateway.chat import Question
from dmoa.gateway.logprobs import chat_logprobs
from dmoa.live.door import Ended, LayerJoined, PromptView, Proposal, Ticket


def describe(view: PromptView) -> dict[str, Any]:
    """Give a prompt as ``/v1/dmoa/prompts/{id}`` shows it: its layers with their proposals."""
    told = {
        name: getattr(view, name)
        for name in view.__struct_fields__
        if name not in {"layers", "proposals"}
    }
    layers = [{"proposals": _proposals(view, layer)} for layer in range(1, view.layers + 1)]
    aggregation = _proposals(view, view.layers + 1)
    return {**told, "layers": layers, "aggregation": aggregation[-1] if aggregation else None}


def _proposals(view: PromptView, layer: int) -> list[dict[str, Any]]:
    return [tell(proposal) for proposal in view.proposals if proposal.layer == layer]


def tell(proposal: Proposal) -> dict[str, Any]:
    """Give a proposal as clients read it.

    >>> tell(Proposal(layer=1, node="2", missing="its queue is full"))["missing"]
    'its queue is full'
    """
    return {name: getattr(proposal, name) for name in proposal.__struct_fields__ if name != "layer"}


def progress_line(event: Proposal | LayerJoined, ticket: Ticket) -> str:
    """Say in a line what has happened.

    >>> ticket = Ticket(id="0-1", layers=2, proposers=2)
    >>> progress_line(LayerJoined(layer=1, layers=2), ticket)
    'Layer 1 of 2 has its responses; layer 2 begins.'
    """
    if isinstance(event, LayerJoined):
        last = event.layer >= ticket.layers
        then = "they are aggregated" if last else f"layer {event.layer + 1} begins"
        return f"Layer {event.layer} of {ticket.layers} has its responses; {then}."
    who = f"Layer {event.layer} of {ticket.layers}: node {event.node}"
    if event.missing:
        return f"{who} proposed nothing ({event.missing})."
    model = f" ({event.model})" if event.model else ""
    cut = ", cut at its limit" if event.cut else ""
    return f"{who}{model} proposed {event.tokens} tokens in {event.service_time_s:.1f} s{cut}."


class Reply:
    """The answers to one question, whole or in chunks."""

    def __init__(self, question: Question, ticket: Ticket) -> None:
        self._question, self._ticket = question, ticket
        self._head = {
            "id": f"chatcmpl-{ticket.id}",
            "created": int(time.time()),
            "model": question.model,
        }

    def whole(self, ended: Ended, view: PromptView | None) -> dict[str, Any]:
        """Give the body of an answer that is not streamed."""
        message = {"role": "assistant", "content": ended.answer, "refusal": None}
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": _reason(ended),
            "logprobs": chat_logprobs(ended.scores) if ended.scores else None,
        }
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(ended, view),
            "dmoa": self._told(view),
        }

    def chunk(self, delta: dict[str, str], told: dict[str, Any] | None = None) -> bytes:
        """Give a piece of a stream; ``told`` is what ordinary clients do not read."""
        return self._chunk(delta, told=told)

    def last_chunks(self, ended: Ended, view: PromptView | None) -> list[bytes]:
        """Give the end of a stream."""
        chunks = []
        if ended.scores:
            # An engine tells them with its last word: they come together, before the reason.
            chunks.append(self._chunk({"content": ""}, logprobs=chat_logprobs(ended.scores)))
        chunks.append(self._chunk({}, _reason(ended), self._told(view)))
        if self._question.include_usage:
            usage = {"choices": [], "usage": _usage(ended, view)}
            chunks.append(event({**self._head, "object": "chat.completion.chunk", **usage}))
        return chunks

    def _chunk(
        self,
        delta: dict[str, str],
        reason: str | None = None,
        told: dict[str, Any] | None = None,
        logprobs: dict[str, Any] | None = None,
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": logprobs}
        body = {**self._head, "object": "chat.completion.chunk", "choices": [choice]}
        if self._question.include_usage:
            body["usage"] = None
        if told is not None:
            body["dmoa"] = told
        return event(body)

    def _told(self, view: PromptView | None) -> dict[str, Any]:
        """Give what only clients of dmoa read: the proposals and the times."""
        if view is None:  # forgotten meanwhile
            told: dict[str, Any] = {"id": self._ticket.id, "layers": [], "aggregation": None}
        else:
            told = describe(view)
            told.pop("answer")
        if self._question.ignored:
            told["ignored"] = list(self._question.ignored)
        return told


def event(body: object) -> bytes:
    r"""Write one event of a stream.

    Characters at which some clients break lines are escaped, so that none tears an event.

    >>> event({"text": chr(0x2028)})
    b'data: {"text":"\\u2028"}\n\n'
    """
    encoded = msgspec.json.encode(body)
    for code in (0x85, 0x2028, 0x2029):
        encoded = encoded.replace(chr(code).encode(), b"\\u%04x" % code)
    return b"data: " + encoded + b"\n\n"


DONE = b"data: [DONE]\n\n"


def rest_of(answer: str, sent: str) -> str | None:
    """Give what of an answer has not been streamed; None if what was streamed is another text.

    >>> rest_of("To be or not", " To be"), rest_of("To be", "To be "), rest_of("No", "Yes")
    (' or not', '', None)
    """
    if answer.startswith(sent):
        return answer[len(sent) :]
    # Space around an answer may be stripped at its end.
    core = sent.lstrip()
    if answer.startswith(core):
        return answer[len(core) :]
    return "" if answer.strip() == sent.strip() else None


def _reason(ended: Ended) -> str:
    return "length" if ended.cut else "stop"


def _usage(ended: Ended, view: PromptView | None) -> dict[str, int]:
    # The question's tokens are counted at its arrival, so the view has them where the end has not.
    prompt_tokens = ended.prompt_tokens or (view.prompt_tokens if view is not None else 0)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": ended.answer_tokens,
        "total_tokens": prompt_tokens + ended.answer_tokens,
    }
