"""llama-cpp-python per token, before and after: sampling, log-probs, whole completions.

python benchmarks/bench_llama_cpp.py [MODEL.gguf]      # a random model with 128,256 tokens, if none is given

Times in microseconds, medians of turns taken one after the other on one core; the model's own work is left out but in
the last lines. Adapter: a call through `fast_sampling` less the bare sampler on the same row.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import runpy
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits.llama_cpp import fast_logprobs, fast_sampling

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

CHAIN = {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "typical_p": 1.0, "temp": 0.8}  # the client's defaults
BEST = 5


def timed(calls: Mapping[str, Callable[[], object]], turns: int, repeats: int) -> dict[str, float]:
    """Median microseconds of each call; all take their turn before the next one."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            begin = time.perf_counter()
            for _ in range(repeats):
                call()
            found[name].append((time.perf_counter() - begin) / repeats * 1e6)
    return {name: median(times) for name, times in found.items()}


def sampling(llama: Any) -> dict[str, float]:
    """One token from the logits of the last output."""
    theirs = llama._init_sampler(**CHAIN)
    with fast_sampling(llama):
        ours = llama._init_sampler(**CHAIN)
    sampler = fl.Sampler(
        top_k=40, top_p=0.95, min_p=0.05, temperature=0.8, penalty_window=llama.last_n_tokens_size, preset="llama.cpp"
    )
    row = next(iter(ours._rows.values())) if ours.sample(llama._ctx, -1) >= 0 else None
    context = np.zeros(1, np.int64)
    return timed(
        {
            "client": lambda: theirs.sample(llama._ctx, -1),
            "fastlogits": lambda: ours.sample(llama._ctx, -1),
            "bare sampler": lambda: sampler.sample(row, context=context, rng=7),
        },
        15,
        20,
    )


def logprobs(llama: Any) -> dict[str, float]:
    """The table of the best tokens of one row, as completions make it."""
    module, row = llama_cpp.llama, np.asarray(llama._scores[llama.n_tokens - 1]).copy()

    def best() -> list[Any]:
        scope = vars(module)
        order, pair = scope.get("sorted", sorted), scope.get("zip", zip)
        found = llama_cpp.Llama.logits_to_logprobs(row).tolist()
        return list(order(pair(found, range(len(found))), reverse=True))[:BEST]

    def fast() -> list[Any]:
        from fastlogits import llama_cpp as adapter

        token = adapter._wanted.set(BEST)
        try:
            return best()
        finally:
            adapter._wanted.reset(token)

    theirs = timed({"client": best}, 5, 1)
    with fast_logprobs(llama):
        ours = timed({"fastlogits": fast}, 15, 20)
        table = fast()
    wanted = best()
    assert [i for _, i in table] == [i for _, i in wanted]
    assert np.allclose([v for v, _ in table], [v for v, _ in wanted], atol=1e-5)
    return theirs | ours


def completions(llama: Any, tokens: int, **options: Any) -> dict[str, float]:
    """Tokens per second of a completion."""

    def rate() -> float:
        llama.reset()
        begin = time.perf_counter()
        found = llama.create_completion("The sea", max_tokens=tokens, temperature=0.8, seed=3, **options)
        return float(found["usage"]["completion_tokens"]) / (time.perf_counter() - begin)

    rate()
    theirs = median(rate() for _ in range(3))
    with fast_sampling(llama), fast_logprobs(llama):
        return {"client": theirs, "fastlogits": median(rate() for _ in range(3))}


def main(path: str) -> None:
    """All figures of one model."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    client = functools.partial(llama_cpp.Llama, path, n_ctx=256, n_threads=1, n_threads_batch=1, verbose=False, seed=5)
    llama = client(logits_all=True)
    llama.eval(llama.tokenize(b"The sea"))
    print(f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}, V = {llama.n_vocab():,}, {fl.cpu.isa()}")
    drawn, table = sampling(llama), logprobs(llama)
    adapter = drawn["fastlogits"] - drawn["bare sampler"]
    print(f"sampling   client {drawn['client']:9.1f} us   fastlogits {drawn['fastlogits']:7.1f} us   "
          f"{drawn['client'] / drawn['fastlogits']:6.1f} times   adapter {adapter:.1f} us")  # fmt: skip
    print(f"log-probs  client {table['client']:9.1f} us   fastlogits {table['fastlogits']:7.1f} us   "
          f"{table['client'] / table['fastlogits']:6.1f} times")  # fmt: skip
    plain = completions(client(), 64)
    told = completions(llama, 16, logprobs=BEST)
    for name, rates in {"completion": plain, f"with logprobs={BEST}": told}.items():
        print(f"{name}: client {rates['client']:.1f} tokens/s, fastlogits {rates['fastlogits']:.1f} tokens/s")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            model = str(Path(folder) / "random.gguf")
            runpy.run_path(str(Path(__file__).resolve().parents[1] / "examples" / "random_gguf.py"))["write"](model)
            main(model)
