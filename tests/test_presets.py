"""Presets: the order of each system, its boundary rules, and the vectors of its own tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits.sampling.presets import PRESETS

EVERYTHING: dict[str, dict[str, Any]] = {
    "guidance": {"guidance_scale": 1.5},
    "dry": {"dry_multiplier": 0.8}, "no_repeat_ngram": {"no_repeat_ngram_size": 3},
    "encoder_no_repeat_ngram": {"encoder_no_repeat_ngram_size": 3, "encoder_ids": [1, 2]},
    "sequence_bias": {"sequence_bias": {(0,): 1.0}}, "remove_invalid_values": {"remove_invalid_values": True},
    "encoder_repetition_penalty": {"encoder_repetition_penalty": 2.0, "encoder_ids": [0]},
    "bad_words": {"bad_words_ids": [[0, 1]]}, "min_length": {"min_length": 2, "eos_token_id": 3},
    "min_new_tokens": {"min_new_tokens": 2, "eos_token_id": 3}, "allowed_tokens": {"allowed_token_ids": [0, 1]},
    "forced_bos_token": {"forced_bos_token_id": 1},
    "forced_eos_token": {"forced_eos_token_id": 2, "max_length": 3},
    "exponential_decay_length_penalty": {"exponential_decay_length_penalty": (2, 1.1), "eos_token_id": 3},
    "suppress_tokens": {"suppress_tokens": [1]}, "begin_suppress_tokens": {"begin_suppress_tokens": [1]},
    "renormalize_logits": {"renormalize_logits": True},
    "logit_bias": {"logit_bias": {0: 1.0}}, "mask": {"mask": [True] * 4}, "temperature": {"temperature": 0.5},
    "repetition_penalty": {"repetition_penalty": 1.1}, "frequency_penalty": {"frequency_penalty": 0.1},
    "presence_penalty": {"presence_penalty": 0.1}, "top_h": {"top_h": 0.5}, "top_k": {"top_k": 3},
    "top_p": {"top_p": 0.9}, "min_p": {"min_p": 0.1}, "typical_p": {"typical_p": 0.9},
    "epsilon_cutoff": {"epsilon_cutoff": 0.1}, "eta_cutoff": {"eta_cutoff": 0.1}, "top_n_sigma": {"top_n_sigma": 1.0},
    "xtc": {"xtc_probability": 0.5}, "mirostat": {"mirostat": 2}, "adaptive_p": {"adaptive_target": 0.5},
}  # fmt: skip


def logs(*probs: float) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(np.array(probs, np.float32))


@pytest.mark.parametrize("name", PRESETS)
def test_order(name: str) -> None:
    """All keywords that the system knows, whatever order they are given in, stand in the system's order."""
    # Repair and guidance each change how the row is read: only one of them at a time.
    order = [step for step in PRESETS[name].order if step not in ("dynamic_temperature", "remove_invalid_values")]
    keywords: dict[str, Any] = {}
    for step in reversed(order):
        keywords |= EVERYTHING[step]
    assert [step.name for step in fl.Sampler(preset=name, **keywords).steps] == order


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_system_lacks_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"preset '{name}' knows no tfs; it has "):
        fl.Sampler(preset=name, tfs=0.5)
    assert fl.Sampler(preset=name, tfs=1.0).steps == ()


def test_unknown() -> None:
    for wrong in ("HF", 3, ["hf"]):
        with pytest.raises(
            ValueError, match="preset must be None or one of 'hf', 'vllm', 'llama.cpp', 'openvino', 'mlx'"
        ):
            fl.probs([1.0, 2.0], preset=wrong)
    with pytest.raises(TypeError, match="steps or keywords, not both"):
        fl.Sampler(fl.steps.TopK(2), preset="hf")


