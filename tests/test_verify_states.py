"""Speculative decoding with rows beside the target, and with states in the place of contexts."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits import reference

Array = np.ndarray[Any, Any]


# ---- rows beside the target ----------------------------------------------------------------------------------------

GUIDED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"guidance_scale": 1.7}, ("uncond",)),
    ({"guidance_scale": 0.4, "guidance_space": "raw", "top_p": 0.9}, ("uncond",)),
    ({"guidance_scale": [1.2, 2.5], "repetition_penalty": 1.4, "top_k": [0, 9]}, ("uncond",)),
    ({"contrastive_alpha": 0.05}, ("amateur",)),
    ({"contrastive_alpha": 0.01, "contrastive_beta": 0.5, "temperature": 0.8}, ("amateur",)),
    ({"dexperts_alpha": 0.7, "min_p": 0.02}, ("expert", "anti")),
    ({"dexperts_alpha": 0.5, "draw": "gumbel"}, ("expert", "anti")),
]


@pytest.mark.parametrize(("steering", "names"), GUIDED)
def test_guided_targets(isa: str, steering: dict[str, Any], names: tuple[str, ...]) -> None:
    """Chains and trees on two sequences, every type of rows, drafts of each kind: the twin's tokens."""
    accepted = 0
    for seed in range(24):
        rng = np.random.default_rng([seed, 3])
        n, vocab = int(rng.integers(0, 4)), int(rng.choice([6, 300, 3000]))
        kind = rng.choice([np.float32, np.float64, np.float16])
        target = (rng.normal(size=(2, n + 1, vocab)) * 2).astype(kind)
        around = {name: (target + rng.normal(size=target.shape)).astype(kind) for name in names}
        draft = target[:, :n] + rng.normal(size=(2, n, vocab)) / 2
        ids = fl.argmax(draft + rng.gumbel(size=draft.shape))
        parents = None if seed % 2 or n == 0 else [*range(-1, n - 2), -1]
        if parents is not None:
            draft = np.concatenate([draft, draft[:, :1]], axis=1)
        call: dict[str, Any] = {"rng": seed, "parents": parents, "context": rng.integers(0, vocab, (2, 3)), **steering}
        drafted = {} if seed % 3 == 0 else {"draft_probs": fl.softmax(draft)}
        got = fl.verify(target, ids, **call, **drafted, **around)
        wide = {name: each.astype(np.float64) for name, each in around.items()}
        per_row = [
            {k: v[r] if isinstance(v, list) and k != "parents" else v for k, v in call.items()} for r in range(2)
        ]
        for r in range(2):
            mine = {name: each[r] for name, each in {**drafted, **wide}.items()}
            more = per_row[r] | {"keys": r, "context": call["context"][r]}
            right = reference.verify(target[r].astype(np.float64), ids[r], **more, **mine)
            assert got.ids[r].tolist() == right.ids.tolist(), (seed, r)
            assert got.path[r].tolist() == right.path.tolist(), (seed, r)
        accepted += int(np.sum(got.accepted))
    assert accepted > 4


def test_guided_bonus_is_a_sample(isa: str) -> None:
    rng = np.random.default_rng(8)
    x, u = rng.normal(size=(2, 5, 1, 5000)).astype(np.float32)
    sampler = fl.Sampler(guidance_scale=1.5, top_p=0.95)
    found = sampler.verify(x, np.zeros((5, 0), int), rng=3, position=8, uncond=u)
    np.testing.assert_array_equal(found.tokens, sampler.sample(x[:, 0], rng=3, position=8, uncond=u[:, 0]))


def test_guidance_is_refused_where_rows_are_missing() -> None:
    sampler, x = fl.Sampler(guidance_scale=1.5), np.zeros((2, 3, 4))
    call: dict[str, Any] = {"rng": 1, "uncond": x}
    bad = x.copy()
    bad[1, 0, 2] = np.nan
    for match, error, more in (
        ("Guidance needs the argument uncond", TypeError, {"uncond": None}),
        ("uncond must have the shape of target_logits", ValueError, {"uncond": x[:, :2]}),
        ("uncond must have the dtype of target_logits", TypeError, {"uncond": x.astype(np.float32)}),
        (r"uncond\[1, 0\] contains NaN", ValueError, {"uncond": bad}),
        ("amateur is given, but the first step is none", TypeError, {"amateur": x}),
        ("pass a draft_sampler without Guidance, or draft_probs", TypeError, {"draft_logits": x}),
    ):
        with pytest.raises(error, match=match):
            sampler.verify(x, [[0, 1], [1, 0]], **(call | more))
    found = sampler.verify(x, [[0, 1], [1, 0]], draft_logits=x, draft_sampler=fl.Sampler(), **call)
    assert found.accepted.tolist() == [2, 2]


