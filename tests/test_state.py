"""State and Batch: what they give is what the context gives, after any accept, rollback, copy and pickling."""

from __future__ import annotations

import copy
import copyreg
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import plans
import pytest
from calls import refused

import fastlogits as fl

ENDS = ("probs", "filter_logits", "candidates", "sample")


def logits(v: int, seed: int = 0, rows: int = 0) -> Any:
    size = (rows, v) if rows else v
    return (3 * np.random.default_rng(seed).normal(size=size)).astype(np.float32)


def bits(result: Any) -> Any:
    """A result as something that == compares to the bit."""
    if isinstance(result, fl.Candidates):
        result = (result.ids, result.logits, result.logprobs, result.offsets)
    if isinstance(result, tuple):
        return [bits(each) for each in result]
    return (result.dtype, result.tobytes()) if isinstance(result, np.ndarray) else result


def outcome(end: str, sampler: fl.Sampler, row: Any, **inputs: Any) -> Any:
    """What an end gives, or the words of its error."""
    extra: dict[str, Any] = {"logprobs": 3} if end == "sample" else {}
    try:
        return bits(getattr(sampler, end)(row, rng=11, **extra, **inputs))
    except ValueError as error:
        return str(error)


class Twin:
    """A state beside the plain list that says what it should hold."""

    def __init__(
        self, sampler: fl.Sampler, tokens: list[int], prompt_length: int, beside: dict[str, Any] | None = None
    ) -> None:
        self.sampler, self.tokens, self.prompt_length, self.beside = sampler, tokens, prompt_length, beside or {}
        self.state = sampler.state(tokens, prompt_length=prompt_length, key=5)

    def change(self, rng: np.random.Generator, v: int) -> None:
        kind = rng.integers(5)
        if kind < 2:
            new = rng.integers(0, v, rng.integers(1, 30)).tolist()
            self.state.accept(new if rng.random() < 0.5 or len(new) > 1 else new[0])
            self.tokens = self.tokens + new
        elif kind == 2:
            n = int(rng.integers(0, min(len(self.tokens), 40) + 1))
            self.state.rollback(n)
            self.tokens = self.tokens[: len(self.tokens) - n]
        elif kind == 3:
            other = self.state.copy()
            other.accept(rng.integers(0, v, 3))
            other.rollback(int(rng.integers(0, len(other) + 1)))
            self.state = self.state.copy() if rng.random() < 0.5 else self.state
        else:
            self.state = pickle.loads(pickle.dumps(self.state))

    def check(self, end: str, row: Any) -> None:
        inputs: dict[str, Any] = {"context": self.tokens, "prompt_length": self.prompt_length, "keys": 5}
        inputs |= self.beside
        assert self.state.tokens.tolist() == self.tokens
        right = outcome(end, self.sampler, row, **inputs)
        assert outcome(end, self.sampler, row, state=self.state, **self.beside) == right, (self.state, end)


def run_twins(seeds: range) -> None:
    for seed in seeds:
        case, rng = plans.random_case(seed), np.random.default_rng([seed, 1])
        few = min(case.row.size, int(rng.choice([1, 2, 5, 50, 5000])))
        context = [token % few for token in case.context]
        # What steps remember is no matter of the tokens alone; `test_memory` looks at it.
        plan = [step for step in case.plan if step.name not in ("mirostat", "adaptive_p")]
        twin = Twin(fl.Sampler(*plan), context, case.prompt_length, case.beside)
        for _ in range(5):
            twin.check(ENDS[rng.integers(4)], case.row)
            twin.change(rng, few)
        twin.check(ENDS[rng.integers(4)], case.row)


def test_state_equals_context(isa: str) -> None:
    """To the bit, on random plans, after any changes."""
    run_twins(range(150))


@pytest.mark.slow
def test_state_equals_context_on_many_plans() -> None:
    run_twins(range(1000, 6000))


