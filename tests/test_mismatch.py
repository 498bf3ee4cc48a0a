"""Arguments that are no array, id, mask or number that fits: own messages, each with the way out."""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from calls import INF, ROW, refused

import fastlogits as fl

RESPONSE = SimpleNamespace(choices=[SimpleNamespace(logprobs=None)])
NO_ARRAYS: dict[str, tuple[Any, str]] = {
    "path": ("x.npy", "must be an array or a sequence, got 'x.npy'; pass the array in a file as numpy.load(path"),
    "Path": (Path("x.npy"), "pass the array in a file as numpy.load(path"),
    "bytes": (b"12", "must be an array or a sequence, got b'12'"),
    "set": ({1, 2}, "got a set, which has no order; pass a list"),
    "frozenset": (frozenset([1]), "got a frozenset, which has no order; pass a list"),
    "keys": ({1: 2}.keys(), "got a dict_keys, which has no order; pass a list"),
    "dict": ({1: 2}, "got a dict; pass its values as a list"),
    "values": ({1: 2}.values(), "got a dict_values; pass its values as a list"),
    "response": (RESPONSE, "got a response (SimpleNamespace); pass its numbers, such as [t.logprob for t in"),
    "object": (object(), "must be an array or a sequence, got a object"),
}
GENERATORS = {"generator": lambda: (i for i in [1]), "exhausted": lambda: iter(())}
CALLS: dict[str, tuple[str, Any]] = {
    "sample": ("logits", lambda x: fl.sample(x, rng=7)),
    "softmax": ("x", fl.softmax),
    "token_logprobs": ("logits", lambda x: fl.token_logprobs(x, [0, 1])),
    "targets": ("targets", lambda x: fl.token_logprobs([ROW, ROW], x)),
    "fit_temperature": ("logits", lambda x: fl.fit_temperature(x, [0, 1])),
    "calibration_error": ("predictions", lambda x: fl.calibration_error(x, [0, 1])),
    "kl_divergence": ("p_logits", lambda x: fl.kl_divergence(x, [ROW])),
    "perplexity": ("logprobs", fl.perplexity),
    "score_text": ("logprobs", fl.score_text),
    "mask": ("mask", lambda x: fl.sample(ROW, mask=x)),
    "context": ("context", lambda x: fl.sample(ROW, context=x)),
    "state": ("context", lambda x: fl.Sampler().state(x)),
    "allowed": ("allowed_token_ids", lambda x: fl.sample(ROW, allowed_token_ids=x)),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", NO_ARRAYS)
def test_no_arrays(call: str, kind: str) -> None:
    value, words = NO_ARRAYS[kind]
    name, function = CALLS[call]
    with refused(TypeError, words) as error:
        function(value)
    assert str(error.value).startswith(name)


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("call", [name for name in CALLS if name not in ("token_logprobs", "kl_divergence")])
def test_iterators(call: str, kind: str) -> None:
    with refused(TypeError, "which can be read once only; pass a list of what it yields"):
        CALLS[call][1](GENERATORS[kind]())


def test_exhausted_streams() -> None:
    with refused(ValueError, "targets must hold one per row, got 2 for 0 rows (logits yielded nothing: an iterator"):
        fl.token_logprobs(iter(()), [0, 1])
    with refused(ValueError, "as many rows as p_logits, which has 0 (it yielded nothing: an iterator can be read once"):
        fl.kl_divergence(iter(()), [[0.0, 1.0]])


def test_sequences_are_arrays() -> None:
    """What NumPy reads as numbers stays accepted."""
    for given in (deque([1.0, 2.0]), range(2), memoryview(np.array([1.0, 2.0])), np.float64(1.0).reshape(1), (1, 2)):
        assert fl.softmax(given).shape == np.asarray(given).shape


@pytest.mark.parametrize("call", [name for name in CALLS if name not in ("context", "state", "allowed")])
def test_ragged_lists(call: str) -> None:
    name, function = CALLS[call]
    with refused(ValueError, "equal length, got") as error:
        function([[1.0, 2.0], [3.0]])
    words = f"{name} must have rows of equal length, got {name}[0] of length 2 and {name}[1] of length 1; pad"
    assert words in str(error.value)
    with refused(ValueError, f"got {name}[0][0] of length 3 and {name}[1][0] of length 1"):
        function([[[1.0, 2.0, 3.0]], [[1.0]]])
    with refused(ValueError, f"got 2.0 in place of a sequence in {name}[1]"):
        function([[1.0], 2.0])


@pytest.mark.parametrize("mask", [[5, 6, 7], np.array([5, 6, 7]), np.array([1, 0, 1], np.uint8)], ids=str)
def test_ids_as_a_mask(mask: Any) -> None:
    with refused(TypeError, "token ids are passed as allowed_token_ids="):
        fl.sample(np.zeros(60, np.float32), mask=mask)


def test_other_sources_of_random_numbers() -> None:
    for rng in (np.random.RandomState(1), np.random, random.Random(1)):
        with refused(TypeError, "; pass numpy.random.default_rng(seed) or an integer"):
            fl.sample(ROW, rng=rng)
    torch = pytest.importorskip("torch")
    with refused(TypeError, "got a torch.Generator; pass it as generator= to fastlogits.torch.sample, or an integer"):
        fl.sample(ROW, rng=torch.Generator())


# ---- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("large", [2**63, 2**70, 10**30])
def test_ids_beyond_64_bits(large: int) -> None:
    """An id is named by its number, whatever NumPy makes of it."""
    words = f"token id {large} must be in [0, V)"
    for call in (
        lambda: fl.sample(ROW, context=[1, large]),
        lambda: fl.sample([ROW], context=[[1, large]]),
        lambda: fl.Sampler().state([large]),
        lambda: fl.Sampler().state([]).accept(large),
        lambda: fl.sample(ROW, logit_bias={large: 1.0, 1: 1.0}),
        lambda: fl.sample(ROW, allowed_token_ids=[large]),
        lambda: fl.sample(ROW, suppress_tokens=[large, 1]),
        lambda: fl.sample(ROW, bad_words_ids=[[large, 1]]),
        lambda: fl.sample(ROW, sequence_bias={(large, 1): 1.0}),
        lambda: fl.sample(ROW, min_length=3, eos_token_id=large),
    ):
        with refused(ValueError, words):
            call()
    with refused(ValueError, f"targets must hold ids in [0, 4), got {large}"):
        fl.token_logprobs([ROW, ROW], [large, 1])
    with refused(ValueError, "allowed_token_ids: token id 1099511627776 must be below 2^31"):
        fl.sample(ROW, allowed_token_ids=[2**40])


@pytest.mark.parametrize("name", ["top_k", "min_keep", "penalty_window", "no_repeat_ngram_size", "min_length"])
def test_parameters_beyond_64_bits(name: str) -> None:
    """The message names the end of the range that was passed."""
    low = {"top_k": -1, "min_keep": 1}.get(name, 0)
    more: dict[str, Any] = {"eos_token_id": 1} if name == "min_length" else {}
    with refused(ValueError, f"{name} must be an integer in [{low}, 2^63), got {2**63}"):
        fl.Sampler(**{name: 2**63}, **more)
    with refused(ValueError, f"{name} must be an integer >= {low}, got -7"):
        fl.Sampler(**{name: -7}, **more)


@pytest.mark.parametrize("given", [2**63, 2**70, -(2**70), 2**64])
def test_prompt_lengths_do_not_wrap(given: int) -> None:
    allowed = ">= 0" if given < 0 else "in [0, 2^63)"
    for shown, value in (("", given), ("", [given]), (" (row 1)", [1, given])):
        note = " (row 0)" if isinstance(value, list) and not shown else shown
        with refused(ValueError, f"prompt_length must be an integer {allowed}, got {given}{note}"):
            fl.sample([ROW, ROW], context=[1], prompt_length=value)
    with refused(ValueError, f"prompt_length must be an integer in [0, 2^63), got {2**63} (row 1)"):
        fl.sample([ROW, ROW], context=[1], prompt_length=np.array([1, 2**63], np.uint64))


@pytest.mark.parametrize("count", [2**31, 2**40, 2**63, 2**100])
def test_counts_have_a_limit(count: int) -> None:
    """No allocation is tried for a count that no vocabulary has."""
    with refused(ValueError, f"logprobs must be an integer in [0, 2^31) or None, got {count}"):
        fl.sample(ROW, logprobs=count)
    with refused(ValueError, f"top_n must be an integer in [0, 2^31), got {count}"):
        fl.token_logprobs([ROW], [1], top_n=count)
    with refused(ValueError, f"n must be an integer in [1, 2^31) or None, got {count}"):
        fl.sample(ROW, n=count)
    with refused(ValueError, f"bins must be an integer in [1, 2^31), got {count}"):
        fl.calibration_error([0.5], [1], bins=count)


# ---- companion rows --------------------------------------------------------------------------------------------------


BANNED = np.array([0.5, -INF, -1.0, 1.5], np.float32)
COMPANIONS: dict[str, dict[str, Any]] = {
    "uncond": {"guidance_scale": 2.0, "uncond": BANNED},
    "uncond ": {"guidance_scale": 2.0, "guidance_space": "raw", "uncond": BANNED},
    "amateur": {"contrastive_alpha": 0.1, "amateur": BANNED},
    "anti": {"dexperts_alpha": 0.1, "expert": ROW, "anti": BANNED},
}


@pytest.mark.parametrize("end", ["sample", "probs", "filter_logits", "candidates", "explain", "sampler"])
@pytest.mark.parametrize("name", COMPANIONS)
def test_a_ban_in_a_companion_row_alone(name: str, end: str) -> None:
    """The row that holds it is named, not the logits."""
    keywords = dict(COMPANIONS[name])
    rows = {each: keywords.pop(each) for each in ("uncond", "amateur", "expert", "anti") if each in keywords}
    sampler = fl.Sampler(**keywords)
    name = name.strip()
    words = "must be finite where logits is, got -inf for token 1; ban a token in both"
    with refused(ValueError, f"{name} {words}"):
        if end in ("sampler", "explain"):
            getattr(sampler, "sample" if end == "sampler" else end)(ROW, **rows)
        else:
            getattr(fl, end)(ROW, **keywords, **rows)
    if end != "explain":
        batch = {each: np.stack([ROW, row]) for each, row in rows.items()}
        method = getattr(sampler, "sample" if end == "sampler" else end)
        with refused(ValueError, f"{name}[1] must be finite where logits[1] is, got -inf for token 1"):
            method(np.stack([ROW, ROW]), **batch)
    both = np.where(np.isinf(BANNED), -INF, ROW)
    assert sampler.probs(both, **{each: np.minimum(row, both) for each, row in rows.items()})[1] == 0


def test_a_ban_in_a_companion_row_of_verify_and_batch() -> None:
    sampler = fl.Sampler(guidance_scale=2.0)
    with refused(ValueError, "uncond[0] must be finite where target_logits[0] is, got -inf for token 1"):
        sampler.verify([ROW, ROW], [1], draft_probs=[[0.0, 1.0, 0.0, 0.0]], uncond=[BANNED, ROW])
    batch = fl.Batch()
    batch.add(fl.Sampler())
    batch.add(sampler)
    with refused(ValueError, "uncond[1] must be finite where logits[1] is, got -inf for token 1"):
        batch.sample(np.stack([ROW, ROW]), uncond=[None, BANNED])


# ---- n different tokens ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"draw": "gumbel"}, {"logprobs": 2}], ids=str)
def test_fewer_tokens_than_asked_for(more: dict[str, Any]) -> None:
    """An id of -1 would name the last token, so none is returned unless asked for."""
    words = "n must be at most the number of tokens left, 2 in logits{}, as tokens do not come again, got 4; fastlogits"
    with refused(ValueError, words.format("")):
        fl.sample(ROW, n=4, top_k=2, replacement=False, rng=7, **more)
    with refused(ValueError, words.format("[1]")):
        fl.sample([ROW, ROW], n=4, top_k=[4, 2], replacement=False, rng=7, **more)
    found, status = fl.sample([ROW, ROW], n=4, top_k=[4, 2], replacement=False, rng=7, on_error="status", **more)
    ids = found.ids if "logprobs" in more else found
    assert status.tolist() == [fl.Status.OK, fl.Status.TOO_FEW]
    assert sorted(ids[0].tolist()) == [0, 1, 2, 3]
    assert sorted(ids[1, :2].tolist()) == [1, 3]
    assert ids[1, 2:].tolist() == [-1, -1]
    with refused(ValueError, "n must be at most the number of tokens left, 2, got 4"):
        fl.reference.sample(ROW, n=4, top_k=2, replacement=False, rng=7)


def test_a_row_with_too_few_tokens_is_not_written() -> None:
    out = np.full((2, 3), 9)
    with refused(ValueError, "n must be at most"):
        fl.sample([ROW, ROW], n=3, top_k=[2, 3], replacement=False, rng=7, out=out)
    assert out[0].tolist() == [9, 9, 9]
    assert fl.sample([ROW, ROW], n=3, top_k=3, replacement=False, rng=7, out=out) is out
    assert np.array_equal(out, fl.sample([ROW, ROW], n=3, top_k=3, replacement=False, rng=7))
