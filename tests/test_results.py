"""Every result as a dict that `json.dumps` takes, and the scalars of a single row."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

import fastlogits as fl

ROWS = np.random.default_rng(1).normal(size=(3, 9)).astype(np.float32)
ALL: dict[str, Any] = dict.fromkeys(("rank", "argmax", "entropy", "varentropy", "logsumexp", "margin"), True)
COMPLETIONS = [[1, 2], [3]]
RESULTS: dict[str, Any] = {
    "TopK": lambda: fl.top_k(ROWS, 2),
    "SampleResult": lambda: fl.sample(ROWS, rng=1, logprobs=2),
    "GumbelMax": lambda: fl.gumbel_max(ROWS, rng=1),
    "Candidates": lambda: fl.candidates(ROWS, top_k=2),
    "TokenLogprobs": lambda: fl.token_logprobs(ROWS, [0, -100, 2], top_n=2, candidates=[1, 2], **ALL),
    "BeamStep": lambda: fl.beam_step(ROWS, [0.0, -1.0, -2.0]),
    "CompletionPrefixes": lambda: fl.completion_prefixes(COMPLETIONS),
    "CompletionScores": lambda: fl.score_completions([ROWS[:2], ROWS[2:]], COMPLETIONS, texts=["a b", "c"]),
    "TextScore": lambda: fl.score_text([-1.0, -2.0], greedy=[True, False], text="a b"),
    "Window": lambda: fl.sliding_windows(9, 4)[1],
    "ReliabilityCurve": lambda: fl.reliability_curve([0.2, 0.9], [0, 1], bins=3),
    "TemperatureFit": lambda: fl.fit_temperature(ROWS, [0, 1, 2]),
    "Scaling": lambda: fl.fit_scaling(ROWS, [0, 1, 2]),
    "Verified": lambda: fl.verify(ROWS, [1, 2], draft_logits=ROWS[:2], rng=1),
    "Comparison": lambda: fl.compare_distributions(ROWS, ROWS[::-1]),
    "ComparisonTotals": lambda: fl.compare_distributions(ROWS, ROWS[::-1]).totals(),
    "Explanation": lambda: fl.Sampler(temperature=0.7, top_k=3).explain(ROWS[0]),
}


def test_no_result_is_left_out() -> None:
    kinds = {name for name in fl.__all__ if isinstance(getattr(fl, name), type)}
    results = {
        name for name in kinds if hasattr(kind := getattr(fl, name), "_fields") or dataclasses.is_dataclass(kind)
    }
    assert results <= set(RESULTS)


@pytest.mark.parametrize("name", RESULTS)
def test_to_dict(name: str) -> None:
    result = RESULTS[name]()
    assert type(result).__name__ == name
    told = result.to_dict()
    json.dumps(told)
    names = getattr(result, "_fields", None) or [field.name for field in dataclasses.fields(result)]
    assert list(told) == list(names)
    for field in names:
        if isinstance(value := getattr(result, field), np.ndarray):
            np.testing.assert_array_equal(np.array(told[field], value.dtype), value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_scalars_of_one_row(dtype: Any) -> None:
    row = ROWS[0].astype(dtype)
    found = fl.token_logprobs(row, 3, **ALL)
    for value in found:
        assert value is None or type(value) in (int, float, bool)
    json.dumps(found)
    drawn = fl.sample(row, rng=1, logprobs=0)
    json.dumps([drawn.ids, drawn.logprobs, drawn.raw_logprobs, drawn.ranks])
    json.dumps(fl.gumbel_max(row, rng=1))
    assert found.logprobs == fl.token_logprobs(row[None], [3]).logprobs[0]


def test_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    assert fl.top_k(np.array([1.0, 3.0], ml_dtypes.bfloat16), 1).to_dict() == {"values": [3.0], "indices": [1]}
