"""Sampler.explain: the figures of each step against the reference, and the words."""

from __future__ import annotations

import runpy
from typing import Any

import made
import numpy as np
import pytest
import rows

import fastlogits as fl
import fastlogits._core as _core
from fastlogits import reference, steps
from fastlogits.sampling.thresholds import THRESHOLDS, Seen, threshold

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
        assert step.smallest == pytest.approx(after[left].min(), rel=1e-12)
        before = after


# ---- thresholds ----------------------------------------------------------------------------------------------------


class Before:
    """A row [n] before a step: what a condition compares, by its words, for each token."""

    def __init__(self, row: Any) -> None:
        logprobs = reference.log_softmax(row)
        p = np.exp(logprobs)
        entropy = -(p * logprobs).sum()
        ranks = np.empty(row.size)
        ranks[np.argsort(-row, kind="stable")] = np.arange(1, row.size + 1)
        self.compared = {
            "p >=": p, "logit >=": row, "rank <=": -ranks, "-log2 p <=": logprobs / np.log(2),
            "|-ln p - H| <=": -np.abs(logprobs + entropy),
        }  # fmt: skip
        self.p, self.row = p, row


#: Steps whose condition decides each token alone.
ALONE = [
    steps.MinP(0.01), steps.EpsilonCutoff(1e-3), steps.EtaCutoff(2e-3), steps.EtaCutoff(0.5), steps.TopA(0.3),
    steps.PLess(2.0), steps.PLess(1.5), steps.TopNSigma(1.7), steps.TypicalP(0.6), steps.TopK(20), steps.MinK(30.0),
    steps.Mirostat(2, 4.0), steps.Mirostat(1, 2.0), steps.Greedy(),
]  # fmt: skip


@pytest.mark.parametrize("step", ALONE, ids=repr)
def test_thresholds(step: Any) -> None:
    """What reaches the threshold is what survived, behind a temperature and a penalty."""
    plan = [steps.RepetitionPenalty(1.2), steps.Temperature(0.9), step]
    row = reference.filter_logits(X[0], plan=plan[:2], context=[1, 2])
    report = fl.Sampler(*plan).explain(X[0], context=[1, 2]).steps[-1]
    compared = Before(row).compared[report.condition]
    bound = report.threshold if report.condition.endswith(">=") else -report.threshold
    assert np.count_nonzero(compared >= bound - 1e-9 * abs(bound)) == report.survived
    assert 0 < report.survived < 5000


def test_thresholds_of_sums() -> None:
    row = X[0].astype(np.float64)
    p = np.sort(np.exp(reference.log_softmax(row)))[::-1]

    def asked(step: Any) -> Any:
        return fl.Sampler(step).explain(X[0]).steps[0]

    for strict, sign in ((False, ">="), (True, ">")):
        nucleus = asked(steps.TopP(0.8, strict=strict))
        assert (nucleus.condition, nucleus.threshold) == (f"mass {sign}", 0.8)
        assert nucleus.kept == pytest.approx(p[: nucleus.survived].sum(), rel=1e-6)
        assert nucleus.kept > 0.8 > nucleus.kept - p[nucleus.survived - 1]
    q = p[:100] / p[:100].sum()
    first = asked(steps.TopH(0.6))
    running = np.cumsum(-q * np.log(q))
    assert first.condition == "entropy <="
    assert first.threshold == pytest.approx(0.6 * running[-1], rel=1e-6)
    assert running[first.survived - 1] <= first.threshold < running[first.survived]
    assert (asked(steps.Tfs(0.9)).condition, asked(steps.Tfs(0.9)).threshold) == ("bends <=", 0.9)
    choices = asked(steps.Xtc(1.0, 0.05, strict=True))
    assert (choices.condition, choices.threshold) == ("p >", 0.05)


def test_temperatures_and_targets() -> None:
    report = fl.Sampler(steps.DynamicTemperature(0.5, 1.5, 2.0)).explain(X[0]).steps[0]
    divided = fl.Sampler(steps.DynamicTemperature(0.5, 1.5, 2.0)).filter_logits(X[0])
    assert report.condition == "T ="
    assert report.threshold == pytest.approx(float(X[0][0] / divided[0]), rel=1e-6)
    assert fl.Sampler(top_k=4, adaptive_target=0.4).explain(X[0]).steps[-1].asked() == "p near 0.4"
    contrastive = fl.Sampler(steps.Contrastive(0.1)).explain(X[0], amateur=X[1]).steps[0]
    p = np.exp(reference.log_softmax(X[0]))
    assert contrastive.threshold == pytest.approx(0.1 * p.max(), rel=1e-6)
    assert contrastive.survived == np.count_nonzero(p >= contrastive.threshold)


