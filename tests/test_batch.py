"""Batch: sequences join, leave and change places, and get what they get alone."""

from __future__ import annotations

import copy
import copyreg
import pickle
from typing import Any

import numpy as np
import pytest
from calls import refused
from test_state import logits

import fastlogits as fl

SAMPLERS = [
    fl.Sampler(temperature=0.7, top_k=20),
    fl.Sampler(repetition_penalty=1.3, temperature=1.1, top_p=0.9),
    fl.Sampler(frequency_penalty=0.4, presence_penalty=0.2, penalty_window=16, min_p=0.02),
    fl.Sampler(logit_bias={1: 2.0}, typical_p=0.8),
    fl.Sampler(top_k=[1, 5, 9]),
    fl.Sampler(mirostat=2, mirostat_tau=3.0, mirostat_eta=0.3),
]


def model(tokens: Any, v: int = 400) -> Any:
    """Logits that depend on the whole sequence."""
    return logits(v, seed=int(np.asarray(tokens, np.int64) @ (1 + np.arange(len(tokens)))))


def joined(rng: np.random.Generator) -> tuple[fl.Sampler, dict[str, Any]]:
    """A sampler and the inputs of its state."""
    sampler = SAMPLERS[rng.integers(len(SAMPLERS))]
    row = {"row": int(rng.integers(3))} if sampler.shape else {}
    return sampler, {"context": rng.integers(0, 400, rng.integers(1, 20)).tolist(), "prompt_length": 1, **row}


def test_continuous_batching() -> None:
    """Rows join, leave and change places; each gets the tokens that it gets alone."""
    rng, batch = np.random.default_rng(0), fl.Batch()
    alone: dict[int, fl.State] = {}
    drawn = 0
    for step in range(60):
        while rng.random() < 0.4 or not len(batch):
            sampler, inputs = joined(rng)
            handle = batch.add(sampler, **inputs)
            alone[handle] = sampler.state(**inputs, key=handle)
        if rng.random() < 0.2:
            gone = int(rng.choice(batch.handles))
            assert batch.remove(gone).tokens.tolist() == alone[gone].tokens.tolist()
            if not len(batch):
                continue
        if rng.random() < 0.3:
            batch.reorder(rng.permutation(batch.handles).tolist())
        x = np.array([model(batch[handle].tokens) for handle in batch.handles])
        ids = batch.sample(x, rng=9, threads=int(rng.integers(1, 3)))
        batch.accept(ids)
        for handle, row, token in zip(batch.handles, x, ids.tolist(), strict=True):
            state = alone[handle]
            assert state.sampler.sample(row, state=state, rng=9) == token, (step, handle)
            state.accept(token)
            drawn += 1
    assert drawn > 300


BESIDE: list[tuple[fl.Sampler, tuple[str, ...]]] = [
    (fl.Sampler(guidance_scale=1.6, top_k=20), ("uncond",)),
    (fl.Sampler(contrastive_alpha=0.05, temperature=0.9), ("amateur",)),
    (SAMPLERS[1], ()),
    (fl.Sampler(dexperts_alpha=0.8, frequency_penalty=0.4, min_p=0.01), ("expert", "anti")),
    (fl.Sampler(guidance_scale=0.5, guidance_space="raw", mirostat=2, mirostat_tau=3.0), ("uncond",)),
    (SAMPLERS[0], ()),
]


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_batch_of_guided_rows(isa: str, kind: Any, listed: bool) -> None:
    """Rows with others beside them and rows without: each as alone, whoever joins, leaves or changes places."""
    rng, batch = np.random.default_rng(4), fl.Batch()
    alone: dict[int, fl.State] = {}
    names: dict[int, tuple[str, ...]] = {}
    for step in range(14):
        for sampler, wanted in BESIDE if step == 0 else BESIDE[:2] if step == 5 else []:
            handle = batch.add(sampler, context=[1, 2])
            alone[handle], names[handle] = sampler.state([1, 2], key=handle), wanted
        if step % 4 == 3:
            batch.remove(int(rng.choice(batch.handles)))
        batch.reorder(rng.permutation(batch.handles).tolist())
        x = rng.normal(size=(len(batch), 300)).astype(kind) * 2
        around = {name: (x + rng.normal(size=x.shape)).astype(kind) for name in ("uncond", "amateur", "expert", "anti")}
        given: dict[str, Any] = {}
        for name, each in around.items():
            takers = [name in names[handle] for handle in batch.handles]
            each[~np.array(takers)] = np.nan  # never read
            if any(takers):
                given[name] = (
                    [row if takes else None for row, takes in zip(each, takers, strict=True)] if listed else each
                )
        ids = batch.sample(x, rng=step, threads=2, **given)
        batch.accept(ids)
        for r, (handle, token) in enumerate(zip(batch.handles, ids.tolist(), strict=True)):
            state, mine = alone[handle], {name: around[name][r] for name in names[handle]}
            assert state.sampler.sample(x[r], state=state, rng=step, **mine) == token, (step, handle)
            state.accept(token)


