"""Samplers from what users already hold: request fields and configuration objects of other systems.

Each function takes a mapping or an object with the fields as attributes and returns steps, in the order and with the
boundary rules of that system. None of those packages is needed. `Sampler.from_openai` and so on say what fields there
are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastlogits import steps as s
from fastlogits._common.inputs import id_array, is_sequence
from fastlogits._common.params import shown
from fastlogits.sampling.keywords import keyword_steps


def _nothing(value: Any) -> bool:
    """Whether a value stands for a field that is not given: None, or a sentinel of OpenAI's client."""
    return value is None or type(value).__name__ in ("NotGiven", "Omit")


def _off(value: Any) -> bool:
    """Whether a value asks for nothing: None, False, 0 or empty."""
    empty = isinstance(value, str | list | dict) and not value
    return _nothing(value) or value is False or empty or (isinstance(value, int | float) and value == 0)


def _neutral(value: Any) -> bool:
    """Whether a value asks for nothing, or for one of it."""
    return _off(value) or (isinstance(value, int | float) and value == 1)


def _attributes(fields: Any) -> dict[str, Any]:
    """Public attributes of an object: a namespace, a dataclass, pydantic's, msgspec's, or one with slots."""
    kind = type(fields)
    names: list[str] = list(getattr(fields, "__dict__", ()))
    for listed in ("__struct_fields__", "__dataclass_fields__", "model_fields", "_fields"):
        names += list(getattr(kind, listed, ()))
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
    public = [name for name in dict.fromkeys(names) if not name.startswith("_") and hasattr(fields, name)]
    return {name: getattr(fields, name) for name in public}


def llama_seed(seed: int) -> int | None:
    """A seed of llama.cpp, which takes it mod 2^32; -1 is 2^32 - 1 to it, and asks for a random seed, here None."""
    word = seed & (2**32 - 1)
    return None if word == 2**32 - 1 else word


#: What a system's seed is to ``rng=``.
_SEEDS: dict[str, Callable[[int], int | None]] = {
    "openai": lambda seed: seed % 2**64,
    "vllm": lambda seed: None if seed == -1 else seed % 2**64,
    "llama.cpp": llama_seed,
}


def rng_of(fields: Any, system: Any) -> int | None:
    """The seed among the fields of a request, or a seed alone, as ``rng=``."""
    if not isinstance(system, str) or system not in _SEEDS:
        raise ValueError(f"system must be one of {', '.join(map(repr, _SEEDS))}, got {shown(system)}")
    if isinstance(fields, Mapping):
        seed = fields.get("seed")
    else:
        seed = fields if _nothing(fields) or isinstance(fields, int | np.integer) else getattr(fields, "seed", fields)
    if _nothing(seed):
        return None
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed must be an integer or None, got {shown(seed)}")
    return _SEEDS[system](int(seed))


class _System(NamedTuple):
    """What fields a system has: ours to use, unsupported ones unless a test holds for their value, and others."""

    name: str
    used: frozenset[str]
    unsupported: Mapping[str, tuple[Callable[[Any], bool], str]]
    ignored: frozenset[str]

    def read(self, fields: Any) -> dict[str, Any]:
        """The fields that are given and used, by name."""
        if isinstance(fields, Mapping):
            given, strict = dict(fields), True
        elif fields is None or isinstance(fields, str | bytes | int | float | list | tuple | set) or callable(fields):
            raise TypeError(f"{self.name} takes a mapping or an object with fields, got {type(fields).__name__}")
        else:
            given, strict = _attributes(fields), False
        for field, value in given.items():
            self._check(field, value, strict)
        return {field: value for field, value in given.items() if field in self.used and not _nothing(value)}

    def _check(self, field: Any, value: Any, strict: bool) -> None:
        """Refuses what is unknown or unsupported; an object may have unknown fields that ask for nothing."""
        if field in self.unsupported:
            test, instead = self.unsupported[field]
            if not _nothing(value) and not test(value):
                raise ValueError(f"{self.name} does not support {field}={shown(value)}{instead and '; ' + instead}")
        elif field not in self.used and field not in self.ignored and (strict or not _off(value)):
            raise ValueError(f"{self.name} knows no field {field!r}")


def _number(field: str, value: Any, low: float, high: float, *, above: bool = False) -> float:
    """A finite number in [low, high], or (low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{field} must be a number, got {shown(value)}")
    number = float(value)
    if not (low < number if above else low <= number) or not number <= high:
        raise ValueError(f"{field} must be in {'(' if above else '['}{low:g}, {high:g}], got {shown(value)}")
    return number


def _numbers(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, each of them a number."""
    for field, value in fields.items():
        _number(field, value, -np.inf, np.inf)
    return fields


