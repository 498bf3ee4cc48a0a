"""fastlogits.torch at the edges: no axes, nothing in them, negated views, layouts, older torch, axes and counts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")

import fastlogits as fl  # noqa: E402
import fastlogits._core as _core  # noqa: E402
import fastlogits.torch as ft  # noqa: E402
from fastlogits.torch import _tensors  # noqa: E402

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
X = 3 * torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
IDS = torch.tensor([0, 2])
#: Every function on rows [2, 3].
CALLS: dict[str, Callable[[Any], Any]] = {
    "softmax": lambda x: ft.softmax(x, 0),
    "log_softmax": lambda x: ft.log_softmax(x, -1),
    "logsumexp": lambda x: ft.logsumexp(x, (0, 1)),
    "argmax": lambda x: ft.argmax(x, 1),
    "topk": lambda x: ft.topk(x, 2),
    "smallest": lambda x: ft.topk(x, 2, largest=False),
    "selective_log_softmax": lambda x: ft.selective_log_softmax(x, IDS),
    "filter_logits": lambda x: ft.filter_logits(x, top_k=2),
    "sample": lambda x: ft.sample(x, generator=torch.Generator().manual_seed(2)),
    "multinomial": lambda x: ft.multinomial(x, 1, generator=torch.Generator().manual_seed(2)),
}


def same(found: Any, wanted: Any) -> bool:
    found, wanted = ((each,) if isinstance(each, torch.Tensor) else each for each in (found, wanted))
    return all(
        a.dtype is b.dtype and a.shape == b.shape and torch.equal(a, b) for a, b in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_no_axes(dtype: Any) -> None:
    x = torch.tensor(3.0, dtype=dtype)
    for dim in (0, -1):
        assert same(ft.softmax(x, dim), torch.softmax(x, dim))
        assert same(ft.log_softmax(x, dim), torch.log_softmax(x, dim))
        assert same(ft.topk(x, 1, dim), torch.topk(x, 1, dim))
        assert same(ft.topk(x, 1, dim, largest=False), torch.topk(x, 1, dim, largest=False))
        for keepdim in (False, True):
            assert same(ft.logsumexp(x, dim, keepdim), torch.logsumexp(x, dim, keepdim))
            assert same(ft.argmax(x, dim, keepdim), torch.argmax(x, dim, keepdim))
    assert same(ft.argmax(x), torch.argmax(x))
    out = torch.empty((), dtype=dtype)
    assert ft.softmax(x, 0, out=out) is out
    assert out == 1
    assert ft.topk(x, 1).values.data_ptr() != x.data_ptr()
    for call in (ft.softmax, ft.argmax, ft.logsumexp, lambda x, dim: ft.topk(x, 1, dim)):
        with pytest.raises(IndexError, match=r"dim must be in \[-1, 1\), got 1"):
            call(x, 1)
    with pytest.raises(ValueError, match=r"k must be in \[0, 1\], got 2"):
        ft.topk(x, 2)
    for call in (
        lambda: ft.selective_log_softmax(x, torch.tensor(0)),
        lambda: ft.sample(x),
        lambda: ft.filter_logits(x),
    ):
        with pytest.raises(ValueError, match="logits must have at least one axis, got a scalar"):
            call()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nothing_in_an_axis(dtype: Any) -> None:
    for x in (torch.empty(0, 3, dtype=dtype), torch.empty(2, 0, dtype=dtype)):
        for dim in (0, 1):
            assert same(ft.softmax(x, dim), torch.softmax(x, dim))
            assert same(ft.log_softmax(x, dim), torch.log_softmax(x, dim))
            assert same(ft.logsumexp(x, dim), torch.logsumexp(x, dim))
            for k in {0, x.shape[dim]}:
                assert same(ft.topk(x, k, dim), torch.topk(x, k, dim))
            if x.shape[dim]:
                assert same(ft.argmax(x, dim), torch.argmax(x, dim))
                continue
            with pytest.raises(ValueError, match="argmax of an empty axis, got shape"):
                ft.argmax(x, dim)
            with pytest.raises(ValueError, match=r"k must be in \[0, 0\], got 1"):
                ft.topk(x, 1, dim)
        with pytest.raises(ValueError, match="argmax of an empty axis"):
            ft.argmax(x)
    rows, none = torch.empty(0, 3, dtype=dtype), torch.empty(2, 0, dtype=dtype)
    assert same(ft.sample(rows), torch.empty(0, dtype=torch.int64))
    assert same(ft.sample(rows, num_samples=2), torch.empty(0, 2, dtype=torch.int64))
    assert same(ft.multinomial(rows, 2), torch.multinomial(rows, 2))
    assert same(ft.filter_logits(rows, top_k=1), rows)
    assert same(ft.selective_log_softmax(rows, torch.empty(0, dtype=torch.int64)), rows[:, 0])
    assert same(ft.selective_log_softmax(rows, torch.empty(0, 2, dtype=torch.int64)), rows[:, :2])
    assert same(ft.selective_log_softmax(X.to(dtype), torch.empty(2, 0, dtype=torch.int64)), none)
    for call in (ft.sample, ft.filter_logits):
        with pytest.raises(ValueError, match="logits must have at least one token per row"):
            call(none)
    with pytest.raises(ValueError, match=r"index\[0\]: 0 must be in \[0, 0\)"):
        ft.selective_log_softmax(none, torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="num_samples must be in"):
        ft.multinomial(none, 1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_negated_views(name: str, dtype: Any) -> None:
    x = X.exp().to(dtype)
    view = torch._neg_view(-x)
    assert view.is_neg()
    assert same(CALLS[name](view), CALLS[name](x))
    imaginary = torch.complex(X.exp(), -X.exp()).conj().imag
    assert imaginary.is_neg()
    assert same(CALLS[name](imaginary), CALLS[name](imaginary.clone()))


def test_negated_results() -> None:
    """What is written through such a view would lie in a copy."""
    view = torch._neg_view(torch.zeros(2, 3))
    for call in (
        lambda: ft.softmax(X, -1, out=view),
        lambda: ft.filter_logits(X, out=view),
        lambda: fl.softmax(X, out=view),
    ):
        with pytest.raises(ValueError, match="out must not be a view that negates"):
            call()
    out = torch._neg_view(torch.zeros(2))
    assert same(ft.logsumexp(X, -1, out=out).clone(), ft.logsumexp(X, -1))


@pytest.mark.parametrize("name", CALLS)
def test_what_has_no_rows(name: str) -> None:
    named = "logits" if name in ("selective_log_softmax", "filter_logits", "sample") else "input"
    for layout in (X.to_sparse(), X.to_mkldnn()):
        with pytest.raises(TypeError, match=rf"{named} must be a dense tensor, got layout .*; pass {named}.to_dense"):
            CALLS[name](layout)
    with pytest.raises(TypeError, match=f"{named} must hold float32, float16, .*, got torch.complex64"):
        CALLS[name](X.to(torch.complex64).conj())
    with pytest.raises(TypeError, match=f"{named}: dtype torch.float32 is not supported, or has no memory to read"):
        torch.func.vmap(CALLS[name])(X[None])


def test_layouts_beside() -> None:
    with pytest.raises(TypeError, match="out must be a dense tensor"):
        ft.softmax(X, 0, out=X.to_sparse())
    with pytest.raises(TypeError, match="index must be a dense tensor"):
        ft.selective_log_softmax(X, IDS.to_sparse())
    with pytest.raises(ValueError, match="index must be in CPU memory, got a tensor on meta"):
        ft.selective_log_softmax(X, IDS.to("meta"))


def test_indices() -> None:
    for kind in (torch.int32, torch.int16, torch.uint8):
        assert same(ft.selective_log_softmax(X, IDS.to(kind)), ft.selective_log_softmax(X, IDS))
    strided = torch.tensor([[0, 9, 2], [1, 9, 0]])[:, ::2]
    assert same(ft.selective_log_softmax(X, strided), ft.selective_log_softmax(X, strided.clone()))
    for index in (torch.zeros(2, dtype=torch.complex64), torch.zeros(2, dtype=torch.bool), [0, 1]):
        with pytest.raises(TypeError, match="index must be an integer tensor, got"):
            ft.selective_log_softmax(X, index)
    for shape in ((0,), (3,), (2, 2, 2), ()):
        with pytest.raises(ValueError, match=r"index must have shape \[2\] or \[2, 'K'\], got"):
            ft.selective_log_softmax(X, torch.zeros(shape, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"index\[1, 0\]: -1 must be in \[0, 3\)"):
        ft.selective_log_softmax(X, torch.tensor([[0], [-1]]))
    with pytest.raises(ValueError, match=r"logits\[1\] contains NaN"):
        ft.selective_log_softmax(torch.tensor([[1.0], [torch.nan]]), torch.tensor([0, 0]))


def test_axes_and_counts() -> None:
    for dims in ((0, 0), (0, -2), (1, 0, -1)):
        with pytest.raises(RuntimeError, match="appears multiple times in the list of dims"):
            torch.logsumexp(X, dims)
        with pytest.raises(ValueError, match="appears multiple times in the list of dims"):
            ft.logsumexp(X, dims)
    calls: dict[str, Callable[[Any], Any]] = {
        "dim": lambda i: ft.softmax(X, i),
        "k": lambda i: ft.topk(X, i),
        "num_samples": lambda i: ft.multinomial(X.exp(), i),
    }
    for name, call in calls.items():
        for wrong in (True, 1.0, "1", None):
            with pytest.raises(TypeError, match=f"{name} must be an integer, got {wrong!r}"):
                call(wrong)
        call(np.int64(1))
    with pytest.raises(TypeError, match="replacement must be True or False, got 1"):
        ft.multinomial(X.exp(), 1, 1)
    with pytest.raises(TypeError, match=r"dtype must be torch.float32, float16, bfloat16 or float64, got torch.int64"):
        ft.softmax(X, 0, dtype=torch.int64)
    with pytest.raises(TypeError, match="out must be a torch tensor, got ndarray"):
        ft.softmax(X, 0, out=np.empty((2, 3), np.float32))


def test_infinity_is_as_in_scipy() -> None:
    x = torch.tensor([torch.inf, 0.0])
    assert torch.log_softmax(x, 0).isnan().all()
    found = ft.log_softmax(x, 0)
    assert found.isnan().tolist() == [True, False]
    assert found[1] == -torch.inf


def without_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under a torch whose tensors have no exchange table."""
    assert _core.tensor_array(X) is not None
    monkeypatch.setattr(torch.Tensor, "__dlpack_c_exchange_api__", None)
    assert _core.tensor_array(X) is None
    assert _core.new_tensor(torch.Tensor, (3,), 0) is None


