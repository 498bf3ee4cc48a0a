"""The reference against SciPy, mpmath and the published vectors of the systems that users come from."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import rows

import fastlogits
from fastlogits import reference, steps

INF = np.inf


# ---- array functions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_agrees_with_scipy(name: str) -> None:
    special = pytest.importorskip("scipy.special")
    x = np.random.default_rng(1).normal(size=(3, 4, 5)) * 4
    for axis in (-1, 0, 1):
        ours, theirs = getattr(reference, name), getattr(special, name)
        for t in (1.0, 0.7):  # SciPy's own log_softmax is exact to 1e-16 absolute only
            right = theirs(x / t, axis=axis)
            np.testing.assert_allclose(ours(x, axis=axis, temperature=t), right, rtol=1e-13, atol=4e-16)


SPECIAL = [
    [-INF, -INF],
    [INF, 0],
    [INF, INF],
    [np.nan, 0],
    [0, np.nan],
    [0, -INF],
    [-INF, INF],
    [np.nan, INF],
    [5, 5],
    [INF, INF, 0],
    [INF, 0, INF, -INF],
]


@pytest.mark.parametrize("row", SPECIAL)
def test_special_values_as_scipy(row: list[float]) -> None:
    special = pytest.importorskip("scipy.special")
    with np.errstate(all="ignore"):
        for name in ("softmax", "log_softmax", "logsumexp"):
            np.testing.assert_allclose(getattr(reference, name)(row), getattr(special, name)(row), rtol=1e-15)


def test_agrees_with_mpmath() -> None:
    mp = pytest.importorskip("mpmath")
    for name, row in rows.accuracy_rows(40, seed=3).items():
        for t in (0.7, 1.0, 10.0):
            with mp.workdps(400):
                x = [mp.mpf(v) / mp.mpf(t) for v in row]
                top = max(x)
                rest = mp.log1p(mp.fsum([mp.exp(v - top) for v in x]) - 1)
                total, exact = top + rest, [float(v - top - rest) for v in x]
            # An exponent of d costs d ulp in float64; float32 results need far less.
            np.testing.assert_allclose(
                reference.log_softmax(row, temperature=t), exact, rtol=1e-13, atol=1e-300, err_msg=name
            )
            np.testing.assert_allclose(reference.logsumexp(row, temperature=t), float(total), rtol=1e-14, atol=1e-14)
            likely = np.array(exact) > -100
            p = reference.softmax(row, temperature=t)
            np.testing.assert_allclose(p[likely], np.exp(np.array(exact)[likely]), rtol=1e-12, err_msg=name)


def test_top_keeps_full_precision() -> None:
    """The confident token: exact values of log_softmax([g, 0, 0]) at the maximum."""
    for gap, exact in ((10.0, -9.0795703e-05), (17.0, -8.2798753e-08), (30.0, -1.8715246e-13), (40.0, -8.4967085e-18)):
        assert reference.log_softmax([gap, 0.0, 0.0])[0] == pytest.approx(exact, rel=1e-6)


def test_order_rules() -> None:
    x = [1.0, np.nan, 3.0, -0.0, 3.0, 0.0, -INF, np.nan, INF]
    assert reference.top_k(x, 9).indices.tolist() == [1, 7, 8, 2, 4, 0, 3, 5, 6]
    assert reference.argmax(x) == 1
    assert reference.argmax([0.0, 3.0, 3.0]) == 1
    assert reference.argmax([-0.0, 0.0]) == 0


def test_uniform_is_philox() -> None:
    """Known answer of Philox4x64-10 (Random123): counter 0, key 0 -> first word 16554d9eca36314c."""
    assert reference.uniform(0, 0, 0) == float(0x16554D9ECA36314C >> 11) * 2.0**-53
    for seed, key, position in ((1, 2, 3), (2**64 - 1, 2**64 - 1, 2**64 - 1), (5, -1, -1), (0, 0, 1)):
        u = reference.uniform(seed, key, position)
        assert 0 <= u < 1
        assert u == reference.uniform(seed, key % 2**64, position % 2**64)


def test_reference_needs_no_compiled_code() -> None:
    """Each of its files runs by itself."""
    calls = {
        "__init__": ("['softmax']([0.0, 0.0])[0]", "0.5"),
        "calibration": ("['brier_score']([0.5], [1])", "0.25"),
    }
    for name, (call, answer) in calls.items():
        path = rows.ROOT / "fastlogits" / "reference" / f"{name}.py"
        code = f"import runpy; print(runpy.run_path({str(path)!r}){call})"
        done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == answer


# ---- published vectors: what the steps do --------------------------------------------------------------------------


def end(kind: str, logits: Any, plan: list[Any], **inputs: Any) -> np.ndarray[Any, Any]:
    """The same end of the reference and of fastlogits, compared here, returned once."""
    right = np.asarray(getattr(reference, kind)(logits, plan=plan, **inputs))
    ours = getattr(fastlogits.Sampler(*plan), kind)(np.asarray(logits, np.float64), **inputs)
    np.testing.assert_allclose(ours, right, rtol=1e-12, atol=1e-15)
    return right


def probs(p: list[float], plan: list[Any], **inputs: Any) -> np.ndarray[Any, Any]:
    with np.errstate(divide="ignore"):
        return end("probs", np.log(p), plan, **inputs)


def kept(result: np.ndarray[Any, Any]) -> list[int]:
    return np.flatnonzero(result).tolist()


RAMP = [float(i) for i in range(10)]


def test_temperature_vectors() -> None:
    plain, halved = end("probs", [1, 2, 3], [steps.Temperature(1)]), end("probs", [3, 2, 1], [steps.Temperature(2)])
    np.testing.assert_allclose(plain, [0.090031, 0.244728, 0.665241], atol=1e-6)
    np.testing.assert_allclose(halved, [0.506480, 0.307195, 0.186323], atol=1e-6)
    # Zero: the first maximum alone, undivided.
    assert end("filter_logits", [1, 4, 4, 2], [steps.Temperature(0)]).tolist() == [-INF, 4, -INF, -INF]
    np.testing.assert_allclose(probs([0.1, 0.2, 0.3, 0.4], [steps.Temperature(0)]), [0, 0, 0, 1])


def test_top_k_vectors() -> None:
    assert kept(end("probs", RAMP, [steps.TopK(3)])) == [7, 8, 9]
    assert kept(end("probs", RAMP, [steps.TopK(1, min_keep=3)])) == [7, 8, 9]
    np.testing.assert_allclose(probs([0.1, 0.2, 0.3, 0.4], [steps.TopK(1)]), [0, 0, 0, 1])
    np.testing.assert_allclose(probs([0.1, 0.2, 0.3, 0.4], [steps.TopK(3)]), [0, 2 / 9, 3 / 9, 4 / 9])
    for off in (None, 0, -1, 4, 5):
        assert len(kept(probs([0.1, 0.2, 0.3, 0.4], [steps.TopK(off)]))) == 4
    # Ties: exactly k, the lower id first; Hugging Face and vLLM keep whatever equals the k-th.
    assert kept(end("probs", [2, 1, 2, 2, 0], [steps.TopK(2)])) == [0, 2]
    assert kept(end("probs", [2, 1, 2, 2, 0], [steps.TopK(2, ties="keep")])) == [0, 2, 3]


def test_top_p_vectors() -> None:
    four = [0.1, 0.2, 0.3, 0.4]
    np.testing.assert_allclose(probs(four, [steps.TopP(0)]), [0, 0, 0, 1])
    np.testing.assert_allclose(probs(four, [steps.TopP(0.7)]), [0, 0, 0.428571, 0.571429], atol=1e-6)
    np.testing.assert_allclose(probs(four, [steps.TopP(0.8)]), [0, 0.222222, 0.333333, 0.444444], atol=1e-6)
    np.testing.assert_allclose(probs(four, [steps.TopP(1)]), four)
    assert kept(probs([0.3, 0.1, 0.1, 0.5], [steps.TopP(0.8)])) in ([0, 3], [0, 1, 3])  # 0.3 + 0.5 is 0.8 to an ulp
    assert kept(probs([0.3, 0.1, 0.1, 0.5], [steps.TopP(0.79)])) == [0, 3]
    assert kept(probs([0.15, 0.3, 0.3, 0.25], [steps.TopP(0.8)])) == [1, 2, 3]
    ramp = np.arange(-5.0, 5.0)
    assert len(kept(end("probs", ramp, [steps.TopP(0.9, min_keep=2)]))) == 3
    assert len(kept(end("probs", 100 * ramp, [steps.TopP(0.9, min_keep=2)]))) == 2
    np.testing.assert_allclose(probs([0.9, 0, 0, 0.1], [steps.TopP(0.3)]), [1, 0, 0, 0])
    np.testing.assert_allclose(probs([0.9, 0, 0, 0.1], [steps.TopP(0.95)]), [0.9, 0, 0, 0.1], atol=1e-12)
    np.testing.assert_allclose(probs([0, 0.5, 0.4, 0.1], [steps.TopP(0.4)]), [0, 1, 0, 0])
    np.testing.assert_allclose(probs([0, 0.5, 0.4, 0.1], [steps.TopP(0.6)]), [0, 5 / 9, 4 / 9, 0])
    assert kept(end("probs", [1, 2, 3], [steps.TopP(0.2)])) == [2]
    assert kept(end("probs", [1, 2, 3], [steps.TopP(0.9)])) == [1, 2]


def test_min_p_vectors() -> None:
    four = [0.1, 0.2, 0.3, 0.4]
    for p, count in ((0.0, 4), (0.24, 4), (0.26, 3), (0.49, 3), (0.51, 2), (0.74, 2), (0.76, 1), (1.0, 1)):
        assert len(kept(probs(four, [steps.MinP(p)]))) == count
    assert kept(probs([0.9, 0.0274, 0.047, 0.0274], [steps.MinP(0.05)])) == [0, 2]
    for p, count in ((0.0, 4), (0.1, 3), (0.4, 1)):
        assert len(kept(end("probs", [1, 2, 4, 3], [steps.MinP(p)]))) == count
    assert len(kept(end("probs", [1, 2, 4, 3], [steps.MinP(1.0, min_keep=2)]))) == 2


def test_repetition_penalty_vectors() -> None:
    def run(logits: list[float], theta: float, context: list[int]) -> list[float]:
        done = end("filter_logits", logits, [steps.RepetitionPenalty(theta)], context=context)
        return [float(v) for v in done.round(6)]

    assert run([1, 2, 3], 1.2, [2, 0]) == [0.833333, 2, 2.5]
    assert run([-1, 2, 3], 2.0, [0, 1]) == [-2, 1, 3]
    assert run([-1, 2, 3], 0.5, [1, 1]) == [-1, 4, 3]  # once per distinct token
    assert run([0, -INF, 3], 5.0, [0, 1]) == [0, -INF, 3]
    fifth = [0.2] * 5
    for last, right in (([0], [0, 0.25, 0.25, 0.25, 0.25]), ([0, 1, 2], [0, 0, 0, 0.5, 0.5])):
        done = probs(fifth, [steps.RepetitionPenalty(50.0)], context=last)
        np.testing.assert_allclose(done, right, atol=1e-6)


def test_frequency_and_presence_vectors() -> None:
    both = [steps.FrequencyPenalty(5.0), steps.PresencePenalty(5.0)]
    fifth = [0.2] * 5
    for last, right in (
        ([0], [0.000011, 0.249997, 0.249997, 0.249997, 0.249997]),
        ([0, 1, 2], [0.000023, 0.000023, 0.000023, 0.499966, 0.499966]),
        ([0, 1, 2, 0, 0], [0.000000, 0.000023, 0.000023, 0.499977, 0.499977]),
    ):
        np.testing.assert_allclose(probs(fifth, both, context=last), right, atol=1e-6)
    zeros, seen = [0.0] * 4, [0, 0, 0, 1, 1]
    frequency = end("filter_logits", zeros, [steps.FrequencyPenalty(0.5)], context=seen)
    presence = end("filter_logits", zeros, [steps.PresencePenalty(0.5)], context=seen)
    assert frequency.tolist() == [-1.5, -1, 0, 0]
    assert presence.tolist() == [-0.5, -0.5, 0, 0]
    all_three = [steps.RepetitionPenalty(1.5), steps.PresencePenalty(0.5), steps.FrequencyPenalty(0.25)]
    done = end("filter_logits", [1, 0.5, 0, -0.5], all_three, context=seen)
    np.testing.assert_allclose(done, [-0.583333, -0.666667, 0, -0.5], atol=1e-6)
    # A repeated token with a negative logit becomes less likely, never more.
    assert end("filter_logits", [-1, 2, 3], [steps.FrequencyPenalty(0.5)], context=[1, 0]).tolist() == [-1.5, 1.5, 3]


def test_which_tokens_count() -> None:
    context, start = [0, 1, 1, 2, 2, 2], 3
    plan = [steps.FrequencyPenalty(1.0), steps.RepetitionPenalty(2.0)]
    done = end("filter_logits", [4.0, 4.0, 4.0, 4.0], plan, context=context, prompt_length=start)
    assert done.tolist() == [2.0, 2.0, 0.5, 4.0]  # frequency sees [2, 2, 2], repetition all
    last = end("filter_logits", [4.0] * 4, [steps.FrequencyPenalty(1.0, window=2)], context=context)
    assert last.tolist() == [4, 4, 2, 4]
    none = end("filter_logits", [4.0] * 4, [steps.FrequencyPenalty(1.0, window=0)], context=context)
    assert none.tolist() == [4, 4, 4, 4]


def test_bias_and_mask_vectors() -> None:
    done = end("filter_logits", [0.0] * 5, [steps.LogitBias({0: -100.0, 1: 100.0, 4: -INF})])
    assert done.tolist() == [-100, 100, 0, 0, -INF]
    by_arrays = end("filter_logits", [0.0] * 5, [steps.LogitBias(([0, 1, 4], [-100.0, 100.0, -INF]))])
    assert by_arrays.tolist() == done.tolist()
    allowed = [True, False, True, False, False]
    for mask in (allowed, np.array([0b101], np.int32), np.array([0b101], np.uint32), allowed[:3]):
        assert kept(end("probs", [1.0] * 5, [steps.Mask(mask)])) == [0, 2]
    words = np.array([-1, 0b1], np.int32)
    assert kept(end("probs", [1.0] * 70, [steps.Mask(words)])) == list(range(33))


def test_joint_rule() -> None:
    """FlashInfer's and SGLang's rule: both filters look at the same, un-renormalised distribution."""
    p = [0.35, 0.25, 0.2, 0.1, 0.1]
    joint = probs(p, [steps.TopK(3, joint=True), steps.TopP(0.62, joint=True)])
    renormalised = probs(p, [steps.TopK(3), steps.TopP(0.62)])
    assert kept(joint) == [0, 1, 2]  # 0.35 + 0.25 < 0.62 of the whole row
    assert kept(renormalised) == [0, 1]  # (0.35 + 0.25) / 0.8 = 0.75
    # Never reached: everything that the first cut left stays.
    assert kept(probs(p, [steps.TopK(2, joint=True), steps.TopP(0.99, joint=True)])) == [0, 1]
    # A joint cut that is off remembers nothing: the first that cuts does.
    late = probs(p, [steps.TopK(0, joint=True), steps.TopK(2), steps.TopK(2, joint=True), steps.TopP(0.55, joint=True)])
    assert kept(late) == [0]
    # The keyword says the same.
    by_keyword = fastlogits.probs(np.log(p), top_k=3, top_p=0.62, joint=True)
    np.testing.assert_allclose(by_keyword, joint, rtol=1e-12)


def test_order_of_temperature() -> None:
    """llama.cpp cuts before it divides, Hugging Face after: top_p notices, top_k does not."""
    p = [0.5, 0.3, 0.15, 0.05]
    first = probs(p, [steps.Temperature(2.0), steps.TopP(0.75)])
    last = probs(p, [steps.TopP(0.75), steps.Temperature(2.0)])
    assert kept(first) == [0, 1, 2]
    assert kept(last) == [0, 1]
    np.testing.assert_allclose(
        probs(p, [steps.TopK(2), steps.Temperature(2.0)]), probs(p, [steps.Temperature(2.0), steps.TopK(2)])
    )


def test_keyword_form_is_the_default_order() -> None:
    rng = np.random.default_rng(5)
    row, context = rng.normal(size=60) * 3, rng.integers(0, 60, 20).tolist()
    allowed = rng.random(60) < 0.8
    keywords: dict[str, Any] = {
        "repetition_penalty": 1.3, "frequency_penalty": 0.2, "presence_penalty": 0.1, "penalty_window": 12,
        "logit_bias": {3: 2.0, 9: -INF}, "mask": allowed, "temperature": 0.8, "top_k": 20, "top_p": 0.9, "min_p": 0.02,
        "min_keep": 2, "ties": "keep",
    }  # fmt: skip
    plan = [
        steps.RepetitionPenalty(1.3, 12), steps.FrequencyPenalty(0.2, 12), steps.PresencePenalty(0.1, 12),
        steps.LogitBias({3: 2.0, 9: -INF}), steps.Mask(allowed), steps.Temperature(0.8),
        steps.TopK(20, 2, "keep"), steps.TopP(0.9, 2), steps.MinP(0.02, 2),
    ]  # fmt: skip
    written = reference.probs(row, plan=plan, context=context)
    np.testing.assert_array_equal(reference.probs(row, context=context, **keywords), written)
    np.testing.assert_allclose(fastlogits.probs(row, context=context, **keywords), written, rtol=1e-12)


def test_one_value_per_row() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(2, 3, 40))
    each: dict[str, Any] = {
        "temperature": [[0.5, 1.0, 0.0], [1.0, 2.0, 3.0]], "top_k": [[5, 0, 3], [1, 40, 7]],
        "top_p": np.full((2, 1), 0.9), "logit_bias": [{i: 3.0} for i in range(6)],
        "mask": rng.random((2, 3, 40)) < 0.9,
    }  # fmt: skip
    batch = reference.candidates(x, **each)
    got = fastlogits.candidates(x, **each)
    np.testing.assert_array_equal(got.ids, batch.ids)
    np.testing.assert_array_equal(got.offsets, batch.offsets)
    for r in range(6):
        alone = {
            "temperature": np.reshape(each["temperature"], 6)[r], "top_k": int(np.reshape(each["top_k"], 6)[r]),
            "top_p": 0.9, "logit_bias": {r: 3.0}, "mask": each["mask"].reshape(6, 40)[r],
        }  # fmt: skip
        row = reference.candidates(x.reshape(6, 40)[r], **alone)
        np.testing.assert_array_equal(batch.ids[batch.offsets[r] : batch.offsets[r + 1]], row.ids)


def test_sample_result_of_the_reference() -> None:
    rng = np.random.default_rng(8)
    x, context = rng.normal(size=(3, 30)) * 2, [[1, 2], [3], []]
    for n in (0, 4):
        call: dict[str, Any] = {"context": context, "temperature": 0.7, "top_k": 3, "rng": 11, "logprobs": n}
        right, got = reference.sample(x, **call), fastlogits.sample(x, **call)
        for field in ("ids", "ranks", "top_ids"):
            np.testing.assert_array_equal(getattr(got, field), getattr(right, field))
        for field in ("logprobs", "raw_logprobs", "top_logprobs"):
            np.testing.assert_allclose(getattr(got, field), getattr(right, field), rtol=1e-12, atol=1e-14)
    assert fastlogits.sample(x, rng=2**70 + 1, top_k=5).tolist() == reference.sample(x, rng=2**70 + 1, top_k=5).tolist()
    g, h = np.random.default_rng(4), np.random.default_rng(4)
    assert fastlogits.sample(x, rng=g).tolist() == reference.sample(x, rng=h).tolist()
    assert g.bit_generator.state == h.bit_generator.state  # one word each
