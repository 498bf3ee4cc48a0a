"""fastlogits.transformers: half types, scores of three axes, attributes and arguments that are not known."""

from __future__ import annotations

from typing import Any

import pytest

WHY = "transformers is not installed: pip install torch==2.13.0 'transformers==5.23.*'"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)

from test_transformers import CASES, B, V, alike, generator, ids_of, made, scores_of, tiny, unchanged  # noqa: E402
from transformers import GenerationConfig  # noqa: E402
from transformers.generation import logits_process as theirs  # noqa: E402

import fastlogits.transformers as ours  # noqa: E402
from fastlogits.transformers._chain import KNOWN  # noqa: E402


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
