"""A report as a table in Markdown, and its cells for any table."""

from __future__ import annotations

from fastlogits.bench.comparison import OURS, Entry, Report, notes
from fastlogits.bench.numbers import figures


def cell(entry: Entry | None) -> str:
    """Multiple of one read, with ulp in brackets; bold where it is faster than fastlogits."""
    if entry is None:
        return ""
    if entry.ratio is None:
        return entry.status
    told = f"**{figures(entry.ratio)}**" if entry.faster else figures(entry.ratio)
    return told if entry.ulp is None else f"{told} ({figures(entry.ulp)})"


def about(report: Report) -> list[str]:
    """What the figures were taken on and with, a line each."""
    machine = report.machine
    rows = f"rows of {report.vocab:,} {report.dtype} ({report.rows})"
    turn = f"{report.rows_in_turn} of them in turn, from memory" if report.cold else "one row, hot in the cache"
    pinned = "one thread" if machine["core"] is None else "one thread, pinned to a core"
    return [
        f"{machine['cpu']}, {machine['isa']}; {machine['system']}; {pinned}",
        ", ".join(f"{name} {version}" for name, version in report.versions.items()),
        f"{rows}, {turn}; one read takes {report.read_once_seconds * 1e6:.2f} us",
        f"`{report.command}`",
    ]


def markdown(report: Report) -> str:
    """The report as lists and a table."""
    names = report.contestants()
    text = [f"- {line}" for line in about(report)]
    text += ["", "| | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
    for line in report.lines:
        by = {entry.by: entry for entry in line.entries}
        text.append(f"| {line.says} | " + " | ".join(cell(by.get(name)) for name in names) + " |")
    told = [f"- {job}, {by}: {note}" for job, by, note in notes(report)]
    faster = lost(report)
    told += [f"- faster than {OURS}: {'; '.join(faster)}"] if faster else []
    told += [f"- not installed: {name} (`{how}`)" for name, how in report.missing.items()]
    return "\n".join([*text, *(["", *told] if told else []), ""])


def lost(report: Report) -> list[str]:
    """Where somebody was faster than fastlogits, in words."""
    return [
        f"{line.job} by {entry.by}"
        for line in report.lines
        for entry in line.entries
        if entry.faster and entry.by != OURS
    ]
