"""``fastlogits demo``: the main job on rows of a real model, step by step.

`collect` computes everything shown, `demo_text` draws it. The rows belong to one recorded text: the row after a token
is right only if that token was the recorded one. `SEED` is a seed whose draws follow the recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

import fastlogits
import fastlogits._core as _core
from fastlogits.bench import bundled, idioms, timing
from fastlogits.cli import report
from fastlogits.steps import (
    FrequencyPenalty,
    LogitBias,
    MinP,
    PresencePenalty,
    RepetitionPenalty,
    Temperature,
    TopK,
    TopP,
)

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

THETA, ALPHA, TEMPERATURE, K, TOP_P, MIN_P = 1.1, 0.2, 0.8, 50, 0.95, 0.05
PENALTIES = (RepetitionPenalty(THETA), FrequencyPenalty(ALPHA), PresencePenalty(ALPHA))
CUTS = (Temperature(TEMPERATURE), TopK(K), TopP(TOP_P), MinP(MIN_P))
MEANING = {
    "repetition_penalty": "divides the logits of the text's tokens by {} (multiplies negative ones)",
    "frequency_penalty": "takes {} off a logit for each time its token was generated",
    "presence_penalty": "takes {} off the logit of every token generated so far",
    "temperature": "divides all logits by {}: what is likely becomes likelier",
    "top_k": "keeps the {} likeliest tokens",
    "top_p": "keeps the fewest tokens that together hold {:.0%} of the probability",
    "min_p": "keeps what is at least {:.0%} as likely as the likeliest token",
}
SEED = 76177
BIASED, BIAS = 22679, 10.0  # " submarine", for a story that has none
SHOWN = 5
SECONDS = 1.5  # spent on the timing


@dataclass(frozen=True)
class Share:
    """A token and its probability before and after something; None where it is removed."""

    id: int
    piece: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Stage:
    """One step: how many tokens it left, the probability of what it removed, and some of the tokens."""

    step: str
    meaning: str
    kept: int
    removed: float
    shares: list[Share]


@dataclass(frozen=True)
class Other:
    """A token that might have been drawn."""

    id: int
    piece: str
    logprob: float


@dataclass(frozen=True)
class Token:
    """A drawn token: processed log-prob and rank, log-prob in the logits as they came, the most likely survivors."""

    position: int
    id: int
    piece: str
    recorded: bool
    u: float
    logprob: float
    raw_logprob: float
    rank: int
    top: list[Other]


@dataclass(frozen=True)
class Timing:
    """Median seconds of one row: prepared Sampler on float32 and float16, the NumPy idiom on float32."""

    survivors: int
    rounds: int
    fastlogits: float
    fastlogits_float16: float
    numpy: float
    ratio: float


@dataclass(frozen=True)
class Demo:
    """All that the demo shows."""

    version: str
    isa: str
    model: str
    vocab: int
    seed: int
    prompt: str
    generated: str
    stages: list[Stage]
    bias: list[Share]
    tokens: list[Token]
    explained: Any
    timing: Timing


class Distribution:
    """The survivors of a pipeline: ids in order and their probabilities."""

    def __init__(self, sampler: fastlogits.Sampler, rows: bundled.Bundled) -> None:
        found = sampler.candidates(rows.logits[0], context=rows.context[: rows.first], prompt_length=rows.prompt_length)
        self.ids = found.ids
        self.probs = np.exp(found.logprobs.astype(np.float64))
        self._of = dict(zip(self.ids.tolist(), self.probs.tolist(), strict=True))

    def of(self, token: int) -> float | None:
        """Probability of a token; None if it did not survive."""
        return self._of.get(token)


def shares(rows: bundled.Bundled, before: Distribution, after: Distribution, tokens: list[int]) -> list[Share]:
    """The tokens with their probabilities on both sides, by the later one, then by the earlier one."""
    found = [Share(t, rows.piece(t), before.of(t), after.of(t)) for t in dict.fromkeys(tokens)]
    return sorted(found, key=lambda s: (-1.0 if s.after is None else s.after, s.before or 0.0), reverse=True)


def stage(rows: bundled.Bundled, step: fastlogits.steps.Step, before: Distribution, after: Distribution) -> Stage:
    """What one step did: the leading tokens and, of a cut, the last one kept and the first removed, else who lost."""
    removed = np.isin(before.ids, after.ids, invert=True)
    if removed.any():
        tokens = [*after.ids[:3].tolist(), int(after.ids[-1]), int(before.ids[removed][0])]
    else:
        later = after.probs[np.argsort(after.ids)]
        earlier = before.probs[np.argsort(before.ids)]
        losers = np.sort(after.ids)[np.argsort(later - earlier, kind="stable")][:2]
        tokens = [*after.ids[: SHOWN - 1].tolist(), *losers.tolist()]
    (value, *_) = vars(step).values()
    meaning = MEANING[step.name].format(value)
    lost = float(before.probs[removed].sum())
    return Stage(repr(step), meaning, len(after.ids), lost, shares(rows, before, after, tokens))


def stages(rows: bundled.Bundled) -> list[Stage]:
    """All steps on the first row, each as the difference it makes to the pipeline before it."""
    before = Distribution(fastlogits.Sampler(), rows)
    told = []
    steps = PENALTIES + CUTS
    for count, step in enumerate(steps, start=1):
        after = Distribution(fastlogits.Sampler(*steps[:count]), rows)
        told.append(stage(rows, step, before, after))
        before = after
    return told


def biased(rows: bundled.Bundled) -> list[Share]:
    """The final distribution of the first row without and with the bias."""
    before = Distribution(fastlogits.Sampler(*PENALTIES, *CUTS), rows)
    after = Distribution(fastlogits.Sampler(*PENALTIES, LogitBias({BIASED: BIAS}), *CUTS), rows)
    return shares(rows, before, after, [BIASED, *after.ids[:SHOWN].tolist(), *before.ids[:SHOWN].tolist()])


def decode(rows: bundled.Bundled, sampler: fastlogits.Sampler, seed: int) -> list[Token]:
    """One token per row, each after the recorded text: a decoding loop."""
    tokens = []
    for index, row in enumerate(rows.logits):
        position = rows.first + index
        drawn = sampler.sample(
            row, context=rows.context[:position], prompt_length=rows.prompt_length, rng=seed, logprobs=SHOWN
        )
        best = zip(drawn.top_ids.tolist(), drawn.top_logprobs.tolist(), strict=True)
        token = int(drawn.ids)
        tokens.append(
            Token(
                position, token, rows.piece(token), token == int(rows.context[position]),
                _core.uniform(seed, 0, position), float(drawn.logprobs), float(drawn.raw_logprobs), int(drawn.ranks),
                [Other(t, rows.piece(t), logprob) for t, logprob in best if t >= 0],
            )
        )  # fmt: skip
    return tokens


def timed(rows: bundled.Bundled, sampler: fastlogits.Sampler) -> Timing:
    """The first row through the Sampler and through NumPy, in turns, once both have the same survivors."""
    half: NDArray[np.float16] = rows.logits[0].copy()
    row = half.astype(np.float32)
    context, prompt = rows.context[: rows.first].copy(), rows.prompt_length

    def in_numpy() -> idioms.Drawn:
        logits = idioms.penalise(row, context, prompt, THETA, ALPHA, ALPHA)
        return idioms.top_k_chain(logits, TEMPERATURE, K, TOP_P, MIN_P, 0.5)

    ours, theirs = sampler.candidates(row, context=context, prompt_length=prompt).ids, in_numpy().ids
    if not np.array_equal(ours, theirs):
        raise AssertionError(f"the survivors differ: {ours.tolist()} and {theirs.tolist()}")
    calls = {
        "ours": lambda: sampler.sample(row, context=context, prompt_length=prompt, rng=7),
        "half": lambda: sampler.sample(half, context=context, prompt_length=prompt, rng=7),
        "numpy": in_numpy,
    }
    isa = _core.isa()
    rounds = list(timing.turns({name: timing.Timed(call, isa) for name, call in calls.items()}, SECONDS))
    took = {name: median(times[name] for times in rounds) for name in calls}
    return Timing(len(ours), len(rounds), took["ours"], took["half"], took["numpy"], took["numpy"] / took["ours"])


def collect(seed: int) -> Demo:
    """Everything the demo shows."""
    rows = bundled.load()
    sampler = fastlogits.Sampler(*PENALTIES, *CUTS)
    context = rows.context[: rows.first]
    explained = sampler.explain(rows.logits[0], context=context, prompt_length=rows.prompt_length)
    return Demo(
        fastlogits.__version__, _core.isa(), bundled.MODEL, rows.logits.shape[1], seed,
        rows.text(context[: rows.prompt_length]), rows.text(context[rows.prompt_length :]), stages(rows),
        biased(rows), decode(rows, sampler, seed), explained, timed(rows, sampler),
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Show the demo."""
    seed = SEED if options.seed is None else options.seed
    if options.json:
        report.print_json(collect(seed))
        return
    from fastlogits.cli import demo_text

    demo_text.show(collect(seed))
