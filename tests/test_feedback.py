"""Steps that hear what was drawn: their memory, the vectors of their formulas, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rows
from numpy.typing import NDArray

import fastlogits as fl
import fastlogits._core as _core
from fastlogits import reference, steps
from fastlogits.reference.sampling import observed as heard
from fastlogits.reference.step_functions import first_memory, next_memory


def run(plan: Any, x: Any, memory: Any = None, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Drawn tokens and what they are to the steps, of rows [R, V] at position 0."""
    x = np.atleast_2d(x)
    ids, seen = np.full(len(x), -1, np.int64), np.zeros((len(x), plan.count))
    task = _core.PlanTask(
        plan, x, seed=seed, position=np.zeros(1, np.int64), memory=memory, ids=ids, observed=seen
    )  # fmt: skip
    task.run(0, len(x))
    assert not task.failures
    return ids, seen


PLANS = [
    (steps.Mirostat(1, 3.0, 0.2),),
    (steps.Mirostat(2, 3.0, 0.2),),
    (steps.TopK(50), steps.Temperature(0.7), steps.Mirostat(1, 2.0, 0.5), steps.Draw()),
    (steps.TopK(50), steps.Temperature(0.7), steps.Mirostat(2, 2.0, 0.5)),
    (steps.MinP(0.01), steps.AdaptiveP(0.4, 0.8)),
    (steps.AdaptiveP(0.4, 0.8), steps.TopK(5)),
    (steps.AdaptiveP(0.4, 0.5), steps.Temperature(1.5), steps.AdaptiveP(0.1, 0.2), steps.Mirostat(2, 1.0)),
    (steps.LogitBias({3: 4.0}), steps.Mirostat(2, 9.0)),
]


@pytest.mark.parametrize("plan", PLANS)
def test_memory_follows_the_draws(isa: str, plan: Any) -> None:
    """Twelve tokens of the reference and of C, each hearing what the one before was."""
    sampler = fl.Sampler(*plan)
    memory = np.full((1, sampler.count, _core.MEMORY), np.nan)
    known: dict[int, tuple[float, float]] = {}
    for i in range(12):
        x = np.random.default_rng(i).normal(size=400).astype(np.float32) * 3
        row = reference.Row(x, random=(i, 0, 0), memory=known)
        reference.process(row, plan)
        token = reference.steps.draw(row, row.draw_uniform())
        right = heard(row, plan, token)[: sampler.count]
        ids, seen = run(sampler, x, memory, seed=i)
        assert ids[0] == token
        np.testing.assert_allclose(seen[0], right, rtol=2e-6, atol=2e-6)
        sampler.remember(seen, memory)
        for at, step in enumerate(plan[: sampler.count]):
            if step.name in ("mirostat", "adaptive_p"):
                fields = dict(vars(step))
                before = known.get(at, first_memory(step.name, **fields))
                known[at] = next_memory(step.name, before, right[at], **fields)
                np.testing.assert_allclose(memory[0, at], known[at], rtol=1e-5)
            else:
                assert np.isnan(memory[0, at]).all()


def test_memory_and_parameters_per_row() -> None:
    """Each row has its own parameters and memory; NaN is the beginning, and nothing observed changes nothing."""
    x = np.random.default_rng(3).normal(size=(4, 300)).astype(np.float32)
    tau, version = (2.0, 3.0, 4.0, 5.0), (2, 0, 1, 2)
    sampler = fl.Sampler(mirostat=version, mirostat_tau=tau, mirostat_eta=0.5)
    memory = np.array([[[3.0, 0]], [[3.0, 0]], [[np.nan, np.nan]], [[1.0, 0]]])
    ids, seen = run(sampler, x, memory, seed=5)
    for r in range(4):
        alone = fl.Sampler(mirostat=version[r], mirostat_tau=tau[r], mirostat_eta=0.5)
        if version[r] == 0:
            assert np.isnan(seen[r, 0])
            continue
        task_ids, task_seen = np.zeros(1, np.int64), np.zeros((1, 1))
        _core.PlanTask(
            alone, x[r : r + 1], seed=5, position=np.zeros(1, np.int64), keys=np.array([r]), memory=memory[r].copy(),
            ids=task_ids, observed=task_seen,
        ).run(0, 1)  # fmt: skip
        assert (task_ids[0], task_seen[0, 0]) == (ids[r], seen[r, 0])
    after = memory.copy()
    sampler.remember(seen, after)
    np.testing.assert_array_equal(after[1], memory[1])
    for r, mu in ((0, 3.0), (2, 8.0), (3, 1.0)):
        assert after[r, 0, 0] == pytest.approx(mu - 0.5 * (seen[r, 0] - tau[r]))


def test_memory_decides_the_cut() -> None:
    """Version 2 keeps p >= 2^-mu."""
    x = np.log(np.array([[0.4, 0.3, 0.2, 0.1]], np.float32))
    sampler = fl.Sampler(mirostat=2)
    for mu, kept in ((1.0, 1), (1.4, 1), (1.8, 2), (2.4, 3), (3.4, 4), (-5.0, 1), (99.0, 4)):
        counts = np.zeros(1, np.int64)
        task = _core.PlanTask(sampler, x, memory=np.array([[[mu, 0]]]), counts=counts)
        task.run(0, 1)
        assert counts[0] == kept, mu


def test_remember_refuses() -> None:
    sampler = fl.Sampler(mirostat=2)
    with pytest.raises(ValueError, match="an array of 3 elements"):
        sampler.remember(np.zeros(2), np.zeros((3, 1, 2)))
    with pytest.raises(TypeError, match="another type"):
        sampler.remember(np.zeros(3, np.float32), np.zeros((3, 1, 2)))