def test_orders_differ() -> None:
    """The same parameters, another text: llama.cpp cuts before it divides, transformers after."""
    row = np.array([3.0, 2.0, 1.0, 0.0], np.float32)
    keywords: dict[str, Any] = {"temperature": 2.0, "top_p": 0.8}
    assert fl.candidates(row, preset="llama.cpp", **keywords).ids.size == 2
    assert fl.candidates(row, preset="hf", **keywords).ids.size == 3


def test_ties() -> None:
    """transformers and vLLM keep what equals the k-th value; the user's word goes before the preset's."""
    row = [1.0, 2.0, 2.0, 2.0, 0.0]
    kept = {name: fl.candidates(row, preset=name, top_k=2).ids.size for name in PRESETS}
    assert kept == {"hf": 3, "vllm": 3, "llama.cpp": 2, "openvino": 2, "mlx": 2}
    assert fl.candidates(row, preset="hf", top_k=2, ties="id").ids.size == 2


TENTHS = (0.1, 0.2, 0.3, 0.4)
FALLING = (0.4, 0.3, 0.2, 0.1)
UNIFORM = (0.2,) * 5
SOFTMAX = (0.090031, 0.244728, 0.665241)
FEW = (0.4, 0.3, 0.15, 0.15)
#: (preset, keywords, context, probabilities, what is left), from the tests of the systems.
VECTORS: list[tuple[str, dict[str, Any], Any, Any, Any]] = [
    ("hf", {"top_p": 0.8}, None, (0.3, 0.1, 0.1, 0.5), (0.375, 0, 0, 0.625)),
    ("hf", {"top_p": 0.8}, None, (0.15, 0.3, 0.3, 0.25), (0, 0.3 / 0.85, 0.3 / 0.85, 0.25 / 0.85)),
    ("hf", {"min_p": 0.05}, None, (0.9, 0.0274, 0.047, 0.0274), (0.9 / 0.947, 0, 0.047 / 0.947, 0)),
    ("hf", {"typical_p": 0.5}, None, (0.97, 0.01, 0.01, 0.01), (1, 0, 0, 0)),
    ("hf", {"typical_p": 0.5}, None, (0.4, 0.2, 0.2, 0.2), (0, 1 / 3, 1 / 3, 1 / 3)),
    ("hf", {"typical_p": 0.5, "min_keep": 3}, None, UNIFORM, UNIFORM),
    ("hf", {"epsilon_cutoff": 0.1}, None, (0.87, 0.099, 0.001, 0.03), (1, 0, 0, 0)),
    ("hf", {"epsilon_cutoff": 0.1}, None, (0.4, 0.299, 0.101, 0.2), (0.4, 0.299, 0.101, 0.2)),
    ("hf", {"eta_cutoff": 0.0625}, None, (0.0, 0.1, 0.8, 0.1), (0, 0.1, 0.8, 0.1)),
    ("hf", {"eta_cutoff": 0.0625}, None, (0.01, 0.04, 0.9, 0.05), (0, 0, 1, 0)),
    ("hf", {"top_h": 0.3}, None, (0.97, 0.01, 0.01, 0.01), (1, 0, 0, 0)),
    ("hf", {"top_h": 0.7}, None, FALLING, (4 / 7, 3 / 7, 0, 0)),
    ("hf", {"top_h": 1.0}, None, (0.25,) * 4, (0.25,) * 4),
    ("hf", {"top_h": 0.4}, None, (0.75, 0.25, 0.0, 0.0), (1, 0, 0, 0)),
    ("hf", {"typical_p": 0.5}, None, UNIFORM, UNIFORM),  # all as far from the entropy as the last one kept
    ("hf", {"typical_p": 0.5}, None, (0.4, 0.2, 0.0, 0.2, 0.2), (0, 1 / 3, 0, 1 / 3, 1 / 3)),
    ("hf", {"min_p": 1.0}, None, (0.4, 0.4, 0.2), (0.5, 0.5, 0)),  # removed where strictly below
    ("llama.cpp", {"temperature": 0.0}, None, FEW, (1, 0, 0, 0)),
    ("llama.cpp", {"temperature": -1.0}, None, (0.3, 0.3, 0.2, 0.2), (1, 0, 0, 0)),  # the first maximum
    ("llama.cpp", {"temperature": 0.3, "dynatemp_range": 0.5, "top_k": 1}, None, TENTHS, (0, 0, 0, 1)),
    ("llama.cpp", {"temperature": 2.0, "dynatemp_range": 1.0}, None, (0.25,) * 4, (0.25,) * 4),
    ("llama.cpp", {"dynatemp_range": 0.5}, None, (0.5, 0.5, 0.0), (0.5, 0.5, 0)),  # n: what is alive
    ("llama.cpp", {"top_p": 0.0}, None, TENTHS, (0, 0, 0, 1)),
    ("llama.cpp", {"top_p": 0.7}, None, TENTHS, (0, 0, 0.428571, 0.571429)),
    ("llama.cpp", {"top_p": 0.8}, None, TENTHS, (0, 0.222222, 0.333333, 0.444444)),
    ("llama.cpp", {"top_p": 1.0}, None, TENTHS, TENTHS),
    ("llama.cpp", {"top_p": 1.5}, None, TENTHS, TENTHS),
    ("llama.cpp", {"top_p": 0.0, "min_keep": 2}, None, TENTHS, (0, 0, 3 / 7, 4 / 7)),
    ("llama.cpp", {"min_p": 0.0}, None, TENTHS, TENTHS),
    ("llama.cpp", {"min_p": 0.24}, None, TENTHS, TENTHS),
    ("llama.cpp", {"min_p": 0.26}, None, TENTHS, (0, 2 / 9, 3 / 9, 4 / 9)),
    ("llama.cpp", {"min_p": 0.49}, None, TENTHS, (0, 2 / 9, 3 / 9, 4 / 9)),
    ("llama.cpp", {"min_p": 0.51}, None, TENTHS, (0, 0, 3 / 7, 4 / 7)),
    ("llama.cpp", {"min_p": 0.74}, None, TENTHS, (0, 0, 3 / 7, 4 / 7)),
    ("llama.cpp", {"min_p": 0.76}, None, TENTHS, (0, 0, 0, 1)),
    ("llama.cpp", {"min_p": 1.00}, None, TENTHS, (0, 0, 0, 1)),
    ("llama.cpp", {"min_p": 1.05}, None, TENTHS, (0, 0, 0, 1)),
    ("llama.cpp", {"typical_p": 0.5}, None, (0.97, 0.01, 0.01, 0.01), (1, 0, 0, 0)),
    ("llama.cpp", {"typical_p": 0.5}, None, (0.4, 0.2, 0.2, 0.2), (0, 1 / 3, 1 / 3, 1 / 3)),
    ("llama.cpp", {"typical_p": 0.5}, None, (0.4, 0.2, 0.2, 0.0, 0.2), (0, 1 / 3, 1 / 3, 0, 1 / 3)),  # NaN there
    ("llama.cpp", {"top_n_sigma": 1.0}, None, TENTHS, (0, 0, 0.428571, 0.571429)),
    ("llama.cpp", {"top_n_sigma": 1.0}, None, (0.0, *TENTHS, 0.0), (0, 0, 0, 0.428571, 0.571429, 0)),  # of the finite
    ("llama.cpp", {"top_n_sigma": 0.0}, None, TENTHS, TENTHS),
    ("llama.cpp", {"top_n_sigma": 3.0}, None, TENTHS, TENTHS),
    ("llama.cpp", {"xtc_probability": 1.0, "xtc_threshold": 0.09}, None, FALLING, (0, 0, 0, 1)),
    ("llama.cpp", {"xtc_probability": 1.0, "xtc_threshold": 0.19}, None, FALLING, (0, 0, 2 / 3, 1 / 3)),
    ("llama.cpp", {"xtc_probability": 1.0, "xtc_threshold": 0.29}, None, FALLING, (0, 0.5, 1 / 3, 1 / 6)),
    ("llama.cpp", {"xtc_probability": 1.0, "xtc_threshold": 0.39}, None, FALLING, FALLING),
    ("llama.cpp", {"xtc_probability": 1.0, "xtc_threshold": 0.09, "min_keep": 2}, None, FALLING, FALLING),
    ("llama.cpp", {"xtc_probability": 1.0, "xtc_threshold": 1.5}, None, FALLING, FALLING),
    ("llama.cpp", {"repetition_penalty": 50.0}, [0], UNIFORM, (0, 0.25, 0.25, 0.25, 0.25)),
    ("llama.cpp", {"repetition_penalty": 50.0}, [0, 1, 2], UNIFORM, (0, 0, 0, 0.5, 0.5)),
    ("llama.cpp", {"frequency_penalty": 5.0, "presence_penalty": 5.0}, [0], UNIFORM,
     (0.000011, 0.249997, 0.249997, 0.249997, 0.249997)),
    ("llama.cpp", {"frequency_penalty": 5.0, "presence_penalty": 5.0}, [0, 1, 2], UNIFORM,
     (0.000023, 0.000023, 0.000023, 0.499966, 0.499966)),
    ("llama.cpp", {"frequency_penalty": 5.0, "presence_penalty": 5.0}, [0, 1, 2, 0, 0], UNIFORM,
     (0, 0.000023, 0.000023, 0.499977, 0.499977)),
    ("llama.cpp", {"dry_multiplier": 1.0, "dry_base": 1.1, "dry_allowed_length": 2}, [0, 1, 2, 0, 1], (0.25,) * 4,
     (0.296923, 0.296923, 0.109231, 0.296923)),
    ("llama.cpp", {"dry_multiplier": 2.0, "dry_base": 1.1, "dry_allowed_length": 2}, [0, 1, 3, 4, 0, 1], UNIFORM,
     (0.241818, 0.241818, 0.241818, 0.032727, 0.241818)),
    ("llama.cpp", {"dry_multiplier": 1.0, "dry_base": 1.1, "dry_allowed_length": 4, "dry_sequence_breakers": [[3]]},
     [0, 1], (0.25,) * 4, (0.25,) * 4),
    ("llama.cpp", {"dry_multiplier": 1.0, "dry_base": 1.1, "dry_penalty_last_n": 0}, [0, 1, 2, 0, 1], (0.25,) * 4,
     (0.25,) * 4),
    ("llama.cpp", {"dry_multiplier": 1.0, "dry_base": 1.1, "dry_penalty_last_n": -1}, [0, 1, 2, 0, 1], (0.25,) * 4,
     (0.296923, 0.296923, 0.109231, 0.296923)),
    ("llama.cpp", {"dry_multiplier": 1.0, "dry_base": 1.1, "dry_sequence_breakers": [[2]]}, [0, 1, 2, 0, 1],
     (0.25,) * 4, (0.25,) * 4),
    ("llama.cpp", {"top_k": 3}, None, TENTHS, (0, 2 / 9, 3 / 9, 4 / 9)),
    ("llama.cpp", {"top_k": 9}, None, TENTHS, TENTHS),
    ("mlx", {"top_p": 1e-9}, None, (0.9, 0.0, 0.0, 0.1), (1, 0, 0, 0)),  # bans all there
    ("mlx", {"top_p": 0.3}, None, (0.9, 0.0, 0.0, 0.1), (1, 0, 0, 0)),
    ("mlx", {"top_p": 0.95}, None, (0.9, 0.0, 0.0, 0.1), (0.9, 0, 0, 0.1)),
    ("mlx", {"top_p": 0.4}, None, (0.0, 0.5, 0.4, 0.1), (0, 1, 0, 0)),
    ("mlx", {"top_p": 0.6}, None, (0.0, 0.5, 0.4, 0.1), (0, 0.5556, 0.4444, 0)),
    ("mlx", {"xtc_probability": 1.0, "xtc_threshold": 0.2}, None, FEW, (0, 0.5, 0.25, 0.25)),
    ("mlx", {"xtc_probability": 1.0, "xtc_threshold": 0.1}, None, FEW, (0, 0, 0.5, 0.5)),
    ("mlx", {"xtc_probability": 1.0, "xtc_threshold": 0.1, "xtc_special_tokens": [0]}, None, FEW,
     (4 / 7, 0, 1.5 / 7, 1.5 / 7)),
    ("vllm", {"top_p": 0.7}, None, TENTHS, (0, 0, 0.428571, 0.571429)),
    ("vllm", {"top_k": 1}, None, (0.3, 0.3, 0.2, 0.2), (0.5, 0.5, 0, 0)),  # not greedy, where two are equal
    ("vllm", {"temperature": 0.0}, None, (0.3, 0.3, 0.2, 0.2), (1, 0, 0, 0)),
    ("vllm", {"min_p": 0.26, "top_p": 0.75}, None, TENTHS, (0, 0, 3 / 7, 4 / 7)),  # 7 of the 9 tenths that min-p leaves
    ("vllm", {"allowed_token_ids": [0, 2]}, None, TENTHS, (0.25, 0, 0.75, 0)),
    ("openvino", {"top_k": 2}, None, (0.1, 0.2, 0.2, 0.2, 0.3), (0, 0.4, 0, 0, 0.6)),  # of equal ones the lower index
    ("openvino", {"top_p": 0.2}, None, SOFTMAX, (0, 0, 1)),
    ("openvino", {"top_p": 0.9}, None, SOFTMAX, (0, 0.268941, 0.731059)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "keywords", "context", "probs", "expected"), VECTORS)
