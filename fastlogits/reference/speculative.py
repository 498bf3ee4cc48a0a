"""Reference of speculative decoding; see `fastlogits.reference`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastlogits.reference import softmax
from fastlogits.reference.repeats import Floats, Ids
from fastlogits.reference.rows import Row, philox
from fastlogits.reference.sampling import (
    _beside,
    _contexts,
    _drawn,
    _named,
    _per_row,
    _random,
    _steering,
    keyword_plan,
    process,
)


class Verified(NamedTuple):
    """Emitted ids [..., n + 1], accepted counts [...], last tokens [...] and nodes [..., n], padded with -1."""

    ids: Any
    accepted: Any
    tokens: Any
    path: Any


class Draft:
    """One sequence: rows of the target, drafted tokens with their parents, and where their random numbers come from.

    `before` is its context with the length of the prompt.
    """

    def __init__(
        self, target: Floats, ids: Ids, parents: Ids, random: tuple[int, int, int], before: tuple[Ids, int]
    ) -> None:
        self.target, self.random, self.before = target, random, before
        self.row, self.by_noise = Row(target[0]), False  # the last row read, and whether the bonus is drawn by noise
        self.ids, self.parents = ids[: np.argmax([*(ids < 0), True])], parents

    def words(self, depth: int, which: int, purpose: int) -> list[float]:
        """Two numbers in [0, 1): those of acceptance (purpose 4) or of a refused position (5)."""
        seed, key, position = self.random
        return [(word >> 11) * 2.0**-53 for word in philox(seed, key, position + depth, which, 0, purpose)[:2]]

    def children(self, node: int) -> list[int]:
        """The nodes after a node, in their order."""
        return [i for i in range(len(self.ids)) if self.parents[i] == node]


def residual(p: Floats, q: Floats) -> Floats:
    """norm(max(p - q, 0)); p itself where nothing is left."""
    left: Floats = np.maximum(p - q, 0)
    return left / left.sum() if left.sum() > 0 else p


def recovered(s: Draft, depth: int, p: Floats, q: Floats) -> int:
    """A token of the residual: one of 64 drawn from p, each kept with probability 1 - q / p, else by its inverse."""
    for trial in range(64):
        u, keep = s.words(depth, trial, 5)
        token = inverse(p, u)
        if keep * p[token] < p[token] - q[token]:
            return token
    return inverse(residual(p, q), s.words(depth, 64, 5)[0])


def inverse(p: Floats, u: float) -> int:
    """The first token whose running probability exceeds u of the total."""
    running = np.cumsum(p)
    return min(int(np.searchsorted(running, u * running[-1], side="right")), int(np.flatnonzero(p)[-1]))


def ask(s: Draft, node: int, depth: int, p: Floats, q: Floats | None, distinct: bool) -> tuple[int, int]:
    """(accepted child, its token), or (-1, the token drawn from what is left of p)."""
    asked, given = s.children(node), q
    for i, child in enumerate(asked):
        x = int(s.ids[child])
        drafted = np.eye(1, len(p), x)[0] if q is None else drawable(child, x, given, q)
        if s.words(depth, i, 4)[0] * drafted[x] < p[x]:
            return child, x
        if len(asked) == 1:
            return -1, recovered(s, depth, p, drafted)
        p, q = residual(p, drafted), q if q is None or not distinct else without(q, x)
    return -1, inverse(p, s.words(depth, 64, 5)[0])


def drawable(child: int, x: int, given: Any, q: Floats) -> Floats:
    """What is left of the draft; ValueError where x cannot have been drawn from it as it was given."""
    if not given[x] > 0:
        raise ValueError(f"draft_ids[{child}]: token id {x} has probability 0 in the draft")
    return q


def without(q: Floats, x: int) -> Floats:
    """Q renormalized without x."""
    rest = np.where(np.arange(len(q)) == x, 0.0, q)
    return rest / (1 - q[x]) if q[x] < 1 else rest


def walk(s: Draft, law: Any, draft_law: Any, distinct: bool) -> tuple[list[int], list[int]]:
    """Emitted tokens and accepted nodes."""
    node, tokens, path = -1, list[int](), list[int]()
    while s.children(node):
        p, q = (each(node + 1, tokens, len(path)) for each in (law, draft_law))
        node, token = ask(s, node, len(path), p, q, distinct)
        tokens.append(token)
        if node < 0:
            return tokens, path
        path.append(node)
    law(node + 1, tokens, len(path))
    return [*tokens, *_drawn(s.row, 1, s.by_noise, True)], path


def laws(
    s: Draft, rows: Floats | None, probs: Floats | None, plan: Sequence[Any], beside: Mapping[str, Floats] | None = None
) -> Any:
    """(row, accepted tokens, depth) -> probabilities [V], or None for drafts without."""

    def law(row: int, tokens: list[int], depth: int) -> Floats | None:
        """The probabilities after a node."""
        if rows is None:
            return None if probs is None else probs[row]
        (seed, key, position), (context, start) = s.random, s.before
        seen = np.array([*context, *tokens], np.int64)
        s.row = Row(rows[row], seen, start, (seed, key, position + depth))
        s.row.beside = {name: values[row] for name, values in (beside or {}).items()}
        return softmax(process(s.row, plan))

    return law


def verify(
    target_logits: ArrayLike, draft_ids: ArrayLike, *, draft_logits: Any = None, draft_probs: Any = None,
    parents: Any = None, replacement: bool = True, plan: Sequence[Any] | None = None, rng: Any = None,
    position: Any = None, keys: Any = None, **inputs: Any,
) -> Verified:  # fmt: skip
    """Speculative decoding of chains or trees of drafted tokens, one sequence after the other."""
    target, ids = np.asarray(target_logits, np.float64), np.asarray(draft_ids, np.int64)
    beside = {name: each.reshape(-1, *target.shape[-2:]) for name, each in _beside(inputs).items()}
    outer, n, plan = target.shape[:-2], ids.shape[-1], keyword_plan(**_steering(inputs)) if plan is None else plan
    chain = np.broadcast_to(np.arange(-1, n - 1) if parents is None else np.asarray(parents), ids.shape)
    flat = [_flat(each, len(outer)) for each in (target, ids, chain, draft_logits, draft_probs)]
    context, start = _contexts(inputs.get("context"), math.prod(outer)), inputs.get("prompt_length", 0)
    random = _random(rng, position, keys, context, outer)
    befores = list(zip(context, map(int, _per_row(start, outer)), strict=True))
    rows = [_verified(flat, beside, plan, (random[r], befores[r]), r, not replacement) for r in range(len(random))]
    return Verified(*(np.reshape(each, (*outer, *np.shape(each)[1:]))[()] for each in zip(*rows, strict=True)))


def _flat(x: Any, axes: int) -> Any:
    """The first `axes` axes as one."""
    return None if x is None else np.reshape(x, (math.prod(np.shape(x)[:axes]), *np.shape(x)[axes:]))


def _verified(
    flat: list[Any], around: Mapping[str, Floats], plan: Sequence[Any], of_row: tuple[Any, Any], r: int, distinct: bool
) -> tuple[Any, ...]:
    """One row of the result."""
    target, ids, parents = (each[r] for each in flat[:3])
    logits, probs = (None if each is None else each[r] for each in flat[3:])
    s = Draft(target, ids, parents, *of_row)
    s.by_noise = bool(plan) and _named(plan[-1])[0] == "gumbel"
    law = laws(s, target, None, plan, {name: rows[r] for name, rows in around.items()})
    tokens, path = walk(s, law, laws(s, logits, probs, plan), distinct)
    padded = [[*each, *[-1] * n][:n] for each, n in ((tokens, len(ids) + 1), (path, len(ids)))]
    return padded[0], len(path), tokens[-1], padded[1]