def test_thresholds_of_a_state() -> None:
    """Mu, and the target moved by the weighted sum, as a State remembers them behind a token."""
    sampler = fl.Sampler(top_k=50, mirostat=2, mirostat_tau=2.0, mirostat_eta=0.5, adaptive_target=0.3)
    row = X[0].astype(np.float64)
    state = sampler.state()
    assert [step.threshold for step in sampler.explain(row, state=state).steps] == pytest.approx([50, 4.0, 0.3])
    token = sampler.sample(row, state=state, rng=1)
    drawn, before = sampler.probs(row)[token], fl.Sampler(*sampler.steps[:2]).probs(row)[token]
    state.accept(token)
    mu = 4.0 - 0.5 * (-np.log2(drawn) - 2.0)
    moved = 0.6 - (before + 0.9 * 3.0) / (1 + 0.9 * 10.0)
    assert [step.threshold for step in sampler.explain(row, state=state).steps] == pytest.approx([50, mu, moved])


def test_numbers_of_the_state_s_row() -> None:
    """A state keeps the parameters of the row that it was made for, whatever row of the logits it stands in."""
    sampler = fl.Sampler(top_k=[3, 7], min_p=[0.5, 0.25])
    for row, k in enumerate((7, 3)):
        states = [sampler.state(row=1), sampler.state(row=0)]
        report = sampler.explain(X[:2], row=row, state=states).steps[0]
        assert (report.threshold, report.survived) == (k, k)


def test_per_row_and_off() -> None:
    sampler = fl.Sampler(top_k=[5, 0, -1], min_p=[0.1, 0.2, 0.0], top_h=[None, 0.5, 0.9])
    for row, asked in ((0, ["", "rank <= 5", "p >="]), (1, ["entropy <=", "", "p >="]), (2, ["entropy <=", "", ""])):
        found = {step.name: step for step in sampler.explain(X, row=row).steps}
        for name, words in zip(("top_h", "top_k", "min_p"), asked, strict=True):
            assert found[name].asked().startswith(words), (row, name)
            assert (found[name].asked() == "") == (words == "")
            assert np.isnan(found[name].threshold) == (words == "")


def test_every_cut_has_a_threshold() -> None:
    assert set(THRESHOLDS) <= set(made.NAMES)
    for name, kind, _ in made.DEFINED:
        seen = Seen(X[0], fl.log_softmax(X[0]), X[0] > 0, 2.0, 2.5, 1.0)
        told = threshold(name, seen, strict=False)[0] != ""
        assert told or kind not in ("CUT", "PICK") or name in ("draw", "gumbel", "skew"), name


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
    assert lines[3].split() == ["step", "given", "survived", "mass", "kept", "threshold", "smallest", "logit"]
    assert [line.split()[0] for line in lines[4:]] == ["temperature", "top_k", "top_p"]
    assert lines[5].split()[1:3] == ["5,000", "50"]
    asked = [line.split()[4:7] for line in lines[4:]]
    assert asked == [["T", "=", "0.8"], ["rank", "<=", "50"], ["mass", ">=", "0.9"]]
    assert lines[3].index("threshold") == lines[4].index("T =") == lines[6].index("mass >=")


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
    with pytest.raises(TypeError, match="row must be an integer, got 1.5"):
        sampler.explain(X, row=1.5)  # type: ignore[arg-type]


def test_forced_behind_a_ban_of_all() -> None:
    """What `sample` accepts is told: nothing is alive in between, the forced token is at the end."""
    forced = steps.ForcedEosToken([1], max_length=1)
    for row, plan, counts in (
        ([0.0, 1.0, 2.0], (steps.SuppressTokens([0, 1, 2]), forced), [(3, 0), (0, 1)]),
        ([-np.inf] * 3, (steps.TopK(2), forced), [(0, 0), (0, 1)]),
    ):
        sampler = fl.Sampler(*plan)
        assert sampler.sample(row) == 1
        found = sampler.explain(row)
        assert [(step.given, step.survived) for step in found.steps] == counts
        assert len(str(found).splitlines()) == 6
    with pytest.raises(ValueError, match=r"no token left after suppress_tokens \(step 1\)"):
        fl.Sampler(forced, steps.SuppressTokens([1])).explain([0.0, 1.0, 2.0])


def test_example_on_a_real_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Typical-p behind a penalty and a temperature, in words."""
    runpy.run_path(str(rows.ROOT / "examples" / "explain_row.py"))["main"]()
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[4:9]]
    assert names == ["repetition_penalty", "temperature", "min_p", "typical_p", "eta_cutoff"]
    assert " took most: " in lines[-1]
