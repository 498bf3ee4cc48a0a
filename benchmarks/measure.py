"""What all benchmarks share: rows of logits, calls timed in turns, errors in ulp."""

from __future__ import annotations

import functools
import os
import timeit
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits import _core
from fastlogits.cli import bundled

Singles = NDArray[np.float32]
Call = Callable[[], object]

BEST = _core.isas()[0]
VOCABS = (32_000, 128_256, 262_144)
BATCHES = (1, 8, 64)
KINDS = ("real", "peaky", "flat", "ties", "equal", "ascending", "descending")
OFFSETS = (0, 16)


@dataclass(frozen=True)
class Case:
    """One point of the grid: instruction set, shape [batch, vocab], kind of row, bytes off a cache line."""

    isa: str = BEST
    vocab: int = 128_256
    batch: int = 1
    kind: str = "real"
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.isa}-{self.vocab}x{self.batch}-{self.kind}-{'off' if self.offset else 'line'}"


def cases(grid: bool) -> list[Case]:
    """Either the whole grid, or the middle of it with one axis varied at a time."""
    if grid:
        each = [
            Case(isa, vocab, batch, kind, offset)
            for vocab in VOCABS for batch in BATCHES for kind in KINDS for offset in OFFSETS for isa in _core.isas()
        ]  # fmt: skip
    else:
        axes: dict[str, Any] = {
            "isa": _core.isas(),
            "vocab": VOCABS,
            "batch": BATCHES,
            "kind": KINDS,
            "offset": OFFSETS,
        }
        each = [replace(Case(), **{axis: value}) for axis, values in axes.items() for value in values]
    return list(dict.fromkeys(each))


# ---- rows ----------------------------------------------------------------------------------------------------------


@functools.cache
def real_logits() -> NDArray[np.float16]:
    """Rows of a real model, [n, 49152]: $FASTLOGITS_DATA, else ../shared/data, else those the package carries."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("FASTLOGITS_DATA") or beside) / "smollm2_generation.npz"
    if not path.exists():
        return bundled.load().logits
    with np.load(path) as arrays:
        logits: NDArray[np.float16] = arrays["logits"]
    return logits


def row(kind: str, vocab: int, number: int) -> NDArray[Any]:
    """Row `number` of a kind, [vocab]."""
    rng = np.random.default_rng((vocab, number))
    if kind.endswith("real"):
        found = real_logits()
        once = found[13 * number % len(found)].astype(np.float32)
        # The reordered copies lie lower: as many likely tokens as in the row itself.
        copies = [rng.permutation(once) - 5 - copy for copy in range(1, -(-vocab // once.size))]
        values = np.concatenate([once, *copies])[:vocab]
    else:
        values = rng.standard_normal(vocab, np.float32)
    match kind:
        case "real" | "flat":
            return values
        case "peaky":
            values *= 2
            values[rng.choice(vocab, 5, replace=False)] = np.arange(16, 21)
            return values
        case "ties" | "ties, real":
            return np.round(values * 8) / 8
        case "equal":
            return np.full(vocab, 1.5)
        case "ascending":
            return np.sort(values)
        case "descending":
            return np.sort(values)[::-1]
    raise ValueError(f"unknown kind {kind!r}")


def placed(values: NDArray[Any], offset: int = 0) -> Singles:
    """A float32 copy that starts `offset` bytes behind the start of a cache line."""
    room = np.empty(values.size + 32, np.float32)
    start = (offset - room.ctypes.data) % 64 // 4
    copy = room[start : start + values.size].reshape(values.shape)
    copy[...] = values
    return copy


@functools.lru_cache(maxsize=1)
def matrix(kind: str, vocab: int, batch: int) -> Singles:
    """Rows 0 .. batch - 1 of a kind, on a cache line: [vocab] for a batch of 1, else [batch, vocab]."""
    rows = placed(np.stack([row(kind, vocab, number) for number in range(batch)]))
    return rows if batch > 1 else rows[0]


# ---- time ----------------------------------------------------------------------------------------------------------

TURN = 2e-4  # seconds of one turn: far above the clock's resolution, far below a scheduler's slice


@dataclass(frozen=True)
class Timed:
    """What is timed, and the instruction set it runs on; a statement as text spares the call of a function."""

    call: Call | str
    isa: str = BEST
    names: Mapping[str, Any] | None = None

    def timer(self) -> timeit.Timer:
        """The statement, ready to be repeated."""
        return timeit.Timer(self.call, globals=dict(self.names or {}))


def turns(calls: Mapping[str, Timed], seconds: float, fewest: int = 5) -> Iterator[dict[str, float]]:
    """Rounds in which every call has its turn: seconds per call, by name, after one untimed call that warms caches.

    A round that was begun in time is finished; there are at least `fewest`.
    """
    before, clock = _core.isa(), timeit.default_timer
    timers = {name: call.timer() for name, call in calls.items()}
    try:
        sizes = {}
        for name, timer in timers.items():
            _core.set_isa(calls[name].isa)
            sizes[name] = max(1, min(2000, int(TURN / max(min(timer.repeat(3, 1)), 1e-7))))
        end, rounds = clock() + seconds, 0
        while rounds < fewest or clock() < end:
            times = {}
            for name, timer in timers.items():
                _core.set_isa(calls[name].isa)
                timer.timeit(1)
                times[name] = timer.timeit(sizes[name]) / sizes[name]
            rounds += 1
            yield times
    finally:
        _core.set_isa(before)


def ratios(calls: Mapping[str, Timed], seconds: float, fewest: int = 5) -> dict[str, float]:
    """Median over the rounds of each call's time divided by that of the first, the unit."""
    unit = next(iter(calls))
    rounds = list(turns(calls, seconds, fewest))
    return {name: median(times[name] / times[unit] for times in rounds) for name in calls if name != unit}


def pin(core: int | None = None) -> int | None:
    """Keep this process on one core, by default the last it may use; None where the system has no such call."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {core})
    return core


# ---- error ---------------------------------------------------------------------------------------------------------


def ulp(got: Any, exact: Any) -> float:
    """Largest |got - exact| in units in the last place of float32 at `exact`, float64; equal infinities are 0 away.

    A unit is never less than that of the least normal number, below which results may be flushed to zero.
    """
    value, right = np.asarray(got, np.float64), np.asarray(exact, np.float64)
    if value.shape != right.shape:
        return float("inf")
    finite = np.isfinite(right)
    if not np.array_equal(value[~finite], right[~finite]):
        return float("inf")
    value, right = value[finite], right[finite]
    least = np.finfo(np.float32).tiny
    away = np.abs(value - right) / np.spacing(np.maximum(np.abs(right), least).astype(np.float32))
    away[(np.abs(right) < least) & (np.abs(value) <= least)] = 0
    return float(away.max(initial=0))
