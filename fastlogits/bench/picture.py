"""A report as a picture: bars of the multiples of one read, on a logarithmic axis, by job."""

from __future__ import annotations

import itertools
from typing import Any

from fastlogits.bench.comparison import OURS, Line, Report
from fastlogits.bench.numbers import figures
from fastlogits.plots import _axes
from fastlogits.report.colors import SERIES

GREY = "#8c8c8c"


def colours(report: Report) -> dict[str, str]:
    """One for each contestant."""
    return dict(zip(report.contestants(), (*SERIES, GREY), strict=False))


def drawn(report: Report) -> Any:
    """The figure: jobs in two columns, a bar for each contestant that was timed, its multiple next to it."""
    mpl = _axes.matplotlib()
    half = columns(report.lines)
    tall = max(sum(map(height, column)) for column in half)
    figure = mpl.figure.Figure(figsize=(11, 0.135 * tall + 1.1), layout="constrained")
    axes = figure.subplots(1, len(half), squeeze=False)[0]
    shade = colours(report)
    most = max((entry.ratio or 1 for line in report.lines for entry in line.entries), default=10)
    for ax, column in zip(axes, half, strict=True):
        _bars(ax, column, shade)
        ax.set(xscale="log", xlim=(0.8, most * 3), ylim=(tall, -0.6))
        ax.set_xlabel("multiples of reading the row once")
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.axvline(1, color="black", lw=0.8)
    handles = [mpl.patches.Patch(color=colour, label=name) for name, colour in shade.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    return figure


def height(line: Line) -> float:
    """The height of a job, in bars."""
    return len(line.entries) + 0.9


def columns(lines: list[Line]) -> list[list[Line]]:
    """The lines in one column if there are few, else in two about equally tall."""
    ends = list(itertools.accumulate(map(height, lines), initial=0.0))
    if ends[-1] < 30 or len(lines) < 2:
        return [lines]
    count = min(range(1, len(lines)), key=lambda i: abs(2 * ends[i] - ends[-1]))
    return [lines[:count], lines[count:]]


def _bars(ax: Any, lines: list[Line], shade: dict[str, str]) -> None:
    """The bars of one column, from the top down."""
    y, places = 0.0, []
    for line in lines:
        places.append(y + (len(line.entries) - 1) / 2)
        for entry in line.entries:
            if entry.ratio is None:
                ax.text(1.1, y, f"{entry.by}: {entry.status}", va="center", fontsize=6.5, color="#555555")
            else:
                ax.barh(y, entry.ratio - 0.8, left=0.8, height=0.92, color=shade[entry.by], label=entry.by)
                told = figures(entry.ratio) + (f" faster than {OURS}" if entry.faster else "")
                weight = "bold" if entry.by == OURS or entry.faster else "normal"
                ax.text(entry.ratio * 1.06, y, told, va="center", fontsize=6.5, weight=weight)
            y += 1
        y += 0.9
    ax.set_yticks(places, [label(line.says) for line in lines], fontsize=8)


def label(says: str) -> str:
    """The words of a table for a picture: no Markdown, two lines if they are long."""
    words = says.replace("`", "").split()
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) > 24:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)
