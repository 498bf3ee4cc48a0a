"""Speculative decoding: vectors of other systems, the reference, what is emitted, rows by themselves, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_draw import fit

import fastlogits as fl
from fastlogits import reference

INF = np.inf
Array = np.ndarray[Any, Any]

DRAFT = np.array([[0.1, 0.2, 0.3, 0.4], [0.2, 0.3, 0.4, 0.1]])
TARGET = np.array([[0, 0.1, 0.6, 0.3], [1, 0, 0, 0], [0.7, 0.1, 0.1, 0.1]])


def logs(p: Any) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(p, np.float64))


# ---- vectors -------------------------------------------------------------------------------------------------------


def test_flashinfers_example(isa: str) -> None:
    """The example of chain_speculative_sampling: 2 is accepted, 1 is not, and only 0 is left to draw."""
    for seed in range(20):
        found = fl.verify(logs(TARGET), [2, 1], draft_probs=DRAFT, rng=seed)
        assert (found.ids.tolist(), found.accepted, found.tokens) == ([2, 0, -1], 1, 0)
        assert found.path.tolist() == [0, -1]


@pytest.mark.parametrize(("p", "q", "rate"), [(0.8, 0.4, 1), (0.2, 0.4, 0.5), (0.1, 1, 0.1), (0, 0.5, 0)])
def test_onnxruntimes_rates(p: float, q: float, rate: float) -> None:
    count = 20_000
    target = np.broadcast_to(logs([[p, 1 - p], [1, 1]]), (count, 2, 2))
    draft = np.broadcast_to(np.array([[q, 1 - q]]), (count, 1, 2))
    found = fl.verify(target, np.zeros((count, 1), int), draft_probs=draft, rng=3, position=0)
    assert abs(found.accepted.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / count) + 1e-12
    assert (found.tokens[found.accepted == 0] == 1).all()


# ---- against the reference -----------------------------------------------------------------------------------------

STEERINGS: list[dict[str, Any]] = [
    {}, {"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.9, "temperature": 0.8}, {"min_p": 0.1}, {"temperature": 0},
    {"repetition_penalty": 1.5, "top_k": 8}, {"frequency_penalty": 0.5}, {"logit_bias": {0: 2.0, 1: -INF}},
    {"skew": 0.7}, {"draw": "gumbel", "top_p": 0.9},
]  # fmt: skip


def random_call(seed: int) -> tuple[Any, dict[str, Any]]:
    """Operands and keywords of a random call on two sequences."""
    rng = np.random.default_rng([seed, 7])
    n, vocab = int(rng.integers(0, 5)), int(rng.choice([3, 20, 300]))
    target = (rng.normal(size=(2, n + 1, vocab)) * 2).astype(rng.choice([np.float32, np.float64, np.float16]))
    near = (target[:, :n] + rng.normal(size=(2, n, vocab)) * 0.5).astype(np.float32)
    parents = None if rng.random() < 0.5 else [int(rng.integers(-1, i)) for i in range(n)]
    draft = near if parents is None else np.concatenate([near, near[:, :1]], axis=1)
    ids = rng.integers(0, vocab, (2, n)) if rng.random() < 0.3 else fl.argmax(near + rng.gumbel(size=near.shape))
    if n and rng.random() < 0.3:
        ids[1, n // 2 :] = -1
    call: dict[str, Any] = {"rng": seed, "parents": parents, "replacement": bool(rng.random() < 0.5)}
    call |= {
        "context": rng.integers(0, vocab, (2, int(rng.integers(0, 6)))),
        **STEERINGS[int(rng.integers(len(STEERINGS)))],
    }
    kind = int(rng.integers(3))
    call |= [{}, {"draft_logits": draft}, {"draft_probs": reference.softmax(draft).astype(np.float32)}][kind]
    return (target, ids), call


def test_reference(isa: str) -> None:
    accepted = refused = 0
    for seed in range(150):
        operands, call = random_call(seed)
        try:
            right = reference.verify(operands[0].astype(np.float64), operands[1], **call)
        except ValueError:
            with pytest.raises(ValueError, match="must have a probability above 0 in draft_(logits|probs), got 0"):
                fl.verify(*operands, **call)
            refused += 1
            continue
        got = fl.verify(*operands, **call)
        for field in ("ids", "accepted", "tokens", "path"):
            np.testing.assert_array_equal(getattr(got, field), getattr(right, field), err_msg=f"{seed} {field} {call}")
        accepted += int(np.sum(got.accepted))
    assert accepted > 100
    assert 2 < refused < 30


def test_long_rows(isa: str) -> None:
    """Rows of which no list is made."""
    rng = np.random.default_rng(5)
    for seed in range(6):
        target = rng.normal(size=(3, 9000)).astype(np.float32)
        draft = target[:2] + rng.normal(size=(2, 9000)).astype(np.float32) * np.float32(0.1 + seed)
        for steering in ({}, {"top_p": 0.9}, {"min_p": 1e-3}):
            ids = fl.sample(draft, rng=seed, keys=0, position=[0, 1], **steering)
            for more in ({"draft_logits": draft}, {}, {"draft_probs": fl.softmax(draft)}):
                call: dict[str, Any] = {"rng": seed, "keys": 0, "position": 0, **steering, **more}
                got, right = fl.verify(target, ids, **call), reference.verify(target.astype(np.float64), ids, **call)
                assert got.ids.tolist() == right.ids.tolist(), (seed, steering, list(more))


def test_equal_rows_that_are_never_listed(isa: str) -> None:
    target = np.zeros((2, 70_000), np.float32)
    for seed in range(5):
        found = fl.verify(target, [5], draft_probs=np.eye(1, 70_000, 5), rng=seed, min_p=0.5)
        assert found.accepted == 0
        assert found.tokens != 5


# ---- what is emitted -----------------------------------------------------------------------------------------------

V = 5
TABLES = np.random.default_rng(11)
P0, P1 = TABLES.normal(size=V), TABLES.normal(size=(V, V))  # P1 by the token before
Q0, Q1 = P0 + TABLES.normal(size=V), P1 + TABLES.normal(size=(V, V))
STEERING: dict[str, Any] = {"temperature": 0.9, "top_k": 4}


def pairs(first: Array, second: Array) -> float:
    """p-value of the first two tokens under the target."""
    right = reference.probs(P0, **STEERING)[:, None] * reference.probs(P1, **STEERING)
    return fit(np.bincount(first * V + second, minlength=V * V), right.ravel())


def completed(found: Any, count: int) -> tuple[Array, Array]:
    """The first two tokens of each sequence, the second drawn from the target where it was not emitted."""
    first = found.ids[:, 0]
    keys = np.arange(count)
    drawn = fl.sample(P1[first], rng=99, keys=keys, position=1, **STEERING)
    return first, np.where(found.ids[:, 1] < 0, drawn, found.ids[:, 1])


def chain_fits(count: int) -> None:
    keys = np.arange(count)
    draw: dict[str, Any] = {"rng": 5, "keys": keys, **STEERING}
    x0 = fl.sample(np.broadcast_to(Q0, (count, V)), position=0, **draw)
    x1 = fl.sample(Q1[x0], position=1, **draw)
    target = np.stack([np.broadcast_to(P0, (count, V)), P1[x0], P1[x1]], axis=1)
    draft = np.stack([np.broadcast_to(Q0, (count, V)), Q1[x0]], axis=1)
    ids = np.stack([x0, x1], axis=1)
    likeliest = np.stack([np.full(count, Q0.argmax()), np.full(count, Q1[Q0.argmax()].argmax())], axis=1)
    greedy = np.stack([np.broadcast_to(P0, (count, V)), P1[likeliest[:, 0]], P1[likeliest[:, 1]]], axis=1)
    q0, q1 = reference.probs(Q0, **STEERING), reference.probs(Q1, **STEERING)[x0]
    q = {"draft_probs": np.stack([np.broadcast_to(q0, (count, V)), q1], axis=1)}
    for operands, more in (((target, ids), {"draft_logits": draft}), ((target, ids), q), ((greedy, likeliest), {})):
        found = fl.verify(*operands, position=0, **draw, **more)
        assert 0.1 < found.accepted.mean() < 1.9
        assert pairs(*completed(found, count)) > 1e-4, list(more)


def tree_fits(count: int) -> None:
    """Three tokens behind the context and one behind each of two of them."""
    keys = np.arange(count)
    draw: dict[str, Any] = {"rng": 6, "keys": keys, **STEERING}
    parents = [-1, -1, -1, 0, 2]
    for replacement in (True, False, None):
        if replacement is None:
            x = np.broadcast_to(np.argsort(-Q0)[:3], (count, 3))
        else:
            x = fl.sample(np.broadcast_to(Q0, (count, V)), n=3, replacement=replacement, position=0, **draw)
        y = [fl.sample(Q1[x[:, i]], position=1, **draw) for i in (0, 2)]
        ids = np.column_stack([x, *y])
        target = np.stack([np.broadcast_to(P0, (count, V)), *(P1[ids[:, i]] for i in range(5))], axis=1)
        draft = np.stack([np.broadcast_to(Q0, (count, V)), *(Q1[x[:, i]] for i in range(3))], axis=1)
        more: dict[str, Any] = {} if replacement is None else {"draft_logits": draft, "replacement": replacement}
        found = fl.verify(target, ids, parents=parents, position=0, **draw, **more)
        assert set(np.unique(found.path[:, 0])) == {-1, 0, 1, 2}
        assert pairs(*completed(found, count)) > 1e-4, replacement


def test_chain_fits() -> None:
    chain_fits(20_000)


def test_tree_fits() -> None:
    tree_fits(20_000)


@pytest.mark.slow
def test_chain_fits_in_many() -> None:
    chain_fits(1_000_000)


@pytest.mark.slow
def test_tree_fits_in_many() -> None:
    tree_fits(1_000_000)


def test_wrong_rule_is_caught() -> None:
    """A draft drawn from another distribution than the one named is not lossless: the test above would notice."""
    count = 20_000
    draw: dict[str, Any] = {"rng": 5, "keys": np.arange(count), "position": 0, **STEERING}
    x0 = fl.sample(np.broadcast_to(Q0 * 0.5, (count, V)), **draw)
    target = np.stack([np.broadcast_to(P0, (count, V)), P1[x0]], axis=1)
    found = fl.verify(target, x0[:, None], draft_logits=np.broadcast_to(Q0, (count, 1, V)), **draw)
    assert pairs(*completed(found, count)) < 1e-6


# ---- rows by themselves --------------------------------------------------------------------------------------------


def test_no_draft_is_a_sample(isa: str) -> None:
    row = np.random.default_rng(1).normal(size=(4, 1, 500)).astype(np.float32)
    for steering in ({}, {"top_k": 9}, {"draw": "gumbel"}):
        found = fl.verify(row, np.zeros((4, 0), int), rng=3, position=8, **steering)
        np.testing.assert_array_equal(found.tokens, fl.sample(row[:, 0], rng=3, position=8, **steering))
        assert found.accepted.tolist() == [0, 0, 0, 0]


def test_rows_know_nothing_of_each_other(isa: str) -> None:
    rng = np.random.default_rng(2)
    target, draft = rng.normal(size=(6, 4, 60)), rng.normal(size=(6, 3, 60))
    ids, keys = fl.argmax(draft), rng.integers(0, 99, 6)
    call: dict[str, Any] = {"temperature": np.linspace(0.5, 2, 6), "top_k": [0, 3, 5, 9, 30, 2]}
    whole = fl.verify(target, ids, draft_logits=draft, rng=1, keys=keys, position=0, threads=2, **call)
    for r in range(6):
        mine = {name: values[r] for name, values in call.items()}
        one = fl.verify(target[r], ids[r], draft_logits=draft[r], rng=1, keys=keys[r], position=0, **mine)
        assert one.ids.tolist() == whole.ids[r].tolist()
    shaped = fl.verify(
        target.reshape(2, 3, 4, 60), ids.reshape(2, 3, 3), draft_logits=draft.reshape(2, 3, 3, 60), rng=1, position=0,
        keys=keys.reshape(2, 3), temperature=1.0,
    )  # fmt: skip
    assert shaped.ids.shape == (2, 3, 4)
    assert shaped.accepted.shape == (2, 3)


def test_a_draft_like_the_target_is_accepted() -> None:
    rows = np.random.default_rng(4).normal(size=(9, 2000)).astype(np.float32)
    for steering in ({}, {"top_k": 50, "top_p": 0.9}):
        ids = fl.sample(rows[:8], rng=2, keys=0, position=np.arange(8), **steering)
        found = fl.verify(rows, ids, draft_logits=rows[:8], rng=2, keys=0, position=0, **steering)
        assert found.accepted == 8


# ---- bad input -----------------------------------------------------------------------------------------------------

GOOD = np.zeros((2, 3, 4))
NAN, NEGATIVE = np.full((2, 2, 4), 0.25), np.full((2, 2, 4), 0.25)
NAN[1, 0, 2], NEGATIVE[1, 0, 2] = np.nan, -0.25
BAD: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
    (ValueError, r"target_logits must have shape", (np.zeros(4), [1]), {}),
    (ValueError, r"draft_ids must have shape \(2, 2\), got \(2, 3\)", (GOOD, np.zeros((2, 3), int)), {}),
    (TypeError, r"draft_ids must hold integers", (GOOD, np.zeros((2, 2))), {}),
    (ValueError, r"draft_ids\[1, 0\]: token id 4 must be in \[-1, 4\)", (GOOD, [[0, 1], [4, 0]]), {}),
    (ValueError, r"draft_ids\[1, 1\]: token id -2 must be in \[-1, 4\)", (GOOD, [[0, 1], [3, -2]]), {}),
    (ValueError, r"draft_ids must hold integers below 2\^63", (GOOD, np.full((2, 2), 2**64 - 1, np.uint64)), {}),
    *[
        (ValueError, r"draft_probs\[1, 0\] contains \+inf", (GOOD, [[0, 1], [1, 0]]), {"draft_probs": endless})
        for endless in (np.where(np.isnan(NAN), np.inf, NAN).astype(kind) for kind in (np.float16, np.float32, float))
    ],
    (ValueError, r"parents\[0, 1\] must be in \[-1, 1\), got 1", (GOOD, [[0, 1], [1, 0]]), {"parents": [-1, 1]}),
    (ValueError, r"draft_logits must have shape", (GOOD, GOOD[:, 1:, 0].astype(int)), {"draft_logits": GOOD[:, :1]}),
    (TypeError, "both given", (GOOD, [[0, 1], [1, 0]]), {"draft_logits": GOOD, "draft_probs": GOOD}),
    (ValueError, r"draft_logits\[1, 0\] contains NaN", (GOOD, [[0, 1], [1, 0]]), {"draft_logits": NAN}),
    (ValueError, r"draft_probs\[1, 0\] contains NaN", (GOOD, [[0, 1], [1, 0]]), {"draft_probs": NAN}),
    (ValueError, r"draft_probs\[1, 0\] contains a negative", (GOOD, [[0, 1], [1, 0]]), {"draft_probs": NEGATIVE}),
    (ValueError, r"target_logits\[1, 0\] contains NaN", (np.pad(NAN, ((0, 0), (0, 1), (0, 0))), [[0, 1], [1, 0]]), {}),
    (ValueError, r"context\[1\]: token id 9 must be in \[0, 4\)", (GOOD, [[0, 1], [1, 0]]), {"context": [[1], [9]]}),
    (TypeError, "replacement must be True or False, got 1", (GOOD, [[0, 1], [1, 0]]), {"replacement": 1}),
    (TypeError, "draft_sampler must be a Sampler or None, got int", (GOOD, [[0, 1], [1, 0]]), {"draft_sampler": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("error", "match", "operands", "call"), BAD)
def test_bad_input(error: type[Exception], match: str, operands: Any, call: dict[str, Any]) -> None:
    with pytest.raises(error, match=match):
        fl.verify(*operands, rng=1, **call)


def test_drafts_that_cannot_have_been_drawn(isa: str) -> None:
    """A token of probability 0 in its draft is no draw from it: sequence, place, token and operand are named."""
    draft = np.full((2, 2, 4), 0.25)
    draft[1, 1] = [0.5, 0.5, 0, 0]
    logits = logs(draft)
    target, ids = np.zeros((2, 3, 4)), [[0, 1], [0, 3]]
    for given in ({"draft_probs": draft}, {"draft_probs": draft.astype(np.float16)}, {"draft_logits": logits}):
        where = r"draft_ids\[1, 1\]: token id 3 must have a probability above 0 in " + next(iter(given)) + ", got 0"
        with pytest.raises(ValueError, match=where):
            fl.verify(target, ids, rng=1, **given)
        found, status = fl.verify(target, ids, rng=1, on_error="status", **given)
        assert status.tolist() == [0, fl.Status.UNDRAWN]
        assert found.ids[1].tolist() == [-1, -1, -1]
        first = {name: each[:1] for name, each in given.items()}
        assert found.ids[0].tolist() == fl.verify(target[:1], ids[:1], rng=1, **first).ids[0].tolist()
    with pytest.raises(ValueError, match=r"draft_ids\[0\]: token id 2 must have a probability above 0 in draft_logits"):
        fl.verify(np.zeros((2, 4)), [2], draft_logits=[[3.0, 2.0, 1.0, 0.0]], top_k=2, rng=1)
    # What is never reached is not looked at: behind a refused token, or without a draft behind it.
    far = np.zeros((1, 3, 4))
    far[0, 0, 0] = -INF
    assert fl.verify(far, [[0, 3]], draft_probs=draft[1:], rng=1).accepted.tolist() == [0]
    assert fl.verify(target[:1], [[0, -1]], draft_probs=draft[1:], rng=1).accepted.tolist() == [1]


def test_status() -> None:
    found, status = fl.verify(GOOD, [[0, 1], [1, 0]], draft_probs=NAN, rng=1, on_error="status")
    assert status.tolist() == [0, 1]
    assert found.ids[1].tolist() == [-1, -1, -1]
    assert found.tokens[1] == -1
    assert found.tokens[0] >= 0