def test_loop() -> None:
    """The decoding loop of the state is that of the context, with parameters and keys per row."""
    x = logits(300, rows=4)
    sampler = fl.Sampler(repetition_penalty=[1.1, 1.0, 2.0, 1.3], frequency_penalty=0.1, temperature=0.9, top_k=20)
    contexts: list[list[int]] = [[1, 2, 3], [], [5] * 70, [7, 8]]
    states = [sampler.state(c, row=r, prompt_length=2) for r, c in enumerate(contexts)]
    for _ in range(20):
        ids = sampler.sample(x, state=states, rng=3)
        assert np.array_equal(ids, sampler.sample(x, context=contexts, prompt_length=2, rng=3))
        for r, token in enumerate(ids.tolist()):
            states[r].accept(token)
            contexts[r].append(token)
    assert [state.tokens.tolist() for state in states] == contexts
    nested = sampler.sample(x.reshape(2, 2, -1), state=states, rng=3)
    assert np.array_equal(nested, sampler.sample(x, state=states, rng=3).reshape(2, 2))


def test_functions_and_explain() -> None:
    row = logits(50)
    state = fl.Sampler(repetition_penalty=2.0).state([1, 2], position=9, key=4)
    keywords: dict[str, Any] = {"repetition_penalty": 2.0, "top_k": 5}
    given: dict[str, Any] = {"context": [1, 2], "position": 9, "keys": 4}
    for end in ("probs", "filter_logits", "candidates", "sample"):
        function = getattr(fl, end)
        assert bits(function(row, state=state, rng=1, **keywords)) == bits(function(row, rng=1, **given, **keywords))
    sampler = fl.Sampler(**keywords)
    assert repr(sampler.explain(row, state=state)) == repr(sampler.explain(row, context=[1, 2]))  # may hold NaN


def test_position_and_key() -> None:
    state = fl.Sampler().state([1, 2, 3], position=100, key=2**63)
    state.accept(4)
    assert (state.position, len(state)) == (101, 4)
    state.rollback(2)
    assert state.position == 99
    row = logits(1000)
    sampler = fl.Sampler()
    assert sampler.sample(row, state=state, rng=1) == sampler.sample(row, position=99, keys=2**63, rng=1)
    assert pickle.loads(pickle.dumps(state)).position == 99


def test_copies_are_apart() -> None:
    state = fl.Sampler(frequency_penalty=1.0).state(range(10))
    copies = [state.copy() for _ in range(3)]
    for i, each in enumerate(copies):
        each.accept(i)
    state.rollback(5)
    assert [copy.tokens.tolist() for copy in copies] == [[*range(10), i] for i in range(3)]
    assert state.tokens.tolist() == [0, 1, 2, 3, 4]


def test_tries_that_were_taken_back_take_no_room() -> None:
    state = fl.Sampler(frequency_penalty=1.0, no_repeat_ngram_size=3).state([1, 2, 1])
    for i in range(300):
        state.accept(range(100 * i, 100 * i + 90))
        state.rollback(90)
    assert state.tokens.tolist() == [1, 2, 1]
    assert fl.Sampler(frequency_penalty=1.0).filter_logits(np.zeros(3), state=state).tolist() == [0, -2, -1]


def test_repr() -> None:
    sampler = fl.Sampler(top_k=3)
    assert repr(sampler.state()) == "State(Sampler(TopK(3)), <0 tokens>)"
    state = sampler.state([1], prompt_length=1, row=2, key=3, position=4, vocab=5)
    assert repr(state) == "State(Sampler(TopK(3)), <1 tokens>, prompt_length=1, position=4, key=3, row=2, vocab=5)"
    assert state.sampler is sampler


