"""Scores of the tokens of a text: as jobs of the suite, and on a matrix from memory, with its bars, as a script.

    python benchmarks/bench_scoring.py [--rows 2048] [--seconds 10] [--core N] [--peers]

The script measures in turns and as multiples of one maximum scan of the whole matrix; figures are low percentiles,
for other work on the machine only adds. Peak memory (Linux) is what a fresh process needs beyond the matrix.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import SCORES, SCORING, Job
from measure import pin, placed

import fastlogits as fl
import fastlogits._core as _core

VOCAB = 128_256
BARS = {"target": 1.2, "all": 1.7}
PEERS = ("torch", "SciPy")


@pytest.mark.parametrize("job", SCORING, ids=lambda job: job.name)
def test_scoring(job: Job, measured: Callable[[Job], None]) -> None:
    measured(job)


def matrix(count: int) -> tuple[Any, Any]:
    """Logits [count, VOCAB] like a model's and their targets, likely and unlikely ones."""
    rng = np.random.default_rng(0)
    x = placed(np.empty((count, VOCAB), np.float32))
    base = 2.5 * rng.standard_normal((8, VOCAB), np.float32)
    targets = rng.integers(0, VOCAB, count)
    for r in range(count):
        x[r] = np.roll(base[r % 8], 97 * r)
        x[r, targets[r] if r % 3 else 0] = 14 + r % 5
    return x, targets


def torch_scores(x: Any, targets: Any) -> Any:
    """What people write with torch, on one thread."""
    import torch

    torch.set_num_threads(1)
    scores = torch.log_softmax(torch.from_numpy(x), -1)
    return scores[torch.arange(len(x)), torch.from_numpy(targets)]


def scipy_scores(x: Any, targets: Any) -> Any:
    """The same with SciPy."""
    from scipy import special

    return special.log_softmax(x, -1)[np.arange(len(x)), targets]


def timed(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Seconds of each call, the lower quintile of its turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["scan"]) < 3:
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
    return {name: float(np.quantile(each, 0.2)) for name, each in times.items()}


def peak(who: str, count: int) -> float:
    """MiB that one call needs beyond the matrix, in a process of its own."""
    command = [sys.executable, __file__, "--rows", str(count), "--memory", who]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def tell_memory(who: str, count: int) -> None:
    """Prints the growth of the process' peak by one call, MiB; a small call before it loads what it loads."""
    ours = partial(fl.token_logprobs, **SCORES)
    call: Any = {"torch": torch_scores, "SciPy": scipy_scores}.get(who, ours)
    x, targets = matrix(count)
    call(x[:1], targets[:1])
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    call(x, targets)
    print(resident("VmHWM") - before)


def resident(which: str) -> float:
    """A line of Linux' account of this process' memory, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))


def on_two_threads(x: Any, targets: Any, seconds: float) -> dict[str, float]:
    """How many times as fast two threads are, the scan beside the scores."""
    from concurrent.futures import ThreadPoolExecutor

    half = len(x) // 2
    with ThreadPoolExecutor(2) as pool:
        calls: dict[str, Callable[[], object]] = {
            "scan": lambda: _core.read_once(x),
            "scan, two": lambda: [*pool.map(_core.read_once, (x[:half], x[half:]))],
        }
        for name, wanted in (("target", {}), ("all", SCORES)):
            calls[name] = partial(fl.token_logprobs, x, targets, **wanted)
            calls[f"{name}, two"] = partial(fl.token_logprobs, x, targets, threads=2, **wanted)
        found = timed(calls, seconds)
    return {name: found[name] / found[f"{name}, two"] for name in ("scan", "target", "all")}


def main(argv: list[str]) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="token_logprobs on a matrix from memory")
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--core", type=int)
    parser.add_argument("--peers", action="store_true", help="torch and SciPy as well, on a quarter of the rows")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    if chosen.memory:
        tell_memory(chosen.memory, chosen.rows)
        return
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    pin(chosen.core)
    x, targets = matrix(chosen.rows)
    calls: dict[str, Callable[[], object]] = {
        "scan": lambda: _core.read_once(x),
        "target": partial(fl.token_logprobs, x, targets),
        "all": partial(fl.token_logprobs, x, targets, **SCORES),
    }
    try:
        import ml_dtypes

        half = x.astype(ml_dtypes.bfloat16)
        calls["all, bfloat16"] = partial(fl.token_logprobs, half, targets, **SCORES)
    except ImportError:
        print("bfloat16 is left out: ml_dtypes is not installed")
    found = timed(calls, chosen.seconds)
    print(f"[{chosen.rows}, {VOCAB}] float32, {_core.isa()}; one scan {found['scan'] * 1e3:.1f} ms")
    for name, seconds in found.items():
        bar = f"  (bar {BARS[name]})" if name in BARS else ""
        print(f"{name:14} {seconds / found['scan']:6.2f} scans{bar}")
    if "all, bfloat16" in found:
        print(f"{'bfloat16':14} {found['all, bfloat16'] / found['all']:6.2f} of the float32 time  (bar 0.7)")
    print(f"{'memory':14} {peak('fastlogits', chosen.rows):6.1f} MiB beyond the matrix  (bar 16)")
    if cores is not None and len(cores) > 1:
        os.sched_setaffinity(0, cores)
        for name, ratio in on_two_threads(x, targets, chosen.seconds).items():
            print(f"{'two threads':14} {ratio:6.2f} times as fast: {name}")
        pin(chosen.core)
    if chosen.peers:
        few, some = x[: chosen.rows // 4], targets[: chosen.rows // 4]
        peers = {"torch": partial(torch_scores, few, some), "SciPy": partial(scipy_scores, few, some)}
        times = timed({"scan": lambda: _core.read_once(few), **peers}, 1)
        for name in PEERS:
            memory = peak(name, len(few)) * (chosen.rows / len(few))
            print(f"{name:14} {times[name] / times['scan']:6.2f} scans, about {memory:.0f} MiB beyond the matrix")


if __name__ == "__main__":
    main(sys.argv[1:])
