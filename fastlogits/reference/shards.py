"""The NumPy float64 reference of vocabulary shards; see `reference`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastlogits.reference.scoring import TokenLogprobs, _without

Floats = NDArray[np.float64]


def shard_peaks(
    logits: ArrayLike, targets: ArrayLike, *, offset: int, vocab: int, ignore_index: int | None = -100
) -> Floats:
    """Maximum of the values that lie in the first guess, maximum, and the target's logit, -inf where not here."""
    x, n = np.asarray(logits, np.float64), np.shape(logits)[-1]
    left_out = np.asarray(targets) == ignore_index
    vectors = -(-vocab // 16)
    seen = np.isin(np.arange(offset, offset + n) // 16, np.arange(0, vectors, -(-vectors // 16)))
    guess = np.where(seen, x, -np.inf).max(-1)
    peaks = np.stack([guess, x.max(-1), _here(x, np.asarray(targets)[..., None], offset)[..., 0]], axis=-1)
    return np.where(left_out[..., None], -np.inf, peaks)


def shard_summary(
    logits: ArrayLike, targets: ArrayLike, *, offset: int, vocab: int, peaks: ArrayLike, top_n: int = 1,
    ignore_index: int | None = -100, temperature: ArrayLike = 1.0,
) -> NDArray[Any]:  # fmt: skip
    """First maximum, the mass of all others, the number above the target, the best, and the moments of -log p."""
    x, ids, t = np.asarray(logits, np.float64), np.asarray(targets), np.asarray(temperature, np.float64)[..., None]
    order = np.argsort(-x, axis=-1, kind="stable")[..., : max(1, top_n)]
    best, whole = np.take_along_axis(x, order, -1), np.asarray(peaks)
    told = _masses(x, t, order[..., :1])
    level = _here(x, ids[..., None], offset)[..., 0]
    each = (np.where(ids == ignore_index, -1, ids), t[..., 0], level, (x > whole[..., 2:]).sum(-1), *told)
    kinds = [(name, np.result_type(value)) for name, value in zip(_FIELDS, each, strict=True)]
    wide = order.shape[-1:]
    made = np.empty(x.shape[:-1], [*kinds, ("offset", "i8"), ("ids", "i8", wide), ("best", "f8", wide)])
    return _filled(made, (*each, offset, np.where(best > -np.inf, order + offset, -1), best))


def merge(summaries: Iterable[Any]) -> TokenLogprobs:
    """Masses in units of the largest maximum; means and variances by the law of total variance."""
    each = sorted((np.asarray(part) for part in summaries), key=lambda part: int(part["offset"].flat[0]))
    (ids, best), t, lost = _best(each), each[0]["t"], each[0]["target"] < 0
    tails, mean, spread = _merged(each, best[..., 0])
    level = np.maximum.reduce([part["level"] for part in each])
    scores, own = (best - best[..., :1]) / t[..., None] - tails[..., None], (level - best[..., 0]) / t - tails
    ranks, lse = 1 + sum(part["above"] for part in each), best[..., 0] / t + tails
    told = (own, ranks, ids, scores, ids[..., 0], mean, spread, lse)
    found = [_without(value, lost) for value in (*told, ids[..., 0] == each[0]["target"])]
    return TokenLogprobs._make([*found, None, None])


_FIELDS = ("target", "t", "level", "above", "rest", "mean", "spread")


def _masses(x: Floats, t: Floats, at: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """The mass of all tokens but the first maximum, in units of its mass; mean and variance of -log p."""
    with np.errstate(invalid="ignore", over="ignore"):
        far = np.where(x > -np.inf, (x.max(-1, keepdims=True) - x) / t, np.inf)
    e = np.exp(-far)
    np.put_along_axis(e, at, 0.0, -1)
    rest = e.sum(-1)
    p = np.exp(-far) / (1 + rest)[..., None]
    distance = np.where(p > 0, far, 0.0)
    mean = (p * distance).sum(-1)
    return rest, np.log1p(rest) + mean, (p * (distance - mean[..., None]) ** 2).sum(-1)


def _merged(each: list[Any], top: Floats) -> tuple[Floats, Floats, Floats]:
    """-log p of the maximum, and mean and variance of -log p."""
    tops, rests, means, spreads = (np.stack([_first(part, name) for part in each]) for name in _MERGED)
    own = np.arange(len(each)).reshape(-1, *[1] * top.ndim) == tops.argmax(0)
    with np.errstate(invalid="ignore", over="ignore"):
        far = np.where(tops > -np.inf, (top - tops) / each[0]["t"], np.inf)
    tails = np.log1p(np.where(own, rests, np.exp(-far) * (1 + rests)).sum(0))
    p, apart = np.exp(np.log1p(rests) - far - tails), np.where(far < np.inf, means + far + tails - np.log1p(rests), 0)
    mean = (p * apart).sum(0)
    return tails, mean, (p * (spreads + (apart - mean) ** 2)).sum(0)


def _best(each: list[Any]) -> tuple[NDArray[np.int64], Floats]:
    """Ids and logits of the best tokens of all shards."""
    ids, best = (np.concatenate([part[name] for part in each], axis=-1) for name in ("ids", "best"))
    order = np.argsort(-best, axis=-1, kind="stable")[..., : each[0]["ids"].shape[-1]]
    return np.take_along_axis(ids, order, -1), np.take_along_axis(best, order, -1)


_MERGED = ("best", "rest", "mean", "spread")


def _first(part: Any, name: str) -> Floats:
    """A field of a summary; the first column of the best."""
    values: Floats = part[name][..., 0] if name == "best" else part[name]
    return values


def _filled(made: NDArray[Any], values: tuple[Any, ...]) -> NDArray[Any]:
    """``made`` with a value in each field."""
    for name, value in zip(made.dtype.names or (), values, strict=True):
        made[name] = value
    return made


def _here(x: Floats, ids: NDArray[Any], offset: int) -> Floats:
    """Logits of ids [..., K]; -inf where another shard has them."""
    local = ids - offset
    inside = (local >= 0) & (local < x.shape[-1])
    return np.where(inside, np.take_along_axis(x, np.where(inside, local, 0), -1), -np.inf)
