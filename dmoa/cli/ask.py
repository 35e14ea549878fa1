"""`dmoa ask`: one question, answered by the cluster."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.doors import Doors, door_options
from dmoa.cli.output import print_json
from dmoa.cli.prompt_options import prompt_options
from dmoa.errors import ScenarioError

if TYPE_CHECKING:
    from dmoa.cli.asking import Answer

#: As much as the door of a node takes.
QUESTION_BYTES_MAX = 4 << 20


@rich_click.command("ask")
@click.argument("question")
@door_options
@prompt_options
@options.json_option
def command(
    *,
    question: str,
    doors: Doors,
    show: bool,
    system: str | None,
    timeout: float | None,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Ask the cluster a question and stream its answer.

    QUESTION is a text, or - for standard input. The answer goes to standard output, what is
    waited for to standard error. If a node does not take the question, another one is asked,
    unless --node or --url names one. A question that was accepted survives a crash of its node.
    The exit code is 1 if no node takes the question, or if it fails or expires.
    """
    text = read_question(question)
    from dmoa.cli.asking import PATIENCE_S, ask, request_body  # the help page does without HTTP
    from dmoa.cli.telling import Teller

    messages = [*system_message(system), {"role": "user", "content": text}]
    body = request_body(messages, timeout_s=timeout, **parameters)
    with Teller(show=show, quiet=as_json, status_command=doors.status_command()) as teller:
        answer = ask(doors, body, teller, patience_s=timeout or PATIENCE_S)
    if as_json:
        print_json(as_object(answer))
    else:
        teller.summarise(answer)


def system_message(system: str | None) -> list[dict[str, str]]:
    """Give the messages that a conversation begins with."""
    if system is None:
        return []
    text = decode(system.encode("utf-8", errors="surrogateescape"), "--system")
    return [{"role": "system", "content": text}]


def as_object(answer: Answer) -> dict[str, Any]:
    """Give an answer as the object that ``--json`` prints."""
    told = answer.told
    return {
        "id": answer.id,
        "answer": answer.text,
        "layers": told.get("layers", []),
        "aggregation": told.get("aggregation"),
        "sojourn_time_s": told.get("sojourn_time_s"),
        "cut": answer.cut,
        "prompt_tokens": told.get("prompt_tokens"),
        "answer_tokens": told.get("answer_tokens"),
        "node": answer.node,
        "url": answer.url,
    }


def read_question(question: str) -> str:
    """Give the text of a question, from standard input if it is ``-``.

    Raises:
        ScenarioError: It is empty, too long or not UTF-8.
    """
    if question == "-":
        content = sys.stdin.buffer.read(QUESTION_BYTES_MAX + 1)
    else:
        # What of an argument is no UTF-8 comes as lone surrogates.
        content = question.encode("utf-8", errors="surrogateescape")
    if len(content) > QUESTION_BYTES_MAX:
        raise ScenarioError(
            f"longer than {QUESTION_BYTES_MAX:,} bytes", path="QUESTION", remedy="give less text"
        )
    text = decode(content, "QUESTION")
    if not text.strip():
        raise ScenarioError("the question is empty", path="QUESTION", remedy="give some text")
    return text


def decode(content: bytes, path: str) -> str:
    """Read UTF-8.

    Raises:
        ScenarioError: It is none.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ScenarioError(
            f"not UTF-8 (byte {error.start})", path=path, remedy="convert it, with iconv say"
        ) from None