def _whole(field: str, value: Any) -> int:
    """An integer >= 0."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{field} must be an integer >= 0, got {shown(value)}")
    if value < 0:
        raise ValueError(f"{field} must be an integer >= 0, got {value}")
    return int(value)


def _biases(field: str, given: Any, low: float, high: float, *, clamp: bool = False) -> dict[int, float]:
    """{id: bias} from a mapping whose keys may be strings of digits."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{field} must be a mapping {{id: bias}}, got {type(given).__name__}")
    found: dict[int, float] = {}
    for key, bias in given.items():
        value = _number(f"{field}[{key!r}]", bias, -np.inf, np.inf)
        token = _id(field, key)
        if token in found:
            raise ValueError(f"{field}: token id {token} is given more than once")
        found[token] = min(max(value, low), high) if clamp else _number(f"{field}[{key!r}]", bias, low, high)
    return found


def _id(field: str, key: Any) -> int:
    """A token id from an integer or from its digits."""
    if isinstance(key, str) and key.strip().isdecimal():
        return int(key)
    if isinstance(key, bool) or not isinstance(key, int | np.integer):
        raise ValueError(f"{field}: {key!r} is no token id")
    return int(key)


def _ids(field: str, value: Any) -> list[int]:
    """A token id, several, or None, as a list."""
    if value is None:
        return []
    several = list(value) if isinstance(value, set | frozenset) else value if is_sequence(value) else [value]
    found: list[int] = id_array(field, several).tolist()
    return found


# ---- OpenAI ---------------------------------------------------------------------------------------------------------

_BY_MASK = "pass what is allowed as mask="
_OPENAI = _System(
    "from_openai",
    frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty", "logit_bias"}),
    {
        "response_format": (lambda v: isinstance(v, Mapping) and v.get("type") == "text", _BY_MASK),
        "tool_choice": (lambda v: v in ("none", "auto"), _BY_MASK),
        "function_call": (lambda v: v in ("none", "auto"), _BY_MASK),
        "best_of": (_neutral, ""),
        "prediction": (_nothing, ""),
    },
    frozenset({
        "model", "messages", "prompt", "input", "instructions", "suffix", "echo", "n", "max_tokens",
        "max_completion_tokens", "stop", "stream", "stream_options", "seed", "user", "logprobs", "top_logprobs",
        "tools", "functions", "parallel_tool_calls", "metadata", "store", "service_tier", "reasoning_effort",
        "verbosity", "modalities", "audio", "prompt_cache_key", "prompt_cache_options",
        "prompt_cache_retention", "safety_identifier", "moderation", "web_search_options", "extra_headers",
        "extra_query", "timeout",
    }),
)  # fmt: skip


def from_openai(fields: Any) -> tuple[s.Step, ...]:
    """Steps of a request."""
    f = _OPENAI.read(fields)
    ranges = {"temperature": (0, 2), "top_p": (0, 1), "frequency_penalty": (-2, 2), "presence_penalty": (-2, 2)}
    keywords: dict[str, Any] = {name: _number(name, f[name], *ranges[name]) for name in ranges if name in f}
    if f.get("logit_bias"):
        keywords["logit_bias"] = _biases("logit_bias", f["logit_bias"], -100, 100)
    return keyword_steps(keywords)


# ---- vLLM -----------------------------------------------------------------------------------------------------------

_VLLM = _System(
    "from_vllm",
    frozenset({
        "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty",
        "min_tokens", "stop_token_ids", "all_stop_token_ids", "logit_bias", "allowed_token_ids", "bad_words",
        "bad_words_token_ids",
    }),
    {
        "structured_outputs": (_nothing, _BY_MASK),
        "guided_decoding": (_nothing, _BY_MASK),
        "logits_processors": (_off, ""),
        "thinking_token_budget": (lambda v: v == -1, ""),
        "trace_decode_token_ids": (_off, ""),
        "use_beam_search": (_off, ""),
        "best_of": (_neutral, ""),
    },
    frozenset({
        "n", "seed", "stop", "ignore_eos", "max_tokens", "logprobs", "prompt_logprobs", "prompt_logprob_token_ids",
        "prompt_logprob_start", "logprob_token_ids", "flat_logprobs", "detokenize", "skip_special_tokens",
        "spaces_between_special_tokens", "include_stop_str_in_output", "output_kind", "stream_interval", "skip_clone",
        "output_text_buffer_length", "extra_args", "skip_reading_prefix_cache", "repetition_detection",
        "routed_experts_prompt_start", "truncate_prompt_tokens", "stop_reason",
    }),
)  # fmt: skip


