"""Bad contents: every line of the table of rules, through every function; and what a refused call leaves behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
from calls import ENDS, INF, NAN, ROW, by_name, refused, run

import fastlogits as fl
from fastlogits import reference

# ---- contents of a row: the pipeline -------------------------------------------------------------------------------


CONTENTS = [
    (NAN, "contains NaN", fl.Status.NAN),
    (INF, "contains +inf", fl.Status.POS_INF),
]


@pytest.mark.parametrize("end", ENDS)
@by_name
@pytest.mark.parametrize(("value", "words", "status"), CONTENTS, ids=["nan", "inf"])
@pytest.mark.parametrize("at", [0, 3, 40, 99])
def test_bad_values_name_the_row(
    isa: str, end: str, dtype: Any, value: float, words: str, status: fl.Status, at: int
) -> None:
    batch = np.linspace(-1, 1, 500).reshape(5, 100).astype(dtype)
    batch[3, at] = value
    for keywords in ({}, {"top_k": 4}, {"top_p": 0.9}, {"min_p": 0.1}, {"temperature": 0.0}):
        with refused(ValueError, f"logits[3] {words}"):
            run(end, batch, **keywords)
        with refused(ValueError, f"logits {words}"):
            run(end, batch[3], **keywords)
        result, states = run(end, batch, on_error="status", **keywords)
        assert states.tolist() == [0, 0, 0, status, 0]
        check_others_unharmed(end, batch, result, keywords)


def check_others_unharmed(end: str, batch: np.ndarray, result: Any, keywords: dict[str, Any]) -> None:
    """Row 3 is marked, the others are what they would have been."""
    good = [0, 1, 2, 4]
    alone = run(end, batch[good], keys=good, **keywords)
    if end == "candidates":
        assert [result[r].ids.tolist() for r in good] == [alone[i].ids.tolist() for i in range(4)]
        assert result[3].ids.size == 0
    else:
        np.testing.assert_array_equal(result[good], alone)
        assert result[3] == -1 if end == "sample" else np.isnan(result[3].astype(np.float64)).all()


@pytest.mark.parametrize("end", ENDS)
def test_row_names_of_more_axes(end: str) -> None:
    batch = np.zeros((2, 3, 8), np.float32)
    batch[1, 2, 5] = NAN
    with refused(ValueError, "logits[1, 2] contains NaN"):
        run(end, batch)
    _, states = run(end, batch, on_error="status")
    assert states.shape == (2, 3)
    assert states[1, 2] == fl.Status.NAN


@pytest.mark.parametrize("end", ENDS)
def test_no_finite_logit(isa: str, end: str) -> None:
    banned = np.full((3, 20), -INF, np.float32)
    banned[:2] = 1.0
    with refused(ValueError, "logits[2] contains no finite logit"):
        run(end, banned)
    with refused(ValueError, "logits contains no finite logit"):
        run(end, banned[2], top_k=3)
    assert run(end, banned, on_error="status")[1].tolist() == [0, 0, fl.Status.NO_FINITE]
    assert run(end, banned[2], on_error="status")[1] is fl.Status.NO_FINITE


@pytest.mark.parametrize("end", ENDS)
def test_nan_under_a_mask_is_an_error(isa: str, end: str) -> None:
    row = np.array([1.0, NAN, 2.0], np.float32)
    with refused(ValueError, "logits contains NaN"):
        run(end, row, mask=[True, False, True])
    with refused(ValueError, "logits contains NaN"):
        run(end, row, logit_bias={1: -INF})


@pytest.mark.parametrize("end", ENDS)
def test_a_step_that_makes_inf_is_named(isa: str, end: str) -> None:
    large = np.array([[1.0, 2.0], [1e308, 0.0]])
    for keywords, name in (
        ({"temperature": 1e-3}, "temperature"),
        ({"logit_bias": {0: 1.7e308}}, "logit_bias"),
        ({"repetition_penalty": 1e-5, "context": [0]}, "repetition_penalty"),
        ({"frequency_penalty": -1.7e308, "context": [0]}, "frequency_penalty"),
        ({"presence_penalty": -1.7e308, "context": [0]}, "presence_penalty"),
    ):
        with refused(ValueError, "logits[1] exceeds the finite range in " + name):
            run(end, large, **keywords)
        _, states = run(end, large, on_error="status", **keywords)
        assert states.tolist() == [0, fl.Status.STEP_INF]


def test_a_step_that_cannot_raise_is_not_named(isa: str) -> None:
    """What exceeds float32 at the end is the work of a step that scaled or added, not of a ban or cut behind it."""
    row = np.array([1.0, 3e38, 0.0, -1.0], np.float32)
    doubling = fl.steps.RepetitionPenalty(0.5)
    for last in (fl.steps.SuppressTokens([0]), fl.steps.NoRepeatNgram(2), fl.steps.Mask([True] * 4),
                 fl.steps.Smoothing(0.5), fl.steps.TopK(2), fl.steps.Dry(1.0)):  # fmt: skip
        with refused(ValueError, "logits exceeds the finite range in repetition_penalty (step 0)"):
            fl.Sampler(doubling, last).filter_logits(row, context=[1])


@pytest.mark.parametrize("end", ENDS)
def test_everything_banned(isa: str, end: str) -> None:
    batch = np.ones((2, 3), np.float32)
    masks = np.array([[True, False, True], [False] * 3])
    with refused(ValueError, "logits[1] has no token left after mask"):
        run(end, batch, mask=masks)
    with refused(ValueError, "logits has no token left after logit_bias"):
        run(end, batch[0], logit_bias=dict.fromkeys(range(3), -INF))
    assert run(end, batch, mask=masks, on_error="status")[1].tolist() == [0, fl.Status.ALL_BANNED]


@pytest.mark.parametrize("end", ENDS)
def test_context_outside_the_row(isa: str, end: str) -> None:
    batch = np.ones((2, 4), np.float32)
    for bad in (4, -1, 50000):
        with refused(ValueError, f"context[1]: token id {bad} must be in [0, 4)"):
            run(end, batch, repetition_penalty=1.2, context=[[0, 1], [2, bad]])
        with refused(ValueError, f"context: token id {bad} must be in [0, 4)"):
            run(end, batch[0], frequency_penalty=1.2, context=[bad])
    _, states = run(end, batch, presence_penalty=1.0, context=[[4], [1]], on_error="status")
    assert states.tolist() == [fl.Status.BAD_TOKEN, 0]


@pytest.mark.parametrize("end", ENDS)
def test_minus_inf_is_a_ban(isa: str, end: str) -> None:
    row = np.array([-INF, 1.0, -INF, 2.0], np.float32)
    assert fl.candidates(row).ids.tolist() == [3, 1]
    assert fl.probs(row)[[0, 2]].tolist() == [0, 0]
    assert fl.filter_logits(row).tolist() == row.tolist()
    assert {fl.sample(row, rng=seed) for seed in range(50)} == {1, 3}


# ---- contents of a row: array functions ----------------------------------------------------------------------------


SPECIAL = [
    [NAN, 0.0, 1.0], [0.0, NAN, INF], [INF, 0.0, 1.0], [INF, INF, 0.0], [-INF, -INF, -INF], [-INF, 0.0, 1.0],
    [-INF, INF, 0.0], [1.0, 0.0, -INF],
]  # fmt: skip


@pytest.mark.parametrize("row", SPECIAL, ids=str)
@by_name
@pytest.mark.parametrize("n", [3, 100])
def test_special_values_as_scipy(isa: str, row: list[float], dtype: Any, n: int) -> None:
    x = np.concatenate([np.full(n - 3, -2.0), row]).astype(dtype) if -INF not in row[:1] else np.array(row, dtype)
    wide = x.astype(np.float64)
    tolerance: dict[str, Any] = {"rtol": {"float16": 2e-3, "bfloat16": 8e-3}.get(dtype.name, 1e-6), "atol": 1e-6}
    with np.errstate(invalid="ignore"):
        for name in ("softmax", "log_softmax", "logsumexp"):
            right = getattr(scipy.special, name)(wide)
            np.testing.assert_allclose(np.asarray(getattr(fl, name)(x), np.float64), right, **tolerance)
    assert fl.argmax(x) == np.argmax(x)


def test_top_k_sorts_nan_first(isa: str) -> None:
    x = np.array([1.0, NAN, INF, -INF, NAN, 2.0], np.float32)
    values, indices = fl.top_k(x, 6)
    assert indices.tolist() == [1, 4, 2, 5, 0, 3] == reference.top_k(x, 6).indices.tolist()
    np.testing.assert_array_equal(values, x[indices])


# ---- out= ----------------------------------------------------------------------------------------------------------


OUT = ["softmax", "log_softmax", "probs", "filter_logits"]


@pytest.mark.parametrize("name", OUT)
def test_out_is_checked_before_anything_is_written(name: str) -> None:
    function = getattr(fl, name)
    x = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32)
    locked = np.full_like(x, 9.0)
    locked.flags.writeable = False
    wide = np.full((6, 80), 9.0, np.float32)
    repeated = np.lib.stride_tricks.as_strided(wide, x.shape, (0, 4))
    for out, error, words in (
        (np.full((6, 40), 9.0), TypeError, "out must have dtype float32, got float64"),
        (np.full((6, 41), 9.0, np.float32), ValueError, "out must have shape (6, 40), got (6, 41)"),
        (locked, ValueError, "out must be writeable"),
        ([0.0] * 40, TypeError, "out must be an ndarray or a torch CPU tensor, got list"),
        (repeated, ValueError, "out must not hold one element in several places"),
    ):
        with refused(error, words):
            function(x, out=out)
        assert np.all(np.asarray(out)[..., :5] == np.asarray(out).flat[0])
    memory = np.zeros(6 * 40 + 1, np.float32)
    before, behind = memory[:-1].reshape(6, 40), memory[1:].reshape(6, 40)
    before[...] = x
    kept = memory.copy()
    with refused(ValueError, "out must be the input itself or not overlap it"):
        function(before, out=behind)
    with refused(ValueError, "out must be the input itself or not overlap it"):
        function(before, out=before[::-1])
    np.testing.assert_array_equal(memory, kept)


def test_out_of_sample() -> None:
    batch = np.zeros((4, 5))
    for out, error in (
        (np.zeros(4, np.int32), TypeError),
        (np.zeros(5, np.int64), ValueError),
        (np.zeros((), np.int64), ValueError),
    ):
        with pytest.raises(error, match="out must have"):
            fl.sample(batch, rng=7, out=out)


@pytest.mark.parametrize("end", ["probs", "filter_logits"])
def test_a_bad_row_of_out_stays_unwritten(isa: str, end: str) -> None:
    x = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    x[1, 7] = NAN
    for keywords in ({}, {"top_k": 3}, {"top_p": 0.9}):
        out = np.full_like(x, 9.0)
        with pytest.raises(ValueError, match="contains NaN"):
            run(end, x, out=out, **keywords)
        assert (out[1] == 9.0).all()


# ---- what a refused call leaves behind -----------------------------------------------------------------------------


def test_no_word_is_spent_on_refused_arguments() -> None:
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    for keywords in ({"top_p": 95}, {"context": [0.5]}, {"position": 0.5}, {"threads": -1}, {"logprobs": -1}):
        with pytest.raises((TypeError, ValueError)):
            fl.sample(ROW, rng=rng, **keywords)
    with pytest.raises(TypeError):
        fl.sample(np.zeros(3, complex), rng=rng)
    assert rng.bit_generator.state == before
    fl.sample(ROW, rng=rng)
    assert rng.bit_generator.state != before


def test_nothing_writes_to_the_logits() -> None:
    x = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    kept = x.copy()
    keywords: dict[str, Any] = {"logit_bias": {1: 5.0, 2: -INF}, "context": [1, 2, 3], "repetition_penalty": 1.5}
    for end in ENDS:
        run(end, x, temperature=0.5, top_k=4, **keywords)
    np.testing.assert_array_equal(x, kept)
