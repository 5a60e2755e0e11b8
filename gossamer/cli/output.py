"""Where a verb's words go: the answer to stdout, everything else to stderr."""

import json
import os
import sys
from collections.abc import Mapping
from math import isfinite
from typing import Any, TextIO

from ..report.text import clean

PIPE_CLOSED = 128 + 13  # what a shell reports for a program that SIGPIPE ended


def show(*parts: Any) -> None:
    """Print texts and rich renderables to stdout: in colour to a terminal, as plain text to anything else."""
    _write(sys.stdout, render(*parts, like=sys.stdout))


def print_json(answer: Mapping[str, Any]) -> None:
    """Print the one JSON object that `--json` promises."""
    _write(sys.stdout, json.dumps(_finite(answer), indent=2, allow_nan=False) + "\n")


def note(text: str) -> None:
    """Tell the reader something beside the answer, on stderr."""
    _write(sys.stderr, clean(text) + "\n")


def render(*parts: Any, like: TextIO | None = None) -> str:
    """What `show` would print. Without `like`, plain text of any width."""
    from io import StringIO

    from rich.console import Console

    is_terminal = like is not None and like.isatty()
    console = Console(
        file=StringIO(),
        force_terminal=is_terminal,
        no_color=None if is_terminal else True,
        markup=False,
        emoji=False,
        highlight=False,
        width=None if is_terminal else 400,
        legacy_windows=False,
    )
    with console.capture() as capture:
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, str))
    lines = capture.get().split("\n")
    return "\n".join(line.rstrip() for line in lines)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for both."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # what is left would fail again at exit
        if isinstance(error, BrokenPipeError):  # the reader has seen enough
            raise SystemExit(PIPE_CLOSED) from None
        raise
