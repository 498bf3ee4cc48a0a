"""Timings of calls taken in turns, so that what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BATCH = 2e-4  # seconds in one go: far above the clock's resolution, far below a scheduler's slice


def batch_size(call: Callable[[], object]) -> int:
    """How many calls fill one batch; the call has run often enough to be warm."""
    times = []
    for _ in range(5):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return max(1, min(2000, int(BATCH / max(min(times), 1e-7))))


def in_turns(calls: Mapping[str, Callable[[], object]], seconds: float) -> tuple[dict[str, float], int]:
    """Median seconds of each call, and how many rounds they were taken over (5 at least).

    A round times one batch of each call; `seconds` bounds all rounds together.
    """
    sizes = {name: batch_size(call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = perf_counter() + seconds
    rounds = 0
    while rounds < 5 or perf_counter() < end:
        rounds += 1
        for name, call in calls.items():
            size = sizes[name]
            start = perf_counter()
            for _ in range(size):
                call()
            times[name].append((perf_counter() - start) / size)
    return {name: median(each) for name, each in times.items()}, rounds
