"""What is no array, id or mask: why, and what to pass instead."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from typing import Any

_ARRAYS = ("__array__", "__array_interface__", "__array_struct__")


def is_number_or_sequence(x: Any) -> bool:
    """Whether NumPy finds numbers in ``x``, as far as its type shows."""
    if isinstance(x, list | tuple | int | float | complex) or any(hasattr(x, name) for name in _ARRAYS):
        return True
    if isinstance(x, str | bytes | bytearray | Mapping | AbstractSet | ValuesView):
        return False
    if hasattr(x, "__len__") and hasattr(x, "__getitem__"):
        return True
    try:
        memoryview(x).release()
    except TypeError:
        return False
    return True


def refuse(name: str, x: Any) -> None:
    """Raises the TypeError of an argument that must be an array and is none."""
    kind = type(x).__name__
    if isinstance(x, str | bytes | os.PathLike):
        hint = f"{x!r}; pass the array in a file as numpy.load(path, mmap_mode='r')"
    elif isinstance(x, AbstractSet):
        hint = f"a {kind}, which has no order; pass a list"
    elif isinstance(x, Mapping | ValuesView):
        hint = f"a {kind}; pass its values as a list"
    elif isinstance(x, Iterator):
        hint = f"a {kind}, which can be read once only; pass a list of what it yields"
    elif hasattr(x, "choices"):
        hint = f"a response ({kind}); pass its numbers, such as [t.logprob for t in x.choices[0].logprobs.content]"
    else:
        hint = "None" if x is None else f"a {kind}"
    raise TypeError(f"{name} must be an array or a sequence, got {hint}")


def ragged(name: str, x: Any) -> str:
    """Why nested sequences make no array, in words; empty if they are of equal lengths."""
    level, places = [x], [""]
    while level and all(hasattr(item, "__len__") and not isinstance(item, str | bytes) for item in level):
        for item, place in zip(level, places, strict=True):
            if len(item) != len(level[0]):
                two = (f"{name}{where} of length {len(row)}" for where, row in ((places[0], level[0]), (place, item)))
                return f"rows of equal length, got {' and '.join(two)}; pad the shorter ones"
        places = [f"{place}[{i}]" for item, place in zip(level, places, strict=True) for i in range(len(item))]
        level = [inner for item in level for inner in item]
    mixed = [hasattr(item, "__len__") and not isinstance(item, str | bytes) for item in level]
    if any(mixed):
        at = mixed.index(False)
        return f"rows of equal length, got {level[at]!r} in place of a sequence in {name}{places[at]}"
    return ""


def beyond_64_bits(x: Any) -> int | None:
    """The first integer among nested sequences that int64 does not hold."""
    if isinstance(x, int):
        return None if -(2**63) <= x < 2**63 else x
    if not isinstance(x, list | tuple):
        return None
    return next((found for item in x if (found := beyond_64_bits(item)) is not None), None)


def random_source(rng: Any) -> str:
    """What was passed as ``rng`` and is none, and what to pass."""
    kind, module = type(rng).__name__, type(rng).__module__.partition(".")[0]
    if module == "torch":
        return f"a {module}.{kind}; pass it as generator= to fastlogits.torch.sample, or an integer"
    if kind == "RandomState" or kind == "module" or module in ("random", "jax"):
        return f"{kind}; pass numpy.random.default_rng(seed) or an integer"
    return kind
