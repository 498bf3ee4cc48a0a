"""Log-probs, ranks and likeliest tokens of what is drawn from, of the logits as they came, or of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import plans
import pytest
import rows

import fastlogits as fl
from fastlogits import reference, steps

V = 60
ROWS = (np.random.default_rng(4).normal(size=(5, V)) * 3).astype(np.float32)
STEERING: dict[str, Any] = {"temperature": 0.5, "top_k": 4, "logit_bias": {3: 9.0}}
SAMPLER = fl.Sampler(**STEERING)
RAW = ("raw_ranks", "raw_top_ids", "raw_top_logprobs")


def alike(found: Any, right: Any) -> None:
    for name, ours, theirs in zip(found._fields, found, right, strict=True):
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            assert np.shape(ours) == np.shape(theirs), name
            np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("mode", ["processed", "raw", "both"])
@pytest.mark.parametrize("more", [{}, {"n": 3}, {"n": 3, "replacement": False}])
def test_against_the_reference(isa: str, mode: str, more: dict[str, Any]) -> None:
    call: dict[str, Any] = {"rng": 7, "logprobs": 6, "logprobs_mode": mode, **more}
    for x in (ROWS, ROWS[0], ROWS.reshape(5, 1, V), ROWS.astype(np.float64), np.asfortranarray(ROWS)):
        alike(SAMPLER.sample(x, **call), reference.sample(x, **call, **STEERING))
        alike(fl.sample(x, **call, **STEERING), reference.sample(x, **call, **STEERING))


def test_raw_is_what_the_scores_say() -> None:
    """To the bit what `token_logprobs` says of the drawn tokens; fields that are raw in every mode are the same."""
    found = {mode: SAMPLER.sample(ROWS, rng=7, logprobs=5, logprobs_mode=mode) for mode in ("processed", "raw", "both")}
    scores = fl.token_logprobs(ROWS, found["raw"].ids, rank=True, top_n=5)
    assert rows.same_bits(found["raw"].logprobs, scores.logprobs)
    assert rows.same_bits(found["raw"].top_logprobs, scores.top_logprobs)
    assert found["raw"].top_ids.tolist() == scores.top_ids.tolist()
    assert found["raw"].ranks.tolist() == scores.ranks.tolist()
    for each in found.values():
        assert rows.same_bits(each.raw_logprobs, scores.logprobs)
    for name in ("ids", "logprobs", "ranks", "top_ids", "top_logprobs"):
        assert np.array_equal(getattr(found["both"], name), getattr(found["processed"], name))
    for name in RAW:
        assert np.array_equal(getattr(found["both"], name), getattr(found["raw"], name.removeprefix("raw_")))
        assert getattr(found["processed"], name) is None
        assert getattr(found["raw"], name) is None
    assert (found["raw"].ranks != found["processed"].ranks).any(), "a bias makes the ranks differ"
    assert (found["raw"].top_ids >= 0).all()
    assert (found["processed"].top_ids[:, 4] == -1).all()


def test_random_plans(isa: str) -> None:
    for seed in range(700_000, 700_080):
        case = plans.random_case(seed)
        if plans.run(case) is None:
            continue
        call: dict[str, Any] = {**case.inputs(), "rng": 0, "logprobs": 4, "logprobs_mode": "both"}
        found = fl.Sampler(*case.plan).sample(case.row, **call)
        came = plans.came(case)
        order, scores = reference.Row(came).order()[:4], reference.log_softmax(came)
        assert found.raw_top_ids.tolist() == [*order.tolist(), *[-1] * 4][:4], case
        assert found.raw_ranks == 1 + np.count_nonzero(came > came[found.ids]), case
        np.testing.assert_allclose(found.raw_logprobs, scores[found.ids], rtol=1e-6, atol=2e-6, err_msg=repr(case))
        tops = found.raw_top_logprobs[: len(order)]
        np.testing.assert_allclose(tops, scores[order], rtol=1e-6, atol=2e-6, err_msg=repr(case))


def test_bad_rows_and_short_ones() -> None:
    x = ROWS.copy()
    x[1, 5] = np.nan
    x[2, 4:] = -np.inf
    found, status = fl.sample(x, rng=7, logprobs=6, logprobs_mode="both", on_error="status", top_k=2)
    assert status.tolist() == [0, fl.Status.NAN, 0, 0, 0]
    assert (found.raw_ranks[1], found.raw_top_ids[1].tolist()) == (-1, [-1] * 6)
    assert np.isnan(found.raw_top_logprobs[1]).all()
    assert found.raw_top_ids[2, 4:].tolist() == [-1, -1]
    assert np.isneginf(found.raw_top_logprobs[2, 4:]).all()
    few, status = fl.sample(
        x, rng=7, n=3, replacement=False, logprobs=70, logprobs_mode="raw", on_error="status", top_k=2
    )
    assert status.tolist()[0] == fl.Status.TOO_FEW
    assert few.ranks[0].tolist()[2:] == [-1]
    assert few.top_ids[0, V:].tolist() == [-1] * 10
    assert few.top_ids[0, :V].tolist() == np.argsort(-x[0], kind="stable").tolist()


def test_repaired_rows() -> None:
    """RemoveInvalidValues speaks of what came; rows without it, and rows of a batch, keep theirs."""
    x = ROWS[:3].copy()
    x[0, 3], x[1, 4] = np.nan, np.inf
    repair = steps.RemoveInvalidValues([True, True, False])
    call: dict[str, Any] = {"rng": 7, "logprobs": 3, "logprobs_mode": "both"}
    sampler = fl.Sampler(repair, steps.TopK(2))
    found = sampler.sample(x, **call)
    alike(found, reference.sample(x, plan=sampler.steps, **call))
    states = [sampler.state(row=r) for r in (1, 0, 2)]
    swapped = sampler.sample(x[[1, 0, 2]], state=states, keys=None, **call)
    assert swapped.raw_top_ids.tolist() == found.raw_top_ids[[1, 0, 2]].tolist()
    batch = fl.Batch()
    batch.add(fl.Sampler(steps.RemoveInvalidValues(), steps.TopK(2)))
    batch.add(sampler.state(row=1))
    batch.add(fl.Sampler(top_k=2))
    assert batch.sample(x, **call).raw_top_ids.tolist() == found.raw_top_ids.tolist()
    one = batch.sample(x, rng=7, logprobs=3, logprobs_mode="raw")
    assert one.top_ids.tolist() == found.raw_top_ids.tolist()


def test_no_rows() -> None:
    found = SAMPLER.sample(ROWS[:0], rng=7, logprobs=2, logprobs_mode="both")
    assert (found.raw_ranks.shape, found.raw_top_ids.shape) == ((0,), (0, 2))


def test_without_logprobs_it_says_nothing() -> None:
    assert SAMPLER.sample(ROWS[0], rng=7, logprobs_mode="raw") == SAMPLER.sample(ROWS[0], rng=7)


@pytest.mark.parametrize("mode", ["raw_logprobs", None, 3, True])
def test_other_words(mode: Any) -> None:
    for call in (SAMPLER.sample, fl.sample):
        with pytest.raises(ValueError, match="logprobs_mode must be 'processed', 'raw' or 'both', got"):
            call(ROWS[0], logprobs=2, logprobs_mode=mode)
        with pytest.raises(ValueError, match="logprobs_mode must be 'processed', 'raw' or 'both', got"):
            call(ROWS[0], logprobs_mode=mode)


def test_results_as_plain_data() -> None:
    found = SAMPLER.sample(ROWS[0], rng=7, logprobs=2, logprobs_mode="both").to_dict()
    assert found["raw_top_ids"] == np.argsort(-ROWS[0])[:2].tolist()
    assert SAMPLER.sample(ROWS[0], rng=7, logprobs=2).to_dict()["raw_ranks"] is None
