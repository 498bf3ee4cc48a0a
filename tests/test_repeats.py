"""DRY, bans of n-grams and the windows of penalties: vectors of the systems, random histories, texts that repeat."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from calls import refused

import fastlogits as fl
from fastlogits import reference, steps

UNIFORM4, UNIFORM5 = np.zeros(4), np.zeros(5)


@pytest.mark.parametrize(("n", "keywords", "context", "expected"), [
    (4, {"dry_multiplier": 1.0, "dry_base": 1.1}, [0, 1], [0.25] * 4),
    (4, {"dry_multiplier": 1.0, "dry_base": 1.1}, [0, 1, 2, 0, 1], [0.296923, 0.296923, 0.109231, 0.296923]),
    (5, {"dry_multiplier": 2.0, "dry_base": 1.1}, [0, 1, 3, 4, 0, 1], [0.241818] * 3 + [0.032727, 0.241818]),
    (5, {"dry_multiplier": 1.0, "dry_base": 1.1, "dry_allowed_length": 4, "dry_sequence_breakers": [[3]]}, [0, 1],
     [0.2] * 5),
])  # fmt: skip
@pytest.mark.parametrize("preset", [None, "llama.cpp"])
def test_dry_of_llama_cpp(n: int, keywords: Any, context: Any, expected: Any, preset: Any) -> None:
    got = fl.probs(np.zeros(n, np.float32), context=context, preset=preset, **keywords)
    np.testing.assert_allclose(got, expected, atol=2e-6)


@pytest.mark.parametrize(("size", "context", "banned"), [
    (2, [1, 1, 2, 1], {1, 2}), (3, [1, 1, 2, 1], set()), (2, [0, 1, 0, 1], {0}), (3, [0, 1, 0, 1], {0}),
    (3, [1, 2, 5, 7, 8, 5, 1, 2], {5}), (1, [4, 4, 2], {2, 4}), (1, [], set()), (5, [1, 2], set()), (0, [1, 1], set()),
])  # fmt: skip
@pytest.mark.parametrize("preset", [None, "hf"])
def test_no_repeat_ngram_of_transformers(size: int, context: Any, banned: Any, preset: Any) -> None:
    got = fl.filter_logits(np.zeros(9, np.float32), context=context, no_repeat_ngram_size=size, preset=preset)
    assert set(np.flatnonzero(np.isneginf(got)).tolist()) == banned


@pytest.mark.parametrize(("size", "ids", "context", "banned"), [
    (2, [1, 2, 1, 0], [2, 1], {0, 2}), (3, [1, 2, 1, 2, 4], [9, 1, 2], {1, 4}), (1, [3, 3, 5], [], {3, 5}),
    (3, [1, 2, 3], [2], set()), (4, [1, 2, 3], [1, 2, 3], set()),
])  # fmt: skip
def test_encoder_no_repeat_ngram(size: int, ids: Any, context: Any, banned: Any) -> None:
    sampler = fl.Sampler(encoder_no_repeat_ngram_size=size, encoder_ids=ids)
    for inputs in ({"context": context}, {"state": sampler.state(context)}):
        got = sampler.filter_logits(np.zeros(10, np.float32), **inputs)
        assert set(np.flatnonzero(np.isneginf(got)).tolist()) == banned


def test_breakers() -> None:
    """No repeat reaches back over a breaker; a single token that is one is never lowered; longer ones are."""
    row, context = np.zeros(8), [1, 2, 3, 4, 5, 1, 2, 3]
    assert steps_dry(row, context)[4] == pytest.approx(-1.75)
    assert steps_dry(row, context, [[1]])[4] == -1.0
    assert steps_dry(row, context, [[2]])[4] == 0
    assert steps_dry(row, context, [[4]])[4] == 0
    assert steps_dry(row, context, [[1, 2]])[4] == 0
    assert steps_dry(row, context, [[4, 5]])[4] == pytest.approx(-1.75)
    assert steps_dry(row, context, [[5, 1]])[4] == -1.0


def steps_dry(row: Any, context: Any, breakers: Any = ()) -> Any:
    return fl.Sampler(steps.Dry(1.0, sequence_breakers=breakers)).filter_logits(row, context=context)


def test_range_of_the_power() -> None:
    """base^exponent stays below the largest float32, however long the repeat is."""
    row, context = np.zeros(3), [0, 1] * 2000
    for base in (1.75, 10.0, 1.0):
        got = fl.filter_logits(row, context=context, dry_multiplier=2.0, dry_base=base)[0]
        exponent = int(88.7228391 / np.log(base)) if base > 1 else 0
        assert got == pytest.approx(-2.0 * base**exponent, rel=1e-13)


def random_text(rng: np.random.Generator, v: int, n: int) -> list[int]:
    """Tokens in which pieces come again."""
    text: list[int] = []
    while len(text) < n:
        if text and rng.random() < 0.5:
            begin = int(rng.integers(len(text)))
            text += text[begin : begin + int(rng.integers(1, 30))]
        else:
            text += rng.integers(0, v, int(rng.integers(1, 6))).tolist()
    return text[:n]


def random_plan(rng: np.random.Generator, v: int) -> list[Any]:
    breakers = [rng.integers(0, v, rng.integers(1, 4)).tolist() for _ in range(rng.integers(0, 3))]
    window = None if rng.random() < 0.5 else int(rng.integers(0, 120))
    plan = [
        steps.Dry(float(rng.uniform(0, 2)), float(rng.uniform(1, 3)), int(rng.integers(0, 12)), window, breakers),
        steps.NoRepeatNgram(int(rng.integers(0, 12))),
        steps.EncoderNoRepeatNgram(int(rng.integers(0, 4)), random_text(rng, v, 40)),
        steps.RepetitionPenalty(
            float(rng.uniform(0.5, 2)), window, bool(rng.random() < 0.5), int(rng.choice([0, 1, 30])),
            float(rng.choice([0, 0.3, 1])),
        ),
        steps.FrequencyPenalty(float(rng.normal()), window, bool(rng.random() < 0.5)),
        steps.PresencePenalty(float(rng.normal()), None, bool(rng.random() < 0.5)),
    ]  # fmt: skip
    return [plan[i] for i in rng.permutation(6)[: rng.integers(1, 5)]]


def compare(seed: int) -> None:
    """The reference, the context and a state that came here on other ways."""
    rng = np.random.default_rng([seed, 77])
    v = int(rng.choice([1, 2, 3, 8, 300]))
    row = (3 * rng.normal(size=v)).astype(np.float64)
    plan, text = random_plan(rng, v), random_text(rng, v, int(rng.integers(0, 200)))
    start = int(rng.integers(0, len(text) + 1))
    sampler = fl.Sampler(*plan)
    state = sampler.state(text[:50], prompt_length=start)
    state.accept(rng.integers(0, v, 20))
    state.rollback(20)
    state.copy().accept(rng.integers(0, v, 3))
    state.accept(text[50:])
    twin = reference.Row(row, text, start)
    try:
        right = reference.process(twin, plan)
    except ValueError:
        with pytest.raises(ValueError, match="no token left"):
            sampler.filter_logits(row, context=text, prompt_length=start)
        with pytest.raises(ValueError, match="no token left"):
            sampler.filter_logits(row, state=state)
        return
    got = sampler.filter_logits(row, context=text, prompt_length=start)
    np.testing.assert_allclose(got, right, rtol=1e-12, atol=1e-12, err_msg=f"{seed}: {sampler}")
    assert np.array_equal(got, sampler.filter_logits(row, state=state)), seed
    cut = fl.Sampler(steps.TopK(max(1, v // 2)), *plan)  # the same behind a cut
    try:
        kept = cut.filter_logits(row, context=text, prompt_length=start)
    except ValueError:
        return
    assert np.array_equal(kept, cut.filter_logits(row, state=state)), seed
    alive = kept > -np.inf
    np.testing.assert_allclose(kept[alive], right[alive], rtol=1e-12, atol=1e-12, err_msg=f"{seed}: {sampler}")


def test_random_histories() -> None:
    for seed in range(400):
        compare(seed)


@pytest.mark.slow
def test_many_random_histories() -> None:
    for seed in range(1000, 21000):
        compare(seed)


@pytest.mark.parametrize("period", [1, 2, 3, 50])
def test_texts_that_repeat(period: int) -> None:
    """The longest repeat of a periodic text is all of it but one period; and the work stays linear."""
    n = 200_000
    text = np.tile(np.arange(period), n // period + 1)[:n]
    sampler = fl.Sampler(dry_multiplier=1.0, dry_base=1.00001, no_repeat_ngram_size=300)
    state = sampler.state(text)
    row = np.zeros(60)
    assert np.flatnonzero(np.isneginf(sampler.filter_logits(row, state=state))).tolist() == [n % period]
    dry = fl.Sampler(dry_multiplier=1.0, dry_base=1.00001)
    expected = -(1.00001 ** (n - period - 2))
    assert dry.filter_logits(row, context=text)[n % period] == pytest.approx(expected, rel=1e-9)
    assert dry.filter_logits(row, state=dry.state(text))[n % period] == pytest.approx(expected, rel=1e-9)


def test_windows_as_the_systems_count() -> None:
    """llama.cpp and mlx-lm count the prompt, OpenAI and vLLM the output; transformers may leave the prompt out."""
    row, inputs = np.zeros(5, np.float32), {"context": [1, 1, 2], "prompt_length": 2}
    keywords: dict[str, Any] = {"frequency_penalty": 1.0}
    assert fl.filter_logits(row, **inputs, **keywords).tolist() == [0, 0, -1, 0, 0]
    assert fl.filter_logits(row, preset="vllm", **inputs, **keywords).tolist() == [0, 0, -1, 0, 0]
    for name in ("llama.cpp", "mlx"):
        assert fl.filter_logits(row, preset=name, **inputs, **keywords).tolist() == [0, -2, -1, 0, 0]
        own = fl.filter_logits(row, preset=name, penalty_prompt=False, **inputs, **keywords)
        assert own.tolist() == [0, 0, -1, 0, 0]
    ones = np.ones(5, np.float32)
    assert fl.filter_logits(ones, repetition_penalty=2.0, **inputs).tolist() == [1, 0.5, 0.5, 1, 1]
    assert fl.filter_logits(ones, repetition_penalty=2.0, penalty_prompt=False, **inputs).tolist() == [1, 1, 0.5, 1, 1]


def test_decay_and_slope() -> None:
    """exllamav2: in full over the window, then falling; koboldcpp: less in the older half."""
    row, context = np.ones(8), [0, 1, 2, 3, 4, 5, 6]
    decay = fl.filter_logits(row, context=context, repetition_penalty=2.0, penalty_window=2, penalty_decay=4)
    np.testing.assert_allclose(1 / decay, [1, 1.25, 1.5, 1.75, 2, 2, 2, 1])
    slope = fl.filter_logits(row, context=context, repetition_penalty=2.0, penalty_window=5, penalty_slope=0.5)
    np.testing.assert_allclose(1 / slope, [1, 1, 1.5, 1.5, 2, 2, 2, 1])
    per_row = fl.Sampler(repetition_penalty=2.0, penalty_window=[2, 5], penalty_decay=[4, 0], penalty_slope=[1.0, 0.5])
    both = per_row.filter_logits(np.ones((2, 8)), context=context)
    assert np.array_equal(both, [decay, slope])


@pytest.mark.parametrize(("keywords", "words"), [
    ({"dry_multiplier": -1.0}, "dry_multiplier must be finite and >= 0, got -1"),
    ({"dry_multiplier": 1.0, "dry_base": 0.5}, "dry_base must be finite and >= 1, got 0.5"),
    ({"dry_multiplier": 1.0, "dry_allowed_length": -1}, "dry_allowed_length must be an integer >= 0, got -1"),
    ({"dry_multiplier": 1.0, "dry_penalty_last_n": -2}, "dry_penalty_last_n must be an integer >= -1, got -2"),
    ({"dry_multiplier": 1.0, "dry_sequence_breakers": [[1], []]}, "dry_sequence_breakers: a sequence must hold"),
    ({"dry_multiplier": 1.0, "dry_sequence_breakers": [[9]]}, "dry_sequence_breakers: token id 9 must be in [0, 5)"),
    ({"dry_multiplier": 1.0, "dry_sequence_breakers": [[-9]]}, "dry_sequence_breakers: token id -9 must be in [0, V)"),
    ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size must be an integer >= 0, got -1"),
    ({"encoder_no_repeat_ngram_size": 2, "encoder_ids": [7]}, "encoder_ids: token id 7 must be in [0, 5)"),
    ({"repetition_penalty": 2.0, "penalty_decay": -1}, "penalty_decay must be an integer >= 0, got -1"),
    ({"repetition_penalty": 2.0, "penalty_slope": 1.5}, "penalty_slope must be in [0, 1], got 1.5"),
])  # fmt: skip
def test_refusals(keywords: Any, words: str) -> None:
    with refused(ValueError, words):
        fl.probs(UNIFORM5, **keywords)
    with refused(TypeError, "penalty_prompt must be True or False, got 1"):
        fl.probs(UNIFORM5, repetition_penalty=2.0, penalty_prompt=1)
    with refused(ValueError, "logits has no token left after no_repeat_ngram (step 0)"):
        fl.probs(UNIFORM4, context=[0, 1, 2, 3], no_repeat_ngram_size=1)


@pytest.mark.parametrize("length", [2**31, 2**62, 2**63 - 1])
def test_lengths_beyond_any_context(length: int) -> None:
    row, context = np.ones(3), [0, 1] * 40
    for keywords in (
        {"dry_multiplier": 1.0, "dry_allowed_length": length}, {"no_repeat_ngram_size": length},
        {"encoder_no_repeat_ngram_size": length, "encoder_ids": [1, 0, 1]},
    ):  # fmt: skip
        sampler = fl.Sampler(**keywords)  # type: ignore[arg-type]
        assert sampler.filter_logits(row, context=context).tolist() == [1, 1, 1]
        assert sampler.filter_logits(row, state=sampler.state(context)).tolist() == [1, 1, 1]
    windows: dict[str, Any] = {"penalty_window": length, "penalty_decay": length}
    kept = fl.filter_logits(row, context=context, repetition_penalty=2.0, **windows)
    np.testing.assert_allclose(kept, [0.5, 0.5, 1], rtol=1e-6)


def test_parameters_per_row() -> None:
    sampler = fl.Sampler(dry_multiplier=[0.0, 1.0, 2.0], dry_allowed_length=[2, 2, 3], no_repeat_ngram_size=[3, 0, 0],
                         dry_sequence_breakers=[[[1]], [], [[4]]])  # fmt: skip
    context = [1, 2, 3, 0, 1, 2, 3]
    got = sampler.filter_logits(np.zeros((3, 5)), context=context)
    states = [sampler.state(context, row=r) for r in range(3)]
    assert np.array_equal(got, sampler.filter_logits(np.zeros((3, 5)), state=states))
    assert got[:, 0].tolist() == [-np.inf, -1.75, -2.0]
