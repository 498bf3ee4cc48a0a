"""Ids that no logit has: errors, or placeholders that keep their place and match nothing."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from typing import Any

import made
import numpy as np
import plans
import pytest
import rows

import fastlogits as fl
from fastlogits import reference
from fastlogits.__main__ import main
from fastlogits.llama_cpp import LogitsProcessor

V = 40
ROWS = np.random.default_rng(5).normal(size=(3, V)).astype(np.float32)
CONTEXT = [1, -200, -200, 2, 3, V, V, 2, -1, -200, -200, 2, 3, 2**40]
STEERING: dict[str, Any] = {
    "repetition_penalty": 1.5, "frequency_penalty": 0.5, "presence_penalty": 0.2, "penalty_window": 9,
    "dry_multiplier": 1.0, "dry_allowed_length": 1, "no_repeat_ngram_size": 2, "min_length": 15, "eos_token_id": 3,
    "sequence_bias": {(3, 9): 2.0}, "top_k": 30,
}  # fmt: skip
SAMPLER = fl.Sampler(**STEERING)
RIGHT = reference.filter_logits(ROWS, context=CONTEXT, **STEERING)


def with_placeholders(case: plans.Case) -> plans.Case:
    """The case with some tokens of its context outside the vocabulary, several of them the same ones."""
    rng = np.random.default_rng([case.seed, 0x00F])
    outside = rng.choice([-1, -200, case.row.size, case.row.size + 7, 2**31, 2**62], len(case.context))
    there = rng.random(len(case.context)) < rng.choice([0.1, 0.5, 1.0])
    context = np.where(there, outside, np.asarray(case.context, np.int64)).tolist()
    return replace(case, context=context, out_of_vocab="placeholder")


def close(found: Any, right: Any) -> None:
    np.testing.assert_allclose(found, right, rtol=2e-6)


def test_outputs_of_rows(isa: str) -> None:
    call = {"context": CONTEXT, "out_of_vocab": "placeholder"}
    close(SAMPLER.filter_logits(ROWS, **call), RIGHT)
    close(SAMPLER.probs(ROWS, **call), reference.softmax(RIGHT))
    assert SAMPLER.candidates(ROWS, **call).ids.tolist() == reference.candidates(ROWS, **call, **STEERING).ids.tolist()
    assert SAMPLER.sample(ROWS, rng=7, **call).tolist() == reference.sample(ROWS, rng=7, **call, **STEERING).tolist()
    found = SAMPLER.gumbel_max(ROWS, rng=7, n=4, **call)
    assert found.ids.tolist() == reference.gumbel_max(ROWS, rng=7, n=4, **call, **STEERING).ids.tolist()
    beams = SAMPLER.beam_step(ROWS, [0.0, -1.0, -2.0], **call)
    assert beams.ids.tolist() == reference.beam_step(ROWS, [0.0, -1.0, -2.0], **call, **STEERING).ids.tolist()
    last = SAMPLER.explain(ROWS, row=1, **call).steps[-1]
    assert last.survived == np.count_nonzero(RIGHT[1] > -np.inf)


def test_contexts_of_their_own() -> None:
    contexts = [CONTEXT, [], [-1] * 20]
    found = SAMPLER.filter_logits(ROWS, context=contexts, out_of_vocab="placeholder")
    close(found, reference.filter_logits(ROWS, context=contexts, **STEERING))
    several = SAMPLER.filter_logits(ROWS[:2], context=np.array([CONTEXT, CONTEXT[::-1]]), out_of_vocab="placeholder")
    close(several, reference.filter_logits(ROWS[:2], context=[CONTEXT, CONTEXT[::-1]], **STEERING))


def test_the_context_given_stays_as_it_is() -> None:
    for context in (np.array(CONTEXT), CONTEXT.copy()):
        SAMPLER.sample(ROWS[0], context=context, out_of_vocab="placeholder")
        SAMPLER.sample(ROWS, context=context, out_of_vocab="placeholder")
        assert list(context) == CONTEXT


@pytest.mark.parametrize("rng", [7, 2**63 + 1, "generator"])
def test_the_short_way_and_the_long_one(rng: Any) -> None:
    """A plain int64 context takes the short way until an id is outside; a Generator gives one word either way."""

    def source() -> Any:
        return np.random.default_rng(3) if rng == "generator" else rng

    for context in (np.array(CONTEXT), np.array([1, 2, 3])):
        first, second = source(), source()
        token = SAMPLER.sample(ROWS[0], context=context, rng=first, out_of_vocab="placeholder")
        batch = SAMPLER.sample(ROWS[:1], context=context.tolist(), rng=second, out_of_vocab="placeholder", keys=0)
        assert token == batch[0]
        if rng == "generator":
            assert first.random() == second.random()


def test_states_of_a_known_vocabulary() -> None:
    """Accepted one by one or at once, rolled back, copied and pickled: as with a context."""
    state = SAMPLER.state(CONTEXT[:3], vocab=V, out_of_vocab="placeholder")
    for token in CONTEXT[3:8]:
        state.accept(token)
    state.accept(CONTEXT[8:])
    right = np.clip(np.where(np.array(CONTEXT) >= V, -1, CONTEXT), -1, None).tolist()
    state.rollback(4)
    state.accept([-7, *CONTEXT[-3:]])
    assert state.out_of_vocab == "placeholder"
    for each in (state, state.copy(), copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        assert each.tokens.tolist() == right
        close(SAMPLER.filter_logits(ROWS[0], state=each), RIGHT[0])
        assert SAMPLER.sample(ROWS[0], state=each, rng=5) == reference.sample(
            ROWS[:1], rng=5, context=CONTEXT, **STEERING
        )
        each.accept(V)
        assert each.tokens.tolist() == [*right, -1]
    assert "out_of_vocab='placeholder'" in repr(state)


def test_states_learn_the_vocabulary_at_their_first_use() -> None:
    state = SAMPLER.state(CONTEXT, out_of_vocab="placeholder")
    assert state.tokens.tolist() == [-1 if t < 0 or t == 2**40 else t for t in CONTEXT]
    branch = state.copy()
    with pytest.raises(ValueError, match="NaN"):
        SAMPLER.sample(np.full(V, np.nan, np.float32), state=state, rng=1)
    assert state.vocab == 0, "a failed call leaves it as it was"
    close(SAMPLER.filter_logits(ROWS[0], state=state), RIGHT[0])
    assert state.vocab == V
    assert V not in state.tokens
    assert branch.vocab == 0
    assert V in branch.tokens
    wide = np.concatenate([ROWS[0], [1.0, 2.0]]).astype(np.float32)
    close(
        SAMPLER.filter_logits(wide, state=branch), reference.filter_logits(wide[None], context=CONTEXT, **STEERING)[0]
    )
    assert V in branch.tokens


def test_states_that_remember() -> None:
    sampler = fl.Sampler(mirostat=2, mirostat_tau=3.0)
    states = [sampler.state([1, 2], out_of_vocab=mode) for mode in ("error", "placeholder")]
    states[1].accept(V + 1)
    states[0].accept(5)
    for position in range(5):
        drawn = [sampler.sample(ROWS[0], state=state, rng=position) for state in states]
        assert drawn[0] == drawn[1]
        for state in states:
            state.accept(drawn[0])


def test_random_states() -> None:
    """A state that accepts, rolls back and learns is the context, for random plans."""
    for seed in range(600_000, 600_080):
        case = with_placeholders(plans.random_case(seed))
        sampler, rng = fl.Sampler(*case.plan), np.random.default_rng(seed)
        state = sampler.state(
            case.context, prompt_length=case.prompt_length, vocab=case.row.size if seed % 2 else None,
            out_of_vocab="placeholder",
        )  # fmt: skip
        back = int(rng.integers(0, len(case.context) + 1))
        state.rollback(back)
        state.accept(case.context[len(case.context) - back :])
        found = sampler.sample(case.row, state=state, rng=seed, on_error="status", **case.beside)
        right = sampler.sample(case.row, **case.inputs(), rng=seed, keys=0, on_error="status")
        assert found == right, case
        kept, status = sampler.probs(case.row, state=state, rng=seed, on_error="status", **case.beside)
        if not status:
            assert rows.same_bits(kept, sampler.probs(case.row, **case.inputs(), rng=seed)), case


def test_batches() -> None:
    batch = fl.Batch()
    handles = [batch.add(SAMPLER, context=CONTEXT, key=0, out_of_vocab="placeholder"), batch.add(fl.Sampler())]
    found = batch.sample(ROWS[:2], rng=7)
    assert found[0] == SAMPLER.sample(ROWS[0], context=CONTEXT, rng=7, out_of_vocab="placeholder")
    batch.accept([V + 3, 1])
    assert batch[handles[0]].tokens[-1] == -1
    with pytest.raises(ValueError, match=rf"ids\[1\]: token id {V} must be in"):
        batch.accept([1, V])
    batch.accept([-1, -1])  # rows that failed
    assert [len(batch[each]) for each in handles] == [len(CONTEXT) + 1, 1]


def test_verify() -> None:
    target, drafts = np.stack([ROWS, ROWS[::-1]]), np.array([[1, 2], [3, 4]])
    call: dict[str, Any] = {"context": CONTEXT, "rng": 3, "out_of_vocab": "placeholder", **STEERING}
    found, right = fl.verify(target, drafts, **call), reference.verify(target, drafts, **call)
    assert found.ids.tolist() == right.ids.tolist()
    states = [SAMPLER.state(CONTEXT, key=r, out_of_vocab="placeholder") for r in range(2)]
    assert SAMPLER.verify(target, drafts, rng=3, state=states).ids.tolist() == right.ids.tolist()


def test_llama_cpp_with_image_placeholders() -> None:
    """The client's vision path puts negative ids where the image stands."""
    processor, ids = LogitsProcessor(**STEERING), np.array([1, -100, -101, 2, 3, V + 2, 2, 3], np.intc)
    for size in (4, 6, 8):
        kept = processor(ids[:size], ROWS[0].copy())
        close(kept, reference.filter_logits(ROWS[:1], context=ids[:size], **STEERING)[0])


