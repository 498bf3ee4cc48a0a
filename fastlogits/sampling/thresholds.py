"""The threshold of each step on one row: what it asked of a token, or of all that it kept together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import fastlogits._core as _core
from fastlogits.sampling.keywords import OFF

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Seen(NamedTuple):
    """A row as a step finds it, and the step's numbers for this row.

    logits, logprobs: of the tokens alive [n], in order. kept: which of them the step left. value, second, third: its
    numbers. min_keep: what it keeps at least. memory: what it remembers, NaN before the first token.
    """

    logits: NDArray[np.float64]
    logprobs: NDArray[np.float64]
    kept: NDArray[np.bool_]
    value: float
    second: float = math.nan
    third: float = math.nan
    min_keep: int = 1
    memory: tuple[float, float] = (math.nan, math.nan)

    def largest(self) -> float:
        """The largest probability."""
        return float(np.exp(self.logprobs[0]))

    def entropy(self) -> float:
        """In nats."""
        return float(-(np.exp(self.logprobs) * self.logprobs).sum())

    def survivors(self) -> int:
        """How many the step left."""
        return int(np.count_nonzero(self.kept))


def _dynamic_temperature(s: Seen) -> float:
    """What the logits are divided by: low + (high - low) (H / ln n)^exponent, 1 where one token is alive."""
    n = s.logits.size
    return s.value + (s.second - s.value) * (max(s.entropy(), 0.0) / math.log(n)) ** s.third if n > 1 else 1.0


def _eta(s: Seen) -> float:
    """min(epsilon, sqrt(epsilon) exp(-H))."""
    return min(s.value, math.sqrt(s.value) * math.exp(-s.entropy()))


def _p_less(s: Seen) -> float:
    """(sum p^k)^(1 / (k - 1))."""
    return float(np.exp(s.value * s.logprobs).sum() ** (1 / (s.value - 1)))


def _typical(s: Seen) -> float:
    """The largest |-ln p - H| that was kept."""
    return float(np.abs(s.logprobs + s.entropy())[s.kept].max())


def _top_h(s: Seen) -> float:
    """The entropy of the 100 first among themselves, times h."""
    few = s.logprobs[:100] - np.log(np.exp(s.logprobs[:100]).sum())
    return s.value * float(-(np.exp(few) * few).sum())


def _mirostat(s: Seen) -> tuple[str, float]:
    """Mu, 2 tau at first, in bits; or the rank that follows from it."""
    mu = 2 * s.second if math.isnan(s.memory[0]) else s.memory[0]
    return ("-log2 p <=", mu) if s.value == 2 else ("rank <=", s.survivors())


def _adaptive(s: Seen) -> float:
    """2 target - weighted sum / weight, within [0, 1]."""
    total, weight = s.memory
    return s.value if math.isnan(total) else min(max(2 * s.value - total / weight, 0.0), 1.0)


def _rank(s: Seen) -> tuple[str, float]:
    """How many the step left."""
    return "rank <=", s.survivors()


#: By step: the words of its condition and the number behind them. Not here: steps that compare nothing, and cuts of
#: which only the number that they keep can be told.
THRESHOLDS: dict[str, Callable[[Seen], tuple[str, float]]] = {
    "contrastive": lambda s: ("p >=", s.value * s.largest()),
    "temperature": lambda s: ("T =", s.value),
    "dynamic_temperature": lambda s: ("T =", _dynamic_temperature(s)),
    "top_k": lambda s: ("rank <=", max(s.value, s.min_keep)),
    "top_p": lambda s: ("mass >=", s.value),
    "min_p": lambda s: ("p >=", s.value * s.largest()),
    "greedy": lambda s: ("rank <=", 1.0),
    "epsilon_cutoff": lambda s: ("p >=", s.value),
    "eta_cutoff": lambda s: ("p >=", _eta(s)),
    "top_a": lambda s: ("p >=", s.value * s.largest() ** 2),
    "p_less": lambda s: ("p >=", _p_less(s)),
    "top_n_sigma": lambda s: ("logit >=", float(s.logits[0] - s.value * s.logits.std())),
    "typical_p": lambda s: ("|-ln p - H| <=", _typical(s)),
    "tfs": lambda s: ("bends <=", s.value),
    "top_h": lambda s: ("entropy <=", _top_h(s)),
    "xtc": lambda s: ("p >=", s.second),
    "mirostat": _mirostat,
    "adaptive_p": lambda s: ("p near", _adaptive(s)),
}


def threshold(name: str, seen: Seen, strict: bool) -> tuple[str, float]:
    """The condition of a step in words and its number; ("", NaN) for a step without one or one that is off."""
    asked = THRESHOLDS.get(name, _rank if _core.STEP_KINDS[name] == "CUT" else None)
    off = math.isnan(seen.value) or seen.value == OFF.get(name) or (name == "top_k" and seen.value < 1)
    if asked is None or off:
        return "", math.nan
    words, number = asked(seen)
    return (words.replace(">=", ">") if strict else words), float(number)
