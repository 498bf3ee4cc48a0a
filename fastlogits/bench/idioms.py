"""What people write in NumPy for a row, step by step."""

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
    if frequency or presence:
        generated, counts = np.unique(context[prompt_length:], return_counts=True)
        logits[generated] -= (counts * frequency + presence).astype(np.float32)
    return logits


def largest(row: NDArray[Any], k: int) -> Ids:
    """Ids of the k largest, by (value descending, id ascending)."""
    ids = np.argpartition(row, -k)[-k:]
    return ids[np.lexsort((ids, -row[ids]))]


def draw(probs: Floats, u: float) -> int:
    """Where the running sum exceeds u: the inverse CDF."""
    running = np.cumsum(probs)
    return min(int(np.searchsorted(running, u * running[-1], side="right")), len(probs) - 1)


def cut_and_draw(logits: Floats, ids: Ids, top_p: float, min_p: float, u: float) -> Drawn:
    """top-p and min-p on the sorted `ids` of the logits, then the inverse CDF."""
    values = logits[ids]
    probs = np.exp(values - values[0])
    probs /= probs.sum()
    ids = ids[: np.searchsorted(np.cumsum(probs), top_p) + 1]
    probs = probs[: len(ids)]
    kept = probs >= min_p * probs[0]
    ids, probs = ids[kept], probs[kept] / probs[kept].sum()
    return Drawn(ids, probs, int(ids[draw(probs, u)]))


def top_k_chain(logits: Floats, temperature: float, k: int, top_p: float, min_p: float, u: float) -> Drawn:
    """Temperature, top-k, top-p, min-p and the draw."""
    logits = logits / np.float32(temperature)
    return cut_and_draw(logits, largest(logits, k), top_p, min_p, u)
