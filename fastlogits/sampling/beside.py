"""Companion rows, which the first step of a plan combines with the logits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import bfloat16 as half
from fastlogits._common import inputs as _inputs
from fastlogits._common.errors import row_name

Array = NDArray[Any]


def arrays(plan: _core.Plan, given: tuple[Any, ...], x: Array, first: str = "logits") -> tuple[Array, ...]:
    """The rows that the plan's first step combines with ``x``, of those ``given`` in the order of `_core.BESIDE`."""
    rows = dict(zip(_core.BESIDE, given, strict=True))
    for name, array in rows.items():
        if name in plan.beside and array is None:
            raise TypeError(
                f"{type(plan.steps[0]).__name__} needs the argument {name}, rows to combine with the logits"
            )
        if name not in plan.beside and array is not None:
            raise TypeError(f"{name} is given, but the first step is none that combines it with the logits")
    arrays = ((name, _inputs.logits_array(name, rows[name])) for name in plan.beside)
    return tuple(_inputs.beside_array(name, array, x, first) for name, array in arrays)


def refuse_lone_bans(x: Array, companions: dict[str, Array], row: int, first: str = "logits") -> None:
    """Raises the error of a row that has no finite combination as a companion row bans a token that it does not."""
    at = np.unravel_index(row, x.shape[:-1])
    values = half.wide(x[at])
    for name, rows in companions.items():
        alone = np.flatnonzero((half.wide(rows[at]) == -np.inf) & (values > -np.inf))
        if alone.size:
            where, whole = row_name(name, row, x.shape[:-1]), row_name(first, row, x.shape[:-1])
            raise ValueError(
                f"{where} must be finite where {whole} is, got -inf for token {alone[0]}; ban a token in both"
            )