def from_vllm(fields: Any, eos_token_id: Any = None) -> tuple[s.Step, ...]:
    """Steps of ``SamplingParams``."""
    f = _VLLM.read(fields)
    ranges: dict[str, tuple[float, float, bool]] = {
        "presence_penalty": (-2, 2, False), "frequency_penalty": (-2, 2, False), "top_p": (0, 1, True),
        "repetition_penalty": (0, float(np.finfo(np.float64).max), True), "min_p": (0, 1, False),
    }  # fmt: skip
    keywords: dict[str, Any] = {
        name: _number(name, f[name], low, high, above=above) for name, (low, high, above) in ranges.items() if name in f
    }
    if "temperature" in f:
        keywords["temperature"] = _vllm_temperature(_number("temperature", f["temperature"], 0, 2))
    keywords |= {name: f[name] for name in ("top_k", "allowed_token_ids") if name in f}
    if f.get("logit_bias"):
        keywords["logit_bias"] = _biases("logit_bias", f["logit_bias"], -100, 100, clamp=True)
    words = f.get("bad_words_token_ids", getattr(fields, "_bad_words_token_ids", None))
    if f.get("bad_words") and not words:
        raise ValueError("from_vllm cannot tokenise bad_words; pass their token ids as bad_words_token_ids")
    keywords |= {"bad_words_ids": words} if words else {}
    keywords |= _vllm_stops(f, fields, eos_token_id)
    return keyword_steps(keywords, "vllm")


def _vllm_temperature(t: float) -> float:
    """0 is greedy; values between 0 and 0.01 become 0.01."""
    if 0 < t < 0.01:
        warnings.warn(f"temperature {t} is raised to 0.01, as vLLM does", UserWarning, stacklevel=4)
        return 0.01
    return t


def _vllm_stops(f: dict[str, Any], fields: Any, eos_token_id: Any) -> dict[str, Any]:
    """The keywords of ``min_tokens``: all tokens that end a text are banned."""
    if not f.get("min_tokens"):
        return {}
    known = f.get("all_stop_token_ids", getattr(fields, "_all_stop_token_ids", None))
    stops = [
        *_ids("all_stop_token_ids", known), *_ids("stop_token_ids", f.get("stop_token_ids")),
        *_ids("eos_token_id", eos_token_id),
    ]  # fmt: skip
    if not stops:
        raise ValueError("min_tokens needs stop_token_ids or eos_token_id=")
    return {"min_new_tokens": f["min_tokens"], "eos_token_id": list(dict.fromkeys(stops))}


# ---- transformers ---------------------------------------------------------------------------------------------------

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
            raise ValueError("forced_eos_token_id needs max_length, or prompt_length= beside max_new_tokens")
        found["max_length"] = (
            (prompt_length or 0) + f["max_new_tokens"] if "max_new_tokens" in f else f.get("max_length")
        )
    if f.get("begin_suppress_tokens"):
        if "forced_bos_token_id" in f and prompt_length is None:
            raise ValueError("begin_suppress_tokens beside forced_bos_token_id needs prompt_length=")
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


# ---- llama.cpp ------------------------------------------------------------------------------------------------------

#: Names of one field in llama.cpp, its server and llama-cpp-python.
_ALIASES = {
    "temperature": "temp", "typical_p": "typ_p", "repeat_last_n": "penalty_last_n",
    "last_n_tokens_size": "penalty_last_n", "repeat_penalty": "penalty_repeat", "frequency_penalty": "penalty_freq",
    "presence_penalty": "penalty_present", "mirostat_mode": "mirostat", "mirostat_ent": "mirostat_tau",
    "mirostat_lr": "mirostat_eta",
}  # fmt: skip
#: The defaults of a step's further parameters, and of those fields that an object lacks.
_FURTHER = {
    "penalty_last_n": 64, "xtc_threshold": 0.1, "dynatemp_exponent": 1.0, "mirostat_tau": 5.0, "mirostat_eta": 0.1,
    "adaptive_decay": 0.9, "min_keep": 0, "dry_base": 1.75, "dry_allowed_length": 2, "dry_penalty_last_n": -1,
}  # fmt: skip
_OF_OBJECTS = {"temp": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}
_NO_NUMBERS = ("logit_bias", "samplers", "ignore_eos", "dry_sequence_breakers")
#: What a name in ``samplers`` stands for; the order is that of llama.cpp.
_CHAIN = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")
_CHAIN_NAMES = {name: name for name in (*_CHAIN, "infill", "adaptive_p")} | {
    "typical_p": "typ_p", "typical": "typ_p", "typ-p": "typ_p", "top-k": "top_k", "top-p": "top_p", "nucleus": "top_p",
    "min-p": "min_p", "temp": "temperature", "temp_ext": "temperature", "top-n-sigma": "top_n_sigma",
    "adaptive-p": "adaptive_p",
}  # fmt: skip