def test_vectors(name: str, keywords: Any, context: Any, probs: Any, expected: Any) -> None:
    got = fl.probs(logs(*probs), preset=name, context=context, rng=0, **keywords)
    np.testing.assert_allclose(got, expected, atol=5e-5 if 0.5556 in expected else 2e-6)


LARGEST = float(np.finfo(np.float32).max)
#: (preset, keywords, context, logits, processed logits).
RAW: list[tuple[str, dict[str, Any], list[int], list[float], list[float]]] = [
    ("openvino", {"repetition_penalty": 1.2}, [2, 0], [1, 2, 3], [0.833333, 2, 2.5]),
    ("openvino", {"repetition_penalty": 2.0}, [0, 1], [-1, 2, 3], [-2, 1, 3]),
    ("openvino", {"repetition_penalty": 0.5}, [1, 1], [-1, 2, 3], [-1, 4, 3]),
    ("mlx", {"frequency_penalty": 0.5}, [0, 0, 0, 1, 1], [0, 0, 0, 0], [-1.5, -1, 0, 0]),
    ("mlx", {"presence_penalty": 0.5}, [0, 0, 0, 1, 1], [0, 0, 0, 0], [-0.5, -0.5, 0, 0]),
    ("mlx", {"repetition_penalty": 1.5, "presence_penalty": 0.5, "frequency_penalty": 0.25}, [0, 0, 0, 1, 1],
     [1, 0.5, 0, -0.5], [-0.583333, -0.666667, 0, -0.5]),
    *((name, {"repetition_penalty": 5.0}, [0, 1], [0, -np.inf, 3], [0, -np.inf, 3]) for name in PRESETS),
    ("hf", {"encoder_repetition_penalty": 2.0, "encoder_ids": [0, 1]}, [], [-0.1, 0.1, 0.3], [-0.05, 0.2, 0.3]),
    ("hf", {"remove_invalid_values": True}, [], [0, 0.7, 0.8, np.nan], [0, 0.7, 0.8, 0]),
    ("hf", {"remove_invalid_values": True}, [], [0.1, np.inf, 0.3, -np.inf], [0.1, LARGEST, 0.3, -LARGEST]),
    ("hf", {"renormalize_logits": True, "top_k": 2}, [], np.log([6, 2, 1]), [np.log(0.75), np.log(0.25), -np.inf]),
    ("hf", {"suppress_tokens": [1, 2]}, [], [1, 2, 3, 4], [1, -np.inf, -np.inf, 4]),
    ("hf", {"forced_bos_token_id": 0}, [2], [-5, 1, 2], [0, -np.inf, -np.inf]),
    ("hf", {"forced_eos_token_id": 0, "max_length": 3}, [2, 2], [-5, 1, 2], [0, -np.inf, -np.inf]),
    ("hf", {"min_length": 3, "eos_token_id": 0}, [2, 2], [1, 2, 3], [-np.inf, 2, 3]),
    ("hf", {"min_length": 2, "eos_token_id": 0}, [2, 2], [1, 2, 3], [1, 2, 3]),
    ("hf", {"exponential_decay_length_penalty": (1, 1.1), "eos_token_id": 0}, [2, 2, 2], [-2, 1, 1], [-1.58, 1, 1]),
    ("hf", {"encoder_no_repeat_ngram_size": 2, "encoder_ids": [1, 2, 1, 0]}, [2, 1], [0, 0, 0], [-np.inf, 0, -np.inf]),
    ("vllm", {"logit_bias": {0: -np.inf, 2: 1.5}}, [], [1, 2, 3], [-np.inf, 2, 4.5]),
    ("vllm", {"bad_words_ids": [[1], [2, 0]]}, [2], [1, 2, 3], [-np.inf, -np.inf, 3]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "keywords", "context", "row", "expected"), RAW)
