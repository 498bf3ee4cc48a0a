"""Rows of two models compared: checked arguments, blocks of rows, results laid out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import bfloat16 as half
from fastlogits._common import inputs as _inputs
from fastlogits._common import intake as _temperatures
from fastlogits._common import params
from fastlogits._common import threads as _threads
from fastlogits._common.errors import Fault, Status, refuse_row
from fastlogits._common.exact import ExactSum
from fastlogits._common.plain import to_dict

Array = NDArray[Any]
MEASURES = ("kl", "reverse_kl", "js", "total_variation", "cross_entropy")


@dataclass(frozen=True)
class ComparisonTotals:
    """Sums over rows, merged by ``+``; exact, so with equal bits for every chunking and order of merging.

    Attributes
    ----------
    rows : int
        How many rows count.
    sums : dict of str to ExactSum
        By the names of `Comparison`.

    Examples
    --------
    >>> import fastlogits as fl
    >>> found = fl.compare_distributions([[0.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]])
    >>> totals = found.totals() + found.totals()
    >>> totals.rows, round(totals.total("kl"), 4), round(totals.mean("kl"), 4)
    (4, 0.2402, 0.0601)
    """

    rows: int
    sums: dict[str, ExactSum]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)

    def __add__(self, other: ComparisonTotals) -> ComparisonTotals:
        """The totals of both."""
        if not isinstance(other, ComparisonTotals):
            return NotImplemented
        if self.sums.keys() != other.sums.keys():
            raise ValueError(f"totals of {[*self.sums]} cannot be merged with totals of {[*other.sums]}")
        sums = {name: total + other.sums[name] for name, total in self.sums.items()}
        return ComparisonTotals(self.rows + other.rows, sums)

    def total(self, name: str) -> float:
        """The sum of one measure, rounded once."""
        return self.sums[name].over(1)

    def mean(self, name: str) -> float:
        """The mean of one measure, rounded once; an error without rows."""
        if not self.rows:
            raise ValueError("there is no row to take the mean of")
        return self.sums[name].over(self.rows)


class Comparison(NamedTuple):
    """Measures of p and q, one value per row [...]; None where it was not asked for.

    Values are float32, float64 where either of the logits is; NaN for bad rows under ``on_error="status"``.

    Attributes
    ----------
    kl, reverse_kl : array [...] or None
        Kullback-Leibler divergences KL(p || q) and KL(q || p), in nats.
    js : array [...] or None
        Jensen-Shannon divergence, in nats.
    total_variation : array [...] or None
        Half the sum of |p - q|, in [0, 1].
    cross_entropy : array [...] or None
        Sum of -p log q, in nats.
    agreement : array [...] or None
        Share of the most likely tokens of one that are among those of the other, in [0, 1].

    Examples
    --------
    >>> import fastlogits as fl
    >>> found = fl.compare_distributions([[0.0, 0.0]], [[0.0, 1.0]], total_variation=True)
    >>> found.kl.round(4), found.total_variation.round(4), found.js
    (array([0.1201]), array([0.2311]), None)
    """

    kl: Any
    reverse_kl: Any
    js: Any
    total_variation: Any
    cross_entropy: Any
    agreement: Any

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)

    def totals(self) -> ComparisonTotals:
        """The sums over the rows that are not NaN."""
        found = {name: np.ravel(values) for name, values in self._asdict().items() if values is not None}
        good = ~np.isnan(next(iter(found.values())))
        sums = {name: ExactSum.of(values[good]) for name, values in found.items()}
        return ComparisonTotals(int(np.count_nonzero(good)), sums)


class _Rows:
    """Results of the rows so far, in double; what is wanted is the same for all of them."""

    def __init__(self, wanted: list[str], top_n: int, beta: float, threads: int, on_error: str) -> None:
        self.wanted, self.top_n, self.beta, self.threads, self.on_error = wanted, top_n, beta, threads, on_error
        self.parts: dict[str, list[Array]] = {name: [] for name in (*wanted, *(["agreement"] if top_n else []))}
        self.status: list[Array] = []
        self.first, self.wide = 0, False

    def add(self, p: Array, q: Array, t: NDArray[np.float64]) -> None:
        """Compares rows of equal shape that follow those so far."""
        outer, rows = p.shape[:-1], math.prod(p.shape[:-1])
        found = {name: np.empty(rows) for name in self.wanted}
        task = _core.ComparisonTask(p, q, t, self.beta, **found) if self.wanted else None
        tops = [_Tops(x, self.top_n) for x in (p, q)] if self.top_n else []
        works = [each.run for each in (task, *tops) if each is not None]

        def work(begin: int, end: int, stop: _core.Stop | None = None, /) -> None:
            step = end - begin if len(works) == 1 else 1  # row by row, while they lie in the cache
            for at in range(begin, end, step):
                for run in works:
                    run(at, at + step, stop)

        _threads.run_blocks(work, rows, self.threads, p.shape[-1])
        sides = (task.status_a, task.status_b) if task else tuple(each.status() for each in tops)
        status = np.where(sides[0], sides[0], sides[1]).astype(np.int32)
        if tops:
            found["agreement"] = np.where(status, np.nan, _common(*tops))
        if self.on_error == "raise" and status.any():
            row = int(np.flatnonzero(status)[0])
            argument, before = "p_logits" if sides[0][row] else "q_logits", self.first * math.prod(outer[1:])
            shape = (self.first + outer[0], *outer[1:]) if outer else ()
            refuse_row(shape, before + row, Fault(int(status[row])), argument)
        for name, values in found.items():
            self.parts[name].append(values)
        self.status.append(status)
        self.first += outer[0] if outer else 1
        self.wide |= _core.F64 in (_core.dtype_code(p), _core.dtype_code(q))

    def result(self, outer: tuple[int, ...]) -> Any:
        """Everything in the types and shapes that the caller sees."""
        columns = {name: self._shaped(np.concatenate([np.empty(0), *each]), outer) for name, each in self.parts.items()}
        result = Comparison(*(columns.get(name) for name in Comparison._fields))
        if self.on_error == "raise":
            return result
        status = np.concatenate([np.empty(0, np.int32), *self.status])
        return result, status.reshape(outer) if outer else Status(int(status[0]))

    def _shaped(self, values: NDArray[np.float64], outer: tuple[int, ...]) -> Any:
        """float32 unless a side was float64; a finite value stays finite."""
        if not self.wide:
            values = _core.single(values, True)  # type: ignore[assignment]
        return values.reshape(outer) if outer else values[0]


class _Tops:
    """The most likely tokens of rows."""

    def __init__(self, x: Array, n: int) -> None:
        if n > x.shape[-1]:
            raise ValueError(f"top_n must be in [0, {x.shape[-1]}], got {n}")
        rows = math.prod(x.shape[:-1])
        self.values, self.ids = np.empty((rows, n), x.dtype), np.empty((rows, n), np.int64)
        self.run = _core.ArrayTask(_core.TOP_K, x, x.ndim - 1, values=self.values, ids=self.ids, top=n).run

    def status(self) -> NDArray[np.int32]:
        """What is wrong with each row: NaN sorts first, then +inf, and -inf last."""
        best = half.wide(self.values)[:, 0]
        bad = [(np.isnan(best), Status.NAN), (best == np.inf, Status.POS_INF), (best == -np.inf, Status.NO_FINITE)]
        found: NDArray[np.int32] = np.select([where for where, _ in bad], [int(code) for _, code in bad]).astype(
            np.int32
        )
        return found


def _common(p: _Tops, q: _Tops) -> NDArray[np.float64]:
    """Common tokens over those of the longer list."""
    there = [half.wide(each.values) > -np.inf for each in (p, q)]
    ids = [np.where(here, each.ids, -1 - side) for side, (each, here) in enumerate(zip((p, q), there, strict=True))]
    both = np.sort(np.concatenate(ids, axis=1), axis=1)
    common = np.count_nonzero((both[:, 1:] == both[:, :-1]) & (both[:, 1:] >= 0), axis=1)
    share: NDArray[np.float64] = common / np.maximum(1, np.maximum(there[0].sum(1), there[1].sum(1)))
    return share


class Manner(NamedTuple):
    """How distributions are compared: the keywords of the measures as they came, top_n checked."""

    temperature: Any = 1.0
    threads: Any = None
    on_error: str = "raise"
    top_n: int = 0
    beta: Any = 0.5


def compare(p: Any, q: Any, wanted: list[str], manner: Manner) -> Any:
    """Checked arguments, all rows, results."""
    temperature, threads, on_error, top_n, beta = manner
    params.choice("on_error", on_error, ("raise", "status"))
    if not wanted and not top_n:
        raise ValueError("at least one measure must be asked for")
    weight = params.number("beta", beta, off=0.5)
    if isinstance(weight, tuple) or not 0 < weight < 1:
        raise ValueError(f"beta must be one number in (0, 1), got {params.shown(beta)}")
    t = np.asarray(params.number("temperature", temperature, 0.0, off=1.0, open_low=True), np.float64)
    rows = _Rows(wanted, top_n, weight, _inputs.thread_count(threads), on_error)
    if not _inputs.is_stream(p) and not _inputs.is_stream(q):
        a, b = _temperatures.logits_of(p, "p_logits"), _temperatures.logits_of(q, "q_logits")
        if a.shape != b.shape:
            raise ValueError(f"q_logits must have the shape of p_logits, {a.shape}, got {b.shape}")
        outer = a.shape[:-1]
        rows.add(a, b, t.reshape(1) if t.size == 1 else _inputs.per_row("temperature", t, outer))
        return rows.result(outer)
    if t.size != 1:
        raise ValueError(f"temperature must be one number where logits come in chunks, got shape {t.shape}")
    inner: tuple[int, ...] = ()
    for a, b in _paired(p, q):
        rows.add(a, b, t.reshape(1))
        inner = a.shape[1:-1]
    return rows.result((rows.first, *inner))


def _chunks(name: str, x: Any) -> Iterator[Array]:
    """The chunks of one side, [rows, ..., V] each, empty ones left out."""
    for number, chunk in enumerate(x if _inputs.is_stream(x) else [x]):
        found = _temperatures.logits_of(chunk, f"{name}, chunk {number},")
        if len(found):
            yield found[None] if found.ndim == 1 else found


def _paired(p: Any, q: Any) -> Iterator[tuple[Array, Array]]:
    """Parts of both sides with as many rows each, however their chunks are cut."""
    sides = _chunks("p_logits", p), _chunks("q_logits", q)
    a, b = (next(side, None) for side in sides)
    count, shape = 0, None
    while a is not None and b is not None:
        shape = shape or a.shape[1:]
        for name, part in (("p_logits", a), ("q_logits", b)):
            if part.shape[1:] != shape:
                words = ", ".join(map(str, ("rows", *shape)))
                raise ValueError(f"{name}: chunks must have shape [{words}], got {part.shape}")
        n = min(len(a), len(b))
        yield a[:n], b[:n]
        count += n
        a = a[n:] if n < len(a) else next(sides[0], None)
        b = b[n:] if n < len(b) else next(sides[1], None)
    if a is not None or b is not None:
        more, fewer = ("q_logits", "p_logits") if a is None else ("p_logits", "q_logits")
        hint = "" if count else " (it yielded nothing: an iterator can be read once only)"
        raise ValueError(f"{more} must hold as many rows as {fewer}, which has {count}{hint}")


def single(name: str, p: Any, q: Any, reduction: str, manner: Manner) -> Any:
    """One measure, per row or reduced."""
    params.choice("reduction", reduction, ("none", "sum", "mean"))
    result = compare(p, q, [] if name == "agreement" else [name], manner)
    found, status = result if manner.on_error == "status" else (result, None)
    if reduction == "none":
        value = getattr(found, name)
    else:
        totals = found.totals()
        value = totals.total(name) if reduction == "sum" else totals.mean(name)
    return value if status is None else (value, status)
