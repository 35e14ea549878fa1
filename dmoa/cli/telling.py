"""How `dmoa ask` and `dmoa chat` tell a prompt's progress.

The answer goes to standard output; the waits and their causes go to standard error.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dmoa.cli.output import console, duration, error_console
from dmoa.gateway.client import Accepted, Event, Finished, Joined, Piece, Proposed, Waiting

if TYPE_CHECKING:
    from rich.console import Console

    from dmoa.cli.asking import Answer
    from dmoa.live.door import Proposal

#: How often a wait without news is explained where there is no terminal to show a clock, s.
REMIND_S = 10.0

#: Answers are untrusted text: nothing in them may steer the terminal.
_STEERING = (*range(9), *range(11, 32), *range(0x7F, 0xA0), *range(0x202A, 0x202F),
             *range(0x2066, 0x206A))  # fmt: skip
_REMOVED = dict.fromkeys(_STEERING)


def printable(text: str) -> str:
    r"""Remove what would steer the terminal instead of being read.

    >>> printable("a\x1b[31mb\tc\r\n")
    'a[31mb\tc\n'
    """
    return text.translate(_REMOVED)


class Teller:
    """Tells the progress of one question after another."""

    def __init__(self, *, show: bool, quiet: bool, status_command: str) -> None:
        self._out, self._err = console(), error_console()
        self._show, self._quiet, self._status_command = show, quiet, status_command
        self._plan: Accepted | None = None
        self._layer, self._came = 1, 0
        self._streaming = False
        self._told_s = time.monotonic()
        self._spinner = _Spinner(self._err) if self._err.is_terminal and not quiet else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._end_wait()
        self._end_line()

    def note(self, text: str) -> None:
        """Tell of something unexpected, and what is done about it."""
        self._err.print(printable(text), style="yellow", soft_wrap=True)

    def begin_again(self, why: str) -> None:
        """Tell that the node broke off, so that its answer may begin again."""
        self._end_line()
        self.note(why)

    def heard(self, node: str, event: Event) -> None:
        """Tell what happened."""
        if isinstance(event, Accepted):
            self._plan, self._layer, self._came = event, 1, 0
            self._progress(f"node {node} accepted prompt {event.id}")
        elif isinstance(event, Proposed):
            self._came += not event.proposal.missing
            self._tell_proposal(event.proposal)
        elif isinstance(event, Joined):
            self._layer, self._came = event.layer + 1, 0
        elif isinstance(event, Piece):
            self._write(node, event.text)
            return
        elif isinstance(event, Finished):
            self._end_wait()
            self._end_line()
            return
        self._wait(node, reminder=isinstance(event, Waiting))

    def show_layers(self, answer: Answer) -> None:
        """Show the proposals of an answer that has been told."""
        layers = answer.told.get("layers", [])
        if not layers:
            self.note(f"node {answer.node} answered alone, without layers of proposals")
        for number, layer in enumerate(layers, 1):
            for fields in layer["proposals"]:
                self._print_proposal(number, len(layers), fields)

    def summarise(self, answer: Answer) -> None:
        """Say in a line where the answer came from, and how long it took."""
        told = answer.told
        proposals = [one for layer in told.get("layers", []) for one in layer["proposals"]]
        missing = sum(bool(one["missing"]) for one in proposals)
        parts = [f"node {answer.node}", f"prompt {answer.id}"]
        if proposals:
            lost = f", {missing} missing" if missing else ""
            layers = len(told["layers"])
            where = "1 layer" if layers == 1 else f"{layers} layers"
            came = len(proposals) - missing
            parts.append(f"{came} proposal{'s' * (came != 1)} in {where}{lost}")
        if (took_s := told.get("sojourn_time_s")) is not None:
            parts.append(duration(took_s))
        if answer.cut:
            parts.append("cut at its limit of tokens (--max-tokens raises it)")
        self._err.print(" · ".join(parts), style="dim", soft_wrap=True)

    def _tell_proposal(self, proposal: Proposal) -> None:
        if self._show and self._plan is not None:
            self._end_wait()
            fields = {name: getattr(proposal, name) for name in proposal.__struct_fields__}
            self._print_proposal(proposal.layer, self._plan.layers, fields)
            return
        if proposal.missing:
            self._progress(f"node {proposal.node} proposed nothing: {proposal.missing}")
        else:
            took = f"{proposal.tokens} tokens in {duration(proposal.service_time_s)}"
            self._progress(f"node {proposal.node} ({proposal.model}) proposed {took}")

    def _print_proposal(self, layer: int, layers: int, fields: dict[str, Any]) -> None:
        parts = [f"layer {layer} of {layers}", f"node {fields['node']}"]
        if fields["missing"]:
            parts.append(f"nothing: {fields['missing']}")
        else:
            parts += [fields["model"], f"{fields['tokens']} tokens"]
            parts.append(duration(fields["service_time_s"]))
            parts += ["cut at its limit of tokens"] if fields["cut"] else []
        self._head(" · ".join(parts))
        if not fields["missing"]:
            self._out.print(printable(fields["text"].strip()), soft_wrap=True)

    def _head(self, text: str) -> None:
        """Print a heading; unlike a rule of rich, it is never shortened."""
        line = f"── {printable(text)} "
        self._out.print(line.ljust(self._out.width, "─"), style="dim", soft_wrap=True)

    def _write(self, node: str, text: str) -> None:
        if self._quiet:
            return
        if not self._streaming:
            self._end_wait()
            if self._show:
                self._head(f"answer · node {node}")
            text = text.lstrip()
        self._streaming = self._streaming or bool(text)
        sys.stdout.write(printable(text))
        sys.stdout.flush()

    def _progress(self, text: str) -> None:
        if not self._quiet:
            self._told_s = time.monotonic()
            self._err.print(printable(text), style="dim", soft_wrap=True)

    def _wait(self, node: str, *, reminder: bool) -> None:
        if self._streaming:
            return
        cause = self._cause(node)
        if self._spinner is not None:
            self._spinner.show(f"{cause}; Ctrl-C stops")
        elif reminder and time.monotonic() - self._told_s > REMIND_S:
            self._progress(f"waiting: {cause}; `{self._status_command}` shows the queues")

    def _cause(self, node: str) -> str:
        plan = self._plan
        if plan is None or self._layer > plan.layers:
            return f"node {node} has the answer in its queue or decodes it"
        missing = max(plan.proposers + 1 - self._came, 1)
        return (
            f"layer {self._layer} of {plan.layers}: {missing} of {plan.proposers + 1} proposals "
            "queued or being decoded"
        )

    def _end_wait(self) -> None:
        if self._spinner is not None:
            self._spinner.hide()

    def _end_line(self) -> None:
        if self._streaming:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._streaming = False


class _Spinner:
    """A line on the terminal that says what is waited for, and for how long by now."""

    def __init__(self, target: Console) -> None:
        from rich import progress  # needed on a terminal alone

        self._bar = progress.Progress(
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}", markup=False),
            progress.TimeElapsedColumn(),
            console=target,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._text = ""

    def show(self, text: str) -> None:
        """Show what is waited for; the clock starts again when that changes."""
        if text == self._text:
            return
        self.hide()
        self._text = text
        self._bar.add_task(printable(text), total=None)
        self._bar.start()

    def hide(self) -> None:
        """Take the line away."""
        self._bar.stop()
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._text = ""