def test_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    ft = pytest.importorskip("fastlogits.torch")
    x = torch.from_numpy(ROWS)
    close(ft.filter_logits(x, context=CONTEXT, out_of_vocab="placeholder", **STEERING).numpy(), RIGHT)
    drawn = ft.sample(
        x, context=CONTEXT, out_of_vocab="placeholder", generator=torch.Generator().manual_seed(1), **STEERING
    )
    assert np.isfinite(RIGHT[np.arange(3), drawn.numpy()]).all()
    with pytest.raises(ValueError, match=r"context\[0\]: token id -200"):
        ft.sample(x, context=CONTEXT, **STEERING)


def test_a_placeholder_is_no_token_of_any_step() -> None:
    """Steps that count, ban or repeat read a context of placeholders as one of that length without any token."""
    for seed in range(60):
        numbers = made.Numbers.of(np.random.default_rng(seed), V, 30)
        for name in (*made.REPEATS, *made.TOKENS):
            sampler = fl.Sampler(made.step(name, numbers))
            call: dict[str, Any] = {"context": [-1] * 30, "prompt_length": 3, "out_of_vocab": "placeholder"}
            found, status = sampler.filter_logits(ROWS[0], **call, on_error="status")
            row = reference.Row(ROWS[0], [-1] * 30, 3)
            try:
                right = reference.process(row, sampler.steps)
            except ValueError:
                assert status
                continue
            close(found, right)


