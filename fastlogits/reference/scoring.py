"""The NumPy float64 reference of the scoring of texts; see `reference`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


class TokenLogprobs(NamedTuple):
    """What rows say of their targets, [...]; see `fastlogits.TokenLogprobs`."""

    logprobs: Any
    ranks: Any
    top_ids: Any
    top_logprobs: Any
    argmax: Any
    entropy: Any
    varentropy: Any
    logsumexp: Any
    greedy: Any
    margin: Any
    candidate_logprobs: Any


def token_logprobs(
    logits: ArrayLike, targets: ArrayLike, *, top_n: int = 0, rank: bool = False, argmax: bool = False,
    entropy: bool = False, varentropy: bool = False, logsumexp: bool = False, margin: bool = False,
    candidates: ArrayLike | None = None, ignore_index: int | None = -100, temperature: ArrayLike = 1.0,
) -> TokenLogprobs:  # fmt: skip
    """From the whole matrix of log-probs; ignored targets give NaN, -1 and False."""
    x, ids, t = np.asarray(logits, np.float64), np.asarray(targets), np.asarray(temperature, np.float64)
    left_out = np.zeros(ids.shape, bool) if ignore_index is None else ids == ignore_index
    scores, rest, mean, spread = _moments(x, t)
    own, best, (top_ids, top_scores, gap) = np.where(left_out, 0, ids)[..., None], x.argmax(-1), _best(x, scores, top_n)
    told = (
        _pick(scores, own)[..., 0], 1 + (x > _pick(x, own)).sum(-1), top_ids, top_scores, best, rest + mean, spread,
        x.max(-1) / t + rest, best == ids, gap, _pick(scores, 0 if candidates is None else candidates),
    )  # fmt: skip
    return _asked(told, (rank, top_n, argmax, entropy, varentropy, logsumexp, margin, candidates is not None), left_out)


def _moments(x: Floats, t: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Log-probs of x / T, -log p of the maximum, and mean and variance of the distance from it, (max - x) / T."""
    with np.errstate(over="ignore"):
        far = (x.max(-1, keepdims=True) - x) / (t[..., None] if t.ndim else t)
    e = np.exp(-far)
    np.put_along_axis(e, x.argmax(-1)[..., None], 0.0, -1)
    rest = np.log1p(e.sum(-1))
    scores = -far - rest[..., None]
    p, distance = np.exp(scores), np.where(e > 0, far, 0.0)
    mean = (p * distance).sum(-1)
    return scores, rest, mean, (p * (distance - mean[..., None]) ** 2).sum(-1)


def _pick(values: Floats, ids: ArrayLike) -> Floats:
    """values[..., ids]: ids [K] or [..., K]."""
    picked = np.atleast_1d(np.asarray(ids, np.int64))
    return np.take_along_axis(values, np.broadcast_to(picked, (*values.shape[:-1], picked.shape[-1])), -1)


def _best(x: Floats, scores: Floats, n: int) -> tuple[Ids, Floats, Floats]:
    """Ids and log-probs of the n largest finite logits, padded with -1 and -inf, and the best less the next."""
    order = np.argsort(-x, axis=-1, kind="stable")
    ids, best = np.where(_pick(x, order) > -np.inf, order, -1), _pick(scores, order)
    padding = [(0, 0)] * (x.ndim - 1) + [(0, max(2, n))]
    ids, best = np.pad(ids, padding, constant_values=-1), np.pad(best, padding, constant_values=-np.inf)
    return ids[..., :n], best[..., :n], best[..., 0] - best[..., 1]


def _asked(told: tuple[Any, ...], asked: tuple[Any, ...], left_out: NDArray[np.bool_]) -> TokenLogprobs:
    """What was asked for, with NaN, -1 or False in the rows left out; None for the rest."""
    rank, top, argmax, entropy, varentropy, logsumexp, margin, candidates = asked
    each = (True, rank, top, top, argmax, entropy, varentropy, logsumexp, argmax, margin, candidates)
    return TokenLogprobs._make(
        _without(value, left_out) if wanted else None for value, wanted in zip(told, each, strict=True)
    )


def _without(values: Any, left_out: NDArray[np.bool_]) -> Any:
    """``values`` with those of the rows left out put to NaN, -1 or False."""
    array = np.asarray(values)
    nothing = {"f": np.nan, "i": -1, "b": False}[array.dtype.kind]
    return np.where(left_out.reshape(left_out.shape + (1,) * (array.ndim - left_out.ndim)), nothing, array)[()]