def test_mirostat_2_formula(isa: str) -> None:
    """Without a memory mu = 2 tau: what has p >= 2^(-2 tau)."""
    for row in rows.real_rows()[:4]:
        p = reference.softmax(row.astype(np.float64))
        for tau in (0.5, 2.0, 3.0, 5.0):
            got = fl.candidates(row, mirostat=2, mirostat_tau=tau).ids
            assert sorted(got) == np.flatnonzero(p >= min(2 ** (-2 * tau), p.max())).tolist()


def test_mirostat_1_formula(isa: str) -> None:
    """Of a row that follows Zipf's law k has a closed form, s being the law's exponent."""
    n = 5000
    for s in (0.7, 1.0, 1.3, 2.0):
        row = -s * np.log(np.arange(1, n + 1))
        for tau in (1.0, 3.0, 5.0):
            e = s - 1
            base = 2 ** (2 * tau) * (e / (1 - n**-e) if e else 1 / np.log(n))
            k = base ** (1 / s)
            assert abs(k - round(k)) > 1e-6
            assert fl.candidates(row, mirostat=1, mirostat_tau=tau).ids.size == min(n, max(1, int(k)))


def test_mirostat_1_on_equal_logits() -> None:
    """No slope at all: everything if mu exceeds what a flat row needs, else one token."""
    row = np.zeros(1000, np.float32)
    assert fl.candidates(row, mirostat=1, mirostat_tau=4.9).ids.size == 1
    assert fl.candidates(row, mirostat=1, mirostat_tau=5.1).ids.size == 1000
    assert fl.candidates(row[:1], mirostat=1).ids.size == 1


def test_adaptive_p_formula(isa: str) -> None:
    """Without a memory a is the target; the nearest probability is the likeliest."""
    p = np.array([0.5, 0.3, 0.15, 0.05])
    for target in (0.0, 0.2, 0.3, 0.9):
        d = np.abs(p - target) / 0.3
        logits = 5 - 10 * d**2 / (1 + d)
        np.testing.assert_allclose(fl.filter_logits(np.log(p), adaptive_target=target), logits, atol=1e-12)
    assert fl.filter_logits([0.0, -np.inf], adaptive_target=0.5)[1] == -np.inf


def test_skew() -> None:
    """Of equal tokens the running mass F becomes F^exp(skew), by id."""
    row = np.zeros(10)
    for skew in (-1.0, 0.7):
        drawn = np.array([fl.sample(row, skew=skew, rng=1, position=i) for i in range(4000)])
        for last in (1, 4, 7):
            share = ((last + 1) / 10) ** np.exp(skew)
            assert abs((drawn <= last).mean() - share) < 4 * np.sqrt(share * (1 - share) / 4000)
    with_two = fl.Sampler(steps.Skew(0.5), steps.Skew(0.2))
    assert [with_two.sample(row, rng=i) for i in range(50)] == [fl.sample(row, skew=0.7, rng=i) for i in range(50)]
    np.testing.assert_array_equal(fl.probs(row, skew=3.0), fl.probs(row))


REFUSED = [
    ({"mirostat": 3}, "mirostat must be an integer in [0, 2], got 3"),
    ({"mirostat": [1, -1]}, "mirostat must be an integer in [0, 2], got -1 (row 1)"),
    ({"mirostat": 2, "mirostat_tau": -1}, "mirostat_tau must be finite and >= 0, got -1"),
    ({"mirostat": 2, "mirostat_eta": -0.5}, "mirostat_eta must be finite and >= 0, got -0.5"),
    ({"adaptive_target": 1.5}, "adaptive_target must be in [0, 1], got 1.5"),
    ({"adaptive_target": [0.5, -1]}, "adaptive_target must be in [0, 1], got -1 (row 1)"),
    ({"adaptive_target": 0.5, "adaptive_decay": 1}, "adaptive_decay must be in [0, 0.99], got 1"),
    ({"skew": np.inf}, "skew must be finite, got inf"),
]


@pytest.mark.parametrize(("keywords", "words"), REFUSED, ids=lambda v: str(v)[:40])
def test_refused(keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r".*") as error:
        fl.sample(np.array([1.0, 2.0, 3.0]), rng=0, **keywords)
    assert words in str(error.value)


def test_keywords() -> None:
    sampler = fl.Sampler(skew=0.5, adaptive_target=0.3, mirostat=2, mirostat_tau=4.0, top_k=50)
    assert sampler.steps == (steps.TopK(50), steps.Mirostat(2, 4.0), steps.AdaptiveP(0.3), steps.Skew(0.5))
    assert fl.Sampler(skew=0, mirostat=0, mirostat_tau=3.0).steps == ()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("tau", [0.7, 1.5])
def test_mirostat_converges_on_real_rows(real_rows: Any, version: int, tau: float) -> None:
    """The mean surprise of the drawn tokens comes to tau, whatever mu began with."""
    sampler = fl.Sampler(mirostat=version, mirostat_tau=tau, mirostat_eta=0.2)
    state, surprises = sampler.state([]), []
    for i in range(600):
        drawn = sampler.sample(real_rows[i % len(real_rows)], state=state, rng=7, logprobs=0)
        state.accept(drawn.ids)
        surprises.append(-float(drawn.logprobs) / np.log(2))
    assert abs(np.mean(surprises[200:]) - tau) < 0.05