def test_refusals() -> None:
    sampler = fl.Sampler(repetition_penalty=1.3)
    row = logits(10)
    state = sampler.state([1, 2], vocab=10)
    before = bits(sampler.probs(row, state=state))
    bad: list[tuple[type[Exception], str, Any]] = [
        (ValueError, "token: token id 10 must be in [0, 10)", lambda: state.accept(10)),
        (ValueError, "token: token id -1 must be in [0, 10)", lambda: state.accept(-1)),
        (ValueError, "tokens: token id 12 must be in [0, 10)", lambda: state.accept([3, 12, 4])),
        (TypeError, "token ids must be integers, got dtype float64", lambda: state.accept(1.0)),
        (TypeError, "token ids must be integers, got dtype <U1", lambda: state.accept("a")),
        (ValueError, "n must be in [0, 2], the number of tokens, got 3", lambda: state.rollback(3)),
        (ValueError, "n must be in [0, 2], the number of tokens, got -1", lambda: state.rollback(-1)),
        (TypeError, "n must be an integer, got 1.0", lambda: state.rollback(1.0)),
        (ValueError, "state has a vocabulary of 10 tokens, logits have 9",
         lambda: sampler.probs(row[:9], state=state)),
        (ValueError, "state[1] has a vocabulary of 10 tokens, logits have 9",
         lambda: sampler.probs(logits(9, rows=2), state=[sampler.state(), state])),
        (TypeError, "state brings its own context", lambda: sampler.probs(row, state=state, context=[1])),
        (TypeError, "state brings its own prompt_length", lambda: sampler.probs(row, state=state, prompt_length=1)),
        (TypeError, "state brings its own position", lambda: sampler.sample(row, state=state, position=1)),
        (TypeError, "state brings its own keys", lambda: sampler.sample(row, state=state, keys=1)),
        (TypeError, "state must be a State or a list with one State per row, got 3",
         lambda: sampler.sample(row, state=3)),
        (ValueError, "state must hold one State per row (2 rows), got 1",
         lambda: sampler.probs(logits(10, rows=2), state=[state])),
        (ValueError, "state must hold one State per row (2 rows), got 1",
         lambda: sampler.probs(logits(10, rows=2), state=state)),
        (ValueError, "context: token id 7 must be in [0, 7)", lambda: sampler.state([3, 7], vocab=7)),
        (ValueError, "prompt_length must be an integer >= 0, got -1", lambda: sampler.state(prompt_length=-1)),
        (ValueError, "vocab must be an integer >= 1, got 0", lambda: sampler.state(vocab=0)),
        (TypeError, "key must be an integer", lambda: sampler.state(key=1.5)),
    ]  # fmt: skip
    for error, words, call in bad:
        with refused(error, words):
            call()
    assert bits(sampler.probs(row, state=state)) == before
    young = sampler.state([1, 12])
    with refused(ValueError, "state: token id 12 must be in [0, 10)"):
        sampler.probs(row, state=young)
    assert young.vocab == 0


def test_vocabulary_is_known_after_the_first_use() -> None:
    sampler = fl.Sampler(repetition_penalty=1.3)
    state = sampler.state([1])
    state.accept(5000)
    state.rollback()
    sampler.probs(logits(10), state=state)
    assert state.vocab == 10
    with refused(ValueError, "token id 10 must be in [0, 10)"):
        state.accept(10)
    # A call that fails does not say how large the vocabulary is.
    other = sampler.state([1])
    with refused(ValueError, "logits contains NaN"):
        sampler.probs([np.nan, 1.0], state=other)
    assert other.vocab == 0


def test_rows_of_parameters() -> None:
    sampler = fl.Sampler(top_k=[1, 2, 3])
    with refused(ValueError, "the Sampler has parameters of 3 rows: row= must say whose"):
        sampler.state()
    with refused(ValueError, "row must be in [0, 3), got 3"):
        sampler.state(row=3)
    with refused(ValueError, "a state needs a Sampler whose per-row parameters all form one axis"):
        fl.Sampler(top_k=[[1, 2], [3, 4]]).state(row=0)
    row = logits(10)
    for r in range(3):
        assert sampler.candidates(row, state=sampler.state(row=r)).ids.size == r + 1
    other = fl.Sampler(top_k=[1, 2])
    with refused(ValueError, "state uses the parameters of row 2, the Sampler has 2 rows"):
        other.probs(row, state=sampler.state(row=2))


