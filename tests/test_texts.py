"""Figures of whole texts and the windows of long ones."""

from __future__ import annotations

import math
import pickle
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastlogits as fl
from fastlogits import reference

FIGURES = ["loglikelihood", "perplexity", "bits_per_token", "bits_per_byte", "byte_perplexity", "word_perplexity"]
FIGURES += ["accuracy", "is_greedy"]
TEXT = "Größe  und\nWort"


def tokens(n: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"logprobs": -rng.exponential(size=n), "greedy": rng.random(n) < 0.5, "mask": rng.random(n) < 0.8}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_twin(dtype: str) -> None:
    kind = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    for shape in ((1,), (7,), (3, 5), (2, 3, 4)):
        given_ = {name: value.reshape(shape) for name, value in tokens(math.prod(shape)).items()}
        given_["mask"].flat[0] = True
        values = given_.pop("logprobs").astype(kind)
        score = fl.score_text(values, **given_, text=TEXT)
        twin = reference.score_text(values, **given_, text=TEXT)
        assert (score.tokens, score.words, score.bytes) == (twin.tokens, 3, 17) == (twin.tokens, twin.words, twin.bytes)
        assert score.loglikelihood == twin.loglikelihood
        for name in FIGURES:
            assert getattr(score, name) == pytest.approx(getattr(twin, name), rel=1e-15), name
        assert fl.perplexity(values) == pytest.approx(reference.perplexity(values), rel=1e-15)


@given(st.integers(1, 50), st.integers(0, 2**32 - 1), st.integers(1, 9), st.randoms(use_true_random=False))
def test_equal_bits_for_any_chunks(n: int, seed: int, size: int, order: Any) -> None:
    every = tokens(n, seed)
    whole = fl.score_text(**every, words=5, bytes=31)
    parts = [
        fl.score_text(**{name: value[i : i + size] for name, value in every.items()}, words=0, bytes=0)
        for i in range(0, n, size)
    ]
    parts[0] += fl.score_text([], greedy=[], words=5, bytes=31)
    order.shuffle(parts)
    assert reduce(add, parts, fl.TextScore()) == sum(parts[1:], parts[0]) == whole
    assert pickle.loads(pickle.dumps(whole)) == whole


def test_vectors() -> None:
    """By hand: two tokens of probability 1/2 and 1/8 in a text of two words and four bytes."""
    score = fl.score_text(np.log([0.5, 0.125]), greedy=[True, False], words=2, bytes=4)
    found = [getattr(score, name) for name in FIGURES]
    np.testing.assert_allclose(found, [-4 * math.log(2), 4, 2, 1, 2, 4, 0.5, 0], rtol=1e-15)
    assert score.is_greedy is False
    assert fl.score_text([-1.0], greedy=[True]).is_greedy is True


def test_example_of_torchmetrics() -> None:
    """Its seeded documentation example, 5.8540: torch's uniform floats and integers are words of MT19937."""
    generator: Any = np.random.MT19937()
    generator._legacy_seeding(42)
    words = generator.random_raw(96)
    logits = ((words[:80] % 2**24) * 2.0**-24).reshape(2, 8, 5).astype(np.float32)
    targets = (words[80:] % 5).astype(np.int64).reshape(2, 8)
    mask = np.ones((2, 8), np.bool_)
    mask[0, 6:] = False
    scores = fl.token_logprobs(logits.reshape(16, 5), targets.ravel()).logprobs.reshape(2, 8)
    assert fl.perplexity(scores, mask=mask) == pytest.approx(5.8540, abs=5e-5)


def test_zero_probability() -> None:
    score = fl.score_text([-math.inf, -1.0], bytes=2)
    assert score.loglikelihood == -math.inf
    assert score.perplexity == score.byte_perplexity == score.bits_per_token == math.inf
    assert fl.perplexity([-1e4]) == math.inf
    assert fl.perplexity([0.0]) == 1.0


def test_log_probs_near_the_largest_double() -> None:
    """A sum beyond the range is infinite, in completions too."""
    x = np.array([[1.7e308, 0.0]] * 2)
    for library in (fl, reference):
        assert library.perplexity([-1.7e308, -1.7e308]) == np.inf
        assert library.score_text([-1.7e308, -1.7e308]).loglikelihood == -np.inf
    assert fl.score_completions(x, [[1, 1]]).logprobs.tolist() == [-np.inf]


def test_nothing_to_count() -> None:
    for empty in (fl.TextScore(), fl.score_text([]), fl.score_text([np.nan], mask=[False])):
        assert empty.loglikelihood == 0
        with pytest.raises(ValueError, match="the text holds no token"):
            _ = empty.perplexity
    with pytest.raises(ValueError, match="the text holds no token"):
        fl.perplexity(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="the text holds no token, so it has no accuracy"):
        _ = fl.score_text([], greedy=[]).accuracy
    assert fl.score_text([], greedy=[]).is_greedy
    with pytest.raises(ValueError, match="the text holds no byte"):
        _ = fl.score_text([-1.0], bytes=0).bits_per_byte
    with pytest.raises(ValueError, match=r"words were not counted: call score_text with words= or text="):
        _ = fl.score_text([-1.0]).word_perplexity
    with pytest.raises(ValueError, match="hits were not counted"):
        _ = fl.score_text([-1.0]).is_greedy


