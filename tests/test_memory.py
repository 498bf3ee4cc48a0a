"""Nothing is read or written past its end: pages without access lie around input, output and mask.

Each instruction set runs in a process of its own, ``python tests/test_memory.py ISA``, which names the last case before
it dies of a fault.
"""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastlogits as fl
import fastlogits._core as _core

LENGTHS = (1, 2, 7, 15, 16, 17, 31, 33, 100, 255, 257, 272, 513, 1000, 4097)
Array = np.ndarray[Any, Any]


def guarded(items: int, dtype: Any, at_end: bool) -> Array:
    """An array of `items` that ends right before, or begins right behind, a page without access."""
    kind, page = np.dtype(dtype), mmap.PAGESIZE
    size = max(1, -(-items * kind.itemsize // page)) * page
    memory = mmap.mmap(-1, size + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for edge in (start, start + page + size):
        if libc.mprotect(edge, page, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = page + size - items * kind.itemsize if at_end else page
    return np.frombuffer(memory, np.uint8, items * kind.itemsize, offset).view(kind)


def placed(values: Array, at_end: bool) -> Array:
    """A copy of `values` beside a page without access."""
    array = guarded(values.size, values.dtype, at_end).reshape(values.shape)
    array[...] = values
    return array


def calls(n: int) -> Iterator[tuple[str, Any]]:
    """Every function and end by name, as a call on (row, mask words, out)."""
    import fastlogits as fl

    yield "softmax", lambda x, m, out: fl.softmax(x, temperature=0.7, out=out)
    yield "log_softmax", lambda x, m, out: fl.log_softmax(x, out=out if out.dtype.itemsize > 2 else None)
    yield "logsumexp", lambda x, m, out: fl.logsumexp(x)
    yield "argmax", lambda x, m, out: fl.argmax(x)
    for k in sorted({1, min(n, 40), n}):
        yield f"top_k {k}", lambda x, m, out, k=k: fl.top_k(x, k)
    scores: dict[str, Any] = {"top_n": 3, "rank": True, "margin": True, "entropy": True}
    yield "token_logprobs", lambda x, m, out: fl.token_logprobs(x, np.full(x.shape[:-1], n - 1), **scores)
    bias = {0: 1.0, n - 1: 0.5}
    plans: dict[str, dict[str, Any]] = {
        "plain": {"temperature": 0.9}, "top_k": {"temperature": 0.8, "top_k": min(n, 5)}, "top_p": {"top_p": 0.9},
        "min_p": {"min_p": 0.1}, "usual": {"temperature": 0.8, "top_k": 50, "top_p": 0.95, "min_p": 0.05},
        "edits": {"repetition_penalty": 1.2, "logit_bias": bias, "top_p": 0.9},
        "edits, top_k": {"frequency_penalty": 0.2, "logit_bias": bias, "top_k": max(1, n // 2)},
    }  # fmt: skip
    for name, steering in plans.items():
        for masked in (False, True):
            label = f"{name}{', masked' if masked else ''}"
            fixed = {**steering, "context": [0, n // 2, n - 1]}
            for kind in ("probs", "filter_logits", "candidates", "sample"):
                yield f"{kind} {label}", partial(_end, kind, masked, fixed)


def _end(kind: str, masked: bool, fixed: dict[str, Any], x: Array, mask: Array, out: Array) -> None:
    """One end of the pipeline, into `out` where it takes one."""
    import fastlogits as fl

    more: dict[str, Any] = {"rng": 1, "logprobs": min(x.shape[-1], 3)} if kind == "sample" else {}
    more |= {"out": out} if kind in ("probs", "filter_logits") else {}
    more |= {"mask": mask} if masked else {}
    if x.ndim == 2:
        more["context"] = [fixed["context"]] * len(x)
    getattr(fl, kind)(x, **fixed | more)


def walk() -> None:
    """Runs every case; a fault ends the process."""
    faulthandler.enable()
    kinds: list[Any] = [np.float32, np.float16, np.float64]
    try:
        import ml_dtypes

        kinds.append(ml_dtypes.bfloat16)
    except ImportError:
        pass  # bfloat16 arrays cannot be made without it
    for n in LENGTHS:
        words = np.full(-(-n // 32), 0xF7FFFFFD, np.uint32)
        words[0] |= 1
        values = np.random.default_rng(n).normal(size=n)
        named = list(calls(n))
        for kind in kinds:
            for at_end in (False, True):
                row, mask = placed(values.astype(kind), at_end), placed(words.view(np.int32), at_end)
                out = guarded(n, kind, at_end)
                for name, call in named:
                    print(f"{name} on {np.dtype(kind).name}[{n}] {'before' if at_end else 'behind'} a page", flush=True)
                    call(row, mask, out)
                batch = placed(np.stack([values.astype(kind)] * 3), at_end)
                outs = guarded(3 * n, kind, at_end).reshape(3, n)
                masks = placed(np.stack([words.view(np.int32)] * 3), at_end)
                for name, call in named[-16:]:
                    print(f"{name} on {np.dtype(kind).name}[3, {n}]", flush=True)
                    call(batch, masks, outs)


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is POSIX")
@pytest.mark.parametrize("isa", _core.isas())
def test_guard_pages(isa: str) -> None:
    command, chosen = [sys.executable, str(Path(__file__)), isa], {**os.environ, "FASTLOGITS_ISA": isa}
    done = subprocess.run(command, capture_output=True, text=True, env=chosen)
    last = done.stdout.splitlines()[-1:] or ["nothing ran"]
    assert done.returncode == 0, f"{last[0]} on {isa}\n{done.stderr[-2000:]}"
    assert last == [f"all cases on {isa}"]


if __name__ == "__main__":
    walk()
    print(f"all cases on {_core.isa()}")


@pytest.mark.parametrize("n", [16, 48, 256, 4096])
def test_nothing_is_read_behind_the_last_record(isa: str, n: int) -> None:
    """Logits 12 bytes apart, the last of them the last value of its page."""
    values = guarded(3 * n - 2, np.float32, True)
    values[:] = np.random.default_rng(n).normal(size=values.size)
    row = np.lib.stride_tricks.as_strided(values, (n,), (12,))
    for keywords in ({"top_k": 5}, {"top_p": 0.9}):
        assert fl.sample(row, rng=1, **keywords) == fl.sample(row.copy(), rng=1, **keywords)
