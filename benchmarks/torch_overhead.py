"""What fastlogits.torch costs beside its kernels: `taskset -c 1 python benchmarks/torch_overhead.py`.

One row of 1,000 logits; microseconds of a call, and of what is left of it without the bare kernel on the same row,
which was prepared before and writes where it wrote last time. Medians of many runs that take turns; on a machine that
others use, --best N has the N-th part of them that is fastest, so that what the others take is left out.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import fastlogits as fl
import fastlogits._core as _core
import fastlogits.torch as ft

V, CALLS = 1000, 50
STEERING: dict[str, Any] = {"temperature": 0.8, "top_k": 50, "top_p": 0.95}
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


def bare_array(which: int, x: Any, **results: Any) -> Callable[[], Any]:
    """An array function's kernel."""
    task = _core.ArrayTask(which, x, 1, np.ones(1), **results)
    return lambda: task.run(0, 1)


def bare_plan(sampler: fl.Sampler, x: Any, **results: Any) -> Callable[[], Any]:
    """A pipeline's."""
    task = _core.PlanTask(sampler, x, seed=7, **results)
    return lambda: task.run(0, 1)


def bare_draw(sampler: fl.Sampler, x: Any) -> Callable[[], Any]:
    """A prepared Sampler's shortest call, with another seed each time, as draws have: which token it is takes time."""
    row, seeds = x[0], itertools.count()
    return lambda: sampler.sample(row, rng=next(seeds))


def pairs(dtype: Any) -> dict[str, tuple[Callable[[], Any], Callable[[], Any], Callable[[], Any] | None]]:
    """Our call, the bare kernel, and torch's call where it has one, by name."""
    x = (3 * torch.randn(1, V, generator=torch.Generator().manual_seed(1))).to(dtype)
    p, index = x.softmax(-1), torch.tensor([3])
    wide = p if dtype is torch.float64 else p.float()
    array, logs = _core.tensor_array(x), wide.log()
    out, single = (_core.tensor_array(torch.empty(1, n, dtype=dtype)) for n in (V, 1))
    values, ids, one = (
        _core.tensor_array(torch.empty(1, 50, dtype=dtype)),
        np.empty(50, np.int64),
        np.empty(1, np.int64),
    )
    target = np.array([3])
    scores = _core.ScoresTask(array, np.ones(1), target, logprobs=np.empty(1), status=np.zeros(1, np.int32))
    drawn = bare_draw(fl.Sampler(), _core.tensor_array(logs))

    def multinomial() -> None:
        """The logarithms are part of the work."""
        wide.log()
        drawn()

    def selected() -> Any:
        return torch.log_softmax(x, -1).gather(-1, index[:, None])

    return {
        "softmax": (lambda: ft.softmax(x, -1), bare_array(_core.SOFTMAX, array, out=out), lambda: x.softmax(-1)),
        "log_softmax": (
            lambda: ft.log_softmax(x, -1), bare_array(_core.LOG_SOFTMAX, array, out=out), lambda: x.log_softmax(-1)
        ),
        "logsumexp": (
            lambda: ft.logsumexp(x, -1), bare_array(_core.LOGSUMEXP, array, out=single), lambda: x.logsumexp(-1)
        ),
        "argmax": (lambda: ft.argmax(x, -1), bare_array(_core.ARGMAX, array, ids=one), lambda: x.argmax(-1)),
        "topk, 50": (
            lambda: ft.topk(x, 50), bare_array(_core.TOP_K, array, values=values, ids=ids, top=50), lambda: x.topk(50)
        ),
        "selective_log_softmax": (lambda: ft.selective_log_softmax(x, index), lambda: scores.run(0, 1), selected),
        "filter_logits": (
            lambda: ft.filter_logits(x, **STEERING), bare_plan(fl.Sampler(**STEERING), array, logits=out), None
        ),
        "sample": (lambda: ft.sample(x, **STEERING), bare_draw(fl.Sampler(**STEERING), array), None),
        "multinomial, 1": (lambda: ft.multinomial(p, 1), multinomial, lambda: torch.multinomial(p, 1)),
        "(a word of torch's generator)": (lambda: WORD.random_(-(2**63), None), lambda: None, None),
    }  # fmt: skip


WORD = torch.empty((), dtype=torch.int64)


def medians(calls: list[Callable[[], Any]], rounds: int, best: int) -> list[float]:
    """Microseconds of each, in turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, seen in zip(calls, times, strict=True):
            begin = time.perf_counter_ns()
            for _ in range(CALLS):
                call()
            seen.append((time.perf_counter_ns() - begin) / CALLS / 1e3)
    return [statistics.median(sorted(seen)[: max(1, rounds // best)]) for seen in times]


def main() -> None:
    """Prints one table per type."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", nargs="+", choices=TYPES, default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--best", type=int, default=1, help="medians of this part of the runs, the fastest")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.dtype:
        print("", name, "without the kernel", "torch's call", "", sep=" | ")
        print("| --- | --- | --- | --- |")
        for what, (ours, bare, theirs) in pairs(TYPES[name]).items():
            found = medians([ours, bare, theirs or bare], given.rounds, given.best)
            own = f"{found[2]:.1f}" if theirs else ""
            print("", what, f"{found[0]:.1f}", f"{found[0] - found[1]:.1f}", own, "", sep=" | ")


if __name__ == "__main__":
    main()
