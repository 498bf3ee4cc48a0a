"""Warnings, once per Sampler: penalties without a context, steps with memory that draw without a state."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits import steps

ROW = np.random.default_rng(0).normal(size=50).astype(np.float32)
ROWS = np.stack([ROW, ROW])
IDLE: list[dict[str, Any]] = [
    {"repetition_penalty": 1.2}, {"frequency_penalty": 0.3}, {"presence_penalty": [0.0, 0.5]}, {"dry_multiplier": 1.0},
    {"no_repeat_ngram_size": 2}, {"encoder_no_repeat_ngram_size": 2, "encoder_ids": [1, 2, 3]},
    {"bad_words_ids": [[1, 2], [3, 4]]}, {"sequence_bias": {(1, 2): 1.0}},
    {"exponential_decay_length_penalty": (3, 1.1), "eos_token_id": 2},
]  # fmt: skip
FORGETS: list[dict[str, Any]] = [{"mirostat": 1}, {"mirostat": [0, 2]}, {"adaptive_target": 0.3}]


def heard(call: Callable[[], Any]) -> list[str]:
    """The messages of a call, all of which name the line that made it."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    assert all(each.category is UserWarning and each.filename == __file__ for each in found)
    return [str(each.message) for each in found]


OUTPUTS: dict[str, Callable[[fl.Sampler, dict[str, Any]], Any]] = {
    "sample": lambda s, given: s.sample(ROWS, rng=0, **given),
    "sample n": lambda s, given: s.sample(ROWS, rng=0, n=2, **given),
    "gumbel_max": lambda s, given: s.gumbel_max(ROWS, rng=0, **given),
    "verify": lambda s, given: s.verify(np.stack([ROWS, ROWS]), [[1], [2]], rng=0, **given),
    "probs": lambda s, given: s.probs(ROWS, **given),
    "filter_logits": lambda s, given: s.filter_logits(ROWS, **given),
    "candidates": lambda s, given: s.candidates(ROWS, **given),
    "beam_step": lambda s, given: s.beam_step(ROWS, [0.0, 0.0], **given),
}
DRAW = ("sample", "sample n", "gumbel_max", "verify")


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("keywords", IDLE, ids=lambda keywords: next(iter(keywords)))
def test_penalties_need_a_context(output: str, keywords: dict[str, Any]) -> None:
    sampler = fl.Sampler(**keywords)
    (message,) = heard(lambda: OUTPUTS[output](sampler, {}))
    assert message.startswith(f"{sampler.steps[0].name} cannot act")
    assert "pass the tokens so far as context=, or context=[] if there are none yet" in message
    assert not heard(lambda: OUTPUTS[output](sampler, {}))
    others = fl.Sampler(**keywords)
    states = [others.state(row=r if others.shape else None) for r in range(2)]
    for given in ({"context": []}, {"context": [1]}, {"state": states}):
        assert not heard(lambda given=given: OUTPUTS[output](others, given))  # type: ignore[misc]
    assert heard(lambda: OUTPUTS[output](others, {}))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("keywords", FORGETS, ids=str)
def test_memory_needs_a_state(output: str, keywords: dict[str, Any]) -> None:
    sampler = fl.Sampler(**keywords)
    found = heard(lambda: OUTPUTS[output](sampler, {"context": [1, 2]}))
    assert len(found) == (output in DRAW)
    for message in found:
        assert message.startswith(f"{sampler.steps[0].name} cannot adapt: no state= was passed")
        assert "sampler.state(context)" in message
        assert "state.accept(token)" in message
    assert not heard(lambda: OUTPUTS[output](sampler, {}))
    others = fl.Sampler(**keywords)
    states = [others.state(row=r if others.shape else None) for r in range(2)]
    assert not heard(lambda: OUTPUTS[output](others, {"state": states}))


def test_single_rows() -> None:
    """The short way of plain arguments warns too; explain and batches as their like."""
    sampler = fl.Sampler(repetition_penalty=1.2, mirostat=2, presence_penalty=0.1)
    first, second = heard(lambda: [sampler.sample(ROW, rng=0) for _ in range(3)])
    assert first.startswith("repetition_penalty, presence_penalty cannot act")
    assert second.startswith("mirostat cannot adapt")
    assert len(heard(lambda: fl.Sampler(mirostat=2).sample(ROW, rng=0, context=np.array([1])))) == 1
    assert len(heard(lambda: fl.Sampler(no_repeat_ngram_size=2).explain(ROW))) == 1
    state = (sampler := fl.Sampler(repetition_penalty=1.2, mirostat=2)).state()
    assert not heard(lambda: sampler.sample(ROW, rng=0, state=state))
    batch = fl.Batch()
    batch.add(sampler)
    assert not heard(lambda: batch.sample(ROWS[:1], rng=0))
    assert len(heard(lambda: fl.sample(ROW, rng=0, mirostat=2, mirostat_tau=2.75))) == 1
    assert len(heard(lambda: fl.probs(ROW, repetition_penalty=1.375))) == 1


def test_each_copy_warns_for_itself() -> None:
    sampler = fl.Sampler(mirostat=2)
    assert heard(lambda: sampler.sample(ROW, rng=0))
    for other in (copy.deepcopy(sampler), pickle.loads(pickle.dumps(sampler))):
        assert heard(lambda other=other: other.sample(ROW, rng=0))  # type: ignore[misc]


@pytest.mark.parametrize("step", [
    steps.RepetitionPenalty(1.0), steps.FrequencyPenalty(0.0), steps.Dry(0.0), steps.NoRepeatNgram(0),
    steps.EncoderNoRepeatNgram(1, [1]), steps.BadWords([[1], [2, 3]]), steps.SequenceBias({(4,): 1.0}),
    steps.Mirostat(0), steps.AdaptiveP(None), steps.MinLength(3, 1), steps.TopK(5),
])  # fmt: skip
def test_what_is_off_or_acts_alone_is_silent(step: Any) -> None:
    assert not heard(lambda: fl.Sampler(step).sample(ROW, rng=0))


def test_errors_of_arguments_come_first() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="rng must be >= 0, got -1; None means random"):
            fl.Sampler(temperature=0.5).sample(ROW, rng=-1)
        with pytest.raises(ValueError, match="token id 70"):
            fl.probs(ROW, bad_words_ids=[[1, 70]])


def test_mirostat_adapts_with_a_state() -> None:
    row = np.random.default_rng(1).normal(0, 3, 32_000).astype(np.float32)
    for version in (1, 2):
        sampler = fl.Sampler(mirostat=version, mirostat_tau=3.0)
        state, surprises = sampler.state(), []
        for _ in range(400):
            drawn = sampler.sample(row, state=state, rng=7, logprobs=0)
            state.accept(drawn.ids)
            surprises.append(-float(drawn.logprobs) / np.log(2))
        assert abs(np.mean(surprises[100:]) - 3.0) < 0.15
