"""The operators of fastlogits.torch: what the compiler is told of a result is what the function gives."""

from __future__ import annotations

import itertools
import shutil
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")

import fastlogits.torch as ft  # noqa: E402
from fastlogits.torch import _draws, _kernels, _tensors  # noqa: E402

# What the first use of inductor imports.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
X = 3 * torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))
ROWS = [X, X.transpose(0, 2), X[:, ::2, 1:], X[0].t(), X[0, 0], X[:0], X[:, :, :1].expand(4, 5, 6), X.new_tensor(2.0)]


def calls(dtype: Any) -> list[tuple[Any, tuple[Any, ...]]]:
    """Each operator with arguments of all kinds."""
    found: list[tuple[Any, tuple[Any, ...]]] = []
    for x in (each.to(dtype) if each is not ROWS[6] else each[:, :, :1].to(dtype).expand(4, 5, 6) for each in ROWS):
        axes = range(x.ndim or 1)
        for dim in [*axes, -1]:
            found += [
                (op, (x, dim, to)) for op in (_kernels.softmax_op, _kernels.log_softmax_op) for to in (None, torch.half)
            ]
            found += [(_kernels.logsumexp_op, (x, [dim], keep)) for keep in (False, True)]
            if x.ndim and x.shape[dim]:
                found += [(_kernels.argmax_op, (x, dim, keep)) for keep in (False, True)]
            ks = {0, min(1, x.shape[dim]), x.shape[dim]} if x.ndim else {1}
            found += [(_kernels.topk_op, (x, k, dim, largest)) for k in ks for largest in (True, False)]
        found += [(_kernels.logsumexp_op, (x, list(dims), True)) for dims in itertools.combinations(axes, 2)]
        if x.ndim:
            if x.numel():
                found += [(_kernels.argmax_op, (x, None, keep)) for keep in (False, True)]
            outer = x.shape[:-1]
            found += [
                (_kernels.selective_op, (x, torch.ones(shape, dtype=kind)))
                for shape in (outer, (*outer, 3), (*outer, 0)) for kind in (torch.int64, torch.int32)
            ]  # fmt: skip
            found.append((_draws._filter_logits_op, (x, 0.5, 2, 0.9, None)))
            found += [(_draws._sample_op, (x, n, True, 0.5, 2, None, None)) for n in (None, 1, 3)]
        if x.ndim in (1, 2):
            found += [(_draws._multinomial_op, (x.exp(), n, again)) for n in (1, 2) for again in (False, True)]
    return found


def layout(found: Any) -> list[Any]:
    """Shape, strides, type and device of one result or several."""
    parts = found if isinstance(found, tuple) else (found,)
    return [(tuple(each.shape), each.stride(), each.dtype, each.device, each.is_contiguous()) for each in parts]


def told(op: Any, arguments: Any) -> list[Any]:
    """What the compiler is told."""
    with torch._subclasses.FakeTensorMode() as mode:
        return layout(op(*(mode.from_tensor(each) if isinstance(each, torch.Tensor) else each for each in arguments)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_the_compiler_is_told(dtype: Any) -> None:
    for op, arguments in calls(dtype):
        assert told(op, arguments) == layout(op(*arguments)), (op, arguments)


def test_the_check_sees_strides() -> None:
    """Negative control: a result that is strided where a contiguous one was promised."""
    wrong = _tensors.operator(_strided, lambda x: x.new_empty(x.shape))
    assert told(wrong, (X,)) != layout(wrong(X))
    with pytest.raises(Exception, match=r"[Ss]tride"):
        torch.library.opcheck(wrong, (X,))


def _strided(x: torch.Tensor) -> torch.Tensor:
    """A transposed copy's view."""
    return x.transpose(0, -1).contiguous().transpose(0, -1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_opcheck(dtype: Any) -> None:
    random = (_draws._multinomial_op, _draws._sample_op)
    seen: set[Any] = set()
    for op, arguments in calls(dtype):
        kind = (op, arguments[0].ndim, arguments[0].is_contiguous(), arguments[0].numel() > 0, str(arguments[1:])[:40])
        if kind in seen:
            continue
        seen.add(kind)
        tests = ["test_schema", "test_autograd_registration", "test_faketensor"]
        if op not in random and len(seen) % 7 == 0:
            tests.append("test_aot_dispatch_dynamic")
        torch.library.opcheck(op, arguments, test_utils=tests)


def model(x: Any, index: Any) -> Any:
    """Every function, along axes that are not the last, too."""
    best, low = ft.topk(x, 2, dim=0), ft.topk(x, 2, dim=1, largest=False)
    return (
        best.values * 2, best.indices + 1, low.values * 2, low.indices + 1,
        ft.softmax(x, 0) * 2, ft.log_softmax(x, 1) * 2,
        ft.logsumexp(x, 1) * 2, ft.logsumexp(x, (0, 2), keepdim=True) * 2, ft.argmax(x, 0) + 1, ft.argmax(x) + 1,
        ft.selective_log_softmax(x, index) * 2, ft.filter_logits(x, top_k=2) * 2, ft.sample(x, top_k=2) + 1,
        ft.multinomial(torch.softmax(x[0], -1), 2) + 1,
    )  # fmt: skip


COMPILER = pytest.mark.skipif(not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="inductor compiles C++")


@pytest.mark.parametrize("backend", [pytest.param("inductor", marks=COMPILER), "aot_eager"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_compile(dtype: Any, backend: str) -> None:
    """One graph, without a break, with the results of eager calls; rows of any layout and number."""
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    index = torch.randint(0, 4, (4, 5))
    for x in (X.to(dtype), X.to(dtype).transpose(0, 2).contiguous().transpose(0, 2), X.repeat(1, 2, 1).to(dtype)):
        ids = index if x.shape[1] == 5 else index.repeat(1, 2)
        torch.manual_seed(3)
        wanted = model(x, ids)
        torch.manual_seed(3)
        for found, each in zip(compiled(x, ids), wanted, strict=True):
            assert torch.equal(found, each)
            assert layout(found) == layout(each)


@COMPILER
def test_compile_bare_functions() -> None:
    """The function itself compiled, and out=."""
    for dim, largest in itertools.product((0, 1, -1), (True, False)):
        torch.compiler.reset()
        found = torch.compile(ft.topk, fullgraph=True, backend="inductor")(X, 2, dim, largest)
        for mine, wanted in zip(found, ft.topk(X, 2, dim, largest), strict=True):
            assert torch.equal(mine, wanted)
            assert mine.stride() == wanted.stride()
    torch.compiler.reset()
    out = torch.empty(X.shape, dtype=torch.float64)
    torch.compile(lambda x, out: ft.softmax(x, 0, out=out), fullgraph=True, backend="aot_eager")(X, out)
    assert torch.equal(out, ft.softmax(X, 0, dtype=torch.float64))
