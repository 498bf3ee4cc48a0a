"""What can be wrong with the contents of a row, as a number and in words."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, NoReturn, SupportsIndex

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_first: ContextVar[tuple[int, ...]] = ContextVar("first", default=())


class Status(IntEnum):
    """What became of a row under ``on_error="status"``.

    ``NEGATIVE`` and ``UNDRAWN`` come from `fastlogits.verify`: a negative number among ``draft_probs``, and a drafted
    token that cannot have been drawn. ``CHANGED``: another thread wrote to the row during the call. ``TOO_FEW``: n
    different tokens were asked for, and fewer are left.

    Examples
    --------
    >>> import fastlogits as fl
    >>> ids, status = fl.sample([[1.0, 2.0], [float("nan"), 0.0]], rng=7, top_k=1, on_error="status")
    >>> ids, status
    (array([ 1, -1]), array([0, 1], dtype=int32))
    >>> fl.Status(status[1])
    <Status.NAN: 1>
    """

    OK = 0
    NAN = 1
    POS_INF = 2
    NO_FINITE = 3
    STEP_INF = 4
    ALL_BANNED = 5
    BAD_TOKEN = 6
    NEGATIVE = 8
    UNDRAWN = 9
    CHANGED = 10
    TOO_FEW = 11


#: What the contents of a row of logits and its context can do wrong.
_ROW_FAULTS = (*range(1, Status.BAD_TOKEN + 1), Status.CHANGED)


@contextmanager
def counting_from(first: tuple[int, ...]) -> Iterator[None]:
    """Within it the arrays at hand are parts of larger ones that begin at ``first``, whose places errors name."""
    token = _first.set(first)
    try:
        yield
    finally:
        _first.reset(token)


def place(index: Sequence[SupportsIndex]) -> tuple[int, ...]:
    """``index`` into the array at hand as an index into the whole; see `counting_from`."""
    first = (*_first.get(), *(0 for _ in index))
    return tuple(int(i) + begin for i, begin in zip(index, first, strict=False))


def row_name(name: str, row: int, outer: Sequence[int]) -> str:
    """``logits``, ``logits[3]`` or ``logits[1, 2]``: row number ``row`` of a batch of shape ``outer``."""
    if not outer:
        return name
    return f"{name}[{', '.join(map(str, place(np.unravel_index(row, tuple(outer)))))}]"


def _banned_by(bits: int, last: int, names: Sequence[str]) -> str:
    """The steps that ban tokens, bit i for step i, unless the last one alone does."""
    steps = [i for i in range(len(names)) if bits >> i & 1]
    return f": banned by {', '.join(f'{names[i]} (step {i})' for i in steps)}" if steps and steps != [last] else ""


class Fault(NamedTuple):
    """What is wrong with a row of ``n`` values: its status, and the step of the plan whose steps have these names.

    ``value`` is the id of a bad token, or the bits of the steps that ban, or which of several rows side by side.
    """

    status: int
    step: int = -1
    value: float = 0.0
    n: int = 0
    names: Sequence[str] = ()


def refuse_row(
    outer: Sequence[int], row: int, fault: Fault, argument: str = "logits", beside: Sequence[str] = ()
) -> NoReturn:
    """Raises the error of a row of ``argument``; ``beside`` names the arguments whose rows a step combines with it."""
    status, step, value, n, names = fault
    if status not in _ROW_FAULTS:
        raise MemoryError
    if beside and status in (Status.NAN, Status.POS_INF, Status.NO_FINITE):
        argument = (argument, *beside)[int(value)]
    where = row_name(argument, row, outer)
    name = names[step] if 0 <= step < len(names) else "a step"
    if status == Status.BAD_TOKEN:
        raise ValueError(f"{row_name('context', row, outer)}: token id {int(value)} must be in [0, {n})")
    banned = _banned_by(int(value), step, names) if status == Status.ALL_BANNED else ""
    words = {
        Status.NAN: "contains NaN",
        Status.POS_INF: "contains +inf",
        Status.NO_FINITE: "contains no finite logit",
        Status.STEP_INF: f"exceeds the finite range in {name} (step {step}): a logit became +inf or NaN",
        Status.ALL_BANNED: f"has no token left after {name} (step {step}){banned}",
        Status.CHANGED: "must stay as it is during the call, but another thread wrote to it; pass a copy",
    }
    raise ValueError(f"{where} {words[Status(status)]}")


def import_error(error: ImportError, packages: tuple[str, ...], missing: str) -> ImportError:
    """What to raise from the error of importing some packages: `missing` if one is not there, else what failed."""
    absent = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in packages
    return ImportError(missing if absent else f"{' or '.join(packages)} is installed, but fails to import: {error}")