def test_edit_vectors(name: str, keywords: Any, context: Any, row: Any, expected: Any) -> None:
    got = fl.filter_logits(np.array(row, np.float32), preset=name, context=context, **keywords)
    np.testing.assert_allclose(got, expected, rtol=2e-7, atol=2e-6)


#: What counts of context [0, 1, 1] behind a prompt of two tokens: (preset, keyword, logits that were 4).
COUNTS = [
    *((name, "repetition_penalty", [2, 2, 4]) for name in PRESETS),
    ("vllm", "frequency_penalty", [4, 2, 4]), ("vllm", "presence_penalty", [4, 2, 4]),
    ("openvino", "frequency_penalty", [4, 2, 4]), ("openvino", "presence_penalty", [4, 2, 4]),
    ("llama.cpp", "frequency_penalty", [2, 0, 4]), ("llama.cpp", "presence_penalty", [2, 2, 4]),
    ("mlx", "frequency_penalty", [2, 0, 4]), ("mlx", "presence_penalty", [2, 2, 4]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "keyword", "expected"), COUNTS)
def test_which_tokens_count(name: str, keyword: str, expected: Any) -> None:
    """Output alone in vLLM, what was accepted in llama.cpp, and the multiplicative penalty counts all everywhere."""
    got = fl.filter_logits([4.0, 4.0, 4.0], preset=name, context=[0, 1, 1], prompt_length=2, **{keyword: 2.0})
    assert got.tolist() == expected


