"""Vocabulary-sharded logits: what each part of the rows says, in NumPy arrays, and the whole from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import bfloat16 as half
from fastlogits._common import inputs as _inputs
from fastlogits._common import intake as _temperatures
from fastlogits._common import params
from fastlogits._common.errors import Fault, Status, refuse_row, row_name
from fastlogits.arrays import argmax
from fastlogits.sampling import call as _run
from fastlogits.scoring.gathered import Gathered
from fastlogits.scoring.shard_records import LANES, Shard, add_peaks, fill, gathered, inside, of_targets, record
from fastlogits.scoring.targets import TokenLogprobs, _candidate_array, _flag, _ignored

__all__ = ["merge", "shard_peaks", "shard_summary"]

Array = NDArray[Any]


def shard_peaks(
    logits: Any, targets: Any, *, offset: int, vocab: int, ignore_index: int | None = -100, threads: int | None = None
) -> NDArray[np.float64]:
    """The first of two rounds: what all shards must know of the rows before they sum in one unit.

    Reduce the arrays of all shards by their elementwise maximum (MPI.MAX, torch's ReduceOp.MAX), and hand the result to
    `shard_summary` as ``peaks``.

    Parameters
    ----------
    logits : array_like [..., V_shard]
        Tokens ``offset`` to ``offset + V_shard - 1`` of each row; types as for `token_logprobs`.
    targets : array_like of int [...]
        The token of each row, in [0, vocab) or ``ignore_index``; the same for all shards.
    offset : int >= 0
        The first token of the shard.
    vocab : int >= 1
        Tokens of the whole rows.
    ignore_index : int or None, default -100
        Rows with this target are left out.
    threads : int >= 0, optional
        Threads that share the rows; see `token_logprobs`.

    Returns
    -------
    float64 array [..., 3]
        The largest of the logits that give the first guess at a row's maximum, the largest logit, the target's logit;
        -inf where the shard has none. NaN counts as -inf: the summary records it.

    Raises
    ------
    ValueError, TypeError
        An argument of another type or shape, a target or shard outside the vocabulary.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> row = np.array([1.0, 4.0, 2.0, 3.0])
    >>> parts = [fl.shard_peaks(row[i : i + 2], 3, offset=i, vocab=4) for i in (0, 2)]
    >>> np.maximum(*parts)
    array([4., 4., 3.])
    """
    x = _temperatures.logits_of(logits)
    n = _span(offset, vocab, x.shape[-1])
    ids = _temperatures.target_array("targets", targets, x.shape[:-1], n, _ignored(ignore_index))
    count = _inputs.thread_count(threads)
    peaks = np.full((ids.size, 3), -np.inf)
    if ids.size:
        vectors = -(-n // LANES)
        seen = np.arange(0, vectors, -(-vectors // 16))[:, None] * LANES + np.arange(LANES)
        seen = seen[(seen >= offset) & (seen < offset + x.shape[-1])] - offset
        peaks[:, 0] = half.wide(x[..., seen]).reshape(ids.size, -1).max(-1, initial=-np.inf)
        peaks[:, 1] = gathered(x, np.reshape(argmax(x, threads=count), (-1, 1)))[:, 0]
        peaks[:, 2] = of_targets(x, ids, offset)
        peaks[ids < 0] = -np.inf
    np.copyto(peaks, -np.inf, where=np.isnan(peaks))
    return peaks.reshape(*x.shape[:-1], 3)


def shard_summary(
    logits: Any,
    targets: Any,
    *,
    offset: int,
    vocab: int,
    peaks: Any = None,
    top_n: int = 0,
    rank: bool = False,
    entropy: bool = False,
    varentropy: bool = False,
    margin: bool = False,
    candidates: Any = None,
    ignore_index: int | None = -100,
    temperature: Any = 1.0,
    threads: int | None = None,
) -> NDArray[Any]:
    """What one vocabulary shard says of its rows, for `merge`.

    A bad row does not raise here, where the other shards would go on waiting, but in `merge`.

    Parameters
    ----------
    logits : array_like [..., V_shard]
        Tokens ``offset`` to ``offset + V_shard - 1`` of each row; types as for `token_logprobs`.
    targets : array_like of int [...]
        The token of each row, in [0, vocab) or ``ignore_index``; the same for all shards.
    offset : int >= 0
        The first token of the shard. A multiple of 256 for the bits of the whole.
    vocab : int >= 1
        Tokens of the whole rows.
    peaks : array_like [..., 3], optional
        The elementwise maximum of the `shard_peaks` of all shards. The summary then holds V_shard / 16 partial sums
        per row, and the merged log-probs are those of the whole row to the bit.
    top_n : int >= 0, default 0
        How many of the most likely tokens to report.
    rank : bool, default False
        Count the tokens above the target; needs ``peaks``, which hold its logit.
    entropy, varentropy : bool, default False
        Report mean and variance of -log p; the variance brings the mean.
    margin : bool, default False
        Report how far the best token lies above the next.
    candidates : array_like of int [K] or [..., K], optional
        Further tokens in [0, vocab) whose log-probs are wanted.
    ignore_index : int or None, default -100
        Rows with this target are left out and not read.
    temperature : float > 0, or array [...], default 1.0
        T of the logits.
    threads : int >= 0, optional
        Threads that share the rows; see `token_logprobs`.

    Returns
    -------
    structured array [...]
        One record per row, of numbers only: pickle, ``tobytes`` and ``numpy.frombuffer`` move it, and equal shards
        stack. About 150 bytes, 16 more per token of ``top_n``, and with ``peaks`` 4 more per 16 tokens (16 where the
        row is summed in double: float64, or a maximum beyond 1e5 T).

    Raises
    ------
    ValueError, TypeError
        An argument of another type, shape or range; a target or shard outside the vocabulary; ranks without peaks;
        peaks that lie below the shard's own.

    Notes
    -----
    Without peaks a shard reports its maximum and the mass of its other tokens: a small summary and one read, log-probs
    within a rounding or two of the whole row's. Entropies are merged by the law of total variance, with or without.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> row = np.log([0.1, 0.4, 0.2, 0.3])
    >>> parts = [fl.shard_summary(row[i : i + 2], 3, offset=i, vocab=4, top_n=2) for i in (0, 2)]
    >>> parts[0]["best"].item(), parts[1]["best"].item()
    (1, 3)
    >>> found = fl.merge(parts)
    >>> found.top_ids, np.exp(found.top_logprobs).round(2)
    (array([1, 3]), array([0.4, 0.3]))
    """
    x = _temperatures.logits_of(logits)
    outer, n = x.shape[:-1], _span(offset, vocab, x.shape[-1])
    ids = _temperatures.target_array("targets", targets, outer, n, _ignored(ignore_index))
    t = np.asarray(params.number("temperature", temperature, 0.0, off=1.0, open_low=True), np.float64)
    t = np.broadcast_to(t.reshape(-1) if t.size == 1 else _inputs.per_row("temperature", t, outer), ids.shape)
    given = None if candidates is None else _candidate_array(candidates, outer, n)
    whole = None if peaks is None else _checked_peaks(peaks, outer)
    if _flag("rank", rank) and whole is None:
        raise ValueError("rank needs peaks, which hold the target's logit; pass the maximum of all shard_peaks")
    moments = int(_flag("entropy", entropy)) + 2 * int(_flag("varentropy", varentropy))
    many = _run.top_count("top_n", top_n)
    shard = Shard(x, t, ids, whole, given, many, _flag("margin", margin), bool(rank), moments)
    made = np.zeros(ids.size, record(shard))
    made["offset"], made["size"], made["vocab"], made["code"] = offset, x.shape[-1], n, _core.dtype_code(x)
    made["temperature"], made["target"] = t, ids
    if ids.size:
        fill(made, shard, _inputs.thread_count(threads))
        if given is not None:
            made["given"] = given
            made["given_logits"] = inside(x, np.broadcast_to(given, (ids.size, given.shape[-1])), offset)
        if whole is not None:
            add_peaks(made, x, whole, outer)
    return made.reshape(outer)


def merge(summaries: Iterable[Any], *, on_error: str = "raise") -> Any:
    """The figures of whole rows from the summaries of all their vocabulary shards, in any order.

    Parameters
    ----------
    summaries : iterable of structured arrays [...], or one structured array [shards, ...]
        What `shard_summary` made of every shard, with the same arguments but ``logits`` and ``offset``.
    on_error : "raise" or "status", default "raise"
        Whether a row with NaN, +inf or no finite logit raises, or is reported as a `Status` per row next to the result.

    Returns
    -------
    TokenLogprobs
        As `token_logprobs` gives it of the whole rows; argmax, greedy and logsumexp always, the rest as the summaries
        hold it. With ``on_error="status"`` the pair (TokenLogprobs, status).

    Raises
    ------
    ValueError
        Shards that overlap or are missing, differ in rows, targets or arguments; a bad row, named with its shard.
    TypeError
        Not a summary.

    Notes
    -----
    Ids and ranks are exact, ties going to the lowest id. With ``peaks``, and shards that begin at multiples of 256,
    log-probs, logsumexp and margin have the bits of `token_logprobs` of the whole rows. Shards are brought into the
    order of their tokens first, so neither the order of the summaries nor the way they came together shows: a tree of
    reductions joins lists, ``[a] + [b]``, and merges once.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> rows = np.arange(2048.0).reshape(2, 1024) % 700
    >>> shards = {i: rows[:, i : i + 512] for i in (0, 512)}
    >>> first = [fl.shard_peaks(x, [5, 6], offset=i, vocab=1024) for i, x in shards.items()]
    >>> peaks = np.maximum.reduce(first)
    >>> parts = [fl.shard_summary(x, [5, 6], offset=i, vocab=1024, peaks=peaks) for i, x in shards.items()]
    >>> found, whole = fl.merge(parts), fl.token_logprobs(rows, [5, 6], logsumexp=True)
    >>> np.array_equal(found.logsumexp, whole.logsumexp), np.array_equal(found.logprobs, whole.logprobs)
    (True, True)
    """
    _run.check_on_error(on_error)
    whole = Gathered(summaries)
    status, shard = whole.status()
    if on_error == "raise" and status.any():
        row = int(np.flatnonzero(status)[0])
        _refuse(whole, row, int(status[row]), int(shard[row]))
    out = (status != Status.OK) | (whole.target < 0)
    found = whole.figures(out)
    code = whole.code

    def shaped(name: str) -> Any:
        """One result in its type and shape; None if the summaries do not hold it."""
        values = found.get(name)
        if values is None:
            return None
        values = _run.narrowed(values, code) if values.dtype == np.float64 else values
        outer = whole.outer
        return values.reshape(*outer, values.shape[1]) if values.ndim > 1 else _run.shaped(values, outer)

    result = TokenLogprobs._make(map(shaped, TokenLogprobs._fields))
    return _run.with_status(result, status if on_error == "status" else None, whole.outer)


def _refuse(whole: Gathered, row: int, status: int, shard: int) -> None:
    """Raises the error of a row; that of contents names the shard."""
    if status in (Status.NO_FINITE, Status.CHANGED):
        refuse_row(whole.outer, row, Fault(status))
    words = "NaN" if status == Status.NAN else "+inf"
    begin, end = whole.spans[shard]
    raise ValueError(f"{row_name('logits', row, whole.outer)} contains {words} (shard of tokens {begin} to {end - 1})")


def _span(offset: Any, vocab: Any, size: int) -> int:
    """The checked ``vocab``."""
    for name, value in (("offset", offset), ("vocab", vocab)):
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
            raise TypeError(f"{name} must be an integer, got {params.shown(value)}")
    if vocab < 1 or vocab >= 2**31:
        raise ValueError(f"vocab must be in [1, 2147483648), got {vocab}")
    if size > vocab:
        raise ValueError(f"logits must hold at most the vocab={vocab} tokens, got {size}")
    if offset < 0 or offset + size > vocab:
        raise ValueError(f"offset must be in [0, {vocab - size}] for {size} of vocab={vocab} tokens, got {offset}")
    return int(vocab)


def _checked_peaks(peaks: Any, outer: tuple[int, ...]) -> NDArray[np.float64]:
    """float64 [rows, 3]."""
    array = _inputs.plain_array("peaks", peaks)
    if array.dtype != np.float64:
        raise TypeError(f"peaks must be float64 as shard_peaks gives them, got dtype {array.dtype}")
    if array.shape != (*outer, 3):
        raise ValueError(f"peaks must have shape {(*outer, 3)}, got {array.shape}")
    return np.ascontiguousarray(array).reshape(-1, 3)
