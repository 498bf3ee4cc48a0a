"""fastlogits.torch beside torch itself: types, shapes, special values, out=, torch.compile, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")

import fastlogits as fl  # noqa: E402
import fastlogits.torch as ft  # noqa: E402

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
#: Of a result rounded to the type: two ulp of torch's own, at values around 10.
TOLERANCE = {torch.float32: 4e-6, torch.float16: 2e-2, torch.bfloat16: 2e-1, torch.float64: 1e-13}


def check(found: Any, wanted: Any) -> None:
    assert type(found) is torch.Tensor
    assert found.dtype is wanted.dtype
    assert found.shape == wanted.shape
    tolerance = TOLERANCE.get(wanted.dtype, 0)
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


def tensors(dtype: Any) -> list[Any]:
    x = 4 * torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(2))
    return [each.to(dtype) for each in (x, x[0, 0], x.transpose(0, 2), x[:, ::2], x[:1, :1, :1])]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_dense(name: str, dtype: Any) -> None:
    for x in tensors(dtype):
        for dim in range(-x.ndim, x.ndim):
            check(getattr(ft, name)(x, dim), getattr(torch, name)(x, dim))
            check(getattr(ft, name)(x, dim=dim, dtype=torch.float64), getattr(torch, name)(x.double(), dim))
            out = torch.empty_like(x)
            assert getattr(ft, name)(x, dim, out=out) is out
            check(out, getattr(torch, name)(x, dim))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_logsumexp(dtype: Any) -> None:
    for x in tensors(dtype):
        for dim in [*range(-x.ndim, x.ndim), tuple(range(x.ndim)), (0, -1)[: x.ndim]]:
            for keepdim in (False, True):
                check(ft.logsumexp(x, dim, keepdim), torch.logsumexp(x, dim, keepdim))
    x = torch.zeros(2, 3, dtype=dtype)
    out = torch.empty(2, dtype=dtype)
    assert ft.logsumexp(x, 1, out=out) is out
    check(out, torch.logsumexp(x, 1))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_argmax_and_topk(dtype: Any) -> None:
    for x in tensors(dtype):
        check(ft.argmax(x), torch.argmax(x))
        check(ft.argmax(x, keepdim=True), torch.argmax(x, keepdim=True))
        for dim in range(-x.ndim, x.ndim):
            check(ft.argmax(x, dim, keepdim=True), torch.argmax(x, dim, keepdim=True))
            for k in {0, 1, x.shape[dim]}:
                for largest in (True, False):
                    found, wanted = ft.topk(x, k, dim, largest), torch.topk(x, k, dim, largest)
                    assert type(found) is type(wanted)
                    check(found.values, wanted.values)
                    check(torch.gather(x, dim, found.indices), wanted.values)
    out = torch.empty(2, dtype=dtype), torch.empty(2, dtype=torch.int64)
    found = ft.topk(torch.tensor([1, 3, 2], dtype=dtype), 2, out=out)
    assert found.values is out[0]
    assert out[1].tolist() == [1, 2]


def test_special_values() -> None:
    inf, nan = torch.inf, torch.nan
    for row in ([0, -inf], [inf, 0], [nan, 0], [-inf, -inf], [0, nan, inf]):
        x = torch.tensor(row)
        check(ft.softmax(x, 0), torch.softmax(x, 0))
        check(ft.logsumexp(x, 0), torch.logsumexp(x, 0))
        for largest in (True, False):
            check(ft.topk(x, len(row), largest=largest).values, torch.topk(x, len(row), largest=largest).values)
    check(ft.softmax(torch.tensor(3.0), 0), torch.tensor(1.0))
    check(ft.logsumexp(torch.tensor(3.0), 0), torch.tensor(3.0))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_selective_log_softmax(dtype: Any) -> None:
    x = torch.randn(2, 3, 11, generator=torch.Generator().manual_seed(3)).to(dtype)
    whole = torch.log_softmax(x.double(), -1)
    one, many = torch.randint(0, 11, (2, 3)), torch.randint(0, 11, (2, 3, 4))
    check(ft.selective_log_softmax(x, one), torch.gather(whole, -1, one[..., None])[..., 0].to(dtype))
    check(ft.selective_log_softmax(x, many), torch.gather(whole, -1, many).to(dtype))


def test_no_copies() -> None:
    x = torch.randn(4, 100)
    assert torch.equal(ft.softmax(x, -1), torch.from_numpy(fl.softmax(x.numpy())))
    before = x.clone()
    ft.log_softmax(x, 0)
    ft.topk(x, 3, largest=False)
    assert torch.equal(x, before)
    assert ft.softmax(x, -1, out=x) is x
    assert torch.equal(x, ft.softmax(before, -1))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_compile(dtype: Any) -> None:
    """One graph, without a break, with the results of eager calls."""

    def model(x: Any) -> Any:
        best = ft.argmax(x, -1)
        return (
            ft.softmax(2 * x, -1), ft.log_softmax(x, 0), ft.logsumexp(x, (0, 1), keepdim=True), ft.logsumexp(x, -1),
            ft.topk(x, 2).values, ft.topk(x, 2, largest=False).indices, best, ft.selective_log_softmax(x, best),
        )  # fmt: skip

    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = torch.randn(3, 50, generator=torch.Generator().manual_seed(4)).to(dtype)
    for found, wanted in zip(compiled(x), model(x), strict=True):
        assert torch.equal(found, wanted)


def test_bad_input() -> None:
    x = torch.randn(2, 3)
    for name in ("softmax", "log_softmax", "logsumexp", "argmax", "topk"):
        function = getattr(ft, name)
        with pytest.raises(TypeError, match="input must not require a gradient; pass input.detach"):
            function(torch.randn(3, requires_grad=True), 0)
        with pytest.raises(TypeError, match="input must hold float32, float16, bfloat16 or float64, got torch.int64"):
            function(torch.tensor([1, 2]), 0)
        with pytest.raises(TypeError, match="input must be a torch tensor, got ndarray"):
            function(np.zeros(3), 0)
        with pytest.raises(ValueError, match="input must be in CPU memory, got a tensor on meta"):
            function(torch.zeros(3, device="meta"), 0)
    for name in ("softmax", "log_softmax", "logsumexp", "argmax"):
        with pytest.raises((ValueError, IndexError), match="must be in \\[-2, 2\\), got 2"):
            getattr(ft, name)(x, 2)
    with pytest.raises(ValueError, match="k must be in \\[0, 3\\], got 4"):
        ft.topk(x, 4)
    with pytest.raises(ValueError, match="shape"):
        ft.softmax(x, 0, out=torch.empty(3))
    with pytest.raises(TypeError, match="out must have dtype torch.float64, got torch.float32"):
        ft.softmax(x, 0, dtype=torch.float64, out=torch.empty(2, 3))
    with pytest.raises(ValueError, match="out must be a tensor torch.float32"):
        ft.logsumexp(x, 0, out=torch.empty(2))
    with pytest.raises(TypeError, match="index must be an integer tensor, got torch.float32"):
        ft.selective_log_softmax(x, torch.zeros(2))
    with pytest.raises(ValueError, match="3"):
        ft.selective_log_softmax(x, torch.tensor([0, 3]))
