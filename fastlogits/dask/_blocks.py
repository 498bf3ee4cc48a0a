"""A plain function on the chunks of dask arrays, its results as dask arrays, and totals merged as a tree.

A call makes one task per chunk of rows, whose result is an object: what the plain function returns. From it come dask
arrays, one per array in the object, by a task each that picks it out; or a total, by ``+`` over groups of objects.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask.core import flatten
from dask.layers import ArraySliceDep
from numpy.typing import NDArray

from fastlogits._common import inputs as _inputs
from fastlogits._common import params
from fastlogits._common.errors import counting_from

Chunked = Any  # a dask array: dask has no types to speak of
Slices = tuple[slice, ...]


class _Operand(NamedTuple):
    """What the chunks of one argument must be: sizes of the axes after the rows, and the element type."""

    name: str
    tail: tuple[int, ...]
    dtype: np.dtype[Any]


def is_lazy(x: Any) -> bool:
    """Whether ``x`` is a dask array."""
    return isinstance(x, da.Array)


def chunked(name: str, x: Any) -> Chunked:
    """A dask array of known chunks."""
    if not isinstance(x, da.Array):
        raise TypeError(f"{name} must be a dask array, got {type(x).__name__}: dask.array.from_array makes one")
    if any(np.isnan(size) for sizes in x.chunks for size in sizes):
        raise ValueError(f"{name} has chunks of unknown sizes: call {name}.compute_chunk_sizes() first")
    return x


def rows_of(name: str, x: Any, behind: int = 1) -> Chunked:
    """A dask array of rows, with ``behind`` axes more: one for the vocabulary."""
    found = chunked(name, x)
    if found.ndim <= behind:
        words = "rows and a vocabulary axis, [..., V]" if behind else "one axis at least"
        raise ValueError(f"{name} must have {words}, got shape {found.shape}: compute it and call fastlogits itself")
    return found


def in_memory(name: str, x: Any) -> Any:
    """What is the same for all rows, and no dask array."""
    if isinstance(x, da.Array):
        raise TypeError(f"{name} must not be a dask array where it is the same for all rows; pass {name}.compute()")
    return x


def temperature_of(temperature: Any, outer: tuple[int, ...]) -> Any:
    """One number, or one per row in the shape of the rows: checked, unless it is a dask array."""
    if isinstance(temperature, da.Array):
        return da.broadcast_to(temperature, outer)
    t = np.asarray(params.number("temperature", temperature, 0.0, off=1.0, open_low=True), np.float64)
    return float(t.reshape(())) if t.size == 1 else _inputs.per_row("temperature", t, outer).reshape(outer)


class Call:
    """A plain function, the arrays that it takes in chunks of rows, and its other arguments.

    ``wide`` have axes after the rows, all of them in one chunk; the first of all arrays is cut as it comes, and the
    others as it is. ``narrow`` have one value per row, or are a float for all rows; None is left out.
    """

    def __init__(
        self, function: Callable[..., Any], axes: int, wide: Mapping[str, Any], narrow: Mapping[str, Any], **plain: Any
    ) -> None:
        lead = next(iter({**wide, **narrow}.values()))
        self.axes, self.outer = axes, lead.shape[:axes]
        one = {name: x for name, x in narrow.items() if isinstance(x, float)}
        given = {name: x for name, x in {**wide, **narrow}.items() if x is not None and name not in one}
        self.parts = {name: _array(name, x) for name, x in given.items()}
        self.function = functools.partial(function, **one, **plain)
        for name, x in self.parts.items():
            if x.shape[:axes] != self.outer or (name in narrow and x.ndim > axes):
                raise ValueError(f"{name} must have shape {self.outer}, one per row, got {x.shape}")

    def probe(self) -> Any:
        """The result for one row of zeros: refuses bad keywords and types, and shows types and shapes of results."""
        row = {name: np.zeros((1, *x.shape[self.axes :]), x.dtype) for name, x in self.parts.items()}
        if "temperature" in row:
            row["temperature"] = np.ones(1)
        return self.function(**row)

    def blocks(self) -> Chunked:
        """The results of all chunks, as an array of objects in the shape of the rows, one object per chunk."""
        lead = _whole(next(iter(self.parts.values())), self.axes)
        rows, aligned = tuple(range(self.axes)), [_beside(x, lead, self.axes) for x in self.parts.values()]
        pairs: list[Any] = [ArraySliceDep(lead.chunks[: self.axes]), rows]
        for number, x in enumerate(aligned):
            pairs += [x, (*rows, *(self.axes + 10 * number + i for i in range(x.ndim - self.axes)))]
        wanted = tuple(_Operand(name, x.shape[self.axes :], x.dtype) for name, x in self.parts.items())
        return da.blockwise(
            functools.partial(_run, self.function, wanted), rows, *pairs, concatenate=False, align_arrays=False,
            dtype=object, meta=np.empty((0,) * self.axes, object), token=_title(self.function),
        )  # fmt: skip

    def results(self) -> Any:
        """The results of all rows as dask arrays."""
        return arrays(self.blocks(), self.probe())


def arrays(parts: Chunked, shown: Any, path: tuple[int, ...] = ()) -> Any:
    """The results in ``parts`` as dask arrays, laid out as ``shown``, the result of `probe`; None stays None."""
    if shown is None:
        return None
    if isinstance(shown, tuple):
        items = [arrays(parts, item, (*path, i)) for i, item in enumerate(shown)]
        return type(shown)._make(items) if hasattr(shown, "_make") else tuple(items)
    rows, tail = tuple(range(parts.ndim)), shown.shape[1:]
    axes = {parts.ndim + i: size for i, size in enumerate(tail)}
    return da.blockwise(
        functools.partial(_pick, path, shown.dtype), (*rows, *axes), parts, rows, new_axes=axes, concatenate=False,
        dtype=shown.dtype, meta=np.empty((0,) * (parts.ndim + len(axes)), shown.dtype),
    )  # fmt: skip


def total(parts: Chunked) -> Chunked:
    """The sum of all objects by ``+``, as an array without axes; groups of them are added, then groups of sums."""
    if not parts.ndim:
        return parts
    return da.reduction(
        parts, chunk=_same, combine=_added, aggregate=_added, concatenate=False, dtype=object, name="merge"
    )  # fmt: skip


def delayed(value: Chunked, finish: Callable[[Any], Any] | None = None) -> Any:
    """The object in an array without axes, or what ``finish`` makes of it, as a Delayed."""
    done = value if finish is None else da.blockwise(finish, (), value, (), dtype=object, meta=np.empty((), object))
    return done.to_delayed(optimize_graph=False)[()]


def number(value: Chunked, finish: Callable[[Any], float]) -> Chunked:
    """The float that ``finish`` makes of the object in an array without axes, as an array without axes."""
    return da.blockwise(
        functools.partial(_as_double, finish), (), value, (), dtype=np.float64, meta=np.empty((), np.float64)
    )


def _array(name: str, x: Any) -> Any:
    """A dask array or ndarray."""
    return chunked(name, x) if isinstance(x, da.Array) else _inputs.plain_array(name, x)


def _whole(x: Chunked, axes: int) -> Chunked:
    """``x`` with one chunk along each axis after the rows; where it had more, the rows are cut anew."""
    if all(count == 1 for count in x.numblocks[axes:]):
        return x
    return x.rechunk({axis: "auto" if axis < axes else -1 for axis in range(x.ndim)})


def _beside(x: Any, lead: Chunked, axes: int) -> Chunked:
    """``x`` cut as the rows of ``lead``."""
    chunks = (*lead.chunks[:axes], *((size,) for size in x.shape[axes:]))
    return x.rechunk(chunks) if isinstance(x, da.Array) else da.from_array(x, chunks=chunks)


def _title(function: Callable[..., Any]) -> str:
    """What the tasks of a function are called."""
    while isinstance(function, functools.partial):
        function = function.func
    return function.__name__.strip("_")


def _run(function: Callable[..., Any], wanted: tuple[_Operand, ...], place: Slices, *parts: Any) -> Any:
    """One chunk of rows, the one at ``place``; errors name rows of the whole."""
    outer = tuple(each.stop - each.start for each in place)
    found: dict[str, NDArray[Any]] = {}
    for (name, tail, dtype), part in zip(wanted, parts, strict=True):
        while isinstance(part, list):  # one level per axis behind the rows, each of one chunk
            (part,) = part
        if np.shape(part) != (*outer, *tail) or getattr(part, "dtype", None) != dtype:
            words = ", ".join(f"{each.start}:{each.stop}" for each in place)
            raise ValueError(
                f"{name}[{words}] must be a chunk of shape {(*outer, *tail)} and dtype {dtype}, as its dask array "
                f"promises, got shape {np.shape(part)} and dtype {getattr(part, 'dtype', type(part).__name__)}"
            )
        found[name] = part
    with counting_from(tuple(each.start for each in place)):
        return function(**found)


def _pick(path: tuple[int, ...], dtype: np.dtype[Any], part: Any) -> NDArray[Any]:
    """One array of what a chunk gave."""
    return np.asarray(functools.reduce(operator.getitem, path, part), dtype)


def _same(part: Any, axis: Any, keepdims: bool, computing_meta: bool = False) -> Any:
    """The object itself: the first step of dask's reductions."""
    return part


def _added(parts: Any, axis: Any, keepdims: bool, computing_meta: bool = False) -> Any:
    """The sum of objects in nested lists; dask asks for the type of the result with an empty array in their place."""
    return parts if computing_meta else functools.reduce(operator.add, flatten([parts], container=list))


def _as_double(finish: Callable[[Any], float], value: Any) -> np.float64:
    """A figure as a NumPy scalar."""
    return np.float64(finish(value))
