"""Steps that name tokens, many of them by what stands before: vectors of other systems, places, bad input."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits import reference, steps

INF = float("inf")
LN2 = float(np.log(2.0))
WORDS = [[1], [4], [1, 0], [0, 1, 2], [1, 3, 1, 3]]
FLOAT_MAX = float(np.finfo(np.float32).max)
BIASES: dict[Any, float] = {(1,): 100.0, (4,): 100.0, (1, 0): -100.0, (0, 1, 2): -100.0, (1, 3, 1, 3): -100.0}


def test_sequence_bias_vector(isa: str) -> None:
    """The test of transformers."""
    context = [[0, 1, 3, 1], [0, 1, 0, 1]]
    expected = [[-100, 100, 0, -100, 100], [-100, 100, -100, 0, 100]]
    for bias in (BIASES, [[list(ids), value] for ids, value in BIASES.items()], [BIASES, BIASES]):
        got = fl.filter_logits(np.zeros((2, 5), np.float32), sequence_bias=bias, context=context)
        np.testing.assert_array_equal(got, expected)


def test_whole_context_is_a_prefix() -> None:
    row, bias = np.zeros(4, np.float32), {(1, 2, 3): 1.0, (2, 3): 1.0, (0, 1, 2, 3): 1.0}
    assert fl.filter_logits(row, sequence_bias=bias, context=[1, 2]).tolist() == [0, 0, 0, 2]
    assert fl.filter_logits(row, sequence_bias=bias).tolist() == [0, 0, 0, 0]


def test_rows_of_their_own() -> None:
    bias: list[Any] = [{(0,): 1.0}, None, {(1, 0): 2.0, (2,): -INF}]
    got = fl.filter_logits(np.zeros((3, 3), np.float32), sequence_bias=bias, context=[1])
    np.testing.assert_array_equal(got, [[1, 0, 0], [0, 0, 0], [2, 0, -INF]])
    np.testing.assert_array_equal(got, reference.filter_logits(np.zeros((3, 3)), sequence_bias=bias, context=[1]))


def test_behind_a_cut(isa: str) -> None:
    """What the cut removed stays removed."""
    row = np.array([3.0, 2.0, 1.0, 0.0], np.float32)
    sampler = fl.Sampler(steps.TopK(2), steps.SequenceBias({(3, 1): 5.0, (2,): 9.0}))
    np.testing.assert_array_equal(sampler.filter_logits(row, context=[3]), [3, 7, -INF, -INF])


@pytest.mark.parametrize(("bias", "words"), [
    ({(): 1.0}, "sequence_bias: a sequence must hold at least one token id"),
    ({(1, -2): 1.0}, r"sequence_bias: token id -2 must be in \[0, V\)"),
    ({(1,): INF}, r"sequence_bias: bias of \(1,\) must be finite or -inf, got inf"),
    ([[[1], 1.0], [[1], 2.0]], r"sequence_bias: sequence \(1,\) is given more than once"),
    ([None, {(7, 9): 1.0}], r"sequence_bias: token id 7 must be in \[0, 4\) \(row 1\)"),
    ([{}, {}, {}], "sequence_bias holds biases of 3 rows, logits have 2"),
])  # fmt: skip
def test_bad_sequence_bias(bias: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.probs(np.zeros((2, 4)), sequence_bias=bias)


@pytest.mark.parametrize("bias", [3, [3], {(1,): "a"}, {(1.5,): 1.0}, [[[1], 2.0, 3.0]]])
def test_wrong_type_of_sequence_bias(bias: Any) -> None:
    with pytest.raises(TypeError, match="sequence_bias"):
        fl.Sampler(sequence_bias=bias)


#: (keywords, context, prompt_length, row, expected): the tests of transformers, or its rule by hand.
VECTORS: list[tuple[dict[str, Any], list[int], int, Any, Any]] = [
    ({"encoder_repetition_penalty": 2.0, "encoder_ids": [0, 1, 0]}, [], 0, [-0.1, 0.1, 0.0, 0.5], [-0.05, 0.2, 0, 0.5]),
    ({"bad_words_ids": WORDS}, [0, 1, 3, 1], 0, [0] * 5, [-INF, -INF, 0, -INF, -INF]),
    ({"bad_words_ids": WORDS}, [0, 1, 0, 1], 0, [0] * 5, [-INF, -INF, -INF, 0, -INF]),
    ({"bad_words_ids": [[1, 0], [3, 1, 2]], "bad_words_output_only": True}, [3, 1], 1, [0] * 4, [-INF, 0, 0, 0]),
    ({"suppress_tokens": [1, 2, 1]}, [], 0, [0] * 4, [0, -INF, -INF, 0]),
    ({"begin_suppress_tokens": [1, 2], "begin_index": 2}, [3, 3], 0, [0] * 4, [0, -INF, -INF, 0]),
    ({"begin_suppress_tokens": [1, 2], "begin_index": 2}, [3, 3, 3], 0, [0] * 4, [0] * 4),
    ({"begin_suppress_tokens": [1, 2]}, [3, 3, 3], 3, [0] * 4, [0, -INF, -INF, 0]),
    ({"begin_suppress_tokens": [1, 2]}, [3, 3, 3], 2, [0] * 4, [0] * 4),
    ({"allowed_token_ids": [1, 3]}, [], 0, [5, 1, 2, 3], [-INF, 1, -INF, 3]),
    ({"forced_bos_token_id": 0}, [2], 0, [-5, 1, 2, 3], [0, -INF, -INF, -INF]),
    ({"forced_bos_token_id": 0}, [2, 2], 0, [-5, 1, 2, 3], [-5, 1, 2, 3]),
    ({"forced_bos_token_id": 0}, [], 0, [-5, 1, 2, 3], [-5, 1, 2, 3]),
    ({"forced_eos_token_id": 0, "max_length": 5}, [1] * 4, 0, [-5, 1, 2, 3], [0, -INF, -INF, -INF]),
    ({"forced_eos_token_id": [0, 2], "max_length": 5}, [1] * 4, 0, [-5, 1, 2, 3], [0, -INF, 0, -INF]),
    ({"forced_eos_token_id": 0, "max_length": 5}, [1] * 3, 0, [-5, 1, 2, 3], [-5, 1, 2, 3]),
    ({"min_length": 10, "eos_token_id": 0}, [1] * 5, 0, [1] * 4, [-INF, 1, 1, 1]),
    ({"min_length": 10, "eos_token_id": [0, 2]}, [1] * 9, 0, [1] * 4, [-INF, 1, -INF, 1]),
    ({"min_length": 10, "eos_token_id": 0}, [1] * 15, 0, [1] * 4, [1] * 4),
    ({"min_new_tokens": 3, "eos_token_id": 0}, [1] * 17, 15, [1] * 4, [-INF, 1, 1, 1]),
    ({"min_new_tokens": 3, "eos_token_id": 0}, [1] * 18, 15, [1] * 4, [1] * 4),
    ({"exponential_decay_length_penalty": (5, 1.1), "eos_token_id": 0}, [1] * 7, 5, [2, 1, 1, 1], [2, 1, 1, 1]),
    ({"exponential_decay_length_penalty": (5, 1.1), "eos_token_id": 0}, [1] * 12, 5, [2, 1], [2 * 1.1**2, 1]),
    ({"exponential_decay_length_penalty": (5, 1.1), "eos_token_id": 0}, [1] * 12, 5, [-2, 1], [-1.58, 1]),
    ({"exponential_decay_length_penalty": (0, 9.0), "eos_token_id": 0}, [1] * 900, 0, [1, 1], [np.exp(69.0), 1]),
    ({"exponential_decay_length_penalty": (0, 2.0), "eos_token_id": [0, 1]}, [1], 0, [-INF, 1, 3], [-INF, 2, 3]),
    ({"remove_invalid_values": True}, [], 0, [0, 0.7, 0.8, np.nan], [0, 0.7, 0.8, 0]),
    ({"remove_invalid_values": True}, [], 0, [0.1, INF, 0.3, -INF], [0.1, FLOAT_MAX, 0.3, -FLOAT_MAX]),
    ({"renormalize_logits": True}, [], 0, [1, 1, -INF], [-LN2, -LN2, -INF]),
    ({"renormalize_logits": True, "top_k": 2, "temperature": 0.5}, [], 0, [1, 1, 0], [-LN2, -LN2, -INF]),
]  # fmt: skip


@pytest.mark.parametrize(("keywords", "context", "prompt_length", "row", "expected"), VECTORS)
def test_vectors(isa: str, keywords: Any, context: Any, prompt_length: int, row: Any, expected: Any) -> None:
    inputs = keywords | {"context": context, "prompt_length": prompt_length}
    got = fl.filter_logits(np.array(row, np.float32), **inputs)
    np.testing.assert_allclose(got, expected, rtol=3e-7)
    twin = reference.filter_logits(np.array(row, np.float32), **inputs)
    np.testing.assert_allclose(got, twin, rtol=3e-7)


def test_tokens_of_each_row() -> None:
    """One list per row, None where a row has none."""
    row = np.zeros((3, 6), np.float32)
    for keywords in (
        {"suppress_tokens": [[0], None, [1, 2]]},
        {"allowed_token_ids": [[0], None, [1, 5]]},
        {"bad_words_ids": [[[4]], None, [[3, 1], [2]]]},
        {"forced_bos_token_id": [[1], None, [2, 3]]},
        {"min_length": [0, 2, 1], "eos_token_id": [[1], [2], [3]]},
        {"encoder_repetition_penalty": 2.0, "encoder_ids": np.array([[0], [1], [2]])},
        {"exponential_decay_length_penalty": ([0, 1, 0], 2.0), "eos_token_id": [[1], [2], [3]]},
        {"renormalize_logits": [True, False, True]},
    ):
        given: dict[str, Any] = keywords
        got = fl.filter_logits(row + 1, context=[3], **given)
        np.testing.assert_allclose(got, reference.filter_logits(row + 1, context=[3], **given), rtol=3e-7)
        each = [{k: v[r] if isinstance(v, list) else v for k, v in given.items()} for r in range(3)]
        if "encoder_ids" not in given and "exponential_decay_length_penalty" not in given:
            for r in range(3):
                np.testing.assert_array_equal(got[r], fl.filter_logits(row[r] + 1, context=[3], **each[r]))


def test_forcing_undoes_what_came_before() -> None:
    row = np.array([1.0, -INF, 3.0], np.float32)
    for before in (steps.SuppressTokens([1]), steps.TopK(1), steps.Mask([True, False, False]), steps.Greedy()):
        sampler = fl.Sampler(before, steps.ForcedBosToken(1), steps.Temperature(0.5))
        assert sampler.filter_logits(row, context=[2]).tolist() == [-INF, 0, -INF]
        assert sampler.sample(row, context=[2]) == 1
    behind = fl.Sampler(steps.ForcedBosToken([1, 2]), steps.LogitBias({2: -1.0}))
    assert behind.filter_logits(row, context=[2]).tolist() == [-INF, 0, -1]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_invalid_values(isa: str, dtype: Any) -> None:
    """Of any type, anywhere in a row, contiguous or not; rows without them stay as they are, and the input too."""
    wide = np.zeros((3, 700, 3), dtype)
    rows = wide[:, :, 1]
    rows[:] = np.random.default_rng(5).normal(size=(3, 700))
    rows[1, [3, 600]], rows[2, [0, 699]] = [np.nan, -INF], [INF, np.nan]
    came = rows.copy()
    sampler = fl.Sampler(remove_invalid_values=True)
    expected = np.nan_to_num(came, nan=0.0)
    np.testing.assert_array_equal(sampler.filter_logits(rows), expected)
    np.testing.assert_array_equal(rows, came)
    assert sampler.candidates(rows).offsets.tolist() == [0, 700, 1400, 2100]
    assert fl.Sampler(remove_invalid_values=True, top_k=1).sample(rows).tolist() == expected.argmax(1).tolist()
    with pytest.raises(ValueError, match=r"logits\[1\] contains NaN"):
        fl.Sampler(remove_invalid_values=[True, False, True]).probs(rows)
    scored = sampler.sample(rows[1], rng=3, logprobs=2)
    np.testing.assert_allclose(scored.logprobs, scored.raw_logprobs)
    assert [step.name for step in sampler.explain(rows[1]).steps] == ["remove_invalid_values"]


@pytest.mark.parametrize("keywords", [
    {}, {"temperature": 0.7}, {"top_p": 0.99}, {"top_k": 40}, {"min_p": 1e-4}, {"suppress_tokens": [5, 6]},
    {"logit_bias": {3: 9.0}, "temperature": 3.0}, {"mask": [True] * 900}, {"epsilon_cutoff": 1e-4},
])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_renormalised(isa: str, keywords: Any, dtype: Any) -> None:
    """What filter_logits and candidates tell are the log-probs of what is drawn from; the rest is as ever."""
    row = (np.random.default_rng(8).normal(size=1000) * 3).astype(dtype)
    plain = fl.candidates(row, **keywords)
    told = fl.candidates(row, renormalize_logits=True, **keywords)
    np.testing.assert_array_equal(told.logits, plain.logprobs)
    np.testing.assert_array_equal(told.logprobs, plain.logprobs)
    logits = np.asarray(fl.filter_logits(row, renormalize_logits=True, **keywords), np.float64)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(logits[plain.ids], plain.logprobs, rtol=max(eps, 2e-7), atol=max(eps, 5e-7))
    assert np.isneginf(np.delete(logits, plain.ids)).all()
    np.testing.assert_array_equal(
        fl.probs(row, renormalize_logits=True, **keywords), fl.probs(row, **keywords), strict=True
    )


def test_renormalised_before_a_penalty() -> None:
    """Anywhere but at the end it is a step as any other: transformers' repetition penalty with ``normalize=True``."""
    row = np.random.default_rng(9).normal(size=300)
    sampler = fl.Sampler(steps.RenormalizeLogits(), steps.RepetitionPenalty(1.5))
    scores = reference.log_softmax(row)
    scores[[2, 5]] *= 1.5
    np.testing.assert_allclose(sampler.filter_logits(row, context=[2, 5, 2]), scores, rtol=1e-12)


