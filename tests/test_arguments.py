"""Bad arguments: types, shapes and ranges of everything that the functions, the Sampler and its steps take."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy as np
import pytest
from calls import ENDS, INF, NAN, ROW, by_name, refused, run

import fastlogits as fl
from fastlogits import steps
from fastlogits._common import familiar as _familiar
from fastlogits.llama_cpp import LogitsProcessor

# ---- types and shapes ----------------------------------------------------------------------------------------------


ARRAYS = ["softmax", "log_softmax", "logsumexp", "argmax"]


@pytest.mark.parametrize("name", [*ARRAYS, *ENDS])
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (np.zeros(3, complex), TypeError),
        (np.array(["a"]), TypeError),
        (np.array([object()]), TypeError),
        (np.zeros(3, "M8[s]"), TypeError),
        (np.zeros(3, [("a", "f4")]), TypeError),
        (np.ma.masked_array([1.0, 2.0], [True, False]), TypeError),
        (np.float32(1.0), ValueError),
        (1.0, ValueError),
        ([[1.0, 2.0], [3.0]], ValueError),
        (None, TypeError),
        ("text", TypeError),
    ],
    ids="complex text-array objects dates records masked NumPy-scalar number ragged None text".split(),
)
def test_what_is_no_array_of_floats(name: str, bad: Any, error: type[Exception]) -> None:
    argument = "x" if name in ARRAYS else "logits"
    with pytest.raises(error, match=argument):
        run(name, bad) if name in ENDS else getattr(fl, name)(bad)


@pytest.mark.parametrize("name", ARRAYS)
def test_axis_out_of_range(name: str) -> None:
    for axis in (2, -3, 10**20):
        with refused(np.exceptions.AxisError, f"axis must be in [-2, 2), got {axis}"):
            getattr(fl, name)(np.zeros((2, 3)), axis=axis)
    wrong: list[Any] = [1.0, None, "0"]
    for other in wrong:
        with pytest.raises(TypeError, match="axis must be an integer"):
            getattr(fl, name)(np.zeros((2, 3)), axis=other)


def test_empty_axis() -> None:
    for name in ("softmax", "log_softmax", "argmax"):
        for shape in ((0,), (3, 0)):
            with pytest.raises(ValueError, match="empty axis"):
                getattr(fl, name)(np.zeros(shape, np.float32))
    assert fl.logsumexp(np.zeros(0, np.float32)) == -INF
    assert fl.logsumexp(np.zeros((2, 0))).tolist() == [-INF, -INF]
    assert fl.logsumexp(np.zeros((0, 3)), axis=0).tolist() == [-INF] * 3
    for end in ENDS:
        with refused(ValueError, "logits must have at least one token per row, got shape (2, 0)"):
            run(end, np.zeros((2, 0)))


@by_name
@pytest.mark.parametrize("shape", [(0, 5), (3, 0, 5), (0, 0)])
def test_empty_batch(dtype: Any, shape: tuple[int, ...]) -> None:
    x = np.zeros(shape, dtype)
    single = np.float64 if dtype == np.float64 else np.float32
    if shape[-1]:
        assert fl.softmax(x).shape == shape
        assert fl.softmax(x).dtype == dtype
        assert fl.log_softmax(x).dtype == single
        assert fl.logsumexp(x).shape == shape[:-1]
        assert fl.argmax(x).shape == shape[:-1]
        assert fl.top_k(x, 2).values.shape == (*shape[:-1], 2)
    for end in ("probs", "filter_logits"):
        got = run(end, x, top_k=3, temperature=0.5, threads=4)
        assert (got.shape, got.dtype) == (shape, dtype)
    ids = fl.sample(x, rng=7)
    assert (ids.shape, ids.dtype) == (shape[:-1], np.int64)
    found = fl.sample(x, rng=7, logprobs=2, context=[])
    assert found.top_ids.shape == (*shape[:-1], 2)
    assert found.logprobs.dtype == single
    assert len(fl.candidates(x)) == 0
    assert fl.candidates(x).logits.dtype == single
    assert fl.sample(x, rng=7, on_error="status")[1].shape == shape[:-1]


# ---- parameters ----------------------------------------------------------------------------------------------------


RANGES = [
    ("temperature", -0.5, "temperature must be finite and >= 0, got -0.5"),
    ("temperature", INF, "temperature must be finite and >= 0, got inf"),
    ("temperature", NAN, "temperature must be finite and >= 0, got nan"),
    ("top_k", -2, "top_k must be an integer >= -1, got -2"),
    ("top_p", 95, "top_p must be in [0, 1], got 95"),
    ("top_p", -0.1, "top_p must be in [0, 1], got -0.1"),
    ("top_p", NAN, "top_p must be in [0, 1], got nan"),
    ("min_p", -1, "min_p must be in [0, 1], got -1"),
    ("min_p", 1.5, "min_p must be in [0, 1], got 1.5"),
    ("min_keep", 0, "min_keep must be an integer >= 1, got 0"),
    ("repetition_penalty", 0.0, "repetition_penalty must be finite and > 0, got 0"),
    ("repetition_penalty", -1.0, "repetition_penalty must be finite and > 0, got -1"),
    ("repetition_penalty", INF, "repetition_penalty must be finite and > 0, got inf"),
    ("frequency_penalty", INF, "frequency_penalty must be finite, got inf"),
    ("presence_penalty", NAN, "presence_penalty must be finite, got nan"),
    ("penalty_window", -1, "penalty_window must be an integer >= 0, got -1"),
    ("ties", "some", "ties must be 'id' or 'keep', got 'some'"),
    ("prompt_length", -1, "prompt_length must be an integer >= 0, got -1"),
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("name", "value", "words"), RANGES)
def test_parameters_out_of_range(end: str, name: str, value: Any, words: str) -> None:
    with refused(ValueError, words):
        run(end, ROW, **{name: value})
    good = {"ties": "id", "top_k": 1, "min_keep": 1, "penalty_window": 1, "prompt_length": 1}.get(name, 0.5)
    with refused(ValueError, f"{words} (row 3)"):
        run(end, np.zeros((4, 4)), **{name: [good, good, good, value]})


TYPES = [
    ("temperature", "hot", "temperature must be a number, got 'hot'"),
    ("temperature", True, "temperature must be a number, got True"),
    ("top_k", 2.5, "top_k must be an integer, got 2.5"),
    ("top_k", True, "top_k must be an integer, got True"),
    ("top_p", object, "top_p must be a number or one number per row, got type"),
    ("top_p", 1j, "top_p must be a number or one number per row, got complex"),
    ("min_keep", 1.0, "min_keep must be an integer, got 1.0"),
    ("joint", 1, "joint must be True or False, got 1"),
    ("prompt_length", 1.5, "prompt_length must be an integer or one integer per row, got"),
    ("position", 1.5, "position must be an integer or one integer per row, got"),
    ("keys", [0.5], "keys must be an integer or one integer per row, got"),
    ("threads", 1.5, "threads must be an integer >= 0, got 1.5"),
    ("threads", "two", "threads must be an integer >= 0, got 'two'"),
    ("rng", 1.5, "rng must be an integer, numpy.random.Generator"),
    ("rng", np.random.RandomState(0), "rng must be an integer, numpy.random.Generator"),
    ("context", [0.5], "context: token ids must be integers"),
    ("context", ["a"], "context: token ids must be integers"),
    ("logit_bias", 5, "logit_bias must be {id: bias}"),
    ("logit_bias", {"5": 1.0}, "logit_bias: token ids must be integers"),
    ("logit_bias", {0.5: 1.0}, "logit_bias: token ids must be integers"),
    ("logit_bias", ([0], ["a"]), "logit_bias: biases must be numbers"),
    ("logit_bias", [5], "logit_bias must be {id: bias}"),
    ("mask", np.zeros(1, np.int64), "mask must be bool, or int32 or uint32 words"),
    ("mask", [0.5], "mask must be bool, or int32 or uint32 words"),
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("name", "value", "words"), TYPES)
def test_parameters_of_wrong_type(end: str, name: str, value: Any, words: str) -> None:
    with refused(TypeError, words):
        run(end, ROW, **{name: value})


VALUES = [
    ({"rng": -1}, "rng must be >= 0, got -1"),
    ({"threads": -1}, "threads must be an integer >= 0, got -1"),
    ({"on_error": "ignore"}, "on_error must be 'raise' or 'status', got 'ignore'"),
    ({"logit_bias": {4: 1.0}}, "logit_bias: token id 4 must be in [0, 4)"),
    ({"logit_bias": {-1: 1.0}}, "logit_bias: token id -1 must be in [0, V)"),
    ({"logit_bias": {1: INF}}, "logit_bias: bias of token 1 must be finite or -inf, got inf"),
    ({"logit_bias": {1: NAN}}, "logit_bias: bias of token 1 must be finite or -inf, got nan"),
    ({"logit_bias": ([1, 2, 1], [0.5, 1, 2])}, "logit_bias: token id 1 is given more than once"),
    ({"logit_bias": ([1, 2], [0.5])}, "logit_bias: 2 token ids but 1 biases"),
    ({"mask": np.ones(5, bool)}, "mask must cover at most the 4 tokens of a row"),
    ({"mask": np.True_}, "mask must have at least one axis"),
    ({"preset": "HF"}, "preset must be None or one of 'hf', 'vllm', 'llama.cpp', 'openvino', 'mlx', got 'HF'"),
    ({"context": [[1], [2]]}, "context must hold one sequence of token ids, or one per row (1 rows), got 2 sequences"),
    ({"context": np.zeros((2, 3), int)}, "context must hold one sequence of token ids, or one per row (1 rows)"),
    ({"context": np.zeros((1, 1, 3), int)}, "context must hold one sequence"),
    ({"temperature": [0.5, 0.7]}, "temperature holds values of shape 2, the rows of logits have shape ()"),
    ({"temperature": [[0.5, 0.7], [1.0]]}, "temperature must be a number or one number per row"),
    ({"keys": [1, 2]}, "keys holds values of shape 2"),
    ({"mask": np.ones((2, 4), bool)}, "mask holds rows of shape (2,)"),
    ({"logit_bias": [{1: 0.5}, None]}, "logit_bias holds biases of 2 rows, logits have 1"),
]  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("keywords", "words"), VALUES)
def test_wrong_values(end: str, keywords: dict[str, Any], words: str) -> None:
    with refused(ValueError, words):
        run(end, ROW, **keywords)


@pytest.mark.parametrize("end", ENDS)
def test_wrong_values_name_the_row(end: str) -> None:
    batch = np.zeros((3, 4))
    with refused(ValueError, "logit_bias: token id 9 must be in [0, 4) (row 1)"):
        run(end, batch, logit_bias=[{3: 1.0}, {9: 1.0}, None])
    with refused(ValueError, "logit_bias: bias of token 0 must be finite or -inf, got inf (row 2)"):
        run(end, batch, logit_bias=[None, None, {0: INF}])
    with refused(ValueError, "top_p holds values of shape 2, the rows of logits have shape (3,)"):
        run(end, batch, top_p=[0.5, 0.6])
    with refused(TypeError, "context: token ids must be integers, got dtype float64 (row 2)"):
        run(end, batch, context=[[0], [1], [0.5]])
    with refused(ValueError, "context must hold one sequence of token ids, or one per row (3 rows), got 2 sequences"):
        run(end, batch, context=[[0], [1]])


def test_logprobs_and_top_k_ranges() -> None:
    with refused(ValueError, "logprobs must be an integer >= 0 or None, got -1"):
        fl.sample(ROW, logprobs=-1)
    with refused(TypeError, "logprobs must be an integer >= 0 or None, got 1.5"):
        fl.sample(ROW, logprobs=1.5)  # type: ignore[arg-type]
    for k in (-1, 5):
        with refused(ValueError, f"k must be in [0, 4], got {k}"):
            fl.top_k(ROW, k)
    with refused(TypeError, "k must be an integer, got 2.0"):
        fl.top_k(ROW, 2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_temperature_of_array_functions(name: str) -> None:
    function = getattr(fl, name)
    for bad in (0.0, -1.0, NAN, INF):
        with pytest.raises(ValueError, match="temperature must be finite and > 0"):
            function(ROW, temperature=bad)
    with refused(ValueError, "temperature must be finite and > 0, got 0 (row 1)"):
        function(np.zeros((2, 3)), temperature=[1.0, 0.0])
    with pytest.raises(TypeError, match="temperature must be a number"):
        function(ROW, temperature="1")
    with refused(ValueError, "temperature holds values of shape 3, the rows of logits have shape (2,)"):
        function(np.zeros((2, 3)), temperature=[1.0, 1.0, 2.0])
    types: list[Any] = [np.int32, "complex64", "float128", object]
    for kind in types:
        with pytest.raises(TypeError, match="dtype must be float32, float16, bfloat16 or float64"):
            function(ROW, dtype=kind)


# ---- Sampler and steps ---------------------------------------------------------------------------------------------


def test_sampler_refuses() -> None:
    with pytest.raises(TypeError, match="steps or keywords, not both"):
        fl.Sampler(steps.TopK(3), temperature=0.5)
    with pytest.raises(ValueError, match="Draw must be the last step"):
        fl.Sampler(steps.Draw(), steps.TopK(3))
    with pytest.raises(TypeError, match=r"takes steps of fastlogits\.steps, got 3"):
        fl.Sampler(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'topk'; did you mean 'top_k'\?"):
        fl.Sampler(topk=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^sample\(\) got an unexpected keyword argument 'colour'$"):
        fl.sample([1.0], colour=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="min_keep must be an integer >= 1"):
        fl.Sampler(min_keep=0)
    sampler = fl.Sampler(top_k=3)
    with pytest.raises(AttributeError):
        sampler.steps = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        sampler.other = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="immutable"):
        sampler.__init__(top_k=4)  # type: ignore[misc]
    with pytest.raises(AttributeError):
        sampler.steps[0].k = 5
    for row in (1, -2):
        with refused(ValueError, f"row must be in [-1, 1), got {row}"):
            sampler.explain(ROW, row=row)


FAMILIAR = {
    "seed": "; seed is called rng here", "generator": "; generator is called rng here",
    "top_logprobs": "; top_logprobs is called logprobs here", "n_probs": "; n_probs is called logprobs here",
    "stop": "; stop has no place here: the decoding loop decides that", "do_sample": "temperature=0 takes the",
    "max_tokens": "max_tokens has no place here: the decoding loop decides that", "input_ids": "called context here",
    "maxOutputTokens": "max_output_tokens has no place here", "topP": "; did you mean 'top_p'?", "num_beams": "_step",
    "repeat_penalty": "called repetition_penalty here", "grammar": "pass what the grammar engine allows as mask=",
    "min-p": "; did you mean 'min_p'?", "temprature": "; did you mean 'temperature'?",
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIAR)
def test_familiar_names(name: str) -> None:
    """The keywords of other libraries are answered with what to pass here, by the function that was called."""
    asked: dict[str, Any] = {name: 1}
    calls: dict[str, Any] = {
        "sample": lambda: fl.sample(ROW, **asked),
        "probs": lambda: fl.probs(ROW, **asked),
        "filter_logits": lambda: fl.filter_logits(ROW, **asked),
        "candidates": lambda: fl.candidates(ROW, **asked),
        "gumbel_max": lambda: fl.gumbel_max(ROW, **asked),
        "verify": lambda: fl.verify([ROW], [], **asked),
        "beam_step": lambda: fl.beam_step([ROW], [0.0], **asked),
        "Sampler": lambda: fl.Sampler(**asked),
        "LogitsProcessor": lambda: LogitsProcessor(**asked),
    }
    for function, call in calls.items():
        with pytest.raises(TypeError) as error:
            call()
        assert str(error.value).startswith(f"{function}() got an unexpected keyword argument {name!r}; "), function
        assert FAMILIAR[name] in str(error.value)


def test_familiar_names_name_what_there_is() -> None:
    """Whatever a hint says to pass is an argument of `sample`, and no name that is known has a hint."""
    known = set(inspect.signature(fl.sample).parameters)
    assert set(_familiar._SAME) <= known
    assert not known & _familiar._HINTS.keys()
    with refused(TypeError, "rng is an argument of the call, as in sampler.sample(logits, rng=...)"):
        fl.Sampler(rng=7)  # type: ignore[call-arg]


def test_sampler_is_a_value() -> None:
    bias = ([1, 2], [0.5, -INF])
    a = fl.Sampler(temperature=0.8, top_k=3, top_p=[0.5, 0.9], logit_bias=bias, mask=[True, True, True, False])
    b = pickle.loads(pickle.dumps(a))
    assert a == b
    assert repr(a) == repr(b)
    x = np.array([[1.0, 2.0, 0.5, 3.0], [0.0, 1.0, 2.0, 3.0]], np.float32)
    np.testing.assert_array_equal(a.probs(x), b.probs(x))
    assert fl.Sampler(top_k=3) != fl.Sampler(top_k=4)
    assert hash(fl.Sampler(top_k=3)) == hash(fl.Sampler(steps.TopK(3)))
    assert fl.Sampler(top_k=3) != "TopK(3)"
    off = fl.Sampler(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, frequency_penalty=0.0)
    assert off.steps == ()
    assert repr(fl.Sampler(top_k=3, top_p=0.9, min_keep=2)) == "Sampler(TopK(3, min_keep=2), TopP(0.9, min_keep=2))"


@pytest.mark.parametrize("end", ENDS)
def test_off_values(end: str) -> None:
    plain = run(end, ROW)
    off: list[dict[str, Any]] = [
        {"top_k": None}, {"top_k": 0}, {"top_k": -1}, {"top_k": 4}, {"top_k": 10**9}, {"top_p": None}, {"top_p": 1},
        {"min_p": None}, {"min_p": 0}, {"temperature": 1}, {"temperature": None}, {"logit_bias": {}},
        {"mask": np.ones(4, bool)}, {"mask": np.array([-1], np.int32)}, {"repetition_penalty": 1, "context": [1]},
    ]  # fmt: skip
    for keywords in off:
        got = run(end, ROW, **keywords, position=0)
        if end == "candidates":
            got, right = got.logits, plain.logits
        else:
            right = plain
        np.testing.assert_array_equal(got, right)
