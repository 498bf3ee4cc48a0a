"""One row on its way through the steps, and its random numbers; see `fastlogits.reference`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlogits.reference.repeats import Floats, Ids, tail

Words = np.ndarray[Any, np.dtype[np.uint64]]


def philox(seed: int, key: int, *counter: int) -> list[int]:
    """Four words of Philox4x64-10 (Salmon et al., 2011) with key (seed, key).

    NumPy's generator counts up before it answers, so the counter is one lower.
    """
    before = (sum(each % 2**64 << 64 * i for i, each in enumerate(counter)) - 1) % 2**256
    counters = np.array([before >> shift & 2**64 - 1 for shift in (0, 64, 128, 192)], np.uint64)
    generator = np.random.Philox(key=np.array([seed, key % 2**64], np.uint64), counter=counters)
    return [int(word) for word in generator.random_raw(4)]


def uniform(seed: int, key: int, position: int, stream: int = 0, number: int = 0) -> float:
    """The u in [0, 1) of (seed, key, position): the top 53 bits of the first word at (position, stream, number).

    Stream 0 draws the token, the number-th of a row; the random steps of a plan have streams 1, 2 and so on.
    """
    return (philox(seed, key, position, stream, number)[0] >> 11) * 2.0**-53


def gumbel(seed: int, key: int, position: int, tokens: Ids, number: int = 0) -> Floats:
    """Noise -ln e of tokens, e ~ Exp(1), made from the top down.

    The least e of a block of 256 tokens is Exp(1) / 256, in any of its 16 lanes; that of another lane comes
    Exp(1) / 16 later, at any of its 16 places; that of another token Exp(1) later still.
    """
    lanes, places = tokens // 256 * 16 + tokens % 16, tokens // 16 % 16
    levels = enumerate((tokens // 256, lanes, 16 * lanes + places))
    block, lane, token = (_words((seed, key, position), number, level, each) for level, each in levels)
    wait = _wait(block) / 256 + np.where(lanes % 16 == block % 16, 0, _wait(lane) / 16)
    noise: Floats = -np.log(wait + np.where(places == lane % 16, 0, _wait(token)))
    return noise


def _words(random: tuple[int, int, int], number: int, level: int, which: Ids) -> Words:
    """Words of a level of the noise: four to each Philox block."""
    seed, key, position = random
    found, at = np.unique(which // 4, return_inverse=True)
    blocks = [philox(seed, key, position, number, int(i), level + 1) for i in found]
    return np.array(blocks, np.uint64).reshape(-1, 4)[at, which % 4]


def _wait(words: Words) -> Floats:
    """-ln((b + 1/2) / 2^52), b the top 52 bits."""
    return -np.log(((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)


@dataclasses.dataclass
class Row:
    """One row on its way: logits [V], the ids seen so far, and the masses remembered at the first joint cut.

    An id outside [0, V) is a placeholder, held as a unique negative id.

    `random` is (seed, key, position); `asked` counts the random steps that have run, `skew` is that of the draw.
    `memory` holds what steps remember by their place in the plan; `at` is the place of the step that runs, `first` that
    of the first that ran. `shares_at` holds the probabilities before the steps that depend on them. `largest` is the
    largest value of the type that the logits came in.
    """

    logits: Floats
    context: Ids
    prompt_length: int = 0
    random: tuple[int, int, int] = (0, 0, 0)
    mass: Floats | None = None
    asked: int = 0
    skew: float = 0.0
    at: int = 0
    first: int = 0
    largest: float = np.inf

    def __init__(
        self,
        logits: ArrayLike,
        context: ArrayLike = (),
        prompt_length: int = 0,
        random: tuple[int, int, int] | None = None,
        memory: Mapping[int, tuple[float, float]] | None = None,
    ) -> None:
        self.memory, self.shares_at = dict(memory or {}), dict[int, Floats]()
        self.beside = dict[str, Floats]()
        given = np.asarray(logits)
        self.logits, self.prompt_length = given.astype(np.float64), prompt_length
        kind = np.dtype(np.float64) if given.dtype.kind in "iub" else given.dtype
        self.largest = float(np.nextafter(np.array(np.inf, kind), np.array(0, kind)))
        self.context = np.array(context, np.int64)
        outside = np.flatnonzero((self.context < 0) | (self.context >= len(self.logits)))
        self.context[outside] = -1 - outside
        self.random = (0, 0, len(self.context)) if random is None else random

    def next_uniform(self) -> float:
        """The u of the next random step of the plan."""
        self.asked += 1
        return uniform(*self.random, stream=self.asked)

    def draw_uniform(self, number: int = 0) -> float:
        """The u of the number-th draw, skewed."""
        return min(float(uniform(*self.random, number=number) ** np.exp(-self.skew)), 1 - 2.0**-53)

    def perturbed(self, number: int = 0, offset: int = 0) -> tuple[Floats, Ids]:
        """Logits - base + noise [V], the first token being `offset` of the vocabulary, and the survivors by that."""
        alive = self.logits > -np.inf
        with np.errstate(over="ignore"):
            above = self.logits - self.base()
        values = above + gumbel(*self.random, np.arange(offset, offset + len(self.logits)), number)
        return values, np.lexsort((-values, ~alive))[: np.count_nonzero(alive)]

    def base(self) -> float:
        """What is subtracted from logits before noise is added: the largest one, or 0 where that is near enough."""
        top = self.top_logit()
        return 0.0 if abs(top) < 2**20 or top == -np.inf else top

    def top_logit(self) -> float:
        """The largest logit."""
        return float(self.logits.max())

    def counts(self, start: int, window: int | None) -> Ids:
        """How often each token occurs in the last `window` ids of context[start:]; [V]."""
        seen = tail(self.context[start:], window)
        return np.bincount(seen[seen >= 0], minlength=len(self.logits))

    def last(self) -> Ids:
        """Where each token occurs last in the context, -1 if it does not; [V]."""
        last = np.full(len(self.logits), -1)
        at = np.flatnonzero(self.context >= 0)
        last[self.context[at]] = at  # of equal ids the last one stays
        return last

    def strengths(self, start: int, window: int | None, decay: int, slope: float) -> Floats:
        """How much of theta - 1 a token gets by its last occurrence; [V]."""
        n, last = len(self.context), self.last()
        begin = n - len(tail(self.context, window))
        first = max(begin, start)
        full = np.where(last < first + (n - first) // 2, slope, 1.0)
        fading = full * np.where(last < begin, 1 - (begin - 1 - last) / max(decay, 1), 1.0)
        return np.where((last >= start) & (last >= begin - decay), fading, 0.0)

    def ends_with(self, ids: ArrayLike, start: int = 0) -> bool:
        """Whether context[start:] ends with these tokens."""
        count = len(np.asarray(ids))
        return count == 0 or self.context[start:][-count:].tolist() == list(np.asarray(ids, np.int64))

    def without(self, ids: ArrayLike) -> Floats:
        """The logits, -inf for these tokens."""
        logits = self.logits.copy()
        logits[np.asarray(ids, np.int64)] = -np.inf
        return logits

    def forced(self, ids: ArrayLike) -> Floats:
        """0 for these tokens, -inf for the others; the logits if there are none."""
        at = np.asarray(ids, np.int64)
        self.mass = None if at.size else self.mass
        return np.where(np.isin(np.arange(len(self.logits)), at), 0.0, -np.inf) if at.size else self.logits

    def order(self) -> Ids:
        """Ids of the survivors by (logit descending, id ascending)."""
        order = np.argsort(-self.logits, kind="stable")
        return order[: np.count_nonzero(self.logits > -np.inf)]

    def masses(self) -> Floats:
        """exp(l - max), 0 where removed; [V]."""
        with np.errstate(over="ignore"):
            masses: Floats = np.exp(self.logits - self.logits.max())
        return masses

    def joint_masses(self) -> Floats:
        """The masses as they stood at the first joint cut: those of now if this is the first; [V]."""
        self.mass = self.masses() if self.mass is None else self.mass
        return self.mass

    def shares(self) -> Floats:
        """Probabilities, 0 where removed; [V]."""
        masses = self.masses()
        shares: Floats = masses / masses.sum()
        return shares

    def entropy(self) -> float:
        """-sum p ln p over the survivors, in nats."""
        shares = self.shares()
        alive = shares[shares > 0]
        return float(-(alive * np.log(alive)).sum())

    def reaching(self, floor: float, min_keep: int) -> Floats:
        """Logits of what has l >= floor, and of the `min_keep` first."""
        return self.only(self.order()[: max(1, int(min_keep), np.count_nonzero(self.logits >= floor))])

    def only(self, kept: Ids) -> Floats:
        """The logits of the ids `kept`, -inf elsewhere."""
        logits = np.full(len(self.logits), -np.inf)
        logits[kept] = self.logits[kept]
        return logits


def zipf_rank(logits: Floats, mu: float, vocab: int) -> int:
    """(e 2^mu / (1 - V^-e))^(1 / s) of logits in descending order; s from the first 100, e = s - 1."""
    falls = -np.diff(logits[:100])
    if len(falls) == 0:
        return 1
    t = np.log1p(1 / np.arange(1, len(falls) + 1))
    s = (t * falls).sum() / (t * t).sum()
    x = (s - 1) * np.log(vocab)  # e / (1 - V^-e) = x / (1 - exp(-x)) / ln V, 1 / ln V at x = 0
    log_k = mu * np.log(2) + np.log((-x / np.expm1(-x) if x else 1.0) / np.log(vocab))
    return int(np.exp(np.clip(log_k / s if s else np.inf * np.sign(log_k), 0, 43)))
