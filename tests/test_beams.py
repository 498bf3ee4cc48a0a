"""One step of beam search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits import reference

INF = np.inf


def test_by_hand() -> None:
    """Two beams of three tokens: scores -1 + ln p and -0.5 + ln p."""
    p = np.array([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]])
    step = fl.beam_step(np.log(p), [-1.0, -0.5])
    right = [(-0.5 + np.log(0.6), 1, 0), (-1 + np.log(0.7), 0, 1), (-0.5 + np.log(0.3), 1, 1), (-1 + np.log(0.2), 0, 2)]
    np.testing.assert_allclose(step.scores, [each[0] for each in right], rtol=1e-12)
    assert list(zip(step.beams.tolist(), step.ids.tolist(), strict=True)) == [each[1:] for each in right]
    alive, ended = step.split(1, length=4)
    assert list(zip(alive.beams.tolist(), alive.ids.tolist(), strict=True)) == [(1, 0), (0, 2)]
    np.testing.assert_allclose(ended.scores, [-INF, (-1 + np.log(0.7)) / 4, -INF, -INF])
    assert ended.ids.tolist() == [-1, 1, -1, -1]


def test_reference(isa: str) -> None:
    rng = np.random.default_rng(1)
    for i in range(60):
        shape = (
            *rng.choice([1, 2, 3], int(rng.integers(0, 3))),
            int(rng.integers(1, 6)),
            int(rng.choice([2, 40, 900])),
        )
        logits = (rng.normal(size=shape) * 3).astype([np.float32, np.float64][i % 2])
        scores = np.where(rng.random(shape[:-1]) < 0.2, -INF, -rng.random(shape[:-1]) * 3)
        call: dict[str, Any] = [{}, {"temperature": 0.7}, {"top_k": 3}, {"logit_bias": {0: -INF}}, {"top_p": 0.8}][
            i % 5
        ]
        n = None if i % 3 else int(rng.integers(1, 9))
        got, right = fl.beam_step(logits, scores, n=n, **call), reference.beam_step(logits, scores, n=n, **call)
        np.testing.assert_array_equal(got.beams, right.beams, err_msg=f"{i} {call}")
        np.testing.assert_array_equal(got.ids, right.ids)
        np.testing.assert_allclose(got.scores, right.scores, rtol=1e-6, atol=2e-6)


def test_ties() -> None:
    step = fl.beam_step(np.zeros((3, 4), np.float32), [0.0, 0.0, -1.0], n=9)
    assert step.beams.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert step.ids.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0]


@pytest.mark.parametrize("outer", [(), (2,), (0,)])
def test_no_beams(outer: tuple[int, ...]) -> None:
    logits, scores = np.zeros((*outer, 0, 4)), np.zeros((*outer, 0))
    assert fl.beam_step(logits, scores).ids.shape == (*outer, 0)
    assert (fl.beam_step(logits, scores, n=3).beams == np.full((*outer, 3), -1)).all()


def test_edits_of_each_beam() -> None:
    logits = np.random.default_rng(2).normal(size=(2, 50)).astype(np.float32)
    step = fl.beam_step(logits, [0.0, 0.0], n=100, context=[[1, 2], [3, 4]], repetition_penalty=1e9)
    penalised = fl.log_softmax(fl.filter_logits(logits, context=[[1, 2], [3, 4]], repetition_penalty=1e9))
    order = np.lexsort((np.tile(np.arange(50), 2), np.repeat([0, 1], 50), -penalised.ravel()))
    np.testing.assert_array_equal(step.beams * 50 + step.ids, order)


def test_search() -> None:
    """Beams wide enough to hold everything find the best sequence of a Markov chain."""
    rng = np.random.default_rng(3)
    table = rng.normal(size=(4, 4))
    scores, last = np.array([0.0] + [-INF] * 15), np.zeros(16, int)
    for _ in range(3):
        step = fl.beam_step(table[last], scores, n=16)
        scores, last = step.scores, step.ids
    log_p = fl.log_softmax(table)
    every = [log_p[0, a] + log_p[a, b] + log_p[b, c] for a in range(4) for b in range(4) for c in range(4)]
    np.testing.assert_allclose(scores, np.sort(every)[::-1][:16])


@pytest.mark.parametrize(
    ("error", "match", "operands", "call"),
    [
        (ValueError, r"logits must have shape \[..., beams, V\], got \(3,\)", (np.zeros(3), 0.0), {}),
        (ValueError, r"scores must have shape \(2,\), got \(3,\)", (np.zeros((2, 4)), np.zeros(3)), {}),
        (ValueError, r"scores\[1\] must be a number below inf, got nan", (np.zeros((2, 4)), [0, np.nan]), {}),
        (TypeError, "scores must hold numbers", (np.zeros((2, 4)), ["a", "b"]), {}),
        (ValueError, r"n must be an integer in \[1, 2\^31\) or None, got 0", (np.zeros((2, 4)), [0, 0]), {"n": 0}),
        (ValueError, r"logits\[1\] contains NaN", ([[0.0, 1.0], [np.nan, 1.0]], [0, 0]), {}),
    ],
)
def test_bad_input(error: type[Exception], match: str, operands: Any, call: dict[str, Any]) -> None:
    with pytest.raises(error, match=match):
        fl.beam_step(*operands, **call)
    if "NaN" in match:
        step, status = fl.beam_step(*operands, on_error="status")
        assert status.tolist() == [0, 1]
        assert step.beams.tolist() == [0, 0, -1, -1]
