"""The Sampler of llama.cpp's sampling parameters; see `fastlogits.sampling.systems`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from fastlogits import steps as s
from fastlogits._common.params import shown
from fastlogits.sampling.systems import _BY_MASK, _id, _ids, _neutral, _number, _numbers, _off, _System

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
        raise ValueError("dry_sequence_breakers must be given as sequences of token ids: text cannot be tokenized here")
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
