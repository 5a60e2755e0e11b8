"""The command line: one file a verb. `main` is what the command `gossamer` calls."""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 the answer is no, 2 the input or the call is wrong.

    Args:
        argv: Arguments after the program's name; those of the process if None.
    """
    try:
        from .run import run

        return run(sys.argv[1:] if argv is None else list(argv))
    except KeyboardInterrupt:  # before `run` could take care of it
        return 130
