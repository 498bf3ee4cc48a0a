"""One step of beam search: the best continuations of several rows with their running scores."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlogits import _inputs, _run

Array = NDArray[Any]


class BeamStep(NamedTuple):
    """Continuations by (score descending, beam ascending, id ascending), padded with -inf and -1.

    Attributes
    ----------
    scores : float64 array [..., n]
        Score of the beam + log-prob of the token.
    beams : int64 array [..., n]
        Which beam is continued.
    ids : int64 array [..., n]
        By which token.

    Examples
    --------
    >>> import fastlogits as fl
    >>> step = fl.beam_step([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]], [-1.0, -0.5])
    >>> step.beams, step.ids
    (array([1, 0, 0, 0]), array([0, 1, 2, 0]))
    >>> alive, ended = step.split([1], length=5)
    >>> alive.ids, ended.scores.round(3)
    (array([0, 2]), array([  -inf, -0.282,   -inf,   -inf]))
    """

    scores: NDArray[np.float64]
    beams: NDArray[np.int64]
    ids: NDArray[np.int64]

    def split(self, eos: Any, *, length: Any = 1, length_penalty: float = 1.0) -> tuple[BeamStep, BeamStep]:
        """The continuations that go on, and those that end here, as transformers parts them.

        Parameters
        ----------
        eos : int or sequence of int
            Tokens that end a text.
        length : int or array, default 1
            Tokens of the texts that end here, broadcast against [..., n].
        length_penalty : float, default 1.0
            Ended texts score their sum / length ** length_penalty.

        Returns
        -------
        BeamStep [..., n // 2], BeamStep [..., n]
            The first n // 2 that do not end; and those that end among the first n // 2, in their places, other places
            -inf and -1.
        """
        ended = np.isin(self.ids, np.atleast_1d(np.asarray(eos, np.int64)))
        half = max(1, self.ids.shape[-1] // 2)
        first = np.argsort(ended, axis=-1, kind="stable")[..., :half]
        alive = [np.take_along_axis(each, first, -1) for each in self]
        there = ~np.take_along_axis(ended, first, -1)
        taken = ended & (np.arange(self.ids.shape[-1]) < half)
        final = self.scores / np.asarray(length, np.float64) ** length_penalty
        ends = (np.where(taken, final, -np.inf), np.where(taken, self.beams, -1), np.where(taken, self.ids, -1))
        goes_on = (np.where(there, alive[0], -np.inf), *(np.where(there, each, -1) for each in alive[1:]))
        return BeamStep(*goes_on), BeamStep(*ends)


def beam_step(call: _run.Call, scores: Any, n: Any, rng: Any) -> Any:
    """`Sampler.beam_step`; the rows of the call are [..., beams, V]."""
    if len(call.outer) < 1:
        raise ValueError(f"logits must have shape [..., beams, V], got {call.x.shape}")
    running = checked_scores(scores, call.outer)
    beams = call.outer[-1]
    many = 2 * beams if n is None else _run.draw_count(n)
    ids, tops = np.full((call.rows, min(many, call.n)), -1, np.int64), np.full((call.rows, min(many, call.n)), -np.inf)
    call.run(_run.seed_of(call, rng), ids=np.full(call.rows, -1, np.int64), top_ids=ids, top_logprobs=tops)
    tops = np.where(np.isnan(tops), -np.inf, tops) + running.reshape(-1, 1)
    return call.answer(best(tops, ids, call.outer[:-1], beams, many))


def best(totals: Array, ids: Array, outer: tuple[int, ...], beams: int, n: int) -> BeamStep:
    """The n first of [rows, columns], rows being beams of one text after the other."""
    columns = totals.shape[-1]
    shape = (math.prod(outer), beams * columns)
    flat, tokens = totals.reshape(shape), ids.reshape(shape)
    which = np.broadcast_to(np.repeat(np.arange(beams), columns), flat.shape)
    order = np.lexsort((tokens, which, -flat), axis=-1)[:, :n]
    found = [np.take_along_axis(each, order, -1) for each in (flat, which, tokens)]
    dead = np.isneginf(found[0])
    found = [found[0], *(np.where(dead, -1, each) for each in found[1:])]
    padded = [
        np.pad(each, ((0, 0), (0, n - each.shape[-1])), constant_values=fill)
        for each, fill in zip(found, (-np.inf, -1, -1), strict=True)
    ]
    return BeamStep(*(each.reshape(*outer, n) for each in padded))


def checked_scores(scores: Any, outer: tuple[int, ...]) -> NDArray[np.float64]:
    """One number below +inf per beam."""
    array = _inputs.plain_array("scores", scores)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"scores must hold numbers, got dtype {array.dtype}")
    if array.shape != outer:
        raise ValueError(f"scores must have shape {outer}, got {array.shape}")
    values = array.astype(np.float64)
    bad = ~(values < np.inf)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"scores[{', '.join(map(str, at))}] must be a number below inf, got {values[at]}")
    return values
