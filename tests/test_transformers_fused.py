"""fastlogits.transformers: processors whose attributes change, and neighbors that run together."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

WHY = "transformers is not installed: pip install torch==2.13.0 'transformers==5.23.*'"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)

from test_transformers import CASES, ENCODER, EOS, L, alike, ids_of, made, scores_of  # noqa: E402
from transformers import GenerationConfig  # noqa: E402
from transformers.generation import logits_process as theirs  # noqa: E402

import fastlogits.transformers as ours  # noqa: E402
from fastlogits.transformers._chain import Chain  # noqa: E402


def test_attributes_may_change() -> None:
    warper = ours.SuppressTokensAtBeginLogitsProcessor([4], 1)
    assert torch.isfinite(warper(ids_of(0), scores_of(0))).all()
    warper.set_begin_index(L)
    assert torch.isneginf(warper(ids_of(0), scores_of(0))[:, 4]).all()
    twin = pickle.loads(pickle.dumps(warper))
    assert torch.equal(twin(ids_of(0), scores_of(0)), warper(ids_of(0), scores_of(0)))
    other = copy.copy(warper)
    other.set_begin_index(1)
    assert torch.isfinite(other(ids_of(0), scores_of(0))).all()
    assert torch.isneginf(warper(ids_of(0), scores_of(0))[:, 4]).all()


#: Name, arguments, and a change of what the processor holds.
IN_PLACE: list[tuple[str, tuple[Any, ...], Callable[[Any], Any]]] = [
    ("SequenceBiasLogitsProcessor", ([[[4], 1.5]],), lambda p: p.sequence_bias.update({(9,): 2.0, (5, 6): 1.0})),
    ("SequenceBiasLogitsProcessor", ([[[4], 1.5]],), lambda p: p.sequence_bias.update({(4,): 2.0})),
    ("NoBadWordsLogitsProcessor", ([[4], [8]],), lambda p: p.sequence_bias.update({(9,): -torch.inf})),
    ("NoBadWordsLogitsProcessor", ([[4], [8]],), lambda p: p.sequence_bias.pop((8,))),
    ("MinLengthLogitsProcessor", (L + 1, EOS), lambda p: p.eos_token_id.fill_(9)),
    ("MinNewTokensLengthLogitsProcessor", (L - 2, 3, EOS), lambda p: p.eos_token_id.numpy().fill(9)),
    ("ForcedEOSTokenLogitsProcessor", (L + 1, EOS), lambda p: p.eos_token_id.fill_(9)),
    ("ExponentialDecayLengthPenalty", ((2, 1.2), EOS, 1), lambda p: p.eos_token_id.add_(1)),
    ("SuppressTokensLogitsProcessor", ([4, 5],), lambda p: p.suppress_tokens.add_(3)),
    ("SuppressTokensAtBeginLogitsProcessor", ([4, 5], L), lambda p: p.begin_suppress_tokens.add_(3)),
    ("RepetitionPenaltyLogitsProcessor", (1.2, torch.tensor([0, 4, 11])), lambda p: p.prompt_ignore_length.fill_(9)),
    ("EncoderRepetitionPenaltyLogitsProcessor", (1.3, ids_of(5)), lambda p: p.encoder_input_ids.add_(1)),
    ("EncoderRepetitionPenaltyLogitsProcessor", (1.3, ids_of(5, 99)), lambda p: p.encoder_input_ids.add_(1)),
    ("EncoderNoRepeatNGramLogitsProcessor", (1, ids_of(5)), lambda p: p.generated_ngrams[1][()].append(700)),
]


@pytest.mark.parametrize(("name", "arguments", "change"), IN_PLACE, ids=lambda each: each if type(each) is str else "")
def test_attributes_may_change_in_place(name: str, arguments: Any, change: Callable[[Any], Any]) -> None:
    ids, scores = ids_of(0, L), scores_of(0)
    ids[:, -1] = 5
    processor, twin = (made(ours, (name, arguments, {})) for _ in range(2))
    before, together = processor(ids, scores), ours.fused([processor, ours.TemperatureLogitsWarper(1.0)])
    assert torch.equal(together(ids, scores), before)
    change(processor)
    change(twin)
    wanted = twin(ids, scores)
    assert not torch.equal(wanted, before)
    for call in (processor, together, pickle.loads(pickle.dumps(together))):
        assert torch.equal(call(ids, scores), wanted)


def test_nothing_is_prepared_twice() -> None:
    """While nothing changes, with operands of every kind and a context that grows."""
    processors = [made(theirs, case) for case in CASES if case[0] != "InfNanRemoveLogitsProcessor"]
    for processor in processors:
        if "Prefix" not in type(processor).__name__:
            processor(ids_of(0), scores_of(0))  # what transformers keeps beside the arguments
    chain = Chain(processors)
    parts = chain.parts(scores_of(0))
    assert chain.parts(scores_of(1)) is parts
    processors[0].temperature = 0.5
    assert chain.parts(scores_of(1)) is not parts


class Shift(theirs.LogitsProcessor):
    def __call__(self, input_ids: Any, scores: Any) -> Any:
        return scores + input_ids[:, -1:] / 8


class OddTopK(theirs.TopKLogitsWarper):
    def __call__(self, input_ids: Any, scores: Any) -> Any:
        return -super().__call__(input_ids, scores).nan_to_num(neginf=-60.0)


class OurOddTopK(ours.TopKLogitsWarper):
    def __call__(self, input_ids: Any, scores: Any) -> Any:
        return -super().__call__(input_ids, scores).nan_to_num(neginf=-60.0)


def test_subclasses_of_ours_go_their_own_way() -> None:
    ids, scores = ids_of(0), scores_of(0)
    wanted = OddTopK(3)(ids, scores)
    assert torch.equal(OurOddTopK(3)(ids, scores), wanted)
    assert torch.equal(ours.fused([OurOddTopK(3)])(ids, scores), wanted)


def lists() -> list[list[Any]]:
    t = theirs
    first = [
        t.RepetitionPenaltyLogitsProcessor(1.2, torch.tensor([0, 3, 5])),
        t.MinNewTokensLengthLogitsProcessor(L, 4, EOS),
        t.ExponentialDecayLengthPenalty((2, 1.05), EOS, 3),
        t.TemperatureLogitsWarper(0.8),
        t.TopKLogitsWarper(60),
        t.TopPLogitsWarper(0.9),
    ]
    return [
        first,
        [*first[:2], Shift(), *first[3:], t.LogitNormalization()],
        [ours.NoRepeatNGramLogitsProcessor(2), t.InfNanRemoveLogitsProcessor(), ours.MinPLogitsWarper(0.1)],
        [t.TopKLogitsWarper(20, filter_value=-9.0), t.TopPLogitsWarper(0.8), OddTopK(3)],
        [t.PrefixConstrainedLogitsProcessor(lambda batch, ids: list(range(batch, 300)), 1), t.TypicalLogitsWarper(0.7)],
        [],
    ]


@pytest.mark.parametrize("at", range(6))
def test_fused(at: int) -> None:
    processors = lists()[at]
    one = ours.fused(processors)
    assert one.processors == tuple(processors)
    for seed in range(4):
        ids, scores = ids_of(seed), scores_of(seed)
        before = scores.clone()
        alike(one(ids, scores), theirs.LogitsProcessorList(processors)(ids, scores.clone()), 1e-5)
        assert torch.equal(scores, before)


def test_neighbours_run_together() -> None:
    parts = [ours.fused(each).explain(scores_of(0)) for each in lists()]
    assert [len(each) for each in parts] == [2, 3, 2, 3, 2, 0]
    assert len(parts[0][1].steps) == 4


def test_from_generation_config() -> None:
    config = GenerationConfig(
        do_sample=True, temperature=0.7, top_k=40, top_p=0.9, repetition_penalty=1.2, min_new_tokens=4,
        eos_token_id=EOS, suppress_tokens=[9], encoder_repetition_penalty=1.1,
    )  # fmt: skip
    one = ours.from_generation_config(config, prompt_length=L, encoder_input_ids=ENCODER)
    t = theirs
    wanted = t.LogitsProcessorList([
        t.EncoderRepetitionPenaltyLogitsProcessor(1.1, ENCODER), t.RepetitionPenaltyLogitsProcessor(1.2),
        t.MinNewTokensLengthLogitsProcessor(L, 4, EOS), t.SuppressTokensLogitsProcessor([9]),
        t.TemperatureLogitsWarper(0.7), t.TopKLogitsWarper(40), t.TopPLogitsWarper(0.9),
    ])  # fmt: skip
    alike(one(ids_of(0), scores_of(0)), wanted(ids_of(0), scores_of(0)), 1e-5)
    greedy = ours.from_generation_config(GenerationConfig(repetition_penalty=1.2))
    alike(greedy(ids_of(0), scores_of(0)), t.RepetitionPenaltyLogitsProcessor(1.2)(ids_of(0), scores_of(0)))
    with pytest.raises(ValueError, match="guidance_scale"):
        ours.from_generation_config(GenerationConfig(guidance_scale=1.5))
