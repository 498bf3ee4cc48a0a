"""The command line: argparse reads it, one module per command computes, `screen` shows.

Each command first computes a plain report and then prints it, as text or, with ``--json``, as JSON. Only `screen` and
the modules that draw with it import rich; `main` turns its absence into one line. What a user can do wrong ends as a
`UserError` or an error of the library about its arguments: one line and exit code 2.
"""

from __future__ import annotations

__all__ = ["UserError", "printable"]


class UserError(Exception):
    """Something to show the user in one line; no traceback."""


def printable(text: str) -> str:
    """`text` with escapes for characters that a terminal would act on or that have no glyph; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
