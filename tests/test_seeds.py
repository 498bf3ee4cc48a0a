"""One seed per row: every output of a batch is what each row gives alone with its seed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import plans
import pytest
import rows

import fastlogits as fl
from fastlogits import reference

SEEDS = [7, 0, 7, 2**63 + 5, 2**70]
ROWS = np.random.default_rng(3).normal(size=(5, 80)).astype(np.float32)
RANDOM = fl.Sampler(temperature=1.5, xtc_probability=0.5, xtc_threshold=0.01)


def alone(call: Any) -> Any:
    """What a call says of each row by itself."""
    return [call(row, seed) for row, seed in zip(ROWS, SEEDS, strict=True)]


def test_rows_of_one_seed_draw_what_they_draw_alone(isa: str) -> None:
    right = alone(lambda row, seed: RANDOM.sample(row, rng=seed))
    assert len(set(right)) > 2
    assert RANDOM.sample(ROWS, rng=SEEDS).tolist() == right
    assert (
        fl.sample(ROWS, rng=tuple(SEEDS), threads=2, temperature=1.5, xtc_probability=0.5, xtc_threshold=0.01).tolist()
        == right
    )
    assert reference.sample(ROWS, plan=RANDOM.steps, rng=SEEDS).tolist() == right


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, object])
def test_arrays_of_seeds(dtype: Any) -> None:
    seeds = np.array([3, 1, 3, 250, 9], dtype)
    right = [RANDOM.sample(row, rng=int(seed)) for row, seed in zip(ROWS, seeds, strict=True)]
    assert RANDOM.sample(ROWS, rng=seeds).tolist() == right
    nested = RANDOM.sample(ROWS[:4].reshape(2, 2, 80), rng=seeds[:4].reshape(2, 2))
    assert nested.ravel().tolist() == right[:4]
    assert RANDOM.sample(ROWS[:1], rng=seeds[:1]).tolist() == right[:1]
    assert RANDOM.sample(ROWS[:0], rng=seeds[:0]).tolist() == []


def test_other_outputs() -> None:
    right = alone(lambda row, seed: RANDOM.sample(row, rng=seed, n=6))
    np.testing.assert_array_equal(RANDOM.sample(ROWS, rng=SEEDS, n=6), right)
    right = alone(lambda row, seed: RANDOM.sample(row, rng=seed, n=6, replacement=False))
    np.testing.assert_array_equal(RANDOM.sample(ROWS, rng=SEEDS, n=6, replacement=False), right)
    assert rows.same_bits(RANDOM.probs(ROWS, rng=SEEDS), np.stack(alone(lambda row, seed: RANDOM.probs(row, rng=seed))))
    kept = alone(lambda row, seed: RANDOM.candidates(row, rng=seed).ids)
    assert RANDOM.candidates(ROWS, rng=SEEDS).ids.tolist() == np.concatenate(kept).tolist()
    found = RANDOM.gumbel_max(ROWS, rng=SEEDS, n=3)
    np.testing.assert_array_equal(found.ids, alone(lambda row, seed: RANDOM.gumbel_max(row, rng=seed, n=3).ids))
    np.testing.assert_array_equal(found.ids, reference.gumbel_max(ROWS, plan=RANDOM.steps, rng=SEEDS, n=3).ids)
    for r, seed in enumerate(SEEDS):
        assert str(RANDOM.explain(ROWS, row=r, rng=SEEDS)) == str(RANDOM.explain(ROWS[r], rng=seed))


def test_verify() -> None:
    target = np.random.default_rng(1).normal(size=(5, 4, 30))
    drafts = np.random.default_rng(2).integers(0, 30, (5, 3))
    found = fl.verify(target, drafts, rng=SEEDS, temperature=3.0)
    right = [fl.verify(target[r], drafts[r], rng=seed, temperature=3.0).ids for r, seed in enumerate(SEEDS)]
    np.testing.assert_array_equal(found.ids, right)
    np.testing.assert_array_equal(found.ids, reference.verify(target, drafts, rng=SEEDS, temperature=3.0).ids)
    states = [fl.Sampler(temperature=3.0).state() for _ in SEEDS]
    np.testing.assert_array_equal(fl.verify(target, drafts, rng=SEEDS, temperature=3.0, state=states).ids, right)


def test_random_plans() -> None:
    """Rows of random plans, with contexts and positions of their own."""
    for seed in range(400_000, 400_040):
        cases = plans.alike(seed, 3)
        sampler = fl.Sampler(*plans.merged([case.plan for case in cases], cases[0].row.size))
        call: dict[str, Any] = {
            "context": [case.context for case in cases], "prompt_length": [case.prompt_length for case in cases],
            **{name: np.stack([case.beside[name] for case in cases]) for name in cases[0].beside},
        }  # fmt: skip
        seeds = [seed, 5, seed]
        token, status = sampler.sample(np.stack([case.row for case in cases]), **call, rng=seeds, on_error="status")
        for r, case in enumerate(cases):
            own = {"context": case.context, "prompt_length": case.prompt_length, **case.beside}
            one = fl.Sampler(*case.plan).sample(case.row, **own, rng=seeds[r], on_error="status")
            assert one == (token[r], status[r]), case


def test_keys_given_are_used() -> None:
    assert RANDOM.sample(ROWS, rng=[7] * 5, keys=np.arange(5)).tolist() == RANDOM.sample(ROWS, rng=7).tolist()
    states = [RANDOM.state(key=r) for r in range(5)]
    assert RANDOM.sample(ROWS, rng=[7] * 5, state=states).tolist() == RANDOM.sample(ROWS, rng=7).tolist()


def test_states_and_batches() -> None:
    """A key that nobody chose is 0: neither the row nor the handle counts, before and after copies and pickles."""
    right = alone(lambda row, seed: RANDOM.sample(row, rng=seed))
    states = [RANDOM.state() for _ in SEEDS]
    assert RANDOM.sample(ROWS, rng=SEEDS, state=states).tolist() == right
    batch = fl.Batch()
    batch.add(RANDOM)
    for _ in SEEDS:
        batch.add(RANDOM)
    batch.remove(0)
    for each in (batch, copy.copy(batch), pickle.loads(pickle.dumps(batch))):
        assert each.sample(ROWS, rng=SEEDS).tolist() == right
        assert each.sample(ROWS, rng=7).tolist() == RANDOM.sample(ROWS, rng=7, keys=range(1, 6)).tolist()


def test_none_is_random() -> None:
    flat = np.zeros((3, 1 << 20), np.float32)
    drawn = [fl.sample(flat, rng=[None, 7, None]).tolist() for _ in range(3)]
    assert len({each[0] for each in drawn}) > 1
    assert len({each[1] for each in drawn}) == 1
    assert any(each[0] != each[2] for each in drawn)


@pytest.mark.parametrize(
    ("rng", "message"),
    [
        ([1, 2], r"rng must hold one seed per row \(5 rows\), got 2; .*default_rng"),
        (7 * np.ones((5, 1), int), r"rng must hold one seed per row \(5 rows\), got shape \(5, 1\)"),
        ([1, 2, -3, 4, 5], r"rng\[2\] must be >= 0, got -3"),
        ([1, 2, True, 4, 5], r"rng\[2\] must be an integer >= 0 or None, got True"),
        ([1, 2, 3, 4.5, 5], r"rng\[3\] must be an integer >= 0 or None, got 4.5"),
        (np.ones(5), r"rng\[0\] must be an integer >= 0 or None, got 1"),
        ([1, 2, 3, 4, np.random.default_rng(1)], r"rng\[4\] must be an integer >= 0 or None"),
        ({1: 2}, "rng must be an integer, .*got dict"),
        ("12345", "rng must be an integer, .*got str"),
    ],
)
def test_bad_seeds(rng: Any, message: str) -> None:
    for call in (RANDOM.sample, RANDOM.probs, fl.Sampler().probs, fl.Sampler().gumbel_max):
        with pytest.raises((TypeError, ValueError), match=message):
            call(ROWS, rng=rng)


def test_a_single_row_takes_one_seed() -> None:
    for call in (RANDOM.sample, RANDOM.probs, fl.sample, fl.gumbel_max):
        with pytest.raises(TypeError, match=r"rng must be one seed for one row, got 1; .*default_rng"):
            call(ROWS[0], rng=[7])
