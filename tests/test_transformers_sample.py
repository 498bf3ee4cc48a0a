"""fastlogits.transformers: generate() with our sample, on a tiny model."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import pytest

WHY = "transformers is not installed: pip install torch==2.13.0 'transformers==5.23.*'"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)

from test_transformers import V, ids_of, tiny  # noqa: E402
from transformers import GenerationConfig  # noqa: E402
from transformers.generation import logits_process as theirs  # noqa: E402

import fastlogits.transformers as ours  # noqa: E402


def generate(seed: int = 0, prompt: Any = None, mine: bool = True, **options: Any) -> Any:
    torch.manual_seed(seed)
    options = {"max_new_tokens": 6, "do_sample": True, "pad_token_id": 0} | options
    prompt = torch.tensor([[4, 5, 6]]) if prompt is None else prompt
    return tiny().generate(prompt, **options, **({"custom_generate": ours.sample} if mine else {}))


OPTIONS: dict[str, Any] = {"temperature": 0.7, "top_k": 30, "top_p": 0.9, "repetition_penalty": 1.2}


def test_sample_at_a_low_temperature_is_greedy() -> None:
    found = generate(temperature=1e-6, max_new_tokens=12)
    assert torch.equal(found, generate(mine=False, do_sample=False, max_new_tokens=12))
    assert torch.equal(
        generate(do_sample=False, repetition_penalty=1.3), generate(do_sample=False, repetition_penalty=1.3, mine=False)
    )


def test_sample_follows_the_seed() -> None:
    found = [generate(seed, max_new_tokens=12, **OPTIONS) for seed in (1, 1, 2)]
    assert type(found[0]) is torch.Tensor
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_output_scores_are_theirs() -> None:
    more = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    found = generate(**OPTIONS, **more)
    prompt = torch.tensor([[4, 5, 6]])
    assert len(found.scores) == len(found.logits) == 6
    for at in range(6):
        context = found.sequences[:, : 3 + at]
        # theirs for the same tokens
        wanted = generate(prompt=context, mine=False, max_new_tokens=1, **OPTIONS, **more)
        assert type(found.scores[at]) is torch.Tensor
        torch.testing.assert_close(found.logits[at], wanted.logits[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found.scores[at], wanted.scores[0], rtol=1e-4, atol=1e-4)
        assert torch.isfinite(found.scores[at][0, found.sequences[0, 3 + at]])
    assert prompt.shape == (1, 3)
    assert torch.equal(found.sequences, generate(**OPTIONS))


def test_sample_has_their_distribution() -> None:
    options = {"temperature": 0.8, "top_k": 8}
    more = {"return_dict_in_generate": True, "output_scores": True}
    p = generate(max_new_tokens=1, mine=False, **options, **more).scores[0][0].softmax(-1).double().numpy()
    n = 4000
    drawn = generate(5, max_new_tokens=1, num_return_sequences=n, **options)[:, -1].numpy()
    counts = np.bincount(drawn, minlength=V)
    kept = p > 0
    assert not counts[~kept].any()
    chi = ((counts[kept] - n * p[kept]) ** 2 / (n * p[kept])).sum()
    assert chi < 24.3  # 7 degrees of freedom, 0.1 %


def test_sample_of_a_padded_batch_that_ends() -> None:
    prompt, mask = torch.tensor([[0, 0, 4, 5], [6, 7, 8, 9]]), torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    eos = list(range(1, 300))
    options = {"eos_token_id": eos, "min_new_tokens": 2, "max_new_tokens": 12, "repetition_penalty": 1.1}
    found = generate(3, prompt, attention_mask=mask, **options)
    assert found.shape[0] == 2
    assert torch.equal(found[:, :4], prompt)
    for row in found[:, 4:].tolist():
        assert not set(row[:2]) & set(eos)
        ends = [at for at, token in enumerate(row) if token in eos]
        assert not ends or not any(row[ends[0] + 1 :])
    assert any(set(row) & set(eos) for row in found[:, 4:].tolist())


REFUSED: dict[str, Any] = {
    "num_beams": 2, "prompt_lookup_num_tokens": 3, "synced_gpus": True, "assistant_early_exit": 1, "penalty_alpha": 0.5,
    "dola_layers": "low", "constraints": [object()], "force_words_ids": [[3]], "use_mtp": True,
}  # fmt: skip


@pytest.mark.parametrize("name", [*REFUSED, "assistant_model"])
def test_sample_refuses(name: str) -> None:
    """By name what transformers leaves to the custom_generate, or does not tell it."""
    value = REFUSED.get(name) or tiny()
    words = "num_beams must be 1, got 2" if name == "num_beams" else f"^{name} is not supported"
    with pytest.raises(ValueError, match=words):
        generate(**{name: value})
    with pytest.raises(ValueError, match=words):
        generate(mine=False, custom_generate=functools.partial(ours.sample), **{name: value})
    handed = {name: value} if name in ("synced_gpus", "assistant_model") else {}
    config = GenerationConfig(**({} if handed else {name: value}))
    with pytest.raises(ValueError, match=words):
        ours.sample(tiny(), ids_of(0), [], [], config, **handed)


class Kept:
    """A streamer."""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    def put(self, ids: Any) -> None:
        self.tokens += ids.reshape(-1).tolist()

    def end(self) -> None:
        self.tokens.append(-1)


def test_streamer() -> None:
    kept = Kept()
    found = generate(streamer=kept, **OPTIONS)
    assert kept.tokens == [*found[0].tolist(), -1]
    kept = Kept()
    call = functools.partial(ours.sample, streamer=kept)
    found = generate(custom_generate=call, streamer=kept, mine=False, **OPTIONS)
    assert kept.tokens == [*found[0].tolist(), -1]
    kept = Kept()  # another model's call of generate is none of ours

    def inner(model: Any, *arguments: Any, **keywords: Any) -> Any:
        return copy.copy(tiny()).generate(torch.tensor([[4, 5]]), custom_generate=ours.sample, max_new_tokens=2)

    generate(streamer=kept, custom_generate=inner, mine=False)
    assert kept.tokens == [4, 5, 6]


def stops_at_8(ids: Any, scores: Any, **_: Any) -> Any:
    return torch.full((len(ids),), ids.shape[1] >= 8)


#: Options that steer what greedy decoding does, and such as do not.
STEERING: list[dict[str, Any]] = [
    {"stopping_criteria": [stops_at_8]}, {"guidance_scale": 1.5}, {"eos_token_id": list(range(500))},
    {"guidance_scale": 1.5, "negative_prompt_ids": torch.tensor([[9, 8]])},
    {"prefix_allowed_tokens_fn": lambda batch, ids: [1, 2, 3]},
    {"logits_processor": [theirs.SuppressTokensLogitsProcessor([423])]},
]  # fmt: skip
OTHERS: list[dict[str, Any]] = [
    {"use_cache": False}, {"cache_implementation": "static"}, {"prefill_chunk_size": 2}, {"max_time": 60.0},
    {"disable_compile": True},
]  # fmt: skip


@pytest.mark.parametrize("options", STEERING + OTHERS, ids=lambda options: next(reversed(options)))
def test_sample_heeds(options: dict[str, Any]) -> None:
    """At a low temperature it has greedy's tokens."""
    greedy = generate(mine=False, do_sample=False, max_new_tokens=12, **options)
    assert torch.equal(generate(temperature=1e-6, max_new_tokens=12, top_k=0, **options), greedy)
    plain = generate(mine=False, do_sample=False, max_new_tokens=12)
    assert torch.equal(greedy, plain) == (options in OTHERS)


def test_sample_gives_all_outputs() -> None:
    wanted = {
        f"output_{name}": True for name in ("scores", "logits", "attentions", "hidden_states")
    } | {"return_dict_in_generate": True, "num_return_sequences": 3}  # fmt: skip
    found, other = generate(**OPTIONS, **wanted), generate(mine=False, **OPTIONS, **wanted)
    assert type(found) is type(other)
    assert list(found) == list(other)
    assert found.sequences.shape == other.sequences.shape == (3, 9)
    assert [each.shape for each in found.scores] == [each.shape for each in other.scores]
