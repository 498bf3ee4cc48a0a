"""Parameters of steps: checked once, kept as plain numbers or nested tuples (one value per row).

Every function returns the canonical value and raises TypeError or ValueError that names the parameter, the value, the
row and the allowed range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastlogits._common.errors import place

Scalar = int | float | bool | str | None
_PLAIN = (float, int, str, type(None))  # bool is an int
PerRow = Any  # a Scalar, or nested tuples of them in the shape of the batch


def shown(value: object) -> str:
    """``value`` as an error message shows it: 95 and not 95.0, 0.1 and not np.float64(0.1)."""
    if isinstance(value, np.generic):
        value = value.item()
    text = repr(value)
    return text[:-2] if isinstance(value, float) and text.endswith(".0") else text


def row_note(index: tuple[int, ...]) -> str:
    """`` (row 3)`` or `` (row 1, 2)`` after a value, nothing for a value without rows."""
    return f" (row {', '.join(map(str, place(index)))})" if index else ""


def nested(name: str, value: Any) -> Any:
    """Arrays and tensors as nested tuples of Python numbers, sequences as tuples, anything else as it is."""
    if isinstance(value, str | bytes | bool | int | float) or value is None:
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Sequence):
        return tuple(nested(name, item) for item in value)
    if hasattr(value, "tolist"):
        return nested(name, value.tolist())
    raise TypeError(f"{name} must be a number or one number per row, got {type(value).__name__}")


def each(name: str, value: Any, check: Callable[[Any, tuple[int, ...]], Any]) -> PerRow:
    """``value`` with ``check(item, index)`` instead of each item; rows of unequal length are refused."""
    if isinstance(value, _PLAIN):
        return check(value, ())

    def walk(item: Any, index: tuple[int, ...]) -> Any:
        if isinstance(item, tuple):
            return tuple(walk(part, (*index, i)) for i, part in enumerate(item))
        return check(item, index)

    def shape(item: Any) -> tuple[int, ...]:
        if not isinstance(item, tuple):
            return ()
        shapes = {shape(part) for part in item}
        if len(shapes) > 1:
            raise ValueError(f"{name} must be a number or one number per row, got nested values of unequal lengths")
        return (len(item), *(shapes.pop() if shapes else ()))

    tree = nested(name, value)
    shape(tree)
    return walk(tree, ())


def number(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, off: float | None, open_low: bool = False
) -> PerRow:
    """Finite floats in [low, high], or (low, high] with ``open_low``; None means ``off``."""
    if type(value) is float and low < value <= high and value < math.inf:  # by far the most
        return value
    if high < math.inf:
        allowed = f"in [{low:g}, {high:g}]"
    elif low > -math.inf:
        allowed = f"finite and {'>' if open_low else '>='} {low:g}"
    else:
        allowed = "finite"

    def check(item: Any, index: tuple[int, ...]) -> float | None:
        if item is None:
            return off
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise TypeError(f"{name} must be a number, got {item!r}{row_note(index)}")
        above = item > low if open_low else item >= low
        if not (math.isfinite(item) and above and item <= high):
            raise ValueError(f"{name} must be {allowed}, got {shown(item)}{row_note(index)}")
        return float(item)

    return each(name, value, check)


def integer(name: str, value: Any, low: int, high: int = 2**63 - 1, *, off: int | None) -> PerRow:
    """Integers in [low, high]; None means ``off``."""
    allowed = f"in [{low}, 2^63)" if high == 2**63 - 1 else f"in [{low}, {high}]"

    def check(item: Any, index: tuple[int, ...]) -> int | None:
        if item is None:
            return off
        if isinstance(item, bool) or not isinstance(item, int):
            raise TypeError(f"{name} must be an integer, got {item!r}{row_note(index)}")
        if not low <= item <= high:
            words = f">= {low}" if item < low and high == 2**63 - 1 else allowed
            raise ValueError(f"{name} must be an integer {words}, got {item}{row_note(index)}")
        return item

    return each(name, value, check)


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> PerRow:
    """One of the words ``allowed``."""

    def check(item: Any, index: tuple[int, ...]) -> str:
        if item not in allowed:
            words = " or ".join(repr(word) for word in allowed)
            raise ValueError(f"{name} must be {words}, got {item!r}{row_note(index)}")
        return str(item)

    return each(name, value, check)


def flag(name: str, value: Any, *, off: bool | None = None) -> PerRow:
    """True or False; None means ``off`` if that is given."""

    def check(item: Any, index: tuple[int, ...]) -> bool:
        if item is None and off is not None:
            return off
        if not isinstance(item, bool):
            raise TypeError(f"{name} must be True or False, got {item!r}{row_note(index)}")
        return item

    return each(name, value, check)


def paired(name: str, a: PerRow, b: PerRow, join: Callable[[Any, Any], Any]) -> PerRow:
    """``join`` of two checked values; where both differ from row to row, row by row."""
    if not isinstance(a, tuple) and not isinstance(b, tuple):
        return join(a, b)
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) != len(b):
        raise ValueError(f"{name} must hold one value per row, got {len(b)} for {len(a)} rows")
    rows = max(len(each) for each in (a, b) if isinstance(each, tuple))
    left, right = (each if isinstance(each, tuple) else (each,) * rows for each in (a, b))
    return tuple(paired(name, x, y, join) for x, y in zip(left, right, strict=True))
