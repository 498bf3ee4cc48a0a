"""fastlogits.transformers beside transformers itself: each processor, several as one, generate with a tiny model."""

from __future__ import annotations

import copy
import inspect
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

WHY = "transformers is not installed: pip install torch==2.13.0 'transformers==5.23.*'"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)

from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402
from transformers.generation import logits_process as theirs  # noqa: E402

import fastlogits.transformers as ours  # noqa: E402
from fastlogits.transformers import _installed, _processors  # noqa: E402
from fastlogits.transformers._chain import Chain  # noqa: E402

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
    assert found - set(_installed.LEFT_OUT) == set(_processors.__all__)
    assert set(_installed.LEFT_OUT) <= found
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
