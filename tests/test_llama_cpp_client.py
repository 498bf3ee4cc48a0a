"""fastlogits.llama_cpp beside llama-cpp-python itself: every option step by step, models side by side, its server."""

from __future__ import annotations

import contextlib
import ctypes
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import models
import numpy as np
import pytest
from numpy.typing import NDArray

import fastlogits as fl
from fastlogits import llama_cpp as adapter
from fastlogits.llama_cpp import sampling

client = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: several minutes to build")
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")  # of its server's own streams

RECORD = np.dtype([("id", np.intc), ("logit", np.float32), ("p", np.float32)])
PROMPT = "The sea is"
MESSAGES = [{"role": "user", "content": "Tell me about the sea."}]
SMALL, OTHER = 2_000, 700  # sizes of the vocabularies of random weights


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Models of two vocabularies."""
    folder = tmp_path_factory.mktemp("models")
    return models.random_weights(folder, SMALL), models.random_weights(folder, OTHER)


def opened(path: str, **options: Any) -> Any:
    return client.Llama(path, **{"n_ctx": 256, "logits_all": True, "verbose": False, "seed": 5} | options)


@pytest.fixture(scope="module")
def llama(paths: tuple[str, str]) -> Any:
    return opened(paths[0])


@pytest.fixture(scope="module")
def other(paths: tuple[str, str]) -> Any:
    return opened(paths[1])


@pytest.fixture(scope="module", params=["SmolLM2-135M", "random weights"])
def text(request: pytest.FixtureRequest) -> tuple[Any, NDArray[np.float32]]:
    """A model, and its logits behind each token of a text [n, V]."""
    path = models.smollm2() if request.param.startswith("Smol") else request.getfixturevalue("paths")[0]
    llama = opened(path)
    llama.eval(llama.tokenize(b"Once upon a time there was a lighthouse at the end of the world, and"))
    return llama, llama._scores.copy()


# ---- their chain and ours, step by step ------------------------------------------------------------------------------


def applied(sampler: int, row: NDArray[np.float32]) -> tuple[NDArray[np.float64], int]:
    """What a chain of llama.cpp draws from, and the token that it draws and accepts."""
    records = np.zeros(row.size, RECORD)
    records["id"], records["logit"] = np.arange(row.size), row
    data = records.ctypes.data_as(client.llama_cpp.llama_token_data_p)
    array = client.llama_cpp.llama_token_data_array(data, row.size, -1, False)
    client.llama_sampler_apply(sampler, ctypes.byref(array))
    kept = np.ctypeslib.as_array(array.data, (array.size,))
    token = int(kept["id"][array.selected])
    client.llama_sampler_accept(sampler, token)
    p = np.zeros(row.size)
    p[kept["id"]] = kept["p"]
    if not p.any():  # greedy leaves no probabilities
        p[token] = 1.0
    return p, token


def told(sampler: fl.Sampler, state: Any, row: NDArray[np.float32], token: int) -> None:
    """Has the state take a token as one that this row drew."""
    sampler.verify(np.stack([row, row]), [token], draft_logits=row[None], state=state, rng=0)
    state.accept(token)


def assert_same_steps(theirs: int, sampler: fl.Sampler, rows: NDArray[np.float32]) -> None:
    """Over a text whose tokens the client draws, both draw from the same distribution at every step."""
    state = sampler.state()
    for i, row in enumerate(rows):
        wanted, token = applied(theirs, row)
        apart = np.abs(sampler.probs(row, state=state) - wanted).sum() / 2
        assert apart < 1e-5, i
        told(sampler, state, row, token)


GRID: list[dict[str, Any]] = [
    {},
    {"temp": 0.0},
    {"temp": 0.0, "repeat_penalty": 1.5},
    {"temp": 0.0, "frequency_penalty": 3.0},
    {"temp": -1.0},
    {"temp": 1e-3},
    {"temp": 2.5, "top_k": 0, "min_p": 0.0, "top_p": 1.0},
    {"top_k": 1},
    {"top_k": 7},
    {"top_k": -3, "top_p": 0.5},
    {"top_k": 10**9, "top_p": 1.5},
    {"top_p": 0.0},
    {"top_p": -1.0},
    {"top_k": 0, "top_p": 0.3, "min_p": 0.0},
    {"top_k": 0, "top_p": 1.0, "min_p": 0.3},
    {"min_p": -0.5},
    {"min_p": 2.0},
    {"typical_p": 0.4, "top_k": 0},
    {"typical_p": 0.9, "top_p": 0.6},
    {"typical_p": 0.0},
    {"typical_p": -0.5},
    {"typical_p": 1.5},
    {"repeat_penalty": 1.3},
    {"repeat_penalty": 0.5, "top_k": 0},
    {"frequency_penalty": 0.7, "presence_penalty": -0.4},
    {"presence_penalty": 1.5, "repeat_penalty": 1.1, "frequency_penalty": -0.5},
    {"tfs_z": 0.5, "penalize_nl": False},
    {"mirostat_mode": 3},
    {"mirostat_mode": 1},
    {"mirostat_mode": 1, "mirostat_tau": 3.0, "mirostat_eta": 0.5, "temp": 0.3, "top_k": 2},
    {"mirostat_mode": 2},
    {"mirostat_mode": 2, "mirostat_tau": 1.0, "mirostat_eta": 0.3},
    {"mirostat_mode": 2, "mirostat_tau": 3.0, "repeat_penalty": 1.4, "presence_penalty": 0.5},
    {"mirostat_mode": 2, "temp": 0.0},
    {"mirostat_mode": 1, "temp": -1.0},
]


#: With the number of drawn tokens that penalties look at.
CASES = [(options, 64) for options in GRID]
CASES += [(options, window) for options in GRID for window in (5, 0, -1) if any("penalty" in name for name in options)]


@pytest.mark.parametrize(("options", "window"), CASES, ids=str)
def test_options_step_by_step(text: tuple[Any, Any], options: dict[str, Any], window: int) -> None:
    llama, lines = text
    llama.last_n_tokens_size = window
    try:
        chain = llama._init_sampler(**options)
        assert_same_steps(chain.sampler, sampling._sampler_of(llama, options), lines)
        chain.close()
    finally:
        llama.last_n_tokens_size = 64


@pytest.mark.parametrize("target", [0.1, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("decay", [0.0, 0.9, 0.99])
def test_adaptive_p_step_by_step(text: tuple[Any, Any], target: float, decay: float) -> None:
    """Behind min-p, as llama.cpp advises; llama-cpp-python has the function, but no argument for it."""
    chain = client._internals.LlamaSampler()
    chain.add_min_p(0.02)
    client.llama_sampler_chain_add(chain.sampler, client.llama_sampler_init_adaptive_p(target, decay, 3))
    sampler = fl.Sampler(min_p=0.02, adaptive_target=target, adaptive_decay=decay)
    assert_same_steps(chain.sampler, sampler, text[1])
    chain.close()


# ---- completions -----------------------------------------------------------------------------------------------------


def complete(llama: Any, **options: Any) -> Any:
    """Text, tokens and log-probs of a completion, from nothing."""
    llama.reset()
    options = {"max_tokens": 12, "temperature": 0.0, "logprobs": 2} | options
    found = llama.create_completion(PROMPT, **options)
    if not options.get("stream"):
        return found["choices"][0]["text"], found["choices"][0]["logprobs"]
    parts = [part["choices"][0] for part in found]
    return "".join(part["text"] for part in parts), [part["logprobs"] for part in parts]


@contextlib.contextmanager
def fast(*llamas: Any) -> Iterator[None]:
    """Both adapters around each model."""
    with contextlib.ExitStack() as stack:
        for llama in llamas:
            stack.enter_context(adapter.fast_sampling(llama))
            stack.enter_context(adapter.fast_logprobs(llama))
        yield


def close_to(found: Any, wanted: Any) -> bool:
    """Equal, numbers to the rounding of a log-prob, dicts in their order."""
    if isinstance(wanted, dict):
        return list(found) == list(wanted) and all(close_to(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(close_to(a, b) for a, b in zip(found, wanted, strict=True))
    if isinstance(wanted, float | np.floating):
        return abs(float(found) - float(wanted)) < 1e-4
    return bool(found == wanted)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"repeat_penalty": 1.4},
        {"frequency_penalty": 1.0, "presence_penalty": 0.5},
        {"logit_bias": {"300": 100.0}},
        {"logit_bias": {"300": 9.0, "65": -100.0}, "repeat_penalty": 1.3},
        {"logprobs": 0},
        {"logprobs": 5, "echo": True},
        {"logprobs": None},
        {"max_tokens": 0},
        {"max_tokens": 10_000, "logprobs": None},
        {"stop": ["w1"]},
        {"suffix": " end"},
        {"seed": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_greedy_completions(llama: Any, options: dict[str, Any], stream: bool) -> None:
    """The client's, word for word; a context that is full ends both."""
    wanted = complete(llama, stream=stream, **options)
    with fast(llama):
        assert close_to(complete(llama, stream=stream, **options), wanted)


