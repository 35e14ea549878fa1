"""The errors of dmoa, sorted by who is to blame.

The tree below is checked against the classes by ``tests/test_public.py``::

    DmoaError
    ├─ ScenarioError
    ├─ UnstableError
    ├─ PeerError
    ├─ EngineError
    └─ InvariantError

Every message says what was given, what was expected and what to do next.
"""

from __future__ import annotations

from functools import partial


class DmoaError(Exception):
    """Base of every error that dmoa raises on purpose.

    ``exit_code`` is what the command line ends with when the error reaches it.
    """

    exit_code = 1


class ScenarioError(DmoaError):
    """The user's file or argument is wrong: where, what was given, and the remedy.

    >>> print(
    ...     ScenarioError(
    ...         "must be above 0",
    ...         path="run.horizon_s",
    ...         given=-1,
    ...         remedy="give seconds, for example 5000",
    ...     )
    ... )
    run.horizon_s: must be above 0, but -1 was given; give seconds, for example 5000
    """

    exit_code = 2
    _missing = object()

    def __init__(
        self, problem: str, *, path: str = "", given: object = _missing, remedy: str = ""
    ) -> None:
        self.problem, self.path, self.remedy = problem, path, remedy
        self.given = None if given is self._missing else given
        text = f"{path}: {problem}" if path else problem
        if given is not self._missing:
            text += f", but {given!r} was given"
        if remedy:
            text += f"; {remedy}"
        super().__init__(text)


class UnstableError(DmoaError):
    """A declared limit was reached: which node, and how long its queue was."""

    exit_code = 3

    def __init__(self, problem: str, *, node: str, queue_length: int) -> None:
        self.problem, self.node, self.queue_length = problem, node, queue_length
        super().__init__(f"{problem} (node {node}, queue length {queue_length})")

    def __reduce__(self) -> tuple[object, ...]:
        """Let it cross a process boundary, for which Python knows positional arguments only."""
        return partial(UnstableError, node=self.node, queue_length=self.queue_length), (
            self.problem,
        )


class PeerError(DmoaError):
    """A peer sent something malformed, incompatible or unauthorised: count, trace, drop."""


class EngineError(DmoaError):
    """The language model timed out, was exhausted or refused: an event for the core."""


class InvariantError(DmoaError):
    """A bug in dmoa itself, with its story: the last events of the node it happened to."""

    exit_code = 70

    def __init__(self, problem: str, story: tuple[str, ...] = ()) -> None:
        self.problem, self.story = problem, story
        lines = [problem, *(f"  {line}" for line in story)]
        super().__init__("\n".join(lines))