def test_everything_banned() -> None:
    """The message names the row, and every step that bans."""
    rows = np.zeros((2, 3), np.float32)
    sampler = fl.Sampler(
        steps.SuppressTokens([[], [0]]), steps.Temperature(0.5), steps.LogitBias({2: 1.0}),
        steps.MinLength(5, [2]), steps.BadWords([[1, 0], [1]]),
    )  # fmt: skip
    words = (
        r"logits\[1\] has no token left after bad_words \(step 4\): banned by suppress_tokens \(step 0\), "
        r"min_length \(step 3\), bad_words \(step 4\)$"
    )
    for end in (sampler.sample, sampler.probs, sampler.candidates):
        with pytest.raises(ValueError, match=words):
            end(rows)
        with pytest.raises(ValueError, match=words):
            end(np.tile(rows, (1, 1)), threads=2)
    with pytest.raises(ValueError, match=r"logits has no token left after allowed_tokens \(step 0\)$"):
        fl.probs([-INF, 0.0], allowed_token_ids=[0])
    behind = fl.Sampler(steps.Mask([True, True, False]), steps.TopK(1), steps.SuppressTokens([0]))
    words = r"after suppress_tokens \(step 2\): banned by mask \(step 0\), suppress_tokens \(step 2\)$"
    with pytest.raises(ValueError, match=words):
        behind.sample([0.0, 0.0, 0.0])
    ids, status = sampler.sample(rows, on_error="status", rng=1)
    assert ids.tolist() == [0, -1]
    assert status.tolist() == [0, fl.Status.ALL_BANNED]


