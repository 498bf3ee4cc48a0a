"""What all benchmarks share: the cases of a grid, and rows, timing and errors of `fastlogits.bench`."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits.bench import rows
from fastlogits.bench.checks import ulp
from fastlogits.bench.rows import KINDS, Singles, placed
from fastlogits.bench.timing import BEST, Call, Timed, pin, ratios, turns

__all__ = ["BEST", "KINDS", "Call", "Case", "Singles", "Timed", "cases", "matrix", "pin", "placed", "ratios", "row",
           "turns", "ulp"]  # fmt: skip

VOCABS = (32_000, 128_256, 262_144)
BATCHES = (1, 8, 64)
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
    """Rows of a real model, [n, 49152]: of the folder $FASTLOGITS_DATA, else those that the package carries."""
    folder = os.environ.get("FASTLOGITS_DATA")
    if not folder:
        return rows.bundled_logits()
    with np.load(Path(folder) / "smollm2_generation.npz") as arrays:
        logits: NDArray[np.float16] = arrays["logits"]
    return logits


def row(kind: str, vocab: int, number: int) -> NDArray[Any]:
    """Row `number` of a kind, [vocab]."""
    return rows.row(kind, vocab, number, real_logits())


@functools.lru_cache(maxsize=1)
def matrix(kind: str, vocab: int, batch: int) -> Singles:
    """Rows 0 .. batch - 1 of a kind, on a cache line: [vocab] for a batch of 1, else [batch, vocab]."""
    rows = placed(np.stack([row(kind, vocab, number) for number in range(batch)]))
    return rows if batch > 1 else rows[0]
