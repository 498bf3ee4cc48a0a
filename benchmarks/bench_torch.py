"""Draws and filters on torch tensors, beside what people write in torch: `pytest benchmarks/bench_torch.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")

import fastlogits.torch as ft  # noqa: E402


def filtered(x: Any) -> Any:
    """Temperature, top-k and top-p as they are written in torch."""
    x = x / 0.8
    x = x.masked_fill(x < torch.topk(x, 50).values[..., -1:], -torch.inf)
    ranked, ids = torch.sort(x, descending=True)
    masses = ranked.softmax(-1)
    removed = masses.cumsum(-1) - masses >= 0.95
    return x.masked_fill(removed.scatter(-1, ids, removed), -torch.inf)


STEERING: dict[str, Any] = {"temperature": 0.8, "top_k": 50, "top_p": 0.95}
CALLS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "multinomial, 1": (lambda x: ft.multinomial(x, 1), lambda x: torch.multinomial(x, 1)),
    "multinomial, 10 different": (lambda x: ft.multinomial(x, 10), lambda x: torch.multinomial(x, 10)),
    "multinomial, 100": (lambda x: ft.multinomial(x, 100, True), lambda x: torch.multinomial(x, 100, True)),
    "filter_logits": (lambda x: ft.filter_logits(x, **STEERING), filtered),
    "sample": (lambda x: ft.sample(x, **STEERING), lambda x: torch.multinomial(filtered(x).softmax(-1), 1)),
}


@pytest.mark.parametrize("vocab", [32_000, 128_256])
@pytest.mark.parametrize("who", ["fastlogits", "torch"])
@pytest.mark.parametrize("name", CALLS)
def test_torch(name: str, who: str, vocab: int, benchmark: BenchmarkFixture) -> None:
    torch.set_num_threads(1)
    x = 3 * torch.randn(1, vocab, generator=torch.Generator().manual_seed(0))
    x = x.softmax(-1) if name.startswith("multinomial") else x
    call = CALLS[name][who == "torch"]
    benchmark.group = f"{name}, V = {vocab:,}"
    benchmark.pedantic(call, (x,), rounds=30, warmup_rounds=2)  # type: ignore[no-untyped-call]
