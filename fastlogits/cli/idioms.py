"""What people write in NumPy for the same jobs: the other side of the timings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]


class Drawn(NamedTuple):
    """Survivors in order, their probabilities, and the token drawn from them."""

    ids: Ids
    probs: Floats
    token: int


def penalise(
    row: Floats, context: Ids, prompt_length: int, repetition: float, frequency: float, presence: float
) -> Floats:
    """A copy of the row [V] with the three penalties; as `fastlogits.Sampler`, float32."""
    logits = row.copy()
    seen = np.unique(context)
    values = logits[seen]
    logits[seen] = np.where(values > 0, values / repetition, values * repetition)
    generated, counts = np.unique(context[prompt_length:], return_counts=True)
    logits[generated] -= (counts * frequency + presence).astype(np.float32)
    return logits


def largest(row: Floats, k: int) -> Ids:
    """Ids of the k largest, by (value descending, id ascending)."""
    ids = np.argpartition(row, -k)[-k:]
    return ids[np.lexsort((ids, -row[ids]))]


def cut_and_draw(logits: Floats, ids: Ids, top_p: float, min_p: float, u: float) -> Drawn:
    """top-p and min-p on the sorted `ids` of the logits, then the inverse CDF."""
    values = logits[ids]
    probs = np.exp(values - values[0])
    probs /= probs.sum()
    ids = ids[: np.searchsorted(np.cumsum(probs), top_p) + 1]
    probs = probs[: len(ids)]
    kept = probs >= min_p * probs[0]
    ids, probs = ids[kept], probs[kept] / probs[kept].sum()
    running = np.cumsum(probs)
    last = len(ids) - 1
    return Drawn(ids, probs, int(ids[min(int(np.searchsorted(running, u * running[-1], side="right")), last)]))


def top_k_chain(logits: Floats, temperature: float, k: int, top_p: float, min_p: float, u: float) -> Drawn:
    """Temperature, top-k, top-p, min-p and the draw."""
    logits = logits / np.float32(temperature)
    return cut_and_draw(logits, largest(logits, k), top_p, min_p, u)


def nucleus(logits: Floats, temperature: float, top_p: float, u: float) -> Drawn:
    """Temperature, top-p over the whole sorted row, and the draw."""
    logits = logits / np.float32(temperature)
    return cut_and_draw(logits, np.argsort(-logits, kind="stable"), top_p, 0.0, u)


def softmax(row: Floats, out: Floats) -> Floats:
    """exp(x - max) / sum, into `out`."""
    np.subtract(row, row.max(), out=out)
    np.exp(out, out=out)
    out /= out.sum()
    return out


def logsumexp(row: Floats) -> Any:
    """The maximum plus ln sum exp(x - max)."""
    top = row.max()
    return top + np.log(np.exp(row - top).sum())
