"""Rows of logits to measure on, and what calls on them take besides."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits._common.bfloat16 import bfloat16
from fastlogits.bench import bundled, idioms

Array = NDArray[Any]
Singles = NDArray[np.float32]

KINDS = ("real", "peaky", "flat", "ties", "equal", "ascending", "descending")
DTYPES = ("float32", "float16", "bfloat16")


@functools.cache
def bundled_logits() -> NDArray[np.float16]:
    """The rows of a real model that the package carries, [9, 49152]."""
    return bundled.load().logits


def row(kind: str, vocab: int, number: int, found: NDArray[np.float16] | None = None) -> Array:
    """Row `number` of a kind, [vocab]; real ones are made from `found` [n, any], by default the bundled rows.

    Real rows were stored in float16: values are moved within their rounding, so that no two are equal that were not.
    """
    rng = np.random.default_rng((vocab, number))
    if kind.endswith("real"):
        found = bundled_logits() if found is None else found
        half = found[13 * number % len(found)]
        once = half.astype(np.float32)
        once += np.spacing(np.abs(half)).astype(np.float32) * (rng.random(once.size, np.float32) - np.float32(0.5))
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


def placed(values: Array, offset: int = 0, dtype: Any = np.float32) -> Array:
    """A copy of a type that starts `offset` bytes after the start of a cache line."""
    dtype = np.dtype(dtype)
    size = values.size * dtype.itemsize
    room = np.empty(size + 128, np.uint8)
    start = (offset - room.ctypes.data) % 64
    copy: Array = room[start : start + size].view(dtype).reshape(values.shape)
    copy[...] = values
    return copy


def dtype_of(name: str) -> np.dtype[Any] | None:
    """The dtype of a name in `DTYPES`; None for bfloat16 where ml_dtypes is not installed."""
    return bfloat16() if name == "bfloat16" else np.dtype(name)


@dataclass
class Inputs:
    """Rows [vocab] or [batch, vocab] and what a call on them takes besides.

    Attributes
    ----------
    x : float32, float16 or bfloat16 [..., vocab]
        The logits.
    out : array like `x`
        Buffer for a result.
    density : float in (0, 1), default 0.5
        Share of the tokens that `mask` allows.
    cold : bool, default False
        Whether other rows are worked on in between, so that the row comes from memory.
    """

    x: Array
    out: Array
    density: float = 0.5
    cold: bool = False

    @classmethod
    def like(cls, values: Array, dtype: str = "float32", cold: bool = False) -> Inputs:
        """Copies of values in a type, on a cache line."""
        x = placed(values, dtype=dtype_of(dtype))
        return cls(x, placed(np.zeros_like(x), dtype=x.dtype), cold=cold)

    @cached_property
    def singles(self) -> Singles:
        """Buffer for a result in float32: `out` where that is its type."""
        return self.out if self.out.dtype == np.float32 else placed(np.zeros(self.out.shape))

    @property
    def rows(self) -> Array:
        """The rows as a matrix."""
        return np.atleast_2d(self.x)

    @cached_property
    def context(self) -> NDArray[np.int64]:
        """512 ids per row, half of them likely tokens, as in a text, half any: [..., 512]."""
        rng, vocab = np.random.default_rng(1), self.x.shape[-1]
        likely = [rng.choice(idioms.largest(row, min(2000, vocab)), 256) for row in self.rows]
        any_ids = rng.integers(0, vocab, (len(self.rows), 256))
        return np.concatenate([likely, any_ids], axis=1).reshape(*self.x.shape[:-1], 512)

    @cached_property
    def bias(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """100 biases: (ids, values)."""
        rng = np.random.default_rng(2)
        return np.sort(rng.choice(self.x.shape[-1], 100, replace=False)), rng.normal(size=100)

    @cached_property
    def mask(self) -> NDArray[np.int32]:
        """Packed mask that allows `density` of the tokens and the 100 most likely, [ceil(vocab / 32)].

        With the most likely banned a peaky row turns flat, and the time would measure that instead of the mask.
        """
        allowed = np.random.default_rng(3).random(-(-self.x.shape[-1] // 32) * 32) < self.density
        allowed[idioms.largest(self.rows[0], min(100, self.x.shape[-1]))] = True
        return np.packbits(allowed, bitorder="little").view(np.int32)

    @cached_property
    def targets(self) -> NDArray[np.int64]:
        """A likely token per row, [rows]."""
        rng = np.random.default_rng(4)
        return np.array([rng.choice(idioms.largest(row, min(20, row.size))) for row in self.rows], np.int64)

    @cached_property
    def others(self) -> Array:
        """Rows near those of `x`, as a quantized model's are: [batch, vocab]."""
        noise = np.random.default_rng(6).standard_normal(self.rows.shape, np.float32)
        near: Array = (self.rows + np.float32(0.1) * noise).astype(self.x.dtype)
        return near