@pytest.mark.parametrize(("keywords", "words"), [
    ({"suppress_tokens": [1, 4]}, r"suppress_tokens: token id 4 must be in \[0, 4\)$"),
    ({"suppress_tokens": [[1], [2, -1]]}, r"suppress_tokens: token id -1 must be in \[0, V\) \(row 1\)"),
    ({"suppress_tokens": [[1], [9]]}, r"suppress_tokens: token id 9 must be in \[0, 4\) \(row 1\)"),
    ({"suppress_tokens": [[1]] * 3}, "suppress_tokens holds biases of 3 rows, logits have 2"),
    ({"begin_suppress_tokens": [4]}, r"begin_suppress_tokens: token id 4 must be in \[0, 4\)"),
    ({"begin_suppress_tokens": [1], "begin_index": -1}, "begin_index must be an integer >= 0, got -1"),
    ({"bad_words_ids": [[1], []]}, "bad_words_ids: a sequence must hold at least one token id"),
    ({"bad_words_ids": [[1], [2, 7]]}, r"bad_words_ids: token id 7 must be in \[0, 4\)"),
    ({"bad_words_ids": [None, [[2, 7]]]}, r"bad_words_ids: token id 7 must be in \[0, 4\) \(row 1\)"),
    ({"encoder_repetition_penalty": 0.0}, "encoder_repetition_penalty must be finite and > 0, got 0"),
    ({"encoder_repetition_penalty": 2.0}, "encoder_repetition_penalty needs encoder_ids"),
    ({"encoder_no_repeat_ngram_size": [0, 2]}, "encoder_no_repeat_ngram_size needs encoder_ids"),
    ({"encoder_repetition_penalty": 2.0, "encoder_ids": [8]}, r"encoder_ids: token id 8 must be in \[0, 4\)"),
    ({"allowed_token_ids": []}, "allowed_token_ids must hold at least one token id, got none$"),
    ({"allowed_token_ids": [[1], []]}, r"allowed_token_ids must hold at least one token id, got none \(row 1\)"),
    ({"allowed_token_ids": [1, 8]}, r"allowed_token_ids: token id 8 must be in \[0, 4\)"),
    ({"forced_bos_token_id": 4}, r"forced_bos_token_id: token id 4 must be in \[0, 4\)"),
    ({"forced_eos_token_id": 1}, "forced_eos_token_id needs max_length"),
    ({"forced_eos_token_id": 1, "max_length": 0}, "max_length must be an integer >= 1, got 0"),
    ({"min_length": 3}, "min_length needs eos_token_id"),
    ({"min_length": 3, "eos_token_id": 4}, r"eos_token_id: token id 4 must be in \[0, 4\)"),
    ({"min_length": -3, "eos_token_id": 0}, "min_length must be an integer >= 0, got -3"),
    ({"min_new_tokens": [0, 1]}, "min_new_tokens needs eos_token_id"),
    ({"exponential_decay_length_penalty": (1, 1.1)}, "exponential_decay_length_penalty needs eos_token_id"),
    ({"exponential_decay_length_penalty": (1, 0.0), "eos_token_id": 1},
     "exponential_decay_length_penalty: factor must be finite and > 0, got 0"),
    ({"exponential_decay_length_penalty": (-1, 2.0), "eos_token_id": 1},
     "exponential_decay_length_penalty: start must be an integer >= 0, got -1"),
])  # fmt: skip
def test_bad_input(keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.probs(np.zeros((2, 4)), **keywords)


@pytest.mark.parametrize("keywords", [
    {"suppress_tokens": [1.5]}, {"suppress_tokens": "ab"}, {"bad_words_ids": 3}, {"bad_words_ids": [3]},
    {"bad_words_output_only": 1}, {"allowed_token_ids": ["a"]}, {"eos_token_id": 1.0},
    {"eos_token_id": 1, "exponential_decay_length_penalty": 3}, {"remove_invalid_values": 1}, {"max_length": 2.0},
    {"renormalize_logits": "yes"}, {"forced_bos_token_id": True}, {"encoder_ids": {}},
])  # fmt: skip
def test_wrong_types(keywords: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(reversed(keywords))):
        fl.Sampler(**keywords)


def test_repairing_comes_first() -> None:
    with pytest.raises(ValueError, match="RemoveInvalidValues must be the first step"):
        fl.Sampler(steps.TopK(3), steps.RemoveInvalidValues())


def test_equal_and_picklable() -> None:
    sampler = fl.Sampler(
        bad_words_ids=[[1, 2]], suppress_tokens=[3], min_length=2, eos_token_id=1, forced_eos_token_id=1, max_length=4,
        exponential_decay_length_penalty=(2, 1.5), allowed_token_ids=[[1], None], sequence_bias={(1, 2): 0.5},
        encoder_repetition_penalty=1.5, encoder_ids=[1], renormalize_logits=True, remove_invalid_values=True,
    )  # fmt: skip
    again = pickle.loads(pickle.dumps(sampler))
    assert again == sampler
    assert repr(again) == repr(sampler)
    assert eval(repr(sampler).replace("Sampler", "fl.Sampler"), vars(steps) | {"fl": fl}) == sampler