# ---- states --------------------------------------------------------------------------------------------------------

STATEFUL: list[dict[str, Any]] = [
    {}, {"temperature": 0.7, "top_k": 9}, {"repetition_penalty": 1.5, "top_p": 0.9},
    {"frequency_penalty": 0.6, "presence_penalty": 0.3, "penalty_window": 5}, {"dry_multiplier": 0.8, "min_p": 0.01},
    {"no_repeat_ngram_size": 2}, {"draw": "gumbel", "repetition_penalty": 1.2},
    {"temperature": 0, "no_repeat_ngram_size": 3}, {"temperature": [0.5, 1.5], "frequency_penalty": [0.2, 0.9]},
]  # fmt: skip


@pytest.mark.parametrize("steering", STATEFUL)
def test_states_are_contexts(isa: str, steering: dict[str, Any]) -> None:
    """State by state the very result of contexts, and the states as they were."""
    accepted = 0
    for seed in range(12):
        rng = np.random.default_rng([seed, 5])
        n, vocab = int(rng.integers(0, 6)), int(rng.choice([8, 400]))
        target = rng.normal(size=(2, n + 1, vocab)).astype(np.float32)
        draft = target[:, :n] + rng.normal(size=(2, n, vocab)).astype(np.float32) / 4
        ids = fl.argmax(target[:, :n] + rng.gumbel(size=draft.shape))
        context = [rng.integers(0, vocab, size) for size in rng.integers(0, 90, 2)]
        sampler, plain = fl.Sampler(**steering), fl.Sampler(temperature=0.9)
        call: dict[str, Any] = (
            {"rng": seed, "draft_logits": draft, "draft_sampler": plain} if seed % 2 else {"rng": seed}
        )
        right = sampler.verify(target, ids, context=context, prompt_length=3, keys=[4, 7], position=[9, 11], **call)
        states = [
            sampler.state(ids_before, prompt_length=3, key=key, position=at, row=r if sampler.shape else None)
            for r, (ids_before, key, at) in enumerate(zip(context, (4, 7), (9, 11), strict=True))
        ]
        before = [pickle.dumps(state) for state in states]
        found = sampler.verify(target, ids, state=states, **call)
        for name, mine, theirs in zip(found._fields, found, right, strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=f"{seed} {name}")
        for state, was in zip(states, before, strict=True):
            assert state.tokens.tolist() == pickle.loads(was).tokens.tolist()
            assert (state.position, state.vocab) == (pickle.loads(was).position, vocab)
        accepted += int(np.sum(found.accepted))
    assert accepted > 2


def test_one_state_for_one_sequence(isa: str) -> None:
    rows = np.random.default_rng(6).normal(size=(4, 50)).astype(np.float32)
    sampler = fl.Sampler(repetition_penalty=1.3, top_k=20)
    state = sampler.state([3, 4, 5], vocab=50)
    drafts, tokens = state.copy(), []
    for row in rows[:3]:
        tokens.append(sampler.sample(row, state=drafts, rng=2))
        drafts.accept(tokens[-1])
    found = sampler.verify(rows, tokens, draft_logits=rows[:3], state=state, rng=2)
    assert found.accepted == 3
    state.accept(found.ids[: found.accepted + 1])
    assert state.tokens.tolist() == [3, 4, 5, *tokens, found.tokens]
    beam = fl.verify(rows, tokens, state=sampler.state([3, 4, 5]), rng=2, repetition_penalty=1.3, top_k=20)
    assert beam.ids.tolist() == sampler.verify(rows, tokens, context=[3, 4, 5], rng=2).ids.tolist()


FEEDBACK: list[dict[str, Any]] = [
    {"mirostat": 2, "mirostat_tau": 2.0, "mirostat_eta": 0.9},
    {"mirostat": 1, "mirostat_tau": 1.0, "mirostat_eta": 1.0},
    {"adaptive_target": 0.3, "top_k": 12}, {"adaptive_target": 0.2, "mirostat": 2, "mirostat_tau": 3.0},
]  # fmt: skip


def shares(sampler: fl.Sampler, state: fl.State, row: Array) -> bytes:
    return bytes(sampler.probs(row, state=state).tobytes())


