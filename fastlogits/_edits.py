"""Operands of the steps LogitBias and Mask: checked when the step is made, laid out for C when it is prepared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastlogits import _inputs
from fastlogits._params import row_note, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORMS = "{id: bias}, (ids, values), or a list with one of these per row"


class Bias(NamedTuple):
    """Biases of all rows one behind the other; ``offsets`` is None when every row has the same."""

    ids: NDArray[np.int64]
    values: NDArray[np.float64]
    offsets: NDArray[np.int64] | None


def _entry(bias: Any, row: int | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Checked ids and values of one row's bias."""
    note = "" if row is None else row_note((row,))
    if isinstance(bias, Mapping):
        keys, amounts = list(bias.keys()), list(bias.values())
    elif isinstance(bias, tuple) and len(bias) == 2:
        keys, amounts = bias
    else:
        raise TypeError(f"logit_bias must be {_FORMS}, got {type(bias).__name__}{note}")
    ids = _inputs.id_array("logit_bias", keys, note)
    try:
        values = np.array(amounts, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"logit_bias: biases must be numbers{note}: {error}") from None
    if ids.shape != values.shape:
        raise ValueError(f"logit_bias: {ids.size} token ids but {values.size} biases{note}")
    if ids.size:
        if ids.min() < 0:
            raise ValueError(f"logit_bias: token id {ids.min()} must be in [0, V){note}")
        if bad := values[np.isnan(values) | (values == np.inf)].tolist():
            at = ids[np.isnan(values) | (values == np.inf)][0]
            hint = "; to force tokens ban the others with a mask" if bad[0] > 0 else ""
            raise ValueError(f"logit_bias: bias of token {at} must be finite or -inf, got {shown(bad[0])}{note}{hint}")
        distinct, counts = np.unique(ids, return_counts=True)
        if distinct.size < ids.size:
            raise ValueError(f"logit_bias: token id {distinct[counts > 1][0]} is given more than once{note}")
    ids.flags.writeable = values.flags.writeable = False
    return ids, values


def _per_row(bias: Any) -> bool:
    """Whether ``bias`` is a list with one entry per row."""
    return isinstance(bias, list) or (
        isinstance(bias, tuple) and all(entry is None or isinstance(entry, Mapping) for entry in bias)
    )


def checked_bias(bias: Any) -> Any:
    """``bias`` in its user's form, checked and copied: a dict, a tuple of two arrays, or a list of these."""
    if not _per_row(bias):
        ids, values = _entry(bias, None)
        return dict(zip(ids.tolist(), values.tolist(), strict=True)) if isinstance(bias, Mapping) else (ids, values)
    entries: list[Any] = []
    for row, entry in enumerate(bias):
        ids, values = _entry({} if entry is None else entry, row)
        plain = entry is None or isinstance(entry, Mapping)
        entries.append(dict(zip(ids.tolist(), values.tolist(), strict=True)) if plain else (ids, values))
    return entries


def bias_arrays(bias: Any) -> Bias:
    """The checked ``bias`` as C reads it."""
    rows: Sequence[Any] = bias if isinstance(bias, list) else [bias]
    parts = [
        (np.fromiter(e.keys(), np.int64, len(e)), np.fromiter(e.values(), np.float64, len(e)))
        if isinstance(e, dict)
        else e
        for e in rows
    ]
    ids = np.concatenate([np.empty(0, np.int64), *(p[0] for p in parts)])
    values = np.concatenate([np.empty(0, np.float64), *(p[1] for p in parts)])
    if not isinstance(bias, list):
        return Bias(ids, values, None)
    return Bias(ids, values, np.cumsum([0, *(p[0].size for p in parts)], dtype=np.int64))


def same_bias(a: Any, b: Any) -> bool:
    """Whether two checked biases do the same in the same order."""
    one, two = bias_arrays(a), bias_arrays(b)
    pairs = zip(one, two, strict=True)
    return all(np.array_equal(x, y) if x is not None and y is not None else x is y for x, y in pairs)


def token_ids(name: str, ids: Any) -> tuple[int, ...]:
    """Checked token ids, as a tuple."""
    array = _inputs.id_array(name, ids)
    if array.size and array.min() < 0:
        raise ValueError(f"{name}: token id {array.min()} must be in [0, V)")
    return tuple(array.tolist())


def checked_mask(mask: Any) -> NDArray[Any]:
    """``mask`` as a bool, int32 or uint32 array of at least one axis; packed words are not copied."""
    array = _inputs.plain_array("mask", mask)
    if array.dtype.kind == "b":
        array = array.copy()
        array.flags.writeable = False
    elif array.dtype.kind not in "iu" or array.dtype.itemsize != 4:
        raise TypeError(f"mask must be bool, or int32 or uint32 words of 32 bits, got dtype {array.dtype}")
    if array.ndim == 0:
        raise ValueError("mask must have at least one axis, got a scalar")
    return array


def mask_words(mask: NDArray[Any]) -> NDArray[np.uint32]:
    """The checked ``mask`` as words [..., W]; bit i % 32 of word i // 32 set = allowed. Packed words stay in place."""
    if mask.dtype.kind != "b":
        words = mask if mask.dtype.isnative and mask.flags.aligned else mask.astype(mask.dtype.newbyteorder("="))
        words = words if words.ndim == 1 or words.shape[-1] <= 1 or words.strides[-1] == 4 else words.copy(order="C")
        words = words if words.ndim > 1 or words.flags.c_contiguous else words.copy(order="C")
        return words.view(np.uint32)
    packed = np.packbits(mask, axis=-1, bitorder="little")
    padded = np.zeros((*mask.shape[:-1], -(-mask.shape[-1] // 32) * 4), np.uint8)
    padded[..., : packed.shape[-1]] = packed
    return padded.view("<u4").astype(np.uint32, copy=False)


def mask_needs(mask: NDArray[Any]) -> int:
    """The least V that the checked ``mask`` fits: its length, or one bit of its last word."""
    return int(mask.shape[-1]) if mask.dtype.kind == "b" else max(32 * int(mask.shape[-1]) - 31, 0)


def same_mask(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two checked masks are of one kind and hold the same."""
    return (a.dtype.kind == "b") == (b.dtype.kind == "b") and np.array_equal(mask_words(a), mask_words(b))