@pytest.mark.parametrize("word", ["ignore", None, True, 3])
def test_other_words(word: Any) -> None:
    for call in (
        lambda: SAMPLER.sample(ROWS[0], out_of_vocab=word),
        lambda: SAMPLER.probs(ROWS, out_of_vocab=word),
        lambda: SAMPLER.state([1], out_of_vocab=word),
        lambda: fl.sample(ROWS, out_of_vocab=word),
        lambda: fl.verify(ROWS[None], [[1, 2]], out_of_vocab=word),
    ):
        with pytest.raises(ValueError, match="out_of_vocab must be 'error' or 'placeholder', got"):
            call()


def test_errors_as_ever() -> None:
    for call in (SAMPLER.sample, SAMPLER.probs, SAMPLER.candidates, fl.sample):
        with pytest.raises(ValueError, match=r"context: token id -200 must be in \[0, 40\)"):
            call(ROWS[0], context=CONTEXT)
    with pytest.raises(ValueError, match=r"context: token id -200 must be in"):
        SAMPLER.state(CONTEXT)
    with pytest.raises(TypeError, match="state brings its own out_of_vocab"):
        SAMPLER.sample(ROWS[0], state=SAMPLER.state(), out_of_vocab="placeholder")
    with pytest.raises(TypeError, match="token ids must be integers"):
        SAMPLER.sample(ROWS[0], context=[1.5], out_of_vocab="placeholder")


def test_the_command_line(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    command = [
        "sample",
        str(tmp_path / "rows.npy"),
        "--seed",
        "3",
        "--repetition-penalty",
        "1.5",
        "--context",
        "[1,-200,2]",
    ]
    assert main(command) != 0
    assert "context: token id -200 must be in [0, 40)" in capsys.readouterr().err
    assert main([*command, "--out-of-vocab", "placeholder", "--json"]) == 0
    drawn = fl.sample(ROWS, context=[1, -200, 2], rng=3, repetition_penalty=1.5, out_of_vocab="placeholder")
    assert [each["id"] for each in json.loads(capsys.readouterr().out)["rows"]] == drawn.tolist()
