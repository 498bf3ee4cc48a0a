"""From steps to what the C plan reads: numbers as float64 arrays, operands laid out, and per-row values spread."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import inputs as _inputs
from fastlogits.steps import Draw, Gumbel, Mask, RemoveInvalidValues, Step
from fastlogits.steps import operands as _edits

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]
Shape = tuple[int, ...]


class Prepared(NamedTuple):
    """One step for C. Arrays have one value, or, where ``spread`` has seen them, one per row, flat and contiguous."""

    name: str
    value: Array
    second: Array | None = None  # the second and third number of a step that has them
    third: Array | None = None
    min_keep: Array | None = None
    flags: Array | None = None
    window: Array | None = None
    lists: _edits.Lists | None = None
    words: Array | None = None
    needs: int = 0  # the least V that the operands fit


def _window(value: Any) -> Any:
    """None at any depth as -1: all tokens count."""
    return tuple(_window(v) for v in value) if isinstance(value, tuple) else -1 if value is None else value


#: Fields that become bits.
_FLAGS = ("joint", "ties", "prompt", "output_only", "space", "strict")


def _flags(step: Any) -> Array:
    """Bits of ``fl_step.flags``."""
    ties = np.asarray(getattr(step, "ties", "id")) == "keep"
    fields = {"joint": _core.JOINT, "prompt": _core.PROMPT, "strict": _core.STRICT, "output_only": _core.OUTPUT_ONLY}
    bits = sum(np.asarray(getattr(step, name, False)) * bit for name, bit in fields.items())
    raw = np.asarray(getattr(step, "space", "")) == "raw"
    return np.asarray(ties * _core.TIES_KEEP + raw * _core.RAW + bits, np.int64)


def prepared(step: Step) -> Prepared:
    """``step`` for C."""
    numbers = [np.asarray(number, np.float64) for number in step._numbers()] or [np.zeros(())]
    integers: dict[str, Any] = dict(zip(("second", "third"), numbers[1:], strict=False))
    window = getattr(step, "window", None)
    integers |= {
        "min_keep": np.asarray(step.min_keep, np.int64) if hasattr(step, "min_keep") else None,
        "flags": _flags(step) if any(hasattr(step, field) for field in _FLAGS) else None,
        "window": None if window is None else np.asarray(_window(window), np.int64),
    }
    lists = step._lists()
    needs = int(lists.ids.max()) + 1 if lists is not None and lists.ids.size else 0
    needs = _edits.mask_needs(step.mask) if isinstance(step, Mask) else needs
    return _flat(Prepared(step.name, numbers[0], **integers, lists=lists, words=step._words(), needs=needs))


_ARRAYS = ("value", "second", "third", "min_keep", "flags", "window")


def _flat(step: Prepared) -> Prepared:
    """Values of size one, of any number of axes, as arrays of one element."""
    arrays = {name: getattr(step, name) for name in _ARRAYS}
    return step._replace(**{n: a.reshape(1) for n, a in arrays.items() if a is not None and a.size == 1})


#: FL_MAX_STEPS of csrc/tokens/history.h.
_MOST_STEPS = 64


def check_order(steps: Sequence[Step]) -> None:
    """Steps are steps, not too many; only the last one draws, only the first one changes how rows are read."""
    for step in steps:
        if not isinstance(step, Step):
            raise TypeError(f"a Sampler takes steps of fastlogits.steps, got {step!r}")
    if len(steps) > _MOST_STEPS:
        raise ValueError(f"a Sampler takes at most {_MOST_STEPS} steps, got {len(steps)}")
    for step in steps[:-1]:
        if isinstance(step, Draw | Gumbel):
            raise ValueError(f"{type(step).__name__} must be the last step")
    for step in steps[1:]:
        if step.beside:
            raise ValueError(f"{type(step).__name__} must be the first step")
    if any(isinstance(step, RemoveInvalidValues) for step in steps[1:]):
        raise ValueError("RemoveInvalidValues must be the first step: it repairs the row as it came")


def shape_of(steps: Sequence[Prepared]) -> Shape | None:
    """The outer shape that all per-row values have in common; () without any, None if they differ."""
    shapes: set[Shape] = set()
    for step in steps:
        numbers = [getattr(step, name) for name in _ARRAYS]
        shapes.update(a.shape for a in numbers if a is not None and a.size != 1)
        if step.lists is not None and step.lists.rows is not None:
            shapes.add((step.lists.rows.size - 1,))
        if step.words is not None and step.words.ndim > 1:
            shapes.add(step.words.shape[:-1])
    if not shapes:
        return ()
    shape = shapes.pop()
    return None if shapes or len(shape) != 1 else shape


def spread(steps: Sequence[Prepared], outer: Shape) -> list[Prepared]:
    """The steps with each per-row value broadcast against the outer shape of the logits."""
    return [_spread_step(step, outer) for step in steps]


def _spread_step(step: Prepared, outer: Shape) -> Prepared:
    """One step of `spread`."""
    changed: dict[str, Any] = {}
    for field, name in (
        *((each, step.name) for each in ("value", "second", "third")),
        ("min_keep", "min_keep"),
        ("window", "penalty_window"),
    ):
        array = getattr(step, field)
        if array is not None and array.size != 1:
            changed[field] = _inputs.per_row(name, array, outer)
    if step.flags is not None and step.flags.size != 1:
        changed["flags"] = _inputs.per_row("ties, joint, strict, penalty_prompt and space", step.flags, outer)
    rows = math.prod(outer)
    if step.lists is not None and step.lists.rows is not None and step.lists.rows.size - 1 != rows:
        what = "lists" if step.lists.values is None else "biases"
        raise ValueError(f"{step.lists.name} holds {what} of {step.lists.rows.size - 1} rows, logits have {rows}")
    if step.words is not None and step.words.ndim > 1:
        changed["words"] = _spread_words(step.words, outer)
    return step._replace(**changed)


def _spread_words(words: Array, outer: Shape) -> Array:
    """Packed words [rows, W] whose rows lie at one distance."""
    size = words.shape[-1]
    if words.size // max(size, 1) == 1:
        return words.reshape(size)
    if words.shape[:-1] == outer and words.ndim == 2 and words.strides[0] % 4 == 0:
        return words
    try:
        return np.ascontiguousarray(np.broadcast_to(words, (*outer, size))).reshape(-1, size)
    except ValueError:
        raise ValueError(f"mask holds rows of shape {words.shape[:-1]}, the rows of logits have {outer}") from None


def check_fits(steps: Sequence[Prepared], n: int) -> None:
    """Operands lie within a row of ``n`` values."""
    for step in steps:
        if step.needs > n and step.lists is not None:
            lists = step.lists
            at = int((lists.ids >= n).argmax())
            row = lists.row_of(at)
            note = "" if row is None else f" (row {row})"
            raise ValueError(f"{lists.name}: token id {lists.ids[at]} must be in [0, {n}){note}")
        if step.needs > n:
            raise ValueError(f"mask must cover at most the {n} tokens of a row, got one of {step.needs}")