def rows_of(dtype: Any) -> list[Any]:
    """Tensors [2, V], [1, V] and [V], contiguous or not; a single row has ways of its own."""
    x = X.repeat(1, 20).exp().to(dtype)
    return [x, x[1:], x[1], x[:1, ::2], x.t().contiguous().t()]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_without_the_exchange_table(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call gives what it gave with it."""
    calls: dict[str, Callable[[Any], Any]] = {
        "last": lambda x: (
            ft.softmax(x, -1),
            ft.log_softmax(x, -1),
            ft.logsumexp(x, -1),
            ft.argmax(x, -1),
            ft.topk(x, 3)[0],
        ),
        "first": lambda x: (ft.softmax(x, 0), ft.logsumexp(x, 0), ft.argmax(x, 0), ft.topk(x, 1, 0)[1], ft.argmax(x)),
        "selective": lambda x: (
            ft.selective_log_softmax(x, torch.arange(x.numel() // x.shape[-1]).reshape(x.shape[:-1])),
        ),
        "sample": lambda x: (ft.sample(x, temperature=0.5, top_k=9, generator=torch.Generator().manual_seed(2)),),
        "filter": lambda x: (ft.filter_logits(x, temperature=0.5, top_k=9),),
        "multinomial": lambda x: (ft.multinomial(x, 1, generator=torch.Generator().manual_seed(2)),),
    }
    with_it = [[call(x) for call in calls.values()] for x in rows_of(dtype)]
    without_the_table(monkeypatch)
    for x, wanted in zip(rows_of(dtype), with_it, strict=True):
        for call, each in zip(calls.values(), wanted, strict=True):
            assert same(call(x), each)
            assert [part.stride() for part in call(x)] == [part.stride() for part in each]


def test_words_of_a_generator() -> None:
    """One for each call; none for a call that is refused before it starts."""
    for x in (X, X[0], X[:1]):
        for call in (lambda g, x=x: ft.sample(x, generator=g), lambda g, x=x: ft.multinomial(x.exp(), 1, generator=g)):
            g, twin = torch.Generator().manual_seed(4), torch.Generator().manual_seed(4)
            call(g)
            assert not torch.equal(g.get_state(), twin.get_state())
            torch.empty((), dtype=torch.int64).random_(-(2**63), None, generator=twin)
            assert torch.equal(g.get_state(), twin.get_state())
    g = torch.Generator().manual_seed(4)
    before = g.get_state()
    grad = torch.zeros(3, requires_grad=True)
    for wrong in (X.to_sparse(), X.to("meta"), X.long(), grad, torch.empty(2, 0), X.numpy()):
        with pytest.raises((TypeError, ValueError)):
            ft.sample(wrong, generator=g)
    for steering in ({"top_p": 95}, {"context": [[1]]}, {"keys": [1, 2, 3]}, {"num_samples": 0}):
        with pytest.raises(ValueError, match="|".join(steering).replace("num_samples", "n must")):
            ft.sample(X, generator=g, **steering)
    assert torch.equal(g.get_state(), before)
    with pytest.raises(ValueError, match=r"logits\[0\] contains NaN"):
        ft.sample(torch.tensor([[torch.nan, 0.0]]), generator=g)
    torch.empty((), dtype=torch.int64).random_(-(2**63), None, generator=(twin := torch.Generator().manual_seed(4)))
    assert torch.equal(g.get_state(), twin.get_state())


def test_threads() -> None:
    """FASTLOGITS_THREADS shares the rows of tensors, too."""
    code = """
import torch, fastlogits.torch as ft
x = torch.randn(4, 5000, generator=torch.Generator().manual_seed(1))
ids = torch.tensor([1, 2, 3, 4])
print([float(each.double().sum()) for each in (ft.softmax(x, -1).square(), ft.logsumexp(x, -1), ft.argmax(x, -1),
      *ft.topk(x, 3), ft.selective_log_softmax(x, ids))])
"""
    found = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "FASTLOGITS_THREADS": n}, capture_output=True, check=True
        ).stdout
        for n in ("1", "2")
    ]
    assert found[0] == found[1] != b""


def test_new_tensors() -> None:
    """Their memory is theirs: aligned, kept as long as any view of it, given back."""
    codes = {**_tensors.CODES, torch.int64: -1}
    for shape in ((), (3,), (0, 4), (2, 1, 5)):
        for dtype, code in codes.items():
            tensor, array = _core.new_tensor(torch.Tensor, shape, code)
            like = torch.empty(shape, dtype=dtype)
            assert (tensor.shape, tensor.stride(), tensor.dtype) == (like.shape, like.stride(), like.dtype)
            assert array.shape == shape
            assert tensor.data_ptr() % 64 == 0
    tensor, array = _core.new_tensor(torch.Tensor, (3,), 0)
    array[:] = [1, 2, 3]
    view = tensor[1:]
    del tensor, array
    assert view.tolist() == [2, 3]
    before = memory_in_use()
    for _ in range(100):
        _core.new_tensor(torch.Tensor, (1 << 20,), 0)[1][:] = 1
    assert memory_in_use() - before < 50 << 20
    for shape in ((1 << 60,), (1 << 62, 4), (1 << 31, 1 << 31, 1 << 31), (1 << 50,)):
        with pytest.raises(MemoryError, match="no memory for a tensor of shape"):
            _core.new_tensor(torch.Tensor, shape, -1)


def memory_in_use() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_arrays_over_tensors() -> None:
    """The array keeps the tensor."""
    array = _core.tensor_array(torch.full((3, 4), 2.0).t())
    assert array is not None
    assert array.strides == (4, 16)
    assert (array == 2).all()
    assert array.flags.writeable
    bits = _core.tensor_array(torch.ones(2, dtype=torch.bfloat16))
    assert bits is not None
    assert bits.dtype == _core.BFLOAT16_BITS
    assert _core.tensor_array(torch.ones(2, dtype=torch.int32)) is None


def test_gradients_are_off() -> None:
    """Under no_grad and inference_mode tensors that require a gradient are taken; results require none."""
    plain = torch.randn(3, 50)
    x = plain.clone().requires_grad_()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            for call in (
                lambda x: ft.softmax(x, -1), lambda x: ft.log_softmax(x, -1), lambda x: ft.logsumexp(x, -1),
                lambda x: ft.argmax(x, -1), lambda x: ft.topk(x, 3).values, lambda x: ft.filter_logits(x, top_k=3),
                lambda x: ft.filter_logits(x[0], top_k=3), lambda x: ft.sample(x, generator=torch.manual_seed(1)),
                lambda x: ft.sample(x[0], generator=torch.manual_seed(1)),
                lambda x: ft.selective_log_softmax(x, torch.tensor([1, 2, 3])),
                lambda x: ft.multinomial(x.exp(), 1, generator=torch.manual_seed(1)),
            ):  # fmt: skip
                found = call(x)
                assert torch.equal(found, call(plain))
                assert not found.requires_grad