def test_logits_processors(llama: Any) -> None:
    """In the client's chain and in ours: the client's own kind, ours, and one that returns a row of its own."""

    def banned(input_ids: Any, scores: Any) -> Any:
        return np.where(np.arange(scores.size) % 2, scores, -np.inf)

    minimum = client.llama.MinTokensLogitsProcessor(4, llama.token_eos())
    ours = adapter.LogitsProcessor(repetition_penalty=1.5, top_k=3)
    for processors in ([banned], [minimum], [ours], [banned, ours]):
        listed = client.LogitsProcessorList(processors)
        wanted = complete(llama, logits_processor=listed)
        with fast(llama):
            assert close_to(complete(llama, logits_processor=listed), wanted)


def test_rows_are_read_where_they_lie(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the library's own function, or by the client's where the library is not to be had."""
    llama.reset()
    llama.eval(llama.tokenize(PROMPT.encode()))
    direct = sampling._row_address(client)
    monkeypatch.setattr(client.llama_cpp, "_lib", None)
    around = sampling._row_address(client)
    for idx in (-1, -2, 0):
        assert direct(llama.ctx, idx) == around(llama.ctx, idx)
    assert direct(llama.ctx, 500) is around(llama.ctx, 500) is None


def test_a_draft_model(paths: tuple[str, str]) -> None:
    """The client's speculative decoding draws several tokens behind one call of the model."""
    from llama_cpp.llama_speculative import LlamaPromptLookupDecoding

    drafted = opened(paths[1], draft_model=LlamaPromptLookupDecoding(num_pred_tokens=4, max_ngram_size=1))
    options: dict[str, Any] = {"max_tokens": 60, "logprobs": None}
    plain = opened(paths[1])
    wanted = complete(plain, **options)[0]
    assert complete(drafted, **options)[0] == wanted
    with fast(drafted):
        assert complete(drafted, **options)[0] == wanted
    for each in (drafted, plain):
        each.close()


def test_a_grammar_and_json(llama: Any) -> None:
    """The client's own work, with the same tokens as without the adapters, log-probs included."""
    grammar = client.LlamaGrammar.from_string('root ::= "yes" | "no"', verbose=False)

    def both() -> Any:
        llama.reset()
        chat = llama.create_chat_completion(
            MESSAGES, response_format={"type": "json_object"}, temperature=0.0, max_tokens=6
        )
        return complete(llama, grammar=grammar), chat["choices"]

    wanted = both()
    with fast(llama), pytest.warns(UserWarning, match="a grammar is llama.cpp's own work"):
        assert close_to(both(), wanted)


def test_generate_and_sample(llama: Any) -> None:
    """The lower floors: tokens one by one, and a sample without a generator before it."""
    tokens = llama.tokenize(PROMPT.encode())

    def both() -> tuple[list[int], int]:
        llama.reset()
        llama._sampler = None
        llama.eval(tokens)
        first = llama.sample(temp=0.0)
        found = [token for _, token in zip(range(5), llama.generate(tokens, temp=0.0), strict=False)]
        return found, first

    wanted = both()
    with fast(llama):
        assert both() == wanted


def test_state_of_a_model(llama: Any) -> None:
    """Saved outside and loaded inside, and the other way about, then reset."""
    tokens = llama.tokenize(PROMPT.encode())

    def on(count: int = 4) -> list[int]:
        generator = llama.generate([*tokens, 70], temp=0.0)
        return [next(generator) for _ in range(count)]

    llama.reset()
    llama.eval(tokens)
    outside = llama.save_state()
    wanted = on()
    with fast(llama):
        llama.load_state(outside)
        assert on() == wanted
        inside = llama.save_state()
        llama.reset()
        assert on() == wanted
    llama.load_state(inside)
    assert on() == wanted
    with fast(llama):
        llama.set_cache(client.LlamaRAMCache())
        first = complete(llama)
        assert close_to(complete(llama), first)
        llama.set_cache(None)


def test_a_full_context(llama: Any) -> None:
    """What the client raises beyond its context is what it raises under the adapters."""

    def fill() -> tuple[str, int]:
        llama.reset()
        with pytest.raises(RuntimeError) as caught:
            list(llama.generate(llama.tokenize(PROMPT.encode()), temp=0.0))
        return str(caught.value), llama.n_tokens

    wanted = fill()
    with fast(llama):
        assert fill() == wanted
        with pytest.raises(ValueError, match="exceed context window"):
            llama.create_completion("a " * 300)
    assert complete(llama)[0]


def test_embeddings(paths: tuple[str, str]) -> None:
    """A model opened for embeddings gives its own."""
    model = opened(paths[1], embedding=True)
    wanted = model.create_embedding(PROMPT)["data"][0]["embedding"]
    with fast(model):
        found = model.create_embedding(PROMPT)["data"][0]["embedding"]
    assert found == wanted
    model.close()


@pytest.mark.parametrize("logits_all", [False, True])
def test_log_probs_need_all_logits(paths: tuple[str, str], logits_all: bool) -> None:
    model = opened(paths[1], logits_all=logits_all)
    with fast(model):
        if logits_all:
            assert complete(model)[1]["top_logprobs"]
        else:
            assert complete(model, logprobs=None)[0]
            with pytest.raises(ValueError, match="logits_all=False"):
                complete(model)
    model.close()


# ---- several models --------------------------------------------------------------------------------------------------


def test_two_vocabularies(llama: Any, other: Any) -> None:
    """Interleaved token by token, patched and not, each in its own vocabulary and with its own memory."""
    options: dict[str, Any] = {"top_k": 0, "min_p": 0.0, "top_p": 1.0, "mirostat_mode": 2, "mirostat_tau": 3.0}

    def begun(model: Any, **steering: Any) -> Any:
        model.reset()
        model.set_seed(11)
        return model.generate(model.tokenize(PROMPT.encode()), **steering)

    def alone(model: Any, patched: bool) -> list[int]:
        with fast(model) if patched else contextlib.nullcontext():
            generator = begun(model, **options)
            return [next(generator) for _ in range(30)]

    wanted = {(model, patched): alone(model, patched) for model in (llama, other) for patched in (False, True)}
    for kinds in ((True, True), (True, False), (False, True)):
        with fast(*(model for model, kind in zip((llama, other), kinds, strict=True) if kind)):
            generators = [begun(model, **options) for model in (llama, other)]
            found = [[next(each) for each in generators] for _ in range(30)]
        for i, (model, kind) in enumerate(zip((llama, other), kinds, strict=True)):
            assert [each[i] for each in found] == wanted[model, kind]
    assert max(wanted[other, True]) < OTHER


@pytest.mark.parametrize("kind", ["sampler", "processor"])
def test_one_for_two_vocabularies(llama: Any, other: Any, kind: str) -> None:
    """A Sampler or a processor that both models use on texts of the same ids, in turns."""
    sampler = fl.Sampler(mirostat=2, mirostat_tau=3.0)
    plain: dict[str, Any] = {"top_k": 0, "min_p": 0.0, "top_p": 1.0, "temp": 1.0}

    def begun(model: Any, processor: Any) -> Any:
        model.reset()
        model.set_seed(11)
        listed = None if processor is None else client.LogitsProcessorList([processor])
        return model.generate(model.tokenize(PROMPT.encode()), logits_processor=listed, **plain)

    def made() -> Any:
        return adapter.LogitsProcessor(sampler, only_drawn=True, rng=3) if kind == "processor" else None

    with contextlib.ExitStack() as stack:
        for model in (llama, other) if kind == "sampler" else ():
            stack.enter_context(adapter.fast_sampling(model, sampler))
        wanted = []
        for model in (llama, other):
            generator = begun(model, made())
            wanted.append([next(generator) for _ in range(20)])
        shared = made()
        generators = [begun(model, shared) for model in (llama, other)]
        found = [[next(each) for each in generators] for _ in range(20)]
    assert [list(each) for each in zip(*found, strict=True)] == wanted


def test_an_exception_within(llama: Any, other: Any) -> None:
    """Out of a with block, out of a logits processor, and out of a stream that nobody reads to its end."""

    def wrong(input_ids: Any, scores: Any) -> Any:
        raise LookupError("of the user's own")

    wanted = complete(llama)
    with pytest.raises(LookupError), fast(llama, other):
        complete(llama, logits_processor=client.LogitsProcessorList([wrong]))
    with fast(llama):
        stream = llama.create_completion(PROMPT, max_tokens=8, logprobs=1, stream=True)
        next(stream)
        stream.close()
        assert close_to(complete(llama), wanted)
    assert close_to(complete(llama), wanted)
    for model in (llama, other):
        assert not {"_init_sampler", "_create_completion"} & vars(model).keys()


def test_ids_of_another_vocabulary(llama: Any, other: Any) -> None:
    """A token that a model lacks is the client's error, and the model goes on."""
    with fast(llama, other):
        for _ in range(2):
            other.reset()
            with pytest.raises((ValueError, RuntimeError)):
                other.eval([SMALL - 1])
        assert complete(other)[0]
        with pytest.raises(IndexError):
            complete(other, logit_bias={str(SMALL - 1): 5.0})
        assert complete(other)[0]


# ---- its server ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(paths: tuple[str, str]) -> Iterator[tuple[Any, Callable[..., Any]]]:
    """The OpenAI-compatible server with a model of its own, and a function that posts to it."""
    app = pytest.importorskip("llama_cpp.server.app", reason="the extra of the server is not installed")
    settings = pytest.importorskip("llama_cpp.server.settings")
    uvicorn = pytest.importorskip("uvicorn")
    model = settings.ModelSettings(model=paths[0], n_ctx=256, logits_all=True, verbose=False, chat_format="chatml")
    made = app.create_app(server_settings=settings.ServerSettings(), model_settings=[model])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(made, host="127.0.0.1", port=port, log_level="critical"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.01)

    def post(path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
        if not body.get("stream"):
            return json.loads(text)
        lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
        assert lines.pop() == "[DONE]"
        return [json.loads(line) for line in lines]

    yield app._llama_proxy(), post
    running.should_exit = True
    thread.join()


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("completions", {"prompt": PROMPT, "temperature": 0.0, "max_tokens": 6, "logprobs": 3}),
    ("completions", {"prompt": PROMPT, "temperature": 0.0, "max_tokens": 6, "logprobs": 2, "stream": True}),
    ("completions", {"prompt": PROMPT, "temperature": 0.0, "max_tokens": 6, "min_tokens": 3, "seed": -1}),
    ("completions", {"prompt": PROMPT, "temperature": 0.0, "max_tokens": 6, "logit_bias": {"300": 8.0}}),
    ("chat/completions", {"messages": MESSAGES, "temperature": 0.0, "max_tokens": 6}),
    (
        "chat/completions",
        {"messages": MESSAGES, "temperature": 0.0, "max_tokens": 6, "logprobs": True, "top_logprobs": 2},
    ),
    ("chat/completions", {"messages": MESSAGES, "temperature": 0.0, "max_tokens": 6, "stream": True}),
]


def choices(answer: Any) -> Any:
    """What an answer says, without its id and time."""
    return [part["choices"] for part in (answer if isinstance(answer, list) else [answer])]


def test_server_one_after_the_other(server: Any) -> None:
    llama, post = server
    wanted = [choices(post(path, **body)) for path, body in REQUESTS]
    with fast(llama):
        for (path, body), answer in zip(REQUESTS, wanted, strict=True):
            assert close_to(choices(post(path, **body)), answer), (path, body)


def test_server_at_once(server: Any) -> None:
    """As many requests as there are kinds, while both adapters come and go."""
    llama, post = server
    kinds = [(path, body) for path, body in REQUESTS if not body.get("stream")]  # a second request ends a stream
    wanted = [choices(post(path, **body)) for path, body in kinds]
    found: list[Any] = [None] * len(kinds)

    def ask(i: int) -> None:
        path, body = kinds[i]
        found[i] = [choices(post(path, **body)) for _ in range(3)]

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(kinds))]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with fast(llama):
            time.sleep(0.02)
    for answers, answer in zip(found, wanted, strict=True):
        assert all(close_to(each, answer) for each in answers)
    assert not {"_init_sampler", "_create_completion"} & vars(llama).keys()


@pytest.mark.parametrize("seed", [-1, 4294967295, None, 7])
def test_server_seeds(server: Any, seed: int | None) -> None:
    """-1 and 4294967295 give another text each time, 7 the same."""
    llama, post = server
    body = {"prompt": PROMPT, "temperature": 2.0, "top_k": 0, "min_p": 0.0, "max_tokens": 12, "seed": seed}
    with fast(llama):
        texts = {choices(post("completions", **body))[0][0]["text"] for _ in range(4)}
    assert len(texts) == 1 if seed == 7 else len(texts) > 1


def test_server_names_what_is_wrong(server: Any) -> None:
    """An error of the steps is one answer, not the end of the server."""
    llama, post = server
    with fast(llama):
        with pytest.raises(urllib.error.HTTPError) as caught:
            post("completions", prompt=PROMPT, repeat_penalty=0.0, max_tokens=2)
        assert caught.value.code == 500
        assert "repetition_penalty must be finite and > 0" in caught.value.read().decode()
        assert post("completions", prompt=PROMPT, max_tokens=2)["choices"]