def test_status_leaves_states_alone() -> None:
    sampler = fl.Sampler(repetition_penalty=1.3, top_k=2)
    states = [sampler.state([1, 2]), sampler.state([3])]
    x = logits(20, rows=2)
    x[1, 3] = np.nan
    ids, status = sampler.sample(x, state=states, rng=1, on_error="status")
    assert ids[1] == -1
    assert status.tolist() == [0, 1]
    assert [len(state) for state in states] == [2, 1]


def test_threads() -> None:
    """Many threads read the same states while others branch off and change."""
    sampler = fl.Sampler(repetition_penalty=1.2, frequency_penalty=0.3, top_k=20)
    x = logits(5000, rows=16)
    states = [sampler.state(np.arange(r, 200 + r), vocab=5000) for r in range(16)]
    right = sampler.sample(x, state=states, rng=5)

    def work(seed: int) -> bool:
        branch = states[seed % 16].copy()
        branch.accept(np.random.default_rng(seed).integers(0, 5000, 300))
        branch.rollback(300)
        same = sampler.sample(x, state=states, rng=5, threads=2)
        alone = sampler.sample(x[seed % 16], state=branch, rng=5)
        again = sampler.sample(x[seed % 16], context=np.arange(seed % 16, 200 + seed % 16), rng=5)
        return bool(np.array_equal(same, right)) and alone == again

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(40)))


def test_sampling_while_a_state_changes() -> None:
    """A call keeps what it began with."""
    sampler = fl.Sampler(repetition_penalty=1.2, top_k=20)
    x, state = logits(60_000), sampler.state(range(100), key=1, vocab=60_000)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(sampler.sample, x, state=state, rng=i) for i in range(50)]
        for i in range(500):
            state.accept(i)
    assert all(0 <= call.result() < 60_000 for call in calls)
    assert len(state) == 600


@pytest.mark.parametrize("keywords", [{"mirostat": 2, "mirostat_eta": 0.5}, {"mirostat": 1, "mirostat_eta": 1.0},
                                      {"adaptive_target": 0.3}])  # fmt: skip
def test_memory(keywords: dict[str, Any]) -> None:
    """What steps remember follows the accepted tokens, comes back with a rollback, and goes along into copies."""
    sampler, x = fl.Sampler(top_k=[200, 250], **keywords), logits(300) / 6
    state = sampler.state([1, 2], key=3, row=1)
    drawn, kept = [], []
    for _ in range(12):
        kept.append(bits(sampler.probs(x, state=state)))
        drawn.append(sampler.sample(x, state=state, rng=1))
        state = pickle.loads(pickle.dumps(state)) if len(drawn) % 3 else state.copy()
        state.accept(drawn[-1])
    assert len(set(map(str, kept))) > 3
    state.rollback(7)
    for i in range(5, 12):
        assert bits(sampler.probs(x, state=state)) == kept[i]
        assert sampler.sample(x, state=state, rng=1) == drawn[i]
        state.accept(drawn[i])
    # A token that was not drawn teaches nothing.
    state.rollback(12)
    assert bits(sampler.probs(x, state=state)) == kept[0]
    state.accept((sampler.sample(x, state=state, rng=1) + 1) % 300)
    assert bits(sampler.probs(x, state=state)) == kept[0]
    with refused(ValueError, "state remembers for the steps of another Sampler"):
        fl.Sampler(mirostat=2, mirostat_tau=9.0).probs(x, state=state)


# ---- Batch ------------------------------------------------------------------------------------------------------


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
        (TypeError, "Guidance of row 1 needs the argument uncond, rows beside the logits", {}),
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
