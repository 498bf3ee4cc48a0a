"""Every step with random parameters: one line each, from which the random plans, the fuzz, the properties and the
digests take their steps.

`Numbers` makes everything of 64-bit words by operations that round alike on every machine, so that words which are the
same everywhere give steps that are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import rows
from numpy.typing import NDArray

from fastlogits import steps

Words = Callable[[int], NDArray[np.uint64]]


class Numbers:
    """Random numbers for the steps of a row [n] behind `length` tokens of context.

    On `tied` rows parameters keep ties exact: biases of eighths, factors that are powers of two.
    """

    def __init__(self, words: Words, n: int, length: int = 0, tied: bool = False) -> None:
        self.words, self.n, self.length, self.tied = words, n, length, tied

    @classmethod
    def of(cls, rng: np.random.Generator, n: int, length: int = 0, tied: bool = False) -> Numbers:
        return cls(lambda count: rng.integers(0, 2**64, count, np.uint64), n, length, tied)

    @classmethod
    def fixed(cls, seed: int, n: int, length: int = 0, tied: bool = False) -> Numbers:
        """The same on every machine: words of SplitMix64."""
        used = 0

        def words(count: int) -> NDArray[np.uint64]:
            nonlocal used
            used += count
            return rows.words(count, seed, used - count)

        return cls(words, n, length, tied)

    def units(self, count: int) -> NDArray[np.float64]:
        """In [0, 1)."""
        return (self.words(count) >> np.uint64(11)) * 2.0**-53

    def unit(self) -> float:
        return float(self.units(1)[0])

    def chance(self, p: float) -> bool:
        return self.unit() < p

    def integers(self, low: int, high: int, count: int) -> list[int]:
        """In [low, high)."""
        return [low + int(word) % (high - low) for word in self.words(count)]

    def integer(self, low: int, high: int) -> int:
        return self.integers(low, high, 1)[0]

    def one(self, *values: Any) -> Any:
        return values[self.integer(0, len(values))]

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.unit()

    def octaves(self, low: int, high: int) -> float:
        """In [2^low, 2^high), each octave as often."""
        return math.ldexp(1 + self.unit(), self.integer(low, high))

    def bell(self, count: int = 1) -> NDArray[np.float64]:
        """Of mean 0 and deviation 1; eighths on tied rows."""
        parts = (self.words(12 * count) >> np.uint64(48)).astype(np.int64).reshape(12, count)
        values = (parts.sum(axis=0) - 6 * 2**16) * 2.0**-16
        return np.round(values * 8) / 8 if self.tied else values

    def distinct(self, count: int) -> NDArray[np.int64]:
        """At most so many token ids, each once."""
        return np.unique((self.words(count) % np.uint64(self.n)).astype(np.int64))

    def few(self) -> list[int]:
        """Token ids that the context often holds."""
        return self.integers(0, min(self.n, 40), self.integer(1, 6))

    def many(self) -> list[int]:
        return self.distinct(max(1, int(self.n * self.one(0.02, 0.5, 3.0)))).tolist()

    def sequences(self, most: int) -> list[list[int]]:
        """Short sequences of few tokens, so that many end as the context does."""
        return [self.integers(0, min(self.n, 3), self.integer(1, 4)) for _ in range(self.integer(1, most))]

    def keep(self) -> int:
        return int(self.one(1, 1, 1, 2, 5, 50))

    def ties(self) -> str:
        return str(self.one("id", "id", "keep"))

    def window(self) -> int | None:
        return self.one(None, self.integer(0, 40))

    def near(self, more: int = 0) -> int:
        """A length that the context has, or just misses."""
        return max(0, self.length + self.integer(-1, 2)) + more

    def theta(self) -> float:
        return float(self.one(0.5, 1.0, 2.0, 4.0)) if self.tied else self.octaves(-1, 2)

    def scale(self) -> float:
        return float(self.one(0.5, 1.0, 1.5, 2.0, 7.5)) if self.tied or self.chance(0.5) else self.between(-1, 4)


def temperature(r: Numbers) -> Any:
    if r.chance(0.03):
        return steps.Temperature(0)
    return steps.Temperature(r.one(0.25, 0.5, 1, 2, 4) if r.tied else r.octaves(-2, 2))


def top_k(r: Numbers) -> Any:
    k = r.one(r.integer(1, 60), r.integer(1, r.n + 1), int(r.octaves(0, r.n.bit_length())), r.integer(1, 3))
    return steps.TopK(k, r.keep(), r.ties(), r.chance(0.15))


def top_p(r: Numbers) -> Any:
    p = r.one(r.unit(), r.unit(), r.between(0.9, 1), r.between(0.9, 1), 0.999, 1.0 if r.chance(0.5) else 0.0)
    return steps.TopP(p, r.keep(), joint=r.chance(0.15), strict=r.chance(0.3))


def repetition_penalty(r: Numbers) -> Any:
    decay, slope = (0, 1.0) if r.tied else (r.one(0, 0, 25), r.one(1.0, 1.0, 0.3))
    return steps.RepetitionPenalty(r.theta(), r.window(), r.chance(0.7), decay, slope)


def logit_bias(r: Numbers) -> Any:
    ids = r.distinct(r.integer(1, 25))
    values = r.bell(ids.size) * 5
    values[r.units(ids.size) < 0.2] = -np.inf
    return steps.LogitBias((ids, values))


def sequence_bias(r: Numbers) -> Any:
    found = {tuple(ids): float(np.round(r.bell()[0] * 40) / 8) for ids in r.sequences(12)}
    return steps.SequenceBias({ids: -np.inf if r.chance(0.2) else value for ids, value in found.items()})


def mask(r: Numbers) -> Any:
    allowed = r.units(r.n) < r.one(0.02, 0.5, 0.99)
    if r.chance(0.5):
        return steps.Mask(allowed[: max(1, r.n - r.integer(0, 3))])
    packed = np.zeros(-(-r.n // 32) * 4, np.uint8)
    packed[: -(-r.n // 8)] = np.packbits(allowed, bitorder="little")
    return steps.Mask(packed.view("<i4").astype(np.int32))


def dry(r: Numbers) -> Any:
    breakers = r.one([], [], r.sequences(3))
    multiplier, base = (0.5, 2.0) if r.tied else (r.between(0, 2), r.between(1, 3))
    return steps.Dry(multiplier, base, r.integer(0, 5), r.integer(-1, 60), breakers)


def xtc(r: Numbers) -> Any:
    special = r.integers(0, min(r.n, 3), r.integer(0, 2))
    probability = 1 - r.unit() * r.unit()
    return steps.Xtc(probability, r.between(0, 0.3), special, r.keep(), r.one("id", "keep"), r.chance(0.3))


def exponential_decay(r: Numbers) -> Any:
    factor = 1.0 if r.tied else r.between(0.9, 1.2)
    return steps.ExponentialDecayLengthPenalty((r.integer(0, 20), factor), r.few())


def small(r: Numbers) -> float:
    return r.octaves(-14, 0)


#: By name: a step with random parameters. tests/test_completeness.py compares the names with csrc/steps/steps.def.
MAKERS: dict[str, Callable[[Numbers], Any]] = {
    "guidance": lambda r: steps.Guidance(r.scale(), "raw" if r.tied else r.one("logprobs", "raw")),
    "contrastive": lambda r: steps.Contrastive(r.one(0.0, r.octaves(-11, 0)), r.one(None, abs(r.scale()))),
    "d_experts": lambda r: steps.DExperts(r.scale()),
    "remove_invalid_values": lambda r: steps.RemoveInvalidValues(),
    "temperature": temperature,
    "top_k": top_k,
    "top_p": top_p,
    "min_p": lambda r: steps.MinP(r.one(*(r.octaves(-17, 0) for _ in range(4)), 0.05, 0.001, 1.0), r.keep()),
    "repetition_penalty": repetition_penalty,
    "frequency_penalty": lambda r: steps.FrequencyPenalty(r.bell()[0], r.window(), r.chance(0.3)),
    "presence_penalty": lambda r: steps.PresencePenalty(r.bell()[0], r.window(), r.chance(0.3)),
    "logit_bias": logit_bias,
    "mask": mask,
    "sequence_bias": sequence_bias,
    "dry": dry,
    "no_repeat_ngram": lambda r: steps.NoRepeatNgram(r.integer(0, 5)),
    "encoder_no_repeat_ngram": lambda r: steps.EncoderNoRepeatNgram(r.integer(0, 5), r.integers(0, min(r.n, 3), 20)),
    "encoder_repetition_penalty": lambda r: steps.EncoderRepetitionPenalty(r.theta(), r.many()),
    "bad_words": lambda r: steps.BadWords(r.sequences(4), output_only=r.chance(0.5)),
    "suppress_tokens": lambda r: steps.SuppressTokens(r.few()),
    "begin_suppress_tokens": lambda r: steps.BeginSuppressTokens(r.few(), r.one(None, r.near())),
    "allowed_tokens": lambda r: steps.AllowedTokens(r.many()),
    "forced_bos_token": lambda r: steps.ForcedBosToken(r.few()),
    "forced_eos_token": lambda r: steps.ForcedEosToken(r.few(), r.near(1)),
    "min_length": lambda r: steps.MinLength(r.near(), r.few()),
    "min_new_tokens": lambda r: steps.MinNewTokens(r.integer(0, 60), r.few()),
    "exponential_decay_length_penalty": exponential_decay,
    "renormalize_logits": lambda r: steps.RenormalizeLogits(not r.tied),
    "dynamic_temperature": lambda r: steps.DynamicTemperature(0.2 + r.unit(), 0.7 + r.unit(), 0.5 + r.unit()),
    "smoothing": lambda r: steps.Smoothing(r.between(0, 0.5), r.between(1, 3)),
    "epsilon_cutoff": lambda r: steps.EpsilonCutoff(small(r), r.keep()),
    "eta_cutoff": lambda r: steps.EtaCutoff(small(r), r.keep()),
    "top_a": lambda r: steps.TopA(r.unit(), r.keep()),
    "p_less": lambda r: steps.PLess(r.between(1.2, 3.2), r.keep()),
    "top_n_sigma": lambda r: steps.TopNSigma(r.between(0, 3), r.keep()),
    "typical_p": lambda r: steps.TypicalP(r.unit(), r.keep(), r.one("id", "keep"), strict=r.chance(0.3)),
    "tfs": lambda r: steps.Tfs(r.unit(), r.keep()),
    "top_h": lambda r: steps.TopH(r.unit(), r.keep()),
    "min_k": lambda r: steps.MinK(r.between(0, 30), r.keep()),
    "xtc": xtc,
    "mirostat": lambda r: steps.Mirostat(r.integer(1, 3), r.between(0, 6), r.unit(), r.keep()),
    "adaptive_p": lambda r: steps.AdaptiveP(r.unit(), r.between(0, 0.99)),
    "skew": lambda r: steps.Skew(r.between(-1, 1)),
    "greedy": lambda r: steps.Greedy(),
    "gumbel": lambda r: steps.Gumbel(),
    "draw": lambda r: steps.Draw(),
}

#: (name, kind, needs) of csrc/steps/steps.def, in its order.
DEFINED = re.findall(
    r"^FL_STEP\(\d+, (\w+), (\w+), (\w+), \w+\)", (rows.ROOT / "csrc" / "steps" / "steps.def").read_text(), re.MULTILINE
)
NAMES = tuple(name for name, _, _ in DEFINED)
CLASSES: dict[str, Any] = {each.name: each for each in map(vars(steps).get, steps.__all__) if each is not steps.Step}


def plain(kind: Any) -> Callable[[Numbers], Any]:
    """A step that is made without a parameter, but for what it keeps at least."""
    return lambda r: kind(**({"min_keep": r.keep()} if "min_keep" in vars(kind)["__dataclass_fields__"] else {}))


for _name, _kind in CLASSES.items():
    MAKERS.setdefault(_name, plain(_kind))


def family(*modules: str) -> tuple[str, ...]:
    """The steps of some files of fastlogits/steps/."""
    return tuple(name for name in NAMES if CLASSES[name].__module__.removeprefix("fastlogits.steps.") in modules)


BLENDS = family("combine")
#: What changes how a row is read stands first, what draws a token last.
FIRST, LAST = (*BLENDS, "remove_invalid_values"), ("draw", "gumbel")
ANYWHERE = tuple(name for name in NAMES if name not in (*FIRST, *LAST))
SHAPED, REPEATS = family("maps", "thresholds", "distribution", "feedback"), family("repeats")
TOKENS = tuple(name for name in family("sequences", "tokens", "lengths", "whole") if name in ANYWHERE)


def step(name: str, numbers: Numbers) -> Any:
    """A step of that name."""
    return MAKERS[name](numbers)


def placed(name: str, numbers: Numbers, *others: str) -> tuple[Any, ...]:
    """A plan of that step and the others, which stand in the order written, each in a place where it may stand."""
    names = [*others]
    at = 0 if name in FIRST else len(names) if name in LAST else numbers.integer(0, len(names) + 1)
    names.insert(at, name)
    return tuple(step(each, numbers) for each in names)


def beside(plan: Sequence[Any], row: NDArray[np.float64], numbers: Numbers) -> dict[str, NDArray[np.float64]]:
    """The rows that the first step combines with this one: near it, banned where it is."""
    names = plan[0].beside if plan else ()
    scale = [numbers.one(0.05, 1.0, 3.0) for _ in names]
    return {name: row + numbers.bell(row.size) * by for name, by in zip(names, scale, strict=True)}
