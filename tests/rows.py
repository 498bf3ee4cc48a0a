"""Rows of logits: the classes on which accuracy is promised, rows made from integers alone, and real rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits.bench.rows import bundled_logits

Floats = NDArray[np.float64]

ROOT = Path(__file__).resolve().parent.parent


# ---- the row classes of the accuracy promise -----------------------------------------------------------------------


def accuracy_rows(n: int, seed: int = 0, dtype: str = "float32") -> dict[str, Floats]:
    """One row [n] per class, by name, as float64 values that `dtype` holds exactly (float32 or float64); n >= 2."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=n)
    lowest = float(np.finfo(dtype).min)
    peaky = 2.0 * normal
    peaky[rng.choice(n, min(n, 5), replace=False)] += np.arange(12.0, 12.0 + min(n, 5))
    dominating = normal.copy()
    dominating[n // 2] = 40.0
    banned = np.where(rng.random(n) < 0.99, -np.inf, 3 * normal)
    banned[n // 3] = 0.5
    two = np.full(n, -np.inf)
    two[[0, n - 1]] = 0.25, -1.5
    scores = 4.0 * normal
    made = {
        "random": 3.0 * normal,
        "peaky": peaky,
        "flat": 0.01 * normal,
        "+-1e4": rng.uniform(-1e4, 1e4, n),
        "+-1e30": rng.uniform(-1e30, 1e30, n),
        "finfo.min as mask": np.where(np.arange(n) % 2 == 0, lowest, 3.0 * normal),
        "one dominating": dominating,
        "all equal": np.full(n, -7.3),
        "offset 1e4": normal + 1e4,
        "99 % banned": banned,
        "two tokens": two,
        "log-probs": scores - scores.max() - np.log(np.exp(scores - scores.max()).sum()),
    }
    return {name: row.astype(dtype).astype(np.float64) for name, row in made.items()}


TEMPERATURES = (1e-6, 1e-3, 0.1, 0.7, 1.0, 1.3, 10.0, 100.0)


# ---- rows from integers alone: the same on every platform, no libm -------------------------------------------------


def words(n: int, seed: int, start: int = 0) -> NDArray[np.uint64]:
    """n words of SplitMix64, behind the `start` first."""
    with np.errstate(over="ignore"):
        z = (np.arange(start + 1, start + n + 1, dtype=np.uint64) + np.uint64(seed * 1_000_003)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def bell(n: int, seed: int) -> NDArray[np.int64]:
    """Integers of mean 0 and deviation 2^16: sums of twelve uniform ones."""
    parts = words(12 * n, seed).reshape(12, n) >> np.uint64(48)
    sums: NDArray[np.int64] = parts.astype(np.int64).sum(axis=0) - 6 * 2**16
    return sums


def exact_rows(n: int, seed: int) -> Iterator[tuple[str, NDArray[Any]]]:
    """Named rows [n] of numbers that float32 holds exactly; ids, ties and -inf spread by the words."""
    z, unit = bell(n, seed), 2.0**-16
    pick = words(n, seed + 1)
    yield "bell", z * 3 * unit
    yield "peaky", (z + np.where(pick % np.uint64(97) == 0, 15 * 2**16, 0)) * unit
    yield "ties", (z >> 13) * 0.125
    yield "flat", z * 2.0**-24
    yield "equal", np.full(n, 2.75)
    order = np.argsort(z, kind="stable")
    yield "ascending", z[order] * unit
    yield "descending", z[order[::-1]] * unit
    yield "wide", z * 2.0**-6
    yield "offset", (z >> 9) * 2.0**-7 + 10240.0
    yield "huge", z * 2.0**60
    some = np.where(pick % np.uint64(5) == 0, -np.inf, z * unit)
    some[0] = 0.0
    yield "banned", some
    few = np.where(pick % np.uint64(100) == 0, z * unit, -np.inf)
    few[n - 1] = 0.0
    yield "few", few
    yield "lowest", np.where(pick % np.uint64(3) == 0, float(np.finfo(np.float32).min), z * unit)


# ---- real rows -----------------------------------------------------------------------------------------------------


def data_folder() -> Path | None:
    """The folder that $FASTLOGITS_DATA names, of real logits beyond the bundled ones; None if it is unset."""
    named = os.environ.get("FASTLOGITS_DATA")
    if not named:
        return None
    assert (Path(named) / "smollm2_generation.npz").exists(), f"FASTLOGITS_DATA={named} holds no smollm2_generation.npz"
    return Path(named)


def real_arrays() -> Iterator[tuple[str, NDArray[np.float16]]]:
    """All real logits, file by file, [n, V]."""
    folder = data_folder()
    for path in sorted(folder.glob("smollm2_*.npz")) if folder else []:
        with np.load(path) as arrays:
            if "logits" in arrays:
                yield path.stem, arrays["logits"]


@cache
def real_rows() -> NDArray[np.float16]:
    """Eight rows of a real model, [8, V], spread over the larger file where it is, else over the bundled rows."""
    folder = data_folder()
    if folder is None:
        logits = bundled_logits()
    else:
        with np.load(folder / "smollm2_generation.npz") as arrays:
            logits = arrays["logits"]
    assert len(logits) >= 8
    chosen: NDArray[np.float16] = logits[np.arange(8) * len(logits) // 8]
    chosen.flags.writeable = False
    return chosen


# ---- comparing -----------------------------------------------------------------------------------------------------


def same_bits(a: Any, b: Any) -> bool:
    """Whether two results (arrays, tuples of them, or None) are equal in type, shape and every bit."""
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same_bits, a, b))
    if a is None or b is None:
        return a is b
    x, y = np.asarray(a), np.asarray(b)
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


def listed(candidates: Any) -> tuple[Any, ...]:
    """The four arrays of Candidates."""
    return candidates.ids, candidates.logits, candidates.logprobs, candidates.offsets


def ulps(got: Any, exact: NDArray[Any], dtype: str) -> NDArray[Any]:
    """|got - exact| in units of the last place of `dtype` at exact; results under its least normal count as 0 away
    when both are; equal infinities count as 0."""
    info = np.finfo(dtype)
    wide = np.longdouble if dtype == "float64" else np.float64
    value: NDArray[Any] = np.asarray(got, wide)
    right: NDArray[Any] = np.asarray(exact, wide)
    with np.errstate(all="ignore"):
        rounded = right.astype(dtype)
        unit = np.spacing(np.abs(np.where(np.isfinite(rounded), rounded, info.max)))
        away = np.abs(value - right) / np.maximum(unit, info.tiny * info.eps).astype(wide)
    small: Any = (np.abs(right) < info.tiny) & (np.abs(value) <= info.tiny)
    distance: NDArray[Any] = np.where((np.asarray(got) == rounded) | small, np.fmin(away, 0.5), away)
    return distance
