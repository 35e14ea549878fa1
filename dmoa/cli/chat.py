"""`dmoa chat`: a conversation with the cluster."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import rich_click

from dmoa.cli.ask import decode, system_message
from dmoa.cli.doors import Doors, door_options
from dmoa.cli.output import error_console
from dmoa.cli.prompt_options import prompt_options
from dmoa.errors import DmoaError

if TYPE_CHECKING:
    from dmoa.cli.asking import Answer
    from dmoa.cli.telling import Teller

HELP = "/quit ends, /reset forgets the conversation, /show prints the proposals of the last answer"


@rich_click.command("chat")
@door_options
@prompt_options
def command(
    *, doors: Doors, show: bool, system: str | None, timeout: float | None, **parameters: Any
) -> None:
    """Talk with the cluster; what was said before is passed on with every question.

    /quit or Ctrl-D ends, /reset forgets the conversation, /show prints the proposals of the last
    answer. Ctrl-C stops waiting for an answer: its prompt is accepted and goes on, but it does
    not enter the conversation.
    """
    from dmoa.cli.telling import Teller  # the help page does without HTTP

    teller = Teller(show=show, quiet=False, status_command=doors.status_command())
    _Conversation(doors, teller, system, {"timeout_s": timeout, **parameters}).run()


class _Conversation:
    def __init__(
        self, doors: Doors, teller: Teller, system: str | None, parameters: dict[str, Any]
    ) -> None:
        self._doors, self._teller, self._parameters = doors, teller, parameters
        self._before = system_message(system)
        self._said: list[dict[str, str]] = []
        self._last: Answer | None = None

    def run(self) -> None:
        """Read and answer until the user ends it."""
        if sys.stdin.isatty():
            import readline  # noqa: F401 - gives `input` its history and editing

            self._tell(f"Ask away. {HELP}.")
        while (line := self._read()) is not None:
            text = line.strip()
            if text == "/quit":
                return
            if text.startswith("/"):
                self._command(text)
            elif text:
                self._ask(text)

    def _read(self) -> str | None:
        try:
            line = input("> " if sys.stdin.isatty() else "")
            return decode(line.encode("utf-8", errors="surrogateescape"), "standard input")
        except EOFError:
            return None
        except KeyboardInterrupt:
            self._tell("\nCtrl-D or /quit ends the conversation.")
            return ""
        except UnicodeDecodeError as error:
            return decode(error.object, "standard input")

    def _command(self, text: str) -> None:
        if text == "/reset":
            self._said.clear()
            self._last = None
            self._tell("The conversation is forgotten.")
        elif text != "/show":
            self._tell(f"There is no {text.split(maxsplit=1)[0]!r}: {HELP}.")
        elif self._last is None:
            self._tell("There is no answer yet.")
        else:
            self._teller.show_layers(self._last)

    def _ask(self, text: str) -> None:
        from dmoa.cli.asking import ask, request_body

        question = {"role": "user", "content": text}
        messages = [*self._before, *self._said, question]
        body = request_body(messages, **self._parameters)
        try:
            with self._teller:
                self._last = ask(self._doors, body, self._teller)
        except KeyboardInterrupt:
            self._tell("Stopped waiting; this question is not part of the conversation.")
        except DmoaError as error:
            self._tell(f"error: {error}", style="red")
        else:
            self._teller.summarise(self._last)
            self._said += [question, {"role": "assistant", "content": self._last.text}]

    def _tell(self, text: str, style: str = "dim") -> None:
        error_console().print(text, style=style, soft_wrap=True)