_LLAMA_CPP = _System(
    "from_llama_cpp",
    frozenset({
        *_ALIASES, *_ALIASES.values(), *_FURTHER, *_OF_OBJECTS, "typ_p", "top_n_sigma", "xtc_probability",
        "dynatemp_range", "adaptive_target", "logit_bias", "samplers", "ignore_eos", "dry_multiplier",
        "dry_sequence_breakers",
    }),
    {
        "grammar": (_off, _BY_MASK), "json_schema": (_off, _BY_MASK), "response_format": (_off, _BY_MASK),
        "logits_processor": (_off, ""), "tfs_z": (_neutral, "its system dropped it; use fastlogits.steps.Tfs"),
        "reasoning_budget_tokens": (lambda v: v == -1, ""),
    },
    frozenset({
        "seed", "n_prev", "n_probs", "no_perf", "timing_per_token", "grammar_lazy", "grammar_triggers",
        "preserved_tokens", "prompt",
        "messages", "n_predict", "max_tokens", "stop", "stream", "cache_prompt", "id_slot", "return_tokens",
        "post_sampling_probs", "logprobs", "top_logprobs", "echo", "suffix", "model", "stopping_criteria", "n_keep",
        "t_max_predict_ms", "lora", "n", "user", "user_sampling_config", "idx", "backend_sampling", "logit_bias_eog",
    }),
)  # fmt: skip


def from_llama_cpp(fields: Any, eos_token_id: Any = None) -> tuple[s.Step, ...]:
    """Steps of ``common_params_sampling``, of a request to llama.cpp's server or of llama-cpp-python's arguments."""
    f = _renamed(_LLAMA_CPP.read(fields))
    _numbers({name: value for name, value in f.items() if name not in _NO_NUMBERS})
    f = _FURTHER | ({} if isinstance(fields, Mapping) else _OF_OBJECTS) | f
    made = _llama_bias(f, eos_token_id)
    if f.get("mirostat"):
        temperature = _field("temp", lambda: [s.Temperature(max(0.0, f["temp"]))]) if "temp" in f else []
        return (
            *made, *temperature,
            *_field("mirostat", lambda: [s.Mirostat(f["mirostat"], f["mirostat_tau"], f["mirostat_eta"])]),
        )  # fmt: skip
    chain = _chain(f.get("samplers"))
    if "adaptive_target" in f and f["adaptive_target"] >= 0 and "adaptive_p" not in chain:
        raise ValueError("adaptive_target needs 'adaptive_p' among samplers")
    for name in chain:
        made += _field(name, partial(_MAKERS[name], f))
    return tuple(made)


def _renamed(given: dict[str, Any]) -> dict[str, Any]:
    """The fields by llama.cpp's own names."""
    found: dict[str, Any] = {}
    for field, value in given.items():
        name = _ALIASES.get(field, field)
        if name in found and found[name] != value:
            raise ValueError(f"{field}={shown(value)} contradicts another name of {name}, {shown(found[name])}")
        found[name] = value
    return found


def _field(name: str, make: Callable[[], Iterable[s.Step]]) -> list[s.Step]:
    """Steps, with the system's name of them in front of what is wrong."""
    try:
        return list(make())
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name}: {error}") from None


def _chain(samplers: Any) -> list[str]:
    """The order of the samplers, by default llama.cpp's; adaptive-p selects the token, so it stands last."""
    if samplers is None:
        return list(_CHAIN)
    if not isinstance(samplers, str | list | tuple):
        raise TypeError(f"samplers must be a list of names or one text, got {shown(samplers)}")
    names = samplers.split(";") if isinstance(samplers, str) else list(samplers)
    unknown = [name for name in names if name not in _CHAIN_NAMES]
    if unknown:
        raise ValueError(f"samplers: {unknown[0]!r} is none of {', '.join(_CHAIN_NAMES)}")
    chain = [_CHAIN_NAMES[name] for name in names]
    if "infill" in chain:
        raise ValueError("samplers: 'infill' is not supported")
    return [name for name in chain if name != "adaptive_p"] + ["adaptive_p"] * ("adaptive_p" in chain)


