"""Labels that are a single token: their log-probs, read from a row of logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits._common import bfloat16 as half
from fastlogits._common import inputs as _inputs
from fastlogits._common import intake as _temperatures
from fastlogits._common import params
from fastlogits._common.errors import row_name

__all__ = ["label_logprobs"]

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


def positive(name: str, value: Any) -> float:
    """One number > 0."""
    number = params.number(name, value, 0.0, off=1.0, open_low=True)
    if isinstance(number, tuple):
        raise TypeError(f"{name} must be one number")
    return float(number)


def log_softmax(x: Floats) -> Floats:
    """Along the last axis of few values; rows hold a finite one."""
    z = x - x.max(-1, keepdims=True)
    scores: Floats = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return scores


def label_ids(labels: Any, n: int | None = None, name: str = "labels") -> list[Ids]:
    """Distinct token ids of each label; a token that two labels share is an error."""
    if isinstance(labels, str | bytes) or not isinstance(labels, Sequence | np.ndarray) or not len(labels):
        raise ValueError(f"{name} must hold one token id, or several, per label, got {labels!r:.60}")
    ids = []
    owners: dict[int, int] = {}
    for i, label in enumerate(labels):
        if isinstance(label, str | bytes):
            way = f"pass {{{label!r}: [id, ...], ...}}" if name == "tokens" else "pass the ids of its spellings"
            raise TypeError(f"{name}[{i}] must be a token id, or several, got the text {label!r:.60}: {way}")
        own = np.unique(_inputs.id_array(f"{name}[{i}]", np.atleast_1d(np.asarray(label))))
        if not own.size:
            raise ValueError(f"{name}[{i}] must hold one token id at least, got none")
        for token in own.tolist():
            if token < 0 or (n is not None and token >= n):
                raise ValueError(f"{name}[{i}]: token id {token} must be in [0, {'V' if n is None else n})")
            if owners.setdefault(token, i) != i:
                raise ValueError(f"{name}[{i}]: token id {token} belongs to {name}[{owners[token]}] already")
        ids.append(own)
    return ids


def label_logprobs(
    logits: Any,
    labels: Any,
    *,
    normalize: bool = False,
    temperature: float = 1.0,
    threads: int | None = None,
) -> Floats:
    """Log-probs of labels that are a single token, read from the rows; the mass of a label's spellings is summed.

    Parameters
    ----------
    logits : array_like [..., V]
        float32, float16, bfloat16 or float64; read, never copied or written.
    labels : sequence of L int or sequences of int
        The token of each label, or its spellings ("yes", " Yes" ...), in [0, V). No token belongs to two labels.
    normalize : bool, default False
        Among the labels alone; nothing but their tokens is then read.
    temperature : float > 0, default 1.0
        T of the logits.
    threads : int >= 0, optional
        Threads that share the rows; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.

    Returns
    -------
    float64 array [..., L]
        ln sum p(token) over the tokens of each label; -inf if all are banned.

    Raises
    ------
    ValueError
        A token out of range or in two labels, a row with NaN or +inf, with ``normalize`` a row whose labels are all
        banned.
    TypeError
        A type that is not supported.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> row = np.log([0.1, 0.2, 0.3, 0.4])
    >>> np.exp(fl.label_logprobs(row, [3, [0, 1]])).round(3)
    array([0.4, 0.3])
    >>> np.exp(fl.label_logprobs(row, [3, [0, 1]], normalize=True)).round(3)
    array([0.571, 0.429])
    """
    x = _temperatures.logits_of(logits)
    ids = label_ids(labels, x.shape[-1])
    t = positive("temperature", temperature)
    if not isinstance(normalize, bool):
        raise TypeError(f"normalize must be True or False, got {normalize!r}")
    if normalize:
        return among(x, ids, t)
    seen = _temperatures.tops("logits", x, t, threads)
    scores = _masses(_tokens(x, ids), seen.logits, ids, t) - seen.tails[:, None]
    return scores.reshape(*x.shape[:-1], len(ids))


def among(x: NDArray[Any], ids: list[Ids], t: float = 1.0, name: str = "logits") -> Floats:
    """Log-probs of labels among themselves [..., L] in rows [..., V], of which nothing but their tokens is read."""
    own = _tokens(x, ids)
    scores = log_softmax(_masses(own, _tops(own, x.shape[:-1], name), ids, t))
    return scores.reshape(*x.shape[:-1], len(ids))


def _tokens(x: NDArray[Any], ids: list[Ids]) -> Floats:
    """The logits of all tokens of labels, [rows, tokens]."""
    flat = np.concatenate(ids)
    own: Floats = half.wide(x[..., flat]).reshape(-1, flat.size)
    return own


def _masses(own: Floats, top: Floats, ids: list[Ids], t: float) -> Floats:
    """Per label ln sum exp((x - top) / T) over its tokens, [rows, L]."""
    starts = np.cumsum([0, *(each.size for each in ids[:-1])])
    masses: Floats = np.logaddexp.reduceat((own - top[:, None]) / t, starts, axis=1)
    return masses


def _tops(own: Floats, outer: tuple[int, ...], name: str) -> Floats:
    """The largest logit among the labels' tokens of each row, finite."""
    top: Floats = own.max(-1, initial=-np.inf)
    bad = np.flatnonzero(~np.isfinite(top))
    if bad.size:
        row = int(bad[0])
        reason = "contains NaN" if np.isnan(top[row]) else "contains +inf" if top[row] > 0 else "bans every label"
        raise ValueError(f"{row_name(name, row, outer)} {reason}")
    return top
