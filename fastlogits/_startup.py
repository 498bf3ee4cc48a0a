"""What becomes of a bad FASTLOGITS_ISA or FASTLOGITS_THREADS where the command line is what imports the package.

Python imports a package before its ``__main__``, so the command's own handling of errors comes too late for these.
"""

from __future__ import annotations

import os
import sys


def is_command() -> bool:
    """Whether this process is the script ``fastlogits`` or ``python -m fastlogits``, before or while it starts."""
    argv: list[str] = getattr(sys, "argv", [])
    if not argv:
        return False
    if argv[0] != "-m":
        return os.path.basename(argv[0]) == "fastlogits"
    # While Python looks for the module of -m, its name stands before the arguments: -m NAME or -mNAME.
    module = sys.orig_argv[-len(argv)].removeprefix("-m")
    return module in ("fastlogits", "fastlogits.__main__")


def end_command(error: ImportError) -> None:
    """Of the command line, end the process as its other errors do: one line, exit code 2; else do nothing."""
    if str(error).startswith("FASTLOGITS_") and is_command():
        print(f"fastlogits: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
