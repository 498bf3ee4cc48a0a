"""Check, then time: every job by every contestant, in turns with the read-once kernel on the same rows."""

from __future__ import annotations

import functools
import itertools
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

import fastlogits
import fastlogits._core as _core
from fastlogits import cpu
from fastlogits.bench import rows, timing
from fastlogits.bench.checks import Found
from fastlogits.bench.jobs import JOBS, Contestant, Job
from fastlogits.bench.peers import INSTALL, Peer, Way
from fastlogits.bench.rows import Inputs
from fastlogits.bench.timing import Call, Timed

OURS = "fastlogits"
LAST_CACHE, MOST = 32 << 20, 512 << 20  # bytes: taken for the last cache where its size is unknown; of a ring at most


@dataclass(frozen=True)
class Settings:
    """What is compared on which rows.

    Attributes
    ----------
    vocab : int
        Logits per row.
    kind : str
        A kind of `rows.row`.
    dtype : str
        Of the rows, but for the jobs that have one of their own.
    cold : bool
        Rows that are together larger than the last cache take turns.
    seconds : float
        For the rounds of one job.
    only : str
        A regular expression that the names of the jobs match.
    """

    vocab: int = 128_256
    kind: str = "real"
    dtype: str = "float32"
    cold: bool = False
    seconds: float = 2.0
    only: str = ""

    def jobs(self) -> list[Job]:
        """The jobs asked for whose types are there."""
        named = [job for name, job in JOBS.items() if re.search(self.only, name)]
        return [job for job in named if rows.dtype_of(job.dtype or self.dtype) is not None]


@dataclass(frozen=True)
class Entry:
    """One contestant at one job; what is not known is None.

    Attributes
    ----------
    by : str
        The contestant.
    status : str
        "same", "differs" (from the exact result, beyond what counts as the same: not timed), or "failed".
    note : str
        How it differs, or why it failed; a token more or fewer that does not matter.
    ulp : float or None
        Worst error of its values in units in the last place, against float64.
    seconds, ratio : float or None
        Median of a call, and median of its multiple of one read in the same round.
    faster : bool
        Whether it took less time than fastlogits.
    """

    by: str
    status: str
    note: str = ""
    ulp: float | None = None
    seconds: float | None = None
    ratio: float | None = None
    faster: bool = False


@dataclass(frozen=True)
class Line:
    """A job and its contestants, fastlogits first."""

    job: str
    says: str
    dtype: str
    rounds: int
    entries: list[Entry]


@dataclass(frozen=True)
class Report:
    """All that was found; without a date, so that equal figures make equal reports."""

    command: str
    machine: dict[str, Any]
    versions: dict[str, str]
    vocab: int
    rows: str
    dtype: str
    cold: bool
    rows_in_turn: int
    read_once_seconds: float
    missing: dict[str, str]
    lines: list[Line]

    def contestants(self) -> list[str]:
        """Who does one job at least, fastlogits first, the others as `peers.INSTALL` lists them."""
        there = {entry.by for line in self.lines for entry in line.entries}
        return [name for name in (OURS, *INSTALL) if name in there] + sorted(there - {OURS, *INSTALL})


# ---- rows ----------------------------------------------------------------------------------------------------------


