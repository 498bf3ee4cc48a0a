"""What one read of a vocabulary shard says of its rows, as records; see `fastlogits.scoring.shards`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import bfloat16 as half
from fastlogits._common import threads as _threads
from fastlogits._common.errors import Status, row_name

Array = NDArray[Any]
BLOCK, LANES = 256, 16


class Shard(NamedTuple):
    """One shard's rows, and what is asked of them.

    x [..., V]: its logits. t [rows]: temperatures. ids [rows]: targets in the whole vocabulary, negative where a row is
    left out. whole [rows, 3]: the peaks of all shards, or None. given: candidates [K] or [rows, K], or None.
    moments: 1 asks for the entropy, 2 for the varentropy, 3 for both.
    """

    x: Array
    t: Array
    ids: Array
    whole: Array | None
    given: Array | None
    top_n: int
    margin: bool
    rank: bool
    moments: int

    @property
    def columns(self) -> int:
        """How many of the most likely tokens are needed."""
        return max(self.top_n, 2 * self.margin, 1)


def record(shard: Shard) -> np.dtype[Any]:
    """The type of one row's record."""
    whole, given, top_n, code = shard.whole, shard.given, shard.top_n, _core.dtype_code(shard.x)
    ids = ["offset", "size", "vocab", "target", "best"]
    numbers = ["temperature", "level", "top", "rest"]
    fields: list[Any] = [(name, np.int64) for name in ids] + [(name, np.float64) for name in numbers]
    fields += [("code", np.int32), ("status", np.int32)]
    fields += [("above", np.int64)] * shard.rank + [("second", np.float64)] * shard.margin
    fields += [("entropy", np.float64)] * (shard.moments > 0) + [("varentropy", np.float64)] * (shard.moments > 1)
    if top_n:
        fields += [("top_ids", np.int64, (top_n,)), ("top_logits", np.float64, (top_n,))]
    if given is not None:
        fields += [("given", np.int64, given.shape[-1:]), ("given_logits", np.float64, given.shape[-1:])]
    if whole is not None:
        with np.errstate(over="ignore"):
            far = np.isfinite(whole[:, 1]) & ~(np.abs(whole[:, 1]) / shard.t < 1e5)
        double = code == _core.F64 or bool((far | (shard.t < 1e-12) | (shard.t > 1e12)).any())
        groups = -(-shard.x.shape[-1] // BLOCK) * LANES
        fields += [("peaks", np.float64, (3,)), ("beside", np.float64, (LANES,))]
        fields += [("sums", np.float64, (2, groups)) if double else ("sums", np.float32, (groups,))]
    return np.dtype(fields)


def fill(made: Array, shard: Shard, threads: int) -> None:
    """All that one read of the shard gives."""
    x, ids, whole, columns = shard.x, shard.ids, shard.whole, shard.columns
    names, rows = made.dtype.names or (), ids.size
    found: dict[str, Any] = {
        "best": np.empty(rows, np.int64),
        "rests": np.empty(rows),
        "status": np.zeros(rows, np.int32),
    }
    for name, word in (("entropy", "entropies"), ("varentropy", "varentropies")):
        found |= {word: np.empty(rows)} if name in names else {}
    if "above" in names and whole is not None:
        found |= {"ranks": np.empty(rows, np.int64), "levels": np.ascontiguousarray(whole[:, 2])}
    if whole is not None:
        pair = np.ascontiguousarray(whole[:, 0]), np.ascontiguousarray(whole[:, 1])
        found |= {"whole": pair, "sums": np.zeros((rows, *made.dtype["sums"].shape), made.dtype["sums"].base)}
    if columns > 1:
        found |= {"top_ids": np.empty((rows, columns), np.int64), "top_logprobs": np.empty((rows, columns))}
    firsts = np.where(ids < 0, -1, 0)
    task = _core.ScoresTask(x, np.ascontiguousarray(shard.t), firsts, logprobs=np.empty(rows), **found)
    _threads.run_blocks(task.run, rows, threads, x.shape[-1])
    offset, there = made["offset"][0], found["best"] >= 0
    top_ids = found["top_ids"] if columns > 1 else found["best"][:, None]
    logits = np.where(top_ids < 0, -np.inf, gathered(x, np.maximum(top_ids, 0)))
    made["status"], made["best"] = found["status"], np.where(there, found["best"] + offset, -1)
    made["top"], made["rest"] = logits[:, 0], np.where(there, found["rests"], 0.0)
    made["level"] = of_targets(x, ids, offset)
    for name, word in (("entropy", "entropies"), ("varentropy", "varentropies")):
        if name in names:
            made[name] = np.where(there, found[word], 0.0)
    if "above" in names:
        made["above"] = np.where(there, found["ranks"] - 1, 0)
    if "second" in names:
        made["second"] = logits[:, 1]
    if "top_ids" in names:
        n = made.dtype["top_ids"].shape[0]
        made["top_ids"], made["top_logits"] = np.where(top_ids < 0, -1, top_ids + offset)[:, :n], logits[:, :n]
    if whole is not None:
        made["sums"] = found["sums"]


def add_peaks(made: Array, x: Array, whole: Array, outer: tuple[int, ...]) -> None:
    """The peaks, and the values of the maximum's group next to it."""
    below = (made["status"] == Status.OK) & (made["best"] >= 0)
    below &= (whole[:, 1] < made["top"]) | (whole[:, 2] < made["level"])
    if below.any():
        row = int(np.flatnonzero(below)[0])
        where = row_name("peaks", row, outer)
        raise ValueError(f"{where} lies below this shard's own; pass the elementwise maximum of all shard_peaks")
    best = np.maximum(made["best"] - made["offset"], 0)[:, None]
    ids = best // BLOCK * BLOCK + best % LANES + np.arange(0, BLOCK, LANES)
    beside = (ids < x.shape[-1]) & (ids != best)
    made["peaks"] = whole
    made["beside"] = np.where(beside, gathered(x, np.where(beside, ids, 0)), -np.inf)


def gathered(x: Array, ids: Array) -> NDArray[np.float64]:
    """Logits of ids [rows, K] that lie in the shard, as float64."""
    return half.wide(np.take_along_axis(x, ids.reshape(*x.shape[:-1], -1), -1)).reshape(ids.shape)


def inside(x: Array, ids: Array, offset: int) -> NDArray[np.float64]:
    """Logits of ids [rows, K] of the whole vocabulary; -inf where another shard has them."""
    here = (ids >= offset) & (ids < offset + x.shape[-1])
    return np.where(here, gathered(x, np.where(here, ids - offset, 0)), -np.inf)


def of_targets(x: Array, ids: Array, offset: int) -> NDArray[np.float64]:
    """Logits of the targets [rows]; -inf where another shard has them, or none is wanted."""
    return inside(x, ids[:, None], offset)[:, 0]
