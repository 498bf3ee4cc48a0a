"""The Sampler of a GenerationConfig of transformers; see `fastlogits.sampling.systems`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastlogits import steps as s
from fastlogits._common.inputs import is_sequence
from fastlogits.sampling.keywords import keyword_steps
from fastlogits.sampling.systems import _ids, _neutral, _nothing, _number, _numbers, _off, _System, _whole

_WARPERS = (
    "temperature", "top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff",
)  # fmt: skip


_PROCESSORS = (
    "repetition_penalty", "min_length", "min_new_tokens", "forced_bos_token_id", "forced_eos_token_id",
    "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens", "sequence_bias",
    "remove_invalid_values", "renormalize_logits", "no_repeat_ngram_size",
)  # fmt: skip


_HF = _System(
    "from_hf",
    frozenset({
        *_WARPERS, *_PROCESSORS, "do_sample", "bad_words_ids", "eos_token_id", "max_length", "max_new_tokens",
        "encoder_repetition_penalty", "encoder_no_repeat_ngram_size", "guidance_scale",
    }),
    {
        "num_beams": (_neutral, ""), "num_beam_groups": (_neutral, ""), "diversity_penalty": (_off, ""),
        "penalty_alpha": (_off, ""), "dola_layers": (_nothing, ""), "constraints": (_off, ""),
        "force_words_ids": (_off, ""), "token_healing": (_off, ""), "watermarking_config": (_nothing, ""),
        "prefix_allowed_tokens_fn": (_nothing, "pass what it allows as allowed_token_ids="),
        "logits_processor": (_off, ""),
    },
    frozenset({
        "early_stopping", "length_penalty", "max_time", "stop_strings", "use_cache", "use_mtp", "cache_implementation",
        "cache_config", "max_cache_len", "return_legacy_cache", "num_return_sequences", "output_attentions",
        "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate", "pad_token_id",
        "bos_token_id", "decoder_start_token_id", "is_assistant", "num_assistant_tokens",
        "num_assistant_tokens_schedule", "assistant_confidence_threshold", "prompt_lookup_num_tokens",
        "max_matching_ngram_size", "assistant_early_exit", "assistant_lookbehind", "target_lookbehind",
        "assistant_ensemble_weight", "speculation_type", "compile_config", "disable_compile",
        "continuous_batching_config", "low_memory", "prefill_chunk_size", "transformers_version", "generation_kwargs",
        "_from_model_config", "_commit_hash",
    }),
)  # fmt: skip


def from_hf(fields: Any, encoder_ids: Any = None, prompt_length: int | None = None) -> tuple[s.Step, ...]:
    """Steps of a ``GenerationConfig``, or of the keywords of ``generate``."""
    f = _HF.read(fields)
    if prompt_length is not None:
        prompt_length = _whole("prompt_length", prompt_length)
    defaults = getattr(fields, "_get_default_generation_params", None)
    if callable(defaults):  # newer configurations say here what None means
        f = {name: value for name, value in defaults().items() if name in _HF.used and not _nothing(value)} | f
    keywords = {name: f[name] for name in _PROCESSORS if name in f}
    for name, off in (("encoder_repetition_penalty", 1), ("encoder_no_repeat_ngram_size", 0)):
        if f.get(name, off) != off:
            if encoder_ids is None:
                raise ValueError(f"{name} needs encoder_ids=")
            keywords |= {name: f[name], "encoder_ids": encoder_ids}
    if f.get("guidance_scale", 1) != 1:
        keywords["guidance_scale"] = f["guidance_scale"]
    keywords |= _hf_ends(f, prompt_length)
    keywords |= _hf_warpers(f, isinstance(fields, Mapping))
    return keyword_steps(keywords, "hf")


def _hf_ends(f: dict[str, Any], prompt_length: int | None) -> dict[str, Any]:
    """Keywords that depend on the tokens that end a text, and on where the output begins and ends."""
    eos = _ids("eos_token_id", f.get("eos_token_id"))
    found: dict[str, Any] = {"eos_token_id": eos} if eos else {"min_length": None, "min_new_tokens": None}
    if f.get("bad_words_ids"):
        found["bad_words_ids"] = [w for w in f["bad_words_ids"] if not (is_sequence(w) and len(w) == 1 and w[0] in eos)]
    if "forced_eos_token_id" in f:
        if "max_new_tokens" in f and prompt_length is None:
            raise ValueError("forced_eos_token_id needs max_length, or prompt_length= with max_new_tokens")
        found["max_length"] = (
            (prompt_length or 0) + f["max_new_tokens"] if "max_new_tokens" in f else f.get("max_length")
        )
    if f.get("begin_suppress_tokens"):
        if "forced_bos_token_id" in f and prompt_length is None:
            raise ValueError("begin_suppress_tokens with forced_bos_token_id needs prompt_length=")
        late = prompt_length is not None and prompt_length <= 1 and "forced_bos_token_id" in f
        found["begin_index"] = None if prompt_length is None else prompt_length + late
    return found


def _hf_warpers(f: dict[str, Any], is_mapping: bool) -> dict[str, Any]:
    """Keywords that hold under sampling only; without it the maximum is taken."""
    if not f.get("do_sample", False):
        if is_mapping and (lost := [name for name in _WARPERS if name in f]):
            warnings.warn(f"do_sample is not set: {', '.join(lost)} do nothing", UserWarning, stacklevel=4)
        return {"temperature": 0.0}
    found = _numbers({name: f[name] for name in _WARPERS if name in f})
    top = float(np.finfo(np.float64).max)
    if "temperature" in f and _number("temperature", f["temperature"], 0, top, above=True) == 1:
        del found["temperature"]
    if found.get("top_k", 0) < 0:
        raise ValueError(f"top_k must be >= 0, got {found['top_k']}")
    for name in ("epsilon_cutoff", "eta_cutoff"):
        if not 0 < found.get(name, 0) < 1:
            found.pop(name, None)
    for name in ("top_p", "typical_p"):
        if found.get(name, 0) >= 1:
            del found[name]
    return found
