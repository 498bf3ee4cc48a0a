"""fastlogits.transformers beside transformers itself: each processor, several as one, generate with a tiny model."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

WHY = "transformers is not installed: pip install torch==2.13.0 'transformers==5.23.*'"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)

from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM  # noqa: E402
from transformers.generation import logits_process as theirs  # noqa: E402

import fastlogits.transformers as ours  # noqa: E402
from fastlogits.transformers import _processors  # noqa: E402
from fastlogits.transformers._chain import KNOWN, Chain  # noqa: E402

V, B, L = 1000, 3, 12
EOS = [2, 7]


def generator(seed: int) -> Any:
    return torch.Generator().manual_seed(seed)


def scores_of(seed: int, dtype: Any = torch.float32, rows: int = B) -> Any:
    return (3 * torch.randn(rows, V, generator=generator(seed))).to(dtype)


def ids_of(seed: int, length: int = L) -> Any:
    return torch.randint(0, 30, (B, length), generator=generator(seed))


BIASES = [[[4], 1.5], [[5], -0.5], [[1, 2], 2.0], [[3, 9, 2], -4.0], [[8, 2], float("-inf")]]
ENCODER = torch.arange(1, 19).reshape(1, 18) % 11
#: Names and arguments, for processors whose results are plain functions of ids and scores.
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("TemperatureLogitsWarper", (0.7,), {}),
    ("TopKLogitsWarper", (40,), {}),
    ("TopKLogitsWarper", (5000,), {}),
    ("TopKLogitsWarper", (3,), {"filter_value": -50.0, "min_tokens_to_keep": 6}),
    ("TopPLogitsWarper", (0.9,), {}),
    ("TopPLogitsWarper", (0.0,), {"min_tokens_to_keep": 4}),
    ("TopPLogitsWarper", (0.4,), {"filter_value": -1.0}),
    ("TopHLogitsWarper", (0.5,), {}),
    ("MinPLogitsWarper", (0.05,), {}),
    ("MinPLogitsWarper", (0.9,), {"min_tokens_to_keep": 5}),
    ("TypicalLogitsWarper", (0.6,), {}),
    ("TypicalLogitsWarper", (0.2,), {"min_tokens_to_keep": 3}),
    ("EpsilonLogitsWarper", (0.002,), {}),
    ("EpsilonLogitsWarper", (0.9,), {"min_tokens_to_keep": 3}),
    ("EtaLogitsWarper", (0.003,), {}),
    ("RepetitionPenaltyLogitsProcessor", (1.3,), {}),
    ("RepetitionPenaltyLogitsProcessor", (0.8,), {"prompt_ignore_length": 5}),
    ("RepetitionPenaltyLogitsProcessor", (1.2,), {"prompt_ignore_length": torch.tensor([0, 4, 11])}),
    ("EncoderRepetitionPenaltyLogitsProcessor", (1.3, ENCODER), {}),
    ("EncoderRepetitionPenaltyLogitsProcessor", (0.7, ids_of(5)), {}),
    ("NoRepeatNGramLogitsProcessor", (1,), {}),
    ("NoRepeatNGramLogitsProcessor", (2,), {}),
    ("EncoderNoRepeatNGramLogitsProcessor", (2, ENCODER), {}),
    ("EncoderNoRepeatNGramLogitsProcessor", (1, ids_of(5)), {}),
    ("SequenceBiasLogitsProcessor", (BIASES,), {}),
    ("NoBadWordsLogitsProcessor", ([[4], [1, 2], [3, 9, 2], [2], [6, 2]],), {"eos_token_id": EOS}),
    ("NoBadWordsLogitsProcessor", ([[2]],), {"eos_token_id": 2}),
    ("PrefixConstrainedLogitsProcessor", (lambda batch, ids: [3 + batch, 5, int(ids[-1])], 1), {}),
    ("ForcedBOSTokenLogitsProcessor", (5,), {}),
    ("ForcedEOSTokenLogitsProcessor", (L + 1, EOS), {}),
    ("ForcedEOSTokenLogitsProcessor", (L, EOS), {}),
    ("MinLengthLogitsProcessor", (L + 1, EOS), {}),
    ("MinLengthLogitsProcessor", (L, [*EOS, V + 3]), {}),
    ("MinNewTokensLengthLogitsProcessor", (L - 2, 3, 2), {}),
    ("MinNewTokensLengthLogitsProcessor", (L - 2, 2, 2), {}),
    ("SuppressTokensLogitsProcessor", ([4, 5, -1],), {}),
    ("SuppressTokensAtBeginLogitsProcessor", ([4, 5], L), {}),
    ("SuppressTokensAtBeginLogitsProcessor", ([4, 5], L + 1), {}),
    ("InfNanRemoveLogitsProcessor", (), {}),
    ("ExponentialDecayLengthPenalty", ((3, 1.1), EOS, 2), {}),
    ("ExponentialDecayLengthPenalty", ((30, 1.1), EOS, 2), {}),
    ("LogitNormalization", (), {}),
]


def made(module: Any, case: tuple[str, tuple[Any, ...], dict[str, Any]]) -> Any:
    name, arguments, options = copy.deepcopy(case)
    return getattr(module, name)(*arguments, **options)


def alike(found: Any, wanted: Any, tolerance: float = 1e-6) -> None:
    assert type(found) is torch.Tensor
    assert found.dtype is wanted.dtype
    assert torch.equal(torch.isneginf(found), torch.isneginf(wanted))
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


def unchanged(call: Callable[..., Any], ids: Any, scores: Any) -> Any:
    before = ids.clone(), scores.clone()
    found = call(ids, scores)
    assert torch.equal(ids, before[0])
    assert torch.equal(scores.nan_to_num(7.0), before[1].nan_to_num(7.0))
    assert found.data_ptr() != scores.data_ptr()
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_each_processor(case: Any) -> None:
    mine, other = made(ours, case), made(theirs, case)
    assert isinstance(mine, type(other))
    for seed in range(4):
        for length in (1, 2, L):
            ids, scores = ids_of(seed, length), scores_of(seed)
            alike(unchanged(mine, ids, scores), other(ids, scores.clone()))
    ids, scores = ids_of(1), scores_of(1)
    scores[:, 3:9] = -torch.inf
    scores[:, 500:] = -torch.inf
    alike(unchanged(mine, ids, scores), other(ids, scores.clone()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_a_row_is_drawn_as_in_a_batch(case: Any) -> None:
    """The short way of a single row, with operands per row."""
    other = made(theirs, case)
    for operand in ("encoder_input_ids", "prompt_ignore_length"):
        if getattr(getattr(other, operand, None), "ndim", 0):
            setattr(other, operand, getattr(other, operand)[:1])
    if hasattr(other, "generated_ngrams"):
        other.generated_ngrams, other.batch_size = other.generated_ngrams[:1], 1
    for seed in range(3):
        ids, scores = ids_of(seed), scores_of(seed)
        one, kept = Chain([other]).draw(ids[:1], scores[:1], seed, False)
        both, _ = Chain([other]).draw(ids[:1].expand(2, -1), scores[:1].expand(2, -1), seed, False)
        assert one.dtype is torch.int64
        assert one.shape == (1,)
        assert one[0] == both[0]
        assert kept.shape == (1, V)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_doubles(case: Any) -> None:
    ids, scores = ids_of(1), scores_of(1, torch.float64)
    alike(unchanged(made(ours, case), ids, scores), made(theirs, case)(ids, scores), 1e-12)


@pytest.mark.parametrize("name", ["TopKLogitsWarper", "TypicalLogitsWarper", "EpsilonLogitsWarper", "EtaLogitsWarper"])
def test_ties_stay(name: str) -> None:
    """Of equal scores, at the edge too, all are kept or none."""
    value = 40 if name == "TopKLogitsWarper" else 0.02 if name != "TypicalLogitsWarper" else 0.5
    for seed in range(4):
        scores = scores_of(seed).round()
        wanted = getattr(theirs, name)(value)(ids_of(seed), scores)
        alike(getattr(ours, name)(value)(ids_of(seed), scores), wanted)


@pytest.mark.parametrize("top_h", [0.3, 0.7, 1.0])
def test_top_h_keeps_no_token_of_probability_0(top_h: float) -> None:
    for row in ([0, -800, -900, -901], [0, -1e4, -1e5], [0, -0.5, -800, -900], [0, -95, -95.5, -96]):
        scores = torch.tensor([row], dtype=torch.float32)
        alike(ours.TopHLogitsWarper(top_h)(ids_of(0)[:1], scores), theirs.TopHLogitsWarper(top_h)(None, scores))


def test_decay_ends_at_e69() -> None:
    """Where transformers goes on to inf, or raises."""
    ids, scores = ids_of(0), scores_of(0)
    for factor, found in ((1e3, 69.0), (1e40, 69.0), (1e2, 10 * math.log(1e2))):
        got = ours.ExponentialDecayLengthPenalty((2, factor), EOS, 0)(ids, scores)[:, EOS]
        wanted = scores[:, EOS] + scores[:, EOS].abs() * math.expm1(found)
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=0)
    with pytest.raises(OverflowError):
        theirs.ExponentialDecayLengthPenalty((2, 1e40), EOS, 0)(ids, scores)


def test_values_have_the_bits_of_theirs() -> None:
    ids = ids_of(0)
    for name, value in [("TemperatureLogitsWarper", t) for t in (0.1, 0.3, 0.7, 1.7)] + [
        ("RepetitionPenaltyLogitsProcessor", t) for t in (1.1, 1.3, 0.7)
    ]:
        scores = scores_of(2)
        assert torch.equal(getattr(ours, name)(value)(ids, scores), getattr(theirs, name)(value)(ids, scores)), name


def test_repair() -> None:
    scores = scores_of(0)
    scores[0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    found = unchanged(ours.InfNanRemoveLogitsProcessor(), ids_of(0), scores)
    assert torch.equal(found, theirs.InfNanRemoveLogitsProcessor()(ids_of(0), scores))


def test_constraint_that_all_bans_contradict() -> None:
    scores = scores_of(0)
    scores[1, [3, 4]] = -torch.inf
    for beams in (1, 3):
        arguments = (lambda batch, ids: [3, 4], beams)
        found = unchanged(ours.PrefixConstrainedLogitsProcessor(*arguments), ids_of(0), scores)
        alike(found, theirs.PrefixConstrainedLogitsProcessor(*arguments)(ids_of(0), scores))
    with pytest.raises(ValueError, match="batch ID 0"):
        ours.PrefixConstrainedLogitsProcessor(lambda batch, ids: [], 1)(ids_of(0), scores)


def test_guidance() -> None:
    scores = scores_of(0, rows=2 * B)
    found = unchanged(ours.ClassifierFreeGuidanceLogitsProcessor(2.5), ids_of(0), scores)
    alike(found, theirs.ClassifierFreeGuidanceLogitsProcessor(2.5)(ids_of(0), scores), 1e-5)
    with pytest.raises(ValueError, match="two rows per sequence, 6, got 3"):
        ours.ClassifierFreeGuidanceLogitsProcessor(2.5)(ids_of(0), scores[:3])
    model = tiny()
    for scale in (1, 1.7):
        mine, other = (
            each.UnbatchedClassifierFreeGuidanceLogitsProcessor(scale, model, torch.tensor([[4, 5]]).expand(B, 2))
            for each in (ours, theirs)
        )
        for seed in range(2):
            with torch.no_grad():
                alike(unchanged(mine, ids_of(seed), scores[:3]), other(ids_of(seed), scores[:3]), 1e-5)


def test_every_class_of_the_installed_version() -> None:
    found = {
        name
        for name, each in vars(theirs).items()
        if inspect.isclass(each) and issubclass(each, theirs.LogitsProcessor) and each is not theirs.LogitsProcessor
    }
    assert found - set(_processors.LEFT_OUT) == set(_processors.__all__)
    assert set(_processors.LEFT_OUT) <= found
    tested = {case[0] for case in CASES} | {name for name in found if "FreeGuidance" in name}
    assert set(_processors.__all__) <= tested


WITHOUT = """
from transformers.generation import logits_process, utils
del logits_process.TopHLogitsWarper, logits_process.LogitNormalization
import torch, transformers
import fastlogits.transformers as ours
from fastlogits.transformers import *
print(sorted(ours._processors.ABSENT), "TopHLogitsWarper" in ours.__all__, len(ours._processors.__all__))
for ask in (lambda: ours.TopHLogitsWarper, lambda: exec("from fastlogits.transformers import LogitNormalization")):
    try:
        ask()
    except ImportError as error:
        print(error)