def test_counts_of_one_text_only() -> None:
    with pytest.raises(ValueError, match="bytes were counted in one of two texts"):
        fl.score_text([-1.0], bytes=3) + fl.score_text([-1.0])
    assert (fl.TextScore() + fl.score_text([-1.0], words=3)).words == 3
    with pytest.raises(TypeError):
        fl.TextScore() + 1  # type: ignore[operator]


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        ({"logprobs": [-1.0, np.nan]}, ValueError, r"logprobs\[1\] must be <= 0, got nan; leave tokens out by mask="),
        ({"logprobs": [[-1.0], [0.5]]}, ValueError, r"logprobs\[1, 0\] must be <= 0, got 0.5"),
        ({"logprobs": [-1, -2]}, TypeError, "logprobs must be float32, float16, bfloat16 or float64, got dtype int64"),
        ({"mask": [1, 0]}, TypeError, "mask must be bools, got dtype int64"),
        ({"mask": [True]}, ValueError, r"mask must have the shape of logprobs, \(2,\), got \(1,\)"),
        ({"greedy": [[True, True]]}, ValueError, r"greedy must have the shape of logprobs"),
        ({"words": -1}, ValueError, "words must be an integer >= 0, got -1"),
        ({"bytes": 1.5}, TypeError, "bytes must be an integer >= 0, got 1.5"),
        ({"bytes": True}, TypeError, "bytes must be an integer >= 0, got True"),
        ({"text": b"ab"}, TypeError, "text must be a str, got bytes"),
        ({"text": "ab", "words": 1}, ValueError, "text comes with words or bytes"),
    ],
)
def test_refusals(wanted: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fl.score_text(**{"logprobs": [-1.0, -2.0], **wanted})


@given(st.integers(0, 200), st.integers(1, 60), st.data())
def test_windows_count_each_row_once(rows: int, length: int, data: st.DataObject) -> None:
    stride = data.draw(st.one_of(st.none(), st.integers(1, length)))
    windows = fl.sliding_windows(rows, length, stride=stride)
    assert [tuple(w) for w in windows] == reference.sliding_windows(rows, length, stride=stride)
    counted = [row for w in windows for row in range(w.end)[w.counted]]
    assert counted == list(range(rows))
    for number, window in enumerate(windows):
        assert window.end - window.begin == min(length, rows)
        assert list(range(window.begin, window.end))[window.own] == list(range(rows))[window.counted]
        if number and number < len(windows) - 1:
            assert window.end - window.first == (stride or length)


def test_windows_of_lm_evaluation_harness() -> None:
    """Its own vectors: the last token of each input and the tokens predicted, max_seq_len 10, context_len 1 and 5."""
    found = fl.sliding_windows(34, 10)
    assert [(w.first, w.end) for w in found] == [(0, 10), (10, 20), (20, 30), (30, 34)]
    assert [w.begin for w in found] == [0, 10, 20, 24]
    found = fl.sliding_windows(34, 10, stride=6)
    assert [(w.begin, w.first, w.end) for w in found] == [
        (0, 0, 10),
        (6, 10, 16),
        (12, 16, 22),
        (18, 22, 28),
        (24, 28, 34),
    ]


def test_scored_window_by_window() -> None:
    """A model whose rows do not depend on the context: windows give what the whole text gives."""
    every = -np.random.default_rng(1).exponential(size=101)
    parts = [fl.score_text(every[w.begin : w.end][w.own]) for w in fl.sliding_windows(101, 16, stride=5)]
    assert reduce(add, parts) == fl.score_text(every)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((-1, 4, None), ValueError, "rows must be an integer >= 0, got -1"),
        ((4, 0, None), ValueError, "length must be an integer >= 1, got 0"),
        ((4, 4, 0), ValueError, "stride must be an integer >= 1, got 0"),
        ((4, 4, 5), ValueError, r"stride must be in \[1, 4\], got 5: rows between the windows"),
        ((4.0, 4, None), TypeError, "rows must be an integer >= 0, got 4.0"),
        ((True, 4, None), TypeError, "rows must be an integer >= 0, got True"),
    ],
)
def test_window_refusals(arguments: tuple[Any, Any, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fl.sliding_windows(arguments[0], arguments[1], stride=arguments[2])


def test_results_as_logprobs() -> None:
    """Rows that were ignored or bad hold NaN in a result, and do not count."""
    x = np.random.default_rng(2).normal(size=(6, 9)).astype(np.float32)
    targets = np.array([0, 3, -100, 5, -100, 8])
    x[3, 2] = np.nan
    found, _ = fl.token_logprobs(x, targets, argmax=True, on_error="status")
    counts = ~np.isnan(found.logprobs)
    assert counts.sum() == 3
    right = fl.score_text(found.logprobs, greedy=found.greedy, mask=counts)
    assert fl.score_text(found) == right
    assert fl.perplexity(found) == right.perplexity
    assert reference.perplexity(found) == pytest.approx(right.perplexity)
    first = np.arange(6) < 2
    assert fl.score_text(found, mask=first) == fl.score_text(found.logprobs, greedy=found.greedy, mask=first)
    assert fl.score_text(found, greedy=~found.greedy).hits == np.count_nonzero(~found.greedy[counts])
    drawn, _ = fl.sample(x, rng=1, logprobs=0, on_error="status")
    assert fl.perplexity(drawn) == fl.perplexity(drawn.logprobs[np.arange(6) != 3])
    one = fl.token_logprobs(x[0], 1)
    assert fl.perplexity(one) == pytest.approx(np.exp(-one.logprobs))
    with pytest.raises(ValueError, match="or pass the whole TokenLogprobs"):
        fl.perplexity(found.logprobs)
    with pytest.raises(ValueError, match="the text holds no token"):
        fl.perplexity(fl.token_logprobs(x[:2], [-100, -100]))
