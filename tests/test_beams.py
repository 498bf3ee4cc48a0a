"""One step of beam search."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits import reference

INF = np.inf
FOUR = (np.zeros((4, 8)), np.zeros(4))


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


def test_diversity_by_hand() -> None:
    """transformers' vector: two texts of two beams, vocabulary 4, groups of one, penalty 1, previous tokens 0 and 1."""
    p = np.full((2, 2, 4), 0.25)
    p[:, 0] = [[0.97, 0.01, 0.01, 0.01], [0.01, 0.97, 0.01, 0.01]]
    step = fl.beam_step(np.log(p), np.zeros((2, 2)), num_beam_groups=2, diversity_penalty=1.0)
    for text in range(2):
        others = [token for token in range(4) if token != text]
        assert step.beams[text].tolist() == [0, 0, 1, 1]
        assert step.ids[text].tolist()[2:] == others[:2]
    step = fl.beam_step(np.log(p), np.zeros((2, 2)), num_beam_groups=2, diversity_penalty=0.25)
    np.testing.assert_allclose(step.scores[0], np.log([0.97, 0.01, 0.25, 0.25]), rtol=1e-12)
    assert step.ids.tolist() == [[0, 1, 1, 2], [1, 0, 0, 2]]


def test_diversity_counts_each_beam() -> None:
    """Both beams of the first group go on with token 0, which loses 2 x 0.5 in the second; one that ends, nothing."""
    p = np.array([[0.6, 0.25, 0.15]] * 4)
    call: dict[str, Any] = {"num_beam_groups": 2, "diversity_penalty": 0.5}
    step = fl.beam_step(np.log(p), np.zeros(4), **call)
    assert step.ids.tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    np.testing.assert_allclose(step.scores[4:], np.log([0.25, 0.25, 0.6, 0.6]) - [0, 0, 1, 1], rtol=1e-12)
    step = fl.beam_step(np.log(p), np.zeros(4), eos=0, **call)
    assert step.ids.tolist() == [0, 0, 1, 1, 0, 0, 2, 2]
    np.testing.assert_allclose(step.scores[4:], np.log([0.6, 0.6, 0.15, 0.15]), rtol=1e-12)
    alive, ended = step.split(0, length=2, num_beam_groups=2)
    assert (alive.ids.tolist(), alive.beams.tolist()) == ([1, 1, 2, 2], [0, 1, 2, 3])
    assert ended.ids.tolist() == [0, 0, -1, -1, 0, 0, -1, -1]
    np.testing.assert_allclose(ended.scores[:2], np.log(0.6) / 2, rtol=1e-12)


def test_length_by_hand() -> None:
    """Sums -1 + ln 0.5 over 2 tokens and -2.5 + ln p over 5: the mean of the longer text is the better one."""
    p = np.array([[0.5, 0.5], [0.9, 0.1]])
    sums = [-2.5 + np.log(0.9), -1 + np.log(0.5), -1 + np.log(0.5), -2.5 + np.log(0.1)]
    step = fl.beam_step(np.log(p), [-1.0, -2.5], length=[2, 5])
    assert list(zip(step.beams.tolist(), step.ids.tolist(), strict=True)) == [(1, 0), (0, 0), (0, 1), (1, 1)]
    np.testing.assert_allclose(step.scores, sums, rtol=1e-12)
    assert fl.beam_step(np.log(p), [-1.0, -2.5], length=[2, 5], length_penalty=0).beams.tolist() == [0, 0, 1, 1]
    assert fl.beam_step(np.log(p), [-1.0, -2.5], length_penalty=3).beams.tolist() == [0, 0, 1, 1]


def test_reference_of_groups(isa: str) -> None:
    rng = np.random.default_rng(4)
    for i in range(60):
        groups, members = int(rng.integers(1, 5)), int(rng.integers(1, 4))
        shape = (*rng.choice([1, 2, 3], int(rng.integers(0, 3))), groups * members, int(rng.choice([3, 40, 900])))
        logits = (rng.normal(size=shape[-1]) * 3 + rng.normal(size=shape)).astype([np.float32, np.float64][i % 2])
        scores = np.where(rng.random(shape[:-1]) < 0.2, -INF, -rng.random(shape[:-1]) * 3)
        call: dict[str, Any] = [{}, {"temperature": 0.7}, {"top_k": 3}, {"logit_bias": {0: -INF}}][i % 4]
        call |= {"num_beam_groups": groups, "diversity_penalty": float(rng.choice([0, 0.3, 2, 50]))}
        if i % 3:
            call["eos"] = np.argsort(-logits.reshape(-1, shape[-1])[0])[:2].tolist()
        if i % 5 > 2:
            call |= {"length": rng.integers(1, 30, shape[:-1]), "length_penalty": float(rng.choice([-0.5, 0.6, 1.0]))}
        n = None if i % 3 else groups * int(rng.integers(1, 6))
        got, right = fl.beam_step(logits, scores, n=n, **call), reference.beam_step(logits, scores, n=n, **call)
        np.testing.assert_array_equal(got.beams, right.beams, err_msg=f"{i} {call}")
        np.testing.assert_array_equal(got.ids, right.ids)
        np.testing.assert_allclose(got.scores, right.scores, rtol=1e-6, atol=2e-6)


