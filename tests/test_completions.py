"""Comparing completions: against the reference, shared prefixes, labels of one token, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastlogits as fl
from fastlogits import reference
from fastlogits._common import intake as _temperatures

NAN = float("nan")
Array = np.ndarray[Any, Any]

COMPLETIONS = [[5, 1, 7], [5, 1, 8], [9], [5, 2, 7, 7], [5, 1]]
TEXTS = ["a b c", "ä", "x", "lang", "ß€"]


def rows_of(completions: list[list[int]], n: int, seed: int, dtype: Any = np.float32) -> tuple[Array, list[Array]]:
    """A row for each distinct prefix [R, n], and the same rows by completion."""
    plan = fl.completion_prefixes(completions)
    x = (3 * np.random.default_rng(seed).normal(size=(len(plan.prefixes), n))).astype(dtype)
    return x, [x[rows] for rows in plan.rows]


def test_prefixes() -> None:
    plan = fl.completion_prefixes(COMPLETIONS)
    assert plan.prefixes == [(), (5,), (5, 1), (5, 2), (5, 2, 7)]
    assert [rows.tolist() for rows in plan.rows] == [[0, 1, 2], [0, 1, 2], [0], [0, 1, 3, 4], [0, 1]]
    twin = reference.completion_prefixes(COMPLETIONS)
    assert twin[0] == plan.prefixes
    assert [rows.tolist() for rows in twin[1]] == [rows.tolist() for rows in plan.rows]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("n", [10, 300, 5000])
def test_scores_equal_the_reference(isa: str, dtype: str, n: int) -> None:
    kind = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    tree, parts = rows_of(COMPLETIONS, n, n, kind)
    keywords: dict[str, Any] = {
        "texts": TEXTS,
        "unconditioned": np.linspace(-9, -5, 5),
        "content_free": -np.arange(10.0).reshape(2, 5),
        "temperature": 1.3,
    }
    right = reference.score_completions(tree.astype(np.float64), COMPLETIONS, **keywords)
    stacked = np.full((5, 6, n), NAN).astype(kind)
    for i, part in enumerate(parts):
        stacked[i, : len(part)] = part
    for form in (tree, parts, stacked):
        got = fl.score_completions(form, COMPLETIONS, **keywords)
        for name in right._fields:
            np.testing.assert_allclose(getattr(got, name), getattr(right, name), rtol=1e-6, atol=1e-6, err_msg=name)
        assert [len(each) for each in got.tokens] == [len(each) for each in COMPLETIONS]
        best = tree.astype(np.float64).argmax(-1)
        plan = fl.completion_prefixes(COMPLETIONS)
        greedy = [bool((best[r] == c).all()) for r, c in zip(plan.rows, COMPLETIONS, strict=True)]
        assert got.greedy.tolist() == greedy
        assert got.calibrated is not None
        assert np.exp(got.calibrated).sum() == pytest.approx(1)


def test_same_bits_in_every_form() -> None:
    tree, parts = rows_of(COMPLETIONS, 2000, 1)
    forms = [tree, parts, tuple(parts), [part.tolist() for part in parts]]
    found = {fl.score_completions(np.asarray(form) if form is tree else form, COMPLETIONS, threads=2).logprobs.tobytes()
             for form in forms[:3]}  # fmt: skip
    assert len(found) == 1
    np.testing.assert_allclose(fl.score_completions(forms[3], COMPLETIONS).logprobs, fl.score_completions(
        tree, COMPLETIONS).logprobs, rtol=1e-6)  # fmt: skip


def test_shared_prefixes_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tree, parts = rows_of(COMPLETIONS, 50, 2)
    read: list[int] = []
    tops = _temperatures.tops

    def counted(name: str, x: Array, *arguments: Any) -> Any:
        read.append(len(x))
        return tops(name, x, *arguments)

    monkeypatch.setattr(_temperatures, "tops", counted)
    fl.score_completions(parts, COMPLETIONS)
    assert sum(read) == len(tree)
    # What is not read may hold anything: the rows of a prefix scored before, and rows behind the last token.
    spoilt = [parts[0], np.full_like(parts[1], NAN), *parts[2:]]
    scores = fl.score_completions([np.vstack([p, np.full((2, 50), NAN, np.float32)]) for p in parts], COMPLETIONS)
    assert scores.logprobs.tobytes() == fl.score_completions(parts, COMPLETIONS).logprobs.tobytes()
    assert np.isfinite(fl.score_completions([spoilt[0], spoilt[0]], COMPLETIONS[:2]).logprobs).all()


def test_scores_as_priors() -> None:
    tree, _ = rows_of(COMPLETIONS, 40, 3)
    other = fl.score_completions(tree[::-1], COMPLETIONS)
    scores = fl.score_completions(tree, COMPLETIONS, unconditioned=other, content_free=[other, other.logprobs])
    assert scores.mutual_information is not None
    np.testing.assert_array_equal(scores.mutual_information, scores.logprobs - other.logprobs)
    alone = fl.score_completions(tree, COMPLETIONS, content_free=other)
    assert scores.calibrated is not None
    assert alone.calibrated is not None
    np.testing.assert_allclose(scores.calibrated, alone.calibrated, atol=1e-12)


def test_banned_token() -> None:
    scores = fl.score_completions([[[0.0, -np.inf]], [[0.0, -np.inf]]], [[1], [0]], content_free=[-1.0, -1.0])
    assert scores.logprobs.tolist() == [-np.inf, 0.0]
    assert scores.calibrated is not None
    assert scores.calibrated.tolist() == [-np.inf, 0.0]


@given(st.data())
def test_any_completions(data: st.DataObject) -> None:
    tokens = st.lists(st.integers(0, 3), min_size=1, max_size=5)
    completions = data.draw(st.lists(tokens, min_size=1, max_size=6))
    tree, parts = rows_of(completions, 4, len(completions), np.float64)
    got = fl.score_completions(parts, completions)
    np.testing.assert_allclose(got.logprobs, reference.score_completions(tree, completions).logprobs, rtol=1e-12)
    assert got.logprobs.tobytes() == fl.score_completions(tree, completions).logprobs.tobytes()


# ---- labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("normalize", [False, True])
def test_labels_equal_the_reference(isa: str, dtype: str, normalize: bool) -> None:
    kind = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    labels = [3, [5, 900, 5], (17,)]
    x = (4 * np.random.default_rng(5).normal(size=(2, 3, 1000))).astype(kind)
    before = x.tobytes()
    for rows in (x, x[0], x[0, 0]):
        for t in (1.0, 0.6):
            got = fl.label_logprobs(rows, labels, normalize=normalize, temperature=t)
            right = reference.label_logprobs(rows.astype(np.float64), labels, normalize=normalize, temperature=t)
            assert got.shape == (*rows.shape[:-1], 3)
            np.testing.assert_allclose(got, right, rtol=1e-6, atol=1e-7)
    assert x.tobytes() == before


def test_labels_far_below_the_top() -> None:
    """No underflow: 2,000 below the top, and banned."""
    row = np.array([2000.0, 0.0, 0.0, -np.inf], np.float32)
    assert fl.label_logprobs(row, [[1, 2], 3, 0]).tolist() == pytest.approx([-2000 + np.log(2), -np.inf, 0.0])
    assert fl.label_logprobs(row, [[1], [2, 3]], normalize=True).tolist() == pytest.approx([-np.log(2)] * 2)


# ---- what is refused ---------------------------------------------------------------------------------------------

GOOD = [np.zeros((2, 4), np.float32), np.zeros((1, 4), np.float32)]
IDS = [[1, 2], [3]]


@pytest.mark.parametrize(("logits", "completions", "keywords", "kind", "words"), [
    (GOOD, [], {}, ValueError, "completions must hold one completion at least"),
    (GOOD, [[1], []], {}, ValueError, r"completions\[1\] must hold one token at least"),
    (GOOD, [[1], [0.5]], {}, TypeError, r"completions\[1\]: token ids must be integers"),
    (GOOD, [[1, 4], [3]], {}, ValueError, r"completions\[0\]: token id 4 must be in \[0, 4\)"),
    (GOOD, [[1, -1], [3]], {}, ValueError, r"completions\[0\]: token id -1 must be in \[0, 4\)"),
    (GOOD[:1], IDS, {}, ValueError, r"one array per completion \(2\), got 1"),
    (GOOD, [[1, 2, 3], [3]], {}, ValueError, r"logits\[0\] must have shape \[T >= 3, V\], got \(2, 4\)"),
    (np.zeros((3, 4)), IDS, {}, ValueError, "logits must have 2 rows, one per distinct prefix, got 3"),
    (np.zeros(4), IDS, {}, ValueError, r"logits must have shape \[C, T, V\] or \[R, V\]"),
    (np.zeros((1, 1, 1, 4)), IDS, {}, ValueError, r"logits must have shape \[C, T, V\] or \[R, V\]"),
    (GOOD, IDS, {"texts": ["a"]}, ValueError, r"texts must hold one text per completion \(2\)"),
    (GOOD, IDS, {"texts": "ab"}, ValueError, r"texts must hold one text per completion \(2\)"),
    (GOOD, IDS, {"texts": ["a", ""]}, ValueError, r"texts\[1\] must hold one character"),
    (GOOD, IDS, {"texts": ["a", b"b"]}, TypeError, r"texts\[1\] must be a str, got bytes"),
    (GOOD, IDS, {"unconditioned": [1.0]}, ValueError, r"unconditioned must hold one log-likelihood per completion"),
    (GOOD, IDS, {"unconditioned": np.zeros((2, 2))}, ValueError, "unconditioned must hold one log-likelihood"),
    (GOOD, IDS, {"content_free": [0.0, -np.inf]}, ValueError, "content_free must be finite, got -inf"),
    (GOOD, IDS, {"temperature": 0}, ValueError, "temperature must be finite and > 0, got 0"),
    (GOOD, IDS, {"temperature": [1, 2]}, TypeError, "temperature must be one number"),
    ([[[0.0, NAN]]], [[0]], {}, ValueError, r"logits\[0\]\[0\] contains NaN"),
    ([[[0.0, 1.0]] * 2, [[NAN, 0.0], [0.0, NAN]]], [[0, 1], [0, 0]], {}, None, ""),
    ([np.zeros((1, 2)), np.zeros((2, 3))], [[0], [1, 1]], {}, ValueError, r"logits\[1\] must have 2 tokens per row"),
    ([[[0.0, 1.0]] * 2, [[0.0, 0.0], [0.0, NAN]]], [[0, 1], [1, 0]], {}, ValueError, r"logits\[1\]\[1\] contains NaN"),
    (np.array([[0.0, 1.0], [np.inf, 0.0]]), [[0, 1]], {}, ValueError, r"logits\[1\] contains \+inf"),
])  # fmt: skip
def test_refused(logits: Any, completions: Any, keywords: Any, kind: type[Exception] | None, words: str) -> None:
    if kind is None:  # nothing of the bad rows is needed
        assert np.isfinite(fl.score_completions(logits, completions, **keywords).logprobs).all()
        return
    with pytest.raises(kind, match=words):
        fl.score_completions(logits, completions, **keywords)


@pytest.mark.parametrize(("logits", "labels", "keywords", "kind", "words"), [
    (GOOD[0], [], {}, ValueError, "labels must hold one token id, or several, per label"),
    (GOOD[0], "ab", {}, ValueError, "labels must hold one token id, or several, per label"),
    (GOOD[0], [1, [2, 4]], {}, ValueError, r"labels\[1\]: token id 4 must be in \[0, 4\)"),
    (GOOD[0], [1, -1], {}, ValueError, r"labels\[1\]: token id -1 must be in \[0, 4\)"),
    (GOOD[0], [[1, 2], [2]], {}, ValueError, r"labels\[1\]: token id 2 belongs to labels\[0\] already"),
    (GOOD[0], [1, []], {}, ValueError, r"labels\[1\] must hold one token id at least"),
    (GOOD[0], [1.0], {}, TypeError, r"labels\[0\]: token ids must be integers"),
    (GOOD[0], [1], {"normalize": 1}, TypeError, "normalize must be True or False, got 1"),
    ([[0.0, NAN], [0.0, 0.0]], [0], {}, ValueError, r"logits\[0\] contains NaN"),
    ([[0.0, 0.0], [0.0, NAN]], [1], {"normalize": True}, ValueError, r"logits\[1\] contains NaN"),
    ([0.0, np.inf], [1], {"normalize": True}, ValueError, r"logits contains \+inf"),
    ([[0.0, -np.inf]], [1], {"normalize": True}, ValueError, r"logits\[0\] bans every label"),
])  # fmt: skip
def test_labels_refused(logits: Any, labels: Any, keywords: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        fl.label_logprobs(logits, labels, **keywords)
