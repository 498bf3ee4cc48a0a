"""Objects made by hand and damaged data: the right exception."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_hostile import CLASSES, SAMPLER, tasks, tried

import fastlogits as fl
from fastlogits._common import threads as _threads


@pytest.mark.parametrize("kind", [each for each in CLASSES if each.__name__ not in ("Plan", "Stop", "_Imported")])
def test_nothing_is_made_empty(kind: type) -> None:
    with pytest.raises(TypeError):
        kind.__new__(kind)


def test_blocks_lie_in_the_rows() -> None:
    for kind, right in tasks():
        with pytest.raises(ValueError, match="a block must lie in rows 0 to"):
            kind(**right).run(0, 2**40)


def test_rollback_of_a_stale_count() -> None:
    """The count is that of before its conversion took tokens back."""
    state = SAMPLER.state([1, 2, 3])

    class Count(int):
        def __int__(self) -> int:
            state.rollback(2)
            return 3

    with pytest.raises(ValueError, match=r"n must be in \[0, 1\], the number of tokens, got 3"):
        state.rollback(Count(3))
    assert state.tokens.tolist() == [1]


def test_token_accepted_while_the_seed_is_made() -> None:
    """A token at or above V gets into a state whose vocabulary is not known yet."""
    sampler = fl.Sampler(repetition_penalty=1.5, top_k=3)
    state = sampler.state([1, 2])

    class Seed(int):
        def __int__(self) -> int:
            state.accept(10**9)
            return 7

    for end in (sampler.sample, sampler.candidates):
        with pytest.raises(ValueError, match=r"tokens of \[0, 4\)|token id"):
            end([1.0, 2.0, 3.0, 4.0], state=state, rng=Seed(7), **({"n": 2} if end == sampler.sample else {}))


def summaries() -> Any:
    rows = np.random.default_rng(0).normal(size=(2, 1024)).astype(np.float32)
    keywords: dict[str, Any] = {"vocab": 1024, "candidates": [3, 9]}
    shards = {i: rows[:, i : i + 512] for i in (0, 512)}
    peaks = np.maximum.reduce([fl.shard_peaks(x, [5, 6], offset=i, vocab=1024) for i, x in shards.items()])
    more: dict[str, Any] = {"top_n": 3, "rank": True, "margin": True, "varentropy": True, "peaks": peaks}
    return [fl.shard_summary(x, [5, 6], offset=i, **keywords, **more) for i, x in shards.items()]


@pytest.mark.parametrize(
    ("field", "value"),
    [("best", 10**9), ("best", -1), ("best", 512), ("target", 10**9), ("vocab", 2**40), ("offset", -5), ("size", 2**40),
     ("code", 7), ("status", 99), ("temperature", 0.0), ("temperature", np.nan), ("top_ids", 10**9), ("given", -7)],
)  # fmt: skip
def test_damaged_summary(field: str, value: Any) -> None:
    parts = summaries()
    assert fl.merge(parts).argmax.shape == (2,)
    parts[0][field][1] = value
    with pytest.raises(ValueError, match=rf"summaries\[0\]\[1\]\['{field}'\] must be"):
        fl.merge(parts)


def test_any_damage_of_a_summary() -> None:
    """Single bytes, and fields of other types: a result or an exception."""
    parts = summaries()
    fl.merge(parts)
    text, rng = parts[0].tobytes(), np.random.default_rng(1)
    for at in [*range(120), *rng.integers(0, len(text), 200)]:
        for byte in (0, 127, 255):
            broken = np.frombuffer(text[:at] + bytes([byte]) + text[at + 1 :], parts[0].dtype)
            tried(fl.merge, [broken, parts[1]])
    for name in parts[0].dtype.names:
        kinds = [(n, np.float32 if n == name else parts[0].dtype[n]) for n in parts[0].dtype.names]
        with pytest.raises((TypeError, ValueError), match="summaries"):
            fl.merge([parts[0].astype(kinds), parts[1]])
        with pytest.raises((TypeError, ValueError)):
            fl.merge([part[[n for n in part.dtype.names if n != name]] for part in parts][:1] + parts[1:])


@pytest.mark.parametrize("name", ["softmax", "logsumexp", "argmax", "top_k", "sample", "probs", "token_logprobs", "kl"])
def test_too_many_tokens(name: str) -> None:
    """Ids of rows are 32-bit numbers in the lists: one value more than that is refused before it is read."""
    x = np.broadcast_to(np.float32(0), 2**31)
    calls: dict[str, Callable[[], Any]] = {
        "softmax": lambda: fl.softmax(x, out=None), "logsumexp": lambda: fl.logsumexp(x),
        "argmax": lambda: fl.argmax(x),
        "top_k": lambda: fl.top_k(x, 3), "sample": lambda: fl.sample(x, rng=1, top_k=5), "probs": lambda: fl.probs(x),
        "token_logprobs": lambda: fl.token_logprobs(x, 0), "kl": lambda: fl.kl_divergence(x, x),
    }  # fmt: skip
    with pytest.raises(ValueError, match="a row must have at most 2147483647 values, got 2147483648"):
        calls[name]()


def test_threads_do_not_grow() -> None:
    """As many threads as calls ask for at one time, however often they ask."""
    before, seen = threading.active_count(), 0
    for i in range(20_000):
        _threads.run_blocks(lambda begin, end: None, 2, 2, 1)
        seen = max(seen, threading.active_count()) if i % 50 == 0 else seen
    assert seen <= before + 4
