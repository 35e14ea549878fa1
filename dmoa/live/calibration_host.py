"""Engines in processes of their own: what one machine gives to nodes that compute at once.

``python -m dmoa.live.calibration_host`` is such a process. It reads lines and writes lines: first
the engine's specification, answered when it is loaded, then requests, answered by timelines.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import IO

import msgspec

from dmoa.errors import DmoaError, EngineError
from dmoa.live.calibration_runs import Request, Timeline, serve
from dmoa.live.engines import make_engine
from dmoa.live.engines.base import Engine
from dmoa.live.engines.spec import EngineSpec

_GRACE_S = 10.0


class _Failure(msgspec.Struct, tag="failure"):
    """What a process answers instead, if it cannot."""

    reason: str


class _Ready(msgspec.Struct, tag="ready"):
    """The engine is loaded."""


class _Served(msgspec.Struct, tag="served"):
    timeline: Timeline


_Answer = _Failure | _Ready | _Served
_answers = msgspec.json.Decoder(_Answer)
_encode = msgspec.json.encode


class Host:
    """Engines of one machine, each in a process of its own.

    Args:
        spec: What each is.
        count: How many.

    Raises:
        EngineError: One could not be loaded.
    """

    def __init__(self, spec: EngineSpec, count: int) -> None:
        command = [sys.executable, "-m", "dmoa.live.calibration_host"]
        self._processes: list[subprocess.Popen[bytes]] = []
        with ExitStack() as undo:
            undo.callback(self.close)
            for _ in range(count):
                self._processes.append(
                    # In a session of its own: Ctrl-C is for the parent, which ends it.
                    subprocess.Popen(  # noqa: S603 - a fixed command
                        command,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL,
                        start_new_session=True,
                    )
                )
            for process in self._processes:
                _say(process, _encode(spec))
            for process in self._processes:
                _hear(process)
            undo.pop_all()

    def serve(self, request: Request, together: bool) -> list[Timeline]:  # noqa: FBT001 - Hosted
        """Serve a request with one engine, or with each at once; all clocks are the machine's.

        Raises:
            EngineError: One could not serve it, or its process has died.
        """
        serving = self._processes if together else self._processes[:1]
        for process in serving:
            _say(process, _encode(request))
        answers = [_hear(process) for process in serving]
        return [answer.timeline for answer in answers if isinstance(answer, _Served)]

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()  # nothing of theirs is worth keeping
            process.communicate(timeout=_GRACE_S)

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _say(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - it was asked for
    try:
        process.stdin.write(line + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        raise _died() from None


def _hear(process: subprocess.Popen[bytes]) -> _Answer:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    line = process.stdout.readline()
    if not line:
        raise _died()
    answer: _Answer = _answers.decode(line)
    if isinstance(answer, _Failure):
        raise EngineError(f"an engine in a process of its own: {answer.reason}")
    return answer


def _died() -> EngineError:
    return EngineError(
        "an engine in a process of its own has died; this machine may lack memory for as many"
        " engines as it has cores: calibrate without --host"
    )


def work(
    lines: IO[bytes], answers: IO[bytes], make: Callable[[EngineSpec], Engine] = make_engine
) -> None:
    """Be such a process: read lines until there are none, and answer each."""

    def answer(what: _Answer) -> None:
        answers.write(_encode(what) + b"\n")
        answers.flush()

    engine: Engine | None = None
    try:
        for line in lines:
            if engine is None:
                engine = make(msgspec.json.decode(line, type=EngineSpec))
                answer(_Ready())
            else:
                (timeline,) = serve(engine, [msgspec.json.decode(line, type=Request)])
                answer(_Served(timeline))
    except DmoaError as error:
        answer(_Failure(str(error)))
    finally:
        if engine is not None:
            engine.close()


if __name__ == "__main__":
    work(sys.stdin.buffer, sys.stdout.buffer)
