"""Random plans on random rows against the composition of the reference's steps."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import made
import numpy as np
import plans
import pytest
import rows
from test_placeholders import with_placeholders

import fastlogits
from fastlogits import reference, steps

DRAW = 2e-7  # how near to the end of its interval u may fall otherwise


class Tally:
    """What was compared, and the exceptions that the rules allow."""

    def __init__(self) -> None:
        self.cases = self.empty = self.nucleus = self.draws = self.stray = 0
        self.worst = self.rounding = 0.0

    def __repr__(self) -> str:
        return (
            f"{self.cases} plans ({self.empty} with no token left): {self.nucleus} that a rounding decides; of "
            f"{self.draws} drawn tokens {self.stray} with u within {DRAW} of an end; worst log-prob {self.worst:.2g}, "
            f"worst filter_logits {self.rounding:.3f} ulp"
        )


def compare(case: plans.Case, tally: Tally) -> None:
    """Survivors, order, log-probs, probabilities and drawn tokens of one case; AssertionError where they differ."""
    sampler = fastlogits.Sampler(*case.plan)
    right = plans.run(case)
    random = any(step.random for step in case.plan)
    seed = 0 if random else case.seed  # random steps of the reference have seed and key 0
    tally.cases += 1
    if right is None:
        tally.empty += 1
        with pytest.raises(ValueError, match=r"logits|token"):
            sampler.candidates(case.row, **case.inputs(), rng=0)
        return
    order = reference.Row(right).order()
    got = sampler.candidates(case.row, **case.inputs(), rng=0)
    if not np.array_equal(got.ids, order):
        assert plans.near_a_bound(case), f"{case}: {got.ids[:8]}.. [{got.ids.size}], not {order[:8]}.. [{order.size}]"
        tally.nucleus += 1
        return
    single = case.row.dtype != np.float64
    np.testing.assert_allclose(got.logits, right[order], rtol=1e-6 if single else 1e-12, atol=1e-6, err_msg=repr(case))
    scores = reference.log_softmax(right)
    away = np.abs(got.logprobs - scores[order]).max()
    if not np.allclose(got.logprobs, scores[order], rtol=1e-6, atol=2e-6):
        assert away <= 2e-6 + 2 * plans.swing(case), f"{case}: log-probs {away} away"
        tally.nucleus += 1
        return
    tally.worst = max(tally.worst, away if np.abs(scores[order]).max() < 10 else 0.0)
    probs = np.asarray(sampler.probs(case.row, **case.inputs(), rng=0), np.float64)
    least = 1e-4 if case.row.dtype == np.float16 else 1e-37
    exact = np.exp(scores)
    sure = exact > least
    rtol = 1e-3 if case.row.dtype == np.float16 else 2e-6
    np.testing.assert_allclose(probs[sure], exact[sure], rtol=rtol, err_msg=repr(case))
    assert not probs[np.isneginf(right)].any(), case
    if right.max() <= float(np.finfo(case.row.dtype).max):  # beyond the type: an error, tested elsewhere
        kept = sampler.filter_logits(case.row, **case.inputs(), rng=0)
        with np.errstate(over="ignore"):
            held = right.astype(case.row.dtype)  # -inf too where it lies below the type
        np.testing.assert_array_equal(np.isneginf(kept), np.isneginf(held), err_msg=repr(case))
        plain = not any(step.name in plans.ROUGH for step in case.plan)
        tally.rounding = max(tally.rounding, plain * rows.ulps(kept[order], right[order], case.row.dtype.name).max())
    drawn = sampler.sample(case.row, **case.inputs(), rng=seed, logprobs=4)
    padded = [*order[:4].tolist(), *[-1] * 4][:4]
    assert drawn.top_ids.tolist() == padded, case
    assert drawn.ranks == 1 + np.count_nonzero(right > right[drawn.ids]), case
    raw = reference.log_softmax(plans.came(case))[drawn.ids]
    np.testing.assert_allclose(drawn.logprobs, scores[drawn.ids], rtol=1e-6, atol=2e-6, err_msg=repr(case))
    np.testing.assert_allclose(drawn.raw_logprobs, raw, rtol=1e-6, atol=2e-6, err_msg=repr(case))
    tops = np.where(drawn.top_ids < 0, -np.inf, scores[drawn.top_ids])
    np.testing.assert_allclose(drawn.top_logprobs, tops, rtol=1e-6, atol=2e-6, err_msg=repr(case))
    position = len(case.context) if random else 7
    if right.size <= 1000 and (case.plan[-1:] == (steps.Gumbel(),) or case.seed % 4 == 0):
        by_noise(case, sampler, right, (seed, 0, position), tally)
    if case.plan[-1:] != (steps.Gumbel(),):
        by_uniforms(case, sampler, right, seed, random, tally)


def by_uniforms(
    case: plans.Case, sampler: fastlogits.Sampler, right: Any, seed: int, random: bool, tally: Tally
) -> None:
    """Tokens drawn by the inverse CDF at some positions, and four of one row."""
    inputs, row = case.inputs(), reference.Row(right)
    positions = [len(case.context)] if random else range(3)
    drawn = [(p, 0, sampler.sample(case.row, **inputs, rng=seed, position=p)) for p in positions]
    several = sampler.sample(case.row, **inputs, rng=seed, position=positions[-1], n=4)
    drawn += [(positions[-1], number, int(token)) for number, token in enumerate(several)]
    for position, number, token in drawn:
        u = plans.draw_uniform(case, seed, position, number)
        tally.draws += 1
        if token != reference.steps.draw(row, u):
            low, high = plans.interval(right, token)
            assert low - DRAW <= u < high + DRAW, f"{case}: drew {token}, [{low}, {high}), with u = {u}"
            assert right[token] > -np.inf, case
            tally.stray += 1


def by_noise(
    case: plans.Case, sampler: fastlogits.Sampler, right: Any, random: tuple[int, int, int], tally: Tally
) -> None:
    """Tokens drawn by Gumbel-max and without replacement."""
    seed, _, position = random
    row, call = reference.Row(right, random=random), {**case.inputs(), "rng": seed, "position": position}
    gumbel = case.plan[-1:] == (steps.Gumbel(),)
    found, _ = sampler.sample(case.row, **call, n=5, replacement=False, on_error="status")
    pairs = [(found, row.perturbed())]
    if gumbel:
        pairs.append((np.array([sampler.sample(case.row, **call)]), row.perturbed()))
        several = sampler.sample(case.row, **call, n=3)
        pairs += [(several[i : i + 1], row.perturbed(i)) for i in range(3)]
    for got, (values, order) in pairs:
        best = [*order[: len(got)].tolist(), *[-1] * len(got)][: len(got)]
        tally.draws += 1
        if got.tolist() != best:
            # The same tokens but for some whose logits + noise differ by less than these round.
            assert (got >= 0).tolist() == [token >= 0 for token in best], case
            away = np.abs(values[got] - values[best]).max()
            assert away <= 2e-6 * max(1.0, float(np.abs(values[best]).max())), f"{case}: {got}, not {best}, by {away}"
            tally.stray += 1


def check(cases: Any) -> Tally:
    tally = Tally()
    for case in cases:
        compare(case, tally)
    print(tally)
    # Near misses are rare by their nature; many of them mean something else is wrong.
    assert tally.nucleus <= 2 + tally.cases // 100
    assert tally.stray <= 2 + tally.draws // 1000
    assert tally.rounding <= 1
    return tally


@pytest.mark.parametrize("part", range(5))
def test_random_plans(part: int) -> None:
    real = rows.real_rows()
    check(plans.random_case(seed, real=real) for seed in range(part * 280, (part + 1) * 280))


def test_random_plans_on_long_rows() -> None:
    real = rows.real_rows()
    check(plans.random_case(seed, large=49152, real=real) for seed in range(100_000, 100_060))


def test_random_plans_with_placeholders(isa: str) -> None:
    """Contexts with ids that no logit has."""
    cases = [with_placeholders(plans.random_case(seed)) for seed in range(500_000, 500_150)]
    check(cases)
    outside = [any(not 0 <= token < case.row.size for token in case.context) for case in cases]
    assert sum(outside) > 75


def test_all_is_in_the_mix() -> None:
    """Every step, by itself and beside others; penalties as all systems count; every way to draw."""
    cases = [plans.random_case(seed) for seed in range(600)]
    named = Counter(step.name for case in cases for step in case.plan)
    assert set(named) == set(made.NAMES)
    assert min(named.values()) >= 8, named.most_common()[-3:]
    behind = Counter((step.name, case.plan[-1].name) for case in cases for step in case.plan)
    for name in (*made.BLENDS, "skew", "mirostat", "adaptive_p", "xtc", "repetition_penalty", "dry", "top_p"):
        assert behind[name, "gumbel"], name
    full = [s for case in cases for s in case.plan if s.name == "repetition_penalty" and s.window and s.decay]
    assert any(s.slope < 1 for s in full)
    assert any(not s.prompt for s in full)


def test_parameters_per_row() -> None:
    """Three rows in one call, each with parameters of its own, are three calls, to the bit."""
    differing = 0
    for seed in range(300_000, 300_060):
        cases = plans.alike(seed, 3)
        sampler = fastlogits.Sampler(*plans.merged([case.plan for case in cases], cases[0].row.size))
        differing += len({repr(list(map(vars, case.plan))) for case in cases}) > 1
        whole = {
            "context": [case.context for case in cases], "prompt_length": [case.prompt_length for case in cases],
            **{name: np.stack([case.beside[name] for case in cases]) for name in cases[0].beside},
        }  # fmt: skip
        x = np.stack([case.row for case in cases])
        token, status = sampler.sample(x, **whole, rng=seed, position=5, on_error="status")
        probs, _ = sampler.probs(x, **whole, rng=seed, position=5, on_error="status")
        for r, case in enumerate(cases):
            alone, call = fastlogits.Sampler(*case.plan), {"rng": seed, "keys": [r], "position": 5}
            ids, bad = alone.sample(x[r : r + 1], **inputs_of(case), **call, on_error="status")
            assert (ids[0], bad[0] == 0) == (token[r], status[r] == 0), (r, cases)
            if not bad[0]:
                assert rows.same_bits(alone.probs(x[r : r + 1], **inputs_of(case), **call)[0], probs[r]), (r, cases)
    assert differing > 50


def inputs_of(case: plans.Case) -> dict[str, Any]:
    """The inputs of a batch of one row."""
    beside = {name: row[None] for name, row in case.beside.items()}
    return {"context": [case.context], "prompt_length": case.prompt_length, **beside}


def test_random_plans_isas(isa: str) -> None:
    check(plans.random_case(seed) for seed in range(200_000, 200_060))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many_random_plans(part: int) -> None:
    real = rows.real_rows()
    first = 1_000_000 + part * 1000
    check(plans.random_case(seed, 49152 if seed % 20 == 0 else 0, real) for seed in range(first, first + 1000))


def test_negative_control() -> None:
    """A composition that moves later cuts in front of a mass step must be caught: many plans then keep others."""
    caught = asked = 0
    for seed in range(2000):
        case = plans.random_case(seed)
        wrong = replace(case, plan=plans.cuts_first(case.plan))
        if wrong.plan == case.plan:
            continue
        asked += 1
        right, other = plans.run(case), plans.run(wrong)
        caught += not (right is None and other is None) and not (
            right is not None and other is not None and np.array_equal(right, other)
        )
    print(f"negative control: {caught} of {asked} plans differ")
    assert caught > asked / 10
    assert asked > 300


def test_mass_step_then_rank_cut() -> None:
    """The smallest case of the rule: top_p before top_k sees the whole row's mass, after it only the survivors'."""
    row = np.log(np.array([0.3, 0.25, 0.2, 0.15, 0.1], np.float32))
    before = fastlogits.Sampler(steps.TopP(0.5), steps.TopK(3)).candidates(row)
    after = fastlogits.Sampler(steps.TopK(3), steps.TopP(0.5)).candidates(row)
    assert before.ids.tolist() == [0, 1]
    assert after.ids.tolist() == [0, 1]
    deeper = fastlogits.Sampler(steps.TopP(0.7), steps.TopK(3)).candidates(row)
    assert deeper.ids.tolist() == [0, 1, 2]
    assert fastlogits.Sampler(steps.TopK(3), steps.TopP(0.7)).candidates(row).ids.tolist() == [0, 1]


# ---- the nucleus ---------------------------------------------------------------------------------------------------


def nucleus_counts(made: Any, p: float) -> tuple[int, int]:
    """Rows compared and rows whose exact sum lies within 1e-7 of p; AssertionError where another row differs."""
    compared = near = 0
    for row in made:
        x = row.astype(np.float64)
        order = np.argsort(-x, kind="stable")
        running = np.cumsum(np.exp(x[order] - x[order[0]]))
        kept = 1 + np.count_nonzero(running < p * running[-1])
        got = fastlogits.candidates(row, top_p=p).ids
        compared += 1
        if np.abs(running / running[-1] - p).min() < plans.MASS:
            near += 1
            assert abs(got.size - kept) <= 1 + np.count_nonzero(np.abs(running / running[-1] - p) < plans.MASS)
        else:
            assert np.array_equal(got, order[:kept]), (got.size, kept)
    return compared, near


def random_rows(count: int, seed: int) -> Any:
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        _, row = plans.random_row(rng, int(rng.choice([300, 4000, 49152] if i % 8 == 0 else [300, 2000])))
        yield row.astype(np.float32)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 0.95, 0.999])
def test_nucleus(p: float) -> None:
    compared, near = nucleus_counts(random_rows(60, int(p * 1000)), p)
    print(f"nucleus at p = {p}: {compared - near} random rows exact, {near} more within {plans.MASS} of p")


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 0.95, 0.999])
def test_nucleus_on_many_rows(p: float) -> None:
    compared, near = nucleus_counts(random_rows(2000, 7 + int(p * 1000)), p)
    print(f"nucleus at p = {p}: {compared - near} random rows exact, {near} more within {plans.MASS} of p")


def test_nucleus_on_real_rows(real_rows: Any) -> None:
    found = list(rows.real_arrays()) or [("bundled", real_rows)]
    for name, logits in found:
        compared, near = nucleus_counts(logits, 0.95)
        print(f"nucleus at p = 0.95: {compared - near} rows of {name} exact, {near} more within {plans.MASS} of p")


@pytest.mark.parametrize(("exponent", "kept"), [(2.5, 3), (1.5, 56), (1.1, 14550)])
def test_nucleus_of_zipf(isa: str, exponent: float, kept: int) -> None:
    """p = 0.9 of rows by Zipf's law, V = 128,256; ONNX Runtime's tail bound keeps 237, 5,668 and 39,162 tokens."""
    row = -exponent * np.log(np.arange(1, 128_257))
    for dtype in (np.float64, np.float32):
        assert fastlogits.candidates(row.astype(dtype), top_p=0.9).ids.tolist() == list(range(kept))


@pytest.mark.parametrize(("probs", "p", "ids"), [
    ([0.5, 0.3, 0.15, 0.05], 0.7, [0, 1]), ([0.4, 0.3, 0.2, 0.1], 0.8, [0, 1, 2]),
])  # fmt: skip
def test_nucleus_is_a_prefix(probs: Any, p: float, ids: Any) -> None:
    """exllamav2's heap drops the token that reaches p and takes a smaller one: [0, 2] and [0, 1, 3] of these."""
    assert fastlogits.candidates(np.log(probs), top_p=p).ids.tolist() == ids


def test_nucleus_with_ties() -> None:
    row = np.zeros(1000, np.float32)
    for p, kept in ((0.0, 1), (0.0005, 1), (0.2495, 250), (0.2505, 251), (0.9995, 1000)):
        assert fastlogits.candidates(row, top_p=p).ids.tolist() == list(range(kept))
    # A sum that is exactly p: float32 masses decide it to one token.
    assert fastlogits.candidates(row, top_p=0.25).ids.size in (250, 251)
