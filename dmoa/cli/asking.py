"""Ask one question of a cluster: try its doors, follow the prompt, survive a node's restart."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from dmoa.cli.doors import Address, Doors
from dmoa.errors import DmoaError
from dmoa.gateway.client import (
    Accepted,
    Client,
    Event,
    Finished,
    Lost,
    Piece,
    Unavailable,
)

#: How long a node that broke off may take to come back, if the user set no time, s.
PATIENCE_S = 120.0
RETRY_S = 0.5


class Listener(Protocol):
    """Who hears of the progress."""

    def note(self, text: str) -> None:
        """Hear of something unexpected, and what is done about it."""

    def heard(self, node: str, event: Event) -> None:
        """Hear what happened."""

    def begin_again(self, why: str) -> None:
        """Hear that the node broke off, so that its answer may begin again."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, and what the node told of it."""

    id: str
    node: str
    url: str
    text: str
    cut: bool
    told: dict[str, Any]


def ask(
    doors: Doors, body: dict[str, Any], listener: Listener, *, patience_s: float = PATIENCE_S
) -> Answer:
    """Ask the first node that takes the question.

    Raises:
        DmoaError: No node takes it, or the prompt failed.
        ScenarioError: The question is wrong.
    """
    reasons: dict[str, str] = {}
    for position, address in enumerate(doors.addresses):
        if position:
            failed = doors.addresses[position - 1]
            why = reasons[failed.name]
            listener.note(f"node {failed.name}: {why}; asking node {address.name} instead")
        try:
            return _ask_node(doors, address, body, listener, patience_s)
        except Unavailable as error:
            reasons[address.name] = str(error)
    raise DmoaError(_nobody(doors, reasons))


def _nobody(doors: Doors, reasons: dict[str, str]) -> str:
    if doors.chosen:
        ((name, reason),) = reasons.items()
        other = "" if doors.folder is None else ", or leave --node out"
        return (
            f"node {name} did not take the question ({reason}); `{doors.status_command()}` shows "
            f"how it is, `{doors.start_command()}` starts it{other}"
        )
    listed = ", ".join(f"{name} ({reason})" for name, reason in reasons.items())
    return (
        f"no node took the question: {listed}; `{doors.status_command()}` shows how they are, "
        f"`{doors.start_command()}` starts them"
    )


def _ask_node(
    doors: Doors, address: Address, body: dict[str, Any], listener: Listener, patience_s: float
) -> Answer:
    # With the same key a node that accepted the prompt and broke off takes it for the same.
    key = uuid.uuid4().hex
    accepted: Accepted | None = None
    give_up_s = 0.0
    with Client(address.url, key=doors.key) as client:
        client.check()
        while True:
            texts: list[str] = []
            try:
                for event in client.ask(body, idempotency_key=key):
                    listener.heard(address.name, event)
                    if isinstance(event, Accepted):
                        accepted = event
                    elif isinstance(event, Piece):
                        texts.append(event.text)
                    elif isinstance(event, Finished) and accepted is not None:
                        return _answer(address, accepted, texts, event)
            except Lost as error:
                listener.begin_again(
                    f"node {address.name} broke off ({error}); the prompt is accepted and "
                    f"survives, so waiting for the node to come back"
                )
                give_up_s = time.monotonic() + patience_s
            except Unavailable as error:
                if accepted is None:
                    raise
                if time.monotonic() > give_up_s:
                    raise DmoaError(_not_back(doors, address, accepted, error)) from None
            except KeyboardInterrupt:
                if accepted is not None:
                    listener.note(f"prompt {accepted.id} goes on; {_later(address, accepted)}")
                raise
            time.sleep(RETRY_S)


def _answer(address: Address, accepted: Accepted, texts: list[str], end: Finished) -> Answer:
    return Answer(
        id=accepted.id,
        node=address.name,
        url=address.url,
        text="".join(texts),
        cut=end.cut,
        told=end.told,
    )


def _not_back(doors: Doors, address: Address, accepted: Accepted, error: Unavailable) -> str:
    return (
        f"node {address.name} did not come back ({error}); prompt {accepted.id} goes on when it "
        f"does: start it with `{doors.start_command()}`; {_later(address, accepted)}"
    )


def _later(address: Address, accepted: Accepted) -> str:
    return f"its answer will be at {address.url}/v1/dmoa/prompts/{accepted.id}"


def request_body(
    messages: list[dict[str, str]],
    *,
    layers: int | None = None,
    proposers: int | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """Write the body of a chat completion; what is None is left to the nodes.

    >>> request_body([{"role": "user", "content": "Why?"}], layers=0)["dmoa"]
    {'layers': 0}
    """
    own = {"layers": layers, "proposers": proposers, "timeout_s": timeout_s}
    standard = {"max_completion_tokens": max_tokens, "temperature": temperature, "seed": seed}
    return {
        "model": "dmoa",
        "messages": messages,
        **dict(_given(standard)),
        "dmoa": dict(_given(own)),
    }


def _given(parameters: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in parameters.items() if value is not None)