print(ours.fused([transformers.TopKLogitsWarper(1), TemperatureLogitsWarper(0.5)])(None, torch.tensor([[1.0, 2.0]])))
try:
    ours.TopJLogitsWarper
except AttributeError as error:
    print(error)
"""


def test_classes_that_the_installed_version_lacks() -> None:
    """Refused by name when asked for; the others work."""
    run = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    lacks = [
        f"{name} needs transformers with that class, transformers {transformers.__version__} has none"
        for name in ("TopHLogitsWarper", "LogitNormalization")
    ]
    assert run.stdout.splitlines() == [
        f"['LogitNormalization', 'TopHLogitsWarper'] False {len(_processors.__all__) - 2}", *lacks,
        "tensor([[-inf, 4.]])", "module 'fastlogits.transformers' has no attribute 'TopJLogitsWarper'",
    ]  # fmt: skip


def test_arguments_are_theirs() -> None:
    for name in _processors.__all__:
        assert inspect.signature(getattr(ours, name)) == inspect.signature(getattr(theirs, name))
    with pytest.raises(ValueError, match="temperature"):
        ours.TemperatureLogitsWarper(0.0)


def test_constraint_of_a_batch_that_beams_do_not_divide() -> None:
    constraint = ours.PrefixConstrainedLogitsProcessor(lambda batch, ids: [3, 4], 2)
    with pytest.raises(ValueError, match=r"input_ids must have a multiple of num_beams=2 rows, got 3"):
        constraint(ids_of(0), scores_of(0))
    with pytest.raises(ValueError, match=r"scores must have a row for each of 3 rows of input_ids, got 4"):
        constraint(ids_of(0), scores_of(0, rows=4))


@pytest.mark.parametrize("name", ["EncoderRepetitionPenaltyLogitsProcessor", "EncoderNoRepeatNGramLogitsProcessor"])
def test_rows_of_the_encoder(name: str) -> None:
    """Each stands for as many rows of scores, one behind the other."""
    value = 1.3 if "Penalty" in name else 2
    encoded = ids_of(5).repeat(2, 1)
    for rows, encoders in ((1, 1), (4, 1), (4, 2), (6, 3), (6, 6)):
        ids, scores = ids_of(0).repeat(2, 1)[:rows], scores_of(0, rows=rows)
        mine, other = (getattr(module, name)(value, encoded[:encoders]) for module in (ours, theirs))
        alike(mine(ids, scores), other(ids, scores))
    for rows, encoders in ((3, 2), (5, 2), (1, 3), (2, 3)):
        ids, scores = ids_of(0).repeat(2, 1)[:rows], scores_of(0, rows=rows)
        words = rf"scores must have a multiple of the {encoders} rows of encoder_input_ids, got {rows}"
        with pytest.raises(ValueError, match=words):
            getattr(ours, name)(value, encoded[:encoders])(ids, scores)
    if "Penalty" in name:
        with pytest.raises(ValueError, match=r"encoder_input_ids must be \[rows, tokens\], got shape \[12\]"):
            ours.EncoderRepetitionPenaltyLogitsProcessor(1.3, encoded[0])(ids_of(0), scores_of(0))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_no_input_ids(case: Any) -> None:
    """None serves where transformers does not look at it; else it is an error that names it."""
    scores = scores_of(0)
    try:
        wanted = made(theirs, case)(None, scores.clone())
    except (AttributeError, TypeError):
        for call in (made(ours, case), ours.fused([made(theirs, case)])):
            with pytest.raises(TypeError, match=r"input_ids must be a tensor of token ids .*, got NoneType"):
                call(None, scores)
            with pytest.raises(TypeError, match=r"input_ids must be a tensor of token ids .*, got list"):
                call([[1]], scores)
    else:
        alike(made(ours, case)(None, scores), wanted)


def test_guidance_without_input_ids() -> None:
    scores = scores_of(0)
    alone = ours.UnbatchedClassifierFreeGuidanceLogitsProcessor(1.5, tiny())
    for processor in (ours.ClassifierFreeGuidanceLogitsProcessor(2.5), alone):
        with pytest.raises(TypeError, match=r"input_ids must be a tensor of token ids .*, got NoneType"):
            processor(None, scores)


def test_bad_scores() -> None:
    warper = ours.TopKLogitsWarper(2)
    with pytest.raises(ValueError, match=r"shape \[1000\]"):
        warper(ids_of(0), scores_of(0)[0])
    with pytest.raises(TypeError, match="torch tensor, got ndarray"):
        warper(ids_of(0), scores_of(0).numpy())
    with pytest.raises(TypeError, match=r"scores must be of a floating type, got torch\.int64"):
        warper(ids_of(0), ids_of(0))
    with pytest.raises(TypeError, match="grad"):
        warper(ids_of(0), scores_of(0).requires_grad_())
    with pytest.raises(ValueError, match="meta"):
        warper(ids_of(0), scores_of(0).to("meta"))
    scores = scores_of(0)
    scores[1, 5] = torch.nan
    with pytest.raises(ValueError, match=r"logits\[1\] contains NaN"):
        warper(ids_of(0), scores)


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


_MODEL: list[Any] = []


def tiny() -> Any:
    if not _MODEL:
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=V, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            initializer_range=0.4, eos_token_id=None, bos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        _MODEL.append(LlamaForCausalLM(config).eval())
    return _MODEL[0]


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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types(dtype: Any) -> None:
    processors = [
        theirs.TemperatureLogitsWarper(0.5),
        theirs.TopKLogitsWarper(9),
        theirs.SuppressTokensLogitsProcessor([3]),
    ]
    scores = scores_of(0, dtype)
    wanted = theirs.LogitsProcessorList(processors)(ids_of(0), scores)
    assert torch.equal(unchanged(ours.fused(processors), ids_of(0), scores), wanted)


def test_scores_of_three_axes() -> None:
    """What transformers' own code takes: of a copy, with its result; of one processor and of several."""
    scores, ids = torch.randn(B, 4, V, generator=generator(3)), ids_of(0)
    for name, arguments in (
        ("RepetitionPenaltyLogitsProcessor", (1.3,)), ("TemperatureLogitsWarper", (0.7,)), ("TopKLogitsWarper", (5,)),
        ("MinPLogitsWarper", (0.1,)), ("LogitNormalization", ()), ("SuppressTokensLogitsProcessor", ([4, 5],)),
        ("InfNanRemoveLogitsProcessor", ()),
    ):  # fmt: skip
        mine, other = getattr(ours, name)(*arguments), getattr(theirs, name)(*arguments)
        wanted = other(ids, scores.clone())
        assert torch.equal(unchanged(mine, ids, scores), wanted)
        assert torch.equal(unchanged(ours.fused([other]), ids, scores), wanted)
        flat = scores_of(1)
        alike(mine(ids, flat), other(ids, flat))  # and two axes again
    packed = torch.randn(1, 7, V, generator=generator(4))
    mine, other = (each.RepetitionPenaltyLogitsProcessor(1.3) for each in (ours, theirs))
    for each in (mine, other):
        each.logits_indices, each.cu_seq_lens_q = torch.tensor([2, 6]), torch.tensor([0, 3, 7])
    tokens = torch.arange(7)
    assert torch.equal(unchanged(mine, tokens, packed), other(tokens, packed.clone()))
    model = tiny()
    with torch.no_grad():
        for scale in (1, 1.7):
            mine, other = (
                each.UnbatchedClassifierFreeGuidanceLogitsProcessor(scale, model, torch.tensor([[4, 5]]).expand(B, 2))
                for each in (ours, theirs)
            )
            rows = scores[:, :B]
            alike(unchanged(mine, ids, rows), other(ids, rows), 1e-5)
    config = GenerationConfig(do_sample=True, temperature=0.5)
    with pytest.raises(ValueError, match=r"scores must be \[batch, vocabulary\], got shape \[3, 4, 1000\]"):
        ours.from_generation_config(config)(ids, scores)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_every_attribute_is_known(case: Any) -> None:
    """Else a processor would never run here; those that transformers' own code adds among them."""
    processor, ids, scores = made(theirs, case), ids_of(0), scores_of(0)
    for _ in range(2):
        known = KNOWN[type(processor)].attributes
        assert vars(processor).keys() <= known
        processor(ids, scores)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_an_attribute_that_is_not_known(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers' own code runs, as our class, by itself and in a list."""
    ids, scores, base = ids_of(0), scores_of(0), getattr(theirs, case[0])
    mine, other = made(ours, case), made(theirs, case)
    for processor in (mine, other):
        processor.offset = 0.5
    own = base.__call__
    called: list[Any] = []

    def counted(self: Any, input_ids: Any, scores: Any) -> Any:
        called.append(self)
        return own(self, input_ids, scores) + getattr(self, "offset", 0.0)

    monkeypatch.setattr(base, "__call__", counted)
    wanted = own(other, ids, scores) + 0.5
    assert torch.equal(mine(ids, scores), wanted)
    assert torch.equal(ours.fused([other])(ids, scores), wanted)
    assert called == [mine, other]
    made(ours, case)(ids, scores)
    assert len(called) == 2


def test_a_new_argument_reaches_generate() -> None:
    """custom_generate runs a processor with an argument that is not known as it is."""

    class Favored(theirs.TemperatureLogitsWarper):
        def __init__(self, temperature: float, favorite: int) -> None:
            super().__init__(temperature)
            self.favorite = favorite

    def call(self: Any, input_ids: Any, scores: Any) -> Any:
        found = scores / self.temperature
        if hasattr(self, "favorite"):
            found = found.clone()
            found[:, self.favorite] = 1e4
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs.TemperatureLogitsWarper, "__call__", call)
        ids = tiny().generate(
            torch.tensor([[1, 2, 3]]), do_sample=True, max_new_tokens=3, pad_token_id=0, eos_token_id=None,
            logits_processor=[Favored(0.7, 9)], custom_generate=ours.sample,
        )  # fmt: skip
    assert ids[0, 3:].tolist() == [9, 9, 9]


def test_gradients() -> None:
    """Scores that require a gradient are taken under no_grad and inference_mode, as they are."""
    plain = scores_of(0)
    scores, ids = plain.clone().requires_grad_(), ids_of(0)
    chain = ours.fused([ours.TemperatureLogitsWarper(0.5), ours.TopKLogitsWarper(5)])
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            for call in (chain, ours.TopPLogitsWarper(0.9), ours.RepetitionPenaltyLogitsProcessor(1.2)):
                found = call(ids, scores)
                assert torch.equal(found, call(ids, plain))
                assert not found.requires_grad
                assert torch.equal(call(ids[:1], scores[:1]), call(ids[:1], plain[:1]))
    with pytest.raises(TypeError, match=r"must not require a gradient; pass .*, or call under torch\.no_grad\(\)"):
        chain(ids, scores)