def test_vllm_matches_bad_words_with_the_output() -> None:
    for start, banned in ((0, True), (1, False)):
        inputs: dict[str, Any] = {"bad_words_ids": [[2, 0]], "context": [2], "prompt_length": start}
        assert np.isneginf(fl.filter_logits([1.0, 2.0, 3.0], preset="vllm", **inputs)[0]) == banned
        assert np.isneginf(fl.filter_logits([1.0, 2.0, 3.0], preset="hf", **inputs)[0])


def test_llama_xtc_fires_with_its_probability() -> None:
    """At probability 0.99 llama.cpp's vectors hold whenever it fires: here at all positions but one in a hundred."""
    for threshold, left in ((0.09, [3]), (0.19, [2, 3]), (0.29, [1, 2, 3]), (0.39, [0, 1, 2, 3])):
        sampler = fl.Sampler(preset="llama.cpp", xtc_probability=0.99, xtc_threshold=threshold)
        kept = [sampler.candidates(logs(*FALLING), rng=3, position=i).ids.tolist() for i in range(500)]
        assert 470 < kept.count(left) <= (500 if threshold == 0.39 else 499)
        assert all(ids in (left, [0, 1, 2, 3]) for ids in kept)


def test_hf_guidance() -> None:
    """Its test's vector, and what a scale of 1 is: log-softmax of the logits, not they themselves."""
    c, u = np.ones(3, np.float32), np.array([1, 0, 1.5], np.float32)
    by_hand = fl.log_softmax(u) + 1.5 * (fl.log_softmax(c) - fl.log_softmax(u))
    np.testing.assert_allclose(fl.filter_logits(c, preset="hf", uncond=u, guidance_scale=1.5), by_hand, atol=1e-6)
    np.testing.assert_allclose(fl.filter_logits(c, preset="hf", uncond=u, guidance_scale=1.0), [-np.log(3)] * 3, 1e-6)


