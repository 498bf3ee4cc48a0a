"""Reference of what steps against repeats look for; see `fastlogits.reference`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


def tail(ids: Ids, window: int | None) -> Ids:
    """The last `window` ids; all of them if that is None or negative."""
    return ids if window is None or window < 0 else ids[max(0, len(ids) - int(window)) :]


def agreement(ids: Ids, at: int) -> int:
    """How many tokens up to place `at` are those at the end."""
    m = 0
    while m <= at and ids[at - m] == ids[len(ids) - 1 - m]:
        m += 1
    return m


def behind_breaker(ids: Ids, breakers: Sequence[Sequence[int]]) -> int:
    """How many ids stand after the last sequence breaker; all of them if there is none."""
    for begin in range(len(ids) - 1, -1, -1):
        ends = [begin + len(b) for b in breakers if ids[begin : begin + len(b)].tolist() == list(b)]
        if ends:
            return len(ids) - max(ends)
    return len(ids)


def repeats(ids: Ids, breakers: Sequence[Sequence[int]] = ()) -> dict[int, int]:
    """Token -> the largest number of last ids, after the last breaker, that it followed before."""
    most, longest = behind_breaker(ids, breakers), dict[int, int]()
    for at in range(len(ids) - 1):
        token = int(ids[at + 1])
        if token >= 0:
            longest[token] = max(longest.get(token, 0), min(agreement(ids, at), most))
    return longest


def banned(text: Ids, context: Ids, size: int, v: int) -> Floats:
    """-inf for the tokens that follow the last size - 1 ids of `context` in `text`, else 0; [v]."""
    bans = np.zeros(v)
    before = size - 1
    for at in range(max(before, 0), len(text) if 0 <= before <= len(context) else 0):
        if text[at] >= 0 and np.array_equal(text[at - before : at], context[len(context) - before :]):
            bans[text[at]] = -np.inf
    return bans