@pytest.mark.parametrize("steering", FEEDBACK)
def test_steps_that_remember(isa: str, steering: dict[str, Any]) -> None:
    """A chain is what its tokens are one by one: heard by the target, by the drafts, and by the state in the end."""
    sampler, lengths, moved = fl.Sampler(**steering), set(), 0
    for seed in range(25):
        rng = np.random.default_rng([seed, 9])
        rows = rng.normal(size=(5, 24)).astype(np.float32) * 2
        draft = rows[:3] + rng.normal(size=(3, 24)).astype(np.float32) / 3
        state = sampler.state([1, 2])
        for _ in range(2):
            state.accept(sampler.sample(rows[4], state=state, rng=seed))
        heard, tokens, given = state.copy(), [], []
        for row in draft:
            given.append(sampler.probs(row, state=heard))
            tokens.append(sampler.sample(row, state=heard, rng=seed))
            heard.accept(tokens[-1])
        whole = sampler.verify(rows[:4], tokens, draft_logits=draft, state=state, rng=seed)
        alone, emitted = state.copy(), []
        for i in range(4):
            one = sampler.verify(
                rows[i : i + 2], tokens[i : i + 1], draft_probs=given[i][None], state=alone, rng=seed
            ) if i < 3 else sampler.verify(rows[i : i + 1], [], state=alone, rng=seed)  # fmt: skip
            emitted.append(int(one.ids[0]))
            was = shares(sampler, alone, rows[4])
            alone.accept(emitted[-1])
            moved += shares(sampler, alone, rows[4]) != was
            if not one.accepted:
                break
        assert whole.ids[: whole.accepted + 1].tolist() == emitted, seed
        lengths.add(len(emitted))
        again = pickle.loads(pickle.dumps(state))
        for each in (state, again):
            each.accept(emitted[0])
            each.accept(emitted[1:])
            assert shares(sampler, each, rows[4]) == shares(sampler, alone, rows[4]), seed
    assert len(lengths) > 2
    assert moved > 20


def test_what_was_emitted_is_heard_as_if_it_was_sampled() -> None:
    """Tokens of verify, and the same tokens drawn by `sample`, leave a state that remembers the same."""
    rng, sampler = np.random.default_rng(12), fl.Sampler(mirostat=2, mirostat_tau=2.0, mirostat_eta=0.7)
    rows = rng.normal(size=(4, 9)).astype(np.float32)
    for seed in range(6):
        state = sampler.state([1])
        other = state.copy()
        found = sampler.verify(rows, rng.integers(0, 9, 3), state=state, rng=seed)
        emitted = found.ids[: found.accepted + 1].tolist()
        state.accept(emitted)
        for row, token in zip(rows[: len(emitted)], emitted, strict=True):
            assert any(sampler.sample(row, state=other, rng=trial) == token for trial in range(500))
            other.accept(token)
        assert shares(sampler, state, rows[0]) == shares(sampler, other, rows[0])


def test_states_that_do_not_fit() -> None:
    rows, sampler = np.zeros((2, 2, 5)), fl.Sampler(mirostat=2)
    state = sampler.state([1])
    for match, error, more in (
        ("state must hold one State per row", ValueError, {"state": state}),
        ("state brings its own context", TypeError, {"state": [state] * 2, "context": [1]}),
        ("state brings its own keys", TypeError, {"state": [state] * 2, "keys": 3}),
        ("token id 9 must be in", ValueError, {"state": [state, sampler.state([9])]}),
        ("vocabulary of 7 tokens", ValueError, {"state": [state, sampler.state(vocab=7)]}),
        ("remembers for the steps of another Sampler", ValueError, {"state": [state, fl.Sampler().state()]}),
        ("remembers for the steps of another Sampler", ValueError,
         {"state": [state] * 2, "draft_logits": rows, "draft_sampler": fl.Sampler(mirostat=1)}),
    ):  # fmt: skip
        with pytest.raises(error, match=match):
            sampler.verify(rows, [[0], [1]], rng=1, **more)
    broken = rows.copy()
    broken[1, 0, 0] = np.nan
    states = [sampler.state([1]), sampler.state([2])]
    with pytest.raises(ValueError, match=r"target_logits\[1, 0\] contains NaN"):
        sampler.verify(broken, [[0], [1]], rng=1, state=states)
    found, status = sampler.verify(broken, [[0], [1]], rng=1, state=states, on_error="status")
    assert status.tolist() == [0, 1]
    assert found.ids[1].tolist() == [-1, -1]
    assert [each.tokens.tolist() for each in states] == [[1], [2]]
