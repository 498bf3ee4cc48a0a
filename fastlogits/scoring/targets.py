"""Scores of the tokens of a text: log-probs of the targets and what the rows say next to them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import inputs as _inputs
from fastlogits._common import intake as _temperatures
from fastlogits._common import params
from fastlogits._common import threads as _threads
from fastlogits._common.errors import Fault, refuse_row, row_name
from fastlogits._common.plain import to_dict
from fastlogits.sampling import call as _run

__all__ = ["TokenLogprobs", "token_logprobs"]

_FIGURES = {"entropy": "entropies", "varentropy": "varentropies", "logsumexp": "logsumexps", "margin": "margins"}
_MOST_TOKENS = 2**31 - 1


class TokenLogprobs(NamedTuple):
    """What rows of logits say of their targets, natural logarithms; None where it was not asked for.

    Arrays have one value per row, [...]; a single row gives ints, bools and floats. Log-probs and the other
    figures are float32, float64 for float64 logits. Rows with an ignored target, and bad rows under
    ``on_error="status"``, hold NaN, -1 and False.

    Attributes
    ----------
    logprobs : array [...]
        Log-prob of the target; -inf if it is banned.
    ranks : int64 array [...] or None
        1 + the number of logits strictly greater than the target's.
    top_ids, top_logprobs : int64 and float array [..., top_n], or None
        The most likely tokens by (logit descending, id ascending); padded with -1 and -inf where fewer are finite.
    argmax : int64 array [...] or None
        The first maximum.
    entropy : array [...] or None
        Mean of -log p, in nats.
    varentropy : array [...] or None
        Variance of -log p, in nats squared.
    logsumexp : array [...] or None
        ln sum exp(x / T).
    greedy : bool array [...] or None
        Whether the target is the first maximum; comes with argmax.
    margin : array [...] or None
        Log-prob of the best token less that of the next best; +inf if there is none.
    candidate_logprobs : array [..., K] or None
        Log-probs of the candidates.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.token_logprobs([[0.0, 0.0], [0.0, 9.0]], [1, 1], argmax=True).greedy
    array([False,  True])
    """

    logprobs: Any
    ranks: Any
    top_ids: NDArray[np.int64] | None
    top_logprobs: NDArray[Any] | None
    argmax: Any
    entropy: Any
    varentropy: Any
    logsumexp: Any
    greedy: Any
    margin: Any
    candidate_logprobs: NDArray[Any] | None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)


def token_logprobs(
    logits: Any,
    targets: Any,
    *,
    top_n: int = 0,
    rank: bool = False,
    argmax: bool = False,
    entropy: bool = False,
    varentropy: bool = False,
    logsumexp: bool = False,
    margin: bool = False,
    candidates: Any = None,
    ignore_index: int | None = -100,
    temperature: Any = 1.0,
    threads: int | None = None,
    on_error: str = "raise",
) -> Any:
    """Log-probs of the targets, one per row, and further figures that are asked for, in one read of the rows.

    The call allocates no array of the size of the logits.

    Parameters
    ----------
    logits : array_like [..., V], or iterable of array_like [t, ..., V]
        float32, float16, bfloat16 or float64; arrays, tensors and memmaps are read in place, with any strides.
        An iterable that is neither an array nor a list or tuple (a generator, ``iter(parts)``) yields chunks of one or
        more rows along the first axis. Each is read and released before the next one; a chunk [V] is one row.
    targets : array_like of int [...]
        The token of each row, in [0, V) or ``ignore_index``. With chunks: the tokens of all rows, in one array.
    top_n : int >= 0, default 0
        How many of the most likely tokens to report.
    rank : bool, default False
        Report the rank of the target.
    argmax : bool, default False
        Report the first maximum, and whether it is the target (``greedy``).
    entropy, varentropy : bool, default False
        Report mean and variance of -log p.
    logsumexp : bool, default False
        Report ln sum exp(x / T).
    margin : bool, default False
        Report the log-prob of the best token less that of the next best.
    candidates : array_like of int [K] or [..., K], optional
        Further tokens, for all rows or each row, whose log-probs are wanted.
    ignore_index : int or None, default -100
        Rows with this target are left out and not read.
    temperature : float > 0, or array [...], default 1.0
        T of the logits.
    threads : int >= 0, optional
        Threads that share the rows; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.
    on_error : "raise" or "status", default "raise"
        Whether a row with NaN, +inf or no finite logit raises, or is reported as a `Status` per row next to the result.

    Returns
    -------
    TokenLogprobs
        ``logprobs, ranks, top_ids, top_logprobs, argmax, entropy, varentropy, logsumexp, greedy, margin,
        candidate_logprobs``; with ``on_error="status"`` the pair (TokenLogprobs, status).

    Raises
    ------
    ValueError
        A token or parameter out of range, a shape that does not match, a bad row.
    TypeError
        A type that is not supported.

    Notes
    -----
    log p = (x - max) / T - log1p(rest), the maximum summed apart, so that its log-prob keeps full relative precision.
    entropy = log1p(rest) + E[max - x] / T and varentropy = Var[x] / T^2, moments counted from a value amid the mass.
    Bits are equal for any batch, chunks, number of threads and instruction set.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> rows = np.log([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    >>> found = fl.token_logprobs(rows, [1, 2], rank=True, top_n=1, entropy=True)
    >>> np.exp(found.logprobs).round(2), found.ranks, found.top_ids.ravel(), found.entropy.round(2)
    (array([0.3, 0.8]), array([2, 1]), array([0, 2]), array([1.03, 0.64]))
    >>> chunks = (rows[i : i + 1] for i in range(2))
    >>> fl.token_logprobs(chunks, [1, -100]).logprobs.round(2)
    array([-1.2,  nan])
    """
    given = {"entropy": entropy, "varentropy": varentropy, "logsumexp": logsumexp, "margin": margin}
    figures = [_FIGURES[name] for name, value in given.items() if _flag(name, value)]
    ids = [word for word, name, value in (("ranks", "rank", rank), ("best", "argmax", argmax)) if _flag(name, value)]
    wanted = _Wanted(
        _run.top_count("top_n", top_n), figures, ids, candidates, _ignored(ignore_index), temperature,
        _inputs.thread_count(threads), on_error,
    )  # fmt: skip
    _run.check_on_error(on_error)
    if _inputs.is_stream(logits):
        return _of_chunks(logits, targets, wanted)
    x = _temperatures.logits_of(logits)
    call = _Call(x.shape[:-1], x.shape[-1], targets, wanted)
    call.run(x, 0)
    return call.result()


class _Wanted(NamedTuple):
    """The arguments that do not speak of shapes, checked, and those that do, as given."""

    top_n: int
    figures: list[str]
    ids: list[str]
    candidates: Any
    ignore_index: int | None
    temperature: Any
    threads: int
    on_error: str


class _Call:
    """Checked inputs of all rows, one after the other, and buffers for their results."""

    def __init__(self, outer: tuple[int, ...], n: int, targets: Any, wanted: _Wanted) -> None:
        self.outer, self.wanted, self.code = outer, wanted, _core.F32
        self.ids = _temperatures.target_array("targets", targets, outer, n, wanted.ignore_index)
        t = params.number("temperature", wanted.temperature, 0.0, off=1.0, open_low=True)
        self.t = np.asarray(t, np.float64)
        self.t = self.t.reshape(1) if self.t.size == 1 else _inputs.per_row("temperature", self.t, outer)
        self.given = None if wanted.candidates is None else _candidate_array(wanted.candidates, outer, n)
        rows = self.ids.size
        self.status = np.zeros(rows, np.int32)
        self.found: dict[str, NDArray[Any]] = {"logprobs": np.empty(rows)}
        self.found |= {name: np.empty(rows) for name in wanted.figures}
        self.found |= {name: np.empty(rows, np.int64) for name in wanted.ids}
        if wanted.top_n:
            self.found["top_ids"] = np.empty((rows, wanted.top_n), np.int64)
            self.found["top_logprobs"] = np.empty((rows, wanted.top_n))
        if self.given is not None:
            self.found["given_logprobs"] = np.empty((rows, self.given.shape[-1]))

    def run(self, x: NDArray[Any], first: int) -> None:
        """Scores the rows of ``x``, the first of which is number ``first`` of all."""
        self.code = max(self.code, _core.dtype_code(x))
        if x.size == 0:
            return
        here = slice(first, first + math.prod(x.shape[:-1]))
        given = self.given if self.given is None or self.given.ndim == 1 else self.given[here]
        t, status = self.t if self.t.size == 1 else self.t[here], self.status[here]
        results: dict[str, Any] = {name: array[here] for name, array in self.found.items()}
        task = _core.ScoresTask(x, t, self.ids[here], given=given, status=status, **results)
        _threads.run_blocks(task.run, status.size, self.wanted.threads, x.shape[-1])
        if self.wanted.on_error == "raise" and (status.any() if status.size > 8 else any(status.tolist())):
            row = int(np.flatnonzero(status)[0])
            refuse_row(self.outer, first + row, Fault(int(status[row])))

    def result(self) -> Any:
        """The results in the types and shapes that the caller sees."""
        found, greedy = self.found, None
        if "best" in found:
            greedy = _run.shaped((found["best"] == self.ids) & (self.ids >= 0), self.outer)
        before = ("logprobs", "ranks", "top_ids", "top_logprobs", "best", "entropies", "varentropies", "logsumexps")
        after = ("margins", "given_logprobs")
        result = TokenLogprobs._make([*map(self._shaped, before), greedy, *map(self._shaped, after)])
        return _run.with_status(result, self.status if self.wanted.on_error == "status" else None, self.outer)

    def _shaped(self, name: str) -> Any:
        """One result, figures in the type of log-probs; None if it was not wanted."""
        values = self.found.get(name)
        if values is None:
            return None
        if values.dtype == np.float64:
            values = _run.narrowed(values, self.code)
        return values.reshape(*self.outer, values.shape[1]) if values.ndim > 1 else _run.shaped(values, self.outer)


def _of_chunks(chunks: Iterable[Any], targets: Any, wanted: _Wanted) -> Any:
    """The result of all chunks; one at a time is held."""
    targets = _inputs.plain_array("targets", targets)
    if targets.ndim == 0:
        raise ValueError("targets must have one axis at least where logits come in chunks, got a scalar")
    outer, call, first = targets.shape, None, 0
    n = _MOST_TOKENS
    for number, chunk in enumerate(chunks):
        x = _temperatures.logits_of(chunk, f"logits, chunk {number},")
        x = x[None] if x.ndim == 1 else x
        n = n if call else x.shape[-1]
        if x.shape[1:] != (*outer[1:], n):
            words = ", ".join(map(str, ("rows", *outer[1:], n)))
            raise ValueError(f"logits, chunk {number}, must have shape [{words}], got {x.shape}")
        call = call or _Call(outer, n, targets, wanted)
        if first + len(x) > outer[0]:
            raise ValueError(f"targets must hold one per row, got {outer[0]} for {first + len(x)} rows or more")
        call.run(x, first * math.prod(outer[1:]))
        first += len(x)
    if first < outer[0]:
        hint = "" if first else " (logits yielded nothing: an iterator can be read once only)"
        raise ValueError(f"targets must hold one per row, got {outer[0]} for {first} rows{hint}")
    return (call or _Call(outer, n, targets, wanted)).result()


def _ignored(ignore_index: Any) -> int | None:
    """The checked ``ignore_index``."""
    if ignore_index is None:
        return None
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, int | np.integer):
        raise TypeError(f"ignore_index must be an integer or None, got {params.shown(ignore_index)}")
    return int(ignore_index)


def _flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {params.shown(value)}")
    return bool(value)


def _candidate_array(candidates: Any, outer: tuple[int, ...], n: int) -> NDArray[np.int64]:
    """Ids in [0, n): [K] for all rows or [rows, K]."""
    given = _inputs.plain_array("candidates", candidates)
    if given.size == 0:
        given = given.astype(np.int64)
    if given.dtype.kind not in "iu":
        raise TypeError(f"candidates must be integers, got dtype {given.dtype}")
    if given.ndim == 0 or (given.ndim > 1 and given.shape[:-1] != outer):
        wanted = ", ".join(map(str, (*outer, "K")))
        raise ValueError(f"candidates must have shape [K] or [{wanted}], got {given.shape}")
    outside = np.argwhere((given < 0) | (given >= n))
    if outside.size:
        at = tuple(outside[0].tolist())
        name = row_name("candidates", int(np.ravel_multi_index(at, given.shape)), given.shape)
        raise ValueError(f"{name}: {given[at]} must be in [0, {n})")
    ids = np.ascontiguousarray(given, np.int64)
    return ids if given.ndim == 1 else ids.reshape(-1, given.shape[-1])