def _llama_bias(f: dict[str, Any], eos_token_id: Any) -> list[s.Step]:
    """The bias, from a mapping, from pairs [id, bias] or from objects with token and bias; False bans."""
    given = f.get("logit_bias") or {}
    pairs: Sequence[Any] = list(given.items() if isinstance(given, Mapping) else given)
    biases: dict[int, float] = {}
    for pair in pairs:
        try:
            token, bias = pair if isinstance(pair, list | tuple) else (pair.token, pair.bias)
        except (ValueError, AttributeError):
            raise TypeError(f"logit_bias must hold pairs [id, bias], got {shown(pair)}") from None
        value = -np.inf if bias is False else _number(f"logit_bias[{token!r}]", bias, -np.inf, np.inf)
        key = _id("logit_bias", token)
        biases[key] = biases.get(key, 0.0) + value
    if f.get("ignore_eos"):
        if eos_token_id is None:
            raise ValueError("ignore_eos needs eos_token_id=")
        biases |= dict.fromkeys(_ids("eos_token_id", eos_token_id), -np.inf)
    return _field("logit_bias", lambda: [s.LogitBias(biases)]) if biases else []


def _penalties(f: dict[str, Any]) -> Iterable[s.Step]:
    """Over the last ``penalty_last_n`` tokens; -1 is all of them."""
    last = f["penalty_last_n"]
    window = None if last < 0 else last
    if last == 0:
        return
    if f.get("penalty_repeat", 1) != 1:
        yield s.RepetitionPenalty(f["penalty_repeat"], window, prompt=True)
    if f.get("penalty_freq", 0) != 0:
        yield s.FrequencyPenalty(f["penalty_freq"], window, prompt=True)
    if f.get("penalty_present", 0) != 0:
        yield s.PresencePenalty(f["penalty_present"], window, prompt=True)


def _dry(f: dict[str, Any]) -> Iterable[s.Step]:
    """Off for a multiplier of 0, a base below 1 or no tokens to search."""
    if f.get("dry_multiplier", 0) == 0 or f["dry_base"] < 1 or f["dry_penalty_last_n"] == 0:
        return
    breakers = f.get("dry_sequence_breakers")
    if breakers is None or any(isinstance(each, str) for each in breakers):
        raise ValueError("dry_sequence_breakers must be given as sequences of token ids: text cannot be tokenised here")
    yield s.Dry(f["dry_multiplier"], f["dry_base"], f["dry_allowed_length"], f["dry_penalty_last_n"], breakers)


def _temperature(f: dict[str, Any]) -> Iterable[s.Step]:
    """llama.cpp's ``temp_ext``: at most 0 is greedy; with a range by the entropy, between T - range and T + range."""
    t, spread = f.get("temp", 1.0), f.get("dynatemp_range", 0.0)
    if spread > 0:
        yield s.DynamicTemperature(max(0.0, t - spread), t + spread, f["dynatemp_exponent"])
    elif t != 1:
        yield s.Temperature(max(0.0, t))


def _one(field: str, on: Callable[[Any], bool], make: Callable[[Any, dict[str, Any], int], s.Step]) -> Any:
    """Maker of a step that one field turns on."""

    def steps_of(f: dict[str, Any]) -> Iterable[s.Step]:
        if field in f and on(f[field]):
            yield make(f[field], f, max(1, f["min_keep"]))

    return steps_of


_MAKERS: dict[str, Callable[[dict[str, Any]], Iterable[s.Step]]] = {
    "penalties": _penalties,
    "dry": _dry,
    "top_n_sigma": _one("top_n_sigma", lambda n: n > 0, lambda n, f, keep: s.TopNSigma(n)),
    "top_k": _one("top_k", lambda k: k > 0, lambda k, f, keep: s.TopK(k)),
    "typ_p": _one("typ_p", lambda p: p < 1, lambda p, f, keep: s.TypicalP(p, keep, strict=True)),
    "top_p": _one("top_p", lambda p: p < 1, lambda p, f, keep: s.TopP(p, keep)),
    "min_p": _one("min_p", lambda p: p > 0, lambda p, f, keep: s.MinP(min(p, 1.0), keep)),
    "xtc": _one(
        "xtc_probability",
        lambda p: p > 0,
        lambda p, f, keep: s.Xtc(0.0 if f["xtc_threshold"] > 0.5 else p, min(f["xtc_threshold"], 1.0), (), keep),
    ),
    "temperature": _temperature,
    "adaptive_p": _one("adaptive_target", lambda t: t >= 0, lambda t, f, keep: s.AdaptiveP(t, f["adaptive_decay"])),
}
