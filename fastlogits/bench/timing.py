"""Calls timed in turns, so that what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import contextlib
import os
import timeit
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import fastlogits._core as _core

Call = Callable[[], object]

BEST = _core.isas()[0]
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


@contextlib.contextmanager
def on_one_core() -> Iterator[int | None]:
    """`pin` for as long as the block lasts."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    try:
        yield pin()
    finally:
        if before:
            os.sched_setaffinity(0, before)