@pytest.mark.parametrize(("t", "row", "expected"), [
    (1.0, [1, 2, 3], [0.090031, 0.244728, 0.665241]), (2.0, [3, 2, 1], [0.506480, 0.307195, 0.186323]),
])  # fmt: skip
def test_openvino_temperature(t: float, row: Any, expected: Any) -> None:
    np.testing.assert_allclose(fl.probs(row, preset="openvino", temperature=t), expected, atol=2e-6)


@pytest.mark.parametrize(("p", "kept"), [(0.0, 4), (0.1, 3), (0.4, 1)])
def test_openvino_min_p(p: float, kept: int) -> None:
    assert fl.candidates([1.0, 2.0, 4.0, 3.0], preset="openvino", min_p=p).ids.size == kept


#: A ramp of logits; which ids are left.
RAMPS: list[tuple[dict[str, Any], Any, list[int]]] = [
    ({"top_k": 3}, np.arange(10.0), [7, 8, 9]),
    ({"top_k": 1, "min_keep": 3}, np.arange(10.0), [7, 8, 9]),
    ({"top_p": 0.9, "min_keep": 2}, np.arange(-5.0, 5.0), [7, 8, 9]),
    ({"top_p": 0.9, "min_keep": 2}, np.arange(-5.0, 5.0) * 100, [8, 9]),
]


