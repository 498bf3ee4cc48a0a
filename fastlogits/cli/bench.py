"""``fastlogits bench``: how long each job takes on this machine, beside the read-once kernel and NumPy or SciPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import fastlogits
from fastlogits import _core
from fastlogits.cli import UserError, bundled, idioms, report, timing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from numpy.typing import NDArray

U = 0.5  # the peers' uniform number; fastlogits makes its own from the seed
TEMPERATURE, K, TOP_P, MIN_P = 0.8, 50, 0.95, 0.05
FEWEST, MOST = 1_000, 4_000_000


@dataclass(frozen=True)
class Job:
    """One line of the table: our call and what people write instead."""

    name: str
    ours: Callable[[], object]
    peer_name: str
    peer: Callable[[], object]


@dataclass(frozen=True)
class Line:
    """Seconds per call, and both as multiples of the read-once kernel on the same row."""

    name: str
    seconds: float
    ratio: float
    peer: str
    peer_seconds: float
    peer_ratio: float


@dataclass(frozen=True)
class Bench:
    """The report."""

    isa: str
    vocab: int
    read_once_seconds: float
    lines: list[Line]


def real_row(vocab: int) -> NDArray[np.float32]:
    """`vocab` logits of the bundled rows, repeated if need be and shuffled; float32, on a cache line."""
    values = np.resize(bundled.load().logits.astype(np.float32), vocab)
    room = np.empty(vocab + 16, np.float32)
    start = -room.ctypes.data % 64 // 4
    row = room[start : start + vocab]
    row[:] = np.random.default_rng(0).permutation(values)
    return row


def jobs(row: NDArray[np.float32]) -> list[Job]:
    """The table's lines for one row [V]; k is at most V."""
    out = np.empty_like(row)
    chain = fastlogits.Sampler(temperature=TEMPERATURE, top_k=K, top_p=TOP_P, min_p=MIN_P)
    nucleus = fastlogits.Sampler(temperature=TEMPERATURE, top_p=TOP_P)
    lines = [
        Job("read once", lambda: _core.read_once(row), "np.max", row.max),
        Job("argmax", lambda: fastlogits.argmax(row), "np.argmax", row.argmax),
        Job("top_k", lambda: fastlogits.top_k(row, K), "np.argpartition", lambda: idioms.largest(row, K)),
        Job("logsumexp", lambda: fastlogits.logsumexp(row), "NumPy", lambda: idioms.logsumexp(row)),
        Job("softmax", lambda: fastlogits.softmax(row, out=out), "NumPy", lambda: idioms.softmax(row, out)),
        Job(
            "top-k chain", lambda: chain.sample(row, rng=7),
            "NumPy", lambda: idioms.top_k_chain(row, TEMPERATURE, K, TOP_P, MIN_P, U),
        ),
        Job(
            "nucleus", lambda: nucleus.sample(row, rng=7),
            "NumPy", lambda: idioms.nucleus(row, TEMPERATURE, TOP_P, U),
        ),
    ]  # fmt: skip
    try:
        from scipy import special
    except ImportError:
        return lines
    lines.insert(4, Job("", lambda: fastlogits.logsumexp(row), "SciPy", lambda: special.logsumexp(row)))
    lines.insert(6, Job("", lambda: fastlogits.softmax(row, out=out), "SciPy", lambda: special.softmax(row)))
    return lines


def collect(vocab: int, seconds: float) -> Bench:
    """Time every job against its peer, each in turns with the read-once kernel."""
    if not FEWEST <= vocab <= MOST:
        raise UserError(f"--vocab must be in [{FEWEST}, {MOST}], got {vocab}")
    if not 0 < seconds <= 600:
        raise UserError(f"--seconds must be in (0, 600], got {seconds:g}")
    row = real_row(vocab)
    todo = jobs(row)
    units, lines, name = [], [], ""
    for job in todo:
        name = job.name or name
        calls = {"unit": lambda: _core.read_once(row), "ours": job.ours, "peer": job.peer}
        took, _ = timing.in_turns(calls, seconds / len(todo))
        units.append(took["unit"])
        ours, peer = took["ours"], took["peer"]
        lines.append(Line(name, ours, ours / took["unit"], job.peer_name, peer, peer / took["unit"]))
    return Bench(_core.isa(), vocab, float(np.median(units)), lines)


def run(options: argparse.Namespace) -> None:
    """Print the table."""
    if options.json:
        report.print_json(collect(options.vocab, options.seconds))
        return
    from fastlogits.cli import screen

    view = screen.Screen()
    found = collect(options.vocab, options.seconds)
    once = screen.duration(found.read_once_seconds)
    view.print(f"A row of {found.vocab:,} float32 logits, one core, {found.isa}; one read takes {once}.")
    view.print(
        f"x: multiples of that, timed in turns. top_k: k = {K}. top-k chain: T {TEMPERATURE}, top-k {K}, top-p {TOP_P},"
        f" min-p {MIN_P}, draw. nucleus: T {TEMPERATURE}, top-p {TOP_P}, draw.",
        style="dim",
    )
    view.print()
    table = view.table(["job", "fastlogits", "x", "peer", "time", "x", "faster"], left=1)
    shown = ""
    for line in found.lines:
        table.add_row(
            line.name if line.name != shown else "",
            screen.duration(line.seconds), screen.figures(line.ratio),
            line.peer, screen.duration(line.peer_seconds), screen.figures(line.peer_ratio),
            screen.figures(line.peer_seconds / line.seconds),
        )  # fmt: skip
        shown = line.name
    view.print(table)
