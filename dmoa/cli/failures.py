"""From errors to a message and an exit code: the only place that decides how dmoa ends.

0 done; 1 what was asked for was not reached: a trace did not replay, a node is not there, a prompt
was not answered, the output could not be written; 2 bad input; 3 a declared limit was reached; 70 a
bug of dmoa, reported by itself; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from dmoa.cli.output import error_console
from dmoa.errors import DmoaError, InvariantError, ScenarioError

CHECK_FAILED = OUTPUT_LOST = 1
BAD_INPUT, LIMIT_REACHED, INTERRUPTED = 2, 3, 130


def exit_code_of(run: Callable[[], Any]) -> int:
    """Run a command, print whatever error ends it, and give the exit code."""
    _print_any_character()
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _show_note
        try:
            code = run()
            sys.stdout.flush()
        except InvariantError as error:
            return _report_bug(error)
        except DmoaError as error:
            return _report(error)
        except click.ClickException as error:
            return _report_usage(error)
        except (click.Abort, KeyboardInterrupt):
            error_console().print("interrupted", style="yellow")
            return INTERRUPTED
        except BrokenPipeError:
            # Nobody reads any more, as after `| head`.
            _drop_output()
            return OUTPUT_LOST
        except OSError as error:
            _drop_output()
            _complain(str(error))
            return OUTPUT_LOST
        return code if isinstance(code, int) else 0


def _print_any_character() -> None:
    """Replace characters that the terminal's encoding lacks, such as λ, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _drop_output() -> None:
    """Let what is still buffered go nowhere, so that Python does not fail on it at its exit."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_note(message: Warning | str, *_: Any, **__: Any) -> None:
    error_console().print(f"note: {message}", style="yellow", soft_wrap=True)


def _complain(problem: str, remedy: str = "") -> None:
    console = error_console()
    console.print("error: ", style="bold red", end="")
    console.print(problem, soft_wrap=True)
    if remedy:
        console.print(remedy, soft_wrap=True)


def _report(error: DmoaError) -> int:
    if isinstance(error, ScenarioError) and error.remedy:
        _complain(str(error).removesuffix(f"; {error.remedy}"), error.remedy)
    else:
        _complain(str(error))
    return error.exit_code


def _report_usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "dmoa"
    _complain(error.format_message(), f"see {command} --help")
    return BAD_INPUT


def _report_bug(error: InvariantError) -> int:
    _complain(f"this is a bug in dmoa, not in your input: {error}")
    error_console().print(
        "Please report it with the command, the scenario and the lines above.", soft_wrap=True
    )
    return error.exit_code
