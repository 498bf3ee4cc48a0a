"""Samplers from the fields of other systems: mappings, namespaces, dataclasses, objects with slots."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass, field, make_dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits import steps as s

INF = float("inf")
BUILDERS = ("from_openai", "from_vllm", "from_hf", "from_llama_cpp")


def slotted(fields: dict[str, Any]) -> Any:
    kind = type("Slotted", (), {"__slots__": tuple(fields)})
    made = kind()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def data(fields: dict[str, Any]) -> Any:
    return make_dataclass("Data", list(fields))(**fields)


FORMS: dict[str, Any] = {
    "mapping": dict, "namespace": lambda f: SimpleNamespace(**f), "dataclass": data, "slots": slotted,
}  # fmt: skip

#: (builder, fields, steps); what None means and what is left to the caller come with it.
CASES: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
    ("from_openai",
     {"temperature": 0.5, "top_p": 0.9, "frequency_penalty": 0.25, "presence_penalty": -1,
      "logit_bias": {"7": -100, 3: 5}, "model": "m", "messages": [], "max_tokens": 5, "n": 2, "stop": ["x"],
      "stream": True, "seed": 4, "top_logprobs": 3, "response_format": {"type": "text"}, "tool_choice": "auto"},
     (s.FrequencyPenalty(0.25), s.PresencePenalty(-1.0), s.LogitBias({7: -100.0, 3: 5.0}), s.Temperature(0.5),
      s.TopP(0.9))),
    ("from_openai", {"temperature": 0, "top_p": 1, "logit_bias": None, "frequency_penalty": 0}, (s.Temperature(0.0),)),
    ("from_vllm",
     {"n": 1, "temperature": 0.8, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "repetition_penalty": 1.2,
      "presence_penalty": 0.5, "frequency_penalty": 0.25, "seed": None, "stop": [], "max_tokens": 16, "min_tokens": 2,
      "stop_token_ids": [5, 6], "logit_bias": {"1": 300, 2: -1}, "allowed_token_ids": [1, 2, 5, 6], "bad_words": ["a"],
      "bad_words_token_ids": [[1], [3, 2]], "structured_outputs": None, "ignore_eos": False},
     (s.AllowedTokens([1, 2, 5, 6]), s.BadWords([[1], [3, 2]], output_only=True), s.MinNewTokens(2, [5, 6]),
      s.LogitBias({1: 100.0, 2: -1.0}), s.RepetitionPenalty(1.2), s.FrequencyPenalty(0.25), s.PresencePenalty(0.5),
      s.Temperature(0.8), s.MinP(0.1), s.TopK(40, ties="keep"), s.TopP(0.9))),
    ("from_vllm", {"temperature": 0.0, "top_k": -1, "top_p": 1.0, "min_p": 0.0, "logit_bias": {}},
     (s.Temperature(0.0),)),
    ("from_vllm", {"temperature": 1.0, "top_k": 0, "repetition_penalty": 1.0, "min_tokens": 0, "bad_words": []}, ()),
    ("from_hf",
     {"do_sample": True, "temperature": 0.7, "top_k": 50, "top_p": 0.9, "min_p": 0.05, "typical_p": 0.95, "top_h": 0.4,
      "epsilon_cutoff": 3e-4, "eta_cutoff": 1e-3, "repetition_penalty": 1.1, "sequence_bias": [[[4, 5], -2.0]],
      "bad_words_ids": [[3], [2], [2, 3]], "eos_token_id": 2, "pad_token_id": 2, "min_length": 5, "min_new_tokens": 3,
      "suppress_tokens": [8], "begin_suppress_tokens": [9], "forced_eos_token_id": 2, "max_length": 20, "num_beams": 1,
      "exponential_decay_length_penalty": [10, 1.1], "remove_invalid_values": True, "renormalize_logits": True},
     (s.RemoveInvalidValues(), s.SequenceBias({(4, 5): -2.0}), s.RepetitionPenalty(1.1), s.BadWords([[3], [2, 3]]),
      s.MinLength(5, [2]), s.MinNewTokens(3, [2]), s.ForcedEosToken([2], 20),
      s.ExponentialDecayLengthPenalty((10, 1.1), [2]), s.SuppressTokens([8]), s.BeginSuppressTokens([9]),
      s.Temperature(0.7), s.TopH(0.4), s.TopK(50, ties="keep"), s.TopP(0.9), s.MinP(0.05),
      s.TypicalP(0.95, ties="keep"), s.EpsilonCutoff(3e-4), s.EtaCutoff(1e-3), s.RenormalizeLogits())),
    ("from_hf",
     {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "typical_p": 1.0, "epsilon_cutoff": 0.0,
      "eta_cutoff": 0.0, "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "no_repeat_ngram_size": 0,
      "min_length": 4, "encoder_no_repeat_ngram_size": 0, "guidance_scale": None, "remove_invalid_values": False},
     ()),
    ("from_hf", {"do_sample": False, "forced_bos_token_id": 3, "no_repeat_ngram_size": 3, "guidance_scale": 1.5},
     (s.Guidance(1.5), s.NoRepeatNgram(3), s.ForcedBosToken(3), s.Temperature(0.0))),
    ("from_llama_cpp",
     {"temp": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "typ_p": 0.9, "top_n_sigma": 1.5, "xtc_probability": 0.5,
      "xtc_threshold": 0.2, "penalty_repeat": 1.1, "penalty_freq": 0.2, "penalty_present": 0.3, "penalty_last_n": 32,
      "min_keep": 2, "dry_multiplier": 0.0, "grammar": "", "n_probs": 3, "seed": 5, "logit_bias": {"3": False, 4: 1.5}},
     (s.LogitBias({3: -INF, 4: 1.5}), s.RepetitionPenalty(1.1, 32, prompt=True),
      s.FrequencyPenalty(0.2, 32, prompt=True), s.PresencePenalty(0.3, 32, prompt=True), s.TopNSigma(1.5), s.TopK(40),
      s.TypicalP(0.9, 2, strict=True), s.TopP(0.95, 2), s.MinP(0.05, 2),
      s.Xtc(0.5, 0.2, (), 2),
      s.Temperature(0.8))),
    ("from_llama_cpp",
     {"temperature": -1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.5, "top_n_sigma": -1.0,
      "repeat_penalty": 1.1, "repeat_last_n": 0, "frequency_penalty": 0.0, "tfs_z": 1.0, "mirostat_mode": 0,
      "adaptive_target": -1.0, "dynatemp_range": 0.0},
     (s.Temperature(0.0),)),
    ("from_llama_cpp",
     {"temp": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.3, "repeat_last_n": -1},
     (s.RepetitionPenalty(1.3, prompt=True),)),
    ("from_llama_cpp",
     {"temp": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "dry_multiplier": 0.8, "dry_sequence_breakers": [[3]]},
     (s.Dry(0.8, 1.75, 2, -1, [[3]]),)),
    ("from_llama_cpp", {"temp": 0.8, "top_k": 0, "top_p": 1, "min_p": 0, "dynatemp_range": 1.0},
     (s.DynamicTemperature(0.0, 1.8, 1.0),)),
    ("from_llama_cpp", {"temp": 0.9, "top_k": 40, "mirostat": 2, "repeat_penalty": 1.5, "logit_bias": [[1, -2.0]]},
     (s.LogitBias({1: -2.0}), s.Temperature(0.9), s.Mirostat(2, 5.0, 0.1))),
    ("from_llama_cpp",
     {"temp": 0.9, "top_k": 9, "min_p": 0.2, "top_p": 0.5, "samplers": "temperature;min_p;top_k"},
     (s.Temperature(0.9), s.MinP(0.2), s.TopK(9))),
    ("from_llama_cpp",
     {"temp": 0.9, "top_k": 9, "min_p": 0.0, "adaptive_target": 0.5, "samplers": ["adaptive_p", "top_k", "temp"]},
     (s.TopK(9), s.Temperature(0.9), s.AdaptiveP(0.5, 0.9))),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("builder", "fields", "expected"), CASES)
def test_steps(builder: str, fields: dict[str, Any], expected: Any, form: str) -> None:
    if builder == "from_llama_cpp" and form != "mapping":  # what an object lacks has llama.cpp's defaults
        fields = {"temp": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0} | fields
        if "temperature" in fields:
            del fields["temp"]
    made = getattr(fl.Sampler, builder)(FORMS[form](fields))
    assert made.steps == expected
    assert type(made) is fl.Sampler
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize("builder", BUILDERS)
def test_nothing_given(builder: str) -> None:
    if builder == "from_hf":
        assert fl.Sampler.from_hf({}).steps == (s.Temperature(0.0),)
    else:
        assert getattr(fl.Sampler, builder)({}).steps == ()
        assert getattr(fl.Sampler, builder)({"temperature": None, "top_p": None}).steps == ()


def test_defaults_of_objects() -> None:
    """An object lacks nothing that its system has: llama.cpp cuts by default, the others do not."""
    llama = (s.TopK(40), s.TopP(0.95), s.MinP(0.05), s.Temperature(0.8))
    assert fl.Sampler.from_llama_cpp(SimpleNamespace()).steps == llama
    assert fl.Sampler.from_vllm(SimpleNamespace()).steps == ()
    assert fl.Sampler.from_openai(SimpleNamespace()).steps == ()

    class Config:
        def __init__(self) -> None:
            self.do_sample = True
            self.top_k: int | None = None
            self.top_p: float | None = 0.9

        @staticmethod
        def _get_default_generation_params() -> dict[str, Any]:
            return {"top_k": 50, "top_p": 1.0, "temperature": 1.0, "do_sample": False, "early_stopping": False}

    assert fl.Sampler.from_hf(Config()).steps == (s.TopK(50, ties="keep"), s.TopP(0.9))
    assert fl.Sampler.from_hf(SimpleNamespace(do_sample=True, top_k=None)).steps == ()


def test_what_clients_send_for_nothing() -> None:
    class NotGiven: ...

    assert fl.Sampler.from_openai({"temperature": NotGiven(), "top_p": 0.5}).steps == (s.TopP(0.5),)


UNKNOWN = "knows no field 'temprature'"
BAD: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    *((builder, {"temprature": 1.0}, {}, f"{builder} {UNKNOWN}") for builder in BUILDERS),
    ("from_openai", {"top_k": 5}, {}, "from_openai knows no field 'top_k'"),
    ("from_openai", {"temperature": 2.5}, {}, r"temperature must be in \[0, 2\], got 2.5"),
    ("from_openai", {"top_p": -0.1}, {}, r"top_p must be in \[0, 1\], got -0.1"),
    ("from_openai", {"presence_penalty": 3}, {}, r"presence_penalty must be in \[-2, 2\], got 3"),
    ("from_openai", {"logit_bias": {"5": 101}}, {}, r"logit_bias\['5'\] must be in \[-100, 100\], got 101"),
    ("from_openai", {"logit_bias": {"word": 1}}, {}, "logit_bias: 'word' is no token id"),
    ("from_openai", {"response_format": {"type": "json_object"}}, {}, "from_openai does not support response_format="),
    ("from_openai", {"best_of": 3}, {}, "from_openai does not support best_of=3"),
    ("from_vllm", {"temperature": -1}, {}, r"temperature must be in \[0, 2\], got -1"),
    ("from_vllm", {"temperature": float("nan")}, {}, r"temperature must be in \[0, 2\], got nan"),
    ("from_vllm", {"top_p": 0.0}, {}, r"top_p must be in \(0, 1\], got 0"),
    ("from_vllm", {"top_k": -2}, {}, "top_k must be an integer >= -1, got -2"),
    ("from_vllm", {"repetition_penalty": 0}, {}, "repetition_penalty must be in"),
    ("from_vllm", {"bad_words": ["x"]}, {}, "bad_words; pass their token ids as bad_words_token_ids"),
    ("from_vllm", {"min_tokens": 3}, {}, "min_tokens needs stop_token_ids or eos_token_id="),
    ("from_vllm", {"allowed_token_ids": []}, {}, "allowed_token_ids must hold at least one token id"),
    ("from_vllm", {"structured_outputs": {"regex": "a"}}, {}, "does not support structured_outputs=.*as mask="),
    ("from_vllm", {"logits_processors": [print]}, {}, "does not support logits_processors="),
    ("from_hf", {"do_sample": True, "temperature": 0.0}, {}, r"temperature must be in \(0, "),
    ("from_hf", {"do_sample": True, "top_k": -1}, {}, "top_k must be >= 0, got -1"),
    ("from_hf", {"num_beams": 4}, {}, "from_hf does not support num_beams=4"),
    ("from_hf", {"guidance_scale": 1.5, "remove_invalid_values": True}, {}, "must be the first step"),
    ("from_hf", {"watermarking_config": {"bias": 2.5}}, {}, "from_hf does not support watermarking_config="),
    ("from_hf", {"encoder_repetition_penalty": 1.5}, {}, "encoder_repetition_penalty needs encoder_ids="),
    ("from_hf", {"forced_eos_token_id": 2}, {}, "forced_eos_token_id needs max_length"),
    ("from_hf", {"forced_eos_token_id": 2, "max_new_tokens": 4}, {}, "prompt_length= with max_new_tokens"),
    ("from_hf", {"do_sample": True}, {"prompt_length": -1}, "prompt_length must be an integer >= 0, got -1"),
    ("from_hf", {"forced_bos_token_id": 2, "begin_suppress_tokens": [4]}, {}, "needs prompt_length="),
    ("from_hf", {"exponential_decay_length_penalty": (1, 1.1)}, {}, "needs eos_token_id"),
    ("from_llama_cpp", {"temp": 0.5, "temperature": 0.6}, {}, "temperature=0.6 contradicts another name of temp, 0.5"),
    ("from_llama_cpp", {"repeat_penalty": -1.0}, {}, "penalties: repetition_penalty must be finite and > 0, got -1"),
    ("from_llama_cpp", {"samplers": ["top_k", "top_q"]}, {}, "samplers: 'top_q' is none of penalties"),
    ("from_llama_cpp", {"samplers": ["infill"]}, {}, "samplers: 'infill' is not supported"),
    ("from_llama_cpp", {"adaptive_target": 0.5}, {}, "adaptive_target needs 'adaptive_p' among samplers"),
    ("from_llama_cpp", {"grammar": "root ::= a"}, {}, "does not support grammar=.*as mask="),
    ("from_llama_cpp", {"dry_multiplier": 0.8}, {}, "dry: dry_sequence_breakers must be given as sequences"),
    ("from_llama_cpp", {"ignore_eos": True}, {}, "ignore_eos needs eos_token_id="),
    ("from_llama_cpp", {"logit_bias": {"hello": 1.0}}, {}, "logit_bias: 'hello' is no token id"),
    ("from_llama_cpp", {"tfs_z": 0.9}, {}, "does not support tfs_z=0.9"),
    ("from_openai", {"logit_bias": {5: 1.0, "5": 2.0}}, {}, "logit_bias: token id 5 is given more than once"),
    ("from_vllm", {"logit_bias": {"7": 1.0, " 7": 2.0}}, {}, "logit_bias: token id 7 is given more than once"),
]  # fmt: skip


@pytest.mark.parametrize(("builder", "fields", "more", "words"), BAD)
def test_bad_fields(builder: str, fields: dict[str, Any], more: dict[str, Any], words: str) -> None:
    for form in ("mapping", "namespace"):
        with pytest.raises(ValueError, match=words):
            getattr(fl.Sampler, builder)(FORMS[form](fields), **more)


@pytest.mark.parametrize("builder", BUILDERS)
def test_wrong_types(builder: str) -> None:
    for wrong in (None, "temperature=1", 3, [("temperature", 1)], print):
        with pytest.raises(TypeError, match=f"{builder} takes a mapping or an object with fields, got "):
            getattr(fl.Sampler, builder)(wrong)
    for fields in ({"temperature": "hot"}, {"top_p": True}):
        with pytest.raises(TypeError, match=f"{next(iter(fields))[:4]}.* must be a number"):
            getattr(fl.Sampler, builder)({"do_sample": True} | fields if builder == "from_hf" else fields)
    with pytest.raises(TypeError, match="prompt_length must be an integer >= 0, got 2.5"):
        fl.Sampler.from_hf({"do_sample": True}, prompt_length=2.5)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("error")
def test_numpy_numbers_and_arrays() -> None:
    fields = {"do_sample": True, "temperature": np.float32(0.5), "eos_token_id": np.array(2), "min_length": 3}
    plain = fields | {"temperature": 0.5, "eos_token_id": 2}
    assert fl.Sampler.from_hf(fields) == fl.Sampler.from_hf(plain)
    with pytest.raises(ValueError, match="from_llama_cpp knows no field 'other'"):
        fl.Sampler.from_llama_cpp(SimpleNamespace(other=np.zeros(3)))


@pytest.mark.parametrize(
    ("builder", "fields", "words"),
    [
        ("from_vllm", {"min_tokens": 3, "stop_token_ids": [2.5]}, "stop_token_ids: token ids must be integers"),
        ("from_vllm", {"min_tokens": 3, "stop_token_ids": ["a"]}, "stop_token_ids: token ids must be integers"),
        ("from_hf", {"min_length": 3, "eos_token_id": 2.5}, "eos_token_id: token ids must be integers"),
        ("from_hf", {"bad_words_ids": [3]}, "bad_words_ids must be sequences of token ids"),
        ("from_llama_cpp", {"samplers": 5}, "samplers must be a list of names or one text, got 5"),
        ("from_llama_cpp", {"logit_bias": [[1, 2, 3]]}, r"logit_bias must hold pairs \[id, bias\], got \[1, 2, 3\]"),
    ],
)
def test_wrong_types_of_fields(builder: str, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        getattr(fl.Sampler, builder)(fields)


def test_vllm_warns_of_small_temperatures() -> None:
    with pytest.warns(UserWarning, match=r"temperature 0.001 is raised to 0.01") as caught:
        made = fl.Sampler.from_vllm({"temperature": 0.001})
    assert made.steps == (s.Temperature(0.01),)
    assert caught[0].filename == __file__


def test_vllm_object_knows_its_tokens() -> None:
    @dataclass
    class SamplingParams:
        temperature: float = 1.0
        min_tokens: int = 4
        bad_words: list[str] = field(default_factory=lambda: ["no"])
        _bad_words_token_ids: list[list[int]] = field(default_factory=lambda: [[7], [8, 9]])
        _all_stop_token_ids: set[int] = field(default_factory=lambda: {5})
        routed_experts_prompt_start: int = 0

        @property
        def all_stop_token_ids(self) -> set[int]:
            return self._all_stop_token_ids

    made = fl.Sampler.from_vllm(SamplingParams(), eos_token_id=6)
    assert made.steps == (s.BadWords([[7], [8, 9]], output_only=True), s.MinNewTokens(4, [5, 6]))


def test_hf_warns_of_what_does_nothing() -> None:
    with pytest.warns(UserWarning, match="do_sample is not set: temperature, top_p do nothing") as caught:
        fl.Sampler.from_hf({"temperature": 0.5, "top_p": 0.9})
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fl.Sampler.from_hf(SimpleNamespace(temperature=1.0, top_k=50, do_sample=False))


def test_hf_places() -> None:
    made = fl.Sampler.from_hf({"forced_eos_token_id": [1, 2], "max_new_tokens": 4}, prompt_length=6)
    assert made.steps[0] == s.ForcedEosToken([1, 2], 10)
    fields = {"forced_bos_token_id": 3, "begin_suppress_tokens": [4]}
    for length, begin in ((1, 2), (2, 2), (7, 7)):
        made = fl.Sampler.from_hf(fields, prompt_length=length)
        assert s.BeginSuppressTokens([4], begin) in made.steps
    made = fl.Sampler.from_hf({"encoder_repetition_penalty": 1.5}, encoder_ids=[3, 4])
    assert made.steps[0] == s.EncoderRepetitionPenalty(1.5, [3, 4])


def test_llama_biases() -> None:
    given = [SimpleNamespace(token=3, bias=1.0), (3, 2.0), ["4", False]]
    made = fl.Sampler.from_llama_cpp({"logit_bias": given, "ignore_eos": True}, eos_token_id=[8, 9])
    assert made.steps == (s.LogitBias({3: 3.0, 4: -INF, 8: -INF, 9: -INF}),)
