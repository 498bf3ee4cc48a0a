"""Text for people: tables, bars and colors through rich, in plain ASCII where the output cannot show more."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from fastlogits.bench.numbers import figures
from fastlogits.cli import printable

BLOCKS = " ▏▎▍▌▋▊▉█"  # eighths of a cell
WIDEST = 120


class Quiet(Console):
    """A console that leaves a broken pipe to the caller."""

    def on_broken_pipe(self) -> None:
        """Let the error being handled through."""
        raise BrokenPipeError


class Screen:
    """Where a command prints: knows the width and which characters and colors can be shown."""

    def __init__(self) -> None:
        self.console = Quiet(file=sys.stdout, highlight=False, markup=False, emoji=False)
        self.console.width = min(self.console.width, WIDEST)
        self.width = self.console.width
        self.ascii = not self.console.encoding.lower().replace("-", "").startswith("utf")

    def plain(self, text: str) -> str:
        """`text` without control characters, and with the signs that ASCII lacks replaced."""
        text = printable(text)
        if self.ascii:
            for sign, letters in ("·", "-"), ("→", "->"), ("×", "x"), ("▲", "+"), ("▼", "-"), ("…", "..."):
                text = text.replace(sign, letters)
        return text

    def print(self, content: Any = "", style: str = "", indent: int = 0) -> None:
        """Print a string, wrapped at the width, or anything of rich's."""
        shown = Text(self.plain(content), style=style) if isinstance(content, str) else content
        self.console.print(Padding(shown, (0, 0, 0, indent), expand=False) if indent else shown)

    def raw(self, text: str) -> None:
        """Print lines as they are, however long."""
        self.console.print(Text(self.plain(text)), soft_wrap=True)

    def title(self, text: str) -> None:
        """A heading after an empty line."""
        self.print()
        self.print(Rule(Text(self.plain(text), style="bold"), align="left", style="cyan"))

    def table(self, heads: list[str], left: int = 1) -> Table:
        """An empty table without lines: the first `left` columns flush left, the others flush right."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for index, head in enumerate(heads):
            table.add_column(self.plain(head), justify="left" if index < left else "right", no_wrap=True)
        return table

    def grid(self, widths: list[int | None], right: tuple[int, ...] = ()) -> Table:
        """An empty table without a head; columns of fixed width, None for what is left; `right` are flush right."""
        grid = Table.grid(padding=(0, 1, 0, 0))
        for index, width in enumerate(widths):
            grid.add_column(width=width, justify="right" if index in right else "left", no_wrap=True)
        return grid

    def bar(self, share: float, width: int, style: str = "") -> Text:
        """A bar that fills `share` in [0, 1] of `width` cells, to an eighth of a cell (ASCII: to a whole one)."""
        share = min(max(share, 0.0), 1.0)
        if self.ascii:
            return Text("#" * round(share * width), style=style)
        full, eighths = divmod(round(share * width * 8), 8)
        return Text(BLOCKS[8] * full + BLOCKS[eighths].strip(), style=style)

    def quoted(self, piece: str) -> str:
        """A token's text in quotes, so that spaces and line breaks show."""
        return printable(json.dumps(piece, ensure_ascii=self.ascii))


def percent(share: float) -> str:
    """A probability as a percentage with three figures, as in 12.3 %, 0.12 %, 0.0012 %."""
    value = 100.0 * share
    if value >= 99.95 or value == 0:
        return f"{value:.0f} %"
    if value >= 0.995:
        return f"{value:.1f} %"
    return f"{value:.2f} %" if value >= 0.00995 else f"{value:.1g} %" if value >= 1e-4 else f"{value:.0e} %"


def duration(seconds: float) -> str:
    """A time as in 850 ns, 12.3 us, 4.56 ms."""
    for unit, size in ("s", 1.0), ("ms", 1e-3), ("us", 1e-6):
        if seconds >= size:
            value = seconds / size
            return f"{figures(value)} {unit}"
    return f"{seconds * 1e9:.0f} ns"
