"""One step of beam search: the best continuations of several rows with their running scores."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlogits._common import inputs as _inputs
from fastlogits._common.plain import to_dict
from fastlogits.sampling import call as _run
from fastlogits.sampling import draw as _draw

Array = NDArray[Any]


class BeamStep(NamedTuple):
    """Continuations by (score descending, beam ascending, id ascending), padded with -inf and -1.

    With groups of beams each group's one after the other's; ranked by length where `beam_step` was given ``length``.

    Attributes
    ----------
    scores : float64 array [..., n]
        Score of the beam + log-prob of the token, less what diversity takes off.
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

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)

    def split(
        self, eos: Any, *, length: Any = 1, length_penalty: float = 1.0, num_beam_groups: int = 1
    ) -> tuple[BeamStep, BeamStep]:
        """The continuations that go on, and those that end here, as transformers parts them.

        Parameters
        ----------
        eos : int or sequence of int
            Tokens that end a text.
        length : int or array, default 1
            Tokens of the texts that end here, broadcast against [..., n].
        length_penalty : float, default 1.0
            Ended texts score their sum / length ** length_penalty.
        num_beam_groups : int >= 1, default 1
            The groups of the step, each split separately: what follows holds for each, m = n / num_beam_groups for n.

        Returns
        -------
        BeamStep [..., n // 2], BeamStep [..., n]
            The first n // 2 that do not end; and those that end among the first n // 2, in their places, other places
            -inf and -1.

        Raises
        ------
        ValueError, TypeError
            A token that is no integer >= 0; a number of groups that does not divide n; a length that is not at
            least 1, or whose power is not finite and above 0.
        """
        n, outer = self.ids.shape[-1], self.ids.shape[:-1]
        groups = _group_count(num_beam_groups, {"the continuations": n})
        scores, beams, ids = (each.reshape(*outer, groups, n // groups) for each in self)
        ended = np.isin(ids, _ends(eos))
        first = _going_on(ended)
        there = ~np.take_along_axis(ended, first, -1)
        taken = ended & (np.arange(n // groups) < _half(n // groups))
        final = (self.scores / _powers(length, length_penalty, self.ids.shape)).reshape(ids.shape)
        goes_on = [np.take_along_axis(each, first, -1) for each in (scores, beams, ids)]
        alive = [np.where(there, each, fill) for each, fill in zip(goes_on, _NONE, strict=True)]
        ends = [np.where(taken, each, fill) for each, fill in zip((final, beams, ids), _NONE, strict=True)]
        return _flat(alive), _flat(ends)


def _flat(parts: list[Array]) -> BeamStep:
    """Arrays [..., groups, m] as [..., groups * m]."""
    return BeamStep(*(each.reshape(*each.shape[:-2], math.prod(each.shape[-2:])) for each in parts))


_NONE = (-np.inf, -1, -1)  # what stands where no continuation is


class Ranking(NamedTuple):
    """How continuations are ranked: the keywords of `Sampler.beam_step` as they came."""

    num_beam_groups: Any
    diversity_penalty: Any
    eos: Any
    length: Any
    length_penalty: Any


def beam_step(call: _run.Call, scores: Any, n: Any, ranking: Ranking) -> Any:
    """`Sampler.beam_step`; the rows of the call are [..., beams, V]."""
    if len(call.outer) < 1:
        raise ValueError(f"logits must have shape [..., beams, V], got {call.x.shape}")
    running = checked_scores(scores, call.outer)
    beams, texts = call.outer[-1], math.prod(call.outer[:-1])
    many = 2 * beams if n is None else _draw.draw_count(n)
    groups = _group_count(ranking.num_beam_groups, {"the beams": beams, "n": many})
    penalty = _diversity(ranking.diversity_penalty)
    powers, ends = _powers(ranking.length, ranking.length_penalty, call.outer), _ends(ranking.eos)
    if ends.size and ends.max() >= call.n:
        raise ValueError(f"eos: token id {ends.max()} must be in [0, {call.n})")
    each = many // groups
    # Behind the tokens that diversity puts back stand as many more.
    columns = min(each + (penalty > 0) * (groups - 1) * _half(each), call.n)
    ids, tops = np.full((call.rows, columns), -1, np.int64), np.full((call.rows, columns), -np.inf)
    call.run(_run.seed_of(call), top_ids=ids, top_logprobs=tops)
    shape = (texts, beams, columns)
    tops = np.where(np.isnan(tops), -np.inf, tops).reshape(shape)
    running, powers = running.reshape(texts, beams, 1), powers.reshape(texts, beams, 1)
    rows = _Continued(tops, ids.reshape(shape), running, powers)
    found = _grouped(rows, groups, each, penalty, ends)
    parts: list[Array] = [part.reshape(*call.outer[:-1], many) for part in found]
    return call.answer(BeamStep(*parts))


class _Continued(NamedTuple):
    """Log-probs and ids [texts, beams, columns] of continuations; scores of the beams, and powers of their lengths."""

    tops: Array
    ids: Array
    running: Array
    powers: Array


def _grouped(rows: _Continued, groups: int, each: int, penalty: float, ends: Array) -> BeamStep:
    """The continuations of all groups side by side, [texts, groups * each].

    A group's log-probs lose ``penalty`` for each continuation by that token with which an earlier group goes on.
    """
    tops, ids, running, powers = rows
    members, found = ids.shape[1] // groups, []
    gone_on = np.empty((len(ids), 0), np.int64)
    for g in range(groups):
        own = slice(g * members, (g + 1) * members)
        totals = tops[:, own]
        if penalty and g:
            totals = totals - penalty * np.count_nonzero(ids[:, own, :, None] == gone_on[:, None, None], axis=-1)
        group = _best(totals + running[:, own], ids[:, own], powers[:, own], each)
        found.append(group._replace(beams=np.where(group.beams < 0, -1, group.beams + own.start)))
        ended = np.isin(group.ids, ends)
        going = np.take_along_axis(np.where(ended, -1, group.ids), _going_on(ended), -1)
        gone_on = np.concatenate([gone_on, going], axis=-1)
    joined: list[Array] = [np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True)]
    return BeamStep(*joined)


def _best(totals: Array, ids: Array, powers: Array, n: int) -> BeamStep:
    """The n first of [texts, beams, columns], by total / power."""
    texts, beams, columns = totals.shape
    flat, tokens, ranked = (each.reshape(texts, beams * columns) for each in (totals, ids, totals / powers))
    which = np.broadcast_to(np.repeat(np.arange(beams), columns), flat.shape)
    order = np.lexsort((tokens, which, -ranked), axis=-1)[:, :n]
    found = [np.take_along_axis(each, order, -1) for each in (flat, which, tokens)]
    dead = np.isneginf(found[0])
    behind = ((0, 0), (0, n - order.shape[-1]))
    kept: list[Array] = [
        np.pad(np.where(dead, fill, each), behind, constant_values=fill)
        for each, fill in zip(found, _NONE, strict=True)
    ]
    return BeamStep(*kept)


def _half(n: int) -> int:
    """How many of n continuations go on."""
    return max(1, n // 2)


def _going_on(ended: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The places of the first half that do not end, [..., n // 2], after them of others where these are fewer."""
    return np.argsort(ended, axis=-1, kind="stable")[..., : _half(ended.shape[-1])]


def _group_count(groups: Any, parted: dict[str, int]) -> int:
    """A checked number of groups, which parts each of the numbers evenly."""
    count = _run.top_count("num_beam_groups", groups)
    if count < 1:
        raise ValueError(f"num_beam_groups must be an integer >= 1, got {count}")
    for name, whole in parted.items():
        if whole % count:
            raise ValueError(f"num_beam_groups must divide {name}, {whole}, got {count}")
    return count


def _number(name: str, value: Any) -> float:
    """A finite number."""
    array = np.asarray(value)
    if array.ndim or array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return float(value)


def _diversity(penalty: Any) -> float:
    """A checked diversity penalty."""
    value = _number("diversity_penalty", penalty)
    if value < 0:
        raise ValueError(f"diversity_penalty must be a number >= 0, got {value}")
    return value


def _powers(length: Any, length_penalty: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Powers length ** length_penalty in the shape wanted, 1 without a length."""
    exponent = _number("length_penalty", length_penalty)
    lengths = _inputs.row_integers("length", 1 if length is None else length, shape, low=1)
    with np.errstate(over="ignore", under="ignore"):
        powers = np.asarray(lengths, np.float64) ** exponent
    bad = ~((powers > 0) & (powers < np.inf))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"length ** length_penalty must be finite and above 0, got {powers[at]} of {exponent}")
    return np.broadcast_to(powers, math.prod(shape)).reshape(shape) if powers.size == 1 else powers.reshape(shape)


def _ends(eos: Any) -> NDArray[np.int64]:
    """The tokens that end a text; None is none."""
    ids = np.empty(0, np.int64) if eos is None else np.atleast_1d(_inputs.plain_array("eos", eos))
    if ids.size and ids.dtype.kind not in "iu":
        raise TypeError(f"eos must be an integer or a sequence of them, got dtype {ids.dtype}")
    if ids.size and ids.min() < 0:
        raise ValueError(f"eos must hold token ids >= 0, got {ids.min()}")
    return ids.astype(np.int64)


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