def test_batch_refuses_rows_beside() -> None:
    batch, x = fl.Batch(), np.zeros((2, 5), np.float32)
    batch.add(SAMPLERS[0])
    batch.add(BESIDE[0][0])
    bad = x.copy()
    bad[1, 2] = np.nan
    call: dict[str, Any]
    for error, message, call in (
        (TypeError, "Guidance of row 1 needs the argument uncond, rows to combine with the logits", {}),
        (
            TypeError,
            "amateur is given, but no Sampler of the batch combines it with the logits",
            {"uncond": x, "amateur": x},
        ),
        (ValueError, "uncond must have the shape of logits, (2, 5), got (1, 5)", {"uncond": x[1:]}),
        (ValueError, "uncond must hold one row or None per sequence (2 rows), got 1", {"uncond": [x[1]]}),
        (TypeError, "uncond[1] must be a row of logits, got None", {"uncond": [None, None]}),
        (TypeError, "uncond[0] must be None, as its Sampler combines none, got a row", {"uncond": [x[0], x[1]]}),
        (ValueError, "uncond[1] must have the shape of logits[1], (5,), got (4,)", {"uncond": [None, x[1, :4]]}),
        (TypeError, "uncond must have the dtype of logits, float32, got float64", {"uncond": x.astype(float)}),
        (ValueError, "uncond[1] contains NaN", {"uncond": bad}),
    ):
        with refused(error, message):
            batch.sample(x, rng=1, **call)
    ids, status = batch.sample(x, rng=1, uncond=bad, on_error="status")
    assert status.tolist() == [0, 1]
    assert ids[1] == -1


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_copies_of_batches_are_apart(way: Any) -> None:
    batch = fl.Batch()
    handles = [batch.add(sampler, context=[1]) for sampler in (SAMPLERS[1], SAMPLERS[5])]
    batch.remove(handles[0])
    handles[0] = batch.add(SAMPLERS[2], context=[4, 5])
    other = way(batch)
    assert other.handles == batch.handles == (1, 2)
    x = logits(400, rows=2)
    np.testing.assert_array_equal(other.sample(x, rng=3), batch.sample(x, rng=3))
    batch.accept(batch.sample(x, rng=3))
    assert [len(other[handle]) for handle in other.handles] == [1, 2]
    assert [len(batch[handle]) for handle in batch.handles] == [2, 3]
    other.remove(1)
    assert (other.handles, batch.handles) == ((2,), (1, 2))
    assert other.add(SAMPLERS[0]) == batch.add(SAMPLERS[0]) == 3


def test_batch_of_states() -> None:
    state = SAMPLERS[1].state([1, 2], key=77)
    batch = fl.Batch()
    first, second = batch.add(state), batch.add(SAMPLERS[0])
    state.accept(3)
    assert batch[first].tokens.tolist() == [1, 2]
    assert batch[first].key == 77
    assert batch[second].key == 1
    assert state.key == 77
    assert repr(batch).splitlines()[0] == "<Batch of 2>"
    result = batch.sample(logits(30, rows=2), rng=1, logprobs=2)
    assert result.top_ids.shape == (2, 2)
    empty = fl.Batch()
    assert empty.sample(np.empty((0, 5), np.float32), rng=1).shape == (0,)


def test_batch_refusals() -> None:
    batch = fl.Batch()
    handle = batch.add(SAMPLERS[3], context=[1, 2], vocab=30)
    batch.add(SAMPLERS[0])
    with refused(ValueError, "logits must hold one row per sequence of the batch, [2, V], got shape (3, 30)"):
        batch.sample(logits(30, rows=3), rng=1)
    with refused(ValueError, "state[0] has a vocabulary of 30 tokens, logits have 31"):
        batch.sample(logits(31, rows=2), rng=1)
    with refused(ValueError, "ids[0]: token id 30 must be in [0, 30)"):
        batch.accept([30, 1])
    with refused(ValueError, "ids must hold one token per row (2 rows), got 1"):
        batch.accept([3])
    for arguments in ((), (fl.Sampler(),)):
        with refused(TypeError, "a State is made by Sampler.state"):
            fl.State(*arguments)
        with refused(TypeError, "a State is made by Sampler.state"):
            fl.State.__new__(fl.State, *arguments)
        with refused(TypeError, "a State is made by Sampler.state"):
            copyreg.__newobj__(fl.State, *arguments)  # type: ignore[attr-defined]
    # Nothing that stands in the module opens the door.
    for each in vars(fl._core).values():
        with pytest.raises(TypeError):
            fl.State.__new__(fl.State, each)
    other = fl.Batch()
    for sampler in (fl.Sampler(), fl.Sampler(logit_bias={99: 1.0})):
        other.add(sampler)
    with refused(ValueError, "logit_bias: token id 99 must be in [0, 30), in row 1 of the batch"):
        other.sample(logits(30, rows=2), rng=1)
    with refused(ValueError, "handles must be those of the batch, each once: [0, 1], got [0, 0]"):
        batch.reorder([0, 0])
    with refused(ValueError, "handles must be those of the batch, each once: [0, 1], got ['a', 1]"):
        batch.reorder(["a", 1])  # type: ignore[list-item]
    with pytest.raises(KeyError, match="handle 7 is not in the batch"):
        batch.remove(7)
    with refused(TypeError, "a Batch takes a State or a Sampler, got int"):
        batch.add(3)  # type: ignore[arg-type]
    with refused(TypeError, "a State brings its own context and inputs"):
        batch.add(SAMPLERS[0].state(), vocab=3)
    banned = fl.Sampler(mask=[False] * 30)
    batch.add(banned)
    with refused(ValueError, "logits[2] has no token left after mask (step 0)"):
        batch.sample(logits(30, rows=3), rng=1)
    ids, status = batch.sample(logits(30, rows=3), rng=1, on_error="status")
    assert status.tolist() == [0, 0, 5]
    batch.accept(ids)
    assert [len(batch[h]) for h in batch.handles] == [3, 1, 0]
    assert batch.remove(handle).tokens.size == 3
    with pytest.raises(KeyError, match="handle 0 is not in the batch"):
        batch.remove(handle)
