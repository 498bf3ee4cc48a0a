"""Steps that name tokens, each before top-k 50 behind 512 tokens of context, with the draw; repair, renormalisation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from bench_shapes import in_short_run
from jobs import Inputs, Job

import fastlogits as fl
from fastlogits import reference, steps

__all__ = ["in_short_run"]

_RNG = np.random.default_rng(3)
_WORDS = [_RNG.integers(0, 30_000, n).tolist() for n in _RNG.integers(1, 5, 200)]
_SOME = _RNG.choice(30_000, 90, replace=False).tolist()

STEPS: dict[str, steps.Step] = {
    "sequence_bias": steps.SequenceBias({tuple(ids): 1.0 for ids in _WORDS}),
    "bad_words": steps.BadWords(_WORDS),
    "suppress_tokens": steps.SuppressTokens(_SOME),
    "begin_suppress_tokens": steps.BeginSuppressTokens(_SOME, 512),
    "allowed_tokens": steps.AllowedTokens(range(0, 30_000, 3)),
    "forced_bos_token": steps.ForcedBosToken(7),
    "forced_eos_token": steps.ForcedEosToken(7, 513),
    "min_length": steps.MinLength(1000, _SOME[:3]),
    "min_new_tokens": steps.MinNewTokens(1000, _SOME[:3]),
    "exponential_decay_length_penalty": steps.ExponentialDecayLengthPenalty((500, 1.01), _SOME[:3]),
    "encoder_repetition_penalty": steps.EncoderRepetitionPenalty(1.2, _SOME),
    "remove_invalid_values": steps.RemoveInvalidValues(),
}


def plan_of(name: str) -> tuple[steps.Step, ...]:
    """The step before a cut; renormalisation behind it."""
    return (steps.TopK(50), steps.RenormalizeLogits()) if name == "renormalize" else (STEPS[name], steps.TopK(50))


def numpy_draws(i: Inputs, plan: tuple[steps.Step, ...]) -> list[int]:
    """The steps one after the other on whole rows in float64, as people write them, and the draw."""
    contexts = np.atleast_2d(i.context)
    made = [reference.process(reference.Row(row, ids), plan) for row, ids in zip(i.rows, contexts, strict=True)]
    return [reference.steps.draw(reference.Row(row), 0.5) for row in made]


def error(i: Inputs, plan: tuple[steps.Step, ...]) -> tuple[float, int]:
    """Survivors of the first row that one of the two sides lacks."""
    ids = np.atleast_2d(i.context)[0]
    found = fl.Sampler(*plan).candidates(i.rows[0], context=ids, rng=0).ids
    exact = reference.Row(reference.process(reference.Row(i.rows[0], ids), plan)).order()
    return 0.0, len(np.setxor1d(found, exact))


@pytest.mark.parametrize("name", [*STEPS, "renormalize"])
def test_tokens(name: str, measured: Callable[[Job], None]) -> None:
    plan = plan_of(name)
    sampler = fl.Sampler(*plan)
    numpy = {"NumPy": lambda i: partial(numpy_draws, i, plan)}
    measured(
        Job(name, lambda i: partial(sampler.sample, i.x, context=i.context, rng=7), numpy, partial(error, plan=plan))
    )
