"""Find the snippets of a Markdown page and run them as a reader would: in order, in one session.

- A fenced block ``python`` or ``pycon`` runs; with ``>>>`` in it, its output is compared.
- The ``$ dmoa`` lines of a fenced block ``console`` run where the line before it is
  ``<!-- run -->``, and have to end with exit code 0.
- ``<!-- skip: reason -->`` before a block leaves it out.
"""

from __future__ import annotations

import doctest
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FENCE = re.compile(r"^(?P<fence>`{3,})(?P<info>[^`]*)$")
RUN = re.compile(r"^<!-- run -->$")
SKIP = re.compile(r"^<!-- skip: \S.* -->$")

Command = Callable[[list[str]], int]


class SnippetError(AssertionError):
    """A snippet did not do what its page says."""


@dataclass(frozen=True)
class Snippet:
    """A fenced block: its language, its text, where it starts, the line of text before it."""

    language: str
    text: str
    line: int
    before: str


def find_snippets(page: str) -> Iterator[Snippet]:
    """Give the fenced blocks of a page; ``line`` counts from 1 and is the first inside."""
    lines = page.splitlines()
    before, index = "", 0
    while index < len(lines):
        match = FENCE.match(lines[index])
        if match is None:
            before = lines[index].strip() or before
            index += 1
            continue
        start = index + 1
        index = start
        while index < len(lines) and lines[index].rstrip() != match["fence"]:
            index += 1
        language = (match["info"].split() or [""])[0]
        yield Snippet(language, "\n".join(lines[start:index]) + "\n", start + 1, before)
        before = ""
        index += 1


def run_page(path: Path, page: str, command: Command) -> int:
    """Run a page's snippets in one namespace; give how many ran, raise on the first that fails."""
    namespace: dict[str, Any] = {"__name__": "__snippet__"}
    ran = 0
    for snippet in find_snippets(page):
        if SKIP.match(snippet.before):
            continue
        if snippet.language in {"python", "pycon"}:
            run_python(path, snippet, namespace)
        elif snippet.language == "console" and RUN.match(snippet.before):
            run_console(path, snippet, command)
        else:
            continue
        ran += 1
    return ran


def run_python(path: Path, snippet: Snippet, namespace: dict[str, Any]) -> None:
    """Run a Python block, as an interactive session where it is written as one."""
    if ">>>" not in snippet.text:
        # The padding makes a traceback point at the line of the page.
        code = compile("\n" * (snippet.line - 1) + snippet.text, str(path), "exec")
        exec(code, namespace)  # noqa: S102 - running the page's own code is the purpose
        return
    test = doctest.DocTestParser().get_doctest(
        snippet.text, namespace, path.name, str(path), snippet.line - 1
    )
    test.globs = namespace  # shared with the page's other blocks, where doctest made a copy
    report: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append, clear_globs=False)
    if report:
        raise SnippetError("".join(report))


def run_console(path: Path, snippet: Snippet, command: Command) -> None:
    """Run the lines of a terminal session that start dmoa."""
    text = snippet.text.replace("\\\n", " ")
    for line in text.splitlines():
        if line.startswith("$ dmoa"):
            code = command(shlex.split(line, comments=True)[2:])
            if code != 0:
                raise SnippetError(f"{path}:{snippet.line}: {line!r} ended with exit code {code}")
