"""fastlogits.torch's multinomial, sample and filter_logits: distribution, generators, shapes, torch.compile, errors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")

import fastlogits as fl  # noqa: E402
import fastlogits.torch as ft  # noqa: E402

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]


def generator(seed: int) -> Any:
    return torch.Generator().manual_seed(seed)


def word(g: Any) -> int:
    """The next 64 bits of a generator."""
    return int(torch.empty((), dtype=torch.int64).random_(-(2**63), None, generator=g)) % 2**64


def agrees(counts: Any, shares: Any) -> bool:
    """Whether chi-squared lies within six standard deviations of its mean; what has no share has no count."""
    shares = shares / shares.sum()
    assert counts[shares == 0].sum() == 0
    wanted = counts.sum() * shares[shares > 0]
    chi = ((counts[shares > 0] - wanted) ** 2 / wanted).sum()
    free = len(wanted) - 1
    return bool(chi < free + 6 * (2 * free) ** 0.5)


WEIGHTS = torch.tensor([0.0, 3.0, 1.0, 0.0, 8.0, 0.5, 2.0, 0.0])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_multinomial_with_replacement(dtype: Any) -> None:
    weights = WEIGHTS.to(dtype)
    found = ft.multinomial(weights, 20_000, True, generator=generator(1))
    assert agrees(np.bincount(found.numpy(), minlength=8), WEIGHTS.numpy())
    found = ft.multinomial(weights.expand(20_000, 8), 1, generator=generator(2))
    assert found.shape == (20_000, 1)
    assert agrees(np.bincount(found[:, 0].numpy(), minlength=8), WEIGHTS.numpy())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_multinomial_without_replacement(dtype: Any) -> None:
    """Ordered pairs: p(i) p(j) / (1 - p(i))."""
    found = ft.multinomial(WEIGHTS.to(dtype).expand(40_000, 8), 2, generator=generator(3)).numpy()
    p = WEIGHTS.double().numpy() / WEIGHTS.double().sum().item()
    shares = np.array([p[i] * p[j] / (1 - p[i]) if i != j else 0 for i, j in itertools.product(range(8), repeat=2)])
    assert agrees(np.bincount(found[:, 0] * 8 + found[:, 1], minlength=64), shares)


@given(
    st.lists(st.lists(st.sampled_from([0.0, 1e-30, 0.1, 0.3, 1.0, 7.0, 1e30]), min_size=5, max_size=5), max_size=4),
    st.integers(1, 5),
    st.booleans(),
    st.integers(0, 2**63 - 1),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_multinomial_properties(rows: Any, n: int, replacement: bool, seed: int, dtype: Any) -> None:
    weights = torch.tensor(rows, dtype=dtype).reshape(len(rows), 5)
    before, positive = weights.clone(), (weights > 0).sum(-1)
    if len(rows) and (positive == 0).any():
        with pytest.raises(ValueError, match=r"input\[\d\] has no weight above 0"):
            ft.multinomial(weights, n, replacement, generator=generator(seed))
        return
    if len(rows) and not replacement and positive.min() < n:
        with pytest.raises(ValueError, match=rf"fewer weights above 0 than num_samples={n}"):
            ft.multinomial(weights, n, generator=generator(seed))
        return
    found = ft.multinomial(weights, n, replacement, generator=generator(seed))
    assert torch.equal(weights, before)
    assert found.dtype is torch.int64
    assert found.shape == torch.multinomial(torch.ones(len(rows), 5), n, replacement).shape
    assert (weights.gather(-1, found) > 0).all()
    if not replacement:
        assert all(len(set(row)) == n for row in found.tolist())
    for row in range(len(rows)):  # a row depends on itself and its number alone
        logs = weights.double().log() if dtype is torch.float64 else weights.float().log()
        wanted = fl.sample(logs[row], n=n, replacement=replacement or n == 1, rng=word(generator(seed)), keys=row)
        assert found[row].tolist() == wanted.tolist()


def test_generators() -> None:
    logits = torch.randn(3, 500, generator=generator(0))
    for call in (
        lambda g: ft.multinomial(logits.softmax(-1), 2, generator=g),
        lambda g: ft.sample(logits, generator=g),
    ):
        g, twin = generator(5), generator(5)
        found = call(g)
        word(twin)
        assert torch.equal(g.get_state(), twin.get_state())  # one word is spent
        assert torch.equal(call(generator(5)), found)
        assert not torch.equal(torch.stack([call(g) for _ in range(8)]), torch.stack([found] * 8))
        torch.manual_seed(5)
        assert torch.equal(call(None), found)  # the default generator with the same seed
        assert not torch.equal(call(None), found)
    assert torch.equal(ft.multinomial(logits.softmax(-1), 1, generator=generator(6))[:, 0],
                       ft.sample(logits, generator=generator(6)))  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sample_is_ours(dtype: Any) -> None:
    x = (3 * torch.randn(2, 3, 400, generator=generator(7))).to(dtype)
    options: dict[str, Any] = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.01}
    seed = word(generator(8))
    found = ft.sample(x, generator=generator(8), **options)
    assert found.dtype is torch.int64
    assert found.tolist() == fl.sample(x, rng=seed, **options).tolist()
    found = ft.sample(x[0, 0], generator=generator(8), **options)
    assert found.shape == ()
    assert int(found) == fl.sample(x[0, 0], rng=seed, **options)
    context = [[1, 2], [3], [4, 5, 6]]
    more: dict[str, Any] = {"repetition_penalty": 1.3, "context": context, "keys": [7, 8, 9], "prompt_length": 1}
    found = ft.sample(x[0], num_samples=2, replacement=False, generator=generator(8), **more, **options)
    assert found.tolist() == fl.sample(x[0], n=2, replacement=False, rng=seed, **more, **options).tolist()
    out = torch.empty(2, 3, dtype=torch.int64)
    assert ft.sample(x, generator=generator(8), out=out, **options) is out
    assert out.tolist() == fl.sample(x, rng=seed, **options).tolist()


def test_sample_follows_the_distribution() -> None:
    row = torch.tensor([0.0, 2.0, 1.0, 3.0, -1.0, 2.5])
    kept = ft.filter_logits(row, temperature=0.7, top_k=4, top_p=0.95)
    found = ft.sample(row.expand(20_000, 6), temperature=0.7, top_k=4, top_p=0.95, generator=generator(9))
    assert agrees(np.bincount(found.numpy(), minlength=6), kept.softmax(-1).double().numpy())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_filter_logits_beside_what_is_written_in_torch(dtype: Any) -> None:
    x = (3 * torch.randn(4, 300, generator=generator(10))).to(dtype)
    threshold = torch.topk(x, 40).values[:, -1:]
    wanted = x.masked_fill(x < threshold, -torch.inf)
    assert torch.equal(ft.filter_logits(x, top_k=40, ties="keep"), wanted)
    ranked, ids = torch.sort(x.double(), descending=True, stable=True)
    masses = ranked.softmax(-1)
    removed = (masses.cumsum(-1) - masses) >= 0.9
    wanted = x.masked_fill(removed.scatter(1, ids, removed), -torch.inf)
    found = ft.filter_logits(x, top_p=0.9)
    assert found.dtype is dtype
    assert torch.equal(found, wanted)
    before = x.clone()
    assert ft.filter_logits(x, top_p=0.9, out=x) is x
    assert torch.equal(x, ft.filter_logits(before, top_p=0.9))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_compile(dtype: Any) -> None:
    """One graph, without a break, with the tokens of eager calls."""

    def model(x: Any, temperature: float) -> Any:
        kept = ft.filter_logits(2 * x, temperature=temperature, top_k=20)
        one = ft.sample(2 * x, temperature=temperature, top_p=0.9, min_p=0.01)
        return kept, one, ft.sample(x, num_samples=3), ft.multinomial(torch.softmax(kept, -1), 2), 1 + one

    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = torch.randn(3, 50, generator=generator(4)).to(dtype)
    for temperature in (0.5, 0.8, 1.0):
        torch.manual_seed(3)
        found = compiled(x, temperature)
        torch.manual_seed(3)
        for mine, wanted in zip(found, model(x, temperature), strict=True):
            assert torch.equal(mine, wanted)


def test_what_compiled_calls_refuse() -> None:
    x, g = torch.randn(3, 50), generator(0)
    calls = {
        "typical_p is not supported under torch.compile": lambda: ft.sample(x, typical_p=0.5),
        "context is not supported under torch.compile": lambda: ft.filter_logits(x, context=[1], top_k=3),
        "generator is not supported under torch.compile": lambda: ft.multinomial(x.exp(), 1, generator=g),
    }
    for message, call in calls.items():
        with pytest.raises(Exception, match=message):
            torch.compile(call, fullgraph=True, backend="aot_eager")()


def test_bad_input() -> None:
    ones = torch.ones(2, 3)
    for x in (ones[None], torch.tensor(1.0)):
        with pytest.raises(RuntimeError):
            torch.multinomial(x, 1)
        with pytest.raises(ValueError, match=r"input must have 1 or 2 axes, got shape"):
            ft.multinomial(x, 1)
    for n, replacement in ((0, True), (-1, False), (4, False)):
        with pytest.raises(RuntimeError):
            torch.multinomial(ones, n, replacement)
        with pytest.raises(ValueError, match=f"num_samples must be .* got {n}"):
            ft.multinomial(ones, n, replacement)
    for value, said in ((-1.0, "-1.0"), (torch.nan, "nan"), (torch.inf, "inf")):
        weights = torch.tensor([[1.0, 2.0], [3.0, value]])
        with pytest.raises(RuntimeError):
            torch.multinomial(weights, 1)
        with pytest.raises(ValueError, match=rf"input\[1\] contains {said}; weights must be finite, >= 0"):
            ft.multinomial(weights, 1)
        with pytest.raises(ValueError, match=f"input contains {said}"):
            ft.multinomial(weights[1], 5, True)
    with pytest.raises(ValueError, match="input has no weight above 0"):
        ft.multinomial(torch.zeros(0), 1, True)
    for dtype in (torch.int32, torch.float32):
        with pytest.raises(ValueError, match="out must be a tensor torch.int64"):
            ft.multinomial(ones, 1, out=torch.empty(2, 1, dtype=dtype))
    calls = {
        "input": [lambda x, **given: ft.multinomial(x, 1, **given)],
        "logits": [ft.sample, lambda x, **given: ft.filter_logits(x)],
    }
    for name, call in ((name, call) for name, listed in calls.items() for call in listed):
        with pytest.raises(TypeError, match=f"{name} must not require a gradient; pass {name}.detach"):
            call(torch.ones(3, requires_grad=True))
        with pytest.raises(TypeError, match=f"{name} must hold float32, float16, bfloat16 or float64, got torch.int64"):
            call(torch.tensor([1, 2]))
        with pytest.raises(TypeError, match=f"{name} must be a torch tensor, got ndarray"):
            call(np.zeros(3))
        with pytest.raises(ValueError, match=f"{name} must be in CPU memory, got a tensor on meta"):
            call(torch.zeros(3, device="meta"))
    for call in (calls["input"][0], ft.sample):
        with pytest.raises(TypeError, match=r"generator must be a torch.Generator or None, got int"):
            call(ones, generator=7)
    with pytest.raises(ValueError, match=r"logits\[1\] contains NaN"):
        ft.sample(torch.tensor([[1.0], [torch.nan]]))
    with pytest.raises(ValueError, match="top_p must be"):
        ft.sample(ones, top_p=95)


def test_familiar_names() -> None:
    with pytest.raises(
        TypeError, match=r"^sample\(\) got an unexpected keyword argument 'seed'; seed is called generator"
    ):
        ft.sample(torch.zeros(3), seed=7)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^sample\(\) got .* 'seed'; seed is called generator here"):
        ft.sample(torch.zeros(3), context=[1], seed=7)  # type: ignore[call-arg]