def last_cache() -> int:
    """Bytes of the largest cache of the first core."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        found = re.fullmatch(r"(\d+)([KM])", path.read_text().strip())
        if found:
            sizes.append(int(found[1]) << {"K": 10, "M": 20}[found[2]])
    return max(sizes, default=LAST_CACHE)


def ring(settings: Settings) -> list[Any]:
    """The row that is worked on, or rolled copies of it that are together twice as large as the last cache."""
    row = rows.row(settings.kind, settings.vocab, 0).astype(np.float32)
    if not settings.cold:
        return [row]
    count = max(2, -(-min(2 * last_cache(), MOST) // row.nbytes))
    return [np.roll(row, 97 * shift) for shift in range(count)]


def in_turn(calls: Sequence[Call], places: Iterator[int]) -> Call:
    """The call of the next row; all contestants share `places`, so that nobody finds a row that another just read."""
    if len(calls) == 1:
        return calls[0]
    return lambda: calls[next(places)]()


# ---- checking and timing -------------------------------------------------------------------------------------------


class Ready(NamedTuple):
    """A contestant that may be timed, and what the check said."""

    entry: Entry
    call: Call | None


def ready(by: str, way: Way, job: Job, inputs: Sequence[Inputs], exact: Found, places: Iterator[int]) -> Ready:
    """Prepare a contestant on every row and check what it finds on the first one; nothing it raises goes further."""
    try:
        prepared: list[Contestant] = [way(i) for i in inputs]
        verdict = job.verdict(prepared[0], inputs[0], exact)
    except Exception as error:
        return Ready(Entry(by, "failed", " ".join(f"{type(error).__name__}: {error}".split())[:200]), None)
    if not verdict.same:
        return Ready(Entry(by, "differs", verdict.note, verdict.ulp), None)
    return Ready(Entry(by, "same", verdict.note, verdict.ulp), in_turn([each.call for each in prepared], places))


def measured(
    job: Job, ways: dict[str, Way], inputs: Sequence[Inputs], reads: Sequence[Call], seconds: float
) -> tuple[Line, float]:
    """A line of the report, and seconds of one read; `reads` are the read-once kernel on the same rows."""
    exact, places = job.exact(inputs[0]), itertools.cycle(range(len(inputs)))
    found = {by: ready(by, way, job, inputs, exact, places) for by, way in ways.items()}
    isa = _core.isa()
    calls = {"": Timed(in_turn(reads, places), isa)}
    calls |= {by: Timed(each.call, isa) for by, each in found.items() if each.call is not None}
    rounds = list(timing.turns(calls, seconds))
    took = {by: median(times[by] for times in rounds) for by in calls}
    ratio = {by: median(times[by] / times[""] for times in rounds) for by in calls}
    entries = []
    for by, each in found.items():
        entry = each.entry
        if by in took:
            faster = OURS in ratio and ratio[by] < ratio[OURS]
            entry = replace(entry, seconds=took[by], ratio=ratio[by], faster=faster)
        entries.append(entry)
    return Line(job.name, job.says, str(inputs[0].x.dtype), len(rounds), entries), took[""]


def lines(settings: Settings, peers: Sequence[Peer]) -> Iterator[tuple[Line, float]]:
    """The lines one by one, each with the seconds of one read."""
    values = ring(settings)

    @functools.cache
    def inputs(dtype: str) -> list[Inputs]:
        return [Inputs.like(each, dtype, settings.cold) for each in values]

    reads = [functools.partial(_core.read_once, i.x) for i in inputs("float32")]
    for job in settings.jobs():
        ways: dict[str, Way] = {OURS: job.ours} | {
            peer.name: peer.ways[job.name] for peer in peers if job.name in peer.ways
        }
        yield measured(job, ways, inputs(job.dtype or settings.dtype), reads, settings.seconds)


def compare(
    settings: Settings,
    peers: Sequence[Peer],
    *,
    command: str = "",
    missing: dict[str, str] | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> Report:
    """Check and time all jobs of the settings, pinned to one core.

    Parameters
    ----------
    settings : Settings
        What on which rows.
    peers : sequence of Peer
        The peers.
    command : str
        What the report says it was made by.
    missing : dict of str to str, optional
        Peers that are not installed, and how to install them.
    done : callable, optional
        Told the number of jobs done since it was last called.
    """
    found, reads = [], []
    with timing.on_one_core() as core:
        for line, once in lines(settings, peers):
            found.append(line)
            reads.append(once)
            done(1)
    versions = {"fastlogits": fastlogits.__version__, "python": platform.python_version(), "numpy": np.__version__}
    for peer in peers:
        versions |= peer.versions()
    machine = {"cpu": cpu.name(), "isa": _core.isa(), "core": core, "threads": 1, "system": platform.system()}
    return Report(
        command, machine, versions, settings.vocab, settings.kind, settings.dtype, settings.cold, len(ring(settings)),
        median(reads), missing or {}, found,
    )  # fmt: skip


def notes(report: Report) -> Iterable[tuple[str, str, str]]:
    """(job, contestant, note) of all entries that have one."""
    for line in report.lines:
        for entry in line.entries:
            if entry.note:
                yield line.job, entry.by, f"{entry.status}: {entry.note}" if entry.status != "same" else entry.note
