"""Tokens that steps name, biases and masks: checked when the step is made, laid out for C when it is prepared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastlogits._common import inputs as _inputs
from fastlogits._common.params import row_note, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SEQUENCE_FORMS = "{ids: bias}, pairs [ids, bias], or a list with one {ids: bias} per row"
_FORMS = "{id: bias}, (ids, values), or a list with one of these per row"


class Lists(NamedTuple):
    """Lists of tokens of the argument ``name``, one after the other: ``fl_lists`` of csrc/fastlogits.h.

    ``offsets`` is None when every id is its own list, ``rows`` when every row has the same lists.
    """

    name: str
    ids: NDArray[np.int64]
    offsets: NDArray[np.int64] | None = None
    values: NDArray[np.float64] | None = None
    rows: NDArray[np.int64] | None = None

    def row_of(self, at: int) -> int | None:
        """The row that ids[at] belongs to; None if it belongs to all."""
        at = at if self.offsets is None else int(np.searchsorted(self.offsets, at, side="right")) - 1
        return None if self.rows is None else int(np.searchsorted(self.rows, at, side="right")) - 1


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


def bias_arrays(bias: Any) -> Lists:
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
    ends = _ends([p[0] for p in parts]) if isinstance(bias, list) else None
    return Lists("logit_bias", ids, None, values, ends)


def _ends(parts: Sequence[Any]) -> NDArray[np.int64]:
    """Where each of several parts begins when they lie one after the other, and where the last one ends."""
    return np.cumsum([0, *map(len, parts)], dtype=np.int64)


def same_bias(a: Any, b: Any) -> bool:
    """Whether two checked biases do the same in the same order."""
    one, two = bias_arrays(a), bias_arrays(b)
    pairs = zip(one[1:], two[1:], strict=True)
    return all(np.array_equal(x, y) if x is not None and y is not None else x is y for x, y in pairs)


def token_ids(name: str, ids: Any, row: int | None = None) -> tuple[int, ...]:
    """Checked token ids, as a tuple."""
    note = "" if row is None else row_note((row,))
    array = _inputs.id_array(name, ids, note)
    if array.size and array.min() < 0:
        raise ValueError(f"{name}: token id {array.min()} must be in [0, V){note}")
    if array.size and array.max() >= 2**31:
        raise ValueError(f"{name}: token id {array.max()} must be below 2^31{note}")
    return tuple(array.tolist())


def token_rows(name: str, ids: Any, row: int | None = None, *, text: bool = False) -> tuple[Any, ...]:
    """Checked token ids, for all rows alike or a tuple of them (or None) per row; a number is one id, None is none.

    Each once, unless their order says something, as in a ``text``.
    """
    if ids is None or (isinstance(ids, int | np.integer) and not isinstance(ids, bool)):
        return () if ids is None else token_ids(name, [ids], row)
    if row is None and _has_rows(ids):
        return tuple(None if each is None else token_rows(name, each, r, text=text) for r, each in enumerate(ids))
    found = token_ids(name, ids, row)
    return found if text else tuple(dict.fromkeys(found))


def check_given(step: str, on: bool, name: str, ids: Any) -> None:
    """Refuses a step that is on without the tokens it is about; no tokens at all may be given, as ()."""
    if on and ids is None:
        raise ValueError(f"{step} needs {name}")


def _has_rows(ids: Any) -> bool:
    """Whether ``ids`` holds sequences, or None, instead of ids."""
    if isinstance(ids, list | tuple):
        return any(each is None or _inputs.is_sequence(each) for each in ids)
    return bool(getattr(ids, "ndim", 1) > 1)


def _rows_of(ids: tuple[Any, ...]) -> list[tuple[int, ...]] | None:
    """What `token_rows` checked, a tuple for every row; None if all have the same."""
    return [each or () for each in ids] if _has_rows(ids) else None


def id_lists(name: str, ids: tuple[Any, ...], value: float | None = None) -> Lists:
    """What `token_rows` checked, as C reads it, each id with the same value."""
    rows = _rows_of(ids)
    flat = np.array(ids if rows is None else [i for row in rows for i in row], np.int64)
    values = None if value is None else np.full(flat.size, value)
    return Lists(name, flat, None, values, None if rows is None else _ends(rows))


def allowed_words(ids: tuple[Any, ...]) -> NDArray[np.uint32]:
    """Packed words that allow what `token_rows` checked, [W] or [rows, W]."""
    rows = _rows_of(ids) or [ids]
    size = max((max(row) for row in rows if row), default=0) // 32 + 1
    words = np.zeros((len(rows), size), np.uint32)
    for row, allowed in zip(words, rows, strict=True):
        at = np.array(allowed, np.int64)
        np.bitwise_or.at(row, at // 32, np.uint32(1) << (at % 32).astype(np.uint32))
    return words if _has_rows(ids) else words[0]


def sequence(name: str, ids: Any, row: int | None = None) -> tuple[int, ...]:
    """Checked ids of a sequence of at least one token."""
    checked = token_ids(name, ids, row)
    if not checked:
        raise ValueError(
            f"{name}: a sequence must hold at least one token id" + ("" if row is None else row_note((row,)))
        )
    return checked


def checked_sequence_bias(bias: Any) -> Any:
    """``bias`` as a dict {ids: bias}, or a list with one of these per row."""
    if isinstance(bias, list) and bias and all(entry is None or isinstance(entry, Mapping) for entry in bias):
        return [_sequence_biases({} if entry is None else entry, row) for row, entry in enumerate(bias)]
    return _sequence_biases(bias, None)


def _sequence_biases(bias: Any, row: int | None) -> dict[tuple[int, ...], float]:
    """Checked sequences and biases of one row, from a mapping or from pairs [ids, bias]."""
    note = "" if row is None else row_note((row,))
    if not isinstance(bias, Mapping | list | tuple):
        raise TypeError(f"sequence_bias must be {_SEQUENCE_FORMS}, got {type(bias).__name__}{note}")
    checked: dict[tuple[int, ...], float] = {}
    for pair in bias.items() if isinstance(bias, Mapping) else bias:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise TypeError(f"sequence_bias must be {_SEQUENCE_FORMS}, got {shown(pair)} among them{note}")
        ids, amount = sequence("sequence_bias", pair[0], row), pair[1]
        if isinstance(amount, bool) or not isinstance(amount, int | float | np.integer | np.floating):
            raise TypeError(f"sequence_bias: bias of {ids} must be a number, got {shown(amount)}{note}")
        if not amount < np.inf:
            raise ValueError(f"sequence_bias: bias of {ids} must be finite or -inf, got {shown(amount)}{note}")
        if ids in checked:
            raise ValueError(f"sequence_bias: sequence {ids} is given more than once{note}")
        checked[ids] = float(amount)
    return checked


def sequence_lists(name: str, rows: Sequence[Any], per_row: bool) -> Lists:
    """Checked sequences of all rows, banned, or mappings of these to their biases, as C reads them."""
    flat = [ids for row in rows for ids in row]
    values = [value for row in rows for value in (row.values() if isinstance(row, dict) else [-np.inf] * len(row))]
    ids = np.array([i for ids in flat for i in ids], np.int64)
    return Lists(name, ids, _ends(flat), np.array(values, np.float64), _ends(rows) if per_row else None)


def sequence_rows(name: str, sequences: Any) -> Any:
    """Checked sequences of token ids as a tuple, or a list with one such tuple per row; None is none."""
    given: list[Any] = list(sequences) if _inputs.is_sequence(sequences) else [] if sequences is None else [0]
    if not all(each is None or _inputs.is_sequence(each) for each in given):
        raise TypeError(f"{name} must be sequences of token ids, or a list of these per row, got {shown(sequences)}")
    if any(each is None or any(map(_inputs.is_sequence, each)) for each in given):
        return [tuple(sequence(name, ids, r) for ids in row or ()) for r, row in enumerate(given)]
    return tuple(sequence(name, ids) for ids in given)


def sequence_arrays(name: str, sequences: Any) -> Lists:
    """What `sequence_rows` checked, as C reads it."""
    per_row = isinstance(sequences, list)
    return sequence_lists(name, sequences if per_row else [sequences], per_row)


def checked_mask(mask: Any) -> NDArray[Any]:
    """``mask`` as a bool, int32 or uint32 array of at least one axis; packed words are not copied."""
    array = _inputs.plain_array("mask", mask)
    if array.dtype.kind == "b":
        array = array.copy()
        array.flags.writeable = False
    elif array.dtype.kind not in "iu" or array.dtype.itemsize != 4:
        hint = "; token ids are passed as allowed_token_ids=" if array.dtype.kind in "iu" else ""
        raise TypeError(f"mask must be bool, or int32 or uint32 words of 32 bits, got dtype {array.dtype}{hint}")
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
    """The least V that the checked ``mask`` fits: its length. Packed words may be padded, so they fit any."""
    return int(mask.shape[-1]) if mask.dtype.kind == "b" else 0


def same_mask(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two checked masks are of one kind and hold the same."""
    return (a.dtype.kind == "b") == (b.dtype.kind == "b") and np.array_equal(mask_words(a), mask_words(b))
