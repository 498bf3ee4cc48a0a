"""Reference of the steps in the plainest form: one row and one step at a time; see `fastlogits.reference`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlogits.reference.combine import contrastive, dexperts, guide
from fastlogits.reference.repeats import Floats, Ids, banned, repeats, tail

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

    An id outside [0, V) is a placeholder, held as a negative id of its own.

    `random` is (seed, key, position); `asked` counts the random steps that have run, `skew` is that of the draw.
    `memory` holds what steps remember by their place in the plan, `at` the place of the step that runs, `first` that of
    the first that ran, `shares_at` the probabilities before the steps that depend on them. `largest` is the largest
    value of the type that the logits came in.
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


def first_memory(name: str, **fields: Any) -> tuple[float, float]:
    """What a step remembers before the first token: mu of mirostat; weighted sum and weight of adaptive_p."""
    if name == "mirostat":
        return 2.0 * fields.get("tau", 5.0), 0.0
    decay = fields.get("decay", 0.9)
    return fields["target"] / (1 - decay), 1 / (1 - decay)


def next_memory(name: str, memory: tuple[float, float], observed: float, **fields: Any) -> tuple[float, float]:
    """What it remembers after a token of surprise `observed` (mirostat) or of that probability (adaptive_p)."""
    if name == "mirostat":
        return memory[0] - fields.get("eta", 0.1) * (observed - fields.get("tau", 5.0)), 0.0
    decay = fields.get("decay", 0.9)
    return observed + decay * memory[0], 1 + decay * memory[1]


class steps:  # noqa: N801 - named as the module fastlogits.steps
    """One function per step of `fastlogits.steps`, by the step's name: (row, the step's fields) -> new logits [V]."""

    @staticmethod
    def guidance(row: Row, scale: float, space: str = "logprobs") -> Floats:
        """`reference.guide` with the row `uncond` next to the logits."""
        return guide(row.logits, row.beside["uncond"], scale, space=space)

    @staticmethod
    def contrastive(row: Row, alpha: float = 0.1, beta: float | None = None) -> Floats:
        """`reference.contrastive` with the row `amateur` next to the logits."""
        return contrastive(row.logits, row.beside["amateur"], alpha=alpha, beta=beta)

    @staticmethod
    def d_experts(row: Row, alpha: float) -> Floats:
        """`reference.dexperts` with the rows `expert` and `anti` next to the logits."""
        return dexperts(row.logits, row.beside["expert"], row.beside["anti"], alpha)

    @staticmethod
    def repetition_penalty(
        row: Row,
        theta: float,
        window: int | None = None,
        prompt: bool = True,
        decay: int = 0,
        slope: float = 1.0,
    ) -> Floats:
        """Divide l > 0 by theta, multiply l <= 0 by it, once per distinct context token (Keskar et al., 2019).

        Where the token occurs only in the older half of the window theta - 1 is multiplied by `slope`; before the
        window it falls to 0 over `decay` tokens.
        """
        x = row.logits
        factors = 1 + (theta - 1) * row.strengths(0 if prompt else row.prompt_length, window, decay, slope)
        return np.where(row.last() < 0, x, np.where(x > 0, x / factors, x * factors))

    @staticmethod
    def frequency_penalty(row: Row, alpha: float, window: int | None = None, prompt: bool = False) -> Floats:
        """Logit - count * alpha, counting context[prompt_length:], or all of it (OpenAI's parameter of that name)."""
        return row.logits - row.counts(0 if prompt else row.prompt_length, window) * alpha

    @staticmethod
    def presence_penalty(row: Row, alpha: float, window: int | None = None, prompt: bool = False) -> Floats:
        """Logit - alpha where context[prompt_length:], or all of it, holds the token (OpenAI's parameter)."""
        return row.logits - (row.counts(0 if prompt else row.prompt_length, window) > 0) * alpha

    @staticmethod
    def dry(
        row: Row,
        multiplier: float,
        base: float = 1.75,
        allowed_length: int = 2,
        window: int | None = None,
        sequence_breakers: Sequence[Sequence[int]] = (),
    ) -> Floats:
        """Logit - multiplier * base^(m - allowed_length) of what followed the last m tokens before (p-e-w, 2024).

        The longest such m counts, if it is at least `allowed_length`; it ends at a breaker, and a breaker of one token
        is never lowered.
        """
        logits = row.logits.copy()
        most = int(88.7228391 / np.log(base)) if base > 1.000001 else 2**31
        for token, m in repeats(tail(row.context, window), sequence_breakers).items():
            if m >= allowed_length and (token,) not in map(tuple, sequence_breakers):
                logits[token] -= multiplier * base ** min(m - allowed_length, most)
        return logits

    @staticmethod
    def no_repeat_ngram(row: Row, size: int) -> Floats:
        """-inf for all tokens that followed the last size - 1 tokens before: no n-gram comes twice."""
        return row.logits + banned(row.context, row.context, size, len(row.logits))

    @staticmethod
    def encoder_no_repeat_ngram(row: Row, size: int, ids: Sequence[int] = ()) -> Floats:
        """-inf for all tokens that follow the last size - 1 tokens in the ids of the encoder's input."""
        return row.logits + banned(np.asarray(ids, np.int64), row.context, size, len(row.logits))

    @staticmethod
    def logit_bias(row: Row, bias: Any) -> Floats:
        """Logit + b_t of token t for {t: b_t} or (ids, values); b = -inf bans the token."""
        ids, values = (list(bias), list(bias.values())) if isinstance(bias, Mapping) else bias
        logits = row.logits.copy()
        logits[np.asarray(ids, np.int64)] += np.asarray(values, np.float64)
        return logits

    @staticmethod
    def sequence_bias(row: Row, bias: Mapping[tuple[int, ...], float] | None) -> Floats:
        """Logit + b of the last token of each sequence {ids: b} whose other tokens end the context."""
        logits = row.logits.copy()
        for ids, value in (bias or {}).items():
            if row.ends_with(ids[:-1]):
                logits[ids[-1]] += value
        return logits

    @staticmethod
    def bad_words(row: Row, sequences: Any, output_only: bool = False) -> Floats:
        """Ban the last token of each sequence whose other tokens end the context, or context[prompt_length:]."""
        start = row.prompt_length if output_only else 0
        return row.without([ids[-1] for ids in sequences or () if len(ids) and row.ends_with(ids[:-1], start)])

    @staticmethod
    def encoder_repetition_penalty(row: Row, theta: float, ids: ArrayLike = ()) -> Floats:
        """Multiply l > 0 by theta, divide l <= 0 by it, once per distinct token of the encoder's input."""
        x, seen = row.logits, np.isin(np.arange(len(row.logits)), np.asarray(ids, np.int64))
        return np.where(seen, np.where(x > 0, x * theta, x / theta), x)

    @staticmethod
    def suppress_tokens(row: Row, ids: ArrayLike) -> Floats:
        """Ban the tokens in every context."""
        return row.without(ids)

    @staticmethod
    def begin_suppress_tokens(row: Row, ids: ArrayLike, begin_index: int | None = None) -> Floats:
        """Ban the tokens where the context holds begin_index tokens, prompt_length by default."""
        begin = row.prompt_length if begin_index is None else begin_index
        return row.without(ids) if len(row.context) == begin else row.logits

    @staticmethod
    def allowed_tokens(row: Row, ids: ArrayLike) -> Floats:
        """Ban all other tokens; off: no ids."""
        allowed = np.asarray(ids, np.int64)
        return row.only(allowed) if allowed.size else row.logits

    @staticmethod
    def forced_bos_token(row: Row, ids: ArrayLike) -> Floats:
        """These tokens alone, with logit 0, where the context holds one token."""
        return row.forced(ids) if len(row.context) == 1 else row.logits

    @staticmethod
    def forced_eos_token(row: Row, ids: ArrayLike, max_length: int | None = None) -> Floats:
        """These tokens alone, with logit 0, where the context holds max_length - 1 tokens."""
        return row.forced(ids) if len(row.context) + 1 == max_length else row.logits

    @staticmethod
    def min_length(row: Row, n: int, ids: ArrayLike = ()) -> Floats:
        """Ban the tokens while the context holds less than n."""
        return row.without(ids) if len(row.context) < n else row.logits

    @staticmethod
    def min_new_tokens(row: Row, n: int, ids: ArrayLike = ()) -> Floats:
        """Ban the tokens while context[prompt_length:] holds less than n."""
        return row.without(ids) if len(row.context) - row.prompt_length < n else row.logits

    @staticmethod
    def exponential_decay_length_penalty(row: Row, penalty: tuple[int, float], ids: ArrayLike = ()) -> Floats:
        """Add |l| (factor^k - 1) to the tokens, k > 0 tokens after the start; factor^k <= e^69."""
        (start, factor), logits = penalty, row.logits.copy()
        over, at = len(row.context) - row.prompt_length - start, np.unique(np.asarray(ids, np.int64))
        at = at[logits[at] > -np.inf]
        if over > 0:
            logits[at] += np.abs(logits[at]) * (np.exp(min(over * np.log(factor), 69.0)) - 1)
        return logits

    @staticmethod
    def remove_invalid_values(row: Row, enabled: bool = True) -> Floats:
        """NaN -> 0, +inf and -inf -> the largest and the lowest value of the row's type."""
        repaired: Floats = np.nan_to_num(row.logits, nan=0.0, posinf=row.largest, neginf=-row.largest)
        return repaired if enabled else row.logits

    @staticmethod
    def renormalize_logits(row: Row, enabled: bool = True) -> Floats:
        """Log-softmax over the survivors."""
        shift = row.logits.max() + np.log(row.masses().sum())
        return row.logits - shift if enabled else row.logits

    @staticmethod
    def mask(row: Row, mask: ArrayLike) -> Floats:
        """-inf where not allowed: bool [<= V], or int32 words, bit i % 32 of word i // 32; beyond its end: banned."""
        bits = np.asarray(mask)
        if bits.dtype != np.bool_:
            bits = np.unpackbits(bits.astype("<i4").view(np.uint8), bitorder="little")
        allowed = np.flatnonzero(bits[: len(row.logits)])
        return row.only(allowed)

    @staticmethod
    def temperature(row: Row, temperature: float) -> Floats:
        """Logits / T; T = 0 keeps the first maximum alone, undivided."""
        return row.logits / temperature if temperature > 0 else steps.greedy(row)

    @staticmethod
    def top_k(row: Row, k: int | None, min_keep: int = 1, ties: str = "id", joint: bool = False) -> Floats:
        """The max(k, min_keep) first in order, with ties="keep" also what equals the last; off: None, 0, -1, >= V."""
        if k is None or k < 1 or k >= len(row.logits):
            return row.logits
        if joint:
            row.joint_masses()
        kept = row.order()[: max(int(k), int(min_keep))]
        return row.only(np.flatnonzero(row.logits >= row.logits[kept[-1]]) if ties == "keep" else kept)

    @staticmethod
    def top_p(row: Row, p: float | None, min_keep: int = 1, joint: bool = False, strict: bool = False) -> Floats:
        """The smallest prefix in order with mass >= p * total, or > (strict; Holtzman et al., 2020); off: None, 1.

        `joint`: masses and total as they stood at the plan's first joint cut that is not off (the rule of SGLang and
        FlashInfer).
        """
        if p is None or p == 1:
            return row.logits
        order = row.order()
        masses = row.joint_masses() if joint else row.masses()
        running, target = np.cumsum(masses[order]), p * np.cumsum(masses)[-1]
        below = running <= target if strict else running < target
        return row.only(order[: max(1, int(min_keep), 1 + np.count_nonzero(below))])

    @staticmethod
    def min_p(row: Row, p: float | None, min_keep: int = 1) -> Floats:
        """What has l >= max + ln p, and the `min_keep` first (Nguyen et al., 2024); off: None, 0."""
        if p is None or p == 0:
            return row.logits
        order, limit = row.order(), row.logits.max() + np.log(p)
        return row.only(order[: max(int(min_keep), np.count_nonzero(row.logits >= limit))])

    @staticmethod
    def dynamic_temperature(row: Row, low: float, high: float, exponent: float = 1.0) -> Floats:
        """Logits / (low + (high - low) (H / ln n)^exponent), H and n of the survivors; one survivor stays as it is."""
        n = len(row.order())
        if n < 2 or low == high == 1:
            return row.logits
        return steps.temperature(row, low + (high - low) * (row.entropy() / np.log(n)) ** exponent)

    @staticmethod
    def smoothing(row: Row, factor: float, curve: float = 1.0) -> Floats:
        """Max - k d^2 + s d^3 with d = l - max, k = f (3 - c) / 2, s = f (c - 1) / 2; off: f = 0."""
        if factor == 0:
            return row.logits
        alive, top = row.logits > -np.inf, row.logits.max()
        d = np.where(alive, row.logits - top, 0.0)
        smooth = top - factor * (3 - curve) / 2 * d**2 + factor * (curve - 1) / 2 * d**3
        return np.where(alive, smooth, -np.inf)

    @staticmethod
    def epsilon_cutoff(row: Row, epsilon: float | None, min_keep: int = 1) -> Floats:
        """What has p >= epsilon (Hewitt et al., 2022); off: None, 0."""
        if epsilon is None or epsilon == 0:
            return row.logits
        return row.reaching(row.top_logit() + np.log(epsilon / row.shares().max()), min_keep)

    @staticmethod
    def eta_cutoff(row: Row, epsilon: float | None, min_keep: int = 1) -> Floats:
        """What has p >= min(epsilon, sqrt(epsilon) exp(-H)) (Hewitt et al., 2022); off: None, 0."""
        if epsilon is None or epsilon == 0:
            return row.logits
        return steps.epsilon_cutoff(row, min(epsilon, np.sqrt(epsilon) * np.exp(-row.entropy())), min_keep)

    @staticmethod
    def top_a(row: Row, a: float | None, min_keep: int = 1) -> Floats:
        """What has p >= a max(p)^2; off: None, 0."""
        if a is None or a == 0:
            return row.logits
        return row.reaching(row.top_logit() + np.log(a * row.shares().max()), min_keep)

    @staticmethod
    def p_less(row: Row, order: float | None, min_keep: int = 1) -> Floats:
        """What has p >= (sum p^k)^(1 / (k - 1)), k the order (arXiv 2509.23234); off: None."""
        if order is None:
            return row.logits
        shares = row.shares()
        least = (shares**order).sum() ** (1 / (order - 1))  # <= max(p) but for rounding
        return steps.epsilon_cutoff(row, min(float(least), float(shares.max())), min_keep)

    @staticmethod
    def top_n_sigma(row: Row, n: float | None, min_keep: int = 1) -> Floats:
        """What has l >= max - n sigma, sigma the population deviation of the survivors' logits; off: None, 0."""
        if n is None or n == 0:
            return row.logits
        return row.reaching(row.top_logit() - n * row.logits[row.order()].std(), min_keep)

    @staticmethod
    def typical_p(row: Row, p: float | None, min_keep: int = 1, ties: str = "id", strict: bool = False) -> Floats:
        """The smallest set with mass >= p of the tokens sorted by |-ln p - H|, then as ever (Meister et al., 2022)."""
        if p is None or p == 1:
            return row.logits
        order, shares = row.order(), row.shares()
        away = np.abs(np.log(shares.max()) + row.logits[order] - row.top_logit() + row.entropy())
        first = np.argsort(away, kind="stable")
        running = np.cumsum(shares[order[first]])
        keep = max(1, int(min_keep), 1 + np.count_nonzero(running <= p if strict else running < p))
        last = away[first[:keep][-1]]
        return row.only(order[away <= last] if ties == "keep" else order[first[:keep]])

    @staticmethod
    def tfs(row: Row, z: float | None, min_keep: int = 1) -> Floats:
        """The i first, i >= min_keep the first index where |p_i - 2 p_(i+1) + p_(i+2)| sum to > z of all such sums."""
        order = row.order()
        if z is None or z == 1 or len(order) <= 2:
            return row.logits
        bends = np.abs(np.diff(row.shares()[order], n=2))
        total = bends.sum()
        bends = bends / total if total > 1e-6 else np.full(len(bends), 1 / len(bends))
        over = np.flatnonzero((np.cumsum(bends) > z) & (np.arange(len(bends)) >= max(1, int(min_keep))))
        return row.only(order[: over[0]] if len(over) else order)

    @staticmethod
    def top_h(row: Row, h: float | None, min_keep: int = 1) -> Floats:
        """Of the 100 first, renormalized, those of q > 0 whose running sum of -q ln q is <= h times all; off: None."""
        if h is None:
            return row.logits
        order = row.order()[:100]
        masses = row.masses()[order]
        q = masses[masses >= 2.0**-1020] / masses.sum()  # smaller masses are 0 in the kernels
        running = np.cumsum(-q * np.log(q))
        return row.only(order[: max(1, int(min_keep), np.count_nonzero(running <= h * running[-1]))])

    @staticmethod
    def min_k(row: Row, tau: float | None, min_keep: int = 1) -> Floats:
        """The k first, k = max(argmax_i (l_(i-1) - l_i) / i, floor(tau / (max - min))); off: None."""
        order = row.order()
        if tau is None or len(order) < 2 or row.logits[order[0]] == row.logits[order[-1]]:
            return row.logits
        falls = -np.diff(row.logits[order])
        cliff = 1 + int(np.argmax(falls / np.arange(1, len(order))))
        most = np.floor(tau / (row.logits[order[0]] - row.logits[order[-1]]))
        return row.only(order[: int(max(cliff, min(most, len(order)), min_keep))])

    @staticmethod
    def ees(row: Row, enabled: bool = True, min_keep: int = 1) -> Floats:
        """The i - 1 first, i >= 2 the first where the first i have (their own entropy) / ln i < their probability."""
        order, n = row.order(), np.arange(2, len(row.order()) + 1)
        if not enabled:
            return row.logits
        masses, away = row.masses()[order], row.logits[order] - row.top_logit()
        sums = np.cumsum(masses)
        entropy = np.log(sums) - np.cumsum(np.where(masses > 0, masses * away, 0)) / sums
        first = np.flatnonzero(entropy[1:] / np.log(n) < sums[1:] / sums[-1] - 1e-9)
        return row.only(order[: max(int(min_keep), 1 + first[0])] if len(first) else order)

    @staticmethod
    def xtc(
        row: Row, probability: float, threshold: float = 0.1, special_tokens: ArrayLike = (), min_keep: int = 1,
        ties: str = "id", strict: bool = False,
    ) -> Floats:  # fmt: skip
        """With u < probability remove what has p >= threshold but its least likely and the special tokens."""
        shares, order = row.shares(), row.order()
        reach = np.count_nonzero(shares > threshold if strict else shares >= threshold)
        out = order[: max(0, reach - 1)]
        out = out[row.logits[out] > row.logits[order[reach - 1]]] if ties == "keep" else out
        out = out[~np.isin(out, np.asarray(special_tokens, np.int64))]
        if not row.next_uniform() < probability or len(order) - len(out) < min_keep:
            return row.logits
        return row.only(np.setdiff1d(order, out))

    @staticmethod
    def mirostat(row: Row, version: int | None, tau: float = 5.0, eta: float = 0.1, min_keep: int = 1) -> Floats:
        """What has -log2 p <= mu (version 2), or the k most likely by `zipf_rank` (1); off: None, 0."""
        if not version:
            return row.logits
        mu, _ = row.memory.get(row.at, first_memory("mirostat", tau=tau, eta=eta))
        if version == 2:
            return row.reaching(row.top_logit() + np.log(2.0**-mu / row.shares().max()), min_keep)
        order = row.order()
        return row.only(order[: max(1, int(min_keep), zipf_rank(row.logits[order], mu, len(row.logits)))])

    @staticmethod
    def adaptive_p(row: Row, target: float | None, decay: float = 0.9) -> Floats:
        """5 - 10 d^2 / (1 + d), d = |p - a| / 0.3, a = clamp(2 target - weighted sum / weight, 0, 1); off: None."""
        if target is None or np.isnan(target):
            return row.logits
        total, weight = row.memory.get(row.at, first_memory("adaptive_p", target=target, decay=decay))
        shares = row.shares_at[row.at] = row.shares()
        d = np.abs(shares - min(max(2 * target - total / weight, 0.0), 1.0)) / 0.3
        return np.where(row.logits > -np.inf, 5 - 10 * d**2 / (1 + d), -np.inf)

    @staticmethod
    def skew(row: Row, skew: float | None) -> Floats:
        """The draw's u becomes u^exp(-skew); off: None, 0."""
        row.skew += skew or 0.0
        return row.logits

    @staticmethod
    def gumbel(row: Row) -> int:
        """The survivor with the largest logit + noise."""
        return int(row.perturbed()[0].argmax())

    @staticmethod
    def greedy(row: Row) -> Floats:
        """The first maximum alone."""
        return row.only(row.order()[:1])

    @staticmethod
    def draw(row: Row, u: float) -> int:
        """Inverse CDF over the survivors in id order: the first whose running mass exceeds u * total."""
        masses = row.masses()
        running = np.cumsum(masses)
        last = int(np.flatnonzero(masses)[-1])
        return min(int(np.searchsorted(running, u * running[-1], side="right")), last)
