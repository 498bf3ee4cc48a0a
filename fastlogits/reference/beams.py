"""Reference of one step of beam search; see `fastlogits.reference`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlogits.reference import BeamStep, log_softmax
from fastlogits.reference.repeats import Floats
from fastlogits.reference.sampling import filter_logits


def beam_step(
    logits: ArrayLike, scores: ArrayLike, *, n: int | None = None, num_beam_groups: int = 1,
    diversity_penalty: float = 0.0, eos: ArrayLike = (), length: ArrayLike | None = None, length_penalty: float = 1.0,
    **inputs: Any,
) -> BeamStep:  # fmt: skip
    """Scores, beams and ids [..., n] of the best of score + log-prob, by (ranking desc, beam asc, id asc)."""
    logp, running = log_softmax(filter_logits(logits, **inputs)), np.asarray(scores, np.float64)
    (*outer, beams, vocab), many = logp.shape, n or 2 * np.shape(logits)[-2]
    powers = np.broadcast_to(1.0 if length is None else np.asarray(length, np.float64) ** length_penalty, running.shape)
    texts = zip(logp.reshape(-1, beams, vocab), running.reshape(-1, beams), powers.reshape(-1, beams), strict=True)
    groups, ends = (num_beam_groups, many // num_beam_groups), np.atleast_1d(eos)
    found = np.array([_text_beams(*text, groups, diversity_penalty, ends) for text in texts])
    found = found.reshape(*outer, many, 3)
    return BeamStep(found[..., 0], found[..., 1].astype(np.int64), found[..., 2].astype(np.int64))


def _text_beams(
    logp: Floats, running: Floats, powers: Floats, groups: tuple[int, int], penalty: float, eos: Any
) -> list[tuple[float, int, int]]:
    """(score, beam, id) of one text, group after group: log p - penalty * beams that went on with the token."""
    (beams, vocab), (count, each), found = logp.shape, groups, []
    counts = np.zeros(vocab)
    for own in np.split(np.arange(beams), count):
        group = _group_beams(logp[own] - penalty * counts + running[own, None], powers[own], each)
        going = [token for _, beam, token in group if beam >= 0 and token not in eos]
        counts += np.bincount(going[: max(1, each // 2)], minlength=vocab)
        found += [(score, beam + own[0] * (beam >= 0), token) for score, beam, token in group]
    return found


def _group_beams(totals: Floats, powers: Floats, n: int) -> list[tuple[float, int, int]]:
    """The n best of [beams, V] by total / power, padded with (-inf, -1, -1)."""
    order = np.argsort(-(totals / powers[:, None]), axis=None, kind="stable")[:n]
    places = zip(*np.unravel_index(order, totals.shape), strict=True)
    found = [(float(totals[at]), int(at[0]), int(at[1])) for at in places if totals[at] > -np.inf]
    return found + [(-np.inf, -1, -1)] * (n - len(found))
