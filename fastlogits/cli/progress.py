"""A bar with rate and remaining time on standard error, where that is a terminal and rich is there."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def bar(what: str, rows: int, done: int, rate: bool = True) -> Iterator[Callable[[int], None]]:
    """Show how many of `rows` rows are done; what is yielded is called with the number of further ones.

    Things that are no rows have no `rate`.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    try:
        from rich import progress
        from rich.console import Console
    except ModuleNotFoundError:
        yield lambda _: None
        return

    class Rate(progress.ProgressColumn):
        """Rows per second."""

        def render(self, task: progress.Task) -> str:
            """The rate as text; empty as long as it is not known."""
            return f"{task.speed:,.0f} rows/s" if task.speed else ""

    columns = (
        progress.TextColumn("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn(),
        *([Rate()] if rate else []), progress.TimeElapsedColumn(), progress.TimeRemainingColumn(),
    )  # fmt: skip
    with progress.Progress(*columns, console=Console(file=sys.stderr), transient=True) as shown:
        task = shown.add_task(what, total=rows, completed=done)
        yield lambda count: shown.advance(task, count)
