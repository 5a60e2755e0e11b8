"""Run one command, and turn whatever goes wrong into a message with a code and an exit status."""

import os
import sys
from contextlib import suppress
from typing import Any

import typer

from ..report.text import clean
from .output import note, print_json

REFUSED, INTERRUPTED = 2, 130
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # typer does not name the class of all usage errors


def run(argv: list[str]) -> int:
    """Run the command that `argv` names. Nothing but SystemExit for a closed pipe escapes."""
    from .app import app

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the caller has closed it
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character is no reason to fail
    as_json = "--json" in argv
    try:
        status = app(args=argv or ["--help"], prog_name="gossamer", standalone_mode=False)
    except _USAGE_ERROR as error:
        return _wrong_call(error, as_json)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as error:
        return _failed(error, as_json)
    if status == INTERRUPTED:  # typer returns it for Ctrl-C
        return _tell({"code": "GSM-703", "what": "interrupted"}, as_json, INTERRUPTED)
    return int(status or 0) if argv else REFUSED  # help is no answer to an empty call


def _failed(error: Exception, as_json: bool) -> int:
    from ..hwmodels import GossamerError

    if os.environ.get("GOSSAMER_TRACEBACK") == "1":
        import traceback

        traceback.print_exception(error)
    if isinstance(error, GossamerError):
        return _tell(error.to_dict(), as_json, REFUSED)
    if isinstance(error, MemoryError):
        remedy = "use --limit, fewer --threads, or a machine with more memory"
        return _tell(
            {"code": "GSM-704", "what": "out of memory", "found": str(error), "remedy": remedy}, as_json, REFUSED
        )
    if isinstance(error, OSError):
        what, where = "the system cannot read or write a file", str(error.filename or "")
        found = str(error.strerror or error)
        return _tell({"code": "GSM-106", "what": what, "where": where, "found": found}, as_json, REFUSED)
    parts = {
        "code": "GSM-700",
        "what": "internal error",
        "found": f"{type(error).__name__}: {error}",
        "remedy": "please report it, with the traceback that GOSSAMER_TRACEBACK=1 prints",
    }
    return _tell(parts, as_json, REFUSED)


def _wrong_call(error: Any, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "gossamer"
    parts = {
        "code": "GSM-702",
        "what": error.format_message().rstrip("."),
        "remedy": f"`{path} --help` lists the arguments and options",
    }
    return _tell(parts, as_json, REFUSED)


def _tell(parts: dict[str, str], as_json: bool, status: int) -> int:
    """Print an error, one part a line. Where that fails too, as on a full disk, the status has to say it."""
    lines = [f"error {parts['code']}: {parts['what']}"]
    lines += [f"  {k + ':':<10}{clean(parts[k])}" for k in ("where", "found", "expected", "remedy") if parts.get(k)]
    with suppress(OSError):
        note("\n".join(lines))
    if as_json:
        with suppress(OSError):
            print_json({"error": parts})
    return status
