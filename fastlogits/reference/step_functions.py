"""Reference of the steps in the plainest form: one row and one step at a time; see `fastlogits.reference`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlogits.reference.edits import Edits
from fastlogits.reference.repeats import Floats
from fastlogits.reference.rows import Row, zipf_rank


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


class steps(Edits):  # noqa: N801 - named as the module fastlogits.steps
    """One function per step of `fastlogits.steps`, by the step's name: (row, the step's fields) -> new logits [V]."""

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
