"""The command `unrolled`: from a file of texts to a judged, saved and usable model.

One module a group of commands; `app` puts them together. Needs the extra cli.
"""

from __future__ import annotations

import dis
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from unrolled.errors import MissingExtraError, require_extra

INTERRUPTED = 130  # what shells call a program that Ctrl-C ended
PACKAGE = str(Path(__file__).parents[1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with arguments, those of the process by default, and leave with its exit code.

    An error that this package raised for a person to read is printed alone; UNROLLED_TRACEBACK=1 shows where it arose.
    """
    try:
        require_extra("typer", "cli", "The command unrolled")
        from unrolled.cli.app import app

        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            app(args=None if arguments is None else list(arguments), prog_name="unrolled")
    except KeyboardInterrupt:
        print("\nStopped by Ctrl-C.", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    except (ValueError, TypeError, LookupError, OSError, ImportError) as error:
        if os.environ.get("UNROLLED_TRACEBACK") or not is_for_people(error):
            raise
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def show_warning(message: Warning | str, *where: object, **more: object) -> None:
    """Print what a warning says, without the place in the code."""
    print(f"Warning: {message}", file=sys.stderr)


def is_for_people(error: BaseException) -> bool:
    """Whether the error's text says all: a raise statement of this package made it, or it is about a file."""
    if isinstance(error, MissingExtraError) or (isinstance(error, OSError) and error.filename):
        return True
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    code = trace.tb_frame.f_code
    return code.co_filename.startswith(PACKAGE) and code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]
