"""Arguments that another thread resizes in place: NumPy refuses while a call reads or writes them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import fastlogits as fl

N = 3_000_000
CALLS: dict[str, Any] = {
    "prepared": lambda x: fl.Sampler(top_p=0.9).sample(x, rng=1),
    "sample": lambda x: fl.sample(x, rng=1, n=2, typical_p=0.9),
    "softmax": lambda x: fl.softmax(x),
    "softmax in place": lambda x: fl.softmax(x, out=x),
    "argmax": lambda x: fl.argmax(x),
    "top_k": lambda x: fl.top_k(x, 5),
    "logsumexp of float64": lambda x: fl.logsumexp(x, dtype=np.float64),
    "token_logprobs": lambda x: fl.token_logprobs(x, 3, rank=True),
    "compare": lambda x: fl.js_divergence(x, x),
    "fit_temperature": lambda x: fl.fit_temperature(x[None], [0]),
    "view": lambda x: fl.Sampler(top_k=3).sample(x[::2], rng=1),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_array_is_resized_under_a_call(name: str) -> None:
    """The other thread tries all the time; it succeeds between calls only, so memory is never freed under one."""
    x = np.random.default_rng(0).normal(size=N).astype(np.float32)
    ended, refused = threading.Event(), 0

    def resize() -> None:
        nonlocal refused
        while not ended.is_set():
            try:
                x.resize(N + 1000, refcheck=False)
                x.resize(N, refcheck=False)
            except ValueError:
                refused += 1

    other = threading.Thread(target=resize)
    other.start()
    try:
        for _ in range(20):
            CALLS[name](x)
            if refused > 3:
                break
    finally:
        ended.set()
        other.join()
    assert refused
    x.resize(N + 1, refcheck=False)  # the call lets go of it