@pytest.mark.parametrize(("keywords", "row", "ids"), RAMPS)
def test_hf_ramps(keywords: Any, row: Any, ids: Any) -> None:
    assert sorted(fl.candidates(row, preset="hf", **keywords).ids) == ids


SEQUENCES = {(1,): 100.0, (4,): 100.0, (1, 0): -100.0, (0, 1, 2): -100.0, (1, 3, 1, 3): -100.0}


def test_hf_sequence_bias() -> None:
    got = fl.filter_logits(
        np.zeros((2, 5)), preset="hf", sequence_bias=SEQUENCES, context=[[0, 1, 3, 1], [0, 1, 0, 1]]
    )  # fmt: skip
    assert got.tolist() == [[-100, 100, 0, -100, 100], [-100, 100, -100, 0, 100]]


@pytest.mark.parametrize(("n", "context", "banned"), [
    (2, [1, 1, 2, 1], [1, 2]), (2, [0, 1, 0, 1], [0]), (3, [1, 1, 2, 1], []), (3, [0, 1, 0, 1], [0]),
    (3, [1, 2, 5, 7, 8, 5, 1, 2], [5]),
])  # fmt: skip
def test_hf_no_repeat_ngram(n: int, context: Any, banned: Any) -> None:
    got = fl.filter_logits(np.zeros(10), preset="hf", no_repeat_ngram_size=n, context=context)
    assert np.flatnonzero(np.isneginf(got)).tolist() == banned
