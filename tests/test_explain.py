"""Sampler.explain: the figures of each step against the reference, and the words."""

from __future__ import annotations

import runpy
from typing import Any

import numpy as np
import pytest
import rows

import fastlogits as fl
from fastlogits import _core, reference, steps

X = (4 * np.random.default_rng(3).normal(size=(3, 5000))).astype(np.float32)

PLANS: dict[str, list[Any]] = {
    "floor": [steps.Temperature(0.8), steps.TopK(50), steps.TopP(0.9), steps.MinP(0.05)],
    "mass": [steps.RepetitionPenalty(1.3), steps.LogitBias({4: 2.0, 9: -np.inf}), steps.TopP(0.8)],
    "mask": [steps.Mask(np.arange(5000) % 3 == 0), steps.MinP(0.2), steps.Draw()],
    "greedy": [steps.Temperature(0.0)],
    "edit behind a cut": [steps.TopK(20), steps.LogitBias({7: -np.inf}), steps.Greedy()],
    "nothing": [],
}


@pytest.mark.parametrize("name", PLANS)
def test_figures(isa: str, name: str) -> None:
    plan, context = PLANS[name], [1, 2, 2, 7]
    explained = fl.Sampler(*plan).explain(X, row=1, context=[[], context, []])
    assert (explained.n, explained.isa) == (5000, isa)
    assert [step.name for step in explained.steps] == [step.name for step in plan]
    before = X[1].astype(np.float64)
    for i, step in enumerate(explained.steps):
        after = reference.filter_logits(X[1], plan=plan[: i + 1], context=context)
        alive, left = before > -np.inf, after > -np.inf
        assert (step.given, step.survived) == (alive.sum(), left.sum())
        assert step.kept == pytest.approx(reference.softmax(before)[left].sum(), abs=1e-9)
        assert step.threshold == pytest.approx(after[left].min(), rel=1e-12)
        before = after


def test_modes() -> None:
    def mode(*plan: steps.Step) -> str:
        return fl.Sampler(*plan).explain(X[0]).mode

    assert mode(steps.TopK(5)) == "floor"
    assert mode(steps.MinP(0.1)) == "floor"
    assert mode(steps.TopP(0.3)).startswith("mass")
    assert fl.Sampler(top_k=5, logit_bias={1: 2.0, 3: 1.0}).explain(X[0]).edited == 2
    found = fl.Sampler(top_k=5).explain(X[0])
    assert found.passes >= 1
    assert 5 <= found.collected <= 5000
    assert found.floor <= np.sort(X[0])[-5]
    assert not found.double


def test_words() -> None:
    text = str(fl.Sampler(temperature=0.8, top_k=50, top_p=0.9).explain(X[0]))
    lines = text.splitlines()
    assert lines[0] == f"row of 5,000 logits, {_core.isa()}"
    assert lines[1].startswith("  floor: one scan")
    assert " over the row, 0 edited, " in lines[2]
    assert lines[3].split() == ["step", "given", "survived", "mass", "kept", "smallest", "logit"]
    assert [line.split()[0] for line in lines[4:]] == ["temperature", "top_k", "top_p"]
    assert lines[5].split()[1:3] == ["5,000", "50"]


def test_rows_and_errors() -> None:
    bad = X.copy()
    bad[2, 5] = np.nan
    sampler = fl.Sampler(top_k=[5, 6, 7])
    assert [sampler.explain(X, row=row).steps[0].survived for row in (0, 1, 2, -1)] == [5, 6, 7, 7]
    assert sampler.explain(bad, row=1).steps[0].survived == 6
    with pytest.raises(ValueError, match=r"logits\[2\] contains NaN"):
        sampler.explain(bad, row=2)
    with pytest.raises(TypeError, match="rng must be"):
        sampler.explain(X, rng="seed")


def test_example_on_a_real_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Typical-p behind a penalty and a temperature, in words."""
    runpy.run_path(str(rows.ROOT / "examples" / "explain_row.py"))["main"]()
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[4:9]]
    assert names == ["repetition_penalty", "temperature", "min_p", "typical_p", "eta_cutoff"]
    assert " took most: " in lines[-1]
