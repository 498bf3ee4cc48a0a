"""Steps that read the history, 4,096 tokens of it, with a State and without, in front of top-k 50 and the draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from jobs import Inputs, Job
from measure import Case
from numpy.typing import NDArray

import fastlogits as fl
from fastlogits import reference

TOKENS = 4096
BREAKERS = [[198], [25], [1], [9]]
REPEATS: dict[str, Any] = {"dry_multiplier": 0.8, "dry_sequence_breakers": BREAKERS, "no_repeat_ngram_size": 3}
PENALTIES: dict[str, Any] = {"repetition_penalty": 1.1, "frequency_penalty": 0.1, "presence_penalty": 0.1}
PLANS = {
    "DRY, no-repeat-ngram 3": REPEATS,
    "penalties": PENALTIES,
    "penalties, last 64": {**PENALTIES, "penalty_window": 64},
}


def in_short_run(case: Case) -> bool:
    """Single long rows: so many plans on all cases would take minutes."""
    return case.vocab == 128_256 and case.batch == 1 and case.isa != "scalar" and case.kind in ("real", "peaky")


def zipf(v: int) -> NDArray[np.int64]:
    """Tokens as frequent as words are."""
    weights = 1.0 / np.arange(1, v + 1)
    return np.random.default_rng(0).choice(v, TOKENS, p=weights / weights.sum()).astype(np.int64)


TEXTS: dict[str, Callable[[int], NDArray[np.int64]]] = {
    "words": zipf,
    "one token": lambda v: np.full(TOKENS, 5),
    "two in turn": lambda v: np.arange(TOKENS) % 2,
}


def numpy_draws(i: Inputs, plan: tuple[Any, ...], text: NDArray[np.int64]) -> list[int]:
    """The steps one after the other on whole rows in float64, as people write them, and the draw."""
    rows = [reference.process(reference.Row(row, text), plan) for row in i.rows]
    return [reference.steps.draw(reference.Row(row), 0.5) for row in rows]


def error(i: Inputs, sampler: fl.Sampler, text: NDArray[np.int64]) -> tuple[float, int]:
    """Survivors of the first row that one of the two ways lacks."""
    found = sampler.candidates(i.rows[0], context=text).ids
    return 0.0, len(np.setxor1d(found, sampler.candidates(i.rows[0], state=sampler.state(text)).ids))


def drawing(i: Inputs, sampler: fl.Sampler, text: NDArray[np.int64], kept: bool) -> Callable[[], Any]:
    """One draw, from a State or from the context."""
    row = i.x[0] if i.x.ndim > 1 else i.x
    if kept:
        return partial(sampler.sample, row, state=sampler.state(text, vocab=row.size), rng=7)
    return partial(sampler.sample, row, context=text, rng=7)


@pytest.mark.parametrize("kept", [True, False], ids=["State", "context"])
@pytest.mark.parametrize("words", TEXTS)
@pytest.mark.parametrize("name", PLANS)
def test_repeats(name: str, words: str, kept: bool, measured: Callable[[Job], None]) -> None:
    sampler, text = fl.Sampler(**PLANS[name], top_k=50), TEXTS[words](128_256)
    # The plain search is quadratic where all is one repeat.
    numpy = {"NumPy": lambda i: partial(numpy_draws, i, sampler.steps, text)} if words == "words" else {}
    label = f"{name}: {words}, {'State' if kept else 'context'}"
    measured(Job(label, partial(drawing, sampler=sampler, text=text, kept=kept), numpy,
                 partial(error, sampler=sampler, text=text)))  # fmt: skip
