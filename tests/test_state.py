"""State and Batch: what they give is what the context gives, after any accept, rollback, copy and pickling."""

from __future__ import annotations

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