def test_groups_apart() -> None:
    """Without a penalty each group is a search of its own; a group's beams never continue another's."""
    rng = np.random.default_rng(5)
    logits, scores = rng.normal(size=(6, 300)).astype(np.float32), -rng.random(6)
    step = fl.beam_step(logits, scores, num_beam_groups=3)
    for g in range(3):
        alone = fl.beam_step(logits[2 * g : 2 * g + 2], scores[2 * g : 2 * g + 2])
        part = slice(4 * g, 4 * g + 4)
        np.testing.assert_array_equal(step.scores[part], alone.scores)
        np.testing.assert_array_equal(step.beams[part], alone.beams + 2 * g)
        np.testing.assert_array_equal(step.ids[part], alone.ids)


@pytest.mark.parametrize("steering", [{}, {"top_p": 0.9}, {"top_k": 4}, {"temperature": 0}, {"draw": "gumbel"}])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_log_probs_are_those_of_sample(isa: str, steering: dict[str, Any], dtype: Any) -> None:
    """What is ranked without a draw is to the bit what `sample` reports beside one."""
    logits = (np.random.default_rng(6).normal(size=(3, 5000)) * 2).astype(dtype)
    sampled = fl.sample(logits, rng=1, logprobs=4, **steering)
    step = fl.beam_step(logits[:, None], np.zeros((3, 1)), n=4, **steering)
    np.testing.assert_array_equal(step.ids, sampled.top_ids)
    np.testing.assert_array_equal(step.scores.astype(sampled.top_logprobs.dtype), sampled.top_logprobs)


def test_nothing_is_drawn() -> None:
    """A Generator keeps its words, and what a state remembers of draws is what was drawn by `sample` alone."""
    logits = np.random.default_rng(7).normal(size=(1, 200)).astype(np.float32)
    rng = np.random.default_rng(8)
    before = rng.bit_generator.state
    fl.beam_step(logits, [0.0], top_p=0.9, rng=rng)
    assert rng.bit_generator.state == before
    sampler = fl.Sampler(mirostat=2, mirostat_tau=6.0)
    for seed in range(8):
        state = sampler.state()
        drawn = sampler.sample(logits, state=[state], rng=seed)
        kept = pickle.dumps(state)
        sampler.beam_step(logits, [0.0], state=[state], rng=seed + 1)
        assert pickle.dumps(state) == kept
        twin = pickle.loads(kept)
        for each in (state, twin):
            each.accept(int(drawn[0]))
        assert pickle.dumps(state) == pickle.dumps(twin)


def test_rows_beside() -> None:
    rng = np.random.default_rng(11)
    logits, uncond = rng.normal(size=(2, 2, 60))
    got = fl.beam_step(logits, [0.0, -0.2], uncond=uncond, guidance_scale=1.5, num_beam_groups=2, diversity_penalty=0.7)
    guided = fl.filter_logits(logits, uncond=uncond, guidance_scale=1.5)
    right = fl.beam_step(guided, [0.0, -0.2], num_beam_groups=2, diversity_penalty=0.7)
    np.testing.assert_array_equal(got.ids, right.ids)
    np.testing.assert_allclose(got.scores, right.scores, rtol=1e-12)


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
        (ValueError, "n must be an integer >= 1 or None, got 0", (np.zeros((2, 4)), [0, 0]), {"n": 0}),
        (
            ValueError,
            "num_beam_groups must divide the beams, 4, got 3",
            FOUR,
            {"num_beam_groups": 3},
        ),
        (
            ValueError,
            "num_beam_groups must divide n, 6, got 4",
            FOUR,
            {"num_beam_groups": 4, "n": 6},
        ),
        (
            ValueError,
            "num_beam_groups must be an integer >= 1, got 0",
            FOUR,
            {"num_beam_groups": 0},
        ),
        (TypeError, "num_beam_groups must be an integer", FOUR, {"num_beam_groups": 2.0}),
        (
            ValueError,
            "diversity_penalty must be a number >= 0, got -1",
            FOUR,
            {"diversity_penalty": -1},
        ),
        (
            ValueError,
            "diversity_penalty must be finite, got nan",
            FOUR,
            {"diversity_penalty": np.nan},
        ),
        (
            TypeError,
            "diversity_penalty must be a number, got '1'",
            FOUR,
            {"diversity_penalty": "1"},
        ),
        (
            ValueError,
            "length must be an integer >= 1, got 0 .row 2.",
            FOUR,
            {"length": [1, 2, 0, 3]},
        ),
        (TypeError, "length must be an integer", FOUR, {"length": 2.5}),
        (
            ValueError,
            "length_penalty must be finite, got inf",
            FOUR,
            {"length_penalty": INF},
        ),
        (
            ValueError,
            "must be finite and above 0, got inf",
            FOUR,
            {"length": 9, "length_penalty": 1e4},
        ),
        (ValueError, "eos must hold token ids >= 0, got -1", FOUR, {"eos": [3, -1]}),
        (TypeError, "eos must be an integer", FOUR, {"eos": 1.5}),
        (ValueError, r"eos: token id 5 must be in \[0, 2\)", ([[0.0, 1.0]] * 2, [0, 0]), {"eos": [1, 5]}),
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
