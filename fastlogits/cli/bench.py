"""``fastlogits bench``: time of each job on this machine, compared with one read and with other libraries."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from fastlogits.bench import comparison, peers, picture, rows, tables
from fastlogits.bench.jobs import JOBS
from fastlogits.bench.numbers import figures
from fastlogits.cli import UserError, progress, report, state

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from fastlogits.bench.comparison import Entry, Report, Settings
    from fastlogits.bench.peers import Peer
    from fastlogits.cli.screen import Screen

FEWEST, MOST = 1_000, 4_000_000
QUICK = 0.2  # seconds for one job


def settings_of(options: argparse.Namespace) -> Settings:
    """What the options ask for, checked."""
    if not FEWEST <= options.vocab <= MOST:
        raise UserError(f"--vocab must be in [{FEWEST}, {MOST}], got {options.vocab}")
    if not 0 < options.seconds <= 600:
        raise UserError(f"--seconds must be in (0, 600], got {options.seconds:g}")
    seconds = QUICK if options.quick else options.seconds
    if rows.dtype_of(options.dtype) is None:
        raise UserError("--dtype bfloat16 needs ml_dtypes: pip install ml_dtypes")
    try:
        re.compile(options.only)
    except re.error as error:
        raise UserError(f"--only: {options.only!r} is no regular expression: {error}") from None
    settings = comparison.Settings(options.vocab, options.rows, options.dtype, options.cold, seconds, options.only)
    if not settings.jobs():
        raise UserError(f"--only {options.only} matches none of: {'; '.join(JOBS)}")
    return settings


def chosen(names: str | None) -> tuple[list[Peer], dict[str, str]]:
    """The peers named, or all that are installed; and how to install those that are not."""
    wanted = list(peers.INSTALL) if names is None else list(dict.fromkeys(names.split(",")))
    unknown = [name for name in wanted if name not in peers.INSTALL]
    if unknown:
        raise UserError(f"--against: unknown {unknown[0]!r}; choices: {', '.join(peers.INSTALL)}")
    found, missing = [], {}
    for name in wanted:
        try:
            with warnings.catch_warnings(action="ignore"):  # what other packages say about themselves
                found.append(peers.load(name))
        except Exception as error:  # a broken installation raises what it likes
            if names is not None:
                how = f"pip install {peers.INSTALL[name]}"
                raise UserError(f"--against {name}: {name} cannot be imported ({error}): {how}") from None
            missing[name] = f"pip install {peers.INSTALL[name]}"
    return found, missing


def command_of(settings: Settings, found: Sequence[Peer]) -> str:
    """The command that measures this again, independent of defaults and of other installed libraries."""
    words = ["fastlogits", "bench", "--against", ",".join(peer.name for peer in found)]
    words += ["--vocab", str(settings.vocab), "--rows", settings.kind, "--dtype", settings.dtype]
    words += ["--seconds", f"{settings.seconds:g}"]
    words += ["--cold"] * settings.cold + (["--only", settings.only] if settings.only else [])
    return shlex.join(words)


def check_plot(options: argparse.Namespace) -> None:
    """Refuse before anything is timed what could not be drawn afterwards."""
    if options.plot is None:
        return
    if Path(options.plot).suffix.lower() not in (".svg", ".png"):
        raise UserError(f"--plot must end in .svg or .png, got {options.plot!r}")
    try:
        from fastlogits.plots import _axes

        _axes.matplotlib()
    except ImportError as error:
        raise UserError(f"--plot: {error}") from None


def run(options: argparse.Namespace) -> None:
    """Measure, and print or write what was asked for."""
    settings = settings_of(options)
    check_plot(options)
    shows = options.json != "-" and options.markdown != "-"
    if shows:
        from fastlogits.cli import screen

        view = screen.Screen()
    found, missing = chosen(options.against)
    if rows.dtype_of("bfloat16") is None:
        missing["ml_dtypes, for bfloat16"] = "pip install ml_dtypes"
    jobs = settings.jobs()
    with progress.bar("jobs", len(jobs), 0, rate=False) as done, warnings.catch_warnings(action="ignore"):
        made = comparison.compare(settings, found, command=command_of(settings, found), missing=missing, done=done)
    if options.json:
        report.put_json(made, options.json)
    if options.markdown == "-":
        print(tables.markdown(made), end="")
    elif options.markdown:
        state.replace(options.markdown, tables.markdown(made).encode())
    if options.plot:
        from fastlogits import plots

        plots.save(picture.drawn(made), options.plot)
    if shows:
        show(view, made)


def show(view: Screen, made: Report) -> None:
    """The report as a table for a terminal."""
    for text in tables.about(made):
        view.print(text.strip("`"), style="dim")
    view.print()
    table = view.table(["job", "by", "time", "reads", "ulp", "fastlogits"], left=2)
    for line in made.lines:
        ours = line.entries[0].seconds
        for entry in line.entries:
            name = line.job if entry is line.entries[0] else ""
            table.add_row(name, entry.by, *cells(entry, ours), style="bold red" if entry.faster else "")
    view.print(table)
    view.print()
    view.print(
        "reads: multiples of reading the row once, timed in turns; ulp: worst error against float64.", style="dim"
    )
    lost = tables.lost(made)
    view.print(f"Faster than fastlogits: {'; '.join(lost)}." if lost else "Nothing here was faster than fastlogits.")
    for job, by, note in comparison.notes(made):
        view.print(f"{job}, {by}: {note}")
    for name, how in made.missing.items():
        view.print(f"not installed: {name} ({how})")


def cells(entry: Entry, ours: float | None) -> list[str]:
    """Time, reads, ulp, and how many times as fast fastlogits is."""
    from fastlogits.cli import screen

    error = "" if entry.ulp is None else figures(entry.ulp)
    if entry.seconds is None or entry.ratio is None:
        return [entry.status, "", error, ""]
    times = "" if ours is None or entry.by == comparison.OURS else f"{figures(entry.seconds / ours)} x"
    return [screen.duration(entry.seconds), figures(entry.ratio), error, times]
